//! What symbols and settings make of currencies, and everything that can be wrong with them.

use super::*;
use crate::execution::SymbolConfig;

/// Settings of the account from JSON; it may borrow where `borrows`.
fn account(text: &str, borrows: bool) -> PortfolioConfig {
    let mut full: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    full.insert("allow_short".to_owned(), borrows.into());
    serde_json::from_value(full.into()).unwrap()
}

fn execution(own: &[(&str, &str, &str)]) -> ExecutionConfig {
    let mut config = ExecutionConfig::costing(1.0, 1.0);
    for (name, base, quote) in own {
        let own = SymbolConfig {
            base: Some((*base).to_owned()),
            quote: Some((*quote).to_owned()),
            ..SymbolConfig::default()
        };
        config.symbols.insert((*name).to_owned(), own);
    }
    config
}

fn resolved(text: &str, borrows: bool, names: &[&str]) -> Currencies {
    Currencies::resolve(&account(text, borrows), &execution(&[]), names).unwrap()
}

fn problems(text: &str, borrows: bool, names: &[&str]) -> Vec<String> {
    let found = Currencies::resolve(&account(text, borrows), &execution(&[]), names);
    let found = found.unwrap_err();
    found.iter().map(ToString::to_string).collect()
}

/// What one is worth, where every symbol closes at its number below.
fn rate(currencies: &Currencies, name: &str, closes: &[&str]) -> Option<f64> {
    let at = currencies
        .names()
        .iter()
        .position(|own| own == name)
        .unwrap();
    let close = |symbol: SymbolId| closes.get(symbol.index())?.parse().ok();
    let rate = currencies.rate(CurrencyId(u16::try_from(at).unwrap()), close);
    rate.map(Rate::to_f64)
}

#[test]
fn one_quote_is_the_currency_whether_it_is_known_or_not() {
    for (names, name) in [
        (["BTCUSDT", "ETHUSDT"], "USDT"),
        (["BTCUSDT", "SPY"], "USDT"),
        (["SPY", "GLD"], "quote"),
    ] {
        let found = resolved(r#"{"initial_cash": 5}"#, false, &names);
        assert!(found.is_single());
        assert_eq!(found.names(), [name]);
        assert_eq!(found.initial()[0].to_string(), "5");
        assert_eq!(found.rate_symbols(), []);
    }
    let named = resolved(r#"{"initial_cash": {"USD": 5}}"#, false, &["SPY"]);
    assert_eq!(
        (named.names(), named.is_single()),
        (&["USD".to_owned()][..], true)
    );
    let set = resolved(r#"{"initial_cash": 5, "currency": "EUR"}"#, false, &["SPY"]);
    assert_eq!(set.names(), ["EUR"]);
}

#[test]
fn rates_come_from_symbols_turned_round_and_by_one_between() {
    let names = ["BTCUSDT", "ETHBTC", "USDTTRY", "LTCETH"];
    let text = r#"{"initial_cash": 5, "currency": "USDT", "rates": {"ETH": "ETHBTC"}}"#;
    let found = resolved(text, true, &names);
    assert_eq!(found.names(), ["USDT", "BTC", "ETH", "TRY"]);
    let quotes: Vec<u16> = found.quotes().iter().map(|one| one.0).collect();
    assert_eq!(quotes, [0, 1, 3, 2]);
    let closes = ["64000", "0.05", "40", "0.1"];
    let all: Vec<Option<f64>> = found
        .names()
        .iter()
        .map(|name| rate(&found, name, &closes))
        .collect();
    assert_eq!(all, [Some(1.0), Some(64_000.0), Some(3_200.0), Some(0.025)]);
    let symbols = names.map(str::to_owned);
    let words = found.sources_in_words(&symbols);
    assert_eq!(words, ["1", "BTCUSDT", "ETHBTC x BTCUSDT", "1/USDTTRY"]);
    assert_eq!(
        rate(&found, "ETH", &["64000"]),
        None,
        "ETHBTC has not traded"
    );
    // Without a word about it, the same way is found.
    let text = r#"{"initial_cash": 5, "currency": "USDT"}"#;
    let found = resolved(text, true, &names);
    assert_eq!(found.sources_in_words(&symbols), words);
}

#[test]
fn a_number_is_a_rate_and_the_second_step_may_be_one() {
    let text = r#"{"initial_cash": {"USDT": 5, "EUR": 2.5}, "currency": "USDT",
                   "rates": {"EUR": 1.08}}"#;
    let found = resolved(text, true, &["BTCUSDT", "ETHBTC", "BTCEUR"]);
    assert_eq!(found.names(), ["USDT", "BTC", "EUR"]);
    assert_eq!(found.initial()[2].to_string(), "2.5");
    assert_eq!(rate(&found, "EUR", &[]), Some(1.08));
    let text = r#"{"initial_cash": 5, "currency": "USDT", "rates": {"EUR": 1.08}}"#;
    let found = resolved(text, true, &["ETHBTC", "BTCEUR"]);
    assert_eq!(rate(&found, "BTC", &["0.05", "50000"]), Some(54_000.0));
}

#[test]
fn several_quotes_need_a_reporting_currency() {
    let found = problems(r#"{"initial_cash": 5}"#, true, &["BTCUSDT", "ETHBTC"]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("`portfolio.currency` is not set"),
        "{found:?}"
    );
    assert!(
        found[0].contains("(BTC of ETHBTC, USDT of BTCUSDT)"),
        "{found:?}"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    // No symbol links GBP; GLD and SPY say nothing; EUR is nobody's; USDT is the reporting one.
    let text = r#"{"initial_cash": {"USDT": 5, "GBP": 1}, "currency": "USDT",
                   "rates": {"EUR": 1.1, "USDT": 1.0, "BTC": "ETHUSDT"}}"#;
    let names = ["BTCUSDT", "ETHBTC", "ETHUSDT", "SPY", "GLD"];
    let mut execution = execution(&[]);
    execution.min_notional = 10.0;
    let found = Currencies::resolve(&account(text, false), &execution, &names);
    let found: Vec<String> = found.unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "`execution.symbols` do not say what SPY, GLD trade",
        "`execution.min_notional` is 10 of whatever",
        "`portfolio.rates.EUR` is the rate of no currency of the run; it has USDT, BTC, GBP",
        "`portfolio.rates.USDT` is the rate of the reporting currency",
        "`portfolio.rates.BTC` is to come from ETHUSDT, which does not trade BTC",
        "`portfolio.rates.GBP` is missing: no symbol of the run links GBP with USDT",
        "`execution.min_notional` is 10, more than the 5 USDT that the account begins with: \
         BTCUSDT, ETHUSDT could never be bought",
        "`portfolio.initial_cash.BTC` is nothing, so this account can never buy ETHBTC",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn ways_that_are_not_one_are_refused() {
    let text =
        |rates: &str| format!(r#"{{"initial_cash": 5, "currency": "USDT", "rates": {{{rates}}}}}"#);
    let two = ["BTCUSDT", "BTC-USDT", "ETHBTC"];
    let found = problems(&text(""), true, &two);
    assert!(
        found[0].contains("several symbols say what BTC is worth"),
        "{found:?}"
    );
    assert!(found[0].contains("(BTCUSDT, BTC-USDT)"), "{found:?}");
    let chosen = resolved(&text(r#""BTC": "BTC-USDT""#), true, &two);
    assert_eq!(rate(&chosen, "BTC", &["1", "2", "3"]), Some(2.0));
    // ETH by BTC and by EUR.
    let names = ["BTCUSDT", "EURUSDT", "ETHBTC", "ETHEUR", "LTCETH"];
    let found = problems(&text(""), true, &names);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("several ways lead to USDT"), "{found:?}");
    assert!(
        found[0].contains("by ETHBTC and BTC; by ETHEUR and EUR"),
        "{found:?}"
    );
    // One that leads on in a circle, or further than one currency.
    let names = ["LTCETH", "ETHBTC"];
    let circle = r#""ETH": "ETHBTC", "BTC": "ETHBTC""#;
    let found = problems(&text(circle), true, &names);
    assert_eq!(found.len(), 2);
    assert!(
        found[0].contains("leads to ETH, and ETH has no rate in USDT"),
        "{found:?}"
    );
    assert!(
        found[1].contains("leads to BTC, and BTC has no rate in USDT"),
        "{found:?}"
    );
    let found = problems(&text(r#""BTC": "NOWHERE""#), true, &["ETHBTC"]);
    assert!(
        found[0].contains("NOWHERE, which is no symbol of the run"),
        "{found:?}"
    );
}

#[test]
fn what_lies_between_may_have_a_rate_though_nothing_is_quoted_in_it() {
    let text =
        |rates: &str| format!(r#"{{"initial_cash": 5, "currency": "USDT", "rates": {{{rates}}}}}"#);
    let names = ["BTCEUR", "BTCUSDT", "BTC-USDT"];
    let found = problems(&text(""), true, &names);
    assert_eq!(found.len(), 1);
    for part in [
        "`portfolio.rates.EUR` could be taken by BTCEUR and BTC",
        "(BTCUSDT, BTC-USDT)",
    ] {
        assert!(found[0].contains(part), "{part}: {found:?}");
    }
    let symbols = names.map(str::to_owned);
    let chosen = resolved(&text(r#""BTC": "BTC-USDT""#), true, &names);
    assert_eq!(
        chosen.sources_in_words(&symbols),
        ["1", "1/BTCEUR x BTC-USDT"]
    );
    let fixed = resolved(&text(r#""BTC": 60000"#), true, &names[..1]);
    assert_eq!(rate(&fixed, "EUR", &["50000"]), Some(1.2));
    // Where EUR has a rate of its own, nobody asks for one of BTC.
    let found = problems(&text(r#""BTC": 60000, "EUR": 1.1"#), true, &names[..1]);
    assert!(
        found[0].contains("`portfolio.rates.BTC` is the rate of no currency"),
        "{found:?}"
    );
}

#[test]
fn least_sizes_beyond_the_balance_of_their_currency_are_refused() {
    let text = r#"{"initial_cash": {"USDT": 100, "BTC": 0.5}, "currency": "USDT"}"#;
    let names = ["BTCUSDT", "ETHBTC"];
    let mut execution = execution(&[]);
    execution.min_notional = 200.0;
    let own = SymbolConfig {
        min_notional: Some(0.6),
        ..SymbolConfig::default()
    };
    execution.symbols.insert("ETHBTC".to_owned(), own);
    let told = |borrows: bool| {
        let found = Currencies::resolve(&account(text, borrows), &execution, &names);
        let found = found.err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = told(false);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("`execution.min_notional` is 200, more than the 100 USDT"));
    assert!(found[1].starts_with("`execution.symbols.ETHBTC.min_notional` is 0.6, more than"));
    assert_eq!(told(true), Vec::<String>::new(), "it may borrow");
}

#[test]
fn settings_say_what_names_do_not_and_overrule_them() {
    let own = execution(&[
        ("SPY", "SPY", "USD"),
        ("GLD", "GLD", "EUR"),
        ("FX", "EUR", "USD"),
    ]);
    let account = account(r#"{"initial_cash": 5, "currency": "USD"}"#, true);
    let found = Currencies::resolve(&account, &own, &["SPY", "GLD", "FX"]).unwrap();
    assert_eq!(found.names(), ["USD", "EUR"]);
    assert_eq!(rate(&found, "EUR", &["1", "2", "1.25"]), Some(1.25));
    let same = execution(&[("BTCUSDT", "USDT", "USDT")]);
    let found = Currencies::resolve(&account, &same, &["BTCUSDT"]).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        found[0].contains("has USDT as its base and as its quote"),
        "{found:?}"
    );
}
