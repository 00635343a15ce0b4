//! The scale of labels: exponentially weighted volatility of log returns, known at each close.

use super::is_long_gap;
use crate::types::Bar;

/// Volatility per bar at each close: the square root of the exponentially weighted mean of squared
/// log returns (RiskMetrics, mean taken as zero), weight `2 / (span + 1)`, divided by the sum of
/// the weights so far so that the first values are not biased. `None` until `span_bars` returns
/// have been seen since the start or the last long gap, and where nothing moved.
#[must_use]
pub fn volatility(bars: &[Bar], span_bars: u32, longest_gap_nanos: i64) -> Vec<Option<f64>> {
    let mut estimate = LabelVolatility::new(span_bars, longest_gap_nanos);
    bars.iter().map(|bar| estimate.step(bar)).collect()
}

/// The same estimate, one bar at a time, with the same bits.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelVolatility {
    keep: f64,
    span_bars: u32,
    longest_gap_nanos: i64,
    squares: f64,
    weights: f64,
    seen: u32,
    previous: Option<Bar>,
}

crate::state! {
    LabelVolatility { squares, weights, seen, previous }
}

impl LabelVolatility {
    /// An estimate that has seen nothing; gaps longer than `longest_gap_nanos` start it again.
    #[must_use]
    pub fn new(span_bars: u32, longest_gap_nanos: i64) -> Self {
        Self {
            keep: 1.0 - 2.0 / (f64::from(span_bars) + 1.0),
            span_bars,
            longest_gap_nanos,
            squares: 0.0,
            weights: 0.0,
            seen: 0,
            previous: None,
        }
    }

    /// The volatility per bar at the close of the next bar of the series.
    pub fn step(&mut self, bar: &Bar) -> Option<f64> {
        match self.previous {
            Some(before) if !is_long_gap(&before, bar, self.longest_gap_nanos) => {
                let change = (bar.close / before.close).ln();
                self.squares = self.squares * self.keep + change * change;
                self.weights = self.weights * self.keep + 1.0;
                self.seen = self.seen.saturating_add(1);
            }
            _ => (self.squares, self.weights, self.seen) = (0.0, 0.0, 0),
        }
        self.previous = Some(*bar);
        let sigma = (self.squares / self.weights).sqrt();
        let is_known = self.seen >= self.span_bars && sigma.is_finite() && sigma > 0.0;
        is_known.then_some(sigma)
    }
}
