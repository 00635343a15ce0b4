//! Learning from new rows without a full fit.

use crate::error::Result;
use crate::model::Progress;
use crate::schema::Dataset;

/// Id of the capability.
pub const INCREMENTAL_ID: &str = "fb.incremental/1";

/// A model that can take in new rows. Afterwards its predictions may differ; nothing else changes.
pub trait Incremental {
    /// Learns from `rows`, which have the schema of the training rows.
    ///
    /// # Errors
    /// `E_DATA` where the rows do not fit; `E_CANCELLED` where the host asked to stop. The model is
    /// as before in both cases.
    fn update(&mut self, rows: &Dataset, progress: &mut dyn Progress) -> Result<()>;
}
