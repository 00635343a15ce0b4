//! Level 9: random frames, configurations, states and call orders.

use super::plugin;
use crate::check::fuzz::{self, Round, Theme};
use crate::check::rng::Rng;
use crate::check::{Bench, Case, Finding, Verdict};

/// Rounds end after this time, so that a slow model is fuzzed less, not longer.
const MOST_NS: u64 = 20_000_000_000;

pub(super) const CASES: &[Case] = &[
    plugin(
        9,
        "fuzz-frames",
        "random frames are answered or refused",
        |bench| fuzz_theme(bench, Theme::Frames),
    ),
    plugin(
        9,
        "fuzz-config",
        "random configurations are taken or refused",
        |bench| fuzz_theme(bench, Theme::Config),
    ),
    plugin(
        9,
        "fuzz-state",
        "random states are taken or refused",
        |bench| fuzz_theme(bench, Theme::State),
    ),
    plugin(
        9,
        "fuzz-calls",
        "calls in any order are answered or refused",
        |bench| fuzz_theme(bench, Theme::Calls),
    ),
];

fn fuzz_theme(bench: &Bench<'_>, theme: Theme) -> Finding {
    let table = bench.table()?;
    if let Some(calls) = &bench.settings.replay {
        let mut round = Round::new(bench, table);
        calls.iter().try_for_each(|call| round.make(call))?;
        return Ok(Some(format!("{} calls repeated", calls.len())));
    }
    let rounds = bench.times(2_000, 60);
    let started = bench.settings.clock.now_ns();
    let mut made = 0;
    for number in 0..rounds {
        if bench.settings.clock.now_ns().saturating_sub(started) > MOST_NS {
            break;
        }
        let seed = bench.rng(900 + theme as u64).next().wrapping_add(number);
        let calls = fuzz::round(theme, &mut Rng::new(seed));
        bench.channel.say(&Verdict::Trying {
            round: number,
            calls: calls.clone(),
        });
        let mut round = Round::new(bench, table);
        for call in &calls {
            round.make(call)?;
            made += 1;
        }
    }
    Ok(Some(format!("{made} calls, seed {}", bench.settings.seed)))
}
