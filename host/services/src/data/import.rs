//! Puts candles of a foreign file into the data directory.
//!
//! Flow: read -> validate (errors end it) -> merge with what is there -> write atomically. A merge
//! only adds candles: where both have a candle, they must agree, or the import is refused and the
//! first difference shown.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox_engine::types::{Bar, BarSeries, TimeFrame, Timestamp};
use serde::{Deserialize, Serialize};

use super::csv::{CsvOptions, TimeUnit};
use super::parquet::ReadOptions;
use super::raw::RawCandles;
use super::validate::{ValidateOptions, ValidationReport, validate};
use super::{DataError, csv, layout, parquet};
use crate::progress::Progress;

/// How far two values may lie apart and still be the same, relative: text keeps fewer digits.
const SAME_VALUE: f64 = 1e-9;

/// What a foreign file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// CSV with a header line.
    Csv,
    /// CSV of twelve columns without header, as Binance publishes.
    BinanceKlines,
    /// Parquet, with our column names or others.
    Parquet,
}

/// What to import, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportOptions {
    /// The foreign file.
    pub source: PathBuf,
    /// The data directory; made where it does not exist.
    pub dir: PathBuf,
    /// The folder below `dir`.
    pub exchange: String,
    /// The symbol.
    pub symbol: String,
    /// The bars' length; `None` to take it from the source's name, else from the spacing.
    pub time_frame: Option<TimeFrame>,
    /// What the source is; `None` to see by its name (`.parquet`) and first line.
    pub format: Option<ImportFormat>,
    /// The byte between the cells of a CSV file.
    pub delimiter: u8,
    /// The unit of integer times.
    pub time_unit: TimeUnit,
    /// Our column names to the source's, or to `-` for a column to leave out.
    pub columns: BTreeMap<String, String>,
    /// Whether the file of that symbol is replaced by the source instead of being merged with it.
    pub replace: bool,
}

impl ImportOptions {
    /// Everything left to be seen from the source itself.
    #[must_use]
    pub fn new(source: PathBuf, dir: PathBuf, exchange: String, symbol: String) -> Self {
        Self {
            source,
            dir,
            exchange,
            symbol,
            time_frame: None,
            format: None,
            delimiter: b',',
            time_unit: TimeUnit::Auto,
            columns: BTreeMap::new(),
            replace: false,
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportOutcome {
    /// The candle file.
    pub path: PathBuf,
    /// The bars' length.
    pub time_frame: TimeFrame,
    /// Candles in the source.
    pub rows_read: u64,
    /// Candles that the file did not have before.
    pub rows_added: u64,
    /// Candles in the file now.
    pub rows: u64,
    /// Open time of the file's first candle.
    pub first: Timestamp,
    /// Open time of the file's last candle.
    pub last: Timestamp,
    /// Whether an older file was replaced without being merged.
    pub replaced: bool,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// What is odd about the source.
    pub report: ValidationReport,
}

/// Steps of an import, for progress: read, validate, merge, write.
const STEPS: u64 = 4;

/// Imports one file.
///
/// # Errors
/// [`DataError`] where the source cannot be read or has errors ([`DataError::Invalid`] tells all),
/// where it contradicts what is there ([`DataError::Conflict`]), or where the file cannot be
/// written. Nothing has changed then.
pub fn import(
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportOutcome, DataError> {
    progress.start("importing", STEPS);
    let outcome = import_steps(options, progress);
    progress.finish();
    outcome
}

fn import_steps(
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<ImportOutcome, DataError> {
    layout::check_name(&options.exchange, "an exchange")?;
    layout::check_name(&options.symbol, "a symbol")?;
    let candles = read_source(options)?;
    progress.advance(1);
    let judged_by = ValidateOptions {
        time_frame: options.time_frame,
        ..ValidateOptions::default()
    };
    let report = validate(&candles, &judged_by);
    let time_frame = report.time_frame;
    let new = usable(&candles, &report, &options.symbol)?;
    progress.advance(1);
    let time_frame = time_frame.unwrap_or(new.time_frame);
    let path = layout::path_of(&options.dir, &options.exchange, &options.symbol, time_frame)?;
    let present = present(&path, &options.symbol, time_frame, options.replace)?;
    let rows_before = present.as_ref().map_or(0, |series| series.bars.len());
    let replaced = options.replace && path.exists();
    let merged = match present {
        Some(present) => merge(&path, present, new)?,
        None => new,
    };
    progress.advance(1);
    let folder = options.dir.join(&options.exchange);
    fs::create_dir_all(&folder).map_err(DataError::io("create", &folder))?;
    let sha256 = parquet::write(&path, &merged)?;
    progress.advance(1);
    let (Some(first), Some(last)) = (merged.bars.first(), merged.bars.last()) else {
        return Err(DataError::Invalid(Box::new(report)));
    };
    Ok(ImportOutcome {
        time_frame,
        rows_read: report.rows,
        rows_added: (merged.bars.len() - rows_before) as u64,
        rows: merged.bars.len() as u64,
        first: first.opened_at,
        last: last.opened_at,
        replaced,
        sha256,
        report,
        path,
    })
}

fn read_source(options: &ImportOptions) -> Result<RawCandles, DataError> {
    let ends_in_parquet = options
        .source
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    let is_parquet = match options.format {
        Some(format) => format == ImportFormat::Parquet,
        None => ends_in_parquet,
    };
    if is_parquet {
        let read = ReadOptions {
            columns: options.columns.clone(),
            foreign: true,
            time_unit: options.time_unit,
            ..ReadOptions::default()
        };
        return parquet::read(&options.source, &read).map(|content| content.candles);
    }
    let read = CsvOptions {
        delimiter: options.delimiter,
        time_unit: options.time_unit,
        columns: options.columns.clone(),
        headerless_klines: options
            .format
            .map(|format| format == ImportFormat::BinanceKlines),
    };
    csv::read(&options.source, &read)
}

/// The bars, or the report that says why they are none.
pub(super) fn usable(
    candles: &RawCandles,
    report: &ValidationReport,
    symbol: &str,
) -> Result<BarSeries, DataError> {
    let refused = || DataError::Invalid(Box::new(report.clone()));
    let time_frame = report.time_frame.filter(|_| report.is_usable());
    let Some(time_frame) = time_frame else {
        if report.is_usable() {
            let path = PathBuf::from(&report.file);
            return Err(DataError::TimeFrameUnknown { path });
        }
        return Err(refused());
    };
    candles.to_series(symbol, time_frame).ok_or_else(refused)
}

/// The candles that are already there and are to be kept.
fn present(
    path: &Path,
    symbol: &str,
    time_frame: TimeFrame,
    replace: bool,
) -> Result<Option<BarSeries>, DataError> {
    if replace || !path.exists() {
        return Ok(None);
    }
    let content = parquet::read(path, &ReadOptions::default())?;
    let judged_by = ValidateOptions {
        time_frame: Some(time_frame),
        ..ValidateOptions::default()
    };
    let report = validate(&content.candles, &judged_by);
    usable(&content.candles, &report, symbol).map(Some)
}

/// Both, in order of time; shared candles must agree.
fn merge(path: &Path, present: BarSeries, new: BarSeries) -> Result<BarSeries, DataError> {
    let mut bars = Vec::with_capacity(present.bars.len().max(new.bars.len()));
    let mut overlapping = 0;
    let mut differing = 0;
    let mut first: Option<(Timestamp, Difference)> = None;
    let (mut left, mut right) = (present.bars.iter().peekable(), new.bars.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(old), Some(new)) => old.opened_at.cmp(&new.opened_at),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        let old = left.next_if(|_| order.is_le());
        let new = right.next_if(|_| order.is_ge());
        if let (Some(old), Some(new)) = (old, new) {
            overlapping += 1;
            if let Some(difference) = difference(old, new) {
                differing += 1;
                first.get_or_insert((old.opened_at, difference));
            }
        }
        bars.extend(old.or(new).copied());
    }
    match first {
        None => Ok(BarSeries { bars, ..present }),
        Some((at, difference)) => Err(DataError::Conflict {
            path: path.to_path_buf(),
            at,
            column: difference.column,
            present: shown(difference.present),
            new: shown(difference.new),
            differing,
            overlapping,
        }),
    }
}

/// The first column in which two candles of one time differ.
struct Difference {
    column: &'static str,
    present: Option<f64>,
    new: Option<f64>,
}

fn difference(present: &Bar, new: &Bar) -> Option<Difference> {
    let columns = super::Column::ALL.into_iter();
    columns
        .map(|column| Difference {
            column: column.name(),
            present: parquet::value(present, column),
            new: parquet::value(new, column),
        })
        .find(|pair| match (pair.present, pair.new) {
            (Some(a), Some(b)) => (a - b).abs() > SAME_VALUE * a.abs().max(b.abs()),
            (a, b) => a.is_some() != b.is_some(),
        })
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "no value".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
