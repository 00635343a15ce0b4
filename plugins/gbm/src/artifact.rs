//! The bytes of a model and of a checkpoint.
//!
//! ```text
//! fusebox-gbm 1 <length of the rest> <sha256 of the rest>\n
//! <header: one line of JSON>\n
//! <LightGBM's model texts, one after the other, or XGBoost's model as JSON>
//! ```
//!
//! A library's reader trusts its text and may crash on a damaged one, so length and digest are
//! checked before it sees a byte. The digest finds damage, not malice: artifacts come from a
//! registry that the operator trusts. The bytes do not depend on the machine, the library's path or
//! the number of threads.

use std::ffi::CString;
use std::fmt::Write;

use fusebox_plugin_api::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::early_stopping::EarlyStopping;

const MAGIC: &str = "fusebox-gbm";
const FORMAT: u32 = 1;
/// Longest first line accepted while looking for its end.
const PREAMBLE_LIMIT_BYTES: usize = 128;

/// What the model text alone does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Library and its oldest version.
    pub(crate) library: String,
    /// What the model answers, class names included.
    pub(crate) task: Task,
    /// Feature names, in order.
    pub(crate) features: Vec<String>,
    /// Name of the label column it learned.
    pub(crate) label: String,
    /// Hyper-parameters.
    pub(crate) params: serde_json::Map<String, serde_json::Value>,
    /// Seed of the fit.
    pub(crate) seed: u64,
    /// Rows it learned from.
    pub(crate) training_rows: usize,
    /// Iterations in the text.
    pub(crate) iterations: usize,
    /// Iterations after which the validation metric was best; `None` without early stopping.
    pub(crate) best_iteration: Option<usize>,
    /// The validation metric there.
    pub(crate) best_score: Option<f64>,
    /// Rounds after which the fit was resumed from a checkpoint.
    pub(crate) resumed_after: Vec<u32>,
    /// Where to continue; `None` in a model.
    pub(crate) checkpoint: Option<Continuation>,
    /// Bytes of each text where there are several: LightGBM learns quantiles one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<usize>,
    /// What the model took in since the fit.
    #[serde(default, skip_serializing_if = "Updates::is_none")]
    pub(crate) updates: Updates,
}

/// How often, and by how many rows in all, a model was updated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Updates {
    /// Updates since the fit.
    pub(crate) count: u64,
    /// Their rows.
    pub(crate) rows: u64,
}

impl Updates {
    fn is_none(&self) -> bool {
        self.count == 0
    }
}

/// The rest of the state of an unfinished fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Continuation {
    /// Rounds done.
    pub(crate) rounds_done: u32,
    /// State of early stopping; `None` without it.
    pub(crate) early_stopping: Option<EarlyStopping>,
}

/// Joins header and model texts.
pub(crate) fn write(header: &Header, texts: &[CString]) -> Result<Vec<u8>> {
    let texts: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| without_threads(text.to_bytes()))
        .collect();
    let mut header = header.clone();
    header.parts = match texts.len() {
        1 => Vec::new(),
        _ => texts.iter().map(Vec::len).collect(),
    };
    let mut body = serde_json::to_vec(&header)?;
    body.push(b'\n');
    body.extend(texts.concat());
    let mut bytes = format!("{MAGIC} {FORMAT} {} {}\n", body.len(), hex_digest(&body)).into_bytes();
    bytes.append(&mut body);
    Ok(bytes)
}

/// Takes header and model texts apart, after checking that nothing is damaged.
pub(crate) fn read(bytes: &[u8]) -> Result<(Header, Vec<CString>)> {
    let refuse = |reason: String| {
        PluginError::data(format!(
            "not a usable artifact: {reason}; copy it again, or train again"
        ))
    };
    if bytes.is_empty() {
        return Err(refuse("it is empty; a fitted model is needed".to_owned()));
    }
    let (preamble, body) = split_line(bytes, PREAMBLE_LIMIT_BYTES)
        .ok_or_else(|| refuse(format!("it does not begin with a `{MAGIC}` line")))?;
    let words: Vec<&str> = std::str::from_utf8(preamble)
        .unwrap_or("")
        .split(' ')
        .collect();
    let [MAGIC, format, length, digest] = words[..] else {
        return Err(refuse(format!("it does not begin with a `{MAGIC}` line")));
    };
    if format.parse() != Ok(FORMAT) {
        return Err(PluginError::schema(format!(
            "the artifact has format {format}, this plugin reads {FORMAT}; use a plugin of the \
             version that wrote it, or train again"
        )));
    }
    if length.parse() != Ok(body.len()) {
        let found = body.len();
        return Err(refuse(format!(
            "it is truncated or extended: {found} of {length} bytes"
        )));
    }
    if hex_digest(body) != digest {
        return Err(refuse(
            "its sha256 differs from the recorded one; it is damaged".to_owned(),
        ));
    }
    let (header, text) =
        split_line(body, body.len()).ok_or_else(|| refuse("it has no model text".to_owned()))?;
    let header: Header = serde_json::from_slice(header)
        .map_err(|error| refuse(format!("its header does not read: {error}")))?;
    let texts = parts(text, &header.parts)
        .ok_or_else(|| refuse("its texts are not as long as its header says".to_owned()))?;
    let texts = texts.into_iter().map(CString::new);
    let texts: std::result::Result<Vec<CString>, _> = texts.collect();
    let texts = texts.map_err(|_| refuse("its text has a zero byte".to_owned()))?;
    Ok((header, texts))
}

/// The text cut into parts of these lengths, or whole where there are none.
fn parts<'a>(text: &'a [u8], lengths: &[usize]) -> Option<Vec<&'a [u8]>> {
    if lengths.is_empty() {
        return Some(vec![text]);
    }
    let mut rest = text;
    let mut parts = Vec::new();
    for length in lengths {
        let (part, after) = rest.split_at_checked(*length)?;
        parts.push(part);
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

fn split_line(bytes: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(limit).position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn hex_digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The text with the number of threads set to 1: it changes no tree, and the digest of an artifact
/// must not depend on it.
fn without_threads(text: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"\n[num_threads: ";
    let found = text.windows(KEY.len()).position(|window| window == KEY);
    let Some(start) = found.map(|start| start + KEY.len()) else {
        return text.to_vec();
    };
    let digits = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    [&text[..start], b"1", &text[start + digits..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Vec<u8> {
        let header = Header {
            library: "LightGBM >= 4.7.0".to_owned(),
            task: Task::Regression,
            features: vec!["a\nb".to_owned()],
            label: "y".to_owned(),
            params: serde_json::Map::new(),
            seed: u64::MAX,
            training_rows: 3,
            iterations: 1,
            best_iteration: None,
            best_score: Some(0.1),
            resumed_after: Vec::new(),
            checkpoint: None,
            parts: Vec::new(),
            updates: Updates::default(),
        };
        write(
            &header,
            &[c"tree\nTree=0\n\n[num_threads: 16]\n[max_bin: 255]\n".into()],
        )
        .unwrap()
    }

    #[test]
    fn header_and_text_come_back_and_the_number_of_threads_does_not() {
        let (header, texts) = read(&artifact()).unwrap();
        assert_eq!(
            (header.seed, header.features[0].as_str()),
            (u64::MAX, "a\nb")
        );
        let expected = c"tree\nTree=0\n\n[num_threads: 1]\n[max_bin: 255]\n";
        assert_eq!(texts, [CString::from(expected)]);
    }

    #[test]
    fn several_texts_come_back_as_they_were_and_wrong_lengths_are_refused() {
        let (header, _) = read(&artifact()).unwrap();
        let texts = [c"first\n", c"", c"the third"].map(CString::from);
        let bytes = write(&header, &texts).unwrap();
        let (read_back, found) = read(&bytes).unwrap();
        assert_eq!(
            (&read_back.parts[..], &found[..]),
            (&[6, 0, 9][..], &texts[..])
        );
        assert_eq!(parts(b"abc", &[1, 1]), None);
        assert_eq!(parts(b"abc", &[1, 3]), None);
        assert_eq!(parts(b"abc", &[usize::MAX, 3]), None);
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = artifact();
        for length in 0..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert_eq!(error.status(), Status::Data, "{length} bytes: {error}");
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let whole = artifact();
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 1;
            assert!(read(&damaged).is_err(), "byte {position}");
        }
    }

    #[test]
    fn another_format_says_which_version_is_needed() {
        let newer = String::from_utf8(artifact())
            .unwrap()
            .replacen(" 1 ", " 2 ", 1);
        let error = read(newer.as_bytes()).unwrap_err();
        assert_eq!(error.status(), Status::Schema);
        assert!(error.message().contains("format 2"), "{error}");
    }
}
