//! What the files of a package look like from outside, to see whether somebody writes to them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Deepest folder and most files that a stamp looks at.
const MAX_DEPTH: u32 = 4;
const MAX_FILES: usize = 4_096;

/// What the files of a package look like; equal stamps mean that nobody writes to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(Vec<(PathBuf, u64, i64, i64, u64)>);

impl Stamp {
    /// Looks at every file under `dir`. What cannot be looked at is not in it.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let mut files = Vec::new();
        look(dir, 0, &mut files);
        files.sort();
        Self(files)
    }

    /// Both in one.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// A stamp of a source that is no file, by its number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self(vec![(PathBuf::new(), number, 0, 0, 0)])
    }
}

fn look(dir: &Path, depth: u32, files: &mut Vec<(PathBuf, u64, i64, i64, u64)>) {
    for entry in fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let (path, Ok(facts)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        if files.len() >= MAX_FILES {
            return;
        }
        if facts.is_dir() && depth < MAX_DEPTH {
            look(&path, depth + 1, files);
        } else {
            let (seconds, nanos) = (facts.mtime(), facts.mtime_nsec());
            files.push((path, facts.len(), seconds, nanos, facts.ino()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::replace_file;

    #[test]
    fn a_stamp_changes_with_content_and_identity() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b");
        replace_file(&file, b"one").unwrap();
        let first = Stamp::of(dir.path());
        assert_eq!(first, Stamp::of(dir.path()));
        replace_file(&file, b"two").unwrap();
        assert_ne!(
            first,
            Stamp::of(dir.path()),
            "another file under the same name"
        );
        let left = fs::read_dir(dir.path().join("a")).unwrap().count();
        assert_eq!(left, 1, "no partial file stays");
    }
}
