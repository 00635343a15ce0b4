//! Why a run stops.

use fusebox_engine::backtest::{BacktestError, SignalTableError};
use fusebox_engine::dataset::{DatasetError, NewerError, ScalerError, SplitError};
use fusebox_engine::eval::OutcomeError;
use fusebox_engine::features::{ExtractError, FeatureSetError};
use fusebox_engine::journal::JournalError;
use fusebox_engine::labels::LabelProblem;
use fusebox_engine::problem::Problem;
use fusebox_engine::session::SetupError;
use fusebox_plugin_api::error::{PluginError, Status};

use super::output::OutputError;
use crate::backtesting::{BacktestingError, TableError};
use crate::data::DataError;
use crate::report::ReportError;

/// Which of the models of a run somebody works at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelOf {
    /// That of a fold, from 1.
    Fold(usize),
    /// The one that learns from everything.
    Everything,
    /// A registered model that takes in newer rows, by name and version.
    Update(String),
}

impl std::fmt::Display for ModelOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fold(number) => write!(f, "in fold {number}"),
            Self::Everything => f.write_str("at the final model, which learns from everything,"),
            Self::Update(title) => write!(f, "in the update of {title}"),
        }
    }
}

/// Why a run stopped. Nothing is left under the name of the run directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// Settings that cannot be used, every one of them.
    #[error("the configuration cannot be used:{}", lines(.0))]
    Config(Vec<String>),
    /// The learner refuses the hyper-parameters.
    #[error("`model.params` cannot be used by {plugin}: {source}")]
    Params {
        /// The plugin.
        plugin: String,
        /// What it says.
        source: PluginError,
    },
    /// The plugin has no learner, or none for this task.
    #[error("{plugin} cannot learn {what}; `fusebox plugin list` shows what each plugin can do")]
    NoLearner {
        /// The plugin.
        plugin: String,
        /// What was asked for.
        what: &'static str,
    },
    /// The bars.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The list of features.
    #[error(transparent)]
    Features(#[from] FeatureSetError),
    /// The bars do not fit the features.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// A scaler cannot be fitted.
    #[error(transparent)]
    Scaler(#[from] ScalerError),
    /// The plan of folds does not fit the data.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The pipeline is not that of the model that is to be updated, in every way that it differs.
    #[error("the model cannot be updated with this pipeline:{}", lines(.0))]
    Update(Vec<String>),
    /// No rows to update a model with.
    #[error(transparent)]
    Newer(#[from] NewerError),
    /// A fitted step cannot be audited.
    #[error("the fit scope cannot be looked at: {0}")]
    FitScope(String),
    /// The dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A native library that the plugin needs is not there, or is another one.
    #[error("{plugin} lacks a native library: {source}")]
    Library {
        /// The plugin.
        plugin: String,
        /// What it says.
        source: PluginError,
    },
    /// The plugin failed at a model.
    #[error("{plugin} failed {at} while it was to {doing}: {source}")]
    Plugin {
        /// The plugin.
        plugin: String,
        /// The model that it failed at.
        at: ModelOf,
        /// What it was asked to do.
        doing: &'static str,
        /// What it says.
        source: PluginError,
    },
    /// A prediction is not a probability.
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    /// Predictions do not make a table.
    #[error(transparent)]
    Signals(#[from] SignalTableError),
    /// The backtest.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// A baseline.
    #[error(transparent)]
    Baseline(#[from] SetupError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run directory.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A table of results.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The review of the backtest.
    #[error(transparent)]
    Review(#[from] Box<BacktestingError>),
    /// There is no bar or no fold to make the final model of.
    #[error("`{0}` has no fold, so it has no final model; take more data")]
    NoFinalModel(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The threads.
    #[error("cannot start {threads} threads: {message}; lower `run.threads`")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        message: String,
    },
}

impl From<BacktestingError> for TrainingError {
    fn from(error: BacktestingError) -> Self {
        Self::Review(Box::new(error))
    }
}

impl TrainingError {
    /// Whether other settings, and not another attempt, are what is needed.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        // Some settings a learner can only judge when it sees the data.
        if let Self::Plugin { source, .. } = self {
            return matches!(
                source.status(),
                Status::Config | Status::Unsupported | Status::Library
            );
        }
        matches!(
            self,
            Self::Config(_)
                | Self::Update(_)
                | Self::Newer(_)
                | Self::NoLearner { .. }
                | Self::Params { .. }
                | Self::Library { .. }
                | Self::Features(_)
                | Self::Split(_)
                | Self::Baseline(_)
                | Self::Backtest(BacktestError::Setup(_) | BacktestError::NeverValued { .. })
        ) || matches!(self, Self::Data(error) if error.is_configuration())
    }
}

/// The problems of a specification, in the words of its keys.
pub(super) fn config_problems(labels: &[LabelProblem], session: &[Problem]) -> Vec<String> {
    let labels = labels.iter().map(ToString::to_string);
    labels
        .chain(session.iter().map(ToString::to_string))
        .collect()
}

fn lines(problems: &[String]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  - {problem}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_engine::types::Timestamp;

    #[test]
    fn an_account_without_a_value_needs_other_settings_and_a_full_disk_does_not() {
        let never = BacktestError::NeverValued {
            steps: 2,
            from: Timestamp::from_nanos(0),
            to: Timestamp::from_nanos(1),
            problems: Vec::new(),
        };
        assert!(TrainingError::from(never).is_configuration());
        let settings = SetupError::Config(Vec::new());
        assert!(TrainingError::from(BacktestError::Setup(settings)).is_configuration());
        let of_plugin = |source| TrainingError::Plugin {
            plugin: "p 1.0.0".to_owned(),
            at: ModelOf::Fold(1),
            doing: "fit",
            source,
        };
        assert!(of_plugin(PluginError::config("no such column")).is_configuration());
        assert!(of_plugin(PluginError::library("not there")).is_configuration());
        assert!(!of_plugin(PluginError::data("one class")).is_configuration());
        let full = JournalError::Write {
            seq: 0,
            source: std::io::Error::other("full"),
        };
        assert!(!TrainingError::from(BacktestError::Journal(full)).is_configuration());
    }

    #[test]
    fn a_failure_names_the_model_that_it_was_about() {
        for (at, words) in [
            (ModelOf::Fold(3), "p failed in fold 3 while it was to fit"),
            (
                ModelOf::Everything,
                "p failed at the final model, which learns from everything, while it was to fit",
            ),
            (
                ModelOf::Update("btc 1.0.2".to_owned()),
                "p failed in the update of btc 1.0.2 while it was to fit",
            ),
        ] {
            let error = TrainingError::Plugin {
                plugin: "p".to_owned(),
                at,
                doing: "fit",
                source: PluginError::data("one class"),
            };
            assert!(error.to_string().starts_with(words), "{error}");
        }
    }
}
