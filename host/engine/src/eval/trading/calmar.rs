//! The Calmar ratio (T. Young 1991).

use super::{AnnualGrowth, MaxDrawdown, TradingHistory, TradingMetric};

/// Annual growth over the depth of the deepest drawdown. Not defined without a drawdown.
#[derive(Debug, Clone, Copy)]
pub struct Calmar;

impl TradingMetric for Calmar {
    fn name(&self) -> &'static str {
        "calmar"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let depth = MaxDrawdown.value(history).filter(|depth| *depth > 0.0)?;
        Some(AnnualGrowth.value(history)? / depth)
    }
}
