//! Shape of the distribution of recent returns: its tails and its lopsidedness.

use super::kind::{Family, FeatureKind, Parameter};
use super::parts::{Terms, in_warm_parts, log_return, quantiles, share};
use super::volatility::Returns;
use super::window::{LowerTail, Moments, ROWS, RollingMoments, RollingSum};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Volatility,
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..FeatureKind::BASE
};

const SHARE: Parameter = Parameter {
    name: "share",
    default: 0.05,
    min: 0.001,
    max: 0.5,
    whole: false,
    doc: "share of the returns in the tail",
};

const TAIL: FeatureKind = FeatureKind {
    units: "log return",
    parameters: &[
        Parameter::bars("period", 100, 2, "window length in bars"),
        SHARE,
    ],
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "return_kurtosis",
        summary: "Heaviness of the tails of the log returns, 0 for a normal distribution.",
        formula: "m4 / m2^2 - 3 with population moments; 0 when the returns do not vary",
        source: "standard definition; scipy.stats.kurtosis",
        units: "none",
        parameters: &[Parameter::bars("period", 48, 4, "window length in bars")],
        operator: |a| Box::new(ReturnKurtosis::new(a.bars(0))),
        ..BASE
    },
    FeatureKind {
        name: "value_at_risk",
        summary: "The return that the worst ones of the window fell below, as a loss.",
        formula: "-(quantile `share` of the log returns), interpolated linearly; reads the window \
                  where a return crosses the quantile",
        source: "historical simulation, P. Jorion 1997; numpy.quantile",
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before)]);
            let show = |[lower]: [f64; 1], _| -lower;
            Box::new(quantiles(a.bars(0), [a.number(1)], terms, show))
        },
        ..TAIL
    },
    FeatureKind {
        name: "expected_shortfall",
        summary: "Mean of the worst returns of the window, as a loss.",
        formula: "-(mean of the ceil(share period) lowest log returns); reads the tail at each bar",
        source: "C. Acerbi, D. Tasche 2002",
        operator: |a| {
            // Rounded up, but not for a rounding error.
            let count = (a.number(1) * a.number(0) - 1e-9) as usize + 1;
            Box::new(Shortfall {
                returns: Returns::default(),
                tail: LowerTail::new(a.bars(0), count),
            })
        },
        ..TAIL
    },
    FeatureKind {
        name: "quantile_skew",
        summary: "Whether the upper or the lower tail of the returns is longer; outliers hardly \
                  matter.",
        formula: "(q[1 - share] + q[share] - 2 median) / (q[1 - share] - q[share]); 0 where both \
                  are equal",
        source: "D. Hinkley 1975; numpy.quantile",
        units: "-1 to 1",
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before)]);
            let show = |[low, median, high]: [f64; 3], _| {
                share(high + low - 2.0 * median, high - low, 0.0)
            };
            let shares = [a.number(1), 0.5, 1.0 - a.number(1)];
            Box::new(quantiles(a.bars(0), shares, terms, show))
        },
        ..TAIL
    },
];

/// Mean of the lowest returns of a window, as a loss.
#[derive(Debug, Clone)]
struct Shortfall {
    returns: Returns,
    tail: LowerTail,
}

impl Operator for Shortfall {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        Some(-self.tail.push(change)?)
    }
}

/// Fourth moment from carried sums of powers, around zero: returns are small against one, and the
/// sums are renewed once per window.
#[derive(Debug, Clone)]
struct ReturnKurtosis {
    returns: Returns,
    count: f64,
    moments: RollingMoments,
    powers: [RollingSum; 3],
}

impl ReturnKurtosis {
    fn new(period: usize) -> Self {
        Self {
            returns: Returns::default(),
            count: period as f64,
            moments: RollingMoments::new(period),
            powers: std::array::from_fn(|_| RollingSum::new(period)),
        }
    }
}

impl Operator for ReturnKurtosis {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        let square = change * change;
        let [second, third, fourth] = &mut self.powers;
        let second = second.push(square);
        let third = third.push(square * change);
        let fourth = fourth.push(square * square);
        let moments = self.moments.push(change)?;
        let means = [second?, third?, fourth?].map(|sum| sum / self.count);
        Some(excess(moments, means))
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.powers.iter().all(|power| power.missing() == 0),
            #[inline(always)]
            |all, bars, values| {
                let mut changes = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut changes);
                let changes = &changes[..count];
                let mut sums = [[0.0; ROWS]; 3];
                let mut terms = [0.0; ROWS];
                let terms = &mut terms[..count];
                for (exponent, (power, sums)) in all.powers.iter_mut().zip(&mut sums).enumerate() {
                    for (term, change) in terms.iter_mut().zip(changes) {
                        let square = change * change;
                        *term = square * [1.0, *change, square][exponent];
                    }
                    power.push_all(terms, &mut sums[..count]);
                }
                let mut means = [0.0; ROWS];
                let means = &mut means[..count];
                all.moments.push_both(changes, means, values);
                for (place, (value, mean)) in values.iter_mut().zip(&*means).enumerate() {
                    let moments = Moments {
                        mean: *mean,
                        standard_deviation: *value,
                    };
                    let powers = sums.each_ref().map(|sums| sums[place] / all.count);
                    *value = excess(moments, powers);
                }
            },
        );
    }
}

/// From mean and deviation and the means of squares, cubes and fourth powers.
#[inline]
fn excess(moments: Moments, [second, third, fourth]: [f64; 3]) -> f64 {
    let (mean, deviation) = (moments.mean, moments.standard_deviation);
    if deviation <= mean.abs() * 1e-4 {
        return 0.0;
    }
    let central = fourth - 4.0 * mean * third + 6.0 * mean * mean * second - 3.0 * mean.powi(4);
    central / deviation.powi(4) - 3.0
}

crate::state! {
    Shortfall { returns, tail }
    ReturnKurtosis { returns, moments, powers }
}
