//! Where volume flowed: accumulation, indexes of quiet and busy bars, how volume goes with price.

use super::kind::{
    Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_ema, settling_wilder,
};
use super::momentum::typical_price;
use super::movement::differences;
use super::parts::{
    Prices, Terms, day_of, in_warm_parts, log_ratio, log_return, pairs, rank, share, sums, window,
};
use super::returns::close_location;
use super::totals::total_slope;
use super::window::{Ema, PairMoments, ROWS, RollingLine, RollingMean, WilderMean};
use super::{Bars, Operator};
use crate::types::Bar;

const PRICED: &[Input] = &[Input::High, Input::Low, Input::Close, Input::Volume];
const CLOSED: &[Input] = &[Input::Close, Input::Volume];

const BASE: FeatureKind = FeatureKind {
    family: Family::Volume,
    source: "standard definition",
    parameters: &[window(24)],
    inputs: CLOSED,
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

const TWO_AVERAGES: FeatureKind = FeatureKind {
    constraint: Some(Constraint {
        holds: |a| a.number(0) < a.number(1),
        requirement: "`fast` must be below `slow`",
    }),
    memory: Memory::Recursive {
        settling_bars: |a| settling_ema(a.number(1), 1),
    },
    warmup_bars: |a| a.bars_u32(1),
    ..BASE
};

const VOLUME_INDEX: FeatureKind = FeatureKind {
    units: "log return",
    parameters: &[Parameter::bars(
        "period",
        50,
        2,
        "length of the average in bars",
    )],
    memory: Memory::Recursive {
        settling_bars: |a| settling_ema(a.number(0), 1),
    },
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "ad_slope",
        summary: "Trend of accumulated volume, weighed by where bars closed.",
        formula: "LINEARREG_SLOPE(AD) / SMA(volume), AD sums close_location x volume; 0 where \
                  nothing was traded",
        source: "M. Chaikin; TA-Lib AD, LINEARREG_SLOPE",
        units: "mean volumes per bar",
        inputs: PRICED,
        operator: |a| {
            let terms = Terms::bars(|bar| [close_location(bar) * bar.volume, bar.volume]);
            Box::new(total_slope(a.bars(0), terms))
        },
        ..BASE
    },
    FeatureKind {
        name: "adosc",
        summary: "A fast against a slow average of accumulated volume.",
        formula: "(EMA(AD, fast) - EMA(AD, slow)) / SMA(volume, slow), averages begun with the \
                  first AD; 0 where nothing was traded",
        source: "M. Chaikin; TA-Lib ADOSC",
        units: "mean volumes",
        parameters: &[
            Parameter::bars("fast", 3, 2, "length of the fast average in bars"),
            Parameter::bars("slow", 10, 3, "length of the slow average in bars"),
        ],
        inputs: PRICED,
        operator: |a| Box::new(AccumulationOscillator::new(a.bars(0), a.bars(1))),
        ..TWO_AVERAGES
    },
    FeatureKind {
        name: "volume_oscillator",
        summary: "A fast against a slow average of the volume.",
        formula: "100 (EMA(volume, fast) / EMA(volume, slow) - 1); 0 where nothing was traded",
        source: "G. Appel; TA-Lib PPO of the volume with exponential averages",
        units: "percent",
        parameters: &[
            Parameter::bars("fast", 12, 2, "length of the fast average in bars"),
            Parameter::bars("slow", 26, 3, "length of the slow average in bars"),
        ],
        inputs: &[Input::Volume],
        operator: |a| {
            Box::new(VolumeOscillator {
                fast: Ema::new(a.bars(0)),
                slow: Ema::new(a.bars(1)),
            })
        },
        ..TWO_AVERAGES
    },
    FeatureKind {
        name: "force_index",
        summary: "Moves of the close times their volume, averaged.",
        formula: "EMA((close - close[-1]) volume) / (close SMA(volume)); 0 where nothing was \
                  traded",
        source: "A. Elder 1993; TA-Lib EMA, SMA",
        units: "share of the price",
        parameters: &[Parameter::bars(
            "period",
            13,
            2,
            "length of the averages in bars",
        )],
        memory: Memory::Recursive {
            settling_bars: |a| settling_ema(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(ForceIndex {
                previous_close: None,
                force: Ema::new(a.bars(0)),
                volume: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "ease_of_movement",
        summary: "How far bars moved for their volume.",
        formula: "SMA(move width / volume) SMA(volume); move = (m - m[-1]) / m, m = (high + low) / \
                  2, width = (high - low) / m; bars without volume count 0",
        source: "R. Arms 1983",
        units: "squared share of the price",
        parameters: &[window(14)],
        inputs: PRICED,
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let middle = (bar.high + bar.low) / 2.0;
                let moved = middle - (before.high + before.low) / 2.0;
                let ease = moved * (bar.high - bar.low) / (middle * middle);
                [share(ease, bar.volume, 0.0), bar.volume]
            });
            let show = |s: &[f64; 2], n: f64| s[0] * s[1] / (n * n);
            Box::new(sums(a.bars(0), terms, show))
        },
        ..BASE
    },
    FeatureKind {
        name: "nvi_distance",
        summary: "What the price did on bars of falling volume, against its average.",
        formula: "NVI - EMA(NVI); NVI sums log returns of bars whose volume fell",
        source: "P. Dysart 1936, N. Fosback 1976; TA-Lib EMA",
        operator: |a| {
            Box::new(VolumeIndex::new(a.bars(0), |bar, past| {
                bar.volume < past.volume
            }))
        },
        ..VOLUME_INDEX
    },
    FeatureKind {
        name: "pvi_distance",
        summary: "What the price did on bars of rising volume, against its average.",
        formula: "PVI - EMA(PVI); PVI sums log returns of bars whose volume rose",
        source: "P. Dysart 1936, N. Fosback 1976; TA-Lib EMA",
        operator: |a| {
            Box::new(VolumeIndex::new(a.bars(0), |bar, past| {
                bar.volume > past.volume
            }))
        },
        ..VOLUME_INDEX
    },
    FeatureKind {
        name: "pvt_slope",
        summary: "Trend of the volume weighed by returns.",
        formula: "LINEARREG_SLOPE(PVT) / SMA(volume), PVT sums volume (close / close[-1] - 1); 0 \
                  where nothing was traded",
        source: "price volume trend, S. Achelis 1995; TA-Lib LINEARREG_SLOPE",
        units: "return per bar",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                [bar.volume * (bar.close / before.close - 1.0), bar.volume]
            });
            Box::new(total_slope(a.bars(0), terms))
        },
        ..BASE
    },
    FeatureKind {
        name: "twiggs_money_flow",
        summary: "Accumulation over true ranges, smoothed.",
        formula: "W(volume (2 close - H - L) / (H - L)) / W(volume); H = max(high, close[-1]), L = \
                  min(low, close[-1]), W Wilder's average; 0 where nothing was traded",
        source: "C. Twiggs 2002",
        units: "-1 to 1",
        parameters: &[Parameter::bars(
            "period",
            21,
            2,
            "length of the averages in bars",
        )],
        inputs: PRICED,
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            Box::new(TwiggsMoneyFlow {
                previous_close: None,
                flow: WilderMean::new(a.bars(0)),
                volume: WilderMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "session_vwap_distance",
        summary: "How far the close lies above the volume-weighted price of the UTC day so far.",
        formula: "ln(close / (sum(typical price x volume) / sum(volume))) since the day began; 0 \
                  until something was traded",
        units: "log return",
        parameters: &[],
        inputs: &[
            Input::High,
            Input::Low,
            Input::Close,
            Input::Volume,
            Input::Time,
        ],
        memory: Memory::Day,
        warmup_bars: |_| 1,
        operator: |_| Box::new(SessionVwap::default()),
        ..BASE
    },
    FeatureKind {
        name: "up_volume_share",
        summary: "Share of the volume that came with rising closes.",
        formula: "sum(volume where the close rose, half where it stayed) / sum(volume); 0.5 where \
                  nothing was traded",
        source: "J. Granville 1963",
        units: "share",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let half = |holds: bool| if holds { bar.volume / 2.0 } else { 0.0 };
                let up = half(bar.close > before.close) + half(bar.close >= before.close);
                [up, bar.volume]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.5)))
        },
        ..BASE
    },
    FeatureKind {
        name: "volume_return_correlation",
        summary: "Whether volume came with gains or with losses.",
        formula: "correlation of log return and volume; 0 where either does not vary",
        source: "J. Karpoff 1987; numpy.corrcoef",
        units: "-1 to 1",
        parameters: &[window(48)],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before), bar.volume]);
            Box::new(pairs(a.bars(0), terms, PairMoments::correlation))
        },
        ..BASE
    },
    FeatureKind {
        name: "volume_volatility_correlation",
        summary: "Whether volume came with large moves.",
        formula: "correlation of |log return| and volume; 0 where either does not vary",
        source: "J. Karpoff 1987; numpy.corrcoef",
        units: "-1 to 1",
        parameters: &[window(48)],
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before).abs(), bar.volume]);
            Box::new(pairs(a.bars(0), terms, PairMoments::correlation))
        },
        ..BASE
    },
    FeatureKind {
        name: "volume_rank",
        summary: "Share of the window's volumes that lie below the newest one.",
        formula: "(volumes below + half of the other equal ones) / (period - 1); binary search in \
                  a sorted window",
        units: "share",
        parameters: &[window(48)],
        inputs: &[Input::Volume],
        operator: |a| {
            let terms = Terms::bars(|bar| [bar.volume]);
            Box::new(rank(a.bars(0), terms))
        },
        ..BASE
    },
    FeatureKind {
        name: "volume_concentration",
        summary: "Whether volume is spread evenly over the bars (0) or came in one of them (1).",
        formula: "(n sum(volume^2) / sum(volume)^2 - 1) / (n - 1); 0 where nothing was traded",
        source: "O. Herfindahl 1950, normalised",
        units: "0 to 1",
        inputs: &[Input::Volume],
        operator: |a| {
            let terms = Terms::bars(|bar| [bar.volume * bar.volume, bar.volume]);
            Box::new(sums(a.bars(0), terms, |s, n| {
                (share(n * s[0], s[1] * s[1], 1.0) - 1.0) / (n - 1.0)
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "volume_slope",
        summary: "Whether volume rises.",
        formula: "LINEARREG_SLOPE(volume) / SMA(volume); 0 where nothing was traded",
        source: "TA-Lib LINEARREG_SLOPE, SMA",
        units: "mean volumes per bar",
        inputs: &[Input::Volume],
        operator: |a| {
            Box::new(VolumeSlope {
                line: RollingLine::new(a.bars(0)),
                mean: RollingMean::new(a.bars(0)),
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct AccumulationOscillator {
    weights: [f64; 2],
    total: f64,
    averages: Option<[f64; 2]>,
    volume: RollingMean,
}

impl AccumulationOscillator {
    fn new(fast: usize, slow: usize) -> Self {
        Self {
            weights: [fast, slow].map(|period| 2.0 / (period as f64 + 1.0)),
            total: 0.0,
            averages: None,
            volume: RollingMean::new(slow),
        }
    }
}

impl Operator for AccumulationOscillator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.total += close_location(bar) * bar.volume;
        let [fast, slow] = self.averages.unwrap_or([self.total; 2]);
        let fast = fast + (self.total - fast) * self.weights[0];
        let slow = slow + (self.total - slow) * self.weights[1];
        self.averages = Some([fast, slow]);
        Some(share(fast - slow, self.volume.push(bar.volume)?, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.averages.is_some() && all.volume.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut means = [0.0; ROWS];
                let means = &mut means[..bars.len()];

                let [mut fast, mut slow] = all.averages.unwrap_or_default();
                for (value, bar) in values.iter_mut().zip(bars.iter()) {
                    all.total += close_location(&bar) * bar.volume;
                    fast += (all.total - fast) * all.weights[0];
                    slow += (all.total - slow) * all.weights[1];
                    *value = fast - slow;
                }
                all.averages = Some([fast, slow]);
                all.volume.push_all(bars.volume(), means);
                for (value, mean) in values.iter_mut().zip(&*means) {
                    *value = share(*value, *mean, 0.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct VolumeOscillator {
    fast: Ema,
    slow: Ema,
}

impl Operator for VolumeOscillator {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let fast = self.fast.push(bar.volume);
        let slow = self.slow.push(bar.volume)?;
        Some(100.0 * (share(fast?, slow, 1.0) - 1.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.fast.missing() + all.slow.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut slow = [0.0; ROWS];
                let slow = &mut slow[..bars.len()];

                all.fast.push_all(bars.volume(), values);
                all.slow.push_all(bars.volume(), slow);
                for (value, slow) in values.iter_mut().zip(&*slow) {
                    *value = 100.0 * (share(*value, *slow, 1.0) - 1.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct ForceIndex {
    previous_close: Option<f64>,
    force: Ema,
    volume: RollingMean,
}

impl Operator for ForceIndex {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let force = self.force.push((bar.close - previous) * bar.volume);
        let volume = self.volume.push(bar.volume)?;
        Some(share(force?, volume * bar.close, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.previous_close.is_some() && all.force.missing() + all.volume.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut forces, mut means) = ([0.0; ROWS], [0.0; ROWS]);
                let forces = &mut forces[..bars.len()];
                let means = &mut means[..bars.len()];

                differences(all.previous_close.unwrap_or(f64::NAN), bars.close(), forces);
                all.previous_close = bars.close().last().copied();
                for (force, volume) in forces.iter_mut().zip(bars.volume()) {
                    *force *= volume;
                }
                all.force.push_all(forces, values);
                all.volume.push_all(bars.volume(), means);
                let scales = means.iter().zip(bars.close());
                for (value, (mean, close)) in values.iter_mut().zip(scales) {
                    *value = share(*value, mean * close, 0.0);
                }
            },
        );
    }
}

/// A sum of the log returns of some bars, against its average.
#[derive(Debug, Clone)]
struct VolumeIndex {
    counts: fn(&Bar, &Prices) -> bool,
    previous: Option<Prices>,
    total: f64,
    mean: Ema,
}

impl VolumeIndex {
    fn new(period: usize, counts: fn(&Bar, &Prices) -> bool) -> Self {
        Self {
            counts,
            previous: None,
            total: 0.0,
            mean: Ema::new(period),
        }
    }
}

impl Operator for VolumeIndex {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous.replace(Prices::of(bar))?;
        if (self.counts)(bar, &previous) {
            self.total += log_return(bar, &previous);
        }
        Some(self.total - self.mean.push(self.total)?)
    }
}

#[derive(Debug, Clone)]
struct TwiggsMoneyFlow {
    previous_close: Option<f64>,
    flow: WilderMean,
    volume: WilderMean,
}

impl Operator for TwiggsMoneyFlow {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let (high, low) = (bar.high.max(previous), bar.low.min(previous));
        let place = share(2.0 * bar.close - high - low, high - low, 0.0);
        let flow = self.flow.push(place * bar.volume);
        let volume = self.volume.push(bar.volume)?;
        Some(share(flow?, volume, 0.0))
    }
}

#[derive(Debug, Clone, Default)]
struct SessionVwap {
    day: Option<i64>,
    weighted: f64,
    volume: f64,
}

impl Operator for SessionVwap {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let day = Some(day_of(bar));
        if self.day != day {
            *self = Self {
                day,
                ..Self::default()
            };
        }
        self.weighted += typical_price(bar) * bar.volume;
        self.volume += bar.volume;
        Some(if self.volume > 0.0 {
            log_ratio(bar.close, self.weighted / self.volume)
        } else {
            0.0
        })
    }
}

#[derive(Debug, Clone)]
struct VolumeSlope {
    line: RollingLine,
    mean: RollingMean,
}

impl Operator for VolumeSlope {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let line = self.line.push(bar.volume);
        let mean = self.mean.push(bar.volume)?;
        Some(share(line?.slope, mean, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.line.missing() + all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut means = [0.0; ROWS];
                let means = &mut means[..bars.len()];

                all.mean.push_all(bars.volume(), means);
                let show = |slope: f64, mean: f64| share(slope, mean, 0.0);
                all.line.push_slopes([bars.volume(), means], values, show);
            },
        );
    }
}

crate::state! {
    AccumulationOscillator { total, averages, volume }
    VolumeOscillator { fast, slow }
    ForceIndex { previous_close, force, volume }
    VolumeIndex { previous, total, mean }
    TwiggsMoneyFlow { previous_close, flow, volume }
    SessionVwap { day, weighted, volume }
    VolumeSlope { line, mean }
}
