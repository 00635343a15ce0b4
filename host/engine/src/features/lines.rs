//! Regression lines, middles of ranges (Ichimoku) and other measures of a trend.

use super::kind::{Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_steps};
use super::parts::{Terms, deviation, in_parts, log_ratio, log_ratios, share, sums, window};
use super::window::{
    Line, ROWS, Ring, RollingExtreme, RollingLine, RollingMean, RollingMoments, RollingSum,
};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Trend,
    units: "share of the price",
    parameters: &[window(14)],
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

const RANGES: &[Input] = &[Input::High, Input::Low, Input::Close];

const ICHIMOKU: FeatureKind = FeatureKind {
    source: "G. Hosoda 1969; TA-Lib MIDPRICE",
    parameters: &[
        Parameter::bars("conversion", 9, 2, "window of the conversion line (tenkan)"),
        Parameter::bars(
            "base",
            26,
            3,
            "window of the base line (kijun), and the displacement",
        ),
        Parameter::bars("span", 52, 4, "window of the slow edge (senkou B)"),
    ],
    constraint: Some(Constraint {
        holds: |a| a.number(0) < a.number(1) && a.number(1) < a.number(2),
        requirement: "`conversion` must be below `base`, and `base` below `span`",
    }),
    inputs: RANGES,
    warmup_bars: |a| a.bars_u32(2),
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "linear_residual",
        summary: "How far the close lies above the end of its least-squares line.",
        formula: "(close - LINEARREG(close)) / close",
        source: "TA-Lib LINEARREG",
        operator: |a| {
            Box::new(LinearResidual {
                line: RollingLine::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "linear_channel",
        summary: "Distance of the close from its least-squares line in standard errors.",
        formula: "(close - LINEARREG(close)) / sqrt(sum of squared residuals / (period - 2)); 0 \
                  where the line fits exactly",
        source: "J. Raff 1991; TA-Lib LINEARREG",
        units: "standard errors",
        parameters: &[Parameter::bars("period", 20, 3, "window length in bars")],
        operator: |a| {
            Box::new(LinearChannel {
                count: a.number(0),
                line: RollingLine::new(a.bars(0)),
                closes: RollingMoments::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "forecast_oscillator",
        summary: "How far the close lies above what the line up to the bar before foretold.",
        formula: "(close[t] - TSF[t - 1]) / close[t], TSF the least-squares line one bar ahead",
        source: "T. Chande, S. Kroll 1994; TA-Lib TSF",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(ForecastOscillator {
                line: RollingLine::new(a.bars(0)),
                forecast: None,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "midprice_ratio",
        summary: "How far the close lies above the middle of the window's range; Ichimoku's \
                  conversion and base line.",
        formula: "ln(close / MIDPRICE), MIDPRICE = (MAX(high) + MIN(low)) / 2",
        source: "G. Hosoda 1969; TA-Lib MIDPRICE",
        units: "log return",
        parameters: &[window(26)],
        inputs: RANGES,
        operator: |a| {
            Box::new(MidpriceRatio {
                middle: Middle::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "ichimoku_cross",
        summary: "How far Ichimoku's conversion line lies above its base line.",
        formula: "(tenkan - kijun) / close",
        warmup_bars: |a| a.bars_u32(1),
        parameters: &[
            Parameter::bars("conversion", 9, 2, "window of the conversion line (tenkan)"),
            Parameter::bars("base", 26, 3, "window of the base line (kijun)"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) < a.number(1),
            requirement: "`conversion` must be below `base`",
        }),
        operator: |a| {
            Box::new(IchimokuCross {
                conversion: Middle::new(a.bars(0)),
                base: Middle::new(a.bars(1)),
            })
        },
        ..ICHIMOKU
    },
    FeatureKind {
        name: "ichimoku_cloud",
        summary: "How far the close lies outside the cloud that is drawn over its bar.",
        formula: "(close - nearest edge) / close, 0 inside; the edges are senkou A and B of `base` \
                  bars ago",
        warmup_bars: |a| a.bars_u32(1) + a.bars_u32(2),
        operator: |a| {
            Box::new(IchimokuCloud {
                spans: Spans::new([a.bars(0), a.bars(1), a.bars(2)]),
                first: Ring::new(a.bars(1)),
                second: Ring::new(a.bars(1)),
            })
        },
        ..ICHIMOKU
    },
    FeatureKind {
        name: "ichimoku_cloud_width",
        summary: "How far Ichimoku's fast edge lies above its slow edge; the newest, undisplaced.",
        formula: "(senkou A - senkou B) / close, A = (tenkan + kijun) / 2, B = MIDPRICE(span)",
        operator: |a| {
            Box::new(IchimokuWidth {
                spans: Spans::new([a.bars(0), a.bars(1), a.bars(2)]),
            })
        },
        ..ICHIMOKU
    },
    FeatureKind {
        name: "vhf",
        summary: "Vertical horizontal filter: how much of the path of the closes was a way.",
        formula: "(MAX(close) - MIN(close)) / sum |close - close[-1]|, the window's changes; 0 \
                  where nothing moved",
        source: "A. White 1991; TA-Lib MAX, MIN",
        units: "0 to 1",
        parameters: &[window(28)],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| Box::new(VerticalHorizontal::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "qstick",
        summary: "Mean body of the bars.",
        formula: "sum(close - open) / sum(close)",
        source: "T. Chande, S. Kroll 1994; TA-Lib SMA",
        inputs: &[Input::Open, Input::Close],
        operator: |a| {
            let terms = Terms::bars(|bar| [bar.close - bar.open, bar.close]);
            Box::new(sums(a.bars(0), terms, |s, _| s[0] / s[1]))
        },
        ..BASE
    },
    FeatureKind {
        name: "dpo",
        summary: "Detrended price: a past close against the average around it.",
        formula: "(close[t - period / 2 - 1] - SMA(close)[t]) / close[t]",
        source: "S. Achelis 1995; TA-Lib SMA",
        parameters: &[window(20)],
        operator: |a| {
            Box::new(DetrendedPrice {
                past: Ring::new(a.bars(0) / 2 + 1),
                mean: RollingMean::new(a.bars(0)),
            })
        },
        // The past close is there as soon as the average is, but for windows of 2 and 3 bars.
        warmup_bars: |a| a.bars_u32(0).max(a.bars_u32(0) / 2 + 2),
        ..BASE
    },
    FeatureKind {
        name: "heikin_ashi_body",
        summary: "Body of the averaged candle.",
        formula: "ln(C / O); C = (open + high + low + close) / 4, O[t] = (O[t - 1] + C[t - 1]) / 2",
        source: "D. Valcu 2004",
        units: "log return",
        parameters: &[],
        inputs: &[Input::Open, Input::High, Input::Low, Input::Close],
        memory: Memory::Recursive {
            settling_bars: |_| settling_steps(0.5, 1),
        },
        warmup_bars: |_| 1,
        operator: |_| Box::new(HeikinAshi { next_open: None }),
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct LinearResidual {
    line: RollingLine,
}

impl Operator for LinearResidual {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some((bar.close - self.line.push(bar.close)?.end) / bar.close)
    }
}

#[derive(Debug, Clone)]
struct LinearChannel {
    count: f64,
    line: RollingLine,
    closes: RollingMoments,
}

impl Operator for LinearChannel {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let moments = self.closes.push(bar.close);
        let line = self.line.push(bar.close)?;
        let deviation = moments?.standard_deviation;
        Some(errors_from_line(self.count, bar.close, &line, deviation))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let (closes, count) = (bars.close(), all.count);
            let mut deviations = [0.0; ROWS];
            let deviations = &mut deviations[..closes.len()];
            all.closes.push_all(closes, deviations, deviation);
            all.line.push_all(closes, values, |place, line| {
                errors_from_line(count, closes[place], &line, deviations[place])
            });
        });
    }
}

/// Distance of the close from the end of the line, in standard errors of the line.
#[inline]
fn errors_from_line(count: f64, close: f64, line: &Line, deviation: f64) -> f64 {
    let unexplained = 1.0 - line.r_squared(count, deviation);
    let squares = count * deviation.powi(2) * unexplained;
    let error = (squares.max(0.0) / (count - 2.0)).sqrt();
    // Residuals below a rounding of the price are none.
    let fits = error <= close * 1e-12;
    let distance = (close - line.end) / error;
    if fits { 0.0 } else { distance }
}

#[derive(Debug, Clone)]
struct ForecastOscillator {
    line: RollingLine,
    forecast: Option<f64>,
}

impl Operator for ForecastOscillator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let line = self.line.push(bar.close)?;
        let forecast = self.forecast.replace(line.end + line.slope)?;
        Some((bar.close - forecast) / bar.close)
    }
}

/// Middle of the range of a window.
#[derive(Debug, Clone)]
struct Middle {
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl Middle {
    fn new(period: usize) -> Self {
        Self {
            highest: RollingExtreme::highest(period),
            lowest: RollingExtreme::lowest(period),
        }
    }

    #[inline]
    fn push(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.high);
        let lowest = self.lowest.push(bar.low)?;
        Some((highest? + lowest) / 2.0)
    }

    /// The middles after each of at most [`ROWS`] bars, NaN where there is none yet.
    fn push_all(&mut self, bars: Bars<'_>, middles: &mut [f64]) {
        let missing = self.lowest.missing().min(middles.len());
        let mut lowest = [0.0; ROWS];
        let lowest = &mut lowest[..bars.len()];
        self.highest.push_all(bars.high(), middles);
        self.lowest.push_all(bars.low(), lowest);
        for (middle, lowest) in middles.iter_mut().zip(lowest) {
            *middle = (*middle + *lowest) / 2.0;
        }
        middles[..missing].fill(f64::NAN);
    }
}

#[derive(Debug, Clone)]
struct MidpriceRatio {
    middle: Middle,
}

impl Operator for MidpriceRatio {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(log_ratio(bar.close, self.middle.push(bar)?))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            all.middle.push_all(bars, values);
            log_ratios(bars.close(), values);
        });
    }
}

#[derive(Debug, Clone)]
struct IchimokuCross {
    conversion: Middle,
    base: Middle,
}

impl Operator for IchimokuCross {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let conversion = self.conversion.push(bar);
        let base = self.base.push(bar)?;
        Some((conversion? - base) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let mut base = [0.0; ROWS];
            let base = &mut base[..bars.len()];
            all.conversion.push_all(bars, values);
            all.base.push_all(bars, base);
            for ((value, base), close) in values.iter_mut().zip(&*base).zip(bars.close()) {
                *value = (*value - base) / close;
            }
            blank_where_missing(base, values);
        });
    }
}

/// The two edges of the cloud, undisplaced.
#[derive(Debug, Clone)]
struct Spans {
    middles: [Middle; 3],
}

impl Spans {
    fn new(periods: [usize; 3]) -> Self {
        Self {
            middles: periods.map(Middle::new),
        }
    }

    /// Senkou A and senkou B of at most [`ROWS`] bars, the latter NaN where there are none yet.
    fn push_all(&mut self, bars: Bars<'_>, first: &mut [f64], second: &mut [f64]) {
        let [conversion, base, slow] = &mut self.middles;
        let mut middle = [0.0; ROWS];
        let middle = &mut middle[..bars.len()];
        conversion.push_all(bars, first);
        base.push_all(bars, middle);
        slow.push_all(bars, second);
        for (first, base) in first.iter_mut().zip(middle) {
            *first = (*first + *base) / 2.0;
        }
    }

    /// Senkou A and senkou B.
    fn push(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        let [conversion, base, slow] = self.middles.each_mut().map(|middle| middle.push(bar));
        Some(((conversion? + base?) / 2.0, slow?))
    }
}

#[derive(Debug, Clone)]
struct IchimokuCloud {
    spans: Spans,
    first: Ring,
    second: Ring,
}

impl Operator for IchimokuCloud {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (first, second) = self.spans.push(bar)?;
        let first = self.first.push(first);
        let second = self.second.push(second)?;
        Some(above_cloud(bar.close, first?, second))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let (mut first, mut second) = ([0.0; ROWS], [0.0; ROWS]);
            let (first, second) = (&mut first[..bars.len()], &mut second[..bars.len()]);
            all.spans.push_all(bars, first, second);
            let missing = second.iter().take_while(|value| value.is_nan()).count();
            let mut before = [0.0; ROWS];
            let before = &mut before[missing..bars.len()];
            all.first.push_all(&first[missing..], before);
            let (blank, shown) = values.split_at_mut(missing);
            blank.fill(f64::NAN);
            all.second.push_all(&second[missing..], shown);
            let edges = before.iter().zip(&bars.close()[missing..]);
            for (shown, (first, close)) in shown.iter_mut().zip(edges) {
                *shown = if shown.is_nan() {
                    f64::NAN
                } else {
                    above_cloud(*close, *first, *shown)
                };
            }
        });
    }
}

/// Distance of the close from the nearer edge of the cloud, 0 inside it.
#[inline]
fn above_cloud(close: f64, first: f64, second: f64) -> f64 {
    let (lower, upper) = (first.min(second), first.max(second));
    (close - close.clamp(lower, upper)) / close
}

/// Arithmetic with a missing number may change the bits of it.
fn blank_where_missing(numbers: &[f64], values: &mut [f64]) {
    let missing = numbers.iter().take_while(|number| number.is_nan()).count();
    values[..missing].fill(f64::NAN);
}

#[derive(Debug, Clone)]
struct IchimokuWidth {
    spans: Spans,
}

impl Operator for IchimokuWidth {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (first, second) = self.spans.push(bar)?;
        Some((first - second) / bar.close)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(self, bars, values, |all, bars, values| {
            let mut second = [0.0; ROWS];
            let second = &mut second[..bars.len()];
            all.spans.push_all(bars, values, second);
            for ((value, second), close) in values.iter_mut().zip(&*second).zip(bars.close()) {
                *value = (*value - second) / close;
            }
            blank_where_missing(second, values);
        });
    }
}

#[derive(Debug, Clone)]
struct VerticalHorizontal {
    previous_close: Option<f64>,
    path: RollingSum,
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl VerticalHorizontal {
    fn new(period: usize) -> Self {
        Self {
            previous_close: None,
            path: RollingSum::new(period),
            highest: RollingExtreme::highest(period + 1),
            lowest: RollingExtreme::lowest(period + 1),
        }
    }
}

impl Operator for VerticalHorizontal {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let highest = self.highest.push(bar.close);
        let lowest = self.lowest.push(bar.close);
        let previous = self.previous_close.replace(bar.close)?;
        let path = self.path.push((bar.close - previous).abs())?;
        Some(share(highest? - lowest?, path, 0.0))
    }
}

#[derive(Debug, Clone)]
struct DetrendedPrice {
    past: Ring,
    mean: RollingMean,
}

impl Operator for DetrendedPrice {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.past.push(bar.close);
        let mean = self.mean.push(bar.close)?;
        Some((past? - mean) / bar.close)
    }
}

#[derive(Debug, Clone)]
struct HeikinAshi {
    next_open: Option<f64>,
}

impl Operator for HeikinAshi {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let close = (bar.open + bar.high + bar.low + bar.close) / 4.0;
        let open = self.next_open.unwrap_or((bar.open + bar.close) / 2.0);
        self.next_open = Some((open + close) / 2.0);
        Some(log_ratio(close, open))
    }
}

crate::state! {
    LinearResidual { line }
    LinearChannel { line, closes }
    ForecastOscillator { line, forecast }
    Middle { highest, lowest }
    MidpriceRatio { middle }
    IchimokuCross { conversion, base }
    Spans { middles }
    IchimokuCloud { spans, first, second }
    IchimokuWidth { spans }
    VerticalHorizontal { previous_close, path, highest, lowest }
    DetrendedPrice { past, mean }
    HeikinAshi { next_open }
}
