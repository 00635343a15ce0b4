//! A histogram of latencies that any thread may write and any thread may read, without a lock.
//!
//! Buckets are log-linear: 32 to every doubling, so a bucket is at most 1/32 of its values wide and
//! its middle is off by [`RELATIVE_ERROR`] at most; values below 32 ns have a bucket each. It is
//! kept here rather than taken from a crate because the usual one needs exclusive access to record,
//! that is a lock or a queue in the path of every prediction, for what is one atomic addition.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets per doubling, as a power of two.
const SUB_BITS: u32 = 5;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;

/// Latencies from 2^35 ns, 34 s, on share the last bucket.
const MAX_BITS: u32 = 35;
const BUCKETS: usize = ((MAX_BITS - SUB_BITS + 1) as usize) << SUB_BITS;

/// A quantile of a snapshot lies within this share of the exact one, as long as that is below 34 s.
pub const RELATIVE_ERROR: f64 = 1.0 / 64.0;

/// Counts of latencies, about 8 KiB.
pub struct LatencyHistogram {
    buckets: Box<[AtomicU64; BUCKETS]>,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl std::fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatencyHistogram")
            .field("count", &self.snapshot().count())
            .finish_non_exhaustive()
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl LatencyHistogram {
    /// Counts one latency. Never waits, never allocates.
    pub fn record(&self, latency_ns: u64) {
        if let Some(bucket) = self.buckets.get(bucket_of(latency_ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(latency_ns, Ordering::Relaxed);
        // Nearly always below the maximum, so the write is worth avoiding.
        if latency_ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.fetch_max(latency_ns, Ordering::Relaxed);
        }
    }

    /// The counts of this moment. What is recorded meanwhile may be in it in part.
    #[must_use]
    pub fn snapshot(&self) -> LatencySnapshot {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        LatencySnapshot {
            count: counts.iter().sum(),
            counts,
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            max_ns: self.max_ns.load(Ordering::Relaxed),
        }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencySnapshot {
    counts: Vec<u64>,
    count: u64,
    sum_ns: u64,
    max_ns: u64,
}

impl LatencySnapshot {
    /// How many latencies were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, exact, nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The longest, exact, nanoseconds; `None` of nothing.
    #[must_use]
    pub fn max_ns(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max_ns)
    }

    /// The latency that a share `quantile` of all calls does not exceed, nanoseconds, within
    /// [`RELATIVE_ERROR`]; `None` of nothing.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return Some(middle_of(bucket).min(self.max_ns));
            }
        }
        None
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << MAX_BITS) - 1);
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let exponent = value.ilog2() - SUB_BITS;
    // The leading bit and the `SUB_BITS` bits after it, and one row of buckets per doubling.
    (((u64::from(exponent)) << SUB_BITS) + (value >> exponent)) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let exponent = (bucket >> SUB_BITS) - 1;
    let lowest = (SUB_BUCKETS + (bucket & (SUB_BUCKETS - 1))) << exponent;
    lowest + ((1 << exponent) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_and_hold_their_middles() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(middle_of(bucket)), bucket);
        }
        let mut last = 0;
        for value in (0..100_000).chain((17..MAX_BITS).map(|bits| 1 << bits)) {
            let bucket = bucket_of(value);
            assert!(bucket >= last && bucket < BUCKETS, "{value}");
            last = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert!(size_of::<[AtomicU64; BUCKETS]>() <= 8 * 1024);
    }

    #[test]
    fn nothing_has_no_quantile() {
        let snapshot = LatencyHistogram::default().snapshot();
        assert_eq!(snapshot.quantile_ns(0.5), None);
        assert_eq!((snapshot.max_ns(), snapshot.count()), (None, 0));
    }

    proptest! {
        /// Against the quantiles of the sorted values themselves.
        #[test]
        fn quantiles_are_as_exact_as_stated(
            mut values in prop::collection::vec(
                (0_u32..34).prop_flat_map(|bits| 0..(2_u64 << bits)), 1..300),
        ) {
            let histogram = LatencyHistogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            let snapshot = histogram.snapshot();
            prop_assert_eq!(snapshot.count(), values.len() as u64);
            prop_assert_eq!(snapshot.sum_ns(), values.iter().sum::<u64>());
            prop_assert_eq!(snapshot.max_ns(), values.last().copied());
            for quantile in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
                let exact = values[rank - 1] as f64;
                let found = snapshot.quantile_ns(quantile).unwrap() as f64;
                prop_assert!((found - exact).abs() <= exact * RELATIVE_ERROR,
                    "{quantile}: {found} instead of {exact}");
            }
        }
    }
}
