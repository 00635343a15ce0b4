//! Domain types shared by every stage: bars, time, identifiers, fixed-point money.
//!
//! Market data is `f64`, because features are statistics of it. From the order on, everything that
//! is money is a fixed-point newtype ([`Price`], [`Quantity`], [`Cash`]).

mod bar;
mod currency;
mod ids;
mod money;
mod time;
mod venue;

pub use bar::{Bar, BarSeries, Market, MarketError, MarketSteps};
pub use currency::{CurrencyId, Rate, pair_of};
pub use ids::SymbolId;
pub use money::{Cash, Fixed, MoneyError, Price, Quantity, UNITS_PER_ONE, Unit};
pub use time::{TimeError, TimeFrame, Timestamp};
pub use venue::{BookLevel, BookSnapshot, FineSteps, FundingRate, RecordsError, VenueRecords};
