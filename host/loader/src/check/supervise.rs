//! The parent of the cases: starts a process for each, waits no longer than allowed, and turns
//! however it ended into a report. Runs no plugin code itself.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};

use super::fuzz::{self, Call};
use super::trap::system_call_name;
use super::{Case, CaseReport, Status, Verdict};
use crate::clock::Clock;

/// Lines of a plugin's output that a report shows.
const OUTPUT_LINES: usize = 12;
const LINE_BYTES: u64 = 2000;
/// Longest line of verdicts.
const VERDICT_BYTES: u64 = 1 << 20;
/// How long what a dead process wrote may take to be read.
const DRAIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes the command of a case: a program that calls [`run_case`](super::child::run_case), with
/// these calls instead of random ones where there are some.
pub type Runner<'a> = dyn Fn(&Case, Option<&str>) -> Command + 'a;

/// How cases are run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long one case may take.
    pub timeout: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The command line that repeats a finding, up to the name of the case.
    pub repeat: String,
}

/// How a process ended.
#[derive(Debug)]
struct Ended {
    status: Option<ExitStatus>,
    verdict: Option<Verdict>,
    trying: Option<(u64, Vec<Call>)>,
    output: Vec<String>,
}

/// Runs a case in a process of its own.
#[must_use]
pub fn supervise(case: &Case, plan: &Plan, runner: &Runner<'_>) -> CaseReport {
    let started = plan.clock.now_ns();
    let ended = run(case, plan, runner, None);
    let (status, found) = match &ended {
        Ok(ended) => judge(ended, plan.timeout),
        Err(error) => (
            Status::Failed,
            Some(format!("cannot start the case: {error}")),
        ),
    };
    let mut report = CaseReport {
        name: case.name,
        level: case.level,
        about: case.about,
        status,
        found,
        output: Vec::new(),
        seconds: 0.0,
        calls: None,
        reproduce: None,
    };
    if status == Status::Failed {
        report.reproduce = Some(format!("{} --case {}", plan.repeat, case.name));
        if let Ok(ended) = ended {
            report.output = ended.output;
            if let Some((round, calls)) = ended.trying {
                explain_round(&mut report, (case, plan, runner), round, calls);
            }
        }
    }
    report.seconds = plan.clock.now_ns().saturating_sub(started) as f64 / 1e9;
    report
}

/// Finds few calls that fail and says how to make them again.
fn explain_round(
    report: &mut CaseReport,
    (case, plan, runner): (&Case, &Plan, &Runner<'_>),
    round: u64,
    calls: Vec<Call>,
) {
    let found_with = |calls: &[Call]| {
        let text = serde_json::to_string(calls).ok()?;
        let ended = run(case, plan, runner, Some(&text)).ok()?;
        let (status, found) = judge(&ended, plan.timeout);
        found.filter(|_| status == Status::Failed)
    };
    let fewest = fuzz::fewest(calls, |calls| found_with(calls).is_some());
    let text = serde_json::to_string(&fewest).unwrap_or_default();
    // The words are those of the calls that are shown, where they fail once more.
    let found = found_with(&fewest)
        .or_else(|| report.found.take())
        .unwrap_or_default();
    report.found = Some(format!("round {round}: {found}"));
    report.calls = Some(fewest.iter().map(ToString::to_string).collect());
    report.reproduce = Some(format!(
        "{} --case {} --calls '{text}'",
        plan.repeat, case.name
    ));
}

fn run(case: &Case, plan: &Plan, runner: &Runner<'_>, calls: Option<&str>) -> io::Result<Ended> {
    let (verdicts, to_verdicts) = pipe_with(PipeFlags::CLOEXEC)?;
    let (output, to_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut command = runner(case, calls);
    command
        .stdin(Stdio::from(to_verdicts))
        .stdout(Stdio::from(to_output.try_clone()?))
        .stderr(Stdio::from(to_output))
        .process_group(0);
    let child = command.spawn()?;
    // The command holds the ends that the child writes to; they must close with the child.
    drop(command);
    let verdicts = in_background(move || read_verdicts(File::from(verdicts)));
    let output = in_background(move || read_output(File::from(output)));
    let status = wait(child, plan);
    let (verdict, trying) = verdicts.recv_timeout(DRAIN).unwrap_or_default();
    let output = output.recv_timeout(DRAIN).unwrap_or_default();
    Ok(Ended {
        status,
        verdict,
        trying,
        output,
    })
}

fn in_background<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // A parent that waits no more has given up on it.
        let _ = sender.send(read());
    });
    receiver
}

/// Waits for the end, and kills the process with everything it started. `None` where its time ran
/// out.
fn wait(mut child: Child, plan: &Plan) -> Option<ExitStatus> {
    let timeout = u64::try_from(plan.timeout.as_nanos()).unwrap_or(u64::MAX);
    let deadline = plan.clock.now_ns().saturating_add(timeout);
    let mut status = None;
    while status.is_none() && plan.clock.now_ns() < deadline {
        status = child.try_wait().ok().flatten();
        if status.is_none() {
            thread::sleep(LOOK_EVERY);
        }
    }
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // A group that is gone already needs no killing.
        let _ = kill_process_group(group, Signal::KILL);
    }
    if status.is_none() {
        let _ = child.wait();
    }
    status
}

type Said = (Option<Verdict>, Option<(u64, Vec<Call>)>);

/// The last verdict, and the last calls that were announced. The first line that is no verdict
/// ends the reading: somebody else wrote it.
fn read_verdicts(pipe: File) -> Said {
    let (mut said, mut trying) = (None, None);
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let taken = reader
            .by_ref()
            .take(VERDICT_BYTES)
            .read_until(b'\n', &mut line);
        if !taken.is_ok_and(|count| count > 0) {
            return (said, trying);
        }
        match serde_json::from_slice(&line) {
            Ok(Verdict::Trying { round, calls }) => trying = Some((round, calls)),
            Ok(verdict) => said = Some(verdict),
            Err(_) => {}
        }
    }
}

/// The last lines.
fn read_output(pipe: File) -> Vec<String> {
    let mut lines: VecDeque<String> = VecDeque::new();
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let taken = reader
            .by_ref()
            .take(LINE_BYTES)
            .read_until(b'\n', &mut line);
        if !taken.is_ok_and(|count| count > 0) {
            return lines.into();
        }
        if lines.len() == OUTPUT_LINES {
            lines.pop_front();
        }
        let text = String::from_utf8_lossy(&line);
        lines.push_back(text.trim_end().replace(char::is_control, " "));
    }
}

fn judge(ended: &Ended, timeout: Duration) -> (Status, Option<String>) {
    let failed = |found: String| (Status::Failed, Some(found));
    let Some(status) = ended.status else {
        let seconds = timeout.as_secs_f64();
        return failed(format!(
            "was not done after {seconds} s and was killed: it hangs, waits for something, or \
             needs more time (--timeout-s)"
        ));
    };
    match &ended.verdict {
        Some(Verdict::Failed { found }) => failed(found.clone()),
        Some(Verdict::SystemCall { number }) => failed(format!(
            "made the system call {} in predict, which claims to be real-time (a lock, an \
             allocation, a log or a clock?)",
            system_call_name(*number)
        )),
        Some(Verdict::Skipped { reason }) => (Status::Skipped, Some(reason.clone())),
        Some(Verdict::Passed { note }) if status.success() => (Status::Passed, note.clone()),
        Some(Verdict::Passed { .. }) => failed(format!(
            "after the case was over, while the process ended, it {}",
            death(status)
        )),
        Some(Verdict::Trying { .. }) | None => failed(death(status)),
    }
}

/// How a process died, in words.
fn death(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        let code = status.code().unwrap_or_default();
        return format!(
            "ended the whole process with exit code {code}; a plugin must never call exit()"
        );
    };
    let (name, meaning) = match signal {
        4 => ("SIGILL", "an illegal instruction"),
        5 => ("SIGTRAP", "a breakpoint"),
        6 => (
            "SIGABRT",
            "abort: a failed assertion, or an exception or panic that got out",
        ),
        7 => ("SIGBUS", "a bus error"),
        8 => ("SIGFPE", "an integer division by zero"),
        9 => ("SIGKILL", "killed, perhaps for want of memory"),
        11 => (
            "SIGSEGV",
            "a segmentation fault: memory that is not its own",
        ),
        13 => ("SIGPIPE", "a write to a closed pipe"),
        15 => ("SIGTERM", "it ended itself"),
        31 => ("SIGSYS", "a forbidden system call"),
        _ => ("a signal", "see signal(7)"),
    };
    format!("died of {name} (signal {signal}): {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn plan(timeout_ms: u64) -> Plan {
        Plan {
            timeout: Duration::from_millis(timeout_ms),
            clock: Arc::new(SystemClock),
            repeat: "fusebox plugin check x.so".to_owned(),
        }
    }

    fn shell(script: &'static str) -> impl Fn(&Case, Option<&str>) -> Command {
        move |_, _| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }
    }

    fn report(script: &'static str, timeout_ms: u64) -> CaseReport {
        let case = super::super::cases()[0];
        supervise(&case, &plan(timeout_ms), &shell(script))
    }

    #[test]
    fn every_way_to_die_has_words() {
        for (script, words) in [
            ("kill -SEGV $$", "died of SIGSEGV (signal 11)"),
            ("kill -ABRT $$", "died of SIGABRT"),
            ("exit 3", "exit code 3; a plugin must never call exit()"),
            ("exit 0", "exit code 0"),
        ] {
            let report = report(script, 20_000);
            assert_eq!(report.status, Status::Failed);
            assert!(
                report
                    .found
                    .as_ref()
                    .is_some_and(|found| found.contains(words)),
                "{report:?}"
            );
        }
        let report = report("echo last words >&2; sleep 60 & wait", 500);
        assert!(
            report
                .found
                .as_ref()
                .is_some_and(|found| found.contains("after 0.5 s"))
        );
        assert_eq!(report.output, ["last words"]);
        assert!(report.seconds < 20.0, "what it started is killed as well");
    }

    #[test]
    fn a_verdict_counts_only_with_a_clean_end() {
        let said = r#"echo '{"verdict":"passed","note":null}' >&0"#;
        assert_eq!(report(said, 20_000).status, Status::Passed);
        let crash = r#"echo '{"verdict":"passed","note":null}' >&0; kill -SEGV $$"#;
        let report = report(crash, 20_000);
        assert!(
            report
                .found
                .is_some_and(|found| found.contains("after the case was over"))
        );
    }
}
