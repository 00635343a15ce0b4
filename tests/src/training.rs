//! Trainings of the shipped pipelines through the binary, cut short so that they take seconds.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::command;
use crate::fixtures::project_root;

/// A short walk over a simulated market; the end of its data and the rounds are the test's own.
const SHORT: [&str; 11] = [
    "data.source=simulated",
    "data.from=2022-01-01",
    "split.train=6w",
    "split.valid=1w",
    "split.test=2w",
    "split.step=2w",
    "evaluation.bootstrap_samples=100",
    "evaluation.random_runs=3",
    "evaluation.trade_simulations=50",
    "evaluation.capacity_multiples=[]",
    "train.explain_rows=60",
];

/// The shipped pipeline of a booster.
#[must_use]
pub fn short_pipeline(booster: &str) -> PathBuf {
    project_root().join(format!("configs/pipelines/direction-15m-{booster}.toml"))
}

/// Cuts the pipeline of `command` short, with more settings of the form `key=value`.
pub fn cut_short(command: &mut Command, more: &[&str]) {
    let settings = SHORT.iter().chain(more);
    command.args(settings.flat_map(|value| ["--set", value]));
}

/// Where the pinned native libraries lie.
#[must_use]
pub fn native_dir() -> PathBuf {
    project_root().join(".fusebox/native")
}

/// Fetches the pinned native libraries that are missing.
///
/// # Panics
/// Where they cannot be fetched.
pub fn fetch_native() {
    let script = Command::new("python3")
        .arg("plugins/native/fetch.py")
        .current_dir(project_root())
        .output()
        .expect("python3 is needed to fetch the libraries: install Python 3.11");
    let told = String::from_utf8_lossy(&script.stderr);
    assert!(script.status.success(), "{told}");
}

/// The binary in `dir`, with the pinned libraries of both boosters.
///
/// # Panics
/// Where they cannot be fetched.
#[must_use]
pub fn with_boosters(dir: &Path) -> Command {
    fetch_native();
    let mut command = command(dir);
    for (key, file) in [
        ("LIGHTGBM", "lightgbm-4.7.0/lib_lightgbm.so"),
        ("XGBOOST", "xgboost-3.4.1/xgboost/lib/libxgboost.so"),
    ] {
        command.env(format!("FUSEBOX_{key}_LIBRARY"), native_dir().join(file));
    }
    command
}
