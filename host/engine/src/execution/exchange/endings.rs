//! What ends orders before they are filled: requests from outside, their time, and other orders.

use super::walk::Walk;
use super::working::Stage;
use crate::execution::{Expiry, OrderId, Outcome};
use crate::types::Timestamp;

impl Walk<'_> {
    /// Whether the end of an order was asked for inside the slice.
    pub(super) fn has_cancels(&self) -> bool {
        let last = self.last_moment();
        self.orders.iter().any(|one| one.is_cancelled_by(last))
    }

    fn last_moment(&self) -> Timestamp {
        self.setting.slice.closed_at.saturating_add_nanos(-1)
    }

    /// Ends the orders whose end was asked for inside the slice.
    pub(super) fn end_cancelled(&mut self) {
        self.end_cancelled_by(self.last_moment());
    }

    pub(super) fn end_cancelled_by(&mut self, moment: Timestamp) {
        let cancelled = self.orders.iter().filter(|one| one.is_cancelled_by(moment));
        let cancelled: Vec<OrderId> = cancelled.map(|one| one.order.id).collect();
        for id in cancelled {
            self.end(id, Expiry::Cancelled);
        }
    }

    pub(super) fn expire_old(&mut self) {
        let slice = &self.setting.slice;
        let (now, patience) = (slice.opened_at, self.setting.patience);
        let old: Vec<(OrderId, Expiry)> = self
            .orders
            .iter()
            .filter_map(|one| {
                let expiry = one.overdue((now, slice.bar_opened_at), patience)?;
                Some((one.order.id, expiry))
            })
            .collect();
        for (id, expiry) in old {
            self.end(id, expiry);
        }
    }

    /// Ends reduce-only orders that have nothing to reduce any more.
    pub(super) fn drop_pointless(&mut self) {
        let pointless: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|one| one.stage == Stage::Active && one.reduces_only())
            .filter(|one| self.stand.closing(one.order.quantity).is_zero())
            .map(|one| one.order.id)
            .collect();
        for id in pointless {
            self.end(id, Expiry::NothingToReduce);
        }
    }

    /// Ends an order, and the children that nothing was filled for.
    pub(super) fn end(&mut self, order: OrderId, expiry: Expiry) {
        let Some(at) = self.place(order) else { return };
        self.orders.remove(at);
        self.outcomes.push(Outcome::Expired { order, expiry });
        let orphans: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|one| one.order.terms.parent == Some(order) && one.is_orphan())
            .map(|one| one.order.id)
            .collect();
        for orphan in orphans {
            self.end(orphan, Expiry::ParentEnded);
        }
    }
}
