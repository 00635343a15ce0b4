//! What is wrong with the input of a step, all at once, before anything happens.

use super::{Session, StepError, StepInput};
use crate::types::{Bar, MoneyError, Price, Timestamp};

impl Session {
    /// Finds everything wrong with `input` and takes the closes over as prices.
    pub(super) fn check(&mut self, input: &StepInput<'_>) -> Result<(), StepError> {
        let mut problems = Vec::new();
        if let Some(before) = self.closed_at.filter(|&before| input.closed_at <= before) {
            problems.push(format!("the step before was at {before}"));
        }
        if input.bars.len() != self.symbols.len() {
            problems.push(format!(
                "it has {} bar slots for {} symbols",
                input.bars.len(),
                self.symbols.len()
            ));
        }
        self.buffers.closes.clear();
        for (bar, name) in input.bars.iter().zip(&self.symbols) {
            let close = bar.and_then(|bar| match checked_close(bar, input.closed_at) {
                Ok(close) => Some(close),
                Err(problem) => {
                    problems.push(format!("the bar of {name} {problem}"));
                    None
                }
            });
            self.buffers.closes.push(close);
        }
        self.check_fine(input, &mut problems);
        self.check_answers(input, &mut problems);
        if problems.is_empty() {
            return Ok(());
        }
        Err(StepError::Input {
            closed_at: input.closed_at,
            problems,
        })
    }

    /// Finds what is wrong with the finer bars of `input`.
    fn check_fine(&self, input: &StepInput<'_>, problems: &mut Vec<String>) {
        if input.fine.is_empty() {
            return;
        }
        if input.fine.len() != self.symbols.len() {
            problems.push(format!(
                "it has finer bars of {} symbols for {} symbols",
                input.fine.len(),
                self.symbols.len()
            ));
        }
        let slots = input.bars.iter().zip(input.fine).zip(&self.symbols);
        for ((bar, fine), name) in slots {
            let mut from = bar.map_or(input.closed_at, |bar| bar.opened_at);
            for one in *fine {
                if one.opened_at < from || one.closed_at > input.closed_at {
                    problems.push(format!(
                        "the finer bar of {name} at {} lies in no bar of the signal, or is out of \
                         order",
                        one.opened_at
                    ));
                    break;
                }
                from = one.closed_at;
            }
        }
    }
}

/// The close of a bar that may be stepped over, or what is wrong with the bar.
fn checked_close(bar: &Bar, closed_at: Timestamp) -> Result<Price, String> {
    if bar.closed_at != closed_at || bar.opened_at >= closed_at {
        return Err(format!(
            "is from {} to {}; it must close now",
            bar.opened_at, bar.closed_at
        ));
    }
    match (Price::from_f64(bar.open), Price::from_f64(bar.close)) {
        (Ok(open), Ok(close)) if open > Price::ZERO && close > Price::ZERO => Ok(close),
        (open, close) => {
            let problem = unusable("open", bar.open, open);
            let problem = problem.or_else(|| unusable("close", bar.close, close));
            Err(problem.unwrap_or_default())
        }
    }
}

/// What is wrong with a price that should be above zero.
#[cold]
fn unusable(name: &str, value: f64, price: Result<Price, MoneyError>) -> Option<String> {
    match price {
        Ok(price) if price > Price::ZERO => None,
        Ok(_) => Some(format!("has {name} {value}; it must be above 0")),
        Err(error) => Some(format!("has {name} {error}")),
    }
}
