//! The close against averages that weigh or adapt in other ways than the simple and the
//! exponential one. Where an average can leave the range of its prices, the distance is taken in
//! shares of the close rather than as a logarithm, so that a crash leaves it finite.

use super::hull::{HmaRatio, HmaSlope, Hull, root, weighted_mean};
use super::kind::{
    Constraint, Family, FeatureKind, Memory, Parameter, settling_ema, settling_steps,
};
use super::movement::differences;
use super::parts::{in_parts, in_warm_parts, log_ratio, log_ratios, share};
use super::window::{Ema, EmaChain, ROWS, Ring, RollingLine, RollingMean, RollingSum};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Trend,
    units: "share of the price",
    parameters: &[Parameter::bars(
        "period",
        20,
        2,
        "length of the average in bars",
    )],
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

const HULL: FeatureKind = FeatureKind {
    source: "A. Hull 2005; TA-Lib WMA",
    parameters: &[Parameter::bars(
        "period",
        20,
        4,
        "length of the longest average in bars",
    )],
    warmup_bars: |a| a.bars_u32(0) + root(a.bars(0)) as u32 - 1,
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "wma_ratio",
        summary: "How far the close lies above its linearly weighted average.",
        formula: "ln(close / WMA(close)); weights 1 (oldest) to period (newest)",
        source: "TA-Lib WMA",
        units: "log return",
        operator: |a| {
            Box::new(WmaRatio {
                line: RollingLine::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "trima_ratio",
        summary: "How far the close lies above its triangular average.",
        formula: "ln(close / TRIMA(close)), the average of averages over half the period each",
        source: "TA-Lib TRIMA",
        units: "log return",
        operator: |a| {
            let first = a.bars(0).div_ceil(2);
            Box::new(TrimaRatio {
                first: RollingMean::new(first),
                second: RollingMean::new(a.bars(0) + 1 - first),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "tema_ratio",
        summary: "How far the close lies above its triple exponential average.",
        formula: "1 - (3 E1 - 3 E2 + E3) / close, E2 = EMA(E1), E3 = EMA(E2)",
        source: "P. Mulloy 1994; TA-Lib TEMA",
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 3),
        },
        warmup_bars: |a| 3 * a.bars_u32(0) - 2,
        operator: |a| {
            Box::new(TemaRatio {
                stages: EmaChain::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "t3_ratio",
        summary: "How far the close lies above its T3 average.",
        formula: "1 - T3 / close; T3 = c1 E6 + c2 E5 + c3 E4 + c4 E3 of six exponential averages \
                  in a row, with the volume factor v",
        source: "T. Tillson 1998; TA-Lib T3",
        parameters: &[
            Parameter::bars("period", 5, 2, "length of each average in bars"),
            Parameter {
                name: "factor",
                default: 0.7,
                min: 0.0,
                max: 1.0,
                whole: false,
                doc: "volume factor v: 0 is the plain average, 1 overshoots like DEMA",
            },
        ],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 6),
        },
        warmup_bars: |a| 6 * a.bars_u32(0) - 5,
        operator: |a| Box::new(T3Ratio::new(a.bars(0), a.number(1))),
        ..BASE
    },
    FeatureKind {
        name: "hma_ratio",
        summary: "How far the close lies above its Hull average.",
        formula: "1 - HMA / close; HMA = WMA(2 WMA(period / 2) - WMA(period), sqrt(period))",
        operator: |a| {
            Box::new(HmaRatio {
                hull: Hull::new(a.bars(0)),
            })
        },
        ..HULL
    },
    FeatureKind {
        name: "hma_slope",
        summary: "How fast the Hull average rises.",
        formula: "(HMA[t] - HMA[t - 1]) / close",
        units: "share of the price per bar",
        warmup_bars: |a| a.bars_u32(0) + root(a.bars(0)) as u32,
        operator: |a| {
            Box::new(HmaSlope {
                hull: Hull::new(a.bars(0)),
                previous: None,
            })
        },
        ..HULL
    },
    FeatureKind {
        name: "kama_ratio",
        summary: "How far the close lies above Kaufman's adaptive average.",
        formula: "ln(close / KAMA); weight (ER (2/3 - 2/31) + 2/31)^2, ER = |change over the \
                  window| / sum of |changes|",
        source: "P. Kaufman 1995; TA-Lib KAMA",
        units: "log return",
        parameters: &[Parameter::bars(
            "period",
            10,
            2,
            "window of the efficiency ratio",
        )],
        memory: Memory::Recursive {
            // At the lowest weight; a market that moves forgets much faster.
            settling_bars: |_| settling_steps(1.0 - KAMA_SLOW * KAMA_SLOW, 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| Box::new(KamaRatio::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "zlema_ratio",
        summary: "How far the close lies above its lag-compensated exponential average.",
        formula: "1 - EMA(2 close[t] - close[t - (period - 1) / 2]) / close",
        source: "J. Ehlers, R. Way 2010; TA-Lib EMA",
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1),
        },
        parameters: &[Parameter::bars(
            "period",
            20,
            3,
            "length of the average in bars",
        )],
        warmup_bars: |a| a.bars_u32(0) + (a.bars_u32(0) - 1) / 2,
        operator: |a| {
            Box::new(ZlemaRatio {
                lagged: Ring::new((a.bars(0) - 1) / 2),
                mean: Ema::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "alma_ratio",
        summary: "How far the close lies above its Arnaud Legoux average.",
        formula: "ln(close / ALMA); Gaussian weights around 0.85 (period - 1), deviation period / \
                  6; reads its whole window at each bar",
        source: "A. Legoux, D. Kouzis-Loukas 2009",
        units: "log return",
        parameters: &[Parameter {
            max: 200.0,
            ..Parameter::bars("period", 9, 2, "window length in bars")
        }],
        operator: |a| Box::new(AlmaRatio::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "sma_cross",
        summary: "How far a fast simple average lies above a slow one.",
        formula: "ln(SMA(close, fast) / SMA(close, slow))",
        source: "W. Brock, J. Lakonishok, B. LeBaron 1992; TA-Lib SMA",
        units: "log return",
        parameters: &[
            Parameter::bars("fast", 20, 1, "length of the fast average in bars"),
            Parameter::bars("slow", 50, 2, "length of the slow average in bars"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) < a.number(1),
            requirement: "`fast` must be below `slow`",
        }),
        warmup_bars: |a| a.bars_u32(1),
        operator: |a| {
            Box::new(SmaCross {
                fast: RollingMean::new(a.bars(0)),
                slow: RollingMean::new(a.bars(1)),
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct WmaRatio {
    line: RollingLine,
}

impl Operator for WmaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(log_ratio(
            bar.close,
            self.line.push(bar.close)?.weighted_mean,
        ))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.line.push_all(bars.close(), values, weighted_mean);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct TrimaRatio {
    first: RollingMean,
    second: RollingMean,
}

impl Operator for TrimaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let first = self.first.push(bar.close)?;
        Some(log_ratio(bar.close, self.second.push(first)?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut first = [0.0; ROWS];
                let first = &mut first[..bars.len()];
                let missing = all.first.missing().min(bars.len());
                all.first.push_all(bars.close(), first);
                let (blank, shown) = values.split_at_mut(missing);
                blank.fill(f64::NAN);
                all.second.push_all(&first[missing..], shown);
                log_ratios(&bars.close()[missing..], shown);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct TemaRatio {
    stages: EmaChain<3>,
}

impl Operator for TemaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [first, second, third] = self.stages.push(bar.close)?;
        let average = 3.0 * first - 3.0 * second + third;
        Some(1.0 - average / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.stages.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let (mut first, mut second) = ([0.0; ROWS], [0.0; ROWS]);
                let first = &mut first[..bars.len()];
                let second = &mut second[..bars.len()];
                all.stages
                    .push_all(bars.close(), [&mut *first, &mut *second, &mut *values]);
                let stages = first.iter().zip(&*second).zip(bars.close());
                for (value, ((first, second), close)) in values.iter_mut().zip(stages) {
                    let average = 3.0 * first - 3.0 * second + *value;
                    *value = 1.0 - average / close;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct T3Ratio {
    stages: EmaChain<6>,
    /// Weights of the sixth to the third average.
    weights: [f64; 4],
}

impl T3Ratio {
    fn new(period: usize, factor: f64) -> Self {
        let (square, cube) = (factor * factor, factor * factor * factor);
        Self {
            stages: EmaChain::new(period),
            weights: [
                -cube,
                3.0 * (square + cube),
                -6.0 * square - 3.0 * (factor + cube),
                1.0 + 3.0 * factor + cube + 3.0 * square,
            ],
        }
    }
}

impl Operator for T3Ratio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let [_, _, third, fourth, fifth, sixth] = self.stages.push(bar.close)?;
        let [c1, c2, c3, c4] = self.weights;
        let average = c1 * sixth + c2 * fifth + c3 * fourth + c4 * third;
        Some(1.0 - average / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.stages.is_warm(),
            #[inline(always)]
            |all, bars, values| {
                let mut stages = [[0.0; ROWS]; 6];
                let columns = stages.each_mut().map(|stage| &mut stage[..bars.len()]);
                all.stages.push_all(bars.close(), columns);
                let [_, _, third, fourth, fifth, sixth] = &stages;
                let [c1, c2, c3, c4] = all.weights;
                let upper = third.iter().zip(fourth).zip(fifth.iter().zip(sixth));
                let upper = upper.zip(bars.close());
                for (value, (((third, fourth), (fifth, sixth)), close)) in
                    values.iter_mut().zip(upper)
                {
                    let average = c1 * sixth + c2 * fifth + c3 * fourth + c4 * third;
                    *value = 1.0 - average / close;
                }
            },
        );
    }
}

/// Weights of Kaufman's fastest and slowest average, of 2 and of 30 bars.
const KAMA_FAST: f64 = 2.0 / 3.0;

const KAMA_SLOW: f64 = 2.0 / 31.0;

#[derive(Debug, Clone)]
struct KamaRatio {
    closes: Ring,
    path: RollingSum,
    previous_close: Option<f64>,
    value: Option<f64>,
}

impl KamaRatio {
    fn new(period: usize) -> Self {
        Self {
            closes: Ring::new(period),
            path: RollingSum::new(period),
            previous_close: None,
            value: None,
        }
    }
}

impl KamaRatio {
    /// Weight of the newest close: the more direct the way to it was, the larger.
    #[inline(always)]
    fn weight(close: f64, past: f64, path: f64) -> f64 {
        let efficiency = share((close - past).abs(), path, 1.0).min(1.0);
        (efficiency * (KAMA_FAST - KAMA_SLOW) + KAMA_SLOW).powi(2)
    }
}

impl Operator for KamaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.closes.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let path = self.path.push((bar.close - previous).abs())?;
        let weight = Self::weight(bar.close, past?, path);
        let value = self.value.unwrap_or(previous);
        let value = value + (bar.close - value) * weight;
        self.value = Some(value);
        Some(log_ratio(bar.close, value))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.value.is_some(),
            #[inline(always)]
            |all, bars, values| {
                let (mut past, mut path, mut steps) = ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let past = &mut past[..bars.len()];
                let path = &mut path[..bars.len()];
                let steps = &mut steps[..bars.len()];

                all.closes.push_all(bars.close(), past);
                differences(all.previous_close.unwrap_or(f64::NAN), bars.close(), steps);
                steps.iter_mut().for_each(|step| *step = step.abs());
                all.previous_close = bars.close().last().copied();
                all.path.push_all(steps, path);
                let mut average = all.value.unwrap_or(f64::NAN);
                let known = past.iter().zip(&*path).zip(bars.close());
                for (value, ((past, path), close)) in values.iter_mut().zip(known) {
                    average += (close - average) * Self::weight(*close, *past, *path);
                    *value = average;
                }
                all.value = Some(average);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct ZlemaRatio {
    lagged: Ring,
    mean: Ema,
}

impl Operator for ZlemaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.lagged.push(bar.close)?;
        let mean = self.mean.push(2.0 * bar.close - past)?;
        Some(1.0 - mean / bar.close)
    }
}

#[derive(Debug, Clone)]
struct AlmaRatio {
    closes: Ring,
    /// From the oldest to the newest close, adding up to 1.
    weights: Vec<f64>,
}

impl AlmaRatio {
    fn new(period: usize) -> Self {
        let center = 0.85 * (period as f64 - 1.0);
        let deviation = period as f64 / 6.0;
        let weight = |place: usize| {
            let distance = (place as f64 - center) / deviation;
            (-0.5 * distance * distance).exp()
        };
        let total: f64 = (0..period).map(weight).sum();
        Self {
            closes: Ring::new(period),
            weights: (0..period).map(|place| weight(place) / total).collect(),
        }
    }
}

impl Operator for AlmaRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.closes.push(bar.close);
        if !self.closes.is_full() {
            return None;
        }
        let terms = self.closes.iter().zip(&self.weights);
        let mean: f64 = terms.map(|(close, weight)| close * weight).sum();
        Some(log_ratio(bar.close, mean))
    }
}

#[derive(Debug, Clone)]
struct SmaCross {
    fast: RollingMean,
    slow: RollingMean,
}

impl Operator for SmaCross {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.close);
        let slow = self.slow.push(bar.close)?;
        Some(log_ratio(fast?, slow))
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
                let missing = all.slow.missing().min(bars.len());
                all.fast.push_all(bars.close(), fast);
                all.slow.push_all(bars.close(), values);
                log_ratios(fast, values);
                values[..missing].fill(f64::NAN);
            },
        );
    }
}

crate::state! {
    WmaRatio { line }
    TrimaRatio { first, second }
    TemaRatio { stages }
    T3Ratio { stages }
    KamaRatio { closes, path, previous_close, value }
    ZlemaRatio { lagged, mean }
    AlmaRatio { closes }
    SmaCross { fast, slow }
}
