//! Quality of the predictions: pooled, by fold, by class, by feature; and the labels behind them.

use serde::{Deserialize, Serialize};

use super::{Estimate, ForecastErrors, Period};

/// Quality of all out-of-sample predictions together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Class names in class order, such as down, flat, up.
    pub class_names: Vec<String>,
    /// First and last close time of the out-of-sample predictions.
    pub period: Period,
    /// Out-of-sample predictions made.
    pub predictions: u64,
    /// Those whose label is known: every metric below is over these rows.
    pub scored_predictions: u64,
    /// Share of right predictions.
    pub accuracy: Estimate,
    /// Accuracy of always predicting the class that was most frequent in the fold's training rows.
    pub majority_accuracy: Option<f64>,
    /// `accuracy` minus `majority_accuracy`, as a fraction, with a block-bootstrap interval.
    pub accuracy_difference: Estimate,
    /// Accuracy of the best constant class in hindsight, a harder baseline.
    pub best_constant_accuracy: Option<f64>,
    /// Mean of the classes' recalls.
    pub balanced_accuracy: Option<f64>,
    /// Mean of the classes' F1 scores.
    pub macro_f1: Option<f64>,
    /// Matthews correlation coefficient, its multi-class form (Gorodkin 2004).
    pub matthews_correlation: Option<f64>,
    /// Mean negative log likelihood, in nats.
    pub log_loss: Option<f64>,
    /// Log loss of predicting the training rows' class shares.
    pub baseline_log_loss: Option<f64>,
    /// Multi-class Brier score, 0 to 2.
    pub brier_score: Option<f64>,
    /// Expected calibration error over the predicted class.
    pub expected_calibration_error: Option<f64>,
    /// Pearson correlation of the score and the log return until the label's end.
    pub information_coefficient: Estimate,
    /// Spearman correlation of the score and the log return until the label's end.
    pub rank_information_coefficient: Estimate,
    /// Share of rows whose score (probability of up minus probability of down) has the sign of the
    /// log return until the label's end; rows where either is zero do not count.
    pub directional_accuracy: Estimate,
    /// Directional accuracy of always naming the direction that came more often, in hindsight.
    pub best_constant_direction: Option<f64>,
    /// `confusion[actual][predicted]`: rows.
    pub confusion: Vec<Vec<u64>>,
    /// One entry a class, in class order.
    pub per_class: Vec<ClassMetrics>,
    /// One reliability curve a class, in class order.
    pub calibration: Vec<CalibrationCurve>,
    /// Mean return until the label's end by score bucket, lowest score first; ten are deciles.
    pub score_buckets: Vec<ScoreBucket>,
    /// Bars after which a label ends at the latest, and with it the return in `score_buckets` and
    /// the information coefficients. A triple-barrier label may end sooner, at a barrier's price.
    pub forward_return_bars: u32,
}

/// One class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Class name.
    pub class: String,
    /// Rows of this class.
    pub support: u64,
    /// Rows predicted as this class.
    pub predicted: u64,
    /// Share of the predicted rows that are of this class.
    pub precision: Option<f64>,
    /// Share of this class's rows that are predicted so.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Area under the one-vs-rest ROC curve.
    pub roc_auc: Option<f64>,
}

/// Reliability of one class's probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationCurve {
    /// Class name.
    pub class: String,
    /// Mean of |predicted - observed| over the bins, weighted by rows.
    pub expected_calibration_error: Option<f64>,
    /// Bins, ascending.
    pub bins: Vec<CalibrationBin>,
}

/// Rows whose predicted probability falls into one range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower end of the range.
    pub lower: f64,
    /// Upper end of the range.
    pub upper: f64,
    /// Rows in the bin.
    pub rows: u64,
    /// Mean predicted probability; `None` for an empty bin.
    pub mean_probability: Option<f64>,
    /// Share of the rows that are of the class; `None` for an empty bin.
    pub observed_frequency: Option<f64>,
}

/// Rows whose score falls into one quantile range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreBucket {
    /// Position from 1, lowest score first.
    pub bucket: u32,
    /// Rows in the bucket.
    pub rows: u64,
    /// Mean score (probability of up minus probability of down).
    pub mean_score: Option<f64>,
    /// Mean log return until the label's end.
    pub mean_forward_return: Option<f64>,
    /// Standard error of that mean, with overlap of the rows taken into account.
    pub standard_error: Option<f64>,
}

/// One walk-forward fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldRow {
    /// Position from 1.
    pub fold: u32,
    /// Training range.
    pub train: Period,
    /// Validation range (early stopping).
    pub valid: Period,
    /// Test range: out of sample. With several test groups, all of them and what lies between.
    pub test: Period,
    /// The test ranges one by one.
    pub test_parts: Vec<Period>,
    /// Training rows after purging.
    pub train_rows: u64,
    /// Validation rows after purging.
    pub valid_rows: u64,
    /// Test rows predicted.
    pub test_rows: u64,
    /// Rows dropped because their label reaches into the next range.
    pub purged_rows: u64,
    /// Rows dropped by the embargo.
    pub embargoed_rows: u64,
    /// Iteration kept by early stopping.
    pub best_iteration: Option<u64>,
    /// Share of right predictions on the test rows with a known label.
    pub accuracy: Option<f64>,
    /// Accuracy of the training rows' majority class on the same rows.
    pub majority_accuracy: Option<f64>,
    /// `accuracy` minus `majority_accuracy`; the interval where it is computed by fold.
    pub accuracy_difference: Estimate,
    /// Mean negative log likelihood, in nats.
    pub log_loss: Option<f64>,
    /// Errors of forecasts of returns, which have none of the class metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ForecastErrors>,
    /// Matthews correlation coefficient.
    pub matthews_correlation: Option<f64>,
    /// Pearson correlation of the score and the log return until the label's end.
    pub information_coefficient: Option<f64>,
    /// Annualised Sharpe ratio of the strategy inside the test range.
    pub sharpe_ratio: Option<f64>,
}

/// Importance of one feature over the folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureImportance {
    /// Feature expression as configured.
    pub feature: String,
    /// Share of the fold model's total gain, in fold order; shares of one fold sum to 1.
    pub gain_share_by_fold: Vec<f64>,
}

/// How the labels of the whole range came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    /// The labeller in words, such as `triple barrier, 24 bars, 1.5 sigma up, 1.5 sigma down`.
    pub description: String,
    /// Rows with a label.
    pub labelled_rows: u64,
    /// Rows without one: warm-up, gaps, the end of the data.
    pub unlabelled_rows: u64,
    /// Rows that the event filter let through.
    pub event_rows: u64,
    /// Rows whose bar touches both barriers.
    pub ambiguous_rows: u64,
    /// Rows of each class, in class order.
    pub balance: Vec<ClassCount>,
    /// What ended the labels (upper, lower, vertical, ambiguous), by count.
    pub reasons: Vec<ClassCount>,
    /// Rows by bars until the label is known, ascending.
    pub horizon: Vec<HorizonBucket>,
    /// Mean number of bars until a label is known.
    pub mean_horizon_bars: Option<f64>,
    /// Average uniqueness: 1 where labels never overlap (Lopez de Prado 2018, chapter 4).
    pub mean_uniqueness: Option<f64>,
    /// Rows that would say as much if no label overlapped: the sum of their uniqueness.
    pub effective_rows: f64,
    /// Mean number of labels that share a bar.
    pub mean_concurrency: Option<f64>,
    /// Most labels that share a bar.
    pub largest_concurrency: u64,
    /// How alike labels are that stand some bars apart, ascending.
    pub autocorrelation: Vec<LagCorrelation>,
}

/// Correlation of labels, as -1, 0 and 1, that stand some bars apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LagCorrelation {
    /// Bars between them.
    pub lag_bars: u64,
    /// Pearson correlation.
    pub value: Option<f64>,
}

/// One complete set of predictions that the folds of a combinatorial split form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PathRow {
    /// Position from 1; the report is about the first one.
    pub path: u32,
    /// Share of right predictions.
    pub accuracy: Option<f64>,
    /// Mean negative log likelihood, in nats.
    pub log_loss: Option<f64>,
    /// Errors of forecasts of returns, which have none of the class metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<ForecastErrors>,
    /// Pearson correlation of the score and the log return until the label's end.
    pub information_coefficient: Option<f64>,
    /// Final equity over initial cash, minus 1.
    pub total_return: Option<f64>,
    /// Annualised Sharpe ratio of the strategy.
    pub sharpe_ratio: Option<f64>,
    /// Largest fall from a peak, a positive fraction of the peak.
    pub max_drawdown: Option<f64>,
}

/// Rows of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Name of the kind.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// Labels that took between `from_bars` and `to_bars` bars, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HorizonBucket {
    /// Fewest bars.
    pub from_bars: u32,
    /// Most bars.
    pub to_bars: u32,
    /// Rows.
    pub rows: u64,
}
