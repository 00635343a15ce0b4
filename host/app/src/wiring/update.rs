//! Starts the update of a registered model: loads it with the plugin that trained it, hands
//! everything over, and puts what comes out into the registry.

use std::sync::atomic::AtomicBool;

use fusebox_services::progress::Progress;
use fusebox_services::registry::{Entry, NewModel, Registry, RegistryError, Role};
use fusebox_services::training::{
    self, Parent, TrainingError, UpdateEnvironment, UpdateOptions, Updated,
};

use super::plugins::{Choice, load_chosen};
use super::{CheckedRun, add_machine, failure_without, libraries};
use crate::failure::Failure;

/// Updates the model of `entry` with the rows of `run`; writes nothing.
///
/// # Errors
/// [`Failure`] with exit code 2 where other settings or newer data are needed, 1 for everything
/// else, an interrupt included.
pub(crate) fn update(
    mut run: CheckedRun,
    (registry, entry): (&Registry, &Entry),
    options: &UpdateOptions,
    (progress, interrupted): (&dyn Progress, &AtomicBool),
) -> Result<Updated, Failure> {
    let card = registry.card(entry).map_err(unreadable)?;
    let read = |role| -> Result<Vec<u8>, Failure> {
        let bytes = registry.read(entry, role).map_err(unreadable)?;
        Ok(bytes.unwrap_or_default())
    };
    let parent = Parent {
        title: entry.title(),
        digest: entry.digest.clone(),
        artifact: read(Role::Model)?,
        scaler: read(Role::Scaler)?,
        readout: read(Role::Readout)?,
        card,
    };
    // The library of the model's own booster, whatever the pipeline names.
    run.spec.model.params.clone_from(&parent.card.params);
    let plugin = Choice {
        id: run.plugin.id.clone(),
        version: run.plugin.version.clone(),
    };
    let missing = libraries::missing(&plugin.id, &run.spec.model.params, &run.settings);
    add_machine(&mut run.spec, &plugin.id, &run.settings);
    let loaded = load_chosen(&plugin, &run.settings)?;
    let environment = UpdateEnvironment {
        source: run.source.as_ref(),
        plugin: &loaded,
        progress,
        interrupted,
    };
    training::update(&run.spec, &parent, options, &environment).map_err(|error| match error {
        TrainingError::Interrupted => {
            Failure::Failed(anyhow::anyhow!("interrupted; nothing was changed"))
        }
        error => failure_without(error, missing),
    })
}

/// Puts an updated model into the registry as the next version of its name.
///
/// # Errors
/// [`RegistryError`]; no version is added then.
pub(crate) fn register_update(
    (registry, parent): (&Registry, &Entry),
    updated: &Updated,
    created_at_unix_s: u64,
) -> Result<(Entry, bool), RegistryError> {
    let card = serde_json::to_vec_pretty(&updated.card).unwrap_or_default();
    let mut files = Vec::new();
    for (role, _) in Role::ALL {
        let bytes = match role {
            Role::Model => Some(updated.artifact.clone()),
            Role::Features => Some(updated.features.clone()),
            // The rows go through the same scaler, and the answers through the same readout.
            Role::Scaler | Role::Readout => registry.read(parent, role)?,
            Role::Golden => Some(updated.golden.clone()),
            Role::Card => Some(card.clone()),
            Role::CardText => Some(updated.card.to_markdown().into_bytes()),
        };
        files.extend(bytes.map(|bytes| (role, bytes)));
    }
    registry.add(&NewModel {
        name: parent.name.clone(),
        created_at_unix_s,
        from: format!("update of {}", parent.title()),
        files,
    })
}

fn unreadable(error: RegistryError) -> Failure {
    Failure::Failed(error.into())
}
