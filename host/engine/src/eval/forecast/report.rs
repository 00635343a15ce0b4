//! Everything about a set of out-of-sample forecasts of returns, in one report: errors beside
//! those of the honest baselines, and how forecasts go with what came.
//!
//! The baselines know nothing of the row: zero, and the mean of the training rows of the model that
//! forecast. R2 out of sample is against what the baseline loses (J. Campbell, S. Thompson 2008;
//! S. Gu, B. Kelly, D. Xiu 2020 for zero), so it is negative where the baseline is better.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::{PointForecasts, PointMetric as _, RSquared};
use crate::eval::bootstrap::{Interval, automatic_interval};
use crate::eval::prediction::EvaluationOptions;
use crate::eval::ranking::{
    Coefficient, CoefficientSummary, DirectionalAccuracy, InformationCoefficient,
    RankInformationCoefficient, RankMetric as _, RankScores, best_constant_direction,
    block_coefficients, correlation_interval, cross_sectional_coefficients, mid_ranks,
};
use crate::types::Timestamp;

/// Symbols from which the information ratio is one across them, moment by moment.
const LEAST_SYMBOLS: usize = 3;
/// Stretches of time of the information ratio, where there are fewer symbols: at most so many, and
/// each at least ten labels long.
const MOST_BLOCKS: usize = 60;
const LABELS_A_BLOCK: usize = 10;

/// A value with its block-bootstrap interval, each where it is defined.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimated {
    /// The value.
    pub value: Option<f64>,
    /// Where the true value lies.
    pub interval: Option<Interval>,
}

/// One forecast whose return has become known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastOutcome {
    /// When it was made.
    pub closed_at: Timestamp,
    /// The forecast, in the unit of the outcome.
    pub forecast: f64,
    /// What came.
    pub outcome: f64,
    /// Mean of the outcomes in the training rows of the model that forecast.
    pub training_mean: f64,
}

/// What always saying the same loses, and how much less the forecasts lose.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AgainstConstant {
    /// Mean absolute error of the constant.
    pub mean_absolute_error: Option<f64>,
    /// Root mean squared error of the constant.
    pub root_mean_squared_error: Option<f64>,
    /// Mean squared error of the constant less that of the forecasts: above zero they are better.
    pub improvement: Estimated,
    /// The same as a share of what the constant loses: R2 out of sample.
    pub r_squared: Estimated,
}

/// How steadily forecasts go with outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Steadiness {
    /// Mean over standard deviation of the rank coefficients of the periods (ICIR), per period.
    pub information_ratio: Estimated,
    /// Periods with a coefficient.
    pub periods: usize,
    /// Whether a period is the symbols of one moment; else it is a stretch of time.
    pub is_cross_sectional: bool,
}

/// What out-of-sample forecasts of returns are worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForecastReport {
    /// Forecasts with a known outcome.
    pub samples: usize,
    /// Mean of the absolute errors.
    pub mean_absolute_error: Estimated,
    /// Root of the mean squared error.
    pub root_mean_squared_error: Estimated,
    /// Against always saying the training mean.
    pub against_mean: AgainstConstant,
    /// Against always saying zero.
    pub against_zero: AgainstConstant,
    /// R2 against the outcomes' own mean, which nobody knew: scikit-learn's.
    pub r_squared_in_hindsight: Option<f64>,
    /// Pearson's correlation of forecast and outcome.
    pub information_coefficient: Estimated,
    /// Spearman's.
    pub rank_information_coefficient: Estimated,
    /// How steady that is.
    pub steadiness: Steadiness,
    /// Share of rows whose forecast has the sign of the outcome; rows where either is zero do not
    /// count.
    pub directional_accuracy: Estimated,
    /// The same of always naming the direction that came more often, in hindsight.
    pub best_constant_direction: Option<f64>,
}

/// Sums of one moment: rows, absolute and squared errors of the forecasts, of zero and of the
/// training mean, directions that were right, directions.
type Moment = [f64; 9];

impl ForecastReport {
    /// Evaluates forecasts, in any order; what is not a finite number is not counted.
    #[must_use]
    pub fn of(
        outcomes: &[ForecastOutcome],
        options: &EvaluationOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let is_finite = |one: &&ForecastOutcome| {
            one.forecast.is_finite() && one.outcome.is_finite() && one.training_mean.is_finite()
        };
        let mut rows: Vec<ForecastOutcome> = outcomes.iter().filter(is_finite).copied().collect();
        rows.sort_by_key(|one| one.closed_at);
        let steps = moments(&rows);
        let mut of =
            |statistic: fn(Moment) -> Option<f64>| estimate(&steps, statistic, options, &mut *rng);
        let (absolute, root) = (
            of(|m| ratio(m[1], m[0])),
            of(|m| Some(ratio(m[2], m[0])?.sqrt())),
        );
        let zero = AgainstConstant {
            improvement: of(|m| ratio(m[4] - m[2], m[0])),
            r_squared: of(|m| Some(1.0 - ratio(m[2], m[4])?)),
            ..constant(&steps, 3)
        };
        let mean = AgainstConstant {
            improvement: of(|m| ratio(m[6] - m[2], m[0])),
            r_squared: of(|m| Some(1.0 - ratio(m[2], m[6])?)),
            ..constant(&steps, 5)
        };
        let directional = of(|m| ratio(m[7], m[8]));
        let forecasts: Vec<f64> = rows.iter().map(|one| one.forecast).collect();
        let came: Vec<f64> = rows.iter().map(|one| one.outcome).collect();
        let times: Vec<Timestamp> = rows.iter().map(|one| one.closed_at).collect();
        let ranked = RankScores {
            scores: &forecasts,
            returns: &came,
        };
        let (low, high) = (mid_ranks(&forecasts), mid_ranks(&came));
        Self {
            samples: rows.len(),
            mean_absolute_error: absolute,
            root_mean_squared_error: root,
            against_mean: mean,
            against_zero: zero,
            r_squared_in_hindsight: RSquared.value(PointForecasts {
                forecasts: &forecasts,
                outcomes: &came,
            }),
            information_coefficient: Estimated {
                value: InformationCoefficient.value(ranked),
                interval: correlation_interval(&times, (&forecasts, &came), options, &mut *rng),
            },
            rank_information_coefficient: Estimated {
                value: RankInformationCoefficient.value(ranked),
                interval: correlation_interval(&times, (&low, &high), options, &mut *rng),
            },
            steadiness: steadiness(&times, ranked, options, rng),
            directional_accuracy: Estimated {
                value: DirectionalAccuracy.value(ranked),
                ..directional
            },
            best_constant_direction: best_constant_direction(ranked),
        }
    }
}

/// `a / b`; `None` where there is nothing below the line.
pub(super) fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

/// A statistic of the sums over all steps, with its interval.
pub(super) fn estimate<const K: usize>(
    steps: &[[f64; K]],
    statistic: impl Fn([f64; K]) -> Option<f64>,
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Estimated {
    let mut total = [0.0; K];
    for step in steps {
        for (sum, value) in total.iter_mut().zip(step) {
            *sum += value;
        }
    }
    let value = statistic(total).filter(|value| value.is_finite());
    let interval = value.and_then(|_| {
        automatic_interval(steps, &options.bootstrap(), rng, |sums, _| statistic(sums))
    });
    Estimated { value, interval }
}

fn moments(rows: &[ForecastOutcome]) -> Vec<Moment> {
    let mut moments: BTreeMap<Timestamp, Moment> = BTreeMap::new();
    for one in rows {
        let moment = moments.entry(one.closed_at).or_default();
        let errors = [one.forecast, 0.0, one.training_mean].map(|said| one.outcome - said);
        moment[0] += 1.0;
        for (at, error) in errors.into_iter().enumerate() {
            moment[1 + 2 * at] += error.abs();
            moment[2 + 2 * at] += error * error;
        }
        if one.forecast.abs() > 0.0 && one.outcome.abs() > 0.0 {
            moment[7] += f64::from(u8::from((one.forecast > 0.0) == (one.outcome > 0.0)));
            moment[8] += 1.0;
        }
    }
    moments.into_values().collect()
}

/// The errors of a constant, whose sums begin at `at`.
fn constant(steps: &[Moment], at: usize) -> AgainstConstant {
    let total = |column: usize| steps.iter().map(|step| step[column]).sum::<f64>();
    let rows = total(0);
    AgainstConstant {
        mean_absolute_error: ratio(total(at), rows),
        root_mean_squared_error: ratio(total(at + 1), rows).map(f64::sqrt),
        ..AgainstConstant::default()
    }
}

/// Rows are in order of time.
fn steadiness(
    times: &[Timestamp],
    ranked: RankScores<'_>,
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Steadiness {
    let across = cross_sectional_coefficients(times, ranked, LEAST_SYMBOLS, Coefficient::Rank);
    let is_cross_sectional = across.len() > 1;
    let found = match is_cross_sectional {
        true => across,
        false => {
            let mut moments = times.to_vec();
            moments.dedup();
            let longest = LABELS_A_BLOCK * options.overlap_steps.max(1);
            let blocks = (moments.len() / longest).clamp(2, MOST_BLOCKS);
            block_coefficients(ranked, blocks, Coefficient::Rank)
        }
    };
    let summary = CoefficientSummary::of(&found);
    let steps: Vec<[f64; 3]> = found.iter().map(|one| [1.0, *one, one * one]).collect();
    // Blocks are many labels long, so they overlap with no more than their neighbours.
    let own = EvaluationOptions {
        overlap_steps: if is_cross_sectional {
            options.overlap_steps
        } else {
            1
        },
        ..*options
    };
    let interval = estimate(&steps, information_ratio, &own, rng).interval;
    Steadiness {
        information_ratio: Estimated {
            value: summary.and_then(|one| one.information_ratio),
            interval,
        },
        periods: found.len(),
        is_cross_sectional,
    }
}

/// Mean over sample deviation, from the count, the sum and the squares.
fn information_ratio([count, sum, squares]: [f64; 3]) -> Option<f64> {
    if count < 2.0 {
        return None;
    }
    let mean = sum / count;
    let variance = (squares - sum * mean) / (count - 1.0);
    (variance > 0.0).then(|| mean / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::super::{MeanAbsoluteError, MeanSquaredError};
    use super::*;

    /// Forecasts of hourly returns of `symbols` that know `skill` of them.
    fn outcomes(count: i64, symbols: i64, skill: f64) -> Vec<ForecastOutcome> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..count)
            .map(|at| {
                let known = rng.random::<f64>() - 0.5;
                let noise = rng.random::<f64>() - 0.5;
                ForecastOutcome {
                    closed_at: Timestamp::from_nanos(at / symbols),
                    forecast: skill * known,
                    outcome: skill * known + noise,
                    training_mean: 0.02,
                }
            })
            .collect()
    }

    fn report(outcomes: &[ForecastOutcome]) -> ForecastReport {
        let options = EvaluationOptions {
            bootstrap_samples: 400,
            ..EvaluationOptions::default()
        };
        ForecastReport::of(outcomes, &options, &mut ChaCha8Rng::seed_from_u64(1))
    }

    #[test]
    fn errors_are_those_of_the_single_metrics_and_lie_in_their_intervals() {
        let rows = outcomes(3000, 2, 0.5);
        let found = report(&rows);
        let of = |said: &dyn Fn(&ForecastOutcome) -> f64| {
            let forecasts: Vec<f64> = rows.iter().map(said).collect();
            let outcomes: Vec<f64> = rows.iter().map(|one| one.outcome).collect();
            let both = PointForecasts {
                forecasts: &forecasts,
                outcomes: &outcomes,
            };
            (
                MeanAbsoluteError.value(both).unwrap(),
                MeanSquaredError.value(both).unwrap(),
            )
        };
        let near = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12, "{a:?} {b}");
        let (own, zero) = (of(&|one| one.forecast), of(&|_| 0.0));
        let mean = of(&|one| one.training_mean);
        near(found.mean_absolute_error.value, own.0);
        near(found.root_mean_squared_error.value, own.1.sqrt());
        near(found.against_zero.mean_absolute_error, zero.0);
        near(found.against_mean.root_mean_squared_error, mean.1.sqrt());
        near(found.against_zero.r_squared.value, 1.0 - own.1 / zero.1);
        near(found.against_mean.r_squared.value, 1.0 - own.1 / mean.1);
        near(found.against_mean.improvement.value, mean.1 - own.1);
        for one in [
            found.mean_absolute_error,
            found.root_mean_squared_error,
            found.against_mean.r_squared,
            found.information_coefficient,
            found.rank_information_coefficient,
            found.directional_accuracy,
        ] {
            let (value, interval) = (one.value.unwrap(), one.interval.unwrap());
            assert!(interval.low < value && value < interval.high, "{one:?}");
        }
    }

    #[test]
    fn skill_is_told_from_none() {
        let skilled = report(&outcomes(3000, 2, 0.5));
        let above = |one: Estimated| one.interval.unwrap().is_above_zero();
        assert!(above(skilled.against_mean.improvement) && above(skilled.against_zero.r_squared));
        assert!(above(skilled.information_coefficient));
        assert!(
            above(skilled.steadiness.information_ratio),
            "{:?}",
            skilled.steadiness
        );
        assert!(!skilled.steadiness.is_cross_sectional);
        // A forecast of noise loses to saying nothing.
        let mut noise = outcomes(3000, 2, 0.0);
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for one in &mut noise {
            one.forecast = 0.2 * (rng.random::<f64>() - 0.5);
        }
        let lucky = report(&noise);
        assert!(lucky.against_zero.r_squared.value.unwrap() < 0.0);
        assert!(
            lucky
                .information_coefficient
                .interval
                .unwrap()
                .includes_zero()
        );
        let across = report(&outcomes(3000, 5, 0.5)).steadiness;
        assert!(
            across.is_cross_sectional && across.periods == 600,
            "{across:?}"
        );
    }

    #[test]
    fn what_says_nothing_is_undefined() {
        let empty = report(&[]);
        assert_eq!(empty, ForecastReport::default());
        let mut constant = outcomes(200, 1, 0.5);
        for one in &mut constant {
            one.forecast = 0.0;
        }
        constant[7].forecast = f64::NAN;
        let found = report(&constant);
        assert_eq!(found.samples, 199);
        assert_eq!(found.information_coefficient, Estimated::default());
        assert_eq!(found.directional_accuracy, Estimated::default());
        assert_eq!(found.against_zero.improvement.value, Some(0.0));
    }
}
