//! The contract itself: the Rust side against the header, the dataset against arrow-rs.
#![allow(
    unsafe_code,
    reason = "hands C structs from one Arrow implementation to the other"
)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::mem::offset_of;
use std::process::Command;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::types::{Float32Type, TimestampNanosecondType, UInt8Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch,
    RecordBatchIterator, RecordBatchReader, TimestampNanosecondArray, UInt8Array, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use fusebox_loader::generation::sha256_hex;
use fusebox_plugin_api::abi::{
    ArrowArray, ArrowArrayStream, ArrowSchema, fb_buf, fb_entry, fb_env_reset, fb_env_spec,
    fb_env_step, fb_env_vt, fb_error, fb_explain_vt, fb_fit_request, fb_frame, fb_host,
    fb_incremental_vt, fb_learner_vt, fb_metric, fb_model_vt, fb_onnx_export_vt, fb_progress,
    fb_quantiles_vt, fb_sink, fb_space, fb_str,
};
use fusebox_plugin_api::arrow::{OutgoingStream, import};
use fusebox_plugin_api::env::Space;
use fusebox_plugin_api::error::Status;
use fusebox_plugin_api::model::{InputShape, Task};
use fusebox_plugin_api::params::ParamSpec;
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};
use fusebox_tests::fixtures::{compile_and_run, include_dir, project_root};

type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

fn layout(name: &'static str, size: usize, fields: &[(&'static str, usize)]) -> Layout {
    (name, size, fields.to_vec())
}

/// Every struct of the header as the Rust side lays it out, fields in the order of the header.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a list, one line per field")]
fn rust_layouts() -> Vec<Layout> {
    vec![
        layout(
            "fb_str", size_of::<fb_str>(),
            &[
                ("ptr", offset_of!(fb_str, ptr)),
                ("len", offset_of!(fb_str, len)),
            ],
        ),
        layout(
            "fb_buf", size_of::<fb_buf>(),
            &[
                ("ptr", offset_of!(fb_buf, ptr)),
                ("len", offset_of!(fb_buf, len)),
            ],
        ),
        layout(
            "fb_error", size_of::<fb_error>(),
            &[
                ("size", offset_of!(fb_error, size)),
                ("code", offset_of!(fb_error, code)),
                ("length", offset_of!(fb_error, length)),
                ("reserved", offset_of!(fb_error, reserved)),
                ("message", offset_of!(fb_error, message)),
            ],
        ),
        layout(
            "fb_sink", size_of::<fb_sink>(),
            &[
                ("size", offset_of!(fb_sink, size)),
                ("reserved", offset_of!(fb_sink, reserved)),
                ("ctx", offset_of!(fb_sink, ctx)),
                ("write", offset_of!(fb_sink, write)),
            ],
        ),
        layout(
            "ArrowSchema", size_of::<ArrowSchema>(),
            &[
                ("format", offset_of!(ArrowSchema, format)),
                ("name", offset_of!(ArrowSchema, name)),
                ("metadata", offset_of!(ArrowSchema, metadata)),
                ("flags", offset_of!(ArrowSchema, flags)),
                ("n_children", offset_of!(ArrowSchema, n_children)),
                ("children", offset_of!(ArrowSchema, children)),
                ("dictionary", offset_of!(ArrowSchema, dictionary)),
                ("release", offset_of!(ArrowSchema, release)),
                ("private_data", offset_of!(ArrowSchema, private_data)),
            ],
        ),
        layout(
            "ArrowArray", size_of::<ArrowArray>(),
            &[
                ("length", offset_of!(ArrowArray, length)),
                ("null_count", offset_of!(ArrowArray, null_count)),
                ("offset", offset_of!(ArrowArray, offset)),
                ("n_buffers", offset_of!(ArrowArray, n_buffers)),
                ("n_children", offset_of!(ArrowArray, n_children)),
                ("buffers", offset_of!(ArrowArray, buffers)),
                ("children", offset_of!(ArrowArray, children)),
                ("dictionary", offset_of!(ArrowArray, dictionary)),
                ("release", offset_of!(ArrowArray, release)),
                ("private_data", offset_of!(ArrowArray, private_data)),
            ],
        ),
        layout(
            "ArrowArrayStream", size_of::<ArrowArrayStream>(),
            &[
                ("get_schema", offset_of!(ArrowArrayStream, get_schema)),
                ("get_next", offset_of!(ArrowArrayStream, get_next)),
                ("get_last_error", offset_of!(ArrowArrayStream, get_last_error)),
                ("release", offset_of!(ArrowArrayStream, release)),
                ("private_data", offset_of!(ArrowArrayStream, private_data)),
            ],
        ),
        layout(
            "fb_host", size_of::<fb_host>(),
            &[
                ("size", offset_of!(fb_host, size)),
                ("abi_major", offset_of!(fb_host, abi_major)),
                ("abi_minor", offset_of!(fb_host, abi_minor)),
                ("generation", offset_of!(fb_host, generation)),
                ("ctx", offset_of!(fb_host, ctx)),
                ("log", offset_of!(fb_host, log)),
                ("get_extension", offset_of!(fb_host, get_extension)),
            ],
        ),
        layout(
            "fb_frame", size_of::<fb_frame>(),
            &[
                ("size", offset_of!(fb_frame, size)),
                ("flags", offset_of!(fb_frame, flags)),
                ("event_ns", offset_of!(fb_frame, event_ns)),
                ("deadline_ns", offset_of!(fb_frame, deadline_ns)),
                ("rows", offset_of!(fb_frame, rows)),
                ("window", offset_of!(fb_frame, window)),
                ("cols", offset_of!(fb_frame, cols)),
                ("row_stride", offset_of!(fb_frame, row_stride)),
                ("step_stride", offset_of!(fb_frame, step_stride)),
                ("input", offset_of!(fb_frame, input)),
                ("output_cols", offset_of!(fb_frame, output_cols)),
                ("output_stride", offset_of!(fb_frame, output_stride)),
                ("output", offset_of!(fb_frame, output)),
                ("row_event_ns", offset_of!(fb_frame, row_event_ns)),
                ("symbols", offset_of!(fb_frame, symbols)),
            ],
        ),
        layout(
            "fb_model_vt", size_of::<fb_model_vt>(),
            &[
                ("size", offset_of!(fb_model_vt, size)),
                ("flags", offset_of!(fb_model_vt, flags)),
                ("create", offset_of!(fb_model_vt, create)),
                ("info", offset_of!(fb_model_vt, info)),
                ("warmup", offset_of!(fb_model_vt, warmup)),
                ("predict", offset_of!(fb_model_vt, predict)),
                ("save", offset_of!(fb_model_vt, save)),
                ("snapshot", offset_of!(fb_model_vt, snapshot)),
                ("restore", offset_of!(fb_model_vt, restore)),
                ("quiesce", offset_of!(fb_model_vt, quiesce)),
                ("destroy", offset_of!(fb_model_vt, destroy)),
                ("get_extension", offset_of!(fb_model_vt, get_extension)),
            ],
        ),
        layout(
            "fb_space", size_of::<fb_space>(),
            &[
                ("size", offset_of!(fb_space, size)),
                ("kind", offset_of!(fb_space, kind)),
                ("rank", offset_of!(fb_space, rank)),
                ("elements", offset_of!(fb_space, elements)),
                ("shape", offset_of!(fb_space, shape)),
                ("low", offset_of!(fb_space, low)),
                ("high", offset_of!(fb_space, high)),
                ("counts", offset_of!(fb_space, counts)),
                ("start", offset_of!(fb_space, start)),
            ],
        ),
        layout(
            "fb_env_spec", size_of::<fb_env_spec>(),
            &[
                ("size", offset_of!(fb_env_spec, size)),
                ("autoreset", offset_of!(fb_env_spec, autoreset)),
                ("n_envs", offset_of!(fb_env_spec, n_envs)),
                ("observation", offset_of!(fb_env_spec, observation)),
                ("action", offset_of!(fb_env_spec, action)),
                ("info_names", offset_of!(fb_env_spec, info_names)),
                ("info_count", offset_of!(fb_env_spec, info_count)),
                ("reward_low", offset_of!(fb_env_spec, reward_low)),
                ("reward_high", offset_of!(fb_env_spec, reward_high)),
                ("max_episode_steps", offset_of!(fb_env_spec, max_episode_steps)),
                ("flags", offset_of!(fb_env_spec, flags)),
                ("reserved", offset_of!(fb_env_spec, reserved)),
            ],
        ),
        layout(
            "fb_env_reset", size_of::<fb_env_reset>(),
            &[
                ("size", offset_of!(fb_env_reset, size)),
                ("reserved", offset_of!(fb_env_reset, reserved)),
                ("seeds", offset_of!(fb_env_reset, seeds)),
                ("mask", offset_of!(fb_env_reset, mask)),
                ("observations", offset_of!(fb_env_reset, observations)),
                ("action_mask", offset_of!(fb_env_reset, action_mask)),
            ],
        ),
        layout(
            "fb_env_step", size_of::<fb_env_step>(),
            &[
                ("size", offset_of!(fb_env_step, size)),
                ("reserved", offset_of!(fb_env_step, reserved)),
                ("actions", offset_of!(fb_env_step, actions)),
                ("discrete_actions", offset_of!(fb_env_step, discrete_actions)),
                ("observations", offset_of!(fb_env_step, observations)),
                ("rewards", offset_of!(fb_env_step, rewards)),
                ("terminated", offset_of!(fb_env_step, terminated)),
                ("truncated", offset_of!(fb_env_step, truncated)),
                ("final_observations", offset_of!(fb_env_step, final_observations)),
                ("infos", offset_of!(fb_env_step, infos)),
                ("action_mask", offset_of!(fb_env_step, action_mask)),
            ],
        ),
        layout(
            "fb_env_vt", size_of::<fb_env_vt>(),
            &[
                ("size", offset_of!(fb_env_vt, size)),
                ("flags", offset_of!(fb_env_vt, flags)),
                ("describe", offset_of!(fb_env_vt, describe)),
                ("reset", offset_of!(fb_env_vt, reset)),
                ("step", offset_of!(fb_env_vt, step)),
                ("close", offset_of!(fb_env_vt, close)),
            ],
        ),
        layout(
            "fb_metric", size_of::<fb_metric>(),
            &[
                ("name", offset_of!(fb_metric, name)),
                ("value", offset_of!(fb_metric, value)),
            ],
        ),
        layout(
            "fb_progress", size_of::<fb_progress>(),
            &[
                ("size", offset_of!(fb_progress, size)),
                ("reserved", offset_of!(fb_progress, reserved)),
                ("ctx", offset_of!(fb_progress, ctx)),
                ("report", offset_of!(fb_progress, report)),
                ("cancelled", offset_of!(fb_progress, cancelled)),
                ("checkpoint", offset_of!(fb_progress, checkpoint)),
            ],
        ),
        layout(
            "fb_fit_request", size_of::<fb_fit_request>(),
            &[
                ("size", offset_of!(fb_fit_request, size)),
                ("flags", offset_of!(fb_fit_request, flags)),
                ("seed", offset_of!(fb_fit_request, seed)),
                ("max_threads", offset_of!(fb_fit_request, max_threads)),
                ("reserved", offset_of!(fb_fit_request, reserved)),
                ("task_json", offset_of!(fb_fit_request, task_json)),
                ("config_json", offset_of!(fb_fit_request, config_json)),
                ("train", offset_of!(fb_fit_request, train)),
                ("valid", offset_of!(fb_fit_request, valid)),
                ("env_vt", offset_of!(fb_fit_request, env_vt)),
                ("env", offset_of!(fb_fit_request, env)),
                ("progress", offset_of!(fb_fit_request, progress)),
                ("checkpoint", offset_of!(fb_fit_request, checkpoint)),
            ],
        ),
        layout(
            "fb_learner_vt", size_of::<fb_learner_vt>(),
            &[
                ("size", offset_of!(fb_learner_vt, size)),
                ("flags", offset_of!(fb_learner_vt, flags)),
                ("describe", offset_of!(fb_learner_vt, describe)),
                ("fit", offset_of!(fb_learner_vt, fit)),
                ("get_extension", offset_of!(fb_learner_vt, get_extension)),
            ],
        ),
        layout(
            "fb_explain_vt", size_of::<fb_explain_vt>(),
            &[
                ("size", offset_of!(fb_explain_vt, size)),
                ("flags", offset_of!(fb_explain_vt, flags)),
                ("kinds", offset_of!(fb_explain_vt, kinds)),
                ("importance", offset_of!(fb_explain_vt, importance)),
                ("contributions", offset_of!(fb_explain_vt, contributions)),
            ],
        ),
        layout(
            "fb_incremental_vt", size_of::<fb_incremental_vt>(),
            &[
                ("size", offset_of!(fb_incremental_vt, size)),
                ("flags", offset_of!(fb_incremental_vt, flags)),
                ("update", offset_of!(fb_incremental_vt, update)),
            ],
        ),
        layout(
            "fb_quantiles_vt", size_of::<fb_quantiles_vt>(),
            &[
                ("size", offset_of!(fb_quantiles_vt, size)),
                ("flags", offset_of!(fb_quantiles_vt, flags)),
                ("levels", offset_of!(fb_quantiles_vt, levels)),
            ],
        ),
        layout(
            "fb_onnx_export_vt", size_of::<fb_onnx_export_vt>(),
            &[
                ("size", offset_of!(fb_onnx_export_vt, size)),
                ("flags", offset_of!(fb_onnx_export_vt, flags)),
                ("write_onnx", offset_of!(fb_onnx_export_vt, write_onnx)),
            ],
        ),
        layout(
            "fb_entry", size_of::<fb_entry>(),
            &[
                ("size", offset_of!(fb_entry, size)),
                ("abi_major", offset_of!(fb_entry, abi_major)),
                ("abi_minor", offset_of!(fb_entry, abi_minor)),
                ("id", offset_of!(fb_entry, id)),
                ("version", offset_of!(fb_entry, version)),
                ("sdk", offset_of!(fb_entry, sdk)),
                ("caps", offset_of!(fb_entry, caps)),
                ("get_factory", offset_of!(fb_entry, get_factory)),
            ],
        ),
    ]
}

/// The structs of the header with their fields in order, read from its text.
fn header_structs() -> BTreeMap<String, Vec<String>> {
    let header = fs::read_to_string(include_dir().join("fusebox_plugin.h")).unwrap();
    let mut text = String::new();
    for part in header.split("/*") {
        text.push_str(part.split_once("*/").map_or(part, |(_, code)| code));
    }
    let mut structs = BTreeMap::new();
    for part in text.split("\n}") {
        // What ends with a closing brace in the first column began with the last opening line.
        let Some((before, body)) = part.rsplit_once(" {\n") else {
            continue;
        };
        let (keyword, name) = before.rsplit_once(' ').unwrap();
        if !keyword.ends_with("struct") {
            continue;
        }
        // A field ends with its name, with an array length or with the parameters of a function.
        let fields = body
            .split(';')
            .map(str::trim)
            .filter(|field| !field.is_empty());
        let fields = fields.map(|field| match field.split_once("(*") {
            Some((_, function)) => function.split(')').next().unwrap().to_owned(),
            None => {
                let name = field.split('[').next().unwrap();
                name.rsplit([' ', '*']).next().unwrap().to_owned()
            }
        });
        structs.insert(name.to_owned(), fields.collect());
    }
    structs
}

#[test]
fn every_field_of_the_header_is_where_the_rust_side_expects_it() {
    let mut program =
        "#include <stdio.h>\n#include \"fusebox_plugin.h\"\nint main(void) {\n".to_owned();
    let mut expected = String::new();
    let mut listed = BTreeMap::new();
    for (name, size, fields) in rust_layouts() {
        let c_name = if name.starts_with("fb_") {
            name.to_owned()
        } else {
            format!("struct {name}")
        };
        program += &format!("printf(\"{name} %zu\\n\", sizeof({c_name}));\n");
        expected += &format!("{name} {size}\n");
        for (field, offset) in &fields {
            program +=
                &format!("printf(\"{name}.{field} %zu\\n\", offsetof({c_name}, {field}));\n");
            expected += &format!("{name}.{field} {offset}\n");
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(field, _)| (*field).to_owned())
            .collect();
        listed.insert(name.to_owned(), fields);
    }
    program += "return 0;\n}\n";
    assert_eq!(
        listed,
        header_structs(),
        "the list in this test must name every field"
    );
    assert_eq!(compile_and_run("layout.c", &program), expected);
    assert_eq!(compile_and_run("layout.cpp", &program), expected);
}

#[test]
fn status_codes_are_those_of_the_header() {
    let header = fs::read_to_string(include_dir().join("fusebox_plugin.h")).unwrap();
    for status in Status::ALL {
        let line = format!("#define FB_{} ({})", status.name(), status.code());
        assert!(header.contains(&line), "{line}");
    }
}

#[test]
fn the_contract_is_the_one_the_readme_froze() {
    let root = project_root().join("plugin-api");
    let mut bytes = fs::read(root.join("include/fusebox_plugin.h")).unwrap();
    bytes.extend(fs::read(root.join("src/abi.rs")).unwrap());
    let digest = sha256_hex(&bytes);
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(
        readme.contains(&digest),
        "the header or abi.rs changed. Version 1 is frozen: structs may only grow at their end, \
         and only with a new minor version. If the change keeps to that (or is a comment), write \
         this digest into plugin-api/README.md: {digest}"
    );
}

/// The JSON objects in the comment of the header that describes them, `?` marks removed.
fn header_json() -> Vec<serde_json::Value> {
    let header = project_root().join("plugin-api/include/fusebox_plugin.h");
    let header = fs::read_to_string(header).unwrap().replace("\"?:", "\":");
    let begin = header.find("/* ---- JSON").unwrap();
    let text = &header[begin..begin + header[begin..].find("*/").unwrap()];
    let text = text.replace("\n *", "\n");
    let objects = text.match_indices('{').filter_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter();
        values.next()?.ok()
    });
    objects.collect()
}

#[test]
fn the_json_that_the_header_shows_is_the_json_that_the_host_reads() {
    let mut read = BTreeMap::<&str, usize>::new();
    for object in header_json() {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let (what, result) = match kind.as_str() {
            "classification" | "regression" | "quantiles" | "policy" => {
                ("task", serde_json::from_value::<Task>(object).err())
            }
            "box" | "discrete" | "multi_discrete" => {
                ("space", serde_json::from_value::<Space>(object).err())
            }
            "row" | "window" => ("input", serde_json::from_value::<InputShape>(object).err()),
            _ if object["type"].is_string() => {
                ("param", serde_json::from_value::<ParamSpec>(object).err())
            }
            _ => continue,
        };
        assert!(result.is_none(), "{what}: {result:?}");
        *read.entry(what).or_default() += 1;
    }
    let expected = [("input", 2), ("param", 5), ("space", 2), ("task", 3)];
    assert_eq!(read, expected.into());
}

fn dataset() -> (Dataset, BatchColumns) {
    let schema = DatasetSchema {
        features: vec!["return_1".to_owned(), "rsi_14".to_owned()],
        labels: vec!["direction_4".to_owned(), "direction_12".to_owned()],
        classes: vec!["down".to_owned(), "flat".to_owned(), "up".to_owned()],
    };
    let columns = BatchColumns {
        features: (0..20).map(|i| i as f32 / 4.0).collect::<Vec<_>>().into(),
        labels: (0..20).map(|i| (i % 3) as f32).collect::<Vec<_>>().into(),
        weight: (0..10).map(|i| i as f32).collect::<Vec<_>>().into(),
        event_ns: (100..110).collect::<Vec<i64>>().into(),
        label_end_ns: (200..210).collect::<Vec<i64>>().into(),
        symbol: (0..10).map(|i| i / 5).collect::<Vec<u32>>().into(),
        segment: (0..10).map(|i| i / 2).collect::<Vec<u32>>().into(),
        role: (0..10).map(|i| u8::from(i > 1)).collect::<Vec<u8>>().into(),
    };
    let part = |range| DatasetBatch::new(&schema, columns.slice(range, 2, 2).unwrap()).unwrap();
    let batches = vec![part(0..4), part(4..10)];
    (Dataset::new(schema.clone(), batches).unwrap(), columns)
}

#[test]
fn arrow_rs_reads_our_stream_without_a_copy() {
    let (dataset, columns) = dataset();
    let mut stream = OutgoingStream::new(dataset);
    // SAFETY: the stream is live; it is moved, and ours sees its release callback gone.
    let foreign = unsafe { FFI_ArrowArrayStream::from_raw(stream.as_mut_ptr().cast()) };
    drop(stream);
    let reader = RecordBatchStreamReader::try_new(foreign).unwrap();
    let schema = reader.schema();
    assert_eq!(schema.metadata()["fusebox.schema"], "1");
    assert_eq!(
        schema.metadata()["fusebox.features"],
        r#"["return_1","rsi_14"]"#
    );
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(
        batches
            .iter()
            .map(RecordBatch::num_rows)
            .collect::<Vec<_>>(),
        [4, 6]
    );
    for batch in &batches {
        for column in batch.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    let second = &batches[1];
    let features = second["features"].as_fixed_size_list();
    let values = features.values().as_primitive::<Float32Type>().values();
    assert_eq!(
        values.as_ptr(),
        columns.features[8..].as_ptr(),
        "the matrix is not copied"
    );
    assert_eq!(&values[..], &columns.features[8..]);
    let labels = second["labels"].as_fixed_size_list();
    assert_eq!(
        labels.value(0).as_primitive::<Float32Type>().values()[..],
        columns.labels[8..10]
    );
    let times = second["event_ns"].as_primitive::<TimestampNanosecondType>();
    assert_eq!(times.values()[..], columns.event_ns[4..]);
    let timestamp = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    assert_eq!(times.data_type(), &timestamp);
    assert_eq!(
        second["symbol"].as_primitive::<UInt32Type>().values()[..],
        columns.symbol[4..]
    );
    assert_eq!(
        second["role"].as_primitive::<UInt8Type>().values()[..],
        columns.role[4..]
    );
}

/// A dataset as another Arrow producer would write it: other field order, an unknown field.
fn foreign_batch(rows: usize) -> RecordBatch {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let list = |width: usize| -> ArrayRef {
        let values = Float32Array::from_iter_values((0..rows * width).map(|i| i as f32));
        let values = Arc::new(values);
        Arc::new(FixedSizeListArray::new(
            Arc::clone(&item),
            width as i32,
            values,
            None,
        ))
    };
    let times = |first: i64| -> ArrayRef {
        let values = (0..rows as i64).map(|i| first + i);
        Arc::new(TimestampNanosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("role", Arc::new(UInt8Array::from(vec![1; rows]))),
        ("later", Arc::new(Int64Array::from(vec![9; rows]))),
        ("labels", list(1)),
        ("features", list(3)),
        ("weight", Arc::new(Float32Array::from(vec![1.0; rows]))),
        ("event_ns", times(1000)),
        ("label_end_ns", times(2000)),
        ("symbol", Arc::new(UInt32Array::from(vec![4; rows]))),
        ("segment", Arc::new(UInt32Array::from(vec![5; rows]))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let metadata = [
        ("fusebox.schema", "1"),
        ("fusebox.features", r#"["a","b","c"]"#),
        ("fusebox.labels", r#"["next"]"#),
        ("fusebox.classes", "[]"),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let schema = Schema::new_with_metadata(fields, HashMap::from(metadata));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn import_foreign(batches: Vec<RecordBatch>) -> fusebox_plugin_api::error::Result<Dataset> {
    let schema = batches[0].schema();
    let reader = RecordBatchIterator::new(batches.into_iter().map(Ok), schema);
    let mut stream = FFI_ArrowArrayStream::new(Box::new(reader));
    // SAFETY: the stream is live, and arrow-rs keeps the rules of the interface.
    unsafe { import((&raw mut stream).cast()) }
}

#[test]
fn we_read_the_streams_of_arrow_rs_slices_included() {
    let batch = foreign_batch(6);
    let matrix = batch["features"]
        .as_fixed_size_list()
        .values()
        .to_data()
        .buffers()[0]
        .as_ptr();
    let dataset = import_foreign(vec![batch.clone(), batch.slice(2, 3)]).unwrap();
    drop(batch);
    assert_eq!(dataset.schema().features, ["a", "b", "c"]);
    assert_eq!(
        dataset.batches()[0].view().features.as_ptr().cast(),
        matrix,
        "nothing is copied"
    );
    let sliced = dataset.batches()[1].view();
    assert_eq!(
        sliced.features,
        (6..15).map(|i| i as f32).collect::<Vec<_>>()
    );
    assert_eq!(sliced.labels, [2.0, 3.0, 4.0]);
    assert_eq!(sliced.event_ns, [1002, 1003, 1004]);
    assert_eq!(
        (sliced.symbol, sliced.segment, sliced.role),
        (&[4; 3][..], &[5; 3][..], &[1; 3][..])
    );
}

#[test]
fn nulls_of_arrow_rs_are_refused() {
    let batch = foreign_batch(3);
    let mut columns = batch.columns().to_vec();
    columns[4] = Arc::new(Float32Array::from(vec![Some(1.0), None, Some(1.0)]));
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    let schema = Schema::new_with_metadata(fields, batch.schema().metadata().clone());
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let error = import_foreign(vec![batch]).unwrap_err();
    assert!(
        error
            .message()
            .contains("dataset batch 0: a column has nulls"),
        "{error}"
    );
}

#[test]
fn the_header_stands_alone_in_c_and_cpp() {
    for (compiler, standard) in [("gcc", "-std=c11"), ("g++", "-std=c++17")] {
        let header = include_dir().join("fusebox_plugin.h");
        let language = if compiler == "gcc" { "c" } else { "c++" };
        let mut command = Command::new(compiler);
        command.args([
            standard,
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            "-x",
        ]);
        fusebox_tests::fixtures::run(command.arg(language).arg(header));
    }
}
