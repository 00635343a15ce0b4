//! Finer bars below the signal's, through the driver.

use std::sync::Arc;

use super::*;
use crate::backtest::{BacktestError, reexecute};
use crate::session::SetupError;
use crate::strategy::Protection;
use crate::types::VenueRecords;

/// Quarters of an hour, from `hour` on.
fn quarters(hour: i64, rows: &[Option<[f64; 4]>]) -> Vec<Bar> {
    let quarter = HOUR / 4;
    (0..)
        .zip(rows)
        .filter_map(|(number, row)| {
            let [open, high, low, close] = (*row)?;
            let opened_at = Timestamp::from_nanos(hour * HOUR + number * quarter);
            Some(Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(quarter),
                high,
                low,
                ..bar(1, open, close)
            })
        })
        .collect()
}

/// Four hours; the third has both the stop and the take-profit in it.
fn hours(fine: Option<Vec<Bar>>) -> Market {
    let hours = [
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 100.0, 100.0, 100.0],
        [100.0, 112.0, 88.0, 100.0],
        [100.0, 100.0, 100.0, 100.0],
    ];
    let bars = (1..)
        .zip(hours)
        .map(|(hour, [open, high, low, close])| Bar {
            high,
            low,
            volume: 10.0,
            ..bar(hour, open, close)
        });
    let series = |time_frame: &str, bars: Vec<Bar>| BarSeries {
        name: "S0".to_owned(),
        time_frame: time_frame.parse().unwrap(),
        bars,
    };
    let market = Market::new(vec![series("1h", bars.collect())]).unwrap();
    let Some(fine) = fine else { return market };
    let records = VenueRecords {
        fine: vec![series("15m", fine)].into(),
        ..VenueRecords::default()
    };
    market.with_records(records).unwrap()
}

fn protected() -> SessionConfig {
    let mut config = config(false);
    config.execution = ExecutionConfig {
        tick_size: 0.01,
        lot_size: 0.1,
        ..ExecutionConfig::costing(10.0, 0.0)
    };
    config.strategy.minimum_holding_bars = 0;
    config.strategy.protection = Protection {
        stop_loss: Some(0.1),
        take_profit: Some(0.1),
        trailing_stop: None,
    };
    config
}

fn trade(market: &Market, config: &SessionConfig) -> (BacktestResult, Vec<u8>) {
    let prediction = Prediction {
        symbol: SymbolId(0),
        closed_at: Timestamp::from_nanos(HOUR),
        probabilities: [0.1, 0.0, 0.9],
        model: ModelRef(0),
    };
    let silent = (2..5).map(|hour| Prediction {
        closed_at: Timestamp::from_nanos(hour * HOUR),
        ..prediction
    });
    let predictions = std::iter::once(prediction).chain(silent).collect();
    let mut signals = PrecomputedSignals::new(market, vec![model()], predictions).unwrap();
    let spec = BacktestSpec {
        market,
        config,
        config_digest: "00",
    };
    let mut journal = JsonLines::new(Vec::new());
    let result = run_backtest(&spec, &mut signals, &mut journal).unwrap();
    (result, journal.into_inner().unwrap())
}

fn exits(result: &BacktestResult) -> Vec<(String, String, i64)> {
    let exits = result.fills.iter().filter(|fill| fill.quantity.units() < 0);
    exits
        .map(|fill| {
            let minute = fill.filled_at.as_nanos() / (HOUR / 60);
            (fill.quantity.to_string(), fill.price.to_string(), minute)
        })
        .collect()
}

#[test]
fn finer_bars_say_which_exit_came_first_to_the_last_unit() {
    let config = protected();
    let exit = |price: &str, minute| vec![("-60".to_owned(), price.to_owned(), minute)];
    // The hour alone: the stop, because that is worse. 60 are bought at 100 with 6 of 10 000.
    let (plain, _) = trade(&hours(None), &config);
    assert_eq!(exits(&plain)[..1], exit("90", 180)[..]);
    // The third quarter of the third hour reaches 110 first.
    let whole = Some([100.0, 100.0, 100.0, 100.0]);
    let mut fine = quarters(1, &[whole, None, whole, whole]);
    fine.extend(quarters(
        2,
        &[
            whole,
            None,
            Some([105.0, 112.0, 104.0, 111.0]),
            Some([95.0, 100.0, 88.0, 100.0]),
        ],
    ));
    let market = hours(Some(fine));
    let (resolved, journal) = trade(&market, &config);
    assert_eq!(exits(&resolved)[..1], exit("110", 165)[..]);
    // 6 000 and 6 600, at 10 bps: 10 000 + 600 - 6 - 6.6.
    let at = resolved.equity[2].equity.to_string();
    assert_eq!(at, "10587.4");
    let found = reexecute(&market, &config, journal.as_slice()).unwrap();
    assert_eq!(found.differences, Vec::<String>::new());
    assert_eq!(found.cash_differences, [Cash::ZERO]);
    assert_eq!(found.fills, resolved.fills.len() as u64);
    // The same journal at the hours alone is another market, and says so.
    let plain = hours(None);
    let found = reexecute(&plain, &config, journal.as_slice()).unwrap();
    assert!(found.difference_count > 0);
}

#[test]
fn a_bar_without_finer_ones_is_met_itself() {
    let config = protected();
    let whole = Some([100.0, 100.0, 100.0, 100.0]);
    let market = hours(Some(quarters(1, &[whole, whole, whole, whole])));
    let (found, journal) = trade(&market, &config);
    let (plain, same) = trade(&hours(None), &config);
    assert_eq!(found.fills, plain.fills);
    assert_eq!(journal, same);
}

#[test]
fn finer_bars_that_lie_in_no_bar_are_refused_and_nothing_happens() {
    let market = hours(None);
    let config = protected();
    let setup = SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: vec!["S0".to_owned()],
        time_frame: market.time_frame(),
        models: vec![model()],
    };
    let mut session = Session::new(setup).unwrap();
    let (closed_at, bars) = market.steps().next().unwrap();
    let whole = Some([100.0, 100.0, 100.0, 100.0]);
    let (late, twice) = (quarters(1, &[whole]), quarters(0, &[whole, whole]));
    let backward = [twice[1], twice[0]];
    for fine in [&[&late[..]][..], &[&backward[..]], &[&twice[..], &[]]] {
        let input = StepInput {
            closed_at,
            bars: &bars,
            fine,
            predictions: &[],
            failures: &[],
        };
        let refused = session.step(&input, &mut NullJournal);
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("finer bar"), "{told}");
    }
    let input = StepInput {
        closed_at,
        bars: &bars,
        fine: &[&twice],
        predictions: &[],
        failures: &[],
    };
    session.step(&input, &mut NullJournal).unwrap();
}

/// Why a backtest does not begin.
fn refused(market: &Market, config: &SessionConfig) -> Vec<Problem> {
    let spec = BacktestSpec {
        market,
        config,
        config_digest: "",
    };
    let mut signals = PrecomputedSignals::new(market, vec![model()], vec![]).unwrap();
    let refused = run_backtest(&spec, &mut signals, &mut NullJournal);
    match refused.unwrap_err() {
        BacktestError::Setup(SetupError::Config(problems)) => problems,
        other => panic!("{other}"),
    }
}

#[test]
fn what_does_not_belong_to_the_venue_is_all_refused_before_the_first_step() {
    use crate::execution::{FundingConfig, SlippageConfig, SymbolConfig};
    let mut config = protected();
    config.execution.slippage = SlippageConfig::Book {
        max_age_ms: 1,
        otherwise_bps: 1.0,
    };
    config.execution.funding = Some(FundingConfig {
        interval_hours: 8,
        rate_bps: 1.0,
    });
    let own = SymbolConfig {
        max_leverage: Some(2.0),
        min_notional: Some(1e6),
        ..SymbolConfig::default()
    };
    config.execution.symbols.insert("NOPE".to_owned(), own);
    let records = VenueRecords {
        funding: vec![Arc::from(Vec::new())],
        ..VenueRecords::default()
    };
    let market = hours(None).with_records(records).unwrap();
    let run = |config: &SessionConfig| refused(&market, config);
    let keys: Vec<String> = run(&config).into_iter().map(|one| one.key).collect();
    let expected = [
        "execution.symbols.NOPE.min_notional",
        "execution.symbols.NOPE.max_leverage",
        "execution.symbols.NOPE",
        "execution.slippage",
        "execution.funding",
    ];
    assert_eq!(keys, expected);
    // One lot costs 10 005.6 at the lowest price of the data, and the account has 10 000.
    let mut config = protected();
    config.execution.lot_size = 113.7;
    let problems = run(&config);
    assert_eq!(problems[0].key, "execution.lot_size");
    assert!(
        problems[0].message.contains("of S0 is 113.7"),
        "{problems:?}"
    );
}

#[test]
fn a_tick_above_the_price_is_refused_by_its_key_with_everything_else() {
    use crate::backtest::{SweepError, SweepTable};
    use crate::execution::SymbolConfig;
    let market = hours(None);
    let refused = |config: &SessionConfig| refused(&market, config);
    let mut config = config(false);
    config.execution.tick_size = 1_000.0;
    config.execution.lot_size = 200.0;
    config.execution.fee_bps = -1.0;
    let problems = refused(&config);
    let keys: Vec<&str> = problems.iter().map(|one| one.key.as_str()).collect();
    let expected = [
        "execution.tick_size",
        "execution.lot_size",
        "execution.fee_bps",
    ];
    assert_eq!(keys, expected);
    let told = &problems[0].message;
    assert!(
        told.contains("of S0 is 1000, above its price (100 at"),
        "{told}"
    );
    let own = SymbolConfig {
        tick_size: Some(100.5),
        ..SymbolConfig::default()
    };
    let mut config = protected();
    config.execution.symbols.insert("S0".to_owned(), own);
    assert_eq!(refused(&config)[0].key, "execution.symbols.S0.tick_size");
    // A sweep refuses what a session refuses.
    let mut config = super::config(false);
    config.execution.tick_size = 1_000.0;
    let table = SweepTable::new(&market, &[model()], &[], &FusionConfig::default()).unwrap();
    match table.run(&config).unwrap_err() {
        SweepError::Unsupported(problems) => assert_eq!(problems[0].key, "execution.tick_size"),
        other => panic!("{other}"),
    }
}
