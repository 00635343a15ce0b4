//! JSON lines: one entry per line, with a running SHA-256 over every byte.
//!
//! Numbers are written in their shortest exact form and keys in the order of declaration, so the
//! same entries are always the same bytes. The codec writes to and reads from what it is given; it
//! opens nothing.

use std::io::{self, BufRead, Read, Write};

use sha2::{Digest, Sha256};

use super::JournalEntry;
use crate::ports::JournalSink;

/// The longest line that is read: far above any event, and a bound for broken files.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Writing failed.
    #[error("cannot write journal entry {seq}: {source}; is there space left?")]
    Write {
        /// The entry.
        seq: u64,
        /// The cause.
        source: io::Error,
    },
    /// An entry cannot be put into JSON.
    #[error("cannot encode journal entry {seq}: {source}")]
    Encode {
        /// The entry.
        seq: u64,
        /// The cause.
        source: serde_json::Error,
    },
    /// Reading failed.
    #[error("cannot read line {line} of the journal: {source}")]
    Read {
        /// The line, from 1.
        line: u64,
        /// The cause.
        source: io::Error,
    },
    /// A line is not an entry.
    #[error("line {line} of the journal is not an entry: {source}")]
    Decode {
        /// The line, from 1.
        line: u64,
        /// The cause.
        source: serde_json::Error,
    },
    /// The last line has no end.
    #[error("line {line} of the journal is cut off; its writer was interrupted")]
    CutOff {
        /// The line, from 1.
        line: u64,
    },
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullJournal;

impl JournalSink for NullJournal {
    fn record(&mut self, _: &JournalEntry) -> Result<(), JournalError> {
        Ok(())
    }

    fn digest(&self) -> Option<String> {
        None
    }
}

/// Writes entries as lines and hashes what it writes.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    hasher: Sha256,
    line: Vec<u8>,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `writer`, which should buffer.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            hasher: Sha256::new(),
            line: Vec::new(),
        }
    }

    /// Flushes and gives the writer back.
    ///
    /// # Errors
    /// The writer's error.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

impl<W: Write> JournalSink for JsonLines<W> {
    fn record(&mut self, entry: &JournalEntry) -> Result<(), JournalError> {
        let seq = entry.seq;
        self.line.clear();
        serde_json::to_writer(&mut self.line, entry)
            .map_err(|source| JournalError::Encode { seq, source })?;
        self.line.push(b'\n');
        self.writer
            .write_all(&self.line)
            .map_err(|source| JournalError::Write { seq, source })?;
        self.hasher.update(&self.line);
        Ok(())
    }

    fn digest(&self) -> Option<String> {
        Some(hexadecimal(self.hasher.clone()))
    }
}

/// Reads the entries of a journal in order; see [`read_entries`].
#[derive(Debug)]
pub struct Entries<R> {
    reader: R,
    hasher: Sha256,
    line: Vec<u8>,
    lines: u64,
    failed: bool,
}

/// The entries of a journal, in order. After an error there are no more.
pub fn read_entries<R: BufRead>(reader: R) -> Entries<R> {
    Entries {
        reader,
        hasher: Sha256::new(),
        line: Vec::new(),
        lines: 0,
        failed: false,
    }
}

impl<R: BufRead> Entries<R> {
    /// SHA-256 of the bytes read so far, lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hexadecimal(self.hasher.clone())
    }

    /// Lines read so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    fn read(&mut self) -> Result<Option<JournalEntry>, JournalError> {
        let line = self.lines + 1;
        self.line.clear();
        let read = Read::take(&mut self.reader, MAX_LINE_BYTES)
            .read_until(b'\n', &mut self.line)
            .map_err(|source| JournalError::Read { line, source })?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(JournalError::CutOff { line });
        }
        self.hasher.update(&self.line);
        self.lines = line;
        serde_json::from_slice(&self.line)
            .map(Some)
            .map_err(|source| JournalError::Decode { line, source })
    }
}

impl<R: BufRead> Iterator for Entries<R> {
    type Item = Result<JournalEntry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.read();
        self.failed = entry.is_err();
        entry.transpose()
    }
}

fn hexadecimal(hasher: Sha256) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::{Expiry, Fill, Order, OrderId, OrderReason};
    use crate::fusion::{FailureReason, ModelInfo, ModelRef};
    use crate::journal::{Event, FORMAT};
    use crate::risk::Refusal;
    use crate::strategy::Direction;
    use crate::types::{Cash, SymbolId, Timestamp};

    fn every_event() -> Vec<Event> {
        let mut events = account_events();
        events.extend(order_events());
        events
    }

    fn account_events() -> Vec<Event> {
        let at = Timestamp::from_nanos(3_600_000_000_000);
        let symbol = SymbolId(1);
        let cash: Cash = "-0.00000001".parse().unwrap();
        let model = ModelInfo {
            name: "a \"quoted\" name".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "ab".to_owned(),
            generation: 3,
            fold: Some(2),
        };
        vec![
            Event::SessionStarted {
                format: FORMAT,
                config_digest: "cd".to_owned(),
                symbols: vec!["BTCUSDT".to_owned()],
                time_frame: "1h".parse().unwrap(),
                initial_cash: cash,
                models: vec![model],
            },
            Event::ModelActivated { model: ModelRef(0) },
            Event::Predicted {
                symbol,
                model: ModelRef(0),
                probabilities: [Some(0.1), None, Some(0.333_333_34)],
                predicted_at_ns: Some(at),
            },
            Event::Signalled {
                symbol,
                score: -0.1,
                held: Direction::Flat,
                target: Direction::Short,
            },
            Event::Marked {
                equity: cash,
                cash,
                gross_exposure: cash,
            },
            Event::BreakerTripped {
                peak: cash,
                equity: cash,
                breaker: crate::risk::BreakerKind::Drawdown,
            },
            Event::BreakerReset { equity: cash },
            Event::Ruined { equity: cash },
            Event::SessionEnded {
                equity: cash,
                steps: 8,
                fills: 9,
            },
        ]
    }

    fn order_events() -> Vec<Event> {
        let at = Timestamp::from_nanos(3_600_000_000_000);
        let symbol = SymbolId(1);
        vec![
            Event::OrderApproved(Order {
                id: OrderId(u64::MAX),
                symbol,
                quantity: "-1.5".parse().unwrap(),
                decided_at: at,
                reason: OrderReason::Flip,
                model: None,
                terms: crate::execution::OrderTerms::default(),
            }),
            Event::ModelAdded {
                model: ModelRef(7),
                info: ModelInfo {
                    name: "m".to_owned(),
                    version: "1.1.0".to_owned(),
                    digest: "ab".to_owned(),
                    generation: 2,
                    fold: None,
                },
            },
            Event::PredictionFailed {
                symbol,
                model: ModelRef(7),
                reason: FailureReason::BreakerOpen,
                stand_in_at_ns: Some(at),
            },
            Event::PredictionFailed {
                symbol,
                model: ModelRef(7),
                reason: FailureReason::OutOfBounds,
                stand_in_at_ns: None,
            },
            Event::OrderRefused {
                symbol,
                reason: Refusal::GrossExposure,
            },
            Event::OrderFilled(Fill {
                order: OrderId(4),
                symbol,
                quantity: "2".parse().unwrap(),
                price: "0.1".parse().unwrap(),
                fee: Cash::from_units(-1),
                slippage: Cash::ZERO,
                filled_at: at,
                spread: Cash::ZERO,
                remaining: crate::types::Quantity::ZERO,
                is_maker: false,
            }),
            Event::OrderExpired {
                order: OrderId(5),
                reason: Expiry::InsufficientCash,
            },
        ]
    }

    fn written(events: Vec<Event>) -> (Vec<u8>, String) {
        let mut sink = JsonLines::new(Vec::new());
        for (seq, event) in (0..).zip(events) {
            let at = Timestamp::from_nanos(7);
            sink.record(&JournalEntry { seq, at, event }).unwrap();
        }
        let digest = sink.digest().unwrap();
        (sink.into_inner().unwrap(), digest)
    }

    #[test]
    fn every_event_comes_back_as_it_was() {
        let (bytes, digest) = written(every_event());
        let mut entries = read_entries(bytes.as_slice());
        let events: Vec<Event> = entries.by_ref().map(|entry| entry.unwrap().event).collect();
        assert_eq!(events, every_event());
        assert_eq!(entries.digest(), digest);
    }

    #[test]
    fn lines_are_flat_and_exact() {
        let marked = Event::Marked {
            equity: "10000.5".parse().unwrap(),
            cash: Cash::from_units(-1),
            gross_exposure: Cash::ZERO,
        };
        let (bytes, digest) = written(vec![marked]);
        let line = String::from_utf8(bytes).unwrap();
        assert_eq!(
            line,
            "{\"seq\":0,\"at_ns\":7,\"event\":\"marked\",\"equity\":\"10000.5\",\
             \"cash\":\"-0.00000001\",\"gross_exposure\":\"0\"}\n"
        );
        assert_eq!(digest, hexadecimal(Sha256::new_with_prefix(line)));
    }

    #[test]
    fn broken_lines_are_named() {
        let (mut bytes, _) = written(every_event());
        bytes.truncate(bytes.len() - 1);
        let last = read_entries(bytes.as_slice()).last().unwrap().unwrap_err();
        assert!(last.to_string().contains("line 16"), "{last}");
        let mut entries = read_entries(b"{\"seq\":0}\n{}\n".as_slice());
        let first = entries.next().unwrap().unwrap_err();
        assert!(first.to_string().starts_with("line 1 "), "{first}");
        assert!(entries.next().is_none());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut room = [0u8; 10];
        let mut sink = JsonLines::new(room.as_mut_slice());
        let entry = JournalEntry {
            seq: 3,
            at: Timestamp::from_nanos(0),
            event: Event::ModelActivated { model: ModelRef(0) },
        };
        let error = sink.record(&entry).unwrap_err();
        assert!(error.to_string().contains("entry 3"), "{error}");
    }
}
