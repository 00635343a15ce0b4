//! One symbol of a run of a sweep: what is held of it, and which orders wait.

use super::venue::Waiting;
use crate::strategy::Direction;
use crate::types::{Cash, Quantity, Timestamp};

/// What is held of a symbol, and what waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) held: Quantity,
    /// The quantity at the newest close.
    pub(super) value: Cash,
    /// When the position was opened; of no meaning while nothing is held.
    pub(super) opened_at: Timestamp,
    /// The order that opens, and the one that only closes: both wait where the first was called
    /// off.
    pub(super) opening: Option<Waiting>,
    pub(super) closing: Option<Waiting>,
}

/// One of a seat's orders.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Opening,
    Closing,
}

impl Seat {
    pub(super) const EMPTY: Self = Self {
        held: Quantity::ZERO,
        value: Cash::ZERO,
        opened_at: Timestamp::from_nanos(0),
        opening: None,
        closing: None,
    };

    pub(super) fn order(&mut self, slot: Slot) -> &mut Option<Waiting> {
        match slot {
            Slot::Opening => &mut self.opening,
            Slot::Closing => &mut self.closing,
        }
    }

    /// What waits, with its sign.
    pub(super) fn waits(&self) -> Quantity {
        let quantity = |order: Option<Waiting>| order.map_or(Quantity::ZERO, |one| one.quantity);
        quantity(self.opening) + quantity(self.closing)
    }

    pub(super) fn buys(&self) -> bool {
        let buys = |order: Option<Waiting>| order.is_some_and(|one| one.quantity.signum() > 0);
        buys(self.opening) || buys(self.closing)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.opening.is_some() || self.closing.is_some()
    }

    /// Its orders as the exchange takes them: what sells first, then by number.
    pub(super) fn turns(&self) -> [Slot; 2] {
        let sells = |order: Option<Waiting>| order.is_some_and(|one| one.quantity.signum() < 0);
        if sells(self.closing) && !sells(self.opening) {
            [Slot::Closing, Slot::Opening]
        } else {
            [Slot::Opening, Slot::Closing]
        }
    }

    pub(super) fn direction(&self) -> Direction {
        Direction::of_sign(self.held.signum())
    }
}
