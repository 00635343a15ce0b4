//! From settings to an exchange.

use std::collections::VecDeque;

use super::payments::{Payments, Rate};
use super::rules::{Climate, FeeTier, Rules, Slippage};
use super::stand::{AccountKind, Margin};
use super::{Book, Exchange};
use crate::execution::{ExecutionConfig, SlippageConfig};
use crate::portfolio::{MarginMode, PortfolioConfig};
use crate::problem::{micro_bps_of_bps, micro_bps_of_fraction};
use crate::types::{Cash, MoneyError, Price, Quantity, TimeFrame, Timestamp};

const MILLISECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600_000_000_000;

/// What an exchange is made of; the settings have no
/// [problems](ExecutionConfig::validate).
#[derive(Debug, Clone, Copy)]
pub struct ExchangeSetup<'a> {
    /// Costs and rules.
    pub execution: &'a ExecutionConfig,
    /// The account.
    pub portfolio: &'a PortfolioConfig,
    /// Cash at the start.
    pub cash: Cash,
    /// Number of symbols.
    pub symbols: usize,
    /// Length of a bar of the signal.
    pub time_frame: TimeFrame,
}

impl Exchange {
    /// An exchange without orders or positions.
    ///
    /// # Errors
    /// [`MoneyError`] where a setting is not money.
    pub fn new(setup: &ExchangeSetup<'_>) -> Result<Self, MoneyError> {
        let config = setup.execution;
        let rules = rules(config)?;
        let span = config.slippage.span_bars();
        let book = Book {
            rules,
            orders: Vec::new(),
            held: Quantity::ZERO,
            cost: Cash::ZERO,
            margin: Cash::ZERO,
            last: None,
            climate: Climate::default(),
            variance: 0.0,
            slices: 0,
        };
        let bars = i64::from(config.order_expiry_bars);
        let milliseconds = i64::try_from(config.latency_ms).unwrap_or(i64::MAX);
        Ok(Self {
            kind: account(setup.portfolio),
            cash: setup.cash,
            books: vec![book; setup.symbols],
            latency: milliseconds.saturating_mul(MILLISECOND),
            patience: setup.time_frame.nanos().saturating_mul(bars),
            weight: span.map_or(1.0, |span| 2.0 / (f64::from(span) + 1.0)),
            needs_climate: span.is_some(),
            payments: payments(config, setup.symbols),
            traded: VecDeque::new(),
            traded_sum: Cash::ZERO,
            has_tiers: !config.fee_tiers.is_empty(),
            outbox: VecDeque::new(),
            advanced_to: None,
            next_own: 0,
            ambiguous: 0,
            slices: 0,
        })
    }
}

fn rules(config: &ExecutionConfig) -> Result<Rules, MoneyError> {
    let taker = micro_bps_of_bps(config.fee_bps);
    let mut tiers = vec![FeeTier {
        from: Cash::from_units(i128::MIN),
        maker: config.maker_fee_bps.map_or(taker, micro_bps_of_bps),
        taker,
    }];
    for tier in &config.fee_tiers {
        tiers.push(FeeTier {
            from: Cash::from_f64(tier.traded)?,
            maker: micro_bps_of_bps(tier.maker_bps),
            taker: micro_bps_of_bps(tier.taker_bps),
        });
    }
    Ok(Rules {
        lot: Quantity::from_f64(config.lot_size)?,
        tick: Price::from_f64(config.tick_size)?,
        min_notional: Cash::from_f64(config.min_notional)?,
        half_spread: micro_bps_of_bps(config.spread_bps / 2.0),
        fixed: micro_bps_of_bps(config.slippage_bps),
        slippage: match config.slippage {
            SlippageConfig::None => Slippage::None,
            SlippageConfig::Volatility { factor, .. } => Slippage::Volatility { factor },
            SlippageConfig::Impact { factor, .. } => Slippage::Impact { factor },
        },
        tiers,
        participation: config.participation,
        through_ticks: config.limit_through_ticks,
        queue_ahead: config.limit_queue_ahead,
    })
}

fn account(config: &PortfolioConfig) -> AccountKind {
    let Some(margin) = config.margin else {
        return if config.allow_short {
            AccountKind::Unlimited
        } else {
            AccountKind::Spot
        };
    };
    let rules = Margin {
        initial: micro_bps_of_fraction(1.0 / margin.leverage),
        maintenance: micro_bps_of_fraction(margin.maintenance),
        liquidation_fee: micro_bps_of_bps(margin.liquidation_fee_bps),
    };
    match margin.mode {
        MarginMode::Cross => AccountKind::Cross(rules),
        MarginMode::Isolated => AccountKind::Isolated(rules),
    }
}

fn payments(config: &ExecutionConfig, symbols: usize) -> Payments {
    let borrowing = config.borrow_annual_bps / 10_000.0;
    let Some(funding) = &config.funding else {
        return Payments {
            borrowing,
            ..Payments::default()
        };
    };
    let rate = Rate {
        from: Timestamp::from_nanos(i64::MIN),
        micro_bps: micro_bps_of_bps(funding.rate_bps),
    };
    Payments {
        interval: i64::from(funding.interval_hours) * HOUR,
        rates: vec![vec![rate]; symbols],
        borrowing,
        funded_to: vec![None; symbols],
        charged_to: None,
    }
}
