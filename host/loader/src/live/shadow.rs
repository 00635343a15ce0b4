//! What a candidate did beside the live generation, on the same rows.

use serde::Serialize;

use super::policy::SwapPolicy;
use super::state::{Reason, Rejection};
use super::tap::Parcel;
use crate::clock::Clock;
use crate::guard::histogram::LatencyHistogram;
use fusebox_plugin_api::model::Model;

/// The comparison so far.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    rows: u64,
    compared: u64,
    failed: u64,
    values: u64,
    max_difference: f64,
    sum_difference: f64,
    last_error: Option<String>,
    latency: LatencyHistogram,
    pub(crate) resyncs: u64,
}

/// The comparison, for people and records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowReport {
    /// Rows that the candidate was shown.
    pub rows: u64,
    /// Rows that the live generation answered, so that there was something to compare with.
    pub compared_rows: u64,
    /// Rows of those that the candidate did not answer.
    pub failed_rows: u64,
    /// Largest difference of one value.
    pub max_difference: f64,
    /// Mean difference over all values.
    pub mean_difference: f64,
    /// Half of its calls took no longer, microseconds.
    pub latency_p50_us: f64,
    /// 99 in 100 calls took no longer, microseconds.
    pub latency_p99_us: f64,
    /// How often it lost the thread and was brought in step again.
    pub resyncs: u64,
}

impl Comparison {
    /// Rows that count towards the length of the shadow.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Lets the candidate answer the rows of a parcel, and compares.
    pub(crate) fn show(&mut self, model: &mut dyn Model, parcel: &mut Parcel, clock: &dyn Clock) {
        let rows = parcel.count as u64;
        let started_ns = clock.now_ns();
        let result = parcel.rows.answer(model);
        self.latency
            .record(clock.now_ns().saturating_sub(started_ns));
        self.rows += rows;
        if !parcel.answered {
            return;
        }
        self.compared += rows;
        match result {
            Ok(answers) => {
                for (answer, live) in answers.iter().zip(&parcel.answers) {
                    let difference = (f64::from(*answer) - f64::from(*live)).abs();
                    self.max_difference = self.max_difference.max(difference);
                    self.sum_difference += difference;
                    self.values += 1;
                }
            }
            Err(error) => {
                self.failed += rows;
                self.last_error = Some(error.to_string());
            }
        }
    }

    pub(crate) fn report(&self) -> ShadowReport {
        let latency = self.latency.snapshot();
        let micros = |quantile| {
            let nanos = latency.quantile_ns(quantile).unwrap_or(0);
            nanos as f64 / 1e3
        };
        ShadowReport {
            rows: self.rows,
            compared_rows: self.compared,
            failed_rows: self.failed,
            max_difference: self.max_difference,
            mean_difference: self.sum_difference / (self.values.max(1) as f64),
            latency_p50_us: micros(0.5),
            latency_p99_us: micros(0.99),
            resyncs: self.resyncs,
        }
    }

    /// Whether the candidate may take over.
    pub(crate) fn verdict(
        &self,
        policy: &SwapPolicy,
        budget_p99_us: Option<u64>,
    ) -> Result<ShadowReport, Rejection> {
        let report = self.report();
        let mut problems = Vec::new();
        if self.failed as f64 > policy.shadow_error_rate * self.compared as f64 {
            let error = self.last_error.as_deref().unwrap_or_default();
            problems.push(format!(
                "{} of {} rows got no answer, the last because: {error}",
                self.failed, self.compared
            ));
        }
        if let Some(most) = policy.max_difference
            && self.max_difference > most
        {
            problems.push(format!(
                "an answer is {} off the live one; {most} is allowed",
                self.max_difference
            ));
        }
        if let Some(budget) = budget_p99_us.filter(|_| policy.enforce_budget)
            && report.latency_p99_us > budget as f64
        {
            problems.push(format!(
                "the 99th percentile of its latency is {} us; its manifest promises {budget}",
                report.latency_p99_us
            ));
        }
        if problems.is_empty() {
            return Ok(report);
        }
        Err(Rejection::new(Reason::Shadow, problems.join("; ")))
    }
}
