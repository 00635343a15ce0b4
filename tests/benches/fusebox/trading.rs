//! Two years of minutes through the full session, sweeps, and a million orders, beside vectorbt
//! where Python has it.
//!
//! What runs on one core is measured in the time of that core, which other work on the machine does
//! not take part in; what runs on two is measured by the clock, and so is vectorbt.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fusebox_engine::backtest::{BacktestSpec, PrecomputedSignals, SweepTable, run_backtest};
use fusebox_engine::journal::NullJournal;
use fusebox_engine::ports::SignalSource;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::types::Market;
use serde_json::{Value, json};

use crate::session::{config, market, signals, wave};

/// Minutes of two years.
const BARS: i64 = 1_051_200;
/// Minutes of a sweep beside vectorbt, which holds arrays of all of them for every combination.
const SWEPT_BARS: i64 = 262_800;
/// Entry and exit thresholds of that sweep.
const ENTRIES: [f64; 8] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.39];
const EXITS: [f64; 8] = [-0.35, -0.3, -0.2, -0.1, -0.05, 0.0, 0.02, 0.04];
/// Bars and combinations of a million orders, one at each bar.
const ORDER_BARS: i64 = 1_001;
const ORDER_RUNS: usize = 1_000;
const FEE_BPS: f64 = 10.0;

/// Measures and gives lines for the table.
pub(crate) fn trading() -> Vec<(String, String)> {
    let mut lines = vec![(
        format!("{BARS} minutes, one strategy, full session, one core"),
        format!("{:.3} s", two_years()),
    )];
    let swept = Swept::new(SWEPT_BARS, wave, grid());
    let orders = Swept::new(ORDER_BARS, each_bar, turns());
    let steps = swept.steps() as f64;
    let (core, two, _) = swept.time();
    lines.push((
        "sweep, one bar-step, one core".to_owned(),
        format!("{:.1} ns", core / steps * 1e9),
    ));
    lines.push((
        "sweep, two cores".to_owned(),
        format!("{:.1} M bar-steps/s", steps / two / 1e6),
    ));
    let (order_core, order_two, fills) = orders.time();
    lines.push((
        format!("{fills} orders, one at each bar, one core"),
        format!("{:.1} ms", order_core * 1e3),
    ));
    lines.push((
        format!("{fills} orders, one at each bar, two cores"),
        format!("{:.1} ms", order_two * 1e3),
    ));
    match vectorbt(&swept, fills) {
        Err(reason) => lines.push(("sweep and orders beside vectorbt".to_owned(), reason)),
        Ok(other) => {
            let seconds = |key: &str| other[key].as_f64().unwrap();
            let version = other["version"].as_str().unwrap();
            let line = |what: &str, theirs: f64, ours: f64| {
                let told = format!("{:.1} ms, {:.1} x", theirs * 1e3, theirs / ours);
                (format!("  vectorbt {version}: {what}"), told)
            };
            let combinations = ENTRIES.len() * EXITS.len();
            let sweep = format!("the same bars and {combinations} combinations, one core");
            let million = format!("{fills} orders, one core");
            lines.push(line(&sweep, seconds("sweep_s"), core));
            lines.push(line("against two cores", seconds("sweep_s"), two));
            lines.push(line(&million, seconds("orders_s"), order_core));
            lines.push(line("against two cores", seconds("orders_s"), order_two));
        }
    }
    lines
}

/// Seconds of a core for two years of minutes through the session.
fn two_years() -> f64 {
    let (market, config) = (market(BARS), config());
    let signals = signals(&market, wave);
    let spec = BacktestSpec {
        market: &market,
        config: &config,
        config_digest: "bench",
    };
    best_of(5, || {
        let mut signals = signals.clone();
        let began = core_seconds();
        let result = run_backtest(&spec, &mut signals, &mut NullJournal).unwrap();
        assert!(black_box(result).fills.len() > 10_000);
        core_seconds() - began
    })
}

/// Long and short by turns.
fn each_bar(minute: i64) -> f32 {
    if minute % 2 == 0 { 0.4 } else { -0.4 }
}

fn grid() -> Vec<SessionConfig> {
    let pairs = ENTRIES
        .iter()
        .flat_map(|entry| EXITS.map(|exit| (*entry, exit)));
    let one = |(entry, exit)| {
        let mut config = config();
        config.strategy.entry_threshold = entry;
        config.strategy.exit_threshold = exit;
        config.strategy.minimum_holding_bars = 0;
        config.execution.fee_bps = FEE_BPS;
        config
    };
    pairs.map(one).collect()
}

fn turns() -> Vec<SessionConfig> {
    let one = |number: usize| {
        let mut config = config();
        config.strategy.minimum_holding_bars = 0;
        config.strategy.allow_short = true;
        config.portfolio.allow_short = true;
        config.risk.position_fraction = Some(0.1 + 0.4 * number as f64 / ORDER_RUNS as f64);
        config.risk.max_drawdown = Some(1.0);
        config.execution.fee_bps = FEE_BPS;
        config
    };
    (0..ORDER_RUNS).map(one).collect()
}

/// A sweep to be timed.
struct Swept {
    market: Market,
    signals: PrecomputedSignals,
    configs: Vec<SessionConfig>,
}

impl Swept {
    fn new(bars: i64, score: fn(i64) -> f32, configs: Vec<SessionConfig>) -> Self {
        let market = market(bars);
        Self {
            signals: signals(&market, score),
            market,
            configs,
        }
    }

    fn steps(&self) -> usize {
        self.market.series()[0].bars.len() * self.configs.len()
    }

    /// Seconds of one core for all combinations, seconds of the clock on two, and fills. The table
    /// is made once for all of them, outside.
    fn time(&self) -> (f64, f64, u64) {
        let fusion = &self.configs[0].fusion;
        let predictions = self.signals.predictions();
        let models = self.signals.models();
        let table = SweepTable::new(&self.market, models, predictions, fusion).unwrap();
        let all = |configs: &[SessionConfig]| -> u64 {
            let results = configs
                .iter()
                .map(|config| table.run(config).unwrap().fills);
            results.sum()
        };
        let mut fills = 0;
        let one = best_of(3, || {
            let began = core_seconds();
            fills = black_box(all(&self.configs));
            core_seconds() - began
        });
        let two = best_of(3, || {
            let began = Instant::now();
            std::thread::scope(|scope| {
                let all = &all;
                for half in self.configs.chunks(self.configs.len().div_ceil(2)) {
                    scope.spawn(move || black_box(all(half)));
                }
            });
            began.elapsed().as_secs_f64()
        });
        (one, two, fills)
    }
}

fn best_of(runs: usize, mut run: impl FnMut() -> f64) -> f64 {
    (0..runs).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// Seconds that this thread has run; by the clock where the system does not tell.
fn core_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanos.map_or_else(
        || {
            let now = std::time::SystemTime::now();
            let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
            since.as_secs_f64()
        },
        |nanos| nanos / 1e9,
    )
}

/// What the script measures; the reason where it cannot.
fn vectorbt(swept: &Swept, orders: u64) -> Result<Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("FUSEBOX_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    if !python.exists() {
        return Err("skipped: run `make reference`, or set FUSEBOX_PYTHON".to_owned());
    }
    let bars = &swept.market.series()[0].bars;
    let mut bytes = Vec::with_capacity(bars.len() * 24);
    bytes.extend(bars.iter().flat_map(|bar| bar.open.to_le_bytes()));
    bytes.extend(bars.iter().flat_map(|bar| bar.close.to_le_bytes()));
    let scores = swept.signals.predictions().iter().map(|one| {
        let [down, _, up] = one.probabilities.map(f64::from);
        up - down
    });
    bytes.extend(scores.flat_map(f64::to_le_bytes));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let task = json!({
        "entries": ENTRIES,
        "exits": EXITS,
        "fee_bps": FEE_BPS,
        "order_bars": ORDER_BARS - 1,
        "order_runs": orders / (ORDER_BARS - 1).unsigned_abs(),
    });
    let output = Command::new(python)
        .arg(root.join("tests/reference/bench_vectorbt.py"))
        .arg(file.path())
        .arg(task.to_string())
        .output()
        .map_err(|error| format!("skipped: {error}"))?;
    let told: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    told.ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("skipped: {}", words.lines().last().unwrap_or("no output"))
    })
}
