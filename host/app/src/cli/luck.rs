//! How far luck explains the best of several runs or settings, for people: `fusebox compare` and
//! sweeps say it in the same words.

use fusebox_services::report::{Overfitting, RunsLuck, SuperiorTest};

use crate::output::{grouped, table};

/// A name and what is known of it.
pub(super) type Row = [String; 2];

/// The rows of all figures; `what` is compared, and `name` names one of them. A dash stands where
/// a figure is not defined.
pub(super) fn rows(
    luck: &RunsLuck,
    what: &str,
    name: impl Fn(usize) -> Option<String>,
) -> Vec<Row> {
    let effective = luck
        .effective_trials
        .map_or_else(dash, |one| format!("{one:.1}"));
    let trials = [
        "trials".to_owned(),
        format!(
            "{} known, {} {what} here worth {effective} independent ones",
            grouped(u64::from(luck.trials)),
            grouped(u64::from(luck.runs)),
        ),
    ];
    let mut rows = vec![trials, overfitting(luck.overfitting.as_ref())];
    rows.extend(beats(luck.superior.as_ref(), "cash", name));
    rows
}

/// What choosing the best by its history is worth.
pub(super) fn overfitting(found: Option<&Overfitting>) -> Row {
    match found {
        Some(one) => [
            format!("probability of overfitting (CSCV, {} blocks)", one.blocks),
            format!(
                "{}, by chance {}; the chosen one loses in {}",
                percent(one.probability),
                percent(one.chance_level),
                percent(one.probability_of_loss)
            ),
        ],
        None => ["probability of overfitting (CSCV)".to_owned(), dash()],
    }
}

/// Whether the best beats a benchmark.
pub(super) fn beats(
    test: Option<&SuperiorTest>,
    benchmark: &str,
    name: impl Fn(usize) -> Option<String>,
) -> [Row; 2] {
    let best = test
        .and_then(|one| name(one.best))
        .unwrap_or_else(|| "the best".to_owned());
    let p = |value: Option<f64>| value.map_or_else(dash, |p| format!("{p:.4}"));
    let bounds = |one: &SuperiorTest| {
        let [consistent, lower, upper] =
            [one.consistent_p, one.lower_p, one.upper_p].map(|value| p(Some(value)));
        format!("{consistent} ({lower} to {upper})")
    };
    let against = match benchmark {
        "cash" => String::new(),
        other => format!(" against {other}"),
    };
    [
        [
            format!("{best} beats {benchmark}: p of Hansen's SPA"),
            test.map_or_else(dash, bounds),
        ],
        [
            format!("White's reality check{against}, p"),
            p(test.and_then(|one| one.reality_check_p)),
        ],
    ]
}

/// The rows as a table.
pub(super) fn text(rows: impl IntoIterator<Item = Row>) -> String {
    let mut lines = table(&["is the best one luck?", ""]);
    for row in rows {
        lines.add_row(row);
    }
    lines.to_string()
}

fn dash() -> String {
    "-".to_owned()
}

fn percent(value: f64) -> String {
    format!("{:.2} %", value * 100.0)
}
