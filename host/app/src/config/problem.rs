//! What can be wrong with a configuration: all problems at once, each with its key and place.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::layer::Place;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The dotted key.
    pub(crate) key: String,
    /// Where it was set; `None` where nobody set it.
    pub(crate) place: Option<String>,
    /// The whole sentence, key and place included.
    pub(crate) message: String,
}

impl Problem {
    /// A value that is not allowed. `message` reads on from the key: "is 0; it must be ...".
    #[must_use]
    pub(crate) fn invalid(key: String, place: Option<&Place>, message: impl fmt::Display) -> Self {
        let detail = place.map(|place| place.detail.clone());
        let behind = detail
            .as_ref()
            .map_or(String::new(), |place| format!(" ({place})"));
        Self {
            message: format!("`{key}` {message}{behind}"),
            place: detail,
            key,
        }
    }

    /// A key that does not exist.
    #[must_use]
    pub(crate) fn unknown(key: String, place: &Place, nearest: Option<String>) -> Self {
        let hint = nearest.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Self {
            message: format!("unknown key `{key}` in {place}{hint}"),
            place: Some(place.detail.clone()),
            key,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not TOML.
    #[error("{path} is not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        message: String,
    },
    /// `--set` without a key or a value.
    #[error("`--set {0}` is not an assignment; write --set key=value, such as --set run.seed=7")]
    Assignment(String),
    /// A variable that looks like a key but is not read.
    #[error(
        "the environment variable {name} is not read; levels are parted by two underscores: {meant}"
    )]
    Variable {
        /// The variable.
        name: String,
        /// What was meant.
        meant: String,
    },
    /// A variable whose value is not Unicode.
    #[error("the environment variable {name} is not UTF-8 text; set it anew or remove it")]
    NotText {
        /// The variable.
        name: String,
    },
    /// Keys or values are wrong.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// The layers passed every check and still do not make a configuration.
    #[error("the configuration cannot be put together: {0}")]
    Internal(String),
}

impl ConfigError {
    /// The problems one by one; empty where the error is of another kind.
    #[must_use]
    pub(crate) fn problems(&self) -> &[Problem] {
        match self {
            Self::Problems(problems) => problems,
            _ => &[],
        }
    }
}

fn list(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        many => {
            let lines: Vec<String> = many.iter().map(|one| format!("\n  - {one}")).collect();
            format!(
                "the configuration has {} problems:{}",
                many.len(),
                lines.concat()
            )
        }
    }
}
