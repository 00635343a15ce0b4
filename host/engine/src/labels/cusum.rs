//! The symmetric CUSUM filter (M. Lopez de Prado, Advances in Financial Machine Learning, 2.5.2.1):
//! an event where the price has moved far enough since the last one.

use super::is_long_gap;
use crate::types::Bar;

/// How far the price must move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CusumThreshold<'a> {
    /// A constant log return.
    LogReturn(f64),
    /// This many volatilities of one bar, as known at each bar; no event where none is known.
    Sigmas(f64, &'a [Option<f64>]),
}

impl CusumThreshold<'_> {
    fn at(&self, bar: usize) -> Option<f64> {
        match *self {
            Self::LogReturn(threshold) => Some(threshold),
            Self::Sigmas(sigmas, volatility) => Some(sigmas * volatility.get(bar).copied()??),
        }
    }
}

/// Which bars are events. Two sums follow the log returns of closes, one cut off at zero from
/// below and one from above; where one reaches the threshold, the bar is an event and that sum
/// starts over. Both start over after a long gap.
#[must_use]
pub fn cusum_events(
    bars: &[Bar],
    threshold: CusumThreshold<'_>,
    longest_gap_nanos: i64,
) -> Vec<bool> {
    let (mut rise, mut fall) = (0.0_f64, 0.0_f64);
    let mut events = vec![false; bars.len()];
    for at in 1..bars.len() {
        let (before, bar) = (&bars[at - 1], &bars[at]);
        if is_long_gap(before, bar, longest_gap_nanos) {
            (rise, fall) = (0.0, 0.0);
            continue;
        }
        let change = (bar.close / before.close).ln();
        rise = (rise + change).max(0.0);
        fall = (fall + change).min(0.0);
        let Some(threshold) = threshold.at(at) else {
            continue;
        };
        if fall <= -threshold {
            fall = 0.0;
            events[at] = true;
        } else if rise >= threshold {
            rise = 0.0;
            events[at] = true;
        }
    }
    events
}
