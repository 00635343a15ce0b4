//! Several models per symbol: the mean of those that answered, by weight (a linear opinion pool).
//!
//! A model that does not answer takes no part, and the others' weights are scaled up. Stone, M.
//! (1961), "The opinion pool", Annals of Mathematical Statistics 32(4).

use std::collections::BTreeMap;

use super::{Fused, Fusion, FusionError, ModelInfo, ModelRef, Prediction};

/// The mean by weight, each model's weight found by its name.
#[derive(Debug, Clone)]
pub struct WeightedMean {
    by_name: BTreeMap<String, f64>,
    by_model: BTreeMap<ModelRef, f64>,
}

impl WeightedMean {
    /// From weights of zero or more by model name.
    #[must_use]
    pub fn new(weights: BTreeMap<String, f64>) -> Self {
        Self {
            by_name: weights,
            by_model: BTreeMap::new(),
        }
    }

    fn weight(&self, model: ModelRef) -> f64 {
        self.by_model.get(&model).copied().unwrap_or(0.0)
    }
}

impl Fusion for WeightedMean {
    fn add_model(&mut self, model: ModelRef, info: &ModelInfo) -> Result<(), FusionError> {
        let weight = self.by_name.get(&info.name);
        let weight = weight.ok_or_else(|| FusionError::NoWeight {
            name: info.name.clone(),
        })?;
        self.by_model.insert(model, *weight);
        Ok(())
    }

    fn heeds(&self, model: ModelRef) -> bool {
        self.weight(model) > 0.0
    }

    fn fuse(&self, predictions: &[Prediction]) -> Result<Option<Fused>, FusionError> {
        let mut sums = [0.0f64; 3];
        let mut total = 0.0;
        let mut heaviest: Option<(f64, ModelRef)> = None;
        for prediction in predictions {
            let weight = self.weight(prediction.model);
            for (sum, p) in sums.iter_mut().zip(prediction.probabilities) {
                *sum += weight * f64::from(p);
            }
            total += weight;
            if heaviest.is_none_or(|(most, _)| weight > most) {
                heaviest = Some((weight, prediction.model));
            }
        }
        let fused = heaviest.filter(|_| total > 0.0).map(|(_, model)| Fused {
            probabilities: sums.map(|sum| (sum / total) as f32),
            model,
        });
        Ok(fused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SymbolId, Timestamp};

    fn info(name: &str) -> ModelInfo {
        ModelInfo {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            digest: String::new(),
            generation: 1,
            fold: None,
        }
    }

    fn prediction(model: u32, probabilities: [f32; 3]) -> Prediction {
        Prediction {
            symbol: SymbolId(0),
            closed_at: Timestamp::from_nanos(0),
            probabilities,
            model: ModelRef(model),
        }
    }

    fn pool() -> WeightedMean {
        let weights = [("a", 3.0), ("b", 1.0), ("mute", 0.0)];
        let weights = weights.map(|(name, weight)| (name.to_owned(), weight));
        let mut pool = WeightedMean::new(BTreeMap::from(weights));
        pool.add_model(ModelRef(0), &info("a")).unwrap();
        pool.add_model(ModelRef(1), &info("b")).unwrap();
        pool.add_model(ModelRef(2), &info("mute")).unwrap();
        pool
    }

    fn bits(probabilities: [f32; 3]) -> [u32; 3] {
        probabilities.map(f32::to_bits)
    }

    #[test]
    fn means_are_by_weight_of_those_that_answered() {
        let a = prediction(0, [0.0, 0.0, 1.0]);
        let b = prediction(1, [1.0, 0.0, 0.0]);
        let both = pool().fuse(&[b, a]).unwrap().unwrap();
        assert_eq!(bits(both.probabilities), bits([0.25, 0.0, 0.75]));
        assert_eq!(both.model, ModelRef(0));
        let alone = pool().fuse(&[b]).unwrap().unwrap();
        assert_eq!(bits(alone.probabilities), bits([1.0, 0.0, 0.0]));
    }

    #[test]
    fn models_without_weight_decide_nothing() {
        assert!(pool().heeds(ModelRef(0)) && !pool().heeds(ModelRef(2)));
        let mute = prediction(2, [0.0, 0.0, 1.0]);
        assert_eq!(pool().fuse(&[mute]), Ok(None));
        let unknown = pool().add_model(ModelRef(3), &info("c"));
        assert_eq!(unknown, Err(FusionError::NoWeight { name: "c".into() }));
    }
}
