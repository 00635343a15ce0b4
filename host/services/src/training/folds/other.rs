//! Models that were fitted elsewhere: judged on the rows of a fold, or taking them in.

use fusebox_engine::dataset::{DatasetOptions, Fold, Samples, Scaler, ScalerReport, WeightOptions};
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::model;
use serde_json::Value;

use super::super::error::{ModelOf, TrainingError};
use super::super::output::OutputError;
use super::{FoldModel, Learned, StoredScaler, Trainer};
use crate::report::LearningCurve;

/// A model that was fitted elsewhere, with what lies beside it.
pub(in crate::training) struct Other {
    pub artifact: Vec<u8>,
    pub scaler: Option<Vec<u8>>,
    pub readout: Option<Vec<u8>>,
}

impl Trainer<'_> {
    /// The same with another setting, for learners that know it.
    pub(in crate::training) fn with_setting(mut self, key: &str, value: Value) -> Self {
        self.config.set(key, value);
        self
    }

    /// The same for the update of a registered model, by name and version.
    pub(in crate::training) fn updating(mut self, title: &str) -> Self {
        self.updated = Some(title.to_owned());
        self
    }

    /// Makes the model of an artifact and lets it go, before any row is read: what is wrong with
    /// the artifact, or missing for it, is found at once.
    pub(in crate::training) fn try_artifact(&self, artifact: &[u8]) -> Result<(), TrainingError> {
        let made = self.plugin.create_model(&self.config, artifact);
        made.map(drop).map_err(|source| match source.status() {
            Status::Library => TrainingError::Library {
                plugin: self.name.clone(),
                source,
            },
            _ => TrainingError::Plugin {
                plugin: self.name.clone(),
                at: ModelOf::Update(self.updated.clone().unwrap_or_default()),
                doing: "load the model",
                source,
            },
        })
    }

    /// A model that was fitted elsewhere, judged as that of a fold.
    pub(in crate::training) fn judge_other(
        &self,
        samples: &Samples,
        fold: &Fold,
        other: Other,
    ) -> Result<FoldModel, TrainingError> {
        let scaler = other
            .scaler
            .as_deref()
            .map(serde_json::from_slice::<Scaler>);
        let scaler = scaler.transpose().map_err(|source| OutputError::Encode {
            file: "a scaler".to_owned(),
            source,
        })?;
        let learned = Learned {
            artifact: other.artifact,
            curve: LearningCurve::default(),
            scaler,
            stored: other.scaler.map(|json| StoredScaler {
                json,
                report: ScalerReport::default(),
            }),
            readout: other.readout,
        };
        self.judge(samples, fold, (learned, None))
    }

    /// The artifact of a model after it took in the training rows of a fold.
    pub(in crate::training) fn updated(
        &self,
        samples: &Samples,
        (fold, (artifact, scaler)): (&Fold, (&[u8], Option<&Scaler>)),
        progress: &mut dyn model::Progress,
    ) -> Result<Vec<u8>, TrainingError> {
        let failed = |doing| move |source| self.failed(fold, doing, source);
        let options = DatasetOptions {
            weights: WeightOptions::of(&self.spec.labels, self.spec.seed),
            context_rows: self.window - 1,
            forward_return: false,
        };
        let rows = samples.train(fold, &options)?;
        let rows = match scaler {
            Some(scaler) => scaler.dataset(&rows)?,
            None => rows,
        };
        let model = self.plugin.create_model(&self.config, artifact);
        let mut model = model.map_err(failed("load the model"))?;
        let taken = match model.incremental() {
            Some(incremental) => incremental.update(&rows, progress),
            None => Err(PluginError::unsupported(
                "its models take in no newer rows; train anew",
            )),
        };
        taken.map_err(failed("take in newer rows"))?;
        model.save().map_err(failed("save its model"))
    }
}
