//! Bars and the market that a run sees.

use serde::{Deserialize, Serialize};

use super::{SymbolId, TimeFrame, Timestamp, VenueRecords};

/// One candle. It is known only at [`closed_at`](Bar::closed_at), never before.
///
/// Prices are in the quote asset, `volume` and `taker_buy_volume` in the base asset. A value that
/// the venue does not publish is `None`, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// First moment of the bar.
    pub opened_at: Timestamp,
    /// Moment from which the bar is known: `opened_at` plus the time frame.
    pub closed_at: Timestamp,
    /// First traded price.
    pub open: f64,
    /// Highest traded price.
    pub high: f64,
    /// Lowest traded price.
    pub low: f64,
    /// Last traded price.
    pub close: f64,
    /// Traded amount in the base asset.
    pub volume: f64,
    /// Traded amount in the quote asset.
    pub quote_volume: Option<f64>,
    /// Number of trades.
    pub trades: Option<f64>,
    /// Amount in the base asset bought by takers.
    pub taker_buy_volume: Option<f64>,
}

/// The bars of one symbol, ascending in time, without duplicates. An absent bar is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct BarSeries {
    /// Name as the venue writes it, such as `BTCUSDT`.
    pub name: String,
    /// Length of every bar.
    pub time_frame: TimeFrame,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// Every series of a run, all of one time frame; a symbol's id is its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    series: Vec<BarSeries>,
    time_frame: TimeFrame,
    pub(super) records: VenueRecords,
}

/// Why series do not make a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarketError {
    /// There is no series at all.
    #[error("a market needs at least one symbol")]
    Empty,
    /// Two series have the same name.
    #[error("symbol {0} is given twice")]
    Duplicate(String),
    /// The series have different time frames.
    #[error("{name} has {found} bars, the market has {expected} bars")]
    TimeFrame {
        /// The symbol that differs.
        name: String,
        /// Its time frame.
        found: TimeFrame,
        /// The time frame of the first symbol.
        expected: TimeFrame,
    },
}

impl Market {
    /// Joins series into a market; ids follow the order given.
    ///
    /// # Errors
    /// [`MarketError`] where there is no series, a name repeats or time frames differ.
    pub fn new(series: Vec<BarSeries>) -> Result<Self, MarketError> {
        let time_frame = series.first().ok_or(MarketError::Empty)?.time_frame;
        for (position, one) in series.iter().enumerate() {
            if series[..position]
                .iter()
                .any(|other| other.name == one.name)
            {
                return Err(MarketError::Duplicate(one.name.clone()));
            }
            if one.time_frame != time_frame {
                return Err(MarketError::TimeFrame {
                    name: one.name.clone(),
                    found: one.time_frame,
                    expected: time_frame,
                });
            }
        }
        Ok(Self {
            series,
            time_frame,
            records: VenueRecords::default(),
        })
    }

    /// What the venue recorded beside the bars, for the exchange.
    #[must_use]
    pub fn records(&self) -> &VenueRecords {
        &self.records
    }

    /// All series, in id order.
    #[must_use]
    pub fn series(&self) -> &[BarSeries] {
        &self.series
    }

    /// Length of every bar.
    #[must_use]
    pub fn time_frame(&self) -> TimeFrame {
        self.time_frame
    }

    /// The series of `symbol`; `None` for an id of another market.
    #[must_use]
    pub fn get(&self, symbol: SymbolId) -> Option<&BarSeries> {
        self.series.get(symbol.index())
    }

    /// The id of the symbol called `name`.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<SymbolId> {
        let position = self.series.iter().position(|series| series.name == name)?;
        u32::try_from(position).ok().map(SymbolId)
    }

    /// Names in id order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|series| series.name.as_str())
    }

    /// Walks through time: at each closing time, the bars that close then, one slot per symbol in
    /// id order (`None` where the symbol has no bar).
    pub fn steps(&self) -> MarketSteps<'_> {
        MarketSteps {
            market: self,
            next: vec![0; self.series.len()],
        }
    }
}

/// Iterator of [`Market::steps`].
#[derive(Debug, Clone)]
pub struct MarketSteps<'a> {
    market: &'a Market,
    next: Vec<usize>,
}

impl<'a> MarketSteps<'a> {
    /// The next step, its bars in memory of the caller's: what is in `bars` is replaced.
    pub fn next_into(&mut self, bars: &mut Vec<Option<&'a Bar>>) -> Option<Timestamp> {
        bars.clear();
        let heads = self.market.series.iter().zip(&self.next);
        bars.extend(heads.map(|(series, &next)| series.bars.get(next)));
        let closed_at = bars.iter().flatten().map(|bar| bar.closed_at).min()?;
        for (next, head) in self.next.iter_mut().zip(bars) {
            *head = head.filter(|bar| bar.closed_at == closed_at);
            *next += usize::from(head.is_some());
        }
        Some(closed_at)
    }

    /// Passes over the steps before `from`.
    pub fn skip_to(&mut self, from: Timestamp) {
        for (series, next) in self.market.series.iter().zip(&mut self.next) {
            *next = series
                .bars
                .partition_point(|bar| bar.closed_at < from)
                .max(*next);
        }
    }
}

impl<'a> Iterator for MarketSteps<'a> {
    type Item = (Timestamp, Vec<Option<&'a Bar>>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut bars = Vec::with_capacity(self.next.len());
        let closed_at = self.next_into(&mut bars)?;
        Some((closed_at, bars))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, hours: &[i64]) -> BarSeries {
        let time_frame: TimeFrame = "1h".parse().unwrap();
        let bars = hours
            .iter()
            .map(|hour| {
                let opened_at = Timestamp::from_nanos(hour * time_frame.nanos());
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
            })
            .collect();
        BarSeries {
            name: name.to_owned(),
            time_frame,
            bars,
        }
    }

    #[test]
    fn steps_join_symbols_by_closing_time() {
        let market = Market::new(vec![series("A", &[0, 1, 3]), series("B", &[1, 2])]).unwrap();
        let seen: Vec<(i64, Vec<bool>)> = market
            .steps()
            .map(|(at, bars)| {
                let hour = at.as_nanos() / market.time_frame().nanos();
                (hour, bars.iter().map(Option::is_some).collect())
            })
            .collect();
        let expected = vec![
            (1, vec![true, false]),
            (2, vec![true, true]),
            (3, vec![false, true]),
            (4, vec![true, false]),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn refuses_series_that_do_not_belong_together() {
        assert_eq!(Market::new(vec![]), Err(MarketError::Empty));
        let twice = Market::new(vec![series("A", &[0]), series("A", &[0])]);
        assert_eq!(twice, Err(MarketError::Duplicate("A".to_owned())));
    }
}
