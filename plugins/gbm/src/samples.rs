//! The rows a fit learns from, taken out of a dataset without copying its matrix.
//!
//! A row takes part when its role is sample and its label is a number. Neighbouring rows of a batch
//! form one run, which is a slice of the host's matrix; labels and weights are small and gathered.

use fusebox_plugin_api::prelude::*;

use crate::params::ClassWeight;

/// Runs of feature rows with one label and one weight per row.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    /// Row-major runs, in order.
    pub(crate) runs: Vec<&'a [f32]>,
    /// Columns per row.
    pub(crate) columns: usize,
    /// Class index or number.
    pub(crate) labels: Vec<f32>,
    /// Weight in the loss.
    pub(crate) weights: Vec<f32>,
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
    /// Gathers the rows of `dataset` with a label in column `label`.
    ///
    /// # Errors
    /// `E_DATA` listing every kind of wrong row with the first one, or saying that no row is left.
    pub(crate) fn collect(dataset: &'a Dataset, label: usize, task: &Task) -> Result<Self> {
        let mut samples = Self {
            runs: Vec::new(),
            columns: dataset.schema().features.len(),
            labels: Vec::new(),
            weights: Vec::new(),
        };
        let mut problems = Problems::default();
        for (batch, view) in dataset.views().enumerate() {
            let mut run_start = None;
            for row in 0..view.rows() {
                let value = view.label_row(row)[label];
                let used = view.is_sample(row) && !value.is_nan();
                if used {
                    problems.check(value, view.weight[row], task, (batch, row));
                    samples.labels.push(value);
                    samples.weights.push(view.weight[row]);
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

    fn push_run(&mut self, view: &DatasetView<'a>, start: usize, end: usize) {
        self.runs
            .push(&view.features[start * view.columns..end * view.columns]);
    }

    /// Refuses training rows from which nothing can be learned.
    pub(crate) fn check_learnable(&self, task: &Task) -> Result<()> {
        if self.weights.iter().all(|weight| *weight == 0.0) {
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

    /// Refuses infinite features, which XGBoost does not learn from.
    pub(crate) fn check_finite(&self) -> Result<()> {
        let values = self.runs.iter().flat_map(|run| run.iter());
        let infinite = |(_, value): &(usize, &f32)| value.is_infinite();
        let found = values
            .enumerate()
            .filter(infinite)
            .map(|(position, _)| position);
        let (count, first) = found.fold((0, None), |(count, first): (usize, _), position| {
            (count + 1, first.or(Some(position)))
        });
        match first {
            None => Ok(()),
            Some(position) => Err(PluginError::data(format!(
                "{count} features are infinite (the first: sample {}, column {}), which XGBoost \
                 does not learn from; bound that feature, or use LightGBM",
                position / self.columns,
                position % self.columns
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

    /// The weights LightGBM gets; `None` where every row counts alike.
    pub(crate) fn loss_weights(&self, task: &Task, rule: ClassWeight) -> Option<Vec<f32>> {
        let weights = match (task, rule) {
            (Task::Classification { classes }, ClassWeight::Balanced) => {
                let counts = self.class_counts(classes.len());
                let present = counts.iter().filter(|count| **count > 0).count();
                let share = self.labels.len() as f64 / present as f64;
                let class_weight = |label: f32| share / counts[label as usize] as f64;
                let rows = self.labels.iter().zip(&self.weights);
                rows.map(|(label, weight)| (class_weight(*label) * f64::from(*weight)) as f32)
                    .collect()
            }
            _ => self.weights.clone(),
        };
        let alike = weights
            .iter()
            .all(|weight| weight.to_bits() == 1.0_f32.to_bits());
        (!alike).then_some(weights)
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
