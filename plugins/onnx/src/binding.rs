//! Buffers that are bound to a session once, and the run over them.
//!
//! The safe way of the `ort` crate to run a binding makes a list of the outputs each time, which
//! nothing here needs: the outputs are the buffers that were bound.

#![allow(
    unsafe_code,
    reason = "runs a session through its C interface, without the list of outputs that the safe \
              way makes each time"
)]

use fusebox_plugin_api::prelude::*;
use ort::AsPointer;
use ort::memory::Allocator;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use crate::answers::Numbers;

/// The buffer of an output.
#[derive(Debug)]
pub(crate) enum Output {
    /// f32.
    Single(Tensor<f32>),
    /// f64.
    Double(Tensor<f64>),
    /// i32.
    Whole(Tensor<i32>),
    /// i64.
    Long(Tensor<i64>),
}

/// The buffers for a number of rows.
#[derive(Debug)]
pub(crate) struct Bound {
    binding: IoBinding,
    name: String,
    input: Tensor<f32>,
    /// What the last run answered.
    pub(crate) output: Output,
    /// Whether the runtime reads the input where it is; else it is handed over before each run.
    shares_memory: bool,
}

/// What is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shapes<'a> {
    /// Name and shape of the input.
    pub(crate) input: (&'a str, &'a [i64]),
    /// Name and shape of the output.
    pub(crate) output: (&'a str, &'a [i64]),
    /// What the numbers of the output are.
    pub(crate) numbers: Numbers,
    /// Whether the session reads the memory of this process.
    pub(crate) shares_memory: bool,
}

impl Bound {
    /// Makes the buffers and binds them.
    pub(crate) fn new(session: &Session, shapes: &Shapes<'_>) -> Result<Self> {
        Self::make(session, shapes).map_err(|error| failed("bind its buffers", &error))
    }

    fn make(session: &Session, shapes: &Shapes<'_>) -> ort::Result<Self> {
        let allocator = Allocator::default();
        let mut binding = session.create_binding()?;
        let (name, shape) = shapes.input;
        let mut input = Tensor::<f32>::new(&allocator, shape)?;
        // The runtime's memory comes as it is.
        input.extract_tensor_mut().1.fill(0.0);
        binding.bind_input(name, &input)?;
        let (output_name, shape) = shapes.output;
        let mut output = match shapes.numbers {
            Numbers::Single => Output::Single(Tensor::new(&allocator, shape)?),
            Numbers::Double => Output::Double(Tensor::new(&allocator, shape)?),
            Numbers::Whole => Output::Whole(Tensor::new(&allocator, shape)?),
            Numbers::Long => Output::Long(Tensor::new(&allocator, shape)?),
        };
        match &mut output {
            Output::Single(tensor) => binding.bind_output(output_name, tensor)?,
            Output::Double(tensor) => binding.bind_output(output_name, tensor)?,
            Output::Whole(tensor) => binding.bind_output(output_name, tensor)?,
            Output::Long(tensor) => binding.bind_output(output_name, tensor)?,
        }
        Ok(Self {
            binding,
            name: name.to_owned(),
            input,
            output,
            shares_memory: shapes.shares_memory,
        })
    }

    /// Where the rows go.
    pub(crate) fn input(&mut self) -> &mut [f32] {
        self.input.extract_tensor_mut().1
    }

    /// Answers the rows of the input into the output.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        if !self.shares_memory {
            self.binding
                .bind_input(self.name.as_str(), &self.input)
                .map_err(|error| failed("take its rows", &error))?;
        }
        // SAFETY: session and binding are alive and belong together, the binding holds every
        // buffer, and nobody else uses either: both are borrowed for writing.
        let status = unsafe {
            (ort::api().RunWithBinding)(session.ptr_mut(), std::ptr::null(), self.binding.ptr())
        };
        // SAFETY: the status comes from the runtime and is handed on once.
        let result: ort::Result<()> = unsafe { ort::Error::result_from_status(status) };
        result.map_err(|error| failed("answer", &error))
    }
}

/// An error of the runtime's while it was to do something.
pub(crate) fn failed(what: &str, error: &ort::Error) -> PluginError {
    PluginError::new(
        Status::Internal,
        format!("ONNX Runtime could not {what}: {error}"),
    )
}
