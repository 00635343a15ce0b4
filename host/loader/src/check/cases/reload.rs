//! Level 8: a thousand reloads while another instance predicts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::plugin;
use crate::check::lent::{ErrorBuffer, Sink};
use crate::check::raw::{Instance, Table};
use crate::check::{Bench, Case, Finding, Stop, hold, process};

/// What one reload may leave behind, KiB: the written pages of a library that is never unloaded.
const LEFT_PER_RELOAD_KIB: u64 = 64;

pub(super) const CASES: &[Case] = &[plugin(
    8,
    "reload-soak",
    "a thousand reloads lose no answer and no state and leave under 64 KiB each",
    reload_soak,
)];

/// What is compared before and after.
struct Footprint {
    private_kib: u64,
    files: usize,
    threads: usize,
}

impl Footprint {
    fn now() -> Self {
        Self {
            private_kib: process::private_kib().unwrap_or(0),
            files: process::open_files().len(),
            threads: process::threads(),
        }
    }
}

fn reload_soak(bench: &Bench<'_>) -> Finding {
    let reloads = bench.times(1000, 60);
    let table = bench.table()?;
    let expected = bench.answers(&mut bench.create(&table)?, 8, 110)?;
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let left = thread::scope(|scope| {
        let load = scope.spawn(|| load(bench, &table, &expected, (&is_over, &answered)));
        // The first answer is waited for, so that no reload goes by without load.
        while answered.load(Ordering::Acquire) == 0 && !load.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        let left = reload_many(bench, reloads);
        is_over.store(true, Ordering::Release);
        let load = load.join();
        load.unwrap_or_else(|_| Err(Stop::Fail("the predicting thread panicked".into())))?;
        left
    })?;
    let answered = answered.load(Ordering::Relaxed);
    hold(answered > 0, || {
        "no prediction was made during the reloads".to_owned()
    })?;
    Ok(Some(format!(
        "{reloads} reloads, {answered} answers meanwhile, {left} KiB each"
    )))
}

/// Predicts with new instances of one generation until it is over.
fn load(
    bench: &Bench<'_>,
    table: &Table,
    expected: &[u32],
    (is_over, answered): (&AtomicBool, &AtomicU64),
) -> Result<(), Stop> {
    while !is_over.load(Ordering::Acquire) {
        let mut instance = bench.create(table)?;
        let found = bench.answers(&mut instance, 8, 110)?;
        hold(found == *expected, || {
            "a reload changed what an instance of another generation answers".to_owned()
        })?;
        answered.fetch_add(1, Ordering::Release);
    }
    Ok(())
}

/// Reloads, each time with the state of the generation before, and returns what each one left.
fn reload_many(bench: &Bench<'_>, reloads: u64) -> Result<u64, Stop> {
    let warm = reloads / 5;
    let mut serving = bench.create(&bench.table()?)?;
    let mut twin = bench.create(&bench.table()?)?;
    let mut before = Footprint::now();
    for reload in 0..reloads {
        if reload == warm {
            before = Footprint::now();
        }
        serving = hand_over(bench, serving)?;
        // The twin sees the same rows and is never reloaded.
        let expected = bench.answers(&mut twin, 2, 120 + reload)?;
        hold(
            bench.answers(&mut serving, 2, 120 + reload)? == expected,
            || {
                format!(
                    "reload {reload} lost state: the answers differ from an instance that stayed"
                )
            },
        )?;
    }
    let after = Footprint::now();
    let left = after.private_kib.saturating_sub(before.private_kib) / (reloads - warm).max(1);
    hold(left < LEFT_PER_RELOAD_KIB, || {
        format!("every reload left {left} KiB behind, {LEFT_PER_RELOAD_KIB} are allowed")
    })?;
    hold(after.files <= before.files, || {
        format!(
            "{} descriptors before, {} after {reloads} reloads",
            before.files, after.files
        )
    })?;
    hold(process::threads_fall_to(before.threads), || {
        let threads = process::threads();
        format!(
            "{} threads before, {threads} after {reloads} reloads",
            before.threads
        )
    })?;
    Ok(left)
}

/// A new generation with the state of the old one, which is destroyed.
fn hand_over(bench: &Bench<'_>, mut old: Instance) -> Result<Instance, Stop> {
    let mut new = bench.create(&bench.table()?)?;
    let mut error = ErrorBuffer::new();
    if old.table().has_state() {
        let mut sink = Sink::whole();
        let schema = old.snapshot(&mut sink, &mut error);
        let schema = schema.map_err(|code| error.told("snapshot", code))?;
        let restored = new.restore(&sink.bytes, schema, &mut error);
        restored.map_err(|code| error.told("restore", code))?;
    }
    old.quiesce(0, &mut error)
        .map_err(|code| error.told("quiesce", code))?;
    Ok(new)
}
