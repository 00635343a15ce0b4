//! Many reloads under load: nothing is lost or doubled, and nothing grows.
//!
//! In a process of its own, one after the other, because memory, descriptors and threads are those
//! of the whole process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fusebox_loader::live::{LiveModel, ModelSpec, State};
use fusebox_loader::{Clock, PackageSpec, SystemClock, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_tests::fixtures::compile;
use fusebox_tests::live::{Machine, Reference, commit, ema, inputs, spec, value, weights};

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Times of single predictions, nanoseconds, in a ring that does not grow.
struct Times(Vec<u64>, usize);

impl Times {
    fn new() -> Self {
        Self(Vec::with_capacity(1 << 20), 0)
    }

    fn record(&mut self, nanos: u64) {
        if self.0.len() < self.0.capacity() {
            self.0.push(nanos);
        } else {
            let at = self.1 % self.0.len();
            self.0[at] = nanos;
            self.1 += 1;
        }
    }

    fn p99_us(&mut self) -> f64 {
        self.0.sort_unstable();
        let at = self.0.len() * 99 / 100;
        self.0.get(at).map_or(0.0, |nanos| *nanos as f64 / 1e3)
    }
}

fn resident_kib() -> i64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap()
}

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).unwrap().count()
}

/// A model that answers the same whatever happens, on a thread of its own: its 99th percentile,
/// microseconds, from one call of `take` to the next.
struct Bystander {
    times: Arc<Mutex<Times>>,
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Bystander {
    fn start(mut model: LiveModel) -> Self {
        let (times, is_over) = (
            Arc::new(Mutex::new(Times::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (shared, over) = (Arc::clone(&times), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let (clock, mut calls) = (SystemClock, 0_u64);
            let generation = model.generation().number;
            let (input, mut output) = ([1.0], [0.0; 2]);
            while !over.load(Ordering::Relaxed) {
                let mut times = shared.lock().unwrap();
                for _ in 0..1_000 {
                    let shape = FrameShape::dense(1, 1, 2);
                    let mut frame = Frame::new(&input, &mut output, shape).unwrap();
                    let started = clock.now_ns();
                    let answered = model.predict(&mut frame).unwrap();
                    times.record(clock.now_ns() - started);
                    assert_eq!(
                        (answered.generation, answered.first_row),
                        (generation, calls)
                    );
                    calls += 1;
                }
            }
            calls
        });
        Self {
            times,
            is_over,
            thread,
        }
    }

    fn take(&self) -> f64 {
        std::mem::replace(&mut *self.times.lock().unwrap(), Times::new()).p99_us()
    }
}

/// Predicts at full rate and compares every answer with the reference until it is told to stop.
/// Gives rows and generations seen.
fn predict_for_ever(mut model: LiveModel, is_over: &AtomicBool) -> (u64, usize) {
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    let mut biases: Vec<(u64, f32)> = Vec::new();
    let mut calls = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let input = inputs.next().unwrap();
        let (cell, mut output) = ([input], [f32::NAN]);
        let mut frame = Frame::new(&cell, &mut output, FrameShape::dense(1, 1, 1)).unwrap();
        let answered = model
            .predict(&mut frame)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(answered.first_row, calls, "a row was lost or doubled");
        let state = reference.step(input);
        // A generation adds one bias for all its life, and none comes back.
        let bias = match biases.last() {
            Some((generation, bias)) if *generation == answered.generation => *bias,
            _ => {
                let is_new = biases.iter().all(|(one, _)| *one != answered.generation);
                assert!(is_new, "generation {} came back", answered.generation);
                let bias = if output[0].to_bits() == state.to_bits() {
                    0.0
                } else {
                    1_000.0
                };
                biases.push((answered.generation, bias));
                bias
            }
        };
        assert_eq!(output[0].to_bits(), (state + bias).to_bits(), "row {calls}");
        calls += 1;
    }
    (calls, biases.len())
}

/// How long each step took on average, of the events that are remembered.
fn mean_durations(machine: &Machine) -> String {
    let events = machine.supervisor.audit().since(0);
    let means = State::ALL.map(|state| {
        let of_state = events.iter().filter(|event| event.is_state(state));
        let (count, sum) = of_state.fold((0, 0), |(count, sum), event| {
            (count + 1, sum + event.duration_us)
        });
        format!("{state:?} {} us", sum / count.max(1))
    });
    means.join(", ")
}

/// Waits until another generation answers.
fn await_other(machine: &Machine, model: &str, generation: u64) -> u64 {
    for _ in 0..60_000 {
        let status = machine.supervisor.status();
        let one = status.models.iter().find(|one| one.name == model).unwrap();
        if one.live.generation != generation && one.loading.is_none() {
            return one.live.generation;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!(
        "no other generation than {generation} came:\n{}",
        machine.story()
    );
}

/// Memory, descriptors and threads of this process.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    resident_kib: i64,
    descriptors: usize,
    threads: usize,
}

impl Footprint {
    fn now() -> Self {
        Self {
            resident_kib: resident_kib(),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
        }
    }
}

/// A machine with a plugin that changes and one that does not.
struct Soak {
    machine: Machine,
    builds: [PathBuf; 2],
    generation: u64,
}

impl Soak {
    fn new() -> (Self, LiveModel, Bystander) {
        let machine = Machine::with(|options| options.settle.first_ms = 1);
        let builds = [["-DEMA_BIAS=0.0f"], ["-DEMA_BIAS=1000.0f"]].map(|flags| ema(&flags));
        let mut soak = Self {
            machine,
            builds,
            generation: 0,
        };
        soak.put(0);
        let library = compile("returns-nan/nan.c", &[], soak.machine.root.path());
        write_package(&soak.machine.plugins(), &PackageSpec::new(library)).unwrap();
        let id = "com.example.returns-nan";
        let unrelated = ModelSpec::of_plugin("unrelated", id, Config::new());
        let bystander = Bystander::start(soak.machine.add(unrelated));
        let model = soak.machine.add(spec());
        soak.generation = model.generation().number;
        (soak, model, bystander)
    }

    fn put(&self, number: u64) {
        let spec = PackageSpec {
            replace: true,
            ..PackageSpec::new(&self.builds[(number % 2) as usize])
        };
        write_package(&self.machine.plugins(), &spec).unwrap();
    }

    /// Commits the other build, and waits until it answers.
    fn reload(&mut self, number: u64) {
        self.put(number + 1);
        self.generation = await_other(&self.machine, "ema", self.generation);
    }
}

/// How many reloads; the one thing that a run may set.
#[expect(
    clippy::disallowed_methods,
    reason = "the length of the soak is the one thing that a run may set"
)]
fn wanted_reloads() -> u64 {
    let wanted = std::env::var("FUSEBOX_SOAK_RELOADS").ok();
    wanted.map_or(1_000, |text| text.parse().unwrap())
}

/// Reloads under load: nothing is lost or doubled, every answer is of one generation, and memory,
/// descriptors and threads stay where they are. `FUSEBOX_SOAK_RELOADS` sets the number.
#[test]
fn soak() {
    let _alone = alone();
    let (reloads, clock) = (wanted_reloads(), SystemClock);
    let (mut soak, model, bystander) = Soak::new();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let predicting = std::thread::spawn(move || predict_for_ever(model, &over));
    std::thread::sleep(Duration::from_secs(2));
    let quiet_us = bystander.take();

    // The first ones fill what is bounded: the newest events, the newest generations.
    let warm_up = (reloads / 4).min(80);
    (0..warm_up).for_each(|number| soak.reload(number));
    let (before, started_ns) = (Footprint::now(), clock.now_ns());
    (warm_up..warm_up + reloads).for_each(|number| soak.reload(number));
    let took_ms = (clock.now_ns() - started_ns) as f64 / 1e6 / reloads as f64;
    let after = Footprint::now();
    let busy_us = bystander.take();

    is_over.store(true, Ordering::Relaxed);
    bystander.is_over.store(true, Ordering::Relaxed);
    let (calls, generations) = predicting.join().unwrap();
    let others = bystander.thread.join().unwrap();
    let slope_kib = (after.resident_kib - before.resident_kib) as f64 / reloads as f64;
    println!(
        "{reloads} native reloads, {took_ms:.1} ms each from commit to live; {calls} and {others} \
         predictions, none lost or doubled, by {generations} generations; resident memory \
         {slope_kib:.1} KiB per reload; unrelated model p99 {quiet_us:.2} us quiet, \
         {busy_us:.2} us busy; {before:?} -> {after:?}; {:?}; {}",
        soak.machine.supervisor.status().leaks,
        mean_durations(&soak.machine)
    );
    assert_eq!(generations as u64, reloads + warm_up + 1);
    assert!(slope_kib < 64.0, "{slope_kib} KiB per reload");
    assert!(
        after.descriptors <= before.descriptors + 2,
        "{before:?} -> {after:?}"
    );
    assert!(
        after.threads <= before.threads + 2,
        "{before:?} -> {after:?}"
    );
    // Two cores are shared with everything else on a test machine, so this bound is wide.
    assert!(busy_us < quiet_us * 50.0 + 5_000.0);
}

#[test]
fn reloads_of_weights_leave_no_memory_behind() {
    const RELOADS: u32 = 200;
    const WARM_UP: u32 = 100;
    let _alone = alone();
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    weights(&machine, "1.0.0", 0.5, false);
    let mut spec = ModelSpec::of_packages("ema");
    spec.swap.probation.rows = 2;
    let mut model = machine.add(spec);
    let (is_over, mut generation) = (Arc::new(AtomicBool::new(false)), model.generation().number);
    let over = Arc::clone(&is_over);
    let predicting = std::thread::spawn(move || {
        let mut rows = 0_u64;
        while !over.load(Ordering::Relaxed) {
            value(&mut model, 1.0);
            rows += 1;
            assert_eq!(model.rows(), rows);
        }
    });
    let mut before = 0;
    for reload in 0..WARM_UP + RELOADS {
        if reload == WARM_UP {
            before = resident_kib();
        }
        weights(
            &machine,
            "1.0.0",
            if reload % 2 == 0 { 0.25 } else { 0.5 },
            true,
        );
        generation = await_other(&machine, "ema", generation);
    }
    let slope_kib = (resident_kib() - before) as f64 / f64::from(RELOADS);
    is_over.store(true, Ordering::Relaxed);
    predicting.join().unwrap();
    println!("{RELOADS} reloads of weights; resident memory {slope_kib:.2} KiB per reload");
    assert!(slope_kib < 4.0, "{slope_kib} KiB per reload");
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 1);
}

#[test]
fn a_commit_is_live_soon() {
    const RELOADS: u64 = 20;
    let _alone = alone();
    let (soak, mut model, bystander) = Soak::new();
    bystander.is_over.store(true, Ordering::Relaxed);
    bystander.thread.join().unwrap();
    let (clock, mut times_ms) = (SystemClock, Vec::new());
    for number in 1..=RELOADS {
        let (before, started_ns) = (model.generation().number, clock.now_ns());
        soak.put(number);
        for _ in 0..100_000 {
            value(&mut model, 1.0);
            if model.generation().number != before {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_ne!(model.generation().number, before);
        times_ms.push((clock.now_ns() - started_ns) as f64 / 1e6);
        for _ in 0..8 {
            value(&mut model, 1.0);
        }
    }
    times_ms.sort_by(f64::total_cmp);
    let median_ms = times_ms[times_ms.len() / 2];
    println!(
        "commit to live, with the writing of the package: median {median_ms:.1} ms, worst {:.1} \
         ms; {}",
        times_ms.last().unwrap(),
        mean_durations(&soak.machine)
    );
    assert!(median_ms < 5_000.0);
}
