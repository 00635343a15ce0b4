//! The curves over time: thinned for drawing, as data for the interactive charts and as a still
//! picture for print and for readers without scripts.

use serde::Serialize;

use super::ReportError;
use super::data::ReportData;
use super::downsample;
use super::svg::{Line, LineChart};

/// Most points of one interactive chart.
pub(super) const INTERACTIVE_POINTS: usize = 4_000;
/// Most points of one still picture, about one for each unit of its width.
const STILL_POINTS: usize = 1_200;

/// The charts over time.
#[derive(Debug, Serialize)]
pub(super) struct CurveCharts {
    /// Equity, drawdown, exposure, in this order.
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
    title: &'static str,
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
    name: &'static str,
    class: &'static str,
    values: Vec<f64>,
}

/// A chart before thinning.
struct Plan {
    id: &'static str,
    title: &'static str,
    height: f64,
    percent: bool,
    lines: Vec<Line>,
}

/// Prepares the charts of the out-of-sample curve.
pub(super) fn curve_charts(data: &ReportData) -> Result<CurveCharts, ReportError> {
    let curve = &data.trading.curve;
    let second = |nanos: i64| nanos.div_euclid(1_000_000_000);
    let seconds: Vec<i64> = curve
        .iter()
        .map(|point| second(point.closed_at.as_nanos()))
        .collect();
    let marks: Vec<i64> = data
        .folds
        .iter()
        .map(|fold| second(fold.test.from.as_nanos()))
        .collect();
    let mut charts = Vec::new();
    let mut payload = Payload {
        currency: &data.trading.currency,
        marks: marks.clone(),
        charts: Vec::new(),
    };
    for plan in plans(data) {
        charts.push(CurveChart {
            id: plan.id,
            title: plan.title,
            still: still(&plan, &seconds, &marks),
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
        points: curve.len() as u64,
        thinned: curve.len() > INTERACTIVE_POINTS,
        limit: INTERACTIVE_POINTS as u64,
    })
}

fn plans(data: &ReportData) -> [Plan; 3] {
    let curve = &data.trading.curve;
    let strategy: Vec<f64> = curve.iter().map(|point| point.strategy_equity).collect();
    let hold: Vec<f64> = curve
        .iter()
        .map(|point| point.buy_and_hold_equity)
        .collect();
    let (strategy_fall, hold_fall) = (drawdown_percent(&strategy), drawdown_percent(&hold));
    let pair = |strategy, hold| {
        vec![
            line("strategy", "strategy", strategy),
            line("buy and hold", "benchmark", hold),
        ]
    };
    let exposure = curve
        .iter()
        .map(|point| point.gross_exposure * 100.0)
        .collect();
    [
        Plan {
            id: "equity",
            title: "Equity",
            height: 340.0,
            percent: false,
            lines: pair(strategy, hold),
        },
        Plan {
            id: "drawdown",
            title: "Drawdown",
            height: 190.0,
            percent: true,
            lines: pair(strategy_fall, hold_fall),
        },
        Plan {
            id: "exposure",
            title: "Gross exposure of the strategy",
            height: 160.0,
            percent: true,
            lines: vec![line("strategy", "strategy", exposure)],
        },
    ]
}

fn line(name: &'static str, class: &'static str, values: Vec<f64>) -> Line {
    Line {
        name,
        class,
        values,
    }
}

/// Distance below the running peak, as a percentage that is never positive.
fn drawdown_percent(equity: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let below = equity.iter().map(|value| {
        peak = peak.max(*value);
        if peak > 0.0 {
            (value / peak - 1.0) * 100.0
        } else {
            0.0
        }
    });
    below.collect()
}

fn still(plan: &Plan, seconds: &[i64], marks: &[i64]) -> Option<String> {
    let (kept, lines) = thin(&plan.lines, STILL_POINTS);
    let chart = LineChart {
        label: plan.title,
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
        values: kept.iter().map(|at| one.values[*at]).collect(),
        ..*one
    });
    let thinned = thinned.collect();
    (kept, thinned)
}

/// Seven significant digits are more than a screen shows and halve the size of the page.
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
        let charts = curve_charts(&data).unwrap();
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
    fn json_cannot_end_its_script_element() {
        let mut data = sample::report();
        data.trading.currency = "</script><script>alert(1)</script>".to_owned();
        let json = curve_charts(&data).unwrap().json;
        assert!(!json.contains('<') && !json.contains('>'));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["currency"], data.trading.currency);
    }
}
