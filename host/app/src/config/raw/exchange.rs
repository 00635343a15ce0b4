//! `[execution]` and `[portfolio]`: the simulated exchange, and the account that trades there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[execution]`. What these do to an order is in `docs/execution.md`.
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
    /// The smallest value of an order that opens a position, in what its symbol is quoted in;
    /// closing orders are exempt. Symbols that are not quoted in the reporting currency need one of
    /// their own beside it.
    #[schemars(range(min = 0, max = 1e9))]
    pub(crate) min_notional: f64,
    /// How many missing bars an order waits for; with 0 it fills in the next bar or not at all.
    pub(crate) order_expiry_bars: u32,
    /// Fee of orders that rested and were taken; `fee_bps` where it is not set. Negative is a
    /// rebate.
    #[schemars(range(min = -100, max = 1000))]
    pub(crate) maker_fee_bps: Option<f64>,
    /// Fees of accounts that trade more, ascending.
    pub(crate) fee_tiers: Vec<RawFeeTier>,
    /// The whole spread in basis points of the price; a taker pays half.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) spread_bps: f64,
    /// Slippage that depends on the market, beside `slippage_bps`.
    pub(crate) slippage: RawSlippage,
    /// Milliseconds from a decision until its order is at the exchange.
    #[schemars(range(max = 86_400_000))]
    pub(crate) latency_ms: u64,
    /// Part of a bar's volume that fills may take; without it, everything fills.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub(crate) participation: Option<f64>,
    /// Ticks beyond a limit order's price that the market must trade before it fills; 0 is a touch,
    /// behind a queue.
    pub(crate) limit_through_ticks: u32,
    /// Parts of a bar's volume that are in the queue before a limit order; counts with
    /// `limit_through_ticks = 0`.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) limit_queue_ahead: f64,
    /// Funding of perpetual futures at a constant rate.
    pub(crate) funding: Option<RawFunding>,
    /// Recorded funding rates instead of a constant one: a CSV or Parquet file with the columns
    /// `ts`, `symbol` and `rate` (a fraction, such as 0.0001); relative to the working directory.
    pub(crate) funding_file: Option<String>,
    /// Length of the finer bars in which orders fill, such as `1m` below a signal of `1h`; from
    /// the same source. Without it, orders fill in the bars of the signal.
    pub(crate) fine_time_frame: Option<String>,
    /// What single symbols have differently, by name.
    pub(crate) symbols: BTreeMap<String, RawSymbolRules>,
    /// Interest of a year on what is borrowed, in basis points.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) borrow_annual_bps: f64,
}

/// `[[execution.fee_tiers]]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFeeTier {
    /// Notional of 30 days, in the reporting currency, from which these fees count.
    #[schemars(range(max = 1e11), extend("exclusiveMinimum" = 0))]
    pub(crate) traded: f64,
    /// Fee of makers in basis points; negative is a rebate.
    #[schemars(range(min = -100, max = 1000))]
    pub(crate) maker_bps: f64,
    /// Fee of takers in basis points.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) taker_bps: f64,
}

/// `[execution.slippage]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawSlippage {
    /// None.
    #[default]
    None,
    /// In proportion to the volatility of the bars before.
    Volatility {
        /// Parts of one standard deviation of a bar.
        #[schemars(range(min = 0, max = 10))]
        factor: f64,
        /// Span of the average that estimates it, in bars.
        #[schemars(range(min = 2, max = 100_000))]
        span_bars: u32,
    },
    /// The square-root law: `factor x volatility x sqrt(quantity / volume of a bar)`.
    Impact {
        /// Its factor; about 1 in the literature.
        #[schemars(range(min = 0, max = 10))]
        factor: f64,
        /// Span of the averages of volatility and volume, in bars.
        #[schemars(range(min = 2, max = 100_000))]
        span_bars: u32,
    },
    /// By the levels of recorded order books, which hold the spread too.
    Book {
        /// The order books: a CSV or Parquet file with the columns `ts`, `symbol`, `side` (`bid` or
        /// `ask`), `price` and `size`; relative to the working directory.
        file: String,
        /// Milliseconds after which an order book says nothing any more.
        #[schemars(range(min = 1, max = 604_800_000))]
        max_age_ms: u64,
        /// Basis points for what the books do not say: of the price where there is no book that is
        /// young enough, and beyond its last level where an order takes more than there is.
        #[schemars(range(min = 0, max = 10_000))]
        otherwise_bps: f64,
    },
}

/// `[execution.symbols.NAME]`: what is not set is that of `[execution]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawSymbolRules {
    /// What it trades, such as `"ETH"`; by its name where that ends in a well-known currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    /// What it is quoted in, such as `"BTC"`: its fees, payments and profits are in that. By its
    /// name where that ends in a well-known currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quote: Option<String>,
    /// Fee of every fill in basis points; not beside `fee_tiers`. Makers pay it too where they have
    /// no fee of their own here.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) fee_bps: Option<f64>,
    /// Fee of orders that rested and were taken; negative is a rebate. Not beside `fee_tiers`.
    #[schemars(range(min = -100, max = 1000))]
    pub(crate) maker_fee_bps: Option<f64>,
    /// How far every fill is worse than the price that it meets, in basis points.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) slippage_bps: Option<f64>,
    /// The whole spread in basis points of the price.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) spread_bps: Option<f64>,
    /// Quantities are multiples of this, in the base asset.
    #[schemars(range(min = 1e-8, max = 1e9))]
    pub(crate) lot_size: Option<f64>,
    /// Prices are multiples of this, in the quote asset.
    #[schemars(range(min = 1e-8, max = 1e9))]
    pub(crate) tick_size: Option<f64>,
    /// The smallest value of an order that opens a position, in the quote asset.
    #[schemars(range(min = 0, max = 1e9))]
    pub(crate) min_notional: Option<f64>,
    /// The most leverage; the account's own (`portfolio.margin.leverage`) where that is less.
    #[schemars(range(min = 1, max = 125))]
    pub(crate) max_leverage: Option<f64>,
}

/// `[execution.funding]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFunding {
    /// Hours between fundings; they are due at whole multiples since 1970.
    #[schemars(range(min = 1, max = 24))]
    pub(crate) interval_hours: u32,
    /// What long positions pay at each, in basis points of the value.
    #[schemars(range(min = -1000, max = 1000))]
    pub(crate) rate_bps: f64,
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
            maker_fee_bps: None,
            fee_tiers: Vec::new(),
            spread_bps: 0.0,
            slippage: RawSlippage::None,
            latency_ms: 0,
            participation: None,
            limit_through_ticks: 1,
            limit_queue_ahead: 0.0,
            funding: None,
            funding_file: None,
            fine_time_frame: None,
            symbols: BTreeMap::new(),
            borrow_annual_bps: 0.0,
        }
    }
}

/// `[portfolio]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawPortfolio {
    /// Cash at the start: a number, in the reporting currency, or a table by currency, such as
    /// `{ USDT = 100000.0, EUR = 5000.0 }`.
    pub(crate) initial_cash: RawInitialCash,
    /// Whether the account may borrow: sell what it does not have, and spend more than its cash.
    /// Without it, purchases are cut to the cash.
    pub(crate) allow_short: bool,
    /// Margin and liquidation; without it, an account that may borrow has no limit.
    pub(crate) margin: Option<RawMargin>,
    /// The reporting currency: equity, risk and the report count in it. Needed where there are
    /// several currencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<String>,
    /// What one of a currency is worth in the reporting one: a number, or the name of the symbol
    /// whose closes say it. Currencies that are left out take the symbol that links them with the
    /// reporting one, or two symbols with one currency between.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rates: BTreeMap<String, RawRate>,
    /// Bars after which a rate of the market is too old to open positions by;
    /// `risk.max_data_age_bars` where it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_rate_age_bars: Option<u32>,
}

/// `portfolio.initial_cash`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawInitialCash {
    /// In the reporting currency.
    One(#[schemars(range(max = 1e10), extend("exclusiveMinimum" = 0))] f64),
    /// By currency, each at most 1e10.
    Each(BTreeMap<String, f64>),
}

/// `portfolio.rates.NAME`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawRate {
    /// So many of the reporting currency.
    Fixed(#[schemars(range(max = 1e10), extend("exclusiveMinimum" = 0))] f64),
    /// The closes of this symbol.
    Symbol(String),
}

/// `[portfolio.margin]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMargin {
    /// What stands behind positions: the whole account (`cross`) or a part for each (`isolated`).
    pub(crate) mode: RawMarginMode,
    /// Value of what may be opened per cash.
    #[schemars(range(min = 1, max = 125))]
    pub(crate) leverage: f64,
    /// Part of a position's value below which it is liquidated; below `1 / leverage`.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(crate) maintenance: f64,
    /// What liquidation costs beside the fee of a taker, in basis points.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) liquidation_fee_bps: f64,
}

/// `portfolio.margin.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawMarginMode {
    /// The whole account stands behind every position.
    Cross,
    /// Each position has its own margin.
    Isolated,
}

impl Default for RawPortfolio {
    fn default() -> Self {
        Self {
            initial_cash: RawInitialCash::One(100_000.0),
            allow_short: false,
            margin: None,
            currency: None,
            rates: BTreeMap::new(),
            max_rate_age_bars: None,
        }
    }
}
