//! A backtest of predictions that exist, put together from a pipeline's configuration: no plugin is
//! loaded and nothing is trained.

use std::path::Path;

use fusebox_engine::backtest::{BacktestResult, Reexecuted, Streamed};
use fusebox_engine::ports::SignalSource;
use fusebox_services::backtesting::{
    self, BacktestingError, Compared, PredictionStream, SweepPoint, Swept, backtest, compare,
    read_predictions, replay_orders, stream_backtest, sweep,
};
use fusebox_services::data::LoadedMarket;
use fusebox_services::progress::Progress;

use super::CheckedRun;
use crate::failure::Failure;

fn failure(error: BacktestingError) -> Failure {
    match error {
        BacktestingError::Sweep(_) | BacktestingError::Setup(_) => Failure::Refused(error.into()),
        BacktestingError::Predictions(
            backtesting::PredictionsError::Read { .. }
            | backtesting::PredictionsError::Content { .. },
        ) => Failure::Refused(error.into()),
        error => Failure::Failed(error.into()),
    }
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
/// [`Failure`] where data, predictions or settings cannot be used.
pub(crate) fn trade(
    run: &CheckedRun,
    (predictions, journal): (&Path, Option<&Path>),
    progress: &dyn Progress,
) -> Result<(BacktestResult, Compared), Failure> {
    let loaded = load(run, progress)?;
    let (spec, market) = (&run.spec, &loaded.market);
    let go = || {
        let mut signals = read_predictions(predictions, &spec.name, market)?;
        let range = signals.range();
        let config = (&spec.session, spec.provenance.config_sha256.as_str());
        progress.start("backtest", 1);
        let result = backtest(market, config, &mut signals, journal);
        progress.finish();
        let result = result?;
        progress.start("benchmarks", 1);
        let of_strategy = (spec.name.as_str(), &result, spec.seed);
        let compared = compare(market, &spec.session, range, of_strategy);
        progress.finish();
        Ok((result, compared?))
    };
    go().map_err(failure)
}

/// Trades predictions without holding them or the bars.
///
/// # Errors
/// [`Failure`] where data, predictions or settings cannot be used.
pub(crate) fn stream(
    run: &CheckedRun,
    (predictions, journal): (&Path, Option<&Path>),
    progress: &dyn Progress,
) -> Result<Streamed, Failure> {
    let spec = &run.spec;
    if !run.has_files {
        return Err(Failure::Usage(
            "--stream reads candle files; a simulated market is made as a whole (set --data DIR)"
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
    found.map_err(failure)
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
    sweep(
        &loaded.market,
        &signals,
        (&points, run.spec.threads),
        progress,
    )
    .map_err(failure)
}
