//! Means, variances and covariances of a window.

use std::ops::Range;

use super::anchored::Anchored;
use super::fours::{self, Sums};
use super::long_moments::{CANCELLATION, LongMoments};
use super::recent::{LONGEST, SPAN};
use super::{ROWS, Ring};
use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::features::wide::wide;

/// Mean and population variance of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingMoments(Window);

#[derive(Debug, Clone)]
enum Window {
    Short(ShortMoments),
    Long(LongMoments),
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
        let score = (value - self.mean) / self.standard_deviation;
        let is_flat = self.standard_deviation <= 0.0;
        if is_flat { 0.0 } else { score }
    }
}

impl RollingMoments {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self(if period <= LONGEST {
            Window::Short(ShortMoments::new(period))
        } else {
            Window::Long(LongMoments::new(period))
        })
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<Moments> {
        match &mut self.0 {
            Window::Short(moments) => moments.push(value),
            Window::Long(moments) => moments.push(value),
        }
    }

    /// What `show` makes of the moments after each of `values` and of the value itself, NaN where
    /// there are none yet; the bits are those of [`RollingMoments::push`].
    pub(in crate::features) fn push_all(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(Moments, f64) -> f64,
    ) {
        wide(
            #[inline(always)]
            || match &mut self.0 {
                Window::Short(moments) => moments.push_all(values, shown, show),
                Window::Long(moments) => moments.push_all(values, shown, show),
            },
        );
    }

    /// Means and deviations after each of `values`, NaN where there are none yet.
    pub(in crate::features) fn push_both(
        &mut self,
        values: &[f64],
        means: &mut [f64],
        deviations: &mut [f64],
    ) {
        let mut once_more = self.clone();
        once_more.push_all(values, means, |moments, _| moments.mean);
        self.push_all(values, deviations, |moments, _| moments.standard_deviation);
    }
}

impl State for RollingMoments {
    fn save(&self, to: &mut StateWriter) {
        match &self.0 {
            Window::Short(moments) => moments.save(to),
            Window::Long(moments) => moments.save(to),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match &mut self.0 {
            Window::Short(moments) => moments.load(from),
            Window::Long(moments) => moments.load(from),
        }
    }
}

/// Moments of a short window: sums of its distances, and of their squares, from a recent value.
#[derive(Debug, Clone)]
struct ShortMoments {
    values: Anchored,
    of_count: f64,
}

/// Below this share of the mean square, a variance has lost too many digits.
const LOSS: f64 = 1e-5;

impl ShortMoments {
    fn new(period: usize) -> Self {
        Self {
            values: Anchored::new(period),
            of_count: 1.0 / period as f64,
        }
    }

    #[inline]
    fn push(&mut self, value: f64) -> Option<Moments> {
        let of_count = self.of_count;
        let (anchor, window) = self.values.push(value)?;
        let [sum, squares] = fours::sums(window, |value| {
            let distance = value - anchor;
            [distance, distance * distance]
        });
        let variance = variance_of(sum, squares, of_count);
        if is_lost(variance, squares, of_count) {
            return Some(exact(window));
        }
        Some(Moments::of(anchor + sum * of_count, variance))
    }

    #[inline(always)]
    fn push_all(&mut self, values: &[f64], shown: &mut [f64], show: impl Fn(Moments, f64) -> f64) {
        let mut begin = 0;
        while begin < values.len() {
            let end = begin + self.values.run_length(values.len() - begin);
            self.push_part(values, begin..end, &mut shown[begin..end], &show);
            begin = end;
        }
        self.values.settle(values);
    }

    /// A part of `values` that is measured from one anchor.
    #[inline(always)]
    fn push_part(
        &mut self,
        values: &[f64],
        part: Range<usize>,
        shown: &mut [f64],
        show: impl Fn(Moments, f64) -> f64,
    ) {
        let (period, of_count) = (self.values.period(), self.of_count);
        let missing = self.values.missing().min(part.len());
        let first = part.start + missing..part.end;
        let (anchor, held) = self.values.push_part(values, part);
        let (blank, shown) = shown.split_at_mut(missing);
        blank.fill(f64::NAN);
        if shown.is_empty() {
            return;
        }
        let values = &values[first];
        let (mut distances, mut runs) = ([0.0; SPAN], [0.0; SPAN]);
        let distances = &mut distances[..held.len()];
        for (distance, value) in distances.iter_mut().zip(held) {
            *distance = value - anchor;
        }
        let (mut sums, mut squares) = ([0.0; ROWS], [0.0; ROWS]);
        let (sums, squares) = (&mut sums[..values.len()], &mut squares[..values.len()]);
        let of_runs = fours::runs(distances, &mut runs, fours::sum_of_run);
        fours::join_all(Sums, period, [distances, of_runs], sums);
        distances.iter_mut().for_each(|one| *one *= *one);
        let of_runs = fours::runs(distances, &mut runs, fours::sum_of_run);
        fours::join_all(Sums, period, [distances, of_runs], squares);
        let mut lost = 0_u64;
        let of_all = sums
            .iter()
            .zip(&*squares)
            .zip(values.iter().zip(&mut *shown));
        for ((sum, squares), (value, shown)) in of_all {
            let variance = variance_of(*sum, *squares, of_count);
            lost += u64::from(is_lost(variance, *squares, of_count));
            let moments = Moments::of(anchor + sum * of_count, variance);
            *shown = show(moments, *value);
        }
        if lost > 0 {
            let windows = held.windows(period).zip(sums.iter().zip(squares));
            for ((window, (sum, squares)), (value, shown)) in windows.zip(values.iter().zip(shown))
            {
                let variance = variance_of(*sum, *squares, of_count);
                if is_lost(variance, *squares, of_count) {
                    *shown = show(exact(window), *value);
                }
            }
        }
    }
}

impl Moments {
    #[inline(always)]
    fn of(mean: f64, variance: f64) -> Self {
        let standard_deviation = if variance < 0.0 { 0.0 } else { variance }.sqrt();
        Self {
            mean,
            standard_deviation,
        }
    }
}

#[inline(always)]
fn variance_of(sum: f64, squares: f64, of_count: f64) -> f64 {
    (squares - sum * sum * of_count) * of_count
}

/// Whether a variance is mostly rounding error. Where every distance is zero it is not.
#[inline(always)]
fn is_lost(variance: f64, squares: f64, of_count: f64) -> bool {
    (variance <= LOSS * squares * of_count) & (squares > 0.0)
}

/// Moments of one window, from its distances from the mean. Those from its newest value are exact
/// where values are close, and zero where they are equal.
#[inline(never)]
fn exact(window: &[f64]) -> Moments {
    let of_count = 1.0 / window.len() as f64;
    let anchor = window.last().copied().unwrap_or(f64::NAN);
    let mut distances = [0.0; LONGEST];
    let distances = &mut distances[..window.len()];
    for (distance, value) in distances.iter_mut().zip(window) {
        *distance = value - anchor;
    }
    let mean = distances.iter().sum::<f64>() * of_count;
    for distance in &mut *distances {
        *distance = (*distance - mean) * (*distance - mean);
    }
    Moments::of(anchor + mean, distances.iter().sum::<f64>() * of_count)
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

impl State for ShortMoments {
    fn save(&self, to: &mut StateWriter) {
        self.values.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.values.load(from)
    }
}

crate::state! {
    RollingPair { x, y, anchor, sum, products }
}
