//! The outermost fields of an ONNX file: whether it is whole, and the facts that it states of
//! itself.
//!
//! An ONNX file is a protocol-buffer message; its weights are one field of it, which is passed over
//! here. A message that is followed by more fields is a message with those fields too, so facts are
//! added at the end without touching what an exporter wrote. Nothing here knows an operator: the
//! plugin that runs the file does.

use std::collections::BTreeMap;

use thiserror::Error;

/// The plugin whose artifacts are ONNX files.
pub const ONNX_PLUGIN: &str = "ai.fusebox.onnx";
/// The fact that holds the digest of the feature set that the model was trained on.
pub const FEATURE_SET_FACT: &str = "fusebox.feature_set";
/// The fact that holds the digest of the artifact that the file was written from.
pub const SOURCE_MODEL_FACT: &str = "fusebox.source_model";

// Fields of `ModelProto` and of `StringStringEntryProto`, as onnx.proto3 numbers them.
const VERSION: u64 = 1;
const GRAPH: u64 = 7;
const OPERATORS: u64 = 8;
const METADATA: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;
/// Wire type of what states its length.
const LENGTHS: u64 = 2;

/// Why bytes are not taken for an ONNX file, or facts not added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OnnxFileError {
    /// The bytes end too early, or are something else.
    #[error("it is no whole ONNX file: {0}; write or copy it again")]
    NotWhole(&'static str),
    /// The file states something else already.
    #[error("it states `{key}` as `{stated}` already, which is not `{wanted}`")]
    Contradiction {
        /// The fact.
        key: String,
        /// What the file says.
        stated: String,
        /// What was to be added.
        wanted: String,
    },
}

/// A field: its number, and its bytes where it has a length.
type Field<'a> = (u64, &'a [u8]);

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.take();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self) -> Result<Field<'a>, &'static str> {
        const CUT: &str = "it ends within a field";
        let key = varint(&mut self.0).ok_or(CUT)?;
        let length = match key & 7 {
            0 => varint(&mut self.0).map(|_| 0),
            1 => Some(8),
            LENGTHS => varint(&mut self.0).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => return Err("its fields are none of ONNX"),
        };
        let (field, rest) = self.0.split_at_checked(length.ok_or(CUT)?).ok_or(CUT)?;
        self.0 = rest;
        Ok((key >> 3, field))
    }
}

/// Whether bytes are a whole ONNX file: protocol buffers do not say where they end, but a message
/// that was cut off ends within a field, or lacks one that every model has. They stand in the order
/// of their numbers, the weights before the operator sets.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn is_whole(bytes: &[u8]) -> Result<(), &'static str> {
    let mut seen = [false; 3];
    for field in Fields(bytes) {
        let (number, _) = field?;
        for (place, needed) in [VERSION, GRAPH, OPERATORS].into_iter().enumerate() {
            seen[place] |= number == needed;
        }
    }
    match seen {
        [true, true, true] => Ok(()),
        [_, false, _] => Err("it has no graph"),
        _ => Err("it does not say its version or its operators"),
    }
}

/// What the file states of itself, by key.
///
/// # Errors
/// [`OnnxFileError::NotWhole`].
pub fn facts(bytes: &[u8]) -> Result<BTreeMap<String, String>, OnnxFileError> {
    is_whole(bytes).map_err(OnnxFileError::NotWhole)?;
    let mut facts = BTreeMap::new();
    for field in Fields(bytes) {
        let (number, entry) = field.map_err(OnnxFileError::NotWhole)?;
        if number != METADATA {
            continue;
        }
        let (mut key, mut value) = (String::new(), String::new());
        for part in Fields(entry) {
            let (number, text) = part.map_err(OnnxFileError::NotWhole)?;
            let text = || String::from_utf8_lossy(text).into_owned();
            match number {
                KEY => key = text(),
                VALUE => value = text(),
                _ => {}
            }
        }
        facts.insert(key, value);
    }
    Ok(facts)
}

/// The file with these facts, each a key and its value. What it states already is not written
/// twice.
///
/// # Errors
/// [`OnnxFileError`] where the bytes are no whole ONNX file, or state something else.
pub fn with_facts(mut bytes: Vec<u8>, added: &[(&str, &str)]) -> Result<Vec<u8>, OnnxFileError> {
    let stated = facts(&bytes)?;
    for (key, value) in added {
        match stated.get(*key) {
            Some(stated) if stated == value => continue,
            Some(stated) => {
                return Err(OnnxFileError::Contradiction {
                    key: (*key).to_owned(),
                    stated: stated.clone(),
                    wanted: (*value).to_owned(),
                });
            }
            None => {}
        }
        let mut entry = Vec::new();
        put(&mut entry, KEY, key.as_bytes());
        put(&mut entry, VALUE, value.as_bytes());
        put(&mut bytes, METADATA, &entry);
    }
    Ok(bytes)
}

/// Why the digest of a feature set is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FeatureSetError {
    /// What the file says of itself is no digest.
    #[error(
        "the ONNX file itself is wrong: its metadata `{FEATURE_SET_FACT}` is `{0}`; it must be 64 \
         hexadecimal digits, the digest of the features that the model was trained on: export the \
         model again with `fusebox model export --format onnx`, or take the entry out of the file"
    )]
    Metadata(String),
    /// Beside the file stands another digest.
    #[error(
        "`feature_set` is {stated}, and the ONNX file was trained on {own}, by its metadata \
         `{FEATURE_SET_FACT}`; take the file that was trained on these features, or leave the key \
         out"
    )]
    Contradiction {
        /// What stands beside the file.
        stated: String,
        /// What the file says.
        own: String,
    },
}

/// The digest of the feature set that a model was trained on: what was `stated` beside the artifact
/// of a plugin, else what the artifact says of itself where its format is known here.
///
/// # Errors
/// [`FeatureSetError`] where the artifact states no digest, or both speak and differ.
pub(crate) fn agreed_feature_set(
    stated: Option<String>,
    (plugin, artifact): (&str, &[u8]),
) -> Result<Option<String>, FeatureSetError> {
    let own = match plugin {
        ONNX_PLUGIN => facts(artifact).ok(),
        _ => None,
    };
    match (stated, own.and_then(|mut own| own.remove(FEATURE_SET_FACT))) {
        (_, Some(own)) if !is_digest(&own) => Err(FeatureSetError::Metadata(shortened(&own))),
        (Some(stated), Some(own)) if !stated.eq_ignore_ascii_case(&own) => {
            Err(FeatureSetError::Contradiction { stated, own })
        }
        (stated, own) => Ok(stated.or(own)),
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a foreign file says, short enough for a message and on one line.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let plain = |one: char| if one.is_control() { ' ' } else { one };
    let mut words: String = text.chars().take(MOST).map(plain).collect();
    if text.chars().nth(MOST).is_some() {
        words.push_str("...");
    }
    words
}

fn put(bytes: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(bytes, number << 3 | LENGTHS);
    put_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A version, a graph of two bytes, an operator set.
    const WHOLE: &[u8] = &[8, 8, 58, 2, 10, 0, 66, 2, 16, 17];

    #[test]
    fn facts_are_added_once_and_contradictions_are_refused() {
        assert!(facts(WHOLE).unwrap().is_empty());
        let long = "x".repeat(300);
        let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
        let added = [(FEATURE_SET_FACT, ab.as_str()), ("other", long.as_str())];
        let with = with_facts(WHOLE.to_vec(), &added).unwrap();
        assert!(with.starts_with(WHOLE), "what was there stays as it is");
        let stated = facts(&with).unwrap();
        assert_eq!((stated.len(), &stated["other"]), (2, &long));
        let agreed = |stated: Option<&str>, plugin| {
            agreed_feature_set(stated.map(str::to_owned), (plugin, &with))
        };
        assert_eq!(agreed(None, ONNX_PLUGIN), Ok(Some(ab.clone())));
        let upper = ab.to_uppercase();
        assert_eq!(agreed(Some(&upper), ONNX_PLUGIN), Ok(Some(upper.clone())));
        assert_eq!(agreed(None, "ai.fusebox.gbm"), Ok(None));
        let differs = agreed(Some(&cd), ONNX_PLUGIN).unwrap_err().to_string();
        assert!(differs.contains("trained on abab"), "{differs}");
        assert_eq!(with_facts(with.clone(), &added).unwrap(), with);
        let told = with_facts(with, &[(FEATURE_SET_FACT, &cd)]).unwrap_err();
        let words = told.to_string();
        assert!(
            words.contains("`abab") && words.contains("`cdcd"),
            "{words}"
        );
        let told = with_facts(b"tree".to_vec(), &added).unwrap_err();
        assert!(matches!(told, OnnxFileError::NotWhole(_)), "{told}");
    }

    #[test]
    fn metadata_that_are_no_digest_are_told_as_those_of_the_file() {
        for wrong in ["zzz", "", &"ab".repeat(500), "a\u{1b}[31m\nb"] {
            let with = with_facts(WHOLE.to_vec(), &[(FEATURE_SET_FACT, wrong)]).unwrap();
            for stated in [None, Some("ab".repeat(32))] {
                let told = agreed_feature_set(stated, (ONNX_PLUGIN, &with)).unwrap_err();
                let words = told.to_string();
                assert!(words.contains("ONNX file itself"), "{words}");
                assert!(words.contains("`fusebox.feature_set`"), "{words}");
                assert!(words.len() < 500 && !words.contains('\u{1b}'), "{words}");
            }
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused_and_never_a_panic(noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = facts(&noise);
            let after = facts(&[WHOLE, &noise].concat());
            if let Ok(stated) = after {
                // Each entry takes two bytes at least.
                prop_assert!(stated.len() <= noise.len() / 2);
            }
        }
    }
}
