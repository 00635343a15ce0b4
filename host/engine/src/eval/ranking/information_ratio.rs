//! How steady the information coefficient is: its information ratio (ICIR).
//!
//! Two ways of cutting samples into periods, which answer different questions and must not be
//! compared with each other: [`cross_sectional_coefficients`] correlates the symbols of one moment
//! (does the score tell the better symbol?), [`block_coefficients`] correlates all samples of a
//! stretch of time (does the score tell the better moment?).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{InformationCoefficient, RankInformationCoefficient, RankMetric as _, RankScores};
use crate::eval::trading::{deviation, mean, newey_west_lags, newey_west_t};
use crate::types::Timestamp;

/// Which correlation a period is described by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coefficient {
    /// Pearson's.
    Linear,
    /// Spearman's.
    Rank,
}

impl Coefficient {
    fn of(self, scores: RankScores<'_>) -> Option<f64> {
        match self {
            Self::Linear => InformationCoefficient.value(scores),
            Self::Rank => RankInformationCoefficient.value(scores),
        }
    }
}

/// Coefficients of periods, together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoefficientSummary {
    /// Periods with a defined coefficient.
    pub periods: usize,
    /// Mean coefficient.
    pub mean: f64,
    /// Sample standard deviation (one degree of freedom lost); `None` of one period.
    pub deviation: Option<f64>,
    /// Information ratio: mean over deviation, per period and not annualised; `None` where the
    /// coefficients do not vary.
    pub information_ratio: Option<f64>,
    /// Newey-West t statistic of the mean, with the lags of [`newey_west_lags`].
    pub t_statistic: Option<f64>,
    /// Share of periods with a coefficient above zero.
    pub positive_share: f64,
}

impl CoefficientSummary {
    /// Of the coefficients in order of time; `None` without any.
    #[must_use]
    pub fn of(coefficients: &[f64]) -> Option<Self> {
        let mean = mean(coefficients)?;
        let deviation = deviation(coefficients, 1);
        let positive = coefficients.iter().filter(|one| **one > 0.0).count();
        let spread = deviation.filter(|deviation| *deviation > 0.0);
        Some(Self {
            periods: coefficients.len(),
            mean,
            deviation,
            information_ratio: spread.map(|deviation| mean / deviation),
            t_statistic: newey_west_t(coefficients, newey_west_lags(coefficients.len())),
            positive_share: positive as f64 / coefficients.len() as f64,
        })
    }
}

/// The coefficient across the symbols of each moment, in order of time. Moments with fewer than
/// `least_symbols` samples, or whose coefficient is not defined, are left out; two symbols always
/// have a coefficient of 1 or -1, so at least three are needed for any meaning.
#[must_use]
pub fn cross_sectional_coefficients(
    times: &[Timestamp],
    scores: RankScores<'_>,
    least_symbols: usize,
    coefficient: Coefficient,
) -> Vec<f64> {
    let mut moments: BTreeMap<Timestamp, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for ((time, score), change) in times.iter().zip(scores.scores).zip(scores.returns) {
        let moment = moments.entry(*time).or_default();
        moment.0.push(*score);
        moment.1.push(*change);
    }
    let of_moment = |(scores, returns): &(Vec<f64>, Vec<f64>)| {
        let ranked = RankScores { scores, returns };
        (scores.len() >= least_symbols.max(2)).then(|| coefficient.of(ranked))?
    };
    moments.values().filter_map(of_moment).collect()
}

/// The coefficient of each of `blocks` stretches of consecutive samples, of equal size but for one
/// sample; samples must be in order of time. Stretches whose coefficient is not defined are left
/// out.
#[must_use]
pub fn block_coefficients(
    scores: RankScores<'_>,
    blocks: usize,
    coefficient: Coefficient,
) -> Vec<f64> {
    let count = scores.scores.len().min(scores.returns.len());
    let of_block = |block: usize| {
        let rows = block * count / blocks..(block + 1) * count / blocks;
        coefficient.of(RankScores {
            scores: &scores.scores[rows.clone()],
            returns: &scores.returns[rows],
        })
    };
    (0..blocks).filter_map(of_block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_stretches_are_correlated_apart() {
        let times: Vec<Timestamp> = (0..8).map(|at| Timestamp::from_nanos(at / 4)).collect();
        let scores = RankScores {
            scores: &[1.0, 2.0, 3.0, 4.0, 4.0, 3.0, 2.0, 1.0],
            returns: &[1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 3.0, 9.0],
        };
        let found = cross_sectional_coefficients(&times, scores, 3, Coefficient::Rank);
        assert_eq!(found.len(), 2);
        assert!((found[0] - 1.0).abs() < 1e-12 && (found[1] + 1.0).abs() < 1e-12);
        assert_eq!(block_coefficients(scores, 2, Coefficient::Rank), found);
        assert!(cross_sectional_coefficients(&times, scores, 5, Coefficient::Rank).is_empty());
        assert!(block_coefficients(scores, 8, Coefficient::Linear).is_empty());
        assert!(block_coefficients(scores, 0, Coefficient::Linear).is_empty());
    }

    #[test]
    fn a_summary_is_undefined_where_nothing_varies() {
        assert_eq!(CoefficientSummary::of(&[]), None);
        let one = CoefficientSummary::of(&[0.1]).unwrap();
        assert_eq!((one.deviation, one.information_ratio), (None, None));
        let equal = CoefficientSummary::of(&[0.1; 10]).unwrap();
        assert_eq!((equal.information_ratio, equal.t_statistic), (None, None));
        let found = CoefficientSummary::of(&[0.1, -0.1, 0.3]).unwrap();
        assert!((found.information_ratio.unwrap() - 0.5).abs() < 1e-12);
        assert!((found.positive_share - 2.0 / 3.0).abs() < 1e-12);
    }
}
