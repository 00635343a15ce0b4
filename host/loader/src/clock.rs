//! The loader's clocks: the one seam through which time enters, so that tests decide what time it
//! is.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Two clocks: one for distances in time, one for dates.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Nanoseconds on the machine's monotonic clock. Every process of the machine reads the same
    /// one, so a deadline means the same to a worker.
    fn now_ns(&self) -> u64;

    /// Nanoseconds since 1970 UTC, for records that people read.
    fn unix_ns(&self) -> i64;
}

/// The clocks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(nanos(ClockId::Monotonic)).unwrap_or(0)
    }

    fn unix_ns(&self) -> i64 {
        nanos(ClockId::Realtime)
    }
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Clocks that stand still until they are moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ns: AtomicU64,
    unix_ns: AtomicI64,
}

impl ManualClock {
    /// Moves both clocks forward.
    pub fn advance_ns(&self, by: u64) {
        self.now_ns.fetch_add(by, Ordering::Relaxed);
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        self.unix_ns.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ns(&self) -> u64 {
        self.now_ns.load(Ordering::Relaxed)
    }

    fn unix_ns(&self) -> i64 {
        self.unix_ns.load(Ordering::Relaxed)
    }
}
