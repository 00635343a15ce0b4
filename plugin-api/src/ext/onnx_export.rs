//! The model as an ONNX file.

use crate::error::Result;

/// Id of the capability.
pub const ONNX_EXPORT_ID: &str = "fb.onnx_export/1";

/// A model that can be written as ONNX.
pub trait OnnxExport {
    /// The bytes of a `ModelProto` that uses operators of at most version `opset` of the standard
    /// operator set. Input and output have the shapes of the model's info.
    ///
    /// # Errors
    /// `E_UNSUPPORTED` where the model cannot be expressed with that operator set.
    fn to_onnx(&self, opset: u32) -> Result<Vec<u8>>;
}
