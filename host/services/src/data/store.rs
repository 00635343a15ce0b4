//! The data directory: what is in it, and a market out of it.
//!
//! Layout: `<DIR>/<EXCHANGE>/<SYMBOL>-<TF>.parquet`. Listing reads footers only. Loading validates
//! the candles of the range it was asked for, and makes bars that are not on disk out of finer ones
//! that are (see [`resample`](super::resample)).

use std::fs;
use std::path::{Path, PathBuf};

use fusebox_engine::types::{BarSeries, Market, TimeFrame, Timestamp};
use serde::Serialize;

use super::import::usable;
use super::parquet::{Content, ReadOptions};
use super::resample::{self, divides, resample};
use super::validate::{ValidateOptions, validate};
use super::{
    DataError, DataRequest, DataSource, FileRecord, LoadedMarket, Origin, layout, parquet,
};

/// How many names a hint lists.
const NAMES_SHOWN: usize = 10;

/// A candle file in a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The folder that it lies in.
    pub exchange: String,
    /// The symbol; the whole name where it does not end in a bar length.
    pub symbol: String,
    /// The bars' length; `None` where the name does not end in one.
    pub time_frame: Option<TimeFrame>,
    /// Path relative to the data directory, with `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What is in it.
    pub content: EntryContent,
}

/// What the footer of a candle file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EntryContent {
    /// Candles, not validated.
    Candles {
        /// Rows in the file.
        rows: u64,
        /// Earliest open time.
        first: Option<Timestamp>,
        /// Latest open time.
        last: Option<Timestamp>,
    },
    /// Nothing that can be read.
    Broken {
        /// Why.
        error: String,
    },
}

/// The candle files of a data directory in the order of exchange, symbol and bar length. A broken
/// file is an entry with its error.
///
/// # Errors
/// [`DataError::Io`] where a directory cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<Entry>, DataError> {
    let mut entries = Vec::new();
    for folder in children(dir)? {
        if !folder.is_dir() || is_hidden(&folder) {
            continue;
        }
        let files = children(&folder)?;
        let files = files.iter().filter(|path| layout::is_candle_file(path));
        entries.extend(files.map(|path| entry(dir, &folder, path)));
    }
    let key = |entry: &Entry| {
        (
            entry.exchange.clone(),
            entry.symbol.clone(),
            entry.time_frame,
        )
    };
    entries.sort_by_key(key);
    Ok(entries)
}

fn entry(dir: &Path, folder: &Path, path: &Path) -> Entry {
    let (symbol, time_frame) = match layout::parse_file_name(path) {
        Some((symbol, time_frame)) => (symbol, Some(time_frame)),
        None => (name_of(path), None),
    };
    let content = match parquet::read_footer(path) {
        Ok(_) if time_frame.is_none() => EntryContent::Broken {
            error: "the name does not end in a bar length, such as BTCUSDT-1h.parquet".to_owned(),
        },
        Ok(footer) => EntryContent::Candles {
            rows: footer.rows,
            first: footer.first,
            last: footer.last,
        },
        Err(error) => EntryContent::Broken {
            error: error.to_string(),
        },
    };
    Entry {
        exchange: name_of(folder),
        symbol,
        time_frame,
        path: layout::relative(dir, path),
        bytes: fs::metadata(path).map_or(0, |meta| meta.len()),
        content,
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with('.')
}

/// What lies in a folder, in the order of the names.
fn children(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|one| one.path())).collect())
        .map_err(DataError::io("list", folder))?;
    paths.sort();
    Ok(paths)
}

/// The source that reads a data directory; the request says which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParquetDirectory;

impl DataSource for ParquetDirectory {
    fn load(&self, request: &DataRequest) -> Result<LoadedMarket, DataError> {
        load_market(request)
    }
}

/// Loads a market from a data directory.
///
/// # Errors
/// [`DataError`] with the problems of all symbols together.
pub fn load_market(request: &DataRequest) -> Result<LoadedMarket, DataError> {
    let place = exchange_folder(request)?;
    let files = candle_files(&place)?;
    let mut series = Vec::new();
    let mut records = Vec::new();
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    for symbol in &request.symbols {
        match load_symbol(request, &place, &files, symbol) {
            Ok(loaded) => {
                series.push(loaded.series);
                records.push(loaded.record);
                warnings.extend(loaded.warnings);
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some(error) = DataError::joined(errors) {
        return Err(error);
    }
    Ok(LoadedMarket {
        market: Market::new(series)?,
        files: records,
        warnings,
        origin: Origin::Files,
    })
}

/// A candle file in an exchange's folder.
pub(super) struct CandleFile {
    pub(super) symbol: String,
    pub(super) time_frame: TimeFrame,
    pub(super) path: PathBuf,
}

/// The folder of the exchange, or an error that names those that exist.
pub(super) fn exchange_folder(request: &DataRequest) -> Result<PathBuf, DataError> {
    layout::check_name(&request.exchange, "an exchange")?;
    let place = request.dir.join(&request.exchange);
    if place.is_dir() {
        return Ok(place);
    }
    let inside = children(&request.dir)?;
    let exchanges: Vec<String> = inside
        .iter()
        .filter(|path| path.is_dir() && !is_hidden(path))
        .map(|path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let hint = if inside.iter().any(|path| layout::is_candle_file(path)) {
        "candle files lie in it directly: is it an exchange's folder? Give the folder above it"
            .to_owned()
    } else {
        there_are(&request.exchange, &exchanges, "exchange")
    };
    Err(DataError::ExchangeMissing {
        exchange: request.exchange.clone(),
        dir: request.dir.clone(),
        hint,
    })
}

pub(super) fn candle_files(place: &Path) -> Result<Vec<CandleFile>, DataError> {
    let paths = children(place)?.into_iter();
    let named = paths
        .filter(|path| layout::is_candle_file(path))
        .filter_map(|path| {
            let (symbol, time_frame) = layout::parse_file_name(&path)?;
            Some(CandleFile {
                symbol,
                time_frame,
                path,
            })
        });
    Ok(named.collect())
}

/// "there are BTCUSDT, ETHUSDT, ...", the nearest names first.
fn there_are(wanted: &str, names: &[String], what: &str) -> String {
    let distance = |name: &String| {
        let near = strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase());
        // Jaro-Winkler lies in 0..=1, so this orders it exactly enough and without NaN.
        std::cmp::Reverse((near * 1e9) as i64)
    };
    let mut near: Vec<&String> = names.iter().collect();
    near.sort_by_key(|&name| (distance(name), name.clone()));
    near.dedup();
    let shown: Vec<&str> = near
        .iter()
        .take(NAMES_SHOWN)
        .map(|name| name.as_str())
        .collect();
    match near.len() {
        0 => format!("there is no {what} at all; add one with `fusebox data import`"),
        count if count > NAMES_SHOWN => {
            format!(
                "there are {} and {} more",
                shown.join(", "),
                count - NAMES_SHOWN
            )
        }
        1 => format!("there is {}", shown.join(", ")),
        _ => format!("there are {}", shown.join(", ")),
    }
}

struct LoadedSymbol {
    series: BarSeries,
    record: FileRecord,
    warnings: Vec<String>,
}

fn load_symbol(
    request: &DataRequest,
    place: &Path,
    files: &[CandleFile],
    symbol: &str,
) -> Result<LoadedSymbol, DataError> {
    let file = choose_file(request, place, files, symbol)?;
    let range = TimeRange::of(request);
    let is_at_hand = file.time_frame == request.time_frame;
    let fine = if is_at_hand {
        range
    } else {
        range.of_whole_bars(request.time_frame)
    };
    let content = parquet::read(
        &file.path,
        &ReadOptions {
            from: fine.from,
            to: fine.to,
            ..ReadOptions::default()
        },
    )?;
    let name = layout::relative(&request.dir, &file.path);
    if content.candles.rows == 0 && content.candles.problems.is_empty() {
        return Err(empty_range(request, symbol, &file.path));
    }
    let (mut series, mut warnings) = judged(&content, &name, file, symbol)?;
    let ends = series.bars.first().zip(series.bars.last());
    let ends = ends.map(|(first, last)| (first.opened_at, last.opened_at));
    if !is_at_hand {
        let made = resample(&series, request.time_frame)?;
        warnings.push(resampled_warning(&name, request, file, made.incomplete));
        series = made.series;
    }
    let Some((first, last)) = ends.filter(|_| !series.bars.is_empty()) else {
        return Err(empty_range(request, symbol, &file.path));
    };
    let record = FileRecord {
        path: name,
        sha256: content.sha256,
        rows: content.candles.rows as u64,
        first,
        last,
    };
    Ok(LoadedSymbol {
        record,
        series,
        warnings,
    })
}

/// The file with the bars asked for, else the coarsest one that they can be made of.
pub(super) fn choose_file<'a>(
    request: &DataRequest,
    place: &Path,
    files: &'a [CandleFile],
    symbol: &str,
) -> Result<&'a CandleFile, DataError> {
    let of_symbol = || files.iter().filter(|file| file.symbol == symbol);
    if of_symbol().next().is_none() {
        let names: Vec<String> = files.iter().map(|file| file.symbol.clone()).collect();
        return Err(DataError::SymbolMissing {
            symbol: symbol.to_owned(),
            place: place.to_path_buf(),
            hint: there_are(symbol, &names, "symbol"),
        });
    }
    let usable = of_symbol().filter(|file| divides(file.time_frame, request.time_frame));
    usable.max_by_key(|file| file.time_frame).ok_or_else(|| {
        let mut frames: Vec<TimeFrame> = of_symbol().map(|file| file.time_frame).collect();
        frames.sort_unstable();
        let frames: Vec<String> = frames.iter().map(TimeFrame::to_string).collect();
        DataError::TimeFrameMissing {
            symbol: symbol.to_owned(),
            time_frame: request.time_frame,
            place: place.to_path_buf(),
            hint: format!("it has {} bars", frames.join(", ")),
        }
    })
}

/// The validated bars and what is odd about them.
fn judged(
    content: &Content,
    name: &str,
    file: &CandleFile,
    symbol: &str,
) -> Result<(BarSeries, Vec<String>), DataError> {
    let options = ValidateOptions {
        time_frame: Some(file.time_frame),
        ..ValidateOptions::default()
    };
    let report = validate(&content.candles, &options);
    let series = usable(&content.candles, &report, symbol)?;
    // Warnings end up in reports of runs, which must not depend on where the directory lies.
    let relative = |message: &str| message.replacen(&report.file, name, 1);
    let warnings = report.warnings().map(|one| relative(&one.message));
    Ok((series, warnings.collect()))
}

fn resampled_warning(
    name: &str,
    request: &DataRequest,
    file: &CandleFile,
    incomplete: u64,
) -> String {
    let (fine, coarse) = (file.time_frame, request.time_frame);
    format!(
        "{name}: {coarse} bars are made of {fine} bars; {incomplete} of them are absent because a \
         {fine} bar in them is"
    )
}

/// The error of a range without bars; the footer knows what range there is.
fn empty_range(request: &DataRequest, symbol: &str, path: &Path) -> DataError {
    let available = match parquet::read_footer(path) {
        Ok(footer) => match (footer.first, footer.last) {
            (Some(first), Some(last)) => format!("{} rows from {first} to {last}", footer.rows),
            _ => "no rows at all".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    DataError::EmptyRange {
        symbol: symbol.to_owned(),
        time_frame: request.time_frame,
        from: request.from,
        to: request.to,
        available,
    }
}

/// Open times from `from` on and before `to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeRange {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl TimeRange {
    pub(super) fn of(request: &DataRequest) -> Self {
        Self {
            from: request.from,
            to: request.to,
        }
    }

    /// The range of finer bars that make up exactly the bars of this `length` that open in here.
    fn of_whole_bars(self, length: TimeFrame) -> Self {
        let start = |at| resample::first_start(length, at);
        Self {
            from: self.from.map(start),
            to: self.to.map(start),
        }
    }

    /// The bars of the series that open in this range.
    pub(super) fn cut(self, mut series: BarSeries) -> BarSeries {
        series.bars.retain(|bar| {
            self.from.is_none_or(|from| bar.opened_at >= from)
                && self.to.is_none_or(|to| bar.opened_at < to)
        });
        series
    }
}

#[cfg(test)]
mod tests;
