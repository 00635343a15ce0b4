//! Settings of the account.

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Problems};

/// Settings of the account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortfolioConfig {
    /// Cash at the start in the quote asset, above 0 and at most 1e10.
    pub initial_cash: f64,
    /// Whether the account may borrow: sell what it does not have, and spend more than its cash.
    /// Without it, purchases are cut to the cash.
    #[serde(default)]
    pub allow_short: bool,
}

impl PortfolioConfig {
    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.above_zero("initial_cash", self.initial_cash, 1e10);
        problems.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_starts_with_cash() {
        let config = |initial_cash| PortfolioConfig {
            initial_cash,
            allow_short: false,
        };
        assert_eq!(config(1.0).validate(), []);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(config(wrong).validate().len(), 1, "{wrong}");
        }
    }
}
