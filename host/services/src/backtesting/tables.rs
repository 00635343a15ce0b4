//! Results as tables for other tools: the equity curve and the trades.

use crate::report::{TradeRow, TradeSide, Trading};

/// A table cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {file}: {message}")]
pub struct TableError {
    /// Which file.
    file: &'static str,
    /// What went wrong.
    message: String,
}

/// `equity.csv`: one row for each closing time; equity is in the reporting currency.
pub(crate) fn equity(trading: &Trading) -> Result<Vec<u8>, TableError> {
    let mut table = Table::new("equity.csv");
    table.row(&[
        "closed_at",
        "strategy_equity",
        "buy_and_hold_equity",
        "gross_exposure",
        "net_exposure",
        "turnover",
        "currency",
    ])?;
    for point in &trading.curve {
        table.row(&[
            &point.closed_at.to_string(),
            &point.strategy_equity.to_string(),
            &point.buy_and_hold_equity.to_string(),
            &point.gross_exposure.to_string(),
            &point.net_exposure.to_string(),
            &point.turnover.to_string(),
            &trading.currency,
        ])?;
    }
    table.finish()
}

/// `trades.csv`: one row for each round trip; its amounts are in its own currency, of which one was
/// worth `rate` of the reporting one.
pub(crate) fn trades(trades: &[TradeRow]) -> Result<Vec<u8>, TableError> {
    let mut table = Table::new("trades.csv");
    table.row(&[
        "symbol",
        "side",
        "entered_at",
        "exited_at",
        "quantity",
        "entry_price",
        "exit_price",
        "gross_profit",
        "fees",
        "slippage",
        "net_profit",
        "bars_held",
        "exit_reason",
        "currency",
        "rate",
    ])?;
    for trade in trades {
        table.row(&[
            &trade.symbol,
            match trade.side {
                TradeSide::Long => "long",
                TradeSide::Short => "short",
            },
            &trade.entered_at.to_string(),
            &trade
                .exited_at
                .map_or_else(String::new, |at| at.to_string()),
            &trade.quantity.to_string(),
            &trade.entry_price.to_string(),
            &trade
                .exit_price
                .map_or_else(String::new, |price| price.to_string()),
            &trade.gross_profit.to_string(),
            &trade.fees.to_string(),
            &trade.slippage.to_string(),
            &trade.net_profit.to_string(),
            &trade.bars_held.to_string(),
            &trade.exit_reason,
            &trade.currency,
            &trade.rate.to_string(),
        ])?;
    }
    table.finish()
}

/// A CSV file in memory.
pub(crate) struct Table {
    file: &'static str,
    writer: csv::Writer<Vec<u8>>,
}

impl Table {
    pub(crate) fn new(file: &'static str) -> Self {
        Self {
            file,
            writer: csv::Writer::from_writer(Vec::new()),
        }
    }

    pub(crate) fn row(&mut self, fields: &[&str]) -> Result<(), TableError> {
        self.writer
            .write_record(fields)
            .map_err(|error| self.failed(&error))
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, TableError> {
        let file = self.file;
        self.writer.into_inner().map_err(|error| {
            let message = error.to_string();
            TableError { file, message }
        })
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> TableError {
        TableError {
            file: self.file,
            message: error.to_string(),
        }
    }
}
