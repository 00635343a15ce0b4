//! Requests for the end of orders, worked by hand from `docs/execution.md`.

use super::script::check;

const SPOT: &str = r#"{"initial_cash": 1000}"#;

#[test]
fn what_fills_before_the_cancellation_arrives_stands() {
    // An hour each way: the order is there at t60, its end at t180. It gets half of each volume.
    check(
        r#"{"latency_ms": 3600000, "participation": 0.5}"#,
        r#"{"initial_cash": 10000}"#,
        "buy 20 market
         bar 100 100 100 100 x10
         bar 100 100 100 100 x10
         = #0 bought 5 at 100 fee 0 slip 0 spread 0 left 15 t60
         cancel 0
         bar 100 100 100 100 x10
         = #0 bought 5 at 100 fee 0 slip 0 spread 0 left 10 t120
         = #0 Cancelled
         bar 100 100 100 100 x10
         = cash 9000 held 10 ambiguous 0 of 4",
    );
}

#[test]
fn without_latency_a_cancellation_is_there_before_the_next_open() {
    check(
        r#"{"participation": 0.5}"#,
        SPOT,
        "buy 8 market
         bar 100 100 100 100 x10
         = #0 bought 5 at 100 fee 0 slip 0 spread 0 left 3 t0
         cancel 0
         cancel 0
         bar 100 100 100 100 x10
         = #0 Cancelled
         = cash 500 held 5 ambiguous 0 of 2",
    );
}

#[test]
fn a_cancellation_inside_a_slice_comes_before_a_fill_that_gains() {
    // There at t90. Bought at 95 it would have gained 5 by the close.
    check(
        r#"{"latency_ms": 1800000}"#,
        SPOT,
        "buy 1 limit 95
         bar 100 101 99 100 x10
         cancel 0
         bar 100 101 94 100 x10
         = #0 Cancelled
         = cash 1000 held 0 ambiguous 1 of 2",
    );
}

#[test]
fn a_cancellation_inside_a_slice_comes_too_late_for_a_fill_that_loses() {
    // Bought at 95, worth 93 at the close.
    check(
        r#"{"latency_ms": 1800000}"#,
        SPOT,
        "buy 1 limit 95
         bar 100 101 99 100 x10
         cancel 0
         bar 100 101 92 93 x10
         = #0 bought 1 at 95 fee 0 slip 0 spread 0 left 0 maker t120
         = cash 905 held 1 ambiguous 1 of 2",
    );
}

#[test]
fn a_stop_is_taken_away_where_it_would_have_saved() {
    // Its end is there at t90: sold at 95 would be better than the close of 90.
    check(
        r#"{"latency_ms": 1800000}"#,
        SPOT,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 stop 95
         bar 100 101 99 100 x10
         cancel 1
         bar 100 101 88 90 x10
         = #1 Cancelled
         = cash 900 held 1 ambiguous 1 of 3",
    );
}

#[test]
fn an_order_whose_end_is_asked_for_with_it_never_begins() {
    check(
        r#"{"latency_ms": 600000}"#,
        SPOT,
        "buy 1 market
         cancel 0
         bar 100 101 99 100 x10
         = #0 Cancelled
         = cash 1000 held 0 ambiguous 0 of 1",
    );
}

#[test]
fn the_end_of_a_parent_takes_its_children_with_it_and_a_gap_ends_orders_too() {
    check(
        r#"{"latency_ms": 1800000}"#,
        SPOT,
        "buy 1 limit 90
         sell 1 stop 80 parent=0
         bar 100 101 99 100 x10
         cancel 0
         halt 1
         = #0 Cancelled
         = #1 ParentEnded
         bar 85 86 84 85 x10
         = cash 1000 held 0 ambiguous 0 of 2",
    );
}
