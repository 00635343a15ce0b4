//! Annualised volatility.

use super::{TradingHistory, TradingMetric, deviation};

/// Sample standard deviation of the returns, times the root of the steps per year.
#[derive(Debug, Clone, Copy)]
pub struct AnnualVolatility;

impl TradingMetric for AnnualVolatility {
    fn name(&self) -> &'static str {
        "annual_volatility"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let deviation = deviation(&history.returns()?, 1)?;
        Some(deviation * history.steps_per_year.sqrt())
    }
}
