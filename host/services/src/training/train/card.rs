//! The card of a model: what it learned from and how, how good it is beside doing nothing clever,
//! and what to beware of. `card.json` is for programs and goes into the registry; `card.md` says
//! the same to people.
//!
//! Every number is of out-of-sample predictions. None was measured on the registered model itself
//! where that was fitted on everything; the card says so.

use fusebox_engine::dataset::Splitter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::super::folds::FoldModel;
use super::super::output::hex;
use super::super::plugin::PluginId;
use super::super::prepare::Prepared;
use super::super::spec::{FinalModel, PipelineSpec};
use super::update::{UpdateMode, UpdateVerdict};
use crate::report::{
    ClassCount, Classification, ConstantBaseline, DataSource, Estimate, FileDigest, Interval,
    NamedText, Outcome, Period, PluginIdentity, Quality, Regression, ReportData, model_verdict,
    strategy_verdict,
};

/// Layout of the card.
pub const CARD_FORMAT: u32 = 1;

/// A model card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Layout of the card, 1.
    pub format: u32,
    /// Name of the pipeline.
    pub name: String,
    /// What the model answers.
    pub task: String,
    /// The artifact.
    pub model: CardModel,
    /// Who trained it and answers with it.
    pub plugin: PluginIdentity,
    /// Versions by component: fusebox, rustc, the native library.
    pub versions: Vec<NamedText>,
    /// Hyper-parameters that were set; all others are the plugin's defaults.
    pub params: Map<String, Value>,
    /// How columns are scaled before the model sees them.
    pub scaler: String,
    /// Seeds by use.
    pub seeds: Vec<NamedText>,
    /// What it learned from.
    pub data: CardData,
    /// What it sees.
    pub features: CardFeatures,
    /// What it learned to tell.
    pub labels: CardLabels,
    /// How it was judged.
    pub split: CardSplit,
    /// Configurations tried, this one included; intervals and the deflated Sharpe ratio allow for
    /// them.
    pub trials: u32,
    /// How good it is, beside baselines.
    pub metrics: Vec<CardMetric>,
    /// What to beware of, in sentences.
    pub warnings: Vec<String>,
    /// What the model may be used for; Fusebox does not decide that.
    pub licence: String,
    /// SHA-256 of the resolved configuration.
    pub config_sha256: String,
    /// The model that it was made from by newer rows; `None` where it was fitted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CardParent>,
}

/// Where an updated model came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardParent {
    /// Name and version of the model before the update.
    pub model: String,
    /// Digest of that version.
    pub digest: String,
    /// SHA-256 of its artifact.
    pub model_sha256: String,
    /// How it took in rows.
    pub update: UpdateMode,
    /// How many.
    pub learned_rows: u64,
    /// What the rows that were held out say of the update.
    pub verdict: UpdateVerdict,
}

/// The artifact of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardModel {
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Which model it is.
    pub kind: FinalModel,
    /// The fold that it is of, from 1; `None` where it was fitted on everything.
    pub fold: Option<u32>,
    /// What it learned from.
    pub trained: Period,
    /// Samples that it learned from.
    pub training_samples: u64,
    /// Rounds that were kept, where it says so.
    pub rounds: Option<u64>,
}

/// The data of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardData {
    /// Recorded or simulated.
    pub source: DataSource,
    /// Exchange or vendor.
    pub exchange: Option<String>,
    /// Symbols.
    pub symbols: Vec<String>,
    /// Length of a bar.
    pub time_frame: String,
    /// From the first bar's open to the last one's close.
    pub period: Period,
    /// Bars of all symbols together.
    pub bars: u64,
    /// SHA-256 of the digests of the files, or of the description of a simulated market.
    pub sha256: String,
    /// The files.
    pub files: Vec<FileDigest>,
}

/// The features of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardFeatures {
    /// Digest of the feature set.
    pub sha256: String,
    /// Longest run of missing bars that is passed over.
    pub max_gap_bars: u32,
    /// The columns, in order.
    pub columns: Vec<String>,
}

/// The labels of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardLabels {
    /// The labeller in words.
    pub description: String,
    /// Its settings.
    pub config: Value,
    /// Rows of each class.
    pub balance: Vec<ClassCount>,
}

/// The split of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardSplit {
    /// The plan in words.
    pub description: String,
    /// Its settings.
    pub config: Value,
    /// Folds.
    pub folds: u32,
    /// Bars kept free beside what purging removes.
    pub embargo_bars: u32,
    /// Rows that purging removed, over all folds.
    pub purged_rows: u64,
    /// Rows that the embargo removed, over all folds.
    pub embargoed_rows: u64,
    /// What was predicted out of sample.
    pub tested: Period,
}

/// A number of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardMetric {
    /// Name, in snake case.
    pub name: String,
    /// The value; `None` where it is not defined.
    pub value: Option<f64>,
    /// Where the true value lies.
    pub interval: Option<Interval>,
    /// What the baseline has.
    pub baseline: Option<f64>,
    /// What the baseline is.
    pub baseline_name: Option<String>,
}

/// The model that a card is about.
pub(super) struct Carded<'a> {
    pub model: &'a FoldModel,
    /// Position of its fold; `None` where it was fitted on everything.
    pub fold: Option<usize>,
    pub trained: Period,
    pub training_samples: u64,
    /// Rounds it was fitted for, where that was set.
    pub rounds: Option<u64>,
}

/// Fills the card of a run's final model.
pub(super) fn card(
    (spec, prepared): (&PipelineSpec, &Prepared),
    report: &ReportData,
    carded: &Carded<'_>,
    plugin: &PluginId,
) -> ModelCard {
    let record = &report.reproducibility;
    ModelCard {
        format: CARD_FORMAT,
        name: spec.name.clone(),
        task: task_in_words(carded.model),
        model: CardModel {
            sha256: carded.model.sha256.clone(),
            bytes: carded.model.artifact.len() as u64,
            kind: spec.model.final_model,
            fold: carded.fold.map(super::super::describe::number),
            trained: carded.trained,
            training_samples: carded.training_samples,
            rounds: carded.rounds.or(carded.model.best_iteration),
        },
        plugin: PluginIdentity {
            id: plugin.id.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
        },
        versions: record.versions.clone(),
        params: spec.model.params.clone(),
        scaler: word(&spec.model.scaler),
        seeds: record.seeds.clone(),
        data: data(report),
        features: CardFeatures {
            sha256: prepared.features.digest().to_owned(),
            max_gap_bars: spec.extract.max_gap_bars,
            columns: prepared.features.names().map(str::to_owned).collect(),
        },
        labels: CardLabels {
            description: report.labels.description.clone(),
            config: serde_json::to_value(&spec.labels).unwrap_or_default(),
            balance: report.labels.balance.clone(),
        },
        split: split(spec, report),
        trials: report.trading.trials,
        metrics: metrics(report),
        warnings: warnings(spec, report, carded),
        licence: "not stated: whoever owns the data and trains the model decides what it may be \
                  used for"
            .to_owned(),
        config_sha256: record.config.sha256.clone(),
        parent: None,
    }
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn task_in_words(model: &FoldModel) -> String {
    let outputs = model.info.outputs.join(", ");
    format!("{} ({outputs})", word(&model.info.task.kind()))
}

fn data(report: &ReportData) -> CardData {
    let market = &report.market;
    let files = report.reproducibility.files.clone();
    let time_frame = market.time_frame.to_string();
    let period = Period {
        from: market.first_opened_at,
        to: market.last_closed_at,
    };
    CardData {
        sha256: data_digest(
            &files,
            (&market.source, &market.symbols),
            (&time_frame, period),
        ),
        source: market.source.clone(),
        exchange: market.exchange.clone(),
        symbols: market.symbols.clone(),
        time_frame,
        period,
        bars: market.bars,
        files,
    }
}

/// SHA-256 of the digests of the files, or of what a simulated market is made by.
pub(super) fn data_digest(
    files: &[FileDigest],
    (source, symbols): (&DataSource, &[String]),
    (time_frame, period): (&str, Period),
) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update(format!("{}  {}\n", file.sha256, file.path));
    }
    if files.is_empty() {
        let described = (source, symbols, time_frame);
        let range = (period.from, period.to);
        // Plain values, which JSON can always hold.
        hasher.update(serde_json::to_vec(&(described, range)).unwrap_or_default());
    }
    hex(&hasher.finalize())
}

fn split(spec: &PipelineSpec, report: &ReportData) -> CardSplit {
    let (description, embargo_bars) = match &spec.split {
        Splitter::WalkForward(walk) => {
            let valid = walk.valid.map(|valid| format!(", {valid} validation"));
            let words = format!(
                "walk forward, {}: {} training{}, {} test, step {}",
                word(&walk.kind),
                walk.train,
                valid.unwrap_or_default(),
                walk.test,
                walk.step
            );
            (words, walk.embargo_bars)
        }
        Splitter::Groups(groups) => {
            let words = match groups.test_groups {
                1 => format!("purged k-fold over {} groups of time", groups.groups),
                tested => format!(
                    "combinatorial purged: {tested} of {} groups of time are tested at once",
                    groups.groups
                ),
            };
            (words, groups.embargo_bars)
        }
    };
    CardSplit {
        description,
        config: serde_json::to_value(&spec.split).unwrap_or_default(),
        folds: u32::try_from(report.folds.len()).unwrap_or(u32::MAX),
        embargo_bars,
        purged_rows: report.folds.iter().map(|fold| fold.purged_rows).sum(),
        embargoed_rows: report.folds.iter().map(|fold| fold.embargoed_rows).sum(),
        tested: report.trading.period,
    }
}

/// A number with the value of its baseline and what that is.
type Row<'a> = (&'a str, Estimate, Option<f64>, Option<&'a str>);

fn metrics(report: &ReportData) -> Vec<CardMetric> {
    let quality = match &report.quality {
        Quality::Classification(quality) => class_rows(quality),
        Quality::Regression(quality) => return_rows(quality),
    };
    let rows = quality.into_iter().chain(trading_rows(report));
    rows.map(|(name, estimate, baseline, baseline_name)| CardMetric {
        name: name.to_owned(),
        value: estimate.value,
        interval: estimate.interval,
        baseline,
        baseline_name: baseline_name.map(str::to_owned),
    })
    .collect()
}

fn without_interval(value: Option<f64>) -> Estimate {
    Estimate {
        value,
        interval: None,
    }
}

fn return_rows(quality: &Regression) -> Vec<Row<'_>> {
    let alone = |name, estimate| (name, estimate, None, None);
    let mut rows = Vec::new();
    for (name, own, of) in [
        (
            "mean_absolute_error",
            quality.mean_absolute_error,
            (|one: &ConstantBaseline| one.mean_absolute_error) as fn(&ConstantBaseline) -> _,
        ),
        (
            "root_mean_squared_error",
            quality.root_mean_squared_error,
            |one| one.root_mean_squared_error,
        ),
    ] {
        // Beside the constant that loses least.
        let better = |a: &&ConstantBaseline, b: &&ConstantBaseline| {
            of(a)
                .unwrap_or(f64::MAX)
                .total_cmp(&of(b).unwrap_or(f64::MAX))
        };
        let best = quality.baselines.iter().min_by(better);
        rows.push((
            name,
            own,
            best.and_then(of),
            best.map(|one| one.name.as_str()),
        ));
    }
    for (at, name) in [(0, "r_squared"), (1, "r_squared_zero")] {
        let against = quality.baselines.get(at);
        let own = against.map_or_else(Estimate::default, |one| one.r_squared);
        rows.push((name, own, None, against.map(|one| one.name.as_str())));
    }
    let constant = quality.best_constant_direction;
    let hindsight = Some("best constant direction in hindsight");
    rows.extend([
        alone("information_coefficient", quality.information_coefficient),
        alone(
            "rank_information_coefficient",
            quality.rank_information_coefficient,
        ),
        alone("information_ratio", quality.information_ratio),
        (
            "directional_accuracy",
            quality.directional_accuracy,
            constant,
            hindsight,
        ),
    ]);
    if let Some(quantiles) = &quality.quantiles {
        let training = Some("quantiles of the training rows");
        let base = quantiles.baseline_pinball_loss;
        rows.push(("pinball_loss", quantiles.pinball_loss, base, training));
        rows.push(("crps", quantiles.crps, quantiles.baseline_crps, training));
        if let Some(widest) = quantiles.intervals.first() {
            let claimed = Some("what the widest interval claims");
            rows.push((
                "interval_coverage",
                widest.coverage,
                Some(widest.level),
                claimed,
            ));
        }
    }
    rows
}

fn class_rows(quality: &Classification) -> Vec<Row<'static>> {
    let majority = Some("majority class of the training rows");
    let shares = Some("class shares of the training rows");
    let hindsight = Some("best constant direction in hindsight");
    let alone = |name, estimate| (name, estimate, None, None);
    let plain = |name, value| (name, without_interval(value), None, None);
    let loss = without_interval(quality.log_loss);
    let rank = quality.rank_information_coefficient;
    let directional = quality.directional_accuracy;
    let constant = quality.best_constant_direction;
    vec![
        (
            "accuracy",
            quality.accuracy,
            quality.majority_accuracy,
            majority,
        ),
        (
            "accuracy_difference",
            quality.accuracy_difference,
            None,
            majority,
        ),
        plain("balanced_accuracy", quality.balanced_accuracy),
        plain("macro_f1", quality.macro_f1),
        plain("matthews_correlation", quality.matthews_correlation),
        ("log_loss", loss, quality.baseline_log_loss, shares),
        plain("brier_score", quality.brier_score),
        plain(
            "expected_calibration_error",
            quality.expected_calibration_error,
        ),
        alone("information_coefficient", quality.information_coefficient),
        alone("rank_information_coefficient", rank),
        ("directional_accuracy", directional, constant, hindsight),
    ]
}

fn trading_rows(report: &ReportData) -> Vec<Row<'static>> {
    let trading = &report.trading;
    let (own, hold) = (&trading.strategy, &trading.buy_and_hold);
    let held = Some("buy and hold");
    let drawdown = Estimate {
        value: own.max_drawdown,
        interval: own.intervals.max_drawdown,
    };
    let returned = Estimate {
        value: own.total_return,
        interval: own.intervals.total_return,
    };
    let deflated = without_interval(trading.deflated_sharpe_ratio);
    vec![
        ("total_return", returned, hold.total_return, held),
        (
            "sharpe_ratio",
            own.sharpe_ratio,
            hold.sharpe_ratio.value,
            held,
        ),
        ("max_drawdown", drawdown, hold.max_drawdown, held),
        ("excess_return", trading.excess_return, None, held),
        ("deflated_sharpe_ratio", deflated, None, None),
    ]
}

fn warnings(spec: &PipelineSpec, report: &ReportData, carded: &Carded<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for verdict in [model_verdict(report), strategy_verdict(&report.trading)] {
        if verdict.outcome != Outcome::Beats {
            warnings.push(format!("{}. {}", verdict.headline, verdict.explanation));
        }
    }
    warnings.push(match carded.fold {
        Some(fold) => format!(
            "the numbers are those of all {} folds; this is the model of fold {}",
            report.folds.len(),
            fold + 1
        ),
        None => "the model was fitted on every row, so no number here was measured on it; the \
                 numbers are those of the folds' models"
            .to_owned(),
    });
    if let DataSource::Simulated { .. } = report.market.source {
        warnings.push("the market was simulated: the model knows nothing of a real one".to_owned());
    }
    if spec.split.trains_on_the_future() && carded.fold.is_some() {
        warnings.push(
            "the fold's model may have learned from bars after some that it was scored on"
                .to_owned(),
        );
    }
    warnings.extend(report.market.warnings.iter().cloned());
    warnings
}
