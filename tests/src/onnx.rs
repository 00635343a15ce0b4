//! ONNX Runtime and the small ONNX models that tests run with it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fusebox_plugin_api::prelude::*;
use serde_json::Value;

use crate::fixtures::{build_dir, project_root};

/// The pinned ONNX Runtime, fetched where it is missing.
///
/// # Panics
/// Where it cannot be fetched.
#[must_use]
pub fn onnx_runtime() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let fetched = Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", "onnxruntime"])
            .current_dir(project_root())
            .output()
            .expect("python3 is needed to fetch ONNX Runtime: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{problem}");
        project_root().join(".fusebox/native/onnxruntime-1.28.0/libonnxruntime.so")
    })
}

/// A library that says that it is this version of ONNX Runtime, and stops the process when it is
/// asked for more.
///
/// # Panics
/// Where it does not compile.
#[must_use]
pub fn fake_onnx_runtime(version: &str) -> PathBuf {
    let dir = build_dir().join(format!("fake-onnxruntime-{version}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the build directory can be made");
    let (source, library) = (dir.join("fake.c"), dir.join("libonnxruntime.so"));
    let text = format!(
        "#include <stdlib.h>\n\
         static const void *api(unsigned version) {{ (void)version; abort(); }}\n\
         static const char *version(void) {{ return \"{version}\"; }}\n\
         struct base {{ const void *(*api)(unsigned); const char *(*version)(void); }};\n\
         static const struct base table = {{ api, version }};\n\
         const struct base *OrtGetApiBase(void) {{ return &table; }}\n"
    );
    std::fs::write(&source, text).expect("the source can be written");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler is needed");
    let words = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{words}");
    library
}

/// The model of this name that `tests/reference/onnx_models.py` made.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn onnx_model(name: &str) -> Vec<u8> {
    let path = project_root().join(format!("tests/reference/data/onnx/{name}.onnx"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a model answers for rows of its windows.
///
/// # Panics
/// Where it does not answer.
#[must_use]
pub fn predicted(model: &mut impl Model, rows: &[f32]) -> Vec<f32> {
    let info = model.info().expect("the model describes itself");
    let columns = info.columns.expect("the model knows its columns");
    let (outputs, windowed) = (info.outputs.len(), info.window * columns);
    let count = rows.len() / windowed;
    let mut output = vec![0.0; count * outputs];
    let shape = FrameShape {
        window: info.window,
        row_stride: windowed,
        ..FrameShape::dense(count, columns, outputs)
    };
    let mut frame = Frame::new(rows, &mut output, shape).expect("the rows fill a frame");
    model.predict(&mut frame).expect("the model answers");
    output
}

/// Rows for that model, and what ONNX Runtime answers them from Python.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn onnx_answers(name: &str) -> (Vec<f32>, Vec<f32>) {
    static TABLE: OnceLock<Value> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let path = project_root().join("tests/reference/data/onnx_models.json");
        let text = std::fs::read_to_string(path).expect("the reference is there");
        serde_json::from_str(&text).expect("the reference is JSON")
    });
    let numbers = |key: &str| -> Vec<f32> {
        let list = table["models"][name][key].as_array();
        let list = list.unwrap_or_else(|| panic!("{name} has no {key}"));
        let single = |value: &Value| value.as_f64().map(|value| value as f32);
        list.iter().filter_map(single).collect()
    };
    (numbers("input"), numbers("output"))
}
