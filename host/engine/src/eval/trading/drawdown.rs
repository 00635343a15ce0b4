//! The deepest and the longest drawdown.

use serde::Serialize;

use super::{TradingHistory, TradingMetric};
use crate::types::Timestamp;

/// A fall from a peak and the way back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drawdown {
    /// Loss at the deepest point as a share of the peak, from 0 on; above 1 after ruin.
    pub depth: f64,
    /// When the peak was reached last.
    pub peak_at: Timestamp,
    /// When it was deepest.
    pub trough_at: Timestamp,
    /// When the peak was reached again; `None` where it was not.
    pub recovered_at: Option<Timestamp>,
    /// Steps from the peak to the recovery, or to the end of the history.
    pub length_steps: usize,
}

/// How far the curve is below its running peak at each step, as a share of the peak, from 0 on; 0
/// before the peak is above zero.
#[must_use]
pub fn drawdowns(equity: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let below = equity.iter().map(|value| {
        peak = peak.max(*value);
        if peak > 0.0 { 1.0 - value / peak } else { 0.0 }
    });
    below.collect()
}

/// The deepest drawdown of a curve, the first of equals; `None` where the curve never falls.
#[must_use]
pub fn deepest_drawdown(history: &TradingHistory<'_>) -> Option<Drawdown> {
    let steps = || history.equity.iter().zip(history.times).enumerate();
    let mut deepest: Option<(usize, Drawdown)> = None;
    let mut peak = (0, f64::NEG_INFINITY, *history.times.first()?);
    for (step, (&equity, &at)) in steps() {
        if equity >= peak.1 {
            peak = (step, equity, at);
            continue;
        }
        let depth = (peak.1 - equity) / peak.1;
        if deepest.is_none_or(|(_, known)| depth > known.depth) {
            let found = Drawdown {
                depth,
                peak_at: peak.2,
                trough_at: at,
                recovered_at: None,
                length_steps: history.equity.len() - 1 - peak.0,
            };
            deepest = Some((peak.0, found));
        }
    }
    let (start, mut found) = deepest?;
    let level = history.equity[start];
    if let Some((step, (_, at))) = steps().skip(start + 1).find(|(_, (one, _))| **one >= level) {
        found.recovered_at = Some(*at);
        found.length_steps = step - start;
    }
    Some(found)
}

/// Longest time that the curve spent below a peak: from when the peak was reached last to when it
/// was reached again, or to the end. Not always the deepest drawdown. `None` where the curve never
/// falls.
#[must_use]
pub fn longest_drawdown_nanos(history: &TradingHistory<'_>) -> Option<i64> {
    let mut longest = None;
    let mut peak = (f64::NEG_INFINITY, *history.times.first()?);
    let mut is_below = false;
    for (&equity, &at) in history.equity.iter().zip(history.times) {
        if is_below || equity < peak.0 {
            longest = longest.max(Some(at.nanos_since(peak.1)));
        }
        is_below = equity < peak.0;
        if !is_below {
            peak = (equity, at);
        }
    }
    longest
}

/// Depth of the deepest drawdown as a share of its peak, from 0 on.
#[derive(Debug, Clone, Copy)]
pub struct MaxDrawdown;

impl TradingMetric for MaxDrawdown {
    fn name(&self) -> &'static str {
        "max_drawdown"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let is_empty = history.equity.is_empty();
        (!is_empty).then(|| deepest_drawdown(history).map_or(0.0, |found| found.depth))
    }
}
