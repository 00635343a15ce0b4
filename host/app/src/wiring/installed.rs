//! What lies in the plugin and model directories, and what the state directory says of it: live,
//! waiting, pinned, kept out. Nothing of a plugin is run, and nothing is written.

use std::collections::BTreeMap;

use anyhow::Context as _;
use fusebox_loader::live::catalog::Catalog;
use fusebox_loader::live::choose::code_of;
use fusebox_loader::live::control::{
    LoadedNow, Memories, Role, is_running, read_desired, read_memories,
};
use fusebox_plugin_api::config::nearest;
use serde::Serialize;

use super::EngineSettings;
use super::live::short_name;
use crate::failure::Failure;

/// One fact of a version in the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// It answers.
    Live {
        /// The live model.
        model: String,
        /// Its number there.
        generation: u64,
        /// Version of the model package.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<String>,
    },
    /// It waits, warm, to take over again.
    Standby {
        /// The live model.
        model: String,
        /// Its number there.
        generation: u64,
    },
    /// An operator pinned it.
    Pinned {
        /// The model or plugin that was pinned.
        target: String,
    },
    /// It is not loaded again.
    KeptOut {
        /// The model that it is kept out of.
        model: String,
        /// The code of the reason.
        reason: String,
        /// Why.
        message: String,
    },
}

impl Standing {
    /// For a cell of a table.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Live {
                model, generation, ..
            } => format!("live: {model}, generation {generation}"),
            Self::Standby { model, generation } => {
                format!("standby: {model}, generation {generation}")
            }
            Self::Pinned { target } => format!("pinned: {target}"),
            Self::KeptOut { model, reason, .. } => format!("kept out: {model}, {reason}"),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Installed {
    catalog: Catalog,
    memories: Memories,
    pins: BTreeMap<String, String>,
    is_running: bool,
}

impl Installed {
    /// Looks.
    ///
    /// # Errors
    /// [`Failure`] where the state directory holds files that cannot be read.
    pub(crate) fn read(settings: &EngineSettings) -> Result<Self, Failure> {
        let dir = &settings.state_dir;
        let place = || format!("cannot read the state of live models in {}", dir.display());
        Ok(Self {
            catalog: Catalog::read(&settings.plugin_dirs, &settings.model_dirs),
            memories: read_memories(dir).with_context(place)?,
            pins: read_desired(dir).with_context(place)?.pins,
            is_running: is_running(dir),
        })
    }

    /// Every model that is or was live, with what is loaded of it.
    fn loaded(&self) -> impl Iterator<Item = (&str, &LoadedNow)> {
        let models = self.memories.iter();
        models.flat_map(|(name, memory)| memory.loaded.iter().map(move |one| (&**name, one)))
    }

    /// Whether a live model has this name, or runs a plugin of this id.
    pub(crate) fn is_live(&self, target: &str) -> bool {
        self.loaded()
            .any(|(name, one)| name == target || one.plugin == target)
    }

    /// What an operator may name: models that are or were live, model packages, installed plugins,
    /// and the names that those have when they are served.
    pub(crate) fn names(&self) -> Vec<&str> {
        let models = self.memories.keys().map(String::as_str);
        let packages = self.catalog.models.iter().map(|one| &*one.found.name);
        let plugins = self.catalog.plugins.iter().map(|one| one.name.as_str());
        let loaded = self.loaded().map(|(_, one)| one.plugin.as_str());
        let served = plugins.clone().map(short_name);
        let all = models.chain(packages).chain(plugins).chain(loaded);
        let mut names: Vec<&str> = all.chain(served).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Refuses a name that nothing has, with the nearest one.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check_name(&self, target: &str) -> Result<(), String> {
        let names = self.names();
        if names.contains(&target) {
            return Ok(());
        }
        let hint = match nearest(target, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "nothing is installed, and nothing was live".to_owned(),
            None => "`fusebox plugin list` shows what is installed".to_owned(),
        };
        Err(format!("no plugin or model is called `{target}`; {hint}"))
    }

    /// The versions that a plugin or a model could run: what is installed, and what is loaded.
    pub(crate) fn versions_of(&self, target: &str) -> Vec<&str> {
        let packages = self.catalog.models.iter().map(|one| &one.found);
        let of_packages = packages.filter(|one| one.name == target);
        let mut versions: Vec<&str> = of_packages.map(|one| one.version.as_str()).collect();
        let is_model = self.memories.contains_key(target);
        for (_, one) in self.loaded().filter(|(name, _)| *name == target) {
            versions.push(one.weights.as_deref().unwrap_or(&one.version));
        }
        // The name of a model package counts for its weights, any other for the code.
        if versions.is_empty() || !is_model {
            let code = self.loaded().filter(|(_, one)| one.plugin == target);
            versions.extend(code.map(|(_, one)| one.version.as_str()));
        }
        let has_packages = self
            .catalog
            .models
            .iter()
            .any(|one| one.found.name == target);
        if !has_packages {
            let is_meant = |id: &str| id == target || short_name(id) == target;
            let plugins = self
                .catalog
                .plugins
                .iter()
                .filter(|one| is_meant(&one.name));
            versions.extend(plugins.map(|one| one.version.as_str()));
        }
        versions.sort_by_key(|version| fusebox_loader::manifest::version_numbers(version));
        versions.dedup();
        versions
    }

    /// Whether somebody pinned this name.
    pub(crate) fn is_pinned(&self, target: &str) -> bool {
        self.pins.contains_key(target)
    }

    /// What the state directory says of the package in this directory.
    pub(crate) fn standings(&self, (id, version): (&str, &str), path: &str) -> Vec<Standing> {
        let mut standings = Vec::new();
        for (model, one) in self.loaded() {
            if (one.plugin.as_str(), one.version.as_str()) == (id, version) {
                let (model, generation) = (model.to_owned(), one.generation);
                let weights = one.weights.clone();
                standings.push(match one.role {
                    Role::Live => Standing::Live {
                        model,
                        generation,
                        weights,
                    },
                    Role::Standby => Standing::Standby { model, generation },
                });
            }
        }
        let runs = |target: &str| {
            let mut loaded = self.loaded();
            loaded.any(|(name, one)| name == target && one.plugin == id && one.weights.is_none())
        };
        let has_packages = |target: &str| {
            let mut models = self.catalog.models.iter();
            models.any(|one| one.found.name == target)
        };
        for (target, pinned) in &self.pins {
            let is_meant = target == id
                || runs(target)
                || !self.is_live(target) && short_name(id) == target && !has_packages(target);
            if is_meant && pinned == version {
                standings.push(Standing::Pinned {
                    target: target.clone(),
                });
            }
        }
        let mut plugins = self.catalog.plugins.iter();
        let own = plugins.find(|one| one.path.display().to_string() == path);
        if let Some(own) = own {
            standings.extend(self.kept_out(&own.fingerprint));
        }
        standings
    }

    fn kept_out(&self, fingerprint: &str) -> Vec<Standing> {
        let mut standings = Vec::new();
        for (model, memory) in &self.memories {
            for one in &memory.kept_out {
                // The next start tries again what was refused for reasons of the moment.
                let counts = self.is_running || one.reason.is_lasting();
                if counts && code_of(&one.fingerprint) == fingerprint {
                    standings.push(Standing::KeptOut {
                        model: model.clone(),
                        reason: one.reason.to_string(),
                        message: one.message.clone(),
                    });
                }
            }
        }
        standings
    }
}
