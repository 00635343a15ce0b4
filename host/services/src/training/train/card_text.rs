//! A model card as readable Markdown.

use std::fmt::Write as _;

use super::super::spec::FinalModel;
use super::card::{CardMetric, CardParent, ModelCard};
use super::update::{UpdateMode, UpdateVerdict};
use crate::report::{DataSource, Interval};

impl ModelCard {
    /// The card for people.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# Model card: {}\n", plain(&self.name));
        warnings(&mut text, self);
        facts(&mut text, self);
        metrics(&mut text, &self.metrics);
        data(&mut text, self);
        learning(&mut text, self);
        let _ = write!(text, "\n## Licence\n\n{}\n", sentence(&self.licence));
        text
    }
}

// Writing to a String cannot fail, here and below.

fn warnings(text: &mut String, card: &ModelCard) {
    text.push_str("\n## Beware\n\n");
    for warning in &card.warnings {
        let _ = writeln!(text, "- {}", sentence(warning));
    }
    if card.warnings.is_empty() {
        text.push_str("- Nothing was found.\n");
    }
}

fn facts(text: &mut String, card: &ModelCard) {
    let model = &card.model;
    let kind = match (&card.parent, model.kind, model.fold) {
        (Some(parent), _, _) => updated_from(parent),
        (None, FinalModel::LastFold, Some(fold)) => format!("of fold {fold}, the last one"),
        _ => "fitted on every row".to_owned(),
    };
    let rounds = model.rounds.map(|rounds| format!(", {rounds} rounds"));
    let _ = write!(
        text,
        "\n## Model\n\n- Answers: {}\n- Which: {kind}{}\n- Learned from {} samples, {} to {}\n\
         - Artifact: {} bytes, SHA-256 `{}`\n- Plugin: {} {}, SHA-256 `{}`\n- Versions: {}\n\
         - Trials: {}\n- Configuration: SHA-256 `{}`\n",
        plain(&card.task),
        rounds.unwrap_or_default(),
        model.training_samples,
        model.trained.from,
        model.trained.to,
        model.bytes,
        model.sha256,
        plain(&card.plugin.id),
        plain(&card.plugin.version),
        card.plugin.sha256,
        pairs(card.versions.iter().map(|one| (&one.name, &one.value))),
        card.trials,
        card.config_sha256,
    );
}

fn updated_from(parent: &CardParent) -> String {
    let how = match parent.update {
        UpdateMode::Continue { rounds } => format!("up to {rounds} more rounds"),
        UpdateMode::Refit { decay } => format!("leaves of {decay} of their old values"),
    };
    let verdict = match parent.verdict {
        UpdateVerdict::Better => "better than",
        UpdateVerdict::Undecided => "no better than",
        UpdateVerdict::Worse => "worse than",
    };
    format!(
        "updated from {} (version {}, artifact {}) by {how} on {} newer rows, {verdict} it on what \
         was held out",
        plain(&parent.model),
        parent.digest,
        parent.model_sha256,
        parent.learned_rows
    )
}

fn metrics(text: &mut String, metrics: &[CardMetric]) {
    text.push_str(
        "\n## Out of sample\n\n| metric | value | interval | baseline | |\n\
         |---|---:|---|---:|---|\n",
    );
    for metric in metrics {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            metric.name,
            number(metric.value),
            interval(metric.interval),
            number(metric.baseline),
            metric.baseline_name.as_deref().unwrap_or("")
        );
    }
}

fn data(text: &mut String, card: &ModelCard) {
    let data = &card.data;
    let source = match &data.source {
        DataSource::Files => format!(
            "recorded, {}",
            plain(data.exchange.as_deref().unwrap_or("unknown exchange"))
        ),
        DataSource::Simulated {
            signal_ic, seed, ..
        } => format!("simulated, seed {seed}, planted signal {signal_ic}"),
    };
    let _ = write!(
        text,
        "\n## Data\n\n- Source: {source}\n- Symbols: {}, {} bars of {}, {} to {}\n\
         - SHA-256 `{}`\n",
        plain(&data.symbols.join(", ")),
        data.bars,
        data.time_frame,
        data.period.from,
        data.period.to,
        data.sha256
    );
    for file in &data.files {
        let _ = writeln!(text, "- `{}`, SHA-256 `{}`", plain(&file.path), file.sha256);
    }
    let balance = card.labels.balance.iter();
    let balance: Vec<String> = balance
        .map(|one| format!("{} {}", one.rows, plain(&one.name)))
        .collect();
    let _ = write!(
        text,
        "\n## Labels\n\n- {}\n- Rows: {}\n",
        sentence(&card.labels.description),
        balance.join(", ")
    );
    let features = &card.features;
    let columns = features.columns.iter();
    let columns: Vec<String> = columns.map(|one| format!("`{}`", plain(one))).collect();
    let _ = write!(
        text,
        "\n## Features\n\n- {} columns, SHA-256 `{}`, gaps up to {} bars are passed over\n- {}\n",
        features.columns.len(),
        features.sha256,
        features.max_gap_bars,
        columns.join(", ")
    );
}

fn learning(text: &mut String, card: &ModelCard) {
    let split = &card.split;
    let _ = write!(
        text,
        "\n## Split\n\n- {}\n- {} folds, embargo of {} bars; purged {} rows, embargoed {}\n\
         - Predicted out of sample: {} to {}\n",
        sentence(&split.description),
        split.folds,
        split.embargo_bars,
        split.purged_rows,
        split.embargoed_rows,
        split.tested.from,
        split.tested.to
    );
    text.push_str("\n## Parameters\n\n");
    for (name, value) in &card.params {
        let _ = writeln!(
            text,
            "- `{}` = `{}`",
            plain(name),
            plain(&value.to_string())
        );
    }
    let _ = write!(
        text,
        "- scaler: {}\n- seeds: {}\n",
        card.scaler,
        pairs(card.seeds.iter().map(|one| (&one.name, &one.value)))
    );
}

fn pairs<'a>(values: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let words: Vec<String> = values
        .map(|(name, value)| format!("{} {}", plain(name), plain(value)))
        .collect();
    words.join(", ")
}

/// Text on one line that cannot end a cell or a code span.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
        .replace('|', "/")
        .replace('`', "'")
}

fn sentence(text: &str) -> String {
    let text = plain(text);
    let mut characters = text.chars();
    let first: String = characters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |one| {
        format!(
            "{:.0} %: {:.4} to {:.4}",
            one.level * 100.0,
            one.low,
            one.high
        )
    })
}
