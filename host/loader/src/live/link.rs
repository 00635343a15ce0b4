//! What passes between the thread that predicts and the threads that prepare: a mailbox with a
//! flag, reply ports, and notices.
//!
//! The predicting side reads one flag per event. Only where it is up does it look further, and even
//! then it tries the lock and never waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{ModelInfo, Snapshot};

use super::facts::{Generation, Instance, StateMode};
use super::history::{History, RowShape};
use super::policy::ProbationPolicy;
use super::state::{Reason, Rejection};
use super::tap::Tap;

/// Room for what the predicting side says without taking memory.
const NOTICES: usize = 32;

/// Wakes a thread that waits for something to do.
#[derive(Debug, Default)]
pub struct Signal {
    is_raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Wakes the waiting thread, or lets its next wait end at once.
    pub fn raise(&self) {
        *lock(&self.is_raised) = true;
        self.changed.notify_all();
    }

    /// Waits until it is raised, at most `timeout`; takes it down again.
    pub fn wait(&self, timeout: Duration) {
        let raised = lock(&self.is_raised);
        let waited = self
            .changed
            .wait_timeout_while(raised, timeout, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// A lock of data that a panic cannot leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where one answer arrives.
#[derive(Debug)]
pub(crate) struct Port<T> {
    slot: Mutex<Option<T>>,
    signal: Arc<Signal>,
}

impl<T> Port<T> {
    pub(crate) fn new(signal: &Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            slot: Mutex::new(None),
            signal: Arc::clone(signal),
        })
    }

    pub(crate) fn put(&self, value: T) {
        *lock(&self.slot) = Some(value);
        self.signal.raise();
    }

    pub(crate) fn take(&self) -> Option<T> {
        lock(&self.slot).take()
    }
}

/// What the preparing side asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// The state between two rows.
    Sync(SyncRequest),
    /// To take over.
    Promote(Box<Handover>),
    /// To go back to the generation before, where it still waits. Answers whether it did.
    GoBack(Reason, Arc<Port<bool>>),
    /// Give the generation before away: it must not answer again. The probation ends with it.
    DropParked,
}

#[derive(Debug)]
pub(crate) struct SyncRequest {
    /// Whether the history is wanted, in this memory where it fits.
    pub(crate) history: Option<Option<Box<History>>>,
    /// Where copies of the following rows go.
    pub(crate) tap: Option<Tap>,
    pub(crate) port: Arc<Port<Synced>>,
}

/// The state of the live generation between two rows.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) snapshot: Result<Snapshot, PluginError>,
    /// Rows seen when it was taken.
    pub(crate) row: u64,
    pub(crate) history: Option<Box<History>>,
}

/// From where a generation that takes over is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// There is no state.
    Nothing,
    /// It has the state after this many rows.
    At(u64),
    /// It takes a snapshot of the live one at that moment.
    Snapshot,
    /// It is new, and is shown at most this many of the newest rows.
    Rows(u64),
}

#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) instance: Instance,
    pub(crate) basis: Basis,
    pub(crate) probation: ProbationPolicy,
    pub(crate) port: Arc<Port<Handed>>,
}

/// What came of a hand-over.
#[derive(Debug)]
pub(crate) enum Handed {
    Promoted(Promoted),
    /// It is too many rows behind; it has to be brought in step again.
    Behind(Instance),
    Refused(Instance, Rejection),
}

/// A promotion, as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promoted {
    /// Number of the first row that it answers.
    pub(crate) row: u64,
    /// Rows that it was shown first.
    pub(crate) replayed: u64,
    /// How long that took, with the swap.
    pub(crate) pause_ns: u64,
    /// Whether the one before waits.
    pub(crate) is_in_probation: bool,
}

/// What the predicting side says of its own accord.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The generation has proven itself.
    ProbationPassed(Arc<Generation>),
    /// The probation ended early, because there is no generation any more to go back to.
    ProbationCut,
    /// This instance answers no more.
    Retired(Instance),
    /// The generation before took over again.
    RolledBack(RolledBack),
    /// The generation is bad, but the one before cannot take over.
    RollbackFailed(Arc<Generation>, Rejection),
    /// The generation broke for good, and none can step in for it.
    Down(Arc<Generation>, Rejection),
    /// Nobody predicts any more.
    Closed,
}

#[derive(Debug)]
pub(crate) struct RolledBack {
    pub(crate) bad: Instance,
    pub(crate) to: Arc<Generation>,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) row: u64,
    pub(crate) pause_ns: u64,
}

/// The two sides of one live model.
#[derive(Debug)]
pub(crate) struct Link {
    info: ModelInfo,
    has_mail: AtomicBool,
    inbox: Mutex<VecDeque<Command>>,
    notices: Mutex<VecDeque<Notice>>,
    control: Arc<Signal>,
    is_closed: AtomicBool,
    rows: AtomicU64,
    shape: Mutex<Option<RowShape>>,
    active: Mutex<Arc<Generation>>,
}

impl Link {
    pub(crate) fn new(first: &Instance, control: &Arc<Signal>) -> Arc<Self> {
        Arc::new(Self {
            info: first.model.known_info().clone(),
            has_mail: AtomicBool::new(false),
            inbox: Mutex::default(),
            notices: Mutex::new(VecDeque::with_capacity(NOTICES)),
            control: Arc::clone(control),
            is_closed: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            shape: Mutex::new(None),
            active: Mutex::new(Arc::clone(&first.generation)),
        })
    }

    /// What every generation of the model takes and answers.
    pub(crate) fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Puts a command into the mailbox; it is carried out between two events.
    pub(crate) fn send(&self, command: Command) {
        lock(&self.inbox).push_back(command);
        self.has_mail.store(true, Ordering::Release);
    }

    /// Takes back what was not read.
    pub(crate) fn withdraw(&self) -> Vec<Command> {
        let mut inbox = lock(&self.inbox);
        self.has_mail.store(false, Ordering::Relaxed);
        inbox.drain(..).collect()
    }

    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// The next command, where the lock is free.
    pub(crate) fn receive(&self) -> Option<Command> {
        let mut inbox = self.inbox.try_lock().ok()?;
        let command = inbox.pop_front();
        self.has_mail.store(!inbox.is_empty(), Ordering::Relaxed);
        command
    }

    pub(crate) fn notify(&self, notice: Notice) {
        lock(&self.notices).push_back(notice);
        self.control.raise();
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        lock(&self.notices).drain(..).collect()
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.notify(Notice::Closed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_rows(&self, rows: u64) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn set_shape(&self, shape: RowShape) {
        *lock(&self.shape) = Some(shape);
    }

    pub(crate) fn shape(&self) -> Option<RowShape> {
        *lock(&self.shape)
    }

    pub(crate) fn set_active(&self, active: &Arc<Generation>) {
        *lock(&self.active) = Arc::clone(active);
    }

    pub(crate) fn active(&self) -> Arc<Generation> {
        Arc::clone(&lock(&self.active))
    }
}

/// Whether a generation with this state mode may be handed over with what it knows.
pub(crate) fn basis_of(mode: StateMode, row: u64) -> Basis {
    match mode {
        StateMode::Stateless => Basis::Nothing,
        StateMode::Snapshot | StateMode::Replay => Basis::At(row),
    }
}
