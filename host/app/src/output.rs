//! The one place that writes to the standard output: tables for people, one JSON document for
//! programs. Errors, logs and progress go to the standard error.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;

use crate::failure::Failure;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// For people, or with `json` for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are for programs.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes `document` for a program, or what `text` makes for a person.
    ///
    /// # Errors
    /// [`Failure`] where the output cannot be written.
    pub(crate) fn show(
        self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let mut line = serde_json::to_string_pretty(document).map_err(anyhow::Error::from)?;
            line.push('\n');
            return self.raw(line.as_bytes());
        }
        let mut text = text();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.raw(text.as_bytes())
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// [`Failure`] where the output cannot be written.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(Failure::Output)
    }
}

/// An empty table with these column titles.
pub(crate) fn table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(titles.iter().copied());
    table
}

/// A whole number with thousands separators.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let texts = [0, 12, 123, 1_234, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "123", "1,234", "12,345", "1,234,567"]);
    }
}
