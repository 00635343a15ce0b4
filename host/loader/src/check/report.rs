//! What a check found: for people through the command line, for machines as JSON and JUnit.

use std::fmt::Write as _;

use serde::Serialize;

use super::{IN_PROCESS_LEVEL, LISTING_LEVEL, MAX_LEVEL};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Passed,
    /// It does not hold, or the plugin took its process down.
    Failed,
    /// There was nothing to try.
    Skipped,
}

impl Status {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// What one case found.
#[derive(Debug, Clone, Serialize)]
pub struct CaseReport {
    /// Name.
    pub name: &'static str,
    /// Level.
    pub level: u8,
    /// What must hold.
    pub about: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found, why it was skipped, or a remark.
    pub found: Option<String>,
    /// The last lines that the plugin printed, where the case failed.
    pub output: Vec<String>,
    /// Time it took.
    pub seconds: f64,
    /// The calls that make it fail, as few as were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<String>>,
    /// How to see it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduce: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was checked.
    pub target: String,
    /// Id and version, where there is a manifest.
    pub plugin: Option<String>,
    /// Every case up to this level was tried.
    pub level: u8,
    /// The seed.
    pub seed: u64,
    /// Whether every case that was tried holds.
    pub passed: bool,
    /// The highest level that holds with all levels below it, 0 where not even the first does;
    /// `None` where only some cases were tried.
    pub reached: Option<u8>,
    /// The cases, in order.
    pub cases: Vec<CaseReport>,
}

impl Report {
    /// A report without cases.
    #[must_use]
    pub fn new(target: String, plugin: Option<String>, level: u8, seed: u64) -> Self {
        let (passed, reached, cases) = (true, Some(level), Vec::new());
        Self {
            target,
            plugin,
            level,
            seed,
            passed,
            reached,
            cases,
        }
    }

    /// The same for some cases only, which say nothing of a level.
    #[must_use]
    pub fn of_some_cases(mut self) -> Self {
        self.reached = None;
        self
    }

    /// Adds what a case found.
    pub fn push(&mut self, case: CaseReport) {
        if case.status == Status::Failed {
            self.passed = false;
            let below = case.level.saturating_sub(1);
            self.reached = self.reached.map(|reached| reached.min(below));
        }
        self.cases.push(case);
    }

    /// How many cases ended this way.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.cases
            .iter()
            .filter(|case| case.status == status)
            .count()
    }

    /// The level that was reached, and what it is good for.
    #[must_use]
    pub fn good_for(&self) -> String {
        let Some(reached) = self.reached else {
            return "some cases only, which says nothing of a level".to_owned();
        };
        let what = match reached {
            0..LISTING_LEVEL => format!("level {LISTING_LEVEL} is needed to be installable"),
            LISTING_LEVEL..IN_PROCESS_LEVEL => {
                format!("installable; level {IN_PROCESS_LEVEL} is needed to run in-process")
            }
            IN_PROCESS_LEVEL.. => "installable, may run in-process".to_owned(),
        };
        format!("level {reached} of {MAX_LEVEL} reached: {what}")
    }

    /// As JUnit XML, one suite per level.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let name = escape(self.plugin.as_deref().unwrap_or(&self.target));
        let (tests, failures) = (self.cases.len(), self.count(Status::Failed));
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">\n"
        );
        let mut levels: Vec<u8> = self.cases.iter().map(|case| case.level).collect();
        levels.dedup();
        for level in levels {
            let cases: Vec<&CaseReport> = self
                .cases
                .iter()
                .filter(|case| case.level == level)
                .collect();
            let count = |status| cases.iter().filter(|case| case.status == status).count();
            // A String takes every write.
            let _ = writeln!(
                xml,
                "  <testsuite name=\"level-{level}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">",
                cases.len(),
                count(Status::Failed),
                count(Status::Skipped)
            );
            cases
                .iter()
                .for_each(|case| xml.push_str(&junit_case(case)));
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

fn junit_case(case: &CaseReport) -> String {
    let head = format!(
        "    <testcase classname=\"level-{}\" name=\"{}\" time=\"{:.3}\"",
        case.level, case.name, case.seconds
    );
    let found = escape(case.found.as_deref().unwrap_or_default());
    let more: Vec<String> = case
        .calls
        .iter()
        .flatten()
        .chain(&case.reproduce)
        .chain(&case.output)
        .cloned()
        .collect();
    let more = escape(&more.join("\n"));
    match case.status {
        Status::Passed => format!("{head}/>\n"),
        Status::Skipped => format!("{head}><skipped message=\"{found}\"/></testcase>\n"),
        Status::Failed => {
            format!("{head}><failure message=\"{found}\">{more}</failure></testcase>\n")
        }
    }
}

/// Text that may stand in XML 1.0, which has no place for control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(level: u8, status: Status) -> CaseReport {
        CaseReport {
            name: "some-case",
            level,
            about: "it holds",
            status,
            found: Some("<a> & \"b\"\u{1b}".to_owned()),
            output: vec!["last words".to_owned()],
            seconds: 0.25,
            calls: None,
            reproduce: None,
        }
    }

    #[test]
    fn a_failure_ends_the_levels_and_is_told_in_xml() {
        let mut report = Report::new("x.so".to_owned(), None, 7, 1);
        report.push(case(2, Status::Passed));
        report.push(case(6, Status::Failed));
        report.push(case(7, Status::Skipped));
        assert!(!report.passed);
        assert_eq!(report.reached, Some(5));
        assert!(
            report
                .good_for()
                .starts_with("level 5 of 10 reached: installable; level 7")
        );
        let xml = report.to_junit();
        assert!(xml.contains("message=\"&lt;a&gt; &amp; &quot;b&quot; \">last words</failure>"));
        assert!(
            xml.contains("<testsuite name=\"level-7\" tests=\"1\" failures=\"0\" skipped=\"1\">")
        );
    }
}
