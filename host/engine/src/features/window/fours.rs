//! Sums and extremes of short windows, each of which depends on nothing outside it.
//!
//! A window is cut into runs of four values, after those that are left over. The runs that begin
//! at each place of a column are found in one pass; further passes join the runs to windows,
//! the oldest first. Nothing is carried along: rounding errors are those of a few
//! additions, and equal windows give equal bits wherever they stand.
//!
//! One window alone ([`sums`]) does the same operations in the same order.

use super::recent::Span;

/// Values of a run.
pub(super) const RUN: usize = 4;

/// Runs that a pass over a column takes in at once.
pub(super) const AT_ONCE: usize = 4;

/// What `of` makes of the runs that begin at each place of `values`.
#[inline(always)]
pub(super) fn runs<'a>(
    values: &[f64],
    span: &'a mut Span,
    of: impl Fn([f64; RUN]) -> f64,
) -> &'a [f64] {
    let count = (values.len() + 1).saturating_sub(RUN);
    let runs = &mut span[..count];
    let later = |by: usize| values.get(by..).unwrap_or(&[]).iter();
    let pairs = later(0).zip(later(1)).zip(later(2).zip(later(3)));
    for (run, ((a, b), (c, d))) in runs.iter_mut().zip(pairs) {
        *run = of([*a, *b, *c, *d]);
    }
    runs
}

/// The sum of a run.
#[inline(always)]
pub(super) fn sum_of_run([a, b, c, d]: [f64; RUN]) -> f64 {
    (a + b) + (c + d)
}

/// The extreme of a run.
#[inline(always)]
pub(super) fn extreme_of_run<const HIGHEST: bool>([a, b, c, d]: [f64; RUN]) -> f64 {
    let (older, newer) = (extreme::<HIGHEST>(a, b), extreme::<HIGHEST>(c, d));
    extreme::<HIGHEST>(older, newer)
}

/// The more extreme of two numbers.
#[inline(always)]
pub(super) fn extreme<const HIGHEST: bool>(older: f64, newer: f64) -> f64 {
    let takes_over = if HIGHEST {
        newer > older
    } else {
        newer < older
    };
    if takes_over { newer } else { older }
}

/// How the parts of a window are joined.
pub(super) trait Join: Copy {
    /// Whether a value may come twice: the first run may then reach over the next one in place of
    /// the values that are left over.
    const MAY_OVERLAP: bool;

    fn join(self, window: f64, part: f64) -> f64;

    /// What is shown of a window.
    fn finish(self, window: f64) -> f64;
}

/// Sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums;

impl Join for Sums {
    const MAY_OVERLAP: bool = false;

    #[inline(always)]
    fn join(self, window: f64, part: f64) -> f64 {
        window + part
    }

    #[inline(always)]
    fn finish(self, window: f64) -> f64 {
        window
    }
}

/// The highest or the lowest number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extremes<const HIGHEST: bool>;

impl<const HIGHEST: bool> Join for Extremes<HIGHEST> {
    const MAY_OVERLAP: bool = true;

    #[inline(always)]
    fn join(self, window: f64, part: f64) -> f64 {
        extreme::<HIGHEST>(window, part)
    }

    /// Zero has one sign: which of equal numbers is taken changes no bit.
    #[inline(always)]
    fn finish(self, window: f64) -> f64 {
        window + 0.0
    }
}

/// Sums of one window: of what `of` makes of each value.
#[inline(always)]
pub(super) fn sums<const N: usize>(window: &[f64], of: impl Fn(f64) -> [f64; N]) -> [f64; N] {
    let (alone, runs) = window.split_at(window.len() % RUN);
    // What changes no bit of the first number.
    let mut sums = [-0.0; N];
    for value in alone {
        for (sum, one) in sums.iter_mut().zip(of(*value)) {
            *sum += one;
        }
    }
    for run in runs.as_chunks::<RUN>().0 {
        let values = run.map(&of);
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum += sum_of_run(values.map(|value| value[n]));
        }
    }
    sums
}

/// Sums ([`sums`]) or extremes of the windows of `period` values from each place of `values` on, as
/// many as `windows` has room for.
#[inline(always)]
pub(super) fn join_all<J: Join>(
    with: J,
    period: usize,
    [values, runs]: [&[f64]; 2],
    windows: &mut [f64],
) {
    let count = windows.len();
    let left = period % RUN;
    let is_covered = J::MAY_OVERLAP && left > 0 && period > RUN;
    let mut place = left;
    let mut is_first = false;
    match (is_covered, left, period / RUN) {
        (true, _, 1) => take::<J, 2, true>(with, spread(runs, [0, left], count), windows),
        (true, _, 2) => {
            take::<J, 3, true>(with, spread(runs, [0, left, left + RUN], count), windows);
        }
        (true, ..) => {
            let places = [0, left, left + RUN, left + 2 * RUN];
            take::<J, 4, true>(with, spread(runs, places, count), windows);
        }
        (_, 1, _) => take::<J, 1, true>(with, spread(values, [0], count), windows),
        (_, 2, _) => take::<J, 2, true>(with, spread(values, [0, 1], count), windows),
        (_, 3, _) => take::<J, 3, true>(with, spread(values, [0, 1, 2], count), windows),
        _ => is_first = true,
    }
    if is_covered {
        place += RUN * (period / RUN).min(AT_ONCE - 1);
    }
    while place < period {
        let [a, b, c, d] = [0, 1, 2, 3].map(|run| place + run * RUN);
        match ((period - place) / RUN, is_first) {
            (1, true) => take::<J, 1, true>(with, spread(runs, [a], count), windows),
            (2, true) => take::<J, 2, true>(with, spread(runs, [a, b], count), windows),
            (3, true) => take::<J, 3, true>(with, spread(runs, [a, b, c], count), windows),
            (_, true) => take::<J, 4, true>(with, spread(runs, [a, b, c, d], count), windows),
            (1, false) => take::<J, 1, false>(with, spread(runs, [a], count), windows),
            (2, false) => take::<J, 2, false>(with, spread(runs, [a, b], count), windows),
            (3, false) => take::<J, 3, false>(with, spread(runs, [a, b, c], count), windows),
            (_, false) => take::<J, 4, false>(with, spread(runs, [a, b, c, d], count), windows),
        }
        is_first = false;
        place += AT_ONCE * RUN;
    }
}

/// Longest windows whose runs one pass joins.
pub(super) const AT_ONCE_LONGEST: usize = AT_ONCE * RUN;

/// What `show` makes of the highest and lowest numbers of windows and of what is beside them, in
/// one pass over the runs of both. Windows are not shorter than a run and not longer than
/// [`AT_ONCE_LONGEST`].
#[inline(always)]
pub(super) fn ranges(
    period: usize,
    runs: [&[f64]; 2],
    beside: &[f64],
    shown: &mut [f64],
    show: impl Fn([f64; 2], f64) -> f64,
) {
    match period.div_ceil(RUN) {
        0 | 1 => ranges_of::<1>(period, runs, beside, shown, show),
        2 => ranges_of::<2>(period, runs, beside, shown, show),
        3 => ranges_of::<3>(period, runs, beside, shown, show),
        _ => ranges_of::<AT_ONCE>(period, runs, beside, shown, show),
    }
}

#[inline(always)]
fn ranges_of<const N: usize>(
    period: usize,
    [highest, lowest]: [&[f64]; 2],
    beside: &[f64],
    shown: &mut [f64],
    show: impl Fn([f64; 2], f64) -> f64,
) {
    let (up, down) = (Extremes::<true>, Extremes::<false>);
    // The first run reaches over the second one.
    let place = |run: usize| (period + run * RUN).saturating_sub(N * RUN);
    let places: [usize; N] = std::array::from_fn(|run| if run == 0 { 0 } else { place(run) });
    let highest = spread(highest, places, shown.len());
    let lowest = spread(lowest, places, shown.len());
    for (place, (shown, beside)) in shown.iter_mut().zip(beside).enumerate() {
        let [mut high, mut low] = [highest[0][place], lowest[0][place]];
        for run in 1..N {
            high = up.join(high, highest[run][place]);
            low = down.join(low, lowest[run][place]);
        }
        *shown = show([up.finish(high), down.finish(low)], *beside);
    }
}

/// The parts of `count` windows that begin at `places` of the first one.
#[inline(always)]
pub(super) fn spread<const N: usize>(
    column: &[f64],
    places: [usize; N],
    count: usize,
) -> [&[f64]; N] {
    places.map(|place| &column[place..][..count])
}

/// Takes in `N` parts of each window.
#[inline(always)]
fn take<J: Join, const N: usize, const FIRST: bool>(
    with: J,
    parts: [&[f64]; N],
    windows: &mut [f64],
) {
    for (place, window) in windows.iter_mut().enumerate() {
        let mut parts = parts.iter().map(|part| part[place]);
        let first = if FIRST { parts.next() } else { Some(*window) };
        let first = first.unwrap_or(f64::NAN);
        let joined = parts.fold(first, |window, part| with.join(window, part));
        *window = with.finish(joined);
    }
}
