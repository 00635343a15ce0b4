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
//! sha256 = "…"
//! tolerance_ulp = 0
//!
//! [state]                                      # optional
//! schema = 3                                   # what snapshot() writes
//! reads = [1, 2, 3]                            # what restore() accepts; `schema` where left out
//!
//! [files]                                      # every other file of the package
//! "models/weights.bin" = "…"
//! # end
//! ```
//!
//! Every file of a package stands in it with its digest. The last line says that the file is whole:
//! a manifest that was cut off can still be TOML. Reading reports every problem at once; unknown
//! keys are problems, with the nearest known key. What is read was written by a stranger, so its
//! size, its depth and the number of its keys are bounded before it is parsed.

mod limits;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use toml::{Table, Value};

pub use limits::MAX_MANIFEST_BYTES;
use reader::Reader;

/// Number of the manifest layout.
pub const MANIFEST_VERSION: i64 = 1;

/// Name of the file; its arrival commits the package.
pub const MANIFEST_FILE: &str = "plugin.toml";

/// Name of the signature over the bytes of [`MANIFEST_FILE`].
pub const SIGNATURE_FILE: &str = "plugin.toml.minisig";

/// The last line of a whole manifest.
pub const END_MARK: &str = "# end";

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

impl FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text);
        known.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!(
                "`{text}` is no isolation; it must be one of {}",
                names.join(", ")
            )
        })
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
    /// SHA-256 of that file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Largest allowed difference, in units in the last place.
    pub tolerance_ulp: u64,
}

/// Which states the plugin writes and understands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StateTable {
    /// Schema number of what `snapshot` writes.
    pub schema: u32,
    /// Schema numbers that `restore` accepts; empty for `schema` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<u32>,
}

/// A valid manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
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
    /// States.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateTable>,
    /// Every other file of the package: path and SHA-256.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
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

    /// At most as many problems as a person reads.
    pub(crate) fn limited(mut problems: Vec<String>) -> Self {
        const MOST: usize = 32;
        let more = problems.len().saturating_sub(MOST);
        problems.truncate(MOST);
        if more > 0 {
            problems.push(format!("and {more} more problems"));
        }
        Self { problems }
    }
}

/// The target of this program, as manifests name it.
#[must_use]
pub fn host_target() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// What an id must be.
const ID_FORM: &str = "reverse DNS such as com.example.ema";

/// What a version must be.
const VERSION_FORM: &str = "three numbers such as 1.4.2";

/// What no host takes in an id and a version, in the words of a refused manifest.
#[must_use]
pub fn name_problems(id: &str, version: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_valid_id(id) {
        problems.push(format!("`id` is {id:?}; it must be {ID_FORM}"));
    }
    if version_numbers(version).is_none() {
        problems.push(format!(
            "`version` is {version:?}; it must be {VERSION_FORM}"
        ));
    }
    problems
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
    /// Reads the bytes of a manifest as they lie in a package: they must end with [`END_MARK`].
    ///
    /// # Errors
    /// [`ManifestError`] with every problem.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(limits::too_long(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            ManifestError::one(format!("{MANIFEST_FILE} is not UTF-8: {error}"))
        })?;
        let last = text.strip_suffix('\n').and_then(|text| text.lines().last());
        if last.map(str::trim_end) != Some(END_MARK) {
            return Err(ManifestError::one(format!(
                "{MANIFEST_FILE} does not end with the line `{END_MARK}`: it was cut off, or \
                 written by hand without it; install the package again, or add the line"
            )));
        }
        Self::parse(text)
    }

    /// Reads the text of a manifest, with or without its last line.
    ///
    /// # Errors
    /// [`ManifestError`] with every problem.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        limits::check(text)?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            ManifestError::one(format!("{MANIFEST_FILE} is not TOML: {}", error.message()))
        })?;
        let mut reader = Reader::new();
        const KEYS: [&str; 13] = [
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
            "state",
            "files",
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
            id: reader.checked(&table, "id", is_valid_id, ID_FORM),
            version: reader.checked(
                &table,
                "version",
                |text| version_numbers(text).is_some(),
                VERSION_FORM,
            ),
            abi: reader.checked(&table, "abi", is_abi, "two numbers such as 1.0"),
            kind: reader.kinds(&table),
            description: reader.optional_text(&table, "description"),
            license: reader.optional_text(&table, "license"),
            artifact: reader.artifacts(&table),
            isolation: reader.isolation(&table),
            budget: reader.budget(&table),
            golden: reader.golden(&table),
            state: reader.state(&table),
            files: reader.files(&table),
        };
        manifest.check_paths(&mut reader);
        if reader.problems.is_empty() {
            return Ok(manifest);
        }
        Err(ManifestError::limited(reader.problems))
    }

    /// Two entries for one file could state two digests.
    fn check_paths(&self, reader: &mut Reader) {
        let mut seen = BTreeSet::new();
        for (path, _) in self.listed() {
            if !path.is_empty() && !seen.insert(path) {
                reader.problem(format!("the file {path} is named twice"));
            }
        }
    }

    /// Every file of the package with its digest, in the order of the manifest.
    fn listed(&self) -> impl Iterator<Item = (&str, &str)> {
        let artifacts = self.artifact.values();
        let artifacts = artifacts.map(|one| (one.path.as_str(), one.sha256.as_str()));
        let golden = self.golden.iter();
        let golden = golden.map(|one| (one.vectors.as_str(), one.sha256.as_str()));
        let files = self.files.iter();
        let files = files.map(|(path, sha256)| (path.as_str(), sha256.as_str()));
        artifacts.chain(golden).chain(files)
    }

    /// Every file of the package with its SHA-256, by path.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<&str, &str> {
        self.listed().collect()
    }

    /// The text of the manifest, with its last line.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Strings, integers and tables of them always have a TOML form.
        let text = toml::to_string(self).unwrap_or_default();
        format!("{text}{END_MARK}\n")
    }
}

fn is_abi(text: &str) -> bool {
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    text.split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Whether a text is a SHA-256 in hexadecimal.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a path stays inside the package and looks like what it is: plain words, joined by `/`,
/// none of them a name that is passed over.
pub(crate) fn is_inside(path: &str) -> bool {
    const MAX_PATH_BYTES: usize = 240;
    const MAX_DEPTH: usize = 8;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let is_word =
        |word: &str| !word.is_empty() && !is_passed_over(word) && word.bytes().all(is_plain);
    path.len() <= MAX_PATH_BYTES
        && path.split('/').count() <= MAX_DEPTH
        && path.split('/').all(is_word)
        && ![MANIFEST_FILE, SIGNATURE_FILE].contains(&path)
}

/// Whether a name in a plugin directory or in a package is no part of it: hidden, a backup, or not
/// finished.
pub(crate) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let digest = "ab".repeat(32);
        format!(
            "manifest = 1\nid = \"com.example.ema\"\nversion = \"1.4.2\"\nabi = \"1.0\"\n\
             kind = [\"fb.model/1\"]\n[artifact.linux-x86_64]\npath = \"linux-x86_64/libema.so\"\n\
             sha256 = \"{digest}\"\n[isolation]\nminimum = \"worker\"\n[budget]\nmemory_mb = 64\n\
             [golden]\nvectors = \"golden.arrow\"\nsha256 = \"{digest}\"\n\
             [state]\nschema = 3\nreads = [1, 2, 3]\n\
             [files]\n\"models/weights.bin\" = \"{digest}\"\n"
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
        assert_eq!(manifest.state.as_ref().unwrap().reads, [1, 2, 3]);
        let paths: Vec<&str> = manifest.digests().into_keys().collect();
        assert_eq!(
            paths,
            [
                "golden.arrow",
                "linux-x86_64/libema.so",
                "models/weights.bin"
            ]
        );
        let written = manifest.to_toml();
        assert_eq!(Manifest::from_bytes(written.as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn a_manifest_that_was_cut_off_is_refused_at_every_length() {
        let written = Manifest::parse(&text()).unwrap().to_toml();
        for len in 0..written.len() {
            let cut = Manifest::from_bytes(&written.as_bytes()[..len]);
            assert!(cut.is_err(), "{len} of {}", written.len());
        }
        let told = Manifest::from_bytes(text().as_bytes()).unwrap_err();
        assert!(told.to_string().contains("`# end`"), "{told}");
    }

    #[test]
    fn a_file_is_named_once() {
        let twice = text().replace("models/weights.bin", "golden.arrow");
        let told = Manifest::parse(&twice).unwrap_err().to_string();
        assert_eq!(told, "the file golden.arrow is named twice");
    }

    #[test]
    fn paths_are_plain_words_inside_the_package() {
        for right in ["a", "linux-x86_64/lib.so.1", "a/b/c/d.bin"] {
            assert!(is_inside(right), "{right}");
        }
        for wrong in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "a\u{202e}b",
            "a b",
            ".hidden",
            "a/.hidden/b",
            "a.tmp",
            "plugin.toml",
            "plugin.toml.minisig",
            "a/b/c/d/e/f/g/h/i",
        ] {
            assert!(!is_inside(wrong), "{wrong}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = "manifest = 2\nid = \"Ema\"\nversoin = \"1.0.0\"\nabi = 1.0\nkind = []\n\
                    [artifact.linux-x86_64]\npath = \"../libema.so\"\nsha256 = \"abc\"\n\
                    [isolation]\nminimum = \"none\"\n[budget]\nmemory_mb = -1\nmemory_bm = 1\n\
                    [golden]\nvectors = \"/etc/passwd\"\n[state]\nreads = 1\n\
                    [files]\n\"a/../b\" = \"1\"\n";
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
            "key `golden.sha256` is missing",
            "key `state.schema` is missing",
            "`files` names \"a/../b\"; it must be a path inside the package",
            "`files.a/../b` is \"1\"; it must be 64 hexadecimal digits",
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
