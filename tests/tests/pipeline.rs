//! The main job through the real binary, the real plugin and the real LightGBM: `fusebox run`.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use fusebox_engine::journal::{Event, read_entries, replay};
use fusebox_engine::types::Timestamp;
use fusebox_tests::binary::{Ran, command, gbm_plugin_dir};
use fusebox_tests::fixtures::project_root;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Shorter than the shipped walk, so that the test takes seconds.
const SHORT: [&str; 10] = [
    "--set",
    "data.to=2023-07-01",
    "--set",
    "split.train=9mo",
    "--set",
    "split.valid=2mo",
    "--set",
    "evaluation.bootstrap_samples=400",
    "--set",
    "model.params.rounds=120",
];

/// Runs the shipped pipeline in `dir` with more arguments.
fn run_pipeline(dir: &Path, out: &str, more: &[&str]) -> Ran {
    fetch_native();
    let root = project_root();
    let mut command = command(dir);
    command
        .arg("run")
        .arg(root.join("configs/pipelines/direction-1h-lightgbm.toml"))
        .args(["--json", "--out", out, "--plugin-dir"])
        .arg(gbm_plugin_dir())
        .env(
            "FUSEBOX_LIGHTGBM_LIBRARY",
            root.join(".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so"),
        )
        .args(SHORT)
        .args(more);
    Ran::from(command.output().unwrap())
}

fn fetch_native() {
    let script = Command::new("python3")
        .arg("plugins/native/fetch.py")
        .current_dir(project_root())
        .output()
        .unwrap();
    assert!(
        script.status.success(),
        "{}",
        String::from_utf8_lossy(&script.stderr)
    );
}

const SIMULATED: [&str; 2] = ["--set", "data.source=simulated"];

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Path and digest of every file of a run but the report, which states how long the run took.
fn digests(out: &Path) -> Vec<(String, String)> {
    let manifest = read_json(&out.join("manifest.json"));
    let files = manifest["files"].as_array().unwrap().clone();
    files
        .iter()
        .map(|file| {
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            (text("path"), text("digest"))
        })
        .filter(|(path, _)| path != "report.html")
        .collect()
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).unwrap());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn the_planted_signal_is_found_and_the_run_repeats_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let first = run_pipeline(dir.path(), "first", &SIMULATED);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.json().is_object());
    let out = dir.path().join("first");
    let metrics = read_json(&out.join("metrics.json"));
    let quality = &metrics["classification"];
    let difference = &quality["accuracy_difference"];
    assert!(
        difference["interval"]["low"].as_f64().unwrap() > 0.0,
        "the interval must exclude zero: {difference}"
    );
    let text = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(text.contains("it beats its baseline"));
    assert!(text.to_lowercase().contains("simulated"));

    for (path, digest) in digests(&out) {
        assert_eq!(sha256(&out.join(&path)), digest, "{path}");
    }
    let again = run_pipeline(dir.path(), "again", &SIMULATED);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(digests(&out), digests(&dir.path().join("again")));

    let other = run_pipeline(
        dir.path(),
        "other",
        &[&SIMULATED[..], &["--seed", "43"]].concat(),
    );
    assert_eq!(other.code, Some(0), "{other:?}");
    let changed: Vec<String> = digests(&out)
        .into_iter()
        .zip(digests(&dir.path().join("other")))
        .filter(|(one, two)| one != two)
        .map(|(one, _)| one.0)
        .collect();
    let models = |path: &&String| path.starts_with("models/") && path.ends_with(".model");
    assert!(changed.iter().any(|path| path == "journal.jsonl"));
    let folds = metrics["folds"].as_array().unwrap().len();
    assert_eq!(changed.iter().filter(models).count(), folds, "{changed:?}");
}

#[test]
fn threads_change_no_byte_of_a_run_s_journal() {
    let dir = tempfile::tempdir().unwrap();
    let digest = |threads: &str| {
        let set = format!("run.threads={threads}");
        // Short, for what is compared does not depend on the length.
        let short = ["data.to=2023-03-01", "model.params.rounds=40"];
        let mut more = SIMULATED.to_vec();
        more.extend(short.iter().flat_map(|value| ["--set", value]));
        more.extend(["--set", &set]);
        let ran = run_pipeline(dir.path(), threads, &more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let out = dir.path().join(threads);
        let metrics = read_json(&out.join("metrics.json"));
        let told = metrics["reproducibility"]["journal_sha256"]
            .as_str()
            .unwrap();
        assert_eq!(sha256(&out.join("journal.jsonl")), format!("sha256:{told}"));
        (
            told.to_owned(),
            metrics["trading"]["costs"]["fills"].as_u64(),
        )
    };
    let (one, fills) = digest("1");
    assert!(fills > Some(20), "{fills:?}");
    assert_eq!(digest("2").0, one);
}

#[test]
fn the_journal_replays_and_no_order_fills_inside_its_own_bar() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_pipeline(dir.path(), "out", &SIMULATED);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let out = dir.path().join("out");
    let metrics = read_json(&out.join("metrics.json"));
    let journal = || BufReader::new(fs::File::open(out.join("journal.jsonl")).unwrap());
    let digest = metrics["reproducibility"]["journal_sha256"]
        .as_str()
        .unwrap();
    let replayed = replay(journal(), Some(digest)).unwrap();
    let fills = metrics["trading"]["costs"]["fills"].as_u64().unwrap();
    assert_eq!(replayed.fills.len() as u64, fills);
    assert!(fills > 100, "{fills}");

    let mut decided: Vec<(fusebox_engine::execution::OrderId, Timestamp)> = Vec::new();
    let mut checked = 0;
    for entry in read_entries(journal()) {
        match entry.unwrap().event {
            Event::OrderApproved(order) => decided.push((order.id, order.decided_at)),
            Event::OrderFilled(fill) => {
                let (_, at) = decided
                    .iter()
                    .rev()
                    .find(|(id, _)| *id == fill.order)
                    .unwrap();
                assert!(fill.filled_at >= *at, "{fill:?} was decided at {at}");
                checked += 1;
            }
            _ => {}
        }
    }
    assert_eq!(checked, fills);
}

#[test]
fn real_candles_give_a_plain_verdict() {
    let data = project_root().join("../shared/data/candles");
    if !data.join("BINANCE/BTCUSDT-1h.parquet").is_file() {
        eprintln!("skipped: {} has no candles", data.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ran = run_pipeline(dir.path(), "out", &["--data", data.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let out = dir.path().join("out");
    let metrics = read_json(&out.join("metrics.json"));
    assert_eq!(metrics["market"]["source"]["kind"], "files");
    assert_eq!(
        metrics["reproducibility"]["files"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let interval = &metrics["classification"]["accuracy_difference"]["interval"];
    let is_above = interval["low"].as_f64().unwrap() > 0.0;
    let text = fs::read_to_string(out.join("report.html")).unwrap();
    let says = if is_above {
        "it beats its baseline"
    } else {
        "does NOT beat"
    };
    assert!(text.contains(says), "{interval}");
    let folds = metrics["folds"].as_array().unwrap();
    for fold in folds {
        let time = |part: &str, end: &str| fold[part][end].as_i64().unwrap();
        assert!(time("train", "to") <= time("valid", "from"));
        assert!(time("valid", "to") <= time("test", "from"));
    }
}

/// Arguments that say what is served: the pipeline, its data and its plugin.
fn with_pipeline(dir: &Path, arguments: &[&str]) -> Ran {
    let root = project_root();
    let mut command = command(dir);
    command.args(arguments).env(
        "FUSEBOX_LIGHTGBM_LIBRARY",
        root.join(".fusebox/native/lightgbm-4.7.0/lib_lightgbm.so"),
    );
    command.arg("--plugin-dir").arg(gbm_plugin_dir());
    Ran::from(command.output().unwrap())
}

/// Audits the features of the pipeline and the fit of its scaler.
fn audited(dir: &Path, settings: &[&str]) {
    let mut command = command(dir);
    command.args(["features", "audit", "--json"]);
    command.arg(project_root().join("configs/pipelines/direction-1h-lightgbm.toml"));
    let ran = Ran::from(command.args(SHORT).args(settings).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let steps = &ran.json()["verdict"]["fitted_steps"];
    assert!(
        steps.as_array().is_some_and(|one| !one.is_empty()),
        "{ran:?}"
    );
}

/// The probabilities that were served, by closing time and symbol.
fn answers(served: &Ran) -> BTreeMap<(String, String), [f32; 3]> {
    let mut live = BTreeMap::new();
    for line in served.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["type"] == "answer" {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            let class = |name: &str| line["outputs"][name].as_f64().unwrap() as f32;
            let answer = ["p_down", "p_flat", "p_up"].map(class);
            live.insert((text("closed_at"), text("symbol")), answer);
        }
    }
    live
}

#[test]
fn a_model_behind_a_scaler_gives_live_rows_the_predictions_of_the_backtest_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let scaled = [&SIMULATED[..], &["--set", "model.scaler=robust"]].concat();
    let ran = run_pipeline(dir.path(), "out", &scaled);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(dir.path().join("out/models/fold-01.scaler.json").is_file());
    let native = project_root().join(".fusebox/native");
    let library = native.join("lightgbm-4.7.0/lib_lightgbm.so");
    let params = serde_json::json!({"library": library}).to_string();
    let package = [
        "plugin",
        "model",
        "direction",
        "1.0.0",
        "--plugin",
        "ai.fusebox.gbm",
        "--artifact",
        "out/models/fold-01.model",
        "--params",
        &params,
        "--json",
    ];
    let unaudited = with_pipeline(dir.path(), &package);
    assert_eq!(unaudited.code, Some(2), "{unaudited:?}");
    audited(dir.path(), &scaled);
    let made = with_pipeline(dir.path(), &package);
    assert_eq!(made.code, Some(0), "{made:?}");
    let made = made.json();
    assert_eq!(made["has_scaler"], true, "{made}");
    assert!(made["warning"].is_null(), "{made}");
    assert_eq!(made["audit"]["state"], "passed", "{made}");

    let pipeline = project_root().join("configs/pipelines/direction-1h-lightgbm.toml");
    let pipeline = pipeline.to_string_lossy().into_owned();
    let fixed = [
        "plugin",
        "serve",
        &pipeline,
        "--model",
        "direction",
        "--json",
    ];
    // The library is tried in a jailed process first, which may read what it is allowed to.
    let readable = format!("engine.worker.readable=[{:?}]", native.to_string_lossy());
    let fast = ["--bars-per-second", "0", "--set", &readable];
    let served = with_pipeline(
        dir.path(),
        &[&fixed[..], &fast, &SHORT, &SIMULATED].concat(),
    );
    assert_eq!(served.code, Some(0), "{served:?}");
    let live = answers(&served);
    let table = fs::read_to_string(dir.path().join("out/predictions.csv")).unwrap();
    let (mut compared, mut missed) = (0, 0);
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        if cells[2] != "1" {
            continue;
        }
        let scored = [3, 4, 5].map(|at: usize| cells[at].parse::<f32>().unwrap());
        match live.get(&(cells[0].to_owned(), cells[1].to_owned())) {
            Some(answer) => assert_eq!(answer.map(f32::to_bits), scored.map(f32::to_bits), "{row}"),
            None => missed += 1,
        }
        compared += 1;
    }
    // A loaded machine may answer a bar too late, which counts as no answer.
    assert!(
        compared > 1_000 && missed * 20 < compared,
        "{missed} of {compared}"
    );
}
