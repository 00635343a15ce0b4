//! The drawdown breaker and ruin: conditions of the whole account that stop trading.
//!
//! Both are latched. The breaker stays tripped until it is reset by hand, however far equity
//! recovers; ruin stays for good. While either holds, positions are closed and none is opened.

use crate::types::Cash;

/// What has just stopped trading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// Equity fell too far below its peak.
    Drawdown {
        /// The peak.
        peak: Cash,
    },
    /// Equity is gone.
    Ruin,
}

/// Watches equity; see the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    peak: Cash,
    max_drawdown_micro_bps: Option<i64>,
    tripped: bool,
    ruined: bool,
}

impl Breaker {
    /// Armed at `initial` equity. Without a largest drawdown only ruin is watched.
    #[must_use]
    pub(crate) fn new(initial: Cash, max_drawdown_micro_bps: Option<i64>) -> Self {
        Self {
            peak: initial,
            max_drawdown_micro_bps,
            tripped: false,
            ruined: false,
        }
    }

    /// What `equity` would trip that has not tripped yet; ruin comes before drawdown.
    #[must_use]
    pub(crate) fn judge(&self, equity: Cash) -> Option<Trip> {
        if self.ruined {
            return None;
        }
        if equity <= Cash::ZERO {
            return Some(Trip::Ruin);
        }
        let limit = self.max_drawdown_micro_bps?;
        let lost = self.peak - equity;
        let too_far = !self.tripped && lost >= self.peak.scaled_by_micro_bps(limit);
        too_far.then_some(Trip::Drawdown { peak: self.peak })
    }

    /// Takes `equity` in: a new peak, and the trip that [`judge`](Self::judge) found.
    pub(crate) fn observe(&mut self, equity: Cash, trip: Option<Trip>) {
        self.peak = self.peak.max(equity);
        match trip {
            Some(Trip::Drawdown { .. }) => self.tripped = true,
            Some(Trip::Ruin) => self.ruined = true,
            None => {}
        }
    }

    /// Arms a tripped breaker again, with `equity` as the new peak. Ruin stays.
    pub(crate) fn reset(&mut self, equity: Cash) {
        self.tripped = false;
        self.peak = equity;
    }

    /// Whether equity fell too far and nobody has reset the breaker.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// Whether equity has ever been gone.
    #[must_use]
    pub fn is_ruined(&self) -> bool {
        self.ruined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(breaker: &mut Breaker, equity: i128) -> Option<Trip> {
        let equity = Cash::from_units(equity);
        let trip = breaker.judge(equity);
        breaker.observe(equity, trip);
        trip
    }

    #[test]
    fn trips_at_the_limit_and_stays_until_reset() {
        let mut breaker = Breaker::new(Cash::from_units(1_000), Some(1_000_000_000));
        assert_eq!(observe(&mut breaker, 2_000), None);
        assert_eq!(observe(&mut breaker, 1_801), None);
        let peak = Cash::from_units(2_000);
        assert_eq!(observe(&mut breaker, 1_800), Some(Trip::Drawdown { peak }));
        assert_eq!(observe(&mut breaker, 5_000), None);
        assert!(breaker.is_tripped());
        breaker.reset(Cash::from_units(5_000));
        assert!(!breaker.is_tripped());
        assert_eq!(observe(&mut breaker, 4_501), None);
        assert!(observe(&mut breaker, 4_500).is_some());
    }

    #[test]
    fn ruin_is_reported_once_and_for_good() {
        let mut breaker = Breaker::new(Cash::from_units(10), None);
        assert_eq!(observe(&mut breaker, 1), None);
        assert_eq!(observe(&mut breaker, 0), Some(Trip::Ruin));
        assert_eq!(observe(&mut breaker, -5), None);
        breaker.reset(Cash::from_units(5));
        assert!(breaker.is_ruined());
    }
}
