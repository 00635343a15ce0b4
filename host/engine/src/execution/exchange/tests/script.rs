//! Scenarios as text: orders, bars, and what comes of them, line by line.
//!
//! | line | meaning |
//! |---|---|
//! | `buy 2 limit 98 ioc` | the next order (from `#0` on), decided now |
//! | `cancel 0` | the end of `#0` is asked for now |
//! | `bar 100 102 99 101 x10` | an hour with a bar: open, high, low, close, volume |
//! | `bar 1 1 1 1 x1 / 2 2 2 2 x2` | bars of two symbols; `-` where one has none |
//! | `fine 1 1 1 1 x1 \| 2 2 2 2 x2` | an hour with a bar that has finer ones |
//! | `fine - \| 2 2 2 2 x2` | the same where a finer one is missing |
//! | `halt 3` | hours without a bar |
//! | `book t30 99x1 98x2 / 101x1 103x2` | an order book of the first symbol: bids, asks |
//! | `funding t60 0.0001` | a funding of the first symbol |
//! | `= ...` | what must have happened; `t60` is a moment in minutes |
//!
//! The last line is the account: cash by currency, positions. Amounts in the second currency of a
//! line are marked `c1`. The same script is played at the model of the exchange.

use std::collections::BTreeSet;

use super::account::{Link, Money, Settings};
use super::against_model::whole;
use super::model::Model;
use super::{HOUR, NAMES, Venue, line};
use crate::execution::{
    ExecutionConfig, Order, OrderId, OrderKind, OrderReason, OrderTerms, TimeInForce,
};
use crate::portfolio::{InitialCash, PortfolioConfig, RateConfig};
use crate::types::{Bar, BookLevel, BookSnapshot, FundingRate, SymbolId, Timestamp, VenueRecords};

/// Plays `script` with these settings (JSON) and compares what happens with its `=` lines.
#[track_caller]
pub(super) fn check(execution: &str, account: &str, script: &str) {
    let mut full: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(r#"{"fee_bps": 0, "slippage_bps": 0, "tick_size": 1}"#).unwrap();
    let given: serde_json::Map<_, _> = serde_json::from_str(execution).unwrap();
    full.extend(given);
    let execution: ExecutionConfig = serde_json::from_value(full.into()).unwrap();
    let account: PortfolioConfig = serde_json::from_str(account).unwrap();
    assert_eq!(execution.validate(), []);
    assert_eq!(account.validate(), []);
    let expected: Vec<&str> = script
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    let happened = Player::new(&execution, &account, &expected).play(&expected);
    assert_eq!(happened.join("\n"), expected.join("\n"));
}

struct Player {
    venue: Venue,
    model: Model,
    symbols: usize,
    now: i64,
    orders: u64,
}

impl Player {
    fn new(execution: &ExecutionConfig, account: &PortfolioConfig, script: &[&str]) -> Self {
        let symbols = 1 + usize::from(
            script
                .iter()
                .any(|line| line.starts_with("bar") && line.contains('/')),
        );
        let settings = |name: &&str| Settings::of(execution, account, (HOUR, name));
        let settings = NAMES[..symbols].iter().map(settings).collect();
        let records = records(script);
        let venue = Venue::new(execution, account, (symbols, &records));
        Self {
            model: Model::new(settings, &records, money(&venue, execution, account)),
            venue,
            symbols,
            now: 0,
            orders: 0,
        }
    }

    fn play(&mut self, script: &[&str]) -> Vec<String> {
        let mut told = Vec::new();
        for text in script.iter().filter(|line| !line.starts_with('=')) {
            told.push((*text).to_owned());
            let (word, rest) = text.split_once(' ').unwrap();
            match word {
                // Known before the first step.
                "book" | "funding" => {}
                "buy" | "sell" => self.submit(text),
                "cancel" => {
                    let order = OrderId(rest.parse().unwrap());
                    self.venue.cancel(order, self.now);
                    self.model.cancel(order);
                }
                "halt" => {
                    for _ in 0..rest.parse().unwrap() {
                        told.extend(self.step(&[], &[]));
                    }
                }
                "bar" => {
                    let length = (self.now, HOUR);
                    let is_there = |text: &&str| text.trim() != "-";
                    let one =
                        |text: &str| Some(text).filter(is_there).map(|text| bar(text, length));
                    let bars: Vec<Option<Bar>> = rest.split('/').map(one).collect();
                    told.extend(self.step(&bars, &[]));
                }
                _ => {
                    let texts: Vec<&str> = rest.split('|').collect();
                    let length = HOUR / i64::try_from(texts.len()).unwrap();
                    let opens = (self.now..).step_by(usize::try_from(length).unwrap());
                    let fine: Vec<Bar> = opens
                        .zip(texts)
                        .filter(|(_, text)| text.trim() != "-")
                        .map(|(opened, text)| bar(text, (opened, length)))
                        .collect();
                    let hour = (self.now, self.now + HOUR);
                    let bar = whole(&fine, hour).unwrap();
                    told.extend(self.step(&[Some(bar)], &fine));
                }
            }
        }
        let (ambiguous, slices) = self.venue.exchange.ambiguous_slices();
        assert_eq!((ambiguous, slices), self.model.ambiguous_slices());
        let held: Vec<String> = (0..self.symbols)
            .map(|at| self.venue.exchange.held(SymbolId(at as u32)).to_string())
            .collect();
        let cash = self.venue.exchange.balances().iter();
        let cash: Vec<String> = cash.map(ToString::to_string).collect();
        told.push(format!(
            "= cash {} held {} ambiguous {ambiguous} of {slices}",
            cash.join(" + "),
            held.join(" ")
        ));
        told
    }

    /// An hour at both exchanges.
    fn step(&mut self, bars: &[Option<Bar>], fine: &[Bar]) -> Vec<String> {
        self.now += HOUR;
        let bars: Vec<Option<Bar>> = (0..self.symbols)
            .map(|at| bars.get(at).copied().flatten())
            .collect();
        let mut finer = vec![fine.to_vec()];
        finer.resize(self.symbols, Vec::new());
        let happened = self.venue.step(self.now, &bars, &finer);
        assert_eq!(happened, self.model.step(self.now, &bars, &finer));
        happened
            .iter()
            .map(|one| format!("= {}", line(one)))
            .collect()
    }

    fn submit(&mut self, text: &str) {
        let mut words = text.split(' ');
        let buys = words.next() == Some("buy");
        let quantity = words.next().unwrap().parse().unwrap();
        let mut order = Order {
            id: OrderId(self.orders),
            symbol: SymbolId(0),
            quantity: if buys { quantity } else { -quantity },
            decided_at: Timestamp::from_nanos(self.now),
            reason: OrderReason::Entry,
            model: None,
            terms: OrderTerms::default(),
        };
        self.orders += 1;
        let kind = words.next().unwrap();
        let mut price = || words.next().unwrap().parse().unwrap();
        order.terms.kind = match kind {
            "limit" => OrderKind::Limit { price: price() },
            "stop" => OrderKind::Stop { trigger: price() },
            "take-profit" => OrderKind::TakeProfit { trigger: price() },
            "stop-limit" => OrderKind::StopLimit {
                trigger: price(),
                price: price(),
            },
            "trail" => OrderKind::TrailingStop {
                distance_micro_bps: words.next().unwrap().parse::<i64>().unwrap() * 1_000_000,
            },
            _ => OrderKind::Market,
        };
        for word in words {
            condition(&mut order, word);
        }
        self.venue.submit(order);
        self.model.submit(order);
    }
}

/// The currencies for the model: the first symbol is quoted in the reporting one, and the rate of
/// every other is fixed or its close.
fn money(venue: &Venue, execution: &ExecutionConfig, account: &PortfolioConfig) -> Money {
    let symbols = venue.portfolio.positions().len();
    let initial: Vec<i128> = venue
        .exchange
        .balances()
        .iter()
        .map(|one| one.units())
        .collect();
    if initial.len() == 1 {
        return Money::single(initial[0], symbols);
    }
    let quotes = execution
        .symbols
        .values()
        .filter_map(|own| own.quote.as_deref());
    let reporting = account.currency.as_deref().unwrap();
    let mut others: BTreeSet<&str> = quotes.collect();
    if let InitialCash::Each(amounts) = &account.initial_cash {
        others.extend(amounts.keys().map(String::as_str));
    }
    others.remove(reporting);
    let names: Vec<&str> = [reporting].into_iter().chain(others).collect();
    let quote = |name: &&str| {
        let own = execution.symbols[*name].quote.as_deref().unwrap();
        names.iter().position(|one| *one == own).unwrap()
    };
    let link = |name: &&str| match account.rates.get(*name) {
        _ if *name == names[0] => vec![],
        Some(RateConfig::Fixed(rate)) => vec![Link::Fixed((rate * 1e8).round() as i128)],
        _ => {
            let symbol = (0..symbols).find(|at| {
                let own = &execution.symbols[NAMES[*at]];
                own.base.as_deref() == Some(*name) && own.quote.as_deref() == Some(names[0])
            });
            vec![Link::Close(symbol.unwrap())]
        }
    };
    Money {
        quotes: NAMES[..symbols].iter().map(quote).collect(),
        initial,
        links: names.iter().map(link).collect(),
    }
}

/// What the `book` and `funding` lines say of the first symbol.
fn records(script: &[&str]) -> VenueRecords {
    let at = |text: &str| {
        let minutes: i64 = text.trim_start_matches('t').parse().unwrap();
        Timestamp::from_nanos(minutes * (HOUR / 60))
    };
    let lines = |word: &str| {
        let own = script.iter().filter_map(|line| line.strip_prefix(word));
        own.map(|rest| rest.trim().split_once(' ').unwrap())
            .collect::<Vec<_>>()
    };
    let levels = |text: &str| -> Vec<BookLevel> {
        let pairs = text.split_whitespace();
        let pairs = pairs.map(|pair| pair.split_once('x').unwrap());
        pairs
            .map(|(price, size)| BookLevel {
                price: price.parse().unwrap(),
                size: size.parse().unwrap(),
            })
            .collect()
    };
    let books = lines("book ").into_iter().map(|(time, sides)| {
        let (bids, asks) = sides.split_once('/').unwrap();
        BookSnapshot {
            at: at(time),
            bids: levels(bids),
            asks: levels(asks),
        }
    });
    let rates = lines("funding ").into_iter().map(|(time, rate)| {
        let rate: f64 = rate.parse().unwrap();
        FundingRate {
            at: at(time),
            micro_bps: (rate * 1e10).round() as i64,
        }
    });
    let (books, rates): (Vec<_>, Vec<_>) = (books.collect(), rates.collect());
    VenueRecords {
        fine: Vec::new().into(),
        funding: Vec::from_iter((!rates.is_empty()).then(|| rates.into())),
        books: Vec::from_iter((!books.is_empty()).then(|| books.into())),
    }
}

fn condition(order: &mut Order, word: &str) {
    let terms = &mut order.terms;
    let (name, value) = word.split_once('=').unwrap_or((word, "0"));
    let number: u64 = value.parse().unwrap();
    match name {
        "ioc" => terms.time_in_force = TimeInForce::Ioc,
        "fok" => terms.time_in_force = TimeInForce::Fok,
        "post" => terms.post_only = true,
        "reduce" => terms.reduce_only = true,
        "group" => terms.group = Some(number),
        "parent" => terms.parent = Some(OrderId(number)),
        "until" => {
            terms.expires_at = Some(Timestamp::from_nanos(number as i64 * (HOUR / 60)));
        }
        "symbol" => order.symbol = SymbolId(number as u32),
        _ => panic!("`{word}` is no condition of an order"),
    }
}

/// `100 102 99 101 x10`.
fn bar(text: &str, (opened, length): (i64, i64)) -> Bar {
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(|word| word.trim_start_matches('x').parse().unwrap())
        .collect();
    Bar {
        opened_at: Timestamp::from_nanos(opened),
        closed_at: Timestamp::from_nanos(opened + length),
        open: numbers[0],
        high: numbers[1],
        low: numbers[2],
        close: numbers[3],
        volume: numbers[4],
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    }
}
