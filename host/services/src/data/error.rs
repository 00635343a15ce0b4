//! Why data could not be read, loaded or imported.

use std::io;
use std::path::{Path, PathBuf};

use fusebox_engine::types::{MarketError, TimeFrame, Timestamp};

use super::validate::ValidationReport;

/// Why data could not be read, loaded or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Several things are wrong; all of them are told.
    #[error("{}", lines(.0))]
    Several(Vec<DataError>),
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was to be done, such as `read`.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a Parquet file ({reason}); for CSV use `fusebox data import`")]
    NotParquet {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The file begins like Parquet but its end is missing.
    #[error(
        "{path} is truncated: it begins as a Parquet file but its last {missing} missing after \
         {bytes} bytes; copy or import it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
        /// The size that it has.
        bytes: u64,
    },
    /// The file is Parquet but cannot be decoded.
    #[error("{path} is corrupt or uses an unsupported encoding: {reason}; copy or import it again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// The text is not CSV.
    #[error("{path}: {reason}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },
    /// The candles have errors.
    #[error("{}", invalid(.0))]
    Invalid(Box<ValidationReport>),
    /// There is no directory of that exchange.
    #[error("exchange {exchange} not found under {dir}; {hint}")]
    ExchangeMissing {
        /// What was asked for.
        exchange: String,
        /// Where it was looked for.
        dir: PathBuf,
        /// What there is.
        hint: String,
    },
    /// There is no file of that symbol.
    #[error("{symbol} not found under {place}; {hint}")]
    SymbolMissing {
        /// What was asked for.
        symbol: String,
        /// Where it was looked for.
        place: PathBuf,
        /// What there is, the nearest names first.
        hint: String,
    },
    /// The symbol has no bars of that length, nor finer ones to make them from.
    #[error(
        "{symbol} has no {time_frame} bars under {place}, nor finer ones that divide them; {hint}"
    )]
    TimeFrameMissing {
        /// The symbol.
        symbol: String,
        /// What was asked for.
        time_frame: TimeFrame,
        /// Where it was looked for.
        place: PathBuf,
        /// What there is.
        hint: String,
    },
    /// No bar lies in the range.
    #[error(
        "{symbol} has no {time_frame} bars {}; it has {available}",
        range_text(*.from, *.to)
    )]
    EmptyRange {
        /// The symbol.
        symbol: String,
        /// The bars' length.
        time_frame: TimeFrame,
        /// Start of the range asked for.
        from: Option<Timestamp>,
        /// End of the range asked for.
        to: Option<Timestamp>,
        /// What there is.
        available: String,
    },
    /// A name does not fit into the layout.
    #[error("`{name}` cannot be {what}: {reason}")]
    BadName {
        /// The name.
        name: String,
        /// What it was meant to be.
        what: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The bars' length is not known.
    #[error("the time frame of {path} is not clear; give it, such as --time-frame 1h")]
    TimeFrameUnknown {
        /// The file.
        path: PathBuf,
    },
    /// New candles contradict those already there.
    #[error(
        "{path} already holds other values: the candle of {at} has {column} {present} there and \
         {new} in the import ({differing} of {overlapping} shared candles differ); check the \
         source, or use --replace to overwrite the file"
    )]
    Conflict {
        /// The file that is there.
        path: PathBuf,
        /// Open time of the first candle that differs.
        at: Timestamp,
        /// The first column that differs in it.
        column: &'static str,
        /// The value that is there.
        present: String,
        /// The value of the import.
        new: String,
        /// How many candles differ.
        differing: u64,
        /// How many candles both have.
        overlapping: u64,
    },
    /// A simulated market cannot be made like this.
    #[error("the simulated market: {}", .0.join("; "))]
    Simulation(Vec<String>),
    /// A file of funding rates or order books is wrong.
    #[error("{} is wrong: {}", path.display(), problems.join("; "))]
    RecordsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// Records do not fit the market.
    #[error(transparent)]
    Records(#[from] fusebox_engine::types::RecordsError),
    /// Bars cannot be made of the bars at hand.
    #[error(transparent)]
    Resample(#[from] super::resample::ResampleError),
    /// The series do not make a market.
    #[error(transparent)]
    Market(#[from] MarketError),
}

impl DataError {
    /// Whether other settings, and not another attempt, are what is needed: a file that the
    /// configuration names is not there or holds something else.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::RecordsFile { .. } | Self::Records(_) => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// One error out of those collected; `None` where there is none.
    pub(super) fn joined(mut errors: Vec<Self>) -> Option<Self> {
        match errors.len() {
            0 | 1 => errors.pop(),
            _ => Some(Self::Several(errors)),
        }
    }
}

fn lines(errors: &[DataError]) -> String {
    let lines: Vec<String> = errors.iter().map(DataError::to_string).collect();
    lines.join("\n")
}

fn invalid(report: &ValidationReport) -> String {
    let errors: Vec<&str> = report.errors().map(|one| one.message.as_str()).collect();
    errors.join("\n")
}

fn range_text(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("from {from} to before {to}"),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("before {to}"),
        (None, None) => "at all".to_owned(),
    }
}
