//! Metrics of forecasts of numbers: points, quantiles, distributions and intervals.
//!
//! Slices have one entry per sample. Where their lengths differ, there are no samples, or a value
//! is not a number, a metric is `None`. Smaller is better but for R2 and coverage.
//! [`ForecastReport`] and [`QuantileReport`] gather them for a run.

mod crps;
mod pinball;
mod point;
mod prediction_interval;
mod quantile_report;
mod report;

pub use crps::{crps_of_ensemble, crps_of_gaussian, crps_of_quantiles};
pub use pinball::pinball_loss;
pub use point::{
    MeanAbsoluteError, MeanSquaredError, PointForecasts, PointMetric, RSquared, point_metrics,
};
pub use prediction_interval::{IntervalForecasts, IntervalQuality};
pub use quantile_report::{CentralInterval, LevelQuality, QuantileForecasts, QuantileReport};
pub use report::{AgainstConstant, Estimated, ForecastOutcome, ForecastReport, Steadiness};

/// The mean of finite values; `None` without any, or where one is not finite.
fn finite_mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    let sum: f64 = values.sum();
    (count > 0 && sum.is_finite()).then(|| sum / count as f64)
}
