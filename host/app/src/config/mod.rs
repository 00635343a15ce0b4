//! Configuration: raw layers in, one checked set of values with their origins out.
//!
//! Defaults < engine file < pipeline file < `FUSEBOX_*` environment < command line. Every layer is
//! checked against the same schema, so that a wrong key is reported with the layer that holds it.
//! This module knows keys, types and bounds; what the values mean together is checked in `wiring`,
//! which turns them into the types of the services.

mod check;
mod layer;
mod merge;
mod print;
mod problem;
pub(crate) mod raw;
mod schema;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) use layer::{KeyPath, Layer, Place};
pub(crate) use print::{to_json, to_toml};
pub(crate) use problem::{ConfigError, Problem};
pub(crate) use raw::RawConfig;
pub(crate) use schema::Schema;

/// The engine file that is read where it exists and no other is named.
pub(crate) const ENGINE_FILE: &str = "configs/engine.toml";

/// Where the layers come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The engine file; `None` takes [`ENGINE_FILE`] where it exists.
    pub(crate) engine: Option<PathBuf>,
    /// The pipeline file.
    pub(crate) pipeline: Option<PathBuf>,
    /// The environment.
    pub(crate) variables: Vec<(String, String)>,
    /// `--set` assignments in their order.
    pub(crate) assignments: Vec<String>,
    /// Values of dedicated flags, which are strongest: key, value, flag.
    pub(crate) flags: Vec<(&'static str, Value, &'static str)>,
}

/// The merged configuration.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The values.
    pub(crate) raw: RawConfig,
    /// The layer that won each value, as the merge saw it.
    origins: BTreeMap<KeyPath, String>,
    /// The exact place of every value that some layer set.
    places: BTreeMap<KeyPath, Place>,
    /// Keys that some layer sets wrongly; what hangs on them is not worth a second message.
    refused: BTreeSet<KeyPath>,
}

impl Loaded {
    /// The short name of where `path` was set: a file, a variable, a flag, or `default`.
    #[must_use]
    pub(crate) fn origin(&self, path: &[String]) -> Option<&str> {
        self.origins.get(path).map(String::as_str)
    }

    /// The problem that the value of the dotted `key` is not allowed.
    #[must_use]
    pub(crate) fn problem(&self, key: &str, message: impl std::fmt::Display) -> Problem {
        let place = self.places.get(&layer::split(key));
        Problem::invalid(key.to_owned(), place, message)
    }

    /// Whether a layer set `key` wrongly, so that its value here is a weaker layer's.
    #[must_use]
    pub(crate) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(&layer::split(key))
    }
}

/// Reads, checks and merges all layers. Problems of keys and types come beside the rest of the
/// configuration, so that the caller can add what it finds and report everything at once.
///
/// # Errors
/// [`ConfigError`] where a layer cannot be read at all.
pub(crate) fn load(sources: &Sources) -> Result<(Loaded, Vec<Problem>), ConfigError> {
    let schema = Schema::pipeline();
    let mut layers = Vec::new();
    let default_engine = Path::new(ENGINE_FILE);
    match &sources.engine {
        Some(path) => layers.push(Layer::from_file(path)?),
        None if default_engine.is_file() => layers.push(Layer::from_file(default_engine)?),
        None => {}
    }
    if let Some(path) = &sources.pipeline {
        layers.push(Layer::from_file(path)?);
    }
    layers.push(Layer::from_environment(sources.variables.clone(), &schema)?);
    let mut command_line = Layer::default();
    for assignment in &sources.assignments {
        command_line.set(assignment, &schema)?;
    }
    for (key, value, flag) in &sources.flags {
        command_line.push(key, value.clone(), Place::named(flag));
    }
    layers.push(command_line);
    load_layers(layers)
}

/// [`load`] for layers that were read already, weakest first; the defaults lie below them.
fn load_layers(mut layers: Vec<Layer>) -> Result<(Loaded, Vec<Problem>), ConfigError> {
    let schema = Schema::pipeline();
    let mut problems = Vec::new();
    let mut refused = BTreeSet::new();
    for layer in &mut layers {
        for (path, problem) in check::check(layer, &schema) {
            refused.insert(path);
            problems.push(problem);
        }
    }
    let mut places = BTreeMap::new();
    for entry in layers.iter().flat_map(|layer| &layer.entries) {
        places.insert(entry.path.clone(), entry.place.clone());
    }
    let mut ranked = whole::Places::new();
    for (rank, layer) in (1..).zip(&layers) {
        for entry in &layer.entries {
            ranked.insert(entry.path.clone(), (rank, entry.place.clone()));
        }
    }
    layers.insert(0, defaults()?);
    let mut merged = merge::merge(layers)?;
    let rules = (&schema, &refused);
    for (path, problem) in whole::complete(&mut merged.values, rules, &ranked) {
        refused.insert(path);
        problems.push(problem);
    }
    let raw: RawConfig = serde_json::from_value(merged.values)
        .map_err(|error| ConfigError::Internal(error.to_string()))?;
    let loaded = Loaded {
        raw,
        origins: merged.origins,
        places,
        refused,
    };
    Ok((loaded, problems))
}

/// The defaults as the weakest layer.
fn defaults() -> Result<Layer, ConfigError> {
    let values = serde_json::to_value(RawConfig::default())
        .map_err(|error| ConfigError::Internal(error.to_string()))?;
    let mut layer = Layer::default();
    print::flatten(&values, &mut Vec::new(), &mut |path, value| {
        layer.entries.push(layer::Entry {
            path: path.clone(),
            value: value.clone(),
            place: Place::named("default"),
        });
    });
    Ok(layer)
}
