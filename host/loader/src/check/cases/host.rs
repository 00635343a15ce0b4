//! Level 10: hosts that are older, newer, smaller or ruder than this one.

use std::mem::offset_of;

use fusebox_plugin_api::abi::{self, FB_ABI_MAJOR, FB_ABI_MINOR, fb_host};

use super::plugin;
use crate::check::bench::predict;
use crate::check::lent::{ErrorBuffer, HostSpec, Sink};
use crate::check::raw::Instance;
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold};

pub(super) const CASES: &[Case] = &[
    plugin(
        10,
        "host-of-another-minor",
        "a host of an older or newer minor version is served the same",
        host_of_another_minor,
    ),
    plugin(
        10,
        "host-of-another-major",
        "a host of another major version is refused with NULL",
        host_of_another_major,
    ),
    plugin(
        10,
        "host-of-another-size",
        "a larger host table, and one that ends before its functions, are served",
        host_of_another_size,
    ),
    plugin(
        10,
        "host-without-services",
        "a host without a log or extensions is served, also when a call fails",
        host_without_services,
    ),
    plugin(
        10,
        "error-buffer-missing-or-tiny",
        "errors may have no buffer, or one that holds no message",
        error_buffer_missing_or_tiny,
    ),
    plugin(
        10,
        "sinks-that-fail",
        "info and save end with an error where the sink takes nothing",
        sinks_that_fail,
    ),
    plugin(
        10,
        "unknown-extension-null",
        "an extension id that does not exist answers NULL",
        unknown_extension_null,
    ),
];

/// What a plugin answers to a whole life with this host.
fn life(bench: &Bench<'_>, host: HostSpec) -> Result<Vec<u32>, Stop> {
    let table = bench.map()?.table(host)?;
    let mut error = ErrorBuffer::new();
    // A refusal may log, so it is part of every life.
    drop(table.create(b"{\"", &[], &mut error));
    let mut instance = bench.create(&table)?;
    let answers = bench.answers(&mut instance, 12, 130)?;
    instance
        .quiesce(0, &mut error)
        .map_err(|code| error.told("quiesce", code))?;
    Ok(answers)
}

fn serves(bench: &Bench<'_>, hosts: &[(&str, HostSpec)]) -> Finding {
    let expected = life(bench, HostSpec::default())?;
    for (whose, host) in hosts {
        let found = life(bench, *host).map_err(|stop| match stop {
            Stop::Fail(found) => Stop::Fail(format!("{whose}: {found}")),
            other @ Stop::Skip(_) => other,
        })?;
        hold(found == expected, || format!("{whose} gets other answers"))?;
    }
    HOLDS
}

fn host_of_another_minor(bench: &Bench<'_>) -> Finding {
    let minor = |minor| HostSpec {
        minor,
        ..HostSpec::default()
    };
    serves(
        bench,
        &[
            ("a host of minor version 0", minor(0)),
            ("a host of the next minor version", minor(FB_ABI_MINOR + 1)),
            ("a host of minor version 65535", minor(u16::MAX)),
        ],
    )
}

fn host_of_another_major(bench: &Bench<'_>) -> Finding {
    let mapped = bench.map()?;
    for major in [0, FB_ABI_MAJOR + 1, u16::MAX] {
        let entry = mapped.enter(Some(HostSpec {
            major,
            ..HostSpec::default()
        }));
        hold(entry.is_none(), || {
            let states = entry.map_or(0, |entry| entry.major());
            format!(
                "gave a host of major version {major} an entry of version {states}; answer NULL \
                 where host->abi_major is not FB_ABI_MAJOR"
            )
        })?;
    }
    HOLDS
}

fn host_of_another_size(bench: &Bench<'_>) -> Finding {
    let size = |size: usize| HostSpec {
        size: size as u32,
        ..HostSpec::default()
    };
    let full = abi::size::<fb_host>() as usize;
    serves(
        bench,
        &[
            ("a newer host table of 48 bytes", size(full + 8)),
            ("a newer host table of 240 bytes", size(full + 200)),
            (
                "a host table that ends before get_extension",
                size(offset_of!(fb_host, get_extension)),
            ),
            (
                "a host table that ends before log",
                size(offset_of!(fb_host, log)),
            ),
        ],
    )
}

fn host_without_services(bench: &Bench<'_>) -> Finding {
    let host = |has_log, has_extensions| HostSpec {
        has_log,
        has_extensions,
        ..HostSpec::default()
    };
    serves(
        bench,
        &[
            ("a host without a log", host(false, true)),
            ("a host without extensions", host(true, false)),
            ("a host without either", host(false, false)),
        ],
    )
}

fn error_buffer_missing_or_tiny(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut buffers: Vec<(u32, ErrorBuffer)> = [4, 16, 17, 18, 24, 100, 1023]
        .map(|size| (size, ErrorBuffer::of_size(size)))
        .into();
    buffers.push((0, ErrorBuffer::none()));
    for (size, error) in &mut buffers {
        hold(table.create(b"{\"", &[], error).is_err(), || {
            format!("took a broken configuration when the error buffer has {size} bytes")
        })?;
        let mut instance = bench.create_cold(&table, error)?;
        wrong_calls(bench, &mut instance, error)?;
        let overrun = error.overrun();
        hold(overrun.is_none(), || {
            let at = overrun.unwrap_or_default();
            format!("wrote byte {at} of an error buffer of {size} bytes; use FB_HAS on err")
        })?;
    }
    HOLDS
}

/// Calls that should fail; how they fail is not the point here.
fn wrong_calls(
    bench: &Bench<'_>,
    instance: &mut Instance,
    error: &mut ErrorBuffer,
) -> Result<(), Stop> {
    if instance.table().has_state() {
        let refused = instance
            .restore(b"nonsense of no schema", u32::MAX, error)
            .is_err();
        hold(refused, || {
            "took over a state of schema 4294967295".to_owned()
        })?;
    }
    let shape = Bench::shape(&bench.info(instance)?, 2);
    let input = bench.rng(131).units(shape.input_len().unwrap_or(0));
    predict(instance, &input, shape)?;
    Ok(())
}

fn sinks_that_fail(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let instance = bench.create(&table)?;
    let mut error = ErrorBuffer::new();
    let mut sink = Sink::failing_at(0);
    hold(instance.info(&mut sink, &mut error).is_err(), || {
        "info reported success although the sink took nothing".to_owned()
    })?;
    let mut whole = Sink::whole();
    let saved = instance.save(&mut whole, &mut error);
    saved.map_err(|code| error.told("save", code))?;
    if table.has_save() && whole.pieces() > 0 {
        let mut sink = Sink::failing_at(0);
        hold(instance.save(&mut sink, &mut error).is_err(), || {
            "save reported success although the sink took nothing".to_owned()
        })?;
    }
    HOLDS
}

fn unknown_extension_null(bench: &Bench<'_>) -> Finding {
    let instance = bench.create(&bench.table()?)?;
    for id in [
        "",
        "fb.explain",
        "fb.explain/1x",
        "fb.explain/99",
        "fb.nonsense/1",
    ] {
        hold(!instance.has_extension(id), || {
            format!("extension {id:?} answers a table")
        })?;
    }
    HOLDS
}
