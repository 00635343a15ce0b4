//! Why a model says what it says: importances of features, and contributions per row.

use crate::error::Result;
use crate::frame::Frame;

/// Id of the capability.
pub const EXPLAIN_ID: &str = "fb.explain/1";

/// Feature importances and additive contributions.
pub trait Explain {
    /// Kinds of importance on offer, the usual one first, such as `gain` and `split`.
    fn importance_kinds(&self) -> Vec<String>;

    /// The importance of every input feature, in the order of the model's features. Not normalised.
    ///
    /// # Errors
    /// `E_UNSUPPORTED` for a kind that is not listed.
    fn importance(&self, kind: &str) -> Result<Vec<f64>>;

    /// Writes, for every row and every output, one contribution per feature and then the expected
    /// value; together they add up to the raw score (SHAP values; Lundberg and Lee 2017). The
    /// frame's `output_columns` is `outputs x (features + 1)`.
    ///
    /// # Errors
    /// `E_ARG` where the frame has another shape; `E_UNSUPPORTED` where the model has none.
    fn contributions(&self, frame: &mut Frame<'_>) -> Result<()>;
}
