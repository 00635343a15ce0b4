//! Entries for the fuzz target `worker_ring`: what the host reads of a worker, fed with anything.
//!
//! Nothing else calls this; a program has no use for it.

use fusebox_plugin_api::error::PluginError;
use serde_json::Value;

use super::data::DatasetHead;
use super::ring::{ANSWER, ERROR_BYTES, PieceShape, Ring, place};
use super::wire::{Ask, Blob, Failure, Made, Opened, Say, Trust, receive, send};

/// Reads bytes as a worker's message, and what it carries as every answer that there is.
///
/// # Panics
/// Where a message that was read is another one after it was sent again, or where an error of it is
/// not one short line.
pub fn message_of_worker(bytes: &[u8]) {
    let Ok((say, blobs)) = receive::<Say>(&mut &bytes[..], Trust::None) else {
        return;
    };
    let mut sent = Vec::new();
    let lent: Vec<Blob<'_>> = blobs.iter().map(|blob| Blob::Bytes(blob)).collect();
    if send(&mut sent, &say, &lent).is_ok() {
        let again = receive::<Say>(&mut sent.as_slice(), Trust::None).ok();
        let text = |say: &Say| serde_json::to_string(say).ok();
        let same =
            again.is_some_and(|(other, arrived)| text(&other) == text(&say) && arrived == blobs);
        assert!(same, "a message changed on its way: {say:?}");
    }
    match say {
        Say::Failed(failure) => check_failure(failure),
        Say::Done { value } => read_as_answers(&value),
        _ => {}
    }
}

fn read_as_answers(value: &Value) {
    let _ = serde_json::from_value::<Opened>(value.clone());
    if let Ok(made) = serde_json::from_value::<Made>(value.clone()) {
        for failure in made.state.err().into_iter().chain(made.artifact.err()) {
            check_failure(failure);
        }
    }
}

fn check_failure(failure: Failure) {
    let error = PluginError::from(failure);
    assert!(!error.message().contains(char::is_control), "{error:?}");
    assert!(error.message().chars().count() <= 4096);
}

/// Reads bytes as a host's message, and the rows that it may carry.
pub fn message_of_host(bytes: &[u8]) {
    let Ok((ask, blobs)) = receive::<Ask>(&mut &bytes[..], Trust::Full) else {
        return;
    };
    let mut blobs = blobs.into_iter();
    let mut read = |head: DatasetHead| drop(head.read(&mut blobs));
    match ask {
        Ask::Update { rows } => read(rows),
        Ask::Fit(head) => {
            read(head.train);
            head.valid.into_iter().for_each(read);
        }
        _ => {}
    }
}

/// Writes `scribbles` (place and value) anywhere into a ring, and reads the answer of request
/// `sequence` to a piece of `rows` rows of `columns` values and `outputs` answers.
///
/// # Panics
/// Where the error of the slot is not one short line.
pub fn answer_in_ring(
    scribbles: &[(u16, u32)],
    sequence: u32,
    (rows, columns, outputs): (u8, u8, u8),
) {
    const SLOT_BYTES: usize = 4096;
    let Ok((ring, _file)) = Ring::create(SLOT_BYTES) else {
        return;
    };
    let shape = PieceShape {
        rows: rows.into(),
        window: 1,
        columns: columns.into(),
        outputs: outputs.into(),
        flags: scribbles.first().map_or(0, |(_, flags)| *flags),
    };
    ring.scribble(scribbles);
    let slot = ring.slot(sequence);
    let _ = (slot.get(place::STATUS), ring.word(ANSWER));
    let text = slot.read_error();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() <= ERROR_BYTES);
    if ring.fits(&shape) {
        let output = shape.places().output;
        let mut answers = vec![0.0; shape.outputs];
        for row in 0..shape.rows {
            slot.read_floats(output + row * shape.outputs, &mut answers);
        }
    }
}
