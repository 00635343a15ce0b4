//! The trees of a forest one node at a time, for who writes them in another form.
//!
//! Nothing here answers a row; the walk does not go through it.

use super::layout::{Layout, Source};
use super::link::Link;
use super::tree::Missing;
use super::{Forest, Sums};

/// A node of a tree. The positions of nodes count from 0 in every tree, the root being the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum NodeView<'a> {
    /// A leaf.
    Leaf {
        /// Its number within the tree, which is the library's.
        number: usize,
        /// What it adds.
        value: f64,
    },
    /// Left where the column is at most the threshold.
    AtMost {
        /// The column.
        column: usize,
        /// The threshold.
        threshold: f32,
        /// What counts as missing.
        missing: Missing,
        /// Where missing values go; without meaning where nothing is missing.
        missing_left: bool,
        /// Position of the left child, the right one being next.
        left: usize,
    },
    /// Left where the category in the column says so.
    Category {
        /// The column.
        column: usize,
        /// What it says of each category.
        set: SetView<'a>,
        /// Position of the left child, the right one being next.
        left: usize,
    },
}

/// A set of categories and what it means at a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SetView<'a> {
    /// Left for the bits of these words; right for all else. A value is cut towards zero.
    Among(&'a [u32]),
    /// Right for these numbers, in ascending order; left for all else. A value below zero is no
    /// category.
    Outside {
        /// The numbers.
        categories: &'a [u32],
        /// Where a missing value goes.
        missing_left: bool,
    },
}

impl SetView<'_> {
    /// One above the largest category that it may hold.
    pub(crate) fn end(self) -> usize {
        match self {
            Self::Among(words) => words.len() * 32,
            Self::Outside { categories, .. } => {
                categories.last().map_or(0, |last| *last as usize + 1)
            }
        }
    }

    /// Whether a category goes left; `None` for what is no category of any set.
    pub(crate) fn goes_left(self, category: Option<usize>) -> bool {
        match (self, category) {
            (Self::Among(_), None) => false,
            (Self::Among(words), Some(category)) => {
                let word = words.get(category / 32).copied().unwrap_or(0);
                word >> (category % 32) & 1 == 1
            }
            (Self::Outside { .. }, None) => true,
            (Self::Outside { categories, .. }, Some(category)) => {
                !categories.iter().any(|one| *one as usize == category)
            }
        }
    }

    /// Whether a missing value goes left.
    pub(crate) fn missing_left(self) -> bool {
        match self {
            Self::Among(_) => false,
            Self::Outside { missing_left, .. } => missing_left,
        }
    }
}

impl Forest {
    /// The nodes of every tree, in the order of the model. Tree `i` adds to output
    /// `i % outputs()`.
    pub(crate) fn trees(&self) -> impl Iterator<Item = Vec<NodeView<'_>>> {
        let Layout { roots, nodes, .. } = &self.layout;
        (0..roots.len()).map(move |tree| {
            let first = roots[tree].node as usize;
            let end = roots
                .get(tree + 1)
                .map_or(nodes.len(), |next| next.node as usize);
            let leaves = (first..end).filter(|at| nodes[*at].step == 0);
            let first_leaf = leaves.map(|at| nodes[at].leaf()).min().unwrap_or(0);
            (first..end)
                .map(|at| self.layout.view(at, at - first, first_leaf))
                .collect()
        })
    }

    /// What the sums of leaves become.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// The sums before the first tree where they are added in f32; `None` where in f64, from zero.
    pub(crate) fn single_base(&self) -> Option<&[f32]> {
        match &self.sums {
            Sums::Double => None,
            Sums::Single(base) => Some(base),
        }
    }
}

impl Layout {
    fn view(&self, at: usize, position: usize, first_leaf: usize) -> NodeView<'_> {
        let node = self.nodes[at];
        let left = position + usize::from(node.step);
        match &self.sources[usize::from(node.source)] {
            _ if node.step == 0 => NodeView::Leaf {
                number: node.leaf() - first_leaf,
                value: self.leaves[node.leaf()],
            },
            Source::Member(column, words) => NodeView::Category {
                column: *column,
                set: SetView::Among(words),
                left,
            },
            Source::Stranger(column, categories, missing_left) => NodeView::Category {
                column: *column,
                set: SetView::Outside {
                    categories,
                    missing_left: *missing_left,
                },
                left,
            },
            Source::Column(column, missing, missing_left) => NodeView::AtMost {
                column: *column,
                threshold: node.threshold,
                missing: *missing,
                missing_left: *missing_left,
                left,
            },
            // Only leaves compare with it.
            Source::Lowest => NodeView::Leaf {
                number: 0,
                value: 0.0,
            },
        }
    }
}
