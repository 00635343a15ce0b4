//! Where bars come from: one file per source, all behind [`DataSource`].
//!
//! A source answers a [`DataRequest`] with a [`LoadedMarket`]: the engine's market, what was read
//! to make it, and what was odd about it. The ways in are:
//!
//! | file | role |
//! |---|---|
//! | [`store`] | the data directory: list it, load a market from it ([`ParquetDirectory`]) |
//! | `stream` | the data directory, block by block, for histories of any length |
//! | [`simulated`] | a seeded artificial market with a planted signal ([`Simulated`]) |
//! | [`parquet`] | reads and writes one candle file |
//! | [`csv`] | reads candles out of CSV text |
//! | [`import`] | puts foreign files into the data directory |
//! | [`validate`] | finds everything that is wrong or odd in candles |
//! | [`records`] | finer bars, funding rates and order books for the exchange |
//! | [`resample`] | coarser bars out of finer ones |
//!
//! Candles come in as [`RawCandles`], which may hold anything; only validated ones become a
//! `BarSeries`. Nothing here alters a value: no bar is filled in, clipped or smoothed.

use std::path::PathBuf;

use fusebox_engine::types::{Market, TimeFrame, Timestamp};
use serde::{Deserialize, Serialize};

pub mod atomic;
mod columns;
pub mod csv;
mod error;
pub mod import;
mod layout;
pub mod parquet;
mod raw;
pub mod records;
pub mod resample;
pub mod simulated;
pub mod store;
mod stream;
pub mod validate;

pub use csv::TimeUnit;
pub use error::DataError;
pub use import::{ImportFormat, ImportOptions, ImportOutcome, import};
pub use layout::{file_name, parse_file_name};
pub use raw::{Column, NumberColumn, RawCandles, RowNumbers, TimeColumn};
pub use records::RecordsRequest;
pub use resample::{Resampled, resample};
pub use simulated::{Simulated, SimulatedConfig};
pub use store::{Entry, EntryContent, ParquetDirectory, list, load_market};
pub use stream::MarketStream;
pub use validate::{
    Problem, Severity, ValidateOptions, ValidationReport, validate, validate_file, validate_paths,
};

/// Something that has bars.
pub trait DataSource: Send + Sync {
    /// The bars that `request` asks for. Its symbols become the market's ids in the order given.
    ///
    /// # Errors
    /// [`DataError`] with the problems of all symbols together.
    fn load(&self, request: &DataRequest) -> Result<LoadedMarket, DataError>;
}

/// Which bars a run wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRequest {
    /// The data directory; a simulated source does not read it.
    pub dir: PathBuf,
    /// The folder below `dir`, such as `BINANCE`; a simulated source does not read it.
    pub exchange: String,
    /// Symbols in the order of their ids. A simulated source takes none for all that it has.
    pub symbols: Vec<String>,
    /// Length of the bars. Where it is not at hand, it is made from the next finer one that is.
    pub time_frame: TimeFrame,
    /// Bars that open at this time or later; `None` from the first on.
    pub from: Option<Timestamp>,
    /// Bars that open before this time; `None` to the last.
    pub to: Option<Timestamp>,
}

/// A market and what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedMarket {
    /// The bars, one series per requested symbol in the order requested.
    pub market: Market,
    /// What was read, in the same order.
    pub files: Vec<FileRecord>,
    /// What a person should know about the data, one sentence each.
    pub warnings: Vec<String>,
    /// Whether the bars are real.
    pub origin: Origin,
}

/// Whether a market was recorded or made up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Origin {
    /// Recorded from a venue.
    Files,
    /// Made up, with a signal of known strength.
    Simulated {
        /// The seed that it grew from.
        seed: u64,
        /// Expected correlation between the best linear use of the planted signal and the log
        /// return of the next `signal_horizon_bars` bars.
        signal_ic: f64,
        /// The horizon at which `signal_ic` is stated.
        signal_horizon_bars: u32,
    },
}

/// One file that a market was made of; the same digest is the same data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path relative to the data directory, with `/`; `simulated:SYMBOL` for a simulated series.
    pub path: String,
    /// SHA-256 of the file's bytes in hex; of the bars' bytes for a simulated series.
    pub sha256: String,
    /// Rows that were used.
    pub rows: u64,
    /// Open time of the first row used.
    pub first: Timestamp,
    /// Open time of the last row used.
    pub last: Timestamp,
}
