//! From bars to folds: everything that happens before a learner is asked.

use std::sync::Arc;

use fusebox_engine::backtest::{BacktestSpec, rehearse};
use fusebox_engine::dataset::{Samples, SplitPlan, SymbolSamples};
use fusebox_engine::features::{ExtractOptions, FeatureContext, FeatureSet, extract_symbol};
use fusebox_engine::labels::{LabelConfig, LabelSeries};
use fusebox_engine::types::{Market, SymbolId};
use rayon::prelude::*;

use super::error::TrainingError;
use super::spec::PipelineSpec;
use crate::data::records::complete;
use crate::data::{DataSource, LoadedMarket};
use crate::progress::Progress;

/// What training starts from.
pub(super) struct Prepared {
    pub loaded: LoadedMarket,
    pub features: FeatureSet,
    pub samples: Samples,
    pub plan: SplitPlan,
}

/// Loads the bars and makes features, labels and folds, and finds out whether the account could
/// trade at all, so that nobody trains for a backtest that cannot begin. Symbols are partitions
/// that share nothing; they run on the caller's thread pool.
pub(super) fn prepare(
    spec: &PipelineSpec,
    source: &dyn DataSource,
    progress: &dyn Progress,
) -> Result<Prepared, TrainingError> {
    let (loaded, features, samples) = samples_of(spec, source, progress)?;
    let plan = samples.split(&spec.split)?;
    let tested = plan.tested().map(|tested| (tested.from, tested.to));
    progress.start("records", 1);
    let loaded = complete(loaded, source, (&spec.data, &spec.records), tested);
    progress.finish();
    let loaded = loaded?;
    let backtest = BacktestSpec {
        market: &loaded.market,
        config: &spec.session,
        config_digest: &spec.provenance.config_sha256,
    };
    rehearse(&backtest, tested)?;
    Ok(Prepared {
        loaded,
        features,
        samples,
        plan,
    })
}

/// Loads the bars and makes features and labels, for plans of any kind.
pub(super) fn samples_of(
    spec: &PipelineSpec,
    source: &dyn DataSource,
    progress: &dyn Progress,
) -> Result<(LoadedMarket, FeatureSet, Samples), TrainingError> {
    progress.start("bars", 1);
    let loaded = source.load(&spec.data);
    progress.finish();
    let loaded = loaded?;

    let market = &loaded.market;
    let features = FeatureSet::parse(&spec.features, &FeatureContext::of(market))?;
    progress.start("features and labels", market.series().len() as u64);
    let how = (&spec.labels, spec.extract);
    let symbols = symbol_samples(how, market, &features, progress);
    progress.finish();

    let samples = Samples::new(symbols?, market.time_frame())?;
    Ok((loaded, features, samples))
}

pub(super) fn symbol_samples(
    (labels, extract): (&LabelConfig, ExtractOptions),
    market: &Market,
    features: &FeatureSet,
    progress: &dyn Progress,
) -> Result<Vec<SymbolSamples>, TrainingError> {
    let ids: Vec<SymbolId> = (0..).map(SymbolId).take(market.series().len()).collect();
    ids.into_par_iter()
        .zip(market.series().par_iter())
        .map(|(symbol, series)| {
            let features = extract_symbol(features, market, symbol, extract)?;
            let labels = LabelSeries::of(series, labels, extract.max_gap_bars);
            progress.advance(1);
            Ok(SymbolSamples { features, labels })
        })
        .collect()
}

/// The names of the feature columns.
pub(super) fn columns(samples: &Samples) -> Arc<[String]> {
    samples.schema().features.clone().into()
}
