//! What crosses the line for training: the dataset, one dense row-major `f32` matrix with columns.
//!
//! The host builds a [`Dataset`] from shared buffers; many batches (folds, symbols) may be slices
//! of one matrix, and nothing is copied until a learner asks for a copy. On the wire it is an Arrow
//! stream, see [`arrow`](crate::arrow). Readers use [`DatasetView`], plain slices. Nothing here
//! computes features or labels.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::arrow::ImportedBatch;
use crate::error::{PluginError, Result};

/// Number of the dataset layout, metadata key `fusebox.schema`.
pub const SCHEMA_VERSION: &str = "1";

/// What a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Only context for the windows of later rows; never learned from, never scored.
    Context = 0,
    /// A sample to learn from or to score.
    Sample = 1,
}

/// Names of the columns, equal in every batch of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatasetSchema {
    /// Names of the feature columns, in matrix order; at least one.
    pub features: Vec<String>,
    /// Names of the label columns, such as one per horizon; at least one.
    pub labels: Vec<String>,
    /// Class names for classification, where a label is the index of its class; empty where labels
    /// are numbers.
    pub classes: Vec<String>,
}

/// A read-only column: a range of a shared buffer. Cloning and slicing copy nothing.
#[derive(Clone)]
pub struct Shared<T> {
    buffer: Arc<[T]>,
    range: Range<usize>,
}

impl<T> Shared<T> {
    /// The part `range` of this column, or `None` where it does not lie inside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let inside = range.start <= range.end && range.end <= self.len();
        inside.then(|| Self {
            buffer: Arc::clone(&self.buffer),
            range: self.range.start + range.start..self.range.start + range.end,
        })
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[self.range.clone()]
    }
}

impl<T> From<Arc<[T]>> for Shared<T> {
    fn from(buffer: Arc<[T]>) -> Self {
        let range = 0..buffer.len();
        Self { buffer, range }
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(values: Vec<T>) -> Self {
        Self::from(Arc::<[T]>::from(values))
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} values)", self.len())
    }
}

/// The columns of one batch; `rows` is the length of `event_ns`.
#[derive(Debug, Clone)]
pub struct BatchColumns {
    /// Row-major matrix, `rows x features`; NaN means missing.
    pub features: Shared<f32>,
    /// Row-major, `rows x labels`; NaN means that the row has no label.
    pub labels: Shared<f32>,
    /// Weight of the row in the loss, not negative.
    pub weight: Shared<f32>,
    /// Close time of the row's bar, nanoseconds since the epoch, UTC.
    pub event_ns: Shared<i64>,
    /// When the label is known, nanoseconds since the epoch; `event_ns` where there is no label.
    pub label_end_ns: Shared<i64>,
    /// Position of the symbol in the run's market.
    pub symbol: Shared<u32>,
    /// Changes wherever a gap breaks the series; a window never crosses a change.
    pub segment: Shared<u32>,
    /// [`Role`] of the row, as its number.
    pub role: Shared<u8>,
}

impl BatchColumns {
    /// Rows `rows` of every column, sharing the buffers. `features` and `labels` are the column
    /// counts of the schema. `None` where the range does not lie inside.
    #[must_use]
    pub fn slice(&self, rows: Range<usize>, features: usize, labels: usize) -> Option<Self> {
        let wide = |columns: usize| -> Option<Range<usize>> {
            Some(rows.start.checked_mul(columns)?..rows.end.checked_mul(columns)?)
        };
        Some(Self {
            features: self.features.slice(wide(features)?)?,
            labels: self.labels.slice(wide(labels)?)?,
            weight: self.weight.slice(rows.clone())?,
            event_ns: self.event_ns.slice(rows.clone())?,
            label_end_ns: self.label_end_ns.slice(rows.clone())?,
            symbol: self.symbol.slice(rows.clone())?,
            segment: self.segment.slice(rows.clone())?,
            role: self.role.slice(rows)?,
        })
    }
}

/// Plain slices over one batch.
#[derive(Debug, Clone, Copy)]
pub struct DatasetView<'a> {
    /// Row-major matrix, `rows x columns`; NaN means missing.
    pub features: &'a [f32],
    /// Number of feature columns.
    pub columns: usize,
    /// Row-major, `rows x label_columns`; NaN means none.
    pub labels: &'a [f32],
    /// Number of label columns.
    pub label_columns: usize,
    /// Weight of each row in the loss.
    pub weight: &'a [f32],
    /// Close time of each row's bar, nanoseconds since the epoch.
    pub event_ns: &'a [i64],
    /// When each label is known, nanoseconds since the epoch.
    pub label_end_ns: &'a [i64],
    /// Symbol of each row.
    pub symbol: &'a [u32],
    /// Segment of each row.
    pub segment: &'a [u32],
    /// Role of each row: 0 context, 1 sample.
    pub role: &'a [u8],
}

impl<'a> DatasetView<'a> {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.event_ns.len()
    }

    /// The features of a row.
    #[must_use]
    pub fn feature_row(&self, row: usize) -> &'a [f32] {
        &self.features[row * self.columns..(row + 1) * self.columns]
    }

    /// The labels of a row.
    #[must_use]
    pub fn label_row(&self, row: usize) -> &'a [f32] {
        &self.labels[row * self.label_columns..(row + 1) * self.label_columns]
    }

    /// Whether the row is a sample.
    #[must_use]
    pub fn is_sample(&self, row: usize) -> bool {
        self.role[row] == Role::Sample as u8
    }

    /// The contiguous `steps x columns` block that ends with `row`; `None` where it would begin
    /// before the batch or cross into another segment or symbol.
    #[must_use]
    pub fn window(&self, row: usize, steps: usize) -> Option<&'a [f32]> {
        let first = (row + 1).checked_sub(steps)?;
        let same = |column: &[u32]| column[first..=row].iter().all(|one| *one == column[row]);
        let whole = steps > 0 && same(self.segment) && same(self.symbol);
        whole.then(|| &self.features[first * self.columns..(row + 1) * self.columns])
    }
}

/// Rows that belong together: buffers of the host, or a batch that came over the line.
#[derive(Debug, Clone)]
pub struct DatasetBatch(BatchSource);

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "batches are few, and an owned one is the usual case"
)]
enum BatchSource {
    Owned {
        columns: BatchColumns,
        features: usize,
        labels: usize,
    },
    Imported(Arc<ImportedBatch>),
}

impl DatasetBatch {
    /// Joins columns into a batch of `schema`.
    ///
    /// # Errors
    /// `E_DATA` listing every column whose length does not fit and any unknown role.
    pub fn new(schema: &DatasetSchema, columns: BatchColumns) -> Result<Self> {
        let batch = Self(BatchSource::Owned {
            columns,
            features: schema.features.len(),
            labels: schema.labels.len(),
        });
        check_batch(&batch.view())?;
        Ok(batch)
    }

    pub(crate) fn imported(batch: ImportedBatch) -> Result<Self> {
        let batch = Self(BatchSource::Imported(Arc::new(batch)));
        check_batch(&batch.view())?;
        Ok(batch)
    }

    /// The rows as plain slices.
    #[must_use]
    pub fn view(&self) -> DatasetView<'_> {
        match &self.0 {
            BatchSource::Owned {
                columns,
                features,
                labels,
            } => DatasetView {
                features: &columns.features,
                columns: *features,
                labels: &columns.labels,
                label_columns: *labels,
                weight: &columns.weight,
                event_ns: &columns.event_ns,
                label_end_ns: &columns.label_end_ns,
                symbol: &columns.symbol,
                segment: &columns.segment,
                role: &columns.role,
            },
            BatchSource::Imported(batch) => batch.view(),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.view().rows()
    }
}

fn check_batch(view: &DatasetView<'_>) -> Result<()> {
    let rows = view.rows();
    let mut problems = Vec::new();
    for (name, found, per_row) in [
        ("features", view.features.len(), view.columns),
        ("labels", view.labels.len(), view.label_columns),
        ("weight", view.weight.len(), 1),
        ("label_end_ns", view.label_end_ns.len(), 1),
        ("symbol", view.symbol.len(), 1),
        ("segment", view.segment.len(), 1),
        ("role", view.role.len(), 1),
    ] {
        if rows.checked_mul(per_row) != Some(found) {
            problems.push(format!(
                "column `{name}` has {found} values; {rows} rows of {per_row} were expected"
            ));
        }
    }
    if let Some(row) = view.role.iter().position(|role| *role > 1) {
        let role = view.role[row];
        problems.push(format!(
            "row {row} has the unknown role {role}; 0 and 1 exist"
        ));
    }
    if let Some(row) = view
        .weight
        .iter()
        .position(|weight| weight.is_nan() || *weight < 0.0)
    {
        let weight = view.weight[row];
        problems.push(format!(
            "row {row} has weight {weight}; weights are 0 or more"
        ));
    }
    all_or_data_error(problems)
}

/// A schema and its batches, in time order per symbol.
#[derive(Debug, Clone)]
pub struct Dataset {
    schema: Arc<DatasetSchema>,
    batches: Vec<DatasetBatch>,
}

impl Dataset {
    /// Joins batches of one schema. No batch at all is allowed: an empty dataset.
    ///
    /// # Errors
    /// `E_DATA` listing what is wrong with the schema, and every batch whose column counts differ
    /// from it.
    pub fn new(schema: impl Into<Arc<DatasetSchema>>, batches: Vec<DatasetBatch>) -> Result<Self> {
        let schema = schema.into();
        let mut problems = Vec::new();
        if schema.features.is_empty() {
            problems.push("the schema has no features; at least one is needed".to_owned());
        }
        if schema.labels.is_empty() {
            problems.push("the schema has no labels; at least one is needed".to_owned());
        }
        for (position, batch) in batches.iter().enumerate() {
            let view = batch.view();
            let expected = (schema.features.len(), schema.labels.len());
            if (view.columns, view.label_columns) != expected {
                problems.push(format!(
                    "batch {position} has {} features and {} labels; the schema names {} and {}",
                    view.columns, view.label_columns, expected.0, expected.1
                ));
            }
        }
        all_or_data_error(problems)?;
        Ok(Self { schema, batches })
    }

    /// Names of the columns.
    #[must_use]
    pub fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// The schema as shared by every dataset derived from this one.
    #[must_use]
    pub fn shared_schema(&self) -> Arc<DatasetSchema> {
        Arc::clone(&self.schema)
    }

    /// The batches.
    #[must_use]
    pub fn batches(&self) -> &[DatasetBatch] {
        &self.batches
    }

    /// The batches as plain slices.
    pub fn views(&self) -> impl Iterator<Item = DatasetView<'_>> {
        self.batches.iter().map(DatasetBatch::view)
    }

    /// Number of rows in all batches, context included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(DatasetBatch::rows).sum()
    }

    /// Number of rows whose role is sample.
    #[must_use]
    pub fn samples(&self) -> usize {
        let count = |view: DatasetView<'_>| view.role.iter().filter(|role| **role == 1).count();
        self.views().map(count).sum()
    }
}

fn all_or_data_error(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(PluginError::data(problems.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> DatasetSchema {
        DatasetSchema {
            features: vec!["a".to_owned(), "b".to_owned()],
            labels: vec!["direction".to_owned()],
            classes: vec!["down".to_owned(), "up".to_owned()],
        }
    }

    fn columns(rows: usize) -> BatchColumns {
        let times: Vec<i64> = (0..rows as i64).collect();
        BatchColumns {
            features: (0..2 * rows).map(|i| i as f32).collect::<Vec<_>>().into(),
            labels: vec![0.0; rows].into(),
            weight: vec![1.0; rows].into(),
            event_ns: times.clone().into(),
            label_end_ns: times.into(),
            symbol: vec![0; rows].into(),
            segment: (0..rows)
                .map(|i| u32::from(i >= 3))
                .collect::<Vec<_>>()
                .into(),
            role: vec![1; rows].into(),
        }
    }

    #[test]
    fn slices_share_the_matrix() {
        let whole = columns(6);
        let part = whole.slice(2..5, 2, 1).unwrap();
        let batch = DatasetBatch::new(&schema(), part).unwrap();
        assert_eq!(batch.view().feature_row(0), [4.0, 5.0]);
        assert_eq!(batch.view().features.as_ptr(), whole.features[4..].as_ptr());
        assert!(whole.slice(2..7, 2, 1).is_none());
    }

    #[test]
    fn every_wrong_column_is_reported() {
        let mut wrong = columns(4);
        wrong.weight = vec![1.0; 3].into();
        wrong.features = vec![0.0; 9].into();
        wrong.role = vec![0, 1, 2, 1].into();
        let error = DatasetBatch::new(&schema(), wrong).unwrap_err();
        for part in ["`weight` has 3", "`features` has 9", "unknown role 2"] {
            assert!(error.message().contains(part), "{part} not in {error}");
        }
    }

    #[test]
    fn windows_stay_inside_their_segment() {
        let batch = DatasetBatch::new(&schema(), columns(6)).unwrap();
        let view = batch.view();
        assert_eq!(view.window(2, 2), Some(&[2.0, 3.0, 4.0, 5.0][..]));
        assert_eq!(view.window(0, 2), None, "begins before the batch");
        assert_eq!(view.window(3, 2), None, "crosses into segment 1");
        assert!(view.window(4, 2).is_some());
    }

    #[test]
    fn a_dataset_refuses_batches_of_another_schema() {
        let batch = DatasetBatch::new(&schema(), columns(2)).unwrap();
        let mut wider = schema();
        wider.features.push("c".to_owned());
        let error = Dataset::new(wider, vec![batch]).unwrap_err();
        assert!(
            error.message().contains("batch 0 has 2 features"),
            "{error}"
        );
        assert!(Dataset::new(DatasetSchema::default(), vec![]).is_err());
    }
}
