//! Many settings over the same predictions, and how far luck explains the best of them.

use std::collections::BTreeSet;

use fusebox_engine::backtest::{PrecomputedSignals, SweepError, SweepResult, SweepTable};
use fusebox_engine::eval::luck::ratios_variance;
use fusebox_engine::eval::trading::{SharpeEvidence, deflated_sharpe};
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::ports::SignalSource;
use fusebox_engine::problem::Problem;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::Market;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use serde::Serialize;

use super::BacktestingError;
use crate::progress::Progress;

/// One combination of settings.
#[derive(Debug, Clone)]
pub struct SweepPoint {
    /// The settings that are swept, by key.
    pub settings: Vec<(String, String)>,
    /// The whole session.
    pub config: SessionConfig,
}

/// What one combination came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepTrial {
    /// The settings that are swept, by key.
    pub settings: Vec<(String, String)>,
    /// Return over the whole time, as a fraction.
    pub total_return: f64,
    /// Annualised Sharpe ratio; `None` where nothing varied.
    pub sharpe: Option<f64>,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Fills.
    pub fills: u64,
    /// Value of all fills, in parts of the initial cash.
    pub turnover: f64,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Swept {
    /// All trials, the best Sharpe ratio first.
    pub trials: Vec<SweepTrial>,
    /// Probability that the best one's Sharpe ratio is above what the best of as many tries without
    /// skill would show (deflated Sharpe ratio); `None` for less than two trials that varied.
    pub deflated_sharpe: Option<f64>,
    /// Steps of one run.
    pub steps: usize,
}

/// Runs every point over the same predictions, on so many threads; results do not depend on them.
///
/// # Errors
/// [`BacktestingError`] with everything that is wrong with any point or that a sweep leaves out.
pub fn sweep(
    market: &Market,
    signals: &PrecomputedSignals,
    (points, threads): (&[SweepPoint], usize),
    progress: &dyn Progress,
) -> Result<Swept, BacktestingError> {
    let default = FusionConfig::default();
    let fusion = points
        .first()
        .map_or(&default, |point| &point.config.fusion);
    let table = SweepTable::new(market, signals.models(), signals.predictions(), fusion)?;
    require_possible(&table, points)?;
    progress.start("sweep", points.len() as u64);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let one = |point: &SweepPoint| {
        let result = table.run(&point.config);
        progress.advance(1);
        result
    };
    let results: Result<Vec<SweepResult>, _> = match pool {
        Ok(pool) => pool.install(|| points.par_iter().map(one).collect()),
        // Without threads of its own it goes one by one.
        Err(_) => points.iter().map(one).collect(),
    };
    progress.finish();
    let results = results?;
    let per_year = market.time_frame().bars_per_year();
    let mut order: Vec<usize> = (0..points.len()).collect();
    let ratio = |at: &usize| results[*at].sharpe().unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)).then(a.cmp(b)));
    let trials = order.iter().map(|at| {
        let (point, result) = (&points[*at], &results[*at]);
        // A sweep has one currency, so this is all there is.
        let initial = point
            .config
            .portfolio
            .initial_cash
            .only()
            .unwrap_or(f64::NAN);
        SweepTrial {
            settings: point.settings.clone(),
            total_return: result.final_equity.to_f64() / initial - 1.0,
            sharpe: result.sharpe().map(|sharpe| sharpe * per_year.sqrt()),
            max_drawdown: result.max_drawdown,
            fills: result.fills,
            turnover: result.turnover.to_f64() / initial,
        }
    });
    let trials: Vec<SweepTrial> = trials.collect();
    let best = order.first().copied().unwrap_or_default();
    Ok(Swept {
        deflated_sharpe: deflated(market, signals, (&results, points), best)?,
        trials,
        steps: table.steps(),
    })
}

/// Refuses the sweep with everything that is wrong with any of the points, each told once.
fn require_possible(table: &SweepTable<'_>, points: &[SweepPoint]) -> Result<(), SweepError> {
    let mut seen = BTreeSet::new();
    let all = points
        .iter()
        .flat_map(|point| table.problems(&point.config));
    let problems: Vec<Problem> = all.filter(|one| seen.insert(one.clone())).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(SweepError::Unsupported(problems)),
    }
}

/// The best trial's deflated Sharpe ratio, from the returns of its whole session.
fn deflated(
    market: &Market,
    signals: &PrecomputedSignals,
    (results, points): (&[SweepResult], &[SweepPoint]),
    best: usize,
) -> Result<Option<f64>, BacktestingError> {
    let ratios: Vec<f64> = results.iter().filter_map(SweepResult::sharpe).collect();
    let (Some(point), Some(variance)) = (points.get(best), ratios_variance(&ratios)) else {
        return Ok(None);
    };
    let session = super::backtest(market, (&point.config, ""), &mut signals.clone(), None)?;
    let equity = session.equity.iter().map(|point| point.equity.to_f64());
    let mut last = session.initial_cash.to_f64();
    let returns: Vec<f64> = equity
        .map(|equity| equity / std::mem::replace(&mut last, equity) - 1.0)
        .collect();
    let trials = u32::try_from(results.len()).unwrap_or(u32::MAX);
    let evidence = SharpeEvidence::of(&returns);
    Ok(evidence.and_then(|evidence| deflated_sharpe(&evidence, trials, Some(variance))))
}
