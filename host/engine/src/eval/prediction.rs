//! Everything about a set of out-of-sample predictions, in one report.

use std::collections::BTreeMap;

use rand_core::Rng;
use serde::Serialize;

use super::baseline;
use super::bootstrap::{AutomaticOptions, Interval, automatic_interval};
use super::classification::{
    CalibrationBin, CalibrationError, ClassMetric as _, ClassScores, calibration_bins,
    class_metrics, confusion_matrix, roc_auc_of,
};
use super::ranking::{RankScores, rank_metrics};
use crate::labels::Direction;
use crate::types::{SymbolId, Timestamp};

/// One prediction whose label has become known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// When it was predicted.
    pub closed_at: Timestamp,
    /// Of which symbol.
    pub symbol: SymbolId,
    /// What came.
    pub label: Direction,
    /// Log return from the prediction to the label's end.
    pub forward_return: f64,
    /// Predicted probabilities: down, flat, up.
    pub probabilities: [f32; 3],
    /// The class that was most frequent in the training rows of the model that predicted.
    pub majority: Direction,
}

impl Outcome {
    /// The class with the highest probability, the first of equals.
    #[must_use]
    pub fn predicted(&self) -> Direction {
        predicted(&self.probabilities)
    }
}

/// How predictions are evaluated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationOptions {
    /// Probability that intervals cover the true value.
    pub confidence: f64,
    /// Resampled histories of an interval; 0 for no intervals.
    pub bootstrap_samples: u32,
    /// How many variants have been tried, this one included.
    pub trials: u32,
    /// Steps over which labels overlap: their horizon.
    pub overlap_steps: usize,
    /// Bins of the calibration.
    pub calibration_bins: usize,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            bootstrap_samples: 2000,
            trials: 1,
            overlap_steps: 1,
            calibration_bins: 10,
        }
    }
}

impl EvaluationOptions {
    /// How intervals of the predictions' statistics are estimated.
    #[must_use]
    pub fn bootstrap(&self) -> AutomaticOptions {
        AutomaticOptions {
            samples: self.bootstrap_samples,
            overlap_steps: self.overlap_steps,
            confidence: self.confidence,
            trials: self.trials,
        }
    }
}

/// A prediction that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// A probability is not one.
    #[error(
        "prediction {position} (symbol {symbol}, {closed_at}) has the probabilities \
         {probabilities:?}; they must be finite and not negative"
    )]
    Probabilities {
        /// Which prediction.
        position: usize,
        /// Its symbol's position.
        symbol: u32,
        /// When it was made.
        closed_at: Timestamp,
        /// What was predicted.
        probabilities: [f32; 3],
    },
}

/// Accuracy against predicting one class always.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccuracyAgainst {
    /// Accuracy of the baseline.
    pub baseline_accuracy: f64,
    /// Accuracy minus that of the baseline.
    pub difference: f64,
    /// Where the true difference lies; `None` when no interval was asked for.
    pub interval: Option<Interval>,
}

/// What out-of-sample predictions are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionReport {
    /// Predictions with a known label.
    pub samples: usize,
    /// Labels per class: down, flat, up.
    pub class_counts: [usize; 3],
    /// Value of each classification and ranking metric by name; `None` where it is not defined.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    /// Area under the ROC curve of each class against the others.
    pub roc_auc_by_class: [Option<f64>; 3],
    /// Rows are labels, columns predictions.
    pub confusion: [[u64; 3]; 3],
    /// Confidence against accuracy.
    pub calibration: Vec<CalibrationBin>,
    /// Against the majority class of each model's training rows; `None` without samples.
    pub against_majority: Option<AccuracyAgainst>,
    /// Against the one class that was right most often, chosen in hindsight.
    pub against_best_constant: Option<AccuracyAgainst>,
}

impl PredictionReport {
    /// Evaluates predictions, in any order.
    ///
    /// # Errors
    /// [`OutcomeError`] for the first prediction that is not a probability vector.
    pub fn of(
        outcomes: &[Outcome],
        options: &EvaluationOptions,
        rng: &mut impl Rng,
    ) -> Result<Self, OutcomeError> {
        check(outcomes)?;
        let labels: Vec<Direction> = outcomes.iter().map(|one| one.label).collect();
        let probabilities: Vec<[f32; 3]> = outcomes.iter().map(|one| one.probabilities).collect();
        let returns: Vec<f64> = outcomes.iter().map(|one| one.forward_return).collect();
        let signals: Vec<f64> = probabilities.iter().map(score).collect();
        let classes = ClassScores {
            labels: &labels,
            probabilities: &probabilities,
        };
        let ranks = RankScores {
            scores: &signals,
            returns: &returns,
        };
        let mut metrics = BTreeMap::new();
        metrics.extend(class_metrics().map(|metric| (metric.name(), metric.value(classes))));
        metrics.extend(rank_metrics().map(|metric| (metric.name(), metric.value(ranks))));
        let calibration = CalibrationError {
            bins: options.calibration_bins,
        };
        metrics.insert(calibration.name(), calibration.value(classes));
        let mut class_counts = [0; 3];
        for label in &labels {
            class_counts[label.index()] += 1;
        }
        let best = baseline::best_constant(&labels);
        Ok(Self {
            samples: outcomes.len(),
            class_counts,
            metrics,
            roc_auc_by_class: Direction::ALL.map(|class| roc_auc_of(classes, class)),
            confusion: confusion_matrix(classes),
            calibration: calibration_bins(classes, options.calibration_bins),
            against_majority: against(outcomes, options, rng, |one| one.majority),
            against_best_constant: best
                .and_then(|(class, _)| against(outcomes, options, rng, |_| class)),
        })
    }
}

/// The signal of a prediction: probability of up minus probability of down.
#[must_use]
pub fn score(probabilities: &[f32; 3]) -> f64 {
    f64::from(probabilities[2]) - f64::from(probabilities[0])
}

fn check(outcomes: &[Outcome]) -> Result<(), OutcomeError> {
    let is_wrong = |one: &Outcome| !one.probabilities.iter().all(|p| p.is_finite() && *p >= 0.0);
    match outcomes.iter().position(is_wrong) {
        None => Ok(()),
        Some(position) => Err(OutcomeError::Probabilities {
            position,
            symbol: outcomes[position].symbol.0,
            closed_at: outcomes[position].closed_at,
            probabilities: outcomes[position].probabilities,
        }),
    }
}

fn against(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    rng: &mut impl Rng,
    baseline: impl Fn(&Outcome) -> Direction,
) -> Option<AccuracyAgainst> {
    // Per moment: how much more often the prediction was right, and how many predictions.
    let mut moments: BTreeMap<Timestamp, [f64; 2]> = BTreeMap::new();
    let mut baseline_hits = 0_u32;
    for one in outcomes {
        let hit = predicted(&one.probabilities) == one.label;
        let baseline_hit = baseline(one) == one.label;
        baseline_hits += u32::from(baseline_hit);
        let moment = moments.entry(one.closed_at).or_default();
        moment[0] += f64::from(u8::from(hit)) - f64::from(u8::from(baseline_hit));
        moment[1] += 1.0;
    }
    let steps: Vec<[f64; 2]> = moments.into_values().collect();
    let share = |[sum, count]: [f64; 2], _: usize| (count > 0.0).then(|| sum / count);
    let total = steps
        .iter()
        .fold([0.0; 2], |t, step| [t[0] + step[0], t[1] + step[1]]);
    Some(AccuracyAgainst {
        baseline_accuracy: f64::from(baseline_hits) / outcomes.len() as f64,
        difference: share(total, steps.len())?,
        interval: automatic_interval(&steps, &options.bootstrap(), rng, share),
    })
}

/// The class with the largest probability, the first of equals.
pub(super) fn predicted(probabilities: &[f32; 3]) -> Direction {
    let mut best = Direction::Down;
    for class in Direction::ALL {
        if probabilities[class.index()] > probabilities[best.index()] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    /// Predictions that are right with probability `skill`, else any class.
    fn outcomes(count: i64, skill: f64) -> Vec<Outcome> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..count)
            .map(|i| {
                let label = Direction::ALL[rng.random_range(0..3)];
                let guess = if rng.random::<f64>() < skill {
                    label
                } else {
                    Direction::ALL[rng.random_range(0..3)]
                };
                let mut probabilities = [0.2; 3];
                probabilities[guess.index()] = 0.6;
                Outcome {
                    closed_at: Timestamp::from_nanos(i / 3),
                    symbol: SymbolId((i % 3) as u32),
                    label,
                    forward_return: label.index() as f64 - 1.0,
                    probabilities,
                    majority: Direction::Flat,
                }
            })
            .collect()
    }

    #[test]
    fn skill_is_told_from_chance() {
        let options = EvaluationOptions::default();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let skilled = PredictionReport::of(&outcomes(3000, 0.2), &options, &mut rng).unwrap();
        let lucky = PredictionReport::of(&outcomes(3000, 0.0), &options, &mut rng).unwrap();
        let interval =
            |report: &PredictionReport| report.against_majority.as_ref().unwrap().interval.unwrap();
        assert!(
            interval(&skilled).is_above_zero(),
            "{:?}",
            interval(&skilled)
        );
        assert!(interval(&lucky).includes_zero(), "{:?}", interval(&lucky));
        let (majority, best) = (&skilled.against_majority, &skilled.against_best_constant);
        let accuracy = |one: &Option<AccuracyAgainst>| one.as_ref().unwrap().baseline_accuracy;
        assert!(accuracy(best) >= accuracy(majority));
        let difference = skilled.metrics["accuracy"].unwrap() - accuracy(majority);
        assert!((majority.as_ref().unwrap().difference - difference).abs() < 1e-12);
    }

    #[test]
    fn the_calibration_error_is_that_of_the_bins_asked_for() {
        let mut mixed = outcomes(3000, 0.5);
        for (position, one) in mixed.iter_mut().enumerate() {
            if position % 2 == 0 {
                one.probabilities = [0.9, 0.05, 0.05];
            }
        }
        let error = |calibration_bins| {
            let options = EvaluationOptions {
                calibration_bins,
                bootstrap_samples: 0,
                ..EvaluationOptions::default()
            };
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let report = PredictionReport::of(&mixed, &options, &mut rng).unwrap();
            let bins = report.calibration.iter();
            let distance = |bin: &CalibrationBin| {
                Some(bin.samples as f64 * (bin.mean_confidence? - bin.accuracy?).abs())
            };
            let direct = bins.filter_map(distance).sum::<f64>() / report.samples as f64;
            let told = report.metrics["calibration_error"].unwrap();
            assert!((told - direct).abs() < 1e-12, "{told} {direct}");
            told
        };
        assert!(error(10) > error(1) + 0.01);
    }

    #[test]
    fn no_outcome_leaves_everything_undefined() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let report = PredictionReport::of(&[], &EvaluationOptions::default(), &mut rng).unwrap();
        assert!(
            report.metrics.values().all(Option::is_none),
            "{:?}",
            report.metrics
        );
        assert_eq!(report.against_majority, None);
        assert_eq!(report.against_best_constant, None);
    }

    #[test]
    fn a_prediction_that_is_not_a_probability_is_refused() {
        let mut wrong = outcomes(6, 0.5);
        wrong[4].probabilities[1] = f32::NAN;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let error = PredictionReport::of(&wrong, &EvaluationOptions::default(), &mut rng);
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("prediction 4 (symbol 1")
        );
    }
}
