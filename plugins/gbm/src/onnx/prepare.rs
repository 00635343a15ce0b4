//! What rows go through before the trees.
//!
//! Most models need nothing: a missing value is NaN, for which a node of ONNX has a direction, and
//! that LightGBM reads tiny numbers as zero is settled in the thresholds. Two things need columns
//! of their own, which are joined to the row. Where zero is missing, a copy of the row has NaN for
//! it. A set of categories is a column of 0 where the category goes left and of 1 where it goes
//! right, looked up in a table by the value cut to a whole number.

use std::collections::{BTreeMap, BTreeSet};

use fusebox_onnx_proto::{Attributes, DataType, GraphProto, NodeProto, TensorProto, node};
use fusebox_plugin_api::prelude::*;

use super::INPUT;
use crate::flat::{Forest, Missing, NodeView, SetView, ZERO};

/// Bytes that the tables of categories may take.
const TABLES_LIMIT_BYTES: usize = 64 << 20;
/// Numbers up to here are whole in f32.
const MAX_CATEGORIES: usize = 1 << 24;

/// The sets of every column that has some.
type Sets<'a> = BTreeMap<usize, BTreeSet<SetView<'a>>>;

/// What the trees compare, and where it is.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    /// Name of the tensor.
    pub(super) name: &'static str,
    columns: usize,
    /// Position of every set in the tensor.
    members: BTreeMap<(usize, SetView<'a>), usize>,
}

impl<'a> Prepared<'a> {
    /// Position of a column where zero is missing.
    pub(super) fn without_zeros(&self, column: usize) -> usize {
        self.columns + column
    }

    /// Position of the column that is 0 where the category in `column` goes left, else 1.
    pub(super) fn category(&self, column: usize, set: SetView<'a>) -> usize {
        let found = self.members.get(&(column, set));
        // Every set of the forest was collected from the same nodes.
        found.copied().unwrap_or(column)
    }
}

/// Writes the operations before the trees of `forest`.
///
/// # Errors
/// `E_UNSUPPORTED` where the tables of categories would be too large.
pub(super) fn write<'a>(forest: &'a Forest, graph: &mut GraphProto) -> Result<Prepared<'a>> {
    let mut zero_is_missing = false;
    let mut sets = Sets::new();
    for node in forest.trees().flatten() {
        match node {
            NodeView::AtMost { missing, .. } => zero_is_missing |= missing == Missing::Zero,
            NodeView::Category { column, set, .. } => {
                sets.entry(column).or_default().insert(set);
            }
            NodeView::Leaf { .. } => {}
        }
    }
    let mut prepared = Prepared {
        name: INPUT,
        columns: forest.columns(),
        members: BTreeMap::new(),
    };
    let mut parts = vec![INPUT];
    if zero_is_missing {
        parts.push(write_without_zeros(graph));
    }
    if !sets.is_empty() {
        let first = parts.len() * forest.columns();
        let all = sets
            .iter()
            .flat_map(|(column, sets)| sets.iter().map(|set| (*column, *set)));
        prepared.members = all.zip(first..).collect();
        parts.push(write_categories(&sets, graph)?);
    }
    if parts.len() > 1 {
        prepared.name = "prepared";
        graph.node.push(joined(&parts, prepared.name));
    }
    Ok(prepared)
}

/// Columns side by side.
fn joined(parts: &[&str], name: &str) -> NodeProto {
    NodeProto {
        attribute: Attributes::new().int("axis", 1).done(),
        ..node("Concat", parts, &[name])
    }
}

/// A copy of the rows with NaN for what LightGBM reads as zero.
fn write_without_zeros(graph: &mut GraphProto) -> &'static str {
    let numbers = [("zero_limit", ZERO), ("nan", f32::NAN)];
    let constants = numbers.map(|(name, value)| TensorProto::of_floats(name, &[1], &[value]));
    graph.initializer.extend(constants);
    graph.node.extend([
        node("Abs", &[INPUT], &["sizes"]),
        node("LessOrEqual", &["sizes", "zero_limit"], &["is_zero"]),
        node("Where", &["is_zero", "nan", INPUT], &["without_zeros"]),
    ]);
    "without_zeros"
}

/// Rows of a table before the first category: for what is missing, and for what is below all.
const FIRST_CATEGORY: usize = 2;

/// One column per set, from one table per column.
fn write_categories(sets: &Sets<'_>, graph: &mut GraphProto) -> Result<&'static str> {
    let all = || sets.values().flatten().copied();
    let (end, count) = (all().map(SetView::end).max().unwrap_or(0), all().count());
    // One more row for what is above all.
    let rows = FIRST_CATEGORY + end + 1;
    if end > MAX_CATEGORIES || rows.saturating_mul(count) > TABLES_LIMIT_BYTES {
        return Err(PluginError::unsupported(format!(
            "writing this model as ONNX: {count} sets of up to {end} categories would take more \
             than {} MiB; number the categories from 0 on without gaps, or train with fewer",
            TABLES_LIMIT_BYTES >> 20
        )));
    }
    let columns: Vec<i64> = sets.keys().map(|column| *column as i64).collect();
    let cuts = all().any(|set| matches!(set, SetView::Among(_)));
    write_rows(&columns, (end, cuts), graph);
    let mut parts = Vec::new();
    for (position, (column, sets)) in sets.iter().enumerate() {
        let name = |what: &str| format!("{what}_{column}");
        let [place, found, table, right] = ["place", "rows", "table", "right"].map(name);
        let mut at = TensorProto::of_ints(&place, &[position as i64]);
        at.dims.clear();
        let bytes = table_of(sets, end);
        let table_tensor = TensorProto::of_bytes(&table, &[rows, sets.len()], bytes);
        graph.initializer.extend([at, table_tensor]);
        graph.node.push(gather(1, &["table_rows", &place], &found));
        graph.node.push(gather(0, &[&table, &found], &right));
        parts.push(right);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.node.push(joined(&parts, "goes_right"));
    graph
        .node
        .push(cast(DataType::Float, "goes_right", "categories_right"));
    Ok("categories_right")
}

/// The row of the table for the value of each of `columns`. A value is cut towards zero; where
/// `cuts` does not hold, one below zero is no category even if it would be cut to 0.
fn write_rows(columns: &[i64], (end, cuts): (usize, bool), graph: &mut GraphProto) {
    let mut highest = TensorProto::of_floats("highest_category", &[1], &[end as f32]);
    let mut lowest = TensorProto::of_floats("no_category", &[1], &[-1.0]);
    graph.initializer.extend([
        TensorProto::of_ints("category_columns", columns),
        TensorProto::of_floats("below_all", &[1], &[-1.0]),
        TensorProto::of_floats("missing_category", &[1], &[-2.0]),
        TensorProto::of_ints("first_category", &[FIRST_CATEGORY as i64]),
    ]);
    // Bounds are numbers, not lists.
    lowest.dims.clear();
    highest.dims.clear();
    graph.initializer.extend([lowest, highest]);
    graph.node.extend([
        gather(1, &[INPUT, "category_columns"], "categories"),
        node("IsNaN", &["categories"], &["is_missing"]),
        node(
            "Where",
            &["is_missing", "below_all", "categories"],
            &["present"],
        ),
    ]);
    let mut present = "present";
    if !cuts {
        graph
            .initializer
            .push(TensorProto::of_floats("zero_category", &[1], &[0.0]));
        graph.node.extend([
            node("Less", &["present", "zero_category"], &["is_below"]),
            node(
                "Where",
                &["is_below", "below_all", "present"],
                &["at_least_zero"],
            ),
        ]);
        present = "at_least_zero";
    }
    let bounds = [present, "no_category", "highest_category"];
    graph.node.extend([
        node("Clip", &bounds, &["bounded"]),
        node(
            "Where",
            &["is_missing", "missing_category", "bounded"],
            &["coded"],
        ),
        cast(DataType::Int64, "coded", "whole"),
        node("Add", &["whole", "first_category"], &["table_rows"]),
    ]);
}

fn gather(axis: i64, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        attribute: Attributes::new().int("axis", axis).done(),
        ..node("Gather", inputs, &[output])
    }
}

fn cast(kind: DataType, input: &str, output: &str) -> NodeProto {
    NodeProto {
        attribute: Attributes::new().int("to", i32::from(kind).into()).done(),
        ..node("Cast", &[input], &[output])
    }
}

/// For each row of the table one byte per set: 0 where it goes left.
fn table_of(sets: &BTreeSet<SetView<'_>>, end: usize) -> Vec<u8> {
    let row = |row: usize| {
        sets.iter().map(move |set| {
            let category = row.checked_sub(FIRST_CATEGORY).filter(|one| *one < end);
            let left = match row {
                0 => set.missing_left(),
                _ => set.goes_left(category),
            };
            u8::from(!left)
        })
    };
    (0..FIRST_CATEGORY + end + 1).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_sends_members_and_strangers_where_they_belong() {
        let among = SetView::Among(&[0b101]);
        let outside = SetView::Outside {
            categories: &[1, 40],
            missing_left: true,
        };
        let table = table_of(&BTreeSet::from([among, outside]), 41);
        let lefts = |set: usize| -> Vec<usize> {
            (0..44).filter(|row| table[row * 2 + set] == 0).collect()
        };
        assert_eq!(lefts(0), [2, 4]);
        let strangers: Vec<usize> = (0..44).filter(|row| ![3, 42].contains(row)).collect();
        assert_eq!(lefts(1), strangers);
    }
}
