//! Models that stay live while their code and their weights are replaced, as an operator meets it:
//! packages are committed to watched directories, and the model goes on answering.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fusebox_loader::live::control::{self, Command, RequestOutcome};
use fusebox_loader::live::golden::{self, GoldenInput};
use fusebox_loader::live::{
    AuditEvent, LiveError, LiveModel, ModelPackageSpec, ModelSource, ModelSpec, Occasion, Reason,
    State, Supervisor, SupervisorOptions, VersionPolicy, write_model_package,
};
use fusebox_loader::{
    Clock, LoadOptions, PackageSpec, SystemClock, TrustPolicy, discover, find, load, write_package,
};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_tests::fixtures::{build_dir, compile};

const EMA: &str = "com.example.ema-c";

/// Builds `ema.c` with these macros, once per test process.
fn ema(flags: &[&str]) -> PathBuf {
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

fn version(version: &str) -> String {
    format!("-DEMA_VERSION=\"{version}\"")
}

/// Commits a build of `ema.c` to a plugin directory.
fn commit(root: &Path, flags: &[&str]) -> PathBuf {
    let spec = PackageSpec {
        replace: true,
        ..PackageSpec::new(ema(flags))
    };
    write_package(root, &spec).unwrap()
}

/// A machine with watched directories.
struct Machine {
    root: tempfile::TempDir,
    supervisor: Supervisor,
}

impl Machine {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SupervisorOptions)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), change)
    }

    fn on(root: tempfile::TempDir, change: impl FnOnce(&mut SupervisorOptions)) -> Self {
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

    fn plugins(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    fn models(&self) -> PathBuf {
        self.root.path().join("models")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn add(&self, spec: ModelSpec) -> LiveModel {
        self.supervisor
            .add(spec)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn events(&self) -> Vec<AuditEvent> {
        self.supervisor.audit().since(0)
    }

    /// Predicts until an event comes, and gives it.
    fn await_event(
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

    fn await_promotion(&self, model: &mut LiveModel, version: &str) {
        self.await_event(model, |event| {
            event.is_state(State::Promoted) && known(event) == version
        });
    }

    fn request(&self, model: &mut LiveModel, command: Command) -> RequestOutcome {
        let request = control::request(&self.state(), command).unwrap();
        self.await_event(model, |event| {
            event.is(Occasion::Request) && event.request == Some(request)
        });
        control::outcome(&self.state(), request).unwrap()
    }

    fn story(&self) -> String {
        let lines = self.events().into_iter().map(|event| {
            let (known, reason) = (known(&event), event.reason);
            format!("{:?} {known} {reason:?} {:?}", event.event, event.message)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The version that an event is about.
fn known(event: &AuditEvent) -> String {
    event.weights.clone().unwrap_or(event.version.clone())
}

fn alpha() -> Config {
    Config::new().with("alpha", 0.5)
}

fn spec() -> ModelSpec {
    let mut spec = ModelSpec::of_plugin("ema", EMA, alpha());
    spec.swap.probation.rows = 4;
    spec
}

/// Predicts one row.
fn answer(model: &mut LiveModel, value: f32) -> Result<(f32, u64), LiveError> {
    let (input, mut output) = ([value], [0.0]);
    let mut frame = Frame::new(&input, &mut output, FrameShape::dense(1, 1, 1)).unwrap();
    let answered = model.predict(&mut frame)?;
    Ok((output[0], answered.generation))
}

fn value(model: &mut LiveModel, input: f32) -> f32 {
    answer(model, input)
        .unwrap_or_else(|error| panic!("{error}"))
        .0
}

/// The average as the fixture computes it.
struct Reference(f32);

impl Reference {
    fn step(&mut self, input: f32) -> f32 {
        self.0 += 0.5 * (input - self.0);
        self.0
    }
}

fn inputs() -> impl Iterator<Item = f32> {
    (0_u32..).map(|n| ((n * 37 % 101) as f32).sqrt())
}

#[test]
fn a_package_that_is_dropped_in_goes_live_and_keeps_the_state_bit_by_bit() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    for input in inputs.by_ref().take(100) {
        assert_eq!(value(&mut model, input).to_bits(), reference.step(input).to_bits());
    }
    let old = model.generation().number;
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    for input in inputs.take(100) {
        let (found, generation) = answer(&mut model, input).unwrap();
        assert_eq!(found.to_bits(), reference.step(input).to_bits());
        assert!(generation > old);
    }
    let destroyed = |event: &AuditEvent| event.is_state(State::Destroyed);
    machine.await_event(&mut model, |event| destroyed(event) && event.version == "1.0.0");
    let new: Vec<AuditEvent> = machine.events();
    let of_new = |state: State| {
        new.iter()
            .find(|event| event.version == "1.1.0" && event.is_state(state))
            .unwrap_or_else(|| panic!("{state:?} is missing in:\n{}", machine.story()))
    };
    for state in State::ALL {
        if state < State::Retired {
            assert_eq!(of_new(state).model, "ema");
        }
    }
    assert_eq!(of_new(State::Restored).reason, None);
    assert_eq!(of_new(State::Mapped).digest.len(), 64);
    assert_eq!(of_new(State::Mapped).tier.as_deref(), Some("in-process"));
    let status = machine.supervisor.status();
    assert_eq!(status.models[0].live.version, "1.1.0");
    assert_eq!(status.models[0].earlier[0].state, State::Destroyed);
    assert_eq!(status.leaks.generations_mapped, 1);
    assert_eq!(status.leaks.generations_leaked, 1);
}
