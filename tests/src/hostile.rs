//! Builds and packages the hostile plugins of `tests/fixtures/hostile` and `rust-hostile`.
//!
//! Each is a sound package of a plugin that does harm when it is mapped, asked for its tables or
//! called. `com.example.hostile` does everything a C plugin can do, chosen by its configuration:
//! see [`fault`]. None of this is run here.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fusebox_plugin_api::abi::MODEL_ID;
use fusebox_plugin_api::config::Config;

use crate::fixtures::{build_dir, compile_against, include_dir, package, plugin_dir, project_root};

/// Id of the C plugin whose configuration selects the fault.
pub const HOSTILE: &str = "com.example.hostile";
/// Id of the C++ plugin that lets exceptions out.
pub const THROWS: &str = "com.example.throws";
/// Id of the Rust plugin whose configuration selects the fault.
pub const RUST_HOSTILE: &str = "com.example.rust-hostile";
/// Id of the plugin that does harm while it is mapped; see [`constructor`].
pub const CONSTRUCTOR: &str = "com.example.constructor";
/// Id of the plugin with NULL in its tables; see [`null_table`].
pub const NULL_TABLE: &str = "com.example.null-table";
/// Id of the plugin with tables of any size; see [`sizes`].
pub const SIZES: &str = "com.example.sizes";

/// Id of the plugin that needs a function which nobody has; see [`unresolved`].
pub const UNRESOLVED: &str = "com.example.unresolved";

/// How `hostile_host` ends where nothing happened to it.
pub const SURVIVED: u8 = 40;
/// How `hostile_host` ends where the plugin's fault was reported as an error.
pub const REPORTED: u8 = 41;
/// How `hostile_host` ends where it goes on without its descriptors, or with a thread too many.
pub const DAMAGED: u8 = 42;

/// The configuration that makes [`HOSTILE`] or [`RUST_HOSTILE`] do `fault` in the slot `at`, and
/// [`THROWS`] throw in the slot `at`. More keys: `after` (calls of the slot before it strikes),
/// `ms` (of `sleep`), `code` (of `bad-status`).
#[must_use]
pub fn fault(fault: &str, at: &str) -> Config {
    Config::new().with("fault", fault).with("at", at)
}

/// A plugin directory with [`HOSTILE`], [`THROWS`] and [`RUST_HOSTILE`], all sound until they are
/// configured to strike. Built on first use.
///
/// # Panics
/// Where a fixture does not build: the message has the compiler's words.
#[must_use]
pub fn hostile_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let build = build_dir();
        // Builds the Rust fixtures, this one with them.
        let _ = plugin_dir();
        let lock = File::create(build.join("hostile.lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be taken");
        let plugins = build.join("hostile-plugins");
        fs::create_dir_all(&plugins).expect("the plugin directory can be made");
        let rust = build.join("rust/debug/libfixture_rust_hostile.so");
        package(&plugins, &rust, &[MODEL_ID]);
        build_into(&plugins, "hostile.c", &[]);
        build_into(&plugins, "throws.cpp", &[]);
        plugins
    })
}

/// Packages [`HOSTILE`] as `version` into `root`; `bias` is added to its every answer.
///
/// # Panics
/// Where it does not build.
pub fn hostile_version(root: &Path, version: &str, bias: f32) -> PathBuf {
    let version = format!("-DHOSTILE_VERSION=\"{version}\"");
    let bias = format!("-DHOSTILE_BIAS=({bias:?}f)");
    build_into(root, "hostile.c", &[&version, &bias])
}

/// Packages [`CONSTRUCTOR`] into `root`: `how` is `segfault`, `exit`, `spin`, `abort`, or `sound`.
///
/// # Panics
/// Where it does not build.
pub fn constructor(root: &Path, how: &str) -> PathBuf {
    build_into(root, "constructor.c", &[&macro_flag("CONSTRUCTOR", how)])
}

/// Packages [`NULL_TABLE`] into `root`: `what` is `entry`, `factory`, `table`, `create`, `info`,
/// `predict`, `destroy`, `levels`, `instance`, `id`, `version`, or `optional`, which is sound.
///
/// # Panics
/// Where it does not build.
pub fn null_table(root: &Path, what: &str) -> PathBuf {
    build_into(root, "null-table.c", &[&macro_flag("NULL", what)])
}

/// Packages [`SIZES`] into `root`, with a model table and an entry that state these sizes. Garbage
/// that must not be called lies behind them.
///
/// # Panics
/// Where it does not build.
pub fn sizes(root: &Path, model: u32, entry: u32) -> PathBuf {
    let model = format!("-DMODEL_SIZE={model}u");
    let entry = format!("-DENTRY_SIZE={entry}u");
    build_into(root, "sizes.c", &[&model, &entry])
}

/// Packages [`UNRESOLVED`] into `root`.
///
/// # Panics
/// Where it does not build.
pub fn unresolved(root: &Path) -> PathBuf {
    build_into(root, "unresolved.c", &[])
}

fn macro_flag(prefix: &str, what: &str) -> String {
    format!("-D{prefix}_{}", what.to_uppercase())
}

/// The directory of the hostile sources.
#[must_use]
pub fn source_dir() -> PathBuf {
    project_root().join("tests/fixtures/hostile")
}

fn build_into(root: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let work = tempfile::tempdir().expect("a temporary directory can be made");
    let out = work.path().join(source.replace('.', "-"));
    let mut all = vec!["-pthread"];
    all.extend(flags);
    let library = compile_against(&include_dir(), &source_dir().join(source), &all, &out);
    package(root, &library, &[MODEL_ID])
}
