//! What an operator sees: every live model, its generations and their counts, and what leaks.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::control::KeptOut;
use super::facts::Generation;
use super::leaks::LeakFigures;
use super::state::State;
use crate::guard::MetricsSnapshot;
use crate::manifest::Isolation;

/// Everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemStatus {
    /// The live models, by name.
    pub models: Vec<ModelStatus>,
    /// What stays mapped.
    pub leaks: LeakFigures,
    /// Reloads whose plugin never came back.
    pub abandoned_reloads: usize,
}

/// One live model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Rows seen, over all generations.
    pub rows: u64,
    /// Who answers.
    pub live: GenerationStatus,
    /// Who waits to take over again, during a probation.
    pub parked: Option<GenerationStatus>,
    /// Who is warm, and can be gone back to without loading.
    pub standbys: Vec<GenerationStatus>,
    /// The version that is being loaded.
    pub loading: Option<String>,
    /// What was refused last.
    pub last_rejection: Option<KeptOut>,
    /// What is kept out.
    pub kept_out: Vec<KeptOut>,
    /// Generations that answered before.
    pub earlier: Vec<GenerationStatus>,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenerationStatus {
    /// Its number; every answer names it.
    pub generation: u64,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Version of the model package.
    pub weights: Option<String>,
    /// SHA-256 of the library.
    pub digest: Option<String>,
    /// Where its code runs.
    pub tier: Isolation,
    /// Where it stands.
    pub state: State,
    /// What the model says of itself: where it runs, what it was made by, what was passed over.
    /// Names that end in `_total` are counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, Value>,
    /// What went through it.
    pub metrics: MetricsSnapshot,
}

impl From<&Generation> for GenerationStatus {
    fn from(generation: &Generation) -> Self {
        Self {
            generation: generation.number,
            plugin: generation.plugin().to_owned(),
            version: generation.version().to_owned(),
            weights: generation
                .weights
                .as_ref()
                .map(|weights| weights.version.clone()),
            digest: generation.loaded.digest().map(str::to_owned),
            tier: generation.tier(),
            state: generation.state(),
            notes: generation.notes(),
            metrics: generation.metrics.snapshot(),
        }
    }
}
