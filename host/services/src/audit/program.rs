//! What a shell command runs, as one digest: its text and the content of every file that it names.
//!
//! So a verdict on a script is one on this script: a changed script has none. What a program reads
//! without being named in the command, such as a module that a script imports, is not seen unless
//! it is named as a further source.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::training::hex;

/// Largest number of files in a directory that is named as a source.
const MOST_FILES: usize = 10_000;

/// A shell command with the content of what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The command.
    pub command: String,
    /// SHA-256 of its text and of the files.
    pub sha256: String,
    /// The files, by path.
    pub files: Vec<ProgramFile>,
    /// What was named besides the command.
    pub sources: Vec<PathBuf>,
}

/// A file of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProgramFile {
    /// Where it lies, as the command names it.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub sha256: String,
}

impl Program {
    /// Reads every regular file that a word of `command` names, seen from the working directory,
    /// and everything in `sources`, files or directories. Interpreters that are found by the
    /// system's search path are not files of the command.
    ///
    /// # Errors
    /// Words where a source or a named file cannot be read.
    pub fn of(command: &str, sources: &[PathBuf]) -> Result<Self, String> {
        let mut paths: Vec<PathBuf> = Vec::new();
        for word in words(command) {
            let path = PathBuf::from(word);
            if path.is_file() {
                paths.push(path);
            }
        }
        for source in sources {
            collect(source, &mut paths)
                .map_err(|error| format!("{} cannot be read: {error}", source.display()))?;
        }
        paths.sort();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        let mut all = Sha256::new();
        all.update(command.as_bytes());
        for path in paths {
            let digest = content(&path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            all.update(format!("\n{digest}  {}", path.display()));
            files.push(ProgramFile {
                path,
                sha256: digest,
            });
        }
        Ok(Self {
            command: command.to_owned(),
            sha256: hex(&all.finalize()),
            files,
            sources: sources.to_vec(),
        })
    }
}

fn content(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&piece[..read]),
        }
    }
}

/// Files at and under a path; links are followed to files only.
fn collect(path: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        into.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() || entry.path().is_file() {
            entries.push(entry.path());
        }
    }
    entries.sort();
    for entry in entries {
        if into.len() >= MOST_FILES {
            return Err(io::Error::other(format!(
                "there are more than {MOST_FILES} files"
            )));
        }
        collect(&entry, into)?;
    }
    Ok(())
}

/// The words of a command: what blanks, quotes and the shell's own signs leave apart.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote: Option<char> = None;
    let mut characters = command.chars();
    while let Some(one) = characters.next() {
        let last = words.len() - 1;
        match (quote, one) {
            (Some(open), _) if one == open => quote = None,
            (Some('\''), _) => words[last].push(one),
            (_, '\\') => words[last].extend(characters.next()),
            (Some(_), _) => words[last].push(one),
            (None, '\'' | '"') => quote = Some(one),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '=') => words.push(String::new()),
            (None, _) if one.is_whitespace() => words.push(String::new()),
            (None, _) => words[last].push(one),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_shell_would_see() {
        let of = |text: &str| words(text);
        assert_eq!(
            of("python3 a.py --x=b.json"),
            ["python3", "a.py", "--x", "b.json"]
        );
        assert_eq!(
            of("cat 'my file.py'|sh -c \"a b\"&&c\\ d"),
            ["cat", "my file.py", "sh", "-c", "a b", "c d"]
        );
        assert_eq!(of("  "), [] as [&str; 0]);
    }

    #[test]
    fn the_digest_changes_with_a_script_and_with_a_named_source() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("make it.py");
        fs::write(&script, "print(1)").unwrap();
        let module = dir.path().join("lib/deep");
        fs::create_dir_all(&module).unwrap();
        fs::write(module.join("part.py"), "x = 1").unwrap();
        let command = format!("python3 '{}'", script.display());
        let of = |sources: &[PathBuf]| Program::of(&command, sources).unwrap();
        let first = of(&[]);
        assert_eq!(first.files.len(), 1);
        assert_eq!(first, of(&[]));
        fs::write(&script, "print(2)").unwrap();
        let second = of(&[]);
        assert_ne!(first.sha256, second.sha256);
        let sources = [dir.path().join("lib")];
        let third = of(&sources);
        assert_eq!(third.files.len(), 2);
        fs::write(module.join("part.py"), "x = 2").unwrap();
        assert_ne!(third.sha256, of(&sources).sha256);
        let missing = Program::of(&command, &[dir.path().join("none")]).unwrap_err();
        assert!(missing.contains("none cannot be read"), "{missing}");
        let text = Program::of("true", &[]).unwrap();
        assert!(text.files.is_empty());
    }
}
