//! The LightGBM plugin in a worker process: a native library with OpenMP threads, mapped at run
//! time from a path in the configuration, behind the jail.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use fusebox_loader::{LoadedPlugin, PackageSpec, WorkerOptions, write_package};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Status;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{FitRequest, Model, NoProgress, Task};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use fusebox_tests::fixtures::project_root;
use fusebox_tests::workers::{load_in_process, load_in_worker, worker_options};

const ID: &str = "ai.fusebox.gbm";
const COLUMNS: usize = 6;

/// Deterministic noise between 0 and 1 (Murmur3's finaliser).
fn noise(number: u32) -> f32 {
    let value = (number ^ (number >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    ((value ^ (value >> 16)) >> 8) as f32 / (1 << 24) as f32
}

fn dataset(first: u32, rows: u32) -> Dataset {
    let features: Vec<f32> = (first..first + rows)
        .flat_map(|row| (0..COLUMNS as u32).map(move |column| noise(row * 64 + column + 1)))
        .collect();
    let labels: Vec<f32> = features
        .chunks(COLUMNS)
        .map(|row| 3.0 * row[0] - row[1] * row[2])
        .collect();
    let schema = DatasetSchema {
        features: (0..COLUMNS).map(|column| format!("f{column}")).collect(),
        labels: vec!["y".to_owned()],
        classes: Vec::new(),
    };
    let count = rows as usize;
    let columns = BatchColumns {
        features: features.into(),
        labels: labels.into(),
        weight: vec![1.0; count].into(),
        event_ns: (0..i64::from(rows)).collect::<Vec<_>>().into(),
        label_end_ns: (0..i64::from(rows)).collect::<Vec<_>>().into(),
        symbol: vec![0; count].into(),
        segment: vec![0; count].into(),
        role: vec![1; count].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

fn answers(model: &mut dyn Model, input: &[f32]) -> Vec<u32> {
    let rows = input.len() / COLUMNS;
    let mut output = vec![0.0; rows];
    let shape = FrameShape::dense(rows, COLUMNS, 1);
    model
        .predict(&mut Frame::new(input, &mut output, shape).unwrap())
        .unwrap();
    output.iter().map(|value: &f32| value.to_bits()).collect()
}

/// Fits, predicts, saves, makes the model again and predicts with that one, too.
fn life(plugin: &LoadedPlugin, config: &Config) -> (Vec<u8>, Vec<u32>, Vec<u32>) {
    let learner = plugin.learner().unwrap();
    let (train, valid) = (dataset(0, 2_000), dataset(2_000, 500));
    let mut model = learner
        .fit(FitRequest {
            task: &Task::Regression,
            config,
            train: &train,
            valid: Some(&valid),
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 7,
            max_threads: 2,
        })
        .unwrap();
    let input: Vec<f32> = (0..300 * COLUMNS as u32)
        .map(|at| noise(at + 1_000_000))
        .collect();
    let first = answers(&mut *model, &input);
    let artifact = model.save().unwrap();
    let mut again = plugin.create_model(config, &artifact).unwrap();
    again.warmup().unwrap();
    let second = answers(&mut *again, &input);
    (artifact, first, second)
}

#[test]
fn lightgbm_learns_and_answers_the_same_in_a_worker() {
    let fetched = Command::new("python3")
        .args(["plugins/native/fetch.py", "--only", "lightgbm"])
        .current_dir(project_root())
        .output()
        .unwrap();
    assert!(
        fetched.status.success(),
        "{}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    let native = project_root().join(".fusebox/native");
    let library = native.join("lightgbm-4.7.0/lib_lightgbm.so");
    let config = Config::new()
        .with("library", library.to_string_lossy().into_owned())
        .with("rounds", 30);

    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worker-lightgbm");
    let built = std::env::current_exe()
        .unwrap()
        .with_file_name("libfusebox_gbm.so");
    let spec = PackageSpec {
        kinds: vec![MODEL_ID.to_owned(), LEARNER_ID.to_owned()],
        replace: true,
        ..PackageSpec::new(built)
    };
    write_package(&home, &spec).unwrap();

    let expected = life(&load_in_process(&home, ID), &config);
    assert_eq!(expected.1, expected.2);
    let options = WorkerOptions {
        readable: vec![native],
        ..worker_options()
    };
    let found = life(&load_in_worker(&home, ID, options).unwrap(), &config);
    assert!(found == expected, "the worker's model is another one");

    // Without the operator's word the library is out of reach, and the error says so.
    let shut = load_in_worker(&home, ID, worker_options()).unwrap();
    let error = shut.create_model(&config, &expected.0).err().unwrap();
    assert_eq!(error.status(), Status::Library, "{error}");
}
