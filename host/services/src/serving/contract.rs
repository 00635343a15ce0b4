//! What serving says to the supervisor of the rows that it gives to a live model: the digest of
//! their feature set, and how the scaler and the readout of a model are applied.
//!
//! It chooses no features and serves nothing itself.

use std::sync::{Arc, OnceLock};

use fusebox_engine::dataset::Scaler;
use fusebox_engine::features::{ExtractOptions, FeatureSet};
use fusebox_engine::types::TimeFrame;
use fusebox_loader::live::{
    AuditState, Companions, Dressing, PackedAudit, RowContract, RowTransform, TrainedBars,
};
use fusebox_plugin_api::error::{PluginError, Result as PluginResult};

use crate::training::{ModelReadout, ReadoutNeeds};

/// The rows that a server gives to its model.
#[derive(Debug, Default)]
pub struct ServedRows {
    chosen: OnceLock<Chosen>,
    followed: OnceLock<Followed>,
    /// Scaler and readout of a model that comes from no package.
    alone: (Vec<u8>, Vec<u8>),
    /// Whether packages must record that their features passed an audit.
    requires_audit: bool,
}

#[derive(Debug)]
struct Chosen {
    digest: String,
    columns: Vec<String>,
    bars: TrainedBars,
}

/// What the answers of the model that is served have settled.
#[derive(Debug)]
struct Followed {
    is_read: bool,
    needs: ReadoutNeeds,
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
            alone: (scaler, readout),
            ..Self::default()
        }
    }

    /// The same, refusing every package that does not record that its features passed an audit.
    #[must_use]
    pub fn requiring_audit(mut self, requires_audit: bool) -> Self {
        self.requires_audit = requires_audit;
        self
    }

    fn require_passed(&self, audit: Option<&PackedAudit>) -> Result<(), String> {
        let is_passed = audit.is_some_and(|audit| audit.state == AuditState::Passed);
        if is_passed || !self.requires_audit {
            return Ok(());
        }
        Err(
            "it does not record that its features passed an audit, and engine.live.require_audit \
             demands that; audit them (`fusebox features audit`) and write the package again with \
             `fusebox plugin model` or `fusebox model export`"
                .to_owned(),
        )
    }

    /// Chooses the features and the bars that they are made of; packages that were trained on
    /// others are refused from now on. The first choice stays.
    pub fn choose(&self, set: &FeatureSet, time_frame: TimeFrame, options: ExtractOptions) {
        self.chosen.get_or_init(|| Chosen {
            digest: set.digest().to_owned(),
            columns: set.names().map(str::to_owned).collect(),
            bars: TrainedBars {
                time_frame: time_frame.to_string(),
                max_gap_bars: options.max_gap_bars,
            },
        });
    }

    fn require_bars(&self, trained: Option<&TrainedBars>) -> Result<(), String> {
        let given = self.chosen.get().map(|chosen| &chosen.bars);
        let (Some(trained), Some(given)) = (trained, given) else {
            return Ok(());
        };
        let mut differences = Vec::new();
        if trained.time_frame != given.time_frame {
            differences.push(format!(
                "it was trained on {} bars, these are {} bars",
                trained.time_frame, given.time_frame
            ));
        }
        if trained.max_gap_bars != given.max_gap_bars {
            differences.push(format!(
                "its training passed over gaps of up to {} bars, here features.max_gap_bars is {}",
                trained.max_gap_bars, given.max_gap_bars
            ));
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences.join("; "))
        }
    }
}

impl ServedRows {
    /// Settles how answers are read: whether by a readout, and what is followed for it. Models
    /// that are read in another way are refused from now on. The first call counts.
    pub fn follow(&self, is_read: bool, needs: ReadoutNeeds) {
        self.followed.get_or_init(|| Followed { is_read, needs });
    }

    fn require_followed(&self, readout: Option<&ModelReadout>) -> Result<(), String> {
        let Some(followed) = self.followed.get() else {
            return Ok(());
        };
        let words = match readout {
            None if followed.is_read => "it has no readout, and the model that is served has one",
            Some(_) if !followed.is_read => {
                "it has a readout, and the model that is served has none"
            }
            Some(readout) if readout.needs() != followed.needs => {
                "its readout needs another volatility or primary signal than is followed"
            }
            _ => return Ok(()),
        };
        Err(format!("{words}; end serving and begin anew with it"))
    }
}

impl RowContract for ServedRows {
    fn feature_set(&self) -> Option<String> {
        self.chosen.get().map(|chosen| chosen.digest.clone())
    }

    fn dress(&self, companions: Option<Companions<'_>>) -> Result<Dressing, String> {
        if let Some(companions) = &companions {
            self.require_passed(companions.audit)?;
        }
        let companions = companions.unwrap_or(Companions {
            scaler: &self.alone.0,
            readout: &self.alone.1,
            ..Companions::default()
        });
        self.require_bars(companions.bars)?;
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
        let readout = (!companions.readout.is_empty())
            .then(|| ModelReadout::parse(companions.readout))
            .transpose()?;
        self.require_followed(readout.as_ref())?;
        if let Some(readout) = readout {
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

    fn readout(span_bars: u32) -> String {
        format!(
            r#"{{"format": 1, "outputs": 1, "kind": {{"returns": {{"position": 0,
            "unit": "log_return", "horizon_bars": 4,
            "volatility": {{"span_bars": {span_bars}, "longest_gap_ns": 0}},
            "upper_sigmas": "0.5", "lower_sigmas": "0.5", "spread_sigmas": "1"}}}}}}"#
        )
    }

    #[test]
    fn a_model_that_is_read_in_another_way_never_goes_live() {
        let rows = ServedRows::new();
        let dress = |readout: &str| {
            let readout = readout.as_bytes();
            rows.dress(Some(Companions {
                readout,
                ..Companions::default()
            }))
        };
        let first = ModelReadout::parse(readout(10).as_bytes()).unwrap();
        assert!(dress(&readout(20)).is_ok() && dress("").is_ok());
        rows.follow(true, first.needs());
        assert!(dress(&readout(10)).is_ok());
        assert!(
            dress(&readout(20))
                .unwrap_err()
                .contains("another volatility")
        );
        assert!(dress("").unwrap_err().contains("has no readout"));
        let plain = ServedRows::new();
        plain.follow(false, ReadoutNeeds::Nothing);
        let text = readout(10);
        let given = Companions {
            readout: text.as_bytes(),
            ..Companions::default()
        };
        let refused = plain.dress(Some(given)).unwrap_err();
        assert!(refused.contains("has a readout"), "{refused}");
    }

    #[test]
    fn where_an_audit_is_demanded_only_packages_that_record_one_go_live() {
        let with = |state: Option<AuditState>, requires: bool| {
            let audit = state.map(|state| PackedAudit {
                state,
                sha256: None,
                audited_at: None,
            });
            let given = Companions {
                audit: audit.as_ref(),
                ..Companions::default()
            };
            let rows = ServedRows::new().requiring_audit(requires);
            rows.dress(Some(given)).map(drop)
        };
        for state in [None, Some(AuditState::Unaudited)] {
            assert_eq!(with(state, false), Ok(()));
            let refused = with(state, true).unwrap_err();
            assert!(refused.contains("engine.live.require_audit"), "{refused}");
        }
        assert_eq!(with(Some(AuditState::Passed), true), Ok(()));
    }

    #[test]
    fn scalers_of_other_columns_and_damaged_files_are_refused() {
        let rows = ServedRows::new();
        let with = |scaler, readout| {
            Some(Companions {
                scaler,
                readout,
                ..Companions::default()
            })
        };
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
        let options = ExtractOptions { max_gap_bars: 3 };
        rows.choose(&set, context.time_frame, options);
        let bars = |time_frame: &str, max_gap_bars| {
            let trained = TrainedBars {
                time_frame: time_frame.to_owned(),
                max_gap_bars,
            };
            let given = Companions {
                bars: Some(&trained),
                ..Companions::default()
            };
            rows.dress(Some(given)).map(drop)
        };
        assert_eq!(bars("1h", 3), Ok(()));
        let both = bars("15m", 0).unwrap_err();
        assert!(
            both.contains("15m bars, these are 1h bars") && both.contains("up to 0 bars"),
            "{both}"
        );
        assert_eq!(rows.feature_set().as_deref(), Some(set.digest()));
        let other = rows.dress(with(SCALER, b"")).unwrap_err();
        assert!(other.contains("rsi(14), the rows have rsi(15)"), "{other}");
        let alone = ServedRows::of_model(SCALER.to_vec(), Vec::new());
        assert!(alone.dress(None).unwrap().rows.is_some());
        assert!(rows.dress(None).unwrap().rows.is_none());
    }
}
