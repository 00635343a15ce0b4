//! The dataset over the Arrow C data and C stream interface, written on the C structs directly, so
//! that a plugin author needs no Arrow library.
//!
//! Exporting lends the matrix as it lies: the values buffer of `features` is the host's own memory,
//! kept alive by a share in it until the other side releases the array. Importing keeps the foreign
//! arrays, and their release callbacks, for as long as the [`Dataset`](crate::schema::Dataset)
//! lives. The layout is written down in the header. Nothing here interprets a value.

mod export;
mod import;

pub use export::OutgoingStream;
pub use import::{ImportedBatch, import};

use std::ptr;

use crate::abi::{ArrowArray, ArrowSchema};

/// The fields in the order they are written, with their Arrow formats; `+w` stands for a list of
/// fixed size.
const FIELDS: [(&str, &str); 8] = [
    ("features", "+w"),
    ("labels", "+w"),
    ("weight", "f"),
    ("event_ns", "tsn:UTC"),
    ("label_end_ns", "tsn:UTC"),
    ("symbol", "I"),
    ("segment", "I"),
    ("role", "C"),
];

fn released_array() -> ArrowArray {
    ArrowArray {
        length: 0,
        null_count: 0,
        offset: 0,
        n_buffers: 0,
        n_children: 0,
        buffers: ptr::null_mut(),
        children: ptr::null_mut(),
        dictionary: ptr::null_mut(),
        release: None,
        private_data: ptr::null_mut(),
    }
}

fn released_schema() -> ArrowSchema {
    ArrowSchema {
        format: ptr::null(),
        name: ptr::null(),
        metadata: ptr::null(),
        flags: 0,
        n_children: 0,
        children: ptr::null_mut(),
        dictionary: ptr::null_mut(),
        release: None,
        private_data: ptr::null_mut(),
    }
}
