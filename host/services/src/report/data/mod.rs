//! What a report shows, as plain data: the training service fills a [`ReportData`], the page and
//! `metrics.json` are both made from it.
//!
//! Conventions. Fractions stay fractions (`0.391`, not 39.1), money is in the reporting currency,
//! times are UTC nanoseconds, and a value that is not defined (a ratio with nothing below the line,
//! a metric without rows) is `None`. Nothing here is computed: every number arrives finished.

mod analysis;
mod comparison;
mod evaluation;
mod model;
mod provenance;
mod quality;
mod regression;
mod trading;

use fusebox_engine::types::{TimeFrame, Timestamp};
use serde::{Deserialize, Serialize};

pub use analysis::{Analysis, Capacity, CapacityPoint, ComparedRow, RegimeReport, RegimeRow};
pub use comparison::{
    BacktestRecord, BacktestReport, CommonFigures, ComparedRun, Comparison, CurveOnCommon,
    Overfitting, PairRow, RunsLuck, SuperiorTest,
};
pub use evaluation::{
    ContributionPoint, ContributionSummary, DieboldMarianoRow, Evaluation, FeatureContribution,
    FoldCurve, ImportanceTable, LearningCurve, McNemarRow, ModelEvaluation, PairedTest,
};
pub use model::{
    CalibrationBin, CalibrationCurve, ClassCount, ClassMetrics, Classification, FeatureImportance,
    FoldRow, HorizonBucket, LabelReport, LagCorrelation, PathRow, ScoreBucket,
};
pub use provenance::{
    ConfigText, FileDigest, ModelArtifact, NamedText, PluginIdentity, Reproducibility,
};
pub use quality::Quality;
pub use regression::{
    ConstantBaseline, ForecastErrors, IntervalCoverage, QuantileLevel, QuantileQuality, Regression,
};
pub use trading::{
    Balance, Costs, CurvePoint, FigureIntervals, MonthReturn, NamedCount, Performance,
    SymbolSummary, TradeRow, TradeSide, Trading,
};

/// Everything a report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportData {
    /// Heading, such as the name of the pipeline.
    pub title: String,
    /// What the run saw.
    pub market: MarketSummary,
    /// Quality of the out-of-sample predictions, one per row, pooled over the folds.
    #[serde(flatten)]
    pub quality: Quality,
    /// The folds: in time order, or in the order of their test groups.
    pub folds: Vec<FoldRow>,
    /// Importance of every feature, in any order.
    pub features: Vec<FeatureImportance>,
    /// How the labels came out.
    pub labels: LabelReport,
    /// The strategy on the out-of-sample predictions, after costs, and its benchmarks.
    pub trading: Trading,
    /// Every path of a combinatorial split; empty where the folds form a single one.
    pub paths: Vec<PathRow>,
    /// What is needed to repeat the run.
    pub reproducibility: Reproducibility,
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketSummary {
    /// Where the bars come from.
    pub source: DataSource,
    /// Exchange or vendor, as in the data directory.
    pub exchange: Option<String>,
    /// Names of the symbols, in id order.
    pub symbols: Vec<String>,
    /// Length of every bar.
    pub time_frame: TimeFrame,
    /// Open time of the first bar.
    pub first_opened_at: Timestamp,
    /// Close time of the last bar.
    pub last_closed_at: Timestamp,
    /// Bars of all symbols together.
    pub bars: u64,
    /// Bars that the calendar of the time frame expects and the data lacks.
    pub missing_bars: u64,
    /// What the validation of the data found worth a warning.
    pub warnings: Vec<String>,
}

/// Where bars come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DataSource {
    /// Candles from files.
    Files,
    /// The simulated market, which the report labels in a banner.
    Simulated {
        /// Stated strength of the planted signal: its correlation with the forward return.
        signal_ic: f64,
        /// Horizon of that forward return, in bars.
        horizon_bars: u32,
        /// Seed of the simulation.
        seed: u64,
    },
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence level, such as `0.95`.
    pub level: f64,
}

/// A value with its uncertainty, each where it is defined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: Option<f64>,
    /// Its confidence interval.
    pub interval: Option<Interval>,
}

/// A range of time: from included, to excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First moment.
    pub from: Timestamp,
    /// First moment after the end.
    pub to: Timestamp,
}
