//! True ranges and Wilder's directional movement, which several families read.

use super::Bars;
use super::parts::FEW;
use super::wide::wide;
use super::window::{ROWS, WilderSum};
use crate::types::Bar;

/// Range of a bar, extended to the previous close.
#[inline]
pub(super) fn true_range(bar: &Bar, previous_close: f64) -> f64 {
    range_of(bar.high, bar.low, previous_close)
}

#[inline(always)]
fn range_of(high: f64, low: f64, previous_close: f64) -> f64 {
    let up = (high - previous_close).abs();
    let down = (low - previous_close).abs();
    larger(larger(high - low, up), down)
}

/// The larger of two numbers. Unlike [`f64::max`] it is one instruction.
#[inline(always)]
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

/// True ranges of at most [`ROWS`] bars, from the first place of `ranges` on; how many there are:
/// all bars' or, where there is no previous close, one bar fewer.
#[inline(always)]
pub(super) fn true_ranges(
    previous_close: &mut Option<f64>,
    bars: Bars<'_>,
    ranges: &mut [f64; ROWS],
) -> usize {
    let closes = bars.close();
    let first = usize::from(previous_close.is_none()).min(closes.len());
    let mut found = ranges.iter_mut();
    if let (Some(previous), [high, ..], [low, ..]) = (*previous_close, bars.high(), bars.low())
        && let Some(range) = found.next()
    {
        *range = range_of(*high, *low, previous);
    }
    let later = bars.high().iter().zip(bars.low()).skip(1).zip(closes);
    for (range, ((high, low), previous)) in found.zip(later) {
        *range = range_of(*high, *low, *previous);
    }
    *previous_close = closes.last().copied().or(*previous_close);
    closes.len() - first
}

/// Wilder's smoothed directional movements and true range.
#[derive(Debug, Clone)]
pub(super) struct DirectionalMovement {
    /// High, low and close of the bar before.
    previous: Option<[f64; 3]>,
    plus: WilderSum,
    minus: WilderSum,
    range: WilderSum,
}

impl DirectionalMovement {
    pub(super) fn new(period: usize) -> Self {
        Self {
            previous: None,
            plus: WilderSum::new(period),
            minus: WilderSum::new(period),
            range: WilderSum::new(period),
        }
    }

    /// +DI and -DI; both 0 where there has been no range.
    #[inline]
    pub(super) fn push(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        self.step([bar.high, bar.low, bar.close])
    }

    /// What `show` makes of +DI and -DI after each bar, NaN where there are none yet.
    #[inline]
    pub(super) fn push_all(
        &mut self,
        bars: Bars<'_>,
        values: &mut [f64],
        mut show: impl FnMut((f64, f64)) -> f64,
    ) {
        let (mut plus, mut minus) = ([0.0; ROWS], [0.0; ROWS]);
        for (part, values) in values.chunks_mut(ROWS).enumerate() {
            let bars = bars.slice(part * ROWS..part * ROWS + values.len());
            if self.indices(bars, &mut plus, &mut minus) {
                for (value, (plus, minus)) in values.iter_mut().zip(plus.iter().zip(&minus)) {
                    *value = show((*plus, *minus));
                }
                continue;
            }
            let prices = bars.high().iter().zip(bars.low()).zip(bars.close());
            for (((high, low), close), value) in prices.zip(values) {
                let found = self.step([*high, *low, *close]);
                *value = found.map_or(f64::NAN, &mut show);
            }
        }
    }

    /// +DI and -DI after each of at most [`ROWS`] bars. Nothing happens, and the answer is no,
    /// where the first ones have none yet and where there are few of them.
    pub(super) fn indices(
        &mut self,
        bars: Bars<'_>,
        plus: &mut [f64; ROWS],
        minus: &mut [f64; ROWS],
    ) -> bool {
        let Some([high_before, low_before, close_before]) = self.previous else {
            return false;
        };
        let newest = bars.high().last().zip(bars.low().last());
        let Some(((high, low), close)) = newest.zip(bars.close().last()) else {
            return false;
        };
        if self.range.missing() > 0 || bars.len() < FEW {
            return false;
        }
        let (plus, minus) = (&mut plus[..bars.len()], &mut minus[..bars.len()]);
        self.previous = Some([*high, *low, *close]);
        let mut close_before = Some(close_before);
        wide(
            #[inline(always)]
            || {
                let (mut rises, mut falls) = ([0.0; ROWS], [0.0; ROWS]);
                let (rises, falls) = (&mut rises[..bars.len()], &mut falls[..bars.len()]);
                differences(high_before, bars.high(), rises);
                differences(low_before, bars.low(), falls);
                for (rise, fall) in rises.iter_mut().zip(&mut *falls) {
                    (*rise, *fall) = movements(*rise, -*fall);
                }
                let mut ranges = [0.0; ROWS];
                true_ranges(&mut close_before, bars, &mut ranges);
                let ranges = &mut ranges[..bars.len()];
                self.plus.push_all(rises, plus);
                self.minus.push_all(falls, minus);
                // The movements are no longer needed.
                self.range.push_all(ranges, rises);
                for (range, (plus, minus)) in rises.iter().zip(plus.iter_mut().zip(minus)) {
                    (*plus, *minus) = shares(*plus, *minus, *range);
                }
            },
        );
        true
    }

    /// [`DirectionalMovement::push`] by high, low and close.
    #[inline]
    pub(super) fn step(&mut self, prices: [f64; 3]) -> Option<(f64, f64)> {
        let [high, low, _] = prices;
        let [high_before, low_before, close_before] = self.previous.replace(prices)?;
        let (up, down) = movements(high - high_before, -(low - low_before));
        let plus = self.plus.push(up);
        let minus = self.minus.push(down);
        let range = self.range.push(range_of(high, low, close_before))?;
        Some(shares(plus?, minus?, range))
    }
}

/// Steps from each value to the next, the first from the one before them all.
#[inline(always)]
pub(super) fn differences(before: f64, values: &[f64], steps: &mut [f64]) {
    if let ([first, ..], [step, ..]) = (values, &mut *steps) {
        *step = first - before;
    }
    let later = values.iter().skip(1).zip(values);
    for (step, (value, before)) in steps.iter_mut().skip(1).zip(later) {
        *step = value - before;
    }
}

/// The upward and the downward movement of a bar, of which the larger one counts.
#[inline(always)]
fn movements(up: f64, down: f64) -> (f64, f64) {
    let plus = if (up > 0.0) & (up > down) { up } else { 0.0 };
    let minus = if (down > 0.0) & (down > up) {
        down
    } else {
        0.0
    };
    (plus, minus)
}

/// Both in percent of the range; 0 where there has been none.
#[inline(always)]
fn shares(plus: f64, minus: f64, range: f64) -> (f64, f64) {
    let of_range = 100.0 / range;
    let (plus, minus) = (plus * of_range, minus * of_range);
    if range > 0.0 {
        (plus, minus)
    } else {
        (0.0, 0.0)
    }
}

crate::state! {
    DirectionalMovement { previous, plus, minus, range }
}
