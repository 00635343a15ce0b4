//! The strategy after costs, its benchmarks, its trades.

use fusebox_engine::types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Analysis, Estimate, Interval, Period};

/// The out-of-sample backtest and its benchmarks, over the same bars and with the same costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trading {
    /// The reporting currency, such as `USDT`: that of every amount but those of trades and
    /// balances.
    pub currency: String,
    /// What the cash at the start is worth, for the strategy and for each benchmark.
    pub initial_cash: f64,
    /// The traded range.
    pub period: Period,
    /// One point for each closing time, ascending. Charts thin it out; numbers never do.
    pub curve: Vec<CurvePoint>,
    /// The strategy.
    pub strategy: Performance,
    /// Equal weights bought at the first open and held.
    pub buy_and_hold: Performance,
    /// Cash only.
    pub flat: Performance,
    /// Annualised mean return of the strategy minus that of buy and hold.
    pub excess_return: Estimate,
    /// Probability that the true Sharpe ratio is above 0 (Bailey and Lopez de Prado 2012).
    pub probabilistic_sharpe_ratio: Option<f64>,
    /// The same against the best Sharpe ratio that `trials` tries would show by luck (2014).
    pub deflated_sharpe_ratio: Option<f64>,
    /// Bars of returns like the strategy's until `probabilistic_sharpe_ratio` reaches the level of
    /// the intervals (2012); `None` where no number is enough.
    pub minimum_track_record_bars: Option<u64>,
    /// Bars of returns that the strategy has.
    pub track_record_bars: u64,
    /// Configurations tried, this one included.
    pub trials: u32,
    /// Calendar months (UTC), ascending.
    pub monthly_returns: Vec<MonthReturn>,
    /// What trading cost.
    pub costs: Costs,
    /// What there is of each currency, the reporting one first; empty where there is one only.
    #[serde(default)]
    pub balances: Vec<Balance>,
    /// Refused orders by reason.
    pub refusals: Vec<NamedCount>,
    /// Approved orders that expired before a bar could fill them.
    pub expired_orders: u64,
    /// Totals by symbol, in id order.
    pub symbols: Vec<SymbolSummary>,
    /// All round trips, in order of entry. The page lists the last ones and says how many.
    pub trades: Vec<TradeRow>,
    /// What lies behind the figures: costs of everything compared, regimes, luck, capacity.
    pub analysis: Analysis,
}

/// The state at one closing time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Close time of the bar.
    pub closed_at: Timestamp,
    /// Equity of the strategy.
    pub strategy_equity: f64,
    /// Equity of buy and hold.
    pub buy_and_hold_equity: f64,
    /// Sum of absolute position values over the strategy's equity: its leverage.
    pub gross_exposure: f64,
    /// Sum of position values with their signs over the strategy's equity.
    pub net_exposure: f64,
    /// Value traded in this step over the strategy's equity.
    pub turnover: f64,
    /// Sum of `turnover` over the rolling window; `None` before there is a whole one.
    pub rolling_turnover: Option<f64>,
    /// Annualised Sharpe ratio of the strategy over the rolling window; `None` where it is not
    /// defined.
    pub rolling_sharpe_ratio: Option<f64>,
    /// The same of buy and hold.
    pub buy_and_hold_rolling_sharpe_ratio: Option<f64>,
}

/// Key figures of one equity curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Equity at the end.
    pub final_equity: Option<f64>,
    /// Final equity over initial cash, minus 1.
    pub total_return: Option<f64>,
    /// Compound annual growth rate.
    pub annual_growth_rate: Option<f64>,
    /// Annualised standard deviation of bar returns.
    pub annual_volatility: Option<f64>,
    /// Annualised Sharpe ratio, risk-free rate 0, with a block-bootstrap interval.
    pub sharpe_ratio: Estimate,
    /// The Sharpe ratio annualised with the autocorrelations of the bar returns (Lo 2002).
    pub autocorrelation_corrected_sharpe_ratio: Option<f64>,
    /// Annualised Sortino ratio, target 0.
    pub sortino_ratio: Option<f64>,
    /// Annual growth rate over maximum drawdown.
    pub calmar_ratio: Option<f64>,
    /// Largest fall from a peak, a positive fraction of the peak.
    pub max_drawdown: Option<f64>,
    /// Longest time below a peak, in days.
    pub longest_drawdown_days: Option<f64>,
    /// Size of the 95th percentile of bar returns over that of the 5th.
    pub tail_ratio: Option<f64>,
    /// Round trips.
    pub trades: Option<u64>,
    /// Share of round trips with a net profit.
    pub win_rate: Option<f64>,
    /// Sum of profits over sum of losses, net.
    pub profit_factor: Option<f64>,
    /// Mean net return of a round trip.
    pub mean_trade_return: Option<f64>,
    /// Mean holding time of a round trip in bars.
    pub mean_bars_held: Option<f64>,
    /// Traded value a year over mean equity.
    pub annual_turnover: Option<f64>,
    /// Share of bars with an open position.
    pub time_in_market: Option<f64>,
    /// Mean gross exposure over all bars.
    pub mean_exposure: Option<f64>,
    /// Block-bootstrap intervals of figures above.
    pub intervals: FigureIntervals,
}

/// Intervals of the key figures, each where it is defined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FigureIntervals {
    /// Of the total return.
    pub total_return: Option<Interval>,
    /// Of the compound annual growth rate.
    pub annual_growth_rate: Option<Interval>,
    /// Of the annualised volatility.
    pub annual_volatility: Option<Interval>,
    /// Of the maximum drawdown.
    pub max_drawdown: Option<Interval>,
    /// Of the win rate.
    pub win_rate: Option<Interval>,
    /// Of the mean net return of a round trip.
    pub mean_trade_return: Option<Interval>,
}

/// Returns of one calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MonthReturn {
    /// Year.
    pub year: i16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Return of the strategy.
    pub strategy: Option<f64>,
    /// Return of buy and hold.
    pub buy_and_hold: Option<f64>,
}

/// From gross to net: `gross_profit - fees - spread - impact - liquidation + funding + interest +
/// insurance + currency_effect = net_profit`. The amounts are whole units of 1e-8 that sum exactly
/// before they are written as floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Profit at the undisturbed prices, before everything below.
    pub gross_profit: f64,
    /// Fees of trading paid; rebates are taken off.
    pub fees: f64,
    /// Paid through half of the spread.
    pub spread: f64,
    /// Paid through worse prices beside the spread: fixed slippage, and what one's own size moves.
    pub impact: f64,
    /// Fees of liquidations beside those of trading.
    pub liquidation: f64,
    /// Funding received; negative was paid.
    pub funding: f64,
    /// Interest on what was borrowed; negative was paid.
    pub interest: f64,
    /// What the exchange bore of liquidated positions.
    pub insurance: f64,
    /// What changes of rates made of what the account had.
    #[serde(default)]
    pub currency_effect: f64,
    /// Profit after all of it, open positions marked at the last close.
    pub net_profit: f64,
    /// Value traded.
    pub traded_value: f64,
    /// Orders filled.
    pub fills: u64,
}

/// What there is of one currency at the end, in its own units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The currency.
    pub currency: String,
    /// Cash at the start.
    pub initial: f64,
    /// Cash; negative is borrowed.
    pub cash: f64,
    /// Positions that are quoted in it, at their last closes.
    pub positions: f64,
    /// Profit of what was closed, after slippage and before fees.
    pub realised: f64,
    /// Profit of what is held, after slippage and before fees.
    pub unrealised: f64,
    /// Fees paid.
    pub fees: f64,
    /// Funding, interest and insurance received; negative was paid.
    pub payments: f64,
    /// The last rate: what one is worth in the reporting currency; `None` where it never was known.
    pub rate: Option<f64>,
    /// Cash and positions in the reporting currency.
    pub worth: f64,
    /// What the rate is taken from.
    pub source: String,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCount {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// Totals of one symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SymbolSummary {
    /// Symbol.
    pub symbol: String,
    /// Round trips.
    pub trades: u64,
    /// Share with a net profit.
    pub win_rate: Option<f64>,
    /// Sum of profits over sum of losses, net.
    pub profit_factor: Option<f64>,
    /// Mean net return of a round trip.
    pub mean_trade_return: Option<f64>,
    /// Mean holding time in bars.
    pub mean_bars_held: Option<f64>,
    /// Bars of the symbol in the traded range.
    pub bars: u64,
    /// Its net profit over the initial cash: its part of the total return.
    pub contribution: f64,
    /// Annualised Sharpe ratio of its profit in each step over equity before the step.
    pub sharpe_ratio: Option<f64>,
    /// From gross to net.
    pub costs: Costs,
}

/// Direction of a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TradeSide {
    /// Bought first.
    Long,
    /// Sold first.
    Short,
}

/// One round trip; amounts are in what its symbol is quoted in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TradeRow {
    /// Symbol.
    pub symbol: String,
    /// What it is quoted in.
    #[serde(default)]
    pub currency: String,
    /// What one of that was worth in the reporting currency when the trade ended, or at the end.
    #[serde(default = "one")]
    pub rate: f64,
    /// Direction.
    pub side: TradeSide,
    /// Open time of the bar of the entry fill.
    pub entered_at: Timestamp,
    /// Open time of the bar of the last exit fill; `None` while the position is open.
    pub exited_at: Option<Timestamp>,
    /// All that was bought (sold, for a short) in the base asset, positive.
    pub quantity: f64,
    /// Mean entry price.
    pub entry_price: f64,
    /// Mean exit price; `None` while the position is open.
    pub exit_price: Option<f64>,
    /// Profit at the undisturbed prices, without fees.
    pub gross_profit: f64,
    /// Fees of all its fills.
    pub fees: f64,
    /// Slippage of all its fills.
    pub slippage: f64,
    /// Profit after both.
    pub net_profit: f64,
    /// Net profit over the value at entry.
    pub net_return: Option<f64>,
    /// Bars between entry and exit.
    pub bars_held: u64,
    /// Why it was closed, such as `signal`; `open` while it is not.
    pub exit_reason: String,
}

fn one() -> f64 {
    1.0
}
