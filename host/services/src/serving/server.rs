//! One live model over the bars of a market: rows in, answers out, one closing time at a time.
//! Where the model has a readout, its answers are read as in a backtest.
//!
//! It never looks at a bar before it closes and never decides what an answer means.

use std::sync::Arc;

use fusebox_engine::features::ExtractError;
use fusebox_engine::labels::CLASSES;
use fusebox_engine::types::{Bar, Timestamp};
use fusebox_loader::live::{Answered, Generation, LiveError, LiveModel};
use fusebox_loader::{Clock, SystemClock};
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::ModelInfo;

use super::rows::LiveRows;
use crate::training::ModelReadout;

/// Why a live model does not fit the rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model `{model}` does not fit the features: {}; give it the features that it was made for",
    problems.join("; ")
)]
pub struct MisfitError {
    /// Name of the model.
    pub model: String,
    /// Every problem.
    pub problems: Vec<String>,
}

/// A live model and the rows that it is fed with.
#[derive(Debug)]
pub struct ModelServer {
    model: LiveModel,
    rows: LiveRows,
    width: usize,
    output: Vec<f32>,
    /// Names of the answers.
    names: Vec<String>,
    /// The answers as the readout reads them; empty without one.
    read: Vec<f32>,
    is_read: bool,
    known: Known,
    clock: Arc<dyn Clock>,
}

/// What came of one closing time that had rows.
#[derive(Debug)]
pub struct Served<'a> {
    /// When the rows became known.
    pub closed_at: Timestamp,
    /// Whose rows, in id order.
    pub symbols: &'a [u32],
    /// `symbols x width` answers, read by the readout where there is one; not to be read after a
    /// failure.
    pub outputs: &'a [f32],
    /// Answers for each symbol.
    pub width: usize,
    /// Who answered, or why nobody did.
    pub result: Result<Answered, LiveError>,
    /// The generation that is live now.
    pub generation: &'a Arc<Generation>,
    /// How long the answer took, from complete rows to complete answers.
    pub latency_ns: u64,
}

impl Served<'_> {
    /// The answers for the symbol at `position` of [`Served::symbols`].
    #[must_use]
    pub fn answers(&self, position: usize) -> &[f32] {
        let start = position * self.width;
        self.outputs.get(start..start + self.width).unwrap_or(&[])
    }
}

impl ModelServer {
    /// Serves `model`, which goes by `name` in messages, with the rows of `rows`; `features` are
    /// the names of their columns.
    ///
    /// # Errors
    /// [`MisfitError`] where the model takes other rows.
    pub fn new(
        name: &str,
        model: LiveModel,
        rows: LiveRows,
        features: &[String],
    ) -> Result<Self, MisfitError> {
        let mut problems = problems(model.info(), &rows, features);
        let known = Known::of(&model, &rows);
        problems.extend(known.misfit.clone());
        if !problems.is_empty() {
            let model = name.to_owned();
            return Err(MisfitError { model, problems });
        }
        let outputs = &model.info().outputs;
        let width = outputs.len();
        let names = match &known.readout {
            Some(_) => CLASSES.map(|class| format!("p_{class}")).to_vec(),
            None => outputs.clone(),
        };
        Ok(Self {
            model,
            rows,
            width,
            output: Vec::new(),
            names,
            read: Vec::new(),
            is_read: known.readout.is_some(),
            known,
            clock: Arc::new(SystemClock),
        })
    }

    /// The live model.
    #[must_use]
    pub fn model(&self) -> &LiveModel {
        &self.model
    }

    /// Names of the answers: those of the model, or the probabilities where a readout reads them.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.names
    }

    /// The rows that the model is fed with.
    #[must_use]
    pub fn rows(&self) -> &LiveRows {
        &self.rows
    }

    /// Lets generations change hands while no bar closes.
    pub fn poll(&mut self) {
        self.model.poll();
    }

    /// Takes in the bars that close at `closed_at` and asks the model for every symbol whose window
    /// is complete; `None` where there is none yet.
    ///
    /// # Errors
    /// [`ExtractError`] where the bars do not fit the step or the past.
    pub fn step(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
    ) -> Result<Option<Served<'_>>, ExtractError> {
        let (window, columns) = (self.rows.window(), self.rows.columns());
        let ready = self.rows.step(closed_at, bars)?;
        let count = ready.symbols.len();
        if count == 0 {
            self.model.poll();
            return Ok(None);
        }
        self.output.clear();
        self.output.resize(count * self.width, f32::NAN);
        let shape = FrameShape {
            rows: count,
            window,
            columns,
            row_stride: window * columns,
            step_stride: columns,
            output_columns: self.width,
            output_stride: self.width,
        };
        let began = self.clock.now_ns();
        let frame = Frame::new(&ready.input, &mut self.output, shape)
            .and_then(|frame| frame.with_symbols(&ready.symbols));
        let result = match frame {
            Ok(frame) => self
                .model
                .predict(&mut frame.with_event_ns(closed_at.as_nanos())),
            Err(source) => Err(LiveError {
                generation: self.model.generation().number,
                kind: fusebox_loader::guard::FailureKind::Shape,
                source,
            }),
        };
        if self.known.generation != self.model.generation().number {
            self.known = Known::of(&self.model, &self.rows);
            self.known.require_readout(self.is_read);
        }
        let ready = self.rows.ready();
        let result = result.and_then(|answered| self.known.fits().map(|()| answered));
        self.read.clear();
        if let Some(readout) = &self.known.readout {
            let answers = self.output.chunks_exact(self.width).zip(&ready.facts);
            for (values, facts) in answers {
                let read = match &result {
                    Ok(_) => readout.read(*facts, values),
                    Err(_) => [f32::NAN; CLASSES.len()],
                };
                self.read.extend_from_slice(&read);
            }
        }
        let latency_ns = self.clock.now_ns().saturating_sub(began);
        Ok(Some(Served {
            closed_at,
            symbols: &ready.symbols,
            outputs: if self.is_read {
                &self.read
            } else {
                &self.output
            },
            width: self.names.len(),
            result,
            generation: self.model.generation(),
            latency_ns,
        }))
    }
}

/// What is known of the generation that answered last.
#[derive(Debug)]
struct Known {
    generation: u64,
    readout: Option<Arc<ModelReadout>>,
    /// Why its answers cannot be used over these rows.
    misfit: Option<String>,
}

impl Known {
    fn of(model: &LiveModel, rows: &LiveRows) -> Self {
        let generation = model.generation();
        let readout = generation.dressing.readout.clone();
        let readout = readout.and_then(|readout| readout.downcast::<ModelReadout>().ok());
        let is_trained_on = |digest: &String| digest.eq_ignore_ascii_case(rows.feature_set());
        let misfit = match (&generation.feature_set, &readout) {
            (Some(digest), _) if !is_trained_on(digest) => Some(format!(
                "it was trained on the feature set {digest}, the rows are of {}",
                rows.feature_set()
            )),
            (_, Some(readout)) if readout.outputs() != model.info().outputs.len() => Some(format!(
                "its readout reads {} answers, it gives {}",
                readout.outputs(),
                model.info().outputs.len()
            )),
            (_, Some(readout)) if readout.needs() != *rows.needs() => Some(
                "its readout needs another volatility or primary signal than is followed here; \
                 serve it anew"
                    .to_owned(),
            ),
            _ => None,
        };
        Self {
            generation: generation.number,
            readout,
            misfit,
        }
    }

    /// Answers do not change their meaning while a model is served.
    fn require_readout(&mut self, is_wanted: bool) {
        if self.readout.is_some() != is_wanted {
            let words = "the generation before it has a readout and it has none, or the reverse";
            self.misfit.get_or_insert_with(|| words.to_owned());
        }
    }

    fn fits(&self) -> Result<(), LiveError> {
        match &self.misfit {
            None => Ok(()),
            Some(words) => Err(LiveError {
                generation: self.generation,
                kind: fusebox_loader::guard::FailureKind::Error,
                source: PluginError::state(words.clone()),
            }),
        }
    }
}

fn problems(info: &ModelInfo, rows: &LiveRows, features: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if info
        .columns
        .is_some_and(|columns| columns != rows.columns())
    {
        problems.push(format!(
            "it takes {} columns, the features are {}",
            info.columns.unwrap_or_default(),
            rows.columns()
        ));
    } else if !info.features.is_empty() && info.features != features {
        let differing = info
            .features
            .iter()
            .zip(features)
            .find(|(own, given)| own != given);
        problems.push(match differing {
            Some((own, given)) => format!("it wants `{own}` where the features have `{given}`"),
            None => "it wants other features".to_owned(),
        });
    }
    if info.window != rows.window() {
        problems.push(format!(
            "it takes windows of {} steps, the rows have {}",
            info.window,
            rows.window()
        ));
    }
    problems
}
