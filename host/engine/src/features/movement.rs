//! True ranges and Wilder's directional movement, which several families read.

use super::Bars;
use super::window::{ROWS, WilderSum};
use crate::types::Bar;

/// Range of a bar, extended to the previous close.
#[inline]
pub(super) fn true_range(bar: &Bar, previous_close: f64) -> f64 {
    range_of(bar.high, bar.low, previous_close)
}

#[inline]
fn range_of(high: f64, low: f64, previous_close: f64) -> f64 {
    let up = (high - previous_close).abs();
    let down = (low - previous_close).abs();
    (high - low).max(up).max(down)
}

/// True ranges of at most [`ROWS`] bars, from the first place of `ranges` on; how many there are:
/// all bars' or, where there is no previous close, one bar fewer.
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
        // A copy stays in registers: the next bar waits for no store.
        let mut held = self.clone();
        let prices = bars.high().iter().zip(bars.low()).zip(bars.close());
        for (((high, low), close), value) in prices.zip(values) {
            let found = held.step([*high, *low, *close]);
            *value = found.map_or(f64::NAN, &mut show);
        }
        *self = held;
    }

    /// [`DirectionalMovement::push`] by high, low and close.
    #[inline]
    pub(super) fn step(&mut self, prices: [f64; 3]) -> Option<(f64, f64)> {
        let [high, low, _] = prices;
        let [high_before, low_before, close_before] = self.previous.replace(prices)?;
        let up = high - high_before;
        let down = low_before - low;
        let plus = self.plus.push(if up > 0.0 && up > down { up } else { 0.0 });
        let minus = self
            .minus
            .push(if down > 0.0 && down > up { down } else { 0.0 });
        let range = self.range.push(range_of(high, low, close_before))?;
        if range > 0.0 {
            Some((100.0 * plus? / range, 100.0 * minus? / range))
        } else {
            Some((0.0, 0.0))
        }
    }
}

crate::state! {
    DirectionalMovement { previous, plus, minus, range }
}
