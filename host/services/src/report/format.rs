//! Numbers and times as the report writes them: thousands separators, a true minus sign, fixed
//! decimals. It never decides what a value means.

use fusebox_engine::types::Timestamp;

/// A whole number with thousands separators.
pub(super) fn count(value: u64) -> String {
    group(&value.to_string())
}

/// A number with thousands separators and a fixed number of decimals; `None` unless finite.
pub(super) fn number(value: f64, decimals: usize) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !zero { "\u{2212}" } else { "" };
    Some(format!("{sign}{}{rest}", group(whole)))
}

/// Like [`number`], with a plus sign before a positive number.
pub(super) fn signed(value: f64, decimals: usize) -> Option<String> {
    let text = number(value, decimals)?;
    let positive = text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let plus = positive && !text.starts_with('\u{2212}');
    Some(if plus { format!("+{text}") } else { text })
}

/// A fraction as a percentage.
pub(super) fn percent(fraction: f64, decimals: usize) -> Option<String> {
    Some(format!("{}\u{a0}%", number(fraction * 100.0, decimals)?))
}

/// A fraction as a percentage with its sign.
pub(super) fn signed_percent(fraction: f64, decimals: usize) -> Option<String> {
    Some(format!("{}\u{a0}%", signed(fraction * 100.0, decimals)?))
}

/// An amount of money: cents below a million, whole units above.
pub(super) fn money(value: f64) -> Option<String> {
    number(value, if value.abs() < 1e6 { 2 } else { 0 })
}

/// A price or an amount of an asset: six significant digits, at most eight decimals.
pub(super) fn significant(value: f64) -> Option<String> {
    let magnitude = if value == 0.0 {
        0.0
    } else {
        value.abs().log10().floor()
    };
    number(value, (5.0 - magnitude).clamp(0.0, 8.0) as usize)
}

/// A duration in the largest units that matter.
pub(super) fn duration(seconds: f64) -> Option<String> {
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    if seconds < 60.0 {
        return number(seconds, 1).map(|text| format!("{text}\u{a0}s"));
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    Some(match hours {
        0 => format!("{minutes}\u{a0}min {rest}\u{a0}s"),
        _ => format!("{}\u{a0}h {minutes}\u{a0}min", count(hours)),
    })
}

/// The UTC day, `2024-03-01`.
pub(super) fn day(at: Timestamp) -> String {
    match at.civil() {
        Some(civil) => civil.date().to_string(),
        None => at.to_string(),
    }
}

/// The UTC minute, `2024-03-01 13:00`.
pub(super) fn minute(at: Timestamp) -> String {
    match at.civil() {
        Some(civil) => {
            let (date, time) = (civil.date(), civil.time());
            format!("{date} {:02}:{:02}", time.hour(), time.minute())
        }
        None => at.to_string(),
    }
}

/// Text made safe for HTML and SVG, in content and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn group(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_thousands_and_keeps_decimals() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(number(-1_234.5, 2).unwrap(), "\u{2212}1,234.50");
        assert_eq!(money(1_234_567.8).unwrap(), "1,234,568");
    }

    #[test]
    fn signs_follow_the_rounded_number() {
        assert_eq!(signed(0.004, 2).unwrap(), "0.00");
        assert_eq!(signed(-0.004, 2).unwrap(), "0.00");
        assert_eq!(signed_percent(0.0184, 1).unwrap(), "+1.8\u{a0}%");
        assert_eq!(signed_percent(-0.0184, 1).unwrap(), "\u{2212}1.8\u{a0}%");
    }

    #[test]
    fn a_number_that_is_not_finite_is_undefined() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let texts = [
                number(value, 2),
                percent(value, 1),
                money(value),
                significant(value),
            ];
            assert!(texts.iter().all(Option::is_none));
            assert_eq!(duration(value), None);
        }
    }

    #[test]
    fn prices_keep_six_significant_digits() {
        assert_eq!(significant(61_234.567).unwrap(), "61,234.6");
        assert_eq!(significant(0.512_345_67).unwrap(), "0.512346");
        assert_eq!(significant(0.000_012_34).unwrap(), "0.00001234");
        assert_eq!(significant(0.0).unwrap(), "0.00000");
        assert_eq!(significant(1e12).unwrap(), "1,000,000,000,000");
    }

    #[test]
    fn times_are_utc() {
        let at: Timestamp = "2024-03-01T13:05:59Z".parse().unwrap();
        assert_eq!(day(at), "2024-03-01");
        assert_eq!(minute(at), "2024-03-01 13:05");
        assert_eq!(duration(41.26).unwrap(), "41.3\u{a0}s");
        assert_eq!(duration(125.0).unwrap(), "2\u{a0}min 5\u{a0}s");
        assert_eq!(duration(7_260.0).unwrap(), "2\u{a0}h 1\u{a0}min");
    }
}
