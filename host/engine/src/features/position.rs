//! The place of the newest close and return among recent ones: falls from a peak, extremes, ranks.

use super::kind::{Family, FeatureKind, Input};
use super::parts::{
    Terms, in_parts, in_warm_parts, log_return, moments, quantiles, rank, share, sums, window,
};
use super::volatility::Returns;
use super::window::{AgedExtreme, MaxDrawdown, ROWS, RollingExtreme};
use super::{Bars, Operator};
use crate::types::Bar;

const BASE: FeatureKind = FeatureKind {
    family: Family::Returns,
    source: "standard definition",
    parameters: &[window(48)],
    warmup_bars: |a| a.bars_u32(0),
    ..FeatureKind::BASE
};

/// Numbers of returns need one bar more.
const OF_RETURNS: FeatureKind = FeatureKind {
    warmup_bars: |a| a.bars_u32(0) + 1,
    ..BASE
};

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "drawdown_age",
        summary: "How long ago the highest close of the window was.",
        formula: "bars since MAX(close), the latest of equals, over period - 1",
        source: "TA-Lib MAXINDEX",
        units: "share of the window",
        operator: |a| Box::new(CloseAge::new(AgedExtreme::highest(a.bars(0)), a.number(0))),
        ..BASE
    },
    FeatureKind {
        name: "runup_age",
        summary: "How long ago the lowest close of the window was.",
        formula: "bars since MIN(close), the latest of equals, over period - 1",
        source: "TA-Lib MININDEX",
        units: "share of the window",
        operator: |a| Box::new(CloseAge::new(AgedExtreme::lowest(a.bars(0)), a.number(0))),
        ..BASE
    },
    FeatureKind {
        name: "runup",
        summary: "Gain since the lowest close of the window.",
        formula: "close / MIN(close) - 1",
        source: "TA-Lib MIN",
        operator: |a| {
            Box::new(Runup {
                trough: RollingExtreme::lowest(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "max_drawdown",
        summary: "The deepest fall from a close to a later one inside the window.",
        formula: "max over i <= j of 1 - close[j] / close[i]",
        source: "M. Magdon-Ismail, A. Atiya 2004",
        operator: |a| {
            Box::new(DeepestFall {
                closes: MaxDrawdown::new(a.bars(0)),
            })
        },
        ..BASE
    },
    FeatureKind {
        name: "robust_zscore",
        summary: "Distance of the close from the median in interquartile ranges.",
        formula: "(close - median) / (q75 - q25), quantiles interpolated linearly; 0 where the \
                  quartiles are equal; reads the window where a price crosses a quantile",
        source: "P. Rousseeuw, C. Croux 1993; numpy.quantile",
        units: "interquartile ranges",
        operator: |a| {
            let terms = Terms::bars(|bar| [bar.close]);
            Box::new(quantiles(a.bars(0), [0.25, 0.5, 0.75], terms, robust_score))
        },
        ..BASE
    },
    FeatureKind {
        name: "return_zscore",
        summary: "How unusual the newest return is.",
        formula: "(r - mean) / deviation of the log returns, population deviation; 0 when flat",
        source: "pandas rolling mean and std(ddof=0)",
        units: "standard deviations",
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before)]);
            Box::new(moments(a.bars(0), terms, |m, r| m.z_score(r)))
        },
        ..OF_RETURNS
    },
    FeatureKind {
        name: "return_rank",
        summary: "Share of the window's returns that lie below the newest one.",
        formula: "(returns below + half of the other equal ones) / (period - 1); reads the \
                  window, a long one by binary search",
        units: "share",
        operator: |a| {
            let terms = Terms::steps(|bar, before| [log_return(bar, before)]);
            Box::new(rank(a.bars(0), terms))
        },
        ..OF_RETURNS
    },
    FeatureKind {
        name: "up_share",
        summary: "Share of the bars that closed higher than the one before.",
        formula: "(rising + half of the unchanged closes) / period",
        source: "psychological line, standard definition",
        units: "share",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let half = |holds: bool| if holds { 0.5 } else { 0.0 };
                [half(bar.close > before.close) + half(bar.close >= before.close)]
            });
            Box::new(sums(a.bars(0), terms, |[up], period| up / period))
        },
        ..OF_RETURNS
    },
    FeatureKind {
        name: "gain_share",
        summary: "Share of the positive returns in the path of the log price.",
        formula: "sum(max(r, 0)) / sum(|r|) of log returns; 0.5 where nothing moved",
        source: "A. Bernardo, O. Ledoit 2000 (gain-loss ratio g/l, as g / (g + l))",
        units: "share",
        operator: |a| {
            let terms = Terms::steps(|bar, before| {
                let change = log_return(bar, before);
                [change.max(0.0), change.abs()]
            });
            Box::new(sums(a.bars(0), terms, |s, _| share(s[0], s[1], 0.5)))
        },
        ..OF_RETURNS
    },
    FeatureKind {
        name: "max_return",
        summary: "The largest return of the window: demand for lotteries.",
        formula: "MAX of log returns",
        source: "T. Bali, N. Cakici, R. Whitelaw 2011",
        units: "log return",
        operator: |a| Box::new(ExtremeReturn::new(RollingExtreme::highest(a.bars(0)))),
        ..OF_RETURNS
    },
    FeatureKind {
        name: "min_return",
        summary: "The lowest return of the window.",
        formula: "MIN of log returns",
        source: "T. Bali, N. Cakici, R. Whitelaw 2011",
        units: "log return",
        operator: |a| Box::new(ExtremeReturn::new(RollingExtreme::lowest(a.bars(0)))),
        ..OF_RETURNS
    },
    FeatureKind {
        name: "close_location_mean",
        summary: "Where bars of the window closed inside their ranges.",
        formula: "SMA of close_location",
        source: "M. Chaikin, close location value; TA-Lib SMA",
        units: "-1 to 1",
        parameters: &[window(14)],
        inputs: &[Input::High, Input::Low, Input::Close],
        operator: |a| {
            let terms = Terms::bars(|bar| [super::returns::close_location(bar)]);
            Box::new(sums(a.bars(0), terms, |[sum], period| sum / period))
        },
        ..BASE
    },
];

fn robust_score([lower, median, upper]: [f64; 3], close: f64) -> f64 {
    share(close - median, upper - lower, 0.0)
}

#[derive(Debug, Clone)]
struct CloseAge {
    extreme: AgedExtreme,
    oldest: f64,
}

impl CloseAge {
    fn new(extreme: AgedExtreme, period: f64) -> Self {
        Self {
            extreme,
            oldest: period - 1.0,
        }
    }
}

impl Operator for CloseAge {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        Some(self.extreme.push(bar.close)? / self.oldest)
    }
}

#[derive(Debug, Clone)]
struct Runup {
    trough: RollingExtreme,
}

impl Operator for Runup {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let trough = self.trough.push(bar.close)?;
        Some(bar.close / trough - 1.0)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_parts(
            self,
            bars,
            values,
            #[inline(always)]
            |all, bars, values| {
                all.trough.push_all(bars.close(), values);
                for (close, value) in bars.close().iter().zip(values) {
                    *value = close / *value - 1.0;
                }
            },
        );
    }
}

#[derive(Debug, Clone)]
struct DeepestFall {
    closes: MaxDrawdown,
}

impl Operator for DeepestFall {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        self.closes.push(bar.close)
    }
}

#[derive(Debug, Clone)]
struct ExtremeReturn {
    returns: Returns,
    extreme: RollingExtreme,
}

impl ExtremeReturn {
    fn new(extreme: RollingExtreme) -> Self {
        Self {
            returns: Returns::default(),
            extreme,
        }
    }
}

impl Operator for ExtremeReturn {
    fn update(&mut self, bar: &Bar) -> Option<f64> {
        let change = self.returns.push(bar)?;
        self.extreme.push(change)
    }

    fn update_all(&mut self, bars: Bars<'_>, values: &mut [f64]) {
        in_warm_parts(
            self,
            bars,
            values,
            |all| all.extreme.missing() == 0,
            #[inline(always)]
            |all, bars, values| {
                let mut changes = [0.0; ROWS];
                let count = all.returns.push_all(bars, &mut changes);
                all.extreme.push_all(&changes[..count], values);
            },
        );
    }
}

crate::state! {
    CloseAge { extreme }
    Runup { trough }
    DeepestFall { closes }
    ExtremeReturn { returns, extreme }
}
