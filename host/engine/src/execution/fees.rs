//! Fees: a fixed part of the notional, as spot venues charge takers.

use super::FeeModel;
use crate::problem::micro_bps_of_bps;
use crate::types::Cash;

/// A fee in proportion to the notional.
#[derive(Debug, Clone, Copy)]
pub struct ProportionalFee {
    micro_bps: i64,
}

impl ProportionalFee {
    /// From basis points of the notional, 0 to 1,000.
    #[must_use]
    pub fn new(fee_bps: f64) -> Self {
        Self {
            micro_bps: micro_bps_of_bps(fee_bps),
        }
    }
}

impl FeeModel for ProportionalFee {
    fn fee(&self, notional: Cash) -> Cash {
        notional.scaled_by_micro_bps(self.micro_bps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_are_a_part_of_the_notional() {
        let notional: Cash = "1234.5".parse().unwrap();
        let fee = ProportionalFee::new(7.5).fee(notional);
        assert_eq!(fee.to_string(), "0.925875");
    }
}
