//! The confusion matrix.

use super::ClassScores;

/// Counts of samples: the row is the label, the column the predicted class.
#[must_use]
pub fn confusion_matrix(scores: ClassScores<'_>) -> [[u64; 3]; 3] {
    let mut matrix = [[0; 3]; 3];
    for (label, predicted) in scores.pairs() {
        matrix[label.index()][predicted.index()] += 1;
    }
    matrix
}
