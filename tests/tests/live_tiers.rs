//! Live models whose generations run in worker processes, are tried in jails, hang, leak, or are
//! written by a process that is killed while it writes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests that measure how long an answer took, and fail by panicking"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fusebox_loader::guard::FailureKind;
use fusebox_loader::live::{
    AuditEvent, LeakLimits, LiveModel, ModelSpec, Occasion, Reason, State, SupervisorOptions,
    WorkerProber,
};
use fusebox_loader::manifest::{Budget, Isolation};
use fusebox_loader::{PackageSpec, WorkerOptions, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_tests::hostile::{CONSTRUCTOR, HOSTILE, constructor, fault, hostile_version};
use fusebox_tests::live::{
    EMA, Machine, Reference, answer, commit, ema, inputs, spec, value, version,
};
use fusebox_tests::workers::{pids_of, worker_options};

/// Tests that look for the workers of the average by its name take turns.
static WORKERS: Mutex<()> = Mutex::new(());

fn take_workers() -> MutexGuard<'static, ()> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_workers(options: &mut SupervisorOptions) {
    options.load.trust.floor = Isolation::Worker;
    options.load.worker = worker_options();
}

/// The average beside a live model that must compute the same, whoever answers.
struct Twin {
    reference: Reference,
    inputs: Box<dyn Iterator<Item = f32>>,
}

impl Twin {
    fn new() -> Self {
        Self {
            reference: Reference(0.0),
            inputs: Box::new(inputs()),
        }
    }

    /// Another row, which must be answered as if no row was ever lost or seen twice.
    fn step(&mut self, model: &mut LiveModel) -> u64 {
        let input = self.inputs.next().unwrap();
        let expected = self.reference.step(input);
        let (found, generation) = answer(model, input).unwrap_or_else(|error| panic!("{error}"));
        let row = model.rows();
        assert_eq!(found.to_bits(), expected.to_bits(), "row {row}");
        generation
    }

    fn steps(&mut self, model: &mut LiveModel, rows: usize) {
        for _ in 0..rows {
            self.step(model);
        }
    }

    /// Another row, which a worker that dies may leave without an answer. Says whether it did.
    fn step_or_crash(&mut self, model: &mut LiveModel) -> bool {
        let input = self.inputs.next().unwrap();
        let expected = self.reference.step(input);
        match answer(model, input) {
            Ok((found, _)) => {
                let row = model.rows();
                assert_eq!(found.to_bits(), expected.to_bits(), "row {row}");
                false
            }
            Err(error) => {
                assert_eq!(error.kind, FailureKind::Crash, "{error}");
                true
            }
        }
    }

    /// Goes on until an event comes, and gives it.
    fn await_event(
        &mut self,
        (machine, model): (&Machine, &mut LiveModel),
        is_it: impl Fn(&AuditEvent) -> bool,
    ) -> AuditEvent {
        for _ in 0..20_000 {
            self.step(model);
            if let Some(event) = machine.events().into_iter().find(&is_it) {
                return event;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("it never came; there was: {}", machine.story());
    }

    fn await_promotion(&mut self, on: (&Machine, &mut LiveModel), version: &str) {
        self.await_event(on, |event| {
            event.is_state(State::Promoted) && event.version == version
        });
    }
}

/// Whether a version was refused.
fn is_rejected(event: &AuditEvent, version: &str) -> bool {
    event.is(Occasion::Rejected) && event.version == version
}

/// The reason and the words of an event.
fn why(event: AuditEvent) -> (Option<Reason>, String) {
    (event.reason, event.message.unwrap_or_default())
}

fn kill(pid: u32) {
    let killed = Program::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_reload_between_workers_keeps_the_state_bit_by_bit() {
    let _turn = take_workers();
    let machine = Machine::with(in_workers);
    commit(&machine.plugins(), &[]);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    twin.steps(&mut model, 100);
    assert_eq!(model.generation().tier(), Isolation::Worker);
    let old_pids = pids_of(EMA);
    assert!(!old_pids.is_empty());
    commit(&machine.plugins(), &[&version("1.1.0")]);
    twin.await_promotion((&machine, &mut model), "1.1.0");
    twin.steps(&mut model, 100);
    assert_eq!(model.generation().version(), "1.1.0");
    assert_eq!(model.generation().tier(), Isolation::Worker);
    // The snapshot went over; nothing had to be shown again.
    let restored = machine.await_event(&mut model, |event| {
        event.is_state(State::Restored) && event.version == "1.1.0"
    });
    assert_eq!(restored.tier.as_deref(), Some("worker"));
    assert!(!why(restored).1.contains("replayed"), "{}", machine.story());
    machine.await_event(&mut model, |event| {
        event.is_state(State::Destroyed) && event.version == "1.0.0"
    });
    // Nothing of a worker stays behind, neither a process nor code in this one.
    for _ in 0..4_000 {
        if pids_of(EMA).iter().all(|pid| !old_pids.contains(pid)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(pids_of(EMA).iter().all(|pid| !old_pids.contains(pid)));
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 0);
    twin.steps(&mut model, 10);
}

#[test]
fn a_worker_that_crashes_in_probation_is_sent_back_and_no_row_is_lost() {
    let _turn = take_workers();
    let machine = Machine::with(in_workers);
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 100;
    let (mut model, mut twin) = (machine.add(spec), Twin::new());
    twin.steps(&mut model, 50);
    let old = model.generation().number;
    commit(
        &machine.plugins(),
        &[&version("1.1.0"), "-DEMA_CRASH_AFTER=10"],
    );
    machine.await_promotion(&mut model, "1.1.0");
    let mut answered_by = Vec::new();
    for _ in 0..60 {
        answered_by.push(twin.step(&mut model));
    }
    // Ten answers, and the frame that it died of was answered by the generation before it.
    let new = answered_by[0];
    assert!(new > old);
    assert_eq!(answered_by[..10], [new; 10]);
    assert_eq!(answered_by[10..], [old; 50]);
    assert_eq!(model.rows(), 110);
    let back = machine.await_event(&mut model, |event| event.is(Occasion::RolledBack));
    assert_eq!(back.version, "1.1.0");
    let (reason, words) = why(back);
    assert_eq!(reason, Some(Reason::Crash));
    assert!(words.contains("1 crashes"), "{words}");
    // It is kept out.
    std::thread::sleep(Duration::from_millis(50));
    twin.steps(&mut model, 10);
    assert_eq!(model.generation().number, old);
}

#[test]
fn a_live_worker_that_is_killed_goes_on_in_its_tier_with_its_state() {
    let _turn = take_workers();
    let machine = Machine::with(in_workers);
    commit(&machine.plugins(), &[]);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    twin.steps(&mut model, 300);
    let (generation, mut failed) = (model.generation().number, 0);
    for _ in 0..3 {
        let victim = pids_of(EMA)[0];
        kill(victim);
        let mut left = 20_000;
        while pids_of(EMA).contains(&victim) {
            failed += u64::from(twin.step_or_crash(&mut model));
            left -= 1;
            assert!(left > 0, "the dead worker is never missed");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Until a fresh one answers, rows may go without an answer; none is forgotten.
        while twin.step_or_crash(&mut model) {
            failed += 1;
            left -= 1;
            assert!(left > 0, "no worker steps in");
            std::thread::sleep(Duration::from_millis(1));
        }
        twin.steps(&mut model, 50);
        for _ in 0..4_000 {
            if pids_of(EMA).len() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A process that runs is a spare once its model was made.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(model.generation().number, generation);
    assert_eq!(model.generation().tier(), Isolation::Worker);
    let metrics = model.generation().metrics.snapshot();
    assert_eq!(metrics.failures(), failed, "{metrics:?}");
    let is_about =
        |event: &AuditEvent| event.is(Occasion::RolledBack) || event.reason == Some(Reason::Crash);
    assert!(
        !machine.events().iter().any(is_about),
        "{}",
        machine.story()
    );
}

#[test]
fn a_constructor_that_does_harm_costs_a_jailed_child() {
    let prober = WorkerProber {
        options: WorkerOptions {
            control_timeout_ms: 5_000,
            ..worker_options()
        },
    };
    let machine = Machine::with(|options| options.prober = Some(Arc::new(prober)));
    constructor(&machine.plugins(), "sound");
    let mut spec = ModelSpec::of_plugin("echo", CONSTRUCTOR, Config::new());
    spec.swap.probation.rows = 2;
    let mut model = machine.add(spec);
    let probed = machine.await_event(&mut model, |event| event.is_state(State::Probed));
    assert_eq!(probed.reason, None, "a sound one is tried and passes");
    let generation = model.generation().number;
    let mut words = Vec::new();
    for how in ["segfault", "exit", "abort", "spin"] {
        let heard = machine.events().last().map_or(0, |event| event.seq + 1);
        constructor(&machine.plugins(), how);
        let refused = loop {
            let (found, by) = answer(&mut model, 3.0).unwrap();
            assert_eq!((found.to_bits(), by), (3.0_f32.to_bits(), generation));
            let mut news = machine.supervisor.audit().since(heard).into_iter();
            if let Some(event) = news.find(|event| event.is(Occasion::Rejected)) {
                break event;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let (reason, message) = why(refused);
        assert_eq!(reason, Some(Reason::Probe), "{how}: {message}");
        words.push(message);
    }
    assert!(words[0].contains("signal 11"), "{words:?}");
    assert!(words[2].contains("signal 6"), "{words:?}");
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 1);
}

#[test]
fn a_shadow_that_answers_something_else_is_refused_with_the_figures() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.shadow_rows = 20;
    spec.swap.max_difference = Some(0.5);
    let (mut model, mut twin) = (machine.add(spec), Twin::new());
    commit(
        &machine.plugins(),
        &[&version("1.1.0"), "-DEMA_BIAS=1024.0f"],
    );
    let on = (&machine, &mut model);
    let refused = twin.await_event(on, |event| is_rejected(event, "1.1.0"));
    let (reason, words) = why(refused);
    assert_eq!(reason, Some(Reason::Shadow), "{words}");
    assert!(words.contains("1024") && words.contains("0.5"), "{words}");
    // A small difference is allowed, a number beside none is not.
    commit(
        &machine.plugins(),
        &[&version("1.2.0"), "-DEMA_NAN_AFTER=5"],
    );
    let on = (&machine, &mut model);
    let refused = twin.await_event(on, |event| is_rejected(event, "1.2.0"));
    assert_eq!(refused.reason, Some(Reason::Shadow));
    assert_eq!(model.generation().version(), "1.0.0");
    commit(&machine.plugins(), &[&version("1.3.0")]);
    twin.await_promotion((&machine, &mut model), "1.3.0");
}

#[test]
fn a_shadow_that_is_slower_than_its_manifest_promises_is_refused() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.shadow_rows = 20;
    let (mut model, mut twin) = (machine.add(spec), Twin::new());
    let slow = |number: &str, budget_us: u64| {
        let spec = PackageSpec {
            budget: Budget {
                predict_p99_us: Some(budget_us),
                ..Budget::default()
            },
            ..PackageSpec::new(ema(&[&version(number), "-DEMA_PREDICT_MS=3"]))
        };
        write_package(&machine.plugins(), &spec).unwrap();
    };
    slow("1.1.0", 1_000);
    let on = (&machine, &mut model);
    let refused = twin.await_event(on, |event| is_rejected(event, "1.1.0"));
    let (reason, words) = why(refused);
    assert_eq!(reason, Some(Reason::Shadow), "{words}");
    assert!(words.contains("promises 1000"), "{words}");
    // The same is fast enough where it promises less.
    slow("1.2.0", 60_000_000);
    twin.await_promotion((&machine, &mut model), "1.2.0");
    let compared = machine.await_event(&mut model, |event| {
        event.is_state(State::Shadow) && event.version == "1.2.0"
    });
    let report: serde_json::Value = serde_json::from_str(&why(compared).1).unwrap();
    assert!(report["rows"].as_u64() >= Some(20), "{report}");
    assert!(
        report["latency_p50_us"].as_f64() >= Some(2_900.0),
        "{report}"
    );
    assert_eq!(report["max_difference"].as_f64(), Some(0.0), "{report}");
}

#[test]
fn a_plugin_that_hangs_while_it_is_made_is_left_to_itself() {
    let machine = Machine::with(|options| options.step_timeout_ms = 2_000);
    commit(&machine.plugins(), &[]);
    hostile_version(&machine.plugins(), "1.0.0", 0.0);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    let none = fault("none", "create");
    let mut echo = machine.add(ModelSpec::of_plugin("echo", HOSTILE, none));
    assert_eq!(value(&mut echo, 1.0).to_bits(), 1.0_f32.to_bits());
    commit(
        &machine.plugins(),
        &[&version("1.1.0"), "-DEMA_CREATE_MS=8000"],
    );
    twin.await_event((&machine, &mut model), |event| {
        event.is_state(State::Mapped) && event.version == "1.1.0"
    });
    // It hangs. Another model is exchanged, and this one answers.
    let hangs_since = Instant::now();
    hostile_version(&machine.plugins(), "1.1.0", 8.0);
    machine.await_event(&mut echo, |event| {
        event.is_state(State::Promoted) && event.version == "1.1.0" && event.model == "echo"
    });
    assert_eq!(value(&mut echo, 1.0).to_bits(), 9.0_f32.to_bits());
    let mut longest = Duration::ZERO;
    let refused = loop {
        let start = Instant::now();
        twin.step(&mut model);
        longest = longest.max(start.elapsed());
        let mut events = machine.events().into_iter();
        if let Some(event) = events.find(|event| is_rejected(event, "1.1.0")) {
            break event;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(longest < Duration::from_millis(2_000), "{longest:?}");
    let (reason, words) = why(refused);
    assert_eq!(reason, Some(Reason::Timeout), "{words}");
    assert!(words.contains("2000 ms"), "{words}");
    assert_eq!(machine.supervisor.status().abandoned_reloads, 1);
    // The model is not lost to the plugin: the next version goes live while that one still hangs.
    commit(&machine.plugins(), &[&version("1.2.0")]);
    twin.await_promotion((&machine, &mut model), "1.2.0");
    // Once it does come back, it finds itself called off, and changes nothing.
    let called_off = |event: &AuditEvent| event.reason == Some(Reason::Superseded);
    twin.await_event((&machine, &mut model), called_off);
    assert!(hangs_since.elapsed() > Duration::from_secs(4));
    // Its thread is free again.
    let mut left = 4_000;
    while machine.supervisor.status().abandoned_reloads > 0 {
        twin.step(&mut model);
        left -= 1;
        assert!(left > 0, "it counts as one that never came back");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(model.generation().version(), "1.2.0");
    let status = machine.supervisor.status();
    let of_ema = status.models.iter().find(|one| one.name == "ema").unwrap();
    assert_eq!(of_ema.live.version, "1.2.0");
    assert_eq!(
        of_ema.last_rejection.as_ref().unwrap().reason,
        Reason::Timeout
    );
}

/// Lets a generation retire, so that its code is left behind, and waits until that was noticed.
fn leave_code_behind(machine: &Machine, model: &mut LiveModel, twin: &mut Twin) {
    twin.steps(model, 20);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    twin.await_promotion((machine, model), "1.1.0");
    for _ in 0..4_000 {
        twin.step(model);
        if machine.supervisor.status().leaks.leaked_kib > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nothing is left behind: {}", machine.story());
}

fn limits(overflow_to_worker: bool) -> LeakLimits {
    LeakLimits {
        soft_kib: 0,
        hard_kib: 0,
        overflow_to_worker,
    }
}

#[test]
fn too_much_code_left_behind_ends_reloads_in_this_process() {
    let machine = Machine::with(|options| options.leaks = limits(false));
    commit(&machine.plugins(), &[]);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    leave_code_behind(&machine, &mut model, &mut twin);
    commit(&machine.plugins(), &[&version("1.2.0")]);
    let on = (&machine, &mut model);
    let refused = twin.await_event(on, |event| is_rejected(event, "1.2.0"));
    let (reason, words) = why(refused);
    assert_eq!(reason, Some(Reason::LeakLimit), "{words}");
    assert!(words.contains("1 retired generations"), "{words}");
    twin.steps(&mut model, 20);
    assert_eq!(model.generation().version(), "1.1.0");
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 2);
    let warned = |event: &AuditEvent| event.is(Occasion::LeakWarning);
    assert_eq!(machine.events().iter().filter(|one| warned(one)).count(), 1);
}

#[test]
fn too_much_code_left_behind_sends_the_next_generation_to_a_worker() {
    let _turn = take_workers();
    let machine = Machine::with(|options| {
        options.leaks = limits(true);
        options.load.worker = worker_options();
    });
    commit(&machine.plugins(), &[]);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    leave_code_behind(&machine, &mut model, &mut twin);
    assert_eq!(model.generation().tier(), Isolation::InProcess);
    commit(&machine.plugins(), &[&version("1.2.0")]);
    twin.await_promotion((&machine, &mut model), "1.2.0");
    assert_eq!(model.generation().tier(), Isolation::Worker);
    twin.steps(&mut model, 100);
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 2);
}

/// A process that writes packages of these libraries in turn, from the moment that this returns.
fn writer(root: &Path, times: usize, libraries: &[&Path]) -> Child {
    let mut child = Program::new(env!("CARGO_BIN_EXE_package_writer"))
        .arg(root)
        .arg(times.to_string())
        .args(libraries)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    assert_eq!(line, "begins\n");
    child
}

const KILLS: u32 = 30;

#[test]
fn a_writing_process_that_is_killed_at_any_moment_never_disturbs_what_is_live() {
    let machine = Machine::with(|options| options.rescan_ms = 20);
    let builds = [1_024.0_f32, 2_048.0].map(|bias| (bias, format!("-DEMA_BIAS={bias:?}f")));
    let libraries = [&builds[0].1, &builds[1].1].map(|flag| ema(&[flag]));
    let digests = libraries
        .clone()
        .map(|path| fusebox_loader::generation::sha256_hex(&std::fs::read(path).unwrap()));
    commit(&machine.plugins(), &[&builds[0].1]);
    let (mut model, mut twin) = (machine.add(spec()), Twin::new());
    // Every answer is that of one of the two builds as a whole, the one that it says it is of.
    let mut step = |model: &mut LiveModel| {
        let input = twin.inputs.next().unwrap();
        let state = twin.reference.step(input);
        let found = value(model, input);
        let digest = model.generation().loaded.digest().unwrap().to_owned();
        let build = digests.iter().position(|one| *one == digest).unwrap();
        assert_eq!(found.to_bits(), (state + builds[build].0).to_bits());
        std::thread::sleep(Duration::from_micros(200));
        build
    };
    let both = [&*libraries[1], &*libraries[0]];
    for kill in 0..KILLS {
        let mut child = writer(&machine.plugins(), usize::MAX, &both);
        let (start, delay) = (
            Instant::now(),
            Duration::from_micros(u64::from(kill * kill * 70)),
        );
        while start.elapsed() < delay {
            step(&mut model);
        }
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it works until it is killed"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        for _ in 0..100 {
            step(&mut model);
        }
    }
    for event in machine.events() {
        let is_mapped = event.is_state(State::Mapped) || event.is_state(State::Promoted);
        assert!(!is_mapped || digests.contains(&event.digest), "{event:?}");
    }
    // What they did finish went live, again and again.
    let events = machine.events().into_iter();
    let promoted =
        events.filter(|event| event.is_state(State::Promoted) && event.message.is_some());
    assert!(promoted.count() > 1, "{}", machine.story());
    // What the killed ones left does not keep the next one from its work, whichever build it has.
    for build in [0, 1] {
        let mut child = writer(&machine.plugins(), 1, &[&libraries[build]]);
        assert!(child.wait().unwrap().success());
        let mut left = 20_000;
        while step(&mut model) != build {
            left -= 1;
            assert!(left > 0, "it never goes live:\n{}", machine.story());
        }
    }
}
