//! Pieces of the work: some rows of one symbol, made apart from the rest.
//!
//! Pieces of different symbols share nothing. A piece that does not begin with its symbol's first
//! bar goes on from a [`Checkpoint`], the saved state at the cut, which the piece before it gives.
//! That is why results do not depend on how the work is cut: not by a bit.
//!
//! Warming a piece up with the bars before it instead would not do. A recursive feature depends on
//! all of its past, and a carried sum is rounded differently after another start; both would
//! show where the cuts are. At a long gap everything is forgotten anyway, so a piece that begins a
//! segment needs no checkpoint of its predecessor where no feature reads another symbol
//! ([`Checkpoint::at_gap`]).

use std::ops::Range;

use super::matrix::Walk;
use super::snapshot::{self, Identity, RestoreError};
use super::state::{State, StateReader, StateWriter};
use super::{ExtractError, ExtractOptions, FeatureContext, FeatureMatrix, FeatureSet, Reads};
use crate::types::{Market, SymbolId, Timestamp};

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
        let reads_others = set.features().iter().any(|feature| {
            feature.lead().is_some() || !matches!(feature.kind().reads, Reads::Bars)
        });
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

fn text(at: Timestamp) -> String {
    at.to_string()
}

fn text_of_nothing() -> String {
    "the beginning".to_owned()
}
