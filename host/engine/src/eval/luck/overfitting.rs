//! Probability of backtest overfitting by combinatorially symmetric cross-validation (D. Bailey,
//! J. Borwein, M. Lopez de Prado, Q. Zhu 2017).
//!
//! Time is cut into blocks. Every half of the blocks serves once as the sample in which the
//! strategy with the best Sharpe ratio is chosen, the other half shows what it was worth. A Sharpe
//! ratio needs sums of returns and of squares only, so each half costs a few additions a strategy.
//! Blocks are not purged at their borders: what a step returned is known when it ends.

use serde::Serialize;

use super::ReturnsTable;
use crate::eval::trading::mean;

/// Most blocks: they give 184,756 splits.
pub const MAX_OVERFITTING_BLOCKS: usize = 20;

/// What choosing the best of several strategies by their history is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestOverfitting {
    /// Share of splits in which the chosen strategy is below the median of the other half.
    pub probability: f64,
    /// The same where choosing is no better than chance: the mean share of strategies below the
    /// median. 0.5 for an even number of strategies, and for an odd one, whose middle rank is not
    /// below the median, half of the others over all of them (1/3 of 3); less where strategies are
    /// alike and share the median.
    pub chance_level: f64,
    /// Share of splits in which the chosen strategy loses money in the other half.
    pub probability_of_loss: f64,
    /// Slope of the chosen strategy's Sharpe ratio in the other half on that in the half it was
    /// chosen in (least squares over the splits); `None` where the latter does not vary.
    pub degradation_slope: Option<f64>,
    /// Of each split: the logarithm of the odds of the chosen strategy's relative rank in the
    /// other half, its mean rank from 1 on over the strategies plus one. Below zero it is among
    /// the worse. In the order of the halves as binary numbers, block 0 the lowest digit.
    pub logits: Vec<f64>,
    /// Of each split: the chosen strategy's Sharpe ratio per step in the half it was chosen in.
    pub in_sample: Vec<f64>,
    /// Of each split: its Sharpe ratio per step in the other half.
    pub out_of_sample: Vec<f64>,
}

/// The probability of overfitting with `blocks` blocks of consecutive steps; where they do not
/// divide evenly, the first ones are longer by a step. The usual number is 16, which gives 12,870
/// splits.
///
/// Sharpe ratios use the sample deviation (one degree of freedom lost). A strategy without a
/// position in a half has a Sharpe ratio of 0 there. Of equally good ones the first is chosen.
/// `None` for fewer than two strategies, for an odd number of blocks, fewer than two of them or
/// more than [`MAX_OVERFITTING_BLOCKS`], fewer than two steps a half, where a strategy has equal
/// returns that are not zero throughout a half, or where all strategies are alike.
#[must_use]
pub fn backtest_overfitting(table: &ReturnsTable, blocks: usize) -> Option<BacktestOverfitting> {
    let is_even = blocks >= 2 && blocks.is_multiple_of(2) && blocks <= MAX_OVERFITTING_BLOCKS;
    let fits = table.steps() >= blocks.max(4) && table.strategies() >= 2;
    if !(is_even && fits) {
        return None;
    }
    let sums = BlockSums::new(table, blocks);
    let halves = 0..1_u32 << blocks;
    let halves: Vec<u32> = halves
        .filter(|half| half.count_ones() as usize == blocks / 2)
        .collect();
    let splits = halves.len();
    let empty = vec![0.0; splits];
    let (mut logits, mut in_sample, mut out_of_sample) = (empty.clone(), empty.clone(), empty);
    let mut ratios = [vec![0.0; table.strategies()], vec![0.0; table.strategies()]];
    let mut below = BelowMedian::default();
    let all = (1_u32 << blocks) - 1;
    let mut differ = false;
    // In ascending order a half stands as far from the start as its complement from the end.
    for (position, half) in halves.iter().enumerate().take(splits / 2) {
        sums.sharpe_ratios(*half, &mut ratios[0])?;
        sums.sharpe_ratios(all ^ half, &mut ratios[1])?;
        for (split, chosen, other) in [
            (position, &ratios[0], &ratios[1]),
            (splits - 1 - position, &ratios[1], &ratios[0]),
        ] {
            let best = first_largest(chosen);
            differ |= other.iter().any(|one| (one - other[best]).abs() > 0.0);
            below.take(other);
            let share = mean_rank(other, best) / (table.strategies() as f64 + 1.0);
            logits[split] = (share / (1.0 - share)).ln();
            in_sample[split] = chosen[best];
            out_of_sample[split] = other[best];
        }
    }
    if !differ {
        return None; // There is nothing to choose.
    }
    let share_below_zero = |values: &[f64]| {
        let below = values.iter().filter(|value| **value < 0.0).count();
        below as f64 / values.len() as f64
    };
    Some(BacktestOverfitting {
        probability: share_below_zero(&logits),
        chance_level: below.sum as f64 / (splits as f64 * table.strategies() as f64),
        probability_of_loss: share_below_zero(&out_of_sample),
        degradation_slope: slope(&in_sample, &out_of_sample),
        logits,
        in_sample,
        out_of_sample,
    })
}

/// Sums over each block of every strategy's returns and of their squares.
struct BlockSums {
    /// Steps of each block.
    lengths: Vec<usize>,
    /// Block by block: the sum of each strategy's returns.
    returns: Vec<Vec<f64>>,
    /// The same of the squares.
    squares: Vec<Vec<f64>>,
}

impl BlockSums {
    fn new(table: &ReturnsTable, blocks: usize) -> Self {
        let (length, longer) = (table.steps() / blocks, table.steps() % blocks);
        let lengths: Vec<usize> = (0..blocks)
            .map(|block| length + usize::from(block < longer))
            .collect();
        let mut start = 0;
        let (mut returns, mut squares) = (Vec::new(), Vec::new());
        for length in &lengths {
            let part = start..start + length;
            let block = || table.rows().map(|row| &row[part.clone()]);
            returns.push(block().map(|row| row.iter().sum()).collect());
            squares.push(
                block()
                    .map(|row| row.iter().map(|one| one * one).sum())
                    .collect(),
            );
            start += length;
        }
        Self {
            lengths,
            returns,
            squares,
        }
    }

    /// Every strategy's Sharpe ratio over the blocks of a half, one a bit; `None` where one of them
    /// is not defined.
    fn sharpe_ratios(&self, half: u32, ratios: &mut [f64]) -> Option<()> {
        let blocks = (0..self.lengths.len()).filter(|block| (half >> block) & 1 == 1);
        let mut steps = 0;
        let mut squares = [0.0; STRIP];
        for (strip, ratios) in ratios.chunks_mut(STRIP).enumerate() {
            let from = strip * STRIP;
            squares.fill(0.0);
            ratios.fill(0.0);
            steps = 0;
            for block in blocks.clone() {
                steps += self.lengths[block];
                let returns = &self.returns[block][from..from + ratios.len()];
                for (sum, value) in ratios.iter_mut().zip(returns) {
                    *sum += value;
                }
                for (sum, value) in squares.iter_mut().zip(&self.squares[block][from..]) {
                    *sum += value;
                }
            }
            for (sum, squares) in ratios.iter_mut().zip(&squares) {
                *sum = sharpe(*sum, *squares, steps as f64)?;
            }
        }
        (steps > 1).then_some(())
    }
}

/// Strategies that are summed together, so that their sums stay in the nearest memory.
const STRIP: usize = 64;

fn sharpe(sum: f64, squares: f64, steps: f64) -> Option<f64> {
    // What is smaller than this is left over from rounding: the returns do not vary.
    const LEAST_SPREAD: f64 = 1e-12;
    let spread = squares - sum * sum / steps;
    if squares <= 0.0 {
        return Some(0.0);
    }
    (spread > squares * LEAST_SPREAD).then(|| sum / steps / (spread / (steps - 1.0)).sqrt())
}

fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (position, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = position;
        }
    }
    best
}

/// Rank from 1 on of one value among all; equal values share the mean of their ranks.
fn mean_rank(values: &[f64], position: usize) -> f64 {
    let own = values[position];
    let (mut below, mut above) = (0_u32, 0_u32);
    for value in values {
        below += u32::from(*value < own);
        above += u32::from(*value > own);
    }
    let equal = values.len() as f64 - f64::from(below) - f64::from(above);
    f64::from(below) + (equal + 1.0) / 2.0
}

/// Counts strategies that are below the median, over all splits.
#[derive(Debug, Default)]
struct BelowMedian {
    sum: u64,
    values: Vec<f64>,
}

impl BelowMedian {
    fn take(&mut self, values: &[f64]) {
        self.values.clear();
        self.values.extend_from_slice(values);
        let (_, upper, _) = self
            .values
            .select_nth_unstable_by(values.len() / 2, f64::total_cmp);
        // What is less than the upper of the two in the middle is below the median, and so is that
        // one where its rank, which equal ones share, is in the lower half.
        let upper = *upper;
        let less = values.iter().filter(|value| **value < upper).count();
        let equal = values.iter().filter(|value| **value <= upper).count() - less;
        let is_below = 2 * less + equal < values.len();
        self.sum += (less + if is_below { equal } else { 0 }) as u64;
    }
}

fn slope(from: &[f64], to: &[f64]) -> Option<f64> {
    let (mean_from, mean_to) = (mean(from)?, mean(to)?);
    let pairs = || from.iter().map(|x| x - mean_from).zip(to);
    let variance: f64 = pairs().map(|(x, _)| x * x).sum();
    let shared: f64 = pairs().map(|(x, y)| x * (y - mean_to)).sum();
    (crate::eval::varies(from) && variance > 0.0).then(|| shared / variance)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    /// Independent worthless strategies, the first with an edge a step in standard deviations.
    fn strategies(seed: u64, count: usize, edge: f64) -> ReturnsTable {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows: Vec<Vec<f64>> = (0..count)
            .map(|strategy| {
                let mean = if strategy == 0 { edge } else { 0.0 };
                let sum = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>();
                (0..1000)
                    .map(|_| 0.01 * (sum(&mut rng) - 6.0 + mean))
                    .collect()
            })
            .collect();
        ReturnsTable::new(&rows).unwrap()
    }

    #[test]
    fn choosing_among_noise_is_no_better_than_chance_and_finds_what_is_real() {
        let seeds = 30;
        let of = |edge| {
            let found =
                (0..seeds).map(|seed| backtest_overfitting(&strategies(seed, 50, edge), 10));
            let found: Vec<BacktestOverfitting> = found.map(Option::unwrap).collect();
            found.iter().map(|one| one.probability).sum::<f64>() / seeds as f64
        };
        let (noise, real) = (of(0.0), of(0.2));
        assert!((0.4..0.6).contains(&noise), "{noise}");
        assert!(real < 0.02, "{real}");
    }

    #[test]
    fn sixteen_blocks_give_every_half_once() {
        let found = backtest_overfitting(&strategies(1, 20, 0.3), 16).unwrap();
        assert_eq!(found.logits.len(), 12_870);
        assert!(found.probability < 0.01 && found.probability_of_loss < 0.01);
        // Two halves that complete each other: what one earns more, the other lacks.
        assert!(found.degradation_slope.unwrap() < 0.0);
    }

    #[test]
    fn equal_strategies_share_their_rank() {
        let mut row = vec![0.01; 40];
        (0..40).step_by(3).for_each(|step| row[step] = -0.02);
        let worse: Vec<f64> = row.iter().map(|one| one - 0.005).collect();
        let table = ReturnsTable::new(&[row.clone(), row.clone(), worse]).unwrap();
        let found = backtest_overfitting(&table, 4).unwrap();
        // Ranks 2 and 3 of 3.
        let odds = (2.5_f64 / 1.5).ln();
        assert!(
            found
                .logits
                .iter()
                .all(|logit| (logit - odds).abs() < 1e-12)
        );
        assert!(found.probability.abs() < 1e-12);
        // The two that are alike share the median: of the three only the worse is below.
        assert!((found.chance_level - 1.0 / 3.0).abs() < 1e-12);
        // Where all are alike, or none ever traded, nothing is chosen.
        for row in [row, vec![0.0; 40]] {
            let alike = ReturnsTable::new(&[row.clone(), row]).unwrap();
            assert_eq!(backtest_overfitting(&alike, 4), None);
        }
    }

    #[test]
    fn chance_is_the_share_of_strategies_below_the_median() {
        for (count, level) in [(2, 0.5), (3, 1.0 / 3.0), (7, 3.0 / 7.0), (50, 0.5)] {
            let found = backtest_overfitting(&strategies(3, count, 0.0), 6).unwrap();
            assert!((found.chance_level - level).abs() < 1e-12, "{found:?}");
        }
        // By the ranks themselves, among values of which many are equal.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for count in 1..40_usize {
            let values: Vec<f64> = (0..count)
                .map(|_| (rng.random::<f64>() * 6.0).floor())
                .collect();
            let is_below = |at: &usize| mean_rank(&values, *at) < (count as f64 + 1.0) / 2.0;
            let mut found = BelowMedian::default();
            found.take(&values);
            let expected = (0..count).filter(is_below).count();
            assert_eq!(found.sum, expected as u64, "{values:?}");
        }
    }

    #[test]
    fn what_cannot_be_ranked_is_undefined() {
        let table = strategies(1, 3, 0.0);
        for blocks in [0, 1, 3, 22] {
            assert_eq!(
                backtest_overfitting(&table, blocks),
                None,
                "{blocks} blocks"
            );
        }
        assert_eq!(backtest_overfitting(&strategies(1, 1, 0.0), 4), None);
        let short = ReturnsTable::new(&[[0.1, -0.1, 0.2], [0.3, 0.1, 0.1]]).unwrap();
        assert_eq!(backtest_overfitting(&short, 4), None);
        let alternating: Vec<f64> = (0..40).map(|at| f64::from(at % 3) - 1.0).collect();
        let constant = ReturnsTable::new(&[alternating.clone(), vec![0.1; 40]]).unwrap();
        assert_eq!(backtest_overfitting(&constant, 4), None);
        let idle = ReturnsTable::new(&[alternating, vec![0.0; 40]]).unwrap();
        assert!(backtest_overfitting(&idle, 4).is_some());
    }
}
