//! What a plugin says of `model.params`, for a configuration that cannot be used anyway.
//!
//! A run asks the plugin itself before any work, and loads it for that. Where other settings are
//! wrong there is no run, and the plugin is loaded here only so that its problems come in the same
//! list. A plugin that cannot be asked says nothing: why it cannot is told once the rest is right.

use fusebox_plugin_api::config::{Config, nearest};
use fusebox_plugin_api::error::Status;
use fusebox_plugin_api::params::ParamSpec;
use fusebox_services::training::{
    FitOutline, TrainingPlugin, fit_without_rows, name_problems, sound_params,
};
use serde_json::{Map, Value};

use super::plugins::{Choice, RunPlugin, load_chosen};
use super::{EngineSettings, libraries};
use crate::config::{Loaded, Problem};

/// Every hyper-parameter that the plugin of `loaded` does not know or does not take; where
/// `trains`, the native library that it lacks, too.
pub(crate) fn param_problems(
    loaded: &Loaded,
    settings: &EngineSettings,
    trains: bool,
) -> Vec<Problem> {
    let model = &loaded.raw.model;
    let labels = super::spec::labels(loaded);
    let has_choice = trains || !model.params.is_empty() || !labels.more_horizons_bars.is_empty();
    let Some(id) = model.plugin.clone().filter(|_| has_choice) else {
        return Vec::new();
    };
    let choice = Choice {
        id,
        version: model.version.clone(),
    };
    let asked = load_chosen(&choice, settings).ok();
    let asked = asked.and_then(|plugin| Some((plugin.learner_info()?.params, plugin)));
    let Some((specs, plugin)) = asked.filter(|(specs, _)| !specs.is_empty()) else {
        return Vec::new();
    };
    let params = model.params.iter();
    let own = params.filter_map(|(name, value)| {
        let message = problem(&choice.id, &specs, (name, value))?;
        Some(loaded.problem(&format!("model.params.{name}"), message))
    });
    let chosen: Map<String, Value> = model.params.clone().into_iter().collect();
    let names = name_problems(&specs, &chosen, &labels).into_iter();
    let names = names.map(|(key, words)| loaded.problem(&format!("model.params.{key}"), words));
    let mut problems: Vec<Problem> = own.chain(names).collect();
    // What was told above is left out, so that it hides nothing else.
    let mut sound = sound_params(&specs, &chosen);
    sound.retain(|name, _| {
        let key = format!("model.params.{name}");
        !problems.iter().any(|problem| problem.key == key)
    });
    let found = rehearsed(loaded, (&choice.id, &plugin), (&specs, sound), settings);
    problems.extend(
        found
            .filter(|(status, _)| trains || *status != Status::Library)
            .map(|(_, problem)| problem),
    );
    problems
}

/// What the learner says to a fit of no rows with hyper-parameters that are sound by themselves.
fn rehearsed(
    loaded: &Loaded,
    (id, plugin): (&str, &RunPlugin),
    (specs, sound): (&[ParamSpec], Map<String, Value>),
    settings: &EngineSettings,
) -> Option<(Status, Problem)> {
    let data = super::spec::data_request(loaded, &mut Vec::new())?;
    let outline = FitOutline {
        features: &loaded.raw.features.set,
        data: &data,
        labels: &super::spec::labels(loaded),
    };
    let missing = libraries::missing(id, &sound, settings);
    let config = Config::from_value(Value::Object(sound)).ok()?;
    let mut config = ParamSpec::resolve(specs, &config, &[]).ok()?;
    for (plugin, own) in libraries::host_settings(settings) {
        let own = own.keys().filter_map(|key| Some((key, own.value(key)?)));
        for (key, value) in own.filter(|_| plugin == id) {
            config.set(key, value.clone());
        }
    }
    let told = fit_without_rows(plugin.learner()?, &config, &outline)?;
    let problem = match told.status() {
        Status::Library => {
            // The plugin knows less of where its library could be.
            let words = match missing.is_empty() {
                true => told.message().to_owned(),
                false => missing.join("; "),
            };
            // Whoever named the library, if anybody, is in the words.
            Problem::invalid(
                "engine.libraries".to_owned(),
                None,
                format!("lack a library that can be used: {words}"),
            )
        }
        _ => loaded.problem("model.params", format!("are wrong: {}", told.message())),
    };
    Some((told.status(), problem))
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
