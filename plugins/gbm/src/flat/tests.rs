//! The flat trees against the library: the same bits for every kind of model that they hold, and a
//! clear refusal for everything else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its number of rows comes from the environment"
)]

use std::ffi::{CStr, CString};

use fusebox_plugin_api::prelude::*;
use proptest::prelude::*;

use super::{FlatPredictor, lightgbm as text_reader};
use crate::lightgbm::tests::pinned_library;
use crate::lightgbm::{self, Binned, Booster, FieldValues, LIBRARY_KEY, Library, Output, Runs};

const COLUMNS: usize = 10;
const TRAIN_ROWS: usize = 1_500;

/// Rows compared over all cases: few by default, 1,000,000 where `FUSEBOX_FLAT_ROWS` says so.
fn rows_of_all_cases() -> usize {
    let wanted = std::env::var("FUSEBOX_FLAT_ROWS").ok();
    wanted.map_or(24_000, |text| text.parse().unwrap())
}

fn library() -> &'static Library {
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

fn matrix(first: usize, rows: usize) -> Vec<f32> {
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
fn train(parameters: &str, rounds: usize) -> CString {
    let objective = parameters.split_once("objective=").unwrap().1;
    let objective = objective.split(' ').next().unwrap();
    let parameters = format!("{parameters} num_threads=1 verbosity=-1 min_data_in_leaf=5 seed=3");
    let parameters = CString::new(parameters).unwrap();
    let rows = matrix(0, TRAIN_ROWS);
    let labels: Vec<f32> = (0..TRAIN_ROWS).map(|row| label(row, objective)).collect();
    let _grant = lightgbm::acquire(1, &|| false).unwrap();
    let runs = Runs::new(&[&rows], COLUMNS).unwrap();
    let mut set = Binned::from_runs(library(), &runs, &parameters, None).unwrap();
    set.set(c"label", FieldValues::Float(&labels)).unwrap();
    let mut booster = Booster::train(set, &parameters).unwrap();
    for _ in 0..rounds {
        booster.update().unwrap();
    }
    booster.to_text(None).unwrap()
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

fn library_answers(booster: &Booster, input: &[f32]) -> Vec<u64> {
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
    let (found, expected) = (flat_answers(flat, input), library_answers(booster, input));
    let outputs = flat.forest().outputs();
    if let Some(position) = found.iter().zip(&expected).position(|(a, b)| a != b) {
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
fn rows_at_thresholds(text: &str) -> Vec<f32> {
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
            let at = threshold as f32;
            for value in [at.next_down(), at, at.next_up(), f32::NAN, 0.0, -0.0] {
                let mut row = matrix(9_000_000 + number % 97, 1);
                row[*column as usize] = value;
                rows.extend(row);
                number += 1;
            }
        }
    }
    assert!(number > 100, "the model has hardly a threshold");
    rows
}

const CASES: [&str; 16] = [
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

/// Reads a text that may be damaged and, where it reads, asks it for an answer.
fn read_and_ask(text: &str) -> Result<()> {
    let forest = text_reader::read(text)?;
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
    fn no_damage_makes_the_reader_panic(
        position in any::<prop::sample::Index>(),
        length in 0_usize..40,
        put in "[-0-9. =\n]{0,12}|1e999|nan|18446744073709551615|-9223372036854775808",
    ) {
        let text = small_text();
        let start = position.index(text.len());
        let end = text.len().min(start + length);
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        if let Err(error) = read_and_ask(&damaged) {
            prop_assert!(matches!(error.status(), Status::Data | Status::Unsupported));
        }
    }
}
