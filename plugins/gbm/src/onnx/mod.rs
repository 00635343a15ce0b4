//! A model as an ONNX file that any ONNX Runtime answers with the library's leaves.
//!
//! | file | what it does |
//! |---|---|
//! | `prepare` | what rows go through first: zeros that are missing, sets of categories |
//! | `ensemble` | the trees as one `TreeEnsembleRegressor` |
//! | `link` | the sums of leaves as answers |
//!
//! ONNX compares f32 with f32 where the library compares with an f64 threshold. The flat trees have
//! thresholds rounded towards minus infinity, with which an f32 compares as with the library's own,
//! so no row takes another branch. Rounding to the nearest, as `onnxmltools` does, lets rows flip.
//! Leaves of LightGBM are added in f64, as LightGBM adds them; those of XGBoost in f32.
//!
//! The input is one tensor `features`, f32 `[rows, features]`; the output one f32 tensor
//! `[rows, outputs]` with the columns and the order of the model's info: no sequence of maps. Only
//! operators of opset 13 to 17 and `ai.onnx.ml` 1 or 3 are used, which every runtime since 2022
//! knows. Whatever flat trees cannot hold is refused as unsupported.

mod ensemble;
mod link;
mod prepare;
#[cfg(test)]
mod tests;

use fusebox_onnx_proto::{
    GraphProto, Message, ModelProto, OperatorSetIdProto, StringStringEntryProto, real_input,
};
use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Header};
use crate::booster::Booster;
use crate::flat::Forest;
use crate::model::GbmModel;

/// Name of the input.
const INPUT: &str = "features";
/// Operator set of trees.
const ML_DOMAIN: &str = "ai.onnx.ml";
/// Oldest standard operator set in which the operators that are used mean what is meant here.
const OLDEST_OPSET: u32 = 13;
/// The one written where more is allowed: newer ones add nothing for trees.
const USUAL_OPSET: u32 = 17;
/// From here on runtimes know the trees of `ai.onnx.ml` 3, which take f64 numbers.
const OPSET_WITH_DOUBLES: u32 = 16;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// Thresholds, leaves and sums in f32.
    Single,
    /// In f64.
    Double,
}

/// What is added up.
struct Sums<'a> {
    /// What the sums are before the first tree; empty for zeros.
    base: &'a [f32],
    /// How many sums there are.
    outputs: usize,
    /// For a tree, the number of a leaf and its value: to which sum it adds what.
    leaf: &'a dyn Fn(usize, usize, f64) -> (usize, f64),
}

impl OnnxExport for GbmModel {
    fn to_onnx(&self, opset: u32) -> Result<Vec<u8>> {
        let (header, texts) = artifact::read(self.artifact())?;
        let forest = Booster::of_artifact(&header.library)?.flat(&texts);
        let forest = forest.map_err(|error| match error.status() {
            Status::Unsupported => PluginError::unsupported(format!(
                "writing this model as ONNX: {} cannot be expressed",
                error.message()
            )),
            _ => error,
        })?;
        let info = self.info()?;
        let mut model = model(&forest, &header.task, opset)?;
        model.metadata_props = metadata(&header, &info)?;
        Ok(model.encode_to_vec())
    }
}

/// The model as it answers.
fn model(forest: &Forest, task: &Task, opset: u32) -> Result<ModelProto> {
    let (outputs, base) = (forest.outputs(), forest.single_base().unwrap_or_default());
    let leaf = |tree: usize, _: usize, value: f64| (tree % outputs, value);
    let mut model = trees(
        forest,
        opset,
        &Sums {
            base,
            outputs,
            leaf: &leaf,
        },
    )?;
    if let Some(graph) = &mut model.graph {
        link::write(forest, task, graph)?;
    }
    Ok(model)
}

/// The trees with what comes before them, and no output yet.
fn trees(forest: &Forest, opset: u32, sums: &Sums<'_>) -> Result<ModelProto> {
    if opset < OLDEST_OPSET {
        return Err(PluginError::unsupported(format!(
            "ONNX with operator set {opset}; the oldest that a model can be written for is \
             {OLDEST_OPSET}"
        )));
    }
    let opset = opset.min(USUAL_OPSET);
    let width = match forest.single_base() {
        None if opset >= OPSET_WITH_DOUBLES => Width::Double,
        _ => Width::Single,
    };
    let mut graph = GraphProto {
        name: "trees".to_owned(),
        input: vec![real_input(INPUT, forest.columns())],
        ..GraphProto::default()
    };
    let prepared = prepare::write(forest, &mut graph)?;
    ensemble::write(forest, &prepared, (width, sums), &mut graph);
    let version = |domain: &str, version: u32| OperatorSetIdProto {
        domain: domain.to_owned(),
        version: version.into(),
    };
    Ok(ModelProto {
        // The version of the format that came with the operator set, for old readers.
        ir_version: if opset >= 15 { 8 } else { 7 },
        producer_name: "fusebox-gbm".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        domain: "ai.fusebox".to_owned(),
        graph: Some(graph),
        opset_import: vec![
            version("", opset),
            version(ML_DOMAIN, if opset >= OPSET_WITH_DOUBLES { 3 } else { 1 }),
        ],
        ..ModelProto::default()
    })
}

/// Facts that a reader checks rows and answers against; lists and objects as JSON.
fn metadata(header: &Header, info: &ModelInfo) -> Result<Vec<StringStringEntryProto>> {
    let mut entries = vec![
        ("fusebox.features", serde_json::to_string(&header.features)?),
        ("fusebox.outputs", serde_json::to_string(&info.outputs)?),
        ("fusebox.task", serde_json::to_string(&header.task)?),
        ("fusebox.label", header.label.clone()),
        ("fusebox.library", header.library.clone()),
        ("fusebox.seed", header.seed.to_string()),
        ("fusebox.training_rows", header.training_rows.to_string()),
        ("fusebox.iterations", header.iterations.to_string()),
    ];
    if let Task::Classification { classes } = &header.task {
        entries.push(("fusebox.classes", serde_json::to_string(classes)?));
    }
    let entry = |(key, value): (&str, String)| StringStringEntryProto {
        key: key.to_owned(),
        value,
    };
    Ok(entries.into_iter().map(entry).collect())
}
