//! Average trade.

use super::{TradingHistory, TradingMetric, mean};

/// Mean profit of a closed trade after costs, in the reporting currency.
#[derive(Debug, Clone, Copy)]
pub struct AverageTrade;

impl TradingMetric for AverageTrade {
    fn name(&self) -> &'static str {
        "average_trade"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let profits: Vec<f64> = history.trades.iter().map(|trade| trade.profit).collect();
        mean(&profits)
    }
}
