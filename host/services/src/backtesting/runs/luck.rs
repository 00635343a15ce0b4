//! How far luck explains the best of the runs: what choosing it by its history is worth (PBO by
//! CSCV), whether it beats holding cash (Hansen's SPA and White's reality check), and how many
//! independent tries the runs are.

use fusebox_engine::eval::bootstrap::automatic_block_steps;
use fusebox_engine::eval::luck::{
    ReturnsTable, SuperiorAbilityOptions, backtest_overfitting, effective_trials, superior_ability,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{LEAST_STEPS, RunsOptions};
use crate::report::{Overfitting, RunsLuck, SuperiorTest};

/// Blocks of the cross-validation where there are steps enough: 12,870 splits.
const BLOCKS: usize = 16;
/// Fewest steps of a block.
const BLOCK_STEPS: usize = 8;
/// Random numbers of its own, apart from those of the pairs.
const LUCK_STREAM: u64 = u64::MAX - 11;

/// Judges the runs together by their returns over the shared closes; `stated_trials` is the largest
/// number of trials that one of them says it is of.
pub(super) fn luck(
    returns: &[Vec<f64>],
    stated_trials: u32,
    options: &RunsOptions,
) -> Option<RunsLuck> {
    let table = ReturnsTable::new(returns).ok()?;
    if table.steps() + 1 < LEAST_STEPS || table.strategies() < 2 {
        return None;
    }
    let runs = u32::try_from(returns.len()).unwrap_or(u32::MAX);
    // An even number, and every block long enough to have a Sharpe ratio.
    let blocks = (table.steps() / BLOCK_STEPS).min(BLOCKS) / 2 * 2;
    let found = backtest_overfitting(&table, blocks);
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    random.set_stream(LUCK_STREAM);
    let mean_block_steps = mean_block_steps(returns);
    let mut test = |studentized: bool| {
        let how = SuperiorAbilityOptions {
            samples: options.bootstrap_samples,
            mean_block_steps,
            studentized,
        };
        superior_ability(&table, &how, &mut random)
    };
    let (hansen, white) = (test(true), test(false));
    Some(RunsLuck {
        runs,
        trials: stated_trials.max(runs),
        effective_trials: effective_trials(&table),
        overfitting: found.map(|one| Overfitting {
            blocks: blocks as u64,
            splits: one.logits.len() as u64,
            probability: one.probability,
            probability_of_loss: one.probability_of_loss,
            degradation_slope: one.degradation_slope,
        }),
        superior: hansen.map(|one| SuperiorTest {
            best: one.best,
            statistic: one.statistic,
            consistent_p: one.consistent,
            lower_p: one.lower,
            upper_p: one.upper,
            reality_check_p: white.map(|white| white.upper),
            mean_block_steps,
        }),
    })
}

/// The mean over the runs of the block length that suits their mean return.
fn mean_block_steps(returns: &[Vec<f64>]) -> f64 {
    let of = |one: &Vec<f64>| {
        let steps: Vec<[f64; 1]> = one.iter().map(|value| [*value]).collect();
        automatic_block_steps(&steps, 1, |[sum]: [f64; 1], count: usize| {
            Some(sum / count.max(1) as f64)
        })
    };
    let lengths: f64 = returns.iter().map(of).sum();
    (lengths / returns.len().max(1) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    const OPTIONS: RunsOptions = RunsOptions {
        confidence: 0.95,
        bootstrap_samples: 300,
        seed: 1,
    };

    fn noise(runs: usize, drift: &[f64]) -> Vec<Vec<f64>> {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let run = |at: usize| {
            let drift = drift.get(at).copied().unwrap_or(0.0);
            let mut step = || drift + random.random::<f64>() - 0.5;
            (0..800).map(|_| step()).collect()
        };
        (0..runs).map(run).collect()
    }

    #[test]
    fn the_best_of_noise_is_luck_and_a_real_one_is_not() {
        let lucky = luck(&noise(8, &[]), 40, &OPTIONS).unwrap();
        assert_eq!((lucky.runs, lucky.trials), (8, 40));
        let overfitting = lucky.overfitting.unwrap();
        assert_eq!((overfitting.blocks, overfitting.splits), (16, 12_870));
        assert!(
            (0.2..0.8).contains(&overfitting.probability),
            "{overfitting:?}"
        );
        assert!(lucky.superior.unwrap().consistent_p > 0.05);
        assert!((6.0..=8.0).contains(&lucky.effective_trials.unwrap()));
        let real = luck(&noise(8, &[0.0, 0.0, 0.2]), 1, &OPTIONS).unwrap();
        assert_eq!(real.trials, 8);
        assert!(real.overfitting.unwrap().probability < 0.05);
        let test = real.superior.unwrap();
        assert_eq!(test.best, 2);
        assert!(
            test.consistent_p < 0.05 && test.reality_check_p.unwrap() < 0.05,
            "{test:?}"
        );
        // The same run three times is one try.
        let one = noise(1, &[]).remove(0);
        let copies = luck(&[one.clone(), one.clone(), one], 1, &OPTIONS).unwrap();
        assert!((copies.effective_trials.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn too_little_is_not_judged() {
        let short: Vec<Vec<f64>> = noise(3, &[]).iter().map(|one| one[..10].to_vec()).collect();
        assert_eq!(luck(&short, 1, &OPTIONS), None);
        assert_eq!(luck(&noise(1, &[]), 1, &OPTIONS), None);
        assert_eq!(luck(&[Vec::new(), Vec::new()], 1, &OPTIONS), None);
    }
}
