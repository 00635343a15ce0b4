//! One fold: fit on the training rows, keep the artifact, predict the test rows.
//!
//! The test rows are predicted by a model created anew from the saved artifact, so what is scored
//! is exactly what can be deployed.

use fusebox_engine::dataset::{
    DatasetOptions, Fold, Samples, Scaler, ScalerReport, TestBlock, WeightOptions,
};
use fusebox_engine::eval::majority_class;
use fusebox_engine::labels::Direction;
use fusebox_engine::types::{SymbolId, Timestamp};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{
    FitRequest, InputShape, Learner, Model, ModelInfo, NoProgress, Task, TaskKind,
};
use fusebox_plugin_api::params::ParamSpec;
use fusebox_plugin_api::schema::Dataset;
use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::TrainingError;
use super::output::{OutputError, hex};
use super::plugin::TrainingPlugin;
use super::readout::{ModelReadout, RowFacts, task};
use super::spec::PipelineSpec;
use crate::progress::Progress;

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
}

/// A fitted scaler on its way to a file.
pub(super) struct StoredScaler {
    pub json: Vec<u8>,
    pub report: ScalerReport,
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
        let task = task(&spec.labels.task());
        if !info.tasks.contains(&task.kind()) {
            return Err(cannot(match task.kind() {
                TaskKind::BinaryClassification => "whether to act",
                TaskKind::Regression => "returns",
                _ => "three-class direction",
            }));
        }
        let mut config = Config::from_value(Value::Object(spec.model.params.clone()))
            .and_then(|config| ParamSpec::resolve(&info.params, &config, &[]))
            .map_err(refused)?;
        for (key, value) in &spec.model.host_settings {
            config.set(key, value.clone());
        }
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
        })
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
                let model = self.train(samples, fold, threads)?;
                progress.advance(1);
                Ok(model)
            })
            .collect();
        progress.finish();
        models
    }

    fn train(
        &self,
        samples: &Samples,
        fold: &Fold,
        threads: usize,
    ) -> Result<FoldModel, TrainingError> {
        let seed = fold_seed(self.spec.seed, fold.index);
        let options = DatasetOptions {
            weights: WeightOptions::of(&self.spec.labels, seed),
            context_rows: self.window - 1,
        };
        let train = samples.train(fold, &options)?;
        let valid = samples.valid(fold, &options)?;
        let (scaler, stored) = self.scaler(&train)?.unzip();
        let scaled = |data: Dataset| match &scaler {
            Some(scaler) => scaler.dataset(&data),
            None => Ok(data),
        };
        let (train, valid) = (scaled(train)?, scaled(valid)?);
        let request = FitRequest {
            task: &self.task,
            config: &self.config,
            train: &train,
            valid: (valid.samples() > 0).then_some(&valid),
            environment: None,
            progress: &mut NoProgress,
            checkpoint: None,
            seed,
            max_threads: u32::try_from(threads).unwrap_or(u32::MAX),
        };
        let failed = |doing| move |source| self.failed(fold, doing, source);
        let fitted = self.learner.fit(request).map_err(failed("fit"))?;
        let artifact = fitted.save().map_err(failed("save its model"))?;
        drop(fitted);
        let mut model = self
            .plugin
            .create_model(&self.config, &artifact)
            .map_err(failed("load the model that it saved"))?;
        let info = model.info().map_err(failed("describe its model"))?;
        let (readout, stored_readout) = self
            .readout(&info, samples, fold)
            .map_err(failed("load the model that it saved"))?;
        let how = (&readout, scaler.as_ref());
        let predictions = self
            .predict(model.as_mut(), samples, fold, how)
            .map_err(failed("predict"))?;
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
        })
    }

    /// Fits the scaler and reads it back from what will be stored, so that what is scored is
    /// exactly what can be deployed.
    fn scaler(&self, train: &Dataset) -> Result<Option<(Scaler, StoredScaler)>, TrainingError> {
        let Some((scaler, report)) = Scaler::fit(self.spec.model.scaler, train)? else {
            return Ok(None);
        };
        let encode = |source: serde_json::Error| OutputError::Encode {
            file: "a scaler".to_owned(),
            source,
        };
        let json = serde_json::to_vec_pretty(&scaler).map_err(encode)?;
        let scaler = serde_json::from_slice(&json).map_err(encode)?;
        Ok(Some((scaler, StoredScaler { json, report })))
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

    /// Predicts a fold's test rows, each block in one call on the rows of the matrix itself, or on
    /// a scaled copy of them.
    fn predict(
        &self,
        model: &mut dyn Model,
        samples: &Samples,
        fold: &Fold,
        (readout, scaler): (&ModelReadout, Option<&Scaler>),
    ) -> Result<Vec<RowPrediction>, PluginError> {
        let columns = samples.schema().features.len();
        let mut predictions = Vec::with_capacity(fold.test_counts.rows);
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
                predictions.push(RowPrediction {
                    symbol: block.symbol,
                    row,
                    closed_at: symbol.features.closed_at[row],
                    probabilities: readout.read(facts, values),
                });
            }
        }
        Ok(predictions)
    }

    fn failed(&self, fold: &Fold, doing: &'static str, source: PluginError) -> TrainingError {
        TrainingError::Plugin {
            plugin: self.name.clone(),
            fold: fold.index + 1,
            doing,
            source,
        }
    }
}

/// The first row of a block whose window is complete.
fn first_predicted(block: &TestBlock, window: usize) -> usize {
    block.rows.start.max(block.context.start + window - 1)
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
