//! A model inside the runtime. Rows go through it in batches whose buffers are made once.
//!
//! A model with a free number of rows is asked in powers of two, the largest first, so that few
//! buffers serve any number of rows. One with a fixed number of rows is asked with that many; where
//! fewer are left, the last row stands in the free places and its further answers are dropped.

use fusebox_plugin_api::prelude::*;
use ort::session::Session;
use ort::value::TensorRef;

use crate::answers::{self, Number, Writing};
use crate::binding::{Bound, Output, Shapes, failed};
use crate::contract::Contract;
use crate::provider::Provider;
use crate::settings::{Activation, Missing};

/// How rows are read and answers are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Manner {
    /// What happens to NaN.
    pub(crate) missing: Missing,
    /// The number for NaN, where it is filled.
    pub(crate) fill: f32,
    /// What the output goes through.
    pub(crate) activation: Activation,
    /// How it is written.
    pub(crate) writing: Writing,
}

/// A session with its buffers.
#[derive(Debug)]
pub(crate) struct Running {
    session: Session,
    contract: Contract,
    /// Shape of the output for one row, or for the fixed number of them.
    output_shape: Vec<i64>,
    values: usize,
    batch_rows: usize,
    shares_memory: bool,
    /// Buffers for 1, 2, 4 ... rows, or for the fixed number of rows alone; made when needed.
    bound: Vec<Option<Bound>>,
}

impl Running {
    /// Takes a session whose output has `output_shape` for one row, or for the fixed number.
    pub(crate) fn new(
        (session, provider): (Session, Provider),
        contract: Contract,
        output_shape: Vec<i64>,
        batch_rows: usize,
    ) -> Self {
        let rows = contract.fixed_rows.unwrap_or(1);
        let elements: i64 = output_shape.iter().product();
        let kinds = match contract.fixed_rows {
            Some(_) => 1,
            None => batch_rows.ilog2() as usize + 1,
        };
        Self {
            session,
            output_shape,
            values: elements as usize / rows,
            batch_rows: contract.fixed_rows.unwrap_or(batch_rows),
            shares_memory: provider.shares_memory(),
            bound: (0..kinds).map(|_| None).collect(),
            contract,
        }
    }

    /// Makes the buffers of a single row and of a full batch, and runs both.
    pub(crate) fn warm_up(&mut self) -> Result<()> {
        for rows in [1, self.batch_rows] {
            let place = self.place(rows);
            let (bound, session) = self.bound(place)?;
            bound.input().fill(0.0);
            bound.run(session)?;
        }
        Ok(())
    }

    /// Answers every row of a frame whose shape was checked.
    pub(crate) fn predict(&mut self, frame: &mut Frame<'_>, manner: Manner) -> Result<()> {
        let (rows, mut first) = (frame.rows(), 0);
        while first < rows {
            let left = (rows - first).min(self.batch_rows);
            let place = self.place(left);
            let (size, count) = match self.contract.fixed_rows {
                Some(fixed) => (fixed, left),
                None => (1 << place, 1 << place),
            };
            let (values, columns) = (self.values, self.contract.columns);
            let (bound, session) = self.bound(place)?;
            fill(
                bound.input(),
                frame,
                (first, count, size),
                (columns, manner),
            )?;
            bound.run(session)?;
            let answers = (first, count, values);
            match &bound.output {
                Output::Single(tensor) => take(tensor.extract_tensor().1, frame, answers, manner),
                Output::Double(tensor) => take(tensor.extract_tensor().1, frame, answers, manner),
                Output::Whole(tensor) => take(tensor.extract_tensor().1, frame, answers, manner),
                Output::Long(tensor) => take(tensor.extract_tensor().1, frame, answers, manner),
            }
            first += count;
        }
        Ok(())
    }

    /// Which buffers serve `rows`, or the largest part of them.
    fn place(&self, rows: usize) -> usize {
        match self.contract.fixed_rows {
            Some(_) => 0,
            None => rows.max(1).ilog2() as usize,
        }
    }

    fn bound(&mut self, place: usize) -> Result<(&mut Bound, &mut Session)> {
        let rows = self.contract.fixed_rows.unwrap_or(1 << place) as i64;
        let slot = self.bound.get_mut(place);
        let slot = slot.ok_or_else(|| PluginError::state("a batch is larger than it may be"))?;
        let bound = match slot {
            Some(bound) => bound,
            empty => {
                let mut input = self.contract.input_shape.clone();
                let mut output = self.output_shape.clone();
                for shape in [&mut input, &mut output] {
                    shape[0] = rows;
                }
                empty.insert(Bound::new(
                    &self.session,
                    &Shapes {
                        input: (&self.contract.input, &input),
                        output: (&self.contract.output, &output),
                        numbers: self.contract.numbers,
                        shares_memory: self.shares_memory,
                    },
                )?)
            }
        };
        Ok((bound, &mut self.session))
    }
}

/// Copies `count` rows of a frame from `first` on into a buffer for `size` rows; the last one
/// fills what is left.
fn fill(
    buffer: &mut [f32],
    frame: &Frame<'_>,
    (first, count, size): (usize, usize, usize),
    (columns, manner): (usize, Manner),
) -> Result<()> {
    let per_row = buffer.len() / size.max(1);
    let mut places = buffer.chunks_exact_mut(per_row.max(1));
    for row in first..first + count {
        let Some(place) = places.next() else { break };
        let window = frame.row(row);
        for (step, place) in place.chunks_exact_mut(columns).enumerate() {
            place.copy_from_slice(window.step(step));
        }
        match manner.missing {
            Missing::Pass => {}
            Missing::Fill => place
                .iter_mut()
                .filter(|value| value.is_nan())
                .for_each(|value| *value = manner.fill),
            Missing::Refuse => {
                if let Some(column) = place.iter().position(|value| value.is_nan()) {
                    return Err(missing(row, column % columns));
                }
            }
        }
    }
    if count < size && count > 0 {
        let (rows, rest) = buffer.split_at_mut(count * per_row);
        let last = &rows[(count - 1) * per_row..];
        rest.chunks_exact_mut(per_row)
            .for_each(|place| place.copy_from_slice(last));
    }
    Ok(())
}

#[cold]
fn missing(row: usize, column: usize) -> PluginError {
    PluginError::data(format!(
        "row {row} has no value in column {column}, and `missing` is `refuse`; let the model have \
         it with `pass`, or put a number there with `fill`"
    ))
}

fn take<T: Number>(
    values: &[T],
    frame: &mut Frame<'_>,
    (first, count, per_row): (usize, usize, usize),
    manner: Manner,
) {
    let rows = values.chunks_exact(per_row.max(1)).take(count);
    for (row, values) in rows.enumerate() {
        let how = (manner.activation, manner.writing);
        answers::write(values, how, frame.output_row_mut(first + row));
    }
}

/// The shape of the output for so many rows of zeros, and for twice as many where that is allowed.
///
/// # Errors
/// A sentence where the runtime cannot answer, or the output has not one block for each row.
pub(crate) fn try_out(session: &mut Session, contract: &Contract) -> Result<Vec<i64>> {
    let rows = contract.fixed_rows.unwrap_or(1);
    let first = output_shape(session, contract, rows)?;
    let fits = |shape: &[i64], rows: usize| {
        let elements: i64 = shape.iter().product();
        shape.first() == Some(&(rows as i64)) && elements > 0
    };
    let mut wrong = (!fits(&first, rows)).then(|| (rows, first.clone()));
    if contract.fixed_rows.is_none() && wrong.is_none() {
        let second = output_shape(session, contract, 2)?;
        if !fits(&second, 2) || second[1..] != first[1..] {
            wrong = Some((2, second));
        }
    }
    match wrong {
        None => Ok(first),
        Some((rows, shape)) => Err(PluginError::config(format!(
            "the output `{}` has the shape {shape:?} for {rows} rows; one block for each row is \
             needed, rows first",
            contract.output
        ))),
    }
}

fn output_shape(session: &mut Session, contract: &Contract, rows: usize) -> Result<Vec<i64>> {
    let mut shape = contract.input_shape.clone();
    shape[0] = rows as i64;
    let zeros = vec![0.0_f32; rows * contract.window * contract.columns];
    let answer = || -> ort::Result<Vec<i64>> {
        let input = TensorRef::from_array_view((shape, &*zeros))?;
        let outputs = session.run(ort::inputs![contract.input.as_str() => input])?;
        let output = outputs.get(&contract.output);
        let shape = output.and_then(|output| output.dtype().tensor_shape());
        Ok(shape.map_or_else(Vec::new, |shape| shape.to_vec()))
    };
    answer().map_err(|error| failed("answer a row of zeros", &error))
}
