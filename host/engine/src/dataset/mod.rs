//! From feature rows and labels to what a learner is given, fold by fold.
//!
//! [`Samples`] joins the rows and labels of every symbol. [`Samples::split`] carries out a plan of
//! [`Fold`]s ([`Splitter`]): a walk forward through time, or cross-validation over groups of it.
//! [`Samples::train`] and [`Samples::valid`] give a fold's datasets as slices of the symbols'
//! matrices, and [`Samples::test_blocks`] the rows to predict. No fold copies a matrix, unless a
//! [`Scaler`] is put between. [`Windows`] and [`BatchOrder`] are for learners that take steps.
//!
//! **Leakage.** A row belongs to the period in which its bar closed. A training row whose label
//! overlaps with one that is held out is *purged*; one that lies within `embargo_bars` of it is
//! *embargoed* ([`HeldOut`]); the same holds between validation and test. Test rows are all
//! predicted; metrics use those whose label is known. A scaler is fitted on the samples of the
//! training dataset, which holds nothing else.

mod batches;
mod groups;
mod newer;
mod samples;
mod scaler;
mod span;
mod split;
mod walk_forward;
mod weights;
mod windows;

pub use batches::{Batch, BatchOrder};
pub use groups::GroupSplit;
pub use newer::{NewerError, NewerRows};
pub use samples::{
    DatasetError, DatasetOptions, FORWARD_RETURN, Samples, SymbolSamples, TestBlock,
};
pub use scaler::{Scaler, ScalerError, ScalerKind, ScalerReport};
pub use span::{Span, SpanError};
pub use split::{
    Fold, FoldPart, HeldOut, PartCounts, Period, SplitError, SplitPath, SplitPlan, SplitProblem,
    Splitter,
};
pub use walk_forward::{SplitConfig, SplitKind, WalkPeriods};
pub use weights::WeightOptions;
pub use windows::{Window, Windows};

#[cfg(test)]
mod tests;
