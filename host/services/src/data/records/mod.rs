//! What a venue recorded beside the bars, from files: finer bars, funding rates, order books.
//!
//! [`complete`] adds them to a market that was loaded without them, with what a person should know
//! about them as warnings. They are for the simulated exchange alone.

mod books;
mod coverage;
mod funding;
pub(in crate::data) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_engine::types::{Bar, BarSeries, Market, TimeFrame, Timestamp, VenueRecords};

use super::{DataError, DataRequest, DataSource, FileRecord, LoadedMarket};
use table::Columns;

/// Problems of a file that are listed at most.
const MAX_PROBLEMS: usize = 20;

/// Names of the column of times.
const TIMES: &[&str] = &["ts", "time", "local_ts"];

/// Which records a run wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordsRequest {
    /// Length of the finer bars in which orders fill; from the same source as the bars.
    pub fine: Option<TimeFrame>,
    /// A file of funding rates.
    pub funding: Option<PathBuf>,
    /// A file of order books, and the milliseconds after which a snapshot is too old.
    pub books: Option<(PathBuf, u64)>,
}

impl RecordsRequest {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds the records that `wanted` asks for to a market, over the closing times of `range` (all of
/// it without one).
///
/// # Errors
/// [`DataError`] with the problems of all files together.
pub fn complete(
    loaded: LoadedMarket,
    source: &dyn DataSource,
    (data, wanted): (&DataRequest, &RecordsRequest),
    range: Option<(Timestamp, Timestamp)>,
) -> Result<LoadedMarket, DataError> {
    if wanted.is_empty() {
        return Ok(loaded);
    }
    let LoadedMarket {
        market,
        mut files,
        mut warnings,
        origin,
    } = loaded;
    let mut errors = Vec::new();
    let mut records = VenueRecords::default();
    if let Some(fine) = wanted.fine {
        let request = fine_request(data, fine, (market.time_frame(), range));
        match source.load(&request) {
            Ok(found) => {
                let series = found.market.series();
                let told = series.iter().zip(market.series());
                warnings.extend(told.filter_map(|(fine, own)| coverage::fine(own, fine, range)));
                warnings.extend(found.warnings);
                files.extend(found.files);
                records.fine = Arc::from(series.to_vec());
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some(path) = &wanted.funding {
        match funding::read(path, &market) {
            Ok(found) => {
                let told = found.content.iter().zip(market.series());
                warnings.extend(told.filter_map(|(own, bars)| coverage::funding(bars, own, range)));
                files.push(found.record);
                records.funding = found.content;
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some((path, max_age_ms)) = &wanted.books {
        match books::read(path, &market) {
            Ok(found) => {
                let told = found.content.iter().zip(market.series());
                warnings.extend(
                    told.filter_map(|(own, bars)| coverage::books(bars, (own, *max_age_ms), range)),
                );
                files.push(found.record);
                records.books = found.content;
            }
            Err(error) => errors.push(error),
        }
    }
    if let Some(error) = DataError::joined(errors) {
        return Err(error);
    }
    Ok(LoadedMarket {
        market: market.with_records(records)?,
        files,
        warnings,
        origin,
    })
}

/// The bars of length `fine` that lie in the bars which close within `range`.
fn fine_request(
    data: &DataRequest,
    fine: TimeFrame,
    (coarse, range): (TimeFrame, Option<(Timestamp, Timestamp)>),
) -> DataRequest {
    let from = range.map(|(first, _)| first.saturating_add_nanos(-coarse.nanos()));
    let to = range.map(|(_, last)| last);
    DataRequest {
        time_frame: fine,
        from: data.from.max(from),
        to: match (data.to, to) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        ..data.clone()
    }
}

/// The bars of a series that close within `range`.
fn within(series: &BarSeries, range: Option<(Timestamp, Timestamp)>) -> &[Bar] {
    let Some((first, last)) = range else {
        return &series.bars;
    };
    let from = series.bars.partition_point(|bar| bar.closed_at < first);
    let to = series.bars.partition_point(|bar| bar.closed_at <= last);
    series.bars.get(from..to).unwrap_or(&[])
}

/// What came out of a file, and what it was.
struct RecordsFile<T> {
    content: T,
    record: FileRecord,
}

impl<T> RecordsFile<T> {
    /// The content, unless the table has problems.
    fn new(path: &Path, columns: Columns, content: T) -> Result<Self, DataError> {
        let mut problems = columns.problems;
        let times = || (0..columns.rows).filter_map(|row| columns.times.get(row));
        let ends = times().min().zip(times().max());
        if ends.is_none() && problems.is_empty() {
            problems.push("there is no row".to_owned());
        }
        let more = problems.len().saturating_sub(MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        let (Some((first, last)), true) = (ends, problems.is_empty()) else {
            return Err(DataError::RecordsFile {
                path: path.to_path_buf(),
                problems,
            });
        };
        // Where it lies is not what it is: the name and the digest say that.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            content,
            record: FileRecord {
                path: name.into_owned(),
                sha256: columns.sha256,
                rows: columns.rows as u64,
                first,
                last,
            },
        })
    }
}

/// Whose a row is: the symbol that the table's first text column names, or the only one of the
/// market; `None` for a symbol that the run does not have.
fn symbol_of(columns: &Columns, row: usize, market: &Market) -> Option<usize> {
    if !columns.has_text(0) {
        return (market.series().len() == 1).then_some(0);
    }
    let name = columns.texts.first()?.get(row)?;
    market.series().iter().position(|own| own.name == name)
}

#[cfg(test)]
mod tests;
