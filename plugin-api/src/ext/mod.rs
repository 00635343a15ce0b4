//! Optional capabilities of a model, each a table of its own that is asked for by id.
//!
//! A capability is one file: its trait for authors and its id. A model offers one by returning it
//! from the accessor of the same name in [`Model`](crate::model::Model); the host finds it absent
//! otherwise. A new capability is a new file and a new id, never a change of an old one.
//!
//! | id | trait | answers |
//! |---|---|---|
//! | `fb.explain/1` | [`Explain`] | importances, contributions of each feature to each row |
//! | `fb.incremental/1` | [`Incremental`] | learning from new rows without a full fit |
//! | `fb.quantiles/1` | [`Quantiles`] | which quantile levels the outputs are |
//! | `fb.onnx_export/1` | [`OnnxExport`] | the model as an ONNX file |

mod explain;
mod incremental;
mod onnx_export;
mod quantiles;

pub use explain::{EXPLAIN_ID, Explain};
pub use incremental::{INCREMENTAL_ID, Incremental};
pub use onnx_export::{ONNX_EXPORT_ID, OnnxExport};
pub use quantiles::{QUANTILES_ID, Quantiles};
