//! Direction and strength of a trend. Definitions and seeding are TA-Lib's, made relative to the
//! price where TA-Lib gives price units.

use super::kind::{
    Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_ema, settling_wilder,
};
use super::macd::{Macd, MacdShown};
use super::movement::DirectionalMovement;
use super::parts::{
    FEW, deviation, in_parts, in_warm_parts, log_ratio, log_ratios, one_by_one, until_warm,
};
use super::wide::wide;
use super::window::{
    AgedExtreme, Ema, EmaChain, Line, ROWS, RollingLine, RollingMean, RollingMoments, TOGETHER,
    WilderMean,
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
            Box::new(DemaRatio {
                stages: EmaChain::new(a.bars(0)),
            })
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
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.mean.push_all(bars.close(), values);
                log_ratios(bars.close(), values);
            },
        );
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
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.mean.push_all(bars.close(), values);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct DemaRatio {
    stages: EmaChain<2>,
}

impl Operator for DemaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [first, second] = self.stages.push(bar.close)?;
        Some(1.0 - (2.0 * first - second) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.stages.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let mut first = [0.0; ROWS];
                let first = &mut first[..bars.len()];
                all.stages
                    .push_all(bars.close(), [&mut *first, &mut *values]);
                let averages = first.iter().zip(bars.close());
                for (value, (first, close)) in values.iter_mut().zip(averages) {
                    *value = 1.0 - (2.0 * first - *value) / close;
                }
            },
        );
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
        let (plus, minus) = self.movement.push(bar)?;
        self.step(plus, minus)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut plus, mut minus) = ([0.0; ROWS], [0.0; ROWS]);
                if all.latest.is_none() || !all.movement.indices(bars, &mut plus, &mut minus) {
                    one_by_one(all, bars, values);
                    return;
                }
                let mut still = 0_u64;
                let pairs = plus[..bars.len()].iter_mut().zip(&minus);
                let mut directions = [0.0; ROWS];
                for (direction, (plus, minus)) in directions.iter_mut().zip(pairs) {
                    let is_moving = *plus + minus > 0.0;
                    still += u64::from(!is_moving);
                    *direction = direction_of(*plus, *minus);
                }
                if still > 0 {
                    let pairs = plus.iter().zip(&minus);
                    for (value, (plus, minus)) in values.iter_mut().zip(pairs) {
                        *value = all.step(*plus, *minus).unwrap_or(f64::NAN);
                    }
                } else {
                    all.mean.push_all(&directions[..bars.len()], values);
                    all.latest = values.last().copied();
                }
            },
        );
    }
}

/// Directional index, in percent.
#[inline(always)]
fn direction_of(plus: f64, minus: f64) -> f64 {
    100.0 * (plus - minus).abs() / (plus + minus)
}

impl Adx {
    #[inline]
    fn step(&mut self, plus: f64, minus: f64) -> Option<f64> {
        if plus + minus > 0.0 {
            self.latest = self.mean.push(direction_of(plus, minus));
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
    stages: EmaChain<3>,
    previous: Option<f64>,
}

impl Trix {
    fn new(period: usize) -> Self {
        Self {
            stages: EmaChain::new(period),
            previous: None,
        }
    }

    #[inline(always)]
    fn change(value: f64, previous: f64) -> f64 {
        100.0 * (value / previous - 1.0)
    }
}

impl Operator for Trix {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [_, _, value] = self.stages.push(bar.close)?;
        let previous = self.previous.replace(value)?;
        Some(Self::change(value, previous))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let is_warm = |all: &Self| all.stages.is_fast() && all.previous.is_some();
        let shown = until_warm(self, bars, values, is_warm);
        let (bars, values) = (bars.slice(shown..bars.len()), &mut values[shown..]);
        let done = wide(
            #[inline(always)]
            || self.push_fours(bars.close(), values),
        );
        one_by_one(self, bars.slice(done..bars.len()), &mut values[done..]);
    }
}

impl Trix {
    /// As many closes as come in fours; how many they are.
    #[inline(always)]
    fn push_fours(&mut self, closes: &[f64], values: &mut [f64]) -> usize {
        let (Some(stages), Some(previous)) = (self.stages.fours(), self.previous) else {
            return 0;
        };
        let [mut first, mut second, mut third] = stages;
        let (closes, values) = (closes.as_chunks::<4>().0, values.as_chunks_mut::<4>().0);
        let mut last = [previous; 4];
        let parts = closes.chunks(TOGETHER / 4);
        for (closes, values) in parts.zip(values.chunks_mut(TOGETHER / 4)) {
            for (value, closes) in values.iter_mut().zip(closes) {
                *value = first.step(*closes);
            }
            for value in &mut *values {
                *value = second.step(*value);
            }
            for value in values {
                let now = third.step(*value);
                let [a, b, c, _] = now;
                let before = [last[3], a, b, c];
                *value = std::array::from_fn(|lane| Self::change(now[lane], before[lane]));
                last = now;
            }
        }
        self.stages.go_on(&[first, second, third]);
        self.previous = last.last().copied();
        4 * values.len()
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
        if bars.len() < FEW {
            one_by_one(self, bars, values);
            return;
        }
        let closes = bars.close();
        self.line
            .push_slopes([closes, closes], values, |slope, close| slope / close);
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
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut deviations = [0.0; ROWS];
                let deviations = &mut deviations[..bars.len()];
                all.moments.push_all(bars.close(), deviations, deviation);
                let share = |place: usize, line: Line| line.r_squared(all.count, deviations[place]);
                all.line.push_all(bars.close(), values, share);
            },
        );
    }
}

crate::state! {
    SmaRatio { mean }
    EmaRatio { mean }
    DemaRatio { stages }
    Adx { movement, mean, latest }
    DiDifference { movement }
    AroonOscillator { highest, lowest }
    Trix { stages, previous }
    LinearSlope { line }
    LinearR2 { line, moments }
}
