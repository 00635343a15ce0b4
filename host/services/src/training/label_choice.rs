//! Which of several labels a learner takes that learns one: a mistake that a configuration can be
//! told of before any data are read.

use fusebox_engine::labels::LabelConfig;
use fusebox_plugin_api::params::ParamSpec;
use serde_json::{Map, Value};

/// What such a learner calls the label.
pub const LABEL_PARAM: &str = "label";

/// What is wrong with the label that `chosen` names, to be read on from the key
/// `model.params.label`; `None` where it is the traded one, or where `known` has no such parameter
/// because the learner takes all labels.
#[must_use]
pub fn label_problem(
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
}
