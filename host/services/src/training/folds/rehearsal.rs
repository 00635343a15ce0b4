//! A fit without rows, before any data is read: a learner that needs a native library says that it
//! is not there, and one whose settings name columns or tasks that are not there says so, rather
//! than after the features of years were computed.
//!
//! Nothing is learned here. A learner that has nothing to say but that there are no rows is taken
//! as ready.

use fusebox_engine::dataset::FORWARD_RETURN;
use fusebox_engine::features::{FeatureContext, FeatureSet};
use fusebox_engine::labels::LabelConfig;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::model::{FitRequest, Learner, Metric, Progress};
use fusebox_plugin_api::params::ParamSpec;
use fusebox_plugin_api::schema::{Dataset, DatasetSchema};
use serde_json::{Map, Value};

use super::super::error::TrainingError;
use super::super::label_choice::{LABEL_PARAM, RETURN_PARAM, label_problem, return_problem};
use super::super::readout::task;
use super::super::spec::PipelineSpec;
use super::{Trainer, asks_for_returns};
use crate::data::DataRequest;

/// What is known of a fit before any data is read.
#[derive(Debug, Clone, Copy)]
pub struct FitOutline<'a> {
    /// Feature expressions.
    pub features: &'a [String],
    /// The bars that will be asked for.
    pub data: &'a DataRequest,
    /// How they will be labelled.
    pub labels: &'a LabelConfig,
}

impl<'a> FitOutline<'a> {
    /// That of a run.
    pub(super) fn of(spec: &'a PipelineSpec) -> Self {
        Self {
            features: &spec.features,
            data: &spec.data,
            labels: &spec.labels,
        }
    }

    /// The columns of a fit, without rows; `None` where features cannot be read, which is told
    /// elsewhere.
    fn dataset(&self, forward_return: bool) -> Option<Dataset> {
        let context = FeatureContext::before_data(self.data.time_frame, &self.data.symbols);
        let set = FeatureSet::parse(self.features, &context).ok()?;
        let learned = self.labels.task();
        let mut labels = learned.columns();
        labels.extend(forward_return.then(|| FORWARD_RETURN.to_owned()));
        let classes = learned.classes().iter().map(|one| (*one).to_owned());
        let schema = DatasetSchema {
            features: set.names().map(str::to_owned).collect(),
            labels,
            classes: classes.collect(),
        };
        Dataset::new(schema, Vec::new()).ok()
    }
}

/// Asks a learner for a fit of no rows, and gives what it says of its settings or its libraries;
/// that there are no rows is none of its faults.
#[must_use]
pub fn fit_without_rows(
    learner: &dyn Learner,
    config: &Config,
    outline: &FitOutline<'_>,
) -> Option<PluginError> {
    let mut config = config.clone();
    let forward_return = asks_for_returns(&mut config, outline.labels);
    let train = outline.dataset(forward_return)?;
    let request = FitRequest {
        task: &task(outline.labels),
        config: &config,
        train: &train,
        valid: None,
        environment: None,
        progress: &mut Impatient,
        checkpoint: None,
        seed: 0,
        max_threads: 1,
    };
    let told = learner.fit(request).err()?;
    let is_lasting = matches!(
        told.status(),
        Status::Config | Status::Unsupported | Status::Library
    );
    is_lasting.then_some(told)
}

/// Ends a learner that would go on without rows at its first step.
struct Impatient;

impl Progress for Impatient {
    fn report(&mut self, _: u64, _: Option<u64>, _: &[Metric<'_>]) -> Result<(), PluginError> {
        Err(PluginError::cancelled())
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn checkpoint(&mut self, _: u64, _: &[u8]) -> Result<(), PluginError> {
        Err(PluginError::cancelled())
    }
}

/// The hyper-parameters `chosen`, checked and completed; every problem at once, those that only the
/// learner can see (names of columns) too.
pub(super) fn resolved(
    (learner, known): (&dyn Learner, &[ParamSpec]),
    chosen: &Map<String, Value>,
    outline: &FitOutline<'_>,
) -> Result<Config, PluginError> {
    let resolve = |chosen: Map<String, Value>| {
        let config = Config::from_value(Value::Object(chosen))?;
        ParamSpec::resolve(known, &config, &[])
    };
    let names = name_problems(known, chosen, outline.labels);
    let refused = match resolve(chosen.clone()) {
        Ok(config) if names.is_empty() => return Ok(config),
        refused => refused.err(),
    };
    // What is told already is left out, so that it hides nothing else.
    let mut sound = sound_params(known, chosen);
    sound.retain(|key, _| !names.iter().any(|(known, _)| known == key));
    let more = resolve(sound).ok();
    let more = more.and_then(|config| fit_without_rows(learner, &config, outline));
    // That a library is not there is told once the settings are right.
    let more = more.filter(|more| more.status() == Status::Config);
    let names = names.iter().map(|(key, words)| format!("`{key}` {words}"));
    let others = refused.iter().chain(&more).map(PluginError::message);
    let words: Vec<String> = names.chain(others.map(str::to_owned)).collect();
    Err(PluginError::config(words.join("; ")))
}

/// What is wrong with the label columns that hyper-parameters name, each under its key.
#[must_use]
pub fn name_problems(
    known: &[ParamSpec],
    chosen: &Map<String, Value>,
    labels: &LabelConfig,
) -> Vec<(&'static str, String)> {
    let found = [
        (LABEL_PARAM, label_problem(known, chosen, labels)),
        (RETURN_PARAM, return_problem(known, chosen, labels)),
    ];
    let found = found.into_iter();
    found
        .filter_map(|(key, words)| Some((key, words?)))
        .collect()
}

/// Those of the hyper-parameters that are known and have values that fit.
#[must_use]
pub fn sound_params(known: &[ParamSpec], chosen: &Map<String, Value>) -> Map<String, Value> {
    let fits = |name: &str, value: &Value| {
        let spec = known.iter().find(|spec| spec.name == name);
        spec.is_some_and(|spec| value.is_null() || spec.problem_with(value).is_none())
    };
    let sound = chosen.iter().filter(|(name, value)| fits(name, value));
    sound
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Trainer<'_> {
    /// Finds out before any data is read whether the learner could fit at all.
    ///
    /// # Errors
    /// [`TrainingError::Library`] and [`TrainingError::Params`].
    pub(in crate::training) fn rehearse(&self) -> Result<(), TrainingError> {
        let outline = FitOutline::of(self.spec);
        let plugin = self.name.clone();
        match fit_without_rows(self.learner, &self.config, &outline) {
            None => Ok(()),
            Some(source) if source.status() == Status::Library => {
                Err(TrainingError::Library { plugin, source })
            }
            Some(source) => Err(TrainingError::Params { plugin, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use fusebox_plugin_api::model::{LearnerInfo, Model};
    use serde_json::json;

    use super::*;

    /// Says this to every fit, and notes what it was shown.
    struct Saying(Option<Status>);

    impl Learner for Saying {
        fn describe(&self) -> Result<LearnerInfo, PluginError> {
            Err(PluginError::unsupported("not asked for here"))
        }

        fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>, PluginError> {
            assert_eq!((request.train.rows(), request.valid.is_none()), (0, true));
            let schema = request.train.schema();
            let names = [&schema.features[..], &schema.labels[..]]
                .concat()
                .join(", ");
            match self.0 {
                Some(status) => Err(PluginError::new(status, names)),
                // One that goes on without rows is stopped at its first step.
                None => {
                    request.progress.report(1, None, &[])?;
                    unreachable!("it was not stopped")
                }
            }
        }
    }

    fn no_data() -> DataRequest {
        DataRequest {
            dir: "unused".into(),
            exchange: String::new(),
            symbols: vec!["BTCUSDT".to_owned()],
            time_frame: "1h".parse().unwrap(),
            from: None,
            to: None,
        }
    }

    #[test]
    fn a_learner_is_shown_columns_and_no_rows_and_heard_about_its_settings_alone() {
        let data = no_data();
        let features = ["rsi(14)".to_owned(), "log_return(3)".to_owned()];
        let outline = FitOutline {
            features: &features,
            data: &data,
            labels: &LabelConfig::default(),
        };
        let told = |status: Option<Status>, config: Config| {
            fit_without_rows(&Saying(status), &config, &outline)
        };
        for heard in [Status::Config, Status::Library, Status::Unsupported] {
            let error = told(Some(heard), Config::new()).unwrap();
            assert_eq!(error.status(), heard);
            assert_eq!(error.message(), "rsi(14), log_return(3), direction");
        }
        let asked = Config::new().with(RETURN_PARAM, FORWARD_RETURN);
        let error = told(Some(Status::Config), asked).unwrap();
        assert!(
            error.message().ends_with("direction, forward_return"),
            "{error}"
        );
        for passed_over in [Some(Status::Data), Some(Status::Panic), None] {
            assert_eq!(told(passed_over, Config::new()), None);
        }
    }

    #[test]
    fn what_is_wrong_by_itself_hides_nothing_else() {
        let known = [
            ParamSpec::integer("rounds", 100, "Trees.").at_least(1.0),
            ParamSpec::text(RETURN_PARAM, "", "Whose returns count."),
        ];
        let data = no_data();
        let features = ["rsi(14)".to_owned()];
        let outline = FitOutline {
            features: &features,
            data: &data,
            labels: &LabelConfig::default(),
        };
        let chosen = json!({"rounds": 0, "return_label": "zzz", "foo": 1});
        let chosen = chosen.as_object().unwrap();
        let told = |status| resolved((&Saying(Some(status)), &known), chosen, &outline);
        let all = told(Status::Config).unwrap_err();
        for part in [
            "`return_label` is `zzz`",
            "`rounds` is 0",
            "`foo`",
            "rsi(14), direction",
        ] {
            assert!(all.message().contains(part), "{part} is not in: {all}");
        }
        let without = told(Status::Library).unwrap_err();
        assert!(!without.message().contains("rsi(14)"), "{without}");
    }
}
