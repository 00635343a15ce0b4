//! Batches of windows in a seeded order, gathered into buffers that are used again.
//!
//! The order is a function of the seed, the epoch and the number of windows alone. Who gathers
//! ahead of time, and on which thread, is the caller's choice; the order stays the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Windows;

/// In which order windows are taken, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOrder {
    /// Windows of a batch, at least 1; the last one of an epoch may have fewer.
    pub batch_size: usize,
    /// Seed of the shuffle; `None` for the order of the dataset.
    pub shuffle: Option<u64>,
    /// Whether a last batch with fewer windows is left out.
    pub drop_last: bool,
}

impl BatchOrder {
    /// Positions of `count` windows in the order of one epoch. Every epoch has a shuffle of its
    /// own (Fisher-Yates, ChaCha8 with the epoch as stream).
    #[must_use]
    pub fn positions(&self, count: usize, epoch: u64) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..count).collect();
        let Some(seed) = self.shuffle else {
            return positions;
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(epoch);
        for last in (1..count).rev() {
            positions.swap(last, below(last as u64 + 1, &mut random) as usize);
        }
        positions
    }

    /// How many batches an epoch of `count` windows has.
    #[must_use]
    pub fn batches(&self, count: usize) -> usize {
        let size = self.batch_size.max(1);
        if self.drop_last {
            count / size
        } else {
            count.div_ceil(size)
        }
    }

    /// The positions of each batch of an epoch whose order is `positions`.
    pub fn chunks<'p>(
        &self,
        positions: &'p [usize],
    ) -> impl Iterator<Item = &'p [usize]> + use<'p> {
        let batches = self.batches(positions.len());
        positions.chunks(self.batch_size.max(1)).take(batches)
    }
}

/// A whole number below `bound`, each as likely (D. Lemire 2019, Fast Random Integer Generation
/// in an Interval).
fn below(bound: u64, random: &mut impl Rng) -> u64 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(random.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

/// Windows gathered side by side, as a tensor library takes them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `windows x steps x columns` values.
    pub features: Vec<f32>,
    /// `windows x label columns` values.
    pub labels: Vec<f32>,
    /// One weight a window.
    pub weights: Vec<f32>,
    /// Position of each window in the order of the dataset.
    pub positions: Vec<usize>,
}

impl Batch {
    /// Number of windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Replaces the content by the windows at `positions`, keeping the memory. Positions past the
    /// end are left out.
    pub fn gather(&mut self, windows: &Windows<'_>, positions: &[usize]) {
        self.features.clear();
        self.labels.clear();
        self.weights.clear();
        self.positions.clear();
        for &position in positions {
            let Some(window) = windows.get(position) else {
                continue;
            };
            self.features.extend_from_slice(window.values);
            self.labels.extend_from_slice(window.labels);
            self.weights.push(window.weight);
            self.positions.push(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_epoch_shows_every_window_once_and_repeats(
            count in 0_usize..200,
            batch_size in 1_usize..20,
            seed: u64,
        ) {
            let order = BatchOrder { batch_size, shuffle: Some(seed), drop_last: false };
            let positions = order.positions(count, 3);
            prop_assert_eq!(&positions, &order.positions(count, 3));
            let mut sorted: Vec<usize> = order.chunks(&positions).flatten().copied().collect();
            prop_assert_eq!(order.chunks(&positions).count(), order.batches(count));
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            if count > 20 {
                prop_assert_ne!(&positions, &order.positions(count, 4));
            }
            let whole = BatchOrder { drop_last: true, shuffle: None, ..order };
            let plain = whole.positions(count, 3);
            prop_assert!(whole.chunks(&plain).all(|chunk| chunk.len() == batch_size));
            prop_assert_eq!(whole.chunks(&plain).count(), count / batch_size);
        }
    }

    #[test]
    fn numbers_below_a_bound_are_as_likely() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[below(6, &mut random) as usize] += 1;
        }
        // Five standard deviations of a binomial count with mean 10,000.
        assert!(
            counts.iter().all(|count| count.abs_diff(10_000) < 460),
            "{counts:?}"
        );
    }
}
