//! The Sharpe ratio (W. Sharpe 1994).

use super::{TradingHistory, TradingMetric, deviation, mean};

/// Mean over sample standard deviation of the returns, times the root of the steps per year; the
/// risk-free rate is taken as zero. Not defined where returns do not vary.
#[derive(Debug, Clone, Copy)]
pub struct Sharpe;

impl TradingMetric for Sharpe {
    fn name(&self) -> &'static str {
        "sharpe"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let returns = history.returns()?;
        let deviation = deviation(&returns, 1).filter(|deviation| *deviation > 0.0)?;
        Some(mean(&returns)? / deviation * history.steps_per_year.sqrt())
    }
}
