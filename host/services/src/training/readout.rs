//! What a model writes for a row, read as probabilities of down, flat and up, which evaluation and
//! trading understand.

use fusebox_engine::dataset::{Fold, Samples, SymbolSamples};
use fusebox_engine::labels::{Direction, LabelConfig, LabelTask, ReturnReadout};
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::model::{ModelInfo, Task};

/// A row about which nothing can be said.
const FLAT: [f32; 3] = [0.0, 1.0, 0.0];

/// What the learner is to learn.
pub(super) fn task(labels: &LabelTask) -> Task {
    match labels {
        LabelTask::Direction | LabelTask::Acting => {
            let names = labels.classes().iter();
            let classes = names.map(|name| (*name).to_owned()).collect();
            Task::Classification { classes }
        }
        LabelTask::Returns { .. } => Task::Regression,
    }
}

/// How the answers of one model are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Readout {
    /// Values that the model writes for a row.
    pub outputs: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// The three probabilities themselves.
    Direction,
    /// Probabilities of passing and acting: acting is the side of the primary signal.
    Acting,
    /// A return, at this position.
    Returns(usize, ReturnReadout),
}

impl Readout {
    /// The readout of a model, trained on a fold, that says `info` of itself.
    ///
    /// # Errors
    /// A model that states another task than was asked for would escape the guard's check of
    /// probabilities; one that does not predict the traded return cannot be traded.
    pub(super) fn new(
        info: &ModelInfo,
        labels: &LabelConfig,
        (samples, fold): (&Samples, &Fold),
    ) -> Result<Self, PluginError> {
        let asked = task(samples.task());
        let outputs = info.outputs.len();
        let expected = asked.output_columns(samples.schema().labels.len());
        let kind = match samples.task() {
            LabelTask::Direction => Kind::Direction,
            LabelTask::Acting => Kind::Acting,
            LabelTask::Returns { .. } => {
                let position = traded(info, samples)?;
                let spread_sigmas = samples.traded_spread(fold).ok_or_else(|| {
                    PluginError::data("the returns of the training rows are all the same")
                })?;
                let readout = ReturnReadout {
                    upper_sigmas: labels.upper_sigmas,
                    lower_sigmas: labels.lower_sigmas,
                    spread_sigmas,
                };
                Kind::Returns(position, readout)
            }
        };
        // A regression may leave horizons out, as long as the traded one is there.
        let fits = outputs == expected || matches!(kind, Kind::Returns(..)) && outputs > 0;
        if info.task.kind() == asked.kind() && fits {
            return Ok(Self { outputs, kind });
        }
        Err(PluginError::internal(format!(
            "its model states the task {:?} with {outputs} outputs; {:?} with {expected} outputs \
             was asked for",
            info.task.kind(),
            asked.kind(),
        )))
    }

    /// The probabilities of down, flat and up that `values`, the model's answer for a row of
    /// `symbol`, stand for.
    pub(super) fn read(&self, symbol: &SymbolSamples, row: usize, values: &[f32]) -> [f32; 3] {
        let labels = &symbol.labels;
        match (self.kind, values) {
            (Kind::Direction, &[down, flat, up]) => [down, flat, up],
            (Kind::Acting, &[pass, act]) => {
                let sides = labels.sides.as_deref().unwrap_or(&[]);
                match sides.get(row) {
                    Some(Direction::Up) => [0.0, pass, act],
                    Some(Direction::Down) => [act, pass, 0.0],
                    _ => FLAT,
                }
            }
            (Kind::Returns(position, readout), values) => {
                let value = values.get(position).copied().unwrap_or(0.0);
                let sigmas = labels.in_sigmas(row, f64::from(value));
                sigmas.map_or(FLAT, |sigmas| readout.probabilities(sigmas))
            }
            _ => FLAT,
        }
    }
}

/// Position of the traded return among a model's outputs.
fn traded(info: &ModelInfo, samples: &Samples) -> Result<usize, PluginError> {
    let columns = &samples.schema().labels;
    let name = columns.first().map_or("", String::as_str);
    let by_name = info.outputs.iter().position(|output| output == name);
    by_name
        .or_else(|| (info.outputs.len() == columns.len()).then_some(0))
        .ok_or_else(|| {
            PluginError::config(format!(
                "its model predicts {}, and the horizon that is traded is `{name}`; set \
                 `model.params.label` to that",
                info.outputs.join(", ")
            ))
        })
}
