//! Whether a Sharpe ratio is more than luck: probabilistic and deflated Sharpe ratio (D. Bailey,
//! M. Lopez de Prado 2012 and 2014).
//!
//! Sharpe ratios here are per observation, not annualised.

use super::{deviation, mean, normal};

/// What the returns of one strategy say about its Sharpe ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharpeEvidence {
    /// Mean over population standard deviation of the returns.
    pub sharpe: f64,
    /// Number of returns.
    pub observations: usize,
    /// Skewness, corrected for bias.
    pub skewness: f64,
    /// Kurtosis, corrected for bias; 3 for a normal distribution.
    pub kurtosis: f64,
}

impl SharpeEvidence {
    /// From returns; `None` for fewer than four, or where they do not vary.
    #[must_use]
    pub fn of(returns: &[f64]) -> Option<Self> {
        let (mean, spread) = (mean(returns)?, deviation(returns, 0)?);
        if returns.len() < 4 || spread <= 0.0 {
            return None;
        }
        let count = returns.len() as f64;
        let moment = |power: i32| -> f64 {
            returns
                .iter()
                .map(|one| ((one - mean) / spread).powi(power))
                .sum::<f64>()
                / count
        };
        let skewness = moment(3) * (count * (count - 1.0)).sqrt() / (count - 2.0);
        let excess = (count - 1.0) / ((count - 2.0) * (count - 3.0))
            * ((count + 1.0) * moment(4) - 3.0 * (count - 1.0));
        Some(Self {
            sharpe: mean / spread,
            observations: returns.len(),
            skewness,
            kurtosis: excess + 3.0,
        })
    }

    /// Variance of the estimate times the returns less one, `1 - g3 SR + (g4 - 1) / 4 SR^2`;
    /// `None` where the moments leave none.
    pub(crate) fn sharpe_variance(&self) -> Option<f64> {
        let tails = (self.kurtosis - 1.0) / 4.0 * self.sharpe * self.sharpe;
        let variance = 1.0 - self.skewness * self.sharpe + tails;
        (variance > 0.0).then_some(variance)
    }
}

/// Probability that the true Sharpe ratio is above `threshold`; `None` where the moments leave no
/// variance to the estimate.
#[must_use]
pub fn probabilistic_sharpe(evidence: &SharpeEvidence, threshold: f64) -> Option<f64> {
    let root = (evidence.observations.checked_sub(1).filter(|n| *n > 0)? as f64).sqrt();
    let error = evidence.sharpe_variance()?.sqrt();
    Some(normal::probability(
        (evidence.sharpe - threshold) * root / error,
    ))
}

/// The best Sharpe ratio that `trials` worthless strategies would show, whose Sharpe ratios vary
/// by `trials_variance`; 0 for one trial. `None` where the variance is negative or not a number.
#[must_use]
pub fn expected_best_sharpe(trials: u32, trials_variance: f64) -> Option<f64> {
    const EULER_MASCHERONI: f64 = 0.577_215_664_901_532_9;
    if trials_variance.is_nan() || trials_variance < 0.0 {
        return None;
    }
    if trials <= 1 {
        return Some(0.0);
    }
    let count = f64::from(trials);
    let most = normal::quantile(1.0 - 1.0 / count)?;
    let next = normal::quantile(1.0 - 1.0 / (count * std::f64::consts::E))?;
    Some(trials_variance.sqrt() * ((1.0 - EULER_MASCHERONI) * most + EULER_MASCHERONI * next))
}

/// Probability that the true Sharpe ratio is above zero, given that it is the best of `trials`.
/// Without a known variance of the trials' Sharpe ratios, that of worthless ones is taken, one over
/// the observations less one.
#[must_use]
pub fn deflated_sharpe(
    evidence: &SharpeEvidence,
    trials: u32,
    trials_variance: Option<f64>,
) -> Option<f64> {
    let worthless = 1.0 / evidence.observations.checked_sub(1).filter(|n| *n > 0)? as f64;
    let threshold = expected_best_sharpe(trials, trials_variance.unwrap_or(worthless))?;
    probabilistic_sharpe(evidence, threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the 2014 paper: annual Sharpe ratio 2.5 over 5 years of 250 days.
    fn example(skewness: f64, kurtosis: f64) -> SharpeEvidence {
        SharpeEvidence {
            sharpe: 2.5 / 250_f64.sqrt(),
            observations: 1250,
            skewness,
            kurtosis,
        }
    }

    #[test]
    fn reproduces_the_numbers_of_the_paper() {
        let variance = 0.5 / 250.0;
        let best = expected_best_sharpe(100, variance).unwrap();
        assert!((best - 0.1132).abs() < 5e-5, "{best}");
        for (evidence, trials, expected) in [
            (example(-3.0, 10.0), 100, 0.9004),
            (example(-3.0, 10.0), 46, 0.9505),
            (example(0.0, 3.0), 88, 0.9505),
        ] {
            let found = deflated_sharpe(&evidence, trials, Some(variance)).unwrap();
            assert!((found - expected).abs() < 5e-5, "{trials} trials: {found}");
        }
    }

    #[test]
    fn one_trial_needs_no_deflation() {
        let evidence = example(0.0, 3.0);
        assert_eq!(
            deflated_sharpe(&evidence, 1, None),
            probabilistic_sharpe(&evidence, 0.0)
        );
        assert!(deflated_sharpe(&evidence, 10, None) < deflated_sharpe(&evidence, 1, None));
    }

    #[test]
    fn what_is_no_variance_or_no_history_says_nothing() {
        assert_eq!(expected_best_sharpe(10, -1.0), None);
        assert_eq!(expected_best_sharpe(10, f64::NAN), None);
        let single = SharpeEvidence {
            observations: 1,
            ..example(0.0, 3.0)
        };
        assert_eq!(probabilistic_sharpe(&single, 0.0), None);
        assert_eq!(deflated_sharpe(&single, 1, None), None);
    }

    #[test]
    fn constant_returns_say_nothing() {
        assert_eq!(SharpeEvidence::of(&[0.0; 50]), None);
        // The mean of ten times 0.1 is not 0.1 in floating point.
        assert_eq!(SharpeEvidence::of(&[0.1; 10]), None);
        assert_eq!(SharpeEvidence::of(&[0.1, 0.2, 0.3]), None);
    }
}
