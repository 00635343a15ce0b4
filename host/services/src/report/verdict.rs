//! The two questions a reader has, answered in plain words: does the model beat its baseline, does
//! the strategy beat buy and hold. The page, the command line and `metrics.json` say the same.

use serde::Serialize;

use super::data::{Classification, Estimate, Interval, Quality, Regression, ReportData, Trading};
use super::format;

/// Answer to "does it beat its baseline", from the confidence interval of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole interval is above zero.
    Beats,
    /// The interval includes zero: chance explains the difference.
    NotShown,
    /// The whole interval is below zero.
    Worse,
    /// There is no difference or no interval to judge by.
    Undetermined,
}

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// The answer in a few words.
    pub headline: String,
    /// The numbers behind it, in sentences.
    pub explanation: String,
}

/// Threshold from which a probability that the Sharpe ratio is no luck counts as convincing.
const CONVINCING: f64 = 0.95;

impl Outcome {
    /// What the interval of a difference says.
    pub(super) fn of(difference: &Estimate) -> Self {
        let (Some(value), Some(interval)) = (difference.value, difference.interval) else {
            return Self::Undetermined;
        };
        if !(value.is_finite() && interval.low.is_finite() && interval.high.is_finite()) {
            Self::Undetermined
        } else if interval.low > 0.0 {
            Self::Beats
        } else if interval.high < 0.0 {
            Self::Worse
        } else {
            Self::NotShown
        }
    }

    fn conclusion(self, baseline: &str) -> String {
        match self {
            Self::Beats => format!("it beats {baseline}"),
            Self::NotShown => {
                format!("the interval includes zero, so it does NOT beat {baseline}")
            }
            Self::Worse => format!("it does NOT beat {baseline}, it is worse"),
            Self::Undetermined => {
                format!("without an interval it cannot be said whether it beats {baseline}")
            }
        }
    }
}

/// Whether the model's accuracy beats the majority class, or its forecasts every constant.
#[must_use]
pub fn model_verdict(data: &ReportData) -> Verdict {
    quality_verdict(&data.quality)
}

/// The same of predictions alone.
pub(super) fn quality_verdict(quality: &Quality) -> Verdict {
    let (outcome, explanation) = match quality {
        Quality::Classification(quality) => {
            let outcome = Outcome::of(&quality.accuracy_difference);
            (outcome, model_explanation(quality, outcome))
        }
        Quality::Regression(quality) => {
            let outcome = forecast_outcome(quality);
            (outcome, forecast_explanation(quality, outcome))
        }
    };
    let headline = match outcome {
        Outcome::Beats => "The model beats its baseline",
        Outcome::NotShown => "The model does NOT beat its baseline",
        Outcome::Worse => "The model does NOT beat its baseline: it is worse",
        Outcome::Undetermined => "Whether the model beats its baseline is undetermined",
    };
    Verdict {
        outcome,
        headline: headline.to_owned(),
        explanation,
    }
}

/// Against the training quantiles where there are quantiles, else against the training mean and
/// zero: forecasts beat their baseline only where they beat both.
fn forecast_outcome(quality: &Regression) -> Outcome {
    let against: Vec<Outcome> = match &quality.quantiles {
        Some(quantiles) => vec![Outcome::of(&quantiles.improvement)],
        None => {
            let constants = quality.baselines.iter();
            constants.map(|one| Outcome::of(&one.improvement)).collect()
        }
    };
    let all = |wanted: Outcome| !against.is_empty() && against.iter().all(|one| *one == wanted);
    let any = |wanted: Outcome| against.contains(&wanted);
    if all(Outcome::Beats) {
        Outcome::Beats
    } else if any(Outcome::Worse) {
        Outcome::Worse
    } else if any(Outcome::NotShown) {
        Outcome::NotShown
    } else {
        Outcome::Undetermined
    }
}

fn forecast_explanation(quality: &Regression, outcome: Outcome) -> String {
    let rows = format::count(quality.scored_predictions);
    let said = |one: &Estimate, scale: f64, decimals: usize, unit: &str| {
        let value = format::signed(one.value? * scale, decimals)?;
        let interval = one.interval.as_ref();
        let interval = interval.and_then(|one| interval_text(one, scale, decimals, unit));
        Some(format!("{value}{unit}{}", interval.unwrap_or_default()))
    };
    let mut parts = Vec::new();
    if let Some(quantiles) = &quality.quantiles {
        let value = said(&quantiles.improvement, 1.0, 4, "");
        parts.extend(value.map(|value| {
            format!("the pinball loss of the training quantiles less that of the model is {value}")
        }));
    }
    for one in &quality.baselines {
        let value = said(&one.r_squared, 100.0, 2, "\u{a0}%");
        parts.extend(value.map(|value| {
            let article = if one.name == "zero" { "" } else { "the " };
            format!("R2 against {article}{} is {value}", one.name)
        }));
    }
    if parts.is_empty() {
        return format!("On {rows} out-of-sample forecasts the errors are undefined.");
    }
    let direction = direction_sentence(&quality.information_coefficient);
    format!(
        "On {rows} out-of-sample forecasts of the {}, {}: {}.{}",
        quality.target,
        parts.join(", "),
        outcome.conclusion("its baseline"),
        direction.unwrap_or_default()
    )
}

fn model_explanation(quality: &Classification, outcome: Outcome) -> String {
    let rows = format::count(quality.scored_predictions);
    let Some(accuracy) = quality
        .accuracy
        .value
        .and_then(|value| format::percent(value, 1))
    else {
        return format!("On {rows} out-of-sample predictions the accuracy is undefined.");
    };
    let difference = match quality.accuracy_difference.value {
        Some(value) if value.is_finite() => {
            let side = if value < 0.0 { "below" } else { "above" };
            let points = format::number(value.abs() * 100.0, 1).unwrap_or_default();
            let interval = quality.accuracy_difference.interval.as_ref();
            let interval = interval.and_then(|interval| interval_text(interval, 100.0, 1, ""));
            format!(
                ", {points} points {side} the majority class{}",
                interval.unwrap_or_default()
            )
        }
        _ => String::new(),
    };
    let conclusion = outcome.conclusion("its baseline");
    let direction = direction_sentence(&quality.information_coefficient);
    format!(
        "On {rows} out-of-sample predictions the model's accuracy is {accuracy}{difference}: \
         {conclusion}.{}",
        direction.unwrap_or_default()
    )
}

/// Whether the score tells up from down. Accuracy can come from telling quiet hours from busy ones
/// alone, which earns nothing.
fn direction_sentence(coefficient: &Estimate) -> Option<String> {
    let value = format::number(coefficient.value?, 3)?;
    let interval = coefficient.interval.as_ref()?;
    let range = interval_text(interval, 1.0, 3, "")?;
    let judgement = match Outcome::of(coefficient) {
        Outcome::Beats => "it tells up from down",
        Outcome::NotShown => "that it tells up from down is NOT shown",
        Outcome::Worse => "it points the wrong way",
        Outcome::Undetermined => return None,
    };
    Some(format!(
        " The correlation of its score and the return is {value}{range}: {judgement}."
    ))
}

/// Whether the strategy's mean return after costs beats buy and hold.
#[must_use]
pub fn strategy_verdict(trading: &Trading) -> Verdict {
    let outcome = Outcome::of(&trading.excess_return);
    let headline = match outcome {
        Outcome::Beats => "The strategy beats buy and hold after costs",
        Outcome::NotShown => "The strategy does NOT beat buy and hold after costs",
        Outcome::Worse => "The strategy does NOT beat buy and hold after costs: it is worse",
        Outcome::Undetermined => {
            "Whether the strategy beats buy and hold after costs is undetermined"
        }
    };
    let explanation = [
        return_sentence(trading),
        excess_sentence(&trading.excess_return, outcome),
        sharpe_sentence(trading),
        deflated_sentence(trading),
    ];
    Verdict {
        outcome,
        headline: headline.to_owned(),
        explanation: explanation
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn return_sentence(trading: &Trading) -> Option<String> {
    let strategy = format::signed_percent(trading.strategy.total_return?, 1)?;
    let hold = trading
        .buy_and_hold
        .total_return
        .and_then(|value| format::signed_percent(value, 1));
    let hold = hold.map(|hold| format!(" against {hold} for buy and hold"));
    Some(format!(
        "After fees and slippage the strategy returned {strategy}{}.",
        hold.unwrap_or_default()
    ))
}

fn excess_sentence(excess: &Estimate, outcome: Outcome) -> Option<String> {
    let Some(value) = excess.value.filter(|value| value.is_finite()) else {
        return Some("The difference of mean returns is undefined.".to_owned());
    };
    let side = if value < 0.0 { "below" } else { "above" };
    let size = format::percent(value.abs(), 1)?;
    let interval = excess.interval.as_ref();
    let interval = interval.and_then(|interval| interval_text(interval, 100.0, 1, "\u{a0}%"));
    Some(format!(
        "Its mean return is {size} a year {side} that of buy and hold{}: {}.",
        interval.unwrap_or_default(),
        outcome.conclusion("buy and hold")
    ))
}

fn sharpe_sentence(trading: &Trading) -> Option<String> {
    let sharpe = &trading.strategy.sharpe_ratio;
    let value = format::number(sharpe.value?, 2)?;
    let interval = sharpe.interval.as_ref();
    let interval = interval.and_then(|interval| interval_text(interval, 1.0, 2, ""));
    let hold = trading.buy_and_hold.sharpe_ratio.value;
    let hold = hold.and_then(|hold| format::number(hold, 2));
    let hold = hold.map(|hold| format!(", buy and hold has {hold}"));
    Some(format!(
        "Its Sharpe ratio is {value}{}{}.",
        interval.unwrap_or_default(),
        hold.unwrap_or_default()
    ))
}

fn deflated_sentence(trading: &Trading) -> Option<String> {
    let deflated = trading.deflated_sharpe_ratio?;
    let value = format::percent(deflated, 1)?;
    let trials = match trading.trials {
        1 => "1 trial, the only one that the run knows of,".to_owned(),
        trials => format!("{} trials", format::count(u64::from(trials))),
    };
    let judgement = if deflated >= CONVINCING {
        "luck is an unlikely explanation"
    } else {
        "below the customary 95\u{a0}%, so luck is not ruled out"
    };
    Some(format!(
        "The deflated Sharpe ratio over {trials} is {value}: {judgement}."
    ))
}

/// ` (95 % interval 1.2 to 2.4)`, of values multiplied by `scale`.
fn interval_text(interval: &Interval, scale: f64, decimals: usize, unit: &str) -> Option<String> {
    let level = format::percent(interval.level, 0)?;
    let low = format::number(interval.low * scale, decimals)?;
    let high = format::number(interval.high * scale, decimals)?;
    Some(format!(" ({level} interval {low}{unit} to {high}{unit})"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn interval(low: f64, high: f64) -> Option<Interval> {
        Some(Interval {
            low,
            high,
            level: 0.95,
        })
    }

    fn with_difference(value: Option<f64>, interval: Option<Interval>) -> Verdict {
        let mut data = sample::report();
        data.quality.classes_mut().scored_predictions = 61_234;
        data.quality.classes_mut().accuracy.value = Some(0.3912);
        data.quality.classes_mut().accuracy_difference = Estimate { value, interval };
        model_verdict(&data)
    }

    #[test]
    fn the_model_beats_its_baseline_only_if_the_interval_is_above_zero() {
        let verdict = with_difference(Some(0.018), interval(0.012, 0.024));
        assert_eq!(verdict.outcome, Outcome::Beats);
        assert_eq!(
            verdict.explanation.replace('\u{a0}', " "),
            "On 61,234 out-of-sample predictions the model's accuracy is 39.1 %, 1.8 points above \
             the majority class (95 % interval 1.2 to 2.4): it beats its baseline. The \
             correlation of its score and the return is 0.047 (95 % interval 0.031 to 0.062): it \
             tells up from down."
        );
        let verdict = with_difference(Some(0.018), interval(-0.001, 0.037));
        assert_eq!(verdict.outcome, Outcome::NotShown);
        assert!(verdict.explanation.contains("does NOT beat its baseline"));
        let verdict = with_difference(Some(-0.018), interval(-0.03, -0.01));
        assert_eq!(verdict.outcome, Outcome::Worse);
        assert!(
            verdict
                .explanation
                .contains("1.8 points below the majority class")
        );
    }

    #[test]
    fn accuracy_without_direction_is_said_to_be_that() {
        let told = |low, high| {
            let mut data = sample::report();
            data.quality.classes_mut().accuracy_difference = Estimate {
                value: Some(0.035),
                interval: interval(0.016, 0.054),
            };
            data.quality.classes_mut().information_coefficient = Estimate {
                value: Some((low + high) / 2.0),
                interval: interval(low, high),
            };
            let verdict = model_verdict(&data);
            assert_eq!(verdict.outcome, Outcome::Beats);
            verdict.explanation.replace('\u{a0}', " ")
        };
        let text = told(-0.016, 0.032);
        assert!(
            text.ends_with("that it tells up from down is NOT shown."),
            "{text}"
        );
        let text = told(-0.032, -0.016);
        assert!(text.ends_with("it points the wrong way."), "{text}");
        let text = told(f64::NAN, 0.1);
        assert!(text.ends_with("it beats its baseline."), "{text}");
    }

    #[test]
    fn without_an_interval_nothing_is_claimed() {
        for interval in [None, interval(f64::NAN, 0.1)] {
            let verdict = with_difference(Some(0.1), interval);
            assert_eq!(verdict.outcome, Outcome::Undetermined);
            assert!(verdict.explanation.contains("cannot be said"));
        }
        assert_eq!(
            with_difference(None, interval(0.1, 0.2)).outcome,
            Outcome::Undetermined
        );
    }

    #[test]
    fn the_strategy_is_judged_by_the_difference_and_the_trials() {
        let mut data = sample::report();
        data.trading.excess_return = Estimate {
            value: Some(0.10),
            interval: interval(0.02, 0.18),
        };
        data.trading.deflated_sharpe_ratio = Some(0.31);
        data.trading.trials = 12;
        let verdict = strategy_verdict(&data.trading);
        assert_eq!(verdict.outcome, Outcome::Beats);
        let text = verdict.explanation.replace('\u{a0}', " ");
        assert!(
            text.contains("10.0 % a year above that of buy and hold"),
            "{text}"
        );
        assert!(text.contains("over 12 trials is 31.0 %"), "{text}");
        assert!(text.contains("luck is not ruled out"), "{text}");
        data.trading.excess_return = Estimate::default();
        data.trading.deflated_sharpe_ratio = None;
        let verdict = strategy_verdict(&data.trading);
        assert_eq!(verdict.outcome, Outcome::Undetermined);
        assert!(
            verdict
                .explanation
                .contains("difference of mean returns is undefined")
        );
    }
}
