//! What the best combination of a sweep is worth, given that it is the best of many: against what
//! luck shows, and beside buying and holding and holding cash.

use fusebox_engine::backtest::{BacktestResult, PrecomputedSignals, Stretches, buy_and_hold, flat};
use fusebox_engine::eval::luck::{ReturnsTable, ratios_variance};
use fusebox_engine::eval::trading::{SharpeEvidence, deflated_sharpe, drawdowns};
use fusebox_engine::ports::SignalSource as _;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::{Cash, Market};
use serde::Serialize;

use super::{SweepFigures, SweepSpec, returns};
use crate::backtesting::BacktestingError;
use crate::backtesting::luck::{Resampling, luck, superior_to_nothing};
use crate::backtesting::pool::in_pool;
use crate::report::{RunsLuck, SuperiorTest};

/// What the best has to beat, over the same steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepBenchmark {
    /// What it is.
    pub name: &'static str,
    /// What it came to.
    #[serde(flatten)]
    pub figures: SweepFigures,
}

/// How far luck explains the best combination; positions are those of the trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepLuck {
    /// What is told of several runs, too; its test is against cash.
    #[serde(flatten)]
    pub all: RunsLuck,
    /// Whether the best beats buying and holding at the settings of the first of the trials.
    pub superior_to_holding: Option<SuperiorTest>,
}

/// What is judged.
pub(super) struct Judging<'a> {
    pub(super) market: &'a Market,
    pub(super) signals: &'a PrecomputedSignals,
    pub(super) spec: &'a SweepSpec<'a>,
    pub(super) stretches: &'a Stretches,
    /// Settings of the best.
    pub(super) best: Option<&'a SessionConfig>,
    /// Whether anybody kept something; the best of those that lost everything is worth nothing.
    pub(super) has_sound: bool,
}

/// What was found.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) deflated_sharpe: Option<f64>,
    pub(super) benchmarks: Vec<SweepBenchmark>,
    pub(super) luck: Option<SweepLuck>,
}

impl Judging<'_> {
    /// The combinations, and what was tried before the one that is swept.
    pub(super) fn known_trials(&self) -> u32 {
        let combinations = u32::try_from(self.spec.points.len()).unwrap_or(u32::MAX);
        combinations.saturating_add(self.spec.trials.saturating_sub(1))
    }

    /// Judges the best by the Sharpe ratios of all combinations that have one, and by the returns
    /// of all in each stretch, the best one's first.
    pub(super) fn judge(
        &self,
        ratios: &[f64],
        returns: Vec<Vec<f64>>,
    ) -> Result<Judged, BacktestingError> {
        let Some(best) = self.best else {
            return Ok(Judged::default());
        };
        let range = self.signals.range();
        let held = buy_and_hold(self.market, best, range)?;
        let idle = flat(self.market, best, range)?;
        let lines = [("buy and hold", &held), ("cash", &idle)];
        Ok(Judged {
            deflated_sharpe: self.deflated(best, ratios)?,
            benchmarks: lines
                .map(|(name, result)| self.benchmark(name, result))
                .into(),
            luck: in_pool(self.spec.threads, || self.luck(&returns, &held)),
        })
    }

    /// The best one's deflated Sharpe ratio, from the returns of its whole session.
    fn deflated(
        &self,
        best: &SessionConfig,
        ratios: &[f64],
    ) -> Result<Option<f64>, BacktestingError> {
        if ratios.is_empty() {
            return Ok(None);
        }
        let mut signals = self.signals.clone();
        let session = crate::backtesting::backtest(self.market, (best, ""), &mut signals, None)?;
        let Some(evidence) = SharpeEvidence::of(&step_returns(&session)) else {
            return Ok(None);
        };
        // Neighbouring settings have ratios that hardly differ, and whatever was tried before them
        // is not among them: without skill the tries would differ by this much at least.
        let worthless = 1.0 / evidence.observations.saturating_sub(1).max(1) as f64;
        let variance = ratios_variance(ratios).map_or(worthless, |one| one.max(worthless));
        Ok(deflated_sharpe(
            &evidence,
            self.known_trials(),
            Some(variance),
        ))
    }

    fn benchmark(&self, name: &'static str, result: &BacktestResult) -> SweepBenchmark {
        let per_year = self.market.time_frame().bars_per_year();
        let evidence = SharpeEvidence::of(&step_returns(result));
        let initial = result.initial_cash.to_f64();
        let below = drawdowns(&equity(result));
        SweepBenchmark {
            name,
            figures: SweepFigures {
                total_return: result.final_equity().to_f64() / initial - 1.0,
                sharpe: evidence.map(|one| one.sharpe * per_year.sqrt()),
                max_drawdown: below.into_iter().fold(0.0, f64::max),
                fills: result.costs.fills,
                turnover: result.costs.turnover.to_f64() / initial,
            },
        }
    }

    fn luck(&self, rows: &[Vec<f64>], held: &BacktestResult) -> Option<SweepLuck> {
        let resampling = Resampling {
            samples: self.spec.bootstrap_samples,
            seed: self.spec.seed,
        };
        if !self.has_sound {
            return None;
        }
        let table = ReturnsTable::new(rows).ok()?;
        let (all, superior_to_holding) = rayon::join(
            || luck(&table, self.known_trials(), resampling),
            || {
                let excess = self.excess(rows, held)?;
                superior_to_nothing(&excess, resampling)
            },
        );
        Some(SweepLuck {
            all: all?,
            superior_to_holding,
        })
    }

    /// Returns less those of buying and holding.
    fn excess(&self, rows: &[Vec<f64>], held: &BacktestResult) -> Option<ReturnsTable> {
        let at_end = |end: &usize| held.equity.get(end - 1).map(|point| point.equity);
        let ends: Option<Vec<Cash>> = self.stretches.ends().iter().map(at_end).collect();
        let held = returns(held.initial_cash.to_f64(), &ends?);
        let less = |row: &Vec<f64>| -> Vec<f64> {
            row.iter()
                .zip(&held)
                .map(|(own, held)| own - held)
                .collect()
        };
        ReturnsTable::new(&rows.iter().map(less).collect::<Vec<_>>()).ok()
    }
}

/// Equity at each close, the initial cash first.
fn equity(result: &BacktestResult) -> Vec<f64> {
    let closes = result.equity.iter().map(|point| point.equity.to_f64());
    std::iter::once(result.initial_cash.to_f64())
        .chain(closes)
        .collect()
}

/// Simple return of each step.
fn step_returns(result: &BacktestResult) -> Vec<f64> {
    let equity = equity(result);
    equity
        .windows(2)
        .map(|pair| pair[1] / pair[0] - 1.0)
        .collect()
}
