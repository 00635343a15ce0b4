//! The building blocks of operators: bounded windows and recursive averages.
//!
//! Carried sums are compensated and recomputed from the window once per window length, so rounding
//! errors never grow with the length of the history; sums of squares are taken around a value of
//! the window.

use std::collections::VecDeque;

use super::state::{State, StateError, StateReader, StateWriter};

/// The last `capacity` values.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    values: Vec<f64>,
    capacity: usize,
    /// The slot that the next value takes, which holds the oldest one when the ring is full.
    next: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            capacity,
            next: 0,
        }
    }

    /// Adds a value; gives back the one it replaces, `capacity` values ago.
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let slot = self.next;
        self.next = (self.next + 1) % self.capacity;
        match self.values.get_mut(slot) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.values.push(value);
                None
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.values.len() == self.capacity
    }

    /// Whether the last push ended one walk through all slots.
    fn wrapped(&self) -> bool {
        self.next == 0 && self.is_full()
    }

    /// The values, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = f64> {
        let split = if self.is_full() { self.next } else { 0 };
        let (newer, older) = self.values.split_at(split);
        older.iter().chain(newer).copied()
    }
}

impl State for Ring {
    fn save(&self, to: &mut StateWriter) {
        self.values.save(to);
        self.next.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.values.load(from)?;
        self.next.load(from)?;
        let is_sound = if self.values.len() < self.capacity {
            self.next == self.values.len()
        } else {
            self.values.len() == self.capacity && self.next < self.capacity
        };
        is_sound
            .then_some(())
            .ok_or(StateError::Damaged("a window of another length"))
    }
}

/// A sum that keeps what rounding drops (A. Neumaier 1974), so that a large value leaves nothing
/// behind when it is taken out again.
#[derive(Debug, Clone, Copy, Default)]
struct CompensatedSum {
    rounded: f64,
    dropped: f64,
}

impl CompensatedSum {
    fn add(&mut self, value: f64) {
        let rounded = self.rounded + value;
        self.dropped += if self.rounded.abs() >= value.abs() {
            (self.rounded - rounded) + value
        } else {
            (value - rounded) + self.rounded
        };
        self.rounded = rounded;
    }

    fn value(self) -> f64 {
        self.rounded + self.dropped
    }
}

/// Sum of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct RollingSum {
    window: Ring,
    total: CompensatedSum,
    /// Values in the window that are not zero, so that nothing but zeros sums to exactly zero.
    nonzero: usize,
}

impl RollingSum {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            total: CompensatedSum::default(),
            nonzero: 0,
        }
    }

    /// Adds a value; the sum once `period` values have been seen.
    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let removed = self.window.push(value).unwrap_or(0.0);
        self.nonzero += usize::from(is_nonzero(value));
        self.nonzero -= usize::from(is_nonzero(removed));
        if self.nonzero == 0 {
            self.total = CompensatedSum::default();
        } else if self.window.wrapped() {
            self.total = CompensatedSum::default();
            for one in self.window.iter() {
                self.total.add(one);
            }
        } else {
            self.total.add(value);
            self.total.add(-removed);
        }
        self.window.is_full().then(|| self.total.value())
    }
}

fn is_nonzero(value: f64) -> bool {
    value.abs() > 0.0 || value.is_nan()
}

/// Mean of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct RollingMean {
    sum: RollingSum,
    period: f64,
}

impl RollingMean {
    pub(super) fn new(period: usize) -> Self {
        Self {
            sum: RollingSum::new(period),
            period: period as f64,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        Some(self.sum.push(value)? / self.period)
    }
}

/// Mean and population variance of the last `period` values.
#[derive(Debug, Clone)]
pub(super) struct RollingMoments {
    window: Ring,
    anchor: f64,
    sum: f64,
    sum_of_squares: f64,
}

/// What [`RollingMoments`] gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) standard_deviation: f64,
}

impl Moments {
    /// How many standard deviations `value` lies above the mean; 0 where nothing varies.
    pub(super) fn z_score(&self, value: f64) -> f64 {
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
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            anchor: f64::NAN,
            sum: 0.0,
            sum_of_squares: 0.0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<Moments> {
        if self.anchor.is_nan() {
            self.anchor = value;
        }
        if let Some(removed) = self.window.push(value) {
            let old = removed - self.anchor;
            self.sum -= old;
            self.sum_of_squares -= old * old;
        }
        let new = value - self.anchor;
        self.sum += new;
        self.sum_of_squares += new * new;
        if self.window.wrapped() {
            self.recompute();
        }
        self.window.is_full().then(|| self.moments())
    }

    fn recompute(&mut self) {
        let count = self.window.capacity as f64;
        self.anchor = self.window.iter().sum::<f64>() / count;
        self.sum = self.window.iter().map(|value| value - self.anchor).sum();
        let squares = self
            .window
            .iter()
            .map(|value| (value - self.anchor).powi(2));
        self.sum_of_squares = squares.sum();
    }

    fn moments(&mut self) -> Moments {
        let count = self.window.capacity as f64;
        let variance_of = |sum: f64, squares: f64| (squares - sum * sum / count) / count;
        let mut variance = variance_of(self.sum, self.sum_of_squares);
        if variance <= CANCELLATION * self.sum_of_squares / count {
            // A window that has become flat: deviations from one of its own values are exact.
            self.anchor = self.window.iter().next().unwrap_or(self.anchor);
            self.sum = self.window.iter().map(|value| value - self.anchor).sum();
            let squares = self
                .window
                .iter()
                .map(|value| (value - self.anchor).powi(2));
            self.sum_of_squares = squares.sum();
            variance = variance_of(self.sum, self.sum_of_squares);
        }
        Moments {
            mean: self.anchor + self.sum / count,
            standard_deviation: if variance < 0.0 { 0.0 } else { variance.sqrt() },
        }
    }
}

/// The highest (or lowest) of the last `period` values, in a monotonic queue.
#[derive(Debug, Clone)]
pub(super) struct RollingExtreme {
    period: u64,
    seen: u64,
    /// 1 for the highest, -1 for the lowest.
    sign: f64,
    candidates: VecDeque<(u64, f64)>,
}

/// What [`RollingExtreme`] gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extreme {
    pub(super) value: f64,
    /// How many values ago it was seen, the latest one of equals; 0 is the newest value.
    pub(super) age: u64,
}

impl RollingExtreme {
    pub(super) fn highest(period: usize) -> Self {
        Self::new(period, 1.0)
    }

    pub(super) fn lowest(period: usize) -> Self {
        Self::new(period, -1.0)
    }

    fn new(period: usize, sign: f64) -> Self {
        Self {
            period: period as u64,
            seen: 0,
            sign,
            candidates: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<Extreme> {
        let value = value * self.sign;
        while self.candidates.back().is_some_and(|last| last.1 <= value) {
            self.candidates.pop_back();
        }
        self.candidates.push_back((self.seen, value));
        self.seen += 1;
        let first_inside = self.seen.saturating_sub(self.period);
        while self
            .candidates
            .front()
            .is_some_and(|one| one.0 < first_inside)
        {
            self.candidates.pop_front();
        }
        let (position, best) = *self.candidates.front()?;
        (self.seen >= self.period).then(|| Extreme {
            value: best * self.sign,
            age: self.seen - 1 - position,
        })
    }
}

/// Exponential average with weight `2 / (period + 1)`, seeded with the mean of the first `period`
/// values, as TA-Lib does.
#[derive(Debug, Clone)]
pub(super) struct Ema {
    period: usize,
    seen: usize,
    value: f64,
}

impl Ema {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            value: 0.0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.value += value;
            if self.seen < self.period {
                return None;
            }
            self.value /= self.period as f64;
        } else {
            let weight = 2.0 / (self.period as f64 + 1.0);
            self.value += (value - self.value) * weight;
        }
        Some(self.value)
    }
}

/// Wilder's average, weight `1 / period`, seeded with the mean of the first `period` values.
#[derive(Debug, Clone)]
pub(super) struct WilderMean {
    period: usize,
    seen: usize,
    value: f64,
}

impl WilderMean {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            value: 0.0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let period = self.period as f64;
        if self.seen < self.period {
            self.seen += 1;
            self.value += value;
            if self.seen < self.period {
                return None;
            }
            self.value /= period;
        } else {
            self.value = (self.value * (period - 1.0) + value) / period;
        }
        Some(self.value)
    }
}

/// Wilder's running sum: `s - s / period + x`, seeded with the first `period - 1` values.
#[derive(Debug, Clone)]
pub(super) struct WilderSum {
    period: usize,
    seen: usize,
    value: f64,
}

impl WilderSum {
    pub(super) fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            value: 0.0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen + 1 < self.period {
            self.seen += 1;
            self.value += value;
            return None;
        }
        self.value = self.value - self.value / self.period as f64 + value;
        Some(self.value)
    }
}

/// Least-squares line through the last `period` values against their position.
#[derive(Debug, Clone)]
pub(super) struct RollingLine {
    window: Ring,
    anchor: f64,
    sum: f64,
    /// Sum of position times value, the oldest value at position 0.
    weighted: f64,
}

/// What [`RollingLine`] gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Rise per value.
    pub(super) slope: f64,
    /// Covariance sums of position and value, for the coefficient of determination.
    covariance: f64,
    position_variance: f64,
}

impl RollingLine {
    pub(super) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            anchor: 0.0,
            sum: 0.0,
            weighted: 0.0,
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<Line> {
        let count = self.window.capacity as f64;
        if let Some(removed) = self.window.push(value) {
            self.weighted -= self.sum - (removed - self.anchor);
            self.weighted += (count - 1.0) * (value - self.anchor);
            self.sum += value - removed;
        }
        if self.window.wrapped() {
            self.recompute();
        }
        if !self.window.is_full() {
            return None;
        }
        let positions = count * (count - 1.0) / 2.0;
        let squares = count * (count - 1.0) * (2.0 * count - 1.0) / 6.0;
        let covariance = count * self.weighted - positions * self.sum;
        let position_variance = count * squares - positions * positions;
        Some(Line {
            slope: covariance / position_variance,
            covariance,
            position_variance,
        })
    }

    fn recompute(&mut self) {
        self.anchor = self.window.iter().sum::<f64>() / self.window.capacity as f64;
        self.sum = self.window.iter().map(|value| value - self.anchor).sum();
        let terms = self.window.iter().enumerate();
        self.weighted = terms
            .map(|(position, value)| position as f64 * (value - self.anchor))
            .sum();
    }
}

impl Line {
    /// Share of the values' variance that the line explains; 0 where nothing varies.
    pub(super) fn r_squared(&self, count: f64, moments: Moments) -> f64 {
        let value_variance = (count * moments.standard_deviation).powi(2);
        if value_variance > 0.0 {
            (self.covariance.powi(2) / (self.position_variance * value_variance)).min(1.0)
        } else {
            0.0
        }
    }
}

crate::state! {
    CompensatedSum { rounded, dropped }
    RollingSum { window, total, nonzero }
    RollingMean { sum }
    RollingMoments { window, anchor, sum, sum_of_squares }
    RollingExtreme { seen, candidates }
    Ema { seen, value }
    WilderMean { seen, value }
    WilderSum { seen, value }
    RollingLine { window, anchor, sum, weighted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(count: usize) -> Vec<f64> {
        let at = |i: f64| 100.0 + (i * 0.37).sin() * 3.0 + (i * 0.011).cos() * 20.0;
        (0..count).map(|i| at(i as f64)).collect()
    }

    #[test]
    fn rolling_values_equal_a_fresh_computation_far_into_the_history() {
        let values = wave(50_000);
        let period = 17;
        let mut sum = RollingSum::new(period);
        let mut moments = RollingMoments::new(period);
        let mut line = RollingLine::new(period);
        let mut highest = RollingExtreme::highest(period);
        for (i, &value) in values.iter().enumerate() {
            let got = (
                sum.push(value),
                moments.push(value),
                line.push(value),
                highest.push(value),
            );
            let Some(start) = (i + 1).checked_sub(period) else {
                assert!(got.0.is_none() && got.1.is_none() && got.2.is_none() && got.3.is_none());
                continue;
            };
            let window = &values[start..=i];
            let mean = window.iter().sum::<f64>() / period as f64;
            let squares: f64 = window.iter().map(|v| (v - mean).powi(2)).sum();
            let deviation = (squares / period as f64).sqrt();
            let middle = (period as f64 - 1.0) / 2.0;
            let covariance: f64 = window
                .iter()
                .enumerate()
                .map(|(x, y)| (x as f64 - middle) * (y - mean))
                .sum();
            let spread: f64 = (0..period).map(|x| (x as f64 - middle).powi(2)).sum();
            let top = window.iter().copied().fold(f64::MIN, f64::max);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-10 * b.abs().max(1e-3);
            assert!(near(got.0.unwrap(), window.iter().sum()), "sum at {i}");
            assert!(near(got.1.unwrap().mean, mean), "mean at {i}");
            assert!(
                near(got.1.unwrap().standard_deviation, deviation),
                "deviation at {i}"
            );
            assert!(
                near(got.2.unwrap().slope, covariance / spread),
                "slope at {i}"
            );
            assert_eq!(
                got.3.unwrap().value.to_bits(),
                top.to_bits(),
                "highest at {i}"
            );
        }
    }

    #[test]
    fn a_large_value_leaves_nothing_behind() {
        let mut sum = RollingSum::new(10);
        let mut got = Vec::new();
        for i in 0..40 {
            let value = if i == 13 { 1e15 } else { 0.1 };
            got.push(sum.push(if i < 25 { value } else { 0.0 }));
        }
        let tenths = got[24].unwrap();
        assert!((tenths - 1.0).abs() < 1e-15, "{tenths}");
        assert_eq!(got[34].unwrap().to_bits(), 0.0_f64.to_bits());
        assert_eq!(got[39].unwrap().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_window_that_turns_flat_has_exactly_no_deviation() {
        let mut moments = RollingMoments::new(10);
        for value in wave(25) {
            moments.push(value);
        }
        for i in 0..30 {
            let now = moments.push(87.654_321).unwrap();
            if i >= 9 {
                assert_eq!(
                    now.standard_deviation.to_bits(),
                    0.0_f64.to_bits(),
                    "at {i}"
                );
                assert_eq!(now.z_score(87.654_321).to_bits(), 0.0_f64.to_bits());
            }
        }
    }

    #[test]
    fn the_latest_of_equal_extremes_counts() {
        let mut lowest = RollingExtreme::lowest(3);
        let ages: Vec<Option<u64>> = [2.0, 1.0, 1.0, 3.0, 4.0, 5.0]
            .into_iter()
            .map(|value| lowest.push(value).map(|found| found.age))
            .collect();
        assert_eq!(ages, [None, None, Some(0), Some(1), Some(2), Some(2)]);
    }
}
