//! XGBoost as a library found at run time: where it is looked for, and the parts used above.
//!
//! [`trainer`] is a fit, [`answers`] a model, [`refresh`] new leaves for one, [`array`] how rows
//! and answers are described to the library, and [`ffi`] holds the calls. XGBoost takes its number
//! of threads with every booster, so nothing like LightGBM's gate is needed.

mod answers;
mod array;
mod ffi;
mod refresh;
mod trainer;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fusebox_plugin_api::prelude::*;

pub(crate) use answers::XgBoostAnswers;
pub(crate) use ffi::Library;
#[cfg(test)]
pub(crate) use ffi::{Booster, Matrix};
pub(crate) use refresh::refresh;
pub(crate) use trainer::XgBoostTrainer;

/// The configuration key with the path of the library; the host sets it.
pub(crate) const LIBRARY_KEY: &str = "xgboost_library";
const LIBRARY_VARIABLE: &str = "FUSEBOX_XGBOOST_LIBRARY";

#[cfg(target_os = "macos")]
const SYSTEM_NAME: &str = "libxgboost.dylib";
#[cfg(not(target_os = "macos"))]
const SYSTEM_NAME: &str = "libxgboost.so";

/// The version whose model text and arithmetic this plugin knows: at least this minor version of
/// this major one.
const VERSION: (i32, i32) = (3, 4);

/// Libraries loaded so far, by resolved path; they stay for the life of the process.
static LOADED: Mutex<Vec<(PathBuf, &'static Library)>> = Mutex::new(Vec::new());

/// The library that the key `xgboost_library` names, else the variable `FUSEBOX_XGBOOST_LIBRARY`,
/// else the one that the system's loader finds.
pub(crate) fn library(config: &Config) -> Result<&'static Library> {
    let configured: Option<PathBuf> = config.optional(LIBRARY_KEY)?;
    // As for LightGBM: a user without a host's configuration has no other way to name a file.
    let from_variable = || std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
    let path = configured
        .or_else(from_variable)
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| PathBuf::from(SYSTEM_NAME));
    let resolved = path.canonicalize().unwrap_or(path);
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
        "XGBoost cannot be loaded from `{}`: {error}; run `python3 plugins/native/fetch.py`, or \
         set the key `{LIBRARY_KEY}` or the variable {LIBRARY_VARIABLE} to libxgboost.so 3.4",
        path.display()
    ))
}

/// Refuses a version whose models this plugin does not know.
fn check_version(path: &Path, (major, minor): (i32, i32)) -> Result<()> {
    if major == VERSION.0 && minor >= VERSION.1 {
        return Ok(());
    }
    Err(PluginError::library(format!(
        "`{}` is XGBoost {major}.{minor}, needed is {}.{} or a later {}.x; run \
         `python3 plugins/native/fetch.py` for the pinned one",
        path.display(),
        VERSION.0,
        VERSION.1,
        VERSION.0
    )))
}

/// What is wrong, from a message of the form `[time] file:line: what is wrong` and a stack trace.
fn reason(text: &str) -> &str {
    let line = text.lines().next().unwrap_or(text);
    let place = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    let without_place = place.and_then(|(_, rest)| rest.split_once(": "));
    without_place.map_or(line, |(_, reason)| reason)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The pinned library, fetched where it is missing.
    pub(crate) fn pinned_library() -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fetched = std::process::Command::new("python3")
            .args(["plugins/native/fetch.py", "--only", "xgboost"])
            .current_dir(&root)
            .output()
            .expect("python3 is needed to fetch XGBoost: install Python 3.11");
        let problem = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "{problem}");
        let path = root.join(".fusebox/native/xgboost-3.4.1/xgboost/lib/libxgboost.so");
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn a_missing_library_says_how_to_get_it() {
        let config = Config::new().with(LIBRARY_KEY, "/nowhere/libxgboost.so");
        let error = library(&config).unwrap_err();
        assert_eq!(error.status(), Status::Library);
        for part in ["/nowhere/libxgboost.so", "plugins/native/fetch.py"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn another_library_and_another_version_are_refused() {
        let config = Config::new().with(LIBRARY_KEY, "libm.so.6");
        let error = library(&config).unwrap_err();
        assert_eq!(error.status(), Status::Library);
        assert!(error.message().contains("is not XGBoost"), "{error}");
        let path = Path::new("/old/libxgboost.so");
        for version in [(1, 7), (3, 3), (4, 0)] {
            let error = check_version(path, version).unwrap_err();
            assert!(error.message().contains("needed is 3.4"), "{error}");
        }
        assert!(check_version(path, (3, 4)).is_ok() && check_version(path, (3, 5)).is_ok());
    }

    #[test]
    fn messages_lose_their_time_place_and_stack() {
        let text = "[04:47:56] /workspace/src/obj.cu:85: label: must be positive\nStack trace:\n";
        assert_eq!(reason(text), "label: must be positive");
        assert_eq!(reason("plain: words"), "plain: words");
    }

    #[test]
    fn the_pinned_library_is_loaded_once() {
        let config = Config::new().with(LIBRARY_KEY, pinned_library());
        let first = library(&config).unwrap();
        assert!(std::ptr::eq(first, library(&config).unwrap()));
    }
}
