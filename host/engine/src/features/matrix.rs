//! Feature rows over a history, one dense row-major matrix per symbol.
//!
//! A history is a walk over the same per-symbol state that a live run steps, in blocks. Symbols
//! share nothing, so a caller may extract them side by side.

use std::ops::Range;
use std::sync::Arc;

use super::block::{Block, CHUNK_ROWS};
use super::symbol::{SymbolExtractor, require_leads, require_order};
use super::{ExtractError, ExtractOptions, FeatureSet};
use crate::types::{Bar, Market, SymbolId, Timestamp};

/// Feature rows of one symbol over a history; row `i` belongs to bar `i` of its series.
#[derive(Debug, Clone)]
pub struct FeatureMatrix {
    /// Whose rows.
    pub symbol: SymbolId,
    /// Column names.
    pub columns: Arc<[String]>,
    /// When each row is known.
    pub closed_at: Vec<Timestamp>,
    /// Number of the unbroken stretch of bars that each row belongs to, ascending.
    pub segment: Vec<u32>,
    /// Whether every feature of the row is finite.
    pub is_valid: Vec<bool>,
    /// Row-major values, `columns.len()` to a row; NaN where a feature is not there yet.
    pub values: Arc<[f32]>,
}

impl FeatureMatrix {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.closed_at.len()
    }

    /// The values of one row; empty past the end.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        let width = self.columns.len();
        self.values
            .get(row * width..(row + 1) * width)
            .unwrap_or(&[])
    }

    /// Number of rows in which every feature is finite.
    #[must_use]
    pub fn valid_rows(&self) -> usize {
        self.is_valid.iter().filter(|valid| **valid).count()
    }
}

impl FeatureMatrix {
    /// A matrix of `rows` rows that have no values yet. The values are allocated once and filled
    /// in place: nothing of their size is ever copied.
    pub(super) fn empty(set: &FeatureSet, symbol: SymbolId, rows: usize) -> Self {
        Self {
            symbol,
            columns: set.names().map(str::to_owned).collect(),
            closed_at: Vec::with_capacity(rows),
            segment: Vec::with_capacity(rows),
            is_valid: vec![false; rows],
            values: std::iter::repeat_n(f32::NAN, rows * set.len()).collect(),
        }
    }

    /// Appends the rows of `block` to those that are filled.
    pub(super) fn fill(&mut self, block: &Block) {
        let first = self.closed_at.len();
        let rows = block.rows().len();
        let width = self.columns.len();
        for row in block.rows() {
            self.closed_at.push(row.closed_at);
            self.segment.push(row.segment);
        }
        // Nobody else has the values before the matrix is complete.
        if let Some(values) = Arc::get_mut(&mut self.values) {
            let values = &mut values[first * width..(first + rows) * width];
            block.write(values, &mut self.is_valid[first..first + rows]);
        }
    }
}

/// The feature rows of every symbol, in id order.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract(
    set: &FeatureSet,
    market: &Market,
    options: ExtractOptions,
) -> Result<Vec<FeatureMatrix>, ExtractError> {
    let ids = (0..).map(SymbolId).take(market.series().len());
    ids.map(|symbol| extract_symbol(set, market, symbol, options))
        .collect()
}

/// The feature rows of one symbol. Its memory is that of the matrix and a block of rows.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract_symbol(
    set: &FeatureSet,
    market: &Market,
    symbol: SymbolId,
    options: ExtractOptions,
) -> Result<FeatureMatrix, ExtractError> {
    let mut walk = Walk::new(set, market, symbol, options)?;
    let rows = walk.own.len();
    let mut matrix = FeatureMatrix::empty(set, symbol, rows);
    walk.take(0..rows, |block| matrix.fill(block))?;
    Ok(matrix)
}

/// The row-major values of one symbol before they are cast to `f32`, for comparing a formula with
/// its reference.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract_exact(
    set: &FeatureSet,
    market: &Market,
    symbol: SymbolId,
    options: ExtractOptions,
) -> Result<Vec<f64>, ExtractError> {
    let mut walk = Walk::new(set, market, symbol, options)?;
    let rows = walk.own.len();
    let mut values = Vec::with_capacity(rows * set.len());
    walk.take(0..rows, |block| block.write_exact(&mut values))?;
    Ok(values)
}

/// Shows one symbol's bars to its state, each after the other symbols' bars that have closed by
/// then.
pub(super) struct Walk<'a> {
    pub(super) state: SymbolExtractor,
    symbol: SymbolId,
    own: &'a [Bar],
    others: Vec<Other<'a>>,
}

/// The bars of a symbol that features read besides the row's own.
struct Other<'a> {
    symbol: SymbolId,
    bars: &'a [Bar],
    next: usize,
}

impl<'a> Walk<'a> {
    /// A walk with fresh state.
    pub(super) fn new(
        set: &FeatureSet,
        market: &'a Market,
        symbol: SymbolId,
        options: ExtractOptions,
    ) -> Result<Self, ExtractError> {
        let unknown = ExtractError::UnknownSymbol {
            symbol: symbol.index(),
        };
        let own = &market.get(symbol).ok_or(unknown)?.bars;
        let symbols = market.series().len();
        require_leads(set, symbols)?;
        let how = (market.time_frame(), options);
        let state = SymbolExtractor::new(set, how, (symbols, symbol), CHUNK_ROWS);
        let others = state.others().iter().map(|&symbol| Other {
            symbol,
            bars: market.get(symbol).map_or(&[][..], |series| &series.bars),
            next: 0,
        });
        Ok(Self {
            others: others.collect(),
            state,
            symbol,
            own,
        })
    }

    /// Whose rows.
    pub(super) fn symbol(&self) -> SymbolId {
        self.symbol
    }

    /// The own bars.
    pub(super) fn own(&self) -> &'a [Bar] {
        self.own
    }

    /// Goes to the place in the other symbols' bars where the state is after all that closed by
    /// `now`.
    pub(super) fn seek(&mut self, now: Option<Timestamp>) {
        for other in &mut self.others {
            let is_seen = |bar: &Bar| now.is_some_and(|now| bar.closed_at <= now);
            other.next = other.bars.partition_point(is_seen);
        }
    }

    /// The last own row such that, from it up to `row`, there are `bars` moments at which all that
    /// is read has a bar; 0 where there are not so many.
    pub(super) fn before(&self, row: usize, bars: usize) -> usize {
        let mut missing = bars;
        let mut ends: Vec<usize> = self.others.iter().map(|other| other.bars.len()).collect();
        for (begin, bar) in self.own[..row].iter().enumerate().rev() {
            let mut is_common = true;
            for (other, end) in self.others.iter().zip(&mut ends) {
                let seen = &other.bars[..*end];
                *end = seen.partition_point(|other| other.closed_at <= bar.closed_at);
                let newest = end.checked_sub(1).map(|at| seen[at].closed_at);
                is_common &= newest == Some(bar.closed_at);
            }
            missing = missing.saturating_sub(usize::from(is_common));
            if missing == 0 {
                return begin;
            }
        }
        0
    }

    /// Makes the rows `rows`, which begin where the state is, and shows them block by block.
    pub(super) fn take(
        &mut self,
        rows: Range<usize>,
        mut sink: impl FnMut(&Block),
    ) -> Result<(), ExtractError> {
        for bar in &self.own[rows] {
            require_order(self.symbol.index(), self.state.last_closed_at(), bar)?;
            for other in &mut self.others {
                other.feed_up_to(bar.closed_at, &mut self.state)?;
            }
            self.state.feed_own(bar);
            if self.state.is_block_full() {
                sink(self.state.finish_block());
                self.state.begin_block();
            }
        }
        sink(self.state.finish_block());
        self.state.begin_block();
        Ok(())
    }
}

impl Other<'_> {
    fn feed_up_to(
        &mut self,
        now: Timestamp,
        state: &mut SymbolExtractor,
    ) -> Result<(), ExtractError> {
        while let Some(bar) = self.bars.get(self.next).filter(|bar| bar.closed_at <= now) {
            let previous = self.next.checked_sub(1).and_then(|at| self.bars.get(at));
            let previous = previous.map(|bar| bar.closed_at);
            require_order(self.symbol.index(), previous, bar)?;
            state.feed_other(self.symbol, bar);
            self.next += 1;
        }
        Ok(())
    }
}
