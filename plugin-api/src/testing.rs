//! Conformance cases for plugins, as named data, for our own backends and for third-party authors.
//!
//! A case runs against any [`Backend`]: linked, loaded, remote. It makes its own instances, is
//! seeded, and tells in a sentence what it found. Cases never look inside a plugin.
//!
//! ```ignore
//! for case in testing::cases() {
//!     (case.run)(&subject).unwrap_or_else(|problem| panic!("{}: {problem}", case.name));
//! }
//! ```

use crate::config::Config;
use crate::error::{Result, Status};
use crate::frame::{Frame, FrameShape};
use crate::import::ImportedPlugin;
use crate::model::{Model, ModelInfo, Snapshot};

/// A way to make instances of one plugin's model.
pub trait Backend {
    /// Makes a model.
    ///
    /// # Errors
    /// What the plugin says.
    fn create(&self, config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>>;

    /// Whether the plugin answers a factory id with a table.
    fn has_factory(&self, id: &str) -> bool;
}

impl Backend for ImportedPlugin {
    fn create(&self, config: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        Ok(Box::new(self.create_model(config, artifact)?))
    }

    fn has_factory(&self, id: &str) -> bool {
        ImportedPlugin::has_factory(self, id)
    }
}

/// What is tested: a backend with a configuration and an artifact that its `create` accepts.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The backend.
    pub backend: &'a dyn Backend,
    /// A valid configuration.
    pub config: &'a Config,
    /// A valid artifact; empty where the model needs none.
    pub artifact: &'a [u8],
    /// Columns to test with where the model takes any number.
    pub columns: usize,
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("config", self.config)
            .finish_non_exhaustive()
    }
}

/// A case: what must hold, and the code that tries it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Name, in kebab case, stable.
    pub name: &'static str,
    /// The strictness level it belongs to, 2 (scan) to 5 (state).
    pub level: u8,
    /// What must hold.
    pub about: &'static str,
    /// Tries it; the error says what was found instead.
    pub run: fn(&Subject<'_>) -> Outcome,
}

/// What a case found.
pub type Outcome = std::result::Result<(), String>;

/// Every case, in the order of their levels.
#[must_use]
pub fn cases() -> &'static [Case] {
    CASES
}

const CASES: &[Case] = &[
    Case {
        name: "unknown-factory-null",
        level: 2,
        about: "a factory id that does not exist, or has garbage at its end, answers NULL",
        run: unknown_factory_null,
    },
    Case {
        name: "create-destroy-1000",
        level: 3,
        about: "a thousand instances can be made and destroyed",
        run: create_destroy_1000,
    },
    Case {
        name: "two-instances-independent",
        level: 3,
        about: "what one instance is shown does not change what another one answers",
        run: two_instances_independent,
    },
    Case {
        name: "info-consistent",
        level: 3,
        about: "the model names its outputs and takes at least one step",
        run: info_consistent,
    },
    Case {
        name: "predict-rows-1-0-4096",
        level: 4,
        about: "one row, no row and many rows are answered, and the same as one by one",
        run: predict_row_counts,
    },
    Case {
        name: "predict-strided",
        level: 4,
        about: "answers do not depend on the strides",
        run: predict_strided,
    },
    Case {
        name: "predict-canaries",
        level: 4,
        about: "nothing but the answers is written",
        run: predict_canaries,
    },
    Case {
        name: "predict-nan-inf-denormal",
        level: 4,
        about: "missing and extreme values neither crash nor poison the instance",
        run: predict_extreme_values,
    },
    Case {
        name: "predict-wrong-columns",
        level: 4,
        about: "a frame of another shape is refused with E_ARG, and the instance lives on",
        run: predict_wrong_columns,
    },
    Case {
        name: "save-create-same-predictions",
        level: 5,
        about: "a model made from the saved artifact answers the same, bit by bit",
        run: save_create_same_predictions,
    },
    Case {
        name: "snapshot-roundtrip-bit-exact",
        level: 5,
        about: "a restored instance goes on as the original, bit by bit",
        run: snapshot_roundtrip,
    },
    Case {
        name: "restore-garbage-refused",
        level: 5,
        about: "a foreign state or a newer schema is refused and changes nothing",
        run: restore_garbage_refused,
    },
];

impl Subject<'_> {
    fn make(&self) -> std::result::Result<Box<dyn Model>, String> {
        self.backend
            .create(self.config, self.artifact)
            .map_err(|error| format!("create: {error}"))
    }

    fn shape(&self, model: &dyn Model, rows: usize) -> std::result::Result<FrameShape, String> {
        let info = info_of(model)?;
        let columns = info.columns.unwrap_or(self.columns);
        Ok(FrameShape {
            rows,
            window: info.window,
            columns,
            row_stride: columns * info.window,
            step_stride: columns,
            output_columns: info.outputs.len(),
            output_stride: info.outputs.len(),
        })
    }

    fn answers(&self, model: &mut dyn Model, rows: usize, seed: u64) -> Answers {
        let shape = self.shape(model, rows)?;
        let input = numbers(shape.input_len().unwrap_or(0), seed);
        run(model, &input, shape)
    }
}

type Answers = std::result::Result<Vec<u32>, String>;

fn info_of(model: &dyn Model) -> std::result::Result<ModelInfo, String> {
    model.info().map_err(|error| format!("info: {error}"))
}

/// Predicts and returns the answers as bits, so that NaN equals itself.
fn run(model: &mut dyn Model, input: &[f32], shape: FrameShape) -> Answers {
    let mut output = vec![0.0; shape.output_len().unwrap_or(0)];
    let mut frame =
        Frame::new(input, &mut output, shape).map_err(|error| format!("frame: {error}"))?;
    model
        .predict(&mut frame)
        .map_err(|error| format!("predict: {error}"))?;
    let rows = (0..shape.rows).flat_map(|row| frame.output_row(row).to_vec());
    Ok(rows.map(f32::to_bits).collect())
}

/// Seeded numbers between -1 and 1 (xorshift64*, Vigna 2016).
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bits = state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        bits as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn hold(condition: bool, otherwise: impl Into<String>) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(otherwise.into())
    }
}

fn unknown_factory_null(subject: &Subject<'_>) -> Outcome {
    for id in [
        "",
        "fb.model",
        "fb.model/2",
        "fb.model/1x",
        "fb.model/1\0",
        "fb.nonsense/1",
    ] {
        hold(
            !subject.backend.has_factory(id),
            format!("factory {id:?} answers a table"),
        )?;
    }
    hold(
        subject.backend.has_factory("fb.model/1"),
        "factory \"fb.model/1\" answers NULL",
    )
}

fn create_destroy_1000(subject: &Subject<'_>) -> Outcome {
    (0..1000).try_for_each(|_| subject.make().map(drop))
}

fn two_instances_independent(subject: &Subject<'_>) -> Outcome {
    let mut alone = subject.make()?;
    let expected = subject.answers(&mut *alone, 16, 1)?;
    let (mut first, mut second) = (subject.make()?, subject.make()?);
    subject.answers(&mut *second, 64, 2)?;
    let found = subject.answers(&mut *first, 16, 1)?;
    drop(second);
    hold(
        found == expected,
        "an instance answers differently after another one was used",
    )
}

fn info_consistent(subject: &Subject<'_>) -> Outcome {
    let info = info_of(&*subject.make()?)?;
    hold(!info.outputs.is_empty(), "the model names no outputs")?;
    hold(info.window > 0, "the model takes windows of no steps")?;
    let agrees = info.features.is_empty() || info.columns == Some(info.features.len());
    hold(
        agrees,
        "the number of feature names is not the number of columns",
    )
}

fn predict_row_counts(subject: &Subject<'_>) -> Outcome {
    let (mut whole, mut single) = (subject.make()?, subject.make()?);
    let shape = subject.shape(&*whole, 4096)?;
    let input = numbers(shape.input_len().unwrap_or(0), 3);
    let expected = run(&mut *whole, &input, shape)?;
    let one = FrameShape { rows: 1, ..shape };
    let mut found = Vec::with_capacity(expected.len());
    for row in 0..shape.rows {
        let start = row * shape.row_stride;
        found.extend(run(
            &mut *single,
            &input[start..start + shape.row_stride],
            one,
        )?);
        if row == 7 {
            run(&mut *single, &[], FrameShape { rows: 0, ..shape })?;
        }
    }
    hold(
        found == expected,
        "4096 rows at once and one by one are answered differently",
    )
}

fn predict_strided(subject: &Subject<'_>) -> Outcome {
    let (mut packed, mut spread) = (subject.make()?, subject.make()?);
    let dense = subject.shape(&*packed, 33)?;
    let input = numbers(dense.input_len().unwrap_or(0), 4);
    let wide = FrameShape {
        step_stride: dense.step_stride + 3,
        row_stride: (dense.step_stride + 3) * dense.window + 5,
        output_stride: dense.output_stride + 2,
        ..dense
    };
    let mut padded = vec![f32::NAN; wide.input_len().unwrap_or(0)];
    for row in 0..dense.rows {
        for step in 0..dense.window {
            let from = row * dense.row_stride + step * dense.step_stride;
            let to = row * wide.row_stride + step * wide.step_stride;
            padded[to..to + dense.columns].copy_from_slice(&input[from..from + dense.columns]);
        }
    }
    let expected = run(&mut *packed, &input, dense)?;
    let found = run(&mut *spread, &padded, wide)?;
    hold(
        found == expected,
        "strided and packed rows are answered differently",
    )
}

fn predict_canaries(subject: &Subject<'_>) -> Outcome {
    const CANARY: u32 = 0x7FC0_BEEF;
    let mut model = subject.make()?;
    let dense = subject.shape(&*model, 9)?;
    let gap = 3;
    let shape = FrameShape {
        output_stride: dense.output_stride + gap,
        ..dense
    };
    let input = numbers(shape.input_len().unwrap_or(0), 5);
    let before = input.clone();
    let mut memory = vec![f32::from_bits(CANARY); shape.rows * shape.output_stride + 2 * gap];
    let mut frame =
        Frame::new(&input, &mut memory[gap..], shape).map_err(|error| format!("frame: {error}"))?;
    model
        .predict(&mut frame)
        .map_err(|error| format!("predict: {error}"))?;
    for (at, value) in memory.iter().enumerate() {
        let column = (at + shape.output_stride - gap) % shape.output_stride;
        let row_starts_before_end = at >= gap && (at - gap) / shape.output_stride < shape.rows;
        let is_answer = row_starts_before_end && column < shape.output_columns;
        let is_canary = value.to_bits() == CANARY;
        hold(
            is_answer || is_canary,
            format!("wrote outside of the answers, at {at}"),
        )?;
        hold(
            !is_answer || !is_canary,
            format!("left an answer unwritten, at {at}"),
        )?;
    }
    hold(input == before, "wrote into the input")
}

fn predict_extreme_values(subject: &Subject<'_>) -> Outcome {
    let extremes = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE / 2.0,
        f32::MAX,
        0.0,
        -0.0,
    ];
    let mut model = subject.make()?;
    let shape = subject.shape(&*model, extremes.len())?;
    for value in extremes {
        let input = vec![value; shape.input_len().unwrap_or(0)];
        let mut output = vec![0.0; shape.output_len().unwrap_or(0)];
        let mut frame =
            Frame::new(&input, &mut output, shape).map_err(|error| format!("frame: {error}"))?;
        if let Err(error) = model.predict(&mut frame) {
            hold(
                error.status() != Status::Panic,
                format!("panicked on {value}: {error}"),
            )?;
        }
    }
    subject.answers(&mut *model, 4, 6).map(drop)
}

fn predict_wrong_columns(subject: &Subject<'_>) -> Outcome {
    let mut model = subject.make()?;
    if info_of(&*model)?.columns.is_none() {
        return Ok(());
    }
    let right = subject.shape(&*model, 2)?;
    let columns = right.columns + 1;
    let stride = columns * right.window;
    let wrong = FrameShape {
        columns,
        step_stride: columns,
        row_stride: stride,
        ..right
    };
    let input = numbers(wrong.input_len().unwrap_or(0), 7);
    let mut output = vec![0.0; wrong.output_len().unwrap_or(0)];
    let mut frame =
        Frame::new(&input, &mut output, wrong).map_err(|error| format!("frame: {error}"))?;
    match model.predict(&mut frame) {
        Ok(()) => return Err("answered a frame with one column too many".to_owned()),
        Err(error) => {
            hold(
                error.status() == Status::Argument,
                format!("E_ARG was expected, not: {error}"),
            )?;
        }
    }
    subject.answers(&mut *model, 2, 8).map(drop)
}

fn save_create_same_predictions(subject: &Subject<'_>) -> Outcome {
    let mut original = subject.make()?;
    let artifact = original.save().map_err(|error| format!("save: {error}"))?;
    let copy = subject.backend.create(subject.config, &artifact);
    let mut copy = copy.map_err(|error| format!("create from what save wrote: {error}"))?;
    let expected = subject.answers(&mut *original, 65, 9)?;
    let found = subject.answers(&mut *copy, 65, 9)?;
    hold(
        found == expected,
        "the model made from the artifact answers differently",
    )
}

fn snapshot_roundtrip(subject: &Subject<'_>) -> Outcome {
    let mut original = subject.make()?;
    subject.answers(&mut *original, 50, 10)?;
    let snapshot = original
        .snapshot()
        .map_err(|error| format!("snapshot: {error}"))?;
    let mut copy = subject.make()?;
    copy.restore(&snapshot)
        .map_err(|error| format!("restore: {error}"))?;
    let again = copy
        .snapshot()
        .map_err(|error| format!("snapshot: {error}"))?;
    hold(
        again == snapshot,
        "a restored instance takes another snapshot",
    )?;
    let expected = subject.answers(&mut *original, 50, 11)?;
    let found = subject.answers(&mut *copy, 50, 11)?;
    hold(found == expected, "a restored instance answers differently")
}

fn restore_garbage_refused(subject: &Subject<'_>) -> Outcome {
    let mut model = subject.make()?;
    subject.answers(&mut *model, 20, 12)?;
    let good = model
        .snapshot()
        .map_err(|error| format!("snapshot: {error}"))?;
    let mut longer = good.bytes.clone();
    longer.extend([0xA5; 7]);
    let garbage = [
        Snapshot::new(good.schema.wrapping_add(1000), good.bytes.clone()),
        Snapshot::new(good.schema, longer),
        Snapshot::new(good.schema, &good.bytes[..good.bytes.len() / 2]),
    ];
    for (position, state) in garbage.iter().enumerate() {
        if *state == good {
            continue;
        }
        match model.restore(state) {
            Ok(()) => return Err(format!("took over garbage number {position}")),
            Err(error) => {
                hold(
                    error.status() != Status::Panic,
                    format!("panicked: {error}"),
                )?;
            }
        }
    }
    let after = model
        .snapshot()
        .map_err(|error| format!("snapshot: {error}"))?;
    hold(after == good, "a refused restore changed the state")
}
