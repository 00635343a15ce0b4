//! Arrow arrays to columns: which types are taken, and what is lost by none of them.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTimestampType, Date32Type, Date64Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowNativeTypeOp};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use fusebox_engine::types::Timestamp;

use crate::data::csv::{TimeUnit, parse_time};
use crate::data::raw::{NumberColumn, TimeColumn};

/// The largest integer up to which every integer is a `f64`.
const EXACT_INTEGER: i128 = 1 << 53;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// Types that a column of numbers may have, for messages.
pub(super) const NUMBER_TYPES: &str = "float64, float32 or an integer type";
/// Types that the time column may have, for messages.
pub(super) const TIME_TYPES: &str = "timestamp with zone UTC";
/// Types that the time column of a foreign file may have, for messages.
pub(super) const FOREIGN_TIME_TYPES: &str = "a timestamp, a date, an integer or text";

/// Whether [`append_numbers`] takes the type.
pub(super) const fn is_number(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Float64
            | DataType::Float32
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
    )
}

/// Whether [`append_times`] takes the type.
pub(super) const fn is_time(kind: &DataType, foreign: bool) -> bool {
    match kind {
        DataType::Timestamp(_, _) => true,
        DataType::Date32
        | DataType::Date64
        | DataType::Int32
        | DataType::UInt32
        | DataType::Int64
        | DataType::UInt64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => foreign,
        _ => false,
    }
}

/// Appends an array of a type that [`is_number`] takes; answers with the rows (in `into`) whose
/// integer no `f64` can hold.
pub(super) fn append_numbers(array: &dyn Array, into: &mut NumberColumn) -> Vec<usize> {
    match array.data_type() {
        DataType::Float64 => append_floats::<Float64Type>(array, into, |value| value),
        DataType::Float32 => append_floats::<Float32Type>(array, into, f64::from),
        DataType::Int8 => return append_integers::<Int8Type>(array, into),
        DataType::Int16 => return append_integers::<Int16Type>(array, into),
        DataType::Int32 => return append_integers::<Int32Type>(array, into),
        DataType::Int64 => return append_integers::<Int64Type>(array, into),
        DataType::UInt8 => return append_integers::<UInt8Type>(array, into),
        DataType::UInt16 => return append_integers::<UInt16Type>(array, into),
        DataType::UInt32 => return append_integers::<UInt32Type>(array, into),
        DataType::UInt64 => return append_integers::<UInt64Type>(array, into),
        _ => (0..array.len()).for_each(|_| into.push(None)),
    }
    Vec::new()
}

fn append_floats<T: ArrowPrimitiveType>(
    array: &dyn Array,
    into: &mut NumberColumn,
    widen: impl Fn(T::Native) -> f64,
) {
    for value in array.as_primitive::<T>() {
        into.push(value.map(&widen));
    }
}

fn append_integers<T: ArrowPrimitiveType>(array: &dyn Array, into: &mut NumberColumn) -> Vec<usize>
where
    T::Native: ArrowNativeTypeOp + Into<i128>,
{
    let mut inexact = Vec::new();
    for value in array.as_primitive::<T>() {
        let value: Option<i128> = value.map(Into::into);
        if value.is_some_and(|value| value.abs() > EXACT_INTEGER) {
            inexact.push(into.values.len());
        }
        into.push(value.map(|value| value as f64));
    }
    inexact
}

/// Appends an array of a type that [`is_time`] takes; answers with the rows (in `into`) whose
/// value is no time, which are then without one.
pub(super) fn append_times(array: &dyn Array, unit: TimeUnit, into: &mut TimeColumn) -> Vec<usize> {
    match array.data_type() {
        DataType::Timestamp(ArrowUnit::Second, _) => {
            append_scaled::<TimestampSecondType>(array, NANOS_PER_SECOND, into)
        }
        DataType::Timestamp(ArrowUnit::Millisecond, _) => {
            append_scaled::<TimestampMillisecondType>(array, 1_000_000, into)
        }
        DataType::Timestamp(ArrowUnit::Microsecond, _) => {
            append_scaled::<TimestampMicrosecondType>(array, 1_000, into)
        }
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => {
            append_scaled::<TimestampNanosecondType>(array, 1, into)
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().iter();
            let days = values.map(|day| day.map(|day| i64::from(day).checked_mul(NANOS_PER_DAY)));
            append_nanos(days, into)
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>().iter();
            append_nanos(
                values.map(|at| at.map(|at| at.checked_mul(1_000_000))),
                into,
            )
        }
        DataType::Int32 => append_epoch::<Int32Type>(array, unit, into),
        DataType::UInt32 => append_epoch::<UInt32Type>(array, unit, into),
        DataType::Int64 => append_epoch::<Int64Type>(array, unit, into),
        DataType::UInt64 => append_epoch::<UInt64Type>(array, unit, into),
        DataType::Utf8 => append_text(array.as_string::<i32>().iter(), unit, into),
        DataType::LargeUtf8 => append_text(array.as_string::<i64>().iter(), unit, into),
        DataType::Utf8View => append_text(array.as_string_view().iter(), unit, into),
        _ => append_nanos((0..array.len()).map(|_| None), into),
    }
}

fn append_scaled<T: ArrowTimestampType>(
    array: &dyn Array,
    nanos_per_unit: i64,
    into: &mut TimeColumn,
) -> Vec<usize> {
    let values = array.as_primitive::<T>().iter();
    append_nanos(
        values.map(|value| value.map(|value| value.checked_mul(nanos_per_unit))),
        into,
    )
}

fn append_epoch<T: ArrowPrimitiveType>(
    array: &dyn Array,
    unit: TimeUnit,
    into: &mut TimeColumn,
) -> Vec<usize>
where
    T::Native: Into<i128>,
{
    let values = array.as_primitive::<T>().iter();
    let nanos = |value: T::Native| {
        let value: i128 = value.into();
        unit.nanos(i64::try_from(value).ok()?)
    };
    append_nanos(values.map(|value| value.map(nanos)), into)
}

fn append_text<'a>(
    values: impl Iterator<Item = Option<&'a str>>,
    unit: TimeUnit,
    into: &mut TimeColumn,
) -> Vec<usize> {
    let nanos = |text: &str| parse_time(text, unit).map(Timestamp::as_nanos);
    append_nanos(values.map(|value| value.map(nanos)), into)
}

/// Appends times; the inner `None` is a value that is no time.
fn append_nanos(
    values: impl Iterator<Item = Option<Option<i64>>>,
    into: &mut TimeColumn,
) -> Vec<usize> {
    let mut unreadable = Vec::new();
    for value in values {
        if value == Some(None) {
            unreadable.push(into.nanos.len());
        }
        into.push(value.flatten().map(Timestamp::from_nanos));
    }
    unreadable
}
