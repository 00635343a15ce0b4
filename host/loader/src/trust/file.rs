//! Reading the operator's trust files: bounded, everything wrong at once, unknown keys refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fusebox_plugin_api::config::nearest;
use toml::{Table, Value};

use super::date::Date;

/// Bytes of a keyring or a list of revocations.
const MAX_BYTES: u64 = 4 << 20;

/// Why a keyring or a list of revocations cannot be used. Nothing is trusted then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Everybody may change it.
    #[error(
        "{path} may be changed by every user of this machine; take that right away: \
         chmod o-w {path}",
        path = .0.display()
    )]
    OthersWrite(PathBuf),
    /// What stands in it is wrong.
    #[error("{path} is wrong: {problems}", path = .path.display(), problems = .problems.join("; "))]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Every problem.
        problems: Vec<String>,
    },
}

pub(super) fn wrong(path: &Path, problems: Vec<String>) -> TrustFileError {
    TrustFileError::Wrong {
        path: path.to_owned(),
        problems,
    }
}

/// The text of a file that only the operator may change; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, TrustFileError> {
    let failed = |source: io::Error| TrustFileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    if facts.len() > MAX_BYTES {
        let source = io::Error::other(format!("it has {} bytes", facts.len()));
        return Err(failed(source));
    }
    const OTHERS_WRITE: u32 = 0o002;
    let mode = std::os::unix::fs::PermissionsExt::mode(&facts.permissions());
    if mode & OTHERS_WRITE != 0 {
        return Err(TrustFileError::OthersWrite(path.to_owned()));
    }
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Some(text))
}

pub(super) fn table(text: &str) -> Result<Table, Vec<String>> {
    text.parse()
        .map_err(|error: toml::de::Error| vec![format!("it is not TOML: {}", error.message())])
}

/// Reads the values of one table and collects what is wrong with them.
pub(super) struct Reader<'a> {
    table: &'a Table,
    pub(super) problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, known: &[&str]) -> Self {
        let unknown = table.keys().filter(|key| !known.contains(&key.as_str()));
        let problems = unknown.map(|key| {
            let hint = match nearest(key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            format!("unknown key `{key}`; {hint}")
        });
        Self {
            table,
            problems: problems.collect(),
        }
    }

    pub(super) fn layout(&mut self, key: &str, known: i64) {
        match self.table.get(key).map(Value::as_integer) {
            Some(Some(found)) if found == known => {}
            Some(Some(found)) => self
                .problems
                .push(format!("`{key}` is {found}; this version reads {known}")),
            Some(None) => self.problems.push(format!("`{key}` must be {known}")),
            None => self.problems.push(format!("`{key} = {known}` is missing")),
        }
    }

    /// The tables of `[[key]]`; none where there are none.
    pub(super) fn entries(&mut self, key: &str, most: usize) -> Vec<&'a Table> {
        let Some(value) = self.table.get(key) else {
            return Vec::new();
        };
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let tables: Vec<&Table> = items.iter().filter_map(Value::as_table).collect();
        if value.as_array().is_none() || tables.len() != items.len() {
            self.problems
                .push(format!("`{key}` must be a list of tables, [[{key}]]"));
        }
        if tables.len() > most {
            self.problems
                .push(format!("there are over {most} of [[{key}]]"));
            return Vec::new();
        }
        tables
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.table.get(key)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.problems.push(format!("`{key}` must be a text"));
        }
        text
    }

    pub(super) fn needed_text(&mut self, key: &str) -> String {
        if !self.table.contains_key(key) {
            self.problems.push(format!("`{key}` is missing"));
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.table.get(key) else {
            return Vec::new();
        };
        let texts: Option<Vec<String>> = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect()
        });
        texts.unwrap_or_else(|| {
            self.problems
                .push(format!("`{key}` must be a list of texts"));
            Vec::new()
        })
    }

    pub(super) fn date(&mut self, key: &str) -> Option<Date> {
        let text = match self.table.get(key)? {
            Value::String(text) => text.clone(),
            Value::Datetime(day) => day.to_string(),
            _ => String::new(),
        };
        let date = text.parse().ok();
        if date.is_none() {
            self.problems
                .push(format!("`{key}` must be a day such as 2027-12-31"));
        }
        date
    }
}
