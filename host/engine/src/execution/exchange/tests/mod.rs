//! The exchange, held against the page that describes it: by a second model of it, and by hand.

mod account;
mod against_model;
mod cancels;
mod currencies;
mod late;
mod model;
mod records;
mod scenarios;
mod script;

use super::{Exchange, ExchangeSetup};
use crate::execution::{ExecutionConfig, Order, OrderId, Outcome};
use crate::portfolio::{Currencies, Portfolio, PortfolioConfig};
use crate::ports::{Broker, BrokerTick};
use crate::types::{Bar, Cash, CurrencyId, SymbolId, Timestamp, VenueRecords};

/// An outcome in one line, all of it.
fn line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Filled(fill) => format!(
            "{} {} {} at {}{} fee {} slip {} spread {} left {}{} t{}",
            name(fill.order),
            if fill.quantity.units() > 0 {
                "bought"
            } else {
                "sold"
            },
            fill.quantity.abs(),
            fill.price,
            in_currency(fill.currency),
            fill.fee,
            fill.slippage,
            fill.spread,
            fill.remaining,
            if fill.is_maker { " maker" } else { "" },
            minutes(fill.filled_at),
        ),
        Outcome::Expired { order, expiry } => format!("{} {expiry:?}", name(*order)),
        Outcome::Liquidating(order) => format!(
            "{} liquidating {} of {:?} t{}",
            name(order.id),
            order.quantity,
            order.symbol,
            minutes(order.decided_at)
        ),
        Outcome::Paid(payment) => format!(
            "{:?} {}{} for {:?} t{}",
            payment.kind,
            payment.amount,
            in_currency(payment.currency),
            payment.symbol,
            minutes(payment.paid_at)
        ),
    }
}

fn name(order: OrderId) -> String {
    match order.0.checked_sub(OrderId::OF_EXCHANGE) {
        Some(own) => format!("#x{own}"),
        None => format!("#{}", order.0),
    }
}

/// Nothing for the reporting currency.
fn in_currency(currency: CurrencyId) -> String {
    match currency.0 {
        0 => String::new(),
        other => format!(" c{other}"),
    }
}

fn minutes(at: Timestamp) -> i64 {
    at.as_nanos() / (HOUR / 60)
}

const HOUR: i64 = 3_600_000_000_000;
/// Names of the symbols.
const NAMES: [&str; 3] = ["A", "B", "C"];

/// The real exchange, with a ledger that books what it says.
#[derive(Debug)]
struct Venue {
    exchange: Exchange,
    portfolio: Portfolio,
}

impl Venue {
    fn new(
        execution: &ExecutionConfig,
        account: &PortfolioConfig,
        (symbols, records): (usize, &VenueRecords),
    ) -> Self {
        let currencies = Currencies::resolve(account, execution, &NAMES[..symbols]).unwrap();
        let setup = ExchangeSetup {
            execution,
            portfolio: account,
            currencies: &currencies,
            names: &NAMES[..symbols],
            time_frame: "1h".parse().unwrap(),
            records,
        };
        Self {
            exchange: Exchange::new(&setup).unwrap(),
            portfolio: Portfolio::with(&currencies),
        }
    }

    fn submit(&mut self, order: Order) {
        self.exchange.take_order(order);
    }

    fn cancel(&mut self, order: OrderId, now: i64) {
        self.exchange.take_cancel(order, Timestamp::from_nanos(now));
    }

    /// What happens up to `closed_at`; the ledger keeps its promises and agrees with the exchange.
    fn step(&mut self, closed_at: i64, bars: &[Option<Bar>], fine: &[Vec<Bar>]) -> Vec<Outcome> {
        let bars: Vec<Option<&Bar>> = bars.iter().map(Option::as_ref).collect();
        let fine: Vec<&[Bar]> = fine.iter().map(Vec::as_slice).collect();
        let tick = BrokerTick {
            closed_at: Timestamp::from_nanos(closed_at),
            bars: &bars,
            fine: &fine,
        };
        let mut outcomes = Vec::new();
        while let Some(outcome) = self.exchange.poll(&tick) {
            match &outcome {
                Outcome::Filled(fill) => self.portfolio.apply(fill).unwrap(),
                Outcome::Paid(payment) => self.portfolio.pay(payment).unwrap(),
                _ => {}
            }
            self.portfolio.check().unwrap();
            outcomes.push(outcome);
        }
        let books = self.portfolio.books().iter();
        let booked: Vec<Cash> = books.map(|book| book.cash).collect();
        assert_eq!(booked, self.exchange.balances());
        for (symbol, position) in self.portfolio.positions().iter().enumerate() {
            let symbol = SymbolId(u32::try_from(symbol).unwrap());
            assert_eq!(position.quantity(), self.exchange.held(symbol));
        }
        outcomes
    }
}
