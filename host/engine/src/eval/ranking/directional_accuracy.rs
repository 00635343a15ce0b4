//! Directional accuracy.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::{RankMetric, RankScores};
use crate::eval::bootstrap::{Interval, automatic_interval};
use crate::eval::prediction::{EvaluationOptions, Outcome, score};
use crate::types::Timestamp;

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
fn directional_hits(scores: RankScores<'_>) -> impl Iterator<Item = Option<bool>> + '_ {
    let pairs = scores.scores.iter().zip(scores.returns);
    pairs.map(|(score, change)| hit(*score, *change))
}

fn hit(score: f64, change: f64) -> Option<bool> {
    let has_direction = score.abs() > 0.0 && change.abs() > 0.0;
    has_direction.then_some((score > 0.0) == (change > 0.0))
}

/// Block-bootstrap interval of the directional accuracy, all symbols of a moment together; `None`
/// where it is not defined.
#[must_use]
pub fn directional_accuracy_interval(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let mut moments: BTreeMap<Timestamp, [f64; 2]> = BTreeMap::new();
    for one in outcomes {
        let moment = moments.entry(one.closed_at).or_default();
        if let Some(right) = hit(score(&one.probabilities), one.forward_return) {
            moment[0] += f64::from(u8::from(right));
            moment[1] += 1.0;
        }
    }
    let steps: Vec<[f64; 2]> = moments.into_values().collect();
    automatic_interval(&steps, &options.bootstrap(), rng, |[right, count], _| {
        (count > 0.0).then(|| right / count)
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
