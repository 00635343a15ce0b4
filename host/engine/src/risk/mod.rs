//! A signal becomes an approved order, or a refusal that says why.
//!
//! Only this module can make an [`ApprovedOrder`], and a broker takes nothing else, so no order
//! reaches a market around the limits. Closing a position is never refused for its size, or a
//! limit could trap what it was meant to protect. Limits that are not set refuse every order:
//! nothing is unlimited by omission.
//!
//! ```
//! use fusebox_engine::execution::Order;
//! use fusebox_engine::risk::ApprovedOrder;
//!
//! fn look(approved: &ApprovedOrder) -> &Order {
//!     approved.order()
//! }
//! ```
//!
//! ```compile_fail,E0451
//! use fusebox_engine::execution::Order;
//! use fusebox_engine::risk::ApprovedOrder;
//!
//! fn smuggle(order: Order) -> ApprovedOrder {
//!     ApprovedOrder { order }
//! }
//! ```

mod breaker;
mod climate;
mod config;
mod entry;
mod limits;
mod sizing;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use breaker::Reading;
pub use breaker::{Breaker, BreakerKind, Trip};
pub(crate) use climate::Climate;
pub use config::RiskConfig;
pub(crate) use limits::RiskSetup;
pub use limits::{Account, Proposal, RiskDesk, Verdict};
pub use sizing::{Sizing, SizingInput};

use crate::execution::Order;

/// An order that risk has approved.
#[derive(Debug, PartialEq, Eq)]
pub struct ApprovedOrder {
    order: Order,
}

impl ApprovedOrder {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }
}

/// Why an order is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// A limit of the risk configuration is not set.
    NotConfigured,
    /// The prediction is not made of probabilities.
    InvalidPrediction,
    /// The prediction or the symbol's newest bar is too old.
    StaleData,
    /// The account may not sell short.
    ShortNotAllowed,
    /// A loss breaker has tripped and was not reset.
    BreakerTripped,
    /// The account is ruined.
    Ruined,
    /// The position would weigh too much.
    SymbolWeight,
    /// All positions together leave no room.
    GrossExposure,
    /// The order is too large.
    OrderNotional,
    /// The order is smaller than a lot or the least notional.
    BelowMinimum,
    /// All positions with their signs leave no room.
    NetExposure,
    /// The day's turnover leaves no room.
    Turnover,
    /// Data of a symbol was silent for too long, and the breaker was not reset.
    DataSilent,
    /// A breaker was reset not long ago.
    CoolDown,
    /// Sizing needs a volatility that is not known yet, or gives nothing.
    NoSize,
    /// The rate of a currency that counts is not known yet, or too old.
    NoRate,
}

impl Refusal {
    /// The name in the journal and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::InvalidPrediction => "invalid_prediction",
            Self::StaleData => "stale_data",
            Self::ShortNotAllowed => "short_not_allowed",
            Self::BreakerTripped => "breaker_tripped",
            Self::Ruined => "ruined",
            Self::SymbolWeight => "symbol_weight",
            Self::GrossExposure => "gross_exposure",
            Self::OrderNotional => "order_notional",
            Self::BelowMinimum => "below_minimum",
            Self::NetExposure => "net_exposure",
            Self::Turnover => "turnover",
            Self::DataSilent => "data_silent",
            Self::CoolDown => "cool_down",
            Self::NoSize => "no_size",
            Self::NoRate => "no_rate",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotConfigured => "a risk limit is not set; set every key of `risk`",
            Self::InvalidPrediction => "the prediction is not made of probabilities",
            Self::StaleData => "the prediction or the newest bar is older than max_data_age_bars",
            Self::ShortNotAllowed => "the account may not sell short (portfolio.allow_short)",
            Self::BreakerTripped => "a breaker has tripped and was not reset",
            Self::Ruined => "the account is ruined",
            Self::SymbolWeight => "the position would exceed max_symbol_weight",
            Self::GrossExposure => "max_gross_exposure leaves no room",
            Self::OrderNotional => "the order would exceed max_order_notional",
            Self::BelowMinimum => "the order is smaller than a lot or min_notional",
            Self::NetExposure => "max_net_exposure leaves no room",
            Self::Turnover => "max_daily_turnover leaves no room",
            Self::DataSilent => "a symbol was silent for max_silence_bars; reset the breaker",
            Self::CoolDown => "a breaker was reset less than cool_down_bars ago",
            Self::NoSize => "sizing gives no position: no edge, or no volatility yet",
            Self::NoRate => "the rate of a currency is not known or older than max_rate_age_bars",
        })
    }
}
