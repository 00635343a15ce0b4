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
use crate::xgboost::LIBRARY_KEY as XGBOOST_LIBRARY_KEY;

mod monotone;
mod xgboost;

/// Keys of a configuration that are not hyper-parameters.
pub(crate) const RESERVED: [&str; 2] = [LIBRARY_KEY, XGBOOST_LIBRARY_KEY];

/// The key that says who answers, and its value for the library.
const EVALUATOR: &str = "evaluator";
const BY_LIBRARY: &str = "library";

/// Parameters that are LightGBM's own and pass through unchanged.
const PASSED_ON: [&str; 15] = [
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
];

/// How classes are weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClassWeight {
    /// As their rows are.
    None,
    /// Rows of a class share one n-th of the weight, n being the number of classes seen.
    Balanced,
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
            library_answers: resolved.get::<String>(EVALUATOR)? == BY_LIBRARY,
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

    /// Checks what names columns against their names.
    pub(crate) fn check_columns(&self, features: &[String]) -> Result<()> {
        self.monotone(features).map(drop)
    }

    /// Every hyper-parameter with its value, for the artifact. The library's path and who evaluates
    /// are left out: a model depends on neither.
    pub(crate) fn to_json(&self) -> serde_json::Map<String, Value> {
        let kept = |key: &&str| !RESERVED.contains(key) && *key != EVALUATOR;
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
    pub(crate) fn lightgbm_text(
        &self,
        task: &Task,
        features: &[String],
        seed: u64,
        threads: u32,
    ) -> Result<CString> {
        let mut pairs = objective(task)?;
        for key in PASSED_ON {
            let value = self
                .resolved
                .value(key)
                .map_or_else(String::new, number_text);
            pairs.push((key, value));
        }
        if let Some(directions) = self.monotone(features)? {
            pairs.push(("monotone_constraints", directions.join(",")));
        }
        pairs.push(("seed", fold_seed(seed).to_string()));
        // Row-wise histograms are named because LightGBM otherwise times both ways and picks one,
        // which two runs may do differently.
        pairs.push(("deterministic", "true".to_owned()));
        pairs.push(("force_row_wise", "true".to_owned()));
        pairs.push(("num_threads", threads.to_string()));
        pairs.push(("verbosity", "0".to_owned()));
        parameter_text(&pairs)
    }
}

/// LightGBM's parameter text for a prediction.
pub(crate) fn predict_text(threads: u32) -> Result<CString> {
    let verbosity = ("verbosity", "0".to_owned());
    parameter_text(&[("num_threads", threads.to_string()), verbosity])
}

/// The objective and the metric, which must be one alone: early stopping watches the first.
///
/// # Errors
/// `E_UNSUPPORTED` for a task that this learner does not serve.
fn objective(task: &Task) -> Result<Vec<(&'static str, String)>> {
    let pair = |objective: &str, metric: &str| {
        vec![
            ("objective", objective.to_owned()),
            ("metric", metric.to_owned()),
        ]
    };
    match task {
        Task::Classification { classes } if classes.len() == 2 => {
            Ok(pair("binary", "binary_logloss"))
        }
        Task::Classification { classes } if classes.len() > 2 => {
            let mut pairs = pair("multiclass", "multi_logloss");
            pairs.push(("num_class", classes.len().to_string()));
            Ok(pairs)
        }
        Task::Regression => Ok(pair("regression", "l2")),
        other => Err(PluginError::unsupported(format!(
            "the task {:?}; it serves classification of two or more classes and regression",
            other.kind()
        ))),
    }
}

/// Refuses a task that the booster does not serve.
pub(crate) fn check_task(booster: Booster, task: &Task) -> Result<()> {
    match (booster, task) {
        (Booster::XgBoost, _) => xgboost::objective(task).map(drop),
        (Booster::LightGbm, Task::Quantiles { .. }) => Err(PluginError::unsupported(
            "quantiles with LightGBM, which fits one level at a time; set `booster` to xgboost",
        )),
        (Booster::LightGbm, _) => objective(task).map(drop),
    }
}

/// Name under which the validation metric is reported.
pub(crate) fn metric_name(booster: Booster, task: &Task) -> &'static str {
    match (booster, task) {
        (Booster::LightGbm, Task::Regression) => "valid_mean_squared_error",
        (Booster::XgBoost, Task::Regression) => "valid_root_mean_squared_error",
        (_, Task::Quantiles { .. }) => "valid_pinball_loss",
        _ => "valid_log_loss",
    }
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
    specs.extend(sampling_specs());
    specs.extend(training_specs());
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
            "Most threads of a batch prediction; the answers do not depend on it.",
        )
        .at_least(1.0)
        .at_most(1_024.0),
        ParamSpec::choice(
            EVALUATOR,
            "flat",
            &["flat", BY_LIBRARY],
            "Who answers: this plugin's flat trees, which are faster, or the library; the answers \
             have the same bits. The library also answers for models that flat trees cannot hold.",
        ),
        ParamSpec::text(
            "label",
            "",
            "Name of the label column to learn; needed where the data has several.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction() -> Task {
        let classes = ["down", "flat", "up"].map(str::to_owned).to_vec();
        Task::Classification { classes }
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_every_problem_is_listed() {
        let config = Config::new()
            .with("num_leafs", 5)
            .with("learning_rate", 7.0);
        let error = Params::resolve(&config).unwrap_err();
        assert!(
            error.message().contains("did you mean `num_leaves`"),
            "{error}"
        );
        assert!(error.message().contains("`learning_rate` is 7"), "{error}");
    }

    #[test]
    fn every_default_fits_its_own_bounds_and_is_either_passed_on_or_ours() {
        let ours = [
            "rounds",
            "early_stopping_rounds",
            "checkpoint_rounds",
            "predict_threads",
            "class_weight",
            "label",
            "booster",
            "grow_policy",
            "monotone_increasing",
            "monotone_decreasing",
            EVALUATOR,
        ];
        for spec in specs() {
            assert_eq!(spec.problem_with(&spec.default), None);
            let name = spec.name.as_str();
            assert_ne!(PASSED_ON.contains(&name), ours.contains(&name), "{name}");
        }
        assert_eq!(specs().len(), PASSED_ON.len() + ours.len());
    }

    #[test]
    fn the_text_names_objective_seed_and_threads() {
        let config = Config::new()
            .with("lambda_l1", 1e-5)
            .with("learning_rate", 1);
        let params = Params::resolve(&config).unwrap();
        let text = params.lightgbm_text(&direction(), &[], 7, 3).unwrap();
        let text = text.to_str().unwrap();
        for part in [
            "objective=multiclass",
            "num_class=3",
            "seed=7",
            "num_threads=3",
        ] {
            assert!(
                text.split(' ').any(|word| word == part),
                "{part} not in {text}"
            );
        }
        assert!(text.contains("lambda_l1=1e-5"), "{text}");
        assert!(
            text.contains("deterministic=true force_row_wise=true"),
            "{text}"
        );
    }

    #[test]
    fn quantiles_are_refused_for_lightgbm_with_what_to_do() {
        let task = Task::Quantiles { levels: vec![0.5] };
        let error = check_task(Booster::LightGbm, &task).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(
            error.message().contains("set `booster` to xgboost"),
            "{error}"
        );
        assert!(check_task(Booster::XgBoost, &task).is_ok());
    }

    #[test]
    fn what_a_library_does_not_have_is_refused_all_at_once() {
        let config = Config::new()
            .with("booster", "xgboost")
            .with("min_data_in_leaf", 7)
            .with("bagging_freq", 3)
            .with("extra_trees", true);
        let error = Params::resolve(&config).unwrap_err();
        for key in ["min_data_in_leaf", "bagging_freq", "extra_trees"] {
            assert!(error.message().contains(&format!("`{key}`")), "{error}");
        }
        let error = Params::resolve(&Config::new().with("grow_policy", "depthwise")).unwrap_err();
        assert!(
            error.message().contains("LightGBM does not have"),
            "{error}"
        );
    }

    #[test]
    fn monotone_columns_are_found_by_name_and_wrong_names_are_all_listed() {
        let names = ["macd(12, 26)", "rsi", "adx"].map(str::to_owned);
        let config = Config::new()
            .with("monotone_increasing", "macd(12, 26)")
            .with("monotone_decreasing", "adx ; ");
        let params = Params::resolve(&config).unwrap();
        let text = params.lightgbm_text(&direction(), &names, 7, 1).unwrap();
        let text = text.to_str().unwrap();
        assert!(text.contains("monotone_constraints=1,0,-1 "), "{text}");
        let wrong = Config::new()
            .with("monotone_increasing", "rsi; volume")
            .with("monotone_decreasing", "rsi; width");
        let error = Params::resolve(&wrong)
            .unwrap()
            .check_columns(&names)
            .unwrap_err();
        for part in ["`volume`", "`width`", "`rsi` is in both"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn large_seeds_stay_distinct_in_their_high_bits() {
        assert_eq!(fold_seed(41), 41);
        assert_ne!(fold_seed(41), fold_seed(41 | 1 << 40));
        assert!(fold_seed(u64::MAX) < 1 << 31);
    }
}
