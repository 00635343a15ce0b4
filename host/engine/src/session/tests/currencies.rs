//! Accounts of several currencies: a second ledger in plain whole numbers, worked examples, and
//! everything that reads a session's results or its journal.

use std::collections::BTreeMap;

use super::*;
use crate::backtest::{
    Flows, Rule, RuleSignals, StreamSpec, SweepTable, attribute, buy_and_hold, flat, reexecute,
    run_stream, total_flows,
};
use crate::execution::{FundingConfig, SymbolConfig};
use crate::portfolio::{InitialCash, MarginConfig, MarginMode, RateConfig};

const ONE: i128 = 100_000_000;

/// Above and below the line.
type Fraction = (i128, i128);

/// The ways in which the rate of Y, and of Z where there is one, is known.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
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

    fn currencies(self) -> &'static [&'static str] {
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
            (Self::Hop, _) => Some((closes[0]? * closes[1]?, ONE * ONE)),
            (Self::Fixed, _) => Some((5, 4)),
        }
    }
}

fn layout() -> impl Generator<Value = Layout> {
    use Layout::{Direct, Fixed, Hop, Inverted};
    prop::sample::select(vec![Direct, Inverted, Hop, Fixed])
}

/// Spot, unlimited, cross or isolated.
fn account(layout: Layout, kind: u8) -> SessionConfig {
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

fn worth(amount: i128, (above, below): Fraction) -> i128 {
    nearest(amount * above, below)
}

/// Cash and quantities in plain whole numbers, by the journal alone.
struct Ledger {
    layout: Layout,
    cash: Vec<i128>,
    held: [i128; 3],
    closes: [Option<i128>; 3],
}

impl Ledger {
    fn new(layout: Layout, config: &SessionConfig) -> Self {
        let InitialCash::Each(amounts) = &config.portfolio.initial_cash else {
            panic!("the accounts here have tables");
        };
        let cash = layout.currencies().iter().map(|name| {
            let amount = amounts.get(*name).copied().unwrap_or(0.0);
            (amount * 1e8).round() as i128
        });
        Self {
            layout,
            cash: cash.collect(),
            held: [0; 3],
            closes: [None; 3],
        }
    }

    fn quote(&self, symbol: usize) -> usize {
        let quote = self.layout.pairs()[symbol].1;
        let own = self.layout.currencies().iter();
        own.into_iter().position(|name| *name == quote).unwrap()
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::OrderFilled(fill) => {
                let at = fill.symbol.index();
                let quote = self.quote(at);
                assert_eq!(fill.currency.index(), quote);
                let value = nearest(fill.price.units() * fill.quantity.units(), ONE);
                self.cash[quote] -= value + fill.fee.units();
                self.held[at] += fill.quantity.units();
            }
            Event::Paid(payment) => {
                self.cash[payment.currency.index()] += payment.amount.units();
            }
            _ => {}
        }
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

    fn equity(&self) -> i128 {
        let rates = self.rates().into_iter().enumerate();
        rates
            .map(|(currency, rate)| worth(self.pool(currency), rate.unwrap_or((0, 1))))
            .sum()
    }
}

/// Plays the journal against the second ledger, with the market's closes; what revaluation made of
/// what there was before each step, by step.
fn check_journal(
    (layout, config): (Layout, &SessionConfig),
    market: &Market,
    journal: &[u8],
) -> Vec<i128> {
    let mut ledger = Ledger::new(layout, config);
    let mut revalued = Vec::new();
    let mut before: Option<(Vec<i128>, Vec<Option<Fraction>>)> = None;
    let entries: Vec<JournalEntry> = read_entries(journal).map(Result::unwrap).collect();
    let mut steps = market.steps().peekable();
    for entry in &entries {
        if let Event::Marked {
            equity,
            cash,
            balances,
            ..
        } = &entry.event
        {
            // Closes of the steps before the account had a value count, too.
            while let Some((_, bars)) = steps.next_if(|(at, _)| *at <= entry.at) {
                for (known, bar) in ledger.closes.iter_mut().zip(bars) {
                    *known = bar.map(|bar| (bar.close * 1e8).round() as i128).or(*known);
                }
            }
            let told: Vec<i128> = balances.iter().map(|one| one.units()).collect();
            assert_eq!(told, ledger.cash, "cash of {entry:?}");
            assert_eq!(equity.units(), ledger.equity(), "equity of {entry:?}");
            let rates = ledger.rates();
            let whole = ledger.cash.iter().zip(&rates);
            let whole = whole.map(|(cash, rate)| worth(*cash, rate.unwrap_or((0, 1))));
            assert_eq!(cash.units(), whole.sum::<i128>());
            let pools: Vec<i128> = (0..ledger.cash.len()).map(|one| ledger.pool(one)).collect();
            if let Some((pools, old)) = before.replace((pools, rates.clone())) {
                let all = pools.iter().zip(old).zip(rates);
                let of = |rate: Option<Fraction>| rate.unwrap_or((0, 1));
                revalued.push(
                    all.map(|((pool, old), new)| worth(*pool, of(new)) - worth(*pool, of(old)))
                        .sum(),
                );
            } else {
                revalued.push(0);
            }
        }
        ledger.take(&entry.event);
    }
    revalued
}

/// Every step's flows are its change of equity, and the currencies' part is what revaluation makes
/// of what there was, but for the units that rounding leaves.
fn check_flows(
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
        if let Some(expected) = revalued.get(step.step) {
            // Ten amounts of three symbols and the interest, each half a unit, and two totals.
            let off = (step.account.currency.units() - expected).abs();
            assert!(off <= 40, "step {}: off by {off} units", step.step);
        }
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
fn check_books(market: &Market, result: &BacktestResult) {
    for (currency, book) in (0..).map(crate::types::CurrencyId).zip(&result.books) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_unit_of_any_currency_is_lost(table in table(), layout in layout(), kind in 0u8..4) {
        let config = account(layout, kind);
        let market = market(&table);
        let (result, journal) = backtest(&config, &table);
        if result.equity.is_empty() {
            return Ok(());
        }
        let revalued = check_journal((layout, &config), &market, &journal);
        check_flows(&market, &config, (&result, &revalued));
        check_books(&market, &result);
        let replayed = replay(journal.as_slice(), result.journal_digest.as_deref()).unwrap();
        prop_assert_eq!(&replayed.fills, &result.fills);
        prop_assert_eq!(replayed.portfolio.initial_cash(), result.initial_cash);
        let cash = |books: &[crate::portfolio::CurrencyBook]| -> Vec<Cash> {
            books.iter().map(|book| book.cash).collect()
        };
        prop_assert_eq!(cash(replayed.portfolio.books()), cash(&result.books));
        let again = reexecute(&market, &config, journal.as_slice()).unwrap();
        prop_assert_eq!(&again.differences, &Vec::<String>::new());
        prop_assert_eq!(again.cash_differences, vec![Cash::ZERO; layout.currencies().len()]);
        for other in [buy_and_hold(&market, &config, None), flat(&market, &config, None)] {
            let other = other.unwrap();
            check_flows(&market, &config, (&other, &[]));
            check_books(&market, &other);
        }
    }

    #[test]
    fn what_comes_later_changes_nothing_before(
        table in table(),
        layout in layout(),
        kind in 0u8..4,
        part in 0.0..1.0f64,
    ) {
        let config = account(layout, kind);
        let (_, whole) = backtest(&config, &table);
        let count = ((table.len() as f64 * part) as usize).max(1);
        let (_, cut) = backtest(&config, &table[..count]);
        let hour = count as i64;
        let kept = |journal: &[u8]| -> Vec<JournalEntry> {
            let lines = lines_until(journal, hour).into_iter();
            lines.filter(|entry| !is_session_end(entry)).collect()
        };
        prop_assert_eq!(kept(&whole), kept(&cut));
    }

    #[test]
    fn blocks_of_a_stream_come_to_what_the_whole_comes_to(
        table in table(),
        layout in layout(),
        kind in 0u8..4,
    ) {
        let config = account(layout, kind);
        let market = market(&table);
        let rule = || {
            let rule = Rule::MomentumCrossover { fast_bars: 2, slow_bars: 4 };
            RuleSignals::new(rule, 3, None)
        };
        let spec = BacktestSpec { market: &market, config: &config, config_digest: "d" };
        let mut journal = JsonLines::new(Vec::new());
        let expected = run_backtest(&spec, &mut rule(), &mut journal).unwrap();
        let symbols: Vec<String> = market.names().map(str::to_owned).collect();
        let spec = StreamSpec {
            symbols: &symbols,
            time_frame: market.time_frame(),
            config: &config,
            config_digest: "d",
        };
        let mut hours = 1..=table.len() as i64;
        let next = || Ok(hours.next().map(|hour| {
            let series = market.series().iter().map(|series| BarSeries {
                bars: series
                    .bars
                    .iter()
                    .filter(|bar| bar.closed_at.as_nanos() == hour * HOUR)
                    .copied()
                    .collect(),
                ..series.clone()
            });
            Market::new(series.collect()).unwrap()
        }));
        let mut journal = JsonLines::new(Vec::new());
        let found = run_stream(&spec, next, &mut rule(), &mut journal, |_| ()).unwrap();
        prop_assert_eq!(&found.journal_digest, &expected.journal_digest);
        prop_assert_eq!(found.final_equity, expected.final_equity());
        prop_assert_eq!(found.costs, expected.costs);
        prop_assert_eq!(found.books, expected.books);
        prop_assert_eq!(found.initial_cash, expected.initial_cash);
    }
}

/// A property over accounts to which nothing happens would hold of anything.
#[test]
fn the_random_accounts_reach_what_they_are_about() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..150 {
        let made = (table(), layout(), 0u8..4).new_tree(&mut runner).unwrap();
        let (table, layout, kind) = made.current();
        let config = account(layout, kind);
        let market = market(&table);
        let (result, _) = backtest(&config, &table);
        if result.equity.is_empty() {
            *seen.entry("never valued").or_default() += 1;
            continue;
        }
        let total = total_flows(&market, &config, &result).unwrap();
        let foreign = |fill: &&Fill| !fill.currency.is_reporting();
        let waited = market.steps().next().unwrap().0 < result.equity[0].at;
        let facts = [
            (
                "filled in another currency",
                result.fills.iter().any(|one| foreign(&one)),
            ),
            ("currency effect", !total.currency.is_zero()),
            ("interest", !total.interest.is_zero()),
            ("funding", !total.funding.is_zero()),
            ("liquidation", !total.liquidation.is_zero()),
            ("no rate", result.refusals.contains_key(&Refusal::NoRate)),
            ("waited for rates", waited),
        ];
        for (name, _) in facts.iter().filter(|(_, is)| *is) {
            *seen.entry(name).or_default() += 1;
        }
    }
    for name in [
        "filled in another currency",
        "currency effect",
        "interest",
        "funding",
        "liquidation",
        "no rate",
        "waited for rates",
    ] {
        assert!(seen.contains_key(name), "{name} is not in {seen:?}");
    }
}

/// Closes of each hour for three symbols, with a score for the second now and then.
fn quiet(hours: &[([Option<f64>; 3], Option<f32>)]) -> Vec<[Cell; 3]> {
    let cells = |(closes, score): &([Option<f64>; 3], Option<f32>)| {
        [0, 1, 2].map(|symbol| Cell {
            open: closes[symbol],
            close: closes[symbol].unwrap_or(1.0),
            score: score.filter(|_| symbol == 1),
        })
    };
    hours.iter().map(cells).collect()
}

/// Without costs, so that a reader can follow every number.
fn plain(kind: u8) -> SessionConfig {
    let mut config = account(Layout::Direct, kind);
    config.execution = ExecutionConfig {
        symbols: config.execution.symbols.clone(),
        lot_size: 0.001,
        ..ExecutionConfig::costing(0.0, 0.0)
    };
    config.risk.position_fraction = Some(0.5);
    config.strategy.minimum_holding_bars = 0;
    config.portfolio.max_rate_age_bars = Some(3);
    config
}

#[test]
fn equity_a_purchase_and_a_fall_of_the_currency_worked_by_hand() {
    // The account begins with 10,000 X and 150 Y of 20 X each: 13,000 X. Half of it is 6,500 X or
    // 325 Y at 20, so the spot account's 150 Y buy 15 at 10, the rest is cut. Then Y falls to 16:
    // 150 Y x 4 X are lost; then the position rises to 11, which makes 15 Y of 16 X.
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        ([Some(16.0), Some(10.0), Some(1.0)], None),
        ([Some(16.0), Some(11.0), Some(1.0)], Some(0.9)),
    ]);
    let (result, _) = backtest(&config, &table);
    let equity: Vec<String> = result
        .equity
        .iter()
        .map(|one| one.equity.to_string())
        .collect();
    assert_eq!(equity, ["13000", "13000", "12400", "12640"]);
    let cash: Vec<String> = result
        .equity
        .iter()
        .map(|one| one.cash.to_string())
        .collect();
    assert_eq!(cash, ["13000", "10000", "10000", "10000"]);
    assert_eq!(result.fills.len(), 1);
    assert_eq!(result.fills[0].quantity.to_string(), "15");
    assert_eq!(result.fills[0].currency.index(), 1);
    assert_eq!(result.costs.turnover.to_string(), "3000");
    let market = market(&table);
    let total = total_flows(&market, &config, &result).unwrap();
    assert_eq!(
        (total.gross.to_string(), total.currency.to_string()),
        ("240".into(), "-600".into())
    );
    let exposure: Vec<String> = result
        .equity
        .iter()
        .map(|one| one.gross_exposure.to_string())
        .collect();
    assert_eq!(exposure, ["0", "3000", "2400", "2640"]);
    // Doing nothing: 10,000 X and 150 Y. Holding: a third of 13,000 X in each symbol, 216.666.. Y
    // in S1, whose lots of 0.001 at 10 take 216.66; 4333.33333333 X in S0 at 20, in S2 at 1.
    let idle = flat(&market, &config, None).unwrap();
    let equity: Vec<String> = idle
        .equity
        .iter()
        .map(|one| one.equity.to_string())
        .collect();
    assert_eq!(equity, ["13000", "13000", "12400", "12400"]);
    let held = buy_and_hold(&market, &config, None).unwrap();
    let equity: Vec<String> = held
        .equity
        .iter()
        .map(|one| one.equity.to_string())
        .collect();
    // 216.666 S0 lose 4 each; 216.66666666 Y lose 4 each: -866.664 - 866.66666664. Then 21.666 Y
    // of 16.
    assert_eq!(
        equity,
        ["13000", "13000", "11266.66933336", "11613.32533336"]
    );
}

#[test]
fn risk_counts_in_the_reporting_currency_and_so_do_its_breakers() {
    // 13,000 X; an account that may borrow buys the whole 325 Y's worth, 32.5 at 10. Y falls from
    // 20 to 2: 150 Y and a position that is borrowed for. 10,000 + 150 x 2 = 10,300: a fall of 20.8
    // per cent trips the breaker at a fifth, and the position is closed at the next open.
    let mut config = plain(1);
    config.risk.max_drawdown = Some(0.2);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        ([Some(2.0), Some(10.0), Some(1.0)], None),
        ([Some(2.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (result, _) = backtest(&config, &table);
    let equity: Vec<String> = result
        .equity
        .iter()
        .map(|one| one.equity.to_string())
        .collect();
    assert_eq!(equity, ["13000", "13000", "10300", "10300"]);
    let fills: Vec<String> = result
        .fills
        .iter()
        .map(|one| one.quantity.to_string())
        .collect();
    assert_eq!(fills, ["32.5", "-32.5"]);
    assert!(result.breaker_tripped);
    let cash: Vec<String> = result
        .books
        .iter()
        .map(|one| one.cash.to_string())
        .collect();
    assert_eq!(cash, ["10000", "150"]);
    // An order may be worth 5,000 X at most, and 6,500 are wanted.
    config.risk.max_order_notional = Some(5_000.0);
    let (result, _) = backtest(&config, &table);
    assert_eq!(result.refusals[&Refusal::OrderNotional], 1);
}

#[test]
fn a_rate_that_arrives_late_is_waited_for_and_one_that_is_too_old_opens_nothing() {
    // Nobody knows what 150 Y are worth before S0 trades, in hour 2; its close in hour 1 of others
    // changes nothing. In hours 3 to 6 it is silent; after 3 bars it is too old to open by.
    let config = plain(0);
    let silent = |score| ([None, Some(10.0), Some(1.0)], score);
    let table = quiet(&[
        silent(Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], None),
        silent(None),
        silent(None),
        silent(None),
        silent(Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        silent(Some(0.9)),
    ]);
    let (result, journal) = backtest(&config, &table);
    assert_eq!(result.equity[0].at.as_nanos(), 2 * HOUR);
    assert_eq!(result.equity.len(), 7);
    assert_eq!(result.initial_cash.to_string(), "13000");
    assert_eq!(result.refusals[&Refusal::NoRate], 1);
    assert_eq!(result.fills.len(), 1, "bought after hour 7");
    let replayed = replay(journal.as_slice(), None).unwrap();
    assert_eq!(replayed.currencies.unwrap().rates, ["1", "S0"]);
    // An account that begins with X alone begins at once, and opens nothing in Y before hour 2.
    let mut only = plain(1);
    only.portfolio.initial_cash = 10_000.0.into();
    let (result, _) = backtest(&only, &table);
    assert_eq!(result.equity.len(), 8);
    assert_eq!(result.refusals[&Refusal::NoRate], 2);
}

#[test]
fn a_session_says_what_it_waits_for() {
    let config = plain(0);
    let mut session = Session::new(SessionSetup {
        config: &config,
        config_digest: String::new(),
        symbols: ["S0", "S1", "S2"].map(str::to_owned).to_vec(),
        time_frame: "1h".parse().unwrap(),
        models: vec![model()],
    })
    .unwrap();
    let other = bar(1, 10.0, 10.0);
    let input = StepInput {
        closed_at: Timestamp::from_nanos(HOUR),
        bars: &[None, Some(&other), None],
        fine: &[],
        predictions: &[],
        failures: &[],
    };
    let error = session
        .step(&input, &mut NullJournal)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("begins with Y") && error.contains("S0 has no bar"),
        "{error}"
    );
    let rate = bar(2, 20.0, 20.0);
    let input = StepInput {
        closed_at: Timestamp::from_nanos(2 * HOUR),
        bars: &[Some(&rate), None, None],
        ..input
    };
    let report = session.step(&input, &mut NullJournal).unwrap();
    assert_eq!(report.point.equity.to_string(), "13000");
    assert_eq!(report.rates.len(), 2);
}

#[test]
fn a_journal_whose_balances_or_rates_were_changed_is_found() {
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (_, journal) = backtest(&config, &table);
    let text = String::from_utf8(journal).unwrap();
    assert!(
        text.contains(r#""format":2"#) && text.contains(r#""rates":["1","S0"]"#),
        "{text}"
    );
    // Without the links, which would tell of any change at once.
    let unlinked = |from: &str, to: &str| -> String {
        let lines = text.lines().map(|line| {
            let (body, _) = line.split_once(",\"chain\"").unwrap();
            format!("{}}}\n", body.replace(from, to))
        });
        lines.collect()
    };
    assert!(replay(unlinked("-", "-").as_bytes(), None).is_ok());
    let broken = |from: &str, to: &str| {
        let found = replay(unlinked(from, to).as_bytes(), None);
        found.unwrap_err().to_string()
    };
    let balance = r#""balances":["10000","0"]"#;
    assert!(text.contains(balance), "{text}");
    let words = broken(balance, r#""balances":["10000","1"]"#);
    assert!(words.contains("has 1 Y, fills leave 0"), "{words}");
    let words = broken(r#"[20,1]"#, r#"[21,1]"#);
    assert!(
        words.contains("begins with 13000, its balances are worth 13150"),
        "{words}"
    );
    let words = broken(r#""currency":1,"#, "");
    assert!(words.contains("not that of its symbol"), "{words}");
}

#[test]
fn a_journal_is_carried_out_again_with_its_own_currencies_only() {
    let config = plain(0);
    let table = quiet(&[
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
        ([Some(20.0), Some(10.0), Some(1.0)], Some(0.9)),
    ]);
    let (_, journal) = backtest(&config, &table);
    let mut fixed = config.clone();
    let rate = ("Y".to_owned(), RateConfig::Fixed(20.0));
    fixed.portfolio.rates.extend([rate]);
    let error = reexecute(&market(&table), &fixed, journal.as_slice()).unwrap_err();
    assert!(
        error.to_string().contains("are not those of the journal"),
        "{error}"
    );
}

#[test]
fn a_sweep_refuses_several_currencies_and_says_so() {
    let config = plain(0);
    let table = quiet(&[([Some(20.0), Some(10.0), Some(1.0)], Some(0.9))]);
    let market = market(&table);
    let signals = signals(&table, &market);
    let models = [model()];
    let sweep = SweepTable::new(&market, &models, signals.predictions(), &config.fusion).unwrap();
    let words = sweep.run(&config).unwrap_err().to_string();
    assert!(
        words.contains("`portfolio.currency` there are several (X, Y)"),
        "{words}"
    );
}
