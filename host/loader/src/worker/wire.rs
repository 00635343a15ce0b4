//! Messages on the socket between host and worker: a JSON head and binary blobs behind it.
//!
//! A number keeps every bit on its way. What comes from a worker is read as hostile: bounded in
//! size, and memory grows only with bytes that really came.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use fusebox_plugin_api::error::{PluginError, Status};

use super::data::{DatasetHead, SpecHead};

/// Number of this protocol; host and worker refuse each other where it differs.
pub(crate) const PROTOCOL: u32 = 1;

const MAGIC: [u8; 4] = *b"FBW1";
const MAX_HEAD_BYTES: u64 = 16 << 20;
const MAX_BLOBS: u32 = 1 << 20;
/// All blobs of one message that a worker sends.
const MAX_BLOB_BYTES: u64 = 1 << 31;

/// What the host asks a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(crate) enum Ask {
    /// The first message: shut yourself in, map the library.
    Open(Opening),
    /// Whether the plugin answers a factory id.
    HasFactory { id: String },
    /// What the learner is.
    Describe,
    /// Make the model. One blob: the artifact.
    Create { config: Value },
    /// Make the model ready.
    Warmup,
    /// The artifact of the model.
    Save,
    /// The state of the model.
    Snapshot,
    /// Take over a state. One blob.
    Restore { schema: u32 },
    /// Join every thread.
    Quiesce { deadline_ns: u64 },
    /// Let go of the model.
    Destroy,
    /// Importances by kind.
    Importance { kind: String },
    /// The model as ONNX.
    ToOnnx { opset: u32 },
    /// Learn from new rows.
    Update { rows: DatasetHead },
    /// Learn a model.
    Fit(Box<FitHead>),
}

/// What a worker is and may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) protocol: u32,
    pub(crate) library: String,
    pub(crate) origin: String,
    pub(crate) generation: u64,
    pub(crate) ring_bytes: u64,
    pub(crate) spin_us: u64,
    pub(crate) memory_mb: u64,
    pub(crate) readable: Vec<String>,
}

/// A fit without its rows, which follow as blobs: train, valid, checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FitHead {
    pub(crate) task: Value,
    pub(crate) config: Value,
    pub(crate) train: DatasetHead,
    pub(crate) valid: Option<DatasetHead>,
    pub(crate) environment: Option<SpecHead>,
    pub(crate) has_checkpoint: bool,
    pub(crate) seed: u64,
    pub(crate) max_threads: u32,
}

/// What a worker says: an answer, or a question on the way to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub(crate) enum Say {
    /// The answer; what it carries depends on the question.
    Done { value: Value },
    /// The answer is an error.
    Failed(Failure),
    /// A fit reports. Values are bits of `f64`, because JSON has no NaN.
    Report {
        step: u64,
        total: Option<u64>,
        metrics: Vec<(String, u64)>,
    },
    /// A fit hands out its state. One blob.
    Checkpoint { step: u64 },
    /// A fit resets its environments. Blobs: seeds, mask, observations, action mask.
    EnvReset { has: [bool; 3] },
    /// A fit steps its environments. Blobs: actions, observations, rewards, terminated, truncated,
    /// final observations, infos, action mask.
    EnvStep { is_box: bool, has: [bool; 3] },
    /// A fit closes its environments.
    EnvClose,
}

/// How the host answers a question of a fit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Done; the blobs are the arrays that were filled.
    Done,
    /// Not done.
    Failed(Failure),
}

/// An error on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) status: i32,
    pub(crate) message: String,
}

impl From<&PluginError> for Failure {
    fn from(error: &PluginError) -> Self {
        Self {
            status: error.status().code(),
            message: error.message().to_owned(),
        }
    }
}

impl From<Failure> for PluginError {
    /// Reads as hostile: one line, not too long.
    fn from(failure: Failure) -> Self {
        const MOST: usize = 4096;
        let message: String = failure.message.chars().take(MOST).collect();
        Self::new(
            Status::of_plugin(failure.status),
            message.replace(char::is_control, " "),
        )
    }
}

/// What a worker tells about the plugin once its library is mapped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) protocol: u32,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) capabilities: u64,
    pub(crate) has_model: bool,
    pub(crate) has_learner: bool,
    /// Parts of the jail that this kernel does not offer.
    pub(crate) missing: Vec<String>,
}

/// What a worker tells about a model it made. Blobs: state, artifact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) info: Value,
    pub(crate) importance_kinds: Option<Vec<String>>,
    pub(crate) is_incremental: bool,
    /// Bits of `f64`.
    pub(crate) quantile_levels: Option<Vec<u64>>,
    pub(crate) exports_onnx: bool,
    /// Schema of the state in the first blob; the error where there is none.
    pub(crate) state: Result<u32, Failure>,
    /// Whether the second blob is the artifact; the error where it could not be written. Only a
    /// fit writes it.
    pub(crate) artifact: Result<bool, Failure>,
}

/// Bytes to send, as they lie in memory; numbers are little endian on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Blob<'a> {
    Bytes(&'a [u8]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    I64(&'a [i64]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

impl Blob<'_> {
    fn len(&self) -> u64 {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::F32(values) => 4 * values.len(),
            Self::U32(values) => 4 * values.len(),
            Self::F64(values) => 8 * values.len(),
            Self::I64(values) => 8 * values.len(),
            Self::U64(values) => 8 * values.len(),
        };
        bytes as u64
    }

    fn send(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::F32(values) => pack(values, |value| value.to_le_bytes(), out),
            Self::U32(values) => pack(values, |value| value.to_le_bytes(), out),
            Self::F64(values) => pack(values, |value| value.to_le_bytes(), out),
            Self::I64(values) => pack(values, |value| value.to_le_bytes(), out),
            Self::U64(values) => pack(values, |value| value.to_le_bytes(), out),
        }
    }
}

/// Values packed per write.
const PACKED: usize = 8192;

fn pack<T: Copy, const N: usize>(
    values: &[T],
    bytes_of: impl Fn(T) -> [u8; N],
    out: &mut impl Write,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(N * values.len().min(PACKED));
    for chunk in values.chunks(PACKED) {
        buffer.clear();
        chunk
            .iter()
            .for_each(|value| buffer.extend(bytes_of(*value)));
        out.write_all(&buffer)?;
    }
    Ok(())
}

/// Reads numbers back; `None` where the length is no multiple of their size.
pub(crate) fn unpack<T, const N: usize>(bytes: &[u8], of: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty()
        .then(|| chunks.iter().map(|chunk| of(*chunk)).collect())
}

/// Sends a message.
pub(crate) fn send(
    out: &mut impl Write,
    head: &impl Serialize,
    blobs: &[Blob<'_>],
) -> io::Result<()> {
    let head = serde_json::to_vec(&hide(serde_json::to_value(head)?))?;
    let count = u32::try_from(blobs.len()).map_err(io::Error::other)?;
    let mut start = Vec::with_capacity(16 + 8 * blobs.len() + head.len());
    start.extend(MAGIC);
    start.extend(count.to_le_bytes());
    start.extend((head.len() as u64).to_le_bytes());
    blobs
        .iter()
        .for_each(|blob| start.extend(blob.len().to_le_bytes()));
    start.extend(head);
    out.write_all(&start)?;
    blobs.iter().try_for_each(|blob| blob.send(out))
}

/// Whether blobs of a message may have any size; a host may send as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Full,
    None,
}

/// Receives a message.
///
/// # Errors
/// `InvalidData` where it is no message of this protocol, otherwise what the reader says.
pub(crate) fn receive<T: DeserializeOwned>(
    input: &mut impl Read,
    trust: Trust,
) -> io::Result<(T, Vec<Vec<u8>>)> {
    let mut start = [0; 16];
    input.read_exact(&mut start)?;
    let word = |at: usize| start[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    let (count, head_bytes) = (word(4), u64::from(word(8)) | u64::from(word(12)) << 32);
    if start[..4] != MAGIC || count > MAX_BLOBS || head_bytes > MAX_HEAD_BYTES {
        return Err(broken("a message does not begin like one"));
    }
    let lengths = take(input, 8 * u64::from(count))?;
    let lengths = unpack(&lengths, u64::from_le_bytes).unwrap_or_default();
    let total = lengths
        .iter()
        .try_fold(0_u64, |sum, length| sum.checked_add(*length));
    if trust == Trust::None && total.is_none_or(|total| total > MAX_BLOB_BYTES) {
        return Err(broken("a message claims to be far too long"));
    }
    let head = take(input, head_bytes)?;
    let blobs = lengths
        .iter()
        .map(|length| take(input, *length))
        .collect::<io::Result<_>>()?;
    let value = serde_json::from_slice(&head)
        .map_err(|error| broken(&format!("a message is not JSON: {error}")))?;
    let head = serde_json::from_value(show(value))
        .map_err(|error| broken(&format!("a message is not one of this protocol: {error}")))?;
    Ok((head, blobs))
}

fn take(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        return Ok(bytes);
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// What marks a text that stands for a float, or that began with this mark itself.
const MARK: char = '\u{1}';

/// Replaces floats by their bits, because JSON text does not keep the last one.
fn hide(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let bits = number.as_f64().unwrap_or(f64::NAN).to_bits();
            Value::String(format!("{MARK}{bits:x}"))
        }
        Value::String(text) if text.starts_with(MARK) => Value::String(format!("{MARK}{text}")),
        Value::Array(values) => values.into_iter().map(hide).collect(),
        Value::Object(values) => values
            .into_iter()
            .map(|(key, value)| (key, hide(value)))
            .collect(),
        other => other,
    }
}

/// Undoes [`hide`].
fn show(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix(MARK) {
            None => Value::String(text),
            Some(rest) if rest.starts_with(MARK) => Value::String(rest.to_owned()),
            Some(bits) => {
                let bits = u64::from_str_radix(bits, 16).unwrap_or(f64::NAN.to_bits());
                serde_json::Number::from_f64(f64::from_bits(bits))
                    .map_or(Value::Null, Value::Number)
            }
        },
        Value::Array(values) => values.into_iter().map(show).collect(),
        Value::Object(values) => values
            .into_iter()
            .map(|(key, value)| (key, show(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(value: &Value) -> Value {
        let mut bytes = Vec::new();
        send(&mut bytes, value, &[]).unwrap();
        receive(&mut bytes.as_slice(), Trust::None).unwrap().0
    }

    proptest! {
        #[test]
        fn every_float_and_every_text_arrives_as_it_was(number: f64, text: String) {
            let value = serde_json::json!({"number": number, "text": [text, "\u{1}3ff"]});
            prop_assert_eq!(round_trip(&value), value);
        }

        #[test]
        fn garbage_is_an_error_and_never_more(bytes: Vec<u8>) {
            let found = receive::<Say>(&mut bytes.as_slice(), Trust::None);
            prop_assert!(found.is_err());
            let mut behind_magic = MAGIC.to_vec();
            behind_magic.extend(bytes);
            prop_assert!(receive::<Say>(&mut behind_magic.as_slice(), Trust::None).is_err());
        }
    }

    #[test]
    fn blobs_follow_their_head() {
        let blobs = [
            Blob::F32(&[1.0, f32::NAN]),
            Blob::Bytes(b"xyz"),
            Blob::I64(&[]),
        ];
        let mut bytes = Vec::new();
        send(&mut bytes, &Ask::Restore { schema: 7 }, &blobs).unwrap();
        let (head, found): (Ask, _) = receive(&mut bytes.as_slice(), Trust::None).unwrap();
        assert!(matches!(head, Ask::Restore { schema: 7 }));
        let floats = unpack(&found[0], f32::from_le_bytes).unwrap();
        assert_eq!(floats[1].to_bits(), f32::NAN.to_bits());
        assert_eq!((found[1].as_slice(), found[2].len()), (&b"xyz"[..], 0));
        assert!(unpack(b"xyz", f32::from_le_bytes).is_none());
        bytes.pop();
        let torn = receive::<Ask>(&mut bytes.as_slice(), Trust::None).unwrap_err();
        assert_eq!(torn.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_claim_of_absurd_length_costs_no_memory() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend((MAX_BLOB_BYTES + 1).to_le_bytes());
        bytes.extend(b"{}");
        let error = receive::<Value>(&mut bytes.as_slice(), Trust::None).unwrap_err();
        assert!(error.to_string().contains("far too long"), "{error}");
    }
}
