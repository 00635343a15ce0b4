//! What the runtime answers as what the contract wants: f32 numbers, one block per row.

use ort::value::TensorElementType;

use crate::settings::Activation;

/// Kinds of numbers that an output may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// f32.
    Single,
    /// f64.
    Double,
    /// i32.
    Whole,
    /// i64.
    Long,
}

impl Numbers {
    /// The kind of an element type; `None` for those that are not numbers of a model.
    pub(crate) fn of(kind: TensorElementType) -> Option<Self> {
        match kind {
            TensorElementType::Float32 => Some(Self::Single),
            TensorElementType::Float64 => Some(Self::Double),
            TensorElementType::Int32 => Some(Self::Whole),
            TensorElementType::Int64 => Some(Self::Long),
            _ => None,
        }
    }
}

/// How the numbers of a row are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    /// One for one.
    AsTheyAre,
    /// The one number is the probability of the second class; that of the first is what is left.
    BothOfOne,
}

/// A number that can become an f32.
pub(crate) trait Number: Copy {
    /// The nearest f32.
    fn single(self) -> f32;
}

impl Number for f32 {
    fn single(self) -> f32 {
        self
    }
}

impl Number for f64 {
    fn single(self) -> f32 {
        self as f32
    }
}

impl Number for i32 {
    fn single(self) -> f32 {
        self as f32
    }
}

impl Number for i64 {
    fn single(self) -> f32 {
        self as f32
    }
}

/// Writes the numbers of one row.
pub(crate) fn write<T: Number>(
    values: &[T],
    (activation, writing): (Activation, Writing),
    output: &mut [f32],
) {
    let (first, rest) = match (writing, &mut *output) {
        (Writing::BothOfOne, [first, rest @ ..]) => (Some(first), rest),
        (_, all) => (None, all),
    };
    for (place, value) in rest.iter_mut().zip(values) {
        *place = value.single();
    }
    match activation {
        Activation::None => {}
        Activation::Sigmoid => rest.iter_mut().for_each(|value| *value = sigmoid(*value)),
        Activation::Softmax => softmax(rest),
    }
    if let (Some(first), [second, ..]) = (first, &*rest) {
        *first = 1.0 - second;
    }
}

/// The logistic function, without overflow.
fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Shares of the exponentials, the largest taken off first so that nothing overflows.
fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        total += *value;
    }
    for value in values {
        *value /= total;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the expected numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn one_probability_becomes_two_and_logits_become_shares() {
        let mut two = [0.0; 2];
        write(
            &[0.25_f64],
            (Activation::None, Writing::BothOfOne),
            &mut two,
        );
        assert_eq!(two, [0.75, 0.25]);
        write(
            &[0.0_f32],
            (Activation::Sigmoid, Writing::BothOfOne),
            &mut two,
        );
        assert_eq!(two, [0.5, 0.5]);
        let mut three = [0.0; 3];
        write(
            &[1_000.0_f32, 1_000.0, -1_000.0],
            (Activation::Softmax, Writing::AsTheyAre),
            &mut three,
        );
        assert_eq!(three, [0.5, 0.5, 0.0]);
        write(
            &[3_i64, -1, 2],
            (Activation::None, Writing::AsTheyAre),
            &mut three,
        );
        assert_eq!(three, [3.0, -1.0, 2.0]);
    }
}
