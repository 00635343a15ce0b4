//! How good out-of-sample forecasts of returns are: pooled, and fold by fold, beside baselines that
//! know nothing of the row. Classes play no part in it.

use fusebox_engine::dataset::{Samples, SplitPath, SplitPlan};
use fusebox_engine::eval::EvaluationOptions;
use fusebox_engine::eval::bootstrap::Interval;
use fusebox_engine::eval::forecast::{
    AgainstConstant, Estimated, ForecastOutcome, ForecastReport, QuantileForecasts, QuantileReport,
};
use fusebox_engine::labels::{LabelConfig, ReturnUnit};
use fusebox_engine::types::{SymbolId, Timestamp};
use rand_chacha::ChaCha8Rng;

use super::folds::FoldModel;
use super::score::{buckets, tested};
use crate::backtesting::shown;
use crate::report::{
    ConstantBaseline, Estimate, ForecastErrors, IntervalCoverage, QuantileLevel, QuantileQuality,
    Regression,
};

/// What a model of returns forecast for its test rows, and what its training rows looked like.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FoldForecasts {
    /// Levels, ascending; empty where the model says one number.
    pub levels: Vec<f64>,
    /// What the model says of the traded return, one row for each prediction.
    pub rows: Vec<Vec<f32>>,
    /// Mean of the traded return over the training samples.
    pub training_mean: f64,
    /// Its quantiles there, one a level.
    pub training_quantiles: Vec<f64>,
}

impl FoldForecasts {
    /// What the training samples say alone: their mean and their quantiles, by linear
    /// interpolation between order statistics.
    pub(super) fn of_training(mut returns: Vec<f64>, levels: &[f64]) -> Self {
        returns.sort_by(f64::total_cmp);
        let last = returns.len().saturating_sub(1);
        let quantile = |level: &f64| {
            let place = level * last as f64;
            let (low, share) = (place.floor() as usize, place.fract());
            let at = |row: usize| returns.get(row.min(last)).copied().unwrap_or(f64::NAN);
            at(low) + share * (at(low + 1) - at(low))
        };
        Self {
            levels: levels.to_vec(),
            rows: Vec::new(),
            training_mean: returns.iter().sum::<f64>() / returns.len().max(1) as f64,
            training_quantiles: levels.iter().map(quantile).collect(),
        }
    }
}

/// The value at level 0.5 of quantiles at `levels`, between its neighbours; the nearest one where
/// all lie on one side. One number alone is its own middle.
pub(super) fn middle(levels: &[f64], values: &[f64]) -> f64 {
    let last = values.len().saturating_sub(1);
    let value = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    match levels.partition_point(|level| *level < 0.5) {
        0 => value(0),
        above if above > last => value(last),
        above => {
            let (low, high) = (levels[above - 1], levels[above]);
            value(above - 1) + (0.5 - low) / (high - low) * (value(above) - value(above - 1))
        }
    }
}

/// One forecast whose return has become known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReturnRow {
    pub closed_at: Timestamp,
    pub symbol: SymbolId,
    /// What came, in the target's unit.
    pub outcome: f64,
    /// The log return that came.
    pub log_return: f64,
    /// The point forecast.
    pub forecast: f64,
    pub training_mean: f64,
    /// The quantiles; empty where there are none.
    pub quantiles: Vec<f64>,
    pub training_quantiles: Vec<f64>,
}

/// The forecasts of every fold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ReturnRows {
    /// Levels of the quantiles; empty where there are none.
    pub levels: Vec<f64>,
    /// One entry a fold.
    pub folds: Vec<Vec<ReturnRow>>,
    /// One complete set: of each row the forecast that belongs to the first path.
    pub all: Vec<ReturnRow>,
}

impl ReturnRows {
    /// Joins forecasts with the returns that have become known since; `None` where the models
    /// learned no returns.
    pub(super) fn new(samples: &Samples, models: &[FoldModel], path: &SplitPath) -> Option<Self> {
        let mut rows = Self::default();
        for (fold, model) in models.iter().enumerate() {
            let forecasts = model.forecasts.as_ref()?;
            rows.levels.clone_from(&forecasts.levels);
            let mut own = Vec::new();
            for (one, said) in model.predictions.iter().zip(&forecasts.rows) {
                let symbol = samples.get(one.symbol)?;
                let (Some(label), Some(targets)) =
                    (symbol.labels.get(one.row), &symbol.labels.targets)
                else {
                    continue;
                };
                let said: Vec<f64> = said.iter().map(|value| f64::from(*value)).collect();
                own.push(ReturnRow {
                    closed_at: one.closed_at,
                    symbol: one.symbol,
                    outcome: targets.row(one.row).first().copied().unwrap_or(f64::NAN),
                    log_return: label.log_return,
                    forecast: middle(&forecasts.levels, &said),
                    training_mean: forecasts.training_mean,
                    training_quantiles: forecasts.training_quantiles.clone(),
                    quantiles: if forecasts.levels.is_empty() {
                        Vec::new()
                    } else {
                        said
                    },
                });
            }
            let belongs = |one: &&ReturnRow| path.fold_at(one.closed_at) == Some(fold);
            rows.all.extend(own.iter().filter(belongs).cloned());
            rows.folds.push(own);
        }
        Some(rows)
    }

    /// The forecasts that belong to a path.
    pub(super) fn of_path(&self, path: &SplitPath) -> Vec<ReturnRow> {
        let folds = self.folds.iter().enumerate();
        folds
            .flat_map(|(fold, rows)| {
                let belongs = move |one: &&ReturnRow| path.fold_at(one.closed_at) == Some(fold);
                rows.iter().filter(belongs).cloned()
            })
            .collect()
    }
}

fn report(
    rows: &[ReturnRow],
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> ForecastReport {
    let outcome = |one: &ReturnRow| ForecastOutcome {
        closed_at: one.closed_at,
        forecast: one.forecast,
        outcome: one.outcome,
        training_mean: one.training_mean,
    };
    let outcomes: Vec<ForecastOutcome> = rows.iter().map(outcome).collect();
    ForecastReport::of(&outcomes, options, random)
}

fn quantile_report(
    (rows, levels): (&[ReturnRow], &[f64]),
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> Option<QuantileReport> {
    let times: Vec<Timestamp> = rows.iter().map(|one| one.closed_at).collect();
    let forecasts: Vec<Vec<f64>> = rows.iter().map(|one| one.quantiles.clone()).collect();
    let baseline: Vec<Vec<f64>> = rows
        .iter()
        .map(|one| one.training_quantiles.clone())
        .collect();
    let outcomes: Vec<f64> = rows.iter().map(|one| one.outcome).collect();
    let given = QuantileForecasts {
        times: &times,
        levels,
        forecasts: &forecasts,
        baseline: &baseline,
        outcomes: &outcomes,
    };
    QuantileReport::of(given, options, random)
}

fn estimate(one: Estimated) -> Estimate {
    Estimate {
        value: one.value,
        interval: one.interval.map(|interval: Interval| shown(interval)),
    }
}

fn baseline(name: &str, one: &AgainstConstant) -> ConstantBaseline {
    ConstantBaseline {
        name: name.to_owned(),
        mean_absolute_error: one.mean_absolute_error,
        root_mean_squared_error: one.root_mean_squared_error,
        improvement: estimate(one.improvement),
        r_squared: estimate(one.r_squared),
    }
}

/// What is forecast, in words.
fn target(labels: &LabelConfig) -> String {
    let bars = labels.horizon_bars;
    let unit = match labels.target_unit {
        ReturnUnit::Sigmas => "in volatilities of that horizon",
        ReturnUnit::LogReturn => "as a log return",
    };
    format!("return over {bars} bars, {unit}")
}

/// The pooled quality of all forecasts.
pub(super) fn regression(
    (rows, labels): (&ReturnRows, &LabelConfig),
    (plan, models): (&SplitPlan, &[FoldModel]),
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> Regression {
    let found = report(&rows.all, options, random);
    let steadiness = found.steadiness;
    let period = match steadiness.is_cross_sectional {
        true => "closes, across the symbols of each",
        false => "stretches of time of equal length",
    };
    let quantiles = match rows.levels.is_empty() {
        true => None,
        false => quantile_report((&rows.all, &rows.levels), options, random),
    };
    let path = plan.paths.first();
    let predictions = models.iter().enumerate().map(|(fold, model)| {
        let on_path = |at| path.and_then(|path| path.fold_at(at)) == Some(fold);
        model
            .predictions
            .iter()
            .filter(|one| on_path(one.closed_at))
            .count() as u64
    });
    Regression {
        target: target(labels),
        period: tested(plan),
        predictions: predictions.sum(),
        scored_predictions: found.samples as u64,
        mean_absolute_error: estimate(found.mean_absolute_error),
        root_mean_squared_error: estimate(found.root_mean_squared_error),
        baselines: vec![
            baseline("mean of the training rows", &found.against_mean),
            baseline("zero", &found.against_zero),
        ],
        r_squared_in_hindsight: found.r_squared_in_hindsight,
        information_coefficient: estimate(found.information_coefficient),
        rank_information_coefficient: estimate(found.rank_information_coefficient),
        information_ratio: estimate(steadiness.information_ratio),
        information_ratio_periods: format!("{} {period}", steadiness.periods),
        directional_accuracy: estimate(found.directional_accuracy),
        best_constant_direction: found.best_constant_direction,
        quantiles: quantiles.as_ref().map(quantile_quality),
        score_buckets: buckets(
            rows.all.iter().map(|one| (one.forecast, one.log_return)),
            options,
        ),
        forward_return_bars: labels.horizon_bars,
    }
}

fn quantile_quality(found: &QuantileReport) -> QuantileQuality {
    let levels = found.levels.iter().map(|one| QuantileLevel {
        level: one.level,
        pinball_loss: one.pinball_loss,
        baseline_pinball_loss: one.baseline_pinball_loss,
        share_below: estimate(one.share_below),
    });
    let intervals = found.intervals.iter().map(|one| IntervalCoverage {
        level: one.level,
        coverage: estimate(one.coverage),
        mean_width: one.quality.map(|quality| quality.mean_width),
        winkler_score: one.quality.map(|quality| quality.winkler_score),
        baseline_coverage: one.baseline.map(|quality| quality.coverage),
        baseline_winkler_score: one.baseline.map(|quality| quality.winkler_score),
    });
    QuantileQuality {
        pinball_loss: estimate(found.pinball_loss),
        baseline_pinball_loss: found.baseline_pinball_loss,
        improvement: estimate(found.improvement),
        crps: estimate(found.crps),
        baseline_crps: found.baseline_crps,
        levels: levels.collect(),
        intervals: intervals.collect(),
        crossing_rows: found.crossing_rows as u64,
    }
}

/// The errors of one fold's forecasts, and their correlation with what came.
pub(super) fn fold_errors(
    (rows, levels): (&[ReturnRow], &[f64]),
    options: &EvaluationOptions,
    random: &mut ChaCha8Rng,
) -> (ForecastErrors, Option<f64>) {
    let found = report(rows, options, random);
    let silent = EvaluationOptions {
        bootstrap_samples: 0,
        ..*options
    };
    let quantiles = match levels.is_empty() {
        true => None,
        false => quantile_report((rows, levels), &silent, random),
    };
    let errors = ForecastErrors {
        mean_absolute_error: found.mean_absolute_error.value,
        root_mean_squared_error: found.root_mean_squared_error.value,
        r_squared: estimate(found.against_mean.r_squared),
        r_squared_zero: found.against_zero.r_squared.value,
        rank_information_coefficient: found.rank_information_coefficient.value,
        directional_accuracy: found.directional_accuracy.value,
        pinball_loss: quantiles.and_then(|one| one.pinball_loss.value),
    };
    (errors, found.information_coefficient.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between_its_neighbours_and_training_quantiles_interpolate() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(middle(&[], &[3.0]), 3.0);
        near(middle(&[0.25, 0.5, 0.75], &[1.0, 2.0, 4.0]), 2.0);
        near(middle(&[0.4, 0.8], &[1.0, 5.0]), 2.0);
        near(middle(&[0.1, 0.2], &[1.0, 5.0]), 5.0);
        near(middle(&[0.7], &[1.0]), 1.0);
        let found = FoldForecasts::of_training(vec![4.0, 0.0, 2.0], &[0.25, 0.5, 0.9]);
        near(found.training_mean, 2.0);
        near(found.training_quantiles[0], 1.0);
        near(found.training_quantiles[1], 2.0);
        near(found.training_quantiles[2], 3.6);
    }
}
