//! The XGBoost half of the gradient-boosting plugin, loaded as a host loads it, against the Python
//! package, beside LightGBM in one process, and against misuse.
//!
//! `tests/reference/xgboost_parity.py` recorded the reference. The libraries are the pinned ones;
//! where they are not there yet, the fetch script gets them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fusebox_loader::{
    LoadOptions, LoadedPlugin, PackageSpec, TrustPolicy, discover, find, load, write_package,
};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Reference {
    columns: u32,
    train_rows: u32,
    valid_rows: u32,
    test_rows: u32,
    levels: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    task: String,
    weights: bool,
    seed: u64,
    config: serde_json::Value,
    best_iteration: Option<u64>,
    trees_sha256: String,
    /// Bits of f32.
    predictions: Vec<u32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/data/xgboost.json")).unwrap()
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
    let missing = match column {
        3 => noise(row, 40).is_multiple_of(7),
        4 => noise(row, 41).is_multiple_of(50),
        11 => true,
        _ => false,
    };
    match missing {
        true => f32::NAN,
        false => (noise(row, column) >> 16) as f32 / 256.0,
    }
}

fn label(row: u32, task: &str) -> f32 {
    let [a, b, c] = [0, 1, 2].map(|column| i64::from(noise(row, column) >> 24));
    let score = 2 * a - b + (a * c) / 256 + i64::from(noise(row, 50) % 300) - 300;
    match task {
        "regression" | "quantiles" => score as f32 / 64.0,
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
const TASKS: [(&str, usize); 4] = [
    ("multiclass", 3),
    ("binary", 2),
    ("regression", 1),
    ("quantiles", 3),
];

fn task(name: &str) -> Task {
    let classes = |names: &[&str]| Task::Classification {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    match name {
        "multiclass" => classes(&["down", "flat", "up"]),
        "binary" => classes(&["down", "up"]),
        "quantiles" => Task::Quantiles {
            levels: vec![0.1, 0.5, 0.9],
        },
        _ => Task::Regression,
    }
}

fn schema() -> DatasetSchema {
    DatasetSchema {
        features: (0..COLUMNS)
            .map(|column| format!("column {column}"))
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
    DatasetBatch::new(&schema(), columns).unwrap()
}

/// Rows of the generator in three batches, with rows between them that must not take part: context
/// rows with labels, and samples without one.
fn dataset(first: u32, count: u32, task: &str, weights: bool) -> Dataset {
    let mut all = Vec::new();
    for row in first..first + count {
        let features: Vec<f32> = (0..COLUMNS).map(|column| feature(row, column)).collect();
        let weight = if weights { weight(row) } else { 1.0 };
        if row % 97 == 0 {
            all.push((vec![-5.0; COLUMNS as usize], 1.0, 9.0, 0));
        }
        if row % 131 == 0 {
            all.push((vec![f32::INFINITY; COLUMNS as usize], f32::NAN, 9.0, 1));
        }
        all.push((features, label(row, task), weight, 1));
    }
    let size = all.len().div_ceil(3).max(1);
    Dataset::new(schema(), all.chunks(size).map(batch).collect()).unwrap()
}

fn matrix(first: u32, rows: u32) -> Vec<f32> {
    let cells = (first..first + rows).flat_map(|row| (0..COLUMNS).map(move |c| (row, c)));
    cells.map(|(row, column)| feature(row, column)).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pinned libraries, fetched where they are missing: LightGBM's and XGBoost's.
fn libraries() -> &'static [String; 2] {
    static LIBRARIES: OnceLock<[String; 2]> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let fetched = Command::new("python3")
            .args([
                "plugins/native/fetch.py",
                "--only",
                "lightgbm",
                "--only",
                "xgboost",
            ])
            .current_dir(root())
            .output()
            .expect("python3 is needed to fetch the libraries: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr).into_owned();
        assert!(fetched.status.success(), "{problem}");
        [
            "lightgbm-4.7.0/lib_lightgbm.so",
            "xgboost-3.4.1/xgboost/lib/libxgboost.so",
        ]
        .map(|file| {
            let path = root().join(".fusebox/native").join(file);
            path.to_string_lossy().into_owned()
        })
    })
}

/// The plugin as a host gets it: packaged, discovered, verified, loaded.
fn plugin() -> &'static LoadedPlugin {
    static PLUGIN: OnceLock<LoadedPlugin> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let directory = std::env::current_exe().unwrap();
        let built = directory.with_file_name("libfusebox_gbm.so");
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("xgboost");
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

fn create(config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
    plugin().create_model(config, artifact)
}

/// A configuration with both libraries; XGBoost unless it says otherwise.
fn config(pairs: serde_json::Value) -> Config {
    let [lightgbm, xgboost] = libraries();
    let mut config = Config::new().with("booster", "xgboost");
    for (key, value) in pairs.as_object().unwrap() {
        config.set(key, value.clone());
    }
    config
        .with("library", lightgbm.as_str())
        .with("xgboost_library", xgboost.as_str())
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
        plugin().learner().unwrap().fit(FitRequest {
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

#[test]
fn thirty_random_configurations_equal_the_python_package() {
    let reference = reference();
    assert_eq!((reference.columns, reference.cases.len()), (COLUMNS, 30));
    assert_eq!(
        task("quantiles"),
        Task::Quantiles {
            levels: reference.levels
        }
    );
    let first_test = reference.train_rows + reference.valid_rows;
    let test = matrix(first_test, reference.test_rows);
    for (number, case) in reference.cases.iter().enumerate() {
        let name = format!("case {number}, {}", case.config);
        let rows = |first, count| dataset(first, count, &case.task, case.weights);
        let train = rows(0, reference.train_rows);
        let valid = rows(reference.train_rows, reference.valid_rows);
        let mut fit = Fit::new(&case.task, case.config.clone(), &train);
        (fit.valid, fit.seed) = (Some(&valid), case.seed);
        let mut model = fit.run().unwrap();
        let info = model.info().unwrap();
        let best = info
            .notes
            .get("best_iteration")
            .and_then(serde_json::Value::as_u64);
        assert_eq!(best, case.best_iteration, "{name}: best iteration");
        let expected = contract_outputs(&case.task, &case.predictions);
        let found = predict(model.as_mut(), &test, info.outputs.len());
        let furthest = furthest_ulps(&found, &expected);
        println!("{name}: at most {furthest} ulp");
        assert!(
            furthest <= 1,
            "{name}: {furthest} ulp\n{found:?}\n{expected:?}"
        );
        let trees = trees(&model.save().unwrap());
        assert_eq!(sha256(&trees), case.trees_sha256, "{name}: trees");
    }
}

/// What the contract wants of the package's answers: both probabilities of two classes.
fn contract_outputs(task: &str, bits: &[u32]) -> Vec<f32> {
    let answers = bits.iter().copied().map(f32::from_bits);
    match task {
        "binary" => answers
            .flat_map(|up| [(1.0 - f64::from(up)) as f32, up])
            .collect(),
        _ => answers.collect(),
    }
}

fn furthest_ulps(found: &[f32], expected: &[f32]) -> u32 {
    assert_eq!(found.len(), expected.len());
    let ordered = |value: f32| {
        let bits = value.to_bits().cast_signed();
        if bits < 0 { i32::MIN - bits } else { bits }
    };
    let pairs = found.iter().zip(expected);
    let distances = pairs.map(|(a, b)| ordered(*a).abs_diff(ordered(*b)));
    distances.max().unwrap_or(0)
}

/// The JSON of the trees, as the Python script cuts it out.
fn trees(artifact: &[u8]) -> String {
    let text = std::str::from_utf8(artifact).unwrap();
    let start = text.find("\"trees\":[").unwrap();
    let end = text[start..].find("\"name\":\"gbtree\"").unwrap();
    text[start..start + end].to_owned()
}

fn header(artifact: &[u8]) -> serde_json::Value {
    let text = std::str::from_utf8(artifact).unwrap();
    serde_json::from_str(text.lines().nth(1).unwrap()).unwrap()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn sampling() -> serde_json::Value {
    serde_json::json!({
        "rounds": 20, "num_leaves": 7, "bagging_fraction": 0.5, "bagging_freq": 1,
        "feature_fraction": 0.5, "early_stopping_rounds": 0,
    })
}

#[test]
fn one_seed_gives_one_artifact_and_another_seed_another() {
    let train = dataset(0, 1_600, "multiclass", true);
    let mut fit = Fit::new("multiclass", sampling(), &train);
    let first = fit.run().unwrap().save().unwrap();
    assert_eq!(fit.run().unwrap().save().unwrap(), first);
    fit.max_threads = 2;
    let threaded = fit.run().unwrap().save().unwrap();
    assert_eq!(threaded, first, "the number of threads changes nothing");
    fit.seed = 8;
    assert_ne!(trees(&fit.run().unwrap().save().unwrap()), trees(&first));
}

#[test]
fn flat_trees_and_the_library_answer_with_the_same_bits_in_every_shape() {
    for (name, outputs) in TASKS {
        let train = dataset(0, 1_200, name, false);
        let pairs = serde_json::json!({"rounds": 13, "num_leaves": 12});
        let artifact = Fit::new(name, pairs, &train).run().unwrap().save().unwrap();
        let mut input = matrix(9_000, 700);
        for (position, value) in [f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40]
            .iter()
            .enumerate()
        {
            input[position * 29] = *value;
        }
        let mut flat = create(&config(serde_json::json!({})), &artifact).unwrap();
        let expected = bits(&predict(flat.as_mut(), &input, outputs));
        for pairs in [
            serde_json::json!({"evaluator": "library"}),
            serde_json::json!({"evaluator": "library", "predict_threads": 2}),
            serde_json::json!({"predict_threads": 2}),
        ] {
            let mut model = create(&config(pairs), &artifact).unwrap();
            assert_eq!(
                bits(&predict(model.as_mut(), &input, outputs)),
                expected,
                "{name}"
            );
            let singles = input.chunks(COLUMNS as usize).take(60);
            let singles: Vec<f32> = singles
                .flat_map(|row| predict(model.as_mut(), row, outputs))
                .collect();
            assert_eq!(bits(&singles), expected[..singles.len()], "{name}");
            assert_eq!(model.save().unwrap(), artifact, "{name}");
        }
    }
}

#[test]
fn quantiles_ascend_and_say_their_levels() {
    let train = dataset(0, 1_600, "quantiles", false);
    let mut model = Fit::new("quantiles", serde_json::json!({"rounds": 40}), &train)
        .run()
        .unwrap();
    assert_eq!(model.quantiles().unwrap().levels(), [0.1, 0.5, 0.9]);
    let outputs = ["direction_q0.1", "direction_q0.5", "direction_q0.9"];
    assert_eq!(model.info().unwrap().outputs, outputs);
    let (rows, mut below) = (400_u32, 0);
    let answers = predict(model.as_mut(), &matrix(20_000, rows), 3);
    for (row, answer) in (20_000..).zip(answers.chunks(3)) {
        assert!(answer.is_sorted(), "{answer:?}");
        below += u32::from(label(row, "quantiles") < answer[2]);
    }
    let share = f64::from(below) / f64::from(rows);
    assert!(
        (0.75..1.0).contains(&share),
        "{share} of the labels lie below their 0.9 quantile"
    );
}

#[test]
fn a_monotone_column_moves_the_answer_in_its_direction_alone() {
    let train = dataset(0, 1_600, "regression", false);
    for booster in ["xgboost", "lightgbm"] {
        let pairs = serde_json::json!({
            "booster": booster, "rounds": 30, "monotone_increasing": "column 0; column 5",
            "monotone_decreasing": "column 1",
        });
        let mut model = Fit::new("regression", pairs, &train).run().unwrap();
        for row in 0..40 {
            let ladder = |column: usize| -> Vec<f32> {
                let steps = (0..64).flat_map(|step| {
                    let mut one = matrix(30_000 + row, 1);
                    one[column] = step as f32 * 4.0;
                    one
                });
                steps.collect()
            };
            for (column, rising) in [(0, true), (5, true), (1, false)] {
                let answers = predict(model.as_mut(), &ladder(column), 1);
                let ordered = answers.is_sorted_by(|a, b| if rising { a <= b } else { a >= b });
                assert!(ordered, "{booster}, column {column}: {answers:?}");
            }
        }
    }
    let pairs = serde_json::json!({"monotone_increasing": "column 99"});
    let error = Fit::new("regression", pairs, &train).error();
    assert_eq!(error.status(), Status::Config);
    assert!(
        error.message().contains("`column 99`, which is no column"),
        "{error}"
    );
}

#[test]
fn early_stopping_ends_the_fit_and_keeps_the_best_round() {
    let train = dataset(0, 1_600, "binary", false);
    let valid = dataset(1_600, 400, "binary", false);
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
    let best = values.iter().position(|value| *value <= smallest).unwrap() + 1;
    assert!(values.len() < 500, "stopped before the last round");
    assert_eq!(values.len(), best + 7, "patience rounds after the best one");
    let notes = model.info().unwrap().notes;
    assert_eq!(notes["best_iteration"], best);
    assert_eq!(notes["iterations"], best);
    // Written as JSON and read back, which may cost the last bit.
    let noted = notes["valid_log_loss"].as_f64().unwrap();
    assert!((noted - smallest).abs() < 1e-15, "{noted} and {smallest}");
    assert_eq!(notes["library"], "XGBoost >= 3.4.1");
}

#[test]
fn cancelling_ends_the_fit_at_once() {
    let train = dataset(0, 800, "multiclass", false);
    let fit = Fit::new("multiclass", serde_json::json!({"rounds": 10_000}), &train);
    for poll_only in [false, true] {
        let mut recorder = Recorder {
            cancel_after: Some(3),
            poll_only,
            ..Recorder::default()
        };
        let error = fit.run_with(&mut recorder).err().unwrap();
        assert_eq!(error.status(), Status::Cancelled);
        assert_eq!(recorder.steps.len(), 3);
    }
}

/// Runs a fit to its end and a second one from the checkpoint after round 12 of the first.
fn resumed(pairs: serde_json::Value) -> (Vec<u8>, Vec<u8>) {
    let train = dataset(0, 1_600, "multiclass", true);
    let valid = dataset(1_600, 400, "multiclass", true);
    let mut fit = Fit::new("multiclass", pairs, &train);
    fit.valid = Some(&valid);
    let mut recorder = Recorder::default();
    let whole = fit.run_with(&mut recorder).unwrap();
    let stored = recorder.checkpoints.iter().find(|(step, _)| *step == 12);
    fit.checkpoint = Some(&stored.unwrap().1);
    let mut later = Recorder::default();
    let continued = fit.run_with(&mut later).unwrap();
    assert_eq!(later.steps[0].0, 13, "starts after the checkpoint");
    (whole.save().unwrap(), continued.save().unwrap())
}

#[test]
fn a_resumed_fit_without_sampling_gives_the_same_trees() {
    let (whole, continued) = resumed(serde_json::json!({
        "rounds": 60, "early_stopping_rounds": 6, "checkpoint_rounds": 4, "num_leaves": 9,
        "learning_rate": 0.2,
    }));
    assert_eq!(trees(&whole), trees(&continued));
    let [first, second] = [&whole, &continued].map(|artifact| header(artifact));
    assert_eq!(first["best_iteration"], second["best_iteration"]);
    assert_eq!(second["resumed_after"], serde_json::json!([12]));
}

#[test]
fn a_resumed_fit_with_sampling_is_reproducible() {
    let mut pairs = sampling();
    pairs["checkpoint_rounds"] = 12.into();
    let (whole, continued) = resumed(pairs.clone());
    assert_eq!(resumed(pairs).1, continued);
    assert_ne!(
        trees(&whole),
        trees(&continued),
        "new draws after it, as documented"
    );
}

#[test]
fn a_checkpoint_of_the_other_library_is_refused() {
    let train = dataset(0, 800, "binary", false);
    let pairs = serde_json::json!({"rounds": 3, "checkpoint_rounds": 1, "booster": "lightgbm"});
    let mut recorder = Recorder::default();
    let fit = Fit::new("binary", pairs, &train);
    fit.run_with(&mut recorder).unwrap();
    let pairs = serde_json::json!({"rounds": 3, "checkpoint_rounds": 1});
    let mut fit = Fit::new("binary", pairs, &train);
    fit.checkpoint = Some(&recorder.checkpoints[0].1);
    assert!(
        fit.error().message().contains("another fit: library, "),
        "{}",
        fit.error()
    );
}

#[test]
fn both_libraries_fit_and_answer_at_once_in_one_process() {
    let train = dataset(0, 1_600, "multiclass", false);
    let alone = ["lightgbm", "xgboost"].map(|booster| {
        let mut pairs = sampling();
        pairs["booster"] = booster.into();
        let model = Fit::new("multiclass", pairs, &train).run().unwrap();
        (booster, model.save().unwrap())
    });
    std::thread::scope(|scope| {
        for (turn, (booster, expected)) in [&alone[0], &alone[1]]
            .into_iter()
            .cycle()
            .take(8)
            .enumerate()
        {
            let train = &train;
            scope.spawn(move || {
                let mut pairs = sampling();
                pairs["booster"] = (*booster).into();
                let mut fit = Fit::new("multiclass", pairs, train);
                fit.max_threads = 1 + turn as u32 % 3;
                let mut model = fit.run().unwrap();
                assert_eq!(model.save().unwrap(), *expected, "{booster}");
                predict(model.as_mut(), &matrix(0, 50), 3);
            });
        }
    });
    // Whose model it is stands in the artifact, whatever the configuration says.
    for (booster, artifact) in &alone {
        let model = create(&config(serde_json::json!({})), artifact).unwrap();
        let library = model.info().unwrap().notes["library"]
            .to_string()
            .to_lowercase();
        assert!(library.contains(booster), "{library}");
    }
}

#[test]
fn importances_find_the_planted_features_and_contributions_add_up() {
    for (name, outputs) in TASKS {
        let train = dataset(0, 1_600, name, false);
        let pairs = serde_json::json!({"rounds": 12, "num_leaves": 8});
        let mut model = Fit::new(name, pairs, &train).run().unwrap();
        let input = matrix(20, 9);
        let answers = predict(model.as_mut(), &input, outputs);
        let explain = model.explain().unwrap();
        assert_eq!(explain.importance_kinds(), ["gain", "split"]);
        let gain = explain.importance("gain").unwrap();
        let strongest = gain.iter().copied().fold(0.0, f64::max);
        assert!(
            gain[0] >= strongest && gain[1] > gain[5],
            "{name}: {gain:?}"
        );
        assert_eq!((gain.len(), gain[11]), (COLUMNS as usize, 0.0), "{name}");
        let splits: f64 = explain.importance("split").unwrap().iter().sum();
        assert!(
            splits > 40.0 && splits <= 12.0 * 3.0 * 7.0,
            "{name}: {splits}"
        );

        let per_output = COLUMNS as usize + 1;
        let width = outputs * per_output;
        let mut values = vec![0.0; 9 * width];
        let shape = FrameShape::dense(9, COLUMNS as usize, width);
        explain
            .contributions(&mut Frame::new(&input, &mut values, shape).unwrap())
            .unwrap();
        for (row, answer) in values.chunks(width).zip(answers.chunks(outputs)) {
            let raw: Vec<f32> = row
                .chunks(per_output)
                .map(|part| part.iter().sum())
                .collect();
            for (found, expected) in link(name, &raw).iter().zip(answer) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found} and {expected}"
                );
            }
        }
    }
}

/// Answers from raw scores.
fn link(task: &str, raw: &[f32]) -> Vec<f32> {
    match task {
        "binary" => raw
            .iter()
            .map(|score| 1.0 / (1.0 + (-score).exp()))
            .collect(),
        "multiclass" => {
            let total: f32 = raw.iter().map(|score| score.exp()).sum();
            raw.iter().map(|score| score.exp() / total).collect()
        }
        _ => {
            let mut sorted = raw.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted
        }
    }
}

#[test]
fn data_that_xgboost_cannot_learn_from_is_refused_with_a_reason() {
    let row = |value: f32, label: f32| (vec![value; COLUMNS as usize], label, 1.0, 1);
    let one = |rows: &[_]| Dataset::new(schema(), vec![batch(rows)]).unwrap();
    for (data, expected) in [
        (
            one(&[row(1.0, 0.0), row(f32::INFINITY, 1.0)]),
            "12 features are infinite (the first: sample 1, column 0)",
        ),
        (one(&[row(1.0, 1.0), row(0.0, 1.0)]), "have the class `up`"),
        (
            one(&[row(1.0, 1.0), row(0.0, 7.0)]),
            "1 labels do not fit the task",
        ),
    ] {
        let error = Fit::new("binary", serde_json::json!({}), &data).error();
        assert_eq!(error.status(), Status::Data, "{error}");
        assert!(
            error.message().contains(expected),
            "{expected} not in: {error}"
        );
    }
}

#[test]
fn wrong_settings_and_a_missing_library_are_clear() {
    let train = dataset(0, 200, "binary", false);
    let pairs = serde_json::json!({"booster": "catboost", "num_leafs": 3});
    let error = Fit::new("binary", pairs, &train).error();
    assert_eq!(error.status(), Status::Config);
    assert!(error.message().contains("`booster`"), "{error}");
    assert!(
        error.message().contains("did you mean `num_leaves`"),
        "{error}"
    );
    let mut fit = Fit::new("binary", serde_json::json!({}), &train);
    fit.config.set("xgboost_library", "/nowhere/libxgboost.so");
    let error = fit.error();
    assert_eq!(error.status(), Status::Library);
    assert!(
        error.message().contains("plugins/native/fetch.py"),
        "{error}"
    );
}

#[test]
fn damaged_artifacts_are_refused_before_xgboost_reads_them() {
    let train = dataset(0, 800, "multiclass", false);
    let pairs = serde_json::json!({"rounds": 3, "num_leaves": 5});
    let artifact = Fit::new("multiclass", pairs, &train)
        .run()
        .unwrap()
        .save()
        .unwrap();
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
