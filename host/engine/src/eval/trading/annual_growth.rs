//! Compound annual growth rate (CAGR).

use super::{TotalReturn, TradingHistory, TradingMetric};

/// Compound growth per year of 365 days; -1 after ruin.
#[derive(Debug, Clone, Copy)]
pub struct AnnualGrowth;

impl TradingMetric for AnnualGrowth {
    fn name(&self) -> &'static str {
        "annual_growth"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let growth = 1.0 + TotalReturn.value(history)?;
        let years = history.years()?;
        Some(growth.max(0.0).powf(1.0 / years) - 1.0)
    }
}
