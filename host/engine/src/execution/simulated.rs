//! The broker of backtests and paper sessions: a queue in front of a [`Venue`].
//!
//! Sales settle before purchases of the same step, so that their proceeds pay for those. It knows
//! bars and cash only; it never sees predictions or other positions.

use super::{ExecutionConfig, Expiry, Outcome, Venue};
use crate::ports::{Broker, BrokerTick};
use crate::risk::ApprovedOrder;
use crate::types::{MoneyError, Quantity, TimeFrame};

/// Keeps orders until their bar comes; see the head of the file.
#[derive(Debug)]
pub struct SimulatedBroker {
    venue: Venue,
    patience_nanos: i64,
    waiting: Vec<ApprovedOrder>,
}

impl SimulatedBroker {
    /// A venue by `config` for bars of `time_frame`.
    ///
    /// # Errors
    /// [`MoneyError`] where a setting is not money.
    pub fn new(config: &ExecutionConfig, time_frame: TimeFrame) -> Result<Self, MoneyError> {
        let bars = i64::from(config.order_expiry_bars);
        Ok(Self {
            venue: Venue::new(config)?,
            patience_nanos: time_frame.nanos().saturating_mul(bars),
            waiting: Vec::new(),
        })
    }

    /// What this tick does to one waiting order; `None` where it goes on waiting.
    fn settle(&self, approved: &ApprovedOrder, tick: &BrokerTick<'_>) -> Option<Outcome> {
        let order = approved.order();
        let stale = Some(Outcome::Expired {
            order: order.id,
            expiry: Expiry::Stale,
        });
        let bar = tick.bars.get(order.symbol.index()).copied().flatten();
        match bar {
            Some(bar) if bar.opened_at.nanos_since(order.decided_at) > self.patience_nanos => stale,
            Some(bar) => self.venue.execute(order, bar, tick.funds),
            // The next bar opens at this closing time at the earliest.
            None if tick.closed_at.nanos_since(order.decided_at) > self.patience_nanos => stale,
            None => None,
        }
    }
}

impl Broker for SimulatedBroker {
    fn submit(&mut self, order: ApprovedOrder) {
        self.waiting.push(order);
    }

    fn poll(&mut self, tick: &BrokerTick<'_>) -> Option<Outcome> {
        for sales in [true, false] {
            for position in 0..self.waiting.len() {
                let approved = &self.waiting[position];
                if (approved.order().quantity < Quantity::ZERO) != sales {
                    continue;
                }
                if let Some(outcome) = self.settle(approved, tick) {
                    self.waiting.remove(position);
                    return Some(outcome);
                }
            }
        }
        None
    }
}
