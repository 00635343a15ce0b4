//! Operators of oscillators that smooth closes, changes or middles; their kinds are in
//! [`smoothed`](super::smoothed).

use super::movement::{differences, true_range, true_ranges};
use super::parts::{in_warm_parts, share};
use super::window::{Ema, ROWS, Ring, RollingLine, RollingMean};
use super::{Bars, Operator};
use crate::types::Bar;

#[derive(Debug, Clone)]
pub(super) struct Ppo {
    pub(super) fast: Ema,
    pub(super) slow: Ema,
}

impl Operator for Ppo {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.close);
        let slow = self.slow.push(bar.close)?;
        Some(100.0 * (fast? / slow - 1.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.fast.missing() + all.slow.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut slow = [0.0; ROWS];
                let slow = &mut slow[..bars.len()];

                all.fast.push_all(bars.close(), values);
                all.slow.push_all(bars.close(), slow);
                for (value, slow) in values.iter_mut().zip(&*slow) {
                    *value = 100.0 * (*value / slow - 1.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct Coppock {
    pub(super) closes: [Ring; 2],
    pub(super) mean: RollingLine,
}

impl Operator for Coppock {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [long, short] = self.closes.each_mut().map(|ring| ring.push(bar.close));
        let rates = 100.0 * (bar.close / long? - 1.0) + 100.0 * (bar.close / short? - 1.0);
        Some(self.mean.push(rates)?.weighted_mean)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut long, mut short) = ([0.0; ROWS], [0.0; ROWS]);
                let long = &mut long[..bars.len()];
                let short = &mut short[..bars.len()];

                let [of_long, of_short] = &mut all.closes;
                of_long.push_all(bars.close(), long);
                of_short.push_all(bars.close(), short);
                for (long, (short, close)) in long.iter_mut().zip(short.iter().zip(bars.close())) {
                    *long = 100.0 * (close / *long - 1.0) + 100.0 * (close / short - 1.0);
                }
                all.mean
                    .push_all(long, values, |_, line| line.weighted_mean);
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct KnowSureThing {
    pub(super) rates: [(Ring, RollingMean); 4],
}

impl KnowSureThing {
    pub(super) fn new() -> Self {
        let lengths = [(10, 10), (15, 10), (20, 10), (30, 15)];
        Self {
            rates: lengths.map(|(back, mean)| (Ring::new(back), RollingMean::new(mean))),
        }
    }
}

impl Operator for KnowSureThing {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let parts = self.rates.each_mut().map(|(closes, mean)| {
            let past = closes.push(bar.close)?;
            mean.push(100.0 * (bar.close / past - 1.0))
        });
        let [first, second, third, fourth] = parts;
        Some(0.0 + first? + 2.0 * second? + 3.0 * third? + 4.0 * fourth?)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| {
                all.rates
                    .iter()
                    .all(|(closes, mean)| closes.is_full() && mean.missing() == 0)
            },
            #[inline(always)]
            |all, bars, values| {
                let (mut rate, mut mean) = ([0.0; ROWS], [0.0; ROWS]);
                let rate = &mut rate[..bars.len()];
                let mean = &mut mean[..bars.len()];

                values.fill(0.0);
                for (weight, (closes, of_rate)) in
                    [1.0, 2.0, 3.0, 4.0].into_iter().zip(&mut all.rates)
                {
                    closes.push_all(bars.close(), rate);
                    for (rate, close) in rate.iter_mut().zip(bars.close()) {
                        *rate = 100.0 * (close / *rate - 1.0);
                    }
                    of_rate.push_all(rate, mean);
                    for (value, mean) in values.iter_mut().zip(&*mean) {
                        *value += weight * mean;
                    }
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct ElderRay {
    pub(super) mean: Ema,
    pub(super) level: fn(&Bar) -> f64,
}

impl ElderRay {
    pub(super) fn new(period: usize, level: fn(&Bar) -> f64) -> Self {
        Self {
            mean: Ema::new(period),
            level,
        }
    }
}

impl Operator for ElderRay {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let mean = self.mean.push(bar.close)?;
        Some(((self.level)(bar) - mean) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                all.mean.push_all(bars.close(), values);
                for (value, bar) in values.iter_mut().zip(bars.iter()) {
                    *value = ((all.level)(&bar) - *value) / bar.close;
                }
            },
        );
    }
}

/// An exponential average of another.
#[derive(Debug, Clone)]
pub(super) struct TwoEmas {
    pub(super) first: Ema,
    pub(super) second: Ema,
}

impl TwoEmas {
    pub(super) fn new(first: usize, second: usize) -> Self {
        Self {
            first: Ema::new(first),
            second: Ema::new(second),
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        self.second.push(self.first.push(value)?)
    }

    pub(super) fn is_warm(&self) -> bool {
        self.first.missing() + self.second.missing() == 0
    }

    /// The averages after each of at most [`ROWS`] values.
    pub(super) fn push_all(&mut self, values: &[f64], averages: &mut [f64]) {
        let mut first = [0.0; ROWS];
        let first = &mut first[..values.len()];
        self.first.push_all(values, first);
        self.second.push_all(first, averages);
    }
}

#[derive(Debug, Clone)]
pub(super) struct TrueStrength {
    pub(super) previous_close: Option<f64>,
    pub(super) change: TwoEmas,
    pub(super) size: TwoEmas,
}

impl Operator for TrueStrength {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = bar.close - self.previous_close.replace(bar.close)?;
        let smooth = self.change.push(change);
        let size = self.size.push(change.abs())?;
        Some(100.0 * share(smooth?, size, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.change.is_warm() && all.size.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let (mut steps, mut sizes) = ([0.0; ROWS], [0.0; ROWS]);
                let steps = &mut steps[..bars.len()];
                let sizes = &mut sizes[..bars.len()];

                differences(all.previous_close.unwrap_or(f64::NAN), bars.close(), steps);
                all.previous_close = bars.close().last().copied();
                for (size, step) in sizes.iter_mut().zip(&*steps) {
                    *size = step.abs();
                }
                all.change.push_all(steps, values);
                all.size.push_all(sizes, steps);
                for (value, size) in values.iter_mut().zip(&*steps) {
                    *value = 100.0 * share(*value, *size, 0.0);
                }
            },
        );
    }
}

/// A fast and a slow average of the bars' middles.
#[derive(Debug, Clone)]
pub(super) struct MiddleAverages {
    pub(super) fast: RollingMean,
    pub(super) slow: RollingMean,
}

impl MiddleAverages {
    pub(super) fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast: RollingMean::new(fast),
            slow: RollingMean::new(slow),
        }
    }

    /// Their distance.
    pub(super) fn push(&mut self, bar: &Bar) -> Option<f64> {
        let middle = (bar.high + bar.low) / 2.0;
        let fast = self.fast.push(middle);
        let slow = self.slow.push(middle)?;
        Some(fast? - slow)
    }

    pub(super) fn is_warm(&self) -> bool {
        self.fast.missing() + self.slow.missing() == 0
    }

    /// Their distances after each of at most [`ROWS`] bars.
    pub(super) fn push_all(&mut self, bars: Bars<'_>, distances: &mut [f64]) {
        let (mut middles, mut slow) = ([0.0; ROWS], [0.0; ROWS]);
        let (middles, slow) = (&mut middles[..bars.len()], &mut slow[..bars.len()]);
        for (middle, (high, low)) in middles.iter_mut().zip(bars.high().iter().zip(bars.low())) {
            *middle = (high + low) / 2.0;
        }
        self.fast.push_all(middles, distances);
        self.slow.push_all(middles, slow);
        for (distance, slow) in distances.iter_mut().zip(slow) {
            *distance -= *slow;
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Awesome {
    pub(super) averages: MiddleAverages,
}

impl Operator for Awesome {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.averages.push(bar)? / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.averages.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                all.averages.push_all(bars, values);
                for (value, close) in values.iter_mut().zip(bars.close()) {
                    *value /= close;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct Accelerator {
    pub(super) averages: MiddleAverages,
    pub(super) signal: RollingMean,
}

impl Operator for Accelerator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let distance = self.averages.push(bar)?;
        Some((distance - self.signal.push(distance)?) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.averages.is_warm() && all.signal.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut distances = [0.0; ROWS];
                let distances = &mut distances[..bars.len()];

                all.averages.push_all(bars, distances);
                all.signal.push_all(distances, values);
                let distances = distances.iter().zip(bars.close());
                for (value, (distance, close)) in values.iter_mut().zip(distances) {
                    *value = (distance - *value) / close;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
pub(super) struct PrettyGood {
    pub(super) previous_close: Option<f64>,
    pub(super) mean: RollingMean,
    pub(super) range: Ema,
}

impl Operator for PrettyGood {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let mean = self.mean.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let range = self.range.push(true_range(bar, previous))?;
        Some(share(bar.close - mean?, range, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.mean.missing() + all.range.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut means = [0.0; ROWS];
                let means = &mut means[..bars.len()];

                let mut ranges = [0.0; ROWS];
                let count = true_ranges(&mut all.previous_close, bars, &mut ranges);
                all.mean.push_all(bars.close(), means);
                all.range.push_all(&ranges[..count], values);
                let distances = means.iter().zip(bars.close());
                for (value, (mean, close)) in values.iter_mut().zip(distances) {
                    *value = share(close - mean, *value, 0.0);
                }
            },
        );
    }
}

crate::state! {
    Ppo { fast, slow }
    Coppock { closes, mean }
    KnowSureThing { rates }
    ElderRay { mean }
    TwoEmas { first, second }
    TrueStrength { previous_close, change, size }
    MiddleAverages { fast, slow }
    Awesome { averages }
    Accelerator { averages, signal }
    PrettyGood { previous_close, mean, range }
}
