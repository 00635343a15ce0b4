//! Whether a [`ReportData`] fits together; a report that contradicts itself is not written.

use super::data::{Costs, ReportData, Trading};

/// Every contradiction, in words; empty where there is none.
pub(super) fn problems(data: &ReportData) -> Vec<String> {
    let mut problems = Vec::new();
    check_classes(data, &mut problems);
    check_importance(data, &mut problems);
    problems.extend(trading_problems(&data.trading));
    problems
}

/// Every contradiction of the trading half, in words; empty where there is none.
pub(super) fn trading_problems(trading: &Trading) -> Vec<String> {
    let mut problems = Vec::new();
    check_curve(trading, &mut problems);
    check_costs(trading, &mut problems);
    check_regimes(trading, &mut problems);
    let months = &trading.monthly_returns;
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
    let points = &trading.analysis.capacity.points;
    if !points.is_sorted_by(|a, b| a.capital < b.capital) {
        problems.push("trading.analysis.capacity is not ascending in capital".to_owned());
    }
    let (ambiguous, slices) = (trading.analysis.ambiguous_slices, trading.analysis.slices);
    if ambiguous > slices {
        problems.push(format!(
            "trading.analysis counts {ambiguous} ambiguous slices of {slices}"
        ));
    }
    problems
}

/// Whether amounts that are exact in the engine still agree as floats.
fn agree(one: f64, other: f64, size: f64) -> bool {
    (one - other).abs() <= 1e-6 + 1e-9 * size.abs()
}

/// What is left of the gross profit, and how large the amounts are that it is made of.
fn left(costs: &Costs) -> (f64, f64) {
    let paid = costs.fees + costs.spread + costs.impact + costs.liquidation;
    let received = costs.funding + costs.interest + costs.insurance + costs.currency_effect;
    let size = costs.gross_profit.abs() + costs.traded_value.abs();
    (costs.gross_profit - paid + received, size)
}

fn check_costs(trading: &Trading, problems: &mut Vec<String>) {
    let all = [("trading.costs".to_owned(), &trading.costs)];
    let rows = trading.analysis.compared.iter();
    let compared = rows.map(|row| (format!("the costs of {}", row.name), &row.costs));
    let symbols = trading.symbols.iter();
    let symbols = symbols.map(|one| (format!("the costs of {}", one.symbol), &one.costs));
    for (name, costs) in all.into_iter().chain(compared).chain(symbols) {
        let (left, size) = left(costs);
        if !agree(left, costs.net_profit, size) {
            let net = costs.net_profit;
            problems.push(format!("{name} leave {left}, net_profit is {net}"));
        }
    }
    if trading.symbols.is_empty() {
        return;
    }
    let account = trading.analysis.account_costs.net_profit;
    let sum: f64 = trading.symbols.iter().map(|one| one.costs.net_profit).sum();
    let (_, size) = left(&trading.costs);
    if !agree(sum + account, trading.costs.net_profit, size) {
        let net = trading.costs.net_profit;
        problems.push(format!(
            "trading.symbols and the account make {}, trading.costs {net}",
            sum + account
        ));
    }
}

/// The rows of one group cover everything, so they make the same sum.
fn check_regimes(trading: &Trading, problems: &mut Vec<String>) {
    let rows = &trading.analysis.regimes.rows;
    if rows.is_empty() {
        return;
    }
    let account = trading.analysis.account_costs.net_profit;
    let (_, size) = left(&trading.costs);
    for group in ["volatility", "trend"] {
        let own = rows.iter().filter(|row| row.group == group);
        let sum: f64 = own.map(|row| row.costs.net_profit).sum();
        if !agree(sum + account, trading.costs.net_profit, size) {
            let net = trading.costs.net_profit;
            problems.push(format!(
                "the regimes of {group} and the account make {}, trading.costs {net}",
                sum + account
            ));
        }
    }
}

fn check_classes(data: &ReportData, problems: &mut Vec<String>) {
    let Some(quality) = data.quality.classification() else {
        return;
    };
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

fn check_curve(trading: &Trading, problems: &mut Vec<String>) {
    let curve = &trading.curve;
    if !curve.is_sorted_by(|a, b| a.closed_at < b.closed_at) {
        problems.push("trading.curve is not ascending in time".to_owned());
    }
    let broken = curve.iter().position(|point| {
        let values = [
            point.strategy_equity,
            point.buy_and_hold_equity,
            point.gross_exposure,
            point.net_exposure,
            point.turnover,
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
        data.quality.classes_mut().confusion[0][0] += 1;
        data.quality.classes_mut().confusion[1].pop();
        data.quality.classes_mut().per_class.pop();
        data.trading.curve.swap(3, 4);
        data.trading.curve[7].gross_exposure = f64::NAN;
        data.trading.monthly_returns[0].month = 13;
        data.trading.costs.fees += 1.0;
        data.trading.analysis.compared[2].costs.funding -= 1.0;
        data.trading.symbols[1].costs.net_profit += 1.0;
        data.trading.analysis.regimes.rows[0].costs.net_profit += 5.0;
        data.trading.analysis.capacity.points.swap(0, 1);
        data.trading.analysis.ambiguous_slices = u64::MAX;
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
            "trading.costs leave",
            "the costs of buy and hold leave",
            "the costs of ETHUSDT leave",
            "trading.symbols and the account make",
            "the regimes of volatility",
            "not ascending in capital",
            "ambiguous slices of",
        ] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }
}
