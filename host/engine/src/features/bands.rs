//! Bands and channels around the price, and how wide or choppy its recent range is.

use super::kind::{Family, FeatureKind, Input, Memory, Parameter, settling_ema, settling_wilder};
use super::movement::{true_range, true_ranges};
use super::parts::{deviation, in_parts, in_warm_parts, log_ratio, log_ratios, share, window};
use super::window::{
    Ema, ROWS, Ring, RollingExtreme, RollingMean, RollingMoments, RollingSum, WilderMean,
};
use super::{Bars, Operator};
use crate::types::Bar;

const RANGES: &[Input] = &[Input::High, Input::Low, Input::Close];

const BASE: FeatureKind = FeatureKind {
    family: Family::Volatility,
    parameters: &[window(20)],
    inputs: RANGES,
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

const fn multiplier(name: &'static str, default: f64, doc: &'static str) -> Parameter {
    Parameter {
        name,
        default,
        min: 0.1,
        max: 10.0,
        whole: false,
        doc,
    }
}

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "keltner_position",
        summary: "Place of the close in its Keltner channel: -1 at the lower, 1 at the upper edge.",
        formula: "(close - EMA(close, period)) / (multiplier ATR(range)); 0 without range",
        source: "C. Keltner 1960, L. Bradford Raschke; TA-Lib EMA, ATR",
        units: "half widths",
        parameters: &[
            Parameter::bars("period", 20, 2, "length of the average in bars"),
            Parameter::bars("range", 10, 2, "length of the average true range in bars"),
            multiplier("multiplier", 2.0, "half width in average true ranges"),
        ],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1).max(settling_wilder(a.number(1), 1)),
        },
        warmup_bars: |a| a.bars_u32(0).max(a.bars_u32(1) + 1),
        operator: |a| {
            Box::new(Keltner {
                multiplier: a.number(2),
                previous_close: None,
                mean: Ema::new(a.bars(0)),
                range: WilderMean::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "donchian_breakout",
        summary: "Where the close lies against the range of the bars before: beyond 1 or -1 it \
                  broke out.",
        formula: "(close - middle) / half width of MAX(high) and MIN(low) of the `period` bars \
                  before this one; 0 without range",
        source: "R. Donchian; TA-Lib MAX, MIN",
        units: "half widths",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(DonchianBreakout {
                highest: RollingExtreme::highest(a.bars(0)),
                lowest: RollingExtreme::lowest(a.bars(0)),
                before: None,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "donchian_width",
        summary: "Width of the window's range.",
        formula: "ln(MAX(high) / MIN(low))",
        source: "R. Donchian; TA-Lib MAX, MIN",
        units: "log return",
        inputs: &[Input::High, Input::Low],
        operator: |a| {
            Box::new(DonchianWidth {
                highest: RollingExtreme::highest(a.bars(0)),
                lowest: RollingExtreme::lowest(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "acceleration_position",
        summary: "Place of the close in bands that widen with the bars' ranges: 0 lower, 1 upper.",
        formula: "(close - lower) / (upper - lower); upper SMA(high (1 + 4 w)), lower SMA(low (1 - \
                  4 w)), w = (high - low) / (high + low); 0.5 without range",
        source: "P. Headley 2002; TA-Lib ACCBANDS",
        units: "share",
        operator: |a| {
            Box::new(AccelerationBands {
                upper: RollingMean::new(a.bars(0)),
                lower: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "squeeze",
        summary: "Width of the Bollinger bands in widths of the Keltner channel; below 1 the \
                  market is squeezed.",
        formula: "deviations STDDEV(close) / (ranges SMA(true range)); 0 without range",
        source: "J. Carter 2005 (TTM squeeze); TA-Lib STDDEV, TRANGE, SMA",
        parameters: &[
            window(20),
            multiplier("deviations", 2.0, "half width of the bands in deviations"),
            multiplier(
                "ranges",
                1.5,
                "half width of the channel in mean true ranges",
            ),
        ],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(Squeeze {
                scale: a.number(1) / a.number(2),
                previous_close: None,
                closes: RollingMoments::new(a.bars(0)),
                range: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "choppiness",
        summary: "Whether the market went sideways (near 100) or one way (near 0).",
        formula: "100 log(sum(true range) / (MAX(high) - MIN(low))) / log(period); 100 without \
                  range",
        source: "E. Dreiss 1993; TA-Lib TRANGE, MAX, MIN",
        units: "about 0 to 100",
        parameters: &[window(14)],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| Box::new(Choppiness::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "mass_index",
        summary: "Whether ranges widen and narrow again, as before reversals.",
        formula: "mean over the window of EMA(high - low) / EMA(EMA(high - low)); 1 without range",
        source: "D. Dorsey 1992 (whose index is the sum); TA-Lib EMA",
        units: "ratio",
        parameters: &[
            Parameter::bars("average", 9, 2, "length of the averages in bars"),
            window(25),
        ],
        inputs: &[Input::High, Input::Low],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 2),
        },
        warmup_bars: |a| 2 * a.bars_u32(0) + a.bars_u32(1) - 2,
        operator: |a| {
            Box::new(MassIndex {
                first: Ema::new(a.bars(0)),
                second: Ema::new(a.bars(0)),
                mean: RollingMean::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "chaikin_volatility",
        summary: "How much the bars' average range grew.",
        formula: "100 (EMA(high - low)[t] / EMA(high - low)[t - bars] - 1); 0 without range",
        source: "M. Chaikin; TA-Lib EMA, ROC",
        units: "percent",
        parameters: &[
            Parameter::bars("period", 10, 2, "length of the average in bars"),
            Parameter::bars("bars", 10, 1, "how many bars back"),
        ],
        inputs: &[Input::High, Input::Low],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1),
        operator: |a| {
            Box::new(ChaikinVolatility {
                range: Ema::new(a.bars(0)),
                past: Ring::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "ulcer",
        summary: "Root mean square of the falls from the window's highest close.",
        formula: "sqrt(mean of (100 (close / MAX(close) - 1))^2), mean and MAX over the period",
        source: "P. Martin, B. McCann 1989; TA-Lib MAX",
        units: "percent",
        parameters: &[window(14)],
        inputs: &[Input::Close],
        warmup_bars: |a| 2 * a.bars_u32(0) - 1,
        operator: |a| {
            Box::new(Ulcer {
                peak: RollingExtreme::highest(a.bars(0)),
                squares: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct Keltner {
    multiplier: f64,
    previous_close: Option<f64>,
    mean: Ema,
    range: WilderMean,
}

impl Operator for Keltner {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let mean = self.mean.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let range = self.range.push(true_range(bar, previous))?;
        Some(share(bar.close - mean?, self.multiplier * range, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.mean.missing() + all.range.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut ranges = [0.0; ROWS];
                let count = true_ranges(&mut all.previous_close, bars, &mut ranges);
                let mut means = [0.0; ROWS];
                let means = &mut means[..count];
                all.mean.push_all(bars.close(), means);
                all.range.push_all(&ranges[..count], values);
                let distances = means.iter().zip(bars.close());
                for (value, (mean, close)) in values.iter_mut().zip(distances) {
                    *value = share(close - mean, all.multiplier * *value, 0.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct DonchianBreakout {
    highest: RollingExtreme,
    lowest: RollingExtreme,
    /// Middle and half width of the channel up to the bar before.
    before: Option<(f64, f64)>,
}

impl Operator for DonchianBreakout {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        let highest = highest?;
        let newest = ((highest + lowest) / 2.0, (highest - lowest) / 2.0);
        let (middle, half) = self.before.replace(newest)?;
        Some(share(bar.close - middle, half, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.before.is_some(),
            #[inline(always)]
            |all, bars, values| {
                let (mut highest, mut lowest) = ([0.0; ROWS], [0.0; ROWS]);
                let highest = &mut highest[..bars.len()];
                let lowest = &mut lowest[..bars.len()];

                all.highest.push_all(bars.high(), highest);
                all.lowest.push_all(bars.low(), lowest);
                let mut before = all.before.unwrap_or_default();
                let edges = highest.iter().zip(&*lowest).zip(bars.close());
                for (value, ((highest, lowest), close)) in values.iter_mut().zip(edges) {
                    let (middle, half) = before;
                    before = ((highest + lowest) / 2.0, (highest - lowest) / 2.0);
                    *value = share(close - middle, half, 0.0);
                }
                all.before = Some(before);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct DonchianWidth {
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl Operator for DonchianWidth {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        Some(log_ratio(highest?, lowest))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let mut highest = [0.0; ROWS];
                let highest = &mut highest[..bars.len()];
                all.highest.push_all(bars.high(), highest);
                all.lowest.push_all(bars.low(), values);
                log_ratios(highest, values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct AccelerationBands {
    upper: RollingMean,
    lower: RollingMean,
}

impl Operator for AccelerationBands {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let width = 4.0 * (bar.high - bar.low) / (bar.high + bar.low);
        let upper = self.upper.push(bar.high * (1.0 + width));
        let lower = self.lower.push(bar.low * (1.0 - width))?;
        let between = upper? - lower;
        // Bands nearer than a rounding of the price are one.
        let is_flat = between <= bar.close * 1e-13;
        Some(if is_flat {
            0.5
        } else {
            (bar.close - lower) / between
        })
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.lower.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut upper, mut lower, mut means) = ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let upper = &mut upper[..bars.len()];
                let lower = &mut lower[..bars.len()];
                let means = &mut means[..bars.len()];

                let edges = upper.iter_mut().zip(&mut *lower);
                for ((upper, lower), (high, low)) in edges.zip(bars.high().iter().zip(bars.low())) {
                    let width = 4.0 * (high - low) / (high + low);
                    (*upper, *lower) = (high * (1.0 + width), low * (1.0 - width));
                }
                all.upper.push_all(upper, values);
                all.lower.push_all(lower, means);
                let lowers = means.iter().zip(bars.close());
                for (value, (lower, close)) in values.iter_mut().zip(lowers) {
                    let between = *value - lower;
                    let is_flat = between <= close * 1e-13;
                    let place = (close - lower) / between;
                    *value = if is_flat { 0.5 } else { place };
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Squeeze {
    scale: f64,
    previous_close: Option<f64>,
    closes: RollingMoments,
    range: RollingMean,
}

impl Operator for Squeeze {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let closes = self.closes.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let range = self.range.push(true_range(bar, previous))?;
        let deviation = closes?.standard_deviation;
        Some(share(self.scale * deviation, range, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut deviations, mut ranges) = ([0.0; ROWS], [0.0; ROWS]);
                let deviations = &mut deviations[..bars.len()];
                all.closes.push_all(bars.close(), deviations, deviation);
                let count = true_ranges(&mut all.previous_close, bars, &mut ranges);
                let first = values.len() - count;
                let missing = all.range.missing();
                all.range.push_all(&ranges[..count], &mut values[first..]);
                for (value, deviation) in values.iter_mut().zip(&*deviations) {
                    *value = share(all.scale * deviation, *value, 0.0);
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Choppiness {
    log_period: f64,
    previous_close: Option<f64>,
    path: RollingSum,
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl Choppiness {
    fn new(period: usize) -> Self {
        Self {
            log_period: (period as f64).ln(),
            previous_close: None,
            path: RollingSum::new(period),
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
        }
    }
}

impl Operator for Choppiness {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low);
        let previous = self.previous_close.replace(bar.close)?;
        let path = self.path.push(true_range(bar, previous))?;
        Some(Self::show(path, highest? - lowest?, self.log_period))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut ranges, mut highest, mut lowest) = ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let (highest, lowest) = (&mut highest[..bars.len()], &mut lowest[..bars.len()]);
                all.highest.push_all(bars.high(), highest);
                all.lowest.push_all(bars.low(), lowest);
                let count = true_ranges(&mut all.previous_close, bars, &mut ranges);
                let first = values.len() - count;
                let missing = all.path.missing();
                all.path.push_all(&ranges[..count], &mut values[first..]);
                for (value, (highest, lowest)) in values.iter_mut().zip(highest.iter().zip(lowest))
                {
                    *value = Self::show(*value, highest - *lowest, all.log_period);
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

impl Choppiness {
    fn show(path: f64, width: f64, log_period: f64) -> f64 {
        if width > 0.0 {
            100.0 * log_ratio(path, width) / log_period
        } else {
            100.0
        }
    }
}

#[derive(Debug, Clone)]
struct MassIndex {
    first: Ema,
    second: Ema,
    mean: RollingMean,
}

impl Operator for MassIndex {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let first = self.first.push(bar.high - bar.low)?;
        let second = self.second.push(first)?;
        self.mean.push(share(first, second, 1.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.first.missing() + all.second.missing() + all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut first, mut second) = ([0.0; ROWS], [0.0; ROWS]);
                let first = &mut first[..bars.len()];
                let second = &mut second[..bars.len()];

                for (value, (high, low)) in
                    values.iter_mut().zip(bars.high().iter().zip(bars.low()))
                {
                    *value = high - low;
                }
                all.first.push_all(values, first);
                all.second.push_all(first, second);
                for (first, second) in first.iter_mut().zip(&*second) {
                    *first = share(*first, *second, 1.0);
                }
                all.mean.push_all(first, values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct ChaikinVolatility {
    range: Ema,
    past: Ring,
}

impl Operator for ChaikinVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let range = self.range.push(bar.high - bar.low)?;
        let past = self.past.push(range)?;
        Some(100.0 * share(range - past, past, 0.0))
    }
}

#[derive(Debug, Clone)]
struct Ulcer {
    peak: RollingExtreme,
    squares: RollingMean,
}

impl Operator for Ulcer {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let peak = self.peak.push(bar.close)?;
        let fall = 100.0 * (bar.close / peak - 1.0);
        Some(self.squares.push(fall * fall)?.max(0.0).sqrt())
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.peak.missing() + all.squares.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut squares = [0.0; ROWS];
                let squares = &mut squares[..bars.len()];

                all.peak.push_all(bars.close(), squares);
                for (square, close) in squares.iter_mut().zip(bars.close()) {
                    let fall = 100.0 * (close / *square - 1.0);
                    *square = fall * fall;
                }
                all.squares.push_all(squares, values);
                for value in values {
                    *value = value.max(0.0).sqrt();
                }
            },
        );
    }
}

crate::state! {
    Keltner { previous_close, mean, range }
    DonchianBreakout { highest, lowest, before }
    DonchianWidth { highest, lowest }
    AccelerationBands { upper, lower }
    Squeeze { previous_close, closes, range }
    Choppiness { previous_close, path, highest, lowest }
    MassIndex { first, second, mean }
    ChaikinVolatility { range, past }
    Ulcer { peak, squares }
}
