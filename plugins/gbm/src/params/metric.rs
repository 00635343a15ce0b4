//! The metric that early stopping watches.

use fusebox_plugin_api::prelude::*;

use super::Params;
use crate::metric::{MetricKind, Position};

/// The settings.
pub(super) fn specs() -> Vec<ParamSpec> {
    vec![
        ParamSpec::choice(
            "metric",
            MetricKind::NAMES[0],
            &MetricKind::NAMES,
            "What early stopping watches on the validation rows: the library's loss, or of score \
             and return the information coefficient, that of the ranks, or the Sharpe ratio of \
             positions by the score (not annualised).",
        ),
        ParamSpec::text(
            "return_label",
            "",
            "Label column with the return that `ic`, `rank_ic` and `sharpe` look at; empty takes \
             the learned label, a class counted from the middle one. Trainings offer \
             `forward_return`, the log return over the span of the label.",
        ),
        ParamSpec::choice(
            "metric_position",
            "sign",
            &["sign", "score"],
            "How `sharpe` turns a score into a position: its sign, or the score itself.",
        ),
        ParamSpec::float(
            "metric_cost_bps",
            0.0,
            "What `sharpe` takes off for a position of one, in hundredths of a per cent of it.",
        )
        .at_least(0.0)
        .at_most(10_000.0),
    ]
}

impl Params {
    /// The metric that decides.
    pub(crate) fn metric(&self) -> Result<MetricKind> {
        Ok(match self.resolved.get::<String>("metric")?.as_str() {
            "ic" => MetricKind::Coefficient,
            "rank_ic" => MetricKind::RankCoefficient,
            "sharpe" => MetricKind::Sharpe {
                position: match self.resolved.get::<String>("metric_position")? == "score" {
                    true => Position::Score,
                    false => Position::Sign,
                },
                cost: self.resolved.get::<f64>("metric_cost_bps")? / 1e4,
            },
            _ => MetricKind::Loss,
        })
    }

    /// Name of the column with the returns; empty for the learned label.
    pub(crate) fn return_label(&self) -> Result<String> {
        self.resolved.get("return_label")
    }

    /// The name in a configuration of the metric that decides.
    pub(crate) fn metric_key(&self) -> Result<String> {
        self.resolved.get("metric")
    }
}
