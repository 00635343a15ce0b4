//! One layer of configuration: a file, the environment, or the command line, as flat entries.
//!
//! Reading a layer finds syntax errors only; which keys and types are right is `check`'s business,
//! and which layer wins is `merge`'s.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::schema::Schema;

/// The names of a key from the outside in, such as `["run", "seed"]`.
pub(crate) type KeyPath = Vec<String>;

/// Where a value was set, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Short name, shown as the origin of a value: a file name, a variable, `--set`.
    pub(crate) origin: String,
    /// The whole place for error messages, with the line in a file.
    pub(crate) detail: String,
}

impl Place {
    /// A place that needs no detail: a variable or a flag.
    #[must_use]
    pub(crate) fn named(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            detail: origin.to_owned(),
        }
    }

    /// Whether it is a line of a file.
    #[must_use]
    pub(crate) fn is_in_file(&self) -> bool {
        self.detail != self.origin
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// One value that a layer sets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) path: KeyPath,
    /// The value; an object only where a table is empty.
    pub(crate) value: Value,
    /// Where it was set.
    pub(crate) place: Place,
}

/// What one source of configuration sets, in its own order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Layer {
    /// The values.
    pub(crate) entries: Vec<Entry>,
    /// Where each table of a file begins.
    tables: BTreeMap<KeyPath, Place>,
}

impl Layer {
    /// Where the table `path` begins in this layer, if it is one that a file names.
    #[must_use]
    pub(crate) fn table_place(&self, path: &[String]) -> Option<&Place> {
        self.tables.get(path)
    }

    /// Sets one value.
    pub(crate) fn push(&mut self, key: &str, value: Value, place: Place) {
        self.entries.push(Entry {
            path: split(key),
            value,
            place,
        });
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] where there is no such file, [`ConfigError::Syntax`] where it is not
    /// TOML.
    pub(crate) fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&text, path)
    }

    /// Reads the text of a TOML file that was found at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] where the text is not TOML.
    pub(crate) fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax {
            path: path.to_owned(),
            message,
        };
        let table = DeTable::parse(text).map_err(|error| syntax(error.to_string()))?;
        let mut file = FileReader {
            text,
            path: path.to_owned(),
            layer: Self::default(),
        };
        file.table(&[], table.get_ref()).map_err(syntax)?;
        Ok(file.layer)
    }

    /// Reads the variables that begin with `FUSEBOX_` and hold `__` between two levels, such as
    /// `FUSEBOX_RUN__SEED`. Values are TOML; a text needs no quotes.
    ///
    /// # Errors
    /// [`ConfigError::Variable`] for a variable that names a key with `_` instead of `__`, or a
    /// section alone, and [`ConfigError::NotText`] for one that is not UTF-8: they would otherwise
    /// be ignored in silence.
    pub(crate) fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
        schema: &Schema,
    ) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        let mut variables: Vec<(String, String)> = variables.into_iter().collect();
        variables.sort();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix("FUSEBOX_") else {
                continue;
            };
            let rest = rest.to_lowercase();
            if !rest.contains("__") {
                let key = schema.key_written_with_underscores(&rest);
                if let Some(key) = key.or_else(|| schema.first_key_of(&rest)) {
                    let meant = key.to_uppercase().replace('.', "__");
                    return Err(ConfigError::Variable {
                        name,
                        meant: format!("FUSEBOX_{meant}"),
                    });
                }
                continue;
            }
            if text.contains(char::REPLACEMENT_CHARACTER) {
                return Err(ConfigError::NotText { name });
            }
            let path: KeyPath = rest.split("__").map(str::to_owned).collect();
            let value = parse_value(&text, &path, schema);
            layer.push_all(path, value, &Place::named(&name));
        }
        Ok(layer)
    }

    /// Reads `key=value` as given to `--set`.
    ///
    /// # Errors
    /// [`ConfigError::Assignment`] where there is no `=` or no key.
    pub(crate) fn set(&mut self, assignment: &str, schema: &Schema) -> Result<(), ConfigError> {
        let wrong = || ConfigError::Assignment(assignment.to_owned());
        let (key, text) = assignment.split_once('=').ok_or_else(wrong)?;
        let path = split(key.trim());
        if path.iter().any(String::is_empty) {
            return Err(wrong());
        }
        let value = parse_value(text.trim(), &path, schema);
        self.push_all(path, value, &Place::named("--set"));
        Ok(())
    }

    /// Sets a value, a table key by key.
    fn push_all(&mut self, path: KeyPath, value: Value, place: &Place) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (name, value) in table {
                    let mut below = path.clone();
                    below.push(name);
                    self.push_all(below, value, place);
                }
            }
            value => self.entries.push(Entry {
                path,
                value,
                place: place.clone(),
            }),
        }
    }
}

/// The parts of a dotted key.
#[must_use]
pub(crate) fn split(key: &str) -> KeyPath {
    key.split('.').map(str::to_owned).collect()
}

/// A value as TOML. Where the key wants a text, or the text is not TOML, it stands for itself.
fn parse_value(text: &str, path: &[String], schema: &Schema) -> Value {
    let quoted = text.starts_with(['"', '\'']);
    if !quoted && schema.wants_text(path) {
        return Value::String(text.to_owned());
    }
    DeValue::parse(text)
        .ok()
        .and_then(|value| to_json(value.get_ref()).ok())
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Walks a parsed file and notes the line of every key.
struct FileReader<'a> {
    text: &'a str,
    path: PathBuf,
    layer: Layer,
}

impl FileReader<'_> {
    fn table(&mut self, above: &[String], table: &DeTable<'_>) -> Result<(), String> {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            let mut path = above.to_vec();
            path.push(key.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => {
                    let place = self.place(key.span().start);
                    self.layer.tables.insert(path.clone(), place);
                    self.table(&path, inner)?;
                }
                other => {
                    let place = self.place(key.span().start);
                    let value = to_json(other)
                        .map_err(|message| format!("`{}` {message}", path.join(".")))?;
                    self.layer.entries.push(Entry { path, value, place });
                }
            }
        }
        Ok(())
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        Place {
            origin: name.to_string_lossy().into_owned(),
            detail: format!("{}, line {line}", self.path.display()),
        }
    }
}

/// A TOML value as JSON; a date becomes its text.
fn to_json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(is) => Value::Bool(*is),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Value::from)
            .map_err(|_| format!("is {number}, which does not fit 64 bits"))?,
        DeValue::Float(number) => {
            let parsed: f64 = number
                .as_str()
                .parse()
                .map_err(|_| format!("is {number}, which is not a number"))?;
            serde_json::Number::from_f64(parsed)
                .map(Value::Number)
                .ok_or_else(|| format!("is {number}; numbers must be finite"))?
        }
        DeValue::Array(items) => {
            let items: Result<Vec<Value>, String> =
                items.iter().map(|item| to_json(item.get_ref())).collect();
            Value::Array(items?)
        }
        DeValue::Table(table) => {
            let mut object = serde_json::Map::new();
            for (key, value) in table {
                object.insert(key.get_ref().to_string(), to_json(value.get_ref())?);
            }
            Value::Object(object)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Layer, ConfigError> {
        Layer::from_toml(text, Path::new("some/direction.toml"))
    }

    #[test]
    fn a_file_becomes_entries_with_lines() {
        let layer = file("[run]\nseed = 7\n\n[data]\nfrom = 2022-01-01\n").unwrap();
        let seen: Vec<(String, Value, &str)> = layer
            .entries
            .iter()
            .map(|entry| {
                let key = entry.path.join(".");
                (key, entry.value.clone(), entry.place.detail.as_str())
            })
            .collect();
        assert_eq!(
            seen,
            [
                (
                    "run.seed".to_owned(),
                    Value::from(7),
                    "some/direction.toml, line 2"
                ),
                (
                    "data.from".to_owned(),
                    Value::from("2022-01-01"),
                    "some/direction.toml, line 5"
                ),
            ]
        );
        assert_eq!(layer.entries[0].place.origin, "direction.toml");
    }

    #[test]
    fn text_that_is_not_toml_names_the_file_and_the_line() {
        let error = file("[run]\nseed = = 7\n").unwrap_err().to_string();
        assert!(error.contains("some/direction.toml"), "{error}");
        assert!(error.contains("line 2"), "{error}");
        assert!(file("[run]\nseed = 99999999999999999999\n").is_err());
        assert!(file("[risk]\nmax_drawdown = nan\n").is_err());
    }

    #[test]
    fn variables_are_read_by_level_and_by_wanted_type() {
        let schema = Schema::pipeline();
        let variables = [
            ("FUSEBOX_RUN__SEED", "7"),
            ("FUSEBOX_RUN__NAME", "7"),
            ("FUSEBOX_DATA__SYMBOLS", "['A', 'B']"),
            ("FUSEBOX_LIGHTGBM_LIBRARY", "/lib.so"),
            ("HOME", "/"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let layer = Layer::from_environment(variables, &schema).unwrap();
        let seen: Vec<(String, Value)> = layer
            .entries
            .into_iter()
            .map(|entry| (entry.path.join("."), entry.value))
            .collect();
        assert_eq!(
            seen,
            [
                ("data.symbols".to_owned(), serde_json::json!(["A", "B"])),
                ("run.name".to_owned(), Value::from("7")),
                ("run.seed".to_owned(), Value::from(7)),
            ]
        );
    }

    #[test]
    fn a_variable_with_one_underscore_too_few_is_refused() {
        let schema = Schema::pipeline();
        let variables = [("FUSEBOX_RUN_SEED".to_owned(), "7".to_owned())];
        let error = Layer::from_environment(variables, &schema).unwrap_err();
        assert!(error.to_string().contains("FUSEBOX_RUN__SEED"), "{error}");
    }

    #[test]
    fn a_variable_that_names_a_section_or_is_no_text_is_refused() {
        let schema = Schema::pipeline();
        let read = |name: &str, text: &str| {
            Layer::from_environment([(name.to_owned(), text.to_owned())], &schema)
        };
        let error = read("FUSEBOX_RUN", "7").unwrap_err().to_string();
        assert!(error.contains("FUSEBOX_RUN is not read"), "{error}");
        assert!(error.contains("FUSEBOX_RUN__"), "{error}");
        let error = read("FUSEBOX_RUN__NAME", "caf\u{fffd}").unwrap_err();
        let words = "the environment variable FUSEBOX_RUN__NAME is not UTF-8 text";
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(read("FUSEBOX_LIGHTGBM_LIBRARY", "/lib.so").is_ok());
    }

    #[test]
    fn assignments_need_a_key_and_a_value() {
        let schema = Schema::pipeline();
        let mut layer = Layer::default();
        layer.set("run.seed = 7", &schema).unwrap();
        assert_eq!(layer.entries[0].value, Value::from(7));
        for wrong in ["run.seed", "=7", "run.=7", ".=1"] {
            assert!(layer.set(wrong, &schema).is_err(), "{wrong}");
        }
    }
}
