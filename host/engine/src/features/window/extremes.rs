//! Highest and lowest values of a window, and the deepest fall inside it.

use std::collections::VecDeque;

use super::Ring;
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// The highest (or lowest) of the last `period` values.
///
/// Values come in blocks of one window length (M. van Herk 1992; J. Gil, M. Werman 1993): the
/// window is the end of the last block, whose extremes from each place on were found when it was
/// complete, and the beginning of this one. There is no branch to mispredict, and the walk over a
/// complete block costs amortised constant time.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingExtreme {
    /// 1 for the highest, -1 for the lowest.
    sign: f64,
    /// Values of this block before `next`, and extremes of the last block from `next` on.
    slots: Vec<f64>,
    next: usize,
    of_block: f64,
    has_block: bool,
}

impl RollingExtreme {
    pub(in crate::features) fn highest(period: usize) -> Self {
        Self::new(period, 1.0)
    }

    pub(in crate::features) fn lowest(period: usize) -> Self {
        Self::new(period, -1.0)
    }

    fn new(period: usize, sign: f64) -> Self {
        Self {
            sign,
            slots: vec![f64::NEG_INFINITY; period],
            next: 0,
            of_block: f64::NEG_INFINITY,
            has_block: false,
        }
    }

    /// Adds a value; the extreme once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let value = value * self.sign;
        self.of_block = larger(self.of_block, value);
        self.slots[self.next] = value;
        self.next += 1;
        let Some(of_last) = self.slots.get(self.next).copied() else {
            return Some(self.complete_block());
        };
        let extreme = larger(of_last, self.of_block) * self.sign;
        self.has_block.then_some(extreme)
    }

    fn complete_block(&mut self) -> f64 {
        let extreme = self.of_block * self.sign;
        let mut later = f64::NEG_INFINITY;
        for slot in self.slots.iter_mut().rev() {
            later = larger(later, *slot);
            *slot = later;
        }
        self.next = 0;
        self.of_block = f64::NEG_INFINITY;
        self.has_block = true;
        extreme
    }
}

#[inline]
fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

impl State for RollingExtreme {
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

/// The highest (or lowest) of the last `period` values and its age, in a monotonic queue.
#[derive(Debug, Clone)]
pub(in crate::features) struct AgedExtreme {
    period: u64,
    seen: u64,
    /// 1 for the highest, -1 for the lowest.
    sign: f64,
    candidates: VecDeque<(u64, f64)>,
}

/// What [`AgedExtreme`] gives.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Extreme {
    #[cfg(test)]
    pub(in crate::features) value: f64,
    /// How many values ago it was seen, the latest one of equals; 0 is the newest value.
    pub(in crate::features) age: u64,
}

impl AgedExtreme {
    pub(in crate::features) fn highest(period: usize) -> Self {
        Self::new(period, 1.0)
    }

    pub(in crate::features) fn lowest(period: usize) -> Self {
        Self::new(period, -1.0)
    }

    fn new(period: usize, sign: f64) -> Self {
        Self {
            period: period as u64,
            seen: 0,
            sign,
            candidates: VecDeque::with_capacity(period + 1),
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<Extreme> {
        let value = value * self.sign;
        while self.candidates.back().is_some_and(|last| last.1 <= value) {
            self.candidates.pop_back();
        }
        self.candidates.push_back((self.seen, value));
        self.seen += 1;
        // Positions ascend, and one step passes at most one of them.
        let first_inside = self.seen.saturating_sub(self.period);
        if self
            .candidates
            .front()
            .is_some_and(|one| one.0 < first_inside)
        {
            self.candidates.pop_front();
        }
        let (position, best) = *self.candidates.front()?;
        (self.seen >= self.period).then(|| Extreme {
            #[cfg(test)]
            value: best * self.sign,
            age: self.seen - 1 - position,
        })
    }
}

impl State for AgedExtreme {
    fn save(&self, to: &mut StateWriter) {
        self.seen.save(to);
        self.candidates.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.seen.load(from)?;
        self.candidates.load(from)?;
        let inside = self.seen.saturating_sub(self.period)..self.seen;
        let places = || self.candidates.iter().map(|one| one.0);
        let is_sound = self.seen < u64::MAX
            && places().all(|place| inside.contains(&place))
            && places().zip(places().skip(1)).all(|(a, b)| a < b);
        is_sound
            .then_some(())
            .ok_or(StateError::Damaged("an extreme outside its window"))
    }
}

/// The deepest fall from a value to a later one among the last `period` values, as a share of the
/// former: two stacks of summaries, so that adding and forgetting cost amortised constant time.
#[derive(Debug, Clone)]
pub(in crate::features) struct MaxDrawdown {
    values: Ring,
    /// Summaries of the older values, each from its value up to the newest older one.
    older: Vec<Summary>,
    newer: Option<Summary>,
}

#[derive(Debug, Clone, Copy)]
struct Summary {
    highest: f64,
    lowest: f64,
    fall: f64,
}

impl Summary {
    fn of(value: f64) -> Self {
        Self {
            highest: value,
            lowest: value,
            fall: 0.0,
        }
    }

    fn then(self, later: Self) -> Self {
        let across = 1.0 - later.lowest / self.highest;
        Self {
            highest: self.highest.max(later.highest),
            lowest: self.lowest.min(later.lowest),
            fall: self.fall.max(later.fall).max(across),
        }
    }
}

impl MaxDrawdown {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            values: Ring::new(period),
            older: Vec::with_capacity(period),
            newer: None,
        }
    }

    /// Adds a value; the deepest fall once `period` values have been seen, at least 0.
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let replaced = self.values.push(value).is_some();
        if replaced && self.older.pop().is_none() {
            self.summarize();
            return self.newest();
        }
        let one = Summary::of(value);
        self.newer = Some(self.newer.map_or(one, |before| before.then(one)));
        self.newest()
    }

    /// Turns every value into an older one.
    fn summarize(&mut self) {
        self.older.clear();
        self.newer = None;
        for value in self.values.iter().rev() {
            let one = Summary::of(value);
            let after = self.older.last();
            self.older.push(after.map_or(one, |later| one.then(*later)));
        }
    }

    fn newest(&self) -> Option<f64> {
        if !self.values.is_full() {
            return None;
        }
        match (self.older.last(), self.newer) {
            (Some(older), Some(newer)) => Some(older.then(newer).fall),
            (Some(one), None) => Some(one.fall),
            (None, newer) => newer.map(|one| one.fall),
        }
    }
}

impl State for MaxDrawdown {
    fn save(&self, to: &mut StateWriter) {
        self.values.save(to);
    }

    /// Where the two stacks meet changes no bit: every comparison is exact.
    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.values.load(from)?;
        self.summarize();
        Ok(())
    }
}
