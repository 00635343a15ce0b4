//! Two currencies, worked by hand from section 14 of `docs/execution.md`.
//!
//! `A` trades Y and is quoted in X, the reporting currency, so its closes are the rate of Y; `B` is
//! quoted in Y, or, where a scenario says so, in X.

use super::script::check;

/// Settings with `more`, where `B` is quoted in `quote`.
fn execution(more: &str, quote: &str) -> String {
    format!(
        r#"{{{more}"symbols": {{"A": {{"base": "Y", "quote": "X"}},
                                "B": {{"base": "Q", "quote": "{quote}"}}}}}}"#
    )
}

fn account(cash: &str, more: &str) -> String {
    format!(r#"{{"currency": "X", "initial_cash": {cash}{more}}}"#)
}

const CROSS: &str = r#", "allow_short": true,
    "margin": {"mode": "cross", "leverage": 2, "maintenance": 0.1, "liquidation_fee_bps": 100}"#;
const ISOLATED: &str = r#", "allow_short": true,
    "margin": {"mode": "isolated", "leverage": 5, "maintenance": 0.1}"#;

#[test]
fn a_purchase_takes_from_the_balance_of_its_own_currency_fee_included() {
    // The first order comes before anybody knows what Y is worth; 3 x 10 = 30 Y and 10 bps of it.
    check(
        &execution(r#""fee_bps": 10, "#, "Y"),
        &account(r#"{"X": 1000, "Y": 50}"#, ""),
        "buy 1 market symbol=1
         bar 20 20 20 20 x10 / 10 11 9 10 x10
         = #0 NoRate
         buy 3 market symbol=1
         bar 20 20 20 20 x10 / 10 11 9 10 x10
         = #1 bought 3 at 10 c1 fee 0.03 slip 0 spread 0 left 0 t60
         sell 1 market symbol=1
         buy 1 market
         bar 21 21 21 21 x10 / 12 12 12 12 x10
         = #2 sold 1 at 12 c1 fee 0.012 slip 0 spread 0 left 0 t120
         = #3 bought 1 at 21 fee 0.021 slip 0 spread 0 left 0 t120
         = cash 978.979 + 31.958 held 1 2 ambiguous 0 of 6",
    );
}

#[test]
fn a_spot_account_is_cut_to_the_balance_whatever_else_it_has() {
    // 50 Y pay for 4 at 11 and 10 bps of 44; 5 would cost 55.
    check(
        &execution(r#""fee_bps": 10, "lot_size": 1, "#, "Y"),
        &account(r#"{"X": 1000000, "Y": 50}"#, ""),
        "bar 20 20 20 20 x10 / 10 11 9 10 x10
         buy 9 market symbol=1
         bar 20 20 20 20 x10 / 11 11 11 11 x10
         = #0 bought 4 at 11 c1 fee 0.044 slip 0 spread 0 left 5 t60
         = #0 InsufficientCash
         = cash 1000000 + 5.956 held 0 4 ambiguous 0 of 4",
    );
}

#[test]
fn a_margin_account_borrows_the_currency_and_pays_interest_in_it() {
    // 41 x 10 Y are 8200 X, half of which is more than 4000; 40 need just that. 400 Y are borrowed;
    // an hour at 87.6 per cent a year is 1 basis point: 0.04, and 0.040004 the next hour.
    check(
        &execution(r#""borrow_annual_bps": 8760, "#, "Y"),
        &account(r#"{"X": 4000, "Y": 0}"#, CROSS),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         buy 41 market symbol=1
         buy 40 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #0 InsufficientMargin
         = #1 bought 40 at 10 c1 fee 0 slip 0 spread 0 left 0 t60
         = Borrowing -0.04 c1 for None t120
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = Borrowing -0.040004 c1 for None t180
         = cash 4000 + -400.080004 held 0 40 ambiguous 0 of 6",
    );
}

#[test]
fn a_currency_that_falls_liquidates_a_position_that_does_not_move() {
    // 50 Y are all there is: 1000 X at 20, which 20 x 100 need. At 8 they are 400, and the position
    // is due at 1600 / 18 = 88.9; at 3 they are 150, and it is due at 1850 / 18 = 102.8. The fee is
    // 1 per cent of 1940.
    check(
        &execution("", "X"),
        &account(r#"{"Y": 50}"#, CROSS),
        "bar 20 20 20 20 x10 / 100 100 100 100 x10
         buy 20 market symbol=1
         bar 20 20 8 8 x10 / 100 100 100 100 x10
         = #0 bought 20 at 100 fee 0 slip 0 spread 0 left 0 t60
         bar 8 8 3 3 x10 / 100 100 97 97 x10
         bar 3 3 3 3 x10 / 97 97 97 97 x10
         = #x0 liquidating -20 of SymbolId(1) t180
         = #x0 sold 20 at 97 fee 19.4 slip 0 spread 0 left 0 t180
         = cash -79.4 + 50 held 0 0 ambiguous 0 of 8",
    );
}

#[test]
fn a_short_position_in_another_currency_is_due_where_all_currencies_together_say() {
    // 200 X are 10 Y at 20. 2 sold at 10: due where 10 + 20 - 2p = 0.2p, at 30 / 2.2 = 13.63..,
    // down to 13; the fee is 1 per cent of 26.
    check(
        &execution("", "Y"),
        &account(r#"{"X": 200, "Y": 0}"#, CROSS),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         sell 2 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #0 sold 2 at 10 c1 fee 0 slip 0 spread 0 left 0 t60
         bar 20 20 20 20 x10 / 10 15 10 12 x10
         = #x0 liquidating 2 of SymbolId(1) t120
         = #x0 bought 2 at 13 c1 fee 0.26 slip 0 spread 0 left 0 t180
         = cash 200 + -6.26 held 0 0 ambiguous 0 of 6",
    );
}

#[test]
fn a_rate_with_a_gap_stays_the_last_one_known() {
    // Y was worth 20 at t60; that A falls to 10 is known from t240 on, and counts from the slice
    // that opens then: 40 x 10 Y need 4000 X by the old rate and 2000 by the new one.
    check(
        &execution("", "Y"),
        &account(r#"{"X": 3000, "Y": 0}"#, CROSS),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         bar - / 10 10 10 10 x10
         buy 40 market symbol=1
         bar - / 10 10 10 10 x10
         = #0 InsufficientMargin
         buy 40 market symbol=1
         bar 10 10 10 10 x10 / 10 10 10 10 x10
         = #1 InsufficientMargin
         buy 40 market symbol=1
         bar - / 10 10 10 10 x10
         = #2 bought 40 at 10 c1 fee 0 slip 0 spread 0 left 0 t240
         = cash 3000 + -400 held 0 40 ambiguous 0 of 7",
    );
}

#[test]
fn funding_is_in_what_the_symbol_is_quoted_in() {
    // 4 x 10 Y x 10 bps an hour; the short side of A gets 10 bps of 20.
    check(
        &execution(r#""funding": {"interval_hours": 1, "rate_bps": 10}, "#, "Y"),
        &account(r#"{"X": 1000, "Y": 0}"#, r#", "allow_short": true"#),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         buy 4 market symbol=1
         sell 1 market
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #1 sold 1 at 20 fee 0 slip 0 spread 0 left 0 t60
         = #0 bought 4 at 10 c1 fee 0 slip 0 spread 0 left 0 t60
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = Funding 0.02 for Some(SymbolId(0)) t120
         = Funding -0.04 c1 for Some(SymbolId(1)) t120
         = cash 1020.02 + -40.04 held -1 4 ambiguous 0 of 6",
    );
}

#[test]
fn fee_tiers_count_in_the_reporting_currency() {
    // 3 x 10 Y are 600 X, which reaches the tier from 500 on: 1 bp instead of 100.
    check(
        &execution(
            r#""fee_bps": 100, "fee_tiers": [{"traded": 500, "maker_bps": 1, "taker_bps": 1}], "#,
            "Y",
        ),
        &account(r#"{"X": 1000, "Y": 50}"#, ""),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         buy 3 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #0 bought 3 at 10 c1 fee 0.3 slip 0 spread 0 left 0 t60
         buy 1 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #1 bought 1 at 10 c1 fee 0.001 slip 0 spread 0 left 0 t120
         = cash 1000 + 9.699 held 0 4 ambiguous 0 of 6",
    );
}

#[test]
fn an_isolated_position_has_its_margin_in_its_own_currency_and_the_exchange_bears_the_rest() {
    // 20 Y of margin for 10 at 10 are free as 1000 X / 20 = 50 Y. Due at 80 / 9 = 8.89, up to 9;
    // the jump to 6 loses 40, of which 20 are the exchange's.
    check(
        &execution("", "Y"),
        &account(r#"{"X": 1000, "Y": 0}"#, ISOLATED),
        "bar 20 20 20 20 x10 / 10 10 10 10 x10
         buy 26 market symbol=1
         buy 10 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #0 InsufficientMargin
         = #1 bought 10 at 10 c1 fee 0 slip 0 spread 0 left 0 t60
         bar 20 20 20 20 x10 / 6 6 6 6 x10
         = #x0 liquidating -10 of SymbolId(1) t120
         = #x0 sold 10 at 6 c1 fee 0 slip 0 spread 0 left 0 t120
         = Insurance 20 c1 for Some(SymbolId(1)) t120
         = cash 1000 + -20 held 0 0 ambiguous 0 of 6",
    );
}

#[test]
fn a_fixed_rate_is_known_from_the_beginning_and_rounds_once() {
    // 1 X is 3.00000003 Y by a rate of 0.33333333: 100 X are 300.000003 Y, so 60 x 10 Y need
    // 300 and are had, and one unit of Q more is not.
    check(
        &execution(r#""lot_size": 0.00000001, "#, "Y"),
        &account(
            r#"{"X": 100, "Y": 0}"#,
            &format!(r#", "rates": {{"Y": 0.33333333}}{CROSS}"#),
        ),
        "buy 60.00000061 market symbol=1
         buy 60.0000006 market symbol=1
         bar 20 20 20 20 x10 / 10 10 10 10 x10
         = #0 InsufficientMargin
         = #1 bought 60.0000006 at 10 c1 fee 0 slip 0 spread 0 left 0 t0
         = cash 100 + -600.000006 held 0 60.0000006 ambiguous 0 of 2",
    );
}
