//! Round trips: fills of one symbol from flat to flat, for the report.
//!
//! A fill that turns a position ends one trade and begins the next; its fee and slippage are shared
//! by quantity. The book is a function of the fills, so a replayed journal gives the same trades.

use serde::{Deserialize, Serialize};

use super::position::closing_part;
use crate::execution::{Fill, Order, OrderReason};
use crate::fusion::ModelRef;
use crate::strategy::Direction;
use crate::types::{Cash, Price, Quantity, SymbolId, TimeFrame, Timestamp};

/// A position from its opening to its close. `gross = net + fees + slippage`, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// What was traded.
    pub symbol: SymbolId,
    /// The side that was held.
    pub direction: Direction,
    /// How much was bought in all (sold in all, for a short), in the base asset, positive.
    pub quantity: Quantity,
    /// The first fill.
    pub opened_at: Timestamp,
    /// The last fill.
    pub closed_at: Timestamp,
    /// Average price of the fills that opened or added.
    pub entry_price: Price,
    /// Average price of the fills that closed.
    pub exit_price: Price,
    /// Profit before fees and slippage.
    pub gross: Cash,
    /// Fees paid.
    pub fees: Cash,
    /// What slippage has cost.
    pub slippage: Cash,
    /// Profit after fees and slippage.
    pub net: Cash,
    /// Bars from the first fill to the last, missing ones included.
    pub bars_held: u32,
    /// Why it was closed.
    pub exit_reason: OrderReason,
    /// The model that opened it; `None` where no model was asked.
    pub model: Option<ModelRef>,
}

/// A trade that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenTrade {
    held: Quantity,
    entered: Quantity,
    entry_notional: Cash,
    exit_notional: Cash,
    fees: Cash,
    slippage: Cash,
    opened_at: Timestamp,
    model: Option<ModelRef>,
}

/// A fill's part in one trade.
struct Part {
    quantity: Quantity,
    notional: Cash,
    fee: Cash,
    slippage: Cash,
}

/// Makes trades of fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeBook {
    time_frame: TimeFrame,
    open: Vec<Option<OpenTrade>>,
}

impl TradeBook {
    /// A book without trades for `symbols` symbols.
    #[must_use]
    pub fn new(time_frame: TimeFrame, symbols: usize) -> Self {
        Self {
            time_frame,
            open: vec![None; symbols],
        }
    }

    /// Takes the next fill of `order`; returns the trade that it ends. A fill of a symbol that the
    /// book does not have ends none.
    pub fn apply(&mut self, fill: &Fill, order: &Order) -> Option<Trade> {
        let slot = self.open.get_mut(fill.symbol.index())?;
        let held = slot.map_or(Quantity::ZERO, |open| open.held);
        let closing = closing_part(held, fill.quantity);
        let (close, open) = split(fill, closing);
        let mut ended = None;
        if let Some(trade) = slot.as_mut().filter(|_| !closing.is_zero()) {
            trade.held += close.quantity;
            trade.exit_notional += close.notional;
            trade.fees += close.fee;
            trade.slippage += close.slippage;
            if trade.held.is_zero() {
                ended = trade.end(fill, order.reason, self.time_frame);
                *slot = None;
            }
        }
        if !open.quantity.is_zero() {
            let trade = slot.get_or_insert(OpenTrade {
                held: Quantity::ZERO,
                entered: Quantity::ZERO,
                entry_notional: Cash::ZERO,
                exit_notional: Cash::ZERO,
                fees: Cash::ZERO,
                slippage: Cash::ZERO,
                opened_at: fill.filled_at,
                model: order.model,
            });
            trade.held += open.quantity;
            trade.entered += open.quantity;
            trade.entry_notional += open.notional;
            trade.fees += open.fee;
            trade.slippage += open.slippage;
        }
        ended
    }
}

impl OpenTrade {
    fn end(&self, fill: &Fill, reason: OrderReason, time_frame: TimeFrame) -> Option<Trade> {
        let after_slippage = -self.exit_notional - self.entry_notional;
        let bars = fill.filled_at.nanos_since(self.opened_at) / time_frame.nanos();
        Some(Trade {
            symbol: fill.symbol,
            direction: Direction::of_sign(self.entered.signum()),
            quantity: self.entered.abs(),
            opened_at: self.opened_at,
            closed_at: fill.filled_at,
            entry_price: self.entry_notional.per(self.entered)?,
            exit_price: self.exit_notional.per(-self.entered)?,
            gross: after_slippage + self.slippage,
            fees: self.fees,
            slippage: self.slippage,
            net: after_slippage - self.fees,
            bars_held: u32::try_from(bars).unwrap_or(u32::MAX),
            exit_reason: reason,
            model: self.model,
        })
    }
}

/// Splits a fill into the part that closes and the part that opens; the second gets what rounding
/// leaves.
fn split(fill: &Fill, closing: Quantity) -> (Part, Part) {
    let notional = fill.notional();
    let part = |all: Cash| match closing.is_zero() {
        true => Cash::ZERO,
        false => all.share(closing, fill.quantity),
    };
    let close = Part {
        quantity: closing,
        notional: fill.price.times(closing),
        fee: part(fill.fee),
        slippage: part(fill.slippage),
    };
    let open = Part {
        quantity: fill.quantity - closing,
        notional: notional - close.notional,
        fee: fill.fee - close.fee,
        slippage: fill.slippage - close.slippage,
    };
    (close, open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::OrderId;

    fn book() -> TradeBook {
        TradeBook::new("1h".parse().unwrap(), 1)
    }

    fn apply(book: &mut TradeBook, quantity: &str, price: &str, hour: i64) -> Option<Trade> {
        let filled_at = Timestamp::from_nanos(hour * 3_600_000_000_000);
        let order = Order {
            id: OrderId(0),
            symbol: SymbolId(0),
            quantity: quantity.parse().unwrap(),
            decided_at: filled_at,
            reason: OrderReason::Exit,
            model: None,
            terms: crate::execution::OrderTerms::default(),
        };
        let fill = Fill {
            order: order.id,
            symbol: order.symbol,
            quantity: order.quantity,
            price: price.parse().unwrap(),
            fee: "0.5".parse().unwrap(),
            slippage: "0.1".parse().unwrap(),
            filled_at,
            spread: Cash::ZERO,
            remaining: Quantity::ZERO,
            is_maker: false,
            currency: crate::types::CurrencyId::REPORTING,
        };
        book.apply(&fill, &order)
    }

    #[test]
    fn a_round_trip_reports_profit_before_and_after_costs() {
        let mut book = book();
        assert_eq!(apply(&mut book, "2", "100", 1), None);
        let trade = apply(&mut book, "-2", "110", 6).unwrap();
        assert_eq!(trade.direction, Direction::Long);
        assert_eq!(trade.net.to_string(), "19");
        assert_eq!(trade.gross.to_string(), "20.2");
        assert_eq!(trade.bars_held, 5);
        assert_eq!(trade.entry_price.to_string(), "100");
        assert_eq!(trade.exit_price.to_string(), "110");
    }

    #[test]
    fn a_flip_ends_one_trade_and_shares_its_fee() {
        let mut book = book();
        apply(&mut book, "1", "100", 1);
        let long = apply(&mut book, "-5", "90", 2).unwrap();
        assert_eq!(long.fees.to_string(), "0.6");
        assert_eq!(long.net.to_string(), "-10.6");
        let short = apply(&mut book, "4", "80", 3).unwrap();
        assert_eq!(short.direction, Direction::Short);
        assert_eq!(short.quantity.to_string(), "4");
        assert_eq!(short.fees.to_string(), "0.9");
        assert_eq!(short.net.to_string(), "39.1");
        assert_eq!(short.slippage.to_string(), "0.18");
    }

    #[test]
    fn additions_and_reductions_are_averaged() {
        let mut book = book();
        apply(&mut book, "1", "100", 1);
        apply(&mut book, "1", "110", 2);
        assert_eq!(apply(&mut book, "-1", "120", 3), None);
        let trade = apply(&mut book, "-1", "130", 4).unwrap();
        assert_eq!(trade.entry_price.to_string(), "105");
        assert_eq!(trade.exit_price.to_string(), "125");
        assert_eq!(trade.quantity.to_string(), "2");
        assert_eq!(trade.net.to_string(), "38");
    }
}
