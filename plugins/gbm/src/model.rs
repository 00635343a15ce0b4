//! A fitted model: rows in, class probabilities or numbers out.
//!
//! Flat trees answer by default; LightGBM answers where the configuration says so, and for models
//! that flat trees cannot hold. The answers are the same bits, whoever gives them and however many
//! rows come at once. Rows are read where the host has them. The model keeps no state between rows:
//! its snapshot is empty.
//!
//! LightGBM gets a packed batch as a whole; a single row, rows with gaps between them, and rows
//! that would have to wait for a fit with another number of threads go one by one through its
//! prepared single-row path.

use std::ffi::CString;

use fusebox_plugin_api::export::{LogLevel, log};
use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Header};
use crate::flat::{self, FlatPredictor};
use crate::lightgbm::{self, Booster, Grant, Library, Output, RowPredictor};
use crate::params::{Params, predict_text};

/// Rows predicted by one call of LightGBM's batch path; bounds the buffer of raw answers.
const BATCH_ROWS: usize = 4_096;
/// Fewest rows for which setting up a batch pays.
const FEWEST_BATCH_ROWS: usize = 16;

/// A model fitted by [`GbmLearner`](crate::GbmLearner).
#[derive(Debug)]
pub struct GbmModel {
    predictor: RowPredictor,
    /// `None` where the library answers.
    flat: Option<FlatPredictor>,
    header: Header,
    artifact: Vec<u8>,
    threads: u32,
    batch_parameters: CString,
    /// LightGBM's answers in f64; grows to the largest batch seen and stays.
    answers: Vec<f64>,
}

impl CreateModel for GbmModel {
    fn create(config: &Config, artifact: &[u8]) -> Result<Self> {
        let params = Params::resolve(config)?;
        let library = lightgbm::library(config)?;
        Self::from_artifact(library, &params, artifact.to_vec())
    }
}

impl GbmModel {
    /// Reads a model from the bytes of its artifact.
    pub(crate) fn from_artifact(
        library: &'static Library,
        params: &Params,
        artifact: Vec<u8>,
    ) -> Result<Self> {
        let (header, text) = artifact::read(&artifact)?;
        if let Some(checkpoint) = header.checkpoint {
            return Err(PluginError::data(format!(
                "this is a checkpoint after round {}, not a finished model; continue the fit",
                checkpoint.rounds_done
            )));
        }
        let flat = flat_trees(params, &text.to_string_lossy())?;
        let (booster, iterations) = Booster::from_text(library, &text)?;
        check_text(&header, &booster, iterations)?;
        check_flat(flat.as_ref(), &booster, iterations)?;
        let grant = lightgbm::share();
        let predictor = RowPredictor::new(booster, &predict_text(grant.threads())?)?;
        drop(grant);
        Ok(Self {
            answers: vec![0.0; predictor.outputs()],
            predictor,
            flat,
            header,
            artifact,
            threads: params.predict_threads,
            batch_parameters: predict_text(params.predict_threads)?,
        })
    }

    /// The trees.
    pub(crate) fn booster(&self) -> &Booster {
        self.predictor.booster()
    }

    /// Values written per row.
    pub(crate) fn outputs(&self) -> usize {
        self.header.task.output_columns(1)
    }

    /// The grant for a packed frame large enough, where it can be had without waiting.
    fn batch_grant(&self, frame: &Frame<'_>) -> Option<Grant> {
        let shape = frame.shape();
        let packed = shape.row_stride == shape.columns;
        let wanted = packed && shape.rows >= FEWEST_BATCH_ROWS;
        wanted
            .then(|| lightgbm::try_acquire(self.threads))
            .flatten()
    }

    fn predict_one_by_one(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let per_row = self.predictor.outputs();
        for row in 0..frame.rows() {
            let answers = &mut self.answers[..per_row];
            self.predictor.predict_row(frame.features(row), answers)?;
            write_answer(&self.header.task, answers, frame.output_row_mut(row));
        }
        Ok(())
    }

    fn predict_batch(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let (rows, columns) = (frame.rows(), frame.columns());
        let per_row = self.predictor.outputs();
        let room = rows.min(BATCH_ROWS) * per_row;
        if self.answers.len() < room {
            self.answers.resize(room, 0.0);
        }
        let input = frame.input();
        for first in (0..rows).step_by(BATCH_ROWS) {
            let last = rows.min(first + BATCH_ROWS);
            let answers = &mut self.answers[..(last - first) * per_row];
            let block = &input[first * columns..last * columns];
            let booster = self.predictor.booster();
            booster.predict(block, Output::Normal, &self.batch_parameters, answers)?;
            for (row, answer) in (first..last).zip(answers.chunks_exact(per_row)) {
                write_answer(&self.header.task, answer, frame.output_row_mut(row));
            }
        }
        Ok(())
    }
}

/// The flat trees of `text`; `None` where the library answers, by choice or because they cannot.
fn flat_trees(params: &Params, text: &str) -> Result<Option<FlatPredictor>> {
    match flat::lightgbm::read(text) {
        Err(error) if error.status() != Status::Unsupported => {
            Err(error.at("not a usable artifact"))
        }
        _ if params.library_answers => Ok(None),
        Ok(forest) => Ok(Some(FlatPredictor::new(forest, params.predict_threads))),
        Err(error) => {
            let reason = error.message();
            log(
                LogLevel::Info,
                &format!("LightGBM itself answers: {reason}"),
            );
            Ok(None)
        }
    }
}

/// A header that does not describe its text is refused, although both are undamaged.
fn check_text(header: &Header, booster: &Booster, iterations: usize) -> Result<()> {
    let columns = booster.columns()?;
    let outputs = booster.output_len(1, Output::Normal)?;
    let expected = match &header.task {
        Task::Classification { classes } if classes.len() > 2 => classes.len(),
        _ => 1,
    };
    if (columns, outputs, iterations) == (header.features.len(), expected, header.iterations) {
        return Ok(());
    }
    Err(PluginError::data(format!(
        "not a usable artifact: its header says {} features, {expected} outputs and {} iterations, \
         its trees have {columns}, {outputs} and {iterations}",
        header.features.len(),
        header.iterations
    )))
}

/// Both readers of one text must have found the same trees.
fn check_flat(flat: Option<&FlatPredictor>, booster: &Booster, iterations: usize) -> Result<()> {
    let Some(forest) = flat.map(FlatPredictor::forest) else {
        return Ok(());
    };
    let found = (forest.columns(), forest.outputs(), forest.iterations());
    let outputs = booster.output_len(1, Output::Normal)?;
    match found == (booster.columns()?, outputs, iterations) {
        true => Ok(()),
        false => Err(PluginError::data(
            "not a usable artifact: LightGBM reads other trees from it than this plugin",
        )),
    }
}

/// Turns LightGBM's answer for one row into the contract's: both probabilities for two classes.
fn write_answer(task: &Task, answer: &[f64], output: &mut [f32]) {
    match (task, answer, output) {
        (Task::Classification { .. }, [up], [first, second]) => {
            *first = (1.0 - up) as f32;
            *second = *up as f32;
        }
        (_, answer, output) => {
            for (value, answer) in output.iter_mut().zip(answer) {
                *value = *answer as f32;
            }
        }
    }
}

impl Model for GbmModel {
    fn info(&self) -> Result<ModelInfo> {
        let header = &self.header;
        let outputs: Vec<String> = match &header.task {
            Task::Classification { classes } => {
                classes.iter().map(|class| format!("p_{class}")).collect()
            }
            _ => vec![header.label.clone()],
        };
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let info = ModelInfo::new(header.task.clone(), &outputs);
        let mut info = info.with_features(&header.features);
        let mut note = |key: &str, value: serde_json::Value| {
            info.notes.insert(key.to_owned(), value);
        };
        note("library", header.library.as_str().into());
        note("iterations", header.iterations.into());
        note("label", header.label.as_str().into());
        note("training_rows", header.training_rows.into());
        if let Some(best) = header.best_iteration {
            note("best_iteration", best.into());
        }
        if let Some(score) = header.best_score {
            note(crate::params::metric_name(&header.task), score.into());
        }
        Ok(info)
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        frame.expect(self.predictor.columns(), 1, self.outputs())?;
        if let Some(flat) = &mut self.flat {
            let task = &self.header.task;
            flat.predict(frame, |answer, output| write_answer(task, answer, output));
            return Ok(());
        }
        match self.batch_grant(frame) {
            Some(_grant) => self.predict_batch(frame),
            None => self.predict_one_by_one(frame),
        }
    }

    /// Runs a row of missing values, so that the pages of the trees' roots are resident.
    fn warmup(&mut self) -> Result<()> {
        let row = vec![f32::NAN; self.predictor.columns()];
        let mut output = vec![0.0; self.outputs()];
        let shape = FrameShape::dense(1, row.len(), output.len());
        self.predict(&mut Frame::new(&row, &mut output, shape)?)
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.artifact.clone())
    }

    fn explain(&self) -> Option<&dyn Explain> {
        Some(self)
    }
}
