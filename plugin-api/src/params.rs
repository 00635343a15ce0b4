//! Hyper-parameters as data: default, bounds, documentation, search range.
//!
//! A learner lists its parameters in [`LearnerInfo`](crate::model::LearnerInfo); the host checks a
//! pipeline against the list before anything runs, prints it as help, and the search reads its
//! ranges. The list crosses the line as JSON. Nothing here trains anything.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::error::{PluginError, Result};

/// The values a parameter may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParamDomain {
    /// A real number inside the closed bounds; an absent bound is open to infinity.
    Float {
        /// Smallest allowed value.
        #[serde(default)]
        min: Option<f64>,
        /// Largest allowed value.
        #[serde(default)]
        max: Option<f64>,
    },
    /// A whole number inside the closed bounds.
    Integer {
        /// Smallest allowed value.
        #[serde(default)]
        min: Option<i64>,
        /// Largest allowed value.
        #[serde(default)]
        max: Option<i64>,
    },
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice {
        /// The words.
        values: Vec<String>,
    },
    /// Any text.
    Text,
}

/// What is allowed, in words, such as `a whole number of at least 1`.
impl std::fmt::Display for ParamDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float { min, max } => f.write_str(&range_text("a number", *min, *max)),
            Self::Integer { min, max } => f.write_str(&range_text("a whole number", *min, *max)),
            Self::Boolean => f.write_str("true or false"),
            Self::Choice { values } => write!(f, "one of {}", values.join(", ")),
            Self::Text => f.write_str("text"),
        }
    }
}

/// Where a hyper-parameter search looks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchRange {
    /// Lowest value tried.
    pub low: f64,
    /// Highest value tried.
    pub high: f64,
    /// Whether values are spread evenly over the logarithm.
    #[serde(default)]
    pub log: bool,
}

/// One hyper-parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// The key in the configuration.
    pub name: String,
    /// What it does, in a sentence or two, with units.
    pub doc: String,
    /// The value where the key is absent.
    pub default: Value,
    /// The allowed values.
    #[serde(flatten)]
    pub domain: ParamDomain,
    /// The range a search uses; `None` leaves the parameter out of searches (choices and booleans
    /// with [`ParamSpec::searched`] set are searched over all their values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchRange>,
    /// Whether a search varies this parameter.
    #[serde(default)]
    pub searched: bool,
}

impl ParamSpec {
    fn new(name: &str, doc: &str, default: Value, domain: ParamDomain) -> Self {
        Self {
            name: name.to_owned(),
            doc: doc.to_owned(),
            default,
            domain,
            search: None,
            searched: false,
        }
    }

    /// A real number without bounds.
    #[must_use]
    pub fn float(name: &str, default: f64, doc: &str) -> Self {
        let (min, max) = (None, None);
        Self::new(name, doc, default.into(), ParamDomain::Float { min, max })
    }

    /// A whole number without bounds.
    #[must_use]
    pub fn integer(name: &str, default: i64, doc: &str) -> Self {
        let (min, max) = (None, None);
        Self::new(name, doc, default.into(), ParamDomain::Integer { min, max })
    }

    /// A switch.
    #[must_use]
    pub fn boolean(name: &str, default: bool, doc: &str) -> Self {
        Self::new(name, doc, default.into(), ParamDomain::Boolean)
    }

    /// One of `values`.
    #[must_use]
    pub fn choice(name: &str, default: &str, values: &[&str], doc: &str) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Self::new(name, doc, default.into(), ParamDomain::Choice { values })
    }

    /// Any text.
    #[must_use]
    pub fn text(name: &str, default: &str, doc: &str) -> Self {
        Self::new(name, doc, default.into(), ParamDomain::Text)
    }

    /// Sets the smallest allowed value of a number; other domains have no bounds.
    #[must_use]
    pub fn at_least(mut self, bound: f64) -> Self {
        match &mut self.domain {
            ParamDomain::Float { min, .. } => *min = Some(bound),
            ParamDomain::Integer { min, .. } => *min = Some(bound.ceil() as i64),
            ParamDomain::Boolean | ParamDomain::Choice { .. } | ParamDomain::Text => {}
        }
        self
    }

    /// Sets the largest allowed value of a number; other domains have no bounds.
    #[must_use]
    pub fn at_most(mut self, bound: f64) -> Self {
        match &mut self.domain {
            ParamDomain::Float { max, .. } => *max = Some(bound),
            ParamDomain::Integer { max, .. } => *max = Some(bound.floor() as i64),
            ParamDomain::Boolean | ParamDomain::Choice { .. } | ParamDomain::Text => {}
        }
        self
    }

    /// Lets a search vary this number between `low` and `high`.
    #[must_use]
    pub fn search(mut self, low: f64, high: f64) -> Self {
        let log = false;
        self.search = Some(SearchRange { low, high, log });
        self.searched = true;
        self
    }

    /// Lets a search vary this number between `low` and `high`, evenly over the logarithm.
    #[must_use]
    pub fn search_log(mut self, low: f64, high: f64) -> Self {
        let log = true;
        self.search = Some(SearchRange { low, high, log });
        self.searched = true;
        self
    }

    /// Lets a search try every value of a choice or a switch.
    #[must_use]
    pub fn search_all(mut self) -> Self {
        self.searched = true;
        self
    }

    /// What is wrong with `value`; `None` where it fits.
    #[must_use]
    pub fn problem_with(&self, value: &Value) -> Option<String> {
        let name = &self.name;
        let outside = |bounds: String| Some(format!("`{name}` is {value}; it must be {bounds}"));
        match &self.domain {
            ParamDomain::Float { min, max } => match value.as_f64() {
                Some(number) if in_range(number, *min, *max) => None,
                Some(_) => outside(self.domain.to_string()),
                None => outside("a number".to_owned()),
            },
            ParamDomain::Integer { min, max } => match whole(value) {
                Some(number) if in_range(number, *min, *max) => None,
                Some(_) => outside(self.domain.to_string()),
                None => outside("a whole number".to_owned()),
            },
            ParamDomain::Boolean if value.is_boolean() => None,
            ParamDomain::Choice { values } => match value.as_str() {
                Some(word) if values.iter().any(|known| known == word) => None,
                _ => outside(self.domain.to_string()),
            },
            ParamDomain::Text if value.is_string() => None,
            ParamDomain::Boolean | ParamDomain::Text => outside(self.domain.to_string()),
        }
    }

    /// Checks `config` against `specs` and fills in the defaults, so that typed reading afterwards
    /// cannot miss a key. Keys in `reserved` are passed through unchecked (paths and settings that
    /// the host adds). An integer may be written as `3.0`; it comes back as `3`.
    ///
    /// # Errors
    /// `E_CONFIG` listing every unknown key and every value that does not fit.
    pub fn resolve(specs: &[Self], config: &Config, reserved: &[&str]) -> Result<Config> {
        let mut known: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        known.extend(reserved);
        let mut problems = config.unknown_keys(&known);
        let mut resolved = config.clone();
        for spec in specs {
            let given = config.value(&spec.name).filter(|value| !value.is_null());
            let value = given.unwrap_or(&spec.default);
            problems.extend(spec.problem_with(value));
            let is_integer = matches!(spec.domain, ParamDomain::Integer { .. });
            match whole(value).filter(|_| is_integer) {
                Some(number) => resolved.set(&spec.name, number),
                None => resolved.set(&spec.name, value.clone()),
            }
        }
        if problems.is_empty() {
            return Ok(resolved);
        }
        Err(PluginError::config(problems.join("; ")))
    }
}

/// A JSON number that is whole, also when it is written with a decimal point.
fn whole(value: &Value) -> Option<i64> {
    let exact =
        |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(exact))
}

fn in_range<T: PartialOrd>(value: T, min: Option<T>, max: Option<T>) -> bool {
    min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max)
}

fn range_text<T: std::fmt::Display>(kind: &str, min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{kind} from {min} to {max}"),
        (Some(min), None) => format!("{kind} of at least {min}"),
        (None, Some(max)) => format!("{kind} of at most {max}"),
        (None, None) => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<ParamSpec> {
        vec![
            ParamSpec::float("learning_rate", 0.1, "Step size.")
                .at_least(0.0)
                .at_most(1.0)
                .search_log(0.01, 0.3),
            ParamSpec::integer("rounds", 100, "Trees.").at_least(1.0),
            ParamSpec::choice("class_weight", "none", &["none", "balanced"], "Weighting."),
            ParamSpec::boolean("verbose", false, "Whether to log."),
        ]
    }

    #[test]
    fn defaults_are_filled_in_and_integers_are_normalised() {
        let config = Config::new().with("rounds", 7.0).with("library", "x.so");
        let resolved = ParamSpec::resolve(&specs(), &config, &["library"]).unwrap();
        assert_eq!(resolved.get::<u32>("rounds").unwrap(), 7);
        assert_eq!(resolved.value("learning_rate"), Some(&Value::from(0.1)));
        assert_eq!(resolved.get::<String>("library").unwrap(), "x.so");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = Config::new()
            .with("learning_rate", 2.0)
            .with("rounds", 1.5)
            .with("class_weight", "heavy")
            .with("verbose", 1)
            .with("lerning_rate", 0.1);
        let error = ParamSpec::resolve(&specs(), &config, &[]).unwrap_err();
        for part in [
            "a number from 0 to 1",
            "`rounds` is 1.5; it must be a whole number",
            "one of none, balanced",
            "true or false",
            "did you mean `learning_rate`",
        ] {
            assert!(error.message().contains(part), "{part} not in: {error}");
        }
    }

    #[test]
    fn specs_survive_json() {
        let text = serde_json::to_string(&specs()).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<ParamSpec>>(&text).unwrap(),
            specs()
        );
    }
}
