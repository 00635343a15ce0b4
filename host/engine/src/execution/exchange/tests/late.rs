//! Orders that arrive inside a slice, worked by hand from `docs/execution.md`.

use super::script::check;

const SPOT: &str = r#"{"initial_cash": 1000}"#;
const UNLIMITED: &str = r#"{"initial_cash": 1000, "allow_short": true}"#;
/// A quarter of an hour, so that half of the range is paid for: the root of a quarter.
const LATE: &str = r#"{"latency_ms": 900000}"#;

#[test]
fn an_extreme_that_may_be_older_than_a_limit_order_does_not_fill_it() {
    // 94 may have traded before t15. The next bar is whole.
    check(
        LATE,
        SPOT,
        "buy 1 limit 95
         bar 100 101 94 100 x10
         bar 100 101 94 100 x10
         = #0 bought 1 at 95 fee 0 slip 0 spread 0 left 0 maker t120
         = cash 905 held 1 ambiguous 1 of 2",
    );
}

#[test]
fn a_close_beyond_the_limit_fills_it_for_certain() {
    check(
        LATE,
        SPOT,
        "buy 1 limit 95
         bar 100 101 92 93 x10
         = #0 bought 1 at 95 fee 0 slip 0 spread 0 left 0 maker t60
         = cash 905 held 1 ambiguous 0 of 1",
    );
}

#[test]
fn a_close_at_the_limit_is_a_touch_where_that_is_enough() {
    // 4 before it in the queue, 10 trade: 6 are left for it.
    check(
        r#"{"latency_ms": 900000, "limit_through_ticks": 0, "limit_queue_ahead": 0.4,
            "lot_size": 1}"#,
        SPOT,
        "buy 7 limit 95
         bar 100 101 94 95 x10
         = #0 bought 6 at 95 fee 0 slip 0 spread 0 left 1 maker t60
         = cash 430 held 6 ambiguous 0 of 1",
    );
}

#[test]
fn a_limit_order_that_no_extreme_reaches_is_no_question() {
    check(
        LATE,
        SPOT,
        "buy 1 limit 90
         bar 100 101 94 95 x10
         = cash 1000 held 0 ambiguous 0 of 1",
    );
}

#[test]
fn a_stop_is_hit_by_an_extreme_that_may_have_come_behind_it() {
    // Bought at 102 = 100 + half of 4. Its stop at 90 arrives with it, and 88 may be behind both.
    check(
        LATE,
        UNLIMITED,
        "buy 1 market
         sell 1 stop 90 parent=0
         bar 100 104 88 100 x10
         = #0 bought 1 at 102 fee 0 slip 0 spread 0 left 0 t0
         = #1 sold 1 at 90 fee 0 slip 0 spread 0 left 0 t60
         = cash 988 held 0 ambiguous 1 of 1",
    );
}

#[test]
fn a_stop_that_the_close_is_beyond_was_hit_for_certain() {
    check(
        LATE,
        UNLIMITED,
        "buy 1 market
         sell 1 stop 90 parent=0
         bar 100 104 85 88 x10
         = #0 bought 1 at 102 fee 0 slip 0 spread 0 left 0 t0
         = #1 sold 1 at 90 fee 0 slip 0 spread 0 left 0 t60
         = cash 988 held 0 ambiguous 0 of 1",
    );
}

#[test]
fn a_stop_is_there_in_the_second_half_too() {
    // At t45 it meets 100 - 8 x the root of three quarters, which is 93.07; the way meets 93. The
    // limit order is there from t60 on.
    check(
        r#"{"latency_ms": 2700000}"#,
        UNLIMITED,
        "sell 1 stop 93
         buy 1 limit 90
         bar 100 101 92 100 x10
         = #0 sold 1 at 93 fee 0 slip 0 spread 0 left 0 t60
         = cash 1093 held -1 ambiguous 1 of 1",
    );
}

#[test]
fn a_take_profit_needs_the_close() {
    // 112 may have been before it; the second bar closes beyond 110, which is what it gets.
    check(
        LATE,
        UNLIMITED,
        "buy 1 market
         sell 1 take-profit 110 parent=0
         bar 100 112 100 104 x10
         = #0 bought 1 at 106 fee 0 slip 0 spread 0 left 0 t0
         bar 104 112 104 111 x10
         = #1 sold 1 at 110 fee 0 slip 0 spread 0 left 0 t120
         = cash 1004 held 0 ambiguous 1 of 2",
    );
    check(
        LATE,
        UNLIMITED,
        "buy 1 market
         sell 1 take-profit 110 parent=0
         bar 100 112 100 111 x10
         = #0 bought 1 at 106 fee 0 slip 0 spread 0 left 0 t0
         = #1 sold 1 at 110 fee 0 slip 0 spread 0 left 0 t60
         = cash 1004 held 0 ambiguous 0 of 1",
    );
}

#[test]
fn a_trailing_stop_does_not_follow_what_may_be_older() {
    // Its best is 95 = 100 - half of 10, so its trigger 85.5, down to 85, is not hit. The extreme
    // of 120 would have sold at 108, better than the close of 100. From there on its best is the
    // close: 90 is met on the way to 89.
    check(
        LATE,
        UNLIMITED,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 trail 1000
         bar 100 120 90 100 x10
         bar 100 100 89 95 x10
         = #1 sold 1 at 90 fee 0 slip 0 spread 0 left 0 t180
         = cash 990 held 0 ambiguous 1 of 3",
    );
}
