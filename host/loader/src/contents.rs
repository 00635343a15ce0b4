//! The files of a package: listed, opened and read without ever leaving its directory.
//!
//! Every path is walked one name at a time from the descriptor of the package directory, and no
//! name may be a symbolic link, so nothing outside the package is opened, even if a name changes in
//! between. Only plain files are opened: a FIFO would block, a device could do anything. What is
//! hashed is what was read, through one descriptor.
//!
//! Hard links are plain files: what they hold is checked against its digest and copied like
//! everything else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use sha2::{Digest, Sha256};

use crate::generation::hexadecimal;
use crate::manifest::is_passed_over;

/// Files and directories of a package; more is a mistake or an attack.
const MAX_ENTRIES: usize = 4096;

/// Directories inside directories.
const MAX_DEPTH: usize = 8;

/// A package directory that is held open.
#[derive(Debug)]
pub(crate) struct Contents {
    dir: OwnedFd,
}

/// What lies in a package directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    /// Plain files: path inside the package with `/`, and size. Ascending.
    pub(crate) files: Vec<(String, u64)>,
    /// Directories, ascending.
    pub(crate) directories: Vec<String>,
    /// What no package may hold, one sentence each.
    pub(crate) problems: Vec<String>,
}

impl Listing {
    /// Size of all plain files together.
    pub(crate) fn bytes(&self) -> u64 {
        let sizes = self.files.iter().map(|(_, bytes)| *bytes);
        sizes.fold(0, u64::saturating_add)
    }
}

impl Contents {
    /// Opens a package directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(rustix::fs::CWD, path, flags, Mode::empty())?;
        Ok(Self { dir })
    }

    /// Opens a plain file of the package for reading.
    pub(crate) fn file(&self, path: &str) -> io::Result<File> {
        let mut dir: Option<OwnedFd> = None;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if name.is_empty() || name == "." || name == ".." {
                return Err(io::Error::other("the path leads out of the package"));
            }
            let at = dir.as_ref().unwrap_or(&self.dir).as_fd();
            if names.peek().is_none() {
                return plain_file(at, name);
            }
            dir = Some(directory(at, name)?);
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.file(path)?;
        let len = file.metadata()?.len();
        if len > limit {
            return Err(too_large(len, limit));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        file.take(limit + 1).read_to_end(&mut bytes)?;
        // It may have grown since.
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64, limit));
        }
        Ok(bytes)
    }

    /// SHA-256 of a file of at most `limit` bytes, in hexadecimal.
    pub(crate) fn sha256(&self, path: &str, limit: u64) -> io::Result<String> {
        let file = self.file(path)?;
        let len = file.metadata()?.len();
        if len > limit {
            return Err(too_large(len, limit));
        }
        let mut file = file.take(limit);
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 128 * 1024]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hexadecimal(&hasher.finalize())),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lists everything but names that are passed over. Nothing is opened but directories.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let mut left = MAX_ENTRIES;
        walk(self.dir.as_fd(), "", 0, (&mut listing, &mut left))?;
        listing.files.sort();
        listing.directories.sort();
        listing.problems.sort();
        Ok(listing)
    }
}

fn too_large(len: u64, limit: u64) -> io::Error {
    io::Error::other(format!("it has {len} bytes; at most {limit} are read"))
}

fn directory(at: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
            match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                    io::Error::other(format!("{name} is a symbolic link"))
                }
                _ => error.into(),
            }
        }
        error => error.into(),
    })
}

/// Opens `name` if it is a plain file. Looking before opening keeps a device from being woken;
/// looking again at the descriptor is what counts.
fn plain_file(at: BorrowedFd<'_>, name: &str) -> io::Result<File> {
    let found = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    refuse_special(FileType::from_raw_mode(found.st_mode))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(at, name, flags, Mode::empty())?);
    let opened = rustix::fs::fstat(&file)?;
    refuse_special(FileType::from_raw_mode(opened.st_mode))?;
    Ok(file)
}

fn refuse_special(kind: FileType) -> io::Result<()> {
    match special(kind) {
        None if kind == FileType::RegularFile => Ok(()),
        None => Err(io::Error::other("it is a directory, not a file")),
        Some(kind) => Err(io::Error::other(format!(
            "it is {kind}; a package holds plain files only"
        ))),
    }
}

/// What a name stands for, where it is neither a plain file nor a directory.
fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::RegularFile | FileType::Directory => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("a device"),
        _ => Some("of an unknown kind"),
    }
}

fn walk(
    dir: BorrowedFd<'_>,
    above: &str,
    depth: usize,
    (listing, left): (&mut Listing, &mut usize),
) -> io::Result<()> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            let shown = entry.file_name().to_string_lossy().into_owned();
            let problem = format!("the name of {above}{shown} is not UTF-8");
            listing.problems.push(problem);
            continue;
        };
        if name == "." || name == ".." || is_passed_over(name) {
            continue;
        }
        let path = format!("{above}{name}");
        if *left == 0 {
            listing
                .problems
                .push(format!("it holds over {MAX_ENTRIES} files"));
            return Ok(());
        }
        *left -= 1;
        let found = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            // Gone since it was listed.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        if let Some(kind) = special(kind) {
            let problem = format!("{path} is {kind}; a package holds plain files only");
            listing.problems.push(problem);
        } else if kind == FileType::RegularFile {
            let bytes = u64::try_from(found.st_size).unwrap_or(u64::MAX);
            listing.files.push((path, bytes));
        } else if depth == MAX_DEPTH {
            let problem = format!("{path} lies over {MAX_DEPTH} directories deep");
            listing.problems.push(problem);
        } else {
            let inner = directory(dir, name)?;
            let below = format!("{path}/");
            listing.directories.push(path);
            walk(inner.as_fd(), &below, depth + 1, (listing, left))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_files_below_the_directory_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("package");
        fs::create_dir_all(dir.join("sub/.hidden")).unwrap();
        fs::write(root.path().join("secret"), b"secret").unwrap();
        fs::write(dir.join("sub/a"), b"abc").unwrap();
        fs::write(dir.join("sub/b.tmp"), b"").unwrap();
        symlink("../secret", dir.join("link")).unwrap();
        symlink("sub", dir.join("dirlink")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("pipe"), mode).unwrap();
        let contents = Contents::open(&dir).unwrap();
        assert_eq!(contents.read("sub/a", 3).unwrap(), b"abc");
        assert_eq!(
            contents.sha256("sub/a", 3).unwrap(),
            crate::generation::sha256_hex(b"abc")
        );
        for (path, words) in [
            ("link", "a symbolic link"),
            ("dirlink/a", "dirlink is a symbolic link"),
            ("pipe", "a FIFO"),
            ("sub", "it is a directory"),
            ("../secret", "leads out of the package"),
            ("/etc/passwd", "leads out of the package"),
            ("sub/./a", "leads out of the package"),
        ] {
            let told = contents.file(path).unwrap_err().to_string();
            assert!(told.contains(words), "{path}: {told}");
        }
        let told = contents.read("sub/a", 2).unwrap_err().to_string();
        assert_eq!(told, "it has 3 bytes; at most 2 are read");
        let listing = contents.list().unwrap();
        assert_eq!(listing.files, [("sub/a".to_owned(), 3)]);
        assert_eq!(listing.directories, ["sub"]);
        assert_eq!(
            listing.problems,
            [
                "dirlink is a symbolic link; a package holds plain files only",
                "link is a symbolic link; a package holds plain files only",
                "pipe is a FIFO; a package holds plain files only",
            ]
        );
    }

    #[test]
    fn a_flood_of_files_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        for file in 0..=MAX_ENTRIES {
            fs::write(root.path().join(format!("f{file}")), b"").unwrap();
        }
        let listing = Contents::open(root.path()).unwrap().list().unwrap();
        assert_eq!(listing.problems, ["it holds over 4096 files"]);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(["d"; 20].join("/"))).unwrap();
        let listing = Contents::open(root.path()).unwrap().list().unwrap();
        assert!(listing.problems[0].contains("over 8 directories deep"));
    }
}
