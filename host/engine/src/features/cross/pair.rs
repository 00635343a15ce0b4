//! A symbol against its lead, where both have a bar that closes at the same moment.

use std::collections::VecDeque;

use super::CrossOperator;
use crate::features::parts::log_ratio;
use crate::features::window::{PairMoments, RollingMoments, RollingPair};
use crate::types::Bar;

/// Source 1 of a pair.
const LEAD: usize = 1;

/// Closes of one symbol that may still find their partner; older ones are given up.
const WAITING_CLOSES: usize = 1024;

/// Finds the closes that two symbols have at the same moment.
#[derive(Debug, Clone, Default)]
struct Join {
    /// Closing times in nanoseconds and closes of each source, ascending; one of the two is
    /// always empty.
    waiting: [VecDeque<(i64, f64)>; 2],
}

impl Join {
    /// Adds a close; gives own and lead close where the partner was waiting.
    fn see(&mut self, source: usize, bar: &Bar) -> Option<(f64, f64)> {
        let at = bar.closed_at.as_nanos();
        let [own, lead] = &mut self.waiting;
        let (mine, other) = if source == LEAD {
            (lead, own)
        } else {
            (own, lead)
        };
        while other.front().is_some_and(|one| one.0 < at) {
            other.pop_front();
        }
        let partner = other.front().copied().filter(|one| one.0 == at);
        if let Some((_, partner)) = partner {
            other.pop_front();
            mine.clear();
            let (own, lead) = if source == LEAD {
                (partner, bar.close)
            } else {
                (bar.close, partner)
            };
            return Some((own, lead));
        }
        if other.is_empty() {
            mine.push_back((at, bar.close));
        }
        if mine.len() > WAITING_CLOSES {
            mine.pop_front();
        }
        None
    }
}

/// A statistic of a window of return pairs (the lead's is x, the own one y) and the newest pair,
/// own first.
pub(super) type Statistic = fn(&PairMoments, (f64, f64)) -> f64;

/// A statistic over the last common returns, own against lead.
#[derive(Debug, Clone)]
pub(super) struct Comovement {
    join: Join,
    previous: Option<(f64, f64)>,
    /// Returns of the lead that wait for the own return `lag` bars later.
    delayed: VecDeque<f64>,
    window: RollingPair,
    period: usize,
    value: Option<f64>,
    lag: usize,
    statistic: Statistic,
}

impl Comovement {
    pub(super) fn new(period: usize, lag: usize, statistic: Statistic) -> Self {
        Self {
            join: Join::default(),
            previous: None,
            delayed: VecDeque::with_capacity(lag + 1),
            window: RollingPair::new(period),
            period,
            value: None,
            lag,
            statistic,
        }
    }
}

impl CrossOperator for Comovement {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let Some((own_before, lead_before)) = self.previous.replace((own, lead)) else {
            return;
        };
        self.delayed.push_back(log_ratio(lead, lead_before));
        if self.delayed.len() <= self.lag {
            return;
        }
        let Some(lead) = self.delayed.pop_front() else {
            return;
        };
        let newest = (log_ratio(own, own_before), lead);
        let moments = self.window.push(newest.1, newest.0);
        self.value = moments.map(|moments| (self.statistic)(&moments, newest));
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.period, self.lag, self.statistic);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

#[derive(Debug, Clone)]
pub(super) struct RelativeStrength {
    join: Join,
    ratios: VecDeque<f64>,
    value: Option<f64>,
    bars: usize,
}

impl RelativeStrength {
    pub(super) fn new(bars: usize) -> Self {
        Self {
            join: Join::default(),
            ratios: VecDeque::with_capacity(bars + 1),
            value: None,
            bars,
        }
    }
}

impl CrossOperator for RelativeStrength {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let ratio = log_ratio(own, lead);
        self.ratios.push_back(ratio);
        if self.ratios.len() > self.bars {
            self.value = self.ratios.pop_front().map(|past| ratio - past);
        }
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.bars);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

#[derive(Debug, Clone)]
pub(super) struct SpreadZScore {
    join: Join,
    ratios: RollingMoments,
    value: Option<f64>,
    period: usize,
}

impl SpreadZScore {
    pub(super) fn new(period: usize) -> Self {
        Self {
            join: Join::default(),
            ratios: RollingMoments::new(period),
            value: None,
            period,
        }
    }
}

impl CrossOperator for SpreadZScore {
    fn see(&mut self, source: usize, bar: &Bar) {
        let Some((own, lead)) = self.join.see(source, bar) else {
            return;
        };
        let ratio = log_ratio(own, lead);
        let moments = self.ratios.push(ratio);
        self.value = moments.map(|moments| moments.z_score(ratio));
    }

    fn forget(&mut self, _source: usize) {
        *self = Self::new(self.period);
    }

    fn value(&mut self, is_heard: &[bool]) -> Option<f64> {
        self.value.filter(|_| is_heard.get(LEAD) == Some(&true))
    }
}

crate::state! {
    Join { waiting }
    Comovement { join, previous, delayed, window, value }
    RelativeStrength { join, ratios, value }
    SpreadZScore { join, ratios, value }
}
