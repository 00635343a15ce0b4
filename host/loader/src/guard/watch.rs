//! What a policy adds to a guard: the deadline, the breaker and the counts, by the clock.

use std::sync::Arc;

use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::frame::Frame;

use super::breaker::{Breaker, BreakerTransition, Opening};
use super::metrics::ModelMetrics;
use super::policy::{BreakerState, FailureKind, GuardPolicy};
use super::{Failure, GuardedModel};
use crate::clock::Clock;

/// Who hears of every change of a breaker, such as the audit log. Called on the thread that
/// predicts, so it must not wait.
pub type BreakerObserver = Arc<dyn Fn(&BreakerTransition) + Send + Sync>;

/// The policy of one model at work.
pub(super) struct Watch {
    deadline_ns: Option<u64>,
    breaker: Option<Breaker>,
    observer: Option<BreakerObserver>,
    metrics: Arc<ModelMetrics>,
    clock: Arc<dyn Clock>,
}

impl Watch {
    pub(super) fn new(
        policy: &GuardPolicy,
        metrics: Arc<ModelMetrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let nanos = |micros: u64| micros.saturating_mul(1_000);
        Self {
            deadline_ns: policy.deadline_us.map(nanos),
            breaker: policy.breaker.map(Breaker::new),
            observer: None,
            metrics,
            clock,
        }
    }

    pub(super) fn observe(&mut self, observer: BreakerObserver) {
        self.observer = Some(observer);
    }

    pub(super) fn metrics(&self) -> &Arc<ModelMetrics> {
        &self.metrics
    }

    pub(super) fn breaker_state(&self) -> BreakerState {
        let breaker = self.breaker.as_ref();
        breaker.map_or(BreakerState::Closed, Breaker::state)
    }

    /// Lets a call through, or says since when, why and until when none goes through.
    fn admit(&mut self, now_ns: u64) -> Result<(), Opening> {
        let Some(breaker) = &mut self.breaker else {
            return Ok(());
        };
        let change = breaker.admit(now_ns)?;
        self.tell(change);
        Ok(())
    }

    fn close(&mut self, call: &Call, failure: Option<FailureKind>) {
        let latency_ns = call.ended_ns.saturating_sub(call.started_ns);
        self.metrics.record(call.rows, latency_ns, failure);
        let breaker = self.breaker.as_mut();
        let change = breaker.and_then(|breaker| breaker.record(failure, call.ended_ns));
        self.tell(change);
    }

    fn tell(&self, change: Option<BreakerTransition>) {
        if let (Some(change), Some(observer)) = (change, &self.observer) {
            observer(&change);
        }
    }

    /// When the answer is due: the earlier of the caller's deadline and the policy's.
    fn due_ns(&self, started_ns: u64, asked: Option<u64>) -> Option<u64> {
        let own = self.deadline_ns.map(|long| started_ns.saturating_add(long));
        match (own, asked) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        }
    }
}

/// A call that went through.
struct Call {
    rows: u64,
    started_ns: u64,
    ended_ns: u64,
}

impl GuardedModel {
    /// Asks as the policy wants it. Rows of history pass the breaker and have no deadline: nobody
    /// waits for them, and a model without them would be worth less.
    pub(super) fn ask_watched(&mut self, frame: &mut Frame<'_>) -> Result<(), Failure> {
        let rows = frame.rows() as u64;
        if frame.is_replay() {
            let result = self.check(frame).and_then(|()| self.ask(frame));
            self.count(|metrics| metrics.record_replay(rows, kind_of(&result)));
            return result;
        }
        if let Err(failure) = self.check(frame) {
            self.count(|metrics| metrics.record_unasked(rows, failure.kind));
            return Err(failure);
        }
        let Some(watch) = &mut self.watch else {
            return self.ask(frame);
        };
        let started_ns = watch.clock.now_ns();
        if let Err(opening) = watch.admit(started_ns) {
            watch.metrics.record_unasked(rows, FailureKind::BreakerOpen);
            return Err(self.refused(&opening, started_ns));
        }
        let asked = frame.deadline_ns();
        let due_ns = watch.due_ns(started_ns, asked);
        frame.set_deadline_ns(due_ns);
        let result = self.ask(frame);
        // The frame is the caller's, who may ask another model with it.
        frame.set_deadline_ns(asked);
        let call = |ended_ns| Call {
            rows,
            started_ns,
            ended_ns,
        };
        self.judge(result, due_ns, call)
    }

    fn judge(
        &mut self,
        result: Result<(), Failure>,
        due_ns: Option<u64>,
        call: impl FnOnce(u64) -> Call,
    ) -> Result<(), Failure> {
        let Some(watch) = &mut self.watch else {
            return result;
        };
        let call = call(watch.clock.now_ns());
        let late_ns = due_ns.map_or(0, |due_ns| call.ended_ns.saturating_sub(due_ns));
        let is_late = late_ns > 0 && result.is_ok();
        let failure = if is_late {
            Some(FailureKind::Deadline)
        } else {
            kind_of(&result)
        };
        watch.close(&call, failure);
        if is_late {
            return Err(self.late(&call, late_ns));
        }
        result
    }

    fn count(&self, count: impl FnOnce(&ModelMetrics)) {
        if let Some(watch) = &self.watch {
            count(&watch.metrics);
        }
    }

    #[cold]
    fn late(&self, call: &Call, late_ns: u64) -> Failure {
        let took_ns = call.ended_ns.saturating_sub(call.started_ns);
        let message = format!(
            "{}: answered {} after the deadline, having taken {}; the answer is thrown away",
            self.plugin,
            micros(late_ns),
            micros(took_ns)
        );
        Failure {
            kind: FailureKind::Deadline,
            error: PluginError::new(Status::Deadline, message),
        }
    }

    #[cold]
    fn refused(&self, opening: &Opening, now_ns: u64) -> Failure {
        let (since, until) = (
            now_ns.saturating_sub(opening.since_ns),
            opening.until_ns.saturating_sub(now_ns),
        );
        Failure {
            kind: FailureKind::BreakerOpen,
            error: PluginError::state(format!(
                "{}: the model is not asked: its breaker opened {} ago because {}, and lets trial \
                 calls through in {}",
                self.plugin,
                millis(since),
                opening.why,
                millis(until)
            )),
        }
    }
}

fn kind_of(result: &Result<(), Failure>) -> Option<FailureKind> {
    result.as_ref().err().map(|failure| failure.kind)
}

fn micros(nanos: u64) -> String {
    format!("{}.{:03} us", nanos / 1_000, nanos % 1_000)
}

fn millis(nanos: u64) -> String {
    format!("{} ms", nanos.div_ceil(1_000_000))
}
