//! The trees as one `TreeEnsembleRegressor`.
//!
//! All nodes ask the same kind of question, for which runtimes have a faster loop: LightGBM's
//! whether a number is at most the threshold, XGBoost's whether it is below.

use fusebox_onnx_proto::{AttributeProto, Attributes, DataType, GraphProto, NodeProto, node};

use super::prepare::Prepared;
use super::{ML_DOMAIN, Sums, Width};
use crate::flat::{Forest, Missing, NodeView, ZERO};

const AT_MOST: &str = "BRANCH_LEQ";
const BELOW: &str = "BRANCH_LT";
const LEAF: &str = "LEAF";
/// Name of the tensor with one sum per output.
pub(super) const SUMS: &str = "sums";

/// The attributes of all nodes of all trees, as ONNX wants them: side by side.
#[derive(Debug, Default)]
struct Columns {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'static str>,
    values: Vec<f32>,
    lefts: Vec<i64>,
    rights: Vec<i64>,
    missing_lefts: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    leaf_outputs: Vec<i64>,
    leaf_values: Vec<f64>,
}

/// Writes the trees as the operation that makes [`SUMS`] from what was prepared.
pub(super) fn write<'a>(
    forest: &'a Forest,
    prepared: &Prepared<'a>,
    (width, sums): (Width, &Sums<'_>),
    graph: &mut GraphProto,
) {
    let mut columns = Columns::default();
    for (tree, nodes) in forest.trees().enumerate() {
        for (position, view) in nodes.into_iter().enumerate() {
            columns.push(tree, position, question(view, prepared));
            if let NodeView::Leaf { number, value } = view {
                columns.push_leaf(tree, position, (sums.leaf)(tree, number, value));
            }
        }
    }
    let input = match width {
        Width::Single => prepared.name,
        Width::Double => {
            let to = i32::from(DataType::Double);
            graph.node.push(NodeProto {
                attribute: Attributes::new().int("to", to.into()).done(),
                ..node("Cast", &[prepared.name], &["doubles"])
            });
            "doubles"
        }
    };
    graph.node.push(NodeProto {
        attribute: columns.attributes(width, sums),
        domain: ML_DOMAIN.to_owned(),
        ..node("TreeEnsembleRegressor", &[input], &[SUMS])
    });
}

/// What a node asks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Question {
    mode: &'static str,
    feature: usize,
    value: f32,
    missing_left: bool,
    left: Option<usize>,
}

fn question<'a>(view: NodeView<'a>, prepared: &Prepared<'a>) -> Question {
    match view {
        NodeView::Leaf { .. } => Question {
            mode: LEAF,
            feature: 0,
            value: 0.0,
            missing_left: false,
            left: None,
        },
        NodeView::Category { column, set, left } => Question {
            mode: AT_MOST,
            feature: prepared.category(column, set),
            value: 0.5,
            missing_left: false,
            left: Some(left),
        },
        NodeView::AtMost {
            column,
            threshold,
            missing,
            missing_left,
            left,
        } => {
            let (mode, feature, value, missing_left) = match missing {
                Missing::Never => (AT_MOST, column, past_zeros(threshold), threshold >= 0.0),
                Missing::Nan => (AT_MOST, column, past_zeros(threshold), missing_left),
                Missing::Zero => (
                    AT_MOST,
                    prepared.without_zeros(column),
                    threshold,
                    missing_left,
                ),
                // The flat trees hold the next smaller number, to ask as LightGBM does.
                Missing::NanAlone => (BELOW, column, threshold.next_up(), missing_left),
            };
            Question {
                mode,
                feature,
                value,
                missing_left,
                left: Some(left),
            }
        }
    }
}

/// A threshold that sends what LightGBM reads as zero where zero goes, and all else as `threshold`
/// does: it is moved out of that range to its nearer end.
fn past_zeros(threshold: f32) -> f32 {
    if !(-ZERO..ZERO).contains(&threshold) {
        threshold
    } else if threshold >= 0.0 {
        ZERO
    } else {
        (-ZERO).next_down()
    }
}

impl Columns {
    fn push(&mut self, tree: usize, position: usize, question: Question) {
        let (left, right) = question.left.map_or((0, 0), |left| (left, left + 1));
        self.trees.push(tree as i64);
        self.nodes.push(position as i64);
        self.features.push(question.feature as i64);
        self.modes.push(question.mode);
        self.values.push(question.value);
        self.lefts.push(left as i64);
        self.rights.push(right as i64);
        self.missing_lefts.push(question.missing_left.into());
    }

    fn push_leaf(&mut self, tree: usize, position: usize, (output, value): (usize, f64)) {
        self.leaf_trees.push(tree as i64);
        self.leaf_nodes.push(position as i64);
        self.leaf_outputs.push(output as i64);
        self.leaf_values.push(value);
    }

    fn attributes(self, width: Width, sums: &Sums<'_>) -> Vec<AttributeProto> {
        let attributes = Attributes::new()
            .int("n_targets", sums.outputs as i64)
            .text("aggregate_function", "SUM")
            .text("post_transform", "NONE")
            .ints("nodes_treeids", self.trees)
            .ints("nodes_nodeids", self.nodes)
            .ints("nodes_featureids", self.features)
            .texts("nodes_modes", &self.modes)
            .ints("nodes_truenodeids", self.lefts)
            .ints("nodes_falsenodeids", self.rights)
            .ints("nodes_missing_value_tracks_true", self.missing_lefts)
            .ints("target_treeids", self.leaf_trees)
            .ints("target_nodeids", self.leaf_nodes)
            .ints("target_ids", self.leaf_outputs);
        let attributes = match width {
            Width::Single => {
                let leaves = self.leaf_values.iter().map(|value| *value as f32);
                attributes
                    .floats("nodes_values", self.values)
                    .floats("target_weights", leaves.collect())
            }
            Width::Double => {
                let values: Vec<f64> = self.values.iter().copied().map(f64::from).collect();
                attributes
                    .doubles("nodes_values_as_tensor", &values)
                    .doubles("target_weights_as_tensor", &self.leaf_values)
            }
        };
        match sums.base.is_empty() {
            true => attributes.done(),
            false => attributes.floats("base_values", sums.base.to_vec()).done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What LightGBM compares.
    fn read(value: f32) -> f32 {
        if value.abs() > ZERO { value } else { 0.0 }
    }

    #[test]
    fn a_threshold_past_the_zeros_sends_every_value_where_lightgbm_does() {
        let near: Vec<f32> = [0.0, ZERO, -ZERO, 0.3 * ZERO, -0.3 * ZERO, 1.0, -1.0]
            .into_iter()
            .flat_map(|value: f32| [value.next_down(), value, value.next_up()])
            .chain([f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN])
            .collect();
        for threshold in &near {
            for value in &near {
                assert_eq!(
                    *value <= past_zeros(*threshold),
                    read(*value) <= *threshold,
                    "{value:e} at {threshold:e}"
                );
            }
        }
    }
}
