//! The building blocks of operators: bounded windows and recursive averages.
//!
//! Sums are joined from blocks, out of which nothing is taken; extremes, moments and lines of short
//! windows depend on the window alone, those of long ones are joined from blocks too, or carried
//! and recomputed from the window once per window length, around a value of it. Rounding errors
//! therefore never grow with the length of the history. A push allocates nothing once the window is
//! full.

mod anchored;
mod averages;
mod blocks;
mod extremes;
mod fours;
mod line;
mod long_moments;
mod moments;
mod quantiles;
mod recent;
mod sorted;
mod sums;
mod tilts;

use super::state::{State, StateError, StateReader, StateWriter};

pub(super) use anchored::Anchored;
pub(super) use averages::{Ema, EmaChain, Fours, TOGETHER, WilderMean, WilderSum};
pub(super) use extremes::{AgedExtreme, MaxDrawdown, RollingExtreme, push_ranges};
pub(super) use line::{Line, RollingLine};
pub(super) use moments::{Moments, PairMoments, RollingMoments, RollingPair};
pub(super) use quantiles::{LowerTail, RollingQuantiles};
pub(super) use recent::Recent;
pub(super) use sorted::RollingRank;
use sorted::SortedWindow;
pub(super) use sums::{RollingMean, RollingSum};

/// Most values that go through a pass together; more are taken in parts.
pub(super) const ROWS: usize = 128;

/// The last `capacity` values.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    values: Vec<f64>,
    capacity: usize,
    /// The slot that the next value takes, which holds the oldest one when the ring is full.
    next: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            capacity,
            next: 0,
        }
    }

    /// Adds a value; gives back the one it replaces, `capacity` values ago.
    #[inline]
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let slot = self.next;
        let following = slot + 1;
        self.next = if following == self.capacity {
            0
        } else {
            following
        };
        match self.values.get_mut(slot) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.values.push(value);
                None
            }
        }
    }

    /// Adds values one after the other: `replaced[i]` is what [`Ring::push`] gives back for
    /// `values[i]`, NaN in place of nothing.
    pub(super) fn push_all(&mut self, values: &[f64], replaced: &mut [f64]) {
        if self.is_full() && values.len() >= self.capacity {
            self.replace_all(values, replaced);
            return;
        }
        let (mut values, mut replaced) = (values, replaced);
        while !values.is_empty() {
            let run = self.run_length(values.len());
            let (now, later) = values.split_at(run);
            let (old, rest) = replaced.split_at_mut(run);
            (values, replaced) = (later, rest);
            self.push_run(now, old);
        }
    }

    /// [`Ring::push_all`] of a full ring and at least as many values as it holds: all but the
    /// newest of them are replaced by one another.
    fn replace_all(&mut self, values: &[f64], replaced: &mut [f64]) {
        let [older, newer] = self.runs();
        let (held, passed) = replaced.split_at_mut(self.capacity);
        let (first, second) = held.split_at_mut(older.len());
        first.copy_from_slice(older);
        second.copy_from_slice(newer);
        let (through, kept) = values.split_at(values.len() - self.capacity);
        passed.copy_from_slice(through);
        self.next = (self.next + values.len()) % self.capacity;
        let (older, newer) = kept.split_at(self.capacity - self.next);
        let (first, second) = self.values.split_at_mut(self.next);
        first.copy_from_slice(newer);
        second.copy_from_slice(older);
    }

    /// How many of `wanted` values can be added without a turn back to the first slot, at least 1.
    fn run_length(&self, wanted: usize) -> usize {
        (self.capacity - self.next).min(wanted)
    }

    /// [`Ring::push_all`] of a run.
    fn push_run(&mut self, values: &[f64], replaced: &mut [f64]) {
        let (begin, end) = (self.next, self.next + values.len());
        match self.values.get_mut(begin..end) {
            Some(slots) => {
                replaced.copy_from_slice(slots);
                slots.copy_from_slice(values);
            }
            None => {
                replaced.fill(f64::NAN);
                self.values.extend_from_slice(values);
            }
        }
        self.next = if end == self.capacity { 0 } else { end };
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.capacity
    }

    /// Whether the last push ended one walk through all slots.
    #[inline]
    fn wrapped(&self) -> bool {
        self.next == 0 && self.is_full()
    }

    /// The values in two runs, oldest first.
    pub(super) fn runs(&self) -> [&[f64]; 2] {
        let split = if self.is_full() { self.next } else { 0 };
        let (newer, older) = self.values.split_at(split);
        [older, newer]
    }

    /// The values, oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = f64> {
        let [older, newer] = self.runs();
        older.iter().chain(newer).copied()
    }

    /// Sums of `N` numbers of each value, in the order of the slots and in four lanes: an addition
    /// waits for the one before it in its lane only.
    fn sums_of<const N: usize>(&self, numbers: impl Fn(f64) -> [f64; N]) -> [f64; N] {
        let mut lanes = [[0.0; 4]; N];
        let (fours, rest) = self.values.as_chunks::<4>();
        for four in fours {
            let four = four.map(&numbers);
            for (n, sums) in lanes.iter_mut().enumerate() {
                for (sum, numbers) in sums.iter_mut().zip(&four) {
                    *sum += numbers[n];
                }
            }
        }
        let mut sums = lanes.map(|[a, b, c, d]| (a + b) + (c + d));
        for value in rest {
            for (sum, number) in sums.iter_mut().zip(numbers(*value)) {
                *sum += number;
            }
        }
        sums
    }
}

impl State for Ring {
    fn save(&self, to: &mut StateWriter) {
        self.values.save(to);
        self.next.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.values.load(from)?;
        self.next.load(from)?;
        let is_sound = if self.values.len() < self.capacity {
            self.next == self.values.len()
        } else {
            self.values.len() == self.capacity && self.next < self.capacity
        };
        is_sound
            .then_some(())
            .ok_or(StateError::Damaged("a window of another length"))
    }
}

#[cfg(test)]
mod tests;
