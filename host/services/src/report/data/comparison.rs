//! The pages beside a run's own: a backtest of predictions that existed, and several runs side by
//! side.

use fusebox_engine::types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ConfigText, Estimate, FileDigest, MarketSummary, NamedText, Performance, Period, Trading,
};

/// Everything that the page of a backtest shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BacktestReport {
    /// Heading, such as the name of the pipeline.
    pub title: String,
    /// What the run saw.
    pub market: MarketSummary,
    /// The strategy after costs, and its benchmarks.
    pub trading: Trading,
    /// What is needed to repeat it.
    pub reproducibility: BacktestRecord,
}

/// Inputs and outputs of a backtest, by digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BacktestRecord {
    /// The resolved configuration.
    pub config: ConfigText,
    /// Files of candles.
    pub files: Vec<FileDigest>,
    /// The file of predictions, as given.
    pub predictions: String,
    /// SHA-256 of its bytes.
    pub predictions_sha256: String,
    /// SHA-256 of the feature set of the run that made the predictions; not known to a backtest.
    #[serde(default)]
    pub feature_set_sha256: String,
    /// Seeds by use.
    pub seeds: Vec<NamedText>,
    /// Versions by component.
    pub versions: Vec<NamedText>,
    /// Events in the journal.
    pub journal_events: u64,
    /// SHA-256 of the journal's bytes; empty where none was kept.
    pub journal_sha256: String,
    /// The command as typed.
    pub command_line: String,
}

/// Several runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The runs, as given.
    pub runs: Vec<ComparedRun>,
    /// What makes the runs hard to compare, in sentences.
    pub warnings: Vec<String>,
    /// The time that all runs cover; `None` where there is none.
    pub common: Option<Period>,
    /// Closing times that all runs share.
    pub common_steps: u64,
    /// Curves over those times.
    pub curves: CurveOnCommon,
    /// Every pair of runs.
    pub pairs: Vec<PairRow>,
    /// How far luck explains the best of them; `None` where they share too little time.
    #[serde(default)]
    pub luck: Option<RunsLuck>,
    /// Confidence of the intervals, over all pairs together.
    pub confidence: f64,
    /// Resampled histories behind each interval.
    pub bootstrap_samples: u32,
    /// Seed of the resampling.
    pub seed: u64,
}

/// How far luck explains the best of several runs, or of the combinations of a sweep, over the same
/// time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunsLuck {
    /// Runs, or combinations, that are compared.
    pub runs: u32,
    /// Trials that are known, these included. Of a comparison: the runs, or as many as one of them
    /// says it is of, where those are more. Of a sweep: the combinations, and the variants that the
    /// configuration says were tried before.
    pub trials: u32,
    /// Independent runs with the same mean correlation (Bailey, Lopez de Prado 2014).
    pub effective_trials: Option<f64>,
    /// What choosing the best by its history is worth.
    pub overfitting: Option<Overfitting>,
    /// Whether the best of them beats holding cash.
    pub superior: Option<SuperiorTest>,
}

/// Probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey,
/// Borwein, Lopez de Prado, Zhu 2017).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Overfitting {
    /// Blocks of time.
    pub blocks: u64,
    /// Ways to cut them into halves.
    pub splits: u64,
    /// Share of splits in which the best of one half is below the median of the other.
    pub probability: f64,
    /// The same where choosing is no better than chance: the mean share of runs below the median.
    pub chance_level: f64,
    /// Share of splits in which it loses in the other half.
    pub probability_of_loss: f64,
    /// Slope of its Sharpe ratio in the other half on that in the half it was chosen in.
    pub degradation_slope: Option<f64>,
}

/// Hansen's test for superior predictive ability (2005) with White's reality check (2000).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SuperiorTest {
    /// Position of the best run.
    pub best: usize,
    /// Its studentized mean return, less the benchmark's.
    pub statistic: f64,
    /// p-value that no run beats the benchmark, which is cash unless another is named; the one to
    /// use.
    pub consistent_p: f64,
    /// Lower bound of it.
    pub lower_p: f64,
    /// Upper bound of it.
    pub upper_p: f64,
    /// White's, which poor runs raise.
    pub reality_check_p: Option<f64>,
    /// Mean length of the resampled blocks, in closes or stretches.
    pub mean_block_steps: f64,
}

/// One run of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedRun {
    /// What it is called on the page; names are all different.
    pub name: String,
    /// Its directory, as given.
    pub directory: String,
    /// Reporting currency.
    pub currency: String,
    /// Cash at the start.
    pub initial_cash: f64,
    /// The traded range.
    pub period: Period,
    /// Configurations tried, this one included, as the run says.
    pub trials: u32,
    /// Over the run's own period.
    pub performance: Performance,
    /// Annualised mean return less that of buy and hold, over the run's own period.
    pub excess_return: Estimate,
    /// Probability that the true Sharpe ratio is above 0.
    pub probabilistic_sharpe_ratio: Option<f64>,
    /// The same against the best of its trials.
    pub deflated_sharpe_ratio: Option<f64>,
    /// Fees, spread, impact and liquidations over the value traded, in basis points.
    pub cost_bps: Option<f64>,
    /// Over the closing times that all runs share.
    pub common: CommonFigures,
    /// SHA-256 of the resolved configuration.
    pub config_sha256: String,
}

/// Figures over the closing times that all runs share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CommonFigures {
    /// Last equity over first, minus 1.
    pub total_return: Option<f64>,
    /// Annualised standard deviation of the returns.
    pub annual_volatility: Option<f64>,
    /// Annualised Sharpe ratio.
    pub sharpe_ratio: Option<f64>,
    /// Largest fall from a peak, a positive fraction of the peak.
    pub max_drawdown: Option<f64>,
}

/// Equity of every run at the closing times that all share, as parts of its first value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurveOnCommon {
    /// The times, ascending.
    pub closed_at: Vec<Timestamp>,
    /// One line a run, aligned with the times.
    pub growth: Vec<Vec<f64>>,
}

/// One run less another over the closing times that both share with all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// Position of the first run.
    pub first: usize,
    /// Position of the second run.
    pub second: usize,
    /// Difference of the annualised mean returns.
    pub mean_return: Estimate,
    /// Two-sided p-value of no difference, for this pair alone.
    pub mean_return_p: Option<f64>,
    /// Difference of the annualised Sharpe ratios.
    pub sharpe_ratio: Estimate,
    /// Two-sided p-value of no difference, for this pair alone.
    pub sharpe_ratio_p: Option<f64>,
    /// Correlation of the returns.
    pub correlation: Option<f64>,
}
