//! Model files that somebody drops into a models directory, with a few lines beside them.
//!
//! ```text
//! <models>/btc-1h.onnx     the model
//! <models>/btc-1h.toml     what it is for; may be a few keys
//! ```
//!
//! ```toml
//! version = "1.0.3"       # optional: else the next one
//! sha256 = "…"            # optional: of the model file, so that no other is taken
//! feature_set = "…"       # optional, as in model.toml; else what the file says of itself
//! scaler = "btc-1h.scaler.json"    # optional: a file beside it, as in model.toml
//! readout = "btc-1h.readout.json"  # optional
//! task = "classification" # this and all other keys are settings of the plugin
//! classes = ["down", "flat", "up"]
//!
//! [bars]                  # optional, as in model.toml
//! time_frame = "1h"
//! max_gap_bars = 3
//! ```
//!
//! Such a pair becomes a model package `<models>/btc-1h/<version>/`, which goes through everything
//! that a model package goes through. It is taken when nobody has written to either file for a
//! while, when the file is whole as far as its format tells, and when it is the one that `sha256`
//! states. A file that is still being copied is not taken; one that does not fit is refused with
//! the reason, and what is live stays live. The files themselves are never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_plugin_api::config::Config;
use serde::Deserialize;

use super::audit::{AuditEvent, AuditLog, Occasion};
use super::model_package::{
    MAX_ARTIFACT_BYTES, MAX_COMPANION_BYTES, ModelManifest, ModelPackageSpec, TrainedBars,
    manifest_of, read_bounded, write_model_package,
};
use super::policy::is_valid_name;
use super::state::{Reason, Rejection};
use crate::clock::Clock;
use crate::generation::sha256_hex;
use crate::manifest::{is_passed_over, version_numbers};
use crate::onnx_file::{self, FeatureSetError, ONNX_PLUGIN};

/// Kinds of files, each with the plugin whose artifact they are, and how to tell that one is whole.
const KINDS: [Kind; 1] = [Kind {
    extension: "onnx",
    plugin: ONNX_PLUGIN,
    is_whole: onnx_file::is_whole,
}];
const SIDECAR: &str = "toml";
const MAX_SIDECAR_BYTES: u64 = 1 << 20;
/// How long nobody must have written to the files.
const QUIET_NS: i64 = 1_000_000_000;
/// Version of the first package where the sidecar states none.
const FIRST_VERSION: &str = "1.0.0";

struct Kind {
    extension: &'static str,
    plugin: &'static str,
    is_whole: fn(&[u8]) -> Result<(), &'static str>,
}

/// What a sidecar says; the rest of its keys are settings of the plugin.
#[derive(Debug, Deserialize)]
struct Sidecar {
    plugin: Option<String>,
    plugin_version: Option<String>,
    version: Option<String>,
    sha256: Option<String>,
    feature_set: Option<String>,
    bars: Option<TrainedBars>,
    scaler: Option<String>,
    readout: Option<String>,
    #[serde(flatten)]
    params: BTreeMap<String, toml::Value>,
}

/// Length, times of the last writing and of the last change of any kind, and identity of a file.
type Look = (u64, i64, i64, u64);

/// What was done with the pairs that were seen.
#[derive(Debug)]
pub(crate) struct Sidecars {
    dirs: Vec<PathBuf>,
    clock: Arc<dyn Clock>,
    audit: Arc<AuditLog>,
    /// The pairs that were taken or refused, as they looked then.
    decided: BTreeMap<PathBuf, (Look, Look)>,
    /// Model files of which it was told that nothing lies beside them.
    alone: BTreeSet<PathBuf>,
}

/// What became of a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Packages that were written.
    pub(crate) taken: usize,
    /// Pairs that somebody wrote to just now.
    pub(crate) unsettled: usize,
}

impl Sidecars {
    /// Looks into these directories from now on.
    pub(crate) fn new(dirs: Vec<PathBuf>, clock: Arc<dyn Clock>, audit: Arc<AuditLog>) -> Self {
        Self {
            dirs,
            clock,
            audit,
            decided: BTreeMap::new(),
            alone: BTreeSet::new(),
        }
    }

    /// Takes every pair that came to rest since the last look.
    pub(crate) fn look(&mut self) -> Looked {
        let mut looked = Looked::default();
        for (dir, file, kind) in self
            .dirs
            .iter()
            .flat_map(|dir| pairs(dir))
            .collect::<Vec<_>>()
        {
            let sidecar = file.with_extension(SIDECAR);
            let Some(first) = look_at(&file) else {
                continue;
            };
            let Some(second) = look_at(&sidecar) else {
                looked.unsettled += usize::from(self.is_soon_told_alone(&file, first));
                continue;
            };
            self.alone.remove(&file);
            if self.decided.get(&file) == Some(&(first, second)) {
                continue;
            }
            let newest = [first.1, first.2, second.1, second.2].into_iter().max();
            let quiet_since = newest.unwrap_or(0).saturating_add(QUIET_NS);
            if self.clock.unix_ns() < quiet_since {
                looked.unsettled += 1;
                continue;
            }
            let read = read_pair(&dir, &file, &sidecar, kind);
            if (look_at(&file), look_at(&sidecar)) != (Some(first), Some(second)) {
                // Somebody began to write meanwhile; what was read may be half of each.
                looked.unsettled += 1;
                continue;
            }
            let taken = read.and_then(|spec| commit(&dir, spec));
            self.decided.insert(file.clone(), (first, second));
            looked.taken += usize::from(self.tell(&file, taken));
        }
        looked
    }

    /// Tells once of a model file that nothing was put beside: whoever dropped it there waits for
    /// it to go live. Gives whether it is too early for that.
    fn is_soon_told_alone(&mut self, file: &Path, look: Look) -> bool {
        if self.alone.contains(file) {
            return false;
        }
        if self.clock.unix_ns() < look.1.max(look.2).saturating_add(QUIET_NS) {
            return true;
        }
        self.alone.insert(file.to_owned());
        self.tell(
            file,
            Err(Rejection::new(Reason::Manifest, missing_sidecar(file))),
        );
        false
    }

    /// Writes down what became of a pair; gives whether it is a new package.
    fn tell(&self, file: &Path, taken: Result<Option<ModelPackageSpec>, Rejection>) -> bool {
        let name = stem(file);
        match taken {
            Ok(None) => false,
            Ok(Some(spec)) => {
                let mut event = AuditEvent::new(Occasion::Adopted, &name);
                event.plugin = spec.plugin;
                event.weights = Some(spec.version);
                event.digest = sha256_hex(&spec.artifact);
                event.message = Some(format!("{} became a model package", file.display()));
                self.audit.write(event);
                true
            }
            Err(rejection) => {
                // Who serves shows what is written down; to warn as well would be to say it twice.
                tracing::info!("{} is not taken: {}", file.display(), rejection.message);
                let event = AuditEvent::new(Occasion::Rejected, &name);
                self.audit
                    .write(event.because(rejection.reason, rejection.message));
                false
            }
        }
    }
}

/// Model files of these directories without a sidecar, each with what to do.
#[must_use]
pub fn files_without_sidecar(dirs: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let files = dirs.iter().flat_map(|dir| pairs(dir));
    let alone = files.filter(|(_, file, _)| look_at(&file.with_extension(SIDECAR)).is_none());
    alone
        .map(|(_, file, _)| {
            let words = missing_sidecar(&file);
            (file, words)
        })
        .collect()
}

fn missing_sidecar(file: &Path) -> String {
    let sidecar = file.with_extension(SIDECAR);
    format!(
        "nothing says what it is for; write {}, which may be empty where the file says everything \
         of itself (docs/onnx.md)",
        sidecar.display()
    )
}

/// The model files of a directory.
fn pairs(dir: &Path) -> Vec<(PathBuf, PathBuf, &'static Kind)> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let kind_of = |file: &PathBuf| {
        let extension = file.extension()?.to_str()?;
        KINDS.iter().find(|kind| kind.extension == extension)
    };
    files
        .into_iter()
        .filter(|file| !is_passed_over(&stem(file)))
        .filter_map(|file| Some((dir.to_owned(), file.clone(), kind_of(&file)?)))
        .collect()
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What a file looks like; `None` where it is not there or is no file of its own.
fn look_at(path: &Path) -> Option<Look> {
    let facts = fs::symlink_metadata(path)
        .ok()
        .filter(fs::Metadata::is_file)?;
    let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000) + nanos;
    let written = nanos(facts.mtime(), facts.mtime_nsec());
    let changed = nanos(facts.ctime(), facts.ctime_nsec());
    Some((facts.len(), written, changed, facts.ino()))
}

/// Reads a pair; what it says is wrong with it, if something is.
fn read_pair(
    dir: &Path,
    file: &Path,
    sidecar: &Path,
    kind: &Kind,
) -> Result<ModelPackageSpec, Rejection> {
    let refuse = |reason: Reason, words: String| Rejection::new(reason, words);
    let name = stem(file);
    if !is_valid_name(&name) {
        let words = format!("`{name}` is no name of a model; rename both files");
        return Err(refuse(Reason::Manifest, words));
    }
    let text = read_bounded(sidecar, MAX_SIDECAR_BYTES)?;
    let shown = sidecar.display();
    let mut stated: Sidecar = toml::from_str(&String::from_utf8_lossy(&text))
        .map_err(|error| refuse(Reason::Manifest, format!("{shown}: {error}")))?;
    let artifact = read_bounded(file, MAX_ARTIFACT_BYTES)?;
    let found = sha256_hex(&artifact);
    if let Some(wanted) = &stated.sha256
        && *wanted.to_ascii_lowercase() != *found
    {
        let words = format!(
            "{} has sha256 {found}, {shown} states {wanted}",
            file.display()
        );
        return Err(refuse(Reason::Digest, words));
    }
    (kind.is_whole)(&artifact).map_err(|words| {
        let words = format!("{} is not whole: {words}; copy it again", file.display());
        refuse(Reason::Unfinished, words)
    })?;
    let plugin = stated.plugin.as_deref().unwrap_or(kind.plugin);
    stated.feature_set = onnx_file::agreed_feature_set(stated.feature_set, (plugin, &artifact))
        .map_err(|error| {
            let place = match error {
                FeatureSetError::Metadata(_) => file.display(),
                FeatureSetError::Contradiction { .. } => sidecar.display(),
            };
            refuse(Reason::Features, format!("{place}: {error}"))
        })?;
    spec_of(dir, (name, artifact), stated, kind)
        .map_err(|words| refuse(Reason::Manifest, format!("{shown}: {words}")))
}

/// Makes a package of what was read; `None` where there is one already.
fn commit(dir: &Path, spec: ModelPackageSpec) -> Result<Option<ModelPackageSpec>, Rejection> {
    let Some(spec) = not_committed(dir, spec)? else {
        return Ok(None);
    };
    write_model_package(dir, &spec)?;
    Ok(Some(spec))
}

fn spec_of(
    dir: &Path,
    (name, artifact): (String, Vec<u8>),
    stated: Sidecar,
    kind: &Kind,
) -> Result<ModelPackageSpec, String> {
    let companion = |name: &Option<String>| match name {
        None => Ok(Vec::new()),
        Some(name) if is_valid_name(name) => {
            let bytes = read_bounded(&dir.join(name), MAX_COMPANION_BYTES);
            bytes.map_err(|error| error.to_string())
        }
        Some(name) => Err(format!("`{name}` must be the name of a file beside it")),
    };
    let params = serde_json::to_value(&stated.params).map_err(|error| error.to_string())?;
    Ok(ModelPackageSpec {
        name,
        version: stated.version.unwrap_or_default(),
        plugin: stated.plugin.unwrap_or_else(|| kind.plugin.to_owned()),
        plugin_version: stated.plugin_version,
        params: Config::from_value(params).map_err(|error| error.message().to_owned())?,
        artifact,
        feature_set: stated.feature_set,
        bars: stated.bars,
        // Whoever drops a file says nothing of how its rows were made.
        audit: None,
        scaler: companion(&stated.scaler)?,
        readout: companion(&stated.readout)?,
        golden: None,
        replace: false,
    })
}

/// The package to write, with its version; `None` where the newest package is the same.
fn not_committed(
    dir: &Path,
    mut spec: ModelPackageSpec,
) -> Result<Option<ModelPackageSpec>, Rejection> {
    let packages = dir.join(&spec.name);
    let entries = fs::read_dir(&packages)
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let versions = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((version_numbers(&name)?, name))
    });
    let newest = versions.max();
    let is_automatic = spec.version.is_empty();
    if is_automatic {
        spec.version = newest
            .as_ref()
            .map_or(FIRST_VERSION, |(_, name)| name)
            .to_owned();
    }
    let package = packages.join(&spec.version);
    let there = ModelManifest::read(&package).ok();
    let manifest = manifest_of(&spec, None, &package)?;
    match there {
        Some(there) if there == manifest => return Ok(None),
        Some(_) if is_automatic => {
            let [major, minor, patch] = newest.map_or([1, 0, 0], |(numbers, _)| numbers);
            spec.version = format!("{major}.{minor}.{}", patch + 1);
        }
        _ => {}
    }
    Ok(Some(spec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::live::model_package::read_model;

    /// A version, a graph of two bytes, an operator set.
    const WHOLE: &[u8] = &[8, 8, 58, 2, 10, 0, 66, 2, 16, 17];

    struct Dropped {
        dir: tempfile::TempDir,
        clock: Arc<ManualClock>,
        sidecars: Sidecars,
    }

    impl Dropped {
        fn new() -> Self {
            let (dir, clock) = (
                tempfile::tempdir().unwrap(),
                Arc::new(ManualClock::default()),
            );
            // Two seconds after whatever is written now.
            let now = u64::try_from(crate::clock::SystemClock.unix_ns()).unwrap();
            clock.advance_ns(now + 3_600_000_000_000);
            let audit = Arc::new(AuditLog::in_memory(clock.clone()));
            let sidecars = Sidecars::new(vec![dir.path().to_owned()], clock.clone(), audit);
            Self {
                dir,
                clock,
                sidecars,
            }
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            fs::write(self.dir.path().join(name), bytes).unwrap();
        }

        fn refusal(&self) -> AuditEvent {
            self.sidecars.audit.since(0).pop().unwrap()
        }
    }

    #[test]
    fn a_pair_becomes_a_package_and_a_changed_one_the_next() {
        let mut dropped = Dropped::new();
        dropped.put("btc.onnx", WHOLE);
        assert_eq!(dropped.sidecars.look(), Looked::default(), "no sidecar yet");
        let told = dropped.refusal().message.unwrap();
        assert!(told.contains("btc.toml, which may be empty"), "{told}");
        let dirs = [dropped.dir.path().to_owned()];
        assert_eq!(files_without_sidecar(&dirs)[0].1, told);
        let events = dropped.sidecars.audit.since(0).len();
        assert_eq!(dropped.sidecars.look(), Looked::default());
        assert_eq!(dropped.sidecars.audit.since(0).len(), events, "told once");
        dropped.put(
            "btc.toml",
            b"classes = [\"down\", \"up\"]\n[bars]\ntime_frame = \"1h\"\n\
                                  max_gap_bars = 2\n",
        );
        assert_eq!(dropped.sidecars.look().taken, 1);
        let package = dropped.dir.path().join("btc/1.0.0");
        let read = read_model(&package).unwrap();
        assert_eq!(read.artifact, WHOLE);
        assert_eq!(read.manifest.plugin, "ai.fusebox.onnx");
        assert_eq!(read.manifest.bars.unwrap().time_frame, "1h");
        assert_eq!(
            read.params
                .value("classes")
                .unwrap()
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert_eq!(dropped.sidecars.look(), Looked::default(), "once");
        dropped.put("btc.toml", b"classes = [\"up\", \"down\"]\n");
        assert_eq!(dropped.sidecars.look().taken, 1);
        assert!(read_model(&dropped.dir.path().join("btc/1.0.1")).is_ok());
        // A supervisor that starts anew finds that nothing is new.
        let (clock, audit) = (dropped.clock.clone(), Arc::clone(&dropped.sidecars.audit));
        let dirs = vec![dropped.dir.path().to_owned()];
        assert_eq!(Sidecars::new(dirs, clock, audit).look(), Looked::default());
    }

    #[test]
    fn what_is_still_written_to_is_left_alone() {
        let mut dropped = Dropped::new();
        let young = Arc::new(ManualClock::default());
        let now = u64::try_from(crate::clock::SystemClock.unix_ns()).unwrap();
        young.advance_ns(now);
        dropped.sidecars.clock = young.clone();
        dropped.put("btc.onnx", WHOLE);
        dropped.put("btc.toml", b"");
        dropped.put("eth.onnx", WHOLE);
        let looked = dropped.sidecars.look();
        assert_eq!((looked.taken, looked.unsettled), (0, 2));
        assert!(
            dropped.sidecars.audit.since(0).is_empty(),
            "its sidecar may come"
        );
        young.advance_ns(60_000_000_000);
        assert_eq!(dropped.sidecars.look().taken, 1);
    }

    #[test]
    fn half_a_file_is_never_taken() {
        for length in 0..WHOLE.len() {
            let mut dropped = Dropped::new();
            dropped.put("btc.onnx", &WHOLE[..length]);
            dropped.put("btc.toml", b"");
            assert_eq!(dropped.sidecars.look(), Looked::default(), "{length} bytes");
            assert_eq!(dropped.refusal().reason, Some(Reason::Unfinished));
            assert!(!dropped.dir.path().join("btc").exists());
            dropped.put("btc.onnx", WHOLE);
            assert_eq!(dropped.sidecars.look().taken, 1, "the rest came");
        }
    }

    #[test]
    fn a_sidecar_that_does_not_fit_is_refused_with_the_reason() {
        for (text, reason, words) in [
            ("version = \"1\"", Reason::Manifest, "`version` is `1`"),
            ("version = 1", Reason::Manifest, "version"),
            ("sha256 = \"00\"", Reason::Digest, "states 00"),
            (
                "feature_set = \"x\"",
                Reason::Manifest,
                "`feature_set` is `x`",
            ),
            (
                "scaler = \"../x\"",
                Reason::Manifest,
                "`../x` must be the name",
            ),
            ("scaler = \"none.json\"", Reason::Manifest, "none.json"),
            ("classes = [", Reason::Manifest, "btc.toml"),
        ] {
            let mut dropped = Dropped::new();
            dropped.put("btc.onnx", WHOLE);
            dropped.put("btc.toml", text.as_bytes());
            assert_eq!(dropped.sidecars.look().taken, 0, "{text}");
            let event = dropped.refusal();
            assert_eq!(event.reason, Some(reason), "{text}: {event:?}");
            let message = event.message.unwrap();
            assert!(message.contains(words), "{words} not in {message}");
        }
    }

    #[test]
    fn a_stated_version_is_not_overwritten_by_another_model() {
        let mut dropped = Dropped::new();
        dropped.put("btc.onnx", WHOLE);
        dropped.put("btc.toml", b"version = \"2.0.0\"\n");
        assert_eq!(dropped.sidecars.look().taken, 1);
        let other = [WHOLE, &[66, 2, 16, 18]].concat();
        dropped.put("btc.onnx", &other);
        assert_eq!(dropped.sidecars.look().taken, 0);
        let message = dropped.refusal().message.unwrap();
        assert!(message.contains("raise the version"), "{message}");
        let package = dropped.dir.path().join("btc/2.0.0");
        assert_eq!(read_model(&package).unwrap().artifact, WHOLE);
        dropped.put("btc.toml", b"version = \"2.0.1\"\n");
        assert_eq!(dropped.sidecars.look().taken, 1);
    }
}
