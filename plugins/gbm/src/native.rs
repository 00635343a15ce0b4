//! What both libraries have in common: where one is looked for, that it is loaded once and for
//! good, and what its failures are called.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fusebox_plugin_api::prelude::*;

/// Words in a library's message that say that memory ran out (`std::bad_alloc`, and what XGBoost
/// makes of it).
const OUT_OF_MEMORY: [&str; 4] = [
    "bad_alloc",
    "bad_malloc",
    "failed to allocate",
    "out of memory",
];

/// How a library is called and found.
#[derive(Debug)]
pub(crate) struct Native {
    /// Name for people.
    pub(crate) name: &'static str,
    /// The configuration key with its path; the host sets it.
    pub(crate) key: &'static str,
    /// The environment variable with its path.
    pub(crate) variable: &'static str,
    /// Its file as the system's loader finds it.
    pub(crate) file: &'static str,
    /// The versions that will do.
    pub(crate) versions: &'static str,
}

/// The libraries loaded so far, by resolved path; they stay for the life of the process.
#[derive(Debug)]
pub(crate) struct Loads<L: 'static>(Mutex<Vec<(PathBuf, &'static L)>>);

impl<L> Loads<L> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The library that the configuration or the environment names, else the one that the system's
    /// loader finds.
    pub(crate) fn get(
        &self,
        native: &Native,
        config: &Config,
        load: impl FnOnce(&Path) -> Result<&'static L>,
    ) -> Result<&'static L> {
        let path = native.path(config)?;
        let path = path.canonicalize().unwrap_or(path);
        let mut loaded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, library)) = loaded.iter().find(|(known, _)| *known == path) {
            return Ok(library);
        }
        let library = load(&path)?;
        loaded.push((path, library));
        Ok(library)
    }
}

impl Native {
    fn path(&self, config: &Config) -> Result<PathBuf> {
        let configured: Option<PathBuf> = config.optional(self.key)?;
        // The plugin's one look at the environment: a user without a host's configuration, such as
        // in a test of the library alone, has no other way to name a file.
        let from_variable = || std::env::var_os(self.variable).map(PathBuf::from);
        let path = configured.or_else(from_variable);
        let path = path.filter(|path| !path.as_os_str().is_empty());
        Ok(path.unwrap_or_else(|| PathBuf::from(self.file)))
    }

    /// The error of a library that is not there or does not load.
    pub(crate) fn cannot_be_loaded(&self, path: &Path, error: &libloading::Error) -> PluginError {
        PluginError::library(format!(
            "{} cannot be loaded from `{}`: {}; run `python3 plugins/native/fetch.py`, or set \
             the key `{}` or the variable {} to {} {}",
            self.name,
            path.display(),
            loader_reason(path, error),
            self.key,
            self.variable,
            self.file,
            self.versions
        ))
    }

    /// The error of a library that lacks something, and so is another one or an older one.
    pub(crate) fn is_another(&self, path: &Path, missing: &str) -> PluginError {
        PluginError::library(format!(
            "`{}` is not {} {} ({missing}); run `python3 plugins/native/fetch.py` for the pinned \
             one",
            path.display(),
            self.name,
            self.versions
        ))
    }

    /// The error of a call that failed, for the reason that the library gives.
    pub(crate) fn failed(&self, call: &str, reason: &str) -> PluginError {
        let (name, lower) = (self.name, reason.to_lowercase());
        match OUT_OF_MEMORY.iter().any(|words| lower.contains(words)) {
            true => PluginError::new(
                Status::Memory,
                format!(
                    "{name} ran out of memory in {call} ({reason}); take fewer rows or columns, or \
                     lower `max_bin` or `num_leaves`"
                ),
            ),
            false => PluginError::internal(format!("{name} {call} failed: {reason}")),
        }
    }
}

/// What the system's loader says; the error itself names only the call. A message that begins with
/// this file goes on from there, and one of another file, which this one needs, stays whole.
pub(crate) fn loader_reason(path: &Path, error: &libloading::Error) -> String {
    let source = std::error::Error::source(error);
    let told = source.map_or_else(|| error.to_string(), ToString::to_string);
    match told.split_once(": ") {
        Some((place, reason)) if Path::new(place).file_name() == path.file_name() => {
            reason.to_owned()
        }
        _ => told,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file below the directory of the pinned libraries, fetched where it is missing.
    pub(crate) fn pinned(only: &str, file: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fetched = std::process::Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", only])
            .current_dir(&root)
            .output()
            .expect("python3 is needed to fetch the libraries: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{problem}");
        let path = root.join(".fusebox/native").join(file);
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn memory_that_ran_out_is_told_from_other_failures() {
        let native = Native {
            name: "SomeBoost",
            key: "library",
            variable: "LIBRARY",
            file: "libsome.so",
            versions: "1.0",
        };
        for reason in ["std::bad_alloc", "bad_malloc: Failed to allocate 5 bytes"] {
            let error = native.failed("BoosterUpdateOneIter", reason);
            assert_eq!(error.status(), Status::Memory);
            assert!(error.message().contains(reason), "{error}");
        }
        let error = native.failed("BoosterCreate", "a wrong parameter");
        assert_eq!(error.status(), Status::Internal);
    }
}
