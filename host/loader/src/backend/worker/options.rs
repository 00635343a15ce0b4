//! What an operator decides about workers.

use std::path::PathBuf;

/// How workers are started and limited; the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// The program that becomes the worker; `None` is this program itself.
    pub program: Option<PathBuf>,
    /// Its arguments before those of the protocol.
    pub arguments: Vec<String>,
    /// Address space of a worker, MiB.
    pub memory_mb: u64,
    /// Bytes of one prediction's input that the shared memory holds; larger frames go in pieces.
    pub ring_bytes: usize,
    /// How long a caller spins for an answer before it sleeps, microseconds.
    pub spin_us: u64,
    /// How long `create` and other control calls may take, milliseconds. A fit has no limit.
    pub control_timeout_ms: u64,
    /// How long a prediction without a deadline may take, milliseconds.
    pub predict_timeout_ms: u64,
    /// How long after its deadline a prediction may still end before its worker is killed,
    /// milliseconds.
    pub grace_ms: u64,
    /// How long an idle worker may give no sign of life before it is killed, milliseconds.
    pub heartbeat_timeout_ms: u64,
    /// Whether a second process waits, ready to take over.
    pub hot_spare: bool,
    /// Longest that a prediction waits for a spare that is taking over, milliseconds.
    pub takeover_ms: u64,
    /// Newest rows that are kept to rebuild the state of a model whose worker died.
    pub history_rows: usize,
    /// Rows between two snapshots of a model with state; at most `history_rows`.
    pub snapshot_rows: usize,
    /// When and how often a dead worker is replaced.
    pub restart: RestartPolicy,
    /// Directories and files that a worker may read beyond the system's libraries, such as the
    /// native libraries that plugins load.
    pub readable: Vec<PathBuf>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            program: None,
            arguments: vec!["worker".to_owned()],
            memory_mb: 4096,
            ring_bytes: 1 << 20,
            spin_us: 50,
            control_timeout_ms: 30_000,
            predict_timeout_ms: 60_000,
            grace_ms: 1_000,
            heartbeat_timeout_ms: 10_000,
            hot_spare: true,
            takeover_ms: 50,
            history_rows: 512,
            snapshot_rows: 256,
            restart: RestartPolicy::default(),
            readable: Vec::new(),
        }
    }
}

/// When and how often a dead worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Wait before the first replacement, milliseconds; doubles with every death.
    pub least_ms: u64,
    /// Longest wait, milliseconds.
    pub most_ms: u64,
    /// A worker that lived this long makes the wait the shortest again, milliseconds.
    pub healthy_ms: u64,
    /// Deaths within `window_ms` after which the model is given up.
    pub most_deaths: usize,
    /// The window of `most_deaths`, milliseconds.
    pub window_ms: u64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            least_ms: 10,
            most_ms: 10_000,
            healthy_ms: 5_000,
            most_deaths: 8,
            window_ms: 60_000,
        }
    }
}
