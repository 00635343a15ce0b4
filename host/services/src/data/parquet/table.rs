//! Reads the columns of a table that is no candle file.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;

use super::cells;
use super::read::{BATCH_ROWS, corrupt, guarded, open};
use crate::data::DataError;
use crate::data::csv::TimeUnit;
use crate::data::raw::RowNumbers;
use crate::data::records::table::{Columns, Wanted};

/// Reads the wanted columns; what is missing or of a wrong type is a problem of the answer.
///
/// # Errors
/// [`DataError`] where the file cannot be read or is not Parquet as a whole.
pub(in crate::data) fn read_table(path: &Path, wanted: &Wanted) -> Result<Columns, DataError> {
    guarded(path, || read_whole(path, wanted))
}

fn read_whole(path: &Path, wanted: &Wanted) -> Result<Columns, DataError> {
    let file = File::open(path).map_err(DataError::io("read", path))?;
    let (sha256, _) = super::digest(&file).map_err(DataError::io("read", path))?;
    let builder = open(path, &file)?;
    let fields = builder.schema().fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let types: Vec<DataType> = fields
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    let mut columns = Columns::new(wanted, &names);
    columns.sha256 = sha256;
    columns.row_numbers = RowNumbers::Rows { first: 0 };
    check_types(&mut columns, &types);
    let (time, texts, numbers) = columns.places.clone();
    let all = texts.iter().chain(&numbers).chain([&time]);
    let mut read: Vec<usize> = all.flatten().copied().collect();
    read.sort_unstable();
    let mask = ProjectionMask::roots(builder.parquet_schema(), read.iter().copied());
    let among = |at: Option<usize>| read.iter().position(|&one| Some(one) == at);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| corrupt(path, &error))?;
    for batch in reader {
        let batch = batch.map_err(|error| corrupt(path, &error))?;
        columns.rows += batch.num_rows();
        if let Some(at) = among(time) {
            // What is no time is absent, and whoever asks for it says so.
            cells::append_times(batch.column(at), TimeUnit::Auto, &mut columns.times);
        }
        for (column, at) in texts.iter().enumerate() {
            if let Some(at) = among(*at) {
                append_texts(&batch, at, &mut columns, column);
            }
        }
        for (column, at) in numbers.iter().enumerate() {
            if let Some(at) = among(*at) {
                cells::append_numbers(batch.column(at), &mut columns.numbers[column]);
            }
        }
    }
    Ok(columns)
}

/// Reports columns of types that hold no such thing, and forgets them.
fn check_types(columns: &mut Columns, types: &[DataType]) {
    let (time, texts, numbers) = &mut columns.places;
    let mut wrong = |place: &mut Option<usize>, fits: fn(&DataType) -> bool, expected: &str| {
        if let Some(at) = place.take_if(|at| !fits(&types[*at])) {
            columns.problems.push(format!(
                "a column has type {}; it must be {expected}",
                types[at]
            ));
        }
    };
    wrong(
        time,
        |kind| cells::is_time(kind, true),
        cells::FOREIGN_TIME_TYPES,
    );
    for place in texts {
        wrong(
            place,
            |kind| is_text(kind) || cells::is_number(kind),
            "text",
        );
    }
    for place in numbers {
        wrong(place, cells::is_number, cells::NUMBER_TYPES);
    }
}

const fn is_text(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Appends texts, or numbers as texts.
fn append_texts(batch: &RecordBatch, at: usize, columns: &mut Columns, column: usize) {
    let array = batch.column(at);
    let texts = &mut columns.texts[column];
    match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string::<i32>().iter();
            values.for_each(|value| texts.push(value));
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>().iter();
            values.for_each(|value| texts.push(value));
        }
        DataType::Utf8View => {
            let values = array.as_string_view().iter();
            values.for_each(|value| texts.push(value));
        }
        _ => {
            let mut numbers = crate::data::NumberColumn::default();
            cells::append_numbers(array, &mut numbers);
            for row in 0..array.len() {
                let text = numbers.get(row).map(|value| value.to_string());
                texts.push(text.as_deref());
            }
        }
    }
}
