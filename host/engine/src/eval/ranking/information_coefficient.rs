//! The information coefficient.

use super::{RankMetric, RankScores, correlation};

/// Pearson's correlation of scores and returns over all samples.
#[derive(Debug, Clone, Copy)]
pub struct InformationCoefficient;

impl RankMetric for InformationCoefficient {
    fn name(&self) -> &'static str {
        "information_coefficient"
    }

    fn value(&self, scores: RankScores<'_>) -> Option<f64> {
        correlation(scores.scores, scores.returns)
    }
}
