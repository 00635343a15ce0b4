//! The values of a short window and a recent value that they are measured from.
//!
//! Distances from a value of the same market are small: their squares and products keep the digits
//! that those of the values would lose. The anchor is renewed every [`ROWS`] values, counted from
//! the first one, so that it does not depend on how a history is cut.

use std::ops::Range;

use super::ROWS;
use super::recent::Recent;
use crate::features::state::{State, StateError, StateReader, StateWriter};

#[derive(Debug, Clone)]
pub(in crate::features) struct Anchored {
    recent: Recent,
    anchor: f64,
    /// Values since the anchor was taken, which is one of them.
    age: usize,
}

impl Anchored {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            recent: Recent::new(period),
            anchor: 0.0,
            age: 0,
        }
    }

    /// How many of `wanted` values are measured from one anchor, at least 1.
    #[inline(always)]
    pub(in crate::features) fn run_length(&self, wanted: usize) -> usize {
        (ROWS - self.age % ROWS).min(wanted)
    }

    /// Adds a part of `values` as long as [`Anchored::run_length`] allows; the anchor, and what
    /// [`Recent::push_part`] gives. After the last part, [`Anchored::settle`] has to follow.
    #[inline(always)]
    pub(in crate::features) fn push_part<'a>(
        &'a mut self,
        values: &'a [f64],
        part: Range<usize>,
    ) -> (f64, &'a [f64]) {
        if let Some(first) = values.get(part.start) {
            self.grow(*first, part.len());
        }
        (self.anchor, self.recent.push_part(values, part))
    }

    /// [`Recent::settle`].
    #[inline(always)]
    pub(in crate::features) fn settle(&mut self, values: &[f64]) {
        self.recent.settle(values);
    }

    /// Adds a value; the anchor and the window, once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<(f64, &[f64])> {
        self.grow(value, 1);
        let window = self.recent.push(value)?;
        Some((self.anchor, window))
    }

    /// The next `count` values are measured from one anchor, perhaps the first of them.
    #[inline(always)]
    fn grow(&mut self, first: f64, count: usize) {
        if self.age.is_multiple_of(ROWS) {
            self.anchor = first;
            self.age = 0;
        }
        self.age += count;
    }

    #[inline(always)]
    pub(in crate::features) fn period(&self) -> usize {
        self.recent.period()
    }

    /// How many values are missing until a window is full.
    #[inline(always)]
    pub(in crate::features) fn missing(&self) -> usize {
        self.recent.missing()
    }
}

impl State for Anchored {
    fn save(&self, to: &mut StateWriter) {
        self.recent.save(to);
        self.anchor.save(to);
        self.age.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.recent.load(from)?;
        self.anchor.load(from)?;
        self.age.load(from)?;
        (self.age <= ROWS)
            .then_some(())
            .ok_or(StateError::Damaged("an anchor that is too old"))
    }
}
