//! A registered model that takes in newer rows (`fb.incremental/1`): what came after its training
//! is cut in two, the older part is learned from, and the old and the updated model are judged by
//! the newer part, which neither has learned from.
//!
//! Nothing is written here. What comes out is the updated model that was judged, with its card and
//! everything that belongs beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use fusebox_engine::dataset::{NewerRows, Scaler, SplitPath, SplitPlan};
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{self, Metric};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::error::TrainingError;
use super::super::features_file::ModelFeatures;
use super::super::folds::{FoldModel, Other, Trainer};
use super::super::output::OutputError;
use super::super::plugin::TrainingPlugin;
use super::super::prepare::{Prepared, samples_of};
use super::super::returns::ReturnRow;
use super::super::run::{check, pool};
use super::super::score::Scored;
use super::super::spec::PipelineSpec;
use super::card::ModelCard;
use super::compare::{Judging, Predicted, compare, loss_of};
use super::predicted;
use crate::data::DataSource;
use crate::progress::Progress;
use crate::report::{Estimate, PairedTest};

mod described;

use described::Described;

/// Rows whose answers are kept.
const GOLDEN_ROWS: usize = 32;
/// Settings by which a learner says how its models take in rows.
const MODE: &str = "update";
const ROUNDS: &str = "update_rounds";
const DECAY: &str = "refit_decay_rate";

/// The registered model.
#[derive(Debug, Clone)]
pub struct Parent {
    /// Name and version.
    pub title: String,
    /// Digest of the version.
    pub digest: String,
    /// Its card.
    pub card: ModelCard,
    /// The artifact.
    pub artifact: Vec<u8>,
    /// The scaler of its rows; empty where it has none.
    pub scaler: Vec<u8>,
    /// How its answers are read; empty where they are read as they are.
    pub readout: Vec<u8>,
}

/// How a model takes in rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum UpdateMode {
    /// More rounds after those it has.
    Continue {
        /// How many.
        rounds: u32,
    },
    /// The same splits; leaves become this share of their old values and the rest of what the new
    /// rows give.
    Refit {
        /// Share of the old value.
        decay: f64,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateOptions {
    /// How rows are taken in.
    pub mode: UpdateMode,
    /// Share of the newer rows that old and updated model are judged by.
    pub held_out_share: f64,
}

/// What an update needs from outside.
#[derive(Clone, Copy)]
pub struct UpdateEnvironment<'a> {
    /// Where bars come from.
    pub source: &'a dyn DataSource,
    /// Who trained the model.
    pub plugin: &'a dyn TrainingPlugin,
    /// Who is told of progress.
    pub progress: &'a dyn Progress,
    /// Set where somebody asks to stop.
    pub interrupted: &'a AtomicBool,
}

impl std::fmt::Debug for UpdateEnvironment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdateEnvironment")
            .field("plugin", &self.plugin.identity())
            .finish_non_exhaustive()
    }
}

/// What the held-out rows say of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateVerdict {
    /// Its loss is lower, and the interval of the difference lies below zero.
    Better,
    /// The interval of the difference holds zero, or is not defined.
    Undecided,
    /// Its loss is higher, and the interval lies above zero.
    Worse,
}

/// An updated model, with everything that belongs beside it.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The artifact.
    pub artifact: Vec<u8>,
    /// What it is asked with, as JSON.
    pub features: Vec<u8>,
    /// Some of its answers, as JSON.
    pub golden: Vec<u8>,
    /// Its card.
    pub card: ModelCard,
    /// The updated model against the one before it, on the held-out rows.
    pub test: PairedTest,
    /// What that means.
    pub verdict: UpdateVerdict,
}

/// Updates a model; see the head of the module.
///
/// # Errors
/// [`TrainingError`]; where the pipeline does not fit the model, with everything that does not.
pub fn update(
    spec: &PipelineSpec,
    parent: &Parent,
    options: &UpdateOptions,
    environment: &UpdateEnvironment<'_>,
) -> Result<Updated, TrainingError> {
    check(spec)?;
    check_settings(options.mode, environment.plugin)?;
    let mut spec = spec.clone();
    let differing = differences(&spec, parent, &environment.plugin.identity().id);
    // The settings of its training hold, whatever the pipeline says now.
    spec.model.params.clone_from(&parent.card.params);
    let pool = pool(&spec)?;
    let trainer = trainer(&spec, options.mode, environment.plugin)?.updating(&parent.title);
    // With another plugin nothing but that is worth telling.
    if differing.is_empty() {
        trainer.try_artifact(&parent.artifact)?;
    }
    let prepared = pool.install(|| newer_rows(&spec, parent, (options, differing), environment))?;
    let fold = &prepared.plan.folds[0];
    let other = |artifact: Vec<u8>| Other {
        artifact,
        scaler: (!parent.scaler.is_empty()).then(|| parent.scaler.clone()),
        readout: (!parent.readout.is_empty()).then(|| parent.readout.clone()),
    };
    let judge = |artifact| trainer.judge_other(&prepared.samples, fold, other(artifact));
    let old = judge(parent.artifact.clone())?;
    let taken_in = take_in(&trainer, (parent, &prepared), environment);
    let new = judge(taken_in?)?;
    let golden = trainer.golden(&prepared.samples, (fold, &new), GOLDEN_ROWS)?;
    let test = judged(&spec, &prepared, [&new, &old]);
    let verdict = verdict(&test.loss);
    let time_frame = prepared.loaded.market.time_frame();
    let features = ModelFeatures::new(&prepared.features, time_frame, spec.extract, &new.artifact);
    let features = serde_json::to_vec_pretty(&features).map_err(|source| OutputError::Encode {
        file: "the features of a model".to_owned(),
        source,
    })?;
    let what = Described {
        spec: &spec,
        prepared: &prepared,
        parent,
        options,
        scores: [&new, &old].map(|one| scores(&prepared, one)),
        verdict,
    };
    let card = what.card(&new, &test, environment.plugin);
    Ok(Updated {
        features,
        golden: golden.to_json().into_bytes(),
        artifact: new.artifact,
        card,
        test,
        verdict,
    })
}

/// Refuses a learner whose models do not say how they take in rows.
fn check_settings(mode: UpdateMode, plugin: &dyn TrainingPlugin) -> Result<(), TrainingError> {
    let identity = plugin.identity();
    let name = format!("{} {}", identity.id, identity.version);
    let refused = |source| TrainingError::Params {
        plugin: name.clone(),
        source,
    };
    let learner = plugin.learner().ok_or_else(|| TrainingError::NoLearner {
        plugin: name.clone(),
        what: "anything",
    })?;
    let info = learner.describe().map_err(refused)?;
    let needed: &[&str] = match mode {
        UpdateMode::Continue { .. } => &[MODE, ROUNDS],
        UpdateMode::Refit { .. } => &[MODE, DECAY],
    };
    let has = |key: &&&str| info.params.iter().any(|spec| spec.name == **key);
    let missing: Vec<&str> = needed.iter().filter(|key| !has(key)).copied().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(TrainingError::Update(vec![format!(
            "{name} has no setting {} by which its models take in newer rows; train anew",
            missing.join(", ")
        )])),
    }
}

/// Everything in which the pipeline is not that of the model.
fn differences(spec: &PipelineSpec, parent: &Parent, plugin: &str) -> Vec<String> {
    let card = &parent.card;
    let mut told = Vec::new();
    let mut differ = |key: &str, was: String, is: String| {
        if was != is {
            told.push(format!("`{key}` was {was} in its training, it is {is}"));
        }
    };
    let word = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    differ("model.plugin", card.plugin.id.clone(), plugin.to_owned());
    let scaler = serde_json::to_value(spec.model.scaler).unwrap_or_default();
    differ("model.scaler", card.scaler.clone(), word(&scaler));
    let time_frame = spec.data.time_frame.to_string();
    differ("data.time_frame", card.data.time_frame.clone(), time_frame);
    let gap = spec.extract.max_gap_bars.to_string();
    differ(
        "features.max_gap_bars",
        card.features.max_gap_bars.to_string(),
        gap,
    );
    let labels = serde_json::to_value(&spec.labels).unwrap_or_default();
    let (was, is) = (card.labels.config.as_object(), labels.as_object());
    for key in was.into_iter().chain(is).flat_map(|map| map.keys()) {
        let of = |map: Option<&serde_json::Map<String, Value>>| {
            let found = map.and_then(|map| map.get(key));
            found.map_or_else(|| "absent".to_owned(), word)
        };
        differ(&format!("labels.{key}"), of(was), of(is));
    }
    told.sort_unstable();
    told.dedup();
    told
}

/// The rows after the model's training, cut; the digest of the features is checked on the way.
fn newer_rows(
    spec: &PipelineSpec,
    parent: &Parent,
    (options, mut differing): (&UpdateOptions, Vec<String>),
    environment: &UpdateEnvironment<'_>,
) -> Result<Prepared, TrainingError> {
    let (loaded, features, samples) = samples_of(spec, environment.source, environment.progress)?;
    let (trained, given) = (&parent.card.features.sha256, features.digest());
    if trained != given {
        differing.push(format!(
            "`features.set` has the digest {given}, the model was trained on {trained}: other \
             features, another order, or another version of one"
        ));
    }
    if !differing.is_empty() {
        return Err(TrainingError::Update(differing));
    }
    let fold = samples.newer(NewerRows {
        since: parent.card.model.trained.to,
        held_out_share: options.held_out_share,
        embargo_bars: embargo_bars(spec),
    })?;
    let parts = fold.test.iter().map(|period| (*period, 0)).collect();
    let paths = vec![SplitPath { parts }];
    let folds = vec![fold];
    Ok(Prepared {
        loaded,
        features,
        samples,
        plan: SplitPlan { folds, paths },
    })
}

fn embargo_bars(spec: &PipelineSpec) -> u32 {
    use fusebox_engine::dataset::Splitter;
    match &spec.split {
        Splitter::WalkForward(walk) => walk.embargo_bars,
        Splitter::Groups(groups) => groups.embargo_bars,
    }
}

fn trainer<'a>(
    spec: &'a PipelineSpec,
    mode: UpdateMode,
    plugin: &'a dyn TrainingPlugin,
) -> Result<Trainer<'a>, TrainingError> {
    let trainer = Trainer::new(spec, plugin)?;
    Ok(match mode {
        UpdateMode::Continue { rounds } => trainer
            .with_setting(MODE, json!("continue"))
            .with_setting(ROUNDS, json!(rounds)),
        UpdateMode::Refit { decay } => trainer
            .with_setting(MODE, json!("refit"))
            .with_setting(DECAY, json!(decay)),
    })
}

/// The artifact of the model after it took in the rows of the fold.
fn take_in(
    trainer: &Trainer<'_>,
    (parent, prepared): (&Parent, &Prepared),
    environment: &UpdateEnvironment<'_>,
) -> Result<Vec<u8>, TrainingError> {
    let scaler: Option<Scaler> =
        match parent.scaler.is_empty() {
            true => None,
            false => Some(serde_json::from_slice(&parent.scaler).map_err(|source| {
                OutputError::Encode {
                    file: "a scaler".to_owned(),
                    source,
                }
            })?),
        };
    let mut listener = Listener(environment);
    environment.progress.start("update", 1);
    let fold = &prepared.plan.folds[0];
    let what = (parent.artifact.as_slice(), scaler.as_ref());
    let updated = trainer.updated(&prepared.samples, (fold, what), &mut listener);
    environment.progress.finish();
    match environment.interrupted.load(Ordering::Relaxed) {
        true => Err(TrainingError::Interrupted),
        false => updated,
    }
}

/// Passes on what an update tells, and stops it where somebody asked.
struct Listener<'a>(&'a UpdateEnvironment<'a>);

impl model::Progress for Listener<'_> {
    fn report(
        &mut self,
        step: u64,
        total_steps: Option<u64>,
        _: &[Metric<'_>],
    ) -> Result<(), PluginError> {
        self.0.progress.note(&|| {
            let total = total_steps.map_or_else(String::new, |total| format!("/{total}"));
            format!("update step {step}{total}")
        });
        match self.is_cancelled() {
            true => Err(PluginError::cancelled()),
            false => Ok(()),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// An update is short, and begins anew where it was cut off.
    fn checkpoint(&mut self, _: u64, _: &[u8]) -> Result<(), PluginError> {
        Ok(())
    }
}

/// Mean loss and accuracy of a model on the held-out rows; of returns there is no accuracy.
fn scores(prepared: &Prepared, model: &FoldModel) -> (Option<f64>, Option<f64>) {
    let scored = Scored::new(
        &prepared.samples,
        std::slice::from_ref(model),
        &prepared.plan.paths[0],
    );
    if let Some(rows) = &scored.returns {
        let loss = |one: &ReturnRow| {
            let said = (one.forecast, one.quantiles.as_slice());
            loss_of(said, &rows.levels, one.outcome)
        };
        return (mean(rows.all.iter().map(loss)), None);
    }
    let loss = |one: &fusebox_engine::eval::Outcome| {
        let probability = f64::from(one.probabilities[one.label.index()]);
        -probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
    };
    let hits = scored.all.iter();
    let hits = hits.map(|one| f64::from(u8::from(one.predicted() == one.label)));
    (mean(scored.all.iter().map(loss)), mean(hits))
}

/// `None` of nothing.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

/// The updated model against the one before it, on the very same rows.
fn judged(spec: &PipelineSpec, prepared: &Prepared, models: [&FoldModel; 2]) -> PairedTest {
    let names = ["updated", "before"];
    let both: Vec<Predicted> = models
        .iter()
        .zip(names)
        .map(|(model, name)| {
            let path = &prepared.plan.paths[0];
            let scored = Scored::new(&prepared.samples, std::slice::from_ref(*model), path);
            let mut told = predicted(spec, prepared, scored);
            name.clone_into(&mut told.name);
            told
        })
        .collect();
    let how = Judging {
        confidence: spec.evaluation.confidence,
        bootstrap_samples: spec.evaluation.bootstrap_samples,
        seed: spec.seed,
    };
    let (tests, _) = compare(&both, how);
    let pair = tests.into_iter().find(|test| !test.is_baseline);
    pair.unwrap_or_else(|| PairedTest {
        first: names[0].to_owned(),
        second: names[1].to_owned(),
        is_baseline: false,
        rows: 0,
        steps: 0,
        loss_name: both[0].loss_name().to_owned(),
        loss: NOTHING,
        diebold_mariano: None,
        adjusted_p: None,
        accuracy: NOTHING,
        mcnemar: None,
    })
}

const NOTHING: Estimate = Estimate {
    value: None,
    interval: None,
};

fn verdict(difference: &Estimate) -> UpdateVerdict {
    match difference.interval {
        Some(interval) if interval.high < 0.0 => UpdateVerdict::Better,
        Some(interval) if interval.low > 0.0 => UpdateVerdict::Worse,
        _ => UpdateVerdict::Undecided,
    }
}
