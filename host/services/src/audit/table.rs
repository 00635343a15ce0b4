//! Candles as CSV for a program, and the CSV that it answers with.
//!
//! One row per bar, ordered by closing time and then by the symbol's place; the answer has one row
//! for each, in the same order.

use std::borrow::Cow;
use std::fmt::Write as _;

use fusebox_engine::features::audit::{FeatureTable, StepRows};
use fusebox_engine::types::{Bar, Market};

/// The header of what the program reads.
pub(super) const HEADER: &str = "symbol,opened_at,closed_at,open,high,low,close,volume,\
                                 quote_volume,trades,taker_buy_volume";

/// Symbol and position of each bar, in the order of the rows.
fn order(market: &Market) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize)> = market
        .series()
        .iter()
        .enumerate()
        .flat_map(|(symbol, series)| (0..series.bars.len()).map(move |bar| (symbol, bar)))
        .collect();
    order.sort_by_key(|&(symbol, bar)| (market.series()[symbol].bars[bar].closed_at, symbol));
    order
}

/// The bars as text.
pub(super) fn candles(market: &Market) -> String {
    let mut text = format!("{HEADER}\n");
    for (symbol, bar) in order(market) {
        let series = &market.series()[symbol];
        line(&mut text, &series.name, &series.bars[bar]);
    }
    text
}

fn line(text: &mut String, symbol: &str, bar: &Bar) {
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{symbol},{},{},{},{},{},{},{},{},{},{}",
        bar.opened_at,
        bar.closed_at,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        optional(bar.quote_volume),
        optional(bar.trades),
        optional(bar.taker_buy_volume),
    );
}

/// What the program made of `market`.
///
/// # Errors
/// A sentence that says which row or column is wrong, and how.
pub(super) fn columns(text: &[u8], market: &Market) -> Result<FeatureTable, String> {
    let order = order(market);
    let (columns, rows) = rows_of(text, (order.len(), "bar"))?;
    let mut values: Vec<Vec<f64>> = market
        .series()
        .iter()
        .map(|series| Vec::with_capacity(series.bars.len() * columns.len()))
        .collect();
    for (row, (symbol, _)) in rows.chunks_exact(columns.len()).zip(order) {
        values[symbol].extend(row);
    }
    Ok(FeatureTable { columns, values })
}

/// Rows as text for a step that is fitted: first whether the row is one to fit on, then its
/// columns.
pub(super) fn step_input(rows: &StepRows, is_training: &[bool]) -> String {
    let name = |name: &String| format!(",\"{}\"", name.replace('"', "\"\""));
    let names: String = rows.columns.iter().map(name).collect();
    let mut text = format!("training{names}\n");
    let lines = rows.values.chunks_exact(rows.columns.len().max(1));
    for (line, is_training) in lines.zip(is_training) {
        text.push(if *is_training { '1' } else { '0' });
        for value in line {
            text.push(',');
            if !value.is_nan() {
                // Writing to a string does not fail.
                let _ = write!(text, "{value}");
            }
        }
        text.push('\n');
    }
    text
}

/// What a step made of `count` rows.
///
/// # Errors
/// A sentence that says which row or column is wrong, and how.
pub(super) fn step_output(text: &[u8], count: usize) -> Result<StepRows, String> {
    let (columns, values) = rows_of(text, (count, "row"))?;
    Ok(StepRows { columns, values })
}

/// The names of the columns, and the values of `count` rows, one after the other.
fn rows_of(text: &[u8], (count, what): (usize, &str)) -> Result<(Vec<String>, Vec<f64>), String> {
    let text = with_blank_rows(text);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(&*text);
    let header = reader
        .headers()
        .map_err(|error| format!("its output is no CSV: {error}"))?;
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    check_names(&names)?;
    let mut values = Vec::with_capacity(count * names.len());
    let mut rows = 0;
    for (position, record) in reader.records().enumerate() {
        let record = record.map_err(|error| format!("its output is no CSV: {error}"))?;
        rows = position + 1;
        if rows > count {
            continue;
        }
        if record.len() != names.len() {
            return Err(format!(
                "row {rows} has {} values, the first line names {} columns",
                record.len(),
                names.len()
            ));
        }
        for (cell, name) in record.iter().zip(&names) {
            values.push(
                number(cell).ok_or_else(|| {
                    format!("row {rows}, column `{name}`: `{cell}` is not a number")
                })?,
            );
        }
    }
    if rows != count {
        return Err(format!(
            "it gave {rows} rows for {count} {what}s; it must give one row per {what}, with empty \
             values where it has none"
        ));
    }
    Ok((names, values))
}

fn check_names(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("it wrote nothing; the first line must name the columns".to_owned());
    }
    if let Some(column) = names.iter().position(String::is_empty) {
        return Err(format!(
            "column {} has no name in the first line (with pandas: to_csv(index=False))",
            column + 1
        ));
    }
    if let Some(name) = names.iter().find(|name| name.parse::<f64>().is_ok()) {
        return Err(format!(
            "the first line must name the columns; `{name}` is a number"
        ));
    }
    Ok(())
}

/// The text with what the reader takes for an empty value in lines without anything, which it would
/// pass over: of a table with one column they are rows.
fn with_blank_rows(text: &[u8]) -> Cow<'_, [u8]> {
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let has_one_column = lines.first().is_some_and(|first| !first.contains(&b','));
    if !has_one_column || !lines.iter().any(|line| is_blank(line)) {
        return text.into();
    }
    let full = |line: &[u8]| match is_blank(line) {
        true => b"\"\"\n".to_vec(),
        false => line.to_vec(),
    };
    lines.into_iter().flat_map(full).collect()
}

/// A cell; NaN for an absent value.
fn number(cell: &str) -> Option<f64> {
    match cell {
        "" | "NA" | "None" | "null" | "<NA>" => Some(f64::NAN),
        _ => cell.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_engine::types::{BarSeries, Timestamp};

    const HOUR: i64 = 3_600_000_000_000;

    fn market() -> Market {
        let bar = |hour: i64| Bar {
            opened_at: Timestamp::from_nanos(hour * HOUR),
            closed_at: Timestamp::from_nanos((hour + 1) * HOUR),
            open: 1.0,
            high: 2.5,
            low: 0.1,
            close: hour as f64,
            volume: 3.0,
            quote_volume: None,
            trades: Some(7.0),
            taker_buy_volume: None,
        };
        let series = |name: &str, hours: &[i64]| BarSeries {
            name: name.to_owned(),
            time_frame: "1h".parse().unwrap(),
            bars: hours.iter().map(|hour| bar(*hour)).collect(),
        };
        Market::new(vec![series("B", &[1, 2]), series("A", &[0, 1])]).unwrap()
    }

    #[test]
    fn bars_go_out_in_the_order_of_time_and_rows_come_back_to_their_symbols() {
        let text = candles(&market());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], HEADER);
        assert!(lines[1].starts_with("A,1970-01-01T00:00:00Z,1970-01-01T01:00:00Z,1,2.5,0.1,0"));
        assert!(lines[1].ends_with(",3,,7,"), "{}", lines[1]);
        let symbols: Vec<&str> = lines[1..].iter().map(|line| &line[..1]).collect();
        assert_eq!(symbols, ["A", "B", "A", "B"]);
        let table = columns(b"x,y\n1,nan\n2,\n3, 4.5\n5,inf\n", &market()).unwrap();
        assert_eq!(table.columns, ["x", "y"]);
        assert_eq!(table.values[0][..1], [2.0]);
        assert_eq!(table.values[0][2..], [5.0, f64::INFINITY]);
        assert_eq!(table.values[1][0..1], [1.0]);
        assert_eq!(table.values[1][2..], [3.0, 4.5]);
        assert!(table.values[1][1].is_nan() && table.values[0][1].is_nan());
    }

    #[test]
    fn a_row_of_one_column_may_be_empty() {
        for text in [
            "x\n\n2\n3\n\n",
            "x\r\n\r\n2\r\n3\r\n\r\n",
            "x\n\"\"\n2\n3\nNA\n",
        ] {
            let table = columns(text.as_bytes(), &market()).unwrap();
            assert!(table.values[1][0].is_nan() && table.values[0][1].is_nan());
            assert_eq!((table.values[1][1], table.values[0][0]), (3.0, 2.0));
        }
        let short = columns(b"x\n\n2\n3\n", &market()).unwrap_err();
        assert!(short.contains("3 rows for 4 bars"), "{short}");
    }

    #[test]
    fn rows_of_a_step_go_out_with_their_part_and_come_back() {
        let rows = StepRows {
            columns: vec!["a(1,2)".to_owned(), "b".to_owned()],
            values: vec![0.5, f64::NAN, -1.0, 1e-9],
        };
        let text = step_input(&rows, &[true, false]);
        assert_eq!(
            text,
            "training,\"a(1,2)\",\"b\"\n1,0.5,\n0,-1,0.000000001\n"
        );
        let back = step_output(b"x\n1\n2\n", 2).unwrap();
        assert_eq!((back.rows(), back.values), (2, vec![1.0, 2.0]));
        let short = step_output(b"x\n1\n", 2).unwrap_err();
        assert!(
            short.contains("1 rows for 2 rows; it must give one row per row"),
            "{short}"
        );
    }

    #[test]
    fn every_wrong_answer_is_named() {
        for (text, part) in [
            ("", "wrote nothing"),
            (",x\n0,1\n1,2\n2,3\n3,4\n", "no name"),
            ("1,2\n3,4\n", "is a number"),
            ("x\n1\n2\n3\n", "3 rows for 4 bars"),
            ("x\n1\n2\n3\n4\n5\n", "5 rows for 4 bars"),
            ("x\n1\n2\nmany\n4\n", "row 3, column `x`: `many`"),
            ("x,y\n1,2\n3\n", "row 2 has 1 values"),
        ] {
            let error = columns(text.as_bytes(), &market()).unwrap_err();
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
}
