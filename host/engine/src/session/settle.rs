//! The first half of a step: what the broker did, and what the account is worth now.

use super::{EquityPoint, Session, StepError, StepInput};
use crate::execution::{Expiry, Fill, OrderId, Outcome};
use crate::journal::Event;
use crate::ports::{BrokerTick, JournalSink};
use crate::risk::Trip;
use crate::types::{Cash, SymbolId, Timestamp};

impl Session {
    /// Books everything that the broker reports, one report at a time.
    pub(super) fn settle(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.buffers.fills.clear();
        self.buffers.trades.clear();
        loop {
            let tick = BrokerTick {
                closed_at: input.closed_at,
                bars: input.bars,
                funds: (!self.allow_short).then(|| self.portfolio.cash()),
            };
            match self.broker.poll(&tick) {
                Some(Outcome::Filled(fill)) => self.book_fill(&fill, input.closed_at, journal)?,
                Some(Outcome::Expired { order, expiry }) => {
                    self.expire(order, expiry, input.closed_at, journal)?;
                }
                None => return Ok(()),
            }
        }
    }

    fn book_fill(
        &mut self,
        fill: &Fill,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let impossible = |message: &str| StepError::Broker {
            closed_at,
            message: message.to_owned(),
        };
        let state = self.states.get_mut(fill.symbol.index());
        let order = state
            .and_then(|state| state.pending)
            .ok_or_else(|| impossible("a fill has no order"))?;
        fill.check_against(&order, closed_at).map_err(impossible)?;
        self.record(closed_at, Event::OrderFilled(*fill), journal)?;
        self.state(fill.symbol, |state| state.pending = None);
        self.portfolio.apply(fill)?;
        let trade = self.book.apply(fill, &order);
        self.buffers.trades.extend(trade);
        self.buffers.fills.push(*fill);
        self.fill_count += 1;
        Ok(())
    }

    fn expire(
        &mut self,
        order: OrderId,
        reason: Expiry,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let known = |pending: &Option<crate::execution::Order>| {
            pending.is_some_and(|pending| pending.id == order)
        };
        if !self.states.iter().any(|state| known(&state.pending)) {
            return Err(StepError::Broker {
                closed_at,
                message: format!("order {} expires but does not wait", order.0),
            });
        }
        self.record(closed_at, Event::OrderExpired { order, reason }, journal)?;
        for state in &mut self.states {
            if known(&state.pending) {
                state.pending = None;
            }
        }
        Ok(())
    }

    /// Values the positions at the closes; a symbol without a bar keeps its last close.
    pub(super) fn mark(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<EquityPoint, StepError> {
        let closed_at = input.closed_at;
        let symbols = (0..).map(SymbolId);
        for ((symbol, state), close) in symbols.zip(&mut self.states).zip(&self.buffers.closes) {
            if let Some(close) = *close {
                state.close = Some(close);
                state.bar_closed_at = Some(closed_at);
                self.portfolio.mark(symbol, close);
            }
        }
        let point = EquityPoint {
            at: closed_at,
            equity: self.portfolio.equity(),
            cash: self.portfolio.cash(),
            gross_exposure: self.portfolio.gross_exposure(),
        };
        let marked = Event::Marked {
            equity: point.equity,
            cash: point.cash,
            gross_exposure: point.gross_exposure,
        };
        self.record(closed_at, marked, journal)?;
        self.watch(point.equity, closed_at, journal)?;
        Ok(point)
    }

    /// Trips the breaker where equity calls for it.
    fn watch(
        &mut self,
        equity: Cash,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let trip = self.desk.breaker.judge(equity);
        match trip {
            Some(Trip::Drawdown { peak }) => {
                self.record(closed_at, Event::BreakerTripped { peak, equity }, journal)?;
            }
            Some(Trip::Ruin) => self.record(closed_at, Event::Ruined { equity }, journal)?,
            None => {}
        }
        self.desk.breaker.observe(equity, trip);
        Ok(())
    }
}
