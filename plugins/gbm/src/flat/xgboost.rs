//! XGBoost's model as JSON, read strictly.
//!
//! Follows `src/tree/tree_model.cc`, `src/gbm/gbtree_model.cc` and `src/learner.cc` of XGBoost 3.4.
//! XGBoost goes left where a value is below the threshold, both in f32; that is where it is at most
//! the next smaller f32. A split by categories lists those that go right. The base score stands in
//! the model as a prediction and is added as a sum.

use std::collections::BTreeMap;

use fusebox_plugin_api::prelude::*;
use serde::Deserialize;

use super::layout::Layout;
use super::link::Link;
use super::tree::{Child, Missing, Split, Test, Tree};
use super::{Forest, Sums};

/// The version whose models are known.
const KNOWN_VERSION: (u32, u32) = (3, 4);
/// XGBoost's code for a split by categories.
const CATEGORICAL: u8 = 1;
/// Nearest to 0 and 1 that XGBoost lets a base score come (`kRtEps`).
const LEAST_PROBABILITY: f32 = 1e-6;

#[derive(Deserialize)]
struct Model {
    learner: Learner,
    version: [u32; 3],
}

#[derive(Deserialize)]
struct Learner {
    gradient_booster: GradientBooster,
    learner_model_param: ModelParameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct ModelParameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    num_target: String,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

/// Only of `gbtree`; other boosters have other fields.
#[derive(Deserialize)]
struct GradientBooster {
    name: String,
    #[serde(default)]
    model: Option<Trees>,
}

#[derive(Deserialize)]
struct Trees {
    gbtree_model_param: ForestParameters,
    /// Weights of the trees, where some were left out of a round (DART).
    #[serde(default)]
    weight_drop: Vec<f32>,
    tree_info: Vec<usize>,
    trees: Vec<RawTree>,
}

#[derive(Deserialize)]
struct ForestParameters {
    num_parallel_tree: String,
}

#[derive(Deserialize)]
struct RawTree {
    #[serde(default)]
    categories: Vec<i64>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
    default_left: Vec<u8>,
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_type: Vec<u8>,
    tree_param: TreeParameters,
}

#[derive(Deserialize)]
struct TreeParameters {
    size_leaf_vector: String,
}

/// Reads a model.
///
/// # Errors
/// `E_UNSUPPORTED` for a model that XGBoost must answer itself, `E_DATA` for a damaged text.
pub(crate) fn read(text: &str) -> Result<Forest> {
    let model: Model = serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
    let [major, minor, _] = model.version;
    // Another version may add to its models what changes their answers.
    if (major, minor) != KNOWN_VERSION {
        return Err(unsupported(&format!("models of XGBoost {major}.{minor}")));
    }
    let (learner, parameters) = (&model.learner, &model.learner.learner_model_param);
    if learner.gradient_booster.name != "gbtree" {
        let name = &learner.gradient_booster.name;
        return Err(unsupported(&format!("the booster `{name}`")));
    }
    let Some(model) = &learner.gradient_booster.model else {
        return Err(damaged("it has no trees"));
    };
    if !model.weight_drop.is_empty() {
        return Err(unsupported("trees with weights (DART)"));
    }
    if model.gbtree_model_param.num_parallel_tree != "1" {
        return Err(unsupported("several trees per class and round"));
    }
    let columns = number(&parameters.num_feature)?;
    let classes = number(&parameters.num_class)?
        .max(number(&parameters.num_target)?)
        .max(1);
    let (link, margin) = link(&learner.objective.name)?;
    if !model
        .tree_info
        .iter()
        .enumerate()
        .all(|(tree, class)| *class == tree % classes)
    {
        return Err(unsupported("trees in another order than class by class"));
    }
    if model.trees.len() != model.tree_info.len() || !model.trees.len().is_multiple_of(classes) {
        let (found, listed) = (model.trees.len(), model.tree_info.len());
        return Err(damaged(&format!(
            "it has {found} trees, of {listed} listed, in rounds of {classes}"
        )));
    }
    let conditions: Vec<&str> = conditions(text).collect();
    if conditions.len() != model.trees.len() {
        return Err(damaged(
            "a tree does not have one array of `split_conditions`",
        ));
    }
    let trees = model.trees.iter().zip(conditions).enumerate();
    let trees = trees.map(|(number, (tree, conditions))| {
        read_tree(tree, conditions, columns).map_err(|error| error.at(format!("tree {number}")))
    });
    let trees: Vec<Tree> = trees.collect::<Result<_>>()?;
    Ok(Forest {
        layout: Layout::new(&trees)?,
        columns,
        classes,
        iterations: trees.len() / classes,
        sums: Sums::Single(base(&parameters.base_score, classes, margin)?),
        link,
    })
}

fn damaged(problem: &str) -> PluginError {
    PluginError::data(format!("the model text is damaged: {problem}"))
}

fn unsupported(what: &str) -> PluginError {
    PluginError::unsupported(format!("flat trees for {what}"))
}

fn number(text: &str) -> Result<usize> {
    text.parse()
        .map_err(|_| damaged(&format!("`{text}` is not a number that it may be")))
}

/// A base score as a sum.
type Margin = fn(f32) -> f32;

/// What an objective makes of sums, and of a base score.
fn link(objective: &str) -> Result<(Link, Margin)> {
    Ok(match objective {
        "reg:squarederror" => (Link::Identity, |base| base),
        "binary:logistic" => (Link::SingleLogistic, logit),
        "multi:softprob" => (Link::SingleSoftmax, |base| base),
        "reg:quantileerror" => (Link::Ascending, |base| base),
        _ => return Err(unsupported(&format!("the objective `{objective}`"))),
    })
}

fn logit(probability: f32) -> f32 {
    let probability = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
    -(1.0 / probability - 1.0).ln()
}

/// The sums of a row before the first tree, one for each class.
fn base(text: &str, classes: usize, margin: Margin) -> Result<Vec<f32>> {
    let scores: Vec<f32> = numbers(text)?.into_iter().map(margin).collect();
    match scores[..] {
        [score] => Ok(vec![score; classes]),
        _ if scores.len() == classes => Ok(scores),
        _ => Err(damaged("`base_score` does not have one number per class")),
    }
}

/// The arrays with the thresholds of splits and the values of leaves, tree by tree. They are cut
/// out of the text because a detour over f64 could round a number twice. Only a key can look like
/// one: within a string the quotes are escaped.
fn conditions(text: &str) -> impl Iterator<Item = &str> {
    let arrays = text.split("\"split_conditions\":[").skip(1);
    arrays.map(|rest| rest.split(']').next().unwrap_or(rest))
}

/// The numbers of an array, each read as an f32.
fn numbers(array: &str) -> Result<Vec<f32>> {
    let inner = array.trim().trim_start_matches('[').trim_end_matches(']');
    let words = inner
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let numbers: std::result::Result<Vec<f32>, _> = words.map(str::parse).collect();
    let numbers = numbers.map_err(|_| damaged("an array has a wrong number"))?;
    match numbers.iter().any(|number| number.is_nan()) {
        true => Err(damaged("an array has something that is not a number")),
        false => Ok(numbers),
    }
}

/// What stands in the nodes of one tree.
#[derive(Debug)]
pub(crate) struct LeafTable {
    /// Thresholds of splits and values of leaves.
    pub(crate) conditions: Vec<f32>,
    /// Whether each node is a leaf.
    pub(crate) is_leaf: Vec<bool>,
    /// Sum of the hessians of the rows that reached each node.
    pub(crate) covers: Vec<f32>,
}

/// The nodes of every tree of a model.
///
/// # Errors
/// `E_DATA` for a damaged text.
pub(crate) fn leaf_tables(text: &str) -> Result<Vec<LeafTable>> {
    #[derive(Deserialize)]
    struct Outline {
        learner: OutlineLearner,
    }
    #[derive(Deserialize)]
    struct OutlineLearner {
        gradient_booster: OutlineBooster,
    }
    #[derive(Deserialize)]
    struct OutlineBooster {
        model: OutlineTrees,
    }
    #[derive(Deserialize)]
    struct OutlineTrees {
        trees: Vec<OutlineTree>,
    }
    #[derive(Deserialize)]
    struct OutlineTree {
        left_children: Vec<i64>,
        sum_hessian: Vec<f32>,
    }
    let outline: Outline =
        serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
    let trees = outline.learner.gradient_booster.model.trees;
    let tables = trees
        .into_iter()
        .zip(conditions(text))
        .map(|(tree, array)| {
            let conditions = numbers(array)?;
            let nodes = conditions.len();
            if tree.left_children.len() != nodes || tree.sum_hessian.len() != nodes {
                return Err(damaged("its arrays are not equally long"));
            }
            Ok(LeafTable {
                conditions,
                is_leaf: tree.left_children.iter().map(|child| *child < 0).collect(),
                covers: tree.sum_hessian,
            })
        });
    tables.collect()
}

fn read_tree(tree: &RawTree, conditions: &str, columns: usize) -> Result<Tree> {
    let nodes = tree.left_children.len();
    let conditions = numbers(conditions)?;
    let lengths = [
        tree.default_left.len(),
        tree.right_children.len(),
        conditions.len(),
        tree.split_indices.len(),
        tree.split_type.len(),
    ];
    if nodes == 0 || lengths.iter().any(|length| *length != nodes) {
        return Err(damaged(&format!(
            "its arrays have {nodes} and {lengths:?} numbers"
        )));
    }
    if tree.split_type.iter().any(|kind| *kind > CATEGORICAL) {
        return Err(unsupported("another type of split than XGBoost 3.4 has"));
    }
    if !["0", "1"].contains(&tree.tree_param.size_leaf_vector.as_str()) {
        return Err(unsupported("leaves with several values"));
    }
    let (mut splits, mut leaves, mut positions) = (0, 0, Vec::with_capacity(nodes));
    for left in &tree.left_children {
        let (child, counter): (fn(usize) -> Child, _) = match *left < 0 {
            true => (Child::Leaf, &mut leaves),
            false => (Child::Split, &mut splits),
        };
        positions.push(child(*counter));
        *counter += 1;
    }
    let reader = Reader {
        tree,
        conditions: &conditions,
        positions: &positions,
        sets: sets(tree)?,
    };
    let kind =
        |wanted: bool| (0..nodes).filter(move |node| (tree.left_children[*node] < 0) == wanted);
    let leaves = kind(true).map(|node| f64::from(conditions[node])).collect();
    let splits = kind(false)
        .map(|node| reader.split(node))
        .collect::<Result<_>>()?;
    Tree::new(splits, leaves, columns)
}

/// The categories that go right at each node that splits by them, ascending.
fn sets(tree: &RawTree) -> Result<BTreeMap<usize, Vec<u32>>> {
    let (nodes, segments) = (&tree.categories_nodes, &tree.categories_segments);
    let sizes = &tree.categories_sizes;
    if segments.len() != nodes.len() || sizes.len() != nodes.len() {
        return Err(damaged("its lists of categories do not fit together"));
    }
    let mut sets = BTreeMap::new();
    for ((node, first), size) in nodes.iter().zip(segments).zip(sizes) {
        let end = first.checked_add(*size);
        let listed = end.and_then(|end| tree.categories.get(*first..end));
        let listed = listed.ok_or_else(|| damaged("a list of categories is out of range"))?;
        let category = |category: &i64| u32::try_from(*category);
        let categories: std::result::Result<Vec<u32>, _> = listed.iter().map(category).collect();
        let mut categories = categories.map_err(|_| damaged("a category is negative"))?;
        categories.sort_unstable();
        sets.insert(*node, categories);
    }
    Ok(sets)
}

/// A tree with what is known of its nodes.
struct Reader<'a> {
    tree: &'a RawTree,
    conditions: &'a [f32],
    positions: &'a [Child],
    /// Categories of each node that splits by them.
    sets: BTreeMap<usize, Vec<u32>>,
}

impl Reader<'_> {
    fn split(&self, node: usize) -> Result<Split> {
        let threshold = self.conditions[node];
        if threshold == f32::NEG_INFINITY {
            return Err(unsupported("a threshold of minus infinity"));
        }
        let missing_left = self.tree.default_left[node] != 0;
        let test = match self.tree.split_type[node] {
            CATEGORICAL => Test::Outside {
                categories: self.categories(node)?,
                missing_left,
            },
            _ => Test::AtMost {
                threshold: threshold.next_down(),
                missing: Missing::NanAlone,
                missing_left,
            },
        };
        Ok(Split {
            column: self.tree.split_indices[node],
            test,
            left: self.child(self.tree.left_children[node])?,
            right: self.child(self.tree.right_children[node])?,
        })
    }

    fn categories(&self, node: usize) -> Result<Vec<u32>> {
        let found = self.sets.get(&node).cloned();
        found.ok_or_else(|| damaged("a split by categories has none"))
    }

    fn child(&self, node: i64) -> Result<Child> {
        let position = usize::try_from(node).ok();
        let child = position.and_then(|node| self.positions.get(node)).copied();
        child.ok_or_else(|| damaged("a child is out of range"))
    }
}
