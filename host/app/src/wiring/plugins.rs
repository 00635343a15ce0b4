//! Plugins: which there are, and the one that a run takes.
//!
//! Listing a plugin reads its package and never runs it.

use fusebox_loader::load::check_library;
use fusebox_loader::trust::Decision;
use fusebox_loader::{
    Discovered, Isolation, LoadError, LoadOptions, LoadedPlugin, TrustPolicy, discover, find, load,
    manifest,
};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{Learner, LearnerInfo, Model};
use fusebox_services::training::{PluginId, TrainingPlugin};
use serde::Serialize;

use super::EngineSettings;
use super::installed::{Installed, Standing};
use super::trust::now_unix_s;
use crate::failure::Failure;

/// Whether a plugin can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It can.
    Ok,
    /// It is sound, and the operator's policy keeps it from running.
    Refused,
    /// It is not sound.
    Broken,
}

impl State {
    /// The word for a person.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

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
    /// Whether it can run.
    pub(crate) state: State,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Where its code would run.
    pub(crate) tier: Option<Isolation>,
    /// Who vouches for it, and why it runs there.
    pub(crate) trust: Option<Decision>,
    /// SHA-256 of its library in hexadecimal, as its manifest states it.
    pub(crate) digest: Option<String>,
    /// What it is, in its own words.
    pub(crate) description: Option<String>,
    /// The package directory.
    pub(crate) path: String,
    /// What the state directory says of it: live, waiting, pinned, kept out.
    pub(crate) standing: Vec<Standing>,
}

/// Every plugin in the plugin directories, each checked as far as that goes without running it.
pub(crate) fn plugins(settings: &EngineSettings, policy: &TrustPolicy) -> Vec<PluginState> {
    let packages = discover(&settings.plugin_dirs);
    packages.iter().map(|one| state(one, policy)).collect()
}

/// The same, with what the state directory says of each.
///
/// # Errors
/// [`Failure`] where the state directory holds files that cannot be read.
pub(crate) fn plugins_now(
    settings: &EngineSettings,
    policy: &TrustPolicy,
) -> Result<Vec<PluginState>, Failure> {
    let installed = Installed::read(settings)?;
    let mut plugins = plugins(settings, policy);
    for plugin in &mut plugins {
        plugin.standing = installed.standings((&plugin.id, &plugin.version), &plugin.path);
    }
    Ok(plugins)
}

fn state(package: &Discovered, policy: &TrustPolicy) -> PluginState {
    let manifest = package.state.as_ref().ok();
    let (state, trust, reason) = match judge(package, policy) {
        Ok(decision) => (State::Ok, Some(decision), None),
        Err(LoadError::Trust(error)) => {
            let reasons = error.refusals.iter().map(ToString::to_string);
            let reason = reasons.collect::<Vec<String>>().join("; ");
            (State::Refused, None, Some(reason))
        }
        Err(LoadError::Broken { source, .. }) => (State::Broken, None, Some(source.to_string())),
        Err(error) => (State::Broken, None, Some(error.to_string())),
    };
    let artifact = manifest.and_then(|one| one.artifact.get(&manifest::host_target()));
    PluginState {
        id: package.id.clone(),
        version: package.version.clone(),
        kinds: manifest.map(|one| one.kind.clone()).unwrap_or_default(),
        abi: manifest.map(|one| one.abi.clone()),
        state,
        reason,
        tier: trust.as_ref().map(|decision| decision.tier),
        trust,
        digest: artifact.map(|one| one.sha256.clone()),
        description: manifest.and_then(|one| one.description.clone()),
        path: package.path.display().to_string(),
        standing: Vec::new(),
    }
}

/// Whether a package is sound and may run. A package that is not sound is told as that, whoever
/// signed it.
fn judge(package: &Discovered, policy: &TrustPolicy) -> Result<Decision, LoadError> {
    let limit = policy.max_package_bytes();
    package.manifest()?;
    let decision = policy.judge(package, now_unix_s());
    // What is too large is not read.
    if package.bytes() <= limit {
        check_library(package, limit)?;
    }
    decision
}

/// The plugin that a run asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    let loaded = load(package, &load_options(settings)?);
    let loaded = loaded.map_err(anyhow::Error::from)?;
    Ok(RunPlugin {
        learner: loaded.learner(),
        loaded,
    })
}

/// Loads the plugin of an id, or of the last word of one, and asks what it learns; `None` for one
/// without a learner.
///
/// # Errors
/// [`Failure`] with exit code 2 where there is no such plugin or several, 1 where it cannot be
/// loaded or does not answer.
pub(crate) fn describe(
    (name, version): (&str, Option<&str>),
    settings: &EngineSettings,
) -> Result<(PluginId, Option<LearnerInfo>), Failure> {
    let packages = discover(&settings.plugin_dirs);
    let is_meant = |id: &&str| *id == name || super::live::short_name(id) == name;
    let mut ids: Vec<&str> = packages.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let meant: Vec<&str> = ids.iter().copied().filter(is_meant).collect();
    let id = match meant[..] {
        [] => name,
        [only] => only,
        _ if meant.contains(&name) => name,
        _ => {
            let ids = meant.join(", ");
            let words = format!("several plugins are called `{name}`: {ids}; name one in full");
            return Err(Failure::Usage(words));
        }
    };
    let package = find(&packages, id, version);
    let package = package.map_err(|error| Failure::Refused(error.into()))?;
    let loaded = load(package, &load_options(settings)?).map_err(anyhow::Error::from)?;
    let learner = loaded.learner();
    let plugin = RunPlugin { learner, loaded };
    let learner = plugin.learner().map(Learner::describe).transpose();
    let learner = learner.map_err(anyhow::Error::from)?;
    Ok((plugin.identity(), learner))
}

/// How plugins are loaded on this machine.
pub(crate) fn load_options(settings: &EngineSettings) -> Result<LoadOptions, Failure> {
    let mut options = LoadOptions::new(&settings.cache_dir).with_trust(settings.trust.policy()?);
    options.worker = settings.worker.clone();
    // A worker may read the libraries that a plugin asks for, and little else.
    options
        .worker
        .readable
        .extend(super::libraries::directories(settings));
    options.host_settings = super::libraries::host_settings(settings);
    Ok(options)
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

impl RunPlugin {
    /// What its learner says of itself; `None` where it has none or does not say.
    pub(super) fn learner_info(&self) -> Option<LearnerInfo> {
        self.learner.as_ref()?.describe().ok()
    }
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
