//! Sums and means of a window.

use super::blocks::{Blocks, Join};
use crate::features::wide::wide;

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

    /// The sums after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], sums: &mut [f64]) {
        wide(
            #[inline(always)]
            || self.values.push_all(values, sums),
        );
    }

    /// How many values are missing until there is a sum.
    pub(in crate::features) fn missing(&self) -> usize {
        self.values.missing()
    }
}

/// Mean of the last `period` values.
#[derive(Debug, Clone)]
pub(in crate::features) struct RollingMean {
    sum: RollingSum,
    of_period: f64,
}

impl RollingMean {
    pub(in crate::features) fn new(period: usize) -> Self {
        Self {
            sum: RollingSum::new(period),
            of_period: 1.0 / period as f64,
        }
    }

    #[inline]
    pub(in crate::features) fn push(&mut self, value: f64) -> Option<f64> {
        Some(self.sum.push(value)? * self.of_period)
    }

    /// How many values are missing until there is a mean.
    pub(in crate::features) fn missing(&self) -> usize {
        self.sum.missing()
    }

    /// The means after each of `values`, NaN where there is none yet.
    pub(in crate::features) fn push_all(&mut self, values: &[f64], means: &mut [f64]) {
        self.push_shown(values, means, |mean, _| mean);
    }

    /// What `show` makes of the means after each of `values` and of the value itself; at the start
    /// it gets NaN for the means.
    pub(in crate::features) fn push_shown(
        &mut self,
        values: &[f64],
        shown: &mut [f64],
        show: impl Fn(f64, f64) -> f64,
    ) {
        wide(
            #[inline(always)]
            || {
                self.sum.values.push_all(values, shown);
                for (shown, value) in shown.iter_mut().zip(values) {
                    *shown = show(*shown * self.of_period, *value);
                }
            },
        );
    }
}

crate::state! {
    RollingSum { values }
    RollingMean { sum }
}
