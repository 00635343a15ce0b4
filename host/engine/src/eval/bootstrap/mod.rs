//! The block bootstrap (stationary or circular; D. Politis, J. Romano 1992 and 1994) for statistics
//! of sums over time.
//!
//! A step holds the sums of all samples of one moment, so that symbols of a moment stay together;
//! blocks of consecutive steps keep what overlaps in time together. A statistic sees the sums over
//! a resampled history, which costs one subtraction per block. How long blocks should be is read
//! from the data by [`automatic_block_steps`].

mod block_length;
mod draw;

use rand_core::Rng;
use serde::Serialize;

use super::trading::normal::quantile;

pub use block_length::{OptimalBlockLength, optimal_block_length};
pub(in crate::eval) use draw::below;
pub use draw::{BlockScheme, resampled_ranges};

/// How uncertainty is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BootstrapOptions {
    /// Resampled histories.
    pub samples: u32,
    /// How blocks are cut.
    pub scheme: BlockScheme,
    /// Mean length of a block in steps, at least 1; see [`automatic_block_steps`].
    pub mean_block_steps: f64,
    /// Probability that the interval covers the true value, such as 0.95.
    pub confidence: f64,
    /// How many variants have been tried before this one was shown, itself included. The interval
    /// is widened so that the stated confidence holds for all of them together (Bonferroni).
    pub trials: u32,
}

/// An estimate and where the true value lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The statistic of the history itself.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability of covering the true value, over all trials together.
    pub confidence: f64,
    /// Variants that the interval allows for.
    pub trials: u32,
    /// Mean length of a block in steps.
    pub mean_block_steps: f64,
    /// Resampled histories whose statistic was defined.
    pub samples: u32,
}

impl Interval {
    /// Whether the whole interval lies above zero.
    #[must_use]
    pub fn is_above_zero(&self) -> bool {
        self.low > 0.0
    }

    /// Whether zero is a plausible value.
    #[must_use]
    pub fn includes_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The mean block length where the data are not asked: the cube root of the number of steps, and no
/// less than the steps over which samples overlap, such as a label's horizon.
#[must_use]
pub fn block_steps(steps: usize, overlap_steps: usize) -> f64 {
    (steps as f64).cbrt().max(overlap_steps as f64).max(1.0)
}

/// The mean block length for the stationary bootstrap of `statistic`: the automatic length of
/// [`optimal_block_length`], and no less than the steps over which samples overlap.
///
/// The automatic length is that for the mean of a series. What a statistic is the mean of, but for
/// terms that vanish as the history grows, are its jackknife influences: how much each step moves
/// it. Where they are not defined, the length is [`block_steps`].
#[must_use]
pub fn automatic_block_steps<const K: usize>(
    steps: &[[f64; K]],
    overlap_steps: usize,
    statistic: impl Fn([f64; K], usize) -> Option<f64>,
) -> f64 {
    let influences = || -> Option<Vec<f64>> {
        let total = History::new(steps).total();
        let fewer = steps.len().checked_sub(1)?;
        let full = statistic(total, steps.len())?;
        let without = |step: &[f64; K]| {
            let mut sums = total;
            add(&mut sums, step, -1.0);
            Some((full - statistic(sums, fewer)?) * fewer as f64)
        };
        steps.iter().map(without).collect()
    };
    match influences().and_then(|series| optimal_block_length(&series)) {
        Some(length) => length.stationary.max(overlap_steps as f64).max(1.0),
        None => block_steps(steps.len(), overlap_steps),
    }
}

/// How an interval with blocks of the automatic length is estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutomaticOptions {
    /// Resampled histories; 0 for no interval.
    pub samples: u32,
    /// Steps over which samples overlap, such as a label's horizon: the least block length.
    pub overlap_steps: usize,
    /// Probability that the interval covers the true value, such as 0.95.
    pub confidence: f64,
    /// How many variants have been tried, this one included.
    pub trials: u32,
}

/// The [`interval`] of a statistic by the stationary bootstrap, with the mean block length of
/// [`automatic_block_steps`].
#[must_use]
pub fn automatic_interval<const K: usize>(
    steps: &[[f64; K]],
    options: &AutomaticOptions,
    rng: &mut impl Rng,
    statistic: impl Fn([f64; K], usize) -> Option<f64>,
) -> Option<Interval> {
    if options.samples == 0 {
        return None;
    }
    let bootstrap = BootstrapOptions {
        samples: options.samples,
        scheme: BlockScheme::Stationary,
        mean_block_steps: automatic_block_steps(steps, options.overlap_steps, &statistic),
        confidence: options.confidence,
        trials: options.trials,
    };
    interval(steps, &bootstrap, rng, statistic)
}

/// Fewest resampled values beyond an end of the interval for that end to be read from them.
const LEAST_TAIL: f64 = 5.0;

/// The interval of `statistic`, a function of the sums over all steps; `None` where it is not
/// defined for the history or for nearly all resampled ones, or nothing was resampled.
///
/// The ends are quantiles of the resampled statistics. Where so many trials are allowed for that
/// fewer than five resampled values would lie beyond an end, they come from the normal
/// distribution with the resampled standard deviation instead.
#[must_use]
pub fn interval<const K: usize>(
    steps: &[[f64; K]],
    options: &BootstrapOptions,
    rng: &mut impl Rng,
    statistic: impl Fn([f64; K], usize) -> Option<f64>,
) -> Option<Interval> {
    let estimate = statistic(History::new(steps).total(), steps.len())?;
    let values = resampled_values(steps, options, rng, statistic);
    interval_of_values(estimate, values, options)
}

/// The statistic of each resampled history where it is defined and finite, in the order drawn.
#[must_use]
pub fn resampled_values<const K: usize>(
    steps: &[[f64; K]],
    options: &BootstrapOptions,
    rng: &mut impl Rng,
    statistic: impl Fn([f64; K], usize) -> Option<f64>,
) -> Vec<f64> {
    let history = History::new(steps);
    (0..options.samples)
        .filter_map(|_| statistic(history.resample(options, rng), steps.len()))
        .filter(|value| value.is_finite())
        .collect()
}

/// The interval around `estimate` that resampled values of any statistic give; `None` where nearly
/// all of them were not defined.
#[must_use]
pub fn interval_of_values(
    estimate: f64,
    mut values: Vec<f64>,
    options: &BootstrapOptions,
) -> Option<Interval> {
    if values.len() < 2 || values.len() * 2 < options.samples as usize {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - options.confidence) / 2.0 / f64::from(options.trials.max(1));
    let (low, high) = if values.len() as f64 * tail >= LEAST_TAIL {
        (
            sorted_quantile(&values, tail),
            sorted_quantile(&values, 1.0 - tail),
        )
    } else {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        let reach = quantile(1.0 - tail)? * (squares / (count - 1.0)).sqrt();
        (estimate - reach, estimate + reach)
    };
    Some(Interval {
        estimate,
        low,
        high,
        confidence: options.confidence,
        trials: options.trials.max(1),
        mean_block_steps: options.mean_block_steps,
        samples: u32::try_from(values.len()).unwrap_or(u32::MAX),
    })
}

/// Two-sided p-value of a true value of zero, from the resampled values of its estimate: twice the
/// smaller share of them on either side of zero, zero itself on both, with one added to the counts
/// (A. Davison, D. Hinkley 1997, section 4.2), and at most 1. It is below `1 - confidence` where
/// the interval of the quantiles leaves zero out. `None` of nothing.
#[must_use]
pub fn two_sided_p(values: &[f64]) -> Option<f64> {
    let below = values.iter().filter(|value| **value <= 0.0).count();
    let above = values.iter().filter(|value| **value >= 0.0).count();
    let share = (below.min(above) + 1) as f64 / (values.len() + 1) as f64;
    (!values.is_empty()).then(|| (2.0 * share).min(1.0))
}

/// Sums over the first steps, so that any block's sum is one subtraction.
struct History<const K: usize> {
    before: Vec<[f64; K]>,
}

impl<const K: usize> History<K> {
    fn new(steps: &[[f64; K]]) -> Self {
        let mut before = Vec::with_capacity(steps.len() + 1);
        let mut sum = [0.0; K];
        before.push(sum);
        for step in steps {
            add(&mut sum, step, 1.0);
            before.push(sum);
        }
        Self { before }
    }

    fn steps(&self) -> usize {
        self.before.len() - 1
    }

    fn total(&self) -> [f64; K] {
        self.before[self.steps()]
    }

    /// Sums over a history of the same length, joined from blocks.
    fn resample(&self, options: &BootstrapOptions, rng: &mut impl Rng) -> [f64; K] {
        let mut sum = [0.0; K];
        let how = (options.scheme, options.mean_block_steps);
        for range in resampled_ranges(self.steps(), how, rng) {
            add(&mut sum, &self.before[range.end], 1.0);
            add(&mut sum, &self.before[range.start], -1.0);
        }
        sum
    }
}

fn add<const K: usize>(sum: &mut [f64; K], values: &[f64; K], sign: f64) {
    for (total, value) in sum.iter_mut().zip(values) {
        *total += sign * value;
    }
}

/// The quantile of ascending values, between neighbours by linear interpolation.
pub(in crate::eval) fn sorted_quantile(values: &[f64], probability: f64) -> f64 {
    let place = probability * (values.len() - 1) as f64;
    let (lower, share) = (place.floor() as usize, place.fract());
    let upper = (lower + 1).min(values.len() - 1);
    values[lower] + share * (values[upper] - values[lower])
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn options(mean_block_steps: f64) -> BootstrapOptions {
        BootstrapOptions {
            samples: 500,
            scheme: BlockScheme::Stationary,
            mean_block_steps,
            confidence: 0.95,
            trials: 1,
        }
    }

    fn mean(sums: [f64; 1], steps: usize) -> Option<f64> {
        (steps > 0).then(|| sums[0] / steps as f64)
    }

    #[test]
    fn the_interval_covers_the_true_mean_about_as_often_as_it_says() {
        let mut covered = 0;
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let steps: Vec<[f64; 1]> = (0..300)
                .map(|_| [rng.random::<f64>() + rng.random::<f64>() - 1.0])
                .collect();
            let found = interval(&steps, &options(5.0), &mut rng, mean).unwrap();
            covered += u32::from(found.includes_zero());
        }
        assert!((270..=297).contains(&covered), "covered {covered} of 300");
    }

    #[test]
    fn blocks_widen_the_interval_of_a_persistent_series() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut level = 0.0;
        let steps: Vec<[f64; 1]> = (0..2000)
            .map(|_| {
                level = 0.95 * level + rng.random::<f64>() - 0.5;
                [level]
            })
            .collect();
        let width = |blocks: f64| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let found = interval(&steps, &options(blocks), &mut rng, mean).unwrap();
            found.high - found.low
        };
        assert!(
            width(60.0) > 3.0 * width(1.0),
            "{} against {}",
            width(60.0),
            width(1.0)
        );
    }

    #[test]
    fn more_trials_widen_the_interval_and_the_seed_decides_it() {
        let steps: Vec<[f64; 1]> = (0..400).map(|i| [f64::from(i % 7) - 3.0]).collect();
        let run = |seed, trials| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let options = BootstrapOptions {
                trials,
                ..options(4.0)
            };
            interval(&steps, &options, &mut rng, mean).unwrap()
        };
        let widths: Vec<f64> = [1, 3, 50].map(|t| run(1, t).high - run(1, t).low).to_vec();
        assert!(widths[0] < widths[1] && widths[1] < widths[2], "{widths:?}");
        assert_eq!(run(1, 1), run(1, 1));
        assert_ne!(run(1, 1), run(2, 1));
    }

    #[test]
    fn nothing_gives_no_interval() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(interval(&[], &options(1.0), &mut rng, mean), None);
        let none = BootstrapOptions {
            samples: 0,
            ..options(1.0)
        };
        assert_eq!(interval(&[[1.0]], &none, &mut rng, mean), None);
    }

    /// An autoregression of order one around zero.
    fn persistent(seed: u64, count: usize, share: f64) -> Vec<[f64; 1]> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut level = 0.0;
        (0..count + 200)
            .map(|_| {
                let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
                level = share * level + sum - 6.0;
                [level]
            })
            .skip(200)
            .collect()
    }

    #[test]
    fn automatic_blocks_cover_the_mean_of_a_persistent_series() {
        let covered = |scheme, automatic: bool| {
            (0..200)
                .filter(|seed| {
                    let steps = persistent(*seed, 1000, 0.7);
                    let mean_block_steps = match automatic {
                        true => automatic_block_steps(&steps, 1, mean),
                        false => 1.0,
                    };
                    let options = BootstrapOptions {
                        scheme,
                        ..options(mean_block_steps)
                    };
                    let mut rng = ChaCha8Rng::seed_from_u64(*seed);
                    let found = interval(&steps, &options, &mut rng, mean).unwrap();
                    found.includes_zero()
                })
                .count()
        };
        for scheme in [BlockScheme::Stationary, BlockScheme::Circular] {
            let hits = covered(scheme, true);
            assert!((172..=199).contains(&hits), "{scheme:?}: {hits} of 200");
        }
        // Resampling single steps takes the series for independent.
        let hits = covered(BlockScheme::Stationary, false);
        assert!(hits < 140, "{hits} of 200");
    }

    #[test]
    fn the_automatic_length_is_that_of_the_series_and_no_shorter_than_the_overlap() {
        let steps = persistent(5, 2000, 0.6);
        let series: Vec<f64> = steps.iter().map(|[value]| *value).collect();
        let direct = optimal_block_length(&series).unwrap().stationary;
        let found = automatic_block_steps(&steps, 1, mean);
        assert!(
            (found / direct - 1.0).abs() < 1e-6,
            "{found} against {direct}"
        );
        let overlap = automatic_block_steps(&steps, 200, mean);
        assert!((overlap - 200.0).abs() < 1e-12, "{overlap}");
        let constant = automatic_block_steps(&[[1.0]; 1000], 3, mean);
        assert!((constant - 10.0).abs() < 1e-9, "{constant}");
        let empty = automatic_block_steps(&[], 1, mean);
        assert!((empty - 1.0).abs() < 1e-12, "{empty}");
    }
}
