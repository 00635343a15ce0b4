//! The mean of an autocorrelated series (W. Newey, K. West 1987).

use super::mean;
use crate::eval::varies;

/// The usual number of lags, `4 (n / 100)^(2/9)` rounded down (W. Newey, K. West 1994), and no more
/// than the series has.
#[must_use]
pub fn newey_west_lags(count: usize) -> usize {
    let lags = (4.0 * (count as f64 / 100.0).powf(2.0 / 9.0)).floor() as usize;
    lags.min(count.saturating_sub(1))
}

/// The t statistic of a mean against zero: the mean over the root of its long-run variance, with
/// Bartlett weights over `lags` lags and no correction for small samples. `None` for fewer than two
/// values or where they do not vary.
#[must_use]
pub fn newey_west_t(values: &[f64], lags: usize) -> Option<f64> {
    if values.len() < 2 || !varies(values) {
        return None;
    }
    let mean = mean(values)?;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let variance = long_run_covariance(&centred, &centred, lags);
    let error = (variance / values.len() as f64).sqrt();
    (error > 0.0).then(|| mean / error)
}

/// Long-run covariance of two centred series with Bartlett weights: never negative for one series
/// with itself. The divisor is the number of values.
pub(super) fn long_run_covariance(left: &[f64], right: &[f64], lags: usize) -> f64 {
    let count = left.len().min(right.len());
    let product = |early: &[f64], late: &[f64]| -> f64 {
        early.iter().zip(late).map(|(a, b)| a * b).sum::<f64>()
    };
    let mut sum = product(left, right);
    for lag in 1..=lags.min(count.saturating_sub(1)) {
        let weight = 1.0 - lag as f64 / (lags as f64 + 1.0);
        let forth = product(&left[..count - lag], &right[lag..]);
        let back = product(&right[..count - lag], &left[lag..]);
        sum += weight * (forth + back);
    }
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_lags_it_is_the_ordinary_t_statistic() {
        let values = [0.3, -0.1, 0.2, 0.5, 0.1];
        // Population deviation 0.2, so the error is 0.2 over the root of five.
        let found = newey_west_t(&values, 0).unwrap();
        assert!(
            (found - 0.2 / (0.2 / 5_f64.sqrt())).abs() < 1e-12,
            "{found}"
        );
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(newey_west_t(&[], 3), None);
        assert_eq!(newey_west_t(&[1.0], 3), None);
        assert_eq!(newey_west_t(&[0.1; 10], 3), None);
        assert_eq!(newey_west_lags(0), 0);
        assert_eq!(newey_west_lags(100), 4);
        assert_eq!(newey_west_lags(3), 1);
    }
}
