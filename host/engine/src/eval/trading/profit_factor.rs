//! Profit factor.

use super::{TradingHistory, TradingMetric};

/// Sum of profits over sum of losses of closed trades. Not defined without a loss.
#[derive(Debug, Clone, Copy)]
pub struct ProfitFactor;

impl TradingMetric for ProfitFactor {
    fn name(&self) -> &'static str {
        "profit_factor"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let sum = |sign: f64| -> f64 {
            history
                .trades
                .iter()
                .map(|trade| (sign * trade.profit).max(0.0))
                .sum()
        };
        let losses = sum(-1.0);
        (losses > 0.0).then(|| sum(1.0) / losses)
    }
}
