//! From bars to rows of features, live.
//!
//! A [`FeatureExtractor`] is stepped with the bars that close at one moment. Histories go through
//! the same per-symbol state ([`extract_symbol`](super::extract_symbol)).

use super::snapshot::{self, Identity, RestoreError};
use super::state::{State, StateReader, StateWriter};
use super::symbol::{SymbolExtractor, require_leads, require_order};
use super::{FeatureContext, FeatureSet};
use crate::types::{Bar, SymbolId, Timestamp};

/// How bars are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractOptions {
    /// Longest run of missing bars that is passed over. A longer one starts a new segment, and a
    /// lead symbol that has been silent for longer gives no values.
    pub max_gap_bars: u32,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { max_gap_bars: 12 }
    }
}

/// Why bars cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// A step has another number of symbols than the extractor.
    #[error("a step with {found} symbols came to an extractor of {expected}")]
    SymbolCount {
        /// In the step.
        found: usize,
        /// In the extractor.
        expected: usize,
    },
    /// A bar does not close at the time of its step.
    #[error("the bar of symbol {symbol} closes at {closed_at}, its step is at {step_at}")]
    NotOfThisStep {
        /// The symbol's position.
        symbol: usize,
        /// When the bar closes.
        closed_at: Timestamp,
        /// The step.
        step_at: Timestamp,
    },
    /// A bar overlaps an earlier one.
    #[error(
        "a bar of symbol {symbol} opens at {opened_at}, before the previous one closed at \
         {previous}; sort the bars and drop duplicates"
    )]
    OutOfOrder {
        /// The symbol's position.
        symbol: usize,
        /// When the bar opens.
        opened_at: Timestamp,
        /// When the previous bar closed.
        previous: Timestamp,
    },
    /// The feature set names a symbol that the market lacks.
    #[error("symbol {symbol} is not part of the market; parse the features for this market")]
    UnknownSymbol {
        /// The symbol's position.
        symbol: usize,
    },
}

/// The state that turns bars into feature rows, for every symbol of a market. A clone is a
/// snapshot: both go on independently.
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    identity: Identity,
    symbols: Vec<SymbolExtractor>,
    rows: Vec<LiveRow>,
    last_step_at: Option<Timestamp>,
}

/// The newest row of one symbol.
#[derive(Debug, Clone)]
struct LiveRow {
    /// When it is known; `None` where the latest step had no bar of the symbol.
    closed_at: Option<Timestamp>,
    segment: u32,
    is_valid: bool,
    values: Vec<f32>,
}

impl FeatureExtractor {
    /// An extractor that has seen nothing.
    ///
    /// # Errors
    /// [`ExtractError::UnknownSymbol`] where `set` was parsed for a market with more symbols.
    pub fn new(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
    ) -> Result<Self, ExtractError> {
        let count = context.symbols.len();
        require_leads(set, count)?;
        let ids = (0..).map(SymbolId).take(count);
        let fresh = |own| SymbolExtractor::new(set, (context.time_frame, options), (count, own), 1);
        let row = LiveRow {
            closed_at: None,
            segment: 0,
            is_valid: false,
            values: vec![f32::NAN; set.len()],
        };
        Ok(Self {
            identity: Identity::new(set, context, options),
            symbols: ids.map(fresh).collect(),
            rows: vec![row; count],
            last_step_at: None,
        })
    }

    /// The newest step; after [`restore`](Self::restore), bars that close later are to be shown.
    #[must_use]
    pub fn last_step_at(&self) -> Option<Timestamp> {
        self.last_step_at
    }

    /// Takes in the bars that close at `closed_at`, one slot per symbol in id order, and gives the
    /// row of each symbol that has a bar.
    ///
    /// # Errors
    /// [`ExtractError`] where the bars do not fit the step or the past; nothing is taken in then.
    pub fn step(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
    ) -> Result<FeatureRows<'_>, ExtractError> {
        self.check(closed_at, bars)?;
        self.last_step_at = Some(closed_at);
        for (position, symbol) in self.symbols.iter_mut().enumerate() {
            for source in 0..symbol.others().len() {
                let other = symbol.others()[source];
                if let Some(bar) = bars[other.index()] {
                    symbol.feed_other(other, bar);
                }
            }
            if let Some(bar) = bars[position] {
                symbol.feed_own(bar);
            }
            let block = symbol.finish_block();
            let row = &mut self.rows[position];
            row.closed_at = None;
            if let Some(newest) = block.rows().last() {
                row.closed_at = Some(newest.closed_at);
                row.segment = newest.segment;
                block.write(&mut row.values, std::slice::from_mut(&mut row.is_valid));
            }
            symbol.begin_block();
        }
        Ok(FeatureRows { extractor: self })
    }

    /// Everything that changes with the bars, as bytes: a header that says what they belong to,
    /// the state, and a checksum. Bytes are read by the version of this crate that wrote them.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.save_with(&[])
    }

    /// [`save`](Self::save) with bytes of the caller's own under the same checksum.
    #[must_use]
    pub fn save_with(&self, attached: &[u8]) -> Vec<u8> {
        let mut payload = StateWriter::default();
        self.last_step_at
            .map(Timestamp::as_nanos)
            .save(&mut payload);
        for symbol in &self.symbols {
            symbol.save(&mut payload);
        }
        payload.framed(|to| to.put(attached));
        snapshot::seal(&self.identity, &payload.into_bytes())
    }

    /// An extractor that goes on where the one that gave [`save`](Self::save) was: the rows after
    /// it have the same bits. It has no row until the next step.
    ///
    /// # Errors
    /// [`RestoreError`] where the bytes are damaged, or belong to another feature set, other
    /// options, another time frame, other symbols or another version; and where the set belongs
    /// to another market.
    pub fn restore(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
        bytes: &[u8],
    ) -> Result<Self, RestoreError> {
        Self::restore_with(set, context, options, bytes).map(|(restored, _)| restored)
    }

    /// [`restore`](Self::restore), and the bytes that were given to
    /// [`save_with`](Self::save_with).
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_with(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
        bytes: &[u8],
    ) -> Result<(Self, Vec<u8>), RestoreError> {
        let mut restored = Self::new(set, context, options)?;
        let payload = snapshot::open(&restored.identity, bytes)?;
        let mut reader = StateReader::new(payload);
        let mut last_step_at: Option<i64> = None;
        last_step_at.load(&mut reader)?;
        restored.last_step_at = last_step_at.map(Timestamp::from_nanos);
        for symbol in &mut restored.symbols {
            symbol.load(&mut reader)?;
        }
        let length = reader.count()?;
        let attached = reader.bytes(length)?.to_vec();
        snapshot::require_end(&reader)?;
        Ok((restored, attached))
    }

    fn check(&self, step_at: Timestamp, bars: &[Option<&Bar>]) -> Result<(), ExtractError> {
        let expected = self.symbols.len();
        if bars.len() != expected {
            return Err(ExtractError::SymbolCount {
                found: bars.len(),
                expected,
            });
        }
        for (symbol, (bar, state)) in bars.iter().zip(&self.symbols).enumerate() {
            let Some(bar) = bar else { continue };
            if bar.closed_at != step_at {
                return Err(ExtractError::NotOfThisStep {
                    symbol,
                    closed_at: bar.closed_at,
                    step_at,
                });
            }
            require_order(symbol, state.last_closed_at(), bar)?;
        }
        Ok(())
    }
}

/// The rows of one step.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRows<'a> {
    extractor: &'a FeatureExtractor,
}

/// One symbol's features at the close of a bar.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRow<'a> {
    /// Whose row.
    pub symbol: SymbolId,
    /// When it is known.
    pub closed_at: Timestamp,
    /// Number of the unbroken stretch of bars.
    pub segment: u32,
    /// Whether every feature is finite.
    pub is_valid: bool,
    /// One value per feature; NaN where it is not there yet.
    pub values: &'a [f32],
}

impl<'a> FeatureRows<'a> {
    /// The row of `symbol`; `None` where it has no bar in this step.
    #[must_use]
    pub fn get(&self, symbol: SymbolId) -> Option<FeatureRow<'a>> {
        let row = self.extractor.rows.get(symbol.index())?;
        Some(FeatureRow {
            symbol,
            closed_at: row.closed_at?,
            segment: row.segment,
            is_valid: row.is_valid,
            values: &row.values,
        })
    }

    /// All rows, in id order.
    pub fn iter(&self) -> impl Iterator<Item = FeatureRow<'a>> {
        let rows = *self;
        (0..)
            .map(SymbolId)
            .take(self.extractor.symbols.len())
            .filter_map(move |id| rows.get(id))
    }
}
