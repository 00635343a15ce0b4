use std::ops::Range;

use fusebox_plugin_api::schema::DatasetSchema;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::features::audit::{Check, FittedStep, StepRows, audit_step};

/// One batch of rows; rows of role 0 are context.
fn dataset(rows: &[[f32; 3]], roles: &[u8]) -> Dataset {
    let schema = DatasetSchema {
        features: ["a", "b", "c"].map(str::to_owned).to_vec(),
        labels: vec!["direction".to_owned()],
        classes: Vec::new(),
    };
    let count = rows.len();
    let columns = BatchColumns {
        features: rows.concat().into(),
        labels: vec![0.0; count].into(),
        weight: vec![1.0; count].into(),
        event_ns: (0..count as i64).collect::<Vec<_>>().into(),
        label_end_ns: (0..count as i64).collect::<Vec<_>>().into(),
        symbol: vec![0; count].into(),
        segment: vec![0; count].into(),
        role: roles.to_vec().into(),
    };
    let batch = DatasetBatch::new(&schema, columns).unwrap();
    Dataset::new(schema, vec![batch]).unwrap()
}

const KINDS: [ScalerKind; 3] = [
    ScalerKind::Standard,
    ScalerKind::Robust,
    ScalerKind::RankGauss,
];

fn fit(kind: ScalerKind, data: &Dataset) -> (Scaler, ScalerReport) {
    Scaler::fit(kind, data).unwrap().unwrap()
}

#[test]
fn only_samples_take_part_in_a_fit() {
    let own = [[1.0, 5.0, 2.0], [2.0, 7.0, 2.0], [4.0, 6.0, 2.0]];
    let alone = dataset(&own, &[1, 1, 1]);
    let outside = [[1e6, -1e6, 1e6]; 4];
    let mixed = dataset(&[&own[..], &outside[..]].concat(), &[1, 1, 1, 0, 0, 0, 0]);
    for kind in KINDS {
        assert_eq!(fit(kind, &alone), fit(kind, &mixed), "{kind:?}");
    }
    assert_eq!(Scaler::fit(ScalerKind::None, &alone), Ok(None));
}

#[test]
fn odd_columns_are_reported_and_stay_finite() {
    let nan = f32::NAN;
    let rows = [
        [0.1, nan, 1.0],
        [0.1, nan, nan],
        [0.1, nan, 3.0],
        [0.1, nan, 2.0],
    ];
    let data = dataset(&rows, &[1; 4]);
    for kind in KINDS {
        let (scaler, report) = fit(kind, &data);
        assert_eq!(report.samples, 4);
        assert_eq!(report.constant_columns, ["a"]);
        assert_eq!(report.empty_columns, ["b"]);
        let missing = [("b".to_owned(), 4), ("c".to_owned(), 1)];
        assert_eq!(report.missing_values, missing);
        let mut shown = [0.1, nan, 2.0, 0.5, 7.0, nan];
        scaler.apply(&mut shown).unwrap();
        assert!(shown[0].abs() < 1e-9 && shown[2].abs() < 1e-9, "{shown:?}");
        assert!(shown[1].is_nan() && shown[5].is_nan(), "{shown:?}");
        assert!((shown[3] - 0.4).abs() < 1e-6, "a constant is only moved");
    }
    let spiky: Vec<[f32; 3]> = (0..20)
        .map(|i| [i as f32, f32::from(i == 7), 0.0])
        .collect();
    let (scaler, report) = fit(ScalerKind::Robust, &dataset(&spiky, &[1; 20]));
    assert_eq!(report.unscaled_columns, ["b"]);
    assert_eq!(report.constant_columns, ["c"]);
    let mut shown = [9.5, 1.0, 0.0];
    scaler.apply(&mut shown).unwrap();
    let mut moved = shown.iter().zip([0.0, 1.0, 0.0]);
    assert!(moved.all(|(a, b)| (a - b).abs() < 1e-6), "{shown:?}");
}

#[test]
fn what_cannot_be_scaled_is_refused() {
    let nothing = dataset(&[[1.0, 2.0, 3.0]], &[0]);
    let infinite = dataset(
        &[[1.0, f32::INFINITY, 3.0], [1.0, 2.0, f32::NEG_INFINITY]],
        &[1, 1],
    );
    for kind in KINDS {
        assert_eq!(Scaler::fit(kind, &nothing), Err(ScalerError::NoSamples));
        let told = Scaler::fit(kind, &infinite).unwrap_err();
        let columns = vec!["b".to_owned(), "c".to_owned()];
        assert_eq!(told, ScalerError::Infinite(columns));
    }
    let (scaler, _) = fit(KINDS[0], &dataset(&[[1.0, 2.0, 3.0]], &[1]));
    let told = scaler.apply(&mut [0.0; 4]).unwrap_err().to_string();
    assert!(told.contains("fitted on 3 columns"), "{told}");
}

#[test]
fn a_scaler_survives_storage_to_the_bit() {
    let rows: Vec<[f32; 3]> = (0..50)
        .map(|i| {
            let x = i as f32;
            [x.sin(), x * 0.1, (x * 1.7).cos().powi(3)]
        })
        .collect();
    let data = dataset(&rows, &[1; 50]);
    for kind in KINDS {
        let (scaler, _) = fit(kind, &data);
        let stored = serde_json::to_string(&scaler).unwrap();
        let read: Scaler = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, scaler);
        for (whole, damaged) in [
            (r#"["a","b","c"]"#, r#"["a","b"]"#),
            (r#""scale":""#, r#""scale":"-"#),
            (r#"{"ranks":""#, r#"{"ranks":"9 "#),
        ] {
            let damaged = stored.replace(whole, damaged);
            let refused = serde_json::from_str::<Scaler>(&damaged);
            assert!(damaged == stored || refused.is_err(), "{damaged}");
        }
        let scaled = scaler.dataset(&data).unwrap();
        let mut rows = rows.concat();
        read.apply(&mut rows).unwrap();
        let view = scaled.views().next().unwrap();
        assert_eq!(view.features, rows);
        assert_eq!(view.event_ns, data.views().next().unwrap().event_ns);
    }
}

#[test]
fn ranks_keep_order_and_take_ties_in_the_middle() {
    let values = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let rows: Vec<[f32; 3]> = values.iter().map(|x| [*x, 0.0, *x]).collect();
    let (scaler, _) = fit(ScalerKind::RankGauss, &dataset(&rows, &[1; 9]));
    let mut shown: Vec<f32> = [-1.0, 0.0, 0.5, 2.0, 9.0]
        .iter()
        .flat_map(|x| [*x, 0.0, *x])
        .collect();
    scaler.apply(&mut shown).unwrap();
    let first: Vec<f32> = shown.chunks(3).map(|row| row[0]).collect();
    assert!(
        first.is_sorted() && (first[0] + 5.199_338).abs() < 1e-4,
        "{first:?}"
    );
    // Ranks 0 to 3 of 8 are zeros: the middle is 1.5 / 8.
    let expected = quantile(1.5 / 8.0).unwrap() as f32;
    assert!((first[1] - expected).abs() < 1e-6, "{first:?}");
}

/// Fits on the rows of `fitted` and scales all of them.
fn scaled(kind: ScalerKind, rows: &StepRows, fitted: &[bool]) -> Result<StepRows, String> {
    let values: Vec<[f32; 3]> = rows
        .values
        .chunks_exact(3)
        .map(|row| [row[0] as f32, row[1] as f32, row[2] as f32])
        .collect();
    let roles: Vec<u8> = fitted.iter().map(|one| u8::from(*one)).collect();
    let data = dataset(&values, &roles);
    let fit = Scaler::fit(kind, &data).map_err(|error| error.to_string())?;
    let (scaler, _) = fit.ok_or("there is no scaler")?;
    let scaled = scaler.dataset(&data).map_err(|error| error.to_string())?;
    let values = scaled.views().flat_map(|view| view.features.to_vec());
    Ok(StepRows {
        columns: rows.columns.clone(),
        values: values.map(f64::from).collect(),
    })
}

#[test]
fn the_audit_of_fitted_steps_passes_scalers_and_catches_one_that_is_fitted_on_everything() {
    let values: Vec<f64> = (0..900).map(|i| f64::from(i * 37 % 101)).collect();
    let rows = StepRows {
        columns: ["a", "b", "c"].map(str::to_owned).to_vec(),
        values,
    };
    let within =
        |range: Range<usize>| -> Vec<bool> { (0..300).map(|row| range.contains(&row)).collect() };
    for kind in KINDS {
        let judge = |step: &mut dyn FittedStep| {
            let mut random = ChaCha8Rng::seed_from_u64(11);
            audit_step(step, &rows, &within(40..180), (&mut random, 6))
                .unwrap()
                .findings
        };
        let mut own = |rows: &StepRows, training: &[bool]| scaled(kind, rows, training);
        assert_eq!(judge(&mut own), [], "{kind:?}");
        let mut everything = |rows: &StepRows, _: &[bool]| scaled(kind, rows, &within(0..300));
        let found = judge(&mut everything);
        assert_eq!(found.len(), 3, "{kind:?}: every column is caught");
        assert!(found.iter().all(|one| one.check == Check::FitScope));
        // One row too many is enough.
        let mut one_more = |rows: &StepRows, _: &[bool]| scaled(kind, rows, &within(40..181));
        assert!(!judge(&mut one_more).is_empty(), "{kind:?}");
    }
}
