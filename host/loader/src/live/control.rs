//! What an operator says to a running supervisor, from this process or another: a small file that
//! is exchanged as a whole, and the audit log that answers.
//!
//! `desired.json` holds the pins, which stay, and numbered requests, which are carried out once.
//! A lock file tells whether a supervisor runs. `state.json` is the supervisor's memory: the last
//! good version of every model, and what is kept out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::audit::{AuditEvent, Occasion, read_events};
use super::choose::{code_of, weights_of};
use super::state::{Reason, Rejection};
use crate::disk::replace_file;
use crate::manifest::version_numbers;

/// Name of the file with what is wanted.
pub const DESIRED_FILE: &str = "desired.json";

const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "supervisor.lock";
const DESIRED_LOCK_FILE: &str = "desired.lock";

/// Requests that are kept in the file.
const KEPT_REQUESTS: usize = 64;

/// Largest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// What an operator can ask for. A target is the name of a live model or the id of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Load what the version policy says again, also where it was refused before.
    Reload {
        /// Whom it is for.
        target: String,
    },
    /// Run this version and no other.
    Pin {
        /// Whom it is for.
        target: String,
        /// Three numbers.
        version: String,
    },
    /// Follow the version policy again.
    Unpin {
        /// Whom it is for.
        target: String,
    },
    /// Go back to the generation before, and keep the present one out.
    Rollback {
        /// Whom it is for.
        target: String,
    },
}

impl Command {
    /// The name of a live model or the id of a plugin.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Reload { target }
            | Self::Pin { target, .. }
            | Self::Unpin { target }
            | Self::Rollback { target } => target,
        }
    }
}

/// A command under its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Ascending; it names the request in the audit log.
    pub request: u64,
    /// What is asked for.
    #[serde(flatten)]
    pub command: Command,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Versions by target.
    #[serde(default)]
    pub pins: BTreeMap<String, String>,
    /// The newest requests.
    #[serde(default)]
    pub requests: Vec<Request>,
}

/// Why an operator's wish cannot be passed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The version is none.
    #[error("`{0}` is no version; it must be three numbers such as 1.4.2")]
    Version(String),
    /// The state directory cannot be used.
    #[error("cannot use the state directory {path}: {source}", path = .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another supervisor holds the state directory.
    #[error(
        "another supervisor (process {process}) runs on {path}; stop it, or use another state \
         directory", path = .path.display()
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// What the lock file says of it.
        process: String,
    },
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestOutcome {
    /// Nobody said anything yet.
    Open,
    /// It was carried out.
    Done(AuditEvent),
    /// It was not.
    Refused(AuditEvent),
}

/// Whether a supervisor runs on this state directory.
#[must_use]
pub fn is_running(state_dir: &Path) -> bool {
    let lock = File::open(state_dir.join(LOCK_FILE));
    lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Writes a request down and gives its number. A running supervisor sees it at once; one that
/// starts later heeds pins, but carries out no old request.
///
/// # Errors
/// [`ControlError`]; nothing is asked for then.
pub fn request(state_dir: &Path, command: Command) -> Result<u64, ControlError> {
    if let Command::Pin { version, .. } = &command
        && version_numbers(version).is_none()
    {
        return Err(ControlError::Version(version.clone()));
    }
    let io = |source| ControlError::Io {
        path: state_dir.to_owned(),
        source,
    };
    fs::create_dir_all(state_dir).map_err(io)?;
    let lock = open_lock(&state_dir.join(DESIRED_LOCK_FILE)).map_err(io)?;
    lock.lock().map_err(io)?;
    let mut desired = read_desired(state_dir).map_err(io)?;
    let newest = desired.requests.last().map_or(0, |last| last.request);
    match &command {
        Command::Pin { target, version } => {
            desired.pins.insert(target.clone(), version.clone());
        }
        Command::Unpin { target } => {
            desired.pins.remove(target);
        }
        Command::Reload { .. } | Command::Rollback { .. } => {}
    }
    let request = newest + 1;
    desired.requests.push(Request { request, command });
    let surplus = desired.requests.len().saturating_sub(KEPT_REQUESTS);
    desired.requests.drain(..surplus);
    write_json(&state_dir.join(DESIRED_FILE), &desired).map_err(io)?;
    Ok(request)
}

/// What became of a request, according to the audit log.
///
/// # Errors
/// [`ControlError::Io`] where the log cannot be read.
pub fn outcome(state_dir: &Path, request: u64) -> Result<RequestOutcome, ControlError> {
    let events = read_events(state_dir, 0).map_err(|source| ControlError::Io {
        path: state_dir.to_owned(),
        source,
    })?;
    let concluding = events
        .into_iter()
        .rev()
        .find(|event| event.request == Some(request) && event.is(Occasion::Request));
    Ok(match concluding {
        None => RequestOutcome::Open,
        Some(event) if event.reason.is_some() => RequestOutcome::Refused(event),
        Some(event) => RequestOutcome::Done(event),
    })
}

/// Waits for the outcome of a request, at most `attempts` times 20 ms.
///
/// # Errors
/// As [`outcome`].
pub fn wait(state_dir: &Path, request: u64, attempts: u32) -> Result<RequestOutcome, ControlError> {
    for _ in 0..attempts {
        let outcome = outcome(state_dir, request)?;
        if outcome != RequestOutcome::Open {
            return Ok(outcome);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    outcome(state_dir, request)
}

/// What is wanted; nothing where nobody said anything.
///
/// # Errors
/// Where the file is there but cannot be read.
pub fn read_desired(state_dir: &Path) -> io::Result<Desired> {
    read_json(&state_dir.join(DESIRED_FILE))
}

/// The last good generation of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    /// Version of the plugin.
    pub plugin_version: String,
    /// Version of the model package.
    pub model_version: Option<String>,
    /// Identifies everything that it was made of.
    pub fingerprint: String,
}

/// Something that was refused and is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOut {
    /// Identifies everything that it was made of. Where it begins or ends with `+`, it stands for a
    /// model package with any plugin, or for a plugin with any model package.
    pub fingerprint: String,
    /// Version, for people.
    pub version: String,
    /// Why.
    pub reason: Reason,
    /// Why, in words.
    pub message: String,
}

impl KeptOut {
    /// What this refusal keeps out: all that it is made of, or, where the model package alone is
    /// the cause, that with any code, so that the same is not told again for each version of the
    /// code. One that somebody may still write to is kept out by its files elsewhere.
    #[must_use]
    pub fn refused(fingerprint: &str, version: &str, rejection: &Rejection) -> Self {
        let weights = weights_of(fingerprint);
        let is_alone = rejection.is_of_weights && !rejection.may_be_unfinished();
        Self {
            fingerprint: match weights.filter(|_| is_alone) {
                Some(weights) => format!("+{weights}"),
                None => fingerprint.to_owned(),
            },
            version: version.to_owned(),
            reason: rejection.reason,
            message: rejection.message.clone(),
        }
    }

    /// Whether it keeps this out.
    #[must_use]
    pub fn holds(&self, fingerprint: &str) -> bool {
        let own = self.fingerprint.as_str();
        own == fingerprint
            || own.starts_with('+') && fingerprint.ends_with(own)
            || own.ends_with('+') && fingerprint.starts_with(own)
    }

    /// The same of its code, whatever weights it runs with.
    #[must_use]
    pub fn with_any_weights(mut self) -> Self {
        if weights_of(&self.fingerprint).is_some() {
            self.fingerprint = format!("{}+", code_of(&self.fingerprint));
        }
        self
    }

    /// What an operator who goes from one generation to another does not want: the part of the
    /// first that the second has not.
    #[must_use]
    pub fn going(mut self, to: &str) -> Self {
        let (plugin, weights) = (code_of(&self.fingerprint), weights_of(&self.fingerprint));
        if let Some(weights) = weights {
            self.fingerprint = if weights_of(to) == Some(weights) {
                format!("{plugin}+")
            } else {
                format!("+{weights}")
            };
        }
        self
    }
}

/// What a loaded generation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It answers.
    Live,
    /// It waits, warm, to take over again: behind the live one, or for the end of its probation.
    Standby,
}

/// A generation that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedNow {
    /// What it does.
    pub role: Role,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Version of the model package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// Its number, of that process.
    pub generation: u64,
    /// Identifies everything that it was made of.
    pub fingerprint: String,
}

/// What a supervisor remembers of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// What to fall back to at the next start.
    pub last_good: Option<LastGood>,
    /// What is kept out.
    #[serde(default)]
    pub kept_out: Vec<KeptOut>,
    /// What is loaded. It counts only while a supervisor runs: one that was killed could not take
    /// it out.
    #[serde(default)]
    pub loaded: Vec<LoadedNow>,
}

/// Most refused generations of a model that are remembered; the oldest is forgotten, and may be
/// tried again.
pub const MAX_KEPT_OUT: usize = 64;

/// What a supervisor remembers, by model.
pub type Memories = BTreeMap<String, Memory>;

/// What the supervisor of a state directory remembers, or the last one did; nothing where there was
/// none. What is loaded is left out where none runs.
///
/// # Errors
/// Where the file is there but cannot be read.
pub fn read_memories(state_dir: &Path) -> io::Result<Memories> {
    let mut memories: Memories = read_json(&state_dir.join(STATE_FILE))?;
    if !is_running(state_dir) {
        for memory in memories.values_mut() {
            memory.loaded.clear();
        }
    }
    Ok(memories)
}

/// The state directory, held by one supervisor.
#[derive(Debug)]
pub(crate) struct StateDir {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl StateDir {
    pub(crate) fn take(path: &Path) -> Result<Self, ControlError> {
        let io = |source| ControlError::Io {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(io)?;
        let name = path.join(LOCK_FILE);
        let mut lock = open_lock(&name).map_err(io)?;
        if lock.try_lock().is_err() {
            return Err(ControlError::Held {
                path: path.to_owned(),
                process: fs::read_to_string(&name)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
            });
        }
        lock.set_len(0).map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn memories(&self) -> io::Result<Memories> {
        read_json(&self.path.join(STATE_FILE))
    }

    pub(crate) fn remember(&self, memories: &Memories) -> io::Result<()> {
        write_json(&self.path.join(STATE_FILE), memories)
    }
}

/// Lets what was refused in again at the next start, for the model called `target` or the one of
/// the plugin of this id; gives how many refusals were forgotten. For a state directory on which no
/// supervisor runs; a running one is asked by [`Command::Reload`].
///
/// # Errors
/// [`ControlError::Held`] where a supervisor runs, [`ControlError::Io`].
pub fn forget_refusals(state_dir: &Path, target: &str) -> Result<usize, ControlError> {
    let io = |source| ControlError::Io {
        path: state_dir.to_owned(),
        source,
    };
    let state = StateDir::take(state_dir)?;
    let mut memories = state.memories().map_err(io)?;
    let name = target.rsplit('.').next().unwrap_or(target);
    let mut forgotten = 0;
    for (_, memory) in memories
        .iter_mut()
        .filter(|(one, _)| *one == target || *one == name)
    {
        forgotten += memory.kept_out.drain(..).count();
    }
    if forgotten > 0 {
        state.remember(&memories).map_err(io)?;
    }
    Ok(forgotten)
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path)
}

fn read_json<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> io::Result<T> {
    match fs::metadata(path) {
        Ok(facts) if facts.len() > MAX_BYTES => {
            return Err(io::Error::other(format!("{} is too large", path.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        _ => {}
    }
    serde_json::from_slice(&fs::read(path)?).map_err(|error| {
        io::Error::other(format!("{} is damaged: {error}; remove it", path.display()))
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    replace_file(path, &serde_json::to_vec_pretty(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::live::audit::AuditLog;
    use std::sync::Arc;

    fn rollback() -> Command {
        Command::Rollback {
            target: "m".to_owned(),
        }
    }

    #[test]
    fn requests_are_numbered_pins_stay_and_the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let pin = Command::Pin {
            target: "m".to_owned(),
            version: "1.2.0".to_owned(),
        };
        assert_eq!(request(dir.path(), pin).unwrap(), 1);
        for number in 2..100 {
            assert_eq!(request(dir.path(), rollback()).unwrap(), number);
        }
        let desired = read_desired(dir.path()).unwrap();
        assert_eq!(desired.pins["m"], "1.2.0");
        assert_eq!(desired.requests.len(), KEPT_REQUESTS);
        let wrong = Command::Pin {
            target: "m".to_owned(),
            version: "1.2".to_owned(),
        };
        assert!(request(dir.path(), wrong).is_err());
    }

    #[test]
    fn the_outcome_stands_in_the_audit_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::open(dir.path(), Arc::new(SystemClock)).unwrap();
        assert_eq!(outcome(dir.path(), 7).unwrap(), RequestOutcome::Open);
        let event = AuditEvent {
            request: Some(7),
            ..AuditEvent::new(Occasion::Request, "m")
        };
        log.write(event.clone());
        assert!(matches!(
            outcome(dir.path(), 7).unwrap(),
            RequestOutcome::Done(_)
        ));
        log.write(event.because(Reason::Golden, "off"));
        assert!(matches!(
            wait(dir.path(), 7, 1).unwrap(),
            RequestOutcome::Refused(_)
        ));
    }

    #[test]
    fn one_supervisor_holds_a_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_running(dir.path()));
        let held = StateDir::take(dir.path()).unwrap();
        assert!(is_running(dir.path()));
        let error = StateDir::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(held);
        assert!(!is_running(dir.path()));
    }
}
