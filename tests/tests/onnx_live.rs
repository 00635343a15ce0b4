//! ONNX models that live: dropped into the models directory with a sidecar, replaced, refused; in
//! a worker process; in the eyes of the conformance kit and of `fusebox doctor`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use fusebox_loader::live::{LiveModel, ModelSource, ModelSpec, Occasion, Reason, VersionPolicy};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::Model;
use fusebox_tests::binary::{command, onnx_plugin_dir, run};
use fusebox_tests::live::{Machine, known};
use fusebox_tests::onnx::{onnx_answers, onnx_model, onnx_runtime};
use fusebox_tests::workers::{load_in_process, load_in_worker, worker_options};

const ID: &str = "ai.fusebox.onnx";

fn machine() -> Machine {
    Machine::with(|options| {
        options.plugin_dirs = vec![onnx_plugin_dir().to_owned()];
        let library = Config::new().with("library", onnx_runtime().to_str().unwrap());
        options.load.host_settings.insert(ID.to_owned(), library);
    })
}

fn spec(name: &str) -> ModelSpec {
    let mut spec = ModelSpec::of_plugin(name, ID, Config::new());
    spec.source = ModelSource::Packages {
        versions: VersionPolicy::Latest,
        plugin_versions: VersionPolicy::Latest,
    };
    spec.swap.probation.rows = 2;
    spec
}

fn answers(model: &mut LiveModel, rows: &[f32]) -> Vec<f32> {
    let info = model.info().clone();
    let (columns, outputs) = (info.columns.unwrap(), info.outputs.len());
    let count = rows.len() / columns;
    let mut output = vec![0.0; count * outputs];
    let shape = FrameShape::dense(count, columns, outputs);
    model
        .predict(&mut Frame::new(rows, &mut output, shape).unwrap())
        .unwrap();
    output
}

fn drop_in(machine: &Machine, name: &str, file: &[u8], sidecar: &str) {
    fs::write(machine.models().join(format!("{name}.onnx")), file).unwrap();
    fs::write(machine.models().join(format!("{name}.toml")), sidecar).unwrap();
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-6,
            "{found} instead of {expected}"
        );
    }
}

/// The same model with the first two answers exchanged, by its last weights.
fn other_weights() -> Vec<u8> {
    use fusebox_onnx_proto::{Bytes, Message, ModelProto};
    let mut model = ModelProto::decode(&*onnx_model("perceptron")).unwrap();
    let bias = &mut model.graph.as_mut().unwrap().initializer[3];
    let mut bytes = bias.raw_data.to_vec();
    bytes[..4].copy_from_slice(&9.0_f32.to_le_bytes());
    bias.raw_data = Bytes::from(bytes);
    model.encode_to_vec()
}

#[test]
fn a_file_with_a_sidecar_goes_live_is_replaced_and_a_bad_one_is_kept_out() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("models")).unwrap();
    fs::write(
        root.path().join("models/btc.onnx"),
        onnx_model("perceptron"),
    )
    .unwrap();
    fs::write(root.path().join("models/btc.toml"), "").unwrap();
    let machine = Machine::on(root, |options| {
        options.plugin_dirs = vec![onnx_plugin_dir().to_owned()];
        let library = Config::new().with("library", onnx_runtime().to_str().unwrap());
        options.load.host_settings.insert(ID.to_owned(), library);
    });
    let mut model = machine.add(spec("btc"));
    let (rows, expected) = onnx_answers("perceptron");
    assert_close(&answers(&mut model, &rows), &expected);
    let status = machine.supervisor.status();
    let notes = &status.models[0].live.notes;
    assert_eq!(
        (&notes["provider"], &notes["onnxruntime"]),
        (&"cpu".into(), &"1.28.0".into())
    );

    // Half a file, as of a slow copy: nothing happens but a refusal.
    let next = other_weights();
    drop_in(&machine, "btc", &next[..next.len() / 2], "");
    machine.await_event(&mut model, |event| {
        event.is(Occasion::Rejected) && event.reason == Some(Reason::Unfinished)
    });
    assert_close(&answers(&mut model, &rows), &expected);
    // The rest arrives, and it goes live.
    drop_in(&machine, "btc", &next, "providers = [\"cuda\", \"cpu\"]\n");
    machine.await_promotion(&mut model, "1.0.1");
    let changed = answers(&mut model, &rows);
    assert!(changed.chunks(3).all(|row| row[0] > 0.9), "{changed:?}");
    let status = machine.supervisor.status();
    assert_eq!(
        status.models[0].live.notes["providers_passed_over_total"],
        1
    );

    // A whole file that does not fit: the reason is told, and what answered goes on.
    drop_in(
        &machine,
        "btc",
        &onnx_model("linear"),
        "classes = [\"down\", \"up\"]\n",
    );
    let refused = machine.await_event(&mut model, |event| {
        event.is(Occasion::Rejected) && known(event) == "1.0.2"
    });
    let words = refused.message.unwrap();
    assert!(
        words.contains("one for each of `classes` needs 2"),
        "{words}"
    );
    assert_eq!(answers(&mut model, &rows), changed);
    let adopted = machine
        .events()
        .into_iter()
        .filter(|event| event.is(Occasion::Adopted));
    assert_eq!(
        adopted.map(|event| known(&event)).collect::<Vec<_>>(),
        ["1.0.0", "1.0.1", "1.0.2"]
    );
}

#[test]
fn a_model_that_fits_the_rows_not_is_refused_at_the_start() {
    let machine = machine();
    drop_in(
        &machine,
        "eth",
        &onnx_model("perceptron"),
        "features = [\"f0\", \"f2\"]\n",
    );
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let error = machine.supervisor.add(spec("eth")).unwrap_err().to_string();
    assert!(error.contains("`features`"), "{error}");
}

fn predict(model: &mut dyn Model, rows: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; rows.len() / 4 * 3];
    let shape = FrameShape::dense(rows.len() / 4, 4, 3);
    model
        .predict(&mut Frame::new(rows, &mut output, shape).unwrap())
        .unwrap();
    output
}

#[test]
fn a_worker_behind_its_jail_answers_the_same_bits() {
    let native = onnx_runtime().parent().unwrap().to_owned();
    let mut options = worker_options();
    options.readable.push(native);
    let file = onnx_model("perceptron");
    let (rows, expected) = onnx_answers("perceptron");
    let library = Config::new().with("library", onnx_runtime().to_str().unwrap());
    let here = load_in_process(onnx_plugin_dir(), ID);
    let there = load_in_worker(onnx_plugin_dir(), ID, options).unwrap();
    for threads in [1, 2] {
        let config = library.clone().with("intra_threads", threads);
        let mut own = here.create_model(&config, &file).unwrap();
        let mut other = there.create_model(&config, &file).unwrap();
        let found = predict(other.as_mut(), &rows);
        assert_close(&found, &expected);
        assert_eq!(predict(own.as_mut(), &rows), found);
        other.quiesce(0).unwrap();
    }
    let missing = Config::new().with("library", "/nowhere/libonnxruntime.so");
    let error = there.create_model(&missing, &file).err().unwrap();
    assert!(
        error.message().contains("/nowhere/libonnxruntime.so"),
        "{error}"
    );
}

#[test]
fn the_conformance_kit_passes() {
    let dir = tempfile::tempdir().unwrap();
    let artifact = dir.path().join("model.onnx");
    fs::write(&artifact, onnx_model("perceptron")).unwrap();
    let package = onnx_plugin_dir().join(ID);
    let mut versions = fs::read_dir(&package).unwrap();
    let package = versions.next().unwrap().unwrap().path();
    let config = format!(
        "{{\"library\": {:?}}}",
        onnx_runtime().display().to_string()
    );
    let (package, artifact) = (package.to_str().unwrap(), artifact.to_str().unwrap());
    let arguments = [
        "plugin",
        "check",
        package,
        "--config",
        &config,
        "--artifact",
        artifact,
    ];
    let ran = run(
        dir.path(),
        &[&arguments[..], &["--quick", "--level", "7", "--json"]].concat(),
    );
    let report = ran.json();
    let failed: Vec<&str> = report["cases"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .filter(|case| case["status"] == "failed")
        .filter_map(|case| case["name"].as_str())
        .collect();
    assert_eq!((ran.code, failed), (Some(0), vec![]), "{report}");
}

#[test]
fn doctor_says_where_models_run() {
    let dir = tempfile::tempdir().unwrap();
    let ran = command(dir.path())
        .args([
            "doctor",
            "--json",
            "--plugin-dir",
            onnx_plugin_dir().to_str().unwrap(),
        ])
        .env("FUSEBOX_ONNXRUNTIME_LIBRARY", onnx_runtime())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let detail = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("{name}: {report}"))["detail"]
            .as_str()
            .unwrap()
    };
    assert_eq!(detail("ONNX Runtime"), "1.28.0, works with cpu");
    for provider in ["migraphx", "cuda", "tensorrt", "openvino"] {
        let told = detail(&format!("ONNX Runtime with {provider}"));
        let reason = told.strip_prefix("not here: ").unwrap();
        assert!(reason.starts_with(char::is_alphabetic), "{reason}");
        assert!(!reason.contains("FAIL :"), "{reason}");
    }
    assert!(detail("onnxruntime").contains(Path::new("libonnxruntime.so").to_str().unwrap()));
    let shown = command(dir.path())
        .args(["doctor", "--plugin-dir"])
        .arg(onnx_plugin_dir())
        .env("FUSEBOX_ONNXRUNTIME_LIBRARY", onnx_runtime())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!((80..=100).contains(&widest.unwrap()), "{shown}");
}

#[test]
fn what_keeps_models_from_running_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join(".fusebox/models");
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join("alone.onnx"), onnx_model("perceptron")).unwrap();
    let ran = command(dir.path())
        .args(["doctor", "--json", "--plugin-dir"])
        .arg(onnx_plugin_dir())
        .env(
            "FUSEBOX_ENGINE__LIBRARIES__ONNXRUNTIME",
            "/gone/libonnxruntime.so",
        )
        .env("FUSEBOX_ONNXRUNTIME_LIBRARY", onnx_runtime())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = |name: &str| {
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {report}"))
    };
    // The copy that was named is what is looked for, though there is another.
    let told = check("ONNX Runtime")["detail"].as_str().unwrap();
    for words in [
        "/gone/libonnxruntime.so",
        "No such file",
        "engine.libraries",
    ] {
        assert!(told.contains(words), "{words} not in {told}");
    }
    let alone = check("model file");
    assert_eq!(alone["state"], "warning");
    assert!(alone["detail"].as_str().unwrap().contains("alone.onnx"));
    let advice = alone["advice"].as_str().unwrap();
    assert!(advice.contains(".fusebox/models/alone.toml"), "{advice}");
}
