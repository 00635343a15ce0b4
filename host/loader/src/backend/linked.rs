//! A plugin that is linked into this program: for tests and for builds without loading.

use fusebox_plugin_api::export::Plugin;
use fusebox_plugin_api::import::{HostServices, ImportError, ImportedPlugin, LentHost};

use super::{Backend, OpenPlugin};
use crate::error::LoadError;

/// Opens a linked plugin.
#[derive(Debug, Clone, Copy)]
pub struct LinkedBackend {
    id: &'static str,
    import: fn(LentHost) -> Result<ImportedPlugin, ImportError>,
}

impl LinkedBackend {
    /// The backend of plugin `P`.
    #[must_use]
    pub fn new<P: Plugin>() -> Self {
        Self {
            id: P::ID,
            import: ImportedPlugin::linked::<P>,
        }
    }
}

impl Backend for LinkedBackend {
    fn open(&self, services: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError> {
        let imported = (self.import)(LentHost::leak(services));
        let plugin = imported.map_err(|source| LoadError::Import {
            plugin: self.id.to_owned(),
            source,
        })?;
        Ok(Box::new(plugin))
    }
}
