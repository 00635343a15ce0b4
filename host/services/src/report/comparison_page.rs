//! The page of several runs side by side: their curves on one axis, every figure with the best one
//! marked, and what of the differences is more than luck.

use serde::Serialize;

use super::charts::{CurveCharts, comparison_charts};
use super::data::{ComparedRun, Comparison, Estimate, PairRow};
use super::figures::{ComparedFigure, common_figures, compared_figures};
use super::{ReportError, format};

/// What the templates see.
#[derive(Debug, Serialize)]
pub(super) struct ComparisonPage<'a> {
    comparison: &'a Comparison,
    /// Confidence of one interval alone would be this with so many pairs.
    pair_count: u64,
    figures: Vec<ComparedFigure>,
    common: Vec<ComparedFigure>,
    pairs: Vec<PairPart<'a>>,
    curve: CurveCharts,
}

#[derive(Debug, Serialize)]
struct PairPart<'a> {
    first: &'a str,
    second: &'a str,
    row: &'a PairRow,
    /// What the intervals say, in words.
    returns: String,
    sharpe: String,
}

/// Arranges the page.
pub(super) fn comparison_page(data: &Comparison) -> Result<ComparisonPage<'_>, ReportError> {
    let runs: Vec<&ComparedRun> = data.runs.iter().collect();
    Ok(ComparisonPage {
        comparison: data,
        pair_count: data.pairs.len() as u64,
        figures: compared_figures(&runs),
        common: common_figures(&runs),
        pairs: data.pairs.iter().map(|row| pair(data, row)).collect(),
        curve: comparison_charts(data)?,
    })
}

fn pair<'a>(data: &'a Comparison, row: &'a PairRow) -> PairPart<'a> {
    let name = |at: usize| data.runs.get(at).map_or("", |run| run.name.as_str());
    let (first, second) = (name(row.first), name(row.second));
    PairPart {
        first,
        second,
        row,
        returns: words(&row.mean_return, (first, second)),
        sharpe: words(&row.sharpe_ratio, (first, second)),
    }
}

/// Which of two is better as far as the interval of the difference tells.
fn words(difference: &Estimate, (first, second): (&str, &str)) -> String {
    match difference.interval {
        Some(interval) if interval.low > 0.0 => format!("{first} is better"),
        Some(interval) if interval.high < 0.0 => format!("{second} is better"),
        Some(_) => "no difference is shown".to_owned(),
        None => "cannot be said".to_owned(),
    }
}

/// Every contradiction of a comparison, in words.
pub(super) fn problems(data: &Comparison) -> Vec<String> {
    let mut problems = Vec::new();
    let (runs, times) = (data.runs.len(), data.curves.closed_at.len());
    if data.curves.growth.len() != runs {
        let found = data.curves.growth.len();
        problems.push(format!("curves.growth has {found} lines for {runs} runs"));
    }
    for (at, line) in data.curves.growth.iter().enumerate() {
        if line.len() != times {
            let found = line.len();
            problems.push(format!(
                "curves.growth[{at}] has {found} values for {times} times"
            ));
        }
    }
    if !data.curves.closed_at.is_sorted_by(|a, b| a < b) {
        problems.push("curves.closed_at is not ascending".to_owned());
    }
    for (at, row) in data.pairs.iter().enumerate() {
        if row.first >= runs || row.second >= runs || row.first == row.second {
            problems.push(format!("pairs[{at}] is of runs that are not there"));
        }
    }
    if !(data.confidence > 0.0 && data.confidence < 1.0) {
        let level = format::number(data.confidence, 3).unwrap_or_default();
        problems.push(format!("confidence is {level}, not between 0 and 1"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::data::Interval;
    use super::super::{render_comparison, sample};
    use super::*;

    #[test]
    fn an_interval_that_includes_zero_claims_nothing() {
        let of = |low, high| {
            let interval = Some(Interval {
                low,
                high,
                level: 0.95,
            });
            let value = Some(0.5);
            words(&Estimate { value, interval }, ("a", "b"))
        };
        assert_eq!(of(0.1, 0.9), "a is better");
        assert_eq!(of(-0.9, -0.1), "b is better");
        assert_eq!(of(-0.1, 0.9), "no difference is shown");
        assert_eq!(words(&Estimate::default(), ("a", "b")), "cannot be said");
    }

    #[test]
    fn the_page_names_every_run_pair_and_warning_and_escapes_them() {
        let mut data = sample::comparison();
        data.runs[1].name = "</script><script>alert(1)</script>".to_owned();
        data.warnings.push("<img src=x>".to_owned());
        let html = render_comparison(&data).unwrap();
        assert!(!html.contains("<script>alert") && !html.contains("<img src=x>"));
        assert_eq!(html.matches("<script").count(), 3);
        assert!(html.contains("&lt;img src=x&gt;"));
        assert!(html.contains("default-src 'none'"));
        assert!(!html.contains("{{") && !html.contains("{%"));
        for section in ["equity", "common", "figures", "differences"] {
            assert!(
                html.contains(&format!("<section id=\"{section}\">")),
                "{section}"
            );
            assert!(html.contains(&format!("href=\"#{section}\"")), "{section}");
        }
        if let Some(path) = option_env!("FUSEBOX_COMPARISON_SAMPLE") {
            std::fs::write(path, render_comparison(&sample::comparison()).unwrap()).unwrap();
        }
    }

    #[test]
    fn contradictions_are_all_named() {
        let mut data = sample::comparison();
        assert_eq!(problems(&data), Vec::<String>::new());
        data.curves.growth[0].pop();
        data.curves.closed_at.swap(0, 1);
        data.pairs[0].second = 99;
        data.confidence = 1.0;
        assert_eq!(problems(&data).len(), 4, "{:#?}", problems(&data));
    }
}
