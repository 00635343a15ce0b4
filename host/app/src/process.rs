//! The environment of this process, set and read once, before any thread exists.
//!
//! Native libraries read some variables when they are loaded; the host gives them defaults that
//! suit it and never overrides what the user has set.

#![allow(
    unsafe_code,
    reason = "changing the environment is unsafe; it happens here, before any thread exists"
)]

/// Variables that native libraries read, with the value they get where the user has set none.
///
/// OpenMP threads that spin while they wait make LightGBM several times slower on busy cores, so
/// they wait passively, in GNU's and in LLVM's runtime. ONNX Runtime from 1.29 on reports to its
/// maker over the network unless it is told not to.
pub(crate) const DEFAULTS: [(&str, &str); 3] = [
    ("OMP_WAIT_POLICY", "passive"),
    ("KMP_BLOCKTIME", "0"),
    ("ORT_DISABLE_TELEMETRY", "1"),
];

/// Sets [`DEFAULTS`] and returns the environment. Must be the first thing that `main` does.
#[expect(
    clippy::disallowed_methods,
    reason = "the seam where the environment is set"
)]
pub(crate) fn prepare_environment() -> Vec<(String, String)> {
    for (name, value) in DEFAULTS {
        if std::env::var_os(name).is_none() {
            // SAFETY: `main` calls this function first, so no other thread reads the environment.
            unsafe { std::env::set_var(name, value) };
        }
    }
    // A name that is not Unicode can be no setting of ours. A value that is not is kept with
    // replacement characters, so that it can be refused instead of being overlooked.
    std::env::vars_os()
        .filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        })
        .collect()
}
