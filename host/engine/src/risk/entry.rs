//! The terms of an order that opens a position: those of the strategy's entry, within the collar.
//!
//! Prices of orders are rounded to the tick against the order: limits away from the market,
//! triggers into it.

use crate::execution::{OrderKind, OrderTerms, TimeInForce};
use crate::problem::micro_bps_of_bps;
use crate::strategy::{EntryOrder, EntryTime};
use crate::types::{Price, Timestamp};

/// What an entry is decided at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    pub(super) at: Timestamp,
    /// The close.
    pub(super) mark: Price,
    pub(super) tick: Price,
    pub(super) buys: bool,
    /// How far from the close it may fill, `micro_bps`.
    pub(super) collar: Option<i64>,
    pub(super) bar_nanos: i64,
}

/// The terms of `entry`.
pub(super) fn terms(entry: EntryOrder, decision: &Decision) -> OrderTerms {
    match entry {
        EntryOrder::Market => match decision.collar() {
            // It must not wait outside the collar for the market to come back.
            Some(price) => OrderTerms {
                kind: OrderKind::Limit { price },
                time_in_force: TimeInForce::Ioc,
                ..OrderTerms::default()
            },
            None => OrderTerms::default(),
        },
        EntryOrder::AtOnce { whole } => OrderTerms {
            kind: match decision.collar() {
                Some(price) => OrderKind::Limit { price },
                None => OrderKind::Market,
            },
            time_in_force: if whole {
                TimeInForce::Fok
            } else {
                TimeInForce::Ioc
            },
            ..OrderTerms::default()
        },
        EntryOrder::Limit {
            offset_bps,
            valid_bars,
            time_in_force,
        } => {
            let price = decision.limit(decision.mark, -offset_bps);
            decision.waiting(OrderKind::Limit { price }, valid_bars, time_in_force)
        }
        EntryOrder::Stop {
            offset_bps,
            valid_bars,
            time_in_force,
        } => {
            let trigger = decision.trigger(offset_bps);
            let kind = match decision.collar() {
                Some(price) => OrderKind::StopLimit { trigger, price },
                None => OrderKind::Stop { trigger },
            };
            decision.waiting(kind, valid_bars, time_in_force)
        }
        EntryOrder::StopLimit {
            offset_bps,
            limit_offset_bps,
            valid_bars,
            time_in_force,
        } => {
            let trigger = decision.trigger(offset_bps);
            let price = decision.limit(trigger, limit_offset_bps);
            let kind = OrderKind::StopLimit { trigger, price };
            decision.waiting(kind, valid_bars, time_in_force)
        }
    }
}

impl Decision {
    /// `from` moved by `micro_bps` of the close the way the position gains.
    fn moved(&self, from: Price, micro_bps: i64) -> Price {
        let distance = self.mark.scaled_by_micro_bps(micro_bps);
        if self.buys {
            from + distance
        } else {
            from - distance
        }
    }

    /// The worst price to trade at, `bps` beyond `from` and within the collar.
    fn limit(&self, from: Price, bps: f64) -> Price {
        let price = self.limit_at(self.moved(from, micro_bps_of_bps(bps)));
        match self.collar() {
            Some(collar) if self.buys => price.min(collar),
            Some(collar) => price.max(collar),
            None => price,
        }
    }

    fn limit_at(&self, price: Price) -> Price {
        let rounded = if self.buys {
            price.down_to(self.tick)
        } else {
            price.up_to(self.tick)
        };
        rounded.max(self.tick)
    }

    fn trigger(&self, bps: f64) -> Price {
        let price = self.moved(self.mark, micro_bps_of_bps(bps));
        let rounded = if self.buys {
            price.up_to(self.tick)
        } else {
            price.down_to(self.tick)
        };
        rounded.max(self.tick)
    }

    fn collar(&self) -> Option<Price> {
        let moved = self.moved(self.mark, self.collar?);
        Some(self.limit_at(moved))
    }

    fn waiting(&self, kind: OrderKind, valid_bars: u32, time: EntryTime) -> OrderTerms {
        let wait = self.bar_nanos.saturating_mul(i64::from(valid_bars));
        OrderTerms {
            kind,
            time_in_force: match time {
                EntryTime::Gtc | EntryTime::PostOnly => TimeInForce::Gtc,
                EntryTime::Ioc => TimeInForce::Ioc,
                EntryTime::Fok => TimeInForce::Fok,
            },
            expires_at: Some(self.at.saturating_add_nanos(wait)),
            post_only: time == EntryTime::PostOnly,
            ..OrderTerms::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(entry: EntryOrder, buys: bool, collar_bps: Option<i64>) -> String {
        let decision = Decision {
            at: Timestamp::from_nanos(7),
            mark: "100.2".parse().unwrap(),
            tick: "0.5".parse().unwrap(),
            buys,
            collar: collar_bps.map(|bps| bps * 1_000_000),
            bar_nanos: 10,
        };
        let terms = terms(entry, &decision);
        let kind = match terms.kind {
            OrderKind::Market => "market".to_owned(),
            OrderKind::Limit { price } => format!("limit {price}"),
            OrderKind::Stop { trigger } => format!("stop {trigger}"),
            OrderKind::StopLimit { trigger, price } => format!("stop {trigger} limit {price}"),
            other => format!("{other:?}"),
        };
        let until = terms.expires_at.map_or(0, Timestamp::as_nanos);
        let post = if terms.post_only { " post" } else { "" };
        format!("{kind} {:?}{post} until {until}", terms.time_in_force)
    }

    /// Holds entries, in a collar or without one, to their terms for purchases and sales.
    fn check(cases: &[(EntryOrder, Option<i64>, &str, &str)]) {
        for &(entry, collar, buy, sell) in cases {
            assert_eq!(told(entry, true, collar), buy, "{entry:?}");
            assert_eq!(told(entry, false, collar), sell, "{entry:?}");
        }
    }

    #[test]
    fn market_entries_have_their_terms() {
        let (whole, part) = (
            EntryOrder::AtOnce { whole: true },
            EntryOrder::AtOnce { whole: false },
        );
        let (gtc, ioc) = ("market Gtc until 0", "limit 101 Ioc until 0");
        check(&[
            (EntryOrder::Market, None, gtc, gtc),
            (EntryOrder::Market, Some(100), ioc, "limit 99.5 Ioc until 0"),
            (whole, None, "market Fok until 0", "market Fok until 0"),
            (part, Some(100), ioc, "limit 99.5 Ioc until 0"),
        ]);
    }

    #[test]
    fn limit_entries_are_rounded_away_from_the_market() {
        let limit = |offset_bps, time_in_force| EntryOrder::Limit {
            offset_bps,
            valid_bars: 3,
            time_in_force,
        };
        let (below, above) = (
            "limit 99 Gtc post until 37",
            "limit 101.5 Gtc post until 37",
        );
        // 1% of 100.2 is 1.002.
        check(&[
            (limit(100.0, EntryTime::PostOnly), None, below, above),
            (
                limit(-100.0, EntryTime::Fok),
                None,
                "limit 101 Fok until 37",
                "limit 99.5 Fok until 37",
            ),
            (
                limit(-500.0, EntryTime::Ioc),
                Some(100),
                "limit 101 Ioc until 37",
                "limit 99.5 Ioc until 37",
            ),
        ]);
    }

    #[test]
    fn stop_entries_are_rounded_into_the_market() {
        let stop = EntryOrder::Stop {
            offset_bps: 100.0,
            valid_bars: 3,
            time_in_force: EntryTime::Gtc,
        };
        let stop_limit = |limit_offset_bps| EntryOrder::StopLimit {
            offset_bps: 100.0,
            limit_offset_bps,
            valid_bars: 3,
            time_in_force: EntryTime::PostOnly,
        };
        check(&[
            (
                stop,
                None,
                "stop 101.5 Gtc until 37",
                "stop 99 Gtc until 37",
            ),
            (
                stop,
                Some(300),
                "stop 101.5 limit 103 Gtc until 37",
                "stop 99 limit 97.5 Gtc until 37",
            ),
            (
                stop_limit(100.0),
                None,
                "stop 101.5 limit 102.5 Gtc post until 37",
                "stop 99 limit 98 Gtc post until 37",
            ),
            (
                stop_limit(-100.0),
                None,
                "stop 101.5 limit 100 Gtc post until 37",
                "stop 99 limit 100.5 Gtc post until 37",
            ),
        ]);
    }
}
