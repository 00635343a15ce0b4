//! Turnover.

use super::{TradingHistory, TradingMetric, mean};

/// Traded value per year as a multiple of the mean equity; buying and selling count both.
#[derive(Debug, Clone, Copy)]
pub struct AnnualTurnover;

impl TradingMetric for AnnualTurnover {
    fn name(&self) -> &'static str {
        "annual_turnover"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let equity = mean(history.equity).filter(|equity| *equity > 0.0)?;
        Some(history.traded_notional / equity / history.years()?)
    }
}
