//! The symbol among all symbols of the market.

use std::collections::VecDeque;

use super::CrossOperator;
use crate::features::parts::log_ratio;
use crate::features::state::{State, StateError, StateReader, StateWriter};
use crate::types::{Bar, SymbolId};

/// A statistic of the own return and those of all symbols, the own one among them.
type MarketStatistic = fn(f64, &[f64]) -> f64;

/// The newest return of every symbol.
#[derive(Debug, Clone)]
pub(super) struct MarketReturns {
    bars: usize,
    own: usize,
    statistic: MarketStatistic,
    /// The last closes of each symbol.
    closes: Vec<VecDeque<f64>>,
    returns: Vec<Option<f64>>,
    heard: Vec<f64>,
}

impl MarketReturns {
    pub(super) fn new(
        bars: usize,
        symbols: usize,
        own: SymbolId,
        statistic: MarketStatistic,
    ) -> Self {
        Self {
            bars,
            own: own.index(),
            statistic,
            closes: vec![VecDeque::with_capacity(bars + 1); symbols],
            returns: vec![None; symbols],
            heard: Vec::with_capacity(symbols),
        }
    }
}

impl CrossOperator for MarketReturns {
    fn see(&mut self, source: usize, bar: &Bar) {
        let closes = &mut self.closes[source];
        closes.push_back(bar.close);
        if closes.len() > self.bars {
            let past = closes.pop_front();
            self.returns[source] = past.map(|past| log_ratio(bar.close, past));
        }
    }

    fn forget(&mut self, source: usize) {
        self.closes[source].clear();
        self.returns[source] = None;
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        let own = self.returns.get(self.own).copied().flatten()?;
        self.heard.clear();
        let known = self.returns.iter().zip(is_heard);
        self.heard.extend(
            known
                .filter(|(_, heard)| **heard)
                .filter_map(|(one, _)| *one),
        );
        (self.heard.len() > 1).then(|| (self.statistic)(own, &self.heard))
    }
}

impl State for MarketReturns {
    fn save(&self, to: &mut StateWriter) {
        for (closes, newest) in self.closes.iter().zip(&self.returns) {
            closes.save(to);
            newest.save(to);
        }
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        for (closes, newest) in self.closes.iter_mut().zip(&mut self.returns) {
            closes.load(from)?;
            newest.load(from)?;
            if closes.len() > self.bars {
                return Err(StateError::Damaged("a window of another length"));
            }
        }
        Ok(())
    }
}
