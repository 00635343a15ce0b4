//! What there is of each currency at the end, where there are several.

use fusebox_engine::backtest::BacktestResult;
use fusebox_engine::types::{Cash, CurrencyId, Market};

use crate::report::Balance;

/// A row for each currency, the reporting one first; none where there is one only.
pub(super) fn balances(market: &Market, result: &BacktestResult) -> Vec<Balance> {
    let currencies = &result.currencies;
    if currencies.is_single() {
        return Vec::new();
    }
    let symbols: Vec<String> = market.names().map(str::to_owned).collect();
    let sources = currencies.sources_in_words(&symbols);
    let books = currencies.ids().zip(&result.books).zip(sources);
    let rows = books.map(|((currency, book), source)| {
        let unrealised = unrealised(result, currency);
        let payments = book.funding + book.interest + book.insurance;
        // What the book explains, and cash is the rest.
        let whole = book.initial + book.realised + unrealised - book.fees + payments;
        let worth = match currency.is_reporting() {
            true => whole,
            false => book.worth(whole),
        };
        Balance {
            currency: currencies.name(currency).to_owned(),
            initial: book.initial.to_f64(),
            cash: book.cash.to_f64(),
            positions: (whole - book.cash).to_f64(),
            realised: book.realised.to_f64(),
            unrealised: unrealised.to_f64(),
            fees: book.fees.to_f64(),
            payments: payments.to_f64(),
            rate: book.rate.map(|rate| rate.to_f64()),
            worth: worth.to_f64(),
            source,
        }
    });
    rows.collect()
}

/// Profit of what is held and quoted in `currency`.
fn unrealised(result: &BacktestResult, currency: CurrencyId) -> Cash {
    let open = result.open_positions.iter();
    let own = open.filter(|one| result.currencies.quote(one.symbol) == currency);
    own.map(|one| one.unrealised).sum()
}
