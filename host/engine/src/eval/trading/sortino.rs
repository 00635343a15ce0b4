//! The Sortino ratio (F. Sortino, L. Price 1994).

use super::{TradingHistory, TradingMetric, mean};

/// Mean return over the root mean square of the negative returns (all steps counted), times the
/// root of the steps per year; the target is zero. Not defined without a loss.
#[derive(Debug, Clone, Copy)]
pub struct Sortino;

impl TradingMetric for Sortino {
    fn name(&self) -> &'static str {
        "sortino"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let returns = history.returns()?;
        let losses: Vec<f64> = returns
            .iter()
            .map(|change| change.min(0.0).powi(2))
            .collect();
        let downside = mean(&losses)?.sqrt();
        let mean = mean(&returns)?;
        (downside > 0.0).then(|| mean / downside * history.steps_per_year.sqrt())
    }
}
