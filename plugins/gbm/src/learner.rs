//! Fitting: dataset -> boosting rounds in a library -> artifact -> model.
//!
//! A fit equals the Python package's `train` with the same parameters, data and seed, tree by tree.
//! It never copies the feature matrix.

use std::ffi::CString;

use fusebox_plugin_api::export::{LogLevel, log};
use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Continuation, Header, Updates};
use crate::booster::{Loaded, Trainer};
use crate::early_stopping::EarlyStopping;
use crate::metric::{MetricKind, ReturnMetric};
use crate::model::GbmModel;
use crate::params::{self, Circumstances, Params};
use crate::samples::{Samples, Wanted, label_column};

/// Gradient-boosted trees by LightGBM or XGBoost.
#[derive(Debug, Clone, Copy, Default)]
pub struct GbmLearner;

impl Learner for GbmLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "Gradient boosting".to_owned(),
            doc: "Gradient-boosted decision trees by LightGBM (Ke et al. 2017) or XGBoost (Chen \
                  and Guestrin 2016), for classes, numbers and quantiles, with early stopping on \
                  the validation rows; missing values are learned from."
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
    let names = check_names(&params, request.train.schema());
    let library = params.booster.load(request.config);
    let library = match (names, library) {
        (Ok(()), library) => library?,
        (Err(names), Ok(_)) => return Err(names),
        (Err(names), Err(library)) => {
            let both = format!("{}; besides, {}", names.message(), library.message());
            return Err(PluginError::config(both));
        }
    };
    let plan = Plan::new(&request, params)?;
    let (threads, progress) = (request.max_threads.max(1), request.progress);
    let (header, texts) = grow(library, &plan, threads, progress)?;
    let artifact = artifact::write(&header, &texts)?;
    GbmModel::from_artifact(library, plan.params, artifact)
}

/// Refuses settings that name columns or labels which the data does not have, all at once, before a
/// library is loaded or a row is looked at.
fn check_names(params: &Params, schema: &DatasetSchema) -> Result<()> {
    let label = label_column(schema, &params.label).map(drop);
    let returns = match (params.metric()?, params.return_label()?) {
        (MetricKind::Loss, _) => Ok(()),
        (_, name) if name.is_empty() => Ok(()),
        (_, name) => label_column(schema, &name)
            .map(drop)
            .map_err(|error| error.at("the key `return_label`")),
    };
    let found = [params.check_columns(&schema.features), label, returns];
    let found = found.into_iter().filter_map(Result::err);
    let problems: Vec<String> = found.map(|error| error.message().to_owned()).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(PluginError::config(problems.join("; "))),
    }
}

/// Grows the trees of `plan`. The library's data are gone afterwards, before a model is read back.
pub(crate) fn grow(
    library: Loaded,
    plan: &Plan<'_>,
    threads: u32,
    progress: &mut dyn Progress,
) -> Result<(Header, Vec<CString>)> {
    let trainer = library.start(plan, threads, &|| progress.is_cancelled())?;
    let mut training = Training::start(plan, trainer);
    training.run(plan, progress)?;
    training.finish(plan)
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
    /// The metric that decides, where it is not the library's loss.
    metric: Option<ReturnMetric>,
    resume: Option<Resume>,
}

impl<'a> Plan<'a> {
    fn new(request: &FitRequest<'a>, params: Params) -> Result<Self> {
        let schema = request.train.schema();
        let column = label_column(schema, &params.label)?;
        let label = schema.labels[column].clone();
        let train = learnable(request.train, (&params, column), request.task)
            .map_err(|error| error.at("training rows"))?;
        let valid = request
            .valid
            .map(|valid| collect_validation(valid, schema, (&params, &label), request.task))
            .transpose()
            .map_err(|error| error.at("validation rows"))?;
        let kind = params.metric()?;
        let metric = valid
            .as_ref()
            .and_then(|valid| ReturnMetric::new(kind, request.task, &valid.outcomes));
        let mut plan = Self {
            params,
            task: request.task,
            schema,
            label,
            seed: request.seed,
            train,
            valid,
            metric,
            resume: None,
        };
        if let Some(bytes) = request.checkpoint.filter(|bytes| !bytes.is_empty()) {
            let resume = Resume::read(bytes, &plan).map_err(|error| error.at("checkpoint"))?;
            plan.resume = Some(resume);
        }
        Ok(plan)
    }

    /// A plan that goes on from a finished model with new rows.
    pub(crate) fn after(
        header: &'a Header,
        texts: Vec<CString>,
        params: Params,
        rows: &'a Dataset,
    ) -> Result<Self> {
        let schema = rows.schema();
        if schema.features != header.features {
            return Err(other_features("the model"));
        }
        let column = label_column(schema, &header.label)?;
        let train = learnable(rows, (&params, column), &header.task)?;
        let rounds_done = u32::try_from(header.iterations).unwrap_or(u32::MAX);
        Ok(Self {
            params,
            task: &header.task,
            schema,
            label: header.label.clone(),
            seed: header.seed,
            train,
            valid: None,
            metric: None,
            resume: Some(Resume {
                header: header.clone(),
                continuation: Continuation {
                    rounds_done,
                    early_stopping: None,
                },
                texts,
            }),
        })
    }

    /// Names of the columns.
    pub(crate) fn features(&self) -> &[String] {
        &self.schema.features
    }

    /// What a library that learns quantiles one by one learns: each level, or once the task.
    pub(crate) fn levels(&self) -> Vec<Option<f64>> {
        match self.task {
            Task::Quantiles { levels } => levels.iter().copied().map(Some).collect(),
            _ => vec![None],
        }
    }

    /// What a library is told besides the hyper-parameters.
    pub(crate) fn circumstances(&self, level: Option<f64>, threads: u32) -> Circumstances<'_> {
        Circumstances {
            task: self.task,
            level,
            decay: None,
            features: self.features(),
            seed: self.library_seed(),
            threads,
        }
    }

    /// The seed for the library. A resumed fit cannot take up the library's random streams where
    /// they were, so it draws from new ones rather than repeating the first rounds' draws.
    fn library_seed(&self) -> u64 {
        let resumed_after = self.resume.as_ref().map_or(0, Resume::next_round);
        self.seed.wrapping_add(u64::from(resumed_after))
    }

    /// The model texts of the fit that this one continues; none where it begins.
    pub(crate) fn earlier_texts(&self) -> &[CString] {
        self.resume.as_ref().map_or(&[], |resume| &resume.texts)
    }

    /// Name of the metric that decides.
    fn metric_name(&self) -> Result<&'static str> {
        let loss = params::loss_name(self.params.booster, self.task);
        let key = self.params.metric_key()?;
        Ok(MetricKind::reported_name(&key).unwrap_or(loss))
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
            parts: Vec::new(),
            updates: Updates::default(),
        }
    }
}

/// The rows of `dataset` that something can be learned from.
fn learnable<'a>(
    dataset: &'a Dataset,
    (params, label): (&Params, usize),
    task: &Task,
) -> Result<Samples<'a>> {
    let wanted = Wanted {
        label,
        task,
        returns: None,
    };
    let samples = Samples::collect(dataset, wanted)?;
    samples.check_learnable(task)?;
    check_features(&samples, params, &dataset.schema().features)?;
    Ok(samples)
}

fn check_features(samples: &Samples<'_>, params: &Params, names: &[String]) -> Result<()> {
    let rules = params.feature_rules(names)?;
    match rules.allow_all() {
        true => Ok(()),
        false => samples.check_features(names, &rules),
    }
}

fn collect_validation<'a>(
    valid: &'a Dataset,
    train: &DatasetSchema,
    (params, label): (&Params, &str),
    task: &Task,
) -> Result<Samples<'a>> {
    let schema = valid.schema();
    if schema.features != train.features {
        return Err(other_features("the training rows"));
    }
    let label = label_column(schema, label)?;
    let returns = match (params.metric()?, params.return_label()?) {
        (MetricKind::Loss, _) => None,
        (_, name) if name.is_empty() => Some(label),
        (_, name) => Some(label_column(schema, &name)?),
    };
    let wanted = Wanted {
        label,
        task,
        returns,
    };
    let samples = Samples::collect(valid, wanted)?;
    check_features(&samples, params, &schema.features)?;
    Ok(samples)
}

fn other_features(whose: &str) -> PluginError {
    PluginError::data(format!(
        "the features differ from those of {whose} in name, order or number"
    ))
}

/// An unfinished fit read from a checkpoint.
#[derive(Debug)]
struct Resume {
    header: Header,
    continuation: Continuation,
    texts: Vec<CString>,
}

impl Resume {
    fn read(bytes: &[u8], plan: &Plan<'_>) -> Result<Self> {
        let (header, texts) = artifact::read(bytes)?;
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
            texts,
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
        let stops = patience > 0 && plan.valid.is_some();
        let fresh = stops.then(|| EarlyStopping::new(patience, plan.metric.is_some()));
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
        while self.next_round < rounds {
            if progress.is_cancelled() {
                return Err(PluginError::cancelled());
            }
            let round = self.next_round;
            let exhausted = self.trainer.update(round)?;
            self.next_round += 1;
            let decisive = self.measure(plan, round, progress)?;
            let stop = match &mut self.early_stopping {
                Some(rule) => rule.observe(round, decisive),
                None => false,
            };
            // Without random draws a round that split nothing would repeat itself for ever.
            if stop || (exhausted && !draws) {
                break;
            }
            self.checkpoint(plan, progress)?;
        }
        self.warn_of_no_metric(plan)
    }

    /// Reports the metrics after a round, and returns the one that decides; `None` where there are
    /// no validation rows or it is not defined.
    fn measure(
        &mut self,
        plan: &Plan<'_>,
        round: u32,
        progress: &mut dyn Progress,
    ) -> Result<Option<f64>> {
        let loss = self.trainer.metric(round)?.map(whatever_the_threads);
        let loss_name = params::loss_name(plan.params.booster, plan.task);
        let mut metrics = Vec::with_capacity(3);
        let mut decisive = loss;
        if let (Some(metric), Some(valid)) = (&plan.metric, &plan.valid) {
            let answers = self.trainer.answers()?;
            let outputs = answers.len() / valid.labels.len();
            let value = metric.value(&answers, outputs);
            decisive = value.map(whatever_the_threads);
            let name = plan.metric_name()?;
            metrics.extend(decisive.map(|value| Metric { name, value }));
        }
        let name = loss_name;
        metrics.extend(loss.map(|value| Metric { name, value }));
        let training_name = params::training_loss_name(loss_name);
        if plan.params.training_curve {
            let loss = self.trainer.training_metric(round)?;
            let loss = loss.map(whatever_the_threads);
            let name = training_name.as_str();
            metrics.extend(loss.map(|value| Metric { name, value }));
        }
        let all = Some(u64::from(plan.params.rounds));
        progress.report(u64::from(self.next_round), all, &metrics)?;
        Ok(decisive)
    }

    /// A metric that was never defined has stopped nothing, and every round is kept.
    fn warn_of_no_metric(&self, plan: &Plan<'_>) -> Result<()> {
        if self.early_stopping.is_none_or(|rule| rule.best().is_some()) {
            return Ok(());
        }
        let (name, rounds) = (plan.metric_name()?, self.next_round);
        log(
            LogLevel::Warn,
            &format!(
                "{name} was not defined after any of {rounds} rounds, so that nothing was stopped \
                 early; look at the validation rows and the key `return_label`"
            ),
        );
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
        let bytes = artifact::write(&header, &self.trainer.to_texts(None)?)?;
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

    /// The header and the texts of the finished model.
    fn finish(&mut self, plan: &Plan<'_>) -> Result<(Header, Vec<CString>)> {
        let held = self.trainer.iterations()?;
        let best = self.early_stopping.and_then(|rule| rule.best());
        let best_iteration = best.map(|best| best.round as usize + 1);
        let mut header = plan.header();
        header.iterations = best_iteration.map_or(held, |best| best.min(held));
        header.best_iteration = best_iteration;
        header.best_score = best
            .map(|best| best.value)
            .filter(|value| value.is_finite());
        let texts = self.trainer.to_texts(Some(header.iterations))?;
        Ok((header, texts))
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
