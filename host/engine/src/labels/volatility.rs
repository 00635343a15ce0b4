//! The scale of labels: exponentially weighted volatility of log returns, known at each close.

use super::is_long_gap;
use crate::types::Bar;

/// Volatility per bar at each close: the square root of the exponentially weighted mean of squared
/// log returns (RiskMetrics, mean taken as zero), weight `2 / (span + 1)`, divided by the sum of
/// the weights so far so that the first values are not biased. `None` until `span_bars` returns
/// have been seen since the start or the last long gap, and where nothing moved.
#[must_use]
pub fn volatility(bars: &[Bar], span_bars: u32, longest_gap_nanos: i64) -> Vec<Option<f64>> {
    let keep = 1.0 - 2.0 / (f64::from(span_bars) + 1.0);
    let (mut squares, mut weights, mut seen) = (0.0_f64, 0.0_f64, 0_u32);
    let mut previous: Option<&Bar> = None;
    let mut sigmas = Vec::with_capacity(bars.len());
    for bar in bars {
        match previous {
            Some(before) if !is_long_gap(before, bar, longest_gap_nanos) => {
                let change = (bar.close / before.close).ln();
                squares = squares * keep + change * change;
                weights = weights * keep + 1.0;
                seen = seen.saturating_add(1);
            }
            _ => (squares, weights, seen) = (0.0, 0.0, 0),
        }
        previous = Some(bar);
        let sigma = (squares / weights).sqrt();
        let is_known = seen >= span_bars && sigma.is_finite() && sigma > 0.0;
        sigmas.push(is_known.then_some(sigma));
    }
    sigmas
}
