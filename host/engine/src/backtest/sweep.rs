//! Many settings over the same predictions: a session without its journal.
//!
//! [`SweepTable::run`] takes the same decisions as a [`Session`](crate::session::Session) with the
//! same parts (strategy, risk desk, exchange, portfolio), and leaves out what does not change them:
//! bars in which nothing is held, nothing waits and nothing is wanted cost a comparison. It trades
//! whole market orders at the next open; settings that need more are refused, all at once, with
//! their keys. The table is read only, so runs may share it across threads.

use crate::backtest::SignalTableError;
use crate::execution::{
    Exchange, ExchangeSetup, ExecutionConfig, OrderReason, Outcome, SlippageConfig,
};
use crate::fusion::{FusionConfig, FusionError, ModelInfo, ModelRef, Prediction};
use crate::portfolio::Portfolio;
use crate::ports::{Broker, BrokerTick};
use crate::problem::{Problem, Problems};
use crate::risk::{Account, Proposal, Reading, RiskDesk, RiskSetup, Sizing, Trip};
use crate::session::{SessionConfig, SetupError};
use crate::strategy::{Direction, Holding, MlSignal, Strategy};
use crate::types::{
    Bar, Cash, Market, MoneyError, Price, Quantity, SymbolId, TimeFrame, Timestamp,
};

use crate::execution::OrderId;
use crate::fusion::Fused;

const DAY: i64 = 86_400_000_000_000;

/// One symbol at one step, in half a cache line.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// Units of the close; 0 without a bar.
    close: i64,
    /// Place of the bar in its series.
    bar: u32,
    /// The model behind `probabilities`; [`NOBODY`] without a prediction.
    model: u32,
    probabilities: [f32; 3],
}

const NOBODY: u32 = u32::MAX;

impl Cell {
    fn has_bar(&self) -> bool {
        self.close != 0
    }

    fn close(&self) -> Price {
        Price::from_units(i128::from(self.close))
    }

    fn fused(&self) -> Option<Fused> {
        (self.model != NOBODY).then_some(Fused {
            probabilities: self.probabilities,
            model: ModelRef(self.model),
        })
    }
}

/// Bars and fused predictions, step by step, made once for all runs.
#[derive(Debug)]
pub struct SweepTable<'a> {
    market: &'a Market,
    times: Vec<Timestamp>,
    /// Row-major, a row per step.
    cells: Vec<Cell>,
    symbols: usize,
    time_frame: TimeFrame,
    fusion: FusionConfig,
}

/// Why a table cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The settings have problems, or need what a sweep leaves out.
    #[error("these settings cannot be swept: {}", crate::problem::lines(.0))]
    Unsupported(Vec<Problem>),
    /// Predictions do not fit.
    #[error(transparent)]
    Signals(#[from] SignalTableError),
    /// Predictions do not fit the fusion.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// A session cannot begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A price is not money.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// What one run found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepResult {
    /// Equity at the end.
    pub final_equity: Cash,
    /// Fees paid.
    pub fees: Cash,
    /// What spread and slippage have cost.
    pub slippage: Cash,
    /// Value of all fills without their signs.
    pub turnover: Cash,
    /// Number of fills.
    pub fills: u64,
    /// Largest loss from a peak of equity, as a fraction of the peak.
    pub max_drawdown: f64,
    /// Mean of the steps' simple returns.
    pub mean_return: f64,
    /// Population variance of the steps' simple returns.
    pub return_variance: f64,
    /// Steps.
    pub steps: u64,
}

impl SweepResult {
    /// Sharpe ratio of one step, not annualised; `None` where nothing varied.
    #[must_use]
    pub fn sharpe(&self) -> Option<f64> {
        (self.return_variance > 0.0).then(|| self.mean_return / self.return_variance.sqrt())
    }
}

impl<'a> SweepTable<'a> {
    /// From predictions in the order of a [`PrecomputedSignals`](super::PrecomputedSignals) table,
    /// over the steps from the first to the last of them.
    ///
    /// # Errors
    /// [`SweepError`] where predictions do not fit the fusion or a price is not money.
    pub fn new(
        market: &'a Market,
        models: &[ModelInfo],
        predictions: &[Prediction],
        fusion: &FusionConfig,
    ) -> Result<Self, SweepError> {
        let mut fuses = fusion.build();
        for (model, info) in (0..).map(ModelRef).zip(models) {
            fuses.add_model(model, info)?;
        }
        let symbols = market.series().len();
        let range = predictions
            .first()
            .zip(predictions.last())
            .map(|(first, last)| (first.closed_at, last.closed_at));
        let mut table = Self {
            market,
            times: Vec::new(),
            cells: Vec::new(),
            symbols,
            time_frame: market.time_frame(),
            fusion: fusion.clone(),
        };
        let mut left = predictions;
        let mut places = vec![0_u32; symbols];
        for (place, series) in places.iter_mut().zip(market.series()) {
            let first = range.map_or(0, |(first, _)| {
                series.bars.partition_point(|bar| bar.closed_at < first)
            });
            *place = u32::try_from(first).unwrap_or(u32::MAX);
        }
        for (closed_at, bars) in super::steps_within(market, range) {
            let count = left.partition_point(|one| one.closed_at <= closed_at);
            let (now, later) = left.split_at(count);
            left = later;
            table.times.push(closed_at);
            for (symbol, bar) in (0..).map(SymbolId).zip(bars) {
                let own: Vec<Prediction> = now
                    .iter()
                    .filter(|one| one.symbol == symbol)
                    .copied()
                    .collect();
                let is_valid = own.iter().all(Prediction::is_valid);
                let fused = if is_valid { fuses.fuse(&own)? } else { None };
                let mut cell = Cell {
                    close: 0,
                    bar: 0,
                    model: fused.map_or(NOBODY, |fused| fused.model.0),
                    probabilities: fused.map_or([0.0; 3], |fused| fused.probabilities),
                };
                if let (Some(bar), Some(place)) = (bar, places.get_mut(symbol.index())) {
                    let units = Price::from_f64(bar.close)?.units();
                    cell.close = i64::try_from(units).map_err(|_| MoneyError::OutOfRange {
                        value: bar.close.to_string(),
                        kind: "price of a sweep",
                    })?;
                    cell.bar = *place;
                    *place += 1;
                }
                table.cells.push(cell);
            }
        }
        Ok(table)
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.times.len()
    }

    /// What a session with these settings would have come to.
    ///
    /// # Errors
    /// [`SweepError::Unsupported`] with every setting that a sweep leaves out.
    pub fn run(&self, config: &SessionConfig) -> Result<SweepResult, SweepError> {
        let problems = self.unsupported(config);
        if !problems.is_empty() {
            return Err(SweepError::Unsupported(problems));
        }
        let mut run = Run::new(self, config)?;
        for (step, cells) in self.cells.chunks_exact(self.symbols.max(1)).enumerate() {
            let Some(&at) = self.times.get(step) else {
                break;
            };
            run.step(at, cells);
        }
        Ok(run.finish())
    }

    fn unsupported(&self, config: &SessionConfig) -> Vec<Problem> {
        let mut problems = Problems::default();
        let ExecutionConfig {
            slippage,
            latency_ms,
            participation,
            fee_tiers,
            funding,
            borrow_annual_bps,
            ..
        } = &config.execution;
        let left_out = "is set, but a sweep leaves it out; run a backtest for this";
        for (key, is_plain) in [
            ("execution.slippage", *slippage == SlippageConfig::None),
            ("strategy.entry", config.strategy.entry.is_market()),
            ("strategy.protection", config.strategy.protection.is_none()),
            ("execution.latency_ms", *latency_ms == 0),
            ("execution.participation", participation.is_none()),
            ("execution.fee_tiers", fee_tiers.is_empty()),
            ("execution.funding", funding.is_none()),
            (
                "execution.borrow_annual_bps",
                borrow_annual_bps.abs() == 0.0,
            ),
            ("portfolio.margin", config.portfolio.margin.is_none()),
            (
                "risk.sizing",
                matches!(
                    config.risk.sizing,
                    Sizing::FixedFraction | Sizing::Kelly { .. }
                ),
            ),
            (
                "risk.max_daily_turnover",
                config.risk.max_daily_turnover.is_none(),
            ),
            (
                "risk.max_silence_bars",
                config.risk.max_silence_bars.is_none(),
            ),
            (
                "risk.price_collar_bps",
                config.risk.price_collar_bps.is_none(),
            ),
        ] {
            problems.require(is_plain, key, left_out);
        }
        problems.require(
            config.fusion == self.fusion,
            "fusion",
            "differs from that of the table; make a table for it",
        );
        let mut problems = problems.into_vec();
        problems.extend(config.validate());
        problems
    }
}

/// One run.
struct Run<'a> {
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
    fn new(table: &SweepTable<'a>, config: &SessionConfig) -> Result<Self, SweepError> {
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

    fn step(&mut self, at: Timestamp, cells: &[Cell]) {
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

    fn finish(self) -> SweepResult {
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

#[cfg(test)]
mod tests;
