//! Builds and packages the fixture plugins of `tests/fixtures/plugins`.
//!
//! Each is built the way an outside author would: Rust with cargo in a workspace of its own, C and
//! C++ with the system compiler against the header. A build happens once per test process; a file
//! lock keeps processes that run at the same time apart.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use fusebox_loader::generation::sha256_hex;
use fusebox_loader::manifest::{Artifact, MANIFEST_VERSION, host_target};
use fusebox_loader::{Manifest, PackageSpec, write_package};
use fusebox_plugin_api::abi::{LEARNER_ID, MODEL_ID};

/// Flags under which the header and the fixtures must compile without a word.
const STRICT: [&str; 4] = ["-pedantic", "-Wall", "-Wextra", "-Werror"];

/// The root of the project.
#[must_use]
pub fn project_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests lie in the project")
        .to_owned()
}

/// The directory of `fusebox_plugin.h`.
#[must_use]
pub fn include_dir() -> PathBuf {
    project_root().join("plugin-api/include")
}

/// The directory of the fixture sources.
#[must_use]
pub fn source_dir() -> PathBuf {
    project_root().join("tests/fixtures/plugins")
}

/// Where builds of the fixtures go: beside the build of the tests themselves.
#[must_use]
pub fn build_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let target = test
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    target
        .map_or_else(|| project_root().join("target"), Path::to_owned)
        .join("fixtures")
}

/// The plugin directory with every sound fixture packaged in it, built on first use.
///
/// # Panics
/// Where a fixture does not build: the message has the compiler's words.
#[must_use]
pub fn plugin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let build = build_dir();
        fs::create_dir_all(&build).expect("the build directory can be made");
        let lock = File::create(build.join("build.lock")).expect("the lock file can be made");
        lock.lock().expect("the lock can be taken");
        let plugins = build.join("plugins");
        let [bad_learner, ema, panics] = build_rust(&build);
        package(&plugins, &bad_learner, &[MODEL_ID, LEARNER_ID]);
        package(&plugins, &ema, &[MODEL_ID]);
        package(&plugins, &panics, &[MODEL_ID, LEARNER_ID]);
        for source in ["ema-c/ema.c", "returns-nan/nan.c", "small-struct/small.c"] {
            package(&plugins, &compile(source, &[], &build), &[MODEL_ID]);
        }
        package(
            &plugins,
            &compile("ema-cpp/ema.cpp", &[], &build),
            &[MODEL_ID],
        );
        plugins
    })
}

/// Packages a library, replacing what is there, and returns the package directory.
///
/// # Panics
/// Where the library is no plugin.
pub fn package(root: &Path, library: &Path, kinds: &[&str]) -> PathBuf {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let spec = PackageSpec {
        kinds,
        replace: true,
        ..PackageSpec::new(library)
    };
    write_package(root, &spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Packages a library that the package writer would refuse: the manifest is written by hand.
///
/// # Panics
/// Where a file cannot be written.
pub fn package_unchecked(root: &Path, library: &Path, id: &str, version: &str) -> PathBuf {
    let package = root.join(id).join(version);
    let path = format!("{}/libplugin.so", host_target());
    fs::create_dir_all(package.join(host_target())).expect("the package can be made");
    let bytes = fs::read(library).expect("the library can be read");
    fs::write(package.join(&path), &bytes).expect("the library can be copied");
    let sha256 = sha256_hex(&bytes);
    let manifest = Manifest {
        manifest: MANIFEST_VERSION,
        id: id.to_owned(),
        version: version.to_owned(),
        abi: "1.0".to_owned(),
        kind: vec![MODEL_ID.to_owned()],
        artifact: [(host_target(), Artifact { path, sha256 })].into(),
        ..Manifest::default()
    };
    fs::write(package.join("plugin.toml"), manifest.to_toml()).expect("the manifest is written");
    package
}

/// Compiles a C or C++ fixture into a library under `out` and returns its path.
///
/// # Panics
/// Where the compiler has something to say.
#[must_use]
pub fn compile(source: &str, flags: &[&str], out: &Path) -> PathBuf {
    let stem = source.replace(['/', '.'], "-");
    compile_against(
        &include_dir(),
        &source_dir().join(source),
        flags,
        &out.join(stem),
    )
}

/// Compiles a C or C++ file against the header in `include`, into the library that `out` names
/// without its flags and its ending, and returns its path.
///
/// # Panics
/// Where the compiler has something to say.
#[must_use]
pub fn compile_against(include: &Path, source: &Path, flags: &[&str], out: &Path) -> PathBuf {
    let (compiler, standard) = if source.extension().is_some_and(|end| end == "cpp") {
        ("g++", "-std=c++17")
    } else {
        ("gcc", "-std=c11")
    };
    let tag: String = flags
        .concat()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let stem = out.file_name().expect("a library has a name");
    let library = out.with_file_name(format!("lib{}{tag}.so", stem.to_string_lossy()));
    let mut command = Command::new(compiler);
    command
        .arg(standard)
        .args(STRICT)
        .args(["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]);
    command.args(flags).arg("-I").arg(include);
    run(command.arg(source).arg("-o").arg(&library));
    library
}

/// Compiles a program called `name` against the header, runs it and returns what it prints.
///
/// # Panics
/// Where it does not compile or fails.
#[must_use]
pub fn compile_and_run(name: &str, text: &str) -> String {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (source, program) = (dir.path().join(name), dir.path().join("program"));
    fs::write(&source, text).expect("the source is written");
    let is_cpp = name.ends_with(".cpp");
    let (compiler, standard) = if is_cpp {
        ("g++", "-std=c++17")
    } else {
        ("gcc", "-std=c11")
    };
    let mut command = Command::new(compiler);
    command
        .arg(standard)
        .args(STRICT)
        .arg("-I")
        .arg(include_dir());
    run(command.arg(&source).arg("-o").arg(&program));
    run(&mut Command::new(&program))
}

/// Builds the Rust fixtures and returns the libraries of `bad-learner`, `ema-rust` and `panics`.
fn build_rust(build: &Path) -> [PathBuf; 3] {
    let target = build.join("rust");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--offline", "--locked"])
        .current_dir(source_dir());
    // The flags and the target directory of the tests are not those of an outside author.
    cargo
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &target);
    run(&mut cargo);
    let library = |name: &str| target.join("debug").join(format!("libfixture_{name}.so"));
    ["bad_learner", "ema_rust", "panics"].map(library)
}

/// Runs a command that must succeed.
///
/// # Panics
/// Where it fails, with its output.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; is it installed?"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?} failed:\n{out}{err}");
    out.into_owned()
}
