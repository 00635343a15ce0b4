//! Settings of the account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::{Problem, Problems};
use crate::types::Rate;

/// Settings of the account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortfolioConfig {
    /// Cash at the start.
    pub initial_cash: InitialCash,
    /// Whether the account may borrow: sell what it does not have, and spend more than its cash.
    /// Without it, purchases are cut to the cash.
    #[serde(default)]
    pub allow_short: bool,
    /// Margin and liquidation; without it, an account that may borrow has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<MarginConfig>,
    /// What equity, risk and reports count in; the only currency there is where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What one of a currency is worth in the reporting one, where its symbols do not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, RateConfig>,
    /// Bars after which a rate of the market is too old to open positions by;
    /// `risk.max_data_age_bars` where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_age_bars: Option<u32>,
}

/// Cash at the start, in all above 0, each at most 1e10.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum InitialCash {
    /// In the reporting currency.
    One(f64),
    /// By currency.
    Each(BTreeMap<String, f64>),
}

impl From<f64> for InitialCash {
    fn from(amount: f64) -> Self {
        Self::One(amount)
    }
}

impl InitialCash {
    /// The amount where there is one only.
    #[must_use]
    pub fn only(&self) -> Option<f64> {
        match self {
            Self::One(amount) => Some(*amount),
            Self::Each(amounts) if amounts.len() == 1 => amounts.values().next().copied(),
            Self::Each(_) => None,
        }
    }

    /// The amount where there is one only and it is in `reporting`; `None` stands for whatever
    /// the only currency is.
    #[must_use]
    pub fn only_in(&self, reporting: Option<&str>) -> Option<f64> {
        let is_other = match self {
            Self::One(_) => false,
            Self::Each(amounts) => {
                reporting.is_some_and(|name| amounts.keys().any(|key| key != name))
            }
        };
        self.only().filter(|_| !is_other)
    }

    /// Every amount times `multiple`.
    #[must_use]
    pub fn times(&self, multiple: f64) -> Self {
        match self {
            Self::One(amount) => Self::One(amount * multiple),
            Self::Each(amounts) => {
                let each = amounts.iter();
                Self::Each(
                    each.map(|(name, one)| (name.clone(), one * multiple))
                        .collect(),
                )
            }
        }
    }

    fn validate(&self, problems: &mut Problems) {
        let amounts = match self {
            Self::One(amount) => return problems.above_zero("initial_cash", *amount, 1e10),
            Self::Each(amounts) => amounts,
        };
        for (name, amount) in amounts {
            problems.require(
                !name.is_empty(),
                "initial_cash",
                "has an amount of a currency without a name",
            );
            problems.within(&format!("initial_cash.{name}"), *amount, (0.0, 1e10));
        }
        problems.require(
            amounts.values().any(|amount| amount.abs() > 0.0),
            "initial_cash",
            "has no amount above 0; an account begins with cash",
        );
    }
}

/// Where a rate comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RateConfig {
    /// From here: how many of the reporting currency one is worth, from 1e-10 to 1e10.
    Fixed(f64),
    /// From the closes of this symbol of the run.
    Symbol(String),
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
    /// An account with this cash that borrows nothing.
    #[must_use]
    pub fn with_cash(amount: f64) -> Self {
        Self {
            initial_cash: amount.into(),
            allow_short: false,
            margin: None,
            currency: None,
            rates: BTreeMap::new(),
            max_rate_age_bars: None,
        }
    }

    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        self.initial_cash.validate(&mut problems);
        problems.require(
            self.currency.as_deref() != Some(""),
            "currency",
            "is empty; name the reporting currency, or leave the key out",
        );
        if let Some(margin) = &self.margin {
            margin.validate(self.allow_short, &mut problems);
        }
        for (name, rate) in &self.rates {
            if let RateConfig::Fixed(rate) = rate {
                problems.within(&format!("rates.{name}"), *rate, (Rate::LEAST, Rate::MOST));
            }
        }
        problems.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_starts_with_cash() {
        assert_eq!(PortfolioConfig::with_cash(1.0).validate(), []);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let found = PortfolioConfig::with_cash(wrong).validate();
            assert_eq!(found.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn wrong_amounts_and_rates_are_named_together() {
        let text = r#"{"initial_cash": {"USDT": -1.0, "EUR": 0.0},
                       "rates": {"EUR": 0.0, "GBP": "GBPUSDT", "BTC": -2.0}}"#;
        let config: PortfolioConfig = serde_json::from_str(text).unwrap();
        let keys: Vec<String> = config.validate().into_iter().map(|one| one.key).collect();
        assert_eq!(keys, ["initial_cash.USDT", "rates.BTC", "rates.EUR"]);
        let text = r#"{"initial_cash": {"USDT": 0.0}}"#;
        let config: PortfolioConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.validate().len(), 1);
        let plain = serde_json::to_string(&PortfolioConfig::with_cash(5.0)).unwrap();
        assert_eq!(plain, r#"{"initial_cash":5.0,"allow_short":false}"#);
    }
}
