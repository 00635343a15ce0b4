//! `fusebox features`: the documentation of every feature, and the audit of feature code.

mod audit;

use clap::{Args, Subcommand};
use fusebox_engine::features::{
    Arguments, FeatureKind, Input, Memory, TIERS, find, nearest, registry,
};
use serde_json::{Value, json};

use super::Context;
use crate::failure::Failure;
use crate::output::table;

/// What features there are
#[derive(Debug, Subcommand)]
pub(super) enum FeaturesCommand {
    List(ListArgs),
    Describe(DescribeArgs),
    Audit(Box<audit::AuditArgs>),
}

/// List every feature
#[derive(Debug, Args)]
#[command(after_help = "\
Tiers: 1 price, 2 trend and momentum, 3 volatility, 4 volume and microstructure, 5 context: the
calendar, the regime, other symbols, and every feature on a higher time frame.

Examples:
  fusebox features list
  fusebox features list --tier 1
  fusebox features list --json")]
pub(super) struct ListArgs {
    /// Only features of this tier
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=5))]
    tier: Option<u8>,
}

/// Show the definition of one feature
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox features describe rsi
  fusebox features describe bollinger_width --json")]
pub(super) struct DescribeArgs {
    /// Name of the feature, such as rsi
    name: String,
}

pub(super) fn run(command: FeaturesCommand, context: &Context) -> Result<(), Failure> {
    match command {
        FeaturesCommand::List(args) => list(&args, context),
        FeaturesCommand::Describe(args) => describe(&args, context),
        FeaturesCommand::Audit(args) => audit::run(&args, context),
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let kinds: Vec<&FeatureKind> = registry()
        .filter(|kind| args.tier.is_none_or(|tier| kind.tier() == tier))
        .collect();
    let documents: Vec<Value> = kinds.iter().map(|kind| document(kind)).collect();
    context.output.show(&documents, || {
        let mut table = table(&["example", "family", "tier", "warm-up", "units", "tells"]);
        for kind in &kinds {
            table.add_row([
                kind.example(),
                family(kind),
                kind.tier().to_string(),
                warmup_bars(kind).to_string(),
                kind.units.to_owned(),
                kind.summary.to_owned(),
            ]);
        }
        format!(
            "{table}\n{}{} features. Add @4h for closed bars of a higher time frame, #BTCUSDT for \
             a lead symbol; both are tier 5.\n",
            counts(&kinds),
            kinds.len()
        )
    })
}

/// One line per tier: how many of `kinds` it has.
fn counts(kinds: &[&FeatureKind]) -> String {
    let line = |(tier, about): (u8, &str)| {
        let count = kinds.iter().filter(|kind| kind.tier() == tier).count();
        (count > 0).then(|| format!("tier {tier}  {count:>3}  {about}\n"))
    };
    TIERS.into_iter().filter_map(line).collect()
}

fn describe(args: &DescribeArgs, context: &Context) -> Result<(), Failure> {
    let name = args.name.split(['(', '@', '#']).next().unwrap_or_default();
    let kind = find(name.trim()).ok_or_else(|| {
        let hint = nearest(name).map_or_else(
            || "`fusebox features list` shows all".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        Failure::Usage(format!("there is no feature `{name}`; {hint}"))
    })?;
    context.output.show(&document(kind), || text(kind))
}

/// Warm-up with the default parameters, in bars.
fn warmup_bars(kind: &FeatureKind) -> u32 {
    (kind.warmup_bars)(&Arguments::defaults(kind))
}

fn family(kind: &FeatureKind) -> String {
    format!("{:?}", kind.family).to_lowercase()
}

fn document(kind: &FeatureKind) -> Value {
    json!({
        "name": kind.name,
        "example": kind.example(),
        "family": kind.family,
        "tier": kind.tier(),
        "version": kind.version,
        "summary": kind.summary,
        "formula": kind.formula,
        "source": kind.source,
        "units": kind.units,
        "parameters": kind.parameters,
        "constraint": kind.constraint.map(|constraint| constraint.requirement),
        "inputs": kind.inputs,
        "warmup_bars": warmup_bars(kind),
        "memory": kind.memory,
        "settling_bars": kind.settling_bars(&Arguments::defaults(kind)),
    })
}

fn text(kind: &FeatureKind) -> String {
    let inputs: Vec<&str> = kind
        .inputs
        .iter()
        .map(|input| Input::name(*input))
        .collect();
    let memory = match kind.memory {
        Memory::Window => "the bars of the warm-up only".to_owned(),
        Memory::Day => "the UTC day so far, and the end of the one before".to_owned(),
        Memory::Recursive { .. } => format!(
            "every earlier bar, fading: settled {} bars after the warm-up",
            kind.settling_bars(&Arguments::defaults(kind))
        ),
    };
    let mut text = format!(
        "{} ({}, tier {})\n  {}\n\n  formula   {}\n  source    {}\n  units     {}\n  \
         inputs    {}\n  warm-up   {} bars with the defaults\n  memory    {memory}\n  \
         example   {}\n",
        kind.name,
        family(kind),
        kind.tier(),
        kind.summary,
        kind.formula,
        kind.source,
        kind.units,
        inputs.join(", "),
        warmup_bars(kind),
        kind.example(),
    );
    if !kind.parameters.is_empty() {
        let mut parameters = table(&["parameter", "default", "from", "to", "means"]);
        for one in kind.parameters {
            parameters.add_row([
                one.name.to_owned(),
                one.default.to_string(),
                one.min.to_string(),
                one.max.to_string(),
                one.doc.to_owned(),
            ]);
        }
        text.push_str(&format!("{parameters}\n"));
    }
    if let Some(constraint) = kind.constraint {
        text.push_str(&format!("  Besides, {}.\n", constraint.requirement));
    }
    text
}
