//! `[engine.live]`: how models stay live while they are replaced.

use fusebox_loader::guard::{BreakerConfig, GuardPolicy};
use fusebox_loader::live::{ProbationPolicy, SwapPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[engine.live]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawLive {
    /// Directories with model packages, as `<directory>/<name>/<version>/model.toml`; relative to
    /// the working directory.
    pub(crate) model_dirs: Vec<String>,
    /// Longest that one prediction may take, microseconds; a later answer counts as none. Without
    /// it only the breaker of a worker limits a call.
    #[schemars(range(min = 1))]
    pub(crate) deadline_us: Option<u64>,
    /// Rows that the host keeps for bringing generations up to date.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub(crate) history_rows: u32,
    /// Rows that warm a generation which cannot take over the state of the one before it.
    pub(crate) replay_rows: u32,
    /// Rows that a new generation answers in shadow before it takes over; 0 is none.
    pub(crate) shadow_rows: u32,
    /// Largest difference between its answers and the live ones in shadow; without it any is
    /// allowed.
    #[schemars(range(min = 0))]
    pub(crate) max_difference: Option<f64>,
    /// Rows that a new generation answers while the one before it waits to take over again.
    pub(crate) probation_rows: u32,
    /// Share of failed calls in probation above which the old generation takes over again.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) probation_error_rate: f64,
    /// Whether a version that is revoked while it is live gives way by itself to one that is
    /// allowed; otherwise it stays live, and the audit log says so.
    pub(crate) leave_revoked: bool,
    /// Whether nothing goes live whose package does not record that its features passed an audit,
    /// files that were dropped into a models directory included. Writing a package demands an
    /// audit in any case; this takes `--allow-unaudited` away as well.
    pub(crate) require_audit: bool,
    /// Share of failed calls from which the breaker opens; the model is then not asked for a while.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) breaker_error_rate: f64,
    /// How long the breaker stays open before it lets trial calls through, milliseconds.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(crate) breaker_open_ms: u64,
}

impl Default for RawLive {
    fn default() -> Self {
        let swap = SwapPolicy::default();
        let breaker = BreakerConfig::default();
        let rows = |rows: usize| u32::try_from(rows).unwrap_or(u32::MAX);
        Self {
            model_dirs: vec![".fusebox/models".to_owned()],
            deadline_us: GuardPolicy::live().deadline_us,
            history_rows: rows(swap.history_rows),
            replay_rows: rows(swap.replay_rows),
            shadow_rows: u32::try_from(swap.shadow_rows).unwrap_or(u32::MAX),
            max_difference: swap.max_difference,
            probation_rows: rows(swap.probation.rows),
            probation_error_rate: swap.probation.error_rate,
            leave_revoked: swap.leave_revoked,
            require_audit: false,
            breaker_error_rate: breaker.error_rate,
            breaker_open_ms: breaker.open_ms,
        }
    }
}

impl RawLive {
    /// What a new generation has to prove.
    pub(crate) fn swap(&self) -> SwapPolicy {
        SwapPolicy {
            history_rows: self.history_rows as usize,
            replay_rows: self.replay_rows as usize,
            shadow_rows: u64::from(self.shadow_rows),
            max_difference: self.max_difference,
            probation: ProbationPolicy {
                rows: self.probation_rows as usize,
                error_rate: self.probation_error_rate,
                ..ProbationPolicy::default()
            },
            leave_revoked: self.leave_revoked,
            ..SwapPolicy::default()
        }
    }

    /// What the answers of a live model are held to.
    pub(crate) fn guard(&self) -> GuardPolicy {
        GuardPolicy {
            deadline_us: self.deadline_us,
            breaker: Some(BreakerConfig {
                error_rate: self.breaker_error_rate,
                open_ms: self.breaker_open_ms,
                ..BreakerConfig::default()
            }),
            ..GuardPolicy::live()
        }
    }
}
