//! Windows of consecutive rows for sequence models: views of the matrix, never copies.

use fusebox_plugin_api::schema::{Dataset, DatasetView};

/// Every sample of a dataset whose window of `steps` rows lies inside one run of rows.
///
/// A run ends where the batch, the segment or the symbol does, so no window crosses a gap.
#[derive(Debug)]
pub struct Windows<'a> {
    views: Vec<DatasetView<'a>>,
    /// Batch and row of the last step of each window, in the order of the dataset.
    ends: Vec<(u32, u32)>,
    steps: usize,
    left_out: usize,
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window<'a> {
    /// `steps x columns` values, oldest step first: a slice of the dataset's matrix.
    pub values: &'a [f32],
    /// What is to be learned at the last step: one number per label column.
    pub labels: &'a [f32],
    /// Weight of the sample.
    pub weight: f32,
    /// Close time of the last step, nanoseconds since the epoch.
    pub event_ns: i64,
    /// Symbol of every step.
    pub symbol: u32,
}

impl<'a> Windows<'a> {
    /// Finds the windows of `dataset`; `steps` of 0 gives none.
    #[must_use]
    pub fn of(dataset: &'a Dataset, steps: usize) -> Self {
        let views: Vec<DatasetView<'a>> = dataset.views().collect();
        let (mut ends, mut left_out) = (Vec::new(), 0);
        for (batch, view) in (0..).zip(&views) {
            let mut run = 0;
            for row in 0..view.rows() {
                let goes_on = row > 0
                    && view.segment[row] == view.segment[row - 1]
                    && view.symbol[row] == view.symbol[row - 1];
                run = if goes_on { run + 1 } else { 1 };
                if !view.is_sample(row) {
                    continue;
                }
                match u32::try_from(row) {
                    Ok(row) if steps > 0 && run >= steps => ends.push((batch, row)),
                    _ => left_out += 1,
                }
            }
        }
        Self {
            views,
            ends,
            steps,
            left_out,
        }
    }

    /// Number of windows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Samples without a whole window before them.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Rows of every window.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The window at `position`, in the order of the dataset; `None` past the end.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Window<'a>> {
        let (batch, row) = *self.ends.get(position)?;
        let (view, row) = (self.views.get(batch as usize)?, row as usize);
        let first = (row + 1).checked_sub(self.steps)?;
        Some(Window {
            values: view
                .features
                .get(first * view.columns..(row + 1) * view.columns)?,
            labels: view.label_row(row),
            weight: view.weight[row],
            event_ns: view.event_ns[row],
            symbol: view.symbol[row],
        })
    }

    /// All windows in order.
    pub fn iter(&self) -> impl Iterator<Item = Window<'a>> {
        (0..self.len()).filter_map(|position| self.get(position))
    }
}

#[cfg(test)]
mod tests {
    use fusebox_plugin_api::schema::{BatchColumns, DatasetBatch, DatasetSchema};
    use proptest::prelude::*;

    use super::*;

    pub(super) fn dataset(segments: Vec<u32>, roles: Vec<u8>) -> Dataset {
        let rows = segments.len();
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
            segment: segments.into(),
            role: roles.into(),
        };
        let batch = DatasetBatch::new(&schema, columns).unwrap();
        Dataset::new(schema, vec![batch]).unwrap()
    }

    proptest! {
        #[test]
        fn windows_are_slices_that_stay_inside_their_segment(
            lengths in prop::collection::vec(1_usize..9, 1..8),
            steps in 1_usize..6,
            pattern: u64,
        ) {
            let segments: Vec<u32> = (0..)
                .zip(&lengths)
                .flat_map(|(segment, length)| std::iter::repeat_n(segment, *length))
                .collect();
            let roles: Vec<u8> = (0..segments.len())
                .map(|row| u8::from(pattern >> (row % 64) & 1 == 1))
                .collect();
            let samples = roles.iter().filter(|role| **role == 1).count();
            let data = dataset(segments.clone(), roles.clone());
            let view = data.views().next().unwrap();
            let windows = Windows::of(&data, steps);
            let mut seen = 0;
            for row in (0..segments.len()).filter(|row| roles[*row] == 1) {
                let whole = row + 1 >= steps && segments[row + 1 - steps] == segments[row];
                if !whole {
                    continue;
                }
                let window = windows.get(seen).unwrap();
                seen += 1;
                prop_assert_eq!(window.values, view.window(row, steps).unwrap());
                prop_assert_eq!(
                    window.values.as_ptr(),
                    view.features[(row + 1 - steps) * 2..].as_ptr()
                );
                prop_assert_eq!(window.labels, [row as f32]);
            }
            prop_assert_eq!((windows.len(), windows.left_out()), (seen, samples - seen));
            prop_assert!(Windows::of(&data, 0).is_empty());
        }
    }
}
