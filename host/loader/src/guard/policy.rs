//! What the guard holds a model to, and how it names what went wrong.

use fusebox_plugin_api::error::{PluginError, Status};
use serde::{Deserialize, Serialize};

/// What a guard holds a model to. The default holds it to nothing but sane answers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardPolicy {
    /// Longest that one prediction may take, microseconds. A later answer counts as none.
    pub deadline_us: Option<u64>,
    /// When the model is no longer asked; `None` asks it for ever.
    pub breaker: Option<BreakerConfig>,
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
    /// The model panicked in an earlier call; it was not asked.
    Poisoned,
}

impl FailureKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Nan,
        Self::Deadline,
        Self::Panic,
        Self::Crash,
        Self::Shape,
        Self::BreakerOpen,
        Self::Poisoned,
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
        }
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
