//! Level 5: state goes out and comes in bit by bit, and nonsense never does.

use fusebox_plugin_api::abi::FB_FRAME_REPLAY;

use super::plugin;
use crate::check::lent::{ErrorBuffer, FrameBytes, Sink};
use crate::check::raw::{Instance, Table};
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold, skip};

pub(super) const CASES: &[Case] = &[
    plugin(
        5,
        "restore-empty-random-truncated",
        "states that are empty, random or cut off at any length are refused or harmless",
        restore_nonsense,
    ),
    plugin(
        5,
        "state-schema-as-stated",
        "snapshots have the schema number that the manifest states",
        state_schema_as_stated,
    ),
    plugin(
        5,
        "restore-newer-schema-refused",
        "a state of a newer schema is refused, and changes nothing",
        restore_newer_schema,
    ),
    plugin(
        5,
        "snapshot-changes-nothing",
        "taking a snapshot does not change what comes after",
        snapshot_changes_nothing,
    ),
    plugin(
        5,
        "snapshot-to-failing-sink",
        "a sink that takes no more ends the snapshot with an error, and the instance lives on",
        snapshot_to_failing_sink,
    ),
    plugin(
        5,
        "replay-rebuilds-state",
        "rows that are marked as replay leave the same state as live ones",
        replay_rebuilds_state,
    ),
    plugin(
        5,
        "state-across-generations",
        "a state goes from one load of the library to the next, bit by bit",
        state_across_generations,
    ),
];

type State = (u32, Vec<u8>);

fn stateful(bench: &Bench<'_>) -> Result<Table, Stop> {
    let table = bench.table()?;
    if !table.has_state() {
        return skip("it offers no snapshot and restore, so it has no state to keep");
    }
    Ok(table)
}

fn state(instance: &Instance) -> Result<State, Stop> {
    let (mut sink, mut error) = (Sink::whole(), ErrorBuffer::new());
    let schema = instance.snapshot(&mut sink, &mut error);
    let schema = schema.map_err(|code| error.told("snapshot", code))?;
    Ok((schema, sink.bytes))
}

fn restore_nonsense(bench: &Bench<'_>) -> Finding {
    let mut instance = bench.create(&stateful(bench)?)?;
    bench.answers(&mut instance, 20, 50)?;
    let (schema, good) = state(&instance)?;
    let mut rng = bench.rng(51);
    let step = (good.len() / 200).max(1);
    let mut tries: Vec<Vec<u8>> = (0..good.len())
        .step_by(step)
        .map(|length| good[..length].to_vec())
        .collect();
    tries.extend((0..bench.times(200, 40)).map(|_| {
        let length = rng.below(2 * good.len() as u64 + 16) as usize;
        rng.bytes(length)
    }));
    for nonsense in tries.iter().filter(|nonsense| **nonsense != good) {
        let mut error = ErrorBuffer::new();
        let before = state(&instance)?;
        let length = nonsense.len();
        if instance.restore(nonsense, schema, &mut error).is_ok() {
            hold(length == good.len(), || {
                format!("took over {length} bytes, but a state has {}", good.len())
            })?;
            // Random bytes of the right length may be a state; the next ones start from it.
            continue;
        }
        hold(!error.message().is_empty(), || {
            format!("refused a state of {length} bytes without a message")
        })?;
        hold(state(&instance)? == before, || {
            format!("a refused state of {length} bytes changed the instance")
        })?;
    }
    let mut error = ErrorBuffer::new();
    let restored = instance.restore(&good, schema, &mut error);
    restored.map_err(|code| error.told("restore of a good state after bad ones", code))?;
    bench.answers(&mut instance, 4, 52).map(drop)?;
    HOLDS
}

fn state_schema_as_stated(bench: &Bench<'_>) -> Finding {
    let (schema, _) = state(&bench.create(&stateful(bench)?)?)?;
    let Some(manifest) = bench.target.manifest() else {
        return Ok(Some(format!("schema {schema}")));
    };
    let Some(stated) = &manifest.state else {
        let hint = "the manifest states none; pack with --state-schema";
        return Ok(Some(format!("schema {schema}, {hint}")));
    };
    hold(stated.schema == schema, || {
        format!(
            "snapshots have schema {schema}, the manifest states {}",
            stated.schema
        )
    })?;
    Ok(Some(format!("schema {schema}")))
}

fn restore_newer_schema(bench: &Bench<'_>) -> Finding {
    let mut instance = bench.create(&stateful(bench)?)?;
    bench.answers(&mut instance, 20, 53)?;
    let (schema, good) = state(&instance)?;
    for newer in [schema.wrapping_add(1), schema.wrapping_add(1000), u32::MAX] {
        let mut error = ErrorBuffer::new();
        let restored = instance.restore(&good, newer, &mut error);
        hold(restored.is_err(), || {
            format!("took over a state of schema {newer}, but it writes schema {schema}")
        })?;
        hold(!error.message().is_empty(), || {
            format!("refused schema {newer} without a message")
        })?;
        hold(state(&instance)? == (schema, good.clone()), || {
            format!("refusing schema {newer} changed the state")
        })?;
    }
    HOLDS
}

fn snapshot_changes_nothing(bench: &Bench<'_>) -> Finding {
    let table = stateful(bench)?;
    let (mut disturbed, mut alone) = (bench.create(&table)?, bench.create(&table)?);
    for salt in 54..60 {
        let expected = bench.answers(&mut alone, 10, salt)?;
        let found = bench.answers(&mut disturbed, 10, salt)?;
        hold(found == expected, || {
            "answers differ after a snapshot was taken".to_owned()
        })?;
        let first = state(&disturbed)?;
        hold(state(&disturbed)? == first, || {
            "two snapshots without a row between them differ".to_owned()
        })?;
    }
    Ok(Some(format!(
        "{} bytes of schema {}",
        state(&alone)?.1.len(),
        state(&alone)?.0
    )))
}

fn snapshot_to_failing_sink(bench: &Bench<'_>) -> Finding {
    let mut instance = bench.create(&stateful(bench)?)?;
    bench.answers(&mut instance, 20, 60)?;
    let good = state(&instance)?;
    let mut whole = Sink::whole();
    let mut error = ErrorBuffer::new();
    let taken = instance.snapshot(&mut whole, &mut error);
    taken.map_err(|code| error.told("snapshot", code))?;
    for piece in 0..whole.pieces().min(8) {
        let mut sink = Sink::failing_at(piece);
        let taken = instance.snapshot(&mut sink, &mut error);
        hold(taken.is_err(), || {
            format!(
                "reported success although the sink did not take piece {}",
                piece + 1
            )
        })?;
        hold(!sink.was_pressed, || {
            "went on writing after the sink had failed; return its code at once".to_owned()
        })?;
    }
    hold(state(&instance)? == good, || {
        "a failed snapshot changed the state".to_owned()
    })?;
    Ok(Some(format!("written in {} pieces", whole.pieces())))
}

fn replay_rebuilds_state(bench: &Bench<'_>) -> Finding {
    let table = stateful(bench)?;
    let (mut live, mut replayed) = (bench.create(&table)?, bench.create(&table)?);
    let shape = Bench::shape(&bench.info(&live)?, 40);
    let input = bench.rng(61).units(shape.input_len().unwrap_or(0));
    let mut error = ErrorBuffer::new();
    for (instance, flags) in [(&mut live, 0), (&mut replayed, FB_FRAME_REPLAY)] {
        let mut output = vec![f32::NAN; shape.output_len().unwrap_or(0)];
        let frame = FrameBytes::new(&input, &mut output, shape)?.with_flags(flags);
        let answered = instance.predict(&frame, &mut error);
        answered.map_err(|code| error.told("predict", code))?;
    }
    hold(state(&live)? == state(&replayed)?, || {
        "the state after a replay is not the one after the same rows live".to_owned()
    })?;
    HOLDS
}

fn state_across_generations(bench: &Bench<'_>) -> Finding {
    let mut old = bench.create(&stateful(bench)?)?;
    bench.answers(&mut old, 50, 62)?;
    let (schema, bytes) = state(&old)?;
    let mut new = bench.create(&bench.table()?)?;
    let mut error = ErrorBuffer::new();
    let restored = new.restore(&bytes, schema, &mut error);
    restored.map_err(|code| error.told("restore", code))?;
    let expected = bench.answers(&mut old, 50, 63)?;
    hold(bench.answers(&mut new, 50, 63)? == expected, || {
        "a new load with the old one's state answers differently".to_owned()
    })?;
    HOLDS
}
