//! Checks the entries of a layer against the schema: unknown keys, wrong types, values out of
//! bounds. It reports everything it finds and changes nothing.

use serde_json::Value;

use super::layer::{Entry, KeyPath, Layer};
use super::problem::Problem;
use super::schema::{Lookup, Schema, alternatives, choices, types};

/// Every problem of `layer`. What has a problem is taken out of the layer, so that the rest can be
/// checked further; the keys taken out come with the problems.
pub(crate) fn check(layer: &mut Layer, schema: &Schema) -> Vec<(KeyPath, Problem)> {
    let mut problems: Vec<(KeyPath, Problem)> = Vec::new();
    let mut entries = std::mem::take(&mut layer.entries);
    entries.retain(|entry| {
        let Some((path, problem)) = check_entry(entry, layer, schema) else {
            return true;
        };
        // A table that is not known would otherwise be reported once for each of its keys.
        if !problems.iter().any(|(seen, _)| *seen == path) {
            problems.push((path, problem));
        }
        false
    });
    layer.entries = entries;
    problems
}

fn check_entry(entry: &Entry, layer: &Layer, schema: &Schema) -> Option<(KeyPath, Problem)> {
    let Entry { path, value, place } = entry;
    let place_of = |path: &[String]| layer.table_place(path).unwrap_or(place);
    let invalid = |path: &[String], message: String| {
        let problem = Problem::invalid(path.join("."), Some(place_of(path)), message);
        Some((path.to_vec(), problem))
    };
    match schema.look_up(path) {
        Lookup::Free => None,
        Lookup::Unknown { known } => {
            let wrong = &path[..=known];
            let nearest = schema.nearest(path, known);
            let problem = Problem::unknown(wrong.join("."), place_of(wrong), nearest);
            Some((wrong.to_vec(), problem))
        }
        Lookup::NotATable { known, rule } => {
            let message = format!("is a table; it must be {}", wanted(rule));
            invalid(&path[..known], message)
        }
        Lookup::Known(_) if is_empty_table(value) && !place.is_in_file() => invalid(
            path,
            "is an empty table, which changes nothing: tables are merged key by key, so set the \
             keys that are meant"
                .to_owned(),
        ),
        Lookup::Known(rule) => mismatch(value, rule).and_then(|message| invalid(path, message)),
    }
}

fn is_empty_table(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// What is wrong with `value` under `rule`; `None` where it fits.
pub(super) fn mismatch(value: &Value, rule: &Value) -> Option<String> {
    if !has_type(value, &types(rule)) {
        return Some(format!("is {}; it must be {}", shown(value), wanted(rule)));
    }
    match value {
        Value::String(text) => {
            let choices = choices(rule);
            let known = choices.is_empty() || choices.contains(&text.as_str());
            (!known).then(|| format!("is {}; it must be {}", shown(value), wanted(rule)))
        }
        Value::Number(number) => number
            .as_f64()
            .and_then(|number| out_of_bounds(number, rule)),
        Value::Array(items) => mismatch_of_items(items, rule),
        _ => None,
    }
}

fn mismatch_of_items(items: &[Value], rule: &Value) -> Option<String> {
    let least = rule.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    if (items.len() as u64) < least {
        return Some(format!("holds {} items; it needs {least}", items.len()));
    }
    let rule = rule.get("items")?;
    items.iter().enumerate().find_map(|(position, item)| {
        let message = mismatch(item, rule)?;
        Some(format!(
            "has a wrong item {}, which {message}",
            position + 1
        ))
    })
}

/// Whether a value has one of the types of the schema; a whole number is a number too.
fn has_type(value: &Value, types: &[&str]) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    types.is_empty() || types.contains(&name) || name == "integer" && types.contains(&"number")
}

fn out_of_bounds(number: f64, rule: &Value) -> Option<String> {
    let bound = |name: &str| {
        let own = rule.get(name).and_then(Value::as_f64);
        own.or_else(|| alternatives(rule).find_map(|one| one.get(name)?.as_f64()))
    };
    if bound("minimum").is_some_and(|least| number < least) {
        let least = bound("minimum")?;
        return Some(format!("is {number}; it must be at least {least}"));
    }
    if bound("exclusiveMinimum").is_some_and(|least| number <= least) {
        let least = bound("exclusiveMinimum")?;
        return Some(format!("is {number}; it must be above {least}"));
    }
    let format = rule.get("format").and_then(Value::as_str);
    let widest = (format == Some("uint32")).then_some(f64::from(u32::MAX));
    if let Some(most) = bound("maximum").or(widest)
        && number > most
    {
        return Some(format!("is {number}; it must be at most {most}"));
    }
    let most = bound("exclusiveMaximum")?;
    (number >= most).then(|| format!("is {number}; it must be below {most}"))
}

/// What a rule wants, in words.
pub(super) fn wanted(rule: &Value) -> String {
    let choices = choices(rule);
    if !choices.is_empty() {
        let quoted: Vec<String> = choices.iter().map(|one| format!("\"{one}\"")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    let names: Vec<&str> = types(rule)
        .into_iter()
        .filter_map(|one| match one {
            "boolean" => Some("true or false"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "string" => Some("a text"),
            "object" => Some("a table"),
            "array" => Some("a list such as [\"a\", \"b\"]"),
            _ => None,
        })
        .collect();
    names.join(" or ")
}

/// A value as a person would say it, shortened.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    let kind = match value {
        Value::String(_) => "the text ",
        Value::Array(_) => "the list ",
        Value::Object(_) => "the table ",
        _ => "",
    };
    format!("{kind}{short}{dots}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut layer = Layer::from_toml(text, Path::new("p.toml")).unwrap();
        let found = check(&mut layer, &Schema::pipeline());
        found
            .into_iter()
            .map(|(_, problem)| problem.to_string())
            .collect()
    }

    #[test]
    fn all_problems_come_at_once() {
        let text = r#"
            [run]
            seed = "x"
            sed = 1
            [modle]
            a = 1
            b = 2
            [data]
            source = "disk"
            symbols = ["A", 3]
            [labels]
            horizon_bars = 0
        "#;
        assert_eq!(
            problems(text),
            [
                "`run.seed` is the text \"x\"; it must be a whole number (p.toml, line 3)",
                "unknown key `run.sed` in p.toml, line 4; did you mean `run.seed`?",
                "unknown key `modle` in p.toml, line 5; did you mean `model`?",
                "`data.source` is the text \"disk\"; it must be one of \"files\", \"simulated\" \
                 (p.toml, line 9)",
                "`data.symbols` has a wrong item 2, which is 3; it must be a text \
                 (p.toml, line 10)",
                "`labels.horizon_bars` is 0; it must be at least 1 (p.toml, line 12)",
            ]
        );
    }

    #[test]
    fn a_table_in_place_of_a_value_is_said_so() {
        let found = problems("[run.seed]\ndeep = 1\n");
        assert_eq!(
            found,
            ["`run.seed` is a table; it must be a whole number (p.toml, line 1)"]
        );
        assert_eq!(problems("[run]\nseed = 1\n"), Vec::<String>::new());
        assert_eq!(problems("run = 1\n").len(), 1);
    }

    #[test]
    fn whole_numbers_serve_as_numbers_and_too_large_ones_are_refused() {
        assert_eq!(
            problems("[execution]\nfee_bps = 10\n"),
            Vec::<String>::new()
        );
        assert_eq!(problems("[labels]\nhorizon_bars = 5000000000\n").len(), 1);
        assert_eq!(problems("[labels]\nhorizon_bars = 1.5\n").len(), 1);
    }

    #[test]
    fn what_is_wrong_leaves_the_layer() {
        let text = "[run]\nseed = \"x\"\nthreads = 2\n";
        let mut layer = Layer::from_toml(text, Path::new("p.toml")).unwrap();
        let found = check(&mut layer, &Schema::pipeline());
        assert_eq!(found[0].0, ["run", "seed"]);
        let left: Vec<String> = layer.entries.iter().map(|one| one.path.join(".")).collect();
        assert_eq!(left, ["run.threads"]);
    }
}
