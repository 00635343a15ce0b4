//! The worker: the child process that runs one plugin for a host.
//!
//! | file | what |
//! |---|---|
//! | `ring` | the memory it shares with the host |
//! | `wire`, `data` | messages on the socket |
//! | `jail` | what it may no longer do once a plugin is in it |
//! | `serve` | its life: open a plugin, then answer until the host is gone |
//! | `control` | answers to messages |
//! | `remote` | the host's progress and environment, as a fit in the worker sees them |
//!
//! The host's side of all this is [`backend::worker`](crate::backend). One thread does everything
//! here, so a plugin is called exactly as in the host's own process.

mod control;
pub(crate) mod data;
#[doc(hidden)]
pub mod fuzzing;
mod jail;
mod remote;
pub(crate) mod ring;
mod serve;
pub(crate) mod wire;

pub(crate) use serve::LOG_BYTES;
pub use serve::{ServeError, serve};
