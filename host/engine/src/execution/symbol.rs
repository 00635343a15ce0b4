//! What one symbol has differently from the rest of the venue.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::ExecutionConfig;
use super::config::FINEST;
use crate::problem::Problems;

/// Settings of one symbol; what is not set is that of [`ExecutionConfig`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SymbolConfig {
    /// What it trades; by its name where that ends in a well-known currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// What it is quoted in, and so what its cash, fees and payments are; by its name where that
    /// ends in a well-known currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// Fee in basis points, from 0 to 1,000; not beside fee tiers. Makers pay it too where they
    /// have no fee of their own here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_bps: Option<f64>,
    /// Fee of makers in basis points, from -100 to 1,000; not beside fee tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker_fee_bps: Option<f64>,
    /// Fixed slippage in basis points, from 0 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slippage_bps: Option<f64>,
    /// The whole spread in basis points, from 0 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread_bps: Option<f64>,
    /// Quantities are multiples of this; at least 1e-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot_size: Option<f64>,
    /// Prices are multiples of this; at least 1e-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_size: Option<f64>,
    /// The smallest value of an order that opens a position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_notional: Option<f64>,
    /// The most leverage, from 1 to 125; the account's own where that is less. For margin accounts
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_leverage: Option<f64>,
}

impl SymbolConfig {
    /// Whether it says what the symbol trades and is quoted in at most, and changes no rule.
    #[must_use]
    pub fn only_names_currencies(&self) -> bool {
        let named = Self {
            base: self.base.clone(),
            quote: self.quote.clone(),
            ..Self::default()
        };
        *self == named
    }

    pub(super) fn validate(&self, name: &str, has_tiers: bool, problems: &mut Problems) {
        for (key, value, range) in [
            ("fee_bps", self.fee_bps, (0.0, 1_000.0)),
            ("maker_fee_bps", self.maker_fee_bps, (-100.0, 1_000.0)),
            ("slippage_bps", self.slippage_bps, (0.0, 1_000.0)),
            ("spread_bps", self.spread_bps, (0.0, 1_000.0)),
            ("lot_size", self.lot_size, (FINEST, 1e9)),
            ("tick_size", self.tick_size, (FINEST, 1e9)),
            ("min_notional", self.min_notional, (0.0, 1e9)),
            ("max_leverage", self.max_leverage, (1.0, 125.0)),
        ] {
            if let Some(value) = value {
                problems.within(&format!("symbols.{name}.{key}"), value, range);
            }
        }
        for (key, name_of) in [("base", &self.base), ("quote", &self.quote)] {
            problems.require(
                name_of.as_deref() != Some(""),
                &format!("symbols.{name}.{key}"),
                "is empty; name a currency, or leave it out",
            );
        }
        let has_fee = self.fee_bps.is_some() || self.maker_fee_bps.is_some();
        problems.require(
            !(has_fee && has_tiers),
            &format!("symbols.{name}.fee_bps"),
            "is set beside `fee_tiers`, which are for all symbols; leave one of them out",
        );
    }
}

impl ExecutionConfig {
    /// These settings as they are for the symbol called `name`.
    #[must_use]
    pub fn of_symbol(&self, name: &str) -> Cow<'_, Self> {
        let Some(own) = self.symbols.get(name) else {
            return Cow::Borrowed(self);
        };
        let maker = own.maker_fee_bps.or(own.fee_bps);
        Cow::Owned(Self {
            fee_bps: own.fee_bps.unwrap_or(self.fee_bps),
            maker_fee_bps: maker.or(self.maker_fee_bps),
            slippage_bps: own.slippage_bps.unwrap_or(self.slippage_bps),
            spread_bps: own.spread_bps.unwrap_or(self.spread_bps),
            lot_size: own.lot_size.unwrap_or(self.lot_size),
            tick_size: own.tick_size.unwrap_or(self.tick_size),
            min_notional: own.min_notional.unwrap_or(self.min_notional),
            ..self.clone()
        })
    }

    /// The most leverage of the symbol called `name` in an account with `leverage`.
    #[must_use]
    pub fn leverage_of(&self, name: &str, leverage: f64) -> f64 {
        let most = self.symbols.get(name).and_then(|own| own.max_leverage);
        most.map_or(leverage, |most| most.min(leverage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::FeeTierConfig;

    #[test]
    fn a_symbol_takes_what_it_does_not_set_from_the_venue() {
        let mut config = ExecutionConfig {
            maker_fee_bps: Some(-1.0),
            lot_size: 0.1,
            ..ExecutionConfig::costing(5.0, 2.0)
        };
        let own = SymbolConfig {
            fee_bps: Some(10.0),
            tick_size: Some(0.5),
            max_leverage: Some(3.0),
            ..SymbolConfig::default()
        };
        config.symbols.insert("A".to_owned(), own);
        let a = config.of_symbol("A");
        let found = (a.fee_bps, a.maker_fee_bps, a.slippage_bps, a.lot_size);
        assert_eq!(found, (10.0, Some(10.0), 2.0, 0.1));
        assert_eq!((a.tick_size, config.leverage_of("A", 10.0)), (0.5, 3.0));
        let b = config.of_symbol("B");
        assert_eq!((b.fee_bps, b.maker_fee_bps), (5.0, Some(-1.0)));
        let found = [("A", 2.0), ("B", 10.0)].map(|(name, own)| config.leverage_of(name, own));
        assert_eq!(format!("{found:?}"), "[2.0, 10.0]");
    }

    #[test]
    fn wrong_settings_of_symbols_are_named_with_the_others() {
        let mut config = ExecutionConfig {
            fee_tiers: vec![FeeTierConfig {
                traded: 1.0,
                maker_bps: 0.0,
                taker_bps: 0.0,
            }],
            ..ExecutionConfig::costing(-1.0, 0.0)
        };
        let own = SymbolConfig {
            fee_bps: Some(f64::NAN),
            lot_size: Some(0.0),
            max_leverage: Some(0.5),
            ..SymbolConfig::default()
        };
        config.symbols.insert("A".to_owned(), own);
        let problems = config.validate();
        let keys: Vec<&str> = problems.iter().map(|one| one.key.as_str()).collect();
        let expected = [
            "fee_bps",
            "symbols.A.fee_bps",
            "symbols.A.lot_size",
            "symbols.A.max_leverage",
            "symbols.A.fee_bps",
        ];
        assert_eq!(keys, expected);
    }
}
