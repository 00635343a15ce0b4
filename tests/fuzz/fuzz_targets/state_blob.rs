//! States, artifacts and configurations as bytes from outside: through the thunks of the kit into a
//! model in Rust, and into the artifact reader of the gradient-boosting plugin.
//!
//! A state that is refused changes nothing; one that is taken over is given back as it was.
#![no_main]

use std::fmt::Write as _;
use std::fs;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use fusebox_loader::GuardedModel;
use fusebox_loader::live::MODEL_FILE;
use fusebox_loader::live::golden::{Golden, GoldenSet, check};
use fusebox_loader::live::model_package::read_model;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::export::Plugin;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::import::{HostServices, ImportedPlugin, LentHost};
use fusebox_plugin_api::model::Model as _;
use fusebox_plugin_api::prelude::*;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

#[derive(Debug, Arbitrary)]
enum Input {
    State {
        config: Vec<u8>,
        artifact: Vec<u8>,
        restores: Vec<(u32, Vec<u8>)>,
    },
    /// The bytes as they are.
    Artifact(Vec<u8>),
    /// A golden file, checked against the model.
    Golden(String),
    /// The `model.toml` of a model package.
    ModelPackage(String),
    /// A body behind a preamble that is right, so that the reader goes on to it.
    ArtifactBody { format: u8, body: Vec<u8> },
}

/// An average, whose state is a count and a list of values.
struct Average {
    values: Vec<f32>,
}

impl Model for Average {
    fn info(&self) -> Result<ModelInfo> {
        Ok(ModelInfo::new(Task::Regression, &["average"]))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        for row in 0..frame.rows() {
            self.values.push(frame.features(row)[0]);
            let average = self.values.iter().sum::<f32>() / self.values.len() as f32;
            frame.output_row_mut(row)[0] = average;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(2, serde_json::to_vec(&self.values)?))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        if snapshot.schema != 2 {
            return Err(PluginError::schema("only schema 2 is known"));
        }
        self.values = serde_json::from_slice(&snapshot.bytes)?;
        Ok(())
    }
}

impl CreateModel for Average {
    fn create(config: &Config, artifact: &[u8]) -> Result<Self> {
        config.refuse_unknown(&["first"])?;
        let first: Option<f32> = config.optional("first")?;
        let text = std::str::from_utf8(artifact).map_err(|_| PluginError::data("not UTF-8"))?;
        let saved: Option<f32> = text.trim().parse().ok();
        Ok(Self {
            values: first.into_iter().chain(saved).collect(),
        })
    }
}

struct AveragePlugin;

impl Plugin for AveragePlugin {
    const ID: &'static str = "com.example.average";
    const VERSION: &'static str = "1.0.0";

    fn create_model(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        Ok(Box::new(Average::create(config, artifact)?))
    }
}

fn plugin() -> &'static ImportedPlugin {
    static PLUGIN: OnceLock<ImportedPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let host = LentHost::leak(HostServices::silent());
        ImportedPlugin::linked::<AveragePlugin>(host).expect("the plugin is sound")
    })
}

fuzz_target!(|input: Input| {
    match input {
        Input::State {
            config,
            artifact,
            restores,
        } => states(&config, &artifact, &restores),
        Input::Artifact(bytes) => drop(fusebox_gbm::check_artifact(&bytes)),
        Input::Golden(text) => golden(&text),
        Input::ModelPackage(text) => model_package(&text),
        Input::ArtifactBody { format, body } => {
            let mut digest = String::new();
            for byte in Sha256::digest(&body) {
                let _ = write!(digest, "{byte:02x}");
            }
            let preamble = format!("fusebox-gbm {format} {} {digest}\n", body.len());
            let bytes = [preamble.as_bytes(), &body].concat();
            drop(fusebox_gbm::check_artifact(&bytes));
        }
    }
});

fn states(config: &[u8], artifact: &[u8], restores: &[(u32, Vec<u8>)]) {
    let config = Config::from_json(config).unwrap_or_default();
    let Ok(mut model) = plugin().create_model(&config, artifact) else {
        return;
    };
    for (schema, bytes) in restores {
        let before = model.snapshot().expect("the state can be written");
        match model.restore(&Snapshot::new(*schema, bytes.as_slice())) {
            Ok(()) => {
                let state = model.snapshot().expect("the state can be written");
                let mut copy = plugin()
                    .create_model(&config, artifact)
                    .expect("it was made before");
                copy.restore(&state)
                    .expect("a model takes over what it wrote");
                assert_eq!(copy.snapshot().expect("the state can be written"), state);
            }
            Err(error) => {
                assert!(error.status() != Status::Panic, "{error}");
                assert!(
                    error.message().starts_with("com.example.average: "),
                    "{error}"
                );
                let after = model.snapshot().expect("the state can be written");
                assert_eq!(after, before, "a refused state changed the model");
            }
        }
        let mut output = [0.0];
        let mut frame = Frame::new(&[1.0], &mut output, FrameShape::dense(1, 1, 1))
            .expect("the frame is sound");
        model.predict(&mut frame).expect("an average can be taken");
    }
}

fn golden(text: &str) {
    let Ok(golden) = Golden::parse(text) else {
        return;
    };
    assert_eq!(Golden::parse(&golden.to_json()).as_ref(), Ok(&golden));
    let config = golden
        .config_or(&Config::new())
        .expect("a file that was read has a configuration");
    let Ok(model) = plugin().create_model(&config, &[]) else {
        return;
    };
    let mut model = GuardedModel::new("com.example.average", Box::new(model)).expect("it is sound");
    let _ = check(
        &mut model,
        &GoldenSet {
            golden,
            artifact: None,
            tolerance_ulp: 1,
        },
    );
}

fn model_package(text: &str) {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let root = DIR.get_or_init(|| TempDir::new().expect("a directory can be made"));
    let package = root.path().join("trend").join("1.0.0");
    fs::create_dir_all(&package).expect("the package can be made");
    fs::write(package.join(MODEL_FILE), text).expect("the file can be written");
    if let Err(error) = read_model(&package) {
        let text = error.to_string();
        assert!(
            !text.contains(char::is_control),
            "{text:?} would steer a terminal"
        );
    }
}
