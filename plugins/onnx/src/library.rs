//! ONNX Runtime as a library found at run time, and the one environment of this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fusebox_plugin_api::prelude::*;
use ort::environment::Environment;

use crate::version::{self, SILENCE};

/// The configuration key with the path of the library; the host sets it.
pub(crate) const LIBRARY_KEY: &str = "library";
const LIBRARY_VARIABLE: &str = "FUSEBOX_ONNXRUNTIME_LIBRARY";

#[cfg(target_os = "macos")]
const SYSTEM_NAME: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const SYSTEM_NAME: &str = "libonnxruntime.so";

/// The runtime, for the life of the process.
#[derive(Clone)]
pub(crate) struct Runtime {
    /// What sessions are made in.
    pub(crate) environment: Environment,
    /// Version of the library.
    pub(crate) version: String,
    path: PathBuf,
}

/// ONNX Runtime allows one environment, so the first library stays.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// The runtime of the library that `configured` names, else the variable
/// `FUSEBOX_ONNXRUNTIME_LIBRARY`, else the one that the system's loader finds.
pub(crate) fn runtime(configured: Option<&Path>) -> Result<Runtime> {
    // A look at the environment: a user without a host's configuration, such as in
    // a test of the library alone, has no other way to name a file.
    let from_variable = || std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from);
    let path = configured
        .map(Path::to_owned)
        .or_else(from_variable)
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| PathBuf::from(SYSTEM_NAME));
    let path = path.canonicalize().unwrap_or(path);
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = runtime.as_ref() {
        return match known.path == path {
            true => Ok(known.clone()),
            false => Err(PluginError::library(format!(
                "this process uses ONNX Runtime {} from `{}` already, and can use no other; name \
                 that one instead of `{}`, or start again",
                known.version,
                known.path.display(),
                path.display()
            ))),
        };
    }
    let made = start(path)?;
    *runtime = Some(made.clone());
    Ok(made)
}

fn start(path: PathBuf) -> Result<Runtime> {
    let version = version::checked(&path, &advice())?;
    // The other look at the environment: only there can the runtime be told not to report.
    let silenced = std::env::var_os(SILENCE).is_some_and(|value| !value.is_empty() && value != "0");
    if version::reports(&version) && !silenced {
        return Err(PluginError::library(format!(
            "ONNX Runtime {version} reports to its maker over the network; start the program with \
             {SILENCE}=1, or use 1.28"
        )));
    }
    let failed = |error: &dyn std::fmt::Display| {
        let path = path.display();
        PluginError::library(format!(
            "ONNX Runtime {version} from `{path}` does not start: {error}"
        ))
    };
    let builder = ort::init_from(&path).map_err(|error| failed(&error))?;
    let builder = builder.with_name("fusebox").with_telemetry(false);
    let environment = builder.with_logger(Arc::new(relay)).build();
    let environment = environment.map_err(|error| failed(&error))?;
    environment.set_log_level(ort::logging::LogLevel::Warning);
    Ok(Runtime {
        environment,
        version,
        path,
    })
}

fn advice() -> String {
    format!(
        "fetch it with `python3 plugins/native/fetch.py --only onnxruntime` (`make setup` does), \
         or name {SYSTEM_NAME} {}.{} or newer: for the host as `engine.libraries.onnxruntime`, for \
         this model by the key `{LIBRARY_KEY}`, or by the variable {LIBRARY_VARIABLE}",
        version::OLDEST.0,
        version::OLDEST.1
    )
}

/// Passes on what the runtime says. What it calls an error has its own error beside it, and what it
/// calls a warning is mostly about hardware that is not there.
fn relay(level: ort::logging::LogLevel, _: &str, _: &str, place: &str, message: &str) {
    let level = match level {
        ort::logging::LogLevel::Fatal => LogLevel::Error,
        ort::logging::LogLevel::Error => LogLevel::Info,
        ort::logging::LogLevel::Warning => LogLevel::Debug,
        _ => return,
    };
    log(level, &format!("ONNX Runtime: {message} ({place})"));
}
