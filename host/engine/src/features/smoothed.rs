//! Oscillators made of smoothed differences: averages against averages, prices against averages.

use super::averaged::{
    Accelerator, Awesome, Coppock, ElderRay, KnowSureThing, MiddleAverages, Ppo, PrettyGood,
    TrueStrength, TwoEmas,
};
use super::kind::{
    Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_ema, settling_steps,
};
use super::parts::{in_warm_parts, share, window};
use super::window::{Ema, ROWS, Ring, RollingExtreme, RollingLine, RollingMean};
use super::{Bars, Operator};
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.lowest.missing() == 0 && all.range.is_warm() && all.distance.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let (mut highest, mut lowest) = ([0.0; ROWS], [0.0; ROWS]);
                let highest = &mut highest[..bars.len()];
                let lowest = &mut lowest[..bars.len()];

                all.highest.push_all(bars.high(), highest);
                all.lowest.push_all(bars.low(), lowest);
                let edges = highest.iter_mut().zip(&mut *lowest);
                for ((highest, lowest), close) in edges.zip(bars.close()) {
                    let (top, bottom) = (*highest, *lowest);
                    (*highest, *lowest) = (close - (top + bottom) / 2.0, top - bottom);
                }
                all.distance.push_all(highest, values);
                all.range.push_all(lowest, highest);
                for (value, range) in values.iter_mut().zip(&*highest) {
                    *value = 100.0 * share(*value, range / 2.0, 0.0);
                }
            },
        );
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

impl Fisher {
    #[inline]
    fn stretch(&mut self, place: f64) -> f64 {
        self.place = (0.66 * (place - 0.5) + 0.67 * self.place).clamp(-0.999, 0.999);
        self.value = self.place.atanh() + 0.5 * self.value;
        self.value
    }
}

impl Operator for Fisher {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let middle = (bar.high + bar.low) / 2.0;
        let highest = self.highest.push(middle);
        let lowest = self.lowest.push(middle)?;
        let place = share(middle - lowest, highest? - lowest, 0.5);
        Some(self.stretch(place))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.lowest.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut middles, mut highest, mut lowest) =
                    ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let middles = &mut middles[..bars.len()];
                let highest = &mut highest[..bars.len()];
                let lowest = &mut lowest[..bars.len()];

                for (middle, (high, low)) in
                    middles.iter_mut().zip(bars.high().iter().zip(bars.low()))
                {
                    *middle = (high + low) / 2.0;
                }
                all.highest.push_all(middles, highest);
                all.lowest.push_all(middles, lowest);
                let edges = highest.iter().zip(&*lowest).zip(&*middles);
                for (value, ((highest, lowest), middle)) in values.iter_mut().zip(edges) {
                    *value = all.stretch(share(middle - lowest, highest - lowest, 0.5));
                }
            },
        );
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
        Some(self.place_in(highest?, lowest, value))
    }

    #[inline]
    fn place_in(&mut self, highest: f64, lowest: f64, value: f64) -> f64 {
        let place = share(value - lowest, highest - lowest, self.place / 100.0);
        self.place = 100.0 * place;
        let smooth = self
            .smooth
            .map_or(self.place, |last| last + (self.place - last) / 2.0);
        self.smooth = Some(smooth);
        smooth
    }

    fn is_warm(&self) -> bool {
        self.lowest.missing() == 0
    }

    /// The places after each of at most [`ROWS`] values.
    fn push_all(&mut self, values: &[f64], places: &mut [f64]) {
        let mut lowest = [0.0; ROWS];
        let lowest = &mut lowest[..values.len()];
        self.highest.push_all(values, places);
        self.lowest.push_all(values, lowest);
        for ((place, lowest), value) in places.iter_mut().zip(lowest).zip(values) {
            *place = self.place_in(*place, *lowest, *value);
        }
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| {
                all.fast.missing() + all.slow.missing() == 0
                    && all.stages.iter().all(Placed::is_warm)
            },
            #[inline(always)]
            |all, bars, values| {
                let (mut line, mut first) = ([0.0; ROWS], [0.0; ROWS]);
                let line = &mut line[..bars.len()];
                let first = &mut first[..bars.len()];

                all.fast.push_all(bars.close(), line);
                all.slow.push_all(bars.close(), first);
                for (line, slow) in line.iter_mut().zip(&*first) {
                    *line = -(slow - *line);
                }
                let [of_line, of_first] = &mut all.stages;
                of_line.push_all(line, first);
                of_first.push_all(first, values);
            },
        );
    }
}

crate::state! {
    StochasticMomentum { highest, lowest, distance, range }
    Fisher { highest, lowest, place, value }
    Placed { highest, lowest, place, smooth }
    Schaff { fast, slow, stages }
}
