//! Puts the layers on top of each other with the `config` crate, which keeps where each value came
//! from. A later layer wins; tables merge, lists and plain values replace.

use std::collections::BTreeMap;

use config::{Config, ConfigError as LibraryError, Map, Source, Value as Setting, ValueKind};
use serde_json::{Number, Value};

use super::ConfigError;
use super::layer::{KeyPath, Layer};

/// The merged values, and which place won each of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Merged {
    /// The values as one nested object.
    pub(crate) values: Value,
    /// The origin of every value that is not a table.
    pub(crate) origins: BTreeMap<KeyPath, String>,
}

/// Merges `layers`, weakest first.
///
/// # Errors
/// [`ConfigError::Internal`] where a value has no counterpart, which the layers rule out.
pub(crate) fn merge(layers: Vec<Layer>) -> Result<Merged, ConfigError> {
    let internal = |error: LibraryError| ConfigError::Internal(error.to_string());
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().map_err(internal)?;
    let mut origins = BTreeMap::new();
    let values = to_json(&merged.cache, &mut Vec::new(), &mut origins)?;
    Ok(Merged { values, origins })
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Setting>, LibraryError> {
        let mut root = Map::new();
        for entry in &self.entries {
            let setting = to_setting(&entry.value, &entry.place.origin);
            insert(&mut root, &entry.path, setting);
        }
        Ok(root)
    }
}

fn insert(table: &mut Map<String, Setting>, path: &[String], setting: Setting) {
    let [name, below @ ..] = path else {
        return;
    };
    if below.is_empty() {
        table.insert(name.clone(), setting);
        return;
    }
    let inner = table
        .entry(name.clone())
        .or_insert_with(|| Setting::new(None, Map::<String, Setting>::new()));
    if let ValueKind::Table(inner) = &mut inner.kind {
        insert(inner, below, setting);
    }
}

fn to_setting(value: &Value, origin: &String) -> Setting {
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(is) => ValueKind::Boolean(*is),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => ValueKind::I64(whole),
            (None, Some(whole)) => ValueKind::U64(whole),
            (None, None) => ValueKind::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Array(items) => {
            ValueKind::Array(items.iter().map(|item| to_setting(item, origin)).collect())
        }
        Value::Object(object) => ValueKind::Table(
            object
                .iter()
                .map(|(key, value)| (key.clone(), to_setting(value, origin)))
                .collect(),
        ),
    };
    Setting::new(Some(origin), kind)
}

fn to_json(
    setting: &Setting,
    path: &mut KeyPath,
    origins: &mut BTreeMap<KeyPath, String>,
) -> Result<Value, ConfigError> {
    if let ValueKind::Table(table) = &setting.kind {
        let mut object = serde_json::Map::new();
        for (key, below) in table {
            path.push(key.clone());
            object.insert(key.clone(), to_json(below, path, origins)?);
            path.pop();
        }
        return Ok(Value::Object(object));
    }
    if let Some(origin) = setting.origin() {
        origins.insert(path.clone(), origin.to_owned());
    }
    plain(setting)
}

fn plain(setting: &Setting) -> Result<Value, ConfigError> {
    let wrong = || ConfigError::Internal(format!("{setting} has no counterpart in JSON"));
    Ok(match &setting.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(is) => Value::Bool(*is),
        ValueKind::I64(whole) => Value::from(*whole),
        ValueKind::U64(whole) => Value::from(*whole),
        ValueKind::I128(whole) => Value::from(i64::try_from(*whole).map_err(|_| wrong())?),
        ValueKind::U128(whole) => Value::from(u64::try_from(*whole).map_err(|_| wrong())?),
        ValueKind::Float(number) => Value::Number(Number::from_f64(*number).ok_or_else(wrong)?),
        ValueKind::String(text) => Value::String(text.clone()),
        ValueKind::Array(items) => {
            let items: Result<Vec<Value>, ConfigError> = items.iter().map(plain).collect();
            Value::Array(items?)
        }
        ValueKind::Table(table) => {
            let mut object = serde_json::Map::new();
            for (key, below) in table {
                object.insert(key.clone(), plain(below)?);
            }
            Value::Object(object)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layer(name: &str, text: &str) -> Layer {
        Layer::from_toml(text, Path::new(name)).unwrap()
    }

    #[test]
    fn a_later_layer_wins_value_by_value() {
        let below = layer(
            "low.toml",
            "[a]\nx = 1\ny = 2\nlist = [1, 2, 3]\n[a.b]\nz = 0.5\n",
        );
        let above = layer(
            "high.toml",
            "[a]\ny = 3\nlist = [4]\n[a.b]\n\"dotted.key\" = \"t\"\n",
        );
        let merged = merge(vec![below, above]).unwrap();
        let expected = serde_json::json!({
            "a": {"x": 1, "y": 3, "list": [4], "b": {"z": 0.5, "dotted.key": "t"}}
        });
        assert_eq!(merged.values, expected);
        let origin = |path: &[&str]| {
            let path: KeyPath = path.iter().map(|&name| name.to_owned()).collect();
            merged.origins.get(&path).map(String::as_str)
        };
        assert_eq!(origin(&["a", "x"]), Some("low.toml"));
        assert_eq!(origin(&["a", "y"]), Some("high.toml"));
        assert_eq!(origin(&["a", "list"]), Some("high.toml"));
        assert_eq!(origin(&["a", "b", "z"]), Some("low.toml"));
        assert_eq!(origin(&["a", "b", "dotted.key"]), Some("high.toml"));
        assert_eq!(origin(&["a"]), None);
    }
}
