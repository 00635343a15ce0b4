//! Orders that open and wait: called off when they are wanted no more, and what they have filled is
//! closed in the same step.

use super::orders::{expiries, fills, free, run};
use super::*;
use crate::backtest::reexecute;
use crate::execution::{OrderReason, TimeInForce};
use crate::fusion::{FailureReason, PredictionFailure};
use crate::strategy::EntryOrder;

/// 60 wanted at 100, and 10 in a slice.
fn slow() -> SessionConfig {
    let mut config = free(false);
    config.execution.participation = Some(0.5);
    config
}

const CALM: (f64, f64, f64, f64, f64) = (100.0, 100.5, 98.5, 100.0, 20.0);

fn told(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = rows.iter().map(|(q, p)| ((*q).to_owned(), (*p).to_owned()));
    owned.collect()
}

/// The closings that were decided, with their quantities and hours.
fn closings(events: &[Event]) -> Vec<(OrderReason, String, i64)> {
    let approved = events.iter().filter_map(|event| match event {
        Event::OrderApproved(order) if !order.reason.opens() => Some(order),
        _ => None,
    });
    approved
        .map(|order| {
            let hour = order.decided_at.as_nanos() / HOUR;
            (order.reason, order.quantity.to_string(), hour)
        })
        .collect()
}

fn trips(events: &[Event]) -> usize {
    let is_trip = |event: &&Event| matches!(event, Event::BreakerTripped { .. });
    events.iter().filter(is_trip).count()
}

/// 20 are bought by the third hour, which takes 4 of 100 from the account.
const FALL: [(f64, f64, f64, f64, f64); 6] = [
    CALM,
    CALM,
    (100.0, 100.0, 79.0, 80.0, 20.0),
    (80.0, 80.0, 70.0, 75.0, 20.0),
    (75.0, 80.0, 70.0, 75.0, 20.0),
    (75.0, 80.0, 70.0, 75.0, 20.0),
];

#[test]
fn a_breaker_ends_an_entry_that_volume_has_cut_and_closes_in_the_same_step() {
    let mut config = slow();
    config.risk.max_drawdown = Some(0.03);
    let (result, events) = run(&config, &FALL, &[0.9; 6]);
    assert_eq!(trips(&events), 1);
    assert_eq!(
        closings(&events),
        [(OrderReason::Breaker, "-20".to_owned(), 3)]
    );
    assert_eq!(expiries(&events), [Expiry::Cancelled]);
    let expected = [("10", "100"), ("10", "100"), ("-10", "80"), ("-10", "75")];
    assert_eq!(fills(&events), told(&expected));
    assert!(result.open_positions.is_empty());
}

#[test]
fn a_breaker_ends_an_entry_that_rests() {
    let mut config = slow();
    config.risk.max_drawdown = Some(0.03);
    config.strategy.entry = EntryOrder::Limit {
        offset_bps: 100.0,
        valid_bars: 10,
        time_in_force: crate::strategy::EntryTime::Gtc,
    };
    let (result, events) = run(&config, &FALL, &[0.9; 6]);
    assert_eq!(
        closings(&events),
        [(OrderReason::Breaker, "-20".to_owned(), 3)]
    );
    assert_eq!(expiries(&events), [Expiry::Cancelled]);
    let expected = [("10", "99"), ("10", "99"), ("-10", "80"), ("-10", "75")];
    assert_eq!(fills(&events), told(&expected));
    assert!(result.open_positions.is_empty());
}

#[test]
fn what_fills_before_a_cancellation_arrives_is_closed_by_the_next_step() {
    let mut config = slow();
    config.risk.max_drawdown = Some(0.03);
    config.execution.latency_ms = 250;
    let mut rows = FALL;
    (rows[3].4, rows[4].4) = (100.0, 100.0);
    let (result, events) = run(&config, &rows, &[0.9; 6]);
    // At the fourth hour's open half of 100 is to be had: 20 are sold, and 30 of the 40 that wait
    // are bought, because their cancellation is there a quarter of a second later.
    let quantities: Vec<String> = fills(&events).into_iter().map(|one| one.0).collect();
    assert_eq!(quantities, ["10", "10", "-20", "30", "-30"]);
    assert_eq!(expiries(&events), [Expiry::Cancelled]);
    let breaker = |quantity: &str, hour| (OrderReason::Breaker, quantity.to_owned(), hour);
    assert_eq!(closings(&events), [breaker("-20", 3), breaker("-30", 4)]);
    assert!(result.open_positions.is_empty());
}

#[test]
fn an_entry_that_the_signal_wants_no_more_ends_and_what_it_has_bought_is_sold() {
    let config = slow();
    let (_, events) = run(&config, &[CALM; 5], &[0.9, 0.9, 0.0, 0.0, 0.0]);
    assert_eq!(
        closings(&events),
        [(OrderReason::Exit, "-20".to_owned(), 3)]
    );
    let expected = [("10", "100"), ("10", "100"), ("-10", "100"), ("-10", "100")];
    assert_eq!(fills(&events), told(&expected));
    // Between the thresholds it is kept, as a position is.
    let (_, events) = run(&config, &[CALM; 5], &[0.9, 0.9, 0.1, 0.1, 0.1]);
    assert_eq!(fills(&events), told(&[("10", "100"); 4]));
    assert!(expiries(&events) == [Expiry::SessionEnded], "{events:?}");
}

#[test]
fn the_holding_time_keeps_what_was_bought_but_not_what_was_not() {
    let mut config = slow();
    config.strategy.minimum_holding_bars = 4;
    let (_, events) = run(
        &config,
        &[CALM; 8],
        &[0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    );
    // Bought at the opens of the second and third hour; four bars later the first time is over.
    assert_eq!(
        closings(&events),
        [(OrderReason::Exit, "-20".to_owned(), 5)]
    );
    assert_eq!(expiries(&events), [Expiry::Cancelled]);
    let expected = [("10", "100"), ("10", "100"), ("-10", "100"), ("-10", "100")];
    assert_eq!(fills(&events), told(&expected));
}

#[test]
fn a_turn_waits_until_the_entry_before_it_is_over() {
    let mut config = slow();
    config.strategy.allow_short = true;
    config.portfolio.allow_short = true;
    let rows = [CALM, CALM, CALM, CALM, CALM];
    let (_, events) = run(&config, &rows, &[0.9, 0.9, -0.9, -0.9, -0.9]);
    // The close of 20 takes two slices; the turn's other half is decided when it is done.
    assert_eq!(
        closings(&events),
        [(OrderReason::Exit, "-20".to_owned(), 3)]
    );
    let entries = events.iter().filter_map(|event| match event {
        Event::OrderApproved(order) if order.reason.opens() => Some(*order),
        _ => None,
    });
    let hours: Vec<i64> = entries
        .map(|order| order.decided_at.as_nanos() / HOUR * i64::from(order.quantity.signum()))
        .collect();
    assert_eq!(hours, [1, -5]);
}

/// Steps of two symbols, of which the second may have no bar, with an answer or a failure for the
/// first.
fn steps(config: &SessionConfig, rows: &[(bool, Option<f32>)]) -> Vec<Event> {
    let mut session = Session::new(SessionSetup {
        config,
        config_digest: String::new(),
        symbols: vec!["A".to_owned(), "B".to_owned()],
        time_frame: "1h".parse().unwrap(),
        models: vec![model()],
    })
    .unwrap();
    let mut journal = JsonLines::new(Vec::new());
    for (hour, (has_both, score)) in (1..).zip(rows) {
        let (open, high, low, close, volume) = CALM;
        let bar = Bar {
            high,
            low,
            volume,
            ..bar(hour, open, close)
        };
        let prediction = score.map(|score| Prediction {
            symbol: SymbolId(0),
            closed_at: bar.closed_at,
            probabilities: [0.0, 1.0 - score, score],
            model: ModelRef(0),
        });
        let failure = PredictionFailure {
            symbol: SymbolId(0),
            model: ModelRef(0),
            reason: FailureReason::Error,
        };
        let input = StepInput {
            closed_at: bar.closed_at,
            bars: &[Some(&bar), has_both.then_some(&bar)],
            predictions: &[prediction],
            failures: if prediction.is_none() {
                &[failure]
            } else {
                &[]
            },
            fine: &[],
        };
        session.step(&input, &mut journal).unwrap();
    }
    session.finish(&mut journal).unwrap();
    let journal = journal.into_inner().unwrap();
    replay(journal.as_slice(), None).unwrap();
    let entries = read_entries(journal.as_slice());
    entries.map(|entry| entry.unwrap().event).collect()
}

#[test]
fn silent_data_calls_off_what_opens_and_keeps_what_is_held() {
    let mut config = slow();
    config.risk.max_silence_bars = Some(1);
    let told_off = steps(
        &config,
        &[
            (true, Some(0.9)),
            (true, Some(0.9)),
            (false, Some(0.9)),
            (false, Some(0.9)),
            (false, Some(0.9)),
        ],
    );
    assert_eq!(expiries(&told_off), [Expiry::Cancelled]);
    // Of the hours 2, 3 and 4; the breaker trips when the fourth closes.
    assert_eq!(fills(&told_off), told(&[("10", "100"); 3]));
    assert_eq!(closings(&told_off), []);
}

#[test]
fn a_model_that_fails_ends_its_entry_where_the_fail_safe_flattens() {
    let mut config = slow();
    let rows = [
        (true, Some(0.9)),
        (true, Some(0.9)),
        (true, None),
        (true, None),
        (true, None),
    ];
    let events = steps(&config, &rows);
    assert_eq!(
        closings(&events),
        [(OrderReason::FailSafe, "-20".to_owned(), 3)]
    );
    let expected = [("10", "100"), ("10", "100"), ("-10", "100"), ("-10", "100")];
    assert_eq!(fills(&events), told(&expected));
    config.strategy.fail_safe = FailSafe::Hold;
    let events = steps(&config, &rows);
    assert_eq!(fills(&events), told(&[("10", "100"); 4]));
    assert_eq!(closings(&events), []);
}

#[test]
fn closings_only_reduce() {
    let config = slow();
    let (_, events) = run(&config, &[CALM; 4], &[0.9, 0.9, 0.0, 0.0]);
    let close = events.iter().find_map(|event| match event {
        Event::OrderApproved(order) if !order.reason.opens() => Some(order.terms),
        _ => None,
    });
    let terms = close.unwrap();
    assert!(terms.reduce_only && terms.time_in_force == TimeInForce::Gtc);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_opened_after_a_breaker_and_replay_finds_no_difference(
        table in table(),
        allow_short: bool,
        waits_for_price: bool,
        part in prop_oneof![Just(None), Just(Some(0.5)), Just(Some(1.0))],
    ) {
        let mut config = config(allow_short);
        // Bars of 40, so that an entry of about 60 takes several.
        config.execution.participation = part;
        config.execution.lot_size = 0.001;
        config.risk.max_drawdown = Some(0.05);
        config.strategy.allow_short = allow_short;
        if waits_for_price {
            config.strategy.entry = EntryOrder::Limit {
                offset_bps: 150.0,
                valid_bars: 5,
                time_in_force: crate::strategy::EntryTime::Gtc,
            };
        }
        let mut market = market(&table);
        let mut series = market.series().to_vec();
        for bar in series.iter_mut().flat_map(|one| &mut one.bars) {
            bar.volume = 40.0;
        }
        market = Market::new(series).unwrap();
        let spec = BacktestSpec { market: &market, config: &config, config_digest: "00" };
        let mut journal = JsonLines::new(Vec::new());
        run_backtest(&spec, &mut signals(&table, &market), &mut journal).unwrap();
        let journal = journal.into_inner().unwrap();
        let mut opening = BTreeMap::new();
        let mut held = [Quantity::ZERO; 3];
        let mut closes_waiting = BTreeMap::new();
        let mut stopped_at = None;
        let mut stood = [Quantity::ZERO; 3];
        for entry in read_entries(journal.as_slice()).map(Result::unwrap) {
            match entry.event {
                Event::OrderApproved(order) if order.reason.opens() => {
                    prop_assert_eq!(stopped_at, None);
                    opening.insert(order.id, order);
                }
                Event::OrderApproved(order) => {
                    closes_waiting.insert(order.id, order.symbol);
                    if stopped_at == Some(entry.at) {
                        stood[order.symbol.index()] = Quantity::ZERO;
                    }
                }
                Event::OrderFilled(fill) => {
                    held[fill.symbol.index()] += fill.quantity;
                    let is_late = stopped_at.is_some() && opening.contains_key(&fill.order);
                    prop_assert!(!is_late, "order {:?} opens after the stop", fill.order);
                    if fill.remaining.is_zero() {
                        closes_waiting.remove(&fill.order);
                    }
                }
                Event::OrderExpired { order, .. } => {
                    closes_waiting.remove(&order);
                }
                Event::BreakerTripped { .. } | Event::Ruined { .. } if stopped_at.is_none() => {
                    stopped_at = Some(entry.at);
                    stood = held;
                    for symbol in closes_waiting.values() {
                        stood[symbol.index()] = Quantity::ZERO;
                    }
                }
                _ => {}
            }
        }
        // Whatever was held at the stop was on its way out in that very step.
        prop_assert_eq!(stood, [Quantity::ZERO; 3]);
        let found = reexecute(&market, &config, journal.as_slice()).unwrap();
        prop_assert_eq!(found.differences, Vec::<String>::new());
    }
}
