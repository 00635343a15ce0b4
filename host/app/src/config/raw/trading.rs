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
    /// How positions are opened.
    pub(crate) entry: RawEntry,
    /// What protects a position: orders at the exchange from its first fill on.
    pub(crate) protection: RawProtection,
}

/// `[strategy.entry]`. Offsets are in basis points of the close at which the entry is decided; a
/// turn to the other side is always a plain market order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawEntry {
    /// At the market.
    Market {
        /// What becomes of what the first bar does not fill.
        #[serde(default)]
        time_in_force: RawMarketTime,
    },
    /// By a limit order that waits; a signal for another side cancels it.
    Limit {
        /// How far below the close a purchase waits (a sale above it), in basis points; below 0 it
        /// may take.
        #[schemars(range(min = -5_000, max = 10_000))]
        offset_bps: f64,
        /// Bars that it waits.
        #[schemars(range(min = 1, max = 10_000))]
        valid_bars: u32,
        /// How it waits.
        #[serde(default)]
        time_in_force: RawEntryTime,
    },
    /// By a stop: a market order once the price has moved the position's way.
    Stop {
        /// How far above the close a purchase is triggered (a sale below it), in basis points; at
        /// most `risk.price_collar_bps`, which it may not fill beyond.
        #[schemars(range(min = 0, max = 10_000))]
        offset_bps: f64,
        /// Bars that it waits.
        #[schemars(range(min = 1, max = 10_000))]
        valid_bars: u32,
        /// What becomes of what does not fill when it is triggered.
        #[serde(default)]
        time_in_force: RawMarketTime,
    },
    /// By a stop that becomes a limit order.
    StopLimit {
        /// How far above the close a purchase is triggered (a sale below it), in basis points; at
        /// most `risk.price_collar_bps`, which it may not fill beyond.
        #[schemars(range(min = 0, max = 10_000))]
        offset_bps: f64,
        /// How far above its trigger a purchase may fill (a sale below it), in basis points of the
        /// close; below 0 it waits for the price to come back.
        #[schemars(range(min = -5_000, max = 10_000))]
        limit_offset_bps: f64,
        /// Bars that it waits.
        #[schemars(range(min = 1, max = 10_000))]
        valid_bars: u32,
        /// How it waits once it is triggered.
        #[serde(default)]
        time_in_force: RawEntryTime,
    },
}

impl Default for RawEntry {
    fn default() -> Self {
        Self::Market {
            time_in_force: RawMarketTime::default(),
        }
    }
}

/// `time_in_force` of entries that take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawMarketTime {
    /// It waits for the next bars.
    #[default]
    Gtc,
    /// It is cancelled.
    Ioc,
    /// The order fills whole in its first bar, or not at all.
    Fok,
}

/// `time_in_force` of entries with a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawEntryTime {
    /// Until it is filled or `valid_bars` are over.
    #[default]
    Gtc,
    /// It fills what it can in the first bar that it meets; the rest is cancelled.
    Ioc,
    /// It fills whole in the first bar that it meets, or not at all.
    Fok,
    /// As `gtc`, but it must not take: it is rejected where it would fill at once.
    PostOnly,
}

/// `[strategy.protection]`. Distances are parts of the close at which the position was decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawProtection {
    /// Distance of a stop.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(crate) stop_loss: Option<f64>,
    /// Distance of a take-profit.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(crate) take_profit: Option<f64>,
    /// Distance of a trailing stop from the best price.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(crate) trailing_stop: Option<f64>,
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
    /// The largest value of what one order opens, in the reporting currency.
    #[schemars(range(max = 1e10), extend("exclusiveMinimum" = 0))]
    pub(crate) max_order_notional: Option<f64>,
    /// The part of its peak that equity may lose before the breaker closes everything.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub(crate) max_drawdown: Option<f64>,
    /// How many bars old the prediction and the symbol's newest bar may be; 0 is this very bar.
    pub(crate) max_data_age_bars: Option<u32>,
    /// How large a position aims to be; `position_fraction` is the most.
    pub(crate) sizing: RawSizing,
    /// The largest sum of all positions with their signs, in parts of equity.
    #[schemars(range(max = 100), extend("exclusiveMinimum" = 0))]
    pub(crate) max_net_exposure: Option<f64>,
    /// The most that opening orders trade in a UTC day, in parts of equity.
    #[schemars(range(max = 10_000), extend("exclusiveMinimum" = 0))]
    pub(crate) max_daily_turnover: Option<f64>,
    /// The part of its value at the day's beginning (UTC) that equity may lose in a day before the
    /// breaker closes everything.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub(crate) max_daily_loss: Option<f64>,
    /// Bars without data of any symbol from which nothing is opened until somebody resets.
    pub(crate) max_silence_bars: Option<u32>,
    /// Bars after a reset of a breaker in which nothing is opened.
    pub(crate) cool_down_bars: u32,
    /// Whether a breaker resets itself `cool_down_bars` after it tripped.
    pub(crate) reset_after_cool_down: bool,
    /// How far from the last close an opening order may fill, in basis points.
    #[schemars(range(max = 10_000), extend("exclusiveMinimum" = 0))]
    pub(crate) price_collar_bps: Option<f64>,
}

/// `[risk.sizing]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawSizing {
    /// Always `position_fraction`.
    #[default]
    FixedFraction,
    /// As large as gives the position this volatility.
    VolatilityTarget {
        /// Volatility of a year that one position aims at, as a fraction.
        #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
        annual_volatility: f64,
        /// Span of the average that estimates a symbol's volatility, in bars.
        #[schemars(range(min = 2, max = 100_000))]
        span_bars: u32,
    },
    /// A part of Kelly's fraction for an even bet.
    Kelly {
        /// The part; a half or less forgives errors of the probabilities.
        #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
        part: f64,
    },
    /// So that all symbols carry the same risk: by inverse volatility.
    EqualRisk {
        /// Span of the average that estimates volatilities, in bars.
        #[schemars(range(min = 2, max = 100_000))]
        span_bars: u32,
    },
}
