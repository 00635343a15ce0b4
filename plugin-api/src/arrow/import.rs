//! Taking a dataset: reads a foreign stream and keeps its arrays.
//!
//! Every length, width, format and alignment is checked before a slice is made of it; an array that
//! does not fit is an error that names the batch.
#![allow(unsafe_code, reason = "reads the structs of the Arrow C interfaces")]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use super::{FIELDS, released_array, released_schema};
use crate::abi::{ArrowArray, ArrowArrayStream, ArrowSchema, elements};
use crate::error::{PluginError, Result};
use crate::schema::{Dataset, DatasetBatch, DatasetSchema, DatasetView, SCHEMA_VERSION};

/// A stream taken over from the other side.
struct IncomingStream(ArrowArrayStream);

impl Drop for IncomingStream {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the stream was moved here, so this is its only owner.
            unsafe { release(&mut self.0) };
        }
    }
}

struct IncomingSchema(ArrowSchema);

impl Drop for IncomingSchema {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the producer filled the struct for this owner alone.
            unsafe { release(&mut self.0) };
        }
    }
}

struct IncomingArray(ArrowArray);

impl Drop for IncomingArray {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the producer filled the struct for this owner alone.
            unsafe { release(&mut self.0) };
        }
    }
}

/// Takes a stream over and reads all its batches; the columns stay where they are.
///
/// # Errors
/// `E_ARG` for NULL or a released stream, `E_DATA` where it does not have the dataset layout or the
/// producer fails.
///
/// # Safety
/// `stream` is NULL or points to a stream that keeps the rules of the Arrow C stream interface.
pub unsafe fn import(stream: *mut ArrowArrayStream) -> Result<Dataset> {
    // SAFETY: the caller guarantees NULL or a readable struct.
    let Some(lent) = (unsafe { stream.as_mut() }) else {
        return Err(PluginError::argument("the dataset stream is NULL"));
    };
    if lent.release.is_none() {
        return Err(PluginError::argument(
            "the dataset stream was already taken",
        ));
    }
    // SAFETY: the struct is live; the original is marked as moved in the next statement.
    let mut stream = IncomingStream(unsafe { ptr::read(lent) });
    lent.release = None;
    let (schema, layout) = import_schema(&mut stream)?;
    let mut batches = Vec::new();
    loop {
        let mut array = IncomingArray(released_array());
        let get_next = stream.0.get_next.ok_or_else(|| missing("get_next"))?;
        // SAFETY: the stream is live and `array` is a writable, released struct.
        let code = unsafe { get_next(&mut stream.0, &mut array.0) };
        check(code, &mut stream)?;
        if array.0.release.is_none() {
            return Dataset::new(schema, batches);
        }
        let place = format!("dataset batch {}", batches.len());
        let batch = import_batch(array, &layout).and_then(DatasetBatch::imported);
        batches.push(batch.map_err(|error| error.at(place))?);
    }
}

fn missing(slot: &str) -> PluginError {
    PluginError::data(format!("the dataset stream has no `{slot}`"))
}

fn check(code: c_int, stream: &mut IncomingStream) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    let mut message = String::new();
    if let Some(get_last_error) = stream.0.get_last_error {
        // SAFETY: the stream is live and its last call failed, which is when this may be asked.
        let text = unsafe { get_last_error(&mut stream.0) };
        // SAFETY: the producer returns NULL or a NUL-terminated text that outlives this call.
        message = unsafe { text_at(text) }.unwrap_or_default();
    }
    Err(PluginError::data(format!(
        "the dataset stream failed with code {code}: {message}"
    )))
}

/// A NUL-terminated text of the other side; `None` for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated and live.
unsafe fn text_at(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller guarantees a live NUL-terminated text.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}

/// Where each of [`FIELDS`] is among the children of the incoming arrays, and the list widths.
struct Layout {
    child: [usize; 8],
    columns: usize,
    label_columns: usize,
}

fn import_schema(stream: &mut IncomingStream) -> Result<(DatasetSchema, Layout)> {
    let get_schema = stream.0.get_schema.ok_or_else(|| missing("get_schema"))?;
    let mut schema = IncomingSchema(released_schema());
    // SAFETY: the stream is live and `schema` is a writable, released struct.
    let code = unsafe { get_schema(&mut stream.0, &mut schema.0) };
    check(code, stream)?;
    // SAFETY: a filled schema has live, NUL-terminated format text and its children.
    let fields = unsafe { schema_fields(&schema.0) };
    let (mut child, mut widths, mut problems) = ([0; 8], [0; 2], Vec::new());
    for (slot, (name, format)) in FIELDS.into_iter().enumerate() {
        let Some(at) = fields.iter().position(|field| field.0 == name) else {
            problems.push(format!("field `{name}` is missing"));
            continue;
        };
        child[slot] = at;
        let found = fields[at].1.as_str();
        match (format, found.strip_prefix("+w:").map(str::parse::<usize>)) {
            ("+w", Some(Ok(width))) if width > 0 && fields[at].2 == "f" => widths[slot] = width,
            ("+w", _) => problems.push(format!(
                "field `{name}` has format `{found}` of `{}`; a fixed-size list of floats (`+w:N` \
                 of `f`) is needed",
                fields[at].2
            )),
            (format, _) if format == found => {}
            (format, _) => problems.push(format!(
                "field `{name}` has format `{found}`; `{format}` is needed"
            )),
        }
    }
    // SAFETY: the metadata of a filled schema is NULL or in the encoding of the C data interface.
    let names = unsafe { read_metadata(schema.0.metadata) }.and_then(|pairs| names_of(&pairs));
    match names {
        Ok(names) if problems.is_empty() => {
            let [columns, label_columns] = widths;
            Ok((
                names,
                Layout {
                    child,
                    columns,
                    label_columns,
                },
            ))
        }
        Ok(_) => Err(PluginError::data(problems.join("; "))),
        Err(error) => {
            problems.push(error.message().to_owned());
            Err(PluginError::data(problems.join("; ")))
        }
    }
}

/// Name, format and the format of the first child, of every child of a schema.
///
/// # Safety
/// `schema` is live and keeps the rules of the C data interface.
unsafe fn schema_fields(schema: &ArrowSchema) -> Vec<(String, String, String)> {
    // SAFETY: a live schema has `n_children` child pointers.
    let children = unsafe { elements(schema.children, schema.n_children.max(0) as u64) };
    let mut fields = Vec::with_capacity(children.len());
    for child in children {
        // SAFETY: children of a live schema are NULL or live.
        let Some(child) = (unsafe { child.as_ref() }) else {
            fields.push(Default::default());
            continue;
        };
        // SAFETY: names are NULL or NUL-terminated.
        let name = unsafe { text_at(child.name) }.unwrap_or_default();
        // SAFETY: formats are NUL-terminated.
        let format = unsafe { text_at(child.format) }.unwrap_or_default();
        // SAFETY: a live child has `n_children` child pointers.
        let inner = unsafe { elements(child.children, child.n_children.max(0) as u64) };
        let item = inner.first().and_then(|item| {
            // SAFETY: children of a live schema are NULL or live.
            let item = unsafe { item.as_ref() }?;
            // SAFETY: formats are NUL-terminated.
            unsafe { text_at(item.format) }
        });
        fields.push((name, format, item.unwrap_or_default()));
    }
    fields
}

/// # Safety
/// `metadata` is NULL or in the encoding of the C data interface.
unsafe fn read_metadata(metadata: *const c_char) -> Result<Vec<(String, Vec<u8>)>> {
    let mut at: *const u8 = metadata.cast();
    if at.is_null() {
        return Ok(Vec::new());
    }
    let mut number = |skip: usize| -> Result<(usize, *const u8)> {
        // SAFETY: the encoding says that `skip` more bytes belong to the metadata.
        at = unsafe { at.add(skip) };
        // SAFETY: a number follows.
        let value = unsafe { at.cast::<i32>().read_unaligned() };
        // SAFETY: the number is four bytes of the metadata.
        at = unsafe { at.add(4) };
        let value = usize::try_from(value)
            .map_err(|_| PluginError::data("the schema metadata has a negative length"))?;
        Ok((value, at))
    };
    let (pairs, _) = number(0)?;
    let mut read = Vec::new();
    let mut skip = 0;
    for _ in 0..pairs {
        let (key_len, key) = number(skip)?;
        let (value_len, value) = number(key_len)?;
        skip = value_len;
        // SAFETY: the encoding says that `key_len` bytes are here.
        let key = unsafe { elements(key, key_len as u64) };
        // SAFETY: the encoding says that `value_len` bytes are here.
        let value = unsafe { elements(value, value_len as u64) };
        read.push((String::from_utf8_lossy(key).into_owned(), value.to_vec()));
    }
    Ok(read)
}

fn names_of(pairs: &[(String, Vec<u8>)]) -> Result<DatasetSchema> {
    let find = |key: &str| {
        let pair = pairs.iter().find(|(found, _)| found == key);
        let missing = || PluginError::data(format!("schema metadata `{key}` is missing"));
        pair.map(|(_, value)| value.as_slice()).ok_or_else(missing)
    };
    let version = String::from_utf8_lossy(find("fusebox.schema")?);
    if version != SCHEMA_VERSION {
        return Err(PluginError::data(format!(
            "the dataset has layout `{version}`; this side reads `{SCHEMA_VERSION}`"
        )));
    }
    let names = |key: &str| -> Result<Vec<String>> {
        serde_json::from_slice(find(key)?).map_err(|error| {
            PluginError::data(format!(
                "schema metadata `{key}` is not a list of names: {error}"
            ))
        })
    };
    Ok(DatasetSchema {
        features: names("fusebox.features")?,
        labels: names("fusebox.labels")?,
        classes: names("fusebox.classes")?,
    })
}

/// A batch that came over the line; released when dropped.
pub struct ImportedBatch {
    _array: IncomingArray,
    view: DatasetView<'static>,
}

// SAFETY: an Arrow array is immutable after export, and its producer must allow its release from
// another thread than the one that made it; `import` demands both of its caller's stream.
unsafe impl Send for ImportedBatch {}
// SAFETY: as for `Send`; shared use only reads.
unsafe impl Sync for ImportedBatch {}

impl ImportedBatch {
    pub(crate) fn view(&self) -> DatasetView<'_> {
        self.view
    }
}

impl std::fmt::Debug for ImportedBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImportedBatch({} rows)", self.view.rows())
    }
}

/// One array and the range of it that is meant.
#[derive(Clone, Copy)]
struct Column<'a> {
    array: &'a ArrowArray,
    start: usize,
    len: usize,
}

impl<'a> Column<'a> {
    /// Child `at` over this column's range, which counts `width` child elements per element.
    fn child(self, at: usize, width: usize) -> Result<Self> {
        // SAFETY: a live array has `n_children` child pointers.
        let children =
            unsafe { elements(self.array.children, self.array.n_children.max(0) as u64) };
        let child = children
            .get(at)
            .ok_or_else(|| PluginError::data("a child array is missing"))?;
        // SAFETY: children of a live array are NULL or live as long as it.
        let array: Option<&'a ArrowArray> = unsafe { child.as_ref() };
        let array = array.ok_or_else(|| PluginError::data("a child array is NULL"))?;
        let scaled = (self.start.checked_mul(width), self.len.checked_mul(width));
        let (Some(start), Some(len)) = scaled else {
            return Err(PluginError::data("a list is too long"));
        };
        Self::over(array, start, len)
    }

    /// Elements `start..start + len` of an array, not counting its own offset.
    fn over(array: &'a ArrowArray, start: usize, len: usize) -> Result<Self> {
        let offset = usize::try_from(array.offset);
        let held = usize::try_from(array.length);
        let (Ok(offset), Ok(held)) = (offset, held) else {
            return Err(PluginError::data(
                "an array has a negative length or offset",
            ));
        };
        if start.checked_add(len).is_none_or(|end| end > held) {
            return Err(PluginError::data(format!(
                "an array holds {held} values; {len} from {start} on were expected"
            )));
        }
        // SAFETY: a live array has `n_buffers` buffer pointers.
        let buffers = unsafe { elements(array.buffers, array.n_buffers.max(0) as u64) };
        let validity = buffers.first().copied().unwrap_or(ptr::null());
        if array.null_count != 0 && !validity.is_null() {
            return Err(PluginError::data(
                "a column has nulls; NaN is the missing value",
            ));
        }
        let start = start + offset;
        Ok(Self { array, start, len })
    }

    /// The values of a column of plain `T`.
    ///
    /// # Safety
    /// The array's format is the one of `T`, and the array lives for `'b`.
    unsafe fn values<'b, T>(self) -> Result<&'b [T]> {
        if self.len == 0 {
            return Ok(&[]);
        }
        // SAFETY: a live array has `n_buffers` buffer pointers.
        let buffers = unsafe { elements(self.array.buffers, self.array.n_buffers.max(0) as u64) };
        let values: *const T = match buffers {
            [_, values] if !values.is_null() => values.cast(),
            _ => return Err(PluginError::data("a column has no values buffer")),
        };
        if !values.is_aligned() {
            return Err(PluginError::data(
                "a values buffer is not aligned to its type",
            ));
        }
        // SAFETY: `over` checked that the range lies inside the array's values.
        let first = unsafe { values.add(self.start) };
        // SAFETY: as above; the caller guarantees type and lifetime.
        Ok(unsafe { elements(first, self.len as u64) })
    }
}

fn import_batch(array: IncomingArray, layout: &Layout) -> Result<ImportedBatch> {
    let rows = usize::try_from(array.0.length)
        .map_err(|_| PluginError::data("the batch has a negative length"))?;
    let top = Column::over(&array.0, 0, rows)?;
    let [
        features,
        labels,
        weight,
        event_ns,
        label_end_ns,
        symbol,
        segment,
        role,
    ] = layout.child;
    let (columns, label_columns) = (layout.columns, layout.label_columns);
    let features = top.child(features, 1)?.child(0, columns)?;
    let labels = top.child(labels, 1)?.child(0, label_columns)?;
    let view = DatasetView {
        columns,
        label_columns,
        // SAFETY: the schema says float, and the array is kept beside the view.
        features: unsafe { features.values() }?,
        // SAFETY: the schema says float, and the array is kept beside the view.
        labels: unsafe { labels.values() }?,
        // SAFETY: the schema says float, and the array is kept beside the view.
        weight: unsafe { top.child(weight, 1)?.values() }?,
        // SAFETY: the schema says 64-bit timestamp, and the array is kept beside the view.
        event_ns: unsafe { top.child(event_ns, 1)?.values() }?,
        // SAFETY: the schema says 64-bit timestamp, and the array is kept beside the view.
        label_end_ns: unsafe { top.child(label_end_ns, 1)?.values() }?,
        // SAFETY: the schema says uint32, and the array is kept beside the view.
        symbol: unsafe { top.child(symbol, 1)?.values() }?,
        // SAFETY: the schema says uint32, and the array is kept beside the view.
        segment: unsafe { top.child(segment, 1)?.values() }?,
        // SAFETY: the schema says uint8, and the array is kept beside the view.
        role: unsafe { top.child(role, 1)?.values() }?,
    };
    Ok(ImportedBatch {
        _array: array,
        view,
    })
}

#[cfg(test)]
mod tests {
    use super::super::export::{OutgoingStream, export_batch, schema_node};
    use super::*;
    use crate::schema::BatchColumns;

    fn dataset() -> (Dataset, BatchColumns) {
        let schema = DatasetSchema {
            features: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            labels: vec!["direction".to_owned()],
            classes: vec!["down".to_owned(), "flat".to_owned(), "up".to_owned()],
        };
        let columns = BatchColumns {
            features: (0..18).map(|i| i as f32).collect::<Vec<_>>().into(),
            labels: vec![0.0, 1.0, 2.0, f32::NAN, 0.0, 1.0].into(),
            weight: vec![1.0, 0.5, 1.0, 1.0, 1.0, 2.0].into(),
            event_ns: (0..6).collect::<Vec<i64>>().into(),
            label_end_ns: (10..16).collect::<Vec<i64>>().into(),
            symbol: vec![7; 6].into(),
            segment: vec![0, 0, 0, 1, 1, 1].into(),
            role: vec![0, 1, 1, 1, 1, 1].into(),
        };
        let part = |range| DatasetBatch::new(&schema, columns.slice(range, 3, 1).unwrap()).unwrap();
        let batches = vec![part(0..2), part(2..6), part(3..3)];
        (Dataset::new(schema.clone(), batches).unwrap(), columns)
    }

    #[test]
    fn a_stream_carries_every_column_without_copying_the_matrix() {
        let (dataset, columns) = dataset();
        let mut stream = OutgoingStream::new(dataset.clone());
        // SAFETY: the stream is our own and keeps the rules.
        let back = unsafe { import(stream.as_mut_ptr()) }.unwrap();
        drop(stream);
        assert_eq!(back.schema(), dataset.schema());
        assert_eq!(back.batches().len(), 3);
        let view = back.batches()[1].view();
        assert_eq!(view.features.as_ptr(), columns.features[6..].as_ptr());
        assert_eq!(view.features, &columns.features[6..]);
        assert_eq!(view.labels[2..], columns.labels[4..]);
        assert!(view.labels[1].is_nan());
        assert_eq!(view.weight, &columns.weight[2..]);
        assert_eq!(view.event_ns, [2, 3, 4, 5]);
        assert_eq!(view.label_end_ns, [12, 13, 14, 15]);
        assert_eq!(
            (view.symbol[0], view.segment, view.role[0]),
            (7, &[0, 1, 1, 1][..], 1)
        );
        assert_eq!(back.batches()[2].rows(), 0);
    }

    #[test]
    fn the_columns_live_until_the_last_user_is_gone() {
        let (dataset, columns) = dataset();
        let mut stream = OutgoingStream::new(dataset);
        // SAFETY: the stream is our own and keeps the rules.
        let back = unsafe { import(stream.as_mut_ptr()) }.unwrap();
        drop(stream);
        let kept = back.batches()[0].clone();
        drop(back);
        assert_eq!(kept.view().features, &columns.features[..6]);
    }

    #[test]
    fn an_unread_stream_is_released_and_a_taken_one_is_refused() {
        let (dataset, columns) = dataset();
        drop(OutgoingStream::new(dataset.clone()));
        let mut stream = OutgoingStream::new(dataset);
        // SAFETY: the stream is our own and keeps the rules.
        unsafe { import(stream.as_mut_ptr()) }.unwrap();
        // SAFETY: as above; taking it twice is what is tested.
        let error = unsafe { import(stream.as_mut_ptr()) }.unwrap_err();
        assert!(error.message().contains("already taken"), "{error}");
        // SAFETY: NULL is allowed.
        assert!(unsafe { import(ptr::null_mut()) }.is_err());
        assert_eq!(columns.event_ns.len(), 6);
    }

    #[test]
    fn a_foreign_layout_lists_every_problem() {
        unsafe extern "C" fn schema(_: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
            let item = schema_node("g", "item", Vec::new(), Vec::new()).unwrap();
            let list = schema_node("+w:2", "features", Vec::new(), vec![item]).unwrap();
            let role = schema_node("i", "role", Vec::new(), Vec::new()).unwrap();
            let top = schema_node("+s", "", Vec::new(), vec![list, role]).unwrap();
            // SAFETY: the importer lends a writable struct.
            unsafe { out.write(top) };
            0
        }
        let (dataset, _) = dataset();
        let mut stream = OutgoingStream::new(dataset);
        stream.0.get_schema = Some(schema);
        // SAFETY: the stream keeps the rules; only its layout is foreign.
        let error = unsafe { import(stream.as_mut_ptr()) }.unwrap_err();
        for part in [
            "`features` has format `+w:2` of `g`",
            "`labels` is missing",
            "`role` has format `i`; `C` is needed",
            "`fusebox.schema` is missing",
        ] {
            assert!(error.message().contains(part), "{part} not in {error}");
        }
    }

    #[test]
    fn a_failing_producer_is_quoted() {
        unsafe extern "C" fn next(_: *mut ArrowArrayStream, _: *mut ArrowArray) -> c_int {
            5
        }
        unsafe extern "C" fn error(_: *mut ArrowArrayStream) -> *const c_char {
            c"the disk is gone".as_ptr()
        }
        let (dataset, _) = dataset();
        let mut stream = OutgoingStream::new(dataset);
        stream.0.get_next = Some(next);
        stream.0.get_last_error = Some(error);
        // SAFETY: the stream keeps the rules.
        let error = unsafe { import(stream.as_mut_ptr()) }.unwrap_err();
        assert!(
            error.message().contains("code 5: the disk is gone"),
            "{error}"
        );
    }

    #[test]
    fn offsets_of_a_foreign_producer_are_honoured() {
        let (dataset, columns) = dataset();
        let mut array = IncomingArray(export_batch(dataset.batches()[1].clone()));
        array.0.length = 2;
        array.0.offset = 1;
        let layout = Layout {
            child: [0, 1, 2, 3, 4, 5, 6, 7],
            columns: 3,
            label_columns: 1,
        };
        let error = {
            let mut long = IncomingArray(export_batch(dataset.batches()[0].clone()));
            long.0.length = 3;
            import_batch(long, &layout).unwrap_err()
        };
        assert!(error.message().contains("holds 2 values"), "{error}");
        let batch = import_batch(array, &layout).unwrap();
        assert_eq!(batch.view().features, &columns.features[9..15]);
        assert_eq!(batch.view().event_ns, [3, 4]);
    }
}
