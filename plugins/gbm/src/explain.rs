//! Why a model says what it says: importance of features, and SHAP contributions per row.
//!
//! Importances and contributions are the library's own (TreeSHAP, Lundberg et al. 2018). They are
//! for study, not for the hot path: contributions of one row cost about as much as a hundred
//! answers.

use fusebox_plugin_api::prelude::*;

use crate::booster::Importance;
use crate::model::GbmModel;

const GAIN: &str = "gain";
const SPLIT: &str = "split";

impl Explain for GbmModel {
    fn importance_kinds(&self) -> Vec<String> {
        vec![GAIN.to_owned(), SPLIT.to_owned()]
    }

    /// `gain` is the sum of the loss reductions, `split` the number of splits of each feature.
    fn importance(&self, kind: &str) -> Result<Vec<f64>> {
        let kind = match kind {
            GAIN => Importance::Gain,
            SPLIT => Importance::Split,
            other => {
                return Err(PluginError::unsupported(format!(
                    "the importance `{other}`; it has {GAIN} and {SPLIT}"
                )));
            }
        };
        self.library().importance(kind)
    }

    fn contributions(&self, frame: &mut Frame<'_>) -> Result<()> {
        let per_output = self.library().columns() + 1;
        let outputs = self.outputs();
        frame.expect(per_output - 1, 1, outputs * per_output)?;
        for row in 0..frame.rows() {
            let values = self.library().contributions(frame.features(row))?;
            let written = frame.output_row_mut(row);
            if values.len() == written.len() {
                copy(&values, written, 1.0);
                continue;
            }
            // Two classes have one raw score: what speaks for one speaks against the other.
            let (first, second) = written.split_at_mut(per_output);
            copy(&values, first, -1.0);
            copy(&values, second, 1.0);
        }
        Ok(())
    }
}

fn copy(values: &[f64], written: &mut [f32], sign: f64) {
    for (written, value) in written.iter_mut().zip(values) {
        *written = (sign * value) as f32;
    }
}
