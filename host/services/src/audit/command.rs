//! A program in any language as code to audit: candles or rows on its standard input, columns on
//! its standard output.
//!
//! The program is the user's own and runs with the user's rights, as a command typed in a shell
//! does; it is not a plugin and is not jailed.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fusebox_engine::features::audit::{FeatureCode, FeatureTable, FittedStep, StepRows};
use fusebox_engine::types::Market;
use fusebox_loader::{Clock, SystemClock};

use super::table::{candles, columns, step_input, step_output};

/// Largest output that is read.
const MAX_OUTPUT_BYTES: u64 = 1 << 30;
/// What is shown of the standard error.
const SHOWN_ERROR_BYTES: usize = 2000;
/// Time between two looks at whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How the program is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandOptions {
    /// Longest time for one history.
    pub timeout: Duration,
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
        }
    }
}

/// A shell command that is run anew for each history.
#[derive(Debug, Clone)]
pub struct CommandCode {
    command: String,
    options: CommandOptions,
}

impl CommandCode {
    /// `command` is given to `sh -c`.
    #[must_use]
    pub fn new(command: &str, options: CommandOptions) -> Self {
        Self {
            command: command.to_owned(),
            options,
        }
    }

    fn run(&self, input: String) -> Result<Vec<u8>, String> {
        let mut child = Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`{}` cannot be started: {error}", self.command))?;
        // All three pipes move at once, so that neither side waits for the other.
        let stdin = child.stdin.take();
        let writer = thread::spawn(move || match stdin {
            // A program that does not read to the end is judged by what it writes.
            Some(mut stdin) => stdin.write_all(input.as_bytes()).is_ok(),
            None => false,
        });
        let output = read(child.stdout.take());
        let errors = read(child.stderr.take());
        let status = self.wait(&mut child)?;
        let _ = writer.join();
        let output = joined(output)?;
        if !status.success() {
            let words = String::from_utf8_lossy(&joined(errors)?).into_owned();
            let end = words.trim_end();
            let start = end.len().saturating_sub(SHOWN_ERROR_BYTES);
            let start = (start..end.len()).find(|at| end.is_char_boundary(*at));
            return Err(format!(
                "it ended with {status}: {}",
                &end[start.unwrap_or(0)..]
            ));
        }
        if output.len() as u64 >= MAX_OUTPUT_BYTES {
            return Err(format!("it wrote more than {MAX_OUTPUT_BYTES} bytes"));
        }
        Ok(output)
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, String> {
        let limit = u64::try_from(self.options.timeout.as_nanos()).unwrap_or(u64::MAX);
        let due = SystemClock.now_ns().saturating_add(limit);
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if SystemClock.now_ns() < due => thread::sleep(LOOK_EVERY),
                Ok(None) => {
                    // Whether it could be ended or not, the verdict is the same.
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(format!(
                        "it took longer than {} s for one history",
                        self.options.timeout.as_secs_f64()
                    ));
                }
                Err(error) => return Err(format!("it cannot be waited for: {error}")),
            }
        }
    }
}

type Reader = JoinHandle<io::Result<Vec<u8>>>;

fn read(pipe: Option<impl Read + Send + 'static>) -> Reader {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            pipe.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn joined(reader: Reader) -> Result<Vec<u8>, String> {
    match reader.join() {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(format!("its output cannot be read: {error}")),
        Err(_) => Err("its output cannot be read".to_owned()),
    }
}

impl FeatureCode for CommandCode {
    fn compute(&mut self, market: &Market) -> Result<FeatureTable, String> {
        let output = self.run(candles(market))?;
        columns(&output, market)
    }
}

/// A shell command that is fitted on some rows and applied to all: a scaler, an encoder, a filter
/// of columns. It is run anew for each set of rows.
#[derive(Debug, Clone)]
pub struct CommandStep(CommandCode);

impl CommandStep {
    /// `command` is given to `sh -c`.
    #[must_use]
    pub fn new(command: &str, options: CommandOptions) -> Self {
        Self(CommandCode::new(command, options))
    }
}

impl FittedStep for CommandStep {
    fn fit_and_apply(&mut self, rows: &StepRows, is_training: &[bool]) -> Result<StepRows, String> {
        let output = self.0.run(step_input(rows, is_training))?;
        step_output(&output, rows.rows())
    }
}
