//! The data of a report arranged for the templates: tables, sorted and cut, and charts as pictures.

use fusebox_engine::types::Timestamp;
use serde::Serialize;

use super::data::{
    CalibrationCurve, Classification, FoldRow, LabelReport, MarketSummary, PathRow, Period,
    Quality, Regression, ReportData, Reproducibility, ScoreBucket,
};
use super::svg::{Bar, BarChart, range_bar, reliability};
use super::trading_page::{TradingPage, trading_page};
use super::verdict::{Verdict, model_verdict, strategy_verdict};
use super::{ReportError, format};

/// Features listed before the rest is folded away.
const LISTED_FEATURES: usize = 20;

/// What the templates see.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    title: &'a str,
    verdicts: [Verdict; 2],
    market: &'a MarketSummary,
    quality: QualityFacts,
    classification: Option<&'a Classification>,
    regression: Option<&'a Regression>,
    confusion: Vec<ConfusionRow<'a>>,
    calibration: Vec<CalibrationPart<'a>>,
    score_chart: Option<String>,
    folds: &'a [FoldRow],
    fold_chart: Option<String>,
    paths: &'a [PathRow],
    features: Importance,
    labels: &'a LabelReport,
    balance_chart: Option<String>,
    horizon_chart: Option<String>,
    #[serde(flatten)]
    trading: TradingPage<'a>,
    reproducibility: &'a Reproducibility,
}

/// What every kind of quality has.
#[derive(Debug, Serialize)]
struct QualityFacts {
    period: Period,
    predictions: u64,
    scored_predictions: u64,
}

/// A row of a confusion matrix.
#[derive(Debug, Serialize)]
pub(super) struct ConfusionRow<'a> {
    class: &'a str,
    total: u64,
    cells: Vec<ConfusionCell>,
}

#[derive(Debug, Serialize)]
struct ConfusionCell {
    rows: u64,
    share: Option<f64>,
}

/// The reliability of one class.
#[derive(Debug, Serialize)]
pub(super) struct CalibrationPart<'a> {
    curve: &'a CalibrationCurve,
    rows: u64,
    chart: Option<String>,
}

#[derive(Debug, Serialize)]
struct Importance {
    top: Vec<ImportanceRow>,
    rest: Vec<ImportanceRow>,
}

#[derive(Debug, Serialize)]
struct ImportanceRow {
    rank: u64,
    feature: String,
    mean: f64,
    low: f64,
    high: f64,
    chart: String,
}

/// Arranges a report.
pub(super) fn page(data: &ReportData) -> Result<Page<'_>, ReportError> {
    let marks: Vec<Timestamp> = data.folds.iter().map(|fold| fold.test.from).collect();
    let (classes, returns) = (data.quality.classification(), data.quality.regression());
    let (predictions, scored_predictions) = data.quality.counts();
    let curves = classes.map_or(&[][..], |quality| &quality.calibration);
    Ok(Page {
        title: &data.title,
        verdicts: [model_verdict(data), strategy_verdict(&data.trading)],
        market: &data.market,
        quality: QualityFacts {
            period: data.quality.period(),
            predictions,
            scored_predictions,
        },
        classification: classes,
        regression: returns,
        confusion: classes.map_or_else(Vec::new, |quality| {
            confusion_rows(&quality.class_names, &quality.confusion)
        }),
        calibration: curves.iter().map(calibration_part).collect(),
        score_chart: match &data.quality {
            Quality::Classification(one) => {
                score_chart(&one.score_buckets, "score", one.forward_return_bars)
            }
            Quality::Regression(one) => {
                score_chart(&one.score_buckets, "forecast", one.forward_return_bars)
            }
        },
        folds: &data.folds,
        fold_chart: fold_chart(&data.folds),
        paths: &data.paths,
        features: importance(data),
        labels: &data.labels,
        balance_chart: balance_chart(&data.labels),
        horizon_chart: horizon_chart(&data.labels),
        trading: trading_page(&data.trading, &marks)?,
        reproducibility: &data.reproducibility,
    })
}

/// A confusion matrix with the shares of its rows.
pub(super) fn confusion_rows<'a>(
    names: &'a [String],
    counts: &[Vec<u64>],
) -> Vec<ConfusionRow<'a>> {
    let rows = names.iter().zip(counts);
    let rows = rows.map(|(class, counts)| {
        let total: u64 = counts.iter().sum();
        let cells = counts.iter().map(|rows| ConfusionCell {
            rows: *rows,
            share: (total > 0).then(|| *rows as f64 / total as f64),
        });
        ConfusionRow {
            class,
            total,
            cells: cells.collect(),
        }
    });
    rows.collect()
}

pub(super) fn calibration_part(curve: &CalibrationCurve) -> CalibrationPart<'_> {
    CalibrationPart {
        curve,
        rows: curve.bins.iter().map(|bin| bin.rows).sum(),
        chart: reliability(curve),
    }
}

fn score_chart(buckets: &[ScoreBucket], what: &str, horizon: u32) -> Option<String> {
    let bars = buckets.iter().map(|bucket| {
        let value = bucket.mean_forward_return.map(|value| value * 1e4);
        let error = bucket.standard_error.map(|error| error * 1e4);
        let whisker = value
            .zip(error)
            .map(|(value, error)| (value - error, value + error));
        let number = |value: Option<f64>, decimals| {
            let text = value.and_then(|value| format::signed(value, decimals));
            text.unwrap_or_else(|| "undefined".to_owned())
        };
        Bar {
            label: bucket.bucket.to_string(),
            value,
            whisker,
            hint: format!(
                "bucket {}: {} bps, mean {what} {}, {} rows",
                bucket.bucket,
                number(value, 1),
                number(bucket.mean_score, 3),
                format::count(bucket.rows)
            ),
        }
    });
    BarChart {
        label: format!("mean return until the label's end by {what} bucket"),
        x_title: format!(
            "{what} bucket, low to high; return until the label's end, at most {horizon} bars"
        ),
        suffix: "\u{a0}bps",
        signed: true,
        bars: bars.collect(),
    }
    .draw()
}

pub(super) fn fold_chart(folds: &[FoldRow]) -> Option<String> {
    let is_of_returns = folds.iter().any(|fold| fold.errors.is_some());
    let bars = folds.iter().map(|fold| {
        let difference = match &fold.errors {
            Some(errors) => &errors.r_squared,
            None => &fold.accuracy_difference,
        };
        let value = difference.value.map(|value| value * 100.0);
        let text = value.and_then(|value| format::signed(value, 1));
        Bar {
            label: fold.fold.to_string(),
            value,
            whisker: difference
                .interval
                .map(|interval| (interval.low * 100.0, interval.high * 100.0)),
            hint: format!(
                "fold {}, {} to {}: {} points",
                fold.fold,
                format::day(fold.test.from),
                format::day(fold.test.to),
                text.as_deref().unwrap_or("undefined")
            ),
        }
    });
    BarChart {
        label: match is_of_returns {
            true => "R2 against the training mean by fold, in percent".to_owned(),
            false => "accuracy minus majority baseline by fold, in percentage points".to_owned(),
        },
        x_title: "fold".to_owned(),
        suffix: "",
        signed: true,
        bars: bars.collect(),
    }
    .draw()
}

fn importance(data: &ReportData) -> Importance {
    let mut rows: Vec<ImportanceRow> = data
        .features
        .iter()
        .filter(|feature| !feature.gain_share_by_fold.is_empty())
        .map(|feature| {
            let shares = &feature.gain_share_by_fold;
            ImportanceRow {
                rank: 0,
                feature: feature.feature.clone(),
                mean: shares.iter().sum::<f64>() / shares.len() as f64,
                low: shares.iter().copied().fold(f64::INFINITY, f64::min),
                high: shares.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                chart: String::new(),
            }
        })
        .collect();
    rows.sort_by(|a, b| {
        b.mean
            .total_cmp(&a.mean)
            .then_with(|| a.feature.cmp(&b.feature))
    });
    let most = rows.iter().map(|row| row.high).fold(0.0, f64::max);
    for (rank, row) in (1..).zip(rows.iter_mut()) {
        row.rank = rank;
        row.chart = range_bar(row.mean, (row.low, row.high), most);
    }
    let rest = rows.split_off(rows.len().min(LISTED_FEATURES));
    Importance { top: rows, rest }
}

fn balance_chart(labels: &LabelReport) -> Option<String> {
    let total: u64 = labels.balance.iter().map(|class| class.rows).sum();
    let bars = labels.balance.iter().map(|class| Bar {
        label: class.name.clone(),
        value: (total > 0).then(|| class.rows as f64 / total as f64 * 100.0),
        whisker: None,
        hint: format!("{}: {} rows", class.name, format::count(class.rows)),
    });
    BarChart {
        label: "share of each class in the labels".to_owned(),
        x_title: "class".to_owned(),
        suffix: "\u{a0}%",
        signed: false,
        bars: bars.collect(),
    }
    .draw()
}

fn horizon_chart(labels: &LabelReport) -> Option<String> {
    let bars = labels.horizon.iter().map(|bucket| {
        let label = if bucket.from_bars == bucket.to_bars {
            bucket.from_bars.to_string()
        } else {
            format!("{}\u{2013}{}", bucket.from_bars, bucket.to_bars)
        };
        Bar {
            hint: format!("{label} bars: {} rows", format::count(bucket.rows)),
            label,
            value: Some(bucket.rows as f64),
            whisker: None,
        }
    });
    BarChart {
        label: "labels by bars until they are known".to_owned(),
        x_title: "bars until the label is known".to_owned(),
        suffix: "",
        signed: false,
        bars: bars.collect(),
    }
    .draw()
}

#[cfg(test)]
mod tests {
    use super::super::data::FeatureImportance;
    use super::super::sample;
    use super::*;

    #[test]
    fn features_are_ranked_by_mean_share_with_ties_by_name() {
        let mut data = sample::report();
        let feature = |name: &str, shares: [f64; 2]| FeatureImportance {
            feature: name.to_owned(),
            gain_share_by_fold: shares.to_vec(),
        };
        data.features = vec![
            feature("b", [0.2, 0.2]),
            feature("a", [0.1, 0.3]),
            feature("c", [0.5, 0.1]),
        ];
        let ranked = importance(&data);
        let names: Vec<&str> = ranked.top.iter().map(|row| row.feature.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert!(ranked.rest.is_empty());
    }
}
