//! Directories of runs that were written for the purpose, whole and broken.

use serde_json::{Value, json};

use super::*;
use crate::report::{BacktestReport, CurvePoint, sample};
use crate::training::{EQUITY_FILE, METRICS_FILE, METRICS_FORMAT, RunDirectory};

const OPTIONS: RunsOptions = RunsOptions {
    confidence: 0.95,
    bootstrap_samples: 300,
    seed: 1,
};

fn config(fee: f64) -> String {
    format!(
        "[execution]\nfee_bps = {fee:?}  # direction.toml\nslippage_bps = 2.0  # default\n\n\
         [portfolio]\ninitial_cash = 100000.0  # default\n"
    )
}

/// A run of 500 hours from `start` on whose returns are those of a wave, plus `lead` each.
fn report(title: &str, (start, lead): (usize, f64)) -> BacktestReport {
    let mut report = sample::backtest();
    report.title = title.to_owned();
    report.reproducibility.config.toml = config(10.0);
    let all = report.trading.curve;
    let mut equity = 100_000.0;
    let points = all.iter().enumerate().skip(start).take(500);
    let points = points.map(|(at, point)| {
        let wave = ((at * 7_919 % 1_000) as f64 / 1_000.0 - 0.5) * 0.01;
        let own = ((at * 104_729 % 997) as f64 / 997.0 - 0.5) * 0.001;
        equity *= 1.0 + wave + lead * (1.0 + own);
        CurvePoint {
            strategy_equity: equity,
            ..*point
        }
    });
    report.trading.curve = points.collect();
    report
}

fn write_with(path: &Path, report: &BacktestReport, format: u32) {
    let mut directory = RunDirectory::create(path, false).unwrap();
    let equity = super::super::tables::equity(&report.trading).unwrap();
    directory.write(EQUITY_FILE, &equity).unwrap();
    let mut short = report.clone();
    short.trading.curve.clear();
    short.trading.trades.clear();
    let mut metrics = serde_json::to_value(short).unwrap();
    metrics["format"] = json!(format);
    directory.write_json(METRICS_FILE, &metrics).unwrap();
    directory.commit().unwrap();
}

fn write(path: &Path, report: &BacktestReport) -> PathBuf {
    write_with(path, report, METRICS_FORMAT);
    path.to_owned()
}

#[test]
fn a_lead_is_found_over_the_time_that_both_cover() {
    let dir = tempfile::tempdir().unwrap();
    let one = write(&dir.path().join("one"), &report("ahead", (0, 0.001)));
    let other = write(&dir.path().join("other"), &report("behind", (100, 0.0)));
    let found = compare_runs(&[one, other], &OPTIONS).unwrap();
    assert_eq!(found.common_steps, 400);
    assert_eq!(found.curves.growth.len(), 2);
    assert!((found.curves.growth[1][0] - 1.0).abs() < 1e-12);
    let [pair] = found.pairs[..] else {
        panic!("{:#?}", found.pairs);
    };
    // 0.001 an hour for 8,760 hours.
    let lead = pair.mean_return.value.unwrap();
    assert!((lead - 8.76).abs() < 0.1, "{lead}");
    assert!(pair.mean_return.interval.unwrap().low > 0.0);
    assert!(pair.sharpe_ratio_p.unwrap() < 0.05);
    assert!(pair.correlation.unwrap() > 0.99);
    let [ahead, behind] = &found.runs[..] else {
        panic!("two runs");
    };
    assert!(ahead.common.sharpe_ratio > behind.common.sharpe_ratio);
    // The same numbers by hand, from the shared part of the curve.
    let growth = &found.curves.growth[1];
    let total = behind.common.total_return.unwrap();
    assert!((total - (growth[399] - 1.0)).abs() < 1e-12);
    let [warning] = &found.warnings[..] else {
        panic!("{:#?}", found.warnings);
    };
    assert!(warning.contains("cover different times"), "{warning}");
}

#[test]
fn every_difference_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let base = report("first", (0, 0.0));
    let mut other = report("second", (0, 0.001));
    other.reproducibility.config.toml = config(7.5);
    other.reproducibility.files[1].sha256 = "00".to_owned();
    other.reproducibility.feature_set_sha256 = "aa".to_owned();
    other.trading.currency = "EUR".to_owned();
    let mut third = report("first", (450, 0.0));
    third.market.symbols.pop();
    third.trading.curve.truncate(60);
    let paths = [("a", &base), ("b", &other), ("c", &third)];
    let paths = paths.map(|(name, report)| write(&dir.path().join(name), report));
    let found = compare_runs(&paths, &OPTIONS).unwrap();
    let told = found.warnings.join("\n");
    for part in [
        "read different bytes of BINANCE/ETHUSDT-1h.parquet",
        "execution.fee_bps is 10.0 and 7.5",
        "different currencies: USDT and EUR",
        "trade different symbols",
        "cover different times",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        !told.contains("slippage_bps") && !told.contains("features"),
        "{told}"
    );
    // Titles that are alike get their directories.
    assert!(found.runs[0].name.starts_with("first (") && found.runs[1].name == "second");
    assert_eq!((found.pairs.len(), found.common_steps), (3, 50));
}

#[test]
fn too_short_a_time_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let one = write(&dir.path().join("one"), &report("one", (0, 0.0)));
    let other = write(&dir.path().join("other"), &report("other", (490, 0.0)));
    let found = compare_runs(&[one, other], &OPTIONS).unwrap();
    assert_eq!(found.common_steps, 10);
    assert_eq!(found.pairs[0].mean_return, Estimate::default());
    assert!(
        found
            .warnings
            .iter()
            .any(|one| one.contains("10 closing times"))
    );
    crate::report::render_comparison(&found).unwrap();
}

#[test]
fn every_problem_of_every_directory_is_listed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let whole = report("whole", (0, 0.0));
    write(&path("changed"), &whole);
    std::fs::write(path("changed").join(EQUITY_FILE), "closed_at\n").unwrap();
    write_with(&path("old"), &whole, 1);
    std::fs::create_dir(path("empty")).unwrap();
    let mut broken = RunDirectory::create(&path("broken"), false).unwrap();
    let rows = "closed_at,strategy_equity\n2024-01-02,5\n2024-01-01,7\nnever,1\n2024-01-03,NaN\n";
    broken.write(EQUITY_FILE, rows.as_bytes()).unwrap();
    broken.write(METRICS_FILE, b"{\"format\": 2}").unwrap();
    broken.commit().unwrap();
    let mut foreign: Value = json!({"kind": "recipe", "format": 1, "fusebox_version": "0"});
    foreign["files"] = json!([]);
    std::fs::create_dir(path("foreign")).unwrap();
    std::fs::write(path("foreign/manifest.json"), foreign.to_string()).unwrap();
    let names = [
        "changed", "old", "empty", "broken", "foreign", "nowhere", "old",
    ];
    let paths = names.map(path);
    let RunsError::Problems(problems) = compare_runs(&paths, &OPTIONS).unwrap_err();
    let told = problems.join("\n");
    for part in [
        "equity.csv has been changed since the run",
        "metrics.json has format 1, and this version reads 2",
        "empty: manifest.json cannot be read",
        "line 3: 2024-01-01T00:00:00Z does not come after the line before",
        "line 4: `never` is no time",
        "line 5: `NaN` is not finite",
        "metrics.json is broken: missing field",
        "it holds a `recipe`, no run",
        "nowhere: there is no such directory",
        "old: it is named twice",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    let RunsError::Problems(few) = compare_runs(&paths[2..3], &OPTIONS).unwrap_err();
    assert!(few[0].contains("at least two"), "{few:#?}");
}
