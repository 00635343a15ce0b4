//! From bars to rows of features, live and over a history.
//!
//! A [`FeatureExtractor`] is stepped with the bars that close at one moment. Histories go through
//! the same per-symbol state; each symbol is a partition of its own ([`extract_symbol`]) that
//! shares nothing with the others, so a caller may run partitions side by side.

use std::sync::Arc;

use super::lane::Lane;
use super::{FeatureContext, FeatureSet};
use crate::types::{Bar, Market, SymbolId, TimeFrame, Timestamp};

/// How bars are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractOptions {
    /// Longest run of missing bars that is passed over. A longer one starts a new segment, and a
    /// lead symbol that has been silent for longer gives no values.
    pub max_gap_bars: u32,
}

impl Default for ExtractOptions {
    fn default() -> Self {
        Self { max_gap_bars: 12 }
    }
}

/// Why bars cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// A step has another number of symbols than the extractor.
    #[error("a step with {found} symbols came to an extractor of {expected}")]
    SymbolCount {
        /// In the step.
        found: usize,
        /// In the extractor.
        expected: usize,
    },
    /// A bar does not close at the time of its step.
    #[error("the bar of symbol {symbol} closes at {closed_at}, its step is at {step_at}")]
    NotOfThisStep {
        /// The symbol's position.
        symbol: usize,
        /// When the bar closes.
        closed_at: Timestamp,
        /// The step.
        step_at: Timestamp,
    },
    /// A bar overlaps an earlier one.
    #[error(
        "a bar of symbol {symbol} opens at {opened_at}, before the previous one closed at \
         {previous}; sort the bars and drop duplicates"
    )]
    OutOfOrder {
        /// The symbol's position.
        symbol: usize,
        /// When the bar opens.
        opened_at: Timestamp,
        /// When the previous bar closed.
        previous: Timestamp,
    },
    /// The feature set names a symbol that the market lacks.
    #[error("symbol {symbol} is not part of the market; parse the features for this market")]
    UnknownSymbol {
        /// The symbol's position.
        symbol: usize,
    },
}

/// Feature rows of one symbol over a history; row `i` belongs to bar `i` of its series.
#[derive(Debug, Clone)]
pub struct FeatureMatrix {
    /// Whose rows.
    pub symbol: SymbolId,
    /// Column names.
    pub columns: Arc<[String]>,
    /// When each row is known.
    pub closed_at: Vec<Timestamp>,
    /// Number of the unbroken stretch of bars that each row belongs to, ascending.
    pub segment: Vec<u32>,
    /// Whether every feature of the row is finite.
    pub is_valid: Vec<bool>,
    /// Row-major values, `columns.len()` to a row; NaN where a feature is not there yet.
    pub values: Arc<[f32]>,
}

impl FeatureMatrix {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.closed_at.len()
    }

    /// The values of one row; empty past the end.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        let width = self.columns.len();
        self.values
            .get(row * width..(row + 1) * width)
            .unwrap_or(&[])
    }

    /// Number of rows in which every feature is finite.
    #[must_use]
    pub fn valid_rows(&self) -> usize {
        self.is_valid.iter().filter(|valid| **valid).count()
    }
}

/// The state that turns bars into feature rows, for every symbol of a market. A clone is a
/// snapshot: both go on independently.
#[derive(Debug, Clone)]
pub struct FeatureExtractor {
    symbols: Vec<SymbolExtractor>,
    /// Which symbols have a row after the latest step.
    has_row: Vec<bool>,
}

impl FeatureExtractor {
    /// An extractor that has seen nothing.
    ///
    /// # Errors
    /// [`ExtractError::UnknownSymbol`] where `set` was parsed for a market with more symbols.
    pub fn new(
        set: &FeatureSet,
        context: &FeatureContext,
        options: ExtractOptions,
    ) -> Result<Self, ExtractError> {
        let count = context.symbols.len();
        require_leads(set, count)?;
        let template = SymbolExtractor::new(set, context.time_frame, options);
        Ok(Self {
            symbols: vec![template; count],
            has_row: vec![false; count],
        })
    }

    /// Takes in the bars that close at `closed_at`, one slot per symbol in id order, and gives the
    /// row of each symbol that has a bar.
    ///
    /// # Errors
    /// [`ExtractError`] where the bars do not fit the step or the past; nothing is taken in then.
    pub fn step(
        &mut self,
        closed_at: Timestamp,
        bars: &[Option<&Bar>],
    ) -> Result<FeatureRows<'_>, ExtractError> {
        self.check(closed_at, bars)?;
        for (position, symbol) in self.symbols.iter_mut().enumerate() {
            for lane in 0..symbol.lanes.len() {
                let source = symbol.lanes[lane].source;
                if let Some(bar) = source.and_then(|lead| bars[lead.index()]) {
                    symbol.feed_lead(lane, bar);
                }
            }
            self.has_row[position] = bars[position].is_some();
            if let Some(bar) = bars[position] {
                symbol.feed_own(bar);
            }
        }
        Ok(FeatureRows { extractor: self })
    }

    fn check(&self, step_at: Timestamp, bars: &[Option<&Bar>]) -> Result<(), ExtractError> {
        let expected = self.symbols.len();
        if bars.len() != expected {
            return Err(ExtractError::SymbolCount {
                found: bars.len(),
                expected,
            });
        }
        for (symbol, (bar, state)) in bars.iter().zip(&self.symbols).enumerate() {
            let Some(bar) = bar else { continue };
            if bar.closed_at != step_at {
                return Err(ExtractError::NotOfThisStep {
                    symbol,
                    closed_at: bar.closed_at,
                    step_at,
                });
            }
            require_order(symbol, state.last_closed_at, bar)?;
        }
        Ok(())
    }
}

/// The rows of one step.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRows<'a> {
    extractor: &'a FeatureExtractor,
}

/// One symbol's features at the close of a bar.
#[derive(Debug, Clone, Copy)]
pub struct FeatureRow<'a> {
    /// Whose row.
    pub symbol: SymbolId,
    /// When it is known.
    pub closed_at: Timestamp,
    /// Number of the unbroken stretch of bars.
    pub segment: u32,
    /// Whether every feature is finite.
    pub is_valid: bool,
    /// One value per feature; NaN where it is not there yet.
    pub values: &'a [f32],
}

impl<'a> FeatureRows<'a> {
    /// The row of `symbol`; `None` where it has no bar in this step.
    #[must_use]
    pub fn get(&self, symbol: SymbolId) -> Option<FeatureRow<'a>> {
        let state = self.extractor.symbols.get(symbol.index())?;
        let has_row = self.extractor.has_row.get(symbol.index())?;
        Some(FeatureRow {
            symbol,
            closed_at: state.last_closed_at.filter(|_| *has_row)?,
            segment: state.segment,
            is_valid: state.is_valid,
            values: &state.row,
        })
    }

    /// All rows, in id order.
    pub fn iter(&self) -> impl Iterator<Item = FeatureRow<'a>> {
        let rows = *self;
        (0..)
            .map(SymbolId)
            .take(self.extractor.symbols.len())
            .filter_map(move |id| rows.get(id))
    }
}

/// The state of one symbol: its own lanes and those of the leads its features read.
#[derive(Debug, Clone)]
struct SymbolExtractor {
    set: Arc<FeatureSet>,
    lanes: Vec<Lane>,
    longest_gap_nanos: i64,
    last_closed_at: Option<Timestamp>,
    segment: u32,
    /// What the lanes last wrote.
    held: Vec<f64>,
    /// The newest row before and after the cast.
    exact: Vec<f64>,
    row: Vec<f32>,
    is_valid: bool,
}

impl SymbolExtractor {
    fn new(set: &FeatureSet, time_frame: TimeFrame, options: ExtractOptions) -> Self {
        let width = set.len();
        let gap = i64::from(options.max_gap_bars).saturating_mul(time_frame.nanos());
        Self {
            set: Arc::new(set.clone()),
            lanes: Lane::plan(set.features()),
            longest_gap_nanos: gap,
            last_closed_at: None,
            segment: 0,
            held: vec![f64::NAN; width],
            exact: vec![f64::NAN; width],
            row: vec![f32::NAN; width],
            is_valid: false,
        }
    }

    fn is_long_gap(&self, last: Option<Timestamp>, next: Timestamp) -> bool {
        last.is_some_and(|last| next.nanos_since(last) > self.longest_gap_nanos)
    }

    fn feed_lead(&mut self, lane: usize, bar: &Bar) {
        if !is_usable(bar) {
            return;
        }
        if self.is_long_gap(self.lanes[lane].last_closed_at(), bar.opened_at) {
            self.lanes[lane].start_over(self.set.features());
            self.lanes[lane].blank(&mut self.held);
        }
        self.lanes[lane].feed(bar, &mut self.held);
    }

    /// Takes in the symbol's own bar, after those of its leads, and makes the row.
    fn feed_own(&mut self, bar: &Bar) {
        let starts_over = self.is_long_gap(self.last_closed_at, bar.opened_at);
        self.last_closed_at = Some(bar.closed_at);
        self.segment += u32::from(starts_over);
        let usable = is_usable(bar);
        for lane in self.lanes.iter_mut().filter(|lane| lane.source.is_none()) {
            if starts_over {
                lane.start_over(self.set.features());
                lane.blank(&mut self.held);
            }
            if usable {
                lane.feed(bar, &mut self.held);
            }
        }
        self.advance_leads(bar.closed_at);
        if usable {
            self.exact.copy_from_slice(&self.held);
        } else {
            self.exact.fill(f64::NAN);
        }
        self.blank_silent_leads(bar.closed_at);
        for (narrow, exact) in self.row.iter_mut().zip(&self.exact) {
            *narrow = *exact as f32;
        }
        self.is_valid = self.row.iter().all(|value| value.is_finite());
    }

    fn advance_leads(&mut self, now: Timestamp) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.source.is_some()) {
            lane.advance(now, &mut self.held);
        }
    }

    fn blank_silent_leads(&mut self, now: Timestamp) {
        for lane in self.lanes.iter().filter(|lane| lane.source.is_some()) {
            let is_silent = lane
                .last_closed_at()
                .is_none_or(|last| now.nanos_since(last) > self.longest_gap_nanos);
            if is_silent {
                for &column in lane.columns() {
                    self.exact[column] = f64::NAN;
                }
            }
        }
    }
}

/// Whether a bar's prices can enter a ratio or a logarithm. Validation refuses other bars long
/// before; this keeps a bad live bar from spoiling recursive state.
fn is_usable(bar: &Bar) -> bool {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    prices.iter().all(|price| price.is_finite() && *price > 0.0)
        && bar.volume.is_finite()
        && bar.volume >= 0.0
}

fn require_order(
    symbol: usize,
    last_closed_at: Option<Timestamp>,
    bar: &Bar,
) -> Result<(), ExtractError> {
    match last_closed_at {
        Some(previous) if bar.opened_at < previous || bar.closed_at <= previous => {
            Err(ExtractError::OutOfOrder {
                symbol,
                opened_at: bar.opened_at,
                previous,
            })
        }
        _ => Ok(()),
    }
}

fn require_leads(set: &FeatureSet, symbols: usize) -> Result<(), ExtractError> {
    let leads = set.features().iter().filter_map(|feature| feature.lead());
    match leads.map(SymbolId::index).find(|lead| *lead >= symbols) {
        Some(symbol) => Err(ExtractError::UnknownSymbol { symbol }),
        None => Ok(()),
    }
}

/// The feature rows of every symbol, in id order.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract(
    set: &FeatureSet,
    market: &Market,
    options: ExtractOptions,
) -> Result<Vec<FeatureMatrix>, ExtractError> {
    let ids = (0..).map(SymbolId).take(market.series().len());
    ids.map(|symbol| extract_symbol(set, market, symbol, options))
        .collect()
}

/// The feature rows of one symbol: a partition of the work of [`extract`].
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract_symbol(
    set: &FeatureSet,
    market: &Market,
    symbol: SymbolId,
    options: ExtractOptions,
) -> Result<FeatureMatrix, ExtractError> {
    let rows = market.get(symbol).map_or(0, |series| series.bars.len());
    let mut matrix = FeatureMatrix {
        symbol,
        columns: set.names().map(str::to_owned).collect(),
        closed_at: Vec::with_capacity(rows),
        segment: Vec::with_capacity(rows),
        is_valid: Vec::with_capacity(rows),
        values: Arc::from([]),
    };
    let mut values = Vec::with_capacity(rows * set.len());
    walk(set, market, (symbol, options), |at, state| {
        matrix.closed_at.push(at);
        matrix.segment.push(state.segment);
        matrix.is_valid.push(state.is_valid);
        values.extend_from_slice(&state.row);
    })?;
    matrix.values = values.into();
    Ok(matrix)
}

/// The row-major values of one symbol before they are cast to `f32`, for comparing a formula with
/// its reference.
///
/// # Errors
/// [`ExtractError`] where a series is not in order or the set belongs to another market.
pub fn extract_exact(
    set: &FeatureSet,
    market: &Market,
    symbol: SymbolId,
    options: ExtractOptions,
) -> Result<Vec<f64>, ExtractError> {
    let mut values = Vec::new();
    walk(set, market, (symbol, options), |_, state| {
        values.extend_from_slice(&state.exact);
    })?;
    Ok(values)
}

/// Shows one symbol's bars to fresh state, each after the leads' bars that have closed by then.
fn walk(
    set: &FeatureSet,
    market: &Market,
    (symbol, options): (SymbolId, ExtractOptions),
    mut take: impl FnMut(Timestamp, &SymbolExtractor),
) -> Result<(), ExtractError> {
    let unknown = ExtractError::UnknownSymbol {
        symbol: symbol.index(),
    };
    let own = &market.get(symbol).ok_or(unknown)?.bars;
    require_leads(set, market.series().len())?;
    let mut state = SymbolExtractor::new(set, market.time_frame(), options);
    let mut next = vec![0_usize; state.lanes.len()];
    for bar in own {
        require_order(symbol.index(), state.last_closed_at, bar)?;
        for (lane, next) in next.iter_mut().enumerate() {
            let Some(lead) = state.lanes[lane].source else {
                continue;
            };
            let bars = market.get(lead).map_or(&[][..], |series| &series.bars);
            while let Some(one) = bars.get(*next).filter(|one| one.closed_at <= bar.closed_at) {
                let previous = next.checked_sub(1).and_then(|last| bars.get(last));
                require_order(lead.index(), previous.map(|last| last.closed_at), one)?;
                state.feed_lead(lane, one);
                *next += 1;
            }
        }
        state.feed_own(bar);
        take(bar.closed_at, &state);
    }
    Ok(())
}
