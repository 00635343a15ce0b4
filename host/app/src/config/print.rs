//! Shows a configuration with the origin of every value: as TOML that can be run again, and as
//! JSON.

use serde_json::{Value, json};
use toml_edit::{Array, DocumentMut, Item, Table};

use super::layer::KeyPath;
use super::{ConfigError, Loaded};

/// Widest list that stays on one line, in characters.
const LINE_WIDTH: usize = 80;

/// The configuration as TOML; behind each value its origin as a comment.
///
/// # Errors
/// [`ConfigError::Internal`] where a value has no counterpart in TOML, which the raw structs rule
/// out.
pub(crate) fn to_toml(loaded: &Loaded) -> Result<String, ConfigError> {
    let internal = |error: toml_edit::ser::Error| ConfigError::Internal(error.to_string());
    let mut document: DocumentMut = toml_edit::ser::to_document(&loaded.raw).map_err(internal)?;
    annotate(document.as_table_mut(), &mut Vec::new(), loaded);
    Ok(document.to_string())
}

/// Turns inline tables into sections and adds the origins.
fn annotate(table: &mut Table, path: &mut KeyPath, loaded: &Loaded) {
    for (key, item) in table.iter_mut() {
        path.push(key.get().to_owned());
        if item.is_inline_table() {
            let inner = std::mem::take(item);
            *item = match inner.into_table() {
                Ok(table) => Item::Table(table),
                Err(inner) => inner,
            };
        }
        match item {
            Item::Table(inner) => annotate(inner, path, loaded),
            Item::Value(value) => {
                if let Some(array) = value.as_array_mut() {
                    wrap(array);
                }
                let origin = loaded.origin(path).unwrap_or("default");
                value.decor_mut().set_suffix(format!("  # {origin}"));
            }
            _ => {}
        }
        path.pop();
    }
    let has_values = table.iter().any(|(_, item)| item.is_value());
    table.set_implicit(!has_values && !table.is_empty());
}

/// Puts a long list on several lines.
fn wrap(array: &mut Array) {
    if array.to_string().len() <= LINE_WIDTH {
        return;
    }
    for item in array.iter_mut() {
        item.decor_mut().set_prefix("\n    ");
    }
    array.set_trailing_comma(true);
    array.set_trailing("\n");
}

/// The configuration as one object: dotted key to value and origin.
///
/// # Errors
/// [`ConfigError::Internal`] where a value has no counterpart in JSON, which the raw structs rule
/// out.
pub(crate) fn to_json(loaded: &Loaded) -> Result<Value, ConfigError> {
    let values = serde_json::to_value(&loaded.raw)
        .map_err(|error| ConfigError::Internal(error.to_string()))?;
    let mut flat = serde_json::Map::new();
    flatten(&values, &mut Vec::new(), &mut |path, value| {
        let origin = loaded.origin(path).unwrap_or("default");
        flat.insert(path.join("."), json!({"value": value, "origin": origin}));
    });
    Ok(Value::Object(flat))
}

/// Visits every value that is neither a table nor absent.
pub(crate) fn flatten(value: &Value, path: &mut KeyPath, visit: &mut impl FnMut(&KeyPath, &Value)) {
    match value {
        Value::Null => {}
        Value::Object(object) => {
            for (key, below) in object {
                path.push(key.clone());
                flatten(below, path, visit);
                path.pop();
            }
        }
        plain => visit(path, plain),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::layer::Layer;
    use super::super::load_layers;
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let layer = Layer::from_toml(text, Path::new("direction.toml")).unwrap();
        let (loaded, problems) = load_layers(vec![layer]).unwrap();
        assert_eq!(problems, []);
        loaded
    }

    #[test]
    fn the_text_gives_the_same_configuration_again() {
        let first = loaded(
            "[run]\nseed = 7\n[model.params]\nrate = 0.05\nleaves = 31\nname = \"x # y\"\n\
             [features]\nset = [\"log_return(1)\", \"log_return(2)\", \"log_return(3)\", \
             \"log_return(4)\", \"log_return(5)\"]\n",
        );
        let text = to_toml(&first).unwrap();
        assert!(text.contains("seed = 7  # direction.toml\n"), "{text}");
        assert!(text.contains("  # default\n"), "{text}");
        assert!(text.contains("\n    \"log_return(1)\",\n"), "{text}");
        assert!(text.contains("[model.params]\n"), "{text}");
        let again = loaded(&text);
        assert_eq!(again.raw, first.raw);
    }

    #[test]
    fn json_names_value_and_origin() {
        let shown = to_json(&loaded("[run]\nseed = 7\n")).unwrap();
        assert_eq!(
            shown["run.seed"],
            json!({"value": 7, "origin": "direction.toml"})
        );
        assert_eq!(shown["run.threads"]["origin"], "default");
    }
}
