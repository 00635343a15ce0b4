//! The composition root: the only place that names concrete sources, plugins and services.
//!
//! Configuration comes in, a run is put together and started here. What the values mean together is
//! checked in `spec`, plugins are found in `plugins`, native libraries in `libraries`.

pub(crate) mod audit;
pub(crate) mod backtest;
pub(crate) mod gate;
mod installed;
mod libraries;
pub(crate) mod live;
pub(crate) mod models;
mod params;
mod plugins;
mod providers;
mod spec;
pub(crate) mod train;
mod trust;
mod update;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fusebox_engine::backtest::impossible_lots;
use fusebox_engine::types::Market;
use fusebox_loader::WorkerOptions;
use fusebox_services::data::{
    DataRequest, DataSource, ParquetDirectory, Simulated, SimulatedConfig,
};
use fusebox_services::progress::Progress;
use fusebox_services::training::{
    self, OutputError, PipelineSpec, RunEnvironment, RunSummary, TrainingError,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::raw::RawSource;
use crate::config::{ConfigError, Loaded, Problem};
use crate::failure::Failure;

pub(crate) use installed::{Installed, Standing};
pub(crate) use libraries::libraries;
pub(crate) use params::param_problems;
pub(crate) use plugins::{PluginState, State, describe, load_options, plugins, plugins_now};
pub(crate) use providers::{ProviderState, providers};
pub(crate) use trust::{TrustSettings, in_use, now_unix_s};
pub(crate) use update::{register_update, update};

/// What a run needs to know of the machine.
#[derive(Debug, Clone)]
pub(crate) struct EngineSettings {
    /// Where plugins are looked for.
    pub(crate) plugin_dirs: Vec<PathBuf>,
    /// Where the private copies of loaded plugins lie.
    pub(crate) cache_dir: PathBuf,
    /// Where is kept what must survive a restart.
    pub(crate) state_dir: PathBuf,
    /// The registry of trained models.
    pub(crate) registry_dir: PathBuf,
    /// Which plugins may run, and where.
    pub(crate) trust: TrustSettings,
    /// How worker processes are limited.
    pub(crate) worker: WorkerOptions,
    /// Where model packages are looked for.
    pub(crate) model_dirs: Vec<PathBuf>,
    /// Whether only models go live whose features passed an audit.
    pub(crate) require_audit: bool,
    /// Configured native libraries by name.
    pub(crate) libraries: BTreeMap<String, PathBuf>,
    variables: Vec<(String, String)>,
}

impl EngineSettings {
    /// The settings of a configuration, in an environment.
    pub(crate) fn new(loaded: &Loaded, variables: &[(String, String)]) -> Self {
        let engine = &loaded.raw.engine;
        Self {
            plugin_dirs: engine.plugin_dirs.iter().map(PathBuf::from).collect(),
            cache_dir: PathBuf::from(&engine.cache_dir),
            state_dir: PathBuf::from(&engine.state_dir),
            registry_dir: PathBuf::from(&engine.registry_dir),
            trust: TrustSettings::new(engine),
            worker: engine.worker.options(),
            model_dirs: engine.live.model_dirs.iter().map(PathBuf::from).collect(),
            require_audit: engine.live.require_audit,
            libraries: engine
                .libraries
                .iter()
                .map(|(name, path)| (name.clone(), PathBuf::from(path)))
                .collect(),
            variables: variables.to_vec(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(other, _)| other == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// A run that has been checked and can be started.
pub(crate) struct CheckedRun {
    spec: PipelineSpec,
    source: Box<dyn DataSource>,
    /// Whether the source is a data directory.
    has_files: bool,
    plugin: plugins::Choice,
    settings: EngineSettings,
}

impl CheckedRun {
    /// SHA-256 of everything in the configuration that a result depends on.
    pub(crate) fn config_digest(&self) -> &str {
        &self.spec.provenance.config_sha256
    }
}

/// Checks a configuration for a run. A plugin is loaded and data is read only where something is
/// wrong, so that what they say comes with it.
///
/// # Errors
/// [`ConfigError::Problems`] with everything that is wrong.
pub(crate) fn check(
    loaded: &Loaded,
    problems: Vec<Problem>,
    settings: EngineSettings,
    command_line: String,
) -> Result<CheckedRun, ConfigError> {
    let by = (settings, command_line);
    let mut asked = Asked {
        trains: true,
        ..Asked::default()
    };
    check_again(loaded, problems, by, &mut asked)
}

/// What a plugin and the data had to say to the configurations before, so that neither is asked
/// again for each of many that differ in other things.
#[derive(Default)]
pub(crate) struct Asked {
    /// Whether something is going to be trained, which needs native libraries.
    trains: bool,
    /// By the model's settings and the labels.
    params: Option<(String, Vec<Problem>)>,
    /// `None` inside where it could not be read.
    market: Option<(DataRequest, Option<Market>)>,
}

impl Asked {
    fn params(&mut self, loaded: &Loaded, settings: &EngineSettings) -> Vec<Problem> {
        let (data, features) = (&loaded.raw.data, &loaded.raw.features.set);
        let of = format!("{:?} {:?}", loaded.raw.model, spec::labels(loaded));
        let of = format!("{of} {features:?} {:?} {:?}", data.symbols, data.time_frame);
        let known = self.params.take().filter(|(known, _)| *known == of);
        let known = known.unwrap_or_else(|| (of, param_problems(loaded, settings, self.trains)));
        self.params.insert(known).1.clone()
    }

    fn market(&mut self, source: &dyn DataSource, request: DataRequest) -> Option<&Market> {
        let known = self.market.take().filter(|(known, _)| *known == request);
        let known = known.unwrap_or_else(|| {
            let loaded = source.load(&request).ok();
            (request, loaded.map(|loaded| loaded.market))
        });
        self.market.insert(known).1.as_ref()
    }
}

/// The same for one of several configurations of the same data.
///
/// # Errors
/// [`ConfigError::Problems`] with everything that is wrong.
pub(crate) fn check_again(
    loaded: &Loaded,
    mut problems: Vec<Problem>,
    (settings, command_line): (EngineSettings, String),
    asked: &mut Asked,
) -> Result<CheckedRun, ConfigError> {
    problems.extend(unknown_libraries(loaded));
    let source = source(loaded, &mut problems);
    let spec = spec::pipeline(loaded, problems, command_line).map_err(|error| match error {
        ConfigError::Problems(mut problems) => {
            problems.extend(asked.params(loaded, &settings));
            problems.extend(lot_problems(loaded, source.as_deref(), asked));
            ConfigError::Problems(problems)
        }
        error => error,
    })?;
    let (Some(source), Some(id)) = (source, loaded.raw.model.plugin.clone()) else {
        return Err(ConfigError::Internal(
            "a checked section is missing".to_owned(),
        ));
    };
    let plugin = plugins::Choice {
        id,
        version: loaded.raw.model.version.clone(),
    };
    Ok(CheckedRun {
        spec,
        has_files: loaded.raw.data.source == RawSource::Files,
        source,
        plugin,
        settings,
    })
}

/// Where a run goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The run directory.
    pub(crate) out: &'a Path,
    /// Whether a run that is there may be replaced.
    pub(crate) overwrite: bool,
}

/// Carries out a run.
///
/// # Errors
/// [`Failure`] with exit code 2 where other settings are needed, 1 for everything else.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam where the duration of a run is measured, for the report only"
)]
pub(crate) fn start(
    run: CheckedRun,
    target: Target<'_>,
    progress: &dyn Progress,
) -> Result<RunSummary, Failure> {
    let began = Instant::now();
    let mut spec = run.spec;
    let plugin = plugins::load_chosen(&run.plugin, &run.settings)?;
    let missing = libraries::missing(&run.plugin.id, &spec.model.params, &run.settings);
    add_machine(&mut spec, &run.plugin.id, &run.settings);
    let environment = RunEnvironment {
        source: run.source.as_ref(),
        plugin: &plugin,
        out: target.out,
        overwrite: target.overwrite,
        progress,
        elapsed_s: &|| began.elapsed().as_secs_f64(),
    };
    training::run(&spec, &environment).map_err(|error| failure_without(error, missing))
}

/// As [`failure`], where these libraries were not found: a plugin that lacks one knows less of
/// where it could be.
fn failure_without(error: TrainingError, missing: Vec<String>) -> Failure {
    match (&error, missing.is_empty()) {
        (TrainingError::Library { .. }, false) => {
            Failure::Refused(anyhow::Error::from(error).context(missing.join("; ")))
        }
        _ => failure(error),
    }
}

fn failure(error: TrainingError) -> Failure {
    use OutputError::{NotADirectory, NotARun, NotATraining, NotEmpty, PartialDiffers};
    match error {
        TrainingError::Output(
            NotEmpty(_) | NotARun(_) | NotADirectory(_) | NotATraining(_) | PartialDiffers { .. },
        ) => Failure::Usage(error.to_string()),
        error if error.is_configuration() => Failure::Refused(error.into()),
        error => Failure::Failed(error.into()),
    }
}

/// Version of the compiler, which calls itself `rustc 1.95.0 (…)`.
fn compiler() -> &'static str {
    let told = env!("FUSEBOX_RUSTC_VERSION");
    told.strip_prefix("rustc ").unwrap_or(told)
}

/// Adds what only this machine knows: paths of native libraries, versions.
fn add_machine(spec: &mut PipelineSpec, plugin: &str, settings: &EngineSettings) {
    let mut versions = vec![
        ("fusebox".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("rustc".to_owned(), compiler().to_owned()),
    ];
    for library in libraries::LIBRARIES {
        if !library.is_used(plugin, &spec.model.params) {
            continue;
        }
        match libraries::find(&library, settings) {
            Ok(found) => {
                let path = Value::String(found.path.display().to_string());
                spec.model
                    .host_settings
                    .insert(library.setting.to_owned(), path);
                versions.extend(
                    found
                        .version
                        .map(|version| (library.name.to_owned(), version)),
                );
            }
            // The plugin has the last word: it may find the library by other means, and is asked
            // before any data is read.
            Err(reason) => {
                tracing::info!("{}: {reason}", library.name);
                if let Some(path) = libraries::path_for(&library, settings) {
                    let path = Value::String(path.display().to_string());
                    let setting = library.setting.to_owned();
                    spec.model.host_settings.insert(setting, path);
                }
            }
        }
    }
    spec.provenance.versions = versions;
}

/// Libraries that nobody would look for.
fn unknown_libraries(loaded: &Loaded) -> Vec<Problem> {
    let known: Vec<&str> = libraries::LIBRARIES.iter().map(|one| one.name).collect();
    let names = loaded.raw.engine.libraries.keys();
    names
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| {
            let message = format!(
                "is no library that a plugin asks for; known: {}",
                known.join(", ")
            );
            loaded.problem(&format!("engine.libraries.{name}"), message)
        })
        .collect()
}

/// Lots that the account could never pay for. Data that cannot be read says nothing here: that is
/// told when everything else is right.
fn lot_problems(
    loaded: &Loaded,
    source: Option<&dyn DataSource>,
    asked: &mut Asked,
) -> Vec<Problem> {
    let mut others = Vec::new();
    let request = spec::data_request(loaded, &mut others);
    let (Some(source), Some(request), true) = (source, request, others.is_empty()) else {
        return Vec::new();
    };
    let config = spec::session_in_part(loaded);
    let Some(market) = asked.market(source, request) else {
        return Vec::new();
    };
    let found = impossible_lots(market, &config).into_iter();
    let told = found.filter(|one| !loaded.is_refused(&one.key));
    told.map(|one| loaded.problem(&one.key, one.message))
        .collect()
}

/// The source of bars; `None` where the configuration does not make one, which is reported.
fn source(loaded: &Loaded, problems: &mut Vec<Problem>) -> Option<Box<dyn DataSource>> {
    let data = &loaded.raw.data;
    if data.source == RawSource::Files {
        return Some(Box::new(ParquetDirectory));
    }
    // What cannot be read here is reported where `[data]` is checked.
    let market = SimulatedConfig {
        symbols: data.symbols.clone(),
        time_frame: data.time_frame.as_ref()?.parse().ok()?,
        from: data.from.as_ref()?.parse().ok()?,
        to: data.to.as_ref()?.parse().ok()?,
        ..SimulatedConfig::default()
    };
    let config = data.simulated.config(market);
    for problem in config.problems() {
        problems.push(simulation_problem(loaded, &problem));
    }
    Simulated::new(config)
        .ok()
        .map(|source| Box::new(source) as Box<dyn DataSource>)
}

/// Puts a problem of the simulator under its key: those of the range are keys of `[data]`.
fn simulation_problem(loaded: &Loaded, problem: &str) -> Problem {
    let named = problem
        .strip_prefix('`')
        .and_then(|rest| rest.split_once('`'));
    match named {
        Some((key @ ("symbols" | "time_frame" | "from" | "to"), message)) => {
            loaded.problem(&format!("data.{key}"), message.trim_start())
        }
        Some((key, message)) => {
            loaded.problem(&format!("data.simulated.{key}"), message.trim_start())
        }
        None => loaded.problem("data.simulated", format!("is wrong: {problem}")),
    }
}

/// Bytes in lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
