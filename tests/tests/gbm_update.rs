//! Fitted gradient-boosting models that take in new rows: what changes, what stays, and what is
//! refused, for both libraries. That the results equal the Python packages' is in `gbm_parity.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::gbm::{
    COLUMNS, Data, Fit, Recorder, Row, TASKS, bits, config, create, outputs, predict,
};
use serde_json::{Value, json};

const BOOSTERS: [&str; 2] = ["lightgbm", "xgboost"];
const ROUNDS: u32 = 8;

fn data() -> Data {
    Data::default()
}

/// A fitted model with settings of its own.
fn fitted(booster: &str, task: &str, more: &Value) -> Box<dyn Model> {
    let train = data().dataset(0, 900, task);
    let mut pairs = json!({
        "booster": booster, "rounds": ROUNDS, "num_leaves": 6, "early_stopping_rounds": 0,
    });
    for (key, value) in more.as_object().unwrap() {
        pairs[key] = value.clone();
    }
    Fit::new(task, pairs, &train).run().unwrap()
}

fn update(model: &mut dyn Model, rows: &Dataset) -> Result<()> {
    model.incremental().unwrap().update(rows, &mut NoProgress)
}

fn rounds(model: &dyn Model) -> u64 {
    let artifact = model.save().unwrap();
    let text = std::str::from_utf8(&artifact).unwrap();
    let header: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    header["iterations"].as_u64().unwrap()
}

#[test]
fn more_rounds_stop_at_the_bound_and_then_are_refused() {
    for booster in BOOSTERS {
        let settings = json!({"update_rounds": 5, "update_most_rounds": ROUNDS + 7});
        let mut model = fitted(booster, "binary", &settings);
        let fresh = data().dataset(900, 300, "binary");
        for expected in [ROUNDS + 5, ROUNDS + 7] {
            update(model.as_mut(), &fresh).unwrap();
            assert_eq!(rounds(model.as_ref()), u64::from(expected), "{booster}");
        }
        let before = model.save().unwrap();
        let error = update(model.as_mut(), &fresh).unwrap_err();
        assert_eq!(error.status(), Status::Config, "{error}");
        assert!(
            error.message().contains("`update_most_rounds` allows 15"),
            "{error}"
        );
        assert_eq!(model.save().unwrap(), before);
    }
}

#[test]
fn a_refit_that_keeps_all_of_the_old_changes_nothing_and_one_that_keeps_less_follows() {
    for booster in BOOSTERS {
        let raised = |by: f32| {
            let row = |row: u32| {
                let features = data().features(row);
                Row::sample(features, data().label(row, "regression") + by)
            };
            data().of(&(900..1_500).map(row).collect::<Vec<_>>())
        };
        let input = data().matrix(3_000, 200);
        let mean = |answers: &[f32]| answers.iter().sum::<f32>() / answers.len() as f32;
        let answer = |decay: f64| {
            let settings = json!({"update": "refit", "refit_decay_rate": decay});
            let mut model = fitted(booster, "regression", &settings);
            let before = predict(model.as_mut(), &input, 1);
            update(model.as_mut(), &raised(50.0)).unwrap();
            assert_eq!(rounds(model.as_ref()), u64::from(ROUNDS), "{booster}");
            (before, predict(model.as_mut(), &input, 1))
        };
        let (before, same) = answer(1.0);
        assert_eq!(bits(&same), bits(&before), "{booster}");
        let (before, little) = answer(0.9);
        let (_, much) = answer(0.2);
        let [start, little, much] = [&before, &little, &much].map(|answers| mean(answers));
        assert!(
            start + 0.5 < little && little < much,
            "{booster}: {start} {little} {much}"
        );
    }
}

#[test]
fn an_updated_model_is_an_artifact_like_any_other() {
    for booster in BOOSTERS {
        for rule in ["continue", "refit"] {
            let mut model = fitted(booster, "multiclass", &json!({"update": rule}));
            let before = model.save().unwrap();
            let fresh = data().dataset(900, 300, "multiclass");
            update(model.as_mut(), &fresh).unwrap();
            let once = model.save().unwrap();
            assert_ne!(once, before);
            // The rule is the user's, not the artifact's.
            let settings = config(json!({"update": rule}));
            let mut again = create(&settings, &before).unwrap();
            update(again.as_mut(), &fresh).unwrap();
            assert_eq!(again.save().unwrap(), once, "{booster}, {rule}");
            update(again.as_mut(), &fresh).unwrap();
            let mut read = create(&settings, &again.save().unwrap()).unwrap();
            let input = data().matrix(3_000, 50);
            let [found, expected] =
                [&mut read, &mut again].map(|model| predict(model.as_mut(), &input, 3));
            assert_eq!(bits(&found), bits(&expected));
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_update() {
    for booster in BOOSTERS {
        for rule in ["continue", "refit"] {
            let artifact = fitted(booster, "binary", &json!({})).save().unwrap();
            let fresh = data().dataset(900, 400, "binary");
            let updated = |threads: u32| {
                let settings = config(json!({"update": rule, "predict_threads": threads}));
                let mut model = create(&settings, &artifact).unwrap();
                update(model.as_mut(), &fresh).unwrap();
                model.save().unwrap()
            };
            assert_eq!(updated(1), updated(2), "{booster}, {rule}");
        }
    }
}

/// Tries an update that must fail, and sees that the model is as before.
fn refused(model: &mut dyn Model, task: &str, rows: &Dataset) -> PluginError {
    let input = data().matrix(3_000, 40);
    let answers = |model: &mut dyn Model| bits(&predict(model, &input, outputs(task)));
    let (artifact, before) = (model.save().unwrap(), answers(model));
    let error = update(model, rows).unwrap_err();
    assert_eq!(model.save().unwrap(), artifact, "{error}");
    assert_eq!(answers(model), before, "{error}");
    error
}

#[test]
fn rows_that_do_not_fit_leave_the_model_as_it_was() {
    let row = |value: f32, label: f32| Row::sample(vec![value; COLUMNS as usize], label);
    let renamed = Data {
        name: |column| format!("other {column}"),
        ..data()
    };
    let labels = DatasetSchema {
        labels: vec!["other".to_owned()],
        ..data().schema()
    };
    for booster in BOOSTERS {
        for rule in ["continue", "refit"] {
            let settings = json!({"update": rule, "missing": "refused"});
            let train: Vec<Row> = (0..400)
                .map(|number| row(number as f32, (number % 2) as f32))
                .collect();
            let pairs = json!({"booster": booster, "rounds": 3, "missing": "refused"});
            let train = data().of(&train);
            let model = Fit::new("binary", pairs, &train).run().unwrap();
            let mut model = create(&config(settings), &model.save().unwrap()).unwrap();
            for (rows, expected) in [
                (
                    renamed.of(&[row(1.0, 0.0)]),
                    "the features differ from those of the model",
                ),
                (
                    Dataset::new(labels.clone(), Vec::new()).unwrap(),
                    "the data has no label `direction`; it has other",
                ),
                (
                    Dataset::new(data().schema(), Vec::new()).unwrap(),
                    "no row is a sample",
                ),
                (data().of(&[row(1.0, 1.0)]), "have the class `up`"),
                (
                    data().of(&[row(1.0, 1.0), row(0.0, 3.0)]),
                    "1 labels do not fit",
                ),
                (
                    data().of(&[row(f32::NAN, 1.0), row(0.0, 0.0)]),
                    "missing values are refused by the key `missing`",
                ),
            ] {
                let input = vec![1.0; COLUMNS as usize];
                let before = (model.save().unwrap(), predict(model.as_mut(), &input, 2));
                let error = update(model.as_mut(), &rows).unwrap_err();
                assert!(
                    error.message().contains(expected),
                    "{expected} not in: {error}"
                );
                let after = (model.save().unwrap(), predict(model.as_mut(), &input, 2));
                assert_eq!(after, before, "{booster}, {rule}: {error}");
            }
        }
    }
}

#[test]
fn a_cancelled_update_leaves_the_model_as_it_was() {
    for booster in BOOSTERS {
        for rule in ["continue", "refit"] {
            let mut model = fitted(booster, "multiclass", &json!({"update": rule}));
            let fresh = data().dataset(900, 300, "multiclass");
            let before = model.save().unwrap();
            let mut progress = Recorder {
                cancel_after: Some(1),
                ..Recorder::default()
            };
            let incremental = model.incremental().unwrap();
            let error = incremental.update(&fresh, &mut progress).unwrap_err();
            assert_eq!(error.status(), Status::Cancelled, "{booster}, {rule}");
            assert_eq!(model.save().unwrap(), before, "{booster}, {rule}");
        }
    }
}

#[test]
fn leaves_that_no_library_finds_again_are_not_refitted() {
    let refit = json!({"update": "refit"});
    let monotone = json!({"update": "refit", "monotone_increasing": "column 0"});
    for booster in BOOSTERS {
        for (task, settings, expected) in [
            ("quantiles", &refit, "the leaves of quantiles"),
            ("regression", &monotone, "monotone columns"),
        ] {
            let mut model = fitted(booster, task, settings);
            let fresh = data().dataset(900, 300, task);
            let error = refused(model.as_mut(), task, &fresh);
            assert_eq!(error.status(), Status::Unsupported, "{error}");
            assert!(error.message().contains(expected), "{error}");
            assert!(error.message().contains("continue"), "{error}");
        }
    }
}

#[test]
fn every_task_goes_on_learning() {
    for booster in BOOSTERS {
        for (task, count) in TASKS {
            let mut model = fitted(booster, task, &json!({"update_rounds": 3}));
            let input = data().matrix(3_000, 60);
            let before = predict(model.as_mut(), &input, count);
            update(model.as_mut(), &data().dataset(900, 400, task)).unwrap();
            let after = predict(model.as_mut(), &input, count);
            assert_ne!(before, after, "{booster}, {task}");
            assert!(after.iter().all(|value| value.is_finite()));
        }
    }
}
