//! The flat trees against the library: the same bits for every kind of model that they hold, and a
//! clear refusal for everything else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its number of rows comes from the environment"
)]

use std::ffi::{CStr, CString};
use std::rc::Rc;

use fusebox_plugin_api::prelude::*;
use proptest::prelude::*;

use super::xgboost as json_reader;
use super::{FlatPredictor, lightgbm as text_reader};
use crate::lightgbm::tests::pinned_library;
use crate::lightgbm::{
    self, Binned, Booster, FieldValues, LIBRARY_KEY, Library, Output, Runs, Training,
};
use crate::xgboost::tests::pinned_library as pinned_xgboost;
use crate::xgboost::{self, Matrix};

pub(crate) const COLUMNS: usize = 10;
const TRAIN_ROWS: usize = 1_500;

/// Rows compared over all cases: few by default, 1,000,000 where `FUSEBOX_FLAT_ROWS` says so.
pub(crate) fn rows_of_all_cases() -> usize {
    let wanted = std::env::var("FUSEBOX_FLAT_ROWS").ok();
    wanted.map_or(24_000, |text| text.parse().unwrap())
}

pub(crate) fn library() -> &'static Library {
    lightgbm::library(&Config::new().with(LIBRARY_KEY, pinned_library())).unwrap()
}

/// Murmur3's 32-bit finaliser over a position.
fn noise(row: usize, column: usize) -> u32 {
    let value = (row * 64 + column + 1) as u32;
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    value ^ (value >> 16)
}

/// Columns 0 to 3 are ordinary, 4 to 6 have zeros of both signs, missing, infinite and denormal
/// values, and 7 to 9 whole numbers, some of which are no categories.
fn feature(row: usize, column: usize) -> f32 {
    let noise = noise(row, column);
    match (column, noise % 16) {
        (4..=6, 0) => 0.0,
        (4..=6, 1) => -0.0,
        (4..=6, 2) => f32::NAN,
        (4..=6, 3) => f32::INFINITY,
        (4..=6, 4) => f32::NEG_INFINITY,
        (4..=6, 5) => f32::from_bits(noise >> 9),
        (4..=6, 6) => 1.5e-35 * if noise & 16 == 0 { 1.0 } else { -1.0 },
        (7..=9, 0) => f32::NAN,
        (7..=9, 1) => -0.5,
        (7..=9, _) => ((noise >> 8) % 40) as f32,
        _ => (noise >> 8) as f32 / 65_536.0 - 128.0,
    }
}

pub(crate) fn matrix(first: usize, rows: usize) -> Vec<f32> {
    let cells = (first..first + rows).flat_map(|row| (0..COLUMNS).map(move |c| (row, c)));
    cells.map(|(row, column)| feature(row, column)).collect()
}

/// A planted signal in classes 0, 1 and 2, a share or a count, as the objective wants it.
fn label(row: usize, objective: &str) -> f32 {
    let category = (noise(row, 7) >> 8) % 40;
    let signal = feature(row, 0) + feature(row, 1) / 2.0 + (category % 7) as f32 * 20.0 - 60.0;
    let signal = signal + (noise(row, 40) % 60) as f32 - 30.0;
    match objective {
        "binary" | "cross_entropy" => f32::from(u8::from(signal > 0.0)),
        "multiclass" | "multiclassova" => {
            f32::from(u8::from(signal > -50.0) + u8::from(signal > 50.0))
        }
        "poisson" | "gamma" | "tweedie" => (signal.abs() / 10.0).round() + 1.0,
        _ => signal,
    }
}

/// A model text that LightGBM wrote.
pub(crate) fn train(parameters: &str, rounds: usize) -> CString {
    let objective = parameters.split_once("objective=").unwrap().1;
    let objective = objective.split(' ').next().unwrap();
    let parameters = format!("{parameters} num_threads=1 verbosity=-1 min_data_in_leaf=5 seed=3");
    let parameters = CString::new(parameters).unwrap();
    let rows = matrix(0, TRAIN_ROWS);
    let labels: Vec<f32> = (0..TRAIN_ROWS).map(|row| label(row, objective)).collect();
    let _grant = lightgbm::acquire(1, &|| false).unwrap();
    let runs = Runs::new(&[&rows], COLUMNS).unwrap();
    let set = Binned::from_runs(library(), &runs, &parameters, None).unwrap();
    set.set(c"label", FieldValues::Float(&labels)).unwrap();
    let mut training = Training::start(&Rc::new(set), &parameters).unwrap();
    for _ in 0..rounds {
        training.update().unwrap();
    }
    training.booster().to_text(None).unwrap()
}

fn flat(text: &CStr, threads: u32) -> FlatPredictor {
    let forest = text_reader::read(text.to_str().unwrap()).unwrap();
    FlatPredictor::new(forest, threads)
}

/// Answers of the flat trees, each f64 in two halves so that no bit is lost on the way.
fn flat_answers(flat: &mut FlatPredictor, input: &[f32]) -> Vec<u64> {
    let (rows, outputs) = (input.len() / COLUMNS, 2 * flat.forest().outputs());
    let mut output = vec![0.0; rows * outputs];
    let shape = FrameShape::dense(rows, COLUMNS, outputs);
    let mut frame = Frame::new(input, &mut output, shape).unwrap();
    flat.predict(&mut frame, |answer, output| {
        for (value, halves) in answer.iter().zip(output.chunks_exact_mut(2)) {
            let bits = value.to_bits();
            halves[0] = f32::from_bits((bits >> 32) as u32);
            halves[1] = f32::from_bits(bits as u32);
        }
    });
    let whole =
        |halves: &[f32]| u64::from(halves[0].to_bits()) << 32 | u64::from(halves[1].to_bits());
    output.chunks_exact(2).map(whole).collect()
}

pub(crate) fn library_answers(booster: &Booster, input: &[f32]) -> Vec<u64> {
    let rows = input.len() / COLUMNS;
    let mut values = vec![0.0; booster.output_len(rows, Output::Normal).unwrap()];
    let _grant = lightgbm::acquire(1, &|| false).unwrap();
    let parameters = crate::params::predict_text(1).unwrap();
    booster
        .predict(input, Output::Normal, &parameters, &mut values)
        .unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

#[track_caller]
fn assert_same_bits(case: &str, flat: &mut FlatPredictor, booster: &Booster, input: &[f32]) {
    assert_answers(case, flat, input, &library_answers(booster, input));
}

#[track_caller]
fn assert_answers(case: &str, flat: &mut FlatPredictor, input: &[f32], expected: &[u64]) {
    let found = flat_answers(flat, input);
    let outputs = flat.forest().outputs();
    if let Some(position) = found.iter().zip(expected).position(|(a, b)| a != b) {
        let row = position / outputs;
        let [found, expected] = [found[position], expected[position]].map(f64::from_bits);
        panic!(
            "{case}, row {row}: {found:e}, the library says {expected:e}; {:?}",
            &input[row * COLUMNS..(row + 1) * COLUMNS]
        );
    }
    assert_eq!(found.len(), expected.len(), "{case}");
}

/// Rows that lie on, and next to, every threshold of the model.
pub(crate) fn rows_at_thresholds(text: &str) -> Vec<f32> {
    let values = |line: &str, key: &str| -> Option<Vec<f64>> {
        let numbers = line.strip_prefix(key)?.split(' ');
        Some(numbers.map(|word| word.parse().unwrap()).collect())
    };
    let (mut rows, mut columns, mut number) = (Vec::new(), Vec::new(), 0);
    for line in text.lines() {
        columns = values(line, "split_feature=").unwrap_or(columns);
        let Some(thresholds) = values(line, "threshold=") else {
            continue;
        };
        for (column, threshold) in columns.iter().zip(thresholds) {
            rows.extend(rows_around(number, *column as usize, threshold as f32));
            number += 1;
        }
    }
    assert!(number > 15, "the model has hardly a threshold");
    rows
}

/// Rows with the f32 neighbours of a threshold, and what is special, in its column.
fn rows_around(number: usize, column: usize, at: f32) -> Vec<f32> {
    let special = [f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY];
    let values = [at.next_down(), at, at.next_up()]
        .into_iter()
        .chain(special);
    let row = |value| {
        let mut row = matrix(9_000_000 + number % 97, 1);
        row[column] = value;
        row
    };
    values.flat_map(row).collect()
}

pub(crate) const CASES: [&str; 16] = [
    "objective=binary num_leaves=31",
    "objective=binary zero_as_missing=true num_leaves=15 max_bin=63",
    "objective=binary use_missing=false num_leaves=15",
    "objective=binary categorical_feature=7,8,9 num_leaves=31 max_cat_to_onehot=2",
    "objective=multiclass num_class=3 num_leaves=15",
    "objective=multiclass num_class=3 categorical_feature=7,9 zero_as_missing=true num_leaves=9",
    "objective=multiclassova num_class=3 num_leaves=7",
    "objective=regression num_leaves=40 max_bin=1000 min_data_in_bin=1",
    "objective=regression reg_sqrt=true num_leaves=8",
    "objective=regression_l1 num_leaves=12 extra_trees=true",
    "objective=quantile alpha=0.3 num_leaves=20 categorical_feature=8",
    "objective=quantile alpha=0.9 num_leaves=6 bagging_fraction=0.5 bagging_freq=1",
    "objective=huber num_leaves=63 learning_rate=0.3",
    "objective=poisson num_leaves=10 boosting=dart",
    "objective=cross_entropy num_leaves=5",
    "objective=tweedie num_leaves=17 boosting=goss",
];

#[test]
fn every_kind_of_model_answers_with_the_bits_of_the_library() {
    let rows = rows_of_all_cases() / CASES.len();
    for (number, case) in CASES.iter().enumerate() {
        let text = train(case, 13 + 5 * (number % 4));
        let (booster, _) = Booster::from_text(library(), &text).unwrap();
        let mut one = flat(&text, 1);
        let edges = rows_at_thresholds(text.to_str().unwrap());
        assert_same_bits(case, &mut one, &booster, &edges);
        for first in (0..rows).step_by(20_000) {
            let input = matrix(1_000_000 + first, (rows - first).min(20_000));
            assert_same_bits(case, &mut one, &booster, &input);
        }
        let input = matrix(77, 2_501);
        assert_same_bits(case, &mut flat(&text, 3), &booster, &input);
        let whole = flat_answers(&mut one, &input);
        let alone = input.chunks(COLUMNS).take(300);
        let alone: Vec<u64> = alone.flat_map(|row| flat_answers(&mut one, row)).collect();
        assert_eq!(alone, whole[..alone.len()], "{case}: one row at a time");
    }
}

#[test]
fn quantiles_of_several_models_are_the_librarys_in_order() {
    // The second one has nothing left to split after its first tree, and so is shorter.
    let texts = [
        train(
            "objective=quantile alpha=0.2 num_leaves=15 learning_rate=0.9",
            9,
        ),
        train("objective=quantile alpha=0.5 min_data_in_leaf=5000", 9),
        train(
            "objective=quantile alpha=0.8 num_leaves=7 categorical_feature=7",
            9,
        ),
    ];
    let boosters = texts
        .each_ref()
        .map(|text| Booster::from_text(library(), text).unwrap().0);
    let mut flat = FlatPredictor::new(text_reader::read_levels(&texts).unwrap(), 1);
    assert_eq!(
        (flat.forest().outputs(), flat.forest().iterations()),
        (3, 9)
    );
    let mut input: Vec<f32> = texts
        .iter()
        .filter(|text| text.to_str().unwrap().contains("num_leaves=7"))
        .flat_map(|text| rows_at_thresholds(text.to_str().unwrap()))
        .collect();
    input.extend(matrix(1_000_000, rows_of_all_cases() / 20));
    let columns = boosters
        .each_ref()
        .map(|booster| library_answers(booster, &input));
    let expected = (0..input.len() / COLUMNS).flat_map(|row| {
        let mut answer = columns.each_ref().map(|column| f64::from_bits(column[row]));
        answer.sort_by(f64::total_cmp);
        answer.map(f64::to_bits)
    });
    let expected: Vec<u64> = expected.collect();
    let crossed = (0..input.len() / COLUMNS).filter(|row| {
        let answer = columns
            .each_ref()
            .map(|column| f64::from_bits(column[*row]));
        !answer.is_sorted()
    });
    assert!(crossed.count() > 10, "hardly a row crosses");
    assert_answers("three levels", &mut flat, &input, &expected);
    let other = train("objective=binary num_leaves=4", 2);
    let error = text_reader::read_levels(&[texts[0].clone(), other]).unwrap_err();
    assert!(
        error.message().contains("model 1 is not one of a quantile"),
        "{error}"
    );
}

/// A model text that XGBoost wrote, and the model.
pub(crate) fn train_xgboost(parameters: &str, rounds: u32) -> (CString, xgboost::Booster) {
    let library = Config::new().with(xgboost::LIBRARY_KEY, pinned_xgboost());
    let library = xgboost::library(&library).unwrap();
    let objective = parameters.split_once("objective=").unwrap().1;
    let objective = match objective.split(' ').next().unwrap() {
        "binary:logistic" => "binary",
        "multi:softprob" => "multiclass",
        other => other,
    };
    // XGBoost does not learn from infinite values.
    let finite = |value: f32| if value.is_infinite() { f32::NAN } else { value };
    let mut rows: Vec<f32> = matrix(0, TRAIN_ROWS).into_iter().map(finite).collect();
    let categorical = parameters.contains("max_cat_to_onehot");
    if categorical {
        // The last columns, without what is no category.
        for row in rows.chunks_exact_mut(COLUMNS) {
            for value in row[7..].iter_mut().filter(|value| **value < 0.0) {
                *value = 0.0;
            }
        }
    }
    let labels: Vec<f32> = (0..TRAIN_ROWS).map(|row| label(row, objective)).collect();
    let middle = rows.len() / 2 / COLUMNS * COLUMNS;
    let runs = [&rows[..middle], &rows[middle..]];
    let mut train = Matrix::from_runs(library, &runs, COLUMNS).unwrap();
    train.set(c"label", &labels).unwrap();
    if categorical {
        let marks: Vec<bool> = (0..COLUMNS).map(|column| column >= 7).collect();
        train.set_categorical(&marks).unwrap();
    }
    let mut booster = xgboost::Booster::new(library, &[&train]).unwrap();
    let common = "nthread=1 verbosity=0 seed=3 tree_method=hist";
    let pairs = parameters.split_ascii_whitespace().chain(common.split(' '));
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap();
        booster.set(name, value).unwrap();
    }
    for round in 0..rounds {
        booster.update(round, &train).unwrap();
    }
    (booster.to_text().unwrap(), booster)
}

/// Rows at every threshold of a model as JSON.
pub(crate) fn rows_at_json_thresholds(text: &str) -> Vec<f32> {
    let model: serde_json::Value = serde_json::from_str(text).unwrap();
    let trees = &model["learner"]["gradient_booster"]["model"]["trees"];
    let (mut rows, mut number) = (Vec::new(), 0);
    for tree in trees.as_array().unwrap() {
        for (node, left) in tree["left_children"].as_array().unwrap().iter().enumerate() {
            if left.as_i64().unwrap() >= 0 {
                let column = tree["split_indices"][node].as_u64().unwrap() as usize;
                let threshold = tree["split_conditions"][node].as_f64().unwrap() as f32;
                rows.extend(rows_around(number, column, threshold));
                number += 1;
            }
        }
    }
    assert!(number > 15, "the model has hardly a threshold");
    rows
}

pub(crate) const XGBOOST_CASES: [&str; 8] = [
    "objective=binary:logistic max_leaves=31 max_depth=0 grow_policy=lossguide eta=0.3",
    "objective=binary:logistic max_depth=6 eta=1.0 lambda=0 min_child_weight=0 scale_pos_weight=3",
    "objective=multi:softprob num_class=3 max_depth=5 subsample=0.5",
    "objective=reg:squarederror max_leaves=50 max_depth=0 grow_policy=lossguide max_bin=1000",
    "objective=reg:quantileerror quantile_alpha=[0.1,0.5,0.9] max_depth=4",
    "objective=reg:squarederror base_score=7.25 max_depth=3 colsample_bynode=0.5",
    "objective=binary:logistic max_depth=6 max_cat_to_onehot=2 max_cat_threshold=32",
    "objective=multi:softprob num_class=3 max_leaves=12 max_depth=0 grow_policy=lossguide \
     max_cat_to_onehot=100",
];

#[test]
fn every_kind_of_xgboost_model_answers_with_the_bits_of_the_library() {
    let count = rows_of_all_cases() / XGBOOST_CASES.len();
    for (number, case) in XGBOOST_CASES.iter().enumerate() {
        let (text, booster) = train_xgboost(case, 11 + 9 * number as u32 % 4);
        let text = text.to_str().unwrap();
        let by_library = |input: &[f32]| -> Vec<u64> {
            let answers = booster.predict(input, COLUMNS).unwrap();
            answers
                .into_iter()
                .map(|answer| f64::from(answer).to_bits())
                .collect()
        };
        let mut flat = FlatPredictor::new(json_reader::read(text).unwrap(), 1);
        let edges = rows_at_json_thresholds(text);
        assert_answers(case, &mut flat, &edges, &by_library(&edges));
        for first in (0..count).step_by(20_000) {
            let input = matrix(1_000_000 + first, (count - first).min(20_000));
            assert_answers(case, &mut flat, &input, &by_library(&input));
        }
        if case.contains("max_cat_to_onehot") {
            let nodes = text.split("\"categories_nodes\":[").skip(1);
            let split = nodes.filter(|rest| !rest.starts_with(']')).count();
            assert!(split > 3, "{case}: categories split {split} trees");
            let input = odd_categories();
            assert_answers(case, &mut flat, &input, &by_library(&input));
        }
        let input = matrix(77, 100);
        let expected = by_library(&input);
        let outputs = expected.len() / 100;
        for (row, expected) in input.chunks(COLUMNS).zip(expected.chunks(outputs)) {
            assert_eq!(flat_answers(&mut flat, row), expected, "{case}: one row");
            assert_eq!(by_library(row), expected, "{case}: one row by the library");
        }
    }
}

/// Rows whose categories are unknown, no categories, or missing.
fn odd_categories() -> Vec<f32> {
    let odd = [
        39.0,
        39.5,
        40.0,
        63.0,
        64.0,
        1e6,
        16_777_215.0,
        16_777_216.0,
        3e9,
        1e30,
        -0.0,
        -0.5,
        -1.0,
        0.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let row = |(number, value): (usize, f32)| {
        let mut row = matrix(5_000 + number, 1);
        row[7 + number % 3] = value;
        row
    };
    let values = odd.into_iter().cycle().take(3 * odd.len());
    values.enumerate().flat_map(row).collect()
}

#[test]
fn what_flat_trees_cannot_hold_of_xgboost_is_unsupported_and_says_what() {
    for (parameters, expected) in [
        (
            "objective=reg:squarederror rate_drop=0.5 one_drop=1",
            "trees with weights",
        ),
        (
            "objective=reg:squarederror num_parallel_tree=2",
            "several trees",
        ),
        (
            "objective=reg:pseudohubererror",
            "the objective `reg:pseudohubererror`",
        ),
    ] {
        let (text, _) = train_xgboost(parameters, 2);
        let error = json_reader::read(text.to_str().unwrap()).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

#[test]
fn a_model_of_constants_answers_with_the_bits_of_the_library() {
    let text = train("objective=binary min_data_in_leaf=5000", 3);
    assert!(text.to_str().unwrap().contains("num_leaves=1\n"));
    let (booster, _) = Booster::from_text(library(), &text).unwrap();
    assert_same_bits("constant", &mut flat(&text, 1), &booster, &matrix(0, 20));
}

#[test]
fn what_flat_trees_cannot_hold_is_unsupported_and_says_what() {
    for (parameters, expected) in [
        ("objective=regression linear_tree=true", "linear trees"),
        (
            "objective=binary boosting=rf bagging_freq=1 bagging_fraction=0.5",
            "averaged trees",
        ),
        (
            "objective=binary sigmoid=0.7",
            "the objective `binary sigmoid:0.7`",
        ),
    ] {
        let text = train(parameters, 3);
        let error = text_reader::read(text.to_str().unwrap()).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported, "{error}");
        assert!(error.message().contains(expected), "{error}");
    }
}

fn small_text() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| {
        let text = train(
            "objective=multiclass num_class=3 num_leaves=5 categorical_feature=7",
            2,
        );
        text.into_string().unwrap()
    })
}

fn small_json() -> &'static str {
    static TEXT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TEXT.get_or_init(|| {
        let parameters = "objective=multi:softprob num_class=3 max_depth=2";
        train_xgboost(parameters, 2).0.into_string().unwrap()
    })
}

/// Reads a text that may be damaged and, where it reads, asks it for an answer.
fn read_and_ask(text: &str) -> Result<()> {
    let forest = match text.starts_with('{') {
        true => json_reader::read(text)?,
        false => text_reader::read(text)?,
    };
    let columns = forest.columns().min(100);
    if columns == forest.columns() {
        let (input, mut output) = (vec![0.5; 9 * columns], vec![0.0; 9 * forest.outputs()]);
        let shape = FrameShape::dense(9, columns, forest.outputs());
        let mut frame = Frame::new(&input, &mut output, shape)?;
        FlatPredictor::new(forest, 1).predict(&mut frame, |_, _| {});
    }
    Ok(())
}

#[test]
fn every_truncation_within_the_trees_is_an_error() {
    let text = small_text();
    let end = text.find("end of trees").unwrap() + "end of trees".len();
    assert!(read_and_ask(&text[..end]).is_ok());
    for length in 0..end {
        let error = read_and_ask(&text[..length]).unwrap_err();
        let expected = [Status::Data, Status::Unsupported].contains(&error.status());
        assert!(expected, "{length} bytes: {error}");
    }
}

#[test]
fn every_truncation_of_json_is_an_error_and_damage_is_named() {
    let text = small_json();
    assert!(read_and_ask(text).is_ok());
    for length in 1..text.len() {
        assert_eq!(
            read_and_ask(&text[..length]).unwrap_err().status(),
            Status::Data
        );
    }
    for (from, to, expected) in [
        (
            "\"left_children\":[1,",
            "\"left_children\":[99,",
            "tree 0: ",
        ),
        (
            "\"left_children\":[1,",
            "\"left_children\":[0,",
            "two splits lead to one node",
        ),
        ("\"default_left\":[0,", "\"default_left\":[0,0,", "tree 0: "),
        (
            "\"split_conditions\":[",
            "\"split_conditions\":[null,",
            "a wrong number",
        ),
        (
            "\"version\":[3,",
            "\"version\":[9,",
            "models of XGBoost 9.4",
        ),
        (
            "\"tree_info\":[0,1,",
            "\"tree_info\":[0,0,",
            "in another order",
        ),
    ] {
        let damaged = text.replacen(from, to, 1);
        let error = read_and_ask(&damaged).unwrap_err();
        assert!(
            error.message().contains(expected),
            "{expected} not in: {error}"
        );
    }
}

#[test]
fn damage_is_named_with_its_tree() {
    let text = small_text();
    for (from, to, expected) in [
        (
            "num_leaves=5",
            "num_leaves=6",
            "tree 0: the model text is damaged: `leaf_value` has 5",
        ),
        ("left_child=", "left_child=9", "tree 0: "),
        ("threshold=", "threshold=nan", "`threshold` has"),
        ("max_feature_idx=9", "max_feature_idx=2", "asks for column"),
        (
            "num_tree_per_iteration=3",
            "num_tree_per_iteration=2",
            "does not have 2 trees",
        ),
        ("Tree=1\n", "Tree=2\n", "neither tree 1 nor the end"),
        ("version=v4", "version=v9", "version v9"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = read_and_ask(&text.replacen(from, to, 1)).unwrap_err();
        assert!(
            error.message().contains(expected),
            "{expected} not in: {error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever stands in the text, reading ends with a model or one clear error.
    #[test]
    fn no_damage_makes_a_reader_panic(
        of_xgboost: bool,
        position in any::<prop::sample::Index>(),
        length in 0_usize..40,
        put in "[-0-9. =\n,{}\\[\\]\"]{0,12}|1e999|nan|18446744073709551615|-9223372036854775808",
    ) {
        let text = if of_xgboost { small_json() } else { small_text() };
        let start = position.index(text.len());
        let end = text.len().min(start + length);
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(error) = read_and_ask(&damaged) {
            prop_assert!(matches!(error.status(), Status::Data | Status::Unsupported));
        }
    }
}
