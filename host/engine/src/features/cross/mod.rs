//! The symbol against a lead (`beta(72)#BTCUSDT`) and against the whole market
//! (`market_rank(24)`).
//!
//! A pair is looked at where both symbols have a bar that closes at the same moment: its returns
//! run from one such common close to the next, and a close that only one of them has is passed
//! over. The market kinds take the newest return of every symbol that is not silent. Only bars
//! that have closed by the row's time are ever seen; see `cross_lane` for who shows them.

mod market;
mod pair;

use std::fmt::Debug;

use self::market::MarketReturns;
use self::pair::{Comovement, RelativeStrength, SpreadZScore, Statistic};
use super::kind::{Constraint, Family, FeatureKind, Parameter, Reads};
use super::state::State;
use crate::types::Bar;

/// The state of one feature of one symbol that reads the bars of several symbols (its sources).
///
/// What changes with the bars is declared with [`state!`](crate::state).
pub trait CrossOperator: Debug + Send + Sync + State + CloneCross {
    /// Takes in a bar of `source` that has just closed.
    fn see(&mut self, source: usize, bar: &Bar);

    /// Forgets what was seen of `source`, which was away for too long.
    fn forget(&mut self, source: usize);

    /// The value at the close of the row's own bar; `is_heard` says of each source whether it has
    /// had a bar lately. `None` until the warm-up is complete.
    fn value(&mut self, is_heard: &[bool]) -> Option<f64>;
}

/// Copies an operator behind its pointer.
pub trait CloneCross {
    /// A copy with the same state.
    fn clone_cross(&self) -> Box<dyn CrossOperator>;
}

impl<T: CrossOperator + Clone + 'static> CloneCross for T {
    fn clone_cross(&self) -> Box<dyn CrossOperator> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn CrossOperator> {
    fn clone(&self) -> Self {
        self.as_ref().clone_cross()
    }
}

const BASE: FeatureKind = FeatureKind {
    family: Family::Cross,
    source: "standard definition",
    ..FeatureKind::BASE
};

const PERIOD: &[Parameter] = &[Parameter::bars(
    "period",
    72,
    3,
    "common bars in the window",
)];
const BARS: &[Parameter] = &[Parameter::bars("bars", 24, 1, "bars of each return")];

/// A kind over the co-movement of two return series.
macro_rules! comovement {
    ($statistic:expr) => {
        Reads::Pair(|a| Box::new(Comovement::new(a.bars(0), 0, $statistic)))
    };
}

/// A kind over the newest returns of all symbols.
macro_rules! market {
    ($statistic:expr) => {
        Reads::Market(|a, symbols, own| {
            Box::new(MarketReturns::new(a.bars(0), symbols, own, $statistic))
        })
    };
}

pub(super) const KINDS: &[FeatureKind] = &[
    FeatureKind {
        name: "beta",
        summary: "How much the symbol moves when the lead moves by one.",
        formula: "cov(own, lead) / var(lead) of the common log returns; 0 for a flat lead",
        source: "W. Sharpe 1964, slope of the market model",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: comovement!(|moments, _| moments.slope()),
        ..BASE
    },
    FeatureKind {
        name: "correlation",
        summary: "How closely the symbol moves with the lead.",
        formula: "Pearson correlation of the common log returns; 0 where one of them is flat",
        units: "-1 to 1",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: comovement!(|moments, _| moments.correlation()),
        ..BASE
    },
    FeatureKind {
        name: "residual_return",
        summary: "What of the newest return the lead does not explain.",
        formula: "own - beta * lead, the newest common log returns; beta over the window",
        source: "residual of the market model without intercept",
        units: "log return",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: comovement!(|moments, (own, lead)| own - moments.slope() * lead),
        ..BASE
    },
    FeatureKind {
        name: "residual_volatility",
        summary: "Size of the moves that the lead does not explain.",
        formula: "sqrt(var(own) (1 - correlation^2)) of the common log returns; population",
        source: "standard error of the market model",
        units: "log return",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: comovement!(|moments, _| {
            let share = 1.0 - moments.correlation().powi(2);
            (moments.variance_y * share.max(0.0)).sqrt()
        }),
        ..BASE
    },
    FeatureKind {
        name: "lead_lag_correlation",
        summary: "How closely the symbol follows what the lead did some bars before.",
        formula: "Pearson correlation of own[t] and lead[t - lag], common log returns; 0 when flat",
        units: "-1 to 1",
        parameters: &[
            Parameter::bars("period", 72, 3, "common bars in the window"),
            Parameter::bars("lag", 1, 1, "common bars that the lead is ahead"),
        ],
        constraint: Some(Constraint {
            holds: |a| a.bars(1) < a.bars(0),
            requirement: "`lag` must be below `period`",
        }),
        warmup_bars: |a| a.bars_u32(0) + a.bars_u32(1) + 1,
        reads: Reads::Pair(|a| {
            let statistic: Statistic = |moments, _| moments.correlation();
            Box::new(Comovement::new(a.bars(0), a.bars(1), statistic))
        }),
        ..BASE
    },
    FeatureKind {
        name: "relative_strength",
        summary: "Return over that of the lead.",
        formula: "ln(own[t] / lead[t]) - ln(own[t - bars] / lead[t - bars]) at common closes",
        units: "log return",
        parameters: &[Parameter::bars("bars", 24, 1, "common bars back")],
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: Reads::Pair(|a| Box::new(RelativeStrength::new(a.bars(0)))),
        ..BASE
    },
    FeatureKind {
        name: "spread_zscore",
        summary: "How far the price ratio to the lead lies from its mean.",
        formula: "z-score of ln(own / lead) at common closes; population deviation, 0 when flat",
        source: "E. Gatev, W. Goetzmann, K. Rouwenhorst 2006, pairs trading",
        units: "standard deviations",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0),
        reads: Reads::Pair(|a| Box::new(SpreadZScore::new(a.bars(0)))),
        ..BASE
    },
    FeatureKind {
        name: "market_return",
        summary: "Mean return of all symbols.",
        formula: "mean of ln(close[t] / close[t - bars]) over the symbols heard of",
        units: "log return",
        parameters: BARS,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: market!(|_, all| mean(all)),
        ..BASE
    },
    FeatureKind {
        name: "market_excess",
        summary: "Return over the mean of all symbols.",
        formula: "own return - market_return",
        units: "log return",
        parameters: BARS,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: market!(|own, all| own - mean(all)),
        ..BASE
    },
    FeatureKind {
        name: "market_dispersion",
        summary: "How far the symbols go apart.",
        formula: "population standard deviation of the symbols' returns",
        source: "cross-sectional dispersion, W. Christie and R. Huang 1995",
        units: "log return",
        parameters: BARS,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: market!(|_, all| {
            let mean = mean(all);
            let squares: f64 = all.iter().map(|one| (one - mean).powi(2)).sum();
            (squares / all.len() as f64).sqrt()
        }),
        ..BASE
    },
    FeatureKind {
        name: "market_rank",
        summary: "Share of the other symbols that the symbol has outrun.",
        formula: "(others with a lower return + half of those with an equal one) / others",
        source: "cross-sectional momentum, N. Jegadeesh and S. Titman 1993",
        units: "share",
        parameters: BARS,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: market!(|own, all| {
            let below = all.iter().filter(|one| **one < own).count() as f64;
            let up_to = all.iter().filter(|one| **one <= own).count() as f64;
            (below + 0.5 * (up_to - below - 1.0)) / (all.len() as f64 - 1.0)
        }),
        ..BASE
    },
    FeatureKind {
        name: "market_breadth",
        summary: "Share of the symbols that rose.",
        formula: "symbols with a return above 0 / symbols",
        source: "advance-decline share",
        units: "share",
        parameters: BARS,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: market!(|_, all| {
            all.iter().filter(|one| **one > 0.0).count() as f64 / all.len() as f64
        }),
        ..BASE
    },
];

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len() as f64
}
