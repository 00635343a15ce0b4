//! `fusebox model update` through the real binary and both boosters: newer rows taken in, judged
//! on what was held out, registered with a card that names its parent; refused where pipeline and
//! model do not belong together; killed without a trace.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fusebox_tests::binary::{Ran, gbm_plugin_dir};
use fusebox_tests::training::{cut_short, short_pipeline, with_boosters};
use serde_json::Value;

const TRAINED: &str = "data.to=2022-03-20";
const NEWER: &str = "data.to=2022-05-01";

fn name(booster: &str) -> String {
    format!("direction-15m-{booster}")
}

/// A command about the pipeline of a booster, cut short, with bars up to `to`.
fn with_pipeline(
    dir: &Path,
    (words, booster): (&[&str], &str),
    to: &str,
    more: &[&str],
) -> Command {
    let mut command = with_boosters(dir);
    command.args(words);
    command.arg(short_pipeline(booster)).arg("--json");
    command.arg("--plugin-dir").arg(gbm_plugin_dir());
    cut_short(&mut command, &["model.params.rounds=30", to]);
    command.args(more);
    command
}

fn ran(mut command: Command) -> Ran {
    Ran::from(command.output().unwrap())
}

fn train(dir: &Path, booster: &str) -> Value {
    let out = ["--out", booster];
    let trained = ran(with_pipeline(dir, (&["train"], booster), TRAINED, &out));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    trained.json()["runs"][0]["card"].clone()
}

fn update(dir: &Path, booster: &str, to: &str, more: &[&str]) -> Command {
    let name = name(booster);
    let words = ["model", "update", name.as_str()];
    with_pipeline(dir, (&words, booster), to, more)
}

fn versions(dir: &Path) -> Vec<String> {
    let mut list = with_boosters(dir);
    list.args(["model", "list", "--json"]);
    let list = ran(list).json();
    let models = list["models"].as_array().unwrap().iter();
    models
        .map(|model| {
            format!(
                "{} {}",
                model["name"].as_str().unwrap(),
                model["version"].as_str().unwrap()
            )
        })
        .collect()
}

fn assert_sound(dir: &Path, models: u64) {
    let mut verify = with_boosters(dir);
    verify.args(["model", "verify", "--json", "--plugin-dir"]);
    verify.arg(gbm_plugin_dir());
    let sound = ran(verify);
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert_eq!(sound.json()["answered_as_known"], models);
}

#[test]
fn what_an_update_lacks_is_told_as_the_update_and_before_any_data_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    train(at, "lightgbm");
    let mut without = update(at, "lightgbm", "data.source=files", &["--mode", "refit"]);
    without.args(["--set", "data.dir=nowhere"]);
    without.env_remove("FUSEBOX_LIGHTGBM_LIBRARY");
    let told = ran(without);
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(
        told.stderr.contains("FUSEBOX_LIGHTGBM_LIBRARY is not set"),
        "{told:?}"
    );
    assert!(!told.stderr.contains("fold"), "{told:?}");
    assert_eq!(versions(at).len(), 1);
}

#[test]
fn a_model_takes_in_newer_rows_and_is_judged_on_what_neither_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for booster in ["lightgbm", "xgboost"] {
        let old = train(at, booster);
        let refit = ["--mode", "refit", "--decay", "0.5"];
        let refitted = ran(update(at, booster, NEWER, &refit));
        assert_eq!(refitted.code, Some(0), "{refitted:?}");
        let told = refitted.json();
        let card = &told["card"];
        assert_eq!(told["registered"]["version"], "1.0.1");
        assert_eq!(told["parent"]["version"], "1.0.0");
        assert_eq!(card["parent"]["digest"], told["parent"]["digest"]);
        assert_eq!(card["parent"]["model_sha256"], old["model"]["sha256"]);
        assert_eq!(card["parent"]["update"]["decay"], 0.5);
        assert_ne!(card["model"]["sha256"], old["model"]["sha256"]);
        assert_eq!(card["model"]["rounds"], told["card"]["model"]["rounds"]);
        // From the end of the training to the cut, and from there to the end of the data.
        let (learned, judged) = (&card["parent"]["learned_rows"], &told["test"]["rows"]);
        assert!(learned.as_u64().unwrap() > 1_000 && judged.as_u64().unwrap() > 500);
        assert_eq!(
            card["model"]["trained"]["to"],
            card["split"]["tested"]["from"]
        );
        assert_eq!(
            card["model"]["trained"]["from"],
            old["model"]["trained"]["from"]
        );
        let count = |card: &Value| card["model"]["training_samples"].as_u64().unwrap();
        assert_eq!(count(card), count(&old) + learned.as_u64().unwrap());
        assert!(card["split"]["purged_rows"].as_u64().unwrap() > 0, "{card}");
        assert!(
            card["split"]["embargoed_rows"].as_u64().unwrap() > 0,
            "{card}"
        );
        let loss = &card["metrics"][0];
        assert!(
            loss["value"].is_number() && loss["baseline"].is_number(),
            "{loss}"
        );
        // The same again is the same model.
        let again = [&refit[..], &["--from", "1.0.0"]].concat();
        let again = ran(update(at, booster, NEWER, &again)).json();
        assert_eq!(again["is_new"], false);
        assert_eq!(again["model_sha256"], card["model"]["sha256"]);

        let more = ["--mode", "continue", "--rounds", "5", "--from", "1.0.0"];
        let grown = ran(update(at, booster, NEWER, &more));
        assert_eq!(grown.code, Some(0), "{grown:?}");
        let grown = grown.json();
        assert_eq!(grown["registered"]["version"], "1.0.2");
        let rounds = |card: &Value| card["model"]["rounds"].as_u64().unwrap();
        assert_eq!(rounds(&grown["card"]), rounds(&old) + 5);
        let mut show = with_boosters(at);
        show.args(["model", "show", &name(booster)]);
        let shown = ran(show).stdout;
        assert!(
            shown.contains("updated from") && shown.contains("1.0.0"),
            "{shown}"
        );
    }
    assert_eq!(versions(at).len(), 6);
    assert_sound(at, 6);
}

#[test]
fn an_update_that_is_no_better_is_said_to_be_none_and_kept_out_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "lightgbm");
    // With all of the old values nothing changes.
    let same = ["--mode", "refit", "--decay", "1", "--only-if-better"];
    let same = ran(update(dir.path(), "lightgbm", NEWER, &same));
    assert_eq!(same.code, Some(1), "{same:?}");
    let told = same.json();
    assert_eq!(told["verdict"], "undecided");
    assert!(told["registered"].is_null());
    let warnings = told["card"]["warnings"].to_string();
    assert!(warnings.contains("no better than"), "{warnings}");
    assert_eq!(versions(dir.path()).len(), 1);
}

#[test]
fn what_does_not_belong_together_is_told_at_once_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "lightgbm");
    let refuse = |to: &str, more: &[&str], words: &[&str]| {
        let refused = ran(update(dir.path(), "lightgbm", to, more));
        assert_eq!(refused.code, Some(2), "{refused:?}");
        for word in words {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
    };
    let wrong = ["--mode", "refit", "--rounds", "3", "--held-out", "1.5"];
    let wrong = [&wrong[..], &["--set", "risk.max_drawdown=7"]].concat();
    refuse(
        NEWER,
        &wrong,
        &["--rounds", "--held-out", "risk.max_drawdown"],
    );
    let other = ["--mode", "refit", "--set", "labels.horizon_bars=12"];
    let other = [&other[..], &["--set", "features.set=[\"rsi(14)\"]"]].concat();
    let words = [
        "`labels.horizon_bars` was 24",
        "it is 12",
        "`features.set` has the digest",
    ];
    refuse(NEWER, &other, &words);
    refuse(TRAINED, &["--mode", "refit", "--from", "9.0.0"], &["1.0.0"]);
    let old = "data.to=2022-02-20";
    refuse(
        old,
        &["--mode", "refit"],
        &["no row is newer", "take newer data"],
    );
    assert_eq!(versions(dir.path()).len(), 1);
    assert_sound(dir.path(), 1);
}

#[test]
fn an_update_that_is_killed_leaves_the_registry_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "lightgbm");
    for wait_ms in [300, 900, 1_800] {
        let more = ["--mode", "continue", "--rounds", "1900"];
        let mut command = update(dir.path(), "lightgbm", NEWER, &more);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            versions(dir.path()),
            [format!("{} 1.0.0", name("lightgbm"))]
        );
    }
    assert_sound(dir.path(), 1);
}
