//! Ways to run a plugin: one file per way, each a [`Backend`].
//!
//! | file | runs the plugin |
//! |---|---|
//! | `dylib` | as a shared library inside this process |
//! | `linked` | as code linked into this program |
//! | `worker` | in a child process |
//!
//! A backend turns a checked package into an [`OpenPlugin`]; what is above it cannot tell which one
//! it was.

mod dylib;
mod linked;
pub mod worker;

use std::path::PathBuf;

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Result as PluginResult;
use fusebox_plugin_api::import::{HostServices, ImportedPlugin};
use fusebox_plugin_api::model::{Learner, Model};

pub use dylib::DylibBackend;
pub use linked::LinkedBackend;
pub use worker::{WorkerBackend, WorkerOptions};

use crate::error::LoadError;

/// A plugin that is ready to be used, wherever it runs.
pub trait OpenPlugin: std::fmt::Debug + Send + Sync {
    /// Reverse DNS id, as the plugin itself states it.
    fn id(&self) -> &str;

    /// Version, as the plugin itself states it.
    fn version(&self) -> &str;

    /// Bits of `FB_CAP_*`.
    fn capabilities(&self) -> u64;

    /// Whether the plugin answers a factory id with a table.
    fn has_factory(&self, id: &str) -> bool;

    /// The learner, where the plugin trains.
    fn learner(&self) -> Option<Box<dyn Learner>>;

    /// Makes a model from a configuration and an artifact.
    ///
    /// # Errors
    /// What the plugin says.
    fn create_model(&self, config: &Config, artifact: &[u8]) -> PluginResult<Box<dyn Model>>;
}

/// A checked library, private to one load.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The private copy.
    pub path: PathBuf,
    /// The path in the package, for messages.
    pub origin: PathBuf,
}

/// A way to run a plugin.
pub trait Backend {
    /// Starts the plugin.
    ///
    /// # Errors
    /// [`LoadError`] where it cannot be started or does not give its tables.
    fn open(&self, services: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError>;
}

impl OpenPlugin for ImportedPlugin {
    fn id(&self) -> &str {
        ImportedPlugin::id(self)
    }

    fn version(&self) -> &str {
        ImportedPlugin::version(self)
    }

    fn capabilities(&self) -> u64 {
        ImportedPlugin::capabilities(self)
    }

    fn has_factory(&self, id: &str) -> bool {
        ImportedPlugin::has_factory(self, id)
    }

    fn learner(&self) -> Option<Box<dyn Learner>> {
        ImportedPlugin::learner(self).map(|learner| Box::new(learner) as Box<dyn Learner>)
    }

    fn create_model(&self, config: &Config, artifact: &[u8]) -> PluginResult<Box<dyn Model>> {
        Ok(Box::new(ImportedPlugin::create_model(
            self, config, artifact,
        )?))
    }
}
