//! Loading one package: verify -> copy -> inspect -> map -> compare.
//!
//! Each step refuses with an error that says what to do; nothing of a package is run before its
//! digest, its machine, its entry symbol and its note were checked without running it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_plugin_api::abi::{FB_ABI_MAJOR, LEARNER_ID};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::Result as PluginResult;
use fusebox_plugin_api::export::{LogLevel, Plugin};
use fusebox_plugin_api::import::{HostLog, HostServices};
use fusebox_plugin_api::model::{Learner, Model};

use crate::backend::{
    Backend, DylibBackend, LinkedBackend, OpenPlugin, Prepared, WorkerBackend, WorkerOptions,
};
use crate::discover::Discovered;
use crate::elf::{self, PluginNote};
use crate::error::LoadError;
use crate::generation::{next_generation, private_copy};
use crate::guard::{GuardedLearner, GuardedModel};
use crate::manifest::{Isolation, Manifest, host_target};
use crate::trust::TrustPolicy;

/// How to load.
#[derive(Clone)]
pub struct LoadOptions {
    /// Where private copies go; the operator's, not the plugin's.
    pub cache_dir: PathBuf,
    /// Where a plugin's log messages go; `None` sends them to `tracing`.
    pub log: Option<Arc<HostLog>>,
    /// Which plugins may run, and in which tier.
    pub trust: TrustPolicy,
    /// How worker processes are started and limited.
    pub worker: WorkerOptions,
}

impl LoadOptions {
    /// Private copies under `cache_dir`, log messages to `tracing`, nobody trusted.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            log: None,
            trust: TrustPolicy::default(),
            worker: WorkerOptions::default(),
        }
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_trust(mut self, trust: TrustPolicy) -> Self {
        self.trust = trust;
        self
    }

    fn services(&self, plugin: &str, generation: u64) -> HostServices {
        let log = self
            .log
            .clone()
            .unwrap_or_else(|| tracing_log(plugin, generation));
        HostServices { generation, log }
    }
}

impl std::fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("cache_dir", &self.cache_dir)
            .finish_non_exhaustive()
    }
}

fn tracing_log(plugin: &str, generation: u64) -> Arc<HostLog> {
    let plugin = plugin.to_owned();
    Arc::new(move |level, message: &str| match level {
        LogLevel::Error => tracing::error!(plugin, generation, "{message}"),
        LogLevel::Warn => tracing::warn!(plugin, generation, "{message}"),
        LogLevel::Info => tracing::info!(plugin, generation, "{message}"),
        LogLevel::Debug => tracing::debug!(plugin, generation, "{message}"),
        LogLevel::Trace => tracing::trace!(plugin, generation, "{message}"),
    })
}

/// A plugin that can be used. Everything it hands out is guarded.
#[derive(Debug, Clone)]
pub struct LoadedPlugin {
    id: String,
    version: String,
    digest: Option<String>,
    generation: u64,
    manifest: Option<Manifest>,
    open: Arc<dyn OpenPlugin>,
}

impl LoadedPlugin {
    /// Reverse DNS id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Version of the plugin.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256 of the library in hexadecimal; `None` for a linked plugin.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Number of this load in this process, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The manifest; `None` for a linked plugin.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Bits of `FB_CAP_*`.
    #[must_use]
    pub fn capabilities(&self) -> u64 {
        self.open.capabilities()
    }

    /// Whether the plugin answers a factory id with a table.
    #[must_use]
    pub fn has_factory(&self, id: &str) -> bool {
        self.open.has_factory(id)
    }

    /// The learner, where the plugin trains.
    #[must_use]
    pub fn learner(&self) -> Option<Box<dyn Learner>> {
        let learner = self.open.learner()?;
        Some(Box::new(GuardedLearner {
            plugin: self.id.clone(),
            learner,
        }))
    }

    /// Makes a model from a configuration and an artifact.
    ///
    /// # Errors
    /// What the plugin says, its id first.
    pub fn create_model(&self, config: &Config, artifact: &[u8]) -> PluginResult<Box<dyn Model>> {
        Ok(Box::new(self.create_guarded(config, artifact)?))
    }

    /// As [`LoadedPlugin::create_model`], with the counts of the guard at hand.
    ///
    /// # Errors
    /// What the plugin says, its id first.
    pub fn create_guarded(&self, config: &Config, artifact: &[u8]) -> PluginResult<GuardedModel> {
        GuardedModel::new(&self.id, self.open.create_model(config, artifact)?)
    }
}

/// Loads a package into this process.
///
/// # Errors
/// [`LoadError`] naming the first step that refuses it.
pub fn load(package: &Discovered, options: &LoadOptions) -> Result<LoadedPlugin, LoadError> {
    let manifest = package.state.clone().map_err(|source| LoadError::Broken {
        id: package.id.clone(),
        version: package.version.clone(),
        path: package.path.clone(),
        source,
    })?;
    let target = host_target();
    let artifact = manifest
        .artifact
        .get(&target)
        .ok_or_else(|| LoadError::NoArtifact {
            id: manifest.id.clone(),
            target,
            found: manifest
                .artifact
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let tier = manifest.isolation.minimum.max(options.trust.floor);
    if tier > Isolation::Worker {
        let (id, demanded) = (manifest.id.clone(), tier.to_string());
        return Err(LoadError::Isolation { id, demanded });
    }
    let origin = package.path.join(&artifact.path);
    let generation = next_generation();
    let copy = private_copy(&origin, &artifact.sha256, &options.cache_dir, generation)?;
    let checked =
        elf::inspect(&copy.bytes, &origin).and_then(|note| compare_note(&manifest, &note, &origin));
    if let Err(error) = checked {
        // The copy was never mapped, so its name may go.
        let _ = fs::remove_file(&copy.path);
        return Err(error);
    }
    let services = options.services(&manifest.id, generation);
    let prepared = Prepared {
        path: copy.path,
        origin: origin.clone(),
    };
    let open = match tier {
        Isolation::InProcess => DylibBackend::new(prepared).open(services)?,
        _ => WorkerBackend::new(prepared, options.worker.clone()).open(services)?,
    };
    compare_entry(&manifest, &*open, &origin)?;
    tracing::debug!(
        plugin = manifest.id,
        version = manifest.version,
        generation,
        "loaded"
    );
    Ok(LoadedPlugin {
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        digest: Some(copy.sha256),
        generation,
        manifest: Some(manifest),
        open: open.into(),
    })
}

/// Opens a plugin that is linked into this program.
///
/// # Errors
/// [`LoadError::Import`] where it is incomplete.
pub fn load_linked<P: Plugin>(options: &LoadOptions) -> Result<LoadedPlugin, LoadError> {
    let generation = next_generation();
    let open = LinkedBackend::new::<P>().open(options.services(P::ID, generation))?;
    Ok(LoadedPlugin {
        id: open.id().to_owned(),
        version: open.version().to_owned(),
        digest: None,
        generation,
        manifest: None,
        open: open.into(),
    })
}

fn compare_note(manifest: &Manifest, note: &PluginNote, path: &Path) -> Result<(), LoadError> {
    let major = note.abi.split('.').next().unwrap_or_default();
    if major != FB_ABI_MAJOR.to_string() {
        return Err(mismatch(path, "abi", "note", (&note.abi, &manifest.abi)));
    }
    let pairs = [
        ("abi", &note.abi, &manifest.abi),
        ("id", &note.id, &manifest.id),
        ("version", &note.version, &manifest.version),
    ];
    for (field, found, stated) in pairs {
        if found != stated {
            return Err(mismatch(path, field, "note", (found, stated)));
        }
    }
    Ok(())
}

fn compare_entry(manifest: &Manifest, open: &dyn OpenPlugin, path: &Path) -> Result<(), LoadError> {
    let claims_learner = manifest.kind.iter().any(|kind| kind == LEARNER_ID);
    let kind = |is_there: bool| {
        if is_there {
            "with a learner"
        } else {
            "without a learner"
        }
    };
    let has_learner = open.learner().is_some();
    let pairs = [
        ("id", open.id(), manifest.id.as_str()),
        ("version", open.version(), manifest.version.as_str()),
        ("kind", kind(has_learner), kind(claims_learner)),
    ];
    for (field, found, stated) in pairs {
        if found != stated {
            return Err(mismatch(path, field, "entry", (found, stated)));
        }
    }
    Ok(())
}

fn mismatch(
    path: &Path,
    field: &'static str,
    place: &'static str,
    (found, stated): (&str, &str),
) -> LoadError {
    LoadError::Mismatch {
        path: path.to_owned(),
        field,
        place,
        found: found.to_owned(),
        stated: stated.to_owned(),
    }
}
