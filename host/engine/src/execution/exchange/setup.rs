//! From settings to an exchange.

use std::collections::VecDeque;

use super::depth::BookRule;
use super::payments::Payments;
use super::rates::Rates;
use super::rules::{Climate, FeeTier, Rules, Slippage};
use super::stand::{AccountKind, Margin};
use super::{Book, Exchange};
use crate::execution::{ExecutionConfig, SlippageConfig};
use crate::portfolio::{Currencies, MarginMode, PortfolioConfig};
use crate::problem::{micro_bps_of_bps, micro_bps_of_fraction};
use crate::types::{Cash, MoneyError, Price, Quantity, SymbolId, TimeFrame, VenueRecords};

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
    /// The currencies of the symbols, with the cash at the start.
    pub currencies: &'a Currencies,
    /// Names of the symbols, in the order of their ids.
    pub names: &'a [&'a str],
    /// Length of a bar of the signal.
    pub time_frame: TimeFrame,
    /// What the venue recorded; the finer bars among them come with the ticks.
    pub records: &'a VenueRecords,
}

impl Exchange {
    /// An exchange without orders or positions.
    ///
    /// # Errors
    /// [`MoneyError`] where a setting is not money.
    pub fn new(setup: &ExchangeSetup<'_>) -> Result<Self, MoneyError> {
        let config = setup.execution;
        let span = config.slippage.span_bars();
        let books = setup.names.iter().enumerate();
        let books = books.map(|(at, name)| book(setup, at, name));
        let bars = i64::from(config.order_expiry_bars);
        let milliseconds = i64::try_from(config.latency_ms).unwrap_or(i64::MAX);
        Ok(Self {
            kind: account(setup.portfolio, None),
            cash: setup.currencies.initial().to_vec(),
            rates: Rates::new(setup),
            books: books.collect::<Result<_, _>>()?,
            latency: milliseconds.saturating_mul(MILLISECOND),
            bar_nanos: setup.time_frame.nanos(),
            patience: setup.time_frame.nanos().saturating_mul(bars),
            weight: span.map_or(1.0, |span| 2.0 / (f64::from(span) + 1.0)),
            needs_climate: span.is_some(),
            payments: payments(setup),
            traded: VecDeque::new(),
            traded_sum: Cash::ZERO,
            has_tiers: !config.fee_tiers.is_empty(),
            outbox: VecDeque::new(),
            turns: Vec::new(),
            advanced_to: None,
            next_own: 0,
            ambiguous: 0,
            slices: 0,
        })
    }
}

/// What the exchange knows of the symbol at `at` before it begins.
fn book(setup: &ExchangeSetup<'_>, at: usize, name: &str) -> Result<Book, MoneyError> {
    let symbol = SymbolId(u32::try_from(at).unwrap_or(u32::MAX));
    Ok(Book {
        currency: setup.currencies.quote(symbol),
        rules: rules(&setup.execution.of_symbol(name))?,
        kind: account(setup.portfolio, Some((setup.execution, name))),
        orders: Vec::new(),
        held: Quantity::ZERO,
        cost: Cash::ZERO,
        margin: Cash::ZERO,
        last: None,
        bar_closed_at: None,
        climate: Climate::default(),
        variance: 0.0,
        slices: 0,
        depth: setup.records.books.get(at).cloned().unwrap_or_default(),
    })
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
            SlippageConfig::Book {
                max_age_ms,
                otherwise_bps,
            } => Slippage::Book(BookRule {
                max_age: i64::try_from(max_age_ms)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(MILLISECOND),
                otherwise: micro_bps_of_bps(otherwise_bps),
            }),
        },
        tiers,
        participation: config.participation,
        through_ticks: config.limit_through_ticks,
        queue_ahead: config.limit_queue_ahead,
    })
}

/// The account as a symbol sees it, with its own leverage where one is named.
fn account(config: &PortfolioConfig, symbol: Option<(&ExecutionConfig, &str)>) -> AccountKind {
    let Some(margin) = config.margin else {
        return if config.allow_short {
            AccountKind::Unlimited
        } else {
            AccountKind::Spot
        };
    };
    let leverage = symbol.map_or(margin.leverage, |(execution, name)| {
        execution.leverage_of(name, margin.leverage)
    });
    let rules = Margin {
        initial: micro_bps_of_fraction(1.0 / leverage),
        maintenance: micro_bps_of_fraction(margin.maintenance),
        liquidation_fee: micro_bps_of_bps(margin.liquidation_fee_bps),
    };
    match margin.mode {
        MarginMode::Cross => AccountKind::Cross(rules),
        MarginMode::Isolated => AccountKind::Isolated(rules),
    }
}

fn payments(setup: &ExchangeSetup<'_>) -> Payments {
    let config = setup.execution;
    let constant = config.funding.as_ref();
    Payments {
        interval: constant.map_or(0, |one| i64::from(one.interval_hours) * HOUR),
        rate: constant.map_or(0, |one| micro_bps_of_bps(one.rate_bps)),
        series: setup.records.funding.clone(),
        borrowing: config.borrow_annual_bps / 10_000.0,
        funded_to: vec![None; setup.names.len()],
        charged_to: None,
    }
}
