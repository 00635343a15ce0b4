//! What stays mapped: the code of retired generations, counted and limited.
//!
//! A library is never unloaded, so every native reload leaves its code behind. The clean pages cost
//! nothing; the dirty ones are read from the kernel's own account of this process.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::link::lock;
use crate::clock::Clock;

/// The account is read again after this long, because reading it takes as long as it is large.
const REFRESH_NS: u64 = 2_000_000_000;

/// Limits on what stays mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakLimits {
    /// Dirty memory of retired code above which the operator is warned, KiB.
    pub soft_kib: u64,
    /// Above which no more code is loaded into this process, KiB.
    pub hard_kib: u64,
    /// Whether plugins then go to a worker process instead of being refused.
    pub overflow_to_worker: bool,
}

impl Default for LeakLimits {
    fn default() -> Self {
        Self {
            soft_kib: 256 << 10,
            hard_kib: 1 << 20,
            overflow_to_worker: false,
        }
    }
}

/// The figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeakFigures {
    /// Libraries that were loaded into this process.
    pub generations_mapped: u64,
    /// Those of them whose last instance is gone.
    pub generations_leaked: u64,
    /// Private dirty memory of their copies, KiB.
    pub leaked_kib: u64,
}

/// The account.
#[derive(Debug, Default)]
pub struct Leaks {
    limits: LeakLimits,
    mapped: AtomicU64,
    retired: Mutex<BTreeSet<PathBuf>>,
    leaked_kib: AtomicU64,
    refreshed_ns: AtomicU64,
    /// Whether code was retired or taken up again since the last reading.
    is_reading_due: AtomicBool,
    is_warned: AtomicBool,
}

impl Leaks {
    /// An account with limits.
    #[must_use]
    pub fn new(limits: LeakLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> LeakLimits {
        self.limits
    }

    pub(crate) fn count_mapped(&self) {
        self.mapped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the private copy of a library that no instance uses any more.
    pub(crate) fn count_retired(&self, copy: &Path) {
        lock(&self.retired).insert(copy.to_owned());
        self.is_reading_due.store(true, Ordering::Release);
    }

    /// A library that was retired is in use again.
    pub(crate) fn count_revived(&self, copy: &Path) {
        lock(&self.retired).remove(copy);
        self.is_reading_due.store(true, Ordering::Release);
    }

    /// Whether no more code may be loaded into this process.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.leaked_kib.load(Ordering::Relaxed) > self.limits.hard_kib
    }

    /// Reads the kernel's account where something changed and the last reading is old, and gives a
    /// warning once. To be called again and again: a change soon after a reading is read later.
    pub(crate) fn refresh(&self, clock: &dyn Clock) -> Option<String> {
        if !self.is_reading_due.load(Ordering::Acquire) {
            return None;
        }
        let (now_ns, last_ns) = (clock.now_ns(), self.refreshed_ns.load(Ordering::Relaxed));
        if last_ns != 0 && now_ns.saturating_sub(last_ns) < REFRESH_NS {
            return None;
        }
        self.refreshed_ns.store(now_ns.max(1), Ordering::Relaxed);
        self.read_now();
        let (kib, soft) = (
            self.leaked_kib.load(Ordering::Relaxed),
            self.limits.soft_kib,
        );
        let is_first = kib > soft && !self.is_warned.swap(true, Ordering::Relaxed);
        is_first.then(|| {
            format!(
                "code of retired generations holds {kib} KiB; {soft} are the soft limit; restart \
                 at a quiet moment, or move plugins that change often to the worker tier"
            )
        })
    }

    /// Reads the kernel's account.
    pub fn read_now(&self) {
        self.is_reading_due.store(false, Ordering::Release);
        let retired = lock(&self.retired).clone();
        if retired.is_empty() {
            self.leaked_kib.store(0, Ordering::Relaxed);
        } else if let Ok(smaps) = fs::read_to_string("/proc/self/smaps") {
            self.leaked_kib
                .store(dirty_kib(&smaps, &retired), Ordering::Relaxed);
        }
    }

    /// The figures as of the last reading.
    #[must_use]
    pub fn figures(&self) -> LeakFigures {
        LeakFigures {
            generations_mapped: self.mapped.load(Ordering::Relaxed),
            generations_leaked: lock(&self.retired).len() as u64,
            leaked_kib: self.leaked_kib.load(Ordering::Relaxed),
        }
    }
}

/// Private dirty KiB of the mappings of these files.
fn dirty_kib(smaps: &str, files: &BTreeSet<PathBuf>) -> u64 {
    let (mut is_ours, mut total) = (false, 0);
    for line in smaps.lines() {
        if let Some(rest) = line.strip_prefix("Private_Dirty:") {
            let kib = rest.trim().trim_end_matches("kB").trim().parse::<u64>();
            total += if is_ours { kib.unwrap_or(0) } else { 0 };
        } else if line
            .split_once(' ')
            .is_some_and(|(word, _)| !word.ends_with(':'))
        {
            // A mapping begins: its file stands after five columns.
            let path = line.find('/').map(|at| Path::new(&line[at..]));
            is_ours = path.is_some_and(|path| files.contains(path));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SMAPS: &str = "\
7f0000000000-7f0000001000 rw-p 00000000 08:01 42 /cache/a b-1.so
Size:                  4 kB
Private_Dirty:         4 kB
7f0000001000-7f0000002000 rw-p 00000000 08:01 43 /cache/c-2.so
Private_Dirty:        16 kB
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
Private_Dirty:        64 kB
7f0000003000-7f0000004000 r--p 00000000 08:01 42 /cache/a b-1.so
Private_Dirty:         8 kB
VmFlags: rd mr mw
";

    #[test]
    fn only_the_copies_of_retired_code_count() {
        let files = BTreeSet::from([PathBuf::from("/cache/a b-1.so")]);
        assert_eq!(dirty_kib(SMAPS, &files), 12);
    }

    /// Any file that is mapped and written to by this process stands in for a library.
    fn stand_ins() -> Vec<PathBuf> {
        let own = fs::read_to_string("/proc/self/maps").unwrap();
        let paths = own
            .lines()
            .filter_map(|line| Some(&line[line.find('/')?..]));
        paths.map(PathBuf::from).collect()
    }

    fn limitless() -> Leaks {
        Leaks::new(LeakLimits {
            soft_kib: 0,
            hard_kib: 0,
            overflow_to_worker: false,
        })
    }

    #[test]
    fn a_warning_is_given_once_and_readings_are_rare() {
        let (leaks, clock) = (limitless(), ManualClock::default());
        for path in stand_ins() {
            leaks.count_retired(&path);
        }
        clock.advance_ns(1);
        assert!(leaks.refresh(&clock).is_some());
        assert!(leaks.is_over());
        assert_eq!(leaks.refresh(&clock), None);
        clock.advance_ns(REFRESH_NS);
        leaks.count_retired(Path::new("/cache/c-2.so"));
        assert_eq!(leaks.refresh(&clock), None, "it was said already");
    }

    #[test]
    fn what_retires_soon_after_a_reading_is_read_later_though_nothing_retires_then() {
        let (leaks, clock) = (limitless(), ManualClock::default());
        clock.advance_ns(1);
        leaks.count_retired(Path::new("/cache/c-2.so"));
        assert_eq!(leaks.refresh(&clock), None);
        for path in stand_ins() {
            leaks.count_retired(&path);
        }
        assert_eq!(leaks.refresh(&clock), None, "too soon");
        assert!(!leaks.is_over());
        clock.advance_ns(REFRESH_NS);
        assert!(leaks.refresh(&clock).is_some());
        assert!(leaks.is_over());
    }
}
