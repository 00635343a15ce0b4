//! The record of what happened to every generation: one line of JSON per transition, append only.
//!
//! The newest events are also kept in memory. The file is bounded: a full one is set aside under a
//! number, and the oldest is removed. A line that cannot be written is logged; no reload waits for
//! it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::link::lock;
use super::state::{Reason, State};
use crate::clock::Clock;

/// Name of the file in the state directory.
pub const AUDIT_FILE: &str = "audit.jsonl";

/// A file is set aside when it is larger.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// How many files that were set aside are kept.
const KEPT_FILES: u32 = 3;

/// Events kept in memory.
const RECENT: usize = 1_024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum What {
    /// A generation entered a state, or passed it over where the reason says so.
    State(State),
    /// Anything else.
    Other(Occasion),
}

/// What else is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A generation goes no further; it is kept out until its digest changes.
    Rejected,
    /// A generation was sent back; this is the one that answers again.
    RolledBack,
    /// A generation should have been sent back, but the one before cannot take over.
    RollbackFailed,
    /// A promoted generation passed its probation.
    Proven,
    /// A lower version was loaded and waits, warm, behind the live one.
    Standby,
    /// A generation that is loaded was revoked meanwhile; the message says what follows.
    Revoked,
    /// The directory of a package is gone. What is live stays live.
    Removed,
    /// A retired instance did not end its threads in time.
    QuiesceFailed,
    /// The live generation broke its contract and answers nothing more, and none can step in.
    Down,
    /// More code of retired generations is mapped than the operator likes.
    LeakWarning,
    /// A request of the operator is done, or refused where there is a reason or a message.
    Request,
    /// A model file with a sidecar became a model package.
    Adopted,
    /// The supervisor started.
    Started,
    /// The supervisor stopped.
    Stopped,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Number of the line, ascending over restarts.
    pub seq: u64,
    /// When, nanoseconds since 1970 UTC.
    pub at_unix_ns: i64,
    /// What.
    pub event: What,
    /// The live model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// The plugin.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Version of the model package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// SHA-256 of the library, or of what identifies the package while that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Where its code runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in words, with figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long the step took, microseconds.
    #[serde(default)]
    pub duration_us: u64,
    /// The operator's request that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

impl AuditEvent {
    /// An event without details.
    #[must_use]
    pub fn new(event: impl Into<What>, model: &str) -> Self {
        Self {
            seq: 0,
            at_unix_ns: 0,
            event: event.into(),
            model: model.to_owned(),
            plugin: String::new(),
            version: String::new(),
            weights: None,
            digest: String::new(),
            generation: None,
            tier: None,
            reason: None,
            message: None,
            duration_us: 0,
            request: None,
        }
    }

    /// The same with a reason in words.
    #[must_use]
    pub fn because(mut self, reason: Reason, message: impl Into<String>) -> Self {
        self.reason = Some(reason);
        self.message = Some(message.into()).filter(|message| !message.is_empty());
        self
    }

    /// Whether it says that a state was entered.
    #[must_use]
    pub fn is_state(&self, state: State) -> bool {
        self.event == What::State(state)
    }

    /// Whether it says this.
    #[must_use]
    pub fn is(&self, occasion: Occasion) -> bool {
        self.event == What::Other(occasion)
    }
}

impl From<State> for What {
    fn from(state: State) -> Self {
        Self::State(state)
    }
}

impl From<Occasion> for What {
    fn from(occasion: Occasion) -> Self {
        Self::Other(occasion)
    }
}

/// Where events go. Any thread may write.
#[derive(Debug)]
pub struct AuditLog {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next_seq: u64,
    recent: VecDeque<AuditEvent>,
    file: Option<LogFile>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl AuditLog {
    /// Events in memory only.
    #[must_use]
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        Self::with(clock, 1, None)
    }

    /// Events in memory and in the file of this state directory, whose numbers go on.
    ///
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open_bounded(state_dir, clock, MAX_FILE_BYTES)
    }

    fn open_bounded(dir: &Path, clock: Arc<dyn Clock>, max_bytes: u64) -> io::Result<Self> {
        let path = dir.join(AUDIT_FILE);
        let last = last_event(&path)?.or(last_event(&numbered(&path, 1))?);
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        let file = LogFile {
            path,
            file,
            bytes,
            max_bytes,
        };
        Ok(Self::with(
            clock,
            last.map_or(1, |last| last.seq + 1),
            Some(file),
        ))
    }

    fn with(clock: Arc<dyn Clock>, next_seq: u64, file: Option<LogFile>) -> Self {
        let inner = Inner {
            next_seq,
            recent: VecDeque::new(),
            file,
        };
        Self {
            clock,
            inner: Mutex::new(inner),
        }
    }

    /// Numbers, dates and writes an event.
    pub fn write(&self, mut event: AuditEvent) {
        event.at_unix_ns = self.clock.unix_ns();
        let mut inner = lock(&self.inner);
        event.seq = inner.next_seq;
        inner.next_seq += 1;
        tracing::debug!(model = event.model, what = ?event.event, reason = ?event.reason,
            message = event.message, "reload");
        if let Some(file) = &mut inner.file
            && let Err(error) = file.write(&event)
        {
            tracing::warn!(%error, "an audit event could not be written");
        }
        if inner.recent.len() == RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(event);
    }

    /// The newest events, oldest first, from number `seq` on.
    #[must_use]
    pub fn since(&self, seq: u64) -> Vec<AuditEvent> {
        let inner = lock(&self.inner);
        let newer = inner.recent.iter().filter(|event| event.seq >= seq);
        newer.cloned().collect()
    }

    /// The number of the next event.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        lock(&self.inner).next_seq
    }
}

impl LogFile {
    fn write(&mut self, event: &AuditEvent) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if self.bytes + line.len() as u64 > self.max_bytes && self.bytes > 0 {
            self.set_aside()?;
        }
        // One write for the whole line, so that a reader never sees half of one.
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn set_aside(&mut self) -> io::Result<()> {
        for number in (1..KEPT_FILES).rev() {
            let from = numbered(&self.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(&self.path, 1))?;
        (self.file, self.bytes) = (append_to(&self.path)?, 0);
        Ok(())
    }
}

/// The events in the file of a state directory, from number `seq` on, also those that were set
/// aside last. Lines that are no events are passed over.
///
/// # Errors
/// Where a file is there but cannot be read.
pub fn read_events(state_dir: &Path, seq: u64) -> io::Result<Vec<AuditEvent>> {
    let path = state_dir.join(AUDIT_FILE);
    let mut events = parse(&read(&path)?);
    if events.first().is_none_or(|first| first.seq > seq) {
        let mut older = parse(&read(&numbered(&path, 1))?);
        older.append(&mut events);
        events = older;
    }
    events.retain(|event| event.seq >= seq);
    Ok(events)
}

fn parse(text: &str) -> Vec<AuditEvent> {
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn read(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn last_event(path: &Path) -> io::Result<Option<AuditEvent>> {
    const TAIL: u64 = 64 << 10;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(parse(&String::from_utf8_lossy(&tail)).pop())
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::default())
    }

    #[test]
    fn numbers_go_on_after_a_restart_and_foreign_lines_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), clock()).unwrap();
        log.write(AuditEvent::new(State::Seen, "m"));
        log.write(AuditEvent::new(Occasion::Rejected, "m").because(Reason::Golden, "off"));
        drop(log);
        let path = dir.path().join(AUDIT_FILE);
        append_to(&path)
            .unwrap()
            .write_all(b"{half a li\n")
            .unwrap();
        let log = AuditLog::open(dir.path(), clock()).unwrap();
        log.write(AuditEvent::new(State::Promoted, "m"));
        let events = read_events(dir.path(), 2).unwrap();
        assert_eq!(events.len(), 2);
        assert!(events[0].is(Occasion::Rejected));
        assert_eq!(events[0].reason, Some(Reason::Golden));
        assert!(events[1].is_state(State::Promoted));
        assert_eq!(events[1].seq, 3);
    }

    #[test]
    fn the_file_is_bounded_and_what_was_set_aside_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open_bounded(dir.path(), clock(), 2_000).unwrap();
        for _ in 0..200 {
            log.write(AuditEvent::new(State::Seen, "m"));
        }
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 1 + KEPT_FILES as usize);
        let size = fs::metadata(dir.path().join(AUDIT_FILE)).unwrap().len();
        assert!(size <= 2_000);
        let newest = read_events(dir.path(), 195).unwrap();
        assert_eq!(newest.first().map(|event| event.seq), Some(195));
        assert_eq!(log.since(199).len(), 2);
    }
}
