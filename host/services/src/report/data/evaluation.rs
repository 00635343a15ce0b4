//! Several models on the same folds: how each learned, what it looks at, and whether one is better.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Estimate, FeatureImportance, FoldRow, MarketSummary, Performance, PluginIdentity, Quality,
};

/// Everything that the evaluation page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Heading.
    pub title: String,
    /// The models, as given.
    pub models: Vec<ModelEvaluation>,
    /// Every model against its baseline, then every pair.
    pub tests: Vec<PairedTest>,
    /// What could not be compared and why, and what to know of the comparison, in sentences.
    pub notes: Vec<String>,
    /// Bars over which labels overlap: what the tests allow for.
    pub overlap_steps: u64,
    /// Confidence of the intervals, over all comparisons together.
    pub confidence: f64,
    /// Resampled histories behind each interval.
    pub bootstrap_samples: u32,
    /// Seed of the resampling.
    pub seed: u64,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelEvaluation {
    /// Name of its pipeline; names are all different.
    pub name: String,
    /// Directory of its run, relative to that of the page.
    pub directory: String,
    /// Who trained it.
    pub plugin: PluginIdentity,
    /// What the run saw.
    pub market: MarketSummary,
    /// How bars were labelled, in words.
    pub labels: String,
    /// Configurations tried, this one included.
    pub trials: u32,
    /// Quality of all out-of-sample predictions.
    #[serde(flatten)]
    pub quality: Quality,
    /// `confusion[actual][predicted]` of always saying the majority class of the training rows;
    /// empty where returns were learned.
    pub majority_confusion: Vec<Vec<u64>>,
    /// The folds.
    pub folds: Vec<FoldRow>,
    /// How each fold's fit went.
    pub curves: Vec<FoldCurve>,
    /// Importances by kind, such as gain, split and permutation.
    pub importances: Vec<ImportanceTable>,
    /// Contributions of features to sampled predictions; `None` where the model has none.
    pub contributions: Option<ContributionSummary>,
    /// The strategy after costs.
    pub strategy: Performance,
    /// Equal weights bought at the first open and held.
    pub buy_and_hold: Performance,
    /// Annualised mean return of the strategy minus that of buy and hold.
    pub excess_return: Estimate,
    /// Probability that the true Sharpe ratio is above that of the best of the trials by luck.
    pub deflated_sharpe_ratio: Option<f64>,
    /// Hyper-parameters that were set, as JSON.
    pub params: String,
}

/// How one fit went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoldCurve {
    /// Fold, from 1.
    pub fold: u32,
    /// Step whose model was kept.
    pub best_step: Option<u64>,
    /// What the fit told.
    pub curve: LearningCurve,
}

/// What a fit told of itself, step by step: a boosting round, an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearningCurve {
    /// The steps, ascending, the first being 1.
    pub steps: Vec<u64>,
    /// Values by the name of the metric, aligned with the steps; `None` where a step had none or
    /// one that is not finite.
    pub metrics: BTreeMap<String, Vec<Option<f64>>>,
}

/// Importance of every feature by one way of counting it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceTable {
    /// The way, such as `gain`.
    pub kind: String,
    /// Whether values are shares of their fold's sum; else they are the rise of `loss`.
    pub is_share: bool,
    /// The loss whose rise they are, in words.
    pub loss: String,
    /// Values by feature, in fold order.
    pub features: Vec<FeatureImportance>,
}

/// Contributions of features (SHAP values) to the raw score of sampled test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContributionSummary {
    /// What the contributions add up to, in words.
    pub score: String,
    /// Rows that were sampled.
    pub rows: u64,
    /// Every feature, the one with the largest mean first.
    pub features: Vec<FeatureContribution>,
}

/// Contributions of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureContribution {
    /// The feature.
    pub feature: String,
    /// Mean of the absolute contributions over the sampled rows.
    pub mean_absolute: f64,
    /// Some of the rows; empty for features that the page does not draw.
    pub points: Vec<ContributionPoint>,
}

/// One feature of one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ContributionPoint {
    /// Where its value lies among the sampled rows, 0 for the smallest, 1 for the largest; `None`
    /// where it is missing.
    pub rank: Option<f32>,
    /// Its contribution.
    pub contribution: f32,
}

/// One model less another, or less a baseline, on the rows that both predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Name of the first model.
    pub first: String,
    /// Name of the second model, or of the baseline.
    pub second: String,
    /// Whether the second is a baseline.
    pub is_baseline: bool,
    /// Rows.
    pub rows: u64,
    /// Closing times of the rows.
    pub steps: u64,
    /// What is lost: log loss in nats, squared error, pinball loss.
    pub loss_name: String,
    /// Mean loss of the first less that of the second; below zero the first is better. The
    /// interval is a block bootstrap's, for all comparisons together (Bonferroni).
    pub loss: Estimate,
    /// The test of Diebold and Mariano on that difference.
    pub diebold_mariano: Option<DieboldMarianoRow>,
    /// Its p-value for all comparisons together (Holm).
    pub adjusted_p: Option<f64>,
    /// Accuracy of the first less that of the second, as a fraction, likewise with an interval; not
    /// defined of returns.
    pub accuracy: Estimate,
    /// McNemar's test on the rows where only one is right.
    pub mcnemar: Option<McNemarRow>,
}

/// The test of Diebold and Mariano, corrected for small samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DieboldMarianoRow {
    /// The statistic.
    pub statistic: f64,
    /// Two-sided p-value, for this comparison alone.
    pub p: f64,
    /// Autocovariances counted.
    pub lags: u64,
    /// How they were weighted.
    pub kernel: String,
}

/// McNemar's test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemarRow {
    /// Rows where only the first is right.
    pub only_first: u64,
    /// Rows where only the second is right.
    pub only_second: u64,
    /// Two-sided p-value, as if rows did not overlap.
    pub p: f64,
    /// Whether it is exact.
    pub is_exact: bool,
}
