//! A made-up but coherent [`ReportData`] for tests: two years of hourly equity, nine folds, forty
//! features, thousands of trades. Its numbers mean nothing.

mod analysis;

use fusebox_engine::types::Timestamp;

use self::analysis as sample_analysis;
pub(crate) use self::analysis::{backtest, comparison};
use super::data::*;

const HOUR_NS: i64 = 3_600_000_000_000;
const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "XRPUSDT"];

/// A small linear congruential generator: the sample must not change when a library does.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.uniform() * end as f64) as u64
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn estimate(value: f64, low: f64, high: f64) -> Estimate {
    Estimate {
        value: Some(value),
        interval: Some(Interval {
            low,
            high,
            level: 0.95,
        }),
    }
}

fn interval(low: f64, high: f64) -> Option<Interval> {
    Some(Interval {
        low,
        high,
        level: 0.95,
    })
}

fn digest(seed: u64) -> String {
    let mut random = Random(seed);
    (0..64)
        .map(|_| char::from_digit(random.below(16) as u32, 16).unwrap())
        .collect()
}

/// The sample.
pub(crate) fn report() -> ReportData {
    let mut random = Random(7);
    let folds: Vec<FoldRow> = (0..9).map(|fold| fold_row(fold, &mut random)).collect();
    let features = features(folds.len(), &mut random);
    ReportData {
        title: "Direction 1h, LightGBM".to_owned(),
        market: MarketSummary {
            source: DataSource::Simulated {
                signal_ic: 0.05,
                horizon_bars: 12,
                seed: 7,
            },
            exchange: Some("BINANCE".to_owned()),
            symbols: SYMBOLS.map(str::to_owned).to_vec(),
            time_frame: "1h".parse().unwrap(),
            first_opened_at: at("2022-01-01"),
            last_closed_at: at("2026-01-01"),
            bars: 105_189,
            missing_bars: 3,
            warnings: vec![
                "BTCUSDT-1h: 1 gap, 1 missing candle (0.003 %), longest 1 candle".to_owned(),
            ],
        },
        quality: Quality::Classification(Box::new(classification(&mut random))),
        folds,
        features,
        labels: labels(),
        trading: trading(&mut random),
        paths: Vec::new(),
        reproducibility: reproducibility(),
    }
}

fn fold_row(fold: i16, random: &mut Random) -> FoldRow {
    let month = |offset: i16| {
        let months = fold * 3 + offset;
        at(&format!("{}-{:02}-01", 2022 + months / 12, months % 12 + 1))
    };
    let period = |from, to| Period {
        from: month(from),
        to: month(to),
    };
    let majority = 0.36 + random.uniform() * 0.03;
    let difference = 0.018 + random.normal() * 0.012;
    FoldRow {
        fold: fold as u32 + 1,
        train: period(0, 18),
        valid: period(18, 20),
        test: period(20, 23),
        test_parts: vec![period(20, 23)],
        train_rows: 39_200 + random.below(200),
        valid_rows: 4_300 + random.below(60),
        test_rows: 6_552,
        purged_rows: 140 + random.below(9),
        embargoed_rows: 72,
        best_iteration: Some(20 + random.below(180)),
        accuracy: Some(majority + difference),
        majority_accuracy: Some(majority),
        accuracy_difference: estimate(difference, difference - 0.018, difference + 0.018),
        log_loss: Some(1.075 + random.normal() * 0.004),
        errors: None,
        matthews_correlation: Some(0.04 + random.normal() * 0.01),
        information_coefficient: Some(0.045 + random.normal() * 0.02),
        sharpe_ratio: (fold != 4).then(|| 0.6 + random.normal()),
    }
}

fn classification(random: &mut Random) -> Classification {
    let names = ["down", "flat", "up"];
    let confusion = vec![
        vec![7_812, 4_310, 8_044],
        vec![5_511, 6_020, 5_702],
        vec![7_301, 4_505, 9_763],
    ];
    let total: u64 = confusion.iter().flatten().sum();
    let right: u64 = (0..3).map(|class| confusion[class][class]).sum();
    let accuracy = right as f64 / total as f64;
    let per_class = (0..3).map(|class| {
        let support: u64 = confusion[class].iter().sum();
        let predicted: u64 = confusion.iter().map(|row| row[class]).sum();
        let hit = confusion[class][class] as f64;
        let (precision, recall) = (hit / predicted as f64, hit / support as f64);
        ClassMetrics {
            class: names[class].to_owned(),
            support,
            predicted,
            precision: Some(precision),
            recall: Some(recall),
            f1: Some(2.0 * precision * recall / (precision + recall)),
            roc_auc: Some(0.54 + class as f64 * 0.01),
        }
    });
    Classification {
        class_names: names.map(str::to_owned).to_vec(),
        period: Period {
            from: at("2023-09-01T01:00:00Z"),
            to: at("2025-12-01"),
        },
        predictions: total + 36,
        scored_predictions: total,
        accuracy: estimate(accuracy, accuracy - 0.006, accuracy + 0.006),
        majority_accuracy: Some(accuracy - 0.018),
        accuracy_difference: estimate(0.018, 0.012, 0.024),
        best_constant_accuracy: Some(accuracy - 0.017),
        balanced_accuracy: Some(0.388),
        macro_f1: Some(0.386),
        matthews_correlation: Some(0.081),
        log_loss: Some(1.0751),
        baseline_log_loss: Some(1.0902),
        brier_score: Some(0.651),
        expected_calibration_error: Some(0.014),
        information_coefficient: estimate(0.047, 0.031, 0.062),
        rank_information_coefficient: estimate(0.041, 0.027, 0.056),
        directional_accuracy: estimate(0.517, 0.509, 0.525),
        best_constant_direction: Some(0.506),
        per_class: per_class.collect(),
        confusion,
        calibration: names.map(|name| calibration(name, random)).to_vec(),
        score_buckets: (1..=10)
            .map(|bucket| ScoreBucket {
                bucket,
                rows: 5_896,
                mean_score: Some((f64::from(bucket) - 5.5) * 0.05),
                mean_forward_return: Some((f64::from(bucket) - 5.3) * 2.2e-4),
                standard_error: Some(2.6e-4),
            })
            .collect(),
        forward_return_bars: 24,
    }
}

fn calibration(class: &str, random: &mut Random) -> CalibrationCurve {
    let expected_calibration_error = Some(0.012 + random.uniform() * 0.01);
    let bins = (0..10).map(|bin| {
        let lower = f64::from(bin) / 10.0;
        let rows = match bin {
            1..=6 => (9_000.0 * (-(f64::from(bin) - 3.2).powi(2) / 1.5).exp()) as u64 + 20,
            _ => 0,
        };
        let mean = lower + 0.04 + random.uniform() * 0.02;
        let observed = mean + random.normal() * 0.3 / (rows.max(1) as f64).sqrt();
        CalibrationBin {
            lower,
            upper: lower + 0.1,
            rows,
            mean_probability: (rows > 0).then_some(mean),
            observed_frequency: (rows > 0).then(|| observed.clamp(0.0, 1.0)),
        }
    });
    CalibrationCurve {
        class: class.to_owned(),
        expected_calibration_error,
        bins: bins.collect(),
    }
}

fn features(folds: usize, random: &mut Random) -> Vec<FeatureImportance> {
    let names = (0..40).map(|index| match index % 5 {
        0 => format!("log_return({})", 1 << (index / 5)),
        1 => format!("rsi({})@4h", 7 + index),
        2 => format!("log_return({})#BTCUSDT", 1 + index),
        3 => format!("taker_buy_imbalance({})", 6 + index),
        _ => format!("realised_volatility({})", 12 + index),
    });
    let mut features: Vec<FeatureImportance> = names
        .enumerate()
        .map(|(index, feature)| {
            let level = (-(index as f64) / 12.0).exp();
            FeatureImportance {
                feature,
                gain_share_by_fold: (0..folds)
                    .map(|_| level * (0.6 + 0.8 * random.uniform()))
                    .collect(),
            }
        })
        .collect();
    for fold in 0..folds {
        let total: f64 = features
            .iter()
            .map(|one| one.gain_share_by_fold[fold])
            .sum();
        for feature in &mut features {
            feature.gain_share_by_fold[fold] /= total;
        }
    }
    features
}

fn labels() -> LabelReport {
    let counts = |pairs: &[(&str, u64)]| {
        let counts = pairs.iter().map(|(name, rows)| ClassCount {
            name: (*name).to_owned(),
            rows: *rows,
        });
        counts.collect()
    };
    LabelReport {
        description: "triple barrier, 24 bars, 1.5 sigma up, 1.5 sigma down".to_owned(),
        labelled_rows: 104_211,
        unlabelled_rows: 978,
        ambiguous_rows: 412,
        balance: counts(&[("down", 37_211), ("flat", 28_904), ("up", 38_096)]),
        reasons: counts(&[
            ("upper", 38_096),
            ("lower", 37_211),
            ("vertical", 28_492),
            ("ambiguous", 412),
        ]),
        horizon: (0..12)
            .map(|bucket: u32| HorizonBucket {
                from_bars: bucket * 2 + 1,
                to_bars: bucket * 2 + 2,
                rows: 9_500 - u64::from(bucket) * 400 + u64::from(bucket == 11) * 27_000,
            })
            .collect(),
        mean_horizon_bars: Some(14.2),
        mean_uniqueness: Some(0.118),
        event_rows: 105_189,
        effective_rows: 12_296.9,
        mean_concurrency: Some(14.2),
        largest_concurrency: 24,
        autocorrelation: [(1, 0.91), (8, 0.55), (24, 0.06), (48, -0.01)]
            .map(|(lag_bars, value)| LagCorrelation {
                lag_bars,
                value: Some(value),
            })
            .to_vec(),
    }
}

const HOURS: i64 = 19_728;

fn curve(start: Timestamp, random: &mut Random) -> Vec<CurvePoint> {
    let (mut strategy, mut hold) = (100_000.0, 100_000.0);
    let mut exposure = 0.0;
    (0..HOURS)
        .map(|hour| {
            let shock = random.normal() * 0.0055;
            if random.uniform() < 0.03 {
                exposure = random.below(4) as f64 / 3.0;
            }
            hold *= 1.0 + shock + 4e-5;
            strategy *= 1.0 + (shock + 2.5e-5) * exposure * 0.8 + random.normal() * 3e-4;
            CurvePoint {
                closed_at: start.saturating_add_nanos(hour * HOUR_NS),
                strategy_equity: strategy,
                buy_and_hold_equity: hold,
                gross_exposure: exposure,
                net_exposure: exposure * (hour as f64 / 700.0).sin(),
                turnover: exposure * 0.02,
                rolling_turnover: (hour >= 2_160).then_some(30.0 + exposure * 20.0),
                rolling_sharpe_ratio: (hour >= 2_160)
                    .then(|| 0.7 + 1.8 * (hour as f64 / 2_600.0).sin()),
                buy_and_hold_rolling_sharpe_ratio: (hour >= 2_160)
                    .then(|| 0.9 + 1.4 * (hour as f64 / 3_100.0).cos()),
            }
        })
        .collect()
}

fn trading(random: &mut Random) -> Trading {
    let start = at("2023-09-01T01:00:00Z");
    let curve = curve(start, random);
    let last = curve[curve.len() - 1];
    let (strategy, hold) = (last.strategy_equity, last.buy_and_hold_equity);
    let trades: Vec<TradeRow> = (0..2_613)
        .map(|number| trade(number, start, random))
        .collect();
    let costs = costs_of(trades.iter());
    Trading {
        balances: Vec::new(),
        currency: "USDT".to_owned(),
        initial_cash: 100_000.0,
        period: Period {
            from: start,
            to: start.saturating_add_nanos(HOURS * HOUR_NS),
        },
        strategy: performance(strategy, estimate(0.71, -0.42, 1.83)),
        buy_and_hold: Performance {
            trades: Some(3),
            win_rate: None,
            profit_factor: None,
            ..performance(hold, estimate(0.92, -0.31, 2.14))
        },
        flat: Performance {
            final_equity: Some(100_000.0),
            total_return: Some(0.0),
            annual_growth_rate: Some(0.0),
            annual_volatility: Some(0.0),
            max_drawdown: Some(0.0),
            trades: Some(0),
            ..Performance::default()
        },
        excess_return: estimate(-0.031, -0.2, 0.14),
        probabilistic_sharpe_ratio: Some(0.87),
        deflated_sharpe_ratio: Some(0.31),
        minimum_track_record_bars: Some(42_518),
        track_record_bars: 19_727,
        trials: 12,
        monthly_returns: months(&curve),
        curve,
        costs,
        refusals: [("min_notional", 212), ("gross_exposure", 41)]
            .map(|(name, count)| NamedCount {
                name: name.to_owned(),
                count,
            })
            .to_vec(),
        expired_orders: 2,
        symbols: SYMBOLS
            .map(|symbol| symbol_summary(symbol, &trades))
            .to_vec(),
        analysis: sample_analysis::analysis(&costs, &trades),
        trades,
    }
}

fn months(curve: &[CurvePoint]) -> Vec<MonthReturn> {
    let mut months: Vec<(MonthReturn, f64, f64)> = Vec::new();
    for point in curve {
        let date = point.closed_at.civil().unwrap().date();
        let (year, month) = (date.year(), date.month() as u8);
        let (strategy, hold) = (point.strategy_equity, point.buy_and_hold_equity);
        if months
            .last()
            .is_none_or(|(last, ..)| (last.year, last.month) != (year, month))
        {
            let fresh = MonthReturn {
                year,
                month,
                strategy: None,
                buy_and_hold: None,
            };
            months.push((fresh, strategy, hold));
        }
        let (last, first_strategy, first_hold) = months.last_mut().unwrap();
        last.strategy = Some(strategy / *first_strategy - 1.0);
        last.buy_and_hold = Some(hold / *first_hold - 1.0);
    }
    months.into_iter().map(|(month, ..)| month).collect()
}

fn performance(final_equity: f64, sharpe_ratio: Estimate) -> Performance {
    let total = final_equity / 100_000.0 - 1.0;
    Performance {
        final_equity: Some(final_equity),
        total_return: Some(total),
        annual_growth_rate: Some((1.0 + total).powf(1.0 / 2.25) - 1.0),
        annual_volatility: Some(0.312),
        sharpe_ratio,
        autocorrelation_corrected_sharpe_ratio: Some(0.66),
        sortino_ratio: Some(1.02),
        calmar_ratio: Some(0.61),
        max_drawdown: Some(0.287),
        longest_drawdown_days: Some(212.4),
        tail_ratio: Some(1.04),
        trades: Some(2_613),
        win_rate: Some(0.512),
        profit_factor: Some(1.08),
        mean_trade_return: Some(0.000_42),
        mean_bars_held: Some(24.6),
        annual_turnover: Some(212.7),
        time_in_market: Some(0.743),
        mean_exposure: Some(0.498),
        intervals: FigureIntervals {
            total_return: interval(-0.21, 0.94),
            annual_growth_rate: interval(-0.1, 0.34),
            annual_volatility: interval(0.29, 0.34),
            max_drawdown: interval(0.14, 0.49),
            win_rate: interval(0.49, 0.53),
            mean_trade_return: interval(-0.000_1, 0.000_9),
        },
    }
}

fn trade(number: i64, start: Timestamp, random: &mut Random) -> TradeRow {
    let symbol = random.below(3) as usize;
    let price = [61_234.56, 3_123.45, 0.5123][symbol] * (1.0 + random.normal() * 0.05);
    let bars_held = 1 + random.below(48);
    let (value, gross_profit) = (33_000.0, random.normal() * 320.0 + 40.0);
    let (fees, slippage) = (value * 0.002, value * 0.0004);
    let net_profit = gross_profit - fees - slippage;
    let entered_at = start.saturating_add_nanos(number * 7 * HOUR_NS);
    let open = number > 2_610;
    TradeRow {
        symbol: SYMBOLS[symbol].to_owned(),
        side: if random.uniform() < 0.5 {
            TradeSide::Long
        } else {
            TradeSide::Short
        },
        entered_at,
        exited_at: (!open).then(|| entered_at.saturating_add_nanos(bars_held as i64 * HOUR_NS)),
        quantity: value / price,
        entry_price: price,
        exit_price: (!open).then_some(price * (1.0 + gross_profit / value)),
        gross_profit,
        fees,
        slippage,
        net_profit,
        net_return: Some(net_profit / value),
        bars_held,
        currency: "USDT".to_owned(),
        rate: 1.0,
        exit_reason: if open { "open" } else { "signal" }.to_owned(),
    }
}

fn costs_of<'a>(trades: impl Iterator<Item = &'a TradeRow>) -> Costs {
    let mut costs = Costs::default();
    for trade in trades {
        costs.gross_profit += trade.gross_profit;
        costs.fees += trade.fees;
        costs.spread += trade.slippage * 0.6;
        costs.impact += trade.slippage * 0.4;
        costs.net_profit += trade.net_profit;
        costs.traded_value += 66_000.0;
        costs.fills += 2;
    }
    costs
}

fn symbol_summary(symbol: &str, trades: &[TradeRow]) -> SymbolSummary {
    let own = || trades.iter().filter(|trade| trade.symbol == symbol);
    let count = own().count();
    SymbolSummary {
        symbol: symbol.to_owned(),
        trades: count as u64,
        win_rate: Some(own().filter(|one| one.net_profit > 0.0).count() as f64 / count as f64),
        profit_factor: Some(1.03),
        mean_trade_return: Some(own().filter_map(|one| one.net_return).sum::<f64>() / count as f64),
        mean_bars_held: Some(own().map(|one| one.bars_held as f64).sum::<f64>() / count as f64),
        bars: 19_728,
        contribution: costs_of(own()).net_profit / 100_000.0,
        sharpe_ratio: Some(0.42),
        costs: costs_of(own()),
    }
}

fn reproducibility() -> Reproducibility {
    let named = |pairs: &[(&str, &str)]| {
        let named = pairs.iter().map(|(name, value)| NamedText {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        named.collect::<Vec<_>>()
    };
    Reproducibility {
        config: ConfigText {
            toml: "[run]\nname = \"direction-1h-lightgbm\"  # direction-1h-lightgbm.toml\n\
                   seed = 7  # --set\n\n[model]\nplugin = \"ai.fusebox.gbm\"  # default\n\n\
                   [model.params]\nlearning_rate = 0.05  # direction-1h-lightgbm.toml\n"
                .to_owned(),
            sha256: digest(1),
        },
        files: SYMBOLS
            .map(|symbol| FileDigest {
                path: format!("BINANCE/{symbol}-1h.parquet"),
                sha256: digest(symbol.len() as u64 + u64::from(symbol.as_bytes()[0])),
                rows: 35_063,
                first_opened_at: at("2022-01-01"),
                last_opened_at: at("2025-12-31T23:00:00Z"),
            })
            .to_vec(),
        feature_set_sha256: digest(2),
        models: (1..=9)
            .map(|fold| ModelArtifact {
                fold,
                path: format!("models/fold-{fold:02}.model"),
                sha256: digest(100 + u64::from(fold)),
                bytes: 412_345 + u64::from(fold) * 1_234,
                scaler: None,
                unscaled_columns: Vec::new(),
            })
            .collect(),
        plugin: PluginIdentity {
            id: "ai.fusebox.gbm".to_owned(),
            version: "0.1.0".to_owned(),
            sha256: digest(3),
        },
        seeds: named(&[
            ("run", "7"),
            ("bootstrap", "9134482"),
            ("model fold 1", "311"),
        ]),
        versions: named(&[
            ("fusebox", "0.1.0"),
            ("rustc", "1.95.0"),
            ("LightGBM", "4.7.0"),
        ]),
        journal_events: 184_213,
        journal_sha256: digest(4),
        command_line: "fusebox run configs/pipelines/direction-1h-lightgbm.toml --out out/demo"
            .to_owned(),
        duration_s: Some(41.3),
    }
}
