//! Columns whose values are categories: numbers without an order.

use fusebox_plugin_api::prelude::*;

use super::Params;

/// The key that lists them.
pub(super) const COLUMNS: &str = "categorical";

/// The settings.
pub(super) fn specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::text(
            COLUMNS,
            "",
            "Names of columns, separated by `;`, whose values are categories: whole numbers from 0 \
             to 65,535 without an order, or missing.",
        ),
        ParamSpec::integer(
            "max_cat_threshold",
            32,
            "Most categories on one side of a split.",
        )
        .at_least(1.0)
        .at_most(65_536.0),
        ParamSpec::integer(
            "max_cat_to_onehot",
            4,
            "Columns with at most this many categories (LightGBM) or fewer (XGBoost) are split one \
             category against the others.",
        )
        .at_least(1.0)
        .at_most(65_536.0),
        ParamSpec::float(
            "cat_smooth",
            10.0,
            "Rows added to each category when categories are sorted; LightGBM only.",
        )
        .at_least(0.0),
        ParamSpec::float(
            "cat_l2",
            10.0,
            "L2 penalty on leaf values of splits of several categories; LightGBM only.",
        )
        .at_least(0.0),
        ParamSpec::integer(
            "min_data_per_group",
            100,
            "Fewest rows of a group of categories; LightGBM only.",
        )
        .at_least(1.0)
        .at_most(2_147_483_647.0),
    ]
}

impl Params {
    /// For each column whether it is categorical.
    ///
    /// # Errors
    /// `E_CONFIG` with every name that is no column.
    pub(crate) fn categorical(&self, features: &[String]) -> Result<Vec<bool>> {
        let listed = self.listed(COLUMNS)?;
        let unknown = listed.iter().filter(|name| !features.contains(name));
        let problems: Vec<String> = unknown
            .map(|name| format!("`{COLUMNS}` names `{name}`, which is no column"))
            .collect();
        match problems.is_empty() {
            true => Ok(features.iter().map(|name| listed.contains(name)).collect()),
            false => Err(PluginError::config(problems.join("; "))),
        }
    }

    /// Positions of the categorical columns.
    pub(super) fn categorical_positions(&self, features: &[String]) -> Result<Vec<String>> {
        let marks = self.categorical(features)?;
        let marked = marks.iter().enumerate().filter(|(_, marked)| **marked);
        Ok(marked.map(|(column, _)| column.to_string()).collect())
    }
}
