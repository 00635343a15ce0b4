//! What serving says to the supervisor of the rows that it gives to a live model: the digest of
//! their feature set, and how the scaler and the readout of a model are applied.
//!
//! It chooses no features and serves nothing itself.

use std::sync::{Arc, OnceLock};

use fusebox_engine::dataset::Scaler;
use fusebox_engine::features::FeatureSet;
use fusebox_loader::live::{Companions, Dressing, RowContract, RowTransform};
use fusebox_plugin_api::error::{PluginError, Result as PluginResult};

use crate::training::ModelReadout;

/// The rows that a server gives to its model.
#[derive(Debug, Default)]
pub struct ServedRows {
    chosen: OnceLock<Chosen>,
    /// Scaler and readout of a model that comes from no package.
    alone: (Vec<u8>, Vec<u8>),
}

#[derive(Debug)]
struct Chosen {
    digest: String,
    columns: Vec<String>,
}

impl ServedRows {
    /// Rows whose features are not chosen yet, for model packages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same for a model from no package, with its scaler and readout as stored; empty where it
    /// has none.
    #[must_use]
    pub fn of_model(scaler: Vec<u8>, readout: Vec<u8>) -> Self {
        Self {
            chosen: OnceLock::new(),
            alone: (scaler, readout),
        }
    }

    /// Chooses the features; packages that were trained on others are refused from now on. The
    /// first choice stays.
    pub fn choose(&self, set: &FeatureSet) {
        self.chosen.get_or_init(|| Chosen {
            digest: set.digest().to_owned(),
            columns: set.names().map(str::to_owned).collect(),
        });
    }
}

impl RowContract for ServedRows {
    fn feature_set(&self) -> Option<String> {
        self.chosen.get().map(|chosen| chosen.digest.clone())
    }

    fn dress(&self, companions: Option<Companions<'_>>) -> Result<Dressing, String> {
        let companions = companions.unwrap_or(Companions {
            scaler: &self.alone.0,
            readout: &self.alone.1,
        });
        let mut dressing = Dressing::default();
        if !companions.scaler.is_empty() {
            let scaler: Scaler = serde_json::from_slice(companions.scaler)
                .map_err(|error| format!("its scaler cannot be used: {error}"))?;
            if let Some(chosen) = self.chosen.get()
                && scaler.columns() != chosen.columns
            {
                return Err(format!(
                    "its scaler was fitted on the columns {}, the rows have {}",
                    scaler.columns().join(", "),
                    chosen.columns.join(", ")
                ));
            }
            dressing.rows = Some(Arc::new(Scaled(scaler)));
        }
        if !companions.readout.is_empty() {
            let readout = ModelReadout::parse(companions.readout)?;
            dressing.readout = Some(Arc::new(readout));
        }
        Ok(dressing)
    }
}

/// The scaler of training, on live rows.
#[derive(Debug)]
struct Scaled(Scaler);

impl RowTransform for Scaled {
    fn apply(&self, steps: &mut [f32]) -> PluginResult<()> {
        let scaled = self.0.apply(steps);
        scaled.map_err(|error| PluginError::argument(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_engine::features::FeatureContext;

    const SCALER: &[u8] = br#"{"kind": "standard", "columns": ["rsi(14)"],
        "scales": [{"linear": {"center": "1", "scale": "2"}}]}"#;

    #[test]
    fn scalers_of_other_columns_and_damaged_files_are_refused() {
        let rows = ServedRows::new();
        let with = |scaler, readout| Some(Companions { scaler, readout });
        let dressed = rows.dress(with(SCALER, b"")).unwrap();
        let mut values = [3.0, 5.0];
        dressed.rows.unwrap().apply(&mut values).unwrap();
        assert_eq!(values.map(f32::to_bits), [1.0_f32, 2.0].map(f32::to_bits));
        assert!(rows.dress(with(b"{}", b"")).unwrap_err().contains("scaler"));
        assert!(
            rows.dress(with(b"", b"{}"))
                .unwrap_err()
                .contains("damaged")
        );
        let context = FeatureContext {
            time_frame: "1h".parse().unwrap(),
            symbols: Vec::new(),
        };
        let set = FeatureSet::parse(&["rsi(15)".to_owned()], &context).unwrap();
        rows.choose(&set);
        assert_eq!(rows.feature_set().as_deref(), Some(set.digest()));
        let other = rows.dress(with(SCALER, b"")).unwrap_err();
        assert!(other.contains("rsi(14), the rows have rsi(15)"), "{other}");
        let alone = ServedRows::of_model(SCALER.to_vec(), Vec::new());
        assert!(alone.dress(None).unwrap().rows.is_some());
        assert!(rows.dress(None).unwrap().rows.is_none());
    }
}
