//! Lending a dataset: a stream whose arrays point into the host's own buffers.
//!
//! Every struct made here owns a share in its batch, so the other side may keep an array after the
//! stream is gone. Nothing is copied.
#![allow(unsafe_code, reason = "builds the structs of the Arrow C interfaces")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use super::{FIELDS, released_array};
use crate::abi::{ArrowArray, ArrowArrayStream, ArrowSchema};
use crate::error::{PluginError, Result};
use crate::schema::{Dataset, DatasetBatch, DatasetSchema, SCHEMA_VERSION};

const EINVAL: c_int = 22;

/// A stream to lend by pointer. Whoever takes it sets its release callback to NULL; what was not
/// taken is released when this is dropped.
#[derive(Debug)]
pub struct OutgoingStream(pub(super) ArrowArrayStream);

impl OutgoingStream {
    /// Offers the batches of `dataset`, without copying a column.
    #[must_use]
    pub fn new(dataset: Dataset) -> Self {
        let state = Box::new(StreamState {
            dataset,
            next: 0,
            last_error: CString::default(),
        });
        Self(ArrowArrayStream {
            get_schema: Some(stream_get_schema),
            get_next: Some(stream_get_next),
            get_last_error: Some(stream_get_last_error),
            release: Some(stream_release),
            private_data: Box::into_raw(state).cast(),
        })
    }

    /// The struct to lend.
    pub fn as_mut_ptr(&mut self) -> *mut ArrowArrayStream {
        &mut self.0
    }
}

impl Drop for OutgoingStream {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: a stream with a release callback is live and this is its only owner.
            unsafe { release(&mut self.0) };
        }
    }
}

struct StreamState {
    dataset: Dataset,
    next: usize,
    last_error: CString,
}

/// Runs `body` on the state of a stream this file made; a failure goes to `get_last_error`.
///
/// # Safety
/// `stream` is a live stream made by [`OutgoingStream::new`], used by one thread at a time.
unsafe fn with_state(
    stream: *mut ArrowArrayStream,
    body: impl FnOnce(&mut StreamState) -> Result<()>,
) -> c_int {
    // SAFETY: the caller guarantees a live stream.
    let private: *mut StreamState = unsafe { (*stream).private_data }.cast();
    // SAFETY: `private_data` of our streams is a `StreamState`, and the caller is its only user.
    let state = unsafe { &mut *private };
    let result = catch_unwind(AssertUnwindSafe(|| body(state)));
    let error = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error,
        Err(_) => PluginError::internal("panicked while exporting a dataset"),
    };
    state.last_error = CString::new(error.message().replace('\0', " ")).unwrap_or_default();
    EINVAL
}

unsafe extern "C" fn stream_get_schema(s: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
    let write = |state: &mut StreamState| {
        let schema = export_schema(state.dataset.schema())?;
        // SAFETY: the consumer lends a writable, released schema struct.
        unsafe { out.write(schema) };
        Ok(())
    };
    // SAFETY: the consumer passes the stream it was given.
    unsafe { with_state(s, write) }
}

unsafe extern "C" fn stream_get_next(s: *mut ArrowArrayStream, out: *mut ArrowArray) -> c_int {
    let write = |state: &mut StreamState| {
        let batch = state.dataset.batches().get(state.next).cloned();
        state.next += usize::from(batch.is_some());
        let array = batch.map_or_else(released_array, export_batch);
        // SAFETY: the consumer lends a writable, released array struct.
        unsafe { out.write(array) };
        Ok(())
    };
    // SAFETY: the consumer passes the stream it was given.
    unsafe { with_state(s, write) }
}

unsafe extern "C" fn stream_get_last_error(stream: *mut ArrowArrayStream) -> *const c_char {
    // SAFETY: the consumer passes the stream it was given, still live.
    let private: *mut StreamState = unsafe { (*stream).private_data }.cast();
    // SAFETY: `private_data` of our streams is a `StreamState`.
    unsafe { &*private }.last_error.as_ptr()
}

unsafe extern "C" fn stream_release(stream: *mut ArrowArrayStream) {
    // SAFETY: the consumer passes a live stream and uses it no more.
    let stream = unsafe { &mut *stream };
    stream.release = None;
    // SAFETY: `private_data` is the box made in `OutgoingStream::new`, freed once, here.
    drop(unsafe { Box::from_raw(stream.private_data.cast::<StreamState>()) });
}

/// What a schema struct made here owns.
struct SchemaOwner {
    format: CString,
    name: CString,
    metadata: Vec<u8>,
    children: Vec<*mut ArrowSchema>,
}

pub(super) fn schema_node(
    format: &str,
    name: &str,
    metadata: Vec<u8>,
    children: Vec<ArrowSchema>,
) -> Result<ArrowSchema> {
    let text = |text: &str| {
        CString::new(text).map_err(|_| PluginError::data(format!("name {text:?} contains NUL")))
    };
    let boxed = children
        .into_iter()
        .map(|child| Box::into_raw(Box::new(child)));
    let mut owner = Box::new(SchemaOwner {
        format: text(format)?,
        name: text(name)?,
        metadata,
        children: boxed.collect(),
    });
    let has_metadata = !owner.metadata.is_empty();
    let metadata = if has_metadata {
        owner.metadata.as_ptr()
    } else {
        ptr::null()
    };
    Ok(ArrowSchema {
        format: owner.format.as_ptr(),
        name: owner.name.as_ptr(),
        metadata: metadata.cast(),
        flags: 0,
        n_children: owner.children.len() as i64,
        children: owner.children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(schema_release),
        private_data: Box::into_raw(owner).cast(),
    })
}

unsafe extern "C" fn schema_release(schema: *mut ArrowSchema) {
    // SAFETY: the consumer passes a live schema and uses it no more.
    let schema = unsafe { &mut *schema };
    schema.release = None;
    // SAFETY: `private_data` is the box made in `schema_node`, freed once, here.
    let owner = unsafe { Box::from_raw(schema.private_data.cast::<SchemaOwner>()) };
    for child in &owner.children {
        // SAFETY: children are boxes made in `schema_node`; only their parent frees them.
        let mut child = unsafe { Box::from_raw(*child) };
        if let Some(release) = child.release {
            // SAFETY: a child that was not moved away is live.
            unsafe { release(&mut *child) };
        }
    }
}

fn export_schema(schema: &DatasetSchema) -> Result<ArrowSchema> {
    let mut children = Vec::with_capacity(FIELDS.len());
    for (name, format) in FIELDS {
        let width = match name {
            "features" => schema.features.len(),
            _ => schema.labels.len(),
        };
        children.push(match format {
            "+w" => {
                let item = schema_node("f", "item", Vec::new(), Vec::new())?;
                schema_node(&format!("+w:{width}"), name, Vec::new(), vec![item])?
            }
            format => schema_node(format, name, Vec::new(), Vec::new())?,
        });
    }
    let metadata = encode_metadata(&[
        ("fusebox.schema", SCHEMA_VERSION.to_owned()),
        ("fusebox.features", serde_json::to_string(&schema.features)?),
        ("fusebox.labels", serde_json::to_string(&schema.labels)?),
        ("fusebox.classes", serde_json::to_string(&schema.classes)?),
    ]);
    schema_node("+s", "", metadata, children)
}

/// The pairs in the metadata encoding of the C data interface: counts and lengths as native `i32`.
fn encode_metadata(pairs: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = (pairs.len() as i32).to_ne_bytes().to_vec();
    for (key, value) in pairs {
        for text in [key.as_bytes(), value.as_bytes()] {
            bytes.extend((text.len() as i32).to_ne_bytes());
            bytes.extend(text);
        }
    }
    bytes
}

/// What an array struct made here owns: a share in the batch its buffers lie in.
struct ArrayOwner {
    _batch: Arc<DatasetBatch>,
    buffers: Vec<*const c_void>,
    children: Vec<*mut ArrowArray>,
}

fn array_node(
    batch: &Arc<DatasetBatch>,
    length: usize,
    values: Option<*const c_void>,
    children: Vec<ArrowArray>,
) -> ArrowArray {
    let boxed = children
        .into_iter()
        .map(|child| Box::into_raw(Box::new(child)));
    let mut owner = Box::new(ArrayOwner {
        _batch: Arc::clone(batch),
        buffers: std::iter::once(ptr::null()).chain(values).collect(),
        children: boxed.collect(),
    });
    ArrowArray {
        length: length as i64,
        null_count: 0,
        offset: 0,
        n_buffers: owner.buffers.len() as i64,
        n_children: owner.children.len() as i64,
        buffers: owner.buffers.as_mut_ptr(),
        children: owner.children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(array_release),
        private_data: Box::into_raw(owner).cast(),
    }
}

unsafe extern "C" fn array_release(array: *mut ArrowArray) {
    // SAFETY: the consumer passes a live array and uses it no more.
    let array = unsafe { &mut *array };
    array.release = None;
    // SAFETY: `private_data` is the box made in `array_node`, freed once, here.
    let owner = unsafe { Box::from_raw(array.private_data.cast::<ArrayOwner>()) };
    for child in &owner.children {
        // SAFETY: children are boxes made in `array_node`; only their parent frees them.
        let mut child = unsafe { Box::from_raw(*child) };
        if let Some(release) = child.release {
            // SAFETY: a child that was not moved away is live.
            unsafe { release(&mut *child) };
        }
    }
}

pub(super) fn export_batch(batch: DatasetBatch) -> ArrowArray {
    let batch = Arc::new(batch);
    let view = batch.view();
    let rows = view.rows();
    let leaf = |values: *const c_void, length| array_node(&batch, length, Some(values), vec![]);
    let list = |values: &[f32]| {
        let item = leaf(values.as_ptr().cast(), values.len());
        array_node(&batch, rows, None, vec![item])
    };
    let children = vec![
        list(view.features),
        list(view.labels),
        leaf(view.weight.as_ptr().cast(), rows),
        leaf(view.event_ns.as_ptr().cast(), rows),
        leaf(view.label_end_ns.as_ptr().cast(), rows),
        leaf(view.symbol.as_ptr().cast(), rows),
        leaf(view.segment.as_ptr().cast(), rows),
        leaf(view.role.as_ptr().cast(), rows),
    ];
    array_node(&batch, rows, None, children)
}
