//! Several runs side by side: what their directories hold, where they agree on what was tested, and
//! whether one is better than another over the time that all of them cover.

mod differ;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox_engine::eval::bootstrap::Interval;
use fusebox_engine::eval::luck::ReturnsTable;
use fusebox_engine::eval::ranking::{InformationCoefficient, RankMetric, RankScores};
use fusebox_engine::eval::trading::{
    AnnualVolatility, MaxDrawdown, PairedDifference, PairedOptions, Sharpe, TotalReturn,
    TradingHistory, TradingMetric,
};
use fusebox_engine::types::{TimeFrame, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::luck::{LEAST_CLOSES, Resampling, luck};
use crate::report::{
    CommonFigures, ComparedRun, Comparison, CurveOnCommon, Estimate, PairRow, Period, RunsLuck,
};
use read::Run;

/// Most runs that a page holds.
const MOST_RUNS: usize = 12;

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    /// Directories that are no runs that can be read, or too few of them; every problem.
    #[error("the runs cannot be compared:{}", lines(.0))]
    Problems(Vec<String>),
}

fn lines(problems: &[String]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  - {problem}"));
    lines.collect()
}

/// How runs are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunsOptions {
    /// Confidence of the intervals, over all pairs together.
    pub confidence: f64,
    /// Resampled histories behind each interval; 0 for none.
    pub bootstrap_samples: u32,
    /// Seed of the resampling.
    pub seed: u64,
}

/// Reads the runs and compares them.
///
/// # Errors
/// [`RunsError`] with every problem of every directory.
pub fn compare_runs(
    directories: &[PathBuf],
    options: &RunsOptions,
) -> Result<Comparison, RunsError> {
    let mut problems = Vec::new();
    count(directories, &mut problems);
    let read = directories.iter().map(|one| read::run(one, &mut problems));
    let runs: Vec<Run> = read.collect::<Vec<_>>().into_iter().flatten().collect();
    if !problems.is_empty() {
        return Err(RunsError::Problems(problems));
    }
    let names = names(&runs);
    let mut warnings = differ::warnings(&runs, &names);
    let shared = Shared::of(&runs);
    if shared.times.len() < LEAST_CLOSES {
        warnings.push(format!(
            "the runs share {} closing times, fewer than {LEAST_CLOSES}: no difference between \
             them is judged",
            shared.times.len()
        ));
    }
    Ok(Comparison {
        common: shared.period(),
        common_steps: shared.times.len() as u64,
        pairs: shared.pairs(options),
        luck: shared.luck(&runs, options),
        curves: CurveOnCommon {
            growth: shared.equity.iter().map(|one| growth(one)).collect(),
            closed_at: shared.times.clone(),
        },
        runs: runs
            .into_iter()
            .zip(names)
            .enumerate()
            .map(|(at, (run, name))| compared(run, name, shared.figures(at)))
            .collect(),
        warnings,
        confidence: options.confidence,
        bootstrap_samples: options.bootstrap_samples,
        seed: options.seed,
    })
}

fn count(directories: &[PathBuf], problems: &mut Vec<String>) {
    if directories.len() < 2 {
        problems.push("there are fewer than two; name at least two run directories".to_owned());
    }
    if directories.len() > MOST_RUNS {
        let given = directories.len();
        problems.push(format!(
            "there are {given}, more than {MOST_RUNS} fit on a page; name fewer"
        ));
    }
    let whole = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for (at, path) in directories.iter().enumerate() {
        if directories[..at]
            .iter()
            .any(|one| whole(one) == whole(path))
        {
            problems.push(format!("{}: it is named twice", path.display()));
        }
    }
}

/// A name for each run, all different: its title, with its directory where titles are alike.
fn names(runs: &[Run]) -> Vec<String> {
    let title = |at: usize| runs[at].metrics.title.as_str();
    let all = 0..runs.len();
    let named = all.clone().map(|at| {
        let alike = all
            .clone()
            .filter(|other| title(*other) == title(at))
            .count()
            > 1;
        match alike {
            true => format!("{} ({})", title(at), runs[at].directory.display()),
            false => title(at).to_owned(),
        }
    });
    named.collect()
}

fn compared(run: Run, name: String, common: CommonFigures) -> ComparedRun {
    let trading = run.metrics.trading;
    let costs = trading.costs;
    let paid = costs.fees + costs.spread + costs.impact + costs.liquidation;
    ComparedRun {
        name,
        directory: run.directory.display().to_string(),
        currency: trading.currency,
        initial_cash: trading.initial_cash,
        period: trading.period,
        trials: trading.trials,
        performance: trading.strategy,
        excess_return: trading.excess_return,
        probabilistic_sharpe_ratio: trading.probabilistic_sharpe_ratio,
        deflated_sharpe_ratio: trading.deflated_sharpe_ratio,
        cost_bps: (costs.traded_value > 0.0).then(|| paid / costs.traded_value * 1e4),
        common,
        config_sha256: run.metrics.reproducibility.config.sha256,
    }
}

fn growth(equity: &[f64]) -> Vec<f64> {
    let first = equity.first().copied().unwrap_or(1.0);
    equity.iter().map(|value| value / first).collect()
}

/// What all runs have at the same closing times.
struct Shared {
    times: Vec<Timestamp>,
    equity: Vec<Vec<f64>>,
    steps_per_year: f64,
}

impl Shared {
    fn of(runs: &[Run]) -> Self {
        let mut counts: BTreeMap<Timestamp, usize> = BTreeMap::new();
        for (at, _) in runs.iter().flat_map(|run| &run.equity) {
            *counts.entry(*at).or_default() += 1;
        }
        counts.retain(|_, count| *count == runs.len());
        let values = |run: &Run| -> Vec<f64> {
            let shared = run.equity.iter().filter(|(at, _)| counts.contains_key(at));
            shared.map(|(_, equity)| *equity).collect()
        };
        // Runs with other bars share the closes of the longer ones.
        let frames = runs.iter().map(|run| run.metrics.market.time_frame);
        let longest = frames.max_by_key(|one| one.nanos());
        Self {
            equity: runs.iter().map(values).collect(),
            times: counts.into_keys().collect(),
            steps_per_year: longest.map_or(1.0, TimeFrame::bars_per_year),
        }
    }

    fn period(&self) -> Option<Period> {
        Some(Period {
            from: *self.times.first()?,
            to: *self.times.last()?,
        })
    }

    fn figures(&self, at: usize) -> CommonFigures {
        let nothing = vec![0.0; self.times.len()];
        let history = TradingHistory {
            times: &self.times,
            equity: &self.equity[at],
            benchmark: None,
            gross_exposure: &nothing,
            trades: &[],
            traded_notional: 0.0,
            steps_per_year: self.steps_per_year,
        };
        CommonFigures {
            total_return: TotalReturn.value(&history),
            annual_volatility: AnnualVolatility.value(&history),
            sharpe_ratio: Sharpe.value(&history),
            max_drawdown: MaxDrawdown.value(&history),
        }
    }

    /// How far luck explains the best of the runs.
    fn luck(&self, runs: &[Run], options: &RunsOptions) -> Option<RunsLuck> {
        let returns: Vec<Vec<f64>> = self.equity.iter().map(|one| returns(one)).collect();
        let stated = runs.iter().map(|run| run.metrics.trading.trials).max();
        let runs = u32::try_from(returns.len()).unwrap_or(u32::MAX);
        let resampling = Resampling {
            samples: options.bootstrap_samples,
            seed: options.seed,
        };
        let table = ReturnsTable::new(&returns).ok()?;
        luck(&table, stated.unwrap_or(0).max(runs), resampling)
    }

    /// Every pair, each with random numbers of its own, so that no pair depends on the others.
    fn pairs(&self, options: &RunsOptions) -> Vec<PairRow> {
        let count = self.equity.len();
        let pairs = (0..count).flat_map(|first| (first + 1..count).map(move |one| (first, one)));
        let pairs: Vec<(usize, usize)> = pairs.collect();
        let paired = PairedOptions {
            samples: options.bootstrap_samples,
            overlap_steps: 1,
            confidence: options.confidence,
            comparisons: u32::try_from(pairs.len()).unwrap_or(u32::MAX),
            steps_per_year: self.steps_per_year,
        };
        let returns: Vec<Vec<f64>> = self.equity.iter().map(|one| returns(one)).collect();
        let judged = (0..).zip(pairs).map(|(stream, (first, second))| {
            let mut random = ChaCha8Rng::seed_from_u64(options.seed);
            random.set_stream(stream);
            self.pair((first, second), &returns, &paired, &mut random)
        });
        judged.collect()
    }

    fn pair(
        &self,
        (first, second): (usize, usize),
        returns: &[Vec<f64>],
        options: &PairedOptions,
        random: &mut ChaCha8Rng,
    ) -> PairRow {
        let (own, other) = (&returns[first], &returns[second]);
        let nothing = PairRow {
            first,
            second,
            ..PairRow::default()
        };
        if own.len() != other.len() || own.len() + 1 < LEAST_CLOSES {
            return nothing;
        }
        let found = PairedDifference::of(own, other, options, random);
        let both = RankScores {
            scores: own,
            returns: other,
        };
        PairRow {
            mean_return: estimate(found.mean_return),
            mean_return_p: found.mean_return_p,
            sharpe_ratio: estimate(found.sharpe),
            sharpe_ratio_p: found.sharpe_p,
            correlation: InformationCoefficient.value(both),
            ..nothing
        }
    }
}

/// Returns from one shared closing time to the next; none where equity is not above zero.
fn returns(equity: &[f64]) -> Vec<f64> {
    if !equity.iter().all(|value| *value > 0.0) {
        return Vec::new();
    }
    let changes = equity.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
    changes.collect()
}

fn estimate(interval: Option<Interval>) -> Estimate {
    Estimate {
        value: interval.map(|one| one.estimate),
        interval: interval.map(super::shown),
    }
}

#[cfg(test)]
mod tests;
