//! A machine with watched directories and a supervisor, for tests of models that stay live.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use fusebox_loader::live::control::{self, Command, RequestOutcome};
use fusebox_loader::live::{
    AuditEvent, LiveError, LiveModel, ModelPackageSpec, ModelSpec, Occasion, State, Supervisor,
    SupervisorOptions, write_model_package,
};
use fusebox_loader::{LoadOptions, PackageSpec, TrustPolicy, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};

use crate::fixtures::{build_dir, compile};

/// Id of the plugin.
pub const EMA: &str = "com.example.ema-c";

/// Builds `ema.c` with these macros, once per test process.
pub fn ema(flags: &[&str]) -> PathBuf {
    static BUILT: Mutex<Vec<(Vec<String>, PathBuf)>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap_or_else(|error| error.into_inner());
    let key: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    if let Some((_, path)) = built.iter().find(|(flags, _)| *flags == key) {
        return path.clone();
    }
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = build_dir().join(format!("reload-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    });
    let path = compile("ema-c/ema.c", flags, dir);
    built.push((key, path.clone()));
    path
}

/// The flag that gives a build its version.
pub fn version(version: &str) -> String {
    format!("-DEMA_VERSION=\"{version}\"")
}

/// Commits a build of `ema.c` to a plugin directory.
pub fn commit(root: &Path, flags: &[&str]) -> PathBuf {
    let spec = PackageSpec {
        replace: true,
        ..PackageSpec::new(ema(flags))
    };
    write_package(root, &spec).unwrap()
}

/// A machine with watched directories.
#[derive(Debug)]
pub struct Machine {
    /// Where everything lies.
    pub root: tempfile::TempDir,
    /// What keeps its models live.
    pub supervisor: Supervisor,
}

impl Default for Machine {
    fn default() -> Self {
        Self::with(|_| {})
    }
}

impl Machine {
    /// With the usual options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With other options.
    pub fn with(change: impl FnOnce(&mut SupervisorOptions)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), change)
    }

    /// On what lies there already.
    pub fn on(root: tempfile::TempDir, change: impl FnOnce(&mut SupervisorOptions)) -> Self {
        let path = |name: &str| root.path().join(name);
        for name in ["plugins", "models"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        let load = LoadOptions::new(path("cache")).with_trust(TrustPolicy::trusting());
        let mut options = SupervisorOptions::new(path("plugins"), path("state"), load);
        options.model_dirs = vec![path("models")];
        change(&mut options);
        let supervisor = Supervisor::start(options).unwrap_or_else(|error| panic!("{error}"));
        Self { root, supervisor }
    }

    /// The plugin directory.
    pub fn plugins(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    /// The directory of model packages.
    pub fn models(&self) -> PathBuf {
        self.root.path().join("models")
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// Starts a model.
    pub fn add(&self, spec: ModelSpec) -> LiveModel {
        self.supervisor
            .add(spec)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What happened.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.supervisor.audit().since(0)
    }

    /// Predicts until an event comes, and gives it.
    pub fn await_event(
        &self,
        model: &mut LiveModel,
        is_it: impl Fn(&AuditEvent) -> bool,
    ) -> AuditEvent {
        for _ in 0..4_000 {
            model.poll();
            if let Some(event) = self.events().into_iter().find(&is_it) {
                return event;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came; there was: {}", self.story());
    }

    /// Waits until this version answers.
    pub fn await_promotion(&self, model: &mut LiveModel, version: &str) {
        self.await_event(model, |event| {
            event.is_state(State::Promoted) && known(event) == version
        });
    }

    /// Asks as an operator does, and waits for the outcome.
    pub fn request(&self, model: &mut LiveModel, command: Command) -> RequestOutcome {
        let request = control::request(&self.state(), command).unwrap();
        self.await_event(model, |event| {
            event.is(Occasion::Request) && event.request == Some(request)
        });
        control::outcome(&self.state(), request).unwrap()
    }

    /// What happened, to be read.
    pub fn story(&self) -> String {
        let lines = self.events().into_iter().map(|event| {
            let (known, reason) = (known(&event), event.reason);
            format!("{:?} {known} {reason:?} {:?}", event.event, event.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The version that an event is about.
pub fn known(event: &AuditEvent) -> String {
    event.weights.clone().unwrap_or(event.version.clone())
}

/// The configuration of the average.
pub fn alpha() -> Config {
    Config::new().with("alpha", 0.5)
}

/// The newest version of the average, with a short probation.
pub fn spec() -> ModelSpec {
    let mut spec = ModelSpec::of_plugin("ema", EMA, alpha());
    spec.swap.probation.rows = 4;
    spec
}

/// Predicts one row.
pub fn answer(model: &mut LiveModel, value: f32) -> Result<(f32, u64), LiveError> {
    let (input, mut output) = ([value], [0.0]);
    let mut frame = Frame::new(&input, &mut output, FrameShape::dense(1, 1, 1)).unwrap();
    let answered = model.predict(&mut frame)?;
    Ok((output[0], answered.generation))
}

/// Predicts one row, which must be answered.
pub fn value(model: &mut LiveModel, input: f32) -> f32 {
    answer(model, input)
        .unwrap_or_else(|error| panic!("{error}"))
        .0
}

/// The average as the fixture computes it.
#[derive(Debug)]
pub struct Reference(pub f32);

impl Reference {
    /// The average after another value.
    pub fn step(&mut self, input: f32) -> f32 {
        self.0 += 0.5 * (input - self.0);
        self.0
    }
}

/// Values without a pattern.
pub fn inputs() -> impl Iterator<Item = f32> {
    (0_u32..101)
        .cycle()
        .map(|n| ((n % 101 * 37 % 101) as f32).sqrt())
}

/// Commits a model package of the average.
pub fn weights(machine: &Machine, number: &str, alpha: f64, replace: bool) {
    let spec = ModelPackageSpec {
        audit: None,
        name: "ema".to_owned(),
        version: number.to_owned(),
        plugin: EMA.to_owned(),
        plugin_version: Some(">=1.0.0".to_owned()),
        params: Config::new().with("alpha", alpha),
        artifact: number.as_bytes().to_vec(),
        feature_set: None,
        bars: None,
        scaler: Vec::new(),
        readout: Vec::new(),
        golden: None,
        replace,
    };
    write_model_package(&machine.models(), &spec).unwrap();
}
