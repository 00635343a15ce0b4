//! Plugins: which there are, and the one that a run takes.
//!
//! Listing a plugin reads its package and never runs it.

use std::path::Path;

use fusebox_loader::{
    Discovered, LoadError, LoadOptions, LoadedPlugin, Manifest, TrustPolicy, discover, elf, find,
    load, manifest,
};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{Learner, Model};
use fusebox_services::training::{PluginId, TrainingPlugin};
use serde::Serialize;

use super::EngineSettings;
use crate::failure::Failure;

/// A plugin as `fusebox plugin list` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct PluginState {
    /// Id; for a broken package that of its directory.
    pub(crate) id: String,
    /// Version, likewise.
    pub(crate) version: String,
    /// What it offers, such as `fb.learner/1`.
    pub(crate) kinds: Vec<String>,
    /// Version of the contract that it speaks.
    pub(crate) abi: Option<String>,
    /// `ok` or `broken`.
    pub(crate) state: &'static str,
    /// Why it is broken.
    pub(crate) reason: Option<String>,
    /// SHA-256 of its library in hexadecimal, as its manifest states it.
    pub(crate) digest: Option<String>,
    /// What it is, in its own words.
    pub(crate) description: Option<String>,
    /// The package directory.
    pub(crate) path: String,
}

/// Every plugin in the plugin directories, each checked as far as that goes without running it.
pub(crate) fn plugins(settings: &EngineSettings) -> Vec<PluginState> {
    let packages = discover(&settings.plugin_dirs);
    packages.iter().map(state).collect()
}

fn state(package: &Discovered) -> PluginState {
    let manifest = package.state.as_ref().ok();
    let reason = match &package.state {
        Ok(manifest) => fault(package, manifest),
        Err(error) => Some(error.to_string()),
    };
    let artifact = manifest.and_then(|one| one.artifact.get(&manifest::host_target()));
    PluginState {
        id: package.id.clone(),
        version: package.version.clone(),
        kinds: manifest.map(|one| one.kind.clone()).unwrap_or_default(),
        abi: manifest.map(|one| one.abi.clone()),
        state: if reason.is_none() { "ok" } else { "broken" },
        reason,
        digest: artifact.map(|one| one.sha256.clone()),
        description: manifest.and_then(|one| one.description.clone()),
        path: package.path.display().to_string(),
    }
}

/// What is wrong with the library of a package whose manifest is fine.
fn fault(package: &Discovered, manifest: &Manifest) -> Option<String> {
    let target = manifest::host_target();
    let Some(artifact) = manifest.artifact.get(&target) else {
        return Some(format!("it has no library for {target}"));
    };
    check_library(&package.path.join(&artifact.path), &artifact.sha256).err()
}

fn check_library(path: &Path, stated: &str) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = super::sha256(&bytes);
    if found != stated {
        return Err(format!(
            "its library has sha256 {found}, its manifest states {stated}; install it again"
        ));
    }
    elf::inspect(&bytes, path)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// The plugin that a run asks for.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Id.
    pub(super) id: String,
    /// Version; `None` for the latest.
    pub(super) version: Option<String>,
}

/// Loads the chosen plugin into this process.
///
/// # Errors
/// [`Failure`] with exit code 2 where it is not installed, 1 where it cannot be loaded.
pub(super) fn load_chosen(
    choice: &Choice,
    settings: &EngineSettings,
) -> Result<RunPlugin, Failure> {
    let packages = discover(&settings.plugin_dirs);
    let package = find(&packages, &choice.id, choice.version.as_deref());
    let package = package.map_err(|error| missing(error, settings))?;
    let loaded = load(
        package,
        &LoadOptions::new(&settings.cache_dir).with_trust(TrustPolicy::trusting()),
    );
    let loaded = loaded.map_err(anyhow::Error::from)?;
    Ok(RunPlugin {
        learner: loaded.learner(),
        loaded,
    })
}

fn missing(error: LoadError, settings: &EngineSettings) -> Failure {
    let dirs: Vec<String> = settings
        .plugin_dirs
        .iter()
        .map(|dir| dir.display().to_string())
        .collect();
    let place = format!(
        "`model.plugin` cannot be had; looked in {}; `make build` installs the plugins of this \
         project, --plugin-dir names other directories",
        dirs.join(", ")
    );
    Failure::Refused(anyhow::Error::from(error).context(place))
}

/// A loaded plugin as training wants it.
pub(super) struct RunPlugin {
    loaded: LoadedPlugin,
    learner: Option<Box<dyn Learner>>,
}

impl TrainingPlugin for RunPlugin {
    fn identity(&self) -> PluginId {
        PluginId {
            id: self.loaded.id().to_owned(),
            version: self.loaded.version().to_owned(),
            sha256: self.loaded.digest().unwrap_or_default().to_owned(),
            generation: self.loaded.generation(),
        }
    }

    fn learner(&self) -> Option<&dyn Learner> {
        self.learner.as_deref()
    }

    fn create_model(
        &self,
        config: &Config,
        artifact: &[u8],
    ) -> Result<Box<dyn Model>, PluginError> {
        self.loaded.create_model(config, artifact)
    }
}
