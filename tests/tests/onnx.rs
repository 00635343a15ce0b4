//! The plugin `ai.fusebox.onnx`: answers equal to those of ONNX Runtime from Python, and a clear
//! error for whatever does not fit.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use fusebox_onnx::OnnxModel;
use fusebox_onnx_proto::{
    Bytes, Message, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};
use fusebox_plugin_api::model::CreateModel;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::onnx::{onnx_answers, onnx_model, onnx_runtime, predicted};
use serde_json::json;

const FEATURES: usize = 4;

fn config() -> Config {
    Config::new().with("library", onnx_runtime().to_str().unwrap())
}

fn create(config: &Config, file: &[u8]) -> Result<OnnxModel> {
    OnnxModel::create(config, file)
}

fn refusal(config: &Config, file: &[u8]) -> PluginError {
    create(config, file).err().unwrap()
}

#[track_caller]
fn assert_says(error: &PluginError, status: Status, words: &[&str]) {
    assert_eq!(error.status(), status, "{error}");
    for words in words {
        assert!(error.message().contains(words), "`{words}` not in: {error}");
    }
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

#[test]
fn answers_are_those_of_the_runtime_from_python() {
    let three = || config().with("classes", vec!["down", "flat", "up"]);
    for (name, config, outputs) in [
        ("perceptron", config(), vec!["p_down", "p_flat", "p_up"]),
        (
            "perceptron_of_four_rows",
            config(),
            vec!["p_down", "p_flat", "p_up"],
        ),
        ("recurrent", config(), vec!["next_return"]),
        ("linear", three(), vec!["p_down", "p_flat", "p_up"]),
        ("log_odds", config(), vec!["log_odds"]),
        ("double", config().with("label", "sum"), vec!["sum"]),
        ("whole", config(), vec!["value"]),
    ] {
        let mut model = create(&config, &onnx_model(name)).unwrap();
        assert_eq!(model.info().unwrap().outputs, outputs, "{name}");
        let (rows, expected) = onnx_answers(name);
        assert_close(&predicted(&mut model, &rows), &expected);
        model.warmup().unwrap();
        assert_close(&predicted(&mut model, &rows), &expected);
        let again = create(&config, &model.save().unwrap()).unwrap();
        assert_eq!(again.info().unwrap(), model.info().unwrap());
    }
}

/// However many rows come at once, and whatever the size of the batches, a row has one answer.
#[test]
fn batches_of_any_size_answer_row_by_row() {
    let (rows, _) = onnx_answers("perceptron");
    let rows: Vec<f32> = rows.iter().copied().cycle().take(77 * FEATURES).collect();
    let mut reference = create(&config(), &onnx_model("perceptron")).unwrap();
    let one_by_one: Vec<f32> = rows
        .chunks(FEATURES)
        .flat_map(|row| predicted(&mut reference, row))
        .collect();
    for (name, batch) in [
        ("perceptron", 1),
        ("perceptron", 8),
        ("perceptron", 1_024),
        ("perceptron_of_four_rows", 1_024),
    ] {
        let mut model = create(&config().with("batch_rows", batch), &onnx_model(name)).unwrap();
        for count in [1, 2, 3, 4, 5, 63, 77] {
            let found = predicted(&mut model, &rows[..count * FEATURES]);
            assert_close(&found, &one_by_one[..count * 3]);
        }
    }
}

#[test]
fn overlapping_windows_are_read_where_they_lie() {
    let mut model = create(&config(), &onnx_model("recurrent")).unwrap();
    let info = model.info().unwrap();
    assert_eq!((info.window, info.columns), (6, Some(FEATURES)));
    let steps: Vec<f32> = (0..10 * FEATURES)
        .map(|cell| (cell % 7) as f32 / 7.0)
        .collect();
    let mut sliding = vec![0.0; 5];
    let shape = FrameShape::sliding(5, 6, FEATURES, 1);
    model
        .predict(&mut Frame::new(&steps, &mut sliding, shape).unwrap())
        .unwrap();
    let apart: Vec<f32> = (0..5)
        .flat_map(|row| predicted(&mut model, &steps[row * FEATURES..(row + 6) * FEATURES]))
        .collect();
    assert_close(&sliding, &apart);
}

#[test]
fn one_log_odds_number_becomes_two_probabilities() {
    let file = onnx_model("log_odds");
    let two = config()
        .with("classes", vec!["down", "up"])
        .with("activation", "sigmoid");
    let mut model = create(&two, &file).unwrap();
    let (rows, log_odds) = onnx_answers("log_odds");
    let found = predicted(&mut model, &rows);
    for (found, log_odds) in found.chunks(2).zip(log_odds) {
        let up = 1.0 / (1.0 + (-log_odds).exp());
        assert_close(found, &[1.0 - up, up]);
    }
}

#[test]
fn missing_values_follow_the_policy() {
    let file = onnx_model("log_odds");
    let row = [0.5, f32::NAN, 0.25, -1.0];
    let filled = [0.5, 2.0, 0.25, -1.0];
    let mut passing = create(&config(), &file).unwrap();
    assert!(predicted(&mut passing, &row)[0].is_nan());
    let mut filling = create(&config().with("missing", "fill").with("fill", 2.0), &file).unwrap();
    assert_close(
        &predicted(&mut filling, &row),
        &predicted(&mut passing, &filled),
    );
    let mut refusing = create(&config().with("missing", "refuse"), &file).unwrap();
    let mut output = [0.0; 2];
    let rows = [filled, row].concat();
    let shape = FrameShape::dense(2, FEATURES, 1);
    let error = refusing.predict(&mut Frame::new(&rows, &mut output, shape).unwrap());
    assert_says(&error.unwrap_err(), Status::Data, &["row 1", "column 1"]);
    assert_close(
        &predicted(&mut refusing, &filled),
        &predicted(&mut passing, &filled),
    );
}

#[test]
fn every_mismatch_is_listed_before_the_first_row() {
    let wrong = config()
        .with("features", vec!["f0", "f9", "f2"])
        .with("classes", vec!["up", "flat", "down"])
        .with("window", 3)
        .with("output", "nothing");
    let error = refusal(&wrong, &onnx_model("perceptron"));
    assert_says(
        &error,
        Status::Config,
        &[
            "`features` has `f9` instead of `f1` at 1",
            "asks for the classes up, flat, down, the file is for the classes down, flat, up",
            "takes 4 features, `features` names 3",
            "takes single steps, `window` is 3",
            "`output` is `nothing`; the file has probabilities",
        ],
    );
    for (name, config, words) in [
        ("linear", config(), "nothing says what they are"),
        (
            "linear",
            config().with("classes", vec!["a", "b"]),
            "one for each of `classes` needs 2",
        ),
        ("linear_zipmap", config(), "zipmap=False"),
        (
            "linear",
            config().with("input", "Y"),
            "`input` is `Y`; the file has X",
        ),
        (
            "recurrent",
            config().with("window", 7),
            "takes 6 steps, `window` is 7",
        ),
        (
            "recurrent",
            config().with("task", "quantiles"),
            "`levels` is missing",
        ),
        (
            "log_odds",
            config().with("task", "classification"),
            "`classes` is missing",
        ),
        (
            "perceptron",
            config().with("outputs", vec!["only"]),
            "`outputs` names 1 answers, there are 3",
        ),
    ] {
        assert_says(
            &refusal(&config, &onnx_model(name)),
            Status::Config,
            &[words],
        );
    }
}

fn changed(name: &str, change: impl Fn(&mut ModelProto)) -> Vec<u8> {
    let mut model = ModelProto::decode(&*onnx_model(name)).unwrap();
    change(&mut model);
    model.encode_to_vec()
}

#[test]
fn damaged_files_and_files_with_others_are_refused() {
    let whole = onnx_model("perceptron");
    assert_says(
        &refusal(&config(), b""),
        Status::Data,
        &["there is no ONNX file"],
    );
    assert_says(
        &refusal(&config(), b"not a model"),
        Status::Data,
        &["not a whole ONNX file"],
    );
    for length in 1..whole.len() {
        let error = refusal(&config(), &whole[..length]);
        // Without the facts at its end it is whole, but says no longer what it is for.
        let is_bare = error.status() == Status::Config && error.message().contains("set `task`");
        assert!(
            is_bare || error.status() == Status::Data,
            "{length} bytes: {error}"
        );
    }
    let bare = onnx_model("recurrent");
    for length in 1..bare.len() {
        // Only what no operator of it needs may be missing.
        if let Ok(mut model) = create(&config(), &bare[..length]) {
            let (rows, expected) = onnx_answers("recurrent");
            assert_close(&predicted(&mut model, &rows), &expected);
        }
    }
    let external = changed("perceptron", |model| {
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        tensor.raw_data = Bytes::new();
        tensor.data_location = 1;
        tensor.external_data.push(StringStringEntryProto {
            key: "location".to_owned(),
            value: "../../etc/passwd".to_owned(),
        });
    });
    let words = ["weights in other files", "../../etc/passwd", "one file"];
    assert_says(&refusal(&config(), &external), Status::Unsupported, &words);
    let newer = changed("perceptron", |model| {
        model.opset_import = vec![OperatorSetIdProto {
            domain: String::new(),
            version: 9_999,
        }];
    });
    assert_says(
        &refusal(&config(), &newer),
        Status::Data,
        &["does not take this model"],
    );
    let foreign = changed("perceptron", |model| {
        model.graph.as_mut().unwrap().node[1].op_type = "NoSuchOperator".to_owned();
    });
    assert_says(
        &refusal(&config(), &foreign),
        Status::Data,
        &["NoSuchOperator"],
    );
    let misshapen = changed("perceptron", |model| {
        let weights = TensorProto::of_floats("w2", &[2, 3], &[0.0; 6]);
        model.graph.as_mut().unwrap().initializer[2] = weights;
    });
    assert!(create(&config(), &misshapen).is_err());
}

/// An answer for all rows together, or with the rows elsewhere, is no answer for each row.
#[test]
fn an_output_without_a_block_for_each_row_is_refused() {
    let sums = changed("log_odds", |model| {
        let graph = model.graph.as_mut().unwrap();
        graph.node[0].output[0] = "each".to_owned();
        let mut sum = fusebox_onnx_proto::node("ReduceMean", &["each"], &["log_odds"]);
        sum.attribute = fusebox_onnx_proto::Attributes::new()
            .int("keepdims", 1)
            .done();
        graph.node.push(sum);
    });
    let error = refusal(&config(), &sums);
    assert_says(
        &error,
        Status::Config,
        &["one block for each row", "[1, 1] for 2 rows"],
    );
}

#[test]
fn providers_that_do_not_work_here_are_passed_over() {
    let file = onnx_model("perceptron");
    let all = ["migraphx", "cuda", "tensorrt", "openvino", "cpu"];
    let mut model = create(&config().with("providers", all.to_vec()), &file).unwrap();
    let (rows, expected) = onnx_answers("perceptron");
    assert_close(&predicted(&mut model, &rows), &expected);
    let notes = model.info().unwrap().notes;
    // The pinned library is the one for processors.
    assert_eq!(notes["provider"], "cpu");
    assert_eq!(notes["providers_passed_over_total"], 4);
    for name in &all[..4] {
        let reason = notes[&format!("provider_{name}")].as_str().unwrap();
        assert!(!reason.is_empty(), "{name}");
    }
    let error = refusal(&config().with("providers", vec!["cuda"]), &file);
    assert_says(
        &error,
        Status::Library,
        &["no provider of `providers` works: cuda", "add `cpu`"],
    );
}

#[test]
fn a_probe_says_which_providers_work_without_a_model() {
    let probe = config()
        .with("probe", true)
        .with("providers", vec!["cuda", "cpu"]);
    let model = create(&probe, b"").unwrap();
    let notes = model.info().unwrap().notes;
    assert_eq!(notes["onnxruntime"], "1.28.0");
    assert_eq!(notes["probed"]["cpu"], "works");
    assert_ne!(notes["probed"]["cuda"], json!("works"));
}

#[test]
fn a_quiesced_model_has_no_threads_and_answers_nothing() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let mut model = create(
        &config().with("intra_threads", 3),
        &onnx_model("perceptron"),
    )
    .unwrap();
    let (rows, expected) = onnx_answers("perceptron");
    assert_close(&predicted(&mut model, &rows), &expected);
    let named = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks.filter_map(|task| name(task).ok()).collect::<Vec<_>>()
    };
    let before = threads();
    model.quiesce(0).unwrap();
    model.quiesce(0).unwrap();
    // Other tests run beside this one, so only what went away is certain.
    assert!(threads() < before + 2, "{:?}", named());
    let mut output = vec![0.0; expected.len()];
    let shape = FrameShape::dense(9, FEATURES, 3);
    let error = model.predict(&mut Frame::new(&rows, &mut output, shape).unwrap());
    assert_says(&error.unwrap_err(), Status::State, &["quiesced"]);
}

#[test]
fn the_file_is_handed_out_again_where_it_is_old_enough() {
    let model = create(&config(), &onnx_model("perceptron")).unwrap();
    let export = model.onnx_export().unwrap();
    assert_eq!(export.to_onnx(17).unwrap(), onnx_model("perceptron"));
    assert_says(
        &export.to_onnx(15).unwrap_err(),
        Status::Unsupported,
        &["17", "15"],
    );
}

#[test]
fn frames_of_another_shape_are_refused() {
    let mut model = create(&config(), &onnx_model("perceptron")).unwrap();
    let mut output = [0.0; 3];
    let shape = FrameShape::dense(1, 3, 3);
    let error = model.predict(&mut Frame::new(&[0.0; 3], &mut output, shape).unwrap());
    assert_eq!(error.unwrap_err().status(), Status::Argument);
}
