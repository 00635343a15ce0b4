//! Model packages: the numbers of a model, apart from the code that uses them.
//!
//! ```text
//! <models>/<name>/<version>/
//!   weights-0123456789ab.bin
//!   scaler-0123456789ab.json     optional
//!   readout-0123456789ab.json    optional
//!   golden-0123456789ab.json     optional
//!   model.toml                   written last: its arrival commits the package
//! ```
//!
//! ```toml
//! model = 1
//! name = "btc-1h"
//! version = "1.0.3"
//! plugin = "com.example.ema"
//! plugin_version = ">=1.2.0, <2.0.0"   # optional
//! feature_set = "…64 hexadecimal digits…"  # optional: what it was trained on
//!
//! [bars]                               # optional: of what bars those features were made
//! time_frame = "1h"
//! max_gap_bars = 3
//!
//! [audit]                              # optional: whether its features passed an audit
//! state = "passed"                     # or "unaudited": somebody allowed that
//! sha256 = "…64 hexadecimal digits…"   # of what was audited
//! audited_at = "2026-11-26T14:00:00Z"
//!
//! [params]
//! alpha = 0.5
//!
//! [artifact]                           # optional
//! path = "weights-0123456789ab.bin"
//! sha256 = "…64 hexadecimal digits…"
//!
//! [scaler]                             # optional, as [artifact]: what rows go through first
//!
//! [readout]                            # optional, as [artifact]: how answers are read
//!
//! [golden]                             # optional
//! path = "golden-0123456789ab.json"
//! sha256 = "…64 hexadecimal digits…"
//! tolerance_ulp = 0
//! ```

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use fusebox_plugin_api::config::Config;
use serde::{Deserialize, Serialize};

use super::golden::{Golden, GoldenSet, MAX_GOLDEN_BYTES};
use super::policy::is_valid_name;
use super::state::{Reason, Rejection};
use crate::disk::replace_file;
use crate::generation::sha256_hex;
use crate::manifest::{is_valid_id, version_numbers};
use crate::trust::VersionRange;

/// Name of the file; its arrival commits the package.
pub const MODEL_FILE: &str = "model.toml";

const LAYOUT: u32 = 1;
const MAX_MODEL_FILE_BYTES: u64 = 1 << 20;
pub(crate) const MAX_ARTIFACT_BYTES: u64 = 2 << 30;
pub(crate) const MAX_COMPANION_BYTES: u64 = 64 << 20;

/// A valid `model.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Number of the layout, 1.
    pub model: u32,
    /// Name of the model, as its directory.
    pub name: String,
    /// Three numbers.
    pub version: String,
    /// Id of the plugin whose code it needs.
    pub plugin: String,
    /// Which versions of the plugin fit; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// Digest of the feature set that it was trained on, 64 hexadecimal digits. It goes live over
    /// rows of that set only; where absent, over any rows, and the operator is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_set: Option<String>,
    /// Of what bars the features of its training were made. It goes live over such rows only; where
    /// absent, over any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bars: Option<TrainedBars>,
    /// Whether its features passed an audit, where whoever wrote the package asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<PackedAudit>,
    /// The configuration that the model is created with.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub params: toml::Table,
    /// The weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<PackedFile>,
    /// The scaler that rows go through before the model sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaler: Option<PackedFile>,
    /// How the answers are read as probabilities of down, flat and up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout: Option<PackedFile>,
    /// Known answers of the model itself, to rows that went through the scaler already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<PackedGolden>,
}

/// The bars that a model was trained on. The digest of a feature set does not tell them apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedBars {
    /// Length of a bar, such as `1h`.
    pub time_frame: String,
    /// Longest run of missing bars that was passed over.
    pub max_gap_bars: u32,
}

/// What a package records of the audit of its features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedAudit {
    /// How it went.
    pub state: AuditState,
    /// Digest of what was audited: the feature set, or the program that makes the rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited_at: Option<String>,
}

/// How the audit of a model's features went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditState {
    /// Nothing was found.
    Passed,
    /// There was none, and whoever wrote the package allowed that.
    Unaudited,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedFile {
    /// Name inside the package.
    pub path: String,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Known answers of the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedGolden {
    /// Name inside the package.
    pub path: String,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Largest allowed difference, in units in the last place.
    #[serde(default)]
    pub tolerance_ulp: u64,
}

/// Why a model package cannot be used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelPackageError {
    /// Its `model.toml` is not usable; every problem, one sentence each.
    #[error("{path}: {problems}", path = .path.display(), problems = .problems.join("; "))]
    Manifest {
        /// The package.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// A file is not the one that was committed.
    #[error(
        "{path} has sha256 {found}, {MODEL_FILE} states {stated}; \
         the file was changed or cut off: write the package again",
        path = .path.display()
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: String,
        /// The digest in `model.toml`.
        stated: String,
    },
    /// Something else is committed under this name and version.
    #[error(
        "{path} holds another model already; raise the version, or ask to replace it",
        path = .0.display()
    )]
    Committed(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<ModelPackageError> for Rejection {
    fn from(error: ModelPackageError) -> Self {
        let reason = match &error {
            ModelPackageError::Manifest { .. } | ModelPackageError::Committed(_) => {
                Reason::Manifest
            }
            ModelPackageError::Digest { .. } => Reason::Digest,
            ModelPackageError::Io { .. } => Reason::Io,
        };
        Self::new(reason, error.to_string())
    }
}

/// What goes into a model package.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPackageSpec {
    /// Name of the model.
    pub name: String,
    /// Three numbers.
    pub version: String,
    /// Id of the plugin whose code it needs.
    pub plugin: String,
    /// Which versions of the plugin fit; any where absent.
    pub plugin_version: Option<String>,
    /// The configuration that the model is created with.
    pub params: Config,
    /// The weights; empty where the model needs none.
    pub artifact: Vec<u8>,
    /// Digest of the feature set that it was trained on, where known.
    pub feature_set: Option<String>,
    /// The bars that it was trained on, where known.
    pub bars: Option<TrainedBars>,
    /// What is known of the audit of its features.
    pub audit: Option<PackedAudit>,
    /// The scaler of its rows; empty where it has none.
    pub scaler: Vec<u8>,
    /// How its answers are read; empty where they are probabilities already.
    pub readout: Vec<u8>,
    /// Known answers, and how far they may be missed.
    pub golden: Option<(Golden, u64)>,
    /// Whether a committed package of the same name and version may be replaced.
    pub replace: bool,
}

/// A model package whose files are the committed ones.
#[derive(Debug, Clone)]
pub struct ReadModel {
    /// Its `model.toml`.
    pub manifest: ModelManifest,
    /// The configuration that the model is created with.
    pub params: Config,
    /// The weights.
    pub artifact: Vec<u8>,
    /// SHA-256 of the weights in hexadecimal.
    pub sha256: String,
    /// The scaler of its rows; empty where it has none.
    pub scaler: Vec<u8>,
    /// How its answers are read; empty where it has none.
    pub readout: Vec<u8>,
    /// Known answers.
    pub golden: Option<GoldenSet>,
}

/// Writes the package into `root` and returns its directory. Writing the same model again changes
/// nothing. `model.toml` is renamed into place as the last step.
///
/// # Errors
/// [`ModelPackageError`]; nothing is committed then.
pub fn write_model_package(
    root: &Path,
    spec: &ModelPackageSpec,
) -> Result<PathBuf, ModelPackageError> {
    let package = root.join(&spec.name).join(&spec.version);
    let golden = spec.golden.as_ref().map(|(golden, _)| golden.to_json());
    let manifest = manifest_of(spec, golden.as_deref(), &package)?;
    let text = toml::to_string(&manifest).map_err(|error| ModelPackageError::Manifest {
        path: package.clone(),
        problems: vec![error.to_string()],
    })?;
    let committed = package.join(MODEL_FILE);
    match fs::read_to_string(&committed) {
        Ok(old) if old == text && read_model(&package).is_ok() => return Ok(package),
        Ok(_) if !spec.replace => return Err(ModelPackageError::Committed(package)),
        Ok(_) | Err(_) => {}
    }
    let write = |path: &Path, bytes: &[u8]| {
        replace_file(path, bytes).map_err(|source| ModelPackageError::Io {
            doing: "write",
            path: path.to_owned(),
            source,
        })
    };
    for (file, bytes) in [
        (&manifest.artifact, &spec.artifact),
        (&manifest.scaler, &spec.scaler),
        (&manifest.readout, &spec.readout),
    ] {
        if let Some(file) = file {
            write(&package.join(&file.path), bytes)?;
        }
    }
    if let (Some(file), Some(text)) = (&manifest.golden, &golden) {
        write(&package.join(&file.path), text.as_bytes())?;
    }
    write(&committed, text.as_bytes())?;
    remove_others(&package, &manifest);
    Ok(package)
}

pub(crate) fn manifest_of(
    spec: &ModelPackageSpec,
    golden: Option<&str>,
    package: &Path,
) -> Result<ModelManifest, ModelPackageError> {
    let refuse = |problems: Vec<String>| ModelPackageError::Manifest {
        path: package.to_owned(),
        problems,
    };
    let params: toml::Table = serde_json::from_str(&spec.params.to_json()).map_err(|error| {
        let hint = "leave keys without a value out";
        refuse(vec![format!(
            "`params` cannot be written as TOML: {error}; {hint}"
        )])
    })?;
    let packed = |bytes: &[u8], name: &str, extension: &str| {
        let sha256 = (!bytes.is_empty()).then(|| sha256_hex(bytes))?;
        let path = format!("{name}-{}.{extension}", &sha256[..12]);
        Some(PackedFile { path, sha256 })
    };
    let manifest = ModelManifest {
        model: LAYOUT,
        name: spec.name.clone(),
        version: spec.version.clone(),
        plugin: spec.plugin.clone(),
        plugin_version: spec.plugin_version.clone(),
        feature_set: spec.feature_set.clone(),
        bars: spec.bars.clone(),
        audit: spec.audit.clone(),
        params,
        artifact: packed(&spec.artifact, "weights", "bin"),
        scaler: packed(&spec.scaler, "scaler", "json"),
        readout: packed(&spec.readout, "readout", "json"),
        golden: golden.map(|text| {
            let sha256 = sha256_hex(text.as_bytes());
            PackedGolden {
                path: format!("golden-{}.json", &sha256[..12]),
                sha256,
                tolerance_ulp: spec.golden.as_ref().map_or(0, |(_, ulp)| *ulp),
            }
        }),
    };
    let problems = manifest.problems();
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(refuse(problems))
    }
}

/// Removes files that `model.toml` no longer names; one that stays only takes room.
fn remove_others(package: &Path, manifest: &ModelManifest) {
    let kept: Vec<&str> = manifest.files().map(|(path, _)| path).collect();
    let kinds = ["weights-", "scaler-", "readout-", "golden-"];
    for entry in fs::read_dir(package)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = kinds.iter().any(|kind| name.starts_with(kind));
        if is_ours && !kept.contains(&name.as_str()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl ModelManifest {
    /// Name and digest of every file that it lists.
    fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = [&self.artifact, &self.scaler, &self.readout];
        let files = files.into_iter().flatten();
        let files = files.map(|file| (file.path.as_str(), file.sha256.as_str()));
        let golden = self.golden.iter();
        files.chain(golden.map(|file| (file.path.as_str(), file.sha256.as_str())))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.model != LAYOUT {
            problems.push(format!(
                "`model` is {}; this version reads {LAYOUT}",
                self.model
            ));
        }
        if !is_valid_name(&self.name) {
            problems.push(format!(
                "`name` is `{}`; it must be a plain name",
                self.name
            ));
        }
        if version_numbers(&self.version).is_none() {
            problems.push(format!(
                "`version` is `{}`; it must be three numbers",
                self.version
            ));
        }
        if !is_valid_id(&self.plugin) {
            problems.push(format!(
                "`plugin` is `{}`; it must be reverse DNS",
                self.plugin
            ));
        }
        if let Some(wanted) = &self.plugin_version
            && VersionRange::parse(wanted).is_none()
        {
            problems.push(format!(
                "`plugin_version` is `{wanted}`; it must be such as `>=1.2.0, <2.0.0` or `1.2.0`"
            ));
        }
        if let Some(digest) = &self.feature_set
            && !is_digest(digest)
        {
            problems.push(format!(
                "`feature_set` is `{digest}`; it must be 64 hexadecimal digits"
            ));
        }
        for (path, sha256) in self.files() {
            if !is_valid_name(path) {
                problems.push(format!(
                    "`{path}` must be the name of a file in the package"
                ));
            }
            if !is_digest(sha256) {
                problems.push(format!(
                    "the sha256 of `{path}` must be 64 hexadecimal digits"
                ));
            }
        }
        problems
    }

    /// Reads the `model.toml` of a package, whose last two directories are name and version.
    ///
    /// # Errors
    /// [`ModelPackageError`] with every problem.
    pub fn read(package: &Path) -> Result<Self, ModelPackageError> {
        let bytes = read_bounded(&package.join(MODEL_FILE), MAX_MODEL_FILE_BYTES)?;
        let refuse = |problems: Vec<String>| ModelPackageError::Manifest {
            path: package.to_owned(),
            problems,
        };
        let text = String::from_utf8_lossy(&bytes);
        let manifest: Self = toml::from_str(&text)
            .map_err(|error| refuse(vec![format!("{MODEL_FILE}: {}", error.message())]))?;
        let mut problems = manifest.problems();
        let names = [
            ("version", &manifest.version, Some(package)),
            ("name", &manifest.name, package.parent()),
        ];
        for (key, stated, path) in names {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            if name.to_string_lossy() != stated.as_str() {
                let name = name.to_string_lossy();
                problems.push(format!(
                    "`{key}` is {stated}, but the directory says {name}"
                ));
            }
        }
        if problems.is_empty() {
            Ok(manifest)
        } else {
            Err(refuse(problems))
        }
    }

    /// Whether a version of its plugin fits.
    #[must_use]
    pub fn takes_plugin(&self, version: &str) -> bool {
        let range = self.plugin_version.as_deref().map(VersionRange::parse);
        match range {
            None => true,
            Some(Some(range)) => {
                version_numbers(version).is_some_and(|numbers| range.contains(numbers))
            }
            Some(None) => false,
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Reads a committed package and checks every file against its digest.
///
/// # Errors
/// [`ModelPackageError`].
pub fn read_model(package: &Path) -> Result<ReadModel, ModelPackageError> {
    let manifest = ModelManifest::read(package)?;
    let checked = |path: &str, sha256: &str, most: u64| {
        let path = package.join(path);
        let bytes = read_bounded(&path, most)?;
        let (found, stated) = (sha256_hex(&bytes), sha256.to_ascii_lowercase());
        if found == stated {
            return Ok(bytes);
        }
        Err(ModelPackageError::Digest {
            path,
            found,
            stated,
        })
    };
    let bytes_of = |file: &Option<PackedFile>, most: u64| match file {
        Some(file) => checked(&file.path, &file.sha256, most),
        None => Ok(Vec::new()),
    };
    let artifact = bytes_of(&manifest.artifact, MAX_ARTIFACT_BYTES)?;
    let scaler = bytes_of(&manifest.scaler, MAX_COMPANION_BYTES)?;
    let readout = bytes_of(&manifest.readout, MAX_COMPANION_BYTES)?;
    let refuse = |problem: String| ModelPackageError::Manifest {
        path: package.to_owned(),
        problems: vec![problem],
    };
    let golden = match &manifest.golden {
        Some(file) => {
            let bytes = checked(&file.path, &file.sha256, MAX_GOLDEN_BYTES)?;
            Some(GoldenSet {
                golden: Golden::parse(&String::from_utf8_lossy(&bytes)).map_err(refuse)?,
                artifact: None,
                tolerance_ulp: file.tolerance_ulp,
            })
        }
        None => None,
    };
    let params = serde_json::to_value(&manifest.params).map_err(|error| refuse(error.to_string()));
    let params = Config::from_value(params?).map_err(|error| refuse(error.to_string()))?;
    Ok(ReadModel {
        sha256: sha256_hex(&artifact),
        manifest,
        params,
        artifact,
        scaler,
        readout,
        golden,
    })
}

pub(crate) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, ModelPackageError> {
    let io = |source| ModelPackageError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(io(std::io::Error::other(format!(
            "it is larger than {most} bytes"
        ))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: &str, artifact: &[u8]) -> ModelPackageSpec {
        ModelPackageSpec {
            name: "btc-1h".to_owned(),
            version: version.to_owned(),
            plugin: "com.example.ema".to_owned(),
            plugin_version: Some(">=1.2.0, <2.0.0".to_owned()),
            params: Config::new().with("alpha", 0.5),
            artifact: artifact.to_vec(),
            feature_set: None,
            bars: None,
            audit: None,
            scaler: Vec::new(),
            readout: Vec::new(),
            golden: None,
            replace: false,
        }
    }

    #[test]
    fn what_was_written_is_read_and_not_replaced_unasked() {
        let root = tempfile::tempdir().unwrap();
        let path = write_model_package(root.path(), &spec("1.0.0", b"numbers")).unwrap();
        let read = read_model(&path).unwrap();
        assert_eq!(read.artifact, b"numbers");
        assert_eq!(read.params.value("alpha").unwrap().as_f64(), Some(0.5));
        assert!(read.manifest.takes_plugin("1.9.9") && !read.manifest.takes_plugin("2.0.0"));
        assert_eq!(
            write_model_package(root.path(), &spec("1.0.0", b"numbers")).unwrap(),
            path
        );
        let other = spec("1.0.0", b"others");
        let error = write_model_package(root.path(), &other).unwrap_err();
        assert!(matches!(error, ModelPackageError::Committed(_)), "{error}");
        let replace = ModelPackageSpec {
            replace: true,
            ..other
        };
        write_model_package(root.path(), &replace).unwrap();
        assert_eq!(read_model(&path).unwrap().artifact, b"others");
        assert_eq!(
            fs::read_dir(&path).unwrap().count(),
            2,
            "the old weights are gone"
        );
    }

    #[test]
    fn companions_and_the_feature_set_are_carried_and_checked() {
        let root = tempfile::tempdir().unwrap();
        let dressed = ModelPackageSpec {
            feature_set: Some("ab".repeat(32)),
            bars: Some(TrainedBars {
                time_frame: "1h".to_owned(),
                max_gap_bars: 3,
            }),
            audit: Some(PackedAudit {
                state: AuditState::Passed,
                sha256: Some("ab".repeat(32)),
                audited_at: None,
            }),
            scaler: b"scale".to_vec(),
            readout: b"read".to_vec(),
            ..spec("1.0.0", b"numbers")
        };
        let path = write_model_package(root.path(), &dressed).unwrap();
        let read = read_model(&path).unwrap();
        assert_eq!(read.manifest.feature_set, Some("ab".repeat(32)));
        assert_eq!(read.manifest.bars, dressed.bars);
        assert_eq!(read.manifest.audit, dressed.audit);
        assert_eq!(
            (&*read.scaler, &*read.readout),
            (&b"scale"[..], &b"read"[..])
        );
        let scaler = path.join(read.manifest.scaler.unwrap().path);
        fs::write(&scaler, b"other").unwrap();
        let error = read_model(&path).unwrap_err();
        assert!(matches!(error, ModelPackageError::Digest { .. }), "{error}");
        let plain = ModelPackageSpec {
            replace: true,
            ..spec("1.0.0", b"numbers")
        };
        write_model_package(root.path(), &plain).unwrap();
        let read = read_model(&path).unwrap();
        assert!(read.manifest.feature_set.is_none() && read.scaler.is_empty());
        assert!(!scaler.exists(), "files that nothing names are removed");
        let wrong = ModelPackageSpec {
            feature_set: Some("ab".to_owned()),
            ..spec("1.0.1", b"")
        };
        let error = write_model_package(root.path(), &wrong).unwrap_err();
        assert!(
            error.to_string().contains("`feature_set` is `ab`"),
            "{error}"
        );
    }

    #[test]
    fn changed_weights_are_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let path = write_model_package(root.path(), &spec("1.0.0", b"numbers")).unwrap();
        let name = ModelManifest::read(&path).unwrap().artifact.unwrap().path;
        fs::write(path.join(&name), b"numb").unwrap();
        let error = read_model(&path).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        assert!(Rejection::from(error).may_be_unfinished());
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("other/1.0.0");
        let text = "model = 2\nname = \"btc\"\nversion = \"1.0\"\nplugin = \"ema\"\n\
                    plugin_version = \"~1\"\n[artifact]\npath = \"../x\"\nsha256 = \"00\"\n";
        replace_file(&package.join(MODEL_FILE), text.as_bytes()).unwrap();
        let error = ModelManifest::read(&package).unwrap_err().to_string();
        for words in [
            "`model` is 2",
            "`version` is `1.0`",
            "`plugin` is `ema`",
            "`plugin_version` is `~1`",
            "`../x` must be the name",
            "64 hexadecimal digits",
            "the directory says other",
        ] {
            assert!(error.contains(words), "{words} not in {error}");
        }
    }
}
