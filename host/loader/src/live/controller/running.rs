//! A reload that runs: on a thread of its own, or step by step in the controller.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::live::control::KeptOut;
use crate::live::files::Stamp;
use crate::live::link::{Signal, lock};
use crate::live::reload::{Outcome, Progress, Reload};
use crate::live::state::{Reason, Rejection};

/// Longest sleep of a reload that waits for nothing in particular.
const IDLE: Duration = Duration::from_millis(50);

/// How reloads are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    /// One step per tick of the controller: everything in one thread, in a known order.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests drive everything in one thread")
    )]
    Inline,
    /// A thread per reload.
    Threads,
}

/// A reload in progress.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) fingerprint: String,
    pub(super) version: String,
    /// What the files looked like when it began, and once it has ended, when it verified them.
    pub(super) stamp: Option<Stamp>,
    pub(super) request: Option<u64>,
    /// What its success keeps out: a roll-back has a generation that it goes away from.
    pub(super) goes_from: Option<KeptOut>,
    cancelled: Arc<AtomicBool>,
    driver: Driver,
}

#[derive(Debug)]
enum Driver {
    Inline(Box<Reload>),
    Thread(Arc<Shared>),
}

/// A reload that nobody waits for any more, because its plugin does not come back.
#[derive(Debug)]
pub(super) struct Abandoned(Option<Arc<Shared>>);

impl Abandoned {
    /// Whether the plugin did come back, and its thread is free again.
    pub(super) fn has_ended(&self) -> bool {
        let shared = self.0.as_ref();
        shared.is_none_or(|shared| lock(&shared.outcome).is_some())
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// How it ended, and what the files looked like that were judged.
    outcome: Mutex<Option<(Outcome, Option<Stamp>)>>,
    /// When the step began that is being taken; 0 between two steps.
    step_since_ns: AtomicU64,
}

/// What a [`Running`] is for.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) stamp: Option<Stamp>,
    pub(super) request: Option<u64>,
    pub(super) goes_from: Option<KeptOut>,
}

impl Running {
    pub(super) fn start(
        reload: Reload,
        about: About,
        drive: Drive,
        (clock, control): (&Arc<dyn Clock>, &Arc<Signal>),
    ) -> std::io::Result<Self> {
        let (fingerprint, cancelled) = (reload.fingerprint().to_owned(), reload.cancel_flag());
        let driver = match drive {
            Drive::Inline => Driver::Inline(Box::new(reload)),
            Drive::Threads => {
                let shared = Arc::new(Shared::default());
                let (ours, clock, control) =
                    (Arc::clone(&shared), Arc::clone(clock), Arc::clone(control));
                let thread = std::thread::Builder::new().name("fusebox-reload".to_owned());
                thread.spawn(move || {
                    let outcome = drive_to_end(reload, &ours, &*clock);
                    *lock(&ours.outcome) = Some(outcome);
                    control.raise();
                })?;
                Driver::Thread(shared)
            }
        };
        Ok(Self {
            fingerprint,
            version: about.version,
            stamp: about.stamp,
            request: about.request,
            goes_from: about.goes_from,
            cancelled,
            driver,
        })
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// What is left of it for one who does not wait for its end.
    pub(super) fn left_alone(&self) -> Abandoned {
        match &self.driver {
            Driver::Inline(_) => Abandoned(None),
            Driver::Thread(shared) => Abandoned(Some(Arc::clone(shared))),
        }
    }

    /// Takes a step where it is driven here. Gives the outcome once it has ended, and whether
    /// anything moved.
    pub(super) fn poll(&mut self) -> (Option<Outcome>, bool) {
        let (ended, has_moved) = match &mut self.driver {
            Driver::Inline(reload) => {
                let progress = reload.advance();
                let judged = reload.judged().cloned();
                let ended = reload.finish().map(|outcome| (outcome, judged));
                (ended, !matches!(progress, Progress::Waiting(_)))
            }
            Driver::Thread(shared) => {
                let ended = lock(&shared.outcome).take();
                let has_ended = ended.is_some();
                (ended, has_ended)
            }
        };
        let outcome = ended.map(|(outcome, judged)| {
            // Somebody may have written to them since it began.
            self.stamp = judged.or(self.stamp.take());
            outcome
        });
        (outcome, has_moved)
    }

    /// For how long its present step has taken.
    pub(super) fn stuck_ns(&self, now_ns: u64) -> u64 {
        match &self.driver {
            Driver::Inline(_) => 0,
            Driver::Thread(shared) => match shared.step_since_ns.load(Ordering::Relaxed) {
                0 => 0,
                since_ns => now_ns.saturating_sub(since_ns),
            },
        }
    }
}

fn drive_to_end(
    mut reload: Reload,
    shared: &Shared,
    clock: &dyn Clock,
) -> (Outcome, Option<Stamp>) {
    let signal = reload.signal();
    loop {
        shared
            .step_since_ns
            .store(clock.now_ns().max(1), Ordering::Relaxed);
        let progress = reload.advance();
        shared.step_since_ns.store(0, Ordering::Relaxed);
        match progress {
            Progress::Moved => {}
            Progress::Waiting(Some(until_ns)) => {
                let left = until_ns.saturating_sub(clock.now_ns());
                signal.wait(Duration::from_nanos(left).min(IDLE));
            }
            Progress::Waiting(None) => signal.wait(IDLE),
            Progress::Done => {
                let outcome = reload.finish().unwrap_or_else(|| {
                    Outcome::Rejected(Rejection::new(Reason::Create, "it ended without a word"))
                });
                return (outcome, reload.judged().cloned());
            }
        }
    }
}
