//! `plugin.toml`: what a package says of itself, readable without running any of it.
//!
//! ```toml
//! manifest = 1
//! id = "com.example.ema"
//! version = "1.4.2"
//! abi = "1.0"
//! kind = ["fb.model/1"]
//! description = "Exponential moving average"   # optional
//! license = "MIT"                              # optional
//!
//! [artifact.linux-x86_64]
//! path = "linux-x86_64/libema.so"
//! sha256 = "…64 hexadecimal digits…"
//!
//! [isolation]                                  # optional
//! minimum = "in-process"                       # in-process | worker | wasm | wasm-worker
//!
//! [budget]                                     # optional
//! predict_p99_us = 20
//! memory_mb = 64
//!
//! [golden]                                     # optional
//! vectors = "golden.arrow"
//! tolerance_ulp = 0
//! ```
//!
//! Reading reports every problem at once; unknown keys are problems, with the nearest known key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use fusebox_plugin_api::config::nearest;
use serde::Serialize;
use toml::{Table, Value};

/// Number of the manifest layout.
pub const MANIFEST_VERSION: i64 = 1;

/// Name of the file; its arrival commits the package.
pub const MANIFEST_FILE: &str = "plugin.toml";

/// How far a plugin is kept from the host, weakest first. The operator can only raise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Inside the host process.
    #[default]
    InProcess,
    /// In a child process.
    Worker,
    /// In a WebAssembly sandbox.
    Wasm,
    /// In a WebAssembly sandbox in a child process.
    WasmWorker,
}

impl Isolation {
    const ALL: [(&'static str, Self); 4] = [
        ("in-process", Self::InProcess),
        ("worker", Self::Worker),
        ("wasm", Self::Wasm),
        ("wasm-worker", Self::WasmWorker),
    ];
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(_, value)| value == self)
            .map(|(name, _)| *name);
        f.write_str(name.unwrap_or("unknown"))
    }
}

/// A library of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Path inside the package, with `/`.
    pub path: String,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// What the plugin promises to stay inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Budget {
    /// 99th percentile of one prediction, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predict_p99_us: Option<u64>,
    /// Memory, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
}

/// Known answers, to be checked on the machine that will use the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Golden {
    /// Path inside the package.
    pub vectors: String,
    /// Largest allowed difference, in units in the last place.
    pub tolerance_ulp: u64,
}

/// A valid manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Layout number, 1.
    pub manifest: i64,
    /// Reverse DNS id.
    pub id: String,
    /// Three numbers.
    pub version: String,
    /// Contract version, `major.minor`.
    pub abi: String,
    /// Factory ids it offers.
    pub kind: Vec<String>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Libraries by target, such as `linux-x86_64`.
    pub artifact: BTreeMap<String, Artifact>,
    /// Weakest allowed isolation.
    pub isolation: IsolationTable,
    /// Promises.
    pub budget: Budget,
    /// Known answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub golden: Option<Golden>,
}

/// The table `[isolation]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IsolationTable {
    /// Weakest allowed isolation.
    pub minimum: Isolation,
}

/// Why a manifest is not usable: every problem, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct ManifestError {
    /// The problems, in the order of the file.
    pub problems: Vec<String>,
}

impl ManifestError {
    pub(crate) fn one(problem: impl Into<String>) -> Self {
        Self {
            problems: vec![problem.into()],
        }
    }
}

/// The target of this program, as manifests name it.
#[must_use]
pub fn host_target() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The three numbers of a version; `None` where it is anything else.
#[must_use]
pub fn version_numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| {
        let is_plain = part.bytes().all(|byte| byte.is_ascii_digit());
        let is_short = part.len() == 1 || !part.starts_with('0');
        (is_plain && is_short)
            .then(|| part.parse::<u64>().ok())
            .flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Whether an id is reverse DNS: lower-case words of letters, digits, `-` and `_`, joined by dots.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    id.len() <= 128 && id.contains('.') && id.split('.').all(is_word)
}

impl Manifest {
    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] with every problem.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            ManifestError::one(format!("{MANIFEST_FILE} is not TOML: {}", error.message()))
        })?;
        let mut reader = Reader {
            place: String::new(),
            problems: Vec::new(),
        };
        const KEYS: [&str; 11] = [
            "manifest",
            "id",
            "version",
            "abi",
            "kind",
            "description",
            "license",
            "artifact",
            "isolation",
            "budget",
            "golden",
        ];
        reader.known(&table, &KEYS);
        let layout = reader.needed(&table, "manifest", Value::as_integer, "a whole number");
        if let Some(layout) = layout.filter(|layout| *layout != MANIFEST_VERSION) {
            reader.problem(format!(
                "`manifest` is {layout}; this version reads {MANIFEST_VERSION}"
            ));
        }
        let manifest = Self {
            manifest: MANIFEST_VERSION,
            id: reader.checked(
                &table,
                "id",
                is_valid_id,
                "reverse DNS such as com.example.ema",
            ),
            version: reader.checked(
                &table,
                "version",
                |text| version_numbers(text).is_some(),
                "three numbers such as 1.4.2",
            ),
            abi: reader.checked(&table, "abi", is_abi, "two numbers such as 1.0"),
            kind: reader.kinds(&table),
            description: reader.optional_text(&table, "description"),
            license: reader.optional_text(&table, "license"),
            artifact: reader.artifacts(&table),
            isolation: reader.isolation(&table),
            budget: reader.budget(&table),
            golden: reader.golden(&table),
        };
        if reader.problems.is_empty() {
            return Ok(manifest);
        }
        Err(ManifestError {
            problems: reader.problems,
        })
    }

    /// The text of the manifest.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Strings, integers and tables of them always have a TOML form.
        toml::to_string(self).unwrap_or_default()
    }
}

fn is_abi(text: &str) -> bool {
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    text.split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Whether a path stays inside the package.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Reads values and collects what is wrong with them.
struct Reader {
    /// The table that is read, as it stands before a key: empty, or such as `budget.`.
    place: String,
    problems: Vec<String>,
}

impl Reader {
    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Reads a table below the top, so that its keys are named in full.
    fn inside<T>(&mut self, table: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let above = std::mem::replace(&mut self.place, format!("{table}."));
        let value = read(self);
        self.place = above;
        value
    }

    fn known(&mut self, table: &Table, known: &[&str]) {
        let place = self.place.clone();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known) {
                Some(near) => format!("did you mean `{place}{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            self.problem(format!("unknown key `{place}{key}`; {hint}"));
        }
    }

    fn needed<'a, T>(
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
            self.problem(format!("`{place}{key}` is {value}; it must be {what}"));
        }
        read
    }

    fn checked(
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

    fn optional_text(&mut self, table: &Table, key: &str) -> Option<String> {
        table.get(key)?;
        self.needed(table, key, Value::as_str, "text")
            .map(str::to_owned)
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

    fn kinds(&mut self, table: &Table) -> Vec<String> {
        let read = |value: &Value| -> Option<Vec<String>> {
            let items = value.as_array()?.iter();
            let kinds: Option<Vec<String>> =
                items.map(|item| item.as_str().map(str::to_owned)).collect();
            kinds.filter(|kinds| !kinds.is_empty())
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

    fn artifacts(&mut self, table: &Table) -> BTreeMap<String, Artifact> {
        let mut artifacts = BTreeMap::new();
        let targets = self.needed(table, "artifact", Value::as_table, "a table of targets");
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
        let is_digest =
            |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let path = self.checked(table, "path", is_inside, "a path inside the package");
        let sha256 = self.checked(table, "sha256", is_digest, "64 hexadecimal digits");
        Artifact {
            path,
            sha256: sha256.to_ascii_lowercase(),
        }
    }

    fn isolation(&mut self, table: &Table) -> IsolationTable {
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

    fn budget(&mut self, table: &Table) -> Budget {
        let Some(inner) = self.table(table, "budget", &["predict_p99_us", "memory_mb"]) else {
            return Budget::default();
        };
        self.inside("budget", |reader| Budget {
            predict_p99_us: reader.optional_count(inner, "predict_p99_us"),
            memory_mb: reader.optional_count(inner, "memory_mb"),
        })
    }

    fn golden(&mut self, table: &Table) -> Option<Golden> {
        let inner = self.table(table, "golden", &["vectors", "tolerance_ulp"])?;
        Some(self.inside("golden", |reader| Golden {
            vectors: reader.checked(inner, "vectors", is_inside, "a path inside the package"),
            tolerance_ulp: reader.optional_count(inner, "tolerance_ulp").unwrap_or(0),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let digest = "ab".repeat(32);
        format!(
            "manifest = 1\nid = \"com.example.ema\"\nversion = \"1.4.2\"\nabi = \"1.0\"\n\
             kind = [\"fb.model/1\"]\n[artifact.linux-x86_64]\npath = \"linux-x86_64/libema.so\"\n\
             sha256 = \"{digest}\"\n[isolation]\nminimum = \"worker\"\n[budget]\nmemory_mb = 64\n"
        )
    }

    #[test]
    fn a_manifest_survives_being_written() {
        let manifest = Manifest::parse(&text()).unwrap();
        assert_eq!(manifest.isolation.minimum, Isolation::Worker);
        assert_eq!(manifest.budget.memory_mb, Some(64));
        assert_eq!(
            manifest.artifact["linux-x86_64"].path,
            "linux-x86_64/libema.so"
        );
        assert_eq!(Manifest::parse(&manifest.to_toml()).unwrap(), manifest);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = "manifest = 2\nid = \"Ema\"\nversoin = \"1.0.0\"\nabi = 1.0\nkind = []\n\
                    [artifact.linux-x86_64]\npath = \"../libema.so\"\nsha256 = \"abc\"\n\
                    [isolation]\nminimum = \"none\"\n[budget]\nmemory_mb = -1\nmemory_bm = 1\n\
                    [golden]\nvectors = \"/etc/passwd\"\n";
        let error = Manifest::parse(text).unwrap_err();
        for part in [
            "unknown key `versoin`; did you mean `version`?",
            "`manifest` is 2",
            "reverse DNS",
            "key `version` is missing",
            "two numbers",
            "a list of factory ids",
            "`artifact.linux-x86_64.path` is \"../libema.so\"; it must be a path inside",
            "`artifact.linux-x86_64.sha256` is \"abc\"; it must be 64 hexadecimal digits",
            "`isolation.minimum` is \"none\"; it must be one of in-process",
            "`budget.memory_mb` is -1; it must be a whole number of at least 0",
            "unknown key `budget.memory_bm`; did you mean `budget.memory_mb`?",
            "`golden.vectors` is \"/etc/passwd\"; it must be a path inside the package",
        ] {
            assert!(error.to_string().contains(part), "{part} not in: {error}");
        }
    }

    #[test]
    fn versions_are_three_plain_numbers() {
        assert_eq!(version_numbers("1.20.3"), Some([1, 20, 3]));
        for wrong in ["1.2", "1.2.3.4", "1.2.x", "1.02.3", "+1.2.3", ""] {
            assert_eq!(version_numbers(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ids_cannot_leave_their_directory() {
        assert!(is_valid_id("com.example.ema-2"));
        for wrong in [
            "ema",
            "com..ema",
            "com/ema.x",
            "../x.y",
            "Com.example",
            "a.b\0",
        ] {
            assert!(!is_valid_id(wrong), "{wrong}");
        }
    }
}
