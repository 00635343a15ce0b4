//! A fit does not copy the feature matrix on this side: an allocator that counts sees what the
//! plugin takes, and the libraries, which allocate by themselves, do not disturb it.
//!
//! LightGBM chooses its bins by a sample of at most 200,000 rows in f64. The plugin takes it for
//! LightGBM, which would take more itself, and gives it back before a row is binned. So the rows
//! here are many more than that.

#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "an allocator is unsafe by its trait, and a test fails by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use fusebox_gbm::GbmLearner;
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};

/// Bytes in use and their highest number.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of the trait, which are those of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the pointer came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 1_600_000;
const COLUMNS: usize = 16;
/// Rows that LightGBM chooses its bins by.
const SAMPLED: usize = 200_000;

/// Murmur3's 32-bit finaliser.
fn noise(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    value ^ (value >> 16)
}

/// Rows of which every hundredth does not take part, so that the others lie in as many runs.
fn dataset(rows: usize) -> Dataset {
    let features: Vec<f32> = (0..rows * COLUMNS)
        .map(|cell| (noise(cell as u32) >> 8) as f32 / 65_536.0)
        .collect();
    let labels: Vec<f32> = features
        .chunks(COLUMNS)
        .map(|row| f32::from(u8::from(row[0] + row[1] > 256.0)))
        .collect();
    let schema = DatasetSchema {
        features: (0..COLUMNS).map(|column| format!("f{column}")).collect(),
        labels: vec!["y".to_owned()],
        classes: Vec::new(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let role: Vec<u8> = (0..rows).map(|row| u8::from(row % 100 != 0)).collect();
    let columns = BatchColumns {
        features: features.into(),
        labels: labels.into(),
        weight: vec![1.5; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: role.into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

fn libraries() -> Config {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fetched = Command::new("python3")
        .arg("plugins/native/fetch.py")
        .current_dir(&root)
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{problem}");
    let native = root.join(".fusebox/native");
    let path = |file: &str| native.join(file).to_string_lossy().into_owned();
    Config::new()
        .with("library", path("lightgbm-4.7.0/lib_lightgbm.so"))
        .with(
            "xgboost_library",
            path("xgboost-3.4.1/xgboost/lib/libxgboost.so"),
        )
}

#[test]
fn neither_learner_copies_the_matrix_on_this_side() {
    let (train, valid) = (dataset(ROWS), dataset(ROWS / 100));
    let matrix = ROWS * COLUMNS * size_of::<f32>();
    let classes = ["down", "up"].map(str::to_owned).to_vec();
    let task = Task::Classification { classes };
    for booster in ["lightgbm", "xgboost"] {
        let config = libraries().with("booster", booster).with("rounds", 3);
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let model = GbmLearner
            .fit(FitRequest {
                task: &task,
                config: &config,
                train: &train,
                valid: Some(&valid),
                environment: None,
                progress: &mut NoProgress,
                checkpoint: None,
                seed: 1,
                max_threads: 1,
            })
            .unwrap();
        let most = PEAK.load(Ordering::Relaxed) - before;
        println!("{booster}: at most {most} bytes beside a matrix of {matrix}");
        // A label and a weight of each row, and what grows in steps.
        let small = ROWS * 2 * size_of::<f32>() + matrix / 16;
        let sample = match booster {
            "lightgbm" => SAMPLED * (COLUMNS * size_of::<f64>() + 2 * size_of::<i32>()),
            _ => 0,
        };
        assert!(
            most < small + sample && small + sample < matrix / 2,
            "{booster} took {most} bytes beside {matrix}"
        );
        assert!(most > ROWS, "{booster}: the allocator does not count");
        drop(model);
    }
}
