//! A bounded number of threads for work whose result does not depend on it.

use rayon::ThreadPoolBuilder;

/// Does `work` on so many threads; where the system has none to give, on those that are there.
pub(super) fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    match ThreadPoolBuilder::new().num_threads(threads.max(1)).build() {
        Ok(pool) => pool.install(work),
        Err(error) => {
            tracing::warn!("{error}; the threads that are there are used");
            work()
        }
    }
}
