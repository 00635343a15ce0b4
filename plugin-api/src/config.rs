//! The configuration a plugin receives: a flat or nested JSON object with typed access.
//!
//! It comes from the pipeline file and crosses the line as JSON text. Reading never guesses: a
//! missing key, a wrong type and an unknown key are errors that name the key.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{PluginError, Result};

/// A JSON object with typed getters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    values: Map<String, Value>,
}

impl Config {
    /// A configuration without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads JSON text; no bytes at all is a configuration without keys.
    ///
    /// # Errors
    /// `E_CONFIG` where the text is not a JSON object.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if json.is_empty() {
            return Ok(Self::new());
        }
        let value = serde_json::from_slice(json)
            .map_err(|error| PluginError::config(format!("the config is not JSON: {error}")))?;
        Self::from_value(value)
    }

    /// Takes a JSON object.
    ///
    /// # Errors
    /// `E_CONFIG` where `value` is not an object.
    pub fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Object(values) => Ok(Self { values }),
            other => Err(PluginError::config(format!(
                "the config must be a JSON object, not {}",
                kind_of(&other)
            ))),
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.values.clone()).to_string()
    }

    /// The same configuration with `key` set, for building one in code.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// Sets `key`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// The value of `key` as it stands.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// `E_CONFIG` where the key is missing or has another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.optional(key)?
            .ok_or_else(|| PluginError::config(format!("key `{key}` is missing; add it")))
    }

    /// The value of a key, or `default` where it is absent.
    ///
    /// # Errors
    /// `E_CONFIG` where the key has another type.
    pub fn get_or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// The value of a key; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// `E_CONFIG` where the key has another type.
    pub fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.values.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        T::deserialize(value).map(Some).map_err(|error| {
            PluginError::config(format!(
                "key `{key}` is {value}, which does not fit: {error}"
            ))
        })
    }

    /// Refuses keys that are not among `known`, all of them in one message, each with the nearest
    /// known key where one is near.
    ///
    /// # Errors
    /// `E_CONFIG` listing every unknown key.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<()> {
        let problems = self.unknown_keys(known);
        if problems.is_empty() {
            return Ok(());
        }
        Err(PluginError::config(problems.join("; ")))
    }

    /// One sentence for every key that is not among `known`.
    #[must_use]
    pub fn unknown_keys(&self, known: &[&str]) -> Vec<String> {
        let unknown = self.keys().filter(|key| !known.contains(key));
        unknown
            .map(|key| match nearest(key, known) {
                Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
                None => format!("unknown key `{key}`; known keys: {}", known.join(", ")),
            })
            .collect()
    }
}

/// The candidate with the fewest edits from `word`; `None` where even that one is far.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .iter()
        .map(|candidate| (edits(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to_char) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(from_char != *to_char);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_and_a_wrong_type_name_the_key() {
        let config = Config::from_json(br#"{"alpha": "fast"}"#).unwrap();
        let missing = config.get::<f64>("beta").unwrap_err();
        assert!(missing.message().contains("`beta` is missing"), "{missing}");
        let wrong = config.get::<f64>("alpha").unwrap_err();
        assert!(wrong.message().contains("`alpha` is \"fast\""), "{wrong}");
    }

    #[test]
    fn every_unknown_key_is_reported_with_the_nearest() {
        let config = Config::new()
            .with("alpa", 1)
            .with("zzzzzz", 2)
            .with("alpha", 3);
        let error = config.refuse_unknown(&["alpha", "beta"]).unwrap_err();
        assert!(error.message().contains("did you mean `alpha`"), "{error}");
        assert!(
            error.message().contains("known keys: alpha, beta"),
            "{error}"
        );
    }

    #[test]
    fn null_reads_as_absent_and_no_text_as_no_keys() {
        let config = Config::from_json(br#"{"alpha": null}"#).unwrap();
        assert_eq!(config.get_or("alpha", 5).unwrap(), 5);
        assert_eq!(Config::from_json(b"").unwrap(), Config::new());
        assert!(Config::from_json(b"[1]").is_err());
    }

    #[test]
    fn distance_counts_single_edits() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(
            nearest("lerning_rate", &["num_leaves", "learning_rate"]),
            Some("learning_rate")
        );
        assert_eq!(nearest("x", &["num_leaves"]), None);
    }
}
