//! The desk that sizes a proposal, holds it against every limit, and approves or refuses it.
//!
//! A position is sized by [`Sizing`] at the last close. Of the limits, gross and net exposure make
//! an order smaller; the others refuse it. A turn whose opening half is refused is carried out as a
//! close. An opening order with a price collar becomes a limit order that fills at once or not at
//! all; closings are never collared, and neither is a turn, whose closing half must not wait.

use super::breaker::BreakerLimits;
use super::entry::{self, Decision};
use super::{ApprovedOrder, Breaker, Refusal, RiskConfig, Sizing, SizingInput};
use crate::execution::{ExecutionConfig, Order, OrderId, OrderKind, OrderReason, OrderTerms};
use crate::fusion::{ModelRef, Prediction};
use crate::portfolio::PortfolioConfig;
use crate::problem::{micro_bps_of_bps, micro_bps_of_fraction};
use crate::strategy::{Direction, EntryOrder, Protection, StrategyConfig};
use crate::types::{Cash, MoneyError, Price, Quantity, Rate, SymbolId, TimeFrame, Timestamp};

/// The limits, all of them set.
#[derive(Debug, Clone, Copy)]
struct Limits {
    symbol_micro_bps: i64,
    gross_micro_bps: i64,
    order_notional: Cash,
    net_micro_bps: Option<i64>,
    turnover_micro_bps: Option<i64>,
    collar_micro_bps: Option<i64>,
}

/// What a session wants to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proposal {
    /// The number that the order gets.
    pub id: OrderId,
    /// What would be traded.
    pub symbol: SymbolId,
    /// The side to be on afterwards, other than the one that is held.
    pub target: Direction,
    /// When it is decided.
    pub decided_at: Timestamp,
    /// Why.
    pub reason: OrderReason,
    /// The model behind it; `None` where no model was asked.
    pub model: Option<ModelRef>,
    /// What the models said, where they were asked: probabilities of down, flat, up.
    pub probabilities: Option<[f32; 3]>,
}

/// The account as a proposal meets it; amounts are in the reporting currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Account {
    /// Equity at the last closes.
    pub equity: Cash,
    /// What is held of the symbol.
    pub held: Quantity,
    /// The symbol's last close; `None` before its first bar.
    pub mark: Option<Price>,
    /// The values of all other symbols without their signs, approved orders included.
    pub others: Cash,
    /// The same with their signs.
    pub others_net: Cash,
    /// What opening orders have traded in this day.
    pub traded_today: Cash,
    /// What one of the symbol's currency is worth in the reporting one; `None` where that, or the
    /// rate of anything that is held, is not known or too old to open a position by.
    pub rate: Option<Rate>,
    /// Volatility of one bar of the symbol; `None` where it is not known.
    pub volatility: Option<f64>,
    /// Harmonic mean of all symbols' volatilities.
    pub typical_volatility: Option<f64>,
}

/// What the desk answers; both parts are there where a turn became a close.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The order to carry out.
    pub approved: Option<ApprovedOrder>,
    /// Orders that protect what it opens; they wait for its fills.
    pub attached: Vec<ApprovedOrder>,
    /// Why the proposal, or its opening half, is refused.
    pub refused: Option<Refusal>,
}

/// Sizes proposals and holds them against the limits.
#[derive(Debug)]
pub struct RiskDesk {
    limits: Option<Limits>,
    max_age_nanos: Option<i64>,
    allow_short: bool,
    steps: Steps,
    /// Those of symbols, where any has its own.
    steps_of: Vec<Steps>,
    sizing: Sizing,
    position_fraction: f64,
    bars_per_year: f64,
    bar_nanos: i64,
    entry: EntryOrder,
    protection: Protection,
    pub(crate) breaker: Breaker,
}

/// What orders come in.
#[derive(Debug, Clone, Copy)]
struct Steps {
    lot_size: Quantity,
    tick_size: Price,
    min_notional: Cash,
}

impl Steps {
    fn new(execution: &ExecutionConfig) -> Result<Self, MoneyError> {
        Ok(Self {
            lot_size: Quantity::from_f64(execution.lot_size)?,
            tick_size: Price::from_f64(execution.tick_size)?,
            min_notional: Cash::from_f64(execution.min_notional)?,
        })
    }
}

/// The settings that risk reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RiskSetup<'a> {
    pub strategy: &'a StrategyConfig,
    pub risk: &'a RiskConfig,
    pub execution: &'a ExecutionConfig,
    pub portfolio: &'a PortfolioConfig,
    /// Names of the symbols, in the order of their ids.
    pub names: &'a [&'a str],
    pub time_frame: TimeFrame,
}

impl RiskDesk {
    /// From settings without problems.
    ///
    /// # Errors
    /// [`MoneyError`] where a setting is not money.
    pub(crate) fn new(setup: &RiskSetup<'_>) -> Result<Self, MoneyError> {
        let risk = setup.risk;
        let bars = |bars: u32| setup.time_frame.nanos().saturating_mul(i64::from(bars));
        let breakers = BreakerLimits {
            drawdown_micro_bps: risk.max_drawdown.map(micro_bps_of_fraction),
            daily_loss_micro_bps: risk.max_daily_loss.map(micro_bps_of_fraction),
            silence_nanos: risk.max_silence_bars.map(bars),
            cool_down_nanos: bars(risk.cool_down_bars),
            resets_itself: risk.reset_after_cool_down,
        };
        // Armed anew when the account begins, where only its rates say what it is worth.
        let only = setup.portfolio.initial_cash.only().unwrap_or(0.0);
        let initial = Cash::from_f64(only)?;
        let own = |name: &&str| Steps::new(&setup.execution.of_symbol(name));
        let has_own = !setup.execution.symbols.is_empty();
        let named = setup.names.iter().filter(|_| has_own);
        Ok(Self {
            limits: limits(risk)?,
            max_age_nanos: risk.max_data_age_bars.map(bars),
            allow_short: setup.portfolio.allow_short,
            steps: Steps::new(setup.execution)?,
            steps_of: named.map(own).collect::<Result<_, _>>()?,
            sizing: risk.sizing,
            position_fraction: risk.position_fraction.unwrap_or(0.0),
            bars_per_year: setup.time_frame.bars_per_year(),
            bar_nanos: setup.time_frame.nanos(),
            entry: setup.strategy.entry,
            protection: setup.strategy.protection,
            breaker: Breaker::new(initial, breakers),
        })
    }

    fn steps(&self, symbol: SymbolId) -> Steps {
        let own = self.steps_of.get(symbol.index());
        own.copied().unwrap_or(self.steps)
    }

    /// Why `prediction` must not be acted on at `closed_at`, where the symbol's newest bar closed
    /// at `bar_closed_at`; `None` where it may.
    #[must_use]
    pub fn refuse_prediction(
        &self,
        prediction: &Prediction,
        closed_at: Timestamp,
        bar_closed_at: Option<Timestamp>,
    ) -> Option<Refusal> {
        if !prediction.is_valid() {
            return Some(Refusal::InvalidPrediction);
        }
        let Some(oldest) = self.max_age_nanos else {
            return Some(Refusal::NotConfigured);
        };
        let fresh = |at: Timestamp| closed_at.nanos_since(at) <= oldest;
        let stale = !fresh(prediction.closed_at) || !bar_closed_at.is_some_and(fresh);
        stale.then_some(Refusal::StaleData)
    }

    /// Approves what the limits allow of `proposal` and says why the rest is refused.
    #[must_use]
    pub fn review(&self, proposal: &Proposal, account: &Account) -> Verdict {
        if self.limits.is_none() {
            return Verdict {
                refused: Some(Refusal::NotConfigured),
                ..Verdict::default()
            };
        }
        let closing = -account.held;
        let opening = match proposal.target {
            Direction::Flat => Ok(Quantity::ZERO),
            side => self.opening(side, proposal, account),
        };
        let (opening, refused) = match opening {
            Ok(quantity) => (quantity, None),
            Err(refusal) => (Quantity::ZERO, Some(refusal)),
        };
        let quantity = closing + opening;
        if quantity.is_zero() {
            return Verdict {
                refused,
                ..Verdict::default()
            };
        }
        // A turn that lost its opening half is an exit.
        let reason = match (proposal.reason, refused) {
            (OrderReason::Flip, Some(_)) => OrderReason::Exit,
            (reason, _) => reason,
        };
        let order = Order {
            id: proposal.id,
            symbol: proposal.symbol,
            quantity,
            decided_at: proposal.decided_at,
            reason,
            model: proposal.model,
            terms: match (closing.is_zero(), opening.is_zero()) {
                (true, _) => self.terms(opening, proposal, account),
                // What is held may be less by then, by a protection or an order called off late.
                (false, true) => OrderTerms {
                    reduce_only: true,
                    ..OrderTerms::default()
                },
                (false, false) => OrderTerms::default(),
            },
        };
        Verdict {
            attached: self.protections(&order, opening, account),
            approved: Some(ApprovedOrder { order }),
            refused,
        }
    }

    /// The orders that protect what `order` opens.
    fn protections(
        &self,
        order: &Order,
        opening: Quantity,
        account: &Account,
    ) -> Vec<ApprovedOrder> {
        let (Some(mark), false) = (account.mark, opening.is_zero()) else {
            return Vec::new();
        };
        let is_long = opening > Quantity::ZERO;
        let tick = self.steps(order.symbol).tick_size;
        // Rounded away from the mark for a profit, toward it for a stop: worse for the account.
        let at = |distance: f64, is_profit: bool| {
            let moved = mark.scaled_by_micro_bps(micro_bps_of_fraction(distance));
            let is_above = is_long == is_profit;
            let exact = if is_above { mark + moved } else { mark - moved };
            if is_above == is_profit {
                exact.up_to(tick)
            } else {
                exact.down_to(tick)
            }
        };
        let Protection {
            stop_loss,
            take_profit,
            trailing_stop,
        } = self.protection;
        let stop = stop_loss.map(|distance| OrderKind::Stop {
            trigger: at(distance, false),
        });
        let profit = take_profit.map(|distance| OrderKind::TakeProfit {
            trigger: at(distance, true),
        });
        let trailing = trailing_stop.map(|distance| OrderKind::TrailingStop {
            distance_micro_bps: micro_bps_of_fraction(distance),
        });
        let kinds = [stop, profit, trailing].into_iter().flatten();
        kinds
            .zip(1..)
            .map(|(kind, number)| ApprovedOrder {
                order: Order {
                    id: OrderId(order.id.0 + number),
                    // A turn feeds its children with all that it fills, the closing half too.
                    quantity: -order.quantity,
                    reason: OrderReason::Protection,
                    terms: OrderTerms {
                        kind,
                        reduce_only: true,
                        group: Some(order.id.0),
                        parent: Some(order.id),
                        ..OrderTerms::default()
                    },
                    ..*order
                },
            })
            .collect()
    }

    /// The terms of an order that opens `opening`.
    fn terms(&self, opening: Quantity, proposal: &Proposal, account: &Account) -> OrderTerms {
        let (Some(mark), false) = (account.mark, opening.is_zero()) else {
            return OrderTerms::default();
        };
        let decision = Decision {
            at: proposal.decided_at,
            mark,
            tick: self.steps(proposal.symbol).tick_size,
            buys: opening > Quantity::ZERO,
            collar: self.limits.and_then(|limits| limits.collar_micro_bps),
            bar_nanos: self.bar_nanos,
        };
        entry::terms(self.entry, &decision)
    }

    /// Why nothing may be opened at all now.
    fn closed(&self, side: Direction, now: Timestamp) -> Option<Refusal> {
        let breaker = &self.breaker;
        match () {
            () if breaker.is_ruined() => Some(Refusal::Ruined),
            () if breaker.is_tripped() => Some(Refusal::BreakerTripped),
            () if breaker.is_silent() => Some(Refusal::DataSilent),
            () if breaker.cools_down(now) => Some(Refusal::CoolDown),
            () if side == Direction::Short && !self.allow_short => Some(Refusal::ShortNotAllowed),
            () => None,
        }
    }

    /// The part of equity that the position aims at, `micro_bps`.
    fn size(&self, side: Direction, proposal: &Proposal, account: &Account) -> Option<i64> {
        let input = SizingInput {
            side,
            probabilities: proposal.probabilities,
            volatility: account.volatility,
            typical_volatility: account.typical_volatility,
            bars_per_year: self.bars_per_year,
            position_fraction: self.position_fraction,
        };
        let fraction = self.sizing.fraction(&input).filter(|part| *part > 0.0)?;
        Some(micro_bps_of_fraction(fraction))
    }

    /// The signed quantity that opens `side`, or why nothing may.
    fn opening(
        &self,
        side: Direction,
        proposal: &Proposal,
        account: &Account,
    ) -> Result<Quantity, Refusal> {
        let limits = self.limits.ok_or(Refusal::NotConfigured)?;
        if let Some(refusal) = self.closed(side, proposal.decided_at) {
            return Err(refusal);
        }
        let mark = account.mark.ok_or(Refusal::StaleData)?;
        let rate = account.rate.ok_or(Refusal::NoRate)?;
        let size = self.size(side, proposal, account).ok_or(Refusal::NoSize)?;
        let wanted = account.equity.scaled_by_micro_bps(size);
        if wanted > account.equity.scaled_by_micro_bps(limits.symbol_micro_bps) {
            return Err(Refusal::SymbolWeight);
        }
        let gross = account.equity.scaled_by_micro_bps(limits.gross_micro_bps);
        let room = gross - account.others;
        let net_room = limits.net_micro_bps.map(|net| {
            let most = account.equity.scaled_by_micro_bps(net);
            match side {
                Direction::Short => most + account.others_net,
                _ => most - account.others_net,
            }
        });
        let notional = wanted.min(room).min(net_room.unwrap_or(wanted));
        // Whichever cut the order below the minimum is the reason that helps.
        let too_small = match net_room {
            Some(net) if net < wanted && net < room => Refusal::NetExposure,
            _ if room < wanted => Refusal::GrossExposure,
            _ => Refusal::BelowMinimum,
        };
        if notional <= Cash::ZERO {
            return Err(too_small);
        }
        if notional > limits.order_notional {
            return Err(Refusal::OrderNotional);
        }
        let turnover = limits.turnover_micro_bps;
        if turnover.is_some_and(|most| {
            account.traded_today + notional > account.equity.scaled_by_micro_bps(most)
        }) {
            return Err(Refusal::Turnover);
        }
        let quoted = rate.inverted().of(notional);
        let quantity = quoted.divided_by(mark).unwrap_or_default();
        let steps = self.steps(proposal.symbol);
        let quantity = quantity.toward_zero(steps.lot_size);
        if quantity.is_zero() || mark.times(quantity) < steps.min_notional {
            return Err(too_small);
        }
        Ok(match side {
            Direction::Short => -quantity,
            _ => quantity,
        })
    }
}

/// All limits; `None` where one is not set.
fn limits(risk: &RiskConfig) -> Result<Option<Limits>, MoneyError> {
    let (Some(_), Some(symbol), Some(gross), Some(order_notional)) = (
        risk.position_fraction,
        risk.max_symbol_weight,
        risk.max_gross_exposure,
        risk.max_order_notional,
    ) else {
        return Ok(None);
    };
    if !risk.missing().is_empty() {
        return Ok(None);
    }
    Ok(Some(Limits {
        symbol_micro_bps: micro_bps_of_fraction(symbol),
        gross_micro_bps: micro_bps_of_fraction(gross),
        order_notional: Cash::from_f64(order_notional)?,
        net_micro_bps: risk.max_net_exposure.map(micro_bps_of_fraction),
        turnover_micro_bps: risk.max_daily_turnover.map(micro_bps_of_fraction),
        collar_micro_bps: risk.price_collar_bps.map(micro_bps_of_bps),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk() -> RiskConfig {
        RiskConfig {
            position_fraction: Some(0.5),
            max_symbol_weight: Some(0.5),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(10_000.0),
            max_drawdown: Some(0.25),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        }
    }

    fn desk(risk: &RiskConfig, allow_short: bool) -> RiskDesk {
        let execution = ExecutionConfig {
            lot_size: 0.1,
            min_notional: 20.0,
            ..ExecutionConfig::costing(0.0, 0.0)
        };
        let portfolio = PortfolioConfig {
            allow_short,
            margin: None,
            ..PortfolioConfig::with_cash(1_000.0)
        };
        let strategy = StrategyConfig {
            entry_threshold: 0.1,
            exit_threshold: 0.0,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short,
            fail_safe: crate::strategy::FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        };
        RiskDesk::new(&RiskSetup {
            strategy: &strategy,
            risk,
            execution: &execution,
            portfolio: &portfolio,
            names: &["A"],
            time_frame: "1h".parse().unwrap(),
        })
        .unwrap()
    }

    fn proposal(target: Direction, reason: OrderReason) -> Proposal {
        Proposal {
            id: OrderId(1),
            symbol: SymbolId(0),
            target,
            decided_at: Timestamp::from_nanos(5),
            reason,
            model: Some(ModelRef(2)),
            probabilities: None,
        }
    }

    fn account(equity: &str, held: &str, mark: &str, others: &str) -> Account {
        Account {
            equity: equity.parse().unwrap(),
            held: held.parse().unwrap(),
            mark: Some(mark.parse().unwrap()),
            others: others.parse().unwrap(),
            others_net: others.parse().unwrap(),
            traded_today: Cash::ZERO,
            rate: Some(Rate::ONE),
            volatility: None,
            typical_volatility: None,
        }
    }

    /// The approved quantity and the refusal of an entry.
    fn entry(desk: &RiskDesk, target: Direction, account: &Account) -> (String, Option<Refusal>) {
        let verdict = desk.review(&proposal(target, OrderReason::Entry), account);
        let quantity = verdict
            .approved
            .map(|approved| approved.order().quantity.to_string());
        (quantity.unwrap_or_default(), verdict.refused)
    }

    #[test]
    fn every_limit_has_its_answer() {
        use Direction::{Long, Short};
        let free = account("1000", "0", "30", "0");
        let full = desk(&risk(), true);
        // 500 / 30 = 16.66 floors to the lot of 0.1.
        assert_eq!(entry(&full, Long, &free), ("16.6".into(), None));
        assert_eq!(entry(&full, Short, &free), ("-16.6".into(), None));
        let refused = |desk: &RiskDesk, target, account: &Account| {
            let (quantity, refusal) = entry(desk, target, account);
            assert_eq!(quantity, "");
            refusal.unwrap()
        };
        let no_short = desk(&risk(), false);
        assert_eq!(refused(&no_short, Short, &free), Refusal::ShortNotAllowed);
        let crowded = account("1000", "0", "30", "700");
        assert_eq!(entry(&full, Long, &crowded), ("10".into(), None));
        let full_up = account("1000", "0", "30", "990");
        assert_eq!(refused(&full, Long, &full_up), Refusal::GrossExposure);
        let over = account("1000", "0", "30", "1001");
        assert_eq!(refused(&full, Long, &over), Refusal::GrossExposure);
        let poor = account("30", "0", "30", "0");
        assert_eq!(refused(&full, Long, &poor), Refusal::BelowMinimum);
        let coarse = account("1000", "0", "6000", "0");
        assert_eq!(refused(&full, Long, &coarse), Refusal::BelowMinimum);
        let rich = account("30000", "0", "30", "0");
        assert_eq!(refused(&full, Long, &rich), Refusal::OrderNotional);
        let light = RiskConfig {
            max_symbol_weight: Some(0.4),
            ..risk()
        };
        assert_eq!(
            refused(&desk(&light, true), Long, &free),
            Refusal::SymbolWeight
        );
    }

    #[test]
    fn any_missing_limit_refuses_everything() {
        let empties: [fn(&mut RiskConfig); 7] = [
            |risk| risk.position_fraction = None,
            |risk| risk.max_symbol_weight = None,
            |risk| risk.max_gross_exposure = None,
            |risk| risk.max_order_notional = None,
            |risk| risk.max_drawdown = None,
            |risk| risk.max_data_age_bars = None,
            |risk| *risk = RiskConfig::default(),
        ];
        for empty in empties {
            let mut config = risk();
            empty(&mut config);
            let desk = desk(&config, true);
            for target in [Direction::Long, Direction::Short, Direction::Flat] {
                let proposal = proposal(target, OrderReason::Entry);
                let verdict = desk.review(&proposal, &account("1000", "1", "30", "0"));
                assert_eq!(verdict.approved, None);
                assert_eq!(verdict.refused, Some(Refusal::NotConfigured));
            }
        }
    }

    #[test]
    fn a_turn_that_may_not_open_becomes_a_close() {
        let no_short = desk(&risk(), false);
        let held = account("1000", "3", "30", "0");
        let verdict = no_short.review(&proposal(Direction::Short, OrderReason::Flip), &held);
        let order = *verdict.approved.unwrap().order();
        assert_eq!(order.quantity.to_string(), "-3");
        assert_eq!(order.reason, OrderReason::Exit);
        assert_eq!(verdict.refused, Some(Refusal::ShortNotAllowed));
        let margin = desk(&risk(), true);
        let verdict = margin.review(&proposal(Direction::Short, OrderReason::Flip), &held);
        assert_eq!(
            verdict.approved.unwrap().order().quantity.to_string(),
            "-19.6"
        );
    }

    #[test]
    fn a_tripped_breaker_refuses_entries_and_lets_exits_pass() {
        let mut desk = desk(&risk(), true);
        let reading = crate::risk::Reading {
            at: Timestamp::from_nanos(1),
            equity: "700".parse().unwrap(),
            silent_nanos: 0,
        };
        let trip = desk.breaker.judge(&reading);
        desk.breaker.observe(&reading, trip);
        let free = account("700", "0", "30", "0");
        let (_, refusal) = entry(&desk, Direction::Long, &free);
        assert_eq!(refusal, Some(Refusal::BreakerTripped));
        let held = account("700", "0.05", "30", "0");
        let verdict = desk.review(&proposal(Direction::Flat, OrderReason::Breaker), &held);
        assert_eq!(
            verdict.approved.unwrap().order().quantity.to_string(),
            "-0.05"
        );
        assert_eq!(verdict.refused, None);
    }

    #[test]
    fn old_and_broken_predictions_are_refused() {
        let desk = desk(&risk(), true);
        let now = Timestamp::from_nanos(7_200_000_000_000);
        let before = Timestamp::from_nanos(3_600_000_000_000);
        let prediction = |closed_at, up| Prediction {
            symbol: SymbolId(0),
            closed_at,
            probabilities: [0.25, 0.25, up],
            model: ModelRef(0),
        };
        let refusal =
            |closed_at, up, bar| desk.refuse_prediction(&prediction(closed_at, up), now, bar);
        assert_eq!(refusal(now, 0.5, Some(now)), None);
        let stale = Some(Refusal::StaleData);
        assert_eq!(refusal(before, 0.5, Some(now)), stale);
        assert_eq!(refusal(now, 0.5, Some(before)), stale);
        assert_eq!(refusal(now, 0.5, None), stale);
        let invalid = Some(Refusal::InvalidPrediction);
        assert_eq!(refusal(now, f32::NAN, Some(now)), invalid);
    }
}
