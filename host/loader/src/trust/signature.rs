//! Signatures: minisign (Ed25519) over the bytes of a manifest.
//!
//! Checking is done by `minisign-verify`, which is small and has no dependencies, because what it
//! reads was written by a stranger. Making keys and signatures is done by `minisign`, whose files
//! the `minisign` tool understands. The trusted comment, which is signed too, binds id and version.

use std::fmt;
use std::io::Cursor;

use minisign::{KeyPair, PublicKeyBox, SecretKey, SecretKeyBox};
use minisign_verify::{Error as VerifyError, PublicKey, Signature};

/// First word of a trusted comment of ours.
const COMMENT_MARK: &str = "fusebox-plugin";

/// Number of a key, as minisign shows it: 16 upper-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Reads a key id as a person writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| Self(text.to_ascii_uppercase()))
    }

    /// The id in the first bytes of a key or a signature in base64.
    pub(super) fn of_base64(text: &str) -> Option<Self> {
        // 16 characters hold 12 bytes: two of the algorithm, then eight of the id.
        let bytes = text.trim().as_bytes().first_chunk::<16>()?;
        let mut found = Vec::with_capacity(12);
        for four in bytes.chunks_exact(4) {
            let mut bits = 0_u32;
            for byte in four {
                bits = bits << 6 | u32::from(base64_digit(*byte)?);
            }
            found.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
        let id: [u8; 8] = found.get(2..10)?.try_into().ok()?;
        Some(Self(format!("{:016X}", u64::from_le_bytes(id))))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// A signature that could be read; nothing about it is known to be true.
pub(super) struct Claimed {
    /// The key that is said to have made it.
    pub(super) key_id: KeyId,
    signature: Signature,
}

impl Claimed {
    /// Reads the bytes of a signature file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let signature = Signature::decode(text).map_err(|error| match error {
            VerifyError::UnsupportedAlgorithm => "its algorithm is not minisign's".to_owned(),
            _ => "it is not a minisign signature, or was cut off".to_owned(),
        })?;
        let second = text.lines().nth(1).and_then(KeyId::of_base64);
        let key_id = second.ok_or_else(|| "its key id cannot be read".to_owned())?;
        Ok(Self { key_id, signature })
    }

    /// Checks the signature of `bytes` against a key.
    pub(super) fn verify(&self, bytes: &[u8], key: &PublicKey) -> Result<(), String> {
        key.verify(bytes, &self.signature, false)
            .map_err(|error| match error {
                VerifyError::UnexpectedAlgorithm => {
                    "it was made by an old version of minisign; sign again".to_owned()
                }
                _ => "it does not fit".to_owned(),
            })
    }

    /// Id and version in a trusted comment of ours; `None` for a comment of another tool.
    pub(super) fn subject(&self) -> Option<(&str, &str)> {
        let comment = self
            .signature
            .trusted_comment()
            .strip_prefix(COMMENT_MARK)?;
        let value = |name: &str| {
            let mut words = comment.split_whitespace();
            words
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default()
        };
        Some((value("id"), value("version")))
    }
}

/// Why a key or a signature cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The key is encrypted and there is no password.
    #[error("the key is encrypted; give its password with --password-file")]
    Encrypted,
    /// The key cannot be read.
    #[error("it is not a minisign secret key, or the password is wrong: {0}")]
    Key(String),
    /// The key is not a public one.
    #[error("it is not a minisign public key: {0}")]
    PublicKey(String),
    /// The key is a secret one.
    #[error(
        "it is a SECRET key, which belongs to its owner alone; give the public one, the `.pub` \
         file that was made with it"
    )]
    IsSecret,
    /// The machine has no randomness, or not enough memory.
    #[error("the key cannot be made: {0}")]
    Generate(String),
    /// The signature cannot be made.
    #[error("the signature cannot be made: {0}")]
    Sign(String),
}

/// A new pair of keys, as the texts of their files.
pub struct NewKeys {
    /// The secret half.
    pub secret: String,
    /// The public half.
    pub public: String,
    /// Their number.
    pub key_id: KeyId,
}

impl fmt::Debug for NewKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKeys")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Makes a pair of keys called `name`; with a password the secret half is encrypted.
///
/// # Errors
/// [`SigningError::Generate`].
pub fn generate_keys(name: &str, password: Option<String>) -> Result<NewKeys, SigningError> {
    let failed = |error: minisign::PError| SigningError::Generate(error.to_string());
    let keys = match password {
        None => KeyPair::generate_unencrypted_keypair(),
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
    };
    let KeyPair { pk, sk } = keys.map_err(failed)?;
    let comment = format!("fusebox secret key {name}");
    let secret = sk.to_box(Some(&comment)).map_err(failed)?.into_string();
    let public = pk.to_box().map_err(failed)?.into_string();
    let (_, key_id) = public_key(&public)?;
    Ok(NewKeys {
        secret,
        public,
        key_id,
    })
}

/// The base64 line of a public key, from the text of its file or from the line alone, and the
/// number of the key.
///
/// # Errors
/// [`SigningError::PublicKey`], [`SigningError::IsSecret`].
pub fn public_key(text: &str) -> Result<(String, KeyId), SigningError> {
    let refuse = |why: &str| SigningError::PublicKey(why.to_owned());
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with("untrusted comment"));
    let line = lines.next().ok_or_else(|| refuse("it is empty"))?;
    // The base64 line of a public key has 56 characters, that of a secret one 212.
    const SECRET_CHARS: usize = 200;
    if line.starts_with("RW") && line.len() >= SECRET_CHARS {
        return Err(SigningError::IsSecret);
    }
    PublicKey::from_base64(line).map_err(|error| refuse(&error.to_string()))?;
    let key_id = KeyId::of_base64(line).ok_or_else(|| refuse("it has no key id"))?;
    Ok((line.to_owned(), key_id))
}

/// A secret key, ready to sign.
pub struct Signer {
    key: SecretKey,
    key_id: KeyId,
    public: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the text of a secret key's file. It never asks on a terminal.
    ///
    /// # Errors
    /// [`SigningError::Encrypted`] where there is no password for an encrypted key.
    pub fn read(text: &str, password: Option<String>) -> Result<Self, SigningError> {
        let wrong = |error: minisign::PError| SigningError::Key(error.to_string());
        let boxed = || SecretKeyBox::from_string(text).map_err(wrong);
        let key = match password {
            None => boxed()?.into_unencrypted_secret_key().map_err(|error| {
                match error.kind() {
                    minisign::ErrorKind::EncryptedKey => SigningError::Encrypted,
                    // The crate has no kind of its own for this case.
                    _ if is_encrypted(text) => SigningError::Encrypted,
                    _ => wrong(error),
                }
            })?,
            Some(password) => boxed()?.into_secret_key(Some(password)).map_err(wrong)?,
        };
        let public = minisign::PublicKey::from_secret_key(&key).map_err(wrong)?;
        let public: PublicKeyBox = public.to_box().map_err(wrong)?;
        let (public, key_id) = public_key(&public.into_string())?;
        Ok(Self {
            key,
            key_id,
            public,
        })
    }

    /// The number of the key.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The public half, one line of base64.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// Signs the bytes of a manifest; the signature names id and version.
    ///
    /// # Errors
    /// [`SigningError::Sign`].
    pub fn sign_manifest(
        &self,
        bytes: &[u8],
        id: &str,
        version: &str,
    ) -> Result<String, SigningError> {
        let subject = format!("{COMMENT_MARK} id={id} version={version}");
        self.sign(bytes, &subject)
    }

    /// Whether a signature file is one of these bytes by this key.
    #[must_use]
    pub fn made(&self, signature: &[u8], bytes: &[u8]) -> bool {
        let key = PublicKey::from_base64(&self.public);
        let claimed = Claimed::read(signature);
        matches!((key, claimed), (Ok(key), Ok(claimed)) if claimed.verify(bytes, &key).is_ok())
    }

    /// Signs any bytes under a trusted comment of the caller's.
    ///
    /// # Errors
    /// [`SigningError::Sign`].
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, SigningError> {
        let untrusted = format!("signature by key {}", self.key_id);
        minisign::sign(
            None,
            &self.key,
            Cursor::new(bytes),
            Some(comment),
            Some(&untrusted),
        )
        .map(|signature| signature.into_string())
        .map_err(|error| SigningError::Sign(error.to_string()))
    }
}

/// Whether the text of a secret key says that a password is needed: its bytes begin with `EdSc`
/// then, and with `Ed` and zeros otherwise.
fn is_encrypted(text: &str) -> bool {
    let line = text.lines().nth(1).unwrap_or_default();
    line.trim().starts_with("RWRT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_bytes_and_its_key_only() {
        let keys = generate_keys("one", None).unwrap();
        let signer = Signer::read(&keys.secret, None).unwrap();
        assert_eq!(signer.key_id(), &keys.key_id);
        let signed = signer
            .sign_manifest(b"text", "com.example.a", "1.0.0")
            .unwrap();
        let claimed = Claimed::read(signed.as_bytes()).unwrap();
        assert_eq!(claimed.key_id, keys.key_id);
        assert_eq!(claimed.subject(), Some(("com.example.a", "1.0.0")));
        let (line, _) = public_key(&keys.public).unwrap();
        assert_eq!(line, signer.public_key());
        let key = PublicKey::from_base64(&line).unwrap();
        claimed.verify(b"text", &key).unwrap();
        assert!(claimed.verify(b"texT", &key).is_err());
        let forged = signed.replace("version=1.0.0", "version=9.0.0");
        let forged = Claimed::read(forged.as_bytes()).unwrap();
        assert!(forged.verify(b"text", &key).is_err());
        let other = generate_keys("two", None).unwrap();
        let (other, _) = public_key(&other.public).unwrap();
        let other = PublicKey::from_base64(&other).unwrap();
        assert!(claimed.verify(b"text", &other).is_err());
    }

    #[test]
    fn ids_are_those_that_minisign_shows() {
        // The key of minisign's own documentation.
        let line = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        assert_eq!(public_key(line).unwrap().1.to_string(), "E7620F1842B4E81F");
        assert_eq!(
            KeyId::parse("e7620f1842b4e81f"),
            Some(public_key(line).unwrap().1)
        );
        assert_eq!(KeyId::parse("e7620f1842b4e81"), None);
        let keys = generate_keys("x", None).unwrap();
        assert!(
            keys.public.contains(&keys.key_id.to_string()),
            "{}",
            keys.public
        );
    }

    #[test]
    fn signatures_that_were_cut_off_are_refused_at_every_length() {
        let keys = generate_keys("one", None).unwrap();
        let signer = Signer::read(&keys.secret, None).unwrap();
        let signed = signer.sign_manifest(b"text", "a.b", "1.0.0").unwrap();
        let (line, _) = public_key(&keys.public).unwrap();
        let key = PublicKey::from_base64(&line).unwrap();
        for len in 0..signed.trim_end().len() {
            let read = Claimed::read(&signed.as_bytes()[..len]);
            let holds = read.is_ok_and(|claimed| claimed.verify(b"text", &key).is_ok());
            assert!(!holds, "{len}");
        }
    }

    #[test]
    fn what_is_no_key_says_so() {
        assert!(public_key("").is_err());
        assert!(public_key("hello").is_err());
        let told = Signer::read("hello\nworld\n", None)
            .unwrap_err()
            .to_string();
        assert!(told.contains("not a minisign secret key"), "{told}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let _ = Claimed::read(&bytes);
            let _ = public_key(&String::from_utf8_lossy(&bytes));
        }
    }
}
