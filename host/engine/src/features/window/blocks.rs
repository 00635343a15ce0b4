//! A window of values that are joined by an associative operation, in blocks of its length.
//!
//! The window is the end of the last complete block and the beginning of this one (M. van Herk
//! 1992; J. Gil, M. Werman 1993). When a block is complete, the joined values from each place to
//! its end are found once; from then on a new value costs two operations. Nothing is ever taken out
//! again, so sums carry no error from one window to the next, a large value leaves nothing behind,
//! and there is no branch to mispredict.

use std::marker::PhantomData;

use crate::features::state::{State, StateError, StateReader, StateWriter};

/// Windows below this length are walked value by value.
const SHORTEST_RUN: usize = 8;

/// How values are joined.
pub(super) trait Join: std::fmt::Debug + Clone + Send + Sync {
    /// What changes nothing.
    const EMPTY: f64;

    fn join(older: f64, newer: f64) -> f64;
}

/// The last `period` values, joined.
#[derive(Debug, Clone)]
pub(super) struct Blocks<J> {
    /// Values of this block before `next`, and joined values of the last block from `next` on.
    slots: Vec<f64>,
    next: usize,
    of_block: f64,
    has_block: bool,
    join: PhantomData<J>,
}

impl<J: Join> Blocks<J> {
    pub(super) fn new(period: usize) -> Self {
        Self {
            slots: vec![J::EMPTY; period],
            next: 0,
            of_block: J::EMPTY,
            has_block: false,
            join: PhantomData,
        }
    }

    /// Adds a value; the joined window once `period` values have been seen.
    #[inline]
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        self.of_block = J::join(self.of_block, value);
        if let Some(slot) = self.slots.get_mut(self.next) {
            *slot = value;
        }
        self.next += 1;
        match self.slots.get(self.next) {
            Some(of_last) => {
                let joined = J::join(*of_last, self.of_block);
                self.has_block.then_some(joined)
            }
            None => Some(self.complete_block()),
        }
    }

    /// Adds values one after the other: `joined[i]` is what [`Blocks::push`] gives for
    /// `values[i]`, NaN in place of nothing.
    ///
    /// Within a block the walk that waits for itself is one operation long; all else is done
    /// several values at a time.
    #[inline(always)]
    pub(super) fn push_all(&mut self, values: &[f64], joined: &mut [f64]) {
        let period = self.slots.len();
        if period < SHORTEST_RUN {
            for (value, joined) in values.iter().zip(joined) {
                *joined = self.push(*value).unwrap_or(f64::NAN);
            }
            return;
        }
        let (mut values, mut joined) = (values, joined);
        while !values.is_empty() {
            let begin = self.next;
            let run = (period - begin).min(values.len()).min(joined.len());
            let (now, later) = values.split_at(run);
            let (found, rest) = joined.split_at_mut(run);
            (values, joined) = (later, rest);
            let end = begin + run;
            let mut of_block = self.of_block;
            for (value, found) in now.iter().zip(&mut *found) {
                of_block = J::join(of_block, *value);
                *found = of_block;
            }
            self.of_block = of_block;
            let completes = end == period;
            if self.has_block {
                let of_last = &self.slots[begin + 1..];
                for (found, of_last) in found.iter_mut().zip(of_last) {
                    *found = J::join(*of_last, *found);
                }
            } else {
                let missing = run - usize::from(completes);
                found[..missing].fill(f64::NAN);
            }
            self.slots[begin..end].copy_from_slice(now);
            self.next = end;
            if completes {
                self.complete_block();
            }
        }
    }

    /// Forgets every value.
    pub(super) fn clear(&mut self) {
        self.next = 0;
        self.of_block = J::EMPTY;
        self.has_block = false;
    }

    /// How many values are missing until [`Blocks::push`] gives something.
    pub(super) fn missing(&self) -> usize {
        if self.has_block {
            0
        } else {
            self.slots.len() - 1 - self.next
        }
    }

    #[inline(never)]
    fn complete_block(&mut self) -> f64 {
        let mut later = J::EMPTY;
        for slot in self.slots.iter_mut().rev() {
            later = J::join(*slot, later);
            *slot = later;
        }
        self.next = 0;
        self.has_block = true;
        std::mem::replace(&mut self.of_block, J::EMPTY)
    }
}

impl<J: Join> State for Blocks<J> {
    fn save(&self, to: &mut StateWriter) {
        self.slots.save(to);
        self.next.save(to);
        self.of_block.save(to);
        self.has_block.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let period = self.slots.len();
        self.slots.load(from)?;
        self.next.load(from)?;
        self.of_block.load(from)?;
        self.has_block.load(from)?;
        (self.slots.len() == period && self.next < period)
            .then_some(())
            .ok_or(StateError::Damaged("a window of another length"))
    }
}
