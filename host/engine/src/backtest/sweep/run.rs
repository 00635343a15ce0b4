//! One run of a sweep: a session's decisions, without what does not change them.

use super::{Cell, DAY, SweepError, SweepResult, SweepTable};
use crate::execution::{Exchange, ExchangeSetup, OrderId, OrderReason, Outcome};
use crate::fusion::{Fused, Prediction};
use crate::portfolio::Portfolio;
use crate::ports::{Broker, BrokerTick};
use crate::risk::{Account, Proposal, Reading, RiskDesk, RiskSetup, Trip};
use crate::session::SessionConfig;
use crate::strategy::{Direction, Holding, MlSignal, Strategy};
use crate::types::{Bar, Cash, Market, Price, Quantity, SymbolId, TimeFrame, Timestamp};

/// One run.
pub(super) struct Run<'a> {
    market: &'a Market,
    strategy: MlSignal,
    exchange: Exchange,
    desk: RiskDesk,
    portfolio: Portfolio,
    time_frame: TimeFrame,
    limits_funds: bool,
    closes: Vec<Option<Price>>,
    bar_closed_at: Vec<Option<Timestamp>>,
    pending: Vec<Option<Quantity>>,
    order_ids: Vec<Option<OrderId>>,
    waiting: usize,
    holding: usize,
    next_order: u64,
    equity: Cash,
    /// The last moment of the UTC day.
    day_ends: i64,
    totals: Totals,
    intents: Vec<Intent>,
}

#[derive(Debug, Clone, Copy)]
struct Intent {
    symbol: usize,
    target: Direction,
    reason: OrderReason,
    fused: Option<Fused>,
}

#[derive(Debug, Default)]
struct Totals {
    fees: Cash,
    slippage: Cash,
    turnover: Cash,
    fills: u64,
    steps: u64,
    /// Sums of returns and their squares; returns are small and their mean is smaller, so that the
    /// difference of the two loses nothing that counts.
    sum: f64,
    squares: f64,
    last: f64,
    peak: f64,
    /// Equity below which the drawdown is a new largest.
    trough: f64,
    max_drawdown: f64,
}

impl<'a> Run<'a> {
    pub(super) fn new(table: &SweepTable<'a>, config: &SessionConfig) -> Result<Self, SweepError> {
        let cash = Cash::from_f64(config.portfolio.initial_cash)?;
        let count = table.symbols;
        Ok(Self {
            market: table.market,
            strategy: MlSignal::new(config.strategy.clone()),
            exchange: Exchange::new(&ExchangeSetup {
                execution: &config.execution,
                portfolio: &config.portfolio,
                cash,
                symbols: count,
                time_frame: table.time_frame,
            })?,
            desk: RiskDesk::new(&RiskSetup {
                strategy: &config.strategy,
                risk: &config.risk,
                execution: &config.execution,
                portfolio: &config.portfolio,
                time_frame: table.time_frame,
            })?,
            portfolio: Portfolio::new(cash, count),
            time_frame: table.time_frame,
            limits_funds: !config.portfolio.allow_short,
            closes: vec![None; count],
            bar_closed_at: vec![None; count],
            pending: vec![None; count],
            order_ids: vec![None; count],
            waiting: 0,
            holding: 0,
            next_order: 0,
            equity: cash,
            day_ends: i64::MIN,
            totals: Totals {
                peak: cash.to_f64(),
                last: cash.to_f64(),
                trough: cash.to_f64(),
                ..Totals::default()
            },
            intents: Vec::new(),
        })
    }

    pub(super) fn step(&mut self, at: Timestamp, cells: &[Cell]) {
        if self.waiting > 0 {
            self.settle(at, cells);
        }
        let has_moved = self.mark(at, cells);
        self.watch(at, has_moved);
        self.decide(at, cells);
    }

    fn settle(&mut self, at: Timestamp, cells: &[Cell]) {
        let series = self.market.series().iter();
        let bars: Vec<Option<&Bar>> = series
            .zip(cells)
            .map(|(series, cell)| {
                series
                    .bars
                    .get(cell.bar as usize)
                    .filter(|_| cell.has_bar())
            })
            .collect();
        loop {
            let tick = BrokerTick {
                closed_at: at,
                bars: &bars,
                fine: &[],
                funds: self.limits_funds.then(|| self.portfolio.cash()),
            };
            match self.exchange.poll(&tick) {
                None => break,
                Some(Outcome::Filled(fill)) => {
                    // The portfolio has every symbol of the table.
                    let _ = self.portfolio.apply(&fill);
                    self.totals.fees += fill.fee;
                    self.totals.slippage += fill.slippage;
                    self.totals.turnover += fill.notional().abs();
                    self.totals.fills += 1;
                    if fill.remaining.is_zero() {
                        self.answered(fill.symbol.index());
                    }
                }
                Some(Outcome::Expired { order, .. }) => {
                    if let Some(symbol) = self.symbol_of(order) {
                        self.answered(symbol);
                    }
                }
                Some(Outcome::Liquidating(_) | Outcome::Paid(_)) => {}
            }
        }
        let positions = self.portfolio.positions().iter();
        self.holding = positions.filter(|one| !one.quantity().is_zero()).count();
    }

    fn symbol_of(&self, order: OrderId) -> Option<usize> {
        self.orders_by_symbol()
            .find(|(_, id)| *id == order)
            .map(|(symbol, _)| symbol)
    }

    fn orders_by_symbol(&self) -> impl Iterator<Item = (usize, OrderId)> + '_ {
        let ids = self.order_ids.iter().enumerate();
        ids.filter_map(|(symbol, id)| Some((symbol, (*id)?)))
    }

    fn answered(&mut self, symbol: usize) {
        if let Some(slot) = self.order_ids.get_mut(symbol)
            && slot.take().is_some()
        {
            self.pending[symbol] = None;
            self.waiting -= 1;
        }
    }

    /// Values what is held; gives whether equity has changed.
    fn mark(&mut self, at: Timestamp, cells: &[Cell]) -> bool {
        for (symbol, cell) in cells.iter().enumerate() {
            if cell.has_bar() {
                let close = cell.close();
                self.closes[symbol] = Some(close);
                self.bar_closed_at[symbol] = Some(at);
                if self.holding > 0 {
                    let id = SymbolId(u32::try_from(symbol).unwrap_or(u32::MAX));
                    self.portfolio.mark(id, close);
                }
            }
        }
        let equity = if self.holding > 0 {
            self.portfolio.equity()
        } else {
            self.portfolio.cash()
        };
        if equity == self.equity {
            self.totals.steps += 1;
            return false;
        }
        self.equity = equity;
        self.totals.take(equity.to_f64());
        true
    }

    fn watch(&mut self, at: Timestamp, has_moved: bool) {
        if at.as_nanos() > self.day_ends {
            let day = (at.as_nanos() - 1).div_euclid(DAY);
            self.day_ends = day.saturating_add(1).saturating_mul(DAY);
            self.desk.breaker.begin_day(at);
        }
        let breaker = &mut self.desk.breaker;
        // What has not moved trips nothing new.
        if !has_moved && !breaker.awaits_reset() {
            return;
        }
        if breaker.resets_at(at) {
            breaker.reset(self.equity, at);
        }
        let reading = Reading {
            at,
            equity: self.equity,
            silent_nanos: 0,
        };
        loop {
            let trip: Option<Trip> = breaker.judge(&reading);
            breaker.observe(&reading, trip);
            if trip.is_none() {
                break;
            }
        }
    }

    fn decide(&mut self, at: Timestamp, cells: &[Cell]) {
        self.intents.clear();
        for (symbol, cell) in cells.iter().enumerate() {
            if self.pending[symbol].is_some() {
                continue;
            }
            let fused = cell.fused();
            let wish = fused.and_then(|fused| self.wish(symbol, fused, at));
            let intent = self.emergency(symbol).or(wish);
            self.intents.extend(intent);
        }
        for closings in [true, false] {
            for index in 0..self.intents.len() {
                let intent = self.intents[index];
                if (intent.target == Direction::Flat) == closings {
                    self.place(intent, at);
                }
            }
        }
    }

    fn wish(&self, symbol: usize, fused: Fused, at: Timestamp) -> Option<Intent> {
        let prediction = Prediction {
            symbol: SymbolId(0),
            closed_at: at,
            probabilities: fused.probabilities,
            model: fused.model,
        };
        if self
            .desk
            .refuse_prediction(&prediction, at, self.bar_closed_at[symbol])
            .is_some()
        {
            return None;
        }
        let holding = self.holding_of(symbol, at);
        let target = self.strategy.decide(&fused, holding).target;
        let reason = match (holding.direction, target) {
            (held, target) if held == target => return None,
            (Direction::Flat, _) => OrderReason::Entry,
            (_, Direction::Flat) => OrderReason::Exit,
            _ => OrderReason::Flip,
        };
        Some(Intent {
            symbol,
            target,
            reason,
            fused: Some(fused),
        })
    }

    fn holding_of(&self, symbol: usize, at: Timestamp) -> Holding {
        let position = self.portfolio.positions().get(symbol);
        let position = position.copied().unwrap_or_default();
        let bars = position
            .opened_at()
            .map_or(0, |opened| at.nanos_since(opened) / self.time_frame.nanos());
        Holding {
            direction: position.direction(),
            bars: u32::try_from(bars).unwrap_or(u32::MAX),
        }
    }

    fn emergency(&self, symbol: usize) -> Option<Intent> {
        let breaker = &self.desk.breaker;
        if self.holding == 0 || !(breaker.is_ruined() || breaker.is_tripped()) {
            return None;
        }
        let held = self.portfolio.positions().get(symbol)?.direction();
        let reason = if breaker.is_ruined() {
            OrderReason::Ruin
        } else {
            OrderReason::Breaker
        };
        (held != Direction::Flat).then_some(Intent {
            symbol,
            target: Direction::Flat,
            reason,
            fused: None,
        })
    }

    fn place(&mut self, intent: Intent, at: Timestamp) {
        let symbol = intent.symbol;
        let id = SymbolId(u32::try_from(symbol).unwrap_or(u32::MAX));
        let proposal = Proposal {
            id: OrderId(self.next_order),
            symbol: id,
            target: intent.target,
            decided_at: at,
            reason: intent.reason,
            model: intent.fused.map(|fused| fused.model),
            probabilities: intent.fused.map(|fused| fused.probabilities),
        };
        let position = self.portfolio.position(id).copied().unwrap_or_default();
        let account = Account {
            equity: self.equity,
            held: position.quantity(),
            mark: self.closes[symbol],
            others: self.others(symbol, Cash::abs),
            others_net: self.others(symbol, |value| value),
            traded_today: Cash::ZERO,
            volatility: None,
            typical_volatility: None,
        };
        if let Some(approved) = self.desk.review(&proposal, &account).approved {
            self.next_order += 1;
            self.pending[symbol] = Some(approved.order().quantity);
            self.order_ids[symbol] = Some(approved.order().id);
            self.waiting += 1;
            self.exchange.submit(approved);
        }
    }

    fn others(&self, symbol: usize, count: fn(Cash) -> Cash) -> Cash {
        if self.holding == 0 && self.waiting == 0 {
            return Cash::ZERO;
        }
        let positions = self.portfolio.positions().iter().enumerate();
        positions
            .filter(|(other, _)| *other != symbol)
            .map(
                |(other, position)| match (self.pending[other], self.closes[other]) {
                    (Some(waiting), Some(close)) => {
                        count(close.times(position.quantity() + waiting))
                    }
                    _ => count(position.value()),
                },
            )
            .sum()
    }

    pub(super) fn finish(self) -> SweepResult {
        let totals = self.totals;
        let count = totals.steps.max(1) as f64;
        let mean = totals.sum / count;
        SweepResult {
            final_equity: self.equity,
            fees: totals.fees,
            slippage: totals.slippage,
            turnover: totals.turnover,
            fills: totals.fills,
            max_drawdown: totals.max_drawdown,
            mean_return: mean,
            return_variance: (totals.squares / count - mean * mean).max(0.0),
            steps: totals.steps,
        }
    }
}

impl Totals {
    /// Takes in equity that has changed.
    fn take(&mut self, equity: f64) {
        let simple = equity / self.last - 1.0;
        self.last = equity;
        self.steps += 1;
        self.sum += simple;
        self.squares += simple * simple;
        if equity > self.peak {
            self.peak = equity;
            self.trough = self.peak * (1.0 - self.max_drawdown);
        } else if equity < self.trough {
            self.max_drawdown = 1.0 - equity / self.peak;
            self.trough = equity;
        }
    }
}
