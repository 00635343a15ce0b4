//! Inputs and outputs of a file against what was asked for: everything that is wrong is found
//! before the first row, and told at once.
//!
//! What was asked for comes from the configuration, and where that is silent from the metadata that
//! this project's exporters write. Both must agree where both speak.

use fusebox_plugin_api::prelude::*;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::answers::{Numbers, Writing};
use crate::file::{ADVICE, OnnxFile};
use crate::settings::{Kind, Settings};

/// How rows go in and answers come out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contract {
    /// Name of the input.
    pub(crate) input: String,
    /// Its shape; -1 for the number of rows where that is free.
    pub(crate) input_shape: Vec<i64>,
    /// Rows that must go in together; `None` for any number.
    pub(crate) fixed_rows: Option<usize>,
    /// Steps of a row.
    pub(crate) window: usize,
    /// Features of a step.
    pub(crate) columns: usize,
    /// Name of the output.
    pub(crate) output: String,
    /// What its numbers are.
    pub(crate) numbers: Numbers,
    /// Numbers of a row, where the file says so.
    pub(crate) values: Option<usize>,
}

/// A tensor of the file; dimensions below 0 are free.
struct Tensor<'a> {
    name: &'a str,
    kind: TensorElementType,
    shape: &'a [i64],
}

/// What was asked for, by the configuration and by the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Asked {
    /// Features, in order; empty where nobody named them.
    pub(crate) features: Vec<String>,
    /// The task; `None` where nobody said it.
    pub(crate) task: Option<Task>,
    /// Names of the answers; empty where nobody named them.
    pub(crate) outputs: Vec<String>,
    /// Name of what is predicted.
    pub(crate) label: Option<String>,
}

impl Asked {
    /// Joins the configuration with the file's metadata.
    pub(crate) fn new(settings: &Settings, file: &OnnxFile, problems: &mut Vec<String>) -> Self {
        let mut noted = |problem: String| problems.push(problem);
        let mut names = |key: &str| -> Vec<String> {
            let found = file.json::<Vec<String>>(key);
            found.map_err(&mut noted).ok().flatten().unwrap_or_default()
        };
        let features = names("fusebox.features");
        let outputs = names("fusebox.outputs");
        let classes = names("fusebox.classes");
        let task: Option<Task> = file.json("fusebox.task").map_err(&mut noted).ok().flatten();
        agree("features", &settings.features, &features, problems);
        agree("outputs", &settings.outputs, &outputs, problems);
        agree("classes", &settings.classes, &classes, problems);
        problems.extend(contradiction(task.as_ref(), &classes));
        problems.extend(digest_problems(settings, file));
        let either = |own: &[String], stated: Vec<String>| match own.is_empty() {
            true => stated,
            false => own.to_vec(),
        };
        let label = settings.label.clone();
        Self {
            features: either(&settings.features, features),
            outputs: either(&settings.outputs, outputs),
            task: task_of(settings, task, problems),
            label: label.or_else(|| file.fact("fusebox.label").map(str::to_owned)),
        }
    }
}

/// Where the file names other classes than its task has.
fn contradiction(task: Option<&Task>, classes: &[String]) -> Option<String> {
    let own = match task? {
        Task::Classification { classes } => classes,
        _ if classes.is_empty() => return None,
        _ => &Vec::new(),
    };
    let is_same = classes.is_empty() || own == classes;
    (!is_same).then(|| {
        format!(
            "its metadata contradict each other: `fusebox.classes` has {}, `fusebox.task` is for \
             {}; {ADVICE}",
            classes.join(", "),
            task.map_or_else(String::new, words)
        )
    })
}

/// What is wrong with the digests that the file states of itself.
fn digest_problems(settings: &Settings, file: &OnnxFile) -> Vec<String> {
    let mut problems = Vec::new();
    let feature_set = file.fact("fusebox.feature_set");
    if let (Some(wanted), Some(stated)) = (&settings.feature_set, feature_set)
        && !wanted.eq_ignore_ascii_case(stated)
    {
        problems.push(format!(
            "it was trained on the feature set {stated}, `feature_set` is {wanted}"
        ));
    }
    // Whoever asks for one model takes no file that may be of another.
    match (&settings.source_model, file.fact("fusebox.source_model")) {
        (Some(wanted), Some(stated)) if !wanted.eq_ignore_ascii_case(stated) => {
            problems.push(format!(
                "it was written from the model {stated}, `source_model` is {wanted}"
            ));
        }
        (Some(wanted), None) => problems.push(format!(
            "it does not say which model it was written from, `source_model` is {wanted}; export \
             it with `fusebox model export --format onnx`, or leave the key out"
        )),
        _ => {}
    }
    problems
}

/// Two lists of names that must be the same where both are there.
fn agree(key: &str, own: &[String], stated: &[String], problems: &mut Vec<String>) {
    if own.is_empty() || stated.is_empty() || own == stated {
        return;
    }
    let place = own
        .iter()
        .zip(stated)
        .position(|(own, stated)| own != stated);
    let place = match place {
        Some(place) => format!("`{}` instead of `{}` at {place}", own[place], stated[place]),
        None => format!("{} instead of {}", own.len(), stated.len()),
    };
    problems.push(format!(
        "`{key}` has {place}; the file says {}",
        stated.join(", ")
    ));
}

fn task_of(settings: &Settings, stated: Option<Task>, problems: &mut Vec<String>) -> Option<Task> {
    let own = match settings.task {
        Some(Kind::Regression) => Some(Task::Regression),
        Some(Kind::Quantiles) => Some(Task::Quantiles {
            levels: settings.levels.clone(),
        }),
        Some(Kind::Classification) | None if !settings.classes.is_empty() => {
            Some(Task::Classification {
                classes: settings.classes.clone(),
            })
        }
        None if !settings.levels.is_empty() => Some(Task::Quantiles {
            levels: settings.levels.clone(),
        }),
        _ => None,
    };
    if settings.task == Some(Kind::Classification) && own.is_none() && stated.is_none() {
        problems.push("`classes` is missing; name them in the order of the output".to_owned());
    }
    if let (Some(own), Some(stated)) = (&own, &stated)
        && own != stated
    {
        problems.push(format!(
            "the configuration asks for {}, the file is for {}",
            words(own),
            words(stated)
        ));
    }
    own.or(stated)
}

/// A task in words.
fn words(task: &Task) -> String {
    match task {
        Task::Classification { classes } => format!("the classes {}", classes.join(", ")),
        Task::Quantiles { levels } => format!("the quantiles {levels:?}"),
        Task::Regression => "numbers".to_owned(),
        _ => "actions".to_owned(),
    }
}

impl Contract {
    /// Finds input and output among those of the file.
    pub(crate) fn find(
        (inputs, outputs): (&[Outlet], &[Outlet]),
        settings: &Settings,
        asked: &Asked,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let input = input_of(inputs, settings, problems);
        let output = output_of(outputs, settings, problems);
        let rows = input
            .as_ref()
            .and_then(|input| rows_of(input, settings, asked, problems));
        let numbers = output
            .as_ref()
            .and_then(|output| numbers_of(output, problems));
        let (input, rows, output, numbers) = (input?, rows?, output?, numbers?);
        let free = rows.fixed.map_or(-1, |rows| rows as i64);
        let shape = match input.shape.len() {
            2 => vec![free, rows.columns as i64],
            _ => vec![free, rows.window as i64, rows.columns as i64],
        };
        Some(Self {
            input: input.name.to_owned(),
            input_shape: shape,
            fixed_rows: rows.fixed,
            window: rows.window,
            columns: rows.columns,
            output: output.name.to_owned(),
            numbers,
            values: match output.shape {
                [_, rest @ ..] if rest.iter().all(|length| *length >= 0) => {
                    Some(rest.iter().product::<i64>() as usize)
                }
                _ => None,
            },
        })
    }

    /// The task and the names of the answers, of which a row of the output has `values`.
    pub(crate) fn answers(
        &self,
        values: usize,
        asked: &Asked,
        problems: &mut Vec<String>,
    ) -> Option<(Task, Vec<String>, Writing)> {
        let task = match &asked.task {
            Some(task) => task.clone(),
            // One number is a number; of several nobody can tell what they are.
            None if values == 1 => Task::Regression,
            None => {
                problems.push(format!(
                    "the output `{}` has {values} numbers per row and nothing says what they are; \
                     set `task`, and `classes` or `levels`",
                    self.output
                ));
                return None;
            }
        };
        let label = asked.label.clone().unwrap_or_else(|| self.output.clone());
        let (wanted, names): (usize, Vec<String>) = match &task {
            Task::Classification { classes } => (
                classes.len(),
                classes.iter().map(|class| format!("p_{class}")).collect(),
            ),
            Task::Quantiles { levels } => (
                levels.len(),
                levels
                    .iter()
                    .map(|level| format!("{label}_q{level}"))
                    .collect(),
            ),
            _ if values == 1 => (1, vec![label]),
            _ => (
                values,
                (0..values)
                    .map(|place| format!("{label}_{place}"))
                    .collect(),
            ),
        };
        let writing = match (&task, wanted, values) {
            (Task::Classification { .. }, 2, 1) => Writing::BothOfOne,
            (_, wanted, values) if wanted == values => Writing::AsTheyAre,
            _ => {
                problems.push(format!(
                    "the output `{}` has {values} numbers per row, {} needs {wanted}",
                    self.output,
                    match task {
                        Task::Classification { .. } => "one for each of `classes`",
                        _ => "one for each of `levels`",
                    }
                ));
                return None;
            }
        };
        let names = match asked.outputs.len() {
            0 => names,
            count if count == wanted => asked.outputs.clone(),
            count => {
                problems.push(format!(
                    "`outputs` names {count} answers, there are {wanted}"
                ));
                return None;
            }
        };
        Some((task, names, writing))
    }
}

fn tensor(outlet: &Outlet) -> Option<Tensor<'_>> {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => Some(Tensor {
            name: outlet.name(),
            kind: *ty,
            shape,
        }),
        _ => None,
    }
}

/// The one that a key names, or all of them.
fn chosen<'a>(
    outlets: &'a [Outlet],
    (key, name): (&str, Option<&str>),
    problems: &mut Vec<String>,
) -> Option<Vec<&'a Outlet>> {
    let all: Vec<&Outlet> = outlets.iter().collect();
    let Some(name) = name else {
        return Some(all);
    };
    let found = all.iter().find(|outlet| outlet.name() == name);
    if found.is_none() {
        let names: Vec<&str> = all.iter().map(|outlet| outlet.name()).collect();
        problems.push(format!(
            "`{key}` is `{name}`; the file has {}",
            names.join(", ")
        ));
    }
    found.map(|found| vec![*found])
}

fn input_of<'a>(
    inputs: &'a [Outlet],
    settings: &Settings,
    problems: &mut Vec<String>,
) -> Option<Tensor<'a>> {
    let name = settings.input.as_deref();
    chosen(inputs, ("input", name), problems)?;
    let [only] = inputs else {
        let names: Vec<&str> = inputs.iter().map(Outlet::name).collect();
        problems.push(format!(
            "it has {} inputs ({}); one with all features is needed, so join them in the export",
            inputs.len(),
            names.join(", ")
        ));
        return None;
    };
    match tensor(only) {
        Some(found) if found.kind == TensorElementType::Float32 => Some(found),
        Some(found) => {
            problems.push(format!(
                "the input `{}` takes {:?}; f32 is needed, so export with a float input",
                found.name, found.kind
            ));
            None
        }
        None => {
            problems.push(format!(
                "the input `{}` is no tensor but {}",
                only.name(),
                only.dtype()
            ));
            None
        }
    }
}

/// The tensor with the answers: the named one, else the one that holds floating-point numbers.
fn output_of<'a>(
    outputs: &'a [Outlet],
    settings: &Settings,
    problems: &mut Vec<String>,
) -> Option<Tensor<'a>> {
    let found = chosen(outputs, ("output", settings.output.as_deref()), problems)?;
    let tensors: Vec<Tensor<'a>> = found.iter().filter_map(|outlet| tensor(outlet)).collect();
    if tensors.is_empty() || tensors.len() < found.len() && tensors.iter().all(is_label) {
        let maps: Vec<&str> = found
            .iter()
            .filter(|outlet| tensor(outlet).is_none())
            .map(|outlet| outlet.name())
            .collect();
        problems.push(format!(
            "the output `{}` is a list of maps (ZipMap), not a tensor; export again with \
             `zipmap=False`",
            maps.join("`, `")
        ));
        return None;
    }
    let names: Vec<&str> = tensors.iter().map(|one| one.name).collect();
    let names = names.join(", ");
    let alone = tensors.len() == 1;
    let mut fitting: Vec<Tensor<'a>> = tensors
        .into_iter()
        .filter(|one| alone || !is_label(one))
        .collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(only), true) => Some(only),
        (None, _) => {
            problems.push(format!("no output holds floating-point numbers ({names})"));
            None
        }
        _ => {
            problems.push(format!(
                "it has several outputs ({names}); name one with `output`"
            ));
            None
        }
    }
}

/// Whether a tensor is the predicted class beside the probabilities.
fn is_label(tensor: &Tensor<'_>) -> bool {
    !matches!(
        tensor.kind,
        TensorElementType::Float32 | TensorElementType::Float64
    )
}

fn numbers_of(output: &Tensor<'_>, problems: &mut Vec<String>) -> Option<Numbers> {
    let numbers = Numbers::of(output.kind);
    if numbers.is_none() {
        problems.push(format!(
            "the output `{}` holds {:?}; f32, f64, i32 or i64 is needed",
            output.name, output.kind
        ));
    }
    numbers
}

/// The shape of rows.
struct Rows {
    fixed: Option<usize>,
    window: usize,
    columns: usize,
}

/// Rows are `[rows, features]` or `[rows, steps, features]`.
fn rows_of(
    input: &Tensor<'_>,
    settings: &Settings,
    asked: &Asked,
    problems: &mut Vec<String>,
) -> Option<Rows> {
    let name = input.name;
    let (rows, steps, features) = match input.shape {
        [rows, features] => (*rows, None, *features),
        [rows, steps, features] => (*rows, Some(*steps), *features),
        shape => {
            problems.push(format!(
                "the input `{name}` has the shape {shape:?}; [rows, features] or \
                 [rows, steps, features] is needed"
            ));
            return None;
        }
    };
    let before = problems.len();
    let known = |length: i64| usize::try_from(length).ok().filter(|length| *length > 0);
    let window = match (steps.map(known), settings.window) {
        (None, None | Some(1)) => 1,
        (None, Some(wanted)) => {
            problems.push(format!(
                "the input `{name}` takes single steps, `window` is {wanted}"
            ));
            1
        }
        (Some(Some(found)), Some(wanted)) if found != wanted => {
            problems.push(format!(
                "the input `{name}` takes {found} steps, `window` is {wanted}"
            ));
            found
        }
        (Some(Some(found)), _) => found,
        (Some(None), Some(wanted)) => wanted,
        (Some(None), None) => {
            problems.push(format!(
                "the input `{name}` takes any number of steps; set `window`"
            ));
            1
        }
    };
    let columns = match (known(features), asked.features.len()) {
        (Some(found), wanted) if wanted != 0 && found != wanted => {
            problems.push(format!(
                "the input `{name}` takes {found} features, `features` names {wanted}"
            ));
            found
        }
        (Some(found), _) => found,
        (None, 0) => {
            problems.push(format!(
                "the input `{name}` takes any number of features; set `features`"
            ));
            1
        }
        (None, wanted) => wanted,
    };
    (problems.len() == before).then_some(Rows {
        fixed: known(rows),
        window,
        columns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_the_task_does_not_have_are_a_contradiction() {
        let of = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let three = of(&["down", "flat", "up"]);
        let task = Task::Classification {
            classes: three.clone(),
        };
        assert_eq!(contradiction(None, &of(&["a"])), None);
        assert_eq!(contradiction(Some(&task), &three), None);
        assert_eq!(contradiction(Some(&task), &[]), None);
        assert_eq!(contradiction(Some(&Task::Regression), &[]), None);
        for (task, classes) in [
            (&task, of(&["up", "flat", "down"])),
            (&Task::Regression, three),
        ] {
            let told = contradiction(Some(task), &classes).unwrap();
            assert!(
                told.contains("`fusebox.classes` has ") && told.contains(ADVICE),
                "{told}"
            );
        }
    }
}
