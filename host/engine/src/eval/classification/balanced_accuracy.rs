//! Balanced accuracy.

use super::{ClassMetric, ClassScores, confusion_matrix};

/// Mean over the classes that occur of the share of their samples that are recognised; 1/3 for any
/// constant prediction of three classes.
#[derive(Debug, Clone, Copy)]
pub struct BalancedAccuracy;

impl ClassMetric for BalancedAccuracy {
    fn name(&self) -> &'static str {
        "balanced_accuracy"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let matrix = confusion_matrix(scores);
        let recalls: Vec<f64> = matrix
            .iter()
            .enumerate()
            .map(|(class, row)| (row[class] as f64, row.iter().sum::<u64>()))
            .filter(|(_, total)| *total > 0)
            .map(|(hits, total)| hits / total as f64)
            .collect();
        (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64)
    }
}
