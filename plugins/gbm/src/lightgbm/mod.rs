//! LightGBM as a library found at run time: where it is looked for, and the parts used above.
//!
//! [`trainer`] is a fit, [`answers`] a model, [`refit`] new leaves for one. [`ffi`] holds the
//! calls, [`runs`] the rows handed to them, [`threads`] the rule that keeps concurrent calls from
//! disagreeing on LightGBM's process-wide number of threads, [`log`] the way of its messages to the
//! host.

mod answers;
mod ffi;
mod log;
mod refit;
mod runs;
mod threads;
mod trainer;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fusebox_plugin_api::prelude::*;

pub(crate) use answers::LightGbmAnswers;
pub(crate) use ffi::Library;
use ffi::RowPredictor;
#[cfg(test)]
pub(crate) use ffi::{Binned, Booster, Training};
#[cfg(not(test))]
use ffi::{Binned, Booster, Training};
use log::LogRelay;
pub(crate) use refit::refit;
pub(crate) use runs::Runs;
pub(crate) use threads::acquire;
use threads::{Grant, share, try_acquire};
pub(crate) use trainer::LightGbmTrainer;

/// Values of a field of a data set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FieldValues<'a> {
    /// For labels and weights.
    Float(&'a [f32]),
    /// For scores to start from.
    Double(&'a [f64]),
}

/// What a prediction yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Probabilities, or the value of a regression.
    Normal = 0,
    /// The sum of the trees.
    Raw = 1,
    /// The number of the leaf reached in each tree.
    Leaves = 2,
    /// One SHAP value per column plus the expected value, per class.
    Contributions = 3,
}

/// The configuration key with the path of the library; the host sets it.
pub(crate) const LIBRARY_KEY: &str = "library";
const LIBRARY_VARIABLE: &str = "FUSEBOX_LIGHTGBM_LIBRARY";

#[cfg(target_os = "macos")]
const SYSTEM_NAME: &str = "lib_lightgbm.dylib";
#[cfg(not(target_os = "macos"))]
const SYSTEM_NAME: &str = "lib_lightgbm.so";

/// Libraries loaded so far, by resolved path; they stay for the life of the process.
static LOADED: Mutex<Vec<(PathBuf, &'static Library)>> = Mutex::new(Vec::new());

/// The library that the key `library` names, else the variable `FUSEBOX_LIGHTGBM_LIBRARY`, else the
/// one that the system's loader finds.
pub(crate) fn library(config: &Config) -> Result<&'static Library> {
    let configured: Option<PathBuf> = config.optional(LIBRARY_KEY)?;
    // The plugin's one look at the environment: a user without a host's configuration, such as in
    // a test of the library alone, has no other way to name a file.
    let from_variable = || std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
    let path = configured
        .or_else(from_variable)
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| PathBuf::from(SYSTEM_NAME));
    load(&path)
}

fn load(path: &Path) -> Result<&'static Library> {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, library)) = loaded.iter().find(|(known, _)| *known == resolved) {
        return Ok(library);
    }
    let library = Library::load(&resolved)?;
    loaded.push((resolved, library));
    Ok(library)
}

fn cannot_be_loaded(path: &Path, error: &libloading::Error) -> PluginError {
    PluginError::library(format!(
        "LightGBM cannot be loaded from `{}`: {error}; run `python3 plugins/native/fetch.py`, or \
         set the key `{LIBRARY_KEY}` or the variable {LIBRARY_VARIABLE} to lib_lightgbm.so 4.7 or \
         newer",
        path.display()
    ))
}

fn is_too_old(path: &Path, missing: &str) -> PluginError {
    PluginError::library(format!(
        "`{}` is not LightGBM 4.7 or newer (it lacks {missing}); run \
         `python3 plugins/native/fetch.py` for the pinned one",
        path.display()
    ))
}

/// Puts quantiles that cross in order: of several boosters each knows only its own level, and the
/// rearranged answers are never further from the truth (Chernozhukov, Fernandez-Val and Galichon
/// 2010).
fn ascending(quantiles: &mut [f64]) {
    quantiles.sort_by(f64::total_cmp);
}

/// Joins LightGBM parameters into its `key=value` text.
pub(crate) fn parameter_text(pairs: &[(&str, String)]) -> Result<CString> {
    let words: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    CString::new(words.join(" "))
        .map_err(|_| PluginError::config("a parameter contains a zero byte"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The pinned library, fetched where it is missing.
    pub(crate) fn pinned_library() -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fetched = std::process::Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", "lightgbm"])
            .current_dir(&root)
            .output()
            .expect("python3 is needed to fetch LightGBM: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{problem}");
        let path = root.join(".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so");
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn a_missing_library_says_how_to_get_it() {
        let config = Config::new().with(LIBRARY_KEY, "/nowhere/lib_lightgbm.so");
        let error = library(&config).unwrap_err();
        assert_eq!(error.status(), Status::Library);
        assert!(
            error.message().contains("/nowhere/lib_lightgbm.so"),
            "{error}"
        );
        assert!(
            error.message().contains("plugins/native/fetch.py"),
            "{error}"
        );
    }

    #[test]
    fn a_library_without_the_version_symbol_is_refused() {
        let config = Config::new().with(LIBRARY_KEY, "libm.so.6");
        let error = library(&config).unwrap_err();
        assert_eq!(error.status(), Status::Library);
        assert!(
            error.message().contains("not LightGBM 4.7 or newer"),
            "{error}"
        );
    }

    #[test]
    fn one_path_is_loaded_once() {
        let config = Config::new().with(LIBRARY_KEY, pinned_library());
        let first = library(&config).unwrap();
        assert!(std::ptr::eq(first, library(&config).unwrap()));
    }
}
