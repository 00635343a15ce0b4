//! Oscillators, with the definitions and the seeding of TA-Lib.

use super::commodity::Cci;
use super::kind::{Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_wilder};
use super::movement::{differences, larger};
use super::parts::{FEW, in_parts, in_warm_parts, log_ratio, log_ratios, one_by_one};
use super::window::{ROWS, Ring, RollingExtreme, RollingMean, WilderMean, push_ranges};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Momentum,
    ..FeatureKind::BASE
};

const WINDOW: &[Parameter] = &[Parameter::bars("period", 14, 2, "window length in bars")];
const RANGES: &[Input] = &[Input::High, Input::Low, Input::Close];

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "rsi",
        summary: "Share of gains in all changes.",
        formula: "100 gain / (gain + loss), Wilder's averages; 0 where nothing changed",
        source: "J. W. Wilder 1978; TA-Lib RSI",
        units: "0 to 100",
        parameters: WINDOW,
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(RelativeStrength {
                rsi: Rsi::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "stochastic_k",
        summary: "Smoothed place of the close in the window's range.",
        formula: "SMA of 100 (close - lowest) / (highest - lowest); 0 for a window without range",
        source: "G. Lane; TA-Lib STOCH slow %K",
        units: "0 to 100",
        parameters: &[
            Parameter::bars("period", 14, 2, "window length in bars"),
            Parameter::bars("smoothing", 3, 1, "length of the average in bars"),
        ],
        inputs: RANGES,
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) - 1,
        operator: |a| Box::new(StochasticK::new(a.bars(0), a.bars(1))),
        ..BASE
    },
    FeatureKind {
        name: "stochastic_d",
        summary: "Twice smoothed place of the close in the window's range.",
        formula: "SMA of stochastic_k",
        source: "G. Lane; TA-Lib STOCH slow %D",
        units: "0 to 100",
        parameters: &[
            Parameter::bars("period", 14, 2, "window length in bars"),
            Parameter::bars("smoothing", 3, 1, "length of the first average in bars"),
            Parameter::bars("signal", 3, 1, "length of the second average in bars"),
        ],
        inputs: RANGES,
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + a.bars_u32(2) - 2,
        operator: |a| {
            Box::new(StochasticD {
                line: StochasticK::new(a.bars(0), a.bars(1)),
                mean: RollingMean::new(a.bars(2)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "cci",
        summary: "Distance of the typical price from its average in mean deviations.",
        formula: "(tp - SMA(tp)) / (0.015 mean |tp - SMA(tp)|), tp = (high + low + close) / 3; \
                  reads its whole window at each bar",
        source: "D. Lambert 1980; TA-Lib CCI",
        units: "index",
        parameters: &[Parameter {
            max: 1000.0,
            ..Parameter::bars("period", 20, 2, "window length in bars")
        }],
        inputs: RANGES,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| Box::new(Cci::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "roc",
        summary: "Rate of change.",
        formula: "100 (close[t] / close[t - period] - 1)",
        source: "TA-Lib ROC",
        units: "percent",
        parameters: &[Parameter::bars("period", 10, 1, "how many bars back")],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(Roc {
                closes: Ring::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "williams_r",
        summary: "Place of the close in the window's range, counted from the high.",
        formula: "-100 (highest - close) / (highest - lowest); 0 for a window without range",
        source: "L. Williams; TA-Lib WILLR",
        units: "-100 to 0",
        parameters: WINDOW,
        inputs: RANGES,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(WilliamsR {
                range: Range::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "momentum_difference",
        summary: "Whether the latest moves are faster than the longer trend.",
        formula: "ln(close[t] / close[t - fast]) / fast - ln(close[t] / close[t - slow]) / slow",
        source: "standard definition",
        units: "log return per bar",
        parameters: &[
            Parameter::bars("fast", 6, 1, "bars of the short return"),
            Parameter::bars("slow", 48, 2, "bars of the long return"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) < a.number(1),
            requirement: "`fast` must be below `slow`",
        }),
        warmup_bars: |a| a.bars_u32(1) + 1,
        operator: |a| {
            let [fast, slow] = [Ring::new(a.bars(0)), Ring::new(a.bars(1))];
            Box::new(MomentumDifference {
                fast,
                slow,
                bars: [a.number(0), a.number(1)],
            })
        },
        ..BASE
    },
];

/// Wilder's relative strength of any number.
#[derive(Debug, Clone)]
pub(super) struct Rsi {
    previous: Option<f64>,
    gain: WilderMean,
    loss: WilderMean,
}

impl Rsi {
    pub(super) fn new(period: usize) -> Self {
        Self {
            previous: None,
            gain: WilderMean::new(period),
            loss: WilderMean::new(period),
        }
    }

    pub(super) fn push(&mut self, value: f64) -> Option<f64> {
        let (gain, loss) = self.averages(value)?;
        Some(Self::share(gain, loss))
    }

    /// The averages of gains and losses.
    #[inline]
    fn averages(&mut self, value: f64) -> Option<(f64, f64)> {
        let change = value - self.previous.replace(value)?;
        let gain = self.gain.push(larger(0.0, change));
        let loss = self.loss.push(larger(0.0, -change))?;
        Some((gain?, loss))
    }

    #[inline(always)]
    fn share(gain: f64, loss: f64) -> f64 {
        let total = gain + loss;
        let share = 100.0 * gain / total;
        if total > 0.0 { share } else { 0.0 }
    }

    pub(super) fn is_warm(&self) -> bool {
        self.previous.is_some() && self.loss.missing() == 0
    }

    /// The value after each of at most [`ROWS`] values, NaN where there is none yet.
    #[inline(always)]
    pub(super) fn push_all(&mut self, values: &[f64], shown: &mut [f64]) {
        let Some(previous) = self.previous.filter(|_| self.loss.missing() == 0) else {
            for (value, shown) in values.iter().zip(shown) {
                *shown = self.push(*value).unwrap_or(f64::NAN);
            }
            return;
        };
        let (mut gains, mut losses) = ([0.0; ROWS], [0.0; ROWS]);
        let (gains, losses) = (&mut gains[..values.len()], &mut losses[..values.len()]);
        differences(previous, values, gains);
        for (gain, loss) in gains.iter_mut().zip(&mut *losses) {
            let change = *gain;
            (*gain, *loss) = (larger(0.0, change), larger(0.0, -change));
        }
        self.previous = values.last().copied().or(self.previous);
        self.gain.push_all(gains, shown);
        // The changes are no longer needed.
        self.loss.push_all(losses, gains);
        for (shown, loss) in shown.iter_mut().zip(&*gains) {
            *shown = Self::share(*shown, *loss);
        }
    }
}

#[derive(Debug, Clone)]
struct RelativeStrength {
    rsi: Rsi,
}

impl Operator for RelativeStrength {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.rsi.push(bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.rsi.push_all(bars.close(), values);
            },
        );
    }
}

/// Highest high and lowest low of a window.
#[derive(Debug, Clone)]
struct Range {
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl Range {
    fn new(period: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
        }
    }

    /// Highest and lowest.
    fn push(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low);
        Some((highest?, lowest?))
    }

    /// What `show` makes of highest, lowest and close after each bar; how many bars at
    /// the start have neither, which is NaN.
    #[inline(always)]
    fn push_all(
        &mut self,
        bars: Bars<'_>,
        shown: &mut [f64],
        show: impl Fn(f64, f64, f64) -> f64,
    ) -> usize {
        let extremes = [&mut self.highest, &mut self.lowest];
        let show = |[highest, lowest]: [f64; 2], close| show(highest, lowest, close);
        push_ranges(
            extremes,
            [bars.high(), bars.low(), bars.close()],
            shown,
            show,
        )
    }
}

#[derive(Debug, Clone)]
struct StochasticK {
    range: Range,
    mean: RollingMean,
}

impl StochasticK {
    fn new(period: usize, smoothing: usize) -> Self {
        Self {
            range: Range::new(period),
            mean: RollingMean::new(smoothing),
        }
    }
}

impl Operator for StochasticK {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (highest, lowest) = self.range.push(bar)?;
        self.mean.push(fast_stochastic(highest, lowest, bar.close))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut fast = [0.0; ROWS];
                let fast = &mut fast[..bars.len()];
                let missing = all.range.push_all(bars, fast, fast_stochastic);
                let (blank, values) = values.split_at_mut(missing);
                blank.fill(f64::NAN);
                all.mean.push_all(&fast[missing..], values);
            },
        );
    }
}

/// Place of the close in a range, in percent; 0 where there is none.
#[inline(always)]
fn fast_stochastic(highest: f64, lowest: f64, close: f64) -> f64 {
    let place = 100.0 * (close - lowest) / (highest - lowest);
    if highest > lowest { place } else { 0.0 }
}

/// Distance of the close from the top of a range, in negative percent; 0 where there is none.
#[inline(always)]
fn williams(highest: f64, lowest: f64, close: f64) -> f64 {
    let place = (highest - close) / (highest - lowest);
    if highest > lowest {
        -100.0 * place
    } else {
        0.0
    }
}

#[derive(Debug, Clone)]
struct StochasticD {
    line: StochasticK,
    mean: RollingMean,
}

impl Operator for StochasticD {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let line = self.line.update(bar)?;
        self.mean.push(line)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| {
                all.line.range.lowest.missing() + all.line.mean.missing() + all.mean.missing() == 0
            },
            #[inline(always)]
            |all, bars, values| {
                let mut line = [0.0; ROWS];
                let line = &mut line[..bars.len()];

                all.line.update_all(bars, line);
                all.mean.push_all(line, values);
            },
        );
    }
}

/// Mean of high, low and close.
pub(super) fn typical_price(bar: &Bar) -> f64 {
    typical_of(bar.high, bar.low, bar.close)
}

#[inline]
pub(super) fn typical_of(high: f64, low: f64, close: f64) -> f64 {
    (high + low + close) / 3.0
}

#[derive(Debug, Clone)]
struct Roc {
    closes: Ring,
}

impl Operator for Roc {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.closes.push(bar.close)?;
        Some(100.0 * (bar.close / past - 1.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.closes.push_all(bars.close(), values);
                for (close, value) in bars.close().iter().zip(values) {
                    *value = 100.0 * (close / *value - 1.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct WilliamsR {
    range: Range,
}

impl Operator for WilliamsR {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (highest, lowest) = self.range.push(bar)?;
        Some(williams(highest, lowest, bar.close))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        if bars.len() < FEW {
            one_by_one(self, bars, values);
        } else {
            self.range.push_all(bars, values, williams);
        }
    }
}

#[derive(Debug, Clone)]
struct MomentumDifference {
    fast: Ring,
    slow: Ring,
    bars: [f64; 2],
}

impl Operator for MomentumDifference {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.close);
        let slow = self.slow.push(bar.close)?;
        let pace = |past: f64, bars: f64| log_ratio(bar.close, past) / bars;
        Some(pace(fast?, self.bars[0]) - pace(slow, self.bars[1]))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.slow.is_full(),
            #[inline(always)]
            |all, bars, values| {
                let mut fast = [0.0; ROWS];
                let fast = &mut fast[..bars.len()];

                all.fast.push_all(bars.close(), fast);
                all.slow.push_all(bars.close(), values);
                log_ratios(bars.close(), fast);
                log_ratios(bars.close(), values);
                let [of_fast, of_slow] = all.bars;
                for (value, fast) in values.iter_mut().zip(&*fast) {
                    *value = fast / of_fast - *value / of_slow;
                }
            },
        );
    }
}

crate::state! {
    Rsi { previous, gain, loss }
    RelativeStrength { rsi }
    Range { highest, lowest }
    StochasticK { range, mean }
    StochasticD { line, mean }
    Roc { closes }
    WilliamsR { range }
    MomentumDifference { fast, slow }
}
