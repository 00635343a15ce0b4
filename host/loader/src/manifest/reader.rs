//! Reading the values of a manifest one by one, and collecting what is wrong with them.

use std::collections::BTreeMap;

use fusebox_plugin_api::config::nearest;
use toml::{Table, Value};

use super::limits::{MAX_FILES, MAX_KINDS, MAX_TARGETS, MAX_TEXT_BYTES};
use super::{
    Artifact, Budget, Golden, Isolation, IsolationTable, StateTable, is_digest, is_inside,
};

/// Characters of a wrong value that a message shows.
const SHOWN: usize = 80;

const DIGEST: &str = "64 hexadecimal digits";
const INSIDE: &str = "a path inside the package, of letters, digits and `._+-`";

/// Reads values and collects what is wrong with them.
pub(super) struct Reader {
    /// The table that is read, as it stands before a key: empty, or such as `budget.`.
    place: String,
    pub(super) problems: Vec<String>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            place: String::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Reads a table below the top, so that its keys are named in full.
    fn inside<T>(&mut self, table: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let above = std::mem::replace(&mut self.place, format!("{table}."));
        let value = read(self);
        self.place = above;
        value
    }

    pub(super) fn known(&mut self, table: &Table, known: &[&str]) {
        let place = self.place.clone();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known) {
                Some(near) => format!("did you mean `{place}{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            let key = shortened(key);
            self.problem(format!("unknown key `{place}{key}`; {hint}"));
        }
    }

    pub(super) fn needed<'a, T>(
        &mut self,
        table: &'a Table,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        let place = &self.place;
        let Some(value) = table.get(key) else {
            self.problem(format!("key `{place}{key}` is missing"));
            return None;
        };
        let read = read(value);
        if read.is_none() {
            let shown = shortened(&value.to_string());
            self.problem(format!("`{place}{key}` is {shown}; it must be {what}"));
        }
        read
    }

    pub(super) fn checked(
        &mut self,
        table: &Table,
        key: &str,
        is_valid: impl Fn(&str) -> bool,
        what: &str,
    ) -> String {
        let text = self.needed(
            table,
            key,
            |value| value.as_str().filter(|text| is_valid(text)),
            what,
        );
        text.unwrap_or_default().to_owned()
    }

    pub(super) fn optional_text(&mut self, table: &Table, key: &str) -> Option<String> {
        table.get(key)?;
        let read = |value: &Value| {
            let text = value.as_str().filter(|text| text.len() <= MAX_TEXT_BYTES)?;
            Some(text.to_owned())
        };
        let what = format!("text of at most {MAX_TEXT_BYTES} bytes");
        self.needed(table, key, read, &what)
    }

    fn optional_count(&mut self, table: &Table, key: &str) -> Option<u64> {
        table.get(key)?;
        let read = |value: &Value| {
            value
                .as_integer()
                .and_then(|number| u64::try_from(number).ok())
        };
        self.needed(table, key, read, "a whole number of at least 0")
    }

    pub(super) fn kinds(&mut self, table: &Table) -> Vec<String> {
        let read = |value: &Value| -> Option<Vec<String>> {
            let items = value.as_array()?.iter();
            let kinds: Option<Vec<String>> =
                items.map(|item| item.as_str().map(str::to_owned)).collect();
            kinds.filter(|kinds| (1..=MAX_KINDS).contains(&kinds.len()))
        };
        let what = "a list of factory ids such as [\"fb.model/1\"]";
        self.needed(table, "kind", read, what).unwrap_or_default()
    }

    /// The table under `key`; `None` where there is none.
    fn table<'a>(&mut self, table: &'a Table, key: &str, known: &[&str]) -> Option<&'a Table> {
        table.get(key)?;
        let inner = self.needed(table, key, Value::as_table, "a table")?;
        self.inside(key, |reader| reader.known(inner, known));
        Some(inner)
    }

    pub(super) fn artifacts(&mut self, table: &Table) -> BTreeMap<String, Artifact> {
        let mut artifacts = BTreeMap::new();
        let targets = self.needed(table, "artifact", Value::as_table, "a table of targets");
        if targets.is_some_and(|targets| targets.len() > MAX_TARGETS) {
            self.problem(format!("`artifact` names over {MAX_TARGETS} targets"));
            return artifacts;
        }
        for (target, value) in targets.into_iter().flatten() {
            let Some(inner) = value.as_table() else {
                self.problem(format!("`artifact.{target}` must be a table"));
                continue;
            };
            let artifact = self.inside(&format!("artifact.{target}"), |reader| {
                reader.known(inner, &["path", "sha256"]);
                reader.artifact(inner)
            });
            artifacts.insert(target.clone(), artifact);
        }
        if targets.is_some_and(Table::is_empty) {
            self.problem("`artifact` names no target".to_owned());
        }
        artifacts
    }

    fn artifact(&mut self, table: &Table) -> Artifact {
        let path = self.checked(table, "path", is_inside, INSIDE);
        let sha256 = self.checked(table, "sha256", is_digest, DIGEST);
        Artifact {
            path,
            sha256: sha256.to_ascii_lowercase(),
        }
    }

    pub(super) fn isolation(&mut self, table: &Table) -> IsolationTable {
        let Some(inner) = self.table(table, "isolation", &["minimum"]) else {
            return IsolationTable::default();
        };
        let read = |value: &Value| {
            let name = value.as_str()?;
            Isolation::ALL
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        let what = "one of in-process, worker, wasm, wasm-worker";
        let minimum = self.inside("isolation", |reader| {
            reader.needed(inner, "minimum", read, what)
        });
        IsolationTable {
            minimum: minimum.unwrap_or_default(),
        }
    }

    pub(super) fn budget(&mut self, table: &Table) -> Budget {
        let Some(inner) = self.table(table, "budget", &["predict_p99_us", "memory_mb"]) else {
            return Budget::default();
        };
        self.inside("budget", |reader| Budget {
            predict_p99_us: reader.optional_count(inner, "predict_p99_us"),
            memory_mb: reader.optional_count(inner, "memory_mb"),
        })
    }

    pub(super) fn golden(&mut self, table: &Table) -> Option<Golden> {
        let inner = self.table(table, "golden", &["vectors", "sha256", "tolerance_ulp"])?;
        Some(self.inside("golden", |reader| {
            Golden {
                vectors: reader.checked(inner, "vectors", is_inside, INSIDE),
                sha256: reader
                    .checked(inner, "sha256", is_digest, DIGEST)
                    .to_ascii_lowercase(),
                tolerance_ulp: reader.optional_count(inner, "tolerance_ulp").unwrap_or(0),
            }
        }))
    }

    pub(super) fn state(&mut self, table: &Table) -> Option<StateTable> {
        let inner = self.table(table, "state", &["schema", "reads"])?;
        let number = |value: &Value| u32::try_from(value.as_integer()?).ok();
        let numbers = |value: &Value| -> Option<Vec<u32>> {
            let numbers: Option<Vec<u32>> = value.as_array()?.iter().map(number).collect();
            numbers.filter(|numbers| numbers.len() <= MAX_FILES)
        };
        self.inside("state", |reader| {
            let schema = reader.needed(inner, "schema", number, "a whole number of at least 0")?;
            let reads = match inner.get("reads") {
                None => Vec::new(),
                Some(_) => reader.needed(inner, "reads", numbers, "a list of schema numbers")?,
            };
            Some(StateTable { schema, reads })
        })
    }

    pub(super) fn files(&mut self, table: &Table) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        if !table.contains_key("files") {
            return files;
        }
        let listed = self.needed(table, "files", Value::as_table, "a table of paths");
        if listed.is_some_and(|listed| listed.len() > MAX_FILES) {
            self.problem(format!("`files` names over {MAX_FILES} files"));
            return files;
        }
        for path in listed.into_iter().flat_map(Table::keys) {
            if !is_inside(path) {
                let shown = shortened(path);
                self.problem(format!("`files` names \"{shown}\"; it must be {INSIDE}"));
            }
        }
        for (table, path) in listed
            .iter()
            .flat_map(|one| one.keys().map(move |key| (one, key)))
        {
            let sha256 = self.inside("files", |reader| {
                reader.checked(table, path, is_digest, DIGEST)
            });
            files.insert(path.clone(), sha256.to_ascii_lowercase());
        }
        files
    }
}

/// The beginning of a value, so that a hostile one does not fill the message.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{short}{dots}")
}
