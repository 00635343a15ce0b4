//! The backtest of the predictions, its benchmarks, and what the report says of them.

use fusebox_engine::backtest::{
    BacktestResult, BacktestSpec, PrecomputedSignals, buy_and_hold, flat, run_backtest,
};
use fusebox_engine::eval::trading::{
    Sharpe, TradeOutcome, TradingHistory, TradingMetric, TradingReport, TradingReportOptions,
};
use fusebox_engine::fusion::{ModelInfo, ModelRef, Prediction};
use fusebox_engine::portfolio::Trade;
use fusebox_engine::ports::JournalSink;
use fusebox_engine::types::{Market, Timestamp};
use rand_chacha::ChaCha8Rng;

use super::error::TrainingError;
use super::folds::FoldModel;
use super::plugin::PluginId;
use super::score::shown;
use super::spec::PipelineSpec;
use crate::report::{Estimate, Performance};

const NANOS_PER_DAY: f64 = 24.0 * 3600.0 * 1e9;

/// The strategy and what it is compared with, over the same closing times.
pub(super) struct Traded {
    pub strategy: BacktestResult,
    pub buy_and_hold: BacktestResult,
    pub flat: BacktestResult,
}

/// Trades the predictions and the benchmarks.
pub(super) fn trade(
    spec: &PipelineSpec,
    market: &Market,
    signals: &mut PrecomputedSignals,
    config_digest: &str,
    journal: &mut dyn JournalSink,
) -> Result<Traded, TrainingError> {
    use fusebox_engine::ports::SignalSource as _;
    let config = &spec.session;
    let range = signals.range();
    let backtest = BacktestSpec {
        market,
        config,
        config_digest,
    };
    Ok(Traded {
        strategy: run_backtest(&backtest, signals, journal)?,
        buy_and_hold: buy_and_hold(market, config, range)?,
        flat: flat(market, config, range)?,
    })
}

/// The table of predictions that the session is stepped with.
pub(super) fn signals(
    spec: &PipelineSpec,
    plugin: &PluginId,
    market: &Market,
    models: &[FoldModel],
) -> Result<PrecomputedSignals, TrainingError> {
    let infos = (1..)
        .zip(models)
        .map(|(fold, model)| ModelInfo {
            name: spec.name.clone(),
            version: plugin.version.clone(),
            digest: model.sha256.clone(),
            generation: plugin.generation,
            fold: Some(fold),
        })
        .collect();
    let predictions = (0..)
        .map(ModelRef)
        .zip(models)
        .flat_map(|(reference, model)| {
            model.predictions.iter().map(move |one| Prediction {
                symbol: one.symbol,
                closed_at: one.closed_at,
                probabilities: one.probabilities,
                model: reference,
            })
        })
        .collect();
    Ok(PrecomputedSignals::new(market, infos, predictions)?)
}

/// An equity curve as columns, for the metrics.
pub(super) struct Curve {
    pub times: Vec<Timestamp>,
    pub equity: Vec<f64>,
    /// Gross exposure over equity; 0 where equity is gone.
    pub exposure: Vec<f64>,
}

impl Curve {
    pub(super) fn of(result: &BacktestResult) -> Self {
        let exposure = |gross: f64, equity: f64| if equity > 0.0 { gross / equity } else { 0.0 };
        Self {
            times: result.equity.iter().map(|point| point.at).collect(),
            equity: result
                .equity
                .iter()
                .map(|point| point.equity.to_f64())
                .collect(),
            exposure: result
                .equity
                .iter()
                .map(|point| exposure(point.gross_exposure.to_f64(), point.equity.to_f64()))
                .collect(),
        }
    }

    /// Annualised Sharpe ratio of the steps that end after `from` and at `to` at the latest, with
    /// the last step before them as the start.
    pub(super) fn sharpe_within(
        &self,
        from: Timestamp,
        to: Timestamp,
        steps_per_year: f64,
    ) -> Option<f64> {
        let start = self
            .times
            .partition_point(|at| *at <= from)
            .saturating_sub(1);
        let end = self.times.partition_point(|at| *at <= to);
        Sharpe.value(&TradingHistory {
            times: self.times.get(start..end)?,
            equity: self.equity.get(start..end)?,
            benchmark: None,
            gross_exposure: self.exposure.get(start..end)?,
            trades: &[],
            traded_notional: 0.0,
            steps_per_year,
        })
    }
}

/// The engine's metrics of one curve, and the same as the report shows them.
pub(super) struct Judged {
    pub report: TradingReport,
    pub performance: Performance,
}

/// Judges a curve, against a benchmark where one is given.
pub(super) fn judge(
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
            profit: trade.net.to_f64(),
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
    let performance = performance(&report, result);
    Judged {
        report,
        performance,
    }
}

fn performance(report: &TradingReport, result: &BacktestResult) -> Performance {
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
    }
}

/// Net profit over the value at entry.
pub(super) fn net_return(trade: &Trade) -> Option<f64> {
    let entry = trade.entry_price.times(trade.quantity).abs().to_f64();
    (entry > 0.0).then(|| trade.net.to_f64() / entry)
}

fn mean_trade_return(result: &BacktestResult) -> Option<f64> {
    let returns: Vec<f64> = result.trades.iter().filter_map(net_return).collect();
    (!returns.is_empty()).then(|| returns.iter().sum::<f64>() / returns.len() as f64)
}
