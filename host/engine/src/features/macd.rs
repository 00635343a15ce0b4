//! The distance of two averages; its kinds are in [`trend`](super::trend).

use super::kind::Arguments;
use super::parts::{one_by_one, until_warm};
use super::wide::wide;
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
        let is_warm = |all: &Self| {
            let averages = [&all.fast, &all.slow, &all.signal];
            averages.iter().all(|average| average.is_fast())
        };
        let shown = until_warm(self, bars, values, is_warm);
        let (bars, values) = (bars.slice(shown..bars.len()), &mut values[shown..]);
        let done = wide(
            #[inline(always)]
            || self.push_fours(bars.close(), values),
        );
        one_by_one(self, bars.slice(done..bars.len()), &mut values[done..]);
    }
}

impl Macd {
    /// As many closes as come in fours; how many they are.
    #[inline(always)]
    fn push_fours(&mut self, closes: &[f64], values: &mut [f64]) -> usize {
        let averages = (self.fast.fours(), self.slow.fours(), self.signal.fours());
        let (Some(mut fast), Some(mut slow), Some(mut signal)) = averages else {
            return 0;
        };
        let shown = self.shown;
        let (closes, values) = (closes.as_chunks::<4>().0, values.as_chunks_mut::<4>().0);
        for (values, closes) in values.iter_mut().zip(closes) {
            let (fast, slow) = (fast.step(*closes), slow.step(*closes));
            let line = std::array::from_fn(|lane| fast[lane] - slow[lane]);
            let signal = signal.step(line);
            for lane in 0..4 {
                values[lane] = shown.of(line[lane], signal[lane]) / closes[lane];
            }
        }
        self.fast.go_on(&fast);
        self.slow.go_on(&slow);
        self.signal.go_on(&signal);
        4 * values.len()
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
