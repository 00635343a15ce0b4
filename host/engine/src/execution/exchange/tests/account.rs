//! The account and the settings of the second exchange, in whole units of 1e-8.

use crate::execution::{ExecutionConfig, SlippageConfig, SymbolConfig};
use crate::portfolio::{MarginMode, PortfolioConfig};

const ONE: i128 = 100_000_000;
/// Micro basis points of the whole.
const WHOLE: i128 = 10_000_000_000;

/// `value / by` to the nearest, half away from zero.
pub(super) fn nearest(value: i128, by: i128) -> i128 {
    let (size, sign) = (value.abs(), value.signum());
    let (floor, rest) = (size / by, size % by);
    sign * if 2 * rest >= by { floor + 1 } else { floor }
}

/// `micro_bps` of an amount.
pub(super) fn part_of(amount: i128, micro_bps: i128) -> i128 {
    nearest(amount * micro_bps, WHOLE)
}

/// The multiple of `step` at or below `value`.
pub(super) fn floor_to(value: i128, step: i128) -> i128 {
    value.div_euclid(step) * step
}

fn micro(bps: f64) -> i128 {
    (bps * 1e6).round() as i128
}

fn money(value: f64) -> i128 {
    (value * 1e8).round() as i128
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Spot,
    Unlimited,
    Cross,
    Isolated,
}

/// The configuration in whole numbers.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    kind: Kind,
    pub(super) lot: i128,
    pub(super) tick: i128,
    pub(super) min_notional: i128,
    pub(super) half_spread: i128,
    pub(super) fixed: i128,
    pub(super) slippage: SlippageConfig,
    /// From a traded sum on: maker and taker.
    tiers: Vec<(i128, i128, i128)>,
    pub(super) latency: i64,
    pub(super) patience: i64,
    pub(super) participation: Option<f64>,
    pub(super) through: i128,
    pub(super) queue: f64,
    pub(super) funding: Option<(i64, i128)>,
    /// Part of a year's borrowing.
    pub(super) borrowing: f64,
    pub(super) initial: i128,
    maintenance: i128,
    pub(super) liquidation_fee: i128,
}

impl Settings {
    /// The settings of the symbol called `name`.
    pub(super) fn of(
        config: &ExecutionConfig,
        account: &PortfolioConfig,
        (bar, name): (i64, &str),
    ) -> Self {
        let plain = SymbolConfig::default();
        let own = config.symbols.get(name).unwrap_or(&plain);
        let taker = micro(own.fee_bps.unwrap_or(config.fee_bps));
        let maker = match (own.maker_fee_bps, own.fee_bps, config.maker_fee_bps) {
            (Some(rate), _, _) | (None, Some(rate), _) | (None, None, Some(rate)) => micro(rate),
            (None, None, None) => taker,
        };
        let mut tiers = vec![(0, maker, taker)];
        for tier in &config.fee_tiers {
            let rates = (micro(tier.maker_bps), micro(tier.taker_bps));
            tiers.push((money(tier.traded), rates.0, rates.1));
        }
        let kind = match account.margin {
            Some(margin) if margin.mode == MarginMode::Cross => Kind::Cross,
            Some(_) => Kind::Isolated,
            None if account.allow_short => Kind::Unlimited,
            None => Kind::Spot,
        };
        let margin = |of: fn(&crate::portfolio::MarginConfig) -> f64| {
            account.margin.as_ref().map_or(0.0, of)
        };
        Self {
            kind,
            lot: money(own.lot_size.unwrap_or(config.lot_size)),
            tick: money(own.tick_size.unwrap_or(config.tick_size)),
            min_notional: money(own.min_notional.unwrap_or(config.min_notional)),
            half_spread: micro(own.spread_bps.unwrap_or(config.spread_bps) / 2.0),
            fixed: micro(own.slippage_bps.unwrap_or(config.slippage_bps)),
            slippage: config.slippage,
            tiers,
            latency: config.latency_ms as i64 * 1_000_000,
            patience: i64::from(config.order_expiry_bars) * bar,
            participation: config.participation,
            through: i128::from(config.limit_through_ticks),
            queue: config.limit_queue_ahead,
            funding: config.funding.as_ref().map(|funding| {
                let hours = i64::from(funding.interval_hours);
                (hours * 3_600_000_000_000, micro(funding.rate_bps))
            }),
            borrowing: config.borrow_annual_bps / 10_000.0,
            initial: account.margin.map_or(0, |margin| {
                let most = own.max_leverage.unwrap_or(f64::MAX);
                micro(10_000.0 / margin.leverage.min(most))
            }),
            maintenance: micro(margin(|one| 10_000.0 * one.maintenance)),
            liquidation_fee: micro(margin(|one| one.liquidation_fee_bps)),
        }
    }

    pub(super) fn is_spot(&self) -> bool {
        self.kind == Kind::Spot
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.kind == Kind::Isolated
    }

    pub(super) fn has_margin(&self) -> bool {
        matches!(self.kind, Kind::Cross | Kind::Isolated)
    }

    pub(super) fn fee_rate(&self, traded: i128, maker: bool) -> i128 {
        let mut rate = 0;
        for (from, of_maker, of_taker) in &self.tiers {
            if traded >= *from {
                rate = if maker { *of_maker } else { *of_taker };
            }
        }
        rate
    }

    /// How far a taker of `quantity` is from the reference price after these slices.
    pub(super) fn taker_moves(&self, slices: &[(i128, f64)], quantity: i128) -> i128 {
        let of_market = match self.slippage {
            SlippageConfig::None => 0.0,
            SlippageConfig::Book { otherwise_bps, .. } => otherwise_bps / 10_000.0,
            SlippageConfig::Volatility { factor, span_bars } => factor * sigma(slices, span_bars),
            SlippageConfig::Impact { factor, span_bars } => {
                let volume = average(slices.iter().map(|(_, volume)| *volume), span_bars);
                if volume > 0.0 {
                    let part = quantity as f64 / 1e8 / volume;
                    factor * sigma(slices, span_bars) * part.sqrt()
                } else {
                    0.0
                }
            }
        };
        let of_market = (of_market * 1e10).round().min(1e10) as i128;
        self.half_spread + self.fixed + of_market
    }
}

fn sigma(slices: &[(i128, f64)], span: u32) -> f64 {
    let price = |slice: &(i128, f64)| slice.0 as f64 / 1e8;
    let squares = slices.windows(2).map(|pair| {
        let change = (price(&pair[1]) / price(&pair[0])).ln();
        change * change
    });
    average(squares, span).sqrt()
}

/// The exponentially weighted mean, begun with the first; zero before it.
fn average(values: impl Iterator<Item = f64>, span: u32) -> f64 {
    let weight = 2.0 / (f64::from(span) + 1.0);
    let step = |mean: Option<f64>, value: f64| {
        Some(mean.map_or(value, |mean| mean + weight * (value - mean)))
    };
    values.fold(None, step).unwrap_or(0.0)
}

/// What the fills since a position was last flat make of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) held: i128,
    pub(super) cost: i128,
    pub(super) margin: i128,
}

/// A step on the way from a currency to the reporting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// So many units of the next for a whole one.
    Fixed(i128),
    /// The close of a symbol, in its quote.
    Close(usize),
    /// The same the other way round.
    Inverse(usize),
}

/// The currencies; the first is the reporting one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Money {
    /// What each symbol is quoted in.
    pub(super) quotes: Vec<usize>,
    pub(super) initial: Vec<i128>,
    pub(super) links: Vec<Vec<Link>>,
}

impl Money {
    pub(super) fn single(initial: i128, symbols: usize) -> Self {
        Self {
            quotes: vec![0; symbols],
            initial: vec![initial],
            links: vec![vec![]],
        }
    }
}

/// Above and below the line.
type Fraction = (i128, i128);

fn common(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { common(b, a % b) }
}

fn times(one: Fraction, other: Fraction) -> Fraction {
    let (mut above, mut below) = (one.0 * other.0, one.1 * other.1);
    let shared = common(above, below);
    above /= shared;
    below /= shared;
    while above.max(below) > 10_i128.pow(18) {
        above /= 10;
        below /= 10;
    }
    (above, below)
}

fn worth(amount: i128, rate: Fraction) -> i128 {
    nearest(amount * rate.0, rate.1)
}

/// Cash, and the fills of every symbol.
#[derive(Debug, Clone)]
pub(super) struct Account {
    kind: Kind,
    initial: Vec<i128>,
    maintenance: i128,
    ticks: Vec<i128>,
    pub(super) money: Money,
    pub(super) cash: Vec<i128>,
    fills: Vec<Vec<(i128, i128)>>,
    pub(super) last: Vec<Option<i128>>,
    /// When each symbol closed where, for rates.
    pub(super) closes: Vec<Vec<(i64, i128)>>,
    /// When the slice opened that is walked.
    pub(super) opened: i64,
}

impl Account {
    pub(super) fn new(settings: &[Settings], money: Money) -> Self {
        let symbols = settings.len();
        Self {
            kind: settings[0].kind,
            initial: settings.iter().map(|one| one.initial).collect(),
            maintenance: settings[0].maintenance,
            ticks: settings.iter().map(|one| one.tick).collect(),
            cash: money.initial.clone(),
            money,
            fills: vec![Vec::new(); symbols],
            last: vec![None; symbols],
            closes: vec![Vec::new(); symbols],
            opened: 0,
        }
    }

    pub(super) fn currency(&self, symbol: usize) -> usize {
        self.money.quotes[symbol]
    }

    /// What one of a currency is worth in the reporting one, by what had closed when the slice
    /// opened.
    fn rate(&self, currency: usize) -> Option<Fraction> {
        let mut rate = (1, 1);
        for link in &self.money.links[currency] {
            let close = |symbol: usize| {
                let before = self.closes[symbol].iter();
                let before = before.filter(|(at, _)| *at <= self.opened);
                before.max_by_key(|(at, _)| *at).map(|(_, close)| *close)
            };
            rate = times(
                rate,
                match *link {
                    Link::Fixed(units) => times((units, ONE), (1, 1)),
                    Link::Close(symbol) => times((close(symbol)?, ONE), (1, 1)),
                    Link::Inverse(symbol) => times((ONE, close(symbol)?), (1, 1)),
                },
            );
        }
        Some(rate)
    }

    pub(super) fn has_rate(&self, symbol: usize) -> bool {
        self.rate(self.currency(symbol)).is_some()
    }

    /// An amount of the symbol's currency in the reporting one.
    pub(super) fn reported(&self, symbol: usize, amount: i128) -> i128 {
        let rate = self.rate(self.currency(symbol));
        rate.map_or(0, |rate| worth(amount, rate))
    }

    /// What `of` makes of every currency, in the currency of `symbol`.
    fn converted(&self, symbol: usize, of: impl Fn(usize) -> Vec<i128>) -> Vec<i128> {
        let own = self.currency(symbol);
        let mut all = Vec::new();
        for other in 0..self.cash.len() {
            if other == own {
                all.extend(of(other));
            } else if let (Some(rate), Some(back)) = (self.rate(other), self.rate(own)) {
                let rate = times(rate, (back.1, back.0));
                all.extend(of(other).into_iter().map(|one| worth(one, rate)));
            }
        }
        all
    }

    /// The other symbols that are quoted in `currency`.
    fn others_in(&self, symbol: usize, currency: usize) -> impl Iterator<Item = usize> {
        let all = 0..self.fills.len();
        all.filter(move |one| *one != symbol && self.currency(*one) == currency)
    }

    /// What the account has beside the symbol and the cash of its currency.
    fn rest(&self, symbol: usize, of: impl Fn(usize) -> i128) -> i128 {
        let own = self.currency(symbol);
        let whole = |currency: usize| {
            let positions: i128 = self.others_in(symbol, currency).map(&of).sum();
            vec![
                positions
                    + if currency == own {
                        0
                    } else {
                        self.cash[currency]
                    },
            ]
        };
        self.converted(symbol, whole).iter().sum()
    }

    pub(super) fn trade(&mut self, symbol: usize, quantity: i128, price: i128, fee: i128) {
        let currency = self.currency(symbol);
        self.cash[currency] -= nearest(price * quantity, ONE) + fee;
        self.fills[symbol].push((quantity, price));
        if self.position(symbol).held == 0 {
            self.fills[symbol].clear();
        }
    }

    pub(super) fn position(&self, symbol: usize) -> Position {
        let mut now = Position::default();
        for (quantity, price) in &self.fills[symbol] {
            let whole = nearest(price * quantity, ONE);
            let mut opened = whole;
            if now.held * quantity < 0 {
                let closing = quantity.abs().min(now.held.abs());
                opened = whole - nearest(price * closing * quantity.signum(), ONE);
                now.cost -= nearest(now.cost * closing, now.held.abs());
                now.margin -= nearest(now.margin * closing, now.held.abs());
            }
            now.held += quantity;
            now.cost += opened;
            now.margin += part_of(opened.abs(), self.initial[symbol]);
        }
        now
    }

    fn value(&self, symbol: usize, price: i128) -> i128 {
        nearest(price * self.position(symbol).held, ONE)
    }

    fn last_value(&self, symbol: usize) -> i128 {
        self.value(symbol, self.last[symbol].unwrap_or(0))
    }

    fn own_cash(&self, symbol: usize) -> i128 {
        self.cash[self.currency(symbol)]
    }

    /// With `symbol` at `price` and all others at their last prices, in the symbol's currency.
    pub(super) fn equity(&self, symbol: usize, price: i128) -> i128 {
        let rest = self.rest(symbol, |one| self.last_value(one));
        self.own_cash(symbol) + self.value(symbol, price) + rest
    }

    pub(super) fn free(&self, symbol: usize, price: i128) -> i128 {
        if self.kind == Kind::Isolated {
            let free = |one: usize| self.position(one).cost - self.position(one).margin;
            return self.own_cash(symbol) + free(symbol) + self.rest(symbol, free);
        }
        let mut needs = self.value(symbol, price).abs() * self.initial[symbol];
        for other in (0..self.fills.len()).filter(|one| *one != symbol) {
            let size = self.sizes(symbol, |one| one == other);
            needs += size.iter().sum::<i128>() * self.initial[other];
        }
        self.equity(symbol, price) - nearest(needs, WHOLE)
    }

    /// The values of other symbols without their signs, each by itself.
    fn sizes(&self, symbol: usize, which: impl Fn(usize) -> bool) -> Vec<i128> {
        self.converted(symbol, |currency| {
            let others = self.others_in(symbol, currency);
            let others = others.filter(|one| which(*one));
            others.map(|one| self.last_value(one).abs()).collect()
        })
    }

    /// Whether the position of `symbol` is to be liquidated at `price`. The price at which its
    /// margin is just enough is rounded to the next tick against it, so it is due where the margin
    /// would not be enough one tick further.
    pub(super) fn is_due(&self, symbol: usize, price: i128) -> bool {
        let Position { held, cost, margin } = self.position(symbol);
        let rest = match self.kind {
            Kind::Spot | Kind::Unlimited => return false,
            _ if held == 0 => return false,
            Kind::Isolated => margin - cost,
            Kind::Cross => {
                let gross: i128 = self.sizes(symbol, |_| true).iter().sum();
                let rest = self.rest(symbol, |one| self.last_value(one));
                self.own_cash(symbol) + rest - part_of(gross, self.maintenance)
            }
        };
        let tick = self.ticks[symbol];
        let further = if held > 0 {
            floor_to(price + tick - 1, tick) - tick
        } else {
            floor_to(price, tick) + tick
        };
        let value = held * further;
        rest * ONE * WHOLE + value * WHOLE - value.abs() * self.maintenance < 0
    }

    /// Negative cash of each currency, and in accounts without margin the value of short positions:
    /// of which symbol, in which currency, how much.
    pub(super) fn borrowed(&self) -> Vec<(Option<usize>, usize, i128)> {
        let cash = self.cash.iter().enumerate();
        let mut borrowed: Vec<_> = cash.map(|(one, cash)| (None, one, -cash)).collect();
        if self.kind == Kind::Unlimited {
            for symbol in 0..self.fills.len() {
                let value = self.last_value(symbol);
                borrowed.push((Some(symbol), self.currency(symbol), -value));
            }
        }
        borrowed.retain(|(_, _, amount)| *amount > 0);
        borrowed
    }
}
