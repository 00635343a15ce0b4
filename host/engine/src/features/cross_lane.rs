//! Several streams of bars inside a symbol's extractor, and the operators that read all of them.
//!
//! A lane of pairs has the row's own bars and those of a lead, a lane of the market has those of
//! every symbol. Its operators are asked once a row. No stream shows a bar before it has closed,
//! and each may be of a higher time frame, as in a plain [`Lane`](super::lane::Lane).

use super::aggregate::Aggregator;
use super::block::Block;
use super::kind::Reads;
use super::state::{State, StateError, StateReader, StateWriter};
use super::{CrossOperator, Feature};
use crate::types::{Bar, SymbolId, TimeFrame, Timestamp};

/// Streams of bars with the operators that read them together.
#[derive(Debug, Clone)]
pub(super) struct CrossLane {
    key: Key,
    sources: Vec<Source>,
    columns: Vec<usize>,
    operators: Vec<Box<dyn CrossOperator>>,
    is_heard: Vec<bool>,
}

/// What features must share to be of one lane: the lead (`None` is the market) and time frame.
type Key = (Option<SymbolId>, Option<TimeFrame>);

#[derive(Debug, Clone)]
struct Source {
    /// Whose bars; `None` is the row's own symbol.
    symbol: Option<SymbolId>,
    aggregator: Option<Aggregator>,
    last_closed_at: Option<Timestamp>,
}

impl CrossLane {
    /// The lanes that a set of features needs for the rows of `own`, one of `symbols` symbols.
    pub(super) fn plan(features: &[Feature], symbols: usize, own: SymbolId) -> Vec<Self> {
        let mut lanes: Vec<Self> = Vec::new();
        for (column, feature) in features.iter().enumerate() {
            let arguments = feature.arguments();
            let operator = match feature.kind().reads {
                Reads::Bars => continue,
                Reads::Pair(operator) => operator(arguments),
                Reads::Market(operator) => operator(arguments, symbols, own),
            };
            let key = (feature.lead(), feature.time_frame());
            if let Some(lane) = lanes.iter_mut().find(|lane| lane.key == key) {
                lane.columns.push(column);
                lane.operators.push(operator);
                continue;
            }
            let read: Vec<Option<SymbolId>> = match feature.lead() {
                Some(lead) => vec![None, Some(lead)],
                None => (0..).map(SymbolId).take(symbols).map(Some).collect(),
            };
            let source = |symbol| Source {
                symbol,
                aggregator: feature.time_frame().map(Aggregator::new),
                last_closed_at: None,
            };
            lanes.push(Self {
                key,
                is_heard: vec![false; read.len()],
                sources: read.into_iter().map(source).collect(),
                columns: vec![column],
                operators: vec![operator],
            });
        }
        lanes
    }

    /// The position of a stream; `None` is the row's own symbol.
    pub(super) fn source(&self, symbol: Option<SymbolId>) -> Option<usize> {
        self.sources.iter().position(|one| one.symbol == symbol)
    }

    /// The symbols besides the row's own whose bars are to be shown.
    pub(super) fn symbols(&self) -> impl Iterator<Item = SymbolId> {
        self.sources.iter().filter_map(|one| one.symbol)
    }

    /// When the newest base bar of a stream closed.
    pub(super) fn last_closed_at(&self, source: usize) -> Option<Timestamp> {
        self.sources[source].last_closed_at
    }

    /// Forgets every bar of a stream.
    pub(super) fn start_over(&mut self, source: usize) {
        let time_frame = self.key.1;
        self.sources[source].aggregator = time_frame.map(Aggregator::new);
        for operator in &mut self.operators {
            operator.forget(source);
        }
    }

    /// Takes in a base bar of a stream that has closed.
    pub(super) fn feed(&mut self, source: usize, bar: &Bar) {
        let from = &mut self.sources[source];
        from.last_closed_at = Some(bar.closed_at);
        match &mut from.aggregator {
            None => see(&mut self.operators, source, bar),
            Some(aggregator) => {
                for closed in aggregator.push(bar).into_iter().flatten() {
                    see(&mut self.operators, source, &closed);
                }
            }
        }
    }

    /// Ends a row at `now`: fills the lane's columns of row `row` of the block.
    pub(super) fn end_row(
        &mut self,
        now: Timestamp,
        longest_gap_nanos: i64,
        (row, block): (usize, &mut Block),
    ) {
        for (source, one) in self.sources.iter_mut().enumerate() {
            // The own higher bars close with own bars only, as those of a plain lane do.
            let aggregator = one.aggregator.as_mut().filter(|_| one.symbol.is_some());
            if let Some(bar) = aggregator.and_then(|aggregator| aggregator.close_by(now)) {
                see(&mut self.operators, source, &bar);
            }
            let last = one.last_closed_at;
            self.is_heard[source] = one.symbol.is_none()
                || last.is_some_and(|last| now.nanos_since(last) <= longest_gap_nanos);
        }
        for (operator, &column) in self.operators.iter_mut().zip(&self.columns) {
            let value = operator.value(&self.is_heard);
            block.column_mut(column)[row] = value.unwrap_or(f64::NAN);
        }
    }
}

fn see(operators: &mut [Box<dyn CrossOperator>], source: usize, bar: &Bar) {
    for operator in operators {
        operator.see(source, bar);
    }
}

impl State for CrossLane {
    fn save(&self, to: &mut StateWriter) {
        for source in &self.sources {
            source.last_closed_at.map(Timestamp::as_nanos).save(to);
            if let Some(aggregator) = &source.aggregator {
                aggregator.save(to);
            }
        }
        for operator in &self.operators {
            to.framed(|to| operator.save(to));
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        for source in &mut self.sources {
            let mut last_closed_at: Option<i64> = None;
            last_closed_at.load(from)?;
            source.last_closed_at = last_closed_at.map(Timestamp::from_nanos);
            if let Some(aggregator) = &mut source.aggregator {
                aggregator.load(from)?;
            }
        }
        for operator in &mut self.operators {
            from.framed(|from| operator.load(from))?;
        }
        Ok(())
    }
}
