//! Plugins at run time: finding packages, checking them, loading them.
//!
//! [`discover()`] lists what lies in the plugin directories without running any of it, [`load()`]
//! verifies one package, makes a private copy, maps it and asks it for its tables, and everything a
//! [`LoadedPlugin`] hands out passes the guard of [`guard`]. The loader never unloads a library and
//! never looks at data or features.

pub mod backend;
pub mod check;
pub mod clock;
mod contents;
pub mod discover;
mod disk;
pub mod elf;
pub mod error;
pub mod generation;
pub mod guard;
pub mod live;
pub mod load;
pub mod manifest;
pub mod onnx_file;
pub mod package;
pub mod trust;
pub mod worker;

pub use backend::WorkerOptions;
pub use clock::{Clock, ManualClock, SystemClock};
pub use trust::{Decision, TrustError, TrustPolicy};

pub use discover::{Discovered, SignatureBytes, discover, find};
pub use error::LoadError;
pub use guard::{GuardStats, GuardedModel};
pub use load::{LoadOptions, LoadedPlugin, load, load_linked};
pub use manifest::{Isolation, Manifest, ManifestError};
pub use package::{PackageError, PackageSpec, write_package, write_signed_package};
