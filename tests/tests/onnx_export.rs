//! A tree model through the whole chain: written as ONNX by the plugin that holds it, and answered
//! by the plugin that runs ONNX files.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use fusebox_gbm::{GbmLearner, GbmModel};
use fusebox_loader::LoadedPlugin;
use fusebox_plugin_api::model::{CreateModel, NoProgress};
use fusebox_plugin_api::prelude::*;
use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch};
use fusebox_tests::binary::onnx_plugin_dir;
use fusebox_tests::fixtures::project_root;
use fusebox_tests::onnx::onnx_runtime;
use fusebox_tests::workers::load_in_process;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const COLUMNS: usize = 5;

fn native(name: &str, file: &str) -> String {
    let fetched = Command::new("python3")
        .args(["plugins/native/fetch.py", "--only", name])
        .current_dir(project_root())
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{problem}");
    let path = project_root().join(".fusebox/native").join(file);
    path.to_string_lossy().into_owned()
}

fn libraries() -> Config {
    Config::new()
        .with(
            "library",
            native("lightgbm", "lightgbm-4.7.0/lib_lightgbm.so"),
        )
        .with(
            "xgboost_library",
            native("xgboost", "xgboost-3.4.1/xgboost/lib/libxgboost.so"),
        )
}

/// The model in the other plugin. Two plugins cannot be linked into one program, so it is loaded.
fn onnx(file: &[u8]) -> Box<dyn Model> {
    static PLUGIN: OnceLock<LoadedPlugin> = OnceLock::new();
    let plugin = PLUGIN.get_or_init(|| load_in_process(onnx_plugin_dir(), "ai.fusebox.onnx"));
    let config = Config::new().with("library", onnx_runtime().to_str().unwrap());
    plugin.create_model(&config, file).unwrap()
}

fn answers(model: &mut dyn Model, rows: &[f32]) -> Vec<f32> {
    let info = model.info().unwrap();
    let (columns, outputs) = (info.columns.unwrap(), info.outputs.len());
    let count = rows.len() / columns;
    let mut output = vec![0.0; count * outputs];
    let shape = FrameShape::dense(count, columns, outputs);
    model
        .predict(&mut Frame::new(rows, &mut output, shape).unwrap())
        .unwrap();
    output
}

/// Murmur3's 32-bit finaliser, as a number below 1.
fn noise(value: usize) -> f32 {
    let value = value as u32 + 1;
    let value = (value ^ (value >> 16)).wrapping_mul(0x85EB_CA6B);
    let value = (value ^ (value >> 13)).wrapping_mul(0xC2B2_AE35);
    ((value ^ (value >> 16)) >> 8) as f32 / 16_777_216.0
}

fn dataset(rows: usize, classes: &[String]) -> Dataset {
    let features: Vec<f32> = (0..rows * COLUMNS)
        .map(|cell| {
            if cell % 23 == 0 {
                f32::NAN
            } else {
                noise(cell)
            }
        })
        .collect();
    let label = |row: usize| {
        let value = noise(row * COLUMNS + 1) + noise(row * COLUMNS + 2);
        match classes.len() {
            0 => value * 10.0,
            count => (value / 2.0 * count as f32).floor(),
        }
    };
    let schema = DatasetSchema {
        features: (0..COLUMNS).map(|column| format!("f{column}")).collect(),
        labels: vec!["y".to_owned()],
        classes: classes.to_vec(),
    };
    let times: Vec<i64> = (0..rows as i64).collect();
    let columns = BatchColumns {
        features: features.into(),
        labels: (0..rows).map(label).collect::<Vec<f32>>().into(),
        weight: vec![1.0; rows].into(),
        event_ns: times.clone().into(),
        label_end_ns: times.into(),
        symbol: vec![0; rows].into(),
        segment: vec![0; rows].into(),
        role: vec![1; rows].into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

fn fit(task: &Task, booster: &str) -> Box<dyn Model> {
    let classes = match task {
        Task::Classification { classes } => classes.clone(),
        _ => Vec::new(),
    };
    let config = libraries()
        .with("booster", booster)
        .with("rounds", 20)
        .with("num_leaves", 8);
    GbmLearner
        .fit(FitRequest {
            task,
            config: &config,
            train: &dataset(1_000, &classes),
            valid: None,
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed: 5,
            max_threads: 1,
        })
        .unwrap()
}

fn classes(names: &[&str]) -> Task {
    Task::Classification {
        classes: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn an_exported_model_knows_its_features_and_classes_and_answers_the_same() {
    let quantiles = Task::Quantiles {
        levels: vec![0.1, 0.5, 0.9],
    };
    let rows: Vec<f32> = (0..3_000 * COLUMNS)
        .map(|cell| match cell % 31 {
            0 => f32::NAN,
            7 => f32::INFINITY,
            11 => f32::NEG_INFINITY,
            _ => noise(cell + 77_777),
        })
        .collect();
    for (task, booster) in [
        (classes(&["down", "flat", "up"]), "lightgbm"),
        (classes(&["down", "flat", "up"]), "xgboost"),
        (classes(&["down", "up"]), "lightgbm"),
        (classes(&["down", "up"]), "xgboost"),
        (Task::Regression, "lightgbm"),
        (Task::Regression, "xgboost"),
        (quantiles, "xgboost"),
    ] {
        let mut model = fit(&task, booster);
        let file = model.onnx_export().unwrap().to_onnx(17).unwrap();
        let mut copy = onnx(&file);
        let (own, other) = (model.info().unwrap(), copy.info().unwrap());
        assert_eq!(own.features, other.features);
        assert_eq!((&own.task, &own.outputs), (&other.task, &other.outputs));
        assert_eq!(other.notes["label"], "y");
        let (own, other) = (
            answers(model.as_mut(), &rows),
            answers(copy.as_mut(), &rows),
        );
        for (own, other) in own.iter().zip(&other) {
            let close = (own - other).abs() <= 1e-5 * own.abs().max(1.0);
            assert!(close, "{task:?} {booster}: {other} instead of {own}");
        }
        let again = model.onnx_export().unwrap().to_onnx(17).unwrap();
        assert_eq!(file, again, "the same model is the same file");
    }
}

/// An artifact of the plugin around a text of LightGBM's.
fn artifact(text: &str, columns: usize) -> Vec<u8> {
    let features: Vec<String> = (0..columns).map(|column| format!("f{column}")).collect();
    let trees = text
        .lines()
        .filter(|line| line.starts_with("Tree="))
        .count();
    let header = json!({
        "library": "LightGBM >= 4.7.0", "task": {"kind": "regression"}, "features": features,
        "label": "y", "params": {}, "seed": 0, "training_rows": 0, "iterations": trees,
        "best_iteration": null, "best_score": null, "resumed_after": [], "checkpoint": null,
    });
    let body = format!("{header}\n{text}");
    let digest = Sha256::digest(body.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("fusebox-gbm 1 {} {digest}\n{body}", body.len()).into_bytes()
}

/// `onnxmltools` rounds thresholds to the nearest f32, so that rows between the two take another
/// branch; the reference has such rows. The export of this project answers all of them as LightGBM
/// does.
#[test]
fn rows_that_another_exporter_sends_elsewhere_stay_where_they_belong() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/data/onnx_trees.json");
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let columns = table["columns"].as_u64().unwrap() as usize;
    let bits = table["row_bits"].as_array().unwrap().iter();
    let bits = bits.flat_map(|row| row.as_array().unwrap());
    let rows: Vec<f32> = bits
        .map(|bits| f32::from_bits(bits.as_u64().unwrap() as u32))
        .collect();
    let numbers = |key: &str| -> Vec<f64> {
        let numbers = table[key].as_array().unwrap().iter();
        numbers.map(|number| number.as_f64().unwrap()).collect()
    };
    let (library, others) = (numbers("lightgbm"), numbers("onnxmltools"));
    let bytes = artifact(table["model"].as_str().unwrap(), columns);
    let model = GbmModel::create(&libraries(), &bytes).unwrap();
    let mut copy = onnx(&model.onnx_export().unwrap().to_onnx(17).unwrap());
    let found = answers(copy.as_mut(), &rows);
    assert_eq!(found.len(), library.len());
    let mut elsewhere = 0;
    for ((found, library), other) in found.iter().zip(&library).zip(&others) {
        let close = |value: f64| (value - library).abs() <= 1e-5 * library.abs().max(1.0);
        assert!(close(f64::from(*found)), "{found} instead of {library}");
        elsewhere += usize::from(!close(*other));
    }
    // The figure of the reference, so that it stands here what the difference is.
    assert_eq!(
        elsewhere as u64,
        table["rows_that_differ"].as_u64().unwrap()
    );
    assert_eq!(elsewhere, 24);
}
