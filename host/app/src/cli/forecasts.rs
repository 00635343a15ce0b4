//! What `fusebox run` and `train` say of forecasts of returns: errors beside those of constants.

use fusebox_services::report::{Estimate, QuantileQuality, Regression};

use super::summary::{number, percent, with_interval};
use crate::output::table;

/// The table for people.
pub(super) fn text(quality: &Regression) -> String {
    let mut lines = table(&["out of sample", "model", "training mean", "zero"]);
    let of = |value: &dyn Fn(usize) -> Option<f64>| [0, 1].map(|at| number(value(at)));
    let baseline = |at: usize| quality.baselines.get(at);
    let mut row = |name: &str, own: String, [mean, zero]: [String; 2]| {
        lines.add_row([name.to_owned(), own, mean, zero]);
    };
    let plain = |one: Estimate| with_interval(one, |value| format!("{value:.4}"));
    row(
        "mean absolute error",
        plain(quality.mean_absolute_error),
        of(&|at| baseline(at)?.mean_absolute_error),
    );
    row(
        "root mean squared error",
        plain(quality.root_mean_squared_error),
        of(&|at| baseline(at)?.root_mean_squared_error),
    );
    let against = |at: usize| {
        let one = baseline(at).map_or_else(Estimate::default, |one| one.r_squared);
        with_interval(one, |value| format!("{:+.2} %", 100.0 * value))
    };
    row("R2 against it", String::new(), [against(0), against(1)]);
    let none = || [String::new(), String::new()];
    row("IC", plain(quality.information_coefficient), none());
    row(
        "rank IC",
        plain(quality.rank_information_coefficient),
        none(),
    );
    let steadiness = format!("ICIR over {}", quality.information_ratio_periods);
    row(&steadiness, plain(quality.information_ratio), none());
    let direction = with_interval(quality.directional_accuracy, |value| {
        format!("{:.2} %", 100.0 * value)
    });
    let constant = percent(quality.best_constant_direction);
    row(
        "direction",
        direction,
        [format!("{constant} (best constant)"), String::new()],
    );
    let quantiles = quality.quantiles.as_ref().map(of_quantiles);
    format!(
        "{}\n{lines}{}",
        quality.target,
        quantiles.unwrap_or_default()
    )
}

fn of_quantiles(quality: &QuantileQuality) -> String {
    let mut lines = table(&["quantiles", "model", "training quantiles", "less the model"]);
    let plain = |one: Estimate| with_interval(one, |value| format!("{value:.4}"));
    lines.add_row([
        "pinball loss".to_owned(),
        plain(quality.pinball_loss),
        number(quality.baseline_pinball_loss),
        with_interval(quality.improvement, |value| format!("{value:+.5}")),
    ]);
    lines.add_row([
        "CRPS".to_owned(),
        plain(quality.crps),
        number(quality.baseline_crps),
        String::new(),
    ]);
    for one in &quality.intervals {
        lines.add_row([
            format!("coverage of the {:.0} % interval", 100.0 * one.level),
            with_interval(one.coverage, |value| format!("{:.2} %", 100.0 * value)),
            percent(one.baseline_coverage),
            String::new(),
        ]);
    }
    format!("\n{lines}")
}
