//! The gradient-boosting plugin, loaded as a host loads it, against the Python packages: fits,
//! predictions, contributions and updates of fitted models, for both libraries.
//!
//! `tests/reference/{lightgbm,xgboost}_parity.py` recorded the reference.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and so do its helpers"
)]

use fusebox_plugin_api::model::NoProgress;
use fusebox_plugin_api::prelude::*;
use fusebox_tests::gbm::{
    COLUMNS, Data, Fit, LEVELS, bits, config, contributions, create, furthest_ulps, odd, outputs,
    predict,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Reference<Answer> {
    columns: u32,
    train_rows: u32,
    valid_rows: u32,
    update_rows: u32,
    test_rows: u32,
    levels: Vec<f64>,
    cases: Vec<Case<Answer>>,
    updates: Vec<Case<Answer>>,
}

#[derive(Deserialize)]
struct Case<Answer> {
    name: String,
    task: String,
    #[serde(default)]
    weights: bool,
    #[serde(default)]
    categories: bool,
    #[serde(default = "one")]
    per_moment: u32,
    seed: u64,
    config: serde_json::Value,
    best_iteration: Option<u64>,
    trees_sha256: String,
    predictions: Vec<Answer>,
    contributions: Vec<f32>,
}

fn one() -> u32 {
    1
}

/// How a reference writes an answer of a library.
trait Answer: Copy {
    const LIBRARY: &'static str;

    fn wide(self) -> f64;
}

/// LightGBM's are f64.
impl Answer for f64 {
    const LIBRARY: &'static str = "lightgbm";

    fn wide(self) -> f64 {
        self
    }
}

/// XGBoost's are the bits of an f32.
impl Answer for u32 {
    const LIBRARY: &'static str = "xgboost";

    fn wide(self) -> f64 {
        f64::from(f32::from_bits(self))
    }
}

fn lightgbm() -> Reference<f64> {
    serde_json::from_str(include_str!("../reference/data/lightgbm.json")).unwrap()
}

fn xgboost() -> Reference<u32> {
    serde_json::from_str(include_str!("../reference/data/xgboost.json")).unwrap()
}

/// The reference was recorded on x86-64 with fused multiply-add. The C library's `exp` may differ
/// in the last bit elsewhere, which boosting then spreads; there the comparison has a tolerance.
fn same_arithmetic() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl<A: Answer> Reference<A> {
    fn check(&self) {
        assert_eq!(
            (self.columns, self.levels.as_slice()),
            (COLUMNS, &LEVELS[..])
        );
    }

    /// The rows of a case: the scripts give LightGBM infinite values and names that it would
    /// change.
    fn data(&self, case: &Case<A>) -> Data {
        let plain = Data {
            weights: case.weights,
            categories: case.categories,
            per_moment: case.per_moment,
            ..Data::default()
        };
        match A::LIBRARY {
            "lightgbm" => Data {
                infinite: true,
                name: odd,
                ..plain
            },
            _ => plain,
        }
    }

    fn compare(&self, case: &Case<A>, model: &mut dyn Model) {
        let name = format!("{} {}, {}", A::LIBRARY, case.name, case.config);
        let first = self.train_rows + self.valid_rows + self.update_rows;
        let input = self.data(case).matrix(first, self.test_rows);
        let count = outputs(&case.task);
        let found = predict(model, &input, count);
        let expected = contract_outputs(&case.task, &case.predictions);
        let furthest = furthest_ulps(&found, &expected);
        let exact = same_arithmetic();
        if exact {
            assert!(
                furthest <= 1,
                "{name}: {furthest} ulp\n{found:?}\n{expected:?}"
            );
            let trees = trees(&model.save().unwrap());
            assert_eq!(sha256(&trees), case.trees_sha256, "{name}: trees");
        } else {
            let pairs = found.iter().zip(&expected);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            assert!(worst < 1e-4, "{name}: {worst}");
        }
        let row = &input[..COLUMNS as usize];
        let found = contributions(model, row, count);
        let expected = contract_contributions(&case.task, &case.contributions);
        match exact {
            true => assert_eq!(bits(&found), bits(&expected), "{name}: contributions"),
            false => {
                let mut pairs = found.iter().zip(&expected);
                assert!(
                    pairs.all(|(a, b)| (a - b).abs() < 1e-3),
                    "{name}: contributions"
                );
            }
        }
        self.compare_evaluators(case, model, &input);
    }

    /// The flat trees, which answered, and the library say the same.
    fn compare_evaluators(&self, case: &Case<A>, model: &mut dyn Model, input: &[f32]) {
        let count = outputs(&case.task);
        let settings = config(serde_json::json!({"evaluator": "library"}));
        let mut by_library = create(&settings, &model.save().unwrap()).unwrap();
        let found = predict(by_library.as_mut(), input, count);
        let flat = predict(model, input, count);
        assert_eq!(bits(&found), bits(&flat), "{}: evaluators", case.name);
    }

    fn fit(&self, case: &Case<A>) -> Box<dyn Model> {
        let rows = |first, count| self.data(case).dataset(first, count, &case.task);
        let train = rows(0, self.train_rows);
        let valid = rows(self.train_rows, self.valid_rows);
        let mut fit = Fit::new(&case.task, case.config.clone(), &train);
        (fit.valid, fit.seed) = (Some(&valid), case.seed);
        fit.run()
            .unwrap_or_else(|error| panic!("{}: {error}", case.name))
    }

    fn compare_cases(&self) {
        self.check();
        assert!(self.cases.len() >= 30);
        for case in &self.cases {
            let mut model = self.fit(case);
            let notes = model.info().unwrap().notes;
            let best = notes.get("best_iteration");
            let best = best.and_then(serde_json::Value::as_u64);
            assert_eq!(best, case.best_iteration, "{}, {}", case.name, case.config);
            self.compare(case, model.as_mut());
        }
    }

    fn compare_updates(&self) {
        self.check();
        let first = self.train_rows + self.valid_rows;
        for case in &self.updates {
            let mut model = self.fit(case);
            let held = rounds(model.as_ref());
            let fresh = self.data(case).dataset(first, self.update_rows, &case.task);
            let incremental = model.incremental().unwrap();
            let updated = incremental.update(&fresh, &mut NoProgress);
            updated.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let more = case.config.get("update_rounds");
            let more = more.and_then(serde_json::Value::as_u64).unwrap_or(0);
            assert_eq!(rounds(model.as_ref()), held + more, "{}", case.name);
            self.compare(case, model.as_mut());
            let taken_in = serde_json::json!({"count": 1, "rows": self.update_rows});
            assert_eq!(header(model.as_ref())["updates"], taken_in);
        }
    }
}

/// What an artifact says besides the trees; the host asks a model for its notes only once.
fn header(model: &dyn Model) -> serde_json::Value {
    let artifact = model.save().unwrap();
    let text = std::str::from_utf8(&artifact).unwrap();
    serde_json::from_str(text.lines().nth(1).unwrap()).unwrap()
}

fn rounds(model: &dyn Model) -> u64 {
    header(model)["iterations"].as_u64().unwrap()
}

#[test]
fn lightgbm_fits_equal_the_python_package() {
    lightgbm().compare_cases();
}

#[test]
fn xgboost_fits_equal_the_python_package() {
    xgboost().compare_cases();
}

#[test]
fn lightgbm_updates_equal_the_python_package() {
    lightgbm().compare_updates();
}

#[test]
fn xgboost_updates_equal_the_python_package() {
    xgboost().compare_updates();
}

/// What the contract wants of a package's answers: f32, and both probabilities of two classes.
fn contract_outputs(task: &str, answers: &[impl Answer]) -> Vec<f32> {
    let answers = answers.iter().map(|answer| answer.wide());
    match task {
        "binary" => answers
            .flat_map(|up| [(1.0 - up) as f32, up as f32])
            .collect(),
        _ => answers.map(|answer| answer as f32).collect(),
    }
}

/// What speaks for one of two classes speaks against the other.
fn contract_contributions(task: &str, values: &[f32]) -> Vec<f32> {
    match task {
        "binary" => {
            let against = values.iter().map(|value| -value);
            against.chain(values.iter().copied()).collect()
        }
        _ => values.to_vec(),
    }
}

/// The trees of an artifact as the Python scripts cut them out.
fn trees(artifact: &[u8]) -> String {
    let text = std::str::from_utf8(artifact).unwrap();
    let mut lines = text.splitn(3, '\n').skip(1);
    let header: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let body = lines.next().unwrap();
    if let Some(start) = body.find("\"trees\":[") {
        let end = body[start..].find("\"name\":\"gbtree\"").unwrap();
        return body[start..start + end].to_owned();
    }
    let whole = serde_json::json!([body.len()]);
    let lengths = header.get("parts").unwrap_or(&whole).as_array().unwrap();
    let mut rest = body;
    let parts = lengths.iter().map(|length| {
        let (part, after) = rest.split_at(length.as_u64().unwrap() as usize);
        rest = after;
        part.split("end of trees").next().unwrap()
    });
    parts.collect()
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
