//! The XGBoost half of the gradient-boosting plugin, loaded as a host loads it, beside LightGBM in
//! one process, and against misuse.
//!
//! The libraries are the pinned ones; where they are not there yet, the fetch script gets them.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use fusebox_plugin_api::prelude::*;
use fusebox_tests::gbm::{COLUMNS, Data, Recorder, Row, TASKS, bits, create, predict};

fn data(weights: bool) -> Data {
    Data {
        weights,
        ..Data::default()
    }
}

fn dataset(first: u32, count: u32, task: &str, weights: bool) -> Dataset {
    data(weights).dataset(first, count, task)
}

fn matrix(first: u32, rows: u32) -> Vec<f32> {
    data(false).matrix(first, rows)
}

/// A configuration with both libraries; XGBoost unless it says otherwise.
fn with_xgboost(mut pairs: serde_json::Value) -> serde_json::Value {
    let given = pairs.get("booster").cloned();
    pairs["booster"] = given.unwrap_or_else(|| "xgboost".into());
    pairs
}

fn config(pairs: serde_json::Value) -> Config {
    fusebox_tests::gbm::config(with_xgboost(pairs))
}

/// A fit with XGBoost unless it says otherwise.
fn fit_of<'a>(
    task: &'a str,
    pairs: serde_json::Value,
    train: &'a Dataset,
) -> fusebox_tests::gbm::Fit<'a> {
    fusebox_tests::gbm::Fit::new(task, with_xgboost(pairs), train)
}

/// The JSON of the trees.
fn trees(artifact: &[u8]) -> String {
    let text = std::str::from_utf8(artifact).unwrap();
    let start = text.find("\"trees\":[").unwrap();
    let end = text[start..].find("\"name\":\"gbtree\"").unwrap();
    text[start..start + end].to_owned()
}

fn header(artifact: &[u8]) -> serde_json::Value {
    let text = std::str::from_utf8(artifact).unwrap();
    serde_json::from_str(text.lines().nth(1).unwrap()).unwrap()
}

fn sampling() -> serde_json::Value {
    serde_json::json!({
        "rounds": 20, "num_leaves": 7, "bagging_fraction": 0.5, "bagging_freq": 1,
        "feature_fraction": 0.5, "early_stopping_rounds": 0,
    })
}

#[test]
fn one_seed_gives_one_artifact_and_another_seed_another() {
    let train = dataset(0, 1_600, "multiclass", true);
    let mut fit = fit_of("multiclass", sampling(), &train);
    let first = fit.run().unwrap().save().unwrap();
    assert_eq!(fit.run().unwrap().save().unwrap(), first);
    fit.max_threads = 2;
    let threaded = fit.run().unwrap().save().unwrap();
    assert_eq!(threaded, first, "the number of threads changes nothing");
    fit.seed = 8;
    assert_ne!(trees(&fit.run().unwrap().save().unwrap()), trees(&first));
}

#[test]
fn flat_trees_and_the_library_answer_with_the_same_bits_in_every_shape() {
    for (name, outputs) in TASKS {
        let train = dataset(0, 1_200, name, false);
        let pairs = serde_json::json!({"rounds": 13, "num_leaves": 12});
        let artifact = fit_of(name, pairs, &train).run().unwrap().save().unwrap();
        let mut input = matrix(9_000, 700);
        for (position, value) in [f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40]
            .iter()
            .enumerate()
        {
            input[position * 29] = *value;
        }
        let mut flat = create(&config(serde_json::json!({})), &artifact).unwrap();
        let expected = bits(&predict(flat.as_mut(), &input, outputs));
        for pairs in [
            serde_json::json!({"evaluator": "library"}),
            serde_json::json!({"evaluator": "library", "predict_threads": 2}),
            serde_json::json!({"predict_threads": 2}),
        ] {
            let mut model = create(&config(pairs), &artifact).unwrap();
            assert_eq!(
                bits(&predict(model.as_mut(), &input, outputs)),
                expected,
                "{name}"
            );
            let singles = input.chunks(COLUMNS as usize).take(60);
            let singles: Vec<f32> = singles
                .flat_map(|row| predict(model.as_mut(), row, outputs))
                .collect();
            assert_eq!(bits(&singles), expected[..singles.len()], "{name}");
            assert_eq!(model.save().unwrap(), artifact, "{name}");
        }
    }
}

#[test]
fn quantiles_ascend_and_say_their_levels() {
    let train = dataset(0, 1_600, "quantiles", false);
    let mut model = fit_of("quantiles", serde_json::json!({"rounds": 40}), &train)
        .run()
        .unwrap();
    assert_eq!(model.quantiles().unwrap().levels(), [0.1, 0.5, 0.9]);
    let outputs = ["direction_q0.1", "direction_q0.5", "direction_q0.9"];
    assert_eq!(model.info().unwrap().outputs, outputs);
    let (rows, mut below) = (400_u32, 0);
    let answers = predict(model.as_mut(), &matrix(20_000, rows), 3);
    for (row, answer) in (20_000..).zip(answers.chunks(3)) {
        assert!(answer.is_sorted(), "{answer:?}");
        below += u32::from(data(false).label(row, "quantiles") < answer[2]);
    }
    let share = f64::from(below) / f64::from(rows);
    assert!(
        (0.75..1.0).contains(&share),
        "{share} of the labels lie below their 0.9 quantile"
    );
}

#[test]
fn a_monotone_column_moves_the_answer_in_its_direction_alone() {
    let train = dataset(0, 1_600, "regression", false);
    for booster in ["xgboost", "lightgbm"] {
        let pairs = serde_json::json!({
            "booster": booster, "rounds": 30, "monotone_increasing": "column 0; column 5",
            "monotone_decreasing": "column 1",
        });
        let mut model = fit_of("regression", pairs, &train).run().unwrap();
        for row in 0..40 {
            let ladder = |column: usize| -> Vec<f32> {
                let steps = (0..64).flat_map(|step| {
                    let mut one = matrix(30_000 + row, 1);
                    one[column] = step as f32 * 4.0;
                    one
                });
                steps.collect()
            };
            for (column, rising) in [(0, true), (5, true), (1, false)] {
                let answers = predict(model.as_mut(), &ladder(column), 1);
                let ordered = answers.is_sorted_by(|a, b| if rising { a <= b } else { a >= b });
                assert!(ordered, "{booster}, column {column}: {answers:?}");
            }
        }
    }
    let pairs = serde_json::json!({"monotone_increasing": "column 99"});
    let error = fit_of("regression", pairs, &train).error();
    assert_eq!(error.status(), Status::Config);
    assert!(
        error.message().contains("`column 99`, which is no column"),
        "{error}"
    );
}

#[test]
fn early_stopping_ends_the_fit_and_keeps_the_best_round() {
    let train = dataset(0, 1_600, "binary", false);
    let valid = dataset(1_600, 400, "binary", false);
    let pairs =
        serde_json::json!({"rounds": 500, "early_stopping_rounds": 7, "learning_rate": 0.3});
    let mut fit = fit_of("binary", pairs, &train);
    fit.valid = Some(&valid);
    let mut recorder = Recorder::default();
    let model = fit.run_with(&mut recorder).unwrap();
    let values: Vec<f64> = recorder
        .steps
        .iter()
        .map(|(_, value)| value.unwrap())
        .collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let best = values.iter().position(|value| *value <= smallest).unwrap() + 1;
    assert!(values.len() < 500, "stopped before the last round");
    assert_eq!(values.len(), best + 7, "patience rounds after the best one");
    let notes = model.info().unwrap().notes;
    assert_eq!(notes["best_iteration"], best);
    assert_eq!(notes["iterations"], best);
    // Written as JSON and read back, which may cost the last bit.
    let noted = notes["valid_log_loss"].as_f64().unwrap();
    assert!((noted - smallest).abs() < 1e-15, "{noted} and {smallest}");
    assert_eq!(notes["library"], "XGBoost >= 3.4.1");
}

#[test]
fn cancelling_ends_the_fit_at_once() {
    let train = dataset(0, 800, "multiclass", false);
    let fit = fit_of("multiclass", serde_json::json!({"rounds": 10_000}), &train);
    for poll_only in [false, true] {
        let mut recorder = Recorder {
            cancel_after: Some(3),
            poll_only,
            ..Recorder::default()
        };
        let error = fit.run_with(&mut recorder).err().unwrap();
        assert_eq!(error.status(), Status::Cancelled);
        assert_eq!(recorder.steps.len(), 3);
    }
}

/// Runs a fit to its end and a second one from the checkpoint after round 12 of the first.
fn resumed(pairs: serde_json::Value) -> (Vec<u8>, Vec<u8>) {
    let train = dataset(0, 1_600, "multiclass", true);
    let valid = dataset(1_600, 400, "multiclass", true);
    let mut fit = fit_of("multiclass", pairs, &train);
    fit.valid = Some(&valid);
    let mut recorder = Recorder::default();
    let whole = fit.run_with(&mut recorder).unwrap();
    let stored = recorder.checkpoints.iter().find(|(step, _)| *step == 12);
    fit.checkpoint = Some(&stored.unwrap().1);
    let mut later = Recorder::default();
    let continued = fit.run_with(&mut later).unwrap();
    assert_eq!(later.steps[0].0, 13, "starts after the checkpoint");
    (whole.save().unwrap(), continued.save().unwrap())
}

#[test]
fn a_resumed_fit_without_sampling_gives_the_same_trees() {
    let (whole, continued) = resumed(serde_json::json!({
        "rounds": 60, "early_stopping_rounds": 6, "checkpoint_rounds": 4, "num_leaves": 9,
        "learning_rate": 0.2,
    }));
    assert_eq!(trees(&whole), trees(&continued));
    let [first, second] = [&whole, &continued].map(|artifact| header(artifact));
    assert_eq!(first["best_iteration"], second["best_iteration"]);
    assert_eq!(second["resumed_after"], serde_json::json!([12]));
}

#[test]
fn a_resumed_fit_with_sampling_is_reproducible() {
    let mut pairs = sampling();
    pairs["checkpoint_rounds"] = 12.into();
    let (whole, continued) = resumed(pairs.clone());
    assert_eq!(resumed(pairs).1, continued);
    assert_ne!(
        trees(&whole),
        trees(&continued),
        "new draws after it, as documented"
    );
}

#[test]
fn a_checkpoint_of_the_other_library_is_refused() {
    let train = dataset(0, 800, "binary", false);
    let pairs = serde_json::json!({"rounds": 3, "checkpoint_rounds": 1, "booster": "lightgbm"});
    let mut recorder = Recorder::default();
    let fit = fit_of("binary", pairs, &train);
    fit.run_with(&mut recorder).unwrap();
    let pairs = serde_json::json!({"rounds": 3, "checkpoint_rounds": 1});
    let mut fit = fit_of("binary", pairs, &train);
    fit.checkpoint = Some(&recorder.checkpoints[0].1);
    assert!(
        fit.error().message().contains("another fit: library, "),
        "{}",
        fit.error()
    );
}

#[test]
fn both_libraries_fit_and_answer_at_once_in_one_process() {
    let train = dataset(0, 1_600, "multiclass", false);
    let alone = ["lightgbm", "xgboost"].map(|booster| {
        let mut pairs = sampling();
        pairs["booster"] = booster.into();
        let model = fit_of("multiclass", pairs, &train).run().unwrap();
        (booster, model.save().unwrap())
    });
    std::thread::scope(|scope| {
        for (turn, (booster, expected)) in [&alone[0], &alone[1]]
            .into_iter()
            .cycle()
            .take(8)
            .enumerate()
        {
            let train = &train;
            scope.spawn(move || {
                let mut pairs = sampling();
                pairs["booster"] = (*booster).into();
                let mut fit = fit_of("multiclass", pairs, train);
                fit.max_threads = 1 + turn as u32 % 3;
                let mut model = fit.run().unwrap();
                assert_eq!(model.save().unwrap(), *expected, "{booster}");
                predict(model.as_mut(), &matrix(0, 50), 3);
            });
        }
    });
    // Whose model it is stands in the artifact, whatever the configuration says.
    for (booster, artifact) in &alone {
        let model = create(&config(serde_json::json!({})), artifact).unwrap();
        let library = model.info().unwrap().notes["library"]
            .to_string()
            .to_lowercase();
        assert!(library.contains(booster), "{library}");
    }
}

#[test]
fn importances_find_the_planted_features_and_contributions_add_up() {
    for (name, outputs) in TASKS {
        let train = dataset(0, 1_600, name, false);
        let pairs = serde_json::json!({"rounds": 12, "num_leaves": 8});
        let mut model = fit_of(name, pairs, &train).run().unwrap();
        let input = matrix(20, 9);
        let answers = predict(model.as_mut(), &input, outputs);
        let explain = model.explain().unwrap();
        assert_eq!(explain.importance_kinds(), ["gain", "split"]);
        let gain = explain.importance("gain").unwrap();
        let strongest = gain.iter().copied().fold(0.0, f64::max);
        assert!(
            gain[0] >= strongest && gain[1] > gain[5],
            "{name}: {gain:?}"
        );
        assert_eq!((gain.len(), gain[11]), (COLUMNS as usize, 0.0), "{name}");
        let splits: f64 = explain.importance("split").unwrap().iter().sum();
        assert!(
            splits > 40.0 && splits <= 12.0 * 3.0 * 7.0,
            "{name}: {splits}"
        );

        let per_output = COLUMNS as usize + 1;
        let width = outputs * per_output;
        let mut values = vec![0.0; 9 * width];
        let shape = FrameShape::dense(9, COLUMNS as usize, width);
        explain
            .contributions(&mut Frame::new(&input, &mut values, shape).unwrap())
            .unwrap();
        for (row, answer) in values.chunks(width).zip(answers.chunks(outputs)) {
            let raw: Vec<f32> = row
                .chunks(per_output)
                .map(|part| part.iter().sum())
                .collect();
            for (found, expected) in link(name, &raw).iter().zip(answer) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found} and {expected}"
                );
            }
        }
    }
}

/// Answers from raw scores.
fn link(task: &str, raw: &[f32]) -> Vec<f32> {
    match task {
        "binary" => raw
            .iter()
            .map(|score| 1.0 / (1.0 + (-score).exp()))
            .collect(),
        "multiclass" => {
            let total: f32 = raw.iter().map(|score| score.exp()).sum();
            raw.iter().map(|score| score.exp() / total).collect()
        }
        _ => {
            let mut sorted = raw.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted
        }
    }
}

#[test]
fn data_that_xgboost_cannot_learn_from_is_refused_with_a_reason() {
    let row = |value: f32, label: f32| Row::sample(vec![value; COLUMNS as usize], label);
    let one = |rows: &[Row]| data(false).of(rows);
    for (data, expected) in [
        (
            one(&[row(1.0, 0.0), row(f32::INFINITY, 1.0)]),
            "1 values of `column 0` (the first: sample 1 has inf, which XGBoost does not learn",
        ),
        (one(&[row(1.0, 1.0), row(0.0, 1.0)]), "have the class `up`"),
        (
            one(&[row(1.0, 1.0), row(0.0, 7.0)]),
            "1 labels do not fit the task",
        ),
    ] {
        let error = fit_of("binary", serde_json::json!({}), &data).error();
        assert_eq!(error.status(), Status::Data, "{error}");
        assert!(
            error.message().contains(expected),
            "{expected} not in: {error}"
        );
    }
}

#[test]
fn wrong_settings_and_a_missing_library_are_clear() {
    let train = dataset(0, 200, "binary", false);
    let pairs = serde_json::json!({"booster": "catboost", "num_leafs": 3});
    let error = fit_of("binary", pairs, &train).error();
    assert_eq!(error.status(), Status::Config);
    assert!(error.message().contains("`booster`"), "{error}");
    assert!(
        error.message().contains("did you mean `num_leaves`"),
        "{error}"
    );
    let mut fit = fit_of("binary", serde_json::json!({}), &train);
    fit.config.set("xgboost_library", "/nowhere/libxgboost.so");
    let error = fit.error();
    assert_eq!(error.status(), Status::Library);
    assert!(
        error.message().contains("plugins/native/fetch.py"),
        "{error}"
    );
}

#[test]
fn damaged_artifacts_are_refused_before_xgboost_reads_them() {
    let train = dataset(0, 800, "multiclass", false);
    let pairs = serde_json::json!({"rounds": 3, "num_leaves": 5});
    let artifact = fit_of("multiclass", pairs, &train)
        .run()
        .unwrap()
        .save()
        .unwrap();
    let settings = config(serde_json::json!({}));
    for length in [0, 10, 200, artifact.len() / 2, artifact.len() - 1] {
        let error = create(&settings, &artifact[..length]).err().unwrap();
        assert_eq!(error.status(), Status::Data, "{length} bytes: {error}");
    }
    for position in (0..artifact.len()).step_by(artifact.len() / 50) {
        let mut damaged = artifact.clone();
        damaged[position] ^= 0x20;
        assert!(create(&settings, &damaged).is_err(), "byte {position}");
    }
}
