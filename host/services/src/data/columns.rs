//! Which of a file's columns is which, by name.

use std::collections::BTreeMap;

use super::raw::{Column, RawCandles, TIME_COLUMN};
use super::validate::{Problem, Severity};

/// What a mapping names as the source of a column that is to be left out.
pub(super) const LEFT_OUT: &str = "-";

/// Names that mean the open time, the preferred first.
const TIME_ALIASES: &[&str] = &[
    TIME_COLUMN,
    "open_time",
    "opentime",
    "timestamp",
    "time",
    "datetime",
    "date",
    "unix",
    "epoch",
    "t",
];

/// Names that mean a column of numbers, the preferred first.
const fn aliases(column: Column) -> &'static [&'static str] {
    match column {
        Column::Open => &["open", "o", "open_price"],
        Column::High => &["high", "h", "high_price"],
        Column::Low => &["low", "l", "low_price"],
        Column::Close => &["close", "c", "close_price"],
        Column::Volume => &["volume", "v", "vol", "base_volume", "base_asset_volume"],
        Column::QuoteVolume => &["quote_volume", "quote_asset_volume", "turnover"],
        Column::Trades => &[
            "trades",
            "number_of_trades",
            "num_trades",
            "trade_count",
            "count",
        ],
        Column::TakerBuyVolume => &[
            "taker_buy_volume",
            "taker_buy_base_asset_volume",
            "taker_buy_base_volume",
            "taker_buy_base",
        ],
    }
}

/// How names are matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming<'a> {
    /// Names given by the user: our name to the file's name, or `-` to leave the column out.
    pub(super) mapping: &'a BTreeMap<String, String>,
    /// Whether other common names are understood, in any case.
    pub(super) with_aliases: bool,
}

/// Positions of the columns in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) time: Option<usize>,
    pub(super) numbers: [Option<usize>; 8],
}

/// Finds every column among the `available` names; what is missing becomes a problem of `candles`.
pub(super) fn resolve(
    available: &[String],
    naming: Naming<'_>,
    candles: &mut RawCandles,
) -> Positions {
    let known: Vec<&str> = std::iter::once(TIME_COLUMN)
        .chain(Column::ALL.map(Column::name))
        .collect();
    for key in naming.mapping.keys() {
        if !known.contains(&key.as_str()) {
            let message = format!(
                "{}: the mapping names a column `{key}`; the columns are {}",
                candles.file,
                known.join(", ")
            );
            candles.problems.push(missing(message));
        }
    }
    let mut find = |name: &str, aliases: &[&str], required: bool| match position(
        available, naming, name, aliases,
    ) {
        Ok(Some(position)) => Some(position),
        Ok(None) if !required => None,
        Ok(None) => {
            let hint = match available {
                [] => String::new(),
                _ => format!("; if one of these is it, import the file with --column {name}=NAME"),
            };
            let message = format!(
                "{}: column `{name}` is missing; the file has {}{hint}",
                candles.file,
                shown(available),
            );
            candles.problems.push(missing(message));
            None
        }
        Err(reason) => {
            let message = format!("{}: column `{name}`: {reason}", candles.file);
            candles.problems.push(Problem {
                code: "ambiguous_column",
                ..missing(message)
            });
            None
        }
    };
    Positions {
        time: find(TIME_COLUMN, TIME_ALIASES, true),
        numbers: Column::ALL
            .map(|column| find(column.name(), aliases(column), column.is_required())),
    }
}

fn missing(message: String) -> Problem {
    Problem::of_file(Severity::Error, "missing_column", message)
}

/// How many names a message lists.
const NAMES_SHOWN: usize = 30;

fn shown(available: &[String]) -> String {
    match available {
        [] => "no columns".to_owned(),
        names if names.len() <= NAMES_SHOWN => names.join(", "),
        names => format!(
            "{} and {} more",
            names[..NAMES_SHOWN].join(", "),
            names.len() - NAMES_SHOWN
        ),
    }
}

fn position(
    available: &[String],
    naming: Naming<'_>,
    name: &str,
    aliases: &[&str],
) -> Result<Option<usize>, String> {
    if let Some(source) = naming.mapping.get(name) {
        if source == LEFT_OUT {
            return Ok(None);
        }
        return match only(available, |one| one == source)? {
            None => Err(format!(
                "is mapped to `{source}`, which the file does not have; it has {}",
                shown(available)
            )),
            found => Ok(found),
        };
    }
    if !naming.with_aliases {
        return only(available, |one| one == name);
    }
    for alias in aliases {
        if let Some(found) = only(available, |one| normal(one) == *alias)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The one name that matches; more than one is an error.
fn only(available: &[String], matches: impl Fn(&str) -> bool) -> Result<Option<usize>, String> {
    let found: Vec<usize> = (0..available.len())
        .filter(|&position| matches(&available[position]))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        several => {
            let names: Vec<&str> = several.iter().map(|&at| available[at].as_str()).collect();
            Err(format!(
                "the file has it {} times: {}",
                names.len(),
                names.join(", ")
            ))
        }
    }
}

/// A name without its case, blanks and hyphens.
fn normal(name: &str) -> String {
    let name = name.trim().trim_start_matches('\u{feff}').to_lowercase();
    name.replace([' ', '-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    fn resolved(
        list: &[&str],
        pairs: &[(&str, &str)],
        with_aliases: bool,
    ) -> (Positions, RawCandles) {
        let mapping = pairs
            .iter()
            .map(|&(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
            .collect();
        let naming = Naming {
            mapping: &mapping,
            with_aliases,
        };
        let mut candles = RawCandles::new("f.csv");
        let positions = resolve(&names(list), naming, &mut candles);
        (positions, candles)
    }

    #[test]
    fn common_names_are_understood_in_any_case() {
        let header = ["Open Time", "O", "HIGH", "low", "Close", "Vol", "Count"];
        let (positions, candles) = resolved(&header, &[], true);
        assert_eq!(candles.problems, []);
        assert_eq!(positions.time, Some(0));
        let expected = [
            Some(1),
            Some(2),
            Some(3),
            Some(4),
            Some(5),
            None,
            Some(6),
            None,
        ];
        assert_eq!(positions.numbers, expected);
    }

    #[test]
    fn the_layout_itself_knows_its_own_names_only() {
        let header = ["Open Time", "open", "high", "low", "close", "volume"];
        let (positions, candles) = resolved(&header, &[], false);
        assert_eq!(positions.time, None);
        assert_eq!(candles.problems.len(), 1);
        assert!(candles.problems[0].message.contains("`ts` is missing"));
    }

    #[test]
    fn every_missing_column_is_told_at_once() {
        let (_, candles) = resolved(&["ts", "open"], &[], true);
        let codes: Vec<&str> = candles.problems.iter().map(|one| one.code).collect();
        assert_eq!(codes, ["missing_column"; 4]);
    }

    #[test]
    fn a_mapping_wins_and_its_mistakes_are_told() {
        let header = ["when", "open", "high", "low", "close", "volume", "trades"];
        let (positions, candles) = resolved(&header, &[("ts", "when"), ("trades", "-")], true);
        assert_eq!(candles.problems, []);
        assert_eq!(positions.time, Some(0));
        assert_eq!(positions.numbers[Column::Trades.index()], None);
        let (_, candles) = resolved(&header, &[("ts", "whenn"), ("clos", "close")], true);
        let text: Vec<&str> = candles
            .problems
            .iter()
            .map(|one| one.message.as_str())
            .collect();
        assert!(
            text.iter()
                .any(|line| line.contains("`whenn`, which the file does not have"))
        );
        assert!(text.iter().any(|line| line.contains("a column `clos`")));
    }

    #[test]
    fn a_name_that_fits_twice_is_refused() {
        let header = ["ts", "open", "Open", "high", "low", "close", "volume"];
        let (positions, candles) = resolved(&header, &[], true);
        assert_eq!(positions.numbers[Column::Open.index()], None);
        assert_eq!(candles.problems[0].code, "ambiguous_column");
    }
}
