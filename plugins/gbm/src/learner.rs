//! Fitting: dataset -> boosting rounds in a library -> artifact -> model.
//!
//! A fit equals the Python package's `train` with the same parameters, data and seed, tree by tree.
//! It never copies the feature matrix.

use std::ffi::{CStr, CString};

use fusebox_plugin_api::export::{LogLevel, log};
use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Continuation, Header};
use crate::booster::Trainer;
use crate::early_stopping::EarlyStopping;
use crate::model::GbmModel;
use crate::params::{self, Params};
use crate::samples::{Samples, label_column};

/// Gradient-boosted trees by LightGBM or XGBoost.
#[derive(Debug, Clone, Copy, Default)]
pub struct GbmLearner;

impl Learner for GbmLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "Gradient boosting".to_owned(),
            doc: "Gradient-boosted decision trees by LightGBM (Ke et al. 2017) or XGBoost (Chen \
                  and Guestrin 2016), for classes, numbers and, with XGBoost, quantiles, with \
                  early stopping on the validation rows; missing values are learned from."
                .to_owned(),
            tasks: vec![
                TaskKind::BinaryClassification,
                TaskKind::MulticlassClassification,
                TaskKind::Regression,
                TaskKind::Quantiles,
            ],
            input: InputShape::Row,
            params: params::specs(),
            needs_environment: false,
            resumes: true,
        })
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        Ok(Box::new(fit(request)?))
    }
}

fn fit(request: FitRequest<'_>) -> Result<GbmModel> {
    let params = Params::resolve(request.config)?;
    params::check_task(params.booster, request.task)?;
    let library = params.booster.load(request.config)?;
    let plan = Plan::new(&request, params)?;
    let (threads, progress) = (request.max_threads.max(1), request.progress);
    let trainer = library.start(&plan, threads, &|| progress.is_cancelled())?;
    let mut training = Training::start(&plan, trainer);
    training.run(&plan, progress)?;
    let (header, text) = training.finish(&plan)?;
    // The library's data goes before the model is read back.
    drop(training);
    let artifact = artifact::write(&header, &text)?;
    GbmModel::from_artifact(library, &plan.params, artifact)
}

/// Everything that stays the same during a fit.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The hyper-parameters.
    pub(crate) params: Params,
    /// What to learn.
    pub(crate) task: &'a Task,
    schema: &'a DatasetSchema,
    label: String,
    seed: u64,
    /// Rows to learn from.
    pub(crate) train: Samples<'a>,
    /// Rows for early stopping.
    pub(crate) valid: Option<Samples<'a>>,
    resume: Option<Resume>,
}

impl<'a> Plan<'a> {
    fn new(request: &FitRequest<'a>, params: Params) -> Result<Self> {
        let schema = request.train.schema();
        let column = label_column(schema, &params.label)?;
        let label = schema.labels[column].clone();
        let train = Samples::collect(request.train, column, request.task)
            .and_then(|samples| samples.check_learnable(request.task).map(|()| samples))
            .map_err(|error| error.at("training rows"))?;
        let valid = request
            .valid
            .map(|valid| collect_validation(valid, request.train.schema(), &label, request.task))
            .transpose()
            .map_err(|error| error.at("validation rows"))?;
        let mut plan = Self {
            params,
            task: request.task,
            schema,
            label,
            seed: request.seed,
            train,
            valid,
            resume: None,
        };
        plan.params.check_columns(&schema.features)?;
        if let Some(bytes) = request.checkpoint.filter(|bytes| !bytes.is_empty()) {
            let resume = Resume::read(bytes, &plan).map_err(|error| error.at("checkpoint"))?;
            plan.resume = Some(resume);
        }
        Ok(plan)
    }

    /// Names of the columns.
    pub(crate) fn features(&self) -> &[String] {
        &self.schema.features
    }

    /// The seed for the library. A resumed fit cannot take up the library's random streams where
    /// they were, so it draws from new ones rather than repeating the first rounds' draws.
    pub(crate) fn library_seed(&self) -> u64 {
        let resumed_after = self.resume.as_ref().map_or(0, Resume::next_round);
        self.seed.wrapping_add(u64::from(resumed_after))
    }

    /// The model text of the fit that this one continues.
    pub(crate) fn earlier_text(&self) -> Option<&CStr> {
        self.resume.as_ref().map(|resume| resume.text.as_c_str())
    }

    /// What the artifact says besides the trees, before any of them is known.
    fn header(&self) -> Header {
        let mut resumed_after = Vec::new();
        if let Some(resume) = &self.resume {
            resumed_after.clone_from(&resume.header.resumed_after);
            resumed_after.push(resume.next_round());
        }
        Header {
            library: self.params.booster.library_name().to_owned(),
            task: self.task.clone(),
            features: self.schema.features.clone(),
            label: self.label.clone(),
            params: self.params.to_json(),
            seed: self.seed,
            training_rows: self.train.labels.len(),
            iterations: 0,
            best_iteration: None,
            best_score: None,
            resumed_after,
            checkpoint: None,
        }
    }
}

fn collect_validation<'a>(
    valid: &'a Dataset,
    train: &DatasetSchema,
    label: &str,
    task: &Task,
) -> Result<Samples<'a>> {
    if valid.schema().features != train.features {
        return Err(PluginError::data(
            "the features differ from those of the training rows in name, order or number",
        ));
    }
    Samples::collect(valid, label_column(valid.schema(), label)?, task)
}

/// An unfinished fit read from a checkpoint.
#[derive(Debug)]
struct Resume {
    header: Header,
    continuation: Continuation,
    text: CString,
}

impl Resume {
    fn read(bytes: &[u8], plan: &Plan<'_>) -> Result<Self> {
        let (header, text) = artifact::read(bytes)?;
        let continuation = header
            .checkpoint
            .ok_or_else(|| PluginError::data("this is a finished model, not a checkpoint"))?;
        let present = plan.header();
        let differing: Vec<&str> = [
            ("library", header.library == present.library),
            ("task", header.task == present.task),
            ("features", header.features == present.features),
            ("label", header.label == present.label),
            ("seed", header.seed == present.seed),
            (
                "training rows",
                header.training_rows == present.training_rows,
            ),
            (
                "hyper-parameters",
                decisive(&header.params) == decisive(&present.params),
            ),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect();
        if !differing.is_empty() {
            return Err(PluginError::data(format!(
                "it belongs to another fit: {} differ; start afresh or restore them",
                differing.join(", ")
            )));
        }
        Ok(Self {
            header,
            continuation,
            text,
        })
    }

    fn next_round(&self) -> u32 {
        self.continuation.rounds_done
    }
}

/// The hyper-parameters that a resumed fit may not change.
fn decisive(
    params: &serde_json::Map<String, serde_json::Value>,
) -> Vec<(&str, &serde_json::Value)> {
    const FREE: [&str; 3] = ["rounds", "checkpoint_rounds", "predict_threads"];
    let kept = params
        .iter()
        .filter(|(key, _)| !FREE.contains(&key.as_str()));
    kept.map(|(key, value)| (key.as_str(), value)).collect()
}

/// The moving part of a fit.
#[derive(Debug)]
struct Training<'a> {
    trainer: Box<dyn Trainer + 'a>,
    next_round: u32,
    early_stopping: Option<EarlyStopping>,
    /// Whether a checkpoint that was not stored was complained of.
    complained: bool,
}

impl<'a> Training<'a> {
    fn start(plan: &Plan<'_>, trainer: Box<dyn Trainer + 'a>) -> Self {
        let patience = plan.params.early_stopping_rounds;
        let fresh = (patience > 0 && plan.valid.is_some()).then(|| EarlyStopping::new(patience));
        let continuation = plan.resume.as_ref().map(|resume| resume.continuation);
        Self {
            trainer,
            next_round: continuation.map_or(0, |state| state.rounds_done),
            early_stopping: continuation.map_or(fresh, |state| {
                fresh.map(|fresh| state.early_stopping.unwrap_or(fresh))
            }),
            complained: false,
        }
    }

    fn run(&mut self, plan: &Plan<'_>, progress: &mut dyn Progress) -> Result<()> {
        let rounds = plan.params.rounds;
        let draws = plan.params.draws()?;
        let metric_name = params::metric_name(plan.params.booster, plan.task);
        while self.next_round < rounds {
            if progress.is_cancelled() {
                return Err(PluginError::cancelled());
            }
            let round = self.next_round;
            let exhausted = self.trainer.update(round)?;
            self.next_round += 1;
            let step = u64::from(self.next_round);
            let value = self.trainer.metric(round)?.map(whatever_the_threads);
            let metric = value.map(|value| Metric {
                name: metric_name,
                value,
            });
            progress.report(step, Some(u64::from(rounds)), metric.as_slice())?;
            let stop = match (&mut self.early_stopping, value) {
                (Some(rule), Some(value)) => rule.observe(round, value),
                _ => false,
            };
            // Without random draws a round that split nothing would repeat itself for ever.
            if stop || (exhausted && !draws) {
                break;
            }
            self.checkpoint(plan, progress)?;
        }
        Ok(())
    }

    /// Hands a checkpoint out where one is due. One that cannot be stored does not end the fit.
    fn checkpoint(&mut self, plan: &Plan<'_>, progress: &mut dyn Progress) -> Result<()> {
        let every = plan.params.checkpoint_rounds;
        if every == 0
            || !self.next_round.is_multiple_of(every)
            || self.next_round >= plan.params.rounds
        {
            return Ok(());
        }
        let mut header = plan.header();
        header.iterations = self.trainer.iterations()?;
        header.checkpoint = Some(Continuation {
            rounds_done: self.next_round,
            early_stopping: self.early_stopping,
        });
        let bytes = artifact::write(&header, &self.trainer.to_text(None)?)?;
        match progress.checkpoint(u64::from(self.next_round), &bytes) {
            Err(error) if error.status() == Status::Cancelled => Err(error),
            Err(error) => {
                let round = self.next_round;
                let message = format!("the checkpoint after round {round} was not stored: {error}");
                if !std::mem::replace(&mut self.complained, true) {
                    log(LogLevel::Warn, &message);
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The header and the text of the finished model.
    fn finish(&mut self, plan: &Plan<'_>) -> Result<(Header, CString)> {
        let held = self.trainer.iterations()?;
        let best = self.early_stopping.and_then(|rule| rule.best());
        let best_iteration = best.map(|best| best.round as usize + 1);
        let mut header = plan.header();
        header.iterations = best_iteration.map_or(held, |best| best.min(held));
        header.best_iteration = best_iteration;
        header.best_score = best
            .map(|best| best.value)
            .filter(|value| value.is_finite());
        let text = self.trainer.to_text(Some(header.iterations))?;
        Ok((header, text))
    }
}

/// A metric without its last digits: a library sums it in as many parts as there are threads, and
/// neither the round that is kept nor the digest of an artifact must depend on their number. 32 of
/// 52 bits after the first are kept, to about 2e-10.
fn whatever_the_threads(value: f64) -> f64 {
    const DROPPED: u32 = 20;
    if !value.is_finite() {
        return value;
    }
    let half = 1_u64 << (DROPPED - 1);
    f64::from_bits(value.to_bits().saturating_add(half) >> DROPPED << DROPPED)
}
