//! Settings of the simulated venue.

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Problems};

/// The finest step that money has.
const FINEST: f64 = 1e-8;

/// Settings of execution. Fee and slippage have no default: a backtest without costs must be asked
/// for in writing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutionConfig {
    /// Fee in basis points of the notional of every fill, from 0 to 1,000.
    pub fee_bps: f64,
    /// How far every fill is worse than the open, in basis points of the price, from 0 to 1,000.
    pub slippage_bps: f64,
    /// Quantities are multiples of this, in the base asset; at least 1e-8.
    #[serde(default = "finest")]
    pub lot_size: f64,
    /// Prices are multiples of this, in the quote asset; at least 1e-8.
    #[serde(default = "finest")]
    pub tick_size: f64,
    /// The smallest value of an order that opens a position, in the quote asset; closing orders
    /// are exempt, so that no position is trapped.
    #[serde(default)]
    pub min_notional: f64,
    /// How many missing bars an order waits for; with 0 it fills in the next bar or not at all.
    #[serde(default)]
    pub order_expiry_bars: u32,
}

fn finest() -> f64 {
    FINEST
}

impl ExecutionConfig {
    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.within("fee_bps", self.fee_bps, (0.0, 1_000.0));
        problems.within("slippage_bps", self.slippage_bps, (0.0, 1_000.0));
        problems.within("lot_size", self.lot_size, (FINEST, 1e9));
        problems.within("tick_size", self.tick_size, (FINEST, 1e9));
        problems.within("min_notional", self.min_notional, (0.0, 1e9));
        problems.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = ExecutionConfig {
            fee_bps: -1.0,
            slippage_bps: f64::NAN,
            lot_size: 0.0,
            tick_size: f64::INFINITY,
            min_notional: -0.1,
            order_expiry_bars: 0,
        };
        let keys: Vec<String> = config.validate().into_iter().map(|p| p.key).collect();
        assert_eq!(
            keys,
            [
                "fee_bps",
                "slippage_bps",
                "lot_size",
                "tick_size",
                "min_notional"
            ]
        );
    }

    #[test]
    fn costs_must_be_written_down() {
        let missing = serde_json::from_str::<ExecutionConfig>("{\"fee_bps\": 1}");
        assert!(missing.unwrap_err().to_string().contains("slippage_bps"));
        let config: ExecutionConfig =
            serde_json::from_str("{\"fee_bps\": 1, \"slippage_bps\": 0}").unwrap();
        assert_eq!(config.validate(), []);
    }
}
