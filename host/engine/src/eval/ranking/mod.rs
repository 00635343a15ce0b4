//! Metrics of a score against the return that followed.

mod correlation_interval;
mod directional_accuracy;
mod information_coefficient;
mod information_ratio;
mod rank_information_coefficient;
mod score_buckets;

use super::varies;

pub use correlation_interval::{
    correlation_interval, information_coefficient_interval, rank_information_coefficient_interval,
};
pub use directional_accuracy::{
    DirectionalAccuracy, best_constant_direction, directional_accuracy_interval,
};
pub use information_coefficient::InformationCoefficient;
pub use information_ratio::{
    Coefficient, CoefficientSummary, block_coefficients, cross_sectional_coefficients,
};
pub use rank_information_coefficient::RankInformationCoefficient;
pub use score_buckets::{ScoreBucket, score_buckets};

/// Scores and the returns that followed; both slices have one entry per sample.
#[derive(Debug, Clone, Copy)]
pub struct RankScores<'a> {
    /// Predicted: larger means a larger return is expected.
    pub scores: &'a [f64],
    /// What came.
    pub returns: &'a [f64],
}

/// A number that tells how well scores go with returns.
pub trait RankMetric: Sync {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// The value; `None` where it is not defined. Larger is better.
    fn value(&self, scores: RankScores<'_>) -> Option<f64>;
}

/// Every metric of this kind.
pub fn rank_metrics() -> impl Iterator<Item = &'static dyn RankMetric> {
    const ALL: [&dyn RankMetric; 3] = [
        &InformationCoefficient,
        &RankInformationCoefficient,
        &DirectionalAccuracy,
    ];
    ALL.into_iter()
}

/// Pearson's correlation; `None` where one side does not vary.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    if !(varies(a) && varies(b)) {
        return None;
    }
    let count = a.len().min(b.len()) as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    let spread = (aa * bb).sqrt();
    (spread > 0.0).then(|| (ab / spread).clamp(-1.0, 1.0))
}

/// Ranks from 1 on; equal values share the mean of their ranks.
pub(super) fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let equal = |a: &usize, b: &usize| values[*a] >= values[*b];
    let mut before = 0;
    for group in order.chunk_by(equal) {
        let rank = before as f64 + (group.len() as f64 + 1.0) / 2.0;
        for &position in group {
            ranks[position] = rank;
        }
        before += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_does_not_vary_has_no_correlation() {
        // The mean of ten times 0.1 is not 0.1 in floating point.
        let (constant, rising) = (
            [0.1; 10],
            [1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 7.0, 9.0, 8.0, 10.0],
        );
        assert_eq!(correlation(&constant, &rising), None);
        assert_eq!(correlation(&rising, &constant), None);
        assert_eq!(
            correlation(&mid_ranks(&constant), &mid_ranks(&rising)),
            None
        );
        assert_eq!(correlation(&[], &[]), None);
        assert!((correlation(&rising, &rising).unwrap() - 1.0).abs() < 1e-12);
    }
}
