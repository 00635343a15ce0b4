//! Answers to the host's messages: everything of a plugin that is not a prediction.

use std::io;
use std::sync::PoisonError;
use std::vec::IntoIter;

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::ext::{Explain, OnnxExport};
use fusebox_plugin_api::model::{FitRequest, Model, Snapshot, Task};
use fusebox_plugin_api::schema::Dataset;
use serde::Serialize;
use serde_json::Value;

use super::remote::{RemoteEnv, RemoteProgress};
use super::serve::Server;
use super::wire::{Ask, Blob, Failure, FitHead, Made, Say, Trust, receive};

/// An answer and the blobs behind it.
type Answer = Result<(Value, Vec<Vec<u8>>)>;

impl Server {
    /// Reads one message and answers it; `false` where the host is gone.
    pub(super) fn answer_message(&mut self) -> io::Result<bool> {
        let message = {
            let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            receive(&mut *link, Trust::Full)
        };
        let (ask, blobs) = match message {
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        match self.answer(ask, blobs.into_iter()) {
            Ok((value, blobs)) => {
                let blobs: Vec<Blob<'_>> = blobs.iter().map(|blob| Blob::Bytes(blob)).collect();
                self.say(&Say::Done { value }, &blobs)?;
            }
            Err(error) => self.say(&Say::Failed(Failure::from(&error)), &[])?,
        }
        Ok(true)
    }

    fn answer(&mut self, ask: Ask, mut blobs: IntoIter<Vec<u8>>) -> Answer {
        match ask {
            Ask::Open(_) => Err(PluginError::state("the worker has its plugin already")),
            Ask::HasFactory { id } => value(self.plugin.has_factory(&id)),
            Ask::Describe => {
                let learner = self.plugin.learner();
                let learner = learner.ok_or_else(|| PluginError::unsupported("training"))?;
                value(learner.describe()?)
            }
            Ask::Create { config } => {
                let artifact = blobs.next().unwrap_or_default();
                let config = Config::from_value(config)?;
                self.model = None;
                self.model = Some(self.plugin.create_model(&config, &artifact)?);
                made(self.model()?, false)
            }
            Ask::Warmup => self.model()?.warmup().and_then(value),
            Ask::Save => Ok((Value::Null, vec![self.model()?.save()?])),
            Ask::Snapshot => {
                let state = self.model()?.snapshot()?;
                Ok((state.schema.into(), vec![state.bytes]))
            }
            Ask::Restore { schema } => {
                let bytes = blobs.next().unwrap_or_default();
                self.model()?
                    .restore(&Snapshot { schema, bytes })
                    .and_then(value)
            }
            Ask::Quiesce { deadline_ns } => self.model()?.quiesce(deadline_ns).and_then(value),
            Ask::Destroy => {
                self.model = None;
                value(())
            }
            Ask::Importance { kind } => {
                let importance = explain(self.model()?)?.importance(&kind)?;
                value(
                    importance
                        .iter()
                        .map(|one| one.to_bits())
                        .collect::<Vec<_>>(),
                )
            }
            Ask::ToOnnx { opset } => {
                let bytes = onnx_export(self.model()?)?.to_onnx(opset)?;
                Ok((Value::Null, vec![bytes]))
            }
            Ask::Update { rows } => {
                let rows = rows.read(&mut blobs)?;
                self.update(&rows)
            }
            Ask::Fit(head) => self.fit(*head, blobs),
        }
    }

    fn model(&mut self) -> Result<&mut (dyn Model + 'static)> {
        let model = self.model.as_deref_mut();
        model.ok_or_else(|| PluginError::state("the worker has no model yet"))
    }

    fn update(&mut self, rows: &Dataset) -> Answer {
        let mut progress = RemoteProgress::new(&self.link, &self.ring);
        let model = self.model.as_deref_mut();
        let model = model.ok_or_else(|| PluginError::state("the worker has no model yet"))?;
        let incremental = model
            .incremental()
            .ok_or_else(|| PluginError::unsupported("learning from new rows"))?;
        incremental.update(rows, &mut progress)?;
        // What the model notes of itself may be another now.
        value(model.info().ok())
    }

    fn fit(&mut self, head: FitHead, mut blobs: IntoIter<Vec<u8>>) -> Answer {
        let learner = self.plugin.learner();
        let learner = learner.ok_or_else(|| PluginError::unsupported("training"))?;
        let task: Task = serde_json::from_value(head.task)?;
        let config = Config::from_value(head.config)?;
        let train = head.train.read(&mut blobs)?;
        let valid = head.valid.map(|valid| valid.read(&mut blobs)).transpose()?;
        let checkpoint = if head.has_checkpoint {
            blobs.next()
        } else {
            None
        };
        let mut environment = head
            .environment
            .map(|spec| RemoteEnv::new(&self.link, spec.into()));
        let mut progress = RemoteProgress::new(&self.link, &self.ring);
        let model = learner.fit(FitRequest {
            task: &task,
            config: &config,
            train: &train,
            valid: valid.as_ref(),
            environment: environment.as_mut().map(|environment| environment as _),
            progress: &mut progress,
            checkpoint: checkpoint.as_deref(),
            seed: head.seed,
            max_threads: head.max_threads,
        })?;
        self.model = Some(model);
        made(self.model()?, true)
    }
}

fn value(value: impl Serialize) -> Answer {
    Ok((serde_json::to_value(value)?, Vec::new()))
}

/// What the host wants to know about a model once, so that it needs no question later.
fn made(model: &mut dyn Model, with_artifact: bool) -> Answer {
    let info = serde_json::to_value(model.info()?)?;
    let snapshot = model.snapshot();
    let artifact = if with_artifact {
        Some(model.save())
    } else {
        None
    };
    let failure = |error: &PluginError| Failure::from(error);
    let facts = Made {
        info,
        importance_kinds: model.explain().map(Explain::importance_kinds),
        is_incremental: model.incremental().is_some(),
        quantile_levels: model.quantiles().map(|quantiles| {
            let levels = quantiles.levels();
            levels.iter().map(|level| level.to_bits()).collect()
        }),
        exports_onnx: model.onnx_export().is_some(),
        state: snapshot.as_ref().map(|state| state.schema).map_err(failure),
        artifact: match &artifact {
            None => Ok(false),
            Some(artifact) => artifact.as_ref().map(|_| true).map_err(failure),
        },
    };
    let state = snapshot.map(|state| state.bytes).unwrap_or_default();
    let artifact = artifact
        .and_then(std::result::Result::ok)
        .unwrap_or_default();
    Ok((serde_json::to_value(facts)?, vec![state, artifact]))
}

fn explain(model: &dyn Model) -> Result<&dyn Explain> {
    model
        .explain()
        .ok_or_else(|| PluginError::unsupported("explanations"))
}

fn onnx_export(model: &dyn Model) -> Result<&dyn OnnxExport> {
    model
        .onnx_export()
        .ok_or_else(|| PluginError::unsupported("writing as ONNX"))
}
