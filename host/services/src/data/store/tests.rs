use super::*;
use fusebox_engine::types::Bar;

const HOUR: i64 = 3600 * 1_000_000_000;

fn series(name: &str, time_frame: &str, rows: i64) -> BarSeries {
    let time_frame: TimeFrame = time_frame.parse().unwrap();
    let bars = (0..rows).map(|row| {
        let opened_at = Timestamp::from_nanos(row * time_frame.nanos());
        let price = 100.0 + (row % 5) as f64;
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
            open: price,
            high: price + 1.0,
            low: price - 1.0,
            close: price,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        }
    });
    BarSeries {
        name: name.to_owned(),
        time_frame,
        bars: bars.collect(),
    }
}

fn directory(all: &[BarSeries]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("VENUE")).unwrap();
    for one in all {
        let name = layout::file_name(&one.name, one.time_frame);
        parquet::write(&dir.path().join("VENUE").join(name), one).unwrap();
    }
    dir
}

fn request(dir: &Path, symbols: &[&str], time_frame: &str) -> DataRequest {
    DataRequest {
        dir: dir.to_path_buf(),
        exchange: "VENUE".to_owned(),
        symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
        time_frame: time_frame.parse().unwrap(),
        from: None,
        to: None,
    }
}

#[test]
fn the_list_is_in_order_and_holds_broken_files_with_their_error() {
    let dir = directory(&[
        series("B", "4h", 3),
        series("B", "15m", 9),
        series("A", "1h", 5),
    ]);
    let venue = dir.path().join("VENUE");
    fs::write(venue.join("C-1h.parquet"), "PAR1 and no more").unwrap();
    fs::write(venue.join(".A-1h.parquet.x1.partial"), "unfinished").unwrap();
    fs::write(venue.join("notes.txt"), "mine").unwrap();
    let entries = list(dir.path()).unwrap();
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "VENUE/A-1h.parquet",
            "VENUE/B-15m.parquet",
            "VENUE/B-4h.parquet",
            "VENUE/C-1h.parquet"
        ]
    );
    let expected = EntryContent::Candles {
        rows: 5,
        first: Some(Timestamp::from_nanos(0)),
        last: Some(Timestamp::from_nanos(4 * HOUR)),
    };
    assert_eq!(entries[0].content, expected);
    let EntryContent::Broken { error } = &entries[3].content else {
        panic!("{:?}", entries[3]);
    };
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn symbols_keep_the_order_of_the_request_and_their_digests() {
    let dir = directory(&[series("A", "1h", 5), series("B", "1h", 7)]);
    let loaded = load_market(&request(dir.path(), &["B", "A"], "1h")).unwrap();
    let names: Vec<&str> = loaded.market.names().collect();
    assert_eq!(names, ["B", "A"]);
    assert_eq!(loaded.files[0].path, "VENUE/B-1h.parquet");
    assert_eq!(loaded.files[0].rows, 7);
    let bytes = fs::File::open(dir.path().join("VENUE/B-1h.parquet")).unwrap();
    assert_eq!(loaded.files[0].sha256, parquet::digest(&bytes).unwrap().0);
    assert_eq!((loaded.warnings.len(), loaded.origin), (0, Origin::Files));
}

#[test]
fn a_range_takes_its_start_and_leaves_its_end() {
    let dir = directory(&[series("A", "1h", 50)]);
    let mut request = request(dir.path(), &["A"], "1h");
    request.from = Some(Timestamp::from_nanos(10 * HOUR));
    request.to = Some(Timestamp::from_nanos(20 * HOUR));
    let loaded = load_market(&request).unwrap();
    let bars = &loaded.market.series()[0].bars;
    assert_eq!(bars.len(), 10);
    assert_eq!(bars[0].opened_at.as_nanos(), 10 * HOUR);
    assert_eq!(loaded.files[0].last.as_nanos(), 19 * HOUR);
}

#[test]
fn an_empty_range_names_what_there_is() {
    let dir = directory(&[series("A", "1h", 50)]);
    let mut request = request(dir.path(), &["A"], "1h");
    request.from = "2030-01-01".parse().ok();
    let error = load_market(&request).unwrap_err().to_string();
    assert!(error.contains("from 2030-01-01T00:00:00Z on"), "{error}");
    assert!(
        error.contains("50 rows from 1970-01-01T00:00:00Z to 1970-01-03T01:00:00Z"),
        "{error}"
    );
}

#[test]
fn bars_that_are_not_there_are_made_of_the_coarsest_that_divide_them() {
    let dir = directory(&[series("A", "1h", 50), series("A", "15m", 50)]);
    let mut request = request(dir.path(), &["A"], "4h");
    request.from = Some(Timestamp::from_nanos(5 * HOUR));
    request.to = Some(Timestamp::from_nanos(20 * HOUR));
    let loaded = load_market(&request).unwrap();
    assert_eq!(loaded.files[0].path, "VENUE/A-1h.parquet");
    let bars = &loaded.market.series()[0].bars;
    let starts: Vec<i64> = bars
        .iter()
        .map(|bar| bar.opened_at.as_nanos() / HOUR)
        .collect();
    assert_eq!(starts, [8, 12, 16]);
    assert!(loaded.warnings[0].contains("4h bars are made of 1h bars; 0 of them"));
    request.time_frame = "90m".parse().unwrap();
    let loaded = load_market(&request).unwrap();
    assert_eq!(loaded.files[0].path, "VENUE/A-15m.parquet");
    request.time_frame = "5m".parse().unwrap();
    let error = load_market(&request).unwrap_err().to_string();
    assert!(
        error.contains("A has no 5m bars") && error.contains("it has 15m, 1h bars"),
        "{error}"
    );
}

#[test]
fn what_is_not_there_is_told_with_the_nearest_names() {
    let dir = directory(&[series("BTCUSDT", "1h", 3), series("ETHUSDT", "1h", 3)]);
    let error = load_market(&request(dir.path(), &["BTCUSD"], "1h"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("BTCUSD not found under"), "{error}");
    assert!(error.ends_with("there are BTCUSDT, ETHUSDT"), "{error}");
    let mut wrong = request(dir.path(), &["BTCUSDT"], "1h");
    wrong.exchange = "VENEU".to_owned();
    let error = load_market(&wrong).unwrap_err().to_string();
    assert!(error.ends_with("there is VENUE"), "{error}");
    wrong.dir = dir.path().join("VENUE");
    let error = load_market(&wrong).unwrap_err().to_string();
    assert!(error.contains("Give the folder above it"), "{error}");
    wrong.exchange = "../VENUE".to_owned();
    assert!(matches!(
        load_market(&wrong),
        Err(DataError::BadName { .. })
    ));
}

#[test]
fn the_problems_of_all_symbols_are_told_together() {
    let mut bad = series("BAD", "1h", 9);
    bad.bars[4].high = 1.0;
    bad.bars[6].open = f64::NAN;
    let dir = directory(&[bad, series("GOOD", "1h", 9)]);
    fs::write(dir.path().join("VENUE/CUT-1h.parquet"), "PAR1 and no more").unwrap();
    let wanted = request(dir.path(), &["BAD", "GOOD", "CUT", "NONE"], "1h");
    let error = load_market(&wanted).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DataError::Several(all) if all.len() == 3));
    for part in [
        "high below low at row 4",
        "`open`: NaN",
        "CUT-1h.parquet is truncated",
        "NONE not",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn an_error_outside_the_range_does_not_stop_a_run() {
    let mut bad = series("BAD", "1h", 30);
    bad.bars[4].high = 1.0;
    let dir = directory(&[bad]);
    let mut request = request(dir.path(), &["BAD"], "1h");
    assert!(load_market(&request).is_err());
    request.from = Some(Timestamp::from_nanos(5 * HOUR));
    assert!(load_market(&request).is_ok());
}

#[test]
fn warnings_do_not_depend_on_where_the_directory_lies() {
    let mut holed = series("A", "1h", 30);
    holed.bars.remove(7);
    let dir = directory(&[holed]);
    let loaded = load_market(&request(dir.path(), &["A"], "1h")).unwrap();
    assert!(loaded.warnings[0].starts_with("VENUE/A-1h.parquet: column `ts`: 1 candles"));
}
