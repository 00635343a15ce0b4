//! Trees as one array of 8-byte nodes, and the recipe that turns a row into what they compare.
//!
//! A prepared row holds one number per *source*: a column under one rule for missing values. A
//! missing value becomes minus infinity where it goes left, which is at most every threshold, and
//! NaN where it goes right, which is at most none. A set of categories becomes the same two
//! numbers. So a split is one comparison, whatever it was. The first source is always minus
//! infinity: leaves compare with it and stay where they are.
//!
//! The nodes of a tree lie in breadth-first order, so that two children are neighbours and a step
//! is a short distance from the parent.

use std::collections::{BTreeMap, VecDeque};

use fusebox_plugin_api::prelude::*;

use super::Tree;
use super::tree::{Child, Missing, Test};

/// Values nearer to zero are zero to LightGBM (`kZeroThreshold`).
pub(crate) const ZERO: f32 = 1e-35;
/// Numbers from here on are no categories to XGBoost (`OutOfRangeCat`).
const CATEGORY_LIMIT: f32 = 16_777_216.0;
/// Bit patterns from here on are infinite or no numbers, which no leaf may compare with.
const LEAF_LIMIT: usize = 0x7f80_0000;

/// An inner node or a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Left where the source is at most this; in a leaf, its number as a bit pattern.
    pub(super) threshold: f32,
    /// Position in the prepared row.
    pub(super) source: u16,
    /// Distance to the left child, the right one being next to it; 0 in a leaf.
    pub(super) step: u16,
}

impl Node {
    /// The number of a leaf, counted through all trees.
    pub(super) fn leaf(self) -> usize {
        self.threshold.to_bits() as usize
    }
}

/// Where a number of the prepared row comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Minus infinity.
    Lowest,
    /// The column, with what a missing value becomes.
    Column(usize, Missing, bool),
    /// The column's membership in a set.
    Member(usize, Vec<u32>),
    /// That the column is none of these categories, with where a missing value goes.
    Stranger(usize, Vec<u32>, bool),
}

/// The root of a tree and the steps to its deepest leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    /// Position of its node.
    pub(super) node: u32,
    /// Steps to the deepest leaf.
    pub(super) depth: u32,
    /// Position of the tree in the model.
    pub(super) tree: u32,
}

/// All trees of a model.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) sources: Vec<Source>,
    pub(super) nodes: Vec<Node>,
    pub(super) leaves: Vec<f64>,
    /// In the order of the model.
    pub(super) roots: Vec<Root>,
    /// Trees of similar depth beside each other.
    pub(super) by_depth: Vec<Root>,
}

impl Layout {
    /// Lays `trees` out.
    ///
    /// # Errors
    /// `E_UNSUPPORTED` where they are too large for the nodes.
    pub(super) fn new(trees: &[Tree]) -> Result<Self> {
        let sources = sources(trees)?;
        let mut layout = Self {
            sources: Vec::new(),
            nodes: Vec::new(),
            leaves: Vec::new(),
            roots: Vec::with_capacity(trees.len()),
            by_depth: Vec::new(),
        };
        for tree in trees {
            layout.push(tree, &sources)?;
        }
        layout.by_depth.clone_from(&layout.roots);
        layout.by_depth.sort_by_key(|root| root.depth);
        let mut ordered: Vec<(Source, u16)> = sources.into_iter().collect();
        ordered.sort_by_key(|(_, position)| *position);
        layout.sources = ordered.into_iter().map(|(source, _)| source).collect();
        Ok(layout)
    }

    fn push(&mut self, tree: &Tree, sources: &BTreeMap<Source, u16>) -> Result<()> {
        let (first_leaf, first_node) = (self.leaves.len(), self.nodes.len());
        if first_leaf + tree.leaves().len() > LEAF_LIMIT {
            return Err(PluginError::unsupported("more than 2^31 leaves"));
        }
        self.leaves.extend_from_slice(tree.leaves());
        let mut open = VecDeque::from([(tree.root(), 0)]);
        let (mut deepest, mut next) = (0, first_node + 1);
        while let Some((child, depth)) = open.pop_front() {
            deepest = depth;
            let node = match child {
                Child::Leaf(index) => Node {
                    threshold: f32::from_bits((first_leaf + index) as u32),
                    source: 0,
                    step: 0,
                },
                Child::Split(index) => {
                    let split = &tree.splits()[index];
                    open.extend([(split.left, depth + 1), (split.right, depth + 1)]);
                    let step = u16::try_from(next - self.nodes.len());
                    next += 2;
                    Node {
                        threshold: match split.test {
                            Test::AtMost { threshold, .. } => threshold,
                            Test::Among(_) | Test::Outside { .. } => 0.0,
                        },
                        source: sources[&source(split.column, &split.test)],
                        step: step.map_err(|_| PluginError::unsupported("a very wide tree"))?,
                    }
                }
            };
            self.nodes.push(node);
        }
        self.roots.push(Root {
            node: first_node as u32,
            depth: deepest,
            tree: self.roots.len() as u32,
        });
        Ok(())
    }

    /// Numbers in a prepared row.
    pub(super) fn width(&self) -> usize {
        self.sources.len()
    }

    /// Prepares `row` as lane `lane` of `prepared`, which has `LANES` numbers per source.
    pub(super) fn prepare<const LANES: usize>(
        &self,
        row: &[f32],
        prepared: &mut [[f32; LANES]],
        lane: usize,
    ) {
        for (source, place) in self.sources.iter().zip(prepared) {
            place[lane] = source.value(row);
        }
    }
}

impl Source {
    #[inline]
    fn value(&self, row: &[f32]) -> f32 {
        match self {
            Self::Lowest => f32::NEG_INFINITY,
            Self::Column(column, missing, left) => {
                let value = row[*column];
                let is_missing = match missing {
                    Missing::Nan | Missing::NanAlone => value.is_nan(),
                    Missing::Zero => value.is_nan() || value.abs() <= ZERO,
                    Missing::Never => false,
                };
                if is_missing {
                    direction(*left)
                } else if value.abs() > ZERO || *missing == Missing::NanAlone {
                    value
                } else {
                    // Zero, what is nearly zero, and NaN where it is not missing.
                    0.0
                }
            }
            Self::Member(column, set) => {
                let value = row[*column];
                // NaN is no category although it would be cut to 0.
                let category = if value.is_nan() { -1 } else { value as i32 };
                let found = usize::try_from(category).is_ok_and(|category| {
                    let word = set.get(category / 32).copied().unwrap_or(0);
                    word >> (category % 32) & 1 == 1
                });
                direction(found)
            }
            Self::Stranger(column, categories, missing_left) => {
                let value = row[*column];
                if value.is_nan() {
                    return direction(*missing_left);
                }
                let is_category = (0.0..CATEGORY_LIMIT).contains(&value);
                let found = is_category && categories.binary_search(&(value as u32)).is_ok();
                direction(!found)
            }
        }
    }
}

/// A number that is at most every threshold, or at most none.
fn direction(left: bool) -> f32 {
    match left {
        true => f32::NEG_INFINITY,
        false => f32::NAN,
    }
}

fn source(column: usize, test: &Test) -> Source {
    match test {
        Test::AtMost {
            missing: Missing::Never,
            ..
        } => Source::Column(column, Missing::Never, false),
        Test::AtMost {
            missing,
            missing_left,
            ..
        } => Source::Column(column, *missing, *missing_left),
        Test::Among(set) => Source::Member(column, set.clone()),
        Test::Outside {
            categories,
            missing_left,
        } => Source::Stranger(column, categories.clone(), *missing_left),
    }
}

/// Every source that the trees need, with its position.
fn sources(trees: &[Tree]) -> Result<BTreeMap<Source, u16>> {
    let splits = trees.iter().flat_map(Tree::splits);
    let mut sources: BTreeMap<Source, u16> = splits
        .map(|split| (source(split.column, &split.test), 0))
        .collect();
    sources.insert(Source::Lowest, 0);
    // The order of the enum puts `Lowest` first, which leaves rely on.
    for (position, place) in sources.values_mut().enumerate() {
        *place = u16::try_from(position)
            .map_err(|_| PluginError::unsupported("more than 65,536 kinds of splits"))?;
    }
    Ok(sources)
}
