//! `[labels]`, `[split]` and the scaler: from the raw keys to what the engine takes.

use fusebox_engine::dataset::{GroupSplit, ScalerKind, Span, SplitConfig, SplitKind, Splitter};
use fusebox_engine::labels::{
    Ambiguity, ClassWeights, EventFilter, LabelConfig, LabelKind, PrimaryKind, ReturnUnit,
    Weighting,
};

use fusebox_services::training::{ExplainSpec, FinalModel};

use super::Check;
use crate::config::raw::{
    RawAmbiguity, RawClassWeights, RawEvents, RawFinalModel, RawLabelKind, RawLabels, RawPrimary,
    RawReturnUnit, RawScaler, RawSplitKind, RawTrain, RawWeighting,
};

impl Check<'_> {
    pub(super) fn labels(&mut self, raw: &RawLabels) -> LabelConfig {
        let labels = LabelConfig {
            kind: match raw.kind {
                RawLabelKind::TripleBarrier => LabelKind::TripleBarrier,
                RawLabelKind::FixedHorizon => LabelKind::FixedHorizon,
                RawLabelKind::FixedThreshold => LabelKind::FixedThreshold,
                RawLabelKind::TrendScanning => LabelKind::TrendScanning,
                RawLabelKind::ForwardReturns => LabelKind::ForwardReturns,
                RawLabelKind::MetaLabels => LabelKind::MetaLabels,
            },
            horizon_bars: raw.horizon_bars,
            upper_sigmas: raw.upper_sigmas,
            lower_sigmas: raw.lower_sigmas,
            upper_return: raw.upper_return,
            lower_return: raw.lower_return,
            volatility_span_bars: raw.volatility_span_bars,
            ambiguous: match raw.ambiguous {
                RawAmbiguity::Pessimistic => Ambiguity::Pessimistic,
                RawAmbiguity::Flat => Ambiguity::Flat,
            },
            trend_min_bars: raw.trend_min_bars,
            trend_min_t_value: raw.trend_min_t_value,
            more_horizons_bars: raw.more_horizons_bars.clone(),
            quantiles: raw.quantiles.clone(),
            target_unit: unit(raw.target_unit),
            primary: match raw.primary {
                RawPrimary::Momentum => PrimaryKind::Momentum,
                RawPrimary::Reversal => PrimaryKind::Reversal,
                RawPrimary::Crossover => PrimaryKind::Crossover,
            },
            primary_fast_bars: raw.primary_fast_bars,
            primary_slow_bars: raw.primary_slow_bars,
            minimum_profit_bps: raw.minimum_profit_bps,
            events: match raw.events {
                RawEvents::All => EventFilter::All,
                RawEvents::Cusum => EventFilter::Cusum,
            },
            cusum_threshold: raw.cusum_threshold,
            cusum_unit: unit(raw.cusum_unit),
            weights: match raw.weights {
                RawWeighting::Uniform => Weighting::Uniform,
                RawWeighting::Uniqueness => Weighting::Uniqueness,
                RawWeighting::ReturnAttribution => Weighting::ReturnAttribution,
                RawWeighting::SequentialBootstrap => Weighting::SequentialBootstrap,
            },
            oldest_weight: raw.oldest_weight,
            class_weights: match raw.class_weights {
                RawClassWeights::None => ClassWeights::None,
                RawClassWeights::Balanced => ClassWeights::Balanced,
            },
        };
        for problem in labels.validate() {
            self.report(&format!("labels.{}", problem.key), problem.message);
        }
        labels
    }

    pub(super) fn split(&mut self) -> Option<Splitter> {
        let raw = &self.loaded.raw.split;
        let embargo_bars = raw.embargo_bars;
        let kind = match raw.kind {
            RawSplitKind::Rolling => SplitKind::Rolling,
            RawSplitKind::Anchored => SplitKind::Anchored,
            RawSplitKind::PurgedKfold | RawSplitKind::Combinatorial => {
                let test_groups = match raw.kind {
                    RawSplitKind::Combinatorial => raw.test_groups,
                    _ => 1,
                };
                let split = GroupSplit {
                    groups: raw.groups,
                    test_groups,
                    embargo_bars,
                };
                for problem in split.validate() {
                    self.report(&format!("split.{}", problem.key), problem.message);
                }
                return Some(Splitter::Groups(split));
            }
        };
        let train: Option<Span> = self.parsed("split.train", &raw.train);
        let valid = (!raw.valid.is_empty()).then_some(&raw.valid);
        let valid: Option<Span> = self.parsed_if_set("split.valid", valid);
        let test: Option<Span> = self.parsed("split.test", &raw.test);
        let step: Option<Span> = self.parsed("split.step", &raw.step);
        Some(Splitter::WalkForward(SplitConfig {
            kind,
            train: train?,
            valid,
            test: test?,
            step: step?,
            embargo_bars,
        }))
    }
}

fn unit(raw: RawReturnUnit) -> ReturnUnit {
    match raw {
        RawReturnUnit::Sigmas => ReturnUnit::Sigmas,
        RawReturnUnit::LogReturn => ReturnUnit::LogReturn,
    }
}

pub(super) fn scaler(raw: RawScaler) -> ScalerKind {
    match raw {
        RawScaler::None => ScalerKind::None,
        RawScaler::Standard => ScalerKind::Standard,
        RawScaler::Robust => ScalerKind::Robust,
        RawScaler::RankGauss => ScalerKind::RankGauss,
    }
}

pub(super) fn final_model(raw: RawFinalModel) -> FinalModel {
    match raw {
        RawFinalModel::LastFold => FinalModel::LastFold,
        RawFinalModel::Refit => FinalModel::Refit,
    }
}

pub(super) fn explain(raw: &RawTrain) -> Option<ExplainSpec> {
    Some(ExplainSpec {
        rows: raw.explain_rows as usize,
        repeats: raw.permutation_repeats,
    })
}
