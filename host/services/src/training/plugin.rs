//! What training needs of a plugin: who it is, its learner, and models made from artifacts.

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{Learner, Model};

/// Who trained a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginId {
    /// Reverse-domain id.
    pub id: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the library in hexadecimal.
    pub sha256: String,
    /// The generation that is mapped.
    pub generation: u64,
}

/// A plugin that can train and serve. Several threads use it at once.
pub trait TrainingPlugin: Sync {
    /// Who it is.
    fn identity(&self) -> PluginId;

    /// Its learner; `None` where it only serves.
    fn learner(&self) -> Option<&dyn Learner>;

    /// A model from an artifact, guarded: what it answers is finite.
    ///
    /// # Errors
    /// What the plugin says.
    fn create_model(&self, config: &Config, artifact: &[u8])
    -> Result<Box<dyn Model>, PluginError>;
}
