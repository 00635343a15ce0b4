//! The page of several models on the same folds: what each is worth, how it learned, what it looks
//! at, and whether one is better than another or than knowing nothing.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ReportError;
use super::data::{
    Classification, Estimate, Evaluation, FoldCurve, ImportanceTable, ModelEvaluation, PairedTest,
    Regression,
};
use super::page::{CalibrationPart, ConfusionRow, calibration_part, confusion_rows, fold_chart};
use super::svg::{Curve, CurveChart, range_bar, swarm};
use super::verdict::{Outcome, Verdict, quality_verdict};

/// Features listed in each table.
const LISTED_FEATURES: usize = 15;
/// Colours of lines.
const COLOURS: usize = 12;

/// What the templates see.
#[derive(Debug, Serialize)]
pub(super) struct EvaluationPage<'a> {
    evaluation: &'a Evaluation,
    verdicts: Vec<Verdict>,
    /// Whether any model is better than all of its baselines, all comparisons taken into account.
    any_beats_baseline: bool,
    has_classes: bool,
    has_returns: bool,
    /// In the order of the models.
    models_quality: Vec<QualityPart<'a>>,
    baselines: Vec<TestPart<'a>>,
    pairs: Vec<TestPart<'a>>,
    models: Vec<ModelPart<'a>>,
}

/// One of both is there.
#[derive(Debug, Serialize)]
struct QualityPart<'a> {
    scored_predictions: u64,
    classification: Option<&'a Classification>,
    regression: Option<&'a Regression>,
}

#[derive(Debug, Serialize)]
struct TestPart<'a> {
    test: &'a PairedTest,
    words: String,
}

#[derive(Debug, Serialize)]
struct ModelPart<'a> {
    id: String,
    model: &'a ModelEvaluation,
    quality: QualityPart<'a>,
    strategy: &'static str,
    confusion: Vec<ConfusionRow<'a>>,
    majority: Vec<ConfusionRow<'a>>,
    calibration: Vec<CalibrationPart<'a>>,
    learning: Vec<LearningPart>,
    importances: Vec<ImportancePart>,
    contributions: Option<ContributionPart>,
    fold_chart: Option<String>,
}

#[derive(Debug, Serialize)]
struct LearningPart {
    metric: String,
    has_training: bool,
    chart: Option<String>,
}

#[derive(Debug, Serialize)]
struct ImportancePart {
    kind: String,
    is_share: bool,
    loss: String,
    left_out: u64,
    rows: Vec<ImportanceRow>,
}

#[derive(Debug, Serialize)]
struct ImportanceRow {
    feature: String,
    mean: f64,
    low: f64,
    high: f64,
    chart: String,
}

#[derive(Debug, Serialize)]
struct ContributionPart {
    swarm: Option<String>,
    rows: Vec<ImportanceRow>,
    left_out: u64,
}

/// Arranges the page.
pub(super) fn evaluation_page(data: &Evaluation) -> Result<EvaluationPage<'_>, ReportError> {
    let part = |test| TestPart {
        test,
        words: words(test),
    };
    let (baselines, pairs): (Vec<&PairedTest>, Vec<&PairedTest>) =
        data.tests.iter().partition(|test| test.is_baseline);
    let is_better = |test: &&PairedTest| is_below_zero(&test.loss);
    Ok(EvaluationPage {
        evaluation: data,
        verdicts: data
            .models
            .iter()
            .map(|model| named(quality_verdict(&model.quality), &model.name))
            .collect(),
        any_beats_baseline: data.models.iter().any(|model| {
            let own = || baselines.iter().filter(|test| test.first == model.name);
            own().next().is_some() && own().all(is_better)
        }),
        has_classes: data
            .models
            .iter()
            .all(|one| one.quality.classification().is_some()),
        has_returns: data
            .models
            .iter()
            .any(|one| one.quality.regression().is_some()),
        models_quality: data.models.iter().map(quality_part).collect(),
        baselines: baselines.into_iter().map(part).collect(),
        pairs: pairs.into_iter().map(part).collect(),
        models: (1..).zip(&data.models).map(model_part).collect(),
    })
}

fn quality_part(model: &ModelEvaluation) -> QualityPart<'_> {
    QualityPart {
        scored_predictions: model.quality.counts().1,
        classification: model.quality.classification(),
        regression: model.quality.regression(),
    }
}

fn named(mut verdict: Verdict, name: &str) -> Verdict {
    verdict.headline = format!("{name}: {}", verdict.headline);
    verdict
}

fn is_below_zero(difference: &Estimate) -> bool {
    difference
        .interval
        .is_some_and(|interval| interval.high < 0.0)
}

/// What the interval of the losses says.
fn words(test: &PairedTest) -> String {
    match test.loss.interval {
        Some(interval) if interval.high < 0.0 => format!("{} is better", test.first),
        Some(interval) if interval.low > 0.0 => format!("{} is better", test.second),
        Some(_) => "no difference is shown".to_owned(),
        None => "cannot be said".to_owned(),
    }
}

fn model_part((number, model): (u32, &ModelEvaluation)) -> ModelPart<'_> {
    let classes = model.quality.classification();
    let table = |counts: &'_ [Vec<u64>]| {
        classes.map_or_else(Vec::new, |one| confusion_rows(&one.class_names, counts))
    };
    let curves = classes.map_or(&[][..], |one| &one.calibration);
    ModelPart {
        quality: quality_part(model),
        id: format!("model-{number}"),
        model,
        strategy: match Outcome::of(&model.excess_return) {
            Outcome::Beats => "beats buy and hold after costs",
            Outcome::NotShown => "does NOT beat buy and hold after costs",
            Outcome::Worse => "does NOT beat buy and hold after costs: it is worse",
            Outcome::Undetermined => "without an interval nothing can be said",
        },
        confusion: classes.map_or_else(Vec::new, |one| table(&one.confusion)),
        majority: table(&model.majority_confusion),
        calibration: curves.iter().map(calibration_part).collect(),
        learning: learning(&model.curves),
        importances: model.importances.iter().map(importance).collect(),
        contributions: contributions(model),
        fold_chart: fold_chart(&model.folds),
    }
}

/// One chart for each metric, the training and the validation rows together where both are told.
fn learning(curves: &[FoldCurve]) -> Vec<LearningPart> {
    let names: BTreeSet<&str> = curves
        .iter()
        .flat_map(|fold| fold.curve.metrics.keys())
        .map(|name| stem(name))
        .collect();
    let part = |metric: &str| {
        let mut lines = Vec::new();
        let mut has_training = false;
        for (at, fold) in curves.iter().enumerate() {
            for (name, values) in &fold.curve.metrics {
                if stem(name) != metric {
                    continue;
                }
                let is_training = name.starts_with("train_");
                has_training |= is_training;
                let steps = fold.curve.steps.iter().map(|step| *step as f64);
                let colour = at % COLOURS + 1;
                lines.push(Curve {
                    name: match is_training {
                        true => String::new(),
                        false => format!("fold {}", fold.fold),
                    },
                    class: match is_training {
                        true => format!("line-{colour} dashed"),
                        false => format!("line-{colour}"),
                    },
                    points: steps.zip(values.iter().copied()).collect(),
                    mark: fold
                        .best_step
                        .filter(|_| !is_training)
                        .map(|step| step as f64),
                });
            }
        }
        LearningPart {
            metric: metric.replace('_', " "),
            has_training,
            chart: CurveChart {
                label: format!("{metric} by step and fold"),
                x_title: "step",
                curves: lines,
            }
            .draw(),
        }
    };
    names.into_iter().map(part).collect()
}

fn stem(name: &str) -> &str {
    let stem = name.strip_prefix("valid_");
    stem.or_else(|| name.strip_prefix("train_")).unwrap_or(name)
}

fn importance(table: &ImportanceTable) -> ImportancePart {
    let mut rows: Vec<ImportanceRow> = table
        .features
        .iter()
        .filter(|feature| !feature.gain_share_by_fold.is_empty())
        .map(|feature| {
            let values = &feature.gain_share_by_fold;
            row(
                &feature.feature,
                values.iter().sum::<f64>() / values.len() as f64,
                values,
            )
        })
        .collect();
    let left_out = rank(&mut rows);
    ImportancePart {
        kind: table.kind.clone(),
        is_share: table.is_share,
        loss: table.loss.clone(),
        left_out,
        rows,
    }
}

fn row(feature: &str, mean: f64, values: &[f64]) -> ImportanceRow {
    ImportanceRow {
        feature: feature.to_owned(),
        mean,
        low: values.iter().copied().fold(f64::INFINITY, f64::min),
        high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        chart: String::new(),
    }
}

/// Sorts, draws the bars and cuts; how many rows were left out.
fn rank(rows: &mut Vec<ImportanceRow>) -> u64 {
    rows.sort_by(|a, b| {
        b.mean
            .total_cmp(&a.mean)
            .then_with(|| a.feature.cmp(&b.feature))
    });
    let left_out = rows.len().saturating_sub(LISTED_FEATURES) as u64;
    rows.truncate(LISTED_FEATURES);
    let most = rows.iter().map(|row| row.high).fold(0.0, f64::max);
    for row in rows {
        // A feature that does harm has no bar.
        let range = (row.low.max(0.0), row.high.max(0.0));
        row.chart = range_bar(row.mean.max(0.0), range, most.max(1e-12));
    }
    left_out
}

fn contributions(model: &ModelEvaluation) -> Option<ContributionPart> {
    let found = model.contributions.as_ref()?;
    let features = found.features.iter();
    let mut rows: Vec<ImportanceRow> = features
        .map(|one| row(&one.feature, one.mean_absolute, &[one.mean_absolute]))
        .collect();
    let left_out = rank(&mut rows);
    let label = format!("contributions of features to {}", found.score);
    Some(ContributionPart {
        swarm: swarm(&found.features, &label),
        rows,
        left_out,
    })
}

/// Every contradiction of an evaluation, in words.
pub(super) fn problems(data: &Evaluation) -> Vec<String> {
    let mut problems = Vec::new();
    for model in &data.models {
        let quality = model.quality.classification();
        let classes = quality.map_or(0, |one| one.class_names.len());
        let own = quality.map_or(&model.majority_confusion, |one| &one.confusion);
        let confusions = [own, &model.majority_confusion];
        let is_square = |rows: &Vec<Vec<u64>>| {
            rows.len() == classes && rows.iter().all(|row| row.len() == classes)
        };
        if !confusions.into_iter().all(is_square) {
            problems.push(format!(
                "a confusion matrix of `{}` is not {classes} x {classes}",
                model.name
            ));
        }
        for fold in &model.curves {
            let steps = fold.curve.steps.len();
            let mut metrics = fold.curve.metrics.values();
            if metrics.any(|values| values.len() != steps) {
                problems.push(format!(
                    "the curve of fold {} of `{}` has other values than its {steps} steps",
                    fold.fold, model.name
                ));
            }
        }
    }
    if data.models.is_empty() {
        problems.push("there is no model".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::data::{
        ContributionPoint, ContributionSummary, DieboldMarianoRow, FeatureContribution,
        FeatureImportance, Interval, LearningCurve, McNemarRow,
    };
    use super::super::{render_evaluation, sample};
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate {
            value: Some(value),
            interval: Some(Interval {
                low,
                high,
                level: 0.95,
            }),
        }
    }

    fn test(second: &str, is_baseline: bool, log_loss: Estimate) -> PairedTest {
        PairedTest {
            first: "a".to_owned(),
            second: second.to_owned(),
            is_baseline,
            rows: 100,
            steps: 50,
            loss_name: "log loss, nats".to_owned(),
            loss: log_loss,
            diebold_mariano: Some(DieboldMarianoRow {
                statistic: -2.0,
                p: 0.05,
                lags: 3,
                kernel: "Bartlett".to_owned(),
            }),
            adjusted_p: Some(0.1),
            accuracy: estimate(0.01, -0.01, 0.03),
            mcnemar: Some(McNemarRow {
                only_first: 7,
                only_second: 5,
                p: 0.77,
                is_exact: true,
            }),
        }
    }

    fn evaluation() -> Evaluation {
        let data = sample::report();
        let table = |kind: &str, is_share| ImportanceTable {
            kind: kind.to_owned(),
            is_share,
            loss: "log loss, in nats".to_owned(),
            features: data.features.clone(),
        };
        let metrics: BTreeMap<String, Vec<Option<f64>>> = [
            ("train_log_loss".to_owned(), vec![Some(1.0), Some(0.8)]),
            ("valid_log_loss".to_owned(), vec![Some(1.1), Some(1.0)]),
        ]
        .into();
        let model = ModelEvaluation {
            name: "a".to_owned(),
            directory: "a".to_owned(),
            plugin: data.reproducibility.plugin.clone(),
            market: data.market.clone(),
            labels: data.labels.description.clone(),
            trials: 2,
            majority_confusion: data.quality.classification().unwrap().confusion.clone(),
            folds: data.folds.clone(),
            curves: vec![FoldCurve {
                fold: 1,
                best_step: Some(2),
                curve: LearningCurve {
                    steps: vec![1, 2],
                    metrics,
                },
            }],
            importances: vec![table("gain", true), table("permutation", false)],
            contributions: Some(ContributionSummary {
                score: "raw score".to_owned(),
                rows: 1,
                features: vec![FeatureContribution {
                    feature: "rsi(14)".to_owned(),
                    mean_absolute: 0.2,
                    points: vec![ContributionPoint {
                        rank: None,
                        contribution: 0.2,
                    }],
                }],
            }),
            strategy: data.trading.strategy.clone(),
            buy_and_hold: data.trading.buy_and_hold.clone(),
            excess_return: data.trading.excess_return,
            deflated_sharpe_ratio: None,
            params: "{}".to_owned(),
            quality: data.quality,
        };
        Evaluation {
            title: "a".to_owned(),
            models: vec![model],
            tests: vec![
                test("class shares", true, estimate(0.01, -0.01, 0.02)),
                test("b", false, estimate(-0.02, -0.03, -0.01)),
            ],
            notes: vec!["their folds differ".to_owned()],
            overlap_steps: 12,
            confidence: 0.95,
            bootstrap_samples: 2000,
            seed: 42,
        }
    }

    #[test]
    fn it_is_said_plainly_whether_anything_beats_the_baseline() {
        let mut data = evaluation();
        let page = render_evaluation(&data).unwrap();
        for words in [
            "Nothing here beats the baseline",
            "a is better",
            "no difference is shown",
            "their folds differ",
            "3 lags, Bartlett",
            "training rows dashed",
            "Simulated data",
        ] {
            assert!(page.contains(words), "{words}");
        }
        assert!(page.ends_with("</html>\n") || page.ends_with("</html>"));
        data.tests[0].loss = estimate(-0.01, -0.02, -0.005);
        let page = render_evaluation(&data).unwrap();
        assert!(!page.contains("Nothing here beats the baseline"));
    }

    #[test]
    fn hostile_text_stays_text_and_nothing_outside_is_referred_to() {
        let mut data = evaluation();
        let hostile = "</script><img src=x onload=\"alert(1)\">";
        data.title = hostile.to_owned();
        data.models[0].name = hostile.to_owned();
        data.models[0].params = hostile.to_owned();
        data.notes[0] = hostile.to_owned();
        data.tests[0].first = hostile.to_owned();
        data.models[0].importances[0]
            .features
            .push(FeatureImportance {
                feature: hostile.to_owned(),
                gain_share_by_fold: vec![9.0],
            });
        let page = render_evaluation(&data).unwrap();
        assert!(!page.contains("<img"), "text must be escaped");
        for reference in ["src=\"", "href=\"http", "url(", "@import"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn a_model_that_explains_nothing_has_a_page_and_contradictions_are_refused() {
        let mut data = evaluation();
        data.models[0].contributions = None;
        data.models[0].importances.clear();
        data.models[0].curves.clear();
        data.tests.clear();
        let page = render_evaluation(&data).unwrap();
        assert!(page.contains("gives no contributions") && page.contains("told of no metric"));
        data.models[0].majority_confusion.pop();
        let error = render_evaluation(&data).unwrap_err().to_string();
        assert!(error.contains("is not 3 x 3"), "{error}");
        data.models.clear();
        assert!(render_evaluation(&data).is_err());
    }
}
