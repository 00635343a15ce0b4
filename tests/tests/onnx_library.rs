//! Which library of ONNX Runtime is used: a process of its own, because there is one per process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use fusebox_onnx::OnnxModel;
use fusebox_plugin_api::model::CreateModel;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::onnx::{fake_onnx_runtime, onnx_model, onnx_runtime};

#[track_caller]
fn assert_refused(path: &str, words: &[&str]) {
    let config = Config::new().with("library", path);
    let error = OnnxModel::create(&config, &onnx_model("perceptron"))
        .err()
        .unwrap();
    assert_eq!(error.status(), Status::Library, "{error}");
    for words in words {
        assert!(error.message().contains(words), "`{words}` not in: {error}");
    }
}

/// The libraries that lie stop the process where anything but their version is asked for.
#[test]
fn a_library_that_is_missing_too_old_or_another_is_refused_before_use() {
    let missing = "/nowhere/libonnxruntime.so";
    assert_refused(
        missing,
        &[
            missing,
            "No such file",
            "plugins/native/fetch.py",
            "engine.libraries.onnxruntime",
            "FUSEBOX_ONNXRUNTIME_LIBRARY",
        ],
    );
    assert_refused("libm.so.6", &["is not ONNX Runtime"]);
    for version in ["1.20.1", "1.23.9", "2.0.0", "nonsense"] {
        let path = fake_onnx_runtime(version);
        let words = [version, "needed is 1.24", "it was not used"];
        assert_refused(path.to_str().unwrap(), &words);
    }
    let newer = fake_onnx_runtime("1.30.0");
    if std::env::var_os("ORT_DISABLE_TELEMETRY").is_none() {
        assert_refused(
            newer.to_str().unwrap(),
            &["1.30.0", "ORT_DISABLE_TELEMETRY=1"],
        );
    }
    let config = Config::new().with("library", onnx_runtime().to_str().unwrap());
    assert!(OnnxModel::create(&config, &onnx_model("perceptron")).is_ok());
    assert_refused(newer.to_str().unwrap(), &["1.28.0", "can use no other"]);
}
