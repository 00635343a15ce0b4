//! The continuous ranked probability score (J. Matheson, R. Winkler 1976; T. Gneiting, A. Raftery
//! 2007): the distance of a forecast distribution from what came, in the outcome's unit. For a
//! point forecast it is the absolute error.

use std::f64::consts::PI;

use super::finite_mean;
use super::pinball::one_loss;
use crate::eval::trading::normal::probability;

/// Mean score of forecasts that are ensembles, one row of members per sample, each member counting
/// the same: `E|X - y| - E|X - X'| / 2` over all pairs, which is the exact score of the ensemble's
/// own distribution. `None` where an ensemble has no member.
#[must_use]
pub fn crps_of_ensemble(ensembles: &[Vec<f64>], outcomes: &[f64]) -> Option<f64> {
    let has_members = ensembles.iter().all(|members| !members.is_empty());
    if ensembles.len() != outcomes.len() || !has_members {
        return None;
    }
    let score = |(members, outcome): (&Vec<f64>, &f64)| {
        let mut sorted = members.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let distance = sorted.iter().map(|one| (one - outcome).abs()).sum::<f64>() / count;
        // Of ascending members, the sum of all pairs' distances in one pass.
        let ranked = (1..).map(f64::from).zip(&sorted);
        let spread = ranked.map(|(rank, one)| (2.0 * rank - count - 1.0) * one);
        distance - spread.sum::<f64>() / (count * count)
    };
    finite_mean(ensembles.iter().zip(outcomes).map(score))
}

/// Mean score of normal forecasts, each a mean and a standard deviation (a deviation of zero is a
/// point forecast); `None` where a deviation is negative.
#[must_use]
pub fn crps_of_gaussian(forecasts: &[(f64, f64)], outcomes: &[f64]) -> Option<f64> {
    let is_distribution = forecasts.iter().all(|(_, deviation)| *deviation >= 0.0);
    if forecasts.len() != outcomes.len() || !is_distribution {
        return None;
    }
    let score = |((mean, deviation), outcome): (&(f64, f64), &f64)| {
        if *deviation <= 0.0 {
            return (outcome - mean).abs();
        }
        let place = (outcome - mean) / deviation;
        let density = (-place * place / 2.0).exp() / (2.0 * PI).sqrt();
        let tail = place * (2.0 * probability(place) - 1.0);
        deviation * (tail + 2.0 * density - 1.0 / PI.sqrt())
    };
    finite_mean(forecasts.iter().zip(outcomes).map(score))
}

/// Mean score of forecasts that are quantiles, one row per sample with an entry for each of the
/// ascending `levels`: twice the pinball loss, integrated over the levels by trapezoids, the loss
/// at the outer levels standing for that of the tails beyond. Approximates the score better the
/// closer the levels lie. `None` where levels do not ascend within 0 to 1, or a row has another
/// length.
#[must_use]
pub fn crps_of_quantiles(rows: &[Vec<f64>], levels: &[f64], outcomes: &[f64]) -> Option<f64> {
    let ascend = levels.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
    let fits = rows.iter().all(|row| row.len() == levels.len());
    if !(ascend && inside && fits) || levels.is_empty() || rows.len() != outcomes.len() {
        return None;
    }
    // Each level stands for half the way to its neighbours, the outer ones also for their tails.
    let edge = |at: usize| match at {
        0 => 0.0,
        at if at == levels.len() => 1.0,
        at => (levels[at - 1] + levels[at]) / 2.0,
    };
    let score = |(row, outcome): (&Vec<f64>, &f64)| {
        let losses = row.iter().zip(levels).enumerate();
        let part = |(at, (quantile, level)): (usize, (&f64, &f64))| {
            2.0 * (edge(at + 1) - edge(at)) * one_loss(*quantile, *outcome, *level)
        };
        losses.map(part).sum()
    };
    finite_mean(rows.iter().zip(outcomes).map(score))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::trading::normal::quantile;

    #[test]
    fn a_point_forecast_costs_its_absolute_error() {
        assert_eq!(crps_of_ensemble(&[vec![2.0]], &[5.0]), Some(3.0));
        assert_eq!(crps_of_gaussian(&[(2.0, 0.0)], &[5.0]), Some(3.0));
        // At the median alone: twice half the absolute error.
        assert_eq!(crps_of_quantiles(&[vec![2.0]], &[0.5], &[5.0]), Some(3.0));
    }

    #[test]
    fn many_quantiles_and_many_members_approach_the_closed_form() {
        let levels: Vec<f64> = (0..2000).map(|at| (f64::from(at) + 0.5) / 2000.0).collect();
        let row: Vec<f64> = levels
            .iter()
            .map(|level| quantile(*level).unwrap())
            .collect();
        for outcome in [-1.3, 0.0, 0.4, 2.5] {
            let exact = crps_of_gaussian(&[(0.0, 1.0)], &[outcome]).unwrap();
            let rows = [row.clone()];
            let quantiles = crps_of_quantiles(&rows, &levels, &[outcome]).unwrap();
            let members = crps_of_ensemble(&rows, &[outcome]).unwrap();
            assert!(
                (quantiles - exact).abs() < 1e-3,
                "{quantiles} against {exact}"
            );
            assert!((members - exact).abs() < 1e-3, "{members} against {exact}");
        }
    }

    #[test]
    fn what_is_not_a_distribution_has_no_score() {
        assert_eq!(crps_of_ensemble(&[vec![]], &[1.0]), None);
        assert_eq!(crps_of_ensemble(&[], &[]), None);
        assert_eq!(crps_of_gaussian(&[(0.0, -1.0)], &[1.0]), None);
        assert_eq!(crps_of_gaussian(&[(f64::NAN, 1.0)], &[1.0]), None);
        assert_eq!(
            crps_of_quantiles(&[vec![1.0, 2.0]], &[0.5, 0.4], &[1.0]),
            None
        );
        assert_eq!(crps_of_quantiles(&[vec![1.0]], &[0.4, 0.5], &[1.0]), None);
        assert_eq!(crps_of_quantiles(&[vec![1.0]], &[1.0], &[1.0]), None);
    }
}
