use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use fusebox_engine::types::{Bar, BarSeries, Timestamp};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::data::raw::{Column, RawCandles, RowNumbers};
use crate::data::{DataError, ValidateOptions, validate};

const HOUR_MS: i64 = 3_600_000;

fn series(rows: i64) -> BarSeries {
    let bars = (0..rows).map(|row| {
        let opened_at = Timestamp::from_millis(row * HOUR_MS).unwrap();
        let price = 100.0 + (row % 17) as f64 / 3.0;
        Bar {
            opened_at,
            closed_at: Timestamp::from_millis((row + 1) * HOUR_MS).unwrap(),
            open: price,
            high: price + 1.0,
            low: price - 1.0,
            close: price + 0.1,
            volume: 0.1 + row as f64,
            quote_volume: (row != 1).then_some((0.1 + row as f64) * price),
            trades: Some(row as f64),
            taker_buy_volume: None,
        }
    });
    BarSeries {
        name: "X".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars: bars.collect(),
    }
}

fn write_batch(path: &Path, columns: Vec<(&str, ArrayRef)>, group_rows: usize) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Columns of sound candles; a test replaces some.
fn columns(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let times: Vec<i64> = (0..rows as i64).map(|row| row * HOUR_MS).collect();
    let times = TimestampMillisecondArray::from(times).with_timezone("UTC");
    let filled = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value; rows])) };
    vec![
        ("ts", Arc::new(times)),
        ("open", filled(1.0)),
        ("high", filled(2.0)),
        ("low", filled(0.5)),
        ("close", filled(1.5)),
        ("volume", filled(3.0)),
    ]
}

fn problems(path: &Path) -> Vec<(&'static str, String)> {
    let content = read(path, &ReadOptions::default()).unwrap();
    let problems = content.candles.problems.into_iter();
    problems.map(|one| (one.code, one.message)).collect()
}

fn in_folder(name: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

#[test]
fn what_is_written_is_read_back_to_the_bit() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let series = series(300);
    let sha256 = write(&path, &series).unwrap();
    let content = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(content.sha256, sha256);
    assert_eq!(content.bytes, path.metadata().unwrap().len());
    assert_eq!(content.candles.problems, []);
    let report = validate(&content.candles, &ValidateOptions::default());
    assert!(report.is_usable(), "{:#?}", report.problems);
    let read_back = content.candles.to_series("X", series.time_frame).unwrap();
    assert_eq!(read_back, series);
    assert_eq!(content.candles.column(Column::TakerBuyVolume), None);
}

#[test]
fn the_same_series_gives_the_same_bytes() {
    let (dir, path) = in_folder("X-1h.parquet");
    let other = dir.path().join("Y-1h.parquet");
    write(&path, &series(1000)).unwrap();
    write(&other, &series(1000)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), std::fs::read(other).unwrap());
}

#[test]
fn the_footer_tells_rows_and_range() {
    let (_dir, path) = in_folder("X-1h.parquet");
    write(&path, &series(300)).unwrap();
    let footer = read_footer(&path).unwrap();
    assert_eq!(footer.rows, 300);
    assert_eq!(footer.first, Timestamp::from_millis(0));
    assert_eq!(footer.last, Timestamp::from_millis(299 * HOUR_MS));
}

#[test]
fn a_range_reads_only_the_row_groups_that_hold_it() {
    let (_dir, path) = in_folder("X-1h.parquet");
    write_batch(&path, columns(100), 10);
    let options = ReadOptions {
        from: Timestamp::from_millis(35 * HOUR_MS),
        to: Timestamp::from_millis(52 * HOUR_MS),
        ..ReadOptions::default()
    };
    let candles = read(&path, &options).unwrap().candles;
    assert_eq!(candles.rows, 17);
    assert_eq!(candles.time(0), Timestamp::from_millis(35 * HOUR_MS));
    assert_eq!(candles.time(16), Timestamp::from_millis(51 * HOUR_MS));
    assert_eq!(candles.row_numbers.number(0), 35);
    let nothing = ReadOptions {
        from: Timestamp::from_millis(1000 * HOUR_MS),
        ..ReadOptions::default()
    };
    assert_eq!(read(&path, &nothing).unwrap().candles.rows, 0);
}

#[test]
fn row_numbers_are_those_of_the_file_even_where_it_is_unsorted() {
    let mut candles = RawCandles::new("x");
    candles.rows = 4;
    let times = [5, 1, 6, 2];
    candles.times = Some(crate::data::TimeColumn {
        nanos: times.to_vec(),
        null_rows: vec![],
    });
    candles.row_numbers = RowNumbers::Rows { first: 10 };
    let picked = candles.within(Some(Timestamp::from_nanos(5)), None);
    let numbers: Vec<u64> = (0..2).map(|row| picked.row_numbers.number(row)).collect();
    assert_eq!((numbers, picked.row_numbers.unit()), (vec![10, 12], "row"));
}

#[test]
fn narrower_types_and_other_units_are_widened() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let mut columns = columns(3);
    let micros: Vec<i64> = (0..3).map(|row| row * HOUR_MS * 1000).collect();
    let micros = TimestampMicrosecondArray::from(micros).with_timezone("+00:00");
    columns[0].1 = Arc::new(micros);
    columns[1].1 = Arc::new(Float32Array::from(vec![1.25_f32; 3]));
    columns[5].1 = Arc::new(Int64Array::from(vec![Some(3), None, Some(5)]));
    write_batch(&path, columns, 100);
    let candles = read(&path, &ReadOptions::default()).unwrap().candles;
    assert_eq!(candles.problems, []);
    assert_eq!(candles.time(2), Timestamp::from_millis(2 * HOUR_MS));
    assert_eq!(candles.value(Column::Open, 0), Some(1.25));
    let volumes: Vec<_> = (0..3)
        .map(|row| candles.value(Column::Volume, row))
        .collect();
    assert_eq!(volumes, [Some(3.0), None, Some(5.0)]);
    assert_eq!(read_footer(&path).unwrap().last, candles.time(2));
}

#[test]
fn missing_columns_and_wrong_types_are_told_together() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let mut columns = columns(3);
    columns[1].1 = Arc::new(StringArray::from(vec!["1", "2", "3"]));
    columns[0].1 = Arc::new(Int64Array::from(vec![1, 2, 3]));
    columns.remove(4);
    write_batch(&path, columns, 100);
    let found = problems(&path);
    let codes: Vec<&str> = found.iter().map(|one| one.0).collect();
    assert_eq!(codes, ["missing_column", "wrong_type", "wrong_type"]);
    assert!(found[0].1.contains("`close` is missing"), "{}", found[0].1);
    assert!(found[1].1.contains("`ts` has type Int64"), "{}", found[1].1);
    assert!(
        found[2].1.contains("`open` has type Utf8"),
        "{}",
        found[2].1
    );
}

#[test]
fn integers_that_no_float_holds_are_refused() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let mut columns = columns(2);
    let large = (1_i64 << 53) + 1;
    columns.push(("trades", Arc::new(Int64Array::from(vec![large, 1]))));
    write_batch(&path, columns, 100);
    let found = problems(&path);
    assert_eq!(found[0].0, "inexact");
    assert!(found[0].1.contains("`trades`") && found[0].1.contains("first row 0"));
}

#[test]
fn times_without_zone_are_a_warning() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let mut columns = columns(2);
    columns[0].1 = Arc::new(TimestampMillisecondArray::from(vec![0, HOUR_MS]));
    write_batch(&path, columns, 100);
    let content = read(&path, &ReadOptions::default()).unwrap();
    let report = validate(&content.candles, &ValidateOptions::default());
    assert!(report.is_usable());
    assert_eq!(report.warnings().next().unwrap().code, "unzoned_time");
}

#[test]
fn a_foreign_file_is_read_by_common_names_and_mapping() {
    let (_dir, path) = in_folder("foreign.parquet");
    let mut columns = columns(2);
    columns[0] = (
        "Date",
        Arc::new(StringArray::from(vec!["2022-01-01", "2022-01-02"])),
    );
    columns[4].0 = "last";
    write_batch(&path, columns, 100);
    let options = ReadOptions {
        foreign: true,
        columns: [("close".to_owned(), "last".to_owned())].into(),
        ..ReadOptions::default()
    };
    let candles = read(&path, &options).unwrap().candles;
    assert_eq!(candles.problems, []);
    assert_eq!(candles.time(1), "2022-01-02".parse().ok());
    assert_eq!(candles.value(Column::Close, 1), Some(1.5));
}

#[test]
fn nested_columns_beside_ours_do_not_confuse_the_statistics() {
    let (_dir, path) = in_folder("X-1h.parquet");
    let inner: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let other: ArrayRef = Arc::new(Int64Array::from(vec![9, 10]));
    let nested = arrow_array::StructArray::try_from(vec![("a", inner), ("b", other)]).unwrap();
    let mut columns = columns(2);
    columns.insert(0, ("nested", Arc::new(nested)));
    write_batch(&path, columns, 100);
    let footer = read_footer(&path).unwrap();
    assert_eq!(footer.last, Timestamp::from_millis(HOUR_MS));
    assert_eq!(problems(&path), []);
}

#[test]
fn what_is_no_parquet_file_says_so() {
    let (_dir, path) = in_folder("X-1h.parquet");
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"PA", "it has only 2 bytes"),
        (b"ts,open,high,low\n1,2,3,4\n", "does not begin with PAR1"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, DataError::NotParquet { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("X-1h.parquet"), "{error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    let (_dir, path) = in_folder("X-1h.parquet");
    write(&path, &series(200)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in (4..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        for error in [
            read(&path, &ReadOptions::default()).unwrap_err(),
            read_footer(&path).unwrap_err(),
        ] {
            assert!(
                matches!(error, DataError::Truncated { .. }),
                "{length}: {error}"
            );
        }
    }
}

#[test]
fn damaged_bytes_are_an_error_or_wrong_values_but_never_a_panic() {
    let (_dir, path) = in_folder("X-1h.parquet");
    write(&path, &series(200)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (4..whole.len() - 4).step_by(11) {
        for flip in [0xff_u8, 0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            std::fs::write(&path, &damaged).unwrap();
            let read = read(&path, &ReadOptions::default());
            refused += u32::from(read.is_err());
            let _ = read_footer(&path);
        }
    }
    assert!(refused > 0);
}
