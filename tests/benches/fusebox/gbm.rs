//! What the trees of the gradient-boosting plugin cost: its flat trees beside LightGBM's own fast
//! paths, in one run and turn by turn, so that the ratio holds whatever else the machine does.
//!
//! Two classes, 50 features, 31 leaves; single rows by their median, a batch by its shortest time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fusebox_gbm::{GbmLearner, GbmModel};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

pub(crate) const COLUMNS: usize = 50;
pub(crate) const ROWS: usize = 20_000;
const BATCH_ROWS: usize = 10_000;
const TURNS: usize = 5;

/// The rows of the table, for 100 and 500 trees.
pub(crate) fn gbm() -> Vec<(String, String)> {
    let train = dataset();
    [100, 500]
        .into_iter()
        .flat_map(|trees| compare(trees, &train))
        .collect()
}

fn library() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fetched = Command::new("python3")
        .args(["plugins/native/fetch.py", "--only", "lightgbm"])
        .current_dir(&root)
        .status()
        .unwrap();
    assert!(fetched.success(), "LightGBM is needed");
    let path = root.join(".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so");
    path.to_string_lossy().into_owned()
}

/// Noise with a planted signal that takes deep trees.
pub(crate) fn dataset() -> Dataset {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let features: Vec<f32> = (0..ROWS * COLUMNS)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let class = |row: &[f32]| row[0] + row[1] * row[2] + (3.0 * row[3]).sin() + 0.5 * row[4];
    let rows = features.chunks_exact(COLUMNS);
    let labels: Vec<f32> = rows
        .map(|row| f32::from(u8::from(class(row) > 0.0)))
        .collect();
    labelled(features, labels)
}

/// Rows with one label each, all of the same weight, one after the other in time.
pub(crate) fn labelled(features: Vec<f32>, labels: Vec<f32>) -> Dataset {
    let rows = labels.len();
    let columns = features.len() / rows;
    let schema = DatasetSchema {
        features: (0..columns).map(|column| format!("f{column}")).collect(),
        labels: vec!["direction".to_owned()],
        classes: Vec::new(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let batch = BatchColumns {
        features: features.into(),
        labels: labels.into(),
        weight: vec![1.0; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: vec![1; rows].into(),
    };
    let batch = DatasetBatch::new(&schema, batch).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

fn config(trees: u32) -> Config {
    Config::new()
        .with("library", library())
        .with("rounds", trees)
        .with("early_stopping_rounds", 0)
}

/// A model of LightGBM's with so many trees of 31 leaves.
pub(crate) fn fitted(trees: u32, train: &Dataset) -> Box<dyn Model> {
    let classes = ["down", "up"].map(str::to_owned).to_vec();
    GbmLearner
        .fit(FitRequest {
            task: &Task::Classification { classes },
            config: &config(trees),
            train,
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 1,
            max_threads: 1,
        })
        .unwrap()
}

fn compare(trees: u32, train: &Dataset) -> Vec<(String, String)> {
    let artifact = fitted(trees, train).save().unwrap();
    let open = |evaluator: &str| {
        let config = config(trees).with("evaluator", evaluator);
        GbmModel::create(&config, &artifact).unwrap()
    };
    let mut models = [open("flat"), open("library")];
    let rows = train.views().next().unwrap().features;
    let (mut singles, mut batches) = ([f64::INFINITY; 2], [f64::INFINITY; 2]);
    for _ in 0..TURNS {
        for (which, model) in models.iter_mut().enumerate() {
            singles[which] = singles[which].min(single(model, rows));
            batches[which] = batches[which].min(batch(model, rows));
        }
    }
    [
        (format!("{trees} trees, one row"), singles, "us", 1e6),
        (format!("{trees} trees, 10,000 rows"), batches, "ms", 1e3),
    ]
    .into_iter()
    .flat_map(|(what, [flat, library], unit, scale)| {
        [
            (
                format!("{what}, flat"),
                format!("{:.2} {unit}", flat * scale),
            ),
            (
                format!("{what}, LightGBM"),
                format!("{:.2} {unit}", library * scale),
            ),
            (
                format!("{what}, LightGBM / flat"),
                format!("{:.2}", library / flat),
            ),
        ]
    })
    .collect()
}

/// Median seconds of one row, over rows that are not in the caches in order.
fn single(model: &mut GbmModel, rows: &[f32]) -> f64 {
    let mut output = [0.0; 2];
    let shape = FrameShape::dense(1, COLUMNS, 2);
    let mut seconds: Vec<f64> = (0..ROWS)
        .map(|position| {
            let row = position * 7_919 % ROWS * COLUMNS;
            let started = Instant::now();
            let mut frame = Frame::new(&rows[row..row + COLUMNS], &mut output, shape).unwrap();
            model.predict(&mut frame).unwrap();
            started.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn batch(model: &mut GbmModel, rows: &[f32]) -> f64 {
    let mut output = vec![0.0; BATCH_ROWS * 2];
    let shape = FrameShape::dense(BATCH_ROWS, COLUMNS, 2);
    let started = Instant::now();
    let mut frame = Frame::new(&rows[..BATCH_ROWS * COLUMNS], &mut output, shape).unwrap();
    model.predict(&mut frame).unwrap();
    started.elapsed().as_secs_f64()
}
