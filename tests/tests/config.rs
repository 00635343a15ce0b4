//! Configuration through the real binary: layers, origins, problems, the schema.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::Path;

use fusebox_tests::binary::{Ran, command, run};
use fusebox_tests::fixtures::project_root;
use tempfile::TempDir;

/// A pipeline with every key that has no default.
const PIPELINE: &str = r#"
[run]
name = "small"
[data]
exchange = "BINANCE"
symbols = ["BTCUSDT", "ETHUSDT"]
time_frame = "1h"
from = 2023-01-01
to = 2024-01-01
[features]
set = ["log_return(1)", "rsi(14)@4h", "log_return(1)#BTCUSDT"]
[model]
plugin = "ai.fusebox.gbm"
[model.params]
num_leaves = 15
[strategy]
entry_threshold = 0.2
exit_threshold = 0.0
[risk]
position_fraction = 0.5
max_symbol_weight = 0.5
max_gross_exposure = 1.0
max_order_notional = 1e6
max_drawdown = 0.5
max_data_age_bars = 0
[execution]
fee_bps = 10
slippage_bps = 2
"#;

fn folder(pipeline: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("direction.toml"), pipeline).unwrap();
    dir
}

fn print_config(dir: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["run", "direction.toml", "--print-config"];
    arguments.extend(more);
    run(dir, &arguments)
}

fn problems(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let error = &ran.error()["error"];
    assert_eq!(error["kind"], "config", "{ran:?}");
    let problems = error["problems"].as_array().unwrap();
    problems
        .iter()
        .map(|one| one["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_unknown_key_names_the_file_and_the_nearest_key() {
    let dir = folder(&PIPELINE.replace("[model.params]", "[model.parms]"));
    let ran = print_config(dir.path(), &[]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(
        ran.stderr.trim_end(),
        "error: unknown key `model.parms` in direction.toml, line 14; did you mean `model.params`?"
    );
}

#[test]
fn problems_of_every_layer_and_section_come_at_once() {
    let text = PIPELINE
        .replace("from = 2023-01-01", "from = \"yesterday\"")
        .replace("rsi(14)@4h", "rsy(14)@4h")
        .replace("position_fraction", "position_fractoin")
        .replace("fee_bps = 10", "fee_bps = \"ten\"");
    let dir = folder(&text);
    let output = command(dir.path())
        .args([
            "run",
            "direction.toml",
            "--out",
            "out",
            "--data",
            "candles",
            "--json",
        ])
        .args([
            "--set",
            "labels.horizon_bars=0",
            "--set",
            "split.train=long",
            "--set",
            "portfolio.initial_cash={USDT=-1}",
        ])
        .env("FUSEBOX_RUN__SEDE", "1")
        .output()
        .unwrap();
    let found = problems(&Ran::from(output));
    let expected = [
        "unknown key `risk.position_fractoin` in direction.toml, line 20; did you mean \
         `risk.position_fraction`?",
        "`execution.fee_bps` is the text \"ten\"; it must be a number (direction.toml, line 27)",
        "unknown key `run.sede` in FUSEBOX_RUN__SEDE; did you mean `run.seed`?",
        "`labels.horizon_bars` is 0; it must be at least 1 (--set)",
        "`data.from` cannot be read: `yesterday` is not a time",
        "there is no feature `rsy`; did you mean `rsi`?",
        "`split.train` cannot be read: `long` is not a span",
        "`risk.position_fraction` is not set",
        // Found where the session is put together, which a refused fee does not prevent.
        "`portfolio.initial_cash.USDT` is -1; it must be from 0",
    ];
    for one in expected {
        assert!(
            found.iter().any(|message| message.contains(one)),
            "{one}\nnot in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn layers_win_in_order_and_every_value_names_its_origin() {
    let dir = folder(&PIPELINE.replace("[run]", "[run]\nseed = 2\nthreads = 2"));
    fs::create_dir(dir.path().join("configs")).unwrap();
    let engine =
        "[run]\nseed = 1\nthreads = 1\n[engine]\nlog = \"error\"\n[evaluation]\ntrials = 4\n";
    fs::write(dir.path().join("configs/engine.toml"), engine).unwrap();
    let shown = |seed: &[&str]| {
        let output = command(dir.path())
            .args(["run", "direction.toml", "--print-config", "--json"])
            .args([
                "--set",
                "split.test=1mo",
                "--set",
                "data.symbols=['BTCUSDT']",
            ])
            .args(seed)
            .env("FUSEBOX_RUN__SEED", "3")
            .env("FUSEBOX_SPLIT__TEST", "2mo")
            .output()
            .unwrap();
        Ran::from(output).json()
    };
    let config = shown(&[]);
    let expect = |key: &str, value: serde_json::Value, origin: &str| {
        assert_eq!(config[key]["value"], value, "{key}");
        assert_eq!(config[key]["origin"], origin, "{key}");
    };
    expect("run.seed", 3.into(), "FUSEBOX_RUN__SEED");
    expect("run.threads", 2.into(), "direction.toml");
    expect("evaluation.trials", 4.into(), "engine.toml");
    expect("split.test", "1mo".into(), "--set");
    expect("data.symbols", serde_json::json!(["BTCUSDT"]), "--set");
    expect("split.train", "18mo".into(), "default");
    let flag = shown(&["--set", "run.seed=4", "--seed", "5"]);
    assert_eq!(
        flag["run.seed"],
        serde_json::json!({"value": 5, "origin": "--seed"})
    );
}

#[test]
fn the_data_flag_means_recorded_candles() {
    let dir = folder(&PIPELINE.replace("[data]", "[data]\nsource = \"simulated\""));
    let config = print_config(dir.path(), &["--json", "--data", "some/where"]).json();
    assert_eq!(config["data.source"]["value"], "files");
    assert_eq!(config["data.dir"]["value"], "some/where");
    assert_eq!(config["data.dir"]["origin"], "--data");
}

#[test]
fn the_printed_configuration_reproduces_itself() {
    let dir = folder(PIPELINE);
    let first = print_config(dir.path(), &["--set", "run.seed=9", "--data", "candles"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let table: toml::Table = toml::from_str(&first.stdout).unwrap();
    assert_eq!(table["run"]["seed"].as_integer(), Some(9));
    assert_eq!(
        table["model"]["params"]["num_leaves"].as_integer(),
        Some(15)
    );
    assert!(
        first.stdout.contains("seed = 9  # --set\n"),
        "{}",
        first.stdout
    );
    assert!(
        first
            .stdout
            .contains("name = \"small\"  # direction.toml\n"),
        "{}",
        first.stdout
    );
    assert!(
        first.stdout.contains("threads = 0  # default\n"),
        "{}",
        first.stdout
    );
    fs::write(dir.path().join("direction.toml"), &first.stdout).unwrap();
    let again = print_config(dir.path(), &[]);
    let values: toml::Table = toml::from_str(&again.stdout).unwrap();
    assert_eq!(values, table);
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_bad_configuration() {
    let dir = folder("[run\nname = 1\n");
    let ran = print_config(dir.path(), &[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("direction.toml is not valid TOML"),
        "{ran:?}"
    );
    let ran = run(dir.path(), &["run", "missing.toml", "--print-config"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("cannot read missing.toml"), "{ran:?}");
    let ran = print_config(&project_root(), &["--engine", "missing.toml"]);
    assert_eq!(ran.code, Some(2));
}

#[cfg(unix)]
#[test]
fn a_variable_that_would_be_overlooked_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = folder(PIPELINE);
    let with = |name: &str, value: &[u8]| {
        let mut command = command(dir.path());
        command.env(name, std::ffi::OsStr::from_bytes(value));
        command.args(["run", "direction.toml", "--print-config"]);
        Ran::from(command.output().unwrap())
    };
    let ran = with("FUSEBOX_RUN__SEED", b"\xff");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("FUSEBOX_RUN__SEED is not UTF-8"),
        "{ran:?}"
    );
    let ran = with("FUSEBOX_RUN", b"7");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("FUSEBOX_RUN is not read"), "{ran:?}");
}

#[test]
fn the_schema_in_the_tree_is_the_one_of_the_binary() {
    let path = project_root().join("configs/schema/pipeline.json");
    let ran = run(&project_root(), &["schema"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    if std::env::var_os("FUSEBOX_UPDATE").is_some() {
        fs::write(&path, &ran.stdout).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap();
    assert!(
        stored == ran.stdout,
        "configs/schema/pipeline.json is stale; run this test again with FUSEBOX_UPDATE=1"
    );
}

#[test]
fn every_shipped_pipeline_makes_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(project_root().join("configs/pipelines")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("#:schema ../schema/pipeline.json\n"),
            "{path:?}"
        );
        // With no plugin to be found, the last thing that can go wrong does: all values are right.
        let path = path.to_string_lossy().into_owned();
        let source = ["--set", "data.source=simulated"];
        let ran = run(
            dir.path(),
            &["run", &path, "--out", "out", source[0], source[1]],
        );
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.stderr.contains("`model.plugin` cannot be had"),
            "{ran:?}"
        );
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn every_label_weight_scaler_and_split_can_be_chosen_and_what_cannot_be_is_told_at_once() {
    let dir = folder(PIPELINE);
    let choices = [
        "labels.kind=fixed_horizon",
        "labels.kind=fixed_threshold",
        "labels.kind=triple_barrier",
        "labels.kind=trend_scanning",
        "labels.kind=forward_returns",
        "labels.kind=meta_labels",
        "labels.events=cusum",
        "labels.weights=uniqueness",
        "labels.weights=return_attribution",
        "labels.weights=sequential_bootstrap",
        "labels.class_weights=balanced",
        "model.scaler=standard",
        "model.scaler=robust",
        "model.scaler=rank_gauss",
        "split.kind=rolling",
        "split.kind=anchored",
        "split.kind=purged_kfold",
        "split.kind=combinatorial",
    ];
    for choice in choices {
        let ran = print_config(dir.path(), &["--set", choice]);
        assert_eq!(ran.code, Some(0), "{choice}: {ran:?}");
        let (_, value) = choice.split_once('=').unwrap();
        assert!(ran.stdout.contains(value), "{choice}: {}", ran.stdout);
    }
    let wrong = [
        "labels.kind=trend_scanning",
        "labels.trend_min_bars=30",
        "labels.more_horizons_bars=[12]",
        "labels.oldest_weight=-1.5",
        "split.kind=combinatorial",
        "split.test_groups=6",
    ];
    let mut command = command(dir.path());
    command.args([
        "run",
        "direction.toml",
        "--out",
        "out",
        "--data",
        "candles",
        "--json",
    ]);
    for set in wrong {
        command.args(["--set", set]);
    }
    let found = problems(&Ran::from(command.output().unwrap()));
    for one in [
        "labels.trend_min_bars",
        "labels.more_horizons_bars",
        "labels.oldest_weight",
    ] {
        assert!(
            found.iter().any(|message| message.contains(one)),
            "{one}: {found:?}"
        );
    }
    let test_groups = "`split.test_groups` is 6; it must be from 1 to 5";
    assert!(
        found.iter().any(|message| message.contains(test_groups)),
        "{found:?}"
    );
}
