//! Rows and labels of every symbol, and the datasets and test rows of a fold as views of them.

use std::ops::Range;
use std::sync::Arc;

use fusebox_plugin_api::schema::{
    BatchColumns, Dataset, DatasetBatch, DatasetSchema, Role, Shared,
};

use super::split::{Fold, PartCounts, Period};
use crate::features::FeatureMatrix;
use crate::labels::{CLASSES, Label, LabelSpan, Weighting, average_uniqueness};
use crate::types::{SymbolId, TimeFrame, Timestamp};

/// The rows of one symbol and what came after each.
#[derive(Debug, Clone)]
pub struct SymbolSamples {
    /// Feature rows, one per bar.
    pub features: FeatureMatrix,
    /// Labels, one slot per bar.
    pub labels: Vec<Option<Label>>,
}

/// Rows and labels of every symbol, in id order.
#[derive(Debug, Clone)]
pub struct Samples {
    schema: Arc<DatasetSchema>,
    time_frame: TimeFrame,
    symbols: Vec<SymbolRows>,
}

#[derive(Debug, Clone)]
struct SymbolRows {
    samples: SymbolSamples,
    /// Number of the unbroken run of valid rows that each row belongs to, `None` for other rows.
    /// Windows of a sequence model stay inside one.
    run: Vec<Option<u32>>,
}

/// How a fold's datasets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetOptions {
    /// Weights of training samples.
    pub weights: Weighting,
    /// Rows before the period that windows of sequence models may reach into; 0 for row models.
    pub context_rows: usize,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        Self {
            weights: Weighting::Uniform,
            context_rows: 0,
        }
    }
}

/// Consecutive rows to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestBlock {
    /// Whose rows.
    pub symbol: SymbolId,
    /// Rows of the symbol's matrix to predict; every one is valid.
    pub rows: Range<usize>,
    /// Rows directly before them that windows may reach into.
    pub context: Range<usize>,
}

/// Why rows and labels do not make datasets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Symbols do not fit together; every problem.
    #[error("features and labels do not fit together: {}", .0.join("; "))]
    Mismatch(Vec<String>),
    /// The contract's dataset refuses the columns.
    #[error("the dataset cannot be handed to a plugin: {0}")]
    Refused(String),
}

impl Samples {
    /// Joins the symbols of a run.
    ///
    /// # Errors
    /// [`DatasetError::Mismatch`] where rows and labels differ in number, or columns differ between
    /// symbols.
    pub fn new(symbols: Vec<SymbolSamples>, time_frame: TimeFrame) -> Result<Self, DatasetError> {
        let mut problems = Vec::new();
        let columns = symbols
            .first()
            .map(|first| Arc::clone(&first.features.columns));
        let columns = columns.unwrap_or_default();
        if columns.is_empty() {
            problems.push("there is no feature column".to_owned());
        }
        for (position, one) in symbols.iter().enumerate() {
            let (rows, labels) = (one.features.rows(), one.labels.len());
            if rows != labels {
                problems.push(format!(
                    "symbol {position} has {rows} rows and {labels} labels"
                ));
            }
            if one.features.values.len() != rows * columns.len() || one.features.columns != columns
            {
                problems.push(format!(
                    "symbol {position} has other columns than the first one"
                ));
            }
            if one.features.symbol.index() != position {
                problems.push(format!("symbol {position} holds rows of another symbol"));
            }
        }
        if !problems.is_empty() {
            return Err(DatasetError::Mismatch(problems));
        }
        let schema = DatasetSchema {
            features: columns.to_vec(),
            labels: vec!["direction".to_owned()],
            classes: CLASSES.map(str::to_owned).to_vec(),
        };
        Ok(Self {
            schema: Arc::new(schema),
            time_frame,
            symbols: symbols.into_iter().map(SymbolRows::new).collect(),
        })
    }

    /// Column, label and class names.
    #[must_use]
    pub fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// Length of the bars.
    #[must_use]
    pub fn time_frame(&self) -> TimeFrame {
        self.time_frame
    }

    /// The symbols, in id order.
    pub fn symbols(&self) -> impl ExactSizeIterator<Item = &SymbolSamples> {
        self.symbols.iter().map(|symbol| &symbol.samples)
    }

    /// Rows and labels of `symbol`; `None` for an id of another run.
    #[must_use]
    pub fn get(&self, symbol: SymbolId) -> Option<&SymbolSamples> {
        Some(&self.symbols.get(symbol.index())?.samples)
    }

    /// The time that the bars cover: from the first bar's open to the last close.
    #[must_use]
    pub fn period(&self) -> Option<Period> {
        let times = |symbol: &SymbolRows| {
            let closed_at = &symbol.samples.features.closed_at;
            Some((*closed_at.first()?, *closed_at.last()?))
        };
        let all: Vec<_> = self.symbols.iter().filter_map(times).collect();
        let first = all.iter().map(|(first, _)| *first).min()?;
        let last = all.iter().map(|(_, last)| *last).max()?;
        Some(Period {
            from: first.saturating_add_nanos(-self.time_frame.nanos()),
            to: last,
        })
    }

    /// What lies in a period whose successor begins at `next`.
    pub(super) fn count(
        &self,
        period: Period,
        next: Option<Timestamp>,
        embargo_nanos: i64,
    ) -> PartCounts {
        let limits = Limits::new(next, embargo_nanos);
        let mut counts = PartCounts::default();
        for symbol in &self.symbols {
            for row in symbol.rows_in(period) {
                if symbol.run[row].is_none() {
                    continue;
                }
                counts.rows += 1;
                match limits.judge(symbol.samples.labels[row]) {
                    Verdict::Sample(label) => {
                        counts.samples += 1;
                        counts.class_counts[label.class.index()] += 1;
                    }
                    Verdict::Purged => counts.purged += 1,
                    Verdict::Embargoed => counts.embargoed += 1,
                    Verdict::Unlabelled => counts.unlabelled += 1,
                }
            }
        }
        counts
    }

    /// The training dataset of a fold: its samples with class labels, all other valid rows of the
    /// period as context without labels.
    ///
    /// # Errors
    /// [`DatasetError::Refused`] where the contract refuses the columns.
    pub fn train(&self, fold: &Fold, options: &DatasetOptions) -> Result<Dataset, DatasetError> {
        let limits = Limits::new(fold.after_train(), fold.embargo_nanos);
        self.dataset(fold.train, limits, options)
    }

    /// The validation dataset of a fold, weights uniform; empty where the plan has no validation.
    ///
    /// # Errors
    /// [`DatasetError::Refused`] where the contract refuses the columns.
    pub fn valid(&self, fold: &Fold, options: &DatasetOptions) -> Result<Dataset, DatasetError> {
        let nothing = Period {
            from: fold.test.from,
            to: fold.test.from,
        };
        let limits = Limits::new(Some(fold.test.from), fold.embargo_nanos);
        let options = DatasetOptions {
            weights: Weighting::Uniform,
            ..*options
        };
        self.dataset(fold.valid.unwrap_or(nothing), limits, &options)
    }

    /// The rows of a fold to predict, by symbol and time.
    #[must_use]
    pub fn test_blocks(&self, fold: &Fold, context_rows: usize) -> Vec<TestBlock> {
        let mut blocks = Vec::new();
        for symbol in &self.symbols {
            for rows in symbol.runs_in(symbol.rows_in(fold.test)) {
                let context = symbol.context_before(&rows, context_rows);
                let symbol = symbol.samples.features.symbol;
                blocks.push(TestBlock {
                    symbol,
                    rows,
                    context,
                });
            }
        }
        blocks
    }

    fn dataset(
        &self,
        period: Period,
        limits: Limits,
        options: &DatasetOptions,
    ) -> Result<Dataset, DatasetError> {
        let weights = self.weights(period, limits, options.weights);
        let mut batches = Vec::new();
        for (symbol, weights) in self.symbols.iter().zip(&weights) {
            let inside = symbol.rows_in(period);
            for rows in symbol.runs_in(inside.clone()) {
                let context = symbol.context_before(&rows, options.context_rows);
                let weights = &weights[rows.start - inside.start..rows.end - inside.start];
                let columns = symbol.batch(context.start..rows.end, (rows.start, limits), weights);
                let batch = columns.map(|columns| DatasetBatch::new(&self.schema, columns));
                let refused =
                    |error: &dyn std::fmt::Display| DatasetError::Refused(error.to_string());
                let batch = batch.ok_or_else(|| refused(&"rows lie outside the matrix"))?;
                batches.push(batch.map_err(|error| refused(&error))?);
            }
        }
        Dataset::new(Arc::clone(&self.schema), batches)
            .map_err(|error| DatasetError::Refused(error.to_string()))
    }

    /// Weights per symbol and row of the period, scaled so that their mean over all samples is 1.
    /// Overlap is counted among the samples themselves, so that no label outside the fold matters.
    fn weights(&self, period: Period, limits: Limits, weighting: Weighting) -> Vec<Vec<f32>> {
        let mut all: Vec<Vec<f64>> = Vec::new();
        for symbol in &self.symbols {
            let rows = symbol.rows_in(period);
            let spans: Vec<LabelSpan> = rows
                .clone()
                .filter_map(|row| Some((row, symbol.sample(row, limits)?)))
                .map(|(start_bar, label)| LabelSpan {
                    start_bar,
                    end_bar: label.end_bar,
                })
                .collect();
            let values = match weighting {
                Weighting::Uniform => vec![1.0; spans.len()],
                Weighting::Uniqueness => average_uniqueness(&spans),
            };
            let mut weights = vec![0.0; rows.len()];
            for (span, value) in spans.iter().zip(values) {
                weights[span.start_bar - rows.start] = value;
            }
            all.push(weights);
        }
        let samples = all.iter().flatten().filter(|weight| **weight > 0.0).count();
        let mean = all.iter().flatten().sum::<f64>() / samples.max(1) as f64;
        let scaled = |weight: f64| {
            if weight > 0.0 {
                (weight / mean) as f32
            } else {
                0.0
            }
        };
        all.into_iter()
            .map(|one| one.into_iter().map(scaled).collect())
            .collect()
    }
}

impl SymbolRows {
    fn new(samples: SymbolSamples) -> Self {
        let features = &samples.features;
        let mut run = Vec::with_capacity(features.rows());
        let mut current = 0_u32;
        let mut before: Option<u32> = None;
        for (&segment, &is_valid) in features.segment.iter().zip(&features.is_valid) {
            if is_valid {
                current += u32::from(!run.is_empty() && before != Some(segment));
                before = Some(segment);
            } else {
                before = None;
            }
            run.push(is_valid.then_some(current));
        }
        Self { samples, run }
    }

    /// The rows whose bars close inside the period: after its start, at its end at the latest.
    fn rows_in(&self, period: Period) -> Range<usize> {
        let closed_at = &self.samples.features.closed_at;
        let start = closed_at.partition_point(|at| *at <= period.from);
        let end = closed_at.partition_point(|at| *at <= period.to);
        start..end.max(start)
    }

    /// The runs of valid rows inside `rows`.
    fn runs_in(&self, rows: Range<usize>) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for row in rows {
            if self.run[row].is_none() {
                continue;
            }
            match runs.last_mut() {
                Some(last) if last.end == row && self.run[last.start] == self.run[row] => {
                    last.end = row + 1;
                }
                _ => runs.push(row..row + 1),
            }
        }
        runs
    }

    /// Up to `count` rows directly before `rows`, of the same run.
    fn context_before(&self, rows: &Range<usize>, count: usize) -> Range<usize> {
        let run = self.run[rows.start];
        let before = self.run[..rows.start].iter().rev().take(count);
        let found = before.take_while(|one| **one == run).count();
        rows.start - found..rows.start
    }

    /// The label of a row that is a sample.
    fn sample(&self, row: usize, limits: Limits) -> Option<Label> {
        self.run[row]?;
        match limits.judge(self.samples.labels[row]) {
            Verdict::Sample(label) => Some(label),
            _ => None,
        }
    }

    /// The columns of `rows`; those before `first_own` are context from before the period.
    fn batch(
        &self,
        rows: Range<usize>,
        (first_own, limits): (usize, Limits),
        own_weights: &[f32],
    ) -> Option<BatchColumns> {
        let features = &self.samples.features;
        let width = features.columns.len();
        let label = |row: usize| self.sample(row, limits).filter(|_| row >= first_own);
        let nanos = |row: usize| features.closed_at[row].as_nanos();
        let context = vec![0.0; first_own - rows.start];
        let class = |row| label(row).map_or(f32::NAN, |label| label.class.index() as f32);
        let end = |row| label(row).map_or(nanos(row), |label| label.end.as_nanos());
        let role = |row| label(row).map_or(Role::Context, |_| Role::Sample) as u8;
        let run = self.run[rows.start]?;
        let matrix = Shared::from(Arc::clone(&features.values));
        Some(BatchColumns {
            features: matrix.slice(rows.start * width..rows.end * width)?,
            labels: rows.clone().map(class).collect::<Vec<_>>().into(),
            weight: [&context, own_weights].concat().into(),
            event_ns: rows.clone().map(nanos).collect::<Vec<_>>().into(),
            label_end_ns: rows.clone().map(end).collect::<Vec<_>>().into(),
            symbol: vec![features.symbol.0; rows.len()].into(),
            segment: vec![run; rows.len()].into(),
            role: rows.map(role).collect::<Vec<_>>().into(),
        })
    }
}

/// How late a label may end.
#[derive(Debug, Clone, Copy)]
struct Limits {
    purged_after: Option<Timestamp>,
    embargoed_after: Option<Timestamp>,
}

enum Verdict {
    Sample(Label),
    Purged,
    Embargoed,
    Unlabelled,
}

impl Limits {
    fn new(next: Option<Timestamp>, embargo_nanos: i64) -> Self {
        Self {
            purged_after: next,
            embargoed_after: next.map(|next| next.saturating_add_nanos(-embargo_nanos)),
        }
    }

    fn judge(self, label: Option<Label>) -> Verdict {
        let after =
            |label: &Label, limit: Option<Timestamp>| limit.is_some_and(|at| label.end > at);
        match label {
            None => Verdict::Unlabelled,
            Some(label) if after(&label, self.purged_after) => Verdict::Purged,
            Some(label) if after(&label, self.embargoed_after) => Verdict::Embargoed,
            Some(label) => Verdict::Sample(label),
        }
    }
}

#[cfg(test)]
mod tests;
