//! Labels: what the future after a bar turned out to be. For training and evaluation only.
//!
//! The entry price of a label is the close of its bar `t`; its outcome is read from the bars after
//! `t`, and it is known at [`Label::end`]. Thresholds scale with [`volatility`] known at `t`.
//! A label never crosses a gap longer than `max_gap_bars`: a row whose outcome would need bars
//! beyond one has no label. Horizons count bars that exist; shorter gaps are passed over, as in
//! the features.
//!
//! To add a scheme: implement [`Labeler`] in a file of its own and list it in [`LabelKind`].

mod fixed_horizon;
mod report;
mod triple_barrier;
mod uniqueness;
mod volatility;

use serde::{Deserialize, Serialize};

use crate::types::{Bar, BarSeries, Timestamp};

pub use fixed_horizon::FixedHorizon;
pub use report::LabelReport;
pub use triple_barrier::TripleBarrier;
pub use uniqueness::{LabelSpan, average_uniqueness};
pub use volatility::volatility;

/// Class names, in the order of their numbers.
pub const CLASSES: [&str; 3] = ["down", "flat", "up"];

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

/// The outcome after one bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Label {
    /// The class.
    pub class: Direction,
    /// When the label is known: the close of the bar that decided it.
    pub end: Timestamp,
    /// Position of that bar in the series.
    pub end_bar: usize,
    /// Log return from the entry to the price at which the label ended.
    pub log_return: f64,
    /// What ended it.
    pub reason: LabelReason,
}

/// The scheme that labels are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// [`FixedHorizon`].
    FixedHorizon,
    /// [`TripleBarrier`].
    TripleBarrier,
}

/// What a bar that touches both barriers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguity {
    /// The lower barrier was first: the loss, for whoever bought.
    Pessimistic,
    /// Class flat, with the return to the close of that bar.
    Flat,
}

/// How samples are weighted in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// All alike.
    Uniform,
    /// By [`average_uniqueness`]: labels that share bars with others count less.
    Uniqueness,
}

/// The labels of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelConfig {
    /// The scheme.
    pub kind: LabelKind,
    /// Bars after which a label ends at the latest.
    pub horizon_bars: u32,
    /// Distance of the upper threshold in units of volatility. One unit is the volatility of one
    /// bar for the triple barrier, of the whole horizon for the fixed horizon.
    pub upper_sigmas: f64,
    /// Distance of the lower threshold, in the same units.
    pub lower_sigmas: f64,
    /// Span of the exponential average that estimates volatility, in bars.
    pub volatility_span_bars: u32,
    /// What a bar that touches both barriers means.
    pub ambiguous: Ambiguity,
    /// How samples are weighted in training.
    pub weights: Weighting,
}

impl Default for LabelConfig {
    fn default() -> Self {
        Self {
            kind: LabelKind::TripleBarrier,
            horizon_bars: 24,
            upper_sigmas: 3.0,
            lower_sigmas: 3.0,
            volatility_span_bars: 168,
            ambiguous: Ambiguity::Pessimistic,
            weights: Weighting::Uniform,
        }
    }
}

/// One value of a [`LabelConfig`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`labels.{key}`: {message}")]
pub struct LabelProblem {
    /// The key.
    pub key: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

/// Longest horizon and volatility span, in bars.
const MAX_BARS: u32 = 100_000;

impl LabelConfig {
    /// Everything that is wrong with the values; empty when they can be used.
    #[must_use]
    pub fn validate(&self) -> Vec<LabelProblem> {
        let mut problems = Vec::new();
        let bars = [
            ("horizon_bars", self.horizon_bars, 1),
            ("volatility_span_bars", self.volatility_span_bars, 2),
        ];
        for (key, value, min) in bars {
            if !(min..=MAX_BARS).contains(&value) {
                let message = format!("{value} is not from {min} to {MAX_BARS} bars");
                problems.push(LabelProblem { key, message });
            }
        }
        for (key, value) in [
            ("upper_sigmas", self.upper_sigmas),
            ("lower_sigmas", self.lower_sigmas),
        ] {
            if !(value > 0.0 && value <= 1000.0) {
                let message = format!("{value} is not above 0 and at most 1000");
                problems.push(LabelProblem { key, message });
            }
        }
        problems
    }

    /// The scheme with its thresholds.
    #[must_use]
    pub fn labeler(&self) -> Box<dyn Labeler> {
        let (upper_sigmas, lower_sigmas) = (self.upper_sigmas, self.lower_sigmas);
        let horizon_bars = self.horizon_bars as usize;
        match self.kind {
            LabelKind::FixedHorizon => Box::new(FixedHorizon {
                horizon_bars,
                upper_sigmas,
                lower_sigmas,
            }),
            LabelKind::TripleBarrier => Box::new(TripleBarrier {
                horizon_bars,
                upper_sigmas,
                lower_sigmas,
                ambiguous: self.ambiguous,
            }),
        }
    }
}

/// What a scheme decides from.
#[derive(Debug, Clone, Copy)]
pub struct LabelInput<'a> {
    /// Entry price: the close of the labelled bar.
    pub entry_price: f64,
    /// Volatility of log returns per bar, known at the entry; positive.
    pub sigma: f64,
    /// The bars after the entry, up to the horizon, a long gap or the end of the data, whichever
    /// is first.
    pub path: &'a [Bar],
}

/// What a scheme decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelOutcome {
    /// The class.
    pub class: Direction,
    /// Position in the path of the bar that decided.
    pub decided_by: usize,
    /// Log return from the entry to the price at which the label ended.
    pub log_return: f64,
    /// What ended it.
    pub reason: LabelReason,
}

/// A scheme of labels.
pub trait Labeler: Send + Sync {
    /// Bars after which a label ends at the latest.
    fn horizon_bars(&self) -> usize;

    /// The outcome; `None` where the path ends before it is decided.
    fn outcome(&self, input: LabelInput<'_>) -> Option<LabelOutcome>;
}

/// Labels of a series, one slot per bar; `None` where volatility is not known or zero, or where
/// the outcome lies beyond a gap or the end of the data. `config` must have passed
/// [`validate`](LabelConfig::validate).
#[must_use]
pub fn label_series(
    series: &BarSeries,
    config: &LabelConfig,
    max_gap_bars: u32,
) -> Vec<Option<Label>> {
    let bars = &series.bars;
    let longest_gap = i64::from(max_gap_bars).saturating_mul(series.time_frame.nanos());
    let sigmas = volatility(bars, config.volatility_span_bars, longest_gap);
    let labeler = config.labeler();
    let mut labels = vec![None; bars.len()];
    let mut start = 0;
    while start < bars.len() {
        let stretch = stretch_end(bars, start, longest_gap);
        for at in start..stretch {
            let path_end = (at + 1 + labeler.horizon_bars()).min(stretch);
            labels[at] = sigmas[at].and_then(|sigma| {
                let path = &bars[at + 1..path_end];
                let entry_price = bars[at].close;
                let outcome = labeler.outcome(LabelInput {
                    entry_price,
                    sigma,
                    path,
                })?;
                Some(Label {
                    class: outcome.class,
                    end: path.get(outcome.decided_by)?.closed_at,
                    end_bar: at + 1 + outcome.decided_by,
                    log_return: outcome.log_return,
                    reason: outcome.reason,
                })
            });
        }
        start = stretch;
    }
    labels
}

/// Position after the last bar that follows `start` without a long gap.
fn stretch_end(bars: &[Bar], start: usize, longest_gap_nanos: i64) -> usize {
    let breaks = |pair: &[Bar]| is_long_gap(&pair[0], &pair[1], longest_gap_nanos);
    let unbroken = bars[start..].windows(2).position(breaks);
    unbroken.map_or(bars.len(), |offset| start + offset + 1)
}

/// Whether the hole between two bars is longer than what is passed over.
fn is_long_gap(before: &Bar, after: &Bar, longest_gap_nanos: i64) -> bool {
    after.opened_at.nanos_since(before.closed_at) > longest_gap_nanos
}

#[cfg(test)]
mod tests;
