//! Closed bars as columns, the form in which operators read many at once: an indicator that needs
//! the closes alone reads eight bytes of a bar rather than all of it, and passes over a column are
//! done several values at a time.

use std::ops::Range;

use crate::types::Bar;

/// Bars that closed one after the other; every column has their number of values.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    rows: &'a [Bar],
    open: &'a [f64],
    high: &'a [f64],
    low: &'a [f64],
    close: &'a [f64],
    volume: &'a [f64],
}

impl<'a> Bars<'a> {
    /// Number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The bars as they are.
    #[must_use]
    pub fn rows(&self) -> &'a [Bar] {
        self.rows
    }

    /// The first prices.
    #[must_use]
    pub fn open(&self) -> &'a [f64] {
        self.open
    }

    /// The highest prices.
    #[must_use]
    pub fn high(&self) -> &'a [f64] {
        self.high
    }

    /// The lowest prices.
    #[must_use]
    pub fn low(&self) -> &'a [f64] {
        self.low
    }

    /// The last prices.
    #[must_use]
    pub fn close(&self) -> &'a [f64] {
        self.close
    }

    /// The traded amounts.
    #[must_use]
    pub fn volume(&self) -> &'a [f64] {
        self.volume
    }

    /// The bars of a range of positions; those that there are.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        Self {
            rows: &self.rows[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    /// The bars, one by one. Prices and volume come from the columns, so that a loop which needs
    /// nothing else touches nothing else.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Bar> {
        let prices = self.open.iter().zip(self.high);
        let prices = prices.zip(self.low.iter().zip(self.close));
        let columns = self.rows.iter().zip(prices.zip(self.volume));
        columns.map(|(row, (((open, high), (low, close)), volume))| Bar {
            open: *open,
            high: *high,
            low: *low,
            close: *close,
            volume: *volume,
            ..*row
        })
    }
}

/// One of the columns that every bar has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    High,
    Low,
}

impl Column {
    pub(super) fn of(self, bar: &Bar) -> f64 {
        match self {
            Self::High => bar.high,
            Self::Low => bar.low,
        }
    }

    pub(super) fn of_all<'a>(self, bars: &Bars<'a>) -> &'a [f64] {
        match self {
            Self::High => bars.high,
            Self::Low => bars.low,
        }
    }
}

/// Bars and their columns, kept.
#[derive(Debug, Clone, Default)]
pub struct BarColumns {
    rows: Vec<Bar>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

impl BarColumns {
    /// Number of bars.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a bar.
    pub fn push(&mut self, bar: &Bar) {
        self.rows.push(*bar);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
    }

    /// Forgets every bar; the room is kept.
    pub fn clear(&mut self) {
        self.rows.clear();
        for column in [
            &mut self.open,
            &mut self.high,
            &mut self.low,
            &mut self.close,
            &mut self.volume,
        ] {
            column.clear();
        }
    }

    /// All of them.
    #[must_use]
    pub fn bars(&self) -> Bars<'_> {
        Bars {
            rows: &self.rows,
            open: &self.open,
            high: &self.high,
            low: &self.low,
            close: &self.close,
            volume: &self.volume,
        }
    }
}

impl<'a> FromIterator<&'a Bar> for BarColumns {
    fn from_iter<I: IntoIterator<Item = &'a Bar>>(bars: I) -> Self {
        let mut columns = Self::default();
        bars.into_iter().for_each(|bar| columns.push(bar));
        columns
    }
}
