//! The curves over time: thinned for drawing, as data for the interactive charts and as a still
//! picture for print and for readers without scripts.

use fusebox_engine::eval::trading::drawdowns;
use fusebox_engine::types::Timestamp;
use serde::Serialize;

use super::data::{Comparison, CurvePoint, Trading};
use super::svg::{Line, LineChart};
use super::{ReportError, downsample, format};

/// Most points of one interactive chart.
pub(super) const INTERACTIVE_POINTS: usize = 4_000;
/// Most points of one still picture, about one for each unit of its width.
const STILL_POINTS: usize = 1_200;

/// The charts over time.
#[derive(Debug, Serialize)]
pub(super) struct CurveCharts {
    /// In the order of the page; the first is equity.
    pub(super) charts: Vec<CurveChart>,
    /// Data of the interactive charts as JSON that is safe inside a script element.
    pub(super) json: String,
    /// Points of the whole curve.
    pub(super) points: u64,
    /// Whether charts show fewer points than there are.
    pub(super) thinned: bool,
    /// Most points of an interactive chart.
    pub(super) limit: u64,
}

/// One chart's place on the page.
#[derive(Debug, Serialize)]
pub(super) struct CurveChart {
    id: &'static str,
    title: String,
    still: Option<String>,
}

#[derive(Debug, Serialize)]
struct Payload<'a> {
    currency: &'a str,
    marks: Vec<i64>,
    charts: Vec<PayloadChart>,
}

#[derive(Debug, Serialize)]
struct PayloadChart {
    id: &'static str,
    height: f64,
    percent: bool,
    seconds: Vec<i64>,
    lines: Vec<PayloadLine>,
}

#[derive(Debug, Serialize)]
struct PayloadLine {
    name: String,
    class: &'static str,
    values: Vec<f64>,
}

/// A chart before thinning.
struct Plan {
    id: &'static str,
    title: String,
    height: f64,
    percent: bool,
    lines: Vec<Line>,
}

/// Prepares the charts of a traded curve; `marks` are times of vertical lines.
pub(super) fn curve_charts(
    trading: &Trading,
    marks: &[Timestamp],
) -> Result<CurveCharts, ReportError> {
    let times = trading.curve.iter().map(|point| point.closed_at);
    let times: Vec<Timestamp> = times.collect();
    draw(&plans(trading), &times, marks, &trading.currency)
}

/// Prepares the charts of several runs over the times that they share.
pub(super) fn comparison_charts(comparison: &Comparison) -> Result<CurveCharts, ReportError> {
    let curves = &comparison.curves;
    let runs = || {
        comparison
            .runs
            .iter()
            .zip(&curves.growth)
            .zip(LINE_CLASSES.iter().cycle())
    };
    let lines = |values: fn(&[f64]) -> Vec<f64>| {
        let lines = runs().map(|((run, growth), class)| line(&run.name, class, values(growth)));
        lines.collect::<Vec<Line>>()
    };
    let plans = [
        Plan {
            id: "equity",
            title: "Equity over its value at the first shared close".to_owned(),
            height: 360.0,
            percent: false,
            lines: lines(<[f64]>::to_vec),
        },
        Plan {
            id: "drawdown",
            title: "Drawdown".to_owned(),
            height: 220.0,
            percent: true,
            lines: lines(drawdown_percent),
        },
    ];
    draw(&plans, &curves.closed_at, &[], "")
}

/// Classes of lines where there are several of a kind.
const LINE_CLASSES: [&str; 12] = [
    "line-1", "line-2", "line-3", "line-4", "line-5", "line-6", "line-7", "line-8", "line-9",
    "line-10", "line-11", "line-12",
];

fn draw(
    plans: &[Plan],
    times: &[Timestamp],
    marks: &[Timestamp],
    currency: &str,
) -> Result<CurveCharts, ReportError> {
    let second = |at: &Timestamp| at.as_nanos().div_euclid(1_000_000_000);
    let seconds: Vec<i64> = times.iter().map(second).collect();
    let marks: Vec<i64> = marks.iter().map(second).collect();
    let mut charts = Vec::new();
    let mut payload = Payload {
        currency,
        marks: marks.clone(),
        charts: Vec::new(),
    };
    for plan in plans {
        charts.push(CurveChart {
            id: plan.id,
            title: plan.title.clone(),
            still: still(plan, &seconds, &marks),
        });
        let (kept, lines) = thin(&plan.lines, INTERACTIVE_POINTS);
        payload.charts.push(PayloadChart {
            id: plan.id,
            height: plan.height,
            percent: plan.percent,
            seconds: kept.iter().map(|at| seconds[*at]).collect(),
            lines: lines.into_iter().map(compact).collect(),
        });
    }
    Ok(CurveCharts {
        charts,
        json: script_safe(&serde_json::to_string(&payload)?),
        points: times.len() as u64,
        thinned: times.len() > INTERACTIVE_POINTS,
        limit: INTERACTIVE_POINTS as u64,
    })
}

fn plans(trading: &Trading) -> [Plan; 5] {
    let column = |read: fn(&CurvePoint) -> f64| trading.curve.iter().map(read).collect();
    let (strategy, hold): (Vec<f64>, Vec<f64>) = (
        column(|point| point.strategy_equity),
        column(|point| point.buy_and_hold_equity),
    );
    let falls = (drawdown_percent(&strategy), drawdown_percent(&hold));
    let pair = |(strategy, hold)| {
        vec![
            line("strategy", "strategy", strategy),
            line("buy and hold", "benchmark", hold),
        ]
    };
    // What is not defined leaves a gap.
    let gap = f64::NAN;
    let window = format::count(trading.analysis.window_steps);
    let plan = |id, title: &str, height, percent, lines| Plan {
        id,
        title: title.to_owned(),
        height,
        percent,
        lines,
    };
    let exposure = vec![
        line(
            "gross",
            "strategy",
            column(|point| point.gross_exposure * 100.0),
        ),
        line(
            "net",
            "benchmark",
            column(|point| point.net_exposure * 100.0),
        ),
    ];
    let turnover = column(|point| point.rolling_turnover.unwrap_or(f64::NAN));
    let rolling = (
        trading
            .curve
            .iter()
            .map(|point| point.rolling_sharpe_ratio.unwrap_or(gap))
            .collect(),
        trading
            .curve
            .iter()
            .map(|point| point.buy_and_hold_rolling_sharpe_ratio.unwrap_or(gap))
            .collect(),
    );
    let exposure_title = "Exposure of the strategy over equity; gross exposure is its leverage";
    let turnover_title =
        format!("Turnover of the strategy: value traded over equity, {window} bars");
    let rolling_title = format!("Sharpe ratio of the last {window} bars, annualised");
    [
        plan("equity", "Equity", 340.0, false, pair((strategy, hold))),
        plan("drawdown", "Drawdown", 190.0, true, pair(falls)),
        plan("exposure", exposure_title, 180.0, true, exposure),
        plan(
            "turnover",
            &turnover_title,
            150.0,
            false,
            vec![line("strategy", "strategy", turnover)],
        ),
        plan("rolling", &rolling_title, 190.0, false, pair(rolling)),
    ]
}

fn line(name: &str, class: &'static str, values: Vec<f64>) -> Line {
    Line {
        name: name.to_owned(),
        class,
        values,
    }
}

/// Distance below the running peak, as a percentage that is never positive.
fn drawdown_percent(equity: &[f64]) -> Vec<f64> {
    let below = drawdowns(equity).into_iter();
    below
        .map(|share| if share == 0.0 { 0.0 } else { -share * 100.0 })
        .collect()
}

fn still(plan: &Plan, seconds: &[i64], marks: &[i64]) -> Option<String> {
    let (kept, lines) = thin(&plan.lines, STILL_POINTS);
    let chart = LineChart {
        label: &plan.title,
        height: plan.height,
        suffix: if plan.percent { "\u{a0}%" } else { "" },
        seconds: kept.iter().map(|at| seconds[*at]).collect(),
        marks: marks.to_vec(),
        lines,
    };
    chart.draw()
}

fn thin(lines: &[Line], limit: usize) -> (Vec<usize>, Vec<Line>) {
    let series: Vec<&[f64]> = lines.iter().map(|line| line.values.as_slice()).collect();
    let kept = downsample::keep(&series, limit);
    let thinned = lines.iter().map(|one| Line {
        name: one.name.clone(),
        class: one.class,
        values: kept.iter().map(|at| one.values[*at]).collect(),
    });
    let thinned = thinned.collect();
    (kept, thinned)
}

/// Seven significant digits are more than a screen shows and halve the size of the page; a gap
/// becomes null.
fn compact(line: Line) -> PayloadLine {
    let short = |value: f64| format!("{value:.6e}").parse().unwrap_or(value);
    PayloadLine {
        name: line.name,
        class: line.class,
        values: line.values.into_iter().map(short).collect(),
    }
}

/// Escapes what could end a script element or, in old engines, a string.
fn script_safe(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn interactive_data_is_thinned_and_keeps_the_deepest_drawdown() {
        let data = sample::report();
        let charts = curve_charts(&data.trading, &[]).unwrap();
        assert!(charts.thinned && data.trading.curve.len() > INTERACTIVE_POINTS);
        let json: serde_json::Value = serde_json::from_str(&charts.json).unwrap();
        let drawn = &json["charts"][1];
        let values = drawn["lines"][0]["values"].as_array().unwrap();
        assert!(values.len() <= INTERACTIVE_POINTS);
        assert_eq!(values.len(), drawn["seconds"].as_array().unwrap().len());
        let equity: Vec<f64> = data
            .trading
            .curve
            .iter()
            .map(|point| point.strategy_equity)
            .collect();
        let deepest = drawdown_percent(&equity).into_iter().fold(0.0, f64::min);
        let drawn = values
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .fold(0.0, f64::min);
        assert!((drawn - deepest).abs() < 1e-4, "{drawn} {deepest}");
    }

    #[test]
    fn drawdown_is_measured_from_the_running_peak() {
        let falls = drawdown_percent(&[100.0, 120.0, 90.0, 130.0]);
        assert_eq!(falls, vec![0.0, 0.0, -25.0, 0.0]);
        assert_eq!(drawdown_percent(&[0.0, -1.0]), vec![0.0, 0.0]);
    }

    #[test]
    fn what_is_not_defined_is_a_gap_in_the_data_too() {
        let mut data = sample::report();
        data.trading.curve.truncate(100);
        for (at, point) in data.trading.curve.iter_mut().enumerate() {
            point.rolling_sharpe_ratio = (at >= 40).then_some(0.5);
            point.buy_and_hold_rolling_sharpe_ratio = None;
        }
        let charts = curve_charts(&data.trading, &[]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&charts.json).unwrap();
        let lines = &json["charts"][4]["lines"];
        let gaps = |line: usize| {
            let values = lines[line]["values"].as_array().unwrap();
            values.iter().filter(|value| value.is_null()).count()
        };
        assert_eq!((gaps(0), gaps(1)), (40, 100));
    }

    #[test]
    fn json_cannot_end_its_script_element() {
        let mut data = sample::report();
        data.trading.currency = "</script><script>alert(1)</script>".to_owned();
        let json = curve_charts(&data.trading, &[]).unwrap().json;
        assert!(!json.contains('<') && !json.contains('>'));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["currency"], data.trading.currency);
    }
}
