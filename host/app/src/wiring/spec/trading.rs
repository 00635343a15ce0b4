//! `[risk]`, `[execution]`, `[portfolio]` and the orders of `[strategy]` as the engine takes them.
//!
//! Values are handed over as they are; the engine says what is wrong with them.

use fusebox_engine::execution::{
    ExecutionConfig, FeeTierConfig, FundingConfig, SlippageConfig, SymbolConfig,
};
use fusebox_engine::portfolio::{
    InitialCash, MarginConfig, MarginMode, PortfolioConfig, RateConfig,
};
use fusebox_engine::risk::{RiskConfig, Sizing};
use fusebox_engine::strategy::{EntryOrder, EntryTime, Protection};

use crate::config::raw::{
    RawEntry, RawEntryTime, RawExecution, RawInitialCash, RawMarginMode, RawMarketTime,
    RawPortfolio, RawRate, RawRisk, RawSizing, RawSlippage, RawStrategy, RawSymbolRules,
};

pub(super) fn entry(raw: &RawStrategy) -> EntryOrder {
    match raw.entry {
        RawEntry::Market { time_in_force } => match time_in_force {
            RawMarketTime::Gtc => EntryOrder::Market,
            RawMarketTime::Ioc => EntryOrder::AtOnce { whole: false },
            RawMarketTime::Fok => EntryOrder::AtOnce { whole: true },
        },
        RawEntry::Limit {
            offset_bps,
            valid_bars,
            time_in_force,
        } => EntryOrder::Limit {
            offset_bps,
            valid_bars,
            time_in_force: entry_time(time_in_force),
        },
        RawEntry::Stop {
            offset_bps,
            valid_bars,
            time_in_force,
        } => EntryOrder::Stop {
            offset_bps,
            valid_bars,
            time_in_force: match time_in_force {
                RawMarketTime::Gtc => EntryTime::Gtc,
                RawMarketTime::Ioc => EntryTime::Ioc,
                RawMarketTime::Fok => EntryTime::Fok,
            },
        },
        RawEntry::StopLimit {
            offset_bps,
            limit_offset_bps,
            valid_bars,
            time_in_force,
        } => EntryOrder::StopLimit {
            offset_bps,
            limit_offset_bps,
            valid_bars,
            time_in_force: entry_time(time_in_force),
        },
    }
}

fn entry_time(raw: RawEntryTime) -> EntryTime {
    match raw {
        RawEntryTime::Gtc => EntryTime::Gtc,
        RawEntryTime::Ioc => EntryTime::Ioc,
        RawEntryTime::Fok => EntryTime::Fok,
        RawEntryTime::PostOnly => EntryTime::PostOnly,
    }
}

pub(super) fn protection(raw: &RawStrategy) -> Protection {
    Protection {
        stop_loss: raw.protection.stop_loss,
        take_profit: raw.protection.take_profit,
        trailing_stop: raw.protection.trailing_stop,
    }
}

pub(super) fn risk(raw: &RawRisk) -> RiskConfig {
    RiskConfig {
        position_fraction: raw.position_fraction,
        max_symbol_weight: raw.max_symbol_weight,
        max_gross_exposure: raw.max_gross_exposure,
        max_order_notional: raw.max_order_notional,
        max_drawdown: raw.max_drawdown,
        max_data_age_bars: raw.max_data_age_bars,
        sizing: match raw.sizing {
            RawSizing::FixedFraction => Sizing::FixedFraction,
            RawSizing::VolatilityTarget {
                annual_volatility,
                span_bars,
            } => Sizing::VolatilityTarget {
                annual_volatility,
                span_bars,
            },
            RawSizing::Kelly { part } => Sizing::Kelly { part },
            RawSizing::EqualRisk { span_bars } => Sizing::EqualRisk { span_bars },
        },
        max_net_exposure: raw.max_net_exposure,
        max_daily_turnover: raw.max_daily_turnover,
        max_daily_loss: raw.max_daily_loss,
        max_silence_bars: raw.max_silence_bars,
        cool_down_bars: raw.cool_down_bars,
        reset_after_cool_down: raw.reset_after_cool_down,
        price_collar_bps: raw.price_collar_bps,
    }
}

/// The exchange, with the two costs that must be written down.
pub(super) fn execution(raw: &RawExecution, fee_bps: f64, slippage_bps: f64) -> ExecutionConfig {
    let tiers = raw.fee_tiers.iter().map(|tier| FeeTierConfig {
        traded: tier.traded,
        maker_bps: tier.maker_bps,
        taker_bps: tier.taker_bps,
    });
    ExecutionConfig {
        fee_bps,
        slippage_bps,
        lot_size: raw.lot_size,
        tick_size: raw.tick_size,
        min_notional: raw.min_notional,
        order_expiry_bars: raw.order_expiry_bars,
        maker_fee_bps: raw.maker_fee_bps,
        fee_tiers: tiers.collect(),
        spread_bps: raw.spread_bps,
        slippage: match raw.slippage {
            RawSlippage::None => SlippageConfig::None,
            RawSlippage::Volatility { factor, span_bars } => {
                SlippageConfig::Volatility { factor, span_bars }
            }
            RawSlippage::Impact { factor, span_bars } => {
                SlippageConfig::Impact { factor, span_bars }
            }
            RawSlippage::Book {
                max_age_ms,
                otherwise_bps,
                ..
            } => SlippageConfig::Book {
                max_age_ms,
                otherwise_bps,
            },
        },
        latency_ms: raw.latency_ms,
        participation: raw.participation,
        limit_through_ticks: raw.limit_through_ticks,
        limit_queue_ahead: raw.limit_queue_ahead,
        funding: raw.funding.map(|funding| FundingConfig {
            interval_hours: funding.interval_hours,
            rate_bps: funding.rate_bps,
        }),
        borrow_annual_bps: raw.borrow_annual_bps,
        symbols: raw
            .symbols
            .iter()
            .map(|(name, own)| (name.clone(), symbol(own)))
            .collect(),
    }
}

fn symbol(raw: &RawSymbolRules) -> SymbolConfig {
    SymbolConfig {
        base: raw.base.clone(),
        quote: raw.quote.clone(),
        fee_bps: raw.fee_bps,
        maker_fee_bps: raw.maker_fee_bps,
        slippage_bps: raw.slippage_bps,
        spread_bps: raw.spread_bps,
        lot_size: raw.lot_size,
        tick_size: raw.tick_size,
        min_notional: raw.min_notional,
        max_leverage: raw.max_leverage,
    }
}

fn rate((name, raw): (&String, &RawRate)) -> (String, RateConfig) {
    let rate = match raw {
        RawRate::Fixed(rate) => RateConfig::Fixed(*rate),
        RawRate::Symbol(symbol) => RateConfig::Symbol(symbol.clone()),
    };
    (name.clone(), rate)
}

pub(super) fn portfolio(raw: &RawPortfolio) -> PortfolioConfig {
    PortfolioConfig {
        initial_cash: match &raw.initial_cash {
            RawInitialCash::One(amount) => InitialCash::One(*amount),
            RawInitialCash::Each(amounts) => InitialCash::Each(amounts.clone()),
        },
        currency: raw.currency.clone(),
        rates: raw.rates.iter().map(rate).collect(),
        max_rate_age_bars: raw.max_rate_age_bars,
        allow_short: raw.allow_short,
        margin: raw.margin.map(|margin| MarginConfig {
            mode: match margin.mode {
                RawMarginMode::Cross => MarginMode::Cross,
                RawMarginMode::Isolated => MarginMode::Isolated,
            },
            leverage: margin.leverage,
            maintenance: margin.maintenance,
            liquidation_fee_bps: margin.liquidation_fee_bps,
        }),
    }
}
