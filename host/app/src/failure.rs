//! How a command fails: what is said, and which exit code says it.
//!
//! 0 is success, 1 a command that failed, 2 bad usage or configuration. A reader that stops
//! reading the output is no failure.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use crate::config::{ConfigError, Problem};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments do not fit together.
    Usage(String),
    /// The configuration is wrong.
    Config(ConfigError),
    /// The configuration is well formed, and what it asks for cannot be done.
    Refused(anyhow::Error),
    /// The command tried and failed.
    Failed(anyhow::Error),
    /// The command did its work and its output, already written, tells of failure.
    Reported,
    /// The standard output cannot be written.
    Output(io::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Config(ConfigError::Problems(problems))
    }
}

impl Failure {
    /// Writes the error to the standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let code = match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Reported => return ExitCode::FAILURE,
            Self::Usage(_) | Self::Config(_) | Self::Refused(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Output(_) => ExitCode::FAILURE,
        };
        let text = if json { self.document() } else { self.text() };
        // With no standard error left there is nobody to tell; the exit code still speaks.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        code
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message());
        for cause in self.causes() {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        text
    }

    fn document(&self) -> String {
        let problems = match self {
            Self::Config(error) => error.problems(),
            _ => &[],
        };
        let document = json!({"error": {
            "kind": self.kind(),
            "message": self.message(),
            "causes": self.causes(),
            "problems": problems,
        }});
        format!("{document}\n")
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Config(_) | Self::Refused(_) => "config",
            Self::Failed(_) | Self::Reported => "failed",
            Self::Output(_) => "output",
        }
    }

    /// What went wrong, in one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Usage(message) => message.clone(),
            Self::Config(error) => error.to_string(),
            Self::Failed(error) | Self::Refused(error) => error.to_string(),
            Self::Reported => "see the output".to_owned(),
            Self::Output(error) => format!("cannot write to the standard output: {error}"),
        }
    }

    /// What lies behind the message; a cause that the message ends with already is left out.
    fn causes(&self) -> Vec<String> {
        let (Self::Failed(error) | Self::Refused(error)) = self else {
            return Vec::new();
        };
        let mut said = error.to_string();
        let mut causes = Vec::new();
        for cause in error.chain().skip(1) {
            let text = cause.to_string();
            if !said.contains(&text) {
                causes.push(text.clone());
            }
            said = text;
        }
        causes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = io::Error::other("disk full");
        let error = anyhow::Error::from(inner).context("cannot write out/report.html");
        let text = Failure::Failed(error).text();
        assert_eq!(
            text,
            "error: cannot write out/report.html\n  caused by: disk full\n"
        );
        let inner = io::Error::other("disk full");
        let error = anyhow::Error::from(inner).context("cannot write: disk full");
        let text = Failure::Failed(error).text();
        assert_eq!(text, "error: cannot write: disk full\n");
    }

    #[test]
    fn the_document_lists_problems() {
        let problem = Problem::invalid("run.seed".to_owned(), None, "is wrong");
        let text = Failure::from(vec![problem]).document();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["error"]["kind"], "config");
        assert_eq!(document["error"]["problems"][0]["key"], "run.seed");
    }
}
