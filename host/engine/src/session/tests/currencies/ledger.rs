//! A second ledger of several currencies in plain whole numbers, and random accounts for it.
//!
//! It knows fills, payments and closes, and nothing of how a session keeps its books.

use super::*;
use crate::backtest::Flows;
use crate::execution::{FundingConfig, Payment, SymbolConfig};
use crate::portfolio::{InitialCash, MarginConfig, MarginMode};
use crate::types::{CurrencyId, MarketSteps};

const ONE: i128 = 100_000_000;

/// Above and below the line.
type Fraction = (i128, i128);

/// The ways in which the rate of Y, and of Z where there is one, is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// S0 is Y in X.
    Direct,
    /// S0 is X in Y.
    Inverted,
    /// S1 is Y in X, S0 is Z in Y.
    Hop,
    /// Y has a fixed rate.
    Fixed,
}

impl Layout {
    fn pairs(self) -> [(&'static str, &'static str); 3] {
        match self {
            Self::Direct => [("Y", "X"), ("Q", "Y"), ("R", "X")],
            Self::Inverted => [("X", "Y"), ("Q", "Y"), ("R", "X")],
            Self::Hop => [("Z", "Y"), ("Y", "X"), ("R", "Z")],
            Self::Fixed => [("P", "X"), ("Q", "Y"), ("R", "Y")],
        }
    }

    pub(super) fn currencies(self) -> &'static [&'static str] {
        match self {
            Self::Hop => &["X", "Y", "Z"],
            _ => &["X", "Y"],
        }
    }

    /// The rate as a fraction by the last closes, in units.
    fn rate(self, currency: &str, closes: [Option<i128>; 3]) -> Option<Fraction> {
        match (self, currency) {
            (_, "X") => Some((1, 1)),
            (Self::Direct, _) => Some((closes[0]?, ONE)),
            (Self::Inverted, _) => Some((ONE, closes[0]?)),
            (Self::Hop, "Y") => Some((closes[1]?, ONE)),
            (Self::Hop, _) => Some(kept((closes[0]? * closes[1]?, ONE * ONE))),
            (Self::Fixed, _) => Some((5, 4)),
        }
    }
}

pub(super) fn layout() -> impl Generator<Value = Layout> {
    use Layout::{Direct, Fixed, Hop, Inverted};
    prop::sample::select(vec![Direct, Inverted, Hop, Fixed])
}

/// Spot, unlimited, cross or isolated.
pub(super) fn account(layout: Layout, kind: u8) -> SessionConfig {
    let mut config = config(kind > 0);
    for (name, (base, quote)) in ["S0", "S1", "S2"].iter().zip(layout.pairs()) {
        let own = SymbolConfig {
            base: Some(base.to_owned()),
            quote: Some(quote.to_owned()),
            min_notional: Some(0.5),
            ..SymbolConfig::default()
        };
        config.execution.symbols.insert((*name).to_owned(), own);
    }
    config.execution.borrow_annual_bps = 800.0;
    config.execution.spread_bps = 4.0;
    config.execution.funding = (kind > 0).then_some(FundingConfig {
        interval_hours: 1,
        rate_bps: 3.0,
    });
    let amounts = [("X", 10_000.0), ("Y", 150.0), ("Z", 3.0)];
    let own = layout.currencies();
    let amounts = amounts.iter().filter(|(name, _)| own.contains(name));
    config.portfolio.initial_cash = InitialCash::Each(
        amounts
            .map(|(name, one)| ((*name).to_owned(), *one))
            .collect(),
    );
    config.portfolio.currency = Some("X".to_owned());
    config.portfolio.max_rate_age_bars = Some(0);
    if layout == Layout::Fixed {
        let fixed = ("Y".to_owned(), RateConfig::Fixed(1.25));
        config.portfolio.rates.extend([fixed]);
    }
    let mode = match kind {
        2 => Some(MarginMode::Cross),
        3 => Some(MarginMode::Isolated),
        _ => None,
    };
    config.portfolio.margin = mode.map(|mode| MarginConfig {
        mode,
        leverage: 4.0,
        maintenance: 0.05,
        liquidation_fee_bps: 30.0,
    });
    config
}

fn nearest(value: i128, by: i128) -> i128 {
    let (size, sign) = (value.abs(), value.signum());
    sign * ((size + by / 2) / by)
}

/// What is kept of a fraction, as `docs/execution.md` says: in lowest terms, digits dropped until
/// neither number is above 1e18.
fn kept((above, below): Fraction) -> Fraction {
    let (mut divisor, mut rest) = (above, below);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let (mut above, mut below) = (above / divisor, below / divisor);
    while above.max(below) > 10_i128.pow(18) {
        (above, below) = (above / 10, below / 10);
    }
    (above, below)
}

fn worth(amount: i128, (above, below): Fraction) -> i128 {
    nearest(amount * above, below)
}

/// The hour of the first step within the predictions that has a close of everything that a rate of
/// the account is taken from; `None` where there is none.
pub(super) fn first_valued(layout: Layout, table: &[[Cell; 3]]) -> Option<i64> {
    let is_step = |cells: &[Cell; 3]| cells.iter().any(|cell| cell.open.is_some());
    let speaks = |cells: &[Cell; 3]| is_step(cells) && cells.iter().any(|one| one.score.is_some());
    let (first, last) = (
        table.iter().position(speaks)?,
        table.iter().rposition(speaks)?,
    );
    let is_valued = |cells: &[Cell; 3]| {
        let closes = cells.map(|cell| cell.open.map(|_| units(cell.close)));
        let mut names = layout.currencies().iter();
        names.all(|name| layout.rate(name, closes).is_some())
    };
    let found = table[first..=last].iter().position(is_valued)?;
    i64::try_from(first + found + 1).ok()
}

fn units(amount: f64) -> i128 {
    (amount * 1e8).round() as i128
}

/// Cash and quantities in plain whole numbers.
struct Ledger<'a> {
    layout: Layout,
    steps: std::iter::Peekable<MarketSteps<'a>>,
    cash: Vec<i128>,
    held: [i128; 3],
    closes: [Option<i128>; 3],
    /// What there was of each currency at the end of the step before, and the rates.
    before: Option<(Vec<i128>, Vec<Option<Fraction>>)>,
}

impl<'a> Ledger<'a> {
    fn new(layout: Layout, market: &'a Market, initial: Vec<i128>) -> Self {
        Self {
            layout,
            steps: market.steps().peekable(),
            cash: initial,
            held: [0; 3],
            closes: [None; 3],
            before: None,
        }
    }

    fn quote(&self, symbol: usize) -> usize {
        let quote = self.layout.pairs()[symbol].1;
        let own = self.layout.currencies().iter();
        own.into_iter().position(|name| *name == quote).unwrap()
    }

    fn fill(&mut self, fill: &Fill) {
        let at = fill.symbol.index();
        let quote = self.quote(at);
        assert_eq!(fill.currency.index(), quote);
        let value = nearest(fill.price.units() * fill.quantity.units(), ONE);
        self.cash[quote] -= value + fill.fee.units();
        self.held[at] += fill.quantity.units();
    }

    fn pay(&mut self, payment: &Payment) {
        self.cash[payment.currency.index()] += payment.amount.units();
    }

    /// Cash and positions in a currency.
    fn pool(&self, currency: usize) -> i128 {
        let values = (0..3).filter(|symbol| self.quote(*symbol) == currency);
        let values =
            values.map(|symbol| nearest(self.closes[symbol].unwrap_or(0) * self.held[symbol], ONE));
        self.cash[currency] + values.sum::<i128>()
    }

    fn rates(&self) -> Vec<Option<Fraction>> {
        let names = self.layout.currencies().iter();
        names
            .map(|name| self.layout.rate(name, self.closes))
            .collect()
    }

    /// What amounts of all currencies are worth together; nothing where a rate is not known.
    fn worth(&self, amounts: impl Iterator<Item = i128>) -> i128 {
        let worths = amounts.zip(self.rates());
        worths
            .map(|(amount, rate)| worth(amount, rate.unwrap_or((0, 1))))
            .sum()
    }

    fn equity(&self) -> i128 {
        self.worth((0..self.cash.len()).map(|one| self.pool(one)))
    }

    /// Takes in what closes up to `now`; what revaluation made of what there was before.
    fn close(&mut self, now: Timestamp) -> i128 {
        // Closes of the steps before the account had a value count, too.
        while let Some((_, bars)) = self.steps.next_if(|(at, _)| *at <= now) {
            for (known, bar) in self.closes.iter_mut().zip(bars) {
                *known = bar.map(|bar| units(bar.close)).or(*known);
            }
        }
        let rates = self.rates();
        let pools: Vec<i128> = (0..self.cash.len()).map(|one| self.pool(one)).collect();
        let Some((pools, old)) = self.before.replace((pools, rates.clone())) else {
            return 0;
        };
        let of = |rate: Option<Fraction>| rate.unwrap_or((0, 1));
        let all = pools.iter().zip(old).zip(rates);
        all.map(|((pool, old), new)| worth(*pool, of(new)) - worth(*pool, of(old)))
            .sum()
    }

    /// Compares with what an account says of itself.
    fn check(&self, equity: Cash, cash: Cash, what: &dyn std::fmt::Debug) {
        assert_eq!(equity.units(), self.equity(), "equity of {what:?}");
        let whole = self.worth(self.cash.iter().copied());
        assert_eq!(cash.units(), whole, "cash of {what:?}");
    }
}

/// Plays the journal against the second ledger, with the market's closes; what revaluation made of
/// what there was before each step, by step.
pub(super) fn check_journal(
    (layout, config): (Layout, &SessionConfig),
    market: &Market,
    journal: &[u8],
) -> Vec<i128> {
    let InitialCash::Each(amounts) = &config.portfolio.initial_cash else {
        panic!("the accounts here have tables");
    };
    let initial = layout.currencies().iter();
    let initial = initial.map(|name| units(amounts.get(*name).copied().unwrap_or(0.0)));
    let mut ledger = Ledger::new(layout, market, initial.collect());
    let mut revalued = Vec::new();
    for entry in read_entries(journal).map(Result::unwrap) {
        match &entry.event {
            Event::Marked {
                equity,
                cash,
                balances,
                ..
            } => {
                revalued.push(ledger.close(entry.at));
                let told: Vec<i128> = balances.iter().map(|one| one.units()).collect();
                assert_eq!(told, ledger.cash, "cash of {entry:?}");
                ledger.check(*equity, *cash, &entry);
            }
            Event::OrderFilled(fill) => ledger.fill(fill),
            Event::Paid(payment) => ledger.pay(payment),
            _ => {}
        }
    }
    revalued
}

/// Plays the fills and payments of a result against the second ledger, as [`check_journal`] does
/// those of a journal. An account that owes nothing never has less than nothing of any currency.
pub(super) fn check_result(
    (layout, owes): (Layout, bool),
    market: &Market,
    result: &BacktestResult,
) -> Vec<i128> {
    let initial = result.currencies.initial().iter().map(|one| one.units());
    let mut ledger = Ledger::new(layout, market, initial.collect());
    let mut fills = result.fill_steps.iter().zip(&result.fills).peekable();
    let mut payments = result.payments.iter().peekable();
    let mut revalued = Vec::new();
    for (step, point) in result.equity.iter().enumerate() {
        while let Some((_, fill)) = fills.next_if(|(at, _)| **at == step) {
            ledger.fill(fill);
        }
        while let Some((_, payment)) = payments.next_if(|(at, _)| *at == step) {
            ledger.pay(payment);
        }
        let is_owing = ledger.cash.iter().any(|cash| *cash < 0);
        assert!(owes || !is_owing, "step {step}: {:?}", ledger.cash);
        revalued.push(ledger.close(point.at));
        ledger.check(point.equity, point.cash, point);
    }
    assert_eq!((fills.next(), payments.next()), (None, None));
    revalued
}

/// Every step's flows are its change of equity, and the currencies' part is what revaluation makes
/// of what there was, but for the units that rounding leaves.
pub(super) fn check_flows(
    market: &Market,
    config: &SessionConfig,
    (result, revalued): (&BacktestResult, &[i128]),
) -> Flows {
    let mut before = result.initial_cash;
    attribute(market, config, result, &mut |step| {
        let mut all = step.account;
        step.symbols.iter().for_each(|one| all += one.flows);
        let point = result.equity[step.step];
        assert_eq!(all.net(), point.equity - before, "step {}", step.step);
        before = point.equity;
        // Ten amounts of three symbols and the interest, each half a unit, and two totals.
        let off = (step.account.currency.units() - revalued[step.step]).abs();
        assert!(off <= 40, "step {}: off by {off} units", step.step);
    })
    .unwrap();
    let total = total_flows(market, config, result).unwrap();
    assert_eq!(total.net(), result.final_equity() - result.initial_cash);
    // Fills of a step are put into the reporting currency one by one there, and together here.
    let off = (total.turnover - result.costs.turnover)
        .units()
        .unsigned_abs();
    assert!(
        off <= u128::from(total.fills),
        "turnover is off by {off} units"
    );
    total
}

/// In each currency, the book's profits less its fees, with its payments, are the change.
pub(super) fn check_books(market: &Market, result: &BacktestResult) {
    for (currency, book) in (0..).map(CurrencyId).zip(&result.books) {
        let open = result.open_positions.iter();
        let own: Vec<_> = open
            .filter(|one| result.currencies.quote(one.symbol) == currency)
            .collect();
        let unrealised: Cash = own.iter().map(|one| one.unrealised).sum();
        let values: Cash = own
            .iter()
            .map(|one| {
                let bars = &market.get(one.symbol).unwrap().bars;
                let last = result.equity.last().unwrap().at;
                let known = bars.partition_point(|bar| bar.closed_at <= last);
                Price::from_f64(bars[known - 1].close)
                    .unwrap()
                    .times(one.quantity)
            })
            .sum();
        let paid = book.funding + book.interest + book.insurance;
        let explained = book.realised + unrealised - book.fees + paid;
        assert_eq!(book.cash + values - book.initial, explained, "{currency:?}");
    }
}
