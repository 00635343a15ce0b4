//! Approved orders become fills, at a price, with a fee.
//!
//! [`Exchange`] is the venue of backtests and paper sessions; `docs/execution.md` says what it
//! does. Nothing here decides whether an order is wise: that is risk's part, and only risk can make
//! an [`ApprovedOrder`].
//!
//! | file | part |
//! |---|---|
//! | `order` | orders, their terms, and what becomes of them |
//! | `config`, `symbol` | settings, and what a symbol has differently |
//! | `exchange/rules` | lot, tick, spread, slippage, fees |
//! | `exchange/arrival` | what is asked of an order when it arrives |
//! | `exchange/walk`, `legs` | the way of the price through a bar, and what it hits |
//! | `exchange/depth` | what a taker pays by recorded order books |
//! | `exchange/stand` | cash, margin, liquidation price |
//! | `exchange/rates` | several currencies: rates, and the account as a symbol of one sees it |
//! | `exchange/payments` | funding and interest |
//!
//! [`ApprovedOrder`]: crate::risk::ApprovedOrder

mod config;
mod exchange;
mod order;
mod symbol;

pub use config::{ExecutionConfig, FeeTierConfig, FundingConfig, SlippageConfig};
pub use exchange::{Exchange, ExchangeSetup};
pub use order::{
    Expiry, Fill, Order, OrderId, OrderKind, OrderReason, OrderTerms, Outcome, Payment,
    PaymentKind, TimeInForce,
};
pub use symbol::SymbolConfig;
