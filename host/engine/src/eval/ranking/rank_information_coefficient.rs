//! The rank information coefficient.

use super::{RankMetric, RankScores, correlation, mid_ranks};

/// Spearman's correlation of scores and returns over all samples: extreme returns count no more
/// than others.
#[derive(Debug, Clone, Copy)]
pub struct RankInformationCoefficient;

impl RankMetric for RankInformationCoefficient {
    fn name(&self) -> &'static str {
        "rank_information_coefficient"
    }

    fn value(&self, scores: RankScores<'_>) -> Option<f64> {
        correlation(&mid_ranks(scores.scores), &mid_ranks(scores.returns))
    }
}
