//! The LightGBM half of the gradient-boosting plugin, loaded as a host loads it, against misuse.
//!
//! The library is the pinned one; where it is not there yet, the fetch script gets it.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test fails by panicking, and so do its helpers; equal means the same bits here"
)]

use std::path::Path;
use std::process::Command;

use fusebox_plugin_api::prelude::*;
use fusebox_tests::fixtures::project_root;
use fusebox_tests::gbm::{
    COLUMNS, Data, Fit, Recorder, Row, TASKS, config, create, libraries, odd, plugin, predict,
};

/// Infinite values, and names that LightGBM itself would refuse or change.
fn data() -> Data {
    Data {
        infinite: true,
        name: odd,
        ..Data::default()
    }
}

fn train_rows(task: &str) -> Dataset {
    data().dataset(0, 2_400, task)
}

fn valid_rows(task: &str) -> Dataset {
    data().dataset(2_400, 600, task)
}

fn test_matrix(first: u32, rows: u32) -> Vec<f32> {
    data().matrix(first, rows)
}

/// The artifact's header and the part of its model text that holds the trees.
fn parts(artifact: &[u8]) -> (serde_json::Value, String) {
    let text = std::str::from_utf8(artifact).unwrap();
    let mut lines = text.splitn(3, '\n').skip(1);
    let header = serde_json::from_str(lines.next().unwrap()).unwrap();
    let trees = lines.next().unwrap().split("end of trees").next().unwrap();
    (header, trees.to_owned())
}

fn sampling() -> serde_json::Value {
    serde_json::json!({
        "rounds": 30, "num_leaves": 7, "bagging_fraction": 0.5, "bagging_freq": 1,
        "feature_fraction": 0.5, "early_stopping_rounds": 0,
    })
}

#[test]
fn one_seed_gives_one_artifact_whatever_the_threads_and_another_seed_another() {
    let train = train_rows("multiclass");
    let mut fit = Fit::new("multiclass", sampling(), &train);
    let first = fit.run().unwrap().save().unwrap();
    assert_eq!(fit.run().unwrap().save().unwrap(), first);
    fit.max_threads = 2;
    assert_eq!(fit.run().unwrap().save().unwrap(), first);
    fit.seed = 8;
    let other = fit.run().unwrap().save().unwrap();
    assert_ne!(
        parts(&other).1,
        parts(&first).1,
        "the seed changes the trees themselves"
    );
}

#[test]
fn fits_with_different_numbers_of_threads_do_not_disturb_each_other() {
    let train = train_rows("multiclass");
    let expected = Fit::new("multiclass", sampling(), &train)
        .run()
        .unwrap()
        .save()
        .unwrap();
    std::thread::scope(|scope| {
        for max_threads in [1, 2, 3, 1, 2, 3] {
            let (train, expected) = (&train, &expected);
            scope.spawn(move || {
                let mut fit = Fit::new("multiclass", sampling(), train);
                fit.max_threads = max_threads;
                assert_eq!(fit.run().unwrap().save().unwrap(), *expected);
            });
        }
    });
}

#[test]
fn early_stopping_ends_the_fit_and_keeps_the_best_round() {
    let (train, valid) = (train_rows("binary"), valid_rows("binary"));
    let pairs =
        serde_json::json!({"rounds": 500, "early_stopping_rounds": 7, "learning_rate": 0.3});
    let mut fit = Fit::new("binary", pairs, &train);
    fit.valid = Some(&valid);
    let mut recorder = Recorder::default();
    let model = fit.run_with(&mut recorder).unwrap();
    let values: Vec<f64> = recorder
        .steps
        .iter()
        .map(|(_, value)| value.unwrap())
        .collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let best = values.iter().position(|value| *value == smallest).unwrap() + 1;
    assert!(values.len() < 500, "stopped before the last round");
    assert_eq!(values.len(), best + 7, "patience rounds after the best one");
    let notes = model.info().unwrap().notes;
    assert_eq!(notes["best_iteration"], best);
    assert_eq!(notes["iterations"], best);
    assert_eq!(notes["valid_log_loss"], smallest);
}

#[test]
fn cancelling_ends_the_fit_at_once_by_report_and_by_poll() {
    let train = train_rows("multiclass");
    let fit = Fit::new("multiclass", serde_json::json!({"rounds": 10_000}), &train);
    for poll_only in [false, true] {
        let cancel_after = Some(3);
        let mut recorder = Recorder {
            cancel_after,
            poll_only,
            ..Recorder::default()
        };
        let error = fit.run_with(&mut recorder).err().unwrap();
        assert_eq!(error.status(), Status::Cancelled);
        assert_eq!(recorder.steps.len(), 3);
    }
}

/// Runs a fit to its end and a second one from the checkpoint after round 12 of the first.
fn resumed(pairs: serde_json::Value) -> (Box<dyn Model>, Box<dyn Model>) {
    let (train, valid) = (train_rows("multiclass"), valid_rows("multiclass"));
    let mut fit = Fit::new("multiclass", pairs, &train);
    fit.valid = Some(&valid);
    let mut recorder = Recorder::default();
    let whole = fit.run_with(&mut recorder).unwrap();
    let (_, bytes) = recorder
        .checkpoints
        .iter()
        .find(|(step, _)| *step == 12)
        .unwrap();
    fit.checkpoint = Some(bytes);
    let mut later = Recorder::default();
    let continued = fit.run_with(&mut later).unwrap();
    assert_eq!(
        later.steps.first().unwrap().0,
        13,
        "starts after the checkpoint"
    );
    (whole, continued)
}

#[test]
fn a_resumed_fit_without_sampling_gives_the_same_trees() {
    let (whole, continued) = resumed(serde_json::json!({
        "rounds": 60, "early_stopping_rounds": 6, "checkpoint_rounds": 4, "num_leaves": 9,
        "learning_rate": 0.2,
    }));
    let (mut whole, mut continued) = (whole, continued);
    let (first, second) = (whole.info().unwrap(), continued.info().unwrap());
    assert_eq!(first.notes, second.notes);
    let test = test_matrix(5_000, 100);
    assert_eq!(
        predict(whole.as_mut(), &test, 3),
        predict(continued.as_mut(), &test, 3)
    );
    let header = parts(&continued.save().unwrap()).0;
    assert_eq!(header["resumed_after"], serde_json::json!([12]));
}

#[test]
fn a_resumed_fit_with_sampling_is_reproducible_and_keeps_the_first_trees() {
    let mut pairs = sampling();
    pairs["checkpoint_rounds"] = 12.into();
    let (whole, continued) = resumed(pairs.clone());
    let (_, again) = resumed(pairs);
    let [whole, continued, again] = [whole, continued, again].map(|model| model.save().unwrap());
    assert_eq!(continued, again);
    let tree = |artifact: &[u8], number: usize| {
        let trees = parts(artifact).1;
        trees.split("Tree=").nth(number + 1).map(str::to_owned)
    };
    assert_eq!(
        tree(&whole, 35),
        tree(&continued, 35),
        "the last tree before the checkpoint"
    );
    assert_ne!(
        tree(&whole, 36),
        tree(&continued, 36),
        "new draws after it, as documented"
    );
}

#[test]
fn a_checkpoint_of_another_fit_and_a_checkpoint_as_a_model_are_refused() {
    let train = train_rows("multiclass");
    let pairs = serde_json::json!({"rounds": 3, "checkpoint_rounds": 1, "num_leaves": 4});
    let mut fit = Fit::new("multiclass", pairs, &train);
    let mut recorder = Recorder::default();
    let model = fit.run_with(&mut recorder).unwrap();
    let (_, checkpoint) = &recorder.checkpoints[0];
    fit.checkpoint = Some(checkpoint);
    fit.seed = 9;
    let error = fit.error();
    assert!(
        error
            .message()
            .contains("belongs to another fit: seed differ"),
        "{error}"
    );
    let error = create(&fit.config, checkpoint).err().unwrap();
    assert!(
        error.message().contains("checkpoint after round 1"),
        "{error}"
    );
    let finished = model.save().unwrap();
    fit.checkpoint = Some(&finished);
    assert!(
        fit.error().message().contains("finished model"),
        "{}",
        fit.error()
    );
}

fn small_model(task: &str) -> Box<dyn Model> {
    let train = train_rows(task);
    Fit::new(
        task,
        serde_json::json!({"rounds": 12, "num_leaves": 8}),
        &train,
    )
    .run()
    .unwrap()
}

#[test]
fn saved_strided_single_and_threaded_predictions_are_the_same_bits() {
    for (name, outputs) in TASKS {
        let mut model = small_model(name);
        let input = test_matrix(9_000, 300);
        let expected = predict(model.as_mut(), &input, outputs);
        assert!(
            expected.iter().all(|value| value.is_finite()),
            "missing and infinite features"
        );
        let artifact = model.save().unwrap();
        let threaded = config(serde_json::json!({"predict_threads": 2}));
        let mut threaded = create(&threaded, &artifact).unwrap();
        assert_eq!(predict(threaded.as_mut(), &input, outputs), expected);
        assert_eq!(threaded.save().unwrap(), artifact);
        let by_library = config(serde_json::json!({"evaluator": "library", "predict_threads": 2}));
        let mut by_library = create(&by_library, &artifact).unwrap();
        assert_eq!(predict(by_library.as_mut(), &input, outputs), expected);
        assert_eq!(strided(by_library.as_mut(), &input, outputs), expected);
        assert_eq!(by_library.save().unwrap(), artifact);
        let singles = input.chunks(COLUMNS as usize);
        let singles: Vec<f32> = singles
            .flat_map(|row| predict(model.as_mut(), row, outputs))
            .collect();
        assert_eq!(singles, expected);
        assert_eq!(strided(model.as_mut(), &input, outputs), expected);
        assert_eq!(strided(threaded.as_mut(), &input, outputs), expected);
        assert!(predict(model.as_mut(), &[], outputs).is_empty());
    }
}

/// Predicts with gaps between the rows on both sides, and checks that the gaps are untouched.
fn strided(model: &mut dyn Model, input: &[f32], outputs: usize) -> Vec<f32> {
    let columns = COLUMNS as usize;
    let rows = input.len() / columns;
    let spread: Vec<f32> = input
        .chunks(columns)
        .flat_map(|row| [row, &[1e30; 5]].concat())
        .collect();
    let mut output = vec![-77.0; rows * (outputs + 2)];
    let mut shape = FrameShape::dense(rows, columns, outputs);
    (shape.row_stride, shape.output_stride) = (columns + 5, outputs + 2);
    model
        .predict(&mut Frame::new(&spread, &mut output, shape).unwrap())
        .unwrap();
    let gaps = output.chunks(outputs + 2).flat_map(|row| &row[outputs..]);
    assert!(
        gaps.into_iter().all(|value| *value == -77.0),
        "gaps belong to the host"
    );
    output
        .chunks(outputs + 2)
        .flat_map(|row| row[..outputs].to_vec())
        .collect()
}

#[test]
fn a_frame_of_another_shape_is_refused() {
    let mut model = small_model("multiclass");
    let (input, mut output) = (vec![0.0; 13], vec![0.0; 3]);
    let frame = &mut Frame::new(&input, &mut output, FrameShape::dense(1, 13, 3)).unwrap();
    assert_eq!(model.predict(frame).unwrap_err().status(), Status::Argument);
}

#[test]
fn the_snapshot_of_a_model_without_state_round_trips_and_garbage_is_refused() {
    let mut model = small_model("binary");
    let input = test_matrix(100, 5);
    let before = predict(model.as_mut(), &input, 2);
    let snapshot = model.snapshot().unwrap();
    model.restore(&snapshot).unwrap();
    assert_eq!(model.snapshot().unwrap(), snapshot);
    assert!(model.restore(&Snapshot::new(1, [1, 2, 3])).is_err());
    assert_eq!(predict(model.as_mut(), &input, 2), before);
}

#[test]
fn importances_find_the_planted_features() {
    let model = small_model("multiclass");
    let explain = model.explain().unwrap();
    assert_eq!(explain.importance_kinds(), ["gain", "split"]);
    let gain = explain.importance("gain").unwrap();
    let strongest = gain.iter().copied().fold(0.0, f64::max);
    assert_eq!(gain.len(), COLUMNS as usize);
    assert!(gain[0] == strongest && gain[1] > gain[5], "{gain:?}");
    let splits: f64 = explain.importance("split").unwrap().iter().sum();
    assert!(splits <= 12.0 * 3.0 * 7.0 && splits > 100.0, "{splits}");
    assert_eq!(
        explain.importance("cover").unwrap_err().status(),
        Status::Unsupported
    );
}

#[test]
fn contributions_add_up_to_the_prediction() {
    for (name, outputs) in TASKS {
        let mut model = small_model(name);
        let input = test_matrix(20, 9);
        let answers = predict(model.as_mut(), &input, outputs);
        let width = outputs * (COLUMNS as usize + 1);
        let mut values = vec![0.0; 9 * width];
        let shape = FrameShape::dense(9, COLUMNS as usize, width);
        let mut frame = Frame::new(&input, &mut values, shape).unwrap();
        model.explain().unwrap().contributions(&mut frame).unwrap();
        for (row, answer) in values.chunks(width).zip(answers.chunks(outputs)) {
            let raw = row
                .chunks(COLUMNS as usize + 1)
                .map(|part| part.iter().sum::<f32>());
            let raw: Vec<f32> = raw.collect();
            for (found, expected) in link(name, &raw).iter().zip(answer) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found} and {expected}"
                );
            }
        }
    }
}

/// Probabilities from raw scores.
fn link(task: &str, raw: &[f32]) -> Vec<f32> {
    match task {
        "quantiles" => {
            let mut sorted = raw.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted
        }
        "regression" => raw.to_vec(),
        "binary" => raw
            .iter()
            .map(|score| 1.0 / (1.0 + (-score).exp()))
            .collect(),
        _ => {
            let total: f32 = raw.iter().map(|score| score.exp()).sum();
            raw.iter().map(|score| score.exp() / total).collect()
        }
    }
}

#[test]
fn data_from_which_nothing_can_be_learned_is_refused_with_a_reason() {
    let empty = Dataset::new(data().schema(), vec![]).unwrap();
    let no_pairs = || serde_json::json!({});
    let row = |label: f32, weight: f32| Row {
        weight,
        ..Row::sample(vec![0.5; COLUMNS as usize], label)
    };
    let one = |rows: &[Row]| data().of(rows);
    let context_only = one(&[Row {
        role: 0,
        ..row(1.0, 1.0)
    }]);
    let one_class = one(&[row(1.0, 1.0), row(1.0, 1.0)]);
    let weightless = one(&[row(1.0, 0.0), row(0.0, 0.0)]);
    let wrong = one(&[row(0.0, 1.0), row(3.0, 1.0), row(0.5, f32::INFINITY)]);
    for (data, expected) in [
        (&empty, "no row is a sample with a label (0 rows"),
        (
            &context_only,
            "no row is a sample with a label (1 rows, 0 of them samples)",
        ),
        (&one_class, "all 2 training rows have the class `flat`"),
        (&weightless, "every training row has weight 0"),
        (
            &wrong,
            "2 labels do not fit the task (the first: batch 0, row 1 has 3",
        ),
        (
            &wrong,
            "1 weights are not finite (the first: batch 0, row 2 has inf",
        ),
    ] {
        let error = Fit::new("multiclass", no_pairs(), data).error();
        assert_eq!(error.status(), Status::Data, "{error}");
        assert!(
            error.message().contains(expected),
            "{expected} not in: {error}"
        );
    }
    let train = train_rows("multiclass");
    let mut fit = Fit::new("multiclass", no_pairs(), &train);
    fit.valid = Some(&empty);
    let error = fit.error();
    assert!(
        error
            .message()
            .contains("validation rows: no row is a sample"),
        "{error}"
    );
}

#[test]
fn a_class_without_rows_is_learned_as_improbable() {
    let rows: Vec<_> = (0..400)
        .map(|row| Row::sample(data().features(row), (row % 2) as f32))
        .collect();
    let train = data().of(&rows);
    let pairs = serde_json::json!({"rounds": 5, "class_weight": "balanced"});
    let mut model = Fit::new("multiclass", pairs, &train).run().unwrap();
    let answers = predict(model.as_mut(), &test_matrix(0, 20), 3);
    assert!(
        answers
            .chunks(3)
            .all(|row| row[2] < 1e-6 && row[0] + row[1] > 0.999)
    );
}

#[test]
fn features_that_never_change_give_the_shares_of_the_classes() {
    let row = |label: f32| Row::sample(vec![1.5; COLUMNS as usize], label);
    let rows: Vec<_> = (0..100)
        .map(|number| row(f32::from(number < 25_u8)))
        .collect();
    let train = data().of(&rows);
    let mut model = Fit::new("binary", serde_json::json!({}), &train)
        .run()
        .unwrap();
    for answer in predict(model.as_mut(), &test_matrix(0, 30), 2).chunks(2) {
        assert!((answer[1] - 0.25).abs() < 1e-6, "{answer:?}");
    }
}

#[test]
fn a_wrong_configuration_lists_every_problem() {
    let train = train_rows("multiclass");
    let pairs = serde_json::json!({"num_leafs": 4, "learning_rate": 2.0, "label": "x"});
    let error = Fit::new("multiclass", pairs, &train).error();
    assert_eq!(error.status(), Status::Config);
    assert!(
        error.message().contains("did you mean `num_leaves`"),
        "{error}"
    );
    assert!(error.message().contains("`learning_rate` is 2"), "{error}");
    let error = Fit::new("multiclass", serde_json::json!({"label": "x"}), &train).error();
    assert!(
        error.message().contains("no label `x`; it has direction"),
        "{error}"
    );
}

#[test]
fn a_missing_library_is_an_error_of_its_own_kind() {
    let train = train_rows("multiclass");
    let mut fit = Fit::new("multiclass", serde_json::json!({}), &train);
    fit.config.set("library", "/nowhere/lib_lightgbm.so");
    let error = fit.error();
    assert_eq!(error.status(), Status::Library);
    assert!(
        error.message().contains("plugins/native/fetch.py"),
        "{error}"
    );
    assert!(
        plugin().learner().unwrap().describe().is_ok(),
        "the hyper-parameters need no library"
    );
}

#[test]
fn damaged_artifacts_are_refused_before_lightgbm_reads_them() {
    let artifact = small_model("multiclass").save().unwrap();
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

#[test]
fn the_fetch_script_notices_a_damaged_library_and_says_what_to_do() {
    let intact = Path::new(&libraries()[0]).parent().unwrap();
    let dest = tempfile::tempdir().unwrap();
    let check = || {
        let mut command = Command::new("python3");
        command
            .args([
                "plugins/native/fetch.py",
                "--only",
                "lightgbm",
                "--check",
                "--dest",
            ])
            .arg(dest.path());
        let output = command.current_dir(project_root()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = check();
    assert_eq!(code, Some(1));
    assert!(
        said.contains("is not there; run `python3 plugins/native/fetch.py`"),
        "{said}"
    );

    let copy = dest.path().join(intact.file_name().unwrap());
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(intact).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    assert_eq!(check(), (Some(0), String::new()));

    let damaged = copy.join("lib_lightgbm.so");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(1));
    assert!(said.contains("lib_lightgbm.so has sha256"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
