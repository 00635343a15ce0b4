//! The audit of features, put together: the bars, the code, the verdict and its place.

use std::path::PathBuf;
use std::time::Duration;

use fusebox_engine::features::audit::{AuditOptions, FeatureCode, SetCode, audit};
use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureKind, FeatureSet, Reads, registry,
};
use fusebox_engine::types::{BarSeries, Market, Timestamp};
use fusebox_services::audit::{AuditedBars, CommandCode, CommandOptions, Subject, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::EngineSettings;
use crate::config::Loaded;
use crate::failure::Failure;

/// What is to be audited.
#[derive(Debug)]
pub(crate) enum Audited {
    /// The pipeline's features.
    Pipeline,
    /// Expressions, separated by `;`.
    Expressions(String),
    /// Every kind that the bars have the columns for.
    Everything,
    /// A program.
    Command(String, Duration),
}

/// How it is audited.
#[derive(Debug)]
pub(crate) struct AuditPlan {
    /// What.
    pub(crate) audited: Audited,
    /// The seed of every random choice.
    pub(crate) seed: u64,
    /// The newest bars of each symbol that are used.
    pub(crate) max_bars: usize,
    /// The rest.
    pub(crate) options: AuditOptions,
}

/// Carries out an audit and stores its verdict.
///
/// # Errors
/// [`Failure`] where there is no verdict; findings are none.
pub(crate) fn run(
    loaded: &Loaded,
    settings: &EngineSettings,
    plan: &AuditPlan,
) -> Result<(Verdict, PathBuf), Failure> {
    let market = market(loaded, plan.max_bars)?;
    let (mut code, subject) = code(loaded, plan, &market)?;
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let report = audit(code.as_mut(), &market, plan.options, &mut random)
        .map_err(|error| Failure::Failed(error.into()))?;
    let nanos = super::now_unix_s().saturating_mul(1_000_000_000);
    let now = Timestamp::from_nanos(nanos);
    let verdict = Verdict::new(subject, report, AuditedBars::of(&market), (plan.seed, now));
    let path = verdict
        .store(&settings.state_dir)
        .map_err(|error| Failure::Failed(error.into()))?;
    Ok((verdict, path))
}

/// The newest bars that the configuration asks for.
fn market(loaded: &Loaded, max_bars: usize) -> Result<Market, Failure> {
    let mut problems = Vec::new();
    let source = super::source(loaded, &mut problems);
    let request = super::spec::data_request(loaded, &mut problems);
    let (Some(source), Some(request), true) = (source, request, problems.is_empty()) else {
        return Err(problems.into());
    };
    let market = source.load(&request).map_err(anyhow::Error::from)?;
    for warning in &market.warnings {
        tracing::warn!("{warning}");
    }
    let newest = |series: &BarSeries| BarSeries {
        bars: series.bars[series.bars.len().saturating_sub(max_bars)..].to_vec(),
        ..series.clone()
    };
    let newest = market.market.series().iter().map(newest).collect();
    Market::new(newest).map_err(|error| Failure::Failed(error.into()))
}

fn code(
    loaded: &Loaded,
    plan: &AuditPlan,
    market: &Market,
) -> Result<(Box<dyn FeatureCode>, Subject), Failure> {
    let features = &loaded.raw.features;
    let context = FeatureContext::of(market);
    let expressions = match &plan.audited {
        Audited::Pipeline => features.set.clone(),
        Audited::Expressions(list) => list.split(';').map(|one| one.trim().to_owned()).collect(),
        Audited::Everything => every_kind(&context),
        Audited::Command(command, timeout) => {
            let options = CommandOptions { timeout: *timeout };
            let code = CommandCode::new(command, options);
            return Ok((Box::new(code), Subject::command(command)));
        }
    };
    let set = FeatureSet::parse(&expressions, &context)
        .map_err(|error| Failure::Refused(error.into()))?;
    let options = ExtractOptions {
        max_gap_bars: features.max_gap_bars,
    };
    let sha256 = set.digest().to_owned();
    let code = SetCode::new(set, options, market.time_frame());
    Ok((Box::new(code), Subject::FeatureSet { sha256 }))
}

/// Every kind with its defaults that the market has the columns and symbols for.
fn every_kind(context: &FeatureContext) -> Vec<String> {
    let lead = context.symbols.first().map_or("", |one| one.name.as_str());
    let expression = |kind: &FeatureKind| match kind.reads {
        Reads::Pair(_) => kind.example().replace("BTCUSDT", lead),
        Reads::Bars | Reads::Market(_) => kind.example(),
    };
    let is_possible =
        |text: &String| FeatureSet::parse(std::slice::from_ref(text), context).is_ok();
    registry().map(expression).filter(is_possible).collect()
}
