//! What went through the models of one plugin generation, counted by their guards and readable
//! from any thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::histogram::LatencyHistogram;
use super::policy::FailureKind;

/// Counters of one generation. Writing and reading need no lock and, but for the snapshot, no
/// memory.
#[derive(Debug, Default)]
pub struct ModelMetrics {
    rows: AtomicU64,
    replayed_rows: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
    latency: LatencyHistogram,
    queue_depth: AtomicU64,
    queue_depth_max: AtomicU64,
}

impl ModelMetrics {
    /// Counts a call of `rows` rows that took `latency_ns`, and what came of it.
    pub fn record(&self, rows: u64, latency_ns: u64, failure: Option<FailureKind>) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.latency.record(latency_ns);
        if let Some(kind) = failure {
            self.count_failure(kind);
        }
    }

    /// Counts a call that the model was not asked in, for a reason that is none of its doing.
    pub fn record_unasked(&self, rows: u64, reason: FailureKind) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.count_failure(reason);
    }

    /// Counts rows of history that rebuilt state; they have no latency that a bar waited for.
    pub fn record_replay(&self, rows: u64, failure: Option<FailureKind>) {
        self.replayed_rows.fetch_add(rows, Ordering::Relaxed);
        if let Some(kind) = failure {
            self.count_failure(kind);
        }
    }

    fn count_failure(&self, kind: FailureKind) {
        if let Some(count) = self.failures.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A frame began to wait for its model.
    pub fn queue_entered(&self) {
        let depth = self.queue_depth.fetch_add(1, Ordering::Relaxed) + 1;
        self.queue_depth_max.fetch_max(depth, Ordering::Relaxed);
    }

    /// A frame no longer waits. Each call belongs to one of [`queue_entered`](Self::queue_entered).
    pub fn queue_left(&self) {
        let less = |depth: u64| Some(depth.saturating_sub(1));
        let (relaxed, queue) = (Ordering::Relaxed, &self.queue_depth);
        // The closure always answers, so the update cannot fail.
        let _ = queue.fetch_update(relaxed, relaxed, less);
    }

    /// The latencies, for quantiles that the snapshot does not have.
    #[must_use]
    pub fn latency(&self) -> &LatencyHistogram {
        &self.latency
    }

    /// How often calls failed so.
    #[must_use]
    pub fn failures(&self, kind: FailureKind) -> u64 {
        let count = self.failures.get(kind as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The counts as they are now.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        let latency = self.latency.snapshot();
        let by_kind = FailureKind::ALL.map(|kind| (kind, self.failures(kind)));
        let unasked: u64 = by_kind
            .iter()
            .filter(|(kind, _)| !kind.was_asked())
            .map(|(_, count)| count)
            .sum();
        let seconds = |quantile: f64| latency.quantile_ns(quantile).map(to_seconds);
        MetricsSnapshot {
            calls_total: latency.count() + unasked,
            rows_total: self.rows.load(Ordering::Relaxed),
            replayed_rows_total: self.replayed_rows.load(Ordering::Relaxed),
            failures_total: by_kind.into_iter().collect(),
            latency_count: latency.count(),
            latency_sum_seconds: to_seconds(latency.sum_ns()),
            latency_p50_seconds: seconds(0.5),
            latency_p90_seconds: seconds(0.9),
            latency_p99_seconds: seconds(0.99),
            latency_p999_seconds: seconds(0.999),
            latency_max_seconds: latency.max_ns().map(to_seconds),
            queue_depth: self.queue_depth.load(Ordering::Relaxed),
            queue_depth_max: self.queue_depth_max.load(Ordering::Relaxed),
        }
    }
}

fn to_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// The counts of one moment. Names are those that a Prometheus user expects: counters end in
/// `_total`, units are seconds and stand last. Quantiles are exact to
/// [`RELATIVE_ERROR`](super::histogram::RELATIVE_ERROR), sum and maximum are exact.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricsSnapshot {
    /// Predictions asked for, also those that the guard did not pass on.
    pub calls_total: u64,
    /// Rows in them.
    pub rows_total: u64,
    /// Rows of history that rebuilt state.
    pub replayed_rows_total: u64,
    /// Calls without an answer that may be used, by reason; every reason is present.
    pub failures_total: BTreeMap<FailureKind, u64>,
    /// Calls that the model was asked in; the latencies are theirs.
    pub latency_count: u64,
    /// Time in them.
    pub latency_sum_seconds: f64,
    /// Half of them took no longer.
    pub latency_p50_seconds: Option<f64>,
    /// Nine in ten took no longer.
    pub latency_p90_seconds: Option<f64>,
    /// 99 in 100 took no longer.
    pub latency_p99_seconds: Option<f64>,
    /// 999 in 1,000 took no longer.
    pub latency_p999_seconds: Option<f64>,
    /// The longest.
    pub latency_max_seconds: Option<f64>,
    /// Frames that wait for the model.
    pub queue_depth: u64,
    /// Most frames that ever waited.
    pub queue_depth_max: u64,
}

impl MetricsSnapshot {
    /// Calls without an answer that may be used, whatever the reason.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures_total.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_every_count() {
        let metrics = ModelMetrics::default();
        metrics.record(3, 1_000, None);
        metrics.record(1, 2_000, Some(FailureKind::Nan));
        metrics.record_unasked(2, FailureKind::BreakerOpen);
        metrics.record_replay(50, None);
        metrics.queue_entered();
        metrics.queue_entered();
        metrics.queue_left();
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.calls_total, snapshot.rows_total), (3, 6));
        assert_eq!(snapshot.replayed_rows_total, 50);
        assert_eq!(snapshot.failures(), 2);
        assert_eq!(snapshot.failures_total[&FailureKind::Nan], 1);
        assert_eq!(snapshot.latency_count, 2);
        assert!((snapshot.latency_sum_seconds - 3e-6).abs() < 1e-15);
        assert_eq!(snapshot.latency_max_seconds, Some(2e-6));
        assert_eq!((snapshot.queue_depth, snapshot.queue_depth_max), (1, 2));
        let json = serde_json::to_string(&snapshot).unwrap();
        assert!(json.contains(r#""breaker-open":1"#), "{json}");
        let back: MetricsSnapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(back, snapshot);
        for _ in 0..3 {
            metrics.queue_left();
        }
        assert_eq!(metrics.snapshot().queue_depth, 0, "never below nothing");
    }

    #[test]
    fn counts_of_several_threads_add_up() {
        let metrics = ModelMetrics::default();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let metrics = &metrics;
                scope.spawn(move || {
                    for call in 0..1_000 {
                        metrics.record(1, thread * 1_000 + call, None);
                    }
                });
            }
        });
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.calls_total, snapshot.rows_total), (4_000, 4_000));
    }
}
