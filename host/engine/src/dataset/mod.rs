//! From feature rows and labels to what a learner is given, fold by fold.
//!
//! [`Samples`] joins the rows and labels of every symbol. [`Samples::split`] cuts time into
//! walk-forward [`Fold`]s; [`Samples::train`] and [`Samples::valid`] give a fold's datasets as
//! slices of the symbols' matrices, and [`Samples::test_blocks`] the rows to predict. No fold ever
//! copies a matrix.
//!
//! **Leakage.** A row belongs to the period in which its bar closed. A training row whose label
//! ends after the next period has begun is *purged*; one whose label ends within `embargo_bars`
//! before that is *embargoed*; the same holds between validation and test. Test rows are all
//! predicted; metrics use those whose label is known.

mod samples;
mod span;
mod split;

pub use samples::{DatasetError, DatasetOptions, Samples, SymbolSamples, TestBlock};
pub use span::{Span, SpanError};
pub use split::{Fold, PartCounts, Period, SplitConfig, SplitError, SplitKind, SplitProblem};
