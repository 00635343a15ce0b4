//! `fusebox train` and `fusebox model` through the real binary, the real plugin and both boosters:
//! killed at any moment and taken up again, refused where it must be, registered, exported,
//! verified.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the test waits for what another process writes, and not for ever"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fusebox_tests::binary::{Ran, gbm_plugin_dir};
use fusebox_tests::fixtures::project_root;
use fusebox_tests::training::{cut_short, native_dir, short_pipeline, with_boosters};
use serde_json::Value;

/// How the shipped pipelines are cut short here.
const SHORT: [&str; 3] = [
    "data.to=2022-04-16",
    "model.params.rounds=60",
    "model.params.checkpoint_rounds=6",
];

/// `fusebox train` of the shipped pipelines into `out`, cut short.
fn train(dir: &Path, boosters: &[&str], out: &str, more: &[&str]) -> Command {
    let mut command = with_boosters(dir);
    command.arg("train");
    command.args(boosters.iter().map(|booster| short_pipeline(booster)));
    command.args(["--json", "--out", out, "--plugin-dir"]);
    command.arg(gbm_plugin_dir());
    cut_short(&mut command, &SHORT);
    command.args(more);
    command
}

fn ran(mut command: Command) -> Ran {
    Ran::from(command.output().unwrap())
}

/// The words of a refusal, which comes before any work: exit code 2 and nothing is left.
fn refusal(dir: &Path, mut command: Command) -> String {
    let refused = Ran::from(command.output().unwrap());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for left in ["out", "out.partial"] {
        assert!(!dir.join(left).exists(), "{left}: {refused:?}");
    }
    refused.stderr
}

#[test]
fn a_library_that_is_not_there_is_told_before_any_data_are_read() {
    let dir = tempfile::tempdir().unwrap();
    // Data that are not there would be the next thing to be told.
    let no_data = ["--set", "data.source=files", "--set", "data.dir=nowhere"];
    let without = |command: &str, booster: &str, more: &[&str]| {
        let mut refused = train(dir.path(), &[booster], "out", &[]);
        let arguments: Vec<_> = refused.get_args().skip(1).map(ToOwned::to_owned).collect();
        refused = fusebox_tests::binary::command(dir.path());
        refused
            .arg(command)
            .args(arguments)
            .args(no_data)
            .args(more);
        refusal(dir.path(), refused)
    };
    for command in ["train", "run"] {
        let told = without(command, "lightgbm", &[]);
        for part in [
            ".fusebox/native, and FUSEBOX_LIGHTGBM_LIBRARY is not set; run `make setup`",
            "LightGBM cannot be loaded from `lib_lightgbm.so`",
        ] {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
    }
    // A column that is not there hides nothing.
    let column = ["--set", "model.params.categorical=zip"];
    let told = without("train", "lightgbm", &column);
    for part in ["names `zip`", "besides, LightGBM cannot be loaded"] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    let named = ["--set", "engine.libraries.xgboost=/no/where.so"];
    let told = without("train", "xgboost", &named);
    assert!(told.contains("/no/where.so (engine.libraries)"), "{told}");
    // A library, and not the one that is asked for.
    let other = native_dir().join("xgboost-3.4.1/xgboost/lib/libxgboost.so");
    let other = format!("engine.libraries.lightgbm={}", other.display());
    let told = without("run", "lightgbm", &["--set", &other]);
    assert!(told.contains("is not LightGBM 4.7 or newer"), "{told}");
    let told = without("train", "lightgbm", &["--set", "labels.horizon_bars=0"]);
    for part in [
        "2 problems",
        "`labels.horizon_bars`",
        "`engine.libraries` lack a library that can be used: lightgbm",
    ] {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn settings_that_name_what_is_not_there_are_told_before_any_data_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [
        "model.params.monotone_increasing=\"nope;rsi(14)\"",
        "model.params.categorical=zip",
        "model.params.return_label=zzz",
        "model.params.rounds=0",
        "model.params.foo=1",
    ];
    let parts = [
        "`monotone_increasing` names `nope`, which is no column",
        "`categorical` names `zip`, which is no column",
        "is `zzz`; it must be one of direction, forward_return, or empty",
        "is 0; it must be a whole number from 1",
        "foo",
    ];
    let other = ["--set", "labels.horizon_bars=0"];
    for more in [&[][..], &other] {
        let sets = wrong.iter().flat_map(|value| ["--set", value]);
        let sets: Vec<&str> = sets
            .chain(["--set", "data.source=files", "--set", "data.dir=nowhere"])
            .chain(more.iter().copied())
            .collect();
        let told = refusal(dir.path(), train(dir.path(), &["lightgbm"], "out", &sets));
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
        assert_eq!(told.contains("horizon_bars"), !more.is_empty(), "{told}");
    }
    // Each of several pipelines has its say, and what they share is told once.
    let sets = wrong[..2].iter().flat_map(|value| ["--set", value]);
    let sets: Vec<&str> = sets.chain(["--set", "data.source=files"]).collect();
    let both = ["lightgbm", "xgboost"];
    let told = refusal(dir.path(), train(dir.path(), &both, "out", &sets));
    assert_eq!(
        told.matches(parts[0]).count(),
        2,
        "once in words, once as a row: {told}"
    );
    let sets = ["--set", "model.params.drop_rate=0.1"];
    let told = refusal(dir.path(), train(dir.path(), &both, "out", &sets));
    let words = "`model.params.drop_rate` is";
    assert_eq!(told.matches(words).count(), 2, "{told}");
    // That the values are no categories, only the data say; that is no less a wrong setting.
    let real = ["--set", "model.params.categorical=\"rsi(14)\""];
    let told = ran(train(dir.path(), &["xgboost"], "real", &real));
    assert_eq!(told.code, Some(2), "{told:?}");
    assert!(
        told.stderr
            .contains("take such columns out of the key `categorical`"),
        "{told:?}"
    );
}

#[test]
fn every_fold_that_is_empty_says_why_and_what_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let told = |sets: &[&str]| {
        let sets: Vec<&str> = sets.iter().flat_map(|value| ["--set", value]).collect();
        let mut refused = train(dir.path(), &["lightgbm"], "out", &sets);
        let refused = Ran::from(refused.output().unwrap());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        refused.stderr
    };
    let embargo = told(&["split.embargo_bars=6000"]);
    for fold in 1..=4 {
        for part in ["training", "validation"] {
            let words = format!("fold {fold} has no samples in its {part} period, 2022-0");
            assert!(embargo.contains(&words), "{words:?} is not in: {embargo}");
        }
    }
    assert!(embargo.contains("lower `split.embargo_bars`"), "{embargo}");
    let short = told(&["data.to=2022-02-01"]);
    let words = "the first test period begins at 2022-02-19T00:00:00Z; shorten `split.train`";
    assert!(short.contains(words), "{short}");
    let groups = told(&[
        "split.kind=purged_kfold",
        "split.groups=3",
        "split.test_groups=1",
        "split.embargo_bars=20000",
    ]);
    assert!(groups.contains("lower `split.groups`"), "{groups}");
}

#[test]
fn a_horizon_that_nobody_learns_is_told_with_everything_else_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let horizons = [
        "labels.kind=forward_returns",
        "labels.more_horizons_bars=[48]",
    ];
    let sets: Vec<&str> = horizons.iter().flat_map(|value| ["--set", value]).collect();
    let alone = ran(train(dir.path(), &["lightgbm"], "out", &sets));
    assert_eq!(alone.code, Some(2), "{alone:?}");
    let words = "`labels.more_horizons_bars` makes several labels";
    assert!(
        alone.stdout.contains(words) || alone.stderr.contains(words),
        "{alone:?}"
    );
    let more = [
        &sets[..],
        &[
            "--set",
            "labels.horizon_bars=0",
            "--set",
            "model.params.max_depth=x",
        ],
    ];
    let both = ran(train(dir.path(), &["lightgbm"], "out", &more.concat()));
    assert_eq!(both.code, Some(2), "{both:?}");
    let told = format!("{}{}", both.stdout, both.stderr);
    for words in [words, "labels.horizon_bars", "model.params.max_depth"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn returns_and_their_quantiles_are_judged_as_numbers_and_never_as_classes() {
    let dir = tempfile::tempdir().unwrap();
    let quantiles = "labels.quantiles=[0.05, 0.25, 0.5, 0.75, 0.95]";
    for (out, more) in [("returns", &[][..]), ("quantiles", &["--set", quantiles])] {
        let kind = ["--set", "labels.kind=forward_returns"];
        let done = ran(train(
            dir.path(),
            &["lightgbm"],
            out,
            &[&kind[..], more].concat(),
        ));
        assert_eq!(done.code, Some(0), "{done:?}");
        let run = done.json()["runs"][0].clone();
        let run_dir = PathBuf::from(run["directory"].as_str().unwrap());
        let run_dir = dir.path().join(run_dir);
        let text = fs::read(run_dir.join("metrics.json")).unwrap();
        let metrics: Value = serde_json::from_slice(&text).unwrap();
        assert!(metrics["classification"].is_null(), "{out}");
        let quality = &metrics["regression"];
        for name in [
            "mean_absolute_error",
            "root_mean_squared_error",
            "information_coefficient",
        ] {
            assert!(
                quality[name]["interval"]["low"].is_number(),
                "{name}: {quality}"
            );
        }
        for one in quality["baselines"].as_array().unwrap() {
            assert!(one["r_squared"]["value"].is_number(), "{one}");
        }
        let names: Vec<&str> = run["card"]["metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert!(
            !names.contains(&"accuracy") && names.contains(&"r_squared_zero"),
            "{names:?}"
        );
        let page = fs::read_to_string(dir.path().join(out).join("evaluation.html")).unwrap();
        assert!(page.contains("Mean absolute error") && !page.contains("Majority class"));
        let report = fs::read_to_string(run_dir.join("report.html")).unwrap();
        assert!(!report.contains("Confusion matrix"));
        let tests = done.json()["tests"].clone();
        let expected = if more.is_empty() {
            (2, "squared error")
        } else {
            (1, "pinball loss")
        };
        assert_eq!(tests.as_array().unwrap().len(), expected.0, "{tests}");
        assert_eq!(tests[0]["loss_name"], expected.1);
        if more.is_empty() {
            assert!(quality["quantiles"].is_null());
            continue;
        }
        let found = &quality["quantiles"];
        assert_eq!(found["levels"].as_array().unwrap().len(), 5);
        assert!(found["crps"]["value"].as_f64().unwrap() > 0.0);
        let coverage = found["intervals"][0]["coverage"]["value"].as_f64().unwrap();
        assert!(
            (0.7..1.0).contains(&coverage),
            "a 90 % interval covers {coverage}"
        );
        assert!(page.contains("Pinball loss") && report.contains("CRPS"));
        assert!(names.contains(&"pinball_loss") && names.contains(&"interval_coverage"));
    }
}

/// A command of the registry in `dir`.
fn model(dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = with_boosters(dir);
    command.arg("model").args(arguments).arg("--plugin-dir");
    command.arg(gbm_plugin_dir());
    ran(command)
}

/// Path and digest of every file of a training but those that state how long it took.
fn digests(out: &Path) -> Vec<(String, String)> {
    let text = fs::read(out.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let files = manifest["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            (text("path"), text("digest"))
        })
        .filter(|(path, _)| !path.ends_with("report.html") && !path.ends_with("manifest.json"))
        .collect()
}

/// Files of the state of a training whose names end so.
fn kept(partial: &Path, end: &str) -> usize {
    let Ok(pipelines) = fs::read_dir(partial.join(".state")) else {
        return 0;
    };
    let pipelines = pipelines.filter_map(Result::ok);
    let files = pipelines.filter_map(|pipeline| fs::read_dir(pipeline.path()).ok());
    let names = files
        .flatten()
        .filter_map(Result::ok)
        .map(|file| file.file_name());
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            name.ends_with(end) && !name.starts_with('.')
        })
        .count()
}

/// Waits until `is_there` or the child has ended; whether it is there.
fn wait_until(child: &mut Child, is_there: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is_there() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "nothing happens"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_training_killed_at_any_moment_comes_out_as_if_nothing_had_happened() {
    let dir = tempfile::tempdir().unwrap();
    let both = ["lightgbm", "xgboost"];
    let whole = ran(train(dir.path(), &both, "whole", &[]));
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert_eq!(whole.json()["resumed"], false);
    let partial = dir.path().join("killed.partial");
    // While a fit is under way, after so many folds of either booster, and while all are traded.
    let moments: [(&str, usize); 6] = [
        (".checkpoint", 1),
        (".finished", 1),
        (".checkpoint", 1),
        (".finished", 3),
        (".finished", 5),
        (".finished", 6),
    ];
    let mut kills = 0;
    for (end, count) in moments {
        let mut child = spawn(train(dir.path(), &both, "killed", &[]));
        let is_there = wait_until(&mut child, || kept(&partial, end) >= count);
        // A little further, at another place each time.
        std::thread::sleep(Duration::from_millis(37 * kills));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += u64::from(is_there);
        assert!(partial.is_dir(), "{end} {count}");
    }
    assert!(kills >= 4, "{kills}");
    let resumed = ran(train(dir.path(), &both, "killed", &[]));
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(resumed.json()["resumed"], true);
    assert!(!partial.exists());
    let (one, other) = (dir.path().join("whole"), dir.path().join("killed"));
    assert_eq!(digests(&one), digests(&other));
    let of = |ran: &Ran, key: &str| -> Vec<Value> {
        let document = ran.json();
        let runs = document["runs"].as_array().unwrap().iter();
        runs.map(|run| run[key].clone()).collect()
    };
    assert_eq!(of(&whole, "model_sha256"), of(&resumed, "model_sha256"));
    // The same model is registered once.
    assert_eq!(of(&whole, "registered"), of(&resumed, "registered"));
    let page = fs::read_to_string(one.join("evaluation.html")).unwrap();
    for words in [
        "direction-15m-lightgbm",
        "direction-15m-xgboost",
        "Diebold",
        "(SHAP values)",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let tests = whole.json()["tests"].as_array().unwrap().len();
    assert_eq!(tests, 3, "two baselines and a pair");
}

#[test]
fn an_interrupt_leaves_what_the_same_command_takes_up_and_another_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let one = ["lightgbm"];
    let partial = dir.path().join("out.partial");
    let mut command = train(dir.path(), &one, "out", &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert!(wait_until(&mut child, || kept(&partial, ".checkpoint") > 0));
    let pid = child.id().to_string();
    let signalled = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(signalled.success());
    let stopped = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let message = stopped.error()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("out.partial"), "{message}");

    let other = ran(train(
        dir.path(),
        &one,
        "out",
        &["--set", "model.params.num_leaves=9"],
    ));
    assert_eq!(other.code, Some(2), "{other:?}");
    let message = other.error()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    for words in ["num_leaves was 15, it is 9", "--fresh"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(kept(&partial, "") > 1, "it was left as it was");
    let fresh = ["--set", "model.params.num_leaves=9", "--fresh"];
    let fresh = ran(train(dir.path(), &one, "out", &fresh));
    assert_eq!(fresh.code, Some(0), "{fresh:?}");
    assert_eq!(fresh.json()["resumed"], false);

    let again = ran(train(dir.path(), &one, "out", &[]));
    assert_eq!(again.code, Some(2), "a finished training stays: {again:?}");
    assert!(again.stderr.contains("--overwrite"), "{again:?}");
    // The directory of a run is none of a training.
    fs::create_dir(dir.path().join("foreign")).unwrap();
    fs::write(dir.path().join("foreign/thesis.txt"), b"years").unwrap();
    let foreign = ran(train(dir.path(), &one, "foreign", &["--overwrite"]));
    assert_eq!(foreign.code, Some(2), "{foreign:?}");
    assert!(dir.path().join("foreign/thesis.txt").exists());
}

#[test]
fn a_registered_model_is_shown_exported_verified_and_its_damage_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let refit = ["--set", "train.final=refit"];
    let trained = ran(train(dir.path(), &["lightgbm"], "out", &refit));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let run = &trained.json()["runs"][0];
    let name = "direction-15m-lightgbm";
    assert_eq!(run["registered"]["version"], "1.0.0");
    assert_eq!(run["card"]["model"]["kind"], "refit");
    let warnings = run["card"]["warnings"].to_string();
    assert!(warnings.contains("fitted on every row"), "{warnings}");
    let sha256 = run["model_sha256"].as_str().unwrap().to_owned();

    let list = model(dir.path(), &["list", "--json"]);
    assert_eq!(list.code, Some(0), "{list:?}");
    assert_eq!(list.json()["models"][0]["model_sha256"], sha256.as_str());
    assert!(model(dir.path(), &["list"]).stdout.contains(name));
    let show = model(dir.path(), &["show", name]);
    for words in [
        "# Model card",
        "## Beware",
        "## Out of sample",
        "buy and hold",
        "embargo",
    ] {
        assert!(show.stdout.contains(words), "{words}: {}", show.stdout);
    }
    assert!(!show.stdout.contains("rustc rustc"), "{}", show.stdout);
    let wrong = model(dir.path(), &["show", "direction-15m-lightgmb"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("did you mean"), "{wrong:?}");

    let files = model(
        dir.path(),
        &["export", name, "--format", "files", "--out", "files"],
    );
    assert_eq!(files.code, Some(0), "{files:?}");
    let artifact = dir.path().join("files").join(format!("{name}.model"));
    let trained = dir.path().join("out").join(name).join("models/final.model");
    assert_eq!(fs::read(artifact).unwrap(), fs::read(trained).unwrap());
    let package = model(
        dir.path(),
        &[
            "export",
            name,
            "--out",
            "models",
            "--allow-unaudited",
            "--json",
        ],
    );
    assert_eq!(package.code, Some(0), "{package:?}");
    let manifest = dir
        .path()
        .join("models")
        .join(name)
        .join("1.0.0/model.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(
        manifest.contains("[golden]") && manifest.contains("feature_set"),
        "{manifest}"
    );

    let sound = model(dir.path(), &["verify", "--json"]);
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert_eq!(sound.json()["answered_as_known"], 1);
    damage_is_found(dir.path(), (name, &sha256));
}

/// Flips a bit of the artifact, and looks whether that is noticed everywhere.
fn damage_is_found(dir: &Path, (name, sha256): (&str, &str)) {
    let (head, tail) = sha256.split_at(2);
    let object = dir.join(".fusebox/registry/objects").join(head).join(tail);
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, &bytes).unwrap();
    let damaged = model(dir, &["verify", "--json"]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    let found = &damaged.json()["findings"][0];
    assert_eq!(found["kind"], "damaged");
    assert_eq!(found["models"][0], format!("{name} 1.0.0"));
    let refused = model(dir, &["export", name, "--format", "files", "--out", "more"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(!dir.join("more").exists(), "nothing is left behind");
    assert_eq!(model(dir, &["remove", name, "1.0.0"]).code, Some(0));
    assert_eq!(model(dir, &["gc"]).code, Some(0));
    let empty = model(dir, &["verify"]);
    assert_eq!(empty.code, Some(0), "{empty:?}");
}

/// The shipped pipelines stop early by what their answers are worth, not by the loss alone.
#[test]
fn metrics_of_returns_are_counted_on_the_returns_after_each_bar() {
    let dir = tempfile::tempdir().unwrap();
    let both = ["lightgbm", "xgboost"];
    for (metric, reported) in [
        ("ic", "valid_information_coefficient"),
        ("sharpe", "valid_sharpe"),
    ] {
        let set = [
            format!("model.params.metric={metric}"),
            "model.params.return_label=forward_return".to_owned(),
            "model.params.early_stopping_rounds=10".to_owned(),
        ];
        let more: Vec<&str> = set.iter().flat_map(|one| ["--set", one.as_str()]).collect();
        let trained = ran(train(dir.path(), &both, metric, &more));
        assert_eq!(trained.code, Some(0), "{trained:?}");
        let told = fs::read_to_string(dir.path().join(metric).join("evaluation.json"));
        let told = told.unwrap();
        for name in [reported, "valid_log_loss"] {
            assert!(told.contains(name), "{name} is in no learning curve");
        }
        let name = "direction-15m-lightgbm";
        let artifact = dir
            .path()
            .join(metric)
            .join(name)
            .join("models/final.model");
        let artifact = fs::read(artifact).unwrap();
        let header = artifact.split(|byte| *byte == b'\n').nth(1).unwrap();
        let header: Value = serde_json::from_slice(header).unwrap();
        assert_eq!(
            header["label"], "direction",
            "returns are not what is learned"
        );
        assert!(header["best_score"].is_number(), "{header}");
    }
    // The models are verified and made live with the settings on their cards.
    let sound = model(dir.path(), &["verify", "--json"]);
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert_eq!(sound.json()["answered_as_known"], 4);
}

/// The exported package goes live, through the checks of its known answers, its features and bars.
#[test]
fn an_exported_model_goes_live() {
    let dir = tempfile::tempdir().unwrap();
    let trained = ran(train(dir.path(), &["xgboost"], "out", &[]));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let name = "direction-15m-xgboost";
    let package = model(dir.path(), &["export", name, "--allow-unaudited"]);
    assert_eq!(package.code, Some(0), "{package:?}");
    let mut serve = with_boosters(dir.path());
    serve
        .args(["plugin", "serve"])
        .arg(short_pipeline("xgboost"));
    serve.args([
        "--model",
        name,
        "--json",
        "--bars",
        "4000",
        "--bars-per-second",
        "0",
    ]);
    let native = native_dir();
    let readable = format!("engine.worker.readable=[{:?}]", native.to_string_lossy());
    serve.args(["--set", &readable, "--plugin-dir"]);
    serve.arg(gbm_plugin_dir());
    cut_short(&mut serve, &SHORT);
    let served = ran(serve);
    assert_eq!(served.code, Some(0), "{served:?}");
    let answers = served
        .stdout
        .lines()
        .filter(|line| line.contains("\"answer\""));
    assert!(answers.count() > 100, "{}", served.stderr);
}

#[test]
fn models_are_written_as_onnx_or_it_is_said_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let trained = ran(train(dir.path(), &["lightgbm"], "out", &[]));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let name = "direction-15m-lightgbm";
    let onnx = [
        "export",
        name,
        "--format",
        "onnx",
        "--opset",
        "15",
        "--out",
        "model.onnx",
    ];
    let written = model(dir.path(), &onnx);
    match written.code {
        Some(0) => {
            let bytes = fs::read(dir.path().join("model.onnx")).unwrap();
            assert!(bytes.windows(12).any(|part| part == b"TreeEnsemble"));
            assert_eq!(model(dir.path(), &onnx).code, Some(2), "it is not replaced");
            let old = [
                "export", name, "--format", "onnx", "--opset", "3", "--out", "old.onnx",
            ];
            let old = model(dir.path(), &old);
            assert_eq!(old.code, Some(2), "{old:?}");
            // A plugin in a process of its own writes the same file.
            let mut in_worker = with_boosters(dir.path());
            in_worker.env("FUSEBOX_ENGINE__ISOLATION", "worker");
            in_worker.arg("model").args(&onnx[..7]).arg("worker.onnx");
            let in_worker = ran({
                in_worker.arg("--plugin-dir").arg(gbm_plugin_dir());
                in_worker
            });
            assert_eq!(in_worker.code, Some(0), "{in_worker:?}");
            let same = fs::read(dir.path().join("worker.onnx")).unwrap();
            assert!(same == bytes, "the worker wrote another file");
        }
        _ => {
            assert_eq!(written.code, Some(2), "{written:?}");
            assert!(
                written.stderr.contains("cannot write its models as ONNX"),
                "{written:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_learned_is_told_with_its_fold_and_nothing_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let refuse = |more: &[&str], words: &[&str]| {
        let refused = ran(train(dir.path(), &["lightgbm"], "out", more));
        let told = refused.stderr.clone();
        assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(!dir.path().join("out").exists());
        refused.code
    };
    let one_class = [
        "--set",
        "labels.kind=fixed_threshold",
        "--set",
        "labels.upper_return=50",
        "--set",
        "labels.lower_return=50",
    ];
    refuse(&one_class, &["fold", "down"]);
    refuse(
        &["--fresh", "--set", "split.train=40w"],
        &["split.train", "first test period"],
    );
    refuse(
        &["--fresh", "--set", "run.name=a/b"],
        &["run.name", "directory"],
    );
    let set = ["--fresh", "--set", "model.params.booster=xgboost"];
    let code = refuse(&set, &["min_data_in_leaf", "XGBoost"]);
    assert_eq!(code, Some(2), "a setting, though only a fit finds it");
    let column = [
        "--fresh",
        "--set",
        "model.params.metric=ic",
        "--set",
        "model.params.return_label=nowhere",
    ];
    let words = ["`return_label` is `nowhere`", "forward_return"];
    assert_eq!(refuse(&column, &words), Some(2));
    // Hyper-parameters, which only the plugin knows, are told with everything else.
    let params = [
        "--fresh",
        "--set",
        "labels.horizon_bars=0",
        "--set",
        "model.params.num_leavs=9",
        "--set",
        "model.params.rounds=0",
    ];
    let words = [
        "`labels.horizon_bars` is 0",
        "`model.params.num_leavs` is no parameter of ai.fusebox.gbm; did you mean `num_leaves`?",
        "`model.params.rounds` is 0; it must be a whole number",
    ];
    refuse(&params, &words);
    fs::write(dir.path().join("notes.txt"), b"mine").unwrap();
    refuse(&["--fresh", "--registry", "."], &["not a registry"]);

    let mut without = train(dir.path(), &["lightgbm"], "out", &["--fresh"]);
    without.env("FUSEBOX_LIGHTGBM_LIBRARY", dir.path().join("gone.so"));
    let without = ran(without);
    assert_eq!(without.code, Some(2), "{without:?}");
    assert!(
        without.stderr.to_lowercase().contains("lightgbm"),
        "{without:?}"
    );
    let twice = ran(train(dir.path(), &["lightgbm", "lightgbm"], "out", &[]));
    assert_eq!(twice.code, Some(2), "{twice:?}");
    assert!(twice.stderr.contains("each its own"), "{twice:?}");
}

#[test]
fn a_disk_that_refuses_a_model_is_told_and_what_was_kept_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let one = ["lightgbm"];
    let partial = dir.path().join("out.partial");
    let mut child = spawn(train(dir.path(), &one, "out", &[]));
    assert!(wait_until(&mut child, || kept(&partial, ".checkpoint") > 0));
    child.kill().unwrap();
    child.wait().unwrap();
    // No file can take the name of a directory: the file system says no, as a full one would.
    let blocked = partial.join(".state/direction-15m-lightgbm/fold-03.finished");
    fs::create_dir(&blocked).unwrap();
    let refused = ran(train(dir.path(), &one, "out", &[]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = &refused.stderr;
    assert!(
        told.contains("cannot write") && told.contains("fold-03.finished"),
        "{told}"
    );
    assert!(!dir.path().join("out").exists());
    fs::remove_dir(&blocked).unwrap();
    let after = ran(train(dir.path(), &one, "out", &[]));
    assert_eq!(after.code, Some(0), "{after:?}");
    assert_eq!(after.json()["resumed"], true);
    let whole = ran(train(dir.path(), &one, "whole", &["--no-register"]));
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert_eq!(
        digests(&dir.path().join("out")),
        digests(&dir.path().join("whole"))
    );
}

#[test]
fn other_folds_are_told_and_other_tasks_and_splits_work() {
    let dir = tempfile::tempdir().unwrap();
    // Two pipelines that differ in their folds.
    let text = fs::read_to_string(short_pipeline("lightgbm")).unwrap();
    let other = text
        .replace("name = \"direction-15m-lightgbm\"", "name = \"anchored\"")
        .replace("kind = \"rolling\"", "kind = \"anchored\"");
    let path = dir.path().join("anchored.toml");
    fs::write(&path, other).unwrap();
    let mut command = train(dir.path(), &["lightgbm"], "out", &["--no-register"]);
    command.arg(&path);
    let trained = ran(command);
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let notes = trained.json()["notes"].to_string();
    assert!(notes.contains("their folds differ"), "{notes}");
    assert!(!dir.path().join(".fusebox/registry").exists());

    let returns = [
        "--no-register",
        "--set",
        "labels.kind=forward_returns",
        "--set",
        "split.kind=purged_kfold",
        "--set",
        "split.groups=4",
    ];
    let trained = ran(train(dir.path(), &["xgboost"], "returns", &returns));
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let run = &trained.json()["runs"][0];
    assert!(
        run["card"]["task"].as_str().unwrap().contains("regression"),
        "{run}"
    );
    let page = fs::read_to_string(dir.path().join("returns/evaluation.html")).unwrap();
    assert!(page.contains("predicted return"));
}

#[test]
fn both_boosters_learn_from_real_candles_in_one_command() {
    let data = project_root().join("../shared/data/candles");
    if !data.join("BITFINEX/BTCUSD-1m.parquet").is_file() {
        eprintln!("skipped: {} has no candles", data.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = with_boosters(dir.path());
    command
        .arg("train")
        .args(["lightgbm", "xgboost"].map(short_pipeline));
    command
        .args(["--json", "--out", "out", "--data"])
        .arg(&data);
    command.arg("--plugin-dir").arg(gbm_plugin_dir());
    let shorter = [
        "data.symbols=['BTCUSD']",
        "data.to=2018-03-01",
        "split.train=4mo",
        "split.test=1mo",
        "split.step=1mo",
        "model.params.rounds=60",
        "evaluation.bootstrap_samples=200",
        "evaluation.random_runs=5",
        "train.explain_rows=100",
    ];
    command.args(shorter.iter().flat_map(|value| ["--set", value]));
    let trained = ran(command);
    assert_eq!(trained.code, Some(0), "{trained:?}");
    let document = trained.json();
    for run in document["runs"].as_array().unwrap() {
        let card = &run["card"];
        assert_eq!(card["data"]["source"]["kind"], "files");
        assert_eq!(card["data"]["files"].as_array().unwrap().len(), 1);
        assert!(card["trials"].as_u64().unwrap() >= 2);
        assert!(card["split"]["folds"].as_u64().unwrap() >= 2);
    }
    let pair = document["tests"].as_array().unwrap().iter();
    let pair = pair.filter(|test| test["is_baseline"] == false).count();
    assert_eq!(pair, 1, "{document}");
}
