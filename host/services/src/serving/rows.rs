//! From closed bars to the rows that a live model takes.
//!
//! The features come from the engine's extractor, which training uses too. A window reaches back
//! over an unbroken run of valid rows of one symbol, as the windows of a dataset do: a gap or a row
//! that is not valid starts the run again.

use fusebox_engine::features::{
    ExtractError, ExtractOptions, FeatureContext, FeatureExtractor, FeatureSet, RestoreError,
    State, StateError, StateReader, StateWriter,
};
use fusebox_engine::types::{Bar, SymbolId, Timestamp};

use crate::training::{FactWatch, ReadoutNeeds, RowFacts};

/// Turns the bars that close at one moment into the input of one prediction.
#[derive(Debug, Clone)]
pub struct LiveRows {
    extractor: FeatureExtractor,
    feature_set: String,
    runs: Vec<Run>,
    needs: ReadoutNeeds,
    watches: Vec<FactWatch>,
    /// What is known of every symbol at the newest step.
    facts: Vec<RowFacts>,
    columns: usize,
    window: usize,
    ready: Ready,
}

/// The rows of one moment: the symbols whose windows are complete, in id order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ready {
    /// When the rows are known.
    pub closed_at: Option<Timestamp>,
    /// Whose windows lie in `input`.
    pub symbols: Vec<u32>,
    /// `symbols x window x columns` values, oldest step first.
    pub input: Vec<f32>,
    /// What is known of each symbol besides, for the readout of its answers.
    pub facts: Vec<RowFacts>,
}

/// The newest steps of an unbroken run of valid rows of one symbol.
#[derive(Debug, Clone, Default)]
struct Run {
    segment: u32,
    /// Up to `window` steps, oldest first.
    values: Vec<f32>,
}

impl LiveRows {
    /// Rows of the features of `set`, in windows of `window` steps (1 for a model of single rows).
    ///
    /// # Errors
    /// [`ExtractError::UnknownSymbol`] where `set` was parsed for a market with more symbols.
    pub fn new(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
        window: usize,
    ) -> Result<Self, ExtractError> {
        Ok(Self {
            extractor: FeatureExtractor::new(set, context, options)?,
            feature_set: set.digest().to_owned(),
            runs: vec![Run::default(); context.symbols.len()],
            needs: ReadoutNeeds::Nothing,
            watches: vec![FactWatch::Nothing; context.symbols.len()],
            facts: vec![RowFacts::default(); context.symbols.len()],
            columns: set.len(),
            window: window.max(1),
            ready: Ready::default(),
        })
    }

    /// The same rows, with what the readout of the model's answers has to know; for rows that have
    /// seen no bar yet.
    #[must_use]
    pub fn with_needs(mut self, needs: ReadoutNeeds) -> Self {
        self.watches = vec![needs.watch(); self.runs.len()];
        self.needs = needs;
        self
    }

    /// Everything that changes with the bars, as bytes for [`restore`](Self::restore).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut runs = StateWriter::default();
        self.window.save(&mut runs);
        for run in &self.runs {
            run.segment.save(&mut runs);
            run.values.save(&mut runs);
        }
        let needs = serde_json::to_vec(&self.needs).unwrap_or_default();
        needs.save(&mut runs);
        for watch in &self.watches {
            match watch {
                FactWatch::Nothing => {}
                FactWatch::Volatility(volatility) => volatility.save(&mut runs),
                FactWatch::Side(sides) => sides.save(&mut runs),
            }
        }
        self.extractor.save_with(&runs.into_bytes())
    }

    /// Rows that go on after those that gave `bytes`, with the same bits and the same
    /// [`needs`](Self::needs); bars that close after
    /// [`last_step_at`](Self::last_step_at) are to be shown next.
    ///
    /// # Errors
    /// [`RestoreError`] where the bytes are damaged or belong to other features, options, bars,
    /// symbols or windows.
    pub fn restore(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
        window: usize,
        bytes: &[u8],
    ) -> Result<Self, RestoreError> {
        let mut rows = Self::new(set, context, options, window)?;
        let (extractor, runs) = FeatureExtractor::restore_with(set, context, options, bytes)?;
        rows.extractor = extractor;
        let mut reader = StateReader::new(&runs);
        let mut saved_window = 0_usize;
        saved_window.load(&mut reader)?;
        if saved_window != rows.window {
            let words = format!(
                "its windows have {saved_window} steps, here they have {}",
                rows.window
            );
            return Err(RestoreError::OtherWork {
                differences: vec![words],
            });
        }
        for run in &mut rows.runs {
            run.segment.load(&mut reader)?;
            run.values.load(&mut reader)?;
            let is_whole = run.values.len() % rows.columns == 0
                && run.values.len() <= rows.columns * rows.window;
            if !is_whole {
                return Err(StateError::Damaged("a window of another length").into());
            }
        }
        let mut needs: Vec<u8> = Vec::new();
        needs.load(&mut reader)?;
        let needs = serde_json::from_slice(&needs)
            .map_err(|_| StateError::Damaged("needs of a readout that are none"))?;
        rows = rows.with_needs(needs);
        for watch in &mut rows.watches {
            match watch {
                FactWatch::Nothing => {}
                FactWatch::Volatility(volatility) => volatility.load(&mut reader)?,
                FactWatch::Side(sides) => sides.load(&mut reader)?,
            }
        }
        if !reader.is_at_end() {
            return Err(StateError::Damaged("more bytes than there should be").into());
        }
        Ok(rows)
    }

    /// The rows of the newest step.
    #[must_use]
    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// When the newest bars closed.
    #[must_use]
    pub fn last_step_at(&self) -> Option<Timestamp> {
        self.extractor.last_step_at()
    }

    /// Digest of the feature set, in hexadecimal.
    #[must_use]
    pub fn feature_set(&self) -> &str {
        &self.feature_set
    }

    /// What is followed for the readout of the model's answers.
    #[must_use]
    pub fn needs(&self) -> &ReadoutNeeds {
        &self.needs
    }

    /// Features of every step.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Steps of every row.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// Takes in the bars that close at `closed_at`, one slot per symbol in id order.
    ///
    /// # Errors
    /// [`ExtractError`] where the bars do not fit the step or the past; nothing is taken in then.
    pub fn step(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
    ) -> Result<&Ready, ExtractError> {
        let rows = self.extractor.step(closed_at, bars)?;
        let followed = self.watches.iter_mut().zip(&mut self.facts).zip(bars);
        for ((watch, facts), bar) in followed {
            *facts = bar.map_or_else(RowFacts::default, |bar| watch.step(bar));
        }
        self.ready.closed_at = Some(closed_at);
        self.ready.facts.clear();
        self.ready.symbols.clear();
        self.ready.input.clear();
        let full = self.columns * self.window;
        let runs = self.runs.iter_mut().zip(&self.facts);
        for (symbol, (run, facts)) in (0..).map(SymbolId).zip(runs) {
            let Some(row) = rows.get(symbol) else {
                continue;
            };
            if !row.is_valid {
                run.values.clear();
                continue;
            }
            if row.segment != run.segment {
                run.values.clear();
                run.segment = row.segment;
            }
            if run.values.len() == full {
                run.values.drain(..self.columns);
            }
            run.values.extend_from_slice(row.values);
            if run.values.len() == full {
                self.ready.symbols.push(symbol.0);
                self.ready.facts.push(*facts);
                self.ready.input.extend_from_slice(&run.values);
            }
        }
        Ok(&self.ready)
    }
}

#[cfg(test)]
mod tests {
    use fusebox_engine::features::extract_symbol;
    use fusebox_engine::types::{BarSeries, Market, TimeFrame};

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    /// Two symbols; the second begins later and has a hole of 30 bars.
    fn market() -> Market {
        let bar = |hour: i64, symbol: i64| {
            let close = 100.0 + ((hour * 7 + symbol * 3) % 11) as f64;
            let opened_at = Timestamp::from_nanos(hour * HOUR);
            Bar {
                opened_at,
                closed_at: Timestamp::from_nanos((hour + 1) * HOUR),
                open: 100.0,
                high: 112.0,
                low: 99.0,
                close,
                volume: 5.0,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        };
        let series = |name: &str, bars: Vec<Bar>| BarSeries {
            name: name.to_owned(),
            time_frame: "1h".parse::<TimeFrame>().unwrap(),
            bars,
        };
        let first = (0..120).map(|hour| bar(hour, 0)).collect();
        let second = (5..50).chain(80..120).map(|hour| bar(hour, 1)).collect();
        Market::new(vec![series("A", first), series("B", second)]).unwrap()
    }

    #[test]
    fn windows_hold_the_rows_of_the_batch_and_never_cross_a_gap() {
        let market = market();
        let context = FeatureContext::of(&market);
        let names = ["log_return(1)", "zscore(5)"].map(str::to_owned);
        let set = FeatureSet::parse(&names, &context).unwrap();
        let options = ExtractOptions::default();
        let window = 3;
        let mut live = LiveRows::new(&set, &context, options, window).unwrap();
        let matrices =
            [0, 1].map(|id| extract_symbol(&set, &market, SymbolId(id), options).unwrap());
        let mut seen = 0;
        for (closed_at, bars) in market.steps() {
            let ready = live.step(closed_at, &bars).unwrap().clone();
            for (position, matrix) in matrices.iter().enumerate() {
                let Some(row) = matrix.closed_at.iter().position(|at| *at == closed_at) else {
                    continue;
                };
                let is_run = row + 1 >= window
                    && (row + 1 - window..=row)
                        .all(|r| matrix.is_valid[r] && matrix.segment[r] == matrix.segment[row]);
                let place = ready.symbols.iter().position(|id| *id == position as u32);
                assert_eq!(place.is_some(), is_run, "{closed_at} {position}");
                let Some(place) = place else { continue };
                let full = window * set.len();
                let found = &ready.input[place * full..(place + 1) * full];
                let expected: Vec<f32> = (row + 1 - window..=row)
                    .flat_map(|r| matrix.row(r).to_vec())
                    .collect();
                assert_eq!(found, expected);
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }

    fn needs(text: &str) -> ReadoutNeeds {
        serde_json::from_str(text).unwrap()
    }

    const GAP: i64 = 12 * HOUR;

    #[test]
    fn what_a_readout_needs_is_known_at_the_close_as_in_a_batch() {
        use fusebox_engine::labels::{PrimaryKind, PrimarySignal, volatility};
        let market = market();
        let context = FeatureContext::of(&market);
        let set = FeatureSet::parse(&["log_return(1)".to_owned()], &context).unwrap();
        let signal = PrimarySignal {
            kind: PrimaryKind::Crossover,
            fast_bars: 3,
            slow_bars: 9,
        };
        for text in [
            format!("{{\"volatility\": {{\"span_bars\": 7, \"longest_gap_ns\": {GAP}}}}}"),
            format!(
                "{{\"side\": {{\"kind\": \"crossover\", \"fast_bars\": 3, \"slow_bars\": 9, \
                 \"longest_gap_ns\": {GAP}}}}}"
            ),
        ] {
            let options = ExtractOptions::default();
            let rows = LiveRows::new(&set, &context, options, 1).unwrap();
            let mut live = rows.with_needs(needs(&text));
            let mut seen = 0;
            let batch: Vec<Vec<RowFacts>> = market
                .series()
                .iter()
                .map(|series| {
                    let sigmas = volatility(&series.bars, 7, GAP);
                    let sides = signal.sides(&series.bars, GAP);
                    let facts = sigmas.into_iter().zip(sides);
                    facts
                        .map(|(sigma, side)| RowFacts {
                            sigma: sigma.filter(|_| text.contains("volatility")),
                            side: Some(side).filter(|_| text.contains("side")),
                        })
                        .collect()
                })
                .collect();
            for (at, bars) in market.steps() {
                let ready = live.step(at, &bars).unwrap().clone();
                assert_eq!(ready.symbols.len(), ready.facts.len());
                for (symbol, facts) in ready.symbols.iter().zip(&ready.facts) {
                    let bars = &market.series()[*symbol as usize].bars;
                    let bar = bars.iter().position(|bar| bar.closed_at == at).unwrap();
                    assert_eq!(*facts, batch[*symbol as usize][bar], "{at} {symbol}");
                    seen += usize::from(*facts != RowFacts::default());
                }
            }
            assert!(seen > 100, "{seen}");
        }
    }

    #[test]
    fn restored_rows_go_on_as_if_nothing_had_happened() {
        restored_rows_go_on(ReadoutNeeds::Nothing);
        restored_rows_go_on(needs(
            r#"{"volatility": {"span_bars": 7, "longest_gap_ns": 43200000000000}}"#,
        ));
        restored_rows_go_on(needs(
            r#"{"side": {"kind": "momentum", "fast_bars": 1, "slow_bars": 5,
                "longest_gap_ns": 43200000000000}}"#,
        ));
    }

    fn restored_rows_go_on(needs: ReadoutNeeds) {
        let market = market();
        let context = FeatureContext::of(&market);
        let names = ["log_return(1)", "ema_ratio(5)"].map(str::to_owned);
        let set = FeatureSet::parse(&names, &context).unwrap();
        let options = ExtractOptions::default();
        let window = 3;
        let fresh = || {
            let rows = LiveRows::new(&set, &context, options, window).unwrap();
            rows.with_needs(needs)
        };
        let mut whole = fresh();
        let expected: Vec<Ready> = market
            .steps()
            .map(|(at, bars)| whole.step(at, &bars).unwrap().clone())
            .collect();
        for cut in [0, 1, 6, 51, 52, 82, 119] {
            let mut first = fresh();
            for (at, bars) in market.steps().take(cut) {
                first.step(at, &bars).unwrap();
            }
            let bytes = first.save();
            let mut second = LiveRows::restore(&set, &context, options, window, &bytes).unwrap();
            assert_eq!(second.last_step_at(), first.last_step_at());
            assert_eq!(*second.needs(), needs);
            for ((at, bars), ready) in market.steps().zip(&expected).skip(cut) {
                assert_eq!(second.step(at, &bars).unwrap(), ready, "{cut} {at}");
            }
            let other = LiveRows::restore(&set, &context, options, 4, &bytes).unwrap_err();
            assert!(
                other.to_string().contains("windows have 3 steps"),
                "{other}"
            );
        }
    }
}
