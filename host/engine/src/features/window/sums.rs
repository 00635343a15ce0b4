//! Sums and means of a window.

use super::Ring;
use crate::features::state::{State, StateError, StateReader, StateWriter};

/// A sum that keeps what rounding drops, so that a large value leaves nothing behind when it is
/// taken out again. The error of each addition is D. Knuth's two-sum, which has no branches.
#[derive(Debug, Clone, Copy, Default)]
struct CompensatedSum {
    rounded: f64,
    dropped: f64,
}

impl CompensatedSum {
    #[inline]
    fn add(&mut self, value: f64) {
        let (rounded, dropped) = two_sum(self.rounded, value);
        self.rounded = rounded;
        self.dropped += dropped;
    }

    /// Puts one value in the place of another; only one rounded addition waits for the last one.
    #[inline]
    fn replace(&mut self, removed: f64, value: f64) {
        let (change, of_change) = two_sum(value, -removed);
        let (rounded, of_sum) = two_sum(self.rounded, change);
        self.rounded = rounded;
        self.dropped += of_change + of_sum;
    }

    #[inline]
    fn value(self) -> f64 {
        self.rounded + self.dropped
    }
}

/// The rounded sum and exactly what the rounding dropped.
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_seen = sum - a;
    (sum, (a - (sum - b_seen)) + (b - b_seen))
}

/// Sum of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingSum {
    window: Ring,
    total: CompensatedSum,
    /// Values in the window that are not zero, so that nothing but zeros sums to exactly zero.
    nonzero: usize,
}

impl RollingSum {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            window: Ring::new(period),
            total: CompensatedSum::default(),
            nonzero: 0,
        }
    }

    /// Adds a value; the sum once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        let removed = self.window.push(value).unwrap_or(0.0);
        self.nonzero += usize::from(is_nonzero(value));
        self.nonzero -= usize::from(is_nonzero(removed));
        if self.nonzero == 0 {
            self.total = CompensatedSum::default();
        } else if self.window.wrapped() {
            self.recompute();
        } else {
            self.total.replace(removed, value);
        }
        self.window.is_full().then(|| self.total.value())
    }

    fn recompute(&mut self) {
        self.total = CompensatedSum::default();
        for one in self.window.iter() {
            self.total.add(one);
        }
    }
}

impl State for RollingSum {
    fn save(&self, to: &mut StateWriter) {
        self.window.save(to);
        self.total.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.window.load(from)?;
        self.total.load(from)?;
        self.nonzero = self.window.iter().filter(|one| is_nonzero(*one)).count();
        Ok(())
    }
}

#[inline]
fn is_nonzero(value: f64) -> bool {
    value.abs() > 0.0 || value.is_nan()
}

/// Mean of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingMean {
    sum: RollingSum,
    period: f64,
}

impl RollingMean {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            sum: RollingSum::new(period),
            period: period as f64,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        Some(self.sum.push(value)? / self.period)
    }
}

crate::state! {
    CompensatedSum { rounded, dropped }
    RollingMean { sum }
}
