//! The distance of two averages; its kinds are in [`trend`](super::trend).

use super::kind::Arguments;
use super::parts::{in_parts, one_by_one};
use super::window::Ema;
use super::{Bars, Operator};
use crate::types::Bar;

/// All three MACD features; they differ in what they show, and appear together.
#[derive(Debug, Clone)]
pub(super) struct Macd {
    /// Bars that the fast average leaves out, so that both averages begin with the same bar.
    pub(super) skipped: usize,
    pub(super) fast: Ema,
    pub(super) slow: Ema,
    pub(super) signal: Ema,
    pub(super) shown: MacdShown,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum MacdShown {
    Line,
    Signal,
    Histogram,
}

impl Macd {
    pub(super) fn new(arguments: &Arguments, shown: MacdShown) -> Self {
        let (fast, slow) = (arguments.bars(0), arguments.bars(1));
        Self {
            skipped: slow - fast,
            fast: Ema::new(fast),
            slow: Ema::new(slow),
            signal: Ema::new(arguments.bars(2)),
            shown,
        }
    }

    #[inline]
    pub(super) fn push(&mut self, close: f64) -> Option<f64> {
        let slow = self.slow.push(close);
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        let line = self.fast.push(close)? - slow?;
        let signal = self.signal.push(line)?;
        Some(self.shown.of(line, signal))
    }
}

impl Operator for Macd {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.push(bar.close)? / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let averages = (all.fast.fours(), all.slow.fours(), all.signal.fours());
                let (Some(mut fast), Some(mut slow), Some(mut signal)) = averages else {
                    one_by_one(all, bars, values);
                    return;
                };
                let (closes, shown) = (bars.close(), all.shown);
                let (fours, rest) = closes.as_chunks::<4>();
                let (of_fours, of_rest) = values.as_chunks_mut::<4>();
                for (values, closes) in of_fours.iter_mut().zip(fours) {
                    let (fast, slow) = (fast.step(*closes), slow.step(*closes));
                    let line = std::array::from_fn(|lane| fast[lane] - slow[lane]);
                    let signal = signal.step(line);
                    for lane in 0..4 {
                        values[lane] = shown.of(line[lane], signal[lane]) / closes[lane];
                    }
                }
                all.fast.go_on(&fast);
                all.slow.go_on(&slow);
                all.signal.go_on(&signal);
                for (value, close) in of_rest.iter_mut().zip(rest) {
                    let found = all.push(*close);
                    *value = found.map_or(f64::NAN, |found| found / close);
                }
            },
        );
    }
}

impl MacdShown {
    #[inline(always)]
    fn of(self, line: f64, signal: f64) -> f64 {
        match self {
            Self::Line => line,
            Self::Signal => signal,
            Self::Histogram => line - signal,
        }
    }
}

crate::state! {
    Macd { skipped, fast, slow, signal }
}
