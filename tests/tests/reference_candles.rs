//! Features and labels on recorded candles, where the optional data folder is at hand.
//!
//! Skips with a printed reason where it is not. Nothing here depends on a value of the recording
//! that its description does not state.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::path::{Path, PathBuf};

use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureKind, FeatureSet, Memory, extract_exact, extract_symbol,
    registry,
};
use fusebox_engine::labels::{LabelConfig, LabelReport, label_series};
use fusebox_engine::types::{BarSeries, Market, SymbolId, Timestamp};
use fusebox_services::data::{DataRequest, load_market};

const OWN: SymbolId = SymbolId(0);

/// The candle folder, or a printed reason why the test is skipped.
fn candles() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there are no recorded candles in ../shared/data/candles");
    None
}

/// One symbol's bars between two dates.
fn load(dir: PathBuf, file: [&str; 3], range: [&str; 2]) -> Market {
    let [exchange, symbol, time_frame] = file;
    let [from, to] = range.map(|text| Some(text.parse().unwrap()));
    let request = DataRequest {
        dir,
        exchange: exchange.to_owned(),
        symbols: vec![symbol.to_owned()],
        time_frame: time_frame.parse().unwrap(),
        from,
        to,
    };
    load_market(&request).unwrap().market
}

fn parse(texts: &[&str], market: &Market) -> FeatureSet {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    FeatureSet::parse(&texts, &FeatureContext::of(market)).unwrap()
}

/// Every kind that the market has the columns for, with its defaults.
fn every_kind(market: &Market, choose: impl Fn(&FeatureKind) -> bool) -> FeatureSet {
    let context = FeatureContext::of(market);
    let possible = |text: &String| FeatureSet::parse(std::slice::from_ref(text), &context).is_ok();
    let texts: Vec<String> = registry()
        .filter(|kind| choose(kind))
        .map(FeatureKind::example)
        .filter(possible)
        .collect();
    FeatureSet::parse(&texts, &context).unwrap()
}

fn without_bars_before(market: &Market, time: Timestamp) -> Market {
    let series = market.series().iter().map(|one| BarSeries {
        bars: one
            .bars
            .iter()
            .filter(|bar| bar.opened_at >= time)
            .copied()
            .collect(),
        ..one.clone()
    });
    Market::new(series.collect()).unwrap()
}

#[test]
fn missing_months_never_become_one_return_or_one_label() {
    let Some(dir) = candles() else { return };
    let market = load(
        dir,
        ["BINANCE_UM", "FILUSDT", "1m"],
        ["2023-02-20", "2023-08-10"],
    );
    let options = ExtractOptions { max_gap_bars: 60 };
    let set = parse(
        &["log_return(1)", "gap", "realized_volatility(60)"],
        &market,
    );
    let matrix = extract_symbol(&set, &market, OWN, options).unwrap();
    let bars = &market.series()[0].bars;
    assert_eq!(matrix.segment.last(), Some(&2), "two months are missing");
    let starts: Vec<usize> = (1..bars.len())
        .filter(|row| matrix.segment[*row] != matrix.segment[row - 1])
        .collect();
    for &row in &starts {
        let across = (bars[row].close / bars[row - 1].close).ln().abs();
        assert!(
            across > 0.07,
            "the price moved {across} while nothing was recorded"
        );
        assert!(
            matrix.row(row).iter().all(|value| value.is_nan()),
            "row {row}"
        );
        assert!(
            !matrix.is_valid[row + 59] && matrix.is_valid[row + 60],
            "warm-up starts over"
        );
    }
    let labels = label_series(&market.series()[0], &LabelConfig::default(), 60);
    for (row, label) in labels.iter().enumerate() {
        let Some(label) = label else { continue };
        assert_eq!(
            matrix.segment[row], matrix.segment[label.end_bar],
            "label of row {row}"
        );
    }
    let report = LabelReport::of(&labels);
    assert!(
        report.class_counts.iter().all(|count| *count > 1000),
        "{report:?}"
    );
    assert!(
        report
            .average_uniqueness
            .is_some_and(|mean| mean > 0.0 && mean < 0.5),
        "{report:?}"
    );
}

#[test]
fn a_flash_crash_leaves_no_trace_once_it_has_left_the_windows() {
    let Some(dir) = candles() else { return };
    let market = load(
        dir,
        ["BITFINEX", "XRPUSD", "1m"],
        ["2018-04-24", "2018-04-27"],
    );
    let set = every_kind(&market, |_| true);
    let options = ExtractOptions { max_gap_bars: 60 };
    let matrix = extract_symbol(&set, &market, OWN, options).unwrap();
    let first = matrix.is_valid.iter().position(|valid| *valid).unwrap();
    assert!(
        matrix.is_valid[first..].iter().all(|valid| *valid),
        "every row has every feature"
    );
    let crash: Timestamp = "2018-04-25T10:31:00Z".parse().unwrap();
    let row = matrix.closed_at.iter().position(|at| *at == crash).unwrap();
    assert!((f64::from(matrix.row(row)[0]) - (1.0_f64 - 0.388).ln()).abs() < 0.002);

    let windows = every_kind(&market, |kind| matches!(kind.memory, Memory::Window));
    let later = without_bars_before(&market, "2018-04-25T12:00:00Z".parse().unwrap());
    let whole = extract_exact(&windows, &market, OWN, options).unwrap();
    let fresh = extract_exact(&windows, &later, OWN, options).unwrap();
    let rows = fresh.len() / windows.len();
    let names: Vec<&str> = windows.names().collect();
    for (column, name) in names.iter().enumerate() {
        let skipped = rows - 1000;
        let of =
            |values: &[f64], row: usize| values[values.len() - (rows - row) * names.len() + column];
        let largest = (skipped..rows)
            .map(|row| of(&fresh, row).abs())
            .fold(0.0, f64::max);
        for row in skipped..rows {
            let (a, b) = (of(&whole, row), of(&fresh, row));
            assert!(
                (a - b).abs() <= 1e-9 * largest,
                "{name} at {row}: {a} against {b}"
            );
        }
    }
}

#[test]
fn a_higher_time_frame_equals_the_exchanges_own_bars() {
    let Some(dir) = candles() else { return };
    let range = ["2024-01-01", "2024-07-01"];
    let hourly = load(dir.clone(), ["BINANCE", "BTCUSDT", "1h"], range);
    let coarse = load(dir, ["BINANCE", "BTCUSDT", "4h"], range);
    let own = [
        "sma_ratio(20)",
        "volume_zscore(24)",
        "trades_zscore(24)",
        "rsi(14)",
        "natr(14)",
    ];
    let higher = own.map(|text| format!("{text}@4h"));
    let options = ExtractOptions::default();
    let fine_set = parse(&higher.each_ref().map(String::as_str), &hourly);
    let fine = extract_exact(&fine_set, &hourly, OWN, options).unwrap();
    let direct = extract_exact(&parse(&own, &coarse), &coarse, OWN, options).unwrap();
    let mut compared = 0;
    for (row, bar) in coarse.series()[0].bars.iter().enumerate() {
        let hour = hourly.series()[0]
            .bars
            .partition_point(|one| one.closed_at < bar.closed_at);
        assert_eq!(hourly.series()[0].bars[hour].closed_at, bar.closed_at);
        for column in 0..own.len() {
            let (a, b) = (
                fine[hour * own.len() + column],
                direct[row * own.len() + column],
            );
            let agrees = (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * b.abs().max(1e-3);
            assert!(
                agrees,
                "{} at {}: {a} against {b}",
                own[column], bar.closed_at
            );
            compared += usize::from(b.is_finite());
        }
    }
    assert!(compared > 4000, "{compared} values");
}

#[test]
fn real_hours_are_unchanged_by_what_came_later() {
    let Some(dir) = candles() else { return };
    let whole = load(
        dir.clone(),
        ["BINANCE", "ETHUSDT", "1h"],
        ["2023-02-01", "2023-06-01"],
    );
    let part = load(
        dir,
        ["BINANCE", "ETHUSDT", "1h"],
        ["2023-02-01", "2023-04-01"],
    );
    let set = every_kind(&whole, |_| true);
    let run = |market: &Market| extract_exact(&set, market, OWN, ExtractOptions::default());
    let (all, known) = (run(&whole).unwrap(), run(&part).unwrap());
    assert!(known.len() > 1000 * set.len());
    let same = known
        .iter()
        .zip(&all)
        .all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same, "a feature looked ahead");
}
