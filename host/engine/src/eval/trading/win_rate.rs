//! Win rate.

use super::{TradingHistory, TradingMetric};

/// Share of closed trades with a profit after costs.
#[derive(Debug, Clone, Copy)]
pub struct WinRate;

impl TradingMetric for WinRate {
    fn name(&self) -> &'static str {
        "win_rate"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let wins = history
            .trades
            .iter()
            .filter(|trade| trade.profit > 0.0)
            .count();
        (!history.trades.is_empty()).then(|| wins as f64 / history.trades.len() as f64)
    }
}
