//! Finer bars with holes, order books, recorded fundings and symbols with rules of their own,
//! worked by hand from `docs/execution.md`; `script.rs` says how they are written.

use super::script::check;

const SPOT: &str = r#"{"initial_cash": 1000}"#;
const UNLIMITED: &str = r#"{"initial_cash": 1000, "allow_short": true}"#;
/// A percent beyond what the books say, which live for half an hour.
const BOOK: &str = r#"{"slippage": {"kind": "book", "max_age_ms": 1800000,
                                    "otherwise_bps": 100}}"#;

#[test]
fn nothing_fills_where_a_finer_bar_is_missing() {
    // The first quarter is missing, so the order fills in the second; the stop is jumped over in
    // the third hole and pays the gap.
    check(
        "{}",
        SPOT,
        "buy 1 market
         fine - | 100 101 99 100 x10 | 101 102 101 102 x10 | 102 102 102 102 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t15
         sell 1 stop 95
         fine 102 102 101 101 x10 | - | - | 90 91 89 90 x10
         = #1 sold 1 at 90 fee 0 slip 0 spread 0 left 0 t105
         = cash 990 held 0 ambiguous 0 of 5",
    );
}

#[test]
fn what_arrives_behind_the_last_finer_bar_is_there_when_the_bar_closes() {
    // It arrives at t50, where no slice is left, and is not stale at t60 although it waits for no
    // missing bar.
    check(
        r#"{"latency_ms": 3000000}"#,
        SPOT,
        "buy 1 market
         fine 100 100 100 100 x10 | 100 101 99 100 x10 | - | -
         fine - | 103 103 103 103 x10
         = #0 bought 1 at 103 fee 0 slip 0 spread 0 left 0 t90
         = cash 897 held 1 ambiguous 0 of 3",
    );
}

#[test]
fn a_bar_without_finer_ones_is_a_slice_itself() {
    check(
        "{}",
        SPOT,
        "buy 1 market
         fine 100 100 100 100 x10 | 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 stop 95
         bar 100 101 94 100 x10
         = #1 sold 1 at 95 fee 0 slip 0 spread 0 left 0 t120
         = cash 995 held 0 ambiguous 0 of 3",
    );
}

#[test]
fn a_taker_walks_the_levels_and_the_next_one_goes_on_where_it_stopped() {
    // The middle is 100, so the asks are 1 % and 3 % away. 2 cost 2 % of 200 on average, a third
    // one 3 %; the fourth costs 1 % more than the last level: 104.03, 4.03 %, 208.06 up to 209.
    // Half the spread is 1 % of 200 each.
    check(
        BOOK,
        UNLIMITED,
        "book t0 99x1 98x2 / 101x1 103x2
         buy 2 market
         buy 1 market
         buy 1 market
         bar 200 200 200 200 x10
         = #0 bought 2 at 204 fee 0 slip 8 spread 4 left 0 t0
         = #1 bought 1 at 206 fee 0 slip 6 spread 2 left 0 t0
         = #2 bought 1 at 209 fee 0 slip 9 spread 2 left 0 t0
         = cash 177 held 4 ambiguous 0 of 1",
    );
}

#[test]
fn sellers_take_bids_and_fixed_slippage_comes_on_top() {
    // (99 + 2 x 98) / 3 = 98.33333333: 1.66666667 % and 0.5 % of 300 are 6.50000001 away, down
    // to 293; half the spread is 1 % of 300.
    check(
        r#"{"slippage_bps": 50, "slippage": {"kind": "book", "max_age_ms": 1800000,
                                             "otherwise_bps": 100}}"#,
        UNLIMITED,
        "book t0 99x1 98x2 / 101x1 103x2
         sell 3 market
         bar 300 300 300 300 x10
         = #0 sold 3 at 293 fee 0 slip 21 spread 9 left 0 t0
         = cash 1879 held -3 ambiguous 0 of 1",
    );
}

#[test]
fn a_book_of_the_future_or_of_long_ago_says_nothing() {
    // At t0 the only book is of t1, at t60 it is 59 minutes old: 1 % of 200 each time. At t120 the
    // one of t100 is known, and 3 % away.
    check(
        BOOK,
        UNLIMITED,
        "book t1 99x9 / 101x9
         book t100 97x9 / 103x9
         buy 1 market
         bar 200 200 200 200 x10
         = #0 bought 1 at 202 fee 0 slip 2 spread 0 left 0 t0
         buy 1 market
         bar 200 200 200 200 x10
         = #1 bought 1 at 202 fee 0 slip 2 spread 0 left 0 t60
         buy 1 market
         bar 200 200 200 200 x10
         = #2 bought 1 at 206 fee 0 slip 6 spread 6 left 0 t120
         = cash 390 held 3 ambiguous 0 of 3",
    );
}

#[test]
fn a_late_order_meets_the_book_of_its_arrival_and_a_stop_that_of_the_open() {
    // The order arrives at t10 and sees t9's book, 2 % away. The stop is there at t60 and is hit
    // some time later, but the book of t70 may be of later still: t59's, 1 % of 190.
    check(
        r#"{"latency_ms": 600000, "slippage": {"kind": "book", "max_age_ms": 1800000,
                                               "otherwise_bps": 0}}"#,
        UNLIMITED,
        "book t9 98x9 / 102x9
         book t59 99x9 / 101x9
         book t70 90x9 / 110x9
         buy 1 market
         sell 1 stop 190
         bar 200 200 200 200 x10
         = #0 bought 1 at 204 fee 0 slip 4 spread 4 left 0 t0
         bar 200 201 180 200 x10
         = #1 sold 1 at 188 fee 0 slip 2 spread 1.9 left 0 t120
         = cash 984 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_limit_order_takes_the_levels_within_its_limit_only() {
    // 101 is 202 here, within 205; 103 is 206. What is left rests, and is the best bid: the next
    // seller gets 205 of it.
    check(
        BOOK,
        UNLIMITED,
        "book t0 99x1 98x2 / 101x1 103x2
         buy 3 limit 205 ioc
         buy 2 limit 205 fok
         bar 200 201 199 200 x10
         = #0 bought 1 at 202 fee 0 slip 2 spread 2 left 2 t0
         = #0 Unfilled
         = #1 Unfilled
         = cash 798 held 1 ambiguous 0 of 1",
    );
    check(
        BOOK,
        UNLIMITED,
        "book t0 99x1 98x2 / 101x1 103x2
         buy 3 limit 205
         bar 200 201 199 200 x10
         = #0 bought 1 at 202 fee 0 slip 2 spread 2 left 2 t0
         bar 200 201 199 200 x10
         = #0 bought 2 at 205 fee 0 slip 0 spread 0 left 0 maker t60
         = cash 388 held 3 ambiguous 0 of 2",
    );
}

#[test]
fn recorded_fundings_are_paid_at_their_times_by_who_held_before_the_slice() {
    // Not those of t0 and t30, before anything was held; t60: 10 bps of 200; t75: -20 bps of the
    // 200 at the last close; in the gap t150: 10 bps of 220.
    check(
        "{}",
        UNLIMITED,
        "funding t0 0.01
         funding t30 0.01
         funding t60 0.001
         funding t75 -0.002
         funding t150 0.001
         buy 2 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 100 110 100 110 x10
         = Funding -0.2 for Some(SymbolId(0)) t60
         = Funding 0.4 for Some(SymbolId(0)) t75
         halt 1
         bar 110 110 110 110 x10
         = Funding -0.22 for Some(SymbolId(0)) t150
         = cash 799.98 held 2 ambiguous 0 of 3",
    );
}

#[test]
fn a_symbol_has_its_own_lot_tick_least_notional_and_fee() {
    // Half a unit is no lot of the first symbol; of the second it is, at 50.2 up to 50.5, with 10
    // bps of 25.25. A quarter is worth less than its 20.
    check(
        r#"{"fee_bps": 1, "lot_size": 1, "symbols": {"B": {
            "lot_size": 0.25, "tick_size": 0.5, "min_notional": 20, "fee_bps": 10}}}"#,
        SPOT,
        "buy 0.5 market
         buy 0.5 market symbol=1
         buy 0.25 market symbol=1
         buy 1 market
         bar 100 100 100 100 x10 / 50.2 50.2 50.2 50.2 x10
         = #0 InvalidQuantity
         = #3 bought 1 at 100 fee 0.01 slip 0 spread 0 left 0 t0
         = #1 bought 0.5 at 50.5 fee 0.02525 slip 0.15 spread 0 left 0 t0
         = #2 BelowMinimum
         = cash 874.71475 held 1 0.5 ambiguous 0 of 2",
    );
}

#[test]
fn a_symbol_may_be_held_at_less_leverage_than_the_account() {
    // 500 at 10 need 50 of the 100; 100 at 2 need the other 50, and nothing is left.
    check(
        r#"{"symbols": {"B": {"max_leverage": 2}}}"#,
        r#"{"initial_cash": 100, "allow_short": true,
            "margin": {"mode": "cross", "leverage": 10, "maintenance": 0.05}}"#,
        "buy 5 market
         buy 1 market symbol=1
         buy 1 market symbol=1
         bar 100 100 100 100 x10 / 100 100 100 100 x10
         = #0 bought 5 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #1 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #2 InsufficientMargin
         = cash -500 held 5 1 ambiguous 0 of 2",
    );
    // The isolated margin is 50, not 10: due at 50 / (1 x 0.95) = 52.6..., up to 53.
    check(
        r#"{"symbols": {"A": {"max_leverage": 2}}}"#,
        r#"{"initial_cash": 100, "allow_short": true,
            "margin": {"mode": "isolated", "leverage": 10, "maintenance": 0.05}}"#,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 100 100 50 60 x10
         = #x0 liquidating -1 of SymbolId(0) t60
         = #x0 sold 1 at 53 fee 0 slip 0 spread 0 left 0 t120
         = cash 53 held 0 ambiguous 0 of 2",
    );
}
