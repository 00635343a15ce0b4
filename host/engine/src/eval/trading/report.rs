//! Everything about a traded history, in one report.

use std::collections::BTreeMap;

use rand_core::Rng;
use serde::Serialize;

use super::{
    Drawdown, MonthlyReturn, SharpeEvidence, TradingHistory, deepest_drawdown, deflated_sharpe,
    longest_drawdown_nanos, monthly_returns, probabilistic_sharpe, returns_of, trading_metrics,
};
use crate::eval::bootstrap::{AutomaticOptions, Interval, automatic_interval};
use crate::eval::luck::minimum_track_record;

/// How a history is evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradingReportOptions {
    /// Probability that intervals cover the true value.
    pub confidence: f64,
    /// Resampled histories of an interval; 0 for no intervals.
    pub bootstrap_samples: u32,
    /// How many variants have been tried, this one included.
    pub trials: u32,
    /// Variance of the trials' Sharpe ratios per step, where they are known.
    pub trials_variance: Option<f64>,
    /// Steps over which positions persist, such as the labels' horizon.
    pub overlap_steps: usize,
}

impl Default for TradingReportOptions {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            bootstrap_samples: 2000,
            trials: 1,
            trials_variance: None,
            overlap_steps: 1,
        }
    }
}

/// What a traded history is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TradingReport {
    /// Steps of the history.
    pub steps: usize,
    /// Closed trades.
    pub trades: usize,
    /// Value of each metric by name; `None` where it is not defined.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// The deepest drawdown; `None` where the curve never falls.
    pub drawdown: Option<Drawdown>,
    /// Longest time from a peak to its recovery, or to the end, in nanoseconds; `None` where the
    /// curve never falls.
    pub longest_drawdown_nanos: Option<i64>,
    /// Return of each month.
    pub monthly: Vec<MonthlyReturn>,
    /// Where the true annualised Sharpe ratio lies.
    pub sharpe_interval: Option<Interval>,
    /// Where the true difference of the mean return per year to the benchmark lies.
    pub excess_return_interval: Option<Interval>,
    /// Probability that the true Sharpe ratio is above zero, had nothing else been tried.
    pub probabilistic_sharpe: Option<f64>,
    /// Probability that the true Sharpe ratio is above zero, given the number of trials.
    pub deflated_sharpe: Option<f64>,
    /// Steps that a history with these moments needs for the probabilistic Sharpe ratio to reach
    /// the confidence asked for; `None` where no length is enough.
    pub minimum_track_record: Option<u64>,
}

impl TradingReport {
    /// Evaluates a history.
    #[must_use]
    pub fn of(
        history: &TradingHistory<'_>,
        options: &TradingReportOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let returns = history.returns().unwrap_or_default();
        let bootstrap = AutomaticOptions {
            samples: options.bootstrap_samples,
            overlap_steps: options.overlap_steps,
            confidence: options.confidence,
            trials: options.trials,
        };
        let evidence = SharpeEvidence::of(&returns);
        let metrics = trading_metrics().map(|metric| (metric.name(), metric.value(history)));
        Self {
            steps: history.equity.len(),
            trades: history.trades.len(),
            metrics: metrics.collect(),
            drawdown: deepest_drawdown(history),
            longest_drawdown_nanos: longest_drawdown_nanos(history),
            monthly: monthly_returns(history),
            sharpe_interval: sharpe_interval(&returns, history, &bootstrap, rng),
            excess_return_interval: excess_interval(&returns, history, &bootstrap, rng),
            probabilistic_sharpe: evidence.and_then(|one| probabilistic_sharpe(&one, 0.0)),
            deflated_sharpe: evidence
                .and_then(|one| deflated_sharpe(&one, options.trials, options.trials_variance)),
            minimum_track_record: evidence
                .and_then(|one| minimum_track_record(&one, 0.0, options.confidence)),
        }
    }
}

fn sharpe_interval(
    returns: &[f64],
    history: &TradingHistory<'_>,
    bootstrap: &AutomaticOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let steps: Vec<[f64; 2]> = returns.iter().map(|one| [*one, one * one]).collect();
    let annual = history.steps_per_year.sqrt();
    automatic_interval(&steps, bootstrap, rng, |[sum, squares], count| {
        let count = count as f64;
        let variance = (squares - sum * sum / count) / (count - 1.0);
        // What is smaller than this is left over from rounding: the returns do not vary.
        let least = squares / count * 1e-12;
        (variance > least).then(|| sum / count / variance.sqrt() * annual)
    })
}

fn excess_interval(
    returns: &[f64],
    history: &TradingHistory<'_>,
    bootstrap: &AutomaticOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let benchmark = returns_of(history.benchmark?)?;
    if benchmark.len() != returns.len() {
        return None;
    }
    let steps: Vec<[f64; 1]> = returns
        .iter()
        .zip(&benchmark)
        .map(|(a, b)| [a - b])
        .collect();
    automatic_interval(&steps, bootstrap, rng, |[sum], count| {
        (count > 0).then(|| sum / count as f64 * history.steps_per_year)
    })
}
