//! Level 2: loading is quick, quiet and harmless.

use fusebox_plugin_api::abi::FB_CAP_THREADS;

use super::plugin;
use crate::check::lent::HostSpec;
use crate::check::raw::Mapped;
use crate::check::trap::{self, OUTSIDE};
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold, process};

/// Longest time a load may take.
const LOAD_MS: u64 = 50;

pub(super) const CASES: &[Case] = &[
    plugin(
        2,
        "scan-quick",
        "loading and the entry take less than 50 ms",
        scan_quick,
    ),
    plugin(
        2,
        "load-touches-nothing",
        "loading and the entry open no file or socket, start no thread or process, print nothing",
        load_touches_nothing,
    ),
    plugin(
        2,
        "load-leaves-nothing",
        "loading leaves no descriptor and no thread behind",
        load_leaves_nothing,
    ),
    plugin(
        2,
        "odd-factory-ids-null",
        "factory ids that are empty, no text, or have garbage at their end answer NULL",
        odd_factory_ids_null,
    ),
    plugin(
        2,
        "null-host-survived",
        "an entry that is given no host does not crash",
        null_host,
    ),
    plugin(
        2,
        "entry-constant",
        "the entry answers the same whenever it is asked",
        entry_constant,
    ),
    plugin(
        2,
        "entry-equals-manifest",
        "the entry states the id, version and kinds of the manifest or the note",
        entry_equals_manifest,
    ),
];

fn scan_quick(bench: &Bench<'_>) -> Finding {
    // The first load also maps the libraries it needs; the best of some counts, because other
    // programs only ever make it slower.
    let mut best = u64::MAX;
    for _ in 0..4 {
        let path = bench.copy()?;
        let started = bench.settings.clock.now_ns();
        let mapped = Mapped::open(&path)?;
        mapped.enter(Some(HostSpec::default()));
        best = best.min(bench.settings.clock.now_ns().saturating_sub(started));
    }
    let milliseconds = best as f64 / 1e6;
    hold(best < LOAD_MS * 1_000_000, || {
        format!("took {milliseconds:.1} ms; do the work in create or warmup, not on loading")
    })?;
    Ok(Some(format!("{milliseconds:.2} ms")))
}

fn load_touches_nothing(bench: &Bench<'_>) -> Finding {
    // A first copy maps the libraries it needs, whose own beginnings are not the plugin's fault.
    bench.map()?.enter(Some(HostSpec::default()));
    let path = bench.copy()?;
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    trap::arm(&OUTSIDE, &name, "while it was loaded")?;
    let entered = Mapped::open(&path).map(|mapped| mapped.enter(Some(HostSpec::default())));
    if let Ok(Some(entry)) = &entered {
        entry.has_learner();
    }
    trap::disarm();
    entered?;
    HOLDS
}

fn load_leaves_nothing(bench: &Bench<'_>) -> Finding {
    let (files, threads) = (process::open_files(), process::threads());
    let entry = bench.map()?.enter(Some(HostSpec::default()));
    let after = process::open_files();
    let new: Vec<&String> = after.difference(&files).collect();
    hold(new.is_empty(), || {
        format!("left open: {new:?}; open files in create, not on loading")
    })?;
    hold(process::threads() <= threads, || {
        "started a thread on loading; start threads in create and state FB_CAP_THREADS".to_owned()
    })?;
    let caps = entry.map_or(0, |entry| entry.capabilities());
    let states_threads = caps & FB_CAP_THREADS != 0;
    Ok(states_threads.then(|| "states that its instances may start threads".to_owned()))
}

fn odd_factory_ids_null(bench: &Bench<'_>) -> Finding {
    let entry = bench.map()?.enter(Some(HostSpec::default()));
    let entry = entry.ok_or_else(|| Stop::Fail("its entry answers NULL".to_owned()))?;
    let ids: [&[u8]; 9] = [
        b"",
        b"fb.model",
        b"fb.model/1 ",
        b"fb.model/1\0",
        b"fb.model/10",
        b"FB.MODEL/1",
        b"fb.model/1/draft-1",
        b"\xff\xfe\x80",
        &[b'x'; 5000],
    ];
    for id in ids {
        hold(!entry.has_factory(id), || {
            let text = String::from_utf8_lossy(&id[..id.len().min(40)]).into_owned();
            format!("factory {text:?} answers a table; compare the whole length of the id")
        })?;
    }
    hold(!entry.has_null_factory(), || {
        "an id at NULL answers a table".to_owned()
    })?;
    HOLDS
}

fn null_host(bench: &Bench<'_>) -> Finding {
    let answered = bench.map()?.enter(None).is_some();
    Ok(answered.then(|| "answers a table even without a host".to_owned()))
}

fn entry_constant(bench: &Bench<'_>) -> Finding {
    let mapped = bench.map()?;
    let (first, second) = (
        mapped.enter(Some(HostSpec::default())),
        mapped.enter(Some(HostSpec::default())),
    );
    let address = |entry: Option<crate::check::raw::Entry>| entry.map(|entry| entry.address);
    hold(first.is_some(), || {
        "its entry answers NULL to this host".to_owned()
    })?;
    hold(address(first) == address(second), || {
        "answers another entry when it is asked again; make it a constant".to_owned()
    })?;
    HOLDS
}

fn entry_equals_manifest(bench: &Bench<'_>) -> Finding {
    let entry = bench.map()?.enter(Some(HostSpec::default()));
    let entry = entry.ok_or_else(|| Stop::Fail("its entry answers NULL".to_owned()))?;
    let (id, version) = entry.names();
    let bytes = std::fs::read(&bench.target.library).map_err(|error| error.to_string())?;
    let note =
        crate::elf::inspect(&bytes, &bench.target.library).map_err(|error| error.to_string())?;
    hold((&id, &version) == (&note.id, &note.version), || {
        format!(
            "the entry says {id} {version}, the note says {} {}; use the same constants for both",
            note.id, note.version
        )
    })?;
    let Some(manifest) = bench.target.manifest() else {
        return Ok(Some(format!("{id} {version}")));
    };
    hold((&id, &version) == (&manifest.id, &manifest.version), || {
        format!(
            "the entry says {id} {version}, the manifest {} {}",
            manifest.id, manifest.version
        )
    })?;
    for kind in &manifest.kind {
        hold(entry.has_factory(kind.as_bytes()), || {
            format!("the manifest names the factory {kind}, which answers NULL")
        })?;
    }
    Ok(Some(format!("{id} {version}")))
}
