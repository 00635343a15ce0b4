//! Trends told by highs and lows: directional movement, Aroon, vortex, and lines that follow the
//! price and flip when it crosses them.

use super::kind::{Family, FeatureKind, Input, Memory, Parameter, settling_wilder};
use super::movement::{DirectionalMovement, true_range};
use super::parts::{Prices, Terms, in_warm_parts, log_ratio, share, sums, window};
use super::trend::Adx;
use super::window::{AgedExtreme, ROWS, Ring, WilderMean};
use super::{Bars, Operator};
use crate::types::Bar;

const RANGES: &[Input] = &[Input::High, Input::Low, Input::Close];

const BASE: FeatureKind = FeatureKind {
    family: Family::Trend,
    units: "0 to 100",
    parameters: &[window(14)],
    inputs: RANGES,
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..FeatureKind::BASE
};

const MOVEMENT: FeatureKind = FeatureKind {
    source: "J. W. Wilder 1978; TA-Lib PLUS_DI, MINUS_DI, DX, ADXR",
    memory: Memory::Recursive {
        settling_bars: |a| settling_wilder(a.number(0), 1),
    },
    ..BASE
};

const AROON: FeatureKind = FeatureKind {
    source: "T. Chande 1995; TA-Lib AROON",
    ..BASE
};

/// Bars after which two followers of the price that began apart have met: at the first common
/// turns, not by fading.
const COMMON_TURNS: u32 = 500;

const STEP: Parameter = Parameter {
    name: "acceleration",
    default: 0.02,
    min: 0.001,
    max: 1.0,
    whole: false,
    doc: "first weight of the extreme, and what each new extreme adds to it",
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "plus_di",
        summary: "Upward directional movement.",
        formula: "100 +DM / TR, Wilder's sums; 0 where there is no range",
        operator: |a| Box::new(Directional::new(a.bars(0), |plus, _, _| plus)),
        ..MOVEMENT
    },
    FeatureKind {
        name: "minus_di",
        summary: "Downward directional movement.",
        formula: "100 -DM / TR, Wilder's sums; 0 where there is no range",
        operator: |a| Box::new(Directional::new(a.bars(0), |_, minus, _| minus)),
        ..MOVEMENT
    },
    FeatureKind {
        name: "dx",
        summary: "How one-sided directional movement is.",
        formula: "100 |+DI - -DI| / (+DI + -DI); the last value where nothing moved, 0 at first",
        operator: |a| {
            Box::new(Directional::new(a.bars(0), |plus, minus, last| {
                share(100.0 * (plus - minus).abs(), plus + minus, last)
            }))
        },
        ..MOVEMENT
    },
    FeatureKind {
        name: "adxr",
        summary: "Strength of the trend, averaged with its past.",
        formula: "(ADX[t] + ADX[t - period + 1]) / 2",
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 2),
        },
        warmup_bars: |a| 3 * a.bars_u32(0) - 1,
        operator: |a| {
            Box::new(Adxr {
                adx: Adx::new(a.bars(0)),
                past: Ring::new(a.bars(0) - 1),
            })
        },
        ..MOVEMENT
    },
    FeatureKind {
        name: "aroon_up",
        summary: "How new the window's high is.",
        formula: "100 (period - age of the high) / period, over period + 1 bars",
        inputs: &[Input::High],
        operator: |a| {
            let highest = AgedExtreme::highest(a.bars(0) + 1);
            Box::new(Aroon::new(a.number(0), highest, |bar| bar.high))
        },
        ..AROON
    },
    FeatureKind {
        name: "aroon_down",
        summary: "How new the window's low is.",
        formula: "100 (period - age of the low) / period, over period + 1 bars",
        inputs: &[Input::Low],
        operator: |a| {
            let lowest = AgedExtreme::lowest(a.bars(0) + 1);
            Box::new(Aroon::new(a.number(0), lowest, |bar| bar.low))
        },
        ..AROON
    },
    FeatureKind {
        name: "vortex",
        summary: "Upward against downward flow between neighbouring bars.",
        formula: "(sum |high - low[-1]| - sum |low - high[-1]|) / sum(true range); 0 without range",
        source: "E. Botes, D. Siepman 2010; TA-Lib TRANGE",
        units: "-2 to 2",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let flow = (bar.high - before.low).abs() - (bar.low - before.high).abs();
                [flow, true_range(bar, before.close)]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..BASE
    },
    FeatureKind {
        name: "parabolic_sar",
        summary: "How far the close lies above Wilder's stop-and-reverse.",
        formula: "ln(close / SAR)",
        source: "J. W. Wilder 1978; TA-Lib SAR",
        units: "log return",
        parameters: &[
            STEP,
            Parameter {
                name: "maximum",
                default: 0.2,
                doc: "largest weight of the extreme",
                ..STEP
            },
        ],
        memory: Memory::Recursive {
            settling_bars: |_| COMMON_TURNS,
        },
        warmup_bars: |_| 2,
        operator: |a| Box::new(ParabolicSar::new(a.number(0), a.number(1))),
        ..BASE
    },
    FeatureKind {
        name: "supertrend",
        summary: "How far the close lies above the band that it last broke.",
        formula: "1 - line / close; the line is (high + low) / 2 -/+ multiplier ATR, which only \
                  moves towards the price until a close crosses it",
        source: "O. Seban 2008; TA-Lib ATR",
        units: "share of the price",
        parameters: &[
            Parameter::bars("period", 10, 2, "length of the average true range"),
            Parameter {
                name: "multiplier",
                default: 3.0,
                min: 0.1,
                max: 20.0,
                whole: false,
                doc: "half width of the bands in average true ranges",
            },
        ],
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 1) + COMMON_TURNS,
        },
        operator: |a| Box::new(Supertrend::new(a.bars(0), a.number(1))),
        ..BASE
    },
];

/// What directional movement shows: of +DI, -DI and the last value.
#[derive(Debug, Clone)]
struct Directional {
    movement: DirectionalMovement,
    show: fn(f64, f64, f64) -> f64,
    last: f64,
}

impl Directional {
    fn new(period: usize, show: fn(f64, f64, f64) -> f64) -> Self {
        Self {
            movement: DirectionalMovement::new(period),
            show,
            last: 0.0,
        }
    }
}

impl Operator for Directional {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let (plus, minus) = self.movement.push(bar)?;
        self.last = (self.show)(plus, minus, self.last);
        Some(self.last)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        let (show, last) = (self.show, &mut self.last);
        self.movement.push_all(bars, values, |(plus, minus)| {
            *last = show(plus, minus, *last);
            *last
        });
    }
}

#[derive(Debug, Clone)]
struct Adxr {
    adx: Adx,
    past: Ring,
}

impl Operator for Adxr {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let adx = self.adx.update(bar)?;
        Some((adx + self.past.push(adx)?) / 2.0)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.past.is_full(),
            #[inline(always)]
            |all, bars, values| {
                let mut adx = [0.0; ROWS];
                let adx = &mut adx[..bars.len()];

                all.adx.update_all(bars, adx);
                all.past.push_all(adx, values);
                for (value, adx) in values.iter_mut().zip(&*adx) {
                    *value = (adx + *value) / 2.0;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Aroon {
    period: f64,
    extreme: AgedExtreme,
    level: fn(&Bar) -> f64,
}

impl Aroon {
    fn new(period: f64, extreme: AgedExtreme, level: fn(&Bar) -> f64) -> Self {
        Self {
            period,
            extreme,
            level,
        }
    }
}

impl Operator for Aroon {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let age = self.extreme.push((self.level)(bar))?;
        Some(100.0 * (self.period - age) / self.period)
    }
}

#[derive(Debug, Clone)]
struct ParabolicSar {
    acceleration: f64,
    maximum: f64,
    previous: Option<Prices>,
    has_begun: bool,
    is_long: bool,
    weight: f64,
    extreme: f64,
    stop: f64,
}

impl ParabolicSar {
    fn new(acceleration: f64, maximum: f64) -> Self {
        let acceleration = acceleration.min(maximum);
        Self {
            acceleration,
            maximum,
            previous: None,
            has_begun: false,
            is_long: false,
            weight: acceleration,
            extreme: 0.0,
            stop: 0.0,
        }
    }

    /// As in TA-Lib: short where the second bar moved down more than up.
    fn begin(&mut self, bar: &Bar, before: &Prices) {
        let (up, down) = (bar.high - before.high, before.low - bar.low);
        self.is_long = !(down > 0.0 && down > up);
        (self.extreme, self.stop) = if self.is_long {
            (bar.high, before.low)
        } else {
            (bar.low, before.high)
        };
        self.has_begun = true;
    }

    /// Moves the stop towards the extreme, but not into the last two bars.
    fn advance(&mut self, bar: &Bar, before: &Prices) {
        self.stop += self.weight * (self.extreme - self.stop);
        self.hold_outside(bar, before);
    }

    fn hold_outside(&mut self, bar: &Bar, before: &Prices) {
        self.stop = if self.is_long {
            self.stop.min(before.low).min(bar.low)
        } else {
            self.stop.max(before.high).max(bar.high)
        };
    }

    fn reverse(&mut self, bar: &Bar, before: &Prices) -> f64 {
        self.is_long = !self.is_long;
        self.stop = self.extreme;
        self.hold_outside(bar, before);
        let shown = self.stop;
        self.weight = self.acceleration;
        self.extreme = if self.is_long { bar.high } else { bar.low };
        self.advance(bar, before);
        shown
    }

    fn go_on(&mut self, bar: &Bar, before: &Prices) -> f64 {
        let shown = self.stop;
        let (goes_further, level) = if self.is_long {
            (bar.high > self.extreme, bar.high)
        } else {
            (bar.low < self.extreme, bar.low)
        };
        if goes_further {
            self.extreme = level;
            self.weight = (self.weight + self.acceleration).min(self.maximum);
        }
        self.advance(bar, before);
        shown
    }
}

impl Operator for ParabolicSar {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let before = self.previous.replace(Prices::of(bar))?;
        // At its first bar TA-Lib holds the stop outside this bar alone.
        let held = if self.has_begun {
            before
        } else {
            Prices::of(bar)
        };
        if !self.has_begun {
            self.begin(bar, &before);
        }
        let is_crossed = if self.is_long {
            bar.low <= self.stop
        } else {
            bar.high >= self.stop
        };
        let shown = if is_crossed {
            self.reverse(bar, &held)
        } else {
            self.go_on(bar, &held)
        };
        Some(log_ratio(bar.close, shown))
    }
}

#[derive(Debug, Clone)]
struct Supertrend {
    multiplier: f64,
    previous_close: Option<f64>,
    range: WilderMean,
    /// The lower and the upper band.
    bands: Option<[f64; 2]>,
    is_up: bool,
}

impl Supertrend {
    fn new(period: usize, multiplier: f64) -> Self {
        Self {
            multiplier,
            previous_close: None,
            range: WilderMean::new(period),
            bands: None,
            is_up: true,
        }
    }
}

impl Operator for Supertrend {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let range = self.range.push(true_range(bar, previous))?;
        let middle = (bar.high + bar.low) / 2.0;
        let mut lower = middle - self.multiplier * range;
        let mut upper = middle + self.multiplier * range;
        if let Some([past_lower, past_upper]) = self.bands {
            if lower <= past_lower && previous >= past_lower {
                lower = past_lower;
            }
            if upper >= past_upper && previous <= past_upper {
                upper = past_upper;
            }
        }
        self.bands = Some([lower, upper]);
        self.is_up = if self.is_up {
            bar.close >= lower
        } else {
            bar.close > upper
        };
        Some(1.0 - if self.is_up { lower } else { upper } / bar.close)
    }
}

crate::state! {
    Directional { movement, last }
    Adxr { adx, past }
    Aroon { extreme }
    ParabolicSar { previous, has_begun, is_long, weight, extreme, stop }
    Supertrend { previous_close, range, bands, is_up }
}
