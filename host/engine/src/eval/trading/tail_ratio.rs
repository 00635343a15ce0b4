//! The tail ratio.

use super::{TradingHistory, TradingMetric};
use crate::eval::bootstrap::sorted_quantile;

/// Size of the 95th percentile of the returns over that of the 5th, between neighbours by linear
/// interpolation: above 1 large gains are larger than large losses. Not defined where the 5th
/// percentile is not a loss.
#[derive(Debug, Clone, Copy)]
pub struct TailRatio;

impl TradingMetric for TailRatio {
    fn name(&self) -> &'static str {
        "tail_ratio"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let mut returns = history.returns()?;
        returns.sort_by(f64::total_cmp);
        let (loss, gain) = (
            sorted_quantile(&returns, 0.05),
            sorted_quantile(&returns, 0.95),
        );
        (loss < 0.0).then(|| gain.abs() / -loss)
    }
}
