//! Middles of ranges and Ichimoku's cloud of them; their kinds are in [`lines`](super::lines).

use super::parts::{in_parts, log_ratio, log_ratios};
use super::window::{ROWS, Ring, RollingExtreme};
use super::{Bars, Operator};
use crate::types::Bar;

/// Middle of the range of a window.
#[derive(Debug, Clone)]
pub(super) struct Middle {
    pub(super) highest: RollingExtreme,
    pub(super) lowest: RollingExtreme,
}

impl Middle {
    pub(super) fn new(period: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        Some((highest? + lowest) / 2.0)
    }

    /// The middles after each of at most [`ROWS`] bars, NaN where there is none yet.
    pub(super) fn push_all(&mut self, bars: Bars<'_>, middles: &mut [f64]) {
        let missing = self.lowest.missing().min(middles.len());
        let mut lowest = [0.0; ROWS];
        let lowest = &mut lowest[..bars.len()];
        self.highest.push_all(bars.high(), middles);
        self.lowest.push_all(bars.low(), lowest);
        for (middle, lowest) in middles.iter_mut().zip(lowest) {
            *middle = (*middle + *lowest) / 2.0;
        }
        middles[..missing].fill(f64::NAN);
    }
}

#[derive(Debug, Clone)]
pub(super) struct MidpriceRatio {
    pub(super) middle: Middle,
}

impl Operator for MidpriceRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(log_ratio(bar.close, self.middle.push(bar)?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.middle.push_all(bars, values);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct IchimokuCross {
    pub(super) conversion: Middle,
    pub(super) base: Middle,
}

impl Operator for IchimokuCross {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let conversion = self.conversion.push(bar);
        let base = self.base.push(bar)?;
        Some((conversion? - base) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut base = [0.0; ROWS];
                let base = &mut base[..bars.len()];
                all.conversion.push_all(bars, values);
                all.base.push_all(bars, base);
                for ((value, base), close) in values.iter_mut().zip(&*base).zip(bars.close()) {
                    *value = (*value - base) / close;
                }
                blank_where_missing(base, values);
            },
        );
    }
}

/// The two edges of the cloud, undisplaced.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    pub(super) middles: [Middle; 3],
}

impl Spans {
    pub(super) fn new(periods: [usize; 3]) -> Self {
        Self {
            middles: periods.map(Middle::new),
        }
    }

    /// Senkou A and senkou B of at most [`ROWS`] bars, the latter NaN where there are none yet.
    pub(super) fn push_all(&mut self, bars: Bars<'_>, first: &mut [f64], second: &mut [f64]) {
        let [conversion, base, slow] = &mut self.middles;
        let mut middle = [0.0; ROWS];
        let middle = &mut middle[..bars.len()];
        conversion.push_all(bars, first);
        base.push_all(bars, middle);
        slow.push_all(bars, second);
        for (first, base) in first.iter_mut().zip(middle) {
            *first = (*first + *base) / 2.0;
        }
    }

    /// Senkou A and senkou B.
    pub(super) fn push(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        let [conversion, base, slow] = self.middles.each_mut().map(|middle| middle.push(bar));
        Some(((conversion? + base?) / 2.0, slow?))
    }
}

#[derive(Debug, Clone)]
pub(super) struct IchimokuCloud {
    pub(super) spans: Spans,
    pub(super) first: Ring,
    pub(super) second: Ring,
}

impl Operator for IchimokuCloud {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (first, second) = self.spans.push(bar)?;
        let first = self.first.push(first);
        let second = self.second.push(second)?;
        Some(above_cloud(bar.close, first?, second))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut first, mut second) = ([0.0; ROWS], [0.0; ROWS]);
                let (first, second) = (&mut first[..bars.len()], &mut second[..bars.len()]);
                all.spans.push_all(bars, first, second);
                let missing = second.iter().take_while(|value| value.is_nan()).count();
                let mut before = [0.0; ROWS];
                let before = &mut before[missing..bars.len()];
                all.first.push_all(&first[missing..], before);
                let (blank, shown) = values.split_at_mut(missing);
                blank.fill(f64::NAN);
                all.second.push_all(&second[missing..], shown);
                let edges = before.iter().zip(&bars.close()[missing..]);
                for (shown, (first, close)) in shown.iter_mut().zip(edges) {
                    *shown = if shown.is_nan() {
                        f64::NAN
                    } else {
                        above_cloud(*close, *first, *shown)
                    };
                }
            },
        );
    }
}

/// Distance of the close from the nearer edge of the cloud, 0 inside it.
#[inline]
pub(super) fn above_cloud(close: f64, first: f64, second: f64) -> f64 {
    let (lower, upper) = (first.min(second), first.max(second));
    (close - close.clamp(lower, upper)) / close
}

/// Arithmetic with a missing number may change the bits of it.
pub(super) fn blank_where_missing(numbers: &[f64], values: &mut [f64]) {
    let missing = numbers.iter().take_while(|number| number.is_nan()).count();
    values[..missing].fill(f64::NAN);
}

#[derive(Debug, Clone)]
pub(super) struct IchimokuWidth {
    pub(super) spans: Spans,
}

impl Operator for IchimokuWidth {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (first, second) = self.spans.push(bar)?;
        Some((first - second) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut second = [0.0; ROWS];
                let second = &mut second[..bars.len()];
                all.spans.push_all(bars, values, second);
                for ((value, second), close) in values.iter_mut().zip(&*second).zip(bars.close()) {
                    *value = (*value - second) / close;
                }
                blank_where_missing(second, values);
            },
        );
    }
}

crate::state! {
    Middle { highest, lowest }
    MidpriceRatio { middle }
    IchimokuCross { conversion, base }
    Spans { middles }
    IchimokuCloud { spans, first, second }
    IchimokuWidth { spans }
}
