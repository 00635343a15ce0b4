//! Agreement on LightGBM's number of threads among everything that runs in this process.
//!
//! LightGBM keeps the number in one global variable, sizes per-thread buffers by it and reads it
//! again at each parallel region; two calls that disagree can write outside those buffers. So a
//! call that uses its threads holds a [`Grant`], and all grants of one moment have the same number.
//! A fit waits for its own number, because it was asked for; a call whose result does not depend on
//! it shares whatever number is in force. Single-row prediction uses no threads and needs no grant.
//!
//! Idle OpenMP threads should sleep rather than spin (`OMP_WAIT_POLICY=passive`), which the host
//! sets for its process before this library is loaded. Two generations of this plugin in one
//! process each have their own gate: the host gives them the same number of threads.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fusebox_plugin_api::prelude::*;

/// How often a waiting fit asks whether it was cancelled.
const POLL: Duration = Duration::from_millis(50);

/// Number in force, its holders, and who waits for which number.
#[derive(Debug)]
struct Gate {
    threads: u32,
    holders: usize,
    waiting: BTreeMap<u32, usize>,
}

impl Gate {
    /// Fits of the number in force join as long as nobody waits for another one.
    fn admits(&self, threads: u32) -> bool {
        let others_wait = self.waiting.keys().any(|waiting| *waiting != threads);
        self.holders == 0 || (self.threads == threads && !others_wait)
    }

    fn enter(&mut self, threads: u32) -> Grant {
        self.threads = threads;
        self.holders += 1;
        Grant { threads }
    }

    fn stop_waiting(&mut self, threads: u32) {
        let left = self
            .waiting
            .get(&threads)
            .map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => self.waiting.remove(&threads),
            left => self.waiting.insert(threads, left),
        };
    }
}

static GATE: Mutex<Gate> = Mutex::new(Gate {
    threads: 1,
    holders: 0,
    waiting: BTreeMap::new(),
});
static FREED: Condvar = Condvar::new();

fn gate() -> MutexGuard<'static, Gate> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to call LightGBM with [`threads`](Self::threads) threads, given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    threads: u32,
}

impl Grant {
    /// The number to pass as `num_threads`.
    pub(crate) fn threads(&self) -> u32 {
        self.threads
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        gate().holders -= 1;
        FREED.notify_all();
    }
}

/// Waits until `threads` is, or can become, the number in force.
pub(crate) fn acquire(threads: u32, is_cancelled: &dyn Fn() -> bool) -> Result<Grant> {
    let mut gate = gate();
    *gate.waiting.entry(threads).or_insert(0) += 1;
    while !gate.admits(threads) {
        if is_cancelled() {
            gate.stop_waiting(threads);
            return Err(PluginError::cancelled());
        }
        let waited = FREED.wait_timeout(gate, POLL);
        gate = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    gate.stop_waiting(threads);
    Ok(gate.enter(threads))
}

/// `threads` right away, or nothing where another number is in force or waited for.
pub(crate) fn try_acquire(threads: u32) -> Option<Grant> {
    let mut gate = gate();
    gate.admits(threads).then(|| gate.enter(threads))
}

/// The number in force, or one thread where none is; never waits.
pub(crate) fn share() -> Grant {
    let mut gate = gate();
    let threads = if gate.holders == 0 { 1 } else { gate.threads };
    gate.enter(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the gate is one for the process and other tests fit meanwhile.
    #[test]
    fn a_gate_never_holds_two_numbers_and_lets_a_waiter_in_first() {
        let mut gate = Gate {
            threads: 1,
            holders: 0,
            waiting: BTreeMap::new(),
        };
        assert!(gate.admits(4), "an idle gate takes any number");
        std::mem::forget(gate.enter(4));
        assert!(gate.admits(4) && !gate.admits(2));
        gate.waiting.insert(2, 1);
        assert!(
            !gate.admits(4),
            "a waiter for 2 is not overtaken by more of 4"
        );
        gate.stop_waiting(2);
        assert!(gate.admits(4));
        gate.holders = 0;
        assert!(gate.admits(2));
    }

    #[test]
    fn a_waiting_fit_can_be_cancelled_and_a_shared_grant_takes_the_number_in_force() {
        let held = acquire(97, &|| false).unwrap();
        assert_eq!(share().threads(), 97);
        assert!(try_acquire(98).is_none());
        let error = acquire(98, &|| true).unwrap_err();
        assert_eq!(error.status(), Status::Cancelled);
        drop(held);
        assert_eq!(acquire(98, &|| false).unwrap().threads(), 98);
    }
}
