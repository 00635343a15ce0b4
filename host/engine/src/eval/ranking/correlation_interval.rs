//! Where the true correlation of score and return lies.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::mid_ranks;
use crate::eval::bootstrap::{Interval, automatic_interval};
use crate::eval::prediction::{EvaluationOptions, Outcome, score};
use crate::eval::varies;
use crate::types::Timestamp;

/// Block-bootstrap interval of Pearson's correlation of score and return, all symbols of a moment
/// together; `None` where it is not defined.
#[must_use]
pub fn information_coefficient_interval(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let (scores, returns) = scores_and_returns(outcomes);
    of_pairs(outcomes, (&scores, &returns), options, rng)
}

/// The same of Spearman's correlation. Ranks are those within the whole history, which the
/// resampled histories keep.
#[must_use]
pub fn rank_information_coefficient_interval(
    outcomes: &[Outcome],
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let (scores, returns) = scores_and_returns(outcomes);
    of_pairs(
        outcomes,
        (&mid_ranks(&scores), &mid_ranks(&returns)),
        options,
        rng,
    )
}

fn scores_and_returns(outcomes: &[Outcome]) -> (Vec<f64>, Vec<f64>) {
    let pair = |one: &Outcome| (score(&one.probabilities), one.forward_return);
    outcomes.iter().map(pair).unzip()
}

fn of_pairs(
    outcomes: &[Outcome],
    pairs: (&[f64], &[f64]),
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    let times: Vec<Timestamp> = outcomes.iter().map(|one| one.closed_at).collect();
    correlation_interval(&times, pairs, options, rng)
}

/// Block-bootstrap interval of Pearson's correlation of two columns, the rows of a moment together;
/// of ranks it is that of Spearman's. `None` where it is not defined.
#[must_use]
pub fn correlation_interval(
    times: &[Timestamp],
    (left, right): (&[f64], &[f64]),
    options: &EvaluationOptions,
    rng: &mut impl Rng,
) -> Option<Interval> {
    if !(varies(left) && varies(right)) {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    // Sums of squares of centred values do not cancel.
    let (left_mean, right_mean) = (mean(left), mean(right));
    let mut moments: BTreeMap<Timestamp, [f64; 6]> = BTreeMap::new();
    for ((time, x), y) in times.iter().zip(left).zip(right) {
        let (x, y) = (x - left_mean, y - right_mean);
        let sums = moments.entry(*time).or_default();
        for (sum, value) in sums.iter_mut().zip([1.0, x, y, x * x, y * y, x * y]) {
            *sum += value;
        }
    }
    let steps: Vec<[f64; 6]> = moments.into_values().collect();
    let bootstrap = options.bootstrap();
    automatic_interval(&steps, &bootstrap, rng, |[count, x, y, xx, yy, xy], _| {
        let spread = ((xx - x * x / count) * (yy - y * y / count)).sqrt();
        (spread > 0.0).then(|| (xy - x * y / count) / spread)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::ranking::correlation;
    use crate::labels::Direction;
    use crate::types::SymbolId;
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    #[test]
    fn a_constant_score_has_no_interval() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let outcomes: Vec<Outcome> = (0..10)
            .map(|i| Outcome {
                closed_at: Timestamp::from_nanos(i),
                symbol: SymbolId(0),
                label: Direction::Flat,
                forward_return: rng.random::<f64>(),
                probabilities: [0.2, 0.5, 0.3],
                majority: Direction::Flat,
            })
            .collect();
        let options = EvaluationOptions::default();
        let found = information_coefficient_interval(&outcomes, &options, &mut rng);
        assert_eq!(found, None);
        let found = rank_information_coefficient_interval(&outcomes, &options, &mut rng);
        assert_eq!(found, None);
    }

    #[test]
    fn permuted_scores_have_no_coefficient() {
        let mut rng = ChaCha8Rng::seed_from_u64(21);
        let mut within = [0; 2];
        for _ in 0..200 {
            let returns: Vec<f64> = (0..400).map(|_| rng.random::<f64>() - 0.5).collect();
            // The true labels, dealt out anew.
            let mut scores = returns.clone();
            for at in (1..scores.len()).rev() {
                scores.swap(at, rng.random_range(0..=at));
            }
            let linear = correlation(&scores, &returns).unwrap();
            let ranked = correlation(&mid_ranks(&scores), &mid_ranks(&returns)).unwrap();
            for (within, found) in within.iter_mut().zip([linear, ranked]) {
                *within += u32::from(found.abs() < 2.0 / 400_f64.sqrt());
            }
        }
        // Within two standard errors of zero 95.4 % of the time.
        assert!(
            within.iter().all(|count| (180..=200).contains(count)),
            "{within:?}"
        );
    }

    #[test]
    fn the_interval_surrounds_the_correlation_of_the_whole_history() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let outcomes: Vec<Outcome> = (0..4000)
            .map(|i| {
                let up: f32 = rng.random::<f32>() * 0.5;
                let forward_return = f64::from(up) * 0.5 + rng.random::<f64>();
                Outcome {
                    closed_at: Timestamp::from_nanos(i / 2),
                    symbol: SymbolId((i % 2) as u32),
                    label: Direction::Flat,
                    forward_return,
                    probabilities: [0.25, 0.75 - up, up],
                    majority: Direction::Flat,
                }
            })
            .collect();
        let options = EvaluationOptions::default();
        let scores: Vec<f64> = outcomes
            .iter()
            .map(|one| score(&one.probabilities))
            .collect();
        let returns: Vec<f64> = outcomes.iter().map(|one| one.forward_return).collect();
        let found = information_coefficient_interval(&outcomes, &options, &mut rng).unwrap();
        let direct = correlation(&scores, &returns).unwrap();
        assert!((found.estimate - direct).abs() < 1e-9, "{found:?} {direct}");
        // 2 x 1.96 / sqrt(4000) = 0.062, all samples being independent.
        assert!((found.high - found.low - 0.062).abs() < 0.012, "{found:?}");
        let ranks = rank_information_coefficient_interval(&outcomes, &options, &mut rng).unwrap();
        assert!(ranks.is_above_zero(), "{ranks:?}");
    }
}
