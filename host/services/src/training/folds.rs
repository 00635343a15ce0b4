//! One fold: fit on the training rows, keep the artifact, predict the test rows.
//!
//! The test rows are predicted by a model created anew from the saved artifact, so what is scored
//! is exactly what can be deployed.

use std::sync::atomic::AtomicBool;

use fusebox_engine::dataset::{
    DatasetOptions, FORWARD_RETURN, Fold, Samples, Scaler, TestBlock, WeightOptions,
};
use fusebox_engine::eval::majority_class;
use fusebox_engine::labels::{Direction, LabelConfig};
use fusebox_engine::types::{SymbolId, Timestamp};
use fusebox_loader::live::golden::{Golden, GoldenInput, record};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{InputShape, Learner, Model, ModelInfo, Task, TaskKind};
use fusebox_plugin_api::schema::Dataset;
use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::{ModelOf, TrainingError};
use super::explain::{ExplainSpec, Explained, Explaining, gather};
use super::fit::{FitError, Job, Watch, fit};
use super::label_choice::{LABEL_PARAM, RETURN_PARAM};
use super::output::{OutputError, hex};
use super::plugin::TrainingPlugin;
use super::readout::{ModelReadout, RowFacts, task};
use super::returns::FoldForecasts;
use super::scaling::{StoredScaler, fit_scaler};
use super::spec::PipelineSpec;
use super::store::FoldStore;
use crate::progress::Progress;
use crate::report::LearningCurve;

mod other;
mod rehearsal;

pub(super) use other::Other;
use rehearsal::resolved;
pub use rehearsal::{FitOutline, fit_without_rows, name_problems, sound_params};

/// A probability vector for one out-of-sample row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowPrediction {
    pub symbol: SymbolId,
    /// Row of the symbol's matrix.
    pub row: usize,
    pub closed_at: Timestamp,
    pub probabilities: [f32; 3],
}

/// What came out of a fold.
pub(super) struct FoldModel {
    pub artifact: Vec<u8>,
    pub sha256: String,
    /// The scaler as it is stored, and what its fit found.
    pub scaler: Option<StoredScaler>,
    /// The readout as it is stored; `None` where the answers are read as they are.
    pub readout: Option<Vec<u8>>,
    /// The round that early stopping kept, where the model says it.
    pub best_iteration: Option<u64>,
    /// Importance by gain of each column, where the model has it.
    pub importance: Option<Vec<f64>>,
    /// The most frequent class of the training samples.
    pub majority: Direction,
    /// Share of each class among the training samples.
    pub class_shares: [f64; 3],
    /// The test rows, by symbol and time.
    pub predictions: Vec<RowPrediction>,
    /// What it says of their returns, where it learned returns.
    pub forecasts: Option<FoldForecasts>,
    /// What the fit told, step by step.
    pub curve: LearningCurve,
    /// What the model looks at, where that was asked for.
    pub explained: Option<Explained>,
    /// What the model says of itself.
    pub info: ModelInfo,
}

/// What a learner of boosting rounds calls their number.
const ROUNDS: &str = "rounds";

/// What differs between the fits of one run.
struct Learning<'a> {
    key: &'a str,
    config: &'a Config,
    threads: usize,
    progress: &'a dyn Progress,
}

/// A fitted model before it is looked at.
struct Learned {
    artifact: Vec<u8>,
    curve: LearningCurve,
    scaler: Option<Scaler>,
    stored: Option<StoredScaler>,
    /// The readout that it came with; `None` where it is made for the fold.
    readout: Option<Vec<u8>>,
}

/// Trains folds of one run.
pub(super) struct Trainer<'a> {
    spec: &'a PipelineSpec,
    plugin: &'a dyn TrainingPlugin,
    learner: &'a dyn Learner,
    name: String,
    config: Config,
    task: Task,
    window: usize,
    resumes: bool,
    knows_rounds: bool,
    /// Whether the learner's metrics are counted on the returns after each bar.
    forward_return: bool,
    /// The registered model that is updated, where there are no folds.
    updated: Option<String>,
    keep: Keep<'a>,
}

/// What becomes of fits while they run; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keep<'a> {
    /// Where models and checkpoints are kept.
    pub store: Option<&'a FoldStore>,
    /// Set where somebody asks to stop.
    pub interrupted: Option<&'a AtomicBool>,
    /// How closely models are looked at, the rows being those of each fold.
    pub explain: Option<ExplainSpec>,
}

impl<'a> Trainer<'a> {
    /// Checks the plugin and the hyper-parameters before any work is done.
    pub(super) fn new(
        spec: &'a PipelineSpec,
        plugin: &'a dyn TrainingPlugin,
    ) -> Result<Self, TrainingError> {
        let identity = plugin.identity();
        let name = format!("{} {}", identity.id, identity.version);
        let cannot = |what| TrainingError::NoLearner {
            plugin: name.clone(),
            what,
        };
        let learner = plugin.learner().ok_or_else(|| cannot("anything"))?;
        let refused = |source| TrainingError::Params {
            plugin: name.clone(),
            source,
        };
        let info = learner.describe().map_err(refused)?;
        let task = task(&spec.labels);
        if !info.tasks.contains(&task.kind()) {
            return Err(cannot(match task.kind() {
                TaskKind::BinaryClassification => "whether to act",
                TaskKind::Regression => "returns",
                TaskKind::Quantiles => "quantiles of returns",
                _ => "three-class direction",
            }));
        }
        let outline = FitOutline::of(spec);
        let mut config =
            resolved((learner, &info.params), &spec.model.params, &outline).map_err(refused)?;
        for (key, value) in &spec.model.host_settings {
            config.set(key, value.clone());
        }
        let forward_return = asks_for_returns(&mut config, &spec.labels);
        let window = match info.input {
            InputShape::Row => 1,
            InputShape::Window { default_steps, .. } => default_steps as usize,
        };
        Ok(Self {
            spec,
            plugin,
            learner,
            name,
            config,
            task,
            window,
            resumes: info.resumes,
            knows_rounds: info.params.iter().any(|one| one.name == ROUNDS),
            forward_return,
            updated: None,
            keep: Keep::default(),
        })
    }

    /// The same, keeping what it has done and stopping where it is asked to.
    pub(super) fn keeping(mut self, keep: Keep<'a>) -> Self {
        self.keep = keep;
        self
    }

    /// Trains every fold on the caller's thread pool; folds share nothing but the matrices.
    pub(super) fn train_all(
        &self,
        samples: &Samples,
        folds: &[Fold],
        progress: &dyn Progress,
    ) -> Result<Vec<FoldModel>, TrainingError> {
        progress.start("folds", folds.len() as u64);
        let threads = (self.spec.threads / folds.len().max(1)).max(1);
        let models = folds
            .par_iter()
            .map(|fold| {
                let model = self.train(samples, fold, (threads, progress))?;
                progress.advance(1);
                Ok(model)
            })
            .collect();
        progress.finish();
        models
    }

    /// The model that is used afterwards, fitted on every sample there is, for `rounds` rounds
    /// where the learner knows rounds. Its predictions are of rows that it learned from: they are
    /// known answers, never scores.
    pub(super) fn train_on_everything(
        &self,
        samples: &Samples,
        (fold, rounds): (&Fold, Option<u64>),
        progress: &dyn Progress,
    ) -> Result<FoldModel, TrainingError> {
        let mut config = self.config.clone();
        if let Some(rounds) = rounds {
            config.set(ROUNDS, Value::from(rounds));
        }
        let learning = Learning {
            key: "final",
            config: &config,
            threads: self.spec.threads,
            progress,
        };
        let learned = self.learn(samples, fold, &learning)?;
        self.judge(samples, fold, (learned, None))
    }

    /// Whether the number of boosting rounds can be set.
    pub(super) fn knows_rounds(&self) -> bool {
        self.knows_rounds
    }

    /// What the model of a fold answers to some of its rows, for whoever loads it later.
    pub(super) fn golden(
        &self,
        samples: &Samples,
        (fold, model): (&Fold, &FoldModel),
        rows: usize,
    ) -> Result<Golden, TrainingError> {
        let failed = |doing| move |source| self.failed(fold, doing, source);
        let scaler = model.scaler.as_ref();
        let scaler = scaler.map(|stored| serde_json::from_slice::<Scaler>(&stored.json));
        let scaler = scaler.transpose().map_err(|source| OutputError::Encode {
            file: "a scaler".to_owned(),
            source,
        })?;
        let first = model.predictions.len().saturating_sub(rows);
        let known = model.predictions[first..].iter();
        let gathered = gather(samples, known, (self.window, scaler.as_ref()));
        let gathered = gathered.map_err(failed("be asked for known answers"))?;
        let columns = samples.schema().features.len();
        let inputs = gathered.scaled.chunks_exact(self.window * columns);
        let inputs: Vec<GoldenInput> = inputs
            .map(|inputs| GoldenInput {
                rows: 1,
                columns,
                inputs: inputs.to_vec(),
                event_ns: None,
            })
            .collect();
        let fresh = self.plugin.create_model(&self.config, &model.artifact);
        let mut fresh = fresh.map_err(failed("load the model that it saved"))?;
        record(fresh.as_mut(), None, &inputs).map_err(failed("be asked for known answers"))
    }

    fn train(
        &self,
        samples: &Samples,
        fold: &Fold,
        (threads, progress): (usize, &dyn Progress),
    ) -> Result<FoldModel, TrainingError> {
        let learning = Learning {
            key: &format!("fold-{:02}", fold.index + 1),
            config: &self.config,
            threads,
            progress,
        };
        let learned = self.learn(samples, fold, &learning)?;
        self.judge(samples, fold, (learned, self.keep.explain))
    }

    /// Fits a fold's scaler and model, or takes up what an earlier process did of it.
    fn learn(
        &self,
        samples: &Samples,
        fold: &Fold,
        how: &Learning<'_>,
    ) -> Result<Learned, TrainingError> {
        let seed = fold_seed(self.spec.seed, fold.index);
        let options = DatasetOptions {
            weights: WeightOptions::of(&self.spec.labels, seed),
            context_rows: self.window - 1,
            forward_return: self.forward_return,
        };
        let train = samples.train(fold, &options)?;
        let valid = samples.valid(fold, &options)?;
        let (scaler, stored) = fit_scaler(self.spec.model.scaler, &train)?.unzip();
        let scaled = |data: Dataset| match &scaler {
            Some(scaler) => scaler.dataset(&data),
            None => Ok(data),
        };
        let (train, valid) = (scaled(train)?, scaled(valid)?);
        let job = Job {
            learner: self.learner,
            task: &self.task,
            config: how.config,
            train: &train,
            valid: (valid.samples() > 0).then_some(&valid),
            seed,
            threads: how.threads,
            resumes: self.resumes,
        };
        let watch = Watch {
            key: how.key,
            store: self.keep.store,
            interrupted: self.keep.interrupted,
            progress: how.progress,
        };
        let fitted = fit(&job, &watch).map_err(|error| match error {
            FitError::Interrupted => TrainingError::Interrupted,
            FitError::Plugin(doing, source) => self.failed(fold, doing, source),
            FitError::Output(error) => error.into(),
        })?;
        Ok(Learned {
            artifact: fitted.bytes,
            curve: fitted.curve,
            scaler,
            stored,
            readout: None,
        })
    }

    /// Makes the model of a fold anew from what was saved, and lets it predict the test rows.
    fn judge(
        &self,
        samples: &Samples,
        fold: &Fold,
        (learned, explain): (Learned, Option<ExplainSpec>),
    ) -> Result<FoldModel, TrainingError> {
        let failed = |doing| move |source| self.failed(fold, doing, source);
        let Learned {
            artifact,
            curve,
            scaler,
            stored,
            readout,
        } = learned;
        let mut model = self
            .plugin
            .create_model(&self.config, &artifact)
            .map_err(failed("load the model that it saved"))?;
        let info = model.info().map_err(failed("describe its model"))?;
        let (readout, stored_readout) = match readout {
            Some(json) => ModelReadout::parse(&json)
                .map(|readout| (readout, Some(json)))
                .map_err(PluginError::data),
            None => self.readout(&info, samples, fold),
        }
        .map_err(failed("load the model that it saved"))?;
        let how = (&readout, scaler.as_ref());
        let (predictions, said) = self
            .predict(model.as_mut(), samples, fold, how)
            .map_err(failed("predict"))?;
        let forecasts = readout.levels().map(|levels| FoldForecasts {
            rows: said,
            ..FoldForecasts::of_training(samples.traded_returns(fold), levels)
        });
        let looking = Explaining {
            samples,
            predictions: &predictions,
            readout: &readout,
            scaler: scaler.as_ref(),
            info: &info,
            window: self.window,
        };
        let seed = fold_seed(self.spec.seed, fold.index);
        let explained = explain.map(|how| looking.explain(model.as_mut(), how, seed));
        let explained = explained.transpose().map_err(failed("explain its model"))?;
        let counts = fold.train_counts.class_counts;
        let total = counts.iter().sum::<usize>().max(1) as f64;
        Ok(FoldModel {
            sha256: hex(&Sha256::digest(&artifact)),
            artifact,
            scaler: stored,
            readout: stored_readout,
            best_iteration: info.notes.get("best_iteration").and_then(Value::as_u64),
            importance: importance(model.as_ref()).map_err(failed("explain its model"))?,
            majority: majority_class(counts).unwrap_or(Direction::Flat),
            class_shares: counts.map(|count| count as f64 / total),
            predictions,
            forecasts,
            curve,
            explained,
            info,
        })
    }

    /// The readout of a model, read back from what will be stored.
    fn readout(
        &self,
        info: &ModelInfo,
        samples: &Samples,
        fold: &Fold,
    ) -> Result<(ModelReadout, Option<Vec<u8>>), PluginError> {
        let gap = i64::from(self.spec.extract.max_gap_bars);
        let longest_gap_ns = gap.saturating_mul(self.spec.data.time_frame.nanos());
        let how = (&self.spec.labels, longest_gap_ns);
        let readout = ModelReadout::new(info, how, (samples, fold))?;
        if readout.is_plain() {
            return Ok((readout, None));
        }
        let json = serde_json::to_vec_pretty(&readout)
            .map_err(|error| PluginError::internal(format!("its readout: {error}")))?;
        let stored = ModelReadout::parse(&json).map_err(PluginError::data)?;
        Ok((stored, Some(json)))
    }

    /// Predicts a fold's test rows, and gives what the model says of their returns; each block in
    /// one call on the rows of the matrix itself, or on a scaled copy of them.
    fn predict(
        &self,
        model: &mut dyn Model,
        samples: &Samples,
        fold: &Fold,
        (readout, scaler): (&ModelReadout, Option<&Scaler>),
    ) -> Result<(Vec<RowPrediction>, Vec<Vec<f32>>), PluginError> {
        let columns = samples.schema().features.len();
        let mut predictions = Vec::with_capacity(fold.test_counts.rows);
        let mut said = Vec::new();
        for block in samples.test_blocks(fold, self.window - 1) {
            let Some(symbol) = samples.get(block.symbol) else {
                continue;
            };
            let first = first_predicted(&block, self.window);
            let rows = block.rows.end.saturating_sub(first);
            if rows == 0 {
                continue;
            }
            let matrix = &symbol.features.values;
            let input = &matrix[(first + 1 - self.window) * columns..block.rows.end * columns];
            let scaled = scaler.map(|scaler| {
                let mut copy = input.to_vec();
                scaler.apply(&mut copy).map(|()| copy)
            });
            let scaled = scaled
                .transpose()
                .map_err(|error| PluginError::data(error.to_string()))?;
            let input = scaled.as_deref().unwrap_or(input);
            let outputs = readout.outputs();
            let mut output = vec![0.0; rows * outputs];
            let shape = FrameShape::sliding(rows, self.window, columns, outputs);
            model.predict(&mut Frame::new(input, &mut output, shape)?)?;
            let labels = &symbol.labels;
            for (row, values) in (first..block.rows.end).zip(output.chunks_exact(outputs)) {
                let facts = RowFacts {
                    sigma: labels.sigmas.get(row).copied().flatten(),
                    side: labels
                        .sides
                        .as_ref()
                        .and_then(|sides| sides.get(row))
                        .copied(),
                };
                said.extend(readout.forecast(values).map(|(_, own)| own.to_vec()));
                predictions.push(RowPrediction {
                    symbol: block.symbol,
                    row,
                    closed_at: symbol.features.closed_at[row],
                    probabilities: readout.read(facts, values),
                });
            }
        }
        Ok((predictions, said))
    }

    fn failed(&self, fold: &Fold, doing: &'static str, source: PluginError) -> TrainingError {
        TrainingError::Plugin {
            plugin: self.name.clone(),
            at: match &self.updated {
                Some(title) => ModelOf::Update(title.clone()),
                // It learns from the rows that it is asked about, as no fold does.
                None if fold.train == fold.test => ModelOf::Everything,
                None => ModelOf::Fold(fold.index + 1),
            },
            doing,
            source,
        }
    }
}

/// The first row of a block whose window is complete.
fn first_predicted(block: &TestBlock, window: usize) -> usize {
    block.rows.start.max(block.context.start + window - 1)
}

/// Whether the hyper-parameters name the returns after each bar as a label column. There are two
/// columns then, so the one that is learned is named too, unless somebody chose.
fn asks_for_returns(config: &mut Config, labels: &LabelConfig) -> bool {
    let text = |config: &Config, key: &str| config.get_or(key, String::new()).unwrap_or_default();
    if text(config, RETURN_PARAM) != FORWARD_RETURN {
        return false;
    }
    if let ([learned], "") = (
        &labels.task().columns()[..],
        text(config, LABEL_PARAM).as_str(),
    ) {
        config.set(LABEL_PARAM, learned.as_str());
    }
    true
}

fn importance(model: &dyn Model) -> Result<Option<Vec<f64>>, PluginError> {
    let Some(explain) = model.explain() else {
        return Ok(None);
    };
    match explain.importance_kinds().first() {
        Some(kind) => explain.importance(kind).map(Some),
        None => Ok(None),
    }
}

/// A seed of its own for each fold, so that folds do not share their random choices (SplitMix64).
fn fold_seed(seed: u64, fold: usize) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(fold as u64 + 1));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_have_seeds_of_their_own() {
        let seeds: std::collections::BTreeSet<u64> = (0..100)
            .flat_map(|fold| [fold_seed(1, fold), fold_seed(2, fold)])
            .collect();
        assert_eq!(seeds.len(), 200);
    }

    #[test]
    fn the_first_window_of_a_block_needs_its_context() {
        let block = TestBlock {
            symbol: SymbolId(0),
            rows: 10..20,
            context: 8..10,
        };
        assert_eq!(first_predicted(&block, 1), 10);
        assert_eq!(first_predicted(&block, 3), 10);
        assert_eq!(first_predicted(&block, 5), 12);
    }
}
