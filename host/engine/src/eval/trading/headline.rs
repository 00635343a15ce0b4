//! Intervals of the figures that a reader looks at first, by the block bootstrap.

use rand_core::Rng;
use serde::Serialize;

use super::{mean, returns_of};
use crate::eval::bootstrap::{
    AutomaticOptions, BlockScheme, BootstrapOptions, Interval, automatic_block_steps,
    automatic_interval, interval_of_values, resampled_ranges,
};

/// Most steps that are walked for the interval of the drawdown, over all resampled histories.
const MOST_STEPS: usize = 50_000_000;
/// Fewest resampled histories that make an interval.
const LEAST_HISTORIES: usize = 200;

/// A closed trade as far as intervals need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeRecord {
    /// Profit after all costs, in the reporting currency.
    pub profit: f64,
    /// Profit over the value at entry.
    pub change: f64,
}

/// Where the true values lie; each `None` where it is not defined or nothing was resampled.
///
/// The return, growth and volatility resample blocks of steps as the Sharpe ratio does; the
/// drawdown is walked anew over every resampled history; the win rate and the mean trade resample
/// blocks of trades in the order of their ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeadlineIntervals {
    /// Last equity over first, minus one.
    pub total_return: Option<Interval>,
    /// Constant yearly growth.
    pub annual_growth: Option<Interval>,
    /// Annualised standard deviation of the returns.
    pub annual_volatility: Option<Interval>,
    /// Depth of the deepest drawdown.
    pub max_drawdown: Option<Interval>,
    /// Share of trades with a profit.
    pub win_rate: Option<Interval>,
    /// Mean return of a trade.
    pub average_trade: Option<Interval>,
}

impl HeadlineIntervals {
    /// The intervals of a curve of `years` years (`None` where no time passes) with so many
    /// steps a year, and of its trades.
    #[must_use]
    pub fn of(
        (equity, steps_per_year): (&[f64], f64),
        years: Option<f64>,
        trades: &[TradeRecord],
        options: &AutomaticOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let returns = returns_of(equity).unwrap_or_default();
        let logs: Vec<[f64; 1]> = returns.iter().map(|one| [one.ln_1p()]).collect();
        let growth = automatic_interval(&logs, options, rng, |[sum], count| {
            (count > 0).then_some(sum)
        });
        let total = |log: f64| log.exp_m1();
        Self {
            total_return: growth.map(|one| mapped(one, total)),
            annual_growth: growth
                .zip(years)
                .map(|(one, years)| mapped(one, |log| (log / years).exp_m1())),
            annual_volatility: volatility(&returns, steps_per_year, options, rng),
            max_drawdown: drawdown(&returns, options, rng),
            ..Self::of_trades(trades, options, rng)
        }
    }

    fn of_trades(trades: &[TradeRecord], options: &AutomaticOptions, rng: &mut impl Rng) -> Self {
        // Trades follow one another, so nothing but their own likeness makes blocks.
        let options = AutomaticOptions {
            overlap_steps: 1,
            ..*options
        };
        let share = |[sum]: [f64; 1], count: usize| (count > 0).then(|| sum / count as f64);
        let wins: Vec<[f64; 1]> = trades
            .iter()
            .map(|one| [f64::from(u8::from(one.profit > 0.0))])
            .collect();
        let changes: Vec<[f64; 1]> = trades.iter().map(|one| [one.change]).collect();
        Self {
            win_rate: automatic_interval(&wins, &options, rng, share),
            average_trade: automatic_interval(&changes, &options, rng, share),
            ..Self::default()
        }
    }
}

/// The interval of a growing function of the value.
fn mapped(interval: Interval, function: impl Fn(f64) -> f64) -> Interval {
    Interval {
        estimate: function(interval.estimate),
        low: function(interval.low),
        high: function(interval.high),
        ..interval
    }
}

fn volatility(
    returns: &[f64],
    steps_per_year: f64,
    options: &AutomaticOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let steps: Vec<[f64; 2]> = returns.iter().map(|one| [*one, one * one]).collect();
    automatic_interval(&steps, options, rng, |[sum, squares], count| {
        let count = count as f64;
        let variance = (squares - sum * sum / count) / (count - 1.0);
        // What is smaller than this is left over from rounding: the returns do not vary.
        let least = squares / count * 1e-12;
        (variance > least).then(|| (variance * steps_per_year).sqrt())
    })
}

/// The deepest drawdown is no function of sums, so every resampled history is walked; of long ones
/// fewer are.
fn drawdown(returns: &[f64], options: &AutomaticOptions, rng: &mut impl Rng) -> Option<Interval> {
    let affordable = (MOST_STEPS / returns.len().max(1)).max(LEAST_HISTORIES);
    let samples = options
        .samples
        .min(u32::try_from(affordable).unwrap_or(u32::MAX));
    mean(returns).filter(|_| samples > 0)?;
    let steps: Vec<[f64; 1]> = returns.iter().map(|one| [*one]).collect();
    let average = |[sum]: [f64; 1], count: usize| (count > 0).then(|| sum / count as f64);
    let bootstrap = BootstrapOptions {
        samples,
        scheme: BlockScheme::Stationary,
        mean_block_steps: automatic_block_steps(&steps, options.overlap_steps, average),
        confidence: options.confidence,
        trials: options.trials,
    };
    let how = (bootstrap.scheme, bootstrap.mean_block_steps);
    let values = (0..samples).map(|_| {
        let ranges = resampled_ranges(returns.len(), how, rng);
        depth(ranges.into_iter().flat_map(|range| &returns[range]))
    });
    let values = values.collect();
    interval_of_values(depth(returns.iter()), values, &bootstrap)
}

/// Depth of the deepest drawdown of a curve with these returns.
fn depth<'a>(returns: impl Iterator<Item = &'a f64>) -> f64 {
    let (mut equity, mut peak, mut deepest) = (1.0_f64, 1.0_f64, 0.0_f64);
    for change in returns {
        equity *= 1.0 + change;
        peak = peak.max(equity);
        deepest = deepest.max(1.0 - equity / peak);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    const OPTIONS: AutomaticOptions = AutomaticOptions {
        samples: 500,
        overlap_steps: 1,
        confidence: 0.9,
        trials: 1,
    };

    fn curve() -> Vec<f64> {
        let mut equity = vec![1_000.0];
        for step in 0..600_u32 {
            let change = 0.01 * (f64::from(step * 7_919 % 1_000) / 500.0 - 0.98);
            equity.push(equity[step as usize] * (1.0 + change));
        }
        equity
    }

    #[test]
    fn estimates_are_those_of_the_history_and_lie_inside() {
        let equity = curve();
        let trades: Vec<TradeRecord> = (0..60)
            .map(|at| TradeRecord {
                profit: f64::from(at % 3) - 1.0,
                change: 0.01 * (f64::from(at % 3) - 0.9),
            })
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let found = HeadlineIntervals::of((&equity, 365.0), Some(2.0), &trades, &OPTIONS, &mut rng);
        let total = equity[600] / equity[0] - 1.0;
        let expected = [
            (found.total_return, total),
            (found.annual_growth, (1.0 + total).sqrt() - 1.0),
            (found.win_rate, 1.0 / 3.0),
            (found.average_trade, 0.001),
        ];
        for (interval, value) in expected {
            let one = interval.unwrap();
            assert!((one.estimate - value).abs() < 1e-9, "{one:?} {value}");
            assert!(one.low < value && value < one.high, "{one:?} {value}");
        }
        let deepest = crate::eval::trading::drawdowns(&equity)
            .into_iter()
            .fold(0.0, f64::max);
        let drawdown = found.max_drawdown.unwrap();
        assert!((drawdown.estimate - deepest).abs() < 1e-9);
        assert!(0.0 < drawdown.low && drawdown.low < drawdown.high && drawdown.high < 1.0);
        assert!(found.annual_volatility.unwrap().low > 0.0);
    }

    #[test]
    fn nothing_gives_no_intervals() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut of = |equity: &[f64], samples| {
            let options = AutomaticOptions { samples, ..OPTIONS };
            HeadlineIntervals::of((equity, 365.0), None, &[], &options, &mut rng)
        };
        assert_eq!(of(&[], 500), HeadlineIntervals::default());
        assert_eq!(of(&curve(), 0), HeadlineIntervals::default());
        assert_eq!(of(&[1.0, 0.0, 1.0], 500), HeadlineIntervals::default());
    }
}
