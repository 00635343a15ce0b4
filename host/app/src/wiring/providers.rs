//! On what hardware ONNX models run here, as the plugin that runs them finds it out.
//!
//! The plugin is loaded as for a run and asked for a probe: a model of its own that tries every
//! provider by building a session. Nothing here knows a provider.

use fusebox_loader::{discover, find, load};
use fusebox_plugin_api::config::Config;
use serde_json::Value;

use super::EngineSettings;
use super::plugins::load_options;

const PLUGIN: &str = "ai.fusebox.onnx";
/// In the usual order of preference.
const PROVIDERS: [&str; 5] = ["migraphx", "cuda", "tensorrt", "openvino", "cpu"];

/// A provider of ONNX Runtime on this machine.
#[derive(Debug)]
pub(crate) struct ProviderState {
    /// Its name.
    pub(crate) name: String,
    /// Why it does not work; `None` where it does.
    pub(crate) problem: Option<String>,
}

/// Why nothing can be said of providers.
#[derive(Debug)]
pub(crate) struct Unknown {
    /// The reason.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) advice: &'static str,
}

/// Version of the runtime and every provider; `None` where the plugin is not installed.
///
/// # Errors
/// Why nothing can be said, in words, and what to do.
pub(crate) fn providers(
    settings: &EngineSettings,
) -> Option<Result<(String, Vec<ProviderState>), Unknown>> {
    let packages = discover(&settings.plugin_dirs);
    let package = find(&packages, PLUGIN, None).ok()?;
    let plugin = || -> anyhow::Result<_> {
        let options =
            load_options(settings).map_err(|failure| anyhow::anyhow!(failure.message()))?;
        let loaded = load(package, &options)?;
        Ok((options, loaded))
    };
    let (options, loaded) = match plugin() {
        Ok(found) => found,
        Err(error) => {
            let advice = "ONNX models cannot run; see what this says of the plugin";
            let reason = format!("{error:#}");
            return Some(Err(Unknown { reason, advice }));
        }
    };
    let probe = || -> anyhow::Result<(String, Vec<ProviderState>)> {
        let config = Config::new()
            .with("probe", true)
            .with("providers", PROVIDERS.to_vec());
        let config = options.completed(PLUGIN, config);
        let model = loaded
            .create_model(&config, &[])
            .map_err(anyhow::Error::new)?;
        let notes = model.info().map_err(anyhow::Error::new)?.notes;
        let version = notes
            .get("onnxruntime")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        let outcome = |name: &str| {
            let found = notes.get("probed").and_then(|probed| probed.get(name));
            found.and_then(Value::as_str).map(|words| ProviderState {
                name: name.to_owned(),
                problem: (words != "works").then(|| words.to_owned()),
            })
        };
        let found = PROVIDERS.into_iter().filter_map(outcome).collect();
        Ok((version.to_owned(), found))
    };
    let advice = "ONNX models cannot run; run `make setup`, or name a copy in engine.libraries";
    Some(probe().map_err(|error| Unknown {
        reason: format!("{error:#}"),
        advice,
    }))
}
