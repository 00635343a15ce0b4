//! Settings of the simulated venue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SymbolConfig;
use crate::problem::{Problem, Problems};

/// The finest step that money has.
pub(super) const FINEST: f64 = 1e-8;
/// Milliseconds of a week.
const WEEK_MS: u64 = 7 * 86_400_000;

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
    /// The smallest value of an order that opens a position, in what its symbol is quoted in;
    /// closing orders are exempt, so that no position is trapped.
    #[serde(default)]
    pub min_notional: f64,
    /// How many missing bars an order waits for; with 0 it fills in the next bar or not at all.
    #[serde(default)]
    pub order_expiry_bars: u32,
    /// Fee of orders that rested and were taken, in basis points, from -100 (a rebate) to 1,000;
    /// `fee_bps` where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker_fee_bps: Option<f64>,
    /// Fees of accounts that trade more, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fee_tiers: Vec<FeeTierConfig>,
    /// The whole spread in basis points of the price, from 0 to 1,000; a taker pays half.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spread_bps: f64,
    /// Slippage that depends on the market, beside `slippage_bps`.
    #[serde(default, skip_serializing_if = "SlippageConfig::is_none")]
    pub slippage: SlippageConfig,
    /// Milliseconds from a decision until its order is at the exchange, at most a day.
    #[serde(default, skip_serializing_if = "is_none_ms")]
    pub latency_ms: u64,
    /// Part of a bar's volume that fills may take, above 0 and at most 1; without it, everything
    /// fills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participation: Option<f64>,
    /// Ticks beyond a limit order's price that the market must trade before it fills; 0 is a touch,
    /// behind a queue.
    #[serde(default = "one_tick", skip_serializing_if = "is_one_tick")]
    pub limit_through_ticks: u32,
    /// Parts of a bar's volume that are in the queue before a limit order, from 0 to 100; counts
    /// with `limit_through_ticks = 0` only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit_queue_ahead: f64,
    /// Funding of perpetual futures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funding: Option<FundingConfig>,
    /// Interest of a year on what is borrowed, in basis points, from 0 to 100,000.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub borrow_annual_bps: f64,
    /// What symbols have differently, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub symbols: BTreeMap<String, SymbolConfig>,
}

/// Fees from a traded notional of 30 days on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeeTierConfig {
    /// The notional in the reporting currency, above 0.
    pub traded: f64,
    /// Fee of makers in basis points, from -100 to 1,000.
    pub maker_bps: f64,
    /// Fee of takers in basis points, from 0 to 1,000.
    pub taker_bps: f64,
}

/// Slippage that depends on the market.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SlippageConfig {
    /// None.
    #[default]
    None,
    /// In proportion to the volatility of the bars before.
    Volatility {
        /// Parts of one standard deviation of a bar's log return, from 0 to 10.
        factor: f64,
        /// Span of the exponential average that estimates it, in bars, from 2 to 100,000.
        span_bars: u32,
    },
    /// The square-root law: `factor x volatility x sqrt(quantity / volume of a bar)`.
    Impact {
        /// Its factor, from 0 to 10; about 1 in the literature (Almgren et al. 2005, Toth et al.
        /// 2011).
        factor: f64,
        /// Span of the exponential averages of volatility and volume, in bars.
        span_bars: u32,
    },
    /// By the levels of recorded order books, which hold the spread too.
    Book {
        /// Milliseconds after which a snapshot says nothing any more, from 1 to 7 days.
        max_age_ms: u64,
        /// Basis points for what the books do not say, from 0 to 10,000: of the price where there
        /// is no snapshot, and beyond the last level where an order takes more than there is.
        otherwise_bps: f64,
    },
}

impl SlippageConfig {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The span of the averages; `None` where there are none.
    #[must_use]
    pub fn span_bars(&self) -> Option<u32> {
        match *self {
            Self::None | Self::Book { .. } => None,
            Self::Volatility { span_bars, .. } | Self::Impact { span_bars, .. } => Some(span_bars),
        }
    }

    fn validate(&self, problems: &mut Problems) {
        if let Self::Book {
            max_age_ms,
            otherwise_bps,
        } = *self
        {
            problems.within("slippage.otherwise_bps", otherwise_bps, (0.0, 10_000.0));
            problems.require(
                (1..=WEEK_MS).contains(&max_age_ms),
                "slippage.max_age_ms",
                format!("is {max_age_ms}; it must lie between 1 and {WEEK_MS} (7 days)"),
            );
        }
        let (Self::Volatility { factor, .. } | Self::Impact { factor, .. }) = *self else {
            return;
        };
        problems.within("slippage.factor", factor, (0.0, 10.0));
        let span = self.span_bars().unwrap_or(2);
        problems.require(
            (2..=100_000).contains(&span),
            "slippage.span_bars",
            format!("is {span}; it must lie between 2 and 100000"),
        );
    }
}

/// Funding of perpetual futures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FundingConfig {
    /// Hours between fundings, from 1 to 24; they are due at whole multiples since 1970.
    pub interval_hours: u32,
    /// What long positions pay at each, in basis points of the value, from -1,000 to 1,000.
    pub rate_bps: f64,
}

fn is_zero(value: &f64) -> bool {
    value.abs() == 0.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none_ms(value: &u64) -> bool {
    *value == 0
}

fn one_tick() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one_tick(value: &u32) -> bool {
    *value == 1
}

fn finest() -> f64 {
    FINEST
}

impl ExecutionConfig {
    /// A venue that charges `fee_bps` and moves the price by `slippage_bps`, and nothing else.
    #[must_use]
    pub fn costing(fee_bps: f64, slippage_bps: f64) -> Self {
        Self {
            fee_bps,
            slippage_bps,
            lot_size: FINEST,
            tick_size: FINEST,
            min_notional: 0.0,
            order_expiry_bars: 0,
            maker_fee_bps: None,
            fee_tiers: Vec::new(),
            spread_bps: 0.0,
            slippage: SlippageConfig::None,
            latency_ms: 0,
            participation: None,
            limit_through_ticks: 1,
            limit_queue_ahead: 0.0,
            funding: None,
            borrow_annual_bps: 0.0,
            symbols: BTreeMap::new(),
        }
    }

    /// Every problem of these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.within("fee_bps", self.fee_bps, (0.0, 1_000.0));
        problems.within("slippage_bps", self.slippage_bps, (0.0, 1_000.0));
        problems.within("lot_size", self.lot_size, (FINEST, 1e9));
        problems.within("tick_size", self.tick_size, (FINEST, 1e9));
        problems.within("min_notional", self.min_notional, (0.0, 1e9));
        problems.within("spread_bps", self.spread_bps, (0.0, 1_000.0));
        problems.within("limit_queue_ahead", self.limit_queue_ahead, (0.0, 100.0));
        problems.within(
            "borrow_annual_bps",
            self.borrow_annual_bps,
            (0.0, 100_000.0),
        );
        if let Some(maker) = self.maker_fee_bps {
            problems.within("maker_fee_bps", maker, (-100.0, 1_000.0));
        }
        if let Some(part) = self.participation {
            problems.above_zero("participation", part, 1.0);
        }
        problems.require(
            self.latency_ms <= 86_400_000,
            "latency_ms",
            format!("is {}; a day (86400000) is the most", self.latency_ms),
        );
        self.slippage.validate(&mut problems);
        self.validate_tiers(&mut problems);
        if let Some(funding) = &self.funding {
            problems.within("funding.rate_bps", funding.rate_bps, (-1_000.0, 1_000.0));
            let hours = funding.interval_hours;
            problems.require(
                (1..=24).contains(&hours),
                "funding.interval_hours",
                format!("is {hours}; it must lie between 1 and 24"),
            );
        }
        let has_tiers = !self.fee_tiers.is_empty();
        for (name, own) in &self.symbols {
            own.validate(name, has_tiers, &mut problems);
        }
        self.validate_book(&mut problems);
        problems.into_vec()
    }

    /// Order books hold the spread; another one would be counted twice.
    fn validate_book(&self, problems: &mut Problems) {
        if !matches!(self.slippage, SlippageConfig::Book { .. }) {
            return;
        }
        let message = "is set beside `slippage.kind = \"book\"`, whose levels hold the spread; \
                       leave it out";
        problems.require(is_zero(&self.spread_bps), "spread_bps", message);
        for (name, own) in &self.symbols {
            let is_plain = own.spread_bps.is_none_or(|spread| is_zero(&spread));
            problems.require(is_plain, &format!("symbols.{name}.spread_bps"), message);
        }
    }

    /// What is wrong with these settings for a run of the symbols called `names`.
    #[must_use]
    pub fn unknown_symbols(&self, names: &[&str]) -> Vec<Problem> {
        let mut problems = Problems::default();
        for name in self.symbols.keys() {
            problems.require(
                names.contains(&name.as_str()),
                &format!("symbols.{name}"),
                format!("is no symbol of the run; it has {}", names.join(", ")),
            );
        }
        problems.into_vec()
    }

    fn validate_tiers(&self, problems: &mut Problems) {
        let mut before = 0.0;
        for (number, tier) in self.fee_tiers.iter().enumerate() {
            let key = |name: &str| format!("fee_tiers.{number}.{name}");
            problems.within(&key("maker_bps"), tier.maker_bps, (-100.0, 1_000.0));
            problems.within(&key("taker_bps"), tier.taker_bps, (0.0, 1_000.0));
            problems.require(
                tier.traded.is_finite() && tier.traded > before && tier.traded < 1e11,
                &key("traded"),
                format!("is {}; tiers must ascend from above 0 to 1e11", tier.traded),
            );
            before = tier.traded;
        }
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
            ..ExecutionConfig::costing(-1.0, f64::NAN)
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
