//! Hull's average; its kinds are in [`moving_averages`](super::moving_averages).

use super::parts::in_parts;
use super::window::{Line, ROWS, RollingLine};
use super::{Bars, Operator};
use crate::types::Bar;

pub(super) fn root(period: usize) -> usize {
    period.isqrt()
}

/// Hull's average of closes.
#[derive(Debug, Clone)]
pub(super) struct Hull {
    pub(super) half: RollingLine,
    pub(super) whole: RollingLine,
    pub(super) smooth: RollingLine,
}

impl Hull {
    pub(super) fn new(period: usize) -> Self {
        Self {
            half: RollingLine::new(period / 2),
            whole: RollingLine::new(period),
            smooth: RollingLine::new(root(period)),
        }
    }

    pub(super) fn push(&mut self, close: f64) -> Option<f64> {
        let half = self.half.push(close);
        let whole = self.whole.push(close)?.weighted_mean;
        let ahead = 2.0 * half?.weighted_mean - whole;
        Some(self.smooth.push(ahead)?.weighted_mean)
    }

    /// The averages after each of at most [`ROWS`] closes, NaN where there is none yet.
    pub(super) fn push_all(&mut self, closes: &[f64], averages: &mut [f64]) {
        let missing = self.whole.missing().min(closes.len());
        let mut ahead = [0.0; ROWS];
        let ahead = &mut ahead[..closes.len()];
        self.half.push_all(closes, ahead, weighted_mean);
        self.whole.push_all(closes, averages, weighted_mean);
        for (ahead, whole) in ahead.iter_mut().zip(&*averages) {
            *ahead = 2.0 * *ahead - whole;
        }
        let (blank, shown) = averages.split_at_mut(missing);
        blank.fill(f64::NAN);
        self.smooth
            .push_all(&ahead[missing..], shown, weighted_mean);
    }
}

pub(super) fn weighted_mean(_: usize, line: Line) -> f64 {
    line.weighted_mean
}

#[derive(Debug, Clone)]
pub(super) struct HmaRatio {
    pub(super) hull: Hull,
}

impl Operator for HmaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(1.0 - self.hull.push(bar.close)? / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.hull.push_all(bars.close(), values);
                for (close, value) in bars.close().iter().zip(values) {
                    *value = 1.0 - *value / close;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct HmaSlope {
    pub(super) hull: Hull,
    pub(super) previous: Option<f64>,
}

impl Operator for HmaSlope {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let average = self.hull.push(bar.close)?;
        let previous = self.previous.replace(average)?;
        Some((average - previous) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.hull.push_all(bars.close(), values);
                for (close, value) in bars.close().iter().zip(values) {
                    if !value.is_nan() {
                        let previous = all.previous.replace(*value);
                        let rise = previous.map(|previous| (*value - previous) / close);
                        *value = rise.unwrap_or(f64::NAN);
                    }
                }
            },
        );
    }
}

crate::state! {
    Hull { half, whole, smooth }
    HmaRatio { hull }
    HmaSlope { hull, previous }
}
