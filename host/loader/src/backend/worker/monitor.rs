//! One thread per host process that watches every worker: reaps the dead, wakes who waits for
//! them, kills the overdue and the silent, hands on their logs.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::process::{End, Process, lock};
use crate::clock::{Clock, SystemClock};
use crate::worker::ring::{BEAT, timespec};

/// Longest time between two looks at the limits, nanoseconds.
const ROUND_NS: u64 = 50_000_000;

/// How long a log that never ends is left alone, nanoseconds.
const LOG_PAUSE_NS: u64 = 5_000_000;

/// A worker process that runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningWorker {
    /// Id of its plugin; the file of the library while it is being opened.
    pub plugin: String,
    /// Its process id.
    pub pid: u32,
    /// When it was started, on the monotonic clock, nanoseconds.
    pub started_ns: u64,
}

/// The worker processes of this host, oldest first.
#[must_use]
pub fn running_workers() -> Vec<RunningWorker> {
    let Some(monitor) = MONITOR.get() else {
        return Vec::new();
    };
    let watched = lock(&monitor.watched);
    let running = watched.iter().map(|one| RunningWorker {
        plugin: one.process.name(),
        pid: one.process.pid,
        started_ns: one.process.started_ns,
    });
    running.collect()
}

static MONITOR: OnceLock<Monitor> = OnceLock::new();

struct Monitor {
    watched: Mutex<Vec<Watched>>,
    bell: OwnedFd,
}

struct Watched {
    process: Arc<Process>,
    heartbeat_ns: u64,
    last_beat: u32,
    last_beat_ns: u64,
    quiet_until_ns: u64,
}

/// Watches a process from now on, until it is dead.
pub(super) fn watch(process: Arc<Process>, heartbeat_timeout_ms: u64) -> std::io::Result<()> {
    let monitor = monitor()?;
    lock(&monitor.watched).push(Watched {
        process,
        heartbeat_ns: heartbeat_timeout_ms.saturating_mul(1_000_000),
        last_beat: 0,
        last_beat_ns: SystemClock.now_ns(),
        quiet_until_ns: 0,
    });
    rustix::io::write(&monitor.bell, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn monitor() -> std::io::Result<&'static Monitor> {
    static STARTED: Mutex<()> = Mutex::new(());
    let _turn = lock(&STARTED);
    if let Some(monitor) = MONITOR.get() {
        return Ok(monitor);
    }
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let monitor = MONITOR.get_or_init(|| Monitor {
        watched: Mutex::default(),
        bell,
    });
    std::thread::Builder::new()
        .name("fusebox-monitor".to_owned())
        .spawn(move || monitor.run())?;
    Ok(monitor)
}

impl Monitor {
    fn run(&self) {
        loop {
            let now = SystemClock.now_ns();
            let processes: Vec<(Arc<Process>, bool)> = lock(&self.watched)
                .iter()
                .map(|one| (Arc::clone(&one.process), one.quiet_until_ns <= now))
                .collect();
            let mut descriptors = vec![PollFd::new(&self.bell, PollFlags::IN)];
            for (process, hears_log) in &processes {
                let log = if *hears_log {
                    PollFlags::IN
                } else {
                    PollFlags::empty()
                };
                descriptors.push(PollFd::new(&process.descriptor, PollFlags::IN));
                descriptors.push(PollFd::new(&process.log, log));
            }
            let is_any_paused = processes.iter().any(|(_, hears_log)| !hears_log);
            let limit = if is_any_paused {
                LOG_PAUSE_NS
            } else {
                ROUND_NS
            };
            let limit = (!processes.is_empty()).then(|| timespec(limit));
            // An interruption is a round without news.
            let _ = poll(&mut descriptors, limit.as_ref());
            let has_news = |at: usize| !descriptors[at].revents().is_empty();
            if has_news(0) {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            }
            for (position, (process, _)) in processes.iter().enumerate() {
                if has_news(2 + 2 * position) && process.take_log() {
                    self.pause_log(process);
                }
                if has_news(1 + 2 * position) {
                    self.reap(process);
                }
            }
            self.enforce_limits();
        }
    }

    fn pause_log(&self, process: &Arc<Process>) {
        let until = SystemClock.now_ns() + LOG_PAUSE_NS;
        for one in lock(&self.watched).iter_mut() {
            if Arc::ptr_eq(&one.process, process) {
                one.quiet_until_ns = until;
            }
        }
    }

    fn reap(&self, process: &Arc<Process>) {
        let id = WaitId::PidFd(std::os::fd::AsFd::as_fd(&process.descriptor));
        let end = match waitid(id, WaitIdOptions::EXITED) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Code(code),
                (_, Some(signal)) => End::Signal(signal),
                _ => End::Unknown,
            },
            _ => End::Unknown,
        };
        lock(&self.watched).retain(|one| !Arc::ptr_eq(&one.process, process));
        process.bury(end);
    }

    fn enforce_limits(&self) {
        let now = SystemClock.now_ns();
        for one in lock(&self.watched).iter_mut() {
            if one.process.is_overdue(now) {
                one.process.disarm();
                one.process.kill("it did not come back in time");
            }
            let beat = one.process.ring.word(BEAT).load(Ordering::Relaxed);
            let is_busy = one.process.is_busy.load(Ordering::Relaxed);
            if beat != one.last_beat || is_busy {
                (one.last_beat, one.last_beat_ns) = (beat, now);
            } else if now.saturating_sub(one.last_beat_ns) > one.heartbeat_ns {
                one.last_beat_ns = now;
                one.process
                    .kill("it gave no sign of life while it was idle");
            }
        }
    }
}
