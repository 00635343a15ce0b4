//! Macro F1.

use super::{ClassMetric, ClassScores, confusion_matrix};

/// Mean of the F1 scores of the classes that occur as a label or as a prediction.
#[derive(Debug, Clone, Copy)]
pub struct MacroF1;

impl ClassMetric for MacroF1 {
    fn name(&self) -> &'static str {
        "macro_f1"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let matrix = confusion_matrix(scores);
        let f1 = |class: usize| {
            let labels: u64 = matrix[class].iter().sum();
            let predictions: u64 = matrix.iter().map(|row| row[class]).sum();
            let occurs = labels + predictions > 0;
            occurs.then(|| 2.0 * matrix[class][class] as f64 / (labels + predictions) as f64)
        };
        let values: Vec<f64> = (0..3).filter_map(f1).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}
