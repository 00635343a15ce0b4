//! The audit of features, put together: the bars, the code, the verdict and its place.

use std::path::PathBuf;
use std::time::Duration;

use fusebox_engine::features::audit::{
    AuditOptions, AuditReport, FeatureCode, SetCode, StepRows, audit, audit_step,
};
use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureKind, FeatureSet, Reads, registry,
};
use fusebox_engine::types::{BarSeries, Market, Timestamp};
use fusebox_services::audit::{
    AuditedBars, CommandCode, CommandOptions, CommandStep, Program, Subject, Verdict,
};
use fusebox_services::training::{AuditedStep, audit_fit_scope};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

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
    Command(String),
}

/// How it is audited.
#[derive(Debug)]
pub(crate) struct AuditPlan {
    /// What.
    pub(crate) audited: Audited,
    /// The seed of every random choice.
    pub(crate) seed: u64,
    /// The newest bars of each symbol that are used; where absent, as many as the longest warm-up
    /// needs.
    pub(crate) max_bars: Option<usize>,
    /// A program that is a fitted step.
    pub(crate) step: Option<String>,
    /// Files and directories that programs read without naming them in their command.
    pub(crate) sources: Vec<PathBuf>,
    /// Longest time that a program may take for one history.
    pub(crate) timeout: Duration,
    /// The rest.
    pub(crate) options: AuditOptions,
}

/// Fewest bars that are used where nothing else is asked for.
const FEWEST_BARS: usize = 3000;
/// Most bars that are used where nothing else is asked for.
const MOST_BARS: usize = 20_000;
/// Bars beyond what settles, so that there is something to compare.
const SPARE_BARS: usize = 500;
/// Training parts that a program which is a fitted step is shown.
const STRETCHES: usize = 3;
/// Most times that its rows are changed for each.
const STEP_ROUNDS: u32 = 3;

/// Carries out an audit and stores its verdict.
///
/// # Errors
/// [`Failure`] where there is no verdict; findings are none.
pub(crate) fn run(
    loaded: &Loaded,
    settings: &EngineSettings,
    plan: &AuditPlan,
) -> Result<(Verdict, PathBuf), Failure> {
    let whole = market(loaded)?;
    let (mut code, subject) = code(loaded, plan, &whole)?;
    let bars = plan.max_bars.unwrap_or_else(|| enough_bars(code.as_ref()));
    let market = newest(&whole, bars)?;
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut report = audit(code.as_mut(), &market, plan.options, &mut random)
        .map_err(|error| Failure::Failed(error.into()))?;
    let mut steps = Vec::new();
    if matches!(plan.audited, Audited::Pipeline) {
        steps.extend(own_steps(loaded, (plan, &whole), &mut report, &mut random)?);
    }
    let bars = AuditedBars::of(&market);
    let nanos = super::now_unix_s().saturating_mul(1_000_000_000);
    let now = Timestamp::from_nanos(nanos);
    let conclude = |subject: Subject, mut report: AuditReport, steps: &[AuditedStep]| {
        report.findings.sort_by_key(|finding| finding.check);
        let verdict = Verdict::new(subject, report, bars.clone(), (plan.seed, now));
        let verdict = verdict.with_steps(steps.to_vec());
        match verdict.store(&settings.state_dir) {
            Ok(path) => Ok((verdict, path)),
            Err(error) => Err(Failure::Failed(error.into())),
        }
    };
    let own = conclude(subject.clone(), report.clone(), &steps)?;
    if let Some(command) = &plan.step {
        let table = code.compute(&market);
        let table = table.map_err(|words| Failure::Failed(anyhow::anyhow!(words)))?;
        let rows = StepRows {
            columns: table.columns,
            values: table.values.concat(),
        };
        let found = (&mut report, &mut random);
        let program = Program::of(command, &plan.sources)
            .map_err(|words| Failure::Failed(anyhow::anyhow!(words)))?;
        steps.push(foreign_step(
            (command, &program),
            plan,
            (&rows, &market),
            found,
        )?);
        let rows = subject.sha256().to_owned();
        let sha256 = super::sha256(format!("{rows} {}", program.sha256).as_bytes());
        let subject = Subject::Step {
            rows,
            program,
            sha256,
        };
        return conclude(subject, report, &steps);
    }
    Ok(own)
}

/// The bars that the configuration asks for.
fn market(loaded: &Loaded) -> Result<Market, Failure> {
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
    Ok(market.market)
}

/// The newest bars of each symbol.
fn newest(market: &Market, bars: usize) -> Result<Market, Failure> {
    let newest = |series: &BarSeries| BarSeries {
        bars: series.bars[series.bars.len().saturating_sub(bars)..].to_vec(),
        ..series.clone()
    };
    let newest = market.series().iter().map(newest).collect();
    Market::new(newest).map_err(|error| Failure::Failed(error.into()))
}

/// As many bars as the column that settles last needs: the warm-up check leaves out up to a third.
fn enough_bars(code: &dyn FeatureCode) -> usize {
    let declared = (0..).map_while(|column| code.declared(column));
    let settled = declared.map(|one| one.settled_bars).max().unwrap_or(0);
    let needed = settled
        .saturating_add(settled / 2)
        .saturating_add(SPARE_BARS);
    needed.clamp(FEWEST_BARS, MOST_BARS)
}

/// Audits what the pipeline itself fits, over all of its bars.
fn own_steps(
    loaded: &Loaded,
    (plan, market): (&AuditPlan, &Market),
    report: &mut AuditReport,
    random: &mut dyn Rng,
) -> Result<Vec<AuditedStep>, Failure> {
    let mut problems = Vec::new();
    let spec = super::spec::fit_scope(loaded, &mut problems);
    let (Some(spec), true) = (spec, problems.is_empty()) else {
        return Err(problems.into());
    };
    let scope = audit_fit_scope(&spec, market, (random, plan.options.rounds));
    let scope = scope.map_err(super::failure)?;
    for audited in scope.audits {
        report.add_step(audited);
    }
    report.notes.extend(scope.notes);
    Ok(scope.steps)
}

/// Audits a program that is fitted, on the columns of what is audited, with training parts at
/// random: stretches of time that begin after the beginning and end before the end.
fn foreign_step(
    (command, program): (&str, &Program),
    plan: &AuditPlan,
    (rows, market): (&StepRows, &Market),
    (report, random): (&mut AuditReport, &mut ChaCha8Rng),
) -> Result<AuditedStep, Failure> {
    let failed = |words: String| Failure::Failed(anyhow::anyhow!(words));
    let series = market.series().iter();
    let times: Vec<Timestamp> = series
        .flat_map(|one| one.bars.iter().map(|bar| bar.closed_at))
        .collect();
    let (first, last) = (times.iter().min(), times.iter().max());
    let (Some(first), Some(last)) = (first.copied(), last.copied()) else {
        return Err(failed("there are no bars".to_owned()));
    };
    let length = last.nanos_since(first);
    let at = |share: f64| first.saturating_add_nanos((length as f64 * share) as i64);
    let mut step = CommandStep::new(
        command,
        CommandOptions {
            timeout: plan.timeout,
        },
    );
    for _ in 0..STRETCHES {
        let [begin, more] = [(); 2].map(|()| (random.next_u64() >> 11) as f64 * (-53.0_f64).exp2());
        let begin = 0.1 + 0.3 * begin;
        let part = at(begin)..at(begin + 0.3 + 0.2 * more);
        let is_training: Vec<bool> = times.iter().map(|time| part.contains(time)).collect();
        let how: (&mut dyn Rng, u32) = (random, plan.options.rounds.min(STEP_ROUNDS));
        let audited = audit_step(&mut step, rows, &is_training, how);
        let audited = audited.map_err(|words| failed(format!("`{command}`: {words}")))?;
        report.add_step(audited.placed(command, market));
    }
    Ok(AuditedStep {
        name: "command".to_owned(),
        kind: format!("{command} (sha256 {})", program.sha256),
        folds: STRETCHES,
    })
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
        Audited::Command(command) => {
            let options = CommandOptions {
                timeout: plan.timeout,
            };
            let code = CommandCode::new(command, options);
            let program = Program::of(command, &plan.sources)
                .map_err(|words| Failure::Failed(anyhow::anyhow!(words)))?;
            return Ok((Box::new(code), Subject::Command(program)));
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
