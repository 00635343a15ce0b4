//! Directional accuracy.

use super::{RankMetric, RankScores};

/// Share of samples whose score has the sign of the return that followed. Samples without a
/// direction, where either is zero or not a number, do not count.
#[derive(Debug, Clone, Copy)]
pub struct DirectionalAccuracy;

impl RankMetric for DirectionalAccuracy {
    fn name(&self) -> &'static str {
        "directional_accuracy"
    }

    fn value(&self, scores: RankScores<'_>) -> Option<f64> {
        let hits = directional_hits(scores).flatten();
        let (right, count) = hits.fold((0_u64, 0_u64), |(right, count), hit| {
            (right + u64::from(hit), count + 1)
        });
        (count > 0).then(|| right as f64 / count as f64)
    }
}

/// Whether each sample's direction was right; `None` for a sample without a direction.
pub fn directional_hits(scores: RankScores<'_>) -> impl Iterator<Item = Option<bool>> + '_ {
    let pairs = scores.scores.iter().zip(scores.returns);
    pairs.map(|(score, change)| {
        let product = score.signum() * change.signum();
        let has_direction = score.abs() > 0.0 && change.abs() > 0.0;
        has_direction.then_some(product > 0.0)
    })
}

/// Directional accuracy of always naming the direction that came more often among the samples that
/// count, chosen in hindsight: in a market that rises 54 % of the time it is 54 %.
#[must_use]
pub fn best_constant_direction(scores: RankScores<'_>) -> Option<f64> {
    let rises = directional_hits(scores)
        .zip(scores.returns)
        .filter_map(|(hit, change)| hit.map(|_| *change > 0.0));
    let (up, count) = rises.fold((0_u64, 0_u64), |(up, count), rise| {
        (up + u64::from(rise), count + 1)
    });
    (count > 0).then(|| up.max(count - up) as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_samples_with_a_direction_count() {
        let scores = RankScores {
            scores: &[0.2, -0.1, 0.3, 0.0, 0.4, -0.5, f64::NAN],
            returns: &[1.0, -2.0, -1.0, 5.0, 0.0, 3.0, 1.0],
        };
        assert_eq!(DirectionalAccuracy.value(scores), Some(0.5));
        assert_eq!(best_constant_direction(scores), Some(0.5));
        let silent = RankScores {
            scores: &[0.0, 0.0],
            returns: &[1.0, -1.0],
        };
        assert_eq!(DirectionalAccuracy.value(silent), None);
        assert_eq!(best_constant_direction(silent), None);
    }
}
