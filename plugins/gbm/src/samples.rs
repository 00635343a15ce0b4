//! The rows a fit learns from, taken out of a dataset without copying its matrix.
//!
//! A row takes part when its role is sample and its label is a number. Neighbouring rows of a batch
//! form one run, which is a slice of the host's matrix; labels and weights are small and gathered.

use std::borrow::Cow;

use fusebox_plugin_api::prelude::*;

use crate::metric::Outcomes;
use crate::params::ClassWeight;

/// Most columns whose wrong values are told of at once; a message has bounded room.
const LISTED_COLUMNS: usize = 6;
/// Categories lie below: XGBoost makes a histogram bin, and LightGBM a bit in every set, for each
/// number up to the largest.
const CATEGORY_LIMIT: f32 = 65_536.0;

/// Runs of feature rows with one label and one weight per row.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    /// Row-major runs, in order.
    pub(crate) runs: Vec<&'a [f32]>,
    /// Columns per row.
    pub(crate) columns: usize,
    /// Class index or number.
    pub(crate) labels: Vec<f32>,
    /// Weight in the loss of each row; empty where every row weighs 1.
    pub(crate) weights: Vec<f32>,
    /// When, and what was returned; empty where nobody asked.
    pub(crate) outcomes: Outcomes,
}

/// What is taken out of a dataset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Position of the label column to learn.
    pub(crate) label: usize,
    /// What the label must fit.
    pub(crate) task: &'a Task,
    /// Position of the label column that counts as the return, where outcomes are wanted.
    pub(crate) returns: Option<usize>,
}

/// The position of the label column called `name`, or of the only one where `name` is empty.
pub(crate) fn label_column(schema: &DatasetSchema, name: &str) -> Result<usize> {
    let listed = schema.labels.join(", ");
    match schema.labels.iter().position(|label| label == name) {
        Some(position) => Ok(position),
        None if name.is_empty() && schema.labels.len() == 1 => Ok(0),
        None if name.is_empty() => Err(PluginError::config(format!(
            "the data has several labels ({listed}); set the key `label` to one of them"
        ))),
        None => Err(PluginError::config(format!(
            "the data has no label `{name}`; it has {listed}"
        ))),
    }
}

impl<'a> Samples<'a> {
    /// Gathers the rows of `dataset` with a label.
    ///
    /// # Errors
    /// `E_DATA` listing every kind of wrong row with the first one, or saying that no row is left.
    pub(crate) fn collect(dataset: &'a Dataset, wanted: Wanted<'_>) -> Result<Self> {
        let mut samples = Self {
            runs: Vec::new(),
            columns: dataset.schema().features.len(),
            labels: Vec::with_capacity(dataset.samples()),
            weights: Vec::new(),
            outcomes: Outcomes::default(),
        };
        let mut problems = Problems::default();
        for (batch, view) in dataset.views().enumerate() {
            let mut run_start = None;
            for row in 0..view.rows() {
                let value = view.label_row(row)[wanted.label];
                let used = view.is_sample(row) && !value.is_nan();
                if used {
                    problems.check(value, view.weight[row], wanted.task, (batch, row));
                    samples.labels.push(value);
                    samples.push_weight(view.weight[row]);
                    samples.push_outcome(&view, row, wanted);
                    run_start.get_or_insert(row);
                } else if let Some(start) = run_start.take() {
                    samples.push_run(&view, start, row);
                }
            }
            if let Some(start) = run_start {
                samples.push_run(&view, start, view.rows());
            }
        }
        problems.into_result()?;
        if samples.labels.is_empty() {
            return Err(PluginError::data(format!(
                "no row is a sample with a label ({} rows, {} of them samples); check the date \
                 range and the label",
                dataset.rows(),
                dataset.samples()
            )));
        }
        Ok(samples)
    }

    /// Notes the weight of the last row; nothing is kept until one differs from 1.
    fn push_weight(&mut self, weight: f32) {
        if self.weights.is_empty() {
            if is_one(weight) {
                return;
            }
            self.weights.reserve_exact(self.labels.capacity());
            self.weights.resize(self.labels.len() - 1, 1.0);
        }
        self.weights.push(weight);
    }

    fn push_run(&mut self, view: &DatasetView<'a>, start: usize, end: usize) {
        self.runs
            .push(&view.features[start * view.columns..end * view.columns]);
    }

    fn push_outcome(&mut self, view: &DatasetView<'_>, row: usize, wanted: Wanted<'_>) {
        let Some(column) = wanted.returns else {
            return;
        };
        let value = view.label_row(row)[column];
        // A class stands for its distance from the middle one.
        let middle = match wanted.task {
            Task::Classification { classes } if column == wanted.label => {
                (classes.len() as f32 - 1.0) / 2.0
            }
            _ => 0.0,
        };
        self.outcomes.event_ns.push(view.event_ns[row]);
        self.outcomes.returns.push(value - middle);
    }

    /// Refuses training rows from which nothing can be learned.
    pub(crate) fn check_learnable(&self, task: &Task) -> Result<()> {
        if !self.weights.is_empty() && self.weights.iter().all(|weight| *weight == 0.0) {
            return Err(PluginError::data("every training row has weight 0"));
        }
        let Task::Classification { classes } = task else {
            return Ok(());
        };
        let counts = self.class_counts(classes.len());
        let mut present = classes.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let (first, second) = (present.next(), present.next());
        match (first, second) {
            (Some((class, count)), None) => Err(PluginError::data(format!(
                "all {count} training rows have the class `{class}`; a classifier needs two \
                 classes, so widen the training range or change the label"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses features that the library or the settings do not allow, all columns at once.
    ///
    /// # Errors
    /// `E_CONFIG` where a column is called categorical that is not, because no other data would
    /// mend that; else `E_DATA`.
    pub(crate) fn check_features(&self, names: &[String], rules: &FeatureRules) -> Result<()> {
        let mut problems: Vec<Option<(usize, String)>> = vec![None; self.columns];
        let mut is_miscalled = false;
        let rows = self
            .runs
            .iter()
            .flat_map(|run| run.chunks_exact(self.columns));
        for (row, values) in rows.enumerate() {
            for (column, value) in values.iter().enumerate() {
                if let Some(problem) = rules.problem(column, *value) {
                    is_miscalled |= rules.is_categorical(column) && !value.is_nan();
                    let first = || format!("sample {row} has {value}, {problem}");
                    count(&mut problems[column], first);
                }
            }
        }
        let found = names.iter().zip(problems).filter_map(|(name, problem)| {
            let (count, first) = problem?;
            Some(format!("{count} values of `{name}` (the first: {first})"))
        });
        let mut found: Vec<String> = found.collect();
        if found.len() > LISTED_COLUMNS {
            let more = found.len() - LISTED_COLUMNS;
            found.truncate(LISTED_COLUMNS);
            found.push(format!("and {more} more columns"));
        }
        let words = found.join("; ");
        match (found.is_empty(), is_miscalled) {
            (true, _) => Ok(()),
            (false, false) => Err(PluginError::data(words)),
            (false, true) => Err(PluginError::config(format!(
                "{words}; take such columns out of the key `categorical`, or bring their values \
                 there"
            ))),
        }
    }

    fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for label in &self.labels {
            counts[*label as usize] += 1;
        }
        counts
    }

    /// The weights the library gets; `None` where every row counts alike.
    pub(crate) fn loss_weights(&self, task: &Task, rule: ClassWeight) -> Option<Cow<'_, [f32]>> {
        let (Task::Classification { classes }, ClassWeight::Balanced) = (task, rule) else {
            return (!self.weights.is_empty()).then(|| self.weights.as_slice().into());
        };
        let counts = self.class_counts(classes.len());
        let present = counts.iter().filter(|count| **count > 0).count();
        let share = self.labels.len() as f64 / present as f64;
        let class_weight = |label: f32| share / counts[label as usize] as f64;
        let weight_of = |row: usize| self.weights.get(row).copied().unwrap_or(1.0);
        let rows = self.labels.iter().enumerate();
        let weights: Vec<f32> = rows
            .map(|(row, label)| (class_weight(*label) * f64::from(weight_of(row))) as f32)
            .collect();
        let alike = weights.iter().all(|weight| is_one(*weight));
        (!alike).then(|| weights.into())
    }
}

/// Whether a weight is exactly 1.
fn is_one(weight: f32) -> bool {
    weight.to_bits() == 1.0_f32.to_bits()
}

/// Which values of features a fit takes.
#[derive(Debug, Clone)]
pub(crate) struct FeatureRules {
    /// Whether infinite values are refused, as XGBoost does.
    pub(crate) finite: bool,
    /// Whether missing values are refused.
    pub(crate) present: bool,
    /// For each column whether its values are categories.
    pub(crate) categorical: Vec<bool>,
}

impl FeatureRules {
    /// Whether every value passes, so that nothing needs to be looked at.
    pub(crate) fn allow_all(&self) -> bool {
        !self.finite && !self.present && !self.categorical.contains(&true)
    }

    fn is_categorical(&self, column: usize) -> bool {
        self.categorical.get(column) == Some(&true)
    }

    fn problem(&self, column: usize, value: f32) -> Option<&'static str> {
        if value.is_nan() {
            let refused = "and missing values are refused by the key `missing`";
            return self.present.then_some(refused);
        }
        if self.is_categorical(column) {
            let whole = value.fract() == 0.0 && (0.0..CATEGORY_LIMIT).contains(&value);
            let wanted = "but a category is a whole number from 0 to 65,535";
            return (!whole).then_some(wanted);
        }
        let wanted = "which XGBoost does not learn from; bound that feature, or use LightGBM";
        (self.finite && value.is_infinite()).then_some(wanted)
    }
}

/// Wrong rows: per kind how many, and the first.
#[derive(Debug, Default)]
struct Problems {
    labels: Option<(usize, String)>,
    weights: Option<(usize, String)>,
}

impl Problems {
    fn check(&mut self, label: f32, weight: f32, task: &Task, (batch, row): (usize, usize)) {
        let (fits, wanted) = match task {
            Task::Classification { classes } => {
                let last = classes.len().saturating_sub(1);
                let inside = label >= 0.0 && label <= last as f32 && label.fract() == 0.0;
                (inside, class_range(last))
            }
            _ => (label.is_finite(), "a finite number".to_owned()),
        };
        if !fits {
            let first = || format!("batch {batch}, row {row} has {label}; it must be {wanted}");
            count(&mut self.labels, first);
        }
        if !weight.is_finite() {
            let first = || format!("batch {batch}, row {row} has {weight}");
            count(&mut self.weights, first);
        }
    }

    fn into_result(self) -> Result<()> {
        let labels = self.labels.map(|(count, first)| {
            format!("{count} labels do not fit the task (the first: {first})")
        });
        let weights = self
            .weights
            .map(|(count, first)| format!("{count} weights are not finite (the first: {first})"));
        let found: Vec<String> = labels.into_iter().chain(weights).collect();
        match found.is_empty() {
            true => Ok(()),
            false => Err(PluginError::data(found.join("; "))),
        }
    }
}

fn class_range(last: usize) -> String {
    format!("a class index from 0 to {last}")
}

fn count(problem: &mut Option<(usize, String)>, first: impl FnOnce() -> String) {
    match problem {
        Some((count, _)) => *count += 1,
        None => *problem = Some((1, first())),
    }
}
