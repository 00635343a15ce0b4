//! Direction and strength of a trend. Definitions and seeding are TA-Lib's, made relative to the
//! price where TA-Lib gives price units.

use super::kind::{
    Arguments, Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_ema,
    settling_wilder,
};
use super::movement::DirectionalMovement;
use super::parts::{deviation, each_close, in_parts, log_ratio, log_ratios};
use super::window::{
    AgedExtreme, Ema, Line, ROWS, Ring, RollingLine, RollingMean, RollingMoments, WilderMean,
};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Trend,
    ..FeatureKind::BASE
};

const AVERAGE: &[Parameter] = &[Parameter::bars(
    "period",
    20,
    2,
    "length of the average in bars",
)];
const WINDOW: &[Parameter] = &[Parameter::bars("period", 14, 2, "window length in bars")];
const RANGES: &[Input] = &[Input::High, Input::Low, Input::Close];

const MACD: FeatureKind = FeatureKind {
    source: "G. Appel; TA-Lib MACD",
    units: "share of the price",
    parameters: &[
        Parameter::bars("fast", 12, 2, "length of the fast average in bars"),
        Parameter::bars("slow", 26, 3, "length of the slow average in bars"),
        Parameter::bars("signal", 9, 2, "length of the signal average in bars"),
    ],
    constraint: Some(Constraint {
        holds: |a| a.number(0) < a.number(1),
        requirement: "`fast` must be below `slow`",
    }),
    memory: Memory::Recursive {
        settling_bars: |a| settling_ema(a.number(1), 1) + settling_ema(a.number(2), 1),
    },
    warmup_bars: |a| a.bars_u32(1) + a.bars_u32(2) - 1,
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "sma_ratio",
        summary: "How far the close lies above its simple average.",
        formula: "ln(close / SMA(close))",
        source: "TA-Lib SMA",
        units: "log return",
        parameters: AVERAGE,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(SmaRatio {
                mean: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "ema_ratio",
        summary: "How far the close lies above its exponential average.",
        formula: "ln(close / EMA(close)); weight 2 / (period + 1), seeded with the first SMA",
        source: "TA-Lib EMA",
        units: "log return",
        parameters: AVERAGE,
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(EmaRatio {
                mean: Ema::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "dema_ratio",
        version: 2,
        summary: "How far the close lies above its double exponential average.",
        formula: "1 - (2 EMA - EMA(EMA)) / close; finite where a crash takes the average below 0",
        source: "P. Mulloy 1994; TA-Lib DEMA",
        units: "share of the price",
        parameters: AVERAGE,
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 2),
        },
        warmup_bars: |a| 2 * a.bars_u32(0) - 1,
        operator: |a| {
            let [first, second] = [Ema::new(a.bars(0)), Ema::new(a.bars(0))];
            Box::new(DemaRatio { first, second })
        },
        ..BASE
    },
    FeatureKind {
        name: "macd",
        summary: "Distance of a fast from a slow average.",
        formula: "(EMA(fast) - EMA(slow)) / close",
        operator: |a| Box::new(Macd::new(a, MacdShown::Line)),
        ..MACD
    },
    FeatureKind {
        name: "macd_signal",
        summary: "The smoothed distance of a fast from a slow average.",
        formula: "EMA of (EMA(fast) - EMA(slow)), over close",
        operator: |a| Box::new(Macd::new(a, MacdShown::Signal)),
        ..MACD
    },
    FeatureKind {
        name: "macd_histogram",
        summary: "How far the distance of two averages lies above its own average.",
        formula: "(MACD line - MACD signal) / close",
        operator: |a| Box::new(Macd::new(a, MacdShown::Histogram)),
        ..MACD
    },
    FeatureKind {
        name: "adx",
        summary: "Strength of the trend, whatever its direction.",
        formula: "Wilder's average of 100 |+DI - -DI| / (+DI + -DI)",
        source: "J. W. Wilder 1978; TA-Lib ADX",
        units: "0 to 100",
        parameters: WINDOW,
        inputs: RANGES,
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 2),
        },
        warmup_bars: |a| 2 * a.bars_u32(0),
        operator: |a| Box::new(Adx::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "di_difference",
        summary: "Upward against downward directional movement.",
        formula: "+DI - -DI",
        source: "J. W. Wilder 1978; TA-Lib PLUS_DI, MINUS_DI",
        units: "-100 to 100",
        parameters: WINDOW,
        inputs: RANGES,
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(DiDifference {
                movement: DirectionalMovement::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "aroon_oscillator",
        summary: "Whether the window's high is newer than its low.",
        formula: "100 (age of the low - age of the high) / period, over period + 1 bars",
        source: "T. Chande 1995; TA-Lib AROONOSC",
        units: "-100 to 100",
        parameters: WINDOW,
        inputs: &[Input::High, Input::Low],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(AroonOscillator {
                period: a.number(0),
                highest: AgedExtreme::highest(a.bars(0) + 1),
                lowest: AgedExtreme::lowest(a.bars(0) + 1),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "trix",
        summary: "Rate of change of a triple exponential average.",
        formula: "100 (E3[t] / E3[t - 1] - 1), E3 = EMA(EMA(EMA(close)))",
        source: "J. Hutson; TA-Lib TRIX",
        units: "percent per bar",
        parameters: &[Parameter::bars(
            "period",
            15,
            2,
            "length of each average in bars",
        )],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 3),
        },
        warmup_bars: |a| 3 * a.bars_u32(0) - 1,
        operator: |a| Box::new(Trix::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "linear_slope",
        summary: "Slope of the least-squares line through the closes.",
        formula: "LINEARREG_SLOPE(close) / close",
        source: "TA-Lib LINEARREG_SLOPE",
        units: "share of the price per bar",
        parameters: WINDOW,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(LinearSlope {
                line: RollingLine::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "linear_r2",
        summary: "How straight the closes of the window are.",
        formula: "squared correlation of close and position; 0 when flat",
        source: "TA-Lib CORREL",
        units: "share of variance",
        parameters: &[Parameter::bars("period", 14, 3, "window length in bars")],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(LinearR2 {
                count: a.number(0),
                line: RollingLine::new(a.bars(0)),
                moments: RollingMoments::new(a.bars(0)),
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct SmaRatio {
    mean: RollingMean,
}

impl Operator for SmaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(log_ratio(bar.close, self.mean.push(bar.close)?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            all.mean.push_all(bars.close(), values);
            log_ratios(bars.close(), values);
        });
    }
}

#[derive(Debug, Clone)]
struct EmaRatio {
    mean: Ema,
}

impl Operator for EmaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(log_ratio(bar.close, self.mean.push(bar.close)?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            all.mean.push_all(bars.close(), values);
            log_ratios(bars.close(), values);
        });
    }
}

#[derive(Debug, Clone)]
struct DemaRatio {
    first: Ema,
    second: Ema,
}

impl Operator for DemaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(1.0 - self.average(bar.close)? / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        each_close(self, bars, values, Self::average);
        for (close, value) in bars.close().iter().zip(values) {
            *value = 1.0 - *value / close;
        }
    }
}

impl DemaRatio {
    #[inline]
    fn average(&mut self, close: f64) -> Option<f64> {
        let first = self.first.push(close)?;
        let second = self.second.push(first)?;
        Some(2.0 * first - second)
    }
}

/// All three MACD features; they differ in what they show, and appear together.
#[derive(Debug, Clone)]
struct Macd {
    /// Bars that the fast average leaves out, so that both averages begin with the same bar.
    skipped: usize,
    fast: Ema,
    slow: Ema,
    signal: Ema,
    shown: MacdShown,
}

#[derive(Debug, Clone, Copy)]
enum MacdShown {
    Line,
    Signal,
    Histogram,
}

impl Macd {
    fn new(arguments: &Arguments, shown: MacdShown) -> Self {
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
    fn push(&mut self, close: f64) -> Option<f64> {
        let slow = self.slow.push(close);
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        let line = self.fast.push(close)? - slow?;
        let signal = self.signal.push(line)?;
        Some(match self.shown {
            MacdShown::Line => line,
            MacdShown::Signal => signal,
            MacdShown::Histogram => line - signal,
        })
    }
}

impl Operator for Macd {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.push(bar.close)? / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        each_close(self, bars, values, Self::push);
        for (close, value) in bars.close().iter().zip(values) {
            *value /= close;
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Adx {
    movement: DirectionalMovement,
    mean: WilderMean,
    latest: Option<f64>,
}

impl Adx {
    pub(super) fn new(period: usize) -> Self {
        Self {
            movement: DirectionalMovement::new(period),
            mean: WilderMean::new(period),
            latest: None,
        }
    }
}

impl Operator for Adx {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.step([bar.high, bar.low, bar.close])
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let mut held = self.clone();
        let prices = bars.high().iter().zip(bars.low()).zip(bars.close());
        for (((high, low), close), value) in prices.zip(values) {
            *value = held.step([*high, *low, *close]).unwrap_or(f64::NAN);
        }
        *self = held;
    }
}

impl Adx {
    #[inline]
    fn step(&mut self, prices: [f64; 3]) -> Option<f64> {
        let (plus, minus) = self.movement.step(prices)?;
        let total = plus + minus;
        if total > 0.0 {
            self.latest = self.mean.push(100.0 * (plus - minus).abs() / total);
        } else if self.latest.is_none() {
            // As in TA-Lib: a bar without movement counts while the average is seeded, and leaves
            // it alone afterwards.
            self.latest = self.mean.push(0.0);
        }
        self.latest
    }
}

#[derive(Debug, Clone)]
struct DiDifference {
    movement: DirectionalMovement,
}

impl Operator for DiDifference {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (plus, minus) = self.movement.push(bar)?;
        Some(plus - minus)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let show = |(plus, minus)| plus - minus;
        self.movement.push_all(bars, values, show);
    }
}

#[derive(Debug, Clone)]
struct AroonOscillator {
    period: f64,
    highest: AgedExtreme,
    lowest: AgedExtreme,
}

impl Operator for AroonOscillator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        Some(100.0 / self.period * (lowest - highest?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let scale = 100.0 / self.period;
        let prices = bars.high().iter().zip(bars.low());
        for ((high, low), value) in prices.zip(values) {
            let ages = self.highest.push(*high).zip(self.lowest.push(*low));
            *value = ages.map_or(f64::NAN, |(highest, lowest)| scale * (lowest - highest));
        }
    }
}

#[derive(Debug, Clone)]
struct Trix {
    stages: [Ema; 3],
    previous: Ring,
}

impl Trix {
    fn new(period: usize) -> Self {
        Self {
            stages: [Ema::new(period), Ema::new(period), Ema::new(period)],
            previous: Ring::new(1),
        }
    }
}

#[inline]
fn smooth_by([first, second, third]: &mut [Ema; 3], close: f64) -> Option<f64> {
    third.push(second.push(first.push(close)?)?)
}

impl Operator for Trix {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let value = smooth_by(&mut self.stages, bar.close)?;
        let previous = self.previous.push(value)?;
        Some(100.0 * (value / previous - 1.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let mut smooth = [0.0; ROWS];
            let smooth = &mut smooth[..bars.len()];
            each_close(&mut all.stages, bars, smooth, smooth_by);
            let missing = smooth.iter().take_while(|value| value.is_nan()).count();
            let smooth = &smooth[missing..];
            let (blank, values) = values.split_at_mut(missing);
            blank.fill(f64::NAN);
            all.previous.push_all(smooth, values);
            for (smooth, value) in smooth.iter().zip(values) {
                *value = 100.0 * (smooth / *value - 1.0);
            }
        });
    }
}

#[derive(Debug, Clone)]
struct LinearSlope {
    line: RollingLine,
}

impl Operator for LinearSlope {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.line.push(bar.close)?.slope / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let closes = bars.close();
            let slope = |place: usize, line: Line| line.slope / closes[place];
            all.line.push_all(closes, values, slope);
        });
    }
}

#[derive(Debug, Clone)]
struct LinearR2 {
    count: f64,
    line: RollingLine,
    moments: RollingMoments,
}

impl Operator for LinearR2 {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let moments = self.moments.push(bar.close);
        let line = self.line.push(bar.close)?;
        Some(line.r_squared(self.count, moments?.standard_deviation))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let mut deviations = [0.0; ROWS];
            let deviations = &mut deviations[..bars.len()];
            all.moments.push_all(bars.close(), deviations, deviation);
            let share = |place: usize, line: Line| line.r_squared(all.count, deviations[place]);
            all.line.push_all(bars.close(), values, share);
        });
    }
}

crate::state! {
    SmaRatio { mean }
    EmaRatio { mean }
    DemaRatio { first, second }
    Macd { skipped, fast, slow, signal }
    Adx { movement, mean, latest }
    DiDifference { movement }
    AroonOscillator { highest, lowest }
    Trix { stages, previous }
    LinearSlope { line }
    LinearR2 { line, moments }
}
