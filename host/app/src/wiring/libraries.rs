//! Native libraries that plugins load at run time: which there are, and where each is taken from.
//!
//! The order is: the configuration, an environment variable, the project's own folder that
//! `make setup` fills. Nothing here loads a library.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fusebox_plugin_api::config::Config;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::EngineSettings;

/// Where `make setup` puts libraries, relative to the working directory.
const NATIVE_DIR: &str = ".fusebox/native";

/// A native library that a plugin of this project needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownLibrary {
    /// Name, as in `[engine.libraries]`.
    pub(crate) name: &'static str,
    /// File name, with folders where the library needs those around it.
    file: &'static str,
    /// Environment variable that names a copy.
    variable: &'static str,
    /// The plugin that wants it.
    pub(crate) plugin: &'static str,
    /// The plugin's setting that takes its path.
    pub(crate) setting: &'static str,
    /// The plugin's parameter whose value is the library's name where it is used.
    chosen_by: &'static str,
    /// Whether it is used where that parameter is not set.
    by_default: bool,
}

impl KnownLibrary {
    /// Whether a model of `plugin` with these parameters uses the library.
    pub(crate) fn is_used(&self, plugin: &str, params: &Map<String, Value>) -> bool {
        let chosen = params.get(self.chosen_by).and_then(Value::as_str);
        self.plugin == plugin && chosen.map_or(self.by_default, |name| name == self.name)
    }
}

/// The libraries that plugins of this project need.
pub(crate) const LIBRARIES: [KnownLibrary; 3] = [
    KnownLibrary {
        name: "lightgbm",
        file: "lib_lightgbm.so",
        variable: "FUSEBOX_LIGHTGBM_LIBRARY",
        plugin: "ai.fusebox.gbm",
        setting: "library",
        chosen_by: "booster",
        by_default: true,
    },
    KnownLibrary {
        name: "xgboost",
        file: "xgboost/lib/libxgboost.so",
        variable: "FUSEBOX_XGBOOST_LIBRARY",
        plugin: "ai.fusebox.gbm",
        setting: "xgboost_library",
        chosen_by: "booster",
        by_default: false,
    },
    KnownLibrary {
        name: "onnxruntime",
        file: "libonnxruntime.so",
        variable: "FUSEBOX_ONNXRUNTIME_LIBRARY",
        plugin: "ai.fusebox.onnx",
        setting: "library",
        chosen_by: "runtime",
        by_default: true,
    },
];

/// For each plugin the paths of its libraries that are there, under the settings that take them.
pub(super) fn host_settings(settings: &EngineSettings) -> BTreeMap<String, Config> {
    let mut found: BTreeMap<String, Config> = BTreeMap::new();
    for library in LIBRARIES {
        if let Some(path) = path_for(&library, settings) {
            found
                .entry(library.plugin.to_owned())
                .or_default()
                .set(library.setting, path.display().to_string());
        }
    }
    found
}

/// The path that a plugin is given: that of the copy which was found, or the one that somebody
/// named and that cannot be read, so that the plugin's error is about it and not about another.
pub(super) fn path_for(library: &KnownLibrary, settings: &EngineSettings) -> Option<PathBuf> {
    match find(library, settings) {
        Ok(copy) => Some(copy.path),
        Err(_) => named(library, settings).map(|(path, _)| path),
    }
}

/// The copy that the configuration names, else the environment.
fn named(library: &KnownLibrary, settings: &EngineSettings) -> Option<(PathBuf, &'static str)> {
    if let Some(path) = settings.libraries.get(library.name) {
        return Some((path.clone(), "engine.libraries"));
    }
    let path = settings.variable(library.variable)?;
    Some((PathBuf::from(path), library.variable))
}

/// The directories of the libraries that are there: the project's own with all that lies in it, and
/// those of other copies.
pub(super) fn directories(settings: &EngineSettings) -> Vec<PathBuf> {
    let found = LIBRARIES.iter().filter_map(|one| find(one, settings).ok());
    let mut directories: Vec<PathBuf> = found
        .filter_map(|found| Some(found.path.parent()?.to_owned()))
        .collect();
    let own = Path::new(NATIVE_DIR);
    if own.is_dir() {
        directories.extend(std::path::absolute(own));
    }
    directories
}

/// What became of looking for a library.
#[derive(Debug)]
pub(crate) struct LibraryState {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it is, or why it is not there.
    pub(crate) outcome: Result<FoundLibrary, String>,
    /// What to do where it is not there.
    pub(crate) advice: &'static str,
}

/// A library that is there.
#[derive(Debug)]
pub(crate) struct FoundLibrary {
    /// Absolute path.
    pub(crate) path: PathBuf,
    /// What led to it.
    pub(crate) from: &'static str,
    /// Version, where a record lies beside the file.
    pub(crate) version: Option<String>,
    /// SHA-256 of the file in hexadecimal.
    pub(crate) sha256: String,
}

/// The record that the set-up writes beside a library.
#[derive(Debug, Deserialize)]
struct Record {
    version: String,
}

/// What to do where a library is not there.
const ADVICE: &str = "run `make setup`, or name a copy that is there in engine.libraries";

/// The libraries that a model of `plugin` with these parameters uses and that are not there, each
/// with where it was looked for and what to do.
pub(super) fn missing(
    plugin: &str,
    params: &Map<String, Value>,
    settings: &EngineSettings,
) -> Vec<String> {
    let used = LIBRARIES.iter().filter(|one| one.is_used(plugin, params));
    let told = |library: &KnownLibrary| {
        let reason = find(library, settings).err()?;
        Some(format!("{}: {reason}; {ADVICE}", library.name))
    };
    used.filter_map(told).collect()
}

/// Looks for every known library.
pub(crate) fn libraries(settings: &EngineSettings) -> Vec<LibraryState> {
    LIBRARIES
        .iter()
        .map(|library| LibraryState {
            name: library.name,
            outcome: find(library, settings),
            advice: ADVICE,
        })
        .collect()
}

/// Looks for one library.
pub(crate) fn find(
    library: &KnownLibrary,
    settings: &EngineSettings,
) -> Result<FoundLibrary, String> {
    let (path, from) = if let Some(named) = named(library, settings) {
        named
    } else if let Some(path) = set_up(library, Path::new(NATIVE_DIR)) {
        (path, NATIVE_DIR)
    } else {
        let own = std::path::absolute(NATIVE_DIR).unwrap_or_else(|_| PathBuf::from(NATIVE_DIR));
        return Err(format!(
            "not in {}, and {} is not set",
            own.display(),
            library.variable
        ));
    };
    let unreadable = |error: io::Error| format!("{} ({from}): {error}", path.display());
    let absolute = path.canonicalize().map_err(unreadable)?;
    let sha256 = digest(&absolute).map_err(unreadable)?;
    // Beside the file, or above the folders that are part of its name.
    let folders = absolute
        .ancestors()
        .skip(1)
        .take(library.file.split('/').count());
    let mut records = folders.map(|folder| std::fs::read_to_string(folder.join("record.json")));
    let record = records.find_map(Result::ok);
    let record: Option<Record> = record.and_then(|text| serde_json::from_str(&text).ok());
    Ok(FoundLibrary {
        path: absolute,
        from,
        version: record.map(|record| record.version),
        sha256,
    })
}

/// The newest copy in the project's own folder, by name.
fn set_up(library: &KnownLibrary, folder: &Path) -> Option<PathBuf> {
    let prefix = format!("{}-", library.name);
    let entries = std::fs::read_dir(folder).ok()?;
    let mut found: Vec<(Vec<u64>, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(&prefix)?;
            let numbers = version
                .split('.')
                .map(|part| part.parse().unwrap_or(0))
                .collect();
            let path = entry.path().join(library.file);
            path.is_file().then_some((numbers, path))
        })
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(super::hex(&hasher.finalize())),
            count => hasher.update(&chunk[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_uses_the_library_that_its_booster_names() {
        let used = |booster: Option<&str>| -> Vec<&str> {
            let pair = booster.map(|name| ("booster".to_owned(), Value::from(name)));
            let params: Map<String, Value> = pair.into_iter().collect();
            let used = LIBRARIES
                .iter()
                .filter(|one| one.is_used("ai.fusebox.gbm", &params));
            used.map(|one| one.name).collect()
        };
        assert_eq!(used(None), ["lightgbm"]);
        assert_eq!(used(Some("lightgbm")), ["lightgbm"]);
        assert_eq!(used(Some("xgboost")), ["xgboost"]);
        assert!(
            !LIBRARIES
                .iter()
                .any(|one| one.is_used("another", &Map::new()))
        );
    }

    #[test]
    fn the_newest_copy_is_taken_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["4.7.0", "4.10.0", "4.9.1"] {
            let inner = folder.path().join(format!("lightgbm-{version}"));
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join("lib_lightgbm.so"), version).unwrap();
        }
        std::fs::create_dir(folder.path().join("lightgbm-5.0.0")).unwrap();
        let found = set_up(&LIBRARIES[0], folder.path()).unwrap();
        assert!(
            found.ends_with("lightgbm-4.10.0/lib_lightgbm.so"),
            "{found:?}"
        );
    }
}
