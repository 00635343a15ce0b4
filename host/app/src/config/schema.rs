//! The JSON schema of the configuration, made from the raw structs: for editors, and as the one
//! list of keys, types and bounds that every layer is checked against.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::RawConfig;

/// The schema, without references, so that a key's rule is found by walking down its names.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    root: Value,
}

/// What the schema says about a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Lookup<'a> {
    /// The rule of a known key.
    Known(&'a Value),
    /// A key in a table that takes any key.
    Free,
    /// The first `known` names lead to a table, the next one is not in it.
    Unknown {
        /// How many names are known.
        known: usize,
    },
    /// The first `known` names lead to a plain value, which has no keys below it.
    NotATable {
        /// How many names are known.
        known: usize,
        /// The rule of that value.
        rule: &'a Value,
    },
}

impl Schema {
    /// The schema of a pipeline file, which is also that of the engine file.
    #[must_use]
    pub(crate) fn pipeline() -> Self {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        let mut root = settings
            .into_generator()
            .into_root_schema_for::<RawConfig>()
            .to_value();
        if let Some(object) = root.as_object_mut() {
            object.insert("title".to_owned(), "Fusebox pipeline".into());
        }
        Self { root }
    }

    /// The rule of the whole.
    #[must_use]
    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// The schema as the text of `configs/schema/pipeline.json`.
    #[must_use]
    pub(crate) fn to_text(&self) -> String {
        format!("{:#}\n", self.root)
    }

    /// What the schema says about `path`.
    #[must_use]
    pub(crate) fn look_up(&self, path: &[String]) -> Lookup<'_> {
        let mut rule = &self.root;
        for (known, name) in path.iter().enumerate() {
            match rule.get("properties").and_then(|keys| keys.get(name)) {
                Some(below) => rule = below,
                None if value_rule(rule).is_some() => rule = value_rule(rule).unwrap_or(rule),
                None if takes_any_key(rule) => return Lookup::Free,
                None if is_table(rule) => return Lookup::Unknown { known },
                None => return Lookup::NotATable { known, rule },
            }
        }
        Lookup::Known(rule)
    }

    /// Whether `path` is a known key that wants nothing but a text.
    #[must_use]
    pub(crate) fn wants_text(&self, path: &[String]) -> bool {
        match self.look_up(path) {
            Lookup::Known(rule) => {
                let types = types(rule);
                types.contains(&"string")
                    && types.iter().all(|one| matches!(*one, "string" | "null"))
            }
            _ => false,
        }
    }

    /// Every known key, tables included, dotted.
    #[must_use]
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect_keys(&self.root, "", &mut keys);
        keys
    }

    /// The key that `text` would be if its `_` between levels were dots.
    #[must_use]
    pub(crate) fn key_written_with_underscores(&self, text: &str) -> Option<String> {
        let mut keys = self.keys().into_iter();
        keys.find(|key| key.contains('.') && key.replace('.', "_") == text)
    }

    /// The first key of the section `name`; `None` where there is no such section.
    #[must_use]
    pub(crate) fn first_key_of(&self, name: &str) -> Option<String> {
        let section = format!("{name}.");
        let mut keys = self.keys().into_iter();
        keys.find(|key| key.starts_with(&section))
    }

    /// The known key nearest to `key`, of which the first `known` names are right; `None` where
    /// nothing is near.
    #[must_use]
    pub(crate) fn nearest(&self, key: &[String], known: usize) -> Option<String> {
        let parent = key[..known].join(".");
        let last = key.get(known)?;
        let keys = self.keys();
        let sibling = keys.iter().filter_map(|candidate| {
            let (above, name) = candidate.rsplit_once('.').unwrap_or(("", candidate));
            let near = strsim::normalized_damerau_levenshtein(name, last);
            (above == parent && near >= 0.5).then_some((near, candidate))
        });
        let cousin = keys.iter().filter_map(|candidate| {
            let name = candidate.rsplit('.').next().unwrap_or(candidate);
            let near = strsim::normalized_damerau_levenshtein(name, key.last().unwrap_or(last));
            (near >= 0.8).then_some((near, candidate))
        });
        best(sibling).or_else(|| best(cousin))
    }
}

/// The nearest candidate; of equally near ones the outermost, then the first in order.
fn best<'a>(candidates: impl Iterator<Item = (f64, &'a String)>) -> Option<String> {
    let depth = |key: &str| key.matches('.').count();
    let mut found: Option<(f64, &String)> = None;
    for (near, candidate) in candidates {
        let nearer = |(before, seen): (f64, &String)| {
            near > before || near >= before && depth(candidate) < depth(seen)
        };
        if found.is_none_or(nearer) {
            found = Some((near, candidate));
        }
    }
    found.map(|(_, candidate)| candidate.clone())
}

/// The JSON types that a rule allows, those of its alternatives included.
#[must_use]
pub(crate) fn types(rule: &Value) -> Vec<&str> {
    let mut found = match rule.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for alternative in alternatives(rule) {
        found.extend(types(alternative));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The texts that a rule allows; empty where any text will do.
#[must_use]
pub(crate) fn choices(rule: &Value) -> Vec<&str> {
    let listed = rule.get("enum").and_then(Value::as_array);
    let mut found: Vec<&str> = listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    found.extend(rule.get("const").and_then(Value::as_str));
    found.extend(alternatives(rule).flat_map(choices));
    found
}

/// The rules of which one must hold.
pub(crate) fn alternatives(rule: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf", "allOf"]
        .into_iter()
        .filter_map(|name| rule.get(name).and_then(Value::as_array))
        .flatten()
}

/// Whether a rule is that of a table.
#[must_use]
pub(crate) fn is_table(rule: &Value) -> bool {
    types(rule).contains(&"object")
}

/// The rule of every value in a table whose keys are free.
fn value_rule(rule: &Value) -> Option<&Value> {
    let own = rule.get("additionalProperties");
    own.filter(|below| below.is_object())
        .or_else(|| alternatives(rule).find_map(value_rule))
}

fn takes_any_key(rule: &Value) -> bool {
    let refuses = rule.get("additionalProperties") == Some(&Value::Bool(false));
    is_table(rule) && !refuses
}

fn collect_keys(rule: &Value, above: &str, keys: &mut Vec<String>) {
    let properties = rule.get("properties").and_then(Value::as_object);
    for (name, below) in properties.into_iter().flatten() {
        let key = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        keys.push(key.clone());
        collect_keys(below, &key, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::split;
    use super::*;

    #[test]
    fn keys_are_found_by_their_names() {
        let schema = Schema::pipeline();
        assert!(matches!(
            schema.look_up(&split("run.seed")),
            Lookup::Known(_)
        ));
        assert_eq!(
            schema.look_up(&split("model.params.anything")),
            Lookup::Free
        );
        assert_eq!(
            schema.look_up(&split("run.sed")),
            Lookup::Unknown { known: 1 }
        );
        let below = schema.look_up(&split("run.seed.deep"));
        assert!(matches!(below, Lookup::NotATable { known: 2, .. }));
        assert!(schema.wants_text(&split("data.exchange")));
        assert!(schema.wants_text(&split("data.source")));
        assert!(!schema.wants_text(&split("run.seed")));
    }

    #[test]
    fn the_nearest_key_is_a_sibling_before_a_cousin() {
        let schema = Schema::pipeline();
        let near = |key: &str, known| schema.nearest(&split(key), known);
        assert_eq!(near("model.parms", 1).as_deref(), Some("model.params"));
        assert_eq!(near("modle", 0).as_deref(), Some("model"));
        assert_eq!(near("seed", 0).as_deref(), Some("run.seed"));
        assert_eq!(
            near("portfolio.fee_bps", 1).as_deref(),
            Some("execution.fee_bps")
        );
        assert_eq!(near("run.qqqqqqqq", 1), None);
    }

    /// A key without a description would have an empty tooltip in every editor.
    #[test]
    fn every_key_is_described() {
        let schema = Schema::pipeline();
        for key in schema.keys() {
            let Lookup::Known(rule) = schema.look_up(&split(&key)) else {
                panic!("{key}");
            };
            assert!(
                rule.get("description").is_some(),
                "{key} has no description"
            );
        }
    }
}
