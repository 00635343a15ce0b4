//! The card of an updated model.

use fusebox_engine::dataset::Fold;
use fusebox_engine::types::Timestamp;
use serde_json::{Value, json};

use super::super::super::folds::FoldModel;
use super::super::super::labels::label_report;
use super::super::super::plugin::TrainingPlugin;
use super::super::super::prepare::Prepared;
use super::super::super::spec::PipelineSpec;
use super::super::card::{
    CardData, CardMetric, CardModel, CardParent, CardSplit, ModelCard, data_digest,
};
use super::{Parent, UpdateOptions, UpdateVerdict, embargo_bars};
use crate::report::{Estimate, FileDigest, NamedText, PairedTest, Period, PluginIdentity};

/// What the card of an updated model is made of.
pub(super) struct Described<'a> {
    pub(super) spec: &'a PipelineSpec,
    pub(super) prepared: &'a Prepared,
    pub(super) parent: &'a Parent,
    pub(super) options: &'a UpdateOptions,
    /// Log loss and accuracy of the updated model and of the one before it.
    pub(super) scores: [(Option<f64>, Option<f64>); 2],
    pub(super) verdict: UpdateVerdict,
}

impl Described<'_> {
    fn fold(&self) -> &Fold {
        &self.prepared.plan.folds[0]
    }

    pub(super) fn card(
        &self,
        new: &FoldModel,
        test: &PairedTest,
        plugin: &dyn TrainingPlugin,
    ) -> ModelCard {
        let (old, fold) = (&self.parent.card, self.fold());
        let learned = fold.train_counts.samples as u64;
        let identity = plugin.identity();
        let versions = self.spec.provenance.versions.iter();
        let trained = |to: Timestamp| Period {
            from: old.model.trained.from,
            to,
        };
        let rounds = new.info.notes.get("iterations").and_then(Value::as_u64);
        let mut labels = old.labels.clone();
        labels.balance = label_report(self.spec, self.prepared).balance;
        ModelCard {
            model: CardModel {
                sha256: new.sha256.clone(),
                bytes: new.artifact.len() as u64,
                kind: old.model.kind,
                fold: old.model.fold,
                trained: trained(fold.train_period().to),
                training_samples: old.model.training_samples + learned,
                rounds: rounds.or(old.model.rounds),
            },
            plugin: PluginIdentity {
                id: identity.id,
                version: identity.version,
                sha256: identity.sha256,
            },
            versions: versions
                .map(|(name, value)| NamedText {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            data: self.data(),
            labels,
            split: self.split(),
            trials: old.trials.saturating_add(1),
            metrics: self.metrics(test),
            warnings: self.warnings(),
            parent: Some(CardParent {
                model: self.parent.title.clone(),
                digest: self.parent.digest.clone(),
                model_sha256: old.model.sha256.clone(),
                update: self.options.mode,
                learned_rows: learned,
                verdict: self.verdict,
            }),
            config_sha256: self.spec.provenance.config_sha256.clone(),
            ..old.clone()
        }
    }

    fn data(&self) -> CardData {
        let loaded = &self.prepared.loaded;
        let files = loaded.files.iter().map(|file| FileDigest {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            rows: file.rows,
            first_opened_at: file.first,
            last_opened_at: file.last,
        });
        let files: Vec<FileDigest> = files.collect();
        let market = &loaded.market;
        let series = market.series().iter();
        let old = &self.parent.card.data;
        let period = self.prepared.samples.period();
        let period = period.map_or(old.period, |period| Period {
            from: period.from,
            to: period.to,
        });
        let symbols: Vec<String> = market.names().map(str::to_owned).collect();
        CardData {
            sha256: data_digest(&files, (&old.source, &symbols), (&old.time_frame, period)),
            symbols,
            period,
            bars: series.map(|one| one.bars.len() as u64).sum(),
            files,
            ..old.clone()
        }
    }

    fn split(&self) -> CardSplit {
        let (fold, share) = (self.fold(), self.options.held_out_share);
        let embargo_bars = embargo_bars(self.spec);
        let since = self.parent.card.model.trained.to;
        CardSplit {
            description: format!(
                "update: of the rows after {since} the newest {:.0} % are held out, the others are \
                 learned from",
                share * 100.0
            ),
            config: json!({"since": since, "held_out_share": share, "embargo_bars": embargo_bars}),
            folds: 1,
            embargo_bars,
            purged_rows: fold.train_counts.purged as u64,
            embargoed_rows: fold.train_counts.embargoed as u64,
            tested: Period {
                from: fold.test_period().from,
                to: fold.test_period().to,
            },
        }
    }

    fn metrics(&self, test: &PairedTest) -> Vec<CardMetric> {
        let [(loss, accuracy), (old_loss, old_accuracy)] = self.scores;
        let before = || Some(format!("{} on the same rows", self.parent.title));
        let row = |name: &str, estimate: Estimate, baseline: Option<f64>| CardMetric {
            name: name.to_owned(),
            value: estimate.value,
            interval: estimate.interval,
            baseline,
            baseline_name: before(),
        };
        let plain = |value| Estimate {
            value,
            interval: None,
        };
        // `log loss, nats` and the like, without the unit.
        let name = test.loss_name.split(',').next().unwrap_or_default();
        let name = name.replace(' ', "_");
        let mut rows = vec![row(&name, plain(loss), old_loss)];
        if accuracy.is_some() {
            rows.push(row("accuracy", plain(accuracy), old_accuracy));
        }
        rows.push(row(&format!("{name}_difference"), test.loss, None));
        if accuracy.is_some() {
            rows.push(row("accuracy_difference", test.accuracy, None));
        }
        rows
    }

    fn warnings(&self) -> Vec<String> {
        let title = &self.parent.title;
        let mut warnings = Vec::new();
        match self.verdict {
            UpdateVerdict::Better => {}
            UpdateVerdict::Undecided => warnings.push(format!(
                "The update is no better than {title} as far as the held-out rows tell: the \
                 interval of the difference in loss holds zero"
            )),
            UpdateVerdict::Worse => warnings.push(format!(
                "The update is worse than {title} on the held-out rows"
            )),
        }
        warnings.push(format!(
            "the numbers compare with {title} on rows that neither has learned from; trading was \
             not simulated"
        ));
        warnings.push(format!(
            "{title} may have been chosen by some of these rows, where its training stopped early \
             on them or was scored on them"
        ));
        let old = self.parent.card.warnings.iter();
        let of_data = old.filter(|one| one.starts_with("the market was simulated"));
        warnings.extend(of_data.cloned());
        warnings
    }
}
