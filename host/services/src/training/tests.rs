//! A whole run with a learner that needs no plugin: Gaussian naive Bayes.

use std::path::Path;

use fusebox_engine::dataset::{GroupSplit, Scaler, ScalerKind, Span, SplitConfig, SplitKind};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet};
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::labels::{
    ClassWeights, EventFilter, LabelConfig, LabelKind, PrimaryKind, ReturnUnit, Weighting,
};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_loader::live::RowContract;
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{
    FitRequest, InputShape, Learner, LearnerInfo, Model, ModelInfo, Task, TaskKind,
};
use fusebox_plugin_api::params::ParamSpec;
use serde_json::{Map, Value, json};

use super::*;
use crate::data::{DataRequest, DataSource, Simulated, SimulatedConfig};
use crate::progress::Silent;
use crate::serving::{LiveRows, ServedRows};

/// Gaussian naive Bayes where there are classes, one line per feature where there are numbers.
#[derive(serde::Serialize, serde::Deserialize)]
struct Simple {
    task: Task,
    outputs: Vec<String>,
    /// Mean and variance of each feature in each class.
    classes: Vec<Vec<(f64, f64)>>,
    /// Slope of each label over each feature.
    slopes: Vec<Vec<f64>>,
}

impl Model for Simple {
    fn info(&self) -> Result<ModelInfo> {
        let outputs: Vec<&str> = self.outputs.iter().map(String::as_str).collect();
        Ok(ModelInfo::new(self.task.clone(), &outputs))
    }

    fn predict(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        for row in 0..frame.rows() {
            let features = frame.features(row);
            let log = |class: &Vec<(f64, f64)>| -> f64 {
                let one = |(x, (mean, variance)): (&f32, &(f64, f64))| {
                    -0.5 * ((f64::from(*x) - mean).powi(2) / variance + variance.ln())
                };
                features.iter().zip(class).map(one).sum()
            };
            let logs: Vec<f64> = self.classes.iter().map(log).collect();
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logs.iter().map(|log| (log - top).exp()).sum();
            let shares = logs.iter().map(|log| (log - top).exp() / sum);
            let line = |slopes: &Vec<f64>| -> f64 {
                let parts = slopes.iter().zip(features);
                parts.map(|(slope, x)| slope * f64::from(*x)).sum()
            };
            let values: Vec<f64> = shares.chain(self.slopes.iter().map(line)).collect();
            for (out, value) in frame.output_row_mut(row).iter_mut().zip(values) {
                *out = value as f32;
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| PluginError::internal(error.to_string()))
    }
}

struct SimpleLearner;

impl Learner for SimpleLearner {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "bayes".to_owned(),
            doc: "Gaussian naive Bayes, or lines.".to_owned(),
            tasks: vec![
                TaskKind::MulticlassClassification,
                TaskKind::BinaryClassification,
                TaskKind::Regression,
            ],
            input: InputShape::Row,
            params: vec![ParamSpec::float("floor", 1e-9, "Smallest variance.").at_least(0.0)],
            needs_environment: false,
            resumes: false,
        })
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let schema = request.train.schema();
        let (columns, labels) = (schema.features.len(), schema.labels.len());
        let names = match request.task {
            Task::Classification { classes } => classes.clone(),
            _ => Vec::new(),
        };
        let mut sums = vec![vec![(0.0, 0.0); columns]; names.len()];
        let mut counts = vec![0.0; names.len()];
        let mut products = vec![vec![0.0; columns]; labels];
        let mut squares = vec![0.0; columns];
        for view in request.train.views() {
            for row in (0..view.rows()).filter(|row| view.is_sample(*row)) {
                let (values, shown) = (view.feature_row(row), view.label_row(row));
                let weight = f64::from(view.weight[row]);
                if let Some(sums) = sums.get_mut(shown[0] as usize) {
                    counts[shown[0] as usize] += weight;
                    for (sum, x) in sums.iter_mut().zip(values) {
                        sum.0 += weight * f64::from(*x);
                        sum.1 += weight * f64::from(*x).powi(2);
                    }
                }
                for (at, x) in values.iter().enumerate() {
                    squares[at] += f64::from(*x).powi(2);
                    for (products, label) in products.iter_mut().zip(shown) {
                        products[at] += f64::from(*x) * f64::from(*label);
                    }
                }
            }
        }
        let floor: f64 = request.config.get("floor")?;
        for (class, count) in sums.iter_mut().zip(counts) {
            for sum in class {
                let mean = sum.0 / count;
                *sum = (mean, (sum.1 / count - mean * mean).max(floor));
            }
        }
        let slopes = products.iter().map(|products| {
            let slope = |(product, square): (&f64, &f64)| product / square.max(floor);
            products.iter().zip(&squares).map(slope).collect()
        });
        let is_numbers = names.is_empty();
        Ok(Box::new(Simple {
            task: request.task.clone(),
            outputs: if is_numbers {
                schema.labels.clone()
            } else {
                names
            },
            slopes: if is_numbers {
                slopes.collect()
            } else {
                Vec::new()
            },
            classes: sums,
        }))
    }
}

struct InProcess;

impl TrainingPlugin for InProcess {
    fn identity(&self) -> PluginId {
        PluginId {
            id: "test.bayes".to_owned(),
            version: "1.0.0".to_owned(),
            sha256: "0".repeat(64),
            generation: 1,
        }
    }

    fn learner(&self) -> Option<&dyn Learner> {
        Some(&SimpleLearner)
    }

    fn create_model(&self, _: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        let model: serde_json::Result<Simple> = serde_json::from_slice(artifact);
        let model = model.map_err(|error| PluginError::data(error.to_string()))?;
        Ok(Box::new(model))
    }
}

fn spec(seed: u64) -> PipelineSpec {
    let features = [
        "log_return(1)",
        "log_return(12)",
        "taker_buy_imbalance(6)",
        "rsi(14)",
    ];
    PipelineSpec {
        name: "bayes on a simulated market".to_owned(),
        seed,
        threads: 2,
        data: DataRequest {
            dir: "unused".into(),
            exchange: "SIM".to_owned(),
            symbols: Vec::new(),
            time_frame: "1h".parse().unwrap(),
            from: None,
            to: None,
        },
        records: crate::data::RecordsRequest::default(),
        features: features.map(str::to_owned).to_vec(),
        extract: ExtractOptions::default(),
        labels: LabelConfig {
            horizon_bars: 12,
            ..LabelConfig::default()
        },
        split: SplitConfig {
            kind: SplitKind::Rolling,
            train: Span::months(3),
            valid: Some(Span::months(1)),
            test: Span::months(1),
            step: Span::months(1),
            embargo_bars: 12,
        }
        .into(),
        model: ModelSpec {
            scaler: ScalerKind::None,
            params: Map::new(),
            final_model: FinalModel::LastFold,
            explain: None,
            host_settings: Default::default(),
        },
        session: session(),
        evaluation: EvaluationSpec {
            confidence: 0.95,
            bootstrap_samples: 300,
            trials: 1,
            calibration_bins: 10,
            random_runs: 10,
            trade_simulations: 100,
            capacity_multiples: vec![0.5, 1.0, 50.0],
        },
        provenance: Provenance::default(),
    }
}

fn session() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.0,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: false,
            fail_safe: FailSafe::Flatten,
            entry: fusebox_engine::strategy::EntryOrder::Market,
            protection: fusebox_engine::strategy::Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.3),
            max_symbol_weight: Some(0.4),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.5),
            max_data_age_bars: Some(1),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-5,
            tick_size: 1e-5,
            min_notional: 10.0,
            order_expiry_bars: 3,
            ..ExecutionConfig::costing(10.0, 2.0)
        },
        portfolio: PortfolioConfig {
            allow_short: false,
            margin: None,
            ..PortfolioConfig::with_cash(100_000.0)
        },
    }
}

fn market() -> Simulated {
    let config = SimulatedConfig {
        to: "2022-10-01".parse().unwrap(),
        signal_ic: 0.25,
        ..SimulatedConfig::default()
    };
    Simulated::new(config).unwrap()
}

fn run_in(out: &Path, spec: &PipelineSpec) -> std::result::Result<RunSummary, TrainingError> {
    run(
        spec,
        &RunEnvironment {
            source: &market(),
            plugin: &InProcess,
            out,
            overwrite: false,
            progress: &Silent,
            elapsed_s: &|| 1.5,
        },
    )
}

fn digests(summary: &RunSummary) -> Vec<(String, String)> {
    let files = summary.manifest.files.iter();
    files
        .filter(|file| file.path != REPORT_FILE)
        .map(|file| (file.path.clone(), file.digest.clone()))
        .collect()
}

#[test]
fn a_run_is_complete_consistent_and_repeatable() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_in(&folder.path().join("first"), &spec(7)).unwrap();
    let report = &first.report;
    assert_eq!(report.folds.len(), 5);
    let shortened = report
        .folds
        .iter()
        .filter(|fold| fold.test_rows < 3 * 28 * 24);
    assert_eq!(
        shortened.count(),
        0,
        "no fold is left over at the end of the data"
    );
    for file in [
        JOURNAL_FILE,
        METRICS_FILE,
        REPORT_FILE,
        MANIFEST_FILE,
        "models/fold-01.model",
    ] {
        assert!(folder.path().join("first").join(file).is_file(), "{file}");
    }
    let quality = report.quality.classification().unwrap();
    // The planted signal is found. Naive Bayes is too sure of itself for much accuracy.
    let found = quality.information_coefficient;
    assert!(found.interval.unwrap().low > 0.1, "{found:?}");
    let difference = quality.accuracy.value.unwrap() - quality.majority_accuracy.unwrap();
    assert!((quality.accuracy_difference.value.unwrap() - difference).abs() < 1e-9);
    let confusion: u64 = quality.confusion.iter().flatten().sum();
    assert_eq!(confusion, quality.scored_predictions);
    assert!(quality.predictions >= quality.scored_predictions);

    let trading = &report.trading;
    let costs = &trading.costs;
    let change = trading.strategy.final_equity.unwrap() - trading.initial_cash;
    assert!((costs.gross_profit - costs.fees - costs.spread - costs.impact - change).abs() < 1e-6);
    let by_symbol: f64 = trading.symbols.iter().map(|one| one.costs.net_profit).sum();
    assert!((by_symbol - change).abs() < 1e-6, "{by_symbol} {change}");
    let by_trade: f64 = trading.trades.iter().map(|one| one.net_profit).sum();
    assert!((by_trade - change).abs() < 1e-6, "{by_trade} {change}");
    assert!(trading.trades.iter().any(|one| one.net_profit < 0.0));
    assert!(trading.strategy.trades.unwrap() > 20);

    let second = run_in(&folder.path().join("second"), &spec(7)).unwrap();
    assert_eq!(digests(&first), digests(&second));
    let other = run_in(&folder.path().join("other"), &spec(8)).unwrap();
    let journal = |run: &RunSummary| run.report.reproducibility.journal_sha256.clone();
    assert_ne!(journal(&first), journal(&other));
}

#[test]
fn recorded_fundings_are_paid_in_the_backtest_of_a_run_and_change_its_digest() {
    use fusebox_engine::execution::PaymentKind;
    use fusebox_engine::journal::{Event, read_entries};
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("ts,symbol,rate\n");
    for day in 0..300_i64 {
        for series in ["BTCUSDT", "ETHUSDT"] {
            let at = 1_640_995_200 + day * 86_400;
            text.push_str(&format!("{at},{series},0.0001\n"));
        }
    }
    let file = folder.path().join("rates.csv");
    std::fs::write(&file, &text).unwrap();
    let mut funded = spec(7);
    funded.records.funding = Some(file.clone());
    let plain = run_in(&folder.path().join("plain"), &spec(7)).unwrap();
    let paid = run_in(&folder.path().join("paid"), &funded).unwrap();
    let out = std::fs::read(folder.path().join("paid").join(JOURNAL_FILE)).unwrap();
    let payments = read_entries(out.as_slice()).filter(|entry| {
        let event = &entry.as_ref().unwrap().event;
        matches!(event, Event::Paid(payment) if payment.kind == PaymentKind::Funding)
    });
    assert!(payments.count() > 20);
    let files = &paid.report.reproducibility.files;
    assert!(files.iter().any(|file| file.path == "rates.csv"));
    let equity = |run: &RunSummary| run.report.trading.strategy.final_equity;
    assert!(equity(&paid) < equity(&plain));
    // The same name with other content is another run.
    std::fs::write(&file, text.replace("0.0001", "0.0002")).unwrap();
    let dearer = run_in(&folder.path().join("dearer"), &funded).unwrap();
    assert!(equity(&dearer) < equity(&paid));
    let journal = |run: &RunSummary| run.report.reproducibility.journal_sha256.clone();
    assert_ne!(journal(&paid), journal(&dearer));
    std::fs::write(&file, "ts,symbol,rate\nnever,BTCUSDT,0\n").unwrap();
    let refused = run_in(&folder.path().join("refused"), &funded).unwrap_err();
    assert!(refused.is_configuration() && refused.to_string().contains("line 2"));
    assert!(!folder.path().join("refused").exists());
}

#[test]
fn threads_do_not_change_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let two = run_in(&folder.path().join("two"), &spec(7)).unwrap();
    let one = PipelineSpec {
        threads: 1,
        ..spec(7)
    };
    let one = run_in(&folder.path().join("one"), &one).unwrap();
    assert_eq!(digests(&two), digests(&one));
}

#[test]
fn every_prediction_lies_in_its_test_period() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let run = run_in(&out, &spec(7)).unwrap();
    let mut reader = csv::Reader::from_path(out.join("predictions.csv")).unwrap();
    let mut rows = 0;
    for record in reader.records() {
        let record = record.unwrap();
        let at: fusebox_engine::types::Timestamp = record[0].parse().unwrap();
        let fold = &run.report.folds[record[2].parse::<usize>().unwrap() - 1];
        assert!(fold.test.from < at && at <= fold.test.to, "{record:?}");
        assert!(fold.train.to <= fold.valid.from && fold.valid.to <= fold.test.from);
        rows += 1;
    }
    assert_eq!(rows, run.report.quality.counts().0);
}

#[test]
fn bad_settings_are_refused_together_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut wrong = spec(7);
    wrong.labels.horizon_bars = 0;
    wrong.session.execution.fee_bps = -1.0;
    let error = run_in(&out, &wrong).unwrap_err();
    assert!(error.is_configuration());
    let text = error.to_string();
    assert!(
        text.contains("horizon_bars") && text.contains("fee_bps"),
        "{text}"
    );

    let mut unknown = spec(7);
    unknown.model.params.insert("flor".to_owned(), json!(1));
    unknown
        .model
        .params
        .insert("floor".to_owned(), Value::from(-1));
    let text = run_in(&out, &unknown).unwrap_err().to_string();
    assert!(
        text.contains("did you mean `floor`") && text.contains("at least 0"),
        "{text}"
    );

    let mut features = spec(7);
    features.features = vec!["rsii(14)".to_owned(), "rsi(0)".to_owned()];
    let text = run_in(&out, &features).unwrap_err().to_string();
    assert!(text.contains("rsii") && text.contains("rsi(0)"), "{text}");
    assert!(!out.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The names of what was begun.
#[derive(Default)]
struct Begun(std::sync::Mutex<Vec<String>>);

impl crate::progress::Progress for Begun {
    fn start(&self, what: &str, _total: u64) {
        self.0.lock().unwrap().push(what.to_owned());
    }

    fn advance(&self, _by: u64) {}

    fn finish(&self) {}
}

/// Training takes long; a backtest that cannot begin is told before it.
#[test]
fn an_account_that_can_buy_no_lot_is_refused_before_a_fit() {
    let mut spec = spec(1);
    spec.session.execution.lot_size = 1e6;
    let folder = tempfile::tempdir().unwrap();
    let begun = Begun::default();
    let environment = RunEnvironment {
        source: &market(),
        plugin: &InProcess,
        out: &folder.path().join("out"),
        overwrite: false,
        progress: &begun,
        elapsed_s: &|| 1.5,
    };
    let error = run(&spec, &environment).unwrap_err();
    assert_eq!(
        *begun.0.lock().unwrap(),
        ["bars", "features and labels", "records"]
    );
    let text = error.to_string();
    assert!(text.contains("`execution.lot_size` of"), "{text}");
    assert!(error.is_configuration());
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_combinatorial_split_gives_every_path_and_keeps_its_scalers() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let spec = PipelineSpec {
        split: GroupSplit {
            groups: 4,
            test_groups: 2,
            embargo_bars: 12,
        }
        .into(),
        model: ModelSpec {
            scaler: ScalerKind::Robust,
            ..spec(7).model
        },
        ..spec(7)
    };
    let run = run_in(&out, &spec).unwrap();
    let report = &run.report;
    assert_eq!((report.folds.len(), report.paths.len()), (6, 3));
    assert!(report.folds.iter().all(|fold| fold.test_parts.len() == 2));
    assert!(
        report
            .market
            .warnings
            .iter()
            .any(|one| one.contains("nobody could have traded"))
    );
    let predicted: u64 = report.folds.iter().map(|fold| fold.test_rows).sum();
    assert_eq!(predicted, 3 * report.quality.counts().0);
    let quality = report.quality.classification().unwrap();
    let found = quality.information_coefficient;
    assert!(found.interval.unwrap().low > 0.1, "{found:?}");
    let first = &report.paths[0];
    assert_eq!(first.accuracy, quality.accuracy.value);
    assert_eq!(first.total_return, report.trading.strategy.total_return);
    let returns: std::collections::BTreeSet<String> = report
        .paths
        .iter()
        .map(|one| format!("{:?}", one.total_return.unwrap()))
        .collect();
    assert_eq!(returns.len(), 3, "each path is a history of its own");
    for model in &report.reproducibility.models {
        let stored = std::fs::read(out.join(model.scaler.as_ref().unwrap())).unwrap();
        let scaler: Scaler = serde_json::from_slice(&stored).unwrap();
        assert_eq!(
            (scaler.kind(), scaler.columns()),
            (ScalerKind::Robust, &spec.features[..])
        );
    }
}

#[test]
fn returns_over_two_horizons_are_learned_scored_and_traded() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for (name, unit) in [
        ("sigmas", ReturnUnit::Sigmas),
        ("returns", ReturnUnit::LogReturn),
    ] {
        let spec = PipelineSpec {
            labels: LabelConfig {
                kind: LabelKind::ForwardReturns,
                horizon_bars: 12,
                more_horizons_bars: vec![24],
                target_unit: unit,
                upper_sigmas: 0.5,
                lower_sigmas: 0.5,
                ..LabelConfig::default()
            },
            model: ModelSpec {
                scaler: ScalerKind::RankGauss,
                ..spec(7).model
            },
            ..spec(7)
        };
        let run = run_in(&folder.path().join(name), &spec).unwrap();
        let quality = run.report.quality.regression().unwrap();
        let correlation = quality.information_coefficient;
        assert!(quality.quantiles.is_none() && quality.baselines.len() == 2);
        assert!(run.report.folds.iter().all(|fold| fold.accuracy.is_none()));
        assert!(run.report.folds.iter().all(|fold| fold.errors.is_some()));
        assert!(correlation.interval.unwrap().low > 0.1, "{correlation:?}");
        assert!(run.report.labels.description.contains("12, 24 bars"));
        assert!(run.report.trading.strategy.trades.unwrap() > 0);
        found.push(correlation.value.unwrap());
    }
    assert!((found[0] - found[1]).abs() < 0.1, "{found:?}");
}

#[test]
fn meta_labels_trade_on_the_side_of_their_signal_only() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let spec = PipelineSpec {
        labels: LabelConfig {
            kind: LabelKind::MetaLabels,
            horizon_bars: 12,
            primary: PrimaryKind::Momentum,
            primary_slow_bars: 12,
            ..LabelConfig::default()
        },
        ..spec(7)
    };
    let run = run_in(&out, &spec).unwrap();
    let balance = &run.report.labels.balance;
    assert!(balance.iter().all(|class| class.rows > 1000), "{balance:?}");
    let mut reader = csv::Reader::from_path(out.join("predictions.csv")).unwrap();
    let mut sides = [0; 2];
    for record in reader.records() {
        let record = record.unwrap();
        let [down, up]: [f64; 2] = [3, 5].map(|at: usize| record[at].parse().unwrap());
        assert!(
            down.min(up) < f64::EPSILON,
            "one side at a time: {record:?}"
        );
        sides[usize::from(up > down)] += 1;
        let against = if up > down { "down" } else { "up" };
        assert!(&record[6] != against, "{record:?}");
    }
    assert!(sides.iter().all(|count| *count > 500), "{sides:?}");
    // The baseline knows the side too: guessing the share of acting is nearly a coin's throw, far
    // from three classes at a loss of 1.05 and a majority of half.
    let quality = run.report.quality.classification().unwrap();
    assert!(quality.baseline_log_loss.unwrap() < 0.72, "{quality:?}");
    assert!(quality.majority_accuracy.unwrap() > 0.49, "{quality:?}");
}

#[test]
fn events_weights_and_trends_go_through_a_run_and_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let labels = LabelConfig {
        kind: LabelKind::TrendScanning,
        horizon_bars: 12,
        events: EventFilter::Cusum,
        weights: Weighting::SequentialBootstrap,
        oldest_weight: 0.5,
        class_weights: ClassWeights::Balanced,
        ..LabelConfig::default()
    };
    let trend = PipelineSpec { labels, ..spec(7) };
    let run = run_in(&folder.path().join("one"), &trend).unwrap();
    let labels = &run.report.labels;
    assert!(labels.event_rows < run.report.market.bars / 2, "{labels:?}");
    assert!(labels.labelled_rows <= labels.event_rows);
    assert!(labels.description.contains("CUSUM events of 2 sigma"));
    assert!(labels.effective_rows > 0.0 && labels.largest_concurrency > 1);
    assert!(!labels.autocorrelation.is_empty());
    let quality = run.report.quality.classification().unwrap();
    assert!(quality.scored_predictions < quality.predictions / 2);
    let again = run_in(&folder.path().join("two"), &trend).unwrap();
    assert_eq!(digests(&run), digests(&again));
}

/// Serves the first model of a run from its files, without a supervisor, and compares with what
/// the run predicted.
fn serves_what_was_scored(out: &Path, spec: &PipelineSpec) {
    let files = ModelFiles::read(&out.join("models/fold-01.model")).unwrap();
    let market = market().load(&spec.data).unwrap().market;
    let context = FeatureContext::of(&market);
    let set = FeatureSet::parse(&spec.features, &context).unwrap();
    let features = files.features.as_ref().unwrap();
    assert_eq!(features.feature_set_sha256, set.digest());
    let contract = ServedRows::of_model(files.scaler.clone(), files.readout.clone());
    contract.choose(&set, market.time_frame(), spec.extract);
    let dressing = contract.dress(None).unwrap();
    let scaler = dressing.rows.unwrap();
    let readout = dressing
        .readout
        .map(|one| one.downcast::<ModelReadout>().unwrap());
    let needs = readout
        .as_ref()
        .map_or(ReadoutNeeds::Nothing, |one| one.needs());
    let rows = LiveRows::new(&set, &context, spec.extract, 1).unwrap();
    let mut rows = rows.with_needs(needs);
    let mut model = InProcess
        .create_model(&Config::new(), &files.artifact)
        .unwrap();
    let outputs = model.info().unwrap().outputs.len();

    let mut live = std::collections::BTreeMap::new();
    for (at, bars) in market.steps() {
        let ready = rows.step(at, &bars).unwrap();
        let mut input = ready.input.clone();
        if input.is_empty() {
            continue;
        }
        scaler.apply(&mut input).unwrap();
        let mut output = vec![0.0; ready.symbols.len() * outputs];
        let shape = FrameShape::dense(ready.symbols.len(), set.len(), outputs);
        let mut frame = Frame::new(&input, &mut output, shape).unwrap();
        model.predict(&mut frame).unwrap();
        let answers = output.chunks_exact(outputs).zip(&ready.facts);
        for (symbol, (values, facts)) in ready.symbols.iter().zip(answers) {
            let read = match &readout {
                Some(readout) => readout.read(*facts, values),
                None => values.try_into().unwrap(),
            };
            let name = market.series()[*symbol as usize].name.clone();
            live.insert((at.to_string(), name), read);
        }
    }
    let mut reader = csv::Reader::from_path(out.join("predictions.csv")).unwrap();
    let mut compared = 0;
    for record in reader.records().map(|record| record.unwrap()) {
        if &record[2] != "1" {
            continue;
        }
        let scored: [f32; 3] = [3, 4, 5].map(|at: usize| record[at].parse().unwrap());
        let served = live[&(record[0].to_owned(), record[1].to_owned())];
        assert_eq!(
            served.map(f32::to_bits),
            scored.map(f32::to_bits),
            "{record:?}"
        );
        compared += 1;
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn a_scaled_model_and_every_readout_serve_the_predictions_of_the_backtest_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let returns = |target_unit| LabelConfig {
        kind: LabelKind::ForwardReturns,
        horizon_bars: 12,
        target_unit,
        upper_sigmas: 0.5,
        lower_sigmas: 0.5,
        ..LabelConfig::default()
    };
    let meta = LabelConfig {
        kind: LabelKind::MetaLabels,
        horizon_bars: 12,
        ..LabelConfig::default()
    };
    let cases = [
        ("robust", ScalerKind::Robust, spec(7).labels),
        ("sigmas", ScalerKind::Standard, returns(ReturnUnit::Sigmas)),
        (
            "returns",
            ScalerKind::RankGauss,
            returns(ReturnUnit::LogReturn),
        ),
        ("meta", ScalerKind::Robust, meta),
    ];
    for (name, scaler, labels) in cases {
        let spec = PipelineSpec {
            labels,
            model: ModelSpec {
                scaler,
                ..spec(7).model
            },
            ..spec(7)
        };
        let out = folder.path().join(name);
        run_in(&out, &spec).unwrap();
        let has_readout = out.join("models/fold-01.readout.json").is_file();
        assert_eq!(has_readout, name != "robust", "{name}");
        serves_what_was_scored(&out, &spec);
    }
}

#[test]
fn an_update_fails_as_the_update_of_its_model() {
    let spec = spec(1);
    let trainer = folds::Trainer::new(&spec, &InProcess).unwrap();
    let error = trainer.updating("btc 1.0.2").try_artifact(b"no model");
    let told = error.unwrap_err().to_string();
    let words = "test.bayes 1.0.0 failed in the update of btc 1.0.2 while it was to load the model";
    assert!(told.starts_with(words), "{told}");
}
