//! New values for the leaves of an XGBoost model.
//!
//! XGBoost's `refresh` updater finds, round by round, the values that the new rows alone give every
//! leaf under the splits it has. Those are blended with the old ones: `decay x old + (1 - decay) x
//! new`, in f64, rounded once. A leaf that no new row reaches keeps its value. Gains and covers
//! stay those of the fit, because importances and contributions are about the splits.

use std::ffi::CString;
use std::fmt::Write as _;

use fusebox_plugin_api::prelude::*;

use super::Library;
use super::ffi::Booster;
use super::trainer::{earlier_text, training_matrix};
use crate::flat::xgboost::{LeafTable, leaf_tables};
use crate::learner::Plan;

/// What begins the array of a tree's thresholds and leaves.
const ARRAY: &str = "\"split_conditions\":[";

/// The text of the plan's earlier model with new leaves.
pub(crate) fn refresh(
    library: &'static Library,
    plan: &Plan<'_>,
    decay: f64,
    threads: u32,
    progress: &mut dyn Progress,
) -> Result<CString> {
    let earlier =
        earlier_text(plan)?.ok_or_else(|| PluginError::internal("a refresh without a model"))?;
    let train = training_matrix(library, plan)?;
    let mut booster = Booster::new(library, &[&train])?;
    booster.load(earlier)?;
    // All of them: rounds that are not refreshed would be lost.
    let rounds = u32::try_from(booster.rounds()?).unwrap_or(u32::MAX);
    for (name, value) in plan
        .params
        .xgboost_pairs(plan.circumstances(None, threads))?
    {
        booster.set(name, &value)?;
    }
    for (name, value) in [
        ("process_type", "update"),
        ("updater", "refresh"),
        ("refresh_leaf", "1"),
    ] {
        booster.set(name, value)?;
    }
    for round in 0..rounds {
        if progress.is_cancelled() {
            return Err(PluginError::cancelled());
        }
        booster.update(round, &train)?;
        progress.report(u64::from(round) + 1, Some(u64::from(rounds)), &[])?;
    }
    let blended = blend(
        &earlier.to_string_lossy(),
        &booster.to_text()?.to_string_lossy(),
        decay,
    )?;
    let blended =
        CString::new(blended).map_err(|_| PluginError::internal("a model with a zero byte"))?;
    // XGBoost writes it out once more, so that the text is one that it wrote.
    let mut booster = Booster::new(library, &[])?;
    booster.load(&blended)?;
    booster.to_text()
}

/// The old text with blended leaves.
fn blend(old: &str, new: &str, decay: f64) -> Result<String> {
    let (tables, fresh) = (leaf_tables(old)?, leaf_tables(new)?);
    let alike = |(old, new): (&LeafTable, &LeafTable)| old.is_leaf == new.is_leaf;
    if tables.len() != fresh.len() || !tables.iter().zip(&fresh).all(alike) {
        return Err(PluginError::internal("XGBoost refreshed other trees"));
    }
    let mut pieces = old.split(ARRAY);
    let mut text = pieces.next().unwrap_or("").to_owned();
    for ((table, fresh), rest) in tables.iter().zip(&fresh).zip(pieces) {
        let (_, after) = rest.split_once(']').unwrap_or(("", rest));
        text.push_str(ARRAY);
        for node in 0..table.conditions.len() {
            let value = match table.is_leaf[node] && fresh.covers[node] > 0.0 {
                true => {
                    let [old, new] = [table, fresh].map(|one| f64::from(one.conditions[node]));
                    (decay * old + (1.0 - decay) * new) as f32
                }
                false => table.conditions[node],
            };
            let comma = if node == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}{value:E}");
        }
        text.push(']');
        text.push_str(after);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(conditions: &[&str], covers: &str) -> String {
        let trees: Vec<String> = conditions
            .iter()
            .map(|conditions| {
                format!(
                    "{{\"left_children\":[1,-1,-1],\"split_conditions\":[{conditions}],\
                     \"sum_hessian\":[{covers}]}}"
                )
            })
            .collect();
        let trees = trees.join(",");
        format!("{{\"learner\":{{\"gradient_booster\":{{\"model\":{{\"trees\":[{trees}]}}}}}}}}")
    }

    #[test]
    fn leaves_blend_and_what_no_row_reached_stays() {
        let old = model(&["5E-1,1E0,-2E0", "1.1754944E-38,3E0,4E0"], "9E0,4E0,5E0");
        let new = model(&["5E-1,2E0,7E0", "1.1754944E-38,0E0,8E0"], "3E0,3E0,0E0");
        let wanted = model(
            &["5E-1,1.25E0,-2E0", "1.1754944E-38,2.25E0,4E0"],
            "9E0,4E0,5E0",
        );
        assert_eq!(blend(&old, &new, 0.75).unwrap(), wanted);
        assert_eq!(blend(&old, &new, 1.0).unwrap(), old);
        let fewer = model(&["5E-1,2E0,7E0"], "3E0,3E0,0E0");
        assert!(blend(&old, &fewer, 0.5).is_err());
    }
}
