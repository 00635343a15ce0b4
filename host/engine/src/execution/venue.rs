//! A venue: fill, slippage and fee models together with the venue's rounding rules.
//!
//! Rounding is always against the order: a buyer's price goes up to the tick, a seller's down, and
//! quantities go toward zero to the lot.

use super::{
    ExecutionConfig, Expiry, FeeModel, Fill, FillModel, NextOpen, Order, Outcome, ProportionalFee,
    ProportionalSlippage, SlippageModel,
};
use crate::types::{Bar, Cash, MoneyError, Price, Quantity};

/// The models and rules that turn an order and a bar into an outcome.
#[derive(Debug)]
pub struct Venue {
    fill: Box<dyn FillModel>,
    slippage: Box<dyn SlippageModel>,
    fees: Box<dyn FeeModel>,
    lot_size: Quantity,
    tick_size: Price,
    min_notional: Cash,
}

impl Venue {
    /// From settings without [problems](ExecutionConfig::validate).
    ///
    /// # Errors
    /// [`MoneyError`] where a setting is not money.
    pub fn new(config: &ExecutionConfig) -> Result<Self, MoneyError> {
        Ok(Self {
            fill: Box::new(NextOpen),
            slippage: Box::new(ProportionalSlippage::new(config.slippage_bps)),
            fees: Box::new(ProportionalFee::new(config.fee_bps)),
            lot_size: Quantity::from_f64(config.lot_size)?,
            tick_size: Price::from_f64(config.tick_size)?,
            min_notional: Cash::from_f64(config.min_notional)?,
        })
    }

    /// What `bar` does to `order`; `None` where the order waits for another bar. A buyer with
    /// limited `funds` gets no more than they pay for, fee included; `None` is an account that
    /// borrows.
    #[must_use]
    pub fn execute(&self, order: &Order, bar: &Bar, funds: Option<Cash>) -> Option<Outcome> {
        let reference = self.fill.reference(order, bar)?;
        let buys = order.quantity > Quantity::ZERO;
        let slipped = self.slippage.slipped(reference.price, order.quantity);
        let price = if buys {
            slipped.up_to(self.tick_size)
        } else {
            // A price below the tick still sells for the tick at least, never for nothing.
            slipped.down_to(self.tick_size).max(self.tick_size)
        };
        let wanted = order.quantity.toward_zero(self.lot_size);
        let (quantity, least) = match funds {
            // What is left of a purchase that was cut must still be worth a venue's while.
            Some(funds) if buys => match self.affordable(wanted, price, funds) {
                all if all == wanted => (all, Cash::ZERO),
                cut => (cut, self.min_notional),
            },
            // A position that is closed goes whole, also where it is no multiple of the lot.
            _ => (order.quantity, Cash::ZERO),
        };
        let notional = price.times(quantity).abs();
        if quantity.is_zero() || notional < least {
            return Some(Outcome::Expired {
                order: order.id,
                expiry: Expiry::InsufficientCash,
            });
        }
        Some(Outcome::Filled(Fill {
            order: order.id,
            symbol: order.symbol,
            quantity,
            price,
            fee: self.fees.fee(notional),
            slippage: (price - reference.price).times(quantity),
            filled_at: reference.at,
        }))
    }

    /// The largest number of whole lots, at most `wanted`, that `funds` pay for with its fee.
    fn affordable(&self, wanted: Quantity, price: Price, funds: Cash) -> Quantity {
        let cost = |lots: i128| {
            let quantity = Quantity::from_units(lots * self.lot_size.units());
            let notional = price.times(quantity);
            notional + self.fees.fee(notional)
        };
        let all = wanted.units() / self.lot_size.units();
        if cost(all) <= funds {
            return wanted;
        }
        // The cost never falls as lots are added, so halving finds the last affordable one.
        let (mut paid, mut unpaid) = (0, all);
        while unpaid - paid > 1 {
            let middle = paid + (unpaid - paid) / 2;
            if cost(middle) <= funds {
                paid = middle;
            } else {
                unpaid = middle;
            }
        }
        Quantity::from_units(paid * self.lot_size.units())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::{OrderId, OrderReason};
    use crate::types::{SymbolId, Timestamp};
    use proptest::prelude::*;

    fn config() -> ExecutionConfig {
        ExecutionConfig {
            fee_bps: 10.0,
            slippage_bps: 5.0,
            lot_size: 0.01,
            tick_size: 0.1,
            min_notional: 10.0,
            order_expiry_bars: 0,
        }
    }

    fn order(quantity: &str) -> Order {
        Order {
            id: OrderId(7),
            symbol: SymbolId(0),
            quantity: quantity.parse().unwrap(),
            decided_at: Timestamp::from_nanos(0),
            reason: OrderReason::Entry,
            model: None,
        }
    }

    fn bar(open: f64) -> Bar {
        Bar {
            opened_at: Timestamp::from_nanos(0),
            closed_at: Timestamp::from_nanos(1),
            open,
            high: open,
            low: open,
            close: open,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    }

    fn execute(quantity: &str, open: f64, funds: Option<&str>) -> Outcome {
        let funds = funds.map(|funds| funds.parse().unwrap());
        let venue = Venue::new(&config()).unwrap();
        venue.execute(&order(quantity), &bar(open), funds).unwrap()
    }

    #[test]
    fn prices_and_quantities_round_against_the_order() {
        // 100.33 x 1.0005 = 100.380165, up to the tick 100.4; 2.005 is 2.00 lots of funds.
        let Outcome::Filled(buy) = execute("2.005", 100.33, Some("1000")) else {
            panic!("not filled");
        };
        assert_eq!(buy.price.to_string(), "100.4");
        assert_eq!(buy.quantity.to_string(), "2");
        assert_eq!(buy.fee.to_string(), "0.2008");
        assert_eq!(buy.slippage.to_string(), "0.14");
        // 100.33 x 0.9995 = 100.279835, down to the tick 100.2.
        let Outcome::Filled(sell) = execute("-2", 100.33, None) else {
            panic!("not filled");
        };
        assert_eq!(sell.price.to_string(), "100.2");
        assert_eq!(sell.slippage.to_string(), "0.26");
    }

    #[test]
    fn a_small_purse_buys_what_it_pays_for_or_nothing() {
        // One lot costs 1.001 and its fee 0.001001: 49 lots are 49.098049, 50 are 50.10005.
        let Outcome::Filled(part) = execute("1", 100.0, Some("50")) else {
            panic!("not filled");
        };
        assert_eq!(part.price.to_string(), "100.1");
        assert_eq!(part.quantity.to_string(), "0.49");
        let expired = Outcome::Expired {
            order: OrderId(7),
            expiry: Expiry::InsufficientCash,
        };
        assert_eq!(execute("1", 100.0, Some("9")), expired);
        assert_eq!(execute("1", 100.0, Some("-5")), expired);
    }

    #[test]
    fn what_is_sold_goes_whole() {
        let Outcome::Filled(sale) = execute("-0.00500001", 100.0, Some("0")) else {
            panic!("not filled");
        };
        assert_eq!(sale.quantity.to_string(), "-0.00500001");
    }

    proptest! {
        #[test]
        fn cost_never_exceeds_funds_and_one_lot_more_would(
            funds in 1_000_000_000i64..1_000_000_000_000,
            open in 1.0f64..5_000.0,
        ) {
            let venue = Venue::new(&config()).unwrap();
            let funds = Cash::from_units(i128::from(funds));
            let outcome = venue.execute(&order("1000000"), &bar(open), Some(funds)).unwrap();
            if let Outcome::Filled(fill) = outcome {
                prop_assert!(fill.notional() + fill.fee <= funds);
                let more = fill.quantity + Quantity::from_units(1_000_000);
                let notional = fill.price.times(more);
                prop_assert!(notional + notional.scaled_by_micro_bps(10_000_000) > funds);
            }
        }
    }
}
