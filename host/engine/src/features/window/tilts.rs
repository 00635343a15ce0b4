//! What makes the lines through short windows: sums of values and of their products with their
//! places.
//!
//! A window is cut into runs as in [`fours`](super::fours), two of which make a pair. The runs and
//! the pairs that begin at each place of a column are found in one pass each; further passes join
//! them to windows, the oldest first. One window alone ([`tilt`]) does the same operations in the
//! same order.

use super::ROWS;
use super::fours::{AT_ONCE, RUN, spread, sum_of_run};
use super::recent::{SPAN, Span};

/// Sums of a part of a window: of its values, and of their products with their distances from the
/// part's middle, the newest value's being positive.
pub(super) type Tilted = [f64; 2];

/// Values of two runs in a row.
const PAIR: usize = 2 * RUN;

/// Both sums of a run.
#[inline(always)]
pub(super) fn tilted_run(values: [f64; RUN]) -> Tilted {
    let [a, b, c, d] = values;
    [sum_of_run(values), 1.5 * (d - a) + 0.5 * (c - b)]
}

/// Both sums of two runs in a row, whose middles lie a run apart.
#[inline(always)]
fn tilted_pair(older: Tilted, newer: Tilted) -> Tilted {
    let turn = 0.5 * RUN as f64 * (newer[0] - older[0]);
    [older[0] + newer[0], (older[1] + newer[1]) + turn]
}

/// Takes a part into a window, whose middle lies `from_middle` before that of the part.
#[inline(always)]
fn tilted(window: Tilted, part: Tilted, from_middle: f64) -> Tilted {
    let turn = from_middle * part[0] + part[1];
    [window[0] + part[0], window[1] + turn]
}

/// Distance of the middle of a part of `length` values at `place` from the window's middle.
#[inline(always)]
fn from_middle(period: usize, place: usize, length: usize) -> f64 {
    place as f64 + 0.5 * (length as f64 - period as f64)
}

/// Both sums of a window of `values`: of those that make up no run, of a run that makes up no pair,
/// and of pairs, the oldest first.
#[inline(always)]
pub(super) fn tilt(values: &[f64]) -> Tilted {
    let period = values.len();
    let (alone, runs) = values.split_at(period % RUN);
    let mut window = [0.0; 2];
    for (place, value) in alone.iter().enumerate() {
        window = tilted(window, [*value, 0.0], from_middle(period, place, 1));
    }
    let mut place = alone.len();
    let (one, pairs) = runs.as_chunks::<RUN>().0.split_at(period % PAIR / RUN);
    if let [run] = one {
        window = tilted(window, tilted_run(*run), from_middle(period, place, RUN));
        place += RUN;
    }
    for [older, newer] in pairs.as_chunks::<2>().0 {
        let pair = tilted_pair(tilted_run(*older), tilted_run(*newer));
        window = tilted(window, pair, from_middle(period, place, PAIR));
        place += PAIR;
    }
    window
}

/// Both sums of the runs and of the pairs that begin at each place of a column, and those of the
/// windows as far as they have been joined.
pub(super) struct Tilts {
    runs: [Span; 2],
    pairs: [Span; 2],
    windows: [[f64; ROWS]; 2],
}

impl Tilts {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self {
            runs: [[0.0; SPAN]; 2],
            pairs: [[0.0; SPAN]; 2],
            windows: [[0.0; ROWS]; 2],
        }
    }

    /// What `show` makes of the place, of [`tilt`] and of what is `beside` it, for the windows from
    /// each place of `values` on: as many as `shown` has room for. Without `SUMS` the sums of the
    /// values have no meaning.
    #[inline(always)]
    pub(super) fn windows<const SUMS: bool>(
        &mut self,
        period: usize,
        [values, beside]: [&[f64]; 2],
        shown: &mut [f64],
        show: impl Fn(usize, Tilted, f64) -> f64,
    ) {
        let count = shown.len();
        self.find(values);
        match (period % RUN, period % PAIR >= RUN) {
            (0, false) => {}
            (0, true) => self.begin::<0, true, SUMS>(period, values, count),
            (1, false) => self.begin::<1, false, SUMS>(period, values, count),
            (1, true) => self.begin::<1, true, SUMS>(period, values, count),
            (2, false) => self.begin::<2, false, SUMS>(period, values, count),
            (2, true) => self.begin::<2, true, SUMS>(period, values, count),
            (_, false) => self.begin::<3, false, SUMS>(period, values, count),
            (_, true) => self.begin::<3, true, SUMS>(period, values, count),
        }
        let mut place = period % PAIR;
        let last = match period.saturating_sub(place) {
            0 => period,
            paired => period - 1 - (paired - 1) % (AT_ONCE * PAIR),
        };
        while place < last {
            if place == 0 {
                self.join::<true, SUMS>(period, place, count);
            } else {
                self.join::<false, SUMS>(period, place, count);
            }
            place += AT_ONCE * PAIR;
        }
        let from = (period, place);
        match ((period - place) / PAIR, place == 0) {
            (0, _) => {
                let [sums, tilts] = self.windows.each_ref().map(|one| one[..count].iter());
                let windows = sums.zip(tilts).zip(beside.iter().zip(shown));
                for (place, ((sum, tilt), (beside, shown))) in windows.enumerate() {
                    *shown = show(place, [*sum, *tilt], *beside);
                }
            }
            (1, true) => self.finish::<1, true, SUMS>(from, beside, shown, show),
            (2, true) => self.finish::<2, true, SUMS>(from, beside, shown, show),
            (3, true) => self.finish::<3, true, SUMS>(from, beside, shown, show),
            (_, true) => self.finish::<4, true, SUMS>(from, beside, shown, show),
            (1, false) => self.finish::<1, false, SUMS>(from, beside, shown, show),
            (2, false) => self.finish::<2, false, SUMS>(from, beside, shown, show),
            (3, false) => self.finish::<3, false, SUMS>(from, beside, shown, show),
            (_, false) => self.finish::<4, false, SUMS>(from, beside, shown, show),
        }
    }

    #[inline(always)]
    fn find(&mut self, values: &[f64]) {
        let count = (values.len() + 1).saturating_sub(RUN);
        if count == 0 {
            return;
        }
        let [a, b, c, d] = spread(values, [0, 1, 2, 3], count);
        let [sums, tilts] = self.runs.each_mut().map(|one| &mut one[..count]);
        for place in 0..count {
            [sums[place], tilts[place]] = tilted_run([a[place], b[place], c[place], d[place]]);
        }
        let count = count.saturating_sub(RUN);
        if count == 0 {
            return;
        }
        let [older_sums, sums] = spread(sums, [0, RUN], count);
        let [older_tilts, tilts] = spread(tilts, [0, RUN], count);
        let [of_sums, of_tilts] = self.pairs.each_mut().map(|one| &mut one[..count]);
        for place in 0..count {
            let older = [older_sums[place], older_tilts[place]];
            [of_sums[place], of_tilts[place]] = tilted_pair(older, [sums[place], tilts[place]]);
        }
    }

    /// Begins `count` windows with `ALONE` values and, `WITH_RUN`, with a run.
    #[inline(always)]
    fn begin<const ALONE: usize, const WITH_RUN: bool, const SUMS: bool>(
        &mut self,
        period: usize,
        values: &[f64],
        count: usize,
    ) {
        let places: [usize; ALONE] = std::array::from_fn(|place| place);
        let values = spread(values, places, count);
        let middles = places.map(|place| from_middle(period, place, 1));
        let [of_sums, of_tilts] = self.runs.each_ref().map(|one| &one[ALONE..][..count]);
        let middle = from_middle(period, ALONE, RUN);
        let [sums, tilts] = self.windows.each_mut().map(|one| &mut one[..count]);
        for place in 0..count {
            let mut window = [0.0; 2];
            for alone in 0..ALONE {
                window = tilted(window, [values[alone][place], 0.0], middles[alone]);
            }
            if WITH_RUN {
                window = tilted(window, [of_sums[place], of_tilts[place]], middle);
            }
            if SUMS {
                sums[place] = window[0];
            }
            tilts[place] = window[1];
        }
    }

    /// Takes pairs from a place on into `count` windows, as many as a pass takes in at once.
    #[inline(always)]
    fn join<const FIRST: bool, const SUMS: bool>(
        &mut self,
        period: usize,
        begin: usize,
        count: usize,
    ) {
        let parts = Pairs::<AT_ONCE>::new(&self.pairs, (period, begin), count);
        let [sums, tilts] = self.windows.each_mut().map(|one| &mut one[..count]);
        for place in 0..count {
            let window = if FIRST {
                [0.0; 2]
            } else {
                [sums[place], tilts[place]]
            };
            let window = parts.join(window, place);
            if SUMS {
                sums[place] = window[0];
            }
            tilts[place] = window[1];
        }
    }

    /// Takes the last `N` pairs into each window and shows it.
    #[inline(always)]
    fn finish<const N: usize, const FIRST: bool, const SUMS: bool>(
        &self,
        from: (usize, usize),
        beside: &[f64],
        shown: &mut [f64],
        show: impl Fn(usize, Tilted, f64) -> f64,
    ) {
        let count = shown.len();
        let parts = Pairs::<N>::new(&self.pairs, from, count);
        let [sums, tilts] = self.windows.each_ref().map(|one| &one[..count]);
        let beside = &beside[..count];
        for place in 0..count {
            let window = match (FIRST, SUMS) {
                (true, _) => [0.0; 2],
                (false, true) => [sums[place], tilts[place]],
                (false, false) => [0.0, tilts[place]],
            };
            shown[place] = show(place, parts.join(window, place), beside[place]);
        }
    }
}

/// Columns of `N` pairs that follow one another.
struct Pairs<'a, const N: usize> {
    sums: [&'a [f64]; N],
    tilts: [&'a [f64]; N],
    /// Their distances from the middle of the window.
    middles: [f64; N],
}

impl<'a, const N: usize> Pairs<'a, N> {
    #[inline(always)]
    fn new([sums, tilts]: &'a [Span; 2], (period, begin): (usize, usize), count: usize) -> Self {
        let places: [usize; N] = std::array::from_fn(|pair| begin + pair * PAIR);
        Self {
            sums: spread(sums, places, count),
            tilts: spread(tilts, places, count),
            middles: places.map(|place| from_middle(period, place, PAIR)),
        }
    }

    #[inline(always)]
    fn join(&self, window: Tilted, place: usize) -> Tilted {
        let mut window = window;
        for pair in 0..N {
            let part = [self.sums[pair][place], self.tilts[pair][place]];
            window = tilted(window, part, self.middles[pair]);
        }
        window
    }
}
