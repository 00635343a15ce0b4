//! Oscillators made of shares: gains among all changes, the close among recent prices.

use super::kind::{
    Constraint, Family, FeatureKind, Input, Memory, Parameter, settling_steps, settling_wilder,
};
use super::momentum::Rsi;
use super::movement::{true_range, true_ranges};
use super::parts::{Prices, Terms, in_warm_parts, log_return, share, sums, window};
use super::window::{ROWS, Ring, RollingExtreme, RollingMean, RollingRank, RollingSum};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Momentum,
    units: "0 to 100",
    parameters: &[window(14)],
    ..FeatureKind::BASE
};

const STOCH_RSI: FeatureKind = FeatureKind {
    source: "T. Chande, S. Kroll 1994; TA-Lib STOCHRSI",
    memory: Memory::Recursive {
        settling_bars: |a| settling_wilder(a.number(0), 2),
    },
    ..BASE
};

const RSI_WINDOWS: [Parameter; 2] = [
    Parameter::bars("period", 14, 2, "length of the RSI's averages in bars"),
    Parameter::bars("window", 14, 2, "window in which the RSI is placed"),
];

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "stoch_rsi",
        summary: "Place of the RSI in its own recent range.",
        formula: "100 (RSI - lowest RSI) / (highest RSI - lowest RSI); 0 without range",
        parameters: &RSI_WINDOWS,
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1),
        operator: |a| Box::new(StochasticRsi::new(a.bars(0), a.bars(1))),
        ..STOCH_RSI
    },
    FeatureKind {
        name: "stoch_rsi_d",
        summary: "Averaged place of the RSI in its own recent range.",
        formula: "SMA of stoch_rsi",
        parameters: &[
            RSI_WINDOWS[0],
            RSI_WINDOWS[1],
            Parameter::bars("signal", 3, 1, "length of the average in bars"),
        ],
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + a.bars_u32(2) - 1,
        operator: |a| {
            Box::new(StochasticRsiD {
                line: StochasticRsi::new(a.bars(0), a.bars(1)),
                mean: RollingMean::new(a.bars(2)),
            })
        },
        ..STOCH_RSI
    },
    FeatureKind {
        name: "cmo",
        summary: "Chande's momentum: gains against losses of the window.",
        formula: "100 (sum of gains - sum of losses) / sum |changes|; 0 where nothing changed. \
                  TA-Lib's CMO, 2 RSI - 100, smooths as Wilder does and agrees at its first bar",
        source: "T. Chande, S. Kroll 1994",
        units: "-100 to 100",
        warmup_bars: |a| a.bars_u32(0) + 1,
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = bar.close - before.close;
                [change, change.abs()]
            });
            let show = |s: &[f64; 2], _| 100.0 * share(s[0], s[1], 0.0);
            Box::new(sums(a.bars(0), terms, show))
        },
        ..BASE
    },
    FeatureKind {
        name: "imi",
        summary: "Intraday momentum: share of the rising bodies in all bodies.",
        formula: "100 sum(rising bodies) / sum |close - open|; 50 where there are none",
        source: "T. Chande, S. Kroll 1994; TA-Lib IMI",
        inputs: &[Input::Open, Input::Close],
        warmup_bars: |a| a.bars_u32(0),
        operator: |a| {
            let terms = Terms::bars(|bar| {
                let body = bar.close - bar.open;
                [body.max(0.0), body.abs()]
            });
            let show = |s: &[f64; 2], _| 100.0 * share(s[0], s[1], 0.5);
            Box::new(sums(a.bars(0), terms, show))
        },
        ..BASE
    },
    FeatureKind {
        name: "ultimate",
        summary: "Buying pressure over three windows.",
        formula: "100 (4 A(short) + 2 A(middle) + A(long)) / 7; A = sum(close - min(low, \
                  close[-1])) / sum(true range), 0 without range",
        source: "L. Williams 1985; TA-Lib ULTOSC",
        parameters: &[
            Parameter::bars("short", 7, 1, "bars of the short window"),
            Parameter::bars("middle", 14, 2, "bars of the middle window"),
            Parameter::bars("long", 28, 3, "bars of the long window"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) < a.number(1) && a.number(1) < a.number(2),
            requirement: "`short` must be below `middle`, and `middle` below `long`",
        }),
        inputs: &[Input::High, Input::Low, Input::Close],
        warmup_bars: |a| a.bars_u32(2) + 1,
        operator: |a| Box::new(Ultimate::new([a.bars(0), a.bars(1), a.bars(2)])),
        ..BASE
    },
    FeatureKind {
        name: "connors_rsi",
        summary: "Mean of a short RSI, the RSI of the streak and the rank of the newest change.",
        formula: "(RSI(close, period) + RSI(streak, streak) + 100 share of the last `rank` changes \
                  below the newest) / 3; the streak counts equal-signed changes in a row",
        source: "L. Connors, C. Alvarez 2012; TA-Lib RSI",
        parameters: &[
            Parameter::bars("period", 3, 2, "length of the RSI of closes"),
            Parameter::bars("streak", 2, 2, "length of the RSI of the streak"),
            Parameter::bars("rank", 100, 2, "changes among which the newest is ranked"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.number(0) <= a.number(2) && a.number(1) <= a.number(2),
            requirement: "`rank` must be at least `period` and `streak`",
        }),
        memory: Memory::Recursive {
            settling_bars: |a| settling_wilder(a.number(0).max(a.number(1)), 2),
        },
        warmup_bars: |a| a.bars_u32(2) + 2,
        operator: |a| Box::new(ConnorsRsi::new(a.bars(0), a.bars(1), a.bars(2))),
        ..BASE
    },
    FeatureKind {
        name: "vigor",
        summary: "Relative vigor: bodies against ranges.",
        formula: "sum of F(close - open) / sum of F(high - low); F weighs the last four bars with \
                  1, 2, 2, 1; 0 without range",
        source: "J. Ehlers 2002",
        units: "-1 to 1",
        parameters: &[window(10)],
        inputs: &[Input::Open, Input::High, Input::Low, Input::Close],
        warmup_bars: |a| a.bars_u32(0) + 3,
        operator: |a| Box::new(Vigor::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "laguerre_rsi",
        summary: "Share of gains among the four outputs of a Laguerre filter.",
        formula: "100 sum of the rises L[i] > L[i + 1] / sum of all differences; L0 = (1 - gamma) \
                  close + gamma L0[-1], L[i] = -gamma L[i - 1] + L[i - 1][-1] + gamma L[i][-1]; 50 \
                  where all are equal",
        source: "J. Ehlers 2004",
        parameters: &[Parameter {
            name: "gamma",
            default: 0.6,
            min: 0.1,
            max: 0.95,
            whole: false,
            doc: "damping of the filter",
        }],
        memory: Memory::Recursive {
            settling_bars: |a| settling_steps(a.number(0), 6),
        },
        warmup_bars: |_| 4,
        operator: |a| {
            Box::new(LaguerreRsi {
                gamma: a.number(0),
                seen: 0,
                outputs: [0.0; 4],
            })
        },
        ..BASE
    },
];

#[derive(Debug, Clone)]
struct StochasticRsi {
    rsi: Rsi,
    highest: RollingExtreme,
    lowest: RollingExtreme,
}

impl StochasticRsi {
    fn new(period: usize, window: usize) -> Self {
        Self {
            rsi: Rsi::new(period),
            highest: RollingExtreme::highest(window),
            lowest: RollingExtreme::lowest(window),
        }
    }
}

impl Operator for StochasticRsi {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let rsi = self.rsi.push(bar.close)?;
        let highest = self.highest.push(rsi);
        let lowest = self.lowest.push(rsi)?;
        Some(100.0 * share(rsi - lowest, highest? - lowest, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.rsi.is_warm() && all.lowest.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut rsi, mut lowest) = ([0.0; ROWS], [0.0; ROWS]);
                let rsi = &mut rsi[..bars.len()];
                let lowest = &mut lowest[..bars.len()];

                all.rsi.push_all(bars.close(), rsi);
                all.highest.push_all(rsi, values);
                all.lowest.push_all(rsi, lowest);
                for (value, (rsi, lowest)) in values.iter_mut().zip(rsi.iter().zip(&*lowest)) {
                    *value = 100.0 * share(rsi - lowest, *value - lowest, 0.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct StochasticRsiD {
    line: StochasticRsi,
    mean: RollingMean,
}

impl Operator for StochasticRsiD {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let line = self.line.update(bar)?;
        self.mean.push(line)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.line.lowest.missing() + all.mean.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut line = [0.0; ROWS];
                let line = &mut line[..bars.len()];

                all.line.update_all(bars, line);
                all.mean.push_all(line, values);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Ultimate {
    previous_close: Option<f64>,
    /// Buying pressure and true range, per window.
    windows: [[RollingSum; 2]; 3],
}

impl Ultimate {
    fn new(periods: [usize; 3]) -> Self {
        Self {
            previous_close: None,
            windows: periods.map(|period| [RollingSum::new(period), RollingSum::new(period)]),
        }
    }
}

impl Operator for Ultimate {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let pressure = bar.close - bar.low.min(previous);
        let range = true_range(bar, previous);
        let [short, middle, long] = self.windows.each_mut().map(|[pressures, ranges]| {
            let pressure = pressures.push(pressure);
            let range = ranges.push(range)?;
            Some(share(pressure?, range, 0.0))
        });
        Some(100.0 * (0.0 + 4.0 * short? + 2.0 * middle? + 1.0 * long?) / 7.0)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| {
                all.previous_close.is_some()
                    && all
                        .windows
                        .as_flattened()
                        .iter()
                        .all(|sum| sum.missing() == 0)
            },
            #[inline(always)]
            |all, bars, values| {
                let (mut pressures, mut of_ranges) = ([0.0; ROWS], [0.0; ROWS]);
                let pressures = &mut pressures[..bars.len()];
                let of_ranges = &mut of_ranges[..bars.len()];

                let mut previous = all.previous_close.unwrap_or(f64::NAN);
                for (pressure, (low, close)) in pressures
                    .iter_mut()
                    .zip(bars.low().iter().zip(bars.close()))
                {
                    *pressure = close - low.min(previous);
                    previous = *close;
                }
                let mut ranges = [0.0; ROWS];
                let count = true_ranges(&mut all.previous_close, bars, &mut ranges);
                values.fill(0.0);
                for (weight, [of_pressure, of_range]) in
                    [4.0, 2.0, 1.0].into_iter().zip(&mut all.windows)
                {
                    let mut sums = [0.0; ROWS];
                    let sums = &mut sums[..count];
                    of_pressure.push_all(pressures, sums);
                    of_range.push_all(&ranges[..count], of_ranges);
                    for (value, (pressure, range)) in
                        values.iter_mut().zip(sums.iter().zip(&*of_ranges))
                    {
                        *value += weight * share(*pressure, *range, 0.0);
                    }
                }
                for value in values {
                    *value = 100.0 * *value / 7.0;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct ConnorsRsi {
    previous: Option<Prices>,
    streak: f64,
    of_closes: Rsi,
    of_streaks: Rsi,
    changes: RollingRank,
}

impl ConnorsRsi {
    fn new(period: usize, streak: usize, rank: usize) -> Self {
        Self {
            previous: None,
            streak: 0.0,
            of_closes: Rsi::new(period),
            of_streaks: Rsi::new(streak),
            changes: RollingRank::new(rank + 1),
        }
    }
}

impl Operator for ConnorsRsi {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let close = self.of_closes.push(bar.close);
        let previous = self.previous.replace(Prices::of(bar));
        let Some(previous) = previous else {
            self.of_streaks.push(0.0);
            return None;
        };
        let change = log_return(bar, &previous);
        self.streak = if change > 0.0 {
            self.streak.max(0.0) + 1.0
        } else if change < 0.0 {
            self.streak.min(0.0) - 1.0
        } else {
            0.0
        };
        let streak = self.of_streaks.push(self.streak);
        let rank = 100.0 * self.changes.push_strict(change)?;
        Some((close? + streak? + rank) / 3.0)
    }
}

#[derive(Debug, Clone)]
struct Vigor {
    /// The last three bodies and ranges.
    bodies: Ring,
    ranges: Ring,
    body: RollingSum,
    range: RollingSum,
}

impl Vigor {
    fn new(period: usize) -> Self {
        Self {
            bodies: Ring::new(4),
            ranges: Ring::new(4),
            body: RollingSum::new(period),
            range: RollingSum::new(period),
        }
    }
}

/// The last four values with the weights 1, 2, 2 and 1.
fn weighted_four(ring: &Ring) -> Option<f64> {
    let weighted = ring.iter().zip([1.0, 2.0, 2.0, 1.0]);
    ring.is_full()
        .then(|| weighted.map(|(value, weight)| value * weight).sum::<f64>() / 6.0)
}

impl Operator for Vigor {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.bodies.push(bar.close - bar.open);
        self.ranges.push(bar.high - bar.low);
        let body = self.body.push(weighted_four(&self.bodies)?);
        let range = self.range.push(weighted_four(&self.ranges)?)?;
        Some(share(body?, range, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.range.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let (mut bodies, mut ranges) = ([0.0; ROWS], [0.0; ROWS]);
                let bodies = &mut bodies[..bars.len()];
                let ranges = &mut ranges[..bars.len()];

                let numbers = bodies.iter_mut().zip(&mut *ranges);
                for ((body, range), bar) in numbers.zip(bars.rows()) {
                    all.bodies.push(bar.close - bar.open);
                    all.ranges.push(bar.high - bar.low);
                    *body = weighted_four(&all.bodies).unwrap_or(f64::NAN);
                    *range = weighted_four(&all.ranges).unwrap_or(f64::NAN);
                }
                all.body.push_all(bodies, values);
                all.range.push_all(ranges, bodies);
                for (value, range) in values.iter_mut().zip(&*bodies) {
                    *value = share(*value, *range, 0.0);
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct LaguerreRsi {
    gamma: f64,
    seen: usize,
    outputs: [f64; 4],
}

impl Operator for LaguerreRsi {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        if self.seen == 0 {
            self.outputs = [bar.close; 4];
        }
        self.seen = self.seen.min(3) + 1;
        let last = self.outputs;
        self.outputs[0] = (1.0 - self.gamma) * bar.close + self.gamma * last[0];
        for stage in 1..4 {
            self.outputs[stage] =
                -self.gamma * self.outputs[stage - 1] + last[stage - 1] + self.gamma * last[stage];
        }
        let steps = self.outputs.windows(2).map(|pair| pair[0] - pair[1]);
        let (mut rises, mut moves) = (0.0, 0.0);
        for step in steps {
            rises += step.max(0.0);
            moves += step.abs();
        }
        // Differences below a rounding of the price are none.
        let is_flat = moves <= bar.close * 1e-13;
        let shown = if is_flat { 50.0 } else { 100.0 * rises / moves };
        (self.seen >= 4).then_some(shown)
    }
}

crate::state! {
    StochasticRsi { rsi, highest, lowest }
    StochasticRsiD { line, mean }
    Ultimate { previous_close, windows }
    ConnorsRsi { previous, streak, of_closes, of_streaks, changes }
    Vigor { bodies, ranges, body, range }
    LaguerreRsi { seen, outputs }
}
