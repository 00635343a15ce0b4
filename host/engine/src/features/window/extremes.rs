//! Highest and lowest values of a window, and the deepest fall inside it.

use super::blocks::{Blocks, Join};
use super::{ROWS, Ring};
use crate::features::state::{State, StateError, StateReader, StateWriter};

#[derive(Debug, Clone)]
struct Larger;

impl Join for Larger {
    const EMPTY: f64 = f64::NEG_INFINITY;

    #[inline]
    fn join(older: f64, newer: f64) -> f64 {
        if newer > older { newer } else { older }
    }
}

/// The highest (or lowest) of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingExtreme {
    /// 1 for the highest, -1 for the lowest.
    sign: f64,
    values: Blocks<Larger>,
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
            values: Blocks::new(period),
        }
    }

    /// Adds a value; the extreme once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        Some(self.values.push(value * self.sign)? * self.sign)
    }

    /// How many values are missing until there is an extreme.
    pub(in crate::features) fn missing(&self) -> usize {
        self.values.missing()
    }

    /// The extremes after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], extremes: &mut [f64]) {
        if self.sign > 0.0 {
            self.values.push_all(values, extremes);
            return;
        }
        let missing = self.values.missing().min(values.len());
        let found = &mut *extremes;
        let mut turned = [0.0; ROWS];
        for (values, found) in values.chunks(ROWS).zip(found.chunks_mut(ROWS)) {
            let turned = &mut turned[..values.len()];
            for (turned, value) in turned.iter_mut().zip(values) {
                *turned = -value;
            }
            self.values.push_all(turned, found);
            for extreme in found {
                *extreme = -*extreme;
            }
        }
        // Turning a missing value would change its bits.
        extremes[..missing].fill(f64::NAN);
    }
}

/// How long ago the highest (or lowest) of the last `period` values was, in blocks as [`Blocks`]
/// has them.
#[derive(Debug, Clone)]
pub(in crate::features) struct AgedExtreme {
    /// 1 for the highest, -1 for the lowest.
    sign: f64,
    /// Values of this block before `next`, and extremes of the last block from `next` on.
    slots: Vec<f64>,
    /// The place of each extreme of the last block.
    places: Vec<u32>,
    next: usize,
    /// The extreme of this block and its place.
    of_block: f64,
    place: usize,
    has_block: bool,
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
            sign,
            slots: vec![f64::NEG_INFINITY; period],
            places: vec![0; period],
            next: 0,
            of_block: f64::NEG_INFINITY,
            place: 0,
            has_block: false,
        }
    }

    /// Adds a value; how many values ago the extreme was, the latest one of equals, once `period`
    /// values have been seen. 0 is the newest value.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let value = value * self.sign;
        if value >= self.of_block {
            self.of_block = value;
            self.place = self.next;
        }
        if let Some(slot) = self.slots.get_mut(self.next) {
            *slot = value;
        }
        let newest = self.next;
        self.next += 1;
        let last = self.slots.get(self.next).zip(self.places.get(self.next));
        let Some((of_last, place)) = last else {
            let age = newest.saturating_sub(self.place);
            self.complete_block();
            return Some(age as f64);
        };
        let age = if self.of_block >= *of_last {
            newest.saturating_sub(self.place)
        } else {
            (self.slots.len() + newest).saturating_sub(*place as usize)
        };
        self.has_block.then_some(age as f64)
    }

    #[inline(never)]
    fn complete_block(&mut self) {
        let (mut later, mut place) = (f64::NEG_INFINITY, 0);
        let slots = self.slots.iter_mut().zip(&mut self.places).enumerate();
        for (position, (slot, found)) in slots.rev() {
            if *slot > later {
                later = *slot;
                place = position as u32;
            }
            *slot = later;
            *found = place;
        }
        self.next = 0;
        self.of_block = f64::NEG_INFINITY;
        self.place = 0;
        self.has_block = true;
    }
}

impl State for AgedExtreme {
    fn save(&self, to: &mut StateWriter) {
        self.slots.save(to);
        self.places.save(to);
        self.next.save(to);
        self.of_block.save(to);
        self.place.save(to);
        self.has_block.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let period = self.slots.len();
        self.slots.load(from)?;
        self.places.load(from)?;
        self.next.load(from)?;
        self.of_block.load(from)?;
        self.place.load(from)?;
        self.has_block.load(from)?;
        let lengths = [self.slots.len(), self.places.len()];
        (lengths == [period; 2] && self.next < period && self.place < period)
            .then_some(())
            .ok_or(StateError::Damaged("a window of another length"))
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

crate::state! {
    RollingExtreme { values }
}
