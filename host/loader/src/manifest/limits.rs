//! How large a manifest may be, and a look at its text that holds it to that before it is parsed.
//!
//! A parser builds what it reads: a few kilobytes can nest ten thousand tables, and a megabyte can
//! hold a hundred thousand keys. The look goes once over the bytes and knows of TOML only where
//! strings and comments begin and end.

use super::{MANIFEST_FILE, ManifestError};

/// Bytes of a manifest.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// Libraries for different machines.
pub(super) const MAX_TARGETS: usize = 32;

/// Files beyond libraries and golden vectors.
pub(super) const MAX_FILES: usize = 1024;

/// Factory ids.
pub(super) const MAX_KINDS: usize = 32;

/// Bytes of a description or a licence.
pub(super) const MAX_TEXT_BYTES: usize = 4096;

/// Keys and list items altogether.
const MAX_VALUES: usize = 4096;

/// Brackets inside brackets.
const MAX_BRACKETS: usize = 4;

/// Names of a dotted key.
const MAX_NAMES: usize = 4;

pub(super) fn too_long(len: usize) -> ManifestError {
    bomb(&format!(
        "has {len} bytes; at most {MAX_MANIFEST_BYTES} are read"
    ))
}

fn bomb(what: &str) -> ManifestError {
    ManifestError::one(format!(
        "{MANIFEST_FILE} {what}; it is not a plugin's manifest"
    ))
}

/// Refuses a text that is too long, too deep or too full, without parsing it.
pub(super) fn check(text: &str) -> Result<(), ManifestError> {
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(too_long(text.len()));
    }
    let mut rest = text.as_bytes();
    let (mut brackets, mut values, mut dots) = (0_usize, 0_usize, 0_usize);
    while let Some(&byte) = rest.first() {
        match byte {
            b'"' | b'\'' => {
                rest = after_string(rest, byte);
                continue;
            }
            b'#' => {
                rest = after_line(rest);
                dots = 0;
                continue;
            }
            b'[' | b'{' => {
                brackets += 1;
                dots = 0;
            }
            b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'.' => dots += 1,
            b'\n' => dots = 0,
            b'=' | b',' => {
                values += 1;
                dots = 0;
            }
            _ => {}
        }
        if brackets > MAX_BRACKETS {
            return Err(bomb(&format!("nests brackets over {MAX_BRACKETS} deep")));
        }
        if dots >= MAX_NAMES {
            return Err(bomb(&format!("has a key of over {MAX_NAMES} names")));
        }
        if values > MAX_VALUES {
            return Err(bomb(&format!("holds over {MAX_VALUES} values")));
        }
        rest = &rest[1..];
    }
    Ok(())
}

fn after_line(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n');
    &text[end.unwrap_or(text.len())..]
}

/// What follows the string that `text` begins with. A string that does not end on its line ends
/// with it: the parser is going to refuse it, and nothing may hide behind it.
fn after_string(text: &[u8], quote: u8) -> &[u8] {
    let is_basic = quote == b'"';
    let triple = [quote; 3];
    let is_long = text.starts_with(&triple);
    let mut at = if is_long { 3 } else { 1 };
    while let Some(&byte) = text.get(at) {
        if byte == b'\\' && is_basic {
            at += 2;
        } else if is_long && text[at..].starts_with(&triple) {
            // Up to two quotes before the closing three belong to the text.
            let quotes = text[at..].iter().take_while(|byte| **byte == quote).count();
            return &text[at + quotes.min(5)..];
        } else if !is_long && byte == quote {
            return &text[at + 1..];
        } else if !is_long && byte == b'\n' {
            return &text[at..];
        } else {
            at += 1;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_needs_passes() {
        let text = "a = \"[[[[[[....=,\"\nb = '....'\n# ........ [[[[[[\n[artifact.linux-x86_64]\n\
                    c = \"\"\"[[[[[\n.....\"\"\"\"\" # ......\nd = [\"x\\\"......\", 1.5]\n";
        check(text).unwrap();
    }

    #[test]
    fn bombs_are_refused_before_they_are_parsed() {
        let deep = "x=".to_owned() + &"[".repeat(100_000);
        let names = vec!["a"; 50_000].join(".") + "=1";
        let header = format!("[{}]", vec!["a"; 50_000].join("."));
        let keys: String = (0..20_000).map(|key| format!("k{key}=1\n")).collect();
        let items = format!("a=[{}]", "1,".repeat(50_000));
        let hidden = format!(
            "a = [ \"\"\"x\"\"\"\", {{{}=1}} ]",
            vec!["a"; 5_000].join(".")
        );
        let unclosed = format!("a = \"x\n{}=1", vec!["a"; 5_000].join("."));
        for bomb in [deep, names, header, keys, items, hidden, unclosed] {
            let problems = check(&bomb).unwrap_err().problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].len() < 200, "{problems:?}");
        }
        let long = " ".repeat(MAX_MANIFEST_BYTES + 1);
        let told = check(&long).unwrap_err().to_string();
        assert!(told.contains("at most 262144 are read"), "{told}");
    }

    proptest::proptest! {
        /// Whatever passes the look can be parsed without running out of stack.
        #[test]
        fn any_text_is_looked_at_and_read(text in "[\\[\\]{}=.,'\"\\\\#a1 \n]{0,400}") {
            if check(&text).is_ok() {
                let _ = text.parse::<toml::Table>();
            }
        }
    }
}
