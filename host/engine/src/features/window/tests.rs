use super::*;

fn wave(count: usize) -> Vec<f64> {
    let at = |i: f64| 100.0 + (i * 0.37).sin() * 3.0 + (i * 0.011).cos() * 20.0;
    (0..count).map(|i| at(i as f64)).collect()
}

#[test]
fn rolling_values_equal_a_fresh_computation_far_into_the_history() {
    let values = wave(50_000);
    let period = 17;
    let mut sum = RollingSum::new(period);
    let mut moments = RollingMoments::new(period);
    let mut line = RollingLine::new(period);
    let mut highest = RollingExtreme::highest(period);
    let mut aged = AgedExtreme::highest(period);
    for (i, &value) in values.iter().enumerate() {
        let got = (
            sum.push(value),
            moments.push(value),
            line.push(value),
            highest.push(value),
        );
        let aged = aged.push(value);
        let Some(start) = (i + 1).checked_sub(period) else {
            assert!(aged.is_none());
            assert!(got.0.is_none() && got.1.is_none() && got.2.is_none() && got.3.is_none());
            continue;
        };
        let window = &values[start..=i];
        let mean = window.iter().sum::<f64>() / period as f64;
        let squares: f64 = window.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = (squares / period as f64).sqrt();
        let middle = (period as f64 - 1.0) / 2.0;
        let covariance: f64 = window
            .iter()
            .enumerate()
            .map(|(x, y)| (x as f64 - middle) * (y - mean))
            .sum();
        let spread: f64 = (0..period).map(|x| (x as f64 - middle).powi(2)).sum();
        let top = window.iter().copied().fold(f64::MIN, f64::max);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-10 * b.abs().max(1e-3);
        assert!(near(got.0.unwrap(), window.iter().sum()), "sum at {i}");
        assert!(near(got.1.unwrap().mean, mean), "mean at {i}");
        assert!(
            near(got.1.unwrap().standard_deviation, deviation),
            "deviation at {i}"
        );
        assert!(
            near(got.2.unwrap().slope, covariance / spread),
            "slope at {i}"
        );
        let (got, aged) = (got.3.unwrap(), aged.unwrap());
        assert_eq!(got.to_bits(), top.to_bits(), "highest at {i}");
        let age = window
            .iter()
            .rev()
            .position(|v| v.to_bits() == top.to_bits());
        assert_eq!(age, Some(aged as usize), "age at {i}");
    }
}

#[test]
fn a_large_value_leaves_nothing_behind() {
    let mut sum = RollingSum::new(10);
    let mut got = Vec::new();
    for i in 0..40 {
        let value = if i == 13 { 1e15 } else { 0.1 };
        got.push(sum.push(if i < 25 { value } else { 0.0 }));
    }
    let tenths = got[24].unwrap();
    assert!((tenths - 1.0).abs() < 1e-15, "{tenths}");
    assert_eq!(got[34].unwrap().to_bits(), 0.0_f64.to_bits());
    assert_eq!(got[39].unwrap().to_bits(), 0.0_f64.to_bits());
}

#[test]
fn a_window_that_turns_flat_has_exactly_no_deviation() {
    let mut moments = RollingMoments::new(10);
    for value in wave(25) {
        moments.push(value);
    }
    for i in 0..30 {
        let now = moments.push(87.654_321).unwrap();
        if i >= 9 {
            assert_eq!(
                now.standard_deviation.to_bits(),
                0.0_f64.to_bits(),
                "at {i}"
            );
            assert_eq!(now.z_score(87.654_321).to_bits(), 0.0_f64.to_bits());
        }
    }
}

#[test]
fn the_latest_of_equal_extremes_counts() {
    let mut lowest = AgedExtreme::lowest(3);
    let ages: Vec<Option<f64>> = [2.0, 1.0, 1.0, 3.0, 4.0, 5.0]
        .into_iter()
        .map(|value| lowest.push(value))
        .collect();
    let expected = [None, None, Some(0.0), Some(1.0), Some(2.0), Some(2.0)];
    assert_eq!(ages, expected);
}

#[test]
fn pairs_equal_a_fresh_computation_far_into_the_history() {
    let values = wave(20_000);
    let period = 23;
    let mut pairs = RollingPair::new(period);
    for i in 1..values.len() {
        let got = pairs.push(values[i - 1], values[i].sqrt());
        let Some(start) = i.checked_sub(period) else {
            assert!(got.is_none(), "at {i}");
            continue;
        };
        let (got, count) = (got.unwrap(), period as f64);
        let x = &values[start..i];
        let y: Vec<f64> = values[start + 1..=i].iter().map(|v| v.sqrt()).collect();
        let mean = |of: &[f64]| of.iter().sum::<f64>() / count;
        let product = |a: &[f64], b: &[f64]| {
            let (mean_a, mean_b) = (mean(a), mean(b));
            let terms = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b));
            terms.sum::<f64>() / count
        };
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1e-3);
        assert!(near(got.mean_x, mean(x)) && near(got.mean_y, mean(&y)));
        assert!(near(got.variance_x, product(x, x)), "x at {i}");
        assert!(near(got.variance_y, product(&y, &y)), "y at {i}");
        assert!(near(got.covariance, product(x, &y)), "xy at {i}");
        let slope = product(x, &y) / product(x, x);
        assert!(near(got.slope(), slope), "slope at {i}");
    }
}

#[test]
fn a_pair_that_stands_still_has_no_correlation() {
    let mut pairs = RollingPair::new(10);
    for (i, value) in wave(60).into_iter().enumerate() {
        let got = pairs.push(if i < 20 { value } else { 87.654_321 }, value);
        if i >= 29 {
            let got = got.unwrap();
            let told = [got.variance_x, got.correlation(), got.slope()];
            assert_eq!(told.map(f64::to_bits), [0; 3], "at {i}");
        }
    }
}

#[test]
fn a_rank_counts_equal_values_half_or_not_at_all() {
    let values = [3.0, -0.0, 0.0, 7.0, 3.0];
    let mut rank = RollingRank::new(5);
    let got: Vec<Option<f64>> = values.iter().map(|v| rank.push(*v)).collect();
    // Two zeros below, one other 3.
    assert_eq!(got, [None, None, None, None, Some(2.5 / 4.0)]);
    let mut strict = RollingRank::new(5);
    let got: Vec<Option<f64>> = values.iter().map(|v| strict.push_strict(*v)).collect();
    assert_eq!(got, [None, None, None, None, Some(2.0 / 4.0)]);
}

/// Some values that come more than once, zeros of both signs, and one that is no number.
fn coarse_wave() -> Vec<f64> {
    let coarse = |(i, value): (usize, f64)| match i % 97 {
        13 => f64::NAN,
        40 => -0.0,
        41 => 0.0,
        _ => ((value - 100.0) * 4.0).round() / 4.0,
    };
    wave(3000).into_iter().enumerate().map(coarse).collect()
}

#[test]
fn quantiles_equal_those_of_the_sorted_window() {
    let shares = [0.0, 0.05, 0.25, 0.5, 0.95, 1.0];
    for period in [2, 3, 20, 100, 257] {
        for values in [wave(3000), coarse_wave()] {
            let mut quantiles = RollingQuantiles::new(period, shares);
            let mut window = SortedWindow::new(period);
            for (i, value) in values.into_iter().enumerate() {
                let is_full = window.push(value);
                let expected = is_full.then(|| shares.map(|share| window.quantile(share)));
                let got = quantiles.push(value);
                // One zero for both, one pattern for what is no number.
                let bits = |value: f64| {
                    if value.is_nan() {
                        1
                    } else {
                        (value + 0.0).to_bits()
                    }
                };
                let same = |(a, b): (f64, f64)| bits(a) == bits(b);
                let pairs = got
                    .into_iter()
                    .flatten()
                    .zip(expected.into_iter().flatten());
                assert!(
                    got.is_some() == is_full && pairs.into_iter().all(same),
                    "{period}, {i}"
                );
            }
        }
    }
}

#[test]
fn the_lower_tail_is_that_of_the_sorted_window() {
    for (period, count) in [(2, 1), (3, 3), (20, 1), (100, 5), (100, 50), (300, 7)] {
        for values in [wave(3000), coarse_wave()] {
            let mut tail = LowerTail::new(period, count);
            let mut seen: Vec<f64> = Vec::new();
            for (i, value) in values.into_iter().enumerate() {
                let number = if value.is_nan() { f64::INFINITY } else { value };
                seen.push(number);
                let got = tail.push(value);
                let Some(start) = seen.len().checked_sub(period) else {
                    assert!(got.is_none());
                    continue;
                };
                let mut window = seen[start..].to_vec();
                window.sort_by(f64::total_cmp);
                let mean = window[..count].iter().sum::<f64>() / count as f64;
                assert_eq!(got, Some(mean), "{count} of {period}, {i}");
            }
        }
    }
}

#[test]
fn the_deepest_fall_is_that_of_all_pairs_of_the_window() {
    let values = wave(500);
    let mut falls = MaxDrawdown::new(31);
    for (i, &value) in values.iter().enumerate() {
        let got = falls.push(value);
        let Some(start) = (i + 1).checked_sub(31) else {
            assert!(got.is_none());
            continue;
        };
        let mut deepest = 0.0_f64;
        for (place, high) in values[start..=i].iter().enumerate() {
            for low in &values[start + place..=i] {
                deepest = deepest.max(1.0 - low / high);
            }
        }
        assert_eq!(got.unwrap().to_bits(), deepest.to_bits(), "at {i}");
    }
}

#[test]
fn counted_and_sorted_ranks_are_the_same() {
    let coarse = |value: f64| (value * 2.0).round() / 2.0;
    for period in [2, 7, 64, 65, 257] {
        let mut rank = RollingRank::new(period);
        let mut window = SortedWindow::new(period);
        for (i, value) in wave(1000).into_iter().map(coarse).enumerate() {
            let is_full = window.push(value);
            let expected = is_full.then(|| {
                let (below, equal) = window.newest_counts();
                let others = period as f64 - 1.0;
                ((below as f64 + 0.5 * equal as f64) / others).to_bits()
            });
            assert_eq!(
                rank.push(value).map(f64::to_bits),
                expected,
                "{period} at {i}"
            );
        }
    }
}

/// Shows values one by one and in pieces of odd lengths; both must give the same bits.
fn assert_same_bits(
    name: &str,
    values: &[f64],
    mut one: impl FnMut(f64) -> Option<f64>,
    mut many: impl FnMut(&[f64], &mut [f64]),
) {
    let expected = values.iter().map(|value| one(*value).unwrap_or(f64::NAN));
    let expected: Vec<u64> = expected.map(f64::to_bits).collect();
    let mut found = vec![0.0; values.len()];
    let mut begin = 0;
    for length in [3, 1, 128, 16, 77, 300, 2].iter().cycle() {
        let end = (begin + length).min(values.len());
        many(&values[begin..end], &mut found[begin..end]);
        begin = end;
        if begin == values.len() {
            break;
        }
    }
    let found: Vec<u64> = found.into_iter().map(f64::to_bits).collect();
    assert!(found == expected, "{name}");
}

#[test]
fn windows_of_every_length_give_the_same_bits_one_by_one_and_together() {
    let mut values = wave(700);
    values[200..290].fill(87.654_321);
    for period in (1..=67).chain([130]) {
        let name = |of: &str| format!("{of} of {period}");
        let (mut one, mut many) = (RollingSum::new(period), RollingSum::new(period));
        let all = |values: &[f64], shown: &mut [f64]| many.push_all(values, shown);
        assert_same_bits(&name("sum"), &values, |value| one.push(value), all);
        for new in [RollingExtreme::highest, RollingExtreme::lowest] {
            let (mut one, mut many) = (new(period), new(period));
            let all = |values: &[f64], shown: &mut [f64]| many.push_all(values, shown);
            assert_same_bits(&name("extreme"), &values, |value| one.push(value), all);
        }
        let new = || {
            [
                RollingExtreme::highest(period),
                RollingExtreme::lowest(period),
            ]
        };
        let ([mut highest, mut lowest], [mut up, mut down]) = (new(), new());
        let show = |[highest, lowest]: [f64; 2], value: f64| 3.0 * highest - lowest + value / 7.0;
        let each = |value: f64| {
            let extremes = (highest.push(value), lowest.push(-value));
            Some(show([extremes.0?, extremes.1?], value))
        };
        let all = |values: &[f64], shown: &mut [f64]| {
            let lows: Vec<f64> = values.iter().map(|value| -value).collect();
            push_ranges([&mut up, &mut down], [values, &lows, values], shown, show);
        };
        assert_same_bits(&name("range"), &values, each, all);
        let (mut one, mut many) = (RollingMoments::new(period), RollingMoments::new(period));
        let show = |moments: Moments, value: f64| moments.mean + moments.z_score(value);
        let all = |values: &[f64], shown: &mut [f64]| many.push_all(values, shown, show);
        let each = |value| one.push(value).map(|moments| show(moments, value));
        assert_same_bits(&name("moments"), &values, each, all);
        let (mut one, mut many) = (RollingLine::new(period), RollingLine::new(period));
        let show = |line: Line| line.end + line.slope + line.weighted_mean;
        let all = |values: &[f64], shown: &mut [f64]| {
            many.push_all(values, shown, |_, line| show(line));
        };
        assert_same_bits(
            &name("line"),
            &values,
            |value| one.push(value).map(show),
            all,
        );
        let (mut one, mut many) = (RollingLine::new(period), RollingLine::new(period));
        let all = |values: &[f64], shown: &mut [f64]| {
            many.push_slopes([values, values], shown, |slope, value| slope / value);
        };
        let each = |value| one.push(value).map(|line| line.slope / value);
        assert_same_bits(&name("slope"), &values, each, all);
        let (mut one, mut many) = (Ema::new(period), Ema::new(period));
        let all = |values: &[f64], shown: &mut [f64]| many.push_all(values, shown);
        assert_same_bits(&name("average"), &values, |value| one.push(value), all);
        let (mut one, mut many) = (WilderSum::new(period), WilderSum::new(period));
        let all = |values: &[f64], shown: &mut [f64]| many.push_all(values, shown);
        assert_same_bits(&name("running sum"), &values, |value| one.push(value), all);
    }
}

#[test]
fn an_average_is_the_one_that_its_step_defines() {
    let values = wave(5000);
    for period in [2, 14, 300] {
        let mut average = Ema::new(period);
        let weight = 2.0 / (period as f64 + 1.0);
        let mut expected = values[..period].iter().sum::<f64>() / period as f64;
        for (i, value) in values.iter().enumerate() {
            let got = average.push(*value);
            if i >= period {
                expected += (value - expected) * weight;
            }
            let is_near = |got: f64| (got - expected).abs() <= 1e-13 * expected;
            assert_eq!(got.is_some(), i + 1 >= period, "{period} at {i}");
            assert!(got.is_none_or(is_near), "{period} at {i}");
        }
    }
}

#[test]
fn an_average_of_equal_values_is_that_value() {
    for period in [2, 14, 20_000] {
        let mut average = Ema::new(period);
        for _ in 0..60_000 {
            let got = average.push(87.654_321).unwrap_or(87.654_321);
            assert!((got / 87.654_321 - 1.0).abs() < 1e-11, "{period}: {got}");
        }
    }
}

/// Deviation and slope of one window, from its distances from its newest value.
fn afresh(window: &[f64]) -> [f64; 2] {
    let (count, newest) = (window.len() as f64, window[window.len() - 1]);
    let mean = window.iter().map(|value| value - newest).sum::<f64>() / count;
    let distances = window.iter().map(|value| value - newest - mean);
    let squares: f64 = distances.clone().map(|distance| distance * distance).sum();
    let middle = (count - 1.0) / 2.0;
    let places = distances.enumerate().map(|(x, y)| (x as f64 - middle, y));
    let (top, bottom) = places.fold((0.0, 0.0), |(top, bottom), (x, y)| {
        (top + x * y, bottom + x * x)
    });
    [(squares / count).sqrt(), top / bottom]
}

#[test]
fn moments_and_lines_after_a_leap_are_those_of_the_window() {
    // Noise of size 1, in which one value, or the level from one value on, is larger by `leap`,
    // wherever it falls between two renewals of anchors and sums.
    let noise = |i: usize| (i as f64 * 1.7).sin() + (i as f64 * 0.13).cos();
    for (period, leap, stays) in [14, 24, 63, 64, 65, 100, 300]
        .into_iter()
        .flat_map(|period| [1e3, 1e6].map(|leap| (period, leap)))
        .flat_map(|(period, leap)| [false, true].map(|stays| (period, leap, stays)))
    {
        for at in [128, 200, 255, 256, 300, 301, 399] {
            let lifted = |i: usize| i == at || stays && i > at;
            let level = |i: usize| if lifted(i) { leap } else { 0.0 };
            let values: Vec<f64> = (0..1200).map(|i| 10.0 + noise(i) + level(i)).collect();
            let mut moments = RollingMoments::new(period);
            let mut line = RollingLine::new(period);
            for (i, value) in values.iter().enumerate() {
                let (moments, line) = (moments.push(*value), line.push(*value));
                let Some(begin) = (i + 1).checked_sub(period).filter(|begin| *begin > at) else {
                    continue;
                };
                let [deviation, slope] = afresh(&values[begin..=i]);
                let got = moments.unwrap().standard_deviation;
                let name = format!("{period}, {leap}, {stays}, {at}, at {i}");
                assert!(
                    (got / deviation - 1.0).abs() < 1e-9,
                    "{name}: {got} {deviation}"
                );
                // A slope may be zero: its error is measured by that of the noise.
                let got = line.unwrap().slope;
                let error = (got - slope).abs() * period as f64;
                assert!(error < 1e-8 * deviation, "{name}: {got} {slope}");
            }
        }
    }
}
