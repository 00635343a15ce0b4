//! The page's templates and the filters that write numbers into them.
//!
//! Every value is HTML-escaped; an undefined one becomes a dash. A name that a template misspells
//! is an error, not an empty place.

use fusebox_engine::types::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::format;

const TEMPLATES: [(&str, &str); 22] = [
    (
        "report.html",
        include_str!("../../assets/report/report.html"),
    ),
    (
        "backtest.html",
        include_str!("../../assets/report/backtest.html"),
    ),
    (
        "comparison.html",
        include_str!("../../assets/report/comparison.html"),
    ),
    (
        "evaluation.html",
        include_str!("../../assets/report/evaluation.html"),
    ),
    (
        "macros.html",
        include_str!("../../assets/report/macros.html"),
    ),
    (
        "summary.html",
        include_str!("../../assets/report/sections/summary.html"),
    ),
    (
        "equity.html",
        include_str!("../../assets/report/sections/equity.html"),
    ),
    (
        "monthly.html",
        include_str!("../../assets/report/sections/monthly.html"),
    ),
    (
        "folds.html",
        include_str!("../../assets/report/sections/folds.html"),
    ),
    (
        "predictions.html",
        include_str!("../../assets/report/sections/predictions.html"),
    ),
    (
        "features.html",
        include_str!("../../assets/report/sections/features.html"),
    ),
    (
        "forecasts.html",
        include_str!("../../assets/report/sections/forecasts.html"),
    ),
    (
        "forecast_tables.html",
        include_str!("../../assets/report/sections/forecast_tables.html"),
    ),
    (
        "costs.html",
        include_str!("../../assets/report/sections/costs.html"),
    ),
    (
        "backtest_head.html",
        include_str!("../../assets/report/sections/backtest_head.html"),
    ),
    (
        "backtest_record.html",
        include_str!("../../assets/report/sections/backtest_record.html"),
    ),
    (
        "regimes.html",
        include_str!("../../assets/report/sections/regimes.html"),
    ),
    (
        "luck.html",
        include_str!("../../assets/report/sections/luck.html"),
    ),
    (
        "capacity.html",
        include_str!("../../assets/report/sections/capacity.html"),
    ),
    (
        "trades.html",
        include_str!("../../assets/report/sections/trades.html"),
    ),
    (
        "labels.html",
        include_str!("../../assets/report/sections/labels.html"),
    ),
    (
        "provenance.html",
        include_str!("../../assets/report/sections/provenance.html"),
    ),
];

/// What stands for an undefined value; the page's foot explains it.
const DASH: &str = "<span class=\"undefined\" title=\"undefined\">\u{2013}</span>";

/// The environment with all templates and filters.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    environment.add_filter("count", |value: Value| {
        show(&value, |value| {
            Ok(Some(format::count(u64::try_from(value.clone())?)))
        })
    });
    environment.add_filter("num", |value: Value, decimals: usize| {
        real(&value, |value| format::number(value, decimals))
    });
    environment.add_filter("signed", |value: Value, decimals: usize| {
        real(&value, |value| format::signed(value, decimals))
    });
    environment.add_filter("pct", |value: Value, decimals: usize| {
        real(&value, |value| format::percent(value, decimals))
    });
    environment.add_filter("spct", |value: Value, decimals: usize| {
        real(&value, |value| format::signed_percent(value, decimals))
    });
    environment.add_filter("money", |value: Value| real(&value, format::money));
    environment.add_filter("plain", |value: Value| {
        real(&value, |value| value.is_finite().then(|| value.to_string()))
    });
    environment.add_filter("price", |value: Value| real(&value, format::significant));
    environment.add_filter("duration", |value: Value| real(&value, format::duration));
    environment.add_filter("day", |value: Value| time(&value, format::day));
    environment.add_filter("minute", |value: Value| time(&value, format::minute));
    environment.add_filter("dash", dash);
    environment.add_filter("interval", interval);
    environment.add_filter("shade", shade);
    Ok(environment)
}

fn show(
    value: &Value,
    write: impl FnOnce(&Value) -> Result<Option<String>, Error>,
) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = if value.is_none() { None } else { write(value)? };
    Ok(text.map_or_else(|| Value::from_safe_string(DASH.to_owned()), Value::from))
}

fn real(value: &Value, write: impl FnOnce(f64) -> Option<String>) -> Result<Value, Error> {
    show(value, |value| Ok(write(f64::try_from(value.clone())?)))
}

fn time(value: &Value, write: fn(Timestamp) -> String) -> Result<Value, Error> {
    show(value, |value| {
        Ok(Some(write(Timestamp::from_nanos(i64::try_from(
            value.clone(),
        )?))))
    })
}

/// A text, or the dash where it is undefined.
fn dash(value: Value) -> Result<Value, Error> {
    show(&value, |value| Ok(Some(value.to_string())))
}

/// `low to high` of an interval; `percent=true` for fractions.
fn interval(value: Value, decimals: usize, options: Kwargs) -> Result<Value, Error> {
    let percent: Option<bool> = options.get("percent")?;
    options.assert_all_used()?;
    let write = if percent == Some(true) {
        format::percent
    } else {
        format::number
    };
    show(&value, |value| {
        let end = |name| Ok::<_, Error>(write(f64::try_from(value.get_attr(name)?)?, decimals));
        Ok(end("low")?
            .zip(end("high")?)
            .map(|(low, high)| format!("{low} to {high}")))
    })
}

/// The class and strength of a cell's colour: gain or loss, by size relative to `most`.
fn shade(value: Value, most: f64) -> Result<Value, Error> {
    let value = if value.is_none() {
        0.0
    } else {
        f64::try_from(value)?
    };
    let strength = if most > 0.0 {
        (value.abs() / most).min(1.0) * 60.0
    } else {
        0.0
    };
    let class = if value < 0.0 { "loss" } else { "gain" };
    Ok(Value::from_safe_string(format!(
        "class=\"shade {class}\" style=\"--strength:{strength:.0}%\""
    )))
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    fn write(source: &str, value: Value) -> Result<String, Error> {
        let environment = environment().unwrap();
        environment.render_named_str("test.html", source, context! { value })
    }

    #[test]
    fn an_undefined_number_is_a_dash_and_a_misspelled_name_an_error() {
        for filter in [
            "count",
            "num(2)",
            "spct(1)",
            "money",
            "day",
            "dash",
            "interval(1)",
        ] {
            let source = format!("{{{{ value|{filter} }}}}");
            assert_eq!(write(&source, Value::from(())).unwrap(), DASH, "{filter}");
            let source = format!("{{{{ value.nothing|{filter} }}}}");
            assert!(write(&source, context! { other => 1 }).is_err(), "{filter}");
        }
        assert_eq!(
            write("{{ value|num(2) }}", Value::from(f64::NAN)).unwrap(),
            DASH
        );
    }

    #[test]
    fn text_is_escaped_and_intervals_are_written_with_their_unit() {
        assert_eq!(
            write("{{ value|dash }}", Value::from("<b>")).unwrap(),
            "&lt;b&gt;"
        );
        let value = context! { low => -0.012, high => 0.024 };
        let text = write("{{ value|interval(1, percent=true) }}", value).unwrap();
        assert_eq!(text.replace('\u{a0}', " "), "\u{2212}1.2 % to 2.4 %");
    }
}
