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
    /// Margin and liquidation; without it, an account that may borrow has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<MarginConfig>,
}

/// What stands behind positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarginMode {
    /// The whole account, for all of them.
    Cross,
    /// For each its own part.
    Isolated,
}

/// A margin account.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarginConfig {
    /// What stands behind positions.
    pub mode: MarginMode,
    /// Value of what may be opened per cash, from 1 to 125.
    pub leverage: f64,
    /// Part of a position's value below which it is liquidated, above 0 and below `1 / leverage`.
    pub maintenance: f64,
    /// What liquidation costs beside the fee of a taker, in basis points, from 0 to 1,000.
    #[serde(default)]
    pub liquidation_fee_bps: f64,
}

impl MarginConfig {
    fn validate(&self, allow_short: bool, problems: &mut Problems) {
        problems.within("margin.leverage", self.leverage, (1.0, 125.0));
        problems.above_zero("margin.maintenance", self.maintenance, 1.0);
        problems.within(
            "margin.liquidation_fee_bps",
            self.liquidation_fee_bps,
            (0.0, 1_000.0),
        );
        problems.require(
            self.maintenance * self.leverage < 1.0,
            "margin.maintenance",
            format!(
                "is {}, not below 1 / leverage ({}): positions would be liquidated as they open",
                self.maintenance,
                1.0 / self.leverage
            ),
        );
        problems.require(
            allow_short,
            "margin",
            "needs `allow_short = true`: it borrows",
        );
    }
}

impl PortfolioConfig {
    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.above_zero("initial_cash", self.initial_cash, 1e10);
        if let Some(margin) = &self.margin {
            margin.validate(self.allow_short, &mut problems);
        }
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
            margin: None,
        };
        assert_eq!(config(1.0).validate(), []);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(config(wrong).validate().len(), 1, "{wrong}");
        }
    }
}
