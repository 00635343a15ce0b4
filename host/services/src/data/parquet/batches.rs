//! Reads a candle file part by part, so that a file of any length needs the memory of one part.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::read::{
    ReadOptions, Table, corrupt, groups_within, guarded, open, positions, projected,
};
use crate::data::DataError;
use crate::data::columns::Positions;
use crate::data::raw::{RawCandles, RowNumbers};

/// Rows of a part.
const PART_ROWS: usize = 1 << 14;

/// The candles of a file, part by part, unchecked.
#[derive(Debug)]
pub struct Batches {
    path: PathBuf,
    options: ReadOptions,
    reader: ParquetRecordBatchReader,
    positions: Positions,
    /// What every part begins with: the file's name and the problems of its columns.
    empty: RawCandles,
    next_row: u64,
}

impl Batches {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DataError`] where the file cannot be read or is not Parquet as a whole.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        guarded(path, || Self::open_whole(path, options))
    }

    fn open_whole(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("read", path))?;
        let builder = open(path, &file)?;
        let mut empty = RawCandles::new(path.display().to_string());
        let positions = positions(builder.schema(), options, &mut empty);
        let (groups, next_row) = groups_within(builder.metadata(), &positions, options);
        let (wanted, positions) = projected(&positions);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(groups.collect())
            .with_batch_size(PART_ROWS)
            .build()
            .map_err(|error| corrupt(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            options: options.clone(),
            reader,
            positions,
            empty,
            next_row,
        })
    }

    /// The next part; `None` after the last. A part may be empty where nothing of it lies in the
    /// range that was asked for.
    ///
    /// # Errors
    /// [`DataError`] where the part cannot be decoded.
    pub fn next_part(&mut self) -> Result<Option<RawCandles>, DataError> {
        let path = self.path.clone();
        guarded(&path, || {
            let Some(batch) = self.reader.next() else {
                return Ok(None);
            };
            let batch = batch.map_err(|error| corrupt(&self.path, &error))?;
            let mut candles = self.empty.clone();
            candles.row_numbers = RowNumbers::Rows {
                first: self.next_row,
            };
            self.next_row += batch.num_rows() as u64;
            let mut table = Table::new(&self.positions, self.options.time_unit);
            table.append(&batch);
            table.finish(&mut candles);
            Ok(Some(candles.within(self.options.from, self.options.to)))
        })
    }
}
