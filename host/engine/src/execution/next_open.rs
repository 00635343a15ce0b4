//! Fills at the open of the first bar that opens at or after the decision.
//!
//! An order is decided at a bar's close, so the bar that decided it has opened before and can never
//! fill it.

use super::{FillModel, Order, Reference};
use crate::types::{Bar, Price};

/// The model; see the head of the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct NextOpen;

impl FillModel for NextOpen {
    fn reference(&self, order: &Order, bar: &Bar) -> Option<Reference> {
        if bar.opened_at < order.decided_at {
            return None;
        }
        let price = Price::from_f64(bar.open).ok()?;
        Some(Reference {
            at: bar.opened_at,
            price,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::{OrderId, OrderReason};
    use crate::types::{Quantity, SymbolId, Timestamp};

    #[test]
    fn the_bar_that_decided_never_fills() {
        let order = Order {
            id: OrderId(0),
            symbol: SymbolId(0),
            quantity: Quantity::from_units(1),
            decided_at: Timestamp::from_nanos(100),
            reason: OrderReason::Entry,
            model: None,
        };
        let bar = |opened_at| Bar {
            opened_at: Timestamp::from_nanos(opened_at),
            closed_at: Timestamp::from_nanos(opened_at + 50),
            open: 2.5,
            high: 9.0,
            low: 1.0,
            close: 3.0,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        };
        assert_eq!(NextOpen.reference(&order, &bar(50)), None);
        assert_eq!(NextOpen.reference(&order, &bar(99)), None);
        let reference = NextOpen.reference(&order, &bar(100)).unwrap();
        assert_eq!(reference.at, Timestamp::from_nanos(100));
        assert_eq!(reference.price.to_string(), "2.5");
    }
}
