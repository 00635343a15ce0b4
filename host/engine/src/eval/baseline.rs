//! What a prediction must beat: one class, always.

use crate::labels::Direction;

/// The class that most training samples have; the first of equals. `None` without samples.
#[must_use]
pub fn majority_class(class_counts: [usize; 3]) -> Option<Direction> {
    let most = class_counts.into_iter().max().filter(|count| *count > 0)?;
    Direction::ALL
        .into_iter()
        .find(|class| class_counts[class.index()] == most)
}

/// The one class that would have been right most often, and its accuracy. Chosen in hindsight, so
/// harder to beat than [`majority_class`]. `None` without labels.
#[must_use]
pub fn best_constant(labels: &[Direction]) -> Option<(Direction, f64)> {
    let mut counts = [0; 3];
    for label in labels {
        counts[label.index()] += 1;
    }
    let class = majority_class(counts)?;
    Some((class, counts[class.index()] as f64 / labels.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_most_frequent_class() {
        assert_eq!(majority_class([3, 5, 4]), Some(Direction::Flat));
        assert_eq!(majority_class([5, 1, 5]), Some(Direction::Down));
        assert_eq!(majority_class([0, 0, 0]), None);
        let labels = [
            Direction::Up,
            Direction::Up,
            Direction::Down,
            Direction::Flat,
        ];
        assert_eq!(best_constant(&labels), Some((Direction::Up, 0.5)));
        assert_eq!(best_constant(&[]), None);
    }
}
