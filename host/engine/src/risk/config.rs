//! Settings of the limits.

use serde::{Deserialize, Serialize};

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
    /// The largest value of what one order opens, in the quote asset, above 0 and at most 1e10.
    pub max_order_notional: Option<f64>,
    /// The part of its peak that equity may lose before the breaker closes everything, above 0 and
    /// at most 1.
    pub max_drawdown: Option<f64>,
    /// How many bars old the prediction and the symbol's newest bar may be; 0 is this very bar.
    pub max_data_age_bars: Option<u32>,
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
