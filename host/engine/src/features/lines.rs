//! Regression lines, middles of ranges (Ichimoku) and other measures of a trend.

use super::ichimoku::{IchimokuCloud, IchimokuCross, IchimokuWidth, Middle, MidpriceRatio, Spans};
use super::kind::{Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_steps};
use super::movement::differences;
use super::parts::{Terms, deviation, in_parts, in_warm_parts, log_ratio, share, sums, window};
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |_| true,
            #[inline(always)]
            |all, bars, values| {
                let closes = bars.close();
                all.line.push_all(closes, values, |place, line| {
                    (closes[place] - line.end) / closes[place]
                });
            },
        );
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
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (closes, count) = (bars.close(), all.count);
                let mut deviations = [0.0; ROWS];
                let deviations = &mut deviations[..closes.len()];
                all.closes.push_all(closes, deviations, deviation);
                all.line.push_all(closes, values, |place, line| {
                    errors_from_line(count, closes[place], &line, deviations[place])
                });
            },
        );
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.forecast.is_some(),
            #[inline(always)]
            |all, bars, values| {
                let mut forecasts = [0.0; ROWS];
                let forecasts = &mut forecasts[..bars.len()];

                all.line
                    .push_all(bars.close(), forecasts, |_, line| line.end + line.slope);
                let mut before = all.forecast.unwrap_or(f64::NAN);
                let steps = forecasts.iter().zip(bars.close());
                for (value, (forecast, close)) in values.iter_mut().zip(steps) {
                    *value = (close - before) / close;
                    before = *forecast;
                }
                all.forecast = Some(before);
            },
        );
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.path.missing() + all.lowest.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut highest, mut lowest, mut steps) = ([0.0; ROWS], [0.0; ROWS], [0.0; ROWS]);
                let highest = &mut highest[..bars.len()];
                let lowest = &mut lowest[..bars.len()];
                let steps = &mut steps[..bars.len()];

                all.highest.push_all(bars.close(), highest);
                all.lowest.push_all(bars.close(), lowest);
                differences(all.previous_close.unwrap_or(f64::NAN), bars.close(), steps);
                steps.iter_mut().for_each(|step| *step = step.abs());
                all.previous_close = bars.close().last().copied();
                all.path.push_all(steps, values);
                for (value, (highest, lowest)) in
                    values.iter_mut().zip(highest.iter().zip(&*lowest))
                {
                    *value = share(highest - lowest, *value, 0.0);
                }
            },
        );
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

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.past.is_full() && all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut past = [0.0; ROWS];
                let past = &mut past[..bars.len()];

                all.past.push_all(bars.close(), past);
                all.mean.push_all(bars.close(), values);
                let past = past.iter().zip(bars.close());
                for (value, (past, close)) in values.iter_mut().zip(past) {
                    *value = (past - *value) / close;
                }
            },
        );
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
    VerticalHorizontal { previous_close, path, highest, lowest }
    DetrendedPrice { past, mean }
    HeikinAshi { next_open }
}
