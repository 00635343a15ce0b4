//! How good the out-of-sample predictions are: pooled, and fold by fold.

use fusebox_engine::dataset::{Samples, SplitPath, SplitPlan};
use fusebox_engine::eval::bootstrap::{Interval, automatic_interval};
use fusebox_engine::eval::classification::{
    ClassScores, ReliabilityBin, reliability_bins, reliability_error,
};
use fusebox_engine::eval::ranking::{
    RankScores, best_constant_direction, directional_accuracy_interval,
    information_coefficient_interval, rank_information_coefficient_interval, score_buckets,
};
use fusebox_engine::eval::{
    EvaluationOptions, Outcome, PredictionReport, class_share_log_loss, score,
};
use fusebox_engine::labels::{CLASSES, Direction};
use rand_chacha::ChaCha8Rng;

use super::error::TrainingError;
use super::folds::{FoldModel, RowPrediction};
use super::returns::{ReturnRow, ReturnRows, fold_errors};
use crate::backtesting::shown;
use crate::report::{
    CalibrationBin, CalibrationCurve, ClassMetrics, Classification, Estimate, ForecastErrors,
    Period, ScoreBucket,
};

/// Buckets of the score against what came after.
const SCORE_BUCKETS: usize = 10;

/// Predictions whose label is known, by fold.
pub(super) struct Scored {
    /// One entry a fold.
    pub folds: Vec<Vec<Outcome>>,
    /// One complete set: of each row the prediction that belongs to the first path.
    pub all: Vec<Outcome>,
    /// What the training samples of each outcome's model looked like.
    pub shares: Vec<(Direction, [f64; 3])>,
    /// The same as forecasts of returns, where the models learned returns.
    pub returns: Option<ReturnRows>,
}

impl Scored {
    /// Joins predictions with the labels that have become known since.
    pub(super) fn new(samples: &Samples, models: &[FoldModel], path: &SplitPath) -> Self {
        let outcome = |model: &FoldModel, one: &RowPrediction| {
            let labels = &samples.get(one.symbol)?.labels;
            let label = labels.get(one.row)?;
            let side = labels.sides.as_ref().and_then(|sides| sides.get(one.row));
            let (majority, shares) = baseline(model, side.copied());
            let outcome = Outcome {
                closed_at: one.closed_at,
                symbol: one.symbol,
                label: label.class,
                forward_return: label.log_return,
                probabilities: one.probabilities,
                majority,
            };
            Some((outcome, shares))
        };
        let of = |model: &FoldModel| -> (Vec<Outcome>, Vec<[f64; 3]>) {
            let known = model.predictions.iter();
            known.filter_map(|one| outcome(model, one)).unzip()
        };
        let (folds, fold_shares): (Vec<_>, Vec<_>) = models.iter().map(of).unzip();
        let (mut all, mut shares) = (Vec::new(), Vec::new());
        for (fold, (outcomes, own)) in folds.iter().zip(&fold_shares).enumerate() {
            let belongs = |one: &Outcome| path.fold_at(one.closed_at) == Some(fold);
            for (one, share) in outcomes.iter().zip(own).filter(|(one, _)| belongs(one)) {
                shares.push((one.label, *share));
                all.push(*one);
            }
        }
        Self {
            folds,
            all,
            shares,
            returns: ReturnRows::new(samples, models, path),
        }
    }

    /// The outcomes that belong to a path.
    pub(super) fn of_path(&self, path: &SplitPath) -> Vec<Outcome> {
        let folds = self.folds.iter().enumerate();
        folds
            .flat_map(|(fold, outcomes)| on_path(outcomes, fold, path))
            .collect()
    }
}

/// What is said of a row without looking at it: the most frequent class of the training samples,
/// and the share of each. Where a primary signal gives the side, passing and acting are all there
/// is to tell, and the baseline knows the side as the model does.
fn baseline(model: &FoldModel, side: Option<Direction>) -> (Direction, [f64; 3]) {
    let Some(side) = side else {
        return (model.majority, model.class_shares);
    };
    let pass = model.class_shares[Direction::Flat.index()];
    let mut shares = [0.0; 3];
    shares[side.index()] = 1.0 - pass;
    shares[Direction::Flat.index()] = pass;
    let majority = if pass >= 0.5 { Direction::Flat } else { side };
    (majority, shares)
}

fn on_path(outcomes: &[Outcome], fold: usize, path: &SplitPath) -> impl Iterator<Item = Outcome> {
    let belongs = move |one: &&Outcome| path.fold_at(one.closed_at) == Some(fold);
    outcomes.iter().filter(belongs).copied()
}

/// The pooled quality of all predictions.
pub(super) fn classification(
    scored: &Scored,
    plan: &SplitPlan,
    models: &[FoldModel],
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> Result<Classification, TrainingError> {
    let outcomes = &scored.all;
    let report = PredictionReport::of(outcomes, options, random)?;
    let metric = |name: &str| report.metrics.get(name).copied().flatten();
    let labels: Vec<Direction> = outcomes.iter().map(|one| one.label).collect();
    let probabilities: Vec<[f32; 3]> = outcomes.iter().map(|one| one.probabilities).collect();
    let scores = ClassScores {
        labels: &labels,
        probabilities: &probabilities,
    };
    let against = report.against_majority.as_ref();
    let correlation = information_coefficient_interval(outcomes, options, random);
    let rank_correlation = rank_information_coefficient_interval(outcomes, options, random);
    let path = plan.paths.first();
    let belonging = |(fold, model): (usize, &FoldModel)| {
        let belongs =
            |one: &&RowPrediction| path.and_then(|path| path.fold_at(one.closed_at)) == Some(fold);
        model.predictions.iter().filter(belongs).count() as u64
    };
    let predictions = models.iter().enumerate().map(belonging).sum();
    Ok(Classification {
        class_names: CLASSES.map(str::to_owned).to_vec(),
        period: tested(plan),
        predictions,
        scored_predictions: outcomes.len() as u64,
        accuracy: Estimate {
            value: metric("accuracy"),
            interval: accuracy_interval(outcomes, options, random).map(shown),
        },
        majority_accuracy: against.map(|one| one.baseline_accuracy),
        accuracy_difference: Estimate {
            value: against.map(|one| one.difference),
            interval: against.and_then(|one| one.interval).map(shown),
        },
        best_constant_accuracy: report
            .against_best_constant
            .as_ref()
            .map(|one| one.baseline_accuracy),
        balanced_accuracy: metric("balanced_accuracy"),
        macro_f1: metric("macro_f1"),
        matthews_correlation: metric("matthews"),
        log_loss: metric("log_loss"),
        baseline_log_loss: class_share_log_loss(&scored.shares),
        brier_score: metric("brier"),
        expected_calibration_error: metric("calibration_error"),
        information_coefficient: Estimate {
            value: metric("information_coefficient"),
            interval: correlation.map(shown),
        },
        rank_information_coefficient: Estimate {
            value: metric("rank_information_coefficient"),
            interval: rank_correlation.map(shown),
        },
        directional_accuracy: Estimate {
            value: metric("directional_accuracy"),
            interval: directional_accuracy_interval(outcomes, options, random).map(shown),
        },
        best_constant_direction: constant_direction(outcomes),
        confusion: report.confusion.iter().map(|row| row.to_vec()).collect(),
        per_class: per_class(&report),
        calibration: Direction::ALL
            .map(|class| curve(scores, class, options))
            .to_vec(),
        score_buckets: buckets(outcomes.iter().map(score_and_return), options),
        forward_return_bars: u32::try_from(options.overlap_steps).unwrap_or(u32::MAX),
    })
}

/// What one fold's table row says of its predictions.
pub(super) struct FoldScores {
    pub accuracy: Option<f64>,
    pub majority_accuracy: Option<f64>,
    pub accuracy_difference: Estimate,
    pub log_loss: Option<f64>,
    pub matthews_correlation: Option<f64>,
    pub information_coefficient: Option<f64>,
    /// Of forecasts of returns, which have none of the class metrics above.
    pub errors: Option<ForecastErrors>,
}

impl FoldScores {
    /// What is said of forecasts of returns.
    pub(super) fn of_returns(
        rows: (&[ReturnRow], &[f64]),
        options: &EvaluationOptions,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let (errors, information_coefficient) = fold_errors(rows, options, random);
        Self {
            accuracy: None,
            majority_accuracy: None,
            accuracy_difference: Estimate::default(),
            log_loss: None,
            matthews_correlation: None,
            information_coefficient,
            errors: Some(errors),
        }
    }
}

/// The quality of one fold's predictions.
pub(super) fn fold_scores(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> Result<FoldScores, TrainingError> {
    let report = PredictionReport::of(outcomes, options, random)?;
    let metric = |name: &str| report.metrics.get(name).copied().flatten();
    let against = report.against_majority.as_ref();
    Ok(FoldScores {
        accuracy: metric("accuracy"),
        majority_accuracy: against.map(|one| one.baseline_accuracy),
        accuracy_difference: Estimate {
            value: against.map(|one| one.difference),
            interval: against.and_then(|one| one.interval).map(shown),
        },
        log_loss: metric("log_loss"),
        matthews_correlation: metric("matthews"),
        information_coefficient: metric("information_coefficient"),
        errors: None,
    })
}

/// From the first test period's start to the last one's end.
pub(super) fn tested(plan: &SplitPlan) -> Period {
    let epoch = fusebox_engine::types::Timestamp::from_nanos(0);
    let period = plan.tested();
    Period {
        from: period.map_or(epoch, |period| period.from),
        to: period.map_or(epoch, |period| period.to),
    }
}

fn accuracy_interval(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> Option<Interval> {
    let mut moments = std::collections::BTreeMap::new();
    for one in outcomes {
        let moment: &mut [f64; 2] = moments.entry(one.closed_at).or_default();
        moment[0] += f64::from(u8::from(one.predicted() == one.label));
        moment[1] += 1.0;
    }
    let steps: Vec<[f64; 2]> = moments.into_values().collect();
    automatic_interval(&steps, &options.bootstrap(), random, |[right, count], _| {
        (count > 0.0).then(|| right / count)
    })
}

fn constant_direction(outcomes: &[Outcome]) -> Option<f64> {
    let pair = |one: &Outcome| (score(&one.probabilities), one.forward_return);
    let (scores, returns): (Vec<f64>, Vec<f64>) = outcomes.iter().map(pair).unzip();
    best_constant_direction(RankScores {
        scores: &scores,
        returns: &returns,
    })
}

fn per_class(report: &PredictionReport) -> Vec<ClassMetrics> {
    let confusion = &report.confusion;
    let ratio = |above: u64, below: u64| (below > 0).then(|| above as f64 / below as f64);
    Direction::ALL
        .map(|class| {
            let position = class.index();
            let support: u64 = confusion[position].iter().sum();
            let predicted: u64 = confusion.iter().map(|row| row[position]).sum();
            let hits = confusion[position][position];
            ClassMetrics {
                class: CLASSES[position].to_owned(),
                support,
                predicted,
                precision: ratio(hits, predicted),
                recall: ratio(hits, support),
                f1: ratio(2 * hits, support + predicted),
                roc_auc: report.roc_auc_by_class[position],
            }
        })
        .to_vec()
}

fn curve(
    scores: ClassScores<'_>,
    class: Direction,
    options: &EvaluationOptions,
) -> CalibrationCurve {
    let bins = reliability_bins(scores, class, options.calibration_bins);
    let shown = |bin: &ReliabilityBin| CalibrationBin {
        lower: bin.from,
        upper: bin.to,
        rows: bin.samples as u64,
        mean_probability: bin.mean_probability,
        observed_frequency: bin.observed_frequency,
    };
    CalibrationCurve {
        class: CLASSES[class.index()].to_owned(),
        expected_calibration_error: reliability_error(&bins),
        bins: bins.iter().map(shown).collect(),
    }
}

/// The score of a prediction, and what came after.
fn score_and_return(outcome: &Outcome) -> (f64, f64) {
    (score(&outcome.probabilities), outcome.forward_return)
}

/// Buckets of the first number, a score or a forecast, against the second, what came after.
pub(super) fn buckets(
    rows: impl Iterator<Item = (f64, f64)>,
    options: &EvaluationOptions,
) -> Vec<ScoreBucket> {
    let (scores, returns): (Vec<f64>, Vec<f64>) = rows.unzip();
    let ranked = RankScores {
        scores: &scores,
        returns: &returns,
    };
    (1..)
        .zip(score_buckets(ranked, SCORE_BUCKETS, options.overlap_steps))
        .map(|(bucket, one)| ScoreBucket {
            bucket,
            rows: one.samples as u64,
            mean_score: one.mean_score,
            mean_forward_return: one.mean_return,
            standard_error: one.standard_error,
        })
        .collect()
}
