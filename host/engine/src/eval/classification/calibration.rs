//! Calibration: whether predictions that claim 60 % are right 60 % of the time.

use serde::Serialize;

use super::{ClassMetric, ClassScores};
use crate::eval::prediction::predicted;

/// Samples whose confidence, the probability of the predicted class, lies in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Lowest confidence, not included (included in the first bin).
    pub from: f64,
    /// Highest confidence, included.
    pub to: f64,
    /// Number of samples.
    pub samples: usize,
    /// Mean confidence; `None` in an empty bin.
    pub mean_confidence: Option<f64>,
    /// Share of right predictions; `None` in an empty bin.
    pub accuracy: Option<f64>,
}

/// Bins of equal width over confidences from 0 to 1.
#[must_use]
pub fn calibration_bins(scores: ClassScores<'_>, bins: usize) -> Vec<CalibrationBin> {
    let mut sums = vec![(0_usize, 0.0_f64, 0_usize); bins];
    for (label, row) in scores.labels.iter().zip(scores.probabilities) {
        let class = predicted(row);
        let confidence = f64::from(row[class.index()]);
        let place = (confidence * bins as f64).ceil() as usize;
        let bin = place.saturating_sub(1).min(bins.saturating_sub(1));
        if let Some((samples, confidences, hits)) = sums.get_mut(bin) {
            *samples += 1;
            *confidences += confidence;
            *hits += usize::from(class == *label);
        }
    }
    let width = 1.0 / bins as f64;
    let bin = |(position, (samples, confidences, hits)): (usize, (usize, f64, usize))| {
        let mean = |sum: f64| (samples > 0).then(|| sum / samples as f64);
        CalibrationBin {
            from: position as f64 * width,
            to: (position + 1) as f64 * width,
            samples,
            mean_confidence: mean(confidences),
            accuracy: mean(hits as f64),
        }
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// Expected calibration error (M. Naeini 2015; C. Guo 2017): mean over samples of the distance
/// between the confidence and the accuracy of their bin.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationError {
    /// Number of bins of equal width.
    pub bins: usize,
}

impl ClassMetric for CalibrationError {
    fn name(&self) -> &'static str {
        "calibration_error"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let distance = |bin: CalibrationBin| {
            Some(bin.samples as f64 * (bin.mean_confidence? - bin.accuracy?).abs())
        };
        let sum: f64 = calibration_bins(scores, self.bins)
            .into_iter()
            .filter_map(distance)
            .sum();
        let is_defined = self.bins > 0 && !scores.labels.is_empty();
        is_defined.then(|| sum / scores.labels.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Direction;

    #[test]
    fn without_samples_or_bins_there_is_no_error() {
        let none = ClassScores {
            labels: &[],
            probabilities: &[],
        };
        assert_eq!(CalibrationError { bins: 10 }.value(none), None);
        let one = ClassScores {
            labels: &[Direction::Up],
            probabilities: &[[0.0, 0.25, 0.75]],
        };
        assert_eq!(CalibrationError { bins: 0 }.value(one), None);
        assert_eq!(CalibrationError { bins: 10 }.value(one), Some(0.25));
    }
}
