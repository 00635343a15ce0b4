//! `[strategy]`, `[risk]`, `[execution]` and `[portfolio]`: how predictions are traded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[strategy]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawStrategy {
    /// Opens a long position from this score on, and a short one from its negative down. Score is
    /// the probability of up minus that of down.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub(crate) entry_threshold: Option<f64>,
    /// Keeps a position while the score on its side is at least this; at most `entry_threshold`.
    #[schemars(range(min = -1, max = 1))]
    pub(crate) exit_threshold: Option<f64>,
    /// Bars that a position is held at least, whatever the score.
    pub(crate) minimum_holding_bars: u32,
    /// Opens a position only where the largest of the three probabilities is at least this;
    /// without it, every score counts.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) minimum_confidence: Option<f64>,
    /// Opens short positions too; the account must allow them (`portfolio.allow_short`).
    pub(crate) allow_short: bool,
    /// What becomes of a position when its model fails: crashed, too late, not asked any more, or
    /// an answer that is none.
    pub(crate) fail_safe: RawFailSafe,
    /// With `fail_safe = "last_good"`: bars after which the last good prediction is too old and the
    /// position is closed; at most `risk.max_data_age_bars`.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) last_good_max_bars: Option<u32>,
}

/// `strategy.fail_safe`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFailSafe {
    /// Closes the position.
    #[default]
    Flatten,
    /// Keeps what is held and opens nothing.
    Hold,
    /// Lets the newest good prediction stand in, and closes the position once that is too old.
    LastGood,
}

/// `[risk]`. A limit that is not set refuses every order, so a run wants all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRisk {
    /// The part of equity that one position aims at.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub(crate) position_fraction: Option<f64>,
    /// The largest part of equity that an order may bring one position to.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub(crate) max_symbol_weight: Option<f64>,
    /// The largest sum of all positions without their signs, in parts of equity. An order is made
    /// smaller to fit.
    #[schemars(range(max = 100), extend("exclusiveMinimum" = 0))]
    pub(crate) max_gross_exposure: Option<f64>,
    /// The largest value of what one order opens, in the quote asset.
    #[schemars(range(max = 1e10), extend("exclusiveMinimum" = 0))]
    pub(crate) max_order_notional: Option<f64>,
    /// The part of its peak that equity may lose before the breaker closes everything.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub(crate) max_drawdown: Option<f64>,
    /// How many bars old the prediction and the symbol's newest bar may be; 0 is this very bar.
    pub(crate) max_data_age_bars: Option<u32>,
}

/// `[execution]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawExecution {
    /// Fee of every fill, in basis points of its value. It has no default: a backtest without
    /// costs must be asked for in writing.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) fee_bps: Option<f64>,
    /// How far every fill is worse than the open, in basis points of the price. It has no default
    /// either.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) slippage_bps: Option<f64>,
    /// Quantities are multiples of this, in the base asset.
    #[schemars(range(min = 1e-8, max = 1e9))]
    pub(crate) lot_size: f64,
    /// Prices are multiples of this, in the quote asset.
    #[schemars(range(min = 1e-8, max = 1e9))]
    pub(crate) tick_size: f64,
    /// The smallest value of an order that opens a position, in the quote asset; closing orders
    /// are exempt.
    #[schemars(range(min = 0, max = 1e9))]
    pub(crate) min_notional: f64,
    /// How many missing bars an order waits for; with 0 it fills in the next bar or not at all.
    pub(crate) order_expiry_bars: u32,
}

impl Default for RawExecution {
    fn default() -> Self {
        Self {
            fee_bps: None,
            slippage_bps: None,
            lot_size: 1e-8,
            tick_size: 1e-8,
            min_notional: 0.0,
            order_expiry_bars: 0,
        }
    }
}

/// `[portfolio]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPortfolio {
    /// Cash at the start, in the quote asset.
    #[schemars(range(max = 1e10), extend("exclusiveMinimum" = 0))]
    pub(crate) initial_cash: f64,
    /// Whether the account may borrow: sell what it does not have, and spend more than its cash.
    /// Without it, purchases are cut to the cash.
    pub(crate) allow_short: bool,
}

impl Default for RawPortfolio {
    fn default() -> Self {
        Self {
            initial_cash: 100_000.0,
            allow_short: false,
        }
    }
}
