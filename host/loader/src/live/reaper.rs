//! The end of an instance: its threads are joined, then it is destroyed, beside everything else.
//!
//! A plugin that does not come to an end blocks one thread and nothing more.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use fusebox_plugin_api::model::Model;

use super::audit::{AuditEvent, AuditLog, Occasion};
use super::facts::{Generation, Instance};
use super::link::{Signal, lock};
use super::state::{Reason, State};
use crate::clock::Clock;

/// Instances that may wait for their end. More than these are left as they are.
const WAITING: usize = 256;

/// An instance to be ended.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) model: String,
    pub(crate) instance: Instance,
    pub(crate) quiesce_ms: u64,
}

/// Ends instances: at once, or on a thread of its own.
#[derive(Debug)]
pub(crate) struct Reaper {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Retired>>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    signal: Arc<Signal>,
    ended: Mutex<Vec<Arc<Generation>>>,
}

impl Reaper {
    /// A reaper that ends instances at once.
    pub(crate) fn inline(
        clock: &Arc<dyn Clock>,
        audit: &Arc<AuditLog>,
        signal: &Arc<Signal>,
    ) -> Self {
        let shared = Arc::new(Shared {
            clock: Arc::clone(clock),
            audit: Arc::clone(audit),
            signal: Arc::clone(signal),
            ended: Mutex::default(),
        });
        Self {
            shared,
            queue: None,
        }
    }

    /// Gives it a thread.
    pub(crate) fn start_thread(&mut self) -> std::io::Result<()> {
        let (queue, reader) = sync_channel(WAITING);
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("fusebox-reaper".to_owned());
        thread.spawn(move || run(&shared, &reader))?;
        self.queue = Some(queue);
        Ok(())
    }

    pub(crate) fn end(&self, retired: Retired) {
        let Some(queue) = &self.queue else {
            return self.shared.end(retired);
        };
        match queue.try_send(retired) {
            Ok(()) => {}
            Err(TrySendError::Full(retired) | TrySendError::Disconnected(retired)) => {
                let event = self.shared.event(Occasion::QuiesceFailed, &retired);
                let message = "too many instances wait for their end; this one is left as it is";
                self.shared
                    .audit
                    .write(event.because(Reason::Timeout, message));
                // Destroying it here could block everything else.
                std::mem::forget(retired);
            }
        }
    }

    /// The generations of instances that have ended since the last call.
    pub(crate) fn ended(&self) -> Vec<Arc<Generation>> {
        std::mem::take(&mut *lock(&self.shared.ended))
    }
}

fn run(shared: &Shared, queue: &Receiver<Retired>) {
    while let Ok(retired) = queue.recv() {
        shared.end(retired);
    }
}

impl Shared {
    fn event(&self, what: impl Into<super::audit::What>, retired: &Retired) -> AuditEvent {
        label(what, &retired.model, &retired.instance.generation)
    }

    fn end(&self, mut retired: Retired) {
        let started_ns = self.clock.now_ns();
        let deadline_ns = started_ns + retired.quiesce_ms * 1_000_000;
        let quiesced = retired.instance.model.quiesce(deadline_ns);
        let duration_us = (self.clock.now_ns() - started_ns) / 1_000;
        let event = match quiesced {
            Ok(()) => self.event(State::Quiesced, &retired),
            Err(error) => self
                .event(Occasion::QuiesceFailed, &retired)
                .because(Reason::Timeout, error.to_string()),
        };
        self.audit.write(AuditEvent {
            duration_us,
            ..event
        });
        let generation = Arc::clone(&retired.instance.generation);
        let destroyed = self.event(State::Destroyed, &retired);
        let started_ns = self.clock.now_ns();
        drop(retired);
        if generation.state() == State::Retired {
            generation.set_state(State::Destroyed);
        }
        self.audit.write(AuditEvent {
            duration_us: (self.clock.now_ns() - started_ns) / 1_000,
            ..destroyed
        });
        lock(&self.ended).push(generation);
        self.signal.raise();
    }
}

/// An event about a generation.
pub(crate) fn label(
    what: impl Into<super::audit::What>,
    model: &str,
    generation: &Generation,
) -> AuditEvent {
    AuditEvent {
        plugin: generation.plugin().to_owned(),
        version: generation.version().to_owned(),
        weights: generation.weights.as_ref().map(|one| one.version.clone()),
        digest: generation.loaded.digest().unwrap_or_default().to_owned(),
        generation: Some(generation.number),
        tier: Some(generation.tier().to_string()),
        ..AuditEvent::new(what, model)
    }
}
