//! When a model is no longer asked: closed, open, half-open.
//!
//! The breaker remembers what came of the newest calls in a ring of fixed size and keeps their
//! counts beside it, so a call costs the same however long the window is, and nothing is allocated
//! after it was made. It never reads a clock: the guard tells it the time.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::policy::{BreakerConfig, BreakerState, FailureKind};

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BreakerCause {
    /// Too many of the newest calls failed.
    ErrorRate {
        /// How many.
        failed: u32,
        /// Of how many.
        calls: u32,
    },
    /// Too many of the newest answers were no numbers.
    NanRate {
        /// How many.
        failed: u32,
        /// Of how many.
        calls: u32,
    },
    /// Too many of the newest answers were late.
    DeadlineRate {
        /// How many.
        failed: u32,
        /// Of how many.
        calls: u32,
    },
    /// A trial call failed.
    TrialFailed {
        /// How.
        failure: FailureKind,
    },
    /// It was open for as long as it should be.
    WaitIsOver,
    /// Enough trial calls in a row succeeded.
    TrialsPassed {
        /// How many.
        calls: u32,
    },
}

impl fmt::Display for BreakerCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorRate { failed, calls } => {
                write!(f, "{failed} of the newest {calls} calls failed")
            }
            Self::NanRate { failed, calls } => {
                write!(
                    f,
                    "{failed} of the newest {calls} answers were not finite numbers"
                )
            }
            Self::DeadlineRate { failed, calls } => {
                write!(f, "{failed} of the newest {calls} answers came too late")
            }
            Self::TrialFailed { failure } => write!(f, "a trial call failed: {}", failure.name()),
            Self::WaitIsOver => f.write_str("it was open for as long as it should be"),
            Self::TrialsPassed { calls } => write!(f, "{calls} trial calls in a row succeeded"),
        }
    }
}

/// A change of a breaker's state, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerTransition {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
    /// Why.
    pub why: BreakerCause,
    /// When, on the machine's monotonic clock.
    pub at_ns: u64,
    /// Where it opened: until when no call goes through, on the same clock.
    pub open_until_ns: Option<u64>,
}

/// Since when a breaker is open, why, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) since_ns: u64,
    pub(super) until_ns: u64,
    pub(super) why: BreakerCause,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open(Opening),
    HalfOpen { passed: u32 },
}

/// The breaker of one model.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    state: State,
    window: Window,
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig) -> Self {
        let config = config.bounded();
        Self {
            config,
            state: State::Closed,
            window: Window::new(config.window as usize),
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open(_) => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call may go through at `now_ns`. The first one after the wait turns the breaker
    /// half-open.
    pub(super) fn admit(&mut self, now_ns: u64) -> Result<Option<BreakerTransition>, Opening> {
        let State::Open(opening) = self.state else {
            return Ok(None);
        };
        if now_ns < opening.until_ns {
            return Err(opening);
        }
        let to = State::HalfOpen { passed: 0 };
        Ok(Some(self.change(to, BreakerCause::WaitIsOver, now_ns)))
    }

    /// Takes what came of a call that went through and ended at `now_ns`.
    pub(super) fn record(
        &mut self,
        failure: Option<FailureKind>,
        now_ns: u64,
    ) -> Option<BreakerTransition> {
        match (self.state, failure) {
            (State::Closed, _) => {
                self.window.push(Outcome::of(failure));
                let why = self.window.verdict(&self.config)?;
                Some(self.open(why, now_ns))
            }
            (State::HalfOpen { .. }, Some(failure)) => {
                Some(self.open(BreakerCause::TrialFailed { failure }, now_ns))
            }
            (State::HalfOpen { passed }, None) if passed + 1 < self.config.trial_calls => {
                self.state = State::HalfOpen { passed: passed + 1 };
                None
            }
            (State::HalfOpen { .. }, None) => {
                self.window.clear();
                let calls = self.config.trial_calls;
                Some(self.change(State::Closed, BreakerCause::TrialsPassed { calls }, now_ns))
            }
            // Nothing went through, so nothing came of it.
            (State::Open(_), _) => None,
        }
    }

    fn open(&mut self, why: BreakerCause, now_ns: u64) -> BreakerTransition {
        let until_ns = now_ns.saturating_add(self.config.open_ms * 1_000_000);
        let opening = Opening {
            since_ns: now_ns,
            until_ns,
            why,
        };
        self.change(State::Open(opening), why, now_ns)
    }

    fn change(&mut self, to: State, why: BreakerCause, at_ns: u64) -> BreakerTransition {
        let from = self.state();
        self.state = to;
        BreakerTransition {
            from,
            to: self.state(),
            why,
            at_ns,
            open_until_ns: match to {
                State::Open(opening) => Some(opening.until_ns),
                _ => None,
            },
        }
    }
}

/// What the rates tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Success,
    Failure,
    Nan,
    Late,
}

impl Outcome {
    fn of(failure: Option<FailureKind>) -> Self {
        match failure {
            None => Self::Success,
            Some(FailureKind::Nan) => Self::Nan,
            Some(FailureKind::Deadline) => Self::Late,
            Some(_) => Self::Failure,
        }
    }
}

/// The newest calls and their counts.
#[derive(Debug)]
struct Window {
    ring: Box<[Outcome]>,
    next: usize,
    calls: u32,
    failed: u32,
    nan: u32,
    late: u32,
}

impl Window {
    fn new(len: usize) -> Self {
        Self {
            ring: vec![Outcome::Success; len].into_boxed_slice(),
            next: 0,
            calls: 0,
            failed: 0,
            nan: 0,
            late: 0,
        }
    }

    fn clear(&mut self) {
        (self.next, self.calls) = (0, 0);
        (self.failed, self.nan, self.late) = (0, 0, 0);
    }

    fn push(&mut self, outcome: Outcome) {
        let Some(place) = self.ring.get_mut(self.next) else {
            return;
        };
        let oldest = std::mem::replace(place, outcome);
        self.next += 1;
        let is_full = self.calls as usize == self.ring.len();
        if self.next == self.ring.len() {
            self.next = 0;
        }
        if is_full {
            self.count(oldest, |count| count - 1);
        } else {
            self.calls += 1;
        }
        self.count(outcome, |count| count + 1);
    }

    fn count(&mut self, outcome: Outcome, change: impl Fn(u32) -> u32) {
        match outcome {
            Outcome::Success => return,
            Outcome::Failure => {}
            Outcome::Nan => self.nan = change(self.nan),
            Outcome::Late => self.late = change(self.late),
        }
        self.failed = change(self.failed);
    }

    /// Why the breaker must open, the narrower reason first.
    fn verdict(&self, config: &BreakerConfig) -> Option<BreakerCause> {
        if self.failed == 0 || self.calls < config.minimum_calls {
            return None;
        }
        let calls = self.calls;
        // A quotient is rounded like the number that the operator wrote, a product is not.
        let reaches = |count: u32, rate: f64| f64::from(count) / f64::from(calls) >= rate;
        let (nan, late, failed) = (self.nan, self.late, self.failed);
        if nan > 0 && reaches(nan, config.nan_rate) {
            return Some(BreakerCause::NanRate { failed: nan, calls });
        }
        if late > 0 && reaches(late, config.deadline_rate) {
            let failed = late;
            return Some(BreakerCause::DeadlineRate { failed, calls });
        }
        reaches(failed, config.error_rate).then_some(BreakerCause::ErrorRate { failed, calls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a breaker.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Call(Option<FailureKind>),
        Wait(u64),
    }

    /// The same promises, kept by looking through the whole history at every step.
    struct Naive {
        config: BreakerConfig,
        /// Everything since the breaker last closed.
        history: Vec<Option<FailureKind>>,
        opened_at: Option<u64>,
        trials: Option<u32>,
    }

    impl Naive {
        fn state(&self) -> BreakerState {
            match (self.opened_at, self.trials) {
                (Some(_), _) => BreakerState::Open,
                (None, Some(_)) => BreakerState::HalfOpen,
                (None, None) => BreakerState::Closed,
            }
        }

        fn call(&mut self, outcome: Option<FailureKind>, now_ns: u64) {
            if let Some(opened_at) = self.opened_at {
                if now_ns < opened_at + self.config.open_ms * 1_000_000 {
                    return;
                }
                (self.opened_at, self.trials) = (None, Some(0));
            }
            if let Some(passed) = self.trials {
                match outcome {
                    Some(_) => (self.opened_at, self.trials) = (Some(now_ns), None),
                    None if passed + 1 == self.config.trial_calls => {
                        self.trials = None;
                        self.history.clear();
                    }
                    None => self.trials = Some(passed + 1),
                }
                return;
            }
            self.history.push(outcome);
            let newest: Vec<_> = self
                .history
                .iter()
                .rev()
                .take(self.config.window as usize)
                .collect();
            let share = |of: &dyn Fn(&Option<FailureKind>) -> bool| {
                newest.iter().filter(|one| of(one)).count() as f64 / newest.len() as f64
            };
            let is_enough = newest.len() >= self.config.minimum_calls as usize;
            if is_enough
                && (share(&|one| one.is_some()) >= self.config.error_rate
                    || share(&|one| *one == Some(FailureKind::Nan)) >= self.config.nan_rate
                    || share(&|one| *one == Some(FailureKind::Deadline))
                        >= self.config.deadline_rate)
            {
                self.opened_at = Some(now_ns);
            }
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let failure = prop::sample::select(vec![
            FailureKind::Error,
            FailureKind::Nan,
            FailureKind::Deadline,
            FailureKind::Crash,
        ]);
        let step = prop_oneof![
            6 => Just(Step::Call(None)),
            3 => failure.prop_map(|kind| Step::Call(Some(kind))),
            1 => (0_u64..3_000_000).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..400)
    }

    prop_compose! {
        fn configs()(
            window in 1_u32..12,
            minimum in 1_u32..12,
            rates in [0.05_f64..=1.0, 0.05..=1.0, 0.05..=1.0],
            trial_calls in 1_u32..4,
        ) -> BreakerConfig {
            BreakerConfig {
                window,
                minimum_calls: minimum.min(window),
                error_rate: rates[0],
                nan_rate: rates[1],
                deadline_rate: rates[2],
                open_ms: 1,
                trial_calls,
            }
        }
    }

    proptest! {
        #[test]
        fn it_does_what_the_whole_history_says(config in configs(), steps in steps()) {
            let mut breaker = Breaker::new(config);
            let mut naive = Naive { config, history: Vec::new(), opened_at: None, trials: None };
            let mut now_ns = 1;
            let mut known = BreakerState::Closed;
            for step in steps {
                match step {
                    Step::Wait(by) => now_ns += by,
                    Step::Call(outcome) => {
                        naive.call(outcome, now_ns);
                        let admitted = breaker.admit(now_ns);
                        let mut changes = Vec::new();
                        if let Ok(change) = admitted {
                            changes.extend(change);
                            changes.extend(breaker.record(outcome, now_ns));
                        }
                        // The changes that are reported lead from state to state without a gap.
                        for change in changes {
                            prop_assert_eq!((change.from, change.at_ns), (known, now_ns));
                            known = change.to;
                            prop_assert_eq!(
                                change.open_until_ns.is_some(),
                                known == BreakerState::Open
                            );
                        }
                        prop_assert_eq!(known, breaker.state());
                    }
                }
                prop_assert_eq!(breaker.state(), naive.state());
            }
        }
    }

    #[test]
    fn the_share_that_was_written_is_the_share_that_opens() {
        // 7 / 100 is the number 0.07; 0.07 * 100 is more than 7.
        let mut breaker = Breaker::new(BreakerConfig {
            window: 100,
            minimum_calls: 100,
            error_rate: 0.07,
            ..BreakerConfig::default()
        });
        for call in 0..99 {
            let failure = (call < 7).then_some(FailureKind::Error);
            assert_eq!(breaker.record(failure, 5), None);
        }
        let opened = breaker.record(None, 5).unwrap();
        let calls = 100;
        assert_eq!(opened.why, BreakerCause::ErrorRate { failed: 7, calls });
        assert_eq!(opened.open_until_ns, Some(30_000_000_005));
    }

    #[test]
    fn the_narrower_reason_is_named() {
        let config = BreakerConfig {
            window: 4,
            minimum_calls: 1,
            ..BreakerConfig::default()
        };
        let why = |kind| Breaker::new(config).record(Some(kind), 0).unwrap().why;
        let (failed, calls) = (1, 1);
        assert_eq!(
            why(FailureKind::Nan),
            BreakerCause::NanRate { failed, calls }
        );
        let late = BreakerCause::DeadlineRate { failed, calls };
        assert_eq!(why(FailureKind::Deadline), late);
        let failing = BreakerCause::ErrorRate { failed, calls };
        assert_eq!(why(FailureKind::Crash), failing);
        let line = failing.to_string();
        assert_eq!(line, "1 of the newest 1 calls failed");
    }
}
