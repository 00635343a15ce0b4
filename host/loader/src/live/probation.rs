//! What a promoted generation has to keep to while the one before it waits.

use super::policy::ProbationPolicy;
use super::state::Reason;
use crate::guard::FailureKind;

/// Counts of one probation.
#[derive(Debug, Clone)]
pub(crate) struct Probation {
    policy: ProbationPolicy,
    /// Number of the first row in it.
    since_row: u64,
    calls: u64,
    errors: u64,
    nans: u64,
    late: u64,
    crashes: u64,
}

impl Probation {
    pub(crate) fn new(policy: ProbationPolicy, since_row: u64) -> Self {
        Self {
            policy,
            since_row,
            calls: 0,
            errors: 0,
            nans: 0,
            late: 0,
            crashes: 0,
        }
    }

    /// Counts a call that gave an answer.
    pub(crate) fn count_answer(&mut self) {
        self.calls += 1;
    }

    /// Counts a call that gave none, and says why the generation has to go, if it has to.
    pub(crate) fn count_failure(&mut self, kind: FailureKind) -> Option<Reason> {
        match kind {
            // The caller's mistake.
            FailureKind::Shape => return None,
            FailureKind::Panic | FailureKind::Poisoned => return Some(Reason::Panic),
            FailureKind::OutOfBounds => return Some(Reason::OutOfBounds),
            FailureKind::BreakerOpen => return Some(Reason::Breaker),
            FailureKind::Nan => self.nans += 1,
            FailureKind::Deadline => self.late += 1,
            FailureKind::Crash => self.crashes += 1,
            FailureKind::Error => {}
        }
        (self.calls, self.errors) = (self.calls + 1, self.errors + 1);
        if self.crashes > self.policy.crashes {
            return Some(Reason::Crash);
        }
        if self.calls < self.policy.minimum_calls {
            return None;
        }
        let exceeds = |count: u64, rate: f64| count as f64 > rate * self.calls as f64;
        [
            (self.nans, self.policy.nan_rate, Reason::NanRate),
            (self.late, self.policy.deadline_rate, Reason::DeadlineRate),
            (self.errors, self.policy.error_rate, Reason::ErrorRate),
        ]
        .into_iter()
        .find(|(count, rate, _)| exceeds(*count, *rate))
        .map(|(.., reason)| reason)
    }

    /// Whether the generation has proven itself once `rows` rows were seen in all.
    pub(crate) fn is_over(&self, rows: u64) -> bool {
        rows.saturating_sub(self.since_row) >= self.policy.rows as u64
    }

    /// The counts, for people.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} of {} calls failed ({} no numbers, {} late, {} crashes)",
            self.errors, self.calls, self.nans, self.late, self.crashes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probation(policy: ProbationPolicy) -> Probation {
        Probation::new(policy, 100)
    }

    #[test]
    fn a_panic_ends_it_at_once_and_a_wrong_frame_never() {
        let mut fresh = probation(ProbationPolicy::default());
        assert_eq!(fresh.count_failure(FailureKind::Panic), Some(Reason::Panic));
        for _ in 0..100 {
            assert_eq!(fresh.count_failure(FailureKind::Shape), None);
        }
    }

    #[test]
    fn rates_count_from_the_minimum_on_and_each_has_its_reason() {
        for (kind, reason) in [
            (FailureKind::Nan, Reason::NanRate),
            (FailureKind::Deadline, Reason::DeadlineRate),
            (FailureKind::Error, Reason::ErrorRate),
        ] {
            let mut fresh = probation(ProbationPolicy::default());
            for _ in 0..3 {
                assert_eq!(fresh.count_failure(kind), None);
            }
            assert_eq!(fresh.count_failure(kind), Some(reason));
        }
        let mut good = probation(ProbationPolicy::default());
        for _ in 0..9 {
            good.count_answer();
        }
        assert_eq!(good.count_failure(FailureKind::Error), None, "one in ten");
    }

    #[test]
    fn crashes_that_a_spare_heals_may_be_allowed() {
        let policy = ProbationPolicy {
            crashes: 1,
            ..ProbationPolicy::default()
        };
        let mut fresh = probation(policy);
        assert_eq!(fresh.count_failure(FailureKind::Crash), None);
        assert_eq!(fresh.count_failure(FailureKind::Crash), Some(Reason::Crash));
    }

    #[test]
    fn it_is_over_after_its_rows() {
        let fresh = probation(ProbationPolicy::default());
        assert!(!fresh.is_over(163));
        assert!(fresh.is_over(164));
    }
}
