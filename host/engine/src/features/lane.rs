//! One stream of bars inside a symbol's extractor, and the operators that read it.
//!
//! The row's own bars, the bars of each higher time frame and the bars of each lead symbol are
//! lanes. A lane forgets everything at a long gap. It never sees a bar before it has closed.
//!
//! Bars are collected first and shown afterwards, each operator all of them in one call
//! ([`Lane::run`]): its state stays in the processor's nearest cache and its loop has no calls
//! through pointers. A live step collects one bar, so history and live go through the same code.

use super::aggregate::Aggregator;
use super::block::{Block, CHUNK_ROWS};
use super::kind::Reads;
use super::state::{State, StateError, StateReader, StateWriter};
use super::{BarColumns, Feature, Operator};
use crate::types::{Bar, SymbolId, TimeFrame, Timestamp};

/// A stream of bars with its operators; `features[i]` of the set fills column `i`.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// Whose bars; `None` is the row's own symbol.
    pub(super) source: Option<SymbolId>,
    time_frame: Option<TimeFrame>,
    aggregator: Option<Aggregator>,
    columns: Vec<usize>,
    operators: Vec<Box<dyn Operator>>,
    /// The newest value of each operator, NaN where there is none.
    held: Vec<f64>,
    /// When the newest base bar closed.
    last_closed_at: Option<Timestamp>,
    pending: Pending,
}

/// What has been collected and not been shown to the operators yet.
///
/// An operator's outputs over it are numbered slots: the value held from before, then one for each
/// bar, with one for each break (which is NaN) between the bars around it.
#[derive(Debug, Clone, Default)]
struct Pending {
    bars: BarColumns,
    /// Positions in `bars` before which everything is forgotten, ascending.
    breaks: Vec<usize>,
    /// The slot that each row shows, or [`BLANK`].
    rows: Vec<usize>,
    /// Rows of the block that are filled already.
    filled_rows: usize,
    /// Room for the slots of one operator.
    slots: Vec<f64>,
}

/// In place of a slot: the row shows no value.
const BLANK: usize = usize::MAX;

impl Lane {
    /// The lanes that a set of features needs, in the order of their first column.
    pub(super) fn plan(features: &[Feature]) -> Vec<Self> {
        let mut lanes: Vec<Self> = Vec::new();
        for (column, feature) in features.iter().enumerate() {
            if !matches!(feature.kind().reads, Reads::Bars) {
                continue;
            }
            let (source, time_frame) = (feature.lead(), feature.time_frame());
            let same = |lane: &&mut Self| lane.source == source && lane.time_frame == time_frame;
            match lanes.iter_mut().find(same) {
                Some(lane) => lane.columns.push(column),
                None => lanes.push(Self {
                    source,
                    time_frame,
                    aggregator: time_frame.map(Aggregator::new),
                    columns: vec![column],
                    operators: Vec::new(),
                    held: Vec::new(),
                    last_closed_at: None,
                    pending: Pending::default(),
                }),
            }
        }
        for lane in &mut lanes {
            let fresh = lane
                .columns
                .iter()
                .map(|&column| features[column].operator());
            lane.operators = fresh.collect();
            lane.held = vec![f64::NAN; lane.columns.len()];
        }
        lanes
    }

    /// Forgets every bar and every value.
    pub(super) fn start_over(&mut self) {
        self.aggregator = self.time_frame.map(Aggregator::new);
        self.pending.breaks.push(self.pending.bars.len());
    }

    /// When the newest base bar closed.
    pub(super) fn last_closed_at(&self) -> Option<Timestamp> {
        self.last_closed_at
    }

    /// Whether so many bars wait that they should be shown before the row is complete.
    pub(super) fn is_full(&self) -> bool {
        self.pending.bars.len() >= CHUNK_ROWS
    }

    /// Takes in a base bar that has closed. A column keeps the value of the last closed bar of a
    /// higher time frame.
    pub(super) fn feed(&mut self, bar: &Bar) {
        self.last_closed_at = Some(bar.closed_at);
        match &mut self.aggregator {
            None => self.pending.bars.push(bar),
            Some(aggregator) => {
                let closed = aggregator.push(bar).into_iter().flatten();
                closed.for_each(|bar| self.pending.bars.push(&bar));
            }
        }
    }

    /// Lets time pass up to `now`: a higher bar whose last base bar is absent closes anyway.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let closed = self.aggregator.as_mut().and_then(|one| one.close_by(now));
        if let Some(bar) = closed {
            self.pending.bars.push(&bar);
        }
    }

    /// Ends a row: it shows what the operators make of the bars up to here, or nothing.
    pub(super) fn end_row(&mut self, is_blank: bool) {
        let newest = self.pending.bars.len() + self.pending.breaks.len();
        let slot = if is_blank { BLANK } else { newest };
        self.pending.rows.push(slot);
    }

    /// Begins a block of rows.
    pub(super) fn begin_block(&mut self) {
        self.pending.filled_rows = 0;
    }

    /// Shows the operators what was collected and fills the lane's columns of the rows that ended.
    pub(super) fn run(&mut self, features: &[Feature], block: &mut Block) {
        let pending = &mut self.pending;
        if pending.bars.is_empty() && pending.breaks.is_empty() && pending.rows.is_empty() {
            return;
        }
        let rows = pending.filled_rows..pending.filled_rows + pending.rows.len();
        let is_one_bar_a_row = pending.breaks.is_empty()
            && pending.bars.len() == rows.len()
            && (1..).zip(&pending.rows).all(|(bar, slot)| bar == *slot);
        let one_bar = match pending.bars.bars().rows() {
            [bar] if is_one_bar_a_row => Some(*bar),
            _ => None,
        };
        let operators = self.operators.iter_mut().zip(&mut self.held);
        for (&column, (operator, held)) in self.columns.iter().zip(operators) {
            let target = &mut block.column_mut(column)[rows.clone()];
            if let (Some(bar), [value]) = (&one_bar, &mut *target) {
                *value = operator.update(bar).unwrap_or(f64::NAN);
                *held = *value;
                continue;
            }
            if is_one_bar_a_row {
                operator.update_all(pending.bars.bars(), target);
                *held = target.last().copied().unwrap_or(*held);
                continue;
            }
            pending.fill_slots(*held, &features[column], operator);
            *held = pending.slots.last().copied().unwrap_or(*held);
            for (value, slot) in target.iter_mut().zip(&pending.rows) {
                *value = pending.slots.get(*slot).copied().unwrap_or(f64::NAN);
            }
        }
        pending.filled_rows = rows.end;
        pending.bars.clear();
        pending.breaks.clear();
        pending.rows.clear();
    }
}

impl Pending {
    /// What one operator makes of the bars.
    fn fill_slots(&mut self, held: f64, feature: &Feature, operator: &mut Box<dyn Operator>) {
        self.slots.clear();
        self.slots.push(held);
        let mut begin = 0;
        for end in self.breaks.iter().copied().chain([self.bars.len()]) {
            let first = self.slots.len();
            let bars = self.bars.bars().slice(begin..end);
            self.slots.resize(first + bars.len(), f64::NAN);
            operator.update_all(bars, &mut self.slots[first..]);
            begin = end;
            // One slot for each break, none after the last bars.
            if self.slots.len() < 1 + self.bars.len() + self.breaks.len() {
                self.slots.push(f64::NAN);
                *operator = feature.operator();
            }
        }
    }
}

/// A lane's state; nothing may be waiting to be shown.
impl State for Lane {
    fn save(&self, to: &mut StateWriter) {
        self.last_closed_at.map(Timestamp::as_nanos).save(to);
        if let Some(aggregator) = &self.aggregator {
            aggregator.save(to);
        }
        for (operator, held) in self.operators.iter().zip(&self.held) {
            held.save(to);
            to.framed(|to| operator.save(to));
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        let mut last_closed_at: Option<i64> = None;
        last_closed_at.load(from)?;
        self.last_closed_at = last_closed_at.map(Timestamp::from_nanos);
        if let Some(aggregator) = &mut self.aggregator {
            aggregator.load(from)?;
        }
        for (operator, held) in self.operators.iter_mut().zip(&mut self.held) {
            held.load(from)?;
            from.framed(|from| operator.load(from))?;
        }
        Ok(())
    }
}
