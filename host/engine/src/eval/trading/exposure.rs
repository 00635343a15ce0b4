//! Exposure.

use super::{TradingHistory, TradingMetric, mean};

/// Mean gross exposure, as a share of equity.
#[derive(Debug, Clone, Copy)]
pub struct Exposure;

impl TradingMetric for Exposure {
    fn name(&self) -> &'static str {
        "exposure"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        mean(history.gross_exposure)
    }
}
