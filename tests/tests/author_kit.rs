//! The author's kit, used as an author would: `plugin new`, `make`, `plugin check`; and plugins
//! that each break one promise, which the kit must name.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusebox_loader::{PackageSpec, write_package};
use fusebox_tests::binary::{self, Ran, fusebox};
use fusebox_tests::fixtures::{self, build_dir, project_root};
use fusebox_tests::live::{ema, version};
use serde_json::Value;

/// `make` in a project, the way an author calls it.
fn make(project: &Path, arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    // The tests' own flags are not an author's; the target directory is shared, so that the
    // dependencies of Rust projects are built once.
    make.current_dir(project)
        .args(arguments)
        .arg(format!("CARGO={}", env!("CARGO")))
        .arg(format!("FUSEBOX={}", fusebox().display()))
        .env_remove("RUSTFLAGS")
        .env_remove("MAKEFLAGS")
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", build_dir().join("author-kit"));
    fixtures::run(&mut make)
}

fn new_project(dir: &Path, language: &str) -> PathBuf {
    let name = format!("new-{language}");
    let ran = binary::run(dir, &["plugin", "new", &name, "--lang", language]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    dir.join(name)
}

fn library_of(project: &Path, language: &str) -> PathBuf {
    project.join(format!("build/libnew_{language}.so"))
}

/// Runs the kit on `path` with further arguments.
fn check(path: &Path, arguments: &[&str]) -> Ran {
    let path = path.to_string_lossy();
    let mut all = vec!["plugin", "check", &path, "--json", "--quick"];
    all.extend(arguments);
    binary::run(&project_root(), &all)
}

fn case<'a>(report: &'a Value, name: &str) -> &'a Value {
    let cases = report["cases"].as_array().unwrap();
    let found = cases.iter().find(|case| case["name"] == name);
    found.unwrap_or_else(|| panic!("{name} was not tried: {report}"))
}

fn failed(report: &Value) -> Vec<&str> {
    let cases = report["cases"].as_array().unwrap();
    let failed = cases.iter().filter(|case| case["status"] == "failed");
    failed.map(|case| case["name"].as_str().unwrap()).collect()
}

/// A new project builds, passes its own tests, and keeps the contract up to `level`.
fn project_conforms(language: &str, level: &str) {
    let dir = tempfile::tempdir().unwrap();
    let project = new_project(dir.path(), language);
    make(&project, &[]);
    make(&project, &["test"]);
    let ran = check(&library_of(&project, language), &["--level", level]);
    let report = ran.json();
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report:#}");
    assert_eq!(ran.code, Some(0));
    assert_eq!(report["reached"].to_string(), level);
    for claim in ["predict-no-allocation", "predict-no-system-call"] {
        assert_eq!(case(&report, claim)["status"], "passed", "{report:#}");
    }
    // Without --quick, as the project's own command does it.
    let told = make(&project, &["check", "package"]);
    assert!(
        told.contains("level 7 of 10 reached: installable, may run in-process"),
        "{told}"
    );
    let package = project.join(format!("dist/com.example.new-{language}/0.1.0"));
    let report = check(&package, &["--level", "7"]).json();
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report:#}");
    assert_eq!(case(&report, "state-schema-as-stated")["status"], "passed");
    let readme = fs::read_to_string(project.join("README.md")).unwrap();
    assert!(!readme.contains("{{"), "{readme}");
}

#[test]
fn a_new_project_in_c_conforms_at_every_level() {
    project_conforms("c", "10");
}

#[test]
fn a_new_project_in_cpp_conforms() {
    project_conforms("cpp", "7");
}

#[test]
fn a_new_project_in_rust_conforms() {
    project_conforms("rust", "7");
}

#[test]
fn the_contract_inside_a_project_is_the_one_of_this_tree() {
    let dir = tempfile::tempdir().unwrap();
    for (language, inside) in [("c", "include"), ("rust", "fusebox-plugin-api")] {
        let project = new_project(dir.path(), language).join(inside);
        let mut sums = Command::new("sha256sum");
        fixtures::run(
            sums.args(["--check", "--strict", "SHA256SUMS"])
                .current_dir(&project),
        );
    }
    let header = fs::read(dir.path().join("new-c/include/fusebox_plugin.h")).unwrap();
    assert_eq!(
        header,
        fs::read(fixtures::include_dir().join("fusebox_plugin.h")).unwrap()
    );
    let nested = dir
        .path()
        .join("new-rust/fusebox-plugin-api/src/export/thunks.rs");
    let own = project_root().join("plugin-api/src/export/thunks.rs");
    assert_eq!(fs::read(nested).unwrap(), fs::read(own).unwrap());
}

#[test]
fn a_project_overwrites_nothing_and_its_names_are_checked_together() {
    let dir = tempfile::tempdir().unwrap();
    let project = new_project(dir.path(), "c");
    let before = fs::read(project.join("Makefile")).unwrap();
    let ran = binary::run(dir.path(), &["plugin", "new", "new-c", "--lang", "c"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("exists and is not empty"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read(project.join("Makefile")).unwrap(), before);

    let ran = binary::run(dir.path(), &["plugin", "new", "New_C", "--id", "plain"]);
    assert_eq!(ran.code, Some(2));
    for words in [
        "the name `New_C` must be",
        "the id `plain` must be reverse DNS",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
}

/// Compiles `broken.c` with one fault, the way an author would link it.
fn broken(dir: &Path, fault: &str, flags: &[&str]) -> PathBuf {
    let library = dir.join(format!("lib{fault}.so"));
    // The preprocessor does not know the names of the enumeration.
    let fault = if fault == "TWO_SYMBOLS" { "1" } else { fault };
    let mut gcc = Command::new("gcc");
    gcc.args([
        "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
    ])
    .args(["-fvisibility=hidden", "-Wl,-z,now"])
    .arg(format!("-DBROKEN={fault}"))
    .args(flags)
    .arg("-I")
    .arg(fixtures::include_dir())
    .arg(project_root().join("tests/fixtures/broken/broken.c"))
    .arg("-o")
    .arg(&library)
    .arg("-lm");
    fixtures::run(&mut gcc);
    library
}

/// Each fault, the case that must fail, and words of what was found.
const FAULTS: [(&str, &str, &str); 30] = [
    (
        "TWO_SYMBOLS",
        "one-exported-symbol",
        "exports 1 more than `fusebox_plugin_entry_v1`: `broken",
    ),
    (
        "PRINTS_ON_LOAD",
        "load-touches-nothing",
        "called `puts` while it was loaded",
    ),
    (
        "OPENS_ON_LOAD",
        "load-touches-nothing",
        "called `open` while it was loaded",
    ),
    ("OPENS_ON_LOAD", "load-leaves-nothing", "/etc/hostname"),
    (
        "LOOSE_FACTORY",
        "odd-factory-ids-null",
        "compare the whole length",
    ),
    (
        "OTHER_ENTRY_VERSION",
        "entry-equals-manifest",
        "the entry says com.example.broken 1.0.1",
    ),
    (
        "CRASHES_ON_BAD_CONFIG",
        "bad-config-refused",
        "died of SIGSEGV (signal 11)",
    ),
    (
        "SILENT_ON_BAD_CONFIG",
        "bad-config-refused",
        "without a message",
    ),
    (
        "LEAKS",
        "create-destroy-no-growth",
        "does destroy free everything?",
    ),
    (
        "SHARES_STATE",
        "two-instances-independent",
        "after another one was used",
    ),
    (
        "EXITS_IN_CREATE",
        "info-constant",
        "exit code 3; a plugin must never call exit()",
    ),
    (
        "WRITES_PAST_OUTPUT",
        "predict-inside-its-memory",
        "died of SIGSEGV",
    ),
    (
        "WRITES_PAST_OUTPUT",
        "predict-between-rows",
        "wrote at output[1], which is not its",
    ),
    (
        "WRITES_BETWEEN_ROWS",
        "predict-between-rows",
        "wrote at output[1], which is not its",
    ),
    (
        "READS_PAST_INPUT",
        "predict-inside-its-memory",
        "died of SIGSEGV",
    ),
    (
        "FORGETS_STATE",
        "snapshot-roundtrip-bit-exact",
        "takes another snapshot",
    ),
    ("FORGETS_STATE", "reload-soak", "lost state"),
    (
        "TAKES_ANY_STATE",
        "restore-newer-schema-refused",
        "took over a state of schema 2",
    ),
    (
        "IGNORES_SINK",
        "snapshot-to-failing-sink",
        "reported success although the sink",
    ),
    (
        "LEAKS_THREAD",
        "no-thread-left",
        "left after quiesce; join them",
    ),
    (
        "KEEPS_STATE_IN_THREAD",
        "threads-in-turn",
        "not in thread-locals",
    ),
    (
        "HANGS_IN_QUIESCE",
        "destroy-at-any-time",
        "was not done after 3 s and was killed",
    ),
    (
        "ALLOCATES",
        "predict-no-allocation",
        "called `malloc` in predict",
    ),
    (
        "ALLOCATES_THROUGH_LIBRARY",
        "predict-no-allocation",
        "libc.so.6",
    ),
    (
        "CALLS_KERNEL",
        "predict-no-system-call",
        "made the system call `getppid`",
    ),
    (
        "TOUCHES_PAGES",
        "predict-no-page-fault",
        "page faults in 1000 predictions",
    ),
    ("CRASHES_ON_ODD_STATE", "fuzz-state", "died of SIGSEGV"),
    (
        "SERVES_ANY_MAJOR",
        "host-of-another-major",
        "answer NULL where host->abi_major",
    ),
    ("NEEDS_LOG", "host-without-services", "died of SIGSEGV"),
    (
        "OVERRUNS_ERROR",
        "error-buffer-missing-or-tiny",
        "use FB_HAS on err",
    ),
];

#[test]
fn every_broken_promise_is_named_by_the_right_case() {
    let dir = tempfile::tempdir().unwrap();
    for (fault, name, words) in FAULTS {
        let library = broken(dir.path(), fault, &[]);
        let timeout_s = if fault == "HANGS_IN_QUIESCE" {
            "3"
        } else {
            "100"
        };
        let ran = check(&library, &["--case", name, "--timeout-s", timeout_s]);
        let report = ran.json();
        let found = case(&report, name)["found"].as_str().unwrap_or_default();
        assert_eq!(ran.code, Some(1), "{fault} passes {name}: {found}");
        assert!(found.contains(words), "{fault}, {name}: {found}");
        assert_eq!(report["passed"], false);
        assert_eq!(
            report["reached"],
            Value::Null,
            "some cases say nothing of a level"
        );
    }
}

#[test]
fn a_sound_plugin_passes_every_case_and_so_does_what_it_might_be_blamed_for() {
    let dir = tempfile::tempdir().unwrap();
    let library = broken(dir.path(), "SOUND", &[]);
    let report = check(&library, &["--level", "10"]).json();
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report:#}");
    assert_eq!(report["reached"], 10);
    let mut names: Vec<&str> = FAULTS.iter().map(|(_, name, _)| *name).collect();
    names.dedup();
    for name in names {
        assert_eq!(case(&report, name)["status"], "passed", "{name}");
    }
}

#[test]
fn what_the_linker_does_to_a_library_is_seen_without_running_it() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str], &str, &str); 5] = [
        ("lazy", &["-Wl,-z,lazy"], "bind-now", "-Wl,-z,now"),
        (
            "stack",
            &["-Wl,-z,execstack"],
            "no-executable-stack",
            "executable stack",
        ),
        (
            "path",
            &["-Wl,-rpath,/opt/author/lib"],
            "no-foreign-search-path",
            "/opt/author/lib",
        ),
        (
            "tls",
            &["-ftls-model=initial-exec", "-DBROKEN=KEEPS_STATE_IN_THREAD"],
            "no-static-tls",
            "DF_STATIC_TLS",
        ),
        (
            "own-path",
            &["-Wl,-rpath,$ORIGIN"],
            "no-foreign-search-path",
            "",
        ),
    ];
    for (name, flags, failing, words) in cases {
        let library = broken(dir.path(), "SOUND", &[&["-UBROKEN"], flags].concat());
        let report = check(&library, &["--level", "1"]).json();
        if words.is_empty() {
            assert_eq!(failed(&report), Vec::<&str>::new(), "{name}: {report:#}");
            continue;
        }
        assert_eq!(failed(&report), [failing], "{name}: {report:#}");
        let found = case(&report, failing)["found"].as_str().unwrap();
        assert!(found.contains(words), "{name}: {found}");
    }
}

#[test]
fn a_crash_fails_its_own_case_and_the_rest_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let library = broken(dir.path(), "CRASHES_ON_BAD_CONFIG", &[]);
    let junit = dir.path().join("report.xml");
    let ran = check(
        &library,
        &["--level", "7", "--junit", &junit.to_string_lossy()],
    );
    assert_eq!(ran.code, Some(1));
    let report = ran.json();
    assert_eq!(
        failed(&report),
        ["bad-config-refused", "unknown-key-noticed"],
        "{report:#}"
    );
    assert_eq!(report["reached"], 2);
    let xml = fs::read_to_string(&junit).unwrap();
    let tests = report["cases"].as_array().unwrap().len();
    let head = format!("tests=\"{tests}\" failures=\"2\"");
    assert!(xml.contains(&head), "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), tests);
    assert!(xml.contains("<failure message=\"died of SIGSEGV"), "{xml}");

    let library = library.to_string_lossy();
    let ran = binary::run(&project_root(), &["plugin", "check", &library, "--quick"]);
    assert_eq!(ran.code, Some(1));
    for words in [
        "bad-config-refused (level 3): died of SIGSEGV",
        "2 failed",
        "level 2 of 10 reached: level 5 is needed to be installable",
        "again: fusebox plugin check",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
}

#[test]
fn a_fuzz_finding_is_reduced_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let library = broken(dir.path(), "CRASHES_ON_ODD_STATE", &[]);
    let report = check(&library, &["--case", "fuzz-calls", "--seed", "7"]).json();
    let found = case(&report, "fuzz-calls");
    let calls = found["calls"].as_array().unwrap();
    assert!(calls.len() <= 4, "{found:#}");
    assert!(
        calls
            .last()
            .unwrap()
            .as_str()
            .unwrap()
            .starts_with("restore"),
        "{found:#}"
    );

    let line = found["reproduce"].as_str().unwrap();
    let (_, calls) = line.split_once("--calls '").unwrap();
    let calls = calls.trim_end_matches('\'');
    let again = check(&library, &["--case", "fuzz-calls", "--calls", calls]);
    assert_eq!(again.code, Some(1), "{again:?}");
    let sound = broken(dir.path(), "SOUND", &[]);
    let sound = check(&sound, &["--case", "fuzz-calls", "--calls", calls]);
    assert_eq!(sound.code, Some(0), "{sound:?}");
}

#[test]
fn hostile_plugins_are_survived_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = project_root().join("tests/fixtures/hostile/hostile.c");
    let library = fixtures::compile_against(
        &fixtures::include_dir(),
        &source,
        &[],
        &dir.path().join("hostile"),
    );
    // What hangs is given little time; what dies is given enough to do so on a busy machine.
    for (fault, timeout_s, words) in [
        ("close-fds", "100", "exit code 0"),
        ("exit", "100", "must never call exit()"),
        ("abort", "100", "died of SIGABRT"),
        ("stack-overflow", "100", "died of SIG"),
        ("alloc-10gb", "100", "died of SIG"),
        ("raise-sigkill", "100", "died of SIGKILL"),
        ("spin", "2", "was not done after 2 s"),
        ("deadlock", "2", "was not done after 2 s"),
    ] {
        let config = format!("{{\"fault\": \"{fault}\", \"at\": \"predict\"}}");
        let arguments = [
            "--config",
            &config,
            "--case",
            "predict-repeatable",
            "--timeout-s",
            timeout_s,
        ];
        let ran = check(&library, &arguments);
        let report = ran.json();
        let found = case(&report, "predict-repeatable")["found"]
            .as_str()
            .unwrap_or_default();
        assert_eq!(ran.code, Some(1), "{fault}: {report:#}");
        assert!(found.contains(words), "{fault}: {found}");
    }
}

#[test]
fn a_package_is_checked_with_its_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let library = broken(dir.path(), "SOUND", &[]);
    let package = write_package(dir.path(), &PackageSpec::new(&library)).unwrap();
    let report = check(&package, &["--level", "5"]).json();
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report:#}");
    assert_eq!(report["plugin"], "com.example.broken 1.0.0");
    assert_eq!(case(&report, "digests-match")["status"], "passed");
    assert_eq!(case(&report, "signature")["status"], "skipped");

    let moved = dir.path().join("elsewhere");
    fs::rename(&package, &moved).unwrap();
    let report = check(&moved, &["--level", "1"]).json();
    assert_eq!(failed(&report), ["package-in-its-place"], "{report:#}");

    let target = moved.join(fusebox_loader::manifest::host_target());
    let inside = fs::read_dir(target)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let other = broken(dir.path(), "FORGETS_STATE", &[]);
    fs::remove_file(&inside).unwrap();
    fs::copy(other, inside).unwrap();
    let report = check(&moved, &["--case", "digests-match"]).json();
    let found = case(&report, "digests-match")["found"].as_str().unwrap();
    assert!(found.contains("the manifest states"), "{found}");
}

#[test]
fn cases_are_listed_and_mistakes_are_told() {
    let ran = binary::run(&project_root(), &["plugin", "check", "--list", "--json"]);
    let listed = ran.json();
    for level in 1..=10 {
        let cases = listed.as_array().unwrap();
        assert!(cases.iter().any(|case| case["level"] == level), "{level}");
    }
    let root = project_root();
    for (arguments, words) in [
        (
            vec!["Cargo.toml", "--case", "bnd-now"],
            "did you mean `bind-now`?",
        ),
        (vec!["tests"], "is neither a package nor a library"),
        (
            vec!["Cargo.toml", "--config", "[1]"],
            "--config: the config must be a JSON object",
        ),
        (vec!["Cargo.toml", "--level", "11"], "11"),
    ] {
        let all: Vec<&str> = ["plugin", "check"].into_iter().chain(arguments).collect();
        let ran = binary::run(&root, &all);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    let ran = binary::run(&root, &["plugin", "check", "Cargo.toml", "--level", "2"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("it is not a 64-bit ELF file"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_version_that_no_host_takes_fails_and_a_wrong_configuration_is_said_once() {
    let odd = ema(&[&version("1.0")]);
    let report = check(&odd, &["--level", "1"]).json();
    assert!(failed(&report).contains(&"id-and-version"), "{report:#}");
    let found = case(&report, "id-and-version")["found"].as_str().unwrap();
    assert_eq!(
        found,
        "`version` is \"1.0\"; it must be three numbers such as 1.4.2"
    );
    let refused = write_package(tempfile::tempdir().unwrap().path(), &PackageSpec::new(&odd));
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains(found),
        "the loader says the same: {refused}"
    );

    // It needs an `alpha`, which is not given.
    let sound = ema(&[]).to_string_lossy().into_owned();
    let arguments = ["plugin", "check", &sound, "--quick", "--level", "4"];
    let ran = binary::run(&project_root(), &arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let reason = "key `alpha` is missing";
    let says = ran.stdout.matches(reason).count();
    assert!(says < 8, "said {says} times: {}", ran.stdout);
    assert!(
        ran.stdout.contains("more cases for the same reason"),
        "{}",
        ran.stdout
    );
    let report = binary::run(&project_root(), &[&arguments[..], &["--json"]].concat()).json();
    let cases = report["cases"].as_array().unwrap();
    let told = cases.iter().filter(|case| {
        let found = case["found"].as_str().unwrap_or_default();
        found.contains(reason)
    });
    assert!(told.count() > 8, "the report keeps every one: {report:#}");
}
