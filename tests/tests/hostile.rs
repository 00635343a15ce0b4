//! Hostile plugins in the host's own process: what can be caught there is one error that names the
//! plugin, and what cannot be caught is pinned down in a host that a child process runs.
//!
//! The worker tier, which survives all of this, has tests of its own with the same plugins.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use fusebox_loader::guard::GuardPolicy;
use fusebox_loader::{
    LoadError, LoadOptions, LoadedPlugin, SystemClock, TrustPolicy, discover, find, load,
};
use fusebox_plugin_api::abi::{fb_entry, fb_model_vt};
use fusebox_plugin_api::config::Config;
use fusebox_plugin_api::error::{PluginError, Status};
use fusebox_plugin_api::frame::{Frame, FrameShape};
use fusebox_plugin_api::model::{Model, Snapshot};
use fusebox_tests::fixtures::{build_dir, project_root};
use fusebox_tests::hostile::{
    self, CONSTRUCTOR, DAMAGED, HOSTILE, NULL_TABLE, REPORTED, RUST_HOSTILE, SIZES, SURVIVED,
    THROWS, UNRESOLVED, fault,
};

fn options() -> LoadOptions {
    LoadOptions::new(build_dir().join("cache")).with_trust(TrustPolicy::trusting())
}

fn load_from(dir: &Path, id: &str) -> Result<LoadedPlugin, LoadError> {
    let packages = discover(&[dir.to_owned()]);
    load(find(&packages, id, None)?, &options())
}

fn plugin(id: &str) -> LoadedPlugin {
    load_from(hostile::hostile_dir(), id).unwrap_or_else(|error| panic!("{error}"))
}

fn predict(model: &mut dyn Model, input: &[f32]) -> Result<Vec<f32>, PluginError> {
    let mut output = vec![0.0; input.len()];
    let shape = FrameShape::dense(input.len(), 1, 1);
    model.predict(&mut Frame::new(input, &mut output, shape)?)?;
    Ok(output)
}

#[test]
fn without_a_fault_they_echo() {
    for id in [HOSTILE, THROWS, RUST_HOSTILE] {
        let mut model = plugin(id).create_model(&Config::new(), &[]).unwrap();
        assert_eq!(predict(&mut *model, &[1.0, 2.5]).unwrap(), [1.0, 2.5]);
    }
}

fn create(config: &Config) -> Result<Box<dyn Model>, PluginError> {
    plugin(HOSTILE).create_model(config, &[])
}

/// Uses one slot of a model once.
fn use_slot(model: &mut dyn Model, slot: &str) -> Result<(), PluginError> {
    match slot {
        "warmup" => model.warmup(),
        "predict" => predict(model, &[1.0]).map(drop),
        "save" => model.save().map(drop),
        "snapshot" => model.snapshot().map(drop),
        "restore" => model.restore(&Snapshot::default()),
        "quiesce" => model.quiesce(0),
        "importance" => model.explain().unwrap().importance("gain").map(drop),
        other => panic!("no slot {other}"),
    }
}

/// What the plugin called `id` does wrong in `slot`, as the host tells it.
fn failure(id: &str, config: &Config, slot: &str) -> PluginError {
    let made = plugin(id).create_model(config, &[]);
    let error = match made {
        Err(error) => error,
        Ok(mut model) => use_slot(&mut *model, slot).unwrap_err(),
    };
    assert!(error.message().starts_with(&format!("{id}: ")), "{error}");
    assert!(
        !error.message().contains('\n'),
        "one error is one line: {error}"
    );
    error
}

const SLOTS: [&str; 8] = [
    "create", "info", "warmup", "predict", "save", "snapshot", "restore", "quiesce",
];

#[test]
fn answers_that_are_no_numbers_or_none_at_all_are_refused() {
    for (what, words) in [
        ("nan", "answered NaN in row 0, column 0 (`echo`)"),
        ("inf", "answered inf in row 0, column 0 (`echo`)"),
        ("ok-without-writing", "or nothing at all"),
    ] {
        let error = failure(HOSTILE, &fault(what, "predict"), "predict");
        assert_eq!(error.status(), Status::Data, "{what}");
        assert!(error.message().contains(words), "{what}: {error}");
    }
}

#[test]
fn a_fault_strikes_when_it_should_and_the_answers_before_it_stand() {
    let mut model = create(&fault("nan", "predict").with("after", 2)).unwrap();
    assert_eq!(predict(&mut *model, &[4.0]).unwrap(), [4.0]);
    assert_eq!(predict(&mut *model, &[5.0]).unwrap(), [5.0]);
    predict(&mut *model, &[6.0]).unwrap_err();
}

#[test]
fn a_write_outside_of_the_answers_poisons_the_model() {
    for what in ["write-past-output", "write-before-output"] {
        let model = plugin(HOSTILE).create_guarded(&fault(what, "predict").with("after", 1), &[]);
        let mut model =
            model
                .unwrap()
                .with_policy(&GuardPolicy::live(), Arc::default(), Arc::new(SystemClock));
        assert_eq!(predict(&mut model, &[1.0, 2.0]).unwrap(), [1.0, 2.0]);
        let error = predict(&mut model, &[1.0, 2.0]).unwrap_err();
        let words = "com.example.hostile: wrote outside its cells";
        assert!(error.message().starts_with(words), "{what}: {error}");
        assert!(model.is_poisoned(), "{what}");
        let error = predict(&mut model, &[1.0]).unwrap_err();
        assert_eq!(error.status(), Status::State, "{what}");
    }
}

#[test]
fn a_status_that_nobody_knows_is_an_internal_error() {
    for slot in SLOTS {
        // The last one is FB_E_CRASHED, which only a host may say.
        for code in [12345, 1, -9999, i32::MAX, i32::MIN, -13] {
            let config = fault("bad-status", slot).with("code", code);
            let error = failure(HOSTILE, &config, slot);
            assert_eq!(error.status(), Status::Internal, "{slot} {code}");
            let words = format!("failed with status {code}, without a word");
            assert!(error.message().contains(&words), "{slot}: {error}");
        }
    }
}

#[test]
fn an_error_that_lies_about_its_length_is_cut_where_the_buffer_ends() {
    for slot in SLOTS {
        let error = failure(HOSTILE, &fault("bad-error-length", slot), slot);
        assert_eq!(error.status(), Status::Data, "{slot}");
        let told = error.message().matches('x').count();
        assert!((1000..=1010).contains(&told), "{slot}: {told} characters");
    }
    // The buffer that was spoiled serves the next call.
    let mut model = create(&fault("bad-error-length", "predict")).unwrap();
    for _ in 0..3 {
        let error = predict(&mut *model, &[1.0]).unwrap_err();
        assert_eq!(error.status(), Status::Data);
    }
}

#[test]
fn a_description_that_never_ends_is_cut_off() {
    let error = failure(HOSTILE, &fault("huge-answer", "info"), "info");
    assert_eq!(error.status(), Status::Memory);
}

#[test]
fn what_is_null_is_named() {
    let root = tempfile::tempdir().unwrap();
    for (what, words) in [
        ("entry", "its entry returned NULL"),
        ("factory", "it does not offer models"),
        ("table", "it does not offer models"),
        ("create", "`create` in its model table"),
        ("info", "`info` in its model table"),
        ("predict", "`predict` in its model table"),
        ("destroy", "`destroy` in its model table"),
        ("id", "the id of its entry is empty"),
        ("version", "the version of its entry is empty"),
    ] {
        hostile::null_table(root.path(), what);
        let error = load_from(root.path(), NULL_TABLE).unwrap_err().to_string();
        assert!(error.contains(words), "{what}: {error}");
        assert!(
            error.contains(NULL_TABLE),
            "{what} names no plugin: {error}"
        );
    }
    hostile::null_table(root.path(), "levels");
    let plugin = load_from(root.path(), NULL_TABLE).unwrap();
    let error = plugin.create_model(&Config::new(), &[]).err().unwrap();
    let words = "com.example.null-table: this plugin does not support fb.quantiles/1";
    assert_eq!(error.message(), words);

    hostile::null_table(root.path(), "instance");
    let plugin = load_from(root.path(), NULL_TABLE).unwrap();
    let error = plugin.create_model(&Config::new(), &[]).err().unwrap();
    let words = "com.example.null-table: the plugin reported success without an instance";
    assert_eq!(error.message(), words);

    hostile::null_table(root.path(), "optional");
    let plugin = load_from(root.path(), NULL_TABLE).unwrap();
    let mut model = plugin.create_model(&Config::new(), &[]).unwrap();
    for slot in [
        "warmup", "predict", "save", "snapshot", "restore", "quiesce",
    ] {
        use_slot(&mut *model, slot).unwrap();
    }
}

#[test]
fn tables_of_every_size_are_read_as_far_as_they_reach() {
    const MODEL: u32 = size_of::<fb_model_vt>() as u32;
    const ENTRY: u32 = size_of::<fb_entry>() as u32;
    let root = tempfile::tempdir().unwrap();
    for (model, entry, expected) in [
        (MODEL, ENTRY, Ok(())),
        (80, ENTRY, Ok(())), // without get_extension
        (87, ENTRY, Ok(())), // a field that is there in part is not there
        (MODEL + 8, ENTRY + 8, Ok(())),
        (4096, 4096, Ok(())),
        (u32::MAX, u32::MAX, Ok(())),
        (0, ENTRY, Err("it does not offer models")),
        (3, ENTRY, Err("it does not offer models")),
        (4, ENTRY, Err("`create` in its model table")),
        (15, ENTRY, Err("`create` in its model table")),
        (16, ENTRY, Err("`info` in its model table")),
        (79, ENTRY, Err("`destroy` in its model table")),
        (24, ENTRY, Err("`predict` in its model table")),
        (72, ENTRY, Err("`destroy` in its model table")),
        (MODEL, 0, Err("its entry returned NULL")),
        (MODEL, 8, Err("the id of its entry is empty")),
        (MODEL, 24, Err("the version of its entry is empty")),
        (MODEL, 64, Err("it does not offer models")),
    ] {
        hostile::sizes(root.path(), model, entry);
        let loaded = load_from(root.path(), SIZES);
        match expected {
            Ok(()) => {
                let mut made = loaded.unwrap().create_model(&Config::new(), &[]).unwrap();
                assert_eq!(
                    predict(&mut *made, &[7.0]).unwrap(),
                    [7.0],
                    "{model} {entry}"
                );
                for slot in ["warmup", "save", "snapshot", "restore", "quiesce"] {
                    use_slot(&mut *made, slot).unwrap();
                }
            }
            Err(words) => {
                let error = loaded.unwrap_err().to_string();
                assert!(error.contains(words), "{model} {entry}: {error}");
            }
        }
    }
}

#[test]
fn a_panic_in_any_slot_of_a_rust_plugin_is_an_error_and_ends_the_instance() {
    for what in ["panic", "panic-payload", "payload-panics-in-drop"] {
        for slot in SLOTS.into_iter().chain(["importance"]) {
            let error = failure(RUST_HOSTILE, &fault(what, slot), slot);
            assert_eq!(error.status(), Status::Panic, "{what} in {slot}: {error}");
            if what == "panic" {
                let words = format!("this model always panics in {slot}");
                assert!(error.message().contains(&words), "{error}");
            }
        }
        let made = plugin(RUST_HOSTILE).create_model(&fault(what, "predict"), &[]);
        let mut model = made.unwrap();
        predict(&mut *model, &[1.0]).unwrap_err();
        for slot in [
            "warmup", "predict", "save", "snapshot", "restore", "quiesce",
        ] {
            let error = use_slot(&mut *model, slot).unwrap_err();
            assert_eq!(
                error.status(),
                Status::State,
                "{what}, then {slot}: {error}"
            );
        }
    }
}

#[test]
fn a_panic_where_no_status_can_be_returned_stays_in_the_plugin() {
    for what in ["panic", "panic-payload", "payload-panics-in-drop"] {
        drop(
            plugin(RUST_HOSTILE)
                .create_model(&fault(what, "destroy"), &[])
                .unwrap(),
        );
        // Asked for its capabilities, it panics and has none.
        let made = plugin(RUST_HOSTILE).create_model(&fault(what, "explain"), &[]);
        if let Ok(model) = made {
            assert!(model.explain().is_none(), "{what}");
        }
    }
}

#[test]
fn a_library_that_lacks_a_symbol_says_which() {
    let root = tempfile::tempdir().unwrap();
    hostile::unresolved(root.path());
    let error = load_from(root.path(), UNRESOLVED).unwrap_err();
    assert!(matches!(error, LoadError::Map { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("com_example_function_that_nobody_has"),
        "{text}"
    );
    assert!(text.contains(UNRESOLVED), "{text}");
}

// ---- what this process could not catch ----------------------------------------------------------

/// How a host ends that used a plugin in its own process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Killed by this signal.
    Signal(i32),
    /// Killed by SIGSEGV, or by SIGABRT where the run-time of Rust saw the stack's guard page hit.
    Overflow,
    /// Ended with this code, by the plugin's word and not by the host's.
    Code(i32),
    /// It never ends.
    Hangs,
    /// It goes on without its descriptors, or with a thread of the plugin.
    Damaged,
}

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;

/// Address space of the host, so that what is meant to run out of memory does so soon.
const MEMORY_KB: u32 = 1 << 20;

/// Runs a host in a child process and says how it ends. One that is not done within `patience`
/// hangs.
fn end_within(patience: Duration, dir: &Path, id: &str, config: &Config) -> End {
    let mut host = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -c 0; ulimit -v {MEMORY_KB}; exec \"$0\" \"$@\""
        ))
        .arg(env!("CARGO_BIN_EXE_hostile_host"))
        .arg(dir)
        .args([id, &config.to_json()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pause = Duration::from_millis(20);
    for _ in 0..patience.as_millis() / pause.as_millis() {
        if let Some(status) = host.try_wait().unwrap() {
            return match (status.code(), status.signal()) {
                (Some(code), _) if code == i32::from(DAMAGED) => End::Damaged,
                (Some(code), _) => End::Code(code),
                (None, Some(signal)) => End::Signal(signal),
                (None, None) => panic!("{status}"),
            };
        }
        sleep(pause);
    }
    host.kill().unwrap();
    host.wait().unwrap();
    End::Hangs
}

/// How a host ends that should end like `expected`: where it should hang, three seconds are enough
/// to see it; where it should not, a loaded machine gets a minute.
fn end_like(expected: End, dir: &Path, id: &str, config: &Config) -> End {
    let patience = Duration::from_secs(if expected == End::Hangs { 3 } else { 60 });
    end_within(patience, dir, id, config)
}

/// How a host ends that should not hang.
fn end_of(dir: &Path, id: &str, config: &Config) -> End {
    end_like(End::Damaged, dir, id, config)
}

/// What a plugin does, what becomes of a host that has it in its own process, and why that cannot
/// be caught. `docs/hostile-plugins.md` has the same table, in the same words.
const NOT_CAUGHT: [(&str, End, &str); 11] = [
    (
        "abort",
        End::Signal(SIGABRT),
        "the C library ends the process and lets no handler prevent it",
    ),
    (
        "segfault",
        End::Signal(SIGSEGV),
        "whatever else was written to before is not known",
    ),
    (
        "stack-overflow",
        End::Overflow,
        "there is no stack left to go on with",
    ),
    (
        "alloc-10gb",
        End::Signal(SIGSEGV),
        "memory belongs to the process and not to its plugin",
    ),
    (
        "raise-sigkill",
        End::Signal(SIGKILL),
        "no process can catch this signal",
    ),
    ("exit", End::Code(0), "it looks like a host that ended well"),
    (
        "deadlock",
        End::Hangs,
        "a thread cannot be taken out of a call",
    ),
    ("spin", End::Hangs, "a thread cannot be taken out of a call"),
    (
        "close-fds",
        End::Damaged,
        "descriptors belong to the process and not to its plugin",
    ),
    (
        "thread-outlives",
        End::Damaged,
        "a thread cannot be ended from outside",
    ),
    (
        "exception",
        End::Signal(SIGABRT),
        "no exception crosses the C line",
    ),
];

#[test]
fn what_a_host_survives_is_told_from_what_it_does_not() {
    let dir = hostile::hostile_dir();
    assert_eq!(
        end_of(dir, HOSTILE, &Config::new()),
        End::Code(SURVIVED.into())
    );
    assert_eq!(
        end_of(dir, RUST_HOSTILE, &Config::new()),
        End::Code(SURVIVED.into())
    );
    let reported = End::Code(REPORTED.into());
    assert_eq!(end_of(dir, HOSTILE, &fault("nan", "predict")), reported);
    assert_eq!(
        end_of(dir, RUST_HOSTILE, &fault("panic", "predict")),
        reported
    );
}

#[test]
fn what_cannot_be_caught_ends_or_damages_the_host_in_the_way_that_is_documented() {
    for (what, expected, _) in NOT_CAUGHT {
        let found = match what {
            "exception" => end_of(hostile::hostile_dir(), THROWS, &fault("", "predict")),
            _ => end_like(
                expected,
                hostile::hostile_dir(),
                HOSTILE,
                &fault(what, "predict"),
            ),
        };
        let found = match found {
            End::Signal(SIGSEGV | SIGABRT) if expected == End::Overflow => End::Overflow,
            other => other,
        };
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn the_slot_makes_no_difference_to_what_cannot_be_caught() {
    for slot in ["create", "info", "snapshot", "destroy"] {
        let found = end_of(hostile::hostile_dir(), HOSTILE, &fault("abort", slot));
        assert_eq!(found, End::Signal(SIGABRT), "abort in {slot}");
        let found = end_of(hostile::hostile_dir(), THROWS, &fault("", slot));
        assert_eq!(found, End::Signal(SIGABRT), "an exception out of {slot}");
    }
}

#[test]
fn safe_rust_can_end_its_host_too() {
    for (what, expected) in [
        ("abort", End::Signal(SIGABRT)),
        ("exit", End::Code(0)),
        ("alloc", End::Signal(SIGABRT)),
        ("thread-outlives", End::Damaged),
    ] {
        let found = end_of(
            hostile::hostile_dir(),
            RUST_HOSTILE,
            &fault(what, "predict"),
        );
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn a_constructor_ends_the_host_before_anything_was_asked_of_the_plugin() {
    let root = tempfile::tempdir().unwrap();
    for (how, expected) in [
        ("segfault", End::Signal(SIGSEGV)),
        ("abort", End::Signal(SIGABRT)),
        ("exit", End::Code(0)),
        ("spin", End::Hangs),
        ("sound", End::Code(SURVIVED.into())),
    ] {
        hostile::constructor(root.path(), how);
        let found = end_like(expected, root.path(), CONSTRUCTOR, &Config::new());
        assert_eq!(found, expected, "{how}");
    }
}

#[test]
fn the_page_on_hostile_plugins_has_the_same_table() {
    let page = std::fs::read_to_string(project_root().join("docs/hostile-plugins.md")).unwrap();
    for (what, end, why) in NOT_CAUGHT {
        let end = match end {
            End::Signal(SIGABRT) => "ends with SIGABRT",
            End::Signal(SIGSEGV) => "ends with SIGSEGV",
            End::Signal(_) => "ends with SIGKILL",
            End::Overflow => "ends with SIGSEGV or SIGABRT",
            End::Code(_) => "ends with code 0",
            End::Hangs => "hangs",
            End::Damaged => "goes on, damaged",
        };
        let row = format!("| `{what}` | {end} | {why} |");
        assert!(page.contains(&row), "the page lacks: {row}");
    }
}
