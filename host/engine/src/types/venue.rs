//! What a venue recorded beside the bars of the signal: finer bars, funding rates, order books.
//!
//! Only the simulated exchange reads them, and only up to the moment that it has come to. Features,
//! labels and strategies never see them.

use std::sync::Arc;

use super::{Bar, BarSeries, Market, Price, Quantity, Timestamp};

/// Problems that are listed at most.
const MAX_PROBLEMS: usize = 20;
/// The largest funding rate, as in the settings of a constant one: a tenth of the value.
const MAX_RATE_MICRO_BPS: i64 = 1_000_000_000;

/// A funding that was due at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FundingRate {
    /// When it was due.
    pub at: Timestamp,
    /// What long positions paid, in millionths of a basis point of their value; negative where they
    /// were paid.
    pub micro_bps: i64,
}

/// One price of an order book, and how much is offered or asked for there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookLevel {
    /// The price.
    pub price: Price,
    /// The quantity in the base asset.
    pub size: Quantity,
}

/// An order book at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookSnapshot {
    /// From when on it is known.
    pub at: Timestamp,
    /// What is asked for, the highest price first.
    pub bids: Vec<BookLevel>,
    /// What is offered, the lowest price first.
    pub asks: Vec<BookLevel>,
}

/// Why records cannot be used: every problem, the first twenty at most.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the records of the venue are wrong: {}", .problems.join("; "))]
pub struct RecordsError {
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// Records of every symbol of a market, in the order of its ids; see the head of the file. Each
/// kind is there for all symbols (empty for some, maybe) or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VenueRecords {
    /// Finer bars, ascending, of one time frame; what lies in no bar of the signal is not used.
    pub fine: Arc<[BarSeries]>,
    /// Fundings, ascending.
    pub funding: Vec<Arc<[FundingRate]>>,
    /// Order books, ascending.
    pub books: Vec<Arc<[BookSnapshot]>>,
}

impl VenueRecords {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fine.is_empty() && self.funding.is_empty() && self.books.is_empty()
    }

    /// What there is of the symbol at `at` alone, without its finer bars.
    pub(crate) fn of_symbol(&self, at: usize) -> Self {
        Self {
            fine: Arc::default(),
            funding: self.funding.get(at).cloned().into_iter().collect(),
            books: self.books.get(at).cloned().into_iter().collect(),
        }
    }

    /// Everything that is wrong with these as the records of `market`.
    fn problems(&self, market: &Market) -> Vec<String> {
        let count = market.series().len();
        let mut problems = Vec::new();
        for (what, found) in [
            ("finer bars", self.fine.len()),
            ("funding rates", self.funding.len()),
            ("order books", self.books.len()),
        ] {
            if found != 0 && found != count {
                problems.push(format!(
                    "there are {what} of {found} symbols for {count} symbols"
                ));
            }
        }
        for (name, fine) in market.names().zip(self.fine.iter()) {
            fine_problems(market, name, fine, &mut problems);
        }
        for (name, rates) in market.names().zip(&self.funding) {
            funding_problems(name, rates, &mut problems);
        }
        for (name, books) in market.names().zip(&self.books) {
            book_problems(name, books, &mut problems);
        }
        problems.truncate(MAX_PROBLEMS);
        problems
    }
}

impl Market {
    /// The same bars with what the venue recorded beside them.
    ///
    /// # Errors
    /// [`RecordsError`] with everything that does not fit.
    pub fn with_records(mut self, records: VenueRecords) -> Result<Self, RecordsError> {
        let problems = records.problems(&self);
        if !problems.is_empty() {
            return Err(RecordsError { problems });
        }
        self.records = records;
        Ok(self)
    }

    /// Walks through the finer bars beside [`Market::steps`].
    #[must_use]
    pub fn fine_steps(&self) -> FineSteps<'_> {
        FineSteps {
            series: &self.records().fine,
            next: vec![0; self.records().fine.len()],
        }
    }
}

/// Finer bars, step by step; see [`Market::fine_steps`].
#[derive(Debug, Clone)]
pub struct FineSteps<'a> {
    series: &'a [BarSeries],
    next: Vec<usize>,
}

impl<'a> FineSteps<'a> {
    /// The finer bars that lie in `bars`, one slot per symbol, in memory of the caller's; nothing
    /// where the market has none. Bars must come in the order of time.
    pub fn within(&mut self, bars: &[Option<&Bar>], fine: &mut Vec<&'a [Bar]>) {
        if self.series.is_empty() {
            return;
        }
        fine.clear();
        let series = self.series.iter().zip(&mut self.next);
        fine.extend(series.zip(bars).map(|((series, next), bar)| {
            let Some(bar) = bar else { return &[][..] };
            let rest = series.bars.get(*next..).unwrap_or(&[]);
            let is_next = rest
                .first()
                .is_none_or(|one| one.opened_at >= bar.opened_at);
            let first = if is_next {
                0
            } else {
                rest.partition_point(|one| one.opened_at < bar.opened_at)
            };
            let length = bar.closed_at.nanos_since(bar.opened_at);
            let most = usize::try_from(length / series.time_frame.nanos()).unwrap_or(0);
            let rest = &rest[first..];
            let near = &rest[..most.min(rest.len())];
            let count = near.partition_point(|one| one.closed_at <= bar.closed_at);
            *next += first + count;
            &near[..count]
        }));
    }
}

fn fine_problems(market: &Market, name: &str, fine: &BarSeries, problems: &mut Vec<String>) {
    if fine.name != name {
        problems.push(format!("finer bars of {} stand for {name}", fine.name));
    }
    let (own, coarse) = (fine.time_frame, market.time_frame());
    if own >= coarse || coarse.nanos() % own.nanos() != 0 {
        problems.push(format!(
            "{name} has finer bars of {own}, which do not divide the {coarse} bars of the signal"
        ));
    }
    let is_next = |pair: &[Bar]| pair[0].closed_at <= pair[1].opened_at;
    if let Some(pair) = fine.bars.windows(2).find(|pair| !is_next(pair)) {
        problems.push(format!(
            "the finer bars of {name} are out of order at {}",
            pair[1].opened_at
        ));
    }
}

fn funding_problems(name: &str, rates: &[FundingRate], problems: &mut Vec<String>) {
    for pair in rates.windows(2).filter(|pair| pair[0].at >= pair[1].at) {
        problems.push(format!(
            "the funding rates of {name} are out of order at {}",
            pair[1].at
        ));
    }
    let too_large = |rate: &&FundingRate| rate.micro_bps.abs() > MAX_RATE_MICRO_BPS;
    for rate in rates.iter().filter(too_large) {
        problems.push(format!(
            "the funding rate of {name} at {} is beyond a tenth of the value; rates are \
             fractions, such as 0.0001",
            rate.at
        ));
    }
}

fn book_problems(name: &str, books: &[BookSnapshot], problems: &mut Vec<String>) {
    for pair in books.windows(2).filter(|pair| pair[0].at >= pair[1].at) {
        problems.push(format!(
            "the order books of {name} are out of order at {}",
            pair[1].at
        ));
    }
    for book in books {
        if let Some(problem) = one_book_problem(book) {
            problems.push(format!("the order book of {name} at {} {problem}", book.at));
        }
    }
}

fn one_book_problem(book: &BookSnapshot) -> Option<&'static str> {
    let (Some(bid), Some(ask)) = (book.bids.first(), book.asks.first()) else {
        return Some("has one side only");
    };
    let levels = || book.bids.iter().chain(&book.asks);
    if levels().any(|level| level.price <= Price::ZERO || level.size <= Quantity::ZERO) {
        return Some("has a price or a size that is not above zero");
    }
    if bid.price >= ask.price {
        return Some("is crossed");
    }
    let falls = book
        .bids
        .windows(2)
        .all(|pair| pair[0].price > pair[1].price);
    let rises = book
        .asks
        .windows(2)
        .all(|pair| pair[0].price < pair[1].price);
    (!falls || !rises).then_some("has levels out of order, or a price twice")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimeFrame;

    const MINUTE: i64 = 60_000_000_000;

    fn series(name: &str, time_frame: &str, opens: &[i64]) -> BarSeries {
        let time_frame: TimeFrame = time_frame.parse().unwrap();
        let bar = |minute: &i64| {
            let opened_at = Timestamp::from_nanos(minute * MINUTE);
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(time_frame.nanos()),
                open: 1.0,
                high: 1.0,
                low: 1.0,
                close: 1.0,
                volume: 1.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        };
        BarSeries {
            name: name.to_owned(),
            time_frame,
            bars: opens.iter().map(bar).collect(),
        }
    }

    fn market() -> Market {
        Market::new(vec![
            series("A", "1h", &[0, 60, 180]),
            series("B", "1h", &[60]),
        ])
        .unwrap()
    }

    fn with_fine(fine: Vec<BarSeries>) -> Result<Market, RecordsError> {
        market().with_records(VenueRecords {
            fine: fine.into(),
            ..VenueRecords::default()
        })
    }

    #[test]
    fn finer_bars_come_with_the_bar_that_they_lie_in_and_others_never() {
        // B's minutes at 0 and 120 lie in no hour of B's; A's hour at 60 has none.
        let fine = vec![
            series("A", "20m", &[0, 20, 40, 120, 140, 180, 220]),
            series("B", "20m", &[0, 60, 100, 120]),
        ];
        let market = with_fine(fine).unwrap();
        let mut walk = market.fine_steps();
        let mut seen = Vec::new();
        let mut fine = Vec::new();
        for (_, bars) in market.steps() {
            walk.within(&bars, &mut fine);
            let minutes = |bars: &&[Bar]| -> Vec<i64> {
                let opens = bars.iter().map(|bar| bar.opened_at.as_nanos() / MINUTE);
                opens.collect()
            };
            seen.push(fine.iter().map(minutes).collect::<Vec<_>>());
        }
        let expected = vec![
            vec![vec![0, 20, 40], vec![]],
            vec![vec![], vec![60, 100]],
            vec![vec![180, 220], vec![]],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn everything_that_does_not_fit_is_said_at_once() {
        let level = |price: i64, size: i64| BookLevel {
            price: Price::from_units(i128::from(price)),
            size: Quantity::from_units(i128::from(size)),
        };
        let book = |at, bids: &[(i64, i64)], asks: &[(i64, i64)]| BookSnapshot {
            at: Timestamp::from_nanos(at),
            bids: bids.iter().map(|one| level(one.0, one.1)).collect(),
            asks: asks.iter().map(|one| level(one.0, one.1)).collect(),
        };
        let rate = |at, micro_bps| FundingRate {
            at: Timestamp::from_nanos(at),
            micro_bps,
        };
        let records = VenueRecords {
            fine: vec![series("A", "25m", &[0, 20]), series("C", "1h", &[])].into(),
            funding: vec![vec![rate(1, 5), rate(1, 2_000_000_000)].into()],
            books: vec![
                vec![
                    book(1, &[(9, 1)], &[(9, 1)]),
                    book(1, &[(9, 0)], &[(10, 1)]),
                    book(2, &[], &[(10, 1)]),
                    book(3, &[(8, 1), (9, 1)], &[(10, 1)]),
                ]
                .into(),
                vec![].into(),
            ],
        };
        let told = market().with_records(records).unwrap_err().to_string();
        for part in [
            "there are funding rates of 1 symbols for 2 symbols",
            "A has finer bars of 25m",
            "the finer bars of A are out of order",
            "finer bars of C stand for B",
            "B has finer bars of 1h",
            "the funding rates of A are out of order",
            "is beyond a tenth",
            "is crossed",
            "the order books of A are out of order",
            "not above zero",
            "has one side only",
            "levels out of order",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
