//! Returns, the shape of a candle, and the place of the close in its recent range.

use super::kind::{Family, FeatureKind, Input, Parameter};
use super::parts::{in_parts, log_ratio, log_ratios};
use super::window::{Moments, Ring, RollingExtreme, RollingMoments, RollingRank};
use super::{Bars, Column, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Returns,
    source: "standard definition",
    ..FeatureKind::BASE
};

const PERIOD: &[Parameter] = &[Parameter::bars("period", 24, 2, "window length in bars")];

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "log_return",
        summary: "Return over the last bars.",
        formula: "ln(close[t] / close[t - bars])",
        source: "standard definition; exp of it is TA-Lib ROCR",
        units: "log return",
        parameters: &[Parameter::bars("bars", 1, 1, "how many bars back")],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(LogReturn {
                closes: Ring::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "body",
        summary: "Return inside the bar.",
        formula: "ln(close / open)",
        units: "log return",
        inputs: &[Input::Open, Input::Close],
        operator: |_| Box::new(PerBar(|bar| log_ratio(bar.close, bar.open))),
        ..BASE
    },
    FeatureKind {
        name: "upper_wick",
        summary: "How far the bar reached above its body and came back.",
        formula: "(high - max(open, close)) / close",
        inputs: &[Input::Open, Input::High, Input::Close],
        operator: |_| {
            Box::new(PerBar(|bar| {
                (bar.high - bar.open.max(bar.close)) / bar.close
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "lower_wick",
        summary: "How far the bar reached below its body and came back.",
        formula: "(min(open, close) - low) / close",
        inputs: &[Input::Open, Input::Low, Input::Close],
        operator: |_| {
            Box::new(PerBar(|bar| {
                (bar.open.min(bar.close) - bar.low) / bar.close
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "close_location",
        summary: "Where the bar closed inside its range: -1 at the low, 1 at the high.",
        formula: "((close - low) - (high - close)) / (high - low); 0 for a bar without range",
        source: "M. Chaikin, close location value",
        inputs: &[Input::High, Input::Low, Input::Close],
        operator: |_| Box::new(PerBar(close_location)),
        ..BASE
    },
    FeatureKind {
        name: "gap",
        summary: "Jump from the previous close to the open.",
        formula: "ln(open[t] / close[t - 1])",
        units: "log return",
        inputs: &[Input::Open, Input::Close],
        warmup_bars: |_| 2,
        operator: |_| {
            Box::new(Gap {
                previous_close: None,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "zscore",
        summary: "How many standard deviations the close lies above its mean.",
        formula: "(close - SMA) / STDDEV over the window; population deviation, 0 when flat",
        source: "TA-Lib SMA and STDDEV",
        units: "standard deviations",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(ZScore {
                closes: RollingMoments::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "rank",
        summary: "Share of the window's closes that lie below the newest one.",
        formula: "(closes below + half of the other equal ones) / (period - 1); binary search in a \
                  sorted window",
        units: "share",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(Rank {
                closes: RollingRank::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "distance_to_high",
        summary: "How far the close lies below the highest high of the window.",
        formula: "ln(close / MAX(high))",
        source: "TA-Lib MAX",
        units: "log return",
        parameters: PERIOD,
        inputs: &[Input::High, Input::Close],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            let extreme = RollingExtreme::highest(a.bars(0));
            Box::new(DistanceToExtreme {
                extreme,
                level: Column::High,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "distance_to_low",
        summary: "How far the close lies above the lowest low of the window.",
        formula: "ln(close / MIN(low))",
        source: "TA-Lib MIN",
        units: "log return",
        parameters: PERIOD,
        inputs: &[Input::Low, Input::Close],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            let extreme = RollingExtreme::lowest(a.bars(0));
            Box::new(DistanceToExtreme {
                extreme,
                level: Column::Low,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "drawdown",
        summary: "Loss since the highest close of the window.",
        formula: "close / MAX(close) - 1",
        source: "TA-Lib MAX",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            Box::new(Drawdown {
                peak: RollingExtreme::highest(a.bars(0)),
            })
        },
        ..BASE
    },
];

/// A number that one bar tells alone.
#[derive(Debug, Clone)]
pub(super) struct PerBar(pub(super) fn(&Bar) -> f64);

impl Operator for PerBar {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some((self.0)(bar))
    }
}

/// Chaikin's close location value.
pub(super) fn close_location(bar: &Bar) -> f64 {
    let range = bar.high - bar.low;
    if range > 0.0 {
        ((bar.close - bar.low) - (bar.high - bar.close)) / range
    } else {
        0.0
    }
}

#[derive(Debug, Clone)]
struct LogReturn {
    closes: Ring,
}

impl Operator for LogReturn {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let past = self.closes.push(bar.close)?;
        Some(log_ratio(bar.close, past))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.closes.push_all(bars.close(), values);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Gap {
    previous_close: Option<f64>,
}

impl Operator for Gap {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        Some(log_ratio(bar.open, previous))
    }
}

#[derive(Debug, Clone)]
struct ZScore {
    closes: RollingMoments,
}

impl Operator for ZScore {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.closes.push(bar.close)?.z_score(bar.close))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let score = |moments: Moments, close| moments.z_score(close);
                all.closes.push_all(bars.close(), values, score);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Rank {
    closes: RollingRank,
}

impl Operator for Rank {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.closes.push(bar.close)
    }
}

#[derive(Debug, Clone)]
struct DistanceToExtreme {
    extreme: RollingExtreme,
    level: Column,
}

impl Operator for DistanceToExtreme {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let extreme = self.extreme.push(self.level.of(bar))?;
        Some(log_ratio(bar.close, extreme))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.extreme.push_all(all.level.of_all(&bars), values);
                log_ratios(bars.close(), values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Drawdown {
    peak: RollingExtreme,
}

impl Operator for Drawdown {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let peak = self.peak.push(bar.close)?;
        Some(bar.close / peak - 1.0)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.peak.push_all(bars.close(), values);
                for (close, value) in bars.close().iter().zip(values) {
                    *value = close / *value - 1.0;
                }
            },
        );
    }
}

crate::state! {
    PerBar {}
    LogReturn { closes }
    Gap { previous_close }
    ZScore { closes }
    Rank { closes }
    DistanceToExtreme { extreme }
    Drawdown { peak }
}
