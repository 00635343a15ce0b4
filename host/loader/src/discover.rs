//! What lies in the plugin directories: `<dir>/<id>/<version>/plugin.toml`.
//!
//! Nothing is run or mapped here. A directory without `plugin.toml` is not committed yet and is
//! passed over, as are names that begin with a dot or end in `~` or `.tmp`. A broken package
//! becomes an entry with its error; it never hides the others.

use std::fs;
use std::path::{Path, PathBuf};

use fusebox_plugin_api::config::nearest;

use crate::error::LoadError;
use crate::manifest::{MANIFEST_FILE, Manifest, ManifestError, version_numbers};

/// A manifest larger than this is a mistake.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

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
}

/// Lists the packages of `dirs`, ascending by id and version; packages of an earlier directory come
/// first. A directory that does not exist holds none.
#[must_use]
pub fn discover(dirs: &[PathBuf]) -> Vec<Discovered> {
    let mut found = Vec::new();
    for dir in dirs {
        for (id, path) in list(dir, "", &mut found) {
            for (version, path) in list(&path, &id, &mut found) {
                if path.join(MANIFEST_FILE).exists() {
                    let state = read(&path, &id, &version);
                    found.push(Discovered {
                        path,
                        id: id.clone(),
                        version,
                        state,
                    });
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let name = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy();
            found.push(Discovered {
                path: dir.to_owned(),
                id: if id.is_empty() {
                    name.into_owned()
                } else {
                    id.to_owned()
                },
                version: String::new(),
                state: Err(ManifestError::one(format!(
                    "the directory cannot be read: {error}"
                ))),
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

fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".tmp")
}

fn read(package: &Path, id: &str, version: &str) -> Result<Manifest, ManifestError> {
    let path = package.join(MANIFEST_FILE);
    let unreadable =
        |error: std::io::Error| ManifestError::one(format!("{MANIFEST_FILE}: {error}"));
    let len = fs::metadata(&path).map_err(unreadable)?.len();
    if len > MAX_MANIFEST_BYTES {
        return Err(ManifestError::one(format!(
            "{MANIFEST_FILE} has {len} bytes"
        )));
    }
    let manifest = Manifest::parse(&fs::read_to_string(&path).map_err(unreadable)?)?;
    let mut problems = Vec::new();
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
    for artifact in manifest.artifact.values() {
        let library = package.join(&artifact.path);
        if !library.is_file() {
            problems.push(format!("the library {} is missing", artifact.path));
        } else if !lies_inside(&library, package) {
            problems.push(format!(
                "the library {} is a link that leads out of the package",
                artifact.path
            ));
        }
    }
    if problems.is_empty() {
        Ok(manifest)
    } else {
        Err(ManifestError { problems })
    }
}

/// Whether a file is still inside the package once every link is followed: what a package commits
/// must not change from outside.
fn lies_inside(file: &Path, package: &Path) -> bool {
    let real = (fs::canonicalize(file), fs::canonicalize(package));
    matches!(real, (Ok(file), Ok(package)) if file.starts_with(&package))
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
             sha256 = \"{digest}\"\n"
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

    #[cfg(unix)]
    #[test]
    fn a_library_that_is_a_link_out_of_the_package_breaks_it() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        package(root.path(), "com.example.a", "1.0.0", "1.0.0");
        let dir = root.path().join("com.example.a/1.0.0/linux-x86_64");
        fs::rename(dir.join("libx.so"), dir.join("liby.so")).unwrap();
        symlink("liby.so", dir.join("libx.so")).unwrap();
        assert!(discover(&[root.path().to_owned()])[0].state.is_ok());
        fs::rename(dir.join("liby.so"), root.path().join("outside.so")).unwrap();
        fs::remove_file(dir.join("libx.so")).unwrap();
        symlink(root.path().join("outside.so"), dir.join("libx.so")).unwrap();
        let found = discover(&[root.path().to_owned()]);
        let error = found[0].state.clone().unwrap_err().to_string();
        assert!(error.contains("leads out of the package"), "{error}");
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
