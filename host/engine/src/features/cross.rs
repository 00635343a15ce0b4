//! The symbol against a lead (`beta(72)#BTCUSDT`) and against the whole market
//! (`market_rank(24)`).
//!
//! A pair is looked at where both symbols have a bar that closes at the same moment: its returns
//! run from one such common close to the next, and a close that only one of them has is passed
//! over. The market kinds take the newest return of every symbol that is not silent. Only bars
//! that have closed by the row's time are ever seen; see `cross_lane` for who shows them.

use std::collections::VecDeque;
use std::fmt::Debug;

use super::kind::{Constraint, Family, FeatureKind, Parameter, Reads};
use super::state::{State, StateError, StateReader, StateWriter};
use super::window::RollingMoments;
use crate::types::{Bar, SymbolId};

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
        reads: comovement!(|moments, _| moments.beta()),
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
        reads: comovement!(|moments, (own, lead)| own - moments.beta() * lead),
        ..BASE
    },
    FeatureKind {
        name: "residual_volatility",
        summary: "Size of the moves that the lead does not explain.",
        formula: "sqrt(var(own) (1 - correlation^2)) of the common log returns; population variance",
        source: "standard error of the market model",
        units: "log return",
        parameters: PERIOD,
        warmup_bars: |a| a.bars_u32(0) + 1,
        reads: comovement!(|moments, _| {
            let share = 1.0 - moments.correlation().powi(2);
            (moments.own_variance * share.max(0.0)).sqrt()
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

/// Source 1 of a pair.
const LEAD: usize = 1;

/// Closes of one symbol that may still find their partner; older ones are given up.
const WAITING_CLOSES: usize = 1024;

/// Finds the closes that two symbols have at the same moment.
#[derive(Debug, Clone, Default)]
struct Join {
    /// Closing times in nanoseconds and closes of each source, ascending; one of the two is
    /// always empty.
    waiting: [VecDeque<(i64, f64)>; 2],
}

impl Join {
    /// Adds a close; gives own and lead close where the partner was waiting.
    fn see(&mut self, source: usize, bar: &Bar) -> Option<(f64, f64)> {
        let at = bar.closed_at.as_nanos();
        let [own, lead] = &mut self.waiting;
        let (mine, other) = if source == LEAD {
            (lead, own)
        } else {
            (own, lead)
        };
        while other.front().is_some_and(|one| one.0 < at) {
            other.pop_front();
        }
        let partner = other.front().copied().filter(|one| one.0 == at);
        if let Some((_, partner)) = partner {
            other.pop_front();
            mine.clear();
            let (own, lead) = if source == LEAD {
                (partner, bar.close)
            } else {
                (bar.close, partner)
            };
            return Some((own, lead));
        }
        if other.is_empty() {
            mine.push_back((at, bar.close));
        }
        if mine.len() > WAITING_CLOSES {
            mine.pop_front();
        }
        None
    }
}

/// A statistic of a window of return pairs and the newest pair.
type Statistic = fn(&PairMoments, (f64, f64)) -> f64;

/// A statistic over the last common returns, own against lead.
#[derive(Debug, Clone)]
struct Comovement {
    join: Join,
    previous: Option<(f64, f64)>,
    /// Returns of the lead that wait for the own return `lag` bars later.
    delayed: VecDeque<f64>,
    window: RollingPairs,
    value: Option<f64>,
    lag: usize,
    statistic: Statistic,
}

impl Comovement {
    fn new(period: usize, lag: usize, statistic: Statistic) -> Self {
        Self {
            join: Join::default(),
            previous: None,
            delayed: VecDeque::with_capacity(lag + 1),
            window: RollingPairs::new(period),
            value: None,
            lag,
            statistic,
        }
    }
}

impl CrossOperator for Comovement {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let Some((own_before, lead_before)) = self.previous.replace((own, lead)) else {
            return;
        };
        self.delayed.push_back((lead / lead_before).ln());
        if self.delayed.len() <= self.lag {
            return;
        }
        let Some(lead) = self.delayed.pop_front() else {
            return;
        };
        let newest = ((own / own_before).ln(), lead);
        let moments = self.window.push(newest);
        self.value = moments.map(|moments| (self.statistic)(&moments, newest));
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.window.period, self.lag, self.statistic);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

/// Second moments of the last `period` pairs. The carried sums are recomputed from the window once
/// per window length, so that rounding errors do not grow.
#[derive(Debug, Clone)]
struct RollingPairs {
    period: usize,
    pairs: VecDeque<(f64, f64)>,
    sums: PairSums,
    since_recomputed: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct PairSums {
    own: f64,
    lead: f64,
    own_squared: f64,
    lead_squared: f64,
    product: f64,
    /// Values that are not zero, so that nothing but zeros has exactly no variance.
    own_moves: usize,
    lead_moves: usize,
}

impl PairSums {
    fn add(&mut self, (own, lead): (f64, f64)) {
        self.shift((own, lead), 1.0);
        self.own_moves += usize::from(own.abs() > 0.0);
        self.lead_moves += usize::from(lead.abs() > 0.0);
    }

    fn remove(&mut self, (own, lead): (f64, f64)) {
        self.shift((own, lead), -1.0);
        self.own_moves -= usize::from(own.abs() > 0.0);
        self.lead_moves -= usize::from(lead.abs() > 0.0);
    }

    fn shift(&mut self, (own, lead): (f64, f64), sign: f64) {
        self.own += sign * own;
        self.lead += sign * lead;
        self.own_squared += sign * own * own;
        self.lead_squared += sign * lead * lead;
        self.product += sign * own * lead;
    }
}

impl RollingPairs {
    fn new(period: usize) -> Self {
        Self {
            period,
            pairs: VecDeque::with_capacity(period),
            sums: PairSums::default(),
            since_recomputed: 0,
        }
    }

    fn push(&mut self, pair: (f64, f64)) -> Option<PairMoments> {
        let removed = (self.pairs.len() == self.period).then(|| self.pairs.pop_front());
        self.pairs.push_back(pair);
        self.sums.add(pair);
        if let Some(removed) = removed.flatten() {
            self.sums.remove(removed);
        }
        self.since_recomputed += 1;
        if self.since_recomputed >= self.period {
            self.since_recomputed = 0;
            self.sums = PairSums::default();
            for &pair in &self.pairs {
                self.sums.add(pair);
            }
        }
        (self.pairs.len() == self.period).then(|| PairMoments::of(&self.sums, self.period as f64))
    }
}

/// Population moments of a window of pairs.
#[derive(Debug, Clone, Copy)]
struct PairMoments {
    covariance: f64,
    own_variance: f64,
    lead_variance: f64,
}

impl PairMoments {
    fn of(sums: &PairSums, count: f64) -> Self {
        let variance = |moves: usize, sum: f64, squares: f64| {
            let variance = (squares - sum * sum / count) / count;
            if moves == 0 { 0.0 } else { variance.max(0.0) }
        };
        Self {
            covariance: (sums.product - sums.own * sums.lead / count) / count,
            own_variance: variance(sums.own_moves, sums.own, sums.own_squared),
            lead_variance: variance(sums.lead_moves, sums.lead, sums.lead_squared),
        }
    }

    fn beta(&self) -> f64 {
        if self.lead_variance > 0.0 {
            self.covariance / self.lead_variance
        } else {
            0.0
        }
    }

    fn correlation(&self) -> f64 {
        let scale = (self.own_variance * self.lead_variance).sqrt();
        if scale > 0.0 {
            (self.covariance / scale).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }
}

#[derive(Debug, Clone)]
struct RelativeStrength {
    join: Join,
    ratios: VecDeque<f64>,
    value: Option<f64>,
    bars: usize,
}

impl RelativeStrength {
    fn new(bars: usize) -> Self {
        Self {
            join: Join::default(),
            ratios: VecDeque::with_capacity(bars + 1),
            value: None,
            bars,
        }
    }
}

impl CrossOperator for RelativeStrength {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let ratio = (own / lead).ln();
        self.ratios.push_back(ratio);
        if self.ratios.len() > self.bars {
            self.value = self.ratios.pop_front().map(|past| ratio - past);
        }
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.bars);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

#[derive(Debug, Clone)]
struct SpreadZScore {
    join: Join,
    ratios: RollingMoments,
    value: Option<f64>,
    period: usize,
}

impl SpreadZScore {
    fn new(period: usize) -> Self {
        Self {
            join: Join::default(),
            ratios: RollingMoments::new(period),
            value: None,
            period,
        }
    }
}

impl CrossOperator for SpreadZScore {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let ratio = (own / lead).ln();
        let moments = self.ratios.push(ratio);
        self.value = moments.map(|moments| moments.z_score(ratio));
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.period);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

/// A statistic of the own return and those of all symbols, the own one among them.
type MarketStatistic = fn(f64, &[f64]) -> f64;

/// The newest return of every symbol.
#[derive(Debug, Clone)]
struct MarketReturns {
    bars: usize,
    own: usize,
    statistic: MarketStatistic,
    /// The last closes of each symbol.
    closes: Vec<VecDeque<f64>>,
    returns: Vec<Option<f64>>,
    heard: Vec<f64>,
}

impl MarketReturns {
    fn new(bars: usize, symbols: usize, own: SymbolId, statistic: MarketStatistic) -> Self {
        Self {
            bars,
            own: own.index(),
            statistic,
            closes: vec![VecDeque::with_capacity(bars + 1); symbols],
            returns: vec![None; symbols],
            heard: Vec::with_capacity(symbols),
        }
    }
}

impl CrossOperator for MarketReturns {
    fn see(&mut self, source: usize, bar: &Bar) {
        let closes = &mut self.closes[source];
        closes.push_back(bar.close);
        if closes.len() > self.bars {
            let past = closes.pop_front();
            self.returns[source] = past.map(|past| (bar.close / past).ln());
        }
    }

    fn forget(&mut self, source: usize) {
        self.closes[source].clear();
        self.returns[source] = None;
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        let own = self.returns.get(self.own).copied().flatten()?;
        self.heard.clear();
        let known = self.returns.iter().zip(is_heard);
        self.heard.extend(
            known
                .filter(|(_, heard)| **heard)
                .filter_map(|(one, _)| *one),
        );
        (self.heard.len() > 1).then(|| (self.statistic)(own, &self.heard))
    }
}

impl State for MarketReturns {
    fn save(&self, to: &mut StateWriter) {
        for (closes, newest) in self.closes.iter().zip(&self.returns) {
            closes.save(to);
            newest.save(to);
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        for (closes, newest) in self.closes.iter_mut().zip(&mut self.returns) {
            closes.load(from)?;
            newest.load(from)?;
            if closes.len() > self.bars {
                return Err(StateError::Damaged("a window of another length"));
            }
        }
        Ok(())
    }
}

impl State for RollingPairs {
    fn save(&self, to: &mut StateWriter) {
        self.pairs.save(to);
        self.sums.save(to);
        self.since_recomputed.save(to);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.pairs.load(from)?;
        self.sums.load(from)?;
        self.since_recomputed.load(from)?;
        let moves = |of: fn(&(f64, f64)) -> f64| {
            let moving = self.pairs.iter().filter(|pair| of(pair).abs() > 0.0);
            moving.count()
        };
        let is_sound = self.pairs.len() <= self.period
            && self.sums.own_moves == moves(|pair| pair.0)
            && self.sums.lead_moves == moves(|pair| pair.1);
        is_sound
            .then_some(())
            .ok_or(StateError::Damaged("a window of another length"))
    }
}

crate::state! {
    Join { waiting }
    PairSums { own, lead, own_squared, lead_squared, product, own_moves, lead_moves }
    Comovement { join, previous, delayed, window, value }
    RelativeStrength { join, ratios, value }
    SpreadZScore { join, ratios, value }
}
