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

use std::path::Path;

use fusebox_plugin_api::prelude::*;

use crate::native::{Loads, Native};

pub(crate) use answers::XgBoostAnswers;
pub(crate) use ffi::Library;
#[cfg(test)]
pub(crate) use ffi::{Booster, Matrix};
pub(crate) use refresh::refresh;
pub(crate) use trainer::XgBoostTrainer;

/// The configuration key with the path of the library; the host sets it.
pub(crate) const LIBRARY_KEY: &str = "xgboost_library";

/// How XGBoost is found.
const NATIVE: Native = Native {
    name: "XGBoost",
    key: LIBRARY_KEY,
    variable: "FUSEBOX_XGBOOST_LIBRARY",
    file: match cfg!(target_os = "macos") {
        true => "libxgboost.dylib",
        false => "libxgboost.so",
    },
    versions: "3.4 or a later 3.x",
};

/// The version whose model text and arithmetic this plugin knows: at least this minor version of
/// this major one.
const VERSION: (i32, i32) = (3, 4);

static LOADED: Loads<Library> = Loads::new();

/// The library that the key `xgboost_library` names, else the variable `FUSEBOX_XGBOOST_LIBRARY`,
/// else the one that the system's loader finds.
pub(crate) fn library(config: &Config) -> Result<&'static Library> {
    LOADED.get(&NATIVE, config, Library::load)
}

/// Refuses a version whose models this plugin does not know.
fn check_version(path: &Path, (major, minor): (i32, i32)) -> Result<()> {
    if major == VERSION.0 && minor >= VERSION.1 {
        return Ok(());
    }
    Err(NATIVE.is_another(path, &format!("it is {major}.{minor}")))
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
    use crate::native::tests::pinned;

    /// The pinned library, fetched where it is missing.
    pub(crate) fn pinned_library() -> String {
        pinned("xgboost", "xgboost-3.4.1/xgboost/lib/libxgboost.so")
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
        let missing = "(undefined symbol: XGBoostVersion)";
        assert!(error.message().contains(missing), "{error}");
        let path = Path::new("/old/libxgboost.so");
        for version in [(1, 7), (3, 3), (4, 0)] {
            let error = check_version(path, version).unwrap_err();
            assert!(
                error
                    .message()
                    .contains("is not XGBoost 3.4 or a later 3.x"),
                "{error}"
            );
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
