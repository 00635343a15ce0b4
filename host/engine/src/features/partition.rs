//! Pieces of the work: some rows of one symbol, made apart from the rest.
//!
//! Pieces of different symbols share nothing. A piece that does not begin with its symbol's first
//! bar has two ways to begin.
//!
//! - [`extract_partition`] goes on from a [`Checkpoint`], the saved state at the cut, which the
//!   piece before it gives: results do not depend on how the work is cut, not by a bit.
//! - [`extract_apart`] needs nothing from any other piece, so that all pieces can be made at once
//!   and anywhere: [`overlap_bars`] bars before its rows warm it up, whose rows are thrown away.
//!   The same rows are there, in the same segments, with values that agree to
//!   [`APART_TOLERANCE`]: a recursive feature keeps a trace of all of its past, and a carried sum
//!   is rounded differently after another start.
//!
//! At a long gap everything is forgotten anyway, so a piece that begins a segment needs neither
//! where no feature reads another symbol ([`Checkpoint::at_gap`]).

use std::ops::Range;

use super::matrix::Walk;
use super::snapshot::{self, Identity, RestoreError};
use super::state::{State, StateReader, StateWriter};
use super::{
    ExtractError, ExtractOptions, Feature, FeatureContext, FeatureMatrix, FeatureSet, Memory,
};
use crate::types::{Market, SymbolId, TimeFrame, Timestamp};

/// How far a value of a piece that was made apart may be from that of the whole, as a share of the
/// largest value of its column.
pub const APART_TOLERANCE: f64 = 1e-7;

/// Times that a recursive feature settles, to about a millionth each, before its rows count.
const SETTLINGS: u32 = 2;

/// Rows of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Whose rows.
    pub symbol: SymbolId,
    /// Positions in its series; what lies beyond the end is left out.
    pub rows: Range<usize>,
}

/// The state of one symbol at a cut, as bytes that may be kept or sent elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    bytes: Vec<u8>,
}

impl Checkpoint {
    /// From bytes that were kept; whether they fit is seen when they are used.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The state before row `row` of `symbol`, made without the rows before it: `None` where the
    /// row does not follow a long gap or a feature reads other symbols.
    ///
    /// # Errors
    /// [`ExtractError`] where the set belongs to another market.
    pub fn at_gap(
        set: &FeatureSet,
        market: &Market,
        (symbol, row): (SymbolId, usize),
        options: ExtractOptions,
    ) -> Result<Option<Self>, ExtractError> {
        let mut walk = Walk::new(set, market, symbol, options)?;
        let reads_others = set.features().iter().any(Feature::reads_others);
        let Some(bar) = walk.own().get(row).filter(|_| !reads_others) else {
            return Ok(None);
        };
        let mut last_closed_at = None;
        for bar in &walk.own()[..row] {
            walk.state.pass(bar);
            last_closed_at = Some(bar.closed_at);
        }
        let is_gap = walk.state.is_long_gap(last_closed_at, bar.opened_at);
        Ok(is_gap.then(|| Self::of(set, market, options, &walk)))
    }

    fn of(set: &FeatureSet, market: &Market, options: ExtractOptions, walk: &Walk<'_>) -> Self {
        let mut payload = StateWriter::default();
        walk.symbol().0.save(&mut payload);
        walk.state.save(&mut payload);
        let identity = Identity::new(set, &FeatureContext::of_names(market), options);
        Self {
            bytes: snapshot::seal(&identity, &payload.into_bytes()),
        }
    }

    fn open(
        &self,
        set: &FeatureSet,
        market: &Market,
        options: ExtractOptions,
        walk: &mut Walk<'_>,
    ) -> Result<(), RestoreError> {
        let identity = Identity::new(set, &FeatureContext::of_names(market), options);
        let mut reader = StateReader::new(snapshot::open(&identity, &self.bytes)?);
        let mut symbol = 0_u32;
        symbol.load(&mut reader)?;
        if symbol != walk.symbol().0 {
            return Err(RestoreError::OtherSymbol {
                saved: symbol,
                expected: walk.symbol().0,
            });
        }
        walk.state.load(&mut reader)?;
        snapshot::require_end(&reader)
    }
}

/// The rows of a partition, and the state after them. `start` is the state before its first row;
/// it may be left out for a partition that begins with the series.
///
/// # Errors
/// [`RestoreError`] where `start` is missing or does not belong to this cut of this work, and where
/// a series is not in order or the set belongs to another market.
pub fn extract_partition(
    set: &FeatureSet,
    market: &Market,
    partition: &Partition,
    start: Option<&Checkpoint>,
    options: ExtractOptions,
) -> Result<(FeatureMatrix, Checkpoint), RestoreError> {
    let mut walk = Walk::new(set, market, partition.symbol, options)?;
    let count = walk.own().len();
    let rows = partition.rows.start.min(count)..partition.rows.end.min(count);
    let before = rows
        .start
        .checked_sub(1)
        .map(|row| walk.own()[row].closed_at);
    if let Some(start) = start {
        start.open(set, market, options, &mut walk)?;
    }
    if walk.state.last_closed_at() != before {
        return Err(RestoreError::OtherCut {
            row: rows.start,
            saved: walk
                .state
                .last_closed_at()
                .map_or_else(text_of_nothing, text),
            expected: before.map_or_else(text_of_nothing, text),
        });
    }
    walk.seek(before);
    let mut matrix = FeatureMatrix::empty(set, partition.symbol, rows.len());
    walk.take(rows, |block| matrix.fill(block))?;
    let end = Checkpoint::of(set, market, options, &walk);
    Ok((matrix, end))
}

/// Bars that warm up a piece that is made apart: what the slowest feature takes to settle, twice
/// where it is recursive. Base bars of `base` that every symbol which is read has.
#[must_use]
pub fn overlap_bars(set: &FeatureSet, base: TimeFrame) -> usize {
    let needed = set.features().iter().map(|feature| {
        let settled = feature.settled_bars(base);
        match feature.kind().memory {
            Memory::Window | Memory::Day => settled,
            Memory::Recursive { .. } => settled.saturating_mul(SETTLINGS),
        }
    });
    needed.max().unwrap_or(0) as usize
}

/// The rows of a partition, made without any other piece: its state begins with the series, or so
/// far before the first row that there are [`overlap_bars`] moments at which the symbol and every
/// other symbol that is read have a bar.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract_apart(
    set: &FeatureSet,
    market: &Market,
    partition: &Partition,
    options: ExtractOptions,
) -> Result<FeatureMatrix, ExtractError> {
    let mut walk = Walk::new(set, market, partition.symbol, options)?;
    let count = walk.own().len();
    let rows = partition.rows.start.min(count)..partition.rows.end.min(count);
    let begin = walk.before(rows.start, overlap_bars(set, market.time_frame()));
    for bar in &walk.own()[..begin] {
        walk.state.pass(bar);
    }
    walk.seek(walk.state.last_closed_at());
    walk.take(begin..rows.start, |_| ())?;
    let mut matrix = FeatureMatrix::empty(set, partition.symbol, rows.len());
    walk.take(rows, |block| matrix.fill(block))?;
    Ok(matrix)
}

fn text(at: Timestamp) -> String {
    at.to_string()
}

fn text_of_nothing() -> String {
    "the beginning".to_owned()
}
