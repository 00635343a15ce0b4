//! Several pipelines trained, evaluated and traded at once: `fusebox train`.
//!
//! Each pipeline gives a run directory as `fusebox run` does, with its final model and its card;
//! all of them together one evaluation page. A process that is killed leaves `DIR.partial` behind,
//! from which the same command goes on: finished folds are not trained again, a fold that was cut
//! off goes on from its last checkpoint, and everything comes out as if nothing had happened.
//!
//! | file | step |
//! |---|---|
//! | `partial` | the directory while the training goes on |
//! | `identity` | what a training is of, value by value |
//! | `final_model` | the model that is used afterwards |
//! | `card`, `card_text` | the model card |
//! | `update` | a registered model that takes in newer rows |
//! | `evaluate`, `compare` | the evaluation page's data: each model, and each against others |

mod card;
mod card_text;
mod compare;
mod evaluate;
mod final_model;
mod identity;
mod partial;
mod update;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use card::{
    CARD_FORMAT, CardData, CardFeatures, CardLabels, CardMetric, CardModel, CardParent, CardSplit,
    ModelCard,
};
pub use final_model::{CARD_FILE, CARD_TEXT_FILE, FINAL_GOLDEN, FINAL_MODEL};
pub use partial::TRAINING_KIND;
pub use update::{
    Parent, UpdateEnvironment, UpdateMode, UpdateOptions, UpdateVerdict, Updated, update,
};

use compare::{Judging, Predicted, compare};
use partial::{Opening, Partial};

use super::error::TrainingError;
use super::folds::{Keep, Trainer};
use super::output::{OutputError, RunDirectory};
use super::plugin::TrainingPlugin;
use super::prepare::{Prepared, prepare};
use super::run::{RunEnvironment, check, finish, pool, save_artifacts};
use super::score::Scored;
use super::spec::PipelineSpec;
use super::store::FoldStore;
use crate::data::DataSource;
use crate::progress::Progress;
use crate::report::{Evaluation, ModelEvaluation, Period, ReportData, render_evaluation};

/// Name of the evaluation page inside the directory of a training.
pub const EVALUATION_PAGE: &str = "evaluation.html";
/// Name of its data.
pub const EVALUATION_FILE: &str = "evaluation.json";

/// One pipeline to train.
pub struct TrainJob<'a> {
    /// What to do.
    pub spec: PipelineSpec,
    /// Where bars come from.
    pub source: &'a dyn DataSource,
    /// Who trains.
    pub plugin: &'a dyn TrainingPlugin,
}

impl std::fmt::Debug for TrainJob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainJob")
            .field("spec", &self.spec)
            .field("plugin", &self.plugin.identity())
            .finish_non_exhaustive()
    }
}

/// What a training needs from outside.
#[derive(Clone, Copy)]
pub struct TrainEnvironment<'a> {
    /// The directory of the training.
    pub out: &'a Path,
    /// Whether a finished training that is there may be replaced.
    pub overwrite: bool,
    /// Whether one that was begun is thrown away instead of going on.
    pub fresh: bool,
    /// Who is told of progress.
    pub progress: &'a dyn Progress,
    /// Set where somebody asks to stop.
    pub interrupted: &'a AtomicBool,
    /// Seconds since the training began, for the reports only.
    pub elapsed_s: &'a (dyn Fn() -> f64 + Sync),
}

impl std::fmt::Debug for TrainEnvironment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainEnvironment")
            .field("out", &self.out)
            .field("overwrite", &self.overwrite)
            .field("fresh", &self.fresh)
            .finish_non_exhaustive()
    }
}

/// What a training came to.
#[derive(Debug, Clone)]
pub struct TrainSummary {
    /// Its directory.
    pub out: PathBuf,
    /// Whether it went on from what an earlier process had done.
    pub is_resumed: bool,
    /// The runs, as given.
    pub runs: Vec<TrainedRun>,
    /// What the evaluation page shows.
    pub evaluation: Evaluation,
}

/// One pipeline's part.
#[derive(Debug, Clone)]
pub struct TrainedRun {
    /// Its directory.
    pub directory: PathBuf,
    /// What its report shows.
    pub report: ReportData,
    /// The card of its final model.
    pub card: ModelCard,
}

/// Trains, evaluates and trades every pipeline; see the head of the module.
///
/// # Errors
/// [`TrainingError`]; what is done by then is kept in `DIR.partial`.
pub fn train(
    jobs: &[TrainJob<'_>],
    environment: &TrainEnvironment<'_>,
) -> Result<TrainSummary, TrainingError> {
    identity::check_names(jobs)?;
    for job in jobs {
        check(&job.spec)?;
        Trainer::new(&job.spec, job.plugin)?.rehearse()?;
    }
    let how = Opening {
        overwrite: environment.overwrite,
        fresh: environment.fresh,
    };
    let partial = Partial::open(environment.out, &identity::of_training(jobs), how)?;
    let (mut runs, mut evaluated, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for job in jobs {
        // Each configuration that is tried here is a trial of all of them.
        let mut spec = job.spec.clone();
        let trials = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        spec.evaluation.trials = spec.evaluation.trials.max(trials);
        let done = train_one(&spec, job, environment, &partial)?;
        runs.push(done.run);
        evaluated.push(done.evaluation);
        predicted.push(done.predicted);
    }
    let evaluation = evaluation(jobs, evaluated, &predicted);
    stop_if_interrupted(environment)?;
    let encode = |source| OutputError::Encode {
        file: EVALUATION_FILE.to_owned(),
        source,
    };
    let json = serde_json::to_vec(&evaluation).map_err(encode)?;
    partial.write(EVALUATION_FILE, &json)?;
    partial.write(EVALUATION_PAGE, render_evaluation(&evaluation)?.as_bytes())?;
    let is_resumed = partial.is_resumed();
    partial.commit()?;
    Ok(TrainSummary {
        out: environment.out.to_path_buf(),
        is_resumed,
        runs,
        evaluation,
    })
}

struct Done {
    run: TrainedRun,
    evaluation: ModelEvaluation,
    predicted: Predicted,
}

/// One pipeline, from bars to its complete run directory inside `partial`.
fn train_one(
    spec: &PipelineSpec,
    job: &TrainJob<'_>,
    environment: &TrainEnvironment<'_>,
    partial: &Partial,
) -> Result<Done, TrainingError> {
    let (progress, plugin) = (environment.progress, job.plugin.identity());
    let pool = pool(spec)?;
    let prepared = pool.install(|| prepare(spec, job.source, progress))?;
    let state = partial.state(&spec.name, &identity::of_inputs(&prepared))?;
    let store = FoldStore::open(&state)?;
    let folds = prepared.plan.folds.len().max(1);
    let explain = spec.model.explain.map(|mut how| {
        how.rows = how.rows.div_ceil(folds);
        how
    });
    let trainer = Trainer::new(spec, job.plugin)?.keeping(Keep {
        store: Some(&store),
        interrupted: Some(environment.interrupted),
        explain,
    });
    let models =
        pool.install(|| trainer.train_all(&prepared.samples, &prepared.plan.folds, progress))?;
    let made = final_model::make(&trainer, (spec, &prepared), &models, progress)?;
    stop_if_interrupted(environment)?;
    let out = partial.path().join(&spec.name);
    let mut directory = RunDirectory::create(&out, true)?;
    let artifacts = save_artifacts(&mut directory, (spec, &prepared), &models)?;
    let run = RunEnvironment {
        source: job.source,
        plugin: job.plugin,
        out: &out,
        overwrite: true,
        progress,
        elapsed_s: environment.elapsed_s,
    };
    progress.start("backtest", 1);
    let what = (&models[..], artifacts, plugin.clone());
    let report = finish(spec, &run, &mut directory, &prepared, what);
    progress.finish();
    let report = report?;
    let Some(made) = made else {
        return Err(TrainingError::NoFinalModel(spec.name.clone()));
    };
    let card = final_model::write(
        &mut directory,
        (spec, &prepared),
        (&trainer, &plugin),
        (&models, &report),
        &made,
    )?;
    directory.commit()?;
    let scored = Scored::new(&prepared.samples, &models, &prepared.plan.paths[0]);
    Ok(Done {
        evaluation: evaluate::evaluate(spec, &prepared, (&models, &scored), (&report, &spec.name)),
        predicted: predicted(spec, &prepared, scored),
        run: TrainedRun {
            directory: environment.out.join(&spec.name),
            report,
            card,
        },
    })
}

fn stop_if_interrupted(environment: &TrainEnvironment<'_>) -> Result<(), TrainingError> {
    match environment.interrupted.load(Ordering::Relaxed) {
        true => Err(TrainingError::Interrupted),
        false => Ok(()),
    }
}

fn predicted(spec: &PipelineSpec, prepared: &Prepared, scored: Scored) -> Predicted {
    let periods = |periods: &[fusebox_engine::dataset::Period]| -> Vec<Period> {
        let periods = periods.iter();
        periods
            .map(|period| Period {
                from: period.from,
                to: period.to,
            })
            .collect()
    };
    let folds = prepared.plan.folds.iter();
    Predicted {
        name: spec.name.clone(),
        symbols: prepared.loaded.market.names().map(str::to_owned).collect(),
        outcomes: scored.all,
        shares: scored
            .shares
            .into_iter()
            .map(|(_, shares)| shares)
            .collect(),
        folds: folds
            .map(|fold| (periods(&fold.train), periods(&fold.test)))
            .collect(),
        overlap_steps: spec.labels.longest_horizon_bars() as usize,
        returns: scored.returns,
    }
}

fn evaluation(
    jobs: &[TrainJob<'_>],
    models: Vec<ModelEvaluation>,
    predicted: &[Predicted],
) -> Evaluation {
    let first = jobs.first().map(|job| &job.spec);
    let how = Judging {
        confidence: first.map_or(0.95, |spec| spec.evaluation.confidence),
        bootstrap_samples: first.map_or(0, |spec| spec.evaluation.bootstrap_samples),
        seed: first.map_or(0, |spec| spec.seed),
    };
    let (tests, notes) = compare(predicted, how);
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let overlap = predicted.iter().map(|model| model.overlap_steps).max();
    Evaluation {
        title: names.join(", "),
        tests,
        notes,
        overlap_steps: overlap.unwrap_or(0) as u64,
        confidence: how.confidence,
        bootstrap_samples: how.bootstrap_samples,
        seed: how.seed,
        models,
    }
}
