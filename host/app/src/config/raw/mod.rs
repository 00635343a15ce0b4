//! The configuration as it is written: one struct per section, one field per key, and the one home
//! of every default (where the engine has one, it is taken from there). The descriptions become the
//! tooltips of the JSON schema.
//!
//! A key without a safe default is an `Option` or an empty list here, and `wiring` says so when it
//! is missing. Nothing here knows what the values mean together.

mod data;
mod exchange;
mod learning;
mod live;
mod plugins;
mod trading;

use std::collections::BTreeMap;

use fusebox_loader::trust::DEFAULT_MAX_PACKAGE_MB;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use data::{RawData, RawSource};
pub(crate) use exchange::{
    RawExecution, RawInitialCash, RawMarginMode, RawPortfolio, RawRate, RawSlippage, RawSymbolRules,
};
pub(crate) use learning::{
    RawAmbiguity, RawClassWeights, RawEvaluation, RawEvents, RawFeatures, RawFinalModel,
    RawLabelKind, RawLabels, RawModel, RawPrimary, RawReturnUnit, RawScaler, RawSplit,
    RawSplitKind, RawTrain, RawWeighting,
};
pub(crate) use live::RawLive;
pub(crate) use plugins::{KEYRING, REVOCATIONS, RawIsolation, RawUnsigned, RawWorker};
pub(crate) use trading::{
    RawEntry, RawEntryTime, RawFailSafe, RawMarketTime, RawRisk, RawSizing, RawStrategy,
};

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    /// The run itself: name, seed, threads.
    pub(crate) run: RawRun,
    /// Which market, and where its candles come from.
    pub(crate) data: RawData,
    /// What the model sees.
    pub(crate) features: RawFeatures,
    /// What the model learns to tell.
    pub(crate) labels: RawLabels,
    /// How history is cut into folds of training, validation and test.
    pub(crate) split: RawSplit,
    /// Which plugin learns, and its hyper-parameters.
    pub(crate) model: RawModel,
    /// What `fusebox train` keeps and looks at.
    pub(crate) train: RawTrain,
    /// How predictions become a wanted side of the market.
    pub(crate) strategy: RawStrategy,
    /// How much may be held. Without limits, every order is refused.
    pub(crate) risk: RawRisk,
    /// What trading costs in the simulation.
    pub(crate) execution: RawExecution,
    /// What the account starts with.
    pub(crate) portfolio: RawPortfolio,
    /// How the result is judged.
    pub(crate) evaluation: RawEvaluation,
    /// The machine: where plugins and native libraries are. Usually set in the engine file.
    pub(crate) engine: RawEngine,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawRun {
    /// Name of the run, shown in the report.
    pub(crate) name: String,
    /// Seed of everything random: models, bootstrap, the simulated market. The same seed gives the
    /// same result.
    pub(crate) seed: u64,
    /// Threads that the run may use; 0 takes one for each core. The result does not depend on it.
    #[schemars(range(max = 1024))]
    pub(crate) threads: u32,
}

impl Default for RawRun {
    fn default() -> Self {
        Self {
            name: "run".to_owned(),
            seed: 42,
            threads: 0,
        }
    }
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawEngine {
    /// Directories with plugins, as `<directory>/<id>/<version>/plugin.toml`; relative to the
    /// working directory.
    pub(crate) plugin_dirs: Vec<String>,
    /// Where the private copies of loaded plugins lie; relative to the working directory.
    pub(crate) cache_dir: String,
    /// Where is kept what must survive a restart, such as the highest version of each plugin that
    /// was in use; relative to the working directory.
    pub(crate) state_dir: String,
    /// The registry of trained models; relative to the working directory.
    pub(crate) registry_dir: String,
    /// The keyring: whose signatures of plugins count; relative to the working directory.
    pub(crate) keyring: String,
    /// The list of plugins, digests and keys that are revoked; relative to the working directory.
    pub(crate) revocations: String,
    /// Where plugins run that no key of the keyring signed.
    pub(crate) unsigned: RawUnsigned,
    /// The weakest isolation of every plugin. A manifest or a vendor's key can only raise it.
    pub(crate) isolation: RawIsolation,
    /// The same for single plugins, by id, such as `"com.example.ema" = "worker"`.
    pub(crate) isolation_of: BTreeMap<String, RawIsolation>,
    /// Largest package of a plugin, all its files together, MiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(crate) max_package_mb: u64,
    /// How worker processes are limited.
    pub(crate) worker: RawWorker,
    /// How models stay live while they are replaced.
    pub(crate) live: RawLive,
    /// Native libraries by name, such as `lightgbm = "/path/to/lib_lightgbm.so"`. Those not named
    /// here are looked for in the environment, in `.fusebox/native` and on the system.
    pub(crate) libraries: BTreeMap<String, String>,
    /// How much is logged to the standard error; `--quiet` and `-v` override it.
    pub(crate) log: RawLogLevel,
}

impl Default for RawEngine {
    fn default() -> Self {
        Self {
            plugin_dirs: vec![".fusebox/plugins".to_owned()],
            cache_dir: ".fusebox/cache".to_owned(),
            state_dir: ".fusebox/state".to_owned(),
            registry_dir: ".fusebox/registry".to_owned(),
            keyring: KEYRING.to_owned(),
            revocations: REVOCATIONS.to_owned(),
            unsigned: RawUnsigned::Refuse,
            isolation: RawIsolation::InProcess,
            isolation_of: BTreeMap::new(),
            max_package_mb: DEFAULT_MAX_PACKAGE_MB,
            worker: RawWorker::default(),
            live: RawLive::default(),
            libraries: BTreeMap::new(),
            log: RawLogLevel::Warn,
        }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawLogLevel {
    /// What failed.
    Error,
    /// What failed or is doubtful.
    Warn,
    /// The steps of a run too.
    Info,
    /// Details for plugin authors too.
    Debug,
    /// Everything.
    Trace,
}
