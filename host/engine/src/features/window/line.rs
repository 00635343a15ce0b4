//! Least-squares lines and linearly weighted means of a window.

use super::{ROWS, Ring};

/// Least-squares line through the last `period` values against their position.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingLine {
    window: Ring,
    scales: Scales,
    anchor: f64,
    sum: f64,
    /// Sum of position times value, the oldest value at position 0.
    weighted: f64,
}

/// What depends on the length of the window alone.
#[derive(Debug, Clone, Copy)]
struct Scales {
    count: f64,
    of_count: f64,
    /// Sum of the positions.
    positions: f64,
    /// `count` squared times the variance of the positions.
    position_variance: f64,
    /// Inverse of it; 0 for one value alone, whose line has no slope.
    of_position_variance: f64,
    /// Inverse of the sum of the weights 1, 2, ...
    of_weights: f64,
}

impl Scales {
    fn new(period: usize) -> Self {
        let count = period as f64;
        let positions = count * (count - 1.0) / 2.0;
        let squares = count * (count - 1.0) * (2.0 * count - 1.0) / 6.0;
        let position_variance = count * squares - positions * positions;
        let has_slope = position_variance > 0.0;
        Self {
            count,
            of_count: 1.0 / count,
            positions,
            position_variance,
            of_position_variance: if has_slope {
                1.0 / position_variance
            } else {
                0.0
            },
            of_weights: 2.0 / (count * (count + 1.0)),
        }
    }
}

impl Scales {
    #[inline]
    fn line(&self, anchor: f64, sum: f64, weighted: f64) -> Line {
        let covariance = self.count * weighted - self.positions * sum;
        let slope = covariance * self.of_position_variance;
        Line {
            slope,
            end: anchor + sum * self.of_count + slope * (self.count - 1.0) / 2.0,
            weighted_mean: anchor + (weighted + sum) * self.of_weights,
            covariance,
            position_variance: self.position_variance,
        }
    }
}

/// What [`RollingLine`] gives.
#[derive(Debug, Clone, Copy)]
pub(in crate::features) struct Line {
    /// Rise per value.
    pub(in crate::features) slope: f64,
    /// Height at the newest value.
    pub(in crate::features) end: f64,
    /// Mean with weights 1, 2, ... from the oldest to the newest value.
    pub(in crate::features) weighted_mean: f64,
    /// Covariance sums of position and value, for the coefficient of determination.
    covariance: f64,
    position_variance: f64,
}

impl RollingLine {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            scales: Scales::new(period),
            anchor: 0.0,
            sum: 0.0,
            weighted: 0.0,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<Line> {
        let count = self.scales.count;
        if let Some(removed) = self.window.push(value) {
            let (new, old) = (value - self.anchor, removed - self.anchor);
            self.weighted += (count - 1.0) * new + old - self.sum;
            self.sum += new - old;
        }
        if self.window.wrapped() {
            self.recompute();
        }
        self.window.is_full().then(|| self.line())
    }

    /// How many values are missing until there is a line.
    pub(in crate::features) fn missing(&self) -> usize {
        let missing = self.window.capacity - self.window.values.len();
        missing.saturating_sub(1)
    }

    /// What `show` makes of the place in `values` and of the line after it, NaN where there is none
    /// yet; the bits are those of [`RollingLine::push`].
    pub(in crate::features) fn push_all(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(usize, Line) -> f64,
    ) {
        let mut begin = 0;
        while begin < values.len() {
            // The value that ends a walk through the window has the sums renewed.
            let run = (self.window.run_length(values.len() - begin + 1) - 1).min(ROWS);
            let end = begin + run.max(1);
            let (values, shown) = (&values[begin..end], &mut shown[begin..end]);
            let show = |place, line| show(begin + place, line);
            if run < 2 || !self.push_run(values, shown, show) {
                for (place, (value, shown)) in values.iter().zip(shown).enumerate() {
                    let line = self.push(*value);
                    *shown = line.map_or(f64::NAN, |line| show(place, line));
                }
            }
            begin = end;
        }
    }

    /// Values between two renewals of the sums; nothing happens, and the answer is no, before the
    /// window is full.
    #[inline]
    fn push_run(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(usize, Line) -> f64,
    ) -> bool {
        let begin = self.window.next;
        let slots = begin..begin + values.len();
        let Some(old) = self.window.values.get(slots.clone()) else {
            return false;
        };
        let (count, anchor) = (self.scales.count, self.anchor);
        let (mut sums, mut weights) = ([0.0; ROWS], [0.0; ROWS]);
        let (mut sum, mut weighted) = (self.sum, self.weighted);
        let carried = sums.iter_mut().zip(&mut weights);
        for ((value, old), (of_sum, of_weighted)) in values.iter().zip(old).zip(carried) {
            let (new, old) = (value - anchor, old - anchor);
            weighted += (count - 1.0) * new + old - sum;
            sum += new - old;
            *of_sum = sum;
            *of_weighted = weighted;
        }
        let carried = sums.iter().zip(&weights);
        for (place, (shown, (sum, weighted))) in shown.iter_mut().zip(carried).enumerate() {
            *shown = show(place, self.scales.line(anchor, *sum, *weighted));
        }
        self.window.values[slots.clone()].copy_from_slice(values);
        self.window.next = slots.end;
        self.sum = sum;
        self.weighted = weighted;
        true
    }

    #[inline]
    fn line(&self) -> Line {
        self.scales.line(self.anchor, self.sum, self.weighted)
    }

    #[inline(never)]
    fn recompute(&mut self) {
        let [sum] = self.window.sums_of(|value| [value]);
        self.anchor = sum * self.scales.of_count;
        // The window has just wrapped: its slots are in order.
        let (mut sum, mut weighted, mut position) = (0.0, 0.0, 0.0);
        for value in &self.window.values {
            let distance = value - self.anchor;
            sum += distance;
            weighted += position * distance;
            position += 1.0;
        }
        self.sum = sum;
        self.weighted = weighted;
    }
}

impl Line {
    /// Share of the values' variance that the line explains; 0 where nothing varies.
    #[inline]
    pub(in crate::features) fn r_squared(&self, count: f64, deviation: f64) -> f64 {
        let value_variance = (count * deviation).powi(2);
        let share = self.covariance.powi(2) / (self.position_variance * value_variance);
        if value_variance > 0.0 {
            share.min(1.0)
        } else {
            0.0
        }
    }
}

crate::state! {
    RollingLine { window, anchor, sum, weighted }
}
