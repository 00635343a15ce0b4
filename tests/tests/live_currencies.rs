//! A live session of an account with several currencies: bars come one by one, a loaded plugin
//! answers rows that are made as they close, and in the middle everything ends and starts again
//! from what lies on the disk. It leaves the journal of a backtest of the same bars, byte by byte.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::collections::BTreeMap;

use fusebox_engine::backtest::{
    BacktestError, BacktestSpec, PrecomputedSignals, StreamSpec, Streamed, run_backtest, run_stream,
};
use fusebox_engine::execution::{ExecutionConfig, FundingConfig};
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet, extract};
use fusebox_engine::fusion::{FusionConfig, ModelInfo, ModelRef, Prediction};
use fusebox_engine::journal::{Event, JsonLines, read_entries, replay};
use fusebox_engine::portfolio::{InitialCash, MarginConfig, MarginMode, PortfolioConfig};
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId, Timestamp};
use fusebox_loader::live::ModelSpec;
use fusebox_loader::{PackageSpec, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_services::serving::{KeptState, LiveRows, LiveSignals, ModelServer};
use fusebox_tests::fixtures::compile;
use fusebox_tests::live::Machine;

const PLUGIN: &str = "com.example.direction-c";
const HOUR: i64 = 3_600_000_000_000;
const HOURS: i64 = 400;
/// A power of two, so that the plugin's product has no rounding of its own.
const GAIN: f32 = 16.0;
const FEATURE: &str = "log_return(6)";
const NO_GAP: ExtractOptions = ExtractOptions { max_gap_bars: 0 };

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanos(hour * HOUR)
}

/// Bitcoins in dollars, which begin three hours late and are silent for a while, ether in bitcoins,
/// and ether in dollars.
fn market() -> Market {
    let price = |symbol: usize, hour: i64| {
        let wave = (hour as f64 * (0.21 + 0.04 * symbol as f64)).sin();
        let drift = (hour as f64 * 0.017 + symbol as f64).cos();
        [60_000.0, 0.05, 3_000.0][symbol] * (1.0 + 0.012 * wave + 0.05 * drift)
    };
    let is_there = |symbol: usize, hour: i64| match symbol {
        0 => hour >= 3 && !(180..186).contains(&hour),
        1 => hour % 53 != 7,
        _ => hour % 41 != 11,
    };
    let series = ["BTCUSDT", "ETHBTC", "ETHUSDT"].iter().enumerate();
    let series = series.map(|(symbol, name)| {
        let bar = |hour: i64| {
            let (open, close) = (price(symbol, hour), price(symbol, hour + 1));
            Bar {
                opened_at: at(hour),
                closed_at: at(hour + 1),
                open,
                high: open.max(close) * 1.004,
                low: open.min(close) * 0.996,
                close,
                volume: 50.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        };
        BarSeries {
            name: (*name).to_owned(),
            time_frame: "1h".parse().unwrap(),
            bars: (0..HOURS)
                .filter(|hour| is_there(symbol, *hour))
                .map(bar)
                .collect(),
        }
    });
    Market::new(series.collect()).unwrap()
}

/// What closes at `hour`, as a market of its own.
fn closing(market: &Market, hour: i64) -> Market {
    let series = market.series().iter().map(|series| {
        let closes = |bar: &&Bar| bar.closed_at == at(hour);
        BarSeries {
            bars: series.bars.iter().filter(closes).copied().collect(),
            ..series.clone()
        }
    });
    Market::new(series.collect()).unwrap()
}

fn config() -> SessionConfig {
    let amounts = [("USDT", 20_000.0), ("BTC", 0.25)];
    let amounts = amounts.map(|(name, amount)| (name.to_owned(), amount));
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.25,
            exit_threshold: 0.05,
            minimum_holding_bars: 2,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection {
                stop_loss: Some(0.03),
                ..Protection::default()
            },
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.6),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(2.5),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.9),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-4,
            tick_size: 1e-6,
            spread_bps: 2.0,
            latency_ms: 250,
            borrow_annual_bps: 500.0,
            funding: Some(FundingConfig {
                interval_hours: 8,
                rate_bps: 1.0,
            }),
            ..ExecutionConfig::costing(5.0, 1.0)
        },
        portfolio: PortfolioConfig {
            initial_cash: InitialCash::Each(amounts.into_iter().collect()),
            allow_short: true,
            currency: Some("USDT".to_owned()),
            max_rate_age_bars: Some(3),
            margin: Some(MarginConfig {
                mode: MarginMode::Cross,
                leverage: 4.0,
                maintenance: 0.02,
                liquidation_fee_bps: 30.0,
            }),
            ..PortfolioConfig::with_cash(1.0)
        },
    }
}

/// A process that trades: its model is loaded, its rows go on from what is kept.
fn live(machine: &Machine, market: &Market) -> LiveSignals {
    let mut spec = ModelSpec::of_plugin("direction", PLUGIN, Config::new());
    spec.swap.probation.rows = 4;
    let model = machine.add(spec);
    let context = FeatureContext::of(market);
    let names = [FEATURE.to_owned()];
    let set = FeatureSet::parse(&names, &context).unwrap();
    let kept = KeptState::of_model(&machine.state(), "direction");
    let kept = kept.resume(&set, &context, NO_GAP, 1).unwrap();
    let rows = kept.unwrap_or_else(|| LiveRows::new(&set, &context, NO_GAP, 1).unwrap());
    let server = ModelServer::new("direction", model, rows, &names).unwrap();
    LiveSignals::new("direction", server).unwrap()
}

/// What a journal that was cut off tells: the models, their answers by closing time, and the last
/// step.
#[derive(Default)]
struct Recorded {
    models: Vec<ModelInfo>,
    answers: BTreeMap<Timestamp, Vec<Option<Prediction>>>,
    last: Option<Timestamp>,
}

impl Recorded {
    fn of(journal: &[u8]) -> Self {
        let mut recorded = Self::default();
        for entry in read_entries(journal).map(Result::unwrap) {
            recorded.last = Some(entry.at);
            match entry.event {
                Event::SessionStarted { models, .. } => recorded.models = models,
                Event::Predicted {
                    symbol,
                    model,
                    probabilities,
                    predicted_at_ns: None,
                } => {
                    let answers = recorded.answers.entry(entry.at).or_default();
                    answers.push(Some(Prediction {
                        symbol,
                        closed_at: entry.at,
                        probabilities: probabilities.map(Option::unwrap),
                        model,
                    }));
                }
                _ => {}
            }
        }
        recorded
    }
}

/// Live answers after those of a journal. The state of the rows is kept now and then.
struct Trader<'a> {
    live: LiveSignals,
    /// Those of the journal, then the generations of this process once they answer.
    models: Vec<ModelInfo>,
    recorded: Recorded,
    kept: KeptState,
    /// Hours after which the state is kept.
    keeps: &'a [i64],
}

impl<'a> Trader<'a> {
    fn new(machine: &Machine, market: &Market, (recorded, keeps): (Recorded, &'a [i64])) -> Self {
        let live = live(machine, market);
        let models = match recorded.models.is_empty() {
            true => live.models().to_vec(),
            false => recorded.models.clone(),
        };
        Self {
            live,
            models,
            recorded,
            kept: KeptState::of_model(&machine.state(), "direction"),
            keeps,
        }
    }
}

/// Answers without the models that gave them.
fn said(answers: &[Option<Prediction>]) -> Vec<(SymbolId, [f32; 3])> {
    let answers = answers.iter().flatten();
    answers.map(|one| (one.symbol, one.probabilities)).collect()
}

impl SignalSource for Trader<'_> {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        let seen = self.live.server().rows().last_step_at();
        let is_shown = seen.is_none_or(|seen| closed_at > seen);
        if is_shown {
            self.live.predict(closed_at, bars, answers)?;
        }
        if self.recorded.last.is_some_and(|last| closed_at <= last) {
            // A bar that the rows are shown again comes to what it came to before.
            let told = self.recorded.answers.remove(&closed_at).unwrap_or_default();
            assert!(!is_shown || said(&answers.predictions) == said(&told));
            answers.predictions = told;
        } else {
            let before = u32::try_from(self.recorded.models.len()).unwrap();
            for one in answers.predictions.iter_mut().flatten() {
                one.model.0 += before;
            }
            self.models = [&self.recorded.models, self.live.models()].concat();
        }
        if self.keeps.contains(&(closed_at.as_nanos() / HOUR)) {
            self.kept.keep(self.live.server().rows()).unwrap();
        }
        Ok(())
    }
}

/// Trades bar by bar until the process dies before the bar of `dies_at`.
fn trade(
    machine: &Machine,
    market: &Market,
    (recorded, dies_at, keeps): (Recorded, i64, &[i64]),
) -> (Result<Streamed, BacktestError>, Vec<u8>, Vec<ModelInfo>) {
    let mut trader = Trader::new(machine, market, (recorded, keeps));
    let config = config();
    let symbols: Vec<String> = market.names().map(str::to_owned).collect();
    let spec = StreamSpec {
        symbols: &symbols,
        time_frame: market.time_frame(),
        config: &config,
        config_digest: "live",
    };
    let mut hours = 1..=HOURS;
    let next = || match hours.next() {
        Some(hour) if hour == dies_at => Err("the process died".to_owned()),
        hour => Ok(hour.map(|hour| closing(market, hour))),
    };
    let mut journal = JsonLines::new(Vec::new());
    let ended = run_stream(&spec, next, &mut trader, &mut journal, |_| ());
    let models = trader.models().to_vec();
    (ended, journal.into_inner().unwrap(), models)
}

/// Answers that were made at once from the whole history, over every step; the second model appears
/// after the hour at which the first process dies.
struct Table {
    signals: PrecomputedSignals,
    known: usize,
}

const DIES_AFTER: i64 = 200;

impl SignalSource for Table {
    fn models(&self) -> &[ModelInfo] {
        &self.signals.models()[..self.known]
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        self.known = 1 + usize::from(closed_at > at(DIES_AFTER));
        self.signals.predict(closed_at, bars, answers)
    }
}

/// What the plugin answers, made here from the features of the whole history.
fn table(market: &Market, models: Vec<ModelInfo>) -> Table {
    let set = FeatureSet::parse(&[FEATURE.to_owned()], &FeatureContext::of(market)).unwrap();
    let mut predictions = Vec::new();
    let matrices = extract(&set, market, NO_GAP).unwrap();
    for (symbol, matrix) in (0..).map(SymbolId).zip(matrices) {
        for row in (0..matrix.rows()).filter(|row| matrix.is_valid[*row]) {
            let up = (0.5 + GAIN * matrix.row(row)[0]).clamp(0.0, 1.0);
            let closed_at = matrix.closed_at[row];
            predictions.push(Prediction {
                symbol,
                closed_at,
                probabilities: [1.0 - up, 0.0, up],
                model: ModelRef(u32::from(closed_at > at(DIES_AFTER))),
            });
        }
    }
    Table {
        signals: PrecomputedSignals::new(market, models, predictions).unwrap(),
        known: 1,
    }
}

#[test]
fn a_live_session_that_is_restarted_leaves_the_journal_of_its_backtest() {
    let market = market();
    let machine = Machine::new();
    let gain = format!("-DDIRECTION_BY_ROW={GAIN:.1}f");
    let library = compile("direction-c/direction.c", &[&gain], machine.root.path());
    write_package(&machine.plugins(), &PackageSpec::new(library)).unwrap();

    // It dies seven bars after its state was kept, in the middle of open positions.
    let nothing = Recorded::default();
    let until = (nothing, DIES_AFTER + 1, &[90, 193][..]);
    let (died, before, _) = trade(&machine, &market, until);
    assert!(matches!(died, Err(BacktestError::Bars(_))), "{died:?}");
    let Machine { root, supervisor } = machine;
    drop(supervisor);
    let machine = Machine::on(root, |_| {});
    let recorded = Recorded::of(&before);
    assert_eq!(recorded.last, Some(at(DIES_AFTER)));
    let (ended, whole, models) = trade(&machine, &market, (recorded, i64::MAX, &[]));
    let ended = ended.unwrap();
    let [first, second] = &models[..] else {
        panic!("{models:?}");
    };
    assert_eq!((first.generation, second.generation), (1, 2));
    assert_eq!(
        first.digest, second.digest,
        "the same library is live again"
    );
    assert!(
        whole.starts_with(&before),
        "what was journaled is what comes again"
    );

    let spec = BacktestSpec {
        market: &market,
        config: &config(),
        config_digest: "live",
    };
    let mut journal = JsonLines::new(Vec::new());
    let expected = run_backtest(&spec, &mut table(&market, models), &mut journal).unwrap();
    assert!(
        whole == journal.into_inner().unwrap(),
        "the journals differ"
    );
    assert_eq!(ended.journal_digest, expected.journal_digest);
    assert_eq!(
        (ended.books, ended.waited_steps),
        (expected.books.clone(), 3)
    );

    let replayed = replay(whole.as_slice(), ended.journal_digest.as_deref()).unwrap();
    assert_eq!(replayed.fills, expected.fills);
    let after = |fill: &&fusebox_engine::execution::Fill| fill.filled_at > at(DIES_AFTER);
    let of = |currency: usize| {
        let fills = expected.fills.iter();
        fills.filter(move |fill| fill.currency.index() == currency)
    };
    for currency in [0, 1] {
        let later = of(currency).filter(after).count();
        assert!(
            later > 5 && of(currency).count() > later + 5,
            "{currency}: {later}"
        );
    }
    let btc = &expected.books[1];
    assert!(!btc.funding.is_zero() && !btc.interest.is_zero() && !btc.fees.is_zero());
}
