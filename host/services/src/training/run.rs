//! The steps of a run, in order.

use std::path::{Path, PathBuf};

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::eval::EvaluationOptions;
use fusebox_engine::journal::{JournalError, JsonLines};
use fusebox_engine::types::Market;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use super::describe;
use super::digest::run_digest;
use super::error::{TrainingError, config_problems};
use super::features_file::ModelFeatures;
use super::folds::{FoldModel, Trainer};
use super::labels::label_report;
use super::output::{RunDirectory, RunManifest};
use super::paths::path_rows;
use super::plugin::{PluginId, TrainingPlugin};
use super::prepare::{Prepared, columns, prepare};
use super::returns::regression;
use super::scaling::StoredScaler;
use super::score::{FoldScores, Scored, classification, fold_scores};
use super::spec::PipelineSpec;
use super::tables;
use super::trade::signals;
use crate::backtesting::tables as shared;
use crate::backtesting::{Counting, Curve, ReviewSpec, Reviewed, review};
use crate::data::DataSource;
use crate::progress::Progress;
use crate::report::{
    ConfigText, FileDigest, FoldRow, ModelArtifact, NamedText, PluginIdentity, Quality, ReportData,
    Reproducibility, Trading, render,
};

/// Name of the journal inside a run directory.
pub const JOURNAL_FILE: &str = "journal.jsonl";
/// Name of the report inside a run directory.
pub const REPORT_FILE: &str = "report.html";
/// Name of the metrics inside a run directory.
pub const METRICS_FILE: &str = "metrics.json";
/// Name of the equity curve inside a run directory.
pub const EQUITY_FILE: &str = "equity.csv";
/// Format of the metrics.
pub const METRICS_FORMAT: u32 = 2;

/// What a run needs from outside.
#[derive(Clone, Copy)]
pub struct RunEnvironment<'a> {
    /// Where bars come from.
    pub source: &'a dyn DataSource,
    /// Who trains.
    pub plugin: &'a dyn TrainingPlugin,
    /// The run directory.
    pub out: &'a Path,
    /// Whether a run that is there may be replaced.
    pub overwrite: bool,
    /// Who is told of progress.
    pub progress: &'a dyn Progress,
    /// Seconds since the run began, for the report only.
    pub elapsed_s: &'a (dyn Fn() -> f64 + Sync),
}

impl std::fmt::Debug for RunEnvironment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunEnvironment")
            .field("plugin", &self.plugin.identity())
            .field("out", &self.out)
            .field("overwrite", &self.overwrite)
            .finish_non_exhaustive()
    }
}

/// What a run found.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The run directory.
    pub out: PathBuf,
    /// Everything that the report shows.
    pub report: ReportData,
    /// The files of the run.
    pub manifest: RunManifest,
}

/// Carries out a run; see the head of the module.
///
/// # Errors
/// [`TrainingError`]; nothing is then left under the run directory's name.
pub fn run(
    spec: &PipelineSpec,
    environment: &RunEnvironment<'_>,
) -> Result<RunSummary, TrainingError> {
    check(spec)?;
    let pool = pool(spec)?;
    let trainer = Trainer::new(spec, environment.plugin)?;
    trainer.rehearse()?;
    let mut directory = RunDirectory::create(environment.out, environment.overwrite)?;
    let progress = environment.progress;

    let prepared = pool.install(|| prepare(spec, environment.source, progress))?;
    let models =
        pool.install(|| trainer.train_all(&prepared.samples, &prepared.plan.folds, progress))?;
    let plugin = environment.plugin.identity();
    let artifacts = save_artifacts(&mut directory, (spec, &prepared), &models)?;

    progress.start("backtest", 1);
    let done = finish(
        spec,
        environment,
        &mut directory,
        &prepared,
        (&models, artifacts, plugin),
    );
    progress.finish();
    let report = done?;
    let manifest = directory.commit()?;
    Ok(RunSummary {
        out: environment.out.to_path_buf(),
        report,
        manifest,
    })
}

/// The threads of a run.
pub(super) fn pool(spec: &PipelineSpec) -> Result<rayon::ThreadPool, TrainingError> {
    let threads = spec.threads.max(1);
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    built.map_err(|error| TrainingError::Threads {
        threads,
        message: error.to_string(),
    })
}

/// Refuses settings that cannot be used, all problems at once, before any work.
pub(super) fn check(spec: &PipelineSpec) -> Result<(), TrainingError> {
    let problems = config_problems(&spec.labels.validate(), &spec.session.validate());
    if problems.is_empty() {
        Ok(())
    } else {
        Err(TrainingError::Config(problems))
    }
}

pub(super) fn save_artifacts(
    directory: &mut RunDirectory,
    (spec, prepared): (&PipelineSpec, &Prepared),
    models: &[FoldModel],
) -> Result<Vec<ModelArtifact>, TrainingError> {
    let time_frame = prepared.loaded.market.time_frame();
    let mut artifacts = Vec::with_capacity(models.len());
    for (index, model) in models.iter().enumerate() {
        let fold = describe::number(index);
        let path = format!("models/fold-{fold:02}.model");
        let file = directory.write(&path, &model.artifact)?;
        let bytes = file.bytes;
        let scaler = format!("models/fold-{fold:02}.scaler.json");
        if let Some(stored) = &model.scaler {
            directory.write(&scaler, &stored.json)?;
        }
        if let Some(readout) = &model.readout {
            directory.write(&format!("models/fold-{fold:02}.readout.json"), readout)?;
        }
        let (set, gap) = (&prepared.features, spec.extract);
        let features = ModelFeatures::new(set, time_frame, gap, &model.artifact);
        let path_of_features = ModelFeatures::path_of(Path::new(&path));
        directory.write_json(&path_of_features.to_string_lossy(), &features)?;
        artifacts.push(ModelArtifact {
            fold,
            path,
            sha256: model.sha256.clone(),
            bytes,
            scaler: model.scaler.as_ref().map(|_| scaler),
            unscaled_columns: model.scaler.as_ref().map_or_else(Vec::new, unscaled),
        });
    }
    Ok(artifacts)
}

/// Columns that a scaler could only move, or not even that.
fn unscaled(stored: &StoredScaler) -> Vec<String> {
    let report = &stored.report;
    let columns = [
        &report.constant_columns,
        &report.unscaled_columns,
        &report.empty_columns,
    ];
    columns.into_iter().flatten().cloned().collect()
}

/// From predictions to the written report.
pub(super) fn finish(
    spec: &PipelineSpec,
    environment: &RunEnvironment<'_>,
    directory: &mut RunDirectory,
    prepared: &Prepared,
    (models, artifacts, plugin): (&[FoldModel], Vec<ModelArtifact>, PluginId),
) -> Result<ReportData, TrainingError> {
    let market = &prepared.loaded.market;
    let digest = run_digest(spec, prepared, &plugin);
    let path = &prepared.plan.paths[0];
    let mut table = signals(spec, &plugin, market, (models, path))?;
    let mut lines = JsonLines::new(directory.open(JOURNAL_FILE)?);
    let mut journal = Counting::new(&mut lines);
    let backtest = BacktestSpec {
        market,
        config: &spec.session,
        config_digest: &digest,
    };
    let traded = run_backtest(&backtest, &mut table, &mut journal)?;
    let (events, ended) = (journal.events, journal.ended_orders);
    let writer = lines.into_inner().map_err(|source| JournalError::Write {
        seq: events,
        source,
    })?;
    let journal_file = directory.close(writer)?.clone();
    environment.progress.finish();
    let Reviewed { trading, curve } = review(
        &review_spec(spec, market),
        (&traded, ended),
        &table,
        environment.progress,
    )?;

    let scored = Scored::new(&prepared.samples, models, path);
    let options = evaluation_options(spec);
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let quality = match &scored.returns {
        Some(rows) => {
            let (rows, plan) = ((rows, &spec.labels), (&prepared.plan, models));
            let found = regression(rows, plan, &options, &mut random);
            Quality::Regression(Box::new(found))
        }
        None => {
            let plan = &prepared.plan;
            let found = classification(&scored, plan, models, &options, &mut random)?;
            Quality::Classification(Box::new(found))
        }
    };
    let folds = fold_rows(spec, prepared, (models, &scored), &curve)?;

    let report = ReportData {
        title: spec.name.clone(),
        market: describe::market_summary(spec, prepared, &traded),
        quality,
        folds,
        features: describe::importance(&columns(&prepared.samples), models),
        labels: label_report(spec, prepared),
        trading: Trading {
            period: super::score::tested(&prepared.plan),
            ..trading
        },
        paths: path_rows(spec, prepared, (models, &scored), &plugin)?,
        reproducibility: Reproducibility {
            journal_events: events,
            journal_sha256: plain(&journal_file.digest),
            models: artifacts,
            ..reproducibility(spec, prepared, plugin)
        },
    };
    write_results(directory, environment, prepared, (models, &report))?;
    Ok(report)
}

pub(super) fn evaluation_options(spec: &PipelineSpec) -> EvaluationOptions {
    EvaluationOptions {
        confidence: spec.evaluation.confidence,
        bootstrap_samples: spec.evaluation.bootstrap_samples,
        trials: spec.evaluation.trials,
        overlap_steps: spec.labels.longest_horizon_bars() as usize,
        calibration_bins: spec.evaluation.calibration_bins,
    }
}

fn fold_rows(
    spec: &PipelineSpec,
    prepared: &Prepared,
    (models, scored): (&[FoldModel], &Scored),
    strategy: &Curve,
) -> Result<Vec<FoldRow>, TrainingError> {
    let options = evaluation_options(spec);
    let steps_per_year = prepared.loaded.market.time_frame().bars_per_year();
    let mut rows = Vec::with_capacity(models.len());
    let folds = prepared.plan.folds.iter().zip(models).zip(&scored.folds);
    for (at, ((fold, model), outcomes)) in folds.enumerate() {
        // A stream of its own, so that a fold's interval does not depend on the folds before it.
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        random.set_stream(fold.index as u64 + 1);
        let scores = match &scored.returns {
            Some(rows) => {
                let own = (&rows.folds[at][..], &rows.levels[..]);
                FoldScores::of_returns(own, &options, &mut random)
            }
            None => fold_scores(outcomes, &options, &mut random)?,
        };
        // The stretches of several groups are no one curve.
        let sharpe = match fold.test.as_slice() {
            [test] => strategy.sharpe_within(test.from, test.to, steps_per_year),
            _ => None,
        };
        rows.push(describe::fold_row(fold, model, scores, sharpe));
    }
    Ok(rows)
}

/// What the backtest's review needs to know of the run.
fn review_spec<'a>(spec: &'a PipelineSpec, market: &'a Market) -> ReviewSpec<'a> {
    ReviewSpec {
        market,
        session: &spec.session,
        evaluation: &spec.evaluation,
        name: &spec.name,
        seed: spec.seed,
        overlap_steps: spec.labels.longest_horizon_bars() as usize,
        threads: spec.threads,
    }
}

fn reproducibility(spec: &PipelineSpec, prepared: &Prepared, plugin: PluginId) -> Reproducibility {
    let provenance = &spec.provenance;
    let named = |name: &str, value: String| NamedText {
        name: name.to_owned(),
        value,
    };
    Reproducibility {
        config: ConfigText {
            toml: provenance.config_toml.clone(),
            sha256: provenance.config_sha256.clone(),
        },
        files: prepared
            .loaded
            .files
            .iter()
            .map(|file| FileDigest {
                path: file.path.clone(),
                sha256: file.sha256.clone(),
                rows: file.rows,
                first_opened_at: file.first,
                last_opened_at: file.last,
            })
            .collect(),
        feature_set_sha256: prepared.features.digest().to_owned(),
        models: Vec::new(),
        plugin: PluginIdentity {
            id: plugin.id,
            version: plugin.version,
            sha256: plugin.sha256,
        },
        seeds: vec![
            named("run", spec.seed.to_string()),
            named(
                "folds",
                "derived from the run's seed by SplitMix64".to_owned(),
            ),
            named("bootstrap", "ChaCha8 from the run's seed".to_owned()),
        ],
        versions: provenance
            .versions
            .iter()
            .map(|(name, value)| named(name, value.clone()))
            .collect(),
        journal_events: 0,
        journal_sha256: String::new(),
        command_line: provenance.command_line.clone(),
        duration_s: None,
    }
}

/// The metrics are the report's data without its long tables, which are files of their own, and
/// without what differs between two equal runs.
fn write_results(
    directory: &mut RunDirectory,
    environment: &RunEnvironment<'_>,
    prepared: &Prepared,
    (models, report): (&[FoldModel], &ReportData),
) -> Result<(), TrainingError> {
    directory.write(EQUITY_FILE, &shared::equity(&report.trading)?)?;
    directory.write("trades.csv", &shared::trades(&report.trading.trades)?)?;
    let market = &prepared.loaded.market;
    let predictions = tables::predictions(market, &prepared.samples, models)?;
    directory.write("predictions.csv", &predictions)?;
    directory.write_json(METRICS_FILE, &Metrics::of(report))?;
    let mut timed = report.clone();
    timed.reproducibility.duration_s = Some((environment.elapsed_s)());
    directory.write(REPORT_FILE, render(&timed)?.as_bytes())?;
    Ok(())
}

/// What `metrics.json` holds.
#[derive(Debug, Serialize)]
struct Metrics {
    /// Format of this file.
    format: u32,
    #[serde(flatten)]
    report: ReportData,
}

impl Metrics {
    fn of(report: &ReportData) -> Self {
        let mut report = report.clone();
        report.trading.curve.clear();
        report.trading.trades.clear();
        report.reproducibility.command_line.clear();
        report.reproducibility.duration_s = None;
        Self {
            format: METRICS_FORMAT,
            report,
        }
    }
}

fn plain(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).to_owned()
}
