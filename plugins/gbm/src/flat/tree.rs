//! One tree as a library describes it, checked to be a tree.

use fusebox_plugin_api::prelude::*;

/// What counts as missing at a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    /// Nothing; NaN is read as zero.
    Never,
    /// Zero, and NaN, which is read as zero.
    Zero,
    /// NaN.
    Nan,
    /// NaN, and values that LightGBM would read as zero are themselves.
    NanAlone,
}

/// The question at a split.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    /// Left where the value is at most the threshold, or missing and `missing_left` holds.
    AtMost {
        /// Not NaN.
        threshold: f32,
        /// What counts as missing.
        missing: Missing,
        /// Where missing values go.
        missing_left: bool,
    },
    /// Left where the value, cut to a whole number, is a bit of the set.
    Among(Vec<u32>),
    /// Left where the value, cut to a whole number, is none of the categories, or no category at
    /// all, or missing and `missing_left` holds.
    Outside {
        /// Ascending.
        categories: Vec<u32>,
        /// Where missing values go.
        missing_left: bool,
    },
}

/// What follows a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// Another split of the same tree.
    Split(usize),
    /// A leaf of the same tree.
    Leaf(usize),
}

/// An inner node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    /// Column of the row.
    pub(super) column: usize,
    /// The question.
    pub(super) test: Test,
    /// Where a yes leads.
    pub(super) left: Child,
    /// Where a no leads.
    pub(super) right: Child,
}

/// Splits, the first being the root, and the values of the leaves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    splits: Vec<Split>,
    leaves: Vec<f64>,
}

impl Tree {
    /// Checks that every split and leaf hangs below the root exactly once, and that no column is
    /// beyond `columns`.
    pub(super) fn new(splits: Vec<Split>, leaves: Vec<f64>, columns: usize) -> Result<Self> {
        if leaves.len() != splits.len() + 1 {
            let (splits, leaves) = (splits.len(), leaves.len());
            return Err(PluginError::data(format!(
                "{splits} splits and {leaves} leaves do not make a tree"
            )));
        }
        if let Some(split) = splits.iter().find(|split| split.column >= columns) {
            let column = split.column;
            return Err(PluginError::data(format!(
                "a split asks for column {column} of {columns}"
            )));
        }
        let tree = Self { splits, leaves };
        tree.check_shape()?;
        Ok(tree)
    }

    fn check_shape(&self) -> Result<()> {
        let (mut splits, mut leaves) = (
            vec![false; self.splits.len()],
            vec![false; self.leaves.len()],
        );
        let mut open = vec![self.root()];
        while let Some(child) = open.pop() {
            let seen = match child {
                Child::Split(index) => splits.get_mut(index),
                Child::Leaf(index) => leaves.get_mut(index),
            };
            match seen {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(PluginError::data("two splits lead to one node")),
                None => {
                    return Err(PluginError::data(
                        "a split leads to a node that is not there",
                    ));
                }
            }
            if let Child::Split(index) = child {
                open.extend([self.splits[index].left, self.splits[index].right]);
            }
        }
        // A tree of n splits has n + 1 leaves, so each was seen once where none was seen twice
        // only if none is cut off.
        match splits.iter().chain(&leaves).all(|seen| *seen) {
            true => Ok(()),
            false => Err(PluginError::data("a node does not hang below the root")),
        }
    }

    /// The root.
    pub(super) fn root(&self) -> Child {
        match self.splits.is_empty() {
            true => Child::Leaf(0),
            false => Child::Split(0),
        }
    }

    /// The inner nodes.
    pub(super) fn splits(&self) -> &[Split] {
        &self.splits
    }

    /// The values of the leaves.
    pub(super) fn leaves(&self) -> &[f64] {
        &self.leaves
    }
}
