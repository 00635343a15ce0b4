//! The configuration of a model, checked as a whole.

use std::path::PathBuf;

use fusebox_plugin_api::prelude::*;
use serde::Deserialize;

use crate::library::LIBRARY_KEY;
use crate::provider::Provider;

/// What the plugin understands.
pub(crate) const KEYS: [&str; 21] = [
    LIBRARY_KEY,
    "providers",
    "device",
    "intra_threads",
    "inter_threads",
    "batch_rows",
    "missing",
    "fill",
    "input",
    "output",
    "task",
    "classes",
    "levels",
    "outputs",
    "features",
    "feature_set",
    "source_model",
    "window",
    "activation",
    "probe",
    "label",
];

const MAX_THREADS: u32 = 256;
const MAX_BATCH_ROWS: usize = 1 << 16;
const MAX_WINDOW: usize = 1 << 16;

/// What happens to a missing value, which is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    /// The model gets it; trees know what to do with it.
    Pass,
    /// The row is refused.
    Refuse,
    /// The model gets the number `fill` instead.
    Fill,
}

/// What the numbers of the output go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Activation {
    /// Nothing: they are what is wanted.
    None,
    /// The logistic function of each, for outputs that are log-odds.
    Sigmoid,
    /// Shares of the exponentials of a row, for outputs that are logits of classes.
    Softmax,
}

/// A kind of answer, for files that do not say theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Probabilities of `classes`.
    Classification,
    /// Numbers.
    Regression,
    /// Quantiles at `levels`.
    Quantiles,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Path of ONNX Runtime.
    pub(crate) library: Option<PathBuf>,
    /// In order of preference; at least one.
    pub(crate) providers: Vec<Provider>,
    /// Number of the device of a provider that has several.
    pub(crate) device: i32,
    /// Threads within an operation.
    pub(crate) intra_threads: u32,
    /// Threads for operations beside each other.
    pub(crate) inter_threads: u32,
    /// Most rows that go through the model together; a power of two.
    pub(crate) batch_rows: usize,
    /// What happens to NaN.
    pub(crate) missing: Missing,
    /// The number for NaN, where it is filled.
    pub(crate) fill: f32,
    /// Name of the input to use.
    pub(crate) input: Option<String>,
    /// Name of the output to use.
    pub(crate) output: Option<String>,
    /// Kind of the answer.
    pub(crate) task: Option<Kind>,
    /// Names of the classes, in the order of the output.
    pub(crate) classes: Vec<String>,
    /// Levels of the quantiles, ascending.
    pub(crate) levels: Vec<f64>,
    /// Names of the answers.
    pub(crate) outputs: Vec<String>,
    /// Names of the features, in order.
    pub(crate) features: Vec<String>,
    /// Digest of the feature set.
    pub(crate) feature_set: Option<String>,
    /// Digest of the model that the file was written from.
    pub(crate) source_model: Option<String>,
    /// Steps of a row, where the file does not say.
    pub(crate) window: Option<usize>,
    /// What the output goes through.
    pub(crate) activation: Activation,
    /// Name of what is predicted.
    pub(crate) label: Option<String>,
}

impl Settings {
    /// Reads a configuration; every problem in one error.
    pub(crate) fn resolve(config: &Config) -> Result<Self> {
        let mut problems = config.unknown_keys(&KEYS);
        let mut read = Reader {
            config,
            problems: &mut problems,
        };
        let providers: Vec<String> = read.get("providers", vec![Provider::CPU.to_owned()]);
        let settings = Self {
            library: read.optional(LIBRARY_KEY),
            providers: Vec::new(),
            device: read.get("device", 0),
            intra_threads: read.get("intra_threads", 1),
            inter_threads: read.get("inter_threads", 1),
            batch_rows: read.get("batch_rows", 1_024),
            missing: read.get("missing", Missing::Pass),
            fill: read.get("fill", 0.0),
            input: read.optional("input"),
            output: read.optional("output"),
            task: read.optional("task"),
            classes: read.get("classes", Vec::new()),
            levels: read.get("levels", Vec::new()),
            outputs: read.get("outputs", Vec::new()),
            features: read.get("features", Vec::new()),
            feature_set: read.optional("feature_set"),
            source_model: read.optional("source_model"),
            window: read.optional("window"),
            activation: read.get("activation", Activation::None),
            label: read.optional("label"),
        };
        let providers = providers_of(&providers, &mut problems);
        settings.check(&mut problems);
        match problems.is_empty() {
            true => Ok(Self {
                providers,
                batch_rows: settings.batch_rows.next_power_of_two(),
                ..settings
            }),
            false => Err(PluginError::config(problems.join("; "))),
        }
    }

    fn check(&self, problems: &mut Vec<String>) {
        for (key, threads) in [
            ("intra_threads", self.intra_threads),
            ("inter_threads", self.inter_threads),
        ] {
            if !(1..=MAX_THREADS).contains(&threads) {
                problems.push(format!(
                    "key `{key}` is {threads}; it must lie in 1..={MAX_THREADS}"
                ));
            }
        }
        if !(1..=MAX_BATCH_ROWS).contains(&self.batch_rows) {
            let rows = self.batch_rows;
            problems.push(format!(
                "key `batch_rows` is {rows}; it must lie in 1..={MAX_BATCH_ROWS}"
            ));
        }
        if self
            .window
            .is_some_and(|steps| !(1..=MAX_WINDOW).contains(&steps))
        {
            problems.push(format!("key `window` must lie in 1..={MAX_WINDOW}"));
        }
        if self.device < 0 {
            problems.push(format!(
                "key `device` is {}; it must not be negative",
                self.device
            ));
        }
        if !self.fill.is_finite() {
            problems.push("key `fill` must be a finite number".to_owned());
        }
        for (key, names) in [
            ("classes", &self.classes),
            ("outputs", &self.outputs),
            ("features", &self.features),
        ] {
            if let Some(twice) = repeated(names) {
                problems.push(format!("key `{key}` names `{twice}` twice"));
            }
        }
        if !self.levels.is_sorted_by(|a, b| a < b)
            || self
                .levels
                .iter()
                .any(|level| !(*level > 0.0 && *level < 1.0))
        {
            problems.push("key `levels` must ascend between 0 and 1".to_owned());
        }
        match self.task {
            Some(Kind::Classification) if self.classes.len() == 1 => {
                problems.push("key `classes` must name at least two classes".to_owned());
            }
            Some(Kind::Quantiles) if self.levels.is_empty() => {
                problems.push("key `levels` is missing; quantiles need their levels".to_owned());
            }
            _ => {}
        }
    }
}

fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().find(|name| !seen.insert(name.as_str()))
}

fn providers_of(names: &[String], problems: &mut Vec<String>) -> Vec<Provider> {
    let mut providers = Vec::new();
    for name in names {
        match Provider::named(name) {
            Some(provider) if providers.contains(&provider) => {
                problems.push(format!("key `providers` names `{name}` twice"));
            }
            Some(provider) => providers.push(provider),
            None => problems.push(format!(
                "key `providers` names `{name}`; known are {}",
                Provider::ALL.map(Provider::name).join(", ")
            )),
        }
    }
    if names.is_empty() {
        problems.push("key `providers` names none; the usual one is `cpu`".to_owned());
    }
    providers
}

/// Reads keys and collects what is wrong with them.
struct Reader<'a> {
    config: &'a Config,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn optional<T: serde::de::DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.config.optional(key) {
            Ok(value) => value,
            Err(error) => {
                self.problems.push(error.message().to_owned());
                None
            }
        }
    }

    fn get<T: serde::de::DeserializeOwned>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = Config::new()
            .with("providers", vec!["gpu", "cpu", "cpu"])
            .with("intra_threads", 0)
            .with("batch_rows", "many")
            .with("levels", vec![0.5, 0.1])
            .with("features", vec!["a", "a"])
            .with("thread", 1);
        let error = Settings::resolve(&config).unwrap_err();
        assert_eq!(error.status(), Status::Config);
        for words in [
            "`gpu`; known are migraphx, cuda, tensorrt, openvino, cpu",
            "names `cpu` twice",
            "`intra_threads` is 0",
            "`batch_rows` is \"many\"",
            "`levels` must ascend",
            "`features` names `a` twice",
            "unknown key `thread`",
        ] {
            assert!(error.message().contains(words), "{words} not in {error}");
        }
    }

    #[test]
    fn the_defaults_are_one_thread_on_the_processor() {
        let settings = Settings::resolve(&Config::new()).unwrap();
        assert_eq!((settings.intra_threads, settings.inter_threads), (1, 1));
        assert_eq!(settings.providers, [Provider::Cpu]);
        let odd = Settings::resolve(&Config::new().with("batch_rows", 1_000)).unwrap();
        assert_eq!(odd.batch_rows, 1_024);
    }
}
