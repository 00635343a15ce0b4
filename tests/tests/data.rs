//! Real candle files, where they are at hand: every one validates, its gaps are those that its
//! documentation counts, and finer bars make the coarser ones that the venue published itself.
//!
//! The files are not part of the project. Without them these tests print why they are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking, and a skipped test says why"
)]

use std::path::{Path, PathBuf};

use fusebox_engine::types::{Bar, BarSeries, Timestamp};
use fusebox_services::data::{
    DataRequest, EntryContent, Severity, ValidateOptions, list, load_market, resample,
    validate_file, validate_paths,
};
use fusebox_services::progress::Silent;

/// Largest relative difference between a resampled value and the published one.
const AGREEMENT: f64 = 1e-9;

fn data_directory() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if dir.is_dir() {
        return Some(dir);
    }
    println!("skipped: there are no recorded candles in ../shared/data beside the project");
    None
}

fn request(symbol: &str, time_frame: &str) -> Option<DataRequest> {
    Some(DataRequest {
        dir: data_directory()?.join("candles"),
        exchange: "BINANCE".to_owned(),
        symbols: vec![symbol.to_owned()],
        time_frame: time_frame.parse().unwrap(),
        from: None,
        to: None,
    })
}

#[test]
fn every_recorded_candle_file_has_no_error() {
    let Some(dir) = data_directory() else { return };
    let paths = [dir.join("candles"), dir.join("other")];
    let reports = validate_paths(&paths, &ValidateOptions::default(), &Silent).unwrap();
    assert!(reports.len() >= 39, "{}", reports.len());
    for report in reports {
        let errors: Vec<_> = report.errors().collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert!(report.gaps.is_some(), "{}", report.file);
    }
}

/// File, rows, absent candles, gaps, long gaps, rows without volume, flat rows.
type Documented = (&'static str, u64, u64, u64, u64, u64, u64);

const DOCUMENTED: [Documented; 7] = [
    ("BINANCE/BTCUSDT-1h.parquet", 35_063, 1, 1, 0, 1, 1),
    ("BINANCE/BTCUSDT-4h.parquet", 18_337, 16, 8, 0, 1, 1),
    ("BINANCE/XRPUSDT-4h.parquet", 16_783, 9, 7, 0, 0, 0),
    ("BINANCE/ETHUSDT-15m.parquet", 35_232, 0, 0, 0, 0, 0),
    (
        "BINANCE_UM/FILUSDT-1m.parquet",
        347_040,
        89_280,
        2,
        2,
        86,
        3_633,
    ),
    (
        "BITFINEX/BTCUSD-1m.parquet",
        1_038_283,
        12_917,
        9_740,
        7,
        0,
        64_891,
    ),
    (
        "BITFINEX/XRPUSD-1m.parquet",
        920_974,
        130_218,
        75_518,
        10,
        0,
        146_921,
    ),
];

#[test]
fn gaps_and_quiet_rows_are_those_that_are_documented() {
    let Some(dir) = data_directory() else { return };
    for (file, rows, missing, count, long, zero_volume, flat) in DOCUMENTED {
        let path = dir.join("candles").join(file);
        let report = validate_file(&path, &ValidateOptions::default());
        let gaps = report.gaps.unwrap();
        assert_eq!(
            (report.rows, gaps.missing, gaps.count, gaps.long),
            (rows, missing, count, long)
        );
        assert_eq!(
            (report.zero_volume_rows, report.flat_rows),
            (zero_volume, flat),
            "{file}"
        );
    }
}

#[test]
fn the_longest_gap_is_where_it_is_documented() {
    let Some(dir) = data_directory() else { return };
    let path = dir.join("candles/BITFINEX/BTCUSD-1m.parquet");
    let gaps = validate_file(&path, &ValidateOptions::default())
        .gaps
        .unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(gaps.longest[0].missing, 197);
    assert_eq!(gaps.longest[0].after, at("2019-01-07T10:00:00Z"));
    assert_eq!(gaps.longest[0].before, at("2019-01-07T13:18:00Z"));
    let missing: Vec<u64> = gaps.longest.iter().map(|gap| gap.missing).collect();
    assert_eq!(missing[..5], [197, 188, 150, 109, 67]);
}

#[test]
fn known_bad_prints_are_pointed_at() {
    let Some(dir) = data_directory() else { return };
    let path = dir.join("other/US_AAPL-1d.parquet");
    let options = ValidateOptions {
        rows_shown: 100,
        ..ValidateOptions::default()
    };
    let report = validate_file(&path, &options);
    let found = report
        .warnings()
        .find(|one| one.code == "possible_bad_print")
        .unwrap();
    for day in ["2009-09-21", "2010-08-31", "2011-01-03"] {
        let at = day.parse().ok();
        assert!(
            found.rows.iter().any(|row| row.opened_at == at),
            "{day}: {}",
            found.message
        );
    }
    assert!(found.count < 20, "{}", found.message);
}

#[test]
fn what_is_no_candle_file_has_every_missing_column_told() {
    let Some(dir) = data_directory() else { return };
    let path = dir.join("ticks/BINANCE/BTCUSDT-bbo.parquet");
    let report = validate_file(&path, &ValidateOptions::default());
    let missing = report.errors().filter(|one| one.code == "missing_column");
    assert_eq!(missing.count(), 6);
    assert!(
        report
            .problems
            .iter()
            .any(|one| one.severity == Severity::Error)
    );
}

#[test]
fn the_list_shows_every_file_with_its_documented_range() {
    let Some(dir) = data_directory() else { return };
    let entries = list(&dir.join("candles")).unwrap();
    assert_eq!(entries.len(), 30);
    let entry = entries
        .iter()
        .find(|entry| entry.path == "BINANCE/BTCUSDT-4h.parquet")
        .unwrap();
    let expected = EntryContent::Candles {
        rows: 18_337,
        first: "2017-08-17T04:00:00Z".parse().ok(),
        last: "2025-12-31T20:00:00Z".parse().ok(),
    };
    assert_eq!(entry.content, expected);
}

#[test]
fn finer_bars_make_the_published_coarser_ones() {
    for (fine, coarse) in [("15m", "1h"), ("1h", "4h"), ("4h", "1d")] {
        for symbol in ["BTCUSDT", "ETHUSDT", "XRPUSDT"] {
            let Some(request) = request(symbol, fine) else {
                return;
            };
            let fine = load_market(&request).unwrap();
            let to = coarse.parse().unwrap();
            let made = resample(&fine.market.series()[0], to).unwrap().series;
            let published = load_market(&DataRequest {
                time_frame: to,
                ..request
            })
            .unwrap();
            let compared = compare(&made, &published.market.series()[0]);
            assert!(
                compared * 100 > made.bars.len() * 99,
                "{symbol} {coarse}: {compared}"
            );
        }
    }
}

/// Asserts that both agree where both have a bar, and says how often that is.
fn compare(made: &BarSeries, published: &BarSeries) -> usize {
    let mut compared = 0;
    for bar in &made.bars {
        let found = published
            .bars
            .binary_search_by_key(&bar.opened_at, |one| one.opened_at);
        if let Ok(at) = found {
            assert_same(&made.name, bar, &published.bars[at]);
            compared += 1;
        }
    }
    compared
}

fn assert_same(name: &str, made: &Bar, published: &Bar) {
    let values = |bar: &Bar| {
        [
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.quote_volume.unwrap(),
            bar.trades.unwrap(),
            bar.taker_buy_volume.unwrap(),
        ]
    };
    assert_eq!(made.closed_at, published.closed_at);
    for (a, b) in values(made).into_iter().zip(values(published)) {
        let scale = a.abs().max(b.abs()).max(1e-9);
        assert!(
            (a - b).abs() <= AGREEMENT * scale,
            "{name} {}: {a} {b}",
            made.opened_at
        );
    }
}
