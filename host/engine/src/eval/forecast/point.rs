//! Errors of point forecasts. Definitions are scikit-learn's.

use super::finite_mean;
use crate::eval::varies;

/// Point forecasts and what came; one entry per sample.
#[derive(Debug, Clone, Copy)]
pub struct PointForecasts<'a> {
    /// Predicted.
    pub forecasts: &'a [f64],
    /// What came.
    pub outcomes: &'a [f64],
}

impl PointForecasts<'_> {
    fn mean_of(self, cost: impl Fn(f64) -> f64) -> Option<f64> {
        if self.forecasts.len() != self.outcomes.len() {
            return None;
        }
        let pairs = self.forecasts.iter().zip(self.outcomes);
        finite_mean(pairs.map(|(forecast, outcome)| cost(outcome - forecast)))
    }
}

/// A number that tells how good point forecasts are.
pub trait PointMetric: Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// Whether larger is better.
    fn higher_is_better(&self) -> bool {
        false
    }

    /// The value; `None` where it is not defined.
    fn value(&self, forecasts: PointForecasts<'_>) -> Option<f64>;
}

/// Every metric of this kind.
pub fn point_metrics() -> impl Iterator<Item = &'static dyn PointMetric> {
    const ALL: [&dyn PointMetric; 3] = [&MeanSquaredError, &MeanAbsoluteError, &RSquared];
    ALL.into_iter()
}

/// Mean of the squared errors.
#[derive(Debug, Clone, Copy)]
pub struct MeanSquaredError;

impl PointMetric for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn value(&self, forecasts: PointForecasts<'_>) -> Option<f64> {
        forecasts.mean_of(|error| error * error)
    }
}

/// Mean of the sizes of the errors.
#[derive(Debug, Clone, Copy)]
pub struct MeanAbsoluteError;

impl PointMetric for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean_absolute_error"
    }

    fn value(&self, forecasts: PointForecasts<'_>) -> Option<f64> {
        forecasts.mean_of(f64::abs)
    }
}

/// Share of the outcomes' variance that is explained: 1 minus the squared errors over the squared
/// distances from the outcomes' mean. Negative where that mean would have been better. Not defined
/// where outcomes do not vary.
#[derive(Debug, Clone, Copy)]
pub struct RSquared;

impl PointMetric for RSquared {
    fn name(&self) -> &'static str {
        "r_squared"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, forecasts: PointForecasts<'_>) -> Option<f64> {
        let outcomes = forecasts.outcomes;
        let error = MeanSquaredError.value(forecasts)?;
        let mean = finite_mean(outcomes.iter().copied()).filter(|_| varies(outcomes))?;
        let variance = finite_mean(outcomes.iter().map(|one| (one - mean).powi(2)))?;
        Some(1.0 - error / variance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_forecasts_have_no_value() {
        let values = |forecasts, outcomes| {
            let forecasts = PointForecasts {
                forecasts,
                outcomes,
            };
            point_metrics()
                .map(|one| one.value(forecasts))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&[], &[]), [None; 3]);
        assert_eq!(values(&[1.0], &[1.0, 2.0]), [None; 3]);
        assert_eq!(values(&[1.0, f64::NAN], &[1.0, 2.0]), [None; 3]);
        assert_eq!(
            values(&[1.0, 2.0], &[3.0, 3.0]),
            [Some(2.5), Some(1.5), None]
        );
    }
}
