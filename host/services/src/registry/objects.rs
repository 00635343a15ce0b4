//! Objects: files named by the SHA-256 of their bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::entry::{Entry, Role};
use super::{OBJECTS, Registry, RegistryError, io_error, put};
use crate::training::hex;

/// Characters of a digest in hexadecimal.
const DIGEST_LENGTH: usize = 64;

impl Registry {
    /// The bytes of one of a version's files, as they were added; `None` where it has none.
    ///
    /// # Errors
    /// [`RegistryError`] where the object is gone or is no longer what its name says.
    pub fn read(&self, entry: &Entry, role: Role) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(file) = entry.file(role) else {
            return Ok(None);
        };
        let path = self.object_path(&file.sha256);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => RegistryError::Damaged {
                path: path.clone(),
                message: format!("it is missing, and {} needs it", entry.title()),
            },
            _ => io_error("read", &path, source),
        })?;
        let found = digest_of(&bytes);
        match found == file.sha256 {
            true => Ok(Some(bytes)),
            false => Err(RegistryError::Damaged {
                path,
                message: format!("its bytes have the sha256 {found}"),
            }),
        }
    }

    /// Stores bytes under their digest. An object that was damaged is replaced.
    pub(super) fn put_object(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let name = digest_of(bytes);
        let path = self.object_path(&name);
        if fs::read(&path).is_ok_and(|found| digest_of(&found) == name) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(self.root());
        fs::create_dir_all(folder).map_err(|source| io_error("make", folder, source))?;
        put(&path, bytes)
    }

    pub(super) fn object_path(&self, sha256: &str) -> PathBuf {
        let (head, tail) = sha256.split_at(sha256.len().min(2));
        self.root().join(OBJECTS).join(head).join(tail)
    }

    /// The digest that a path below `objects` stands for; `None` where it is no such path.
    pub(super) fn object_name(&self, path: &Path) -> Option<String> {
        let relative = path.strip_prefix(self.root().join(OBJECTS)).ok()?;
        let parts: Vec<&str> = relative.iter().filter_map(|part| part.to_str()).collect();
        let [head, tail] = parts[..] else {
            return None;
        };
        let name = format!("{head}{tail}");
        is_digest(&name).then_some(name)
    }
}

pub(super) fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == DIGEST_LENGTH && text.bytes().all(is_hex)
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
