//! The audit of what a pipeline fits besides its model: the scaler, and the spread by which a
//! predicted return is read. Each may look at a fold's training part only.
//!
//! What is audited is the code that a training runs: the fold's dataset is made anew from changed
//! rows, the step is fitted on it, and its answers are compared (`features/audit` of the engine).
//! The training part is told by the fold's periods alone, not by what the dataset says of itself.

use std::sync::Arc;

use fusebox_engine::dataset::{
    DatasetOptions, Fold, Samples, Scaler, ScalerKind, Splitter, SymbolSamples,
};
use fusebox_engine::features::audit::{FittedStep, StepAudit, StepRows, audit_step};
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureMatrix, FeatureSet};
use fusebox_engine::labels::{LabelConfig, LabelKind};
use fusebox_engine::types::{Market, TimeFrame};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::error::TrainingError;
use super::prepare::symbol_samples;
use super::scaling::fit_scaler;
use crate::progress::Silent;

/// Values of one fold that are looked at; columns beyond are passed over, and told.
const MOST_VALUES: usize = 40_000_000;
/// Rows before a training part that windows may reach into; they take no part in a fit either.
const CONTEXT_ROWS: usize = 8;

/// The parts of a pipeline that decide what is fitted on which rows.
#[derive(Debug, Clone, PartialEq)]
pub struct FitScopeSpec {
    /// Feature expressions.
    pub features: Vec<String>,
    /// How bars are taken in.
    pub extract: ExtractOptions,
    /// How bars are labelled.
    pub labels: LabelConfig,
    /// The plan of folds.
    pub split: Splitter,
    /// How columns are scaled.
    pub scaler: ScalerKind,
}

/// A step that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedStep {
    /// What it is: `scaler`, `readout` or `command`.
    pub name: String,
    /// Which one: the kind of scaler, or the command.
    pub kind: String,
    /// Training parts that it was fitted on.
    pub folds: usize,
}

/// What was looked at and found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FitScope {
    /// The steps; none where the pipeline fits nothing besides its model.
    pub steps: Vec<AuditedStep>,
    /// What the checks did and found.
    pub audits: Vec<StepAudit>,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

/// Audits every fitted step of a pipeline over `market`, which holds all of its bars, `rounds`
/// times for each fold.
///
/// # Errors
/// [`TrainingError`] where the pipeline could not be trained either.
pub fn audit_fit_scope(
    spec: &FitScopeSpec,
    market: &Market,
    how: (&mut dyn Rng, u32),
) -> Result<FitScope, TrainingError> {
    audit_scaler_of(spec, market, how, &own_scaler)
}

/// How a fold's scaler is fitted.
type FitScaler = dyn Fn(ScalerKind, &Samples, &Fold) -> Result<Option<Scaler>, TrainingError>;

/// As a training does it.
fn own_scaler(
    kind: ScalerKind,
    samples: &Samples,
    fold: &Fold,
) -> Result<Option<Scaler>, TrainingError> {
    let options = DatasetOptions {
        context_rows: CONTEXT_ROWS,
        ..DatasetOptions::default()
    };
    let train = samples.train(fold, &options)?;
    Ok(fit_scaler(kind, &train)?.map(|(scaler, _)| scaler))
}

fn audit_scaler_of(
    spec: &FitScopeSpec,
    market: &Market,
    (random, rounds): (&mut dyn Rng, u32),
    fit: &FitScaler,
) -> Result<FitScope, TrainingError> {
    let mut scope = FitScope::default();
    let has_readout = spec.labels.kind == LabelKind::ForwardReturns;
    if spec.scaler == ScalerKind::None && !has_readout {
        let note = "the pipeline has no scaler and no readout: nothing is fitted besides the model";
        scope.notes.push(note.to_owned());
        return Ok(scope);
    }
    let set = FeatureSet::parse(&spec.features, &FeatureContext::of(market))?;
    let symbols = symbol_samples((&spec.labels, spec.extract), market, &set, &Silent)?;
    let whole = Samples::new(symbols.clone(), market.time_frame())?;
    let folds = chosen(whole.split(&spec.split)?.folds);
    drop(whole);
    let ground = Ground::new(symbols, market);
    if ground.width < set.len() {
        scope.notes.push(format!(
            "the fit scope of the first {} of {} columns was looked at: there are too many rows \
             for all",
            ground.width,
            set.len()
        ));
    }
    for fold in &folds {
        let is_training = ground.training(fold);
        if spec.scaler != ScalerKind::None {
            let rows = ground.features();
            let mut step =
                |rows: &StepRows, _: &[bool]| ground.scaled(spec.scaler, rows, (fold, fit));
            let audited = ground.audit(
                (&mut step, "scaler"),
                &rows,
                &is_training,
                (&mut *random, rounds),
            );
            scope.audits.push(audited?);
        }
        if has_readout {
            let rows = ground.targets();
            let mut step = |rows: &StepRows, _: &[bool]| ground.read_out(rows, fold);
            let audited = ground.audit(
                (&mut step, "readout"),
                &rows,
                &is_training,
                (&mut *random, rounds),
            );
            scope.audits.push(audited?);
        }
    }
    let mut add = |name: &str, kind: String| {
        scope.steps.push(AuditedStep {
            name: name.to_owned(),
            kind,
            folds: folds.len(),
        });
    };
    if spec.scaler != ScalerKind::None {
        add("scaler", kind_name(spec.scaler).to_owned());
    }
    if has_readout {
        add("readout", "spread of the traded return".to_owned());
    }
    Ok(scope)
}

/// A kind of scaler as configured.
#[must_use]
pub fn kind_name(kind: ScalerKind) -> &'static str {
    match kind {
        ScalerKind::None => "none",
        ScalerKind::Standard => "standard",
        ScalerKind::Robust => "robust",
        ScalerKind::RankGauss => "rank_gauss",
    }
}

/// The first, the middle and the last fold.
fn chosen(folds: Vec<Fold>) -> Vec<Fold> {
    let last = folds.len().saturating_sub(1);
    let wanted = [0, last / 2, last];
    let folds = folds.into_iter().enumerate();
    let is_wanted = |(at, fold): (usize, Fold)| wanted.contains(&at).then_some(fold);
    folds.filter_map(is_wanted).collect()
}

/// The rows of every symbol, one after the other.
struct Ground<'a> {
    market: &'a Market,
    symbols: Vec<SymbolSamples>,
    columns: Arc<[String]>,
    /// Columns that are looked at.
    width: usize,
}

impl<'a> Ground<'a> {
    fn new(symbols: Vec<SymbolSamples>, market: &'a Market) -> Self {
        let first = symbols.first().map(|one| Arc::clone(&one.features.columns));
        let columns = first.unwrap_or_default();
        let rows: usize = symbols.iter().map(|one| one.features.rows()).sum();
        let most = (MOST_VALUES / rows.max(1)).max(1);
        Self {
            market,
            symbols,
            width: columns.len().min(most),
            columns,
        }
    }

    fn time_frame(&self) -> TimeFrame {
        self.market.time_frame()
    }

    /// Which rows close in the fold's training periods.
    fn training(&self, fold: &Fold) -> Vec<bool> {
        let times = self.symbols.iter().flat_map(|one| &one.features.closed_at);
        let inside = |at| fold.train.iter().any(|period| period.contains(at));
        times.map(|at| inside(*at)).collect()
    }

    /// The feature rows.
    fn features(&self) -> StepRows {
        let (width, all) = (self.width, self.columns.len().max(1));
        let rows = self
            .symbols
            .iter()
            .flat_map(|one| one.features.values.chunks_exact(all));
        StepRows {
            columns: self.columns[..width].to_vec(),
            values: rows
                .flat_map(|row| row[..width].iter().map(|one| f64::from(*one)))
                .collect(),
        }
    }

    /// The traded return of every row.
    fn targets(&self) -> StepRows {
        let of = |one: &SymbolSamples| -> Vec<f64> {
            let (targets, rows) = (one.labels.targets.as_ref(), one.features.rows());
            let first = |row| targets.and_then(|all| all.row(row).first().copied());
            (0..rows)
                .map(|row| first(row).unwrap_or(f64::NAN))
                .collect()
        };
        StepRows {
            columns: vec!["traded return".to_owned()],
            values: self.symbols.iter().flat_map(of).collect(),
        }
    }

    /// What a fold's scaler makes of feature rows.
    fn scaled(
        &self,
        kind: ScalerKind,
        rows: &StepRows,
        (fold, fit): (&Fold, &FitScaler),
    ) -> Result<StepRows, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let columns: Arc<[String]> = rows.columns.clone().into();
        let mut values: Vec<f32> = rows.values.iter().map(|one| *one as f32).collect();
        let mut begin = 0;
        let mut symbols = Vec::with_capacity(self.symbols.len());
        for one in &self.symbols {
            let end = begin + one.features.rows() * columns.len();
            symbols.push(SymbolSamples {
                features: FeatureMatrix {
                    columns: Arc::clone(&columns),
                    values: values[begin..end].into(),
                    ..one.features.clone()
                },
                labels: one.labels.clone(),
            });
            begin = end;
        }
        let samples = Samples::new(symbols, self.time_frame()).map_err(|error| words(&error))?;
        if let Some(scaler) = fit(kind, &samples, fold).map_err(|error| words(&error))? {
            scaler.apply(&mut values).map_err(|error| words(&error))?;
        }
        Ok(StepRows {
            columns: rows.columns.clone(),
            values: values.into_iter().map(f64::from).collect(),
        })
    }

    /// Traded returns in the spread that the readout of a fold's model would use.
    fn read_out(&self, rows: &StepRows, fold: &Fold) -> Result<StepRows, String> {
        let mut begin = 0;
        let mut symbols = self.symbols.clone();
        for one in &mut symbols {
            let count = one.features.rows();
            if let Some(targets) = &mut one.labels.targets {
                let traded = targets.values.iter_mut().step_by(targets.columns.max(1));
                for (target, value) in traded.zip(&rows.values[begin..begin + count]) {
                    *target = *value;
                }
            }
            begin += count;
        }
        let samples =
            Samples::new(symbols, self.time_frame()).map_err(|error| error.to_string())?;
        let spread = samples.traded_spread(fold);
        let spread = spread.ok_or("the returns of the training rows are all the same")?;
        Ok(StepRows {
            columns: rows.columns.clone(),
            values: rows.values.iter().map(|one| one / spread).collect(),
        })
    }

    /// Audits one step, and says of each finding which step and whose row it is.
    fn audit(
        &self,
        (step, name): (&mut dyn FittedStep, &str),
        rows: &StepRows,
        is_training: &[bool],
        how: (&mut dyn Rng, u32),
    ) -> Result<StepAudit, TrainingError> {
        let audited = audit_step(step, rows, is_training, how);
        let audited =
            audited.map_err(|words| TrainingError::FitScope(format!("{name}: {words}")))?;
        Ok(audited.placed(name, self.market))
    }
}

#[cfg(test)]
mod tests {
    use fusebox_engine::dataset::{GroupSplit, SplitConfig, SplitKind};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::data::{Simulated, SimulatedConfig};

    fn market() -> Market {
        let config = SimulatedConfig {
            symbols: vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()],
            time_frame: "1h".parse().unwrap(),
            from: "2024-01-01".parse().unwrap(),
            to: "2024-03-20".parse().unwrap(),
            ..SimulatedConfig::default()
        };
        Market::new(Simulated::new(config).unwrap().series()).unwrap()
    }

    fn spec(scaler: ScalerKind, split: Splitter) -> FitScopeSpec {
        FitScopeSpec {
            features: vec!["rsi(14)".to_owned(), "log_return(3)".to_owned()],
            extract: ExtractOptions { max_gap_bars: 3 },
            labels: LabelConfig {
                kind: LabelKind::ForwardReturns,
                horizon_bars: 12,
                ..LabelConfig::default()
            },
            split,
            scaler,
        }
    }

    fn walk() -> Splitter {
        Splitter::WalkForward(SplitConfig {
            kind: SplitKind::Rolling,
            train: "14d".parse().unwrap(),
            valid: None,
            test: "5d".parse().unwrap(),
            step: "5d".parse().unwrap(),
            embargo_bars: 2,
        })
    }

    fn audited(spec: &FitScopeSpec, fit: &FitScaler) -> FitScope {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        audit_scaler_of(spec, &market(), (&mut random, 4), fit).unwrap()
    }

    #[test]
    fn every_scaler_of_a_training_looks_at_the_training_part_only() {
        let groups = Splitter::Groups(GroupSplit {
            groups: 4,
            test_groups: 2,
            embargo_bars: 3,
        });
        for split in [walk(), groups] {
            for kind in [
                ScalerKind::Standard,
                ScalerKind::Robust,
                ScalerKind::RankGauss,
            ] {
                let scope = audited(&spec(kind, split.clone()), &own_scaler);
                assert_eq!(scope.steps.len(), 2, "{:?}", scope.steps);
                assert_eq!(
                    (scope.steps[0].kind.as_str(), scope.steps[0].folds),
                    (kind_name(kind), 3)
                );
                assert_eq!(scope.audits.len(), 6);
                for audit in &scope.audits {
                    assert!(audit.findings.is_empty(), "{kind:?}: {:#?}", audit.findings);
                    assert!(audit.values > 1_000 && audit.histories == 5, "{audit:?}");
                }
            }
        }
    }

    #[test]
    fn a_planted_scaler_over_everything_is_caught_and_explained() {
        let greedy = |kind: ScalerKind, samples: &Samples, fold: &Fold| {
            let everything = Fold {
                train: samples.period().into_iter().collect(),
                train_held_out: Vec::new(),
                ..fold.clone()
            };
            own_scaler(kind, samples, &everything)
        };
        let spec = spec(ScalerKind::Robust, walk());
        let scope = audited(&spec, &greedy);
        let found = &scope.audits[0].findings;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].column, "scaler: rsi(14)");
        assert!(
            found[0].at.is_some() && found[0].symbol == "BTCUSDT",
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .all(|one| one.meaning.contains("training part")),
            "{found:?}"
        );
    }
}
