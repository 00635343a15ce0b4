//! Two curves over the same steps: is one better than the other, or were they only lucky apart?
//!
//! Steps of both are resampled together, so that what moves both cancels (the block bootstrap of
//! the difference; O. Ledoit, M. Wolf 2008 study it for Sharpe ratios). Blocks have the automatic
//! length of the difference itself.

use rand_core::Rng;
use serde::Serialize;

use crate::eval::bootstrap::{
    BlockScheme, BootstrapOptions, Interval, automatic_block_steps, interval_of_values,
    resampled_values, two_sided_p,
};

/// How a difference is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedOptions {
    /// Resampled histories; 0 for no intervals.
    pub samples: u32,
    /// Least mean length of a block, in steps.
    pub overlap_steps: usize,
    /// Probability that intervals cover the true difference, over all `comparisons` together.
    pub confidence: f64,
    /// How many pairs are compared; intervals are widened for all of them (Bonferroni).
    pub comparisons: u32,
    /// Steps in a year, for annualising.
    pub steps_per_year: f64,
}

/// One curve less another; `None` where it is not defined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct PairedDifference {
    /// Difference of the mean returns, a year.
    pub mean_return: Option<Interval>,
    /// Two-sided p-value of no difference of the mean returns, for this pair alone.
    pub mean_return_p: Option<f64>,
    /// Difference of the annualised Sharpe ratios.
    pub sharpe: Option<Interval>,
    /// Two-sided p-value of no difference of the Sharpe ratios, for this pair alone.
    pub sharpe_p: Option<f64>,
}

impl PairedDifference {
    /// The returns of one curve less those of another, step by step; of the shorter length where
    /// they differ.
    #[must_use]
    pub fn of(
        returns: &[f64],
        others: &[f64],
        options: &PairedOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let per_year = options.steps_per_year;
        let pairs = returns.iter().zip(others);
        let apart: Vec<[f64; 1]> = pairs.clone().map(|(a, b)| [a - b]).collect();
        let (mean_return, mean_return_p) = judge(&apart, options, rng, |[sum], count| {
            (count > 0).then(|| sum / count as f64 * per_year)
        });
        let both: Vec<[f64; 4]> = pairs.map(|(a, b)| [*a, a * a, *b, b * b]).collect();
        let (sharpe, sharpe_p) = judge(&both, options, rng, |[a, aa, b, bb], count| {
            let difference = sharpe(a, aa, count)? - sharpe(b, bb, count)?;
            Some(difference * per_year.sqrt())
        });
        Self {
            mean_return,
            mean_return_p,
            sharpe,
            sharpe_p,
        }
    }
}

fn sharpe(sum: f64, squares: f64, count: usize) -> Option<f64> {
    let count = count as f64;
    let variance = (squares - sum * sum / count) / (count - 1.0);
    // What is smaller than this is left over from rounding: the returns do not vary.
    let least = squares / count * 1e-12;
    (variance > least).then(|| sum / count / variance.sqrt())
}

fn judge<const K: usize>(
    steps: &[[f64; K]],
    options: &PairedOptions,
    rng: &mut impl Rng,
    statistic: impl Fn([f64; K], usize) -> Option<f64>,
) -> (Option<Interval>, Option<f64>) {
    let sums = steps.iter().fold([0.0; K], |mut sums, step| {
        sums.iter_mut().zip(step).for_each(|(sum, one)| *sum += one);
        sums
    });
    let (Some(estimate), true) = (statistic(sums, steps.len()), options.samples > 0) else {
        return (None, None);
    };
    let bootstrap = BootstrapOptions {
        samples: options.samples,
        scheme: BlockScheme::Stationary,
        mean_block_steps: automatic_block_steps(steps, options.overlap_steps, &statistic),
        confidence: options.confidence,
        trials: options.comparisons,
    };
    let values = resampled_values(steps, &bootstrap, rng, statistic);
    let p = two_sided_p(&values);
    let interval = interval_of_values(estimate, values, &bootstrap);
    (interval, interval.and(p))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    const OPTIONS: PairedOptions = PairedOptions {
        samples: 400,
        overlap_steps: 1,
        confidence: 0.95,
        comparisons: 1,
        steps_per_year: 365.0,
    };

    fn noise(rng: &mut ChaCha8Rng) -> f64 {
        let sum: f64 = (0..12).map(|_| rng.random::<f64>()).sum();
        0.01 * (sum - 6.0)
    }

    #[test]
    fn equals_are_told_apart_about_as_often_as_the_level_says() {
        let mut found = [0; 2];
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let shared: Vec<f64> = (0..300).map(|_| noise(&mut rng)).collect();
            let with = |rng: &mut ChaCha8Rng| -> Vec<f64> {
                shared.iter().map(|one| one + noise(rng) / 2.0).collect()
            };
            let (a, b) = (with(&mut rng), with(&mut rng));
            let one = PairedDifference::of(&a, &b, &OPTIONS, &mut rng);
            for (count, p, interval) in [
                (0, one.mean_return_p, one.mean_return),
                (1, one.sharpe_p, one.sharpe),
            ] {
                found[count] += usize::from(p.unwrap() < 0.05);
                // The quantiles are interpolated, so only what is close may differ.
                let leaves_out = !interval.unwrap().includes_zero();
                assert!(leaves_out == (p.unwrap() < 0.05) || (p.unwrap() - 0.05).abs() < 0.02);
            }
        }
        assert!(
            found.iter().all(|count| (3..=32).contains(count)),
            "{found:?}"
        );
    }

    #[test]
    fn what_moves_both_does_not_hide_a_small_lead() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let market: Vec<f64> = (0..800).map(|_| 5.0 * noise(&mut rng)).collect();
        let ahead: Vec<f64> = market
            .iter()
            .map(|one| one + 0.001 + noise(&mut rng) / 20.0)
            .collect();
        let found = PairedDifference::of(&ahead, &market, &OPTIONS, &mut rng);
        assert!(found.mean_return.unwrap().is_above_zero(), "{found:?}");
        assert!(found.sharpe_p.unwrap() < 0.01, "{found:?}");
        let back = PairedDifference::of(&market, &ahead, &OPTIONS, &mut rng);
        let sum = found.sharpe.unwrap().estimate + back.sharpe.unwrap().estimate;
        assert!(sum.abs() < 1e-9, "{sum}");
    }

    #[test]
    fn more_comparisons_widen_and_nothing_says_nothing() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let a: Vec<f64> = (0..300).map(|_| noise(&mut rng)).collect();
        let b: Vec<f64> = (0..300).map(|_| noise(&mut rng)).collect();
        let width = |comparisons| {
            let options = PairedOptions {
                comparisons,
                ..OPTIONS
            };
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let one = PairedDifference::of(&a, &b, &options, &mut rng)
                .sharpe
                .unwrap();
            one.high - one.low
        };
        assert!(width(10) > width(1));
        let none = PairedDifference::of(&[], &[], &OPTIONS, &mut rng);
        assert_eq!(none, PairedDifference::default());
        let flat = PairedDifference::of(&[0.0; 50], &a, &OPTIONS, &mut rng);
        assert!(flat.mean_return.is_some() && flat.sharpe.is_none() && flat.sharpe_p.is_none());
    }
}
