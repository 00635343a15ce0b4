//! What a strategy has to beat: cash, buy and hold, rules, and random sides with the same turnover.

use std::ops::RangeInclusive;

use fusebox_engine::backtest::{
    BacktestError, BacktestResult, BacktestSpec, Rule, buy_and_hold, flat, run_rule,
    without_loss_breakers,
};
use fusebox_engine::types::{Cash, Timestamp};
use rayon::prelude::*;

use super::BacktestingError;
use super::pool::in_pool;
use super::review::ReviewSpec;
use crate::progress::Progress;

/// The rules that every report compares with.
const RULES: [Rule; 2] = [
    Rule::MomentumCrossover {
        fast_bars: 24,
        slow_bars: 96,
    },
    Rule::MeanReversion {
        window_bars: 48,
        entry: 2.0,
    },
];

/// The benchmarks of one strategy.
pub(super) struct Benchmarks {
    pub(super) flat: BacktestResult,
    pub(super) buy_and_hold: BacktestResult,
    rules: Vec<(&'static str, BacktestResult)>,
    /// The random strategy with the median end.
    random: Option<BacktestResult>,
    /// Random strategies with the same time on each side, and the same turnover where that can be.
    pub(super) random_runs: u64,
    /// Their mean turnover as a multiple of the strategy's; `None` where there are none.
    pub(super) random_turnover: Option<f64>,
    /// Whether that is near enough to 1 for the turnover to be called the same.
    pub(super) random_is_alike: bool,
    /// Share of them that ended with at least the strategy's equity, with one added to both
    /// counts; `None` where there are none.
    pub(super) beaten_by_random: Option<f64>,
}

impl Benchmarks {
    /// Each with its name, in the order of the table.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&'static str, &BacktestResult)> {
        let fixed = [("cash", &self.flat), ("buy and hold", &self.buy_and_hold)];
        let rules = self.rules.iter().map(|(name, result)| (*name, result));
        let random = self.random.iter();
        let name = match self.random_is_alike {
            true => "random, same turnover (median)",
            false => "random, other turnover (median)",
        };
        let random = random.map(move |result| (name, result));
        fixed.into_iter().chain(rules).chain(random)
    }
}

/// Random strategies that are asked how much they trade, before all of them are drawn.
const PILOTS: u64 = 16;
/// How often the pilots are asked.
const ROUNDS: usize = 6;
/// A turnover this near to the strategy's ends the search.
const NEAR: f64 = 0.01;
/// Multiples of the strategy's turnover that are called the same.
const SAME: RangeInclusive<f64> = 0.8..=1.25;

/// How one random strategy ended.
struct End {
    equity: Cash,
    number: u64,
    turnover: f64,
}

/// Traded value over mean equity; 0 without any.
fn turnover(result: &BacktestResult) -> f64 {
    let points = result.equity.len().max(1) as f64;
    let mean = result
        .equity
        .iter()
        .map(|one| one.equity.to_f64())
        .sum::<f64>()
        / points;
    match mean > 0.0 {
        true => result.costs.turnover.to_f64() / mean,
        false => 0.0,
    }
}

fn mean_turnover(ends: &[End]) -> Option<f64> {
    let sum: f64 = ends.iter().map(|end| end.turnover).sum();
    (!ends.is_empty()).then(|| sum / ends.len() as f64)
}

/// How much busier random strategies must be to trade the value that the strategy trades. With as
/// many trades as it has they may trade more or less: sizes depend on scores, and limits and
/// breakers cut other orders.
fn matched(
    goal: f64,
    pilots: impl Fn(f64) -> Result<Vec<End>, BacktestError>,
) -> Result<f64, BacktestError> {
    let mut factor = 1.0;
    for _ in 0..ROUNDS {
        let Some(found) = mean_turnover(&pilots(factor)?).filter(|found| *found > 0.0) else {
            break;
        };
        let ratio = goal / found;
        if (ratio - 1.0).abs() <= NEAR {
            break;
        }
        factor *= ratio;
    }
    Ok(factor)
}

/// Runs the benchmarks of `result` over `range`.
///
/// # Errors
/// [`BacktestingError`] where the settings are wrong.
pub(super) fn benchmarks(
    spec: &ReviewSpec<'_>,
    range: Option<(Timestamp, Timestamp)>,
    result: &BacktestResult,
    progress: &dyn Progress,
) -> Result<Benchmarks, BacktestingError> {
    let backtest = BacktestSpec {
        market: spec.market,
        config: spec.session,
        config_digest: "",
    };
    let wanted = match result.fills.is_empty() {
        true => 0,
        false => u64::from(spec.evaluation.random_runs),
    };
    let bars = result.equity.len() * spec.market.series().len();
    let like = |run: u64| Rule::random_like(result, bars, spec.seed.wrapping_add(run));
    progress.start("benchmarks", wanted + 1 + RULES.len() as u64);
    let run = |backtest: &BacktestSpec<'_>, rule: Rule| {
        let done = run_rule(backtest, rule, range);
        progress.advance(1);
        done
    };
    let unstopped = without_loss_breakers(spec.session);
    let at_random = BacktestSpec {
        config: &unstopped,
        ..backtest
    };
    // Only their ends are kept: there may be many, each as long as the history.
    let all = |count: u64, factor: f64| -> Result<Vec<End>, BacktestError> {
        let one = |number: u64| {
            let done = run_rule(&at_random, like(number).busier(factor), range)?;
            Ok(End {
                equity: done.final_equity(),
                number,
                turnover: turnover(&done),
            })
        };
        (0..count).into_par_iter().map(one).collect()
    };
    let (rules, drawn) = in_pool(spec.threads, || {
        let rules: Result<Vec<BacktestResult>, _> =
            RULES.par_iter().map(|one| run(&backtest, *one)).collect();
        let factor = matched(turnover(result), |factor| all(wanted.min(PILOTS), factor));
        let drawn = factor.and_then(|factor| {
            let ends = all(wanted, factor);
            progress.advance(wanted);
            Ok((factor, ends?))
        });
        (rules, drawn)
    });
    let (factor, mut ends) = drawn.inspect_err(|_| progress.finish())?;
    let mean_turnover = mean_turnover(&ends);
    let above = ends
        .iter()
        .filter(|end| end.equity >= result.final_equity());
    let beaten = (above.count() + 1) as f64 / (ends.len() + 1) as f64;
    ends.sort_unstable_by_key(|end| (end.equity, end.number));
    let median = ends
        .get(ends.len() / 2)
        .map(|end| run(&at_random, like(end.number).busier(factor)));
    let random_turnover = mean_turnover.map(|mean| mean / turnover(result).max(f64::MIN_POSITIVE));
    progress.finish();
    Ok(Benchmarks {
        flat: flat(spec.market, spec.session, range)?,
        buy_and_hold: buy_and_hold(spec.market, spec.session, range)?,
        rules: RULES.iter().map(Rule::name).zip(rules?).collect(),
        random: median.transpose()?,
        random_runs: wanted,
        random_turnover,
        random_is_alike: random_turnover.is_some_and(|times| SAME.contains(&times)),
        beaten_by_random: (wanted > 0).then_some(beaten),
    })
}
