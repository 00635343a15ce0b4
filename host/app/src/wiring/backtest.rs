//! A backtest of predictions that exist, put together from a pipeline's configuration: no plugin is
//! loaded and nothing is trained.

use std::path::Path;

use fusebox_engine::backtest::{BacktestError, Reexecuted, Streamed, SweepError, rate_notes};
use fusebox_engine::ports::SignalSource;
use fusebox_engine::problem::Problem;
use fusebox_engine::types::Timestamp;
use fusebox_services::backtesting::{
    BacktestDone, BacktestTarget, BacktestingError, PredictionStream, SweepPoint, SweepSpec, Swept,
    read_predictions, replay_orders, stream_backtest, sweep, trade_and_review,
};
use fusebox_services::data::records::complete;
use fusebox_services::data::{LoadedMarket, RecordsRequest};
use fusebox_services::progress::Progress;
use fusebox_services::training::OutputError;

use super::CheckedRun;
use crate::failure::Failure;

/// What a sweep can do with.
const NO_RECORDS: RecordsRequest = RecordsRequest {
    fine: None,
    funding: None,
    books: None,
};

fn failure(error: BacktestingError) -> Failure {
    use OutputError::{NotADirectory, NotARun, NotEmpty};
    match error {
        BacktestingError::Output(NotEmpty(_) | NotARun(_) | NotADirectory(_)) => {
            Failure::Usage(error.to_string())
        }
        BacktestingError::Sweep(_) | BacktestingError::Setup(_) => Failure::Refused(error.into()),
        BacktestingError::Predictions(_) => Failure::Refused(error.into()),
        BacktestingError::Data(ref cause) if cause.is_configuration() => {
            Failure::Refused(error.into())
        }
        BacktestingError::Backtest(BacktestError::Setup(_) | BacktestError::NeverValued { .. }) => {
            Failure::Refused(error.into())
        }
        error => Failure::Failed(error.into()),
    }
}

/// What the exchange needs beside the bars, where the settings ask for it.
fn with_records(
    run: &CheckedRun,
    loaded: LoadedMarket,
    range: Option<(Timestamp, Timestamp)>,
    progress: &dyn Progress,
) -> Result<LoadedMarket, BacktestingError> {
    progress.start("records", 1);
    let wanted = (&run.spec.data, &run.spec.records);
    let completed = complete(loaded, run.source.as_ref(), wanted, range);
    progress.finish();
    Ok(completed?)
}

fn load(run: &CheckedRun, progress: &dyn Progress) -> Result<LoadedMarket, Failure> {
    progress.start("bars", 1);
    let loaded = run.source.load(&run.spec.data);
    progress.finish();
    loaded.map_err(|error| failure(error.into()))
}

/// Trades predictions and everything that they have to beat.
///
/// # Errors
/// [`Failure`] where data, predictions, settings or the target cannot be used.
pub(crate) fn trade(
    run: &CheckedRun,
    predictions: &Path,
    target: BacktestTarget<'_>,
    progress: &dyn Progress,
) -> Result<BacktestDone, Failure> {
    let loaded = load(run, progress)?;
    let spec = &run.spec;
    let go = || {
        let signals = read_predictions(predictions, &spec.name, &loaded.market)?;
        let loaded = with_records(run, loaded, signals.range(), progress)?;
        trade_and_review(spec, &loaded, (predictions, signals), target, progress)
    };
    go().map_err(failure)
}

/// Trades predictions without holding them or the bars; gives what a reader should know, too.
///
/// # Errors
/// [`Failure`] where data, predictions or settings cannot be used.
pub(crate) fn stream(
    run: &CheckedRun,
    (predictions, journal): (&Path, Option<&Path>),
    progress: &dyn Progress,
) -> Result<(Streamed, Vec<String>), Failure> {
    let spec = &run.spec;
    if !run.has_files {
        return Err(Failure::Usage(
            "--stream reads candle files; a simulated market is made as a whole (set --data DIR)"
                .to_owned(),
        ));
    }
    if spec.records != NO_RECORDS {
        return Err(Failure::Usage(
            "--stream leaves out finer bars, recorded fundings and order books; trade without it"
                .to_owned(),
        ));
    }
    progress.start("backtest", 1);
    let go = || {
        let mut signals = PredictionStream::open(predictions, &spec.name, &spec.data.symbols)?;
        let config = (&spec.session, spec.provenance.config_sha256.as_str());
        stream_backtest(&spec.data, config, &mut signals, journal)
    };
    let found = go();
    progress.finish();
    let found = found.map_err(failure)?;
    let rates = (found.waited_steps, &found.unknown_rates()[..]);
    let notes = rate_notes(&found.currencies, &spec.data.symbols, rates);
    Ok((found, notes))
}

/// Carries out the orders of a journal again.
///
/// # Errors
/// [`Failure`] where the journal cannot be read, or is of other data.
pub(crate) fn replay(
    run: &CheckedRun,
    journal: &Path,
    progress: &dyn Progress,
) -> Result<Reexecuted, Failure> {
    let loaded = load(run, progress)?;
    let loaded = with_records(run, loaded, None, progress).map_err(failure)?;
    progress.start("orders", 1);
    let again = replay_orders(&loaded.market, &run.spec.session, journal);
    progress.finish();
    again.map_err(failure)
}

/// Trades predictions once for each combination: the settings that are swept, and the run that they
/// make.
///
/// # Errors
/// [`Failure`] where data, predictions or settings cannot be used.
pub(crate) fn sweep_over(
    run: &CheckedRun,
    predictions: &Path,
    points: Vec<(Vec<(String, String)>, CheckedRun)>,
    progress: &dyn Progress,
) -> Result<Swept, Failure> {
    let recorded = points
        .iter()
        .any(|(_, point)| point.spec.records != NO_RECORDS);
    if recorded || run.spec.records != NO_RECORDS {
        let problem = Problem {
            key: "execution".to_owned(),
            message: "asks for finer bars, recorded fundings or order books, but a sweep leaves \
                      them out; run a backtest for this"
                .to_owned(),
        };
        return Err(failure(SweepError::Unsupported(vec![problem]).into()));
    }
    let loaded = load(run, progress)?;
    let points: Vec<SweepPoint> = points
        .into_iter()
        .map(|(settings, point)| SweepPoint {
            settings,
            config: point.spec.session,
        })
        .collect();
    let signals = read_predictions(predictions, &run.spec.name, &loaded.market)
        .map_err(|error| failure(error.into()))?;
    let spec = SweepSpec {
        points: &points,
        trials: run.spec.evaluation.trials,
        bootstrap_samples: run.spec.evaluation.bootstrap_samples,
        seed: run.spec.seed,
        threads: run.spec.threads,
    };
    sweep(&loaded.market, &signals, &spec, progress).map_err(failure)
}
