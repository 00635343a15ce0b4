//! Trees laid out for prediction, in safe Rust, with the very bits that the library answers.
//!
//! | file | what it does |
//! |---|---|
//! | `lightgbm`, `xgboost` | read a library's model text |
//! | `tree` | trees as a library describes them, checked |
//! | `layout` | the same trees as one array of 8-byte nodes, and what a row must be turned into |
//! | `walk` | rows down the trees, several at a time |
//! | `link` | sums of leaves to answers |
//! | `frame` | a frame of rows, on several threads where it pays |
//! | `view` | the trees node by node, for who writes them in another form |
//!
//! The walk has no branch that depends on data. A node compares one number of the prepared row
//! with its threshold and goes to one of two neighbours; a leaf goes to itself, so that trees of
//! different depth can share a loop. Missing values, default directions and sets of categories are
//! settled while the row is prepared (see `layout`). The design is the one of flat node arrays with
//! interleaved trees (Asadi, Lin and de Vries, "Runtime Optimizations for Tree-Based Machine
//! Learning Models", 2014).
//!
//! What is not known to give the library's bits is refused as unsupported, and the library answers
//! instead. A text that no library can have written is refused as damaged. Nothing here calls the
//! library.

mod frame;
mod layout;
pub(crate) mod lightgbm;
mod link;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod view;
mod walk;
pub(crate) mod xgboost;

pub(crate) use frame::FlatPredictor;
use layout::Layout;
pub(crate) use layout::ZERO;
pub(crate) use link::Link;
pub(crate) use tree::Missing;
use tree::Tree;
pub(crate) use view::{NodeView, SetView};
use walk::Scratch;

/// A forest ready for prediction.
#[derive(Debug, Clone)]
pub(crate) struct Forest {
    layout: Layout,
    columns: usize,
    /// Sums per row; tree `i` adds to sum `i % classes`.
    classes: usize,
    iterations: usize,
    sums: Sums,
    link: Link,
}

/// How leaves are added.
#[derive(Debug, Clone, PartialEq)]
enum Sums {
    /// In f64, from zero.
    Double,
    /// In f32, from one number per output.
    Single(Vec<f32>),
}

impl Forest {
    /// Columns that a row must have.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Values that a row yields.
    pub(crate) fn outputs(&self) -> usize {
        self.classes
    }

    /// Trees per output.
    pub(crate) fn iterations(&self) -> usize {
        self.iterations
    }
}
