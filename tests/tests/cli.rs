//! The command line through the real binary: help, exit codes, JSON, output directories.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fusebox_tests::binary::{Ran, command, gbm_plugin_dir, run};
use fusebox_tests::fixtures::{package_unchecked, plugin_dir, project_root};

const COMMANDS: [&[&str]; 31] = [
    &["doctor"],
    &["data", "import"],
    &["data", "validate"],
    &["data", "list"],
    &["features", "list"],
    &["features", "describe"],
    &["features", "audit"],
    &["plugin", "list"],
    &["plugin", "describe"],
    &["plugin", "keygen"],
    &["plugin", "pack"],
    &["plugin", "sign"],
    &["plugin", "verify"],
    &["plugin", "install"],
    &["plugin", "remove"],
    &["plugin", "trust", "add"],
    &["plugin", "trust", "list"],
    &["plugin", "trust", "remove"],
    &["plugin", "trust", "revoke"],
    &["run"],
    &["train"],
    &["model", "list"],
    &["model", "show"],
    &["model", "export"],
    &["model", "verify"],
    &["model", "update"],
    &["model", "remove"],
    &["model", "gc"],
    &["backtest"],
    &["compare"],
    &["completions"],
];

/// Commands of the project that later versions add; help must not promise them.
const LATER: [&str; 5] = ["labels", "tune", "paper", "serve", "schema"];

fn shipped_pipeline() -> String {
    let path = project_root().join("configs/pipelines/direction-1h-lightgbm.toml");
    path.to_string_lossy().into_owned()
}

fn here(arguments: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), arguments)
}

/// Candles of a quiet market as CSV; `break_row` gets a high below its low.
fn write_candles(path: &Path, rows: usize, break_row: Option<usize>) {
    let mut text = String::from("time,open,high,low,close,volume\n");
    for row in 0..rows {
        let at = 1_640_995_200 + 3600 * row;
        let high = if break_row == Some(row) { 90 } else { 110 };
        text.push_str(&format!("{at},100,{high},95,105,7\n"));
    }
    fs::write(path, text).unwrap();
}

#[test]
fn help_of_every_command_has_examples() {
    for arguments in COMMANDS {
        let mut words = arguments.to_vec();
        words.push("--help");
        let ran = here(&words);
        assert_eq!(ran.code, Some(0), "{arguments:?}");
        let example = format!("  fusebox {}", arguments.join(" "));
        assert!(ran.stdout.contains("Examples:\n"), "{arguments:?}");
        assert!(
            ran.stdout.contains(&example),
            "{arguments:?}: {}",
            ran.stdout
        );
        assert!(ran.stdout.contains("--json"), "{arguments:?}");
    }
}

#[test]
fn help_lists_what_works_and_nothing_else() {
    let ran = here(&["--help"]);
    assert_eq!(ran.code, Some(0));
    let commands: Vec<&str> = ran
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let expected = [
        "doctor",
        "data",
        "features",
        "plugin",
        "run",
        "train",
        "model",
        "backtest",
        "compare",
        "completions",
        "help",
    ];
    assert_eq!(commands, expected);
    for later in LATER {
        assert!(!commands.contains(&later), "{later}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = here(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.stdout.contains("print-config"), "{shell}");
    }
}

#[test]
fn wrong_usage_is_2_and_json_where_asked_for() {
    let ran = here(&["runn"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("run"), "{ran:?}");
    let ran = here(&["--json", "features", "describe"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.error()["error"]["kind"], "usage");
    assert_eq!(ran.stdout, "");
    let ran = here(&["run", "direction.toml"]);
    assert_eq!(ran.code, Some(2), "--out is required: {ran:?}");
    let ran = here(&[
        "run",
        "direction.toml",
        "--out",
        "o",
        "--set",
        "seed",
        "--json",
    ]);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn features_are_listed_and_described() {
    let all = here(&["features", "list", "--json"]).json();
    let all = all.as_array().unwrap();
    assert!(all.len() >= 40, "{}", all.len());
    let first_tier = here(&["features", "list", "--tier", "1", "--json"]).json();
    let first_tier = first_tier.as_array().unwrap().len();
    assert!(first_tier > 0 && first_tier < all.len());
    for feature in all {
        for key in ["formula", "source", "units", "summary", "example"] {
            let text = feature[key].as_str().unwrap();
            assert!(!text.is_empty(), "{key} of {}", feature["name"]);
        }
        assert!(feature["warmup_bars"].as_u64().is_some_and(|bars| bars > 0));
    }
    let rsi = here(&["features", "describe", "rsi", "--json"]).json();
    assert_eq!(rsi["parameters"][0]["name"], "period");
    assert_eq!(rsi["warmup_bars"], 15);
    let text = here(&["features", "describe", "rsi"]).stdout;
    assert!(text.contains("TA-Lib"), "{text}");
    let ran = here(&["features", "describe", "rsy"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("did you mean `rsi`?"), "{ran:?}");
}

#[test]
fn candles_are_imported_validated_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    write_candles(&dir.path().join("good.csv"), 48, None);
    let import = |file: &str, symbol: &str, more: &[&str]| {
        let mut words = vec![
            "data",
            "import",
            file,
            "--into",
            "candles",
            "--exchange",
            "TEST",
        ];
        words.extend(["--symbol", symbol]);
        words.extend(more);
        run(dir.path(), &words)
    };
    let ran = import("good.csv", "AAA", &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["rows"], 48);
    assert_eq!(ran.json()["first"], "2022-01-01T00:00:00Z");
    assert!(dir.path().join("candles/TEST/AAA-1h.parquet").exists());

    write_candles(&dir.path().join("bad.csv"), 48, Some(7));
    let ran = import("bad.csv", "BBB", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("high"), "{ran:?}");
    assert!(!dir.path().join("candles/TEST/BBB-1h.parquet").exists());

    let ran = run(dir.path(), &["data", "validate", "candles", "--json"]);
    assert_eq!(
        (ran.code, &ran.json()["ok"]),
        (Some(0), &true.into()),
        "{ran:?}"
    );
    let ran = run(dir.path(), &["data", "validate", "bad.csv", "--json"]);
    assert_eq!(
        (ran.code, &ran.json()["ok"]),
        (Some(1), &false.into()),
        "{ran:?}"
    );
    let ran = run(dir.path(), &["data", "validate", "nowhere"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");

    fs::write(
        dir.path().join("candles/TEST/CCC-1h.parquet"),
        "not parquet",
    )
    .unwrap();
    let listed = run(dir.path(), &["data", "list", "candles", "--json"]).json();
    assert_eq!(listed[0]["symbol"], "AAA");
    assert_eq!(listed[0]["rows"], 48);
    assert_eq!(listed[1]["state"], "broken");
    let table = run(dir.path(), &["data", "list", "candles"]).stdout;
    assert!(table.contains("AAA") && table.contains("broken"), "{table}");
}

#[test]
fn names_that_lead_out_of_the_data_directory_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    write_candles(&dir.path().join("good.csv"), 48, None);
    for (exchange, symbol) in [("../up", "AAA"), ("TEST", "A/B"), ("TEST", "")] {
        let words = ["data", "import", "good.csv", "--into", "candles", "--json"];
        let names = ["--exchange", exchange, "--symbol", symbol];
        let ran = run(dir.path(), &[&words[..], &names].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_eq!(ran.error()["error"]["kind"], "usage", "{ran:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn plugins_are_listed_with_the_reason_of_broken_ones() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("cut.so"), b"\x7fELF but not much more").unwrap();
    package_unchecked(
        dir.path(),
        &dir.path().join("cut.so"),
        "com.example.cut",
        "1.0.0",
    );
    let (broken, good) = (dir.path().to_string_lossy(), plugin_dir().to_string_lossy());
    let words = [
        "plugin",
        "list",
        "--json",
        "--plugin-dir",
        &broken,
        "--plugin-dir",
        &good,
    ];
    let ran = run(dir.path(), &words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let plugins = ran.json();
    let plugins = plugins.as_array().unwrap();
    let cut = plugins
        .iter()
        .find(|one| one["id"] == "com.example.cut")
        .unwrap();
    assert_eq!(cut["state"], "broken");
    assert!(
        cut["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    let sound: Vec<_> = plugins.iter().filter(|one| one["state"] == "ok").collect();
    for id in [
        "com.example.ema-rust",
        "com.example.ema-c",
        "com.example.ema-cpp",
    ] {
        assert!(sound.iter().any(|one| one["id"] == id), "{id}: {sound:#?}");
    }
    for plugin in sound {
        assert_eq!(plugin["digest"].as_str().map(str::len), Some(64));
        assert!(
            plugin["abi"]
                .as_str()
                .is_some_and(|abi| abi.starts_with("1."))
        );
    }
}

#[test]
fn the_doctor_says_what_is_missing_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(dir.path(), &["doctor", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["ok"], false);
    let checks = report["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("version")["state"], "ok");
    assert_eq!(of("lightgbm")["state"], "failed");
    assert!(
        of("lightgbm")["advice"]
            .as_str()
            .is_some_and(|text| text.contains("make setup"))
    );
    assert_eq!(of("plugins")["state"], "failed");
    assert_eq!(of("OpenMP settings")["state"], "ok");

    let library = dir.path().join("lib_lightgbm.so");
    fs::write(&library, "any bytes").unwrap();
    let output = command(dir.path())
        .args(["doctor", "--json", "--plugin-dir"])
        .arg(gbm_plugin_dir())
        .env("FUSEBOX_LIGHTGBM_LIBRARY", &library)
        .env("OMP_WAIT_POLICY", "active")
        .output()
        .unwrap();
    let report = Ran::from(output).json();
    let checks = report["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("lightgbm")["state"], "ok");
    assert_eq!(of("plugin ai.fusebox.gbm")["state"], "ok");
    assert_eq!(
        of("OpenMP settings")["state"],
        "warning",
        "what the user set stays"
    );
}

#[test]
fn a_missing_plugin_names_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let ran = command(dir.path())
        .args([
            "run",
            &shipped_pipeline(),
            "--set",
            "data.source=simulated",
            "--out",
            "out",
        ])
        .args(["--set", "model.plugin=ai.fusebox.gmb", "--plugin-dir"])
        .arg(gbm_plugin_dir())
        .output()
        .map(Ran::from)
        .unwrap();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("did you mean `ai.fusebox.gbm`?"),
        "{ran:?}"
    );
    assert!(!dir.path().join("out").exists());
}

/// The binary with the library of the shipped pipeline, without which nothing begins.
fn with_library(dir: &Path) -> std::process::Command {
    let script = std::process::Command::new("python3")
        .args(["plugins/native/fetch.py", "--only", "lightgbm"])
        .current_dir(project_root())
        .output()
        .unwrap();
    assert!(script.status.success(), "{script:?}");
    let library = ".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so";
    let mut command = command(dir);
    command.env("FUSEBOX_LIGHTGBM_LIBRARY", project_root().join(library));
    command
}

#[test]
fn an_output_that_cannot_be_written_fails_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    let run_into = |out: &str, more: &[&str]| {
        with_library(dir.path())
            .args([
                "run",
                &shipped_pipeline(),
                "--set",
                "data.source=simulated",
                "--out",
                out,
            ])
            .args(more)
            .arg("--plugin-dir")
            .arg(gbm_plugin_dir())
            .output()
            .map(Ran::from)
            .unwrap()
    };
    fs::write(dir.path().join("file"), "kept").unwrap();
    let ran = run_into("file", &[]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("is not a directory"), "{ran:?}");
    let ran = run_into("file/below", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot write"), "{ran:?}");

    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/mine.txt"), "kept").unwrap();
    for more in [&[][..], &["--overwrite"]] {
        let ran = run_into("full", more);
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert_eq!(
        fs::read_to_string(dir.path().join("full/mine.txt")).unwrap(),
        "kept"
    );
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name != ".fusebox")
        .collect();
    names.sort();
    assert_eq!(names, ["file", "full"], "nothing half-written is left");
}

/// The run is killed as soon as it has begun to write, long before it could be complete.
#[test]
fn a_killed_run_leaves_nothing_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = with_library(dir.path())
        .args(["run", &shipped_pipeline(), "--set", "data.source=simulated"])
        .args(["--out", "out", "--plugin-dir"])
        .arg(gbm_plugin_dir())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let has_begun = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".fusebox").count() > 0
    };
    while !has_begun() {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "the run ended before it began to write"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path())
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut words = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut words)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(words, "");
}
