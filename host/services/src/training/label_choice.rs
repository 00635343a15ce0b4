//! Which of several labels a learner takes that learns one, and whose returns its metrics are
//! counted on: mistakes that a configuration can be told of before any data are read.

use fusebox_engine::dataset::FORWARD_RETURN;
use fusebox_engine::labels::LabelConfig;
use fusebox_plugin_api::params::ParamSpec;
use serde_json::{Map, Value};

/// What such a learner calls the label.
pub(super) const LABEL_PARAM: &str = "label";
/// What such a learner calls the label column with the returns that its metrics are counted on.
pub(super) const RETURN_PARAM: &str = "return_label";

/// What is wrong with the column of returns that `chosen` names, to be read on from the key
/// `model.params.return_label`; `None` where it is there, or where `known` has no such parameter.
#[must_use]
pub(super) fn return_problem(
    known: &[ParamSpec],
    chosen: &Map<String, Value>,
    labels: &LabelConfig,
) -> Option<String> {
    known.iter().find(|one| one.name == RETURN_PARAM)?;
    let named = chosen.get(RETURN_PARAM).and_then(Value::as_str)?;
    let mut columns = labels.task().columns();
    columns.push(FORWARD_RETURN.to_owned());
    if named.is_empty() || columns.iter().any(|column| column == named) {
        return None;
    }
    Some(format!(
        "is `{named}`; it must be one of {}, or empty for the label that is learned",
        columns.join(", ")
    ))
}

/// What is wrong with the label that `chosen` names, to be read on from the key
/// `model.params.label`; `None` where it is the traded one, or where `known` has no such parameter
/// because the learner takes all labels.
#[must_use]
pub(super) fn label_problem(
    known: &[ParamSpec],
    chosen: &Map<String, Value>,
    labels: &LabelConfig,
) -> Option<String> {
    let is_choice = known.iter().any(|one| one.name == LABEL_PARAM);
    let columns = labels.task().columns();
    let traded = columns.first().filter(|_| is_choice)?;
    let all = columns.join(", ");
    match chosen
        .get(LABEL_PARAM)
        .and_then(Value::as_str)
        .unwrap_or("")
    {
        own if own == traded => None,
        "" if columns.len() == 1 => None,
        "" => Some(format!(
            "is not set, and `labels.more_horizons_bars` makes several labels ({all}), of which \
             this learner takes one; set it to \"{traded}\", the one that is traded, or leave \
             `labels.more_horizons_bars` empty"
        )),
        own => Some(format!(
            "is `{own}`; it must be `{traded}`, the label that is traded; there are {all}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use fusebox_engine::labels::LabelKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_traded_label_can_be_learned_by_a_learner_of_one() {
        let one = [ParamSpec::text(LABEL_PARAM, "", "Which label to learn.")];
        let labels = |more: &[u32]| LabelConfig {
            kind: LabelKind::ForwardReturns,
            horizon_bars: 12,
            more_horizons_bars: more.to_vec(),
            ..LabelConfig::default()
        };
        let told = |known: &[ParamSpec], chosen: Value, more: &[u32]| {
            label_problem(known, chosen.as_object().unwrap(), &labels(more))
        };
        assert_eq!(told(&one, json!({}), &[]), None);
        assert_eq!(told(&[], json!({}), &[24]), None);
        assert_eq!(told(&one, json!({"label": "return_12"}), &[24]), None);
        let missing = told(&one, json!({}), &[24]).unwrap();
        assert!(missing.contains("set it to \"return_12\""), "{missing}");
        let other = told(&one, json!({"label": "return_24"}), &[24]).unwrap();
        assert!(other.contains("it must be `return_12`"), "{other}");
    }

    #[test]
    fn a_column_of_returns_that_is_not_there_is_told_with_all_that_are() {
        let known = [ParamSpec::text(RETURN_PARAM, "", "Whose returns count.")];
        let directions = LabelConfig::default();
        let returns = LabelConfig {
            kind: LabelKind::ForwardReturns,
            horizon_bars: 12,
            more_horizons_bars: vec![24],
            ..LabelConfig::default()
        };
        let told = |known: &[ParamSpec], named: Value, labels: &LabelConfig| {
            let chosen = json!({"return_label": named});
            return_problem(known, chosen.as_object().unwrap(), labels)
        };
        for named in ["", "forward_return"] {
            assert_eq!(told(&known, named.into(), &directions), None, "{named}");
        }
        assert_eq!(told(&known, "return_24".into(), &returns), None);
        assert_eq!(told(&[], "zzz".into(), &directions), None);
        let wrong = told(&known, "zzz".into(), &returns).unwrap();
        let all = "is `zzz`; it must be one of return_12, return_24, forward_return, or empty";
        assert!(wrong.starts_with(all), "{wrong}");
        let wrong = told(&known, "zzz".into(), &directions).unwrap();
        assert!(
            wrong.contains("one of direction, forward_return"),
            "{wrong}"
        );
    }
}
