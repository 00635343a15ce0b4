//! What `[execution]` wants of the venue's records: finer bars, funding rates, order books; and
//! whether one account can hold what the symbols are quoted in.

use std::path::PathBuf;

use fusebox_engine::types::TimeFrame;
use fusebox_services::data::{DataRequest, RecordsRequest};

use super::Check;
use crate::config::raw::{RawData, RawExecution, RawSlippage, RawSource};

/// Well-known names of what prices are quoted in, the longer before those that they end with.
const QUOTES: [&str; 13] = [
    "FDUSD", "TUSD", "BUSD", "USDT", "USDC", "USD", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH", "BNB",
];

/// What a symbol is quoted in, where its name ends in a well-known one.
fn quote_of(symbol: &str) -> Option<&'static str> {
    let ends = |quote: &&&str| symbol.len() > quote.len() && symbol.ends_with(**quote);
    QUOTES.iter().find(ends).copied()
}

impl Check<'_> {
    /// Refuses symbols of several quote currencies: the account has one, and an amount of one is
    /// none of another.
    pub(super) fn one_currency(&mut self, data: &RawData) {
        let mut quotes: Vec<&str> = data
            .symbols
            .iter()
            .filter_map(|one| quote_of(one))
            .collect();
        quotes.sort_unstable();
        quotes.dedup();
        if quotes.len() > 1 {
            self.report(
                "data.symbols",
                format!(
                    "are quoted in {}: an account has one currency, and nothing here converts \
                     between them; make a run for each",
                    quotes.join(" and ")
                ),
            );
        }
    }

    pub(super) fn records(
        &mut self,
        (data, execution): (&RawData, &RawExecution),
        request: Option<&DataRequest>,
    ) -> RecordsRequest {
        if execution.funding.is_some() && execution.funding_file.is_some() {
            self.report(
                "execution.funding_file",
                "is set beside a constant rate, `execution.funding`; leave one of them out",
            );
        }
        RecordsRequest {
            fine: self.fine_time_frame(data, execution, request.map(|one| one.time_frame)),
            funding: execution.funding_file.as_ref().map(PathBuf::from),
            books: match &execution.slippage {
                RawSlippage::Book {
                    file, max_age_ms, ..
                } => Some((PathBuf::from(file), *max_age_ms)),
                _ => None,
            },
        }
    }

    fn fine_time_frame(
        &mut self,
        data: &RawData,
        execution: &RawExecution,
        coarse: Option<TimeFrame>,
    ) -> Option<TimeFrame> {
        let key = "execution.fine_time_frame";
        let fine: TimeFrame = self.parsed_if_set(key, execution.fine_time_frame.as_ref())?;
        if data.source == RawSource::Simulated {
            self.report(
                key,
                "is set, but the simulated market has no finer bars; leave it out",
            );
        }
        let coarse = coarse?;
        if fine >= coarse || coarse.nanos() % fine.nanos() != 0 {
            self.report(
                key,
                format!(
                    "is {fine}, which does not divide `data.time_frame` ({coarse}) into shorter \
                     bars; take one that does, such as 1m"
                ),
            );
        }
        Some(fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_end_is_what_a_symbol_is_quoted_in() {
        let quotes = ["BTCUSDT", "ETHUSD", "ETHBTC", "BTC", "SPY", "BTCFDUSD"].map(quote_of);
        let expected = [
            Some("USDT"),
            Some("USD"),
            Some("BTC"),
            None,
            None,
            Some("FDUSD"),
        ];
        assert_eq!(quotes, expected);
    }
}
