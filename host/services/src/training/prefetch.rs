//! Batches gathered ahead of a training loop, on a thread of their own.
//!
//! The order of batches is fixed before the thread starts ([`BatchOrder`]), and one thread gathers
//! them in that order: timing decides when a batch is ready, never which one comes next. Used
//! batches go back to be filled again, so memory is that of `depth` batches and the one in use.

use std::sync::mpsc;
use std::thread;

use fusebox_engine::dataset::{Batch, BatchOrder, Windows};

/// Why batches cannot be gathered ahead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrefetchError {
    /// Nothing may be gathered ahead.
    #[error("a prefetch depth of 0 would never have a batch ready; set at least 1")]
    NoDepth,
    /// The thread did not start.
    #[error("cannot start the thread that gathers batches: {0}; lower the number of threads")]
    Thread(#[from] std::io::Error),
}

/// Gives `each` the batches of one epoch in order, while the next `depth` are gathered beside it.
/// Ends early with the first error of `each`, or where it says so with `Ok(false)`.
///
/// # Errors
/// [`PrefetchError`] as an `E`, or whatever `each` answers.
pub fn prefetch<E: From<PrefetchError>>(
    windows: &Windows<'_>,
    order: &BatchOrder,
    (epoch, depth): (u64, usize),
    mut each: impl FnMut(&Batch) -> Result<bool, E>,
) -> Result<(), E> {
    if depth == 0 {
        return Err(PrefetchError::NoDepth.into());
    }
    let positions = order.positions(windows.len(), epoch);
    thread::scope(|scope| {
        let (full_to, full) = mpsc::sync_channel::<Batch>(depth);
        let (used_to, used) = mpsc::channel::<Batch>();
        let positions = &positions;
        let gather = move || {
            for chunk in order.chunks(positions) {
                let mut batch = used.try_recv().unwrap_or_default();
                batch.gather(windows, chunk);
                // The loop has ended early; nobody waits for more.
                if full_to.send(batch).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("fusebox-batches".to_owned())
            .spawn_scoped(scope, gather)
            .map_err(|error| E::from(PrefetchError::Thread(error)))?;
        for batch in full {
            if !each(&batch)? {
                break;
            }
            // The gatherer may have ended; the batch is then simply freed.
            let _ = used_to.send(batch);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};

    use super::*;

    fn dataset(rows: usize) -> Dataset {
        let schema = DatasetSchema {
            features: vec!["a".to_owned(), "b".to_owned()],
            labels: vec!["direction".to_owned()],
            classes: Vec::new(),
        };
        let times: Vec<i64> = (0..rows as i64).collect();
        let columns = BatchColumns {
            features: (0..2 * rows).map(|i| i as f32).collect::<Vec<_>>().into(),
            labels: (0..rows).map(|i| i as f32).collect::<Vec<_>>().into(),
            weight: vec![1.0; rows].into(),
            event_ns: times.clone().into(),
            label_end_ns: times.into(),
            symbol: vec![0; rows].into(),
            segment: vec![0; rows].into(),
            role: vec![1; rows].into(),
        };
        let batch = DatasetBatch::new(&schema, columns).unwrap();
        Dataset::new(schema, vec![batch]).unwrap()
    }

    const ORDER: BatchOrder = BatchOrder {
        batch_size: 7,
        shuffle: Some(11),
        drop_last: false,
    };

    fn collect(data: &Dataset, depth: usize, slow: bool) -> Vec<Batch> {
        let windows = Windows::of(data, 3);
        let mut all = Vec::new();
        let done: Result<(), PrefetchError> = prefetch(&windows, &ORDER, (2, depth), |batch| {
            if slow {
                thread::sleep(std::time::Duration::from_millis(2));
            }
            all.push(batch.clone());
            Ok(true)
        });
        done.unwrap();
        all
    }

    #[test]
    fn the_order_is_that_of_the_plan_whatever_the_timing() {
        let data = dataset(60);
        let windows = Windows::of(&data, 3);
        let positions = ORDER.positions(windows.len(), 2);
        let expected: Vec<Batch> = ORDER
            .chunks(&positions)
            .map(|chunk| {
                let mut batch = Batch::default();
                batch.gather(&windows, chunk);
                batch
            })
            .collect();
        assert_eq!(expected.iter().map(Batch::len).sum::<usize>(), 58);
        let first = &expected[0];
        let end = first.labels[0] as usize;
        let window: Vec<f32> = (2 * (end - 2)..2 * (end + 1)).map(|i| i as f32).collect();
        assert_eq!(first.features[..6], window);
        for (depth, slow) in [(1, false), (1, true), (4, false), (4, true)] {
            assert_eq!(collect(&data, depth, slow), expected, "{depth} {slow}");
        }
    }

    #[test]
    fn a_loop_may_end_early_and_errors_come_through() {
        let data = dataset(60);
        let windows = Windows::of(&data, 1);
        let mut seen = 0;
        let stopped: Result<(), PrefetchError> = prefetch(&windows, &ORDER, (0, 2), |_| {
            seen += 1;
            Ok(seen < 3)
        });
        assert!(stopped.is_ok() && seen == 3);
        let failed: Result<(), PrefetchError> =
            prefetch(&windows, &ORDER, (0, 2), |_| Err(PrefetchError::NoDepth));
        assert!(failed.is_err());
        let refused: Result<(), PrefetchError> = prefetch(&windows, &ORDER, (0, 0), |_| Ok(true));
        assert!(matches!(refused, Err(PrefetchError::NoDepth)));
    }
}
