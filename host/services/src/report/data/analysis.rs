//! What lies behind the key figures: who else was run, in which market it earned, how far luck and
//! size matter.

use fusebox_engine::eval::regimes::RegimeOptions;
use fusebox_engine::eval::trading::TradeOrder;
use serde::{Deserialize, Serialize};

use super::Costs;

/// Behind the key figures of a strategy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Steps of the rolling window.
    pub window_steps: u64,
    /// Slices (the finest bars) that the exchange walked through.
    pub slices: u64,
    /// Those of them in which the unknown way inside the bar made a difference; the worse was
    /// taken.
    pub ambiguous_slices: u64,
    /// The strategy, then everything that it has to beat.
    pub compared: Vec<ComparedRow>,
    /// Random strategies with the same time on each side, run without the breakers of loss.
    pub random_runs: u64,
    /// Their mean turnover (traded value over mean equity) as a multiple of the strategy's; `None`
    /// where there were none.
    #[serde(default)]
    pub random_turnover: Option<f64>,
    /// Whether that is from 0.8 to 1.25, so that the turnover may be called the same; `false` where
    /// there were none. Reports from before this was told took it for granted.
    #[serde(default = "granted")]
    pub random_is_alike: bool,
    /// Share of them that ended with at least the strategy's equity: its one-sided p-value against
    /// luck with that turnover; `None` where there were none or the strategy did not trade.
    pub beaten_by_random: Option<f64>,
    /// What belongs to the account and to no symbol, such as interest on borrowed cash.
    pub account_costs: Costs,
    /// In which market it earned.
    pub regimes: RegimeReport,
    /// Monte Carlo of the trades: shuffled, and drawn anew; empty for fewer than two trades.
    pub trade_orders: Vec<TradeOrder>,
    /// The same decisions with more and less capital.
    pub capacity: Capacity,
}

fn granted() -> bool {
    true
}

/// A strategy, or one thing that it has to beat.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparedRow {
    /// What it is.
    pub name: String,
    /// Final equity over initial cash, minus 1.
    pub total_return: Option<f64>,
    /// Annualised Sharpe ratio.
    pub sharpe_ratio: Option<f64>,
    /// Largest fall from a peak, a positive fraction of the peak.
    pub max_drawdown: Option<f64>,
    /// Round trips that ended.
    pub trades: u64,
    /// From gross to net.
    pub costs: Costs,
}

/// Results by kind of market, as known before each bar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegimeReport {
    /// The windows behind the kinds.
    pub options: RegimeOptions,
    /// One row a kind. The rows of one group cover every bar of every symbol once, those of
    /// `both` every bar of which both kinds are known.
    pub rows: Vec<RegimeRow>,
}

impl Default for RegimeReport {
    fn default() -> Self {
        Self {
            options: RegimeOptions {
                volatility_bars: 1,
                trend_bars: 1,
                least_readings: 1,
            },
            rows: Vec::new(),
        }
    }
}

/// Results in one kind of market.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegimeRow {
    /// `volatility`, `trend` or `both`.
    pub group: String,
    /// The kind.
    pub regime: String,
    /// Bars of all symbols.
    pub bars: u64,
    /// Share of them in which the symbol was held at the end.
    pub time_in_market: Option<f64>,
    /// Net profit over the initial cash: its part of the total return.
    pub contribution: f64,
    /// Annualised Sharpe ratio of the profit in each step over equity before the step, over the
    /// steps with such a bar.
    pub sharpe_ratio: Option<f64>,
    /// Round trips that began in it.
    pub trades: u64,
    /// Share of those with a net profit.
    pub win_rate: Option<f64>,
    /// From gross to net.
    pub costs: Costs,
}

/// What the same decisions come to with other amounts of capital.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Whether the simulated exchange makes size cost anything: impact or a limit of
    /// participation. Without, the curve says nothing of capacity.
    pub size_matters: bool,
    /// Multiples that were left out because such an account cannot be: larger than the engine
    /// holds, or smaller than a lot.
    pub left_out: u64,
    /// By capital, ascending.
    pub points: Vec<CapacityPoint>,
}

/// One amount of capital.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CapacityPoint {
    /// Cash at the start.
    pub capital: f64,
    /// Parts of the run's own initial cash.
    pub multiple: f64,
    /// Final equity over initial cash, minus 1.
    pub total_return: Option<f64>,
    /// Compound annual growth rate.
    pub annual_growth_rate: Option<f64>,
    /// Annualised Sharpe ratio.
    pub sharpe_ratio: Option<f64>,
    /// Largest fall from a peak, a positive fraction of the peak.
    pub max_drawdown: Option<f64>,
    /// Value traded.
    pub traded_value: f64,
    /// Fees, spread, impact and liquidations over the value traded, in basis points.
    pub cost_bps: Option<f64>,
    /// Fills.
    pub fills: u64,
    /// Orders that ended unfilled or filled in part.
    pub ended_orders: u64,
    /// Orders that risk refused.
    pub refused_orders: u64,
}
