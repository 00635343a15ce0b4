//! The cases, one file per level; each file ends in the list of its cases.

mod fuzz;
mod host;
mod life;
mod package;
mod predict;
mod realtime;
mod reload;
mod scan;
mod state;
mod threads;

use fusebox_plugin_api::testing;

use super::{Bench, Case, Finding, Run, Target};

pub(super) fn all() -> Vec<Case> {
    let portable = testing::cases().iter().map(|case| Case {
        name: case.name,
        level: case.level,
        about: case.about,
        run: Run::Portable(case.run),
    });
    [
        package::CASES,
        scan::CASES,
        life::CASES,
        predict::CASES,
        state::CASES,
        threads::CASES,
        realtime::CASES,
        reload::CASES,
        fuzz::CASES,
        host::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
    .chain(portable)
    .collect()
}

const fn files(name: &'static str, about: &'static str, run: fn(&Target) -> Finding) -> Case {
    Case {
        name,
        level: 1,
        about,
        run: Run::Files(run),
    }
}

const fn plugin(
    level: u8,
    name: &'static str,
    about: &'static str,
    run: fn(&Bench<'_>) -> Finding,
) -> Case {
    Case {
        name,
        level,
        about,
        run: Run::Plugin(run),
    }
}
