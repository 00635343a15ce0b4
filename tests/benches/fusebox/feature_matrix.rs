//! The matrix of 150 features over a million minutes, where the recorded candles are at hand
//! (otherwise over simulated ones): time and memory, one thread and two, a live bar, and single
//! features side by side with TA-Lib called on arrays and with pandas.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use fusebox_engine::features::{
    BarColumns, ExtractOptions, Feature, FeatureContext, FeatureExtractor, FeatureSet, Reads,
    extract_symbol, registry,
};
use fusebox_engine::types::{Bar, BarSeries, Market, SymbolId};
use fusebox_services::data::{DataRequest, Simulated, SimulatedConfig, load_market};
use serde_json::Value;

/// Columns of the matrix.
const COLUMNS: usize = 150;
/// Bars that are shown one by one.
const LIVE_BARS: usize = 20_000;
const OPTIONS: ExtractOptions = ExtractOptions { max_gap_bars: 60 };

/// Measures and gives lines for the table.
pub(crate) fn feature_matrix() -> Vec<(String, String)> {
    let (markets, name) = minutes();
    let market = markets[0].clone();
    let bars = market.series()[0].bars.len();
    let set = columns(&market);
    let mut lines = Vec::new();
    let mut line = |what: String, value: String| lines.push((what, value));

    let seconds = best_of(3, || extract_symbol(&set, &market, SymbolId(0), OPTIONS));
    let values = bars as f64 * set.len() as f64;
    let size = format!("{} x {} ({name})", bars, set.len());
    line(format!("features, {size}"), format!("{seconds:.2} s"));
    line(
        "features, one value".to_owned(),
        format!("{:.1} ns", seconds / values * 1e9),
    );
    let ratio = peak_ratio(&set, &market);
    let told = ratio.map_or_else(
        || "not measured".to_owned(),
        |ratio| format!("{ratio:.2} x"),
    );
    line("features, peak memory against the matrix".to_owned(), told);
    let parts = equally_long(markets);
    let each = parts[0].series()[0].bars.len();
    let (one, two) = threads(&set, &parts);
    line(
        format!("features, four symbols of {each} bars, two threads ({one:.2} s on one)"),
        format!("{:.2} x", one / two),
    );
    line(
        format!("features, one live bar, {} features", set.len()),
        format!("{:.2} us", live(&set, &market) * 1e6),
    );
    lines.extend(beside_others(&market));
    lines
}

/// Markets of one symbol each, the first with a million minutes, and whose they are.
fn minutes() -> (Vec<Market>, &'static str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/candles");
    let recorded = [
        ("BITFINEX", "BTCUSD"),
        ("BITFINEX", "ETHUSD"),
        ("BITFINEX", "XRPUSD"),
        ("BINANCE_UM", "FILUSDT"),
    ];
    if dir.is_dir() {
        let load = |(exchange, symbol): (&str, &str)| {
            let request = DataRequest {
                dir: dir.clone(),
                exchange: exchange.to_owned(),
                symbols: vec![symbol.to_owned()],
                time_frame: "1m".parse().unwrap(),
                from: None,
                to: None,
            };
            load_market(&request).unwrap().market
        };
        return (recorded.map(load).into(), "BITFINEX BTCUSD-1m");
    }
    let config = SimulatedConfig {
        symbols: recorded.map(|(_, symbol)| symbol.to_owned()).into(),
        time_frame: "1m".parse().unwrap(),
        from: "2021-01-01".parse().unwrap(),
        to: "2023-01-01".parse().unwrap(),
        ..SimulatedConfig::default()
    };
    let series = Simulated::new(config).unwrap().series();
    let alone = |one| Market::new(vec![one]).unwrap();
    (series.into_iter().map(alone).collect(), "simulated minutes")
}

/// As many of the newest bars of every market as the shortest has, so that two threads can share
/// the work evenly.
fn equally_long(markets: Vec<Market>) -> Vec<Market> {
    let lengths = markets.iter().map(|market| market.series()[0].bars.len());
    let shortest = lengths.min().unwrap_or(0);
    let newest = |market: Market| {
        let series = &market.series()[0];
        let one = BarSeries {
            name: series.name.clone(),
            time_frame: series.time_frame,
            bars: series.bars[series.bars.len() - shortest..].to_vec(),
        };
        Market::new(vec![one]).unwrap()
    };
    markets.into_iter().map(newest).collect()
}

/// Every kind that the market has the columns for, with its defaults, up to the number of columns;
/// then again with longer windows.
fn columns(market: &Market) -> FeatureSet {
    let context = FeatureContext::of(market);
    let mut texts: Vec<String> = Vec::new();
    for factor in 1..10 {
        for kind in registry().filter(|kind| matches!(kind.reads, Reads::Bars)) {
            let scaled = kind.parameters.iter().map(|one| {
                let is_window = one.whole && one.default > 2.0;
                let value = if is_window {
                    one.default * f64::from(factor)
                } else {
                    one.default
                };
                value.min(one.max).to_string()
            });
            let scaled: Vec<String> = scaled.collect();
            let text = format!("{}({})", kind.name, scaled.join(","));
            let is_possible = FeatureSet::parse(std::slice::from_ref(&text), &context).is_ok();
            if is_possible && !texts.contains(&text) && texts.len() < COLUMNS {
                texts.push(text);
            }
        }
    }
    FeatureSet::parse(&texts, &context).unwrap()
}

/// The shortest of some runs, in seconds.
fn best_of<T>(runs: usize, mut run: impl FnMut() -> T) -> f64 {
    let timed = |_| {
        let began = Instant::now();
        black_box(run());
        began.elapsed().as_secs_f64()
    };
    (0..runs).map(timed).fold(f64::INFINITY, f64::min)
}

/// How much the largest memory of the process grows while a matrix is made, as a share of it.
fn peak_ratio(set: &FeatureSet, market: &Market) -> Option<f64> {
    let kib = |key: &str| -> Option<f64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    // Makes the kernel forget the largest memory so far.
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    let before = kib("VmRSS:")?;
    let matrix = extract_symbol(set, market, SymbolId(0), OPTIONS).unwrap();
    let after = kib("VmHWM:")?;
    let size = size_of_val(&*matrix.values) as f64 / 1024.0;
    Some((after - before) / size)
}

/// Seconds for four symbols of as many bars each, one after the other and on two threads.
fn threads(set: &FeatureSet, parts: &[Market]) -> (f64, f64) {
    let extract = |part: &Market| extract_symbol(set, part, SymbolId(0), OPTIONS).unwrap();
    let one = best_of(2, || parts.iter().map(extract).collect::<Vec<_>>());
    let two = best_of(2, || {
        std::thread::scope(|scope| {
            let halves = parts.chunks(2).map(|half| {
                let all = move || half.iter().map(extract).collect::<Vec<_>>();
                scope.spawn(all)
            });
            let halves: Vec<_> = halves.collect();
            let done = halves.into_iter().map(|half| half.join().unwrap());
            done.collect::<Vec<_>>()
        })
    });
    (one, two)
}

/// Seconds for one bar of a live extractor that is warm.
fn live(set: &FeatureSet, market: &Market) -> f64 {
    let context = FeatureContext::of(market);
    let mut live = FeatureExtractor::new(set, &context, OPTIONS).unwrap();
    let bars = &market.series()[0].bars;
    let (first, rest) = bars.split_at(LIVE_BARS.min(bars.len() / 2));
    for bar in first {
        live.step(bar.closed_at, &[Some(bar)]).unwrap();
    }
    let shown = &rest[..LIVE_BARS.min(rest.len())];
    let began = Instant::now();
    for bar in shown {
        black_box(live.step(bar.closed_at, &[Some(bar)]).unwrap());
    }
    began.elapsed().as_secs_f64() / shown.len() as f64
}

/// Single features here, with TA-Lib and with pandas; one line for each, and a few for all.
fn beside_others(market: &Market) -> Vec<(String, String)> {
    let bars = &market.series()[0].bars;
    let others = match others(bars) {
        Ok(others) => others,
        Err(reason) => return vec![("features beside TA-Lib and pandas".to_owned(), reason)],
    };
    let applied: Vec<&str> = others["applied"].as_array().map_or_else(Vec::new, |names| {
        names.iter().filter_map(Value::as_str).collect()
    });
    let mut lines = Vec::new();
    let mut talib = Peer::new("TA-Lib");
    let mut pandas = Peer::new("pandas");
    let mut built_in = Peer::new("pandas, what it has windows for");
    let context = FeatureContext::of(market);
    let columns: BarColumns = bars.iter().collect();
    for (name, times) in others["features"].as_object().unwrap() {
        let Ok(set) = FeatureSet::parse(std::slice::from_ref(name), &context) else {
            continue;
        };
        let nanos = operator_nanos(&set.features()[0], &columns);
        let mut shown = format!("{nanos:.1} ns");
        if let Some(time) = times["talib"].as_f64() {
            shown.push_str(&format!(", TA-Lib {:.1} x", time / nanos));
            talib.take(name, nanos, time);
        }
        if let Some(time) = times["pandas"].as_f64() {
            shown.push_str(&format!(", pandas {:.1} x", time / nanos));
            pandas.take(name, nanos, time);
            if !applied.contains(&name.as_str()) {
                built_in.take(name, nanos, time);
            }
        }
        lines.push((format!("  {name}"), shown));
    }
    for peer in [&talib, &pandas, &built_in] {
        lines.extend(peer.lines());
    }
    for (peer, key) in [(talib, "talib"), (built_in, "pandas")] {
        let Some(time) = others["matrix"][key].as_f64() else {
            continue;
        };
        let set = FeatureSet::parse(&peer.names, &context).unwrap();
        let seconds = best_of(3, || extract_symbol(&set, market, SymbolId(0), OPTIONS));
        let ratio = time / (seconds / bars.len() as f64 * 1e9);
        let what = format!("features as one f32 matrix, beside {}", peer.name);
        lines.push((what, format!("{ratio:.2} x")));
    }
    lines
}

/// Nanoseconds of one operator for each bar.
fn operator_nanos(feature: &Feature, columns: &BarColumns) -> f64 {
    let run = || {
        let mut operator = (feature.kind().operator)(feature.arguments());
        let mut values = vec![0.0; columns.len()];
        operator.update_all(columns.bars(), &mut values);
        values
    };
    // As often as the script runs the others.
    let began = Instant::now();
    let mut seconds = best_of(3, run);
    while began.elapsed().as_secs_f64() < 0.3 {
        seconds = seconds.min(best_of(1, run));
    }
    seconds / columns.len() as f64 * 1e9
}

/// Someone who has some of the features too, and the nanoseconds of both for each bar.
struct Peer {
    name: &'static str,
    names: Vec<String>,
    own: f64,
    time: f64,
    faster: usize,
}

impl Peer {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            names: Vec::new(),
            own: 0.0,
            time: 0.0,
            faster: 0,
        }
    }

    fn take(&mut self, name: &str, own: f64, time: f64) {
        self.names.push(name.to_owned());
        self.own += own;
        self.time += time;
        self.faster += usize::from(time >= own);
    }

    fn lines(&self) -> Option<(String, String)> {
        let what = format!("features on columns, beside {} on arrays", self.name);
        let (faster, all) = (self.faster, self.names.len());
        let ratio = self.time / self.own;
        (all > 0).then(|| (what, format!("{ratio:.2} x; {faster} of {all} as fast")))
    }
}

/// What the script measures; the reason where it cannot.
fn others(bars: &[Bar]) -> Result<Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("FUSEBOX_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    if !python.exists() {
        return Err("skipped: run `make reference`, or set FUSEBOX_PYTHON".to_owned());
    }
    let mut bytes = Vec::with_capacity(bars.len() * 40);
    let columns: [fn(&Bar) -> f64; 5] = [
        |bar| bar.open,
        |bar| bar.high,
        |bar| bar.low,
        |bar| bar.close,
        |bar| bar.volume,
    ];
    for column in columns {
        bytes.extend(bars.iter().flat_map(|bar| column(bar).to_le_bytes()));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let output = Command::new(python)
        .arg(root.join("tests/reference/bench_features.py"))
        .arg(file.path())
        .output()
        .map_err(|error| format!("skipped: {error}"))?;
    let told: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    told.ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("skipped: {}", words.lines().last().unwrap_or("no output"))
    })
}
