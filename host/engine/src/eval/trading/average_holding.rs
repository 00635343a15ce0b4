//! Average holding time.

use super::{TradingHistory, TradingMetric, mean};

/// Mean number of bars from entry to exit of the closed trades.
#[derive(Debug, Clone, Copy)]
pub struct AverageHolding;

impl TradingMetric for AverageHolding {
    fn name(&self) -> &'static str {
        "average_holding_bars"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let bars: Vec<f64> = history
            .trades
            .iter()
            .map(|trade| trade.bars_held as f64)
            .collect();
        mean(&bars)
    }
}
