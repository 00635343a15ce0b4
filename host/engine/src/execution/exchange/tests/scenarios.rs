//! Worked by hand from `docs/execution.md`; `script.rs` says how they are written.

use super::script::check;

const SPOT: &str = r#"{"initial_cash": 1000}"#;
const UNLIMITED: &str = r#"{"initial_cash": 1000, "allow_short": true}"#;

#[test]
fn a_market_order_pays_half_the_spread_slippage_and_the_fee() {
    // 5 bps half spread + 5 bps: 100.10; fee 10 bps of 200.20.
    // 105 - 0.105 = 104.895, down to 104.89; fee 10 bps of 209.78.
    // 1000 - 200.2 - 0.2002 + 209.78 - 0.20978.
    check(
        r#"{"fee_bps": 10, "slippage_bps": 5, "spread_bps": 10, "tick_size": 0.01}"#,
        SPOT,
        "buy 2 market
         bar 100 102 99 101 x10
         = #0 bought 2 at 100.1 fee 0.2002 slip 0.2 spread 0.1 left 0 t0
         sell 2 market
         bar 105 106 104 105 x10
         = #1 sold 2 at 104.89 fee 0.20978 slip 0.22 spread 0.105 left 0 t60
         = cash 1009.17002 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_limit_order_fills_where_the_market_trades_through_it() {
    // The touch of 98 is not enough, 97 is; the maker's 2 bps of 98.
    check(
        r#"{"fee_bps": 10, "maker_fee_bps": 2}"#,
        SPOT,
        "buy 1 limit 98
         bar 100 101 98 100 x10
         bar 100 101 97 99 x10
         = #0 bought 1 at 98 fee 0.0196 slip 0 spread 0 left 0 maker t120
         = cash 901.9804 held 1 ambiguous 0 of 2",
    );
}

#[test]
fn a_limit_order_that_could_fill_takes_but_not_beyond_its_limit() {
    // 100 + 200 bps = 102 is beyond 101; fee of a taker.
    check(
        r#"{"fee_bps": 10, "maker_fee_bps": 2, "slippage_bps": 200}"#,
        SPOT,
        "buy 1 limit 101
         bar 100 101 99 100 x10
         = #0 bought 1 at 101 fee 0.101 slip 1 spread 0 left 0 t0
         = cash 898.899 held 1 ambiguous 0 of 1",
    );
}

#[test]
fn a_limit_order_that_is_jumped_over_gets_its_limit() {
    check(
        r#"{"fee_bps": 10, "maker_fee_bps": -1}"#,
        SPOT,
        "buy 1 limit 95
         bar 100 101 99 100 x10
         bar 90 91 89 90 x10
         = #0 bought 1 at 95 fee -0.0095 slip 0 spread 0 left 0 maker t60
         = cash 905.0095 held 1 ambiguous 0 of 2",
    );
}

#[test]
fn a_touched_order_waits_for_the_queue_before_it() {
    // 10 before it; 7 pass, so 3; of the next 5, 2 are left for it; then 1 of 1; 97 fills the rest.
    check(
        r#"{"limit_through_ticks": 0, "limit_queue_ahead": 1, "lot_size": 1}"#,
        SPOT,
        "buy 6 limit 98
         bar 100 101 99 100 x10
         bar 100 101 98 99 x7
         bar 99 100 98 99 x5
         = #0 bought 2 at 98 fee 0 slip 0 spread 0 left 4 maker t180
         bar 99 99 98 99 x1
         = #0 bought 1 at 98 fee 0 slip 0 spread 0 left 3 maker t240
         bar 99 99 97 98 x0
         = #0 bought 3 at 98 fee 0 slip 0 spread 0 left 0 maker t300
         = cash 412 held 6 ambiguous 0 of 5",
    );
}

#[test]
fn a_stop_pays_the_gap_and_slips() {
    // 100 bps: 101; the gap to 90 gives 89.1, down to 89; the trigger 85 gives 84.15, down to 84.
    check(
        r#"{"slippage_bps": 100}"#,
        SPOT,
        "buy 2 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 101 fee 0 slip 2 spread 0 left 0 t0
         sell 1 stop 95
         sell 1 stop 85
         bar 90 92 84 91 x10
         = #1 sold 1 at 89 fee 0 slip 1 spread 0 left 0 t60
         = #2 sold 1 at 84 fee 0 slip 1 spread 0 left 0 t120
         = cash 971 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_stop_limit_that_is_jumped_rests_at_its_limit() {
    // 90 triggers it, and is no 94; it fills when 95 trades.
    check(
        "{}",
        SPOT,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 stop-limit 95 94
         bar 90 92 88 91 x10
         bar 91 96 90 95 x10
         = #1 sold 1 at 94 fee 0 slip 0 spread 0 left 0 maker t180
         = cash 994 held 0 ambiguous 0 of 3",
    );
}

#[test]
fn a_take_profit_fills_at_its_trigger_or_at_a_better_open() {
    // Fees of 10 bps: 0.2, 0.11, 0.125.
    check(
        r#"{"fee_bps": 10}"#,
        SPOT,
        "buy 2 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 100 fee 0.2 slip 0 spread 0 left 0 t0
         sell 1 take-profit 110
         sell 1 take-profit 120
         bar 105 112 104 108 x10
         = #1 sold 1 at 110 fee 0.11 slip 0 spread 0 left 0 t120
         bar 125 126 124 125 x10
         = #2 sold 1 at 125 fee 0.125 slip 0 spread 0 left 0 t120
         = cash 1034.565 held 0 ambiguous 0 of 3",
    );
}

#[test]
fn a_trailing_stop_follows_the_worse_way() {
    // High first: best 120, trigger 108 on the way to 99: cash 1008. Low first it would still hold
    // at 118, which is better.
    check(
        "{}",
        SPOT,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 trail 1000
         bar 100 120 99 118 x10
         = #1 sold 1 at 108 fee 0 slip 0 spread 0 left 0 t120
         = cash 1008 held 0 ambiguous 1 of 2",
    );
}

#[test]
fn a_bar_with_both_exits_of_a_bracket_counts_as_the_stop() {
    check(
        "{}",
        SPOT,
        "buy 1 market
         sell 1 take-profit 110 parent=0 group=1
         sell 1 stop 95 parent=0 group=1
         bar 100 112 94 105 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #2 sold 1 at 95 fee 0 slip 0 spread 0 left 0 t60
         = #1 GroupFilled
         = cash 995 held 0 ambiguous 1 of 1",
    );
}

#[test]
fn finer_bars_say_which_exit_came_first() {
    check(
        "{}",
        SPOT,
        "buy 1 market
         sell 1 take-profit 110 parent=0 group=1
         sell 1 stop 95 parent=0 group=1
         fine 100 112 100 111 x5 | 111 111 94 96 x5
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #1 sold 1 at 110 fee 0 slip 0 spread 0 left 0 t30
         = #2 GroupFilled
         = cash 1010 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_bracket_of_a_short_position_is_played_once() {
    // The children buy; the bar must not be walked again when they have begun.
    check(
        "{}",
        UNLIMITED,
        "sell 1 market
         buy 1 take-profit 90 parent=0 group=1
         buy 1 stop 105 parent=0 group=1
         bar 100 104 96 98 x10
         = #0 sold 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 98 99 89 92 x10
         = #1 bought 1 at 90 fee 0 slip 0 spread 0 left 0 t120
         = #2 GroupFilled
         = cash 1010 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn an_exit_that_begins_at_once_leaves_its_sibling_to_protect_the_rest() {
    // Budget 6: 5 of the entry (its limit of volume is 6, the entry 5), 1 of the take-profit; the
    // stop keeps 4 and closes them in the next bar.
    check(
        r#"{"participation": 0.1, "lot_size": 1}"#,
        SPOT,
        "buy 5 market
         sell 5 take-profit 100 parent=0 group=1 ioc
         sell 5 stop 95 parent=0 group=1
         bar 100 101 99 100 x60
         = #0 bought 5 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #1 sold 1 at 100 fee 0 slip 0 spread 0 left -4 t0
         = #1 Unfilled
         bar 96 97 94 95 x60
         = #2 sold 4 at 95 fee 0 slip 0 spread 0 left 0 t120
         = cash 980 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn of_two_entries_the_first_fill_cancels_the_other() {
    check(
        "{}",
        SPOT,
        "buy 1 stop 105 group=7
         buy 1 limit 95 group=7
         bar 100 103 98 102 x10
         bar 102 106 101 104 x10
         = #0 bought 1 at 105 fee 0 slip 0 spread 0 left 0 t120
         = #1 GroupFilled
         = cash 895 held 1 ambiguous 0 of 2",
    );
}

#[test]
fn orders_that_do_not_wait_get_what_the_budget_has() {
    // A tenth of 30 is 3.
    check(
        r#"{"participation": 0.1, "lot_size": 1}"#,
        SPOT,
        "buy 5 market ioc
         buy 3 market fok
         bar 100 100 100 100 x30
         = #0 bought 3 at 100 fee 0 slip 0 spread 0 left 2 t0
         = #0 Unfilled
         = #1 Unfilled
         buy 4 market fok
         buy 3 market fok
         bar 100 100 100 100 x30
         = #2 Unfilled
         = #3 bought 3 at 100 fee 0 slip 0 spread 0 left 0 t60
         = cash 400 held 6 ambiguous 0 of 2",
    );
}

#[test]
fn a_market_order_goes_on_at_later_opens() {
    // 300 + 303 + 102.
    check(
        r#"{"participation": 0.1, "lot_size": 1}"#,
        SPOT,
        "buy 7 market
         bar 100 100 100 100 x30
         = #0 bought 3 at 100 fee 0 slip 0 spread 0 left 4 t0
         bar 101 101 101 101 x30
         = #0 bought 3 at 101 fee 0 slip 0 spread 0 left 1 t60
         bar 102 102 102 102 x30
         = #0 bought 1 at 102 fee 0 slip 0 spread 0 left 0 t120
         = cash 295 held 7 ambiguous 0 of 3",
    );
}

#[test]
fn post_only_orders_rest_or_are_rejected() {
    check(
        "{}",
        SPOT,
        "buy 1 limit 100 post
         buy 1 limit 99 post
         buy 1 stop-limit 101 102 post
         bar 100 101 98 100 x10
         = #0 WouldTake
         = #1 bought 1 at 99 fee 0 slip 0 spread 0 left 0 maker t60
         = #2 WouldTake
         = cash 901 held 1 ambiguous 0 of 1",
    );
}

#[test]
fn reduce_only_orders_never_turn_a_position() {
    // Of 5, one is left to sell when 106 trades.
    check(
        "{}",
        UNLIMITED,
        "buy 2 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 5 limit 105 reduce
         sell 1 market reduce
         bar 100 107 100 106 x10
         = #2 sold 1 at 100 fee 0 slip 0 spread 0 left 0 t60
         = #1 sold 1 at 105 fee 0 slip 0 spread 0 left -4 maker t120
         = #1 NothingToReduce
         sell 1 market reduce
         bar 106 106 106 106 x10
         = #3 NothingToReduce
         = cash 1005 held 0 ambiguous 0 of 3",
    );
}

#[test]
fn what_the_venue_does_not_take_is_rejected() {
    check(
        r#"{"tick_size": 0.5, "lot_size": 0.1, "min_notional": 10}"#,
        SPOT,
        "buy 1 limit 49.3
         buy 0.15 market
         buy 0.1 market
         buy 1 stop 0
         buy 1 trail 10000
         buy 0 market
         sell 1 market reduce
         bar 50 50 50 50 x10
         = #5 InvalidQuantity
         = #6 NothingToReduce
         = #0 InvalidPrice
         = #1 InvalidQuantity
         = #2 BelowMinimum
         = #3 InvalidPrice
         = #4 InvalidPrice
         = cash 1000 held 0 ambiguous 0 of 1",
    );
}

#[test]
fn opening_needs_margin() {
    // 200 / 2 = 100 is all there is; what #1 would open needs 50 more. Closing needs none.
    check(
        "{}",
        r#"{"initial_cash": 100, "allow_short": true,
            "margin": {"mode": "cross", "leverage": 2, "maintenance": 0.1}}"#,
        "buy 2 market
         buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 100 fee 0 slip 0 spread 0 left 0 t0
         = #1 InsufficientMargin
         sell 2 market
         bar 100 100 100 100 x10
         = #2 sold 2 at 100 fee 0 slip 0 spread 0 left 0 t60
         = cash 100 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_cross_account_is_liquidated_where_equity_meets_maintenance() {
    // Cash 100 - 800 - 0.8 = -700.8. Due at 700.8 / (8 x 0.95) = 92.2105..., up to 93.
    // 744 less 10 and 50 bps of it: 0.744 + 3.72.
    check(
        r#"{"fee_bps": 10}"#,
        r#"{"initial_cash": 100, "allow_short": true,
            "margin": {"mode": "cross", "leverage": 10, "maintenance": 0.05,
                       "liquidation_fee_bps": 50}}"#,
        "buy 8 market
         bar 100 100 100 100 x10
         = #0 bought 8 at 100 fee 0.8 slip 0 spread 0 left 0 t0
         sell 8 limit 120
         bar 97 98 90 95 x10
         = #1 Liquidated
         = #x0 liquidating -8 of SymbolId(0) t60
         = #x0 sold 8 at 93 fee 4.464 slip 0 spread 0 left 0 t120
         = cash 38.736 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn an_isolated_position_loses_its_margin_and_no_more() {
    // Margin 100, due at 900 / (10 x 0.95) = 94.7..., up to 95; the gap to 85 loses 150.
    check(
        "{}",
        r#"{"initial_cash": 1000, "allow_short": true,
            "margin": {"mode": "isolated", "leverage": 10, "maintenance": 0.05}}"#,
        "buy 10 market
         bar 100 100 100 100 x10
         = #0 bought 10 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 85 90 80 85 x10
         = #x0 liquidating -10 of SymbolId(0) t60
         = #x0 sold 10 at 85 fee 0 slip 0 spread 0 left 0 t60
         = Insurance 50 for Some(SymbolId(0)) t60
         = cash 900 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn a_short_isolated_position_is_liquidated_above() {
    // Margin 100, due at 1100 / (10 x 1.05) = 104.76..., down to 104; 40 of the margin are lost.
    check(
        "{}",
        r#"{"initial_cash": 1000, "allow_short": true,
            "margin": {"mode": "isolated", "leverage": 10, "maintenance": 0.05}}"#,
        "sell 10 market
         bar 100 103 97 102 x10
         = #0 sold 10 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 102 106 101 103 x10
         = #x0 liquidating 10 of SymbolId(0) t60
         = #x0 bought 10 at 104 fee 0 slip 0 spread 0 left 0 t120
         = cash 960 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn funding_of_a_gap_is_paid_at_the_close_before() {
    // 10 bps of 100 at 08:00, inside the gap; of 110 at 16:00, when a slice opens. Not at 00:00.
    check(
        r#"{"funding": {"interval_hours": 8, "rate_bps": 10}}"#,
        UNLIMITED,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         halt 10
         bar 105 110 105 110 x10
         = Funding -0.1 for Some(SymbolId(0)) t480
         halt 4
         bar 111 111 111 111 x10
         = Funding -0.11 for Some(SymbolId(0)) t960
         = cash 899.79 held 1 ambiguous 0 of 3",
    );
}

#[test]
fn borrowing_costs_interest_on_negative_cash_and_on_short_positions() {
    // 876 bps a year are 0.1 bps an hour: 0.001 of 100.
    check(
        r#"{"borrow_annual_bps": 876}"#,
        r#"{"initial_cash": 100, "allow_short": true}"#,
        "buy 2 market
         bar 100 100 100 100 x10
         = #0 bought 2 at 100 fee 0 slip 0 spread 0 left 0 t0
         bar 100 100 100 100 x10
         = Borrowing -0.001 for None t120
         sell 3 market
         bar 100 100 100 100 x10
         = #1 sold 3 at 100 fee 0 slip 0 spread 0 left 0 t120
         = Borrowing -0.001 for Some(SymbolId(0)) t180
         = cash 199.998 held -1 ambiguous 0 of 3",
    );
}

#[test]
fn a_late_order_pays_for_being_there_at_the_open() {
    // A quarter of the hour: half of the way to the worse extreme.
    check(
        r#"{"latency_ms": 900000}"#,
        SPOT,
        "buy 1 market
         bar 100 110 98 105 x10
         = #0 bought 1 at 105 fee 0 slip 0 spread 0 left 0 t0
         sell 1 market
         bar 105 107 101 103 x10
         = #1 sold 1 at 103 fee 0 slip 0 spread 0 left 0 t60
         = cash 998 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn an_order_that_arrives_in_the_second_half_waits_for_the_next_slice() {
    // 45 minutes of 60; of the finer ones it meets the one that begins then.
    check(
        r#"{"latency_ms": 2700000}"#,
        SPOT,
        "buy 1 market
         bar 100 110 98 105 x10
         bar 106 107 105 106 x10
         = #0 bought 1 at 106 fee 0 slip 0 spread 0 left 0 t60
         sell 1 market
         fine 100 100 99 99 x1 | 98 98 98 98 x1 | 97 97 97 97 x1 | 96 96 96 96 x1
         = #1 sold 1 at 96 fee 0 slip 0 spread 0 left 0 t165
         = cash 990 held 0 ambiguous 0 of 6",
    );
}

#[test]
fn a_late_take_profit_gets_its_trigger_at_most() {
    // It meets 104 - 4 x 0.5 = 102 and waits for 103, though the open was beyond it.
    check(
        r#"{"latency_ms": 900000}"#,
        SPOT,
        "buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0 slip 0 spread 0 left 0 t0
         sell 1 take-profit 103
         bar 104 105 100 104 x10
         = #1 sold 1 at 103 fee 0 slip 0 spread 0 left 0 t120
         = cash 1003 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn orders_wait_in_a_halt_until_their_time_is_up() {
    check(
        r#"{"order_expiry_bars": 1}"#,
        SPOT,
        "buy 1 market
         buy 1 limit 99
         buy 1 limit 90 until=60
         sell 1 stop 80 parent=2
         halt 1
         = #2 TimedOut
         = #3 ParentEnded
         halt 1
         = #0 Stale
         bar 100 100 98 100 x10
         = #1 bought 1 at 99 fee 0 slip 0 spread 0 left 0 maker t180
         = cash 901 held 1 ambiguous 0 of 1",
    );
}

#[test]
fn a_purchase_is_cut_to_what_the_cash_pays_for() {
    // 2.4 x 40 + 0.096 fits into 100, 2.5 x 40 + 0.1 does not.
    check(
        r#"{"fee_bps": 10, "lot_size": 0.1}"#,
        r#"{"initial_cash": 100}"#,
        "buy 3 market
         bar 40 40 40 40 x10
         = #0 bought 2.4 at 40 fee 0.096 slip 0 spread 0 left 0.6 t0
         = #0 InsufficientCash
         sell 5 market
         bar 40 40 40 40 x10
         = #1 sold 2.4 at 40 fee 0.096 slip 0 spread 0 left -2.6 t60
         = #1 NothingToReduce
         = cash 99.808 held 0 ambiguous 0 of 2",
    );
}

#[test]
fn traded_notional_reaches_a_fee_tier() {
    // 100 and 200 before the second and the third fill.
    check(
        r#"{"fee_bps": 10,
            "fee_tiers": [{"traded": 150, "maker_bps": 1, "taker_bps": 5}]}"#,
        SPOT,
        "buy 1 market
         buy 1 market
         buy 1 market
         bar 100 100 100 100 x10
         = #0 bought 1 at 100 fee 0.1 slip 0 spread 0 left 0 t0
         = #1 bought 1 at 100 fee 0.1 slip 0 spread 0 left 0 t0
         = #2 bought 1 at 100 fee 0.05 slip 0 spread 0 left 0 t0
         = cash 699.75 held 3 ambiguous 0 of 1",
    );
}

#[test]
fn slippage_grows_with_volatility() {
    // sigma = ln 1.1 = 0.0953101798; 110 x 1.0953101798 = 120.4841..., up to 120.49.
    check(
        r#"{"slippage": {"kind": "volatility", "factor": 1, "span_bars": 3}, "tick_size": 0.01}"#,
        SPOT,
        "bar 100 100 100 100 x10
         bar 100 110 100 110 x10
         buy 1 market
         bar 110 110 110 110 x10
         = #0 bought 1 at 120.49 fee 0 slip 10.49 spread 0 left 0 t120
         = cash 879.51 held 1 ambiguous 0 of 3",
    );
}

#[test]
fn impact_grows_with_the_root_of_the_quantity() {
    // sqrt(4 / 100) = 0.2 of 0.0953101798 is 0.0190620360; 110 x 1.019062036 = 112.0968..., up.
    check(
        r#"{"slippage": {"kind": "impact", "factor": 1, "span_bars": 3}, "tick_size": 0.01}"#,
        SPOT,
        "bar 100 100 100 100 x100
         bar 100 110 100 110 x100
         buy 4 market
         bar 110 110 110 110 x100
         = #0 bought 4 at 112.1 fee 0 slip 8.4 spread 0 left 0 t120
         = cash 551.6 held 4 ambiguous 0 of 3",
    );
}

#[test]
fn one_symbol_sells_before_another_buys() {
    check(
        "{}",
        r#"{"initial_cash": 100}"#,
        "buy 2 market symbol=1
         bar 10 10 10 10 x10 / 50 50 50 50 x10
         = #0 bought 2 at 50 fee 0 slip 0 spread 0 left 0 t0
         buy 5 market
         sell 1 market symbol=1
         bar 10 10 10 10 x10 / 50 50 50 50 x10
         = #2 sold 1 at 50 fee 0 slip 0 spread 0 left 0 t60
         = #1 bought 5 at 10 fee 0 slip 0 spread 0 left 0 t60
         = cash 0 held 5 1 ambiguous 0 of 4",
    );
}

#[test]
fn a_child_on_its_way_when_its_parent_fills_counts_as_arriving_at_the_end_of_the_slice() {
    // Decided at t120, it is there at t160, in the second half of the hour in which its parent
    // fills: so at t180, and it has not waited yet when the next bar opens.
    check(
        r#"{"latency_ms": 2400000}"#,
        SPOT,
        "buy 1 limit 98
         bar 100 100 100 100 x10
         bar 100 100 100 100 x10
         sell 1 market parent=0
         bar 100 100 97 97 x10
         = #0 bought 1 at 98 fee 0 slip 0 spread 0 left 0 maker t180
         bar 97 97 97 97 x10
         = #1 sold 1 at 97 fee 0 slip 0 spread 0 left 0 t180
         = cash 999 held 0 ambiguous 0 of 4",
    );
}

#[test]
fn a_price_below_the_tick_is_never_rounded_in_favour_of_the_order() {
    // 0.5 is below the tick of 1: bought at 1, sold at 0.5 and not at 1.
    check(
        "{}",
        UNLIMITED,
        "buy 2 market
         bar 0.5 0.5 0.5 0.5 x10
         = #0 bought 2 at 1 fee 0 slip 1 spread 0 left 0 t0
         sell 2 market
         bar 0.5 0.5 0.5 0.5 x10
         = #1 sold 2 at 0.5 fee 0 slip 0 spread 0 left 0 t60
         = cash 999 held 0 ambiguous 0 of 2",
    );
}
