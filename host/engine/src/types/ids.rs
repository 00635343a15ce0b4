//! Identifiers.

use serde::{Deserialize, Serialize};

/// A symbol's position in the run's [`Market`](super::Market); stable within one run only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// The position as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
