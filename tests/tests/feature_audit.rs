//! The audit of features: it catches planted leaks of many kinds, and has nothing against what is
//! shipped.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::ops::Range;

use fusebox_engine::features::audit::{
    AuditOptions, AuditReport, Check, FeatureCode, FeatureTable, SetCode, StepRows, audit,
    audit_step,
};
use fusebox_engine::features::{
    ExtractOptions, FeatureContext, FeatureSet, Memory, Reads, registry,
};
use fusebox_engine::types::{Bar, BarSeries, Market, TimeFrame, Timestamp};
use fusebox_tests::binary::{Ran, run};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const HOURS_PER_DAY: usize = 24;

fn hour() -> TimeFrame {
    "1h".parse().unwrap()
}

/// A random walk of hourly bars with every column.
fn bars(seed: u64, hours: impl Iterator<Item = i64>) -> Vec<Bar> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut uniform = move || rng.random::<f64>();
    let mut close = 100.0_f64;
    hours
        .map(|at| {
            let open = close * (0.002 * (uniform() - 0.5)).exp();
            close = open * (0.04 * (uniform() - 0.5)).exp();
            let volume = 50.0 + 100.0 * uniform();
            let opened_at = Timestamp::from_nanos(at * hour().nanos());
            Bar {
                opened_at,
                closed_at: opened_at.saturating_add_nanos(hour().nanos()),
                open,
                high: open.max(close) * (1.0 + 0.01 * uniform()),
                low: open.min(close) * (1.0 - 0.01 * uniform()),
                close,
                volume,
                quote_volume: Some(volume * close),
                trades: Some((1000.0 * uniform()).floor()),
                taker_buy_volume: Some(volume * uniform()),
            }
        })
        .collect()
}

/// Two symbols; the lead lacks a bar now and then.
fn market(count: i64) -> Market {
    let series = |name: &str, bars| BarSeries {
        name: name.to_owned(),
        time_frame: hour(),
        bars,
    };
    let lead = bars(1, (0..count).filter(|at| at % 37 != 5));
    let own = bars(2, (0..count).filter(|at| at % 41 != 3));
    Market::new(vec![series("LEAD", lead), series("OWN", own)]).unwrap()
}

/// A column that somebody might write, for one symbol of a market.
type Column = fn(&Market, usize) -> Vec<f64>;

struct Written {
    name: &'static str,
    column: Column,
}

impl FeatureCode for Written {
    fn compute(&mut self, market: &Market) -> Result<FeatureTable, String> {
        let symbols = 0..market.series().len();
        Ok(FeatureTable {
            columns: vec![self.name.to_owned()],
            values: symbols
                .map(|symbol| (self.column)(market, symbol))
                .collect(),
        })
    }
}

fn judged(code: &mut dyn FeatureCode, market: &Market) -> AuditReport {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    audit(code, market, AuditOptions::default(), &mut random).unwrap()
}

fn closes(market: &Market, symbol: usize) -> Vec<f64> {
    let bars = &market.series()[symbol].bars;
    bars.iter().map(|bar| bar.close).collect()
}

fn returns(market: &Market, symbol: usize) -> Vec<f64> {
    let closes = closes(market, symbol);
    let later = closes.windows(2).map(|pair| (pair[1] / pair[0]).ln());
    std::iter::once(f64::NAN).chain(later).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn finite(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .copied()
        .filter(|one| one.is_finite())
        .collect()
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    mean_of_squares(values.iter().map(|one| one - mean)).sqrt()
}

fn mean_of_squares(values: impl Iterator<Item = f64>) -> f64 {
    let squares: Vec<f64> = values.map(|one| one * one).collect();
    mean(&squares)
}

/// The mean of `window` values that end at each place, NaN before.
fn moving_mean(values: &[f64], window: usize) -> Vec<f64> {
    let at = |row: usize| match (row + 1).checked_sub(window) {
        Some(first) => mean(&values[first..=row]),
        None => f64::NAN,
    };
    (0..values.len()).map(at).collect()
}

/// Which bar of a longer time frame each bar belongs to.
fn days(market: &Market, symbol: usize, hours: usize) -> Vec<i64> {
    let nanos = hours as i64 * hour().nanos();
    let bars = &market.series()[symbol].bars;
    bars.iter()
        .map(|bar| bar.opened_at.as_nanos() / nanos)
        .collect()
}

/// The close of the whole longer bar that each bar belongs to.
fn whole_bar_close(market: &Market, symbol: usize, hours: usize) -> Vec<f64> {
    let (days, closes) = (days(market, symbol, hours), closes(market, symbol));
    let last = |day: &i64| days.partition_point(|other| other <= day) - 1;
    days.iter().map(|day| closes[last(day)]).collect()
}

const LEAKS: [Written; 21] = [
    Written {
        name: "centred window",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            let window = |row: usize| row.saturating_sub(3)..(row + 4).min(closes.len());
            (0..closes.len())
                .map(|row| mean(&closes[window(row)]))
                .collect()
        },
    },
    Written {
        name: "higher bar before it closes",
        column: |market, symbol| whole_bar_close(market, symbol, 4),
    },
    Written {
        name: "maximum of the future",
        column: |market, symbol| {
            let bars = &market.series()[symbol].bars;
            let ahead = |row: usize| &bars[row..(row + 10).min(bars.len())];
            let top = |row: usize| ahead(row).iter().map(|bar| bar.high).fold(0.0, f64::max);
            (0..bars.len())
                .map(|row| bars[row].close / top(row))
                .collect()
        },
    },
    Written {
        name: "standard scaler over everything",
        column: |market, symbol| {
            let returns = returns(market, symbol);
            let known = finite(&returns);
            let (mean, deviation) = (mean(&known), deviation(&known));
            returns.iter().map(|one| (one - mean) / deviation).collect()
        },
    },
    Written {
        name: "min-max scaler over everything",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            let low = closes.iter().copied().fold(f64::MAX, f64::min);
            let high = closes.iter().copied().fold(f64::MIN, f64::max);
            closes
                .iter()
                .map(|one| (one - low) / (high - low))
                .collect()
        },
    },
    Written {
        name: "label among the features",
        column: |market, symbol| {
            let returns = returns(market, symbol);
            let next = returns.iter().skip(1).map(|one| one.signum());
            next.chain([f64::NAN]).collect()
        },
    },
    Written {
        name: "resampled bar stamped one bar early",
        column: |market, symbol| {
            // The bar that ends with the next base bar counts as closed already.
            let means = moving_mean(&closes(market, symbol), 4);
            means.iter().skip(1).copied().chain([f64::NAN]).collect()
        },
    },
    Written {
        name: "week shown one bar before its end",
        column: |market, symbol| {
            let bars = &market.series()[symbol].bars;
            // Bars from Monday on, UTC; the epoch was a Thursday.
            let days = |at: i64| (at - 1).div_euclid(24 * hour().nanos());
            let week = |bar: &Bar| (days(bar.closed_at.as_nanos()) + 3).div_euclid(7);
            let mut shown = f64::NAN;
            let mut values = Vec::new();
            for (place, bar) in bars.iter().enumerate() {
                let later = &bars[place + 1..];
                if let [last, after, ..] = later
                    && week(bar) == week(last)
                    && week(after) != week(last)
                {
                    shown = last.close;
                }
                values.push(shown);
            }
            values
        },
    },
    Written {
        name: "missing values filled from later",
        column: |market, symbol| {
            let means = moving_mean(&closes(market, symbol), 20);
            let first = means.iter().copied().find(|one| one.is_finite());
            let fill = first.unwrap_or(f64::NAN);
            means
                .iter()
                .map(|one| if one.is_nan() { fill } else { *one })
                .collect()
        },
    },
    Written {
        name: "holes of the data filled from later",
        column: |market, symbol| {
            // The lead's close at the bar's closing time, or the next one that it has.
            let lead = &market.series()[0].bars;
            let bars = &market.series()[symbol].bars;
            let at = |bar: &Bar| lead.partition_point(|one| one.closed_at < bar.closed_at);
            let close = |bar: &Bar| lead.get(at(bar)).map_or(f64::NAN, |one| one.close);
            bars.iter().map(close).collect()
        },
    },
    Written {
        name: "negative shift",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            closes.iter().skip(1).copied().chain([f64::NAN]).collect()
        },
    },
    Written {
        name: "rank in the whole sample",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            let below = |one: &f64| closes.iter().filter(|other| *other < one).count();
            let count = closes.len() as f64;
            closes.iter().map(|one| below(one) as f64 / count).collect()
        },
    },
    Written {
        name: "quantile of the whole sample",
        column: |market, symbol| {
            let returns = returns(market, symbol);
            let mut sorted = finite(&returns);
            sorted.sort_by(f64::total_cmp);
            let limit = sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(0.0);
            returns
                .iter()
                .map(|one| f64::from(u8::from(*one > limit)))
                .collect()
        },
    },
    Written {
        name: "weights of fractional differences from the whole length",
        column: |market, symbol| {
            // The order of the difference is fitted to the whole sample.
            let closes = closes(market, symbol);
            let order = 0.3 + 0.2 * deviation(&finite(&returns(market, symbol)));
            let weight = |lag: usize| {
                let factor = |step: usize| (step as f64 - 1.0 - order) / step as f64;
                (1..=lag).map(factor).product::<f64>()
            };
            let weights: Vec<f64> = (0..10).map(weight).collect();
            let at = |row: usize| {
                let terms = weights.iter().zip(closes[..=row].iter().rev());
                terms.map(|(weight, close)| weight * close.ln()).sum()
            };
            (0..closes.len()).map(at).collect()
        },
    },
    Written {
        name: "principal component of the whole sample",
        column: |market, symbol| {
            // The first component of two columns: its angle comes from their covariances.
            let returns = returns(market, symbol);
            let slow = moving_mean(&returns, 3);
            let pairs = returns.iter().zip(&slow).filter(|pair| pair.1.is_finite());
            let pairs: Vec<(f64, f64)> = pairs.map(|pair| (*pair.0, *pair.1)).collect();
            let moment = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
            let (xx, xy, yy) = (
                moment(|pair| pair.0 * pair.0),
                moment(|pair| pair.0 * pair.1),
                moment(|pair| pair.1 * pair.1),
            );
            let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
            let rows = returns.iter().zip(&slow);
            rows.map(|(x, y)| x * angle.cos() + y * angle.sin())
                .collect()
        },
    },
    Written {
        name: "the lead's bar that closes later",
        column: |market, symbol| {
            let lead = &market.series()[0].bars;
            let bars = &market.series()[symbol].bars;
            // The bar that is open when the row's bar closes.
            let at = |bar: &Bar| lead.partition_point(|one| one.opened_at <= bar.closed_at);
            bars.iter()
                .map(|bar| lead[at(bar) - 1].close / bar.close)
                .collect()
        },
    },
    Written {
        name: "value of a day stamped at its beginning",
        column: |market, symbol| {
            let whole = whole_bar_close(market, symbol, HOURS_PER_DAY);
            whole.iter().map(|close| close.ln()).collect()
        },
    },
    Written {
        name: "a window that never forgets",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            (0..closes.len()).map(|row| mean(&closes[..=row])).collect()
        },
    },
    Written {
        name: "numbered from the end",
        column: |market, symbol| {
            let count = market.series()[symbol].bars.len();
            (0..count).map(|row| (count - row) as f64).collect()
        },
    },
    Written {
        name: "smoothed forwards and backwards",
        column: |market, symbol| {
            let mut level = f64::NAN;
            let mut smooth = |one: &f64| {
                level = if level.is_nan() {
                    *one
                } else {
                    0.8 * level + 0.2 * one
                };
                level
            };
            let forward: Vec<f64> = closes(market, symbol).iter().map(&mut smooth).collect();
            level = f64::NAN;
            let mut smooth = |one: &f64| {
                level = if level.is_nan() {
                    *one
                } else {
                    0.8 * level + 0.2 * one
                };
                level
            };
            let mut back: Vec<f64> = forward.iter().rev().map(&mut smooth).collect();
            back.reverse();
            back
        },
    },
    Written {
        name: "trend removed with a line through everything",
        column: |market, symbol| {
            let closes = closes(market, symbol);
            let middle = (closes.len() as f64 - 1.0) / 2.0;
            let level = mean(&closes);
            let rows = || closes.iter().enumerate();
            let rise: f64 = rows().map(|(x, y)| (x as f64 - middle) * (y - level)).sum();
            let run: f64 = rows().map(|(x, _)| (x as f64 - middle).powi(2)).sum();
            let line = |x: usize| level + rise / run.max(1e-9) * (x as f64 - middle);
            rows().map(|(x, y)| y - line(x)).collect()
        },
    },
];

#[test]
fn every_planted_leak_is_caught_and_explained() {
    let market = market(900);
    for mut leak in LEAKS {
        let report = judged(&mut leak, &market);
        let by = |check: Check| report.findings.iter().any(|one| one.check == check);
        let expected = match leak.name {
            "a window that never forgets" => by(Check::WarmUp) && !by(Check::Truncation),
            // Nothing but the number of bars tells.
            "numbered from the end" => by(Check::Truncation) && !by(Check::Shift),
            _ => by(Check::Truncation) && by(Check::Shift),
        };
        assert!(expected, "{}: {:#?}", leak.name, report.findings);
        for finding in &report.findings {
            assert_eq!(finding.column, leak.name);
            assert!(!finding.meaning.is_empty() && finding.rows > 0);
            assert!(finding.at.is_some(), "{finding:?}");
        }
    }
}

/// The leak is in the data: code that only copies one of its input columns is honest, and yet.
#[test]
fn a_future_number_among_the_inputs_is_caught_by_what_it_knows() {
    let mut market = market(900);
    let mut series = market.series().to_vec();
    for one in &mut series {
        let closes: Vec<f64> = one.bars.iter().map(|bar| bar.close).collect();
        for (row, bar) in one.bars.iter_mut().enumerate() {
            let next = closes.get(row + 1).copied().unwrap_or(bar.close);
            bar.quote_volume = Some(next);
            bar.trades = Some((next / bar.close).ln());
            bar.taker_buy_volume = Some((next - bar.close).signum());
        }
    }
    market = Market::new(series).unwrap();
    let copied: [Written; 4] = [
        Written {
            name: "a future close",
            column: |market, symbol| {
                let bars = &market.series()[symbol].bars;
                bars.iter().map(|bar| bar.quote_volume.unwrap()).collect()
            },
        },
        Written {
            name: "a future return",
            column: |market, symbol| {
                let bars = &market.series()[symbol].bars;
                bars.iter().map(|bar| bar.trades.unwrap()).collect()
            },
        },
        Written {
            name: "a future return, disguised",
            column: |market, symbol| {
                let bars = &market.series()[symbol].bars;
                bars.iter()
                    .map(|bar| (300.0 * bar.trades.unwrap()).tanh() + 5.0)
                    .collect()
            },
        },
        Written {
            name: "a label",
            column: |market, symbol| {
                let bars = &market.series()[symbol].bars;
                bars.iter()
                    .map(|bar| bar.taker_buy_volume.unwrap())
                    .collect()
            },
        },
    ];
    for mut leak in copied {
        let report = judged(&mut leak, &market);
        let checks: Vec<Check> = report.findings.iter().map(|one| one.check).collect();
        assert!(
            checks.contains(&Check::Prediction),
            "{}: {report:#?}",
            leak.name
        );
        assert!(
            !checks.contains(&Check::Truncation),
            "{}: {report:#?}",
            leak.name
        );
    }
}

#[test]
fn honest_code_raises_no_alarm() {
    let market = market(900);
    let honest: [Written; 5] = [
        Written {
            name: "moving mean",
            column: |market, symbol| moving_mean(&closes(market, symbol), 20),
        },
        Written {
            name: "last return",
            column: returns,
        },
        Written {
            name: "close",
            column: closes,
        },
        Written {
            name: "sign of the last return",
            column: |market, symbol| {
                let returns = returns(market, symbol);
                returns.iter().map(|one| one.signum()).collect()
            },
        },
        Written {
            name: "the day before",
            column: |market, symbol| {
                let days = days(market, symbol, HOURS_PER_DAY);
                let closes = closes(market, symbol);
                let before = |day: &i64| days.partition_point(|other| other < day);
                let close = |day: &i64| match before(day).checked_sub(1) {
                    Some(last) => closes[last],
                    None => f64::NAN,
                };
                days.iter().map(close).collect()
            },
        },
    ];
    for mut code in honest {
        let report = judged(&mut code, &market);
        assert!(report.passed(), "{}: {:#?}", code.name, report.findings);
    }
}

#[test]
fn random_and_dead_columns_are_found() {
    struct Dice(u64);
    impl FeatureCode for Dice {
        fn compute(&mut self, market: &Market) -> Result<FeatureTable, String> {
            let mut next = || {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                [(self.0 >> 33) as f64, f64::NAN]
            };
            let rows = market.series().iter().map(|series| series.bars.len());
            Ok(FeatureTable {
                columns: vec!["dice".to_owned(), "dead".to_owned()],
                values: rows
                    .map(|rows| (0..rows).flat_map(|_| next()).collect())
                    .collect(),
            })
        }
    }
    let report = judged(&mut Dice(1), &market(300));
    let found = |column: &str, check| {
        let mut findings = report.findings.iter();
        findings.any(|one| one.column == column && one.check == check)
    };
    assert!(found("dice", Check::Repeat) && found("dead", Check::Coverage));
    assert!(!found("dead", Check::Truncation));
}

#[test]
fn no_shipped_kind_raises_an_alarm() {
    let market = market(7500);
    let context = FeatureContext::of(&market);
    let mut expressions = Vec::new();
    for kind in registry() {
        let plain = kind.example().replace("#BTCUSDT", "#LEAD");
        // On a higher time frame a recursive kind needs more history to settle than there is.
        let is_window = matches!(kind.memory, Memory::Window);
        match kind.reads {
            Reads::Bars => {
                expressions.push(format!("{plain}#LEAD"));
                if is_window {
                    expressions.push(format!("{plain}@4h"));
                }
                expressions.push(plain);
            }
            _ => expressions.push(plain),
        }
    }
    let set = FeatureSet::parse(&expressions, &context).unwrap();
    let mut code = SetCode::new(set, ExtractOptions::default(), hour());
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let options = AuditOptions {
        rounds: 2,
        ..AuditOptions::default()
    };
    let report = audit(&mut code, &market, options, &mut random).unwrap();
    assert!(report.passed(), "{:#?}", report.findings);
    assert!(report.notes.is_empty(), "{:#?}", report.notes);
    assert!(
        report.checks.iter().all(|check| check.values > 0),
        "{:#?}",
        report.checks
    );
}

#[test]
fn a_set_whose_warm_up_is_declared_too_short_is_found() {
    struct Hasty(SetCode);
    impl FeatureCode for Hasty {
        fn compute(&mut self, market: &Market) -> Result<FeatureTable, String> {
            self.0.compute(market)
        }

        fn declared(&self, column: usize) -> Option<fusebox_engine::features::audit::Declared> {
            let mut declared = self.0.declared(column)?;
            declared.settled_bars = 15;
            Some(declared)
        }
    }
    let market = market(900);
    let set = ["rsi(14)".to_owned(), "log_return(5)".to_owned()];
    let set = FeatureSet::parse(&set, &FeatureContext::of(&market)).unwrap();
    let code = SetCode::new(set, ExtractOptions::default(), hour());
    let report = judged(&mut Hasty(code), &market);
    let found: Vec<(&str, Check)> = report
        .findings
        .iter()
        .map(|one| (one.column.as_str(), one.check))
        .collect();
    assert_eq!(found, [("rsi(14)", Check::WarmUp)]);
}

/// Centres each column with the mean of the rows that are marked.
fn centred(rows: &StepRows, is_fitted: &[bool]) -> StepRows {
    let (mut values, width) = (rows.values.clone(), rows.columns.len());
    for column in 0..width {
        let own = values.iter().skip(column).step_by(width).zip(is_fitted);
        let own: Vec<f64> = own.filter(|one| *one.1).map(|one| *one.0).collect();
        let mean = mean(&own);
        for value in values.iter_mut().skip(column).step_by(width) {
            *value -= mean;
        }
    }
    StepRows {
        columns: rows.columns.clone(),
        values,
    }
}

/// Which of `count` rows lie in `range`.
fn within(range: Range<usize>, count: usize) -> Vec<bool> {
    (0..count).map(|row| range.contains(&row)).collect()
}

#[test]
fn a_scaler_may_be_fitted_on_the_training_rows_only() {
    let rows = StepRows {
        columns: ["a", "b", "c"].map(str::to_owned).to_vec(),
        values: (0..600).map(|i| f64::from(i * 37 % 101)).collect(),
    };
    let judge = |step: &mut dyn fusebox_engine::features::audit::FittedStep| {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        audit_step(step, &rows, &within(20..120, 200), (&mut random, 6)).unwrap()
    };
    let mut honest = |rows: &StepRows, training: &[bool]| Ok(centred(rows, training));
    let found = judge(&mut honest);
    assert!(
        found.findings.is_empty() && found.histories == 7,
        "{found:?}"
    );
    let mut greedy = |rows: &StepRows, _: &[bool]| Ok(centred(rows, &within(0..200, 200)));
    let found = judge(&mut greedy).findings;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|one| one.check == Check::FitScope));
    assert_eq!(found[1].column, "b");
    // Fitted on the test rows as well, but the training rows are spared.
    let mut sly = |rows: &StepRows, training: &[bool]| {
        let mut out = centred(rows, training);
        let own = centred(rows, &within(120..200, 200));
        let after = 120 * rows.columns.len();
        out.values[after..].copy_from_slice(&own.values[after..]);
        Ok(out)
    };
    let found = judge(&mut sly).findings;
    assert_eq!(found.len(), 3);
    assert!(found[0].meaning.contains("another such row"), "{found:?}");
    let mut fits = 0.0;
    let mut restless = |rows: &StepRows, training: &[bool]| {
        fits += 1.0;
        let mut out = centred(rows, training);
        out.values[7] += fits;
        Ok(out)
    };
    let found = judge(&mut restless).findings;
    assert!(found[0].meaning.contains("the step is random"), "{found:?}");
    let mut broken = |_: &StepRows, _: &[bool]| Err("no memory".to_owned());
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let part = within(20..120, 200);
    let error = audit_step(&mut broken, &rows, &part, (&mut random, 6)).unwrap_err();
    assert_eq!(error, "no memory");
    let all = within(0..200, 200);
    let whole = audit_step(&mut broken, &rows, &all, (&mut random, 6)).unwrap_err();
    assert!(whole.contains("some, not all"), "{whole}");
}

/// Rows of the ratio of each close to the one before, or to the one after.
const SCRIPT: &str = r#"
import csv, sys
rows = list(csv.DictReader(sys.stdin))
closes = {}
for row in rows:
    closes.setdefault(row["symbol"], []).append(float(row["close"]))
print("ratio,number")
seen = dict.fromkeys(closes, 0)
for row in rows:
    own, at = closes[row["symbol"]], seen[row["symbol"]]
    seen[row["symbol"]] += 1
    other = at + SHIFT
    value = repr(own[at] / own[other]) if 0 <= other < len(own) else ""
    print(f"{value},{at % 7}")
"#;

/// Audits a command in a directory of its own.
fn audit_of(command: &str, more: &[&str]) -> (tempfile::TempDir, Ran) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("back.py"), SCRIPT.replace("SHIFT", "-1")).unwrap();
    std::fs::write(dir.path().join("ahead.py"), SCRIPT.replace("SHIFT", "1")).unwrap();
    let fixed = [
        "features",
        "audit",
        "--max-bars",
        "300",
        "--command",
        command,
    ];
    let ran = run(dir.path(), &[&fixed, more].concat());
    (dir, ran)
}

#[test]
fn code_in_another_language_is_audited_and_its_verdict_is_kept() {
    let (dir, ran) = audit_of("python3 back.py", &["--json"]);
    // How many bars came before is known, and depends on where the history begins.
    let verdict = ran.json();
    let found = verdict["verdict"]["report"]["findings"].as_array().unwrap();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        found
            .iter()
            .all(|one| one["column"] == "number" && one["check"] == "warm_up")
    );
    let stored = dir.path().join(verdict["stored"].as_str().unwrap());
    let digest = stored.file_stem().unwrap().to_str().unwrap();
    let state_dir = stored.parent().unwrap().parent().unwrap();
    let passed = fusebox_services::audit::Verdict::passed;
    assert_eq!(passed(state_dir, digest).unwrap(), Some(false));
    assert_eq!(passed(state_dir, &"0".repeat(64)).unwrap(), None);

    let (_dir, ran) = audit_of("python3 ahead.py", &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        "truncation",
        "shift",
        "ratio",
        "had not closed",
        "it looks ahead",
    ] {
        assert!(
            ran.stdout.contains(part),
            "{part:?} is not in:\n{}",
            ran.stdout
        );
    }
}

/// Centres every column with the mean of the training rows, or of all rows.
const SCALER: &str = r#"
import csv, sys
rows = list(csv.reader(sys.stdin))
names, rows = rows[0][1:], rows[1:]
print(",".join('"' + name + '"' for name in names))
means = []
for column in range(len(names)):
    known = [float(row[column + 1]) for row in rows if row[column + 1] and CONDITION]
    means.append(sum(known) / len(known))
for row in rows:
    print(",".join(repr(float(x) - m) if x else "" for x, m in zip(row[1:], means)))
"#;

#[test]
fn a_planted_scaler_over_everything_is_caught_by_the_command() {
    let dir = tempfile::tempdir().unwrap();
    for (name, condition) in [("own.py", "row[0] == '1'"), ("all.py", "True")] {
        let text = SCALER.replace("CONDITION", condition);
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let audit = |script: &str| {
        let step = format!("python3 {script}");
        let fixed = ["features", "audit", "--features", "rsi(14); log_return(3)"];
        let more = ["--max-bars", "400", "--step", &step, "--json"];
        run(dir.path(), &[&fixed[..], &more].concat())
    };
    let honest = audit("own.py");
    assert_eq!(honest.code, Some(0), "{honest:?}");
    let scope = |ran: &Ran| {
        let verdict = ran.json()["verdict"].clone();
        let checks = verdict["report"]["checks"].as_array().unwrap().clone();
        let scope = checks.iter().find(|one| one["check"] == "fit_scope");
        (scope.unwrap().clone(), verdict)
    };
    let (checked, verdict) = scope(&honest);
    assert!(checked["values"].as_u64().unwrap() > 1000, "{checked}");
    assert_eq!(verdict["fitted_steps"][0]["name"], "command");
    assert_eq!(verdict["subject"]["kind"], "step");
    let rows = verdict["subject"]["rows"].as_str().unwrap().to_owned();
    let greedy = audit("all.py");
    assert_eq!(greedy.code, Some(1), "{greedy:?}");
    // It is no part of a model, whose features are judged by themselves.
    let features = dir
        .path()
        .join(format!(".fusebox/state/audits/{rows}.json"));
    let features: serde_json::Value =
        serde_json::from_slice(&std::fs::read(features).unwrap()).unwrap();
    assert_eq!(features["passed"], true);
    let (checked, verdict) = scope(&greedy);
    assert_eq!(checked["findings"], 2, "{checked}");
    let found = verdict["report"]["findings"].as_array().unwrap();
    for one in found {
        assert_eq!(one["check"], "fit_scope");
        assert!(one["column"].as_str().unwrap().contains("all.py"), "{one}");
        assert!(
            one["meaning"]
                .as_str()
                .unwrap()
                .contains("more than the training part")
        );
    }
}

#[test]
fn the_scaler_of_a_pipeline_is_audited_on_its_own_folds() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = fusebox_tests::fixtures::project_root()
        .join("configs/pipelines/direction-1h-lightgbm.toml");
    let pipeline = pipeline.to_string_lossy().into_owned();
    let fixed = [
        "features",
        "audit",
        &pipeline,
        "--max-bars",
        "2000",
        "--rounds",
        "2",
        "--set",
        "data.source=simulated",
        "--set",
        "data.from=2022-01-01",
        "--set",
        "data.to=2022-06-01",
        "--set",
        "split.train=6w",
        "--set",
        "split.valid=1w",
        "--set",
        "split.test=2w",
        "--set",
        "split.step=2w",
    ];
    let audit = |more: &[&str]| run(dir.path(), &[&fixed[..], more].concat());
    let ran = audit(&["--set", "model.scaler=robust"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "fit scope",
        "fitted step: scaler (robust), 3 training parts",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    let plain = audit(&["--set", "model.scaler=none"]);
    assert!(
        plain.stdout.contains("nothing is fitted besides the model"),
        "{plain:?}"
    );
    let returns = audit(&["--set", "labels.kind=forward_returns", "--json"]);
    let steps = returns.json()["verdict"]["fitted_steps"].clone();
    let readout = steps
        .as_array()
        .unwrap()
        .iter()
        .any(|one| one["name"] == "readout");
    assert!(readout, "{steps}");
    let wrong = audit(&["--set", "split.train=600w", "--set", "model.scaler=robust"]);
    assert_ne!(
        wrong.code,
        Some(0),
        "a split that cannot be carried out is told: {wrong:?}"
    );
}

#[test]
fn a_verdict_on_a_script_is_one_on_its_content() {
    let (dir, first) = audit_of("python3 back.py", &["--json"]);
    let digest = |ran: &Ran| ran.json()["verdict"]["subject"]["sha256"].to_string();
    let files = first.json()["verdict"]["subject"]["files"].clone();
    assert_eq!(files[0]["path"], "back.py");
    let again = |more: &[&str]| {
        let fixed = [
            "features",
            "audit",
            "--max-bars",
            "300",
            "--rounds",
            "1",
            "--json",
        ];
        let command = ["--command", "python3 back.py"];
        run(dir.path(), &[&fixed[..], &command, more].concat())
    };
    assert_eq!(digest(&first), digest(&again(&[])));
    std::fs::write(dir.path().join("lib.py"), "x = 1").unwrap();
    assert_ne!(digest(&first), digest(&again(&["--source", "lib.py"])));
    let script = SCRIPT.replace("SHIFT", "-2");
    std::fs::write(dir.path().join("back.py"), script).unwrap();
    assert_ne!(digest(&first), digest(&again(&[])));
}

#[test]
fn a_command_that_gives_nothing_usable_is_told_in_one_error() {
    for (command, more, words) in [
        ("exit 3", &[][..], "ended with exit status: 3"),
        ("echo oops >&2; false", &[], "oops"),
        ("sleep 30", &["--timeout", "0.2"], "longer than 0.2 s"),
        (
            "cat > /dev/null; echo x; echo 1",
            &[],
            "1 rows for 600 bars",
        ),
        ("cut -d, -f2", &[], "row 1, column `opened_at`"),
        ("true", &[], "wrote nothing"),
    ] {
        let (_dir, ran) = audit_of(command, more);
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        assert!(ran.stderr.contains(words), "{command}: {ran:?}");
    }
}

#[test]
fn a_set_is_audited_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let audit = |arguments: &[&str]| {
        let fixed = ["features", "audit", "--max-bars", "500"];
        run(dir.path(), &[&fixed, arguments].concat())
    };
    let ran = audit(&[
        "--features",
        "rsi(14); beta(24)#BTCUSDT; log_return(3)@4h",
        "--json",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let verdict = ran.json();
    assert_eq!(verdict["verdict"]["passed"], true);
    let stored = dir.path().join(verdict["stored"].as_str().unwrap());
    let digest = verdict["verdict"]["subject"]["sha256"].as_str().unwrap();
    let state_dir = stored.parent().unwrap().parent().unwrap();
    let passed = fusebox_services::audit::Verdict::passed(state_dir, digest);
    assert_eq!(passed.unwrap(), Some(true));
    for (arguments, words) in [
        (&[][..], "nothing to audit"),
        (&["--features", "rs1(14)"], "did you mean `rsi`?"),
        (&["--all", "--tolerance", "7"], "--tolerance"),
    ] {
        let ran = audit(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
}
