//! What training costs with both gradient-boosting libraries, beside the same libraries called from
//! Python: the same data, parameters and number of threads, each in processes of their own, turn by
//! turn in one run, so that the ratios hold whatever else the machine does.
//!
//! Time is that of the processor, from the rows to the finished model. Both sides read the rows
//! into one matrix, and train on a few of them, before anything is measured; memory is the peak of
//! the resident set during the first training, above what was resident before it, and as a whole,
//! which counts Python and this program too.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fusebox_gbm::GbmLearner;
use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::gbm::labelled;

const ROWS: usize = 100_000;
const COLUMNS: usize = 50;
const ROUNDS: u32 = 100;
const TURNS: usize = 3;
/// Trainings of one process.
const RUNS: usize = 2;
/// Rows of a training before those that are measured, which loads the library.
const SMALL_ROWS: usize = 2_000;
/// Rows whose answers are compared.
const ANSWERED: usize = 1_000;
/// Tells a process of this benchmark that it is to train: the file and the task.
const CHILD: &str = "FUSEBOX_BENCH_GBM";

/// Trains and prints, where this process was started for that.
pub(crate) fn child() -> bool {
    let Ok(task) = std::env::var(CHILD) else {
        return false;
    };
    let task: Value = serde_json::from_str(&task).unwrap();
    println!("{}", train(&task));
    true
}

/// The lines of the table.
pub(crate) fn training() -> Vec<(String, String)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes()).unwrap();
    let mut lines = Vec::new();
    for library in ["lightgbm", "xgboost"] {
        match compare(library, file.path()) {
            Ok(found) => lines.extend(found),
            Err(reason) => lines.push((format!("training, {library} from Python"), reason)),
        }
    }
    lines
}

/// Features, then labels, as little-endian f32.
fn bytes() -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let features: Vec<f32> = (0..ROWS * COLUMNS)
        .map(|_| random.random_range(-1.0..1.0))
        .collect();
    let class = |row: &[f32]| row[0] + row[1] * row[2] + (3.0 * row[3]).sin() + 0.5 * row[4];
    let labels = features.chunks_exact(COLUMNS).map(class);
    let labels: Vec<f32> = labels
        .map(|value| f32::from(u8::from(value > 0.0)))
        .collect();
    let values = features.iter().chain(&labels);
    values.flat_map(|value| value.to_le_bytes()).collect()
}

/// Least seconds and bytes of the processes of one side.
#[derive(Debug, Clone, Copy)]
struct Cost {
    seconds: f64,
    peak_bytes: f64,
    whole_bytes: f64,
    answers: f64,
}

fn compare(library: &str, file: &Path) -> Result<Vec<(String, String)>, String> {
    let python = python(library)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let task = task(library, file);
        let child = std::env::current_exe().unwrap();
        let run = Command::new(child).env(CHILD, task.to_string()).output();
        ours.push(cost(run.unwrap())?);
        let script = root().join("tests/reference/bench_gbm.py");
        let run = Command::new(&python)
            .env("PYTHONPATH", packages())
            .arg(script)
            .arg(file)
            .arg(task.to_string())
            .output();
        theirs.push(cost(run.map_err(|error| format!("skipped: {error}"))?)?);
    }
    let (ours, theirs) = (least(&ours), least(&theirs));
    let apart = (ours.answers - theirs.answers).abs() / ANSWERED as f64;
    if apart > 1e-6 {
        return Err(format!("another model: answers are {apart:e} apart"));
    }
    let what = format!("training, {library}, {ROWS} x {COLUMNS}, {ROUNDS} rounds");
    let megabytes = |bytes: f64| format!("{:.0} MB", bytes / 1e6);
    Ok(vec![
        (what, format!("{:.2} s", ours.seconds)),
        (
            format!("training, {library}, ours / Python, time"),
            format!("{:.3}", ours.seconds / theirs.seconds),
        ),
        (
            format!("training, {library}, memory above the rows"),
            megabytes(ours.peak_bytes),
        ),
        (
            format!("training, {library}, ours / Python, memory"),
            format!("{:.3}", ours.peak_bytes / theirs.peak_bytes),
        ),
        (
            format!("training, {library}, whole process, memory"),
            megabytes(ours.whole_bytes),
        ),
        (
            format!("training, {library}, ours / Python, whole process"),
            format!("{:.3}", ours.whole_bytes / theirs.whole_bytes),
        ),
    ])
}

fn least(costs: &[Cost]) -> Cost {
    let smallest = |of: fn(&Cost) -> f64| costs.iter().map(of).fold(f64::INFINITY, f64::min);
    Cost {
        seconds: smallest(|cost| cost.seconds),
        peak_bytes: smallest(|cost| cost.peak_bytes),
        whole_bytes: smallest(|cost| cost.whole_bytes),
        answers: smallest(|cost| cost.answers),
    }
}

fn cost(run: Output) -> Result<Cost, String> {
    let words = String::from_utf8_lossy(&run.stderr).into_owned();
    let last = words.lines().last().unwrap_or("no output").to_owned();
    let told: Option<Value> = serde_json::from_slice(&run.stdout).ok();
    let told = told.ok_or(format!("skipped: {last}"))?;
    let seconds = told["seconds"].as_array().unwrap().iter();
    Ok(Cost {
        seconds: seconds
            .filter_map(Value::as_f64)
            .fold(f64::INFINITY, f64::min),
        peak_bytes: told["peak_bytes"].as_f64().unwrap(),
        whole_bytes: told["whole_bytes"].as_f64().unwrap(),
        answers: told["answers"].as_f64().unwrap(),
    })
}

/// What both sides are told: the plugin's settings, and the same in the words of the library.
fn task(library: &str, file: &Path) -> Value {
    let parameters = match library {
        "lightgbm" => json!({
            "objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "max_bin": 255,
            "seed": 1, "deterministic": true, "force_row_wise": true, "num_threads": 1,
            "verbosity": -1,
        }),
        _ => json!({
            "objective": "binary:logistic", "tree_method": "hist", "grow_policy": "lossguide",
            "max_leaves": 31, "max_depth": 0, "learning_rate": 0.1, "max_bin": 255,
            "min_child_weight": 0.001, "gamma": 0, "alpha": 0, "lambda": 0, "seed": 1,
            "nthread": 1, "verbosity": 0,
        }),
    };
    json!({
        "library": library, "file": file, "rows": ROWS, "columns": COLUMNS, "rounds": ROUNDS,
        "runs": RUNS, "parameters": parameters,
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `make reference` puts XGBoost, which does not install beside the others.
pub(crate) fn packages() -> PathBuf {
    let named = std::env::var_os("FUSEBOX_XGBOOST_PYTHONPATH");
    named.map_or_else(|| root().join(".venv/xgboost"), PathBuf::from)
}

/// A Python that has the library; where there is none, what to do.
pub(crate) fn python(library: &str) -> Result<PathBuf, String> {
    let python = std::env::var_os("FUSEBOX_PYTHON")
        .map_or_else(|| root().join(".venv/bin/python"), PathBuf::from);
    let found = Command::new(&python)
        .env("PYTHONPATH", packages())
        .args(["-c", &format!("import {library}")])
        .output();
    match found.is_ok_and(|output| output.status.success()) {
        true => Ok(python),
        false => Err("skipped: run `make reference`, or set FUSEBOX_PYTHON".to_owned()),
    }
}

/// One side of the comparison, in a process of its own.
fn train(task: &Value) -> Value {
    let file = task["file"].as_str().unwrap();
    let (small, train) = (dataset(file, SMALL_ROWS), dataset(file, ROWS));
    let config = libraries()
        .with("booster", task["library"].as_str().unwrap())
        .with("rounds", ROUNDS);
    let classes = ["down", "up"].map(str::to_owned).to_vec();
    let learned = Task::Classification { classes };
    let fit = |train: &Dataset| {
        GbmLearner.fit(FitRequest {
            task: &learned,
            config: &config,
            train,
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 1,
            max_threads: 1,
        })
    };
    fit(&small).unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let (mut seconds, mut peak, mut model) = (Vec::new(), None, None);
    for _ in 0..RUNS {
        let began = processor_seconds();
        let fitted = fit(&train);
        seconds.push(processor_seconds() - began);
        peak.get_or_insert(status("VmHWM:"));
        model = fitted.ok();
    }
    let answers = answers(model.unwrap().as_mut(), &train);
    let whole = peak.unwrap();
    let above = whole.saturating_sub(before);
    json!({"seconds": seconds, "peak_bytes": above, "whole_bytes": whole, "answers": answers})
}

fn answers(model: &mut dyn Model, train: &Dataset) -> f64 {
    let rows = train.views().next().unwrap().features;
    let mut output = vec![0.0; ANSWERED * 2];
    let shape = FrameShape::dense(ANSWERED, COLUMNS, 2);
    let mut frame = Frame::new(&rows[..ANSWERED * COLUMNS], &mut output, shape).unwrap();
    model.predict(&mut frame).unwrap();
    output
        .chunks(2)
        .map(|answer| f64::from(answer[1]))
        .sum::<f64>()
}

/// The first `rows` rows, read without a copy beside them.
fn dataset(file: &str, rows: usize) -> Dataset {
    let mut file = BufReader::new(File::open(file).unwrap());
    let features = numbers(&mut file, rows * COLUMNS);
    let labels_at = ROWS * COLUMNS * size_of::<f32>();
    file.seek(SeekFrom::Start(labels_at as u64)).unwrap();
    labelled(features, numbers(&mut file, rows))
}

fn numbers(file: &mut impl Read, count: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(count);
    let mut bytes = [0; 4];
    for _ in 0..count {
        file.read_exact(&mut bytes).unwrap();
        numbers.push(f32::from_le_bytes(bytes));
    }
    numbers
}

fn libraries() -> Config {
    let native = root().join(".fusebox/native");
    let path = |file: &str| native.join(file).to_string_lossy().into_owned();
    Config::new()
        .with("library", path("lightgbm-4.7.0/lib_lightgbm.so"))
        .with(
            "xgboost_library",
            path("xgboost-3.4.1/xgboost/lib/libxgboost.so"),
        )
}

/// Seconds of the processor that this process has taken, its threads included.
fn processor_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = told
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |field: &str| field.parse::<f64>().unwrap();
    // User and system time in hundredths of a second, the 14th and 15th field.
    (ticks(fields[11]) + ticks(fields[12])) / 100.0
}

fn status(field: &str) -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = told.lines().find(|line| line.starts_with(field)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
