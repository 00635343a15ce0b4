//! Backtests of predictions that exist: other costs, other limits, other thresholds, without
//! training again; journals that are carried out again; sweeps.

mod compare;
mod counting;
mod directory;
mod luck;
mod pool;
mod predictions;
mod review;
mod runs;
mod stream;
mod sweep;
pub(crate) mod tables;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use fusebox_engine::backtest::{
    BacktestError, BacktestResult, BacktestSpec, PrecomputedSignals, ReexecuteError, Reexecuted,
    SweepError, reexecute, run_backtest,
};
use fusebox_engine::journal::{JsonLines, NullJournal};
use fusebox_engine::portfolio::LedgerError;
use fusebox_engine::ports::JournalSink;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::Market;

pub(crate) use counting::Counting;
pub use directory::{BacktestDone, BacktestTarget, trade_and_review};
pub use predictions::{PredictionsError, read_predictions};
pub use review::ReviewSpec;
pub(crate) use review::{Curve, Reviewed, judge, market_summary, review, shown};
pub use runs::{RunsError, RunsOptions, compare_runs};
pub use stream::{PredictionStream, stream_backtest};
pub use sweep::{
    SweepBenchmark, SweepFigures, SweepLuck, SweepPoint, SweepSpec, SweepTrial, Swept, sweep,
};
pub use tables::TableError;

use crate::data::DataError;
use crate::report::ReportError;
use crate::training::OutputError;

/// Why a backtest stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestingError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The predictions cannot be used.
    #[error(transparent)]
    Predictions(#[from] PredictionsError),
    /// The backtest itself.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// A session of a benchmark cannot begin.
    #[error(transparent)]
    Setup(#[from] fusebox_engine::session::SetupError),
    /// A sweep cannot be made.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// A journal cannot be carried out again.
    #[error(transparent)]
    Reexecute(#[from] ReexecuteError),
    /// The account does not add up.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A table of results.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The directory of the result.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Trades `signals`, with a journal in `journal` where one is wanted.
///
/// # Errors
/// [`BacktestingError`]; the journal then holds everything up to the failure.
pub fn backtest(
    market: &Market,
    (config, config_digest): (&SessionConfig, &str),
    signals: &mut PrecomputedSignals,
    journal: Option<&Path>,
) -> Result<BacktestResult, BacktestingError> {
    let spec = BacktestSpec {
        market,
        config,
        config_digest,
    };
    let Some(path) = journal else {
        return Ok(run_backtest(&spec, signals, &mut NullJournal)?);
    };
    let failed = |source: std::io::Error| BacktestingError::File {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("jsonl.partial");
    let mut sink = JsonLines::new(BufWriter::new(File::create(&partial).map_err(failed)?));
    let result = run_backtest(&spec, signals, &mut sink as &mut dyn JournalSink)?;
    keep(sink, &partial, path).map_err(failed)?;
    Ok(result)
}

/// Puts a journal that is whole where it belongs.
fn keep(sink: JsonLines<BufWriter<File>>, partial: &Path, path: &Path) -> std::io::Result<()> {
    let writer = sink.into_inner()?;
    let file = writer
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(partial, path)
}

/// Carries out the orders of a journal again.
///
/// # Errors
/// [`BacktestingError`] where the journal cannot be read, or is of other data.
pub fn replay_orders(
    market: &Market,
    config: &SessionConfig,
    journal: &Path,
) -> Result<Reexecuted, BacktestingError> {
    let file = File::open(journal).map_err(|source| BacktestingError::File {
        path: journal.to_owned(),
        source,
    })?;
    Ok(reexecute(market, config, BufReader::new(file))?)
}
