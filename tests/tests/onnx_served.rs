//! A model from its training to its answers as an ONNX file: exported with the digests of its
//! features and of its artifact, dropped into the models directory, served; and kept out where a
//! digest is another.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use fusebox_onnx_proto::{Message, ModelProto};
use fusebox_tests::binary::{Ran, gbm_plugin_dir, onnx_plugin_dir};
use fusebox_tests::onnx::onnx_runtime;
use fusebox_tests::training::{cut_short, native_dir, short_pipeline, with_boosters};
use serde_json::Value;

const NAME: &str = "direction-15m-lightgbm";

/// The binary with both plugins and their libraries; the pipeline is cut short.
fn fusebox(dir: &Path, arguments: &[&str], takes_pipeline: bool) -> Command {
    let mut command = with_boosters(dir);
    command.env("FUSEBOX_ONNXRUNTIME_LIBRARY", onnx_runtime());
    command.args(arguments);
    if takes_pipeline {
        command.arg(short_pipeline("lightgbm"));
        cut_short(
            &mut command,
            &["data.to=2022-03-20", "model.params.rounds=30"],
        );
        let readable = format!(
            "engine.worker.readable=[{:?}]",
            native_dir().to_string_lossy()
        );
        command.args(["--set", &readable]);
    }
    for plugin in [gbm_plugin_dir(), onnx_plugin_dir()] {
        command.arg("--plugin-dir").arg(plugin);
    }
    command
}

fn ran(mut command: Command) -> Ran {
    Ran::from(command.output().unwrap())
}

/// A running `plugin serve`, ended with the test.
struct Serve {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Serve {
    fn start(dir: &Path, name: &str) -> Self {
        let arguments = ["plugin", "serve", "--model", name, "--json"];
        let mut command = fusebox(dir, &arguments, true);
        command.args(["--bars-per-second", "100"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until a line is the one that is waited for.
    fn wait(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        for line in self.lines.by_ref() {
            last = line.unwrap();
            let line: Value = serde_json::from_str(&last).unwrap();
            if is_it(&line) {
                return line;
            }
        }
        panic!("it never came; the last line: {last}");
    }

    fn wait_for_answer(&mut self, weights: &str) {
        self.wait(|line| line["type"] == "answer" && line["weights"] == weights);
    }

    /// The words with which something is kept out.
    fn wait_for_refusal(&mut self) -> String {
        let line = self.wait(|line| line["event"] == "rejected");
        line["message"].as_str().unwrap().to_owned()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the file states of itself under `key`.
fn fact(file: &[u8], key: &str) -> Option<String> {
    let model = ModelProto::decode(file).unwrap();
    let mut facts = model.metadata_props.into_iter();
    let fact = facts.find(|fact| fact.key == format!("fusebox.{key}"));
    fact.map(|fact| fact.value)
}

/// The same file with another fact.
fn stating(file: &[u8], key: &str, value: &str) -> Vec<u8> {
    let mut model = ModelProto::decode(file).unwrap();
    for fact in &mut model.metadata_props {
        if fact.key == format!("fusebox.{key}") {
            value.clone_into(&mut fact.value);
        }
    }
    model.encode_to_vec()
}

#[test]
fn an_exported_file_carries_its_digests_and_another_digest_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let trained = ran(fusebox(at, &["train", "--json", "--out", "out"], true));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let card = &trained.json()["runs"][0]["card"];
    let models = at.join(".fusebox/models");
    fs::create_dir_all(&models).unwrap();
    let written = models.join("btc.onnx");
    let out = written.to_str().unwrap();
    let export = ["model", "export", NAME, "--format", "onnx", "--out", out];
    let exported = ran(fusebox(at, &export, false));
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let file = fs::read(&written).unwrap();
    assert_eq!(
        fact(&file, "feature_set").as_deref(),
        card["features"]["sha256"].as_str()
    );
    let source = card["model"]["sha256"].as_str().unwrap();
    assert_eq!(fact(&file, "source_model").as_deref(), Some(source));
    let features: Vec<String> = serde_json::from_str(&fact(&file, "features").unwrap()).unwrap();
    assert_eq!(serde_json::json!(features), card["features"]["columns"]);
    assert!(fact(&file, "classes").unwrap().contains("up"));

    let bars = "[bars]\ntime_frame = \"15m\"\nmax_gap_bars = 8\n";
    let sidecar = |own: &str| fs::write(models.join("btc.toml"), format!("{own}\n{bars}")).unwrap();
    sidecar(&format!("source_model = \"{source}\""));
    let mut serve = Serve::start(at, "btc");
    serve.wait_for_answer("1.0.0");

    // The features of another training: the file says so, and nobody has to state it beside it.
    let other = "ab".repeat(32);
    fs::write(&written, stating(&file, "feature_set", &other)).unwrap();
    let told = serve.wait_for_refusal();
    assert!(
        told.contains(&format!("trained on the feature set {other}")),
        "{told}"
    );
    serve.wait_for_answer("1.0.0");
    // Both speak, and differ.
    sidecar(&format!("feature_set = \"{}\"", "cd".repeat(32)));
    let told = serve.wait_for_refusal();
    assert!(
        told.contains("and the ONNX file was trained on abab"),
        "{told}"
    );
    // Right features, and not the model that was asked for.
    fs::write(&written, stating(&file, "source_model", &other)).unwrap();
    sidecar(&format!("source_model = \"{source}\""));
    let told = serve.wait_for_refusal();
    assert!(
        told.contains(&format!("written from the model {other}")),
        "{told}"
    );
    serve.wait_for_answer("1.0.0");
}
