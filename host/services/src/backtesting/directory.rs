//! A backtest of predictions that exist, with its review and, where one is wanted, its directory:
//! the same files as a run leaves, so that both can be compared.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use fusebox_engine::backtest::{BacktestResult, BacktestSpec, PrecomputedSignals, run_backtest};
use fusebox_engine::journal::{JournalError, JsonLines, NullJournal};
use fusebox_engine::ports::{JournalSink, SignalSource as _};
use serde::Serialize;

use super::counting::Counting;
use super::review::{ReviewSpec, Reviewed, market_summary, review};
use super::{BacktestingError, keep, tables};
use crate::data::LoadedMarket;
use crate::progress::Progress;
use crate::report::{
    BacktestRecord, BacktestReport, ConfigText, FileDigest, NamedText, render_backtest,
};
use crate::training::{
    EQUITY_FILE, JOURNAL_FILE, METRICS_FILE, METRICS_FORMAT, PipelineSpec, REPORT_FILE,
    RunDirectory,
};

/// Where a backtest leaves what it found.
#[derive(Debug, Clone, Copy, Default)]
pub struct BacktestTarget<'a> {
    /// A directory for everything; it appears when it is complete.
    pub out: Option<&'a Path>,
    /// Whether a run that is there may be replaced.
    pub overwrite: bool,
    /// A file for the journal alone; not beside `out`, which holds one.
    pub journal: Option<&'a Path>,
}

/// What a backtest found.
#[derive(Debug)]
pub struct BacktestDone {
    /// The session's result.
    pub result: BacktestResult,
    /// The same as its page shows it.
    pub report: BacktestReport,
}

/// A result, with what was counted on the way.
struct Traded {
    result: BacktestResult,
    events: u64,
    ended_orders: u64,
}

/// Trades the predictions of a file, which have been read as `signals`, and everything that they
/// have to beat.
///
/// # Errors
/// [`BacktestingError`]; nothing is then left under the name of the directory.
pub fn trade_and_review(
    spec: &PipelineSpec,
    loaded: &LoadedMarket,
    (predictions, mut signals): (&Path, PrecomputedSignals),
    target: BacktestTarget<'_>,
    progress: &dyn Progress,
) -> Result<BacktestDone, BacktestingError> {
    let directory = target
        .out
        .map(|out| RunDirectory::create(out, target.overwrite));
    let mut directory = directory.transpose()?;
    let market = &loaded.market;
    progress.start("backtest", 1);
    let traded = match (&mut directory, target.journal) {
        (Some(directory), _) => into_directory(spec, loaded, &mut signals, directory),
        (None, Some(path)) => into_file(spec, loaded, &mut signals, path),
        (None, None) => trade(spec, loaded, &mut signals, &mut NullJournal),
    };
    progress.finish();
    let traded = traded?;
    let review_spec = ReviewSpec {
        market,
        session: &spec.session,
        evaluation: &spec.evaluation,
        name: &spec.name,
        seed: spec.seed,
        overlap_steps: spec.labels.longest_horizon_bars() as usize,
        threads: spec.threads,
    };
    let counted = (&traded.result, traded.ended_orders);
    let Reviewed { trading, .. } = review(&review_spec, counted, &signals, progress)?;
    let report = BacktestReport {
        title: spec.name.clone(),
        market: market_summary(&spec.data, loaded, &traded.result),
        trading,
        reproducibility: record(spec, loaded, (predictions, &signals), &traded),
    };
    if let Some(directory) = directory {
        write(directory, &report)?;
    }
    Ok(BacktestDone {
        result: traded.result,
        report,
    })
}

fn trade(
    spec: &PipelineSpec,
    loaded: &LoadedMarket,
    signals: &mut PrecomputedSignals,
    journal: &mut dyn JournalSink,
) -> Result<Traded, BacktestingError> {
    let backtest = BacktestSpec {
        market: &loaded.market,
        config: &spec.session,
        config_digest: &spec.provenance.config_sha256,
    };
    let mut counting = Counting::new(journal);
    let result = run_backtest(&backtest, signals, &mut counting)?;
    Ok(Traded {
        result,
        events: counting.events,
        ended_orders: counting.ended_orders,
    })
}

fn into_directory(
    spec: &PipelineSpec,
    loaded: &LoadedMarket,
    signals: &mut PrecomputedSignals,
    directory: &mut RunDirectory,
) -> Result<Traded, BacktestingError> {
    let mut lines = JsonLines::new(directory.open(JOURNAL_FILE)?);
    let traded = trade(spec, loaded, signals, &mut lines)?;
    let seq = traded.events;
    let writer = lines
        .into_inner()
        .map_err(|source| JournalError::Write { seq, source })
        .map_err(fusebox_engine::backtest::BacktestError::from)?;
    directory.close(writer)?;
    Ok(traded)
}

fn into_file(
    spec: &PipelineSpec,
    loaded: &LoadedMarket,
    signals: &mut PrecomputedSignals,
    path: &Path,
) -> Result<Traded, BacktestingError> {
    let failed = |source: std::io::Error| BacktestingError::File {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension("jsonl.partial");
    let mut lines = JsonLines::new(BufWriter::new(File::create(&partial).map_err(failed)?));
    let traded = trade(spec, loaded, signals, &mut lines)?;
    keep(lines, &partial, path).map_err(failed)?;
    Ok(traded)
}

fn record(
    spec: &PipelineSpec,
    loaded: &LoadedMarket,
    (predictions, signals): (&Path, &PrecomputedSignals),
    traded: &Traded,
) -> BacktestRecord {
    let named = |name: &str, value: String| NamedText {
        name: name.to_owned(),
        value,
    };
    let provenance = &spec.provenance;
    let files = loaded.files.iter().map(|file| FileDigest {
        path: file.path.clone(),
        sha256: file.sha256.clone(),
        rows: file.rows,
        first_opened_at: file.first,
        last_opened_at: file.last,
    });
    let model = signals.models().first();
    BacktestRecord {
        config: ConfigText {
            toml: provenance.config_toml.clone(),
            sha256: provenance.config_sha256.clone(),
        },
        files: files.collect(),
        predictions: predictions.display().to_string(),
        predictions_sha256: model.map_or_else(String::new, |model| model.digest.clone()),
        feature_set_sha256: String::new(),
        seeds: vec![
            named("run", spec.seed.to_string()),
            named(
                "bootstrap, random sides, trade order",
                "ChaCha8 from the run's seed".to_owned(),
            ),
        ],
        versions: vec![named("fusebox", env!("CARGO_PKG_VERSION").to_owned())],
        journal_events: traded.events,
        journal_sha256: traded.result.journal_digest.clone().unwrap_or_default(),
        command_line: provenance.command_line.clone(),
    }
}

/// What `metrics.json` holds.
#[derive(Debug, Serialize)]
struct Metrics {
    /// Format of this file.
    format: u32,
    #[serde(flatten)]
    report: BacktestReport,
}

/// Writes the report and the tables; without its long tables, which are files of their own, the
/// data of the report is `metrics.json`.
fn write(mut directory: RunDirectory, report: &BacktestReport) -> Result<(), BacktestingError> {
    directory.write(EQUITY_FILE, &tables::equity(&report.trading)?)?;
    directory.write("trades.csv", &tables::trades(&report.trading.trades)?)?;
    let mut short = report.clone();
    short.trading.curve.clear();
    short.trading.trades.clear();
    short.reproducibility.command_line.clear();
    let metrics = Metrics {
        format: METRICS_FORMAT,
        report: short,
    };
    directory.write_json(METRICS_FILE, &metrics)?;
    directory.write(REPORT_FILE, render_backtest(report)?.as_bytes())?;
    directory.commit()?;
    Ok(())
}
