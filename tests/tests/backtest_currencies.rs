//! `fusebox backtest` with symbols of several currencies: balances, journals, reports, refusals.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test that calls them, and a skipped test says why"
)]

use std::fs;
use std::path::Path;

use fusebox_engine::types::{Bar, BarSeries, TimeFrame, Timestamp};
use fusebox_services::data::parquet;
use fusebox_tests::binary::{Ran, command};
use serde_json::Value;
use tempfile::TempDir;

const PIPELINE: &str = r#"
[run]
name = "currencies"
[data]
exchange = "X"
symbols = ["BTCUSDT", "ETHBTC"]
time_frame = "1h"
[features]
set = ["log_return(1)"]
[model]
plugin = "ai.fusebox.gbm"
[strategy]
entry_threshold = 0.2
exit_threshold = 0.0
[risk]
position_fraction = 0.5
max_symbol_weight = 0.7
max_gross_exposure = 2.0
max_order_notional = 1e6
max_drawdown = 0.9
max_data_age_bars = 0
[execution]
fee_bps = 10
slippage_bps = 0
lot_size = 0.001
tick_size = 0.00001
[portfolio]
currency = "USDT"
initial_cash = { USDT = 10_000.0, BTC = 1.0 }
[evaluation]
random_runs = 5
bootstrap_samples = 200
capacity_multiples = [1, 2]
"#;

fn series(name: &str, prices: &[f64]) -> BarSeries {
    let time_frame: TimeFrame = "1h".parse().unwrap();
    let bars = (0..).zip(prices).map(|(hour, price)| Bar {
        opened_at: Timestamp::from_nanos(hour * time_frame.nanos()),
        closed_at: Timestamp::from_nanos((hour + 1) * time_frame.nanos()),
        open: *price,
        high: *price,
        low: *price,
        close: *price,
        volume: 10.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    });
    BarSeries {
        name: name.to_owned(),
        time_frame,
        bars: bars.collect(),
    }
}

/// Six hours: bitcoins of 10,000 that fall to 9,000, ether of 0.05 that rises to 0.06.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("candles/X");
    fs::create_dir_all(&place).unwrap();
    let write = |name: &str, prices: &[f64]| {
        let file = place.join(format!("{name}-1h.parquet"));
        parquet::write(&file, &series(name, prices)).unwrap();
    };
    write(
        "BTCUSDT",
        &[10_000.0, 10_000.0, 10_000.0, 9_000.0, 9_000.0, 9_000.0],
    );
    write("ETHBTC", &[0.05, 0.05, 0.05, 0.05, 0.06, 0.06]);
    fs::write(dir.path().join("pipeline.toml"), PIPELINE).unwrap();
    let mut text = String::from("closed_at,symbol,p_down,p_flat,p_up\n");
    for (hour, up) in (1..).zip([0.9, 0.9, 0.9, 0.9, 0.3, 0.3]) {
        let down = if up > 0.5 { 0.1 } else { 0.7 };
        text += &format!("1970-01-01T{hour:02}:00:00Z,ETHBTC,{down},0,{up}\n");
    }
    fs::write(dir.path().join("predictions.csv"), text).unwrap();
    dir
}

fn backtest(dir: &Path, more: &[&str]) -> Ran {
    let mut command = command(dir);
    command
        .args(["backtest", "pipeline.toml", "--json", "--data", "candles"])
        .args(more);
    Ran::from(command.output().unwrap())
}

fn traded(dir: &Path, more: &[&str]) -> Value {
    let own = ["--predictions", "predictions.csv"];
    let ran = backtest(dir, &[&own[..], more].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
}

#[test]
fn ether_is_bought_with_bitcoins_and_the_report_tells_the_currencies_part() {
    let dir = folder();
    let told = traded(dir.path(), &["--out", "out"]);
    // 20,000 USDT; half of it is 1 BTC, which buys 20 less the fee: 19.98 at 0.05 cost 0.999 and
    // 0.000999. They are sold at 0.06 for 1.1988 less 0.0011988.
    assert_eq!(told["currency"], "USDT");
    assert_eq!(told["fills"], 2);
    let [usdt, btc] = [0, 1].map(|at| told["balances"][at].clone());
    assert_eq!(
        (usdt["currency"].as_str(), btc["currency"].as_str()),
        (Some("USDT"), Some("BTC"))
    );
    near(number(&usdt["cash"]), 10_000.0);
    near(
        number(&btc["cash"]),
        1.0 - 0.999 - 0.000_999 + 1.1988 - 0.001_198_8,
    );
    near(number(&btc["fees"]), 0.002_197_8);
    near(number(&btc["rate"]), 9_000.0);
    assert_eq!(btc["source"], "BTCUSDT");
    let equity: f64 = told["final_equity"].as_str().unwrap().parse().unwrap();
    near(equity, 10_000.0 + number(&btc["cash"]) * 9_000.0);
    let costs = &told["costs"];
    // 0.999001 BTC were there when the bitcoin fell by 1,000: less the first fee, in hour 3.
    near(
        number(&costs["currency_effect"]),
        -1_000.0 * (1.0 - 0.000_999),
    );
    near(number(&costs["gross_profit"]), 19.98 * 0.01 * 9_000.0);
    near(
        number(&costs["fees"]),
        0.000_999 * 10_000.0 + 0.001_198_8 * 9_000.0,
    );
    let left = number(&costs["gross_profit"]) - number(&costs["fees"]);
    near(
        left + number(&costs["currency_effect"]),
        number(&costs["net_profit"]),
    );
    near(number(&costs["net_profit"]), equity - 20_000.0);
    let trades = fs::read_to_string(dir.path().join("out/trades.csv")).unwrap();
    let lines: Vec<&str> = trades.lines().collect();
    assert!(lines[0].ends_with("exit_reason,currency,rate"), "{trades}");
    assert!(lines[1].ends_with("signal,BTC,9000"), "{trades}");
    let curve = fs::read_to_string(dir.path().join("out/equity.csv")).unwrap();
    assert!(curve.lines().nth(1).unwrap().ends_with(",USDT"), "{curve}");
    let page = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    for part in ["By currency", "Currencies", "Rate from"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn journals_repeat_by_currency_whatever_the_threads_and_the_stream() {
    let dir = folder();
    let with = |threads: &str, journal: &str| {
        let set = format!("run.threads={threads}");
        traded(dir.path(), &["--set", &set, "--journal", journal])
    };
    let (one, two) = (with("1", "one.jsonl"), with("2", "two.jsonl"));
    assert_eq!(one["journal_digest"], two["journal_digest"]);
    let streamed = traded(dir.path(), &["--stream", "--journal", "three.jsonl"]);
    assert_eq!(streamed["journal_digest"], one["journal_digest"]);
    assert_eq!(streamed["balances"]["USDT"], "10000");
    assert_eq!(streamed["final_equity"], one["final_equity"]);
    let again = backtest(dir.path(), &["--replay", "one.jsonl"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["differences"], 0);
    assert_eq!(again["cash_differences"]["USDT"], "0");
    assert_eq!(again["cash_differences"]["BTC"], "0");
    let dearer = ["--replay", "one.jsonl", "--set", "execution.fee_bps=11"];
    let dearer = backtest(dir.path(), &dearer);
    assert_eq!(dearer.code, Some(1), "{dearer:?}");
    let dearer: Value = serde_json::from_str(&dearer.stdout).unwrap();
    assert_eq!(dearer["cash_differences"]["USDT"], "0");
    assert_ne!(dearer["cash_differences"]["BTC"], "0");
    let line = fs::read_to_string(dir.path().join("one.jsonl")).unwrap();
    let start: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(start["format"], 2);
    assert_eq!(
        start["currencies"]["names"],
        serde_json::json!(["USDT", "BTC"])
    );
    assert_eq!(
        start["currencies"]["rates"],
        serde_json::json!(["1", "BTCUSDT"])
    );
}

/// Candles of a symbol in the data directory, those of before replaced.
fn set_candles(dir: &Path, name: &str, prices: &[f64], first_hour: i64) {
    let mut series = series(name, prices);
    for bar in &mut series.bars {
        let shift = first_hour * 3_600_000_000_000;
        bar.opened_at = bar.opened_at.saturating_add_nanos(shift);
        bar.closed_at = bar.closed_at.saturating_add_nanos(shift);
    }
    let file = dir.join(format!("candles/X/{name}-1h.parquet"));
    let _ = fs::remove_file(&file);
    parquet::write(&file, &series).unwrap();
}

#[test]
fn an_account_whose_rates_never_come_is_refused_with_the_key_to_set() {
    let dir = folder();
    // Bitcoins are traded long after the last prediction.
    set_candles(dir.path(), "BTCUSDT", &[10_000.0; 3], 500);
    let own = ["--predictions", "predictions.csv"];
    for more in [
        &["--out", "out"][..],
        &["--journal", "journal.jsonl"],
        &["--stream", "--journal", "journal.jsonl"],
    ] {
        let ran = backtest(dir.path(), &[&own[..], more].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(told["error"]["kind"], "config");
        let words = told["error"]["message"].as_str().unwrap();
        for part in [
            "none of the 6 steps from 1970-01-01T01:00:00Z to 1970-01-01T06:00:00Z",
            "`portfolio.rates.BTC` never had a value",
            "BTCUSDT has no bar in any of them",
            "set a number (USDT for one BTC), take data that has bars of BTCUSDT, or leave BTC out \
             of `portfolio.initial_cash`",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        for left in ["out", "journal.jsonl"] {
            assert!(!dir.path().join(left).exists(), "{left}");
        }
    }
    // What was said helps.
    let set = ["--set", "portfolio.rates={BTC=9500}"];
    let told = traded(dir.path(), &set);
    assert_eq!(
        (&told["fills"], &told["warnings"]),
        (&2.into(), &serde_json::json!([]))
    );
}

#[test]
fn a_currency_without_a_rate_is_warned_of_in_the_summary_the_page_and_the_journal() {
    let dir = folder();
    set_candles(dir.path(), "BTCUSDT", &[10_000.0; 3], 500);
    let sets = [
        "--set",
        "portfolio={currency=\"USDT\",initial_cash=10000,allow_short=true}",
    ];
    let with = |more: &[&'static str]| [&sets[..], more].concat();
    let told = traded(dir.path(), &with(&["--out", "out"]));
    let warning = "`portfolio.rates.BTC` never had a value: BTCUSDT has no bar in the time that \
                   was traded, so nothing could be opened in ETHBTC; set a number (USDT for one \
                   BTC), or take data that has such bars";
    let is_told = |told: &Value| {
        let told = told["warnings"].as_array().unwrap();
        told.iter().any(|one| one == warning)
    };
    assert!(is_told(&told), "{told}");
    assert_eq!(
        (&told["fills"], &told["refusals"]["no_rate"]),
        (&0.into(), &4.into())
    );
    let page = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("nothing could be opened in ETHBTC"));
    let metrics = fs::read_to_string(dir.path().join("out/metrics.json")).unwrap();
    assert!(
        is_told(&serde_json::from_str::<Value>(&metrics).unwrap()["market"]),
        "{metrics}"
    );
    let journal = fs::read_to_string(dir.path().join("out/journal.jsonl")).unwrap();
    let end: Value = serde_json::from_str(journal.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&end["event"], &end["without_rate"]),
        (&"session_ended".into(), &serde_json::json!([1]))
    );
    let streamed = traded(dir.path(), &with(&["--stream"]));
    assert!(is_told(&streamed), "{streamed}");
    let text = [
        "backtest",
        "pipeline.toml",
        "--data",
        "candles",
        "--predictions",
        "predictions.csv",
    ];
    for more in [&[][..], &["--stream"]] {
        let text = [&text[..], &with(more)].concat();
        let ran = Ran::from(command(dir.path()).args(&text).output().unwrap());
        assert!(
            ran.stdout.contains(&format!("note: {warning}\n")),
            "{ran:?}"
        );
    }
}

#[test]
fn steps_before_the_first_rate_are_told_of() {
    let dir = folder();
    set_candles(
        dir.path(),
        "BTCUSDT",
        &[10_000.0, 10_000.0, 9_000.0, 9_000.0],
        2,
    );
    let told = traded(dir.path(), &[]);
    let words = told["warnings"].to_string();
    assert!(
        words.contains("the first 2 steps passed before everything"),
        "{words}"
    );
    assert_eq!(told["fills"], 2);
}

#[test]
fn runs_of_other_reporting_currencies_are_warned_of() {
    let dir = folder();
    traded(dir.path(), &["--out", "first"]);
    traded(
        dir.path(),
        &["--out", "second", "--set", "portfolio.currency=BTC"],
    );
    let compared = command(dir.path())
        .args(["compare", "first", "second", "--json"])
        .output()
        .unwrap();
    let compared = Ran::from(compared);
    let text = format!("{}{}", compared.stdout, compared.stderr);
    assert!(
        text.contains("count in different currencies: USDT and BTC"),
        "{text}"
    );
}

#[test]
fn everything_that_is_wrong_with_currencies_is_told_at_once() {
    let dir = folder();
    let told = |sets: &[&str]| {
        let mut more = vec!["--predictions", "predictions.csv"];
        for set in sets {
            more.extend(["--set", set]);
        }
        let ran = backtest(dir.path(), &more);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        ran.stderr
    };
    let words = told(&[
        "data.symbols=[\"BTCUSDT\",\"ETHBTC\",\"SPY\"]",
        "portfolio.initial_cash.EUR=-5",
        "portfolio.initial_cash.BTC=0",
        "portfolio.rates={BTC=0,JPY=0.007}",
        "execution.min_notional=10",
    ]);
    for part in [
        "`portfolio.initial_cash.EUR` is -5",
        "`portfolio.rates.EUR` is missing: no symbol of the run links EUR with USDT",
        "`portfolio.rates.BTC` is 0; it must be above 0",
        "`portfolio.rates.JPY` is the rate of no currency of the run",
        "do not say what SPY trade",
        "`portfolio.initial_cash.BTC` is nothing, so this account can never buy ETHBTC",
        "`execution.min_notional` is 10 of whatever",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let words = told(&["portfolio.initial_cash=\"much\""]);
    assert!(words.contains("it must be a number or a table"), "{words}");
    let words = told(&["execution.symbols.ETHBTC.quote=GBP"]);
    assert!(
        words.contains("`portfolio.rates.GBP` is missing"),
        "{words}"
    );
}

#[test]
fn a_sweep_says_that_it_has_no_rates() {
    let dir = folder();
    let sweep = [
        "--predictions",
        "predictions.csv",
        "--sweep",
        "strategy.exit_threshold=0.0,0.1",
    ];
    let ran = backtest(dir.path(), &sweep);
    assert_ne!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("there are several (USDT, BTC)"),
        "{}",
        ran.stderr
    );
}

/// Recorded dollars and ether in dollars make an account in ether: what bitcoins are worth in ether
/// goes by the dollar between, turned round once.
#[test]
fn recorded_candles_give_rates_by_one_currency_between() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if !data.join("BINANCE/BTCUSDT-1h.parquet").is_file() {
        println!("skipped: there are no recorded candles in ../shared/data beside the project");
        return;
    }
    let dir = folder();
    let mut text = String::from("closed_at,symbol,p_down,p_flat,p_up\n");
    for hour in 0..480_u32 {
        let (day, of_day) = (1 + hour / 24, hour % 24);
        let up = 0.5 + 0.45 * (f64::from(hour) * 0.3).sin();
        text += &format!(
            "2025-03-{day:02}T{of_day:02}:00:00Z,ETHUSDT,{:.4},0,{up:.4}\n",
            1.0 - up
        );
    }
    fs::write(dir.path().join("predictions.csv"), text).unwrap();
    let data = data.to_string_lossy().into_owned();
    let sets = [
        "data.exchange=BINANCE",
        "data.symbols=[\"BTCUSDT\",\"ETHUSDT\"]",
        "portfolio.currency=ETH",
        "portfolio.initial_cash={USDT=50000,BTC=1,ETH=2}",
    ];
    let mut more = vec!["backtest", "pipeline.toml", "--json", "--data", &data];
    more.extend([
        "--predictions",
        "predictions.csv",
        "--journal",
        "journal.jsonl",
    ]);
    for set in sets {
        more.extend(["--set", set]);
    }
    // The text of the pipeline has a table already, which the whole one replaces.
    let ran = Ran::from(command(dir.path()).args(&more).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(told["fills"].as_u64().unwrap() > 20, "{told}");
    let sources: Vec<&str> = told["balances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["1", "BTCUSDT x 1/ETHUSDT", "1/ETHUSDT"]);
    let mut again = more[..5].to_vec();
    again.extend(["--replay", "journal.jsonl"]);
    for set in sets {
        again.extend(["--set", set]);
    }
    let again = Ran::from(command(dir.path()).args(&again).output().unwrap());
    assert_eq!(again.code, Some(0), "{again:?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    for name in ["ETH", "BTC", "USDT"] {
        assert_eq!(again["cash_differences"][name], "0");
    }
}
