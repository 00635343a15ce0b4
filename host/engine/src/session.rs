//! The one step of trading: the bars that close and the predictions made then become events.
//!
//! Backtest, paper and live trading and the environment of policy learners differ in who calls
//! [`Session::step`] and in the broker behind it, never in the step. Its order is fixed: orders of
//! earlier steps settle at this step's opens, the portfolio is marked at the closes, predictions
//! become signals, signals become approved orders or refusals, and approved orders go to the
//! broker. Every event is journaled before it is acted on, and a step that books anything ends with
//! a check of every promise of the ledger.
//!
//! A session never looks at a bar before it closes, never asks for the time and never fills an
//! order inside the bar that decided it.

mod config;
mod decide;
mod input;
mod models;
mod rates;
mod settle;

use std::collections::BTreeMap;

use crate::execution::{
    Exchange, ExchangeSetup, Expiry, Fill, Order, OrderId, OrderReason, Payment,
};
use crate::fusion::{Fusion, FusionError, ModelInfo, ModelRef, Prediction, PredictionFailure};
use crate::journal::{Event, FORMAT, FORMAT_OF_ONE, JournalEntry, JournalError};
use crate::portfolio::{Currencies, LedgerError, Portfolio, Trade, TradeBook};
use crate::ports::{Broker, JournalSink};
use crate::problem::{Problem, lines};
use crate::risk::{Breaker, Climate, Refusal, RiskDesk, RiskSetup};
use crate::strategy::{FailSafe, Strategy};
use crate::types::{
    Bar, Cash, MoneyError, Price, Quantity, Rate, SymbolId, TimeFrame, Timestamp, VenueRecords,
};

pub use config::SessionConfig;
pub use rates::AwaitedRate;

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The settings have problems.
    #[error("the session's settings are wrong: {}", lines(.0))]
    Config(Vec<Problem>),
    /// A setting is not money.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A model does not fit the fusion.
    #[error(transparent)]
    Fusion(#[from] FusionError),
}

/// Why a step could not be taken. After any but [`Input`](Self::Input) the session is halted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The input is wrong; nothing has happened.
    #[error("the step at {closed_at} cannot be taken: {}", .problems.join("; "))]
    Input {
        /// The step.
        closed_at: Timestamp,
        /// Every problem.
        problems: Vec<String>,
    },
    /// The journal could not keep an event.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Predictions do not fit the fusion.
    #[error(transparent)]
    Fusion(#[from] FusionError),
    /// The broker reported something impossible.
    #[error("the broker's report at {closed_at} is impossible: {message}")]
    Broker {
        /// The step.
        closed_at: Timestamp,
        /// What is impossible.
        message: String,
    },
    /// The ledger broke a promise.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An earlier error has stopped the session, or it has ended.
    #[error("the session is over; start a new one, or replay its journal")]
    Halted,
}

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct SessionSetup<'a> {
    /// The settings.
    pub config: &'a SessionConfig,
    /// What the journal calls the configuration: usually the digest of the whole pipeline's.
    pub config_digest: String,
    /// Names in the order of symbol ids.
    pub symbols: Vec<String>,
    /// Length of every bar.
    pub time_frame: TimeFrame,
    /// The models whose predictions will come, in the order of their references.
    pub models: Vec<ModelInfo>,
}

/// What happens at one closing time.
#[derive(Debug, Clone, Copy)]
pub struct StepInput<'a> {
    /// The closing time, later than that of the step before.
    pub closed_at: Timestamp,
    /// The bars that close now, one slot per symbol id.
    pub bars: &'a [Option<&'a Bar>],
    /// The finer bars that lie in them, one slot per symbol (empty where a bar has none), or no
    /// slots at all. Orders fill in them, and nobody else sees them.
    pub fine: &'a [&'a [Bar]],
    /// The predictions made now, in any order; several of one symbol where several models answer.
    pub predictions: &'a [Option<Prediction>],
    /// Models that failed to answer. A symbol that no other model answers for gets what
    /// [`FailSafe`] says; a symbol in neither list has nothing to say and is left as it is.
    pub failures: &'a [PredictionFailure],
}

/// The account at one closing time, in the reporting currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EquityPoint {
    /// The closing time.
    pub at: Timestamp,
    /// Cash plus positions.
    pub equity: Cash,
    /// Cash of all currencies.
    pub cash: Cash,
    /// Positions without their signs.
    pub gross_exposure: Cash,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepReport<'a> {
    /// The account after the step.
    pub point: EquityPoint,
    /// The fills of the step.
    pub fills: &'a [Fill],
    /// The trades that ended.
    pub trades: &'a [Trade],
    /// Money that moved without a trade.
    pub payments: &'a [Payment],
    /// The rates at the step's close, by currency; empty where there is one only.
    pub rates: &'a [Option<Rate>],
}

/// An order at the broker, and what of it is not filled.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    order: Order,
    quantity: Quantity,
    /// Whether the broker was asked to end it.
    is_called_off: bool,
}

impl Waiting {
    fn new(order: Order) -> Self {
        Self {
            order,
            quantity: order.quantity,
            is_called_off: false,
        }
    }
}

/// What is known of one symbol.
#[derive(Debug, Clone, Default)]
struct SymbolState {
    /// What waits at the broker.
    orders: Vec<Waiting>,
    /// The newest bar's closing time.
    bar_closed_at: Option<Timestamp>,
    /// The newest close.
    close: Option<Price>,
}

impl SymbolState {
    fn forget(&mut self, order: OrderId) {
        self.orders.retain(|one| one.order.id != order);
    }
}

/// A run of steps; see the head of the file.
#[derive(Debug)]
pub struct Session {
    config_digest: String,
    symbols: Vec<String>,
    time_frame: TimeFrame,
    models: models::Models,
    fail_safe: FailSafe,

    strategy: Box<dyn Strategy>,
    fusion: Box<dyn Fusion>,
    broker: Box<dyn Broker>,
    desk: RiskDesk,
    climate: Climate,
    /// The UTC day, and what opening orders have traded in it.
    today: (i64, Cash),
    portfolio: Portfolio,
    rates: rates::RateBook,
    book: TradeBook,
    states: Vec<SymbolState>,
    refusals: BTreeMap<Refusal, u64>,

    closed_at: Option<Timestamp>,
    next_seq: u64,
    next_order: u64,
    steps: u64,
    fill_count: u64,
    halted: bool,
    buffers: Buffers,
}

/// Memory that steps reuse.
#[derive(Debug, Default)]
struct Buffers {
    /// Whether the step has booked anything.
    is_booked: bool,
    fills: Vec<Fill>,
    trades: Vec<Trade>,
    payments: Vec<Payment>,
    gathered: Vec<Vec<Prediction>>,
    failed: Vec<Option<ModelRef>>,
    intents: Vec<decide::Intent>,
    closes: Vec<Option<Price>>,
}

impl Session {
    /// A session with the simulated broker.
    ///
    /// # Errors
    /// [`SetupError`] with every problem of the settings.
    pub fn new(setup: SessionSetup<'_>) -> Result<Self, SetupError> {
        Self::at_venue(setup, &VenueRecords::default())
    }

    /// A session with the simulated broker, at a venue with these records; the finer bars among
    /// them come with the steps.
    ///
    /// # Errors
    /// [`SetupError`] with every problem of the settings, and where they and the records do not
    /// belong together.
    pub fn at_venue(setup: SessionSetup<'_>, records: &VenueRecords) -> Result<Self, SetupError> {
        let names: Vec<&str> = setup.symbols.iter().map(String::as_str).collect();
        let mut problems = setup.config.validate_for(&names);
        problems.extend(setup.config.validate_records(records));
        if !problems.is_empty() {
            return Err(SetupError::Config(problems));
        }
        let exchange = Exchange::new(&ExchangeSetup {
            execution: &setup.config.execution,
            portfolio: &setup.config.portfolio,
            currencies: &setup
                .config
                .currencies(&names)
                .map_err(SetupError::Config)?,
            names: &names,
            time_frame: setup.time_frame,
            records,
        })?;
        Self::with_broker(setup, Box::new(exchange))
    }

    /// A session with a broker of the caller's choice.
    ///
    /// # Errors
    /// [`SetupError`] with every problem of the settings.
    pub fn with_broker(
        setup: SessionSetup<'_>,
        broker: Box<dyn Broker>,
    ) -> Result<Self, SetupError> {
        let config = setup.config;
        let names: Vec<&str> = setup.symbols.iter().map(String::as_str).collect();
        let problems = config.validate_for(&names);
        if !problems.is_empty() {
            return Err(SetupError::Config(problems));
        }
        let mut fusion = config.fusion.build();
        for (model, info) in (0..).map(ModelRef).zip(&setup.models) {
            fusion.add_model(model, info)?;
        }
        let desk = RiskDesk::new(&RiskSetup {
            strategy: &config.strategy,
            risk: &config.risk,
            execution: &config.execution,
            portfolio: &config.portfolio,
            names: &names,
            time_frame: setup.time_frame,
        })?;
        let count = setup.symbols.len();
        let currencies = config.currencies(&names).map_err(SetupError::Config)?;
        Ok(Self {
            strategy: config.strategy.build(),
            fusion,
            broker,
            desk,
            climate: Climate::new(config.risk.sizing.span_bars(), count),
            today: (i64::MIN, Cash::ZERO),
            portfolio: Portfolio::with(&currencies),
            rates: rates::RateBook::new(currencies, config, setup.time_frame),
            book: TradeBook::new(setup.time_frame, count),
            states: (0..count).map(|_| SymbolState::default()).collect(),
            refusals: BTreeMap::new(),
            config_digest: setup.config_digest,
            symbols: setup.symbols,
            time_frame: setup.time_frame,
            models: models::Models::new(setup.models, count),
            fail_safe: config.strategy.fail_safe,
            closed_at: None,
            next_seq: 0,
            next_order: 0,
            steps: 0,
            fill_count: 0,
            halted: false,
            buffers: Buffers {
                gathered: vec![Vec::new(); count],
                ..Buffers::default()
            },
        })
    }

    /// Takes the step at `input.closed_at`; see the head of the file for its order.
    ///
    /// # Errors
    /// [`StepError::Input`] where the input is wrong: nothing has happened, and the session goes
    /// on. After any other error it is halted.
    pub fn step(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<StepReport<'_>, StepError> {
        if self.halted {
            return Err(StepError::Halted);
        }
        self.check(input)?;
        self.check_rates(input)?;
        // Until the step is complete the session is halted, so an error leaves it so.
        self.halted = true;
        self.begin(input.closed_at, journal)?;
        self.begin_day(input.closed_at);
        self.settle(input, journal)?;
        let point = self.mark(input, journal)?;
        self.decide(input, journal)?;
        self.place(input.closed_at, journal)?;
        // What is booked is all that could break a promise; marks are part of what is checked.
        if self.buffers.is_booked {
            self.portfolio.check()?;
        }
        debug_assert_eq!(self.portfolio.check(), Ok(()));
        self.steps += 1;
        self.halted = false;
        Ok(StepReport {
            point,
            fills: &self.buffers.fills,
            trades: &self.buffers.trades,
            payments: &self.buffers.payments,
            rates: self.rates.current(),
        })
    }

    /// Ends the session: orders that wait expire, positions stay as they are marked. Later steps
    /// are refused. Without a step there is nothing to end.
    ///
    /// # Errors
    /// [`StepError::Journal`] where an event could not be kept; [`StepError::Halted`] where the
    /// session is over already.
    pub fn finish(&mut self, journal: &mut dyn JournalSink) -> Result<(), StepError> {
        if self.halted {
            return Err(StepError::Halted);
        }
        self.halted = true;
        let Some(closed_at) = self.closed_at else {
            return Ok(());
        };
        let orders = self.states.iter().flat_map(|state| &state.orders);
        let mut waiting: Vec<Order> = orders.map(|one| one.order).collect();
        waiting.sort_by_key(|order| order.id);
        for order in waiting {
            let event = Event::OrderExpired {
                order: order.id,
                reason: Expiry::SessionEnded,
            };
            self.record(closed_at, event, journal)?;
            self.state(order.symbol, |state| state.forget(order.id));
        }
        let ended = Event::SessionEnded {
            equity: self.portfolio.equity(),
            steps: self.steps,
            fills: self.fill_count,
            without_rate: self.rates.unknown(),
        };
        self.record(closed_at, ended, journal)
    }

    /// Arms the breakers again, with equity now as the peak. Does nothing where none has tripped.
    ///
    /// # Errors
    /// [`StepError::Journal`] where the event could not be kept; [`StepError::Halted`] where the
    /// session is over.
    pub fn reset_breaker(&mut self, journal: &mut dyn JournalSink) -> Result<(), StepError> {
        if self.halted {
            return Err(StepError::Halted);
        }
        let Some(closed_at) = self.closed_at.filter(|_| self.desk.breaker.awaits_reset()) else {
            return Ok(());
        };
        let equity = self.portfolio.equity();
        self.halted = true;
        self.record(closed_at, Event::BreakerReset { equity }, journal)?;
        self.halted = false;
        self.desk.breaker.reset(equity, closed_at);
        Ok(())
    }

    /// The currencies of the account.
    #[must_use]
    pub fn currencies(&self) -> &Currencies {
        self.rates.currencies()
    }

    /// The portfolio.
    #[must_use]
    pub fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }

    /// Slices in which the unknown way inside a bar made a difference, and slices in all, as the
    /// broker counts them.
    #[must_use]
    pub fn ambiguous_slices(&self) -> (u64, u64) {
        self.broker.ambiguous_slices()
    }

    /// The breaker's state.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.desk.breaker
    }

    /// How often each refusal was given.
    #[must_use]
    pub fn refusals(&self) -> &BTreeMap<Refusal, u64> {
        &self.refusals
    }

    /// Names in the order of symbol ids.
    #[must_use]
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// The order of `symbol` that waits at the broker and is not there to protect a position.
    #[must_use]
    pub fn pending(&self, symbol: SymbolId) -> Option<&Order> {
        let mut orders = self.states.get(symbol.index())?.orders.iter();
        let found = orders.find(|one| one.order.reason != OrderReason::Protection)?;
        Some(&found.order)
    }

    /// Journals the start with the first step.
    fn begin(&mut self, at: Timestamp, journal: &mut dyn JournalSink) -> Result<(), StepError> {
        if self.closed_at.replace(at).is_some() {
            return Ok(());
        }
        self.begin_account();
        let currencies = self.rates.told(&self.symbols);
        let started = Event::SessionStarted {
            format: match currencies {
                Some(_) => FORMAT,
                None => FORMAT_OF_ONE,
            },
            config_digest: self.config_digest.clone(),
            symbols: self.symbols.clone(),
            time_frame: self.time_frame,
            initial_cash: self.portfolio.initial_cash(),
            models: self.models().to_vec(),
            currencies,
        };
        self.record(at, started, journal)
    }

    /// Forgets the day's turnover where a new UTC day begins; midnight ends a day.
    fn begin_day(&mut self, at: Timestamp) {
        let day = (at.as_nanos() - 1).div_euclid(86_400_000_000_000);
        if self.today.0 != day {
            self.today = (day, Cash::ZERO);
        }
    }

    fn record(
        &mut self,
        at: Timestamp,
        event: Event,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.record_made(at, |_| event, journal)
    }

    /// Records an event that is made only where it is kept: those of every step are, so that runs
    /// without a journal do not pay for one.
    #[inline]
    fn record_made(
        &mut self,
        at: Timestamp,
        make: impl FnOnce(&Self) -> Event,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        if journal.keeps() {
            let (seq, event) = (self.next_seq, make(self));
            journal.record(&JournalEntry { seq, at, event })?;
        }
        self.next_seq += 1;
        Ok(())
    }

    fn refuse(
        &mut self,
        symbol: SymbolId,
        reason: Refusal,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.record(closed_at, Event::OrderRefused { symbol, reason }, journal)?;
        *self.refusals.entry(reason).or_default() += 1;
        Ok(())
    }

    /// Changes what is known of `symbol`, which has been checked to exist.
    fn state(&mut self, symbol: SymbolId, change: impl FnOnce(&mut SymbolState)) {
        if let Some(state) = self.states.get_mut(symbol.index()) {
            change(state);
        }
    }
}

#[cfg(test)]
mod tests;
