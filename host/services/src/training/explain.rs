//! What a fold's model looks at: importances of its features, and contributions to some of its own
//! out-of-sample predictions.
//!
//! Importance by permutation works for every model of single rows: one column is shuffled among
//! test rows and the loss compared: log loss of classes, pinball loss of quantiles, squared error
//! of returns. Contributions are the plugin's own (SHAP values). Rows are a bounded, seeded sample
//! of the fold's test rows with a known label; nothing of the training rows is looked at.

use fusebox_engine::dataset::{Samples, Scaler};
use fusebox_engine::eval::classification::{ClassMetric as _, ClassScores, LogLoss};
use fusebox_engine::eval::forecast::pinball_loss;
use fusebox_engine::eval::permutation_importance::{FeatureRows, permutation_importance};
use fusebox_engine::labels::Direction;
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{Model, ModelInfo, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::folds::RowPrediction;
use super::readout::{ModelReadout, RowFacts};

/// How much is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExplainSpec {
    /// Test rows that are sampled, over all folds together; 0 for none.
    pub rows: usize,
    /// Times that each column is shuffled; 0 for no importance by permutation.
    pub repeats: u32,
}

/// What was found of one fold's model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Explained {
    /// By kind, each with one value a column, as the model says.
    pub importances: Vec<(String, Vec<f64>)>,
    /// Rise of the loss where a column is shuffled.
    pub permutation: Option<Vec<f64>>,
    /// Contributions to sampled predictions.
    pub sample: Option<ContributionSample>,
}

/// Sampled rows and what each feature contributed to their score.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ContributionSample {
    /// Features a row.
    pub columns: usize,
    /// Values of the features before any scaling, `rows x columns`.
    pub values: Vec<f32>,
    /// Contributions to the raw score that is traded, `rows x columns`.
    pub contributions: Vec<f32>,
}

/// What an explanation starts from.
pub(super) struct Explaining<'a> {
    pub samples: &'a Samples,
    pub predictions: &'a [RowPrediction],
    pub readout: &'a ModelReadout,
    pub scaler: Option<&'a Scaler>,
    pub info: &'a ModelInfo,
    pub window: usize,
}

/// Rows as the model sees them.
struct Rows {
    picked: Vec<(usize, Direction)>,
    raw: Vec<f32>,
    scaled: Vec<f32>,
    facts: Vec<RowFacts>,
}

impl Explaining<'_> {
    /// Looks at `how.rows` of the fold's own test rows.
    pub(super) fn explain(
        &self,
        model: &mut dyn Model,
        how: ExplainSpec,
        seed: u64,
    ) -> Result<Explained, PluginError> {
        let mut explained = Explained {
            importances: importances(model)?,
            ..Explained::default()
        };
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(EXPLAIN_STREAM);
        let rows = self.rows(how.rows, &mut random)?;
        if rows.picked.is_empty() {
            return Ok(explained);
        }
        if how.repeats > 0 {
            explained.permutation = self.permutation(model, (&rows, how.repeats), &mut random)?;
        }
        explained.sample = self.contributions(model, &rows)?;
        Ok(explained)
    }

    fn columns(&self) -> usize {
        self.samples.schema().features.len()
    }

    /// A sample without repetition, in the order of the predictions.
    fn rows(&self, count: usize, random: &mut ChaCha8Rng) -> Result<Rows, PluginError> {
        let label = |one: &RowPrediction| {
            let label = self.samples.get(one.symbol)?.labels.get(one.row)?;
            // The window must lie inside the matrix.
            (one.row + 1 >= self.window).then_some(label.class)
        };
        let known = self.predictions.iter().enumerate();
        let mut known: Vec<(usize, Direction)> = known
            .filter_map(|(at, one)| Some((at, label(one)?)))
            .collect();
        let count = count.min(known.len());
        for at in 0..count {
            let other = random.random_range(at..known.len());
            known.swap(at, other);
        }
        known.truncate(count);
        known.sort_unstable_by_key(|(at, _)| *at);
        self.gather(known)
    }

    fn gather(&self, picked: Vec<(usize, Direction)>) -> Result<Rows, PluginError> {
        let ones = picked.iter().map(|(at, _)| &self.predictions[*at]);
        let gathered = gather(self.samples, ones, (self.window, self.scaler))?;
        Ok(Rows {
            picked,
            raw: gathered.raw,
            scaled: gathered.scaled,
            facts: gathered.facts,
        })
    }

    fn loss(
        &self,
        model: &mut dyn Model,
        rows: &Rows,
        input: &[f32],
    ) -> Result<Option<f64>, PluginError> {
        let outputs = self.readout.outputs();
        let mut output = vec![0.0; rows.picked.len() * outputs];
        let shape = FrameShape {
            window: self.window,
            row_stride: self.window * self.columns(),
            ..FrameShape::dense(rows.picked.len(), self.columns(), outputs)
        };
        model.predict(&mut Frame::new(input, &mut output, shape)?)?;
        if self.readout.levels().is_some() {
            return Ok(self.loss_of_returns(rows, output.chunks_exact(outputs)));
        }
        let answers = output.chunks_exact(outputs).zip(&rows.facts);
        let probabilities: Vec<[f32; 3]> = answers
            .map(|(values, facts)| self.readout.read(*facts, values))
            .collect();
        let labels: Vec<Direction> = rows.picked.iter().map(|(_, label)| *label).collect();
        Ok(LogLoss.value(ClassScores {
            labels: &labels,
            probabilities: &probabilities,
        }))
    }

    /// Mean squared error of returns, or mean pinball loss of their quantiles.
    fn loss_of_returns<'a>(
        &self,
        rows: &Rows,
        answers: impl Iterator<Item = &'a [f32]>,
    ) -> Option<f64> {
        let mut losses = Vec::with_capacity(rows.picked.len());
        for ((at, _), values) in rows.picked.iter().zip(answers) {
            let one = &self.predictions[*at];
            let targets = self.samples.get(one.symbol)?.labels.targets.as_ref()?;
            let came = targets.row(one.row).first()?;
            let (levels, said) = self.readout.forecast(values)?;
            let of = |(value, level): (&f32, &f64)| {
                pinball_loss(&[f64::from(*value)], std::slice::from_ref(came), *level)
            };
            losses.push(match levels {
                [] => (f64::from(*said.first()?) - came).powi(2),
                levels => {
                    let all: Option<Vec<f64>> = said.iter().zip(levels).map(of).collect();
                    all?.iter().sum::<f64>() / levels.len() as f64
                }
            });
        }
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        mean.is_finite().then_some(mean)
    }

    /// The mean rise of the loss over the repeats, column by column; `None` where rows are
    /// windows, whose steps are not exchanged one by one.
    fn permutation(
        &self,
        model: &mut dyn Model,
        (rows, repeats): (&Rows, u32),
        random: &mut ChaCha8Rng,
    ) -> Result<Option<Vec<f64>>, PluginError> {
        if self.window > 1 {
            return Ok(None);
        }
        let matrix = FeatureRows {
            values: &rows.scaled,
            columns: self.columns(),
        };
        let found = permutation_importance(matrix, repeats as usize, random, |shuffled| {
            let loss = self.loss(model, rows, shuffled)?;
            Ok::<_, PluginError>(loss.map(|loss| -loss))
        })?;
        let features = found.map(|found| found.features);
        Ok(features.and_then(|features| features.iter().map(|one| one.mean).collect()))
    }

    /// Contributions to the score that is traded; `None` where the model has none.
    fn contributions(
        &self,
        model: &dyn Model,
        rows: &Rows,
    ) -> Result<Option<ContributionSample>, PluginError> {
        let (Some(explain), 1) = (model.explain(), self.window) else {
            return Ok(None);
        };
        let (columns, count) = (self.columns(), rows.picked.len());
        let outputs = self.info.outputs.len();
        let per_output = columns + 1;
        let mut written = vec![0.0; count * outputs * per_output];
        let shape = FrameShape::dense(count, columns, outputs * per_output);
        let mut frame = Frame::new(&rows.scaled, &mut written, shape)?;
        match explain.contributions(&mut frame) {
            Err(error) if error.status() == Status::Unsupported => return Ok(None),
            told => told?,
        }
        let (adds, subtracts) = traded_outputs(&self.info.task, outputs);
        let mut contributions = Vec::with_capacity(count * columns);
        for row in written.chunks_exact(outputs * per_output) {
            for column in 0..columns {
                let of = |output: usize| row[output * per_output + column];
                contributions.push(of(adds) - subtracts.map_or(0.0, of));
            }
        }
        Ok(Some(ContributionSample {
            columns,
            values: rows.raw.clone(),
            contributions,
        }))
    }
}

/// The inputs of predictions, one window after the other.
pub(super) struct Gathered {
    /// As they are in the matrix.
    pub raw: Vec<f32>,
    /// As the model sees them.
    pub scaled: Vec<f32>,
    /// What a readout may need beside them.
    pub facts: Vec<RowFacts>,
}

/// Gathers what some rows were predicted from.
pub(super) fn gather<'a>(
    samples: &Samples,
    rows: impl Iterator<Item = &'a RowPrediction>,
    (window, scaler): (usize, Option<&Scaler>),
) -> Result<Gathered, PluginError> {
    let columns = samples.schema().features.len();
    let (mut raw, mut facts) = (Vec::new(), Vec::new());
    for one in rows {
        let Some(symbol) = samples.get(one.symbol) else {
            continue;
        };
        let (end, labels) = (one.row + 1, &symbol.labels);
        let values = &symbol.features.values;
        raw.extend_from_slice(&values[end.saturating_sub(window) * columns..end * columns]);
        let sides = labels.sides.as_ref();
        facts.push(RowFacts {
            sigma: labels.sigmas.get(one.row).copied().flatten(),
            side: sides.and_then(|sides| sides.get(one.row)).copied(),
        });
    }
    let mut scaled = raw.clone();
    if let Some(scaler) = scaler {
        let told = scaler.apply(&mut scaled);
        told.map_err(|error| PluginError::data(error.to_string()))?;
    }
    Ok(Gathered { raw, scaled, facts })
}

/// A random stream of its own, so that looking at a model changes nothing else.
const EXPLAIN_STREAM: u64 = u64::MAX - 7;

/// The output whose raw score counts for the traded direction, and the one that counts against.
fn traded_outputs(task: &Task, outputs: usize) -> (usize, Option<usize>) {
    match task {
        Task::Classification { classes } if classes.len() == 3 => (2, Some(0)),
        Task::Classification { .. } => (1, None),
        Task::Quantiles { .. } => (outputs / 2, None),
        _ => (0, None),
    }
}

/// What importance by permutation is the rise of.
pub(super) fn loss_in_words(task: &Task) -> &'static str {
    match task {
        Task::Quantiles { .. } => "pinball loss",
        Task::Regression => "squared error",
        _ => "log loss, in nats",
    }
}

/// What [`traded_outputs`] takes, in words.
pub(super) fn score_in_words(task: &Task) -> &'static str {
    match task {
        Task::Classification { classes } if classes.len() == 3 => {
            "raw score of up less that of down (log odds)"
        }
        Task::Classification { .. } => "raw score of acting (log odds)",
        Task::Quantiles { .. } => "raw score of the middle quantile",
        _ => "predicted return",
    }
}

fn importances(model: &dyn Model) -> Result<Vec<(String, Vec<f64>)>, PluginError> {
    let Some(explain) = model.explain() else {
        return Ok(Vec::new());
    };
    let kinds = explain.importance_kinds().into_iter();
    kinds
        .map(|kind| explain.importance(&kind).map(|values| (kind, values)))
        .collect()
}
