//! A plugin in a child process: the same library, behind shared memory.
//!
//! | file | what |
//! |---|---|
//! | `options` | what the operator decides |
//! | `spawn`, `process`, `monitor` | starting, ending and watching child processes |
//! | `handle` | the hold on one worker: questions on its socket |
//! | `frames` | rows through the ring |
//! | `plugin`, `learner`, `model` | the traits of the house |
//! | `recipe`, `history`, `keeper` | making a model again after its worker died |
//! | `probe` | trying a library before it is mapped here |
//!
//! The other side is the module `worker` of this crate. Nothing here runs code of a plugin, and
//! nothing here believes what a worker says.

mod frames;
mod handle;
mod history;
mod keeper;
mod learner;
mod model;
mod monitor;
mod options;
mod plugin;
mod probe;
mod process;
mod recipe;
mod spawn;

use std::sync::Arc;

use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::import::HostServices;

pub use monitor::{RunningWorker, running_workers};
pub use options::{RestartPolicy, WorkerOptions};
pub use probe::{ProbeError, ProbeFacts, ProbeReport, probe};

use super::{Backend, OpenPlugin, Prepared};
use crate::error::LoadError;
use plugin::WorkerPlugin;
use recipe::Source;

/// Runs a prepared library in a child process.
#[derive(Debug, Clone)]
pub struct WorkerBackend {
    prepared: Prepared,
    options: WorkerOptions,
}

impl WorkerBackend {
    /// The backend of a library that was verified and copied for this load alone.
    #[must_use]
    pub fn new(prepared: Prepared, options: WorkerOptions) -> Self {
        Self { prepared, options }
    }
}

impl Backend for WorkerBackend {
    fn open(&self, services: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError> {
        let source = Source {
            prepared: self.prepared.clone(),
            options: Arc::new(self.options.clone()),
            services,
        };
        let first = source
            .open(&mut |_| {})
            .map_err(|error| LoadError::Worker {
                path: self.prepared.origin.clone(),
                source: PluginError::from(error),
            })?;
        Ok(Box::new(WorkerPlugin::new(source, first)))
    }
}
