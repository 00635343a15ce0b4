//! What is seen while models are live: every answer, every transition, and a summary.

use fusebox_engine::types::Timestamp;
use fusebox_loader::live::{
    AuditEvent, AuditLog, GenerationStatus, Occasion, State, SystemStatus, What,
};
use fusebox_services::serving::Served;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Output, table};

/// Writes lines for people, or one JSON document per line for programs.
#[derive(Debug)]
pub(super) struct Show {
    output: Output,
    symbols: Vec<String>,
    outputs: Vec<String>,
    next_event: Option<u64>,
}

impl Show {
    pub(super) fn new(output: Output, symbols: Vec<String>) -> Self {
        Self {
            output,
            symbols,
            outputs: Vec::new(),
            next_event: None,
        }
    }

    /// Names the answers of a model.
    pub(super) fn outputs(&mut self, names: Vec<String>) {
        self.outputs = names;
    }

    fn line(&self, document: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let mut line = if self.output.is_json() {
            document.to_string()
        } else {
            text()
        };
        line.push('\n');
        self.output.raw(line.as_bytes())
    }

    /// The rows go on after bars that an earlier serving has seen.
    pub(super) fn resumed(&self, seen: Timestamp) -> Result<(), Failure> {
        let document = json!({"type": "resumed", "after": seen.to_string()});
        self.line(&document, || format!("going on after {seen}"))
    }

    /// The answers of one closing time.
    pub(super) fn answers(&self, served: &Served<'_>) -> Result<(), Failure> {
        for (position, symbol) in served.symbols.iter().enumerate() {
            let symbol = self
                .symbols
                .get(*symbol as usize)
                .map_or("?", String::as_str);
            let values = served.answers(position);
            let (generation, version) = (served.generation.number, served.generation.version());
            let weights = served
                .generation
                .weights
                .as_ref()
                .map(|one| one.version.as_str());
            let mut document = json!({
                "type": "answer",
                "closed_at": served.closed_at.to_string(),
                "symbol": symbol,
                "generation": generation,
                "version": version,
                "weights": weights,
                "latency_us": served.latency_ns as f64 / 1e3,
            });
            match &served.result {
                Ok(_) => {
                    let pairs = self.outputs.iter().zip(values);
                    document["outputs"] =
                        pairs.map(|(name, value)| (name.clone(), *value)).collect();
                }
                Err(error) => {
                    document["type"] = json!("failure");
                    document["reason"] = json!(error.kind.name());
                    document["message"] = json!(error.source.message());
                }
            }
            self.line(&document, || {
                let said = match &served.result {
                    Ok(_) => self.values(values),
                    Err(error) => {
                        format!("FAILED {}: {}", error.kind.name(), error.source.message())
                    }
                };
                let version = named(version, weights);
                format!(
                    "{}  {symbol:<10} {said}  [{version}, generation {generation}, {:.1} us]",
                    served.closed_at,
                    served.latency_ns as f64 / 1e3
                )
            })?;
        }
        Ok(())
    }

    fn values(&self, values: &[f32]) -> String {
        let pairs = self.outputs.iter().zip(values);
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name} {value:+.6}"))
            .collect();
        pairs.join("  ")
    }

    /// What the audit log has got since the last call.
    pub(super) fn events(&mut self, audit: &AuditLog) -> Result<(), Failure> {
        if self.next_event == Some(audit.next_seq()) {
            return Ok(());
        }
        for event in audit.since(self.next_event.unwrap_or(0)) {
            self.next_event = Some(event.seq + 1);
            let mut document = json!(event);
            document["type"] = json!("event");
            if self.output.is_json() || is_notable(&event) {
                self.line(&document, || event_text(&event))?;
            }
        }
        Ok(())
    }

    /// What every generation did.
    pub(super) fn summary(&self, status: &SystemStatus) -> Result<(), Failure> {
        let mut document = json!(status);
        document["type"] = json!("summary");
        self.line(&document, || summary_text(status))
    }
}

/// Whether a person who watches the answers wants to see it; the audit log has every step.
fn is_notable(event: &AuditEvent) -> bool {
    match event.event {
        What::State(state) => state == State::Promoted,
        What::Other(occasion) => occasion != Occasion::Request || event.reason.is_some(),
    }
}

/// A version of the weights with that of the code, or of the code alone.
fn named(version: &str, weights: Option<&str>) -> String {
    match weights {
        Some(weights) if version.is_empty() => weights.to_owned(),
        Some(weights) => format!("{weights} (code {version})"),
        None => version.to_owned(),
    }
}

fn event_text(event: &AuditEvent) -> String {
    let word = serde_json::to_string(&event.event).unwrap_or_default();
    let mut text = format!("-- {}", word.trim_matches('"'));
    let version = named(&event.version, event.weights.as_deref());
    for part in [&event.model, &version] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    }
    if let Some(generation) = event.generation {
        text.push_str(&format!(", generation {generation}"));
    }
    if event.duration_us > 0 {
        text.push_str(&format!(", {:.1} ms", event.duration_us as f64 / 1e3));
    }
    match (&event.reason, &event.message) {
        (Some(reason), Some(message)) => text.push_str(&format!(": {reason}: {message}")),
        (Some(reason), None) => text.push_str(&format!(": {reason}")),
        (None, Some(message)) => text.push_str(&format!(": {message}")),
        (None, None) => {}
    }
    text
}

fn summary_text(status: &SystemStatus) -> String {
    let mut table = table(&[
        "model",
        "generation",
        "version",
        "tier",
        "state",
        "calls",
        "failures",
        "p50 us",
        "p99 us",
    ]);
    for model in &status.models {
        let waiting = model.parked.iter().map(|one| (one, "parked"));
        let warm = model.standbys.iter().map(|one| (one, "standby"));
        let present: Vec<(&GenerationStatus, &str)> =
            warm.chain(waiting).chain([(&model.live, "live")]).collect();
        let is_present = |number| present.iter().any(|(one, _)| one.generation == number);
        let earlier = model
            .earlier
            .iter()
            .filter(|one| !is_present(one.generation));
        for (one, role) in earlier
            .map(|one| (one, "ended"))
            .chain(present.iter().copied())
        {
            table.add_row(cells(&model.name, one, role));
        }
    }
    format!(
        "{table}\ncode of retired generations that stays mapped: {} generations, {} KiB",
        status.leaks.generations_leaked, status.leaks.leaked_kib
    )
}

fn cells(name: &str, one: &GenerationStatus, role: &str) -> [String; 9] {
    let metrics = &one.metrics;
    let us = |seconds: Option<f64>| {
        seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.1}", seconds * 1e6))
    };
    [
        name.to_owned(),
        one.generation.to_string(),
        named(&one.version, one.weights.as_deref()),
        one.tier.to_string(),
        role.to_owned(),
        metrics.calls_total.to_string(),
        metrics.failures().to_string(),
        us(metrics.latency_p50_seconds),
        us(metrics.latency_p99_seconds),
    ]
}
