//! Funding rates from a file: `ts`, `rate` (a fraction of the value, such as 0.0001; positive where
//! long positions pay) and `symbol`, which a run of one symbol may leave out.

use std::path::Path;
use std::sync::Arc;

use fusebox_engine::types::{FundingRate, Market};

use super::table::{self, Columns, Wanted};
use super::{RecordsFile, symbol_of};
use crate::data::DataError;

/// The rates of every symbol of `market`, in the order of its ids.
///
/// # Errors
/// [`DataError`] with every problem of the file.
pub(super) fn read(
    path: &Path,
    market: &Market,
) -> Result<RecordsFile<Vec<Arc<[FundingRate]>>>, DataError> {
    let wanted = Wanted {
        time: super::TIMES,
        texts: vec![(&["symbol"], market.series().len() > 1)],
        numbers: vec![&["rate"]],
    };
    let mut columns = table::read(path, &wanted)?;
    let mut rates: Vec<Vec<FundingRate>> = vec![Vec::new(); market.series().len()];
    for row in 0..columns.rows {
        let Some(symbol) = symbol_of(&columns, row, market) else {
            continue;
        };
        match rate(&columns, row) {
            Ok(rate) => {
                let own = &mut rates[symbol];
                let name = &market.series()[symbol].name;
                if own.last().is_some_and(|last| last.at >= rate.at) {
                    let place = columns.row(row);
                    columns.problems.push(format!(
                        "{place}: the funding of {name} at {} is not after the one before it",
                        rate.at
                    ));
                }
                own.push(rate);
            }
            Err(problem) => columns.problems.push(problem),
        }
    }
    let rates = rates.into_iter().map(Arc::from).collect();
    RecordsFile::new(path, columns, rates)
}

fn rate(columns: &Columns, row: usize) -> Result<FundingRate, String> {
    let place = columns.row(row);
    let at = columns
        .time(row)
        .ok_or_else(|| format!("{place}: the time cannot be read"))?;
    let rate = columns.numbers.first().and_then(|rates| rates.get(row));
    let rate = rate.filter(|rate| rate.is_finite());
    let rate = rate.ok_or_else(|| format!("{place}: the rate is no number"))?;
    if rate.abs() > 0.1 {
        return Err(format!(
            "{place}: the rate is {rate}; rates are fractions of the value from -0.1 to 0.1"
        ));
    }
    Ok(FundingRate {
        at,
        micro_bps: (rate * 1e10).round() as i64,
    })
}
