//! What lies in the plugin directories: `<dir>/<id>/<version>/plugin.toml`.
//!
//! Nothing is run or mapped here. A directory without `plugin.toml` is not committed yet and is
//! passed over, as are names that begin with a dot or end in `~` or `.tmp`. A broken package
//! becomes an entry with its error; it never hides the others. The bytes of the manifest and of its
//! signature are read once and kept: what is judged later is what was parsed here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fusebox_plugin_api::config::nearest;
use sha2::{Digest, Sha256};

use crate::contents::{Contents, Listing};
use crate::error::LoadError;
use crate::generation::{check_digest, hexadecimal};
use crate::manifest::{
    MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, ManifestError, SIGNATURE_FILE, is_passed_over,
    version_numbers,
};

/// A signature larger than this is none.
const MAX_SIGNATURE_BYTES: u64 = 4096;

/// The signature beside a manifest, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignatureBytes {
    /// There is none.
    #[default]
    Absent,
    /// Its bytes.
    Present(Arc<[u8]>),
    /// There is one, and it cannot be read.
    Unreadable(String),
}

/// A package that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The package directory.
    pub path: PathBuf,
    /// Id, from the directory.
    pub id: String,
    /// Version, from the directory; empty where a whole directory cannot be read.
    pub version: String,
    /// Its manifest, or what is wrong with it.
    pub state: Result<Manifest, ManifestError>,
    manifest_bytes: Arc<[u8]>,
    signature: SignatureBytes,
    bytes: u64,
}

impl Discovered {
    /// Reads the package that lies at `path`, whatever the directory is called: one that is not
    /// installed yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let names: Vec<String> = path
            .components()
            .rev()
            .take(2)
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        let name = |at: usize| names.get(at).cloned().unwrap_or_default();
        let mut package = read(path.to_owned(), None);
        let stated = package.state.as_ref().ok();
        let stated = stated.map(|one| (one.id.clone(), one.version.clone()));
        (package.id, package.version) = stated.unwrap_or_else(|| (name(1), name(0)));
        package
    }

    fn broken(path: PathBuf, problem: String) -> Self {
        Self {
            path,
            id: String::new(),
            version: String::new(),
            state: Err(ManifestError::one(problem)),
            manifest_bytes: Arc::default(),
            signature: SignatureBytes::Absent,
            bytes: 0,
        }
    }

    /// The bytes of the manifest; empty where it cannot be read.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// The signature beside it.
    #[must_use]
    pub fn signature(&self) -> &SignatureBytes {
        &self.signature
    }

    /// Size of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// SHA-256 over manifest and signature, in hexadecimal: the same for as long as nobody changed
    /// either, so that a package that was rejected is not tried again.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let signature: &[u8] = match &self.signature {
            SignatureBytes::Present(bytes) => bytes,
            SignatureBytes::Absent | SignatureBytes::Unreadable(_) => &[],
        };
        let mut hasher = Sha256::new();
        hasher.update((self.manifest_bytes.len() as u64).to_le_bytes());
        hasher.update(&self.manifest_bytes);
        hasher.update(signature);
        hexadecimal(&hasher.finalize())
    }

    /// Its manifest.
    ///
    /// # Errors
    /// [`LoadError::Broken`] with what is wrong with it.
    pub fn manifest(&self) -> Result<&Manifest, LoadError> {
        self.state.as_ref().map_err(|source| LoadError::Broken {
            id: self.id.clone(),
            version: self.version.clone(),
            path: self.path.clone(),
            source: source.clone(),
        })
    }

    /// Reads a file of the package, at most `limit` bytes of it, and checks it against the digest
    /// that the manifest states. Returns the content and its SHA-256.
    ///
    /// # Errors
    /// [`LoadError`] where the manifest does not name it, it cannot be read, it is no plain file
    /// inside the package, or it is another one.
    pub fn read_file(&self, path: &str, limit: u64) -> Result<(Vec<u8>, String), LoadError> {
        let place = self.path.join(path);
        let digests = self.manifest()?.digests();
        let Some(stated) = digests.get(path) else {
            let source = io::Error::other(format!("{MANIFEST_FILE} does not name it"));
            return Err(LoadError::io("read", place, source));
        };
        let bytes = Contents::open(&self.path)
            .and_then(|contents| contents.read(path, limit))
            .map_err(|source| LoadError::io("read", &place, source))?;
        let sha256 = check_digest(&place, &bytes, stated)?;
        Ok((bytes, sha256))
    }

    /// Reads the golden vectors, checked against their digest; `None` where there are none.
    ///
    /// # Errors
    /// As [`Discovered::read_file`].
    pub fn read_golden(&self, limit: u64) -> Result<Option<Vec<u8>>, LoadError> {
        match &self.manifest()?.golden {
            None => Ok(None),
            Some(golden) => {
                let (bytes, _) = self.read_file(&golden.vectors, limit)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Checks every file that the manifest names against its digest: path, stated digest, and what
    /// is wrong with it.
    ///
    /// # Errors
    /// [`LoadError`] where the manifest is broken or the package directory cannot be opened.
    pub fn check_files(&self, limit: u64) -> Result<Vec<FileCheck>, LoadError> {
        let digests = self.manifest()?.digests();
        let contents = Contents::open(&self.path)
            .map_err(|source| LoadError::io("open", &self.path, source))?;
        let check = |(path, stated): (&str, &str)| FileCheck {
            path: path.to_owned(),
            sha256: stated.to_owned(),
            problem: match contents.sha256(path, limit) {
                Err(error) => Some(error.to_string()),
                Ok(found) if found == stated => None,
                Ok(found) => Some(format!(
                    "it has sha256 {found}, the manifest states {stated}; the file was changed or \
                     cut off: install the package again"
                )),
            },
        };
        Ok(digests.into_iter().map(check).collect())
    }
}

/// A file of a package, compared with its digest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FileCheck {
    /// Path inside the package.
    pub path: String,
    /// SHA-256 that the manifest states.
    pub sha256: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Lists the packages of `dirs`, ascending by id and version; packages of an earlier directory come
/// first. A directory that does not exist holds none.
#[must_use]
pub fn discover(dirs: &[PathBuf]) -> Vec<Discovered> {
    let mut found = Vec::new();
    for dir in dirs {
        for (id, path) in list(dir, "", &mut found) {
            for (version, path) in list(&path, &id, &mut found) {
                if is_committed(&path) {
                    let mut package = read(path, Some((&id, &version)));
                    (package.id, package.version) = (id.clone(), version);
                    found.push(package);
                }
            }
        }
    }
    found.sort_by(|a, b| (&a.id, order(&a.version)).cmp(&(&b.id, order(&b.version))));
    found
}

/// Versions that are not three numbers come first, as text.
fn order(version: &str) -> (Option<[u64; 3]>, &str) {
    (version_numbers(version), version)
}

/// The directories inside `dir`, ascending; one that cannot be read becomes a broken entry.
fn list(dir: &Path, id: &str, found: &mut Vec<Discovered>) -> Vec<(String, PathBuf)> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
            found.push(Discovered {
                id: if id.is_empty() {
                    name.into_owned()
                } else {
                    id.to_owned()
                },
                ..Discovered::broken(
                    dir.to_owned(),
                    format!("the directory cannot be read: {error}"),
                )
            });
            return Vec::new();
        }
    };
    let mut inner: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .filter(|(name, path)| !is_passed_over(name) && path.is_dir())
        .collect();
    inner.sort();
    inner
}

/// Whether a directory holds a package: its manifest came last.
pub(crate) fn is_committed(package: &Path) -> bool {
    fs::symlink_metadata(package.join(MANIFEST_FILE)).is_ok()
}

/// Reads a package whose directory says `id` and `version`, if its name matters.
fn read(path: PathBuf, names: Option<(&str, &str)>) -> Discovered {
    let opened = Contents::open(&path).and_then(|contents| {
        let listing = contents.list()?;
        Ok((contents, listing))
    });
    let (contents, listing) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Discovered::broken(path, format!("the package cannot be read: {error}"));
        }
    };
    let signature = match contents.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES) {
        Ok(bytes) => SignatureBytes::Present(bytes.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => SignatureBytes::Absent,
        Err(error) => SignatureBytes::Unreadable(format!("{SIGNATURE_FILE}: {error}")),
    };
    let bytes = listing.bytes();
    match contents.read(MANIFEST_FILE, MAX_MANIFEST_BYTES as u64) {
        Err(error) => Discovered {
            signature,
            bytes,
            ..Discovered::broken(path, format!("{MANIFEST_FILE}: {error}"))
        },
        Ok(manifest) => Discovered {
            path,
            id: String::new(),
            version: String::new(),
            state: judge(&manifest, &listing, names),
            manifest_bytes: manifest.into(),
            signature,
            bytes,
        },
    }
}

/// The manifest, if it fits the directory it lies in.
fn judge(
    bytes: &[u8],
    listing: &Listing,
    names: Option<(&str, &str)>,
) -> Result<Manifest, ManifestError> {
    let manifest = Manifest::from_bytes(bytes)?;
    let mut problems = Vec::new();
    if let Some((id, version)) = names {
        for (name, stated, directory) in [
            ("id", &manifest.id, id),
            ("version", &manifest.version, version),
        ] {
            if stated != directory {
                problems.push(format!(
                    "`{name}` is {stated}, but the directory says {directory}"
                ));
            }
        }
    }
    problems.extend(listing.problems.iter().cloned());
    let files: BTreeMap<&str, u64> = listing
        .files
        .iter()
        .map(|(path, bytes)| (path.as_str(), *bytes))
        .collect();
    let digests = manifest.digests();
    for path in digests.keys().filter(|path| !files.contains_key(*path)) {
        // Links and the like are told already.
        let is_told = |problem: &String| problem.starts_with(&format!("{path} is "));
        if listing.directories.iter().any(|one| one == path) {
            problems.push(format!(
                "{path} is a directory; {MANIFEST_FILE} names a file"
            ));
        } else if !listing.problems.iter().any(is_told) {
            problems.push(format!("the file {path} is missing"));
        }
    }
    let is_own = |path: &str| [MANIFEST_FILE, SIGNATURE_FILE].contains(&path);
    for path in files.keys().filter(|path| !is_own(path)) {
        if !digests.contains_key(path) {
            problems.push(format!(
                "the file {path} is not named in {MANIFEST_FILE}; name it under [files], or remove \
                 it"
            ));
        }
    }
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(ManifestError::limited(problems))
    }
}

/// The package of `id`: of `version` where one is given, else the latest that is not broken, else
/// the latest. Of equal ones the first directory's.
///
/// # Errors
/// [`LoadError::Missing`] naming what is there and the nearest id.
pub fn find<'a>(
    packages: &'a [Discovered],
    id: &str,
    version: Option<&str>,
) -> Result<&'a Discovered, LoadError> {
    let fits = |package: &&Discovered| {
        package.id == id && version.is_none_or(|version| package.version == version)
    };
    let rank = |package: &Discovered| (package.state.is_ok(), version_numbers(&package.version));
    // `max_by_key` keeps the last of equals, so the search runs backwards.
    let best = packages
        .iter()
        .filter(fits)
        .rev()
        .max_by_key(|package| rank(package));
    best.ok_or_else(|| {
        let mut ids: Vec<&str> = packages.iter().map(|package| package.id.as_str()).collect();
        ids.dedup();
        let hint = nearest(id, &ids).filter(|near| *near != id);
        let installed: Vec<String> = packages
            .iter()
            .map(|package| format!("{} {}", package.id, package.version))
            .collect();
        LoadError::Missing {
            wanted: version.map_or(id.to_owned(), |version| format!("{id} {version}")),
            hint: hint
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default(),
            installed: if installed.is_empty() {
                "nothing".into()
            } else {
                installed.join(", ")
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(root: &Path, id: &str, version: &str, stated: &str) {
        let path = root.join(id).join(version);
        fs::create_dir_all(path.join("linux-x86_64")).unwrap();
        fs::write(path.join("linux-x86_64/libx.so"), b"").unwrap();
        let digest = "00".repeat(32);
        let text = format!(
            "manifest = 1\nid = \"{id}\"\nversion = \"{stated}\"\nabi = \"1.0\"\n\
             kind = [\"fb.model/1\"]\n[artifact.linux-x86_64]\npath = \"linux-x86_64/libx.so\"\n\
             sha256 = \"{digest}\"\n# end\n"
        );
        fs::write(path.join(MANIFEST_FILE), text).unwrap();
    }

    #[test]
    fn committed_packages_are_listed_and_broken_ones_hide_nothing() {
        let root = tempfile::tempdir().unwrap();
        package(root.path(), "com.example.a", "1.10.0", "1.10.0");
        package(root.path(), "com.example.a", "1.9.0", "1.9.0");
        package(root.path(), "com.example.b", "1.0.0", "2.0.0");
        fs::create_dir_all(root.path().join("com.example.c/1.0.0/linux-x86_64")).unwrap();
        package(root.path(), ".com.example.d", "1.0.0", "1.0.0");
        let found = discover(&[root.path().to_owned(), root.path().join("absent")]);
        let listed: Vec<(&str, &str, bool)> = found
            .iter()
            .map(|one| (one.id.as_str(), one.version.as_str(), one.state.is_ok()))
            .collect();
        let expected = [
            ("com.example.a", "1.9.0", true),
            ("com.example.a", "1.10.0", true),
            ("com.example.b", "1.0.0", false),
        ];
        assert_eq!(listed, expected);
        let broken = found[2].state.clone().unwrap_err().to_string();
        assert!(broken.contains("`version` is 2.0.0"), "{broken}");
    }

    #[test]
    fn what_no_package_may_hold_breaks_it_by_name() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        package(root.path(), "com.example.a", "1.0.0", "1.0.0");
        let dir = root.path().join("com.example.a/1.0.0");
        let library = dir.join("linux-x86_64/libx.so");
        let told = || {
            let found = discover(&[root.path().to_owned()]);
            found[0]
                .state
                .clone()
                .map_or_else(|error| error.problems, |_| Vec::new())
        };
        assert_eq!(told(), Vec::<String>::new());
        fs::write(dir.join("extra.bin"), b"").unwrap();
        fs::write(dir.join(".note"), b"").unwrap();
        assert_eq!(
            told(),
            ["the file extra.bin is not named in plugin.toml; name it under [files], or remove it"]
        );
        fs::remove_file(dir.join("extra.bin")).unwrap();
        fs::remove_file(&library).unwrap();
        assert_eq!(told(), ["the file linux-x86_64/libx.so is missing"]);
        fs::write(root.path().join("outside.so"), b"").unwrap();
        symlink(root.path().join("outside.so"), &library).unwrap();
        assert_eq!(
            told(),
            ["linux-x86_64/libx.so is a symbolic link; a package holds plain files only"]
        );
        fs::remove_file(&library).unwrap();
        fs::create_dir(&library).unwrap();
        assert_eq!(
            told(),
            ["linux-x86_64/libx.so is a directory; plugin.toml names a file"]
        );
    }

    #[test]
    fn the_fingerprint_is_that_of_manifest_and_signature() {
        let root = tempfile::tempdir().unwrap();
        package(root.path(), "com.example.a", "1.0.0", "1.0.0");
        let dir = root.path().join("com.example.a/1.0.0");
        let print = || Discovered::at(&dir).fingerprint();
        let first = print();
        assert_eq!(print(), first);
        fs::write(dir.join(SIGNATURE_FILE), b"x").unwrap();
        let second = print();
        assert_ne!(second, first);
        fs::remove_file(dir.join(SIGNATURE_FILE)).unwrap();
        assert_eq!(print(), first);
    }

    #[test]
    fn the_latest_sound_version_is_found_and_a_miss_names_the_nearest() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        package(first.path(), "com.example.a", "1.9.0", "1.9.0");
        package(second.path(), "com.example.a", "1.9.0", "1.9.0");
        package(second.path(), "com.example.a", "2.0.0", "3.0.0");
        let found = discover(&[first.path().to_owned(), second.path().to_owned()]);
        let best = find(&found, "com.example.a", None).unwrap();
        assert_eq!(best.version, "1.9.0");
        assert!(best.path.starts_with(first.path()));
        assert_eq!(
            find(&found, "com.example.a", Some("2.0.0"))
                .unwrap()
                .version,
            "2.0.0"
        );
        let error = find(&found, "com.exmple.a", None).unwrap_err().to_string();
        assert!(error.contains("did you mean `com.example.a`?"), "{error}");
        assert!(error.contains("com.example.a 1.9.0"), "{error}");
    }
}
