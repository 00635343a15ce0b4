//! Random blocks of a history: where they start and how long they are.
//!
//! A resampled history is a list of ranges of steps that are joined; a block that runs over the end
//! continues at the start, as two ranges.

use std::ops::Range;

use rand_core::Rng;

/// How the blocks of a resampled history are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockScheme {
    /// Geometric lengths (D. Politis, J. Romano 1994): the resampled history is stationary, and
    /// the result depends little on the mean length.
    #[default]
    Stationary,
    /// One length, the mean rounded to whole steps (D. Politis, J. Romano 1992): a smaller variance
    /// of the estimate where the length is right.
    Circular,
}

/// The ranges of one resampled history of `count` steps, in order; their lengths sum to `count`.
pub fn resampled_ranges(
    count: usize,
    (scheme, mean_block_steps): (BlockScheme, f64),
    rng: &mut impl Rng,
) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut missing = count;
    while missing > 0 {
        let start = below(count, rng);
        let length = match scheme {
            BlockScheme::Stationary => geometric(mean_block_steps, rng),
            BlockScheme::Circular => (mean_block_steps.round() as usize).max(1),
        };
        let mut length = length.min(missing);
        missing -= length;
        let mut from = start;
        while length > 0 {
            let to = from.saturating_add(length).min(count);
            ranges.push(from..to);
            length -= to - from;
            from = 0;
        }
    }
    ranges
}

/// A whole number from 0 up to, not including, `count`; the bias is below 2^-32 for any real count.
pub(in crate::eval) fn below(count: usize, rng: &mut impl Rng) -> usize {
    ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize
}

/// A number from 0 to 1, neither included.
fn uniform(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A whole number from 1 on with the given mean, geometrically distributed.
fn geometric(mean: f64, rng: &mut impl Rng) -> usize {
    let draw = uniform(rng);
    if mean <= 1.0 {
        return 1;
    }
    1 + (draw.ln() / (1.0 - 1.0 / mean).ln()) as usize
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn block_lengths_have_the_mean_that_is_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let total: usize = (0..20_000).map(|_| geometric(12.0, &mut rng)).sum();
        let mean = total as f64 / 20_000.0;
        assert!((mean - 12.0).abs() < 0.4, "{mean}");
    }

    #[test]
    fn a_resampled_history_is_as_long_as_the_history() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for scheme in [BlockScheme::Stationary, BlockScheme::Circular] {
            for (count, mean) in [(1, 1.0), (7, 3.0), (100, 12.4), (5, 400.0)] {
                let ranges = resampled_ranges(count, (scheme, mean), &mut rng);
                let steps: usize = ranges.iter().map(ExactSizeIterator::len).sum();
                assert_eq!(steps, count, "{scheme:?}, mean {mean}");
                assert!(ranges.iter().all(|range| range.end <= count));
            }
        }
        assert!(resampled_ranges(0, (BlockScheme::Stationary, 2.0), &mut rng).is_empty());
    }

    #[test]
    fn every_step_is_drawn_equally_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut drawn = [0_u32; 10];
        for _ in 0..20_000 {
            for range in resampled_ranges(10, (BlockScheme::Circular, 4.0), &mut rng) {
                range.for_each(|step| drawn[step] += 1);
            }
        }
        assert!(
            drawn.iter().all(|count| count.abs_diff(20_000) < 800),
            "{drawn:?}"
        );
    }
}
