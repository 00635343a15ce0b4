//! What a strategy has to beat: cash, buy and hold, rules, and random sides with the same turnover.

use fusebox_engine::backtest::{BacktestResult, BacktestSpec, Rule, buy_and_hold, flat, run_rule};
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
    /// Random strategies with the same turnover and the same time on each side.
    pub(super) random_runs: u64,
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
        let random = random.map(|result| ("random, same turnover (median)", result));
        fixed.into_iter().chain(rules).chain(random)
    }
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
    let rule_of = |run: u64| Rule::random_like(result, bars, spec.seed.wrapping_add(run));
    progress.start("benchmarks", wanted + 1 + RULES.len() as u64);
    let run = |rule: Rule| {
        let done = run_rule(&backtest, rule, range);
        progress.advance(1);
        done
    };
    // Only their ends are kept: there may be many, each as long as the history.
    let end_of = |number: u64| run(rule_of(number)).map(|one| (one.final_equity(), number));
    let (rules, ends) = in_pool(spec.threads, || {
        let rules: Result<Vec<BacktestResult>, _> = RULES.par_iter().map(|one| run(*one)).collect();
        let ends: Result<Vec<(Cash, u64)>, _> = (0..wanted).into_par_iter().map(end_of).collect();
        (rules, ends)
    });
    let mut ends = ends.inspect_err(|_| progress.finish())?;
    let above = ends.iter().filter(|(end, _)| *end >= result.final_equity());
    let beaten = (above.count() + 1) as f64 / (ends.len() + 1) as f64;
    ends.sort_unstable();
    let median = ends
        .get(ends.len() / 2)
        .map(|(_, number)| run(rule_of(*number)));
    progress.finish();
    Ok(Benchmarks {
        flat: flat(spec.market, spec.session, range)?,
        buy_and_hold: buy_and_hold(spec.market, spec.session, range)?,
        rules: RULES.iter().map(Rule::name).zip(rules?).collect(),
        random: median.transpose()?,
        random_runs: wanted,
        beaten_by_random: (wanted > 0).then_some(beaten),
    })
}
