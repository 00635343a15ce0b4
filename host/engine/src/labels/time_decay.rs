//! Time decay of weights (M. Lopez de Prado, Advances in Financial Machine Learning, 4.7).

/// The factor of each sample, oldest first: a line over cumulated uniqueness, so that a crowd of
/// overlapping samples ages as slowly as the few it is worth. The newest has 1.
///
/// `oldest_weight`, `clf_last_weight` in the book: 1 for no decay; from 0 to 1, where the line
/// begins just before the oldest sample; negative, above -1, the share of the cumulated uniqueness
/// whose samples are forgotten. `uniqueness` holds values above 0 in time order; samples of one
/// moment may come as one entry with their sum.
#[must_use]
pub fn time_decay(uniqueness: &[f64], oldest_weight: f64) -> Vec<f64> {
    let total: f64 = uniqueness.iter().sum();
    if total <= 0.0 {
        return vec![1.0; uniqueness.len()];
    }
    let slope = if oldest_weight >= 0.0 {
        (1.0 - oldest_weight) / total
    } else {
        1.0 / ((1.0 + oldest_weight) * total)
    };
    let start = 1.0 - slope * total;
    let mut cumulated = 0.0;
    uniqueness
        .iter()
        .map(|one| {
            cumulated += one;
            (start + slope * cumulated).max(0.0)
        })
        .collect()
}
