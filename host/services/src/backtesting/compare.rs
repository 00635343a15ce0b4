//! A strategy beside what it has to beat: cash, buy and hold, rules, and random sides with the same
//! turnover.

use fusebox_engine::backtest::{BacktestResult, BacktestSpec, Rule, buy_and_hold, flat, run_rule};
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::{Market, Timestamp};
use serde::Serialize;

use super::BacktestingError;

/// Random strategies that the strategy is ranked among.
const RANDOM_RUNS: u64 = 100;

/// One strategy, or one thing to compare with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Return over the whole time, as a fraction.
    pub total_return: f64,
    /// Annualised Sharpe ratio of the steps' simple returns; `None` where nothing varied.
    pub sharpe: Option<f64>,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Fees paid, in parts of the initial cash.
    pub fees: f64,
    /// What spread and slippage have cost, in parts of the initial cash.
    pub slippage: f64,
    /// Funding and interest received (negative: paid), in parts of the initial cash.
    pub payments: f64,
    /// Value of all fills, in parts of the initial cash.
    pub turnover: f64,
    /// Round trips that ended.
    pub trades: usize,
}

/// A strategy and its benchmarks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The strategy, then the benchmarks.
    pub lines: Vec<Line>,
    /// Random strategies with the same turnover and the same time on each side.
    pub random_runs: u64,
    /// Share of them with a higher return than the strategy: its one-sided p-value against luck
    /// with the same turnover, with one added to both counts; `None` where the strategy did not
    /// trade.
    pub beaten_by_random: Option<f64>,
}

/// Runs the benchmarks of `result` over `range`.
///
/// # Errors
/// [`BacktestingError`] where the settings are wrong.
pub fn compare(
    market: &Market,
    config: &SessionConfig,
    range: Option<(Timestamp, Timestamp)>,
    (name, result, seed): (&str, &BacktestResult, u64),
) -> Result<Compared, BacktestingError> {
    let spec = BacktestSpec {
        market,
        config,
        config_digest: "",
    };
    let per_year = market.time_frame().bars_per_year();
    let line = |name: &str, result: &BacktestResult| line(name, result, per_year);
    let mut lines = vec![
        line(name, result),
        line("cash", &flat(market, config, range)?),
        line("buy and hold", &buy_and_hold(market, config, range)?),
    ];
    let rules = [
        Rule::MomentumCrossover {
            fast_bars: 24,
            slow_bars: 96,
        },
        Rule::MeanReversion {
            window_bars: 48,
            entry: 2.0,
        },
    ];
    for rule in rules {
        lines.push(line(rule.name(), &run_rule(&spec, rule, range)?));
    }
    let traded = !result.fills.is_empty();
    let bars = result.equity.len() * market.series().len();
    let mut above = 0_u64;
    let mut typical: Vec<Line> = Vec::new();
    if traded {
        for run in 0..RANDOM_RUNS {
            let rule = Rule::random_like(result, bars, seed.wrapping_add(run));
            let random = run_rule(&spec, rule, range)?;
            above += u64::from(random.final_equity() >= result.final_equity());
            typical.push(line("random, same turnover (median)", &random));
        }
        typical.sort_by(|a, b| a.total_return.total_cmp(&b.total_return));
        lines.extend(typical.get(typical.len() / 2).cloned());
    }
    Ok(Compared {
        lines,
        random_runs: if traded { RANDOM_RUNS } else { 0 },
        beaten_by_random: traded.then(|| (above + 1) as f64 / (RANDOM_RUNS + 1) as f64),
    })
}

fn line(name: &str, result: &BacktestResult, per_year: f64) -> Line {
    let initial = result.initial_cash.to_f64();
    let part = |amount: f64| if initial > 0.0 { amount / initial } else { 0.0 };
    let mut peak = initial;
    let (mut deepest, mut last) = (0.0_f64, initial);
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for point in &result.equity {
        let equity = point.equity.to_f64();
        peak = peak.max(equity);
        deepest = deepest.max(1.0 - equity / peak);
        let change = equity / last - 1.0;
        (sum, squares, count) = (sum + change, squares + change * change, count + 1.0);
        last = equity;
    }
    let mean = if count > 0.0 { sum / count } else { 0.0 };
    // Sample deviation, as in the reports.
    let variance = (count > 1.0).then(|| (squares - count * mean * mean) / (count - 1.0));
    let sharpe = variance
        .filter(|variance| *variance > 0.0)
        .map(|variance| mean / variance.sqrt() * per_year.sqrt());
    let explained = result.realised + result.unrealised - result.costs.fees;
    let payments = result.final_equity() - result.initial_cash - explained;
    Line {
        name: name.to_owned(),
        total_return: part(result.final_equity().to_f64()) - 1.0,
        sharpe,
        max_drawdown: deepest,
        fees: part(result.costs.fees.to_f64()),
        slippage: part(result.costs.slippage.to_f64()),
        payments: part(payments.to_f64()),
        turnover: part(result.costs.turnover.to_f64()),
        trades: result.trades.len(),
    }
}
