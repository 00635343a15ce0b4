//! The report of a run: one HTML file that opens without a network.
//!
//! The training service fills a [`ReportData`], [`render`] turns it into the page: checks that it
//! fits together, arranges it (`page`), draws pictures (`svg`, `charts`) and fills the
//! templates under `assets/report/`. The interactive charts use uPlot, which travels inside the
//! file. The page holds no external reference, all its text is escaped, and without scripts every
//! table and a still picture of every chart remain. Nothing here reads or writes files, and no
//! number is computed that is not a sum or a share of what it was given.

mod backtest_page;
mod charts;
mod check;
mod comparison_page;
mod data;
mod downsample;
mod evaluation_page;
mod figures;
mod format;
mod page;
#[cfg(test)]
pub(crate) mod sample;
mod svg;
mod template;
mod trading_page;
mod verdict;

use minijinja::context;
use minijinja::value::Serde;

pub use data::{
    Analysis, BacktestRecord, BacktestReport, Balance, CalibrationBin, CalibrationCurve, Capacity,
    CapacityPoint, ClassCount, ClassMetrics, Classification, CommonFigures, ComparedRow,
    ComparedRun, Comparison, ConfigText, ConstantBaseline, ContributionPoint, ContributionSummary,
    Costs, CurveOnCommon, CurvePoint, DataSource, DieboldMarianoRow, Estimate, Evaluation,
    FeatureContribution, FeatureImportance, FigureIntervals, FileDigest, FoldCurve, FoldRow,
    ForecastErrors, HorizonBucket, ImportanceTable, Interval, IntervalCoverage, LabelReport,
    LagCorrelation, LearningCurve, MarketSummary, McNemarRow, ModelArtifact, ModelEvaluation,
    MonthReturn, NamedCount, NamedText, Overfitting, PairRow, PairedTest, PathRow, Performance,
    Period, PluginIdentity, Quality, QuantileLevel, QuantileQuality, RegimeReport, RegimeRow,
    Regression, ReportData, Reproducibility, RunsLuck, ScoreBucket, SuperiorTest, SymbolSummary,
    TradeRow, TradeSide, Trading,
};
pub use verdict::{Outcome, Verdict, model_verdict, strategy_verdict};

const STYLE: &str = include_str!("../../assets/report/report.css");
const SCRIPT: &str = include_str!("../../assets/report/report.js");
const UPLOT_STYLE: &str = include_str!("../../assets/report/vendor/uPlot.min.css");
const UPLOT_SCRIPT: &str = include_str!("../../assets/report/vendor/uPlot.iife.min.js");

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The data contradicts itself; every contradiction is listed.
    #[error(
        "the report's data does not fit together: {}; correct what fills it",
        problems.join("; ")
    )]
    Inconsistent {
        /// What is wrong, one entry each.
        problems: Vec<String>,
    },
    /// A template does not match the data.
    #[error("a report template failed: {0:#}; templates and ReportData must change together")]
    Template(#[from] minijinja::Error),
    /// The chart data cannot be written as JSON.
    #[error("the report's chart data cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The page of a run, a complete HTML document.
///
/// # Errors
/// [`ReportError::Inconsistent`] where `data` contradicts itself; the other kinds only where the
/// templates are at fault.
pub fn render(data: &ReportData) -> Result<String, ReportError> {
    consistent(check::problems(data))?;
    fill("report.html", page::page(data)?)
}

/// The page of a backtest, a complete HTML document.
///
/// # Errors
/// As [`render`].
pub fn render_backtest(data: &BacktestReport) -> Result<String, ReportError> {
    consistent(check::trading_problems(&data.trading))?;
    fill("backtest.html", backtest_page::backtest_page(data)?)
}

/// The page of several runs side by side, a complete HTML document.
///
/// # Errors
/// As [`render`].
pub fn render_comparison(data: &Comparison) -> Result<String, ReportError> {
    consistent(comparison_page::problems(data))?;
    fill("comparison.html", comparison_page::comparison_page(data)?)
}

/// The page of several models on the same folds, a complete HTML document.
///
/// # Errors
/// As [`render`].
pub fn render_evaluation(data: &Evaluation) -> Result<String, ReportError> {
    consistent(evaluation_page::problems(data))?;
    fill("evaluation.html", evaluation_page::evaluation_page(data)?)
}

fn consistent(problems: Vec<String>) -> Result<(), ReportError> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ReportError::Inconsistent { problems }),
    }
}

fn fill(template: &str, page: impl serde::Serialize) -> Result<String, ReportError> {
    let page = minijinja::Value::from(Serde(page));
    let environment = template::environment()?;
    let html = environment.get_template(template)?.render(context! {
        page,
        style => STYLE,
        script => SCRIPT,
        uplot_style => UPLOT_STYLE,
        uplot_script => UPLOT_SCRIPT,
    })?;
    Ok(html)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const VENDOR_README: &str = include_str!("../../assets/report/vendor/README.md");

    fn hex(bytes: &str) -> String {
        let digest = Sha256::digest(bytes.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Set `FUSEBOX_REPORT_SAMPLE` at build time to a path to look at the page.
    #[test]
    fn the_sample_renders_as_one_complete_page() {
        let html = render(&sample::report()).unwrap();
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
        for section in [
            "equity",
            "figures",
            "monthly",
            "folds",
            "predictions",
            "features",
            "costs",
            "regimes",
            "luck",
            "capacity",
            "trades",
            "labels",
            "reproduce",
        ] {
            assert!(
                html.contains(&format!("<section id=\"{section}\">")),
                "{section}"
            );
            assert!(html.contains(&format!("href=\"#{section}\"")), "{section}");
        }
        assert!(!html.contains("{{") && !html.contains("{%"));
        assert!(html.len() < 4_000_000, "{} bytes", html.len());
        if let Some(path) = option_env!("FUSEBOX_REPORT_SAMPLE") {
            std::fs::write(path, html).unwrap();
        }
    }

    #[test]
    fn a_backtest_has_the_trading_half_of_the_page() {
        let html = render_backtest(&sample::backtest()).unwrap();
        for section in [
            "equity",
            "figures",
            "monthly",
            "costs",
            "regimes",
            "luck",
            "capacity",
            "trades",
            "reproduce",
        ] {
            assert!(
                html.contains(&format!("<section id=\"{section}\">")),
                "{section}"
            );
            assert!(html.contains(&format!("href=\"#{section}\"")), "{section}");
        }
        assert!(!html.contains("{{") && !html.contains("{%"));
        assert!(!html.contains("fold's test range") && !html.contains("id=\"labels\""));
        if let Some(path) = option_env!("FUSEBOX_BACKTEST_SAMPLE") {
            std::fs::write(path, html).unwrap();
        }
    }

    #[test]
    fn the_page_says_where_random_strategies_traded_otherwise() {
        let mut data = sample::backtest();
        let alike = render_backtest(&data).unwrap();
        assert!(alike.contains("with the same turnover (1.01 times its own"));
        assert!(alike.contains("without the breakers of drawdown and of a day's loss"));
        data.trading.analysis.random_is_alike = false;
        data.trading.analysis.random_turnover = Some(0.5);
        let unlike = render_backtest(&data).unwrap();
        assert!(unlike.contains("Their turnover is 0.50 times the strategy's, so the p-value"));
        assert!(!unlike.contains("with the same turnover"));
    }

    #[test]
    fn the_page_refers_to_nothing_outside_itself() {
        let html = render(&sample::report()).unwrap();
        let compact: String = html.to_lowercase().split_whitespace().collect();
        for reference in [
            "src=",
            "<link",
            "<iframe",
            "<img",
            "url(",
            "@import",
            "import(",
            "fetch(",
            "xmlhttprequest",
            "href=\"http",
            "href='http",
            "href=\"//",
            "xlink",
        ] {
            assert!(!compact.contains(reference), "{reference}");
        }
        assert!(html.contains("default-src 'none'"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</script><script>alert('x')</script>\"onload=\"<img src=x>&{{ 7*7 }}";
        let mut data = sample::report();
        data.title = hostile.to_owned();
        data.market.symbols[0] = hostile.to_owned();
        data.market.warnings.push(hostile.to_owned());
        data.quality.classes_mut().class_names[0] = hostile.to_owned();
        data.quality.classes_mut().per_class[0].class = hostile.to_owned();
        data.quality.classes_mut().calibration[0].class = hostile.to_owned();
        data.features[0].feature = hostile.to_owned();
        data.labels.balance[0].name = hostile.to_owned();
        data.labels.description = hostile.to_owned();
        data.trading.currency = hostile.to_owned();
        data.trading.symbols[0].symbol = hostile.to_owned();
        data.trading.refusals[0].name = hostile.to_owned();
        for trade in &mut data.trading.trades {
            trade.symbol = hostile.to_owned();
            trade.exit_reason = hostile.to_owned();
        }
        data.reproducibility.config.toml = hostile.to_owned();
        data.reproducibility.command_line = hostile.to_owned();
        data.reproducibility.versions[0].value = hostile.to_owned();
        data.reproducibility.files[0].path = hostile.to_owned();
        let html = render(&data).unwrap();
        assert!(!html.contains("<script>alert") && !html.contains("<img src=x>"));
        let outside_json = html.replace("\\\"onload=", "");
        assert!(
            !outside_json.contains("\"onload="),
            "a quote must not end an attribute"
        );
        assert_eq!(html.matches("<script").count(), 3);
        assert!(html.contains("&lt;script&gt;alert") && html.contains("{{ 7*7 }}"));
    }

    #[test]
    fn undefined_values_are_dashes_with_an_explanation() {
        let mut data = sample::report();
        let before = render(&data)
            .unwrap()
            .matches("class=\"undefined\"")
            .count();
        data.quality.classes_mut().accuracy = Estimate::default();
        data.quality.classes_mut().log_loss = Some(f64::NAN);
        data.trading.strategy = Performance::default();
        data.trading.monthly_returns[0].strategy = None;
        data.folds[0].best_iteration = None;
        let html = render(&data).unwrap();
        assert!(html.matches("class=\"undefined\"").count() >= before + 18);
        assert!(html.contains("</span> undefined: the value cannot be computed"));
        assert!(!html.contains("NaN") || html.matches("NaN").count() == scripts_nan());
    }

    fn scripts_nan() -> usize {
        [UPLOT_SCRIPT, SCRIPT]
            .iter()
            .map(|text| text.matches("NaN").count())
            .sum()
    }

    #[test]
    fn a_run_without_trades_folds_or_features_still_has_a_report() {
        let mut data = sample::report();
        data.market.source = DataSource::Files;
        data.folds.clear();
        data.features.clear();
        data.labels.balance.clear();
        data.labels.horizon.clear();
        data.quality.classes_mut().confusion = vec![vec![0; 3]; 3];
        data.quality.classes_mut().scored_predictions = 0;
        data.quality.classes_mut().score_buckets.clear();
        for curve in &mut data.quality.classes_mut().calibration {
            curve.bins.clear();
        }
        data.trading.curve.clear();
        data.trading.trades.clear();
        data.trading.monthly_returns.clear();
        data.trading.symbols.clear();
        data.trading.analysis = Analysis::default();
        data.trading.costs = Costs::default();
        let html = render(&data).unwrap();
        assert!(html.contains("All 0 round trips are listed"));
        assert!(!html.contains("Simulated data."));
        assert_eq!(html.matches("there is nothing to draw").count(), 13);
    }

    #[test]
    fn simulated_data_is_labelled_with_the_planted_signal() {
        let html = render(&sample::report()).unwrap();
        assert!(html.contains("<strong>Simulated data.</strong>"));
        assert!(html.contains("over the next 12 bars is 0.050 (seed 7)"));
    }

    #[test]
    fn contradicting_data_is_refused() {
        let mut data = sample::report();
        data.quality.classes_mut().class_names.clear();
        let error = render(&data).unwrap_err();
        assert!(matches!(&error, ReportError::Inconsistent { problems } if problems.len() >= 3));
        assert!(error.to_string().contains("class_names is empty"));
    }

    #[test]
    fn the_same_data_gives_the_same_page() {
        assert_eq!(
            render(&sample::report()).unwrap(),
            render(&sample::report()).unwrap()
        );
    }

    #[test]
    fn report_data_survives_json() {
        let data = sample::report();
        let json = serde_json::to_string(&data).unwrap();
        let read: ReportData = serde_json::from_str(&json).unwrap();
        assert_eq!(render(&read).unwrap().len(), render(&data).unwrap().len());
    }

    #[test]
    fn scripts_may_stand_inside_the_page_and_are_the_recorded_versions() {
        for script in [UPLOT_SCRIPT, SCRIPT, UPLOT_STYLE, STYLE] {
            assert!(!script.to_lowercase().contains("</s"));
        }
        let license = include_str!("../../assets/report/vendor/LICENSE");
        for file in [UPLOT_SCRIPT, UPLOT_STYLE, license] {
            assert!(VENDOR_README.contains(&hex(file)), "{}", hex(file));
        }
        assert!(UPLOT_SCRIPT.contains("v1.6.32") && VENDOR_README.contains("1.6.32"));
    }
}
