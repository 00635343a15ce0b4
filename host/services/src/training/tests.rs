//! A whole run with a learner that needs no plugin: Gaussian naive Bayes.

use std::path::Path;

use fusebox_engine::dataset::{ScalerKind, Span, SplitConfig, SplitKind};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::features::ExtractOptions;
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::labels::{CLASSES, LabelConfig};
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{FailSafe, StrategyConfig};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::frame::Frame;
use fusebox_plugin_api::model::{
    FitRequest, InputShape, Learner, LearnerInfo, Model, ModelInfo, Task, TaskKind,
};
use fusebox_plugin_api::params::ParamSpec;
use serde_json::{Map, Value, json};

use super::*;
use crate::data::{DataRequest, Simulated, SimulatedConfig};
use crate::progress::Silent;

/// Mean and variance of each feature in each class.
struct NaiveBayes(Vec<Vec<(f64, f64)>>);

impl Model for NaiveBayes {
    fn info(&self) -> Result<ModelInfo> {
        let classes = CLASSES.map(str::to_owned).to_vec();
        Ok(ModelInfo::new(Task::Classification { classes }, &CLASSES))
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
            let logs: Vec<f64> = self.0.iter().map(log).collect();
            let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logs.iter().map(|log| (log - top).exp()).sum();
            for (out, log) in frame.output_row_mut(row).iter_mut().zip(&logs) {
                *out = ((log - top).exp() / sum) as f32;
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.0).map_err(|error| PluginError::internal(error.to_string()))
    }
}

struct Bayes;

impl Learner for Bayes {
    fn describe(&self) -> Result<LearnerInfo> {
        Ok(LearnerInfo {
            name: "bayes".to_owned(),
            doc: "Gaussian naive Bayes.".to_owned(),
            tasks: vec![TaskKind::MulticlassClassification],
            input: InputShape::Row,
            params: vec![ParamSpec::float("floor", 1e-9, "Smallest variance.").at_least(0.0)],
            needs_environment: false,
            resumes: false,
        })
    }

    fn fit(&self, request: FitRequest<'_>) -> Result<Box<dyn Model>> {
        let columns = request.train.schema().features.len();
        let mut sums = vec![vec![(0.0, 0.0); columns]; CLASSES.len()];
        let mut counts = vec![0.0; CLASSES.len()];
        for view in request.train.views() {
            for row in (0..view.rows()).filter(|row| view.is_sample(*row)) {
                let class = view.label_row(row)[0] as usize;
                counts[class] += 1.0;
                for (sum, x) in sums[class].iter_mut().zip(view.feature_row(row)) {
                    sum.0 += f64::from(*x);
                    sum.1 += f64::from(*x).powi(2);
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
        Ok(Box::new(NaiveBayes(sums)))
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
        Some(&Bayes)
    }

    fn create_model(&self, _: &Config, artifact: &[u8]) -> Result<Box<dyn Model>> {
        let parameters = serde_json::from_slice(artifact);
        let parameters = parameters.map_err(|error| PluginError::data(error.to_string()))?;
        Ok(Box::new(NaiveBayes(parameters)))
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
            host_settings: Default::default(),
        },
        session: session(),
        evaluation: EvaluationSpec {
            confidence: 0.95,
            bootstrap_samples: 300,
            trials: 1,
            calibration_bins: 10,
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
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.3),
            max_symbol_weight: Some(0.4),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e6),
            max_drawdown: Some(0.5),
            max_data_age_bars: Some(1),
        },
        execution: ExecutionConfig {
            fee_bps: 10.0,
            slippage_bps: 2.0,
            lot_size: 1e-5,
            tick_size: 1e-5,
            min_notional: 10.0,
            order_expiry_bars: 3,
        },
        portfolio: PortfolioConfig {
            initial_cash: 100_000.0,
            allow_short: false,
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
    let quality = &report.classification;
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
    assert!((costs.gross_profit - costs.fees - costs.slippage - change).abs() < 1e-6);
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
    assert_eq!(rows, run.report.classification.predictions);
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
