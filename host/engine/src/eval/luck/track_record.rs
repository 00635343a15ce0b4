//! How long a history must be before its Sharpe ratio means anything.

use crate::eval::trading::{SharpeEvidence, expected_best_sharpe, normal};

/// Minimum track record length (D. Bailey, M. Lopez de Prado 2012): the fewest returns, with these
/// moments, whose probabilistic Sharpe ratio against `threshold` reaches `confidence`. At least 2.
/// `None` where no length is enough, because the Sharpe ratio is not above the threshold, where the
/// moments leave no variance, or `confidence` is not between 0 and 1.
#[must_use]
pub fn minimum_track_record(
    evidence: &SharpeEvidence,
    threshold: f64,
    confidence: f64,
) -> Option<u64> {
    let reach = normal::quantile(confidence)?;
    let lead = evidence.sharpe - threshold;
    let variance = evidence.sharpe_variance()?;
    if lead.is_nan() || lead <= 0.0 {
        return None;
    }
    if reach <= 0.0 {
        return Some(2);
    }
    let steps = (reach * reach * variance / (lead * lead)).ceil() + 1.0;
    (steps < u64::MAX as f64).then_some(steps as u64)
}

/// Minimum backtest length in years (D. Bailey, J. Borwein, M. Lopez de Prado, Q. Zhu 2014): over
/// fewer, the best of `trials` independent worthless strategies is expected to show an annual
/// Sharpe ratio of `annual_sharpe` or more. 0 for one trial; `None` unless `annual_sharpe` is above
/// zero.
#[must_use]
pub fn minimum_backtest_length(trials: u32, annual_sharpe: f64) -> Option<f64> {
    let best = expected_best_sharpe(trials, 1.0)?;
    let is_target = annual_sharpe > 0.0 && annual_sharpe.is_finite();
    is_target.then(|| (best / annual_sharpe).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::trading::probabilistic_sharpe;

    fn evidence(observations: usize) -> SharpeEvidence {
        SharpeEvidence {
            sharpe: 0.06,
            observations,
            skewness: -1.0,
            kurtosis: 7.0,
        }
    }

    #[test]
    fn the_probability_reaches_the_confidence_at_that_length_and_not_before() {
        for (threshold, confidence) in [(0.0, 0.95), (0.02, 0.9), (0.05, 0.99)] {
            let least = minimum_track_record(&evidence(100), threshold, confidence).unwrap();
            let at =
                |steps: u64| probabilistic_sharpe(&evidence(steps as usize), threshold).unwrap();
            assert!(at(least) >= confidence - 1e-12);
            assert!(at(least - 1) < confidence);
        }
    }

    #[test]
    fn no_length_proves_what_was_not_shown() {
        assert_eq!(minimum_track_record(&evidence(100), 0.06, 0.95), None);
        assert_eq!(minimum_track_record(&evidence(100), 0.0, 1.0), None);
        assert_eq!(minimum_track_record(&evidence(100), 0.0, 0.4), Some(2));
        assert_eq!(minimum_backtest_length(1, 1.0), Some(0.0));
        assert_eq!(minimum_backtest_length(10, 0.0), None);
        assert_eq!(minimum_backtest_length(0, 1.0), Some(0.0));
    }
}
