//! From the sums of leaves to the model's answer, in f32.

use fusebox_onnx_proto::{Attributes, GraphProto, NodeProto, TensorProto, node, real_input};
use fusebox_plugin_api::prelude::*;

use super::ensemble::SUMS;
use crate::flat::{Forest, Link};

/// Writes the operations after the trees, and the output.
///
/// # Errors
/// `E_UNSUPPORTED` where the task is another than the objective's.
pub(super) fn write(forest: &Forest, task: &Task, graph: &mut GraphProto) -> Result<()> {
    let sums = forest.outputs();
    let (name, outputs) = match task {
        Task::Classification { classes } => ("probabilities", classes.len()),
        Task::Quantiles { levels } => ("quantiles", levels.len()),
        _ => ("values", sums),
    };
    let nodes = match (sums, outputs) {
        (1, 2) => two_classes(forest.link(), name, graph)?,
        (sums, outputs) if sums == outputs => plain(forest.link(), sums, name, graph),
        _ => {
            return Err(PluginError::unsupported(format!(
                "writing a model with {sums} sums and {outputs} answers per row as ONNX"
            )));
        }
    };
    graph.node.extend(nodes);
    graph.output.push(real_input(name, outputs));
    Ok(())
}

/// The probabilities of the first and the second class from the one sum: the logistic function of
/// its negative and of itself.
fn two_classes(link: Link, name: &str, graph: &mut GraphProto) -> Result<Vec<NodeProto>> {
    if !matches!(link, Link::Logistic | Link::SingleLogistic) {
        return Err(PluginError::unsupported(format!(
            "writing two classes from sums that are {link:?} as ONNX"
        )));
    }
    let signs = TensorProto::of_floats("signs", &[1, 2], &[-1.0, 1.0]);
    graph.initializer.push(signs);
    Ok(vec![
        node("Mul", &[SUMS, "signs"], &["signed_sums"]),
        node("Sigmoid", &["signed_sums"], &[name]),
    ])
}

fn plain(link: Link, outputs: usize, name: &str, graph: &mut GraphProto) -> Vec<NodeProto> {
    let attribute = |key: &str, value: i64| Attributes::new().int(key, value);
    match link {
        Link::Identity => vec![node("Identity", &[SUMS], &[name])],
        Link::SignedSquare => vec![
            node("Abs", &[SUMS], &["sizes_of_sums"]),
            node("Mul", &[SUMS, "sizes_of_sums"], &[name]),
        ],
        Link::Exponential => vec![node("Exp", &[SUMS], &[name])],
        Link::Logistic | Link::SingleLogistic => vec![node("Sigmoid", &[SUMS], &[name])],
        Link::Softmax | Link::SingleSoftmax => vec![NodeProto {
            attribute: attribute("axis", 1).done(),
            ..node("Softmax", &[SUMS], &[name])
        }],
        Link::Ascending => {
            graph
                .initializer
                .push(TensorProto::of_ints("outputs", &[outputs as i64]));
            vec![NodeProto {
                attribute: attribute("axis", 1)
                    .int("largest", 0)
                    .int("sorted", 1)
                    .done(),
                ..node("TopK", &[SUMS, "outputs"], &[name, "order"])
            }]
        }
    }
}
