//! The automatic block length (D. Politis, H. White 2004, with the correction by A. Patton,
//! D. Politis, H. White 2009).
//!
//! How many lags matter is read off the correlogram: the first lag from which several in a row are
//! insignificant, twice over, with a flat-top window. As in Patton's program and `arch`, that first
//! lag itself counts.

use crate::eval::varies;

/// Mean block lengths, in steps, with the least mean squared error of the variance of a mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimalBlockLength {
    /// For the stationary bootstrap. May lie below 1, which means that steps are independent.
    pub stationary: f64,
    /// For the circular bootstrap.
    pub circular: f64,
}

/// Fewest values whose correlogram says anything.
const LEAST_VALUES: usize = 10;

/// The optimal block lengths for the mean of a series, at most three times the root of its length
/// and a third of it; `None` for fewer than ten values, or values that do not vary or are not
/// finite.
#[must_use]
pub fn optimal_block_length(values: &[f64]) -> Option<OptimalBlockLength> {
    let is_finite = values.iter().all(|value| value.is_finite());
    if values.len() < LEAST_VALUES || !is_finite || !varies(values) {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let covariances = relevant_autocovariances(&centred);
    let lags = covariances.len() - 1;
    let (mut slope, mut long_run) = (0.0, covariances[0]);
    for (lag, covariance) in covariances.iter().enumerate().skip(1) {
        let share = lag as f64 / lags as f64;
        let weight = (2.0 * (1.0 - share)).min(1.0);
        slope += 2.0 * weight * lag as f64 * covariance;
        long_run += 2.0 * weight * covariance;
    }
    let length = |factor: f64| {
        let longest = (3.0 * count.sqrt()).min(count / 3.0).ceil();
        let best = (2.0 * slope * slope / (factor * long_run * long_run) * count).cbrt();
        best.is_finite().then(|| best.min(longest))
    };
    Some(OptimalBlockLength {
        stationary: length(2.0)?,
        circular: length(4.0 / 3.0)?,
    })
}

/// Autocovariances from lag 0 to the last that the window counts.
fn relevant_autocovariances(centred: &[f64]) -> Vec<f64> {
    let count = centred.len();
    let quiet_lags = (count.ilog10() as usize).max(5);
    let most = ((count as f64).sqrt().ceil() as usize + quiet_lags).min(count - 1);
    let bound = 2.0 * ((count as f64).log10() / count as f64).sqrt();
    let square = |part: &[f64]| part.iter().map(|value| value * value).sum::<f64>();
    let mut covariances = Vec::with_capacity(most + 1);
    let (mut quiet, mut last) = (0, most);
    for lag in 0..=most {
        let (early, late) = (&centred[..count - lag], &centred[lag..]);
        let product: f64 = early.iter().zip(late).map(|(a, b)| a * b).sum();
        covariances.push(product / count as f64);
        if lag >= last {
            break;
        }
        let is_quiet = product.abs() < bound * (square(early) * square(late)).sqrt();
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet == quiet_lags && last == most {
            last = (2 * (lag + 1 - quiet_lags)).min(most);
            if last <= lag {
                break;
            }
        }
    }
    covariances.truncate(last + 1);
    covariances
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_persistent_series_gets_about_the_blocks_that_theory_gives() {
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let mut mean = 0.0;
        for _ in 0..20 {
            let mut level = 0.0;
            let values: Vec<f64> = (0..5000)
                .map(|_| {
                    level = 0.5 * level + rng.random::<f64>() - 0.5;
                    level
                })
                .collect();
            mean += optimal_block_length(&values).unwrap().stationary / 20.0;
        }
        // (2 rho / (1 - rho^2))^(2/3) n^(1/3) of an autoregression.
        let theory = (4_f64 / 3.0).powf(2.0 / 3.0) * 5000_f64.cbrt();
        assert!(
            (mean / theory - 1.0).abs() < 0.15,
            "{mean} against {theory}"
        );
    }

    #[test]
    fn what_does_not_vary_has_no_length() {
        assert_eq!(optimal_block_length(&[0.1; 50]), None);
        assert_eq!(optimal_block_length(&[1.0, 2.0, 3.0]), None);
        let mut values: Vec<f64> = (0..30).map(|at| f64::from(at % 4)).collect();
        assert!(optimal_block_length(&values).is_some());
        values[3] = f64::NAN;
        assert_eq!(optimal_block_length(&values), None);
    }
}
