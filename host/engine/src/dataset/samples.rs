//! Rows and labels of every symbol, and the datasets and test rows of a fold as views of them.

use std::ops::Range;
use std::sync::Arc;

use fusebox_plugin_api::schema::{
    BatchColumns, Dataset, DatasetBatch, DatasetSchema, Role, Shared,
};

use super::split::{Fold, HeldOut, PartCounts, Period, Verdict, judge};
use super::weights::WeightOptions;
use crate::features::FeatureMatrix;
use crate::labels::{Label, LabelSeries, LabelTask};
use crate::types::{SymbolId, TimeFrame, Timestamp};

/// The rows of one symbol and what came after each.
#[derive(Debug, Clone)]
pub struct SymbolSamples {
    /// Feature rows, one per bar.
    pub features: FeatureMatrix,
    /// Labels, one slot per bar.
    pub labels: LabelSeries,
}

/// Rows and labels of every symbol, in id order.
#[derive(Debug, Clone)]
pub struct Samples {
    schema: Arc<DatasetSchema>,
    task: LabelTask,
    time_frame: TimeFrame,
    pub(super) symbols: Vec<SymbolRows>,
}

#[derive(Debug, Clone)]
pub(super) struct SymbolRows {
    pub(super) samples: SymbolSamples,
    /// Number of the unbroken run of valid rows that each row belongs to, `None` for other rows.
    /// Windows of a sequence model stay inside one.
    run: Vec<Option<u32>>,
}

/// How a fold's datasets are made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DatasetOptions {
    /// Weights of training samples.
    pub weights: WeightOptions,
    /// Rows before the period that windows of sequence models may reach into; 0 for row models.
    pub context_rows: usize,
    /// Whether the label column [`FORWARD_RETURN`] stands after the others: what a metric of
    /// returns is counted on where the labels are classes. Nothing is to be learned from it.
    pub forward_return: bool,
}

/// The label column with the log return from the close of a bar to the price at which its label
/// ended, whatever the labels are.
pub const FORWARD_RETURN: &str = "forward_return";

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
    /// [`DatasetError::Mismatch`] where rows and labels differ in number, or columns or what a
    /// learner is asked for differ between symbols.
    pub fn new(symbols: Vec<SymbolSamples>, time_frame: TimeFrame) -> Result<Self, DatasetError> {
        let mut problems = Vec::new();
        let columns = symbols
            .first()
            .map(|first| Arc::clone(&first.features.columns));
        let columns = columns.unwrap_or_default();
        let task = symbols.first().map(|first| first.labels.task.clone());
        let task = task.unwrap_or(LabelTask::Direction);
        if columns.is_empty() {
            problems.push("there is no feature column".to_owned());
        }
        for (position, one) in symbols.iter().enumerate() {
            let (rows, labels) = (one.features.rows(), one.labels.bars());
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
            if one.labels.task != task {
                problems.push(format!(
                    "symbol {position} has labels of another kind than the first one"
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
            labels: task.columns(),
            classes: task.classes().iter().map(|one| (*one).to_owned()).collect(),
        };
        Ok(Self {
            schema: Arc::new(schema),
            task,
            time_frame,
            symbols: symbols.into_iter().map(SymbolRows::new).collect(),
        })
    }

    /// Column, label and class names.
    #[must_use]
    pub fn schema(&self) -> &DatasetSchema {
        &self.schema
    }

    /// What a learner is asked for.
    #[must_use]
    pub fn task(&self) -> &LabelTask {
        &self.task
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

    /// When the rows with every feature close, symbol by symbol.
    pub(super) fn row_times(&self) -> impl Iterator<Item = Timestamp> {
        self.symbols.iter().flat_map(|symbol| {
            let times = symbol.samples.features.closed_at.iter().zip(&symbol.run);
            times.filter_map(|(at, run)| run.map(|_| *at))
        })
    }

    /// When the labels of the rows of a period are known.
    pub(super) fn label_ends(&self, period: Period) -> impl Iterator<Item = Timestamp> {
        self.symbols.iter().flat_map(move |symbol| {
            let rows = symbol
                .rows_in(period)
                .filter(|row| symbol.run[*row].is_some());
            rows.filter_map(|row| Some(symbol.samples.labels.get(row)?.end))
        })
    }

    /// What lies in some periods.
    pub(super) fn count(&self, periods: &[Period], held_out: &[HeldOut]) -> PartCounts {
        let mut counts = PartCounts::default();
        for symbol in &self.symbols {
            for row in periods.iter().flat_map(|period| symbol.rows_in(*period)) {
                if symbol.run[row].is_none() {
                    continue;
                }
                counts.rows += 1;
                let Some(label) = symbol.samples.labels.get(row) else {
                    counts.unlabelled += 1;
                    continue;
                };
                match judge(held_out, symbol.closed_at(row), &label) {
                    Verdict::Sample => {
                        counts.samples += 1;
                        counts.class_counts[label.class.index()] += 1;
                    }
                    Verdict::Purged => counts.purged += 1,
                    Verdict::Embargoed => counts.embargoed += 1,
                }
            }
        }
        counts
    }

    /// The training dataset of a fold: its samples with labels, all other valid rows of its
    /// periods as context without labels.
    ///
    /// # Errors
    /// [`DatasetError::Refused`] where the contract refuses the columns.
    pub fn train(&self, fold: &Fold, options: &DatasetOptions) -> Result<Dataset, DatasetError> {
        self.dataset(&fold.train, &fold.train_held_out, options)
    }

    /// The validation dataset of a fold, weights uniform; empty where the plan has no validation.
    ///
    /// # Errors
    /// [`DatasetError::Refused`] where the contract refuses the columns.
    pub fn valid(&self, fold: &Fold, options: &DatasetOptions) -> Result<Dataset, DatasetError> {
        let options = DatasetOptions {
            weights: WeightOptions::default(),
            ..*options
        };
        self.dataset(fold.valid.as_slice(), &fold.valid_held_out, &options)
    }

    /// Standard deviation of the traded return over a fold's training samples, in volatilities of
    /// its horizon; `None` where labels are no returns or nothing moves.
    #[must_use]
    pub fn traded_spread(&self, fold: &Fold) -> Option<f64> {
        let (mut count, mut sum, mut squares) = (0.0_f64, 0.0_f64, 0.0_f64);
        for symbol in &self.symbols {
            let labels = &symbol.samples.labels;
            let inside = fold.train.iter().flat_map(|period| symbol.rows_in(*period));
            for row in inside.filter(|row| symbol.sample(*row, &fold.train_held_out).is_some()) {
                let traded = *labels.targets.as_ref()?.row(row).first()?;
                let value = labels.in_sigmas(row, traded)?;
                count += 1.0;
                sum += value;
                squares += value * value;
            }
        }
        let variance = squares / count - (sum / count).powi(2);
        (variance > 0.0).then(|| variance.sqrt())
    }

    /// The traded return of every training sample of a fold, in the unit that is learned; empty
    /// where labels are no returns.
    #[must_use]
    pub fn traded_returns(&self, fold: &Fold) -> Vec<f64> {
        let mut returns = Vec::new();
        for symbol in &self.symbols {
            let Some(targets) = &symbol.samples.labels.targets else {
                continue;
            };
            let inside = fold.train.iter().flat_map(|period| symbol.rows_in(*period));
            for row in inside.filter(|row| symbol.sample(*row, &fold.train_held_out).is_some()) {
                returns.extend(targets.row(row).first());
            }
        }
        returns
    }

    /// The rows of a fold to predict, by symbol and time.
    #[must_use]
    pub fn test_blocks(&self, fold: &Fold, context_rows: usize) -> Vec<TestBlock> {
        let mut blocks = Vec::new();
        for symbol in &self.symbols {
            let tested = fold.test.iter().map(|period| symbol.rows_in(*period));
            for rows in tested.flat_map(|rows| symbol.runs_in(rows)) {
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

    fn schema_with(&self, options: &DatasetOptions) -> Arc<DatasetSchema> {
        if !options.forward_return {
            return Arc::clone(&self.schema);
        }
        let mut schema = DatasetSchema::clone(&self.schema);
        schema.labels.push(FORWARD_RETURN.to_owned());
        Arc::new(schema)
    }

    fn dataset(
        &self,
        periods: &[Period],
        held_out: &[HeldOut],
        options: &DatasetOptions,
    ) -> Result<Dataset, DatasetError> {
        let weights = self.weights(periods, held_out, &options.weights);
        let schema = self.schema_with(options);
        let mut batches = Vec::new();
        for (symbol, weights) in self.symbols.iter().zip(&weights) {
            let inside = periods.iter().map(|period| symbol.rows_in(*period));
            for rows in inside.flat_map(|rows| symbol.runs_in(rows)) {
                let context = symbol.context_before(&rows, options.context_rows);
                let own = (rows.start, held_out, options.forward_return);
                let columns = symbol.batch(context.start..rows.end, own, weights);
                let batch = columns.map(|columns| DatasetBatch::new(&schema, columns));
                let refused =
                    |error: &dyn std::fmt::Display| DatasetError::Refused(error.to_string());
                let batch = batch.ok_or_else(|| refused(&"rows lie outside the matrix"))?;
                batches.push(batch.map_err(|error| refused(&error))?);
            }
        }
        Dataset::new(schema, batches).map_err(|error| DatasetError::Refused(error.to_string()))
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

    fn closed_at(&self, row: usize) -> Timestamp {
        self.samples.features.closed_at[row]
    }

    /// The rows whose bars close inside the period: after its start, at its end at the latest.
    pub(super) fn rows_in(&self, period: Period) -> Range<usize> {
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
    pub(super) fn sample(&self, row: usize, held_out: &[HeldOut]) -> Option<Label> {
        self.run[row]?;
        let label = self.samples.labels.get(row)?;
        (judge(held_out, self.closed_at(row), &label) == Verdict::Sample).then_some(label)
    }

    /// The columns of `rows`; those before `first_own` are context from before the period.
    /// `weights` has an entry for every row of the symbol.
    fn batch(
        &self,
        rows: Range<usize>,
        (first_own, held_out, forward_return): (usize, &[HeldOut], bool),
        weights: &[f32],
    ) -> Option<BatchColumns> {
        let features = &self.samples.features;
        let labels = &self.samples.labels;
        let width = features.columns.len();
        let count = rows.len();
        let run = self.run[rows.start]?;
        let matrix = Shared::from(Arc::clone(&features.values));
        let label_columns = labels.task.columns().len() + usize::from(forward_return);
        let mut shown = Vec::with_capacity(count * label_columns);
        let (mut weight, mut ends) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut roles = Vec::with_capacity(count);
        for row in rows.clone() {
            match self.sample(row, held_out).filter(|_| row >= first_own) {
                Some(label) => {
                    labels.learner_values(row, &mut shown);
                    shown.extend(forward_return.then_some(label.log_return as f32));
                    weight.push(weights[row]);
                    ends.push(label.end.as_nanos());
                    roles.push(Role::Sample as u8);
                }
                None => {
                    shown.extend(std::iter::repeat_n(f32::NAN, label_columns));
                    weight.push(0.0);
                    ends.push(self.closed_at(row).as_nanos());
                    roles.push(Role::Context as u8);
                }
            }
        }
        let closed_at = features.closed_at[rows.clone()].iter();
        Some(BatchColumns {
            features: matrix.slice(rows.start * width..rows.end * width)?,
            labels: shown.into(),
            weight: weight.into(),
            event_ns: closed_at.map(|at| at.as_nanos()).collect::<Vec<_>>().into(),
            label_end_ns: ends.into(),
            symbol: vec![features.symbol.0; count].into(),
            segment: vec![run; count].into(),
            role: roles.into(),
        })
    }
}

#[cfg(test)]
mod tests;
