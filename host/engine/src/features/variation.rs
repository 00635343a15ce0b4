//! Realised variation of prices: its estimators, its parts and how it moves.

use std::f64::consts::LN_2;

use super::candle::PerStep;
use super::kind::{Family, FeatureKind, Input, Memory, Parameter, settling_steps};
use super::movement::true_range;
use super::parts::{
    Terms, deviation, in_parts, in_warm_parts, log_ratio, log_ratios, log_return, share, sums,
    window,
};
use super::robust::{JumpShare, MedianVolatility, RelativeVolatility};
use super::volatility::{Returns, rogers_satchell_of};
use super::window::{Moments, ROWS, RollingMean, RollingMoments, RollingPair};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Volatility,
    units: "log return per bar",
    parameters: &[window(48)],
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..FeatureKind::BASE
};

const SEMIVARIANCE: FeatureKind = FeatureKind {
    source: "O. Barndorff-Nielsen, S. Kinnebrock, N. Shephard 2010",
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "true_range",
        summary: "Range of the bar, extended to the previous close.",
        formula: "max(high - low, |high - close[-1]|, |low - close[-1]|) / close",
        source: "J. W. Wilder 1978; TA-Lib TRANGE",
        units: "share of the price",
        parameters: &[],
        inputs: &[Input::High, Input::Low, Input::Close],
        warmup_bars: |_| 2,
        operator: |_| {
            Box::new(PerStep::new(|bar, before| {
                true_range(bar, before.close) / bar.close
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "yang_zhang",
        summary: "Volatility from gaps, bodies and ranges, free of trend and of opening jumps.",
        formula: "sqrt(V(ln(open / close[-1])) + k V(ln(close / open)) + (1 - k) RS); sample \
                  variances V, RS the Rogers-Satchell mean, k = 0.34 / (1.34 + (n + 1) / (n - 1))",
        source: "D. Yang, Q. Zhang 2000",
        parameters: &[window(24)],
        inputs: &[Input::Open, Input::High, Input::Low, Input::Close],
        operator: |a| Box::new(YangZhang::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "ewma_volatility",
        summary: "Exponentially weighted volatility.",
        formula: "sqrt(v), v = decay v[-1] + (1 - decay) r^2, begun with the first r^2",
        source: "J.P. Morgan RiskMetrics 1996; pandas ewm(adjust=False)",
        parameters: &[Parameter {
            name: "decay",
            default: 0.94,
            min: 0.5,
            max: 0.999,
            whole: false,
            doc: "weight of the past",
        }],
        memory: Memory::Recursive {
            settling_bars: |a| settling_steps(a.number(0), 1),
        },
        warmup_bars: |_| 2,
        operator: |a| {
            Box::new(EwmaVolatility {
                decay: a.number(0),
                returns: Returns::default(),
                variance: None,
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "volatility_of_volatility",
        summary: "How much the volatility itself varied.",
        formula: "STDDEV / mean of realized_volatility(period) over `window` bars; 0 when flat",
        source: "G. Baltussen, S. van Bekkum, B. van der Grient 2018",
        units: "ratio",
        parameters: &[
            Parameter::bars("period", 12, 2, "window of each volatility"),
            Parameter::bars("window", 48, 2, "how many volatilities"),
        ],
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1),
        operator: |a| {
            Box::new(VolatilityOfVolatility {
                returns: Returns::default(),
                squares: RollingMean::new(a.bars(0)),
                volatilities: RollingMoments::new(a.bars(1)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "up_semideviation",
        summary: "Volatility of the gains.",
        formula: "sqrt(mean of max(r, 0)^2)",
        operator: |a| Box::new(semideviation(a.bars(0), |r| r.max(0.0))),
        ..SEMIVARIANCE
    },
    FeatureKind {
        name: "down_semideviation",
        summary: "Volatility of the losses.",
        formula: "sqrt(mean of min(r, 0)^2)",
        operator: |a| Box::new(semideviation(a.bars(0), |r| r.min(0.0))),
        ..SEMIVARIANCE
    },
    FeatureKind {
        name: "semivariance_balance",
        summary: "Whether the variation came from gains or from losses: signed jump variation.",
        formula: "(sum of max(r, 0)^2 - sum of min(r, 0)^2) / sum r^2; 0 where nothing moved",
        units: "-1 to 1",
        source: "A. Patton, K. Sheppard 2015",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = log_return(bar, before);
                [change * change.abs(), change * change]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..SEMIVARIANCE
    },
    FeatureKind {
        name: "jump_share",
        summary: "Share of the variation that came in jumps.",
        formula: "max(0, 1 - BV / RV); RV = sum r^2, BV = (pi / 2) n / (n - 1) sum |r| |r[-1]|; 0 \
                  where nothing moved",
        source: "O. Barndorff-Nielsen, N. Shephard 2004",
        units: "share",
        parameters: &[Parameter::bars("period", 48, 3, "window length in bars")],
        operator: |a| Box::new(JumpShare::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "median_volatility",
        summary: "Volatility that jumps hardly move.",
        formula: "sqrt(MedRV / n); MedRV = pi / (6 - 4 sqrt(3) + pi) n / (n - 2) sum of \
                  med(|r[-2]|, |r[-1]|, |r|)^2",
        source: "T. Andersen, D. Dobrev, E. Schaumburg 2012",
        parameters: &[Parameter::bars("period", 48, 3, "window length in bars")],
        operator: |a| Box::new(MedianVolatility::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "quarticity",
        summary: "Fourth-power volatility: equals the volatility where returns are normal, more \
                  where large moves dominate.",
        formula: "(sum r^4 / (3 n))^(1/4)",
        source: "O. Barndorff-Nielsen, N. Shephard 2002",
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before).powi(4)]);
            let show = |s: &[f64; 1], n: f64| (s[0].max(0.0) / (3.0 * n)).sqrt().sqrt();
            Box::new(sums(a.bars(0), terms, show))
        },
        ..BASE
    },
    FeatureKind {
        name: "range_return_ratio",
        summary: "Volatility seen inside the bars against that between their closes: above 0 moves \
                  were taken back.",
        formula: "ln(parkinson / realized_volatility); 0 where either is 0",
        source: "M. Parkinson 1980",
        units: "log ratio",
        inputs: &[Input::High, Input::Low, Input::Close],
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let range = log_ratio(bar.high, bar.low);
                [
                    range * range / (4.0 * LN_2),
                    log_return(bar, before).powi(2),
                ]
            });
            Box::new(sums(a.bars(0), terms, |[inside, between], _| {
                if *inside > 0.0 && *between > 0.0 {
                    0.5 * log_ratio(*inside, *between)
                } else {
                    0.0
                }
            }))
        },
        ..BASE
    },
    FeatureKind {
        name: "relative_volatility",
        summary: "Dorsey's relative volatility index: share of the volatility on rising closes.",
        formula: "100 U / (U + D); Wilder's averages of STDDEV(close, period) where the close rose \
                  (U) or fell (D); 50 where there was none",
        source: "D. Dorsey 1993; TA-Lib STDDEV",
        units: "0 to 100",
        parameters: &[
            Parameter::bars("period", 10, 2, "window of the deviation"),
            Parameter::bars("average", 14, 2, "length of the averages in bars"),
        ],
        memory: Memory::Recursive {
            settling_bars: |a| settling_steps(1.0 - 1.0 / a.number(1), 1),
        },
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) - 1,
        operator: |a| Box::new(RelativeVolatility::new(a.bars(0), a.bars(1))),
        ..BASE
    },
    FeatureKind {
        name: "leverage_correlation",
        summary: "Whether volatility followed losses (negative) or gains.",
        formula: "correlation of r[-1] and |r|, over `period` pairs; 0 where either does not vary",
        source: "J.-P. Bouchaud, A. Matacz, M. Potters 2001",
        units: "-1 to 1",
        warmup_bars: |a| a.bars_u32(0) + 2,
        operator: |a| Box::new(Leverage::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "gap_variance_share",
        summary: "Share of the variation that came between a close and the next open.",
        formula: "sum ln(open / close[-1])^2 / (sum ln(open / close[-1])^2 + sum ln(close / \
                  open)^2); 0 where nothing moved",
        source: "K. French, R. Roll 1986",
        units: "share",
        inputs: &[Input::Open, Input::Close],
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let gap = log_ratio(bar.open, before.close).powi(2);
                [gap, gap + log_ratio(bar.close, bar.open).powi(2)]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.0)))
        },
        ..BASE
    },
];

/// Root mean square of a part of each return.
#[derive(Debug, Clone)]
struct PartDeviation {
    returns: Returns,
    squares: RollingMean,
    part: fn(f64) -> f64,
}

fn semideviation(period: usize, part: fn(f64) -> f64) -> PartDeviation {
    PartDeviation {
        returns: Returns::default(),
        squares: RollingMean::new(period),
        part,
    }
}

impl Operator for PartDeviation {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = (self.part)(self.returns.push(bar)?);
        Some(self.squares.push(change * change)?.max(0.0).sqrt())
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.squares.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut squares = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut squares);
                for square in &mut squares[..count] {
                    let part = (all.part)(*square);
                    *square = part * part;
                }
                all.squares.push_all(&squares[..count], values);
                for value in values {
                    *value = value.max(0.0).sqrt();
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct YangZhang {
    count: f64,
    previous_close: Option<f64>,
    gaps: RollingMoments,
    bodies: RollingMoments,
    ranges: RollingMean,
}

impl YangZhang {
    fn new(period: usize) -> Self {
        Self {
            count: period as f64,
            previous_close: None,
            gaps: RollingMoments::new(period),
            bodies: RollingMoments::new(period),
            ranges: RollingMean::new(period),
        }
    }
}

impl Operator for YangZhang {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let previous = self.previous_close.replace(bar.close)?;
        let gaps = self.gaps.push(log_ratio(bar.open, previous));
        let body = log_ratio(bar.close, bar.open);
        let bodies = self.bodies.push(body);
        let ranges = self.ranges.push(rogers_satchell_of(bar, body))?;
        let [gap, body] = [gaps?, bodies?].map(|one| one.standard_deviation);
        Some(yang_zhang(self.count, [gap, body], ranges))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let first = usize::from(all.previous_close.is_none()).min(bars.len());
                let known = all.previous_close.iter().chain(bars.close());
                let later = bars.slice(first..bars.len());
                let (mut gaps, mut ranges) = ([0.0; ROWS], [0.0; ROWS]);
                let (gaps, ranges) = (&mut gaps[..later.len()], &mut ranges[..later.len()]);
                for (gap, previous) in gaps.iter_mut().zip(known) {
                    *gap = *previous;
                }
                log_ratios(later.open(), gaps);
                let mut bodies = [0.0; ROWS];
                let bodies = &mut bodies[..later.len()];
                bodies.copy_from_slice(later.open());
                log_ratios(later.close(), bodies);
                rogers_satchell(later, bodies, ranges);
                all.previous_close = bars.close().last().copied().or(all.previous_close);
                let missing = all.ranges.missing();
                let (mut of_gaps, mut of_bodies) = ([0.0; ROWS], [0.0; ROWS]);
                all.gaps
                    .push_all(gaps, &mut of_gaps[..gaps.len()], deviation);
                all.bodies
                    .push_all(bodies, &mut of_bodies[..gaps.len()], deviation);
                let shown = &mut values[first..];
                all.ranges.push_all(ranges, shown);
                for (value, (gap, body)) in shown.iter_mut().zip(of_gaps.into_iter().zip(of_bodies))
                {
                    *value = yang_zhang(all.count, [gap, body], *value);
                }
                let blank = (first + missing).min(values.len());
                values[..blank].fill(f64::NAN);
            },
        );
    }
}

/// Volatility from the deviations of gaps and bodies and the mean of Rogers and Satchell's terms.
#[inline]
fn yang_zhang(count: f64, deviations: [f64; 2], ranges: f64) -> f64 {
    let unbiased = count / (count - 1.0);
    let [gap, body] = deviations.map(|one| one.powi(2) * unbiased);
    let weight = 0.34 / (1.34 + (count + 1.0) / (count - 1.0));
    let variance = gap + weight * body + (1.0 - weight) * ranges;
    variance.max(0.0).sqrt()
}

/// [`rogers_satchell_of`] of at most [`ROWS`] bars with their `bodies`.
fn rogers_satchell(bars: Bars<'_>, bodies: &[f64], terms: &mut [f64]) {
    let mut lows = [0.0; ROWS];
    let lows = &mut lows[..bars.len()];
    lows.copy_from_slice(bars.open());
    terms.copy_from_slice(bars.open());
    log_ratios(bars.low(), lows);
    log_ratios(bars.high(), terms);
    for (high, (low, body)) in terms.iter_mut().zip(lows.iter().zip(bodies)) {
        *high = *high * (*high - body) + low * (low - body);
    }
}

#[derive(Debug, Clone)]
struct EwmaVolatility {
    decay: f64,
    returns: Returns,
    variance: Option<f64>,
}

impl Operator for EwmaVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let square = self.returns.push(bar)?.powi(2);
        let last = self.variance.unwrap_or(square);
        let variance = square + (last - square) * self.decay;
        self.variance = Some(variance);
        Some(variance.sqrt())
    }
}

#[derive(Debug, Clone)]
struct VolatilityOfVolatility {
    returns: Returns,
    squares: RollingMean,
    volatilities: RollingMoments,
}

impl Operator for VolatilityOfVolatility {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let volatility = self.squares.push(change * change)?.max(0.0).sqrt();
        let moments = self.volatilities.push(volatility)?;
        Some(share(moments.standard_deviation, moments.mean, 0.0))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                let (mut squares, mut volatilities) = ([0.0; ROWS], [0.0; ROWS]);
                let count = all.returns.push_all(bars, &mut squares);
                let (squares, volatilities) = (&mut squares[..count], &mut volatilities[..count]);
                squares.iter_mut().for_each(|one| *one *= *one);
                let missing = all.squares.missing().min(count);
                all.squares.push_all(squares, volatilities);
                for volatility in &mut *volatilities {
                    *volatility = volatility.max(0.0).sqrt();
                }
                let (blank, shown) = values.split_at_mut(values.len() - count + missing);
                blank.fill(f64::NAN);
                let variation =
                    |moments: Moments, _| share(moments.standard_deviation, moments.mean, 0.0);
                let known = &volatilities[missing..];
                all.volatilities.push_all(known, shown, variation);
            },
        );
    }
}

#[derive(Debug, Clone)]
struct Leverage {
    returns: Returns,
    previous: Option<f64>,
    pairs: RollingPair,
}

impl Leverage {
    fn new(period: usize) -> Self {
        Self {
            returns: Returns::default(),
            previous: None,
            pairs: RollingPair::new(period),
        }
    }
}

impl Operator for Leverage {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let previous = self.previous.replace(change)?;
        let pairs = self.pairs.push(previous, change.abs());
        Some(pairs?.correlation())
    }
}

crate::state! {
    PartDeviation { returns, squares }
    YangZhang { previous_close, gaps, bodies, ranges }
    EwmaVolatility { returns, variance }
    VolatilityOfVolatility { returns, squares, volatilities }
    Leverage { returns, previous, pairs }
}
