//! Order books from a file: a row for each level, `ts`, `side` (`bid` or `ask`, or 1 or -1),
//! `price`, `size` and `symbol`, which a run of one symbol may leave out. Rows of a symbol with the
//! same time are one snapshot, in whatever order its levels are.

use std::path::Path;
use std::sync::Arc;

use fusebox_engine::types::{BookLevel, BookSnapshot, Market, Price, Quantity, Timestamp};

use super::table::{self, Columns, Wanted};
use super::{RecordsFile, symbol_of};
use crate::data::DataError;

/// The order books of every symbol of `market`, in the order of its ids.
///
/// # Errors
/// [`DataError`] with every problem of the file.
pub(super) fn read(
    path: &Path,
    market: &Market,
) -> Result<RecordsFile<Vec<Arc<[BookSnapshot]>>>, DataError> {
    let wanted = Wanted {
        time: super::TIMES,
        texts: vec![(&["symbol"], market.series().len() > 1), (&["side"], true)],
        numbers: vec![&["price"], &["size", "qty"]],
    };
    let mut columns = table::read(path, &wanted)?;
    let mut books: Vec<Vec<BookSnapshot>> = vec![Vec::new(); market.series().len()];
    for row in 0..columns.rows {
        let Some(symbol) = symbol_of(&columns, row, market) else {
            continue;
        };
        let taken = level(&columns, row).and_then(|(at, is_bid, level)| {
            let own = &mut books[symbol];
            if own.last().is_none_or(|last| last.at < at) {
                own.push(BookSnapshot {
                    at,
                    bids: Vec::new(),
                    asks: Vec::new(),
                });
            }
            let name = &market.series()[symbol].name;
            let newest = own.last_mut().filter(|last| last.at == at);
            let newest = newest.ok_or_else(|| {
                let place = columns.row(row);
                format!("{place}: the order book of {name} at {at} comes after a later one")
            })?;
            let side = if is_bid {
                &mut newest.bids
            } else {
                &mut newest.asks
            };
            side.push(level);
            Ok(())
        });
        columns.problems.extend(taken.err());
    }
    for book in books.iter_mut().flatten() {
        book.bids
            .sort_by_key(|level| std::cmp::Reverse(level.price));
        book.asks.sort_by_key(|level| level.price);
    }
    let books = books.into_iter().map(Arc::from).collect();
    RecordsFile::new(path, columns, books)
}

/// The moment of a row, whether it is a bid, and its level.
fn level(columns: &Columns, row: usize) -> Result<(Timestamp, bool, BookLevel), String> {
    let place = columns.row(row);
    let at = columns
        .time(row)
        .ok_or_else(|| format!("{place}: the time cannot be read"))?;
    let side = columns.texts.get(1).and_then(|sides| sides.get(row));
    let is_bid = match side.unwrap_or("").to_ascii_lowercase().as_str() {
        "bid" | "1" => true,
        "ask" | "-1" => false,
        other => {
            return Err(format!(
                "{place}: the side is `{other}`, not `bid` or `ask`"
            ));
        }
    };
    let number = |at: usize, name: &str| {
        let found = columns.numbers.get(at).and_then(|own| own.get(row));
        let found = found.filter(|value| value.is_finite() && *value > 0.0);
        found.ok_or_else(|| format!("{place}: the {name} is no number above 0"))
    };
    let (price, size) = (number(0, "price")?, number(1, "size")?);
    let price = Price::from_f64(price).map_err(|error| format!("{place}: {error}"))?;
    let size = Quantity::from_f64(size).map_err(|error| format!("{place}: {error}"))?;
    Ok((at, is_bid, BookLevel { price, size }))
}
