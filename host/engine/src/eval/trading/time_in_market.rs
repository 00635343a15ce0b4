//! Time in the market.

use super::{TradingHistory, TradingMetric};

/// Share of steps that end with an open position.
#[derive(Debug, Clone, Copy)]
pub struct TimeInMarket;

impl TradingMetric for TimeInMarket {
    fn name(&self) -> &'static str {
        "time_in_market"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let steps = history.gross_exposure;
        let exposed = steps.iter().filter(|share| **share > 0.0).count();
        (!steps.is_empty()).then(|| exposed as f64 / steps.len() as f64)
    }
}
