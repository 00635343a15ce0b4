//! Level 3: instances come and go, and share nothing.

use super::plugin;
use crate::check::lent::{ErrorBuffer, Sink};
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold, process};

/// Growth that is no leak: the heap settles, pages are touched for the first time.
const SETTLED_KIB: u64 = 256;

pub(super) const CASES: &[Case] = &[
    plugin(
        3,
        "bad-config-refused",
        "a configuration that is not a JSON object is refused with a message",
        bad_config_refused,
    ),
    plugin(
        3,
        "unknown-key-noticed",
        "a key that does not exist is refused with a message, or remarked on",
        unknown_key_noticed,
    ),
    plugin(
        3,
        "garbage-artifact-survived",
        "an artifact of another kind does not crash",
        garbage_artifact_survived,
    ),
    plugin(
        3,
        "create-destroy-no-growth",
        "instances give back their memory, threads and descriptors",
        create_destroy_no_growth,
    ),
    plugin(
        3,
        "destroy-at-any-time",
        "an instance may be destroyed before warm-up, after a prediction, after quiesce",
        destroy_at_any_time,
    ),
    plugin(
        3,
        "info-constant",
        "info never changes during the life of an instance",
        info_constant,
    ),
    plugin(
        3,
        "two-generations-independent",
        "two loads of the library share no state",
        two_generations_independent,
    ),
];

fn bad_config_refused(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    bench.create(&table)?;
    for text in [
        "{\"",
        "[1, 2]",
        "\"text\"",
        "{} trailing",
        "{\"a\": nan}",
        "\u{1}",
    ] {
        let mut error = ErrorBuffer::new();
        let created = table.create(text.as_bytes(), &bench.settings.artifact, &mut error);
        hold(created.is_err(), || {
            format!("took the configuration {text:?}, which is not a JSON object")
        })?;
        hold(!error.message().is_empty(), || {
            format!("refused the configuration {text:?} without a message")
        })?;
    }
    HOLDS
}

fn unknown_key_noticed(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let config = bench
        .settings
        .config
        .clone()
        .with("fusebox_check_no_such_key", 1);
    let mut error = ErrorBuffer::new();
    match table.create(
        config.to_json().as_bytes(),
        &bench.settings.artifact,
        &mut error,
    ) {
        Ok(_) => Ok(Some(
            "takes unknown keys: a typing mistake will go unnoticed".to_owned(),
        )),
        Err(_) => {
            let message = error.message();
            hold(!message.is_empty(), || {
                "refused an unknown key without a message".to_owned()
            })?;
            let is_named = message.contains("fusebox_check_no_such_key");
            Ok((!is_named).then(|| format!("the refusal does not name the key: {message}")))
        }
    }
}

fn garbage_artifact_survived(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut rng = bench.rng(30);
    for length in [1, 3, 8, 64, 4096] {
        let mut error = ErrorBuffer::new();
        let artifact = rng.bytes(length);
        let created = table.create(&bench.config_json(), &artifact, &mut error);
        hold(created.is_ok() || !error.message().is_empty(), || {
            format!("refused an artifact of {length} random bytes without a message")
        })?;
    }
    HOLDS
}

fn create_destroy_no_growth(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let count = bench.times(1000, 200);
    let cycle = || -> Result<(), Stop> {
        let mut instance = bench.create(&table)?;
        bench.answers(&mut instance, 4, 31).map(drop)
    };
    (0..count / 4).try_for_each(|_| cycle())?;
    let (before, threads, files) = (
        process::private_kib(),
        process::threads(),
        process::open_files(),
    );
    (0..count).try_for_each(|_| cycle())?;
    let after = process::private_kib();
    let grown = after.unwrap_or(0).saturating_sub(before.unwrap_or(0));
    hold(grown <= SETTLED_KIB + count / 16, || {
        format!("{count} instances left {grown} KiB behind; does destroy free everything?")
    })?;
    hold(process::threads_fall_to(threads), || {
        "left threads behind".to_owned()
    })?;
    let new: Vec<String> = process::open_files().difference(&files).cloned().collect();
    hold(new.is_empty(), || format!("left open: {new:?}"))?;
    Ok(Some(format!("{count} instances, {grown} KiB")))
}

fn destroy_at_any_time(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut error = ErrorBuffer::new();
    drop(bench.create_cold(&table, &mut error)?);
    let mut cold = bench.create_cold(&table, &mut error)?;
    bench.answers(&mut cold, 2, 32)?;
    drop(cold);
    let mut twice = bench.create(&table)?;
    twice
        .warmup(&mut error)
        .map_err(|code| error.told("a second warmup", code))?;
    bench.answers(&mut twice, 2, 32)?;
    twice
        .quiesce(0, &mut error)
        .map_err(|code| error.told("quiesce", code))?;
    twice
        .quiesce(0, &mut error)
        .map_err(|code| error.told("a second quiesce", code))?;
    HOLDS
}

fn info_constant(bench: &Bench<'_>) -> Finding {
    let mut instance = bench.create(&bench.table()?)?;
    let mut error = ErrorBuffer::new();
    let mut told = |instance: &crate::check::raw::Instance| -> Result<Vec<u8>, Stop> {
        let mut sink = Sink::whole();
        instance
            .info(&mut sink, &mut error)
            .map_err(|code| error.told("info", code))?;
        Ok(sink.bytes)
    };
    let before = told(&instance)?;
    bench.answers(&mut instance, 64, 33)?;
    hold(told(&instance)? == before, || {
        "info changed after a prediction".to_owned()
    })?;
    HOLDS
}

fn two_generations_independent(bench: &Bench<'_>) -> Finding {
    let (first, second) = (bench.table()?, bench.table()?);
    let expected = bench.answers(&mut bench.create(&first)?, 16, 34)?;
    let (mut old, mut new) = (bench.create(&first)?, bench.create(&second)?);
    bench.answers(&mut new, 64, 35)?;
    drop(new);
    hold(bench.answers(&mut old, 16, 34)? == expected, || {
        "using a second load of the library changed what the first one answers".to_owned()
    })?;
    hold(
        bench.answers(&mut bench.create(&second)?, 16, 34)? == expected,
        || "two loads of the same library answer differently".to_owned(),
    )?;
    HOLDS
}
