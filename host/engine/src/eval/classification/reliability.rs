//! Reliability of one class's probabilities.

use serde::Serialize;

use super::ClassScores;
use crate::labels::Direction;

/// Samples whose predicted probability of a class lies in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lowest probability, not included (included in the first bin).
    pub from: f64,
    /// Highest probability, included.
    pub to: f64,
    /// Number of samples.
    pub samples: usize,
    /// Mean predicted probability; `None` in an empty bin.
    pub mean_probability: Option<f64>,
    /// Share of samples that are of the class; `None` in an empty bin.
    pub observed_frequency: Option<f64>,
}

/// Bins of equal width over the probability of `class`, whether it was predicted or not.
#[must_use]
pub fn reliability_bins(
    scores: ClassScores<'_>,
    class: Direction,
    bins: usize,
) -> Vec<ReliabilityBin> {
    let mut sums = vec![(0_usize, 0.0_f64, 0_usize); bins];
    for (label, row) in scores.rows() {
        let probability = row[class.index()];
        let place = (probability * bins as f64).ceil() as usize;
        let bin = place.saturating_sub(1).min(bins.saturating_sub(1));
        if let Some((samples, probabilities, hits)) = sums.get_mut(bin) {
            *samples += 1;
            *probabilities += probability;
            *hits += usize::from(label == class);
        }
    }
    let width = 1.0 / bins as f64;
    let bin = |(position, (samples, probabilities, hits)): (usize, (usize, f64, usize))| {
        let mean = |sum: f64| (samples > 0).then(|| sum / samples as f64);
        ReliabilityBin {
            from: position as f64 * width,
            to: (position + 1) as f64 * width,
            samples,
            mean_probability: mean(probabilities),
            observed_frequency: mean(hits as f64),
        }
    };
    sums.into_iter().enumerate().map(bin).collect()
}

/// Mean distance of predicted and observed over the bins, weighted by samples; `None` without any.
#[must_use]
pub fn reliability_error(bins: &[ReliabilityBin]) -> Option<f64> {
    let total: usize = bins.iter().map(|bin| bin.samples).sum();
    let distance = |bin: &ReliabilityBin| -> Option<f64> {
        Some((bin.mean_probability? - bin.observed_frequency?).abs() * bin.samples as f64)
    };
    let sum: f64 = bins.iter().filter_map(distance).sum();
    (total > 0).then(|| sum / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_fall_into_the_first_and_the_last_bin() {
        let up = |p: f32| [1.0 - p, 0.0, p];
        let scores = ClassScores {
            labels: &[Direction::Down, Direction::Up, Direction::Up, Direction::Up],
            probabilities: &[up(0.0), up(0.125), up(0.25), up(1.0)],
        };
        let bins = reliability_bins(scores, Direction::Up, 4);
        let samples: Vec<usize> = bins.iter().map(|bin| bin.samples).collect();
        assert_eq!(samples, [3, 0, 0, 1]);
        assert_eq!(bins[0].mean_probability, Some(0.125));
        assert_eq!(bins[0].observed_frequency, Some(2.0 / 3.0));
        assert_eq!(bins[1].observed_frequency, None);
        let error = reliability_error(&bins).unwrap();
        assert!(
            (error - 0.75 * (2.0 / 3.0 - 0.125)).abs() < 1e-12,
            "{error}"
        );
    }
}
