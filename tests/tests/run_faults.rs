//! Runs that a plugin spoils: the real binary must say which plugin and what it did, in one message
//! and with the right exit code, and leave nothing behind.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::Path;

use fusebox_tests::binary::{Ran, run};
use fusebox_tests::fixtures::{compile, package_unchecked, plugin_dir};

const PIPELINE: &str = r#"
[run]
name = "faults"
threads = 1
[data]
source = "simulated"
symbols = ["AAA", "BBB"]
time_frame = "1h"
from = 2023-01-01
to = 2023-04-01
[features]
set = ["log_return(1)", "rsi(14)"]
[labels]
horizon_bars = 6
[split]
train = "30d"
valid = "10d"
test = "15d"
step = "15d"
[model]
plugin = "com.example.bad-learner"
[strategy]
entry_threshold = 0.1
exit_threshold = 0.0
[execution]
fee_bps = 10.0
slippage_bps = 2.0
[risk]
position_fraction = 0.5
max_symbol_weight = 0.5
max_gross_exposure = 1.0
max_order_notional = 1e6
max_drawdown = 0.5
max_data_age_bars = 0
"#;

/// Runs the pipeline in `dir` with `--json` and more arguments.
fn run_pipeline(dir: &Path, plugins: &Path, more: &[&str]) -> Ran {
    fs::write(dir.join("faults.toml"), PIPELINE).unwrap();
    let plugins = plugins.to_string_lossy();
    let mut words = vec![
        "run",
        "faults.toml",
        "--out",
        "out",
        "--plugin-dir",
        &plugins,
    ];
    words.extend(more);
    run(dir, &words)
}

/// What a run left in its directory besides the pipeline and the engine's own directory.
fn left_behind(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name != "faults.toml" && name != ".fusebox")
        .collect()
}

/// The words of a run that must fail with `code`: as text, then the same as JSON, nothing left.
fn refused(plugins: &Path, more: &[&str], code: i32) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_pipeline(dir.path(), plugins, &[more, &["--quiet"]].concat());
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert_eq!(ran.stdout, "");
    assert_eq!(left_behind(dir.path()), [""; 0]);
    let errors: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "one message: {}", ran.stderr);
    assert!(!ran.stderr.contains("RUST_BACKTRACE"), "{}", ran.stderr);

    let json = run_pipeline(
        dir.path(),
        plugins,
        &[more, &["--json", "--quiet"]].concat(),
    );
    assert_eq!(json.code, Some(code), "{json:?}");
    assert_eq!(json.stdout, "");
    assert_eq!(left_behind(dir.path()), [""; 0]);
    let document = json.stderr.lines().last().unwrap_or_default();
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    let message = document["error"]["message"].as_str().unwrap().to_owned();
    let causes = document["error"]["causes"].as_array().unwrap();
    let causes = causes.iter().map(|cause| cause.as_str().unwrap());
    let whole = std::iter::once(message.as_str()).chain(causes);
    (ran.stderr, whole.collect::<Vec<_>>().join("\n"))
}

/// A fault of the fixture, and the words that must be told of it.
fn tells(fault: &str, words: &[&str]) {
    let (set, plugin) = (
        format!("model.params.fault={fault}"),
        "com.example.bad-learner",
    );
    let (text, json) = refused(plugin_dir(), &["--set", &set], 1);
    for told in [&text, &json] {
        assert!(told.contains(plugin), "the plugin is named: {told}");
        for word in words {
            assert!(told.contains(word), "`{word}` is not in: {told}");
        }
    }
}

#[test]
fn the_fixture_runs_where_nothing_goes_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_pipeline(dir.path(), plugin_dir(), &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(left_behind(dir.path()), ["out"]);
    assert!(dir.path().join("out/report.html").exists());
}

#[test]
fn a_learner_that_panics_in_fit() {
    tells(
        "panic-in-fit",
        &[
            "fold 1",
            "panicked in fit",
            "this learner always panics in fit",
        ],
    );
}

#[test]
fn a_model_that_panics_in_predict() {
    tells("panic-in-predict", &["fold 1", "panicked in predict"]);
}

#[test]
fn a_model_that_answers_nan() {
    tells("nan", &["fold 1", "answered NaN in row 1", "finite"]);
}

#[test]
fn a_model_that_answers_nothing() {
    tells(
        "nothing",
        &["fold 1", "answered NaN in row 0", "or nothing at all"],
    );
}

#[test]
fn a_model_whose_probabilities_are_none() {
    tells("odds", &["fold 1", "add up to 1"]);
}

#[test]
fn a_model_that_is_not_the_one_that_was_asked_for() {
    tells("wrong-width", &["fold 1", "1 features instead of 2"]);
}

#[test]
fn an_error_of_a_plugin_is_told_in_one_line() {
    tells("error", &["fold 1", "the rows are  [31mred"]);
}

#[test]
fn a_parameter_that_the_plugin_does_not_have() {
    let more = ["--set", "model.params.falt=nan"];
    let (text, json) = refused(plugin_dir(), &more, 2);
    for told in [text, json] {
        assert!(told.contains("com.example.bad-learner"), "{told}");
        assert!(
            told.contains("`falt`") && told.contains("`fault`"),
            "{told}"
        );
    }
}

#[test]
fn a_plugin_of_another_contract() {
    let root = tempfile::tempdir().unwrap();
    let id = "com.example.wrong-abi";
    for (flags, words) in [
        (&[][..], "exports `fusebox_plugin_entry_v2`"),
        (&["-DSTATES_MAJOR_2"], "states contract version 2"),
    ] {
        let library = compile("wrong-abi/wrong_abi.c", flags, root.path());
        let plugins = root.path().join(format!("plugins{}", flags.len()));
        package_unchecked(&plugins, &library, id, "1.0.0");
        let set = format!("model.plugin={id}");
        let (text, json) = refused(&plugins, &["--set", &set], 1);
        for told in [text, json] {
            assert!(told.contains(id) && told.contains(words), "{told}");
        }
    }
}

#[test]
fn a_plugin_that_is_not_there() {
    let more = ["--set", "model.plugin=com.example.bad-lerner"];
    let (text, json) = refused(plugin_dir(), &more, 2);
    for told in [text, json] {
        assert!(
            told.contains("`com.example.bad-lerner` is not installed"),
            "{told}"
        );
        assert!(
            told.contains("did you mean `com.example.bad-learner`?"),
            "{told}"
        );
    }
}

#[test]
fn a_plugin_that_does_not_train() {
    let more = ["--set", "model.plugin=com.example.ema-c"];
    let (text, json) = refused(plugin_dir(), &more, 2);
    for told in [text, json] {
        assert!(told.contains("com.example.ema-c"), "{told}");
    }
}
