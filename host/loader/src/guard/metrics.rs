//! What went through the models of one plugin generation, counted by their guards and readable
//! from any thread.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::policy::FailureKind;

/// Counters of one generation. Writing and reading need no lock.
#[derive(Debug, Default)]
pub struct ModelMetrics {
    calls: AtomicU64,
    rows: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
}

impl ModelMetrics {
    /// Counts a call of `rows` rows that took `latency_ns`, and what came of it.
    pub fn record(&self, rows: u64, latency_ns: u64, failure: Option<FailureKind>) {
        let _ = latency_ns;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if let Some(count) = failure.and_then(|kind| self.failures.get(kind as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts as they are now.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            calls: self.calls.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
        }
    }
}

/// The counts of one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricsSnapshot {
    /// Predictions asked for.
    pub calls: u64,
    /// Rows in them.
    pub rows: u64,
}
