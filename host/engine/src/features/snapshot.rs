//! The wrapping of saved state: what it belongs to before it, a checksum after it.
//!
//! Nothing of the state itself is read here before both are right.

use sha2::{Digest, Sha256};

use super::state::{State, StateError, StateReader, StateWriter};
use super::{ExtractError, ExtractOptions, FeatureContext, FeatureSet};

/// The first bytes of saved feature state.
const MAGIC: [u8; 8] = *b"FBXFEAT1";
/// Bytes of the SHA-256 at the end.
const CHECKSUM_BYTES: usize = 32;
/// State is private to the version that wrote it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why saved feature state is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are something else.
    #[error("this is no saved feature state")]
    NotState,
    /// The checksum is wrong.
    #[error("the saved feature state is damaged: its checksum is wrong; replay the bars instead")]
    Checksum,
    /// It belongs to other work.
    #[error(
        "the saved feature state belongs to other work: {}; replay the bars instead",
        differences.join("; ")
    )]
    OtherWork {
        /// Every difference.
        differences: Vec<String>,
    },
    /// It belongs to another symbol of the same market.
    #[error("the checkpoint belongs to symbol {saved}, the partition to symbol {expected}")]
    OtherSymbol {
        /// The symbol's position in the checkpoint.
        saved: u32,
        /// The partition's.
        expected: u32,
    },
    /// It was taken at another bar than the one before the partition.
    #[error(
        "the partition begins with row {row}, after {expected}; the state that it should go on \
         from is after {saved}"
    )]
    OtherCut {
        /// The first row of the partition.
        row: usize,
        /// When the newest bar of the state closed.
        saved: String,
        /// When the bar before the partition closed.
        expected: String,
    },
    /// The state itself cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The bars or the set are wrong.
    #[error(transparent)]
    Extract(#[from] ExtractError),
}

/// What saved state belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    version: String,
    set: String,
    time_frame_nanos: i64,
    max_gap_bars: u32,
    symbols: Vec<String>,
}

impl Identity {
    pub(super) fn new(set: &FeatureSet, context: &FeatureContext, options: ExtractOptions) -> Self {
        Self {
            version: VERSION.to_owned(),
            set: set.digest().to_owned(),
            time_frame_nanos: context.time_frame.nanos(),
            max_gap_bars: options.max_gap_bars,
            symbols: context.symbols.iter().map(|one| one.name.clone()).collect(),
        }
    }

    fn save(&self, to: &mut StateWriter) {
        put_text(&self.version, to);
        put_text(&self.set, to);
        self.time_frame_nanos.save(to);
        self.max_gap_bars.save(to);
        self.symbols.len().save(to);
        self.symbols.iter().for_each(|name| put_text(name, to));
    }

    fn load(from: &mut StateReader<'_>) -> Result<Self, StateError> {
        let (version, set) = (take_text(from)?, take_text(from)?);
        let (mut time_frame_nanos, mut max_gap_bars) = (0, 0);
        time_frame_nanos.load(from)?;
        max_gap_bars.load(from)?;
        let count = from.count()?;
        let symbols: Result<_, _> = (0..count).map(|_| take_text(from)).collect();
        Ok(Self {
            version,
            set,
            time_frame_nanos,
            max_gap_bars,
            symbols: symbols?,
        })
    }

    /// What differs, each as a sentence.
    fn differences(&self, saved: &Self) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |what: &str, saved: String, now: String| {
            if saved != now {
                told.push(format!("its {what} is {saved}, here it is {now}"));
            }
        };
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        tell("version", saved.version.clone(), self.version.clone());
        tell("feature set", short(&saved.set), short(&self.set));
        let seconds = |nanos: i64| format!("{} s", nanos / 1_000_000_000);
        let frames = (saved.time_frame_nanos, self.time_frame_nanos);
        tell("time frame", seconds(frames.0), seconds(frames.1));
        let gaps = (saved.max_gap_bars, self.max_gap_bars);
        tell("max_gap_bars", gaps.0.to_string(), gaps.1.to_string());
        tell(
            "list of symbols",
            saved.symbols.join(", "),
            self.symbols.join(", "),
        );
        told
    }
}

fn put_text(text: &str, to: &mut StateWriter) {
    text.len().save(to);
    to.put(text.as_bytes());
}

fn take_text(from: &mut StateReader<'_>) -> Result<String, StateError> {
    let length = from.count()?;
    let bytes = from.bytes(length)?.to_vec();
    String::from_utf8(bytes).map_err(|_| StateError::Damaged("a name that is no text"))
}

/// Wraps `payload`.
pub(super) fn seal(identity: &Identity, payload: &[u8]) -> Vec<u8> {
    let mut writer = StateWriter::default();
    writer.put(&MAGIC);
    identity.save(&mut writer);
    writer.put(payload);
    let mut bytes = writer.into_bytes();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The payload of `bytes`, where they are whole and belong to `identity`.
pub(super) fn open<'a>(identity: &Identity, bytes: &'a [u8]) -> Result<&'a [u8], RestoreError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or(RestoreError::NotState)?;
    let split = body.len().checked_sub(CHECKSUM_BYTES);
    let (body, checksum) = body.split_at(split.ok_or(StateError::CutOff)?);
    let summed = Sha256::digest(&bytes[..MAGIC.len() + body.len()]);
    if summed.as_slice() != checksum {
        return Err(RestoreError::Checksum);
    }
    let mut reader = StateReader::new(body);
    let saved = Identity::load(&mut reader)?;
    let differences = identity.differences(&saved);
    if !differences.is_empty() {
        return Err(RestoreError::OtherWork { differences });
    }
    Ok(reader.rest())
}

/// Refuses bytes that are left over.
pub(super) fn require_end(reader: &StateReader<'_>) -> Result<(), RestoreError> {
    if reader.is_at_end() {
        Ok(())
    } else {
        Err(StateError::Damaged("more bytes than there should be").into())
    }
}
