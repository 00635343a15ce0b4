//! Backtests of histories that are read in parts: the same as of whole ones, in memory that does
//! not grow with their length.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;

use fusebox_engine::execution::{ExecutionConfig, SymbolConfig};
use fusebox_engine::fusion::FusionConfig;
use fusebox_engine::portfolio::PortfolioConfig;
use fusebox_engine::risk::RiskConfig;
use fusebox_engine::session::SessionConfig;
use fusebox_engine::strategy::{EntryOrder, FailSafe, Protection, StrategyConfig};
use fusebox_engine::types::{BarSeries, Market};
use fusebox_services::backtesting::{
    PredictionStream, backtest, read_predictions, stream_backtest,
};
use fusebox_services::data::{
    DataRequest, MarketStream, Simulated, SimulatedConfig, load_market, parquet,
};

fn config() -> SessionConfig {
    SessionConfig {
        strategy: StrategyConfig {
            entry_threshold: 0.2,
            exit_threshold: 0.0,
            minimum_holding_bars: 2,
            minimum_confidence: None,
            allow_short: true,
            fail_safe: FailSafe::Flatten,
            entry: EntryOrder::Market,
            protection: Protection {
                stop_loss: Some(0.02),
                ..Protection::default()
            },
        },
        fusion: FusionConfig::default(),
        risk: RiskConfig {
            position_fraction: Some(0.3),
            max_symbol_weight: Some(0.5),
            max_gross_exposure: Some(1.0),
            max_order_notional: Some(1e9),
            max_drawdown: Some(0.9),
            max_data_age_bars: Some(0),
            ..RiskConfig::default()
        },
        execution: ExecutionConfig {
            lot_size: 1e-5,
            tick_size: 0.01,
            order_expiry_bars: 2,
            ..ExecutionConfig::costing(10.0, 2.0)
        },
        portfolio: PortfolioConfig {
            allow_short: true,
            margin: None,
            ..PortfolioConfig::with_cash(1e6)
        },
    }
}

/// Two symbols of which the second begins late, has gaps and ends early, in a data directory.
fn directory(dir: &Path) -> DataRequest {
    let simulated = SimulatedConfig {
        symbols: vec!["AAAUSDT".to_owned(), "BBBUSDT".to_owned()],
        time_frame: "1m".parse().unwrap(),
        from: "2022-01-01".parse().unwrap(),
        to: "2022-02-01".parse().unwrap(),
        ..SimulatedConfig::default()
    };
    let mut series = Simulated::new(simulated).unwrap().series();
    let bars = std::mem::take(&mut series[1].bars);
    let kept = bars
        .into_iter()
        .enumerate()
        .filter(|(number, _)| (5_000..41_000).contains(number) && number % 500 > 20);
    series[1].bars = kept.map(|(_, bar)| bar).collect();
    let place = dir.join("VENUE");
    fs::create_dir_all(&place).unwrap();
    for one in &series {
        parquet::write(&place.join(format!("{}-1m.parquet", one.name)), one).unwrap();
    }
    DataRequest {
        dir: dir.to_owned(),
        exchange: "VENUE".to_owned(),
        symbols: series.into_iter().map(|one| one.name).collect(),
        time_frame: "1m".parse().unwrap(),
        from: None,
        to: None,
    }
}

/// Predictions that wander, of two folds, the second symbol first.
fn predictions(path: &Path, market: &Market) {
    let mut text = String::from("closed_at,symbol,fold,p_down,p_flat,p_up\n");
    for (number, (at, bars)) in market.steps().enumerate().skip(900).take(38_000) {
        for (name, bar) in market
            .names()
            .zip(bars)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            let wave = (number as f64 * 0.013 + name.len() as f64).sin() * 0.4;
            if bar.is_some() && number % 7 != 0 {
                text.push_str(&format!(
                    "{at},{name},{},{:.4},0.1,{:.4}\n",
                    1 + number / 20_000,
                    0.45 - wave / 2.0,
                    0.45 + wave / 2.0,
                ));
            }
        }
    }
    fs::write(path, text).unwrap();
}

#[test]
fn a_stream_gives_the_bars_that_loading_gives() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = directory(dir.path());
    for range in [
        (None, None),
        (Some("2022-01-03"), Some("2022-01-29T07:11:00Z")),
    ] {
        request.from = range.0.map(|text| text.parse().unwrap());
        request.to = range.1.map(|text| text.parse().unwrap());
        let whole = load_market(&request).unwrap().market;
        let mut stream = MarketStream::open(&request).unwrap();
        let mut parts: Vec<BarSeries> = whole.series().to_vec();
        parts.iter_mut().for_each(|series| series.bars.clear());
        let mut blocks = 0;
        while let Some(block) = stream.next_block().unwrap() {
            blocks += 1;
            for (part, series) in parts.iter_mut().zip(block.series()) {
                part.bars.extend_from_slice(&series.bars);
            }
        }
        assert!(blocks > 2, "{blocks}");
        assert_eq!(parts, whole.series());
    }
    request.time_frame = "1h".parse().unwrap();
    let error = MarketStream::open(&request).unwrap_err().to_string();
    assert!(error.contains("load it whole"), "{error}");
}

#[test]
fn a_streamed_backtest_is_the_one_in_memory_to_the_journal_s_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    let request = directory(dir.path());
    let market = load_market(&request).unwrap().market;
    let file = dir.path().join("predictions.csv");
    predictions(&file, &market);
    let config = config();
    let [whole, parts] = ["whole.jsonl", "parts.jsonl"].map(|name| dir.path().join(name));
    let mut signals = read_predictions(&file, "wave", &market).unwrap();
    let expected = backtest(&market, (&config, "d"), &mut signals, Some(&whole)).unwrap();
    let mut signals = PredictionStream::open(&file, "wave", &request.symbols).unwrap();
    let found = stream_backtest(&request, (&config, "d"), &mut signals, Some(&parts)).unwrap();
    assert!(expected.fills.len() > 100, "{}", expected.fills.len());
    assert_eq!(fs::read(&whole).unwrap(), fs::read(&parts).unwrap());
    assert_eq!(found.journal_digest, expected.journal_digest);
    assert_eq!(found.final_equity, expected.final_equity());
    assert_eq!(found.costs, expected.costs);
    assert_eq!(found.steps, expected.equity.len() as u64);
    assert_eq!(found.trades, expected.trades.len() as u64);
    assert_eq!(found.refusals, expected.refusals);
}

#[test]
fn predictions_that_cannot_be_streamed_say_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.csv");
    let text = "closed_at,symbol,p_down,p_flat,p_up\n\
                2022-01-01T01:00:00Z,A,0.1,0.1,0.8\n\
                2022-01-01T00:30:00Z,A,0.1,0.1,0.8\n\
                2022-01-01T02:00:00Z,B,0.1,0.1,0.8\n\
                2022-01-01T03:00:00Z,A,0.1,0.1,0.8\n\
                2022-01-01T03:00:00Z,A,0.1,0.1,0.8\n";
    fs::write(&file, text).unwrap();
    let error = PredictionStream::open(&file, "p", &["A".to_owned()])
        .unwrap_err()
        .to_string();
    for part in [
        "line 3: it is of",
        "sort the file",
        "line 4: there is no symbol `B`",
        "line 6",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // A prediction of a moment at which no bar closes could never be acted on.
    let request = directory(dir.path());
    fs::write(
        &file,
        "closed_at,symbol,p_down,p_flat,p_up\n2022-01-03T00:00:30Z,AAAUSDT,0.1,0.1,0.8\n\
         2022-01-03T00:02:00Z,AAAUSDT,0.1,0.1,0.8\n",
    )
    .unwrap();
    let mut signals = PredictionStream::open(&file, "p", &request.symbols).unwrap();
    let error = stream_backtest(&request, (&config(), ""), &mut signals, None).unwrap_err();
    assert!(error.to_string().contains("no bar closes at"), "{error}");
}

/// A lot above the account, a tick above the price, and what is wrong beside them: told before the
/// first step, in the words of the backtest in memory.
#[test]
fn lots_and_ticks_that_cannot_be_traded_are_refused_as_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let request = directory(dir.path());
    let market = load_market(&request).unwrap().market;
    let file = dir.path().join("predictions.csv");
    predictions(&file, &market);
    let journal = dir.path().join("parts.jsonl");
    let own = |lot_size: Option<f64>, tick_size: Option<f64>| SymbolConfig {
        lot_size,
        tick_size,
        ..SymbolConfig::default()
    };
    for (all, late, parts) in [
        (own(None, None), own(Some(1e9), None), &["lot_size"][..]),
        (own(None, None), own(None, Some(1e9)), &["tick_size"]),
        (
            own(Some(1e9), None),
            own(None, Some(1e9)),
            &["lot_size", "tick_size"],
        ),
    ] {
        let mut config = config();
        config.execution.symbols.insert("AAAUSDT".to_owned(), all);
        config.execution.symbols.insert("BBBUSDT".to_owned(), late);
        config.strategy.entry_threshold = 2.0;
        let mut signals = read_predictions(&file, "wave", &market).unwrap();
        let whole = backtest(&market, (&config, "d"), &mut signals, None).unwrap_err();
        let mut signals = PredictionStream::open(&file, "wave", &request.symbols).unwrap();
        let found = stream_backtest(&request, (&config, "d"), &mut signals, Some(&journal));
        let told = found.unwrap_err().to_string();
        assert_eq!(told, whole.to_string());
        for part in parts.iter().chain(&["entry_threshold"]) {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let left = fs::read_dir(dir.path()).unwrap();
    let left = left.filter(|one| {
        let name = one.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("parts")
    });
    assert_eq!(left.count(), 0, "no journal is begun");
}
