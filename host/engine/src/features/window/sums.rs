//! Sums and means of a window.

use super::blocks::{Blocks, Join};

#[derive(Debug, Clone)]
struct Plus;

impl Join for Plus {
    const EMPTY: f64 = 0.0;

    #[inline]
    fn join(older: f64, newer: f64) -> f64 {
        older + newer
    }
}

/// Sum of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingSum {
    values: Blocks<Plus>,
}

impl RollingSum {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            values: Blocks::new(period),
        }
    }

    /// Adds a value; the sum once `period` values have been seen.
    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        self.values.push(value)
    }
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
    RollingSum { values }
    RollingMean { sum }
}
