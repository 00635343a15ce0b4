//! One symbol's position: quantity, cost and mark.
//!
//! Cost is the signed sum of what the held quantity was traded for. A reduction takes its share of
//! the cost (average-price basis) and realises the difference to what it brought; the rest of the
//! cost stays, so rounding moves between realised and unrealised but is never lost.

use crate::execution::Fill;
use crate::strategy::Direction;
use crate::types::{Cash, Price, Quantity, Timestamp};

/// A position; flat where the quantity is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    quantity: Quantity,
    cost: Cash,
    mark: Option<Price>,
    value: Cash,
    opened_at: Option<Timestamp>,
    fills: u64,
}

impl Position {
    /// What is held, in the base asset; negative is short.
    #[must_use]
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// The side that is held.
    #[must_use]
    pub fn direction(&self) -> Direction {
        Direction::of_sign(self.quantity.signum())
    }

    /// What the quantity was traded for; negative where it was sold short.
    #[must_use]
    pub fn cost(&self) -> Cash {
        self.cost
    }

    /// The average price at which the quantity was traded; `None` where nothing is held.
    #[must_use]
    pub fn average_price(&self) -> Option<Price> {
        self.cost.per(self.quantity)
    }

    /// The last mark; `None` before the first.
    #[must_use]
    pub fn mark_price(&self) -> Option<Price> {
        self.mark
    }

    /// The quantity at the mark; negative is short.
    #[must_use]
    pub fn value(&self) -> Cash {
        self.value
    }

    /// What closing at the mark would realise, before costs.
    #[must_use]
    pub fn unrealised(&self) -> Cash {
        self.value - self.cost
    }

    /// When the position was opened; `None` where nothing is held.
    #[must_use]
    pub fn opened_at(&self) -> Option<Timestamp> {
        self.opened_at
    }

    /// How many fills it has had.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.fills
    }

    pub(super) fn mark(&mut self, price: Price) {
        self.mark = Some(price);
        self.value = if self.quantity.is_zero() {
            Cash::ZERO
        } else {
            price.times(self.quantity)
        };
    }

    /// Books a fill and returns what it realised before fees.
    pub(super) fn apply(&mut self, fill: &Fill) -> Cash {
        let closing = closing_part(self.quantity, fill.quantity);
        let mut realised = Cash::ZERO;
        let mut opened = fill.notional();
        if !closing.is_zero() {
            // The opening part gets what the closing part leaves, so the sum is exact.
            let closed = fill.price.times(closing);
            let released = self.cost.share(-closing, self.quantity);
            realised = -closed - released;
            opened -= closed;
            self.cost -= released;
        }
        self.cost += opened;
        let before = self.direction();
        self.quantity += fill.quantity;
        self.fills += 1;
        if self.direction() == Direction::Flat {
            self.opened_at = None;
        } else if self.direction() != before {
            self.opened_at = Some(fill.filled_at);
        }
        self.mark(fill.price);
        realised
    }
}

/// The part of a fill of `traded` that closes a position of `held`, with the sign of `traded`;
/// zero where the fill opens or adds.
pub(super) fn closing_part(held: Quantity, traded: Quantity) -> Quantity {
    if held.signum() * traded.signum() >= 0 {
        return Quantity::ZERO;
    }
    if traded.abs() <= held.abs() {
        traded
    } else {
        -held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::OrderId;
    use crate::types::SymbolId;

    fn traded(position: &mut Position, quantity: &str, price: &str, at: i64) -> Cash {
        position.apply(&Fill {
            order: OrderId(0),
            symbol: SymbolId(0),
            quantity: quantity.parse().unwrap(),
            price: price.parse().unwrap(),
            fee: Cash::ZERO,
            slippage: Cash::ZERO,
            filled_at: Timestamp::from_nanos(at),
            spread: Cash::ZERO,
            remaining: Quantity::ZERO,
            is_maker: false,
            currency: crate::types::CurrencyId::REPORTING,
        })
    }

    #[test]
    fn reductions_realise_against_the_average_price() {
        let mut position = Position::default();
        assert_eq!(traded(&mut position, "1", "100", 1), Cash::ZERO);
        assert_eq!(traded(&mut position, "1", "110", 2), Cash::ZERO);
        assert_eq!(position.average_price().unwrap().to_string(), "105");
        assert_eq!(traded(&mut position, "-0.5", "120", 3).to_string(), "7.5");
        assert_eq!(position.cost().to_string(), "157.5");
        assert_eq!(position.opened_at(), Some(Timestamp::from_nanos(1)));
        assert_eq!(traded(&mut position, "-1.5", "100", 4).to_string(), "-7.5");
        assert_eq!(position.cost(), Cash::ZERO);
        assert_eq!(position.opened_at(), None);
    }

    #[test]
    fn a_flip_realises_the_old_side_and_opens_the_new_one() {
        let mut position = Position::default();
        traded(&mut position, "2", "100", 1);
        assert_eq!(traded(&mut position, "-5", "90", 2).to_string(), "-20");
        assert_eq!(position.quantity().to_string(), "-3");
        assert_eq!(position.cost().to_string(), "-270");
        assert_eq!(position.opened_at(), Some(Timestamp::from_nanos(2)));
        assert_eq!(traded(&mut position, "3", "80", 3).to_string(), "30");
    }

    #[test]
    fn rounding_of_a_third_comes_back_when_the_rest_is_closed() {
        let mut position = Position::default();
        traded(&mut position, "0.00000003", "33.33333333", 1);
        let cost = position.cost();
        let first = traded(&mut position, "-0.00000001", "40", 2);
        let rest = traded(&mut position, "-0.00000002", "40", 3);
        assert_eq!((first + rest).units(), 120 - cost.units());
    }
}
