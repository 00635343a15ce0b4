//! Becomes the program of its arguments on a kernel that offers neither Landlock nor seccomp, as
//! far as that program can tell: a filter that is put on first answers those system calls with
//! ENOSYS.
#![expect(
    clippy::print_stderr,
    reason = "the test that runs it shows its standard error"
)]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("name a program");
        return ExitCode::FAILURE;
    };
    if let Err(error) = take_walls_away() {
        eprintln!("the filter cannot be installed: {error}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("the program cannot be started: {error}");
    ExitCode::FAILURE
}

fn take_walls_away() -> Result<(), Failure> {
    const PR_SET_SECCOMP: u64 = libc::PR_SET_SECCOMP as u64;
    let condition =
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, PR_SET_SECCOMP)?;
    let calls: BTreeMap<i64, Vec<SeccompRule>> = [
        (libc::SYS_prctl, vec![SeccompRule::new(vec![condition])?]),
        (libc::SYS_seccomp, Vec::new()),
        (libc::SYS_landlock_create_ruleset, Vec::new()),
        (libc::SYS_landlock_add_rule, Vec::new()),
        (libc::SYS_landlock_restrict_self, Vec::new()),
    ]
    .into();
    let filter = SeccompFilter::new(
        calls,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}
