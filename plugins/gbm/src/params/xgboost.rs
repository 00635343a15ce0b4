//! The same hyper-parameters in the words of XGBoost (its "XGBoost Parameters" page).
//!
//! Trees are grown by histogram (`tree_method=hist`), by default leaf by leaf, as LightGBM does.

use fusebox_plugin_api::prelude::*;
use serde_json::Value;

use super::{Circumstances, Params, fold_seed, number_text, specs};

/// Our name and XGBoost's.
const NAMES: [(&str, &str); 12] = [
    ("learning_rate", "learning_rate"),
    ("num_leaves", "max_leaves"),
    ("grow_policy", "grow_policy"),
    ("min_sum_hessian_in_leaf", "min_child_weight"),
    ("min_gain_to_split", "gamma"),
    ("lambda_l1", "alpha"),
    ("lambda_l2", "lambda"),
    ("feature_fraction", "colsample_bytree"),
    ("feature_fraction_bynode", "colsample_bynode"),
    ("max_bin", "max_bin"),
    ("max_cat_threshold", "max_cat_threshold"),
    ("max_cat_to_onehot", "max_cat_to_onehot"),
];
/// What XGBoost does not have.
const FOREIGN: [&str; 6] = [
    "min_data_in_leaf",
    "extra_trees",
    "min_data_in_bin",
    "cat_smooth",
    "cat_l2",
    "min_data_per_group",
];

impl Params {
    /// Settings away from their default that XGBoost does not have.
    pub(super) fn foreign_to_xgboost(&self) -> Result<Vec<String>> {
        let is_set = |name: &str| {
            let spec = specs().into_iter().find(|spec| spec.name == name);
            spec.is_some_and(|spec| self.resolved.value(name) != Some(&spec.default))
        };
        let foreign = FOREIGN.iter().filter(|name| is_set(name));
        let mut problems: Vec<String> = foreign
            .map(|name| format!("`{name}` is LightGBM's alone; leave it out with XGBoost"))
            .collect();
        let every = self.resolved.get::<u32>("bagging_freq")?;
        if every > 1 {
            problems.push(format!(
                "`bagging_freq` is {every}; XGBoost draws rows every round (1) or never (0)"
            ));
        }
        Ok(problems)
    }

    /// XGBoost's parameters for a fit.
    pub(crate) fn xgboost_pairs(
        &self,
        given: Circumstances<'_>,
    ) -> Result<Vec<(&'static str, String)>> {
        let mut pairs = objective(given.task)?;
        for (ours, theirs) in NAMES {
            pairs.push((theirs, text(self.resolved.value(ours))));
        }
        // XGBoost writes "no limit" as 0.
        let depth = self.resolved.get::<i64>("max_depth")?;
        pairs.push(("max_depth", depth.max(0).to_string()));
        let drawn = match self.resolved.get::<u32>("bagging_freq")? {
            0 => "1".to_owned(),
            _ => text(self.resolved.value("bagging_fraction")),
        };
        pairs.push(("subsample", drawn));
        if let Some(directions) = self.monotone(given.features)? {
            pairs.push((
                "monotone_constraints",
                format!("({})", directions.join(",")),
            ));
        }
        pairs.push(("tree_method", "hist".to_owned()));
        pairs.push(("seed", fold_seed(given.seed).to_string()));
        pairs.push(("nthread", given.threads.to_string()));
        pairs.push(("verbosity", "0".to_owned()));
        Ok(pairs)
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => number_text(value),
        None => String::new(),
    }
}

/// The objective and the metric.
pub(super) fn objective(task: &Task) -> Result<Vec<(&'static str, String)>> {
    let pair = |objective: &str, metric: &str| {
        vec![
            ("objective", objective.to_owned()),
            ("eval_metric", metric.to_owned()),
        ]
    };
    match task {
        Task::Classification { classes } if classes.len() == 2 => {
            Ok(pair("binary:logistic", "logloss"))
        }
        Task::Classification { classes } if classes.len() > 2 => {
            let mut pairs = pair("multi:softprob", "mlogloss");
            pairs.push(("num_class", classes.len().to_string()));
            Ok(pairs)
        }
        Task::Regression => Ok(pair("reg:squarederror", "rmse")),
        Task::Quantiles { levels } if !levels.is_empty() => {
            let mut pairs = pair("reg:quantileerror", "quantile");
            let levels: Vec<String> = levels.iter().map(f64::to_string).collect();
            pairs.push(("quantile_alpha", format!("[{}]", levels.join(", "))));
            Ok(pairs)
        }
        other => Err(PluginError::unsupported(format!(
            "the task {:?} with XGBoost; it serves two and more classes, regression and quantiles",
            other.kind()
        ))),
    }
}
