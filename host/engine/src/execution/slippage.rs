//! Slippage: a fixed part of the price, always against the order.

use super::SlippageModel;
use crate::problem::micro_bps_of_bps;
use crate::types::{Price, Quantity};

/// Slippage in proportion to the price, whatever the quantity.
#[derive(Debug, Clone, Copy)]
pub struct ProportionalSlippage {
    micro_bps: i64,
}

impl ProportionalSlippage {
    /// From basis points of the price, 0 to 1,000.
    #[must_use]
    pub fn new(slippage_bps: f64) -> Self {
        Self {
            micro_bps: micro_bps_of_bps(slippage_bps),
        }
    }
}

impl SlippageModel for ProportionalSlippage {
    fn slipped(&self, price: Price, quantity: Quantity) -> Price {
        let distance = price.scaled_by_micro_bps(self.micro_bps);
        match quantity.signum() {
            ..0 => price - distance,
            0 => price,
            1.. => price + distance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_pay_more_and_sellers_get_less() {
        let price: Price = "200".parse().unwrap();
        let one: Quantity = "1".parse().unwrap();
        let model = ProportionalSlippage::new(25.0);
        assert_eq!(model.slipped(price, one).to_string(), "200.5");
        assert_eq!(model.slipped(price, -one).to_string(), "199.5");
    }
}
