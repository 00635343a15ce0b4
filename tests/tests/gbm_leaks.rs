//! The gradient-boosting plugin gives back what it takes: memory stays flat over a million
//! predictions and two hundred models made and dropped, for both libraries and both evaluators, and
//! over fits and updates.
//!
//! `make leaks` looks at the plugin's own code beside this, with a sanitizer.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use fusebox_plugin_api::model::NoProgress;
use fusebox_tests::gbm::{
    COLUMNS, Data, Fit, config, contributions, create, outputs, predict, resident_bytes,
};
use serde_json::json;

const BOOSTERS: [&str; 2] = ["lightgbm", "xgboost"];
const PREDICTIONS: usize = 1_000_000;
const CYCLES: usize = 200;
/// What the allocators may keep for themselves.
const SLACK_BYTES: usize = 4 << 20;

/// Runs `cycle` until the allocators have settled, then `count` times more; returns by how much
/// memory grew meanwhile.
fn growth(settle: usize, count: usize, mut cycle: impl FnMut()) -> usize {
    (0..settle).for_each(|_| cycle());
    let before = resident_bytes();
    (0..count).for_each(|_| cycle());
    resident_bytes().saturating_sub(before)
}

fn artifact(booster: &str, task: &str, rounds: u32) -> Vec<u8> {
    let train = Data::default().dataset(0, 1_500, task);
    let pairs = json!({"booster": booster, "rounds": rounds, "num_leaves": 31});
    let model = Fit::new(task, pairs, &train).run().unwrap();
    model.save().unwrap()
}

/// One test, because they measure the memory of one process.
#[test]
fn memory_stays_flat_whatever_is_done_often() {
    for booster in BOOSTERS {
        a_million_predictions(booster);
        two_hundred_models(booster);
        many_fits_and_updates(booster);
    }
}

/// By the flat trees one row at a time; by the library in batches, with one row of a hundred alone.
fn a_million_predictions(booster: &str) {
    let artifact = artifact(booster, "multiclass", 10);
    let rows = Data::default().matrix(0, 100);
    let mut flat = create(&config(json!({})), &artifact).unwrap();
    let one_by_one = growth(1_000, PREDICTIONS / 100, || {
        for row in rows.chunks(COLUMNS as usize) {
            predict(flat.as_mut(), row, 3);
        }
    });
    let settings = config(json!({"evaluator": "library"}));
    let mut library = create(&settings, &artifact).unwrap();
    let batches = growth(300, PREDICTIONS / 100, || {
        predict(library.as_mut(), &rows[..COLUMNS as usize], 3);
        predict(library.as_mut(), &rows[COLUMNS as usize..], 3);
    });
    for (who, grown) in [("flat trees", one_by_one), ("library", batches)] {
        assert!(
            grown < SLACK_BYTES,
            "{booster}, {who}: {grown} bytes in {PREDICTIONS} predictions"
        );
    }
}

/// One leaked model of this size would show as tens of megabytes.
fn two_hundred_models(booster: &str) {
    for (task, evaluator) in [("multiclass", "library"), ("quantiles", "flat")] {
        let artifact = artifact(booster, task, 30);
        let rows = Data::default().matrix(0, 32);
        let settings = config(json!({"evaluator": evaluator}));
        let grown = growth(30, CYCLES, || {
            let mut model = create(&settings, &artifact).unwrap();
            predict(model.as_mut(), &rows, outputs(task));
            contributions(model.as_ref(), &rows[..COLUMNS as usize], outputs(task));
        });
        let size = artifact.len();
        assert!(size > 100_000, "{booster}, {task}: only {size} bytes");
        assert!(
            grown < SLACK_BYTES,
            "{booster}, {task}, {evaluator}: {grown} bytes in {CYCLES} models of {size}"
        );
    }
}

fn many_fits_and_updates(booster: &str) {
    let train = Data::default().dataset(0, 1_500, "binary");
    let fresh = Data::default().dataset(1_500, 300, "binary");
    for rule in ["continue", "refit"] {
        let pairs = json!({"booster": booster, "rounds": 3, "update": rule, "update_rounds": 2});
        let fit = Fit::new("binary", pairs, &train);
        let grown = growth(10, 40, || {
            let mut model = fit.run().unwrap();
            let incremental = model.incremental().unwrap();
            incremental.update(&fresh, &mut NoProgress).unwrap();
        });
        assert!(
            grown < SLACK_BYTES,
            "{booster}, {rule}: {grown} bytes in 40 fits"
        );
    }
}
