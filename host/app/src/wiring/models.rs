//! Registered models made live enough to be asked: for export and verification.

use fusebox_loader::live::golden::{Golden, GoldenSet, check};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::model::Model;
use fusebox_services::registry::{Entry, Registry, Role};
use fusebox_services::training::{ModelCard, TrainingPlugin as _};
use serde_json::Value;

use super::plugins::{Choice, RunPlugin, load_chosen};
use super::{EngineSettings, libraries};
use crate::failure::Failure;

/// Plugins that were loaded for models, each once.
#[derive(Default)]
pub(crate) struct ModelPlugins {
    loaded: Vec<(Choice, RunPlugin)>,
}

impl ModelPlugins {
    /// The plugin of a card.
    ///
    /// # Errors
    /// [`Failure`] where it is not installed or cannot be loaded.
    fn of(&mut self, card: &ModelCard, settings: &EngineSettings) -> Result<&RunPlugin, Failure> {
        let choice = Choice {
            id: card.plugin.id.clone(),
            version: Some(card.plugin.version.clone()),
        };
        let at = match self.loaded.iter().position(|(other, _)| *other == choice) {
            Some(at) => at,
            None => {
                let plugin = load_chosen(&choice, settings)?;
                self.loaded.push((choice, plugin));
                self.loaded.len() - 1
            }
        };
        Ok(&self.loaded[at].1)
    }

    /// Makes the model of a version with the plugin that trained it.
    ///
    /// # Errors
    /// [`Failure`] where the plugin or an object cannot be had, or refuses.
    pub(crate) fn create(
        &mut self,
        (registry, entry, card): (&Registry, &Entry, &ModelCard),
        settings: &EngineSettings,
    ) -> Result<Box<dyn Model>, Failure> {
        let artifact = registry
            .read(entry, Role::Model)
            .map_err(anyhow::Error::from)?;
        let config = params(card, settings)?;
        let plugin = self.of(card, settings)?;
        let made = plugin.create_model(&config, &artifact.unwrap_or_default());
        Ok(made.map_err(anyhow::Error::from)?)
    }

    /// Everything that keeps a version from being used on this machine, in sentences.
    pub(crate) fn problems(
        &mut self,
        (registry, entry): (&Registry, &Entry),
        settings: &EngineSettings,
    ) -> Vec<String> {
        let card = match registry.card(entry) {
            Ok(card) => card,
            Err(error) => return vec![error.to_string()],
        };
        let mut told = Vec::new();
        match self.of(&card, settings) {
            Ok(plugin) => {
                let found = plugin.identity().sha256;
                if found != card.plugin.sha256 {
                    told.push(format!(
                        "{} {} is installed with another library (sha256 {found}) than the one \
                         that trained it ({})",
                        card.plugin.id, card.plugin.version, card.plugin.sha256
                    ));
                }
            }
            Err(failure) => return vec![failure.message()],
        }
        let mut model = match self.create((registry, entry, &card), settings) {
            Ok(model) => model,
            Err(failure) => {
                told.push(format!("it cannot be loaded: {}", failure.message()));
                return told;
            }
        };
        let golden = match registry.read(entry, Role::Golden) {
            Ok(golden) => golden.map(|bytes| Golden::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) => Some(Err(error.to_string())),
        };
        match golden {
            None => told.push("it has no known answers to be checked by".to_owned()),
            Some(Err(message)) => told.push(message),
            Some(Ok(golden)) => {
                let set = GoldenSet {
                    golden,
                    artifact: None,
                    tolerance_ulp: 0,
                };
                told.extend(check(model.as_mut(), &set).err().map(|one| one.message));
            }
        }
        told
    }
}

/// What a model is created with: its hyper-parameters and this machine's libraries.
///
/// # Errors
/// [`Failure`] where the card's parameters are no configuration.
fn params(card: &ModelCard, settings: &EngineSettings) -> Result<Config, Failure> {
    let config = Config::from_value(Value::Object(card.params.clone()));
    let mut config = config.map_err(anyhow::Error::from)?;
    for library in libraries::LIBRARIES {
        if !library.is_used(&card.plugin.id, &card.params) {
            continue;
        }
        // The plugin has the last word: it may find the library by other means.
        if let Some(path) = libraries::path_for(&library, settings) {
            config.set(library.setting, path.display().to_string());
        }
    }
    Ok(config)
}
