//! One run of a sweep: the steps in which something is decided or filled.
//!
//! A step here does what the step of a session does, in its order: orders of earlier steps settle,
//! positions are marked, breakers look at the account, and the strategy decides. The steps between
//! two of these are in `quiet`.

use super::seat::{Seat, Slot};
use super::stretches::{Marks, Stretches};
use super::venue::{Deal, Met, Opening, Venue, Waiting};
use super::{Cell, Glance, SweepError, SweepResult, SweepTable};
use crate::execution::{OrderId, OrderReason};
use crate::fusion::{Fused, Prediction};
use crate::risk::{Account, Proposal, Reading, RiskDesk, RiskSetup};
use crate::session::SessionConfig;
use crate::strategy::{Direction, Holding, MlSignal, Strategy, StrategyConfig};
use crate::types::{Bar, Cash, Price, Quantity, Rate, SymbolId, Timestamp};

const DAY: i64 = 86_400_000_000_000;

/// One run.
pub(super) struct Run<'a> {
    pub(super) table: &'a SweepTable<'a>,
    pub(super) rules: &'a StrategyConfig,
    strategy: MlSignal,
    venue: Venue,
    pub(super) desk: RiskDesk,
    pub(super) seats: Vec<Seat>,
    pub(super) cash: Cash,
    /// Cash plus positions at the newest closes.
    pub(super) equity: Cash,
    /// Orders that wait, and symbols that are held.
    pub(super) waiting: usize,
    pub(super) holding: usize,
    pub(super) totals: Totals,
    pub(super) watch: Watch,
    pub(super) marks: Marks<'a>,
    intents: Vec<Intent>,
}

/// What breakers must be told of later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Highest equity that the breaker has not seen, where quiet steps went by.
    pub(super) unseen: Option<Cash>,
    /// Highest equity since the breaker was armed.
    pub(super) peak: Cash,
    /// The last moment of the UTC day, and equity at its beginning.
    pub(super) day_ends: i64,
    pub(super) day_equity: Cash,
    /// What equity may lose, as fractions; the whole where there is no limit.
    pub(super) max_drawdown: f64,
    pub(super) max_daily_loss: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Intent {
    symbol: usize,
    target: Direction,
    reason: OrderReason,
    fused: Option<Fused>,
}

/// Sums of what has been, equity in units.
#[derive(Debug, Default)]
pub(super) struct Totals {
    fees: Cash,
    slippage: Cash,
    turnover: Cash,
    fills: u64,
    pub(super) steps: u64,
    /// Sums of returns and their squares; returns are small and their mean is smaller, so that the
    /// difference of the two loses nothing that counts.
    sum: f64,
    squares: f64,
    last: f64,
    peak: f64,
    /// Equity below which the drawdown is a new largest.
    trough: f64,
    max_drawdown: f64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        table: &'a SweepTable<'a>,
        config: &'a SessionConfig,
        stretches: &'a Stretches,
    ) -> Result<Self, SweepError> {
        // A sweep has one currency, so this is all there is.
        let only = config.portfolio.initial_cash.only().unwrap_or(0.0);
        let cash = Cash::from_f64(only)?;
        let units = cash.units() as f64;
        let names: Vec<&str> = table.market.names().collect();
        Ok(Self {
            table,
            rules: &config.strategy,
            strategy: MlSignal::new(config.strategy.clone()),
            venue: Venue::new(&config.execution, &config.portfolio, table.time_frame)?,
            desk: RiskDesk::new(&RiskSetup {
                strategy: &config.strategy,
                risk: &config.risk,
                execution: &config.execution,
                portfolio: &config.portfolio,
                names: &names,
                time_frame: table.time_frame,
            })?,
            seats: vec![Seat::EMPTY; table.symbols],
            cash,
            equity: cash,
            waiting: 0,
            holding: 0,
            totals: Totals {
                peak: units,
                last: units,
                trough: units,
                ..Totals::default()
            },
            watch: Watch {
                unseen: None,
                peak: cash,
                day_ends: i64::MIN,
                day_equity: cash,
                max_drawdown: config.risk.max_drawdown.unwrap_or(1.0),
                max_daily_loss: config.risk.max_daily_loss,
            },
            marks: Marks::new(stretches),
            intents: Vec::new(),
        })
    }

    /// Takes all steps; gives equity at the ends of the stretches, too.
    pub(super) fn finish(mut self) -> (SweepResult, Vec<Cash>) {
        let mut step = 0;
        loop {
            step = self.pass_quiet(step);
            let Some(&at) = self.table.times.get(step) else {
                break;
            };
            self.step(step, at);
            step += 1;
            self.marks.pass(step, self.equity);
        }
        let totals = self.totals;
        let count = totals.steps.max(1) as f64;
        let mean = totals.sum / count;
        let result = SweepResult {
            final_equity: self.equity,
            fees: totals.fees,
            slippage: totals.slippage,
            turnover: totals.turnover,
            fills: totals.fills,
            max_drawdown: totals.max_drawdown,
            mean_return: mean,
            return_variance: (totals.squares / count - mean * mean).max(0.0),
            steps: totals.steps,
        };
        (result, self.marks.into_equity())
    }

    /// The rows of a step.
    pub(super) fn row(&self, step: usize) -> (&'a [Glance], &'a [Cell]) {
        let (table, count) = (self.table, self.table.symbols);
        let places = step * count..(step + 1) * count;
        let glances = table.glances.get(places.clone()).unwrap_or(&[]);
        (glances, table.cells.get(places).unwrap_or(&[]))
    }

    fn step(&mut self, step: usize, at: Timestamp) {
        let (glances, cells) = self.row(step);
        self.enter(at);
        if self.waiting > 0 {
            self.settle(at, cells);
        }
        self.mark(glances);
        self.judge(at);
        self.decide(at, glances, cells);
    }

    /// Tells the breaker what it has not seen, and which day it is.
    pub(super) fn enter(&mut self, at: Timestamp) {
        if let Some(highest) = self.watch.unseen.take() {
            for equity in [highest, self.equity] {
                let reading = Reading {
                    at,
                    equity,
                    silent_nanos: 0,
                };
                self.desk.breaker.observe(&reading, None);
            }
        }
        if at.as_nanos() > self.watch.day_ends {
            let day = (at.as_nanos() - 1).div_euclid(DAY);
            self.watch.day_ends = day.saturating_add(1).saturating_mul(DAY);
            self.watch.day_equity = self.equity;
            self.desk.breaker.begin_day(at);
        }
    }

    /// Lets waiting orders meet the bars, those that buy after the others.
    fn settle(&mut self, at: Timestamp, cells: &[Cell]) {
        // Said before the first fills, as the exchange does.
        for buys in [false, true] {
            for (symbol, cell) in cells.iter().enumerate() {
                let Some(seat) = self.seats.get(symbol) else {
                    continue;
                };
                if seat.is_waiting() && seat.buys() == buys {
                    let turns = seat.turns();
                    let mut budget = self.venue.budget(self.bar(symbol, cell));
                    for slot in turns {
                        self.settle_one((symbol, slot), (cell, at), &mut budget);
                    }
                }
            }
        }
        for (symbol, cell) in cells.iter().enumerate() {
            let known = self.known(cell, at);
            let opening = self.seats.get(symbol).and_then(|seat| seat.opening);
            if opening.is_some_and(|one| one.is_cancelled_by(known)) {
                self.answered(symbol, Slot::Opening);
            }
        }
        self.holding = self.seats.iter().filter(|one| !one.held.is_zero()).count();
    }

    /// Up to when it is known at `at` what the bars of a symbol hold: one that is not over yet may
    /// have opened.
    fn known(&self, cell: &Cell, at: Timestamp) -> Timestamp {
        if cell.bar_closed_at == super::NEVER {
            return at;
        }
        let length = self.table.time_frame.nanos().max(1);
        let bars = at.nanos_since(cell.bar_closed_at) / length;
        cell.bar_closed_at
            .saturating_add_nanos(bars.saturating_mul(length))
    }

    /// The newest bar of a symbol.
    fn bar(&self, symbol: usize, cell: &Cell) -> Option<&'a Bar> {
        let series = self.table.market.series().get(symbol)?;
        series.bars.get(cell.bar as usize)
    }

    fn settle_one(
        &mut self,
        (symbol, slot): (usize, Slot),
        (cell, at): (&Cell, Timestamp),
        budget: &mut Option<Quantity>,
    ) {
        let (cash, known) = (self.cash, self.known(cell, at));
        let bar = self.bar(symbol, cell);
        let Some(seat) = self.seats.get_mut(symbol) else {
            return;
        };
        let held = seat.held;
        let Some(order) = seat.order(slot) else {
            return;
        };
        let met = if cell.bar_closed_at != at {
            // Without a bar nothing is met, and patience may end.
            match self.venue.gives_up(order, known) {
                true => Met::Nothing,
                false => return,
            }
        } else if cell.open == 0 {
            return;
        } else {
            let opening = Opening {
                open: Price::from_units(i128::from(cell.open)),
                opened_at: cell.opened_at,
                closed_at: cell.bar_closed_at,
                budget: *budget,
                bar,
            };
            self.venue.meet(order, &opening, (held, cash))
        };
        let filled_at = cell.opened_at.max(order.arrives_at);
        match met {
            Met::Waits(from) => order.arrives_at = from,
            Met::Nothing => self.answered(symbol, slot),
            Met::Goes => order.is_active = true,
            Met::Deal(deal) => {
                if deal.rest.is_zero() {
                    self.answered(symbol, slot);
                } else {
                    (order.is_active, order.quantity) = (true, deal.rest);
                }
                *budget = budget.map(|budget| budget - deal.quantity.abs());
                self.book(symbol, &deal, filled_at);
            }
        }
    }

    fn answered(&mut self, symbol: usize, slot: Slot) {
        if let Some(seat) = self.seats.get_mut(symbol)
            && seat.order(slot).take().is_some()
        {
            self.waiting -= 1;
        }
    }

    fn book(&mut self, symbol: usize, deal: &Deal, filled_at: Timestamp) {
        let Some(seat) = self.seats.get_mut(symbol) else {
            return;
        };
        let before = seat.direction();
        seat.held += deal.quantity;
        if seat.direction() != before {
            seat.opened_at = filled_at;
        }
        seat.value = Cash::ZERO;
        self.cash -= deal.value + deal.fee;
        self.totals.fees += deal.fee;
        self.totals.slippage += deal.slippage;
        self.totals.turnover += deal.value.abs();
        self.totals.fills += 1;
    }

    /// Values what is held.
    fn mark(&mut self, glances: &[Glance]) {
        self.equity = self.cash;
        if self.holding > 0 {
            for (seat, glance) in self.seats.iter_mut().zip(glances) {
                if !seat.held.is_zero() {
                    seat.value = close_of(glance).times(seat.held);
                    self.equity += seat.value;
                }
            }
        }
        self.totals.take(units(self.equity));
    }

    fn judge(&mut self, at: Timestamp) {
        let breaker = &mut self.desk.breaker;
        if breaker.resets_at(at) {
            breaker.reset(self.equity, at);
            self.watch.peak = self.equity;
            self.watch.day_equity = self.equity;
        }
        let reading = Reading {
            at,
            equity: self.equity,
            silent_nanos: 0,
        };
        loop {
            let trip = breaker.judge(&reading);
            breaker.observe(&reading, trip);
            if trip.is_none() {
                break;
            }
        }
        self.watch.peak = self.watch.peak.max(self.equity);
    }

    fn decide(&mut self, at: Timestamp, glances: &[Glance], cells: &[Cell]) {
        self.intents.clear();
        for (symbol, cell) in cells.iter().enumerate() {
            let intent = self.intent(symbol, cell, at);
            self.intents.extend(intent);
        }
        for closings in [true, false] {
            for index in 0..self.intents.len() {
                if let Some(&intent) = self.intents.get(index)
                    && (intent.target == Direction::Flat) == closings
                {
                    self.place(intent, at, glances);
                }
            }
        }
    }

    /// What `symbol` wants changed, as far as what waits leaves it room.
    fn intent(&mut self, symbol: usize, cell: &Cell, at: Timestamp) -> Option<Intent> {
        let seat = *self.seats.get(symbol)?;
        let fused = cell.fused().filter(|fused| self.heeds(fused, cell, at));
        if let Some(opening) = seat.opening {
            if !opening.is_called_off() && self.wants(&opening, fused) {
                return None;
            }
            let waiting = self.seats.get_mut(symbol)?.opening.as_mut()?;
            waiting.cancelled_at.get_or_insert(at);
        }
        if seat.closing.is_some() {
            return None;
        }
        let wish = fused.and_then(|fused| self.wish(symbol, &seat, fused, at));
        let intent = self.emergency(symbol, &seat).or(wish)?;
        // Beside an order that was called off nothing is opened.
        match (seat.opening, intent.reason) {
            (Some(_), OrderReason::Entry) => None,
            (Some(_), OrderReason::Flip) => Some(Intent {
                target: Direction::Flat,
                reason: OrderReason::Exit,
                ..intent
            }),
            _ => Some(intent),
        }
    }

    /// Whether an order that opens and waits is wanted still.
    fn wants(&self, opening: &Waiting, fused: Option<Fused>) -> bool {
        let breaker = &self.desk.breaker;
        if breaker.is_ruined() || breaker.is_tripped() {
            return false;
        }
        let direction = Direction::of_sign(opening.quantity.signum());
        let filled = Holding {
            direction,
            bars: u32::MAX,
        };
        fused.is_none_or(|fused| self.strategy.decide(&fused, filled).target == direction)
    }

    /// Whether a prediction may be acted on.
    fn heeds(&self, fused: &Fused, cell: &Cell, at: Timestamp) -> bool {
        let prediction = Prediction {
            symbol: SymbolId(0),
            closed_at: at,
            probabilities: fused.probabilities,
            model: fused.model,
        };
        let bar_closed_at = (cell.bar_closed_at != super::NEVER).then_some(cell.bar_closed_at);
        let refused = self.desk.refuse_prediction(&prediction, at, bar_closed_at);
        refused.is_none()
    }

    fn wish(&self, symbol: usize, seat: &Seat, fused: Fused, at: Timestamp) -> Option<Intent> {
        let holding = self.holding_of(seat, at);
        let target = self.strategy.decide(&fused, holding).target;
        let reason = match (holding.direction, target) {
            (held, target) if held == target => return None,
            (Direction::Flat, _) => OrderReason::Entry,
            (_, Direction::Flat) => OrderReason::Exit,
            _ => OrderReason::Flip,
        };
        Some(Intent {
            symbol,
            target,
            reason,
            fused: Some(fused),
        })
    }

    fn holding_of(&self, seat: &Seat, at: Timestamp) -> Holding {
        let direction = seat.direction();
        let bars = match direction {
            Direction::Flat => 0,
            _ => at.nanos_since(seat.opened_at) / self.table.time_frame.nanos(),
        };
        Holding {
            direction,
            bars: u32::try_from(bars).unwrap_or(u32::MAX),
        }
    }

    fn emergency(&self, symbol: usize, seat: &Seat) -> Option<Intent> {
        let breaker = &self.desk.breaker;
        let reason = match (breaker.is_ruined(), breaker.is_tripped()) {
            (true, _) => OrderReason::Ruin,
            (false, true) => OrderReason::Breaker,
            (false, false) => return None,
        };
        (seat.direction() != Direction::Flat).then_some(Intent {
            symbol,
            target: Direction::Flat,
            reason,
            fused: None,
        })
    }

    fn place(&mut self, intent: Intent, at: Timestamp, glances: &[Glance]) {
        let symbol = intent.symbol;
        let Some((seat, glance)) = self.seats.get(symbol).zip(glances.get(symbol)) else {
            return;
        };
        let proposal = Proposal {
            // Nobody asks for an order's number.
            id: OrderId(0),
            symbol: SymbolId(u32::try_from(symbol).unwrap_or(u32::MAX)),
            target: intent.target,
            decided_at: at,
            reason: intent.reason,
            model: intent.fused.map(|fused| fused.model),
            probabilities: intent.fused.map(|fused| fused.probabilities),
        };
        let account = Account {
            rate: Some(Rate::ONE),
            equity: self.equity,
            held: seat.held,
            mark: (glance.close != 0).then(|| close_of(glance)),
            others: self.others(symbol, glances, Cash::abs),
            others_net: self.others(symbol, glances, |value| value),
            traded_today: Cash::ZERO,
            volatility: None,
            typical_volatility: None,
        };
        let verdict = self.desk.review(&proposal, &account);
        if let Some(approved) = verdict.approved
            && let Some(seat) = self.seats.get_mut(symbol)
        {
            let order = approved.order();
            let slot = match order.reason.opens() {
                true => Slot::Opening,
                false => Slot::Closing,
            };
            *seat.order(slot) = Some(Waiting {
                quantity: order.quantity,
                reduces_only: order.reduces_only(),
                cancelled_at: None,
                arrives_at: at,
                is_active: false,
            });
            self.waiting += 1;
        }
    }

    /// The values of all other symbols, with what waits for them.
    fn others(&self, symbol: usize, glances: &[Glance], count: fn(Cash) -> Cash) -> Cash {
        if self.holding == 0 && self.waiting == 0 {
            return Cash::ZERO;
        }
        let seats = self.seats.iter().zip(glances).enumerate();
        seats
            .filter(|(other, _)| *other != symbol)
            .map(|(_, (seat, glance))| {
                let waits = seat.waits();
                count(match glance.close {
                    0 => seat.value,
                    _ if waits.is_zero() => seat.value,
                    _ => close_of(glance).times(seat.held + waits),
                })
            })
            .sum()
    }
}

impl Totals {
    /// Takes in equity, in units.
    pub(super) fn take(&mut self, equity: f64) {
        let simple = equity / self.last - 1.0;
        self.last = equity;
        self.steps += 1;
        self.sum += simple;
        self.squares += simple * simple;
        if equity > self.peak {
            self.peak = equity;
            self.trough = self.peak * (1.0 - self.max_drawdown);
        } else if equity < self.trough {
            self.max_drawdown = 1.0 - equity / self.peak;
            self.trough = equity;
        }
    }
}

pub(super) fn close_of(glance: &Glance) -> Price {
    Price::from_units(i128::from(glance.close))
}

/// The nearest float; 64 bits are converted by one instruction.
pub(super) fn units(amount: Cash) -> f64 {
    match i64::try_from(amount.units()) {
        Ok(units) => units as f64,
        Err(_) => amount.units() as f64,
    }
}
