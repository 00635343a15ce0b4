use super::*;
use crate::data::{ValidateOptions, validate_file};

fn config() -> SimulatedConfig {
    SimulatedConfig::default()
}

fn simulated(config: SimulatedConfig) -> Vec<BarSeries> {
    Simulated::new(config).unwrap().series()
}

fn request(symbols: &[&str], time_frame: &str) -> DataRequest {
    DataRequest {
        dir: "not/read".into(),
        exchange: String::new(),
        symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
        time_frame: time_frame.parse().unwrap(),
        from: None,
        to: None,
    }
}

/// A config without gaps, so that bars can be paired by position.
fn gapless(seed: u64, signal_ic: f64) -> SimulatedConfig {
    SimulatedConfig {
        seed,
        signal_ic,
        gap_probability: 0.0,
        outage_bars: 0,
        ..config()
    }
}

fn log_closes(series: &BarSeries) -> Vec<f64> {
    series.bars.iter().map(|bar| bar.close.ln()).collect()
}

fn log_returns(series: &BarSeries) -> Vec<f64> {
    let closes = log_closes(series);
    closes.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The taker-buy imbalance in the process's own standard units.
fn imbalance(series: &BarSeries) -> Vec<f64> {
    let share = |bar: &Bar| bar.taker_buy_volume.unwrap() / bar.volume;
    series
        .bars
        .iter()
        .map(|bar| (share(bar) - 0.5) / 0.1)
        .collect()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let count = a.len().min(b.len());
    let (a, b) = (&a[..count], &b[..count]);
    let mean = |of: &[f64]| of.iter().sum::<f64>() / count as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| {
        x.iter()
            .zip(y)
            .map(|(x, y)| (x - mean_x) * (y - mean_y))
            .sum::<f64>()
    };
    let squares = products(a, mean_a, a, mean_a) * products(b, mean_b, b, mean_b);
    products(a, mean_a, b, mean_b) / squares.sqrt()
}

/// The best linear estimate of the leader's signal from the imbalance alone, by the bar's end.
fn leader_estimate(config: &SimulatedConfig, series: &BarSeries) -> Vec<f64> {
    let shape = config.signal_shape(0);
    let gain = shape.filter().gain;
    let mut estimate = 0.0;
    let next = |x: &f64| {
        let expected = shape.persistence * estimate;
        estimate = expected + gain * (x - shape.visibility * expected);
        estimate
    };
    imbalance(series).iter().map(next).collect()
}

/// Correlation of a predictor with the log return of the next `horizon` bars.
fn realised_ic(predictor: &[f64], series: &BarSeries, horizon: usize) -> f64 {
    let closes = log_closes(series);
    let later: Vec<f64> = closes
        .windows(horizon + 1)
        .map(|w| w[horizon] - w[0])
        .collect();
    correlation(predictor, &later)
}

#[test]
fn the_default_config_is_what_an_empty_section_gives() {
    let empty: SimulatedConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, config());
    assert_eq!(config().problems(), Vec::<String>::new());
    let text = serde_json::to_string(&config()).unwrap();
    assert!(text.contains(r#""from":"2022-01-01T00:00:00Z","to":"2026-01-01T00:00:00Z""#));
    assert_eq!(
        serde_json::from_str::<SimulatedConfig>(&text).unwrap(),
        config()
    );
    let unknown = serde_json::from_str::<SimulatedConfig>(r#"{"sed": 1}"#).unwrap_err();
    assert!(
        unknown.to_string().contains("unknown field `sed`"),
        "{unknown}"
    );
}

#[test]
fn every_problem_of_a_config_is_told_at_once() {
    let bad = SimulatedConfig {
        symbols: vec!["A".to_owned(), "A".to_owned(), "../B".to_owned()],
        start_prices: vec![1.0],
        annual_volatility: f64::NAN,
        correlation: 1.5,
        tail_degrees_of_freedom: 2,
        to: config().from,
        ..config()
    };
    let DataError::Simulation(problems) = Simulated::new(bad).unwrap_err() else {
        panic!("another error");
    };
    let text = problems.join("\n");
    for part in [
        "`symbols` has A twice",
        "`../B` cannot be a symbol",
        "`start_prices` has 1",
        "`annual_volatility` is NaN",
        "`correlation` is 1.5",
        "`tail_degrees_of_freedom` is 2",
        "leave no room for a bar",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_strength_that_no_drift_gives_names_the_largest_one() {
    let too_strong = SimulatedConfig {
        signal_ic: 0.95,
        ..config()
    };
    let error = Simulated::new(too_strong).unwrap_err().to_string();
    assert!(
        error.contains("`signal_ic` is 0.95") && error.contains("allow at most 0."),
        "{error}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bars_on_every_machine() {
    let short = |seed| SimulatedConfig {
        seed,
        to: "2022-03-01".parse().unwrap(),
        ..config()
    };
    let digest = |seed| {
        let series = simulated(short(seed));
        let records: Vec<String> = series
            .iter()
            .map(|one| record(one).unwrap().sha256)
            .collect();
        records
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
    // Pinned: another value on another machine or version is a change of every simulated result.
    assert_eq!(
        digest(1)[0],
        "d473ca744c5bd217dab83090853bb170b56bc746a2eee14ec9fd307ebeb9e570"
    );
    assert_eq!(
        digest(1)[2],
        "2cad35987024750f583c0a3f1567201f9a6abf9a3a21810651ab4c6c0d0feff7"
    );
}

#[test]
fn the_bars_are_sound_and_lie_on_ticks() {
    let dir = tempfile::tempdir().unwrap();
    for series in simulated(config()) {
        let path = dir
            .path()
            .join(crate::data::file_name(&series.name, series.time_frame));
        parquet::write(&path, &series).unwrap();
        let report = validate_file(&path, &ValidateOptions::default());
        assert!(report.is_usable(), "{:#?}", report.problems);
        let codes: Vec<&str> = report.warnings().map(|one| one.code).collect();
        let allowed = |code: &&str| ["gap", "possible_bad_print"].contains(code);
        assert!(codes.iter().all(allowed), "{:#?}", report.problems);
        let gaps = report.gaps.unwrap();
        assert!((5..=20).contains(&gaps.count), "{gaps:?}");
        assert!(gaps.longest[0].missing >= 6, "{gaps:?}");
        assert_eq!(report.rows + gaps.missing, 35_064);
    }
}

#[test]
fn returns_have_the_stated_moments_fat_tails_and_clusters() {
    let config = gapless(3, 0.12);
    let all = simulated(config.clone());
    let returns: Vec<Vec<f64>> = all.iter().map(log_returns).collect();
    for one in &returns {
        let count = one.len() as f64;
        let variance = one.iter().map(|r| r * r).sum::<f64>() / count;
        let annual = (variance * 8760.0).sqrt();
        assert!(
            (annual / config.annual_volatility - 1.0).abs() < 0.12,
            "{annual}"
        );
        let kurtosis = one.iter().map(|r| r.powi(4)).sum::<f64>() / count / variance / variance;
        assert!(kurtosis > 5.0, "{kurtosis}");
        let sizes: Vec<f64> = one.iter().map(|r| r.abs()).collect();
        let clustering = correlation(&sizes, &sizes[24..]);
        assert!(clustering > 0.05, "{clustering}");
    }
    let together = correlation(&returns[0], &returns[1]);
    assert!((together - config.correlation).abs() < 0.12, "{together}");
}

#[test]
fn the_day_has_a_pattern() {
    let all = simulated(gapless(4, 0.0));
    let mut by_hour = [0.0; 24];
    for (at, one) in log_returns(&all[0]).iter().enumerate() {
        by_hour[(at + 1) % 24] += one.abs();
    }
    assert!(by_hour[15] > 1.3 * by_hour[3], "{by_hour:?}");
}

#[test]
fn the_realised_strength_lies_near_the_stated_one() {
    const SEEDS: u64 = 8;
    for stated in [0.12, 0.25] {
        let mut sum = 0.0;
        for seed in 0..SEEDS {
            let config = gapless(seed, stated);
            let leader = &simulated(config.clone())[0];
            let horizon = config.signal_horizon_bars as usize;
            sum += realised_ic(&leader_estimate(&config, leader), leader, horizon);
        }
        let realised = sum / SEEDS as f64;
        println!("stated {stated}, realised {realised}");
        // One seed's standard error is about sqrt(12 / 35,000) = 0.0185, the mean's 0.0065.
        assert!(
            (realised - stated).abs() < 0.02,
            "{realised} instead of {stated}"
        );
    }
}

#[test]
fn followers_follow_the_leader_and_their_own_imbalance() {
    let config = gapless(5, 0.25);
    let all = simulated(config.clone());
    let persistence = config.persistence();
    let mut momentum = 0.0;
    let lead = |one: &f64| {
        momentum = persistence * momentum + one;
        momentum
    };
    let momentum: Vec<f64> = log_returns(&all[0]).iter().map(lead).collect();
    for follower in &all[1..] {
        // The momentum at position t includes the return of bar t + 1.
        let later: Vec<f64> = log_returns(follower).split_off(1);
        let error = 1.0 / (later.len() as f64).sqrt();
        assert!(correlation(&momentum, &later) > 5.0 * error);
        let own = correlation(&imbalance(follower), &log_returns(follower));
        assert!(own > 5.0 * error, "{own}");
    }
}

#[test]
fn without_a_signal_nothing_predicts_the_next_return() {
    for seed in 10..13 {
        let all = simulated(gapless(seed, 0.0));
        let leader = log_returns(&all[0]);
        for series in &all {
            let next = log_returns(series);
            let error = 1.0 / (next.len() as f64).sqrt();
            let volumes: Vec<f64> = series.bars.iter().map(|bar| bar.volume.ln()).collect();
            let close_in_range: Vec<f64> = series
                .bars
                .iter()
                .map(|bar| (bar.close - bar.low) / (bar.high - bar.low).max(1e-12))
                .collect();
            let predictors = [
                ("imbalance", imbalance(series), &next[..]),
                ("volume", volumes, &next[..]),
                ("close in range", close_in_range, &next[..]),
                ("own return", next.clone(), &next[1..]),
                ("leader's return", leader.clone(), &next[1..]),
            ];
            for (name, predictor, later) in predictors {
                let found = correlation(&predictor, later);
                // Heavy tails and clusters widen the error beyond that of independent normals.
                assert!(
                    found.abs() < 5.0 * error,
                    "{name} of {}: {found}",
                    series.name
                );
            }
        }
    }
}

#[test]
fn gaps_take_bars_out_and_change_none() {
    let whole = simulated(gapless(1, 0.12));
    let holed = simulated(config());
    for (whole, holed) in whole.iter().zip(&holed) {
        assert!(holed.bars.len() < whole.bars.len());
        let kept = whole.bars.iter().filter(|bar| {
            let found = holed
                .bars
                .binary_search_by_key(&bar.opened_at, |one| one.opened_at);
            found.is_ok_and(|at| holed.bars[at] == **bar)
        });
        assert_eq!(kept.count(), holed.bars.len());
    }
}

#[test]
fn a_request_takes_symbols_range_and_coarser_bars() {
    let source = Simulated::new(config()).unwrap();
    let all = source.load(&request(&[], "1h")).unwrap();
    assert_eq!(all.market.series().len(), 3);
    assert_eq!(all.files[0].path, "simulated:BTCUSDT");
    let origin = Origin::Simulated {
        seed: 1,
        signal_ic: 0.12,
        signal_horizon_bars: 12,
    };
    assert_eq!(all.origin, origin);
    let mut part = request(&["XRPUSDT", "BTCUSDT"], "1h");
    part.from = "2023-01-01".parse().ok();
    part.to = "2023-02-01".parse().ok();
    let loaded = source.load(&part).unwrap();
    let names: Vec<&str> = loaded.market.names().collect();
    assert_eq!(names, ["XRPUSDT", "BTCUSDT"]);
    let first = loaded.market.series()[1].bars[0];
    assert_eq!(Some(first.opened_at), part.from);
    assert!(all.market.series()[0].bars.contains(&first));
    part.time_frame = "4h".parse().unwrap();
    let coarse = source.load(&part).unwrap();
    let count = coarse.market.series()[1].bars.len();
    assert!((170..=186).contains(&count), "{count}");
    assert!(coarse.warnings[0].contains("4h bars are made of 1h bars"));
}

#[test]
fn a_request_for_what_is_not_there_is_an_error() {
    let source = Simulated::new(config()).unwrap();
    let error = source
        .load(&request(&["DOGE", "BTCUSDT"], "1h"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("DOGE not found") && error.contains("BTCUSDT, ETHUSDT"),
        "{error}"
    );
    let error = source.load(&request(&[], "90m")).unwrap_err().to_string();
    assert!(error.contains("cannot be made of 1h bars"), "{error}");
    let mut early = request(&["BTCUSDT"], "1h");
    early.to = "2021-01-01".parse().ok();
    let error = source.load(&early).unwrap_err().to_string();
    assert!(
        error.contains("before 2021-01-01") && error.contains("rows from 2022"),
        "{error}"
    );
}
