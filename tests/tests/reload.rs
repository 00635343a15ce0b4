//! Models that stay live while their code and their weights are replaced, as an operator meets it:
//! packages are committed to watched directories, and the model goes on answering.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fusebox_loader::guard::FailureKind;
use fusebox_loader::live::control::{self, Command, KeptOut, RequestOutcome};
use fusebox_loader::live::golden::{self, GoldenInput};
use fusebox_loader::live::store::TrustSource;
use fusebox_loader::live::{
    AuditEvent, LiveModel, ModelSource, ModelSpec, Occasion, Reason, State, VersionPolicy,
    WorkerProber,
};
use fusebox_loader::trust::{Revocation, Subject};
use fusebox_loader::{LoadOptions, PackageSpec, TrustPolicy, discover, find, load, write_package};
use fusebox_plugin_api::config::Config;
use fusebox_tests::fixtures::plugin_dir;
use fusebox_tests::live::{
    EMA, Machine, Reference, alpha, answer, commit, ema, inputs, known, spec, value, version,
    weights,
};
use fusebox_tests::workers::worker_options;

#[test]
fn a_package_that_is_dropped_in_goes_live_and_keeps_the_state_bit_by_bit() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    for input in inputs.by_ref().take(100) {
        assert_eq!(
            value(&mut model, input).to_bits(),
            reference.step(input).to_bits()
        );
    }
    let old = model.generation().number;
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    for input in inputs.take(100) {
        let (found, generation) = answer(&mut model, input).unwrap();
        assert_eq!(found.to_bits(), reference.step(input).to_bits());
        assert!(generation > old);
    }
    let destroyed = |event: &AuditEvent| event.is_state(State::Destroyed);
    machine.await_event(&mut model, |event| {
        destroyed(event) && event.version == "1.0.0"
    });
    let new: Vec<AuditEvent> = machine.events();
    let of_new = |state: State| {
        new.iter()
            .find(|event| event.version == "1.1.0" && event.is_state(state))
            .unwrap_or_else(|| panic!("{state:?} is missing in:\n{}", machine.story()))
    };
    for state in State::ALL {
        if state < State::Retired {
            assert_eq!(of_new(state).model, "ema");
        }
    }
    assert_eq!(of_new(State::Restored).reason, None);
    assert_eq!(of_new(State::Mapped).digest.len(), 64);
    assert_eq!(of_new(State::Mapped).tier.as_deref(), Some("in-process"));
    let status = machine.supervisor.status();
    assert_eq!(status.models[0].live.version, "1.1.0");
    assert_eq!(status.models[0].earlier[0].state, State::Destroyed);
    assert_eq!(status.leaks.generations_mapped, 2);
    assert_eq!(status.leaks.generations_leaked, 1);
}

#[test]
fn a_state_that_is_refused_is_rebuilt_by_replay_bit_by_bit() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    for input in inputs.by_ref().take(200) {
        value(&mut model, input);
        reference.step(input);
    }
    commit(&machine.plugins(), &[&version("1.1.0"), "-DEMA_SCHEMA=2"]);
    machine.await_promotion(&mut model, "1.1.0");
    for input in inputs.take(20) {
        let found = value(&mut model, input);
        assert_eq!(found.to_bits(), reference.step(input).to_bits());
    }
    let restored = machine.await_event(&mut model, |event| {
        event.is_state(State::Restored) && event.version == "1.1.0"
    });
    let words = restored.message.unwrap();
    assert!(
        words.contains("E_SCHEMA") && words.contains("200 rows"),
        "{words}"
    );
}

#[test]
fn a_package_that_is_replaced_under_load_swaps_without_a_gap() {
    let machine = Machine::new();
    commit(&machine.plugins(), &["-DEMA_BIAS=0.0f"]);
    let mut spec = spec();
    spec.swap.shadow_rows = 50;
    let mut model = machine.add(spec);
    let (mut reference, mut seen) = (Reference(0.0), Vec::new());
    commit(&machine.plugins(), &["-DEMA_BIAS=1000.0f"]);
    for (row, input) in inputs().enumerate().take(2_000_000) {
        let (found, generation) = answer(&mut model, input).unwrap();
        let state = reference.step(input);
        seen.push(generation);
        seen.dedup();
        let bias = if seen.len() == 1 { 0.0 } else { 1_000.0 };
        assert_eq!(found.to_bits(), (state + bias).to_bits(), "row {row}");
        assert_eq!(model.rows(), row as u64 + 1);
        if seen.len() == 2 && model.parked().is_none() {
            return;
        }
        if row > 10_000 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    panic!("it never swapped:\n{}", machine.story());
}

#[test]
fn the_same_path_after_a_rename_gives_the_new_code() {
    let machine = Machine::new();
    let package = commit(&machine.plugins(), &["-DEMA_BIAS=1.0f"]);
    let mut model = machine.add(spec());
    assert_eq!(value(&mut model, 0.0).to_bits(), 1.0_f32.to_bits());
    // The whole package is exchanged under its path by two renames, as a deployment tool would.
    let staging = tempfile::tempdir_in(machine.root.path()).unwrap();
    let fresh = commit(staging.path(), &["-DEMA_BIAS=2.0f"]);
    fs::rename(&package, staging.path().join("old")).unwrap();
    fs::rename(&fresh, &package).unwrap();
    machine.await_event(&mut model, |event| {
        event.is_state(State::Promoted)
            && event.generation > Some(1)
            && event.reason.is_none()
            && event.message.is_some()
    });
    assert_eq!(value(&mut model, 0.0).to_bits(), 2.0_f32.to_bits());
}

#[test]
fn a_hard_link_to_mapped_code_gives_a_generation_of_its_own() {
    let machine = Machine::new();
    let package = commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let (first, copy) = (model.generation().number, private_copy(&model));
    // The same inode under another name: the linker would hand out the old handle.
    let library = library_of(&package);
    let kept = machine.root.path().join("kept.so");
    fs::hard_link(&library, &kept).unwrap();
    fs::remove_file(&library).unwrap();
    fs::hard_link(&kept, &library).unwrap();
    let outcome = machine.request(
        &mut model,
        Command::Reload {
            target: "ema".to_owned(),
        },
    );
    assert!(matches!(outcome, RequestOutcome::Done(_)), "{outcome:?}");
    assert!(model.generation().number > first);
    assert_ne!(private_copy(&model), copy);
    let mapped = fs::read_to_string("/proc/self/maps").unwrap();
    for path in [copy, private_copy(&model)] {
        assert!(mapped.contains(path.to_str().unwrap()), "both are mapped");
    }
}

#[test]
fn a_library_that_is_cut_off_in_place_harms_nobody() {
    let machine = Machine::new();
    let package = commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let library = library_of(&package);
    fs::set_permissions(
        &library,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    fs::File::options()
        .write(true)
        .open(&library)
        .unwrap()
        .set_len(100)
        .unwrap();
    let mut reference = Reference(0.0);
    for input in inputs().take(100) {
        assert_eq!(
            value(&mut model, input).to_bits(),
            reference.step(input).to_bits()
        );
    }
    let target = || "ema".to_owned();
    let outcome = machine.request(&mut model, Command::Reload { target: target() });
    let RequestOutcome::Refused(event) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(event.reason, Some(Reason::Digest));
    value(&mut model, 1.0);
}

fn private_copy(model: &LiveModel) -> PathBuf {
    model.generation().loaded.private_copy().unwrap().to_owned()
}

fn library_of(package: &Path) -> PathBuf {
    let target = package.join(fusebox_loader::manifest::host_target());
    let mut entries = fs::read_dir(target).unwrap().filter_map(Result::ok);
    entries.next().unwrap().path()
}

/// Predicts for a while, and says which versions were promoted.
fn promoted_after(machine: &Machine, model: &mut LiveModel, milliseconds: u64) -> Vec<String> {
    for _ in 0..milliseconds / 2 {
        value(model, 1.0);
        std::thread::sleep(Duration::from_millis(2));
    }
    let events = machine.events();
    let promoted = events
        .iter()
        .filter(|event| event.is_state(State::Promoted));
    promoted.map(known).collect()
}

#[test]
fn a_writer_that_is_killed_at_any_step_never_disturbs_what_is_live() {
    let machine = Machine::with(|options| options.rescan_ms = 20);
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    // A sound package, to be copied step by step.
    let staging = tempfile::tempdir().unwrap();
    let sound = commit(staging.path(), &[&version("1.1.0")]);
    let (library, manifest) = (library_of(&sound), sound.join("plugin.toml"));
    let (bytes, text) = (fs::read(&library).unwrap(), fs::read(&manifest).unwrap());
    let package = machine.plugins().join(EMA).join("1.1.0");
    let inside = package.join(library.strip_prefix(&sound).unwrap());
    let only_first = |found: Vec<String>| assert_eq!(found, ["1.0.0"]);

    // The proper order: the marker last, and renamed in.
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    only_first(promoted_after(&machine, &mut model, 30));
    for part in [1, bytes.len() / 2, bytes.len()] {
        let partial = inside.with_file_name(".lib.so.1.tmp");
        fs::write(&partial, &bytes[..part]).unwrap();
        only_first(promoted_after(&machine, &mut model, 30));
        fs::rename(&partial, &inside).unwrap();
        only_first(promoted_after(&machine, &mut model, 30));
    }
    fs::write(package.join(".plugin.toml.1.tmp"), &text).unwrap();
    only_first(promoted_after(&machine, &mut model, 30));

    // The wrong order, in place: the marker is there and incomplete, then the library is.
    fs::remove_file(&inside).unwrap();
    for part in [1, text.len() / 2, text.len()] {
        fs::write(package.join("plugin.toml"), &text[..part]).unwrap();
        only_first(promoted_after(&machine, &mut model, 400));
    }
    for part in [bytes.len() / 3, bytes.len() - 1] {
        fs::write(&inside, &bytes[..part]).unwrap();
        only_first(promoted_after(&machine, &mut model, 400));
    }
    let events = machine.events();
    assert!(
        events
            .iter()
            .all(|event| { !event.is_state(State::Mapped) || event.version == "1.0.0" })
    );
    // Once it is whole, it goes live, although it was refused before.
    fs::write(&inside, &bytes).unwrap();
    machine.await_promotion(&mut model, "1.1.0");
}

#[test]
fn known_answers_are_checked_on_this_machine() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    let staging = tempfile::tempdir().unwrap();
    let options = LoadOptions::new(staging.path().join("cache"));
    let options = options.with_trust(TrustPolicy::trusting());
    let golden = |bias: &str| {
        let root = staging.path().join(bias);
        commit(&root, &[&format!("-DEMA_BIAS={bias}f")]);
        let packages = discover(&[root]);
        let loaded = load(find(&packages, EMA, None).unwrap(), &options).unwrap();
        let mut fresh = loaded.create_guarded(&alpha(), &[]).unwrap();
        let input = GoldenInput {
            rows: 3,
            columns: 1,
            inputs: vec![1.0, 0.1, -3.0],
            event_ns: None,
        };
        let golden = golden::record(&mut fresh, Some(&alpha()), &[input]).unwrap();
        let path = staging.path().join("golden.json");
        fs::write(&path, golden.to_json()).unwrap();
        path
    };
    let commit_with = |number: &str, golden: PathBuf| {
        let spec = PackageSpec {
            golden: Some(golden),
            ..PackageSpec::new(ema(&[&version(number)]))
        };
        write_package(&machine.plugins(), &spec).unwrap();
    };
    commit_with("1.1.0", golden("7.0"));
    let rejected = machine.await_event(&mut model, |event| event.is(Occasion::Rejected));
    assert_eq!(rejected.reason, Some(Reason::Golden));
    assert!(rejected.message.unwrap().contains("frame 0, row 0"));
    commit_with("1.2.0", golden("0.0"));
    machine.await_promotion(&mut model, "1.2.0");
    let checked = machine.await_event(&mut model, |event| {
        event.is_state(State::GoldenChecked) && event.version == "1.2.0"
    });
    assert_eq!(checked.reason, None);
}

#[test]
fn a_generation_that_answers_nan_in_probation_is_sent_back_with_the_state_intact() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 100;
    let mut model = machine.add(spec);
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    for input in inputs.by_ref().take(50) {
        value(&mut model, input);
        reference.step(input);
    }
    commit(
        &machine.plugins(),
        &[&version("1.1.0"), "-DEMA_NAN_AFTER=10"],
    );
    machine.await_promotion(&mut model, "1.1.0");
    for input in inputs.by_ref().take(60) {
        let found = value(&mut model, input);
        assert_eq!(found.to_bits(), reference.step(input).to_bits());
    }
    assert_eq!(model.generation().version(), "1.0.0");
    let back = machine.await_event(&mut model, |event| event.is(Occasion::RolledBack));
    assert_eq!(back.reason, Some(Reason::NanRate));
    assert_eq!(back.version, "1.1.0");
    // It is kept out, also over a restart; the operator sees why.
    let status = machine.supervisor.status();
    assert_eq!(
        status.models[0].last_rejection.as_ref().unwrap().version,
        "1.1.0"
    );
    let Machine { root, supervisor } = machine;
    drop(model);
    drop(supervisor);
    let machine = Machine::on(root, |_| {});
    let model = machine.add(self::spec());
    assert_eq!(model.generation().version(), "1.0.0");
}

#[test]
fn an_operator_steers_from_outside_and_hears_the_outcome() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    let mut model = machine.add(spec());
    assert_eq!(model.generation().version(), "1.1.0");
    assert!(control::is_running(&machine.state()));
    let target = || "ema".to_owned();
    let done = |outcome: RequestOutcome| assert!(matches!(outcome, RequestOutcome::Done(_)));
    let version = "1.0.0".to_owned();
    done(machine.request(
        &mut model,
        Command::Pin {
            target: target(),
            version,
        },
    ));
    assert_eq!(model.generation().version(), "1.0.0");
    done(machine.request(
        &mut model,
        Command::Unpin {
            target: EMA.to_owned(),
        },
    ));
    assert_eq!(
        model.generation().version(),
        "1.0.0",
        "the pin has the model's name"
    );
    done(machine.request(&mut model, Command::Unpin { target: target() }));
    machine.await_event(&mut model, |event| {
        event.is(Occasion::Proven) || event.is_state(State::Probation) && event.version == "1.1.0"
    });
    assert_eq!(model.generation().version(), "1.1.0");
    for input in inputs().take(8) {
        value(&mut model, input);
    }
    done(machine.request(&mut model, Command::Rollback { target: target() }));
    assert_eq!(model.generation().version(), "1.0.0");
    let outcome = machine.request(
        &mut model,
        Command::Reload {
            target: "x".to_owned(),
        },
    );
    let RequestOutcome::Refused(event) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(event.message.unwrap().contains("live models: ema"));
}

#[test]
fn a_package_that_is_removed_stays_live() {
    let machine = Machine::with(|options| options.rescan_ms = 50);
    let package = commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    value(&mut model, 1.0);
    fs::remove_dir_all(package).unwrap();
    let removed = machine.await_event(&mut model, |event| event.is(Occasion::Removed));
    assert_eq!(
        (removed.plugin.as_str(), removed.version.as_str()),
        (EMA, "1.0.0")
    );
    value(&mut model, 1.0);
}

#[test]
fn a_standby_takes_over_without_being_loaded() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.source = ModelSource::Plugin {
        id: EMA.to_owned(),
        versions: VersionPolicy::LatestN(2),
        config: alpha(),
        artifact: Vec::new(),
    };
    let mut model = machine.add(spec);
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    let mut run = |model: &mut LiveModel| {
        for input in inputs.by_ref().take(20) {
            let found = value(model, input);
            assert_eq!(found.to_bits(), reference.step(input).to_bits());
        }
    };
    run(&mut model);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    run(&mut model);
    machine.await_event(&mut model, |event| event.is_state(State::Retired));
    let status = machine.supervisor.status();
    assert_eq!(status.models[0].standbys[0].version, "1.0.0");
    let mapped = status.leaks.generations_mapped;
    let command = Command::Rollback {
        target: "ema".to_owned(),
    };
    let outcome = machine.request(&mut model, command);
    assert!(matches!(outcome, RequestOutcome::Done(_)), "{outcome:?}");
    assert_eq!(model.generation().version(), "1.0.0");
    run(&mut model);
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, mapped);
}

#[test]
fn the_newest_versions_are_loaded_at_the_start_and_wait_warm() {
    let machine = Machine::new();
    for number in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
        commit(&machine.plugins(), &[&version(number)]);
    }
    let mut spec = spec();
    spec.source = ModelSource::Plugin {
        id: EMA.to_owned(),
        versions: VersionPolicy::LatestN(3),
        config: alpha(),
        artifact: Vec::new(),
    };
    let mut model = machine.add(spec);
    assert_eq!(model.generation().version(), "1.3.0");
    let status = machine.supervisor.status();
    let waiting = status.models[0].standbys.iter();
    let waiting: Vec<&str> = waiting.map(|one| one.version.as_str()).collect();
    assert_eq!(waiting, ["1.1.0", "1.2.0"], "the newest last, and no more");
    let mapped = status.leaks.generations_mapped;
    assert_eq!(mapped, 3);
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    for expected in ["1.3.0", "1.2.0", "1.1.0"] {
        assert_eq!(model.generation().version(), expected);
        for input in inputs.by_ref().take(20) {
            let found = value(&mut model, input);
            assert_eq!(found.to_bits(), reference.step(input).to_bits());
        }
        let command = Command::Rollback {
            target: "ema".to_owned(),
        };
        let outcome = machine.request(&mut model, command);
        assert!(matches!(outcome, RequestOutcome::Done(_)), "{outcome:?}");
    }
    // The last one was no standby: it was loaded when it was asked for.
    assert_eq!(model.generation().version(), "1.0.0");
    assert_eq!(
        machine.supervisor.status().leaks.generations_mapped,
        mapped + 1
    );
}

#[test]
fn a_model_that_breaks_with_none_behind_it_says_so_and_a_reload_makes_a_new_one() {
    let machine = Machine::with(|options| options.plugin_dirs = vec![plugin_dir().to_owned()]);
    let config = Config::new().with("place", "predict");
    let mut spec = ModelSpec::of_plugin("panics", "com.example.panics", config);
    spec.swap.probation.rows = 4;
    let mut model = machine.add(spec);
    let first = model.generation().number;
    for _ in 0..3 {
        answer(&mut model, 1.0).unwrap_err();
    }
    let down = |event: &AuditEvent| event.is(Occasion::Down);
    let event = machine.await_event(&mut model, down);
    assert_eq!(event.reason, Some(Reason::Panic));
    let words = event.message.unwrap_or_default();
    let hint = "`fusebox plugin reload panics`";
    assert!(words.contains(hint), "{words}");
    assert_eq!(
        machine.events().into_iter().filter(down).count(),
        1,
        "said once"
    );
    let target = "panics".to_owned();
    let outcome = machine.request(&mut model, Command::Reload { target });
    assert!(matches!(outcome, RequestOutcome::Done(_)), "{outcome:?}");
    assert!(model.generation().number > first);
    let error = answer(&mut model, 1.0).unwrap_err();
    assert_eq!(
        error.kind,
        FailureKind::Panic,
        "it was asked again: {error}"
    );
}

/// A trust policy that an operator changes while models are live.
#[derive(Debug, Default)]
struct Changing(Mutex<Option<TrustPolicy>>);

impl TrustSource for Changing {
    fn policy(&self) -> Result<TrustPolicy, String> {
        let policy = self.0.lock().unwrap().clone();
        policy.ok_or_else(|| "the keyring is damaged".to_owned())
    }
}

#[test]
fn a_change_of_trust_counts_for_the_next_package_without_a_restart() {
    let trust = Arc::new(Changing(Mutex::new(Some(TrustPolicy::trusting()))));
    let source = Arc::clone(&trust);
    let machine = Machine::with(|options| options.trust = Some(source));
    commit(&machine.plugins(), &[]);
    let mut model = machine.add(spec());
    for (policy, number) in [(Some(TrustPolicy::default()), "1.1.0"), (None, "1.2.0")] {
        *trust.0.lock().unwrap() = policy;
        commit(&machine.plugins(), &[&version(number)]);
        let refused = machine.await_event(&mut model, |event| {
            event.is(Occasion::Rejected) && event.version == number
        });
        assert_eq!(refused.reason, Some(Reason::Untrusted));
    }
    assert_eq!(model.generation().version(), "1.0.0");
    *trust.0.lock().unwrap() = Some(TrustPolicy::trusting());
    let target = "ema".to_owned();
    let outcome = machine.request(&mut model, Command::Reload { target });
    assert!(matches!(outcome, RequestOutcome::Done(_)), "{outcome:?}");
    assert_eq!(model.generation().version(), "1.2.0");
}

fn revoking(subjects: &[Subject]) -> Option<TrustPolicy> {
    let mut policy = TrustPolicy::trusting();
    for subject in subjects {
        policy.revocations.add(Revocation {
            subject: subject.clone(),
            reason: "leaks".to_owned(),
        });
    }
    Some(policy)
}

fn versions(range: &str) -> Subject {
    Subject::plugin(EMA, range).unwrap()
}

fn is_revoked(number: &str) -> impl Fn(&AuditEvent) -> bool {
    move |event| event.is(Occasion::Revoked) && event.version == number
}

/// A machine whose trust can be changed, which looks at its directories often.
fn changing() -> (Arc<Changing>, Machine) {
    let trust = Arc::new(Changing(Mutex::new(Some(TrustPolicy::trusting()))));
    let source = Arc::clone(&trust);
    let machine = Machine::with(|options| {
        options.trust = Some(source);
        options.rescan_ms = 20;
    });
    (trust, machine)
}

#[test]
fn a_live_version_that_is_revoked_goes_back_with_its_state() {
    let (trust, machine) = changing();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 0;
    let mut model = machine.add(spec);
    let (mut reference, mut inputs) = (Reference(0.0), inputs());
    let mut feed = |model: &mut LiveModel| {
        for input in inputs.by_ref().take(10) {
            let found = value(model, input);
            assert_eq!(found.to_bits(), reference.step(input).to_bits());
        }
    };
    feed(&mut model);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    feed(&mut model);
    *trust.0.lock().unwrap() = revoking(&[versions(">=1.1.0")]);
    let told = machine.await_event(&mut model, is_revoked("1.1.0"));
    assert_eq!(told.reason, Some(Reason::Revoked));
    let words = told.message.unwrap();
    for part in ["is revoked: leaks", "goes back to 1.0.0"] {
        assert!(words.contains(part), "{words}");
    }
    machine.await_event(&mut model, |event| {
        event.is_state(State::Promoted) && event.version == "1.0.0" && event.seq > told.seq
    });
    assert_eq!(model.generation().version(), "1.0.0");
    feed(&mut model);
    let status = machine.supervisor.status();
    let is_out = |one: &KeptOut| one.reason == Reason::Revoked && one.version == "1.1.0";
    assert!(status.models[0].kept_out.iter().any(is_out), "{status:?}");
    // It is told once, and stays out although it is the newest.
    std::thread::sleep(Duration::from_millis(200));
    model.poll();
    let events = machine.events();
    let count = events.iter().filter(|event| is_revoked("1.1.0")(event));
    assert_eq!(count.count(), 1, "{}", machine.story());
    assert_eq!(model.generation().version(), "1.0.0");
}

#[test]
fn a_revoked_version_in_probation_gives_way_and_a_revoked_parked_one_never_comes_back() {
    let (trust, machine) = changing();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 500;
    let mut model = machine.add(spec);
    value(&mut model, 1.0);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    // By the digest of its library.
    let digest = model.generation().loaded.digest().unwrap().to_owned();
    *trust.0.lock().unwrap() = revoking(&[Subject::digest(&digest).unwrap()]);
    let back = machine.await_event(&mut model, |event| event.is(Occasion::RolledBack));
    assert_eq!(back.reason, Some(Reason::Revoked));
    assert_eq!(model.generation().version(), "1.0.0");
    commit(&machine.plugins(), &[&version("1.2.0")]);
    machine.await_promotion(&mut model, "1.2.0");
    assert!(model.parked().is_some());
    *trust.0.lock().unwrap() = revoking(&[versions("1.0.0")]);
    machine.await_event(&mut model, is_revoked("1.0.0"));
    machine.await_event(&mut model, |event| {
        event.is_state(State::Destroyed) && event.version == "1.0.0"
    });
    assert!(model.parked().is_none());
    assert_eq!(model.generation().version(), "1.2.0");
    let status = machine.supervisor.status();
    assert!(status.models[0].parked.is_none(), "{status:?}");
}

#[test]
fn revoked_standbys_end_and_what_has_no_way_back_stays_until_something_allowed_comes() {
    let (trust, machine) = changing();
    for number in ["1.0.0", "1.1.0"] {
        commit(&machine.plugins(), &[&version(number)]);
    }
    let mut spec = spec();
    spec.swap.probation.rows = 0;
    spec.source = ModelSource::Plugin {
        id: EMA.to_owned(),
        versions: VersionPolicy::LatestN(2),
        config: alpha(),
        artifact: Vec::new(),
    };
    let mut model = machine.add(spec);
    value(&mut model, 1.0);
    *trust.0.lock().unwrap() = revoking(&[versions(">=1.0.0")]);
    let told = machine.await_event(&mut model, is_revoked("1.1.0"));
    let words = told.message.unwrap();
    assert!(words.contains("stays live"), "{words}");
    assert!(words.contains("install an allowed one"), "{words}");
    machine.await_event(&mut model, is_revoked("1.0.0"));
    machine.await_event(&mut model, |event| {
        event.is_state(State::Destroyed) && event.version == "1.0.0"
    });
    assert!(machine.supervisor.status().models[0].standbys.is_empty());
    assert_eq!(model.generation().version(), "1.1.0");
    let told = |occasion| {
        machine
            .events()
            .iter()
            .filter(|one| one.is(occasion))
            .count()
    };
    assert_eq!(told(Occasion::Revoked), 2);
    // A lower version that is allowed is a way back as soon as it is there.
    commit(&machine.plugins(), &[&version("0.9.0")]);
    machine.await_promotion(&mut model, "0.9.0");
    assert_eq!(told(Occasion::Revoked), 2, "{}", machine.story());
    assert_eq!(told(Occasion::RollbackFailed), 0, "{}", machine.story());
}

#[test]
fn a_pin_and_the_policy_hold_a_revoked_version_and_the_event_says_so() {
    let (trust, machine) = changing();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 0;
    let mut model = machine.add(spec);
    value(&mut model, 1.0);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    let target = || EMA.to_owned();
    let pin = Command::Pin {
        target: target(),
        version: "1.1.0".to_owned(),
    };
    machine.request(&mut model, pin);
    *trust.0.lock().unwrap() = revoking(&[versions("1.1.0")]);
    let told = machine.await_event(&mut model, is_revoked("1.1.0"));
    assert!(told.message.unwrap().contains("plugin unpin ema"));
    assert_eq!(model.generation().version(), "1.1.0");
    machine.request(&mut model, Command::Unpin { target: target() });
    machine.await_event(&mut model, |event| {
        event.is_state(State::Promoted) && event.version == "1.0.0" && event.seq > told.seq
    });
}

#[test]
fn a_revoked_version_stays_live_where_the_policy_says_so() {
    let (trust, machine) = changing();
    commit(&machine.plugins(), &[]);
    let mut spec = spec();
    spec.swap.probation.rows = 0;
    spec.swap.leave_revoked = false;
    let mut model = machine.add(spec);
    value(&mut model, 1.0);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_promotion(&mut model, "1.1.0");
    *trust.0.lock().unwrap() = revoking(&[versions("1.1.0")]);
    let told = machine.await_event(&mut model, is_revoked("1.1.0"));
    let words = told.message.unwrap();
    assert!(words.contains("`fusebox plugin rollback ema`"), "{words}");
    assert_eq!(model.generation().version(), "1.1.0");
    let target = "ema".to_owned();
    let outcome = machine.request(&mut model, Command::Rollback { target });
    let RequestOutcome::Done(event) = outcome else {
        panic!("{outcome:?}");
    };
    let words = event.message.unwrap();
    assert!(words.contains("ema: 1.1.0 -> 1.0.0, generation"), "{words}");
    assert_eq!(model.generation().version(), "1.0.0");
}

#[test]
fn revoked_code_is_left_with_whatever_weights_it_runs() {
    let (trust, machine) = changing();
    for number in ["1.0.0", "1.1.0"] {
        commit(&machine.plugins(), &[&version(number)]);
        weights(&machine, number, 0.5, false);
    }
    let mut spec = ModelSpec::of_packages("ema");
    spec.swap.probation.rows = 0;
    let mut model = machine.add(spec);
    value(&mut model, 1.0);
    assert_eq!(model.generation().version(), "1.1.0");
    *trust.0.lock().unwrap() = revoking(&[versions("1.1.0")]);
    let told = machine.await_event(&mut model, is_revoked("1.1.0"));
    let words = told.message.unwrap();
    assert!(
        words.contains("goes back to 1.1.0 with code 1.0.0"),
        "{words}"
    );
    machine.await_event(&mut model, |event| {
        event.is_state(State::Promoted) && event.version == "1.0.0"
    });
    // New weights go live with the code that is allowed, not with what is mapped and revoked.
    weights(&machine, "1.2.0", 1.0, false);
    machine.await_promotion(&mut model, "1.2.0");
    assert_eq!(model.generation().version(), "1.0.0");
}

#[test]
fn a_first_start_that_is_refused_is_not_held_against_the_next_one() {
    let machine = Machine::new();
    commit(&machine.plugins(), &[]);
    let mut wrong = spec();
    wrong.source = ModelSource::Plugin {
        id: EMA.to_owned(),
        versions: VersionPolicy::Latest,
        config: Config::new(),
        artifact: Vec::new(),
    };
    let error = machine.supervisor.add(wrong).unwrap_err().to_string();
    assert!(error.contains("key `alpha` is missing"), "{error}");
    let mut model = machine.add(spec());
    assert_eq!(value(&mut model, 1.0).to_bits(), 0.5_f32.to_bits());
    let mut unknown = ModelSpec::of_plugin("other", "com.example.ema-d", alpha());
    unknown.swap.probation.rows = 4;
    let error = machine.supervisor.add(unknown).unwrap_err().to_string();
    assert!(
        error.contains("did you mean `com.example.ema-c`?"),
        "{error}"
    );
}

#[test]
fn weights_are_replaced_without_touching_the_library() {
    // Tried in a child first, which must get the configuration of the model package.
    let machine = Machine::with(|options| {
        let options_of_workers = worker_options();
        options.prober = Some(Arc::new(WorkerProber {
            options: options_of_workers,
        }));
    });
    commit(&machine.plugins(), &[]);
    weights(&machine, "1.0.0", 0.5, false);
    let mut spec = ModelSpec::of_packages("ema");
    spec.swap.probation.rows = 2;
    let mut model = machine.add(spec);
    assert_eq!(value(&mut model, 1.0).to_bits(), 0.5_f32.to_bits());
    weights(&machine, "1.1.0", 1.0, false);
    machine.await_promotion(&mut model, "1.1.0");
    assert_eq!(
        value(&mut model, 3.0).to_bits(),
        3.0_f32.to_bits(),
        "another alpha"
    );
    let mapped = machine.await_event(&mut model, |event| {
        event.is_state(State::Mapped) && event.weights.as_deref() == Some("1.1.0")
    });
    assert_eq!(mapped.reason, Some(Reason::SkippedMapped));
    assert_eq!(machine.supervisor.status().leaks.generations_mapped, 1);
    commit(&machine.plugins(), &[&version("1.1.0")]);
    machine.await_event(&mut model, |event| {
        event.is_state(State::Promoted) && event.version == "1.1.0"
    });
    assert_eq!(
        model.generation().weights.as_ref().unwrap().version,
        "1.1.0"
    );
}
