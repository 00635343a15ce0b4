//! Labels: what the future after a bar turned out to be. For training and evaluation only.
//!
//! The entry price of a label is the close of its bar `t`; its outcome is read from the bars after
//! `t`, and it is known at [`Label::end`]. Thresholds scale with [`volatility`] known at `t`.
//! A label never crosses a gap longer than `max_gap_bars`: a row whose outcome would need bars
//! beyond one has no label. Horizons count bars that exist; shorter gaps are passed over, as in
//! the features.
//!
//! Every scheme gives each row one of three classes, which evaluation and trading understand. What
//! a learner is asked for is the [`LabelTask`]: that class, whether acting on a primary signal
//! paid, or real returns over one or several horizons ([`Targets`]).
//!
//! To add a scheme: implement [`Labeler`] in a file of its own and list it in [`LabelKind`].

mod attribution;
mod config;
mod cusum;
mod fixed_horizon;
mod forward_returns;
mod meta;
mod report;
mod sequential_bootstrap;
mod series;
mod time_decay;
mod trend_scanning;
mod triple_barrier;
mod uniqueness;
mod volatility;

use serde::{Deserialize, Serialize};

use crate::types::{Bar, Timestamp};

pub use attribution::{balanced_class_weights, return_attribution};
pub use config::{
    Ambiguity, ClassWeights, EventFilter, LabelConfig, LabelKind, LabelProblem, PrimaryKind,
    ReturnUnit, Weighting,
};
pub use cusum::{CusumThreshold, cusum_events};
pub use fixed_horizon::{FixedHorizon, FixedThreshold};
pub use forward_returns::{ForwardReturns, ReturnReadout};
pub use meta::{MetaBarrier, PrimarySides, PrimarySignal};
pub use report::{LabelReport, LagCorrelation};
pub use sequential_bootstrap::SequentialBootstrap;
pub use series::{LabelSeries, LabelTask, Targets, label_series};
pub use time_decay::time_decay;
pub use trend_scanning::TrendScanning;
pub use triple_barrier::TripleBarrier;
pub use uniqueness::{LabelSpan, average_uniqueness, concurrency};
pub use volatility::{LabelVolatility, volatility};

/// Class names, in the order of their numbers.
pub const CLASSES: [&str; 3] = ["down", "flat", "up"];

/// Class names of a meta-label: whether acting on the primary signal paid.
pub const ACTING_CLASSES: [&str; 2] = ["pass", "act"];

/// The class of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Direction {
    /// The price fell.
    Down = 0,
    /// The price did not move enough.
    Flat = 1,
    /// The price rose.
    Up = 2,
}

impl Direction {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Down, Self::Flat, Self::Up];

    /// The class number: 0 down, 1 flat, 2 up.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// -1 down, 0 flat, 1 up.
    #[must_use]
    pub const fn sign(self) -> f64 {
        match self {
            Self::Down => -1.0,
            Self::Flat => 0.0,
            Self::Up => 1.0,
        }
    }

    /// Up above `upper`, down below `-lower`, flat between and at either.
    pub(crate) fn beyond(value: f64, upper: f64, lower: f64) -> Self {
        if value > upper {
            Self::Up
        } else if value < -lower {
            Self::Down
        } else {
            Self::Flat
        }
    }
}

/// What ended a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelReason {
    /// The upper barrier was touched first.
    Upper,
    /// The lower barrier was touched first.
    Lower,
    /// The horizon was reached.
    Vertical,
    /// One bar touched both barriers; which came first cannot be known.
    Ambiguous,
}

/// The clearest trend after a bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trend {
    /// t-value of the slope of the log price; positive where it rises.
    pub t_value: f64,
    /// Bars from the labelled one to the end of the trend.
    pub bars: usize,
}

/// The outcome after one bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Label {
    /// The class.
    pub class: Direction,
    /// When the label is known: the close of the last bar that it was decided from.
    pub end: Timestamp,
    /// Position of that bar in the series.
    pub end_bar: usize,
    /// Log return from the entry to the price at which the label ended.
    pub log_return: f64,
    /// What ended it.
    pub reason: LabelReason,
    /// What a trend scan found; `None` in other schemes.
    pub trend: Option<Trend>,
}

/// What a scheme decides from.
#[derive(Debug, Clone, Copy)]
pub struct LabelInput<'a> {
    /// Entry price: the close of the labelled bar.
    pub entry_price: f64,
    /// Volatility of log returns per bar, known at the entry; positive.
    pub sigma: f64,
    /// What the primary signal says at the entry; flat in schemes without one.
    pub side: Direction,
    /// The bars after the entry, up to the horizon, a long gap or the end of the data, whichever
    /// is first.
    pub path: &'a [Bar],
}

/// What a scheme decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelOutcome {
    /// The class.
    pub class: Direction,
    /// Position in the path of the last bar that was needed to decide.
    pub decided_by: usize,
    /// Log return from the entry to the price at which the label ended.
    pub log_return: f64,
    /// What ended it.
    pub reason: LabelReason,
    /// What a trend scan found.
    pub trend: Option<Trend>,
}

/// A scheme of labels.
pub trait Labeler: Send + Sync {
    /// Bars after which a label ends at the latest.
    fn horizon_bars(&self) -> usize;

    /// The outcome; `None` where the path ends before it is decided, or the scheme has nothing to
    /// say of the bar.
    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome>;
}

/// Whether the hole between two bars is longer than what is passed over.
fn is_long_gap(before: &Bar, after: &Bar, longest_gap_nanos: i64) -> bool {
    after.opened_at.nanos_since(before.closed_at) > longest_gap_nanos
}

#[cfg(test)]
mod tests;
