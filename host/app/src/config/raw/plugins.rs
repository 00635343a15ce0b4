//! The keys of `[engine]` that say which plugins may run, where, and how a worker is limited.

use fusebox_loader::{Isolation, WorkerOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the keyring lies unless the configuration says otherwise.
pub(crate) const KEYRING: &str = ".fusebox/keyring.toml";

/// Where the list of revocations lies unless the configuration says otherwise.
pub(crate) const REVOCATIONS: &str = ".fusebox/revocations.toml";

/// Where unsigned plugins run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawUnsigned {
    /// Nowhere.
    Refuse,
    /// Inside this process, where they can do whatever it can.
    InProcess,
    /// In a worker process.
    Worker,
}

impl RawUnsigned {
    /// The weakest tier; `None` where they do not run.
    pub(crate) fn tier(self) -> Option<Isolation> {
        match self {
            Self::Refuse => None,
            Self::InProcess => Some(Isolation::InProcess),
            Self::Worker => Some(Isolation::Worker),
        }
    }
}

/// A weakest isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawIsolation {
    /// Inside this process.
    InProcess,
    /// In a worker process.
    Worker,
}

impl From<RawIsolation> for Isolation {
    fn from(isolation: RawIsolation) -> Self {
        match isolation {
            RawIsolation::InProcess => Self::InProcess,
            RawIsolation::Worker => Self::Worker,
        }
    }
}

/// `[engine.worker]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawWorker {
    /// Address space of a worker, MiB.
    #[schemars(range(min = 64, max = 16_777_216))]
    pub(crate) memory_mb: u64,
    /// Bytes of one prediction's input that the shared memory holds; larger frames go in pieces.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub(crate) ring_bytes: u64,
    /// How long a caller spins for an answer before it sleeps, microseconds.
    #[schemars(range(max = 1_000_000))]
    pub(crate) spin_us: u64,
    /// How long making a model and other control calls may take, milliseconds. Training has no
    /// limit.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) control_timeout_ms: u64,
    /// Whether a second process waits, ready to take over.
    pub(crate) hot_spare: bool,
    /// Directories and files that a worker may read beyond the system's libraries.
    pub(crate) readable: Vec<String>,
}

impl Default for RawWorker {
    fn default() -> Self {
        let options = WorkerOptions::default();
        Self {
            memory_mb: options.memory_mb,
            ring_bytes: options.ring_bytes as u64,
            spin_us: options.spin_us,
            control_timeout_ms: options.control_timeout_ms,
            hot_spare: options.hot_spare,
            readable: Vec::new(),
        }
    }
}

impl RawWorker {
    /// The options of the loader.
    pub(crate) fn options(&self) -> WorkerOptions {
        WorkerOptions {
            memory_mb: self.memory_mb,
            ring_bytes: usize::try_from(self.ring_bytes).unwrap_or(usize::MAX),
            spin_us: self.spin_us,
            control_timeout_ms: self.control_timeout_ms,
            hot_spare: self.hot_spare,
            readable: self.readable.iter().map(Into::into).collect(),
            ..WorkerOptions::default()
        }
    }
}
