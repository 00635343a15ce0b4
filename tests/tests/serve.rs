//! `fusebox plugin serve` as an operator runs it: answers go on while a version is installed,
//! rolled back and pinned from another process, and an interrupt ends it with a summary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test that calls them"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fusebox_loader::{PackageSpec, write_package};
use fusebox_tests::binary::{command, run};
use fusebox_tests::live::{EMA, ema, version};
use serde_json::Value;

fn install(dir: &Path, number: &str, bias: &str) {
    let (version, bias) = (version(number), format!("-DEMA_BIAS={bias}f"));
    let spec = PackageSpec::new(ema(&[&version, &bias]));
    write_package(&dir.join(".fusebox/plugins"), &spec).unwrap();
}

/// The lines of a running `serve`, and all of them so far.
struct Serve {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    seen: Vec<Value>,
}

impl Serve {
    fn start(dir: &Path) -> Self {
        let mut child = command(dir)
            .args(["plugin", "serve", "--plugin", EMA, "--json"])
            .args(["--params", "{\"alpha\": 0.5}", "--bars-per-second", "200"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = Vec::new();
        Self { child, lines, seen }
    }

    /// Reads on until a line is the one that is waited for.
    fn wait(&mut self, is_it: impl Fn(&Value) -> bool) {
        for line in self.lines.by_ref().take(20_000) {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let found = is_it(&line);
            self.seen.push(line);
            if found {
                return;
            }
        }
        let from = self.seen.len().saturating_sub(20);
        panic!("it never came; the last lines: {:#?}", &self.seen[from..]);
    }
}

fn is_answer_of(number: &str) -> impl Fn(&Value) -> bool {
    move |line| line["type"] == "answer" && line["version"] == number
}

#[test]
fn a_served_model_is_replaced_rolled_back_and_pinned_without_losing_a_bar() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let mut serve = Serve::start(at);
    serve.wait(is_answer_of("1.0.0"));
    install(at, "1.1.0", "1000.0");
    serve.wait(is_answer_of("1.1.0"));
    let ask = |arguments: &[&str]| {
        let ran = run(at, &[&["plugin"], arguments, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.json()
    };
    assert_eq!(ask(&["rollback", "ema-c"])["outcome"], "done");
    serve.wait(is_answer_of("1.0.0"));
    assert_eq!(ask(&["pin", EMA, "1.1.0"])["outcome"], "done");
    serve.wait(is_answer_of("1.1.0"));
    let audit = ask(&["audit", "--last", "500"]);
    assert_eq!(audit["is_running"], true);
    let happened = |what: &str| {
        let events = audit["events"].as_array().unwrap();
        events.iter().any(|event| event["event"] == what)
    };
    for what in ["promoted", "rolled-back", "probation", "request"] {
        assert!(happened(what), "{what} is not in the audit log");
    }
    let id = serve.child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(killed.success());
    serve.wait(|line| line["type"] == "summary");
    assert!(serve.child.wait().unwrap().success());

    let times: Vec<&str> = serve
        .seen
        .iter()
        .filter(|line| line["type"] == "answer")
        .map(|line| line["closed_at"].as_str().unwrap())
        .collect();
    assert!(
        times.len() > 4 && times.is_sorted_by(|a, b| a < b),
        "doubled"
    );
    assert!(serve.seen.iter().all(|line| line["type"] != "failure"));
    let summary = serve.seen.last().unwrap();
    let rows = summary["models"][0]["rows"].as_u64().unwrap();
    assert_eq!(rows, times.len() as u64, "every row was answered and shown");
}

/// Time and value of every answer.
fn answers(ran: &fusebox_tests::binary::Ran) -> Vec<(String, Value)> {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["type"] == "answer")
        .map(|line| {
            let at = line["closed_at"].as_str().unwrap().to_owned();
            (at, line["outputs"].clone())
        })
        .collect()
}

#[test]
fn a_restart_goes_on_without_replaying_and_another_set_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), "1.0.0", "0.0");
    let serve = |bars: &str, features: &str, more: &[&str]| {
        // An alpha of 1 keeps nothing in the model, so that only the features have a memory.
        let fixed = ["plugin", "serve", "--plugin", EMA, "--json"];
        let params = ["--params", "{\"alpha\": 1.0}", "--bars-per-second", "0"];
        let what = ["--bars", bars, "--features", features];
        run(dir.path(), &[&fixed[..], &params, &what, more].concat())
    };
    let whole = answers(&serve("90", "rsi(14)", &[]));
    let first = serve("40", "rsi(14)", &["--resume"]);
    let second = serve("50", "rsi(14)", &["--resume"]);
    assert!(!first.stdout.contains("\"resumed\"") && second.stdout.contains("\"resumed\""));
    let joined = [answers(&first), answers(&second)].concat();
    assert_eq!(joined, whole);
    let other = serve("90", "rsi(15)", &["--resume"]);
    assert!(other.stderr.contains("bars are replayed"), "{other:?}");
    assert_eq!(answers(&other).len(), whole.len() - 1);
}

#[test]
fn a_model_is_not_asked_about_features_that_it_was_not_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path(), "1.0.0", "0.0");
    let artifact = dir.path().join("fold-01.model");
    std::fs::write(&artifact, b"").unwrap();
    let context = fusebox_engine::features::FeatureContext {
        time_frame: "1h".parse().unwrap(),
        symbols: Vec::new(),
    };
    let set = fusebox_engine::features::FeatureSet::parse(&["rsi(14)".to_owned()], &context);
    let options = fusebox_engine::features::ExtractOptions::default();
    let trained = fusebox_services::training::ModelFeatures::new(
        &set.unwrap(),
        context.time_frame,
        options,
        b"",
    );
    let serve = |features: &str| {
        let fixed = ["plugin", "serve", "--plugin", EMA, "--bars", "40"];
        let params = ["--params", "{\"alpha\": 0.5}", "--bars-per-second", "0"];
        let artifact = ["--artifact", "fold-01.model", "--features", features];
        run(dir.path(), &[&fixed[..], &params, &artifact].concat())
    };
    let ran = serve("rsi(14)");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("no features file"), "{ran:?}");
    let path = fusebox_services::training::ModelFeatures::path_of(&artifact);
    std::fs::write(path, serde_json::to_vec(&trained).unwrap()).unwrap();
    let ran = serve("rsi(14)");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = serve("rsi(15)");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("was `rsi(14)`, it is given `rsi(15)`"),
        "{ran:?}"
    );
}

#[test]
fn what_cannot_be_served_or_steered_is_said_in_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let serve = |arguments: &[&str]| {
        let fixed = ["plugin", "serve", "--bars", "3", "--bars-per-second", "0"];
        run(at, &[&fixed, arguments].concat())
    };
    let cases: [(&[&str], i32, &str); 5] = [
        (
            &["--plugin", "com.example.ema-d"],
            1,
            "did you mean `com.example.ema-c`?",
        ),
        (&["--plugin", EMA], 1, "key `alpha` is missing"),
        (&["--plugin", EMA, "--params", "{"], 2, "--params"),
        (&["--plugin", EMA, "--versions", "newest"], 2, "latest-N"),
        (&[], 2, "--plugin ID"),
    ];
    for (arguments, code, words) in cases {
        let ran = serve(arguments);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    let sound = serve(&["--plugin", EMA, "--params", "{\"alpha\": 0.5}"]);
    assert_eq!(
        sound.code,
        Some(0),
        "a refused start is not held against it: {sound:?}"
    );
    let ran = run(at, &["plugin", "rollback", "ema-c"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("fusebox plugin serve"), "{ran:?}");
}
