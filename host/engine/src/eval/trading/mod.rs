//! Metrics of an equity curve and of the trades behind it.
//!
//! Returns are simple returns from one step to the next. A curve that touches zero or less has no
//! returns from there on; whatever needs them is not defined.

mod annual_growth;
mod annual_turnover;
mod annual_volatility;
mod average_holding;
mod average_trade;
mod calmar;
mod drawdown;
mod exposure;
mod headline;
mod monthly;
mod newey_west;
pub(crate) mod normal;
mod paired;
mod profit_factor;
mod report;
mod rolling;
mod sharpe;
mod sharpe_autocorrelation;
mod sharpe_significance;
mod sortino;
mod tail_ratio;
mod time_in_market;
mod total_return;
mod trade_order;
mod win_rate;

use super::varies;
use crate::types::Timestamp;

pub use annual_growth::AnnualGrowth;
pub use annual_turnover::AnnualTurnover;
pub use annual_volatility::AnnualVolatility;
pub use average_holding::AverageHolding;
pub use average_trade::AverageTrade;
pub use calmar::Calmar;
pub use drawdown::{Drawdown, MaxDrawdown, deepest_drawdown, drawdowns, longest_drawdown_nanos};
pub use exposure::Exposure;
pub use headline::{HeadlineIntervals, TradeRecord};
pub use monthly::{MonthlyReturn, monthly_returns};
pub use newey_west::{newey_west_lags, newey_west_t};
pub use paired::{PairedDifference, PairedOptions};
pub use profit_factor::ProfitFactor;
pub use report::{TradingReport, TradingReportOptions};
pub use rolling::rolling_sharpe;
pub use sharpe::Sharpe;
pub use sharpe_autocorrelation::{
    LoSharpe, autocorrelations, lo_annualisation, normal_sharpe_standard_error,
    sharpe_standard_error,
};
pub use sharpe_significance::{
    SharpeEvidence, deflated_sharpe, expected_best_sharpe, probabilistic_sharpe,
};
pub use sortino::Sortino;
pub use tail_ratio::TailRatio;
pub use time_in_market::TimeInMarket;
pub use total_return::TotalReturn;
pub use trade_order::{FanPoint, TRADE_PERCENTILES, TradeDraw, TradeOrder};
pub use win_rate::WinRate;

/// A traded history, step by step; all slices have one entry per step.
#[derive(Debug, Clone, Copy)]
pub struct TradingHistory<'a> {
    /// When each step ended, ascending.
    pub times: &'a [Timestamp],
    /// Equity in the reporting currency; the first entry is the initial capital.
    pub equity: &'a [f64],
    /// Equity of the benchmark, such as buy and hold, with the same initial capital.
    pub benchmark: Option<&'a [f64]>,
    /// Sum of the absolute values of the positions, as a share of equity.
    pub gross_exposure: &'a [f64],
    /// Closed trades.
    pub trades: &'a [TradeOutcome],
    /// Sum of the absolute values of all fills, in the reporting currency.
    pub traded_notional: f64,
    /// Steps in a year, for annualising; see `TimeFrame::bars_per_year`.
    pub steps_per_year: f64,
}

/// A closed trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeOutcome {
    /// Profit after all costs, in the reporting currency.
    pub profit: f64,
    /// Bars from entry to exit.
    pub bars_held: u64,
}

/// Days of a year, as in `TimeFrame::bars_per_year`.
const NANOS_PER_YEAR: f64 = 365.0 * 24.0 * 3600.0 * 1e9;

impl TradingHistory<'_> {
    /// Returns from step to step; `None` where the curve has fewer than two steps or touches zero.
    pub(super) fn returns(&self) -> Option<Vec<f64>> {
        returns_of(self.equity)
    }

    /// Time covered, in years of 365 days; `None` where no time passes.
    pub(super) fn years(&self) -> Option<f64> {
        let nanos = self.times.last()?.nanos_since(*self.times.first()?);
        (nanos > 0).then(|| nanos as f64 / NANOS_PER_YEAR)
    }
}

/// Returns of a curve from step to step; `None` for fewer than two steps or a value not above zero.
pub(super) fn returns_of(equity: &[f64]) -> Option<Vec<f64>> {
    let is_fine = equity.len() > 1 && equity.iter().all(|value| *value > 0.0 && value.is_finite());
    is_fine.then(|| {
        equity
            .windows(2)
            .map(|pair| pair[1] / pair[0] - 1.0)
            .collect()
    })
}

/// Mean of values; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation with `lost` degrees of freedom lost, exactly 0 of equal values; `None` where
/// nothing is left.
pub(super) fn deviation(values: &[f64], lost: usize) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = match varies(values) {
        true => values.iter().map(|value| (value - mean).powi(2)).sum(),
        false => 0.0,
    };
    (values.len() > lost).then(|| (squares / (values.len() - lost) as f64).sqrt())
}

/// A number that tells how a history went.
pub trait TradingMetric: Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// The value; `None` where it is not defined.
    fn value(&self, history: &TradingHistory<'_>) -> Option<f64>;
}

/// Every metric that is one number.
pub fn trading_metrics() -> impl Iterator<Item = &'static dyn TradingMetric> {
    const ALL: [&dyn TradingMetric; 16] = [
        &TotalReturn,
        &AnnualGrowth,
        &AnnualVolatility,
        &Sharpe,
        &LoSharpe,
        &Sortino,
        &Calmar,
        &MaxDrawdown,
        &TailRatio,
        &WinRate,
        &ProfitFactor,
        &AverageTrade,
        &AverageHolding,
        &AnnualTurnover,
        &Exposure,
        &TimeInMarket,
    ];
    ALL.into_iter()
}

#[cfg(test)]
mod tests;
