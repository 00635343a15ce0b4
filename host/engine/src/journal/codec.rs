//! JSON lines: one entry per line, each linked to the one before, with a running SHA-256 over every
//! byte.
//!
//! A line ends with its link, `"chain"`: the first 16 bytes of the SHA-256 of the link before and
//! of the line without its own. So a line that was changed, removed, repeated or moved does not fit
//! where it stands, and reading says which one it is. Whoever writes a whole new chain is found by
//! the digest of the file, which runs keep elsewhere. Journals of before have no links and are read
//! as they are.
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
    /// A line was changed after it was written, or is of another journal.
    #[error(
        "line {line} of the journal was changed: its link does not fit it and the line before; \
         take the journal as the run wrote it"
    )]
    Changed {
        /// The line, from 1.
        line: u64,
    },
    /// A line stands where another belongs.
    #[error(
        "line {line} of the journal is entry {found} where entry {expected} belongs: lines were \
         removed, repeated or moved; take the journal as the run wrote it"
    )]
    Misplaced {
        /// The line, from 1.
        line: u64,
        /// The number found.
        found: u64,
        /// The number that follows.
        expected: u64,
    },
    /// A line has no link to the one before, and others have.
    #[error(
        "line {line} of the journal has no link to the line before, and others have; take the \
         journal as the run wrote it"
    )]
    Unlinked {
        /// The line, from 1.
        line: u64,
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

    fn keeps(&self) -> bool {
        false
    }

    fn digest(&self) -> Option<String> {
        None
    }
}

/// A link of the chain.
type Link = [u8; 16];

/// What stands before a link in a line, and after it.
const BEFORE_LINK: &[u8] = b",\"chain\":\"";
const AFTER_LINK: &[u8] = b"\"}\n";

/// The link of a line: `body` is the line without its last brace, its link and its end.
fn link(before: Link, body: &[u8]) -> Link {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(body);
    let mut link = Link::default();
    for (own, whole) in link.iter_mut().zip(hasher.finalize()) {
        *own = whole;
    }
    link
}

/// Splits a line into its body and its link, in hexadecimal; `None` where it has none.
fn split_link(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_suffix(AFTER_LINK)?;
    let (rest, link) = rest.split_at_checked(rest.len().checked_sub(2 * size_of::<Link>())?)?;
    Some((rest.strip_suffix(BEFORE_LINK)?, link))
}

/// Writes entries as lines, links each to the one before, and hashes what it writes.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    hasher: Sha256,
    line: Vec<u8>,
    last: Link,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `writer`, which should buffer.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            hasher: Sha256::new(),
            line: Vec::new(),
            last: Link::default(),
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
        // The link takes the place of the last brace.
        self.line.pop();
        let link = link(self.last, &self.line);
        self.line.extend_from_slice(BEFORE_LINK);
        self.line.extend(digits(&link));
        self.line.extend_from_slice(AFTER_LINK);
        self.last = link;
        self.writer
            .write_all(&self.line)
            .map_err(|source| JournalError::Write { seq, source })?;
        self.hasher.update(&self.line);
        Ok(())
    }

    fn digest(&self) -> Option<String> {
        Some(hexadecimal(&self.hasher.clone().finalize()))
    }
}

/// Reads the entries of a journal in order; see [`read_entries`].
#[derive(Debug)]
pub struct Entries<R> {
    reader: R,
    hasher: Sha256,
    line: Vec<u8>,
    lines: u64,
    /// The link that the next line follows; `None` before the first line and without links.
    last: Option<Link>,
    /// The number that the next entry has where there are links.
    next_seq: u64,
    failed: bool,
}

/// The entries of a journal, in order. After an error there are no more. Where lines are linked,
/// the first that does not fit is an error that names it.
pub fn read_entries<R: BufRead>(reader: R) -> Entries<R> {
    Entries {
        reader,
        hasher: Sha256::new(),
        line: Vec::new(),
        lines: 0,
        last: None,
        next_seq: 0,
        failed: false,
    }
}

impl<R: BufRead> Entries<R> {
    /// SHA-256 of the bytes read so far, lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hexadecimal(&self.hasher.clone().finalize())
    }

    /// Lines read so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether the lines are linked, so that reading has found what does not fit.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.last.is_some()
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
        let decode = |bytes: &[u8]| -> Result<JournalEntry, JournalError> {
            serde_json::from_slice(bytes).map_err(|source| JournalError::Decode { line, source })
        };
        let Some((body, written)) = split_link(&self.line) else {
            if self.last.is_some() {
                return Err(JournalError::Unlinked { line });
            }
            return decode(&self.line).map(Some);
        };
        if self.last.is_none() && line > 1 {
            return Err(JournalError::Unlinked { line: line - 1 });
        }
        let found = link(self.last.unwrap_or_default(), body);
        let fits = digits(&found).eq(written.iter().copied());
        let length = body.len();
        self.line.truncate(length);
        self.line.push(b'}');
        let entry = decode(&self.line)?;
        let expected = self.next_seq;
        if entry.seq != expected {
            let found = entry.seq;
            return Err(JournalError::Misplaced {
                line,
                found,
                expected,
            });
        }
        if !fits {
            return Err(JournalError::Changed { line });
        }
        self.last = Some(found);
        self.next_seq = expected + 1;
        Ok(Some(entry))
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

fn hexadecimal(bytes: &[u8]) -> String {
    digits(bytes).map(char::from).collect()
}

/// Lower-case hexadecimal digits.
fn digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| DIGITS[usize::from(four & 15)];
    let pairs = bytes
        .iter()
        .map(move |byte| [digit(byte >> 4), digit(*byte)]);
    pairs.flatten()
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
                currencies: None,
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
                balances: Vec::new(),
                rates: Vec::new(),
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
                without_rate: vec![crate::types::CurrencyId(1)],
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
                currency: crate::types::CurrencyId::REPORTING,
            }),
            Event::CancelRequested { order: OrderId(5) },
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
            balances: Vec::new(),
            rates: Vec::new(),
        };
        let (bytes, digest) = written(vec![marked]);
        let line = String::from_utf8(bytes).unwrap();
        let body = "{\"seq\":0,\"at_ns\":7,\"event\":\"marked\",\"equity\":\"10000.5\",\
                    \"cash\":\"-0.00000001\",\"gross_exposure\":\"0\"";
        let mut linked = vec![0; 16];
        linked.extend_from_slice(body.as_bytes());
        let link = hexadecimal(&Sha256::digest(linked)[..16]);
        assert_eq!(line, format!("{body},\"chain\":\"{link}\"}}\n"));
        assert_eq!(digest, hexadecimal(&Sha256::digest(line)));
    }

    /// What reading makes of changed bytes, as words; empty where it finds nothing.
    fn found(bytes: &[u8]) -> String {
        let error = read_entries(bytes).find_map(Result::err);
        error.map_or_else(String::new, |error| error.to_string())
    }

    fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
        bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    }

    #[test]
    fn every_flipped_bit_is_found_in_its_line() {
        let (bytes, _) = written(every_event());
        assert_eq!(found(&bytes), "");
        let mut line = 1;
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let words = found(&changed);
                // Without its end a line is one with the next, and the last one is cut off.
                let named = words.contains(&format!("line {line} "));
                assert!(named, "byte {place}, bit {bit}, line {line}: {words}");
            }
            line += usize::from(bytes[place] == b'\n');
        }
    }

    #[test]
    fn lines_that_were_removed_swapped_or_repeated_are_found_where_they_lack() {
        let (bytes, _) = written(every_event());
        let lines = lines_of(&bytes);
        let named = |lines: &[Vec<u8>], line: usize, expected: usize| {
            let words = found(&lines.concat());
            let wanted = format!("line {line} of the journal is entry");
            assert!(words.starts_with(&wanted), "{words}");
            assert!(
                words.contains(&format!("where entry {expected} belongs")),
                "{words}"
            );
        };
        for at in 0..lines.len() - 1 {
            let mut removed = lines.clone();
            removed.remove(at);
            named(&removed, at + 1, at);
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            named(&swapped, at + 1, at);
            let mut repeated = lines.clone();
            repeated.insert(at + 1, lines[at].clone());
            named(&repeated, at + 2, at + 1);
        }
        // A line of another journal with the right number does not fit either.
        let mut other = every_event();
        other.swap(3, 4);
        let mut mixed = lines.clone();
        mixed[5] = lines_of(&written(other).0)[5].clone();
        assert!(found(&mixed.concat()).starts_with("line 6 of the journal was changed"));
    }

    #[test]
    fn journals_without_links_are_read_and_mixtures_are_not() {
        let (bytes, _) = written(every_event());
        let plain = |line: &Vec<u8>| {
            let (body, _) = split_link(line).unwrap();
            [body, b"}\n"].concat()
        };
        let lines = lines_of(&bytes);
        let old: Vec<Vec<u8>> = lines.iter().map(plain).collect();
        let old = old.concat();
        let mut entries = read_entries(old.as_slice());
        let events: Vec<Event> = entries.by_ref().map(|entry| entry.unwrap().event).collect();
        assert_eq!(events, every_event());
        assert!(!entries.is_linked());
        let mut stripped = lines.clone();
        stripped[4] = plain(&lines[4]);
        assert!(found(&stripped.concat()).starts_with("line 5 of the journal has no link"));
        let mut begun = lines.clone();
        begun[0] = plain(&lines[0]);
        assert!(found(&begun.concat()).starts_with("line 1 of the journal has no link"));
    }

    #[test]
    fn broken_lines_are_named() {
        let (mut bytes, _) = written(every_event());
        bytes.truncate(bytes.len() - 1);
        let last = read_entries(bytes.as_slice()).last().unwrap().unwrap_err();
        assert!(last.to_string().contains("line 17"), "{last}");
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
