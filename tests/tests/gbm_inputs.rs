//! What the gradient-boosting plugin makes of data and settings that are wrong or odd, for both
//! libraries: categories, missing values, labels, metrics that are not defined, artifacts with
//! damaged trees, and memory that runs out.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and tells its child process by the environment what to do"
)]

use std::collections::BTreeMap;
use std::process::Command;

use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::gbm::{
    COLUMNS, Data, Fit, Recorder, Row, bits, config, create, noise, outputs, predict,
};
use serde_json::json;
use sha2::{Digest, Sha256};

const BOOSTERS: [&str; 2] = ["lightgbm", "xgboost"];

fn with_categories() -> Data {
    Data {
        categories: true,
        ..Data::default()
    }
}

#[test]
fn what_is_no_category_is_refused_with_its_column() {
    for booster in BOOSTERS {
        let pairs = json!({"booster": booster, "categorical": "column 9; column 10", "rounds": 2});
        for (value, is_category) in [
            (7.0, true),
            (f32::NAN, true),
            (-0.0, true),
            (65_535.0, true),
            (0.5, false),
            (-1.0, false),
            (65_536.0, false),
            (f32::INFINITY, false),
        ] {
            let rows = (0..300).map(|row| {
                let mut features = with_categories().features(row);
                if row == 17 {
                    features[9] = value;
                }
                Row::sample(features, (row % 2) as f32)
            });
            let train = Data::default().of(&rows.collect::<Vec<_>>());
            let found = Fit::new("binary", pairs.clone(), &train).run();
            if is_category {
                assert!(found.is_ok(), "{booster}, {value}: {:?}", found.err());
                continue;
            }
            let error = found.err().unwrap();
            assert_eq!(error.status(), Status::Config, "{error}");
            let expected = format!("1 values of `column 9` (the first: sample 17 has {value}, but");
            assert!(
                error.message().contains(&expected),
                "{expected} not in: {error}"
            );
        }
    }
}

#[test]
fn validation_rows_are_held_to_the_same_rules() {
    let train = with_categories().dataset(0, 600, "binary");
    let mut features = with_categories().features(1);
    features[10] = 1.5;
    let valid = Data::default().of(&[Row::sample(features, 1.0)]);
    let pairs = json!({"categorical": "column 9; column 10"});
    let mut fit = Fit::new("binary", pairs, &train);
    fit.valid = Some(&valid);
    let error = fit.error();
    let expected = "validation rows: 1 values of `column 10`";
    assert!(error.message().contains(expected), "{error}");
}

#[test]
fn unknown_and_impossible_categories_are_answered_as_the_library_does() {
    for booster in BOOSTERS {
        let train = with_categories().dataset(0, 1_600, "multiclass");
        let pairs = json!({
            "booster": booster, "categorical": "column 9; column 10", "rounds": 20,
            "max_cat_to_onehot": 2, "min_data_in_leaf": 20, "num_leaves": 15,
        });
        let mut model = Fit::new("multiclass", pairs, &train).run().unwrap();
        let settings = config(json!({"evaluator": "library"}));
        let mut by_library = create(&settings, &model.save().unwrap()).unwrap();
        let odd = [
            22.0,
            23.0,
            31.0,
            32.0,
            500.0,
            1e9,
            3e9,
            -1.0,
            -0.5,
            0.5,
            f32::NAN,
            1e30,
        ];
        let rows = (0..odd.len() as u32 * 40).flat_map(|row| {
            let mut features = with_categories().features(50_000 + row);
            features[9 + (row % 2) as usize] = odd[row as usize / 2 % odd.len()];
            features
        });
        let input: Vec<f32> = rows.collect();
        let [flat, library] =
            [&mut model, &mut by_library].map(|model| bits(&predict(model.as_mut(), &input, 3)));
        assert_eq!(flat, library, "{booster}");
        let gain = model.explain().unwrap().importance("gain").unwrap();
        assert!(gain[9] > 0.0, "{booster}: categories are used: {gain:?}");
    }
}

#[test]
fn missing_values_are_refused_where_the_settings_say_so() {
    let full = |row: u32| {
        let mut features = Data::default().features(row);
        features.iter_mut().for_each(|value| {
            if value.is_nan() {
                *value = 1.0;
            }
        });
        features
    };
    let rows: Vec<Row> = (0..400)
        .map(|row| Row::sample(full(row), (row % 2) as f32))
        .collect();
    let whole = Data::default().of(&rows);
    let gaps = Data::default().dataset(0, 400, "binary");
    for booster in BOOSTERS {
        let pairs = json!({"booster": booster, "rounds": 3, "missing": "refused"});
        let error = Fit::new("binary", pairs.clone(), &gaps).error();
        assert_eq!(error.status(), Status::Data);
        for part in [
            "values of `column 3`",
            "of `column 11`",
            "by the key `missing`",
        ] {
            assert!(error.message().contains(part), "{part} not in: {error}");
        }
        let mut model = Fit::new("binary", pairs, &whole).run().unwrap();
        model.warmup().unwrap();
        let mut input = [full(1), full(2)].concat();
        assert_eq!(predict(model.as_mut(), &input, 2).len(), 4);
        input[COLUMNS as usize + 5] = f32::NAN;
        let mut output = [0.0; 4];
        let shape = FrameShape::dense(2, COLUMNS as usize, 2);
        let mut frame = Frame::new(&input, &mut output, shape).unwrap();
        let error = model.predict(&mut frame).unwrap_err();
        assert_eq!(error.status(), Status::Data);
        assert!(
            error.message().contains("row 1 has no value of `column 5`"),
            "{error}"
        );
        // The model remembers how it was fitted, and a user may be stricter than the fit.
        let reopened = create(&config(json!({})), &model.save().unwrap());
        let mut frame = Frame::new(&input, &mut output, shape).unwrap();
        assert!(reopened.unwrap().predict(&mut frame).is_err());
        let lenient = Fit::new("binary", json!({"booster": booster, "rounds": 3}), &gaps);
        let artifact = lenient.run().unwrap().save().unwrap();
        let strict = create(&config(json!({"missing": "refused"})), &artifact);
        let mut frame = Frame::new(&input, &mut output, shape).unwrap();
        assert!(strict.unwrap().predict(&mut frame).is_err());
    }
}

#[test]
fn several_labels_need_a_choice_and_another_order_of_features_is_refused() {
    let several = Data {
        returns: true,
        ..Data::default()
    };
    let train = several.dataset(0, 400, "binary");
    for booster in BOOSTERS {
        let pairs = json!({"booster": booster, "rounds": 2});
        let error = Fit::new("binary", pairs.clone(), &train).error();
        assert_eq!(error.status(), Status::Config);
        let expected = "several labels (direction, forward_return); set the key `label`";
        assert!(error.message().contains(expected), "{error}");
        let chosen = json!({"booster": booster, "rounds": 2, "label": "forward_return"});
        let model = Fit::new("regression", chosen, &train).run().unwrap();
        assert_eq!(model.info().unwrap().outputs, ["forward_return"]);

        let swapped = Data {
            name: |column| format!("column {}", (column + 1) % COLUMNS),
            ..several
        };
        let valid = swapped.dataset(400, 100, "binary");
        let labelled = json!({"booster": booster, "rounds": 2, "label": "direction"});
        let mut fit = Fit::new("binary", labelled, &train);
        fit.valid = Some(&valid);
        let error = fit.error();
        let expected = "validation rows: the features differ from those of the training rows";
        assert!(error.message().contains(expected), "{error}");
        let empty = Dataset::new(several.schema(), Vec::new()).unwrap();
        fit.valid = Some(&empty);
        assert!(
            fit.error().message().contains("no row is a sample"),
            "{}",
            fit.error()
        );
    }
}

#[test]
fn quantiles_that_cross_are_put_in_order_and_cover_what_they_say() {
    let train = Data::default().dataset(0, 1_600, "quantiles");
    let valid = Data::default().dataset(1_600, 400, "quantiles");
    for booster in BOOSTERS {
        // Large steps make the levels cross.
        let pairs = json!({
            "booster": booster, "rounds": 30, "learning_rate": 0.9, "early_stopping_rounds": 0,
        });
        let mut fit = Fit::new("quantiles", pairs, &train);
        fit.valid = Some(&valid);
        let mut recorder = Recorder::default();
        let mut model = fit.run_with(&mut recorder).unwrap();
        assert_eq!(recorder.names, ["valid_pinball_loss"]);
        let input = Data::default().matrix(20_000, 500);
        let answers = predict(model.as_mut(), &input, 3);
        assert!(
            answers.chunks(3).all(|answer| answer.is_sorted()),
            "{booster}"
        );
        let shap = fusebox_tests::gbm::contributions(model.as_ref(), &input, 3);
        let per_output = COLUMNS as usize + 1;
        let raw: Vec<f32> = shap
            .chunks(per_output)
            .map(|part| part.iter().sum())
            .collect();
        let crossed = raw.chunks(3).filter(|row| !row.is_sorted()).count();
        assert!(
            crossed > 5,
            "{booster}: only {crossed} rows cross before they are put in order"
        );
        for (raw, answer) in raw.chunks(3).zip(answers.chunks(3)) {
            let mut ordered = raw.to_vec();
            ordered.sort_by(f32::total_cmp);
            let close = ordered
                .iter()
                .zip(answer)
                .all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(close, "{booster}: {raw:?} and {answer:?}");
        }
        assert_eq!(model.quantiles().unwrap().levels(), [0.1, 0.5, 0.9]);
    }
}

#[test]
fn early_stopping_watches_what_it_is_told_to() {
    let returns = Data {
        returns: true,
        per_moment: 5,
        ..Data::default()
    };
    let (train, valid) = (
        returns.dataset(0, 1_600, "multiclass"),
        returns.dataset(1_600, 400, "multiclass"),
    );
    for booster in BOOSTERS {
        for (metric, name) in [
            ("ic", "valid_information_coefficient"),
            ("rank_ic", "valid_rank_information_coefficient"),
            ("sharpe", "valid_sharpe"),
        ] {
            let pairs = json!({
                "booster": booster, "rounds": 60, "early_stopping_rounds": 6, "metric": metric,
                "label": "direction", "return_label": "forward_return", "learning_rate": 0.3,
            });
            let mut fit = Fit::new("multiclass", pairs, &train);
            fit.valid = Some(&valid);
            let mut recorder = Recorder::default();
            let model = fit.run_with(&mut recorder).unwrap();
            assert_eq!(recorder.names, [name, "valid_log_loss"]);
            let values: Vec<f64> = recorder
                .steps
                .iter()
                .map(|(_, value)| value.unwrap())
                .collect();
            let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let best = values.iter().position(|value| *value >= largest).unwrap() + 1;
            let notes = model.info().unwrap().notes;
            assert_eq!(
                notes["best_iteration"], best,
                "{booster}, {metric}: {values:?}"
            );
            let noted = notes[name].as_f64().unwrap();
            assert!((noted - largest).abs() < 1e-12, "{noted} and {largest}");
            assert!(largest > 0.2, "{booster}, {metric}: {largest}");
        }
        let pairs = json!({"booster": booster, "metric": "ic", "return_label": "nothing",
            "label": "direction"});
        let mut fit = Fit::new("multiclass", pairs, &train);
        fit.valid = Some(&valid);
        let error = fit.error();
        assert!(error.message().contains("no label `nothing`"), "{error}");
    }
}

#[test]
fn a_resumed_fit_of_quantiles_and_by_a_coefficient_gives_the_same_model() {
    for booster in BOOSTERS {
        for (task, metric) in [
            ("quantiles", "default"),
            ("quantiles", "ic"),
            ("binary", "sharpe"),
        ] {
            let (train, valid) = (
                Data::default().dataset(0, 1_200, task),
                Data::default().dataset(1_200, 300, task),
            );
            let pairs = json!({
                "booster": booster, "rounds": 40, "early_stopping_rounds": 5, "metric": metric,
                "checkpoint_rounds": 2, "num_leaves": 7, "learning_rate": 0.3,
            });
            let mut fit = Fit::new(task, pairs, &train);
            fit.valid = Some(&valid);
            let mut recorder = Recorder::default();
            let whole = fit.run_with(&mut recorder).unwrap();
            fit.checkpoint = Some(&recorder.checkpoints[1].1);
            let mut resumed = fit.run().unwrap();
            let [first, second] = [&whole, &resumed].map(|model| model.info().unwrap().notes);
            assert_eq!(first, second, "{booster}, {task}, {metric}");
            let mut whole = whole;
            let input = Data::default().matrix(5_000, 60);
            let [first, second] = [&mut whole, &mut resumed]
                .map(|model| bits(&predict(model.as_mut(), &input, outputs(task))));
            assert_eq!(first, second, "{booster}, {task}, {metric}");
        }
    }
}

#[test]
fn a_metric_that_is_never_defined_stops_nothing() {
    let train = Data::default().dataset(0, 400, "regression");
    let same = (0..50).map(|row| Row::sample(Data::default().features(row), 1.0));
    let valid = Data::default().of(&same.collect::<Vec<_>>());
    for booster in BOOSTERS {
        let pairs = json!({
            "booster": booster, "rounds": 9, "early_stopping_rounds": 2, "metric": "ic",
        });
        let mut fit = Fit::new("regression", pairs, &train);
        fit.valid = Some(&valid);
        let mut recorder = Recorder::default();
        let model = fit.run_with(&mut recorder).unwrap();
        assert_eq!(recorder.steps.len(), 9, "{booster}");
        assert_eq!(
            recorder.names.len(),
            1,
            "the loss alone is defined: {:?}",
            recorder.names
        );
        let notes = model.info().unwrap().notes;
        assert_eq!(notes["iterations"], 9);
        assert!(!notes.contains_key("best_iteration"), "{notes:?}");
    }
}

/// An artifact whose trees are damaged but whose length and digest are right again.
fn resealed(artifact: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let text = std::str::from_utf8(artifact).unwrap();
    let (_, body) = text.split_once('\n').unwrap();
    let (header, trees) = body.split_once('\n').unwrap();
    let body = format!("{header}\n{}", change(trees));
    let digest = Sha256::digest(&body);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("fusebox-gbm 1 {} {digest}\n{body}", body.len()).into_bytes()
}

#[test]
fn trees_that_no_library_wrote_never_reach_one() {
    for booster in BOOSTERS {
        let train = Data::default().dataset(0, 600, "binary");
        let pairs = json!({"booster": booster, "rounds": 3, "num_leaves": 4});
        let artifact = Fit::new("binary", pairs, &train)
            .run()
            .unwrap()
            .save()
            .unwrap();
        let settings = config(json!({}));
        assert!(create(&settings, &resealed(&artifact, str::to_owned)).is_ok());
        let cut = |trees: &str| trees[..trees.len() / 3].to_owned();
        let gone = |_: &str| String::new();
        let children = |trees: &str| {
            let lightgbm = trees.replacen("left_child=1", "left_child=77", 1);
            lightgbm.replacen("\"left_children\":[1,", "\"left_children\":[77,", 1)
        };
        let columns = |trees: &str| {
            let lightgbm = trees.replacen("split_feature=", "split_feature=9", 1);
            lightgbm.replacen("\"split_indices\":[", "\"split_indices\":[99,", 1)
        };
        let damages: [&dyn Fn(&str) -> String; 4] = [&cut, &gone, &children, &columns];
        for (number, damage) in damages.iter().enumerate() {
            let damaged = resealed(&artifact, damage);
            if damaged == artifact {
                continue;
            }
            let error = create(&settings, &damaged).err();
            let error = error.unwrap_or_else(|| PluginError::internal("it was taken"));
            assert_eq!(
                error.status(),
                Status::Data,
                "{booster}, damage {number}: {error}"
            );
            assert!(error.message().contains("not a usable artifact"), "{error}");
        }
    }
}

/// Tells the child process which library is to run out of memory.
const CHILD: &str = "FUSEBOX_TEST_GBM_MEMORY";
/// What is left to the child.
const ROOM_BYTES: usize = 40 << 20;
const LARGE_ROWS: u32 = 600_000;
const LARGE_COLUMNS: u32 = 40;

#[test]
fn memory_that_runs_out_is_an_error_and_the_model_that_is_there_stays() {
    for booster in BOOSTERS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_that_runs_out_of_memory", "--nocapture"])
            .env(CHILD, booster)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        let also = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{booster}: {said}\n{also}");
    }
}

/// Does nothing unless the test above calls it: the limit holds for a whole process.
#[test]
fn a_child_that_runs_out_of_memory() {
    let Ok(booster) = std::env::var(CHILD) else {
        return;
    };
    let small = Data::default().dataset(0, 2_000, "regression");
    let pairs = json!({"booster": booster, "rounds": 5});
    let mut model = Fit::new("regression", pairs.clone(), &small).run().unwrap();
    let input = Data::default().matrix(0, 100);
    let before = predict(model.as_mut(), &input, 1);
    let large = large_dataset();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + ROOM_BYTES;
    let limited = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--as={limit}"))
        .status();
    assert!(
        limited.unwrap().success(),
        "prlimit of util-linux is needed"
    );
    let fit = Fit::new("regression", pairs, &large);
    let error = fit.run_with(&mut NoProgress).err().unwrap();
    assert_eq!(error.status(), Status::Memory, "{error}");
    assert!(error.message().contains("ran out of memory"), "{error}");
    assert_eq!(bits(&predict(model.as_mut(), &input, 1)), bits(&before));
    assert_eq!(outputs("regression"), 1);
}

fn large_dataset() -> Dataset {
    let rows = LARGE_ROWS as usize;
    let cells = 0..LARGE_ROWS * LARGE_COLUMNS;
    let features: Vec<f32> = cells.map(|cell| (noise(cell, 1) >> 8) as f32).collect();
    let labels = features.iter().step_by(LARGE_COLUMNS as usize).copied();
    let schema = DatasetSchema {
        features: (0..LARGE_COLUMNS)
            .map(|column| format!("f{column}"))
            .collect(),
        labels: vec!["y".to_owned()],
        classes: Vec::new(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let columns = fusebox_plugin_api::schema::BatchColumns {
        labels: labels.collect::<Vec<f32>>().into(),
        features: features.into(),
        weight: vec![1.0; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: vec![1; rows].into(),
    };
    let batch = fusebox_plugin_api::schema::DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

/// Every metric of every step.
#[derive(Default)]
struct Curves(BTreeMap<String, Vec<f64>>);

impl Progress for Curves {
    fn report(&mut self, _: u64, _: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        for metric in metrics {
            let curve = self.0.entry(metric.name.to_owned()).or_default();
            curve.push(metric.value);
        }
        Ok(())
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn the_loss_on_the_training_rows_is_reported_where_it_is_asked_for() {
    for booster in BOOSTERS {
        for task in ["binary", "multiclass", "regression", "quantiles"] {
            let train = Data::default().dataset(0, 1_200, task);
            let fitted = |is_asked: bool| {
                let pairs = json!({
                    "booster": booster, "rounds": 12, "early_stopping_rounds": 0,
                    "training_curve": is_asked, "learning_rate": 0.3,
                });
                let mut fit = Fit::new(task, pairs, &train);
                // The same rows, so that both curves must be one.
                fit.valid = Some(&train);
                let mut curves = Curves::default();
                let model = fit.run_with(&mut curves).unwrap();
                (model.save().unwrap(), curves.0)
            };
            let (plain, without) = fitted(false);
            let (reported, with) = fitted(true);
            assert!(plain == reported, "{booster}, {task}: another model");
            let names: Vec<&String> = with.keys().collect();
            let [train, valid] = names[..] else {
                panic!("{booster}, {task}: {names:?}")
            };
            assert_eq!(without.keys().collect::<Vec<_>>(), [valid]);
            assert_eq!(train.strip_prefix("train_"), valid.strip_prefix("valid_"));
            let (train, valid) = (&with[train], &with[valid]);
            assert_eq!((train.len(), valid), (12, &without[names[1]]));
            let close = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-6 * other.abs();
            assert!(train.iter().zip(valid).all(close), "{train:?} {valid:?}");
            assert!(train[11] < train[0], "{booster}, {task}: {train:?}");
        }
    }
}
