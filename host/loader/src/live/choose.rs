//! Which of the packages that are there a model should run: a function of what lies there, what the
//! operator asked for, and what is live.

use super::catalog::{Catalog, Found, FoundModel};
use super::policy::{ModelSource, VersionPolicy};
use crate::manifest::version_numbers;

/// What a model should run.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The plugin.
    pub plugin: Found,
    /// The model package, where the model comes from one.
    pub model: Option<FoundModel>,
}

impl Target {
    /// Identifies everything that it is made of.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match &self.model {
            Some(model) => format!("{}+{}", self.plugin.fingerprint, model.found.fingerprint),
            None => self.plugin.fingerprint.clone(),
        }
    }
}

/// The part of a fingerprint that stands for the code.
#[must_use]
pub fn code_of(fingerprint: &str) -> &str {
    fingerprint.split('+').next().unwrap_or_default()
}

/// The part of a fingerprint that stands for the model package, where it has one.
#[must_use]
pub fn weights_of(fingerprint: &str) -> Option<&str> {
    fingerprint.split_once('+').map(|(_, weights)| weights)
}

/// The version that an operator pinned a plugin to.
pub type PluginPin<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What a choice depends on, beside what lies there.
#[expect(missing_debug_implementations, reason = "it holds functions")]
pub struct Wanted<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Where it comes from.
    pub source: &'a ModelSource,
    /// A version that the operator pinned the model (or its plugin, where it has no package) to.
    pub pin: Option<&'a str>,
    /// A version that the operator pinned the plugin of a model package to.
    pub plugin_pin: Option<&'a PluginPin<'a>>,
    /// Fingerprints that are kept out.
    pub kept_out: &'a dyn Fn(&str) -> bool,
    /// What is live.
    pub live: Option<Live<'a>>,
}

/// What is live.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// Version of the plugin.
    pub plugin: &'a str,
    /// Version of the model package.
    pub model: Option<&'a str>,
    /// Identifies everything it was made of.
    pub fingerprint: &'a str,
}

/// What the model should run, `None` where that is what it runs already, or where there is nothing.
///
/// A version below the live one is chosen by a pin only.
#[must_use]
pub fn choose(catalog: &Catalog, wanted: &Wanted<'_>) -> Option<Target> {
    let (target, is_pinned) = best(catalog, wanted)?;
    let Some(live) = wanted.live else {
        return Some(target);
    };
    if target.fingerprint() == live.fingerprint {
        return None;
    }
    let is_older = match (&target.model, live.model) {
        (Some(model), Some(version)) if version_numbers(version) != Some(model.found.numbers) => {
            Some(model.found.numbers) < version_numbers(version)
        }
        _ => Some(target.plugin.numbers) < version_numbers(live.plugin),
    };
    (is_pinned || !is_older).then_some(target)
}

fn best(catalog: &Catalog, wanted: &Wanted<'_>) -> Option<(Target, bool)> {
    match wanted.source {
        ModelSource::Plugin { id, versions, .. } => {
            let pin = pin_of(wanted.pin, versions);
            let plugins = newest_first(&catalog.plugins, id, pin);
            let targets = plugins.into_iter().map(|plugin| Target {
                plugin: plugin.clone(),
                model: None,
            });
            let target = first_allowed(targets, wanted)?;
            Some((target, pin.is_some()))
        }
        ModelSource::Packages {
            versions,
            plugin_versions,
        } => {
            let pin = pin_of(wanted.pin, versions);
            let mut models: Vec<&FoundModel> = catalog
                .models
                .iter()
                .filter(|model| model.found.name == wanted.name)
                .filter(|model| pin.is_none_or(|pin| model.found.version == pin))
                .collect();
            models.sort_by_key(|model| std::cmp::Reverse(model.found.numbers));
            let targets = models.into_iter().flat_map(|model| {
                let manifest = model.manifest.as_ref();
                let plugin = manifest.map_or("", |manifest| manifest.plugin.as_str());
                let pinned = wanted.plugin_pin.and_then(|pin| pin(plugin));
                let pin = pin_of(pinned.as_deref(), plugin_versions).map(str::to_owned);
                let plugins = newest_first(&catalog.plugins, plugin, pin.as_deref());
                let takes = move |plugin: &&Found| {
                    manifest.is_some_and(|manifest| manifest.takes_plugin(&plugin.version))
                };
                plugins.into_iter().filter(takes).map(|plugin| Target {
                    plugin: plugin.clone(),
                    model: Some(model.clone()),
                })
            });
            let target = first_allowed(targets, wanted)?;
            let is_pinned = pin.is_some() || matches!(plugin_versions, VersionPolicy::Pinned(_));
            let has_pin = wanted
                .plugin_pin
                .is_some_and(|pin| pin(&target.plugin.name).is_some());
            Some((target, is_pinned || has_pin))
        }
    }
}

fn first_allowed(mut targets: impl Iterator<Item = Target>, wanted: &Wanted<'_>) -> Option<Target> {
    targets.find(|target| !(wanted.kept_out)(&target.fingerprint()))
}

fn pin_of<'a>(pin: Option<&'a str>, versions: &'a VersionPolicy) -> Option<&'a str> {
    pin.or(match versions {
        VersionPolicy::Pinned(version) => Some(version),
        VersionPolicy::Latest | VersionPolicy::LatestN(_) => None,
    })
}

fn newest_first<'a>(plugins: &'a [Found], id: &str, pin: Option<&str>) -> Vec<&'a Found> {
    let mut fitting: Vec<&Found> = plugins
        .iter()
        .filter(|plugin| plugin.name == id && pin.is_none_or(|pin| plugin.version == pin))
        .collect();
    fitting.sort_by_key(|plugin| std::cmp::Reverse(plugin.numbers));
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::model_package::ModelManifest;
    use fusebox_plugin_api::config::Config;

    fn found(name: &str, version: &str) -> Found {
        Found {
            name: name.to_owned(),
            version: version.to_owned(),
            numbers: version_numbers(version).unwrap(),
            path: format!("/{name}/{version}").into(),
            fingerprint: format!("{name}-{version}"),
        }
    }

    fn model(version: &str, range: Option<&str>) -> FoundModel {
        FoundModel {
            found: found("m", version),
            problem: None,
            manifest: Some(ModelManifest {
                model: 1,
                name: "m".to_owned(),
                version: version.to_owned(),
                plugin: "a.b".to_owned(),
                plugin_version: range.map(str::to_owned),
                audit: None,
                feature_set: None,
                bars: None,
                params: toml::Table::new(),
                artifact: None,
                scaler: None,
                readout: None,
                golden: None,
            }),
        }
    }

    fn catalog() -> Catalog {
        Catalog {
            plugins: vec![
                found("a.b", "1.0.0"),
                found("a.b", "1.1.0"),
                found("c.d", "9.0.0"),
            ],
            models: vec![model("1.0.0", None), model("2.0.0", Some("<1.1.0"))],
        }
    }

    fn plugin_source() -> ModelSource {
        ModelSource::Plugin {
            id: "a.b".to_owned(),
            versions: VersionPolicy::Latest,
            config: Config::new(),
            artifact: Vec::new(),
        }
    }

    fn chosen(
        source: &ModelSource,
        pin: Option<&str>,
        out: &[&str],
        live: Option<Live<'_>>,
    ) -> Option<String> {
        let kept_out = |fingerprint: &str| out.contains(&fingerprint);
        let wanted = Wanted {
            name: "m",
            source,
            pin,
            plugin_pin: None,
            kept_out: &kept_out,
            live,
        };
        choose(&catalog(), &wanted).map(|target| target.fingerprint())
    }

    fn live(plugin: &'static str, fingerprint: &'static str) -> Option<Live<'static>> {
        Some(Live {
            plugin,
            model: None,
            fingerprint,
        })
    }

    #[test]
    fn the_newest_is_chosen_and_a_lower_one_only_by_pin() {
        let source = plugin_source();
        assert_eq!(chosen(&source, None, &[], None).unwrap(), "a.b-1.1.0");
        assert_eq!(chosen(&source, None, &[], live("1.1.0", "a.b-1.1.0")), None);
        assert_eq!(
            chosen(&source, None, &["a.b-1.1.0"], live("1.1.0", "x")),
            None
        );
        assert_eq!(
            chosen(&source, None, &["a.b-1.1.0"], None).unwrap(),
            "a.b-1.0.0"
        );
        let pinned = chosen(&source, Some("1.0.0"), &[], live("1.1.0", "a.b-1.1.0"));
        assert_eq!(pinned.unwrap(), "a.b-1.0.0");
        assert_eq!(chosen(&source, Some("3.0.0"), &[], None), None);
        assert_eq!(chosen(&source, None, &[], live("2.0.0", "a.b-2.0.0")), None);
        let replaced = chosen(&source, None, &[], live("1.1.0", "a.b-1.1.0-before"));
        assert_eq!(
            replaced.unwrap(),
            "a.b-1.1.0",
            "the same version with another content"
        );
    }

    #[test]
    fn a_model_package_chooses_a_plugin_that_fits_it() {
        let source = ModelSource::Packages {
            versions: VersionPolicy::Latest,
            plugin_versions: VersionPolicy::Latest,
        };
        assert_eq!(
            chosen(&source, None, &[], None).unwrap(),
            "a.b-1.0.0+m-2.0.0"
        );
        let out = ["a.b-1.0.0+m-2.0.0"];
        assert_eq!(
            chosen(&source, None, &out, None).unwrap(),
            "a.b-1.1.0+m-1.0.0"
        );
        let old = chosen(&source, Some("1.0.0"), &[], None);
        assert_eq!(old.unwrap(), "a.b-1.1.0+m-1.0.0");
        assert_eq!(code_of("a.b-1.1.0+m-1.0.0"), "a.b-1.1.0");
        let newer_live = Some(Live {
            plugin: "1.1.0",
            model: Some("3.0.0"),
            fingerprint: "x",
        });
        assert_eq!(chosen(&source, None, &[], newer_live), None);
    }
}
