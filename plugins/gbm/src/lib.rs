//! Gradient boosting for Fusebox: the plugin `ai.fusebox.gbm`, LightGBM and XGBoost through their C
//! APIs.
//!
//! | file | what it does |
//! |---|---|
//! | `learner` | a fit, from the dataset to the artifact |
//! | `samples` | which rows take part, without copying the matrix |
//! | `params` | hyper-parameters, and what each library calls them |
//! | `booster` | the seam between this plugin and the two libraries |
//! | `metric` | metrics of the field that early stopping may watch |
//! | `early_stopping` | when a fit stops, and which round it keeps |
//! | `artifact` | the bytes of a model and of a checkpoint, guarded by length and digest |
//! | `model`, `explain` | predictions, importances, contributions |
//! | `update` | new rows taken in by a fitted model |
//! | `flat` | the trees laid out for fast prediction with the library's bits |
//! | `native` | where a library is found, and what its failures are called |
//! | `onnx` | the trees as an ONNX file |
//! | `lightgbm`, `xgboost` | the libraries, loaded at run time; `unsafe` is in their `ffi` |
//!
//! LightGBM is named by the configuration key `library`, else by the environment variable
//! `FUSEBOX_LIGHTGBM_LIBRARY`, else looked up by the system; version 4.7 or newer is needed.
//! XGBoost is named by `xgboost_library`, else by `FUSEBOX_XGBOOST_LIBRARY`; version 3.4 or a later
//! 3.x is needed. Only what is used is loaded, and both may be.
//!
//! A fit uses at most the threads that the host allows it, a prediction at most `predict_threads`.
//! With more than one, those of a library are OpenMP's: the host should start with
//! `OMP_WAIT_POLICY=passive`, and they end with the thread that called, not with `quiesce`, because
//! OpenMP offers no way to join them. Those of the flat trees end before their prediction does.
//! With one thread none is started.

mod artifact;
mod booster;
mod early_stopping;
mod explain;
mod flat;
mod learner;
mod lightgbm;
mod metric;
mod model;
mod native;
mod onnx;
mod params;
mod samples;
mod update;
mod xgboost;

pub use learner::GbmLearner;
pub use model::GbmModel;

/// Whether bytes are an artifact of this plugin, as far as that can be told without a library: for
/// the fuzz target of artifacts.
///
/// # Errors
/// What is wrong with them.
#[doc(hidden)]
pub fn check_artifact(bytes: &[u8]) -> fusebox_plugin_api::error::Result<()> {
    let (header, texts) = artifact::read(bytes)?;
    let booster = booster::Booster::of_artifact(&header.library)?;
    booster.flat(&texts).map(drop)
}

fusebox_plugin_api::export_plugin! {
    id: "ai.fusebox.gbm",
    version: env!("CARGO_PKG_VERSION"),
    model: GbmModel,
    learner: GbmLearner,
    capabilities: fusebox_plugin_api::abi::FB_CAP_THREADS
}
