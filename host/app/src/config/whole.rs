//! Whether the merged tables are whole: every key that a table needs is there, and a table of some
//! `kind` has the keys of that kind. What is missing gets a stand-in, so that the rest can still be
//! put together and everything that is wrong comes at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::check::{mismatch, wanted};
use super::layer::{KeyPath, Place};
use super::problem::Problem;
use super::schema::{Lookup, Schema, alternatives, choices, is_table, types};

/// Which layer set a value last, counted from the weakest, and where.
pub(crate) type Places = BTreeMap<KeyPath, (usize, Place)>;

/// Every key without which a table of `values` is not whole, and every one that does not belong to
/// it. The first get a stand-in, the second are taken out. `refused` are keys
/// that were set wrongly and are gone already; what else their tables need is looked at.
pub(crate) fn complete(
    values: &mut Value,
    (schema, refused): (&Schema, &BTreeSet<KeyPath>),
    places: &Places,
) -> Vec<(KeyPath, Problem)> {
    for path in refused {
        let above = &path[..path.len().saturating_sub(1)];
        if matches!(schema.look_up(above), Lookup::Known(rule) if is_table(rule)) {
            open(values, above);
        }
    }
    let mut walk = Walk {
        places,
        found: Vec::new(),
    };
    walk.table(values, schema.root(), &mut Vec::new());
    let was_refused = |problem: &Problem| refused.iter().any(|one| one.join(".") == problem.key);
    walk.found.retain(|(_, problem)| !was_refused(problem));
    walk.found
}

/// Makes the table `path` where it is not there.
fn open(values: &mut Value, path: &[String]) {
    let mut below = values;
    for name in path {
        let Value::Object(object) = below else {
            return;
        };
        below = object.entry(name).or_insert(Value::Null);
        if below.is_null() {
            *below = Value::Object(Map::new());
        }
    }
}

struct Walk<'a> {
    places: &'a Places,
    found: Vec<(KeyPath, Problem)>,
}

impl Walk<'_> {
    /// Checks the table at `path` and what lies below it; whether it can stay.
    fn table(&mut self, value: &mut Value, rule: &Value, path: &mut KeyPath) -> bool {
        let Value::Object(object) = value else {
            return true;
        };
        let rule = match tag(rule) {
            None => rule,
            Some(tag) => match self.variant(object, (rule, tag), path) {
                Some(variant) => variant,
                None => return false,
            },
        };
        for name in missing(object, rule) {
            let below = rule.pointer(&format!("/properties/{name}"));
            let what = below.map_or(String::new(), |rule| {
                format!("; it must be {}", wanted(rule))
            });
            self.tell(path, &name, format!("is missing{what}"));
            object.insert(name, below.map_or(Value::Null, stand_in));
        }
        let Some(Value::Object(properties)) = rule.get("properties") else {
            return true;
        };
        let mut broken = Vec::new();
        for (name, below) in properties {
            let Some(inner) = object.get_mut(name) else {
                continue;
            };
            path.push(name.clone());
            if !self.table(inner, below, path) || !self.list(inner, below, path) {
                broken.push(name.clone());
            }
            path.pop();
        }
        for name in broken {
            object.remove(&name);
        }
        true
    }

    /// The rule of the kind that a table says it has. Keys of another kind are dropped where a
    /// weaker layer set them, and told where it was not weaker.
    fn variant<'r>(
        &mut self,
        object: &mut Map<String, Value>,
        (rule, tag): (&'r Value, &str),
        path: &KeyPath,
    ) -> Option<&'r Value> {
        let kinds = || alternatives(rule).filter_map(move |one| Some((kind(one, tag)?, one)));
        let named: Vec<String> = kinds().map(|(name, _)| format!("\"{name}\"")).collect();
        let named = named.join(", ");
        let Some(told) = object.get(tag) else {
            self.tell(path, tag, format!("is missing; it must be one of {named}"));
            return None;
        };
        let Some((_, rule)) = kinds().find(|(name, _)| told == name) else {
            self.tell(path, tag, format!("is {told}; it must be one of {named}"));
            return None;
        };
        let told = told.clone();
        let rank = self.rank(path, tag);
        let properties = rule.get("properties")?;
        let names: Vec<String> = object.keys().cloned().collect();
        for name in names {
            match properties.get(&name) {
                Some(rule) => {
                    if let Some(message) = object.get(&name).and_then(|one| mismatch(one, rule)) {
                        self.tell(path, &name, message);
                        object.insert(name, stand_in(rule));
                    }
                }
                None if self.rank(path, &name) < rank => {
                    object.remove(&name);
                }
                None => {
                    let what =
                        format!("is no key of the {tag} {told}; set `{tag}` to what is meant");
                    self.tell(path, &name, what);
                    object.remove(&name);
                }
            }
        }
        Some(rule)
    }

    /// Checks the tables in a list; whether it can stay.
    fn list(&mut self, value: &Value, rule: &Value, path: &KeyPath) -> bool {
        let (Value::Array(items), Some(rule)) = (value, rule.get("items")) else {
            return true;
        };
        let before = self.found.len();
        for (place, item) in (1..).zip(items) {
            let Value::Object(object) = item else {
                continue;
            };
            let problem =
                |name: &str, what: String| format!("has an item {place} whose `{name}` {what}");
            let mut told: Vec<String> = missing(object, rule)
                .into_iter()
                .map(|name| problem(&name, "is missing".to_owned()))
                .collect();
            for (name, value) in object {
                match rule.pointer(&format!("/properties/{name}")) {
                    Some(rule) => {
                        told.extend(mismatch(value, rule).map(|what| problem(name, what)))
                    }
                    None => told.push(problem(name, "is no key of it".to_owned())),
                }
            }
            for message in told {
                let place = self.place(path);
                let problem = Problem::invalid(path.join("."), place, message);
                self.found.push((path.clone(), problem));
            }
        }
        self.found.len() == before
    }

    fn tell(&mut self, path: &[String], name: &str, message: String) {
        let mut key = path.to_vec();
        key.push(name.to_owned());
        let place = self.place(&key).or_else(|| self.place(path));
        let problem = Problem::invalid(key.join("."), place, message);
        self.found.push((key, problem));
    }

    /// Where `path`, or the strongest of the keys below it, was set.
    fn place(&self, path: &[String]) -> Option<&Place> {
        let below = self.places.iter().filter(|(key, _)| key.starts_with(path));
        below
            .map(|(_, place)| place)
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, place)| place)
    }

    fn rank(&self, path: &[String], name: &str) -> usize {
        let mut key = path.to_vec();
        key.push(name.to_owned());
        let below = self.places.iter().filter(|(one, _)| one.starts_with(&key));
        below.map(|(_, (rank, _))| *rank).max().unwrap_or(0)
    }
}

/// The key by which the alternatives of a rule are told apart.
fn tag(rule: &Value) -> Option<&str> {
    let first = rule.get("oneOf")?.as_array()?.first()?;
    let properties = first.get("properties")?.as_object()?;
    let constant = properties
        .iter()
        .find(|(_, one)| one.get("const").is_some());
    constant.map(|(name, _)| name.as_str())
}

fn kind<'r>(rule: &'r Value, tag: &str) -> Option<&'r str> {
    rule.pointer(&format!("/properties/{tag}/const"))?.as_str()
}

fn missing(object: &Map<String, Value>, rule: &Value) -> Vec<String> {
    let required = rule.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let gone = names.filter(|name| !object.contains_key(*name));
    gone.map(str::to_owned).collect()
}

/// Some value that `rule` allows.
fn stand_in(rule: &Value) -> Value {
    if let Some(default) = rule.get("default") {
        return default.clone();
    }
    if let Some(choice) = choices(rule).first() {
        return Value::from(*choice);
    }
    let bound = |name: &str| rule.get(name).and_then(Value::as_f64);
    let least = bound("minimum").or_else(|| bound("exclusiveMinimum"));
    let least = least.unwrap_or(0.0);
    let most = bound("maximum").or_else(|| bound("exclusiveMaximum"));
    match types(rule).first() {
        Some(&"integer") => Value::from(least.ceil() as u64),
        Some(&"number") if rule.get("minimum").is_some() => Value::from(least),
        Some(&"number") => Value::from(f64::midpoint(least, most.unwrap_or(least + 1.0))),
        Some(&"string") => Value::from("-"),
        Some(&"boolean") => Value::from(false),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Layer, load_layers};

    /// The problems of layers, weakest first, and the configuration that is left.
    fn loaded(texts: &[&str]) -> (super::super::RawConfig, Vec<String>) {
        let layers = texts.iter().zip(1..).map(|(text, place)| {
            Layer::from_toml(text, Path::new(&format!("{place}.toml"))).unwrap()
        });
        let (loaded, problems) = load_layers(layers.collect()).unwrap();
        (
            loaded.raw,
            problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn keys_that_are_missing_come_with_everything_else() {
        let (raw, problems) = loaded(&["
            [execution]
            fee_tiers = [{ traded = 1.0, maker_bps = 2.0 }]
            maker_fee_bps = -1e9
            slippage = { kind = \"volatility\", factor = -1.0 }
            [portfolio.margin]
            leverage = 0
            mode = \"both\"
            [risk.sizing]
            part = 0.5
        "]);
        assert_eq!(
            problems,
            [
                "`execution.maker_fee_bps` is -1000000000; it must be at least -100 \
                 (1.toml, line 4)",
                "`portfolio.margin.leverage` is 0; it must be at least 1 (1.toml, line 7)",
                "`portfolio.margin.mode` is the text \"both\"; it must be one of \"cross\", \
                 \"isolated\" (1.toml, line 8)",
                "`execution.fee_tiers` has an item 1 whose `taker_bps` is missing (1.toml, line 3)",
                "`execution.slippage.factor` is -1; it must be at least 0 (1.toml, line 5)",
                "`execution.slippage.span_bars` is missing; it must be a whole number \
                 (1.toml, line 5)",
                "`portfolio.margin.maintenance` is missing; it must be a number",
                "`risk.sizing.part` is no key of the kind \"fixed_fraction\"; set `kind` to what \
                 is meant (1.toml, line 10)",
            ]
        );
        // What is wrong has a stand-in of the kind that was asked for.
        assert!(matches!(
            raw.execution.slippage,
            super::super::raw::RawSlippage::Volatility { factor, .. } if factor >= 0.0
        ));
        assert!(raw.portfolio.margin.is_some());
    }

    #[test]
    fn a_stronger_kind_drops_the_keys_of_the_weaker_one() {
        let impact =
            "[execution]\nslippage = { kind = \"impact\", factor = 1.0, span_bars = 24 }\n";
        let (raw, problems) = loaded(&[impact, "[execution.slippage]\nkind = \"none\"\n"]);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(raw.execution.slippage, Default::default());
        let (_, problems) = loaded(&["[execution.slippage]\nfactor = 1.0\n"]);
        assert_eq!(
            problems,
            [
                "`execution.slippage.factor` is no key of the kind \"none\"; set `kind` to what is \
                 meant (1.toml, line 2)"
            ]
        );
    }
}
