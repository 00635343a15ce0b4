//! Fills the report's data from the pieces of a run.

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::dataset::{Fold, Period as EnginePeriod};
use fusebox_engine::labels::LabelKind;

use super::folds::FoldModel;
use super::prepare::Prepared;
use super::score::FoldScores;
use super::spec::PipelineSpec;
use crate::backtesting::market_summary as summary_of;
use crate::report::{FeatureImportance, FoldRow, MarketSummary, Period};

/// What the run saw, and what the plan of folds means for the results of `traded`.
pub(super) fn market_summary(
    spec: &PipelineSpec,
    prepared: &Prepared,
    traded: &BacktestResult,
) -> MarketSummary {
    let mut summary = summary_of(&spec.data, &prepared.loaded, traded);
    let is_return = matches!(spec.labels.kind, LabelKind::ForwardReturns);
    if is_return && traded.fills.is_empty() {
        summary.warnings.push(format!(
            "no forecast was clear enough to be traded: a side needs its probability of a return \
             beyond {} (up) or {} (down) volatilities of the horizon to lead by more than \
             strategy.entry_threshold; lower labels.upper_sigmas and labels.lower_sigmas, such as \
             to 0.5, or the threshold",
            spec.labels.upper_sigmas, spec.labels.lower_sigmas
        ));
    }
    if spec.split.trains_on_the_future() {
        summary.warnings.push(
            "the split trains on bars after those that it predicts: the results estimate skill, \
             nobody could have traded them"
                .to_owned(),
        );
    }
    summary
}

/// One row of the table of folds.
pub(super) fn fold_row(
    fold: &Fold,
    model: &FoldModel,
    scores: FoldScores,
    sharpe_ratio: Option<f64>,
) -> FoldRow {
    let counts = (fold.train_counts, fold.valid_counts);
    let test = fold.test_period();
    FoldRow {
        fold: number(fold.index),
        train: period(fold.train_period()),
        valid: period(fold.valid.unwrap_or(EnginePeriod {
            from: test.from,
            to: test.from,
        })),
        test: period(test),
        test_parts: fold.test.iter().copied().map(period).collect(),
        train_rows: counts.0.samples as u64,
        valid_rows: counts.1.samples as u64,
        test_rows: model.predictions.len() as u64,
        purged_rows: (counts.0.purged + counts.1.purged) as u64,
        embargoed_rows: (counts.0.embargoed + counts.1.embargoed) as u64,
        best_iteration: model.best_iteration,
        accuracy: scores.accuracy,
        majority_accuracy: scores.majority_accuracy,
        accuracy_difference: scores.accuracy_difference,
        log_loss: scores.log_loss,
        errors: scores.errors,
        matthews_correlation: scores.matthews_correlation,
        information_coefficient: scores.information_coefficient,
        sharpe_ratio,
    }
}

/// A fold's number in files and tables, from 1.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

fn period(period: EnginePeriod) -> Period {
    Period {
        from: period.from,
        to: period.to,
    }
}

/// Each column's share of its fold model's gain; empty where a model has no importance.
pub(super) fn importance(columns: &[String], models: &[FoldModel]) -> Vec<FeatureImportance> {
    let by_fold: Option<Vec<&Vec<f64>>> = models
        .iter()
        .map(|model| model.importance.as_ref())
        .collect();
    let Some(by_fold) = by_fold else {
        return Vec::new();
    };
    let share = |gains: &[f64], position: usize| {
        let total: f64 = gains.iter().sum();
        let own = gains.get(position).copied().unwrap_or(0.0);
        if total > 0.0 { own / total } else { 0.0 }
    };
    columns
        .iter()
        .enumerate()
        .map(|(position, feature)| FeatureImportance {
            feature: feature.clone(),
            gain_share_by_fold: by_fold.iter().map(|gains| share(gains, position)).collect(),
        })
        .collect()
}
