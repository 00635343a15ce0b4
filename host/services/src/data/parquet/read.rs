//! Reads a candle file, or only its footer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, TimeUnit as ArrowUnit};
use fusebox_engine::types::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use super::cells;
use crate::data::DataError;
use crate::data::columns::{self, Naming, Positions};
use crate::data::csv::TimeUnit;
use crate::data::raw::{Column, NumberColumn, RawCandles, RowNumbers, TIME_COLUMN, TimeColumn};
use crate::data::validate::{Problem, Severity};

pub(super) const BATCH_ROWS: usize = 1 << 16;
const MAGIC: &[u8; 4] = b"PAR1";
/// Magic, footer length, magic: less is no Parquet file.
const SHORTEST_FILE_BYTES: u64 = 12;

/// What to read and how to understand it.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Only candles that open at this time or later.
    pub from: Option<Timestamp>,
    /// Only candles that open before this time.
    pub to: Option<Timestamp>,
    /// Our column names to the file's, or to `-` for a column to leave out.
    pub columns: BTreeMap<String, String>,
    /// Whether the file is not of our layout: common other names, and times as dates, integers or
    /// text, are understood then.
    pub foreign: bool,
    /// The unit of integer times in a foreign file.
    pub time_unit: TimeUnit,
}

/// A file's candles and identity.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The candles, unchecked.
    pub candles: RawCandles,
    /// SHA-256 of the whole file's bytes in hex.
    pub sha256: String,
    /// Size of the whole file.
    pub bytes: u64,
}

/// What a file says about itself without its data being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Rows in the file.
    pub rows: u64,
    /// Earliest open time; `None` without rows.
    pub first: Option<Timestamp>,
    /// Latest open time; `None` without rows.
    pub last: Option<Timestamp>,
    /// Size of the file.
    pub bytes: u64,
}

/// Reads the candles of one file. Row groups outside the range are skipped by their statistics;
/// missing columns and wrong types are problems of the answer, not errors.
///
/// # Errors
/// [`DataError`] where the file cannot be read or is not Parquet as a whole.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Content, DataError> {
    guarded(path, || read_whole(path, options))
}

fn read_whole(path: &Path, options: &ReadOptions) -> Result<Content, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let (sha256, bytes) = super::digest(&file).map_err(DataError::io("read", path))?;
    let builder = open(path, &file)?;
    let corrupt = |error: &dyn std::fmt::Display| corrupt(path, error);
    let mut candles = RawCandles::new(path.display().to_string());
    let positions = positions(builder.schema(), options, &mut candles);
    let (groups, first_row) = groups_within(builder.metadata(), &positions, options);
    candles.row_numbers = RowNumbers::Rows { first: first_row };
    let (wanted, positions) = projected(&positions);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder
        .with_projection(mask)
        .with_row_groups(groups.collect())
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| corrupt(&error))?;
    let mut table = Table::new(&positions, options.time_unit);
    for batch in reader {
        table.append(&batch.map_err(|error| corrupt(&error))?);
    }
    table.finish(&mut candles);
    let candles = candles.within(options.from, options.to);
    Ok(Content {
        candles,
        sha256,
        bytes,
    })
}

/// Reads what the footer says; the time column itself only where the footer has no statistics.
///
/// # Errors
/// [`DataError`] where the file cannot be read, is not Parquet or has no time column.
pub fn read_footer(path: &Path) -> Result<Footer, DataError> {
    guarded(path, || read_footer_only(path))
}

fn read_footer_only(path: &Path) -> Result<Footer, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let meta = file.metadata().map_err(DataError::io("read", path))?;
    let builder = open(path, &file)?;
    let mut candles = RawCandles::new(path.display().to_string());
    let positions = positions(builder.schema(), &ReadOptions::default(), &mut candles);
    let Some(time) = positions.time else {
        let messages: Vec<String> = candles.problems.into_iter().map(|p| p.message).collect();
        return Err(corrupt(path, &messages.join("; ")));
    };
    let rows = builder.metadata().file_metadata().num_rows();
    let ranges: Option<Vec<(Timestamp, Timestamp)>> = builder
        .metadata()
        .row_groups()
        .iter()
        .map(|group| {
            let leaf = leaf_of(builder.metadata(), time)?;
            time_range(group.column(leaf).statistics(), builder.schema(), time)
        })
        .collect();
    let (first, last) = match ranges {
        Some(ranges) => (
            ranges.iter().map(|range| range.0).min(),
            ranges.iter().map(|range| range.1).max(),
        ),
        None => scan_times(path)?,
    };
    Ok(Footer {
        rows: rows.unsigned_abs(),
        first,
        last,
        bytes: meta.len(),
    })
}

fn scan_times(path: &Path) -> Result<(Option<Timestamp>, Option<Timestamp>), DataError> {
    let candles = read(path, &ReadOptions::default())?.candles;
    let times = || (0..candles.rows).filter_map(|row| candles.time(row));
    Ok((times().min(), times().max()))
}

/// Runs a decoding. The decoder panics on some damaged files instead of refusing them; nothing of
/// what it then leaves behind is used again.
pub(super) fn guarded<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, DataError>,
) -> Result<T, DataError> {
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    decoded.unwrap_or_else(|_| Err(corrupt(path, &"the decoder gave up on damaged data")))
}

/// Opens the file as Parquet, or says in what way it is not.
pub(super) fn open(
    path: &Path,
    file: &File,
) -> Result<ParquetRecordBatchReaderBuilder<File>, DataError> {
    let handle = file.try_clone().map_err(DataError::io("read", path))?;
    let opened = ParquetRecordBatchReaderBuilder::try_new(handle);
    opened.map_err(|error| match unlike_parquet(path, file) {
        Ok(Some(reason)) => reason,
        Ok(None) => corrupt(path, &error),
        Err(error) => DataError::io("read", path)(error),
    })
}

pub(super) fn corrupt(path: &Path, error: &dyn std::fmt::Display) -> DataError {
    DataError::Corrupt {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}

/// In what way the file as a whole is not Parquet; `None` where its ends look right.
fn unlike_parquet(path: &Path, mut file: &File) -> std::io::Result<Option<DataError>> {
    let path = path.to_path_buf();
    let bytes = file.metadata()?.len();
    let not = |reason: String| DataError::NotParquet {
        path: path.clone(),
        reason,
    };
    if bytes == 0 {
        return Ok(Some(not("it is empty".to_owned())));
    }
    if bytes < MAGIC.len() as u64 {
        return Ok(Some(not(format!("it has only {bytes} bytes"))));
    }
    let mut magic = [0_u8; 4];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut magic)?;
    if &magic != MAGIC {
        return Ok(Some(not("it does not begin with PAR1".to_owned())));
    }
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut magic)?;
    if bytes < SHORTEST_FILE_BYTES || &magic != MAGIC {
        return Ok(Some(DataError::Truncated {
            path,
            missing: "part, the footer, is",
            bytes,
        }));
    }
    Ok(None)
}

/// Where the columns are, with names and types checked.
pub(super) fn positions(
    schema: &Schema,
    options: &ReadOptions,
    candles: &mut RawCandles,
) -> Positions {
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let naming = Naming {
        mapping: &options.columns,
        with_aliases: options.foreign,
    };
    let mut positions = columns::resolve(&names, naming, candles);
    let file = candles.file.clone();
    let wrong = |name: &str, at: usize, expected: &str| {
        let found = schema.field(at).data_type();
        let message = format!("{file}: column `{name}` has type {found}; it must be {expected}");
        Problem::of_file(Severity::Error, "wrong_type", message)
    };
    if let Some(at) = positions.time {
        let kind = schema.field(at).data_type();
        if !cells::is_time(kind, options.foreign) {
            let expected = if options.foreign {
                cells::FOREIGN_TIME_TYPES
            } else {
                cells::TIME_TYPES
            };
            candles.problems.push(wrong(TIME_COLUMN, at, expected));
            positions.time = None;
        } else if matches!(kind, DataType::Timestamp(_, None)) && !options.foreign {
            let message =
                format!("{file}: column `{TIME_COLUMN}` has no time zone; it is taken as UTC");
            let problem = Problem::of_file(Severity::Warning, "unzoned_time", message);
            candles.problems.push(problem);
        }
    }
    for column in Column::ALL {
        let slot = &mut positions.numbers[column.index()];
        if let Some(at) = slot.take_if(|at| !cells::is_number(schema.field(*at).data_type())) {
            candles
                .problems
                .push(wrong(column.name(), at, cells::NUMBER_TYPES));
        }
    }
    positions
}

/// The row groups from the first to the last that may hold candles of the range, and the number
/// of the first row in them.
pub(super) fn groups_within(
    metadata: &ParquetMetaData,
    positions: &Positions,
    options: &ReadOptions,
) -> (Range<usize>, u64) {
    let groups = metadata.row_groups();
    let schema = metadata.file_metadata().schema_descr();
    let arrow = parquet::arrow::parquet_to_arrow_schema(schema, None);
    let may_hold = |index: usize| {
        let (Some(time), Ok(arrow)) = (positions.time, &arrow) else {
            return true;
        };
        let leaf = leaf_of(metadata, time);
        let statistics = leaf.and_then(|leaf| groups[index].column(leaf).statistics());
        time_range(statistics, arrow, time).is_none_or(|(low, high)| {
            options.from.is_none_or(|from| high >= from) && options.to.is_none_or(|to| low < to)
        })
    };
    let matching: Vec<usize> = (0..groups.len()).filter(|&index| may_hold(index)).collect();
    let range = match (matching.first(), matching.last()) {
        (Some(&first), Some(&last)) => first..last + 1,
        _ => 0..0,
    };
    let before = groups[..range.start].iter().map(|group| group.num_rows());
    let first_row = before.sum::<i64>().unsigned_abs();
    (range, first_row)
}

/// The column chunk of a top-level column; nested columns have several, so positions differ.
fn leaf_of(metadata: &ParquetMetaData, root: usize) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root)
}

/// The earliest and latest time in a column chunk, where its statistics tell.
fn time_range(
    statistics: Option<&Statistics>,
    schema: &Schema,
    time: usize,
) -> Option<(Timestamp, Timestamp)> {
    let nanos_per_unit = match schema.field(time).data_type() {
        DataType::Timestamp(ArrowUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(ArrowUnit::Microsecond, _) => 1_000,
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => 1,
        _ => return None,
    };
    let Some(Statistics::Int64(values)) = statistics else {
        return None;
    };
    let at = |value: &i64| Some(Timestamp::from_nanos(value.checked_mul(nanos_per_unit)?));
    Some((at(values.min_opt()?)?, at(values.max_opt()?)?))
}

/// The columns to read, ascending, and where each of ours lies among them.
pub(super) fn projected(positions: &Positions) -> (Vec<usize>, Positions) {
    let all = positions.numbers.iter().chain([&positions.time]);
    let mut wanted: Vec<usize> = all.flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let among = |at: Option<usize>| wanted.iter().position(|&one| Some(one) == at);
    let inner = Positions {
        time: among(positions.time),
        numbers: positions.numbers.map(among),
    };
    (wanted, inner)
}

/// Columns under collection.
pub(super) struct Table<'a> {
    positions: &'a Positions,
    time_unit: TimeUnit,
    rows: usize,
    times: TimeColumn,
    columns: [NumberColumn; 8],
    not_times: Vec<usize>,
    inexact: [Vec<usize>; 8],
}

impl<'a> Table<'a> {
    pub(super) fn new(positions: &'a Positions, time_unit: TimeUnit) -> Self {
        Self {
            positions,
            time_unit,
            rows: 0,
            times: TimeColumn::default(),
            columns: Default::default(),
            not_times: Vec::new(),
            inexact: Default::default(),
        }
    }

    pub(super) fn append(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows();
        if let Some(at) = self.positions.time {
            let array = batch.column(at);
            let wrong = cells::append_times(array, self.time_unit, &mut self.times);
            self.not_times.extend(wrong);
        }
        for (index, at) in self.positions.numbers.iter().enumerate() {
            if let Some(at) = *at {
                let wrong = cells::append_numbers(batch.column(at), &mut self.columns[index]);
                self.inexact[index].extend(wrong);
            }
        }
    }

    pub(super) fn finish(self, candles: &mut RawCandles) {
        candles.rows = self.rows;
        let at = |row: usize| candles.row_numbers.number(row);
        let cell = |name: &str, code, what: &str, rows: &[usize]| {
            let first = at(*rows.first()?);
            let file = &candles.file;
            let message = format!(
                "{file}: column `{name}`: {what} in {} rows, first row {first}",
                rows.len()
            );
            let mut problem = Problem::of_file(Severity::Error, code, message);
            problem.count = rows.len() as u64;
            Some(problem)
        };
        let mut problems = Vec::new();
        let what = "a value that is no time from 1677 to 2262";
        problems.extend(cell(TIME_COLUMN, "not_a_time", what, &self.not_times));
        for column in Column::ALL {
            let rows = &self.inexact[column.index()];
            let what = "an integer above 2^53, which no float64 holds";
            problems.extend(cell(column.name(), "inexact", what, rows));
        }
        candles.problems.extend(problems);
        candles.times = self.positions.time.map(|_| self.times);
        let present = self.positions.numbers;
        let mut columns = self.columns;
        candles.columns = std::array::from_fn(|index| {
            present[index].map(|_| std::mem::take(&mut columns[index]))
        });
    }
}
