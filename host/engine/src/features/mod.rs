//! Features: numbers that describe the market at the close of a bar.
//!
//! A feature is an incremental [`Operator`]: it is shown one closed bar after another and keeps
//! what it needs. Live trading shows it bars as they close, history is a loop over the same
//! operator, so both give the same bits. An operator sees closed bars only; nothing in this module
//! knows labels or later bars.
//!
//! The flow: the config names features as expressions ([`FeatureSet::parse`]), a
//! [`FeatureExtractor`] turns steps of a market into rows, [`extract`] and [`extract_symbol`] turn
//! histories into [`FeatureMatrix`]es for the dataset.
//!
//! An expression is `name(parameters)`, then optionally `@` and a higher time frame, then
//! optionally `#` and a lead symbol: `rsi(14)`, `rsi(14)@4h`, `log_return(1)#BTCUSDT`. Parameters
//! may be left out (defaults) or named: `macd(fast=8)`.
//!
//! Values are computed in `f64` with the platform's logarithms and exponentials, so equal bits are
//! promised on one platform, and cast to `f32` at the end.
//!
//! To add a feature: write its operator and its [`FeatureKind`] in the file of its family; the
//! tests over [`registry`] then hold it to warm-up, truncation and batch-live equality.
//!
//! **Gaps.** A hole of at most `max_gap_bars` missing bars is passed over: the next bar counts as
//! the following one. A longer hole forgets everything and begins a new segment, so that no value
//! ever spans it.

mod aggregate;
pub mod audit;
mod averaged;
mod bands;
mod block;
mod calendar;
mod candle;
mod columns;
mod commodity;
mod complexity;
mod cross;
mod cross_lane;
mod directional;
mod distribution;
mod expression;
mod extract;
mod flow;
mod hull;
mod ichimoku;
mod kind;
mod lane;
mod lines;
mod macd;
mod matrix;
mod microstructure;
mod momentum;
mod movement;
mod moving_averages;
mod oscillators;
mod partition;
mod parts;
mod position;
mod regime;
mod returns;
mod robust;
mod set;
mod smoothed;
mod snapshot;
mod state;
mod symbol;
mod totals;
mod trend;
mod variation;
mod volatility;
mod volume;
mod wide;
mod window;

use std::fmt::Debug;

use crate::types::Bar;

use columns::Column;
pub use columns::{BarColumns, Bars};
pub use cross::{CloneCross, CrossOperator};
pub use extract::{ExtractError, ExtractOptions, FeatureExtractor, FeatureRow, FeatureRows};
pub use kind::{
    Arguments, Constraint, Family, FeatureKind, Input, Memory, Parameter, Reads, TIERS,
};
pub use matrix::{FeatureMatrix, extract, extract_exact, extract_symbol};
pub use partition::{
    APART_TOLERANCE, Checkpoint, Partition, extract_apart, extract_partition, overlap_bars,
};
pub use set::{Feature, FeatureContext, FeatureProblem, FeatureSet, FeatureSetError, SymbolInputs};
pub use snapshot::RestoreError;
pub use state::{State, StateError, StateReader, StateWriter};

/// The state of one feature of one symbol.
///
/// `update` is called once per closed bar, in order, and costs amortised constant time (the few
/// kinds that need their whole window say so in their formula). What changes with the bars is
/// declared with [`state!`](crate::state).
pub trait Operator: Debug + Send + Sync + State + CloneOperator {
    /// Takes in the bar that has just closed and gives the feature's value at its close; `None`
    /// until the warm-up is complete.
    fn update(&mut self, bar: &Bar) -> Option<f64>;

    /// Takes in bars that have closed one after the other: `values[i]` becomes the value at the
    /// close of `bars[i]`, NaN where there is none. The default is compiled for each operator by
    /// itself, so that its loop calls [`Operator::update`] directly; whoever overrides it gives
    /// the same bits.
    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        for (bar, value) in bars.rows().iter().zip(values) {
            *value = self.update(bar).unwrap_or(f64::NAN);
        }
    }
}

/// Copies an operator behind its pointer, so that an extractor's state can be kept and restored.
pub trait CloneOperator {
    /// A copy with the same state.
    fn clone_operator(&self) -> Box<dyn Operator>;
}

impl<T: Operator + Clone + 'static> CloneOperator for T {
    fn clone_operator(&self) -> Box<dyn Operator> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Operator> {
    fn clone(&self) -> Self {
        self.as_ref().clone_operator()
    }
}

/// Every kind of feature, family by family, in the order `features list` shows.
pub fn registry() -> impl Iterator<Item = &'static FeatureKind> {
    [
        returns::KINDS,
        candle::KINDS,
        position::KINDS,
        trend::KINDS,
        moving_averages::KINDS,
        directional::KINDS,
        lines::KINDS,
        momentum::KINDS,
        oscillators::KINDS,
        smoothed::KINDS,
        volatility::KINDS,
        bands::KINDS,
        variation::KINDS,
        distribution::KINDS,
        volume::KINDS,
        flow::KINDS,
        microstructure::KINDS,
        calendar::KINDS,
        cross::KINDS,
        regime::KINDS,
        complexity::KINDS,
    ]
    .into_iter()
    .flatten()
}

/// The kind called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static FeatureKind> {
    registry().find(|kind| kind.name == name)
}

/// The known name that is written most like `name`, when one is close enough to be meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    registry()
        .map(|kind| (strsim::jaro_winkler(kind.name, name), kind.name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
