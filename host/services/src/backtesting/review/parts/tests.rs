//! Regimes and symbols of a worked example.

use fusebox_engine::backtest::attribute;
use fusebox_engine::types::Timestamp;

use super::*;

#[test]
fn moments_are_those_of_a_plain_series() {
    let mut found = Moments::default();
    for value in [0.01, -0.02, 0.03, 0.0] {
        found.add(value);
    }
    // Mean 0.005, squared distances 25 + 625 + 625 + 25 over 1e6, three degrees of freedom.
    let deviation = (1300e-6_f64 / 3.0).sqrt();
    let sharpe = found.sharpe(4.0).unwrap();
    assert!((sharpe - 0.005 / deviation * 2.0).abs() < 1e-12, "{sharpe}");
    assert_eq!(Moments::default().sharpe(1.0), None);
    let mut flat = Moments::default();
    (0..10).for_each(|_| flat.add(0.1));
    assert_eq!(flat.sharpe(1.0), None);
}

#[test]
fn windows_are_days_in_bars_and_never_too_short() {
    let hour = options("1h".parse().unwrap());
    assert_eq!((hour.volatility_bars, hour.trend_bars), (168, 720));
    let day = options("1d".parse().unwrap());
    assert_eq!((day.volatility_bars, day.trend_bars), (20, 30));
}

#[test]
fn every_regime_has_one_row_of_each_group() {
    let all = Kind::all();
    assert_eq!(all.len(), 13);
    let regime = Regime {
        volatility: Some(VolatilityRegime::Wild),
        trend: Some(TrendRegime::Down),
    };
    let holds = all.iter().filter(|kind| kind.holds(regime));
    let words: Vec<(&str, String)> = holds.map(|kind| kind.words()).collect();
    assert_eq!(
        words,
        [
            ("volatility", "wild".to_owned()),
            ("trend", "down".to_owned()),
            ("both", "wild, down".to_owned())
        ]
    );
    let unknown = all.iter().filter(|kind| kind.holds(Regime::default()));
    assert_eq!(unknown.count(), 2);
}

/// The step's own bar never decides where its profit is counted: when only the last bar changes,
/// only amounts change, not the bars of any kind of market.
#[test]
fn a_bar_does_not_decide_its_own_regime() {
    use super::super::tests::config;
    use fusebox_engine::backtest::buy_and_hold;
    use fusebox_engine::types::{Bar, BarSeries};
    let market = |last: f64| {
        let bar = |hour: i64| {
            let close = match hour {
                400 => last,
                hour => 100.0 + (hour as f64 / 9.0).sin() * (1.0 + (hour % 70) as f64 / 20.0),
            };
            Bar {
                opened_at: Timestamp::from_nanos((hour - 1) * 86_400_000_000_000),
                closed_at: Timestamp::from_nanos(hour * 86_400_000_000_000),
                open: close,
                high: close,
                low: close,
                close,
                volume: 1e6,
                quote_volume: None,
                trades: None,
                taker_buy_volume: None,
            }
        };
        let series = BarSeries {
            name: "A".to_owned(),
            time_frame: "1d".parse().unwrap(),
            bars: (1..=400).map(bar).collect(),
        };
        Market::new(vec![series]).unwrap()
    };
    let bars = |last: f64| {
        let (market, config) = (market(last), config());
        let result = buy_and_hold(&market, &config, None).unwrap();
        let mut parts = Parts::new(&market, &result);
        attribute(&market, &config, &result, &mut |step| parts.see(step)).unwrap();
        let rows = parts.regimes(&result).rows;
        let bars: Vec<(String, u64)> = rows
            .iter()
            .map(|row| (row.regime.clone(), row.bars))
            .collect();
        let profit: f64 = rows.iter().map(|row| row.contribution).sum();
        (bars, profit)
    };
    let (calm, wild) = (bars(100.0), bars(300.0));
    assert_eq!(calm.0, wild.0);
    assert!(calm.0.len() > 8, "{:?}", calm.0);
    assert!(wild.1 > calm.1 + 1.0);
}
