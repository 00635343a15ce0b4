//! The process of one case: it runs the case and says the verdict on its standard input.
//!
//! The parent opens descriptor 0 for writing, so that the plugin keeps the standard output and the
//! standard error for whatever it prints, and nothing it prints can look like a verdict.

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use fusebox_plugin_api::import::ImportedPlugin;
use fusebox_plugin_api::testing::Subject;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::{Bench, Case, HOLDS, Run, Settings, Target, Verdict, cases};

/// The descriptor of the verdicts.
pub(super) const VERDICT_FD: i32 = 0;

/// Memory of a case beyond its artifact; reserved addresses do not count.
const MEMORY_BYTES: u64 = 4 << 30;

/// Where verdicts are said.
#[derive(Debug)]
pub(super) struct Channel;

impl Channel {
    /// Says a verdict. One that nobody reads any more is lost together with its reader.
    pub(super) fn say(&self, verdict: &Verdict) {
        let mut line = serde_json::to_vec(verdict).unwrap_or_default();
        line.push(b'\n');
        let stdin = io::stdin();
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(stdin.as_fd(), rest) {
                Ok(written) => rest = &rest[written.min(rest.len())..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// Runs the case called `name` in this process, which must be for it alone. `None` where no case
/// has this name.
#[must_use]
pub fn run_case(name: &str, target: &Target, settings: &Settings) -> Option<ExitCode> {
    let case = cases().into_iter().find(|case| case.name == name)?;
    limit_this_process(settings);
    let channel = Channel;
    let bench = Bench::new(target, settings, &channel);
    let finding = catch_unwind(AssertUnwindSafe(|| try_case(&case, &bench)));
    let verdict = finding.unwrap_or_else(|_| Verdict::Failed {
        found: "the case itself panicked; its words are on the standard error".to_owned(),
    });
    channel.say(&verdict);
    Some(ExitCode::SUCCESS)
}

fn try_case(case: &Case, bench: &Bench<'_>) -> Verdict {
    match case.run {
        Run::Files(run) => run(bench.target).into(),
        Run::Plugin(run) => run(bench).into(),
        Run::Portable(run) => match bench.map().and_then(|mapped| Ok(mapped.import()?)) {
            Ok(plugin) => portable(run, &plugin, bench.settings),
            Err(stop) => Err(stop).into(),
        },
    }
}

fn portable(
    run: fn(&Subject<'_>) -> Result<(), String>,
    plugin: &ImportedPlugin,
    settings: &Settings,
) -> Verdict {
    let subject = Subject {
        backend: plugin,
        config: &settings.config,
        artifact: &settings.artifact,
        columns: Bench::columns(),
    };
    match run(&subject) {
        Ok(()) => HOLDS.into(),
        Err(found) => Verdict::Failed { found },
    }
}

/// No core dumps, no more memory than a case needs, and no life after the parent. Where the kernel
/// refuses a limit the case runs without it.
fn limit_this_process(settings: &Settings) {
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let _ = setrlimit(Resource::Core, limit(0));
    let space = MEMORY_BYTES + 4 * settings.artifact.len() as u64;
    let _ = setrlimit(Resource::Data, limit(space));
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}
