//! The words of a reload: its states, the codes of what went wrong, and a refusal.

use std::fmt;

use fusebox_plugin_api::error::{PluginError, Status};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// Where a generation stands. Each is entered once, in this order, unless something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its commit marker was found.
    Seen,
    /// Its files stopped changing.
    Settled,
    /// Its digests and its right to run were checked; the library lies in a private copy.
    Verified,
    /// Machine, note and entry of the library were read without running it.
    Scanned,
    /// A throw-away child loaded it and lived.
    Probed,
    /// Its code is in the process that is going to run it.
    Mapped,
    /// An instance exists.
    Created,
    /// The instance took over the state, by snapshot or by replay.
    Restored,
    /// The instance touched what its first answer would have to wait for.
    Warmed,
    /// A fresh instance gave the known answers.
    GoldenChecked,
    /// It answered the same rows as the live generation, unseen.
    Shadow,
    /// It answers.
    Promoted,
    /// It answers, and the generation before it waits to take over again.
    Probation,
    /// It answers no more.
    Retired,
    /// Its threads ended.
    Quiesced,
    /// Its instance is gone. In-process code stays mapped, on purpose.
    Destroyed,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 16] = [
        Self::Seen,
        Self::Settled,
        Self::Verified,
        Self::Scanned,
        Self::Probed,
        Self::Mapped,
        Self::Created,
        Self::Restored,
        Self::Warmed,
        Self::GoldenChecked,
        Self::Shadow,
        Self::Promoted,
        Self::Probation,
        Self::Retired,
        Self::Quiesced,
        Self::Destroyed,
    ];
}

/// Why a generation was refused, sent back, or a step was left out. The names are stable: programs
/// may act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The files kept changing, or one that is named never came.
    Unfinished,
    /// The manifest is not usable.
    Manifest,
    /// A file is not the one that was committed.
    Digest,
    /// A file cannot be read or written.
    Io,
    /// The operator's trust policy refuses it.
    Untrusted,
    /// Its tier cannot be given here.
    Isolation,
    /// The library is none for this machine or this contract.
    Library,
    /// The child that loaded it first did not live.
    Probe,
    /// The linker refuses it, or it does not give its tables.
    Map,
    /// No instance could be made.
    Create,
    /// It takes or answers something else than the live generation.
    Interface,
    /// It was trained on other features than those of the rows here, or its scaler or readout
    /// cannot be used here.
    Features,
    /// Neither a snapshot nor a replay gave it a state.
    State,
    /// It could not be warmed.
    Warmup,
    /// It does not give the known answers.
    Golden,
    /// It failed, or was too far off or too slow, beside the live generation.
    Shadow,
    /// It could not be brought in step when it was to take over.
    CatchUp,
    /// A step took longer than it may.
    Timeout,
    /// Too much code of retired generations is mapped.
    LeakLimit,
    /// Errors were more frequent than probation allows.
    ErrorRate,
    /// Answers that are no numbers were more frequent than probation allows.
    NanRate,
    /// Late answers were more frequent than probation allows.
    DeadlineRate,
    /// It panicked.
    Panic,
    /// It wrote outside its cells.
    OutOfBounds,
    /// The process that ran it died.
    Crash,
    /// Its breaker opened.
    Breaker,
    /// The operator went back to another version.
    Operator,
    /// It was revoked after it was loaded.
    Revoked,
    /// Another version took its place before it was proven.
    Superseded,
    /// The supervisor is stopping.
    Stopping,
    /// Left out: the library is mapped already.
    SkippedMapped,
    /// Left out: neither generation has a state.
    SkippedStateless,
    /// Left out: there is no generation to take over from.
    SkippedFirst,
    /// Left out: the package has no known answers.
    SkippedNoGolden,
    /// Left out: the policy asks for no rows in shadow, or for no probation.
    SkippedPolicy,
    /// Left out: this program has no way to probe.
    SkippedNoProber,
    /// Left out: its code runs in a child process anyway.
    SkippedWorker,
    /// Left out: the instance is warm already.
    SkippedStandby,
}

impl Reason {
    /// Whether it says that a step was left out, which is no failure.
    #[must_use]
    pub fn is_skip(self) -> bool {
        self >= Self::SkippedMapped
    }

    /// Whether it tells of how a generation behaved, or of an operator's will. Other refusals may
    /// be due to the configuration, the keyring or the machine of that moment.
    #[must_use]
    pub fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::ErrorRate
                | Self::NanRate
                | Self::DeadlineRate
                | Self::Panic
                | Self::OutOfBounds
                | Self::Crash
                | Self::Breaker
                | Self::Shadow
                | Self::Golden
                | Self::Operator
        )
    }

    /// The name in audit events, such as `nan-rate`.
    #[must_use]
    pub fn name(self) -> String {
        let text = serde_json::to_string(&self).unwrap_or_default();
        text.trim_matches('"').to_owned()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Why a generation goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// What is wrong, where, and what to do next.
    pub message: String,
    /// Whether the model package alone is the cause, so that no other code helps it.
    pub is_of_weights: bool,
}

impl Rejection {
    /// A refusal with its message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            is_of_weights: false,
        }
    }

    /// The same, of a model package whatever code it runs with.
    #[must_use]
    pub fn of_weights(mut self) -> Self {
        self.is_of_weights = true;
        self
    }

    /// A refusal because the plugin answered a call of the host with an error.
    #[must_use]
    pub fn of_plugin(reason: Reason, error: &PluginError) -> Self {
        let reason = match error.status() {
            Status::Panic => Reason::Panic,
            Status::Crashed => Reason::Crash,
            _ => reason,
        };
        Self::new(reason, error.to_string())
    }

    /// Whether a writer that is not done yet could be the cause.
    #[must_use]
    pub fn may_be_unfinished(&self) -> bool {
        matches!(self.reason, Reason::Manifest | Reason::Digest | Reason::Io)
    }
}

impl From<LoadError> for Rejection {
    fn from(error: LoadError) -> Self {
        let reason = match &error {
            LoadError::Broken { .. } | LoadError::Missing { .. } => Reason::Manifest,
            LoadError::Io { .. } => Reason::Io,
            LoadError::Digest { .. } => Reason::Digest,
            LoadError::Isolation { .. } => Reason::Isolation,
            LoadError::NoArtifact { .. }
            | LoadError::NotALibrary { .. }
            | LoadError::WrongAbi { .. }
            | LoadError::NoEntry { .. }
            | LoadError::Mismatch { .. } => Reason::Library,
            LoadError::Worker { source, .. } if source.status() == Status::Crashed => Reason::Crash,
            LoadError::Map { .. } | LoadError::Import { .. } | LoadError::Worker { .. } => {
                Reason::Map
            }
            LoadError::Trust(_) => Reason::Untrusted,
        };
        Self::new(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_and_skips_are_no_failures() {
        assert_eq!(Reason::NanRate.name(), "nan-rate");
        assert!(Reason::SkippedNoProber.is_skip());
        assert!(!Reason::Stopping.is_skip());
    }

    #[test]
    fn states_are_in_order() {
        assert!(State::ALL.is_sorted());
    }
}
