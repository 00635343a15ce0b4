//! How a model is made again in another process.

use std::sync::Arc;

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::import::HostServices;
use fusebox_plugin_api::model::{ModelInfo, Snapshot};
use serde_json::Value;

use super::handle::{CallError, CallResult, OpenWorker, Worker};
use super::options::WorkerOptions;
use super::process::Process;
use crate::backend::Prepared;
use crate::worker::wire::{Ask, Blob, Made};

/// Where the plugin lies and how its workers are started.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) prepared: Prepared,
    pub(super) options: Arc<WorkerOptions>,
    pub(super) services: HostServices,
}

impl Source {
    /// A new worker with the plugin open.
    pub(super) fn open(&self, begun: &mut dyn FnMut(&Arc<Process>)) -> CallResult<OpenWorker> {
        Worker::open(&self.prepared, &self.options, self.services.clone(), begun)
    }
}

/// A source, and what `create` is given.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) source: Source,
    pub(super) config: Config,
    pub(super) artifact: Arc<Vec<u8>>,
}

impl Recipe {
    /// A new worker whose model is made and ready.
    pub(super) fn make(&self, begun: &mut dyn FnMut(&Arc<Process>)) -> CallResult<Worker> {
        let OpenWorker { mut worker, .. } = self.source.open(begun)?;
        create(&mut worker, &self.config, &self.artifact)?;
        worker.ask::<Value>("`warmup`", &Ask::Warmup, &[])?;
        Ok(worker)
    }
}

/// Makes the model of a worker.
pub(super) fn create(worker: &mut Worker, config: &Config, artifact: &[u8]) -> CallResult<Facts> {
    let config = Value::Object(
        config
            .keys()
            .filter_map(|key| Some((key.to_owned(), config.value(key)?.clone())))
            .collect(),
    );
    let blobs = [Blob::Bytes(artifact)];
    let (made, blobs) = worker.ask("`create`", &Ask::Create { config }, &blobs)?;
    Facts::read(made, blobs).map_err(CallError::Refused)
}

/// What a model is, and its first state.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) info: ModelInfo,
    pub(super) importance_kinds: Option<Vec<String>>,
    pub(super) is_incremental: bool,
    pub(super) quantile_levels: Option<Vec<f64>>,
    pub(super) exports_onnx: bool,
    pub(super) state: Result<Snapshot>,
    /// What a fit saved.
    pub(super) artifact: Result<Option<Vec<u8>>>,
}

impl Facts {
    pub(super) fn read(made: Made, blobs: Vec<Vec<u8>>) -> Result<Self> {
        let mut blobs = blobs.into_iter();
        let (state, artifact) = (blobs.next().unwrap_or_default(), blobs.next());
        let levels = made.quantile_levels;
        Ok(Self {
            info: serde_json::from_value(made.info)?,
            importance_kinds: made.importance_kinds,
            is_incremental: made.is_incremental,
            quantile_levels: levels.map(|levels| levels.into_iter().map(f64::from_bits).collect()),
            exports_onnx: made.exports_onnx,
            state: made
                .state
                .map(|schema| Snapshot::new(schema, state))
                .map_err(PluginError::from),
            artifact: made
                .artifact
                .map(|is_there| artifact.filter(|_| is_there))
                .map_err(PluginError::from),
        })
    }
}
