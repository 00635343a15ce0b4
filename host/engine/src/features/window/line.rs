//! Least-squares lines and linearly weighted means of a window.

use super::anchored::Anchored;
use super::recent::{LONGEST, SPAN};
use super::tilts::{Tilts, tilt};
use super::{ROWS, Ring};
use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::features::wide::wide;

/// Least-squares line through the last `period` values against their position.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingLine {
    scales: Scales,
    window: Window,
}

#[derive(Debug, Clone)]
enum Window {
    Short(Anchored),
    Long(Carried),
}

/// A long window and sums over it that are carried along.
#[derive(Debug, Clone)]
struct Carried {
    window: Ring,
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
    fn carried(&self, anchor: f64, sum: f64, weighted: f64) -> Line {
        self.line(anchor, sum, self.count * weighted - self.positions * sum)
    }

    #[inline(always)]
    fn tilted(&self, anchor: f64, sum: f64, tilt: f64) -> Line {
        self.line(anchor, sum, self.count * tilt)
    }

    /// From the sum of the distances from the anchor, and their covariance with the positions.
    #[inline(always)]
    fn line(&self, anchor: f64, sum: f64, covariance: f64) -> Line {
        let slope = covariance * self.of_position_variance;
        let mean = anchor + sum * self.of_count;
        Line {
            slope,
            end: mean + slope * (self.count - 1.0) / 2.0,
            weighted_mean: mean + covariance * self.of_count * self.of_weights,
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
        let window = if period <= LONGEST {
            Window::Short(Anchored::new(period))
        } else {
            Window::Long(Carried::new(period))
        };
        Self {
            scales: Scales::new(period),
            window,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<Line> {
        match &mut self.window {
            Window::Short(values) => push_short(values, value, &self.scales),
            Window::Long(carried) => carried.push(value, &self.scales),
        }
    }

    /// How many values are missing until there is a line.
    pub(in crate::features) fn missing(&self) -> usize {
        match &self.window {
            Window::Short(values) => values.missing(),
            Window::Long(carried) => carried.missing(),
        }
    }

    /// What `show` makes of the place in `values` and of the line after it, NaN where there is none
    /// yet; the bits are those of [`RollingLine::push`].
    pub(in crate::features) fn push_all(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(usize, Line) -> f64,
    ) {
        let show = |place, line, _| show(place, line);
        self.push_all_with::<true>([values; 2], shown, show);
    }

    /// [`RollingLine::push_all`] for those who want the slope alone: `show` gets it and the number
    /// beside the value, from a second column.
    pub(in crate::features) fn push_slopes(
        &mut self,
        columns: [&[f64]; 2],
        shown: &mut [f64],
        show: impl Fn(f64, f64) -> f64,
    ) {
        let show = |_, line: Line, beside| show(line.slope, beside);
        self.push_all_with::<false>(columns, shown, show);
    }

    #[inline(always)]
    fn push_all_with<const SUMS: bool>(
        &mut self,
        [values, beside]: [&[f64]; 2],
        shown: &mut [f64],
        show: impl Fn(usize, Line, f64) -> f64,
    ) {
        let scales = &self.scales;
        wide(
            #[inline(always)]
            || match &mut self.window {
                Window::Short(window) => {
                    let (mut distances, mut tilts) = ([0.0; SPAN], Tilts::new());
                    let mut begin = 0;
                    while begin < values.len() {
                        let end = begin + window.run_length(values.len() - begin);
                        let part = begin..end;
                        let first = begin + window.missing().min(part.len());
                        let period = window.period();
                        let (anchor, held) = window.push_part(values, part);
                        shown[begin..first].fill(f64::NAN);
                        let (shown, beside) = (&mut shown[first..end], &beside[first..end]);
                        let show = |place, [sum, tilt]: [f64; 2], beside| {
                            show(first + place, scales.tilted(anchor, sum, tilt), beside)
                        };
                        let distances = distances_from(anchor, held, &mut distances);
                        if !shown.is_empty() {
                            tilts.windows::<SUMS>(period, [distances, beside], shown, show);
                        }
                        begin = end;
                    }
                    window.settle(values);
                }
                Window::Long(carried) => {
                    let show = |place: usize, line| show(place, line, beside[place]);
                    carried.push_all(scales, values, shown, show);
                }
            },
        );
    }
}

#[inline]
fn push_short(values: &mut Anchored, value: f64, scales: &Scales) -> Option<Line> {
    let (anchor, window) = values.push(value)?;
    let mut distances = [0.0; LONGEST];
    let [sum, tilt] = tilt(distances_from(anchor, window, &mut distances));
    Some(scales.tilted(anchor, sum, tilt))
}

/// The distances of values from an anchor.
#[inline(always)]
fn distances_from<'a>(anchor: f64, values: &[f64], distances: &'a mut [f64]) -> &'a [f64] {
    let distances = &mut distances[..values.len()];
    for (distance, value) in distances.iter_mut().zip(values) {
        *distance = value - anchor;
    }
    distances
}

impl Carried {
    fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            anchor: 0.0,
            sum: 0.0,
            weighted: 0.0,
        }
    }

    #[inline]
    fn push(&mut self, value: f64, scales: &Scales) -> Option<Line> {
        let count = scales.count;
        if let Some(removed) = self.window.push(value) {
            let (new, old) = (value - self.anchor, removed - self.anchor);
            self.weighted += (count - 1.0) * new + old - self.sum;
            self.sum += new - old;
        }
        if self.window.wrapped() {
            self.recompute(scales);
        }
        self.window.is_full().then(|| self.line(scales))
    }

    /// How many values are missing until there is a line.
    fn missing(&self) -> usize {
        let missing = self.window.capacity - self.window.values.len();
        missing.saturating_sub(1)
    }

    /// What `show` makes of the place in `values` and of the line after it, NaN where there is none
    /// yet; the bits are those of [`RollingLine::push`].
    #[inline(always)]
    fn push_all(
        &mut self,
        scales: &Scales,
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
            if run < 2 || !self.push_run(scales, values, shown, show) {
                for (place, (value, shown)) in values.iter().zip(shown).enumerate() {
                    let line = self.push(*value, scales);
                    *shown = line.map_or(f64::NAN, |line| show(place, line));
                }
            }
            begin = end;
        }
    }

    /// Values between two renewals of the sums; nothing happens, and the answer is no, before the
    /// window is full.
    #[inline(always)]
    fn push_run(
        &mut self,
        scales: &Scales,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(usize, Line) -> f64,
    ) -> bool {
        let begin = self.window.next;
        let slots = begin..begin + values.len();
        let Some(old) = self.window.values.get(slots.clone()) else {
            return false;
        };
        let (count, anchor) = (scales.count, self.anchor);
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
            *shown = show(place, scales.carried(anchor, *sum, *weighted));
        }
        self.window.values[slots.clone()].copy_from_slice(values);
        self.window.next = slots.end;
        self.sum = sum;
        self.weighted = weighted;
        true
    }

    #[inline]
    fn line(&self, scales: &Scales) -> Line {
        scales.carried(self.anchor, self.sum, self.weighted)
    }

    #[inline(never)]
    fn recompute(&mut self, scales: &Scales) {
        let [sum] = self.window.sums_of(|value| [value]);
        self.anchor = sum * scales.of_count;
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

impl State for RollingLine {
    fn save(&self, to: &mut StateWriter) {
        match &self.window {
            Window::Short(values) => values.save(to),
            Window::Long(carried) => carried.save(to),
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match &mut self.window {
            Window::Short(values) => values.load(from),
            Window::Long(carried) => carried.load(from),
        }
    }
}

crate::state! {
    Carried { window, anchor, sum, weighted }
}
