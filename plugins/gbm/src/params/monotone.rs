//! Columns along which the answer may move in one direction only.

use fusebox_plugin_api::prelude::*;

use super::{Params, categorical};

/// The keys, each with the direction as both libraries write it.
const KEYS: [(&str, &str); 2] = [("monotone_increasing", "1"), ("monotone_decreasing", "-1")];

/// A setting that lists columns.
pub(super) fn spec(name: &str, rule: &str) -> ParamSpec {
    let doc =
        format!("Names of columns, separated by `;`, along which the raw answer must {rule}.");
    ParamSpec::text(name, "", &doc)
}

impl Params {
    /// `1`, `-1` or `0` for each column, as both libraries write it; `None` without constraints.
    ///
    /// # Errors
    /// `E_CONFIG` with every name that is no column, that is listed in both settings, or whose
    /// column has no order because it is categorical.
    pub(super) fn monotone(&self, features: &[String]) -> Result<Option<Vec<String>>> {
        let mut directions = vec!["0".to_owned(); features.len()];
        let (mut problems, mut constrained) = (Vec::new(), false);
        let categorical = self.listed(categorical::COLUMNS)?;
        for (key, direction) in KEYS {
            for name in self.listed(key)? {
                constrained = true;
                if categorical.contains(&name) {
                    problems.push(format!("`{key}` names `{name}`, which is categorical"));
                }
                match features.iter().position(|feature| *feature == name) {
                    None => problems.push(format!("`{key}` names `{name}`, which is no column")),
                    Some(column) if !["0", direction].contains(&directions[column].as_str()) => {
                        problems.push(format!("`{name}` is in both lists of monotone columns"));
                    }
                    Some(column) => directions[column] = direction.to_owned(),
                }
            }
        }
        match problems.is_empty() {
            true => Ok(constrained.then_some(directions)),
            false => Err(PluginError::config(problems.join("; "))),
        }
    }

    /// Whether some column is constrained.
    pub(crate) fn is_monotone(&self) -> Result<bool> {
        let listed = KEYS.map(|(key, _)| self.listed(key));
        let [rising, falling] = listed;
        Ok(!(rising?.is_empty() && falling?.is_empty()))
    }
}
