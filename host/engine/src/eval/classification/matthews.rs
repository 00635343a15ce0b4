//! The Matthews correlation coefficient.

use super::{ClassMetric, ClassScores, confusion_matrix};

/// Correlation of labels and predictions for several classes (J. Gorodkin 2004): 1 perfect, 0 as
/// good as chance. Not defined where all labels or all predictions are of one class.
#[derive(Debug, Clone, Copy)]
pub struct Matthews;

impl ClassMetric for Matthews {
    fn name(&self) -> &'static str {
        "matthews"
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn value(&self, scores: ClassScores<'_>) -> Option<f64> {
        let matrix = confusion_matrix(scores).map(|row| row.map(|count| count as f64));
        let labels = matrix.map(|row| row.iter().sum::<f64>());
        let predictions = [0, 1, 2].map(|class| matrix.iter().map(|row| row[class]).sum::<f64>());
        let total: f64 = labels.iter().sum();
        let hits: f64 = (0..3).map(|class| matrix[class][class]).sum();
        let product = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| a[i] * b[i]).sum::<f64>();
        let label_spread = total * total - product(labels, labels);
        let prediction_spread = total * total - product(predictions, predictions);
        let spread = (label_spread * prediction_spread).sqrt();
        (spread > 0.0).then(|| (hits * total - product(labels, predictions)) / spread)
    }
}
