//! LightGBM's model text (`version=v4`, and v3, which has the same trees), read strictly.
//!
//! Follows `src/io/tree.cpp` and `src/boosting/gbdt_model_text.cpp` of LightGBM. The library trusts
//! its text; this reader trusts nothing: no text makes it panic, or take more memory than a small
//! multiple of the text's length.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::str::FromStr;

use fusebox_plugin_api::prelude::*;

use super::layout::Layout;
use super::link::Link;
use super::tree::{Child, Missing, Split, Test, Tree};
use super::{Forest, Sums};

const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Reads a model.
///
/// # Errors
/// `E_UNSUPPORTED` for a model that LightGBM must answer itself, `E_DATA` for a damaged text.
pub(crate) fn read(text: &str) -> Result<Forest> {
    let model = parse(text)?;
    Ok(Forest {
        layout: Layout::new(&model.trees)?,
        columns: model.columns,
        classes: model.classes,
        iterations: model.trees.len() / model.classes,
        sums: Sums::Double,
        link: model.link,
    })
}

/// Reads models of one quantile each as a model of all of them, in ascending order.
///
/// # Errors
/// As [`read`], with the number of the model.
pub(crate) fn read_levels(texts: &[CString]) -> Result<Forest> {
    let read = |(level, text): (usize, &CString)| {
        let model = parse(&text.to_string_lossy())?;
        match (model.classes, model.link) {
            (1, Link::Identity) => Ok(model),
            _ => Err(damaged(&format!("model {level} is not one of a quantile"))),
        }
    };
    let models: Vec<Model> = texts.iter().enumerate().map(read).collect::<Result<_>>()?;
    let columns = models.first().map_or(0, |model| model.columns);
    if models.iter().any(|model| model.columns != columns) || models.is_empty() {
        return Err(damaged("its models do not have the same columns"));
    }
    let iterations = models.iter().map(|model| model.trees.len()).max();
    let iterations = iterations.unwrap_or(0);
    // A level that had nothing left to split is shorter; nothing is added in place of its trees.
    let nothing = Tree::new(Vec::new(), vec![0.0], columns)?;
    let tree = |round: usize| {
        let of_level = models.iter().map(move |model| model.trees.get(round));
        of_level.map(|tree| tree.unwrap_or(&nothing).clone())
    };
    let trees: Vec<Tree> = (0..iterations).flat_map(tree).collect();
    Ok(Forest {
        layout: Layout::new(&trees)?,
        columns,
        classes: models.len(),
        iterations,
        sums: Sums::Double,
        link: Link::Ascending,
    })
}

/// A model as its text describes it.
struct Model {
    trees: Vec<Tree>,
    columns: usize,
    /// Trees of a round.
    classes: usize,
    link: Link,
}

fn parse(text: &str) -> Result<Model> {
    let mut lines = text.lines();
    let header = Fields::header(&mut lines)?;
    let columns = header.number::<usize>("max_feature_idx")?;
    let columns = columns
        .checked_add(1)
        .ok_or_else(|| damaged("`max_feature_idx` is too large"))?;
    let classes = header.number::<usize>("num_tree_per_iteration")?;
    let link = link(header.get("objective")?, classes)?;
    let announced = header.get("tree_sizes")?.split_ascii_whitespace().count();
    let mut trees = Vec::new();
    while let Some(fields) = Fields::tree(&mut lines, trees.len())? {
        let number = trees.len();
        let tree = tree(&fields, columns).map_err(|error| error.at(format!("tree {number}")))?;
        trees.push(tree);
    }
    if trees.len() != announced || classes == 0 || !trees.len().is_multiple_of(classes) {
        let found = trees.len();
        return Err(damaged(&format!(
            "it has {found} trees, its head announces {announced} in rounds of {classes}"
        )));
    }
    Ok(Model {
        trees,
        columns,
        classes,
        link,
    })
}

fn damaged(problem: &str) -> PluginError {
    PluginError::data(format!("the model text is damaged: {problem}"))
}

/// Lines of the form `key=value`.
struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    /// The lines before the first tree, which the first empty line ends.
    fn header(lines: &mut std::str::Lines<'a>) -> Result<Self> {
        if lines.next() != Some("tree") {
            return Err(damaged("it does not begin with `tree`"));
        }
        let fields = Self::block(lines);
        match fields.0.get("version") {
            Some(&("v3" | "v4")) => {}
            Some(version) => return Err(unsupported(&format!("version {version} of the text"))),
            None => return Err(damaged("it does not say its version")),
        }
        match fields.0.contains_key("average_output") {
            true => Err(unsupported("averaged trees (random forests)")),
            false => Ok(fields),
        }
    }

    /// The lines of the next tree; `None` at the end of the trees.
    fn tree(lines: &mut std::str::Lines<'a>, number: usize) -> Result<Option<Self>> {
        match lines.find(|line| !line.is_empty()) {
            Some("end of trees") => Ok(None),
            Some(line) if line.strip_prefix("Tree=") == Some(number.to_string().as_str()) => {
                Ok(Some(Self::block(lines)))
            }
            _ => Err(damaged(&format!(
                "neither tree {number} nor the end of the trees follows"
            ))),
        }
    }

    fn block(lines: &mut std::str::Lines<'a>) -> Self {
        let lines = lines.take_while(|line| !line.is_empty());
        Self(
            lines
                .map(|line| line.split_once('=').unwrap_or((line, "")))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> Result<&'a str> {
        let value = self.0.get(key).copied();
        value.ok_or_else(|| damaged(&format!("`{key}` is not there")))
    }

    fn number<T: FromStr>(&self, key: &str) -> Result<T> {
        let value = self.get(key)?.parse();
        value.map_err(|_| damaged(&format!("`{key}` is not a number that it may be")))
    }

    /// The `count` numbers of a list.
    fn list<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>> {
        let words = self.get(key)?.split_ascii_whitespace();
        let numbers: std::result::Result<Vec<T>, T::Err> = words.map(str::parse).collect();
        let numbers = numbers.map_err(|_| damaged(&format!("`{key}` has a wrong number")))?;
        match numbers.len() == count {
            true => Ok(numbers),
            false => {
                let found = numbers.len();
                Err(damaged(&format!(
                    "`{key}` has {found} numbers instead of {count}"
                )))
            }
        }
    }
}

fn unsupported(what: &str) -> PluginError {
    PluginError::unsupported(format!("flat trees for {what}"))
}

/// The transformation of an objective, which LightGBM writes with its parameters.
fn link(objective: &str, classes: usize) -> Result<Link> {
    let (name, parameters) = objective.split_once(' ').unwrap_or((objective, ""));
    let link = match (name, parameters) {
        ("regression", "") => Link::Identity,
        ("regression", "sqrt") => Link::SignedSquare,
        ("regression_l1" | "huber" | "fair" | "quantile" | "mape", _) => Link::Identity,
        ("poisson" | "gamma" | "tweedie", _) => Link::Exponential,
        ("cross_entropy", _) | ("binary", "sigmoid:1") => Link::Logistic,
        ("multiclass", _) => Link::Softmax,
        ("multiclassova", text) if text.ends_with(" sigmoid:1") => Link::Logistic,
        _ => return Err(unsupported(&format!("the objective `{objective}`"))),
    };
    let several = matches!(name, "multiclass" | "multiclassova");
    match (several, classes) {
        (true, _) if parameters.split(' ').next() == Some(&format!("num_class:{classes}")) => {
            Ok(link)
        }
        (false, 1) => Ok(link),
        _ => Err(damaged(&format!(
            "the objective `{objective}` does not have {classes} trees in a round"
        ))),
    }
}

fn tree(fields: &Fields<'_>, columns: usize) -> Result<Tree> {
    if fields.0.get("is_linear").is_some_and(|value| *value != "0") {
        return Err(unsupported("linear trees"));
    }
    let leaves = fields.number::<usize>("num_leaves")?;
    let values = fields.list("leaf_value", leaves)?;
    let splits = match leaves {
        0 => return Err(damaged("a tree has no leaf")),
        1 => Vec::new(),
        _ => splits(fields, leaves - 1)?,
    };
    Tree::new(splits, values, columns)
}

fn splits(fields: &Fields<'_>, count: usize) -> Result<Vec<Split>> {
    let columns = fields.list::<usize>("split_feature", count)?;
    let thresholds = fields.list::<f64>("threshold", count)?;
    let decisions = fields.list::<u8>("decision_type", count)?;
    let left = fields.list::<i64>("left_child", count)?;
    let right = fields.list::<i64>("right_child", count)?;
    let mut sets = Sets::read(fields)?;
    let split = |index: usize| {
        let (decision, threshold) = (decisions[index], thresholds[index]);
        let test = match decision & CATEGORICAL {
            CATEGORICAL => Test::Among(sets.take(threshold)?),
            _ => numeric(decision, threshold)?,
        };
        Ok(Split {
            column: columns[index],
            test,
            left: child(left[index])?,
            right: child(right[index])?,
        })
    };
    (0..count).map(split).collect()
}

fn numeric(decision: u8, threshold: f64) -> Result<Test> {
    if threshold.is_nan() {
        return Err(damaged("a threshold is not a number"));
    }
    Ok(Test::AtMost {
        threshold: at_most(threshold),
        missing: match decision >> 2 {
            0 => Missing::Never,
            1 => Missing::Zero,
            2 => Missing::Nan,
            _ => return Err(damaged(&format!("{decision} is no type of decision"))),
        },
        missing_left: decision & DEFAULT_LEFT != 0,
    })
}

/// The largest f32 that is at most `threshold`: an f32 is at most one where it is at most the
/// other.
fn at_most(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    match f64::from(nearest) > threshold {
        true => nearest.next_down(),
        false => nearest,
    }
}

/// LightGBM counts leaves downwards from -1.
fn child(index: i64) -> Result<Child> {
    let position = if index < 0 { !index } else { index };
    let position = usize::try_from(position).map_err(|_| damaged("a child is out of range"))?;
    Ok(match index < 0 {
        true => Child::Leaf(position),
        false => Child::Split(position),
    })
}

/// The sets of categories of a tree. Each belongs to one split, which takes it.
struct Sets(Vec<Option<Vec<u32>>>);

impl Sets {
    /// The sets lie one after the other in 32-bit words.
    fn read(fields: &Fields<'_>) -> Result<Self> {
        let count = fields.number::<usize>("num_cat")?;
        if count == 0 {
            return Ok(Self(Vec::new()));
        }
        let boundaries = fields.list::<usize>("cat_boundaries", count.saturating_add(1))?;
        let end = boundaries.last().copied().unwrap_or(0);
        let words = fields.list::<u32>("cat_threshold", end)?;
        if boundaries[0] != 0 || !boundaries.is_sorted() {
            return Err(damaged("`cat_boundaries` does not ascend from 0"));
        }
        let sets = boundaries
            .windows(2)
            .map(|pair| Some(words[pair[0]..pair[1]].to_vec()));
        Ok(Self(sets.collect()))
    }

    /// The set that a categorical split names in place of a threshold.
    fn take(&mut self, number: f64) -> Result<Vec<u32>> {
        let set = self.0.get_mut(number as usize).and_then(Option::take);
        set.ok_or_else(|| damaged("a split names a set of categories that it cannot have"))
    }
}
