//! Reads candles out of CSV text: with a header line, or a kline dump of Binance without one.
//!
//! Times are integers since the epoch (the unit is told by their magnitude unless stated) or ISO
//! text; a time without zone is UTC. A cell that cannot be read is a problem of the answer, with
//! its line and column, and never a guess.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use fusebox_engine::types::Timestamp;
use serde::{Deserialize, Serialize};

use super::DataError;
use super::columns::{self, Naming, Positions};
use super::raw::{Column, NumberColumn, RawCandles, RowNumbers, TIME_COLUMN, TimeColumn};
use super::validate::{Problem, Severity};

/// Columns of a Binance kline dump: open time, open, high, low, close, volume, close time, quote
/// volume, trades, taker buy volume, taker buy quote volume, unused.
const KLINE_FIELDS: usize = 12;
/// How many cells that cannot be read are told per column.
const CELLS_TOLD: usize = 5;

/// The unit of integer times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Told by the magnitude: right for every time from 1973 to 5138.
    #[default]
    Auto,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl TimeUnit {
    /// Nanoseconds since the epoch of `value` in this unit; `None` where they overflow.
    #[must_use]
    pub fn nanos(self, value: i64) -> Option<i64> {
        let nanos_per_unit = match self {
            Self::Auto => {
                let unit = match value.unsigned_abs() {
                    0..100_000_000_000 => Self::Seconds,
                    100_000_000_000..100_000_000_000_000 => Self::Millis,
                    100_000_000_000_000..100_000_000_000_000_000 => Self::Micros,
                    _ => Self::Nanos,
                };
                return unit.nanos(value);
            }
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        };
        value.checked_mul(nanos_per_unit)
    }
}

/// A time as an integer since the epoch, a date, or a date and time with or without zone (then
/// UTC).
#[must_use]
pub fn parse_time(text: &str, unit: TimeUnit) -> Option<Timestamp> {
    if let Ok(value) = text.parse::<i64>() {
        return unit.nanos(value).map(Timestamp::from_nanos);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let at = text.parse::<jiff::civil::DateTime>().ok()?;
    Timestamp::from_civil(at)
}

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between cells.
    pub delimiter: u8,
    /// The unit of integer times.
    pub time_unit: TimeUnit,
    /// Our column names to the header's, or to `-` for a column to leave out.
    pub columns: BTreeMap<String, String>,
    /// Whether the file is a Binance kline dump without header; `None` to see by the first line:
    /// twelve cells of which all are numbers.
    pub headerless_klines: Option<bool>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            time_unit: TimeUnit::Auto,
            columns: BTreeMap::new(),
            headerless_klines: None,
        }
    }
}

/// Reads candles from a CSV file. Missing columns and cells that cannot be read are problems of the
/// answer.
///
/// # Errors
/// [`DataError`] where the file cannot be read or is no table: no text, lines of different length.
pub fn read(path: &Path, options: &CsvOptions) -> Result<RawCandles, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    read_from(path, BufReader::new(file), options)
}

fn read_from(
    path: &Path,
    mut text: impl BufRead,
    options: &CsvOptions,
) -> Result<RawCandles, DataError> {
    let start = text.fill_buf().map_err(DataError::io("read", path))?;
    if start.contains(&0) {
        let reason = "it is not text (it contains zero bytes); is it another format?".to_owned();
        return Err(not_csv(path, reason));
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(options.delimiter)
        .trim(Trim::All)
        .from_reader(text);
    let mut candles = RawCandles::new(path.display().to_string());
    candles.row_numbers = RowNumbers::Lines(Vec::new());
    let mut record = StringRecord::new();
    let mut table: Option<Table> = None;
    while next(&mut reader, &mut record, path)? {
        match &mut table {
            Some(table) => table.append(&record),
            None => table = Some(begin(&record, options, &mut candles)),
        }
    }
    if let Some(table) = table {
        table.finish(&mut candles);
    } else {
        columns::resolve(&[], naming(options), &mut candles);
    }
    Ok(candles)
}

/// Reads a record; false at the end.
fn next(
    reader: &mut csv::Reader<impl BufRead>,
    record: &mut StringRecord,
    path: &Path,
) -> Result<bool, DataError> {
    reader.read_record(record).map_err(|error| {
        let line = error.position().map(csv::Position::line);
        let at = line.map_or_else(String::new, |line| format!("line {line}: "));
        let reason = match error.into_kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("{at}has {len} cells, the first line has {expected_len}"),
            csv::ErrorKind::Utf8 { .. } => format!("{at}is not UTF-8 text"),
            csv::ErrorKind::Io(source) => return DataError::io("read", path)(source),
            other => format!("{at}{other:?}"),
        };
        not_csv(path, reason)
    })
}

fn not_csv(path: &Path, reason: String) -> DataError {
    DataError::Csv {
        path: path.to_path_buf(),
        reason,
    }
}

fn naming(options: &CsvOptions) -> Naming<'_> {
    Naming {
        mapping: &options.columns,
        with_aliases: true,
    }
}

/// Understands the first line: a header, or already a candle.
fn begin(first: &StringRecord, options: &CsvOptions, candles: &mut RawCandles) -> Table {
    let is_klines = options.headerless_klines.unwrap_or_else(|| {
        first.len() == KLINE_FIELDS && first.iter().all(|cell| cell.parse::<f64>().is_ok())
    });
    if is_klines {
        let mut table = Table::new(kline_positions(), options.time_unit);
        table.append(first);
        return table;
    }
    let header: Vec<String> = first.iter().map(str::to_owned).collect();
    let positions = columns::resolve(&header, naming(options), candles);
    Table::new(positions, options.time_unit)
}

const fn kline_positions() -> Positions {
    Positions {
        time: Some(0),
        numbers: [
            Some(1),
            Some(2),
            Some(3),
            Some(4),
            Some(5),
            Some(7),
            Some(8),
            Some(9),
        ],
    }
}

/// Cells of one column that cannot be read.
#[derive(Default)]
struct Unreadable {
    count: u64,
    told: Vec<String>,
}

impl Unreadable {
    fn note(&mut self, line: u64, cell: &str) {
        self.count += 1;
        if self.told.len() < CELLS_TOLD {
            self.told.push(format!("line {line} `{cell}`"));
        }
    }

    fn problem(&self, file: &str, column: &str, code: &'static str, what: &str) -> Option<Problem> {
        let cells = self.told.join(", ");
        let message = format!(
            "{file}: column `{column}`: {} cells are not {what}: {cells}",
            self.count
        );
        let problem = Problem {
            count: self.count,
            ..Problem::of_file(Severity::Error, code, message)
        };
        (self.count > 0).then_some(problem)
    }
}

/// Columns under collection.
struct Table {
    positions: Positions,
    time_unit: TimeUnit,
    lines: Vec<u64>,
    times: TimeColumn,
    columns: [NumberColumn; 8],
    not_times: Unreadable,
    not_numbers: [Unreadable; 8],
}

impl Table {
    fn new(positions: Positions, time_unit: TimeUnit) -> Self {
        Self {
            positions,
            time_unit,
            lines: Vec::new(),
            times: TimeColumn::default(),
            columns: Default::default(),
            not_times: Unreadable::default(),
            not_numbers: Default::default(),
        }
    }

    fn append(&mut self, record: &StringRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        self.lines.push(line);
        if let Some(at) = self.positions.time {
            let cell = record.get(at).unwrap_or_default();
            let time = parse_time(cell, self.time_unit);
            if time.is_none() && !cell.is_empty() {
                self.not_times.note(line, cell);
            }
            self.times.push(time);
        }
        for (index, at) in self.positions.numbers.iter().enumerate() {
            let Some(at) = *at else { continue };
            let cell = record.get(at).unwrap_or_default();
            let value = cell.parse::<f64>().ok();
            if value.is_none() && !cell.is_empty() {
                self.not_numbers[index].note(line, cell);
            }
            self.columns[index].push(value);
        }
    }

    fn finish(mut self, candles: &mut RawCandles) {
        let file = candles.file.clone();
        let what = "a time (an integer since 1970 or such as 2022-01-01T00:00:00Z)";
        let not_times = self
            .not_times
            .problem(&file, TIME_COLUMN, "not_a_time", what);
        candles.problems.extend(not_times);
        for column in Column::ALL {
            let unreadable = &self.not_numbers[column.index()];
            let problem = unreadable.problem(&file, column.name(), "not_a_number", "a number");
            candles.problems.extend(problem);
        }
        candles.rows = self.lines.len();
        candles.row_numbers = RowNumbers::Lines(self.lines);
        candles.times = self.positions.time.map(|_| self.times);
        candles.columns = std::array::from_fn(|index| {
            self.positions.numbers[index].map(|_| std::mem::take(&mut self.columns[index]))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, options: &CsvOptions) -> Result<RawCandles, DataError> {
        read_from(Path::new("X-1h.csv"), text.as_bytes(), options)
    }

    #[test]
    fn a_header_is_read_by_name_and_other_columns_are_ignored() {
        let text = "symbol,Timestamp,open,high,low,close,Volume\n\
                    X,1640995200,1,3,0.5,2,10\nX,1640998800,2,2.5,1.5,2,\n";
        let candles = read_text(text, &CsvOptions::default()).unwrap();
        assert_eq!(candles.problems, []);
        assert_eq!(candles.rows, 2);
        assert_eq!(candles.time(1), "2022-01-01T01:00:00Z".parse().ok());
        assert_eq!(candles.value(Column::High, 0), Some(3.0));
        assert_eq!(candles.value(Column::Volume, 1), None);
        assert_eq!(candles.row_numbers.number(0), 2);
    }

    #[test]
    fn a_kline_dump_needs_no_header() {
        let text = "1640995200000,1,3,0.5,2,10,1640998799999,15,7,4,6,0\n";
        let candles = read_text(text, &CsvOptions::default()).unwrap();
        assert_eq!(candles.rows, 1);
        assert_eq!(candles.value(Column::QuoteVolume, 0), Some(15.0));
        assert_eq!(candles.value(Column::Trades, 0), Some(7.0));
        assert_eq!(candles.value(Column::TakerBuyVolume, 0), Some(4.0));
        assert_eq!(candles.row_numbers.number(0), 1);
    }

    #[test]
    fn every_way_to_write_a_time_is_the_same_moment() {
        let expected: Timestamp = "2022-01-01T05:00:00Z".parse().unwrap();
        for text in [
            "1641013200",
            "1641013200000",
            "1641013200000000",
            "1641013200000000000",
            "2022-01-01 05:00:00",
            "2022-01-01T05:00:00",
            "2022-01-01 05:00",
            "2022-01-01T05:00:00Z",
            "2022-01-01T05:00:00.000Z",
            "2022-01-01 05:00:00+00:00",
            "2022-01-01T07:00:00+02:00",
        ] {
            assert_eq!(parse_time(text, TimeUnit::Auto), Some(expected), "{text}");
        }
        let stated = parse_time("1641013200", TimeUnit::Millis);
        assert_eq!(stated, Timestamp::from_millis(1_641_013_200));
        assert_eq!(parse_time("yesterday", TimeUnit::Auto), None);
        assert_eq!(parse_time("9223372036854775807", TimeUnit::Seconds), None);
    }

    #[test]
    fn unreadable_cells_name_line_and_column_all_at_once() {
        let text = "ts,open,high,low,close,volume\nnever,1,1,1,1,1\n1640995200,one,1,1,1,\"1,0\"\n";
        let candles = read_text(text, &CsvOptions::default()).unwrap();
        let messages: Vec<&str> = candles
            .problems
            .iter()
            .map(|p| p.message.as_str())
            .collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[0].contains("`ts`") && messages[0].contains("line 2 `never`"));
        assert!(messages[1].contains("`open`") && messages[1].contains("line 3 `one`"));
        assert!(messages[2].contains("`volume`") && messages[2].contains("line 3 `1,0`"));
    }

    #[test]
    fn what_is_no_table_is_an_error_with_its_line() {
        let ragged = "ts,open,high,low,close,volume\n1,2,3\n";
        let error = read_text(ragged, &CsvOptions::default()).unwrap_err();
        assert!(error.to_string().contains("line 2: has 3 cells"), "{error}");
        let binary = read_text("PK\0\0", &CsvOptions::default()).unwrap_err();
        assert!(binary.to_string().contains("not text"), "{binary}");
        let empty = read_text("", &CsvOptions::default()).unwrap();
        assert_eq!(empty.problems.len(), 6);
    }

    #[test]
    fn another_delimiter_and_a_mapping() {
        let text = "when;open;high;low;close;volume\n1640995200;1;1;1;1;1\n";
        let options = CsvOptions {
            delimiter: b';',
            columns: BTreeMap::from([("ts".to_owned(), "when".to_owned())]),
            ..CsvOptions::default()
        };
        let candles = read_text(text, &options).unwrap();
        assert_eq!((candles.rows, candles.problems.len()), (1, 0));
    }
}
