//! Accuracy.

use super::{ClassMetric, ClassScores};

/// Share of samples whose most probable class is the label.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy;

impl ClassMetric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let hits = scores
            .pairs()
            .filter(|(label, predicted)| label == predicted)
            .count();
        (!scores.labels.is_empty()).then(|| hits as f64 / scores.labels.len() as f64)
    }
}
