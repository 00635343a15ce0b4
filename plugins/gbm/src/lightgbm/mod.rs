//! LightGBM as a library found at run time: where it is looked for, and the parts used above.
//!
//! [`trainer`] is a fit, [`answers`] a model, [`refit`] new leaves for one. [`ffi`] holds the
//! calls, [`runs`] the rows handed to them, [`sample`] those that bins are found in. [`threads`] is
//! the rule that keeps concurrent calls from disagreeing on LightGBM's process-wide number of
//! threads, [`log`] the way of its messages to the host.

mod answers;
mod ffi;
mod log;
mod refit;
mod runs;
mod sample;
mod threads;
mod trainer;

use std::ffi::CString;

use fusebox_plugin_api::prelude::*;

use crate::native::{Loads, Native};

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

/// How LightGBM is found.
const NATIVE: Native = Native {
    name: "LightGBM",
    key: LIBRARY_KEY,
    variable: "FUSEBOX_LIGHTGBM_LIBRARY",
    file: match cfg!(target_os = "macos") {
        true => "lib_lightgbm.dylib",
        false => "lib_lightgbm.so",
    },
    versions: "4.7 or newer",
};

static LOADED: Loads<Library> = Loads::new();

/// The library that the key `library` names, else the variable `FUSEBOX_LIGHTGBM_LIBRARY`, else the
/// one that the system's loader finds.
pub(crate) fn library(config: &Config) -> Result<&'static Library> {
    LOADED.get(&NATIVE, config, Library::load)
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
    use crate::native::tests::pinned;

    /// The pinned library, fetched where it is missing.
    pub(crate) fn pinned_library() -> String {
        pinned("lightgbm", "lightgbm-4.7.0/lib_lightgbm.so")
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
        let reason = "lib_lightgbm.so`: cannot open shared object file: No such file";
        assert!(error.message().contains(reason), "{error}");
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
