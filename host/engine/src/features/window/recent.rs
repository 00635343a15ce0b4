//! The values of a short window, side by side in memory, so that many windows are taken from them
//! in one pass.

use std::ops::Range;

use super::ROWS;
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// Windows of at most so many values are kept like this.
pub(super) const LONGEST: usize = 64;

/// Room for the windows of [`ROWS`] values: those and the ones before that their windows reach.
pub(super) const SPAN: usize = ROWS + LONGEST;

/// A column of [`SPAN`] values.
pub(super) type Span = [f64; SPAN];

/// The last values, in order.
#[derive(Debug, Clone)]
pub(in crate::features) struct Recent {
    period: usize,
    slots: Vec<f64>,
    /// Values are in the slots before this one.
    end: usize,
}

impl Recent {
    /// For windows of `period` values.
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            period,
            slots: vec![0.0; period + ROWS],
            end: 0,
        }
    }

    /// The values that the windows of later ones reach, at most `period - 1`.
    pub(super) fn held(&self) -> &[f64] {
        &self.slots[self.end - self.end.min(self.period - 1)..self.end]
    }

    /// Adds a value; the window that it ends, once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<&[f64]> {
        self.make_room(1);
        if let Some(slot) = self.slots.get_mut(self.end) {
            *slot = value;
        }
        self.end += 1;
        let begin = self.end.checked_sub(self.period)?;
        self.slots.get(begin..self.end)
    }

    /// Adds at most [`ROWS`] values; they and those before that their windows reach, at most
    /// `period - 1`. The window of `period` values from place `i` on is the one of the `i`th value
    /// that has one.
    #[inline]
    pub(in crate::features) fn push_all(&mut self, values: &[f64]) -> &[f64] {
        self.make_room(values.len());
        let begin = self.end - self.end.min(self.period - 1);
        let end = self.end + values.len();
        self.slots[self.end..end].copy_from_slice(values);
        self.end = end;
        &self.slots[begin..end]
    }

    /// Adds a part of `values`, at most [`ROWS`], those before it having been added; gives what
    /// [`Recent::push_all`] gives. Parts whose windows reach no other values are read where they
    /// are: after the last part, [`Recent::settle`] has to follow.
    #[inline(always)]
    pub(in crate::features) fn push_part<'a>(
        &'a mut self,
        values: &'a [f64],
        part: Range<usize>,
    ) -> &'a [f64] {
        match part.start.checked_sub(self.period - 1) {
            Some(first) => &values[first..part.end],
            None => self.push_all(&values[part]),
        }
    }

    /// Ends with all of `values`, the parts of which have been added.
    #[inline(always)]
    pub(in crate::features) fn settle(&mut self, values: &[f64]) {
        if values.len() >= self.period - 1 {
            let kept = &values[values.len() - (self.period - 1)..];
            self.slots[..kept.len()].copy_from_slice(kept);
            self.end = kept.len();
        }
    }

    pub(in crate::features) fn period(&self) -> usize {
        self.period
    }

    /// How many values are missing until [`Recent::push`] gives something.
    #[inline]
    pub(in crate::features) fn missing(&self) -> usize {
        (self.period - 1).saturating_sub(self.end)
    }

    #[inline]
    fn make_room(&mut self, count: usize) {
        if self.end + count > self.slots.len() {
            self.move_to_front();
        }
    }

    #[inline(never)]
    fn move_to_front(&mut self) {
        let kept = self.end.min(self.period - 1);
        self.slots.copy_within(self.end - kept..self.end, 0);
        self.end = kept;
    }
}

impl State for Recent {
    fn save(&self, to: &mut StateWriter) {
        self.held().to_vec().save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut kept: Vec<f64> = Vec::new();
        kept.load(from)?;
        if kept.len() >= self.period {
            return Err(StateError::Damaged("a window of another length"));
        }
        self.slots[..kept.len()].copy_from_slice(&kept);
        self.end = kept.len();
        Ok(())
    }
}
