//! Oscillators made of smoothed differences: averages against averages, prices against averages.

use super::Operator;
use super::kind::{
    Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_ema, settling_steps,
};
use super::movement::true_range;
use super::parts::{share, window};
use super::window::{Ema, Ring, RollingExtreme, RollingLine, RollingMean};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Momentum,
    units: "share of the price",
    ..FeatureKind::BASE
};

const FAST_BELOW_SLOW: Option<Constraint> = Some(Constraint {
    holds: |a| a.number(0) < a.number(1),
    requirement: "`fast` must be below `slow`",
});

const ELDER: FeatureKind = FeatureKind {
    source: "A. Elder 1989; TA-Lib EMA",
    parameters: &[Parameter::bars(
        "period",
        13,
        2,
        "length of the average in bars",
    )],
    memory: Memory::Recursive {
        settling_bars: |a| settling_ema(a.number(0), 1),
    },
    warmup_bars: |a| a.bars_u32(0),
    ..BASE
};

const AWESOME: FeatureKind = FeatureKind {
    source: "B. Williams 1995; TA-Lib SMA, MEDPRICE",
    parameters: &[
        Parameter::bars("fast", 5, 1, "length of the fast average in bars"),
        Parameter::bars("slow", 34, 2, "length of the slow average in bars"),
    ],
    constraint: FAST_BELOW_SLOW,
    inputs: &[Input::High, Input::Low, Input::Close],
    warmup_bars: |a| a.bars_u32(1),
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "ppo",
        summary: "How far a fast exponential average lies above a slow one.",
        formula: "100 (EMA(fast) / EMA(slow) - 1)",
        source: "G. Appel; TA-Lib PPO with exponential averages",
        units: "percent",
        parameters: &[
            Parameter::bars("fast", 12, 2, "length of the fast average in bars"),
            Parameter::bars("slow", 26, 3, "length of the slow average in bars"),
        ],
        constraint: FAST_BELOW_SLOW,
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(1), 1),
        },
        warmup_bars: |a| a.bars_u32(1),
        operator: |a| {
            Box::new(Ppo {
                fast: Ema::new(a.bars(0)),
                slow: Ema::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "coppock",
        summary: "Weighted average of two rates of change.",
        formula: "WMA(ROC(long) + ROC(short))",
        source: "E. Coppock 1962; TA-Lib ROC, WMA",
        units: "percent",
        parameters: &[
            Parameter::bars("long", 14, 2, "bars of the long rate of change"),
            Parameter::bars("short", 11, 1, "bars of the short rate of change"),
            Parameter::bars("average", 10, 2, "length of the average in bars"),
        ],
        warmup_bars: |a| a.bars_u32(0).max(a.bars_u32(1)) + a.bars_u32(2),
        operator: |a| {
            Box::new(Coppock {
                closes: [Ring::new(a.bars(0)), Ring::new(a.bars(1))],
                mean: RollingLine::new(a.bars(2)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "kst",
        summary: "Know sure thing: four averaged rates of change, the longest weighing most.",
        formula: "SMA(ROC(10), 10) + 2 SMA(ROC(15), 10) + 3 SMA(ROC(20), 10) + 4 SMA(ROC(30), 15)",
        source: "M. Pring 1992; TA-Lib ROC, SMA",
        units: "percent",
        warmup_bars: |_| 45,
        operator: |_| Box::new(KnowSureThing::new()),
        ..BASE
    },
    FeatureKind {
        name: "elder_bull",
        summary: "How far the bar's high rose above the average.",
        formula: "(high - EMA(close)) / close",
        inputs: &[Input::High, Input::Close],
        operator: |a| Box::new(ElderRay::new(a.bars(0), |bar| bar.high)),
        ..ELDER
    },
    FeatureKind {
        name: "elder_bear",
        summary: "How far the bar's low lies above (or below) the average.",
        formula: "(low - EMA(close)) / close",
        inputs: &[Input::Low, Input::Close],
        operator: |a| Box::new(ElderRay::new(a.bars(0), |bar| bar.low)),
        ..ELDER
    },
    FeatureKind {
        name: "tsi",
        summary: "True strength: twice smoothed changes against twice smoothed sizes of changes.",
        formula: "100 EMA(EMA(change, slow), fast) / EMA(EMA(|change|, slow), fast); 0 where \
                  nothing changed",
        source: "W. Blau 1991; TA-Lib EMA",
        units: "-100 to 100",
        parameters: &[
            Parameter::bars("slow", 25, 2, "length of the first average in bars"),
            Parameter::bars("fast", 13, 2, "length of the second average in bars"),
        ],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1) + settling_ema(a.number(1), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1),
        operator: |a| {
            Box::new(TrueStrength {
                previous_close: None,
                change: TwoEmas::new(a.bars(0), a.bars(1)),
                size: TwoEmas::new(a.bars(0), a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "smi",
        summary: "Stochastic momentum: distance from the middle of the range, twice smoothed.",
        formula: "100 EMA(EMA(close - middle)) / (EMA(EMA(range)) / 2), middle and range of the \
                  window's highs and lows; 0 without range",
        source: "W. Blau 1993; TA-Lib EMA, MIDPRICE",
        units: "-100 to 100",
        parameters: &[
            window(13),
            Parameter::bars("slow", 25, 2, "length of the first average in bars"),
            Parameter::bars("fast", 2, 2, "length of the second average in bars"),
        ],
        inputs: &[Input::High, Input::Low, Input::Close],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(1), 1) + settling_ema(a.number(2), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + a.bars_u32(2) - 2,
        operator: |a| Box::new(StochasticMomentum::new(a.bars(0), a.bars(1), a.bars(2))),
        ..BASE
    },
    FeatureKind {
        name: "awesome",
        summary: "A fast against a slow average of the bars' middles.",
        formula: "(SMA(m, fast) - SMA(m, slow)) / close, m = (high + low) / 2",
        operator: |a| {
            Box::new(Awesome {
                averages: MiddleAverages::new(a.bars(0), a.bars(1)),
            })
        },
        ..AWESOME
    },
    FeatureKind {
        name: "accelerator",
        summary: "Whether the distance of the two averages grows.",
        formula: "(D - SMA(D, signal)) / close, D = SMA(m, fast) - SMA(m, slow), m = (high + low) \
                  / 2",
        parameters: &[
            Parameter::bars("fast", 5, 1, "length of the fast average in bars"),
            Parameter::bars("slow", 34, 2, "length of the slow average in bars"),
            Parameter::bars("signal", 5, 2, "length of the distance's average in bars"),
        ],
        warmup_bars: |a| a.bars_u32(1) + a.bars_u32(2) - 1,
        operator: |a| {
            Box::new(Accelerator {
                averages: MiddleAverages::new(a.bars(0), a.bars(1)),
                signal: RollingMean::new(a.bars(2)),
            })
        },
        ..AWESOME
    },
    FeatureKind {
        name: "fisher",
        summary: "Place in the recent range, stretched so that turns stand out.",
        formula: "F = ln((1 + x) / (1 - x)) / 2 + F[-1] / 2; x = 0.33 * 2 (place - 0.5) + 0.67 \
                  x[-1], held within 0.999; place of (high + low) / 2 among its window, 0.5 \
                  without range",
        source: "J. Ehlers 2002",
        units: "none",
        parameters: &[window(10)],
        inputs: &[Input::High, Input::Low],
        memory: Memory::Recursive {
            settling_bars: |_| settling_steps(0.67, 4),
        },
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| Box::new(Fisher::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "schaff",
        summary: "Schaff's trend cycle: the place of the MACD line in its range, twice.",
        formula: "S(S(EMA(fast) - EMA(slow))); S is the smoothed stochastic s += (100 (x - lowest) \
                  / (highest - lowest) - s) / 2, the last place where there is no range, \
                  0 at first",
        source: "D. Schaff 1999; TA-Lib EMA, MIN, MAX",
        units: "0 to 100",
        parameters: &[
            Parameter::bars("fast", 23, 2, "length of the fast average in bars"),
            Parameter::bars("slow", 50, 3, "length of the slow average in bars"),
            Parameter::bars("cycle", 10, 2, "window of the stochastics"),
        ],
        constraint: FAST_BELOW_SLOW,
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(1), 4),
        },
        warmup_bars: |a| a.bars_u32(1) + 2 * a.bars_u32(2) - 2,
        operator: |a| {
            Box::new(Schaff {
                fast: Ema::new(a.bars(0)),
                slow: Ema::new(a.bars(1)),
                stages: [Placed::new(a.bars(2)), Placed::new(a.bars(2))],
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "pgo",
        summary: "Pretty good oscillator: distance from the average in average true ranges.",
        formula: "(close - SMA(close)) / EMA(true range); 0 without range",
        source: "M. Johnson; TA-Lib SMA, EMA, TRANGE",
        units: "average true ranges",
        parameters: &[window(14)],
        inputs: &[Input::High, Input::Low, Input::Close],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(PrettyGood {
                previous_close: None,
                mean: RollingMean::new(a.bars(0)),
                range: Ema::new(a.bars(0)),
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct Ppo {
    fast: Ema,
    slow: Ema,
}

impl Operator for Ppo {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.close);
        let slow = self.slow.push(bar.close)?;
        Some(100.0 * (fast? / slow - 1.0))
    }
}

#[derive(Debug, Clone)]
struct Coppock {
    closes: [Ring; 2],
    mean: RollingLine,
}

impl Operator for Coppock {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [long, short] = self.closes.each_mut().map(|ring| ring.push(bar.close));
        let rates = 100.0 * (bar.close / long? - 1.0) + 100.0 * (bar.close / short? - 1.0);
        Some(self.mean.push(rates)?.weighted_mean)
    }
}

#[derive(Debug, Clone)]
struct KnowSureThing {
    rates: [(Ring, RollingMean); 4],
}

impl KnowSureThing {
    fn new() -> Self {
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
        Some(first? + 2.0 * second? + 3.0 * third? + 4.0 * fourth?)
    }
}

#[derive(Debug, Clone)]
struct ElderRay {
    mean: Ema,
    level: fn(&Bar) -> f64,
}

impl ElderRay {
    fn new(period: usize, level: fn(&Bar) -> f64) -> Self {
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
}

/// An exponential average of another.
#[derive(Debug, Clone)]
struct TwoEmas {
    first: Ema,
    second: Ema,
}

impl TwoEmas {
    fn new(first: usize, second: usize) -> Self {
        Self {
            first: Ema::new(first),
            second: Ema::new(second),
        }
    }

    fn push(&mut self, value: f64) -> Option<f64> {
        self.second.push(self.first.push(value)?)
    }
}

#[derive(Debug, Clone)]
struct TrueStrength {
    previous_close: Option<f64>,
    change: TwoEmas,
    size: TwoEmas,
}

impl Operator for TrueStrength {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = bar.close - self.previous_close.replace(bar.close)?;
        let smooth = self.change.push(change);
        let size = self.size.push(change.abs())?;
        Some(100.0 * share(smooth?, size, 0.0))
    }
}

#[derive(Debug, Clone)]
struct StochasticMomentum {
    highest: RollingExtreme,
    lowest: RollingExtreme,
    distance: TwoEmas,
    range: TwoEmas,
}

impl StochasticMomentum {
    fn new(period: usize, slow: usize, fast: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
            distance: TwoEmas::new(slow, fast),
            range: TwoEmas::new(slow, fast),
        }
    }
}

impl Operator for StochasticMomentum {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        let highest = highest?;
        let distance = self.distance.push(bar.close - (highest + lowest) / 2.0);
        let range = self.range.push(highest - lowest)?;
        Some(100.0 * share(distance?, range / 2.0, 0.0))
    }
}

/// A fast and a slow average of the bars' middles.
#[derive(Debug, Clone)]
struct MiddleAverages {
    fast: RollingMean,
    slow: RollingMean,
}

impl MiddleAverages {
    fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast: RollingMean::new(fast),
            slow: RollingMean::new(slow),
        }
    }

    /// Their distance.
    fn push(&mut self, bar: &Bar) -> Option<f64> {
        let middle = (bar.high + bar.low) / 2.0;
        let fast = self.fast.push(middle);
        let slow = self.slow.push(middle)?;
        Some(fast? - slow)
    }
}

#[derive(Debug, Clone)]
struct Awesome {
    averages: MiddleAverages,
}

impl Operator for Awesome {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.averages.push(bar)? / bar.close)
    }
}

#[derive(Debug, Clone)]
struct Accelerator {
    averages: MiddleAverages,
    signal: RollingMean,
}

impl Operator for Accelerator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let distance = self.averages.push(bar)?;
        Some((distance - self.signal.push(distance)?) / bar.close)
    }
}

#[derive(Debug, Clone)]
struct Fisher {
    highest: RollingExtreme,
    lowest: RollingExtreme,
    place: f64,
    value: f64,
}

impl Fisher {
    fn new(period: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
            place: 0.0,
            value: 0.0,
        }
    }
}

impl Operator for Fisher {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let middle = (bar.high + bar.low) / 2.0;
        let highest = self.highest.push(middle);
        let lowest = self.lowest.push(middle)?;
        let place = share(middle - lowest, highest? - lowest, 0.5);
        self.place = (0.66 * (place - 0.5) + 0.67 * self.place).clamp(-0.999, 0.999);
        self.value = self.place.atanh() + 0.5 * self.value;
        Some(self.value)
    }
}

/// A number's place in its recent range, smoothed with weight one half.
#[derive(Debug, Clone)]
struct Placed {
    highest: RollingExtreme,
    lowest: RollingExtreme,
    place: f64,
    smooth: Option<f64>,
}

impl Placed {
    fn new(period: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
            place: 0.0,
            smooth: None,
        }
    }

    fn push(&mut self, value: f64) -> Option<f64> {
        let highest = self.highest.push(value);
        let lowest = self.lowest.push(value)?;
        let place = share(value - lowest, highest? - lowest, self.place / 100.0);
        self.place = 100.0 * place;
        let smooth = self
            .smooth
            .map_or(self.place, |last| last + (self.place - last) / 2.0);
        self.smooth = Some(smooth);
        self.smooth
    }
}

#[derive(Debug, Clone)]
struct Schaff {
    fast: Ema,
    slow: Ema,
    stages: [Placed; 2],
}

impl Operator for Schaff {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.close);
        let line = -(self.slow.push(bar.close)? - fast?);
        let [first, second] = &mut self.stages;
        second.push(first.push(line)?)
    }
}

#[derive(Debug, Clone)]
struct PrettyGood {
    previous_close: Option<f64>,
    mean: RollingMean,
    range: Ema,
}

impl Operator for PrettyGood {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let mean = self.mean.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let range = self.range.push(true_range(bar, previous))?;
        Some(share(bar.close - mean?, range, 0.0))
    }
}

crate::state! {
    Ppo { fast, slow }
    Coppock { closes, mean }
    KnowSureThing { rates }
    ElderRay { mean }
    TwoEmas { first, second }
    TrueStrength { previous_close, change, size }
    StochasticMomentum { highest, lowest, distance, range }
    MiddleAverages { fast, slow }
    Awesome { averages }
    Accelerator { averages, signal }
    Fisher { highest, lowest, place, value }
    Placed { highest, lowest, place, smooth }
    Schaff { fast, slow, stages }
    PrettyGood { previous_close, mean, range }
}
