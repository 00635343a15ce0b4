//! The second half of a step: predictions become signals, and signals orders or refusals.

use super::{Session, StepError, StepInput, Waiting};
use crate::execution::{Order, OrderId, OrderReason};
use crate::fusion::{ModelRef, Prediction};
use crate::journal::Event;
use crate::ports::JournalSink;
use crate::risk::{Account, ApprovedOrder, Proposal};
use crate::strategy::{Direction, FailSafe, Holding};
use crate::types::{Cash, Quantity, SymbolId, Timestamp};

/// A wish to be on another side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Intent {
    symbol: SymbolId,
    target: Direction,
    reason: OrderReason,
    model: Option<ModelRef>,
    probabilities: Option<[f32; 3]>,
}

/// What a symbol may decide, by what of it waits at the broker.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Room {
    /// Nothing: it waits for its broker.
    Nothing,
    /// To close only: what becomes of the order that was called off is not known yet.
    Closings,
    /// Everything.
    All,
}

impl Intent {
    /// What of it closes; `None` where it only opens.
    fn as_closing(self) -> Option<Self> {
        match self.reason {
            OrderReason::Entry => None,
            OrderReason::Flip => Some(Self {
                target: Direction::Flat,
                reason: OrderReason::Exit,
                ..self
            }),
            _ => Some(self),
        }
    }
}

impl Session {
    /// Journals the predictions and gathers what should change, symbol by symbol.
    pub(super) fn decide(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.buffers.intents.clear();
        self.gather(input, journal)?;
        let count = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        for symbol in (0..count).map(SymbolId) {
            let room = self.room(symbol, input.closed_at, journal)?;
            if room == Room::Nothing {
                continue;
            }
            let wished = self.wish(symbol, input.closed_at, journal)?;
            let mut wished = self.emergency(symbol).or(wished);
            if room == Room::Closings || self.is_protected(symbol) {
                wished = wished.and_then(Intent::as_closing);
            }
            self.buffers.intents.extend(wished);
        }
        Ok(())
    }

    /// Journals the predictions and failures and sorts them by symbol.
    fn gather(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        for gathered in &mut self.buffers.gathered {
            gathered.clear();
        }
        for prediction in input.predictions.iter().flatten() {
            let model = prediction.model;
            if self.models.activate(model) {
                self.record(input.closed_at, Event::ModelActivated { model }, journal)?;
            }
            let predicted = |_: &Self| Event::predicted(prediction, input.closed_at);
            self.record_made(input.closed_at, predicted, journal)?;
            if let Some(gathered) = self.buffers.gathered.get_mut(prediction.symbol.index()) {
                gathered.push(*prediction);
            }
            self.keep_good(prediction);
        }
        self.gather_failures(input, journal)
    }

    /// What `symbol` may decide now. A symbol waits for its broker before it decides again, but an
    /// order that opens is called off when it is wanted no more, and does not keep anybody from
    /// closing what it has filled.
    fn room(
        &mut self,
        symbol: SymbolId,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<Room, StepError> {
        let Some(state) = self.states.get(symbol.index()) else {
            return Ok(Room::Nothing);
        };
        let mut room = Room::All;
        let mut opening = None;
        for one in &state.orders {
            match one.order.reason {
                OrderReason::Protection => {}
                reason if reason.opens() => opening = Some(*one),
                _ => room = Room::Nothing,
            }
        }
        let Some(opening) = opening else {
            return Ok(room);
        };
        if !opening.is_called_off {
            if self.wants(symbol, &opening.order, closed_at)? {
                return Ok(Room::Nothing);
            }
            self.call_off(&opening.order, closed_at, journal)?;
        }
        Ok(match room {
            Room::All => Room::Closings,
            busy => busy,
        })
    }

    /// Whether orders that may close the position wait at the broker. One of them may fire before
    /// a turn arrives, which would then sell more than is held and open too much on the other side:
    /// what is protected is closed, and entered on the other side when that is known.
    fn is_protected(&self, symbol: SymbolId) -> bool {
        let orders = self.states.get(symbol.index()).map(|state| &state.orders);
        let is_protection = |one: &Waiting| one.order.reason == OrderReason::Protection;
        orders.is_some_and(|orders| orders.iter().any(is_protection))
    }

    fn call_off(
        &mut self,
        order: &Order,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.record(
            closed_at,
            Event::CancelRequested { order: order.id },
            journal,
        )?;
        self.state(order.symbol, |state| {
            let mut orders = state.orders.iter_mut();
            if let Some(one) = orders.find(|one| one.order.id == order.id) {
                one.is_called_off = true;
            }
        });
        self.broker.cancel(order.id, closed_at);
        Ok(())
    }

    /// Whether an order that opens and waits is wanted still: nothing forbids to open, the models
    /// have not failed, and their predictions, where there are any, want its side.
    fn wants(
        &self,
        symbol: SymbolId,
        pending: &Order,
        closed_at: Timestamp,
    ) -> Result<bool, StepError> {
        let breaker = &self.desk.breaker;
        if breaker.is_ruined() || breaker.is_tripped() || breaker.is_silent() {
            return Ok(false);
        }
        let Some(predictions) = self.buffers.gathered.get(symbol.index()) else {
            return Ok(true);
        };
        let state = self.states.get(symbol.index());
        let newest = state.and_then(|state| state.bar_closed_at);
        let is_refused = |one: &Prediction| {
            let refusal = self.desk.refuse_prediction(one, closed_at, newest);
            refusal.is_some()
        };
        let fused = match predictions.iter().any(is_refused) {
            true => None,
            false => self.fusion.fuse(predictions)?,
        };
        let Some(fused) = fused else {
            return Ok(!self.flattens(symbol));
        };
        // As if it were filled: the strategy's hysteresis keeps an entry, too.
        let side = Direction::of_sign(pending.quantity.signum());
        let filled = Holding {
            direction: side,
            bars: u32::MAX,
        };
        Ok(self.strategy.decide(&fused, filled).target == side)
    }

    /// Whether a model of `symbol` failed and the fail-safe wants nothing held.
    fn flattens(&self, symbol: SymbolId) -> bool {
        let failed = self.buffers.failed.get(symbol.index());
        self.fail_safe != FailSafe::Hold && failed.is_some_and(Option::is_some)
    }

    /// What the strategy wants changed for `symbol`.
    fn wish(
        &mut self,
        symbol: SymbolId,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<Option<Intent>, StepError> {
        let Some(predictions) = self.buffers.gathered.get(symbol.index()) else {
            return Ok(None);
        };
        let newest = self
            .states
            .get(symbol.index())
            .and_then(|s| s.bar_closed_at);
        let refusal = predictions
            .iter()
            .find_map(|one| self.desk.refuse_prediction(one, closed_at, newest));
        if let Some(reason) = refusal {
            self.refuse(symbol, reason, closed_at, journal)?;
            return Ok(self.fail_safe(symbol));
        }
        let Some(fused) = self.fusion.fuse(predictions)? else {
            return Ok(self.fail_safe(symbol));
        };
        let holding = self.holding(symbol, closed_at);
        let signal = self.strategy.decide(&fused, holding);
        if signal.target == holding.direction {
            return Ok(None);
        }
        let signalled = Event::Signalled {
            symbol,
            score: signal.score,
            held: holding.direction,
            target: signal.target,
        };
        self.record(closed_at, signalled, journal)?;
        let reason = match (holding.direction, signal.target) {
            (Direction::Flat, _) => OrderReason::Entry,
            (_, Direction::Flat) => OrderReason::Exit,
            _ => OrderReason::Flip,
        };
        Ok(Some(Intent {
            symbol,
            target: signal.target,
            reason,
            model: Some(fused.model),
            probabilities: Some(fused.probabilities),
        }))
    }

    /// The closing of a position of `symbol` whose model failed, where nothing answers for it; the
    /// order names the model.
    fn fail_safe(&self, symbol: SymbolId) -> Option<Intent> {
        if !self.flattens(symbol) {
            return None;
        }
        let failed = *self.buffers.failed.get(symbol.index())?;
        self.closing(symbol, OrderReason::FailSafe, failed)
    }

    /// The closing of a position of `symbol` that a tripped breaker or ruin demands.
    fn emergency(&self, symbol: SymbolId) -> Option<Intent> {
        let breaker = &self.desk.breaker;
        let reason = match (breaker.is_ruined(), breaker.is_tripped()) {
            (true, _) => OrderReason::Ruin,
            (false, true) => OrderReason::Breaker,
            (false, false) => return None,
        };
        self.closing(symbol, reason, None)
    }

    fn closing(
        &self,
        symbol: SymbolId,
        reason: OrderReason,
        model: Option<ModelRef>,
    ) -> Option<Intent> {
        let held = self.portfolio.position(symbol)?.direction();
        (held != Direction::Flat).then_some(Intent {
            symbol,
            target: Direction::Flat,
            reason,
            model,
            probabilities: None,
        })
    }

    fn holding(&self, symbol: SymbolId, closed_at: Timestamp) -> Holding {
        let position = self.portfolio.position(symbol).copied().unwrap_or_default();
        let bars = position.opened_at().map_or(0, |opened_at| {
            closed_at.nanos_since(opened_at) / self.time_frame.nanos()
        });
        Holding {
            direction: position.direction(),
            bars: u32::try_from(bars).unwrap_or(u32::MAX),
        }
    }

    /// Asks risk for every intent, closings before openings so that they make room, and submits
    /// what is approved.
    pub(super) fn place(
        &mut self,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        for closings in [true, false] {
            for index in 0..self.buffers.intents.len() {
                let Some(&intent) = self.buffers.intents.get(index) else {
                    continue;
                };
                if (intent.target == Direction::Flat) == closings {
                    self.place_one(&intent, closed_at, journal)?;
                }
            }
        }
        Ok(())
    }

    fn place_one(
        &mut self,
        intent: &Intent,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let symbol = intent.symbol;
        let proposal = Proposal {
            id: OrderId(self.next_order),
            symbol,
            target: intent.target,
            decided_at: closed_at,
            reason: intent.reason,
            model: intent.model,
            probabilities: intent.probabilities,
        };
        let position = self.portfolio.position(symbol).copied().unwrap_or_default();
        let account = Account {
            equity: self.portfolio.equity(),
            held: position.quantity(),
            mark: self.states.get(symbol.index()).and_then(|s| s.close),
            others: self.exposure_without(symbol, Cash::abs),
            others_net: self.exposure_without(symbol, |value| value),
            traded_today: self.today.1,
            rate: self.opening_rate(symbol, closed_at),
            volatility: self.climate.volatility(symbol.index()),
            typical_volatility: self.climate.typical_volatility(),
        };
        let verdict = self.desk.review(&proposal, &account);
        if let Some(reason) = verdict.refused {
            self.refuse(symbol, reason, closed_at, journal)?;
        }
        if let Some(approved) = verdict.approved {
            self.submit(approved, closed_at, journal)?;
            for attached in verdict.attached {
                self.submit(attached, closed_at, journal)?;
            }
        }
        Ok(())
    }

    fn submit(
        &mut self,
        approved: ApprovedOrder,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let order = *approved.order();
        self.record_made(closed_at, |_| Event::OrderApproved(order), journal)?;
        self.next_order += 1;
        self.state(order.symbol, |state| state.orders.push(Waiting::new(order)));
        self.broker.submit(approved);
        Ok(())
    }

    /// The sum of what `count` makes of the values of all other symbols in the reporting currency,
    /// as they will be when what waits at the broker is filled.
    fn exposure_without(&self, symbol: SymbolId, count: fn(Cash) -> Cash) -> Cash {
        let positions = self.portfolio.positions().iter().zip(&self.states);
        let others = (0..).map(SymbolId).zip(positions);
        others
            .filter(|&(other, _)| other != symbol)
            .map(|(other, (position, state))| {
                let is_decided = |one: &&Waiting| one.order.reason != OrderReason::Protection;
                let decided = state.orders.iter().filter(is_decided);
                let waiting: Quantity = decided.map(|one| one.quantity).sum();
                let value = match state.close {
                    Some(close) if !waiting.is_zero() => close.times(position.quantity() + waiting),
                    _ => position.value(),
                };
                count(self.portfolio.worth_of(other, value))
            })
            .sum()
    }
}
