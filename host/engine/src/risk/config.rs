//! Settings of the limits.

use serde::{Deserialize, Serialize};

use super::Sizing;
use crate::problem::{Problem, Problems};

/// Settings of risk. The default has no limit set and refuses every order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RiskConfig {
    /// The part of equity that one position aims at, above 0 and at most 10.
    pub position_fraction: Option<f64>,
    /// The largest part of equity that an order may bring one position to, above 0 and at most 10.
    pub max_symbol_weight: Option<f64>,
    /// The largest sum of all positions without their signs, in parts of equity, above 0 and at
    /// most 100. An order is made smaller to fit.
    pub max_gross_exposure: Option<f64>,
    /// The largest value of what one order opens, in the reporting currency, above 0 and at most
    /// 1e10.
    pub max_order_notional: Option<f64>,
    /// The part of its peak that equity may lose before the breaker closes everything, above 0 and
    /// at most 1.
    pub max_drawdown: Option<f64>,
    /// How many bars old the prediction and the symbol's newest bar may be; 0 is this very bar.
    pub max_data_age_bars: Option<u32>,
    /// How large a position aims to be; `position_fraction` is the most.
    #[serde(skip_serializing_if = "Sizing::is_default")]
    pub sizing: Sizing,
    /// The largest sum of all positions with their signs, in parts of equity, above 0 and at most
    /// 100. An order is made smaller to fit. Without it, gross exposure is the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_net_exposure: Option<f64>,
    /// The most that is traded in a UTC day by orders that open, in parts of equity, above 0 and at
    /// most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_daily_turnover: Option<f64>,
    /// The part of its value at the day's beginning (UTC) that equity may lose in a day before the
    /// breaker closes everything, above 0 and at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_daily_loss: Option<f64>,
    /// Bars without data of any symbol that was seen before, from which the breaker refuses to open
    /// positions of all symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_silence_bars: Option<u32>,
    /// Bars after a reset of a breaker in which nothing is opened.
    #[serde(skip_serializing_if = "is_none")]
    pub cool_down_bars: u32,
    /// Whether a breaker resets itself once `cool_down_bars` have passed since it tripped; else
    /// somebody has to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset_after_cool_down: bool,
    /// How far from the last close an opening order may fill, in basis points, above 0 and at most
    /// 10,000; beyond, it does not fill. Without it, wherever the market opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_collar_bps: Option<f64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(value: &u32) -> bool {
    *value == 0
}

impl RiskConfig {
    /// Every problem of these settings. A limit that is not set is none: it refuses every order;
    /// [`missing`](Self::missing) names it.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        for (key, value, high) in [
            ("position_fraction", self.position_fraction, 10.0),
            ("max_symbol_weight", self.max_symbol_weight, 10.0),
            ("max_gross_exposure", self.max_gross_exposure, 100.0),
            ("max_order_notional", self.max_order_notional, 1e10),
            ("max_drawdown", self.max_drawdown, 1.0),
        ] {
            if let Some(value) = value {
                problems.above_zero(key, value, high);
            }
        }
        for (key, value, high) in [
            ("max_net_exposure", self.max_net_exposure, 100.0),
            ("max_daily_turnover", self.max_daily_turnover, 10_000.0),
            ("max_daily_loss", self.max_daily_loss, 1.0),
            ("price_collar_bps", self.price_collar_bps, 10_000.0),
        ] {
            if let Some(value) = value {
                problems.above_zero(key, value, high);
            }
        }
        problems.extend("sizing", self.sizing.validate());
        problems.require(
            self.cool_down_bars > 0 || !self.reset_after_cool_down,
            "reset_after_cool_down",
            "needs `cool_down_bars`, or a breaker would reset itself at once",
        );
        for (key, limit) in [
            ("max_symbol_weight", self.max_symbol_weight),
            ("max_gross_exposure", self.max_gross_exposure),
        ] {
            if let (Some(fraction), Some(limit)) = (self.position_fraction, limit) {
                problems.require(
                    fraction <= limit,
                    "position_fraction",
                    format!("is {fraction}, above `{key}` ({limit})"),
                );
            }
        }
        problems.into_vec()
    }

    /// The keys that are not set; unless this is empty, every order is refused.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let keys = [
            ("position_fraction", self.position_fraction.is_none()),
            ("max_symbol_weight", self.max_symbol_weight.is_none()),
            ("max_gross_exposure", self.max_gross_exposure.is_none()),
            ("max_order_notional", self.max_order_notional.is_none()),
            ("max_drawdown", self.max_drawdown.is_none()),
            ("max_data_age_bars", self.max_data_age_bars.is_none()),
        ];
        keys.into_iter()
            .filter_map(|(key, missing)| missing.then_some(key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = RiskConfig {
            position_fraction: Some(2.0),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(f64::NAN),
            max_order_notional: Some(0.0),
            max_drawdown: Some(1.5),
            max_data_age_bars: None,
            ..RiskConfig::default()
        };
        let keys: Vec<String> = config.validate().into_iter().map(|p| p.key).collect();
        assert_eq!(
            keys,
            [
                "max_gross_exposure",
                "max_order_notional",
                "max_drawdown",
                "position_fraction",
                "position_fraction"
            ]
        );
        assert_eq!(config.missing(), ["max_data_age_bars"]);
        assert_eq!(RiskConfig::default().missing().len(), 6);
        assert_eq!(RiskConfig::default().validate(), []);
    }
}
