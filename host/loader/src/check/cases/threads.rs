//! Level 6: an instance is used by one thread at a time, not always the same one.

use std::thread;

use fusebox_plugin_api::abi::FB_CAP_THREADS;

use super::plugin;
use crate::check::lent::{ErrorBuffer, HostSpec, Sink};
use crate::check::raw::Instance;
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold, process};

const PARALLEL: u64 = 4;

pub(super) const CASES: &[Case] = &[
    plugin(
        6,
        "threads-in-turn",
        "every call on an instance may come from another thread",
        threads_in_turn,
    ),
    plugin(
        6,
        "parallel-instances",
        "instances work on several threads at once, each as if alone",
        parallel_instances,
    ),
    plugin(
        6,
        "factory-from-any-thread",
        "the entry's table may be asked from several threads at once",
        factory_from_any_thread,
    ),
    plugin(
        6,
        "no-thread-left",
        "threads are stated, are gone after quiesce, and after destroy without it",
        no_thread_left,
    ),
];

/// Runs `work` on a thread of its own.
fn elsewhere<T: Send>(work: impl FnOnce() -> Result<T, Stop> + Send) -> Result<T, Stop> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(Stop::Fail("the thread of the case panicked".to_owned())))
}

fn threads_in_turn(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut stays = bench.create(&table)?;
    let mut travels = elsewhere(|| bench.create(&table))?;
    for salt in 70..75 {
        let expected = bench.answers(&mut stays, 24, salt)?;
        let (back, found) = elsewhere(move || {
            let found = bench.answers(&mut travels, 24, salt)?;
            Ok((travels, found))
        })?;
        hold(found == expected, || {
            "answers depend on the thread that asks; keep the state in the instance, not in \
             thread-locals"
                .to_owned()
        })?;
        travels = elsewhere(move || {
            let (mut sink, mut error) = (Sink::whole(), ErrorBuffer::new());
            let taken = back.snapshot(&mut sink, &mut error);
            taken.map_err(|code| error.told("snapshot from another thread", code))?;
            Ok(back)
        })?;
    }
    elsewhere(move || {
        drop(travels);
        Ok(())
    })?;
    HOLDS
}

fn parallel_instances(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let expected: Vec<Vec<u32>> = (0..PARALLEL)
        .map(|number| bench.answers(&mut bench.create(&table)?, 64, 80 + number))
        .collect::<Result<_, Stop>>()?;
    let rounds = bench.times(200, 20);
    let found: Result<Vec<()>, Stop> =
        thread::scope(|scope| {
            let workers: Vec<_> = (0..PARALLEL)
            .zip(&expected)
            .map(|(number, expected)| {
                let work = move || {
                    for round in 0..rounds {
                        let mut instance = bench.create(&table)?;
                        hold(bench.answers(&mut instance, 64, 80 + number)? == *expected, || {
                            format!("round {round}: other instances changed what this one answers")
                        })?;
                    }
                    Ok(())
                };
                scope.spawn(work)
            })
            .collect();
            let ended = workers.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|end| end.unwrap_or_else(|_| Err(Stop::Fail("a thread panicked".into()))))
                .collect()
        });
    found?;
    Ok(Some(format!("{PARALLEL} threads, {rounds} instances each")))
}

fn factory_from_any_thread(bench: &Bench<'_>) -> Finding {
    let entry = bench.map()?.enter(Some(HostSpec::default()));
    let entry = entry.ok_or_else(|| Stop::Fail("its entry answers NULL".to_owned()))?;
    let entry = &entry;
    thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(move || {
                for _ in 0..1000 {
                    entry.has_factory(b"fb.model/1");
                    entry.has_learner();
                }
            });
        }
    });
    hold(entry.has_factory(b"fb.model/1"), || {
        "`fb.model/1` answers NULL".to_owned()
    })?;
    HOLDS
}

fn no_thread_left(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let before = process::threads();
    let use_it = || -> Result<Instance, Stop> {
        let mut instance = bench.create(&table)?;
        bench.answers(&mut instance, 256, 90)?;
        Ok(instance)
    };
    let mut instance = use_it()?;
    let during = process::threads();
    hold(during <= before || table.caps & FB_CAP_THREADS != 0, || {
        format!(
            "an instance started {} threads, but the entry does not state FB_CAP_THREADS",
            during - before
        )
    })?;
    let mut error = ErrorBuffer::new();
    let deadline = bench.settings.clock.now_ns() + 2_000_000_000;
    instance
        .quiesce(deadline, &mut error)
        .map_err(|code| error.told("quiesce", code))?;
    hold(process::threads_fall_to(before), || {
        format!(
            "{} threads are left after quiesce; join them there",
            process::threads() - before
        )
    })?;
    drop(instance);
    drop(use_it()?);
    hold(process::threads_fall_to(before), || {
        let left = process::threads() - before;
        format!("{left} threads are left after destroy; join them where quiesce was not called")
    })?;
    Ok(Some(format!(
        "{} threads while in use",
        during.saturating_sub(before)
    )))
}
