//! A run's models as the evaluation page shows them.

use super::super::describe::number;
use super::super::explain::{ContributionSample, loss_in_words, score_in_words};
use super::super::folds::FoldModel;
use super::super::prepare::{Prepared, columns};
use super::super::score::Scored;
use super::super::spec::PipelineSpec;
use super::compare::majority_confusion;
use crate::report::{
    ContributionPoint, ContributionSummary, FeatureContribution, FeatureImportance, FoldCurve,
    ImportanceTable, ModelEvaluation, Quality, ReportData,
};

/// Features whose single contributions are drawn.
const DRAWN_FEATURES: usize = 15;
/// Rows of a feature that are drawn.
const DRAWN_ROWS: usize = 240;

/// What the page shows of one run, whose directory is `directory`.
pub(super) fn evaluate(
    spec: &PipelineSpec,
    prepared: &Prepared,
    (models, scored): (&[FoldModel], &Scored),
    (report, directory): (&ReportData, &str),
) -> ModelEvaluation {
    let trading = &report.trading;
    let features = columns(&prepared.samples);
    ModelEvaluation {
        name: spec.name.clone(),
        directory: directory.to_owned(),
        plugin: report.reproducibility.plugin.clone(),
        market: report.market.clone(),
        labels: report.labels.description.clone(),
        trials: trading.trials,
        quality: report.quality.clone(),
        majority_confusion: match report.quality {
            Quality::Classification(_) => majority_confusion(&scored.all),
            Quality::Regression(_) => Vec::new(),
        },
        folds: report.folds.clone(),
        curves: curves(models),
        importances: importances(&features, models),
        contributions: contributions(&features, models),
        strategy: trading.strategy.clone(),
        buy_and_hold: trading.buy_and_hold.clone(),
        excess_return: trading.excess_return,
        deflated_sharpe_ratio: trading.deflated_sharpe_ratio,
        params: serde_json::to_string(&spec.model.params).unwrap_or_default(),
    }
}

fn curves(models: &[FoldModel]) -> Vec<FoldCurve> {
    let curve = |(at, model): (usize, &FoldModel)| FoldCurve {
        fold: number(at),
        best_step: model.best_iteration,
        curve: model.curve.clone(),
    };
    models.iter().enumerate().map(curve).collect()
}

/// One table for each kind that every fold's model has, then importance by permutation.
fn importances(features: &[String], models: &[FoldModel]) -> Vec<ImportanceTable> {
    let first = models.first().and_then(|model| model.explained.as_ref());
    let kinds = first.map(|explained| explained.importances.iter().map(|(kind, _)| kind.clone()));
    let mut tables: Vec<ImportanceTable> = kinds
        .into_iter()
        .flatten()
        .filter_map(|kind| {
            let of = |model: &FoldModel| -> Option<Vec<f64>> {
                let own = &model.explained.as_ref()?.importances;
                let (_, values) = own.iter().find(|(other, _)| *other == kind)?;
                let total: f64 = values.iter().sum();
                let share = |value: &f64| if total > 0.0 { value / total } else { 0.0 };
                Some(values.iter().map(share).collect())
            };
            table(kind.clone(), true, (features, models), of)
        })
        .collect();
    let permutation = |model: &FoldModel| model.explained.as_ref()?.permutation.clone();
    let name = "permutation".to_owned();
    tables.extend(table(name, false, (features, models), permutation));
    tables
}

fn table(
    kind: String,
    is_share: bool,
    (features, models): (&[String], &[FoldModel]),
    of: impl Fn(&FoldModel) -> Option<Vec<f64>>,
) -> Option<ImportanceTable> {
    let by_fold: Vec<Vec<f64>> = models.iter().map(of).collect::<Option<_>>()?;
    let feature = |(at, name): (usize, &String)| FeatureImportance {
        feature: name.clone(),
        gain_share_by_fold: by_fold
            .iter()
            .map(|values| values.get(at).copied().unwrap_or(0.0))
            .collect(),
    };
    Some(ImportanceTable {
        kind,
        is_share,
        loss: loss_in_words(&models.first()?.info.task).to_owned(),
        features: features.iter().enumerate().map(feature).collect(),
    })
}

/// Values of a feature with what they contributed.
type Pairs = Vec<(f32, f32)>;

/// The samples of all folds together; `None` where any fold's model has no contributions.
fn contributions(features: &[String], models: &[FoldModel]) -> Option<ContributionSummary> {
    let samples: Vec<&ContributionSample> = models
        .iter()
        .map(|model| model.explained.as_ref()?.sample.as_ref())
        .collect::<Option<_>>()?;
    let rows: usize = samples
        .iter()
        .map(|sample| sample.contributions.len() / sample.columns.max(1))
        .sum();
    if rows == 0 {
        return None;
    }
    let column = |at: usize| -> Pairs {
        let of = |sample: &&ContributionSample| -> Pairs {
            let values = sample.values.iter().skip(at).step_by(sample.columns);
            let given = sample.contributions.iter().skip(at).step_by(sample.columns);
            values.copied().zip(given.copied()).collect()
        };
        samples.iter().flat_map(of).collect()
    };
    let mut found: Vec<(String, f64, Pairs)> = features
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let pairs = column(at);
            let sum: f64 = pairs.iter().map(|(_, one)| f64::from(one.abs())).sum();
            (name.clone(), sum / rows as f64, pairs)
        })
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let features = found.into_iter().enumerate();
    Some(ContributionSummary {
        score: score_in_words(&models.first()?.info.task).to_owned(),
        rows: rows as u64,
        features: features
            .map(
                |(at, (feature, mean_absolute, pairs))| FeatureContribution {
                    feature,
                    mean_absolute,
                    points: match at < DRAWN_FEATURES {
                        true => points(&pairs),
                        false => Vec::new(),
                    },
                },
            )
            .collect(),
    })
}

/// Evenly spread rows with the rank of their values among all.
fn points(pairs: &[(f32, f32)]) -> Vec<ContributionPoint> {
    let mut sorted: Vec<f32> = pairs
        .iter()
        .map(|(value, _)| *value)
        .filter(|value| !value.is_nan())
        .collect();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().saturating_sub(1).max(1) as f32;
    // The middle of the places that equal values share.
    let rank = |value: f32| {
        let from = sorted.partition_point(|one| *one < value);
        let to = sorted.partition_point(|one| *one <= value);
        (!value.is_nan()).then(|| (from + to.saturating_sub(1).max(from)) as f32 / 2.0 / last)
    };
    let every = pairs.len().div_ceil(DRAWN_ROWS).max(1);
    pairs
        .iter()
        .step_by(every)
        .map(|(value, contribution)| ContributionPoint {
            rank: rank(*value),
            contribution: *contribution,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_between_nought_and_one_and_equal_values_share_theirs() {
        let pairs = [
            (1.0, 0.1),
            (f32::NAN, 0.2),
            (3.0, 0.3),
            (2.0, 0.4),
            (2.0, 0.5),
        ];
        let ranks: Vec<Option<f32>> = points(&pairs).iter().map(|one| one.rank).collect();
        assert_eq!(ranks, [Some(0.0), None, Some(1.0), Some(0.5), Some(0.5)]);
    }
}
