//! The conformance kit: what a plugin must keep, case by case, in levels from 1 to 10.
//!
//! A [`Case`] is named data: a name, a level, what must hold, and the code that tries it against a
//! [`Bench`]. Every case runs in a process of its own ([`child`]), started, timed and buried by
//! [`supervise`], so that a plugin that crashes or hangs fails one case and the others go on.
//!
//! | level | file of `cases/` | what |
//! |---|---|---|
//! | 1 | `package` | the files, without running anything |
//! | 2 | `scan` | loading: quick, quiet, harmless |
//! | 3 | `life` | create and destroy |
//! | 4 | `predict` | frames of every allowed shape |
//! | 5 | `state` | snapshot, restore, save |
//! | 6 | `threads` | used from several threads; none left behind |
//! | 7 | `realtime` | no allocation, no system call, inside the budget |
//! | 8 | `reload` | a thousand reloads under load |
//! | 9 | `fuzz` | random frames, configurations, states and call orders |
//! | 10 | `host` | hosts of another minor version and size, with less to offer |
//!
//! Listing a plugin as installable needs level 5, running it inside the host's process level 7.

mod bench;
mod cases;
pub mod child;
mod elf;
mod fuzz;
mod golden;
mod lent;
mod memory;
mod process;
mod raw;
mod report;
mod rng;
mod supervise;
mod target;
mod trap;

pub use bench::{Bench, Settings};
pub use report::{CaseReport, Report, Status};
pub use supervise::{Plan, Runner, supervise};
pub use target::{Target, package_below};

use serde::{Deserialize, Serialize};

/// The highest level.
pub const MAX_LEVEL: u8 = 10;
/// The level a plugin needs to be listed as installable.
pub const LISTING_LEVEL: u8 = 5;
/// The level a plugin needs to run inside the host's process.
pub const IN_PROCESS_LEVEL: u8 = 7;

/// A case: what must hold, and the code that tries it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Name, in kebab case, stable.
    pub name: &'static str,
    /// The strictness level it belongs to.
    pub level: u8,
    /// What must hold.
    pub about: &'static str,
    run: Run,
}

/// How a case is tried.
#[derive(Debug, Clone, Copy)]
enum Run {
    /// Reads files only.
    Files(fn(&Target) -> Finding),
    /// Runs the plugin.
    Plugin(fn(&Bench<'_>) -> Finding),
    /// A case of the contract crate, which sees the author's traits only.
    Portable(fn(&fusebox_plugin_api::testing::Subject<'_>) -> Result<(), String>),
}

/// What a case found: nothing wrong, perhaps with a remark, or why it ended early.
type Finding = Result<Option<String>, Stop>;

/// Why a case ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    /// Something does not hold.
    Fail(String),
    /// There is nothing to try, such as the state of a model without one.
    Skip(String),
}

impl From<String> for Stop {
    fn from(found: String) -> Self {
        Self::Fail(found)
    }
}

/// The case ends without a remark.
const HOLDS: Finding = Ok(None);

/// Ends a case where `condition` does not hold.
fn hold(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), Stop> {
    if condition {
        Ok(())
    } else {
        Err(Stop::Fail(otherwise()))
    }
}

fn skip<T>(reason: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(reason.into()))
}

/// What a child process reports of its case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It holds.
    Passed {
        /// A remark, such as a measured time.
        note: Option<String>,
    },
    /// It does not hold.
    Failed {
        /// What was found instead.
        found: String,
    },
    /// There was nothing to try.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A system call was made where none is allowed.
    SystemCall {
        /// Its number.
        number: i64,
    },
    /// What is about to be tried, in case it is the last word: the calls of a fuzz round.
    Trying {
        /// Number of the round.
        round: u64,
        /// The calls.
        calls: Vec<fuzz::Call>,
    },
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        match finding {
            Ok(note) => Self::Passed { note },
            Err(Stop::Fail(found)) => Self::Failed { found },
            Err(Stop::Skip(reason)) => Self::Skipped { reason },
        }
    }
}

/// Every case, in the order of their levels.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.sort_by_key(|case| case.level);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_kebab_case_and_every_level_has_cases() {
        let cases = cases();
        for level in 1..=MAX_LEVEL {
            assert!(cases.iter().any(|case| case.level == level), "{level}");
        }
        let mut names: Vec<&str> = cases.iter().map(|case| case.name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        for case in cases {
            let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(case.name.bytes().all(is_kebab), "{}", case.name);
            assert!(
                !case.about.is_empty() && !case.about.ends_with('.'),
                "{}",
                case.name
            );
        }
    }
}
