use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;

const DAY: i64 = 86_400_000_000_000;

fn days(count: usize) -> Vec<Timestamp> {
    (0..count)
        .map(|day| Timestamp::from_nanos(day as i64 * DAY))
        .collect()
}

fn history<'a>(times: &'a [Timestamp], equity: &'a [f64]) -> TradingHistory<'a> {
    TradingHistory {
        times,
        equity,
        benchmark: None,
        gross_exposure: &[],
        trades: &[],
        traded_notional: 0.0,
        steps_per_year: 365.0,
    }
}

#[test]
fn the_deepest_drawdown_knows_its_dates() {
    let times = days(8);
    let equity = [100.0, 110.0, 99.0, 121.0, 60.5, 90.0, 121.0, 120.0];
    let found = deepest_drawdown(&history(&times, &equity)).unwrap();
    assert!((found.depth - 0.5).abs() < 1e-12);
    assert_eq!((found.peak_at, found.trough_at), (times[3], times[4]));
    assert_eq!(
        (found.recovered_at, found.length_steps),
        (Some(times[6]), 3)
    );
    let open = deepest_drawdown(&history(&times[..6], &equity[..6])).unwrap();
    assert_eq!((open.recovered_at, open.length_steps), (None, 2));
    assert_eq!(deepest_drawdown(&history(&times[..2], &equity[..2])), None);
}

#[test]
fn the_longest_drawdown_need_not_be_the_deepest() {
    let times = days(9);
    // Three days below 110, half of 121 lost within two, one more to the end.
    let equity = [100.0, 110.0, 109.0, 108.0, 121.0, 60.5, 121.0, 130.0, 129.0];
    let of = |count: usize| longest_drawdown_nanos(&history(&times[..count], &equity[..count]));
    assert_eq!(of(9), Some(3 * DAY));
    assert_eq!(
        of(4),
        Some(2 * DAY),
        "a drawdown that has not ended counts to the end"
    );
    assert_eq!(of(2), None);
    assert_eq!(of(0), None);
}

#[test]
fn equal_returns_have_no_sharpe_ratio_and_no_interval() {
    // Each step adds exactly an eighth, so all returns are equal, and not exactly in their sums.
    let returns = [0.1; 10];
    assert_eq!(deviation(&returns, 1), Some(0.0));
    let times = days(12);
    let equity: Vec<f64> = (0..12)
        .map(|step| 8_f64.powi(11 - step) * 9_f64.powi(step))
        .collect();
    let rising = history(&times, &equity);
    assert!(
        rising
            .returns()
            .unwrap()
            .iter()
            .all(|change| (change - 0.125).abs() < f64::EPSILON)
    );
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let report = TradingReport::of(&rising, &TradingReportOptions::default(), &mut rng);
    assert_eq!(report.metrics["sharpe"], None);
    assert_eq!(report.metrics["annual_volatility"], Some(0.0));
    assert_eq!(
        (report.sharpe_interval, report.probabilistic_sharpe),
        (None, None)
    );
}

#[test]
fn ruin_leaves_ratios_undefined_and_the_loss_defined() {
    let times = days(4);
    let equity = [100.0, 50.0, 0.0, 0.0];
    let lost = history(&times, &equity);
    let value = |name: &str| {
        trading_metrics()
            .find(|metric| metric.name() == name)
            .unwrap()
            .value(&lost)
    };
    assert_eq!(value("total_return"), Some(-1.0));
    assert_eq!(value("annual_growth"), Some(-1.0));
    assert_eq!(value("max_drawdown"), Some(1.0));
    for name in [
        "sharpe",
        "sortino",
        "annual_volatility",
        "win_rate",
        "profit_factor",
    ] {
        assert_eq!(value(name), None, "{name}");
    }
}

#[test]
fn nothing_traded_gives_no_ratio() {
    let times = days(30);
    let equity = [1000.0; 30];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let flat = history(&times, &equity);
    let report = TradingReport::of(&flat, &TradingReportOptions::default(), &mut rng);
    assert_eq!(report.metrics["total_return"], Some(0.0));
    assert_eq!(report.metrics["max_drawdown"], Some(0.0));
    for name in ["sharpe", "sortino", "calmar", "average_trade", "exposure"] {
        assert_eq!(report.metrics[name], None, "{name}");
    }
    assert_eq!((report.drawdown, report.sharpe_interval), (None, None));
    assert_eq!(
        (report.probabilistic_sharpe, report.deflated_sharpe),
        (None, None)
    );
    let empty = history(&[], &[]);
    let report = TradingReport::of(&empty, &TradingReportOptions::default(), &mut rng);
    assert!(
        report.metrics.values().all(Option::is_none),
        "{:?}",
        report.metrics
    );
    assert!(report.monthly.is_empty());
}

#[test]
fn months_chain_to_the_total_return() {
    let times = days(100);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut equity = vec![100.0];
    while equity.len() < times.len() {
        let last = equity[equity.len() - 1];
        equity.push(last * (1.0 + 0.04 * (rng.random::<f64>() - 0.5)));
    }
    let told = monthly_returns(&history(&times, &equity));
    let names: Vec<(i16, i8)> = told.iter().map(|one| (one.year, one.month)).collect();
    // Day 90 ends at midnight of 1 April, so it belongs to March.
    assert_eq!(names, [(1970, 1), (1970, 2), (1970, 3), (1970, 4)]);
    let chained: f64 = told.iter().map(|one| 1.0 + one.change).product();
    assert!((chained - equity[99] / equity[0]).abs() < 1e-12);
    assert!((told[0].change - (equity[31] / equity[0] - 1.0)).abs() < 1e-12);
}

#[test]
fn the_difference_to_the_benchmark_is_told_from_chance() {
    let times = days(1500);
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (mut better, mut alike, mut benchmark) = (vec![1.0], vec![1.0], vec![1.0]);
    for _ in 1..times.len() {
        let market = 0.03 * (rng.random::<f64>() - 0.5);
        let noise = 0.01 * (rng.random::<f64>() - 0.5);
        for (curve, edge) in [(&mut better, 0.002), (&mut alike, 0.0)] {
            let last = curve[curve.len() - 1];
            curve.push(last * (1.0 + market + noise + edge));
        }
        benchmark.push(benchmark[benchmark.len() - 1] * (1.0 + market));
    }
    let mut excess = |equity: &[f64]| {
        let history = TradingHistory {
            benchmark: Some(&benchmark),
            ..history(&times, equity)
        };
        let report = TradingReport::of(&history, &TradingReportOptions::default(), &mut rng);
        report.excess_return_interval.unwrap()
    };
    let found = excess(&better);
    assert!(
        found.is_above_zero() && found.low < 0.73 && found.high > 0.73,
        "{found:?}"
    );
    assert!(excess(&alike).includes_zero());
}
