//! Metrics of predicted classes and probabilities. Definitions are scikit-learn's.

mod accuracy;
mod balanced_accuracy;
mod brier;
mod calibration;
mod confusion;
mod log_loss;
mod macro_f1;
mod matthews;
mod reliability;
mod roc_auc;

use super::prediction::predicted;
use crate::labels::Direction;

pub use accuracy::Accuracy;
pub use balanced_accuracy::BalancedAccuracy;
pub use brier::Brier;
pub use calibration::{CalibrationBin, CalibrationError, calibration_bins};
pub use confusion::confusion_matrix;
pub use log_loss::LogLoss;
pub use macro_f1::MacroF1;
pub use matthews::Matthews;
pub use reliability::{ReliabilityBin, reliability_bins, reliability_error};
pub use roc_auc::{MacroRocAuc, roc_auc_of};

/// Labels and predicted probabilities, row by row; both slices have one entry per sample.
#[derive(Debug, Clone, Copy)]
pub struct ClassScores<'a> {
    /// What came.
    pub labels: &'a [Direction],
    /// Probabilities of down, flat and up.
    pub probabilities: &'a [[f32; 3]],
}

impl<'a> ClassScores<'a> {
    /// Label and predicted class of each sample.
    pub(super) fn pairs(self) -> impl Iterator<Item = (Direction, Direction)> + 'a {
        let predictions = self.probabilities.iter().map(predicted);
        self.labels.iter().copied().zip(predictions)
    }

    /// Label and probabilities of each sample.
    pub(super) fn rows(self) -> impl Iterator<Item = (Direction, [f64; 3])> + 'a {
        let wide = self.probabilities.iter().map(|row| row.map(f64::from));
        self.labels.iter().copied().zip(wide)
    }

    /// The mean of a value of each sample; `None` without samples.
    pub(super) fn mean_of(self, value: impl Fn(Direction, [f64; 3]) -> f64) -> Option<f64> {
        let sum: f64 = self.rows().map(|(label, row)| value(label, row)).sum();
        (!self.labels.is_empty()).then(|| sum / self.labels.len() as f64)
    }
}

/// A number that tells how good predicted classes or probabilities are.
pub trait ClassMetric: Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// Whether larger is better.
    fn higher_is_better(&self) -> bool;

    /// The value; `None` where it is not defined.
    fn value(&self, scores: ClassScores<'_>) -> Option<f64>;
}

/// Every metric of this kind.
pub fn class_metrics() -> impl Iterator<Item = &'static dyn ClassMetric> {
    const ALL: [&dyn ClassMetric; 8] = [
        &Accuracy,
        &BalancedAccuracy,
        &MacroF1,
        &Matthews,
        &LogLoss,
        &Brier,
        &CalibrationError { bins: 10 },
        &MacroRocAuc,
    ];
    ALL.into_iter()
}
