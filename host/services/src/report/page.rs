//! The data of a report arranged for the templates: tables, sorted and cut, and charts as pictures.

use serde::Serialize;

use super::charts::{self, CurveCharts};
use super::data::{
    CalibrationCurve, Classification, Costs, FoldRow, LabelReport, MarketSummary, NamedCount,
    PathRow, Period, ReportData, Reproducibility, SymbolSummary, TradeRow, Trading,
};
use super::figures::{FigureRow, figure_rows};
use super::svg::{Bar, BarChart, range_bar, reliability, waterfall};
use super::verdict::{Verdict, model_verdict, strategy_verdict};
use super::{ReportError, format};

/// Most trades listed on the page; totals are over all of them.
pub(super) const LISTED_TRADES: usize = 2_000;
/// Features listed before the rest is folded away.
const LISTED_FEATURES: usize = 20;

/// What the templates see.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    title: &'a str,
    verdicts: [Verdict; 2],
    market: &'a MarketSummary,
    classification: &'a Classification,
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
    trading: TradingPart<'a>,
    figures: Vec<FigureRow>,
    monthly: Vec<MonthlyTable>,
    curve: CurveCharts,
    reproducibility: &'a Reproducibility,
}

#[derive(Debug, Serialize)]
struct ConfusionRow<'a> {
    class: &'a str,
    total: u64,
    cells: Vec<ConfusionCell>,
}

#[derive(Debug, Serialize)]
struct ConfusionCell {
    rows: u64,
    share: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CalibrationPart<'a> {
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

#[derive(Debug, Serialize)]
struct MonthlyTable {
    name: &'static str,
    /// Size of the largest monthly return of all tables, for the colours.
    most: f64,
    years: Vec<YearRow>,
}

#[derive(Debug, Serialize)]
struct YearRow {
    year: i16,
    months: Vec<MonthCell>,
    total: Option<f64>,
}

/// A month inside or outside the traded range.
#[derive(Debug, Clone, Serialize)]
struct MonthCell {
    traded: bool,
    value: Option<f64>,
}

#[derive(Debug, Serialize)]
struct TradingPart<'a> {
    currency: &'a str,
    initial_cash: f64,
    period: Period,
    trials: u32,
    costs: &'a Costs,
    waterfall: Option<String>,
    refusals: &'a [NamedCount],
    refused_orders: u64,
    expired_orders: u64,
    symbols: &'a [SymbolSummary],
    trades: Vec<ListedTrade<'a>>,
    totals: TradeTotals,
}

#[derive(Debug, Serialize)]
struct ListedTrade<'a> {
    number: u64,
    trade: &'a TradeRow,
}

#[derive(Debug, Serialize)]
struct TradeTotals {
    trades: u64,
    open: u64,
    gross_profit: f64,
    fees: f64,
    slippage: f64,
    net_profit: f64,
}

/// Arranges a report.
pub(super) fn page(data: &ReportData) -> Result<Page<'_>, ReportError> {
    Ok(Page {
        title: &data.title,
        verdicts: [model_verdict(data), strategy_verdict(data)],
        market: &data.market,
        classification: &data.classification,
        confusion: confusion(&data.classification),
        calibration: data
            .classification
            .calibration
            .iter()
            .map(calibration_part)
            .collect(),
        score_chart: score_chart(&data.classification),
        folds: &data.folds,
        fold_chart: fold_chart(&data.folds),
        paths: &data.paths,
        features: importance(data),
        labels: &data.labels,
        balance_chart: balance_chart(&data.labels),
        horizon_chart: horizon_chart(&data.labels),
        trading: trading_part(&data.trading),
        figures: figure_rows(data),
        monthly: monthly(&data.trading),
        curve: charts::curve_charts(data)?,
        reproducibility: &data.reproducibility,
    })
}

fn confusion(quality: &Classification) -> Vec<ConfusionRow<'_>> {
    let rows = quality.class_names.iter().zip(&quality.confusion);
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

fn calibration_part(curve: &CalibrationCurve) -> CalibrationPart<'_> {
    CalibrationPart {
        curve,
        rows: curve.bins.iter().map(|bin| bin.rows).sum(),
        chart: reliability(curve),
    }
}

fn score_chart(quality: &Classification) -> Option<String> {
    let bars = quality.score_buckets.iter().map(|bucket| {
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
                "bucket {}: {} bps, mean score {}, {} rows",
                bucket.bucket,
                number(value, 1),
                number(bucket.mean_score, 3),
                format::count(bucket.rows)
            ),
        }
    });
    BarChart {
        label: "mean return until the label's end by score bucket".to_owned(),
        x_title: format!(
            "score bucket, low to high; return until the label's end, at most {} bars",
            quality.forward_return_bars
        ),
        suffix: "\u{a0}bps",
        signed: true,
        bars: bars.collect(),
    }
    .draw()
}

fn fold_chart(folds: &[FoldRow]) -> Option<String> {
    let bars = folds.iter().map(|fold| {
        let difference = &fold.accuracy_difference;
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
        label: "accuracy minus majority baseline by fold, in percentage points".to_owned(),
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

fn monthly(trading: &Trading) -> Vec<MonthlyTable> {
    let months = &trading.monthly_returns;
    let sizes = months
        .iter()
        .flat_map(|month| [month.strategy, month.buy_and_hold]);
    let most = sizes
        .flatten()
        .map(f64::abs)
        .filter(|size| size.is_finite())
        .fold(0.0, f64::max);
    let table = |name, read: fn(&super::data::MonthReturn) -> Option<f64>| {
        let mut years: Vec<YearRow> = Vec::new();
        for month in months {
            if years.last().is_none_or(|row| row.year != month.year) {
                years.push(YearRow {
                    year: month.year,
                    months: vec![
                        MonthCell {
                            traded: false,
                            value: None
                        };
                        12
                    ],
                    total: Some(0.0),
                });
            }
            let value = read(month).filter(|value| value.is_finite());
            if let Some(row) = years.last_mut() {
                row.total = row
                    .total
                    .zip(value)
                    .map(|(sum, one)| (1.0 + sum) * (1.0 + one) - 1.0);
                if let Some(cell) = row
                    .months
                    .get_mut(usize::from(month.month.saturating_sub(1)))
                {
                    *cell = MonthCell {
                        traded: true,
                        value,
                    };
                }
            }
        }
        MonthlyTable { name, most, years }
    };
    vec![
        table("Strategy", |month| month.strategy),
        table("Buy and hold", |month| month.buy_and_hold),
    ]
}

fn trading_part(trading: &Trading) -> TradingPart<'_> {
    let all = &trading.trades;
    let skipped = all.len().saturating_sub(LISTED_TRADES);
    let listed = (1..).zip(all).skip(skipped);
    let mut listed: Vec<ListedTrade<'_>> = listed
        .map(|(number, trade)| ListedTrade { number, trade })
        .collect();
    listed.reverse();
    let sum = |read: fn(&TradeRow) -> f64| all.iter().map(read).sum();
    TradingPart {
        currency: &trading.currency,
        initial_cash: trading.initial_cash,
        period: trading.period,
        trials: trading.trials,
        costs: &trading.costs,
        waterfall: waterfall(&trading.costs, &trading.currency),
        refusals: &trading.refusals,
        refused_orders: trading.refusals.iter().map(|refusal| refusal.count).sum(),
        expired_orders: trading.expired_orders,
        symbols: &trading.symbols,
        trades: listed,
        totals: TradeTotals {
            trades: all.len() as u64,
            open: all.iter().filter(|trade| trade.exited_at.is_none()).count() as u64,
            gross_profit: sum(|trade| trade.gross_profit),
            fees: sum(|trade| trade.fees),
            slippage: sum(|trade| trade.slippage),
            net_profit: sum(|trade| trade.net_profit),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::{FeatureImportance, MonthReturn};
    use super::super::sample;
    use super::*;

    #[test]
    fn a_year_compounds_its_months_and_is_undefined_where_a_month_is() {
        let mut data = sample::report();
        let month = |year, month, strategy| MonthReturn {
            year,
            month,
            strategy,
            buy_and_hold: Some(0.0),
        };
        data.trading.monthly_returns = vec![
            month(2023, 12, Some(0.1)),
            month(2024, 1, Some(0.5)),
            month(2024, 3, Some(-0.5)),
            month(2025, 1, None),
            month(2025, 2, Some(0.2)),
        ];
        let tables = monthly(&data.trading);
        let totals: Vec<Option<f64>> = tables[0].years.iter().map(|year| year.total).collect();
        assert!((totals[0].unwrap() - 0.1).abs() < 1e-12);
        assert!((totals[1].unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(totals[2], None);
        assert!((tables[0].most - 0.5).abs() < 1e-12);
        let year = &tables[0].years[1];
        let traded: Vec<bool> = year.months.iter().map(|month| month.traded).collect();
        assert_eq!(traded[..4], [true, false, true, false]);
    }

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

    #[test]
    fn totals_cover_all_trades_and_the_list_only_the_last() {
        let mut data = sample::report();
        let one = data.trading.trades[0].clone();
        data.trading.trades = vec![
            TradeRow {
                net_profit: 1.0,
                ..one
            };
            LISTED_TRADES + 50
        ];
        let part = trading_part(&data.trading);
        assert_eq!(part.trades.len(), LISTED_TRADES);
        assert_eq!(part.trades[0].number, 2_050);
        assert_eq!(part.trades[LISTED_TRADES - 1].number, 51);
        assert_eq!(part.totals.trades, 2_050);
        assert!((part.totals.net_profit - 2_050.0).abs() < 1e-9);
    }
}
