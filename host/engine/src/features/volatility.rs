//! Size and shape of price changes. Per-bar values: nothing is annualised.

use super::kind::{Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_wilder};
use super::movement::AverageTrueRange;
use super::parts::{in_parts, in_warm_parts, log_ratio, log_ratios};
use super::window::{Moments, ROWS, RollingMean, RollingMoments, RollingSum};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Volatility,
    units: "log return per bar",
    ..FeatureKind::BASE
};

const WINDOW: &[Parameter] = &[Parameter::bars("period", 24, 2, "window length in bars")];
const OHLC: &[Input] = &[Input::Open, Input::High, Input::Low, Input::Close];

const RANGE_ESTIMATOR: FeatureKind = FeatureKind {
    parameters: WINDOW,
    inputs: OHLC,
    warmup_bars: |a| a.bars_u32(0),
    ..BASE
};

const WILDER_RANGE: FeatureKind = FeatureKind {
    parameters: &[Parameter::bars(
        "period",
        14,
        2,
        "length of the average in bars",
    )],
    inputs: &[Input::High, Input::Low, Input::Close],
    memory: Memory::Recursive {
        settling_bars: |a| settling_wilder(a.number(0), 1),
    },
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..BASE
};

const BANDS: FeatureKind = FeatureKind {
    source: "J. Bollinger; TA-Lib BBANDS",
    parameters: &[
        Parameter::bars("period", 20, 2, "window length in bars"),
        Parameter {
            name: "deviations",
            default: 2.0,
            min: 0.1,
            max: 10.0,
            whole: false,
            doc: "half width of the band in standard deviations",
        },
    ],
    warmup_bars: |a| a.bars_u32(0),
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "realized_volatility",
        summary: "Root mean square of the log returns.",
        formula: "sqrt(mean of ln(close[t] / close[t - 1])^2)",
        source: "T. Andersen, T. Bollerslev 1998",
        parameters: WINDOW,
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let squares = RollingMean::new(a.bars(0));
            Box::new(RealizedVolatility {
                returns: Returns::default(),
                squares,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "parkinson",
        summary: "Volatility from the ranges of the bars.",
        formula: "sqrt(mean of ln(high / low)^2 / (4 ln 2))",
        source: "M. Parkinson 1980",
        inputs: &[Input::High, Input::Low],
        operator: |a| Box::new(RootMean::new(a.bars(0), parkinson_term)),
        ..RANGE_ESTIMATOR
    },
    FeatureKind {
        name: "garman_klass",
        summary: "Volatility from ranges and bodies of the bars.",
        formula: "sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2), at least 0",
        source: "M. Garman, M. Klass 1980",
        operator: |a| Box::new(RootMean::new(a.bars(0), garman_klass_term)),
        ..RANGE_ESTIMATOR
    },
    FeatureKind {
        name: "rogers_satchell",
        summary: "Volatility from ranges, free of the trend inside the bars.",
        formula: "sqrt(mean of ln(h / c) ln(h / o) + ln(l / c) ln(l / o))",
        source: "L. Rogers, S. Satchell 1991",
        operator: |a| Box::new(RootMean::new(a.bars(0), rogers_satchell_term)),
        ..RANGE_ESTIMATOR
    },
    FeatureKind {
        name: "atr",
        summary: "Average true range, in price units; mind that it grows with the price.",
        formula: "Wilder's average of max(high - low, |high - close[-1]|, |low - close[-1]|)",
        source: "J. W. Wilder 1978; TA-Lib ATR",
        units: "price",
        operator: |a| Box::new(AverageTrueRange::new(a.bars(0), false)),
        ..WILDER_RANGE
    },
    FeatureKind {
        name: "natr",
        summary: "Average true range in percent of the close.",
        formula: "100 ATR / close",
        source: "J. Forman; TA-Lib NATR",
        units: "percent",
        operator: |a| Box::new(AverageTrueRange::new(a.bars(0), true)),
        ..WILDER_RANGE
    },
    FeatureKind {
        name: "bollinger_percent_b",
        summary: "Place of the close in its band: 0 at the lower, 1 at the upper edge.",
        formula: "(close - lower) / (upper - lower), edges SMA -/+ deviations \
                  STDDEV; 0.5 when flat",
        units: "share",
        operator: |a| {
            let closes = RollingMoments::new(a.bars(0));
            Box::new(PercentB {
                closes,
                deviations: a.number(1),
            })
        },
        ..BANDS
    },
    FeatureKind {
        name: "bollinger_width",
        summary: "Width of the band around the average.",
        formula: "(upper - lower) / SMA",
        units: "share of the price",
        operator: |a| {
            let closes = RollingMoments::new(a.bars(0));
            Box::new(BandWidth {
                closes,
                deviations: a.number(1),
            })
        },
        ..BANDS
    },
    FeatureKind {
        name: "volatility_ratio",
        summary: "Recent against longer volatility.",
        formula: "ln(realized_volatility(short) / realized_volatility(long)); 0 when the long one \
                  is 0, held above -10",
        source: "standard definition",
        units: "log ratio",
        parameters: &[
            Parameter::bars("short", 6, 2, "bars of the recent volatility"),
            Parameter::bars("long", 48, 3, "bars of the longer volatility"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) < a.number(1),
            requirement: "`short` must be below `long`",
        }),
        warmup_bars: |a| a.bars_u32(1) + 1,
        operator: |a| {
            Box::new(VolatilityRatio {
                returns: Returns::default(),
                short: RollingMean::new(a.bars(0)),
                long: RollingMean::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "return_skew",
        summary: "Lopsidedness of the log returns.",
        formula: "m3 / m2^1.5 with population moments; 0 when the returns do not vary",
        source: "standard definition; scipy.stats.skew",
        units: "none",
        parameters: &[Parameter::bars("period", 48, 3, "window length in bars")],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| Box::new(ReturnSkew::new(a.bars(0))),
        ..BASE
    },
];

/// Log returns from one bar to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Returns {
    previous_close: Option<f64>,
}

impl Returns {
    pub(super) fn push(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        Some(log_ratio(bar.close, previous))
    }

    /// The returns of at most [`ROWS`] bars, from the first place of `returns` on; how many there
    /// are: all bars' or, at the start, one bar fewer.
    pub(super) fn push_all(&mut self, bars: Bars<'_>, returns: &mut [f64; ROWS]) -> usize {
        let closes = bars.close();
        let first = usize::from(self.previous_close.is_none()).min(closes.len());
        let known = self.previous_close.iter().chain(closes);
        let count = closes.len() - first;
        let returns = &mut returns[..count];
        for (value, previous) in returns.iter_mut().zip(known) {
            *value = *previous;
        }
        log_ratios(&closes[first..], returns);
        self.previous_close = closes.last().copied().or(self.previous_close);
        count
    }
}

#[derive(Debug, Clone)]
struct RealizedVolatility {
    returns: Returns,
    squares: RollingMean,
}

impl Operator for RealizedVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        Some(self.squares.push(change * change)?.max(0.0).sqrt())
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut squares = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut squares);
                let squares = &mut squares[..count];
                squares.iter_mut().for_each(|one| *one *= *one);
                let missing = all.squares.missing();
                let first = values.len() - count;
                all.squares.push_all(squares, &mut values[first..]);
                for value in &mut values[first..] {
                    *value = value.max(0.0).sqrt();
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

/// Square root of the mean of a term of each bar.
#[derive(Debug, Clone)]
struct RootMean {
    mean: RollingMean,
    term: fn(&Bar) -> f64,
}

impl RootMean {
    fn new(period: usize, term: fn(&Bar) -> f64) -> Self {
        Self {
            mean: RollingMean::new(period),
            term,
        }
    }
}

impl Operator for RootMean {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.mean.push((self.term)(bar))?.max(0.0).sqrt())
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut terms = [0.0; ROWS];
                let terms = &mut terms[..bars.len()];
                for (term, bar) in terms.iter_mut().zip(bars.iter()) {
                    *term = (all.term)(&bar);
                }
                all.mean.push_all(terms, values);
                for value in values {
                    *value = value.max(0.0).sqrt();
                }
            },
        );
    }
}

fn parkinson_term(bar: &Bar) -> f64 {
    log_ratio(bar.high, bar.low).powi(2) / (4.0 * std::f64::consts::LN_2)
}

fn garman_klass_term(bar: &Bar) -> f64 {
    let body_weight = 2.0 * std::f64::consts::LN_2 - 1.0;
    0.5 * log_ratio(bar.high, bar.low).powi(2)
        - body_weight * log_ratio(bar.close, bar.open).powi(2)
}

fn rogers_satchell_term(bar: &Bar) -> f64 {
    rogers_satchell_of(bar, log_ratio(bar.close, bar.open))
}

/// The term with the logarithm of the body, from logarithms of high and low over the open.
pub(super) fn rogers_satchell_of(bar: &Bar, body: f64) -> f64 {
    let high = log_ratio(bar.high, bar.open);
    let low = log_ratio(bar.low, bar.open);
    high * (high - body) + low * (low - body)
}

#[derive(Debug, Clone)]
struct PercentB {
    closes: RollingMoments,
    deviations: f64,
}

impl Operator for PercentB {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let score = self.closes.push(bar.close)?.z_score(bar.close);
        Some(0.5 + score / (2.0 * self.deviations))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let width = 2.0 * all.deviations;
                let place = |moments: Moments, close| 0.5 + moments.z_score(close) / width;
                all.closes.push_all(bars.close(), values, place);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct BandWidth {
    closes: RollingMoments,
    deviations: f64,
}

impl Operator for BandWidth {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let moments = self.closes.push(bar.close)?;
        Some(2.0 * self.deviations * moments.standard_deviation / moments.mean)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let width = 2.0 * all.deviations;
                let share = |moments: Moments, _| width * moments.standard_deviation / moments.mean;
                all.closes.push_all(bars.close(), values, share);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct VolatilityRatio {
    returns: Returns,
    short: RollingMean,
    long: RollingMean,
}

impl Operator for VolatilityRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let short = self.short.push(change * change);
        let long = self.long.push(change * change)?;
        Some(Self::show(short?, long))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut squares = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut squares);
                let squares = &mut squares[..count];
                squares.iter_mut().for_each(|one| *one *= *one);
                let missing = all.long.missing();
                let first = values.len() - count;
                let mut short = [0.0; ROWS];
                all.short.push_all(squares, &mut short[..count]);
                all.long.push_all(squares, &mut values[first..]);
                for (value, short) in values[first..].iter_mut().zip(short) {
                    *value = Self::show(short, *value);
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

impl VolatilityRatio {
    fn show(short: f64, long: f64) -> f64 {
        if long > 0.0 {
            (0.5 * log_ratio(short.max(0.0), long)).max(-10.0)
        } else {
            0.0
        }
    }
}

/// Third moment from carried sums of powers, around zero: returns are small against one, and the
/// sums are renewed once per window.
#[derive(Debug, Clone)]
struct ReturnSkew {
    returns: Returns,
    count: f64,
    moments: RollingMoments,
    squares: RollingSum,
    cubes: RollingSum,
}

impl ReturnSkew {
    fn new(period: usize) -> Self {
        Self {
            returns: Returns::default(),
            count: period as f64,
            moments: RollingMoments::new(period),
            squares: RollingSum::new(period),
            cubes: RollingSum::new(period),
        }
    }
}

impl Operator for ReturnSkew {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let squares = self.squares.push(change * change);
        let cubes = self.cubes.push(change.powi(3));
        let moments = self.moments.push(change)?;
        Some(skew(moments, squares? / self.count, cubes? / self.count))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.cubes.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut changes, mut squares, mut cubes) = ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let squares = &mut squares[..bars.len()];
                let cubes = &mut cubes[..bars.len()];

                let count = all.returns.push_all(bars, &mut changes);
                let terms = squares.iter_mut().zip(&mut *cubes);
                for ((square, cube), change) in terms.zip(&changes[..count]) {
                    (*square, *cube) = (change * change, change.powi(3));
                }
                let mut of_squares = [0.0; ROWS];
                let of_squares = &mut of_squares[..count];
                all.squares.push_all(squares, of_squares);
                all.cubes.push_all(cubes, squares);
                let sums = of_squares.iter().zip(&*squares);
                let mut means = [0.0; ROWS];
                let means = &mut means[..count];
                all.moments.push_both(&changes[..count], means, values);
                let known = means.iter().zip(sums);
                for (value, (mean, (squares, cubes))) in values.iter_mut().zip(known) {
                    let moments = Moments {
                        mean: *mean,
                        standard_deviation: *value,
                    };
                    *value = skew(moments, squares / all.count, cubes / all.count);
                }
            },
        );
    }
}

/// From mean and deviation and the mean square and cube.
#[inline]
fn skew(moments: Moments, square: f64, cube: f64) -> f64 {
    let (mean, deviation) = (moments.mean, moments.standard_deviation);
    if deviation <= mean.abs() * 1e-6 {
        return 0.0;
    }
    let third = cube - 3.0 * mean * square + 2.0 * mean.powi(3);
    third / deviation.powi(3)
}

crate::state! {
    Returns { previous_close }
    RealizedVolatility { returns, squares }
    RootMean { mean }
    PercentB { closes }
    BandWidth { closes }
    VolatilityRatio { returns, short, long }
    ReturnSkew { returns, moments, squares, cubes }
}
