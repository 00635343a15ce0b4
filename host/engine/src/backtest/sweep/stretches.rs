//! Where on the way equity is kept: the ends of consecutive stretches of steps. Nothing between
//! them is, so that what many runs keep is bounded however long the history is.

use crate::types::Cash;

/// Consecutive stretches of steps from the first step on; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretches {
    /// How many steps are over at the end of each, ascending.
    ends: Vec<usize>,
    length: usize,
}

impl Stretches {
    /// Cuts `steps` into at most `most` stretches of equal length; where it does not divide the
    /// steps, some stretches are a step longer. Up to `most` steps each is a stretch of its own.
    /// None where either number is 0.
    #[must_use]
    pub fn of(steps: usize, most: usize) -> Self {
        if steps == 0 || most == 0 {
            return Self::default();
        }
        let count = steps / steps.div_ceil(most);
        // The same as `steps * stretch / count`, within the bounds of the number.
        let (length, rest) = (steps / count, steps % count);
        let ends = (1..=count).map(|stretch| length * stretch + rest * stretch / count);
        Self {
            ends: ends.collect(),
            length,
        }
    }

    /// How many steps are over at the end of each stretch, ascending.
    #[must_use]
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Steps of the shortest stretch; 0 where there is none.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

/// What of the stretches has been passed.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    /// The next number of steps at which equity is to be kept; beyond all numbers where there is
    /// none. It lies after what was passed.
    pub(super) next_end: usize,
    left: std::slice::Iter<'a, usize>,
    equity: Vec<Cash>,
}

impl<'a> Marks<'a> {
    pub(super) fn new(stretches: &'a Stretches) -> Self {
        let mut left = stretches.ends.iter();
        Self {
            next_end: left.next().copied().unwrap_or(usize::MAX),
            left,
            equity: Vec::with_capacity(stretches.ends.len()),
        }
    }

    /// `steps` are over, and since the end before, or for all of them, equity is what it is.
    #[inline]
    pub(super) fn pass(&mut self, steps: usize, equity: Cash) {
        if steps >= self.next_end {
            self.keep(steps, equity);
        }
    }

    // Apart, so that the steps between two ends do not carry it along.
    #[cold]
    fn keep(&mut self, steps: usize, equity: Cash) {
        while steps >= self.next_end {
            self.equity.push(equity);
            self.next_end = self.left.next().copied().unwrap_or(usize::MAX);
        }
    }

    pub(super) fn into_equity(self) -> Vec<Cash> {
        self.equity
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_cover_all_steps_and_differ_by_a_step(
            steps in 1_usize..5000,
            most in 1_usize..900,
        ) {
            let stretches = Stretches::of(steps, most);
            let ends = stretches.ends();
            prop_assert!(!ends.is_empty() && ends.len() <= most);
            prop_assert_eq!(ends.last(), Some(&steps));
            let starts = std::iter::once(&0).chain(ends);
            let lengths: Vec<usize> = starts.zip(ends).map(|(start, end)| end - start).collect();
            let shortest = lengths.iter().min().copied().unwrap();
            prop_assert!(shortest >= 1 && lengths.iter().all(|one| *one <= shortest + 1));
            prop_assert_eq!(shortest, stretches.length());
            // Nor are they much longer than they must be.
            prop_assert!(ends.len() == steps || ends.len() + 1 >= most / 2);
        }
    }

    #[test]
    fn nothing_is_cut_into_nothing() {
        for (steps, most) in [(0, 9), (9, 0)] {
            assert_eq!(Stretches::of(steps, most), Stretches::default());
        }
        assert_eq!(Stretches::of(4, 9).ends(), [1, 2, 3, 4]);
        assert_eq!(Stretches::of(7, 3).ends(), [3, 7]);
        let (steps, most) = (usize::MAX, 3);
        assert_eq!(Stretches::of(steps, most).ends().last(), Some(&steps));
    }
}
