//! True ranges, their average, and Wilder's directional movement, which several families read.

use super::parts::{FEW, one_by_one, until_warm};
use super::wide::wide;
use super::window::{Fours, ROWS, WilderMean, WilderSum};
use super::{Bars, Operator};
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

/// Wilder's average of true ranges.
#[derive(Debug, Clone)]
pub(super) struct AverageTrueRange {
    previous_close: Option<f64>,
    mean: WilderMean,
    /// Whether the average is shown in percent of the close.
    is_percent: bool,
}

impl AverageTrueRange {
    pub(super) fn new(period: usize, is_percent: bool) -> Self {
        Self {
            previous_close: None,
            mean: WilderMean::new(period),
            is_percent,
        }
    }
}

impl Operator for AverageTrueRange {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let mean = self.mean.push(true_range(bar, previous))?;
        Some(if self.is_percent {
            100.0 * mean / bar.close
        } else {
            mean
        })
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let is_warm = |all: &Self| all.mean.is_fast() && all.previous_close.is_some();
        let shown = until_warm(self, bars, values, is_warm);
        let (bars, values) = (bars.slice(shown..bars.len()), &mut values[shown..]);
        let done = wide(
            #[inline(always)]
            || match self.is_percent {
                true => self.push_fours::<true>(bars, values),
                false => self.push_fours::<false>(bars, values),
            },
        );
        one_by_one(self, bars.slice(done..bars.len()), &mut values[done..]);
    }
}

impl AverageTrueRange {
    /// As many bars as come in fours, in one loop: while an average waits for itself, the ranges
    /// and the divisions go on. How many they are.
    #[inline(always)]
    fn push_fours<const PERCENT: bool>(&mut self, bars: Bars<'_>, values: &mut [f64]) -> usize {
        let (Some(mut mean), Some(before)) = (self.mean.fours(), self.previous_close) else {
            return 0;
        };
        let (highs, lows) = (bars.high().as_chunks().0, bars.low().as_chunks().0);
        let (closes, values) = (bars.close().as_chunks().0, values.as_chunks_mut().0);
        let first = closes.first().zip(highs.first().zip(lows.first()));
        let (Some((close, (high, low))), [value, later @ ..]) = (first, &mut *values) else {
            return 0;
        };
        let [a, b, c, _] = *close;
        *value = average_ranges::<PERCENT>(&mut mean, [high, low, close, &[before, a, b, c]]);
        let befores = bars.close()[3..].as_chunks().0;
        let prices = highs.iter().zip(lows).zip(closes).skip(1).zip(befores);
        for (value, (((high, low), close), before)) in later.iter_mut().zip(prices) {
            *value = average_ranges::<PERCENT>(&mut mean, [high, low, close, before]);
        }
        self.mean.go_on(&mean);
        let count = 4 * values.len();
        self.previous_close = bars.close()[..count].last().copied();
        count
    }
}

/// The average true ranges, `PERCENT` of the close, after four bars: their highs, lows and closes,
/// and the closes before each.
#[inline(always)]
fn average_ranges<const PERCENT: bool>(
    mean: &mut Fours,
    [highs, lows, closes, befores]: [&[f64; 4]; 4],
) -> [f64; 4] {
    let range = |lane: usize| range_of(highs[lane], lows[lane], befores[lane]);
    let means = mean.step(std::array::from_fn(range));
    if PERCENT {
        std::array::from_fn(|lane| 100.0 * means[lane] / closes[lane])
    } else {
        means
    }
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
    AverageTrueRange { previous_close, mean }
    DirectionalMovement { previous, plus, minus, range }
}
