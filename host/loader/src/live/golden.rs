//! Known answers: a small JSON file in a package, checked on the machine that is going to use it.
//!
//! ```json
//! {
//!   "golden": 1,
//!   "config": {"alpha": 0.5},
//!   "artifact": "golden.bin",
//!   "frames": [
//!     {"rows": 2, "window": 1, "columns": 1, "event_ns": 60000000000,
//!      "inputs": [1, "0x7fc00000"], "outputs": 1, "expected": ["0x3f000000", 0.75]}
//!   ]
//! }
//! ```
//!
//! `config` and `artifact` (the path of a file in the package) may be absent: the model's own are
//! used then.
//! A value is a decimal number or the bit pattern of an `f32`. The frames go to one fresh instance,
//! in order; every answer may differ by as many units in the last place as the manifest allows.

use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::PluginError;
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::Model;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::state::{Reason, Rejection};

/// Number of the layout.
const LAYOUT: u32 = 1;

/// Largest golden file.
pub const MAX_GOLDEN_BYTES: u64 = 64 << 20;

/// Known answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Number of the layout, 1.
    pub golden: u32,
    /// The configuration of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// Path of the artifact in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// The frames, in order.
    pub frames: Vec<GoldenFrame>,
}

/// One frame and its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenFrame {
    /// Rows.
    pub rows: usize,
    /// Steps per row.
    pub window: usize,
    /// Features per step.
    pub columns: usize,
    /// Time of the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_ns: Option<i64>,
    /// `rows x window x columns` values.
    pub inputs: Vec<Bits>,
    /// Answers per row.
    pub outputs: usize,
    /// `rows x outputs` values.
    pub expected: Vec<Bits>,
}

/// An `f32` that survives being written: as a number or as `0x` and eight hexadecimal digits.
#[derive(Debug, Clone, Copy)]
pub struct Bits(pub f32);

impl PartialEq for Bits {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Serialize for Bits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_plain = self.0.fract() == 0.0 && self.0.abs() < 1e6 && self.0.is_sign_positive();
        if is_plain {
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_str(&format!("{:#010x}", self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |value: &Value| {
            let hint = "it must be a number or the bits of one such as \"0x3f800000\"";
            serde::de::Error::custom(format!("{value} is no value; {hint}"))
        };
        let value = Value::deserialize(deserializer)?;
        let number = match &value {
            Value::Number(number) => number.as_f64().map(|number| number as f32),
            Value::String(text) => text
                .strip_prefix("0x")
                .filter(|digits| digits.len() == 8)
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .map(f32::from_bits),
            _ => None,
        };
        number.map(Self).ok_or_else(|| wrong(&value))
    }
}

/// The input of one golden frame, before its answers are known.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenInput {
    /// Rows.
    pub rows: usize,
    /// Features per step.
    pub columns: usize,
    /// `rows x window x columns` values.
    pub inputs: Vec<f32>,
    /// Time of the frame.
    pub event_ns: Option<i64>,
}

/// Known answers with what they were read beside.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenSet {
    /// The file.
    pub golden: Golden,
    /// The artifact that it names.
    pub artifact: Option<Vec<u8>>,
    /// Largest allowed difference, in units in the last place.
    pub tolerance_ulp: u64,
}

impl Golden {
    /// Reads the text of a golden file.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let golden: Self = serde_json::from_str(text)
            .map_err(|error| format!("the golden file is not of layout {LAYOUT}: {error}"))?;
        let mut problems = Vec::new();
        if golden.golden != LAYOUT {
            problems.push(format!(
                "`golden` is {}; this version reads {LAYOUT}",
                golden.golden
            ));
        }
        if golden.frames.is_empty() {
            problems.push("it has no frames".to_owned());
        }
        for (number, frame) in golden.frames.iter().enumerate() {
            let product = |counts: &[usize]| {
                counts
                    .iter()
                    .try_fold(1_usize, |product, count| product.checked_mul(*count))
            };
            let inputs = product(&[frame.rows, frame.window, frame.columns]);
            if frame.window == 0 || inputs != Some(frame.inputs.len()) {
                problems.push(format!(
                    "frame {number}: `inputs` has another length than its shape"
                ));
            }
            if product(&[frame.rows, frame.outputs]) != Some(frame.expected.len()) {
                problems.push(format!("frame {number}: `expected` has another length"));
            }
        }
        if problems.is_empty() {
            Ok(golden)
        } else {
            Err(problems.join("; "))
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }

    /// The configuration of the instance; `own` where the file has none.
    ///
    /// # Errors
    /// Never, for a file that was read.
    pub fn config_or(&self, own: &Config) -> Result<Config, PluginError> {
        match &self.config {
            Some(config) => Config::from_value(Value::Object(config.clone())),
            None => Ok(own.clone()),
        }
    }
}

/// Asks a fresh instance for its answers and writes them down as the known ones.
///
/// # Errors
/// What the model says; a model that gives no answer has none to be known.
pub fn record(
    model: &mut dyn Model,
    config: Option<&Config>,
    inputs: &[GoldenInput],
) -> Result<Golden, PluginError> {
    let info = model.info()?;
    let mut frames = Vec::new();
    for input in inputs {
        let mut frame = GoldenFrame {
            rows: input.rows,
            window: info.window,
            columns: input.columns,
            event_ns: input.event_ns,
            inputs: input.inputs.iter().copied().map(Bits).collect(),
            outputs: info.outputs.len(),
            expected: Vec::new(),
        };
        let answers = answer(model, &frame)?;
        frame.expected = answers.into_iter().map(Bits).collect();
        frames.push(frame);
    }
    let config = config.map(|config| serde_json::from_str(&config.to_json()));
    Ok(Golden {
        golden: LAYOUT,
        config: config.transpose()?,
        artifact: None,
        frames,
    })
}

/// Whether a fresh instance gives the known answers.
///
/// # Errors
/// [`Rejection`] naming the first answer that is off, and by how much.
pub fn check(model: &mut dyn Model, set: &GoldenSet) -> Result<(), Rejection> {
    for (number, frame) in set.golden.frames.iter().enumerate() {
        let answers =
            answer(model, frame).map_err(|error| Rejection::of_plugin(Reason::Golden, &error))?;
        for (at, (found, known)) in answers.iter().zip(&frame.expected).enumerate() {
            let distance = ulp_distance(*found, known.0);
            if distance > set.tolerance_ulp {
                let (row, column) = (at / frame.outputs, at % frame.outputs);
                return Err(Rejection::new(
                    Reason::Golden,
                    format!(
                        "frame {number}, row {row}, column {column}: it answers {found} instead of \
                         {}, {distance} units in the last place off; {} are allowed. This machine \
                         computes something else than the author's, or the package is wrong",
                        known.0, set.tolerance_ulp
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn answer(model: &mut dyn Model, frame: &GoldenFrame) -> Result<Vec<f32>, PluginError> {
    let inputs: Vec<f32> = frame.inputs.iter().map(|value| value.0).collect();
    let mut output = vec![f32::NAN; frame.rows * frame.outputs];
    let width = frame.window * frame.columns;
    let shape = FrameShape {
        window: frame.window,
        row_stride: width,
        ..FrameShape::dense(frame.rows, frame.columns, frame.outputs)
    };
    let mut lent = Frame::new(&inputs, &mut output, shape)?;
    if let Some(event_ns) = frame.event_ns {
        lent = lent.with_event_ns(event_ns);
    }
    model.predict(&mut lent)?;
    Ok(output)
}

/// How many `f32` lie between two numbers; the largest number where only one of them is NaN.
#[must_use]
pub fn ulp_distance(a: f32, b: f32) -> u64 {
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() {
            0
        } else {
            u64::MAX
        };
    }
    // Bit patterns in the order of the numbers, both zeros in one place.
    let place = |value: f32| {
        let bits = i64::from(value.to_bits() & 0x7fff_ffff);
        if value.is_sign_negative() {
            -bits
        } else {
            bits
        }
    };
    place(a).abs_diff(place(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_plugin_api::error::Result;
    use fusebox_plugin_api::model::{ModelInfo, Task};
    use proptest::prelude::*;

    /// Adds up what it sees, times a factor.
    struct Sum(f32, f32);

    impl Model for Sum {
        fn info(&self) -> Result<ModelInfo> {
            Ok(ModelInfo::new(Task::Regression, &["sum"]))
        }

        fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
            for row in 0..frame.rows() {
                self.1 += frame.features(row)[0] * self.0;
                frame.output_row_mut(row)[0] = self.1;
            }
            Ok(())
        }
    }

    fn recorded() -> Golden {
        let input = |inputs: &[f32]| GoldenInput {
            rows: inputs.len(),
            columns: 1,
            inputs: inputs.to_vec(),
            event_ns: Some(5),
        };
        let config = Config::new().with("factor", 0.1);
        let inputs = [input(&[1.0, 0.3]), input(&[-0.0])];
        record(&mut Sum(0.1, 0.0), Some(&config), &inputs).unwrap()
    }

    fn checked(model: &mut dyn Model, tolerance_ulp: u64) -> std::result::Result<(), Rejection> {
        let set = GoldenSet {
            golden: recorded(),
            artifact: None,
            tolerance_ulp,
        };
        check(model, &set)
    }

    #[test]
    fn what_was_recorded_is_found_again_bit_by_bit() {
        let golden = recorded();
        assert_eq!(Golden::parse(&golden.to_json()).unwrap(), golden);
        checked(&mut Sum(0.1, 0.0), 0).unwrap();
    }

    #[test]
    fn one_unit_off_is_refused_or_tolerated_and_named() {
        let near = f32::from_bits(0.1_f32.to_bits() + 1);
        let error = checked(&mut Sum(near, 0.0), 0).unwrap_err();
        assert_eq!(error.reason, Reason::Golden);
        assert!(
            error.message.contains("frame 0, row 0, column 0"),
            "{error}"
        );
        checked(&mut Sum(near, 0.0), 2).unwrap();
    }

    #[test]
    fn files_that_contradict_themselves_are_refused() {
        let text = r#"{"golden": 2, "frames": [{"rows": 2, "window": 1, "columns": 1,
                       "inputs": [1], "outputs": 1, "expected": []}]}"#;
        let error = Golden::parse(text).unwrap_err();
        for words in ["`golden` is 2", "`inputs`", "`expected`"] {
            assert!(error.contains(words), "{words} not in {error}");
        }
        let text = r#"{"golden": 1, "frames": [{"rows": 1, "window": 1, "columns": 1,
                       "inputs": ["one"], "outputs": 1, "expected": [1]}]}"#;
        assert!(Golden::parse(text).unwrap_err().contains("0x3f800000"));
    }

    proptest! {
        #[test]
        fn values_survive_being_written(bits in any::<u32>()) {
            let value = Bits(f32::from_bits(bits));
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bits>(&text).unwrap(), value);
        }

        #[test]
        fn neighbours_are_one_apart(bits in 0_u32..0x7f7f_ffff) {
            let (low, high) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            prop_assert_eq!(ulp_distance(low, high), 1);
            prop_assert_eq!(ulp_distance(-high, -low), 1);
            prop_assert_eq!(ulp_distance(low, -low), 2 * u64::from(bits));
        }
    }
}
