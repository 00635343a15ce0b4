//! Mean and variance of a long window, from sums that are carried along and renewed once per
//! window length.

use super::moments::Moments;
use super::{ROWS, Ring};

/// Mean and population variance of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct LongMoments {
    window: Ring,
    of_count: f64,
    anchor: f64,
    sum: f64,
    sum_of_squares: f64,
    /// The newest value, and how often in a row it came.
    newest: f64,
    repeats: usize,
}

/// Below this share of the mean square, a variance may have lost too many digits: to a level far
/// from the anchor, or to a value that was far larger than those left when it went.
pub(super) const CANCELLATION: f64 = 1e-3;

impl LongMoments {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            of_count: 1.0 / period as f64,
            anchor: f64::NAN,
            sum: 0.0,
            sum_of_squares: 0.0,
            newest: f64::NAN,
            repeats: 0,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, value: f64) -> Option<Moments> {
        if self.anchor.is_nan() {
            self.anchor = value;
        }
        self.repeats = if value.to_bits() == self.newest.to_bits() {
            self.repeats.saturating_add(1)
        } else {
            1
        };
        self.newest = value;
        let old = self.window.push(value).map_or(0.0, |old| old - self.anchor);
        let new = value - self.anchor;
        self.sum += new - old;
        self.sum_of_squares += new * new - old * old;
        if self.repeats >= self.window.capacity {
            self.anchor = value;
            self.sum = 0.0;
            self.sum_of_squares = 0.0;
        } else if self.window.wrapped() {
            self.recompute_around_mean();
        }
        self.window.is_full().then(|| self.moments())
    }

    /// What `show` makes of the moments after each of `values` and of the value itself, NaN where
    /// there are none yet; the bits are those of [`LongMoments::push`].
    pub(super) fn push_all(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(Moments, f64) -> f64,
    ) {
        let (mut values, mut shown) = (values, shown);
        while !values.is_empty() {
            // The value that ends a walk through the window has the sums renewed.
            let run = (self.window.run_length(values.len() + 1) - 1).min(ROWS);
            let is_run = run > 1 && self.push_run(&values[..run], &mut shown[..run], &show);
            let taken = if is_run { run } else { run.max(1) };
            if !is_run {
                for (value, shown) in values[..taken].iter().zip(&mut *shown) {
                    let moments = self.push(*value);
                    *shown = moments.map_or(f64::NAN, |moments| show(moments, *value));
                }
            }
            (values, shown) = (&values[taken..], &mut shown[taken..]);
        }
    }

    /// Values between two renewals of the sums. Nothing happens, and the answer is no, where one
    /// of them needs more than carried sums.
    #[inline]
    fn push_run(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(Moments, f64) -> f64,
    ) -> bool {
        let begin = self.window.next;
        let slots = begin..begin + values.len();
        let Some(old) = self.window.values.get(slots.clone()) else {
            return false;
        };
        let is_newest = |value: &&f64| value.to_bits() == self.newest.to_bits();
        let same = values.iter().take_while(is_newest).count();
        if same > 0 && self.repeats.saturating_add(same) >= self.window.capacity {
            return false;
        }
        let (anchor, of_count) = (self.anchor, self.of_count);
        let (mut sums, mut squares) = ([0.0; ROWS], [0.0; ROWS]);
        let (mut sum, mut sum_of_squares) = (self.sum, self.sum_of_squares);
        let carried = sums.iter_mut().zip(&mut squares);
        for ((value, old), (of_sum, of_squares)) in values.iter().zip(old).zip(carried) {
            let (new, old) = (value - anchor, old - anchor);
            sum += new - old;
            sum_of_squares += new * new - old * old;
            *of_sum = sum;
            *of_squares = sum_of_squares;
        }
        let variance_of = |sum: f64, squares: f64| (squares - sum * sum * of_count) * of_count;
        let (sums, squares) = (&sums[..values.len()], &mut squares[..values.len()]);
        let mut is_poor = false;
        for (sum, squares) in sums.iter().zip(&mut *squares) {
            let variance = variance_of(*sum, *squares);
            is_poor |= variance <= CANCELLATION * *squares * of_count;
            *squares = variance;
        }
        if is_poor {
            return false;
        }
        for ((sum, variance), (value, shown)) in
            sums.iter().zip(squares).zip(values.iter().zip(shown))
        {
            let moments = Moments {
                mean: anchor + sum * of_count,
                standard_deviation: if *variance < 0.0 {
                    0.0
                } else {
                    variance.sqrt()
                },
            };
            *shown = show(moments, *value);
        }
        self.window.values[slots.clone()].copy_from_slice(values);
        self.window.next = slots.end;
        self.sum = sum;
        self.sum_of_squares = sum_of_squares;
        self.count_repeats(values, same);
        true
    }

    /// Notes the newest of `values`, the first `same` of which repeat the newest one before.
    fn count_repeats(&mut self, values: &[f64], same: usize) {
        let Some(newest) = values.last() else { return };
        let is_newest = |value: &&f64| value.to_bits() == newest.to_bits();
        self.repeats = if same == values.len() {
            self.repeats.saturating_add(same)
        } else {
            values.iter().rev().take_while(is_newest).count()
        };
        self.newest = *newest;
    }

    #[inline(never)]
    fn recompute_around_mean(&mut self) {
        let [sum] = self.window.sums_of(|value| [value]);
        self.recompute_around(sum / self.window.capacity as f64);
    }

    #[inline(never)]
    fn recompute_around(&mut self, anchor: f64) {
        self.anchor = anchor;
        [self.sum, self.sum_of_squares] = self.window.sums_of(|value| {
            let distance = value - anchor;
            [distance, distance * distance]
        });
    }

    #[inline]
    fn moments(&mut self) -> Moments {
        let of_count = self.of_count;
        let variance_of = |sum: f64, squares: f64| (squares - sum * sum * of_count) * of_count;
        let mut variance = variance_of(self.sum, self.sum_of_squares);
        let is_flat = self.repeats >= self.window.capacity;
        if variance <= CANCELLATION * self.sum_of_squares * of_count && !is_flat {
            // A window that has become almost flat: deviations from one of its own values are
            // exact.
            self.recompute_around(self.newest);
            variance = variance_of(self.sum, self.sum_of_squares);
        }
        Moments {
            mean: self.anchor + self.sum * of_count,
            standard_deviation: if variance < 0.0 { 0.0 } else { variance.sqrt() },
        }
    }
}

crate::state! {
    LongMoments { window, anchor, sum, sum_of_squares, newest, repeats }
}
