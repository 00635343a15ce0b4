//! How far luck explains the best of several runs or settings: what choosing it by its history is
//! worth (PBO by CSCV), whether it beats holding cash or another benchmark (Hansen's SPA and
//! White's reality check), and how many independent tries they are. `fusebox compare` and sweeps
//! say the same of the same returns.

use fusebox_engine::eval::bootstrap::automatic_block_steps;
use fusebox_engine::eval::luck::{
    ReturnsTable, SuperiorAbilityOptions, backtest_overfitting, effective_trials, superior_ability,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::report::{Overfitting, RunsLuck, SuperiorTest};

/// Fewest closes, the first one included, that differences are judged over.
pub(super) const LEAST_CLOSES: usize = 30;
/// Blocks of the cross-validation where there are steps enough: 12,870 splits.
const BLOCKS: usize = 16;
/// Fewest blocks: 20 splits. Of less a share says nothing.
const LEAST_BLOCKS: usize = 6;
/// Fewest steps of a block.
const BLOCK_STEPS: usize = 8;
/// Random numbers of their own, apart from those of pairs of runs.
const LUCK_STREAM: u64 = u64::MAX - 11;

/// How histories are resampled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resampling {
    /// Resampled histories; 0 for none, and then nothing is tested.
    pub(super) samples: u32,
    /// Seed of the resampling.
    pub(super) seed: u64,
}

/// Judges all together by their returns over the same steps; `trials` are known in all. `None` for
/// fewer than two, and for too few steps.
pub(super) fn luck(
    returns: &ReturnsTable,
    trials: u32,
    resampling: Resampling,
) -> Option<RunsLuck> {
    if returns.steps() + 1 < LEAST_CLOSES || returns.strategies() < 2 {
        return None;
    }
    // Neither reads what the other finds.
    let (overfitting, superior) = rayon::join(
        || overfitting(returns),
        || superior_to_nothing(returns, resampling),
    );
    Some(RunsLuck {
        runs: u32::try_from(returns.strategies()).unwrap_or(u32::MAX),
        trials,
        effective_trials: effective_trials(returns),
        overfitting,
        superior,
    })
}

fn overfitting(returns: &ReturnsTable) -> Option<Overfitting> {
    // An even number, and every block long enough to have a Sharpe ratio.
    let blocks = (returns.steps() / BLOCK_STEPS).min(BLOCKS) / 2 * 2;
    if blocks < LEAST_BLOCKS {
        return None;
    }
    backtest_overfitting(returns, blocks).map(|one| Overfitting {
        blocks: blocks as u64,
        splits: one.logits.len() as u64,
        probability: one.probability,
        chance_level: one.chance_level,
        probability_of_loss: one.probability_of_loss,
        degradation_slope: one.degradation_slope,
    })
}

/// Whether the best is better than doing nothing, whose returns are zero: what is given is the
/// returns less those of the benchmark, so that less another's it is a test against that one.
pub(super) fn superior_to_nothing(
    excess: &ReturnsTable,
    resampling: Resampling,
) -> Option<SuperiorTest> {
    let mut random = ChaCha8Rng::seed_from_u64(resampling.seed);
    random.set_stream(LUCK_STREAM);
    let mean_block_steps = mean_block_steps(excess);
    let mut test = |studentized: bool| {
        let how = SuperiorAbilityOptions {
            samples: resampling.samples,
            mean_block_steps,
            studentized,
        };
        superior_ability(excess, &how, &mut random)
    };
    let (hansen, white) = (test(true), test(false));
    // What was seen is one of the histories, so that no p-value is below what so few can show
    // (Davison, Hinkley 1997, 4.2).
    let samples = f64::from(resampling.samples);
    let counted = |p: f64| (p * samples + 1.0) / (samples + 1.0);
    hansen.map(|one| SuperiorTest {
        best: one.best,
        statistic: one.statistic,
        consistent_p: counted(one.consistent),
        lower_p: counted(one.lower),
        upper_p: counted(one.upper),
        reality_check_p: white.map(|white| counted(white.upper)),
        mean_block_steps,
    })
}

/// The mean over the rows of the block length that suits their mean return.
fn mean_block_steps(returns: &ReturnsTable) -> f64 {
    let of = |one: &[f64]| {
        let steps: Vec<[f64; 1]> = one.iter().map(|value| [*value]).collect();
        automatic_block_steps(&steps, 1, |[sum]: [f64; 1], count: usize| {
            Some(sum / count.max(1) as f64)
        })
    };
    let lengths: f64 = returns.rows().map(of).sum();
    (lengths / returns.strategies().max(1) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    const RESAMPLING: Resampling = Resampling {
        samples: 300,
        seed: 1,
    };

    fn judged(returns: &[Vec<f64>]) -> Option<RunsLuck> {
        luck(&ReturnsTable::new(returns).unwrap(), 40, RESAMPLING)
    }

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
        let lucky = judged(&noise(8, &[])).unwrap();
        assert_eq!((lucky.runs, lucky.trials), (8, 40));
        let overfitting = lucky.overfitting.unwrap();
        assert_eq!((overfitting.blocks, overfitting.splits), (16, 12_870));
        assert!(
            (0.2..0.8).contains(&overfitting.probability),
            "{overfitting:?}"
        );
        assert!((overfitting.chance_level - 0.5).abs() < 1e-12);
        assert!(lucky.superior.unwrap().consistent_p > 0.05);
        assert!((6.0..=8.0).contains(&lucky.effective_trials.unwrap()));
        let real = judged(&noise(8, &[0.0, 0.0, 0.2])).unwrap();
        assert!(real.overfitting.unwrap().probability < 0.05);
        let test = real.superior.unwrap();
        assert_eq!(test.best, 2);
        assert!(
            test.consistent_p < 0.05 && test.reality_check_p.unwrap() < 0.05,
            "{test:?}"
        );
        // The same run three times is one try.
        let one = noise(1, &[]).remove(0);
        let copies = judged(&[one.clone(), one.clone(), one]).unwrap();
        assert!((copies.effective_trials.unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(copies.overfitting, None, "there is nothing to choose");
    }

    #[test]
    fn too_little_is_not_judged() {
        let short: Vec<Vec<f64>> = noise(3, &[]).iter().map(|one| one[..10].to_vec()).collect();
        assert_eq!(judged(&short), None);
        assert_eq!(judged(&noise(1, &[])), None);
        let idle = judged(&[vec![0.0; 100], vec![0.0; 100]]).unwrap();
        assert_eq!(
            (idle.effective_trials, idle.overfitting, idle.superior),
            (None, None, None)
        );
    }
}
