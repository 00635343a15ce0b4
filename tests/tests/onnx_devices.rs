//! Models on graphics processors: the answers of the processor, wherever a provider works.
//!
//! The pinned ONNX Runtime is the one for processors, so on most machines nothing here has
//! anything to do and says so. `FUSEBOX_ONNXRUNTIME_LIBRARY` names a build with other providers.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it skips and how far off a device is"
)]

use std::path::PathBuf;

use fusebox_onnx::OnnxModel;
use fusebox_plugin_api::model::CreateModel;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::onnx::{onnx_answers, onnx_model, onnx_runtime, predicted};

/// More than the accumulations of a small network in f32 can differ by their order, and far less
/// than the ten bits of a TensorFloat-32 product.
const TOLERANCE: f32 = 2e-6;

fn library() -> PathBuf {
    std::env::var_os("FUSEBOX_ONNXRUNTIME_LIBRARY")
        .map_or_else(|| onnx_runtime().to_owned(), PathBuf::from)
}

fn config(provider: &str) -> Config {
    Config::new()
        .with("library", library().to_str().unwrap())
        .with("providers", vec![provider])
}

/// The providers for devices that work on this machine.
fn devices() -> Vec<String> {
    let all = ["migraphx", "cuda", "tensorrt", "openvino"];
    let probe = config("cpu")
        .with("providers", all.to_vec())
        .with("probe", true);
    let probed = OnnxModel::create(&probe, b"")
        .unwrap()
        .info()
        .unwrap()
        .notes["probed"]
        .clone();
    let works = |name: &&str| probed[*name] == "works";
    let found: Vec<String> = all.into_iter().filter(works).map(str::to_owned).collect();
    if found.is_empty() {
        println!("skipped: no provider but the processor's works here: {probed}");
    }
    found
}

#[test]
fn devices_answer_what_the_processor_answers() {
    for device in devices() {
        for name in [
            "perceptron",
            "perceptron_of_four_rows",
            "recurrent",
            "log_odds",
        ] {
            let mut model = OnnxModel::create(&config(&device), &onnx_model(name)).unwrap();
            assert_eq!(model.info().unwrap().notes["provider"], device.as_str());
            let (rows, expected) = onnx_answers(name);
            model.warmup().unwrap();
            for _ in 0..3 {
                let found = predicted(&mut model, &rows);
                assert_eq!(found.len(), expected.len());
                let furthest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let furthest = furthest.fold(0.0, f32::max);
                println!(
                    "{device}: {name}: furthest from Python's answer on a processor {furthest:e}"
                );
                assert!(
                    furthest <= TOLERANCE,
                    "{device}: {name}: {found:?} instead of {expected:?}"
                );
            }
        }
    }
}

/// Operators that a device does not have run on the processor, within the device's session.
#[test]
fn operators_without_a_device_kernel_still_answer() {
    for device in devices() {
        let classes = config(&device).with("classes", vec!["down", "flat", "up"]);
        let mut model = OnnxModel::create(&classes, &onnx_model("linear")).unwrap();
        let (rows, expected) = onnx_answers("linear");
        for (found, expected) in predicted(&mut model, &rows).iter().zip(&expected) {
            assert!(
                (found - expected).abs() <= TOLERANCE,
                "{found} instead of {expected}"
            );
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_passed_over() {
    for device in devices() {
        let absent = config(&device)
            .with("providers", vec![device.as_str(), "cpu"])
            .with("device", 99);
        if device == "openvino" {
            continue; // It has no numbered devices.
        }
        let model = OnnxModel::create(&absent, &onnx_model("perceptron")).unwrap();
        let notes = model.info().unwrap().notes;
        assert_eq!(notes["provider"], "cpu", "{notes:?}");
        println!("{device} 99: {}", notes[&format!("provider_{device}")]);
    }
}
