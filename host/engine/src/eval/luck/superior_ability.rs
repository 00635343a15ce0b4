//! Whether the best of several strategies beats a benchmark: the test for superior predictive
//! ability (P. Hansen 2005) and the reality check (H. White 2000).
//!
//! The null hypothesis is that no strategy is better than the benchmark. How good the best would
//! look under it is found by resampling blocks of time, all strategies together.

use std::ops::Range;

use rand_core::Rng;
use serde::Serialize;

use super::ReturnsTable;
use crate::eval::bootstrap::{BlockScheme, resampled_ranges};
use crate::eval::trading::mean;

/// How the test is carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuperiorAbilityOptions {
    /// Resampled histories.
    pub samples: u32,
    /// Mean length of a block in steps, at least 1.
    pub mean_block_steps: f64,
    /// Whether each mean is divided by its standard error, so that a noisy strategy does not hide
    /// the others: Hansen's test. Without, the upper p-value is White's reality check.
    pub studentized: bool,
}

/// The best strategy against what luck shows.
///
/// A p-value is the share of resampled histories whose best strategy exceeds the statistic, so a
/// p-value of 0 means less than one over their number. The three differ in which strategies count
/// under the null; the true one lies between `lower` and `upper`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SuperiorAbility {
    /// The best strategy's position.
    pub best: usize,
    /// Its mean excess return times the root of the steps; studentized, over its deviation.
    pub statistic: f64,
    /// Strategies that are worse than the benchmark count as they are: liberal.
    pub lower: f64,
    /// Strategies that are clearly worse do not count, those that might be as good do: use this.
    pub consistent: f64,
    /// All strategies count as good as the benchmark: conservative. Poor ones raise it.
    pub upper: f64,
    /// Resampled histories.
    pub samples: u32,
}

/// The test of the table's excess returns (strategy minus benchmark, larger is better), resampled
/// by the stationary bootstrap. `None` where nothing is resampled, there are too few steps (3), or
/// no strategy differs from the benchmark by more than a constant.
#[must_use]
pub fn superior_ability(
    excess: &ReturnsTable,
    options: &SuperiorAbilityOptions,
    rng: &mut impl Rng,
) -> Option<SuperiorAbility> {
    let how = (BlockScheme::Stationary, options.mean_block_steps);
    let steps = excess.steps();
    let resamples = (0..options.samples).map(|_| resampled_ranges(steps, how, rng));
    superior_ability_of(excess, options, resamples)
}

/// The same of given resampled histories, each a list of ranges of steps that are joined; it lets
/// the test be compared with another implementation on the same histories. `options.samples` is not
/// read.
#[must_use]
pub fn superior_ability_of(
    excess: &ReturnsTable,
    options: &SuperiorAbilityOptions,
    resamples: impl Iterator<Item = Vec<Range<usize>>>,
) -> Option<SuperiorAbility> {
    let strategies = strategies(excess, options)?;
    let best = strategies.iter().fold(strategies.first()?, |best, one| {
        if one.statistic() > best.statistic() {
            one
        } else {
            best
        }
    });
    // Studentized, the statistic is no less than zero (Hansen 2005, section 2.2).
    let floor = if options.studentized {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    let statistic = best.statistic().max(floor);
    let (mut samples, mut beyond) = (0_u32, [0_u32; 3]);
    for ranges in resamples {
        let mut largest = [floor; 3];
        for strategy in &strategies {
            let resampled = strategy.resampled_mean(&ranges);
            for (largest, centre) in largest.iter_mut().zip(strategy.centres) {
                *largest = largest.max((resampled - centre) * strategy.scale);
            }
        }
        samples += 1;
        for (beyond, largest) in beyond.iter_mut().zip(largest) {
            *beyond += u32::from(largest > statistic);
        }
    }
    // Studentized and none better than the benchmark: there is nothing to explain.
    let is_none = options.studentized && statistic <= 0.0;
    let share = |count: u32| {
        if is_none {
            1.0
        } else {
            f64::from(count) / f64::from(samples)
        }
    };
    (samples > 0).then(|| SuperiorAbility {
        best: best.position,
        statistic,
        lower: share(beyond[0]),
        consistent: share(beyond[1]),
        upper: share(beyond[2]),
        samples,
    })
}

/// One strategy's excess returns, ready to be resampled.
struct Strategy {
    position: usize,
    /// Sums over the first steps, less the mean.
    before: Vec<f64>,
    mean: f64,
    /// What is taken off a resampled mean: lower, consistent, upper.
    centres: [f64; 3],
    /// Root of the steps, over the deviation where the test is studentized.
    scale: f64,
}

impl Strategy {
    fn statistic(&self) -> f64 {
        self.mean * self.scale
    }

    fn resampled_mean(&self, ranges: &[Range<usize>]) -> f64 {
        let sums = ranges
            .iter()
            .map(|one| self.before[one.end] - self.before[one.start]);
        self.mean + sums.sum::<f64>() / (self.before.len() - 1) as f64
    }
}

fn strategies(excess: &ReturnsTable, options: &SuperiorAbilityOptions) -> Option<Vec<Strategy>> {
    let count = excess.steps() as f64;
    if excess.steps() < 3 {
        return None;
    }
    let mut found = Vec::with_capacity(excess.strategies());
    for (position, row) in excess.rows().enumerate() {
        let mean = mean(row)?;
        let centred: Vec<f64> = row.iter().map(|value| value - mean).collect();
        let varies = crate::eval::varies(row);
        let variance = resampling_variance(&centred, options.mean_block_steps);
        // A strategy whose excess does not vary has no standard error to be judged by.
        if options.studentized && !(varies && variance > 0.0) {
            continue;
        }
        let deviation = if varies {
            variance.max(0.0).sqrt()
        } else {
            0.0
        };
        let bound = -(2.0 * count.ln().ln()).sqrt() * deviation / count.sqrt();
        let divisor = if options.studentized { deviation } else { 1.0 };
        let mut before = vec![0.0];
        let mut sum = 0.0;
        before.extend(centred.iter().map(|value| {
            sum += value;
            sum
        }));
        found.push(Strategy {
            position,
            before,
            mean,
            centres: [mean.max(0.0), if mean >= bound { mean } else { 0.0 }, mean],
            scale: count.sqrt() / divisor,
        });
    }
    let any_varies = excess.rows().any(crate::eval::varies);
    (any_varies && !found.is_empty()).then_some(found)
}

/// Variance of the root of the steps times the mean of a stationary resample (D. Politis, J. Romano
/// 1994, lemma 1): autocovariances weighted by how often a block holds both steps.
fn resampling_variance(centred: &[f64], mean_block_steps: f64) -> f64 {
    let count = centred.len();
    let stays = 1.0 - 1.0 / mean_block_steps.max(1.0);
    let square = |part: &[f64]| part.iter().map(|value| value * value).sum::<f64>();
    let mut variance = square(centred);
    // Weights below this do not reach the last digit of the sum.
    let least = f64::EPSILON / (1.0 + count as f64);
    for lag in 1..count {
        let share = lag as f64 / count as f64;
        let power = |steps: usize| stays.powf(steps as f64);
        let weight = (1.0 - share) * power(lag) + share * power(count - lag);
        if weight > least {
            let (early, late) = (&centred[..count - lag], &centred[lag..]);
            let product: f64 = early.iter().zip(late).map(|(a, b)| a * b).sum();
            variance += 2.0 * weight * product;
        }
    }
    variance / count as f64
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    const OPTIONS: SuperiorAbilityOptions = SuperiorAbilityOptions {
        samples: 500,
        mean_block_steps: 4.0,
        studentized: true,
    };

    /// Excess returns of `count` strategies over 400 steps; the first has an edge a step, in
    /// standard deviations, and the last `poor` lose half a deviation.
    fn excess(seed: u64, count: usize, (edge, poor): (f64, usize)) -> ReturnsTable {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows: Vec<Vec<f64>> = (0..count)
            .map(|strategy| {
                let mean = match strategy {
                    0 => edge,
                    strategy if strategy + poor >= count => -0.5,
                    _ => 0.0,
                };
                let sum = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>();
                (0..400)
                    .map(|_| 0.01 * (sum(&mut rng) - 6.0 + mean))
                    .collect()
            })
            .collect();
        ReturnsTable::new(&rows).unwrap()
    }

    fn test(seed: u64, table: &ReturnsTable) -> SuperiorAbility {
        superior_ability(table, &OPTIONS, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn noise_is_rejected_about_as_often_as_the_level_says() {
        let rejections = (0..200)
            .filter(|seed| test(*seed, &excess(*seed, 20, (0.0, 0))).consistent < 0.1)
            .count();
        assert!((6..=38).contains(&rejections), "{rejections} of 200");
    }

    #[test]
    fn a_real_strategy_is_found_among_noise() {
        let found: Vec<SuperiorAbility> = (0..30)
            .map(|seed| test(seed, &excess(seed, 20, (0.25, 0))))
            .collect();
        let rejected = found.iter().filter(|one| one.consistent < 0.05).count();
        assert!(rejected >= 28, "{rejected} of 30");
        assert!(found.iter().filter(|one| one.best == 0).count() >= 28);
    }

    #[test]
    fn poor_strategies_spoil_the_upper_p_value_only() {
        let (mut consistent, mut upper) = (0.0, 0.0);
        for seed in 0..20 {
            let found = test(seed, &excess(seed, 200, (0.14, 190)));
            assert!(found.lower <= found.consistent && found.consistent <= found.upper);
            consistent += found.consistent / 20.0;
            upper += found.upper / 20.0;
        }
        assert!(upper > 1.5 * consistent, "{consistent} and {upper}");
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let table = excess(3, 5, (0.1, 0));
        assert_eq!(test(1, &table), test(1, &table));
        let doubled: Vec<Vec<f64>> = table
            .rows()
            .map(|row| row.iter().map(|one| one * 2.0).collect())
            .collect();
        let doubled = test(1, &ReturnsTable::new(&doubled).unwrap());
        assert_eq!(
            doubled.consistent.total_cmp(&test(1, &table).consistent),
            std::cmp::Ordering::Equal
        );
    }

    #[test]
    fn nothing_better_than_the_benchmark_has_the_p_value_one() {
        let table = excess(3, 4, (-0.5, 3));
        let found = test(1, &table);
        assert_eq!(
            (found.lower, found.consistent, found.upper),
            (1.0, 1.0, 1.0)
        );
        let idle = ReturnsTable::new(&[[0.0; 30]]).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(superior_ability(&idle, &OPTIONS, &mut rng), None);
        let plain = SuperiorAbilityOptions {
            studentized: false,
            ..OPTIONS
        };
        assert_eq!(superior_ability(&idle, &plain, &mut rng), None);
        let none = SuperiorAbilityOptions {
            samples: 0,
            ..OPTIONS
        };
        assert_eq!(superior_ability(&table, &none, &mut rng), None);
        let short = ReturnsTable::new(&[[0.1, 0.2]]).unwrap();
        assert_eq!(superior_ability(&short, &OPTIONS, &mut rng), None);
    }
}
