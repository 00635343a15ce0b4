//! Predictions that were made before the backtest, served closing time by closing time.

use crate::fusion::{ModelInfo, Prediction};
use crate::ports::{Answers, SignalError, SignalSource};
use crate::types::{Bar, BarSeries, Market, Timestamp};

/// Why predictions do not make a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalTableError {
    /// A prediction is of a symbol that the market does not have.
    #[error("a prediction at {closed_at} is of symbol {symbol}; the market has {symbols}")]
    UnknownSymbol {
        /// When.
        closed_at: Timestamp,
        /// The symbol's id.
        symbol: u32,
        /// How many symbols there are.
        symbols: usize,
    },
    /// A prediction is of a model that is not in the table of models.
    #[error("a prediction at {closed_at} is of model {model}; there are {models}")]
    UnknownModel {
        /// When.
        closed_at: Timestamp,
        /// The model's reference.
        model: u32,
        /// How many models there are.
        models: usize,
    },
    /// A prediction is of a moment at which no bar closes, so it could never be acted on.
    #[error("no bar closes at {closed_at}, of which there is a prediction; check its time")]
    NoBar {
        /// When.
        closed_at: Timestamp,
    },
    /// A model answered twice for one symbol and time.
    #[error("model {model} predicts {symbol} twice at {closed_at}; do two folds overlap?")]
    Twice {
        /// When.
        closed_at: Timestamp,
        /// The symbol's name.
        symbol: String,
        /// The model's reference.
        model: u32,
    },
}

/// A table of predictions in the order of closing time, symbol and model.
#[derive(Debug, Clone)]
pub struct PrecomputedSignals {
    models: Vec<ModelInfo>,
    predictions: Vec<Prediction>,
    next: usize,
}

impl PrecomputedSignals {
    /// From predictions in any order.
    ///
    /// # Errors
    /// [`SignalTableError`] for the first prediction, in time, that does not fit.
    pub fn new(
        market: &Market,
        models: Vec<ModelInfo>,
        mut predictions: Vec<Prediction>,
    ) -> Result<Self, SignalTableError> {
        predictions.sort_by_key(|one| (one.closed_at, one.symbol, one.model));
        for one in &predictions {
            let closed_at = one.closed_at;
            if market.get(one.symbol).is_none() {
                return Err(SignalTableError::UnknownSymbol {
                    closed_at,
                    symbol: one.symbol.0,
                    symbols: market.series().len(),
                });
            }
            if one.model.index() >= models.len() {
                return Err(SignalTableError::UnknownModel {
                    closed_at,
                    model: one.model.0,
                    models: models.len(),
                });
            }
            if !closes_a_bar(market, one) {
                return Err(SignalTableError::NoBar { closed_at });
            }
        }
        let key = |one: &Prediction| (one.closed_at, one.symbol, one.model);
        let twice = predictions
            .windows(2)
            .find(|pair| matches!(pair, [one, other] if key(one) == key(other)));
        if let Some([one, ..]) = twice {
            let name = market.get(one.symbol).map(|series| series.name.clone());
            return Err(SignalTableError::Twice {
                closed_at: one.closed_at,
                symbol: name.unwrap_or_default(),
                model: one.model.0,
            });
        }
        Ok(Self {
            models,
            predictions,
            next: 0,
        })
    }

    /// The predictions in order.
    #[must_use]
    pub fn predictions(&self) -> &[Prediction] {
        &self.predictions
    }
}

/// Whether any bar of the market closes when the prediction was made; its own symbol's is looked
/// for first.
fn closes_a_bar(market: &Market, prediction: &Prediction) -> bool {
    let closes = |series: &BarSeries| {
        let bars = &series.bars;
        bars.binary_search_by_key(&prediction.closed_at, |bar| bar.closed_at)
            .is_ok()
    };
    market.get(prediction.symbol).is_some_and(closes) || market.series().iter().any(closes)
}

impl SignalSource for PrecomputedSignals {
    fn models(&self) -> &[ModelInfo] {
        &self.models
    }

    /// The range; an empty one at the end of time where there are no predictions.
    fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let never = Timestamp::from_nanos(i64::MAX);
        match (self.predictions.first(), self.predictions.last()) {
            (Some(first), Some(last)) => Some((first.closed_at, last.closed_at)),
            _ => Some((never, never)),
        }
    }

    fn predict(
        &mut self,
        closed_at: Timestamp,
        _: &[Option<&Bar>],
        answers: &mut Answers,
    ) -> Result<(), SignalError> {
        if let Some(before) = self.next.checked_sub(1)
            && let Some(one) = self.predictions.get(before)
            && one.closed_at >= closed_at
        {
            // A new walk begins.
            self.next = 0;
        }
        while let Some(one) = self.predictions.get(self.next) {
            if one.closed_at > closed_at {
                break;
            }
            if one.closed_at == closed_at {
                answers.predictions.push(Some(*one));
            }
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fusion::ModelRef;
    use crate::types::SymbolId;

    /// Bars that close at 1, 2 and 3.
    fn market() -> Market {
        let bars = (1..4).map(|at| Bar {
            opened_at: Timestamp::from_nanos(at - 1),
            closed_at: Timestamp::from_nanos(at),
            open: 1.0,
            high: 1.0,
            low: 1.0,
            close: 1.0,
            volume: 1.0,
            quote_volume: None,
            trades: None,
            taker_buy_volume: None,
        });
        Market::new(vec![BarSeries {
            name: "A".to_owned(),
            time_frame: "1h".parse().unwrap(),
            bars: bars.collect(),
        }])
        .unwrap()
    }

    fn model() -> ModelInfo {
        ModelInfo {
            name: "m".to_owned(),
            version: "1".to_owned(),
            digest: String::new(),
            generation: 0,
            fold: None,
        }
    }

    fn prediction(at: i64, symbol: u32, model: u32) -> Prediction {
        Prediction {
            symbol: SymbolId(symbol),
            closed_at: Timestamp::from_nanos(at),
            probabilities: [0.0, 0.0, 1.0],
            model: ModelRef(model),
        }
    }

    #[test]
    fn serves_each_time_its_own_and_can_walk_again() {
        let table = vec![prediction(3, 0, 0), prediction(1, 0, 0)];
        let mut signals = PrecomputedSignals::new(&market(), vec![model()], table).unwrap();
        for _ in 0..2 {
            let mut counts = Vec::new();
            for at in 0..5 {
                let mut found = Answers::default();
                signals
                    .predict(Timestamp::from_nanos(at), &[], &mut found)
                    .unwrap();
                counts.push(found.predictions.len());
            }
            assert_eq!(counts, [0, 1, 0, 1, 0]);
        }
    }

    #[test]
    fn refuses_strangers_and_doubles() {
        let refused = |table| PrecomputedSignals::new(&market(), vec![model()], table).unwrap_err();
        let text = refused(vec![prediction(1, 1, 0)]).to_string();
        assert!(text.contains("symbol 1"), "{text}");
        let text = refused(vec![prediction(1, 0, 1)]).to_string();
        assert!(text.contains("model 1"), "{text}");
        let text = refused(vec![prediction(4, 0, 0)]).to_string();
        assert!(text.starts_with("no bar closes at"), "{text}");
        let text = refused(vec![prediction(1, 0, 0), prediction(1, 0, 0)]).to_string();
        assert!(text.contains("predicts A twice"), "{text}");
    }
}
