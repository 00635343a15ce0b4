//! Logarithmic loss.

use super::{ClassMetric, ClassScores};

/// Mean negative logarithm of the probability of the label, which counts as at least the smallest
/// step of an `f64` below 1, so that one certain mistake does not give infinity.
#[derive(Debug, Clone, Copy)]
pub struct LogLoss;

impl ClassMetric for LogLoss {
    fn name(&self) -> &'static str {
        "log_loss"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let (least, most) = (f64::EPSILON, 1.0 - f64::EPSILON);
        scores.mean_of(|label, row| -row[label.index()].clamp(least, most).ln())
    }
}
