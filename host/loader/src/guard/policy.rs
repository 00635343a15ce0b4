//! What the guard holds a model to, and how it names what went wrong.

use fusebox_plugin_api::error::{PluginError, Status};
use serde::{Deserialize, Serialize};

/// A breaker remembers at most this many calls.
const MAX_WINDOW_CALLS: u32 = 100_000;

/// A deadline beyond ten minutes is a slip of the pen.
const MAX_DEADLINE_US: u64 = 600 * 1_000_000;

/// A breaker that stays open for more than a day is a model that should be removed.
const MAX_OPEN_MS: u64 = 24 * 60 * 60 * 1000;

/// What a guard holds a model to. The default holds it to nothing but sane answers, as a batch
/// wants it; [`live`](Self::live) is where a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardPolicy {
    /// Longest that one prediction may take, microseconds. A later answer counts as none.
    pub deadline_us: Option<u64>,
    /// When the model is no longer asked; `None` asks it for ever.
    pub breaker: Option<BreakerConfig>,
    /// Whether the model writes into a block of the guard's, with canaries around every row, so
    /// that a model that writes outside its cells is found out.
    pub canaries: bool,
}

impl GuardPolicy {
    /// Where a session begins: a breaker and canaries, and no deadline, which depends on the bars.
    #[must_use]
    pub fn live() -> Self {
        Self {
            deadline_us: None,
            breaker: Some(BreakerConfig::default()),
            canaries: true,
        }
    }

    /// Refuses a policy that makes no sense.
    ///
    /// # Errors
    /// [`PolicyError`] with every problem.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let mut problems = Vec::new();
        if let Some(deadline_us) = self.deadline_us {
            in_range(
                &mut problems,
                "deadline_us",
                deadline_us,
                1..=MAX_DEADLINE_US,
            );
        }
        if let Some(breaker) = &self.breaker {
            breaker.gather_problems(&mut problems);
        }
        PolicyError::of(problems)
    }
}

/// When a breaker opens, and how it closes again. Rates are of the newest `window` calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Calls that the rates are taken over.
    pub window: u32,
    /// Calls in the window below which nothing opens.
    pub minimum_calls: u32,
    /// Opens at this share of failed calls, whatever the reason.
    pub error_rate: f64,
    /// Opens at this share of answers that are no numbers.
    pub nan_rate: f64,
    /// Opens at this share of late answers.
    pub deadline_rate: f64,
    /// How long it stays open before it lets trial calls through, milliseconds.
    pub open_ms: u64,
    /// Trial calls in a row that must succeed to close it.
    pub trial_calls: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: 100,
            minimum_calls: 20,
            error_rate: 0.5,
            nan_rate: 0.2,
            deadline_rate: 0.2,
            open_ms: 30_000,
            trial_calls: 5,
        }
    }
}

impl BreakerConfig {
    /// Refuses a breaker that makes no sense.
    ///
    /// # Errors
    /// [`PolicyError`] with every problem.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let mut problems = Vec::new();
        self.gather_problems(&mut problems);
        PolicyError::of(problems)
    }

    fn gather_problems(&self, problems: &mut Vec<String>) {
        let window = u64::from(self.window);
        let most = u64::from(MAX_WINDOW_CALLS);
        in_range(problems, "breaker.window", window, 1..=most);
        let minimum = u64::from(self.minimum_calls);
        in_range(
            problems,
            "breaker.minimum_calls",
            minimum,
            1..=window.max(1),
        );
        for (name, rate) in [
            ("error_rate", self.error_rate),
            ("nan_rate", self.nan_rate),
            ("deadline_rate", self.deadline_rate),
        ] {
            if !(rate > 0.0 && rate <= 1.0) {
                problems.push(format!(
                    "`breaker.{name}` is {rate}; it is a share above 0, and 1 at most"
                ));
            }
        }
        in_range(problems, "breaker.open_ms", self.open_ms, 1..=MAX_OPEN_MS);
        let trials = u64::from(self.trial_calls);
        in_range(problems, "breaker.trial_calls", trials, 1..=most);
    }

    /// The nearest settings that keep memory and time bounded, for whoever did not validate.
    pub(super) fn bounded(mut self) -> Self {
        self.window = self.window.clamp(1, MAX_WINDOW_CALLS);
        self.minimum_calls = self.minimum_calls.clamp(1, self.window);
        self.open_ms = self.open_ms.clamp(1, MAX_OPEN_MS);
        self.trial_calls = self.trial_calls.max(1);
        self
    }
}

fn in_range(
    problems: &mut Vec<String>,
    name: &str,
    value: u64,
    range: std::ops::RangeInclusive<u64>,
) {
    if !range.contains(&value) {
        problems.push(format!(
            "`{name}` is {value}; it lies between {} and {}",
            range.start(),
            range.end()
        ));
    }
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the guard's policy makes no sense: {}; correct these settings", .problems.join("; "))]
pub struct PolicyError {
    /// Every problem, each naming its key.
    pub problems: Vec<String>,
}

impl PolicyError {
    fn of(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self { problems })
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// Trial calls go through.
    HalfOpen,
}

impl BreakerState {
    /// Name in metrics and messages, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Why a call gave no answer that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The model answered with an error.
    Error,
    /// An answer was no finite number, was missing, or was no distribution.
    Nan,
    /// The answer came too late.
    Deadline,
    /// The model panicked in this call.
    Panic,
    /// The process that ran the model is gone.
    Crash,
    /// The caller's frame has another shape than the model takes.
    Shape,
    /// The breaker is open; the model was not asked.
    BreakerOpen,
    /// The model panicked or wrote outside its cells in an earlier call; it was not asked.
    Poisoned,
    /// The model wrote outside its cells in this call.
    OutOfBounds,
}

impl FailureKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Error,
        Self::Nan,
        Self::Deadline,
        Self::Panic,
        Self::Crash,
        Self::Shape,
        Self::BreakerOpen,
        Self::Poisoned,
        Self::OutOfBounds,
    ];

    /// Name in metrics and messages, in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Nan => "nan",
            Self::Deadline => "deadline",
            Self::Panic => "panic",
            Self::Crash => "crash",
            Self::Shape => "shape",
            Self::BreakerOpen => "breaker-open",
            Self::Poisoned => "poisoned",
            Self::OutOfBounds => "out-of-bounds",
        }
    }

    /// Whether the model was asked in a call that failed so. What was not asked has no latency and
    /// says nothing of the model.
    #[must_use]
    pub const fn was_asked(self) -> bool {
        !matches!(self, Self::Shape | Self::BreakerOpen | Self::Poisoned)
    }

    /// The kind of an error that a model itself returned.
    #[must_use]
    pub fn of_error(error: &PluginError) -> Self {
        match error.status() {
            Status::Panic => Self::Panic,
            Status::Deadline => Self::Deadline,
            Status::Crashed => Self::Crash,
            _ => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        assert_eq!(GuardPolicy::default().validate(), Ok(()));
        assert_eq!(GuardPolicy::live().validate(), Ok(()));
        let breaker = BreakerConfig {
            window: 10,
            minimum_calls: 11,
            error_rate: f64::NAN,
            nan_rate: 0.0,
            deadline_rate: 1.5,
            open_ms: 0,
            trial_calls: 0,
        };
        let policy = GuardPolicy {
            deadline_us: Some(0),
            breaker: Some(breaker),
            canaries: false,
        };
        let problems = policy.validate().unwrap_err().problems;
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "deadline_us",
                "breaker.minimum_calls",
                "breaker.error_rate",
                "breaker.nan_rate",
                "breaker.deadline_rate",
                "breaker.open_ms",
                "breaker.trial_calls",
            ]
        );
        assert_eq!(breaker.validate().unwrap_err().problems, problems[1..]);
    }

    #[test]
    fn kinds_lie_at_their_numbers_and_are_named_as_they_are_written() {
        for (number, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            let written = serde_json::to_value(kind).unwrap();
            assert_eq!(written, kind.name());
        }
    }
}
