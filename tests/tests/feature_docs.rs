//! `docs/features.md` is made from the registry: FUSEBOX_UPDATE=1 writes it anew.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use fusebox_engine::features::{
    Arguments, FeatureKind, Input, Memory, Parameter, Reads, TIERS, registry,
};

const HEAD: &str = "\
# Features

This page is made from the code by `tests/tests/feature_docs.rs`; run that test with
`FUSEBOX_UPDATE=1` after a change. `fusebox features list` and `describe NAME` show the same.

A feature is written `name(parameters)@time_frame#SYMBOL`, such as `rsi(14)`, `rsi(14)@4h`,
`log_return(1)#BTCUSDT`. Parameters may be left out or named. `@4h` computes it on closed 4-hour
bars that are joined from the run's own bars and visible only once they have closed; `#BTCUSDT`
computes it on the bars of another symbol of the run that have closed by then. Both make it tier
5. A kind whose example ends with `#BTCUSDT` compares the row's symbol with that one and needs
it.

The warm-up is the number of bars up to and including the first value, here with the default
parameters. After that a *window* depends on the bars of the warm-up only, what is called *day* on
the UTC day so far and the end of the one before; a *recursive* kind depends on every earlier bar
with weights that fade, and is settled when where the history begins moves it by less than about a
millionth of its size. A column that the data lacks is refused when the configuration is read.

## One implementation

Every kind is an operator that is shown one closed bar after another. A history is a loop over
the same operators, in blocks of 128 bars; a live run shows one bar. The values have the same
bits. What changes with the bars can be saved and restored, so that a live run goes on after a
restart without replaying (`fusebox plugin serve --resume`): the bytes say which feature set,
version, options, time frame and symbols they belong to, end with a checksum, and are refused
where anything differs.

## The numbers

Indicators follow TA-Lib's definitions and seeding. Committed numbers of TA-Lib, pandas, SciPy and
others hold every kind to 1e-9 (`tests/reference`), and where recorded candles and TA-Lib are at
hand a test holds the kinds that are made of its indicators to it bar by bar.

No error lasts: windows of up to 64 bars are joined anew from runs of four and eight values, which
begin at every bar and are found for many bars side by side; longer ones are joined from blocks, or
carried and renewed once per window. A value that was far larger than the others leaves nothing
behind when it goes. Recursive averages take four steps in one, so that a column of them does not
wait for itself. One bar and many go through the same operations in the same order.

## Cutting the work

Symbols share nothing and are independent pieces of work. Within a symbol, a piece of rows has two
ways to begin.

- It goes on from a *checkpoint*, the saved state at the cut, which the piece before it gives.
  Results do not depend on the cuts, not by a bit. This is what the engine itself does; a piece
  that begins after a long gap needs no checkpoint, because a gap forgets everything, unless a
  feature reads another symbol.
- It is made *apart*, without any other piece (`extract_apart`), so that all pieces can be made at
  once, on other machines, too. It is warmed up by an overlap: as many bars before its first row as
  its slowest feature takes to settle, and as many again where that is recursive. The same rows are
  valid, in the same segments, and the values agree to 1e-7 of the largest of their column, nearly
  all of them in every bit: a recursive kind keeps a trace of all of its past, and carried sums of
  a window are rounded differently after another start.

## Looking ahead

`fusebox features audit` runs a pipeline's features, a list of them, or a program in any
language (`--command`, candles as CSV in, columns as CSV out) on histories that were cut, shaken
after a point and begun later, and holds the columns against the bars that follow. Of a pipeline
it audits what is fitted as well: its scaler, and the readout of returns, on the first, the middle
and the last of its own folds; a fitted step in any language is audited with `--step`. Its verdict
is stored in `audits/DIGEST.json` of the state directory, by the digest of the feature set, or of
the command with the content of the files that it names and of every `--source`. A model goes live
only where the verdict on its features passed.

Histories are cut 3, 10, 30, 60 and 100 bars after the beginning, just before the end, before holes
and at missing bars, one bar before the ends of some hours, days, weeks and months, and at
`--rounds` random moments. A leak that shows at every bar, or every day, is found. One at a single
fixed moment of the data, that reads fewer bars ahead than lie before the next cut, can pass: more
rounds and other seeds make that less likely, never impossible. As many bars are taken as the
longest warm-up needs, so that nothing that is shipped is left unchecked.
";

fn document() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n## Tiers\n\n| tier | about | kinds |\n|---|---|---|\n");
    for (tier, about) in TIERS {
        let count = registry().filter(|kind| kind.tier() == tier).count();
        writeln!(text, "| {tier} | {about} | {count} |").unwrap();
    }
    writeln!(text, "\n{} kinds in all.", registry().count()).unwrap();
    for (tier, about) in TIERS {
        writeln!(text, "\n## Tier {tier}: {about}").unwrap();
        for kind in registry().filter(|kind| kind.tier() == tier) {
            describe(kind, &mut text);
        }
    }
    text
}

fn describe(kind: &FeatureKind, text: &mut String) {
    let arguments = Arguments::defaults(kind);
    let inputs: Vec<&str> = kind.inputs.iter().map(|one| Input::name(*one)).collect();
    let memory = match kind.memory {
        Memory::Window => "window".to_owned(),
        Memory::Day => "day".to_owned(),
        Memory::Recursive { .. } => format!(
            "recursive, settled {} bars after the warm-up",
            kind.settling_bars(&arguments)
        ),
    };
    let reads = match kind.reads {
        Reads::Bars => "",
        Reads::Pair(_) => ", common to the symbol and its lead",
        Reads::Market(_) => ", of every symbol of the run",
    };
    writeln!(text, "\n### `{}`\n\n{}\n", kind.example(), kind.summary).unwrap();
    for (what, value) in [
        ("formula", format!("`{}`", kind.formula)),
        ("source", kind.source.to_owned()),
        ("units", kind.units.to_owned()),
        ("inputs", format!("{}{reads}", inputs.join(", "))),
        (
            "warm-up",
            format!("{} bars; {memory}", (kind.warmup_bars)(&arguments)),
        ),
    ] {
        writeln!(text, "- {what}: {value}").unwrap();
    }
    for Parameter {
        name,
        default,
        min,
        max,
        doc,
        ..
    } in kind.parameters
    {
        writeln!(text, "- `{name}` = {default}, from {min} to {max}: {doc}").unwrap();
    }
    if let Some(constraint) = kind.constraint {
        writeln!(text, "- {}", constraint.requirement).unwrap();
    }
}

#[test]
fn the_page_in_the_tree_is_the_one_of_the_registry() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/features.md");
    let made = document();
    if std::env::var_os("FUSEBOX_UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == made,
        "docs/features.md is stale; run this test again with FUSEBOX_UPDATE=1"
    );
}
