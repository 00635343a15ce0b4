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
fn a_sorted_window_tells_ranks_and_quantiles() {
    let mut window = SortedWindow::new(5);
    let values = [3.0, -0.0, 0.0, 7.0, 3.0, 3.0, 9.0];
    let full: Vec<bool> = values[..5].iter().map(|v| window.push(*v)).collect();
    assert_eq!(full, [false, false, false, false, true]);
    // Two zeros below, one other 3.
    assert!((window.rank() - 2.5 / 4.0).abs() < 1e-15);
    assert!((window.share_below() - 0.5).abs() < 1e-15);
    assert!((window.quantile(0.5) - 3.0).abs() < 1e-15);
    assert!((window.quantile(0.9) - 5.4).abs() < 1e-12);
    for value in &values[5..] {
        window.push(*value);
    }
    let sorted = [0.0, 3.0, 3.0, 7.0, 9.0];
    for (place, value) in sorted.iter().enumerate() {
        assert!((window.quantile(place as f64 / 4.0) - value).abs() < 1e-15);
    }
    assert!((window.mean_of_smallest(3) - 2.0).abs() < 1e-15);
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
            let expected = is_full.then(|| window.rank().to_bits());
            assert_eq!(
                rank.push(value).map(f64::to_bits),
                expected,
                "{period} at {i}"
            );
        }
    }
}
