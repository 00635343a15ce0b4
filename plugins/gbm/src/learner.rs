//! Fitting: dataset -> LightGBM data sets -> boosting rounds -> artifact -> model.
//!
//! A fit equals the Python package's `lightgbm.train` with the same parameters, data and seed, tree
//! by tree. It never copies the feature matrix: LightGBM bins the host's rows where they lie.

use std::ffi::{CStr, CString};

use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Continuation, Header};
use crate::early_stopping::EarlyStopping;
use crate::lightgbm::{self, Binned, Booster, FieldValues, Grant, Library, LogRelay, Output, Runs};
use crate::model::GbmModel;
use crate::params::{self, Params};
use crate::samples::{Samples, label_column};

/// Gradient-boosted trees by LightGBM.
#[derive(Debug, Clone, Copy, Default)]
pub struct GbmLearner;

impl Learner for GbmLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "LightGBM".to_owned(),
            doc: "Gradient-boosted decision trees (Ke et al. 2017) for classes and numbers, with \
                  early stopping on the validation rows; missing values are learned from."
                .to_owned(),
            tasks: vec![
                TaskKind::BinaryClassification,
                TaskKind::MulticlassClassification,
                TaskKind::Regression,
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
    params::objective(request.task)?;
    let params = Params::resolve(request.config)?;
    let library = lightgbm::library(request.config)?;
    let plan = Plan::new(&request, params, library)?;
    let (threads, progress) = (request.max_threads.max(1), request.progress);
    let grant = lightgbm::acquire(threads, &|| progress.is_cancelled())?;
    let mut training = Training::start(&plan, &grant)?;
    training.run(&plan, progress)?;
    let (header, text) = training.finish(&plan)?;
    // The data sets are freed before the model is read back, and the grant before it is shared.
    drop(training);
    drop(grant);
    let artifact = artifact::write(&header, &text)?;
    GbmModel::from_artifact(library, &plan.params, artifact)
}

/// Everything that stays the same during a fit.
#[derive(Debug)]
struct Plan<'a> {
    library: &'static Library,
    params: Params,
    task: &'a Task,
    schema: &'a DatasetSchema,
    label: String,
    seed: u64,
    train: Samples<'a>,
    valid: Option<Samples<'a>>,
    resume: Option<Resume>,
}

impl<'a> Plan<'a> {
    fn new(request: &FitRequest<'a>, params: Params, library: &'static Library) -> Result<Self> {
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
            library,
            params,
            task: request.task,
            schema,
            label,
            seed: request.seed,
            train,
            valid,
            resume: None,
        };
        if let Some(bytes) = request.checkpoint.filter(|bytes| !bytes.is_empty()) {
            let resume = Resume::read(bytes, &plan).map_err(|error| error.at("checkpoint"))?;
            plan.resume = Some(resume);
        }
        Ok(plan)
    }

    /// What the artifact says besides the trees, before any of them is known.
    fn header(&self) -> Header {
        let mut resumed_after = Vec::new();
        if let Some(resume) = &self.resume {
            resumed_after.clone_from(&resume.header.resumed_after);
            resumed_after.push(resume.next_round());
        }
        Header {
            library: Header::library_name(),
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

    /// LightGBM's parameters. A resumed fit cannot take up LightGBM's random streams where they
    /// were, so it draws from new ones rather than repeating the first rounds' draws.
    fn parameters(&self, grant: &Grant) -> Result<CString> {
        let resumed_after = self.resume.as_ref().map_or(0, Resume::next_round);
        let seed = self.seed.wrapping_add(u64::from(resumed_after));
        self.params.fit_text(self.task, seed, grant.threads())
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
    booster: Booster,
}

impl Resume {
    fn read(bytes: &[u8], plan: &Plan<'_>) -> Result<Self> {
        let (header, text) = artifact::read(bytes)?;
        let continuation = header
            .checkpoint
            .ok_or_else(|| PluginError::data("this is a finished model, not a checkpoint"))?;
        let present = plan.header();
        let differing: Vec<&str> = [
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
        let (booster, _) = Booster::from_text(plan.library, &text)?;
        Ok(Self {
            header,
            continuation,
            booster,
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
struct Training {
    booster: Booster,
    next_round: u32,
    early_stopping: Option<EarlyStopping>,
    log: LogRelay,
}

impl Training {
    fn start(plan: &Plan<'_>, grant: &Grant) -> Result<Self> {
        let text = plan.parameters(grant)?;
        let weights = plan.train.loss_weights(plan.task, plan.params.class_weight);
        let train_set = binned(plan, &plan.train, weights.as_deref(), &text, None)?;
        let mut booster = Booster::train(train_set, &text)?;
        if let Some(resume) = &plan.resume {
            booster.continue_from(&resume.booster)?;
        }
        if let Some(valid) = &plan.valid {
            // Rows count as they are here: balancing classes is a means of learning, not a measure.
            let weights = valid.loss_weights(plan.task, params::ClassWeight::None);
            let reference = booster.training_set();
            let valid_set = binned(plan, valid, weights.as_deref(), &text, reference)?;
            booster.add_validation(valid_set)?;
        }
        let patience = plan.params.early_stopping_rounds;
        let fresh = (patience > 0 && plan.valid.is_some()).then(|| EarlyStopping::new(patience));
        let continuation = plan.resume.as_ref().map(|resume| resume.continuation);
        let mut log = LogRelay::default();
        log.forward();
        Ok(Self {
            booster,
            next_round: continuation.map_or(0, |state| state.rounds_done),
            early_stopping: continuation.map_or(fresh, |state| {
                fresh.map(|fresh| state.early_stopping.unwrap_or(fresh))
            }),
            log,
        })
    }

    fn run(&mut self, plan: &Plan<'_>, progress: &mut dyn Progress) -> Result<()> {
        let rounds = plan.params.rounds;
        let draws = plan.params.draws()?;
        let metric_name = params::metric_name(plan.task);
        while self.next_round < rounds {
            if progress.is_cancelled() {
                return Err(PluginError::cancelled());
            }
            let exhausted = self.booster.update()?;
            self.log.forward();
            let round = self.next_round;
            self.next_round += 1;
            let step = u64::from(self.next_round);
            let value = match plan.valid {
                Some(_) => self.booster.metric(1)?.map(whatever_the_threads),
                None => None,
            };
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
        header.iterations = self.booster.iterations()?;
        header.checkpoint = Some(Continuation {
            rounds_done: self.next_round,
            early_stopping: self.early_stopping,
        });
        let bytes = artifact::write(&header, &self.booster.to_text(None)?)?;
        match progress.checkpoint(u64::from(self.next_round), &bytes) {
            Err(error) if error.status() == Status::Cancelled => Err(error),
            Err(error) => {
                let round = self.next_round;
                self.log.warn(&format!(
                    "the checkpoint after round {round} was not stored: {error}"
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The header and the text of the finished model.
    fn finish(&mut self, plan: &Plan<'_>) -> Result<(Header, CString)> {
        let held = self.booster.iterations()?;
        let best = self.early_stopping.and_then(|rule| rule.best());
        let best_iteration = best.map(|best| best.round as usize + 1);
        let mut header = plan.header();
        header.iterations = best_iteration.map_or(held, |best| best.min(held));
        header.best_iteration = best_iteration;
        header.best_score = best
            .map(|best| best.value)
            .filter(|value| value.is_finite());
        let text = self.booster.to_text(Some(header.iterations))?;
        self.log.forward();
        Ok((header, text))
    }
}

/// A metric without its last digits: LightGBM sums it in as many parts as there are threads, and
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

/// A LightGBM data set of `samples`, which starts from the trees of an earlier fit where there is
/// one.
fn binned(
    plan: &Plan<'_>,
    samples: &Samples<'_>,
    weights: Option<&[f32]>,
    text: &CStr,
    reference: Option<&Binned>,
) -> Result<Binned> {
    let Samples {
        runs,
        columns,
        labels,
        ..
    } = samples;
    let runs = Runs::new(runs, *columns)?;
    let mut set = Binned::from_runs(plan.library, &runs, text, reference)?;
    set.set(c"label", FieldValues::Float(labels))?;
    if let Some(weights) = weights {
        set.set(c"weight", FieldValues::Float(weights))?;
    }
    if let Some(resume) = &plan.resume {
        let scores = scores(&resume.booster, samples, text)?;
        set.set(c"init_score", FieldValues::Double(&scores))?;
    }
    Ok(set)
}

/// The raw score of every row, class by class as LightGBM wants them for a start.
fn scores(booster: &Booster, samples: &Samples<'_>, text: &CStr) -> Result<Vec<f64>> {
    let rows = samples.labels.len();
    let classes = booster.output_len(1, Output::Raw)?;
    let mut scores = vec![0.0; rows * classes];
    let mut first_row = 0;
    for run in &samples.runs {
        let count = run.len() / samples.columns;
        let mut values = vec![0.0; count * classes];
        booster.predict(run, Output::Raw, text, &mut values)?;
        for (position, value) in values.into_iter().enumerate() {
            let (row, class) = (first_row + position / classes, position % classes);
            scores[class * rows + row] = value;
        }
        first_row += count;
    }
    Ok(scores)
}
