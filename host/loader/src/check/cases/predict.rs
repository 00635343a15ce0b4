//! Level 4: frames of every shape that the contract allows, and memory that ends where it says.

use std::mem::offset_of;

use fusebox_plugin_api::abi::{self, fb_frame};
use fusebox_plugin_api::frame::FrameShape;

use super::plugin;
use crate::check::bench::predict;
use crate::check::golden;
use crate::check::lent::{ErrorBuffer, FrameBytes};
use crate::check::memory::GuardedBlock;
use crate::check::raw::Instance;
use crate::check::{Bench, Case, Finding, HOLDS, Stop, hold, skip};

pub(super) const CASES: &[Case] = &[
    plugin(
        4,
        "golden-vectors",
        "the known answers of the package come out on this machine",
        golden_vectors,
    ),
    plugin(
        4,
        "predict-inside-its-memory",
        "nothing is read past the input, written into it, or written past the output",
        predict_inside_its_memory,
    ),
    plugin(
        4,
        "predict-between-rows",
        "what lies between and around the output rows stays as it is, in every shape",
        predict_between_rows,
    ),
    plugin(
        4,
        "predict-frame-sizes",
        "a frame of an older or a newer host is answered the same",
        predict_frame_sizes,
    ),
    plugin(
        4,
        "predict-optional-columns",
        "times, symbols and deadlines may be there or not",
        predict_optional_columns,
    ),
    plugin(
        4,
        "predict-repeatable",
        "the same instance history gives the same answers, bit by bit",
        predict_repeatable,
    ),
];

fn golden_vectors(bench: &Bench<'_>) -> Finding {
    let Some(package) = &bench.target.package else {
        return skip("a bare library carries no golden vectors");
    };
    match bench
        .target
        .manifest()
        .and_then(|manifest| manifest.golden.as_ref())
    {
        None => skip("the package carries no golden vectors; pack with --golden"),
        Some(stated) => golden::compare(bench, package, stated),
    }
}

/// Shapes worth trying: one row, none, several, strided, with gaps between output rows.
fn shapes(dense: FrameShape) -> [FrameShape; 5] {
    let rows = |rows| FrameShape { rows, ..dense };
    let gap = FrameShape {
        output_stride: dense.output_stride + 5,
        ..rows(7)
    };
    let sliding = FrameShape {
        row_stride: dense.step_stride,
        ..rows(9)
    };
    [rows(1), rows(0), rows(33), gap, sliding]
}

fn predict_inside_its_memory(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut instance = bench.create(&table)?;
    let info = bench.info(&instance)?;
    let mut error = ErrorBuffer::new();
    for shape in shapes(Bench::shape(&info, 1)) {
        let values = bench.rng(40).units(shape.input_len().unwrap_or(0));
        let input = GuardedBlock::new(&values)?.read_only()?;
        let mut output = GuardedBlock::new(&vec![0.0; shape.output_len().unwrap_or(0)])?;
        let frame = FrameBytes::new(input.numbers(), output.numbers_mut(), shape)?;
        let answered = instance.predict(&frame, &mut error);
        answered.map_err(|code| error.told("predict", code))?;
    }
    HOLDS
}

fn predict_between_rows(bench: &Bench<'_>) -> Finding {
    const CANARY: u32 = 0x7FC0_BEEF;
    const AROUND: usize = 64;
    let table = bench.table()?;
    let mut instance = bench.create(&table)?;
    let info = bench.info(&instance)?;
    let mut error = ErrorBuffer::new();
    for shape in shapes(Bench::shape(&info, 1)) {
        let input = bench.rng(41).units(shape.input_len().unwrap_or(0));
        let length = shape.output_len().unwrap_or(0);
        let mut memory = vec![f32::from_bits(CANARY); length + 2 * AROUND];
        let block = memory.get_mut(AROUND..AROUND + length).unwrap_or_default();
        let frame = FrameBytes::new(&input, block, shape)?;
        let answered = instance.predict(&frame, &mut error);
        answered.map_err(|code| error.told("predict", code))?;
        for (at, value) in memory.iter().enumerate() {
            let inside = at.checked_sub(AROUND).filter(|at| *at < length);
            let is_answer =
                inside.is_some_and(|at| at % shape.output_stride < shape.output_columns);
            let is_canary = value.to_bits() == CANARY;
            let place = at as i64 - AROUND as i64;
            hold(is_answer || is_canary, || {
                format!("wrote at output[{place}], which is not its to write ({shape:?})")
            })?;
            hold(!is_answer || !is_canary, || {
                format!("left the answer at output[{place}] unwritten ({shape:?})")
            })?;
        }
        let changed = error.overrun();
        hold(changed.is_none(), || {
            "wrote past the error buffer".to_owned()
        })?;
    }
    HOLDS
}

fn predict_frame_sizes(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let full = abi::size::<fb_frame>();
    // Hosts of version 1.0 lend the whole frame; a reader that honours the size takes what lies
    // beyond it as absent.
    let older = offset_of!(fb_frame, row_event_ns) as u32;
    let expected = answers_of_size(bench, &mut bench.create(&table)?, full)?;
    for (size, whose) in [
        (older, "an older"),
        (full + 8, "a newer"),
        (full + 200, "a much newer"),
    ] {
        let found = answers_of_size(bench, &mut bench.create(&table)?, size)?;
        hold(found == expected, || {
            format!("{whose} host's frame of {size} bytes is answered differently")
        })?;
    }
    HOLDS
}

fn answers_of_size(
    bench: &Bench<'_>,
    instance: &mut Instance,
    size: u32,
) -> Result<Vec<u32>, Stop> {
    let shape = Bench::shape(&bench.info(instance)?, 16);
    let input = bench.rng(42).units(shape.input_len().unwrap_or(0));
    let mut output = vec![f32::NAN; shape.output_len().unwrap_or(0)];
    let mut error = ErrorBuffer::new();
    let frame = FrameBytes::new(&input, &mut output, shape)?.of_size(size);
    let answered = instance.predict(&frame, &mut error);
    answered.map_err(|code| error.told(&format!("predict of a frame of {size} bytes"), code))?;
    Ok(output.iter().map(|value| value.to_bits()).collect())
}

fn predict_optional_columns(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let mut instance = bench.create(&table)?;
    let shape = Bench::shape(&bench.info(&instance)?, 6);
    let input = bench.rng(43).units(shape.input_len().unwrap_or(0));
    let mut output = vec![f32::NAN; shape.output_len().unwrap_or(0)];
    let mut error = ErrorBuffer::new();
    predict(&mut instance, &input, shape)?;
    let times: Vec<i64> = (1..=6).map(|bar| bar * 3_600_000_000_000).collect();
    let symbols = [0_u32, 1, 0, 1, u32::MAX, 7];
    let frame = FrameBytes::new(&input, &mut output, shape)?.with_columns(&times, &symbols);
    let answered = instance.predict(&frame, &mut error);
    answered.map_err(|code| error.told("predict with times and symbols", code))?;
    HOLDS
}

fn predict_repeatable(bench: &Bench<'_>) -> Finding {
    let table = bench.table()?;
    let (mut first, mut second) = (bench.create(&table)?, bench.create(&table)?);
    for salt in 44..50 {
        let expected = bench.answers(&mut first, 50, salt)?;
        hold(bench.answers(&mut second, 50, salt)? == expected, || {
            "two instances that saw the same rows answer differently; a model is a function of \
             its configuration, artifact and rows"
                .to_owned()
        })?;
    }
    HOLDS
}
