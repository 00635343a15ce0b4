//! Bad data from outside, one test for each kind, through the public interface: the message names
//! file, column and row, all problems come at once, and no old file is lost.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use fusebox_services::data::atomic::write_atomically;
use fusebox_services::data::{
    DataError, DataRequest, DataSource, ImportOptions, ParquetDirectory, import, list, load_market,
};
use fusebox_services::progress::Silent;
use parquet::arrow::ArrowWriter;

const HOUR_MS: i64 = 3_600_000;
const FILE: &str = "VENUE/X-1h.parquet";

/// Ten sound candles as columns of a file; each test spoils some.
struct Candles {
    times: Vec<i64>,
    prices: [Vec<f64>; 4],
    volume: Vec<f64>,
}

impl Candles {
    fn sound() -> Self {
        Self {
            times: (0..10).map(|row| row * HOUR_MS).collect(),
            prices: [10.0, 12.0, 9.0, 11.0].map(|price| vec![price; 10]),
            volume: vec![5.0; 10],
        }
    }

    fn columns(self) -> Vec<(&'static str, ArrayRef)> {
        let times = TimestampMillisecondArray::from(self.times).with_timezone("UTC");
        let mut columns: Vec<(&str, ArrayRef)> = vec![("ts", Arc::new(times))];
        for (name, values) in ["open", "high", "low", "close"]
            .into_iter()
            .zip(self.prices)
        {
            columns.push((name, Arc::new(Float64Array::from(values))));
        }
        columns.push(("volume", Arc::new(Float64Array::from(self.volume))));
        columns
    }
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn directory(columns: Vec<(&str, ArrayRef)>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("VENUE")).unwrap();
    write(&dir.path().join(FILE), columns);
    dir
}

fn request(dir: &Path, symbol: &str) -> DataRequest {
    DataRequest {
        dir: dir.to_path_buf(),
        exchange: "VENUE".to_owned(),
        symbols: vec![symbol.to_owned()],
        time_frame: "1h".parse().unwrap(),
        from: None,
        to: None,
    }
}

/// The message with which loading these columns fails.
fn refusal(columns: Vec<(&str, ArrayRef)>) -> String {
    let dir = directory(columns);
    ParquetDirectory
        .load(&request(dir.path(), "X"))
        .unwrap_err()
        .to_string()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn sound_candles_load() {
    let dir = directory(Candles::sound().columns());
    let loaded = load_market(&request(dir.path(), "X")).unwrap();
    assert_eq!(loaded.market.series()[0].bars.len(), 10);
}

#[test]
fn a_missing_column_is_named_with_those_that_are_there() {
    let mut columns = Candles::sound().columns();
    columns.remove(4);
    let message = refusal(columns);
    assert_says(
        &message,
        &[FILE, "`close` is missing", "ts, open, high, low, volume"],
    );
}

#[test]
fn a_wrong_type_is_named_with_the_right_ones() {
    let mut columns = Candles::sound().columns();
    columns[2].1 = Arc::new(StringArray::from(vec!["12"; 10]));
    columns[0].1 = Arc::new(Int64Array::from((0..10).collect::<Vec<i64>>()));
    let message = refusal(columns);
    assert_says(
        &message,
        &[FILE, "`high` has type Utf8; it must be float64"],
    );
    assert_says(&message, &["`ts` has type Int64; it must be timestamp"]);
}

#[test]
fn unsorted_times_are_named_with_their_row() {
    let mut candles = Candles::sound();
    candles.times.swap(6, 7);
    let message = refusal(candles.columns());
    assert_says(
        &message,
        &[FILE, "`ts`", "before that of the row above", "row 7"],
    );
}

#[test]
fn duplicate_times_are_named_with_their_row() {
    let mut candles = Candles::sound();
    candles.times[7] = candles.times[6];
    let message = refusal(candles.columns());
    assert_says(
        &message,
        &[FILE, "`ts`", "another row already has", "row 7"],
    );
}

#[test]
fn not_a_number_is_named_with_its_row_and_time() {
    let mut candles = Candles::sound();
    candles.prices[0][3] = f64::NAN;
    let message = refusal(candles.columns());
    assert_says(
        &message,
        &[FILE, "`open`", "NaN", "row 3", "1970-01-01T03:00:00Z"],
    );
}

#[test]
fn prices_of_zero_and_below_are_named_with_their_row() {
    for price in [0.0, -1.0] {
        let mut candles = Candles::sound();
        candles.prices[2][4] = price;
        let message = refusal(candles.columns());
        assert_says(
            &message,
            &[FILE, "`low`", "zero or negative price", "row 4"],
        );
    }
}

#[test]
fn high_below_low_is_named_with_both_values() {
    let mut candles = Candles::sound();
    candles.prices[1][5] = 8.0;
    let message = refusal(candles.columns());
    assert_says(&message, &[FILE, "`high`", "row 5", "high 8, low 9"]);
}

#[test]
fn an_empty_range_names_the_one_that_is_there() {
    let dir = directory(Candles::sound().columns());
    let mut request = request(dir.path(), "X");
    request.from = "2022-01-01".parse().ok();
    request.to = "2022-02-01".parse().ok();
    let message = load_market(&request).unwrap_err().to_string();
    let range = "10 rows from 1970-01-01T00:00:00Z to 1970-01-01T09:00:00Z";
    assert_says(
        &message,
        &["X has no 1h bars from 2022-01-01T00:00:00Z", range],
    );
}

#[test]
fn a_missing_symbol_is_answered_with_the_nearest() {
    let dir = directory(Candles::sound().columns());
    let message = load_market(&request(dir.path(), "XX"))
        .unwrap_err()
        .to_string();
    assert_says(&message, &["XX not found under", "VENUE", "there is X"]);
}

#[test]
fn a_truncated_file_says_so_in_the_list_too() {
    let dir = directory(Candles::sound().columns());
    let path = dir.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = load_market(&request(dir.path(), "X")).unwrap_err();
    assert!(matches!(error, DataError::Truncated { .. }), "{error}");
    assert_says(&error.to_string(), &["X-1h.parquet is truncated"]);
    let listed = serde_json::to_string(&list(dir.path()).unwrap()).unwrap();
    assert_says(&listed, &["broken", "is truncated"]);
}

#[test]
fn all_problems_of_a_file_come_at_once() {
    let mut candles = Candles::sound();
    candles.times.swap(1, 2);
    candles.prices[0][3] = f64::NAN;
    candles.prices[1][5] = 8.0;
    candles.prices[3][6] = -1.0;
    candles.volume[8] = -5.0;
    let message = refusal(candles.columns());
    let parts = [
        "above",
        "NaN",
        "high below low",
        "zero or negative price",
        "negative amount",
    ];
    assert_says(&message, &parts);
    assert_eq!(message.lines().count(), 6, "{message}");
}

fn import_options(dir: &Path, source: PathBuf) -> ImportOptions {
    ImportOptions::new(
        source,
        dir.to_path_buf(),
        "VENUE".to_owned(),
        "X".to_owned(),
    )
}

#[test]
fn an_interrupted_write_leaves_the_old_file_and_no_candle_file_beside_it() {
    let dir = directory(Candles::sound().columns());
    let path = dir.path().join(FILE);
    let before = fs::read(&path).unwrap();
    let failed = write_atomically(&path, |file| -> std::io::Result<()> {
        std::io::Write::write_all(file, &before[..before.len() / 2])?;
        Err(std::io::Error::other("no space left"))
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path().join("VENUE")).unwrap().count(), 1);
}

#[test]
fn what_a_killed_write_leaves_is_not_taken_for_candles() {
    let dir = directory(Candles::sound().columns());
    let left = dir.path().join("VENUE/.X-1h.parquet.k2Jf9a.partial");
    fs::write(left, "half a file").unwrap();
    fs::write(dir.path().join("VENUE/.Y-1h.parquet"), "half a file").unwrap();
    assert_eq!(list(dir.path()).unwrap().len(), 1);
    assert!(load_market(&request(dir.path(), "X")).is_ok());
    assert!(load_market(&request(dir.path(), "Y")).is_err());
}

#[cfg(unix)]
#[test]
fn an_import_into_a_file_where_a_folder_must_be_fails_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("VENUE"), "a file").unwrap();
    let source = dir.path().join("X-1h.csv");
    fs::write(
        &source,
        "ts,open,high,low,close,volume\n1640995200,1,1,1,1,1\n",
    )
    .unwrap();
    let error = import(&import_options(dir.path(), source), &Silent).unwrap_err();
    assert!(matches!(error, DataError::Io { .. }), "{error}");
    assert_says(&error.to_string(), &["VENUE"]);
}

#[test]
fn a_failed_import_leaves_the_old_file() {
    let dir = directory(Candles::sound().columns());
    let before = fs::read(dir.path().join(FILE)).unwrap();
    let source = dir.path().join("X-1h.csv");
    fs::write(
        &source,
        "ts,open,high,low,close,volume\n0,1,1,1,1,1\n3600,2,1,1,1,1\n",
    )
    .unwrap();
    let error = import(&import_options(dir.path(), source.clone()), &Silent).unwrap_err();
    assert_says(&error.to_string(), &["X-1h.csv", "`open`", "line 3"]);
    fs::write(&source, "ts,open,high,low,close,volume\n0,1,1,1,1,1\n").unwrap();
    let error = import(&import_options(dir.path(), source), &Silent).unwrap_err();
    assert_says(
        &error.to_string(),
        &["1970-01-01T00:00:00Z has open 10 there and 1 in"],
    );
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), before);
}
