//! What is known of one generation, and an instance of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result as PluginResult};
use fusebox_plugin_api::model::{ModelInfo, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::lock;
use super::rows::{Dressing, Transformed};
use super::state::State;
use crate::clock::Clock;
use crate::guard::{GuardPolicy, GuardedModel, ModelMetrics};
use crate::load::LoadedPlugin;
use crate::manifest::Isolation;

/// Which version of the weights a generation runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsFacts {
    /// Version of the model package.
    pub version: String,
    /// SHA-256 of its artifact in hexadecimal.
    pub sha256: String,
}

/// One generation of a live model: code, configuration and weights, under one number.
#[derive(Debug)]
pub struct Generation {
    /// The number, of this process; every answer names it.
    pub number: u64,
    /// The plugin. Kept, so that another instance can be made without loading.
    pub loaded: LoadedPlugin,
    /// What its instances are made of.
    pub config: Config,
    /// What its instances are made of.
    pub artifact: Arc<[u8]>,
    /// The model package, where it came from one.
    pub weights: Option<WeightsFacts>,
    /// Digest of the feature set that it was trained on, where its model package says so.
    pub feature_set: Option<String>,
    /// What stands between the host and its instances.
    pub dressing: Dressing,
    /// Identifies everything it was made of; a refused one is kept out under this name.
    pub fingerprint: String,
    /// What its manifest promises of one prediction, microseconds.
    pub budget_p99_us: Option<u64>,
    /// What went through it.
    pub metrics: Arc<ModelMetrics>,
    /// What its answers are held to.
    pub guard: GuardPolicy,
    state: AtomicU8,
    took_over: Mutex<Option<StateMode>>,
    notes: OnceLock<BTreeMap<String, Value>>,
}

/// What a [`Generation`] is made from.
#[derive(Debug, Clone)]
pub struct Made {
    /// See [`Generation::number`].
    pub number: u64,
    /// See [`Generation::loaded`].
    pub loaded: LoadedPlugin,
    /// See [`Generation::config`].
    pub config: Config,
    /// See [`Generation::artifact`].
    pub artifact: Arc<[u8]>,
    /// See [`Generation::weights`].
    pub weights: Option<WeightsFacts>,
    /// See [`Generation::feature_set`].
    pub feature_set: Option<String>,
    /// See [`Generation::dressing`].
    pub dressing: Dressing,
    /// See [`Generation::fingerprint`].
    pub fingerprint: String,
    /// See [`Generation::guard`].
    pub guard: GuardPolicy,
}

impl Generation {
    /// A generation in state [`State::Mapped`].
    #[must_use]
    pub fn new(made: Made) -> Self {
        let budget = made.loaded.manifest().map(|manifest| manifest.budget);
        Self {
            number: made.number,
            budget_p99_us: budget.and_then(|budget| budget.predict_p99_us),
            loaded: made.loaded,
            config: made.config,
            artifact: made.artifact,
            weights: made.weights,
            feature_set: made.feature_set,
            dressing: made.dressing,
            fingerprint: made.fingerprint,
            metrics: Arc::default(),
            guard: made.guard,
            state: AtomicU8::new(State::Mapped as u8),
            took_over: Mutex::new(None),
            notes: OnceLock::new(),
        }
    }

    /// Id of the plugin.
    #[must_use]
    pub fn plugin(&self) -> &str {
        self.loaded.id()
    }

    /// Version of the plugin.
    #[must_use]
    pub fn version(&self) -> &str {
        self.loaded.version()
    }

    /// Where its code runs.
    #[must_use]
    pub fn tier(&self) -> Isolation {
        self.loaded.tier()
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        let number = usize::from(self.state.load(Ordering::Relaxed));
        State::ALL.get(number).copied().unwrap_or(State::Destroyed)
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// How it came to its state when it was brought in step last; `None` for a first generation.
    #[must_use]
    pub fn took_over(&self) -> Option<StateMode> {
        *lock(&self.took_over)
    }

    pub(crate) fn set_took_over(&self, mode: StateMode) {
        *lock(&self.took_over) = Some(mode);
    }

    /// What its first instance said of itself; nothing before there was one.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, Value> {
        self.notes.get().cloned().unwrap_or_default()
    }

    /// Another instance of it, without state.
    ///
    /// # Errors
    /// What the plugin says.
    pub fn instance(self: &Arc<Self>, clock: &Arc<dyn Clock>) -> PluginResult<Instance> {
        let mut model = self.loaded.create_guarded(&self.config, &self.artifact)?;
        if let Some(rows) = &self.dressing.rows {
            model = model.wrapped(|bare| Box::new(Transformed::new(bare, Arc::clone(rows))));
        }
        self.notes.get_or_init(|| model.known_info().notes.clone());
        Ok(Instance {
            model: guarded(model, self, clock),
            generation: Arc::clone(self),
        })
    }
}

fn guarded(model: GuardedModel, generation: &Generation, clock: &Arc<dyn Clock>) -> GuardedModel {
    model.with_policy(
        &generation.guard,
        Arc::clone(&generation.metrics),
        Arc::clone(clock),
    )
}

/// An instance of a generation.
#[derive(Debug)]
pub struct Instance {
    /// The model behind its guard.
    pub model: GuardedModel,
    /// What it is.
    pub generation: Arc<Generation>,
}

impl Instance {
    /// Why it cannot stand in for a model of this kind: one sentence for every difference in what
    /// it takes and answers.
    #[must_use]
    pub fn differences(&self, old: &ModelInfo) -> Vec<String> {
        let new = self.model.known_info();
        let mut differences = Vec::new();
        if new.task != old.task {
            differences.push("it serves another task".to_owned());
        }
        if new.window != old.window {
            differences.push(format!(
                "it takes {} steps instead of {}",
                new.window, old.window
            ));
        }
        if let (Some(new), Some(old)) = (new.columns, old.columns)
            && new != old
        {
            differences.push(format!("it takes {new} features instead of {old}"));
        } else if !new.features.is_empty()
            && !old.features.is_empty()
            && new.features != old.features
        {
            differences.push("it names other features, or another order of them".to_owned());
        }
        if new.outputs != old.outputs {
            let (new, old) = (new.outputs.join(", "), old.outputs.join(", "));
            differences.push(format!("it answers {new} instead of {old}"));
        }
        differences
    }
}

/// How a generation came to the state of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateMode {
    /// Neither has a state.
    Stateless,
    /// It took over a snapshot.
    Snapshot,
    /// It was shown the newest rows.
    Replay,
}

/// Whether a snapshot is that of a model without state.
pub(crate) fn is_stateless(snapshot: &Result<Snapshot, PluginError>) -> bool {
    snapshot
        .as_ref()
        .is_ok_and(|snapshot| *snapshot == Snapshot::default())
}
