//! `fusebox backtest` through the binary: predictions traded again, swept, and carried out again.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test that calls them"
)]

use std::fs;
use std::path::Path;

use fusebox_services::data::{Simulated, SimulatedConfig, parquet};
use fusebox_tests::binary::{Ran, command};
use fusebox_tests::fixtures::project_root;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
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

/// The same for people.
fn backtest_text(dir: &Path, more: &[&str]) -> Ran {
    let pipeline = project_root().join("configs/pipelines/direction-1h-lightgbm.toml");
    let mut command = command(dir);
    command
        .arg("backtest")
        .arg(pipeline)
        .args(["--set", "data.source=simulated"])
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
    assert_eq!(again["same_config"], true);
    // Another fee is another exchange, and the exit code says so.
    let dearer = ["--replay", "journal.jsonl", "--set", "execution.fee_bps=11"];
    let dearer = backtest(dir.path(), &dearer);
    assert_eq!(dearer.code, Some(1));
    let dearer = document(&dearer);
    assert!(dearer["differences"].as_u64().unwrap() > 10);
    assert_eq!(dearer["same_config"], false);
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
    assert_eq!(told["luck"]["runs"], 6, "{told}");
    assert!(
        told["luck"]["superior"]["consistent_p"].is_number(),
        "{told}"
    );
    let two = backtest(
        dir.path(),
        &[&sweep[..], &["--set", "run.threads=2"]].concat(),
    );
    assert_eq!(document(&two), told);
}

/// Predictions that know nothing.
fn noise(dir: &Path) -> String {
    let mut text = String::from("closed_at,symbol,p_down,p_flat,p_up\n");
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for hour in 0..1200_u32 {
        let (day, of_day) = (1 + hour / 24, hour % 24);
        let (month, day) = if day > 30 { (7, day - 30) } else { (6, day) };
        let up: f64 = random.random();
        let down = 1.0 - up;
        text.push_str(&format!(
            "2022-{month:02}-{day:02}T{of_day:02}:00:00Z,BTCUSDT,{down:.4},0,{up:.4}\n"
        ));
    }
    let path = dir.join("noise.csv");
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

/// A venue that costs nothing, so that noise neither earns nor loses.
const FREE: [&str; 6] = [
    "--set",
    "execution.fee_bps=0",
    "--set",
    "execution.slippage_bps=0",
    "--set",
    "execution.spread_bps=0",
];

#[test]
fn the_best_of_a_sweep_over_noise_is_luck() {
    let dir = tempfile::tempdir().unwrap();
    let file = noise(dir.path());
    let sweep = [
        "--predictions",
        file.as_str(),
        "--sweep",
        "strategy.entry_threshold=0.1,0.3,0.5,0.7",
        "--sweep",
        "strategy.minimum_holding_bars=0,4,12",
        "--set",
        "evaluation.trials=5",
    ];
    let ran = backtest(dir.path(), &[&sweep[..], &FREE].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    let luck = &told["luck"];
    assert_eq!((&luck["runs"], &luck["trials"]), (&12.into(), &16.into()));
    assert_eq!(told["known_trials"], 16);
    assert_eq!(told["steps"], 1200);
    assert_eq!(
        (&told["stretches"], &told["stretch_steps"]),
        (&600.into(), &2.into())
    );
    let number = |value: &Value| {
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{value} in {told}"))
    };
    assert!((1.0..12.0).contains(&number(&luck["effective_trials"])));
    assert!(number(&told["deflated_sharpe"]) < 0.95, "{told}");
    let overfitting = &luck["overfitting"];
    assert_eq!(overfitting["blocks"], 16);
    assert_eq!(overfitting["splits"], 12_870);
    assert!((number(&overfitting["chance_level"]) - 0.5).abs() < 1e-9);
    // Best-of-twelve is in the worse half as often as not, give or take what combinations share.
    assert!(number(&overfitting["probability"]) > 0.1, "{overfitting}");
    for test in [&luck["superior"], &luck["superior_to_holding"]] {
        let [low, p, high, white] =
            ["lower_p", "consistent_p", "upper_p", "reality_check_p"].map(|key| number(&test[key]));
        assert!(
            low <= p && p <= high && low > 0.05 && white > 0.05,
            "{test}"
        );
    }
    let [held, cash] = told["benchmarks"].as_array().unwrap().as_slice() else {
        panic!("two benchmarks: {told}");
    };
    assert_eq!(
        (&held["name"], &cash["name"]),
        (&"buy and hold".into(), &"cash".into())
    );
    assert!(held["sharpe"].is_number() && cash["sharpe"].is_null());
    assert!(number(&cash["total_return"]).abs() < 1e-12);
    // Costs hurt the benchmark, too: it is that of the best one's settings.
    assert!(number(&held["turnover"]) > 0.5);

    let text = backtest_text(dir.path(), &[&sweep[..], &FREE].concat());
    assert_eq!(text.code, Some(0), "{text:?}");
    for part in [
        "is the best one luck?",
        "16 known, 12 combinations here worth",
        "deflated Sharpe ratio of the best",
        "probability of overfitting (CSCV, 16 blocks)",
        "by chance 50.00 %",
        "beats cash: p of Hansen's SPA",
        "beats buy and hold: p of Hansen's SPA",
        "12 combinations over 1,200 steps",
        "600 stretches of 2 steps",
    ] {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
}

#[test]
fn luck_that_cannot_be_told_is_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let swept = |more: &[&str]| {
        let more = [&["--predictions", file.as_str()], more].concat();
        let ran = backtest(dir.path(), &more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told = document(&ran);
        (told, backtest_text(dir.path(), &more).stdout)
    };
    // One is the best of nothing.
    let (told, text) = swept(&["--sweep", "strategy.entry_threshold=0.1"]);
    assert_eq!(told["luck"], Value::Null);
    assert_eq!(
        (&told["known_trials"], &told["stretches"]),
        (&1.into(), &0.into())
    );
    assert_eq!(told["benchmarks"].as_array().unwrap().len(), 2);
    let dashes = |text: &str| {
        text.lines()
            .filter(|line| line.trim_end().ends_with(" -"))
            .count()
    };
    assert_eq!(dashes(&text), 5, "{text}");
    // Three of the same are one, and there is nothing to choose.
    let (copies, text) = swept(&["--sweep", "risk.max_gross_exposure=7,8,9"]);
    let (told, copied) = (copies, told);
    let deflated = |told: &Value| told["deflated_sharpe"].as_f64().unwrap();
    assert!(deflated(&told) < deflated(&copied), "{told}");
    let luck = &told["luck"];
    assert_eq!(luck["overfitting"], Value::Null);
    assert!(
        (luck["effective_trials"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "{luck}"
    );
    assert_eq!(dashes(&text), 1, "{text}");
    // Where nobody trades, nothing varies.
    let (told, _) = swept(&["--sweep", "strategy.entry_threshold=0.9,0.95"]);
    let luck = &told["luck"];
    for key in ["effective_trials", "overfitting", "superior"] {
        assert_eq!(luck[key], Value::Null, "{key}: {luck}");
    }
    assert_eq!(told["deflated_sharpe"], Value::Null);
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

/// A combination that loses everything has no Sharpe ratio, however it began.
#[test]
fn what_is_ruined_is_a_trial_and_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let bold = [
        "portfolio.allow_short=true",
        "strategy.allow_short=true",
        "risk.max_gross_exposure=100",
        "risk.max_symbol_weight=10",
        "risk.max_order_notional=1e10",
        "risk.max_drawdown=1.0",
    ];
    let mut more = vec!["--predictions", file.as_str()];
    more.extend(bold.iter().flat_map(|one| ["--set", one]));
    more.extend(["--sweep", "risk.position_fraction=0.1,0.2,10"]);
    let ran = backtest(dir.path(), &more);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    assert_eq!(told["ruined"], 1, "{told}");
    let last = &told["trials"][2];
    assert_eq!(last["settings"][0][1], "10", "{last}");
    assert!(last["sharpe"].is_null() && last["max_drawdown"].as_f64().unwrap() >= 1.0);
    assert_eq!(
        (&told["known_trials"], &told["luck"]["runs"]),
        (&3.into(), &2.into())
    );
    let text = backtest_text(dir.path(), &more).stdout;
    assert!(text.contains("1 combination lost everything"), "{text}");
    // Of those that lost everything none is the best.
    let at = more.len() - 1;
    more[at] = "risk.position_fraction=9,10";
    let told = document(&backtest(dir.path(), &more));
    assert_eq!(told["ruined"], 2, "{told}");
    assert!(
        told["luck"].is_null() && told["deflated_sharpe"].is_null(),
        "{told}"
    );
}

/// What a sweep cannot apply, and what would be counted as a trial and is none.
#[test]
fn keys_that_a_sweep_would_ignore_are_refused_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let sweep = [
        "--predictions",
        file.as_str(),
        "--sweep",
        "data.simulated.seed=1,2",
        "--sweep",
        "strategy.entry_threshold=0.1,0.10,0.2,0.1",
        "--sweep",
        "strategy.entry_threshold=0.3",
    ];
    let ran = backtest(dir.path(), &sweep);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for part in [
        "--sweep data.simulated.seed: a sweep trades the same predictions",
        "--sweep strategy.entry_threshold: 0.10 stands more than once",
        "--sweep strategy.entry_threshold: the key stands twice",
    ] {
        assert_eq!(
            ran.stderr.matches(part).count(),
            1,
            "{part}: {}",
            ran.stderr
        );
    }
}

/// What is wrong with any combination is told with the rest, once, whether the settings or the
/// prices show it.
#[test]
fn a_sweep_tells_the_mistakes_of_all_its_combinations() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let problems = |sweep: &[&str]| {
        let mut more = vec!["--predictions", file.as_str()];
        more.extend(sweep.iter().flat_map(|one| ["--sweep", one]));
        let ran = backtest(dir.path(), &more);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stderr).unwrap();
        told["error"].clone()
    };
    let error = problems(&[
        "execution.fee_bps=-1,-2,1",
        "strategy.entry_threshold=2,3,0.2",
        "execution.lot_size=1e8,0.001",
    ]);
    let told: Vec<&str> = error["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["message"].as_str().unwrap())
        .collect();
    for part in [
        "`execution.fee_bps` is -1;",
        "`execution.fee_bps` is -2;",
        "`strategy.entry_threshold` is 2;",
        "`strategy.entry_threshold` is 3;",
        "of BTCUSDT is 100000000, which costs",
    ] {
        let count = told.iter().filter(|one| one.contains(part)).count();
        assert_eq!(count, 1, "{part}: {told:#?}");
    }
    // Two fees, two thresholds, and the lot of three symbols.
    assert_eq!(told.len(), 7, "{told:#?}");
    let error = problems(&["execution.lot_size=1e8,2e8", "execution.latency_ms=1,2"]);
    let text = error["message"].as_str().unwrap();
    for part in [
        "of BTCUSDT is 100000000,",
        "of BTCUSDT is 200000000,",
        "a sweep leaves it out",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }
}

/// Runs `--replay` of a journal with these bytes.
fn replayed(dir: &Path, bytes: &[u8]) -> Ran {
    fs::write(dir.join("changed.jsonl"), bytes).unwrap();
    backtest(dir, &["--replay", "changed.jsonl"])
}

#[test]
fn a_journal_that_was_changed_is_refused_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let traded = ["--predictions", file.as_str(), "--journal", "journal.jsonl"];
    let ran = backtest(dir.path(), &traded);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let bytes = fs::read(dir.path().join("journal.jsonl")).unwrap();
    let sound = document(&replayed(dir.path(), &bytes));
    assert_eq!(sound["linked"], true);
    assert_eq!(sound["complete"], true);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let fill = lines
        .iter()
        .position(|line| String::from_utf8_lossy(line).contains("order_filled"))
        .unwrap();
    let fails = |bytes: &[u8], words: &str| {
        let ran = replayed(dir.path(), bytes);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    };
    // A better price, in one digit.
    let text = String::from_utf8_lossy(lines[fill]).into_owned();
    let digit = text.find("\"price\":\"").unwrap() + 9;
    let mut better = lines.concat();
    let before: usize = lines[..fill].iter().map(|line| line.len()).sum();
    better[before + digit] ^= 1;
    fails(
        &better,
        &format!("line {} of the journal was changed", fill + 1),
    );
    let without = [lines[..fill].concat(), lines[fill + 1..].concat()].concat();
    fails(
        &without,
        &format!("line {} of the journal is entry {}", fill + 1, fill + 1),
    );
    let mut swapped = lines.clone();
    swapped.swap(fill, fill + 1);
    fails(
        &swapped.concat(),
        &format!("line {} of the journal is entry {}", fill + 1, fill + 1),
    );
    let mut twice = lines.clone();
    twice.insert(fill + 1, lines[fill]);
    fails(
        &twice.concat(),
        &format!("line {} of the journal is entry {fill}", fill + 2),
    );
    // Without its end it is carried out, and the end is a difference.
    let short = replayed(dir.path(), &lines[..lines.len() - 1].concat());
    assert_eq!(short.code, Some(1));
    let short = document(&short);
    assert_eq!(
        (&short["complete"], &short["differences"]),
        (&false.into(), &1.into())
    );
}

#[test]
fn threads_change_no_byte_of_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let digest = |threads: &str| {
        let name = format!("threads-{threads}.jsonl");
        let set = format!("run.threads={threads}");
        let more = ["--predictions", &file, "--journal", &name, "--set", &set];
        let told = document(&backtest(dir.path(), &more));
        let digest = told["journal_digest"].as_str().unwrap().to_owned();
        (digest, told)
    };
    let ((one, first), (two, second)) = (digest("1"), digest("2"));
    assert_eq!(one, two);
    assert_eq!(first, second, "and what is told of it");
    assert!(first["fills"].as_u64().unwrap() > 10);
}

#[test]
fn answers_that_are_no_probabilities_are_refused_and_journaled_and_never_traded() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::from("closed_at,symbol,p_down,p_flat,p_up\n");
    let wrong = [
        "NaN,0,1",
        "0,NaN,1",
        "0,0,NaN",
        "0,0,inf",
        "-0.5,0.5,1",
        "0,0,7",
        "0,0,0",
    ];
    for (hour, row) in wrong.iter().enumerate() {
        text.push_str(&format!("2022-06-01T{hour:02}:00:00Z,BTCUSDT,{row}\n"));
    }
    let path = dir.path().join("wrong.csv");
    fs::write(&path, text).unwrap();
    let more = [
        "--predictions",
        path.to_str().unwrap(),
        "--journal",
        "wrong.jsonl",
    ];
    let ran = backtest(dir.path(), &more);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    assert_eq!(told["fills"], 0);
    assert_eq!(told["refusals"]["invalid_prediction"], wrong.len());
    let journal = fs::read_to_string(dir.path().join("wrong.jsonl")).unwrap();
    let count = |words: &str| journal.lines().filter(|line| line.contains(words)).count();
    assert_eq!(count("\"invalid_prediction\""), wrong.len());
    assert_eq!(count("\"predicted\""), wrong.len());
    // What is no number is written as nothing.
    let no_number = |line: &&str| line.contains("\"predicted\"") && line.contains("null");
    assert_eq!(journal.lines().filter(no_number).count(), 4);
    assert_eq!(count("order_approved") + count("signalled"), 0);
}

/// A data directory with candles, and the arguments that choose it.
fn candles(dir: &Path) -> Vec<String> {
    let simulated = SimulatedConfig {
        symbols: vec!["BTCUSDT".to_owned()],
        from: "2022-05-01".parse().unwrap(),
        to: "2022-07-01".parse().unwrap(),
        ..SimulatedConfig::default()
    };
    let series = Simulated::new(simulated).unwrap().series();
    let place = dir.join("candles/BINANCE");
    fs::create_dir_all(&place).unwrap();
    parquet::write(&place.join("BTCUSDT-1h.parquet"), &series[0]).unwrap();
    let more = [
        "data.source=files",
        "data.dir=candles",
        "data.symbols=[\"BTCUSDT\"]",
    ];
    let more = more.into_iter().chain(["features.set=[\"log_return(1)\"]"]);
    more.flat_map(|value| ["--set".to_owned(), value.to_owned()])
        .collect()
}

#[test]
fn a_streamed_backtest_has_the_digest_of_the_one_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let data = candles(dir.path());
    let mut more: Vec<&str> = data.iter().map(String::as_str).collect();
    more.extend(["--predictions", &file, "--journal"]);
    let whole = backtest(dir.path(), &[&more[..], &["whole.jsonl"]].concat());
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let parts = backtest(
        dir.path(),
        &[&more[..], &["parts.jsonl", "--stream"]].concat(),
    );
    assert_eq!(parts.code, Some(0), "{parts:?}");
    let (whole, parts) = (document(&whole), document(&parts));
    for key in ["journal_digest", "final_equity", "fills", "refusals"] {
        assert_eq!(whole[key], parts[key], "{key}");
    }
    assert!(parts["fills"].as_u64().unwrap() > 10, "{parts}");
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("whole.jsonl"), read("parts.jsonl"));
    let made = backtest(dir.path(), &["--predictions", &file, "--stream"]);
    assert_eq!(made.code, Some(2));
    assert!(
        made.stderr.contains("--stream reads candle files"),
        "{}",
        made.stderr
    );
}

#[test]
fn a_stream_refuses_the_lots_and_ticks_that_memory_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let data = candles(dir.path());
    let mut more: Vec<&str> = data.iter().map(String::as_str).collect();
    more.extend(["--predictions", &file]);
    for set in ["execution.lot_size=1e8", "execution.tick_size=1e8"] {
        more.extend(["--set", set]);
        let whole = backtest(dir.path(), &more);
        let parts = backtest(dir.path(), &[&more[..], &["--stream"]].concat());
        assert_eq!((whole.code, parts.code), (Some(2), Some(2)), "{parts:?}");
        assert!(
            parts.stderr.contains("of BTCUSDT is 100000000"),
            "{parts:?}"
        );
        assert_eq!(parts.stderr, whole.stderr);
    }
}

/// Net of all costs and payments, the gross profit is what equity has gained.
fn the_costs_come_to_the_profit(told: &Value, metrics: &Value) {
    let costs = |key: &str| told["costs"][key].as_f64().unwrap();
    let paid = costs("fees") + costs("spread") + costs("impact") + costs("liquidation");
    let received = costs("funding") + costs("interest") + costs("insurance");
    let left = costs("gross_profit") - paid + received;
    assert!((left - costs("net_profit")).abs() < 1e-6, "{told}");
    let equity: f64 = told["final_equity"].as_str().unwrap().parse().unwrap();
    let initial = metrics["trading"]["initial_cash"].as_f64().unwrap();
    assert!((equity - initial - costs("net_profit")).abs() < 1e-6);
}

#[test]
fn a_backtest_leaves_a_run_directory_and_two_of_them_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let quick = [
        "--predictions",
        file.as_str(),
        "--set",
        "evaluation.random_runs=5",
        "--set",
        "evaluation.bootstrap_samples=200",
        "--set",
        "evaluation.capacity_multiples=[1,100]",
    ];
    let ran = backtest(dir.path(), &[&quick[..], &["--out", "first"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    let page = fs::read_to_string(dir.path().join("first/report.html")).unwrap();
    for section in ["costs", "regimes", "luck", "capacity", "trades"] {
        assert!(
            page.contains(&format!("<section id=\"{section}\">")),
            "{section}"
        );
    }
    assert!(page.contains("This curve says nothing of capacity"));
    let metrics = fs::read(dir.path().join("first/metrics.json")).unwrap();
    let metrics: Value = serde_json::from_slice(&metrics).unwrap();
    assert_eq!(metrics["trading"]["costs"], told["costs"]);
    assert_eq!(told["capacity"]["points"].as_array().unwrap().len(), 2);
    the_costs_come_to_the_profit(&told, &metrics);
    let again = backtest(dir.path(), &[&quick[..], &["--out", "first"]].concat());
    assert_eq!(again.code, Some(2), "{again:?}");

    let dearer = ["--set", "execution.fee_bps=20", "--out", "dearer"];
    let ran = backtest_text(dir.path(), &[&quick[..], &dearer].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        "buy and hold",
        "spread",
        "wild",
        "ambiguous slices",
        "minimum track record",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let compare = |more: &[&str]| {
        let mut command = command(dir.path());
        command.args(["compare", "first", "dearer"]).args(more);
        Ran::from(command.output().unwrap())
    };
    let ran = compare(&["--json", "--out", "page.html"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = document(&ran);
    assert_eq!(told["pairs"].as_array().unwrap().len(), 1);
    assert!(told["pairs"][0]["mean_return"]["value"].as_f64().unwrap() > 0.0);
    let warnings = told["warnings"].to_string();
    assert!(
        warnings.contains("execution.fee_bps is 10.0 and 20.0"),
        "{warnings}"
    );
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.contains("2 runs side by side"));
    let ran = compare(&["--out", "page.html"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = compare(&["--out", "page.html", "--overwrite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("warning: ") && ran.stdout.contains("shared closes"));
}

#[test]
fn runs_that_cannot_be_compared_are_all_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let mut words = command(dir.path());
    words.args(["compare", "empty", "nowhere", "--json"]);
    let ran = Ran::from(words.output().unwrap());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for part in [
        "empty: manifest.json",
        "nowhere: there is no such directory",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    let mut words = command(dir.path());
    words.args([
        "compare",
        "empty",
        "nowhere",
        "--confidence",
        "2",
        "--samples",
        "1",
    ]);
    let ran = Ran::from(words.output().unwrap());
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--confidence is 2") && ran.stderr.contains("--samples is 1"));
}

#[test]
fn impossible_multiples_of_capital_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let file = predictions(dir.path());
    let multiples = "evaluation.capacity_multiples=[0,-1,2,2]";
    let ran = backtest(
        dir.path(),
        &["--predictions", file.as_str(), "--set", multiples],
    );
    assert_eq!(ran.code, Some(2));
    for part in ["has 0; each", "has -1; each", "names 2 twice"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}
