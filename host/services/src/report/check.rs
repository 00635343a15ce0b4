//! Whether a [`ReportData`] fits together; a report that contradicts itself is not written.

use super::data::ReportData;

/// Every contradiction, in words; empty where there is none.
pub(super) fn problems(data: &ReportData) -> Vec<String> {
    let mut problems = Vec::new();
    check_classes(data, &mut problems);
    check_curve(data, &mut problems);
    check_importance(data, &mut problems);
    let months = &data.trading.monthly_returns;
    if !months.is_sorted_by(|a, b| (a.year, a.month) < (b.year, b.month)) {
        problems.push("trading.monthly_returns is not ascending".to_owned());
    }
    for month in months
        .iter()
        .filter(|month| !(1..=12).contains(&month.month))
    {
        let (year, month) = (month.year, month.month);
        problems.push(format!(
            "trading.monthly_returns has month {month} in {year}"
        ));
    }
    problems
}

fn check_classes(data: &ReportData, problems: &mut Vec<String>) {
    let quality = &data.classification;
    let classes = quality.class_names.len();
    if classes == 0 {
        problems.push("classification.class_names is empty".to_owned());
    }
    let rows = &quality.confusion;
    if rows.len() != classes || rows.iter().any(|row| row.len() != classes) {
        let name = "classification.confusion";
        problems.push(format!("{name} is not a {classes} x {classes} matrix"));
    }
    let total: u64 = rows.iter().flatten().sum();
    if total != quality.scored_predictions {
        let scored = quality.scored_predictions;
        problems.push(format!(
            "classification.confusion counts {total} rows, scored_predictions is {scored}"
        ));
    }
    for (name, found) in [
        ("per_class", quality.per_class.len()),
        ("calibration", quality.calibration.len()),
    ] {
        if found != classes {
            problems.push(format!(
                "classification.{name} has {found} entries for {classes} classes"
            ));
        }
    }
}

fn check_curve(data: &ReportData, problems: &mut Vec<String>) {
    let curve = &data.trading.curve;
    if !curve.is_sorted_by(|a, b| a.closed_at < b.closed_at) {
        problems.push("trading.curve is not ascending in time".to_owned());
    }
    let broken = curve.iter().position(|point| {
        let values = [
            point.strategy_equity,
            point.buy_and_hold_equity,
            point.gross_exposure,
        ];
        values.iter().any(|value| !value.is_finite())
    });
    if let Some(position) = broken {
        problems.push(format!(
            "trading.curve[{position}] has a value that is not finite"
        ));
    }
}

fn check_importance(data: &ReportData, problems: &mut Vec<String>) {
    let folds = data.folds.len();
    for feature in &data.features {
        let found = feature.gain_share_by_fold.len();
        if found != folds {
            let name = &feature.feature;
            problems.push(format!(
                "feature {name} has {found} gain shares for {folds} folds"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn names_every_contradiction_at_once() {
        let mut data = sample::report();
        assert_eq!(problems(&data), Vec::<String>::new());
        data.classification.confusion[0][0] += 1;
        data.classification.confusion[1].pop();
        data.classification.per_class.pop();
        data.trading.curve.swap(3, 4);
        data.trading.curve[7].gross_exposure = f64::NAN;
        data.trading.monthly_returns[0].month = 13;
        data.features[0].gain_share_by_fold.pop();
        let found = problems(&data).join("\n");
        for part in [
            "not a 3 x 3 matrix",
            "scored_predictions is",
            "per_class has 2 entries for 3 classes",
            "not ascending in time",
            "curve[7]",
            "month 13",
            "gain shares for",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }
}
