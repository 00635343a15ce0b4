//! The engine's metrics of one curve, and the same as the report shows them.

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::eval::bootstrap::{AutomaticOptions, Interval};
use fusebox_engine::eval::trading::{
    HeadlineIntervals, TradeOutcome, TradeRecord, TradingHistory, TradingReport,
    TradingReportOptions,
};
use rand_chacha::ChaCha8Rng;

use super::curve::Curve;
use super::trades::{net_return, reported_net};
use crate::report::{Estimate, FigureIntervals, Performance};

const NANOS_PER_DAY: f64 = 24.0 * 3600.0 * 1e9;

/// The engine's metrics of one curve, and the same as the report shows them.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) report: TradingReport,
    pub(crate) performance: Performance,
}

/// Judges a curve, against a benchmark where one is given.
pub(crate) fn judge(
    result: &BacktestResult,
    curve: &Curve,
    benchmark: Option<&Curve>,
    (options, steps_per_year): (&TradingReportOptions, f64),
    random: &mut ChaCha8Rng,
) -> Judged {
    let trades: Vec<TradeOutcome> = result
        .trades
        .iter()
        .map(|trade| TradeOutcome {
            profit: reported_net(result, trade),
            bars_held: u64::from(trade.bars_held),
        })
        .collect();
    let history = TradingHistory {
        times: &curve.times,
        equity: &curve.equity,
        benchmark: benchmark.map(|curve| curve.equity.as_slice()),
        gross_exposure: &curve.exposure,
        trades: &trades,
        traded_notional: result.costs.turnover.to_f64(),
        steps_per_year,
    };
    let report = TradingReport::of(&history, options, random);
    let intervals = intervals(result, curve, (options, steps_per_year), random);
    let performance = performance(&report, result, intervals);
    Judged {
        report,
        performance,
    }
}

/// Intervals of the key figures, from a stream of random numbers of their own.
fn intervals(
    result: &BacktestResult,
    curve: &Curve,
    (options, steps_per_year): (&TradingReportOptions, f64),
    random: &ChaCha8Rng,
) -> FigureIntervals {
    let records: Vec<TradeRecord> = result
        .trades
        .iter()
        .filter_map(|trade| {
            Some(TradeRecord {
                profit: reported_net(result, trade),
                change: net_return(trade)?,
            })
        })
        .collect();
    let bootstrap = AutomaticOptions {
        samples: options.bootstrap_samples,
        overlap_steps: options.overlap_steps,
        confidence: options.confidence,
        trials: options.trials,
    };
    let days = match (curve.times.first(), curve.times.last()) {
        (Some(first), Some(last)) => last.nanos_since(*first) as f64 / NANOS_PER_DAY,
        _ => 0.0,
    };
    let years = (days > 0.0).then_some(days / 365.0);
    let mut random = random.clone();
    random.set_stream(random.get_stream() ^ (1 << 32));
    let curve = (curve.equity.as_slice(), steps_per_year);
    let found = HeadlineIntervals::of(curve, years, &records, &bootstrap, &mut random);
    FigureIntervals {
        total_return: found.total_return.map(shown),
        annual_growth_rate: found.annual_growth.map(shown),
        annual_volatility: found.annual_volatility.map(shown),
        max_drawdown: found.max_drawdown.map(shown),
        win_rate: found.win_rate.map(shown),
        mean_trade_return: found.average_trade.map(shown),
    }
}

/// The engine's interval as the report shows it.
pub(crate) fn shown(interval: Interval) -> crate::report::Interval {
    crate::report::Interval {
        low: interval.low,
        high: interval.high,
        level: interval.confidence,
    }
}

fn performance(
    report: &TradingReport,
    result: &BacktestResult,
    intervals: FigureIntervals,
) -> Performance {
    let metric = |name: &str| report.metrics.get(name).copied().flatten();
    let days = |nanos: i64| nanos as f64 / NANOS_PER_DAY;
    Performance {
        final_equity: Some(result.final_equity().to_f64()),
        total_return: metric("total_return"),
        annual_growth_rate: metric("annual_growth"),
        annual_volatility: metric("annual_volatility"),
        sharpe_ratio: Estimate {
            value: metric("sharpe"),
            interval: report.sharpe_interval.map(shown),
        },
        autocorrelation_corrected_sharpe_ratio: metric("sharpe_lo"),
        sortino_ratio: metric("sortino"),
        calmar_ratio: metric("calmar"),
        max_drawdown: metric("max_drawdown"),
        longest_drawdown_days: report.longest_drawdown_nanos.map(days),
        tail_ratio: metric("tail_ratio"),
        trades: Some(report.trades as u64),
        win_rate: metric("win_rate"),
        profit_factor: metric("profit_factor"),
        mean_trade_return: mean_trade_return(result),
        mean_bars_held: metric("average_holding_bars"),
        annual_turnover: metric("annual_turnover"),
        time_in_market: metric("time_in_market"),
        mean_exposure: metric("exposure"),
        intervals,
    }
}

fn mean_trade_return(result: &BacktestResult) -> Option<f64> {
    let returns: Vec<f64> = result.trades.iter().filter_map(net_return).collect();
    (!returns.is_empty()).then(|| returns.iter().sum::<f64>() / returns.len() as f64)
}
