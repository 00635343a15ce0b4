//! Datasets and environment descriptions on the wire: small heads, raw columns as blobs.

use std::vec::IntoIter;

use serde::{Deserialize, Serialize};

use fusebox_plugin_api::env::{Autoreset, EnvSpec, Space};
use fusebox_plugin_api::error::{PluginError, Result};
use fusebox_plugin_api::schema::{BatchColumns, Dataset, DatasetBatch, DatasetSchema};

use super::wire::{Blob, unpack};

/// A dataset without its columns; each batch is eight blobs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DatasetHead {
    schema: DatasetSchema,
    batches: usize,
}

impl DatasetHead {
    /// The head of `rows`, whose columns are appended to `blobs`.
    pub(crate) fn new<'a>(rows: &'a Dataset, blobs: &mut Vec<Blob<'a>>) -> Self {
        for view in rows.views() {
            blobs.extend([
                Blob::F32(view.features),
                Blob::F32(view.labels),
                Blob::F32(view.weight),
                Blob::I64(view.event_ns),
                Blob::I64(view.label_end_ns),
                Blob::U32(view.symbol),
                Blob::U32(view.segment),
                Blob::Bytes(view.role),
            ]);
        }
        Self {
            schema: rows.schema().clone(),
            batches: rows.batches().len(),
        }
    }

    /// The dataset, whose columns are the next of `blobs`.
    pub(crate) fn read(self, blobs: &mut IntoIter<Vec<u8>>) -> Result<Dataset> {
        let batches = (0..self.batches).map(|_| {
            let columns = read_columns(blobs)
                .ok_or_else(|| PluginError::internal("a batch arrived without all its columns"))?;
            DatasetBatch::new(&self.schema, columns)
        });
        let batches = batches.collect::<Result<_>>()?;
        Dataset::new(self.schema, batches)
    }
}

fn read_columns(blobs: &mut IntoIter<Vec<u8>>) -> Option<BatchColumns> {
    Some(BatchColumns {
        features: unpack(&blobs.next()?, f32::from_le_bytes)?.into(),
        labels: unpack(&blobs.next()?, f32::from_le_bytes)?.into(),
        weight: unpack(&blobs.next()?, f32::from_le_bytes)?.into(),
        event_ns: unpack(&blobs.next()?, i64::from_le_bytes)?.into(),
        label_end_ns: unpack(&blobs.next()?, i64::from_le_bytes)?.into(),
        symbol: unpack(&blobs.next()?, u32::from_le_bytes)?.into(),
        segment: unpack(&blobs.next()?, u32::from_le_bytes)?.into(),
        role: blobs.next()?.into(),
    })
}

/// A [`Space`] whose bounds may be infinite, which JSON cannot say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum SpaceHead {
    Box {
        shape: Vec<u64>,
        low: Option<Vec<u32>>,
        high: Option<Vec<u32>>,
    },
    Other(Space),
}

impl From<&Space> for SpaceHead {
    fn from(space: &Space) -> Self {
        let bits = |bounds: &Option<Vec<f32>>| {
            let bounds = bounds.as_ref()?;
            Some(bounds.iter().map(|bound| bound.to_bits()).collect())
        };
        match space {
            Space::Box { shape, low, high } => Self::Box {
                shape: shape.clone(),
                low: bits(low),
                high: bits(high),
            },
            other => Self::Other(other.clone()),
        }
    }
}

impl From<SpaceHead> for Space {
    fn from(head: SpaceHead) -> Self {
        let bounds = |bits: Option<Vec<u32>>| {
            bits.map(|bits| bits.into_iter().map(f32::from_bits).collect())
        };
        match head {
            SpaceHead::Box { shape, low, high } => Self::Box {
                shape,
                low: bounds(low),
                high: bounds(high),
            },
            SpaceHead::Other(space) => space,
        }
    }
}

/// An [`EnvSpec`] with every bit of its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpecHead {
    environments: usize,
    observation: SpaceHead,
    action: SpaceHead,
    autoreset: Autoreset,
    info_names: Vec<String>,
    action_mask: bool,
    reward_range: (Option<u64>, Option<u64>),
    max_episode_steps: Option<u64>,
}

impl From<&EnvSpec> for SpecHead {
    fn from(spec: &EnvSpec) -> Self {
        Self {
            environments: spec.environments,
            observation: (&spec.observation).into(),
            action: (&spec.action).into(),
            autoreset: spec.autoreset,
            info_names: spec.info_names.clone(),
            action_mask: spec.action_mask,
            reward_range: (
                spec.reward_range.0.map(f64::to_bits),
                spec.reward_range.1.map(f64::to_bits),
            ),
            max_episode_steps: spec.max_episode_steps,
        }
    }
}

impl From<SpecHead> for EnvSpec {
    fn from(head: SpecHead) -> Self {
        Self {
            environments: head.environments,
            observation: head.observation.into(),
            action: head.action.into(),
            autoreset: head.autoreset,
            info_names: head.info_names,
            action_mask: head.action_mask,
            reward_range: (
                head.reward_range.0.map(f64::from_bits),
                head.reward_range.1.map(f64::from_bits),
            ),
            max_episode_steps: head.max_episode_steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::wire::{Trust, receive, send};

    #[test]
    fn infinite_bounds_arrive() {
        let spec = EnvSpec {
            environments: 3,
            observation: Space::Box {
                shape: vec![2],
                low: Some(vec![f32::NEG_INFINITY, -0.1]),
                high: None,
            },
            action: Space::Discrete {
                count: 3,
                start: -1,
            },
            autoreset: Autoreset::SameStep,
            info_names: vec!["equity".to_owned()],
            action_mask: true,
            reward_range: (Some(f64::NEG_INFINITY), Some(0.1)),
            max_episode_steps: Some(7),
        };
        let mut bytes = Vec::new();
        send(&mut bytes, &SpecHead::from(&spec), &[]).unwrap();
        let (head, _): (SpecHead, _) = receive(&mut bytes.as_slice(), Trust::None).unwrap();
        assert_eq!(EnvSpec::from(head), spec);
    }

    #[test]
    fn a_dataset_arrives_bit_by_bit_and_torn_ones_are_errors() {
        let schema = DatasetSchema {
            features: vec!["a".to_owned()],
            labels: vec!["b".to_owned()],
            classes: Vec::new(),
        };
        let columns = BatchColumns {
            features: vec![f32::NAN, -0.0].into(),
            labels: vec![1.0, f32::NAN].into(),
            weight: vec![1.0, 0.5].into(),
            event_ns: vec![i64::MIN, 5].into(),
            label_end_ns: vec![1, 2].into(),
            symbol: vec![0, u32::MAX].into(),
            segment: vec![3, 4].into(),
            role: vec![0, 1].into(),
        };
        let batch = DatasetBatch::new(&schema, columns).unwrap();
        let rows = Dataset::new(schema, vec![batch.clone(), batch]).unwrap();
        let mut blobs = Vec::new();
        let head = DatasetHead::new(&rows, &mut blobs);
        let mut bytes = Vec::new();
        send(&mut bytes, &head, &blobs).unwrap();
        let read = |missing: usize| {
            let (head, mut blobs): (DatasetHead, Vec<_>) =
                receive(&mut bytes.as_slice(), Trust::Full).unwrap();
            blobs.truncate(blobs.len() - missing);
            head.read(&mut blobs.into_iter())
        };
        let copy = read(0).unwrap();
        assert_eq!(copy.rows(), 4);
        for (found, expected) in copy.views().zip(rows.views()) {
            assert_eq!(found.features[0].to_bits(), expected.features[0].to_bits());
            assert_eq!(found.features[1].to_bits(), expected.features[1].to_bits());
            assert_eq!(found.event_ns, expected.event_ns);
            assert_eq!(found.symbol, expected.symbol);
            assert_eq!(found.role, expected.role);
        }
        assert!(read(1).is_err());
    }
}
