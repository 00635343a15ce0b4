//! Checks of the times: order, duplicates, alignment, spacing, gaps.

use std::collections::BTreeMap;

use fusebox_engine::types::{TimeFrame, Timestamp};
use serde::Serialize;

use super::{Judge, Problem, Severity};
use crate::data::raw::{TIME_COLUMN, TimeColumn};

/// How many gaps a report lists.
const GAPS_LISTED: usize = 10;
/// From how many absent candles on a gap counts as long.
const LONG_GAP_CANDLES: u64 = 60;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const WEEK_NANOS: i64 = 7 * 24 * 3600 * NANOS_PER_SECOND;

/// Candles that are absent between two that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Open time of the last candle before.
    pub after: Timestamp,
    /// Open time of the first candle behind.
    pub before: Timestamp,
    /// How many are absent.
    pub missing: u64,
}

/// Every gap of a file, summed up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gaps {
    /// How many gaps there are.
    pub count: u64,
    /// How many candles are absent in all.
    pub missing: u64,
    /// Absent candles in percent of the full grid from the first to the last candle.
    pub missing_percent: f64,
    /// How many gaps have 60 absent candles or more.
    pub long: u64,
    /// The longest gaps, longest first, at most 10.
    pub longest: Vec<Gap>,
}

/// What the times say about the file.
#[derive(Debug, Default)]
pub(super) struct Grid {
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) time_frame: Option<TimeFrame>,
    pub(super) gaps: Option<Gaps>,
}

/// Judges the times against the `stated` bar length, or against their own commonest spacing.
pub(super) fn check(
    judge: &Judge<'_>,
    stated: Option<TimeFrame>,
    problems: &mut Vec<Problem>,
) -> Grid {
    let Some(times) = &judge.candles.times else {
        return Grid {
            time_frame: stated,
            ..Grid::default()
        };
    };
    check_order(judge, times, problems);
    let ordered = ordered_nanos(times);
    let spacing = Spacing::of(&ordered);
    let time_frame = stated.or_else(|| frame_of(spacing.commonest?));
    let mut grid = Grid {
        first: ordered.first().copied().map(Timestamp::from_nanos),
        last: ordered.last().copied().map(Timestamp::from_nanos),
        time_frame,
        gaps: None,
    };
    let Some(time_frame) = time_frame else {
        problems.extend(unknown_frame(judge, &ordered));
        return grid;
    };
    let misaligned = misaligned_rows(times, time_frame);
    let what = format!("open times that are not on the {time_frame} grid");
    problems.extend(judge.time_problem("misaligned", what, &misaligned));
    if let Some(problem) = check_spacing(judge, &spacing, ordered.len(), time_frame) {
        problems.push(problem);
    } else if misaligned.is_empty() {
        let gaps = find_gaps(&ordered, time_frame);
        problems.extend(gap_problem(judge, &gaps));
        grid.gaps = Some(gaps);
    }
    grid
}

/// Null times, times that go back, times that repeat.
fn check_order(judge: &Judge<'_>, times: &TimeColumn, problems: &mut Vec<Problem>) {
    let nulls = &times.null_rows;
    problems.extend(judge.time_problem("null_value", "no open time".to_owned(), nulls));
    let known: Vec<usize> = (0..times.nanos.len())
        .filter(|&row| times.get(row).is_some())
        .collect();
    let back: Vec<usize> = known
        .windows(2)
        .filter(|pair| times.nanos[pair[1]] < times.nanos[pair[0]])
        .map(|pair| pair[1])
        .collect();
    let what = "open times before that of the row above (sort by time)".to_owned();
    problems.extend(judge.time_problem("unsorted", what, &back));
    let mut by_time = known;
    if !back.is_empty() {
        by_time.sort_by_key(|&row| (times.nanos[row], row));
    }
    let mut repeated: Vec<usize> = by_time
        .windows(2)
        .filter(|pair| times.nanos[pair[1]] == times.nanos[pair[0]])
        .map(|pair| pair[1])
        .collect();
    repeated.sort_unstable();
    let what = "open times that another row already has".to_owned();
    problems.extend(judge.time_problem("duplicate_time", what, &repeated));
}

/// The known times, ascending, each once.
fn ordered_nanos(times: &TimeColumn) -> Vec<i64> {
    let known = (0..times.nanos.len()).filter_map(|row| times.get(row));
    let mut nanos: Vec<i64> = known.map(Timestamp::as_nanos).collect();
    if !nanos.is_sorted() {
        nanos.sort_unstable();
    }
    nanos.dedup();
    nanos
}

/// The distances between neighbouring times.
struct Spacing {
    commonest: Option<i64>,
    shortest: Option<i64>,
}

impl Spacing {
    fn of(ordered: &[i64]) -> Self {
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for pair in ordered.windows(2) {
            *counts.entry(pair[1].saturating_sub(pair[0])).or_default() += 1;
        }
        // Of equally common distances the shorter one wins, because a gap only adds to it.
        let commonest = counts
            .iter()
            .max_by_key(|&(distance, count)| (count, std::cmp::Reverse(distance)));
        Self {
            commonest: commonest.map(|(&distance, _)| distance),
            shortest: counts.keys().next().copied(),
        }
    }
}

fn frame_of(nanos: i64) -> Option<TimeFrame> {
    let is_whole = nanos % NANOS_PER_SECOND == 0;
    let text = format!("{}s", nanos / NANOS_PER_SECOND);
    is_whole.then(|| text.parse().ok()).flatten()
}

fn unknown_frame(judge: &Judge<'_>, ordered: &[i64]) -> Option<Problem> {
    if ordered.is_empty() {
        return None;
    }
    let message = format!(
        "{}: column `{TIME_COLUMN}`: the bars' length shows neither in the file's name nor in \
         the spacing; state it, such as --time-frame 1h",
        judge.candles.file
    );
    Some(Problem::of_file(Severity::Error, "time_frame", message))
}

/// Rows whose open time is not a whole number of bars after midnight. Weeks may begin on any day.
fn misaligned_rows(times: &TimeColumn, time_frame: TimeFrame) -> Vec<usize> {
    let length = time_frame.nanos();
    let phase = match times.nanos.first() {
        Some(&first) if length % WEEK_NANOS == 0 => {
            let day = WEEK_NANOS / 7;
            first.div_euclid(day) * day
        }
        _ => 0,
    };
    (0..times.nanos.len())
        .filter(|&row| {
            times
                .get(row)
                .is_some_and(|at| at.as_nanos().saturating_sub(phase).rem_euclid(length) != 0)
        })
        .collect()
}

/// Bars that are closer together than their length, or never as close as it.
fn check_spacing(
    judge: &Judge<'_>,
    spacing: &Spacing,
    rows: usize,
    time_frame: TimeFrame,
) -> Option<Problem> {
    let shortest = spacing.shortest?;
    let differs = shortest < time_frame.nanos() || (rows >= 3 && shortest > time_frame.nanos());
    if !differs {
        return None;
    }
    let seen = |nanos: i64| {
        frame_of(nanos).map_or_else(|| format!("{nanos} ns"), |frame| frame.to_string())
    };
    let commonest = spacing.commonest.unwrap_or(shortest);
    let message = format!(
        "{}: column `{TIME_COLUMN}`: the bars should be {time_frame} apart, but are mostly {} \
         apart (at least {}); the file's name or the stated time frame is wrong",
        judge.candles.file,
        seen(commonest),
        seen(shortest),
    );
    Some(Problem::of_file(Severity::Error, "time_frame", message))
}

fn find_gaps(ordered: &[i64], time_frame: TimeFrame) -> Gaps {
    let mut longest: Vec<Gap> = ordered
        .windows(2)
        .filter_map(|pair| {
            let bars = (pair[1] - pair[0]) / time_frame.nanos();
            let missing = u64::try_from(bars - 1).unwrap_or_default();
            (missing > 0).then(|| Gap {
                after: Timestamp::from_nanos(pair[0]),
                before: Timestamp::from_nanos(pair[1]),
                missing,
            })
        })
        .collect();
    let missing: u64 = longest.iter().map(|gap| gap.missing).sum();
    let whole = ordered.len() as u64 + missing;
    let count = longest.len() as u64;
    let long = longest.iter().filter(|gap| gap.missing >= LONG_GAP_CANDLES);
    let long = long.count() as u64;
    longest.sort_by_key(|gap| (std::cmp::Reverse(gap.missing), gap.after));
    longest.truncate(GAPS_LISTED);
    Gaps {
        count,
        missing,
        missing_percent: 100.0 * missing as f64 / whole.max(1) as f64,
        long,
        longest,
    }
}

fn gap_problem(judge: &Judge<'_>, gaps: &Gaps) -> Option<Problem> {
    let longest = gaps.longest.first()?;
    let message = format!(
        "{}: column `{TIME_COLUMN}`: {} candles are absent in {} gaps ({:.3} %); the longest lacks \
         {} between {} and {}",
        judge.candles.file,
        gaps.missing,
        gaps.count,
        gaps.missing_percent,
        longest.missing,
        longest.after,
        longest.before,
    );
    let problem = Problem::of_file(Severity::Warning, "gap", message);
    Some(Problem {
        count: gaps.count,
        ..problem
    })
}
