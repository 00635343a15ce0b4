//! The version of a library of ONNX Runtime, asked before anything else is.
//!
//! Older versions stop the process when they are used with newer tables, so a library that is too
//! old must never get as far. Opening it and asking its version is safe with every version that
//! there was: the two calls have been the first ones of its interface since 1.0.

#![allow(
    unsafe_code,
    reason = "opens a library and calls its first two functions, which have only a C interface"
)]

use std::ffi::{CStr, c_char};
use std::path::Path;

use fusebox_plugin_api::prelude::*;

/// Beginning of the only table that every version has.
#[repr(C)]
struct ApiBase {
    api: unsafe extern "C" fn(u32) -> *const std::ffi::c_void,
    version: unsafe extern "C" fn() -> *const c_char,
}

/// Set to 1, it keeps versions that report over the network from it.
pub(crate) const SILENCE: &str = "ORT_DISABLE_TELEMETRY";

/// Oldest version that is used.
pub(crate) const OLDEST: (u32, u32) = (1, 24);

/// The version of the library at `path`, such as `1.28.0`; refused where it is too old.
pub(crate) fn checked(path: &Path, advice: &str) -> Result<String> {
    let shown = path.display();
    let refuse = |words: String| PluginError::library(format!("{words}; {advice}"));
    // SAFETY: opening runs the initialisers of a library that the operator named; those of ONNX
    // Runtime set up nothing but memory of their own.
    let library = unsafe { libloading::Library::new(path) };
    let library = library.map_err(|error| {
        // What the loader of the system said stands behind the error, which only says that it
        // failed.
        let source = std::error::Error::source(&error);
        let told = source.map_or_else(|| error.to_string(), ToString::to_string);
        refuse(format!(
            "ONNX Runtime cannot be loaded from `{shown}`: {told}"
        ))
    })?;
    // SAFETY: the symbol of this name is a function without arguments in every version.
    let base = unsafe { library.get::<unsafe extern "C" fn() -> *const ApiBase>(b"OrtGetApiBase") };
    let base = base.map_err(|_| {
        refuse(format!(
            "`{shown}` is not ONNX Runtime (it lacks `OrtGetApiBase`)"
        ))
    })?;
    // SAFETY: the function takes nothing and returns a table that lives as long as the library.
    let base = unsafe { base() };
    // SAFETY: the table is NULL or as every version has it.
    let base = unsafe { base.as_ref() };
    let base = base.ok_or_else(|| refuse(format!("`{shown}` offers no interface")))?;
    let _ = base.api;
    // SAFETY: the function takes nothing.
    let text = unsafe { (base.version)() };
    if text.is_null() {
        return Err(refuse(format!("`{shown}` does not say its version")));
    }
    // SAFETY: the text is zero-terminated and lives as long as the library, which is open.
    let text = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    match numbers(&text) {
        Some(version) if version >= OLDEST && version.0 == OLDEST.0 => {
            // Its threads may outlive every handle.
            std::mem::forget(library);
            Ok(text)
        }
        _ => {
            let (major, minor) = OLDEST;
            // It is not closed either: some old versions do not survive that.
            std::mem::forget(library);
            Err(refuse(format!(
                "`{shown}` is ONNX Runtime {text}, needed is {major}.{minor} or a later {major}.x; \
                 it was not used"
            )))
        }
    }
}

/// Whether a version reports to its maker over the network, from a thread of its own, unless the
/// variable [`SILENCE`] keeps it from that.
pub(crate) fn reports(version: &str) -> bool {
    numbers(version).is_none_or(|version| version >= (1, 29))
}

/// The first two numbers of a version.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("1.9.0") < Some(OLDEST));
        assert!(numbers("1.24.4") >= Some(OLDEST));
        assert!(numbers("1.100.0") >= Some(OLDEST));
        assert_eq!(numbers("x"), None);
        assert!(!reports("1.28.0") && reports("1.29.0") && reports("1.100.1"));
    }
}
