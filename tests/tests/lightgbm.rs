//! The LightGBM plugin, loaded as a host loads it, against the Python package and against misuse.
//!
//! `tests/reference/lightgbm_parity.py` recorded the reference. The library is the pinned one;
//! where it is not there yet, the fetch script gets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_cmp,
    reason = "a test fails by panicking, and so do its helpers; equal means the same bits here"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock, RwLock};

use fusebox_loader::{
    LoadOptions, LoadedPlugin, PackageSpec, TrustPolicy, discover, find, load, write_package,
};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The test that measures memory takes it for writing, all others for reading.
static MEMORY: RwLock<()> = RwLock::new(());

fn undisturbed() -> std::sync::RwLockReadGuard<'static, ()> {
    MEMORY
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Reference {
    seed: u64,
    columns: u32,
    train_rows: u32,
    valid_rows: u32,
    test_rows: u32,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
struct Case {
    task: String,
    #[serde(default)]
    weights: bool,
    config: serde_json::Value,
    best_iteration: Option<u64>,
    trees_sha256: String,
    predictions: Vec<f64>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/data/lightgbm.json")).unwrap()
}

/// Murmur3's 32-bit finaliser, as in the Python script.
fn mix(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    value ^ (value >> 16)
}

fn noise(row: u32, column: u32) -> u32 {
    mix(row * 64 + column + 1)
}

fn feature(row: u32, column: u32) -> f32 {
    if column == 3 && noise(row, 40).is_multiple_of(7) {
        return f32::NAN;
    }
    if column == 4 && noise(row, 41).is_multiple_of(50) {
        let positive = noise(row, 42).is_multiple_of(2);
        return if positive {
            f32::INFINITY
        } else {
            f32::NEG_INFINITY
        };
    }
    (noise(row, column) >> 16) as f32 / 256.0
}

fn label(row: u32, task: &str) -> f32 {
    let [a, b, c] = [0, 1, 2].map(|column| i64::from(noise(row, column) >> 24));
    let score = 2 * a - b + (a * c) / 256 + i64::from(noise(row, 50) % 300) - 300;
    match task {
        "regression" => score as f32 / 64.0,
        "binary" => f32::from(u8::from(score > 90)),
        _ if score < -60 => 0.0,
        _ if score < 120 => 1.0,
        _ => 2.0,
    }
}

fn weight(row: u32) -> f32 {
    0.5 + 0.25 * (noise(row, 60) % 4) as f32
}

const COLUMNS: u32 = 12;

/// Which rows of the generator, for which task.
#[derive(Clone, Copy)]
struct Rows<'a> {
    first: u32,
    count: u32,
    task: &'a str,
    weights: bool,
}

impl<'a> Rows<'a> {
    fn train(task: &'a str) -> Self {
        Rows {
            first: 0,
            count: 2_400,
            task,
            weights: false,
        }
    }

    fn valid(task: &'a str) -> Self {
        Rows {
            first: 2_400,
            count: 600,
            task,
            weights: false,
        }
    }
}

fn task(name: &str) -> Task {
    let classes = |names: &[&str]| Task::Classification {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    match name {
        "multiclass" => classes(&["down", "flat", "up"]),
        "binary" => classes(&["down", "up"]),
        _ => Task::Regression,
    }
}

fn schema(columns: u32) -> DatasetSchema {
    DatasetSchema {
        // Names that LightGBM itself would refuse or change.
        features: (0..columns)
            .map(|column| format!("feature [{column}], \"1h\""))
            .collect(),
        labels: vec!["direction".to_owned()],
        classes: Vec::new(),
    }
}

fn batch(rows: &[(Vec<f32>, f32, f32, u8)]) -> DatasetBatch {
    let times: Vec<i64> = (0..rows.len() as i64).collect();
    let columns = BatchColumns {
        features: rows
            .iter()
            .flat_map(|row| row.0.clone())
            .collect::<Vec<_>>()
            .into(),
        labels: rows.iter().map(|row| row.1).collect::<Vec<_>>().into(),
        weight: rows.iter().map(|row| row.2).collect::<Vec<_>>().into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows.len()].into(),
        segment: vec![0; rows.len()].into(),
        role: rows.iter().map(|row| row.3).collect::<Vec<_>>().into(),
    };
    DatasetBatch::new(&schema(COLUMNS), columns).unwrap()
}

/// The rows in three batches, with rows between them that must not take part: context rows with
/// labels, and samples without one.
fn dataset(rows: Rows<'_>) -> Dataset {
    let mut all = Vec::new();
    for row in rows.first..rows.first + rows.count {
        let features: Vec<f32> = (0..COLUMNS).map(|column| feature(row, column)).collect();
        let weight = if rows.weights { weight(row) } else { 1.0 };
        if row % 97 == 0 {
            all.push((vec![-5.0; COLUMNS as usize], 1.0, 9.0, 0));
        }
        if row % 131 == 0 {
            all.push((vec![-7.0; COLUMNS as usize], f32::NAN, 9.0, 1));
        }
        all.push((features, label(row, rows.task), weight, 1));
    }
    let size = all.len().div_ceil(3).max(1);
    Dataset::new(schema(COLUMNS), all.chunks(size).map(batch).collect()).unwrap()
}

fn test_matrix(first: u32, rows: u32) -> Vec<f32> {
    let cells = (first..first + rows).flat_map(|row| (0..COLUMNS).map(move |c| (row, c)));
    cells.map(|(row, column)| feature(row, column)).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pinned LightGBM, fetched where it is missing.
fn library() -> &'static str {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let fetched = Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", "lightgbm"])
            .current_dir(root())
            .output()
            .expect("python3 is needed to fetch LightGBM: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr).into_owned();
        assert!(fetched.status.success(), "{problem}");
        let path = root().join(".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so");
        path.to_string_lossy().into_owned()
    })
}

/// The plugin as a host gets it: packaged, discovered, verified, loaded. Cargo builds the library
/// beside this test, because the plugin is among the dependencies of this package.
fn plugin() -> &'static LoadedPlugin {
    static PLUGIN: OnceLock<LoadedPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let directory = std::env::current_exe().unwrap();
        let built = directory.with_file_name("libfusebox_gbm.so");
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lightgbm");
        let spec = PackageSpec {
            kinds: vec![MODEL_ID.to_owned(), LEARNER_ID.to_owned()],
            replace: true,
            ..PackageSpec::new(built)
        };
        let plugins = home.join("plugins");
        write_package(&plugins, &spec).unwrap();
        let found = discover(&[plugins]);
        let package = find(&found, "ai.fusebox.gbm", None).unwrap();
        load(
            package,
            &LoadOptions::new(home.join("cache")).with_trust(TrustPolicy::trusting()),
        )
        .unwrap()
    })
}

fn learner() -> Box<dyn Learner> {
    plugin().learner().unwrap()
}

fn create(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
    plugin().create_model(config, artifact)
}

fn config(pairs: serde_json::Value) -> Config {
    Config::from_value(pairs)
        .unwrap()
        .with("library", library())
}

/// A fit with what most tests leave as it is.
struct Fit<'a> {
    task: &'a str,
    config: Config,
    train: &'a Dataset,
    valid: Option<&'a Dataset>,
    checkpoint: Option<&'a [u8]>,
    seed: u64,
    max_threads: u32,
}

impl<'a> Fit<'a> {
    fn new(task: &'a str, pairs: serde_json::Value, train: &'a Dataset) -> Self {
        Fit {
            task,
            config: config(pairs),
            train,
            valid: None,
            checkpoint: None,
            seed: 7,
            max_threads: 1,
        }
    }

    fn run(&self) -> Result<Box<dyn Model>> {
        self.run_with(&mut NoProgress)
    }

    fn run_with(&self, progress: &mut dyn Progress) -> Result<Box<dyn Model>> {
        learner().fit(FitRequest {
            task: &task(self.task),
            config: &self.config,
            train: self.train,
            valid: self.valid,
            environment: None,
            progress,
            checkpoint: self.checkpoint,
            seed: self.seed,
            max_threads: self.max_threads,
        })
    }

    fn error(&self) -> PluginError {
        self.run().err().expect("the fit was expected to fail")
    }
}

fn predict(model: &mut dyn Model, input: &[f32], outputs: usize) -> Vec<f32> {
    let rows = input.len() / COLUMNS as usize;
    let mut output = vec![f32::NAN; rows * outputs];
    let shape = FrameShape::dense(rows, COLUMNS as usize, outputs);
    model
        .predict(&mut Frame::new(input, &mut output, shape).unwrap())
        .unwrap();
    output
}

/// The artifact's header and the part of its model text that holds the trees.
fn parts(artifact: &[u8]) -> (serde_json::Value, String) {
    let text = std::str::from_utf8(artifact).unwrap();
    let mut lines = text.splitn(3, '\n').skip(1);
    let header = serde_json::from_str(lines.next().unwrap()).unwrap();
    let trees = lines.next().unwrap().split("end of trees").next().unwrap();
    (header, trees.to_owned())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keeps what a fit reports; asks to stop after a number of steps.
#[derive(Default)]
struct Recorder {
    steps: Vec<(u64, Option<f64>)>,
    checkpoints: Vec<(u64, Vec<u8>)>,
    cancel_after: Option<u64>,
    poll_only: bool,
}

impl Progress for Recorder {
    fn report(&mut self, step: u64, _: Option<u64>, metrics: &[Metric<'_>]) -> Result<()> {
        self.steps
            .push((step, metrics.first().map(|metric| metric.value)));
        match self.cancel_after {
            Some(last) if step >= last && !self.poll_only => Err(PluginError::cancelled()),
            _ => Ok(()),
        }
    }

    fn is_cancelled(&self) -> bool {
        let done = self.steps.last().map_or(0, |(step, _)| *step);
        self.poll_only && self.cancel_after.is_some_and(|last| done >= last)
    }

    fn checkpoint(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        self.checkpoints.push((step, bytes.to_vec()));
        Ok(())
    }
}

/// The reference was recorded on x86-64 with fused multiply-add. The C library's `exp` may differ
/// in the last bit elsewhere, which boosting then spreads; there the comparison has a tolerance.
fn same_arithmetic() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[test]
fn every_case_equals_the_python_package() {
    let _guard = undisturbed();
    let reference = reference();
    assert_eq!(reference.columns, COLUMNS);
    let test = test_matrix(
        reference.train_rows + reference.valid_rows,
        reference.test_rows,
    );
    for (name, case) in &reference.cases {
        let rows = |first, count| {
            let (task, weights) = (case.task.as_str(), case.weights);
            dataset(Rows {
                first,
                count,
                task,
                weights,
            })
        };
        let train = rows(0, reference.train_rows);
        let valid = rows(reference.train_rows, reference.valid_rows);
        let mut fit = Fit::new(&case.task, case.config.clone(), &train);
        fit.valid = Some(&valid);
        fit.seed = reference.seed;
        let mut model = fit.run().unwrap();

        let info = model.info().unwrap();
        let best = info
            .notes
            .get("best_iteration")
            .and_then(serde_json::Value::as_u64);
        assert_eq!(best, case.best_iteration, "{name}: best iteration");
        let expected = contract_outputs(&case.task, &case.predictions);
        let found = predict(model.as_mut(), &test, info.outputs.len());
        assert_eq!(found.len(), expected.len(), "{name}: number of predictions");
        let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0_f32, f32::max);
        println!("{name}: max abs difference {worst}");
        if same_arithmetic() {
            let trees = parts(&model.save().unwrap()).1;
            assert_eq!(sha256(&trees), case.trees_sha256, "{name}: trees");
            assert!(worst == 0.0, "{name}: max abs difference {worst}");
        } else {
            assert!(worst < 1e-4, "{name}: max abs difference {worst}");
        }
    }
}

/// What the contract wants of the package's answers: f32, and both probabilities of two classes.
fn contract_outputs(task: &str, predictions: &[f64]) -> Vec<f32> {
    if task == "binary" {
        return predictions
            .iter()
            .flat_map(|up| [(1.0 - up) as f32, *up as f32])
            .collect();
    }
    predictions.iter().map(|value| *value as f32).collect()
}

fn sampling() -> serde_json::Value {
    serde_json::json!({
        "rounds": 30, "num_leaves": 7, "bagging_fraction": 0.5, "bagging_freq": 1,
        "feature_fraction": 0.5, "early_stopping_rounds": 0,
    })
}

#[test]
fn one_seed_gives_one_artifact_whatever_the_threads_and_another_seed_another() {
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
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
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
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
    let _guard = undisturbed();
    let (train, valid) = (
        dataset(Rows::train("binary")),
        dataset(Rows::valid("binary")),
    );
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
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
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
    let (train, valid) = (
        dataset(Rows::train("multiclass")),
        dataset(Rows::valid("multiclass")),
    );
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
    let _guard = undisturbed();
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
    let _guard = undisturbed();
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
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
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
    let train = dataset(Rows::train(task));
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
    let _guard = undisturbed();
    for (name, outputs) in [("multiclass", 3), ("binary", 2), ("regression", 1)] {
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
    let _guard = undisturbed();
    let mut model = small_model("multiclass");
    let (input, mut output) = (vec![0.0; 13], vec![0.0; 3]);
    let frame = &mut Frame::new(&input, &mut output, FrameShape::dense(1, 13, 3)).unwrap();
    assert_eq!(model.predict(frame).unwrap_err().status(), Status::Argument);
}

#[test]
fn the_snapshot_of_a_model_without_state_round_trips_and_garbage_is_refused() {
    let _guard = undisturbed();
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
    let _guard = undisturbed();
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
    let _guard = undisturbed();
    for (name, outputs) in [("multiclass", 3), ("binary", 2), ("regression", 1)] {
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
    let _guard = undisturbed();
    let empty = Dataset::new(schema(COLUMNS), vec![]).unwrap();
    let no_pairs = || serde_json::json!({});
    let row = |label: f32, weight: f32| (vec![0.5; COLUMNS as usize], label, weight, 1);
    let one = |rows: &[_]| Dataset::new(schema(COLUMNS), vec![batch(rows)]).unwrap();
    let context_only = one(&[(vec![0.5; COLUMNS as usize], 1.0, 1.0, 0)]);
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
    let train = dataset(Rows::train("multiclass"));
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
    let _guard = undisturbed();
    let rows: Vec<_> = (0..400)
        .map(|row| {
            let features: Vec<f32> = (0..COLUMNS).map(|column| feature(row, column)).collect();
            (features, (row % 2) as f32, 1.0, 1)
        })
        .collect();
    let train = Dataset::new(schema(COLUMNS), vec![batch(&rows)]).unwrap();
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
    let _guard = undisturbed();
    let row = |label: f32| (vec![1.5; COLUMNS as usize], label, 1.0, 1);
    let rows: Vec<_> = (0..100)
        .map(|number| row(f32::from(number < 25_u8)))
        .collect();
    let train = Dataset::new(schema(COLUMNS), vec![batch(&rows)]).unwrap();
    let mut model = Fit::new("binary", serde_json::json!({}), &train)
        .run()
        .unwrap();
    for answer in predict(model.as_mut(), &test_matrix(0, 30), 2).chunks(2) {
        assert!((answer[1] - 0.25).abs() < 1e-6, "{answer:?}");
    }
}

#[test]
fn a_wrong_configuration_lists_every_problem() {
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
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
    let _guard = undisturbed();
    let train = dataset(Rows::train("multiclass"));
    let mut fit = Fit::new("multiclass", serde_json::json!({}), &train);
    fit.config.set("library", "/nowhere/lib_lightgbm.so");
    let error = fit.error();
    assert_eq!(error.status(), Status::Library);
    assert!(
        error.message().contains("plugins/native/fetch.py"),
        "{error}"
    );
    assert!(
        learner().describe().is_ok(),
        "the hyper-parameters need no library"
    );
}

#[test]
fn damaged_artifacts_are_refused_before_lightgbm_reads_them() {
    let _guard = undisturbed();
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
fn two_hundred_models_made_and_dropped_leave_memory_flat() {
    let _alone = MEMORY
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let train = dataset(Rows::train("multiclass"));
    let pairs = serde_json::json!({"rounds": 60, "num_leaves": 31});
    let model = Fit::new("multiclass", pairs, &train).run().unwrap();
    let artifact: Arc<[u8]> = model.save().unwrap().into();
    let settings = config(serde_json::json!({}));
    let input = test_matrix(0, 64);
    let cycle = || {
        let mut model = create(&settings, &artifact).unwrap();
        predict(model.as_mut(), &input, 3);
    };
    (0..20).for_each(|_| cycle());
    let before = resident_bytes();
    (0..200).for_each(|_| cycle());
    let grown = resident_bytes().saturating_sub(before);
    // One leaked model of this size is above 200 KiB, so a leak would show as 40 MiB or more.
    println!(
        "artifact {} bytes, memory grew by {grown} bytes",
        artifact.len()
    );
    assert!(artifact.len() > 200_000);
    assert!(
        grown < 4 * 1024 * 1024,
        "memory grew by {grown} bytes in 200 cycles"
    );
}

#[test]
fn the_fetch_script_notices_a_damaged_library_and_says_what_to_do() {
    let intact = Path::new(library()).parent().unwrap();
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
        let output = command.current_dir(root()).output().unwrap();
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

/// Resident set in bytes, from `/proc`, whose pages are 4 KiB on the supported targets.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
