//! Orders of every kind, at every latency, never get a price from before they were there.
//!
//! What strategies can do through a session is tested from outside, in `tests/tests/lookahead.rs`;
//! here orders are made by hand, so that those are among them which no strategy makes yet.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::execution::{
    Exchange, ExchangeSetup, ExecutionConfig, Order, OrderId, OrderKind, OrderReason, OrderTerms,
    Outcome, TimeInForce,
};
use crate::portfolio::{Currencies, PortfolioConfig};
use crate::ports::{Broker, BrokerTick};
use crate::types::{Bar, Cash, Price, Quantity, SymbolId, Timestamp};

const HOUR: i64 = 3_600_000_000_000;
const STEPS: i64 = 60;

fn exchange(latency_ms: u64, through_ticks: u32) -> Exchange {
    let execution = ExecutionConfig {
        latency_ms,
        tick_size: 0.01,
        order_expiry_bars: 5,
        limit_through_ticks: through_ticks,
        ..ExecutionConfig::costing(0.0, 0.0)
    };
    let portfolio = PortfolioConfig {
        allow_short: true,
        margin: None,
        ..PortfolioConfig::with_cash(1e6)
    };
    Exchange::new(&ExchangeSetup {
        execution: &execution,
        portfolio: &portfolio,
        currencies: &Currencies::single("", Cash::from_f64(1e6).unwrap(), 1),
        names: &["A"],
        time_frame: "1h".parse().unwrap(),
        records: &crate::types::VenueRecords::default(),
    })
    .unwrap()
}

/// Bars that jump so far that their ranges seldom meet, so that a price tells of which bar it is.
fn bars(rng: &mut ChaCha8Rng) -> Vec<Bar> {
    let bar = |step: i64| {
        let mut price = || (10_000.0 + 90_000.0 * rng.random::<f64>()).round() / 100.0;
        let (base, width) = (price(), price() / 500.0);
        let mut inside = || ((base + width * rng.random::<f64>()) * 100.0).round() / 100.0;
        let (open, close) = (inside(), inside());
        Bar {
            opened_at: Timestamp::from_nanos(step * HOUR),
            closed_at: Timestamp::from_nanos((step + 1) * HOUR),
            open,
            high: open.max(close) + 0.05,
            low: open.min(close) - 0.05,
            close,
            volume: 1e6,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    };
    (0..STEPS).map(bar).collect()
}

/// An order of any kind near the last close, decided at `at`.
fn order(rng: &mut ChaCha8Rng, id: u64, close: f64, at: Timestamp) -> Order {
    let mut near = || {
        let away = 1.0 + 0.4 * (rng.random::<f64>() - 0.5);
        Price::from_f64((close * away * 100.0).round() / 100.0).unwrap()
    };
    let (price, trigger) = (near(), near());
    let kind = match rng.random::<u32>() % 6 {
        0 => OrderKind::Market,
        1 => OrderKind::Limit { price },
        2 => OrderKind::Stop { trigger },
        3 => OrderKind::StopLimit { trigger, price },
        4 => OrderKind::TakeProfit { trigger },
        _ => OrderKind::TrailingStop {
            distance_micro_bps: 500_000_000,
        },
    };
    let time_in_force = match rng.random::<u32>() % 3 {
        0 => TimeInForce::Gtc,
        1 => TimeInForce::Ioc,
        _ => TimeInForce::Fok,
    };
    let units: i128 = if rng.random::<bool>() {
        100_000_000
    } else {
        -100_000_000
    };
    let is_child = id > 0 && rng.random::<u32>() % 8 == 0;
    Order {
        id: OrderId(id),
        symbol: SymbolId(0),
        quantity: Quantity::from_units(units),
        decided_at: at,
        reason: OrderReason::Entry,
        model: None,
        terms: OrderTerms {
            kind,
            time_in_force,
            reduce_only: rng.random::<u32>() % 8 == 0,
            group: (rng.random::<u32>() % 4 == 0).then_some(id / 3),
            parent: is_child.then(|| OrderId(id - 1)),
            ..OrderTerms::default()
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_order_of_any_kind_fills_before_it_is_there_or_better_than_its_bar(
        seed: u64,
        latency_ms in prop_oneof![Just(0_u64), 1..10_000_000_u64],
        through_ticks in 0_u32..2,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut exchange = exchange(latency_ms, through_ticks);
        let latency = i64::try_from(latency_ms).unwrap() * 1_000_000;
        let bars = bars(&mut rng);
        let mut decided: BTreeMap<OrderId, Timestamp> = BTreeMap::new();
        for bar in &bars {
            let tick = BrokerTick {
                closed_at: bar.closed_at,
                bars: &[Some(bar)],
                fine: &[],
            };
            while let Some(outcome) = exchange.poll(&tick) {
                let Outcome::Filled(fill) = outcome else { continue };
                let at = decided[&fill.order];
                prop_assert!(bar.opened_at >= at, "{fill:?} in the bar that decided it");
                prop_assert!(bar.closed_at.nanos_since(at) > latency, "{fill:?} at {latency}");
                prop_assert!(fill.filled_at >= at);
                // The bar's prices as money, in which the exchange reckons.
                let [low, high] = [bar.low, bar.high].map(|one| Price::from_f64(one).unwrap());
                let is_purchase = fill.quantity > Quantity::ZERO;
                let fair = if is_purchase { fill.price >= low } else { fill.price <= high };
                prop_assert!(fair, "{fill:?} of {bar:?}");
            }
            for _ in 0..rng.random::<u32>() % 4 {
                let id = decided.len() as u64;
                let order = order(&mut rng, id, bar.close, bar.closed_at);
                decided.insert(order.id, order.decided_at);
                exchange.take_order(order);
            }
        }
    }
}
