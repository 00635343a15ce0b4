//! `fusebox backtest` through the binary: predictions traded again, swept, and carried out again.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::Path;

use fusebox_tests::binary::{Ran, command};
use fusebox_tests::fixtures::project_root;
use serde_json::Value;

/// Predictions of one symbol that wander from side to side, as a file.
fn predictions(dir: &Path) -> String {
    let mut text = String::from("closed_at,symbol,fold,p_down,p_flat,p_up\n");
    for hour in 0..600_u32 {
        let (day, of_day) = (1 + hour / 24, hour % 24);
        let up = 0.4 + 0.35 * (f64::from(hour) * 0.21).sin();
        let down = (1.0 - up) * 0.7;
        text.push_str(&format!(
            "2022-06-{day:02}T{of_day:02}:00:00Z,BTCUSDT,{},{down:.4},{:.4},{up:.4}\n",
            1 + hour / 300,
            1.0 - up - down,
        ));
    }
    let path = dir.join("predictions.csv");
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn backtest(dir: &Path, more: &[&str]) -> Ran {
    let pipeline = project_root().join("configs/pipelines/direction-1h-lightgbm.toml");
    let mut command = command(dir);
    command
        .arg("backtest")
        .arg(pipeline)
        .args(["--set", "data.source=simulated", "--json"])
        .args(more);
    Ran::from(command.output().unwrap())
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn predictions_are_traded_beside_what_they_have_to_beat_and_the_journal_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let traded = ["--predictions", file.as_str(), "--journal", "journal.jsonl"];
    let ran = backtest(dir.path(), &traded);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    assert!(told["fills"].as_u64().unwrap() > 10, "{told}");
    let names: Vec<&str> = told["comparison"]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names[1..5],
        [
            "cash",
            "buy and hold",
            "momentum crossover",
            "mean reversion"
        ]
    );
    assert_eq!(names.len(), 6, "and the random ones");
    let again = backtest(dir.path(), &["--replay", "journal.jsonl"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let again = document(&again);
    assert_eq!(again["differences"], 0);
    assert_eq!(again["fills"], told["fills"]);
    // Another fee is another exchange, and the exit code says so.
    let dearer = ["--replay", "journal.jsonl", "--set", "execution.fee_bps=11"];
    let dearer = backtest(dir.path(), &dearer);
    assert_eq!(dearer.code, Some(1));
    assert!(document(&dearer)["differences"].as_u64().unwrap() > 10);
    let second = backtest(dir.path(), &traded);
    assert_eq!(document(&second)["journal_digest"], told["journal_digest"]);
}

#[test]
fn a_sweep_tells_how_many_were_tried_and_does_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let sweep = [
        "--predictions",
        file.as_str(),
        "--sweep",
        "strategy.entry_threshold=0.05,0.2",
        "--sweep",
        "strategy.minimum_holding_bars=0,3,6",
    ];
    let one = backtest(
        dir.path(),
        &[&sweep[..], &["--set", "run.threads=1"]].concat(),
    );
    assert_eq!(one.code, Some(0), "{one:?}");
    let told = document(&one);
    assert_eq!(told["trials"].as_array().unwrap().len(), 6);
    assert!(told["deflated_sharpe"].is_number(), "{told}");
    let two = backtest(
        dir.path(),
        &[&sweep[..], &["--set", "run.threads=2"]].concat(),
    );
    assert_eq!(document(&two), told);
}

#[test]
fn what_cannot_be_traded_says_every_problem() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.csv");
    let rows = "closed_at,symbol,p_down,p_flat,p_up\nnever,NOPE,a,0,1\n2022-06-01,BTCUSDT,0,0,x\n";
    fs::write(&bad, rows).unwrap();
    let ran = backtest(dir.path(), &["--predictions", bad.to_str().unwrap()]);
    assert_eq!(ran.code, Some(2));
    for part in [
        "`never` is no time",
        "`NOPE`",
        "line 3: a probability is no number",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let file = predictions(dir.path());
    let impossible = [
        "--predictions",
        file.as_str(),
        "--set",
        "portfolio.margin={mode=\"cross\",leverage=0,maintenance=2}",
        "--set",
        "execution.fee_bps=-1",
    ];
    let ran = backtest(dir.path(), &impossible);
    assert_eq!(ran.code, Some(2));
    for key in [
        "fee_bps",
        "margin.leverage",
        "margin.maintenance",
        "allow_short",
    ] {
        assert!(ran.stderr.contains(key), "{key}: {}", ran.stderr);
    }
    let swept = [
        "--predictions",
        file.as_str(),
        "--sweep",
        "execution.latency_ms=1,2",
    ];
    let ran = backtest(dir.path(), &swept);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("a sweep leaves it out"),
        "{}",
        ran.stderr
    );
}
