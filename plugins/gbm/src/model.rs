//! A fitted model: rows in, class probabilities or numbers out.
//!
//! Flat trees answer by default; the library answers where the configuration says so, and for
//! models that flat trees cannot hold. The answers are the same bits, whoever gives them and
//! however many rows come at once. Rows are read where the host has them. The model keeps no state
//! between rows: its snapshot is empty.

use std::ffi::CString;

use fusebox_plugin_api::export::{LogLevel, log};
use fusebox_plugin_api::prelude::*;

use crate::artifact::{self, Header};
use crate::booster::{Answers, Booster, Loaded};
use crate::flat::FlatPredictor;
use crate::metric::MetricKind;
use crate::params::{self, Params};

/// A model fitted by [`GbmLearner`](crate::GbmLearner).
#[derive(Debug)]
pub struct GbmModel {
    library: Box<dyn Answers>,
    /// `None` where the library answers.
    flat: Option<FlatPredictor>,
    header: Header,
    artifact: Vec<u8>,
    loaded: Loaded,
    /// What the user of the model set.
    params: Params,
    /// Whether missing values are refused, by the fit or by the user of the model.
    missing_refused: bool,
}

impl CreateModel for GbmModel {
    fn create(config: &Config, artifact: &[u8]) -> Result<Self> {
        let params = Params::resolve(config)?;
        let library = Booster::of_artifact(&artifact::read(artifact)?.0.library)?.load(config)?;
        Self::from_artifact(library, params, artifact.to_vec())
    }
}

impl GbmModel {
    /// Reads a model from the bytes of its artifact.
    pub(crate) fn from_artifact(loaded: Loaded, params: Params, artifact: Vec<u8>) -> Result<Self> {
        let (header, texts) = artifact::read(&artifact)?;
        if let Some(checkpoint) = header.checkpoint {
            return Err(PluginError::data(format!(
                "this is a checkpoint after round {}, not a finished model; continue the fit",
                checkpoint.rounds_done
            )));
        }
        let booster = Booster::of_artifact(&header.library)?;
        let flat = flat_trees(booster, &params, &texts)?;
        let library = loaded.open(&texts, params.predict_threads)?;
        check_text(&header, library.as_ref())?;
        check_flat(flat.as_ref(), library.as_ref())?;
        let learned = header.params.get(params::MISSING);
        let missing_refused = learned.is_some_and(|value| value == params::REFUSED);
        Ok(Self {
            library,
            flat,
            header,
            artifact,
            loaded,
            missing_refused: missing_refused || params.missing_refused,
            params,
        })
    }

    /// The artifact.
    pub(crate) fn artifact(&self) -> &[u8] {
        &self.artifact
    }

    /// The library, for another model.
    pub(crate) fn loaded(&self) -> Loaded {
        self.loaded
    }

    /// What the user of the model set.
    pub(crate) fn params(&self) -> &Params {
        &self.params
    }

    fn answer(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        frame.expect(self.library.columns(), 1, self.outputs())?;
        let task = &self.header.task;
        let write = |answer: &[f64], output: &mut [f32]| write_answer(task, answer, output);
        match &mut self.flat {
            Some(flat) => {
                flat.predict(frame, write);
                Ok(())
            }
            None => self.library.predict(frame, &write),
        }
    }

    /// Refuses rows with missing values, naming the first.
    fn check_missing(&self, frame: &Frame<'_>) -> Result<()> {
        let columns = self.header.features.len().min(frame.columns());
        let missing = |row: usize| {
            let values = &frame.features(row)[..columns];
            let column = values.iter().position(|value| value.is_nan())?;
            Some((row, column))
        };
        match (0..frame.rows()).find_map(missing) {
            None => Ok(()),
            Some((row, column)) => Err(PluginError::data(format!(
                "row {row} has no value of `{}`, and missing values are refused by the key `{}`",
                self.header.features[column],
                params::MISSING
            ))),
        }
    }

    /// The model inside the library.
    pub(crate) fn library(&self) -> &dyn Answers {
        self.library.as_ref()
    }

    /// Values written per row.
    pub(crate) fn outputs(&self) -> usize {
        self.header.task.output_columns(1)
    }
}

/// The flat trees of `texts`; `None` where the library answers, by choice or because they cannot.
fn flat_trees(
    booster: Booster,
    params: &Params,
    texts: &[CString],
) -> Result<Option<FlatPredictor>> {
    match booster.flat(texts) {
        Err(error) if error.status() != Status::Unsupported => {
            Err(error.at("not a usable artifact"))
        }
        _ if params.library_answers => Ok(None),
        Ok(forest) => Ok(Some(FlatPredictor::new(forest, params.predict_threads))),
        Err(error) => {
            let reason = error.message();
            log(
                LogLevel::Info,
                &format!("the library itself answers: {reason}"),
            );
            Ok(None)
        }
    }
}

/// A header that does not describe its text is refused, although both are undamaged.
fn check_text(header: &Header, library: &dyn Answers) -> Result<()> {
    let found = (library.columns(), library.outputs(), library.iterations());
    let outputs = match &header.task {
        Task::Classification { classes } if classes.len() == 2 => 1,
        task => task.output_columns(1),
    };
    if found == (header.features.len(), outputs, header.iterations) {
        return Ok(());
    }
    Err(PluginError::data(format!(
        "not a usable artifact: its header says {} features, {outputs} outputs and {} iterations, \
         its trees have {}, {} and {}",
        header.features.len(),
        header.iterations,
        found.0,
        found.1,
        found.2
    )))
}

/// Both readers of one text must have found the same trees.
fn check_flat(flat: Option<&FlatPredictor>, library: &dyn Answers) -> Result<()> {
    let Some(forest) = flat.map(FlatPredictor::forest) else {
        return Ok(());
    };
    let found = (forest.columns(), forest.outputs(), forest.iterations());
    match found == (library.columns(), library.outputs(), library.iterations()) {
        true => Ok(()),
        false => Err(PluginError::data(
            "not a usable artifact: the library reads other trees from it than this plugin",
        )),
    }
}

/// Turns a library's answer for one row into the contract's: both probabilities for two classes.
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
            Task::Quantiles { levels } => {
                let name = |level: &f64| format!("{}_q{level}", header.label);
                levels.iter().map(name).collect()
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
            let loss = params::loss_name(Booster::of_artifact(&header.library)?, &header.task);
            let key = header.params.get("metric").and_then(|key| key.as_str());
            let name = key.and_then(MetricKind::reported_name);
            note(name.unwrap_or(loss), score.into());
        }
        if header.updates.count > 0 {
            note("updates", header.updates.count.into());
            note("update_rows", header.updates.rows.into());
        }
        Ok(info)
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        if self.missing_refused {
            self.check_missing(frame)?;
        }
        self.answer(frame)
    }

    /// Runs a row of missing values, so that the pages of the trees' roots are resident.
    fn warmup(&mut self) -> Result<()> {
        let row = vec![f32::NAN; self.library.columns()];
        let mut output = vec![0.0; self.outputs()];
        let shape = FrameShape::dense(1, row.len(), output.len());
        self.answer(&mut Frame::new(&row, &mut output, shape)?)
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.artifact.clone())
    }

    fn explain(&self) -> Option<&dyn Explain> {
        Some(self)
    }

    fn incremental(&mut self) -> Option<&mut dyn Incremental> {
        Some(self)
    }

    fn quantiles(&self) -> Option<&dyn Quantiles> {
        matches!(self.header.task, Task::Quantiles { .. }).then_some(self)
    }

    fn onnx_export(&self) -> Option<&dyn OnnxExport> {
        Some(self)
    }
}

impl Quantiles for GbmModel {
    fn levels(&self) -> Vec<f64> {
        match &self.header.task {
            Task::Quantiles { levels } => levels.clone(),
            _ => Vec::new(),
        }
    }
}
