//! The shape of a bar, of a few bars in a row, and of the UTC day so far.

use super::Operator;
use super::kind::{Family, FeatureKind, Input, Memory, Parameter};
use super::parts::{Prices, Terms, day_of, log_ratio, share, sums, window};
use super::returns::PerBar;
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Returns,
    source: "standard definition",
    ..FeatureKind::BASE
};

const OHLC: &[Input] = &[Input::Open, Input::High, Input::Low, Input::Close];

/// What depends on the UTC day so far: a history that begins inside a day knows a part of it.
const DAY: FeatureKind = FeatureKind {
    units: "log return",
    inputs: &[Input::Open, Input::Close, Input::Time],
    memory: Memory::Day,
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "bar_range",
        summary: "Width of the bar.",
        formula: "ln(high / low)",
        units: "log return",
        inputs: &[Input::High, Input::Low],
        operator: |_| Box::new(PerBar(|bar| log_ratio(bar.high, bar.low))),
        ..BASE
    },
    FeatureKind {
        name: "bop",
        summary: "Balance of power: how much of the bar's range its body took, with direction.",
        formula: "(close - open) / (high - low); 0 for a bar without range",
        source: "I. Livshin 2001; TA-Lib BOP",
        units: "-1 to 1",
        inputs: OHLC,
        operator: |_| Box::new(PerBar(balance_of_power)),
        ..BASE
    },
    FeatureKind {
        name: "wick_imbalance",
        summary: "Whether the bar was pushed back from below or from above.",
        formula: "(lower wick - upper wick) / (high - low); 0 for a bar without range",
        units: "-1 to 1",
        inputs: OHLC,
        operator: |_| Box::new(PerBar(wick_imbalance)),
        ..BASE
    },
    FeatureKind {
        name: "wick_pressure",
        summary: "Rejection of low against high prices over the window.",
        formula: "sum(lower wick - upper wick) / sum(high - low); 0 for a window without range",
        units: "-1 to 1",
        parameters: &[window(14)],
        inputs: OHLC,
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            let terms = Terms::bars(|bar| [wick_difference(bar), bar.high - bar.low]);
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..BASE
    },
    FeatureKind {
        name: "inside_outside",
        summary: "Whether the bar's range holds the previous one or lies within it.",
        formula: "1 for high > high[-1] and low < low[-1], -1 for the reverse, else 0",
        source: "T. Crabel 1990",
        units: "-1, 0 or 1",
        inputs: &[Input::High, Input::Low],
        warmup_bars: |_| 2,
        operator: |_| {
            Box::new(PerStep::new(|bar, before| {
                let outside = bar.high > before.high && bar.low < before.low;
                let inside = bar.high < before.high && bar.low > before.low;
                f64::from(i8::from(outside) - i8::from(inside))
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "engulfing",
        summary: "A body that swallows the previous one of the other colour.",
        formula: "1 bullish, -1 bearish, 0.8 in size where one end is equal, else 0",
        source: "S. Nison 1991; TA-Lib CDLENGULFING / 100",
        units: "-1 to 1",
        inputs: &[Input::Open, Input::Close],
        warmup_bars: |_| 2,
        operator: |_| Box::new(PerStep::new(engulfing)),
        ..BASE
    },
    FeatureKind {
        name: "overlap",
        summary: "How much of the two bars' common range both of them covered.",
        formula: "max(0, min(high, high[-1]) - max(low, low[-1])) / (max(high, high[-1]) - \
                  min(low, low[-1])); 1 where neither has a range and they agree",
        units: "0 to 1",
        inputs: &[Input::High, Input::Low],
        warmup_bars: |_| 2,
        operator: |_| {
            Box::new(PerStep::new(|bar, before| {
                let common = bar.high.min(before.high) - bar.low.max(before.low);
                let joined = bar.high.max(before.high) - bar.low.min(before.low);
                share(common.max(0.0), joined, 1.0)
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "streak",
        summary: "How many closes in a row rose (positive) or fell (negative).",
        formula: "signed run length of close - close[-1], at most `period`; 0 after no change",
        units: "bars",
        parameters: &[Parameter::bars(
            "period",
            10,
            2,
            "longest run that is counted",
        )],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(Streak {
                longest: a.number(0),
                previous_close: None,
                steps: 0.0,
                run: 0.0,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "day_return",
        summary: "Return since the UTC day began.",
        formula: "ln(close / first open of the UTC day)",
        operator: |_| {
            Box::new(DayReturn {
                day: None,
                open: 0.0,
            })
        },
        ..DAY
    },
    FeatureKind {
        name: "day_gap",
        summary: "The jump over the last turn of the UTC day.",
        formula: "ln(first open of the UTC day / last close before it), held through the day; 0 \
                  until the first turn",
        operator: |_| {
            Box::new(DayGap {
                day: None,
                previous_close: 0.0,
                gap: 0.0,
            })
        },
        ..DAY
    },
    FeatureKind {
        name: "day_range_position",
        summary: "Place of the close in the range of the UTC day so far.",
        formula: "(close - lowest) / (highest - lowest) since the day began; 0.5 without range",
        units: "0 to 1",
        inputs: &[Input::High, Input::Low, Input::Close, Input::Time],
        operator: |_| {
            Box::new(DayRange {
                day: None,
                highest: 0.0,
                lowest: 0.0,
            })
        },
        ..DAY
    },
];

fn balance_of_power(bar: &Bar) -> f64 {
    share(bar.close - bar.open, bar.high - bar.low, 0.0)
}

fn wick_difference(bar: &Bar) -> f64 {
    let below = bar.open.min(bar.close) - bar.low;
    below - (bar.high - bar.open.max(bar.close))
}

fn wick_imbalance(bar: &Bar) -> f64 {
    share(wick_difference(bar), bar.high - bar.low, 0.0)
}

fn engulfing(bar: &Bar, before: &Prices) -> f64 {
    let rises = bar.close >= bar.open;
    if rises == (before.close >= before.open) {
        return 0.0;
    }
    // The two bodies from their lower to their upper end.
    let (low, high) = (bar.open.min(bar.close), bar.open.max(bar.close));
    let (past_low, past_high) = (before.open.min(before.close), before.open.max(before.close));
    let covers = high >= past_high && low <= past_low;
    let (above, under) = (high > past_high, low < past_low);
    let size = match (covers, above, under) {
        (true, true, true) => 1.0,
        (true, true, false) | (true, false, true) => 0.8,
        _ => 0.0,
    };
    if rises { size } else { -size }
}

/// A number that a bar and the one before it tell.
#[derive(Debug, Clone)]
pub(super) struct PerStep {
    of: fn(&Bar, &Prices) -> f64,
    previous: Option<Prices>,
}

impl PerStep {
    pub(super) fn new(of: fn(&Bar, &Prices) -> f64) -> Self {
        Self { of, previous: None }
    }
}

impl Operator for PerStep {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous.replace(Prices::of(bar))?;
        Some((self.of)(bar, &previous))
    }
}

#[derive(Debug, Clone)]
struct Streak {
    longest: f64,
    previous_close: Option<f64>,
    /// Steps seen, at most `longest`, so that the value depends on nothing before the warm-up.
    steps: f64,
    run: f64,
}

impl Operator for Streak {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let direction = if bar.close > previous {
            1.0
        } else if bar.close < previous {
            -1.0
        } else {
            0.0
        };
        let goes_on = self.run * direction > 0.0;
        self.run = if goes_on {
            self.run + direction
        } else {
            direction
        };
        self.run = self.run.clamp(-self.longest, self.longest);
        self.steps = (self.steps + 1.0).min(self.longest);
        (self.steps >= self.longest).then_some(self.run)
    }
}

#[derive(Debug, Clone)]
struct DayReturn {
    day: Option<i64>,
    open: f64,
}

impl Operator for DayReturn {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let day = Some(day_of(bar));
        if self.day != day {
            self.day = day;
            self.open = bar.open;
        }
        Some(log_ratio(bar.close, self.open))
    }
}

#[derive(Debug, Clone)]
struct DayGap {
    day: Option<i64>,
    previous_close: f64,
    gap: f64,
}

impl Operator for DayGap {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let day = Some(day_of(bar));
        if self.day.is_some() && self.day != day {
            self.gap = log_ratio(bar.open, self.previous_close);
        }
        self.day = day;
        self.previous_close = bar.close;
        Some(self.gap)
    }
}

#[derive(Debug, Clone)]
struct DayRange {
    day: Option<i64>,
    highest: f64,
    lowest: f64,
}

impl Operator for DayRange {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let day = Some(day_of(bar));
        if self.day == day {
            self.highest = self.highest.max(bar.high);
            self.lowest = self.lowest.min(bar.low);
        } else {
            self.day = day;
            self.highest = bar.high;
            self.lowest = bar.low;
        }
        Some(share(
            bar.close - self.lowest,
            self.highest - self.lowest,
            0.5,
        ))
    }
}

crate::state! {
    PerStep { previous }
    Streak { previous_close, steps, run }
    DayReturn { day, open }
    DayGap { day, previous_close, gap }
    DayRange { day, highest, lowest }
}
