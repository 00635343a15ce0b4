//! A session whose model is replaced while it trades: no closing time goes unanswered, every order
//! names the generation that decided it, and a failing generation makes the fail-safe act.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_engine::backtest::{BacktestSpec, run_backtest};
use fusebox_engine::execution::{ExecutionConfig, OrderReason};
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet};
use fusebox_engine::fusion::{FusionConfig, ModelInfo};
use fusebox_engine::journal::{Event, JournalEntry, JsonLines, read_entries, replay};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::ports::{Answers, SignalError, SignalSource};
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_engine::types::{Bar, BarSeries, Market, Timestamp};
use fusebox_loader::guard::GuardPolicy;
use fusebox_loader::live::{
    LiveModel, ModelPackageSpec, ModelSpec, Occasion, Reason, State, write_model_package,
};
use fusebox_loader::{PackageSpec, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_services::serving::{LiveRows, LiveSignals, ModelServer, ServedRows};
use fusebox_tests::fixtures::compile;
use fusebox_tests::live::{self, Machine, known, value};

const PLUGIN: &str = "com.example.direction-c";
const HOUR: i64 = 3_600_000_000_000;
const STEPS: usize = 300;

/// Closing times at which a version is committed: it sends the position the other way.
const SECOND_AT: usize = 100;
const THIRD_AT: usize = 200;

/// Live answers of the third version that are errors.
const FAILS: std::ops::Range<usize> = 40..45;

fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.25,
            exit_threshold: 0.125,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: false,
            fail_safe: FailSafe::Flatten,
            entry: fusebox_engine::strategy::EntryOrder::Market,
            protection: fusebox_engine::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.5),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.9),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-8,
            tick_size: 1e-8,
            min_notional: 0.0,
            order_expiry_bars: 0,
            ..ExecutionConfig::costing(10.0, 1.0)
        },
        portfolio: PortfolioConfig {
            allow_short: false,
            margin: None,
            ..PortfolioConfig::with_cash(1_000.0)
        },
    }
}

fn market() -> Market {
    let at = |hour: usize| Timestamp::from_nanos(hour as i64 * HOUR);
    let bar = |hour: usize| Bar {
        opened_at: at(hour),
        closed_at: at(hour + 1),
        open: 100.0,
        high: 102.0,
        low: 99.0,
        close: 100.0 + (hour % 3) as f64,
        volume: 1.0,
        quote_volume: None,
        trades: None,
        taker_buy_volume: None,
    };
    // The first bar has no return yet, so that there are STEPS rows.
    let series = BarSeries {
        name: "A".to_owned(),
        time_frame: "1h".parse().unwrap(),
        bars: (0..=STEPS).map(bar).collect(),
    };
    Market::new(vec![series]).unwrap()
}

fn commit(root: &Path, build: &Path, version: &str, flags: &[&str]) -> PathBuf {
    let version = format!("-DDIRECTION_VERSION=\"{version}\"");
    let flags: Vec<&str> = std::iter::once(version.as_str())
        .chain(flags.iter().copied())
        .collect();
    let library = compile("direction-c/direction.c", &flags, build);
    write_package(root, &PackageSpec::new(library)).unwrap()
}

/// Live signals that have new versions committed at two closing times, and wait for each.
struct Scripted<'a> {
    signals: LiveSignals,
    machine: &'a Machine,
    step: usize,
}

impl Scripted<'_> {
    fn reload(&mut self, version: &str, flags: &[&str]) {
        let build = self.machine.root.path();
        commit(&self.machine.plugins(), build, version, flags);
        for _ in 0..4_000 {
            self.signals.poll();
            if self.signals.server().model().generation().version() == version {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{version} never went live:\n{}", self.machine.story());
    }
}

impl SignalSource for Scripted<'_> {
    fn models(&self) -> &[ModelInfo] {
        self.signals.models()
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        match self.step {
            SECOND_AT => self.reload("1.1.0", &["-DDIRECTION_UP=0.1f"]),
            THIRD_AT => {
                let from = format!("-DDIRECTION_FAIL_FROM={}", FAILS.start);
                let to = format!("-DDIRECTION_FAIL_TO={}", FAILS.end);
                self.reload("1.2.0", &[&from, &to]);
            }
            _ => {}
        }
        self.step += 1;
        self.signals.predict(closed_at, bars, answers)
    }
}

/// What a journal tells.
struct Told {
    added: Vec<ModelInfo>,
    predicted: usize,
    failed: usize,
    orders: Vec<(OrderReason, Option<String>)>,
}

/// Reads a journal; only the third version may fail.
fn tell(entries: &[JournalEntry]) -> Told {
    let mut added: Vec<ModelInfo> = Vec::new();
    let (mut predicted, mut failed) = (0, 0);
    let mut orders = Vec::new();
    for entry in entries {
        match &entry.event {
            Event::SessionStarted { models, .. } => added.extend(models.clone()),
            Event::ModelAdded { model, info } => {
                assert_eq!(model.index(), added.len());
                added.push(info.clone());
            }
            Event::Predicted { .. } => predicted += 1,
            Event::PredictionFailed { model, .. } => {
                failed += 1;
                assert_eq!(added[model.index()].version, "1.2.0");
            }
            Event::OrderApproved(order) => {
                let version = order
                    .model
                    .map(|model| added[model.index()].version.clone());
                orders.push((order.reason, version));
            }
            _ => {}
        }
    }
    Told {
        added,
        predicted,
        failed,
        orders,
    }
}

#[test]
fn a_session_goes_on_over_reloads_and_every_order_names_its_generation() {
    let machine = Machine::new();
    commit(&machine.plugins(), machine.root.path(), "1.0.0", &[]);
    let mut spec = ModelSpec::of_plugin("direction", PLUGIN, Config::new());
    spec.swap.probation.rows = 8;
    spec.guard = GuardPolicy {
        breaker: None,
        ..GuardPolicy::live()
    };
    let model = machine.add(spec);
    let market = market();
    let context = FeatureContext::of(&market);
    let names = ["log_return(1)".to_owned()];
    let set = FeatureSet::parse(&names, &context).unwrap();
    let rows = LiveRows::new(&set, &context, ExtractOptions::default(), 1).unwrap();
    let server = ModelServer::new("direction", model, rows, &names).unwrap();
    let signals = LiveSignals::new("direction", server).unwrap();
    let mut source = Scripted {
        signals,
        machine: &machine,
        step: 0,
    };

    let config = config();
    let spec = BacktestSpec {
        market: &market,
        config: &config,
        config_digest: "live",
    };
    let mut written = Vec::new();
    let mut journal = JsonLines::new(&mut written);
    run_backtest(&spec, &mut source, &mut journal).unwrap();
    let entries: Vec<JournalEntry> = read_entries(written.as_slice())
        .collect::<Result<_, _>>()
        .unwrap();

    let Told {
        added,
        predicted,
        failed,
        orders,
    } = tell(&entries);
    assert_eq!(
        (predicted, failed),
        (STEPS - FAILS.len(), FAILS.len()),
        "nothing is lost"
    );
    let versions: Vec<&str> = added.iter().map(|info| info.version.as_str()).collect();
    assert_eq!(versions, ["1.0.0", "1.1.0", "1.2.0"]);
    assert!(added.is_sorted_by(|a, b| a.generation < b.generation));
    let by = |version: &str| Some(version.to_owned());
    let expected = [
        (OrderReason::Entry, by("1.0.0")),
        (OrderReason::Exit, by("1.1.0")),
        (OrderReason::Entry, by("1.2.0")),
        (OrderReason::FailSafe, by("1.2.0")),
        (OrderReason::Entry, by("1.2.0")),
    ];
    assert_eq!(orders, expected, "\n{}", machine.story());
    replay(written.as_slice(), None).unwrap();
}

/// Commits weights that were trained on these features, of a model that answers the row itself.
fn commit_weights(machine: &Machine, number: &str, feature_set: Option<&str>, scaler: &str) {
    let spec = ModelPackageSpec {
        audit: None,
        name: "ema".to_owned(),
        version: number.to_owned(),
        plugin: live::EMA.to_owned(),
        plugin_version: None,
        params: Config::new().with("alpha", 1.0),
        artifact: number.as_bytes().to_vec(),
        feature_set: feature_set.map(str::to_owned),
        bars: None,
        scaler: scaler.as_bytes().to_vec(),
        readout: Vec::new(),
        golden: None,
        replace: false,
    };
    write_model_package(&machine.models(), &spec).unwrap();
}

fn feature_set(name: &str) -> FeatureSet {
    let context = FeatureContext::of(&market());
    FeatureSet::parse(&[name.to_owned()], &context).unwrap()
}

const SCALER: &str = r#"{"kind": "standard", "columns": ["log_return(1)"],
    "scales": [{"linear": {"center": "1", "scale": "2"}}]}"#;

#[test]
fn weights_that_were_trained_on_other_features_never_go_live() {
    let machine = Machine::new();
    live::commit(&machine.plugins(), &[&live::version("1.0.0")]);
    let (own, other) = (feature_set("log_return(1)"), feature_set("log_return(2)"));
    commit_weights(&machine, "1.0.0", Some(own.digest()), "");
    let rows = Arc::new(ServedRows::new());
    let options = ExtractOptions { max_gap_bars: 0 };
    rows.choose(&own, "1h".parse().unwrap(), options);
    let mut spec = ModelSpec::of_packages("ema");
    spec.swap.probation.rows = 4;
    spec.rows = Some(rows);
    let mut model = machine.add(spec);
    let answers = |model: &mut LiveModel, expected: f32| {
        assert_eq!(value(model, 3.0).to_bits(), expected.to_bits());
    };
    answers(&mut model, 3.0);

    commit_weights(&machine, "1.1.0", Some(other.digest()), "");
    let refused = machine.await_event(&mut model, |event| event.is(Occasion::Rejected));
    assert_eq!(refused.reason, Some(Reason::Features));
    let words = refused.message.unwrap();
    for part in ["ema 1.1.0", own.digest(), other.digest()] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    answers(&mut model, 3.0);
    let live_version = |model: &LiveModel| {
        let weights = model.generation().weights.clone();
        weights.unwrap().version
    };
    assert_eq!(live_version(&model), "1.0.0");

    // The scaler is the generation's own: rows that the history holds are not scaled.
    commit_weights(&machine, "1.2.0", Some(own.digest()), SCALER);
    machine.await_promotion(&mut model, "1.2.0");
    answers(&mut model, 1.0);
    commit_weights(&machine, "1.2.1", Some(own.digest()), "{}");
    let damaged = machine.await_event(&mut model, |event| {
        event.is(Occasion::Rejected) && event.message.as_deref() != Some(&*words)
    });
    assert_eq!(damaged.reason, Some(Reason::Features));

    commit_weights(&machine, "1.3.0", None, "");
    machine.await_promotion(&mut model, "1.3.0");
    answers(&mut model, 3.0);
    let events = machine.events();
    let warned: Vec<String> = events
        .iter()
        .filter(|event| event.is_state(State::Verified) && event.message.is_some())
        .map(known)
        .collect();
    assert_eq!(warned, ["1.3.0"], "{}", machine.story());
}
