//! Many settings over the same predictions, and how far luck explains the best of them.

mod judge;

use std::collections::BTreeSet;

use fusebox_engine::backtest::{
    PrecomputedSignals, Stretches, SweepError, SweepResult, SweepTable,
};
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::ports::SignalSource as _;
use fusebox_engine::problem::Problem;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::{Cash, Market};
use rayon::prelude::*;
use serde::Serialize;

pub use judge::{SweepBenchmark, SweepLuck};

use super::BacktestingError;
use super::pool::in_pool;
use crate::progress::Progress;

/// Most stretches over which the combinations' returns are kept.
const MOST_STRETCHES: usize = 1_000;
/// Most returns that are kept of all combinations together: 64 MiB, and the tests of luck hold a
/// few copies.
const MOST_RETURNS: usize = 1 << 23;

/// One combination of settings.
#[derive(Debug, Clone)]
pub struct SweepPoint {
    /// The settings that are swept, by key.
    pub settings: Vec<(String, String)>,
    /// The whole session.
    pub config: SessionConfig,
}

/// What is swept, and how it is judged.
#[derive(Debug, Clone, Copy)]
pub struct SweepSpec<'a> {
    /// The combinations.
    pub points: &'a [SweepPoint],
    /// Configurations tried before, the one that is swept included.
    pub trials: u32,
    /// Resampled histories behind each test; 0 for no test.
    pub bootstrap_samples: u32,
    /// Seed of the resampling.
    pub seed: u64,
    /// Threads, at least 1; results do not depend on them.
    pub threads: usize,
}

/// What a combination, or a benchmark beside it, came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SweepFigures {
    /// Return over the whole time, as a fraction.
    pub total_return: f64,
    /// Annualised Sharpe ratio; `None` where nothing varied, and where
    /// everything was lost.
    pub sharpe: Option<f64>,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Fills.
    pub fills: u64,
    /// Value of all fills, in parts of the initial cash.
    pub turnover: f64,
}

/// One combination.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepTrial {
    /// The settings that are swept, by key.
    pub settings: Vec<(String, String)>,
    /// What it came to.
    #[serde(flatten)]
    pub figures: SweepFigures,
}

/// A sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Swept {
    /// All trials, the best Sharpe ratio first.
    pub trials: Vec<SweepTrial>,
    /// Trials that are known: the combinations, and what was tried before.
    pub known_trials: u32,
    /// Probability that the best one's Sharpe ratio is above what the best of as many tries as are
    /// known would show without skill (deflated Sharpe ratio); `None` where it has none.
    pub deflated_sharpe: Option<f64>,
    /// Buying and holding, and holding cash, over the same steps and at the best one's settings.
    pub benchmarks: Vec<SweepBenchmark>,
    /// How far luck explains the best; `None` for one combination, and for too few stretches.
    pub luck: Option<SweepLuck>,
    /// Combinations that lost everything: they are trials, stand last and are not judged.
    pub ruined: usize,
    /// Stretches of steps over whose returns luck is judged.
    pub stretches: usize,
    /// Steps of each stretch; some are a step longer.
    pub stretch_steps: usize,
    /// Steps of one run.
    pub steps: usize,
}

/// What one run found, and its return in each stretch.
struct Found {
    result: SweepResult,
    returns: Vec<f64>,
}

/// Runs every point over the same predictions; results do not depend on the threads.
///
/// # Errors
/// [`BacktestingError`] with everything that is wrong with any point or that a sweep leaves out.
pub fn sweep(
    market: &Market,
    signals: &PrecomputedSignals,
    spec: &SweepSpec<'_>,
    progress: &dyn Progress,
) -> Result<Swept, BacktestingError> {
    let points = spec.points;
    let default = FusionConfig::default();
    let fusion = points
        .first()
        .map_or(&default, |point| &point.config.fusion);
    let table = SweepTable::new(market, signals.models(), signals.predictions(), fusion)?;
    require_possible(&table, points)?;
    let stretches = stretches(table.steps(), points.len());
    progress.start("sweep", points.len() as u64);
    let one = |point: &SweepPoint| {
        let (result, equity) = table.run_along(&point.config, &stretches)?;
        progress.advance(1);
        let returns = returns(initial(point), &equity);
        Ok::<_, SweepError>(Found { result, returns })
    };
    let found: Result<Vec<Found>, _> =
        in_pool(spec.threads, || points.par_iter().map(one).collect());
    progress.finish();
    let mut found = found?;
    let mut order: Vec<usize> = (0..points.len()).collect();
    let ratio = |at: &usize| found[*at].result.sharpe().unwrap_or(f64::NEG_INFINITY);
    let is_ruined = |at: &usize| found[*at].result.is_ruined();
    order.sort_by(|a, b| {
        let sound = is_ruined(a).cmp(&is_ruined(b));
        sound.then(ratio(b).total_cmp(&ratio(a))).then(a.cmp(b))
    });
    let ruined = order.iter().filter(|at| is_ruined(at)).count();
    let steps_per_year = market.time_frame().bars_per_year();
    let trials = order
        .iter()
        .map(|at| trial(&points[*at], &found[*at].result, steps_per_year));
    let trials: Vec<SweepTrial> = trials.collect();
    let ratios: Vec<f64> = found.iter().filter_map(|one| one.result.sharpe()).collect();
    let sound = &order[..order.len() - ruined];
    let returns = sound
        .iter()
        .map(|at| std::mem::take(&mut found[*at].returns));
    let judging = judge::Judging {
        market,
        signals,
        spec,
        stretches: &stretches,
        best: order.first().map(|at| &points[*at].config),
        has_sound: !sound.is_empty(),
    };
    progress.start("luck", 1);
    let judged = judging.judge(&ratios, returns.collect());
    progress.finish();
    let judged = judged?;
    Ok(Swept {
        trials,
        known_trials: judging.known_trials(),
        deflated_sharpe: judged.deflated_sharpe,
        benchmarks: judged.benchmarks,
        luck: judged.luck,
        ruined,
        stretches: stretches.ends().len(),
        stretch_steps: stretches.length(),
        steps: table.steps(),
    })
}

/// As many stretches as there is room for, where several runs are to be told apart by them.
fn stretches(steps: usize, combinations: usize) -> Stretches {
    match combinations {
        0 | 1 => Stretches::default(),
        several => Stretches::of(steps, MOST_STRETCHES.min(MOST_RETURNS / several)),
    }
}

/// Return in each stretch, of equity that is never gone.
fn returns(initial: f64, equity: &[Cash]) -> Vec<f64> {
    let mut last = initial;
    let stretch = |equity: &Cash| {
        let equity = equity.to_f64();
        equity / std::mem::replace(&mut last, equity) - 1.0
    };
    equity.iter().map(stretch).collect()
}

/// A sweep has one currency, so this is all there is.
fn initial(point: &SweepPoint) -> f64 {
    let cash = &point.config.portfolio.initial_cash;
    cash.only().unwrap_or(f64::NAN)
}

fn trial(point: &SweepPoint, result: &SweepResult, steps_per_year: f64) -> SweepTrial {
    let initial = initial(point);
    SweepTrial {
        settings: point.settings.clone(),
        figures: SweepFigures {
            total_return: result.final_equity.to_f64() / initial - 1.0,
            sharpe: result.sharpe().map(|sharpe| sharpe * steps_per_year.sqrt()),
            max_drawdown: result.max_drawdown,
            fills: result.fills,
            turnover: result.turnover.to_f64() / initial,
        },
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_however_many_and_long_the_runs_are() {
        for combinations in [2, 6, 1_000, 100_000] {
            let kept = stretches(1_000_000, combinations).ends().len();
            assert!(kept <= MOST_STRETCHES && kept * combinations <= MOST_RETURNS);
            assert!(kept > 40, "{kept} of {combinations}");
        }
        assert_eq!(stretches(700, 20).ends().len(), 700);
        assert_eq!(stretches(700, 1), Stretches::default());
    }
}
