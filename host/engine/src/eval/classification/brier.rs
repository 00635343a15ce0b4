//! The Brier score for several classes.

use super::{ClassMetric, ClassScores};

/// Mean over samples of the squared distance between probabilities and the label's unit vector
/// (G. Brier 1950): 0 is perfect, 2 the worst.
#[derive(Debug, Clone, Copy)]
pub struct Brier;

impl ClassMetric for Brier {
    fn name(&self) -> &'static str {
        "brier"
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        scores.mean_of(|label, mut row| {
            row[label.index()] -= 1.0;
            row.iter().map(|distance| distance * distance).sum()
        })
    }
}
