//! What came after, by quantile of the score.

use serde::Serialize;

use super::RankScores;

/// Samples whose score falls into one quantile range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreBucket {
    /// Number of samples.
    pub samples: usize,
    /// Mean score; `None` in an empty bucket.
    pub mean_score: Option<f64>,
    /// Mean return that followed.
    pub mean_return: Option<f64>,
    /// Standard error of that mean.
    pub standard_error: Option<f64>,
}

/// Sorts samples by score (equals in their order) into `buckets` of equal size and averages what
/// followed. Returns of neighbouring samples share `overlap_steps` bars, so the standard error
/// counts only one in so many as independent.
#[must_use]
pub fn score_buckets(
    scores: RankScores<'_>,
    buckets: usize,
    overlap_steps: usize,
) -> Vec<ScoreBucket> {
    let count = scores.scores.len().min(scores.returns.len());
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| scores.scores[*a].total_cmp(&scores.scores[*b]));
    (0..buckets)
        .map(|bucket| {
            let rows = &order[bucket * count / buckets..(bucket + 1) * count / buckets];
            let samples = rows.len() as f64;
            let mean = |values: &[f64]| -> Option<f64> {
                (!rows.is_empty())
                    .then(|| rows.iter().map(|row| values[*row]).sum::<f64>() / samples)
            };
            let mean_return = mean(scores.returns);
            let standard_error = mean_return.filter(|_| rows.len() > 1).map(|mean| {
                let squares: f64 = rows
                    .iter()
                    .map(|row| (scores.returns[*row] - mean).powi(2))
                    .sum();
                let independent = (samples / overlap_steps.max(1) as f64).max(1.0);
                (squares / (samples - 1.0)).sqrt() / independent.sqrt()
            });
            let mean_score = mean(scores.scores);
            ScoreBucket {
                samples: rows.len(),
                mean_score,
                mean_return,
                standard_error,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_every_sample_once_in_score_order() {
        let scores = RankScores {
            scores: &[0.3, -0.1, 0.2, 0.0, 0.1],
            returns: &[3.0, -1.0, 2.0, 0.0, 1.0],
        };
        let buckets = score_buckets(scores, 2, 1);
        assert_eq!(
            buckets.iter().map(|bucket| bucket.samples).sum::<usize>(),
            5
        );
        assert_eq!(buckets[0].mean_return, Some(-0.5));
        assert_eq!(buckets[1].mean_return, Some(2.0));
        // Deviations -1, 0, 1: a standard deviation of 1 over three samples.
        let error = buckets[1].standard_error.unwrap();
        assert!((error - 1.0 / 3f64.sqrt()).abs() < 1e-12, "{error}");
        let overlapping = score_buckets(scores, 2, 3)[1].standard_error.unwrap();
        assert!((overlapping - 1.0).abs() < 1e-12, "{overlapping}");
    }

    #[test]
    fn more_buckets_than_samples_leaves_some_empty() {
        let scores = RankScores {
            scores: &[0.1],
            returns: &[1.0],
        };
        let buckets = score_buckets(scores, 3, 1);
        assert_eq!(
            buckets.iter().filter(|bucket| bucket.samples == 0).count(),
            2
        );
        assert!(buckets.iter().all(|bucket| bucket.standard_error.is_none()));
    }
}
