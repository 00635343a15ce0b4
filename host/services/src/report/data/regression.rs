//! Quality of forecasts of returns: errors beside those of the honest baselines, and of quantiles
//! the losses, the coverage and the score of the whole distribution.

use serde::{Deserialize, Serialize};

use super::{Estimate, Period, ScoreBucket};

/// Quality of all out-of-sample forecasts of returns together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// What is forecast, in words, with its unit.
    pub target: String,
    /// First and last close time of the out-of-sample forecasts.
    pub period: Period,
    /// Out-of-sample forecasts made.
    pub predictions: u64,
    /// Those whose return is known: every metric below is over these rows.
    pub scored_predictions: u64,
    /// Mean of the absolute errors, in the target's unit; of quantiles, those of the median.
    pub mean_absolute_error: Estimate,
    /// Root of the mean squared error, likewise.
    pub root_mean_squared_error: Estimate,
    /// What always saying the same comes to: the training mean, then zero.
    pub baselines: Vec<ConstantBaseline>,
    /// R2 against the mean of the returns that came, which nobody knew.
    pub r_squared_in_hindsight: Option<f64>,
    /// Pearson correlation of forecast and return.
    pub information_coefficient: Estimate,
    /// Spearman correlation of forecast and return.
    pub rank_information_coefficient: Estimate,
    /// Mean over standard deviation of the rank coefficients of periods (ICIR), per period.
    pub information_ratio: Estimate,
    /// What these periods are, and how many.
    pub information_ratio_periods: String,
    /// Share of rows whose forecast has the sign of the return; rows where either is zero do not
    /// count.
    pub directional_accuracy: Estimate,
    /// The same of always naming the direction that came more often, in hindsight.
    pub best_constant_direction: Option<f64>,
    /// What the quantiles are worth; absent where the model says one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<QuantileQuality>,
    /// Mean return until the label's end by forecast, lowest first; ten are deciles.
    pub score_buckets: Vec<ScoreBucket>,
    /// Bars of the horizon.
    pub forward_return_bars: u32,
}

/// A forecast that knows nothing of the row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstantBaseline {
    /// What it says.
    pub name: String,
    /// Its mean absolute error.
    pub mean_absolute_error: Option<f64>,
    /// Its root mean squared error.
    pub root_mean_squared_error: Option<f64>,
    /// Its mean squared error less that of the model: above zero the model is better.
    pub improvement: Estimate,
    /// R2 out of sample: that as a share of what the baseline loses.
    pub r_squared: Estimate,
}

/// What quantile forecasts are worth, beside the quantiles of the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuantileQuality {
    /// Mean pinball loss over all levels, in the target's unit.
    pub pinball_loss: Estimate,
    /// The same of the training rows' quantiles.
    pub baseline_pinball_loss: Option<f64>,
    /// Pinball loss of the baseline less that of the model: above zero the model is better.
    pub improvement: Estimate,
    /// Continuous ranked probability score, from the quantiles.
    pub crps: Estimate,
    /// The same of the training rows' quantiles.
    pub baseline_crps: Option<f64>,
    /// By level, ascending.
    pub levels: Vec<QuantileLevel>,
    /// Central intervals, the widest first.
    pub intervals: Vec<IntervalCoverage>,
    /// Rows whose quantiles cross.
    pub crossing_rows: u64,
}

/// One level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileLevel {
    /// The level.
    pub level: f64,
    /// Mean pinball loss.
    pub pinball_loss: Option<f64>,
    /// The same of the training quantile.
    pub baseline_pinball_loss: Option<f64>,
    /// Share of returns at or below the forecast; to be compared with the level.
    pub share_below: Estimate,
}

/// One central interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntervalCoverage {
    /// Share that it claims to cover.
    pub level: f64,
    /// Share that it covers.
    pub coverage: Estimate,
    /// Mean width, in the target's unit.
    pub mean_width: Option<f64>,
    /// Mean interval score (Winkler 1972); smaller is better.
    pub winkler_score: Option<f64>,
    /// Share that the training rows' quantiles cover.
    pub baseline_coverage: Option<f64>,
    /// Their interval score.
    pub baseline_winkler_score: Option<f64>,
}

/// Errors of one fold's forecasts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastErrors {
    /// Mean of the absolute errors, in the target's unit.
    pub mean_absolute_error: Option<f64>,
    /// Root of the mean squared error.
    pub root_mean_squared_error: Option<f64>,
    /// R2 against the mean of the training rows; the interval where it is computed by fold.
    pub r_squared: Estimate,
    /// R2 against zero.
    pub r_squared_zero: Option<f64>,
    /// Spearman correlation of forecast and return.
    pub rank_information_coefficient: Option<f64>,
    /// Share of rows whose forecast has the sign of the return.
    pub directional_accuracy: Option<f64>,
    /// Mean pinball loss of quantiles.
    pub pinball_loss: Option<f64>,
}
