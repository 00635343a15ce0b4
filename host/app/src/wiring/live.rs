//! Live models, put together: the supervisor over the plugin directories, a model, the bars that
//! it is fed with, and what a person or a program reads meanwhile.

mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet};
use fusebox_engine::types::{Market, TimeFrame, Timestamp};
use fusebox_loader::live::{
    LiveModel, ModelSource, ModelSpec, Supervisor, SupervisorOptions, VersionPolicy, WorkerProber,
};
use fusebox_loader::{Clock, SystemClock};
use fusebox_plugin_api::config::Config;
use fusebox_services::serving::{KeptState, LiveRows, ModelServer, ServedRows};
use fusebox_services::training::{ModelFeatures, ModelFiles, ModelReadout, ReadoutNeeds};

use super::{EngineSettings, gate};
use crate::config::{Loaded, Problem};
use crate::failure::Failure;
use crate::output::Output;
use show::Show;

/// Longest wait between two looks at what else happened.
const SLICE: Duration = Duration::from_millis(20);

/// What a model that names no features is fed with where nobody chose any.
const DEFAULT_FEATURES: &str = "log_return(1)";

/// What is to be served.
#[derive(Debug)]
pub(crate) struct ServePlan {
    /// Plugin, instead of the pipeline's.
    pub(crate) plugin: Option<String>,
    /// Versions to follow.
    pub(crate) versions: String,
    /// Configuration as JSON, instead of the pipeline's.
    pub(crate) params: Option<String>,
    /// Artifact of the model.
    pub(crate) artifact: Option<PathBuf>,
    /// Name of a model package.
    pub(crate) model: Option<String>,
    /// Features, instead of the pipeline's.
    pub(crate) features: Option<String>,
    /// Whether to go on where the last serving of the model stopped.
    pub(crate) resume: bool,
    /// How fast, and how long.
    pub(crate) pace: Pace,
}

/// How fast bars close, and how many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    step: Duration,
    steps: Option<u64>,
}

impl Pace {
    /// `bars_per_second` closing times a second (0 for no waiting), `steps` of them.
    ///
    /// # Errors
    /// A sentence where the rate is none.
    pub(crate) fn new(bars_per_second: f64, steps: Option<u64>) -> Result<Self, String> {
        let step = match bars_per_second {
            0.0 => Duration::ZERO,
            rate if (1e-4..=1e6).contains(&rate) => Duration::from_secs_f64(1.0 / rate),
            rate => {
                return Err(format!(
                    "--bars-per-second is {rate}; it must be 0 or lie between 0.0001 and 1000000"
                ));
            }
        };
        Ok(Self { step, steps })
    }
}

/// Serves until the bars end, the number of steps is reached or `stop` is set.
///
/// # Errors
/// [`Failure`] with exit code 2 for what is asked for wrongly, 1 for what fails.
pub(crate) fn serve(
    loaded: &Loaded,
    settings: &EngineSettings,
    plan: &ServePlan,
    stop: &AtomicBool,
    output: Output,
) -> Result<(), Failure> {
    let (mut spec, market, files) = prepare(loaded, plan)?;
    let name = spec.name.clone();
    let rows = match &files {
        Some(files) => ServedRows::of_model(files.scaler.clone(), files.readout.clone()),
        None => ServedRows::new(),
    };
    let rows = Arc::new(rows.requiring_audit(settings.require_audit));
    if let Some(files) = files.as_ref().filter(|_| settings.require_audit) {
        gate::pass(&gate::Gated::of_files(files), settings)?;
    }
    spec.rows = Some(rows.clone());
    let gaps = ExtractOptions {
        max_gap_bars: loaded.raw.features.max_gap_bars,
    };
    if let Some(names) = chosen_features(loaded, plan) {
        rows.choose(&feature_set(&names, &market)?, market.time_frame(), gaps);
    }
    let supervisor = Supervisor::start(options(settings)?).map_err(anyhow::Error::from)?;
    let mut show = Show::new(output, market.names().map(str::to_owned).collect());
    let model = supervisor.add(spec);
    show.events(supervisor.audit())?;
    let model = model.map_err(|error| Failure::Failed(error.into()))?;
    let kept = KeptState::of_model(&settings.state_dir, &name);
    let kept = plan.resume.then_some(kept);
    let names = features_of(&model, loaded, plan);
    let set = feature_set(&names, &market)?;
    rows.choose(&set, market.time_frame(), gaps);
    let wanted = Wanted {
        set,
        options: gaps,
        needs: needs_of(&model),
    };
    let is_read = model.generation().dressing.readout.is_some();
    rows.follow(is_read, wanted.needs);
    if let (Some(files), Some(path)) = (&files, &plan.artifact) {
        require_trained_on((path, files), &wanted, market.time_frame())?;
    }
    let mut server = server(&name, model, &wanted, kept.as_ref(), &market)?;
    show.outputs(server.outputs().to_vec());
    let mut keeper = Keeper::new(kept);
    let ended = walk(
        &mut server,
        &market,
        (plan.pace, &mut keeper),
        (&supervisor, stop),
        &mut show,
    );
    let is_kept = keeper.keep(server.rows());
    show.events(supervisor.audit())?;
    show.summary(&supervisor.status())?;
    ended.and(is_kept)
}

/// The supervisor's options on this machine.
fn options(settings: &EngineSettings) -> Result<SupervisorOptions, Failure> {
    let mut options = SupervisorOptions::new(
        PathBuf::new(),
        settings.state_dir.clone(),
        super::plugins::load_options(settings)?,
    );
    options.plugin_dirs.clone_from(&settings.plugin_dirs);
    options.model_dirs.clone_from(&settings.model_dirs);
    options.trust = Some(Arc::new(settings.trust.clone()));
    options.prober = Some(Arc::new(WorkerProber {
        options: options.load.worker.clone(),
    }));
    Ok(options)
}

/// What to serve, and the bars for it; every problem at once.
fn prepare(
    loaded: &Loaded,
    plan: &ServePlan,
) -> Result<(ModelSpec, Market, Option<ModelFiles>), Failure> {
    let mut problems = Vec::new();
    let source = super::source(loaded, &mut problems);
    let request = super::spec::data_request(loaded, &mut problems);
    let files = files(loaded, plan, &mut problems);
    let artifact = files.as_ref().map(|files| files.artifact.clone());
    let artifact = artifact.unwrap_or_default();
    let spec = model_spec(loaded, plan, artifact, &mut problems);
    let (Some(source), Some(request), Some(spec), true) =
        (source, request, spec, problems.is_empty())
    else {
        return Err(problems.into());
    };
    let market = source.load(&request).map_err(anyhow::Error::from)?;
    for warning in &market.warnings {
        tracing::warn!("{warning}");
    }
    Ok((spec, market.market, files))
}

fn model_spec(
    loaded: &Loaded,
    plan: &ServePlan,
    artifact: Vec<u8>,
    problems: &mut Vec<Problem>,
) -> Option<ModelSpec> {
    let raw = &loaded.raw;
    let versions = match versions(&plan.versions) {
        Ok(versions) => Some(versions),
        Err(words) => {
            problems.push(loaded.problem("--versions", words));
            None
        }
    };
    for (key, given) in [("--plugin", &plan.plugin), ("--model", &plan.model)] {
        if given.as_ref().is_some_and(|given| given.trim().is_empty()) {
            let words = "is empty; name one such as com.example.ema, `fusebox plugin list` shows \
                         what is installed";
            problems.push(loaded.problem(key, words));
            return None;
        }
    }
    let (name, source) = match &plan.model {
        Some(name) => {
            let plugin_versions = VersionPolicy::Latest;
            let source = ModelSource::Packages {
                versions: versions?,
                plugin_versions,
            };
            (name.clone(), source)
        }
        None => {
            let id = plan.plugin.clone().or_else(|| raw.model.plugin.clone());
            if id.is_none() {
                problems.push(loaded.problem(
                    "model.plugin",
                    "is not set; name a plugin with --plugin ID, a model package with --model \
                     NAME, or give a pipeline file",
                ));
            }
            let config = params(loaded, plan, problems);
            let id = id?;
            let name = short_name(&id).to_owned();
            let source = ModelSource::Plugin {
                id,
                versions: versions?,
                config: config?,
                artifact,
            };
            (name, source)
        }
    };
    let spec = ModelSpec {
        name,
        source,
        swap: raw.engine.live.swap(),
        guard: raw.engine.live.guard(),
        rows: None,
    };
    for words in spec.problems() {
        problems.push(loaded.problem("engine.live", words));
    }
    Some(spec)
}

/// The last word of an id, which names its model.
pub(super) fn short_name(id: &str) -> &str {
    id.rsplit('.').next().unwrap_or(id)
}

/// Reads `latest`, `latest-2` or `1.4.2`.
fn versions(text: &str) -> Result<VersionPolicy, String> {
    if text == "latest" {
        return Ok(VersionPolicy::Latest);
    }
    if let Some(count) = text.strip_prefix("latest-") {
        return match count.parse() {
            Ok(count) => Ok(VersionPolicy::LatestN(count)),
            Err(_) => Err(format!(
                "is `{text}`; write latest-2 to keep two versions loaded"
            )),
        };
    }
    match fusebox_loader::manifest::version_numbers(text) {
        Some(_) => Ok(VersionPolicy::Pinned(text.to_owned())),
        None => Err(format!(
            "is `{text}`; it must be latest, latest-N or one such as 1.4.2"
        )),
    }
}

fn params(loaded: &Loaded, plan: &ServePlan, problems: &mut Vec<Problem>) -> Option<Config> {
    let own = &loaded.raw.model;
    // The pipeline's parameters are those of the pipeline's plugin.
    let is_own = plan.plugin.is_none() || plan.plugin == own.plugin;
    let text = match &plan.params {
        Some(text) => text.clone(),
        None if is_own => serde_json::to_string(&own.params).unwrap_or_default(),
        None => "{}".to_owned(),
    };
    match Config::from_json(text.as_bytes()) {
        Ok(config) => Some(config),
        Err(error) => {
            problems.push(loaded.problem("--params", format!("cannot be read: {error}")));
            None
        }
    }
}

/// The artifact with what lies beside it.
fn files(loaded: &Loaded, plan: &ServePlan, problems: &mut Vec<Problem>) -> Option<ModelFiles> {
    let path = plan.artifact.as_ref()?;
    match ModelFiles::read(path) {
        Ok(files) => Some(files),
        Err(error) => {
            let words = format!("cannot be used: {error}");
            problems.push(loaded.problem("--artifact", words));
            None
        }
    }
}

/// The features that somebody chose, whatever the model says of itself.
fn chosen_features(loaded: &Loaded, plan: &ServePlan) -> Option<Vec<String>> {
    let set = &loaded.raw.features.set;
    match &plan.features {
        Some(list) => Some(list.split(';').map(|name| name.trim().to_owned()).collect()),
        None => (!set.is_empty()).then(|| set.clone()),
    }
}

/// The features of the rows: those that somebody chose, else the model's own.
fn features_of(model: &LiveModel, loaded: &Loaded, plan: &ServePlan) -> Vec<String> {
    let own = &model.info().features;
    let names = chosen_features(loaded, plan).or_else(|| (!own.is_empty()).then(|| own.clone()));
    names.unwrap_or_else(|| vec![DEFAULT_FEATURES.to_owned()])
}

fn feature_set(names: &[String], market: &Market) -> Result<FeatureSet, Failure> {
    FeatureSet::parse(names, &FeatureContext::of(market))
        .map_err(|error| Failure::Refused(anyhow::Error::from(error)))
}

/// What the readout of a model has to know of a symbol.
fn needs_of(model: &LiveModel) -> ReadoutNeeds {
    let readout = model.generation().dressing.readout.clone();
    let readout = readout.and_then(|readout| readout.downcast::<ModelReadout>().ok());
    readout.map_or(ReadoutNeeds::Nothing, |readout| readout.needs())
}

/// The rows that a model is to be fed with.
struct Wanted {
    set: FeatureSet,
    options: ExtractOptions,
    needs: ReadoutNeeds,
}

/// The model with the rows that it takes.
fn server(
    name: &str,
    model: LiveModel,
    wanted: &Wanted,
    kept: Option<&KeptState>,
    market: &Market,
) -> Result<ModelServer, Failure> {
    let (set, context) = (&wanted.set, FeatureContext::of(market));
    let window = model.info().window;
    let resumed = kept.and_then(|kept| resume(kept, wanted, &context, window));
    let rows = match resumed {
        Some(rows) => rows,
        None => LiveRows::new(set, &context, wanted.options, window)
            .map_err(anyhow::Error::from)?
            .with_needs(wanted.needs),
    };
    let names: Vec<String> = set.names().map(str::to_owned).collect();
    ModelServer::new(name, model, rows, &names).map_err(|error| Failure::Refused(error.into()))
}

/// Refuses a model that was trained on other features.
fn require_trained_on(
    (path, files): (&Path, &ModelFiles),
    wanted: &Wanted,
    time_frame: TimeFrame,
) -> Result<(), Failure> {
    let Some(trained) = &files.features else {
        tracing::warn!(
            "{} has no features file beside it; whether it was trained on these features is not \
             known",
            path.display()
        );
        return Ok(());
    };
    let given = ModelFeatures::new(&wanted.set, time_frame, wanted.options, &files.artifact);
    let differences = trained.differences(&given);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(anyhow::anyhow!(
        "{} does not fit the features: {}",
        path.display(),
        differences.join("; ")
    )))
}

/// The kept rows of the last serving, where there are some that fit.
fn resume(
    kept: &KeptState,
    wanted: &Wanted,
    context: &FeatureContext,
    window: usize,
) -> Option<LiveRows> {
    let words = match kept.resume(&wanted.set, context, wanted.options, window) {
        Ok(rows)
            if rows
                .as_ref()
                .is_none_or(|rows| *rows.needs() == wanted.needs) =>
        {
            return rows;
        }
        Ok(_) => "it was kept for a model with another readout".to_owned(),
        Err(error) => error.to_string(),
    };
    tracing::warn!("the kept state of the features is not used, bars are replayed: {words}");
    None
}

/// Keeps the state of the features while bars close.
struct Keeper {
    kept: Option<KeptState>,
    clock: SystemClock,
    due_ns: u64,
}

/// How much work a crash may undo.
const KEEP_EVERY: Duration = Duration::from_secs(30);

impl Keeper {
    fn new(kept: Option<KeptState>) -> Self {
        let clock = SystemClock;
        let due_ns = clock.now_ns() + KEEP_EVERY.as_nanos() as u64;
        Self {
            kept,
            clock,
            due_ns,
        }
    }

    /// Keeps the state where the last time is a while ago. The bars since are shown again after a
    /// crash, so a failure is told and is no reason to stop answering.
    fn keep_now_and_then(&mut self, rows: &LiveRows) {
        if self.kept.is_none() || self.clock.now_ns() < self.due_ns {
            return;
        }
        self.due_ns = self.clock.now_ns() + KEEP_EVERY.as_nanos() as u64;
        if let Err(error) = self.keep(rows) {
            tracing::warn!("{}", error.message());
        }
    }

    fn keep(&self, rows: &LiveRows) -> Result<(), Failure> {
        match &self.kept {
            Some(kept) => kept
                .keep(rows)
                .map_err(|error| Failure::Failed(anyhow::Error::from(error))),
            None => Ok(()),
        }
    }
}

/// Lets the bars close one after the other, after those that the rows have seen.
fn walk(
    server: &mut ModelServer,
    market: &Market,
    (pace, keeper): (Pace, &mut Keeper),
    (supervisor, stop): (&Supervisor, &AtomicBool),
    show: &mut Show,
) -> Result<(), Failure> {
    let clock = SystemClock;
    let seen = server.rows().last_step_at();
    if let Some(seen) = seen {
        show.resumed(seen)?;
    }
    let is_new = |at: Timestamp| seen.is_none_or(|seen| at > seen);
    let steps = pace.steps.unwrap_or(u64::MAX);
    let mut due = clock.now_ns();
    let unseen = market.steps().filter(|step| is_new(step.0));
    for ((closed_at, bars), _) in unseen.zip(0..steps) {
        due += u64::try_from(pace.step.as_nanos()).unwrap_or(u64::MAX);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let served = server
            .step(closed_at, &bars)
            .context("the bars cannot be served")?;
        if let Some(served) = served {
            show.answers(&served)?;
        }
        keeper.keep_now_and_then(server.rows());
        show.events(supervisor.audit())?;
        while !stop.load(Ordering::Relaxed) {
            let left = Duration::from_nanos(due.saturating_sub(clock.now_ns()));
            if left.is_zero() || pace.step.is_zero() {
                break;
            }
            std::thread::sleep(left.min(SLICE));
            server.poll();
            show.events(supervisor.audit())?;
        }
    }
    Ok(())
}

/// Shared by the tests of the version policy.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_policies_are_read_and_others_are_named() {
        assert_eq!(versions("latest"), Ok(VersionPolicy::Latest));
        assert_eq!(versions("latest-3"), Ok(VersionPolicy::LatestN(3)));
        assert_eq!(
            versions("1.4.2"),
            Ok(VersionPolicy::Pinned("1.4.2".to_owned()))
        );
        for wrong in ["newest", "latest-x", "1.4", ""] {
            assert!(versions(wrong).unwrap_err().contains("`"), "{wrong}");
        }
    }

    #[test]
    fn a_pace_is_a_rate_or_none() {
        assert_eq!(
            Pace::new(2.0, None).unwrap().step,
            Duration::from_millis(500)
        );
        assert_eq!(Pace::new(0.0, None).unwrap().step, Duration::ZERO);
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(Pace::new(wrong, None).is_err(), "{wrong}");
        }
    }
}
