//! Plugins in worker processes, for the tests of that tier.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fusebox_loader::backend::worker::running_workers;
use fusebox_loader::manifest::Isolation;
use fusebox_loader::{
    LoadError, LoadOptions, LoadedPlugin, TrustPolicy, WorkerOptions, discover, find, load,
};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::Model;

use crate::fixtures::{build_dir, package, plugin_dir};

/// Id of the fixture that offers everything the contract knows.
pub const TRAINER: &str = "com.example.trainer";

/// Options whose workers are the program `test_worker`, which cargo builds beside every test.
///
/// # Panics
/// Where it is not there.
#[must_use]
pub fn worker_options() -> WorkerOptions {
    let test = std::env::current_exe().expect("a test knows its own path");
    // target/<profile>/deps/<this test>
    let profile = test.ancestors().nth(2).expect("tests lie in a profile");
    let program = profile.join("test_worker");
    assert!(program.exists(), "{} is not built", program.display());
    WorkerOptions {
        program: Some(program),
        arguments: Vec::new(),
        ..WorkerOptions::default()
    }
}

/// Loads a plugin into the worker tier.
///
/// # Errors
/// Why it cannot be loaded.
pub fn load_in_worker(
    dir: &Path,
    id: &str,
    worker: WorkerOptions,
) -> Result<LoadedPlugin, LoadError> {
    let mut options = LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy {
        floor: Isolation::Worker,
        ..TrustPolicy::trusting()
    });
    options.worker = worker;
    load(find(&discover(&[dir.to_owned()]), id, None)?, &options)
}

/// Loads a plugin into this process.
///
/// # Panics
/// Where it cannot be loaded.
#[must_use]
pub fn load_in_process(dir: &Path, id: &str) -> LoadedPlugin {
    let options = LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy::trusting());
    let packages = discover(&[dir.to_owned()]);
    let package = find(&packages, id, None).unwrap_or_else(|error| panic!("{error}"));
    load(package, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// A plugin directory with [`TRAINER`].
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn trainer_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        // Builds the Rust fixtures, this one with them.
        let _ = plugin_dir();
        let build = build_dir();
        let lock = File::create(build.join("trainer.lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be taken");
        let plugins = build.join("trainer-plugins");
        let library = build.join("rust/debug/libfixture_trainer.so");
        package(&plugins, &library, &[MODEL_ID, LEARNER_ID]);
        plugins
    })
}

/// Answers of rows of one column.
///
/// # Errors
/// What the model says.
pub fn predict(model: &mut dyn Model, input: &[f32]) -> Result<Vec<f32>, PluginError> {
    let mut output = vec![0.0; input.len()];
    let shape = FrameShape::dense(input.len(), 1, 1);
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

/// The workers of a plugin, oldest first.
#[must_use]
pub fn pids_of(plugin: &str) -> Vec<u32> {
    let running = running_workers().into_iter();
    running
        .filter(|worker| worker.plugin == plugin)
        .map(|worker| worker.pid)
        .collect()
}
