//! What a plugin says of `model.params`, for a configuration that cannot be used anyway.
//!
//! A run asks the plugin itself before any work, and loads it for that. Where other settings are
//! wrong there is no run, and the plugin is loaded here only so that its problems come in the same
//! list. A plugin that cannot be asked says nothing: why it cannot is told once the rest is right.

use fusebox_plugin_api::config::nearest;
use fusebox_plugin_api::params::ParamSpec;
use fusebox_services::training::{LABEL_PARAM, label_problem};
use serde_json::Value;

use super::EngineSettings;
use super::plugins::{Choice, load_chosen};
use crate::config::{Loaded, Problem};

/// Every hyper-parameter that the plugin of `loaded` does not know or does not take.
pub(crate) fn param_problems(loaded: &Loaded, settings: &EngineSettings) -> Vec<Problem> {
    let model = &loaded.raw.model;
    let labels = super::spec::labels(loaded);
    let has_choice = !model.params.is_empty() || !labels.more_horizons_bars.is_empty();
    let Some(id) = model.plugin.clone().filter(|_| has_choice) else {
        return Vec::new();
    };
    let choice = Choice {
        id,
        version: model.version.clone(),
    };
    let asked = load_chosen(&choice, settings).ok();
    let specs = asked.and_then(|plugin| Some(plugin.learner_info()?.params));
    let specs = specs.unwrap_or_default();
    if specs.is_empty() {
        return Vec::new();
    }
    let params = model.params.iter();
    let own = params.filter_map(|(name, value)| {
        let message = problem(&choice.id, &specs, (name, value))?;
        Some(loaded.problem(&format!("model.params.{name}"), message))
    });
    let chosen = model.params.clone().into_iter().collect();
    let label = label_problem(&specs, &chosen, &labels).into_iter();
    let label =
        label.map(|message| loaded.problem(&format!("model.params.{LABEL_PARAM}"), message));
    own.chain(label).collect()
}

/// What is wrong with one hyper-parameter, to be read on from its key.
fn problem(plugin: &str, specs: &[ParamSpec], (name, value): (&str, &Value)) -> Option<String> {
    if let Some(spec) = specs.iter().find(|spec| spec.name == name) {
        let problem = spec.problem_with(value).filter(|_| !value.is_null())?;
        let own_name = format!("`{name}` ");
        let message = problem.strip_prefix(&own_name).unwrap_or(&problem);
        return Some(message.to_owned());
    }
    let known: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.join(", ")),
    };
    Some(format!("is no parameter of {plugin}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_on_from_its_key() {
        let specs = [ParamSpec::integer("rounds", 100, "Trees.").at_least(1.0)];
        let told = |name: &str, value: Value| problem("p", &specs, (name, &value));
        assert_eq!(told("rounds", 5.into()), None);
        assert_eq!(told("rounds", Value::Null), None);
        let wrong = "is 0; it must be a whole number of at least 1";
        assert_eq!(told("rounds", 0.into()).unwrap(), wrong);
        let unknown = "is no parameter of p; did you mean `rounds`?";
        assert_eq!(told("round", 5.into()).unwrap(), unknown);
        let far = "is no parameter of p; it has rounds";
        assert_eq!(told("learning_rate", 5.into()).unwrap(), far);
    }
}
