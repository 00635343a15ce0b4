//! The state of one symbol: its own bars, those of the symbols its features read, and the block
//! of rows that is being made.
//!
//! Whoever walks through time shows the other symbols' bars first, then the own bar that closes at
//! the same moment or later; each own bar ends a row.

use std::sync::Arc;

use super::block::{Block, BlockRow};
use super::cross_lane::CrossLane;
use super::lane::Lane;
use super::state::{State, StateError, StateReader, StateWriter};
use super::{ExtractError, ExtractOptions, FeatureSet};
use crate::types::{Bar, SymbolId, TimeFrame, Timestamp};

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct SymbolExtractor {
    set: Arc<FeatureSet>,
    lanes: Vec<Lane>,
    cross_lanes: Vec<CrossLane>,
    /// Whose bars are to be shown besides the own ones, ascending; the own symbol may be there.
    others: Vec<SymbolId>,
    longest_gap_nanos: i64,
    last_closed_at: Option<Timestamp>,
    segment: u32,
    block: Block,
}

impl SymbolExtractor {
    /// Fresh state for the rows of `own`, one of `symbols` symbols, in blocks of at most
    /// `block_rows` rows.
    pub(super) fn new(
        set: &FeatureSet,
        (time_frame, options): (TimeFrame, ExtractOptions),
        (symbols, own): (usize, SymbolId),
        block_rows: usize,
    ) -> Self {
        let features = set.features();
        let lanes = Lane::plan(features);
        let cross_lanes = CrossLane::plan(features, symbols, own);
        let leads = lanes.iter().filter_map(|lane| lane.source);
        let crossed = cross_lanes.iter().flat_map(CrossLane::symbols);
        let mut others: Vec<SymbolId> = leads.chain(crossed).collect();
        others.sort();
        others.dedup();
        Self {
            set: Arc::new(set.clone()),
            lanes,
            cross_lanes,
            others,
            longest_gap_nanos: i64::from(options.max_gap_bars).saturating_mul(time_frame.nanos()),
            last_closed_at: None,
            segment: 0,
            block: Block::new(set.len(), block_rows),
        }
    }

    pub(super) fn others(&self) -> &[SymbolId] {
        &self.others
    }

    /// When the newest own bar closed.
    pub(super) fn last_closed_at(&self) -> Option<Timestamp> {
        self.last_closed_at
    }

    pub(super) fn is_block_full(&self) -> bool {
        self.block.is_full()
    }

    /// Whether so much time passed between two bars that everything is forgotten.
    pub(super) fn is_long_gap(&self, last: Option<Timestamp>, next: Timestamp) -> bool {
        last.is_some_and(|last| next.nanos_since(last) > self.longest_gap_nanos)
    }

    /// Takes in a bar of a symbol that features read besides the row's own bars.
    pub(super) fn feed_other(&mut self, symbol: SymbolId, bar: &Bar) {
        if !is_usable(bar) {
            return;
        }
        for index in 0..self.lanes.len() {
            if self.lanes[index].source != Some(symbol) {
                continue;
            }
            let is_gap = self.is_long_gap(self.lanes[index].last_closed_at(), bar.opened_at);
            let lane = &mut self.lanes[index];
            if is_gap {
                lane.start_over();
            }
            lane.feed(bar);
            if lane.is_full() {
                lane.run(self.set.features(), &mut self.block);
            }
        }
        for index in 0..self.cross_lanes.len() {
            let Some(source) = self.cross_lanes[index].source(Some(symbol)) else {
                continue;
            };
            let last = self.cross_lanes[index].last_closed_at(source);
            let is_gap = self.is_long_gap(last, bar.opened_at);
            let lane = &mut self.cross_lanes[index];
            if is_gap {
                lane.start_over(source);
            }
            lane.feed(source, bar);
        }
    }

    /// Takes in the symbol's own bar, after those of the others, and ends a row.
    pub(super) fn feed_own(&mut self, bar: &Bar) {
        let starts_over = self.is_long_gap(self.last_closed_at, bar.opened_at);
        self.last_closed_at = Some(bar.closed_at);
        self.segment += u32::from(starts_over);
        let (now, usable) = (bar.closed_at, is_usable(bar));
        for lane in &mut self.lanes {
            let is_silent = match lane.source {
                None => {
                    if starts_over {
                        lane.start_over();
                    }
                    if usable {
                        lane.feed(bar);
                    }
                    false
                }
                Some(_) => {
                    lane.advance(now);
                    let last = lane.last_closed_at();
                    last.is_none_or(|last| now.nanos_since(last) > self.longest_gap_nanos)
                }
            };
            lane.end_row(is_silent);
        }
        let row = self.block.rows().len();
        for lane in &mut self.cross_lanes {
            if let Some(own) = lane.source(None) {
                if starts_over {
                    lane.start_over(own);
                }
                if usable {
                    lane.feed(own, bar);
                }
            }
            lane.end_row(now, self.longest_gap_nanos, (row, &mut self.block));
        }
        self.block.push(BlockRow {
            closed_at: now,
            segment: self.segment,
            is_usable: usable,
        });
    }

    /// Lets an own bar pass unread: only the gaps are counted.
    pub(super) fn pass(&mut self, bar: &Bar) {
        let starts_over = self.is_long_gap(self.last_closed_at, bar.opened_at);
        self.segment += u32::from(starts_over);
        self.last_closed_at = Some(bar.closed_at);
    }

    /// Fills the rows that have ended since the last call and gives them.
    pub(super) fn finish_block(&mut self) -> &Block {
        for lane in &mut self.lanes {
            lane.run(self.set.features(), &mut self.block);
        }
        self.block.blank_unusable();
        &self.block
    }

    /// Makes room for the next rows.
    pub(super) fn begin_block(&mut self) {
        self.block.clear();
        for lane in &mut self.lanes {
            lane.begin_block();
        }
    }
}

/// The state between two blocks; rows that are not finished do not belong to it.
impl State for SymbolExtractor {
    fn save(&self, to: &mut StateWriter) {
        self.last_closed_at.map(Timestamp::as_nanos).save(to);
        self.segment.save(to);
        self.lanes.iter().for_each(|lane| lane.save(to));
        self.cross_lanes.iter().for_each(|lane| lane.save(to));
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut last_closed_at: Option<i64> = None;
        last_closed_at.load(from)?;
        self.last_closed_at = last_closed_at.map(Timestamp::from_nanos);
        self.segment.load(from)?;
        self.lanes.iter_mut().try_for_each(|lane| lane.load(from))?;
        let crossed = &mut self.cross_lanes;
        crossed.iter_mut().try_for_each(|lane| lane.load(from))
    }
}

/// Whether a bar's prices can enter a ratio or a logarithm. Validation refuses other bars long
/// before; this keeps a bad live bar from spoiling recursive state.
fn is_usable(bar: &Bar) -> bool {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    prices.iter().all(|price| price.is_finite() && *price > 0.0)
        && bar.volume.is_finite()
        && bar.volume >= 0.0
}

pub(super) fn require_order(
    symbol: usize,
    last_closed_at: Option<Timestamp>,
    bar: &Bar,
) -> Result<(), ExtractError> {
    match last_closed_at {
        Some(previous) if bar.opened_at < previous || bar.closed_at <= previous => {
            Err(ExtractError::OutOfOrder {
                symbol,
                opened_at: bar.opened_at,
                previous,
            })
        }
        _ => Ok(()),
    }
}

pub(super) fn require_leads(set: &FeatureSet, symbols: usize) -> Result<(), ExtractError> {
    let leads = set.features().iter().filter_map(|feature| feature.lead());
    match leads.map(SymbolId::index).find(|lead| *lead >= symbols) {
        Some(symbol) => Err(ExtractError::UnknownSymbol { symbol }),
        None => Ok(()),
    }
}
