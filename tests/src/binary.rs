//! Builds the binary `fusebox` and the plugin that it ships with, and runs the binary.
//!
//! A build happens once per test process, through cargo's own lock, so that a bare `cargo test`
//! needs nothing prepared.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use fusebox_loader::{PackageSpec, write_package};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use serde_json::Value;

use crate::fixtures::{build_dir, project_root};

/// What was built.
#[derive(Debug)]
struct Built {
    fusebox: PathBuf,
    gbm: PathBuf,
}

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile_dir = build(&["fusebox", "fusebox-gbm"]);
        Built {
            fusebox: profile_dir.join(format!("fusebox{}", std::env::consts::EXE_SUFFIX)),
            gbm: profile_dir.join(library_name("fusebox_gbm")),
        }
    })
}

/// Builds packages of the workspace and gives the directory that they are in.
fn build(packages: &[&str]) -> PathBuf {
    // target/<profile>/deps/<this test>: the same profile, so that nothing is built twice.
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile_dir = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    let target_dir = profile_dir
        .parent()
        .expect("a profile lies in a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(project_root())
        .args(["build", "--quiet", "--target-dir"])
        .arg(target_dir);
    for package in packages {
        command.args(["-p", package]);
    }
    if profile_dir.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().expect("cargo can be started");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{packages:?} do not build:\n{words}"
    );
    profile_dir.to_owned()
}

fn library_name(name: &str) -> String {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    format!("{prefix}{name}{suffix}")
}

/// The binary.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn fusebox() -> &'static Path {
    &built().fusebox
}

/// The built library of the gradient-boosting plugin.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn gbm_library() -> &'static Path {
    &built().gbm
}

/// The built library of the plugin that runs ONNX models.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn onnx_library() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build(&["fusebox-onnx"]).join(library_name("fusebox_onnx")))
}

/// A plugin directory with the gradient-boosting plugin packaged in it.
///
/// # Panics
/// Where the plugin does not build or cannot be packaged.
#[must_use]
pub fn gbm_plugin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| packaged("gbm", gbm_library(), &[MODEL_ID, LEARNER_ID]))
}

/// A plugin directory with the plugin that runs ONNX models packaged in it.
///
/// # Panics
/// Where the plugin does not build or cannot be packaged.
#[must_use]
pub fn onnx_plugin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| packaged("onnx", onnx_library(), &[MODEL_ID]))
}

fn packaged(name: &str, library: &Path, kinds: &[&str]) -> PathBuf {
    let build = build_dir();
    std::fs::create_dir_all(&build).expect("the build directory can be made");
    let lock = File::create(build.join(format!("{name}.lock")));
    let lock = lock.expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let dir = build.join(format!("{name}-plugins"));
    let spec = PackageSpec {
        kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        replace: true,
        ..PackageSpec::new(library)
    };
    write_package(&dir, &spec).unwrap_or_else(|error| panic!("{error}"));
    dir
}

/// One run of the binary.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// The standard output as JSON.
    ///
    /// # Panics
    /// Where it is not one JSON document.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The standard error as JSON.
    ///
    /// # Panics
    /// Where it is not one JSON document.
    #[must_use]
    pub fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The binary, ready to run in `dir` without any `FUSEBOX_*` variable of the tests' own
/// environment. Plugins that nobody signed run in its process, because the fixtures are not signed;
/// [`strict_command`] keeps the default.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn command(dir: &Path) -> Command {
    let mut command = strict_command(dir);
    command.env("FUSEBOX_ENGINE__UNSIGNED", "in-process");
    command
}

/// As [`command`], with the default policy: unsigned plugins are refused.
///
/// # Panics
/// Where it does not build.
#[must_use]
pub fn strict_command(dir: &Path) -> Command {
    let mut command = Command::new(fusebox());
    command.current_dir(dir);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("FUSEBOX_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary in `dir`.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn run(dir: &Path, arguments: &[&str]) -> Ran {
    let output = command(dir).args(arguments).output();
    Ran::from(output.expect("fusebox can be started"))
}
