//! What an exported tree model costs through the plugin that runs ONNX files, beside ONNX Runtime
//! called from Python on the same file and row.
//!
//! Two classes, 50 features, 100 trees of 31 leaves; one thread, the median of single rows.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use fusebox_plugin_api::prelude::*;
use fusebox_tests::binary::onnx_plugin_dir;
use fusebox_tests::fixtures::project_root;
use fusebox_tests::onnx::onnx_runtime;
use fusebox_tests::workers::load_in_process;
use serde_json::Value;

use super::gbm::{COLUMNS, ROWS, dataset, fitted};

const BATCH_ROWS: usize = 10_000;
const TURNS: usize = 5;

/// The rows of the table.
pub(crate) fn onnx() -> Vec<(String, String)> {
    let train = dataset();
    let model = fitted("lightgbm", 100, &train);
    let file = model.onnx_export().unwrap().to_onnx(17).unwrap();
    let plugin = load_in_process(onnx_plugin_dir(), "ai.fusebox.onnx");
    let config = Config::new().with("library", onnx_runtime().to_str().unwrap());
    let mut model = plugin.create_model(&config, &file).unwrap();
    model.warmup().unwrap();
    let rows = train.views().next().unwrap().features;
    let (mut one, mut many) = (f64::INFINITY, f64::INFINITY);
    let mut output = vec![0.0; BATCH_ROWS * 2];
    for _ in 0..TURNS {
        one = one.min(single(model.as_mut(), rows));
        let shape = FrameShape::dense(BATCH_ROWS, COLUMNS, 2);
        let started = Instant::now();
        let input = &rows[..BATCH_ROWS * COLUMNS];
        model
            .predict(&mut Frame::new(input, &mut output, shape).unwrap())
            .unwrap();
        many = many.min(started.elapsed().as_secs_f64());
    }
    let mut lines = vec![
        (
            "ONNX, 100 trees, one row".to_owned(),
            format!("{:.1} us", one * 1e6),
        ),
        (
            "ONNX, 100 trees, 10,000 rows".to_owned(),
            format!("{:.1} ms", many * 1e3),
        ),
    ];
    let python = from_python(&file);
    for (key, what, unit, scale) in [
        ("one_row", "one row", "us", 1e6),
        ("batch", "10,000 rows", "ms", 1e3),
    ] {
        let shown = python.as_ref().and_then(|seconds| seconds[key].as_f64());
        let shown = shown.map_or_else(
            || "skipped: run `make reference`, or set FUSEBOX_PYTHON".to_owned(),
            |seconds| format!("{:.1} {unit}", seconds * scale),
        );
        lines.push((format!("ONNX, 100 trees, {what}, from Python"), shown));
    }
    lines
}

/// Median seconds of one row, over rows that are not in the caches in order.
fn single(model: &mut dyn Model, rows: &[f32]) -> f64 {
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

/// What ONNX Runtime takes from Python; `None` where that Python has it not.
fn from_python(file: &[u8]) -> Option<Value> {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, file).ok()?;
    let python = std::env::var_os("FUSEBOX_PYTHON")
        .map_or_else(|| project_root().join(".venv/bin/python"), PathBuf::from);
    let ran = Command::new(python)
        .arg(project_root().join("tests/reference/bench_onnx.py"))
        .arg(&path)
        .output()
        .ok()?;
    serde_json::from_slice(&ran.stdout).ok()
}
