//! A plugin in a child process: the same library, behind shared memory.

use std::path::PathBuf;

use fusebox_plugin_api::import::HostServices;

use super::{Backend, OpenPlugin, Prepared};
use crate::error::LoadError;

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
    /// Whether a second process waits, ready to take over.
    pub hot_spare: bool,
    /// Directories and files that a worker may read beyond the system's libraries.
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
            hot_spare: true,
            readable: Vec::new(),
        }
    }
}

/// Runs a prepared library in a child process.
#[derive(Debug, Clone)]
pub struct WorkerBackend {
    prepared: Prepared,
    options: WorkerOptions,
}

impl WorkerBackend {
    /// The backend of a library that was verified and copied for this load alone.
    #[must_use]
    pub fn new(prepared: Prepared, options: WorkerOptions) -> Self {
        Self { prepared, options }
    }
}

impl Backend for WorkerBackend {
    fn open(&self, _services: HostServices) -> Result<Box<dyn OpenPlugin>, LoadError> {
        Err(LoadError::Isolation {
            id: self.prepared.origin.display().to_string(),
            demanded: format!("worker ({} MiB)", self.options.memory_mb),
        })
    }
}
