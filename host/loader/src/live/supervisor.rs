//! Live models on a machine: a thread that watches and decides, a thread per reload, and one that
//! ends what is over. The threads that predict are the caller's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::audit::AuditLog;
use super::control::{ControlError, StateDir};
use super::controller::{Controller, Drive, Parts, StartError, start_model};
use super::leaks::{LeakLimits, Leaks};
use super::link::{Signal, lock};
use super::origin::Prober;
use super::owner::LiveModel;
use super::policy::ModelSpec;
use super::reload::{ReloadEnv, SettlePolicy};
use super::sidecar::Sidecars;
use super::status::SystemStatus;
use super::store::{DirStore, TrustSource};
use super::watch::Watch;
use crate::clock::{Clock, SystemClock};
use crate::load::LoadOptions;

/// Between two looks at model files with sidecars, nanoseconds.
const SIDECARS_NS: u64 = 500_000_000;

/// Looks at those that are written to while the supervisor starts, and the wait between them.
const SETTLE_LOOKS: u32 = 15;
const SETTLE_WAIT: Duration = Duration::from_millis(100);

/// Longest time between two ticks.
const TICK: Duration = Duration::from_millis(200);

/// After news, the directories are looked at again so many times: the marker of a new folder may
/// come before anybody watches that folder.
const LOOKS_AFTER_NEWS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a supervisor is made of.
#[derive(Debug)]
pub struct SupervisorOptions {
    /// Plugins: `<dir>/<id>/<version>/plugin.toml`. Of equal packages the first directory's counts.
    pub plugin_dirs: Vec<PathBuf>,
    /// Model packages: `<dir>/<name>/<version>/model.toml`.
    pub model_dirs: Vec<PathBuf>,
    /// Where the supervisor remembers, writes its audit log and reads what is wanted.
    pub state_dir: PathBuf,
    /// How libraries are loaded.
    pub load: LoadOptions,
    /// Where the trust policy is read for every package; `None` keeps that of `load`.
    pub trust: Option<Arc<dyn TrustSource>>,
    /// How libraries are tried first; `None` tries none.
    pub prober: Option<Arc<dyn Prober>>,
    /// Limits on what stays mapped.
    pub leaks: LeakLimits,
    /// How files come to rest.
    pub settle: SettlePolicy,
    /// Between two looks at the directories where nothing is heard of them, milliseconds.
    pub rescan_ms: u64,
    /// How long one step of a reload may take before it is abandoned, milliseconds.
    pub step_timeout_ms: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl SupervisorOptions {
    /// The usual ones.
    #[must_use]
    pub fn new(plugin_dir: PathBuf, state_dir: PathBuf, load: LoadOptions) -> Self {
        Self {
            plugin_dirs: vec![plugin_dir],
            model_dirs: Vec::new(),
            state_dir,
            load,
            trust: None,
            prober: None,
            leaks: LeakLimits::default(),
            settle: SettlePolicy::default(),
            rescan_ms: 2_000,
            step_timeout_ms: 60_000,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why a supervisor cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The state directory cannot be used, or another supervisor holds it.
    #[error(transparent)]
    State(#[from] ControlError),
    /// A file in it cannot be read or written, or there is no thread.
    #[error("cannot start to keep models live: {0}")]
    Io(#[from] std::io::Error),
}

/// Keeps models live until it is dropped. Models that are in use then go on as they are.
#[derive(Debug)]
pub struct Supervisor {
    controller: Arc<Mutex<Controller>>,
    audit: Arc<AuditLog>,
    signal: Arc<Signal>,
    is_stopping: Arc<AtomicBool>,
    is_scan_due: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Takes the state directory and starts to watch.
    ///
    /// # Errors
    /// [`SupervisorError`].
    pub fn start(options: SupervisorOptions) -> Result<Self, SupervisorError> {
        let state_dir = StateDir::take(&options.state_dir)?;
        let audit = AuditLog::open(&options.state_dir, Arc::clone(&options.clock))?;
        let mut packages = options.plugin_dirs.clone();
        packages.extend(options.model_dirs.iter().cloned());
        let state_path = options.state_dir.clone();
        let env = Arc::new(ReloadEnv {
            clock: options.clock,
            audit: Arc::new(audit),
            leaks: Arc::new(Leaks::new(options.leaks)),
            settle: options.settle,
        });
        let mut sidecars = Sidecars::new(
            options.model_dirs.clone(),
            Arc::clone(&env.clock),
            Arc::clone(&env.audit),
        );
        settle(&mut sidecars);
        let dirs = (options.plugin_dirs, options.model_dirs);
        let mut store = DirStore::new(dirs.0, dirs.1, options.load);
        (store.prober, store.trust) = (options.prober, options.trust);
        let controller = Controller::new(Parts {
            env,
            store: Box::new(store),
            state_dir: Some(state_dir),
            drive: Drive::Threads,
            rescan_ms: options.rescan_ms,
            step_timeout_ms: options.step_timeout_ms,
        })?;
        let (signal, is_scan_due) = (controller.signal(), controller.scan_flag());
        let audit = controller.audit();
        let watch = Watch::new(
            &packages,
            &state_path,
            Arc::clone(&is_scan_due),
            Arc::clone(&signal),
        );
        let controller = Arc::new(Mutex::new(controller));
        let is_stopping = Arc::new(AtomicBool::new(false));
        let loop_ = Loop {
            controller: Arc::clone(&controller),
            signal: Arc::clone(&signal),
            is_stopping: Arc::clone(&is_stopping),
            is_scan_due: Arc::clone(&is_scan_due),
            watch,
            sidecars,
            looks_at_ns: 0,
        };
        let thread = std::thread::Builder::new()
            .name("fusebox-control".to_owned())
            .spawn(move || loop_.run())?;
        Ok(Self {
            controller,
            audit,
            signal,
            is_stopping,
            is_scan_due,
            thread: Some(thread),
        })
    }

    /// Starts a model with the generation that its policy says; where that one is refused, with the
    /// last good one. Takes as long as loading takes.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn add(&self, spec: ModelSpec) -> Result<LiveModel, StartError> {
        let model = start_model(&self.controller, spec);
        self.signal.raise();
        model
    }

    /// Has the directories looked at now.
    pub fn look(&self) {
        self.is_scan_due.store(true, Ordering::Release);
        self.signal.raise();
    }

    /// What runs, and what ran.
    #[must_use]
    pub fn status(&self) -> SystemStatus {
        lock(&self.controller).status()
    }

    /// What happened.
    #[must_use]
    pub fn audit(&self) -> &Arc<AuditLog> {
        &self.audit
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Release);
        self.signal.raise();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

struct Loop {
    controller: Arc<Mutex<Controller>>,
    signal: Arc<Signal>,
    is_stopping: Arc<AtomicBool>,
    is_scan_due: Arc<AtomicBool>,
    watch: Watch,
    sidecars: Sidecars,
    /// When the sidecars are looked at again, on the monotonic clock.
    looks_at_ns: u64,
}

impl Loop {
    /// Takes the model files that came to rest, now and then.
    fn look_at_sidecars(&mut self) {
        let now_ns = SystemClock.now_ns();
        if now_ns < self.looks_at_ns {
            return;
        }
        self.looks_at_ns = now_ns + SIDECARS_NS;
        if self.sidecars.look().taken > 0 {
            self.is_scan_due.store(true, Ordering::Release);
        }
    }

    fn run(mut self) {
        let mut looks_left = LOOKS_AFTER_NEWS;
        while !self.is_stopping.load(Ordering::Acquire) {
            if self.is_scan_due.load(Ordering::Acquire) {
                looks_left = LOOKS_AFTER_NEWS;
            }
            self.look_at_sidecars();
            let has_moved = lock(&self.controller).tick();
            if has_moved {
                self.watch.try_again();
                continue;
            }
            if looks_left > 0 {
                looks_left -= 1;
                self.signal.wait(LOOK_AGAIN);
                if !self.is_scan_due.load(Ordering::Acquire) {
                    lock(&self.controller).look_again();
                }
            } else {
                self.signal.wait(TICK);
            }
        }
        lock(&self.controller).stop();
    }
}

/// Takes the model files that lie there; waits for those that were put there just now, so that the
/// first model can be one of them.
fn settle(sidecars: &mut Sidecars) {
    for _ in 0..SETTLE_LOOKS {
        if sidecars.look().unsettled == 0 {
            return;
        }
        std::thread::sleep(SETTLE_WAIT);
    }
}
