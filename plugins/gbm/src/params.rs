//! The hyper-parameters: what a pipeline may set, and what the library is given.
//!
//! One list serves both libraries, so that a pipeline changes from one to the other by the key
//! `booster` alone. Names, meanings and defaults are LightGBM's own (its "Parameters" page), except
//! for those that this plugin acts on itself; `xgboost` says what they are called there. A setting
//! that the chosen library does not have is refused rather than ignored.

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;
use serde_json::Value;

use crate::booster::Booster;
use crate::lightgbm::{LIBRARY_KEY, parameter_text};
use crate::samples::FeatureRules;
use crate::xgboost::LIBRARY_KEY as XGBOOST_LIBRARY_KEY;

mod categorical;
mod metric;
mod monotone;
mod update;
mod xgboost;

pub(crate) use update::UpdateRule;

/// Keys of a configuration that are not hyper-parameters.
pub(crate) const RESERVED: [&str; 2] = [LIBRARY_KEY, XGBOOST_LIBRARY_KEY];

/// The key that says who answers, and its value for the library.
const EVALUATOR: &str = "evaluator";
const TRAINING_CURVE: &str = "training_curve";
const BY_LIBRARY: &str = "library";
/// The key that says what missing values are, and its value that refuses them.
pub(crate) const MISSING: &str = "missing";
pub(crate) const REFUSED: &str = "refused";

/// Parameters that are LightGBM's own and pass through unchanged.
const PASSED_ON: [&str; 20] = [
    "learning_rate",
    "num_leaves",
    "max_depth",
    "min_data_in_leaf",
    "min_sum_hessian_in_leaf",
    "feature_fraction",
    "feature_fraction_bynode",
    "bagging_fraction",
    "bagging_freq",
    "lambda_l1",
    "lambda_l2",
    "min_gain_to_split",
    "extra_trees",
    "max_bin",
    "min_data_in_bin",
    "max_cat_threshold",
    "max_cat_to_onehot",
    "cat_smooth",
    "cat_l2",
    "min_data_per_group",
];

/// How classes are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassWeight {
    /// As their rows are.
    None,
    /// Rows of a class share one n-th of the weight, n being the number of classes seen.
    Balanced,
}

/// What a fit tells a library besides the hyper-parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// What to learn.
    pub(crate) task: &'a Task,
    /// The one level to learn, where the library learns quantiles one by one.
    pub(crate) level: Option<f64>,
    /// Share of a leaf's old value, where leaves are refitted.
    pub(crate) decay: Option<f64>,
    /// Names of the columns.
    pub(crate) features: &'a [String],
    /// Seed of the library's draws.
    pub(crate) seed: u64,
    /// Threads to use.
    pub(crate) threads: u32,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    resolved: Config,
    /// Who grows the trees.
    pub(crate) booster: Booster,
    /// Most boosting rounds.
    pub(crate) rounds: u32,
    /// Rounds without a better validation metric after which the fit stops; 0 never stops early.
    pub(crate) early_stopping_rounds: u32,
    /// Rounds between checkpoints; 0 makes none.
    pub(crate) checkpoint_rounds: u32,
    /// Most threads of a batch prediction.
    pub(crate) predict_threads: u32,
    /// Weighting of classes.
    pub(crate) class_weight: ClassWeight,
    /// Name of the label column; empty where the data has only one.
    pub(crate) label: String,
    /// Whether the library answers instead of the flat trees.
    pub(crate) library_answers: bool,
    /// Whether the loss on the training rows is reported too.
    pub(crate) training_curve: bool,
    /// Whether missing values are refused.
    pub(crate) missing_refused: bool,
}

impl Params {
    /// Checks a configuration and fills in defaults.
    pub(crate) fn resolve(config: &Config) -> Result<Self> {
        let resolved = ParamSpec::resolve(&specs(), config, &RESERVED)?;
        let balanced = resolved.get::<String>("class_weight")? == "balanced";
        let params = Self {
            booster: Booster::named(&resolved.get::<String>("booster")?),
            rounds: resolved.get("rounds")?,
            early_stopping_rounds: resolved.get("early_stopping_rounds")?,
            checkpoint_rounds: resolved.get("checkpoint_rounds")?,
            predict_threads: resolved.get("predict_threads")?,
            class_weight: match balanced {
                true => ClassWeight::Balanced,
                false => ClassWeight::None,
            },
            label: resolved.get("label")?,
            training_curve: resolved.get(TRAINING_CURVE)?,
            library_answers: resolved.get::<String>(EVALUATOR)? == BY_LIBRARY,
            missing_refused: resolved.get::<String>(MISSING)? == REFUSED,
            resolved,
        };
        let problems = params.foreign_settings()?;
        match problems.is_empty() {
            true => Ok(params),
            false => Err(PluginError::config(problems.join("; "))),
        }
    }

    /// Settings that the chosen library does not have.
    fn foreign_settings(&self) -> Result<Vec<String>> {
        match self.booster {
            Booster::XgBoost => self.foreign_to_xgboost(),
            Booster::LightGbm if self.resolved.get::<String>("grow_policy")? == "depthwise" => {
                let message = "`grow_policy` is depthwise, which LightGBM does not have; set \
                               `booster` to xgboost, or bound `max_depth`";
                Ok(vec![message.to_owned()])
            }
            Booster::LightGbm => Ok(Vec::new()),
        }
    }

    /// Checks what names columns against their names; every problem at once.
    pub(crate) fn check_columns(&self, features: &[String]) -> Result<()> {
        let found = [
            self.monotone(features).map(drop),
            self.categorical(features).map(drop),
        ];
        let problems: Vec<String> = found
            .into_iter()
            .filter_map(Result::err)
            .map(|error| error.message().to_owned())
            .collect();
        match problems.is_empty() {
            true => Ok(()),
            false => Err(PluginError::config(problems.join("; "))),
        }
    }

    /// The names that a setting lists, separated by `;`.
    fn listed(&self, key: &str) -> Result<Vec<String>> {
        let text: String = self.resolved.get(key)?;
        let names = text.split(';').map(str::trim);
        let names = names.filter(|name| !name.is_empty());
        Ok(names.map(str::to_owned).collect())
    }

    /// Which values of features a fit takes.
    pub(crate) fn feature_rules(&self, features: &[String]) -> Result<FeatureRules> {
        Ok(FeatureRules {
            finite: self.booster == Booster::XgBoost,
            present: self.missing_refused,
            categorical: self.categorical(features)?,
        })
    }

    /// The settings with which an earlier fit made the model that is updated: those of its
    /// artifact, with what these say about updates and threads.
    pub(crate) fn of_artifact(&self, stored: &serde_json::Map<String, Value>) -> Result<Self> {
        let mut config = Config::new();
        for (key, value) in stored {
            config.set(key, value.clone());
        }
        for key in update::KEYS.iter().chain(&["predict_threads", EVALUATOR]) {
            if let Some(value) = self.resolved.value(key) {
                config.set(key, value.clone());
            }
        }
        Self::resolve(&config)
    }

    /// Every hyper-parameter with its value, for the artifact. The library's path, who evaluates,
    /// what is reported and how the model is updated are left out: a model does not depend on them.
    pub(crate) fn to_json(&self) -> serde_json::Map<String, Value> {
        let free =
            |key: &str| [EVALUATOR, TRAINING_CURVE].contains(&key) || update::KEYS.contains(&key);
        let kept = |key: &&str| !RESERVED.contains(key) && !free(key);
        let keys = self.resolved.keys().filter(kept);
        keys.filter_map(|key| Some((key.to_owned(), self.resolved.value(key)?.clone())))
            .collect()
    }

    /// Whether LightGBM draws rows or columns at random, so that the seed matters and a resumed fit
    /// draws differently from an uninterrupted one.
    pub(crate) fn draws(&self) -> Result<bool> {
        let bagging = self.resolved.get::<u32>("bagging_freq")? > 0
            && self.resolved.get::<f64>("bagging_fraction")? < 1.0;
        let columns = self.resolved.get::<f64>("feature_fraction")? < 1.0
            || self.resolved.get::<f64>("feature_fraction_bynode")? < 1.0;
        Ok(bagging || columns || self.resolved.get::<bool>("extra_trees")?)
    }

    /// LightGBM's parameter text for a fit.
    pub(crate) fn lightgbm_text(&self, given: Circumstances<'_>) -> Result<CString> {
        let mut pairs = objective(given.task, given.level)?;
        for key in PASSED_ON {
            let value = self
                .resolved
                .value(key)
                .map_or_else(String::new, number_text);
            pairs.push((key, value));
        }
        if let Some(directions) = self.monotone(given.features)? {
            pairs.push(("monotone_constraints", directions.join(",")));
        }
        let categorical = self.categorical_positions(given.features)?;
        if !categorical.is_empty() {
            pairs.push(("categorical_feature", categorical.join(",")));
        }
        if let Some(decay) = given.decay {
            pairs.push(("refit_decay_rate", number_text(&decay.into())));
        }
        pairs.push(("seed", fold_seed(given.seed).to_string()));
        // Row-wise histograms are named because LightGBM otherwise times both ways and picks one,
        // which two runs may do differently.
        pairs.push(("deterministic", "true".to_owned()));
        pairs.push(("force_row_wise", "true".to_owned()));
        pairs.push(("num_threads", given.threads.to_string()));
        pairs.push(("verbosity", "0".to_owned()));
        parameter_text(&pairs)
    }
}

/// LightGBM's parameter text for a prediction.
pub(crate) fn predict_text(threads: u32) -> Result<CString> {
    let verbosity = ("verbosity", "0".to_owned());
    parameter_text(&[("num_threads", threads.to_string()), verbosity])
}

/// The objective and the metric, which must be one alone: early stopping watches the first. Of
/// quantiles LightGBM learns one `level` at a time.
///
/// # Errors
/// `E_UNSUPPORTED` for a task that this learner does not serve.
fn objective(task: &Task, level: Option<f64>) -> Result<Vec<(&'static str, String)>> {
    let pair = |objective: &str, metric: &str| {
        vec![
            ("objective", objective.to_owned()),
            ("metric", metric.to_owned()),
        ]
    };
    match (task, level) {
        (Task::Classification { classes }, _) if classes.len() == 2 => {
            Ok(pair("binary", "binary_logloss"))
        }
        (Task::Classification { classes }, _) if classes.len() > 2 => {
            let mut pairs = pair("multiclass", "multi_logloss");
            pairs.push(("num_class", classes.len().to_string()));
            Ok(pairs)
        }
        (Task::Regression, _) => Ok(pair("regression", "l2")),
        (Task::Quantiles { .. }, Some(level)) => {
            let mut pairs = pair("quantile", "quantile");
            pairs.push(("alpha", number_text(&level.into())));
            Ok(pairs)
        }
        (other, _) => Err(PluginError::unsupported(format!(
            "the task {:?}; it serves classification of two or more classes, regression and \
             quantiles",
            other.kind()
        ))),
    }
}

/// Refuses a task that the booster does not serve, and quantiles that are none.
pub(crate) fn check_task(booster: Booster, task: &Task) -> Result<()> {
    if let Task::Quantiles { levels } = task {
        let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        if levels.is_empty() || !inside || !levels.is_sorted_by(|a, b| a < b) {
            return Err(PluginError::config(format!(
                "the levels {levels:?}; quantiles need levels between 0 and 1, ascending"
            )));
        }
    }
    let level = match task {
        Task::Quantiles { levels } => levels.first().copied(),
        _ => None,
    };
    match booster {
        Booster::XgBoost => xgboost::objective(task).map(drop),
        Booster::LightGbm => objective(task, level).map(drop),
    }
}

/// Name under which the loss on the validation rows is reported.
pub(crate) fn loss_name(booster: Booster, task: &Task) -> &'static str {
    match (booster, task) {
        (Booster::LightGbm, Task::Regression) => "valid_mean_squared_error",
        (Booster::XgBoost, Task::Regression) => "valid_root_mean_squared_error",
        (_, Task::Quantiles { .. }) => "valid_pinball_loss",
        _ => "valid_log_loss",
    }
}

/// The name of the same loss on the rows that are learned from.
pub(crate) fn training_loss_name(loss: &str) -> String {
    format!("train_{}", loss.strip_prefix("valid_").unwrap_or(loss))
}

/// LightGBM's seed is a non-negative `i32`; seeds below 2^31 stay as they are.
fn fold_seed(seed: u64) -> u64 {
    (seed ^ (seed >> 31) ^ (seed >> 62)) & 0x7fff_ffff
}

/// A value as the Python package writes it, so that LightGBM's own number reader, which is not
/// exact, sees the same digits.
fn number_text(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number != 0.0 && number.abs() < 1e-4 => {
            format!("{number:e}")
        }
        Some(number) if value.is_f64() => format!("{number:?}"),
        _ => value.to_string(),
    }
}

/// The hyper-parameters with their documentation.
pub(crate) fn specs() -> Vec<ParamSpec> {
    let mut specs = vec![ParamSpec::choice(
        "booster",
        Booster::NAMES[0],
        &Booster::NAMES,
        "Library that grows the trees; what differs between them is said at the settings.",
    )];
    specs.extend(tree_specs());
    specs.extend(categorical::specs());
    specs.extend(sampling_specs());
    specs.extend(training_specs());
    specs.extend(metric::specs());
    specs.extend(update::specs());
    specs
}

fn tree_specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::float("learning_rate", 0.1, "Shrinkage of each tree.")
            .at_least(1e-6)
            .at_most(1.0)
            .search_log(0.01, 0.3),
        ParamSpec::integer("num_leaves", 31, "Most leaves of a tree.")
            .at_least(2.0)
            .at_most(131_072.0)
            .search_log(7.0, 255.0),
        ParamSpec::integer("max_depth", -1, "Most levels of a tree; -1 is no limit.")
            .at_least(-1.0)
            .at_most(1_000.0)
            .search(3.0, 12.0),
        ParamSpec::choice(
            "grow_policy",
            "lossguide",
            &["lossguide", "depthwise"],
            "Which leaf is split next: that with the largest gain, or that nearest to the root \
             (XGBoost only).",
        ),
        ParamSpec::integer(
            "min_data_in_leaf",
            20,
            "Fewest rows in a leaf; LightGBM only.",
        )
        .at_least(0.0)
        .search_log(5.0, 500.0),
        ParamSpec::float(
            "min_sum_hessian_in_leaf",
            1e-3,
            "Least sum of hessians in a leaf.",
        )
        .at_least(0.0),
        ParamSpec::float(
            "min_gain_to_split",
            0.0,
            "Least gain for which a leaf is split.",
        )
        .at_least(0.0)
        .search(0.0, 1.0),
        ParamSpec::float("lambda_l1", 0.0, "L1 penalty on leaf values.")
            .at_least(0.0)
            .search_log(1e-8, 10.0),
        ParamSpec::float("lambda_l2", 0.0, "L2 penalty on leaf values.")
            .at_least(0.0)
            .search_log(1e-8, 10.0),
        ParamSpec::boolean(
            "extra_trees",
            false,
            "Whether one random threshold per column is tried instead of all; LightGBM only.",
        ),
        ParamSpec::integer("max_bin", 255, "Most histogram bins of a column.")
            .at_least(2.0)
            .at_most(65_535.0),
        ParamSpec::integer(
            "min_data_in_bin",
            3,
            "Fewest rows in a histogram bin; LightGBM only.",
        )
        .at_least(1.0),
        monotone::spec("monotone_increasing", "never fall as the column rises"),
        monotone::spec("monotone_decreasing", "never rise as the column rises"),
    ]
}

fn sampling_specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::float(
            "feature_fraction",
            1.0,
            "Share of the columns drawn for each tree.",
        )
        .at_least(1e-3)
        .at_most(1.0)
        .search(0.4, 1.0),
        ParamSpec::float(
            "feature_fraction_bynode",
            1.0,
            "Share of the columns drawn per split.",
        )
        .at_least(1e-3)
        .at_most(1.0),
        ParamSpec::float(
            "bagging_fraction",
            1.0,
            "Share of the rows drawn, see `bagging_freq`.",
        )
        .at_least(1e-3)
        .at_most(1.0)
        .search(0.4, 1.0),
        ParamSpec::integer(
            "bagging_freq",
            0,
            "Rounds between draws of rows; 0 draws none, and XGBoost knows only 0 and 1.",
        )
        .at_least(0.0)
        .search(0.0, 7.0),
        ParamSpec::choice(
            "class_weight",
            "none",
            &["none", "balanced"],
            "Whether each class gets the same share of the weight; classification only.",
        )
        .search_all(),
    ]
}

fn training_specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::integer("rounds", 500, "Most boosting rounds.")
            .at_least(1.0)
            .at_most(100_000.0),
        ParamSpec::integer(
            "early_stopping_rounds",
            50,
            "Rounds without a better validation metric after which the fit stops and the best \
             round is kept; 0, or no validation rows, never stops early.",
        )
        .at_least(0.0)
        .at_most(100_000.0),
        ParamSpec::integer(
            "checkpoint_rounds",
            0,
            "Rounds between checkpoints that a later fit can continue from; 0 makes none.",
        )
        .at_least(0.0)
        .at_most(100_000.0),
        ParamSpec::integer(
            "predict_threads",
            1,
            "Most threads of a batch prediction and of an update; the answers do not depend on it.",
        )
        .at_least(1.0)
        .at_most(1_024.0),
        ParamSpec::boolean(
            TRAINING_CURVE,
            false,
            "Whether the loss on the training rows, as the fit weighs them, is reported after each \
             round as well; it takes a pass over them.",
        ),
        ParamSpec::choice(
            EVALUATOR,
            "flat",
            &["flat", BY_LIBRARY],
            "Who answers: this plugin's flat trees, which are faster, or the library; the answers \
             have the same bits. The library also answers for models that flat trees cannot hold.",
        ),
        ParamSpec::choice(
            MISSING,
            "allowed",
            &["allowed", REFUSED],
            "Whether a missing value (NaN) is learned from and answered for, or refused in both.",
        ),
        ParamSpec::text(
            "label",
            "",
            "Name of the label column to learn; needed where the data has several.",
        ),
    ]
}

#[cfg(test)]
mod tests;
