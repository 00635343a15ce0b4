//! One child process: who it is, whether it lives, how it ended, how to end it.
//!
//! What is known about a death is written down once, by the monitor; everybody else reads it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::export::LogLevel;
use fusebox_plugin_api::import::HostServices;
use rustix::fs::{SeekFrom, seek};
use rustix::net::{RecvFlags, recv};
use rustix::process::{Signal, pidfd_send_signal};

use crate::worker::ring::{ANSWER, Ring};

/// Bytes of the standard error that are kept.
pub(super) const STDERR_BYTES: u64 = 256 << 10;

/// Lines of the standard error in a report.
const LAST_LINES: usize = 6;
/// Bytes of the standard error that are searched for them.
const LAST_BYTES: u64 = 4096;

/// Log messages that are taken at once.
const LOG_BATCH: usize = 32;

/// No limit is set.
const NEVER: u64 = u64::MAX;

/// A worker process.
#[derive(Debug)]
pub(super) struct Process {
    /// Id of the plugin, or its file as long as the id is not known.
    name: Mutex<String>,
    pub(super) pid: u32,
    pub(super) started_ns: u64,
    pub(super) descriptor: OwnedFd,
    pub(super) ring: Ring,
    pub(super) log: OwnedFd,
    stderr: File,
    services: HostServices,
    is_dead: AtomicBool,
    /// Whether a call is on its way, so that the worker cannot show that it lives.
    pub(super) is_busy: AtomicBool,
    kill_at_ns: AtomicU64,
    /// Number of the late answer that, once there, takes the limit away; `NEVER` for none.
    excuse: AtomicU64,
    fate: Mutex<Fate>,
    ended: Condvar,
    log_turn: Mutex<()>,
}

/// How a process ended, and who wanted it.
#[derive(Debug, Default)]
struct Fate {
    end: Option<End>,
    killed_because: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Code(i32),
    Signal(i32),
    Unknown,
}

/// The parts of a process that was just started.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) started_ns: u64,
    pub(super) descriptor: OwnedFd,
    pub(super) ring: Ring,
    pub(super) log: OwnedFd,
    pub(super) stderr: File,
    pub(super) services: HostServices,
}

impl Process {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            name: Mutex::new(parts.name),
            pid: parts.pid,
            started_ns: parts.started_ns,
            descriptor: parts.descriptor,
            ring: parts.ring,
            log: parts.log,
            stderr: parts.stderr,
            services: parts.services,
            is_dead: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            kill_at_ns: AtomicU64::new(NEVER),
            excuse: AtomicU64::new(NEVER),
            fate: Mutex::default(),
            ended: Condvar::new(),
            log_turn: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> String {
        lock(&self.name).clone()
    }

    pub(super) fn rename(&self, name: &str) {
        name.clone_into(&mut lock(&self.name));
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// Lets the monitor kill the process at this time, unless it is disarmed before.
    pub(super) fn arm(&self, at_ns: u64) {
        self.excuse.store(NEVER, Ordering::Relaxed);
        self.kill_at_ns.store(at_ns, Ordering::Relaxed);
    }

    /// Nobody waits for answer `sequence` any more, but where it comes before the limit, the
    /// process may live.
    pub(super) fn excuse(&self, sequence: u32) {
        self.excuse.store(u64::from(sequence), Ordering::Relaxed);
    }

    pub(super) fn disarm(&self) {
        self.kill_at_ns.store(NEVER, Ordering::Relaxed);
    }

    pub(super) fn is_overdue(&self, now_ns: u64) -> bool {
        if self.kill_at_ns.load(Ordering::Relaxed) > now_ns {
            return false;
        }
        let answer = self.ring.word(ANSWER).load(Ordering::Acquire);
        let is_excused = self.excuse.load(Ordering::Relaxed) == u64::from(answer);
        if is_excused {
            self.disarm();
            self.is_busy.store(false, Ordering::Relaxed);
        }
        !is_excused
    }

    /// Ends the process; the first reason is the one that is told.
    pub(super) fn kill(&self, because: &str) {
        let mut fate = lock(&self.fate);
        if fate.end.is_none() {
            fate.killed_because
                .get_or_insert_with(|| because.to_owned());
            // It fails only where the process is gone already.
            let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
        }
    }

    /// Writes down the end; called by the monitor alone, after the process was waited for.
    pub(super) fn bury(&self, end: End) {
        self.take_log();
        lock(&self.fate).end = Some(end);
        self.is_dead.store(true, Ordering::Release);
        // Whoever sleeps for an answer finds the number changed, also where it slept late.
        self.ring.word(ANSWER).fetch_xor(1 << 31, Ordering::SeqCst);
        self.ring.wake(ANSWER);
        self.ended.notify_all();
    }

    /// Waits for the end; `false` where it did not come in time.
    pub(super) fn await_end(&self, limit: Duration) -> bool {
        let is_alive = |fate: &mut Fate| fate.end.is_none();
        let (fate, _) = self
            .ended
            .wait_timeout_while(lock(&self.fate), limit, is_alive)
            .unwrap_or_else(PoisonError::into_inner);
        fate.end.is_some()
    }

    /// The error that a call gets whose worker is dead: who, how, and its last words.
    #[cold]
    pub(super) fn obituary(&self, doing: &str) -> PluginError {
        let fate = lock(&self.fate);
        let how = match (&fate.killed_because, fate.end) {
            (Some(because), _) => format!("was killed because {because}"),
            (None, Some(End::Code(code))) => format!("ended by itself with exit code {code}"),
            (None, Some(End::Signal(signal))) => format!("was ended by {}", signal_name(signal)),
            (None, _) => "is gone".to_owned(),
        };
        drop(fate);
        let words = self.last_words();
        let words = if words.is_empty() {
            "it wrote nothing to its standard error".to_owned()
        } else {
            format!("its last words: {words}")
        };
        let (name, pid) = (self.name(), self.pid);
        PluginError::new(
            Status::Crashed,
            format!("{name}: its worker process {pid} {how} during {doing}; {words}"),
        )
    }

    /// The last lines of the standard error, as one line.
    fn last_words(&self) -> String {
        let at = seek(&self.stderr, SeekFrom::Current(0)).unwrap_or(0);
        let at = at.min(STDERR_BYTES);
        let from = at.saturating_sub(LAST_BYTES);
        let mut bytes = vec![0; (at - from) as usize];
        let read = self.stderr.read_at(&mut bytes, from).unwrap_or(0);
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes);
        let printable = |line: &str| line.replace(char::is_control, " ").trim().to_owned();
        let lines: Vec<String> = text
            .lines()
            .map(printable)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ")
    }

    /// Hands the plugin's waiting log messages on; `true` where there may be more.
    pub(super) fn take_log(&self) -> bool {
        let _turn = lock(&self.log_turn);
        let mut buffer = [0; 4 + crate::worker::LOG_BYTES];
        for _ in 0..LOG_BATCH {
            let received = recv(&self.log, &mut buffer, RecvFlags::DONTWAIT);
            let Ok((length, _)) = received else {
                return false;
            };
            let length = length.min(buffer.len());
            let Some((level, text)) = buffer[..length].split_first_chunk::<4>() else {
                return false;
            };
            let text = String::from_utf8_lossy(text).replace(char::is_control, " ");
            (self.services.log)(LogLevel::from_code(i32::from_le_bytes(*level)), &text);
        }
        true
    }
}

/// A lock whose data is sound whatever its last holder did.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT, abort",
        libc::SIGBUS => "SIGBUS, bad memory",
        libc::SIGFPE => "SIGFPE, arithmetic",
        libc::SIGILL => "SIGILL, bad instruction",
        libc::SIGKILL => "SIGKILL, from outside or for want of memory",
        libc::SIGSEGV => "SIGSEGV, bad memory access",
        libc::SIGSYS => "SIGSYS, forbidden system call",
        libc::SIGTERM => "SIGTERM, from outside",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXFSZ => "SIGXFSZ, file too large",
        _ => return format!("signal {signal}"),
    };
    format!("signal {signal} ({name})")
}
