//! Total return.

use super::{TradingHistory, TradingMetric};

/// Last equity over first, minus one.
#[derive(Debug, Clone, Copy)]
pub struct TotalReturn;

impl TradingMetric for TotalReturn {
    fn name(&self) -> &'static str {
        "total_return"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let (first, last) = (*history.equity.first()?, *history.equity.last()?);
        (first > 0.0).then(|| last / first - 1.0)
    }
}
