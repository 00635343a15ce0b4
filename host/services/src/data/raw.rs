//! Candles as they come from outside, before anyone has vouched for them.
//!
//! Readers fill [`RawCandles`]; [`validate`](super::validate::validate) judges it; only what has no
//! error becomes bars. What could not even be read as a value is already a problem in here.

use fusebox_engine::types::{Bar, BarSeries, TimeFrame, Timestamp};
use serde::Serialize;

use super::validate::Problem;

/// The name of the column with the open times.
pub(super) const TIME_COLUMN: &str = "ts";

/// A column of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// First traded price.
    Open,
    /// Highest traded price.
    High,
    /// Lowest traded price.
    Low,
    /// Last traded price.
    Close,
    /// Traded amount in the base asset.
    Volume,
    /// Traded amount in the quote asset.
    QuoteVolume,
    /// Number of trades.
    Trades,
    /// Amount in the base asset bought by takers.
    TakerBuyVolume,
}

impl Column {
    /// Every column, in the order of the file.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::QuoteVolume,
        Self::Trades,
        Self::TakerBuyVolume,
    ];

    /// The prices.
    pub const PRICES: [Self; 4] = [Self::Open, Self::High, Self::Low, Self::Close];

    /// The name in a candle file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::QuoteVolume => "quote_volume",
            Self::Trades => "trades",
            Self::TakerBuyVolume => "taker_buy_volume",
        }
    }

    /// Whether no bar can be made without it.
    #[must_use]
    pub const fn is_required(self) -> bool {
        !matches!(
            self,
            Self::QuoteVolume | Self::Trades | Self::TakerBuyVolume
        )
    }

    /// The position in [`Column::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Numbers by row. A row in `null_rows` has no value; what `values` holds there means nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NumberColumn {
    /// One value a row.
    pub values: Vec<f64>,
    /// Rows without a value, ascending.
    pub null_rows: Vec<usize>,
}

impl NumberColumn {
    /// The value of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<f64> {
        let value = self.values.get(row).copied()?;
        self.null_rows.binary_search(&row).is_err().then_some(value)
    }

    /// Appends a row.
    pub fn push(&mut self, value: Option<f64>) {
        if value.is_none() {
            self.null_rows.push(self.values.len());
        }
        self.values.push(value.unwrap_or_default());
    }

    /// Takes part of the rows, by their positions.
    fn select(&self, rows: &[usize]) -> Self {
        let mut selected = Self::default();
        for &row in rows {
            selected.push(self.get(row));
        }
        selected
    }
}

/// Open times by row, in nanoseconds; same rule for `null_rows` as in [`NumberColumn`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeColumn {
    /// One time a row.
    pub nanos: Vec<i64>,
    /// Rows without a time, ascending.
    pub null_rows: Vec<usize>,
}

impl TimeColumn {
    /// The time of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Timestamp> {
        let nanos = self.nanos.get(row).copied()?;
        let is_null = self.null_rows.binary_search(&row).is_ok();
        (!is_null).then_some(Timestamp::from_nanos(nanos))
    }

    /// Appends a row.
    pub fn push(&mut self, time: Option<Timestamp>) {
        if time.is_none() {
            self.null_rows.push(self.nanos.len());
        }
        self.nanos.push(time.map_or(0, Timestamp::as_nanos));
    }

    /// Takes part of the rows, by their positions.
    fn select(&self, rows: &[usize]) -> Self {
        let mut selected = Self::default();
        for &row in rows {
            selected.push(self.get(row));
        }
        selected
    }
}

/// How a person finds a row in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowNumbers {
    /// Rows count from this number on (0 is the first row of the file).
    Rows {
        /// Number of the first row that was read.
        first: u64,
    },
    /// Rows picked out of the file, by their numbers.
    PickedRows(Vec<u64>),
    /// Lines of a text file, from 1.
    Lines(Vec<u64>),
}

impl RowNumbers {
    /// The number of row `row` in the file.
    #[must_use]
    pub fn number(&self, row: usize) -> u64 {
        match self {
            Self::Rows { first } => first + row as u64,
            Self::PickedRows(numbers) | Self::Lines(numbers) => {
                numbers.get(row).copied().unwrap_or_default()
            }
        }
    }

    /// What the number counts: `row` or `line`.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::Rows { .. } | Self::PickedRows(_) => "row",
            Self::Lines(_) => "line",
        }
    }

    /// The numbers of part of the rows, by their positions.
    fn select(&self, rows: &[usize]) -> Self {
        let numbers = rows.iter().map(|&row| self.number(row)).collect();
        match self {
            Self::Rows { .. } | Self::PickedRows(_) => Self::PickedRows(numbers),
            Self::Lines(_) => Self::Lines(numbers),
        }
    }
}

/// Candles that nobody has checked. Every present column has one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub struct RawCandles {
    /// The file, for messages.
    pub file: String,
    /// How many rows there are.
    pub rows: usize,
    /// Open times; `None` where the file has no readable time column.
    pub times: Option<TimeColumn>,
    /// The columns in the order of [`Column::ALL`]; `None` where the file has none.
    pub columns: [Option<NumberColumn>; 8],
    /// How rows are numbered in messages.
    pub row_numbers: RowNumbers,
    /// What was wrong while reading: missing columns, wrong types, cells that are not numbers.
    pub problems: Vec<Problem>,
}

impl RawCandles {
    /// No rows and no columns yet.
    #[must_use]
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            rows: 0,
            times: None,
            columns: [const { None }; 8],
            row_numbers: RowNumbers::Rows { first: 0 },
            problems: Vec::new(),
        }
    }

    /// One column, where the file has it.
    #[must_use]
    pub fn column(&self, column: Column) -> Option<&NumberColumn> {
        self.columns[column.index()].as_ref()
    }

    /// One value, where the file has it.
    #[must_use]
    pub fn value(&self, column: Column, row: usize) -> Option<f64> {
        self.column(column)?.get(row)
    }

    /// The open time of a row, where the file has it.
    #[must_use]
    pub fn time(&self, row: usize) -> Option<Timestamp> {
        self.times.as_ref()?.get(row)
    }

    /// The rows whose open time lies in `[from, to)`; rows without a time stay.
    #[must_use]
    pub(super) fn within(self, from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        let inside = |row: usize| {
            self.time(row)
                .is_none_or(|at| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to))
        };
        let rows: Vec<usize> = (0..self.rows).filter(|&row| inside(row)).collect();
        if rows.len() == self.rows {
            return self;
        }
        Self {
            rows: rows.len(),
            times: self.times.as_ref().map(|times| times.select(&rows)),
            columns: self
                .columns
                .map(|column| column.map(|column| column.select(&rows))),
            row_numbers: self.row_numbers.select(&rows),
            file: self.file,
            problems: self.problems,
        }
    }

    /// The bars, where every row has what a bar needs. Order and plausibility are the validator's
    /// business, so call this only after it found no error.
    #[must_use]
    pub(super) fn to_series(&self, name: &str, time_frame: TimeFrame) -> Option<BarSeries> {
        let bars: Option<Vec<Bar>> = (0..self.rows)
            .map(|row| {
                let opened_at = self.time(row)?;
                Some(Bar {
                    opened_at,
                    closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
                    open: self.value(Column::Open, row)?,
                    high: self.value(Column::High, row)?,
                    low: self.value(Column::Low, row)?,
                    close: self.value(Column::Close, row)?,
                    volume: self.value(Column::Volume, row)?,
                    quote_volume: self.value(Column::QuoteVolume, row),
                    trades: self.value(Column::Trades, row),
                    taker_buy_volume: self.value(Column::TakerBuyVolume, row),
                })
            })
            .collect();
        Some(BarSeries {
            name: name.to_owned(),
            time_frame,
            bars: bars?,
        })
    }
}
