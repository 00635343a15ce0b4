//! Random sessions, at both exchanges.
//!
//! Prices are a few dozen ticks and quantities a few lots, so that orders, triggers, limits and
//! liquidations often fall on one price. `PROPTEST_CASES` asks for more sessions than the usual.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::{Strategy as Generator, ValueTree};
use proptest::test_runner::TestRunner;

use super::account::{Link, Money, Settings};
use super::model::Model;
use super::{HOUR, NAMES, Venue, line, minutes, name};
use crate::execution::{
    ExecutionConfig, FeeTierConfig, FundingConfig, Order, OrderId, OrderKind, OrderReason,
    OrderTerms, Outcome, PaymentKind, SlippageConfig, SymbolConfig, TimeInForce,
};
use crate::portfolio::{InitialCash, MarginConfig, MarginMode, PortfolioConfig, RateConfig};
use crate::types::{
    Bar, BookLevel, BookSnapshot, FundingRate, Price, Quantity, SymbolId, Timestamp, VenueRecords,
};

const ONE: i128 = 100_000_000;
const SYMBOLS: usize = 3;
/// What proptest takes where nobody says how many, and what is taken here instead.
const UNSAID: u32 = 256;
const USUAL: u32 = 2_000;

/// A slice, as differences in half ticks.
#[derive(Debug, Clone)]
struct RawSlice {
    jump: i8,
    up: u8,
    down: u8,
    close: u8,
    volume: u8,
    /// Where it is a finer one: whether the data lacks it.
    is_missing: bool,
}

/// What is asked for between two steps, as small numbers.
#[derive(Debug, Clone)]
struct RawOrder {
    package: u8,
    symbol: u8,
    kind: u8,
    buys: bool,
    size: u8,
    offsets: [i8; 3],
    time: u8,
    flags: u8,
    odd: u8,
}

#[derive(Debug, Clone)]
struct RawStep {
    gap: u8,
    /// For each symbol: none, one, or several finer slices.
    slices: Vec<Vec<RawSlice>>,
    orders: Vec<RawOrder>,
}

#[derive(Debug, Clone)]
struct Scene {
    layout: Option<Layout>,
    execution: ExecutionConfig,
    account: PortfolioConfig,
    symbols: usize,
    records: VenueRecords,
    steps: Vec<RawStep>,
}

fn one_of<T: std::fmt::Debug + Clone + 'static>(
    values: &[T],
) -> impl Generator<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

fn costs() -> impl Generator<Value = ExecutionConfig> {
    let fees = (
        one_of(&[0.0, 10.0, 7.3]),
        one_of(&[None, Some(2.0), Some(-1.5)]),
        any::<bool>(),
    );
    let prices = (
        one_of(&[0.0, 10.0, 333.0]),
        one_of(&[0.0, 0.0, 5.0, 77.7]),
        0..3u8,
        one_of(&[0.5, 2.0]),
    );
    (fees, prices).prop_map(|((fee, maker, tiers), (spread, fixed, model, factor))| {
        let tier = |traded, maker_bps, taker_bps| FeeTierConfig {
            traded,
            maker_bps,
            taker_bps,
        };
        ExecutionConfig {
            maker_fee_bps: maker,
            fee_tiers: if tiers {
                vec![tier(400.0, 1.0, 5.0), tier(1_200.0, -0.5, 3.0)]
            } else {
                vec![]
            },
            spread_bps: spread,
            slippage: match model {
                0 => SlippageConfig::None,
                1 => SlippageConfig::Volatility {
                    factor,
                    span_bars: 3,
                },
                _ => SlippageConfig::Impact {
                    factor,
                    span_bars: 4,
                },
            },
            ..ExecutionConfig::costing(fee, fixed)
        }
    })
}

/// What a symbol has differently: nothing for most.
fn own_rules() -> impl Generator<Value = SymbolConfig> {
    (
        one_of(&[None, Some(2.0), Some(25.0)]),
        one_of(&[None, Some(-2.0)]),
        one_of(&[None, Some(0.5), Some(2.0)]),
        one_of(&[None, Some(0.5), Some(1.0), Some(2.0)]),
        one_of(&[None, Some(60.0)]),
        one_of(&[None, Some(1.0), Some(4.0)]),
    )
        .prop_map(|(fee, maker, lot, tick, min, leverage)| SymbolConfig {
            fee_bps: fee,
            maker_fee_bps: maker,
            slippage_bps: fee.map(|fee| fee * 1.7),
            spread_bps: None,
            lot_size: lot,
            tick_size: tick,
            min_notional: min,
            max_leverage: leverage,
            ..SymbolConfig::default()
        })
}

/// What the symbols trade and are quoted in, and what the rates must come from; amounts at the
/// start of the currencies but the first, in parts of that.
#[derive(Debug, Clone)]
struct Layout {
    pairs: [(&'static str, &'static str); SYMBOLS],
    fixed: Option<(&'static str, f64)>,
    quotes: [usize; SYMBOLS],
    links: Vec<Vec<Link>>,
    names: Vec<&'static str>,
    initial: Vec<f64>,
    /// So many times the usual of the first currency.
    scale: f64,
}

/// One currency mostly; else a fixed rate, a symbol's close, a close turned round, two closes.
fn layout() -> impl Generator<Value = Option<Layout>> {
    let kinds = (
        one_of(&[0u8, 1, 2, 3]),
        one_of(&[0.0, 0.02, 0.5, 1.0]),
        one_of(&[0.0, 0.02, 1.0]),
        one_of(&[1.0, 60.0, 2_500.0]),
    );
    let several = kinds.prop_map(|(kind, second, third, scale)| {
        let (pairs, quotes, links) = match kind {
            0 => (
                [("P", "X"), ("Q", "Y"), ("R", "Y")],
                [0, 1, 1],
                vec![vec![], vec![Link::Fixed(75_000_000)]],
            ),
            1 => (
                [("Y", "X"), ("Q", "Y"), ("R", "X")],
                [0, 1, 0],
                vec![vec![], vec![Link::Close(0)]],
            ),
            2 => (
                [("X", "Y"), ("Q", "Y"), ("R", "X")],
                [1, 1, 0],
                vec![vec![], vec![Link::Inverse(0)]],
            ),
            _ => (
                [("Z", "Y"), ("Y", "X"), ("R", "Z")],
                [1, 0, 2],
                vec![
                    vec![],
                    vec![Link::Close(1)],
                    vec![Link::Close(0), Link::Close(1)],
                ],
            ),
        };
        Layout {
            pairs,
            fixed: (kind == 0).then_some(("Y", 0.75)),
            quotes,
            names: ["X", "Y", "Z"][..links.len()].to_vec(),
            initial: [second, third][..links.len() - 1].to_vec(),
            links,
            scale,
        }
    });
    prop_oneof![3 => Just(None), 2 => several.prop_map(Some)]
}

/// Puts a layout into the settings.
fn laid_out(execution: &mut ExecutionConfig, account: &mut PortfolioConfig, layout: &Layout) {
    for (name, (base, quote)) in NAMES.iter().zip(layout.pairs) {
        let own = execution.symbols.entry((*name).to_owned()).or_default();
        (own.base, own.quote) = (Some(base.to_owned()), Some(quote.to_owned()));
        own.min_notional = own.min_notional.or(Some(execution.min_notional));
    }
    let cash = account.initial_cash.only().unwrap() * layout.scale;
    let of_others = layout.initial.iter().map(|part| match account.allow_short {
        true => part * cash / layout.scale,
        // A spot account buys with nothing else.
        false => part.max(0.5) * cash / layout.scale,
    });
    let amounts = [cash].into_iter().chain(of_others);
    let named = layout.names.iter().map(|name| (*name).to_owned());
    account.currency = Some("X".to_owned());
    account.initial_cash = InitialCash::Each(named.zip(amounts).collect());
    let fixed = layout.fixed.iter();
    account.rates = fixed
        .map(|(name, rate)| ((*name).to_owned(), RateConfig::Fixed(*rate)))
        .collect();
}

/// The account's currencies as the model has them.
fn money(scene: &Scene) -> Money {
    let units = |amount: f64| (amount * ONE as f64).round() as i128;
    let Some(layout) = &scene.layout else {
        let cash = scene.account.initial_cash.only().unwrap();
        return Money::single(units(cash), scene.symbols);
    };
    let InitialCash::Each(amounts) = &scene.account.initial_cash else {
        panic!("several currencies have a table");
    };
    Money {
        quotes: layout.quotes.to_vec(),
        initial: layout
            .names
            .iter()
            .map(|name| units(amounts[*name]))
            .collect(),
        links: layout.links.clone(),
    }
}

/// Order books of one symbol: minutes between them, and levels in quarters.
fn books() -> impl Generator<Value = Vec<BookSnapshot>> {
    let level = (1..9u8, 1..12u8);
    let side = vec(level, 1..4);
    let book = (1..400i64, 150..250i64, 1..6i64, side.clone(), side);
    vec(book, 1..12).prop_map(|raw| {
        let mut at = 0;
        let books = raw.into_iter().map(|(pause, bid, gap, bids, asks)| {
            at += pause * HOUR / 60;
            let levels = |from: i64, side: i64, raw: Vec<(u8, u8)>| {
                let mut price = from;
                let levels = raw.into_iter().map(|(step, size)| {
                    price += side * i64::from(step);
                    BookLevel {
                        price: Price::from_units(i128::from(price) * ONE / 4),
                        size: Quantity::from_units(i128::from(size) * ONE / 2),
                    }
                });
                levels.collect()
            };
            BookSnapshot {
                at: Timestamp::from_nanos(at),
                bids: levels(bid, -1, bids),
                asks: levels(bid + gap, 1, asks),
            }
        });
        books.collect()
    })
}

fn fundings() -> impl Generator<Value = Vec<FundingRate>> {
    vec((1..700i64, -40_000_000..90_000_000i64), 0..20).prop_map(|raw| {
        let mut at = 0;
        let rates = raw.into_iter().map(|(pause, micro_bps)| {
            at += pause * HOUR / 60;
            FundingRate {
                at: Timestamp::from_nanos(at),
                micro_bps,
            }
        });
        rates.collect()
    })
}

fn records() -> impl Generator<Value = VenueRecords> {
    let books = prop_oneof![2 => Just(vec![]), 1 => vec(books(), SYMBOLS)];
    let rates = prop_oneof![2 => Just(vec![]), 1 => vec(fundings(), SYMBOLS)];
    (books, rates).prop_map(|(books, rates)| VenueRecords {
        fine: Arc::default(),
        funding: rates.into_iter().map(Arc::from).collect(),
        books: books.into_iter().map(Arc::from).collect(),
    })
}

/// The settings of a venue that has these records.
fn fitted(
    mut config: ExecutionConfig,
    own: Vec<Option<SymbolConfig>>,
    records: &VenueRecords,
) -> ExecutionConfig {
    for (name, own) in NAMES.iter().zip(own) {
        config
            .symbols
            .extend(own.map(|own| ((*name).to_owned(), own)));
    }
    if !config.fee_tiers.is_empty() {
        for own in config.symbols.values_mut() {
            (own.fee_bps, own.maker_fee_bps) = (None, None);
        }
    }
    if !records.books.is_empty() {
        config.spread_bps = 0.0;
        config.slippage = SlippageConfig::Book {
            max_age_ms: 5 * 3_600_000,
            otherwise_bps: 250.0,
        };
    }
    if !records.funding.is_empty() {
        config.funding = None;
    }
    config
}

fn venue() -> impl Generator<Value = ExecutionConfig> {
    let steps = (
        one_of(&[1.0, 0.5]),
        one_of(&[1.0, 0.5, 2.0]),
        one_of(&[0.0, 0.0, 90.0]),
        0..3u32,
    );
    let fills = (
        one_of(&[None, Some(0.1), Some(0.35), Some(1.0)]),
        0..3u32,
        one_of(&[0.0, 0.5, 1.0, 2.5]),
    );
    let times = (
        one_of(&[
            0, 0, 0, 1, 300_000, 1_700_000, 1_800_000, 2_400_000, 3_500_000, 3_600_000, 5_000_000,
        ]),
        one_of(&[None, None, Some((1, 10.0)), Some((8, -3.3))]),
        one_of(&[0.0, 0.0, 900.0]),
    );
    (costs(), steps, fills, times).prop_map(|(costs, steps, fills, times)| ExecutionConfig {
        tick_size: steps.0,
        lot_size: steps.1,
        min_notional: steps.2,
        order_expiry_bars: steps.3,
        participation: fills.0,
        limit_through_ticks: fills.1,
        limit_queue_ahead: fills.2,
        latency_ms: times.0,
        funding: times.1.map(|(interval_hours, rate_bps)| FundingConfig {
            interval_hours,
            rate_bps,
        }),
        borrow_annual_bps: times.2,
        ..costs
    })
}

fn account() -> impl Generator<Value = PortfolioConfig> {
    (
        0..4u8,
        one_of(&[200.0, 500.0, 1_000.0, 5_000.0]),
        one_of(&[1.0, 2.0, 3.0, 10.0]),
        one_of(&[0.9, 0.5, 0.1]),
        one_of(&[0.0, 50.0]),
    )
        .prop_map(|(kind, initial_cash, leverage, part, fee)| {
            let margin = |mode| MarginConfig {
                mode,
                leverage,
                maintenance: part / leverage,
                liquidation_fee_bps: fee,
            };
            PortfolioConfig {
                allow_short: kind != 0,
                margin: match kind {
                    0 | 1 => None,
                    2 => Some(margin(MarginMode::Cross)),
                    _ => Some(margin(MarginMode::Isolated)),
                },
                ..PortfolioConfig::with_cash(initial_cash)
            }
        })
}

fn raw_slice() -> impl Generator<Value = RawSlice> {
    (
        prop_oneof![3 => Just(0i8), 2 => -8..8i8],
        0..12u8,
        0..12u8,
        any::<u8>(),
        (0..80u8, prop_oneof![4 => Just(false), 1 => Just(true)]),
    )
        .prop_map(|(jump, up, down, close, (volume, is_missing))| RawSlice {
            jump,
            up,
            down,
            close,
            volume,
            is_missing,
        })
}

fn raw_order() -> impl Generator<Value = RawOrder> {
    (
        (0..10u8, 0..6u8, 0..8u8, any::<bool>(), 0..12u8),
        (-8..9i8, 0..9i8, 0..9i8),
        (0..12u8, 0..12u8, 0..60u8),
    )
        .prop_map(|(what, offsets, rest)| RawOrder {
            package: what.0,
            symbol: what.1,
            kind: what.2,
            buys: what.3,
            size: what.4,
            offsets: offsets.into(),
            time: rest.0,
            flags: rest.1,
            odd: rest.2,
        })
}

fn scene() -> impl Generator<Value = Scene> {
    let slices = prop_oneof![
        1 => Just(0..0usize),
        8 => Just(1..2usize),
        2 => Just(2..5usize),
    ]
    .prop_flat_map(|count| vec(raw_slice(), count.start..count.end.max(1)));
    let step = (
        prop_oneof![12 => Just(0u8), 1 => 1..7u8],
        vec(slices, SYMBOLS),
        prop_oneof![2 => vec(raw_order(), 0..1), 3 => vec(raw_order(), 1..3)],
    )
        .prop_map(|(gap, slices, orders)| RawStep {
            gap,
            slices,
            orders,
        });
    let symbols = prop_oneof![2 => Just(1usize), 1 => 2..=SYMBOLS];
    let own = vec(prop::option::weighted(0.25, own_rules()), SYMBOLS);
    let of_venue = (venue(), own, records());
    let of_account = (account(), layout());
    (of_venue, of_account, symbols, vec(step, 5..30)).prop_map(
        |((execution, own, mut records), (mut account, layout), symbols, steps)| {
            let symbols = if layout.is_some() { SYMBOLS } else { symbols };
            records.books.truncate(symbols);
            records.funding.truncate(symbols);
            let mut execution = fitted(execution, own, &records);
            if let Some(layout) = &layout {
                laid_out(&mut execution, &mut account, layout);
            }
            Scene {
                layout,
                execution,
                account,
                symbols,
                records,
                steps,
            }
        },
    )
}

/// Turns raw steps into bars and orders.
struct Teller {
    now: i64,
    /// In quarters of the quote asset.
    closes: Vec<i64>,
    next: u64,
    /// Of each symbol.
    half_ticks: Vec<i64>,
    lots: Vec<i128>,
}

impl Teller {
    fn new(scene: &Scene) -> Self {
        let own = |name: &&str| scene.execution.of_symbol(name).into_owned();
        let own: Vec<ExecutionConfig> = NAMES.iter().map(own).collect();
        Self {
            now: 0,
            closes: vec![200; scene.symbols],
            next: 0,
            half_ticks: own.iter().map(|one| (one.tick_size * 2.0) as i64).collect(),
            lots: own
                .iter()
                .map(|one| (one.lot_size * ONE as f64) as i128)
                .collect(),
        }
    }

    /// Moves time on; the bars of a symbol in it, and the finer ones.
    fn bars(&mut self, step: &RawStep) -> (Vec<Option<Bar>>, Vec<Vec<Bar>>) {
        // Now and then time passes without bars, and rarely just about 30 days of it.
        let gap = match step.gap {
            0 => 0,
            6 => 24 * 30 - 2,
            gap => i64::from(gap),
        };
        self.now += (gap + 1) * HOUR;
        let mut all = (Vec::new(), Vec::new());
        for symbol in 0..self.closes.len() {
            let raw = &step.slices[symbol];
            let length = HOUR / raw.len().max(1) as i64;
            let slices: Vec<Bar> = raw
                .iter()
                .enumerate()
                .map(|(number, raw)| {
                    let opened = self.now - HOUR + number as i64 * length;
                    self.bar(symbol, raw, (opened, opened + length))
                })
                .collect();
            let hour = (self.now - HOUR, self.now);
            all.0.push(whole(&slices, hour));
            let is_there = |at: usize| slices.len() > 1 && !raw[at].is_missing;
            let kept = (0..slices.len()).filter(|at| is_there(*at));
            all.1.push(kept.map(|at| slices[at]).collect());
        }
        all
    }

    fn bar(&mut self, symbol: usize, raw: &RawSlice, (opened, closed): (i64, i64)) -> Bar {
        let unit = self.half_ticks[symbol];
        // Every eighth price may lie between two ticks.
        let on_tick = |price: i64| {
            if raw.close % 8 == 7 {
                price
            } else {
                price.div_euclid(2 * unit) * 2 * unit
            }
        };
        let at_least = |price: i64| price.max(4 * unit);
        let open = at_least(on_tick(self.closes[symbol] + i64::from(raw.jump) * unit));
        let high = at_least(on_tick(open + i64::from(raw.up) * unit));
        let low = at_least(on_tick(open - i64::from(raw.down) * unit)).min(open);
        let range = (high - low) / unit + 1;
        let close = on_tick(low + i64::from(raw.close) % range * unit).clamp(low, high);
        self.closes[symbol] = close;
        let price = |quarters: i64| quarters as f64 / 4.0;
        Bar {
            opened_at: Timestamp::from_nanos(opened),
            closed_at: Timestamp::from_nanos(closed),
            open: price(open),
            high: price(high),
            low: price(low),
            close: price(close),
            volume: f64::from(raw.volume),
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    }

    /// A single order, an entry with two exits, or two entries of which one counts.
    fn orders(&mut self, raw: &RawOrder) -> Vec<Order> {
        let entry = self.order(raw, self.kind(raw, raw.kind, raw.buys), raw.buys);
        match raw.package {
            0 | 1 => {
                let mut exits = [4, 2 + 3 * (raw.flags % 2)]
                    .map(|kind| self.order(raw, self.kind(raw, kind, !raw.buys), !raw.buys));
                for exit in &mut exits {
                    exit.terms.parent = Some(entry.id);
                    exit.terms.group = Some(entry.id.0 * 2 + 1);
                    exit.terms.post_only = false;
                }
                if raw.flags == 5 {
                    exits[0].terms.kind = OrderKind::Market;
                }
                let [first, second] = exits;
                vec![entry, first, second]
            }
            2 => {
                let kind = self.kind(raw, raw.kind + 1, !raw.buys);
                let mut pair = [entry, self.order(raw, kind, raw.flags.is_multiple_of(2))];
                for one in &mut pair {
                    one.terms.group = Some(entry.id.0 * 2);
                }
                pair.to_vec()
            }
            3 if raw.flags < 6 => {
                // Of an order that may be there, or have ended, or be of another symbol.
                let mut late = entry;
                let back = u64::from(raw.size % 4) + 1;
                late.terms.parent = entry.id.0.checked_sub(back).map(OrderId);
                vec![late]
            }
            _ => vec![entry],
        }
    }

    fn kind(&self, raw: &RawOrder, kind: u8, buys: bool) -> OrderKind {
        let close = self.closes[self.symbol(raw)];
        let half_tick = self.half_ticks[self.symbol(raw)];
        let side = if buys { 1 } else { -1 };
        let price = |steps: i64| {
            let quarters = close + steps * 2 * half_tick;
            let on_tick = quarters.div_euclid(2 * half_tick) * 2 * half_tick;
            let odd = if raw.odd == 1 { half_tick } else { 0 };
            Price::from_units(i128::from(on_tick + odd) * ONE / 4)
        };
        let [any, first, second] = raw.offsets.map(i64::from);
        let (worse, better) = (price(side * first), price(-side * first));
        match kind {
            2 => OrderKind::Stop { trigger: worse },
            3 => OrderKind::StopLimit {
                trigger: worse,
                price: price(side * first + any / 2),
            },
            4 => OrderKind::TakeProfit { trigger: better },
            5 => OrderKind::TrailingStop {
                distance_micro_bps: (second * 5 + i64::from(raw.odd != 2)) * 123_456_789,
            },
            6 | 7 => OrderKind::Limit { price: price(any) },
            1 => OrderKind::Limit { price: better },
            _ => OrderKind::Market,
        }
    }

    fn symbol(&self, raw: &RawOrder) -> usize {
        usize::from(raw.symbol) % self.closes.len()
    }

    fn order(&mut self, raw: &RawOrder, kind: OrderKind, buys: bool) -> Order {
        let id = OrderId(self.next);
        self.next += 1;
        let odd = if raw.odd == 3 { ONE / 4 } else { 0 };
        let lot = self.lots[self.symbol(raw)];
        let size = i128::from(raw.size) * lot + odd + if raw.odd == 4 { 0 } else { lot };
        Order {
            id,
            symbol: SymbolId(self.symbol(raw) as u32),
            quantity: Quantity::from_units(if buys { size } else { -size }),
            decided_at: Timestamp::from_nanos(self.now),
            reason: OrderReason::Entry,
            model: None,
            terms: OrderTerms {
                kind,
                time_in_force: match raw.time {
                    0 | 1 => TimeInForce::Ioc,
                    2 | 3 => TimeInForce::Fok,
                    _ => TimeInForce::Gtc,
                },
                expires_at: (raw.time > 8).then(|| {
                    let minutes = i64::from(raw.offsets[2]) * 30;
                    Timestamp::from_nanos(self.now + minutes * HOUR / 60)
                }),
                post_only: raw.flags == 1,
                reduce_only: raw.flags == 2 || raw.flags == 3,
                group: None,
                parent: None,
            },
        }
    }
}

/// The bar from one moment to another that several finer ones make.
pub(super) fn whole(slices: &[Bar], (opened, closed): (i64, i64)) -> Option<Bar> {
    let (first, last) = (slices.first()?, slices.last()?);
    Some(Bar {
        opened_at: Timestamp::from_nanos(opened),
        closed_at: Timestamp::from_nanos(closed),
        close: last.close,
        high: slices.iter().map(|one| one.high).fold(0.0, f64::max),
        low: slices.iter().map(|one| one.low).fold(f64::MAX, f64::min),
        volume: slices.iter().map(|one| one.volume).sum(),
        ..*first
    })
}

/// Plays a session at both, and notes what kinds of things happened.
fn play(scene: &Scene, seen: &mut BTreeSet<String>) -> Result<(), TestCaseError> {
    let problems = scene.execution.validate();
    prop_assert!(problems.is_empty(), "{problems:?}");
    let mut teller = Teller::new(scene);
    let settings = |name: &&str| Settings::of(&scene.execution, &scene.account, (HOUR, name));
    let settings = NAMES[..scene.symbols].iter().map(settings).collect();
    let mut model = Model::new(settings, &scene.records, money(scene));
    let of_venue = (scene.symbols, &scene.records);
    let mut venue = Venue::new(&scene.execution, &scene.account, of_venue);
    let mut log = Vec::new();
    for step in &scene.steps {
        let (bars, fine) = teller.bars(step);
        let expected = model.step(teller.now, &bars, &fine);
        let happened = venue.step(teller.now, &bars, &fine);
        for (bar, fine) in bars.iter().zip(&fine) {
            log.push(slices_text(bar.as_ref(), fine));
        }
        seen.extend(happened.iter().map(kind_of));
        seen.extend(of_records(scene, &happened, &fine));
        log.extend(happened.iter().map(|one| format!("  {}", line(one))));
        let told = |outcomes: &[Outcome]| outcomes.iter().map(line).collect::<Vec<_>>();
        prop_assert!(
            told(&happened) == told(&expected) && happened == expected,
            "{}\n{}\nthe model says {:#?}",
            settings_text(scene),
            log.join("\n"),
            told(&expected)
        );
        let balances = venue.exchange.balances().iter();
        let balances: Vec<i128> = balances.map(|one| one.units()).collect();
        prop_assert_eq!(balances, model.balances());
        for symbol in 0..scene.symbols {
            let held = venue.exchange.held(SymbolId(symbol as u32)).units();
            prop_assert_eq!(held, model.held(symbol));
        }
        let counted = venue.exchange.ambiguous_slices();
        prop_assert_eq!(
            counted,
            model.ambiguous_slices(),
            "{}\n{}",
            settings_text(scene),
            log.join("\n")
        );
        for raw in &step.orders {
            if raw.package == 9 {
                let id = OrderId(u64::from(raw.size) % teller.next.max(1));
                log.push(format!("  cancel {}", name(id)));
                model.cancel(id);
                venue.cancel(id, teller.now);
                continue;
            }
            for order in teller.orders(raw) {
                log.push(format!("  {}", order_text(&order)));
                model.submit(order);
                venue.submit(order);
            }
        }
    }
    Ok(())
}

fn settings_text(scene: &Scene) -> String {
    format!(
        "{:?}\n{:?}\n{:?}",
        scene.execution, scene.account, scene.records
    )
}

fn slices_text(bar: Option<&Bar>, fine: &[Bar]) -> String {
    let slices: Vec<&Bar> = if fine.is_empty() {
        bar.into_iter().collect()
    } else {
        fine.iter().collect()
    };
    let mut text = String::from("bar");
    for one in slices {
        text += &format!(
            " [t{}: {} {} {} {} x{}]",
            minutes(one.opened_at),
            one.open,
            one.high,
            one.low,
            one.close,
            one.volume
        );
    }
    text
}

fn order_text(order: &Order) -> String {
    let terms = order.terms;
    format!(
        "{} s{} {} {:?} {:?}{}{}{} group {:?} parent {:?}",
        name(order.id),
        order.symbol.0,
        order.quantity,
        terms.kind,
        terms.time_in_force,
        if terms.post_only { " post" } else { "" },
        if terms.reduce_only { " reduce" } else { "" },
        terms
            .expires_at
            .map_or(String::new(), |at| format!(" until t{}", minutes(at))),
        terms.group,
        terms.parent
    )
}

fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: if config.cases == UNSAID {
            USUAL
        } else {
            config.cases
        },
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..config
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn both_exchanges_do_the_same(scene in scene()) {
        play(&scene, &mut BTreeSet::new())?;
    }
}

/// What happens at the exchange alone, step by step, where it knows these records.
fn at_venue(scene: &Scene, records: &VenueRecords) -> Vec<(i64, Vec<Outcome>)> {
    let mut teller = Teller::new(scene);
    let mut venue = Venue::new(&scene.execution, &scene.account, (scene.symbols, records));
    let steps = scene.steps.iter().map(|step| {
        let (bars, fine) = teller.bars(step);
        let happened = venue.step(teller.now, &bars, &fine);
        for raw in step.orders.iter().filter(|raw| raw.package != 9) {
            teller
                .orders(raw)
                .into_iter()
                .for_each(|one| venue.submit(one));
        }
        (teller.now, happened)
    });
    steps.collect()
}

/// The records up to a moment.
fn until(records: &VenueRecords, last: i64) -> VenueRecords {
    let is_known = |at: Timestamp| at.as_nanos() <= last;
    let books = records.books.iter().map(|own| {
        let own = own.iter().filter(|one| is_known(one.at));
        own.cloned().collect()
    });
    let rates = records.funding.iter().map(|own| {
        let own = own.iter().filter(|one| is_known(one.at));
        own.copied().collect()
    });
    VenueRecords {
        fine: Arc::default(),
        funding: rates.collect(),
        books: books.collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases().cases / 4, ..cases() })]

    #[test]
    fn what_is_recorded_later_changes_nothing_before(scene in scene(), part in 0.0..1.0f64) {
        let all = at_venue(&scene, &scene.records);
        let place = (all.len() as f64 * part) as usize;
        let last = all[place].0;
        let known = at_venue(&scene, &until(&scene.records, last));
        prop_assert_eq!(&all[..=place], &known[..=place]);
    }
}

/// A property over sessions in which nothing happens would hold of anything.
#[test]
fn the_random_sessions_reach_every_rule() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..600 {
        let scene = scene().new_tree(&mut runner).unwrap().current();
        play(&scene, &mut seen).unwrap();
    }
    let expected = [
        "Paid Borrowing",
        "Paid Funding",
        "Paid Insurance",
        "BelowMinimum",
        "Cancelled",
        "GroupFilled",
        "InsufficientCash",
        "InsufficientMargin",
        "InvalidPrice",
        "InvalidQuantity",
        "Liquidated",
        "NothingToReduce",
        "ParentEnded",
        "Stale",
        "TimedOut",
        "Unfilled",
        "NoRate",
        "WouldTake",
        "filled beside a hole",
        "filled by maker",
        "filled by rules of its own",
        "filled by taker",
        "filled in another currency",
        "liquidated in another currency",
        "paid in another currency",
        "liquidating",
        "paid a recorded funding",
        "part by maker",
        "part by taker",
        "taken from a book",
    ];
    for one in expected {
        assert!(seen.contains(one), "{one} is not in {seen:?}");
    }
}

/// What of a symbol's own rules, recorded books and rates, and holes of finer bars took part.
fn of_records(scene: &Scene, happened: &[Outcome], fine: &[Vec<Bar>]) -> Vec<String> {
    let mut seen = Vec::new();
    for outcome in happened {
        match outcome {
            Outcome::Filled(fill) => {
                let name = NAMES[fill.symbol.index()];
                if !fill.is_maker && !scene.records.books.is_empty() {
                    seen.push("taken from a book".to_owned());
                }
                if !fill.currency.is_reporting() {
                    let is_forced = fill.order.0 >= OrderId::OF_EXCHANGE;
                    let word = if is_forced { "liquidated" } else { "filled" };
                    seen.push(format!("{word} in another currency"));
                }
                let own = scene.execution.symbols.get(name);
                if own.is_some_and(|own| own.lot_size.is_some() || own.fee_bps.is_some()) {
                    seen.push("filled by rules of its own".to_owned());
                }
                let bars = &fine[fill.symbol.index()];
                let has_hole = |pair: &[Bar]| pair[0].closed_at < pair[1].opened_at;
                if bars.windows(2).any(has_hole) {
                    seen.push("filled beside a hole".to_owned());
                }
            }
            Outcome::Paid(payment) if !payment.currency.is_reporting() => {
                seen.push("paid in another currency".to_owned());
            }
            Outcome::Paid(payment)
                if payment.kind == PaymentKind::Funding && !scene.records.funding.is_empty() =>
            {
                seen.push("paid a recorded funding".to_owned());
            }
            _ => {}
        }
    }
    seen
}

fn kind_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Filled(fill) => {
            let size = if fill.remaining.is_zero() {
                "filled"
            } else {
                "part"
            };
            format!(
                "{size} by {}",
                if fill.is_maker { "maker" } else { "taker" }
            )
        }
        Outcome::Expired { expiry, .. } => format!("{expiry:?}"),
        Outcome::Liquidating(_) => "liquidating".to_owned(),
        Outcome::Paid(payment) => format!("Paid {:?}", payment.kind),
    }
}
