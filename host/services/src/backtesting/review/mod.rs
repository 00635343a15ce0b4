//! What a backtest came to, as reports show it: figures, costs, regimes, luck, capacity.
//!
//! `fusebox run` and `fusebox backtest` fill the same [`Trading`] here, so that both pages say the
//! same of the same trades. Statistics come from the engine; nothing here reads or writes files.

mod balances;
mod capacity;
mod costs;
mod curve;
mod judge;
mod market;
mod parts;
mod trades;

use fusebox_engine::backtest::{BacktestResult, PrecomputedSignals, attribute, total_flows};
use fusebox_engine::eval::trading::{TradeDraw, TradeOrder, TradingReportOptions};
use fusebox_engine::ports::SignalSource as _;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::{CurrencyId, Market, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::BacktestingError;
use super::compare::{Benchmarks, benchmarks};
use crate::progress::Progress;
use crate::report::{Analysis, ComparedRow, Costs, Estimate, Period, Trading};
use crate::training::EvaluationSpec;

pub(crate) use curve::Curve;
pub(crate) use judge::{judge, shown};
pub(crate) use market::market_summary;

/// What a review is about.
#[derive(Debug, Clone, Copy)]
pub struct ReviewSpec<'a> {
    /// The bars.
    pub market: &'a Market,
    /// The session's settings.
    pub session: &'a SessionConfig,
    /// How results are judged.
    pub evaluation: &'a EvaluationSpec,
    /// What the strategy is called.
    pub name: &'a str,
    /// Drives every random choice.
    pub seed: u64,
    /// Steps over which positions persist, such as the labels' horizon.
    pub overlap_steps: usize,
    /// Threads, at least 1; results do not depend on them.
    pub threads: usize,
}

/// A backtest as reports show it, and its equity curve.
#[derive(Debug)]
pub(crate) struct Reviewed {
    pub(crate) trading: Trading,
    pub(crate) curve: Curve,
}

/// Random streams of the run's seed; a number is for one use for good.
const ORDER_STREAM: u64 = u64::MAX - 1;

impl ReviewSpec<'_> {
    fn options(&self) -> TradingReportOptions {
        TradingReportOptions {
            confidence: self.evaluation.confidence,
            bootstrap_samples: self.evaluation.bootstrap_samples,
            trials: self.evaluation.trials,
            trials_variance: None,
            overlap_steps: self.overlap_steps,
        }
    }

    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }
}

/// Reviews `result`, the backtest of `signals`; `ended_orders` ended before they were filled.
///
/// # Errors
/// [`BacktestingError`] where a benchmark cannot be run.
pub(crate) fn review(
    spec: &ReviewSpec<'_>,
    (result, ended_orders): (&BacktestResult, u64),
    signals: &PrecomputedSignals,
    progress: &dyn Progress,
) -> Result<Reviewed, BacktestingError> {
    let benchmarks = benchmarks(spec, signals.range(), result, progress)?;
    let capacity = capacity::capacity(spec, signals, progress)?;
    let market = spec.market;
    let (own, held) = (Curve::of(result), Curve::of(&benchmarks.buy_and_hold));
    let how = (&spec.options(), market.time_frame().bars_per_year());
    let mut random = spec.random(u64::MAX);
    let strategy = judge(result, &own, Some(&held), how, &mut random);
    let benchmark = judge(&benchmarks.buy_and_hold, &held, None, how, &mut random);
    let flat = Curve::of(&benchmarks.flat);
    let cash = judge(&benchmarks.flat, &flat, None, how, &mut random);
    let mut parts = parts::Parts::new(market, result);
    attribute(market, spec.session, result, &mut |step| parts.see(step))?;
    let window = curve::rolling_window(market.time_frame(), own.times.len());
    let excess = strategy.report.excess_return_interval;
    let all = costs::costs_of(&parts.total);
    let analysis = Analysis {
        window_steps: window as u64,
        slices: result.ambiguous_slices.1,
        ambiguous_slices: result.ambiguous_slices.0,
        compared: compared(spec, (result, all), &benchmarks, how)?,
        random_runs: benchmarks.random_runs,
        random_turnover: benchmarks.random_turnover,
        random_is_alike: benchmarks.random_is_alike,
        beaten_by_random: benchmarks.beaten_by_random,
        account_costs: costs::costs_of(&parts.account),
        regimes: parts.regimes(result),
        trade_orders: trade_orders(spec, result, &own),
        capacity,
    };
    let trading = Trading {
        currency: result.currencies.name(CurrencyId::REPORTING).to_owned(),
        initial_cash: result.initial_cash.to_f64(),
        period: period(&own),
        curve: curve::points((&own, &held), &parts.traded, (window, how.1)),
        excess_return: Estimate {
            value: excess.map(|one| one.estimate),
            interval: excess.map(shown),
        },
        probabilistic_sharpe_ratio: strategy.report.probabilistic_sharpe,
        deflated_sharpe_ratio: strategy.report.deflated_sharpe,
        minimum_track_record_bars: strategy.report.minimum_track_record,
        track_record_bars: (strategy.report.steps as u64).saturating_sub(1),
        trials: spec.evaluation.trials,
        monthly_returns: curve::months(&strategy.report.monthly, &benchmark.report.monthly),
        costs: all,
        balances: balances::balances(market, result),
        refusals: trades::refusals(result),
        expired_orders: ended_orders,
        symbols: parts.symbols(result),
        trades: trades::trades(market, result),
        strategy: strategy.performance,
        buy_and_hold: benchmark.performance,
        flat: cash.performance,
        analysis,
    };
    Ok(Reviewed {
        trading,
        curve: own,
    })
}

fn period(curve: &Curve) -> Period {
    let epoch = Timestamp::from_nanos(0);
    Period {
        from: curve.times.first().copied().unwrap_or(epoch),
        to: curve.times.last().copied().unwrap_or(epoch),
    }
}

/// The strategy and everything that it has to beat, in one table.
fn compared(
    spec: &ReviewSpec<'_>,
    (result, costs): (&BacktestResult, Costs),
    benchmarks: &Benchmarks,
    how: (&TradingReportOptions, f64),
) -> Result<Vec<ComparedRow>, BacktestingError> {
    let mut rows = vec![row(spec.name, result, costs, how)];
    for (name, result) in benchmarks.lines() {
        let flows = total_flows(spec.market, spec.session, result)?;
        rows.push(row(name, result, costs::costs_of(&flows), how));
    }
    Ok(rows)
}

fn row(
    name: &str,
    result: &BacktestResult,
    costs: Costs,
    (options, steps_per_year): (&TradingReportOptions, f64),
) -> ComparedRow {
    // Their intervals are not shown, so nothing is drawn.
    let options = TradingReportOptions {
        bootstrap_samples: 0,
        ..*options
    };
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let curve = Curve::of(result);
    let judged = judge(
        result,
        &curve,
        None,
        (&options, steps_per_year),
        &mut random,
    );
    ComparedRow {
        name: name.to_owned(),
        total_return: judged.performance.total_return,
        sharpe_ratio: judged.performance.sharpe_ratio.value,
        max_drawdown: judged.performance.max_drawdown,
        trades: result.trades.len() as u64,
        costs,
    }
}

/// Monte Carlo of the closed trades, as parts of equity when they were opened.
fn trade_orders(spec: &ReviewSpec<'_>, result: &BacktestResult, curve: &Curve) -> Vec<TradeOrder> {
    let equity_at = |at: Timestamp| {
        let known = curve.times.partition_point(|time| *time <= at);
        let before = known.checked_sub(1).and_then(|one| curve.equity.get(one));
        before.copied().unwrap_or(result.initial_cash.to_f64())
    };
    let changes: Vec<f64> = result
        .trades
        .iter()
        .map(|trade| trades::reported_net(result, trade) / equity_at(trade.opened_at))
        .collect();
    let simulations = spec.evaluation.trade_simulations;
    let draws = [TradeDraw::Shuffled, TradeDraw::Resampled];
    let mut random = spec.random(ORDER_STREAM);
    let orders = draws.map(|draw| TradeOrder::of(&changes, draw, simulations, &mut random));
    orders.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
