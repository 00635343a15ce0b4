use super::*;
use crate::data::raw::{Column, NumberColumn, RowNumbers, TimeColumn};

const HOUR: i64 = 3600 * 1_000_000_000;

/// Hourly candles of 100 that have nothing wrong.
fn candles(rows: usize) -> RawCandles {
    let mut candles = RawCandles::new("DIR/X-1h.parquet");
    candles.rows = rows;
    candles.times = Some(TimeColumn {
        nanos: (0..rows as i64).map(|row| row * HOUR).collect(),
        null_rows: vec![],
    });
    let filled = |value| {
        Some(NumberColumn {
            values: vec![value; rows],
            null_rows: vec![],
        })
    };
    let values = [100.0, 101.0, 99.0, 100.5, 10.0, 1000.0, 7.0, 4.0];
    candles.columns = values.map(filled);
    candles
}

fn set(candles: &mut RawCandles, column: Column, row: usize, value: f64) {
    candles.columns[column.index()].as_mut().unwrap().values[row] = value;
}

fn set_null(candles: &mut RawCandles, column: Column, row: usize) {
    let nulls = &mut candles.columns[column.index()].as_mut().unwrap().null_rows;
    nulls.push(row);
}

fn times(candles: &mut RawCandles) -> &mut Vec<i64> {
    &mut candles.times.as_mut().unwrap().nanos
}

fn judged(candles: &RawCandles) -> ValidationReport {
    validate(candles, &ValidateOptions::default())
}

fn codes(report: &ValidationReport, severity: Severity) -> Vec<&'static str> {
    report.of(severity).map(|problem| problem.code).collect()
}

fn only_error(candles: &RawCandles) -> Problem {
    let report = judged(candles);
    let errors: Vec<&Problem> = report.errors().collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}

#[test]
fn sound_candles_have_no_problem() {
    let report = judged(&candles(50));
    assert_eq!(report.problems, []);
    assert!(report.is_usable());
    assert_eq!(report.gaps.unwrap().count, 0);
    assert_eq!(report.time_frame.unwrap().to_string(), "1h");
}

#[test]
fn each_bad_value_is_an_error_that_names_file_column_row_and_time() {
    let cases: [(&str, Column, f64); 7] = [
        ("not_finite", Column::Open, f64::NAN),
        ("not_finite", Column::Volume, f64::INFINITY),
        ("not_positive", Column::Low, 0.0),
        ("not_positive", Column::Low, -1.0),
        ("negative", Column::Volume, -0.5),
        ("outside_range", Column::Close, 200.0),
        ("outside_range", Column::Open, 1.0),
    ];
    for (code, column, value) in cases {
        let mut bad = candles(20);
        set(&mut bad, column, 3, value);
        let error = only_error(&bad);
        assert_eq!(error.code, code);
        assert_eq!((error.count, error.rows[0].row), (1, 3));
        for part in [
            "DIR/X-1h.parquet",
            column.name(),
            "row 3",
            "1970-01-01T03:00:00Z",
        ] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
    }
}

#[test]
fn a_bar_with_high_below_low_is_one_error() {
    let mut bad = candles(20);
    set(&mut bad, Column::High, 3, 98.0);
    let error = only_error(&bad);
    assert_eq!(error.code, "high_below_low");
    assert!(
        error.message.contains("high 98, low 99"),
        "{}",
        error.message
    );
}

#[test]
fn a_missing_value_is_an_error_only_where_a_bar_needs_it() {
    let mut bad = candles(20);
    set_null(&mut bad, Column::Close, 5);
    assert_eq!(only_error(&bad).code, "null_value");
    let mut odd = candles(20);
    set_null(&mut odd, Column::Trades, 5);
    let report = judged(&odd);
    assert!(report.is_usable());
    assert_eq!(codes(&report, Severity::Warning), ["null_value"]);
    let mut timeless = candles(20);
    timeless.times.as_mut().unwrap().null_rows = vec![19];
    assert_eq!(only_error(&timeless).code, "null_value");
}

#[test]
fn unsorted_rows_are_told_apart_from_repeated_ones() {
    let mut unsorted = candles(20);
    times(&mut unsorted).swap(4, 5);
    let error = only_error(&unsorted);
    assert_eq!((error.code, error.rows[0].row), ("unsorted", 5));
    let mut repeated = candles(20);
    times(&mut repeated)[7] = 6 * HOUR;
    let error = only_error(&repeated);
    assert_eq!((error.code, error.rows[0].row), ("duplicate_time", 7));
    let mut apart = candles(20);
    times(&mut apart)[19] = 2 * HOUR;
    let report = judged(&apart);
    assert_eq!(
        codes(&report, Severity::Error),
        ["unsorted", "duplicate_time"]
    );
}

#[test]
fn times_beside_the_grid_and_other_spacings_are_errors() {
    let mut shifted = candles(20);
    times(&mut shifted)
        .iter_mut()
        .for_each(|at| *at += HOUR / 2);
    let report = judged(&shifted);
    assert_eq!(codes(&report, Severity::Error), ["misaligned"]);
    assert_eq!(report.errors().next().unwrap().count, 20);
    let mut coarser = candles(20);
    times(&mut coarser).iter_mut().for_each(|at| *at *= 4);
    let error = only_error(&coarser);
    assert_eq!(error.code, "time_frame");
    assert!(
        error
            .message
            .contains("should be 1h apart, but are mostly 4h")
    );
    let mut finer = candles(20);
    times(&mut finer).iter_mut().for_each(|at| *at /= 4);
    let report = judged(&finer);
    assert_eq!(
        codes(&report, Severity::Error),
        ["misaligned", "time_frame"]
    );
}

#[test]
fn without_a_name_the_commonest_spacing_is_the_time_frame() {
    let mut unnamed = candles(20);
    unnamed.file = "download.parquet".to_owned();
    times(&mut unnamed)[19] += 5 * HOUR;
    let report = judged(&unnamed);
    assert_eq!(report.time_frame.unwrap().to_string(), "1h");
    assert!(report.is_usable());
    unnamed = candles(1);
    unnamed.file = "download.parquet".to_owned();
    assert_eq!(only_error(&unnamed).code, "time_frame");
}

#[test]
fn gaps_are_counted_measured_and_listed_longest_first() {
    let mut holed = candles(100);
    times(&mut holed)
        .iter_mut()
        .skip(10)
        .for_each(|at| *at += 2 * HOUR);
    times(&mut holed)
        .iter_mut()
        .skip(60)
        .for_each(|at| *at += 70 * HOUR);
    let report = judged(&holed);
    assert!(report.is_usable());
    assert_eq!(codes(&report, Severity::Warning), ["gap"]);
    let gaps = report.gaps.unwrap();
    assert_eq!((gaps.count, gaps.missing, gaps.long), (2, 72, 1));
    assert!((gaps.missing_percent - 100.0 * 72.0 / 172.0).abs() < 1e-12);
    assert_eq!(gaps.longest[0].missing, 70);
    assert_eq!(gaps.longest[0].after.as_nanos(), 61 * HOUR);
    assert_eq!(gaps.longest[1].before.as_nanos(), 12 * HOUR);
}

#[test]
fn quiet_bars_are_only_told() {
    let mut quiet = candles(20);
    for row in [3, 4, 9] {
        for column in Column::PRICES {
            set(&mut quiet, column, row, 100.0);
        }
        set(&mut quiet, Column::Volume, row, 0.0);
        set(&mut quiet, Column::QuoteVolume, row, 0.0);
        set(&mut quiet, Column::TakerBuyVolume, row, 0.0);
    }
    let report = judged(&quiet);
    assert_eq!((report.zero_volume_rows, report.flat_rows), (3, 3));
    assert_eq!(codes(&report, Severity::Info), ["zero_volume", "flat"]);
    assert!(report.problems[0].message.contains("longest run has 2"));
    assert!(report.is_usable());
}

#[test]
fn amounts_that_contradict_each_other_are_found() {
    let mut bad = candles(20);
    set(&mut bad, Column::TakerBuyVolume, 2, 10.1);
    assert_eq!(only_error(&bad).code, "taker_above_volume");
    let mut odd = candles(20);
    set(&mut odd, Column::QuoteVolume, 2, 2000.0);
    let report = judged(&odd);
    assert!(report.is_usable());
    assert_eq!(codes(&report, Severity::Warning), ["vwap_outside_range"]);
}

/// 200 bars that swing by 0.1 %.
fn swinging() -> RawCandles {
    let mut candles = candles(200);
    for row in 0..200 {
        let close = if row % 2 == 0 { 100.0 } else { 100.1 };
        set(&mut candles, Column::Close, row, close);
        set(&mut candles, Column::High, row, 100.2);
        set(&mut candles, Column::Low, row, 99.9);
    }
    candles
}

#[test]
fn a_move_that_came_back_at_once_may_be_a_bad_print() {
    let mut wick = swinging();
    set(&mut wick, Column::Low, 50, 10.0);
    let mut spike = swinging();
    set(&mut spike, Column::Close, 50, 150.0);
    set(&mut spike, Column::High, 50, 150.0);
    for candles in [wick, spike] {
        let report = judged(&candles);
        assert!(report.is_usable());
        let found: Vec<&Problem> = report
            .warnings()
            .filter(|problem| problem.code == "possible_bad_print")
            .collect();
        assert_eq!((found.len(), found[0].rows[0].row), (1, 50));
        assert_eq!(found[0].count, 1);
    }
}

#[test]
fn a_move_that_stays_is_no_bad_print() {
    let mut crash = swinging();
    for row in 50..200 {
        for column in Column::PRICES {
            let index = column.index();
            crash.columns[index].as_mut().unwrap().values[row] *= 0.5;
        }
        set(&mut crash, Column::QuoteVolume, row, 500.0);
    }
    set(&mut crash, Column::Open, 50, 100.0);
    set(&mut crash, Column::High, 50, 100.0);
    assert_eq!(judged(&crash).problems, []);
}

#[test]
fn every_problem_is_told_at_once_errors_first() {
    let mut bad = candles(30);
    set(&mut bad, Column::Open, 1, f64::NAN);
    set(&mut bad, Column::High, 2, 1.0);
    set(&mut bad, Column::Volume, 3, -1.0);
    set(&mut bad, Column::Low, 4, 0.0);
    set_null(&mut bad, Column::Trades, 6);
    times(&mut bad)[29] += 3 * HOUR;
    times(&mut bad)[9] = 8 * HOUR;
    let report = judged(&bad);
    assert_eq!(
        codes(&report, Severity::Error),
        [
            "duplicate_time",
            "not_finite",
            "not_positive",
            "negative",
            "high_below_low"
        ]
    );
    assert_eq!(codes(&report, Severity::Warning), ["gap", "null_value"]);
    assert!(
        report
            .problems
            .is_sorted_by_key(|one| std::cmp::Reverse(one.severity))
    );
    assert!(!report.is_usable());
}

#[test]
fn no_row_at_all_is_an_error() {
    assert_eq!(only_error(&candles(0)).code, "empty");
}

#[test]
fn text_files_count_lines_and_few_rows_are_shown() {
    let mut bad = candles(20);
    bad.row_numbers = RowNumbers::Lines((0..20).map(|row| row + 2).collect());
    (0..20).for_each(|row| set(&mut bad, Column::Volume, row, -1.0));
    let error = only_error(&bad);
    assert_eq!((error.count, error.rows.len()), (20, 5));
    assert!(
        error.message.contains("in 20 lines, first line 2"),
        "{}",
        error.message
    );
}
