//! The page of a backtest: the trading half of a run's page, without a model of its own.

use serde::Serialize;

use super::ReportError;
use super::data::{BacktestRecord, BacktestReport, FoldRow, MarketSummary};
use super::trading_page::{TradingPage, trading_page};
use super::verdict::{Verdict, strategy_verdict};

/// What the templates see.
#[derive(Debug, Serialize)]
pub(super) struct BacktestPage<'a> {
    title: &'a str,
    verdicts: [Verdict; 1],
    market: &'a MarketSummary,
    /// None: the predictions are somebody else's.
    folds: [FoldRow; 0],
    #[serde(flatten)]
    trading: TradingPage<'a>,
    reproducibility: &'a BacktestRecord,
}

/// Arranges the page.
pub(super) fn backtest_page(data: &BacktestReport) -> Result<BacktestPage<'_>, ReportError> {
    Ok(BacktestPage {
        title: &data.title,
        verdicts: [strategy_verdict(&data.trading)],
        market: &data.market,
        folds: [],
        trading: trading_page(&data.trading, &[])?,
        reproducibility: &data.reproducibility,
    })
}
