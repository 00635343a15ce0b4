//! Area under the ROC curve, one class against the others.

use super::{ClassMetric, ClassScores};
use crate::eval::ranking::mid_ranks;
use crate::labels::Direction;

/// Probability that a sample of `class` has a larger probability of it than another sample, equal
/// ones counting half; `None` where the samples are all of the class or none is.
#[must_use]
pub fn roc_auc_of(scores: ClassScores<'_>, class: Direction) -> Option<f64> {
    let values: Vec<f64> = scores.rows().map(|(_, row)| row[class.index()]).collect();
    let ranks = mid_ranks(&values);
    let inside = |label: &Direction| *label == class;
    let positives = scores.labels.iter().filter(|label| inside(label)).count() as f64;
    let negatives = scores.labels.len() as f64 - positives;
    let rows = scores
        .labels
        .iter()
        .zip(&ranks)
        .filter(|(label, _)| inside(label));
    let rank_sum: f64 = rows.map(|(_, rank)| rank).sum();
    let wins = rank_sum - positives * (positives + 1.0) / 2.0;
    (positives > 0.0 && negatives > 0.0).then(|| wins / (positives * negatives))
}

/// Mean of [`roc_auc_of`] over the classes; not defined where one of them is not.
#[derive(Debug, Clone, Copy)]
pub struct MacroRocAuc;

impl ClassMetric for MacroRocAuc {
    fn name(&self) -> &'static str {
        "roc_auc"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let areas = Direction::ALL.map(|class| roc_auc_of(scores, class));
        let sum: Option<f64> = areas.into_iter().sum();
        sum.map(|sum| sum / Direction::ALL.len() as f64)
    }
}
