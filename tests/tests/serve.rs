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
use fusebox_tests::binary::{Ran, command, run};
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
    let back = ask(&["rollback", "ema-c"]);
    assert_eq!(back["outcome"], "done");
    let told = |answer: &Value, parts: &[&str]| {
        let words = answer["message"].as_str().unwrap();
        assert!(parts.iter().all(|part| words.contains(part)), "{words}");
    };
    told(&back, &["ema-c: 1.1.0 -> 1.0.0, generation 1, state"]);
    serve.wait(is_answer_of("1.0.0"));
    let standings = |number: &str| {
        let list = ask(&["list"]);
        let mut plugins = list.as_array().unwrap().iter();
        let plugin = plugins.find(|one| one["version"] == number).unwrap();
        plugin["standing"].clone()
    };
    assert_eq!(standings("1.0.0")[0]["standing"], "live");
    assert_eq!(standings("1.1.0")[0]["standing"], "kept-out");
    assert_eq!(standings("1.1.0")[0]["reason"], "operator");
    let unknown = run(at, &["plugin", "pin", "ema", "1.1.0"]);
    assert!(
        unknown.stderr.contains("did you mean `ema-c`?"),
        "{unknown:?}"
    );
    let pinned = ask(&["pin", EMA, "1.1.0"]);
    assert_eq!(pinned["outcome"], "done");
    told(
        &pinned,
        &["1.0.0 -> 1.1.0, generation", "state restored by snapshot"],
    );
    serve.wait(is_answer_of("1.1.0"));
    let now = standings("1.1.0");
    assert_eq!(now[0]["standing"], "live");
    assert_eq!(now[0]["model"], "ema-c");
    assert!(
        now.as_array()
            .unwrap()
            .iter()
            .any(|one| one["standing"] == "pinned"),
        "{now}"
    );
    let list = run(at, &["plugin", "list"]);
    assert!(list.stdout.contains("live: ema-c"), "{list:?}");
    let stays = ask(&["unpin", EMA]);
    told(&stays, &["ema-c: 1.1.0 stays live"]);
    let audit = ask(&["audit", "--last", "500"]);
    assert_eq!(audit["is_running"], true);
    let happened = |what: &str| {
        let events = audit["events"].as_array().unwrap();
        events.iter().any(|event| event["event"] == what)
    };
    for what in ["promoted", "rolled-back", "probation", "request"] {
        assert!(happened(what), "{what} is not in the audit log");
    }
    ends_in_order(serve);
}

/// Interrupts it: it ends with a summary, and no bar was lost or doubled.
fn ends_in_order(mut serve: Serve) {
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
fn answers(ran: &Ran) -> Vec<(String, Value)> {
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

/// Writes the features file of an artifact that was trained on one feature, and gives its digest.
fn train_on(artifact: &Path, feature: &str) -> String {
    train_on_bars(artifact, feature, "1h")
}

fn train_on_bars(artifact: &Path, feature: &str, time_frame: &str) -> String {
    use fusebox_services::training::ModelFeatures;
    let context = fusebox_engine::features::FeatureContext {
        time_frame: time_frame.parse().unwrap(),
        symbols: Vec::new(),
    };
    let set = fusebox_engine::features::FeatureSet::parse(&[feature.to_owned()], &context);
    let options = fusebox_engine::features::ExtractOptions::default();
    let features = ModelFeatures::new(&set.unwrap(), context.time_frame, options, b"weights");
    let path = ModelFeatures::path_of(artifact);
    std::fs::write(path, serde_json::to_vec(&features).unwrap()).unwrap();
    features.feature_set_sha256
}

/// The weights that answered first, and their answer.
fn first_answer(ran: &Ran) -> (String, f64) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = ran.stdout.lines();
    let mut lines = lines.map(|line| serde_json::from_str(line).unwrap());
    let answer: Value = lines.find(|line: &Value| line["type"] == "answer").unwrap();
    let weights = answer["weights"].as_str().unwrap().to_owned();
    (weights, answer["outputs"]["ema"].as_f64().unwrap())
}

#[test]
fn a_model_package_carries_what_its_model_was_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let artifact = at.join("fold-01.model");
    std::fs::write(&artifact, b"weights").unwrap();
    let package = |number: &str| {
        let fixed = ["plugin", "model", "fast", number, "--plugin", EMA, "--json"];
        let params = ["--params", "{\"alpha\": 1.0}"];
        let ran = run(
            at,
            &[
                &fixed[..],
                &params,
                &["--artifact", "fold-01.model", "--allow-unaudited"],
            ]
            .concat(),
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.json()
    };
    let serve = |features: &str| {
        let fixed = [
            "plugin", "serve", "--model", "fast", "--bars", "40", "--json",
        ];
        let how = ["--bars-per-second", "0", "--features", features];
        run(at, &[&fixed[..], &how].concat())
    };
    let digest = train_on(&artifact, "rsi(14)");
    let made = package("1.0.0");
    assert_eq!(made["feature_set"], digest);
    assert!(made["warning"].is_null(), "{made}");
    let refused = serve("rsi(15)");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&digest), "{refused:?}");
    let (first, plain) = first_answer(&serve("rsi(14)"));
    assert_eq!(first, "1.0.0");

    // The digest of a feature set does not tell of what bars its features were made.
    train_on_bars(&artifact, "rsi(14)", "15m");
    assert_eq!(package("1.0.1")["bars"]["time_frame"], "15m");
    let ran = serve("rsi(14)");
    assert_eq!(first_answer(&ran).0, "1.0.0");
    assert!(
        ran.stdout.contains("15m bars, these are 1h bars"),
        "{ran:?}"
    );

    // Of two packages the one that fits goes live, though the other is newer.
    train_on(&artifact, "rsi(15)");
    package("1.1.0");
    assert_eq!(first_answer(&serve("rsi(14)")).0, "1.0.0");

    let scaler = r#"{"kind": "standard", "columns": ["rsi(14)"],
        "scales": [{"linear": {"center": "0", "scale": "2"}}]}"#;
    std::fs::write(at.join("fold-01.scaler.json"), scaler).unwrap();
    train_on(&artifact, "rsi(14)");
    assert_eq!(package("1.2.0")["has_scaler"], true);
    let (third, halved) = first_answer(&serve("rsi(14)"));
    assert_eq!(third, "1.2.0");
    assert_eq!((halved * 2.0).to_bits(), plain.to_bits());

    std::fs::remove_file(at.join("fold-01.features.json")).unwrap();
    let made = package("1.3.0");
    let warning = made["warning"].as_str().unwrap();
    assert!(warning.contains("fold-01.features.json"), "{warning}");
    let told = serve("rsi(14)");
    assert_eq!(first_answer(&told).0, "1.3.0");
    let times = told
        .stderr
        .matches("does not say which feature set")
        .count();
    assert_eq!(times, 1, "{told:?}");
}

#[test]
fn weights_whose_features_failed_their_audit_are_not_put_where_they_go_live() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let artifact = at.join("fold-01.model");
    std::fs::write(&artifact, b"weights").unwrap();
    let digest = train_on(&artifact, "rsi(14)");
    let package = |more: &[&str]| {
        let fixed = ["plugin", "model", "fast", "1.0.0", "--plugin", EMA];
        let files = ["--artifact", "fold-01.model", "--json", "--replace"];
        run(at, &[&fixed[..], &files, more].concat())
    };
    let refused = package(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for words in [
        "never audited",
        "fusebox features audit --features 'rsi(14)'",
        "--allow-unaudited",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    let allowed = package(&["--allow-unaudited"]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert_eq!(allowed.json()["audit"]["state"], "unaudited");
    let recorded = std::fs::read_to_string(at.join(".fusebox/models/fast/1.0.0/model.toml"));
    assert!(recorded.unwrap().contains("state = \"unaudited\""));
    let strict = package(&["--allow-unaudited", "--engine", "strict.toml"]);
    assert_eq!(strict.code, Some(2), "{strict:?}");
    std::fs::write(
        at.join("strict.toml"),
        "[engine.live]\nrequire_audit = true\n",
    )
    .unwrap();
    let strict = package(&["--allow-unaudited", "--engine", "strict.toml"]);
    assert!(
        strict.stderr.contains("engine.live.require_audit"),
        "{strict:?}"
    );

    // The command that the message names is the one that opens the gate.
    let audit = [
        "features",
        "audit",
        "--features",
        "rsi(14)",
        "--max-bars",
        "500",
    ];
    let audited = run(at, &audit);
    assert_eq!(audited.code, Some(0), "{audited:?}");
    for more in [&[][..], &["--engine", "strict.toml"]] {
        let ran = package(more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.json()["audit_passed"], true);
        assert_eq!(ran.json()["audit"]["sha256"], digest.as_str());
    }

    // No other program's audit stands in for that of the features of ours.
    let by = package(&["--features-by", "cat"]);
    assert_eq!(by.code, Some(2), "{by:?}");
    assert!(by.stderr.contains("leave it out"), "{by:?}");

    scaler_and_failure_are_asked_for(at, &digest, &package);
}

/// A model with a scaler or a fitted readout needs an audit that looked at such a fit; one whose
/// features failed is refused whatever is allowed.
fn scaler_and_failure_are_asked_for(at: &Path, digest: &str, package: &dyn Fn(&[&str]) -> Ran) {
    let scaler = r#"{"kind": "robust", "columns": ["rsi(14)"],
        "scales": [{"linear": {"center": "0", "scale": "2"}}]}"#;
    std::fs::write(at.join("fold-01.scaler.json"), scaler).unwrap();
    let refused = package(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("its scaler (robust)"),
        "{refused:?}"
    );
    let stored = at.join(format!(".fusebox/state/audits/{digest}.json"));
    let mut verdict: Value = serde_json::from_slice(&std::fs::read(&stored).unwrap()).unwrap();
    verdict["fitted_steps"] = serde_json::json!([{"name": "scaler", "kind": "robust", "folds": 3}]);
    std::fs::write(&stored, verdict.to_string()).unwrap();
    assert_eq!(package(&[]).code, Some(0));

    let readout = r#"{"format": 1, "outputs": 1, "kind": {"returns": {"position": 0,
        "unit": "sigmas", "horizon_bars": 4, "volatility": {"span_bars": 20, "longest_gap_ns": 1},
        "upper_sigmas": "1", "lower_sigmas": "1", "spread_sigmas": "0.5"}}}"#;
    std::fs::write(at.join("fold-01.readout.json"), readout).unwrap();
    let refused = package(&[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("its readout (the spread"),
        "{refused:?}"
    );
    verdict["fitted_steps"] = serde_json::json!([
        {"name": "scaler", "kind": "robust", "folds": 3},
        {"name": "readout", "kind": "spread of the traded return", "folds": 3},
    ]);
    std::fs::write(&stored, verdict.to_string()).unwrap();
    assert_eq!(package(&[]).code, Some(0));

    verdict["passed"] = false.into();
    std::fs::write(&stored, verdict.to_string()).unwrap();
    for more in [&[][..], &["--allow-unaudited"]] {
        let refused = package(more);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("failed their last audit"),
            "{refused:?}"
        );
    }
}

#[test]
fn rows_of_a_program_are_vouched_for_by_the_audit_of_that_very_program() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    std::fs::write(at.join("fold-01.model"), b"weights").unwrap();
    let script = "import sys\nrows = sys.stdin.read().splitlines()[1:]\nprint('range')\n\
        for row in rows:\n    c = row.split(',')\n    print(float(c[4]) / float(c[5]))\n";
    std::fs::write(at.join("rows.py"), script).unwrap();
    let package = || {
        let fixed = [
            "plugin",
            "model",
            "fast",
            "1.0.0",
            "--plugin",
            EMA,
            "--replace",
            "--json",
        ];
        let more = [
            "--artifact",
            "fold-01.model",
            "--features-by",
            "python3 rows.py",
        ];
        run(at, &[&fixed[..], &more].concat())
    };
    let refused = package();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let command = "fusebox features audit --command 'python3 rows.py'";
    assert!(refused.stderr.contains(command), "{refused:?}");
    let audit = [
        "features",
        "audit",
        "--command",
        "python3 rows.py",
        "--max-bars",
        "300",
    ];
    let audited = run(at, &audit);
    assert_eq!(audited.code, Some(0), "{audited:?}");
    assert_eq!(package().code, Some(0));
    // One more blank: another program, which nobody audited.
    std::fs::write(at.join("rows.py"), format!("{script} ")).unwrap();
    let refused = package();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("never audited"), "{refused:?}");
}

#[test]
fn where_the_engine_demands_an_audit_nothing_else_goes_live() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    std::fs::write(
        at.join("strict.toml"),
        "[engine.live]\nrequire_audit = true\n",
    )
    .unwrap();
    let package = ["plugin", "model", "fast", "1.0.0", "--plugin", EMA];
    let params = ["--params", "{\"alpha\": 1.0}"];
    let packaged = run(at, &[&package[..], &params].concat());
    assert_eq!(packaged.code, Some(0), "{packaged:?}");
    let serve = |more: &[&str]| {
        let fixed = [
            "plugin",
            "serve",
            "--model",
            "fast",
            "--bars",
            "40",
            "--bars-per-second",
            "0",
        ];
        run(at, &[&fixed[..], &["--features", "rsi(14)"], more].concat())
    };
    let served = serve(&[]);
    assert_eq!(served.code, Some(0), "{served:?}");
    let refused = serve(&["--engine", "strict.toml"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("engine.live.require_audit"),
        "{refused:?}"
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
    let cases: [(&[&str], i32, &str); 7] = [
        (
            &["--plugin", "com.example.ema-d"],
            1,
            "did you mean `com.example.ema-c`?",
        ),
        (&["--plugin", EMA], 1, "key `alpha` is missing"),
        (&["--plugin", EMA, "--params", "{"], 2, "--params"),
        (&["--plugin", EMA, "--versions", "newest"], 2, "latest-N"),
        (&[], 2, "--plugin ID"),
        (&["--plugin", ""], 2, "`--plugin` is empty"),
        (&["--model", " "], 2, "`--model` is empty"),
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

#[test]
fn a_wish_for_what_does_not_exist_is_refused_and_recorded_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let refused = |arguments: &[&str], words: &[&str]| {
        let ran = run(at, &[&["plugin"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        for part in words {
            assert!(ran.stderr.contains(part), "{part} is not in {ran:?}");
        }
    };
    let near = "did you mean `com.example.ema-c`?";
    for command in ["reload", "rollback", "unpin"] {
        refused(&[command, "com.example.ema-d"], &[near]);
    }
    refused(&["pin", "com.example.ema-d", "1.0.0"], &[near]);
    refused(
        &["pin", EMA, "9.9.9"],
        &["neither installed nor live", "there are: 1.0.0", "--force"],
    );
    refused(&["pin", EMA, "9.9"], &["`9.9` is no version"]);
    refused(&["audit", "--model", "ema-c"], &["it was never live"]);
    assert!(!at.join(".fusebox/state/desired.json").exists());
    let pinned = run(at, &["plugin", "pin", EMA, "9.9.9", "--force"]);
    assert_eq!(pinned.code, Some(0), "{pinned:?}");
    assert!(pinned.stdout.contains("recorded"), "{pinned:?}");
    let taken_back = run(at, &["plugin", "unpin", EMA]);
    assert_eq!(taken_back.code, Some(0), "{taken_back:?}");
    let pinned = run(at, &["plugin", "pin", "ema-c", "1.0.0", "--json"]);
    assert_eq!(pinned.json()["outcome"], "recorded");
    let list = run(at, &["plugin", "list", "--json"]).json();
    assert_eq!(list[0]["standing"][0]["standing"], "pinned", "{list}");
    let served = run(
        at,
        &[
            "plugin",
            "serve",
            "--bars",
            "3",
            "--bars-per-second",
            "0",
            "--plugin",
            EMA,
            "--params",
            "{\"alpha\": 0.5}",
        ],
    );
    assert_eq!(served.code, Some(0), "{served:?}");
    let list = run(at, &["plugin", "list", "--json"]).json();
    let standings = list[0]["standing"].as_array().unwrap();
    assert_eq!(standings.len(), 1, "nothing is live any more: {list}");
    refused(&["audit", "--model", "ema-d"], &["did you mean `ema-c`?"]);
    let audit = run(at, &["plugin", "audit", "--model", "ema-c"]);
    let times: Vec<usize> = audit
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().find(|one| one.ends_with('Z')))
        .map(str::len)
        .collect();
    assert!(
        times.len() > 3 && times.iter().all(|len| *len == 24),
        "{audit:?}"
    );
}

#[test]
fn a_revoked_version_that_is_served_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let mut serve = Serve::start(at);
    serve.wait(is_answer_of("1.0.0"));
    install(at, "1.1.0", "1000.0");
    serve.wait(is_answer_of("1.1.0"));
    let revoke = [
        "plugin",
        "trust",
        "revoke",
        "--plugin",
        EMA,
        "--versions",
        "1.1.0",
    ];
    let ran = run(at, &[&revoke[..], &["--reason", "leaks"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serve.wait(|line| line["event"] == "revoked");
    serve.wait(is_answer_of("1.0.0"));
    // The swap is written down right after the first row that it answers.
    let standing = || {
        let list = run(at, &["plugin", "list", "--json"]).json();
        let mut plugins = list.as_array().unwrap().iter();
        let revoked = plugins.find(|one| one["version"] == "1.1.0").unwrap();
        assert_eq!(revoked["state"], "refused", "{revoked}");
        revoked["standing"].clone()
    };
    let is_out = (0..200).any(|_| standing()[0]["reason"] == "revoked");
    assert!(is_out, "{}", standing());
    serve.child.kill().unwrap();
    serve.child.wait().unwrap();
}

#[test]
fn on_a_kernel_without_walls_a_worker_starts_and_the_operator_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    install(at, "1.0.0", "0.0");
    let fusebox = command(at);
    let mut without_walls = Command::new(env!("CARGO_BIN_EXE_without_walls"));
    without_walls.current_dir(at).arg(fusebox.get_program());
    for (name, value) in fusebox.get_envs() {
        match value {
            Some(value) => without_walls.env(name, value),
            None => without_walls.env_remove(name),
        };
    }
    let fixed = [
        "plugin",
        "serve",
        "--bars",
        "20",
        "--bars-per-second",
        "0",
        "--json",
    ];
    let output = without_walls
        .args(fixed)
        .args(["--plugin", EMA, "--params", "{\"alpha\": 0.5}"])
        .env("FUSEBOX_ENGINE__ISOLATION", "worker")
        .output()
        .unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.iter().any(is_answer_of("1.0.0")), "{ran:?}");
    let is_in_worker = |line: &Value| line["tier"] == "worker";
    assert!(lines.iter().any(is_in_worker), "{ran:?}");
    let told = "workers run without some of their walls, because this kernel does not offer: \
                Landlock (this kernel does not have it, or it is switched off); seccomp (";
    assert_eq!(ran.stderr.matches(told).count(), 1, "{ran:?}");
}
