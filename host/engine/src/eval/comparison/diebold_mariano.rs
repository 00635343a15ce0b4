//! The test of equal predictive accuracy (F. Diebold, R. Mariano 1995) with the correction for
//! small samples of D. Harvey, S. Leybourne and P. Newbold (1997).

use serde::Serialize;
use statrs::function::beta::beta_reg;

use crate::eval::varies;

/// How autocovariances are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// All alike, as the paper has it: exact where nothing reaches further than the lags.
    Rectangular,
    /// Falling on a line (M. Bartlett; W. Newey, K. West 1987), taken where the rectangular kernel
    /// gives no positive variance.
    Bartlett,
}

/// Whether two series of losses differ in their mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DieboldMariano {
    /// Mean of the differences.
    pub mean: f64,
    /// The corrected statistic; below zero where the first has the smaller losses.
    pub statistic: f64,
    /// Two-sided p-value, from Student's t with one degree of freedom less than steps.
    pub p: f64,
    /// Autocovariances that were counted.
    pub lags: usize,
    /// How they were weighted.
    pub kernel: Kernel,
}

/// Tests whether `differences`, the loss of one less that of another at each step in time, have
/// mean zero. Losses that overlap over `overlap_steps` steps, such as those of labels with that
/// horizon, are correlated up to one step less, so many lags are counted (the forecast horizon `h`
/// of the papers). `None` for fewer than two steps, where nothing varies, or where the lags leave
/// no steps to correct for.
///
/// A step may stand for several rows of one moment; give their mean.
#[must_use]
pub fn diebold_mariano(differences: &[f64], overlap_steps: usize) -> Option<DieboldMariano> {
    let count = differences.len();
    if count < 2 || !varies(differences) {
        return None;
    }
    let steps = count as f64;
    let mean = differences.iter().sum::<f64>() / steps;
    let centred: Vec<f64> = differences.iter().map(|value| value - mean).collect();
    let lags = overlap_steps.saturating_sub(1).min(count - 1);
    let covariance = |lag: usize| -> f64 {
        let pairs = centred.iter().zip(&centred[lag..]);
        pairs.map(|(a, b)| a * b).sum::<f64>() / steps
    };
    let covariances: Vec<f64> = (0..=lags).map(covariance).collect();
    let weighted = |weight: &dyn Fn(usize) -> f64| -> f64 {
        let later = (1..=lags).map(|lag| 2.0 * weight(lag) * covariances[lag]);
        covariances[0] + later.sum::<f64>()
    };
    let bartlett = |lag: usize| 1.0 - lag as f64 / (lags as f64 + 1.0);
    let (variance, kernel) = match weighted(&|_| 1.0) {
        variance if variance > 0.0 => (variance, Kernel::Rectangular),
        _ => (weighted(&bartlett), Kernel::Bartlett),
    };
    let horizon = lags as f64 + 1.0;
    let correction = (steps + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / steps) / steps;
    if !(variance > 0.0 && correction > 0.0) {
        return None;
    }
    let statistic = mean / (variance / steps).sqrt() * correction.sqrt();
    Some(DieboldMariano {
        mean,
        statistic,
        p: student_two_sided(statistic, steps - 1.0),
        lags,
        kernel,
    })
}

/// Probability that Student's t with `freedom` degrees of freedom is at least that far from zero.
fn student_two_sided(t: f64, freedom: f64) -> f64 {
    beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn without_overlap_it_is_the_paired_t_test() {
        let values = [0.3, -0.1, 0.2, 0.5, 0.1];
        let found = diebold_mariano(&values, 1).unwrap();
        // Sample deviation sqrt(0.05), mean 0.2.
        let t = 0.2 / (0.05_f64 / 5.0).sqrt();
        assert!((found.statistic - t).abs() < 1e-12, "{found:?}");
        // Two-sided p of t = 2 with 4 degrees of freedom.
        assert!(
            (found.p - 0.116_116_523_516_815_6).abs() < 1e-12,
            "{found:?}"
        );
        assert_eq!((found.lags, found.kernel), (0, Kernel::Rectangular));
    }

    #[test]
    fn swapping_the_models_turns_the_sign_and_keeps_the_p_value() {
        let values = [0.3, -0.1, 0.2, 0.5, 0.1, 0.4, -0.3, 0.2];
        let turned = values.map(|value| -value);
        let (one, two) = (
            diebold_mariano(&values, 3).unwrap(),
            diebold_mariano(&turned, 3).unwrap(),
        );
        assert!((one.statistic + two.statistic).abs() < 1e-12);
        assert!((one.p - two.p).abs() < 1e-12);
    }

    #[test]
    fn overlapping_losses_are_not_taken_for_independent_ones() {
        // Moving sums of noise with mean zero: the naive test sees differences everywhere.
        let (mut naive, mut found) = (0, 0);
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let noise: Vec<f64> = (0..420).map(|_| rng.random::<f64>() - 0.5).collect();
            let sums: Vec<f64> = noise.windows(20).map(|part| part.iter().sum()).collect();
            naive += usize::from(diebold_mariano(&sums, 1).unwrap().p < 0.05);
            found += usize::from(diebold_mariano(&sums, 20).unwrap().p < 0.05);
        }
        assert!(naive > 80, "{naive}");
        assert!(found < 40, "{found}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(diebold_mariano(&[], 1), None);
        assert_eq!(diebold_mariano(&[1.0], 1), None);
        assert_eq!(diebold_mariano(&[0.1; 10], 1), None);
        // As many lags as steps leave nothing.
        assert_eq!(diebold_mariano(&[0.1, 0.2, 0.4], 3), None);
    }
}
