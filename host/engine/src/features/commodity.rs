//! The commodity channel index; its kind is in [`momentum`](super::momentum).
//!
//! A price that stays close to its mean loses its digits where the mean is taken off. Therefore
//! everything here is a distance from a recent price, the sums of three prices that these come from
//! with what their rounding left out.

use super::parts::in_parts;
use super::window::{Anchored, ROWS, Recent};
use super::{Bars, Operator};
use crate::types::Bar;

/// Distance of the typical price from its mean in mean deviations. Three times the typical price
/// goes through the windows; the factor falls out.
#[derive(Debug, Clone)]
pub(super) struct Cci {
    /// Sums of high, low and close, and what their rounding left out.
    sums: Anchored,
    rests: Recent,
    /// Room for the distances of the windows of [`ROWS`] bars.
    distances: Vec<f64>,
}

impl Cci {
    pub(super) fn new(period: usize) -> Self {
        Self {
            sums: Anchored::new(period),
            rests: Recent::new(period),
            distances: vec![0.0; period + ROWS],
        }
    }
}

impl Operator for Cci {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [sum, rest] = exact_sum(bar.high, bar.low, bar.close);
        let rests = self.rests.push(rest);
        let (anchor, sums) = self.sums.push(sum)?;
        let window = distances_from(anchor, [sums, rests?], &mut self.distances);
        Some(index_of(anchor, window))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| all.push_all(bars, values),
        );
    }
}

impl Cci {
    /// At most [`ROWS`] bars.
    #[inline(always)]
    fn push_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let (mut sums, mut rests) = ([0.0; ROWS], [0.0; ROWS]);
        let (sums, rests) = (&mut sums[..bars.len()], &mut rests[..bars.len()]);
        let prices = bars.high().iter().zip(bars.low()).zip(bars.close());
        for ((sum, rest), ((high, low), close)) in sums.iter_mut().zip(&mut *rests).zip(prices) {
            [*sum, *rest] = exact_sum(*high, *low, *close);
        }
        let period = self.sums.period();
        let mut begin = 0;
        while begin < values.len() {
            let part = begin..begin + self.sums.run_length(values.len() - begin);
            let shown = &mut values[part.clone()];
            let (blank, shown) = shown.split_at_mut(self.sums.missing().min(part.len()));
            blank.fill(f64::NAN);
            begin = part.end;
            let held_rests = self.rests.push_part(rests, part.clone());
            let (anchor, held) = self.sums.push_part(sums, part);
            let held = distances_from(anchor, [held, held_rests], &mut self.distances);
            if !shown.is_empty() {
                indices(anchor, held, period, shown);
            }
        }
        self.sums.settle(sums);
        self.rests.settle(rests);
    }
}

/// The sum of three prices, and what its rounding left out (D. Knuth, The Art of Computer
/// Programming, volume 2, 4.2.2).
#[inline(always)]
fn exact_sum(high: f64, low: f64, close: f64) -> [f64; 2] {
    let [two, first] = exact_sum_of_two(high, low);
    let [sum, second] = exact_sum_of_two(two, close);
    [sum, first + second]
}

#[inline(always)]
fn exact_sum_of_two(a: f64, b: f64) -> [f64; 2] {
    let sum = a + b;
    let of_b = sum - a;
    let of_a = sum - of_b;
    [sum, (a - of_a) + (b - of_b)]
}

#[inline(always)]
fn distances_from<'a>(
    anchor: f64,
    [sums, rests]: [&[f64]; 2],
    distances: &'a mut [f64],
) -> &'a [f64] {
    let distances = &mut distances[..sums.len()];
    for (distance, (sum, rest)) in distances.iter_mut().zip(sums.iter().zip(rests)) {
        *distance = (sum - anchor) + rest;
    }
    distances
}

#[inline(always)]
fn show(anchor: f64, distance: f64, deviation: f64) -> f64 {
    let shown = distance / (0.015 * deviation);
    // Below this share of the price, mean and deviation are rounding errors of a flat window.
    let is_flat = deviation <= anchor * 1e-14;
    if is_flat { 0.0 } else { shown }
}

/// Parts of a sum that wait for one another.
const PARTS: usize = 4;

/// The index of a window of distances.
fn index_of(anchor: f64, window: &[f64]) -> f64 {
    let count = window.len() as f64;
    let newest = window.last().copied().unwrap_or(f64::NAN);
    let mean = in_parts_of_sum(window, |one| one) / count;
    let deviation = in_parts_of_sum(window, |one| (one - mean).abs()) / count;
    show(anchor, newest - mean, deviation)
}

/// The sum of what `of` makes of each value, in interleaved parts that a processor adds side by
/// side.
#[inline(always)]
fn in_parts_of_sum(window: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let mut parts = [0.0; PARTS];
    for (place, one) in window.iter().enumerate() {
        parts[place % PARTS] += of(*one);
    }
    let [a, b, c, d] = parts;
    (a + b) + (c + d)
}

/// Windows that are taken in side by side.
const SIDE: usize = 8;

/// [`index_of`] of the windows of `period` distances from each place of `held` on.
#[inline(always)]
fn indices(anchor: f64, held: &[f64], period: usize, shown: &mut [f64]) {
    let count = period as f64;
    let (eights, rest) = shown.as_chunks_mut::<SIDE>();
    let done = eights.len() * SIDE;
    for (eight, begin) in eights.iter_mut().zip((0..).step_by(SIDE)) {
        let windows = &held[begin..begin + period - 1 + SIDE];
        let sums = sums_side_by_side(windows, |one, _| one);
        let means = sums.map(|sum| sum / count);
        let deviations = sums_side_by_side(windows, |one, lane| (one - means[lane]).abs());
        let newest = &windows[period - 1..];
        for lane in 0..SIDE {
            eight[lane] = show(anchor, newest[lane] - means[lane], deviations[lane] / count);
        }
    }
    let windows = held[done..].windows(period);
    for (shown, window) in rest.iter_mut().zip(windows) {
        *shown = index_of(anchor, window);
    }
}

/// [`in_parts_of_sum`] of the windows from each of the first places on; `of` gets a value and the
/// place of its window.
#[inline(always)]
fn sums_side_by_side(windows: &[f64], of: impl Fn(f64, usize) -> f64) -> [f64; SIDE] {
    let mut parts = [[0.0; SIDE]; PARTS];
    let sides = windows
        .windows(SIDE)
        .filter_map(<[f64]>::first_chunk::<SIDE>);
    for (place, ones) in sides.enumerate() {
        let part = &mut parts[place % PARTS];
        for lane in 0..SIDE {
            part[lane] += of(ones[lane], lane);
        }
    }
    let [a, b, c, d] = parts;
    std::array::from_fn(|lane| (a[lane] + b[lane]) + (c[lane] + d[lane]))
}

crate::state! {
    Cci { sums, rests }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn a_sum_of_three_prices_leaves_nothing_out() {
        // What the additions round off is within the digits that a second number holds.
        let [sum, rest] = exact_sum(9_123.57, 9_123.561, 9_123.565_1);
        let (a, b, c) = (9_123.57_f64, 9_123.561_f64, 9_123.565_1_f64);
        let of_distances = ((a - 9_123.5) + (b - 9_123.5)) + (c - 9_123.5);
        let distance = (sum - 27_370.5) + rest;
        assert!(
            (distance - of_distances).abs() <= 1e-15 * distance.abs(),
            "{distance}"
        );
        assert!(rest.abs() > 0.0, "the example rounds");
    }

    #[test]
    fn a_small_move_far_above_zero_keeps_its_digits() {
        // The same moves, exact at both levels, of which a sum of three prices loses the last one.
        let step = 2.0_f64.powi(-26);
        let index = |level: f64| {
            let mut cci = Cci::new(20);
            let mut last = None;
            for place in 0..400 {
                let at = |by: i32| level + step * f64::from(101 * ((place * 7 + by) % 13));
                let [a, b, c] = [at(0), at(3), at(8)];
                last = cci.update(&Bar {
                    opened_at: Timestamp::from_nanos(i64::from(place)),
                    closed_at: Timestamp::from_nanos(i64::from(place) + 1),
                    open: c,
                    high: a.max(b).max(c),
                    low: a.min(b).min(c),
                    close: c,
                    volume: 1.0,
                    quote_volume: None,
                    trades: None,
                    taker_buy_volume: None,
                });
            }
            last.unwrap()
        };
        let (near, far) = (index(1.0), index(2.0_f64.powi(26)));
        assert!((near / far - 1.0).abs() < 1e-13, "{near} {far}");
    }
}
