//! Loading one package: verify and copy -> scan -> map and compare.
//!
//! Each step refuses with an error that says what to do; nothing of a package is run before its
//! digest, its machine, its entry symbol and its note were checked without running it. [`load`]
//! takes the steps in one go; a reload takes them one by one, to tell about each.

use std::collections::BTreeMap;
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
use crate::clock::{Clock, SystemClock};
use crate::discover::Discovered;
use crate::elf::{self, PluginNote};
use crate::error::LoadError;
use crate::generation::{PrivateCopy, next_generation, sha256_hex, store_private};
use crate::guard::{GuardedLearner, GuardedModel};
use crate::manifest::{Artifact, Isolation, Manifest, host_target};
use crate::trust::{Decision, TrustPolicy};

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
    /// Settings that only this machine knows, such as the paths of native libraries, by plugin. A
    /// model package gets those that it does not state itself.
    pub host_settings: BTreeMap<String, Config>,
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
            host_settings: BTreeMap::new(),
        }
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_trust(mut self, trust: TrustPolicy) -> Self {
        self.trust = trust;
        self
    }

    /// `config` with the settings of this machine for a plugin, where it has none of its own.
    #[must_use]
    pub fn completed(&self, plugin: &str, mut config: Config) -> Config {
        if let Some(settings) = self.host_settings.get(plugin) {
            for key in settings.keys() {
                if let (None, Some(value)) = (config.value(key), settings.value(key)) {
                    config.set(key, value.clone());
                }
            }
        }
        config
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
    manifest_digest: String,
    trust: Decision,
    copy: Option<PathBuf>,
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

    /// SHA-256 of the bytes of the manifest in hexadecimal; empty for a linked plugin.
    #[must_use]
    pub fn manifest_digest(&self) -> &str {
        &self.manifest_digest
    }

    /// Where its code runs.
    #[must_use]
    pub fn tier(&self) -> Isolation {
        self.trust.tier
    }

    /// Who vouches for it, and why it runs where it does.
    #[must_use]
    pub fn trust(&self) -> &Decision {
        &self.trust
    }

    /// The private copy that it was opened from; `None` for a linked plugin.
    #[must_use]
    pub fn private_copy(&self) -> Option<&Path> {
        self.copy.as_deref()
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

/// A package whose library was read through one descriptor, has the digest that the manifest
/// states, and lies in a private copy. Nothing of it was run. Where it goes no further, the copy is
/// removed.
#[derive(Debug)]
pub struct Verified {
    manifest: Manifest,
    manifest_digest: String,
    trust: Decision,
    origin: PathBuf,
    copy: PrivateCopy,
    generation: u64,
    is_mapped: bool,
}

impl Verified {
    /// Its manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the library in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.copy.sha256
    }

    /// Number of this load in this process, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where its code is going to run.
    #[must_use]
    pub fn tier(&self) -> Isolation {
        self.trust.tier
    }

    /// Who vouches for it, and why it is going to run there.
    #[must_use]
    pub fn trust(&self) -> &Decision {
        &self.trust
    }

    /// The private copy and the path it came from.
    #[must_use]
    pub fn prepared(&self) -> Prepared {
        Prepared {
            path: self.copy.path.clone(),
            origin: self.origin.clone(),
        }
    }
}

impl Drop for Verified {
    fn drop(&mut self) {
        if !self.is_mapped {
            // The copy was never mapped, so its name may go.
            let _ = fs::remove_file(&self.copy.path);
        }
    }
}

/// Loads a package into this process.
///
/// # Errors
/// [`LoadError`] naming the first step that refuses it.
pub fn load(package: &Discovered, options: &LoadOptions) -> Result<LoadedPlugin, LoadError> {
    let verified = verify(package, options)?;
    scan(&verified)?;
    map(verified, options)
}

/// First step: checks that the package may run here, and copies its library if it is the one that
/// the manifest was written for.
///
/// # Errors
/// [`LoadError`] saying what is wrong with the package.
pub fn verify(package: &Discovered, options: &LoadOptions) -> Result<Verified, LoadError> {
    let manifest = package.manifest()?;
    let now_unix_s = SystemClock.unix_ns().div_euclid(1_000_000_000);
    let trust = options.trust.judge(package, now_unix_s)?;
    let artifact = artifact(manifest)?;
    let (bytes, sha256) = package.read_file(&artifact.path, options.trust.max_package_bytes())?;
    let generation = next_generation();
    let copy = store_private(bytes, sha256, &options.cache_dir, generation)?;
    Ok(Verified {
        manifest: manifest.clone(),
        manifest_digest: sha256_hex(package.manifest_bytes()),
        trust,
        origin: package.path.join(&artifact.path),
        copy,
        generation,
        is_mapped: false,
    })
}

/// The library for this machine.
fn artifact(manifest: &Manifest) -> Result<&Artifact, LoadError> {
    let target = host_target();
    let targets = manifest.artifact.keys();
    manifest
        .artifact
        .get(&target)
        .ok_or_else(|| LoadError::NoArtifact {
            id: manifest.id.clone(),
            target,
            found: targets.cloned().collect::<Vec<_>>().join(", "),
        })
}

/// Checks the library of a package as far as that goes without copying or running it.
///
/// # Errors
/// [`LoadError`] where it is no plugin for this machine, or not the one of its manifest.
pub fn check_library(package: &Discovered, limit: u64) -> Result<(), LoadError> {
    let manifest = package.manifest()?;
    let artifact = artifact(manifest)?;
    let (bytes, _) = package.read_file(&artifact.path, limit)?;
    let origin = package.path.join(&artifact.path);
    compare_note(manifest, &elf::inspect(&bytes, &origin)?, &origin)
}

/// Second step: reads machine, entry symbol and note of the library without running it.
///
/// # Errors
/// [`LoadError`] where it is no plugin for this machine, or not the one of its manifest.
pub fn scan(verified: &Verified) -> Result<(), LoadError> {
    let note = elf::inspect(&verified.copy.bytes, &verified.origin)?;
    compare_note(&verified.manifest, &note, &verified.origin)
}

/// Last step: opens the private copy where its tier says, and compares what it says of itself with
/// the manifest.
///
/// # Errors
/// [`LoadError`] where it cannot be opened, or is another plugin.
pub fn map(mut verified: Verified, options: &LoadOptions) -> Result<LoadedPlugin, LoadError> {
    let (generation, tier) = (verified.generation, verified.tier());
    let services = options.services(&verified.manifest.id, generation);
    let prepared = verified.prepared();
    let copy = Some(prepared.path.clone());
    verified.is_mapped = true;
    let open = match tier {
        Isolation::InProcess => DylibBackend::new(prepared).open(services)?,
        _ => WorkerBackend::new(prepared, options.worker.clone()).open(services)?,
    };
    let manifest = verified.manifest.clone();
    compare_entry(&manifest, &*open, &verified.origin)?;
    tracing::debug!(
        plugin = manifest.id,
        version = manifest.version,
        generation,
        "loaded"
    );
    Ok(LoadedPlugin {
        id: manifest.id.clone(),
        version: manifest.version.clone(),
        digest: Some(verified.copy.sha256.clone()),
        generation,
        manifest: Some(manifest),
        manifest_digest: verified.manifest_digest.clone(),
        trust: verified.trust.clone(),
        copy,
        open: open.into(),
    })
}

/// Opens a plugin that is linked into this program.
///
/// # Errors
/// [`LoadError::Import`] where it is incomplete.
pub fn load_linked<P: Plugin>(options: &LoadOptions) -> Result<LoadedPlugin, LoadError> {
    open_with(P::ID, &LinkedBackend::new::<P>(), options)
}

/// Opens a plugin by a backend of the caller's; `name` is for its log messages.
///
/// # Errors
/// What the backend says.
pub fn open_with(
    name: &str,
    backend: &dyn Backend,
    options: &LoadOptions,
) -> Result<LoadedPlugin, LoadError> {
    let generation = next_generation();
    let open = backend.open(options.services(name, generation))?;
    Ok(LoadedPlugin {
        id: open.id().to_owned(),
        version: open.version().to_owned(),
        digest: None,
        generation,
        manifest: None,
        manifest_digest: String::new(),
        trust: Decision::linked(),
        copy: None,
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
