//! Every prediction as a table for other tools. The equity curve and the trades are written with
//! those of a backtest.

use fusebox_engine::dataset::Samples;
use fusebox_engine::labels::CLASSES;
use fusebox_engine::types::Market;

use super::folds::FoldModel;
use crate::backtesting::tables::{Table, TableError};

/// `predictions.csv`: one row for each out-of-sample prediction, with the label where it is known.
pub(super) fn predictions(
    market: &Market,
    samples: &Samples,
    models: &[FoldModel],
) -> Result<Vec<u8>, TableError> {
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
