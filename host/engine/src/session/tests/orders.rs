//! Orders that wait: entries by limit, protection at the exchange, partial fills, margin.

use super::*;
use crate::execution::{FundingConfig, OrderKind, OrderReason};
use crate::portfolio::{MarginConfig, MarginMode};
use crate::strategy::{EntryOrder, Protection};

/// Runs a table of one symbol's bars `(open, high, low, close, volume)` with scores.
pub(super) fn run(
    config: &SessionConfig,
    rows: &[(f64, f64, f64, f64, f64)],
    scores: &[f32],
) -> (BacktestResult, Vec<Event>) {
    let bars = (1..)
        .zip(rows)
        .map(|(hour, &(open, high, low, close, volume))| Bar {
            high,
            low,
            volume,
            ..bar(hour, open, close)
        });
    let market = Market::new(vec![BarSeries {
        name: "S0".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars: bars.collect(),
    }])
    .unwrap();
    let predictions = (1..).zip(scores).map(|(hour, score)| Prediction {
        symbol: SymbolId(0),
        closed_at: Timestamp::from_nanos(hour * HOUR),
        probabilities: [(1.0 - score) / 2.0, 0.0, (1.0 + score) / 2.0],
        model: ModelRef(0),
    });
    let signals = PrecomputedSignals::new(&market, vec![model()], predictions.collect());
    let spec = BacktestSpec {
        market: &market,
        config,
        config_digest: "00",
    };
    let mut journal = JsonLines::new(Vec::new());
    let result = run_backtest(&spec, &mut signals.unwrap(), &mut journal).unwrap();
    let journal = journal.into_inner().unwrap();
    // Whatever a session journals, replay finds consistent.
    replay(journal.as_slice(), None).unwrap();
    let entries = read_entries(journal.as_slice());
    (result, entries.map(|entry| entry.unwrap().event).collect())
}

pub(super) fn free(allow_short: bool) -> SessionConfig {
    let mut config = config(allow_short);
    config.execution = ExecutionConfig {
        lot_size: 0.1,
        tick_size: 0.01,
        order_expiry_bars: 1,
        ..ExecutionConfig::costing(0.0, 0.0)
    };
    config.strategy.minimum_holding_bars = 0;
    config
}

pub(super) fn fills(events: &[Event]) -> Vec<(String, String)> {
    let fills = events.iter().filter_map(|event| match event {
        Event::OrderFilled(fill) => Some((fill.quantity.to_string(), fill.price.to_string())),
        _ => None,
    });
    fills.collect()
}

pub(super) fn expiries(events: &[Event]) -> Vec<Expiry> {
    let ended = events.iter().filter_map(|event| match event {
        Event::OrderExpired { reason, .. } => Some(*reason),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_position_is_protected_from_its_first_fill_and_its_stop_ends_the_rest() {
    let mut config = free(false);
    config.strategy.protection = Protection {
        stop_loss: Some(0.05),
        take_profit: Some(0.10),
        trailing_stop: None,
    };
    config.execution.participation = Some(0.5);
    // 6000 / 100 = 60 wanted; a slice gives 30, so the entry takes two bars; the third falls to
    // the stop at 95 and its slice of 100 takes all of it.
    let rows = [
        (100.0, 100.0, 100.0, 100.0, 60.0),
        (100.0, 101.0, 99.0, 100.0, 60.0),
        (100.0, 101.0, 99.0, 100.0, 60.0),
        (98.0, 98.0, 90.0, 91.0, 200.0),
        (91.0, 92.0, 90.0, 91.0, 60.0),
    ];
    let (result, events) = run(&config, &rows, &[0.5, 0.5, 0.5, 0.0, 0.0]);
    let told = fills(&events);
    assert_eq!(
        told,
        [("30", "100"), ("30", "100"), ("-60", "95")].map(|(q, p)| (q.to_owned(), p.to_owned()))
    );
    assert_eq!(expiries(&events), [Expiry::GroupFilled]);
    assert_eq!(result.trades[0].exit_reason, OrderReason::Protection);
    assert!(result.open_positions.is_empty());
}

#[test]
fn a_stop_that_a_slice_cannot_fill_goes_on_at_the_next_open() {
    let mut config = free(false);
    config.strategy.protection.stop_loss = Some(0.05);
    config.strategy.protection.take_profit = Some(0.5);
    config.execution.participation = Some(0.5);
    let rows = [
        (100.0, 100.0, 100.0, 100.0, 200.0),
        (100.0, 101.0, 99.0, 100.0, 200.0),
        (98.0, 98.0, 90.0, 91.0, 40.0),
        (90.0, 90.5, 89.0, 90.0, 200.0),
    ];
    let (_, events) = run(&config, &rows, &[0.5, 0.5, 0.5, 0.5]);
    let told = fills(&events);
    let expected = [("60", "100"), ("-20", "95"), ("-40", "90")];
    assert_eq!(told, expected.map(|(q, p)| (q.to_owned(), p.to_owned())));
}

/// A stop that fires before a turn arrives has sold what the turn would sell first: the position is
/// closed once, and the other side entered when that is known.
#[test]
fn a_turn_of_a_protected_position_closes_it_and_then_enters() {
    let mut config = free(true);
    config.strategy.allow_short = true;
    config.portfolio.margin = Some(MarginConfig {
        mode: MarginMode::Cross,
        leverage: 5.0,
        maintenance: 0.01,
        liquidation_fee_bps: 0.0,
    });
    config.strategy.protection.stop_loss = Some(0.05);
    config.execution.latency_ms = 60_000;
    let calm = |price: f64| (price, price, price, price, 1e4);
    let gap = (94.0, 94.0, 90.0, 90.0, 1e4);
    let rows = [calm(100.0), calm(100.0), gap, calm(90.0), calm(90.0)];
    let (result, events) = run(&config, &rows, &[0.5, -0.5, -0.5, -0.5, -0.5]);
    let mut held = Quantity::ZERO;
    let mut lowest = Quantity::ZERO;
    for event in &events {
        if let Event::OrderFilled(fill) = event {
            held += fill.quantity;
            lowest = lowest.min(held);
        }
    }
    assert!(held.signum() < 0, "it is short in the end: {events:?}");
    assert_eq!(lowest, held, "{events:?}");
    let entered = events.iter().filter_map(|event| match event {
        Event::OrderApproved(order) if order.quantity.signum() < 0 => Some(order.reason),
        _ => None,
    });
    let sides: Vec<OrderReason> = entered
        .filter(|one| *one != OrderReason::Protection)
        .collect();
    assert_eq!(sides, [OrderReason::Exit, OrderReason::Entry]);
    // What is short is what risk allows of the equity then, not that and what the stop had sold.
    let allowed = result.trades[0].quantity.to_f64();
    assert!(held.abs().to_f64() <= allowed * 1.2, "{held} {allowed}");
}

#[test]
fn an_entry_by_limit_waits_is_called_off_or_times_out() {
    let mut config = free(false);
    config.strategy.entry = EntryOrder::Limit {
        offset_bps: 100.0,
        valid_bars: 2,
        time_in_force: crate::strategy::EntryTime::PostOnly,
    };
    let calm = (100.0, 100.5, 99.5, 100.0, 10.0);
    let dip = (100.0, 100.5, 98.5, 100.0, 10.0);
    let (_, events) = run(&config, &[calm, calm, dip, calm], &[0.5, 0.5, 0.5, 0.5]);
    let first = events.iter().find_map(|event| match event {
        Event::OrderApproved(order) => Some(order.terms.kind),
        _ => None,
    });
    let price = "99".parse().unwrap();
    assert_eq!(first, Some(OrderKind::Limit { price }));
    assert_eq!(fills(&events)[0].1, "99");
    let (_, events) = run(&config, &[calm; 5], &[0.5, 0.5, 0.5, 0.5, 0.5]);
    assert_eq!(expiries(&events)[0], Expiry::TimedOut);
    assert!(fills(&events).is_empty());
    let (_, events) = run(&config, &[calm; 4], &[0.5, -0.5, 0.0, 0.0]);
    assert_eq!(expiries(&events), [Expiry::Cancelled]);
}

#[test]
fn a_margin_account_is_liquidated_and_pays_funding_and_the_ledger_explains_it() {
    let mut config = free(true);
    config.strategy.allow_short = true;
    config.risk.position_fraction = Some(4.0);
    config.risk.max_symbol_weight = Some(4.0);
    config.risk.max_gross_exposure = Some(4.0);
    config.risk.max_drawdown = Some(1.0);
    config.portfolio.margin = Some(MarginConfig {
        mode: MarginMode::Cross,
        leverage: 5.0,
        maintenance: 0.01,
        liquidation_fee_bps: 0.0,
    });
    config.execution.funding = Some(FundingConfig {
        interval_hours: 1,
        rate_bps: 1.0,
    });
    let rows = [
        (100.0, 100.0, 100.0, 100.0, 10.0),
        (100.0, 100.0, 100.0, 100.0, 10.0),
        (100.0, 100.0, 100.0, 100.0, 10.0),
        (99.0, 99.0, 60.0, 65.0, 10.0),
        (65.0, 66.0, 64.0, 65.0, 10.0),
    ];
    let (result, events) = run(&config, &rows, &[0.5, 0.5, 0.5, 0.5, 0.0]);
    let liquidated = events
        .iter()
        .filter(|event| matches!(event, Event::PositionLiquidated(_)));
    assert_eq!(liquidated.count(), 1);
    let paid = events
        .iter()
        .filter(|event| matches!(event, Event::Paid(_)));
    assert_eq!(paid.count(), 2, "at the opens of the third and fourth bar");
    assert_eq!(result.trades[0].exit_reason, OrderReason::Liquidation);
    let at: f64 = fills(&events)[1].1.parse().unwrap();
    assert!((75.0..76.0).contains(&at), "{at}");
}
