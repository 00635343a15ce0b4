//! What a taker pays by recorded order books: section 7 of `docs/execution.md`.
//!
//! A snapshot tells how far from the middle of the book so much is to be had; that distance is
//! taken from where the market stands. Its prices themselves are of another moment.

use super::rules::{Rules, Slippage, TakerPrice};
use super::walk::Walk;
use crate::types::{BookLevel, BookSnapshot, Price, Quantity, Timestamp};

/// A whole in millionths of a basis point.
const WHOLE: i128 = 10_000_000_000;

/// How the books of a symbol are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BookRule {
    /// Nanoseconds after which a snapshot says nothing any more.
    pub(super) max_age: i64,
    /// What is paid for what the books do not say, `micro_bps`.
    pub(super) otherwise: i64,
}

/// What takers have had of snapshots in this slice: the moment of the snapshot, whether it was
/// bought, and how much.
#[derive(Debug, Clone, Default)]
pub(super) struct Drained(Vec<(Timestamp, bool, Quantity)>);

/// One side of a snapshot that is known and young enough, as a taker meets it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Depth<'a> {
    snapshot: &'a BookSnapshot,
    buys: bool,
    /// What is gone of it.
    gone: Quantity,
    otherwise: i64,
}

/// The newest of `books` that is known at `at`, where it is young enough.
pub(super) fn known_at(
    books: &[BookSnapshot],
    rule: BookRule,
    at: Timestamp,
) -> Option<&BookSnapshot> {
    let after = books.partition_point(|book| book.at <= at);
    let newest = books.get(after.checked_sub(1)?)?;
    (at.nanos_since(newest.at) <= rule.max_age).then_some(newest)
}

impl Drained {
    /// What is gone of the snapshot of `at` for one who buys, or sells.
    fn gone(&self, at: Timestamp, buys: bool) -> Quantity {
        let same = self.0.iter().filter(|one| (one.0, one.1) == (at, buys));
        same.map(|one| one.2).sum()
    }
}

impl<'a> Depth<'a> {
    pub(super) fn new(
        snapshot: &'a BookSnapshot,
        rule: BookRule,
        (buys, drained): (bool, &Drained),
    ) -> Self {
        Self {
            snapshot,
            buys,
            gone: drained.gone(snapshot.at, buys),
            otherwise: rule.otherwise,
        }
    }

    /// Takes `quantity` away from it, for those who come later.
    pub(super) fn take(&self, quantity: Quantity, drained: &mut Drained) {
        let taken = (self.snapshot.at, self.buys, quantity.abs());
        drained.0.push(taken);
    }

    fn levels(&self) -> &'a [BookLevel] {
        if self.buys {
            &self.snapshot.asks
        } else {
            &self.snapshot.bids
        }
    }

    /// Twice the middle of the book.
    fn doubled_middle(&self) -> i128 {
        let best = |levels: &[BookLevel]| levels.first().map_or(0, |level| level.price.units());
        (best(&self.snapshot.bids) + best(&self.snapshot.asks)).max(1)
    }

    /// How far `price` is from the middle, against the taker: `micro_bps` of the middle, to the
    /// nearest, at most the whole.
    fn distance(&self, price: Price) -> i64 {
        let middle = self.doubled_middle();
        let away = 2 * price.units() - middle;
        let away = if self.buys { away } else { -away };
        let exact = (away.max(0) * WHOLE + middle / 2) / middle;
        i64::try_from(exact.min(WHOLE)).unwrap_or(0)
    }

    /// Distance of the best price.
    pub(super) fn half_spread(&self) -> i64 {
        self.levels()
            .first()
            .map_or(0, |level| self.distance(level.price))
    }

    /// What the part of an order costs that the book does not hold.
    fn beyond(&self) -> Price {
        let last = self
            .levels()
            .last()
            .map_or(Price::ZERO, |level| level.price);
        let further = last.scaled_by_micro_bps(self.otherwise);
        if self.buys {
            last + further
        } else {
            (last - further).max(Price::ZERO)
        }
    }

    /// Distance from the middle of the average price of `quantity` (unsigned).
    pub(super) fn cost(&self, quantity: Quantity) -> i64 {
        let (mut gone, mut left) = (self.gone, quantity);
        // Units of price times units of quantity.
        let mut paid = 0_i128;
        for level in self.levels() {
            let passed = gone.min(level.size);
            gone -= passed;
            let taken = (level.size - passed).min(left);
            left -= taken;
            paid = paid.saturating_add(level.price.units().saturating_mul(taken.units()));
            if left.is_zero() {
                break;
            }
        }
        paid = paid.saturating_add(self.beyond().units().saturating_mul(left.units()));
        let quantity = quantity.units().max(1);
        self.distance(Price::from_units((paid + quantity / 2) / quantity))
    }

    /// How much is to be had where the market stands at `reference` and `limit` is the worst price;
    /// `None` where there is no end to it.
    pub(super) fn within(
        &self,
        rules: &Rules,
        (reference, limit): (Price, Price),
    ) -> Option<Quantity> {
        let reaches = |price: Price| {
            let price = rules.moved(reference, self.buys, rules.fixed + self.distance(price));
            if self.buys {
                price <= limit
            } else {
                price >= limit
            }
        };
        if reaches(self.beyond()) {
            return None;
        }
        let within = self
            .levels()
            .iter()
            .take_while(|level| reaches(level.price));
        let sum: Quantity = within.map(|level| level.size).sum();
        Some((sum - self.gone.min(sum)).toward_zero(rules.lot))
    }
}

impl<'a> Walk<'a> {
    /// The order book that one who arrived at `arrived_at` takes from: the newest that is known
    /// where the slice opens, or where the order arrives inside it.
    pub(super) fn depth(&self, buys: bool, arrived_at: Timestamp) -> Option<Depth<'a>> {
        let Slippage::Book(rule) = self.rules().slippage else {
            return None;
        };
        let met_at = arrived_at.max(self.setting.slice.opened_at);
        let snapshot = known_at(self.setting.books, rule, met_at)?;
        Some(Depth::new(snapshot, rule, (buys, &self.drained)))
    }

    /// What of `quantity` the book has where the order has a limit.
    pub(super) fn within_book(
        &self,
        quantity: Quantity,
        depth: Option<Depth<'a>>,
        (reference, limit): (Price, Option<Price>),
    ) -> Quantity {
        let (Some(depth), Some(limit)) = (depth, limit) else {
            return quantity;
        };
        match depth.within(self.rules(), (reference, limit)) {
            Some(most) if quantity.abs() > most && quantity.signum() < 0 => -most,
            Some(most) if quantity.abs() > most => most,
            _ => quantity,
        }
    }

    /// What `quantity` (signed) takes where the market stands at `reference`.
    pub(super) fn taker(
        &self,
        reference: Price,
        quantity: Quantity,
        depth: Option<Depth<'a>>,
    ) -> TakerPrice {
        let Some(depth) = depth else {
            return self
                .rules()
                .taker(reference, quantity, &self.setting.climate);
        };
        let against = self.rules().fixed + depth.cost(quantity.abs());
        TakerPrice {
            price: self
                .rules()
                .moved(reference, quantity > Quantity::ZERO, against),
            spread: reference.scaled_by_micro_bps(depth.half_spread()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(at: i64) -> BookSnapshot {
        let level = |price: &str, size: &str| BookLevel {
            price: price.parse().unwrap(),
            size: size.parse().unwrap(),
        };
        BookSnapshot {
            at: Timestamp::from_nanos(at),
            bids: vec![level("99", "1"), level("98", "2")],
            asks: vec![level("101", "1"), level("103", "2")],
        }
    }

    const RULE: BookRule = BookRule {
        max_age: 10,
        otherwise: 100_000_000,
    };

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_newest_known_snapshot_counts_and_only_while_it_is_young() {
        let books = [book(10), book(20)];
        let at = |nanos| {
            let found = known_at(&books, RULE, Timestamp::from_nanos(nanos));
            found.map(|book| book.at.as_nanos())
        };
        let found = [9, 10, 19, 20, 30, 31].map(at);
        let expected = [None, Some(10), Some(10), Some(20), Some(20), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_taker_pays_the_average_distance_of_what_it_takes() {
        let book = book(10);
        let buys = Depth::new(&book, RULE, (true, &Drained::default()));
        // The middle is 100: 101 is 1 % away, (101 + 103) / 2 is 2 %.
        assert_eq!(buys.half_spread(), 100_000_000);
        assert_eq!(buys.cost(quantity("0.5")), 100_000_000);
        assert_eq!(buys.cost(quantity("2")), 200_000_000);
        // (101 + 2 x 103 + 104.03) / 4 = 102.7575: the fourth costs 1 % beyond the last.
        assert_eq!(buys.cost(quantity("4")), 275_750_000);
        let sells = Depth::new(&book, RULE, (false, &Drained::default()));
        // (99 + 98) / 2 = 98.5.
        assert_eq!(sells.cost(quantity("2")), 150_000_000);
    }

    #[test]
    fn what_one_order_took_of_a_snapshot_is_gone_for_the_next() {
        let book = book(10);
        let mut drained = Drained::default();
        let buys = Depth::new(&book, RULE, (true, &drained));
        let sells = Depth::new(&book, RULE, (false, &drained));
        buys.take(quantity("1"), &mut drained);
        sells.take(quantity("-0.5"), &mut drained);
        let next = Depth::new(&book, RULE, (true, &drained));
        assert_eq!(next.cost(quantity("1")), 300_000_000);
        let sells = Depth::new(&book, RULE, (false, &drained));
        assert_eq!(sells.cost(quantity("1")), 150_000_000);
        let newer = BookSnapshot {
            at: Timestamp::from_nanos(11),
            ..book
        };
        let fresh = Depth::new(&newer, RULE, (true, &drained));
        assert_eq!(fresh.cost(quantity("1")), 100_000_000);
    }
}
