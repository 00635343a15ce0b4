//! What an ONNX file says of itself, read without the runtime.
//!
//! A file that was cut off is refused here, with words that say so. So is one that keeps weights in
//! other files: the runtime would look for them in the working directory, which is nobody's
//! business.

use std::collections::BTreeMap;

use fusebox_onnx_proto::{
    AttributeProto, Bytes, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, node, real_input,
};
use fusebox_plugin_api::prelude::*;

/// What `data_location` is where the elements are in another file.
const EXTERNAL: i32 = 1;

/// Most characters of a fact that a message shows.
const MOST_SHOWN: usize = 80;
/// What to do where facts are wrong.
pub(crate) const ADVICE: &str = "export the model again, or take the entry out of the file and say \
                                 it in the configuration";

/// An ONNX file that is whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct OnnxFile {
    /// Its facts.
    metadata: BTreeMap<String, String>,
    /// What wrote it, with its version.
    pub(crate) producer: String,
    /// The version of the standard operator set that it uses.
    pub(crate) opset: Option<i64>,
}

impl OnnxFile {
    /// Reads `bytes`.
    ///
    /// # Errors
    /// `E_DATA` where they are no whole ONNX file, `E_UNSUPPORTED` for weights in other files.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(PluginError::data(
                "there is no ONNX file; a model needs one as its artifact",
            ));
        }
        let damaged = |words: &str| {
            PluginError::data(format!(
                "this is not a whole ONNX file ({words}); export or copy it again"
            ))
        };
        // Weights stay where they are.
        let bytes = Bytes::copy_from_slice(bytes);
        let model = ModelProto::decode(bytes).map_err(|error| damaged(&error.to_string()))?;
        let Some(graph) = &model.graph else {
            return Err(damaged("it has no graph"));
        };
        if model.ir_version == 0 || model.opset_import.is_empty() {
            return Err(damaged("it does not say its version or its operator sets"));
        }
        if graph.output.is_empty() {
            return Err(damaged("it has no output"));
        }
        let mut external = Vec::new();
        in_graph(graph, &mut external);
        let functions = model.functions.iter().flat_map(|function| &function.node);
        functions.for_each(|node| in_node(node, &mut external));
        if let Some((name, place)) = external.first() {
            let count = external.len();
            return Err(PluginError::unsupported(format!(
                "weights in other files: {count} tensors, such as `{name}` in `{place}`; a model \
                 must be one file, so save it without external data"
            )));
        }
        let facts = model.metadata_props.iter();
        Ok(Self {
            metadata: facts
                .map(|fact| (fact.key.clone(), fact.value.clone()))
                .collect(),
            producer: format!("{} {}", model.producer_name, model.producer_version)
                .trim()
                .to_owned(),
            opset: model
                .opset_import
                .iter()
                .find(|one| one.domain.is_empty() || one.domain == "ai.onnx")
                .map(|one| one.version),
        })
    }

    /// The fact of this name.
    pub(crate) fn fact(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The fact of this name, which is JSON.
    ///
    /// # Errors
    /// A sentence where it is something else.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
    ) -> std::result::Result<Option<T>, String> {
        let Some(text) = self.fact(key) else {
            return Ok(None);
        };
        serde_json::from_str(text).map(Some).map_err(|error| {
            format!(
                "its metadata `{key}` is `{}`, which is not what belongs there ({error}); {ADVICE}",
                text.chars().take(MOST_SHOWN).collect::<String>()
            )
        })
    }
}

/// Names of tensors with the file that has their elements.
type External = Vec<(String, String)>;

fn in_graph(graph: &GraphProto, found: &mut External) {
    graph
        .initializer
        .iter()
        .for_each(|tensor| in_tensor(tensor, found));
    let sparse = graph.sparse_initializer.iter();
    let parts = sparse.flat_map(|sparse| [&sparse.values, &sparse.indices]);
    parts.flatten().for_each(|tensor| in_tensor(tensor, found));
    graph.node.iter().for_each(|node| in_node(node, found));
}

fn in_node(node: &NodeProto, found: &mut External) {
    node.attribute
        .iter()
        .for_each(|attribute| in_attribute(attribute, found));
}

fn in_attribute(attribute: &AttributeProto, found: &mut External) {
    let tensors = attribute.t.iter().chain(&attribute.tensors);
    tensors.for_each(|tensor| in_tensor(tensor, found));
    let sparse = attribute
        .sparse_tensor
        .iter()
        .chain(&attribute.sparse_tensors);
    let parts = sparse.flat_map(|sparse| [&sparse.values, &sparse.indices]);
    parts.flatten().for_each(|tensor| in_tensor(tensor, found));
    let graphs = attribute.g.iter().chain(&attribute.graphs);
    graphs.for_each(|graph| in_graph(graph, found));
}

fn in_tensor(tensor: &TensorProto, found: &mut External) {
    if tensor.data_location == EXTERNAL || !tensor.external_data.is_empty() {
        let place = tensor
            .external_data
            .iter()
            .find(|entry| entry.key == "location");
        let place = place.map_or(String::new(), |entry| entry.value.clone());
        found.push((tensor.name.clone(), place));
    }
}

/// A file that answers a number with itself, for finding out what works.
pub(crate) fn identity() -> Vec<u8> {
    let version = OperatorSetIdProto {
        domain: String::new(),
        version: 17,
    };
    let graph = GraphProto {
        name: "identity".to_owned(),
        node: vec![node("Identity", &["number"], &["same"])],
        input: vec![real_input("number", 1)],
        output: vec![real_input("same", 1)],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        producer_name: "fusebox-onnx".to_owned(),
        graph: Some(graph),
        opset_import: vec![version],
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_that_is_no_json_is_named_with_what_to_do() {
        let long = format!("direction{}", "!".repeat(500));
        let facts = [("fusebox.task", "nonsense"), ("fusebox.features", &long)];
        let facts = facts.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let file = OnnxFile {
            metadata: facts.into(),
            ..OnnxFile::default()
        };
        for key in ["fusebox.task", "fusebox.features"] {
            let told = file.json::<Vec<String>>(key).unwrap_err();
            assert!(
                told.contains(&format!("its metadata `{key}` is `")),
                "{told}"
            );
            assert!(told.contains(ADVICE) && told.len() < 400, "{told}");
        }
    }
}
