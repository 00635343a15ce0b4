//! A result in parts: by symbol, and by the kind of market that was known before each bar.
//!
//! The regime of a step is that of the symbol's last bar before it, so nothing of the step itself
//! decides where its profit is counted.

use fusebox_engine::backtest::{BacktestResult, Flows, StepFlows, SymbolFlows};
use fusebox_engine::eval::regimes::{
    Regime, RegimeOptions, TrendRegime, VolatilityRegime, regimes,
};
use fusebox_engine::portfolio::Trade;
use fusebox_engine::types::{Cash, Market, SymbolId, TimeFrame};

use super::costs::costs_of;
use super::trades::{net_return, reported_net};
use crate::report::{RegimeReport, RegimeRow, SymbolSummary};

/// Days of a reading of volatility, and of the trend; each has at least [`LEAST_BARS`] bars.
const VOLATILITY_DAYS: i64 = 7;
const TREND_DAYS: i64 = 30;
const LEAST_BARS: usize = 20;
/// Earlier readings without which none is ranked.
const LEAST_READINGS: usize = 100;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Gathers the steps of a result.
pub(super) struct Parts<'a> {
    market: &'a Market,
    options: RegimeOptions,
    initial_cash: f64,
    steps_per_year: f64,
    /// Equity before the next step.
    equity: Cash,
    points: Vec<Cash>,
    /// Each symbol's regimes by bar, and how many of its bars have closed.
    regimes: Vec<Vec<Regime>>,
    closed: Vec<usize>,
    /// Each symbol's regime at the opening of each of its trades.
    openings: Vec<Vec<Regime>>,
    by_symbol: Vec<Stretch>,
    by_kind: Vec<(Kind, Stretch)>,
    /// Flows of everything.
    pub(super) total: Flows,
    /// Flows of the account alone.
    pub(super) account: Flows,
    /// Value traded in each step.
    pub(super) traded: Vec<f64>,
}

/// A kind of market: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Volatility(Option<VolatilityRegime>),
    Trend(Option<TrendRegime>),
    Both(VolatilityRegime, TrendRegime),
}

/// What was gathered of some bars.
#[derive(Debug, Clone, Default)]
struct Stretch {
    bars: u64,
    held: u64,
    flows: Flows,
    returns: Moments,
    /// What the step adds, until it is over.
    pending: Option<Cash>,
}

/// Mean and spread of a series without keeping it (B. Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    /// Mean over sample deviation, annualised; `None` where nothing varied.
    fn sharpe(&self, steps_per_year: f64) -> Option<f64> {
        let variance = self.squares / (self.count - 1.0);
        (variance > 0.0).then(|| self.mean / variance.sqrt() * steps_per_year.sqrt())
    }
}

impl Stretch {
    fn add(&mut self, one: &SymbolFlows) {
        self.bars += u64::from(one.has_bar);
        self.held += u64::from(one.has_bar && !one.value.is_zero());
        self.flows += one.flows;
        let pending = self.pending.get_or_insert(Cash::ZERO);
        *pending += one.flows.net();
    }

    /// Ends the step: its profit over equity before it is one return.
    fn close(&mut self, equity: f64) {
        if let Some(profit) = self.pending.take()
            && equity > 0.0
        {
            self.returns.add(profit.to_f64() / equity);
        }
    }
}

impl Kind {
    /// Every row of the table, in order.
    fn all() -> Vec<Self> {
        use TrendRegime::{Down, Up};
        use VolatilityRegime::{Calm, Usual, Wild};
        let volatility = [Some(Calm), Some(Usual), Some(Wild), None].map(Self::Volatility);
        let trend = [Some(Up), Some(Down), None].map(Self::Trend);
        let both = [Calm, Usual, Wild].into_iter();
        let both =
            both.flat_map(|volatility| [Up, Down].map(|trend| Self::Both(volatility, trend)));
        volatility.into_iter().chain(trend).chain(both).collect()
    }

    fn holds(self, regime: Regime) -> bool {
        match self {
            Self::Volatility(kind) => regime.volatility == kind,
            Self::Trend(kind) => regime.trend == kind,
            Self::Both(volatility, trend) => {
                (regime.volatility, regime.trend) == (Some(volatility), Some(trend))
            }
        }
    }

    fn words(self) -> (&'static str, String) {
        let volatility = |kind| match kind {
            VolatilityRegime::Calm => "calm",
            VolatilityRegime::Usual => "usual",
            VolatilityRegime::Wild => "wild",
        };
        let trend = |kind| match kind {
            TrendRegime::Up => "up",
            TrendRegime::Down => "down",
        };
        match self {
            Self::Volatility(kind) => (
                "volatility",
                kind.map_or("not known yet", volatility).to_owned(),
            ),
            Self::Trend(kind) => ("trend", kind.map_or("not known yet", trend).to_owned()),
            Self::Both(one, other) => ("both", format!("{}, {}", volatility(one), trend(other))),
        }
    }
}

/// The windows for bars of this length.
fn options(time_frame: TimeFrame) -> RegimeOptions {
    let bars = |days: i64| {
        let bars = days * NANOS_PER_DAY / time_frame.nanos().max(1);
        usize::try_from(bars).unwrap_or(usize::MAX).max(LEAST_BARS)
    };
    RegimeOptions {
        volatility_bars: bars(VOLATILITY_DAYS),
        trend_bars: bars(TREND_DAYS),
        least_readings: LEAST_READINGS,
    }
}

impl<'a> Parts<'a> {
    pub(super) fn new(market: &'a Market, result: &BacktestResult) -> Self {
        let options = options(market.time_frame());
        let count = market.series().len();
        let first = result.equity.first().map(|point| point.at);
        let all = market.series().iter();
        let regimes_of = |bars: &[fusebox_engine::types::Bar]| {
            let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
            regimes(&closes, &options)
        };
        Self {
            market,
            options,
            initial_cash: result.initial_cash.to_f64(),
            steps_per_year: market.time_frame().bars_per_year(),
            equity: result.initial_cash,
            points: result.equity.iter().map(|point| point.equity).collect(),
            regimes: all.clone().map(|series| regimes_of(&series.bars)).collect(),
            closed: all
                .map(|series| {
                    let before = |bar: &fusebox_engine::types::Bar| {
                        first.is_some_and(|first| bar.closed_at < first)
                    };
                    series.bars.partition_point(before)
                })
                .collect(),
            openings: vec![Vec::new(); count],
            by_symbol: vec![Stretch::default(); count],
            by_kind: Kind::all()
                .into_iter()
                .map(|kind| (kind, Stretch::default()))
                .collect(),
            total: Flows::default(),
            account: Flows::default(),
            traded: Vec::new(),
        }
    }

    /// Takes the next step.
    pub(super) fn see(&mut self, step: &StepFlows<'_>) {
        let mut traded = Cash::ZERO;
        for (at, one) in step.symbols.iter().enumerate() {
            let closed = self.closed[at];
            let known = closed.checked_sub(1);
            let regime = known.and_then(|bar| self.regimes[at].get(bar).copied());
            let regime = regime.unwrap_or_default();
            self.closed[at] += usize::from(one.has_bar);
            self.openings[at].extend((0..one.opened).map(|_| regime));
            self.by_symbol[at].add(one);
            let kinds = self.by_kind.iter_mut();
            for (_, stretch) in kinds.filter(|(kind, _)| kind.holds(regime)) {
                stretch.add(one);
            }
            self.total += one.flows;
            traded += one.flows.turnover;
        }
        self.total += step.account;
        self.account += step.account;
        self.traded.push(traded.to_f64());
        let equity = self.equity.to_f64();
        self.by_symbol.iter_mut().for_each(|one| one.close(equity));
        self.by_kind
            .iter_mut()
            .for_each(|(_, one)| one.close(equity));
        if let Some(point) = self.points.get(step.step) {
            self.equity = *point;
        }
    }

    fn contribution(&self, flows: &Flows) -> f64 {
        flows.net().to_f64() / self.initial_cash
    }

    /// Totals by symbol, in the order of ids.
    pub(super) fn symbols(&self, result: &BacktestResult) -> Vec<SymbolSummary> {
        let named = (0..).map(SymbolId).zip(self.market.names());
        named
            .zip(&self.by_symbol)
            .map(|((symbol, name), stretch)| self.symbol((symbol, name), stretch, result))
            .collect()
    }

    fn symbol(
        &self,
        (symbol, name): (SymbolId, &str),
        stretch: &Stretch,
        result: &BacktestResult,
    ) -> SymbolSummary {
        let own = result.trades.iter().filter(|one| one.symbol == symbol);
        let trades: Vec<&Trade> = own.collect();
        let nets = || trades.iter().map(|trade| reported_net(result, trade));
        let returns: Vec<f64> = trades.iter().filter_map(|one| net_return(one)).collect();
        let gains: f64 = nets().filter(|net| *net > 0.0).sum();
        let losses: f64 = nets().filter(|net| *net < 0.0).sum();
        let bars: u64 = trades.iter().map(|trade| u64::from(trade.bars_held)).sum();
        SymbolSummary {
            symbol: name.to_owned(),
            trades: trades.len() as u64,
            win_rate: win_rate(trades.iter().copied()),
            profit_factor: ratio(gains, -losses),
            mean_trade_return: ratio(returns.iter().sum(), returns.len() as f64),
            mean_bars_held: ratio(bars as f64, trades.len() as f64),
            bars: stretch.bars,
            contribution: self.contribution(&stretch.flows),
            sharpe_ratio: stretch.returns.sharpe(self.steps_per_year),
            costs: costs_of(&stretch.flows),
        }
    }

    /// The table of regimes; kinds that never occurred are left out.
    pub(super) fn regimes(&self, result: &BacktestResult) -> RegimeReport {
        let opened = self.opened(result);
        let rows = self.by_kind.iter().filter(|(_, stretch)| stretch.bars > 0);
        let rows = rows.map(|(kind, stretch)| {
            let inside = || opened.iter().filter(|(_, regime)| kind.holds(*regime));
            let (group, regime) = kind.words();
            RegimeRow {
                group: group.to_owned(),
                regime,
                bars: stretch.bars,
                time_in_market: ratio(stretch.held as f64, stretch.bars as f64),
                contribution: self.contribution(&stretch.flows),
                sharpe_ratio: stretch.returns.sharpe(self.steps_per_year),
                trades: inside().count() as u64,
                win_rate: win_rate(inside().map(|(trade, _)| *trade)),
                costs: costs_of(&stretch.flows),
            }
        });
        RegimeReport {
            options: self.options,
            rows: rows.collect(),
        }
    }

    /// Each ended trade with the regime in which it began: a symbol holds one position at a time,
    /// so its trades end in the order of their openings.
    fn opened<'r>(&self, result: &'r BacktestResult) -> Vec<(&'r Trade, Regime)> {
        let mut next = vec![0_usize; self.openings.len()];
        let trades = result.trades.iter().filter_map(|trade| {
            let at = trade.symbol.index();
            let number = next.get_mut(at)?;
            let regime = *self.openings.get(at)?.get(*number)?;
            *number += 1;
            Some((trade, regime))
        });
        trades.collect()
    }
}

fn ratio(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

fn win_rate<'a>(trades: impl Iterator<Item = &'a Trade>) -> Option<f64> {
    let (wins, count) = trades.fold((0.0, 0.0), |(wins, count), trade| {
        (
            wins + f64::from(u8::from(trade.net > Cash::ZERO)),
            count + 1.0,
        )
    });
    ratio(wins, count)
}

#[cfg(test)]
mod tests;
