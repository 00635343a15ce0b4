//! Records from files: what is read, what is refused, and what a person is told.

use std::fs;
use std::path::Path;

use ::parquet::arrow::ArrowWriter;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_array::{TimestampMillisecondArray, TimestampSecondArray};

use super::*;
use crate::data::{Origin, ParquetDirectory, parquet};

const HOUR: i64 = 3_600_000_000_000;

fn series(name: &str, time_frame: &str, opens: &[(i64, f64)]) -> BarSeries {
    let time_frame: TimeFrame = time_frame.parse().unwrap();
    let bars = opens.iter().map(|&(minute, price)| {
        let opened_at = Timestamp::from_nanos(minute * HOUR / 60);
        Bar {
            opened_at,
            closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
            open: price,
            high: price,
            low: price,
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

fn loaded(names: &[&str]) -> LoadedMarket {
    let own = |name: &&str| series(name, "1h", &[(0, 5.0), (60, 5.0), (120, 5.0)]);
    LoadedMarket {
        market: Market::new(names.iter().map(own).collect()).unwrap(),
        files: Vec::new(),
        warnings: Vec::new(),
        origin: Origin::Files,
    }
}

fn request(dir: &Path) -> DataRequest {
    DataRequest {
        dir: dir.to_path_buf(),
        exchange: "X".to_owned(),
        symbols: vec!["A".to_owned()],
        time_frame: "1h".parse().unwrap(),
        from: None,
        to: None,
    }
}

fn add(names: &[&str], wanted: &RecordsRequest) -> Result<LoadedMarket, DataError> {
    let request = request(Path::new("nowhere"));
    complete(loaded(names), &ParquetDirectory, (&request, wanted), None)
}

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn parquet_file(dir: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = dir.join(name);
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let target = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(target, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn fundings_come_from_csv_and_parquet_alike_and_strangers_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let text = "ts,symbol,rate\n1970-01-01T01:00:00Z,A,0.0001\n3600,C,9\n\
                1970-01-01T02:00:00Z,B,-0.00005\n7200000000000000,A,0\n";
    let csv = file(dir.path(), "funding.csv", text);
    let parquet = parquet_file(
        dir.path(),
        "funding.parquet",
        vec![
            (
                "time",
                Arc::new(TimestampSecondArray::from(vec![
                    3_600,
                    3_600,
                    7_200,
                    7_200_000_000,
                ])),
            ),
            (
                "symbol",
                Arc::new(StringArray::from(vec!["A", "C", "B", "A"])),
            ),
            (
                "rate",
                Arc::new(Float64Array::from(vec![0.0001, 9.0, -0.00005, 0.0])),
            ),
        ],
    );
    let read = |path: &Path| {
        let wanted = RecordsRequest {
            funding: Some(path.to_path_buf()),
            ..RecordsRequest::default()
        };
        add(&["A", "B"], &wanted).unwrap()
    };
    let (one, other) = (read(&csv), read(&parquet));
    assert_eq!(one.market, other.market);
    let rates = &one.market.records().funding;
    let found: Vec<Vec<(i64, i64)>> = rates
        .iter()
        .map(|own| {
            let own = own.iter();
            own.map(|rate| (rate.at.as_nanos() / HOUR, rate.micro_bps))
                .collect()
        })
        .collect();
    let expected = vec![vec![(1, 1_000_000), (2_000_000, 0)], vec![(2, -500_000)]];
    assert_eq!(found, expected);
    assert_eq!(one.files[0].path, "funding.csv");
    assert_eq!((one.files[0].rows, one.files[0].sha256.len()), (4, 64));
    // B has one at 02:00 only, and the bars are from 00:00 to 03:00.
    assert!(
        one.warnings[0].starts_with("B: recorded fundings are from"),
        "{:?}",
        one.warnings
    );
}

#[test]
fn every_problem_of_a_funding_file_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = "ts,rate\n3600,0.1\n3600,0\nnever,0\n7200,NaN\n10800,\n14400,1\n";
    let wanted = RecordsRequest {
        funding: Some(file(dir.path(), "funding.csv", text)),
        ..RecordsRequest::default()
    };
    let told = add(&["A"], &wanted).unwrap_err().to_string();
    for part in [
        "line 3: the funding of A at 1970-01-01T01:00:00Z is not after",
        "line 4: the time cannot be read",
        "line 5: the rate is no number",
        "line 6: the rate is no number",
        "line 7: the rate is 1;",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Without the symbol, nobody knows whose rates they are.
    let told = add(&["A", "B"], &wanted).unwrap_err().to_string();
    assert!(told.contains("the column `symbol` is missing"), "{told}");
    for (name, text) in [
        ("empty.csv", "ts,rate\n"),
        ("other.csv", "when,rate\n1,0\n"),
    ] {
        let wanted = RecordsRequest {
            funding: Some(file(dir.path(), name, text)),
            ..RecordsRequest::default()
        };
        let told = add(&["A"], &wanted).unwrap_err().to_string();
        assert!(
            told.contains("there is no row")
                || told.contains("`ts` or `time` or `local_ts` is missing"),
            "{told}"
        );
    }
    let missing = RecordsRequest {
        funding: Some(dir.path().join("no.csv")),
        books: Some((dir.path().join("no.parquet"), 1)),
        ..RecordsRequest::default()
    };
    let told = add(&["A"], &missing).unwrap_err().to_string();
    assert!(
        told.contains("no.csv") && told.contains("no.parquet"),
        "{told}"
    );
}

#[test]
fn order_books_are_put_together_from_their_levels() {
    let dir = tempfile::tempdir().unwrap();
    let text = "ts,side,price,size\n3600,ask,103,2\n3600,bid,99,1\n3600,ask,101,1\n\
                7200,1,98,1\n7200,-1,102,1\n";
    let csv = file(dir.path(), "books.csv", text);
    let at = |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(values)) };
    let parquet = parquet_file(
        dir.path(),
        "books.parquet",
        vec![
            (
                "ts",
                at(vec![3_600_000, 3_600_000, 3_600_000, 7_200_000, 7_200_000]),
            ),
            ("side", Arc::new(Int64Array::from(vec![-1, 1, -1, 1, -1]))),
            (
                "price",
                Arc::new(Float64Array::from(vec![103.0, 99.0, 101.0, 98.0, 102.0])),
            ),
            (
                "qty",
                Arc::new(Float64Array::from(vec![2.0, 1.0, 1.0, 1.0, 1.0])),
            ),
        ],
    );
    let read = |path: PathBuf| {
        let wanted = RecordsRequest {
            books: Some((path, 1_800_000)),
            ..RecordsRequest::default()
        };
        add(&["A"], &wanted).unwrap()
    };
    let (one, other) = (read(csv), read(parquet));
    assert_eq!(one.market, other.market);
    let books = &one.market.records().books[0];
    assert_eq!(books.len(), 2);
    let asks: Vec<String> = books[0]
        .asks
        .iter()
        .map(|level| format!("{}x{}", level.price, level.size))
        .collect();
    assert_eq!(asks, ["101x1", "103x2"]);
    // Of the bars at 00:00, 01:00 and 02:00 the first has no book; the others have theirs.
    assert!(one.warnings[0].contains("of 3 bars that are traded, 1 open where no"));
}

#[test]
fn every_problem_of_a_book_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = "ts,side,price,size\n7200,bid,9,1\n7200,ask,10,0\n3600,bid,9,1\n7200,up,9,1\n\
                7200,ask,-1,1\n7200,ask,1e300,1\n";
    let wanted = |name: &str, text: &str| RecordsRequest {
        books: Some((file(dir.path(), name, text), 1)),
        ..RecordsRequest::default()
    };
    let told = add(&["A"], &wanted("a.csv", text)).unwrap_err().to_string();
    for part in [
        "line 3: the size is no number above 0",
        "line 4: the order book of A at 1970-01-01T01:00:00Z comes after a later one",
        "line 5: the side is `up`",
        "line 6: the price is no number above 0",
        "line 7: 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Each row is fine; together they are not.
    let text = "ts,side,price,size\n3600,bid,9,1\n3600,ask,9,1\n7200,bid,9,1\n";
    let told = add(&["A"], &wanted("b.csv", text)).unwrap_err().to_string();
    assert!(
        told.contains("is crossed") && told.contains("one side only"),
        "{told}"
    );
}

#[test]
fn finer_bars_come_from_the_same_place_and_what_they_lack_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("X")).unwrap();
    // The second hour has two of its four quarters, the third none; the first has another price.
    let quarters = [
        (0, 5.0),
        (15, 6.0),
        (30, 5.0),
        (45, 5.0),
        (60, 5.0),
        (105, 5.0),
    ];
    let fine = series("A", "15m", &quarters);
    parquet::write(&dir.path().join("X/A-15m.parquet"), &fine).unwrap();
    let wanted = RecordsRequest {
        fine: Some("15m".parse().unwrap()),
        ..RecordsRequest::default()
    };
    let complete = |range| {
        let request = request(dir.path());
        complete(
            loaded(&["A"]),
            &ParquetDirectory,
            (&request, &wanted),
            range,
        )
        .unwrap()
    };
    let all = complete(None);
    assert_eq!(all.market.records().fine[0].bars, fine.bars);
    assert_eq!(all.files[0].path, "X/A-15m.parquet");
    let told = &all.warnings[0];
    for part in [
        "A: of 3 1h bars that are traded, 1 have no 15m bar in them",
        "1 lack some of their 15m bars",
        "1 have other prices",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The bar that closes at 02:00 only.
    let at = Timestamp::from_nanos(2 * HOUR);
    let part = complete(Some((at, at)));
    assert_eq!(part.market.records().fine[0].bars, fine.bars[4..]);
    assert!(
        part.warnings[0].contains("of 1 1h bars"),
        "{:?}",
        part.warnings
    );
    let none = RecordsRequest {
        fine: Some("7m".parse().unwrap()),
        ..RecordsRequest::default()
    };
    let request = request(dir.path());
    let refused = super::complete(loaded(&["A"]), &ParquetDirectory, (&request, &none), None);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("A has no 7m bars")
    );
}

#[test]
fn a_recorded_order_book_is_read_whole() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/ticks/BINANCE_UM/BTCUSDT-snapshot.parquet");
    if !path.is_file() {
        println!("skipped: there is no recorded order book in ../shared/data beside the project");
        return;
    }
    let wanted = RecordsRequest {
        books: Some((path, 1)),
        ..RecordsRequest::default()
    };
    // A thousand levels of each side, of one moment, of the only symbol.
    let found = add(&["BTCUSDT"], &wanted).unwrap();
    let books = &found.market.records().books[0];
    let sides = books.iter().map(|book| (book.bids.len(), book.asks.len()));
    assert_eq!(sides.collect::<Vec<_>>(), [(1_000, 1_000)]);
    let best = (books[0].bids[0].price, books[0].asks[0].price);
    assert!(
        best.1 - best.0 < fusebox_engine::types::Price::from_units(100_000_000),
        "{best:?}"
    );
}
