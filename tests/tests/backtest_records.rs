//! `fusebox backtest` with what a venue recorded beside its bars: finer bars, order books, funding
//! rates, and symbols with rules of their own.
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
name = "records"
[data]
exchange = "X"
symbols = ["A"]
time_frame = "1h"
[features]
set = ["log_return(1)"]
[model]
plugin = "ai.fusebox.gbm"
[strategy]
entry_threshold = 0.2
exit_threshold = 0.0
[strategy.protection]
stop_loss = 0.1
take_profit = 0.1
[risk]
position_fraction = 0.6
max_symbol_weight = 0.7
max_gross_exposure = 1.0
max_order_notional = 1e6
max_drawdown = 0.9
max_data_age_bars = 0
[execution]
fee_bps = 10
slippage_bps = 0
lot_size = 0.1
tick_size = 0.01
[portfolio]
initial_cash = 10_000.0
"#;

fn series(time_frame: &str, rows: &[(i64, [f64; 4])]) -> BarSeries {
    let time_frame: TimeFrame = time_frame.parse().unwrap();
    let bars = rows.iter().map(|&(minute, [open, high, low, close])| {
        let opened_at = Timestamp::from_nanos(minute * 60_000_000_000);
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
            open,
            high,
            low,
            close,
            volume: 10.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    });
    BarSeries {
        name: "A".to_owned(),
        time_frame,
        bars: bars.collect(),
    }
}

/// Four hours, the third with a stop and a take-profit in it, and the quarters of the third.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let flat = [100.0; 4];
    let hours = [
        (0, flat),
        (60, flat),
        (120, [100.0, 112.0, 88.0, 100.0]),
        (180, flat),
    ];
    let quarters = [
        (120, flat),
        (150, [105.0, 112.0, 104.0, 111.0]),
        (165, [95.0, 100.0, 88.0, 100.0]),
    ];
    let place = dir.path().join("candles/X");
    fs::create_dir_all(&place).unwrap();
    parquet::write(&place.join("A-1h.parquet"), &series("1h", &hours)).unwrap();
    parquet::write(&place.join("A-15m.parquet"), &series("15m", &quarters)).unwrap();
    fs::write(dir.path().join("records.toml"), PIPELINE).unwrap();
    let text = "closed_at,symbol,p_down,p_flat,p_up\n\
                1970-01-01T01:00:00Z,A,0.1,0,0.9\n\
                1970-01-01T02:00:00Z,A,0.3,0.4,0.3\n\
                1970-01-01T03:00:00Z,A,0.3,0.4,0.3\n\
                1970-01-01T04:00:00Z,A,0.3,0.4,0.3\n";
    fs::write(dir.path().join("predictions.csv"), text).unwrap();
    dir
}

fn backtest(dir: &Path, more: &[&str]) -> Ran {
    let mut command = command(dir);
    command
        .args(["backtest", "records.toml", "--json"])
        .args(more);
    if !more.contains(&"--data") {
        command.args(["--data", "candles"]);
    }
    Ran::from(command.output().unwrap())
}

fn traded(dir: &Path, more: &[&str]) -> Value {
    let own = ["--predictions", "predictions.csv"];
    let ran = backtest(dir, &[&own[..], more].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn finer_bars_resolve_the_hour_and_the_journal_repeats_with_them() {
    let dir = folder();
    // 60 at 100, stopped at 90: the hour alone counts as the worse. 10 bps of 6 000 and 5 400.
    let plain = traded(dir.path(), &[]);
    assert_eq!(plain["final_equity"], "9388.6");
    // The quarters say that 110 came first: 10 bps of 6 000 and 6 600.
    let fine = ["--set", "execution.fine_time_frame=15m"];
    let journal = ["--journal", "journal.jsonl"];
    let resolved = traded(dir.path(), &[&fine[..], &journal].concat());
    assert_eq!(resolved["final_equity"], "10587.4");
    let warning = resolved["warnings"].to_string();
    for part in [
        "of 4 1h bars that are traded",
        "3 have no 15m bar in them",
        "1 lack some of their 15m bars",
    ] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    let replay = ["--replay", "journal.jsonl"];
    let again = backtest(dir.path(), &[&replay[..], &fine].concat());
    assert_eq!(again.code, Some(0), "{again:?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&again["differences"], &again["fills"]),
        (&0.into(), &2.into())
    );
    // Without them it is another exchange, and the exit code says so.
    assert_eq!(backtest(dir.path(), &replay).code, Some(1));
    let sweep = [
        "--predictions",
        "predictions.csv",
        "--sweep",
        "strategy.entry_threshold=0.1,0.2",
    ];
    let swept = backtest(dir.path(), &[&sweep[..], &fine].concat());
    assert_eq!(swept.code, Some(2));
    assert!(
        swept.stderr.contains("a sweep leaves them out"),
        "{swept:?}"
    );
    let stream = ["--predictions", "predictions.csv", "--stream"];
    let streamed = backtest(dir.path(), &[&stream[..], &fine].concat());
    assert_eq!(streamed.code, Some(2), "{streamed:?}");
    assert!(
        streamed.stderr.contains("--stream leaves out"),
        "{streamed:?}"
    );
}

#[test]
fn books_fundings_and_rules_of_a_symbol_are_paid_to_the_last_unit() {
    let dir = folder();
    let books = "ts,side,price,size\n3600,bid,199,1000\n3600,ask,201,40\n3600,ask,204,1000\n";
    fs::write(dir.path().join("books.csv"), books).unwrap();
    let rates = "ts,symbol,rate\n3600,A,0.5\n7200,A,0.001\n10800,Z,1\n";
    fs::write(dir.path().join("rates.csv"), rates).unwrap();
    // Rates are checked for the run's symbols only, and half of the value is too much for one.
    let wrong = ["--predictions", "predictions.csv", "--set"];
    let wrong = backtest(
        dir.path(),
        &[&wrong[..], &["execution.funding_file=rates.csv"]].concat(),
    );
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.stderr.contains("line 2: the rate is 0.5"),
        "{wrong:?}"
    );
    let rates = rates.replace("0.5", "0.05");
    fs::write(dir.path().join("rates.csv"), rates).unwrap();
    let told = traded(
        dir.path(),
        &[
            "--set",
            "execution.funding_file=rates.csv",
            "--set",
            "execution.slippage={kind=\"book\",file=\"books.csv\",max_age_ms=3600000,\
             otherwise_bps=100}",
            "--set",
            "execution.symbols.A={fee_bps=20,lot_size=7}",
        ],
    );
    // 60 are 56 in lots of 7. 40 are 0.5 % from the middle of 200 and 16 are 2 %: 201.85714286 on
    // average, 0.92857143 % away, 100.92857143 up to 100.93. The funding of 01:00 is due before
    // anything is held; at 02:00, 10 bps of 56 x 100. The stop of 90 meets the book of an hour
    // before, just young enough: 0.5 % of 90, 89.55.
    // 10 000 - 56 x 100.93 - 11.30416 - 5.6 + 56 x 89.55 - 10.0296.
    assert_eq!(told["final_equity"], "9335.78624");
    assert_eq!(told["fills"], 2);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let dir = folder();
    let ran = backtest(
        dir.path(),
        &[
            "--predictions",
            "predictions.csv",
            "--set",
            "execution.fine_time_frame=7m",
            "--set",
            "execution.funding_file=rates.csv",
            "--set",
            "execution.funding={interval_hours=8,rate_bps=1}",
            "--set",
            "execution.spread_bps=2",
            "--set",
            "execution.min_notional=20000",
            "--set",
            "execution.slippage={kind=\"book\",file=\"b.csv\",max_age_ms=0,otherwise_bps=-1}",
            "--set",
            "execution.symbols={B={max_leverage=2,lot_size=0}}",
        ],
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for part in [
        "`execution.fine_time_frame` is 7m, which does not divide",
        "`execution.funding_file` is set beside a constant rate",
        "`execution.spread_bps` is set beside",
        "`execution.min_notional` is 20000, more than the account can pay for (10000)",
        "max_age_ms",
        "otherwise_bps",
        "`execution.symbols.B` is no symbol of the run",
        "execution.symbols.B.lot_size",
        "`execution.symbols.B.max_leverage` is for accounts with",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let finer = backtest(
        dir.path(),
        &[
            "--predictions",
            "predictions.csv",
            "--set",
            "execution.fine_time_frame=1m",
            "--set",
            "execution.symbols={A={lot_size=1000}}",
        ],
    );
    // There is no 1m file, and nothing finer.
    assert_eq!(finer.code, Some(1), "{finer:?}");
    assert!(finer.stderr.contains("A has no 1m bars"), "{finer:?}");
    let mixed = ["--predictions", "predictions.csv", "--set"];
    let mixed = backtest(
        dir.path(),
        &[&mixed[..], &["data.symbols=[\"BTCUSDT\",\"ETHBTC\"]"]].concat(),
    );
    assert_eq!(mixed.code, Some(2), "{mixed:?}");
    let words = "there are several currencies (BTC of ETHBTC, USDT of";
    assert!(mixed.stderr.contains(words), "{mixed:?}");
    let large = ["--predictions", "predictions.csv", "--set"];
    let large = backtest(
        dir.path(),
        &[&large[..], &["execution.lot_size=114"]].concat(),
    );
    assert_eq!(large.code, Some(2), "{large:?}");
    assert!(
        large.stderr.contains("of A is 114, which costs 10032"),
        "{large:?}"
    );
}

/// A lot that is too large needs prices to be found, and keys that are missing leave tables that
/// cannot be read: neither keeps the rest from being told.
#[test]
fn an_impossible_lot_and_missing_keys_are_told_with_the_rest() {
    let dir = folder();
    let all = [
        "--predictions",
        "predictions.csv",
        "--set",
        "execution.lot_size=114",
        "--set",
        "execution.maker_fee_bps=-1000",
        "--set",
        "portfolio.margin={mode=\"cross\",leverage=0}",
        "--set",
        "execution.slippage={kind=\"impact\"}",
        "--set",
        "risk={}",
    ];
    let all = backtest(dir.path(), &all);
    assert_eq!(all.code, Some(2), "{all:?}");
    for part in [
        "of A is 114, which costs 10032",
        "`execution.maker_fee_bps` is -1000; it must be at least",
        "`portfolio.margin.leverage` is 0; it must be at least 1",
        "`portfolio.margin.maintenance` is missing",
        "`execution.slippage.factor` is missing",
        "`execution.slippage.span_bars` is missing",
        "`risk` is an empty table, which changes nothing",
        "`portfolio.margin` needs `allow_short = true`",
    ] {
        assert!(all.stderr.contains(part), "{part}: {}", all.stderr);
    }
    let told: Value = serde_json::from_str(&all.stderr).unwrap();
    assert_eq!(told["error"]["problems"].as_array().unwrap().len(), 8);
}

/// A file that a setting names and that is not there is a mistake in the settings.
#[test]
fn files_that_are_not_there_are_mistakes_of_the_settings() {
    let dir = folder();
    for more in [
        ["--predictions", "none.csv", "--set", "run.seed=1"],
        [
            "--predictions",
            "predictions.csv",
            "--set",
            "execution.funding_file=none.csv",
        ],
    ] {
        let ran = backtest(dir.path(), &more);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("none.csv"), "{ran:?}");
    }
}

/// Recorded hours of one symbol with finer bars: the folder, the symbol, its finer bars, a day.
const RECORDED: [(&str, &str, &str, &str); 2] = [
    ("BINANCE", "BTCUSDT", "15m", "2025-03-"),
    ("BINANCE_UM", "FILUSDT", "1m", "2023-05-"),
];

#[test]
fn recorded_hours_and_their_finer_bars_repeat_to_the_last_unit() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if !data.is_dir() {
        println!("skipped: there are no recorded candles in ../shared/data beside the project");
        return;
    }
    for (exchange, symbol, fine, month) in RECORDED {
        let dir = folder();
        let mut text = String::from("closed_at,symbol,p_down,p_flat,p_up\n");
        for hour in 0..480_u32 {
            let up = 0.45 + 0.3 * (f64::from(hour) * 0.7).sin();
            let (day, of_day) = (1 + hour / 24, hour % 24);
            text.push_str(&format!(
                "{month}{day:02}T{of_day:02}:00:00Z,{symbol},{:.4},0,{up:.4}\n",
                1.0 - up
            ));
        }
        fs::write(dir.path().join("predictions.csv"), text).unwrap();
        let pipeline = PIPELINE
            .replace("\"X\"", &format!("\"{exchange}\""))
            .replace("\"A\"", &format!("\"{symbol}\""))
            .replace("stop_loss = 0.1", "stop_loss = 0.003")
            .replace("take_profit = 0.1", "take_profit = 0.003")
            .replace("lot_size = 0.1", "lot_size = 0.001");
        fs::write(dir.path().join("records.toml"), pipeline).unwrap();
        let data = data.to_str().unwrap();
        let plain = traded(dir.path(), &["--data", data]);
        let fine = format!("execution.fine_time_frame={fine}");
        let finer = ["--data", data, "--set", fine.as_str()];
        let resolved = traded(
            dir.path(),
            &[&finer[..], &["--journal", "journal.jsonl"]].concat(),
        );
        assert!(resolved["fills"].as_u64().unwrap() > 50, "{resolved}");
        assert_ne!(resolved["final_equity"], plain["final_equity"]);
        // Hours made of whole minutes, and downloads that agree, leave nothing to remark.
        let told = resolved["warnings"].to_string();
        assert!(!told.contains("bars that are traded"), "{told}");
        let replay = ["--replay", "journal.jsonl"];
        let again = backtest(dir.path(), &[&replay[..], &finer].concat());
        assert_eq!(again.code, Some(0), "{again:?}");
        let again: Value = serde_json::from_str(&again.stdout).unwrap();
        assert_eq!(again["differences"], 0);
        assert_eq!(again["fills"], resolved["fills"]);
    }
}
