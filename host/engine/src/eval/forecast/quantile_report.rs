//! Everything about a set of out-of-sample quantile forecasts, in one report, beside the quantiles
//! of the training rows, which know nothing of the row.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::report::{estimate, ratio};
use super::{Estimated, IntervalForecasts, IntervalQuality, crps_of_quantiles, pinball_loss};
use crate::eval::prediction::EvaluationOptions;
use crate::types::Timestamp;

/// How far two levels may be from adding up to 1 to be the ends of one interval.
const PAIRED: f64 = 1e-9;

/// Quantile forecasts whose returns have become known; one entry per sample.
#[derive(Debug, Clone, Copy)]
pub struct QuantileForecasts<'a> {
    /// When they were made.
    pub times: &'a [Timestamp],
    /// Levels between 0 and 1, ascending.
    pub levels: &'a [f64],
    /// Forecasts, one a level.
    pub forecasts: &'a [Vec<f64>],
    /// Quantiles of the training rows of the model that forecast, one a level.
    pub baseline: &'a [Vec<f64>],
    /// What came.
    pub outcomes: &'a [f64],
}

/// One level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelQuality {
    /// The level.
    pub level: f64,
    /// Mean pinball loss of the forecasts.
    pub pinball_loss: Option<f64>,
    /// The same of the training quantile.
    pub baseline_pinball_loss: Option<f64>,
    /// Share of outcomes at or below the forecast; to be compared with the level.
    pub share_below: Estimated,
}

/// The interval between a level and its counterpart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CentralInterval {
    /// Probability that it claims to cover.
    pub level: f64,
    /// Share of outcomes inside.
    pub coverage: Estimated,
    /// Coverage, width and score of the forecasts.
    pub quality: Option<IntervalQuality>,
    /// The same of the training quantiles.
    pub baseline: Option<IntervalQuality>,
}

/// What out-of-sample quantile forecasts are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileReport {
    /// Forecasts with a known outcome.
    pub samples: usize,
    /// By level, ascending.
    pub levels: Vec<LevelQuality>,
    /// Mean pinball loss over all levels.
    pub pinball_loss: Estimated,
    /// The same of the training quantiles.
    pub baseline_pinball_loss: Option<f64>,
    /// Pinball loss of the training quantiles less that of the forecasts: above zero the forecasts
    /// are better.
    pub improvement: Estimated,
    /// Continuous ranked probability score, from the quantiles.
    pub crps: Estimated,
    /// The same of the training quantiles.
    pub baseline_crps: Option<f64>,
    /// Central intervals, the widest first.
    pub intervals: Vec<CentralInterval>,
    /// Rows whose quantiles cross.
    pub crossing_rows: usize,
}

impl QuantileReport {
    /// Evaluates forecasts, in any order; `None` where their shapes do not fit together, levels do
    /// not ascend between 0 and 1, or there is no row of finite numbers.
    #[must_use]
    pub fn of(
        given: QuantileForecasts<'_>,
        options: &EvaluationOptions,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        let rows = Rows::of(given)?;
        let levels = (0..rows.levels.len()).map(|at| rows.level(at, options, &mut *rng));
        let levels: Vec<LevelQuality> = levels.collect();
        let (own, base) = (rows.pinball(&rows.forecasts), rows.pinball(&rows.baseline));
        let losses: Vec<[f64; 2]> = own.into_iter().zip(base).map(|(a, b)| [a, b]).collect();
        let steps = rows.by_moment(&losses);
        let pinball = estimate(&steps, |[n, own, _]| ratio(own, n), options, &mut *rng);
        let improvement = estimate(
            &steps,
            |[n, own, base]| ratio(base - own, n),
            options,
            &mut *rng,
        );
        let baseline_pinball = estimate(
            &steps,
            |[n, _, base]| ratio(base, n),
            &silent(options),
            &mut *rng,
        );
        let scores = rows.crps(&rows.forecasts)?;
        let pairs: Vec<[f64; 2]> = scores.iter().map(|one| [*one, 0.0]).collect();
        let steps = rows.by_moment(&pairs);
        let crps = estimate(&steps, |[n, own, _]| ratio(own, n), options, &mut *rng);
        let base = rows.crps(&rows.baseline)?;
        let intervals = rows.intervals(options, rng);
        Some(Self {
            samples: rows.outcomes.len(),
            levels,
            pinball_loss: pinball,
            baseline_pinball_loss: baseline_pinball.value,
            improvement,
            crps,
            baseline_crps: ratio(base.iter().sum(), base.len() as f64),
            intervals,
            crossing_rows: rows.forecasts.iter().filter(|row| !row.is_sorted()).count(),
        })
    }
}

/// The same options without intervals.
fn silent(options: &EvaluationOptions) -> EvaluationOptions {
    EvaluationOptions {
        bootstrap_samples: 0,
        ..*options
    }
}

/// The rows that count.
struct Rows<'a> {
    levels: &'a [f64],
    times: Vec<Timestamp>,
    forecasts: Vec<Vec<f64>>,
    baseline: Vec<Vec<f64>>,
    outcomes: Vec<f64>,
}

impl<'a> Rows<'a> {
    fn of(given: QuantileForecasts<'a>) -> Option<Self> {
        let count = given.outcomes.len();
        let fits = [
            given.times.len(),
            given.forecasts.len(),
            given.baseline.len(),
        ];
        if fits != [count; 3] {
            return None;
        }
        let mut rows = Self {
            levels: given.levels,
            times: Vec::new(),
            forecasts: Vec::new(),
            baseline: Vec::new(),
            outcomes: Vec::new(),
        };
        for at in 0..count {
            let (own, base) = (&given.forecasts[at], &given.baseline[at]);
            let is_row = own.len() == given.levels.len() && base.len() == given.levels.len();
            let all = own.iter().chain(base).chain(&given.outcomes[at..=at]);
            if is_row && all.into_iter().all(|one| one.is_finite()) {
                rows.times.push(given.times[at]);
                rows.forecasts.push(own.clone());
                rows.baseline.push(base.clone());
                rows.outcomes.push(given.outcomes[at]);
            }
        }
        let ascend = rows.levels.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = rows.levels.iter().all(|one| *one > 0.0 && *one < 1.0);
        let has_rows = !rows.outcomes.is_empty() && !rows.levels.is_empty();
        (ascend && inside && has_rows).then_some(rows)
    }

    /// Sums of two numbers of each row by moment, after the count of rows.
    fn by_moment(&self, values: &[[f64; 2]]) -> Vec<[f64; 3]> {
        let mut moments: BTreeMap<Timestamp, [f64; 3]> = BTreeMap::new();
        for (time, [a, b]) in self.times.iter().zip(values) {
            let moment = moments.entry(*time).or_default();
            moment[0] += 1.0;
            moment[1] += a;
            moment[2] += b;
        }
        moments.into_values().collect()
    }

    /// Mean pinball loss of each row over the levels.
    fn pinball(&self, rows: &[Vec<f64>]) -> Vec<f64> {
        let of = |(row, outcome): (&Vec<f64>, &f64)| {
            let losses = row.iter().zip(self.levels).filter_map(|(value, level)| {
                pinball_loss(
                    std::slice::from_ref(value),
                    std::slice::from_ref(outcome),
                    *level,
                )
            });
            losses.sum::<f64>() / self.levels.len() as f64
        };
        rows.iter().zip(&self.outcomes).map(of).collect()
    }

    fn crps(&self, rows: &[Vec<f64>]) -> Option<Vec<f64>> {
        let of = |(row, outcome): (&Vec<f64>, &f64)| {
            crps_of_quantiles(
                std::slice::from_ref(row),
                self.levels,
                std::slice::from_ref(outcome),
            )
        };
        rows.iter().zip(&self.outcomes).map(of).collect()
    }

    fn column(rows: &[Vec<f64>], at: usize) -> Vec<f64> {
        rows.iter().map(|row| row[at]).collect()
    }

    fn level(&self, at: usize, options: &EvaluationOptions, rng: &mut impl Rng) -> LevelQuality {
        let level = self.levels[at];
        let (own, base) = (
            Self::column(&self.forecasts, at),
            Self::column(&self.baseline, at),
        );
        let below = own.iter().zip(&self.outcomes);
        let below: Vec<[f64; 2]> = below
            .map(|(quantile, outcome)| [f64::from(u8::from(outcome <= quantile)), 0.0])
            .collect();
        let steps = self.by_moment(&below);
        LevelQuality {
            level,
            pinball_loss: pinball_loss(&own, &self.outcomes, level),
            baseline_pinball_loss: pinball_loss(&base, &self.outcomes, level),
            share_below: estimate(&steps, |[n, below, _]| ratio(below, n), options, rng),
        }
    }

    fn intervals(&self, options: &EvaluationOptions, rng: &mut impl Rng) -> Vec<CentralInterval> {
        let mut found = Vec::new();
        for (low, level) in self.levels.iter().enumerate() {
            let partner = |other: &f64| (level + other - 1.0).abs() < PAIRED && other > level;
            let Some(high) = self.levels.iter().position(partner) else {
                continue;
            };
            let claimed = self.levels[high] - level;
            let quality = |rows: &[Vec<f64>]| {
                IntervalQuality::of(&IntervalForecasts {
                    lower: &Self::column(rows, low),
                    upper: &Self::column(rows, high),
                    outcomes: &self.outcomes,
                    level: claimed,
                })
            };
            let inside = self.forecasts.iter().zip(&self.outcomes);
            let inside: Vec<[f64; 2]> = inside
                .map(|(row, one)| {
                    [
                        f64::from(u8::from(row[low] <= *one && *one <= row[high])),
                        0.0,
                    ]
                })
                .collect();
            let steps = self.by_moment(&inside);
            found.push(CentralInterval {
                level: claimed,
                coverage: estimate(
                    &steps,
                    |[n, inside, _]| ratio(inside, n),
                    options,
                    &mut *rng,
                ),
                quality: quality(&self.forecasts),
                baseline: quality(&self.baseline),
            });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::eval::trading::normal::quantile;

    const LEVELS: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

    struct Sample {
        times: Vec<Timestamp>,
        forecasts: Vec<Vec<f64>>,
        baseline: Vec<Vec<f64>>,
        outcomes: Vec<f64>,
    }

    /// Normal outcomes around a mean that the forecasts know.
    fn sample(count: i64) -> Sample {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let of = |mean: f64, deviation: f64| -> Vec<f64> {
            let levels = LEVELS.iter();
            levels
                .map(|one| mean + deviation * quantile(*one).unwrap())
                .collect()
        };
        let mut sample = Sample {
            times: Vec::new(),
            forecasts: Vec::new(),
            baseline: Vec::new(),
            outcomes: Vec::new(),
        };
        for at in 0..count {
            let mean = rng.random::<f64>() - 0.5;
            let draw = quantile(rng.random::<f64>().clamp(1e-9, 1.0 - 1e-9)).unwrap();
            sample.times.push(Timestamp::from_nanos(at));
            sample.forecasts.push(of(mean, 0.3));
            sample.baseline.push(of(0.0, 0.42));
            sample.outcomes.push(mean + 0.3 * draw);
        }
        sample
    }

    fn report(sample: &Sample) -> Option<QuantileReport> {
        let options = EvaluationOptions {
            bootstrap_samples: 300,
            ..EvaluationOptions::default()
        };
        let given = QuantileForecasts {
            times: &sample.times,
            levels: &LEVELS,
            forecasts: &sample.forecasts,
            baseline: &sample.baseline,
            outcomes: &sample.outcomes,
        };
        QuantileReport::of(given, &options, &mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn a_true_distribution_covers_what_it_claims_and_beats_the_training_quantiles() {
        let found = report(&sample(4000)).unwrap();
        assert_eq!((found.samples, found.crossing_rows), (4000, 0));
        for one in &found.levels {
            let interval = one.share_below.interval.unwrap();
            assert!(
                interval.low < one.level && one.level < interval.high,
                "{one:?}"
            );
            assert!(
                one.pinball_loss.unwrap() < one.baseline_pinball_loss.unwrap(),
                "{one:?}"
            );
        }
        assert_eq!(found.intervals.len(), 2);
        let widest = &found.intervals[0];
        assert!((widest.level - 0.9).abs() < 1e-12);
        let coverage = widest.coverage.interval.unwrap();
        assert!(coverage.low < 0.9 && 0.9 < coverage.high, "{widest:?}");
        let (own, base) = (widest.quality.unwrap(), widest.baseline.unwrap());
        assert!(own.winkler_score < base.winkler_score && own.mean_width < base.mean_width);
        assert!(found.improvement.interval.unwrap().is_above_zero());
        assert!(found.crps.value.unwrap() < found.baseline_crps.unwrap());
    }

    #[test]
    fn losses_are_the_means_of_the_single_metrics() {
        let sample = sample(500);
        let found = report(&sample).unwrap();
        let by_level = found.levels.iter().map(|one| one.pinball_loss.unwrap());
        let mean = by_level.sum::<f64>() / LEVELS.len() as f64;
        assert!((found.pinball_loss.value.unwrap() - mean).abs() < 1e-12);
        let crps = crps_of_quantiles(&sample.forecasts, &LEVELS, &sample.outcomes).unwrap();
        assert!((found.crps.value.unwrap() - crps).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_together_is_undefined_and_crossings_are_counted() {
        let mut odd = sample(300);
        odd.forecasts[3].swap(0, 4);
        odd.outcomes[4] = f64::NAN;
        let found = report(&odd).unwrap();
        assert_eq!((found.samples, found.crossing_rows), (299, 1));
        assert_eq!(
            found.intervals[0].quality, None,
            "an interval that ends before it begins"
        );
        odd.times.pop();
        assert_eq!(report(&odd), None);
    }
}
