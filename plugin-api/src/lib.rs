//! The contract between Fusebox and its plugins.
//!
//! The C header `include/fusebox_plugin.h` is the source of truth; this crate is its Rust side. An
//! author implements [`model::Model`] (and [`model::Learner`] to train), calls [`export_plugin!`]
//! and builds a `cdylib`; everything else is the host's. The host uses the same traits through
//! [`import`]. The crate knows nothing of trading, files or clocks.
//!
//! Start with [`prelude`].
#![deny(missing_docs)]

pub mod abi;
pub mod arrow;
pub mod config;
pub mod env;
pub mod error;
pub mod export;
pub mod ext;
pub mod frame;
mod frozen;
pub mod import;
mod lending;
pub mod model;
pub mod params;
pub mod schema;
pub mod testing;

/// Everything an author usually needs.
pub mod prelude {
    pub use crate::config::Config;
    pub use crate::error::{PluginError, Result, Status};
    pub use crate::export::{LogLevel, log};
    pub use crate::export_plugin;
    pub use crate::ext::{Explain, Incremental, OnnxExport, Quantiles};
    pub use crate::frame::{Frame, FrameShape};
    pub use crate::model::{
        CreateModel, FitRequest, InputShape, Learner, LearnerInfo, Metric, Model, ModelInfo,
        Progress, Snapshot, Task, TaskKind,
    };
    pub use crate::params::ParamSpec;
    pub use crate::schema::{Dataset, DatasetSchema, DatasetView};
}
