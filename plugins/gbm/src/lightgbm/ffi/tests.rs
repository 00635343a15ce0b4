//! Bins found in our sample are those that LightGBM finds by itself.

use std::ffi::CString;
use std::rc::Rc;

use super::*;
use crate::lightgbm::tests::pinned_library;
use crate::lightgbm::{FieldValues, LIBRARY_KEY, acquire};

const COLUMNS: usize = 8;
const ROWS: usize = 3_000;

/// Murmur3's 32-bit finaliser.
fn noise(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    value ^ (value >> 16)
}

/// Columns: dense, with zeros, with missing values, almost all zero (3 that exclude each other and
/// so are bundled), a category, and one that is always zero.
fn rows() -> Vec<f32> {
    let row = |row: usize| {
        let number = |column: usize| noise((row * COLUMNS + column) as u32) >> 8;
        let small = |column: usize| number(column) as f32 / 16_777_216.0 - 0.5;
        let only = |turn: usize| {
            if row % 30 == turn {
                small(3 + turn)
            } else {
                0.0
            }
        };
        let zeros = if number(1) % 3 == 0 { -0.0 } else { small(1) };
        let missing = if number(2) % 4 == 0 {
            f32::NAN
        } else {
            small(2)
        };
        let category = (number(6) % 9) as f32;
        [
            small(0),
            zeros,
            missing,
            only(0),
            only(1),
            only(2),
            category,
            0.0,
        ]
    };
    (0..ROWS).flat_map(row).collect()
}

fn model(set: Binned, labels: &[f32], parameters: &CStr) -> CString {
    set.set(c"label", FieldValues::Float(labels)).unwrap();
    let mut training = Training::start(&Rc::new(set), parameters).unwrap();
    for _ in 0..8 {
        training.update().unwrap();
    }
    training.booster().to_text(None).unwrap()
}

#[test]
fn bins_of_our_sample_grow_the_trees_of_lightgbms_own() {
    let config = Config::new().with(LIBRARY_KEY, pinned_library());
    let library = crate::lightgbm::library(&config).unwrap();
    let _grant = acquire(1, &|| false).unwrap();
    let rows = rows();
    let value = |row: &[f32]| row[0] + 2.0 * row[1] * row[3] + row[4] - row[5] + row[6] / 9.0;
    let labels: Vec<f32> = rows.chunks(COLUMNS).map(value).collect();
    let runs: Vec<&[f32]> = rows.chunks(COLUMNS * 701).collect();
    let runs = Runs::new(&runs, COLUMNS).unwrap();
    let mut texts = Vec::new();
    for parameters in [
        "",
        "bin_construct_sample_cnt=400",
        "bin_construct_sample_cnt=400 data_random_seed=7 max_bin=15",
        "categorical_feature=6 min_data_per_group=5",
        "zero_as_missing=true max_bin=63",
        "use_missing=false min_data_in_bin=50",
        "enable_bundle=false feature_pre_filter=false min_data_in_leaf=200",
        "is_enable_sparse=false force_col_wise=true",
        "force_row_wise=true bin_construct_sample_cnt=2999",
    ] {
        let all = format!("objective=regression num_threads=1 verbosity=-1 seed=3 {parameters}");
        let all = CString::new(all).unwrap();
        let ours = Binned::from_runs(library, &runs, &all, None).unwrap();
        let theirs = Binned::from_mats(library, &runs, &all, ptr::null_mut()).unwrap();
        let (ours, theirs) = (model(ours, &labels, &all), model(theirs, &labels, &all));
        assert_eq!(ours, theirs, "{parameters}");
        texts.push(ours.into_bytes());
    }
    texts.sort();
    texts.dedup();
    assert!(
        texts.len() > 6,
        "the parameters change nothing: {}",
        texts.len()
    );
}
