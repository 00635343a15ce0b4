//! Weights from what samples are about: the returns that are theirs alone, and their classes.

use super::{LabelSpan, concurrency};

/// Weights by return attribution (M. Lopez de Prado, Advances in Financial Machine Learning,
/// 4.6): the absolute sum over a label's bars of the bar's log return divided by the number of
/// labels that share the bar. `log_returns[i]` is the return of bar `i`; bars beyond it count as
/// unmoved. Not scaled; all zero where nothing moved.
#[must_use]
pub fn return_attribution(spans: &[LabelSpan], log_returns: &[f64]) -> Vec<f64> {
    let value = |bar: usize| log_returns.get(bar).copied().unwrap_or(0.0);
    concurrency(spans)
        .shared_sums(spans, value)
        .into_iter()
        .map(f64::abs)
        .collect()
}

/// The factor of each class that gives all classes with samples the same weight together:
/// `total / (classes * total of the class)`, 0 for a class without weight. With weights of one
/// these are scikit-learn's `balanced` class weights.
#[must_use]
pub fn balanced_class_weights<const K: usize>(
    samples: impl Iterator<Item = (usize, f64)>,
) -> [f64; K] {
    let mut totals = [0.0; K];
    for (class, weight) in samples {
        if let Some(total) = totals.get_mut(class) {
            *total += weight;
        }
    }
    let present = totals.iter().filter(|total| **total > 0.0).count();
    let all: f64 = totals.iter().sum();
    totals.map(|total| {
        if total > 0.0 {
            all / (present as f64 * total)
        } else {
            0.0
        }
    })
}
