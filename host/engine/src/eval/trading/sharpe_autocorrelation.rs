//! The Sharpe ratio of autocorrelated returns (A. Lo 2002, "The Statistics of Sharpe Ratios").
//!
//! Annualising by the root of the steps per year takes returns for independent. Smoothed or
//! trending returns then look too good, reverting ones too bad.

use super::newey_west::long_run_covariance;
use super::{TradingHistory, TradingMetric, deviation, mean, newey_west_lags};
use crate::eval::varies;

/// Lo's factor from a Sharpe ratio per step to one per `steps` steps:
/// `q / sqrt(q + 2 sum_(k<q) (q - k) rho_k)`. `autocorrelations` begins with lag 1; those of lags
/// that it does not hold are taken as zero. `None` where the variance of the sum is not positive.
#[must_use]
pub fn lo_annualisation(autocorrelations: &[f64], steps: f64) -> Option<f64> {
    let lags = (1..).map(f64::from).zip(autocorrelations);
    let shared: f64 = lags
        .take_while(|(lag, _)| *lag < steps)
        .map(|(lag, correlation)| (steps - lag) * correlation)
        .sum();
    let variance = steps + 2.0 * shared;
    (variance > 0.0 && variance.is_finite()).then(|| steps / variance.sqrt())
}

/// Autocorrelations of lags 1 to `lags`: autocovariances over the variance, all divided by the
/// number of values. `None` where the values do not vary.
#[must_use]
pub fn autocorrelations(values: &[f64], lags: usize) -> Option<Vec<f64>> {
    let mean = mean(values).filter(|_| varies(values))?;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let product = |early: &[f64], late: &[f64]| -> f64 {
        early.iter().zip(late).map(|(a, b)| a * b).sum::<f64>()
    };
    let count = centred.len();
    let variance = product(&centred, &centred);
    let of_lag = |lag: usize| product(&centred[..count - lag], &centred[lag..]) / variance;
    Some((1..=lags.min(count - 1)).map(of_lag).collect())
}

/// The Sharpe ratio annualised by [`lo_annualisation`] with the autocorrelations of the lags that
/// [`newey_west_lags`] gives. Not defined where returns do not vary.
#[derive(Debug, Clone, Copy)]
pub struct LoSharpe;

impl TradingMetric for LoSharpe {
    fn name(&self) -> &'static str {
        "sharpe_lo"
    }

    fn value(&self, history: &TradingHistory<'_>) -> Option<f64> {
        let returns = history.returns()?;
        let spread = deviation(&returns, 1).filter(|spread| *spread > 0.0)?;
        let known = autocorrelations(&returns, newey_west_lags(returns.len()))?;
        Some(mean(&returns)? / spread * lo_annualisation(&known, history.steps_per_year)?)
    }
}

/// Standard error of a Sharpe ratio per step (population deviation) by the delta method on the
/// long-run covariance of mean and variance, with Bartlett weights over `lags` lags: Lo's estimate
/// for returns that need be neither independent nor normal. Times [`lo_annualisation`] it is that
/// of the annualised one. `None` for fewer than two returns or where they do not vary.
#[must_use]
pub fn sharpe_standard_error(returns: &[f64], lags: usize) -> Option<f64> {
    let mean = mean(returns)?;
    let spread = deviation(returns, 0).filter(|spread| *spread > 0.0)?;
    // What each return adds to the estimate: d SR = d mean / s - mean d s^2 / (2 s^3).
    let influence = |value: &f64| {
        let distance = (value - mean) / spread;
        distance - mean / spread * (distance * distance - 1.0) / 2.0
    };
    let influences: Vec<f64> = returns.iter().map(influence).collect();
    let variance = long_run_covariance(&influences, &influences, lags) / returns.len() as f64;
    (variance > 0.0).then(|| variance.sqrt())
}

/// Standard error of the Sharpe ratio per step of independent normal returns,
/// `sqrt((1 + SR^2 / 2) / n)`; `None` without returns.
#[must_use]
pub fn normal_sharpe_standard_error(sharpe: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| ((1.0 + sharpe * sharpe / 2.0) / count as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn independent_returns_are_annualised_by_the_root() {
        let plain = lo_annualisation(&[], 365.0).unwrap();
        assert!((plain - 365_f64.sqrt()).abs() < 1e-12, "{plain}");
        let persistent = lo_annualisation(&[0.3, 0.1], 365.0).unwrap();
        assert!(persistent < 365_f64.sqrt(), "{persistent}");
        // The second lag lies outside a year of two steps: 2 / sqrt(2 + 2 x 0.3).
        let short = lo_annualisation(&[0.3, 0.9], 2.0).unwrap();
        assert!((short - 2.0 / 2.6_f64.sqrt()).abs() < 1e-12, "{short}");
        assert_eq!(lo_annualisation(&[-0.9], 365.0), None);
    }

    #[test]
    fn what_does_not_vary_has_no_error() {
        assert_eq!(sharpe_standard_error(&[0.1; 10], 2), None);
        assert_eq!(sharpe_standard_error(&[], 2), None);
        assert_eq!(autocorrelations(&[0.1; 10], 2), None);
        assert_eq!(autocorrelations(&[], 2), None);
        assert_eq!(normal_sharpe_standard_error(0.1, 0), None);
    }
}
