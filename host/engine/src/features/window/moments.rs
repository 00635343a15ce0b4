//! Means, variances and covariances of a window.

use super::{ROWS, Ring};

/// Mean and population variance of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingMoments {
    window: Ring,
    of_count: f64,
    anchor: f64,
    sum: f64,
    sum_of_squares: f64,
    /// The newest value, and how often in a row it came.
    newest: f64,
    repeats: usize,
}

/// What [`RollingMoments`] gives.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Moments {
    pub(in crate::features) mean: f64,
    pub(in crate::features) standard_deviation: f64,
}

impl Moments {
    /// How many standard deviations `value` lies above the mean; 0 where nothing varies.
    pub(in crate::features) fn z_score(&self, value: f64) -> f64 {
        if self.standard_deviation > 0.0 {
            (value - self.mean) / self.standard_deviation
        } else if self.standard_deviation.is_nan() {
            f64::NAN
        } else {
            0.0
        }
    }
}

/// Below this share of the mean square, a variance is mostly rounding error.
const CANCELLATION: f64 = 1e-9;

impl RollingMoments {
    pub(in crate::features) fn new(period: usize) -> Self {
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
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<Moments> {
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
    /// there are none yet; the bits are those of [`RollingMoments::push`].
    pub(in crate::features) fn push_all(
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

/// Means, variances and the covariance of the last `period` pairs.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingPair {
    x: Ring,
    y: Ring,
    of_count: f64,
    anchor: [f64; 2],
    sum: [f64; 2],
    /// Sums of xx, yy and xy around the anchors.
    products: [f64; 3],
}

/// What [`RollingPair`] gives; population moments.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct PairMoments {
    pub(in crate::features) mean_x: f64,
    pub(in crate::features) mean_y: f64,
    pub(in crate::features) variance_x: f64,
    pub(in crate::features) variance_y: f64,
    pub(in crate::features) covariance: f64,
}

impl RollingPair {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            x: Ring::new(period),
            y: Ring::new(period),
            of_count: 1.0 / period as f64,
            anchor: [f64::NAN; 2],
            sum: [0.0; 2],
            products: [0.0; 3],
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, x: f64, y: f64) -> Option<PairMoments> {
        if self.anchor[0].is_nan() || self.anchor[1].is_nan() {
            self.anchor = [x, y];
        }
        let [anchor_x, anchor_y] = self.anchor;
        let (old_x, old_y) = (self.x.push(x), self.y.push(y));
        let old_x = old_x.map_or(0.0, |old| old - anchor_x);
        let old_y = old_y.map_or(0.0, |old| old - anchor_y);
        let (new_x, new_y) = (x - anchor_x, y - anchor_y);
        self.sum[0] += new_x - old_x;
        self.sum[1] += new_y - old_y;
        self.products[0] += new_x * new_x - old_x * old_x;
        self.products[1] += new_y * new_y - old_y * old_y;
        self.products[2] += new_x * new_y - old_x * old_y;
        if self.x.wrapped() {
            self.recompute();
        }
        self.x.is_full().then(|| self.moments())
    }

    #[inline(never)]
    fn recompute(&mut self) {
        let count = self.x.capacity as f64;
        let mean = |ring: &Ring| ring.sums_of(|value| [value])[0] / count;
        self.anchor = [mean(&self.x), mean(&self.y)];
        self.sum = [0.0; 2];
        self.products = [0.0; 3];
        let [anchor_x, anchor_y] = self.anchor;
        for (x, y) in self.x.iter().zip(self.y.iter()) {
            let (x, y) = (x - anchor_x, y - anchor_y);
            self.sum[0] += x;
            self.sum[1] += y;
            self.products[0] += x * x;
            self.products[1] += y * y;
            self.products[2] += x * y;
        }
    }

    #[inline]
    fn moments(&mut self) -> PairMoments {
        let found = self.of_sums();
        let of_count = self.of_count;
        let cancels = |variance: f64, squares: f64| {
            variance <= CANCELLATION * squares * of_count && squares > 0.0
        };
        let is_poor = cancels(found.variance_x, self.products[0])
            || cancels(found.variance_y, self.products[1]);
        if !is_poor {
            return found;
        }
        self.recompute();
        let mut found = self.of_sums();
        // What is left of a variable that does not vary is the rounding of its mean.
        if is_rounding(found.variance_x, found.mean_x) {
            found.variance_x = 0.0;
            found.covariance = 0.0;
        }
        if is_rounding(found.variance_y, found.mean_y) {
            found.variance_y = 0.0;
            found.covariance = 0.0;
        }
        found
    }

    fn of_sums(&self) -> PairMoments {
        let of_count = self.of_count;
        let [x, y] = self.sum.map(|sum| sum * of_count);
        let [xx, yy, xy] = self.products.map(|sum| sum * of_count);
        PairMoments {
            mean_x: self.anchor[0] + x,
            mean_y: self.anchor[1] + y,
            variance_x: (xx - x * x).max(0.0),
            variance_y: (yy - y * y).max(0.0),
            covariance: xy - x * y,
        }
    }
}

fn is_rounding(variance: f64, mean: f64) -> bool {
    variance <= (mean * 1e-14).powi(2)
}

impl PairMoments {
    /// Pearson's correlation; 0 where one of the two does not vary.
    pub(in crate::features) fn correlation(&self) -> f64 {
        let scale = (self.variance_x * self.variance_y).sqrt();
        if scale > 0.0 {
            (self.covariance / scale).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// Slope of the least-squares line of y over x; 0 where x does not vary.
    pub(in crate::features) fn slope(&self) -> f64 {
        if self.variance_x > 0.0 {
            self.covariance / self.variance_x
        } else {
            0.0
        }
    }
}

crate::state! {
    RollingMoments { window, anchor, sum, sum_of_squares, newest, repeats }
    RollingPair { x, y, anchor, sum, products }
}
