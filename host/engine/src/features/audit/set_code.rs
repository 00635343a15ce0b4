//! A feature set of ours as code to audit.

use super::{Declared, FeatureCode, FeatureTable};
use crate::features::{ExtractOptions, FeatureSet, Memory, extract_exact};
use crate::types::{Market, SymbolId, TimeFrame};

/// Rounding of sums that are carried along, as a share of a column's largest value.
const WINDOW_TOLERANCE: f64 = 1e-9;
/// What is left of the start of the history once a recursive feature counts as settled.
const RECURSIVE_TOLERANCE: f64 = 1e-5;

/// A parsed set with the options it is extracted with.
#[derive(Debug, Clone)]
pub struct SetCode {
    set: FeatureSet,
    options: ExtractOptions,
    time_frame: TimeFrame,
}

impl SetCode {
    /// `set` was parsed for bars of `time_frame`.
    #[must_use]
    pub fn new(set: FeatureSet, options: ExtractOptions, time_frame: TimeFrame) -> Self {
        Self {
            set,
            options,
            time_frame,
        }
    }
}

impl FeatureCode for SetCode {
    fn compute(&mut self, market: &Market) -> Result<FeatureTable, String> {
        let ids = (0..).map(SymbolId).take(market.series().len());
        let values = ids.map(|symbol| extract_exact(&self.set, market, symbol, self.options));
        Ok(FeatureTable {
            columns: self.set.names().map(str::to_owned).collect(),
            values: values
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
        })
    }

    fn declared(&self, column: usize) -> Option<Declared> {
        let feature = self.set.features().get(column)?;
        let kind = feature.kind();
        let settled = feature.settled_bars(self.time_frame) as usize;
        Some(Declared {
            // Bars that another symbol lacks take longer on the clock of the row's own bars.
            settled_bars: if feature.reads_others() {
                settled + settled / 2 + 8
            } else {
                settled
            },
            tolerance: match kind.memory {
                Memory::Window | Memory::Day => WINDOW_TOLERANCE,
                Memory::Recursive { .. } => RECURSIVE_TOLERANCE,
            },
        })
    }
}
