//! Highest and lowest values of a window, and the deepest fall inside it.

use std::ops::Range;

use super::blocks::{Blocks, Join};
use super::fours::{self, Extremes};
use super::recent::{LONGEST, Recent, SPAN, Span};
use super::{ROWS, Ring};
use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::features::wide::wide;

#[derive(Debug, Clone)]
struct Larger;

impl Join for Larger {
    const EMPTY: f64 = f64::NEG_INFINITY;

    #[inline]
    fn join(older: f64, newer: f64) -> f64 {
        if newer > older { newer } else { older }
    }
}

/// The highest (or lowest) of the last `period` numbers.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingExtreme {
    window: Window,
}

#[derive(Debug, Clone)]
enum Window {
    Highest(Short<true>),
    Lowest(Short<false>),
    LongHighest(Blocks<Larger>),
    /// The lowest is the highest of the negative numbers.
    LongLowest(Blocks<Larger>),
}

/// A short window. Many values go through runs of it, one value goes through blocks, which are made
/// from the window where they have been left behind. Both find the same number.
#[derive(Debug, Clone)]
struct Short<const HIGHEST: bool> {
    recent: Recent,
    blocks: Blocks<Larger>,
    are_blocks_behind: bool,
}

/// Turns the lowest into the highest number.
#[inline(always)]
fn turned<const HIGHEST: bool>(value: f64) -> f64 {
    if HIGHEST { value } else { -value }
}

impl<const HIGHEST: bool> Short<HIGHEST> {
    fn new(period: usize) -> Self {
        Self {
            recent: Recent::new(period),
            blocks: Blocks::new(period),
            are_blocks_behind: false,
        }
    }

    #[inline]
    fn push(&mut self, value: f64) -> Option<f64> {
        if self.are_blocks_behind {
            self.catch_up();
        }
        self.recent.push(value);
        let highest = self.blocks.push(turned::<HIGHEST>(value))?;
        Some(one_zero(turned::<HIGHEST>(highest)))
    }

    #[inline(never)]
    fn catch_up(&mut self) {
        self.are_blocks_behind = false;
        self.blocks.clear();
        for value in self.recent.held() {
            self.blocks.push(turned::<HIGHEST>(*value));
        }
    }

    /// The extremes after each of `values`.
    #[inline(always)]
    fn push_all(&mut self, values: &[f64], extremes: &mut [f64]) {
        let period = self.recent.period();
        let missing = self.recent.missing().min(values.len());
        extremes[..missing].fill(f64::NAN);
        let mut span = [0.0; SPAN];
        for part in parts(values.len()) {
            let shown = &mut extremes[part.start.max(missing)..part.end.max(missing)];
            let held = self.push_part(values, part, &mut span);
            if !shown.is_empty() {
                fours::join_all(Extremes::<HIGHEST>, period, held, shown);
            }
        }
        self.recent.settle(values);
    }

    /// Adds a part of `values`; what [`Recent::push_part`] gives, and the runs of it. After the
    /// last part, [`Recent::settle`] has to follow.
    #[inline(always)]
    fn push_part<'a>(
        &'a mut self,
        values: &'a [f64],
        part: Range<usize>,
        span: &'a mut Span,
    ) -> [&'a [f64]; 2] {
        self.are_blocks_behind = true;
        let held = self.recent.push_part(values, part);
        let runs = fours::runs(held, span, fours::extreme_of_run::<HIGHEST>);
        [held, runs]
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.are_blocks_behind = true;
        self.recent.load(from)
    }
}

/// Zero has one sign here: which of equal numbers is taken changes no bit.
#[inline(always)]
fn one_zero(value: f64) -> f64 {
    value + 0.0
}

impl RollingExtreme {
    pub(in crate::features) fn highest(period: usize) -> Self {
        Self::new(period, true)
    }

    pub(in crate::features) fn lowest(period: usize) -> Self {
        Self::new(period, false)
    }

    fn new(period: usize, is_highest: bool) -> Self {
        let window = match (period <= LONGEST, is_highest) {
            (true, true) => Window::Highest(Short::new(period)),
            (true, false) => Window::Lowest(Short::new(period)),
            (false, true) => Window::LongHighest(Blocks::new(period)),
            (false, false) => Window::LongLowest(Blocks::new(period)),
        };
        Self { window }
    }

    /// Adds a number; the extreme once `period` of them have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        match &mut self.window {
            Window::Highest(short) => short.push(value),
            Window::Lowest(short) => short.push(value),
            Window::LongHighest(blocks) => blocks.push(value),
            Window::LongLowest(blocks) => Some(-blocks.push(-value)?),
        }
    }

    /// How many numbers are missing until there is an extreme.
    pub(in crate::features) fn missing(&self) -> usize {
        match &self.window {
            Window::Highest(short) => short.recent.missing(),
            Window::Lowest(short) => short.recent.missing(),
            Window::LongHighest(blocks) | Window::LongLowest(blocks) => blocks.missing(),
        }
    }

    /// The extremes after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], extremes: &mut [f64]) {
        wide(
            #[inline(always)]
            || match &mut self.window {
                Window::Highest(short) => short.push_all(values, extremes),
                Window::Lowest(short) => short.push_all(values, extremes),
                Window::LongHighest(blocks) => blocks.push_all(values, extremes),
                Window::LongLowest(blocks) => {
                    let parts = values.chunks(ROWS).zip(extremes.chunks_mut(ROWS));
                    for (values, extremes) in parts {
                        push_turned(blocks, values, extremes);
                    }
                }
            },
        );
    }
}

/// The places of `count` values in parts of at most [`ROWS`].
#[inline(always)]
fn parts(count: usize) -> impl Iterator<Item = Range<usize>> {
    let begins = (0..count).step_by(ROWS);
    begins.map(move |begin| begin..(begin + ROWS).min(count))
}

/// What `show` makes of the highest of some numbers, of the lowest of others, and of what is beside
/// them, after each of `values`; how many at the start have neither, which is NaN.
pub(in crate::features) fn push_ranges(
    [highest, lowest]: [&mut RollingExtreme; 2],
    [highs, lows, beside]: [&[f64]; 3],
    shown: &mut [f64],
    show: impl Fn([f64; 2], f64) -> f64,
) -> usize {
    let missing = highest.missing().max(lowest.missing()).min(shown.len());
    wide(
        #[inline(always)]
        || match (&mut highest.window, &mut lowest.window) {
            (Window::Highest(up), Window::Lowest(down)) if up.goes_with(down) => {
                let columns = [highs, lows, beside];
                push_both((up, down), columns, (shown, missing), show);
            }
            _ => {
                let mut bottom = [0.0; ROWS];
                for part in parts(shown.len()) {
                    let bottom = &mut bottom[..part.len()];
                    let (shown, beside) = (&mut shown[part.clone()], &beside[part.clone()]);
                    highest.push_all(&highs[part.clone()], shown);
                    lowest.push_all(&lows[part], bottom);
                    for ((shown, low), beside) in shown.iter_mut().zip(bottom).zip(beside) {
                        *shown = show([*shown, *low], *beside);
                    }
                }
            }
        },
    );
    shown[..missing].fill(f64::NAN);
    missing
}

/// [`push_ranges`] of short windows, the runs of which are joined and shown in one pass.
#[inline(always)]
fn push_both(
    (up, down): (&mut Short<true>, &mut Short<false>),
    [highs, lows, beside]: [&[f64]; 3],
    (shown, missing): (&mut [f64], usize),
    show: impl Fn([f64; 2], f64) -> f64,
) {
    let period = up.recent.period();
    let (mut of_highs, mut of_lows) = ([0.0; SPAN], [0.0; SPAN]);
    for part in parts(shown.len()) {
        let full = part.start.max(missing)..part.end.max(missing);
        let [_, of_highs] = up.push_part(highs, part.clone(), &mut of_highs);
        let [_, of_lows] = down.push_part(lows, part, &mut of_lows);
        let (shown, beside) = (&mut shown[full.clone()], &beside[full]);
        if !shown.is_empty() {
            fours::ranges(period, [of_highs, of_lows], beside, shown, &show);
        }
    }
    up.recent.settle(highs);
    down.recent.settle(lows);
}

impl Short<true> {
    /// Whether one pass over the runs of both windows shows them.
    fn goes_with(&self, lowest: &Short<false>) -> bool {
        let (up, down) = (&self.recent, &lowest.recent);
        (fours::RUN..=fours::AT_ONCE_LONGEST).contains(&up.period())
            && up.period() == down.period()
            && up.missing() == down.missing()
    }
}

/// Lowest numbers of long windows, at most [`ROWS`].
fn push_turned(blocks: &mut Blocks<Larger>, values: &[f64], extremes: &mut [f64]) {
    let missing = blocks.missing().min(values.len());
    let mut turned = [0.0; ROWS];
    let turned = &mut turned[..values.len()];
    for (turned, value) in turned.iter_mut().zip(values) {
        *turned = -value;
    }
    blocks.push_all(turned, extremes);
    for extreme in &mut *extremes {
        *extreme = -*extreme;
    }
    // Turning a missing value would change its bits.
    extremes[..missing].fill(f64::NAN);
}

impl State for RollingExtreme {
    fn save(&self, to: &mut StateWriter) {
        match &self.window {
            Window::Highest(short) => short.recent.save(to),
            Window::Lowest(short) => short.recent.save(to),
            Window::LongHighest(blocks) | Window::LongLowest(blocks) => blocks.save(to),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match &mut self.window {
            Window::Highest(short) => short.load(from),
            Window::Lowest(short) => short.load(from),
            Window::LongHighest(blocks) | Window::LongLowest(blocks) => blocks.load(from),
        }
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
