//! The first half of a step: what the broker did, and what the account is worth now.

use super::{EquityPoint, Session, StepError, StepInput, Waiting};
use crate::execution::{Expiry, Fill, Order, OrderId, Outcome, Payment};
use crate::journal::Event;
use crate::portfolio::Position;
use crate::ports::{BrokerTick, JournalSink};
use crate::risk::{Reading, Trip};
use crate::types::{Cash, Quantity, SymbolId, Timestamp};

impl Session {
    /// Books everything that the broker reports, one report at a time.
    pub(super) fn settle(
        &mut self,
        input: &StepInput<'_>,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.buffers.fills.clear();
        self.buffers.trades.clear();
        self.buffers.is_booked = false;
        self.buffers.payments.clear();
        loop {
            let tick = BrokerTick {
                closed_at: input.closed_at,
                bars: input.bars,
                fine: input.fine,
            };
            match self.broker.poll(&tick) {
                Some(Outcome::Filled(fill)) => self.book_fill(&fill, input.closed_at, journal)?,
                Some(Outcome::Expired { order, expiry }) => {
                    self.expire(order, expiry, input.closed_at, journal)?;
                }
                Some(Outcome::Liquidating(order)) => {
                    self.liquidate(&order, input.closed_at, journal)?;
                }
                Some(Outcome::Paid(payment)) => self.pay(&payment, input.closed_at, journal)?,
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
        let waiting = self
            .states
            .get(fill.symbol.index())
            .and_then(|state| state.orders.iter().find(|one| one.order.id == fill.order))
            .copied()
            .ok_or_else(|| impossible("a fill has no order"))?;
        let order = waiting.order;
        fill.check_against(&order, waiting.quantity, closed_at)
            .map_err(impossible)?;
        self.record_made(closed_at, |_| Event::OrderFilled(*fill), journal)?;
        self.state(fill.symbol, |state| {
            if fill.remaining.is_zero() {
                state.forget(fill.order);
            } else if let Some(one) = state
                .orders
                .iter_mut()
                .find(|one| one.order.id == fill.order)
            {
                one.quantity -= fill.quantity;
            }
        });
        self.portfolio.apply(fill)?;
        self.buffers.is_booked = true;
        if !order.reduces_only() && order.reason.opens() {
            let traded = fill.notional().abs();
            self.today.1 += self.portfolio.worth(fill.currency, traded);
        }
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
        let mut waiting = self.states.iter().flat_map(|state| &state.orders);
        if !waiting.any(|one| one.order.id == order) {
            return Err(StepError::Broker {
                closed_at,
                message: format!("order {} expires but does not wait", order.0),
            });
        }
        self.record(closed_at, Event::OrderExpired { order, reason }, journal)?;
        for state in &mut self.states {
            state.forget(order);
        }
        Ok(())
    }

    /// The exchange closes a position: its order waits like any other until its fill comes.
    fn liquidate(
        &mut self,
        order: &Order,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        let held = self.portfolio.position(order.symbol);
        let held = held.map_or(Quantity::ZERO, Position::quantity);
        if order.quantity != -held || order.id.0 < OrderId::OF_EXCHANGE {
            return Err(StepError::Broker {
                closed_at,
                message: format!("order {} liquidates what is not held", order.id.0),
            });
        }
        self.record(closed_at, Event::PositionLiquidated(*order), journal)?;
        let waiting = Waiting::new(*order);
        self.state(order.symbol, |state| state.orders.push(waiting));
        Ok(())
    }

    fn pay(
        &mut self,
        payment: &Payment,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        if payment.paid_at > closed_at {
            return Err(StepError::Broker {
                closed_at,
                message: format!("a payment is dated {}", payment.paid_at),
            });
        }
        self.record(closed_at, Event::Paid(*payment), journal)?;
        self.portfolio.pay(payment)?;
        self.buffers.is_booked = true;
        self.buffers.payments.push(*payment);
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
                self.climate.observe(symbol.index(), close, closed_at);
            }
        }
        self.revalue();
        let point = EquityPoint {
            at: closed_at,
            equity: self.portfolio.equity(),
            cash: self.portfolio.cash(),
            gross_exposure: self.portfolio.gross_exposure(),
        };
        let marked = |session: &Self| Event::Marked {
            equity: point.equity,
            cash: point.cash,
            gross_exposure: point.gross_exposure,
            balances: session.rates.balances(&session.portfolio),
            rates: session.rates.current().to_vec(),
        };
        self.record_made(closed_at, marked, journal)?;
        self.watch(point.equity, closed_at, journal)?;
        Ok(point)
    }

    /// Resets breakers that have cooled down, and trips those that the account calls for.
    fn watch(
        &mut self,
        equity: Cash,
        closed_at: Timestamp,
        journal: &mut dyn JournalSink,
    ) -> Result<(), StepError> {
        self.desk.breaker.begin_day(closed_at);
        if self.desk.breaker.resets_at(closed_at) {
            self.record(closed_at, Event::BreakerReset { equity }, journal)?;
            self.desk.breaker.reset(equity, closed_at);
        }
        let reading = Reading {
            at: closed_at,
            equity,
            silent_nanos: self.climate.silent_nanos(closed_at),
        };
        loop {
            let trip = self.desk.breaker.judge(&reading);
            let event = match trip {
                Some(Trip::Breaker { kind, peak }) => Event::BreakerTripped {
                    peak,
                    equity,
                    breaker: kind,
                },
                Some(Trip::Ruin) => Event::Ruined { equity },
                None => break,
            };
            self.record(closed_at, event, journal)?;
            self.desk.breaker.observe(&reading, trip);
        }
        self.desk.breaker.observe(&reading, None);
        Ok(())
    }
}
