//! How much memory a streamed backtest needs: as much for two million bars as for two hundred
//! thousand. A test of its own, because it measures the whole process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, TimestampMillisecondArray};
use fusebox_engine::backtest::{Rule, RuleSignals, StreamSpec, Streamed, run_stream};
use fusebox_engine::execution::ExecutionConfig;
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::journal::JsonLines;
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use fusebox_services::data::{DataRequest, MarketStream};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

const SHORT: i64 = 200_000;
const LONG: i64 = 2_000_000;
/// Rows that are written, and read, at once.
const GROUP: i64 = 20_000;
/// What the peak of the long history may be above that of the short one. Its bars alone would be
/// 200 MB more, its journal 900 MB.
const GROWTH_KIB: i64 = 8 * 1024;
/// What a streamed backtest may take of one symbol, whatever the length.
const PEAK_KIB: i64 = 32 * 1024;

/// A candle file of so many minutes, in row groups, never whole in memory.
fn write_minutes(path: &Path, bars: i64) {
    let times = |from: i64| (from..from + GROUP).map(|minute| minute * 60_000);
    let price = |minute: i64| 30_000.0 + 3_000.0 * (minute as f64 / 500.0).sin();
    let batch = |from: i64| {
        let column = |value: &dyn Fn(i64) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(
                (from..from + GROUP).map(value),
            ))
        };
        let time = TimestampMillisecondArray::from_iter_values(times(from)).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 6] = [
            ("ts", Arc::new(time)),
            ("open", column(&price)),
            (
                "high",
                column(&|minute| price(minute).max(price(minute + 1)) + 1.0),
            ),
            (
                "low",
                column(&|minute| price(minute).min(price(minute + 1)) - 1.0),
            ),
            ("close", column(&|minute| price(minute + 1))),
            ("volume", column(&|_| 10.0)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(0).schema(), Some(properties)).unwrap();
    for from in (0..bars).step_by(usize::try_from(GROUP).unwrap()) {
        writer.write(&batch(from)).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.5,
            exit_threshold: 0.5,
            minimum_holding_bars: 0,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection::default(),
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.01),
            max_symbol_weight: Some(1.0),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e9),
            max_drawdown: Some(1.0),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig::costing(1.0, 0.0),
        portfolio: PortfolioConfig {
            allow_short: true,
            margin: None,
            ..PortfolioConfig::with_cash(1e6)
        },
    }
}

fn streamed(dir: &Path, symbol: &str) -> Streamed {
    let request = DataRequest {
        dir: dir.to_owned(),
        exchange: "VENUE".to_owned(),
        symbols: vec![symbol.to_owned()],
        time_frame: "1m".parse().unwrap(),
        from: None,
        to: None,
    };
    let config = config();
    let spec = StreamSpec {
        symbols: &request.symbols,
        time_frame: request.time_frame,
        config: &config,
        config_digest: "stream",
    };
    let rule = Rule::MomentumCrossover {
        fast_bars: 10,
        slow_bars: 40,
    };
    let mut bars = MarketStream::open(&request).unwrap();
    let next = || bars.next_block().map_err(|error| error.to_string());
    // Every event is encoded, linked and hashed, and goes where a file would be.
    let mut journal = JsonLines::new(std::io::sink());
    let mut signals = RuleSignals::new(rule, 1, None);
    run_stream(&spec, next, &mut signals, &mut journal, |_| ()).unwrap()
}

/// A figure of the process in KiB.
fn kib(key: &str) -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What `work` gives, and the most memory that it took beside what was there, in KiB.
fn peak<T>(work: impl FnOnce() -> T) -> Option<(T, i64)> {
    // Makes the kernel forget the largest memory so far.
    fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = kib("VmRSS:")?;
    let found = work();
    Some((found, kib("VmHWM:")? - before))
}

#[test]
fn memory_does_not_grow_with_the_length_of_history() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("VENUE")).unwrap();
    for (symbol, bars) in [("SHORT", SHORT), ("LONG", LONG)] {
        let name = format!("VENUE/{symbol}-1m.parquet");
        write_minutes(&dir.path().join(name), bars);
    }
    let Some((_, first)) = peak(|| streamed(dir.path(), "SHORT")) else {
        println!("skipped: this system does not tell the peak of a process's memory");
        return;
    };
    let (short, short_peak) = peak(|| streamed(dir.path(), "SHORT")).unwrap();
    let (long, long_peak) = peak(|| streamed(dir.path(), "LONG")).unwrap();
    println!("peaks: {first} KiB, {short_peak} KiB, {long_peak} KiB for {LONG} bars");
    assert_eq!(short.steps, u64::try_from(SHORT).unwrap());
    assert_eq!(long.steps, u64::try_from(LONG).unwrap());
    assert!(long.costs.fills > 1_000);
    assert!(
        first < PEAK_KIB && long_peak < PEAK_KIB,
        "{first}, {long_peak} KiB"
    );
    // The first run pays for what every later one has.
    assert!(
        long_peak - first < GROWTH_KIB,
        "{first} KiB became {long_peak} KiB"
    );
}
