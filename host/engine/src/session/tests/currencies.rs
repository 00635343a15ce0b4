//! Accounts of several currencies: a second ledger in plain whole numbers, worked examples, and
//! everything that reads a session's results or its journal.

mod ledger;

use std::collections::BTreeMap;

use super::*;
use crate::backtest::{
    BacktestError, Rule, RuleSignals, StreamSpec, SweepTable, attribute, buy_and_hold, flat,
    rate_notes, reexecute, run_stream, total_flows,
};
use crate::portfolio::RateConfig;
use ledger::{
    Layout, account, check_books, check_flows, check_journal, check_result, first_valued, layout,
};

/// A backtest of an account that has a value by the table at some step; `None` where it never has,
/// which is told instead of a result.
fn valued(
    (layout, config): (Layout, &SessionConfig),
    table: &[[Cell; 3]],
) -> Option<(BacktestResult, Vec<u8>)> {
    let begins = first_valued(layout, table);
    match try_backtest(config, table) {
        Ok((result, journal)) => {
            let begun = result
                .equity
                .first()
                .map(|point| point.at.as_nanos() / HOUR);
            assert_eq!(begun, begins);
            begins.map(|_| (result, journal))
        }
        Err(BacktestError::NeverValued {
            steps, problems, ..
        }) => {
            assert_eq!(begins, None);
            assert!(steps > 0 && !problems.is_empty());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A table in which one symbol may never have a bar.
fn table() -> impl Generator<Value = Vec<[Cell; 3]>> {
    let silent = prop_oneof![7 => Just(3usize), 1 => 0usize..3];
    (super::table(), silent).prop_map(|(mut table, silent)| {
        for cell in table.iter_mut().filter_map(|cells| cells.get_mut(silent)) {
            cell.open = None;
        }
        table
    })
}

/// Amounts as their texts.
fn texts<T: ToString>(amounts: impl IntoIterator<Item = T>) -> Vec<String> {
    amounts.into_iter().map(|one| one.to_string()).collect()
}

fn equities(result: &BacktestResult) -> Vec<String> {
    texts(result.equity.iter().map(|point| point.equity))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_unit_of_any_currency_is_lost(table in table(), layout in layout(), kind in 0u8..4) {
        let config = account(layout, kind);
        let market = market(&table);
        let Some((result, journal)) = valued((layout, &config), &table) else {
            return Ok(());
        };
        let revalued = check_journal((layout, &config), &market, &journal);
        prop_assert_eq!(&check_result((layout, kind > 0), &market, &result), &revalued);
        check_flows(&market, &config, (&result, &revalued));
        check_books(&market, &result);
        let replayed = replay(journal.as_slice(), result.journal_digest.as_deref()).unwrap();
        prop_assert_eq!(&replayed.fills, &result.fills);
        prop_assert_eq!(replayed.portfolio.initial_cash(), result.initial_cash);
        let cash = |books: &[crate::portfolio::CurrencyBook]| -> Vec<Cash> {
            books.iter().map(|book| book.cash).collect()
        };
        prop_assert_eq!(cash(replayed.portfolio.books()), cash(&result.books));
        let again = reexecute(&market, &config, journal.as_slice()).unwrap();
        prop_assert_eq!(&again.differences, &Vec::<String>::new());
        prop_assert_eq!(again.cash_differences, vec![Cash::ZERO; layout.currencies().len()]);
        for other in [buy_and_hold(&market, &config, None), flat(&market, &config, None)] {
            let other = other.unwrap();
            prop_assert!(other.currencies.initial().iter().all(|one| *one >= Cash::ZERO));
            // A holder pays funding as well, with what is left of its cash or without.
            let revalued = check_result((layout, kind > 0), &market, &other);
            check_flows(&market, &config, (&other, &revalued));
            check_books(&market, &other);
        }
    }

    #[test]
    fn what_comes_later_changes_nothing_before(
        table in table(),
        layout in layout(),
        kind in 0u8..4,
        part in 0.0..1.0f64,
    ) {
        let config = account(layout, kind);
        let count = ((table.len() as f64 * part) as usize).max(1);
        let kept = |table: &[[Cell; 3]]| -> Vec<JournalEntry> {
            let journal = valued((layout, &config), table).map(|(_, journal)| journal);
            let lines = lines_until(&journal.unwrap_or_default(), count as i64).into_iter();
            lines.filter(|entry| !is_session_end(entry)).collect()
        };
        let (whole, cut) = (kept(&table), kept(&table[..count]));
        // The walk ends with the last prediction, which is no part of the market's past.
        let last = &table[count - 1];
        let speaks = last.iter().any(|one| one.score.is_some());
        if speaks && last.iter().any(|one| one.open.is_some()) {
            prop_assert_eq!(&whole, &cut);
        }
        let shared = whole.len().min(cut.len());
        prop_assert_eq!(&whole[..shared], &cut[..shared]);
    }

    #[test]
    fn blocks_of_a_stream_come_to_what_the_whole_comes_to(
        table in table(),
        layout in layout(),
        kind in 0u8..4,
    ) {
        let config = account(layout, kind);
        let market = market(&table);
        let rule = || {
            let rule = Rule::MomentumCrossover { fast_bars: 2, slow_bars: 4 };
            RuleSignals::new(rule, 3, None)
        };
        let spec = BacktestSpec { market: &market, config: &config, config_digest: "d" };
        let mut journal = JsonLines::new(Vec::new());
        let expected = run_backtest(&spec, &mut rule(), &mut journal);
        let symbols: Vec<String> = market.names().map(str::to_owned).collect();
        let spec = StreamSpec {
            symbols: &symbols,
            time_frame: market.time_frame(),
            config: &config,
            config_digest: "d",
        };
        let mut hours = 1..=table.len() as i64;
        let next = || Ok(hours.next().map(|hour| {
            let series = market.series().iter().map(|series| BarSeries {
                bars: series
                    .bars
                    .iter()
                    .filter(|bar| bar.closed_at.as_nanos() == hour * HOUR)
                    .copied()
                    .collect(),
                ..series.clone()
            });
            Market::new(series.collect()).unwrap()
        }));
        let mut journal = JsonLines::new(Vec::new());
        let found = run_stream(&spec, next, &mut rule(), &mut journal, |_| ());
        let (expected, found) = match (expected, found) {
            (Ok(expected), Ok(found)) => (expected, found),
            (Err(expected), Err(found)) => {
                let is_never = matches!(expected, BacktestError::NeverValued { .. });
                prop_assert!(is_never, "{expected}");
                prop_assert_eq!(expected.to_string(), found.to_string());
                return Ok(());
            }
            others => panic!("{others:?}"),
        };
        prop_assert_eq!(found.waited_steps, expected.waited_steps);
        prop_assert_eq!(found.unknown_rates(), expected.unknown_rates());
        prop_assert_eq!(&found.journal_digest, &expected.journal_digest);
        prop_assert_eq!(found.final_equity, expected.final_equity());
        prop_assert_eq!(found.costs, expected.costs);
        prop_assert_eq!(found.books, expected.books);
        prop_assert_eq!(found.initial_cash, expected.initial_cash);
    }
}

/// A property over accounts to which nothing happens would hold of anything.
#[test]
fn the_random_accounts_reach_what_they_are_about() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..150 {
        let made = (table(), layout(), 0u8..4).new_tree(&mut runner).unwrap();
        let (table, layout, kind) = made.current();
        let config = account(layout, kind);
        let market = market(&table);
        let Some((result, _)) = valued((layout, &config), &table) else {
            *seen.entry("never valued").or_default() += 1;
            continue;
        };
        let total = total_flows(&market, &config, &result).unwrap();
        let foreign = |fill: &&Fill| !fill.currency.is_reporting();
        let facts = [
            (
                "filled in another currency",
                result.fills.iter().any(|one| foreign(&one)),
            ),
            ("currency effect", !total.currency.is_zero()),
            ("interest", !total.interest.is_zero()),
            ("funding", !total.funding.is_zero()),
            ("liquidation", !total.liquidation.is_zero()),
            ("no rate", result.refusals.contains_key(&Refusal::NoRate)),
            ("waited for rates", result.waited_steps > 0),
        ];
        for (name, _) in facts.iter().filter(|(_, is)| *is) {
            *seen.entry(name).or_default() += 1;
        }
    }
    for name in [
        "filled in another currency",
        "currency effect",
        "interest",
        "funding",
        "liquidation",
        "no rate",
        "waited for rates",
        "never valued",
    ] {
        assert!(seen.contains_key(name), "{name} is not in {seen:?}");
    }
}

/// Closes of each hour for three symbols, with a score for the second now and then.
fn quiet(hours: &[([Option<f64>; 3], Option<f32>)]) -> Vec<[Cell; 3]> {
    let cells = |(closes, score): &([Option<f64>; 3], Option<f32>)| {
        [0, 1, 2].map(|symbol| Cell {
            open: closes[symbol],
            close: closes[symbol].unwrap_or(1.0),
            score: score.filter(|_| symbol == 1),
        })
    };
    hours.iter().map(cells).collect()
}

/// Without costs, so that a reader can follow every number.
fn plain(kind: u8) -> SessionConfig {
    let mut config = account(Layout::Direct, kind);
    config.execution = ExecutionConfig {
        symbols: config.execution.symbols.clone(),
        lot_size: 0.001,
        ..ExecutionConfig::costing(0.0, 0.0)
    };
    config.risk.position_fraction = Some(0.5);
    config.strategy.minimum_holding_bars = 0;
    config.portfolio.max_rate_age_bars = Some(3);
    config
}

#[test]
fn equity_a_purchase_and_a_fall_of_the_currency_worked_by_hand() {
    // The account begins with 10,000 X and 150 Y of 20 X each: 13,000 X. Half of it is 6,500 X or
    // 325 Y at 20, so the spot account's 150 Y buy 15 at 10, the rest is cut. Then Y falls to 16:
    // 150 Y x 4 X are lost; then the position rises to 11, which makes 15 Y of 16 X.
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        ([Some(16.0), Some(10.0), Some(1.0)], None),
        ([Some(16.0), Some(11.0), Some(1.0)], Some(0.9)),
    ]);
    let (result, _) = backtest(&config, &table);
    assert_eq!(equities(&result), ["13000", "13000", "12400", "12640"]);
    let cash = texts(result.equity.iter().map(|point| point.cash));
    assert_eq!(cash, ["13000", "10000", "10000", "10000"]);
    assert_eq!(result.fills.len(), 1);
    assert_eq!(result.fills[0].quantity.to_string(), "15");
    assert_eq!(result.fills[0].currency.index(), 1);
    assert_eq!(result.costs.turnover.to_string(), "3000");
    let market = market(&table);
    let total = total_flows(&market, &config, &result).unwrap();
    assert_eq!(
        (total.gross.to_string(), total.currency.to_string()),
        ("240".into(), "-600".into())
    );
    let exposure = texts(result.equity.iter().map(|point| point.gross_exposure));
    assert_eq!(exposure, ["0", "3000", "2400", "2640"]);
    // Doing nothing: 10,000 X and 150 Y. Holding: a third of 13,000 X in each symbol, 216.666.. Y
    // in S1, whose lots of 0.001 at 10 take 216.66; 4333.33333333 X in S0 at 20, in S2 at 1.
    let idle = flat(&market, &config, None).unwrap();
    assert_eq!(equities(&idle), ["13000", "13000", "12400", "12400"]);
    let held = buy_and_hold(&market, &config, None).unwrap();
    // 216.666 S0 lose 4 each; 216.66666666 Y lose 4 each: -866.664 - 866.66666664. Then 21.666 Y
    // of 16.
    assert_eq!(
        equities(&held),
        ["13000", "13000", "11266.66933336", "11613.32533336"]
    );
}

#[test]
fn risk_counts_in_the_reporting_currency_and_so_do_its_breakers() {
    // 13,000 X; an account that may borrow buys the whole 325 Y's worth, 32.5 at 10. Y falls from
    // 20 to 2: 150 Y and a position that is borrowed for. 10,000 + 150 x 2 = 10,300: a fall of 20.8
    // per cent trips the breaker at a fifth, and the position is closed at the next open.
    let mut config = plain(1);
    config.risk.max_drawdown = Some(0.2);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        ([Some(2.0), Some(10.0), Some(1.0)], None),
        ([Some(2.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (result, _) = backtest(&config, &table);
    assert_eq!(equities(&result), ["13000", "13000", "10300", "10300"]);
    let fills = texts(result.fills.iter().map(|fill| fill.quantity));
    assert_eq!(fills, ["32.5", "-32.5"]);
    assert!(result.breaker_tripped);
    let cash = texts(result.books.iter().map(|book| book.cash));
    assert_eq!(cash, ["10000", "150"]);
    // An order may be worth 5,000 X at most, and 6,500 are wanted.
    config.risk.max_order_notional = Some(5_000.0);
    let (result, _) = backtest(&config, &table);
    assert_eq!(result.refusals[&Refusal::OrderNotional], 1);
}

#[test]
fn a_rate_that_arrives_late_is_waited_for_and_one_that_is_too_old_opens_nothing() {
    // Nobody knows what 150 Y are worth before S0 trades, in hour 2; its close in hour 1 of others
    // changes nothing. In hours 3 to 6 it is silent; after 3 bars it is too old to open by.
    let config = plain(0);
    let silent = |score| ([None, Some(10.0), Some(1.0)], score);
    let table = quiet(&[
        silent(Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        silent(None),
        silent(None),
        silent(None),
        silent(Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        silent(Some(0.9)),
    ]);
    let (result, journal) = backtest(&config, &table);
    assert_eq!(result.equity[0].at.as_nanos(), 2 * HOUR);
    assert_eq!(result.equity.len(), 7);
    assert_eq!(result.initial_cash.to_string(), "13000");
    assert_eq!(result.refusals[&Refusal::NoRate], 1);
    assert_eq!(result.fills.len(), 1, "bought after hour 7");
    let replayed = replay(journal.as_slice(), None).unwrap();
    assert_eq!(replayed.currencies.unwrap().rates, ["1", "S0"]);
    // An account that begins with X alone begins at once, and opens nothing in Y before hour 2.
    let mut only = plain(1);
    only.portfolio.initial_cash = 10_000.0.into();
    let (result, _) = backtest(&only, &table);
    assert_eq!(result.equity.len(), 8);
    assert_eq!(result.refusals[&Refusal::NoRate], 2);
}

/// A session of three symbols that has taken no step.
fn session_of(config: &SessionConfig) -> Session {
    Session::new(SessionSetup {
        config,
        config_digest: String::new(),
        symbols: ["S0", "S1", "S2"].map(str::to_owned).to_vec(),
        time_frame: "1h".parse().unwrap(),
        models: vec![model()],
    })
    .unwrap()
}

/// The lines of a journal with something else in them, and without the links, which would tell of
/// any change at once.
fn unlinked(text: &str, from: &str, to: &str) -> String {
    let lines = text.lines().map(|line| {
        let (body, _) = line.split_once(",\"chain\"").unwrap();
        format!("{}}}\n", body.replace(from, to))
    });
    lines.collect()
}

#[test]
fn a_session_says_what_it_waits_for() {
    let config = plain(0);
    let mut session = session_of(&config);
    let other = bar(1, 10.0, 10.0);
    let input = StepInput {
        closed_at: Timestamp::from_nanos(HOUR),
        bars: &[None, Some(&other), None],
        fine: &[],
        predictions: &[],
        failures: &[],
    };
    let error = session
        .step(&input, &mut NullJournal)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("begins with Y") && error.contains("S0 has no bar"),
        "{error}"
    );
    let rate = bar(2, 20.0, 20.0);
    let input = StepInput {
        closed_at: Timestamp::from_nanos(2 * HOUR),
        bars: &[Some(&rate), None, None],
        ..input
    };
    let report = session.step(&input, &mut NullJournal).unwrap();
    assert_eq!(report.point.equity.to_string(), "13000");
    assert_eq!(report.rates.len(), 2);
}

#[test]
fn a_step_that_is_refused_for_want_of_a_rate_leaves_no_close_behind() {
    // The rate of Z needs S0 and S1 in one step: what came in refused steps is forgotten, as the
    // exchange has never seen it.
    let config = account(Layout::Hop, 0);
    let mut session = session_of(&config);
    let mut step = |hour: i64, closes: [Option<f64>; 3]| {
        let bars = closes.map(|close| close.map(|close| bar(hour, close, close)));
        let input = StepInput {
            closed_at: Timestamp::from_nanos(hour * HOUR),
            bars: &bars.each_ref().map(Option::as_ref),
            fine: &[],
            predictions: &[],
            failures: &[],
        };
        session
            .step(&input, &mut NullJournal)
            .map(|report| report.point.equity)
    };
    let words = step(1, [None, Some(20.0), Some(1.0)])
        .unwrap_err()
        .to_string();
    assert!(
        words.contains("begins with Z") && words.contains("S0 has no bar"),
        "{words}"
    );
    let words = step(2, [Some(5.0), None, Some(1.0)])
        .unwrap_err()
        .to_string();
    assert!(
        words.contains("begins with Y") && words.contains("S1 has no bar"),
        "{words}"
    );
    let equity = step(3, [Some(5.0), Some(20.0), None]).unwrap();
    assert_eq!(
        equity.to_string(),
        "13300",
        "10,000 X, 150 Y of 20, 3 Z of 100"
    );
}

#[test]
fn an_account_whose_rates_never_come_says_which_and_what_to_set() {
    let silent = |hours: &[[Option<f64>; 3]]| {
        let rows = hours.iter().map(|closes| (*closes, Some(0.9)));
        quiet(&rows.collect::<Vec<_>>())
    };
    let told = |config: &SessionConfig, table: &[[Cell; 3]]| {
        let error = try_backtest(config, table).unwrap_err();
        assert!(
            matches!(error, BacktestError::NeverValued { .. }),
            "{error}"
        );
        error.to_string()
    };
    let words = told(&plain(0), &silent(&[[None, Some(10.0), Some(1.0)]; 3]));
    for part in [
        "none of the 3 steps from 1970-01-01T01:00:00Z to 1970-01-01T03:00:00Z",
        "`portfolio.rates.Y` never had a value, and the account has some: S0 has no bar in any",
        "set a number (X for one Y), take data that has bars of S0, or leave Y out of",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // Both of S0 and S1 have bars, but never in one step.
    let config = account(Layout::Hop, 0);
    let table = silent(&[[Some(5.0), None, None], [None, Some(20.0), Some(1.0)]]);
    let words = told(&config, &table);
    for part in [
        "`portfolio.rates.Y` never had a value, and the account has some: S1 does have bars, but",
        "`portfolio.rates.Z` never had a value, and the account has some: S0 and S1 have bars, but \
         never together",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn a_currency_that_the_account_has_nothing_of_and_never_has_a_rate_is_told_at_the_end() {
    let mut config = plain(1);
    config.portfolio.initial_cash = 10_000.0.into();
    let table = quiet(&[([None, Some(10.0), Some(1.0)], Some(0.9)); 3]);
    let (result, journal) = backtest(&config, &table);
    assert_eq!((result.equity.len(), result.waited_steps), (3, 0));
    assert_eq!(result.refusals[&Refusal::NoRate], 3);
    let symbols = ["S0", "S1", "S2"].map(str::to_owned);
    let told = (result.waited_steps, &result.unknown_rates()[..]);
    let told = rate_notes(&result.currencies, &symbols, told);
    assert_eq!(
        told,
        [
            "`portfolio.rates.Y` never had a value: S0 has no bar in the time that was traded, so \
          nothing could be opened in S1; set a number (X for one Y), or take data that has such \
          bars"
        ]
    );
    let text = String::from_utf8(journal).unwrap();
    assert!(text.contains(r#""fills":0,"without_rate":[1]"#), "{text}");
    assert!(replay(text.as_bytes(), None).is_ok());
    let unlinked = unlinked(&text, "[1]", "[0]");
    let words = replay(unlinked.as_bytes(), None).unwrap_err().to_string();
    assert!(
        words.contains("says that currency 0 had no rate, which is not so"),
        "{words}"
    );
}

#[test]
fn what_is_borrowed_and_what_it_bought_make_a_rate_count_though_they_cancel_out() {
    // Without costs, S1 bought for borrowed Y leaves nothing of Y on balance. When its rate is too
    // old, the weight of that position is not known, and S2 in X may not be opened either.
    let mut config = plain(1);
    config.portfolio.initial_cash = 10_000.0.into();
    config.execution.borrow_annual_bps = 0.0;
    config.execution.funding = None;
    let silent = [None, Some(10.0), Some(1.0)];
    let mut table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        (silent, None),
        (silent, None),
        (silent, None),
        (silent, None),
        (silent, None),
    ]);
    for (hour, cells) in table.iter_mut().enumerate().skip(3) {
        cells[2].score = (hour >= 4).then_some(0.9);
    }
    let (result, _) = backtest(&config, &table);
    assert_eq!(
        texts(result.books.iter().map(|book| book.cash)),
        ["10000", "-250"]
    );
    assert_eq!(result.fills.len(), 1);
    assert_eq!(
        result.refusals[&Refusal::NoRate],
        2,
        "hours 5 and 6: more than 3 bars"
    );
}

#[test]
fn a_holder_of_other_currencies_never_begins_below_zero() {
    // A third of the account is 1,000,000,000,005 units, which 1,428,571,428,578.57 of Y are worth
    // at 0.7. Taken to the nearest, three times would be worth a unit more than there is.
    let mut config = account(Layout::Fixed, 1);
    for own in config.execution.symbols.values_mut() {
        own.quote = Some("Y".to_owned());
    }
    config.portfolio.initial_cash = 30_000.000_000_15.into();
    config
        .portfolio
        .rates
        .insert("Y".to_owned(), RateConfig::Fixed(0.7));
    config.execution.funding = None;
    let table = quiet(&[([Some(20.0), Some(10.0), Some(1.0)], None); 3]);
    let held = buy_and_hold(&market(&table), &config, None).unwrap();
    assert_eq!(
        texts(held.currencies.initial()),
        ["0.00000001", "42857.14285734"]
    );
    assert_eq!(held.initial_cash.to_string(), "30000.00000015");
    assert!(held.books.iter().all(|book| book.cash >= Cash::ZERO));
    assert_eq!(held.fills.len(), 3);
}

#[test]
fn flows_that_are_told_in_another_step_are_found_though_the_end_is_the_same() {
    let config = plain(0);
    let up = |score| ([Some(20.0), Some(10.0), Some(1.0)], score);
    let table = quiet(&[up(Some(0.9)), up(None), up(None), up(Some(0.9))]);
    let market = market(&table);
    let (result, _) = backtest(&config, &table);
    let costly = SessionConfig {
        execution: ExecutionConfig {
            symbols: config.execution.symbols.clone(),
            ..ExecutionConfig::costing(10.0, 0.0)
        },
        ..config.clone()
    };
    assert!(total_flows(&market, &config, &result).is_ok());
    let (mut late, _) = backtest(&costly, &table);
    assert!(total_flows(&market, &costly, &late).is_ok());
    late.fill_steps[0] += 1;
    assert!(
        attribute(&market, &costly, &late, &mut |_| ()).is_err(),
        "the fee is a step late"
    );
    let mut other = result;
    other.equity[1].equity += Cash::from_units(1);
    assert!(total_flows(&market, &config, &other).is_err());
}

#[test]
fn a_journal_of_other_currencies_than_its_first_line_can_have_is_refused() {
    let table = quiet(&[([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)); 2]);
    let (_, journal) = backtest(&plain(0), &table);
    let text = String::from_utf8(journal).unwrap();
    for (from, to, words) in [
        (
            r#""format":2"#,
            r#""format":1"#,
            "journals without currencies",
        ),
        (
            r#""balances":["10000","150"],"rates""#,
            r#""balances":["10000"],"rates""#,
            "of every",
        ),
        (
            r#""quotes":[0,1,0]"#,
            r#""quotes":[0,2,0]"#,
            "what every symbol is quoted in",
        ),
        (
            r#""quotes":[0,1,0]"#,
            r#""quotes":[0,1]"#,
            "what every symbol is quoted in",
        ),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        let changed = unlinked(&text, from, to);
        let found = replay(changed.as_bytes(), None).unwrap_err().to_string();
        assert!(found.contains(words), "{words}: {found}");
    }
    let changed = unlinked(&text, r#""quotes":[0,1,0]"#, r#""quotes":[1,1,0]"#);
    let error = reexecute(&market(&table), &plain(0), changed.as_bytes()).unwrap_err();
    let words = error.to_string();
    assert!(
        words.contains("they quote S0 in X, S1 in Y, S2 in X, those of the"),
        "{words}"
    );
}

#[test]
fn a_journal_whose_balances_or_rates_were_changed_is_found() {
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (_, journal) = backtest(&config, &table);
    let text = String::from_utf8(journal).unwrap();
    assert!(
        text.contains(r#""format":2"#) && text.contains(r#""rates":["1","S0"]"#),
        "{text}"
    );
    assert!(replay(unlinked(&text, "-", "-").as_bytes(), None).is_ok());
    let broken = |from: &str, to: &str| {
        let found = replay(unlinked(&text, from, to).as_bytes(), None);
        found.unwrap_err().to_string()
    };
    let balance = r#""balances":["10000","0"]"#;
    assert!(text.contains(balance), "{text}");
    let words = broken(balance, r#""balances":["10000","1"]"#);
    assert!(words.contains("has 1 Y, fills leave 0"), "{words}");
    let words = broken(r#"[20,1]"#, r#"[21,1]"#);
    assert!(
        words.contains("begins with 13000, its balances are worth 13150"),
        "{words}"
    );
    let words = broken(r#""currency":1,"#, "");
    assert!(words.contains("not that of its symbol"), "{words}");
}

#[test]
fn a_journal_is_carried_out_again_with_its_own_currencies_only() {
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (_, journal) = backtest(&config, &table);
    let mut fixed = config.clone();
    let rate = ("Y".to_owned(), RateConfig::Fixed(20.0));
    fixed.portfolio.rates.extend([rate]);
    let error = reexecute(&market(&table), &fixed, journal.as_slice()).unwrap_err();
    assert!(
        error.to_string().contains("are not those of the journal"),
        "{error}"
    );
}

#[test]
fn a_sweep_refuses_several_currencies_and_says_so() {
    let config = plain(0);
    let table = quiet(&[([Some(20.0), Some(10.0), Some(1.0)], Some(0.9))]);
    let market = market(&table);
    let signals = signals(&table, &market);
    let models = [model()];
    let sweep = SweepTable::new(&market, &models, signals.predictions(), &config.fusion).unwrap();
    let words = sweep.run(&config).unwrap_err().to_string();
    assert!(
        words.contains("`portfolio.currency` there are several (X, Y)"),
        "{words}"
    );
}
