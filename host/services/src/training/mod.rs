//! One run: from bars to a report.
//!
//! [`run`] reads from top to bottom what a run is: load, features, labels, folds, training through
//! the plugin, out-of-sample predictions, the backtest, scores, and a run directory that appears
//! only when it is complete. It trains on nothing that it later scores.
//!
//! | file | step |
//! |---|---|
//! | `spec` | what to do, resolved |
//! | `prepare` | bars, features, labels, folds |
//! | `features_file` | what a model was trained on, beside it |
//! | `model_files` | everything that lies beside an artifact |
//! | `folds` | fit, save, load again, predict |
//! | `fit`, `store` | one fit from checkpoint to checkpoint, and where they are kept |
//! | `scaling`, `fit_scope` | the scaler of a fold; whether it looks at the training part only |
//! | `explain` | what a model looks at |
//! | `train` | several pipelines at once, resumable, with cards and one evaluation |
//! | `readout` | what a model writes, read as probabilities of the three classes |
//! | `prefetch` | batches gathered ahead of a training loop |
//! | `score`, `returns` | quality of the predictions: of classes, of returns |
//! | `trade` | the predictions as signals; `backtesting` trades and reviews them |
//! | `paths` | every path of a combinatorial split |
//! | `label_choice` | which of several labels is learned |
//! | `describe`, `labels`, `tables` | the report's data, the CSV files |
//! | `output` | the run directory |

mod describe;
mod digest;
mod error;
mod explain;
mod features_file;
mod fit;
mod fit_scope;
mod folds;
mod label_choice;
mod labels;
mod model_files;
mod output;
mod paths;
mod plugin;
mod prefetch;
mod prepare;
mod readout;
mod returns;
mod run;
mod scaling;
mod score;
mod spec;
mod store;
mod tables;
mod trade;
mod train;

pub use error::{ModelOf, TrainingError};
pub use explain::ExplainSpec;
pub use features_file::{ModelFeatures, ModelFeaturesError};
pub use fit_scope::{AuditedStep, FitScope, FitScopeSpec, audit_fit_scope, kind_name};
pub use folds::{FitOutline, fit_without_rows, name_problems, sound_params};
pub use model_files::ModelFiles;
pub(crate) use output::hex;
pub use output::{
    MANIFEST_FILE, OutputError, RUN_KIND, RunDirectory, RunFile, RunFileWriter, RunManifest,
};
pub use plugin::{PluginId, TrainingPlugin};
pub use prefetch::{PrefetchError, prefetch};
pub use readout::{FactWatch, ModelReadout, ReadoutNeeds, RowFacts};
pub use run::{
    EQUITY_FILE, JOURNAL_FILE, METRICS_FILE, METRICS_FORMAT, REPORT_FILE, RunEnvironment,
    RunSummary, run,
};
pub use spec::{EvaluationSpec, FinalModel, ModelSpec, PipelineSpec, Provenance};
pub use train::{
    CARD_FILE, CARD_FORMAT, CARD_TEXT_FILE, CardData, CardFeatures, CardLabels, CardMetric,
    CardModel, CardParent, CardSplit, EVALUATION_FILE, EVALUATION_PAGE, FINAL_GOLDEN, FINAL_MODEL,
    ModelCard, Parent, TRAINING_KIND, TrainEnvironment, TrainJob, TrainSummary, TrainedRun,
    UpdateEnvironment, UpdateMode, UpdateOptions, UpdateVerdict, Updated, train, update,
};

#[cfg(test)]
mod tests;
