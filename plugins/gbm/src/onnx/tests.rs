//! What ONNX Runtime answers from the exported trees against what the library answers: the same
//! leaf in every tree of every row, and the same answer to 1e-5.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::OnceLock;

use fusebox_onnx_proto::{DimensionValue, Message, ModelProto, real_input};
use fusebox_plugin_api::prelude::*;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

use super::ensemble::SUMS;
use super::{Sums, model, trees};
use crate::flat::tests::{
    CASES, COLUMNS, XGBOOST_CASES, library, library_answers, matrix, rows_at_json_thresholds,
    rows_at_thresholds, rows_of_all_cases, train, train_xgboost,
};
use crate::flat::{self, Forest, NodeView};
use crate::lightgbm::{self, Output};
use crate::xgboost::{self, Matrix};

/// Rows that go through a model together.
const BATCH_ROWS: usize = 10_000;
/// Largest difference of two answers, relative to the larger where that is above 1.
const TOLERANCE: f64 = 1e-5;

fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fetched = std::process::Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", "onnxruntime"])
            .current_dir(&root)
            .output()
            .expect("python3 is needed to fetch ONNX Runtime: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{problem}");
        let path = root.join(".fusebox/native/onnxruntime-1.28.0/libonnxruntime.so");
        ort::init_from(path).unwrap().build().unwrap()
    })
}

fn session(model: &ModelProto) -> Session {
    let builder = Session::builder(environment()).unwrap();
    let mut builder = builder.with_intra_threads(1).unwrap();
    builder.commit_from_memory(&model.encode_to_vec()).unwrap()
}

fn run(session: &mut Session, rows: &[f32]) -> Vec<f32> {
    let shape = [rows.len() / COLUMNS, COLUMNS];
    let input = TensorRef::from_array_view((shape, rows)).unwrap();
    let outputs = session.run(ort::inputs![input]).unwrap();
    outputs[0].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

/// The same trees with a sum per tree, to which each leaf adds its number.
fn leaf_model(forest: &Forest, opset: u32) -> ModelProto {
    let outputs = forest.outputs() * forest.iterations();
    let leaf = |tree: usize, number: usize, _: f64| (tree, number as f64);
    let sums = Sums {
        base: &[],
        outputs,
        leaf: &leaf,
    };
    let mut model = trees(forest, opset, &sums).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.output.push(real_input(SUMS, outputs));
    model
}

fn task(case: &str, outputs: usize) -> Task {
    let classes = |count: usize| Task::Classification {
        classes: (0..count).map(|class| format!("c{class}")).collect(),
    };
    match case {
        _ if case.contains("=binary") || case.contains("cross_entropy") => classes(2),
        _ if case.contains("=multi") => classes(outputs),
        _ if case.contains("quantileerror") => Task::Quantiles {
            levels: vec![0.1, 0.5, 0.9],
        },
        _ => Task::Regression,
    }
}

/// What the library says of rows.
struct Library<'a> {
    answers: &'a dyn Fn(&[f32]) -> Vec<f64>,
    leaves: &'a dyn Fn(&[f32]) -> Vec<usize>,
}

/// Compares both models with the library on rows at every threshold and on many others.
fn compare(case: &str, forest: &Forest, library: &Library<'_>, rows: &[Vec<f32>]) {
    for opset in [17, 15] {
        let task = task(case, forest.outputs());
        let mut answers = session(&model(forest, &task, opset).unwrap());
        let mut leaves = session(&leaf_model(forest, opset));
        for rows in rows
            .iter()
            .flat_map(|rows| rows.chunks(BATCH_ROWS * COLUMNS))
        {
            let expected = (library.leaves)(rows);
            for (position, (found, expected)) in
                run(&mut leaves, rows).iter().zip(&expected).enumerate()
            {
                let row = position / (expected_trees(forest));
                assert_eq!(
                    *found as usize,
                    *expected,
                    "{case}, opset {opset}, row {row}, tree {}: {:?}",
                    position % expected_trees(forest),
                    &rows[row * COLUMNS..(row + 1) * COLUMNS]
                );
            }
            let found = run(&mut answers, rows);
            let expected = (library.answers)(rows);
            let binary = found.len() == 2 * expected.len();
            for (position, expected) in expected.iter().enumerate() {
                let found = |index: usize| f64::from(found[index]);
                let (found, other) = match binary {
                    true => (found(2 * position + 1), Some(found(2 * position))),
                    false => (found(position), None),
                };
                let close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
                let close = close(found, *expected)
                    && other.is_none_or(|other| close(other, 1.0 - expected));
                assert!(
                    close,
                    "{case}, opset {opset}: {found} instead of {expected}"
                );
            }
        }
    }
}

fn expected_trees(forest: &Forest) -> usize {
    forest.outputs() * forest.iterations()
}

/// Many rows with missing and infinite values.
fn many_rows(count: usize) -> Vec<Vec<f32>> {
    let batch = |first: usize| matrix(1_000_000 + first, (count - first).min(BATCH_ROWS));
    (0..count).step_by(BATCH_ROWS).map(batch).collect()
}

#[test]
fn onnx_runtime_reaches_the_leaves_of_lightgbm_and_gives_its_answers() {
    let count = rows_of_all_cases() / CASES.len();
    for (number, case) in CASES.iter().enumerate() {
        let text = train(case, 13 + 5 * (number % 4));
        let (booster, _) = lightgbm::Booster::from_text(library(), &text).unwrap();
        let forest = flat::lightgbm::read(text.to_str().unwrap()).unwrap();
        let answers = |rows: &[f32]| -> Vec<f64> {
            let answers = library_answers(&booster, rows);
            answers.into_iter().map(f64::from_bits).collect()
        };
        let leaves = |rows: &[f32]| -> Vec<usize> {
            let count = rows.len() / COLUMNS;
            let mut values = vec![0.0; booster.output_len(count, Output::Leaves).unwrap()];
            let _grant = lightgbm::acquire(1, &|| false).unwrap();
            let parameters = crate::params::predict_text(1).unwrap();
            booster
                .predict(rows, Output::Leaves, &parameters, &mut values)
                .unwrap();
            values.into_iter().map(|value| value as usize).collect()
        };
        let library = Library {
            answers: &answers,
            leaves: &leaves,
        };
        let mut rows = many_rows(count);
        rows.push(rows_at_thresholds(text.to_str().unwrap()));
        compare(case, &forest, &library, &rows);
    }
}

/// For each tree, what number the leaf at a node has.
fn leaf_numbers(text: &str) -> Vec<Vec<usize>> {
    let model: serde_json::Value = serde_json::from_str(text).unwrap();
    let trees = model["learner"]["gradient_booster"]["model"]["trees"]
        .as_array()
        .unwrap();
    let of_tree = |tree: &serde_json::Value| {
        let mut next = 0;
        let lefts = tree["left_children"].as_array().unwrap().iter();
        lefts
            .map(|left| {
                let number = next;
                next += usize::from(left.as_i64().unwrap() < 0);
                number
            })
            .collect()
    };
    trees.iter().map(of_tree).collect()
}

#[test]
fn onnx_runtime_reaches_the_leaves_of_xgboost_and_gives_its_answers() {
    let count = rows_of_all_cases() / XGBOOST_CASES.len();
    for (number, case) in XGBOOST_CASES.iter().enumerate() {
        let (text, booster) = train_xgboost(case, 11 + 9 * number as u32 % 4);
        let text = text.to_str().unwrap();
        let forest = flat::xgboost::read(text).unwrap();
        let numbers = leaf_numbers(text);
        let answers = |rows: &[f32]| -> Vec<f64> {
            let answers = booster.predict(rows, COLUMNS).unwrap();
            answers.into_iter().map(f64::from).collect()
        };
        let leaves = |rows: &[f32]| -> Vec<usize> {
            let matrix = xgboost_matrix(rows);
            let nodes = booster.leaves(&matrix).unwrap();
            let trees = numbers.len();
            let number = |(position, node): (usize, f32)| numbers[position % trees][node as usize];
            nodes.into_iter().enumerate().map(number).collect()
        };
        let library = Library {
            answers: &answers,
            leaves: &leaves,
        };
        let walked = |rows: &[f32]| -> Vec<usize> { walk(&forest, rows) };
        if case.contains("max_cat_to_onehot") {
            // A matrix of XGBoost takes no values that are no categories, which the answers do.
            let library = Library {
                answers: &answers,
                leaves: &walked,
            };
            let mut rows = many_rows(count);
            rows.push(rows_at_json_thresholds(text));
            compare(case, &forest, &library, &rows);
            continue;
        }
        // A matrix of XGBoost takes no infinite values, which the answers do.
        let finite = |rows: Vec<f32>| -> Vec<f32> {
            let finite = |value: f32| value.clamp(f32::MIN, f32::MAX);
            rows.into_iter().map(finite).collect()
        };
        let mut rows: Vec<Vec<f32>> = many_rows(count).into_iter().map(finite).collect();
        rows.push(finite(rows_at_json_thresholds(text)));
        compare(case, &forest, &library, &rows);
        // With infinite values the walk below stands for the library's leaves.
        let library = Library {
            answers: &answers,
            leaves: &walked,
        };
        let finite_rows = &rows[0];
        assert_eq!(
            walk(&forest, finite_rows),
            leaves(finite_rows),
            "{case}: the walk"
        );
        compare(case, &forest, &library, &[matrix(5_000_000, 3_000)]);
    }
}

/// The leaves of rows in trees of XGBoost, one question after the other.
fn walk(forest: &Forest, rows: &[f32]) -> Vec<usize> {
    let trees: Vec<Vec<NodeView<'_>>> = forest.trees().collect();
    let leaf = |row: &[f32], tree: &[NodeView<'_>]| {
        let mut at = 0;
        loop {
            match tree[at] {
                NodeView::Leaf { number, .. } => return number,
                NodeView::AtMost {
                    column,
                    threshold,
                    missing_left,
                    left,
                    ..
                } => {
                    let value = row[column];
                    let goes_left = value <= threshold || value.is_nan() && missing_left;
                    at = left + usize::from(!goes_left);
                }
                NodeView::Category { column, set, left } => {
                    let value = row[column];
                    let category = (0.0..16_777_216.0)
                        .contains(&value)
                        .then_some(value as usize);
                    let goes_left = match value.is_nan() {
                        true => set.missing_left(),
                        false => set.goes_left(category),
                    };
                    at = left + usize::from(!goes_left);
                }
            }
        }
    };
    let rows = rows.chunks(COLUMNS);
    rows.flat_map(|row| trees.iter().map(move |tree| leaf(row, tree)))
        .collect()
}

fn xgboost_matrix(rows: &[f32]) -> Matrix {
    let path = xgboost::tests::pinned_library();
    let library = Config::new().with(xgboost::LIBRARY_KEY, path);
    Matrix::from_runs(xgboost::library(&library).unwrap(), &[rows], COLUMNS).unwrap()
}

#[test]
fn a_model_of_constants_is_written_too() {
    let text = train("objective=binary min_data_in_leaf=5000", 3);
    let forest = flat::lightgbm::read(text.to_str().unwrap()).unwrap();
    let (booster, _) = lightgbm::Booster::from_text(library(), &text).unwrap();
    let rows = matrix(0, 20);
    let mut onnx = session(&model(&forest, &task("=binary", 1), 17).unwrap());
    let expected = library_answers(&booster, &rows);
    for (found, expected) in run(&mut onnx, &rows).chunks(2).zip(expected) {
        assert!((f64::from(found[1]) - f64::from_bits(expected)).abs() <= TOLERANCE);
    }
}

#[test]
fn the_operator_set_is_at_most_the_wanted_one_and_too_old_ones_are_refused() {
    let text = train("objective=multiclass num_class=3 num_leaves=5", 2);
    let forest = flat::lightgbm::read(text.to_str().unwrap()).unwrap();
    let task = task("=multi", 3);
    for (wanted, expected) in [
        (13, (13, 1, 7)),
        (15, (15, 1, 8)),
        (16, (16, 3, 8)),
        (99, (17, 3, 8)),
    ] {
        let model = model(&forest, &task, wanted).unwrap();
        let versions: Vec<i64> = model.opset_import.iter().map(|one| one.version).collect();
        assert_eq!((versions[0], versions[1], model.ir_version), expected);
    }
    let error = model(&forest, &task, 12).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.message().contains("13"), "{error}");
    let outputs = model(&forest, &task, 17).unwrap().graph.unwrap().output;
    let shape = outputs[0]
        .r#type
        .clone()
        .unwrap()
        .tensor_type
        .unwrap()
        .shape
        .unwrap();
    assert_eq!(
        (outputs.len(), outputs[0].name.as_str()),
        (1, "probabilities")
    );
    assert_eq!(shape.dim[1].value, Some(DimensionValue::Length(3)));
}

#[test]
fn sets_of_far_categories_are_refused_with_advice() {
    let text = train(
        "objective=binary categorical_feature=7 num_leaves=9 max_cat_to_onehot=2",
        4,
    );
    let text = text.to_str().unwrap();
    assert!(flat::lightgbm::read(text).is_ok());
    // One category far away, as of ids that are no small numbers.
    let words = "0 ".repeat(9_000_000);
    let set = text
        .lines()
        .find(|line| line.starts_with("cat_threshold="))
        .unwrap();
    let bounds = text
        .lines()
        .find(|line| line.starts_with("cat_boundaries="))
        .unwrap();
    let last: usize = bounds.rsplit([' ', '=']).next().unwrap().parse().unwrap();
    let wide = last + 9_000_000;
    let (head, _) = bounds.rsplit_once(' ').unwrap();
    let far = text
        .replacen(set, &format!("{set} {}", words.trim_end()), 1)
        .replacen(bounds, &format!("{head} {wide}"), 1);
    let forest = flat::lightgbm::read(&far).unwrap();
    let error = model(&forest, &task("=binary", 1), 17).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.message().contains("categories"), "{error}");
}
