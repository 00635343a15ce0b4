//! Whether answers are any: finite numbers, and distributions where they are probabilities.

use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{ModelInfo, Task};

/// How far probabilities may miss 0, 1 and a sum of 1, as sums of many `f32` do.
const PROBABILITY_TOLERANCE: f32 = 1e-3;

/// What the answers of one model must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers {
    /// Values that form one distribution; `None` where the answers are none.
    classes: Option<usize>,
}

/// An answer that is none.
#[derive(Debug)]
pub(super) enum Wrong {
    /// No finite number, or nothing at all.
    Number {
        row: usize,
        column: usize,
        answer: f32,
    },
    /// No distribution.
    Distribution { row: usize, answers: Vec<f32> },
}

impl Answers {
    pub(super) fn of(info: &ModelInfo) -> Self {
        let classes = match &info.task {
            Task::Classification { classes } => Some(classes.len().max(1)),
            _ => None,
        };
        Self { classes }
    }

    /// Refuses NaN, which is also what the model did not write, infinity, and probabilities that
    /// are none: nothing behind the guard handles them. The answers of a replay are thrown away.
    pub(super) fn check(self, frame: &Frame<'_>) -> Result<(), Wrong> {
        if frame.is_replay() {
            return Ok(());
        }
        for row in 0..frame.rows() {
            let answers = frame.output_row(row);
            if let Some(column) = answers.iter().position(|answer| !answer.is_finite()) {
                let answer = answers[column];
                return Err(Wrong::Number {
                    row,
                    column,
                    answer,
                });
            }
            if let Some(classes) = self.classes
                && !answers.chunks(classes).all(is_distribution)
            {
                let answers = answers.to_vec();
                return Err(Wrong::Distribution { row, answers });
            }
        }
        Ok(())
    }
}

impl Wrong {
    /// The rest of a sentence that begins with the plugin's name.
    #[cold]
    pub(super) fn told(&self, info: &ModelInfo) -> String {
        match self {
            Self::Number {
                row,
                column,
                answer,
            } => {
                let name = info.outputs.get(*column).map_or("", String::as_str);
                format!(
                    "answered {answer} in row {row}, column {column} (`{name}`), or nothing at \
                     all; predictions must be finite numbers"
                )
            }
            Self::Distribution { row, answers } => format!(
                "answered {answers:?} in row {row}; probabilities of classes lie between 0 and 1 \
                 and add up to 1"
            ),
        }
    }
}

fn is_distribution(probabilities: &[f32]) -> bool {
    let least = -PROBABILITY_TOLERANCE;
    let sum: f32 = probabilities.iter().sum();
    probabilities.iter().all(|one| *one >= least) && (sum - 1.0).abs() <= PROBABILITY_TOLERANCE
}
