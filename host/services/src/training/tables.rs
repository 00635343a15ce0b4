//! Results as tables for other tools: the equity curve, the trades, every prediction.

use fusebox_engine::dataset::Samples;
use fusebox_engine::labels::CLASSES;
use fusebox_engine::types::Market;

use super::error::TrainingError;
use super::folds::FoldModel;
use crate::report::{CurvePoint, TradeRow};

/// `equity.csv`: one row for each closing time.
pub(super) fn equity(curve: &[CurvePoint]) -> Result<Vec<u8>, TrainingError> {
    let mut table = Table::new("equity.csv");
    table.row(&[
        "closed_at",
        "strategy_equity",
        "buy_and_hold_equity",
        "gross_exposure",
    ])?;
    for point in curve {
        table.row(&[
            &point.closed_at.to_string(),
            &point.strategy_equity.to_string(),
            &point.buy_and_hold_equity.to_string(),
            &point.gross_exposure.to_string(),
        ])?;
    }
    table.finish()
}

/// `trades.csv`: one row for each round trip.
pub(super) fn trades(trades: &[TradeRow]) -> Result<Vec<u8>, TrainingError> {
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
    ])?;
    for trade in trades {
        table.row(&[
            &trade.symbol,
            match trade.side {
                crate::report::TradeSide::Long => "long",
                crate::report::TradeSide::Short => "short",
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
        ])?;
    }
    table.finish()
}

/// `predictions.csv`: one row for each out-of-sample prediction, with the label where it is known.
pub(super) fn predictions(
    market: &Market,
    samples: &Samples,
    models: &[FoldModel],
) -> Result<Vec<u8>, TrainingError> {
    let mut table = Table::new("predictions.csv");
    table.row(&[
        "closed_at",
        "symbol",
        "fold",
        "p_down",
        "p_flat",
        "p_up",
        "label",
        "return",
    ])?;
    for (fold, model) in (1..).zip(models) {
        let fold: u32 = fold;
        for one in &model.predictions {
            let name = market
                .get(one.symbol)
                .map_or("", |series| series.name.as_str());
            let label = samples
                .get(one.symbol)
                .and_then(|symbol| symbol.labels.get(one.row));
            let [down, flat, up] = one.probabilities.map(|p| p.to_string());
            table.row(&[
                &one.closed_at.to_string(),
                name,
                &fold.to_string(),
                &down,
                &flat,
                &up,
                label.map_or("", |label| CLASSES[label.class.index()]),
                &label.map_or_else(String::new, |label| label.log_return.to_string()),
            ])?;
        }
    }
    table.finish()
}

/// A CSV file in memory.
struct Table {
    file: &'static str,
    writer: csv::Writer<Vec<u8>>,
}

impl Table {
    fn new(file: &'static str) -> Self {
        Self {
            file,
            writer: csv::Writer::from_writer(Vec::new()),
        }
    }

    fn row(&mut self, fields: &[&str]) -> Result<(), TrainingError> {
        self.writer
            .write_record(fields)
            .map_err(|error| self.failed(&error))
    }

    fn finish(self) -> Result<Vec<u8>, TrainingError> {
        let file = self.file;
        self.writer.into_inner().map_err(|error| {
            let message = error.to_string();
            TrainingError::Table { file, message }
        })
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> TrainingError {
        TrainingError::Table {
            file: self.file,
            message: error.to_string(),
        }
    }
}
