//! One model per symbol: its answer passes through unchanged.

use super::{Fused, Fusion, FusionError, ModelInfo, ModelRef, Prediction};

/// Passes the only prediction through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Single;

impl Fusion for Single {
    fn add_model(&mut self, _: ModelRef, _: &ModelInfo) -> Result<(), FusionError> {
        Ok(())
    }

    fn fuse(&self, predictions: &[Prediction]) -> Result<Option<Fused>, FusionError> {
        match predictions {
            [] => Ok(None),
            [only] => Ok(Some(Fused {
                probabilities: only.probabilities,
                model: only.model,
            })),
            several => Err(FusionError::Several {
                count: several.len(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SymbolId, Timestamp};

    #[test]
    fn refuses_a_second_opinion() {
        let prediction = Prediction {
            symbol: SymbolId(0),
            closed_at: Timestamp::from_nanos(0),
            probabilities: [0.1, 0.2, 0.7],
            model: ModelRef(3),
        };
        let fused = Single.fuse(&[prediction]).unwrap().unwrap();
        assert_eq!(fused.model, ModelRef(3));
        assert_eq!(fused.probabilities.map(f32::to_bits)[2], 0.7f32.to_bits());
        let several = Single.fuse(&[prediction, prediction]);
        assert_eq!(several, Err(FusionError::Several { count: 2 }));
        assert_eq!(Single.fuse(&[]), Ok(None));
    }
}
