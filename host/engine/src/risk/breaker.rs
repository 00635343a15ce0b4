//! Breakers and ruin: conditions of the whole account that stop trading.
//!
//! All are latched. A breaker stays tripped until it is reset, by hand or (where the configuration
//! says so) by itself when its cool-down is over, however far equity recovers; ruin stays for good.
//! While drawdown, daily loss or ruin hold, positions are closed and none is opened; while data is
//! silent, none is opened.

use serde::{Deserialize, Serialize};

use crate::types::{Cash, Timestamp};

const DAY: i64 = 86_400_000_000_000;

/// What a breaker watches.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum BreakerKind {
    /// Equity against its peak.
    #[default]
    Drawdown,
    /// Equity against its value at the day's beginning (UTC).
    DailyLoss,
    /// The time since the newest bar of every symbol.
    StaleData,
}

impl BreakerKind {
    const ALL: [Self; 3] = [Self::Drawdown, Self::DailyLoss, Self::StaleData];

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(crate) fn is_drawdown(&self) -> bool {
        *self == Self::Drawdown
    }
}

/// What has just stopped trading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trip {
    /// A breaker tripped.
    Breaker {
        /// Which.
        kind: BreakerKind,
        /// The equity that it compares with: the peak, or that of the day's beginning.
        peak: Cash,
    },
    /// Equity is gone.
    Ruin,
}

/// The limits that breakers hold equity and data to; `None` watches nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BreakerLimits {
    pub(crate) drawdown_micro_bps: Option<i64>,
    pub(crate) daily_loss_micro_bps: Option<i64>,
    pub(crate) silence_nanos: Option<i64>,
    pub(crate) cool_down_nanos: i64,
    pub(crate) resets_itself: bool,
}

/// The account at the end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) at: Timestamp,
    pub(crate) equity: Cash,
    /// The time since the newest bar of the symbol that has been silent for longest.
    pub(crate) silent_nanos: i64,
}

/// Watches the account; see the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    limits: BreakerLimits,
    peak: Cash,
    /// Equity at and below which drawdown trips, and daily loss.
    floor: Cash,
    day_floor: Cash,
    day: Option<i64>,
    day_equity: Cash,
    last_equity: Cash,
    tripped_at: [Option<Timestamp>; 3],
    cools_until: Option<Timestamp>,
    ruined: bool,
}

impl Breaker {
    /// Armed at `initial` equity. Without limits only ruin is watched.
    #[must_use]
    pub(crate) fn new(initial: Cash, limits: BreakerLimits) -> Self {
        Self {
            limits,
            peak: initial,
            floor: floor(initial, limits.drawdown_micro_bps),
            day_floor: floor(initial, limits.daily_loss_micro_bps),
            day: None,
            day_equity: initial,
            last_equity: initial,
            tripped_at: [None; 3],
            cools_until: None,
            ruined: false,
        }
    }

    /// Armed anew, with the same limits.
    pub(crate) fn armed_at(&self, initial: Cash) -> Self {
        Self::new(initial, self.limits)
    }

    /// Begins the day that `at` ends in or lies in; a step at midnight belongs to the day before.
    pub(crate) fn begin_day(&mut self, at: Timestamp) {
        let day = (at.as_nanos() - 1).div_euclid(DAY);
        if self.day != Some(day) {
            self.day = Some(day);
            self.day_equity = self.last_equity;
            self.day_floor = floor(self.day_equity, self.limits.daily_loss_micro_bps);
        }
    }

    /// The next thing that `reading` would trip that has not tripped yet; ruin comes before all.
    #[must_use]
    pub(crate) fn judge(&self, reading: &Reading) -> Option<Trip> {
        if self.ruined {
            return None;
        }
        let equity = reading.equity;
        if equity <= Cash::ZERO {
            return Some(Trip::Ruin);
        }
        let is_silent = |limit: i64| reading.silent_nanos > limit;
        if equity > self.floor
            && equity > self.day_floor
            && !self.limits.silence_nanos.is_some_and(is_silent)
        {
            return None;
        }
        BreakerKind::ALL.into_iter().find_map(|kind| {
            let (peak, is_over) = match kind {
                BreakerKind::Drawdown => (self.peak, equity <= self.floor),
                BreakerKind::DailyLoss => (self.day_equity, equity <= self.day_floor),
                BreakerKind::StaleData => {
                    (equity, self.limits.silence_nanos.is_some_and(is_silent))
                }
            };
            let is_new = self.tripped_at[kind as usize].is_none();
            (is_over && is_new).then_some(Trip::Breaker { kind, peak })
        })
    }

    /// Takes a reading in: a new peak, and a trip that [`judge`](Self::judge) found.
    pub(crate) fn observe(&mut self, reading: &Reading, trip: Option<Trip>) {
        if reading.equity > self.peak {
            self.peak = reading.equity;
            self.floor = floor(self.peak, self.limits.drawdown_micro_bps);
        }
        self.last_equity = reading.equity;
        match trip {
            Some(Trip::Breaker { kind, .. }) => self.tripped_at[kind as usize] = Some(reading.at),
            Some(Trip::Ruin) => self.ruined = true,
            None => {}
        }
    }

    /// Whether every tripped breaker has cooled down and resets itself now.
    #[must_use]
    pub(crate) fn resets_at(&self, now: Timestamp) -> bool {
        let newest = self.tripped_at.iter().flatten().max();
        self.limits.resets_itself
            && newest.is_some_and(|at| now.nanos_since(*at) >= self.limits.cool_down_nanos)
    }

    /// Arms tripped breakers again, with `equity` as the new peak and beginning of the day. Ruin
    /// stays. After a reset by hand nothing is opened until the cool-down is over.
    pub(crate) fn reset(&mut self, equity: Cash, now: Timestamp) {
        let by_itself = self.resets_at(now);
        self.tripped_at = [None; 3];
        self.peak = equity;
        self.day_equity = equity;
        self.floor = floor(equity, self.limits.drawdown_micro_bps);
        self.day_floor = floor(equity, self.limits.daily_loss_micro_bps);
        let cools = !by_itself && self.limits.cool_down_nanos > 0;
        self.cools_until = cools.then(|| now.saturating_add_nanos(self.limits.cool_down_nanos));
    }

    /// Whether the account lost too much, by drawdown or in a day, and nobody has reset the
    /// breaker: positions are closed and none is opened.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        let [drawdown, daily_loss, _] = self.tripped_at;
        drawdown.is_some() || daily_loss.is_some()
    }

    /// Whether data was silent and nobody has reset the breaker: nothing is opened.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.tripped_at[BreakerKind::StaleData as usize].is_some()
    }

    /// Whether any breaker waits for a reset.
    #[must_use]
    pub fn awaits_reset(&self) -> bool {
        self.tripped_at.iter().any(Option::is_some)
    }

    /// Whether nothing may be opened yet after a reset.
    #[must_use]
    pub fn cools_down(&self, now: Timestamp) -> bool {
        self.cools_until.is_some_and(|until| now < until)
    }

    /// Whether equity has ever been gone.
    #[must_use]
    pub fn is_ruined(&self) -> bool {
        self.ruined
    }
}

/// What `peak` may fall to; below everything where there is no limit.
fn floor(peak: Cash, limit_micro_bps: Option<i64>) -> Cash {
    limit_micro_bps.map_or(Cash::from_units(i128::MIN), |limit| {
        peak - peak.scaled_by_micro_bps(limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn limits() -> BreakerLimits {
        BreakerLimits {
            drawdown_micro_bps: Some(1_000_000_000),
            daily_loss_micro_bps: Some(500_000_000),
            silence_nanos: Some(2 * HOUR),
            cool_down_nanos: 3 * HOUR,
            resets_itself: false,
        }
    }

    fn observe(breaker: &mut Breaker, hour: i64, equity: i128) -> Option<Trip> {
        let reading = Reading {
            at: Timestamp::from_nanos(hour * HOUR),
            equity: Cash::from_units(equity),
            silent_nanos: 0,
        };
        breaker.begin_day(reading.at);
        let trip = breaker.judge(&reading);
        breaker.observe(&reading, trip);
        trip
    }

    fn drawdown_only() -> BreakerLimits {
        BreakerLimits {
            drawdown_micro_bps: Some(1_000_000_000),
            ..BreakerLimits::default()
        }
    }

    #[test]
    fn trips_at_the_limit_and_stays_until_reset() {
        let mut breaker = Breaker::new(Cash::from_units(1_000), drawdown_only());
        assert_eq!(observe(&mut breaker, 1, 2_000), None);
        assert_eq!(observe(&mut breaker, 2, 1_801), None);
        let trip = Trip::Breaker {
            kind: BreakerKind::Drawdown,
            peak: Cash::from_units(2_000),
        };
        assert_eq!(observe(&mut breaker, 3, 1_800), Some(trip));
        assert_eq!(observe(&mut breaker, 4, 5_000), None);
        assert!(breaker.is_tripped());
        breaker.reset(Cash::from_units(5_000), Timestamp::from_nanos(4 * HOUR));
        assert!(!breaker.is_tripped());
        assert_eq!(observe(&mut breaker, 5, 4_501), None);
        assert!(observe(&mut breaker, 6, 4_500).is_some());
    }

    #[test]
    fn a_day_begins_with_the_equity_of_the_evening_before() {
        let mut breaker = Breaker::new(Cash::from_units(1_000), limits());
        assert_eq!(
            observe(&mut breaker, 24, 960),
            None,
            "midnight ends the day"
        );
        assert_eq!(observe(&mut breaker, 25, 920), None);
        let trip = Trip::Breaker {
            kind: BreakerKind::DailyLoss,
            peak: Cash::from_units(960),
        };
        assert_eq!(observe(&mut breaker, 26, 912), Some(trip));
        assert!(breaker.is_tripped());
        // The same fall trips the drawdown breaker once it is deep enough.
        assert!(matches!(
            observe(&mut breaker, 27, 900),
            Some(Trip::Breaker {
                kind: BreakerKind::Drawdown,
                ..
            })
        ));
        assert_eq!(observe(&mut breaker, 28, 800), None, "both are latched");
    }

    #[test]
    fn silence_stops_openings_only_and_a_reset_cools_down() {
        let mut breaker = Breaker::new(Cash::from_units(1_000), limits());
        let now = Timestamp::from_nanos(10 * HOUR);
        let reading = Reading {
            at: now,
            equity: Cash::from_units(1_000),
            silent_nanos: 2 * HOUR + 1,
        };
        let trip = breaker.judge(&reading);
        breaker.observe(&reading, trip);
        assert!(breaker.is_silent() && !breaker.is_tripped() && breaker.awaits_reset());
        assert!(!breaker.resets_at(Timestamp::from_nanos(99 * HOUR)));
        breaker.reset(reading.equity, now);
        assert!(!breaker.is_silent());
        assert!(breaker.cools_down(Timestamp::from_nanos(12 * HOUR)));
        assert!(!breaker.cools_down(Timestamp::from_nanos(13 * HOUR)));
    }

    #[test]
    fn a_breaker_may_reset_itself_when_it_has_cooled_down() {
        let limits = BreakerLimits {
            resets_itself: true,
            ..limits()
        };
        let mut breaker = Breaker::new(Cash::from_units(1_000), limits);
        observe(&mut breaker, 1, 800);
        observe(&mut breaker, 1, 800);
        assert!(breaker.is_tripped());
        assert!(!breaker.resets_at(Timestamp::from_nanos(3 * HOUR)));
        let now = Timestamp::from_nanos(4 * HOUR);
        assert!(breaker.resets_at(now));
        breaker.reset(Cash::from_units(800), now);
        assert!(!breaker.is_tripped() && !breaker.cools_down(now));
    }

    #[test]
    fn ruin_is_reported_once_and_for_good() {
        let mut breaker = Breaker::new(Cash::from_units(10), BreakerLimits::default());
        assert_eq!(observe(&mut breaker, 1, 1), None);
        assert_eq!(observe(&mut breaker, 2, 0), Some(Trip::Ruin));
        assert_eq!(observe(&mut breaker, 3, -5), None);
        breaker.reset(Cash::from_units(5), Timestamp::from_nanos(3 * HOUR));
        assert!(breaker.is_ruined());
    }
}
