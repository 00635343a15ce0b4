//! Writes a candle file.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};
use fusebox_engine::types::{Bar, BarSeries};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::data::DataError;
use crate::data::atomic::write_atomically;
use crate::data::raw::{Column, TIME_COLUMN};

/// Rows in a row group; a range of a long file then reads only part of it.
const GROUP_ROWS: usize = 131_072;
const ZSTD_LEVEL: i32 = 6;
/// Every integer up to here is a `f64`, so a whole `f64` below is an exact count.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Writes the series, which must be valid, as a candle file that appears whole or not at all, and
/// answers with the SHA-256 of its bytes. The same series gives the same bytes. An optional column
/// that no bar has is left out; `trades` are integers where all of them are whole.
///
/// # Errors
/// [`DataError::Io`] where the file cannot be written; an old file is then untouched.
pub fn write(path: &Path, series: &BarSeries) -> Result<String, DataError> {
    let written = record_batch(series)
        .map_err(std::io::Error::other)
        .and_then(|batch| {
            write_atomically(path, |file| -> std::io::Result<()> {
                let schema = batch.schema();
                let encode = || -> Result<(), ParquetError> {
                    let mut writer = ArrowWriter::try_new(file, schema, Some(properties()?))?;
                    writer.write(&batch)?;
                    writer.close()?;
                    Ok(())
                };
                encode().map_err(std::io::Error::other)
            })
        })
        .and_then(|()| super::digest(&std::fs::File::open(path)?));
    let (sha256, _) = written.map_err(DataError::io("write", path))?;
    Ok(sha256)
}

fn properties() -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_created_by("fusebox".to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_dictionary_enabled(false)
        .set_column_encoding(ColumnPath::from(TIME_COLUMN), Encoding::DELTA_BINARY_PACKED)
        .build())
}

fn record_batch(series: &BarSeries) -> Result<RecordBatch, ArrowError> {
    let bars = &series.bars;
    let times: TimestampMillisecondArray = bars
        .iter()
        .map(|bar| Some(bar.opened_at.as_millis()))
        .collect();
    let zone = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![Field::new(TIME_COLUMN, zone, false)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(times.with_timezone("UTC"))];
    for column in Column::ALL {
        let values = || bars.iter().map(|bar| value(bar, column));
        let required = column.is_required();
        if !required && values().all(|value| value.is_none()) {
            continue;
        }
        let whole = |value: f64| value.fract().abs() <= 0.0 && value.abs() <= EXACT_INTEGER;
        let array: ArrayRef = if column == Column::Trades && values().flatten().all(whole) {
            Arc::new(
                values()
                    .map(|value| value.map(|value| value as i64))
                    .collect::<Int64Array>(),
            )
        } else {
            Arc::new(values().collect::<Float64Array>())
        };
        fields.push(Field::new(
            column.name(),
            array.data_type().clone(),
            !required,
        ));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

pub(in crate::data) fn value(bar: &Bar, column: Column) -> Option<f64> {
    match column {
        Column::Open => Some(bar.open),
        Column::High => Some(bar.high),
        Column::Low => Some(bar.low),
        Column::Close => Some(bar.close),
        Column::Volume => Some(bar.volume),
        Column::QuoteVolume => bar.quote_volume,
        Column::Trades => bar.trades,
        Column::TakerBuyVolume => bar.taker_buy_volume,
    }
}
