//! ONNX models for Fusebox: the plugin `ai.fusebox.onnx`, through ONNX Runtime.
//!
//! | file | what it does |
//! |---|---|
//! | `settings` | the configuration, checked |
//! | `file` | what an ONNX file says of itself, read without the runtime |
//! | `library`, `version` | ONNX Runtime, found and loaded at run time, its version checked first |
//! | `provider` | on what hardware a model runs, tried in the configured order |
//! | `contract` | inputs and outputs of the file against what was asked for |
//! | `answers` | what the runtime answers as what the contract wants |
//! | `session`, `binding` | a model inside the runtime, with buffers that are made once |
//! | `model` | the model as the host uses it |
//!
//! The artifact of a model is the ONNX file. The library is named by the configuration key
//! `library`, else by the environment variable `FUSEBOX_ONNXRUNTIME_LIBRARY`, else looked up by the
//! system; version 1.24 or newer is needed. There is one runtime per process, so every model uses
//! the library that the first one named.
//!
//! A prediction uses `intra_threads` threads, which are the runtime's and never spin; with one, the
//! default, it runs on the thread that asks. They end with `quiesce`. A prediction allocates
//! nothing on this side, once rows have come in the numbers that they come in.
//!
//! `unsafe` is in `version.rs` and `binding.rs` alone.

mod answers;
mod binding;
mod contract;
mod file;
mod library;
mod model;
mod provider;
mod session;
mod settings;
mod version;

pub use model::OnnxModel;

/// Whether bytes are an ONNX file as far as that can be told without the runtime: for tests and
/// the fuzz target of files.
///
/// # Errors
/// What is wrong with them.
#[doc(hidden)]
pub fn check_file(bytes: &[u8]) -> fusebox_plugin_api::error::Result<()> {
    file::OnnxFile::read(bytes).map(drop)
}

fusebox_plugin_api::export_plugin! {
    id: "ai.fusebox.onnx",
    version: env!("CARGO_PKG_VERSION"),
    model: OnnxModel,
    capabilities: fusebox_plugin_api::abi::FB_CAP_THREADS
}
